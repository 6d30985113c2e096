"""Bodies of requests that were answered with an error before they had arrived."""

from __future__ import annotations

import asyncio

from starlette.types import ASGIApp, Message, Receive, Scope, Send

DISCARD_S = 5.0
REQUEST_TIMEOUT = 408


class UnreadBodies:
    """Reads what is left of a body, up to a limit, before an error is sent, and drops it.

    The connection is closed after the error. If it were closed while data arrives, the system would
    reset it, and most clients would report that instead of the error.
    """

    def __init__(self, app: ASGIApp, limit: int) -> None:
        self._app = app
        self._limit = limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        body = _Body(receive)

        async def send_after_body(message: Message) -> None:
            status = message.get("status", 0)
            if status >= 400 and status != REQUEST_TIMEOUT:
                await body.discard(self._limit)
            await send(message)

        await self._app(scope, body.receive, send_after_body)


class _Body:
    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._is_read = False

    async def receive(self) -> Message:
        message = await self._receive()
        if message["type"] != "http.request" or not message.get("more_body", False):
            self._is_read = True
        return message

    async def discard(self, limit: int) -> None:
        """Read the rest, for a few seconds and up to `limit` bytes."""
        try:
            await asyncio.wait_for(self._discard(limit), DISCARD_S)
        except asyncio.TimeoutError:
            return

    async def _discard(self, limit: int) -> None:
        while not self._is_read and limit > 0:
            limit -= len((await self.receive()).get("body", b""))
