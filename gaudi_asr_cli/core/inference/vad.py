"""Voice activity detection (VAD): where there is speech, in audio of any length."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from math import ceil, inf
from typing import TYPE_CHECKING, Any

import numpy as np

from gaudi_asr_cli.core.decoding.base import Decoder
from gaudi_asr_cli.core.errors import MachineError
from gaudi_asr_cli.core.models.energy import EnergyStream
from gaudi_asr_cli.core.models.silero import (
    VAD_FRAME_S,
    VAD_FRAME_SAMPLES,
    SileroStream,
    find_weights,
    open_silero,
)
from gaudi_asr_cli.core.records import (
    SAMPLE_RATE_HZ,
    Emissions,
    Speech,
    Transcript,
    Utterance,
    Vocabulary,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Samples = NDArray[np.float32]

INSTALL = "Run pip install 'gaudi-asr[vad]'."
STARTS, ENDS = 0.5, 0.35
"""Speech starts with a frame of this probability, and lasts until there are less probable ones."""
MIN_SPEECH_FRAMES = 3
"""A click, or the start of a hum, is shorter."""
MIN_PAUSE_FRAMES = 4
SPEECH_MARGIN_S = 0.4
"""Audio around speech that is transcribed with it: the first and last sounds are soft."""
SPEECH_PAUSE_S = 2.0
"""Shorter pauses are transcribed with the speech around them."""
IMPOSSIBLE = np.float32(-1e4)
VAD_BLOCK_FRAMES = 300
"""Frames that are detected at once: about ten seconds."""


@dataclass(frozen=True, slots=True)
class SpeechDetector:
    """Finds speech; `open_stream` starts the probabilities of one audio.

    `note` is what the user should know about the detector.
    """

    open_stream: Callable[[], Callable[[Samples], NDArray[np.float32]]]
    note: str = ""

    def find(self, samples: Samples) -> Speech:
        """Return the speech in samples (T,)."""
        return self.find_in_blocks([samples])

    def find_in_blocks(self, blocks: Iterable[Samples]) -> Speech:
        """Return the speech in audio that comes in blocks (T,)."""
        finder = SpeechFinder(self)
        for _ in finder.watch(blocks):
            pass
        return finder.speech


class SpeechFinder:
    """Finds the speech in audio that passes in blocks; memory holds ten seconds."""

    def __init__(self, detector: SpeechDetector) -> None:
        self._probabilities = detector.open_stream()
        self._held = np.zeros(0, np.float32)
        self._spans = _Spans()
        self._samples = 0
        self._speech: Speech | None = None

    def watch(self, blocks: Iterable[Samples]) -> Iterator[Samples]:
        """Yield the blocks (T,) as they are."""
        size = VAD_BLOCK_FRAMES * VAD_FRAME_SAMPLES
        for block in blocks:
            self._samples += len(block)
            self._held = np.concatenate([self._held, block])
            while len(self._held) >= size:
                self._spans.add(self._probabilities(self._held[:size]))
                self._held = self._held[size:]
            yield block

    @property
    def speech(self) -> Speech:
        """Return the speech in all blocks, once all have passed."""
        if self._speech is None:
            if len(self._held):
                padding = -len(self._held) % VAD_FRAME_SAMPLES
                self._spans.add(self._probabilities(np.pad(self._held, (0, padding))))
            self._speech = Speech(self._spans.finish(self._samples / SAMPLE_RATE_HZ))
        return self._speech


class _Spans:
    """Speech spans in seconds, from the probabilities of frames."""

    def __init__(self) -> None:
        self._spans: list[tuple[float, float]] = []
        self._frame = 0
        self._start: int | None = None
        self._last = 0

    def add(self, probabilities: NDArray[np.float32]) -> None:
        for probability in probabilities.tolist():
            if probability >= (STARTS if self._start is None else ENDS):
                self._start = self._frame if self._start is None else self._start
                self._last = self._frame
            elif self._start is not None and self._frame - self._last >= MIN_PAUSE_FRAMES:
                self._end()
            self._frame += 1

    def finish(self, duration_s: float) -> tuple[tuple[float, float], ...]:
        """Return the spans of audio that ends here."""
        if self._start is not None:
            self._end()
        return tuple((start_s, min(end_s, duration_s)) for start_s, end_s in self._spans)

    def _end(self) -> None:
        assert self._start is not None  # noqa: S101 - as the callers checked
        if self._last + 1 - self._start >= MIN_SPEECH_FRAMES:
            self._spans.append((self._start * VAD_FRAME_S, (self._last + 1) * VAD_FRAME_S))
        self._start = None


LEVEL_DETECTOR = SpeechDetector(EnergyStream)
"""Finds pauses in audio all of which is transcribed."""


def open_detector(mode: str, *, by_default: bool) -> SpeechDetector | None:
    """Open the detector of a mode of `InferenceOptions`; None: nothing is detected.

    Args:
        mode: `auto` detects where `by_default`, with energy if silero-vad is not installed.
        by_default: Whether the model generates text without speech.

    Raises:
        MachineError: The mode is `on`, and silero-vad is not installed.
    """
    if mode == "off" or (mode == "auto" and not by_default):
        return None
    weights = find_weights()
    if weights is not None:
        network = open_silero(weights)
        return SpeechDetector(lambda: SileroStream(network))
    if mode == "on":
        raise MachineError(
            "Voice activity detection needs the package silero-vad, which is not installed.",
            remedy=f"{INSTALL} Or leave --vad out.",
        )
    return SpeechDetector(
        EnergyStream,
        "Voice activity is detected by energy alone, since silero-vad is not installed: music and "
        "changing noise pass for speech.",
    )


def merge_spans(
    speech: Speech, *, pause_s: float, margin_s: float
) -> Iterator[tuple[float, float]]:
    """Yield spans with a margin around them, joined where the pause between two is shorter."""
    merged: tuple[float, float] | None = None
    for start_s, end_s in speech.spans:
        start_s, end_s = max(0.0, start_s - margin_s), end_s + margin_s
        if merged is not None and start_s - merged[1] <= max(0.0, pause_s - 2 * margin_s):
            merged = (merged[0], end_s)
            continue
        if merged is not None:
            yield merged
        merged = (start_s, end_s)
    if merged is not None:
        yield merged


def cut_parts(
    speech: Speech, part_s: float, *, pause_s: float, margin_s: float
) -> Iterator[tuple[float, float]]:
    """Yield parts of the audio with a margin around their speech.

    They are cut at all pauses that are longer than `pause_s`, and so that each has about `part_s`
    seconds or less, at long pauses near where parts of equal length would end.
    """
    before_s = 0.0
    parts = [
        part for one in _split_spans(speech.spans, pause_s) for part in _cut_evenly(one, part_s)
    ]
    for number, part in enumerate(parts):
        after_s = parts[number + 1][0][0] if number + 1 < len(parts) else inf
        start_s, end_s = part[0][0], part[-1][1]
        # Half a pause on either side of a cut.
        yield (
            max((before_s + start_s) / 2, start_s - margin_s),
            min((end_s + after_s) / 2, end_s + margin_s),
        )
        before_s = end_s


def cut_at_pauses(
    speech: Speech, part_s: float, *, pause_s: float
) -> Iterator[tuple[float, float]]:
    """Yield parts that cover the whole audio, of about `part_s` seconds or less.

    They are cut in the middle of pauses of `pause_s` or more; without any, there is one part.
    """
    spans = list(merge_spans(speech, pause_s=pause_s, margin_s=0.0))
    pairs = pairwise(_cut_evenly(spans, part_s) if spans else ())
    borders_s = [(before[-1][1] + after[0][0]) / 2 for before, after in pairs]
    yield from pairwise([0.0, *borders_s, inf])


_SpeechSpans = Sequence[tuple[float, float]]


def _split_spans(spans: _SpeechSpans, pause_s: float) -> Iterator[_SpeechSpans]:
    """Yield the spans between pauses that are longer."""
    pauses = [0, *(i for i in range(1, len(spans)) if spans[i][0] - spans[i - 1][1] > pause_s)]
    for first, end in pairwise([*pauses, len(spans)]):
        if first < end:
            yield spans[first:end]


def _cut_evenly(spans: _SpeechSpans, part_s: float) -> Iterator[_SpeechSpans]:
    """Yield spans in parts of about equal length, each cut at the longest of the pauses there."""
    start_s, length_s = spans[0][0], spans[-1][1] - spans[0][0]
    count = max(1, ceil(length_s / part_s))
    first = 0
    for number in range(1, count):
        goal_s = start_s + number * length_s / count

        def rank(index: int, goal_s: float = goal_s) -> tuple[float, float]:
            pause_start_s, pause_end_s = spans[index - 1][1], spans[index][0]
            away_s = abs((pause_start_s + pause_end_s) / 2 - goal_s)
            is_near = away_s < length_s / count / 4
            return (pause_end_s - pause_start_s if is_near else 0.0), -away_s

        cut = max(range(first + 1, len(spans)), key=rank, default=None)
        if cut is not None:
            yield spans[first:cut]
            first = cut
    yield spans[first:]


def pack_spans(speech: Speech, window_s: float, margin_s: float) -> Iterator[tuple[float, float]]:
    """Yield parts of the audio of up to a window, cut in the middle of pauses.

    A span that is longer than a window stays whole.
    """
    start_s, reached_s = None, 0.0
    for span_start_s, span_end_s in speech.spans:
        # Half a pause on either side of a cut.
        before_s = max((reached_s + span_start_s) / 2, span_start_s - margin_s)
        if start_s is not None and span_end_s + margin_s - start_s > window_s:
            yield start_s, min((reached_s + span_start_s) / 2, reached_s + margin_s)
            start_s = None
        start_s = before_s if start_s is None else start_s
        reached_s = span_end_s
    if start_s is not None:
        yield start_s, reached_s + margin_s


class SpeechDecoder:
    """A CTC decoder that gets blanks where there is no speech, for one audio in chunks.

    No word goes on after a pause: each begins with the delimiter, where there is one, which a model
    that was trained on short utterances does not emit there.
    """

    def __init__(self, decoder: Decoder, speech: Speech, vocabulary: Vocabulary) -> None:
        self._decoder = decoder
        self._blank = vocabulary.blank
        self._delimiter = vocabulary.delimiter
        self._spans = np.array(
            list(merge_spans(speech, pause_s=0.0, margin_s=SPEECH_MARGIN_S)), dtype=np.float64
        ).reshape(-1, 2)
        self._frames = 0

    def decode(self, output: Any, index: int, utterance: Utterance) -> Transcript:
        return self.assemble([self.condense(output, index)], utterance)

    def condense(self, output: Emissions, index: int) -> Any:
        """Condense the next chunk of the audio."""
        log_probs = output.log_probs.copy()  # (1, F, V)
        times_s = (self._frames + np.arange(log_probs.shape[1])) * output.frame_s
        after = np.searchsorted(self._spans[:, 0], times_s, side="right")
        ends_s = np.concatenate([[-1.0], self._spans[:, 1]])
        outside = times_s > ends_s[after]
        log_probs[:, outside] = IMPOSSIBLE
        log_probs[:, outside, self._blank] = 0.0
        if self._delimiter is not None:
            pauses = outside & ~np.concatenate([[False], outside[:-1]])
            log_probs[:, pauses, self._blank] = IMPOSSIBLE
            log_probs[:, pauses, self._delimiter] = 0.0
        self._frames += int(output.frames[index])
        return self._decoder.condense(replace(output, log_probs=log_probs), index)

    def assemble(self, parts: Sequence[Any], utterance: Utterance) -> Transcript:
        return self._decoder.assemble(parts, utterance)
