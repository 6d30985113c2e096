"""Transcripts in the shapes of OpenAI's API."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from starlette.responses import Response

from gaudi_asr_cli.core.decoding.segments import segments_of
from gaudi_asr_cli.core.events import UtteranceDone
from gaudi_asr_cli.core.formats import FORMATS
from gaudi_asr_cli.core.json_text import json_text
from gaudi_asr_cli.core.records import DecodingStats, Segment, Transcript
from gaudi_asr_cli.core.serving.messages import ServedTranscript
from gaudi_asr_cli.serve.form_fields import AudioForm

TEXT_FORMATS = {
    "text": ("txt", "text/plain"),
    "srt": ("srt", "text/plain"),
    "vtt": ("vtt", "text/vtt"),
}
"""Response format -> the format of `core.formats`, and the media type."""
UNKNOWN_LANGUAGE = "unknown"


def make_response(result: ServedTranscript, form: AudioForm) -> Response:
    """Return a transcript in the format that a form asks for."""
    if form.response_format in TEXT_FORMATS:
        name, media_type = TEXT_FORMATS[form.response_format]
        done = UtteranceDone(form.filename, form.filename, result.duration_s, result.transcript)
        return Response("".join(FORMATS[name].write([done])), media_type=media_type)
    is_verbose = form.response_format == "verbose_json"
    value = verbose_json(result, form) if is_verbose else plain_json(result)
    return Response(json_text(value), media_type="application/json")


def plain_json(result: ServedTranscript) -> dict[str, Any]:
    """Return the value of the format `json`."""
    language = result.transcript.language
    languages = [{"code": language}] if language else []
    return {"text": result.transcript.text, "languages": languages, "usage": usage_json(result)}


def usage_json(result: ServedTranscript) -> dict[str, Any]:
    """Return what was used, as OpenAI's API counts it for models without tokens."""
    return {"type": "duration", "seconds": round(result.duration_s, 3)}


def verbose_json(result: ServedTranscript, form: AudioForm) -> dict[str, Any]:
    """Return the value of the format `verbose_json`, with the granularities asked for."""
    transcript = result.transcript
    value = {
        "task": form.options.task or "transcribe",
        "language": transcript.language or form.options.language or UNKNOWN_LANGUAGE,
        "duration": round(result.duration_s, 3),
        "text": transcript.text,
        "usage": usage_json(result),
    }
    if "segment" in form.granularities:
        value["segments"] = [
            segment_json(number, one, transcript)
            for number, one in enumerate(timed_segments(transcript))
        ]
    if "word" in form.granularities:
        value["words"] = [
            {"word": one.word, "start": round(one.start_s, 3), "end": round(one.end_s, 3)}
            for one in transcript.words
        ]
    return value


def timed_segments(transcript: Transcript) -> tuple[Segment, ...]:
    """Return the segments of a transcript: those of the model, or words between pauses.

    They begin and end with their words, where those are timed: a client may tell by the times which
    words are whose.
    """
    return tuple(
        replace(one, start_s=one.words[0].start_s, end_s=one.words[-1].end_s) if one.words else one
        for one in segments_of(transcript)
    )


def segment_json(number: int, segment: Segment, transcript: Transcript) -> dict[str, Any]:
    """Return a segment; measures that the model does not give are those of a certain text."""
    stats = segment.stats or transcript.stats or DecodingStats(0.0, 0.0, 1.0, 0.0)
    return {
        "id": number,
        "seek": 0,
        "start": round(segment.start_s, 3),
        "end": round(segment.end_s, 3),
        "text": segment.text,
        "tokens": [],
        "temperature": stats.temperature,
        "avg_logprob": stats.avg_logprob,
        "compression_ratio": stats.compression_ratio,
        "no_speech_prob": stats.no_speech_probability or 0.0,
    }
