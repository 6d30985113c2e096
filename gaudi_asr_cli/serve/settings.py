"""Settings of the HTTP server."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """Address and limits of the server.

    Args:
        host: Address to bind.
        port: Port; 0 takes a free one.
        api_key: Key that requests must have, or None.
        max_upload_bytes: Longest body of a request.
        upload_timeout_s: Longest time that a body may take to arrive.
        names: Names that clients may call it by, besides localhost; None: any.
        scratch: Private folder of files that are being transcribed.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    api_key: str | None = field(default=None, repr=False)
    max_upload_bytes: int = 100 << 20
    upload_timeout_s: float = 120.0
    names: frozenset[str] | None = None
    scratch: Path = Path()
