"""Sequential long-form transcription: each window starts where the previous one ended a segment.

Whisper's own algorithm (openai/whisper, `transcribe`; transformers' long-form `generate`): the
decoder generates timestamps, and what follows its last pair of them is transcribed again in the
next window. Parts of the audio between pauses do not depend on each other, unless their text is
conditioned on the text before: their windows share batches.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from math import inf, isfinite
from typing import TYPE_CHECKING

import numpy as np

from gaudi_asr_cli.core.inference.long_form import WHOLE_AUDIO, ReportSegment
from gaudi_asr_cli.core.inference.prompting import NO_PROMPT, Prompting, TextBefore
from gaudi_asr_cli.core.models.log_mel import LogMel, scale
from gaudi_asr_cli.core.models.seq2seq.sequences import TIME_S, SequenceReader
from gaudi_asr_cli.core.records import DecodingStats, Hypothesis, Segment, worst_stats

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    Samples = NDArray[np.float32]

MEL_FRAME_S = 0.01
TAIL_FRAMES = 50
"""Shorter rests of a part of speech are not transcribed."""
KEPT_FRAMES = 60_000
"""Spectra of ten minutes, 19 MB, are kept between the two passes; longer audio is read twice."""

HELD_FRAMES = 180_000
"""Parts are transcribed side by side within half an hour, whose spectra (58 MB) are in memory."""


@dataclass(frozen=True, slots=True)
class MelWindow:
    """Features (M, 3000), of which `frames` are audio and the rest is padding."""

    features: Tensor
    frames: int


GenerateMelWindows = Callable[
    [Sequence[MelWindow], "str | None", tuple[int, ...]], Sequence[Hypothesis]
]
"""Transcribes windows with timestamps, in one batch.

The others are: their language (None: detected), and tokens before each.
"""


@dataclass
class MelStream:
    """Scaled log-mel features of audio that is read once.

    `parts` are the spans to transcribe, in seconds, rising.
    """

    mel: LogMel
    spectra: Iterator[Tensor]
    loudest: float
    parts: Sequence[tuple[float, float]] = WHOLE_AUDIO
    _held: list[Tensor] = field(default_factory=list)
    _first: int = 0
    _ended: bool = False

    def window(self, seek: int, end: float) -> Tensor:
        """Return up to a window of features (M, F) from frame `seek` to `end`; F is 0 after it."""
        import torch

        self._read(seek + self.mel.window_frames, needed=self._first)
        if not self._held:
            return torch.zeros(self.mel.filters.shape[0], 0)
        frames = int(max(0, min(self.mel.window_frames, end - seek)))
        first = seek - self._first
        return scale(self._join()[:, first : first + frames], self.loudest)

    def drop_before(self, seek: int) -> None:
        """Drop the features before frame `seek`."""
        self._read(seek, needed=seek)
        if self._held:
            features = self._join()
            dropped = min(seek - self._first, features.shape[1])
            self._held, self._first = [features[:, dropped:]], self._first + dropped

    def _read(self, end: int, needed: int) -> None:
        """Read frames up to `end`; what ends before frame `needed` is not kept."""
        while not self._ended and self._reached < end:
            if self._reached <= needed:
                self._held, self._first = [], self._reached
            spectrum = next(self.spectra, None)
            self._ended = spectrum is None
            if spectrum is not None:
                self._held.append(spectrum)

    def _join(self) -> Tensor:
        import torch

        if len(self._held) > 1:
            self._held = [torch.cat(self._held, dim=1)]
        return self._held[0]

    @property
    def _reached(self) -> int:
        return self._first + sum(one.shape[1] for one in self._held)


def measure_spectra(mel: LogMel, blocks: Iterable[Samples]) -> tuple[float, list[Tensor] | None]:
    """Return the maximum of the spectrum of the audio, by which all its windows are scaled.

    Return the spectra (M, f) as well, unless they are longer than `KEPT_FRAMES`.
    """
    loudest, frames = -inf, 0
    kept: list[Tensor] = []
    for spectrum in mel.stream(blocks):
        if not spectrum.numel():
            continue
        loudest = max(loudest, float(spectrum.max()))
        frames += spectrum.shape[1]
        if frames <= KEPT_FRAMES:
            kept.append(spectrum)
        else:
            kept.clear()
    return loudest, kept if frames <= KEPT_FRAMES else None


@dataclass(frozen=True, slots=True)
class WindowBatches:
    """How the windows of parts share batches.

    Args:
        size: Windows per batch, of one part each.
        is_full: A batch that is not full is filled with copies: the device compiles per shape.
        detects: The language is detected in the first window, which is generated alone.
    """

    size: int = 1
    is_full: bool = False
    detects: bool = False


def generate_sequentially(
    mel_stream: MelStream,
    generate: GenerateMelWindows,
    reader: SequenceReader,
    prompting: Prompting = NO_PROMPT,
    report: ReportSegment | None = None,
    batches: WindowBatches | None = None,
) -> Hypothesis:
    """Generate the text of audio of any length; times are on the clock of the audio.

    A language that is not given is detected in the first window and kept.

    Args:
        mel_stream: The features of the audio.
        generate: Generates the hypotheses of a batch of windows.
        reader: Distinguishes timestamps from text.
        prompting: The text before that of each window.
        report: Receives each segment, in order, as soon as those before it are known.
        batches: How parts share batches; None is one window at a time.
    """
    batches = WindowBatches() if batches is None else batches
    parts = [_Part.of(*span) for span in mel_stream.parts]
    text = _LongText(parts, reader, prompting, report)
    waiting, active = deque(parts), list[_Part]()
    # The text of the first window alone follows the initial prompt.
    is_alone = batches.detects or bool(prompting.initial) or len(parts) == 1
    size = 1 if prompting.conditions else batches.size
    while windows := _cut_windows(active, waiting, mel_stream, 1 if is_alone else size):
        batch = [window for _, window in windows]
        if batches.is_full and len(parts) > 1:
            batch += batch[:1] * (size - len(batch))
        hypotheses = generate(batch, text.language, text.before.tokens)
        for (part, window), hypothesis in zip(windows, hypotheses, strict=False):
            part.advance(text.add(part, hypothesis, window.frames))
        # The last window of a part may reach into the next part.
        active = [part for part, _ in windows if not part.is_ended]
        text.report_segments()
        is_alone = False
    return text.finish()


def _cut_windows(
    active: Iterable[_Part], waiting: deque[_Part], mel_stream: MelStream, size: int
) -> list[tuple[_Part, MelWindow]]:
    """Return the next window of parts that go on, and of those that wait while there is room."""
    windows: list[tuple[_Part, MelWindow]] = []
    going_on = deque(active)
    while len(windows) < size and (going_on or waiting):
        is_far = windows and waiting and waiting[0].seek - windows[0][0].seek > HELD_FRAMES
        if is_far and not going_on:
            break
        part = (going_on or waiting).popleft()
        if not windows:
            mel_stream.drop_before(part.seek)
        window = part.cut_window(mel_stream)
        if window is not None:
            windows.append((part, window))
    return windows


@dataclass(eq=False, slots=True)
class _Part:
    """A part of the audio: the first frame of its next window, its end, and its text so far."""

    seek: int
    end: float
    is_ended: bool = False
    tokens: list[int] = field(default_factory=list)
    segments: list[Segment] = field(default_factory=list)

    @staticmethod
    def of(start_s: float, end_s: float) -> _Part:
        return _Part(round(start_s / MEL_FRAME_S), end_s / MEL_FRAME_S)

    def cut_window(self, mel_stream: MelStream) -> MelWindow | None:
        """Return the next window; None if there is no more audio."""
        features = mel_stream.window(self.seek, self.end)
        if features.shape[1]:
            return MelWindow(pad_window(features, mel_stream.mel), features.shape[1])
        self.is_ended = True
        return None

    def advance(self, frames: int) -> None:
        """Go on to the window so many frames later."""
        self.seek += frames
        # The rest of a part of speech is the margin after it.
        self.is_ended = isfinite(self.end) and self.end - self.seek < TAIL_FRAMES


class _LongText:
    """The text of the windows so far."""

    def __init__(
        self,
        parts: Sequence[_Part],
        reader: SequenceReader,
        prompting: Prompting,
        report: ReportSegment | None,
    ) -> None:
        self.language: str | None = None
        self.before = TextBefore(prompting)
        self._parts = parts
        self._reader = reader
        self._report = report
        # The first part whose segments have not all been reported, and how many of them have.
        self._reporting = self._reported = 0
        self._windows: list[DecodingStats | None] = []
        self._language_probability: float | None = None
        self._truncated = False

    def add(self, part: _Part, hypothesis: Hypothesis, frames: int) -> int:
        """Add the hypothesis of the next window of a part; return the frames to the one after."""
        if self.language is None:
            self.language = hypothesis.language
            self._language_probability = hypothesis.language_probability
        self._windows.append(hypothesis.stats)
        kept, step = cut_window(hypothesis.tokens, frames, self._reader)
        self.before.add(hypothesis, kept)
        segments = self._reader.segments(kept, hypothesis.token_times)
        for placed in _place(segments, part.seek * MEL_FRAME_S, frames * MEL_FRAME_S):
            part.segments.append(replace(placed, stats=hypothesis.stats))
        part.tokens += kept
        self._truncated = self._truncated or hypothesis.truncated
        return step

    def report_segments(self) -> None:
        """Report the new segments of the first part that goes on, and of all before it."""
        while self._report is not None and self._reporting < len(self._parts):
            part = self._parts[self._reporting]
            for segment in part.segments[self._reported :]:
                self._report(segment)
            self._reported = len(part.segments)
            if not part.is_ended:
                return
            self._reporting, self._reported = self._reporting + 1, 0

    def finish(self) -> Hypothesis:
        """Return the hypothesis of the whole audio."""
        self.report_segments()
        tokens = [token for part in self._parts for token in part.tokens]
        return Hypothesis(
            tuple(tokens),
            self._reader.decode_text(tokens),
            self.language,
            self._truncated,
            tuple(segment for part in self._parts for segment in part.segments),
            stats=worst_stats(self._windows),
            language_probability=self._language_probability,
        )


def pad_window(window: Tensor, mel: LogMel) -> Tensor:
    """Pad the window to (M, 3000) with zeros, as transformers pads the end of the audio."""
    import torch

    return torch.nn.functional.pad(window, (0, mel.window_frames - window.shape[1]))


def cut_window(
    tokens: tuple[int, ...], frames: int, reader: SequenceReader
) -> tuple[tuple[int, ...], int]:
    """Return the tokens to keep of a window, and the frames from it to the next window.

    Two consecutive timestamps end a segment; what follows the last such pair is transcribed again,
    unless a single timestamp ends the text: then there is no speech after it.
    """
    times = [reader.is_time(one) for one in tokens]
    pairs = [i + 1 for i in range(len(times) - 1) if times[i] and times[i + 1]]
    if not pairs or times[-2:] == [False, True]:
        return tokens, frames
    last = pairs[-1]
    step = round(reader.seconds(tokens[last - 1]) / MEL_FRAME_S)
    # A pair at the very beginning would be transcribed again for ever.
    return (tokens[: last + 1], step) if step > 0 else (tokens, frames)


def _place(segments: Iterable[Segment], from_s: float, window_s: float) -> Iterator[Segment]:
    """Yield segments on the clock of the audio; one without an end lasts until the window ends."""
    for one in segments:
        end_s = one.end_s if one.end_s > one.start_s else window_s
        start_s, end_s = min(one.start_s, window_s), min(end_s, window_s)
        from_start_s = round(from_s + start_s, 3)
        end_s = max(round(from_s + end_s, 3), from_start_s)
        yield replace(one.shifted(from_s), start_s=from_start_s, end_s=end_s)


assert TIME_S == 2 * MEL_FRAME_S  # noqa: S101 - the encoder halves the frames
