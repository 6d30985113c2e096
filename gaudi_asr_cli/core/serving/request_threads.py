"""Requests of a worker: each is read and transcribed on a thread, and shares the network."""

from __future__ import annotations

import heapq
import re
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from pathlib import Path
from threading import Barrier, Condition, Lock, Semaphore, Thread
from typing import TYPE_CHECKING, Any

import numpy as np

from gaudi_asr_cli.core.data.audio import LoadedAudio, load_audio, read_duration_s
from gaudi_asr_cli.core.data.timeline import forget_timelines
from gaudi_asr_cli.core.errors import AsrError, DataError
from gaudi_asr_cli.core.events import Noticed
from gaudi_asr_cli.core.inference.long_form import LONG_S, open_blocks
from gaudi_asr_cli.core.inference.options import InferenceOptions
from gaudi_asr_cli.core.inference.prefetch import Clip
from gaudi_asr_cli.core.inference.results import NOT_FINITE
from gaudi_asr_cli.core.inference.timing import PhaseClock
from gaudi_asr_cli.core.inference.unbatched import UnbatchedTranscriber
from gaudi_asr_cli.core.records import SAMPLE_RATE_HZ, AudioSpan, Segment, Utterance
from gaudi_asr_cli.core.serving.messages import (
    AudioRequest,
    OpenModel,
    RequestDone,
    RequestFailed,
    RequestOptions,
    RequestStarted,
    SegmentReady,
    ServedTranscript,
)
from gaudi_asr_cli.core.serving.places import describe_place
from gaudi_asr_cli.core.serving.scheduler import (
    LIVE_LEAD_S,
    CallScheduler,
    RequestCancelledError,
    Ticket,
    TicketQueue,
    use_threads,
)

if TYPE_CHECKING:
    from gaudi_asr_cli.core.inference.recognizer import Recognizer

BYTES_PER_S = 16_000
"""Of a file of usual compression: says which of the files that wait is probably short."""
MOST_RECOGNIZERS = 32
"""Sets of options whose recogniser is kept; a language model takes a while to open."""
SHORT_THREADS, MEDIUM_THREADS, LONG_THREADS, LIVE_THREADS = 32, 8, 4, 8
"""Requests that are transcribed at once: clips, audio up to ten minutes, longer, and live."""
FORGET_AFTER = 256
"""Requests after which the headers of files are forgotten."""
RETRY = "Send it again; if that fails too, the messages of the server say more."

LIVE = "live"
"""The name of audio that is no file."""

Send = Callable[[Any], None]


@dataclass(eq=False, slots=True)
class _Job:
    """A request, its place in the queue, and what was read of it."""

    request: AudioRequest
    ticket: Ticket
    duration_s: float | None = None
    spent_s: dict[str, float] = field(default_factory=dict)

    @property
    def guessed_s(self) -> float:
        """Return its seconds of audio, guessed from its size where they are not known."""
        if self.duration_s is not None:
            return self.duration_s
        audio = self.request.audio
        if not isinstance(audio, Path):
            return len(audio) / SAMPLE_RATE_HZ
        try:
            return audio.stat().st_size / BYTES_PER_S
        except OSError:
            return 0.0


class _JobThreads:
    """Threads that take the job that is due first."""

    def __init__(
        self, threads: int, run: Callable[[_Job], None], begun: Barrier, name: str
    ) -> None:
        self._heap: list[tuple[float, int, _Job]] = []
        self._order = count()
        self._changed = Condition()
        self._run = run
        self._begun = begun
        for number in range(threads):
            Thread(target=self._serve, name=f"{name}-{number}", daemon=True).start()

    def add(self, job: _Job) -> None:
        due_s = job.ticket.due_s(job.guessed_s)
        with self._changed:
            heapq.heappush(self._heap, (due_s, next(self._order), job))
            self._changed.notify()

    def _serve(self) -> None:
        # Speech is found on many threads at once: each with those of all cores would be too many.
        use_threads(1)
        self._begun.wait()
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._heap)
                _, _, job = heapq.heappop(self._heap)
            self._run(job)
            del job


class RequestThreads:
    """Transcribes requests, each on a thread, as `infer` does one file.

    Args:
        recognizer: Its network is run by `scheduler`.
        setup: What the recogniser was opened with.
        scheduler: Receives the calls of the network.
        send: Sends results, from any thread.
        readers: Files that are decoded at once.
    """

    def __init__(
        self,
        recognizer: Recognizer,
        setup: OpenModel,
        scheduler: CallScheduler,
        send: Send,
        readers: int,
    ) -> None:
        self._recognizers = _Recognizers(recognizer, setup.options)
        self._name = setup.name
        self._scheduler = scheduler
        self._send = send
        self._max_duration_s = setup.max_duration_s
        self._reading = Semaphore(readers)
        self._jobs: dict[int, _Job] = {}
        import torch

        used = torch.get_num_threads()
        begun = Barrier(SHORT_THREADS + MEDIUM_THREADS + LONG_THREADS + LIVE_THREADS + 1)
        self._short = _JobThreads(SHORT_THREADS, self._run, begun, "short")
        self._medium = _JobThreads(MEDIUM_THREADS, self._run, begun, "medium")
        self._long = _JobThreads(LONG_THREADS, self._run, begun, "long")
        self._live = _JobThreads(LIVE_THREADS, self._run, begun, "live")
        # A part of what they have set (MKL's) holds for all threads: restore it.
        begun.wait()
        torch.set_num_threads(used)

    def prepare(self) -> None:
        """Make what the usual requests need, before the first of them."""
        for words in (False, True):
            self._recognizers.find(RequestOptions(words=words))

    def add(self, request: AudioRequest) -> None:
        """Transcribe a request when its turn comes."""
        now_s = time.monotonic()
        job = _Job(request, Ticket(now_s - LIVE_LEAD_S if request.is_live else now_s))
        self._jobs[request.number] = job
        (self._live if request.is_live else self._short).add(job)

    def cancel(self, number: int) -> None:
        """Drop a request: at once if it waits, else after the call of the network that runs."""
        job = self._jobs.get(number)
        if job is not None:
            self._scheduler.cancel(job.ticket)

    def _run(self, job: _Job) -> None:
        request = job.request
        try:
            if job.ticket.is_cancelled:
                raise RequestCancelledError  # noqa: TRY301 - handled as one that comes later
            if job.duration_s is None:
                self._send(RequestStarted(request.number))
                job.duration_s = self._measure(request)
                job.ticket.audio_s = job.duration_s
                job.ticket.is_long = job.duration_s > self._recognizers.max_chunk_s
                if job.ticket.is_long and not request.is_live:
                    (self._long if job.duration_s > LONG_S else self._medium).add(job)
                    return
            self._send(RequestDone(request.number, self._transcribe(job)))
        except RequestCancelledError:
            pass
        except AsrError as error:
            self._send(_describe_error(request, error, self._recognizers.name, self._name))
        except Exception as error:  # noqa: BLE001 - the client gets no internals, and other requests go on
            self._send(Noticed(f"A request failed: {describe_place(error)}."))
            named = AsrError(
                f"The audio was not transcribed: {type(error).__name__}.", remedy=RETRY
            )
            self._send(_describe_error(request, named, self._recognizers.name, self._name))
        self._jobs.pop(request.number, None)
        # The headers of files are remembered by their names, which never come again.
        if request.number % FORGET_AFTER == 0:
            forget_timelines()

    def _measure(self, request: AudioRequest) -> float:
        audio = request.audio
        if isinstance(audio, Path):
            seconds = read_duration_s(AudioSpan(audio))
        else:
            seconds = len(audio) / SAMPLE_RATE_HZ
        if seconds > self._max_duration_s:
            raise DataError(
                f"The audio is {seconds:,.0f} s long; this server takes up to "
                f"{self._max_duration_s:,.0f} s.",
                remedy="Send it in parts, or have the server started with a larger --max-duration.",
            )
        return seconds

    def _transcribe(self, job: _Job) -> ServedTranscript:
        request, ticket = job.request, job.ticket
        recognizer = self._recognizers.find(request.options).queued(
            TicketQueue(self._scheduler, ticket)
        )
        with self._timed_reading(job):
            clip = self._read(job, recognizer)
        started_s, waited_s = time.monotonic(), ticket.waited_s
        transcriber = UnbatchedTranscriber(
            recognizer,
            PhaseClock(),
            lambda utterance, lost_s: None,
            partial(self._open_blocks, ticket),
            self._reporter(request),
        )
        done = transcriber.attempt(clip).done
        if ticket.is_cancelled:
            raise RequestCancelledError
        if done.transcript is None:
            raise AsrError(done.error or NOT_FINITE, remedy=RETRY)
        job.spent_s["compute"] = time.monotonic() - started_s - (ticket.waited_s - waited_s)
        job.spent_s["queue"] = ticket.waited_s
        return ServedTranscript(done.transcript, done.duration_s, job.spent_s, done.speech_s)

    @contextmanager
    def _timed_reading(self, job: _Job) -> Iterator[None]:
        """Read few files at once: they would take the cores from the network."""
        asked_s = time.monotonic()
        with self._reading:
            started_s = time.monotonic()
            job.ticket.waited_s += started_s - asked_s
            yield
            job.spent_s["decode"] = time.monotonic() - started_s

    def _read(self, job: _Job, recognizer: Recognizer) -> Clip:
        audio, language = job.request.audio, job.request.options.language
        if not isinstance(audio, Path):
            utterance = Utterance(LIVE, AudioSpan(Path(LIVE)))
            return self._make_clip(utterance, LoadedAudio(audio), recognizer)
        # The track of a film is the one in the language, as in `infer`.
        span = AudioSpan(audio, duration_s=self._max_duration_s, track=language)
        utterance = Utterance(str(audio), span)
        if job.duration_s is not None and job.duration_s > LONG_S:
            return Clip(utterance, np.zeros(0, np.float32), is_long=True)
        return self._make_clip(utterance, load_audio(span), recognizer)

    def _make_clip(self, utterance: Utterance, loaded: LoadedAudio, recognizer: Recognizer) -> Clip:
        samples = loaded.samples
        # In long audio the recogniser finds it itself.
        is_whole = len(samples) <= recognizer.max_chunk_s * SAMPLE_RATE_HZ
        finds = is_whole and recognizer.vad is not None
        speech = recognizer.vad.find(samples) if finds and recognizer.vad is not None else None
        return Clip(utterance, samples, loaded.lost_s, speech=speech)

    def _open_blocks(self, ticket: Ticket, span: AudioSpan) -> Iterator[LoadedAudio]:
        for block in open_blocks(span):
            if ticket.is_cancelled:
                raise RequestCancelledError
            yield block

    def _reporter(self, request: AudioRequest) -> Callable[[Utterance, Segment], None] | None:
        if not request.follows:
            return None
        return lambda _, segment: self._send(SegmentReady(request.number, segment))


class _Recognizers:
    """The recogniser of each set of options, the last used ones."""

    def __init__(self, recognizer: Recognizer, options: InferenceOptions) -> None:
        self._recognizer = recognizer
        self._options = options
        # It was opened with these: a language model is not read again.
        self._known: OrderedDict[InferenceOptions, Recognizer] = OrderedDict({options: recognizer})
        self._lock = Lock()

    @property
    def name(self) -> str:
        return self._recognizer.name

    @property
    def max_chunk_s(self) -> float:
        return self._recognizer.max_chunk_s

    def find(self, asked: RequestOptions) -> Recognizer:
        """Return the recogniser for the options of a request.

        Raises:
            UsageError: The model does not support one of them.
        """
        options = asked.apply_to(self._options)
        with self._lock:
            if options not in self._known:
                self._known[options] = self._recognizer.with_options(options)
            self._known.move_to_end(options)
            if len(self._known) > MOST_RECOGNIZERS:
                self._known.popitem(last=False)
            return self._known[options]


def _describe_error(
    request: AudioRequest, error: AsrError, model: str, served: str
) -> RequestFailed:
    """Return the error in the words of the sender, who knows neither our file nor our folders."""
    path = str(request.audio) if isinstance(request.audio, Path) else LIVE
    message, remedy = (
        re.sub(rf"(?<!\w){re.escape(model)}(?!\w)", served, text.replace(path, request.name))
        for text in (error.message, error.remedy)
    )
    return RequestFailed(request.number, type(error), message, remedy)
