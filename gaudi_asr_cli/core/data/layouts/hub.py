"""The `hub` layout: a dataset of the Hugging Face hub, fetched by `datasets` and never decoded.

`datasets` keeps what it fetched as Arrow files in its cache; utterances are rows of those files.
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
"""`datasets` itself tries for 23 s before it says that there is no network."""


def read_hub(path: Path, options: ReadOptions) -> Iterator[Utterance]:
    """Utterances of one split of the dataset called `path`; none of the dataset's code is run.

    Raises:
        UnreachableError: Neither the hub nor the cache has the dataset, or it is gated.
        DataError: There is no such configuration or split, or nothing to hear.
    """
    name = path.as_posix()
    replacement = find_replacement(name)
    if replacement is not None:
        raise UnreachableError(f"The dataset {name} is no longer on the hub.", remedy=replacement)
    for file in _fetch(name, options):
        yield from read_shard(file, options)


def _fetch(name: str, options: ReadOptions) -> list[Path]:
    """The Arrow files of one split, in the cache of `datasets`."""
    import datasets

    try:
        with _offline_where_cut_off():
            splits = datasets.get_dataset_split_names(name, options.config)
            split = pick_split({split: split for split in splits}, options.split, name)
            dataset = datasets.load_dataset(name, options.config, split=split)
    except (OSError, ValueError, RuntimeError, ImportError) as error:
        raise explain_hub_error(error, name, str(datasets.config.HF_DATASETS_CACHE)) from error
    # We read the rows' bytes ourselves; asking the dataset for a row would decode its audio.
    return [Path(file["filename"]) for file in dataset.cache_files]


def explain_hub_error(error: Exception, name: str, cache: str) -> AsrError:
    """What went wrong with the dataset `name`, and what to do about it."""
    kinds = {kind.__name__ for kind in type(error).__mro__}
    said = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    if "gated" in said.lower() or "GatedRepoError" in kinds or re.search(r"\b40[13]\b", said):
        return UnreachableError(
            f"The dataset {name} is gated or private, and you are not let in: {said}",
            remedy=f"Accept the terms at huggingface.co/datasets/{name}, then run hf auth login.",
        )
    unknown = {"DatasetNotFoundError", "RepositoryNotFoundError", "ConnectionError"}
    if kinds & unknown or said.startswith("Couldn't find cache"):
        return UnreachableError(
            f"The dataset {name} is neither on the hub, as far as this machine reaches it, nor in "
            f"the cache {cache} ({said})",
            remedy="Check the name. To work offline, fetch it where there is a network: "
            f"hf download --repo-type dataset {name} --local-dir DIR, and give DIR as the data.",
        )
    if "script" in said.lower():
        return DataError(
            f"The dataset {name} is a program, and no remote code is ever run: {said}",
            remedy="Look for a Parquet version of it on the hub, or fetch the files and give DIR.",
        )
    return DataError(
        f"The dataset {name} cannot be used: {said}",
        remedy="Name a configuration with --config and a split with --split, or fetch its files: "
        f"hf download --repo-type dataset {name} --local-dir DIR, and give DIR as the data.",
    )


@contextmanager
def _offline_where_cut_off() -> Iterator[None]:
    """Let `datasets` use its cache at once where the hub does not answer; it would try for long."""
    import datasets
    import huggingface_hub

    places: tuple[Any, Any] = (datasets.config, huggingface_hub.constants)
    before = [place.HF_HUB_OFFLINE for place in places]
    cut_off = any(before) or not _answers(huggingface_hub.constants.ENDPOINT)
    try:
        for place in places:
            place.HF_HUB_OFFLINE = cut_off
        yield
    finally:
        for place, value in zip(places, before, strict=True):
            place.HF_HUB_OFFLINE = value


def _answers(endpoint: str) -> bool:
    """Does somebody listen at the hub's address? Behind a proxy nobody can tell: then yes."""
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

    # In a thread, because looking up a name knows no time limit of ours.
    thread = threading.Thread(target=connect, daemon=True)
    thread.start()
    thread.join(_CONNECT_S)
    return connected.is_set()


HUB = Layout(read_hub, aliases=("hf",), needs_path=False)
