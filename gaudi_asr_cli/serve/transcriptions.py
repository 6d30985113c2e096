"""The routes `/v1/audio/transcriptions` and `/v1/audio/translations` of OpenAI's API."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack
from typing import Any, TypeVar

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from gaudi_asr_cli.core.serving.messages import ServedTranscript
from gaudi_asr_cli.core.serving.service import OnSegment, TranscriptionService
from gaudi_asr_cli.serve.api_errors import ApiError
from gaudi_asr_cli.serve.event_stream import stream_events
from gaudi_asr_cli.serve.form_fields import AudioForm, read_form
from gaudi_asr_cli.serve.responses import make_response
from gaudi_asr_cli.serve.settings import ServerSettings
from gaudi_asr_cli.serve.uploads import Upload, received_upload

ResultT = TypeVar("ResultT")


def transcription_routes(service: TranscriptionService, settings: ServerSettings) -> APIRouter:
    """Return the routes that transcribe and translate uploaded audio."""
    router = APIRouter(prefix="/v1/audio")

    async def answer(request: Request, task: str) -> Response:
        async with AsyncExitStack() as stack:
            stack.enter_context(service.admit())
            upload = await stack.enter_async_context(received_upload(request, settings))
            form = read_form(upload, service, task)
            if form.streams:
                # The response keeps the upload and the place in the queue.
                return _stream(service, upload, form, stack.pop_all())
            work = _transcribe(service, upload, form)
            return make_response(await or_disconnected(request, work), form)

    @router.post("/transcriptions")
    async def transcribe(request: Request) -> Response:
        return await answer(request, "transcribe")

    @router.post("/translations")
    async def translate(request: Request) -> Response:
        return await answer(request, "translate")

    return router


def _stream(
    service: TranscriptionService, upload: Upload, form: AudioForm, kept: AsyncExitStack
) -> Response:
    async def events() -> AsyncIterator[str]:
        async with kept:
            async for event in stream_events(
                lambda on_segment: _transcribe(service, upload, form, on_segment), form
            ):
                yield event

    headers = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
    return StreamingResponse(events(), media_type="text/event-stream", headers=headers)


async def _transcribe(
    service: TranscriptionService,
    upload: Upload,
    form: AudioForm,
    on_segment: OnSegment | None = None,
) -> ServedTranscript:
    return await service.transcribe(
        form.model, upload.path, form.options, name=form.filename, on_segment=on_segment
    )


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
