"""The names that a server answers to: a page whose name was pointed at this machine has another."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from urllib.parse import urlsplit

from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Receive, Scope, Send

from gaudi_asr_cli.serve.api_errors import ApiError

LOCAL_NAME = "localhost"
MOST_SHOWN = 100


class HostCheck:
    """Rejects requests and streams to a name that is not the server's, with 421.

    A browser takes a page and a server of the same name for the same site, so that a page whose
    name is made to lead to 127.0.0.1 (DNS rebinding) could read all that a server there answers.
    Addresses lead nowhere else, and are not checked.
    """

    def __init__(self, app: ASGIApp, names: Iterable[str]) -> None:
        self._app = app
        self._names = {LOCAL_NAME, *(name.lower() for name in names)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in {"http", "websocket"}:
            await self._app(scope, receive, send)
            return
        given = HTTPConnection(scope).headers.get("host")
        # Browsers always send it.
        if given is None or self._is_known(read_name(given)):
            await self._app(scope, receive, send)
            return
        error = ApiError(
            421,
            f"This server does not answer to the name {given[:MOST_SHOWN]}. Use localhost or the "
            "address, or have it started with --allow-host NAME.",
            "unknown_host",
        )
        await error.response()(scope, receive, send)

    def _is_known(self, name: str | None) -> bool:
        return name is not None and (name in self._names or _is_address(name))


def read_name(host: str) -> str | None:
    """Return the name or address in a `Host`, without its port; None if it is malformed."""
    try:
        parts = urlsplit(f"//{host}")
        name, _ = parts.hostname, parts.port
    except ValueError:
        return None
    return name.rstrip(".") if name and parts.netloc == host and "@" not in host else None


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
