"""Inference on several devices: a worker process for each, and a queue that all take work from.

Pickles pass only between this process and workers that it has started, on pipes that nobody else
can open.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import wait
from types import TracebackType
from typing import Any

from gaudi_asr_cli.core.errors import AsrError
from gaudi_asr_cli.core.events import Noticed, Observer, SegmentDone, UtteranceDone, ignore
from gaudi_asr_cli.core.inference.device_messages import (
    CaseAnswer,
    CaseQuestion,
    ChunkFinished,
    LengthSample,
    NumberedResult,
    WorkChunk,
    WorkerFailed,
    WorkerOpened,
    WorkerSetup,
)
from gaudi_asr_cli.core.inference.options import InferenceOptions
from gaudi_asr_cli.core.inference.timing import PhaseClock
from gaudi_asr_cli.core.inference.work_queue import WorkQueue, estimate_durations
from gaudi_asr_cli.core.inference.worker_process import (
    DeviceShare,
    WorkerProcess,
    end_processes,
    start_process,
)
from gaudi_asr_cli.core.records import Utterance

WORKER = "gaudi_asr_cli.core.inference.device_worker"
CHUNKS_AHEAD = 2
"""Chunks that a worker holds: the one in progress, and the next, for which it need not wait."""
MOST_ATTEMPTS = 2
"""Workers that may end on the same utterance before it is given up."""
MOST_LENGTHS = 4096
"""Lengths of utterances that a worker chooses the shapes of its batches from."""


@dataclass(frozen=True, slots=True)
class PoolRequest:
    """The devices, and the model that each opens; `follows` reports the parts of long audio."""

    count: int
    device: str
    hpu_mode: str
    model: str
    options: InferenceOptions
    channel: int | None = None
    follows: bool = False


@dataclass(frozen=True, slots=True)
class NamedDevice:
    """A device that another process has opened: only its name is known."""

    name: str


@dataclass(slots=True)
class _Worker(WorkerProcess):
    """A worker process, the chunks that it holds, and the audio it has transcribed."""

    chunks: deque[list[int]] = field(default_factory=deque)
    audio_s: float = 0.0


class DevicePool:
    """A recogniser on each of several devices. Use it as a context manager; leaving ends them.

    Its properties are those of a `Recognizer`. Raises, when it is entered:
        AsrError: A worker could not open its device or model.
    """

    def __init__(self, request: PoolRequest, observe: Observer = ignore) -> None:
        self._request = request
        self._observe = observe
        self._workers: list[_Worker] = []
        self._reported: set[str] = set()
        self._opened: WorkerOpened | None = None

    def start(self) -> None:
        """Start the processes, which open their models while this one does something else.

        Call `close` if the pool is not entered afterwards.
        """
        for number in range(len(self._workers), self._request.count):
            self._workers.append(self._start(number))

    def close(self) -> None:
        """End the processes; one that has ended is left alone."""
        self._end()

    def __enter__(self) -> DevicePool:
        try:
            self.start()
            for worker in list(self._workers):
                self._await_opened(worker)
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: object, at: TracebackType | None
    ) -> None:
        self._end()

    @property
    def opened(self) -> WorkerOpened:
        """Return what the recogniser of each device is."""
        assert self._opened is not None  # noqa: S101 - it was entered
        return self._opened

    @property
    def device(self) -> NamedDevice:
        return NamedDevice(self.opened.device)

    @property
    def dtype(self) -> str:
        return self.opened.dtype

    @property
    def notes(self) -> tuple[str, ...]:
        return self.opened.notes

    @property
    def phonemes_of(self) -> str | None:
        return self.opened.phonemes_of

    @property
    def generates(self) -> bool:
        return self.opened.generates

    def suggest_case(self, sample: str) -> str:
        """Return the case of the model's text; see `Recognizer.suggest_case`."""
        worker = self._workers[0]
        worker.connection.send(CaseQuestion(sample))
        answer: CaseAnswer = worker.connection.recv()
        return answer.case

    def transcribe(
        self,
        utterances: Iterable[Utterance],
        *,
        observe: Observer = ignore,
        clock: PhaseClock | None = None,
        ordered: bool = True,
    ) -> Generator[UtteranceDone, None, None]:
        """Yield the result of each utterance, in order, or as soon as it is known.

        A worker that ends is reported, and the others do its work.

        Args:
            utterances: All are taken at once, to share them by their lengths.
            observe: Receives notices, and the parts of long audio.
            clock: Adds up the seconds of all workers by phase.
            ordered: Whether results wait for those before them.

        Raises:
            AsrError: All workers have ended, or one reports an error that would end each of them.
        """
        self._observe = observe
        work = _SharedWork(tuple(utterances), len(self._workers), self.opened)
        phase_clock = PhaseClock() if clock is None else clock
        for worker in self._workers:
            with suppress(OSError):
                worker.connection.send(work.sample)
        for ahead in range(1, CHUNKS_AHEAD + 1):
            for worker in self._workers:
                self._feed(worker, work, ahead)
        results = self._receive(work, phase_clock)
        yield from (done for _, done in (_in_number_order(results) if ordered else results))
        self._report_shares()

    def _receive(self, work: _SharedWork, clock: PhaseClock) -> Iterator[tuple[int, UtteranceDone]]:
        while work.open:
            by_connection = {one.connection: one for one in self._workers}
            for ready in wait(list(by_connection)):
                worker = by_connection[ready]  # type: ignore[index]
                try:
                    message = worker.connection.recv()
                except (EOFError, OSError):
                    yield from self._replace(worker, work)
                    continue
                if isinstance(message, NumberedResult):
                    worker.chunks[0].remove(message.number)
                    worker.audio_s += message.done.duration_s
                    work.open.discard(message.number)
                    yield message.number, message.done
                else:
                    self._handle(worker, message, work, clock)

    def _handle(self, worker: _Worker, message: Any, work: _SharedWork, clock: PhaseClock) -> None:
        match message:
            case ChunkFinished():
                worker.chunks.popleft()
                for phase, seconds in message.phases_s.items():
                    clock.add(phase, seconds)
                self._feed(worker, work)
            case Noticed():
                # What is true of the model, each worker says.
                if message.message not in self._reported:
                    self._reported.add(message.message)
                    self._observe(message)
            case SegmentDone():
                self._observe(message)
            case WorkerFailed():
                raise message.to_error()
            case _:
                pass

    def _feed(self, worker: _Worker, work: _SharedWork, ahead: int = CHUNKS_AHEAD) -> None:
        most = 1 if work.queue.is_ending else ahead
        while len(worker.chunks) < most and (numbers := work.queue.take()):
            worker.chunks.append(list(numbers))
            # It has ended if the pipe is closed, which is found where its messages are read.
            with suppress(OSError):
                worker.connection.send(
                    WorkChunk(numbers, tuple(work.utterances[number] for number in numbers))
                )

    def _replace(self, worker: _Worker, work: _SharedWork) -> Iterator[tuple[int, UtteranceDone]]:
        """Give the work of a worker that has ended to the others."""
        self._workers.remove(worker)
        end = worker.describe_end()
        log = worker.read_log()
        worker.close()
        held = [number for chunk in worker.chunks for number in chunk]
        if not self._workers:
            raise AsrError(
                f"{worker.name} {end}, and no other is left; {len(work.open):,} of "
                f"{len(work.utterances):,} utterances are not transcribed.{log}",
                remedy="Where memory ran out, use fewer --cards. infer --out-dir DIR --resume "
                "continues.",
            )
        self._observe(
            Noticed(
                f"{worker.name} {end}; its {len(held)} utterances are transcribed by the others."
                f"{log}",
                remedy="dmesg says whether the system killed it for its memory.",
            )
        )
        suspects = worker.chunks.popleft() if worker.chunks else []
        given_up = [one for one in suspects if work.count_attempt(one) >= MOST_ATTEMPTS]
        for number in given_up:
            work.open.discard(number)
            yield number, work.give_up(number, end)
        work.queue.give_back([one for one in suspects if one not in given_up], alone=True)
        work.queue.give_back([n for chunk in worker.chunks for n in chunk], alone=False)
        for other in self._workers:
            self._feed(other, work)

    def _report_shares(self) -> None:
        total_s = sum(one.audio_s for one in self._workers)
        if total_s > 0 and len(self._workers) > 1:
            shares = ", ".join(f"{one.audio_s / total_s:.0%}" for one in self._workers)
            self._observe(Noticed(f"Audio by device: {shares}."))

    def _start(self, number: int) -> _Worker:
        request = self._request
        count = request.count
        share = DeviceShare(request.device, request.hpu_mode, number, count, count)
        started = start_process(WORKER, share)
        worker = _Worker(number, started.process, started.connection, started.log)
        with suppress(OSError):
            worker.connection.send(
                WorkerSetup(request.model, request.options, request.channel, request.follows)
            )
        return worker

    def _await_opened(self, worker: _Worker) -> None:
        try:
            message = worker.connection.recv()
        except (EOFError, OSError):
            raise AsrError(
                f"{worker.name} {worker.describe_end()} while it opened the model."
                f"{worker.read_log()}",
                remedy="Use fewer --cards if memory ran out; dmesg says whether the system killed "
                "it.",
            ) from None
        if isinstance(message, WorkerFailed):
            raise message.to_error()
        self._opened = message

    def _end(self) -> None:
        end_processes(self._workers)
        self._workers.clear()


class _SharedWork:
    """Utterances, the queue of them, and which have no result yet."""

    def __init__(
        self, utterances: tuple[Utterance, ...], processes: int, opened: WorkerOpened
    ) -> None:
        self.utterances = utterances
        durations_s = estimate_durations(utterances)
        mean_s = sum(durations_s) / max(len(durations_s), 1)
        least_s = max(opened.batches_s, opened.batch_utterances * mean_s)
        self.queue = WorkQueue(durations_s, processes, least_s)
        self.sample = LengthSample(tuple(durations_s[:: max(1, len(durations_s) // MOST_LENGTHS)]))
        self.open = set(range(len(utterances)))
        self._attempts: dict[int, int] = {}

    def count_attempt(self, number: int) -> int:
        """Count a worker that ended with this utterance in progress, and return how many did."""
        self._attempts[number] = self._attempts.get(number, 0) + 1
        return self._attempts[number]

    def give_up(self, number: int, end: str) -> UtteranceDone:
        """Return the result of an utterance on which several workers have ended."""
        one = self.utterances[number]
        error = f"each process that transcribed it has ended; the last {end}."
        return UtteranceDone(one.id, str(one.audio.path), 0.0, None, error)


def _in_number_order(
    results: Iterable[tuple[int, UtteranceDone]],
) -> Iterator[tuple[int, UtteranceDone]]:
    waiting: dict[int, UtteranceDone] = {}
    following = 0
    for number, done in results:
        waiting[number] = done
        while following in waiting:
            yield following, waiting.pop(following)
            following += 1
