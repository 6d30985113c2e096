"""Long sound window by window, each beginning where the one before came to a whole sentence.

Whisper's own algorithm (openai/whisper, `transcribe`; transformers' long-form `generate`): the
decoder writes times, and what follows its last pair of times is heard again in the next window.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from gaudi_asr_cli.core.models.log_mel import LogMel, scale
from gaudi_asr_cli.core.models.seq2seq.sequences import TIME_S, SequenceReader
from gaudi_asr_cli.core.records import Hypothesis, Segment

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    Samples = NDArray[np.float32]

FRAME_S = 0.01

Write = Callable[["Tensor", "str | None"], Hypothesis]
"""Writes a window (M, 3000) in a language (None: found out), with times."""


@dataclass
class MelStream:
    """The scaled features of a sound that is read once: only what is ahead is held."""

    mel: LogMel
    spectra: Iterator[Tensor]
    loudest: float
    first: int = 0
    held: list[Tensor] = field(default_factory=list)
    ended: bool = False

    def window(self, seek: int) -> Tensor:
        """Up to a window of features (M, F) from frame `seek` on; none behind the end."""
        import torch

        while not self.ended and self._reached < seek + self.mel.window_frames:
            stretch = next(self.spectra, None)
            self.ended = stretch is None
            if stretch is not None:
                self.held.append(stretch)
        if not self.held:
            return torch.zeros(self.mel.filters.shape[0], 0)
        whole = torch.cat(self.held, dim=1)[:, seek - self.first :]
        self.held, self.first = [whole], seek
        return scale(whole[:, : self.mel.window_frames], self.loudest)

    @property
    def _reached(self) -> int:
        return self.first + sum(one.shape[1] for one in self.held)


def find_loudest(mel: LogMel, blocks: Iterable[Samples]) -> float:
    """The highest place of the spectrum of a sound: all its windows are scaled by the same."""
    return max(float(stretch.max()) for stretch in mel.stream(blocks) if stretch.numel())


def generate_sequentially(
    mel_stream: MelStream, write: Write, reader: SequenceReader, language: str | None
) -> Hypothesis:
    """The text of a sound of any length; times are those of the sound.

    Args:
        mel_stream: Its features.
        write: Writes one window.
        reader: Tells times from text.
        language: What is spoken; None is found out in the first window and kept.
    """
    tokens: list[int] = []
    segments: list[Segment] = []
    seek, truncated, spoken = 0, False, language
    while (window := mel_stream.window(seek)).shape[1]:
        written = write(pad_window(window, mel_stream.mel), spoken)
        spoken = spoken or written.language
        kept, step = cut_window(written.tokens, window.shape[1], reader)
        segments += _segments(kept, reader, seek * FRAME_S, window.shape[1] * FRAME_S)
        tokens += kept
        truncated = truncated or written.truncated
        seek += step
    return Hypothesis(tuple(tokens), reader.spell(tokens), spoken, truncated, tuple(segments))


def pad_window(window: Tensor, mel: LogMel) -> Tensor:
    """The window (M, 3000), with what transformers puts behind the end of a sound."""
    import torch

    return torch.nn.functional.pad(window, (0, mel.window_frames - window.shape[1]))


def cut_window(
    tokens: tuple[int, ...], frames: int, reader: SequenceReader
) -> tuple[tuple[int, ...], int]:
    """What is kept of a window, and by how many frames the next one begins later.

    Two times behind one another end a segment; what follows the last such pair is heard again,
    unless a single time ends the text: then nobody speaks behind it.
    """
    times = [reader.is_time(one) for one in tokens]
    pairs = [place + 1 for place in range(len(times) - 1) if times[place] and times[place + 1]]
    if not pairs or times[-2:] == [False, True]:
        return tokens, frames
    last = pairs[-1]
    step = round(reader.seconds(tokens[last - 1]) / FRAME_S)
    # A pair at the very beginning would be heard again for ever.
    return (tokens[: last + 1], step) if step > 0 else (tokens, frames)


def _segments(
    tokens: tuple[int, ...], reader: SequenceReader, from_s: float, window_s: float
) -> Iterator[Segment]:
    """Segments on the clock of the sound; one without an end lasts until the window's."""
    for one in reader.segments(tokens):
        end_s = one.end_s if one.end_s > one.start_s else window_s
        start_s, end_s = min(one.start_s, window_s), min(end_s, window_s)
        from_start_s = round(from_s + start_s, 3)
        yield replace(one, start_s=from_start_s, end_s=max(round(from_s + end_s, 3), from_start_s))


assert TIME_S == 2 * FRAME_S  # noqa: S101 - the encoder halves the frames
