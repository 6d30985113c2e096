"""Sequential long-form transcription: each window starts where the previous one ended a segment.

Whisper's own algorithm (openai/whisper, `transcribe`; transformers' long-form `generate`): the
decoder generates timestamps, and what follows its last pair of them is transcribed again in the
next window.
"""

from __future__ import annotations

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

GenerateWindow = Callable[["Tensor", int, "str | None", tuple[int, ...]], Hypothesis]
"""Transcribes a window (M, 3000) with timestamps.

The others are: its frames of audio, its language (None: detected), and tokens before it.
"""


@dataclass
class MelStream:
    """Scaled log-mel features of audio that is read once; frames before the window are dropped.

    `parts` are the spans to transcribe, in seconds, rising.
    """

    mel: LogMel
    spectra: Iterator[Tensor]
    loudest: float
    first: int = 0
    held: list[Tensor] = field(default_factory=list)
    ended: bool = False
    parts: Sequence[tuple[float, float]] = WHOLE_AUDIO

    def window(self, seek: int, end: float) -> Tensor:
        """Return up to a window of features (M, F) from frame `seek` to `end`; F is 0 after it."""
        import torch

        while not self.ended and self._reached < seek + self.mel.window_frames:
            if self._reached <= seek:
                self.held, self.first = [], self._reached
            spectrum = next(self.spectra, None)
            self.ended = spectrum is None
            if spectrum is not None:
                self.held.append(spectrum)
        if not self.held:
            return torch.zeros(self.mel.filters.shape[0], 0)
        features = torch.cat(self.held, dim=1)[:, max(seek - self.first, 0) :]  # (M, F)
        self.held, self.first = [features], max(seek, self.first)
        frames = int(max(0, min(self.mel.window_frames, end - seek)))
        return scale(features[:, :frames], self.loudest)

    @property
    def _reached(self) -> int:
        return self.first + sum(one.shape[1] for one in self.held)


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


def generate_sequentially(
    mel_stream: MelStream,
    generate: GenerateWindow,
    reader: SequenceReader,
    prompting: Prompting = NO_PROMPT,
    report: ReportSegment | None = None,
) -> Hypothesis:
    """Generate the text of audio of any length; times are on the clock of the audio.

    A language that is not given is detected in the first window and kept.

    Args:
        mel_stream: The features of the audio.
        generate: Generates the hypothesis of one window.
        reader: Distinguishes timestamps from text.
        prompting: The text before that of each window.
        report: Receives each segment as soon as it is known.
    """
    text = _LongText(reader, prompting, report)
    for start_s, end_s in mel_stream.parts:
        first, end = round(start_s / MEL_FRAME_S), end_s / MEL_FRAME_S
        seek = first
        while (window := mel_stream.window(seek, end)).shape[1]:
            # The rest of a part of speech is the margin after it.
            if seek > first and isfinite(end) and end - seek < TAIL_FRAMES:
                break
            frames, padded = window.shape[1], pad_window(window, mel_stream.mel)
            hypothesis = generate(padded, frames, text.language, text.before.tokens)
            seek += text.add(hypothesis, seek, frames)
    return text.finish()


class _LongText:
    """The text of the windows so far."""

    def __init__(
        self, reader: SequenceReader, prompting: Prompting, report: ReportSegment | None
    ) -> None:
        self.language: str | None = None
        self.before = TextBefore(prompting)
        self._reader = reader
        self._report = report
        self._tokens: list[int] = []
        self._segments: list[Segment] = []
        self._windows: list[DecodingStats | None] = []
        self._language_probability: float | None = None
        self._truncated = False

    def add(self, hypothesis: Hypothesis, seek: int, frames: int) -> int:
        """Add the hypothesis of a window from frame `seek` on; return the frames to the next."""
        if self.language is None:
            self.language = hypothesis.language
            self._language_probability = hypothesis.language_probability
        self._windows.append(hypothesis.stats)
        kept, step = cut_window(hypothesis.tokens, frames, self._reader)
        self.before.add(hypothesis, kept)
        segments = self._reader.segments(kept, hypothesis.token_times)
        for placed in _place(segments, seek * MEL_FRAME_S, frames * MEL_FRAME_S):
            segment = replace(placed, stats=hypothesis.stats)
            self._segments.append(segment)
            if self._report is not None:
                self._report(segment)
        self._tokens += kept
        self._truncated = self._truncated or hypothesis.truncated
        return step

    def finish(self) -> Hypothesis:
        """Return the hypothesis of the whole audio."""
        return Hypothesis(
            tuple(self._tokens),
            self._reader.decode_text(self._tokens),
            self.language,
            self._truncated,
            tuple(self._segments),
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
