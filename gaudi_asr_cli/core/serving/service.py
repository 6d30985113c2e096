"""The service that a server asks: transcribes audio with several models, each on its devices."""

from __future__ import annotations

import asyncio
import itertools
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gaudi_asr_cli.core.errors import AsrError, UsageError
from gaudi_asr_cli.core.events import Noticed
from gaudi_asr_cli.core.inference.device_messages import WorkerFailed
from gaudi_asr_cli.core.inference.options import InferenceOptions
from gaudi_asr_cli.core.inference.worker_process import (
    DeviceShare,
    WorkerProcess,
    count_cores,
    end_processes,
    start_process,
)
from gaudi_asr_cli.core.serving.messages import (
    AudioRequest,
    BatchDone,
    CancelRequest,
    ModelOpened,
    OpenModel,
    RequestDone,
    RequestFailed,
    RequestOptions,
    RequestStarted,
    SegmentReady,
    ServedTranscript,
)
from gaudi_asr_cli.core.serving.worker_loads import LoadPlace, WorkerLoads

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from gaudi_asr_cli.core.records import Segment

SERVING_WORKER = "gaudi_asr_cli.core.serving.worker"
MOST_DEATHS = 2
"""Workers that may end on the same request before it is given up."""
LONGEST_RESTART_WAIT_S = 30.0

OnSegment = Callable[["Segment"], None]


class QueueFullError(AsrError):
    """The server has as many requests as it takes; one more comes too early."""


class DrainingError(AsrError):
    """The server is about to end and takes no more requests."""


class WorkerLostError(AsrError):
    """The process that transcribed the audio has ended, and so has the one that tried again."""


class TimedOutError(AsrError):
    """A request took longer than the server allows."""


@dataclass(frozen=True, slots=True)
class ServedModel:
    """A model to serve: the name that clients use, the model, and its options."""

    name: str
    model: str
    options: InferenceOptions


@dataclass(frozen=True, slots=True)
class ServiceSettings:
    """The devices that each model gets, and the limits of the service.

    Args:
        device: Name of the device.
        hpu_mode: How a Gaudi runs.
        cards: Number of devices for each model; None is one, and on a CPU as many processes as
            serve it best.
        max_queue: Requests that are in the server at once.
        max_duration_s: Longest audio of a request, in seconds.
        timeout_s: Longest time that a request may take.
    """

    device: str = "auto"
    hpu_mode: str = "auto"
    cards: int | None = None
    max_queue: int = 256
    max_duration_s: float = 4 * 3600.0
    timeout_s: float = 3600.0


class ServiceObserver:
    """Receives what happens in a service, for metrics; this one ignores it."""

    def batch_done(self, model: str, batch: BatchDone) -> None:
        """Count a batch."""

    def worker_ended(self, model: str, end: str) -> None:
        """Count a worker that has ended; `end` says how."""

    def noticed(self, message: str) -> None:
        """Report what the operator should know, without anything of a request."""


@dataclass(eq=False, slots=True)
class _Pending:
    """A request that has no result yet."""

    request: AudioRequest
    result: asyncio.Future[ServedTranscript]
    on_segment: OnSegment | None
    is_started: bool = False
    deaths: int = 0


@dataclass(eq=False, slots=True)
class _Worker:
    """A worker process, and the requests that were sent to it.

    `place` is where their number is noted for the other workers. `suspects` had started when a
    process ended: each is tried again when no other suspect runs, so that the one that ends the
    next process is known.
    """

    place: int
    share: DeviceShare
    process: WorkerProcess
    pending: dict[int, _Pending] = field(default_factory=dict)
    suspects: deque[_Pending] = field(default_factory=deque)
    is_open: bool = True
    failures: int = 0

    @property
    def load(self) -> int:
        return len(self.pending) + len(self.suspects)

    def fail_all(self, error: AsrError) -> None:
        """Answer all requests with an error."""
        lost = [*self.pending.values(), *self.suspects]
        self.pending.clear()
        self.suspects.clear()
        for one in lost:
            if not one.result.done():
                one.result.set_exception(error)


class TranscriptionService:
    """Transcribes requests of many clients. Use it inside one event loop.

    Args:
        models: The models, each with a name of its own.
        settings: Devices and limits.
        observer: Receives what happens.
    """

    def __init__(
        self,
        models: Sequence[ServedModel],
        settings: ServiceSettings,
        observer: ServiceObserver | None = None,
    ) -> None:
        self.settings = settings
        self.started_at = int(time.time())
        self._models = {one.name: one for one in models}
        self._observer = ServiceObserver() if observer is None else observer
        self._workers: dict[str, list[_Worker]] = {}
        self._opened: dict[str, ModelOpened] = {}
        self._loads = WorkerLoads()
        self._numbers = itertools.count()
        self._admitted = 0
        self._draining = False
        self._closed = False
        self._restarting: set[asyncio.Task[None]] = set()
        self._watchers: list[threading.Thread] = []
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def models(self) -> dict[str, ServedModel]:
        """Return the models by name."""
        return self._models

    @property
    def opened(self) -> dict[str, ModelOpened]:
        """Return what is known about each open model."""
        return self._opened

    def count_workers(self, model: str) -> int:
        """Return the number of processes of a model that take requests."""
        return sum(one.is_open for one in self._workers.get(model, ()))

    @property
    def in_flight(self) -> int:
        """Return the number of requests in the service."""
        return self._admitted

    @property
    def queued(self) -> int:
        """Return the number of requests that no worker has begun to read."""
        workers = itertools.chain.from_iterable(self._workers.values())
        return sum(
            sum(not one.is_started for one in worker.pending.values()) + len(worker.suspects)
            for worker in workers
        )

    @property
    def ready(self) -> bool:
        """Return whether every model has a worker that takes requests."""
        return (
            not self._draining
            and bool(self._workers)
            and all(any(one.is_open for one in group) for group in self._workers.values())
        )

    @property
    def is_draining(self) -> bool:
        """Return whether the service takes no more requests."""
        return self._draining

    async def start(self) -> None:
        """Open all models, each on its devices.

        Raises:
            AsrError: One could not be opened.
        """
        try:
            for name in self._models:
                self._workers[name] = []
                self._add_workers(name, self.settings.cards or 1)
            for name, group in self._workers.items():
                await self._await_workers(name, group)
            if self.settings.cards is None:
                for name in self._models:
                    self._add_workers(name, self._opened[name].workers)
                for name in self._models:
                    await self._await_more(name)
        except BaseException:
            await self.close()
            raise

    def _add_workers(self, name: str, count: int) -> None:
        """Start workers of a model until there are `count`."""
        group = self._workers[name]
        processes = count * len(self._models)
        # What opened the first is on the machine, whatever `auto` finds next.
        opened = self._opened.get(name)
        device = self.settings.device if opened is None else opened.device
        for number in range(len(group), count):
            place = sum(map(len, self._workers.values()))
            share = DeviceShare(device, self.settings.hpu_mode, number, count, processes)
            workers = count if self.settings.cards or group else None
            process = self._start_process(self._models[name], share, place, workers)
            group.append(_Worker(place, share, process))

    async def _await_workers(self, name: str, group: Sequence[_Worker]) -> None:
        for worker in group:
            self._opened[name] = await asyncio.to_thread(_await_opened, worker.process)
            self._watch(name, worker)

    async def _await_more(self, name: str) -> None:
        """Await the workers that nobody has asked for; without one the model is served as well."""
        group = self._workers[name]
        for worker in group[1:]:
            try:
                await self._await_workers(name, [worker])
            except AsrError as error:
                self._observer.noticed(f"{name}: {error.message}")
                group.remove(worker)
                await asyncio.to_thread(end_processes, [worker.process])

    async def drain(self) -> None:
        """Take no more requests, and wait until those in the service are answered."""
        self._draining = True
        await self._idle.wait()

    async def close(self) -> None:
        """End all workers."""
        self._closed = self._draining = True
        workers = [worker for group in self._workers.values() for worker in group]
        processes = [worker.process for worker in workers]
        await asyncio.to_thread(end_processes, processes, list(self._watchers))
        self._loads.close()

    def admit(self) -> Admission:
        """Reserve a place for a request: a context manager, to be entered before its upload.

        Raises:
            QueueFullError: There are as many requests as `max_queue`.
            DrainingError: The service takes no more.
        """
        if self._draining:
            raise DrainingError(
                "The server is about to end.", remedy="Send the request to another server."
            )
        if self._admitted >= self.settings.max_queue:
            raise QueueFullError(
                f"The server has {self._admitted} requests to answer.",
                remedy="Send the request again later; Retry-After says when.",
            )
        self._admitted += 1
        self._idle.clear()
        return Admission(self)

    def release(self) -> None:
        """Free the place of a request; `Admission` calls it."""
        self._admitted -= 1
        if not self._admitted:
            self._idle.set()

    async def transcribe(
        self,
        model: str,
        audio: Path | NDArray[np.float32],
        options: RequestOptions,
        *,
        name: str = "audio",
        on_segment: OnSegment | None = None,
        is_live: bool = False,
    ) -> ServedTranscript:
        """Transcribe a file that is read by a worker, or samples (T,) at 16 kHz.

        Cancelling it drops the work. Reserve a place with `admit` before.

        Args:
            model: Name of one of the models.
            audio: A file, which stays until this returns, or samples.
            options: What is asked for.
            name: Name of the file in messages.
            on_segment: Receives the parts of long audio as they come.
            is_live: Goes before other requests.

        Raises:
            UsageError: The model does not support an option, or there is no such model.
            DataError: The audio cannot be read, or is too long.
            WorkerLostError: Processes ended while they transcribed it.
            TimedOutError: It took longer than `timeout_s`.
            AsrError: Any other failure.
        """
        group = self._workers.get(model)
        if group is None:
            raise UsageError(
                f"There is no model '{model}'.", remedy=f"Name one of {', '.join(self._models)}."
            )
        request = AudioRequest(
            next(self._numbers), audio, name, options, on_segment is not None, is_live
        )
        pending = _Pending(request, asyncio.get_running_loop().create_future(), on_segment)
        worker = min(group, key=lambda one: (not one.is_open, one.load))
        self._submit(worker, pending)
        try:
            return await asyncio.wait_for(pending.result, self.settings.timeout_s)
        except asyncio.TimeoutError:
            raise TimedOutError(
                f"The audio was not transcribed within {self.settings.timeout_s:,.0f} s.",
                remedy="Send shorter audio, or send it when the server has less to do.",
            ) from None
        finally:
            if not pending.result.done() or pending.result.cancelled():
                self._drop(group, pending)

    async def transcribe_samples(
        self,
        model: str,
        samples: NDArray[np.float32],
        options: RequestOptions,
        *,
        is_live: bool = True,
    ) -> ServedTranscript:
        """Transcribe samples (T,) at 16 kHz before other requests; see `transcribe`."""
        return await self.transcribe(model, samples, options, name="live audio", is_live=is_live)

    def _submit(self, worker: _Worker, pending: _Pending) -> None:
        worker.pending[pending.request.number] = pending
        self._note_load(worker)
        _send(worker, pending.request)

    def _note_load(self, worker: _Worker) -> None:
        """Let the other workers know how many requests this one has."""
        if not self._closed:
            self._loads.write(worker.place, worker.load)

    def _drop(self, group: Sequence[_Worker], pending: _Pending) -> None:
        number = pending.request.number
        for worker in group:
            if worker.pending.pop(number, None) is not None:
                _send(worker, CancelRequest(number))
                self._try_suspect(worker)
            with suppress(ValueError):
                worker.suspects.remove(pending)
            self._note_load(worker)

    def _start_process(
        self, model: ServedModel, share: DeviceShare, place: int, workers: int | None
    ) -> WorkerProcess:
        descriptor = self._loads.descriptor
        process = start_process(SERVING_WORKER, share, [descriptor])
        message = OpenModel(
            model.name,
            model.model,
            model.options,
            self.settings.max_duration_s,
            LoadPlace(descriptor, place),
            _count_threads(),
            workers,
        )
        with suppress(OSError):
            process.connection.send(message)
        return process

    def _watch(self, name: str, worker: _Worker) -> None:
        """Receive the messages of a worker, on a thread, until it ends."""
        loop = asyncio.get_running_loop()
        process = worker.process

        def watch() -> None:
            while True:
                try:
                    message = process.connection.recv()
                except (EOFError, OSError):
                    with suppress(RuntimeError):
                        loop.call_soon_threadsafe(self._replace, name, worker)
                    return
                with suppress(RuntimeError):
                    loop.call_soon_threadsafe(self._receive, name, worker, message)

        watcher = threading.Thread(target=watch, name=f"worker-{name}", daemon=True)
        self._watchers = [one for one in self._watchers if one.is_alive()] + [watcher]
        watcher.start()

    def _receive(self, name: str, worker: _Worker, message: Any) -> None:
        match message:
            case RequestStarted(number=number):
                if number in worker.pending:
                    worker.pending[number].is_started = True
            case SegmentReady(number=number, segment=segment):
                pending = worker.pending.get(number)
                if pending is not None and pending.on_segment is not None:
                    pending.on_segment(segment)
            case RequestDone(number=number, result=result):
                self._finish(worker, number, result)
            case RequestFailed(number=number):
                self._finish(worker, number, message.to_error())
            case _:
                self._report(name, message)

    def _report(self, name: str, message: Any) -> None:
        match message:
            case Noticed():
                self._observer.noticed(f"{name}: {message.message}")
            case BatchDone():
                self._observer.batch_done(name, message)
            case _:
                pass

    def _finish(self, worker: _Worker, number: int, result: ServedTranscript | AsrError) -> None:
        pending = worker.pending.pop(number, None)
        if pending is not None and not pending.result.done():
            if isinstance(result, AsrError):
                pending.result.set_exception(result)
            else:
                pending.result.set_result(result)
        self._note_load(worker)
        self._try_suspect(worker)

    def _try_suspect(self, worker: _Worker) -> None:
        """Send the next suspect, if none is in progress."""
        if (
            worker.is_open
            and worker.suspects
            and not any(p.deaths for p in worker.pending.values())
        ):
            self._submit(worker, worker.suspects.popleft())

    def _replace(self, name: str, worker: _Worker) -> None:
        """Start a worker again that has ended."""
        if self._closed:
            return
        worker.is_open = False
        restart = asyncio.get_running_loop().create_task(self._restart(name, worker))
        self._restarting.add(restart)
        restart.add_done_callback(self._restarting.discard)

    async def _restart(self, name: str, worker: _Worker) -> None:
        end = await asyncio.to_thread(worker.process.describe_end)
        self._observer.worker_ended(
            name, f"{worker.process.name} {end}.{worker.process.read_log()}"
        )
        worker.process.close()
        self._suspect_started(worker, end)
        while not self._closed:
            try:
                worker.process = self._start_process(
                    self._models[name], worker.share, worker.place, len(self._workers[name])
                )
                await asyncio.to_thread(_await_opened, worker.process)
            except AsrError as error:
                if not self._closed:
                    self._observer.worker_ended(name, error.message)
                worker.fail_all(error)
                self._note_load(worker)
                worker.failures += 1
                await asyncio.sleep(min(2.0**worker.failures, LONGEST_RESTART_WAIT_S))
                continue
            worker.failures = 0
            worker.is_open = True
            self._watch(name, worker)
            for pending in worker.pending.values():
                _send(worker, pending.request)
            self._try_suspect(worker)
            return

    def _suspect_started(self, worker: _Worker, end: str) -> None:
        """Set apart the requests that were in progress; those that outlive no process are lost."""
        started = [one for one in worker.pending.values() if one.is_started]
        blamed = [one for one in started if one.deaths]
        for pending in started:
            del worker.pending[pending.request.number]
            pending.is_started = False
            # One that was tried again alone has ended this process too, and no other has.
            if not blamed or pending in blamed:
                pending.deaths += 1
            if pending.deaths < MOST_DEATHS:
                worker.suspects.append(pending)
            elif not pending.result.done():
                pending.result.set_exception(
                    WorkerLostError(
                        f"Each process that transcribed the audio has ended; the last {end}.",
                        remedy="Convert the file to WAV and send that.",
                    )
                )


class Admission:
    """The place of a request in the service, until the block is left."""

    def __init__(self, service: TranscriptionService) -> None:
        self._service = service

    def __enter__(self) -> None:
        """Keep the place."""

    def __exit__(self, *_: object) -> None:
        self._service.release()


def _count_threads() -> int:
    """Return the torch threads of all workers on the CPU: as many as cores, or OMP_NUM_THREADS."""
    given = os.environ.get("OMP_NUM_THREADS", "")
    return int(given) if given.isdecimal() and int(given) else count_cores()


def _send(worker: _Worker, message: Any) -> None:
    """Send a message, unless the worker is starting again: it then gets all that is pending."""
    if worker.is_open:
        # It has ended if the pipe is closed, which is found where its messages are read.
        with suppress(OSError):
            worker.process.connection.send(message)


def _await_opened(process: WorkerProcess) -> ModelOpened:
    try:
        message = process.connection.recv()
    except (EOFError, OSError):
        raise AsrError(
            f"{process.name} {process.describe_end()} while it opened the model."
            f"{process.read_log()}",
            remedy="dmesg says whether the system killed it for its memory.",
        ) from None
    if isinstance(message, WorkerFailed):
        raise message.to_error()
    opened: ModelOpened = message
    return opened
