"""The batched pipeline: reading, feature extraction, forward, copy and decoding, overlapped."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack

from gaudi_asr_cli.core.data.buckets import Batching
from gaudi_asr_cli.core.inference.ahead import RunAhead, until_failure
from gaudi_asr_cli.core.inference.prefetch import ReadAhead
from gaudi_asr_cli.core.inference.recognizer import PendingOutput, Recognizer
from gaudi_asr_cli.core.inference.results import BatchDecoder, TimedResult
from gaudi_asr_cli.core.inference.scheduling import BatchedWork, UnbatchedWork, Work, plan_work
from gaudi_asr_cli.core.inference.timing import Stopwatch
from gaudi_asr_cli.core.inference.unbatched import UnbatchedTranscriber
from gaudi_asr_cli.core.records import Utterance

IN_FLIGHT = 3
"""Batches on the device or being decoded: one computes, one is copied, one is decoded."""
LONG_IN_FLIGHT = 3
"""Unbatched clips, such as long files, whose text is being decoded or waits for it."""
PREPARED = 2
"""Prepared batches that wait for the device."""

Result = tuple[int, TimedResult]


def transcribe_batches(
    recognizer: Recognizer,
    batching: Batching,
    reader: ReadAhead,
    unbatched: UnbatchedTranscriber,
    report_lost: Callable[[Utterance, float], None],
) -> Generator[TimedResult, None, None]:
    """Yield the result of each clip of the reader, in order.

    Memory holds at most the reader's budget, a window, and the batches in flight. The network runs
    on the calling thread; the utterances of a batch that fails are retried unbatched.

    Args:
        recognizer: The model.
        batching: Its plan of batches.
        reader: Loads the clips; started and stopped here.
        unbatched: Transcribes clips that do not fit a batch, and those of failed batches.
        report_lost: Receives each utterance and the seconds of audio that could not be decoded.
    """
    with ExitStack() as stack:
        clips = stack.enter_context(reader)
        works: Iterator[Work] = plan_work(clips, recognizer, batching, unbatched.clock)
        prepared = stack.enter_context(RunAhead(works, lambda _: 1, PREPARED, "prepare-batches"))
        pool = stack.enter_context(ThreadPoolExecutor(1, "decode-text"))
        # The text of an hour of audio must not keep back that of the batches after it.
        long_pool = stack.enter_context(ThreadPoolExecutor(1, "decode-long"))
        # A compiled search runs without Python's lock: a fast device is not kept waiting for text.
        threads = getattr(recognizer.decoder, "threads", 1)
        rows = stack.enter_context(ThreadPoolExecutor(threads, "decode-rows"))
        # Stopped first of all: other threads may be waiting for the reader.
        stack.callback(reader.stop)
        decoder = BatchDecoder(recognizer, unbatched.clock, rows if threads > 1 else None)
        in_flight = _BatchesInFlight(recognizer, unbatched, decoder, pool, long_pool)
        yield from _in_order(in_flight.run(_report_losses(prepared, report_lost)))


def _report_losses(
    works: Iterable[Work], report_lost: Callable[[Utterance, float], None]
) -> Iterator[Work]:
    """Yield the same work after reporting lost audio, on the thread of the consumer."""
    for work in works:
        for member in (work.member,) if isinstance(work, UnbatchedWork) else work.members:
            report_lost(member.clip.utterance, member.clip.lost_s)
        yield work


def _in_order(results: Iterator[Result]) -> Iterator[TimedResult]:
    """Yield results by their number, each as soon as all before it are done."""
    waiting: dict[int, TimedResult] = {}
    following = 0
    for number, result in results:
        waiting[number] = result
        while following in waiting:
            yield waiting.pop(following)
            following += 1


class _BatchesInFlight:
    """The batches and the unbatched clips between the network and their text."""

    def __init__(
        self,
        recognizer: Recognizer,
        unbatched: UnbatchedTranscriber,
        decoder: BatchDecoder,
        pool: ThreadPoolExecutor,
        long_pool: ThreadPoolExecutor,
    ) -> None:
        self._recognizer = recognizer
        self._clock = unbatched.clock
        self._decoder = decoder
        self._unbatched = unbatched
        self._pool = pool
        self._long_pool = long_pool
        self._pending: deque[tuple[BatchedWork, Future[list[TimedResult]]]] = deque()
        self._pending_long: deque[tuple[int, Future[TimedResult]]] = deque()

    def run(self, works: Iterator[Work]) -> Iterator[Result]:
        failures: list[Exception] = []
        for work in until_failure(works, failures):
            if isinstance(work, UnbatchedWork):
                decode = self._unbatched.infer(work.member.clip)
                job = self._long_pool.submit(decode)
                self._pending_long.append((work.member.number, job))
            else:
                yield from self._start(work)
            while len(self._pending) >= IN_FLIGHT or (self._pending and self._pending[0][1].done()):
                yield from self._finish()
            yield from self._finish_long(LONG_IN_FLIGHT - 1)
        while self._pending:
            yield from self._finish()
        yield from self._finish_long(0)
        for failure in failures:
            raise failure

    def _start(self, work: BatchedWork) -> Iterator[Result]:
        try:
            with self._clock.time_compute() as watch:
                output = self._recognizer.start(work.prepared)
        except (RuntimeError, MemoryError):
            yield from self._retry_unbatched(work)
            return
        job = self._pool.submit(self._decode, work, output, watch)
        self._pending.append((work, job))

    def _decode(
        self, work: BatchedWork, pending: PendingOutput, started: Stopwatch
    ) -> list[TimedResult]:
        # The device runs asynchronously: waiting for it is the rest of its compute time.
        with self._clock.time("compute") as watch:
            output = pending.wait()
        return self._decoder.decode_batch(work, output, started, watch.seconds)

    def _finish(self) -> Iterator[Result]:
        work, job = self._pending.popleft()
        try:
            results = job.result()
        except (RuntimeError, MemoryError):
            yield from self._retry_unbatched(work)
            return
        for member, one in zip(work.members, results, strict=True):
            yield member.number, one

    def _finish_long(self, most: int) -> Iterator[Result]:
        """Yield results of unbatched clips that are done, and until at most `most` are left."""
        pending = self._pending_long
        while len(pending) > most or (pending and pending[0][1].done()):
            number, job = pending.popleft()
            yield number, job.result()

    def _retry_unbatched(self, work: BatchedWork) -> Iterator[Result]:
        """Transcribe a failed batch one by one: memory ran out, or one utterance is at fault."""
        for member in work.members:
            yield member.number, self._unbatched.transcribe(member.clip)
