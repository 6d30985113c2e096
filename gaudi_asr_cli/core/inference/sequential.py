"""Sequential long-form transcription: each window starts where the previous one ended a segment.

Whisper's own algorithm (openai/whisper, `transcribe`; transformers' long-form `generate`): the
decoder generates timestamps, and what follows its last pair of them is transcribed again in the
next window. Parts of the audio between pauses do not depend on each other, unless their text is
conditioned on the text before: their windows share batches.

A Whisper sometimes ends the text of a window in the middle of speech, and its algorithm goes on
after the window. Where speech was detected, the next window begins with what is left of it instead.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, field, replace
from functools import partial
from math import ceil, inf, isfinite
from typing import TYPE_CHECKING

import numpy as np

from gaudi_asr_cli.core.inference.long_form import WHOLE_AUDIO, ReportSegment
from gaudi_asr_cli.core.inference.prompting import NO_PROMPT, Prompting, TextBefore
from gaudi_asr_cli.core.inference.vad import SPEECH_MARGIN_S
from gaudi_asr_cli.core.models.log_mel import LogMel, scale
from gaudi_asr_cli.core.models.seq2seq.sequences import TIME_S, SequenceReader
from gaudi_asr_cli.core.models.threads import single_threads
from gaudi_asr_cli.core.records import DecodingStats, Hypothesis, Segment, Speech, worst_stats

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    Samples = NDArray[np.float32]

MEL_FRAME_S = 0.01
TAIL_FRAMES = 50
"""Shorter rests of a part of speech are not transcribed."""
LOST_S = 1.0
"""Seconds of speech after the text of a window, from which on the next window begins with it."""
NO_SPEECH = Speech(())
HELD_FRAMES = 180_000
"""Spectra of half an hour, 58 MB, are held in memory: longer audio is read twice, and parts are
transcribed side by side that are this near to each other."""


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

    `parts` are the spans to transcribe, in seconds, rising; `speech` is empty if none was detected.
    """

    mel: LogMel
    spectra: Iterator[Tensor]
    loudest: float
    parts: Sequence[tuple[float, float]] = WHOLE_AUDIO
    speech: Speech = NO_SPEECH
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

    Return the spectra (M, f) as well, unless they are longer than `HELD_FRAMES`.
    """
    loudest, frames = -inf, 0
    kept: list[Tensor] = []
    for spectrum in mel.stream(blocks):
        if not spectrum.numel():
            continue
        loudest = max(loudest, float(spectrum.max()))
        frames += spectrum.shape[1]
        if frames <= HELD_FRAMES:
            kept.append(spectrum)
        else:
            kept.clear()
    return loudest, kept if frames <= HELD_FRAMES else None


@dataclass(frozen=True, slots=True)
class WindowBatches:
    """How the windows of parts share batches.

    Args:
        size: Windows per batch, of one part each.
        is_full: A batch that is not full is filled with copies: the device compiles per shape.
        detects: The language is detected in the first window, which is generated alone.
        threads: CPU threads that generate a batch each, where there are enough parts.
    """

    size: int = 1
    is_full: bool = False
    detects: bool = False
    threads: int = 1


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
        generate: Generates the hypotheses of a batch of windows, on any thread.
        reader: Distinguishes timestamps from text.
        prompting: The text before that of each window.
        report: Receives each segment, in order, as soon as those before it are known.
        batches: How parts share batches; None is one window at a time.
    """
    batches = WindowBatches() if batches is None else batches
    parts = [_Part.of(*span) for span in mel_stream.parts]
    text = _LongText(parts, reader, prompting, report, mel_stream.speech)
    size = 1 if prompting.conditions else batches.size
    run = _Batches(mel_stream, generate, parts, text, fills=batches.is_full and len(parts) > 1)
    # The text of the first window alone follows the initial prompt.
    if batches.detects or prompting.initial:
        run.generate_first(size)
    # All threads share a batch that would leave half of them idle.
    lanes = batches.threads if min(size, len(parts)) > batches.threads / 2 else 1
    if lanes > 1:
        run.generate_in_lanes(_split_parts(parts, lanes), ceil(size / lanes))
    else:
        run.generate_rest(size)
    return text.finish()


class _Batches:
    """The batches of windows of an audio.

    With `fills`, those that are not full are filled with copies.
    """

    def __init__(
        self,
        mel_stream: MelStream,
        generate: GenerateMelWindows,
        parts: Sequence[_Part],
        text: _LongText,
        *,
        fills: bool,
    ) -> None:
        self._mel_stream = mel_stream
        self._generate = generate
        self._parts = parts
        self._text = text
        self._fills = fills

    def generate_first(self, size: int) -> None:
        """Generate the first window alone, in a batch of `size` if batches are filled."""
        if windows := self._cut(deque(self._parts), 1):
            self._add(windows, self._call(windows, size)())

    def generate_rest(self, size: int) -> None:
        """Generate one batch after the other."""
        waiting = deque(part for part in self._parts if not part.is_ended)
        while windows := self._cut(waiting, size):
            waiting.extendleft(reversed(self._add(windows, self._call(windows, size)())))

    def generate_in_lanes(self, lanes: Sequence[deque[_Part]], size: int) -> None:
        """Generate batches of different parts on a thread each.

        Threads that share a batch would wait for its longest text. Which windows share a batch does
        not depend on which thread is faster.
        """
        ready = deque(lanes)
        running: dict[Future[Sequence[Hypothesis]], tuple[deque[_Part], _PartWindows]] = {}
        with single_threads(len(lanes)) as pool:
            while ready or running:
                for lane in [one for one in ready if not self._is_far(one)]:
                    ready.remove(lane)
                    if windows := self._cut(lane, size):
                        running[pool.submit(self._call(windows, size))] = lane, windows
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    lane, windows = running.pop(future)
                    lane.extendleft(reversed(self._add(windows, future.result())))
                    ready.append(lane)

    def _cut(self, waiting: deque[_Part], size: int) -> _PartWindows:
        """Return the next window of the first parts, which no longer wait then."""
        self._mel_stream.drop_before(self._first_seek)
        windows: _PartWindows = []
        while waiting and len(windows) < size:
            if windows and waiting[0].seek - windows[0][0].seek > HELD_FRAMES:
                break
            part = waiting.popleft()
            window = part.cut_window(self._mel_stream)
            if window is not None:
                windows.append((part, window))
        return windows

    def _call(self, windows: _PartWindows, size: int) -> Callable[[], Sequence[Hypothesis]]:
        """Return a call that generates the hypotheses of windows."""
        batch = [window for _, window in windows]
        if self._fills:
            batch += batch[:1] * (size - len(batch))
        return partial(self._generate, batch, self._text.language, self._text.before.tokens)

    def _add(self, windows: _PartWindows, hypotheses: Sequence[Hypothesis]) -> list[_Part]:
        """Add the hypotheses of windows to the text; return the parts that go on."""
        for (part, window), hypothesis in zip(windows, hypotheses, strict=False):
            part.advance(self._text.add(part, hypothesis, window.frames))
        self._text.report_segments()
        # The last window of a part may reach into the next part.
        return [part for part, _ in windows if not part.is_ended]

    def _is_far(self, lane: Sequence[_Part]) -> bool:
        """Return whether a lane has to wait for the others, so that memory holds the features."""
        return bool(lane) and lane[0].seek - self._first_seek > HELD_FRAMES

    @property
    def _first_seek(self) -> int:
        return next((part.seek for part in self._parts if not part.is_ended), 0)


def _split_parts(parts: Sequence[_Part], count: int) -> list[deque[_Part]]:
    """Split parts among lanes so that these have about equally much audio at any time."""
    lanes = [deque[_Part]() for _ in range(count)]
    lengths = [0.0] * count
    for part in parts:
        if not part.is_ended:
            lane = lengths.index(min(lengths))
            lanes[lane].append(part)
            lengths[lane] += part.end - part.seek
    return lanes


_PartWindows = list[tuple["_Part", MelWindow]]


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
        speech: Speech,
    ) -> None:
        self.language: str | None = None
        self.before = TextBefore(prompting)
        self._parts = parts
        self._reader = reader
        self._report = report
        self._speech = speech
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
        if step == frames:
            step = self._step_to_lost_speech(part, kept, frames)
        self.before.add(hypothesis, kept)
        segments = self._reader.segments(kept, hypothesis.token_times)
        for placed in _place(segments, part.seek * MEL_FRAME_S, frames * MEL_FRAME_S):
            part.segments.append(replace(placed, stats=hypothesis.stats))
        part.tokens += kept
        self._truncated = self._truncated or hypothesis.truncated
        return step

    def _step_to_lost_speech(self, part: _Part, tokens: Sequence[int], frames: int) -> int:
        """Return the frames to the next window: to the speech after the text, if there is any.

        Not after a text that is that of the window before: without speech a model repeats itself.
        """
        from_s = part.seek * MEL_FRAME_S
        to_s = from_s + frames * MEL_FRAME_S
        lost = find_lost_speech(tokens, self._reader, self._speech.between(from_s, to_s), from_s)
        if not lost.spans:
            return frames
        text, before = (
            [token for token in said if not self._reader.is_time(token)]
            for said in (tokens, part.tokens)
        )
        if not text or before[-len(text) :] == text:
            return frames
        end_s = from_s + self._reader.seconds(tokens[-1])
        next_s = max(end_s, lost.spans[0][0] - SPEECH_MARGIN_S)
        return round((next_s - from_s) / MEL_FRAME_S)

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


def find_lost_speech(
    tokens: Sequence[int], reader: SequenceReader, speech: Speech, from_s: float = 0.0
) -> Speech:
    """Return the speech after the end of a text: `LOST_S` or more, or none.

    Args:
        tokens: Tokens of a window.
        reader: Distinguishes timestamps from text.
        speech: The speech in the window.
        from_s: Start of the window in seconds.
    """
    if not tokens or not reader.is_time(tokens[-1]):
        return NO_SPEECH
    end_s = from_s + max(reader.seconds(tokens[-1]), LOST_S)
    lost = speech.between(end_s, inf)
    return lost if lost.seconds >= LOST_S else NO_SPEECH


def _place(segments: Iterable[Segment], from_s: float, window_s: float) -> Iterator[Segment]:
    """Yield segments on the clock of the audio; one without an end lasts until the window ends."""
    for one in segments:
        end_s = one.end_s if one.end_s > one.start_s else window_s
        start_s, end_s = min(one.start_s, window_s), min(end_s, window_s)
        from_start_s = round(from_s + start_s, 3)
        end_s = max(round(from_s + end_s, 3), from_start_s)
        yield replace(one.shifted(from_s), start_s=from_start_s, end_s=end_s)


assert TIME_S == 2 * MEL_FRAME_S  # noqa: S101 - the encoder halves the frames
