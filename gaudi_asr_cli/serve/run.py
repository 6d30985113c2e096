"""The server process: opens the models, answers requests, and drains on SIGTERM."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial

import uvicorn

from gaudi_asr_cli.core.errors import MachineError
from gaudi_asr_cli.core.serving.service import (
    ServedModel,
    ServiceSettings,
    TranscriptionService,
)
from gaudi_asr_cli.serve.app import create_app
from gaudi_asr_cli.serve.metrics import Notify, ServerMetrics
from gaudi_asr_cli.serve.scratch import opened_scratch
from gaudi_asr_cli.serve.settings import ServerSettings

IDLE_CONNECTION_S = 75
"""Clients keep connections for longer than a request takes; proxies usually for 60 s."""
BACKLOG = 2048
"""Connections that wait to be accepted; the system has a limit of its own."""

MAX_WEBSOCKET_BYTES = 1 << 20
"""Longer messages of live streams end the connection; their route rejects shorter ones too."""
QUIET_LOGGERS = ("python_multipart", "uvicorn.error")
"""Their messages hold parts of requests; `ServerMetrics` reports what fails."""

Announce = Callable[[str, TranscriptionService], None]
"""Receives the address of the server and its service, once it is ready."""


def run_server(
    models: Sequence[ServedModel],
    limits: ServiceSettings,
    settings: ServerSettings,
    announce: Announce,
    notify: Notify,
) -> None:
    """Serve until SIGTERM or Ctrl-C, and then finish what is in progress.

    Raises:
        MachineError: The address cannot be bound.
        AsrError: A model cannot be opened.
    """
    for name in QUIET_LOGGERS:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    with bound_socket(settings.host, settings.port) as bound, opened_scratch() as scratch:
        placed = replace(settings, scratch=scratch)
        asyncio.run(_serve_until_stopped(models, limits, placed, bound, announce, notify))


async def _serve_until_stopped(
    models: Sequence[ServedModel],
    limits: ServiceSettings,
    settings: ServerSettings,
    bound: socket.socket,
    announce: Announce,
    notify: Notify,
) -> None:
    metrics = ServerMetrics(notify)
    service = TranscriptionService(models, limits, metrics)
    await service.start()
    try:
        config = uvicorn.Config(
            create_app(service, settings, metrics),
            backlog=BACKLOG,
            ws_max_size=MAX_WEBSOCKET_BYTES,
            ws_per_message_deflate=False,
            timeout_keep_alive=IDLE_CONNECTION_S,
            log_config=None,
            access_log=False,
            server_header=False,
            lifespan="off",
        )
        server = _Server(config, partial(announce, _url_of(bound), service))
        loop = asyncio.get_running_loop()
        stop = _Stop(service, server)
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.request)
        await server.serve(sockets=[bound])
    finally:
        await service.close()


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, on_startup: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_startup = on_startup

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept connections, and only then say so."""
        await super().startup(sockets)
        self._on_startup()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals to `_Stop`: new requests are answered while others are finished."""
        yield


class _Stop:
    """Ends a server once its requests are answered; at the second signal at once."""

    def __init__(self, service: TranscriptionService, server: uvicorn.Server) -> None:
        self._service = service
        self._server = server
        self._draining: asyncio.Task[None] | None = None

    def request(self) -> None:
        if self._draining is not None:
            self._server.should_exit = self._server.force_exit = True
            return
        self._draining = asyncio.get_running_loop().create_task(self._drain())

    async def _drain(self) -> None:
        await self._service.drain()
        self._server.should_exit = True


@contextlib.contextmanager
def bound_socket(host: str, port: int) -> Iterator[socket.socket]:
    """Bind an address before the models are opened; until then connections wait.

    Raises:
        MachineError: It is not one of this machine, or is in use.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        bound = socket.create_server(address[:2], family=family, backlog=BACKLOG)
        # Connections inherit it; asyncio sets it only where the protocol is named. Without it the
        # body of an answer waits for the acknowledgement of its head: 40 ms on a kept connection.
        bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    except OSError as error:
        raise MachineError(
            f"The address {host}:{port} cannot be used: {error.strerror or error}.",
            remedy="Choose another --port (0 takes a free one), or an address of this machine.",
        ) from error
    with bound:
        yield bound


def _url_of(bound: socket.socket) -> str:
    host, port = bound.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
