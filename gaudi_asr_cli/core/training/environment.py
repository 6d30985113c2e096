"""The environment of a run: enough to repeat it, or to refuse to resume it with other data."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Iterable, Sequence
from importlib import metadata
from typing import Any

from gaudi_asr_cli.core.devices.base import Device
from gaudi_asr_cli.core.records import Utterance

PACKAGES = (
    *("gaudi-asr", "torch", "transformers", "accelerate", "datasets"),
    *("optimum-habana", "habana-torch-plugin"),
    *("numpy", "soundfile", "av", "soxr", "jiwer"),
)


def describe_environment(device: Device, command: Sequence[str]) -> dict[str, Any]:
    """Return the command line, package versions, the device and the number of ranks."""
    return {
        "command": command,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "versions": {part: _version(part) for part in PACKAGES},
        "device": {"name": device.name, "description": device.description},
        "ranks": device.ranks.count,
    }


def _version(part: str) -> str | None:
    try:
        return metadata.version(part)
    except metadata.PackageNotFoundError:
        return None


def fingerprint_data(utterances: Iterable[Utterance]) -> str:
    """Return a hash of the utterances in order: ids, durations to 1 ms, and texts."""
    digest = hashlib.sha256()
    for utterance in utterances:
        duration_ms = round(1000 * (utterance.audio.duration_s or 0.0))
        digest.update(f"{utterance.id}\0{duration_ms}\0{utterance.text}\n".encode())
    return digest.hexdigest()


def fingerprint_text(text: str) -> str:
    """Return a hash of the text."""
    return hashlib.sha256(text.encode()).hexdigest()
