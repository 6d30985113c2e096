"""A worker process for a device: started with a pipe of its own, and ended with this process."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from threading import Thread
from typing import IO

from gaudi_asr_cli.core.distributed.launcher_pipe import end_with_parent

END_TIMEOUT_S = 5.0
LOG_BYTES = 4096


@dataclass(slots=True)
class WorkerProcess:
    """A process that another has started, the pipe to it, and what it prints."""

    number: int
    process: subprocess.Popen[bytes]
    connection: Connection
    log: IO[bytes]

    @property
    def name(self) -> str:
        return f"Process {self.process.pid} on device {self.number}"

    def close(self) -> None:
        """Close its pipe, which ends it, and its log."""
        self.connection.close()
        self.log.close()

    def describe_end(self) -> str:
        """Return how it has ended, for a sentence; it is killed if it has only closed its pipe."""
        try:
            code = self.process.wait(END_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            return "closed its pipe"
        if code >= 0:
            return f"ended with exit code {code}"
        with suppress(ValueError):
            return f"was killed by {signal.Signals(-code).name}"
        return f"was killed by signal {-code}"

    def read_log(self) -> str:
        """Return the last lines that it has printed, each on a line of its own."""
        size = self.log.seek(0, os.SEEK_END)
        self.log.seek(max(0, size - LOG_BYTES))
        lines = self.log.read().decode(errors="replace").strip().splitlines()[-8:]
        return "".join(f"\n  {line}" for line in lines)


def count_cores() -> int:
    """Return the number of cores that this process may use."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return cores or 1


@dataclass(frozen=True, slots=True)
class DeviceShare:
    """Which of the devices a worker opens.

    `number` counts from 0 among `count` processes with a device each; `processes` share the cores
    of the machine.
    """

    device: str
    hpu_mode: str
    number: int
    count: int
    processes: int

    def environment(self) -> dict[str, str]:
        """Return what tells a worker its device, and its share of the cores."""
        threads = max(1, count_cores() // self.processes)
        rank = {"RANK": self.number, "LOCAL_RANK": self.number, "WORLD_SIZE": self.count}
        values = {**rank, "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", threads)}
        return {name: str(value) for name, value in values.items()}


def start_process(
    module: str, share: DeviceShare, descriptors: Sequence[int] = ()
) -> WorkerProcess:
    """Start `python -m module DESCRIPTOR DEVICE HPU_MODE`; the descriptor is its end of a pipe.

    Args:
        module: The module of the worker.
        share: Its device.
        descriptors: Others that it inherits.
    """
    own, other = socket.socketpair()
    log = tempfile.TemporaryFile()  # noqa: SIM115 - closed with its worker
    with other:
        line = [sys.executable, "-m", module, str(other.fileno())]
        process = subprocess.Popen(  # noqa: S603 - our own argument list
            end_with_parent([*line, share.device, share.hpu_mode]),
            env={**os.environ, **share.environment()},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=[other.fileno(), *descriptors],
            # Ctrl-C on a terminal is for this process, which then ends the workers.
            start_new_session=True,
        )
    return WorkerProcess(share.number, process, Connection(own.detach()), log)


def end_processes(workers: Sequence[WorkerProcess], readers: Iterable[Thread] = ()) -> None:
    """End workers, and wait until they have ended.

    `readers` are threads that read their pipes, to the end: a pipe is not closed under them.
    """
    for worker in workers:
        worker.process.terminate()
    for worker in workers:
        try:
            worker.process.wait(END_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            worker.process.kill()
            worker.process.wait()
    for reader in readers:
        reader.join(END_TIMEOUT_S)
    for worker in workers:
        worker.close()
