"""What a beam search needs of emissions: the likely tokens of each frame, in few bytes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from gaudi_asr_cli.core.records import Vocabulary

    Floats = NDArray[np.float32]

MIN_LOG_PROB = -5.0
"""A token less likely than this (0.7 %) is not followed, unless it is the frame's most likely."""


@dataclass(frozen=True, slots=True)
class TokenFrames:
    """The likely tokens of F frames.

    Args:
        blanks: float32 (F,), log probability of all columns that never become text together.
        first: int64 (F + 1,), the first token of each frame.
        tokens: int32 (N,), columns; those of frame f are `first[f]` up to `first[f + 1]`.
        log_probs: float32 (N,), their log probabilities.
        frame_s: The step from one frame to the next in seconds.
    """

    blanks: Floats
    first: NDArray[np.int64]
    tokens: NDArray[np.int32]
    log_probs: Floats
    frame_s: float

    def __len__(self) -> int:
        return len(self.blanks)


def condense_frames(
    log_probs: Floats, vocabulary: Vocabulary, frame_s: float, min_log_prob: float = MIN_LOG_PROB
) -> TokenFrames:
    """Keep the likely tokens of each frame of `log_probs` (F, V)."""
    texts = text_columns(vocabulary, log_probs.shape[1])
    blanks = np.logaddexp.reduce(log_probs[:, ~texts], axis=1)
    kept = (log_probs >= min_log_prob) & texts
    if len(log_probs):
        frames = np.arange(len(log_probs))
        best = log_probs.argmax(axis=1)
        kept[frames, best] |= texts[best]
    rows, tokens = np.nonzero(kept)
    return TokenFrames(
        blanks=blanks.astype(np.float32),
        first=np.searchsorted(rows, np.arange(len(log_probs) + 1)),
        tokens=tokens.astype(np.int32),
        log_probs=log_probs[rows, tokens].astype(np.float32),
        frame_s=frame_s,
    )


def text_columns(vocabulary: Vocabulary, columns: int) -> NDArray[np.bool_]:
    """Return which columns become text: not the blank, special tokens, and unnamed columns."""
    texts = np.arange(columns) < len(vocabulary.tokens)
    texts[[vocabulary.blank, *vocabulary.special]] = False
    texts[[one for one in vocabulary.unnamed if one < columns]] = False
    return texts


def join_frames(parts: Sequence[TokenFrames]) -> TokenFrames:
    """Join consecutive parts, such as the chunks of long audio."""
    if len(parts) == 1:
        return parts[0]
    sizes = np.cumsum([0, *(len(part.tokens) for part in parts)])
    starts = [part.first[:-1] + size for part, size in zip(parts, sizes[:-1], strict=True)]
    return TokenFrames(
        blanks=np.concatenate([part.blanks for part in parts]),
        first=np.concatenate([*starts, sizes[-1:]]),
        tokens=np.concatenate([part.tokens for part in parts]),
        log_probs=np.concatenate([part.log_probs for part in parts]),
        frame_s=parts[0].frame_s,
    )


def merge_blank_frames(frames: TokenFrames) -> TokenFrames:
    """Merge each run of frames without a token into one: a search cannot tell them apart."""
    empty = np.diff(frames.first) == 0
    starts = np.flatnonzero(~(empty & np.append(False, empty[:-1])))
    if len(starts) == len(frames):
        return frames
    return TokenFrames(
        blanks=np.add.reduceat(frames.blanks, starts),
        first=np.append(frames.first[starts], frames.first[-1]),
        tokens=frames.tokens,
        log_probs=frames.log_probs,
        frame_s=frames.frame_s,
    )
