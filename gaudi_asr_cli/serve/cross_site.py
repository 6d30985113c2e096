"""Requests that pages of other sites have browsers send."""

from __future__ import annotations

from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Receive, Scope, Send

from gaudi_asr_cli.serve.api_errors import ApiError

OTHER_SITES = frozenset({"cross-site", "same-site"})
"""Values of `Sec-Fetch-Site` for another origin; browsers send it, and pages cannot change it."""
READING = frozenset({"GET", "HEAD"})


class CrossSiteCheck:
    """Rejects work that a page of another site asks for.

    A server on 127.0.0.1 is reached by every page that its user opens. Links to its own page work.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] in READING:
            await self._app(scope, receive, send)
            return
        if HTTPConnection(scope).headers.get("sec-fetch-site") not in OTHER_SITES:
            await self._app(scope, receive, send)
            return
        error = ApiError(403, "Pages of other sites may not use this server.", "cross_site")
        await error.response()(scope, receive, send)
