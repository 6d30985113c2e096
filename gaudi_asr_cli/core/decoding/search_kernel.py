"""The inner loop of the beam search over flat arrays, compiled by numba.

The same search as `prefix_search`, which explains it; nodes are prefixes, node 0 the empty one.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

_Integers = NDArray[np.int32]
_Floats = NDArray[np.float32]
_Doubles = NDArray[np.float64]


def compiled(function: Any) -> Any:
    """Compile a function on its first call; the machine code is kept on disk where that works."""
    try:
        return njit(function, cache=True, nogil=True, error_model="numpy")
    except RuntimeError:  # no folder for the machine code can be written
        return njit(function, nogil=True, error_model="numpy")


class Tables(NamedTuple):
    """The tables of a `PrefixScorer`; unused ones are empty."""

    delimiter: int
    has_lm: bool
    by_token: bool
    has_hotwords: bool
    weight: float
    word_bonus: float
    hotword_weight: float
    unseen: float
    unknown_penalty: float
    lm_words: _Integers
    lm_first: _Integers
    lm_log10_probs: _Floats
    lm_backoffs: _Floats
    lm_suffixes: _Integers
    lm_last_order: int
    token_words: _Integers
    trie_tokens: _Integers
    trie_first: _Integers
    trie_words: _Integers
    trie_values: _Floats
    trie_unknown: int
    trie_unknown_value: float
    hot_steps: NDArray[np.int32]
    hot_matches: _Integers
    hot_credits: _Floats


class Pool(NamedTuple):
    """The tree of prefixes; see `Context` for the meaning of most arrays.

    `slots` holds the place of a node among the hypotheses, which is valid if that holds the node.
    """

    parents: _Integers
    tokens: _Integers
    lm_states: _Integers
    word_nodes: _Integers
    hot_nodes: _Integers
    scores: _Doubles
    aheads: _Doubles
    children: _Integers
    siblings: _Integers
    slots: _Integers


class Beam(NamedTuple):
    """Hypotheses: nodes, and log probabilities of alignments that end in a blank, or do not."""

    nodes: _Integers
    blanks: _Doubles
    tokens: _Doubles


class Candidates(NamedTuple):
    """Continuations that are no hypothesis yet: their parents, and their contexts."""

    parents: _Integers
    tokens: _Integers
    nodes: _Integers
    log_probs: _Doubles
    lm_states: _Integers
    word_nodes: _Integers
    hot_nodes: _Integers
    scores: _Doubles
    aheads: _Doubles
    ranks: _Doubles


class Frames(NamedTuple):
    """The arrays of `TokenFrames`."""

    blanks: _Floats
    first: NDArray[np.int64]
    tokens: _Integers
    log_probs: _Floats


@compiled
def _add_logs(
    first: float,
    second: float,
) -> Any:
    if first < second:
        first, second = second, first
    if second == -np.inf:
        return first
    return first + np.log1p(np.exp(second - first))


@compiled
def _search_sorted(
    values: _Integers,
    low: int,
    high: int,
    wanted: int,
) -> int:
    """Return the place of a value between `low` and `high`, -1 where it is not."""
    end = high
    while low < high:
        middle = (low + high) // 2
        if values[middle] < wanted:
            low = middle + 1
        else:
            high = middle
    if low < end and values[low] == wanted:
        return low
    return -1


@compiled
def _score_word(
    tables: Tables,
    state: int,
    word: int,
) -> tuple[float, int]:
    """Return log10 of the probability of a word after a state, and the state after it."""
    if word < 0:
        return tables.unseen, 0
    total, node = 0.0, state
    while True:
        child = _search_sorted(
            tables.lm_words, tables.lm_first[node], tables.lm_first[node + 1], word
        )
        if child >= 0:
            break
        if node == 0:
            return tables.unseen, 0
        total += tables.lm_backoffs[node]
        node = tables.lm_suffixes[node]
    total += tables.lm_log10_probs[child]
    if child >= tables.lm_last_order:
        return total, tables.lm_suffixes[child]
    return total, child


@compiled
def _end_word(tables: Tables, state: int, node: int) -> tuple[float, int]:
    """Return log10 of the probability of the word of a trie's node, and the state after it."""
    found = tables.trie_unknown if node < 0 else tables.trie_words[node]
    log10_prob, state = _score_word(tables, state, found)
    if found == tables.trie_unknown:
        log10_prob += tables.unknown_penalty
    return log10_prob, state


@compiled
def _extend(
    tables: Tables,
    pool: Pool,
    node: int,
    token: int,
) -> tuple[int, int, int, float, float]:
    """Return the context after one more token; see `PrefixScorer.extend`."""
    state, word, hot = pool.lm_states[node], pool.word_nodes[node], pool.hot_nodes[node]
    score, ahead = pool.scores[node], 0.0
    if token == tables.delimiter or tables.delimiter < 0:
        score += tables.word_bonus
    if tables.has_lm:
        if tables.by_token:
            log10_prob, state = _score_word(tables, state, tables.token_words[token])
            score += tables.weight * log10_prob
        elif token == tables.delimiter:
            log10_prob, state = _end_word(tables, state, word)
            score += tables.weight * log10_prob
            word = 0
        else:
            value = tables.trie_unknown_value
            if word >= 0:
                word = _search_sorted(
                    tables.trie_tokens, tables.trie_first[word], tables.trie_first[word + 1], token
                )
                if word >= 0:
                    value = tables.trie_values[word]
            ahead = tables.weight * value
    if tables.has_hotwords:
        hot = tables.hot_steps[hot, token]
        score += tables.hotword_weight * tables.hot_matches[hot]
        ahead += tables.hotword_weight * tables.hot_credits[hot]
    return state, word, hot, score, ahead


@compiled
def _find_child(
    pool: Pool,
    node: int,
    token: int,
) -> Any:
    child = pool.children[node]
    while child >= 0 and pool.tokens[child] != token:
        child = pool.siblings[child]
    return child


@compiled
def _stay(  # noqa: PLR0913 - of flat arrays there are many
    tables: Tables,
    pool: Pool,
    beam: Beam,
    size: int,
    frames: Frames,
    frame: int,
    kept: Beam,
    totals: _Doubles,
) -> None:
    """Fill `kept` with the hypotheses after a blank, or after their last token again."""
    low, high = frames.first[frame], frames.first[frame + 1]
    for index in range(size):
        node = beam.nodes[index]
        pool.slots[node] = index
        totals[index] = _add_logs(beam.blanks[index], beam.tokens[index])
        last = pool.tokens[node]
        boundary = tables.delimiter >= 0 and (node == 0 or last == tables.delimiter)
        if boundary:
            last = tables.delimiter
        kept.nodes[index] = node
        kept.blanks[index] = totals[index] + frames.blanks[frame]
        kept.tokens[index] = -np.inf
        for place in range(low, high):
            if frames.tokens[place] == last:
                if boundary:
                    again = totals[index] + frames.log_probs[place]
                    kept.blanks[index] = _add_logs(kept.blanks[index], again)
                else:
                    kept.tokens[index] = beam.tokens[index] + frames.log_probs[place]


@compiled
def _continue(  # noqa: PLR0913 - of flat arrays there are many
    tables: Tables,
    pool: Pool,
    beam: Beam,
    size: int,
    frames: Frames,
    frame: int,
    kept: Beam,
    totals: _Doubles,
    candidates: Candidates,
) -> int:
    """Add continuations to hypotheses that are there, list the others; return their number."""
    low, high = frames.first[frame], frames.first[frame + 1]
    number = 0
    for index in range(size):
        node = beam.nodes[index]
        last = pool.tokens[node]
        boundary = tables.delimiter >= 0 and (node == 0 or last == tables.delimiter)
        for place in range(low, high):
            token = frames.tokens[place]
            if boundary and token == tables.delimiter:
                continue
            start = beam.blanks[index] if token == last else totals[index]
            if start == -np.inf:
                continue
            log_prob = start + frames.log_probs[place]
            child = _find_child(pool, node, token)
            slot = pool.slots[child] if child >= 0 else -1
            if 0 <= slot < size and beam.nodes[slot] == child:
                if token == tables.delimiter:
                    kept.blanks[slot] = _add_logs(kept.blanks[slot], log_prob)
                else:
                    kept.tokens[slot] = _add_logs(kept.tokens[slot], log_prob)
                continue
            _list(tables, pool, node, token, child, log_prob, candidates, number)
            number += 1
    return number


@compiled
def _list(  # noqa: PLR0913 - of flat arrays there are many
    tables: Tables,
    pool: Pool,
    node: int,
    token: int,
    child: int,
    log_prob: float,
    candidates: Candidates,
    number: int,
) -> None:
    candidates.parents[number] = node
    candidates.tokens[number] = token
    candidates.nodes[number] = child
    candidates.log_probs[number] = log_prob
    if child >= 0:
        score, ahead = pool.scores[child], pool.aheads[child]
    else:
        state, word, hot, score, ahead = _extend(tables, pool, node, token)
        candidates.lm_states[number] = state
        candidates.word_nodes[number] = word
        candidates.hot_nodes[number] = hot
        candidates.scores[number] = score
        candidates.aheads[number] = ahead
    candidates.ranks[number] = log_prob + score + ahead


@compiled
def _drop_lowest(ranks: _Doubles, number: int, beam_size: int, pruning: float) -> None:
    """Set the ranks of what is dropped to minus infinity; of equal ones the first stay."""
    least, spare = ranks[:number].max() - pruning, number
    above = ranks[:number][ranks[:number] >= least]
    if len(above) > beam_size:
        place = len(above) - beam_size
        least = np.partition(above, place)[place]
        spare = beam_size - (above > least).sum()
    for index in range(number):
        if ranks[index] == least and spare > 0:
            spare -= 1
        elif ranks[index] <= least:
            ranks[index] = -np.inf


@compiled
def _create(
    pool: Pool,
    count: int,
    candidates: Candidates,
    number: int,
) -> int:
    """Make a node of a candidate; return it."""
    parent = candidates.parents[number]
    pool.parents[count] = parent
    pool.tokens[count] = candidates.tokens[number]
    pool.lm_states[count] = candidates.lm_states[number]
    pool.word_nodes[count] = candidates.word_nodes[number]
    pool.hot_nodes[count] = candidates.hot_nodes[number]
    pool.scores[count] = candidates.scores[number]
    pool.aheads[count] = candidates.aheads[number]
    pool.children[count] = -1
    pool.siblings[count] = pool.children[parent]
    pool.children[parent] = count
    pool.slots[count] = -1
    return count


@compiled
def _keep(beam: Beam, size: int, kept: Beam, ranks: _Doubles) -> int:
    """Write the hypotheses that stay into the beam; return their number."""
    chosen = 0
    for index in range(size):
        if ranks[index] > -np.inf:
            beam.nodes[chosen] = kept.nodes[index]
            beam.blanks[chosen] = kept.blanks[index]
            beam.tokens[chosen] = kept.tokens[index]
            chosen += 1
    return chosen


@compiled
def _take(  # noqa: PLR0913 - of flat arrays there are many
    tables: Tables,
    pool: Pool,
    count: int,
    beam: Beam,
    chosen: int,
    candidates: Candidates,
    index: int,
) -> int:
    """Write a candidate into the beam, with a new node if it has none; return their number."""
    node = candidates.nodes[index]
    if node < 0:
        node = _create(pool, count, candidates, index)
        count += 1
    is_delimiter = candidates.tokens[index] == tables.delimiter
    log_prob = candidates.log_probs[index]
    beam.nodes[chosen] = node
    beam.blanks[chosen] = log_prob if is_delimiter else -np.inf
    beam.tokens[chosen] = -np.inf if is_delimiter else log_prob
    return count


@compiled
def advance(  # noqa: PLR0913 - of flat arrays there are many
    tables: Tables,
    pool: Pool,
    count: int,
    beam: Beam,
    size: int,
    frames: Frames,
    start: int,
    end: int,
    beam_size: int,
    pruning: float,
    candidates: Candidates,
    ranks: _Doubles,
) -> tuple[int, int]:
    """Take frames `start` up to `end`; return the numbers of nodes and of hypotheses.

    The hypotheses are in `beam` before and after; the pool has room for all new nodes.
    """
    room = len(beam.nodes)
    kept = Beam(np.empty(room, np.int32), np.empty(room), np.empty(room))
    totals = np.empty(room)
    for frame in range(start, end):
        _stay(tables, pool, beam, size, frames, frame, kept, totals)
        number = _continue(tables, pool, beam, size, frames, frame, kept, totals, candidates)
        for index in range(size):
            node = kept.nodes[index]
            total = _add_logs(kept.blanks[index], kept.tokens[index])
            ranks[index] = total + pool.scores[node] + pool.aheads[node]
        for index in range(number):
            ranks[size + index] = candidates.ranks[index]
        _drop_lowest(ranks, size + number, beam_size, pruning)
        chosen = _keep(beam, size, kept, ranks)
        for index in range(number):
            if ranks[size + index] > -np.inf:
                count = _take(tables, pool, count, beam, chosen, candidates, index)
                chosen += 1
        size = chosen
    return count, size


@compiled
def compact(
    pool: Pool,
    count: int,
    beam: Beam,
    size: int,
) -> int:
    """Keep only the nodes on the way to a hypothesis, in place; return their number."""
    alive = np.zeros(count, np.bool_)
    alive[0] = True
    for index in range(size):
        node = beam.nodes[index]
        while not alive[node]:
            alive[node] = True
            node = pool.parents[node]
    places = np.empty(count, np.int32)
    reached = 0
    for node in range(count):
        if not alive[node]:
            continue
        places[node] = reached
        pool.tokens[reached] = pool.tokens[node]
        pool.lm_states[reached] = pool.lm_states[node]
        pool.word_nodes[reached] = pool.word_nodes[node]
        pool.hot_nodes[reached] = pool.hot_nodes[node]
        pool.scores[reached] = pool.scores[node]
        pool.aheads[reached] = pool.aheads[node]
        pool.children[reached] = -1
        pool.slots[reached] = -1
        if node > 0:
            # A parent always stands before its children.
            parent = places[pool.parents[node]]
            pool.parents[reached] = parent
            pool.siblings[reached] = pool.children[parent]
            pool.children[parent] = reached
        reached += 1
    for index in range(size):
        beam.nodes[index] = places[beam.nodes[index]]
    return reached
