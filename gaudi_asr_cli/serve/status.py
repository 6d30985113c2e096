"""The routes of models and health."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from starlette.responses import JSONResponse, Response

from gaudi_asr_cli.core.serving.service import TranscriptionService
from gaudi_asr_cli.serve.form_fields import find_served

OWNER = "gaudi-asr"


def model_routes(service: TranscriptionService) -> APIRouter:
    """Return the routes that list the models."""
    router = APIRouter(prefix="/v1/models")

    @router.get("")
    async def list_models() -> Response:
        models = [_describe_model(name, service) for name in service.models]
        return JSONResponse({"object": "list", "data": models})

    # A hub id has a slash.
    @router.get("/{name:path}")
    async def show_model(name: str) -> Response:
        return JSONResponse(_describe_model(find_served(name, service), service))

    return router


def health_routes(service: TranscriptionService) -> APIRouter:
    """Return the routes for a watch over the server; they need no key."""
    router = APIRouter()

    @router.get("/health")
    async def health() -> Response:
        return JSONResponse({"status": "ok"})

    @router.get("/ready")
    async def ready() -> Response:
        status = "ready" if service.ready else "not ready"
        return JSONResponse({"status": status}, 200 if service.ready else 503)

    return router


def _describe_model(name: str, service: TranscriptionService) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": service.started_at, "owned_by": OWNER}
