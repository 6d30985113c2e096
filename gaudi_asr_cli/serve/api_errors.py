"""Errors as OpenAI's API has them: a status, and a message without internals."""

from __future__ import annotations

from dataclasses import dataclass, field

from starlette.responses import JSONResponse

from gaudi_asr_cli.core.errors import AsrError, DataError, UsageError
from gaudi_asr_cli.core.serving.service import (
    DrainingError,
    QueueFullError,
    TimedOutError,
    WorkerLostError,
)

RETRY_AFTER_S = 5
"""Seconds after which a request that came too early may come again."""
INVALID = "invalid_request_error"


@dataclass(eq=False)
class ApiError(Exception):
    """An answer other than a result.

    Args:
        status: Status of the HTTP response.
        message: What is wrong, for the sender.
        code: The error's name in OpenAI's API, or one like it.
        param: The field that is wrong.
        kind: `invalid_request_error`, `server_error` or another of OpenAI's types.
        headers: More headers of the response.
    """

    status: int
    message: str
    code: str | None = None
    param: str | None = None
    kind: str = INVALID
    headers: dict[str, str] = field(default_factory=dict)

    def response(self) -> JSONResponse:
        """Return the error as a response."""
        return JSONResponse({"error": self.to_json()}, self.status, headers=self.headers)

    def to_json(self) -> dict[str, str | None]:
        return {
            "message": self.message,
            "type": self.kind,
            "param": self.param,
            "code": self.code,
        }


def as_api_error(error: AsrError) -> ApiError:
    """Return an error of the service as an answer."""
    message = f"{error.message} {error.remedy}".strip()
    retry = {"Retry-After": str(RETRY_AFTER_S)}
    match error:
        case QueueFullError():
            return ApiError(429, message, "queue_full", kind="rate_limit_error", headers=retry)
        case DrainingError():
            return ApiError(503, message, "shutting_down", kind="server_error", headers=retry)
        case TimedOutError():
            return ApiError(504, message, "timeout", kind="server_error")
        case WorkerLostError():
            return ApiError(500, message, "worker_lost", kind="server_error")
        case UsageError():
            # Its remedy is for the command line.
            return ApiError(400, error.message, "unsupported_value")
        case DataError():
            return ApiError(400, error.message, "invalid_audio", "file")
        case _:
            return ApiError(500, message, "server_error", kind="server_error")
