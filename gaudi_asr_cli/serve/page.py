"""The page at `/`: one file, whose script and style alone the browser may run."""

from __future__ import annotations

import base64
import hashlib
import re
from functools import cache
from pathlib import Path

from fastapi import APIRouter
from starlette.responses import Response

PAGE_FILE = Path(__file__).parent / "static" / "page.html"


def page_routes() -> APIRouter:
    """Return the route of the page."""
    router = APIRouter()

    @router.api_route("/", methods=["GET", "HEAD"])
    async def page() -> Response:
        content, headers = _load_page()
        return Response(content, media_type="text/html", headers=headers)

    return router


@cache
def _load_page() -> tuple[str, dict[str, str]]:
    """Return the page, and headers that forbid all that it does not do."""
    content = PAGE_FILE.read_text(encoding="utf-8")
    policy = {
        "default-src": "'none'",
        "script-src": f"{_hash_of(content, 'script')} blob:",  # the AudioWorklet is a blob
        "style-src": _hash_of(content, "style"),
        "connect-src": "'self'",
        "media-src": "blob:",
        "img-src": "data:",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
    }
    return content, {
        "Content-Security-Policy": "; ".join(f"{name} {value}" for name, value in policy.items()),
        "Permissions-Policy": "camera=(), geolocation=(), microphone=(self)",
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cache-Control": "no-cache",
    }


def _hash_of(content: str, tag: str) -> str:
    """Return the source expression of the only inline element of a tag."""
    found = re.findall(f"<{tag}>(.*?)</{tag}>", content, re.DOTALL)
    (inner,) = found
    digest = hashlib.sha256(inner.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"
