"""Live transcription: partial and final transcripts of utterances while the audio arrives."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from gaudi_asr_cli.core.inference.live_speech import (
    LONGEST_UTTERANCE_S,
    LiveAudio,
    LiveSettings,
    LiveStep,
    SpeechEnded,
    SpeechPaused,
    SpeechStarted,
    UtteranceFinder,
)
from gaudi_asr_cli.core.inference.vad import SpeechDetector
from gaudi_asr_cli.core.records import SAMPLE_RATE_HZ, Transcript

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Samples = NDArray[np.float32]

MOST_PENDING = 3
"""Finished utterances that may wait for their transcripts; no audio is received beyond them."""
PIECE_SAMPLES = SAMPLE_RATE_HZ // 4
"""Speech is detected in so many samples at once, and other tasks run in between."""
COST_SHARE = 2.0
"""A partial transcript that took a second is followed by another after two at the earliest."""
ARRIVALS_S = LONGEST_UTTERANCE_S + 10.0
"""Times of arrival are held for so much audio."""


@dataclass(frozen=True, slots=True)
class PartialTranscript:
    """The text of an utterance so far."""

    number: int
    start_s: float
    end_s: float
    text: str


@dataclass(frozen=True, slots=True)
class FinalTranscript:
    """The transcript of an utterance; all times are on the clock of the stream.

    `latency_s` is the time from the arrival of the end of speech to this transcript.
    """

    number: int
    start_s: float
    end_s: float
    transcript: Transcript
    latency_s: float


LiveEvent: TypeAlias = SpeechStarted | PartialTranscript | FinalTranscript
TranscribeLive = Callable[[LiveAudio, bool], Awaitable[Transcript]]
"""Transcribes an utterance so far (False), or one that has probably ended (True).

Times are on the clock of its samples.
"""


@dataclass(frozen=True, slots=True)
class _Draft:
    """A transcription of an utterance so far.

    One with `is_final` was started in a pause, and is the final one if the speech ends there.
    """

    audio: LiveAudio
    task: asyncio.Task[Transcript]
    is_final: bool

    def is_final_of(self, audio: LiveAudio) -> bool:
        """Return whether it is the final transcription of this audio, and has not failed."""
        same = self.audio.number == audio.number and len(self.audio.samples) == len(audio.samples)
        failed = self.task.done() and (self.task.cancelled() or self.task.exception() is not None)
        return self.is_final and same and not failed


@dataclass(frozen=True, slots=True)
class _Ended:
    """An utterance that has ended: its final transcription, and when its speech had arrived."""

    audio: LiveAudio
    task: asyncio.Task[Transcript]
    arrived_s: float


class LiveTranscriber:
    """Transcribes one stream of live audio.

    In memory are the current utterance and up to `MOST_PENDING` that wait for their transcripts. A
    partial transcript is skipped while an earlier one is still computed. Final ones are not: the
    stream is received more slowly instead.

    Args:
        transcribe: Transcribes utterances.
        emit: Receives the events, the final ones in the order of their utterances.
        detector: Detects speech, from `open_live_detector`.
        settings: How the audio is divided.
    """

    def __init__(
        self,
        transcribe: TranscribeLive,
        emit: Callable[[LiveEvent], Awaitable[None]],
        detector: SpeechDetector,
        settings: LiveSettings,
    ) -> None:
        self._transcribe = transcribe
        self._emit = emit
        self._settings = settings
        self._finder = UtteranceFinder(detector, settings)
        self._arrivals: deque[tuple[float, float]] = deque()
        self._draft: _Draft | None = None
        self._drafted_s = 0.0
        self._cost_s = 0.0
        self._finals: asyncio.Queue[_Ended | None] = asyncio.Queue(MOST_PENDING)
        self._unfinished = 0
        """Utterances that have ended, and whose final transcript was not emitted yet."""
        self._tasks: set[asyncio.Task[Transcript]] = set()

    @property
    def duration_s(self) -> float:
        """Return the length of the audio so far."""
        return self._finder.duration_s

    async def run(self, pieces: AsyncIterator[Samples]) -> None:
        """Transcribe pieces (T,) at 16 kHz until they end, and all that was said in them.

        Raises:
            AsrError: An utterance could not be transcribed.
        """
        tasks = (asyncio.create_task(self._receive(pieces)), asyncio.create_task(self._finish()))
        try:
            await asyncio.gather(*tasks)
        finally:
            unfinished = [*tasks, *self._tasks]
            for task in unfinished:
                task.cancel()
            await asyncio.gather(*unfinished, return_exceptions=True)

    async def _receive(self, pieces: AsyncIterator[Samples]) -> None:
        async for samples in pieces:
            self._note_arrival(len(samples))
            for first in range(0, len(samples), PIECE_SAMPLES):
                for step in self._finder.push(samples[first : first + PIECE_SAMPLES]):
                    await self._react(step)
                self._start_partial()
                await asyncio.sleep(0)
        for step in self._finder.finish():
            await self._react(step)
        await self._finals.put(None)

    def _note_arrival(self, count: int) -> None:
        reached_s = self._finder.duration_s + count / SAMPLE_RATE_HZ
        self._arrivals.append((reached_s, time.perf_counter()))
        while self._arrivals[0][0] < reached_s - ARRIVALS_S and len(self._arrivals) > 1:
            self._arrivals.popleft()

    def _arrival_of(self, time_s: float) -> float:
        """Return when the audio at `time_s` of the stream arrived."""
        found = (at for reached_s, at in self._arrivals if reached_s >= time_s)
        return next(found, self._arrivals[-1][1])

    async def _react(self, step: LiveStep) -> None:
        if isinstance(step, SpeechStarted):
            self._drafted_s = 0.0
            await self._emit(step)
        elif isinstance(step, SpeechPaused):
            self._start_draft(step.audio, is_final=True)
        else:
            await self._end_utterance(step)

    async def _end_utterance(self, ended: SpeechEnded) -> None:
        audio, arrived_s = ended.audio, self._arrival_of(ended.audio.end_s)
        draft, self._draft = self._draft, None
        if draft is not None and draft.is_final_of(audio):
            task = draft.task
        else:
            if draft is not None:
                draft.task.cancel()
            task = self._spawn(self._transcribe(audio, True))
        self._unfinished += 1
        await self._finals.put(_Ended(audio, task, arrived_s))

    def _start_partial(self) -> None:
        """Transcribe the utterance so far, if there is enough new audio and time for it."""
        new_s = self._finder.current_s - self._drafted_s
        is_busy = self._draft is not None and not self._draft.task.done()
        if is_busy or self._unfinished or not self._finder.is_speaking:
            return
        if new_s < max(self._settings.partial_s, COST_SHARE * self._cost_s):
            return
        if (audio := self._finder.current) is not None:
            self._start_draft(audio, is_final=False)

    def _start_draft(self, audio: LiveAudio, *, is_final: bool) -> None:
        if self._draft is not None:
            self._draft.task.cancel()
        self._drafted_s = self._finder.current_s
        self._draft = _Draft(audio, self._spawn(self._transcribe_partly(audio, is_final)), is_final)

    async def _transcribe_partly(self, audio: LiveAudio, is_final: bool) -> Transcript:
        started_s = time.perf_counter()
        transcript = await self._transcribe(audio, is_final)
        self._cost_s = time.perf_counter() - started_s
        if self._draft is not None and self._draft.audio is audio:
            partial = PartialTranscript(audio.number, audio.start_s, audio.end_s, transcript.text)
            await self._emit(partial)
        return transcript

    def _spawn(self, transcription: Awaitable[Transcript]) -> asyncio.Task[Transcript]:
        task = asyncio.ensure_future(transcription)
        assert isinstance(task, asyncio.Task)  # noqa: S101 - of a coroutine
        self._tasks.add(task)
        task.add_done_callback(self._forget)
        return task

    def _forget(self, task: asyncio.Task[Transcript]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            # A partial transcript that failed is skipped; a final one is awaited elsewhere.
            task.exception()

    async def _finish(self) -> None:
        """Emit the final transcripts in order."""
        while (ended := await self._finals.get()) is not None:
            transcript, audio = await ended.task, ended.audio
            final = FinalTranscript(
                audio.number,
                audio.start_s,
                audio.end_s,
                _shift(transcript, audio.from_s),
                time.perf_counter() - ended.arrived_s,
            )
            await self._emit(final)
            self._unfinished -= 1


def _shift(transcript: Transcript, by_s: float) -> Transcript:
    """Return the transcript with its times that much later."""
    return replace(
        transcript,
        words=tuple(
            replace(word, start_s=word.start_s + by_s, end_s=word.end_s + by_s)
            for word in transcript.words
        ),
        segments=tuple(segment.shifted(by_s) for segment in transcript.segments),
    )
