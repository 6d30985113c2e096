"""Uploads: multipart forms whose file goes to the disk while it arrives, under limits."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import ClientDisconnect, Request

from gaudi_asr_cli.serve.api_errors import ApiError
from gaudi_asr_cli.serve.settings import ServerSettings

FILE_FIELD = "file"
MAX_FIELD_BYTES = 64 << 10
"""Longest value of a field other than the file."""
MAX_FIELDS = 64
MAX_HEADER_BYTES = 8 << 10
NOT_A_FORM = "The body is not a multipart form."


@dataclass(slots=True)
class Upload:
    """A form: its file on the disk, the name that the sender gave it, and the other fields."""

    path: Path
    filename: str = ""
    has_file: bool = False
    fields: list[tuple[str, str]] = field(default_factory=list)

    def first(self, name: str) -> str | None:
        """Return the first value of a field; None if there is none."""
        return next((value for key, value in self.fields if key == name), None)

    def all(self, name: str) -> list[str]:
        """Return the values of a field, which may be called `name[]` too."""
        return [value for key, value in self.fields if key in {name, f"{name}[]"}]


@asynccontextmanager
async def received_upload(request: Request, settings: ServerSettings) -> AsyncIterator[Upload]:
    """Receive the form of a request; its file is deleted when the block is left.

    Raises:
        ApiError: It is too large or too slow, or not a form.
    """
    boundary = _find_boundary(request)
    _check_declared_size(request, settings)
    descriptor, name = tempfile.mkstemp(dir=settings.scratch)
    path = Path(name)
    try:
        with os.fdopen(descriptor, "wb", buffering=1 << 16) as file:
            form = _FormReader(boundary, Upload(path), file)
            try:
                await asyncio.wait_for(
                    _receive(request, form, settings.max_upload_bytes), settings.upload_timeout_s
                )
            except asyncio.TimeoutError:
                raise ApiError(
                    408,
                    f"The upload took longer than {settings.upload_timeout_s:,.0f} s.",
                    "upload_timeout",
                    headers={"Connection": "close"},
                ) from None
        yield form.upload
    finally:
        path.unlink(missing_ok=True)


def _find_boundary(request: Request) -> bytes:
    kind, options = parse_options_header(request.headers.get("content-type"))
    boundary = options.get(b"boundary")
    if kind != b"multipart/form-data" or not boundary:
        raise ApiError(
            400, "Send a multipart form (Content-Type: multipart/form-data).", "invalid_form"
        )
    return boundary


def _check_declared_size(request: Request, settings: ServerSettings) -> None:
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > settings.max_upload_bytes:
        raise _too_large(settings.max_upload_bytes)


def _too_large(limit: int) -> ApiError:
    return ApiError(
        413,
        f"The upload is larger than {limit / (1 << 20):,.0f} MB. Send shorter or compressed audio.",
        "upload_too_large",
        FILE_FIELD,
        headers={"Connection": "close"},
    )


async def _receive(request: Request, form: _FormReader, limit: int) -> None:
    received = 0
    try:
        async for block in request.stream():
            received += len(block)
            if received > limit:
                raise _too_large(limit)
            form.write(block)
        form.finish()
    except MultipartParseError:
        raise ApiError(400, NOT_A_FORM, "invalid_form") from None
    except ClientDisconnect:
        raise ApiError(499, "The client has gone.", "client_disconnected") from None


class _FormReader:
    """Parses a form block by block."""

    def __init__(self, boundary: bytes, upload: Upload, file: IO[bytes]) -> None:
        self.upload = upload
        self._file = file
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._begin,
                "on_header_field": self._add_header_name,
                "on_header_value": self._add_header_value,
                "on_header_end": self._end_header,
                "on_headers_finished": self._start_content,
                "on_part_data": self._add_content,
                "on_part_end": self._end,
                "on_end": self._end_form,
            },
        )
        self._ended = False

    def write(self, block: bytes) -> None:
        self._parser.write(block)

    def finish(self) -> None:
        """Check that the form is complete.

        Raises:
            ApiError: It is not.
        """
        self._parser.finalize()
        if not self._ended:
            raise ApiError(400, "The form ends before its last boundary.", "invalid_form")

    def _begin(self) -> None:
        self._header = self._value = b""
        self._disposition = b""
        self._name, self._content, self._is_file = "", bytearray(), False
        if len(self.upload.fields) >= MAX_FIELDS:
            raise ApiError(400, f"The form has more than {MAX_FIELDS} fields.", "invalid_form")

    def _add_header_name(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]
        self._check_header()

    def _add_header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]
        self._check_header()

    def _check_header(self) -> None:
        if len(self._header) + len(self._value) > MAX_HEADER_BYTES:
            raise ApiError(400, NOT_A_FORM, "invalid_form")

    def _end_header(self) -> None:
        if self._header.lower() == b"content-disposition":
            self._disposition = self._value
        self._header = self._value = b""

    def _start_content(self) -> None:
        _, options = parse_options_header(self._disposition)
        self._name = options.get(b"name", b"").decode("utf-8", "replace")
        if self._name != FILE_FIELD or b"filename" not in options:
            return
        if self.upload.has_file:
            raise ApiError(400, "The form has several files.", "invalid_form", FILE_FIELD)
        self._is_file = self.upload.has_file = True
        name = options[b"filename"].decode("utf-8", "replace")
        self.upload.filename = name.replace("\\", "/").rpartition("/")[2][:100]

    def _add_content(self, data: bytes, start: int, end: int) -> None:
        if self._is_file:
            self._file.write(data[start:end])
            return
        self._content += data[start:end]
        if len(self._content) > MAX_FIELD_BYTES:
            raise ApiError(400, f"The field '{self._name[:40]}' is too long.", "invalid_form")

    def _end(self) -> None:
        if not self._is_file:
            try:
                value = self._content.decode()
            except UnicodeDecodeError:
                raise ApiError(
                    400, f"The field '{self._name[:40]}' is not UTF-8.", "invalid_form"
                ) from None
            self.upload.fields.append((self._name, value))

    def _end_form(self) -> None:
        self._ended = True
