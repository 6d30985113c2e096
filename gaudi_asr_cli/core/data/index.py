"""Measured utterances on disk: read and measured once, by one process for all ranks."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from gaudi_asr_cli.core.data.measure import BrokenAudio, Measured
from gaudi_asr_cli.core.records import AudioSpan, Utterance


def write_index(path: Path, measured: Measured) -> None:
    """Write one utterance per line; times are read back exactly."""
    with path.open("w", encoding="utf-8", errors="surrogateescape") as file:
        for values in _lines(measured):
            file.write(json.dumps(values, ensure_ascii=False, default=str) + "\n")


def read_index(path: Path) -> Measured:
    """Read what `write_index` wrote, in the same order."""
    good: list[Utterance] = []
    broken: list[BrokenAudio] = []
    with path.open(encoding="utf-8", errors="surrogateescape") as file:
        for line in file:
            values = json.loads(line)
            reason = values.pop("reason", None)
            utterance = _utterance(values)
            if reason is None:
                good.append(utterance)
            else:
                broken.append(BrokenAudio(utterance, reason))
    return Measured(tuple(good), tuple(broken))


def _lines(measured: Measured) -> Iterator[dict[str, Any]]:
    for utterance in measured.utterances:
        yield asdict(utterance)
    for broken in measured.broken:
        yield {**asdict(broken.utterance), "reason": broken.reason}


def _utterance(values: dict[str, Any]) -> Utterance:
    span = values.pop("audio")
    return Utterance(audio=AudioSpan(Path(span.pop("path")), **span), **values)
