"""The options that decide what a transcript says, by the names of their options."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Collection, Mapping
from dataclasses import asdict
from typing import Any

from gaudi_asr_cli.core.data.paths import expand_home
from gaudi_asr_cli.core.errors import UsageError
from gaudi_asr_cli.core.formats.cues import DEFAULT_STYLE, CueStyle
from gaudi_asr_cli.core.inference.options import InferenceOptions
from gaudi_asr_cli.core.records import RawFormat

OPTION_NAMES = {"beams": "beam-size", "temperatures": "temperature"}
WEIGHTS_KEY = "weights"
"""Key of the digest of a local model's weights."""
SAMPLED_BLOCKS, SAMPLED_BYTES = 64, 16_384
WITHOUT_EFFECT = frozenset(
    {"kind", "mode", "graphs", "batch_s", "buckets", "edges_s", "batch_size"}
)
"""Options of inference that change how fast a transcript is made, or are no options of `infer`."""


def describe_options(  # noqa: PLR0913 - what `infer` is given
    model: str,
    options: InferenceOptions,
    formats: Collection[str],
    style: CueStyle = DEFAULT_STYLE,
    *,
    channel: int | str | None = None,
    track: int | None = None,
    raw: RawFormat | None = None,
) -> dict[str, Any]:
    """Return the options of a run that its transcripts depend on, as JSON values by name."""
    inference = {
        OPTION_NAMES.get(name, name.replace("_", "-")): value
        for name, value in asdict(options).items()
        if name not in WITHOUT_EFFECT
    }
    values = {
        "model": _name_model(model),
        WEIGHTS_KEY: _fingerprint(model),
        "format": sorted(formats),
        "channel": channel,
        "track": track,
        "raw": None if raw is None else asdict(raw),
        "max-line-width": style.line_characters,
        "max-line-count": style.lines,
        "highlight-words": style.highlights,
        **inference,
    }
    described: dict[str, Any] = json.loads(json.dumps(values))
    return described


def _name_model(model: str) -> str:
    path = expand_home(model)
    return os.path.abspath(path) if path.is_dir() else model  # noqa: PTH100 - links stay


def _fingerprint(model: str) -> str | None:
    """Return a digest of parts of a local model's weights; None of one of the hub.

    The time of a file would not do: a copy has another.
    """
    path = expand_home(model)
    weights = sorted([*path.glob("*.safetensors"), *path.glob("model/*.safetensors")])
    if not path.is_dir() or not weights:
        return None
    digest = hashlib.sha256()
    for file in weights:
        try:
            with file.open("rb") as opened:
                size = opened.seek(0, os.SEEK_END)
                digest.update(f"{file.name} {size}".encode())
                last = max(size - SAMPLED_BYTES, 0)
                for number in range(SAMPLED_BLOCKS):
                    opened.seek(last * number // (SAMPLED_BLOCKS - 1))
                    digest.update(opened.read(SAMPLED_BYTES))
        except OSError:
            # Opening the model reports what is wrong with it.
            return None
    return digest.hexdigest()[:16]


def check_options(journal: Mapping[str, Any], own: Mapping[str, Any], folder: str) -> None:
    """Check that a journal was written with the same options; one that it lacks is not compared.

    Raises:
        UsageError: One of them differs; the message names it and both values.
    """
    if (
        None not in (journal.get(WEIGHTS_KEY), own.get(WEIGHTS_KEY))
        and journal[WEIGHTS_KEY] != own[WEIGHTS_KEY]
    ):
        raise UsageError(
            f"The weights of {own['model']} have changed since the transcripts in {folder} were "
            "made.",
            remedy="Name another --out-dir, or transcribe all inputs again with --overwrite.",
        )
    for name, value in own.items():
        if name != WEIGHTS_KEY and name in journal and journal[name] != value:
            raise UsageError(
                f"The transcripts in {folder} were made with --{name} {_show(journal[name])}, not "
                f"{_show(value)}.",
                remedy="Resume with the same options, name another --out-dir, or transcribe all "
                "inputs again with --overwrite.",
            )


def _show(value: Any) -> str:
    if isinstance(value, list) and value:
        return ",".join(map(str, value))
    return "(not given)" if value is None or value == [] else str(value)
