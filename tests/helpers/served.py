"""A server in a process of its own, and requests to it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from helpers.run import clean_environment

START_S = 120
STOP_S = 60
BOUNDARY = "boundary"


@dataclass
class Server:
    """A running server."""

    process: subprocess.Popen[str]
    url: str
    log: Path

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    def messages(self) -> str:
        return self.log.read_text(encoding="utf-8")

    def workers(self) -> list[int]:
        """Return the ids of its worker processes."""
        done = subprocess.run(
            ["ps", "-o", "pid=", "--ppid", str(self.process.pid)],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        return [int(word) for word in done.stdout.split()]

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal, and return the exit code."""
        self.process.send_signal(number)
        return self.process.wait(STOP_S)


@contextmanager
def running_server(
    folder: Path, *words: object, env: Mapping[str, str] | None = None
) -> Iterator[Server]:
    """Run `serve` on a free port, with its temporary files in a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "stderr.log"
    with log.open("w", encoding="utf-8") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", "gaudi_asr_cli", "serve", "--port", "0", "--json"]
            + [str(word) for word in words],
            env=clean_environment({"TMPDIR": str(folder), "OMP_NUM_THREADS": "1", **(env or {})}),
            stdout=subprocess.PIPE, stderr=errors, text=True,
        )  # fmt: skip
        try:
            yield Server(process, _read_url(process, log), log)
        finally:
            process.kill()
            process.wait()
            process.stdout.close()


def _read_url(process: subprocess.Popen[str], log: Path) -> str:
    deadline_s = time.monotonic() + START_S
    line = process.stdout.readline()
    if not line or time.monotonic() > deadline_s:
        raise AssertionError(f"The server did not start: {log.read_text(encoding='utf-8')}")
    return json.loads(line)["url"]


def form_body(path: Path, **fields: str) -> bytes:
    """Return a multipart form with a file and other fields."""
    parts = [
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in fields.items()
    ]
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="{path.name}"'
    start = "".join([*parts, head, "\r\n\r\n"]).encode()
    return start + path.read_bytes() + f"\r\n--{BOUNDARY}--\r\n".encode()


def request_head(length: int, *lines: str, path: str = "/v1/audio/transcriptions") -> bytes:
    """Return the head of a request with a form of so many bytes."""
    fixed = [
        f"POST {path} HTTP/1.1",
        "Host: localhost",
        f"Content-Type: multipart/form-data; boundary={BOUNDARY}",
        f"Content-Length: {length}",
    ]
    return "\r\n".join([*fixed, *lines, "", ""]).encode()


def connect(server: Server) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), timeout=60)


def read_answer(connection: socket.socket) -> tuple[int, dict[str, str], bytes]:
    """Return the status, headers and body of one answer."""
    data = b""
    while b"\r\n\r\n" not in data:
        block = connection.recv(1 << 16)
        if not block:
            return 0, {}, data
        data += block
    head, _, body = data.partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines[1:])
    while len(body) < int(headers.get("content-length", 0)):
        body += connection.recv(1 << 16)
    return int(lines[0].split()[1]), headers, body


def files_below(folder: Path) -> list[str]:
    """Return the names of files of a server's private folder, without its lock."""
    return [
        name
        for _, _, names in os.walk(folder)
        for name in names
        if name not in {"lock", "stderr.log"}
    ]
