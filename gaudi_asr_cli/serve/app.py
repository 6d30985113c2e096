"""The application: all routes, the check of the key, and errors in OpenAI's shape."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from gaudi_asr_cli.core.errors import AsrError
from gaudi_asr_cli.core.serving.places import describe_place
from gaudi_asr_cli.core.serving.service import TranscriptionService
from gaudi_asr_cli.serve.api_errors import ApiError, as_api_error
from gaudi_asr_cli.serve.cross_site import CrossSiteCheck
from gaudi_asr_cli.serve.host_names import HostCheck
from gaudi_asr_cli.serve.live import live_routes
from gaudi_asr_cli.serve.live_metrics import LiveMetrics
from gaudi_asr_cli.serve.metrics import ServerMetrics, ignore_notice, metrics_routes
from gaudi_asr_cli.serve.page import page_routes
from gaudi_asr_cli.serve.settings import ServerSettings
from gaudi_asr_cli.serve.status import health_routes, model_routes
from gaudi_asr_cli.serve.transcriptions import transcription_routes
from gaudi_asr_cli.serve.unread_bodies import UnreadBodies

KEYED_PATHS = ("/v1/", "/metrics")
"""Starts of paths that need the key, where there is one; the page and health need none."""
BEARER = "Bearer "


def create_app(
    service: TranscriptionService, settings: ServerSettings, metrics: ServerMetrics | None = None
) -> FastAPI:
    """Return the application in front of a service, of which `metrics` is the observer."""
    counted = ServerMetrics(ignore_notice) if metrics is None else metrics
    counted.watch(service)
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)
    app.include_router(transcription_routes(service, settings, counted))
    app.include_router(metrics_routes(counted))
    app.include_router(model_routes(service))
    app.include_router(health_routes(service))
    app.include_router(live_routes(service, partial(_is_allowed, settings), LiveMetrics(counted)))
    app.include_router(page_routes())
    if settings.api_key is not None:
        app.add_middleware(KeyCheck, key=settings.api_key, metrics=counted)
    app.add_exception_handler(ApiError, _answer_api_error)
    app.add_exception_handler(AsrError, _answer_service_error)
    app.add_exception_handler(HTTPException, _answer_http_error)
    app.add_exception_handler(Exception, _bug_handler(counted))
    app.add_middleware(CrossSiteCheck)
    if settings.names is not None:
        app.add_middleware(HostCheck, names=settings.names)
    app.add_middleware(UnreadBodies, limit=settings.max_upload_bytes)
    return app


class KeyCheck:
    """Answers requests without the key with 401, before their body is read.

    A page in a browser cannot set headers of a WebSocket: it sends the key as a subprotocol, or
    as its first message, which is the work of that route.
    """

    def __init__(self, app: ASGIApp, key: str, metrics: ServerMetrics) -> None:
        self._app = app
        self._metrics = metrics
        self._key = key

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].startswith(KEYED_PATHS):
            await self._app(scope, receive, send)
            return
        given = HTTPConnection(scope).headers.get("authorization", "")
        if is_key(given.removeprefix(BEARER), self._key):
            await self._app(scope, receive, send)
            return
        missing = "Send the API key: Authorization: Bearer KEY."
        message = "The API key is wrong." if given else missing
        error = ApiError(401, message, "invalid_api_key", headers={"WWW-Authenticate": "Bearer"})
        self._metrics.request_failed(error.status, error.code)
        await error.response()(scope, receive, send)


def _is_allowed(settings: ServerSettings, given: str) -> bool:
    return settings.api_key is None or is_key(given, settings.api_key)


def is_key(given: str, key: str) -> bool:
    """Return whether it is the key; the time that takes does not depend on where they differ."""
    return hmac.compare_digest(given.encode(), key.encode())


async def _answer_api_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, ApiError)  # noqa: S101 - as registered
    return error.response()


async def _answer_service_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, AsrError)  # noqa: S101 - as registered
    return as_api_error(error).response()


async def _answer_http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - as registered
    headers = dict(error.headers or {})
    message = f"{request.method} {request.url.path[:100]}: {error.detail}."
    return ApiError(error.status_code, message, headers=headers).response()


def _bug_handler(
    metrics: ServerMetrics,
) -> Callable[[Request, Exception], Coroutine[Any, Any, Response]]:
    async def answer_bug(request: Request, error: Exception) -> Response:
        answer = ApiError(500, "The server failed.", "server_error", kind="server_error")
        metrics.noticed(f"A request failed: {describe_place(error)}.")
        metrics.request_failed(answer.status, answer.code)
        return answer.response()

    return answer_bug
