"""The routes `/v1/audio/transcriptions` and `/v1/audio/translations` of OpenAI's API."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any, TypeVar

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from gaudi_asr_cli.core.serving.messages import ServedTranscript
from gaudi_asr_cli.core.serving.service import OnSegment, TranscriptionService
from gaudi_asr_cli.serve.api_errors import ApiError
from gaudi_asr_cli.serve.event_stream import stream_events
from gaudi_asr_cli.serve.form_fields import AudioForm, read_form
from gaudi_asr_cli.serve.metrics import ServerMetrics
from gaudi_asr_cli.serve.responses import make_response
from gaudi_asr_cli.serve.settings import ServerSettings
from gaudi_asr_cli.serve.uploads import Upload, received_upload

ResultT = TypeVar("ResultT")


def transcription_routes(
    service: TranscriptionService, settings: ServerSettings, metrics: ServerMetrics
) -> APIRouter:
    """Return the routes that transcribe and translate uploaded audio."""
    router = APIRouter(prefix="/v1/audio")

    async def answer(request: Request, task: str) -> Response:
        began_s = time.monotonic()
        async with AsyncExitStack() as stack:
            stack.enter_context(metrics.counted_failures())
            stack.enter_context(service.admit())
            upload = await stack.enter_async_context(received_upload(request, settings))
            form = read_form(upload, service, task)
            asked = _AudioWork(service, metrics, upload, form, began_s, time.monotonic())
            if form.streams:
                # The response keeps the upload and the place in the queue.
                return _stream(asked, stack.pop_all())
            return make_response(await or_disconnected(request, asked.run()), form)

    @router.post("/transcriptions")
    async def transcribe(request: Request) -> Response:
        return await answer(request, "transcribe")

    @router.post("/translations")
    async def translate(request: Request) -> Response:
        return await answer(request, "translate")

    return router


@dataclass(frozen=True, slots=True)
class _AudioWork:
    """A form that was received, and when; times are those of the monotonic clock."""

    service: TranscriptionService
    metrics: ServerMetrics
    upload: Upload
    form: AudioForm
    began_s: float
    received_s: float

    async def run(self, on_segment: OnSegment | None = None) -> ServedTranscript:
        form = self.form
        result = await self.service.transcribe(
            form.model, self.upload.path, form.options, name=form.filename, on_segment=on_segment
        )
        total_s = time.monotonic() - self.began_s
        self.metrics.request_done(form.model, result, self.received_s - self.began_s, total_s)
        return result


def _stream(work: _AudioWork, kept: AsyncExitStack) -> Response:
    async def events() -> AsyncIterator[str]:
        async with kept:
            async for event in stream_events(work.run, work.form):
                yield event

    headers = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
    return StreamingResponse(events(), media_type="text/event-stream", headers=headers)


async def or_disconnected(request: Request, work: Coroutine[Any, Any, ResultT]) -> ResultT:
    """Return the result of the work, which is cancelled if the client goes away before.

    Raises:
        ApiError: The client has gone.
    """
    task = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(_await_disconnect(request))
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        raise ApiError(499, "The client has gone.", "client_disconnected")
    finally:
        gone.cancel()
        if not task.done():
            task.cancel()
            await asyncio.wait({task})


async def _await_disconnect(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
