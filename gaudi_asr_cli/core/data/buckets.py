"""Bucket edges and batch plans, from durations alone. Pure arithmetic."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gaudi_asr_cli.core.records import BucketPlan, PlannedBatch

GRID_S = 0.05
"""Durations are rounded up to this grid before edges are searched: 35 s are 700 candidates."""
MAX_CANDIDATES = 1500
"""Limit of candidate edges: the search visits every pair, so this bounds its time and memory."""
MAX_BUCKETS = 32
"""Limit of the automatic choice."""


@dataclass(frozen=True, slots=True)
class Batching:
    """How utterances are put into batches.

    Args:
        edges_s: Upper length of each bucket in seconds, ascending.
        batch_s: Maximum padded audio in one batch, in seconds: batch size x bucket edge.
        utterances: A fixed batch size instead, whatever the lengths.
        static_shapes: Pad to the bucket's edge and longest label sequence, so that a bucket has
            one shape; otherwise to the longest utterance of the batch.
        ranks: Number of devices in data-parallel training. `batch_s` and `utterances` are per
            device; a planned batch holds the utterances of all devices in one step.
    """

    edges_s: tuple[float, ...]
    batch_s: float
    utterances: int | None = None
    static_shapes: bool = False
    ranks: int = 1

    def batch_size(self, edge_s: float) -> int:
        """Return the batch size of the bucket that ends at `edge_s`; at least one."""
        if self.utterances is not None:
            return self.utterances
        return max(1, int(self.batch_s / edge_s + 1e-9))


def choose_edges(durations_s: Sequence[float] | NDArray[np.float64], buckets: int) -> list[float]:
    """Choose the edges of at most `buckets` buckets that minimise padding.

    Exact on a grid of `GRID_S`: dynamic programming over the histogram of durations, where
    putting the durations between two edges into one bucket costs their count times the edge.
    With more than `MAX_CANDIDATES` distinct durations, only that many are candidate edges.

    Returns:
        Ascending upper edges in seconds; the last holds the longest duration.
    """
    search = _search_edges(_as_durations(durations_s), buckets)
    return search.trace(len(search.cuts)) if search else []


def choose_edges_auto(
    durations_s: Sequence[float] | NDArray[np.float64], shape_cost_s: float
) -> list[float]:
    """Choose optimal edges, and their number by weighing padding against compilation.

    Args:
        durations_s: Length of each utterance in seconds.
        shape_cost_s: Cost of compiling one more shape, in seconds of audio that the device could
            process in that time; 0 where it does not compile per shape.
    """
    search = _search_edges(_as_durations(durations_s), MAX_BUCKETS)
    if search is None:
        return []
    counts = np.arange(1, len(search.padded_s) + 1)
    return search.trace(int(np.argmin(np.array(search.padded_s) + counts * shape_cost_s)) + 1)


def quantile_edges(durations_s: Sequence[float] | NDArray[np.float64], buckets: int) -> list[float]:
    """Return edges of buckets with equal numbers of utterances, as Habana's wav2vec.py has them.

    With n utterances and s = n // buckets, these are the sorted durations number n - 1 - (B - 1)s
    to n - 1 in steps of s: counted from the longest down, the remainder in the first bucket. Equal
    edges are merged; with fewer utterances than buckets (there a division by zero) each duration
    is an edge.
    """
    durations = np.sort(_as_durations(durations_s))
    count = len(durations)
    used = min(buckets, count)
    if not used:
        return []
    step = count // used
    picked = durations[count - 1 - (used - 1) * step :: step]
    return [float(edge) for edge in np.unique(picked)]


RULES = {"optimal": choose_edges, "quantile": quantile_edges}
"""Name of a rule -> how the edges of a given number of buckets are chosen."""


def _as_durations(durations_s: Sequence[float] | NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(durations_s, dtype=np.float64)


@dataclass(frozen=True, slots=True)
class _EdgeSearch:
    """The optimal edges for every number of buckets up to a limit.

    `values` are candidate edges in cells of the grid, int64 (N,); `cuts[b]` holds for bucket b
    where the previous one ends; `padded_s[b]` is the padded length in seconds with b + 1 buckets.
    """

    values: NDArray[np.int64]
    cuts: tuple[NDArray[np.int64], ...]
    padded_s: tuple[float, ...]

    def trace(self, buckets: int) -> list[float]:
        edges, end = [], len(self.values)
        for cut in reversed(self.cuts[:buckets]):
            if end == 0:
                break
            edges.append(float(self.values[end - 1] * GRID_S))
            end = int(cut[end - 1])
        return sorted(edges)


def _search_edges(durations: NDArray[np.float64], buckets: int) -> _EdgeSearch | None:
    if not len(durations):
        return None
    cells = np.maximum(1, np.ceil(durations / GRID_S - 1e-9)).astype(np.int64)
    values, counts = _thin_out(*np.unique(cells, return_counts=True))
    size = len(values)
    up_to = np.concatenate([[0], np.cumsum(counts)])
    # cost[i, j]: padded length of values i..j-1 in one bucket.
    cost = (up_to[None, 1:] - up_to[:, None]).astype(np.float64) * values[None, :]
    cost[np.arange(size + 1)[:, None] > np.arange(size)[None, :]] = np.inf
    # best[j]: least padded length of the first j values in the buckets so far.
    best = np.full(size + 1, np.inf)
    best[0] = 0.0
    cuts: list[NDArray[np.int64]] = []
    padded_s: list[float] = []
    for _ in range(min(buckets, size)):
        total = best[:, None] + cost
        cut = np.argmin(total, axis=0)
        cuts.append(cut)
        best = np.concatenate([[np.inf], total[cut, np.arange(size)]])
        padded_s.append(float(best[-1] * GRID_S))
    return _EdgeSearch(values, tuple(cuts), tuple(padded_s))


def _thin_out(
    values: NDArray[np.int64], counts: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Keep at most `MAX_CANDIDATES` values; the counts of dropped ones go to the next one above.

    Half of them are quantiles of the utterances, half are quantiles of the audio, so that neither
    a million short clips nor one recording of several hours dominates.
    """
    if len(values) <= MAX_CANDIDATES:
        return values, counts
    shares = np.linspace(0, 1, MAX_CANDIDATES // 2)
    kept = [np.array([len(values) - 1])]
    for weight in (counts, counts * values):
        mass = np.cumsum(weight)
        kept.append(np.searchsorted(mass, shares * mass[-1]))
    positions = np.unique(np.concatenate(kept).clip(0, len(values) - 1))
    up_to = np.cumsum(counts)[positions]
    return values[positions], np.diff(up_to, prepend=0)


def plan_epoch(
    durations_s: Sequence[float],
    label_tokens: Sequence[int],
    batching: Batching,
    *,
    seed: int,
    epoch: int,
) -> BucketPlan:
    """Put each utterance into the shortest bucket that holds it, and cut buckets into batches.

    Composition and order of the batches are drawn from (seed, epoch) alone, so a resumed run
    sees the same batches; the number of batches is the same in every epoch.

    Args:
        durations_s: Length of each utterance in seconds; indices in the plan refer to it.
        label_tokens: Length of each utterance's label sequence.
        batching: Buckets and budget.
        seed: Random seed of the run.
        epoch: Epoch, counted from 0.

    Returns:
        A plan in which every index occurs exactly once, in `batches` or in `too_long`.
    """
    durations = np.asarray(durations_s, dtype=np.float64)
    labels = np.asarray(label_tokens, dtype=np.int64)
    generator = np.random.default_rng([seed, epoch])
    bucket_of = np.searchsorted(np.asarray(batching.edges_s) + 1e-6, durations)
    batches = []
    for bucket, edge_s in enumerate(batching.edges_s):
        members = generator.permutation(np.flatnonzero(bucket_of == bucket))
        width = int(labels[members].max(initial=0))
        size = batching.batch_size(edge_s) * batching.ranks
        for start in range(0, len(members), size):
            group = members[start : start + size]
            batches.append(
                PlannedBatch(
                    indices=tuple(group.tolist()),
                    padded_s=edge_s if batching.static_shapes else float(durations[group].max()),
                    label_tokens=width if batching.static_shapes else int(labels[group].max()),
                )
            )
    order = generator.permutation(len(batches))
    too_long = np.flatnonzero(bucket_of == len(batching.edges_s))
    return BucketPlan(
        batches=tuple(batches[index] for index in order),
        too_long=tuple(too_long.tolist()),
    )


def padded_ratio(plan: BucketPlan, durations_s: Sequence[float]) -> float:
    """Return padded over real audio of a plan: 1.0 is no padding."""
    real = sum(durations_s[index] for batch in plan.batches for index in batch.indices)
    padded = sum(batch.padded_s * len(batch.indices) for batch in plan.batches)
    return padded / real if real else 1.0


@dataclass(frozen=True, slots=True)
class ArrayPlan:
    """A batch plan for inference, as arrays: 100 MB for ten million utterances.

    Batch b is `order[starts[b] : starts[b + 1]]`, padded to `padded_s[b]` seconds and
    `label_tokens[b]` labels. `batch_sizes[b]` is its size on the device: with static shapes, the
    last batch of a bucket is filled with empty rows. `too_long` are indices that fit no batch.
    """

    order: NDArray[np.int64]
    starts: NDArray[np.int64]
    batch_sizes: NDArray[np.int64]
    padded_s: NDArray[np.float64]
    label_tokens: NDArray[np.int64]
    too_long: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.padded_s)

    def members(self, batch: int) -> NDArray[np.int64]:
        """Return the indices of the utterances in a batch."""
        return self.order[self.starts[batch] : self.starts[batch + 1]]


def plan_arrays(
    durations_s: Sequence[float] | NDArray[np.float64],
    batching: Batching,
    label_tokens: Sequence[int] | NDArray[np.int64] | None = None,
) -> ArrayPlan:
    """Plan batches of utterances of similar length, the longest first, none over the budget.

    The longest first, so that memory runs out at the first batch and not after an hour. No batch
    holds more than `batch_s` of padded audio: a single utterance above it is `too_long`, as are
    utterances beyond the last edge.

    Args:
        durations_s: Length of each utterance in seconds; indices in the plan refer to it.
        batching: With static shapes every batch of a bucket has the same size and is padded to
            its edge; otherwise all edges but the last are ignored, and a batch is padded to its
            longest utterance.
        label_tokens: Length of each utterance's label sequence, if there are labels.
    """
    durations = _as_durations(durations_s)
    labels = np.zeros(0, np.int64) if label_tokens is None else np.asarray(label_tokens, np.int64)
    edges_s = np.array([edge for edge in batching.edges_s if edge <= batching.batch_s + 1e-9])
    if batching.static_shapes:
        longest_s = float(edges_s[-1]) if len(edges_s) else -1.0
    else:
        longest_s = min([*batching.edges_s[-1:], batching.batch_s])
    order = np.argsort(-durations, kind="stable")
    too_long, order = np.split(order, [int((durations > longest_s + 1e-6).sum())])
    sorted_s = durations[order]
    if batching.static_shapes:
        cuts = _cut_buckets(sorted_s, edges_s, batching)
    else:
        cuts = _cut_freely(sorted_s, batching)
    widths = _label_widths(labels[order] if len(labels) else labels, cuts, batching.static_shapes)
    return ArrayPlan(order, cuts.starts, cuts.batch_sizes, cuts.padded_s, widths, too_long)


@dataclass(frozen=True, slots=True)
class _Cuts:
    starts: NDArray[np.int64]
    batch_sizes: NDArray[np.int64]
    padded_s: NDArray[np.float64]


def _cut_buckets(
    sorted_s: NDArray[np.float64], edges_s: NDArray[np.float64], batching: Batching
) -> _Cuts:
    """Cut descending durations into batches, each bucket into equal shapes."""
    starts, batch_sizes, padded_s = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)], [np.zeros(0)]
    begin = 0
    for position in range(len(edges_s) - 1, -1, -1):
        below_s = edges_s[position - 1] + 1e-6 if position else -1.0
        end = int(np.searchsorted(-sorted_s, -below_s, side="left"))
        size = batching.batch_size(float(edges_s[position]))
        cut = np.arange(begin, end, size)
        starts.append(cut)
        batch_sizes.append(np.full(len(cut), size))
        padded_s.append(np.full(len(cut), edges_s[position]))
        begin = max(begin, end)
    all_starts = np.concatenate([*starts, [len(sorted_s)]])
    return _Cuts(all_starts, np.concatenate(batch_sizes), np.concatenate(padded_s))


def _cut_freely(sorted_s: NDArray[np.float64], batching: Batching) -> _Cuts:
    """Cut descending durations into batches, each as large as its longest utterance allows."""
    starts, begin = [0], 0
    while begin < len(sorted_s):
        begin += batching.batch_size(max(float(sorted_s[begin]), 1e-3))
        starts.append(min(begin, len(sorted_s)))
    all_starts = np.array(starts, dtype=np.int64)
    return _Cuts(all_starts, np.diff(all_starts), sorted_s[all_starts[:-1]])


def _label_widths(labels: NDArray[np.int64], cuts: _Cuts, static_shapes: bool) -> NDArray[np.int64]:
    """Return the longest label sequence of each batch; with static shapes, of its whole bucket."""
    if not len(labels):
        return np.zeros(len(cuts.padded_s), dtype=np.int64)
    widths = np.maximum.reduceat(labels, cuts.starts[:-1])
    if static_shapes:
        for edge_s in np.unique(cuts.padded_s):
            bucket = cuts.padded_s == edge_s
            widths[bucket] = widths[bucket].max()
    return widths
