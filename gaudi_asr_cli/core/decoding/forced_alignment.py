"""Viterbi forced alignment: the most likely frames of each token of a known text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING

import numpy as np

from gaudi_asr_cli.core.decoding.token_frames import TokenFrames

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

MARGINS = (40.0, 200.0, np.inf)
"""States less likely than the best by this are left out; the next margin is tried without a path.

It bounds time and memory of long audio: a frame holds the states near the best one."""
MISSING_LOG_PROB = -15.0
"""Log probability of a token that is not among the likely ones of a frame."""


@dataclass(frozen=True, slots=True)
class TokenAlignment:
    """The frames of each token (L,): `starts` up to `ends`.

    `log_probs` are means over the frames of each token; `path_log_probs` (F,) are those of each
    frame, silence included; `total` is that of the whole path.
    """

    starts: NDArray[np.int64]
    ends: NDArray[np.int64]
    log_probs: NDArray[np.float64]
    path_log_probs: NDArray[np.float64]
    total: float

    def probabilities(self, frames: int) -> Floats:
        """Return, for each frame, the mean probability of its token; 0 on silence."""
        found = np.zeros(frames, np.float32)
        lengths = self.ends - self.starts
        inside = np.repeat(self.starts - np.append(0, np.cumsum(lengths)[:-1]), lengths)
        found[inside + np.arange(len(inside))] = np.repeat(np.exp(self.log_probs), lengths)
        return found


def align_tokens(
    frames: TokenFrames,
    tokens: Sequence[int],
    *,
    delimiter: int,
    margins: Sequence[float] = MARGINS,
) -> TokenAlignment | None:
    """Align tokens to frames; None if they are more than the frames can hold.

    Around words a delimiter counts as silence, as often as it comes.

    Args:
        frames: Likely tokens of the audio.
        tokens: Text with single delimiters between words.
        delimiter: Column of the word delimiter, -1 where there is none.
        margins: See `MARGINS`.
    """
    if not tokens:
        empty = np.zeros(0, np.int64)
        silence = frames.blanks.astype(np.float64)
        return TokenAlignment(empty, empty, np.zeros(0), silence, float(silence.sum()))
    lattice = _Lattice(frames, tokens, delimiter)
    if lattice.shortest > len(frames):
        return None
    for margin in margins:
        found = lattice.find_path(margin)
        if found is not None:
            return lattice.read(*found)
    return None


class _Lattice:
    """States of a text: silence, token, silence, token, ..., silence; S = 2 L + 1."""

    def __init__(self, frames: TokenFrames, tokens: Sequence[int], delimiter: int) -> None:
        self._frames = frames
        self._tokens = np.asarray(tokens)
        self._names, self._columns = np.unique(self._tokens, return_inverse=True)
        self._delimiter = delimiter
        is_delimiter = self._tokens == delimiter
        self._states = 2 * len(self._tokens) + 1
        # Silence at a word's edge may be a delimiter too.
        edges = np.append(True, is_delimiter) | np.append(is_delimiter, True)
        self._edges = edges & (delimiter >= 0)
        repeated = np.append(False, self._tokens[1:] == self._tokens[:-1])
        self.shortest = len(self._tokens) + int(repeated.sum())
        # A token may follow the one before at once, unless both are the same.
        self._skips = np.zeros(self._states, np.bool_)
        self._skips[1::2] = ~repeated
        self._skips[1] = False

    def emit(self, frame: int, low: int, high: int) -> Floats:
        """Return the log probability of states `low` up to `high`, both even or the end."""
        frames = self._frames
        scores = np.full(len(self._names) + 1, MISSING_LOG_PROB, np.float32)
        inside = slice(int(frames.first[frame]), int(frames.first[frame + 1]))
        found = frames.tokens[inside]
        places = np.searchsorted(self._names, found)
        places[places == len(self._names)] = len(self._names) - 1
        known = self._names[places] == found
        scores[places[known]] = frames.log_probs[inside][known]
        blank = float(frames.blanks[frame])
        delimiters = frames.log_probs[inside][found == self._delimiter]
        edge = max(blank, float(delimiters[0])) if len(delimiters) else blank
        emitted = np.empty(high - low, np.float32)
        emitted[0::2] = np.where(self._edges[low // 2 : (high + 1) // 2], edge, blank)
        emitted[1::2] = scores[self._columns[low // 2 : high // 2]]
        return emitted

    def find_path(self, margin: float) -> tuple[NDArray[np.int64], float] | None:
        """Return the state of each frame (F,), and its log probability; None without a path."""
        if find_spec("numba") is None:
            return self.find_path_in_python(margin)
        from gaudi_asr_cli.core.decoding.alignment_kernel import LatticeArrays, find_states

        frames = self._frames
        # Tokens that are none of the text's share the last place, which is never read.
        names = np.full(int(self._names[-1]) + 1, len(self._names), np.int64)
        names[self._names] = np.arange(len(self._names))
        lattice = LatticeArrays(
            blanks=frames.blanks,
            first=frames.first,
            tokens=frames.tokens,
            log_probs=frames.log_probs,
            names=names,
            columns=self._columns,
            edges=self._edges,
            skips=self._skips,
            delimiter=self._delimiter,
            missing=MISSING_LOG_PROB,
        )
        path = np.empty(len(frames), np.int64)
        found, total = find_states(lattice, margin, path)
        return (path, total) if found else None

    def find_path_in_python(self, margin: float) -> tuple[NDArray[np.int64], float] | None:
        """Do the same as `find_path` where numba is not installed."""
        lows: list[int] = []
        steps: list[NDArray[np.uint8]] = []
        low, scores = 0, np.array([0.0])
        for frame in range(len(self._frames)):
            high = min(low + len(scores) + (2 if frame else 1), self._states)
            step, scores = self._advance(frame, low, high, scores)
            lows.append(low)
            steps.append(step)
            kept = np.flatnonzero(scores >= scores.max() - margin)
            # Windows start on silence, so that states alternate from there.
            first = int(kept[0]) - int(kept[0]) % 2
            scores = scores[first : int(kept[-1]) + 1]
            low += first
        return self._trace(lows, steps, low, scores)

    def _advance(
        self, frame: int, low: int, high: int, before: NDArray[np.float64]
    ) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
        """Return from how many states below each state is entered best, and the scores."""
        size = high - low
        choices = np.full((3, size), -np.inf)
        choices[0, : len(before)] = before[:size]
        reached = min(size - 1, len(before))
        choices[1, 1 : 1 + reached] = before[:reached]
        reached = max(min(size - 2, len(before)), 0)
        skips = self._skips[low + 2 : low + 2 + reached]
        choices[2, 2 : 2 + reached] = np.where(skips, before[:reached], -np.inf)
        if frame == 0:
            # A path starts with silence or with the first token.
            choices[:] = -np.inf
            choices[0] = 0.0
        step = choices.argmax(axis=0).astype(np.uint8)
        return step, choices.max(axis=0) + self.emit(frame, low, high)

    def _trace(
        self,
        lows: Sequence[int],
        steps: Sequence[NDArray[np.uint8]],
        low: int,
        scores: NDArray[np.float64],
    ) -> tuple[NDArray[np.int64], float] | None:
        ends = [
            state
            for state in (self._states - 1, self._states - 2)
            if 0 <= state - low < len(scores) and scores[state - low] > -np.inf
        ]
        if not ends:
            return None
        state = max(ends, key=lambda one: float(scores[one - low]))
        total = float(scores[state - low])
        path = np.empty(len(steps), np.int64)
        for frame in range(len(steps) - 1, -1, -1):
            path[frame] = state
            state -= int(steps[frame][state - lows[frame]])
        return path, total

    def read(self, path: NDArray[np.int64], total: float) -> TokenAlignment:
        """Return the frames and the mean log probability of each token of a path."""
        on_token = path % 2 == 1
        frames = np.flatnonzero(on_token)
        labels = path[on_token] // 2
        each = np.arange(len(self._tokens))
        starts = np.searchsorted(labels, each)
        ends = np.searchsorted(labels, each, side="right")
        emitted = self._emitted(frames, labels)
        sums = np.add.reduceat(emitted, starts)
        along = self._silence(path // 2)
        along[frames] = emitted
        return TokenAlignment(
            frames[starts], frames[ends - 1] + 1, sums / (ends - starts), along, total
        )

    def _silence(self, places: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the log probability of silence in each frame, before the token of `places`."""
        frames = self._frames
        found = frames.blanks.astype(np.float64)
        is_delimiter = frames.tokens == self._delimiter
        numbers = np.searchsorted(frames.first, np.flatnonzero(is_delimiter), side="right") - 1
        at_edges = self._edges[places[numbers]]
        numbers, log_probs = numbers[at_edges], frames.log_probs[is_delimiter][at_edges]
        found[numbers] = np.maximum(found[numbers], log_probs)
        return found

    def _emitted(self, frames: NDArray[np.int64], labels: NDArray[np.int64]) -> NDArray[np.float64]:
        found = np.full(len(frames), MISSING_LOG_PROB)
        for index, (frame, label) in enumerate(zip(frames.tolist(), labels.tolist(), strict=True)):
            low, high = int(self._frames.first[frame]), int(self._frames.first[frame + 1])
            matches = np.flatnonzero(self._frames.tokens[low:high] == self._tokens[label])
            if len(matches):
                found[index] = self._frames.log_probs[low + int(matches[0])]
        return found
