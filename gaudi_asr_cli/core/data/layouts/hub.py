"""The `hub` layout: a dataset of the Hugging Face hub, downloaded by `datasets`, never decoded.

`datasets` keeps its downloads as Arrow files in a cache; utterances are rows of those files.
"""

from __future__ import annotations

import os
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from gaudi_asr_cli.core.data.layouts.options import Layout, ReadOptions
from gaudi_asr_cli.core.data.layouts.parquet import read_shard
from gaudi_asr_cli.core.data.layouts.splits import pick_split
from gaudi_asr_cli.core.data.moved_ids import find_replacement
from gaudi_asr_cli.core.errors import AsrError, DataError, UnreachableError
from gaudi_asr_cli.core.records import Utterance

_CONNECT_S = 4.0
"""`datasets` itself tries for 23 s before it reports that there is no network."""


def read_hub(path: Path, options: ReadOptions) -> Iterator[Utterance]:
    """Read the utterances of one split of the dataset `path`; none of the dataset's code is run.

    Raises:
        UnreachableError: Neither the hub nor the cache has the dataset, or it is gated.
        DataError: There is no such configuration or split, or no audio in it.
    """
    name = path.as_posix()
    replacement = find_replacement(name)
    if replacement is not None:
        raise UnreachableError(f"The dataset {name} is no longer on the hub.", remedy=replacement)
    for file in _download(name, options):
        yield from read_shard(file, options)


def _download(name: str, options: ReadOptions) -> list[Path]:
    """Download one split if needed, and return its Arrow files in the cache of `datasets`."""
    import datasets

    try:
        with _offline_if_unreachable():
            splits = datasets.get_dataset_split_names(name, options.config)
            split = pick_split({split: split for split in splits}, options.split, name)
            dataset = datasets.load_dataset(name, options.config, split=split)
    except (OSError, ValueError, RuntimeError, ImportError) as error:
        raise explain_hub_error(error, name, str(datasets.config.HF_DATASETS_CACHE)) from error
    # The bytes are read from these files; indexing the dataset would decode the audio.
    return [Path(file["filename"]) for file in dataset.cache_files]


def explain_hub_error(error: Exception, name: str, cache: str) -> AsrError:
    """Return the error for a failure with the dataset `name`, and its remedy."""
    kinds = {kind.__name__ for kind in type(error).__mro__}
    reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    if "gated" in reason.lower() or "GatedRepoError" in kinds or re.search(r"\b40[13]\b", reason):
        return UnreachableError(
            f"The dataset {name} is gated or private, and access was denied: {reason}",
            remedy=f"Accept the terms at huggingface.co/datasets/{name}, then run hf auth login.",
        )
    unknown = {"DatasetNotFoundError", "RepositoryNotFoundError", "ConnectionError"}
    if kinds & unknown or reason.startswith("Couldn't find cache"):
        return UnreachableError(
            f"The dataset {name} is neither on the hub, as far as this machine reaches it, nor in "
            f"the cache {cache} ({reason})",
            remedy="Check the name. To work offline, download it where there is a network: "
            f"hf download --repo-type dataset {name} --local-dir DIR, and give DIR as the data.",
        )
    if "script" in reason.lower():
        return DataError(
            f"The dataset {name} is a program, and no remote code is ever run: {reason}",
            remedy="Look for a Parquet version of it on the hub, or download its files to DIR.",
        )
    return DataError(
        f"The dataset {name} cannot be used: {reason}",
        remedy="Give a configuration with --config and a split with --split, or download it: "
        f"hf download --repo-type dataset {name} --local-dir DIR, and give DIR as the data.",
    )


@contextmanager
def _offline_if_unreachable() -> Iterator[None]:
    """Set `datasets` offline where the hub does not answer, so that it does not retry for long."""
    import datasets
    import huggingface_hub

    modules: tuple[Any, Any] = (datasets.config, huggingface_hub.constants)
    before = [module.HF_HUB_OFFLINE for module in modules]
    offline = any(before) or not is_reachable(huggingface_hub.constants.ENDPOINT)
    try:
        for module in modules:
            module.HF_HUB_OFFLINE = offline
        yield
    finally:
        for module, value in zip(modules, before, strict=True):
            module.HF_HUB_OFFLINE = value


def is_reachable(endpoint: str) -> bool:
    """Return whether the hub accepts connections; True behind a proxy, where it is unknown."""
    url = urlsplit(endpoint)
    if any(os.environ.get(name) for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY")):
        return True
    connected = threading.Event()

    def connect() -> None:
        address = (url.hostname or "", url.port or (80 if url.scheme == "http" else 443))
        try:
            socket.create_connection(address, timeout=_CONNECT_S).close()
        except OSError:
            return
        connected.set()

    # In a thread, because name resolution has no timeout.
    thread = threading.Thread(target=connect, daemon=True)
    thread.start()
    thread.join(_CONNECT_S)
    return connected.is_set()


HUB = Layout(read_hub, aliases=("hf",), needs_path=False)
