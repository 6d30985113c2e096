"""The inner loop of forced alignment over flat arrays, compiled by numba.

The same path as that of `forced_alignment`, which explains it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gaudi_asr_cli.core.decoding.search_kernel import compiled

_Longs = NDArray[np.int64]
_Floats = NDArray[np.float32]
_Doubles = NDArray[np.float64]
_Flags = NDArray[np.bool_]
_Steps = NDArray[np.uint8]


class LatticeArrays(NamedTuple):
    """Likely tokens of the frames, and the states of the text.

    `names` (V,) gives a token its place among the tokens of the text, or the last place; `columns`
    (L,) are the places of the labels. `edges` (L + 1,) says where silence may be a delimiter, and
    `skips` (S,) which states follow the state before the last.
    """

    blanks: _Floats
    first: _Longs
    tokens: NDArray[np.int32]
    log_probs: _Floats
    names: _Longs
    columns: _Longs
    edges: _Flags
    skips: _Flags
    delimiter: int
    missing: float


@compiled
def _emit(lattice: LatticeArrays, frame: int, scores: _Floats) -> tuple[float, float]:
    """Fill in the log probability of each token of the text; return those of silence.

    The second is that of silence at the edge of a word.
    """
    scores[:] = lattice.missing
    blank = lattice.blanks[frame]
    edge = blank
    for index in range(lattice.first[frame], lattice.first[frame + 1]):
        token = lattice.tokens[index]
        if token < len(lattice.names):
            scores[lattice.names[token]] = lattice.log_probs[index]
        if token == lattice.delimiter:
            edge = max(edge, lattice.log_probs[index])
    scores[-1] = lattice.missing
    return blank, edge


@compiled
def _enter(before: _Doubles, index: int, skips: bool, frame: int) -> tuple[int, float]:
    """Return from how many states below a state is entered best, and the score of that."""
    if frame == 0:
        # A path starts with silence or with the first token.
        return 0, 0.0
    size = len(before)
    step = 0
    best = before[index] if index < size else -np.inf
    if 1 <= index <= size and before[index - 1] > best:
        step, best = 1, before[index - 1]
    if skips and 2 <= index < size + 2 and before[index - 2] > best:
        step, best = 2, before[index - 2]
    return step, best


@compiled
def _step(  # noqa: PLR0913 - of flat arrays there are many
    lattice: LatticeArrays,
    frame: int,
    low: int,
    before: _Doubles,
    scores: _Floats,
    steps: _Steps,
    after: _Doubles,
) -> None:
    """Write into `steps` and `after` how each state from `low` on is entered, and its score."""
    blank, edge = _emit(lattice, frame, scores)
    for index in range(len(after)):
        state = low + index
        steps[index], score = _enter(before, index, lattice.skips[state], frame)
        if state % 2:
            score += scores[lattice.columns[state // 2]]
        else:
            score += edge if lattice.edges[state // 2] else blank
        after[index] = score


@compiled
def _find_kept(scores: _Doubles, margin: float) -> tuple[int, int]:
    """Return the first state that is kept, a silence, and the one after the last."""
    lowest = scores.max() - margin
    first, end = 0, len(scores)
    while scores[first] < lowest:
        first += 1
    while scores[end - 1] < lowest:
        end -= 1
    return first - first % 2, end


@compiled
def _find_end(before: _Doubles, low: int, states: int) -> tuple[int, float]:
    """Return the better of the last two states, and its score; -1 where neither is reached."""
    state, total = -1, -np.inf
    for end in (states - 1, states - 2):
        if 0 <= end - low < len(before) and before[end - low] > total:
            state, total = end, before[end - low]
    return state, total


@compiled
def find_states(lattice: LatticeArrays, margin: float, path: _Longs) -> tuple[bool, float]:
    """Write the state of each frame into `path`; return whether there is one, and its score."""
    states = len(lattice.skips)
    scores = np.empty(lattice.columns.max() + 2, np.float32)
    steps = np.empty(4 * len(path) + 16, np.uint8)
    lows, offsets = np.empty(len(path), np.int64), np.empty(len(path), np.int64)
    before = np.zeros(1)
    low, used = 0, 0
    for frame in range(len(path)):
        width = min(low + len(before) + (2 if frame else 1), states) - low
        if used + width > len(steps):
            grown = np.empty(2 * (used + width), np.uint8)
            grown[:used] = steps[:used]
            steps = grown
        lows[frame], offsets[frame] = low, used
        after = np.empty(width)
        _step(lattice, frame, low, before, scores, steps[used : used + width], after)
        used += width
        first, end = _find_kept(after, margin)
        before = after[first:end]
        low += first
    state, total = _find_end(before, low, states)
    if state < 0:
        return False, total
    for frame in range(len(path) - 1, -1, -1):
        path[frame] = state
        state -= steps[offsets[frame] + state - lows[frame]]
    return True, total
