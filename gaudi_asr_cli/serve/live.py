"""The WebSocket `/v1/audio/stream`: live audio in, partial and final transcripts out."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from fastapi import APIRouter
from starlette.responses import JSONResponse
from starlette.websockets import WebSocket, WebSocketDisconnect

from gaudi_asr_cli.core.errors import AsrError
from gaudi_asr_cli.core.inference.live import FinalTranscript, LiveEvent, LiveTranscriber
from gaudi_asr_cli.core.inference.live_speech import LiveAudio, open_live_detector
from gaudi_asr_cli.core.json_text import json_text
from gaudi_asr_cli.core.records import SAMPLE_RATE_HZ, Transcript
from gaudi_asr_cli.core.serving.messages import RequestOptions
from gaudi_asr_cli.core.serving.places import describe_place
from gaudi_asr_cli.core.serving.service import TranscriptionService
from gaudi_asr_cli.serve.api_errors import ApiError, as_api_error
from gaudi_asr_cli.serve.form_fields import find_served
from gaudi_asr_cli.serve.live_messages import (
    StartMessage,
    describe_event,
    read_message,
    read_start,
)
from gaudi_asr_cli.serve.live_pcm import PcmReader

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Samples = NDArray[np.float32]

STREAM_PATH = "/v1/audio/stream"
LIVE_POLL_S = 0.5
"""How often a stream that waits for audio looks whether the server is about to end."""
CLOSE_NORMAL, CLOSE_POLICY, CLOSE_TOO_BIG, CLOSE_FAILED = 1000, 1008, 1009, 1011
CLOSE_RESTARTING, CLOSE_LATER = 1012, 1013
CLOSE_CODES = {401: CLOSE_POLICY, 403: CLOSE_POLICY, 413: CLOSE_TOO_BIG, 429: CLOSE_LATER}
"""Close codes of WebSockets, by the status of the error; below 500 another is `CLOSE_POLICY`."""


@dataclass(frozen=True, slots=True)
class LiveLimits:
    """Limits of live streams.

    Args:
        max_streams: Streams at once.
        max_message_bytes: Longest message of a client.
        start_timeout_s: Longest time until the first message.
        idle_timeout_s: Longest time without a message, and until one is received.
    """

    max_streams: int = 32
    max_message_bytes: int = 256 << 10
    start_timeout_s: float = 10.0
    idle_timeout_s: float = 30.0


DEFAULT_LIMITS = LiveLimits()
SERVER_FAILED = ApiError(500, "The server failed.", "server_error", kind="server_error")
IsAllowed = Callable[[str], bool]
"""Returns whether a client with this key may use the server."""


class LiveObserver:
    """Receives what happens in live streams, for metrics; this one ignores it."""

    def stream_opened(self) -> None:
        """Count a stream that has started."""

    def stream_closed(self, seconds: float) -> None:
        """Count a stream that has ended after so much audio."""

    def stream_failed(self, code: str) -> None:
        """Count a stream that ends with an error."""

    def noticed(self, message: str) -> None:
        """Report what the operator should read."""

    def final_sent(self, latency_s: float) -> None:
        """Count a final transcript, and its time since the end of speech."""


def live_routes(
    service: TranscriptionService,
    is_allowed: IsAllowed,
    observer: LiveObserver,
    limits: LiveLimits = DEFAULT_LIMITS,
) -> APIRouter:
    """Return the route of live transcription; `is_allowed` checks the key of each stream."""
    router = APIRouter()
    streams = _Streams(limits.max_streams)

    @router.websocket(STREAM_PATH)
    async def stream(websocket: WebSocket) -> None:
        if not is_same_origin(websocket.headers):
            error = ApiError(403, "The page is of another site than this server.", "cross_origin")
            await websocket.send_denial_response(JSONResponse({"error": error.to_json()}, 403))
            return
        await websocket.accept()
        live = _LiveStream(websocket, service, is_allowed, observer, limits)
        with suppress(WebSocketDisconnect):
            try:
                with streams.counted():
                    await live.run()
            except ApiError as error:
                await live.fail(error)
            except AsrError as error:
                await live.fail(as_api_error(error))
            except WebSocketDisconnect:
                raise
            except Exception as error:  # noqa: BLE001 - the client gets no internals
                observer.noticed(f"A live stream failed: {describe_place(error)}.")
                await live.fail(SERVER_FAILED)

    return router


def is_same_origin(headers: Mapping[str, str]) -> bool:
    """Return whether a request is of a page of this server, or of no page at all.

    Browsers let any page open a WebSocket anywhere, and name the page's origin.
    """
    origin = headers.get("origin")
    if origin is None:
        return True
    return urlsplit(origin).netloc.lower() == headers.get("host", "").lower()


class _IdleError(Exception):
    """No message came in time."""


def _idle_error(timeout_s: float) -> ApiError:
    return ApiError(408, f"No message came within {timeout_s:g} s.", "idle_timeout")


class _Streams:
    """Counts the open streams."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._open = 0

    @contextmanager
    def counted(self) -> Iterator[None]:
        """Count one more stream, until the block is left.

        Raises:
            ApiError: There are as many as allowed.
        """
        if self._open >= self._limit:
            raise ApiError(
                429,
                f"The server has {self._open} live streams. Connect again later.",
                "too_many_streams",
                kind="rate_limit_error",
            )
        self._open += 1
        try:
            yield
        finally:
            self._open -= 1


class _LiveStream:
    """One connection: its messages are received, and events are sent, until the audio ends."""

    def __init__(
        self,
        websocket: WebSocket,
        service: TranscriptionService,
        is_allowed: IsAllowed,
        observer: LiveObserver,
        limits: LiveLimits,
    ) -> None:
        self._websocket = websocket
        self._service = service
        self._is_allowed = is_allowed
        self._observer = observer
        self._limits = limits
        self._sending = asyncio.Lock()
        self._samples = 0
        self._is_draining = self._is_idle = False

    async def run(self) -> None:
        """Transcribe the stream.

        Raises:
            ApiError: A message is wrong, or a limit is reached.
            AsrError: The audio cannot be transcribed, or the server is about to end.
            WebSocketDisconnect: The client has gone.
        """
        with self._service.admit():
            first = await self._receive_first()
            if first is None:
                await self._websocket.close(CLOSE_RESTARTING)
                return
            start, data = self._read_first(first)
            self._authenticate(start)
            model = self._find_model(start)
            self._observer.stream_opened()
            try:
                await self._transcribe(start, model, data)
            finally:
                self._observer.stream_closed(self._samples / SAMPLE_RATE_HZ)

    async def _transcribe(self, start: StartMessage, model: str, data: bytes) -> None:
        options = RequestOptions(language=start.language, prompt=start.prompt)

        async def transcribe(audio: LiveAudio, is_final: bool) -> Transcript:
            asked = replace(options, words=is_final, is_partial=not is_final)
            # Final transcripts go before those of all clients, partial ones wait among these.
            served = await self._service.transcribe_samples(
                model, audio.samples, asked, is_live=is_final
            )
            return served.transcript

        live = LiveTranscriber(transcribe, self._emit, open_live_detector(), start.settings)
        await live.run(self._pieces(start, data))
        if self._is_idle:
            raise _idle_error(self._limits.idle_timeout_s)
        await self._send({"type": "done", "duration": round(live.duration_s, 3)})
        code = CLOSE_RESTARTING if self._is_draining else CLOSE_NORMAL
        await self._websocket.close(code)

    async def fail(self, error: ApiError) -> None:
        """Send an error, and close the connection."""
        self._observer.stream_failed(error.code or "")
        await self._send({"type": "error", "error": error.to_json()})
        default = CLOSE_FAILED if error.status >= 500 else CLOSE_POLICY
        await self._websocket.close(CLOSE_CODES.get(error.status, default))

    def _read_first(self, message: Mapping[str, Any]) -> tuple[StartMessage, bytes]:
        """Return the start message and the first audio: it may come without a start message."""
        defaults = {
            name: value
            for name, value in self._websocket.query_params.items()
            if name in {"model", "language"}
        }
        data = message.get("bytes")
        if data is not None:
            return read_start({}, defaults), data
        fields = read_message(message["text"])
        if fields.get("type") != "start":
            raise ApiError(
                400, "The first message is neither audio nor of type start.", "invalid_message"
            )
        return read_start(fields, defaults), b""

    def _authenticate(self, start: StartMessage) -> None:
        given = self._websocket.headers.get("authorization", "").removeprefix("Bearer ")
        if not self._is_allowed(given or start.api_key or ""):
            raise ApiError(
                401,
                "The API key is missing or wrong. Send it as Authorization: Bearer KEY, or as "
                "api_key in the start message.",
                "invalid_api_key",
            )

    def _find_model(self, start: StartMessage) -> str:
        names = list(self._service.models)
        if start.model is None and len(names) == 1:
            return names[0]
        return find_served(start.model, self._service)

    async def _pieces(self, start: StartMessage, data: bytes) -> AsyncIterator[Samples]:
        """Yield the samples of the messages until the client ends the audio."""
        reader = PcmReader(start.encoding, start.sample_rate)
        limit_s = self._service.settings.max_duration_s
        piece: bytes | None = data
        while piece is not None:
            samples = reader.read(piece)
            self._samples += len(samples)
            if self._samples > limit_s * SAMPLE_RATE_HZ:
                raise ApiError(
                    400, f"The stream is longer than {limit_s:,.0f} s.", "stream_too_long"
                )
            yield samples
            piece = await self._receive_audio()
        yield reader.finish()

    async def _receive_first(self) -> Mapping[str, Any] | None:
        limit_s = self._limits.start_timeout_s
        try:
            return await self._receive(limit_s)
        except _IdleError:
            raise _idle_error(limit_s) from None

    async def _receive_audio(self) -> bytes | None:
        """Return the bytes of the next message; None at the end of the audio."""
        try:
            message = await self._receive(self._limits.idle_timeout_s)
        except _IdleError:
            # What was said before gets its final transcript, and then the client this error.
            self._is_idle = True
            return None
        if message is None:
            return None
        data: bytes | None = message.get("bytes")
        if data is None and read_message(message["text"]).get("type") != "end":
            raise ApiError(400, "A message is neither audio nor of type end.", "invalid_message")
        return data

    async def _receive(self, timeout_s: float) -> Mapping[str, Any] | None:
        """Return the next message; None if the server is about to end.

        Raises:
            _IdleError: None came in time.
        """
        receiving = asyncio.ensure_future(self._websocket.receive())
        deadline_s = time.monotonic() + timeout_s
        try:
            while True:
                if self._service.is_draining:
                    self._is_draining = True
                    return None
                await asyncio.wait({receiving}, timeout=LIVE_POLL_S)
                if receiving.done():
                    return self._check(receiving.result())
                if time.monotonic() > deadline_s:
                    raise _IdleError
        finally:
            receiving.cancel()

    def _check(self, message: Mapping[str, Any]) -> Mapping[str, Any]:
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(message.get("code", CLOSE_NORMAL))
        content = message.get("bytes") or message.get("text") or ""
        if len(content) > self._limits.max_message_bytes:
            raise ApiError(
                413,
                f"A message is longer than {self._limits.max_message_bytes:,} bytes.",
                "message_too_large",
            )
        return message

    async def _emit(self, event: LiveEvent) -> None:
        await self._send(describe_event(event))
        if isinstance(event, FinalTranscript):
            self._observer.final_sent(event.latency_s)

    async def _send(self, message: Mapping[str, Any]) -> None:
        """Send a message.

        Raises:
            WebSocketDisconnect: The client does not receive, or has gone.
        """
        async with self._sending:
            sending = self._websocket.send_text(json_text(message))
            try:
                await asyncio.wait_for(sending, self._limits.idle_timeout_s)
            except asyncio.TimeoutError:
                raise WebSocketDisconnect(CLOSE_POLICY) from None
