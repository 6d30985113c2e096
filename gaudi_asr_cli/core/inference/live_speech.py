"""Utterances in live audio: where speech starts and ends, found while it arrives."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from gaudi_asr_cli.core.errors import UsageError
from gaudi_asr_cli.core.inference.vad import (
    ENDS,
    MIN_PAUSE_FRAMES,
    MIN_SPEECH_FRAMES,
    SPEECH_MARGIN_S,
    STARTS,
    SpeechDetector,
)
from gaudi_asr_cli.core.models.energy import EnergyStream
from gaudi_asr_cli.core.models.silero import VAD_FRAME_S, VAD_FRAME_SAMPLES, find_weights
from gaudi_asr_cli.core.models.silero_frames import SileroFrames, open_silero_weights
from gaudi_asr_cli.core.records import SAMPLE_RATE_HZ

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Samples = NDArray[np.float32]

MARGIN_FRAMES = round(SPEECH_MARGIN_S / VAD_FRAME_S)
SHORTEST_PAUSE_S, LONGEST_PAUSE_S = 0.2, 5.0
SHORTEST_UTTERANCE_S, LONGEST_UTTERANCE_S = 5.0, 29.0
"""Limits of `max_utterance_s`: every model takes 30 s at once."""
CUT_FRAMES = round(0.32 / VAD_FRAME_S)
"""A long utterance is cut in the middle of so many frames, those least probably speech."""


@dataclass(frozen=True, slots=True)
class LiveSettings:
    """How live audio is divided into utterances.

    Args:
        pause_s: Seconds without speech that end an utterance.
        partial_s: New audio after which an unfinished utterance is transcribed again, in seconds.
        max_utterance_s: Longer utterances are cut at their best pause.
    """

    pause_s: float = 0.6
    partial_s: float = 0.7
    max_utterance_s: float = 25.0

    def check(self) -> None:
        """Check the limits.

        Raises:
            UsageError: A value is outside of them.
        """
        for name, value, low, high in (
            ("pause_s", self.pause_s, SHORTEST_PAUSE_S, LONGEST_PAUSE_S),
            ("partial_s", self.partial_s, SHORTEST_PAUSE_S, LONGEST_UTTERANCE_S),
            ("max_utterance_s", self.max_utterance_s, SHORTEST_UTTERANCE_S, LONGEST_UTTERANCE_S),
        ):
            if not low <= value <= high:
                raise UsageError(
                    f"{name} is {value:g}.", remedy=f"Choose {low:g} to {high:g} seconds."
                )


@dataclass(frozen=True, slots=True)
class SpeechStarted:
    """Speech of utterance `number` (from 0) started `start_s` into the stream."""

    number: int
    start_s: float


@dataclass(frozen=True, slots=True)
class SpeechPaused:
    """The utterance ends here if the pause lasts: its audio is that of `SpeechEnded` then."""

    audio: LiveAudio


@dataclass(frozen=True, slots=True)
class SpeechEnded:
    """The utterance is over; `cut` is set where it was cut for its length."""

    audio: LiveAudio
    cut: bool = False


@dataclass(frozen=True, slots=True)
class LiveAudio:
    """Audio of an utterance with a margin around its speech.

    `samples` (T,) begin `from_s` into the stream; the speech lasts from `start_s` to `end_s`.
    """

    number: int
    samples: Samples
    from_s: float
    start_s: float
    end_s: float


LiveStep: TypeAlias = SpeechStarted | SpeechPaused | SpeechEnded


def open_live_detector() -> SpeechDetector:
    """Open the detector of live speech, without torch: Silero if it is installed, else energy."""
    path = find_weights()
    if path is None:
        return SpeechDetector(EnergyStream)
    weights = open_silero_weights(path)
    return SpeechDetector(lambda: SileroFrames(weights))


class UtteranceFinder:
    """Divides audio that arrives in any pieces into utterances; it holds only the current one."""

    def __init__(self, detector: SpeechDetector, settings: LiveSettings) -> None:
        self._probabilities_of = detector.open_stream()
        self._settings = settings
        self._pause_frames = max(1, round(settings.pause_s / VAD_FRAME_S))
        self._max_frames = int(settings.max_utterance_s / VAD_FRAME_S)
        self._samples = 0
        self._rest = np.zeros(0, np.float32)
        self._frames: deque[Samples] = deque()
        self._probabilities: deque[float] = deque()
        self._first = 0
        """Number, in the stream, of the first frame that is held."""
        self._frame = 0
        """Number of the next frame."""
        self._span_start: int | None = None
        self._span_last = 0
        self._start: int | None = None
        """First frame of the utterance's speech; None between utterances."""
        self._last = 0
        """Last frame of its speech."""
        self._number = 0

    @property
    def duration_s(self) -> float:
        """Return the length of the audio so far."""
        return self._samples / SAMPLE_RATE_HZ

    @property
    def current(self) -> LiveAudio | None:
        """Return the current utterance so far; None where there is no speech."""
        return None if self._start is None else self._take(self._frame)

    @property
    def current_s(self) -> float:
        """Return the length of the current utterance so far, 0 where there is no speech."""
        return 0.0 if self._start is None else (self._frame - self._first) * VAD_FRAME_S

    @property
    def is_speaking(self) -> bool:
        """Return whether the newest audio is speech of the current utterance."""
        return self._start is not None and self._span_start is not None

    def push(self, samples: Samples) -> Iterator[LiveStep]:
        """Add samples (T,) at 16 kHz, and yield what they show."""
        self._samples += len(samples)
        joined = np.concatenate([self._rest, samples])
        whole = len(joined) - len(joined) % VAD_FRAME_SAMPLES
        self._rest = joined[whole:].copy()
        yield from self._detect(joined[:whole])

    def finish(self) -> Iterator[LiveStep]:
        """End the audio, and yield the end of the utterance in it."""
        if len(self._rest):
            padded = np.pad(self._rest, (0, -len(self._rest) % VAD_FRAME_SAMPLES))
            self._rest = np.zeros(0, np.float32)
            yield from self._detect(padded)
        if self._start is not None:
            yield self._end(min(self._frame, self._last + 1 + MARGIN_FRAMES))

    def _detect(self, samples: Samples) -> Iterator[LiveStep]:
        if not len(samples):
            return
        frames = samples.reshape(-1, VAD_FRAME_SAMPLES)
        probabilities = self._probabilities_of(samples).tolist()
        for frame, probability in zip(frames, probabilities, strict=True):
            self._frames.append(frame)
            self._probabilities.append(probability)
            self._frame += 1
            yield from self._follow(probability)

    def _follow(self, probability: float) -> Iterator[LiveStep]:
        """Yield what the newest frame shows."""
        self._follow_span(self._frame - 1, probability)
        is_speech = (
            self._span_start is not None
            and self._span_last + 1 - self._span_start >= MIN_SPEECH_FRAMES
        )
        if is_speech and self._span_start is not None:
            self._last = self._span_last
            if self._start is None:
                # After a cut in a span the span began before the frames that are held.
                self._start = max(self._span_start, self._first)
                self._drop_before(self._start - MARGIN_FRAMES)
                yield SpeechStarted(self._number, self._start * VAD_FRAME_S)
        if self._start is None:
            spoken = self._frame if self._span_start is None else self._span_start
            self._drop_before(spoken - MARGIN_FRAMES)
            return
        yield from self._follow_utterance()

    def _follow_span(self, frame: int, probability: float) -> None:
        """Follow the spans of speech as in whole files (`SpeechDetector.find`)."""
        if probability >= (STARTS if self._span_start is None else ENDS):
            self._span_start = frame if self._span_start is None else self._span_start
            self._span_last = frame
        elif self._span_start is not None and frame - self._span_last >= MIN_PAUSE_FRAMES:
            self._span_start = None

    def _follow_utterance(self) -> Iterator[LiveStep]:
        silent = self._frame - 1 - self._last
        if silent == min(MARGIN_FRAMES, self._pause_frames):
            yield SpeechPaused(self._take(self._frame))
        if silent >= self._pause_frames and self._span_start is None:
            yield self._end(self._last + 1 + min(MARGIN_FRAMES, self._pause_frames))
        elif self._frame - self._first >= self._max_frames:
            yield from self._cut()

    def _take(self, to_frame: int) -> LiveAudio:
        """Return the utterance up to a frame of the stream."""
        assert self._start is not None  # noqa: S101 - as the callers checked
        count = to_frame - self._first
        return LiveAudio(
            self._number,
            np.concatenate(list(islice(self._frames, count))),
            self._first * VAD_FRAME_S,
            self._start * VAD_FRAME_S,
            min(min(self._last + 1, to_frame) * VAD_FRAME_S, self.duration_s),
        )

    def _end(self, to_frame: int) -> SpeechEnded:
        ended = SpeechEnded(self._take(to_frame))
        self._start, self._number = None, self._number + 1
        self._drop_before(max(to_frame, self._frame - MARGIN_FRAMES))
        return ended

    def _cut(self) -> Iterator[LiveStep]:
        """End the utterance at the best pause of its second half, and start the next there."""
        spread = np.convolve(np.array(self._probabilities), np.ones(CUT_FRAMES), mode="same")
        from_frame = len(spread) // 2
        # After the last frames nothing is known yet, so they do not show a pause.
        cut = from_frame + int(np.argmin(spread[from_frame : len(spread) - CUT_FRAMES // 2]))
        yield SpeechEnded(self._take(self._first + cut), cut=True)
        self._start, self._number = None, self._number + 1
        self._drop_before(self._first + cut)
        if self._last >= self._first:
            self._start = self._first
            yield SpeechStarted(self._number, self._start * VAD_FRAME_S)

    def _drop_before(self, frame: int) -> None:
        while self._first < min(frame, self._frame):
            self._frames.popleft()
            self._probabilities.popleft()
            self._first += 1
