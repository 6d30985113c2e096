"""Batches through an accelerator: read, prepare, compute, copy and write, each beside the next."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack

from gaudi_asr_cli.core.inference.ahead import RunAhead, until_failure
from gaudi_asr_cli.core.inference.batched import BatchRecognizer, PendingOutput
from gaudi_asr_cli.core.inference.prefetch import ReadAhead
from gaudi_asr_cli.core.inference.results import BatchDecoder, TimedResult
from gaudi_asr_cli.core.inference.scheduling import BatchedWork, UnbatchedWork, Work, plan_work
from gaudi_asr_cli.core.inference.unbatched import UnbatchedTranscriber
from gaudi_asr_cli.core.records import Utterance

IN_FLIGHT = 3
"""Batches on the device or on their way to text: one computes, one is copied, one written."""
PREPARED = 2
"""Batches that wait, normalised, for the device."""

Result = tuple[int, TimedResult]


def transcribe_batches(
    model: BatchRecognizer,
    reader: ReadAhead,
    writer: BatchDecoder,
    alone: UnbatchedTranscriber,
    noticed: Callable[[Utterance, float], None],
) -> Generator[TimedResult, None, None]:
    """What the model hears in each sound of the reader, in their order.

    Holds at most what the reader may hold, a window, and the batches in flight. The network is
    run by the calling thread; a batch that fails is heard again one by one.
    """
    with ExitStack() as stack:
        sounds = stack.enter_context(reader)
        works: Iterator[Work] = plan_work(sounds, model, writer.clock)
        prepared = stack.enter_context(RunAhead(works, lambda _: 1, PREPARED, "prepare-batches"))
        pool = stack.enter_context(ThreadPoolExecutor(1, "write-text"))
        # First of all, or whoever waits for the reader would be waited for.
        stack.callback(reader.stop)
        line = _Line(model, writer, alone, pool)
        yield from _in_order(line.run(_noticing(prepared, noticed)))


def _noticing(works: Iterable[Work], noticed: Callable[[Utterance, float], None]) -> Iterator[Work]:
    """The same works; `noticed` is told of their sounds, on the thread of who asks for them."""
    for work in works:
        for member in (work.member,) if isinstance(work, UnbatchedWork) else work.members:
            noticed(member.sound.utterance, member.sound.lost_s)
        yield work


def _in_order(results: Iterator[Result]) -> Iterator[TimedResult]:
    """Results by their number, each as soon as all before it are there."""
    waiting: dict[int, TimedResult] = {}
    wanted = 0
    for number, heard in results:
        waiting[number] = heard
        while wanted in waiting:
            yield waiting.pop(wanted)
            wanted += 1


class _Line:
    """The batches between the network and their text."""

    def __init__(
        self,
        model: BatchRecognizer,
        writer: BatchDecoder,
        alone: UnbatchedTranscriber,
        pool: ThreadPoolExecutor,
    ) -> None:
        self._model = model
        self._writer = writer
        self._alone = alone
        self._clock = writer.clock
        self._pool = pool
        self._flying: deque[tuple[BatchedWork, Future[list[TimedResult]]]] = deque()

    def run(self, works: Iterator[Work]) -> Iterator[Result]:
        failures: list[Exception] = []
        for work in until_failure(works, failures):
            if isinstance(work, UnbatchedWork):
                yield work.member.number, self._alone.hear(work.member.sound)
                continue
            yield from self._start(work)
            while len(self._flying) >= IN_FLIGHT or (self._flying and self._flying[0][1].done()):
                yield from self._land()
        while self._flying:
            yield from self._land()
        for failure in failures:
            raise failure

    def _start(self, work: BatchedWork) -> Iterator[Result]:
        try:
            with self._clock.time("compute") as watch:
                pending = self._model.start(work.prepared)
        except (RuntimeError, MemoryError):
            yield from self._one_by_one(work)
            return
        job = self._pool.submit(self._write, work, pending, watch.seconds)
        self._flying.append((work, job))

    def _write(
        self, work: BatchedWork, pending: PendingOutput, compute_s: float
    ) -> list[TimedResult]:
        # The device works behind our back: waiting for it is the rest of what it took.
        with self._clock.time("compute") as watch:
            output = pending.wait()
        return self._writer.write(work, output, compute_s + watch.seconds)

    def _land(self) -> Iterator[Result]:
        work, job = self._flying.popleft()
        try:
            heard = job.result()
        except (RuntimeError, MemoryError):
            yield from self._one_by_one(work)
            return
        for member, one in zip(work.members, heard, strict=True):
            yield member.number, one

    def _one_by_one(self, work: BatchedWork) -> Iterator[Result]:
        """A batch may fail for want of memory, or for one utterance: that one alone shall."""
        for member in work.members:
            yield member.number, self._alone.hear(member.sound)
