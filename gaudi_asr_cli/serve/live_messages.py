"""Messages of the WebSocket of live transcription: what a client sends, and gets."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gaudi_asr_cli.core.inference.live import FinalTranscript, LiveEvent, PartialTranscript
from gaudi_asr_cli.core.inference.live_speech import LiveSettings
from gaudi_asr_cli.core.records import SAMPLE_RATE_HZ
from gaudi_asr_cli.serve.api_errors import ApiError
from gaudi_asr_cli.serve.live_pcm import LIVE_ENCODINGS

LIVE_RATES_HZ = (8_000, 192_000)
"""The lowest and highest rate of samples."""
DEFAULT_ENCODING = "s16le"
TEXTS = ("model", "language", "prompt", "encoding", "api_key")
"""Fields of a start message that are text; the others are numbers."""
SETTINGS = {"pause": "pause_s", "partial": "partial_s", "max_utterance": "max_utterance_s"}
"""Fields of a start message that are seconds: the names in `LiveSettings`."""
TEXT_LIMIT = 4096
DEFAULT_SETTINGS = LiveSettings()


@dataclass(frozen=True, slots=True)
class StartMessage:
    """What a client asks for before it sends audio.

    Args:
        model: Name of the model; None is the only one.
        language: Spoken language.
        prompt: Text before the audio (Whisper).
        encoding: A key of `LIVE_ENCODINGS`.
        sample_rate: Rate of the samples in Hz.
        api_key: The key, from clients that cannot send headers.
        settings: How the audio is divided into utterances.
    """

    model: str | None = None
    language: str | None = None
    prompt: str | None = None
    encoding: str = DEFAULT_ENCODING
    sample_rate: int = SAMPLE_RATE_HZ
    api_key: str | None = field(default=None, repr=False)
    settings: LiveSettings = DEFAULT_SETTINGS


def read_message(text: str) -> dict[str, Any]:
    """Return the object of a text message.

    Raises:
        ApiError: It is no JSON object.
    """
    try:
        message = json.loads(text)
    except (ValueError, RecursionError):
        message = None
    if not isinstance(message, dict):
        raise ApiError(400, "A text message is not a JSON object.", "invalid_message")
    return message


def read_start(message: Mapping[str, Any], defaults: Mapping[str, str]) -> StartMessage:
    """Check a start message; what it lacks is taken from the defaults, of the URL.

    Raises:
        ApiError: A field is unknown or wrong.
        UsageError: A time is outside of its limits.
    """
    known = {"type", "sample_rate", *TEXTS, *SETTINGS}
    if unknown := sorted(set(message) - known):
        raise invalid_field(unknown[0][:40], f"one of {', '.join(sorted(known))}")
    texts = {name: _read_text(message, name) or defaults.get(name) for name in TEXTS}
    encoding = texts.pop("encoding") or DEFAULT_ENCODING
    if encoding not in LIVE_ENCODINGS:
        raise invalid_field("encoding", f"one of {', '.join(LIVE_ENCODINGS)}")
    rate_hz = message.get("sample_rate", SAMPLE_RATE_HZ)
    low_hz, high_hz = LIVE_RATES_HZ
    if type(rate_hz) is not int or not low_hz <= rate_hz <= high_hz:
        raise invalid_field("sample_rate", f"a whole number from {low_hz} to {high_hz}")
    settings = LiveSettings(
        **{ours: _read_seconds(message, name) for name, ours in SETTINGS.items() if name in message}
    )
    settings.check()
    return StartMessage(encoding=encoding, sample_rate=rate_hz, settings=settings, **texts)


def invalid_field(name: str, wanted: str) -> ApiError:
    """Return the error of a field of a message that is not what it may be."""
    return ApiError(400, f"{name} is not {wanted}.", "invalid_value", name)


def _read_text(message: Mapping[str, Any], name: str) -> str | None:
    value = message.get(name)
    if value is not None and (not isinstance(value, str) or len(value) > TEXT_LIMIT):
        raise invalid_field(name, f"a string of up to {TEXT_LIMIT} characters")
    return value


def _read_seconds(message: Mapping[str, Any], name: str) -> float:
    value = message[name]
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise invalid_field(name, "a number of seconds")
    return float(value)


def describe_event(event: LiveEvent) -> dict[str, Any]:
    """Return an event of live transcription as a message."""
    if isinstance(event, PartialTranscript):
        return {
            "type": "partial",
            "id": event.number,
            "start": round(event.start_s, 3),
            "end": round(event.end_s, 3),
            "text": event.text,
        }
    if isinstance(event, FinalTranscript):
        return _describe_final(event)
    return {"type": "speech_started", "id": event.number, "start": round(event.start_s, 3)}


def _describe_final(event: FinalTranscript) -> dict[str, Any]:
    transcript = event.transcript
    return {
        "type": "final",
        "id": event.number,
        "start": round(event.start_s, 3),
        "end": round(event.end_s, 3),
        "text": transcript.text,
        "words": [
            {"word": word.word, "start": round(word.start_s, 3), "end": round(word.end_s, 3)}
            for word in transcript.words
        ],
        "language": transcript.language,
        "latency_s": round(event.latency_s, 3),
    }
