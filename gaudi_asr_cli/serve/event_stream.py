"""Streamed transcripts: the server-sent events of OpenAI's API, while the text comes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

from gaudi_asr_cli.core.errors import AsrError
from gaudi_asr_cli.core.json_text import json_text
from gaudi_asr_cli.core.records import Segment
from gaudi_asr_cli.core.serving.messages import ServedTranscript
from gaudi_asr_cli.serve.api_errors import as_api_error
from gaudi_asr_cli.serve.form_fields import AudioForm
from gaudi_asr_cli.serve.responses import timed_segments, verbose_json

SPEAKER = "A"
"""The speaker of every segment: OpenAI's event must name one."""
KEEP_ALIVE_S = 15.0
"""Proxies end a connection that is silent for a minute."""

StartWork = Callable[[Callable[[Segment], None]], Coroutine[Any, Any, ServedTranscript]]


async def stream_events(start: StartWork, form: AudioForm) -> AsyncIterator[str]:
    """Yield the events of a request: `transcript.text.delta` and `.segment`, then `.done`.

    The deltas are the text as far as it is known; `done` has the whole text, which may differ from
    them where two parts of long audio meet. The work is cancelled with this iterator.
    """
    parts: asyncio.Queue[Segment | None] = asyncio.Queue()
    work = asyncio.ensure_future(start(parts.put_nowait))
    work.add_done_callback(lambda _: parts.put_nowait(None))
    text = _StreamedText()
    try:
        while True:
            try:
                segment = await asyncio.wait_for(parts.get(), KEEP_ALIVE_S)
            except asyncio.TimeoutError:
                yield ": still working\n\n"
                continue
            if segment is None:
                break
            for event in text.add(segment):
                yield _format_event(event)
        try:
            result = work.result()
        except AsrError as error:
            # The status was sent long ago: the error is an event, which OpenAI's client raises.
            yield "event: error\n" + _format_event({"error": as_api_error(error).to_json()})
            return
        for event in text.finish(result, form):
            yield _format_event(event)
    finally:
        if not work.done():
            work.cancel()
            await asyncio.wait({work})


class _StreamedText:
    """The events of a text that comes in segments."""

    def __init__(self) -> None:
        self._sent = ""
        self._segments = 0

    def add(self, segment: Segment) -> list[dict[str, Any]]:
        """Return the events of a segment."""
        text = segment.text.strip()
        if not text:
            return []
        self._segments += 1
        delta = f" {text}" if self._sent else text
        self._sent += delta
        return [_delta_event(delta, self._segments), _segment_event(segment, self._segments)]

    def finish(self, result: ServedTranscript, form: AudioForm) -> list[dict[str, Any]]:
        """Return the events that are left once the whole text is known."""
        transcript = result.transcript
        events = []
        if not self._sent and transcript.text:
            whole = (Segment(transcript.text, 0.0, result.duration_s),)
            events.append(_delta_event(transcript.text, 1))
            events += [
                _segment_event(one, number)
                for number, one in enumerate(timed_segments(transcript) or whole, 1)
            ]
        elif transcript.text.startswith(self._sent) and transcript.text != self._sent:
            events.append(_delta_event(transcript.text[len(self._sent) :], self._segments))
        details = verbose_json(result, form) if form.response_format == "verbose_json" else {}
        # OpenAI counts the tokens of streamed texts, which a CTC model has none of.
        details.pop("usage", None)
        return [*events, {"type": "transcript.text.done", **details, "text": transcript.text}]


def _delta_event(delta: str, segment: int) -> dict[str, Any]:
    return {"type": "transcript.text.delta", "delta": delta, "segment_id": f"seg_{segment}"}


def _segment_event(segment: Segment, number: int) -> dict[str, Any]:
    return {
        "type": "transcript.text.segment",
        "id": f"seg_{number}",
        "start": round(segment.start_s, 3),
        "end": round(segment.end_s, 3),
        "text": segment.text.strip(),
        "speaker": SPEAKER,
    }


def _format_event(event: dict[str, Any]) -> str:
    return f"data: {json_text(event)}\n\n"
