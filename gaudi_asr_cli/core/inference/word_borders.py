"""Borders of words at pauses, from the level of the audio.

CTC emits a letter anywhere inside its sound, so that its frames do not bound a word; the pause
between two words does, where there is one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from gaudi_asr_cli.core.records import SAMPLE_RATE_HZ, WordTiming

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

STEP_S = 0.005
PAUSE_SHARE = 0.3
"""A pause is below this share of the range between quiet and loud levels around it, in dB."""
MIN_PAUSE_S = 0.02
MIN_RANGE_DB = 10.0
"""With a smaller range (noise, music) no pause is found."""
CONTEXT_S = 3.0
"""Audio on either side of two words, for the quiet and the loud level."""
MAX_SHIFT_S = 0.4
"""A border further from that of the network is not believed."""


def measure_levels(blocks: Iterable[Floats]) -> Floats:
    """Return the level in dB of each `STEP_S` of consecutive blocks of samples."""
    step = round(STEP_S * SAMPLE_RATE_HZ)
    rest = np.zeros(0, np.float32)
    powers = []
    for block in blocks:
        samples = np.concatenate([rest, block])
        whole = len(samples) // step * step
        powers.append(np.square(samples[:whole].reshape(-1, step)).mean(axis=1))
        rest = samples[whole:]
    power = np.concatenate(powers) if powers else rest
    smooth = np.convolve(power, np.full(3, 1 / 3), "same") if len(power) > 2 else power
    levels: Floats = (10 * np.log10(smooth + 1e-12)).astype(np.float32)
    return levels


def refine_borders(
    words: Sequence[WordTiming], levels: Floats, start_s: float
) -> tuple[WordTiming, ...]:
    """Move the borders of words to the longest pause between the middles of two words.

    Args:
        words: Words on the clock of the file.
        levels: See `measure_levels`.
        start_s: Time of the first level.
    """
    if not words:
        return ()
    middles = [round(((one.start_s + one.end_s) / 2 - start_s) / STEP_S) for one in words]
    places = np.clip([0, *middles, len(levels)], 0, len(levels)).tolist()
    starts, ends = [one.start_s for one in words], [one.end_s for one in words]
    for index, (low, high) in enumerate(pairwise(places)):
        pause = _find_pause(levels, low, high)
        if pause is None:
            continue
        if index > 0:
            ends[index - 1] = _move(ends[index - 1], start_s + pause[0] * STEP_S)
        if index < len(words):
            starts[index] = _move(starts[index], start_s + pause[1] * STEP_S)
    return tuple(map(_with_times, words, starts, ends))


def _find_pause(levels: Floats, low: int, high: int) -> tuple[int, int] | None:
    """Return the first level of the longest pause and the one after it; None without a pause."""
    context = round(CONTEXT_S / STEP_S)
    around = levels[max(low - context, 0) : high + context]
    if high <= low or not len(around):
        return None
    quiet, loud = np.quantile(around, (0.05, 0.95))
    if loud - quiet < MIN_RANGE_DB:
        return None
    silent = levels[low:high] < quiet + PAUSE_SHARE * (loud - quiet)
    edges = np.flatnonzero(np.diff(np.concatenate([[False], silent, [False]]).astype(np.int8)))
    lengths = edges[1::2] - edges[::2]
    if not len(lengths) or lengths.max() * STEP_S < MIN_PAUSE_S:
        return None
    longest = int(lengths.argmax())
    return low + int(edges[2 * longest]), low + int(edges[2 * longest + 1])


def _move(time_s: float, to_s: float) -> float:
    return to_s if abs(to_s - time_s) <= MAX_SHIFT_S else time_s


def _with_times(word: WordTiming, start_s: float, end_s: float) -> WordTiming:
    """Return a word with other times, and its characters within them."""
    if end_s <= start_s:
        return word
    inner = [min(max(one.start_s, start_s), end_s) for one in word.characters[1:]]
    times = [start_s, *inner, end_s]
    characters = tuple(
        replace(one, start_s=times[index], end_s=times[index + 1])
        for index, one in enumerate(word.characters)
    )
    return replace(word, start_s=start_s, end_s=end_s, characters=characters)
