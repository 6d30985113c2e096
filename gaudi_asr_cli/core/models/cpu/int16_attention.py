"""Self-attention in products of 16-bit integers, compiled for this processor.

For a block of queries and all keys of a head: scores, softmax, and the sum of the values, all in
the L2 cache, as in FlashAttention (arXiv 2205.14135). A probability is rounded to 15 bits of the
largest of its group of keys, so that many small ones far from a large one are not lost.
"""

from __future__ import annotations

import math
from functools import reduce
from typing import TYPE_CHECKING, NamedTuple

import torch
from llvmlite import ir

from gaudi_asr_cli.core.models.cpu.int16_packing import LARGEST_SUM
from gaudi_asr_cli.core.models.cpu.llvm_code import (
    FLOAT,
    FLOATS,
    INT,
    LONG,
    ROUNDS,
    SHORT,
    SHORTS,
    Code,
    CodeBuilder,
    RunWorker,
    long,
)

if TYPE_CHECKING:
    from torch import Tensor

QUERIES = 24
"""Queries of a block: their scores and probabilities take 220 kB for 1,500 keys."""
KEYS_PER_GROUP = 128
"""Keys of a group at most."""
LARGEST_QUERY = 8191
LARGEST_PROBABILITY = 32_767
"""Largest steps."""
LEAST_EXPONENT = -126.0
UNROLLED = 2
"""Vectors of a pass of a loop over keys, whose groups are a multiple of as many."""
FILLING_SCORE = -1e30
"""The score of the keys that fill the last group."""
LOG2_E = 1.0 / math.log(2.0)
POWERS = tuple(math.log(2.0) ** power / math.factorial(power) for power in range(6))
"""Coefficients of the Taylor series of 2^x; its error is 2e-6 between -0.5 and 0.5."""


def attend_int16(run: RunWorker, columns: int, qkv: Tensor, out: Tensor) -> None:
    """Write the context of an utterance to `out` (F, H, S).

    Args:
        run: The compiled worker.
        columns: Columns of a tile of the kernel; S is a multiple of it.
        qkv: Scaled queries, keys and values float32 (F, 3, H, S), contiguous as is `out`.
        out: The context, float32.
    """
    count, heads, size = out.shape
    if count == 0:
        return
    groups = -(-count // KEYS_PER_GROUP)
    group = -(-count // (groups * columns)) * columns
    keys = groups * group
    threads = torch.get_num_threads()
    padded = -(-groups // 16) * 16
    shorts = 2 * keys * size + QUERIES * (size + keys)
    floats = keys + size + QUERIES * (1 + keys + padded) + padded + max(keys, size)
    # Zeros, some of which are read.
    short_scratch = torch.zeros(threads, shorts, dtype=torch.int16)
    float_scratch = torch.zeros(threads, floats)
    run(
        (
            qkv.data_ptr(), count, heads, size, groups, group, padded, out.data_ptr(),
            short_scratch.data_ptr(), shorts, float_scratch.data_ptr(), floats,
        )
    )  # fmt: skip


class _Scratch(NamedTuple):
    """Memory of a thread: the keys and values of a head, and what a block of queries needs."""

    key_steps: ir.Value
    value_steps: ir.Value
    query_steps: ir.Value
    probabilities: ir.Value
    key_scales: ir.Value
    value_scales: ir.Value
    query_scales: ir.Value
    scores: ir.Value
    scales: ir.Value
    sums: ir.Value
    zeros: ir.Value


def _divide_scratch(
    build: CodeBuilder,
    memory: tuple[ir.Value, ir.Value],
    sizes: tuple[ir.Value, ir.Value, ir.Value],
) -> _Scratch:
    """Divide memory for shorts and floats; sizes are keys, S, and padded groups."""
    (shorts, floats), (keys, size, padded), queries = memory, sizes, long(QUERIES)
    values = build.at(shorts, (keys, size))
    query_steps = build.at(values, (keys, size))
    probabilities = build.at(query_steps, (queries, size))
    value_scales = build.at(floats, keys)
    query_scales = build.at(value_scales, size)
    scores = build.at(query_scales, queries)
    scales = build.at(scores, (queries, keys))
    sums = build.at(scales, (queries, padded))
    return _Scratch(
        key_steps=shorts,
        value_steps=values,
        query_steps=query_steps,
        probabilities=probabilities,
        key_scales=floats,
        value_scales=value_scales,
        query_scales=query_scales,
        scores=scores,
        scales=scales,
        sums=sums,
        zeros=build.at(sums, padded),
    )


class Int16Functions(NamedTuple):
    """Functions of the module that workers call: see their builders."""

    quantise_group: ir.Function
    product: ir.Function
    pack_rows: ir.Function
    pack_columns: ir.Function


def build_attend(code: Code, functions: Int16Functions) -> None:
    """Build the worker `attend`, whose threads share the heads. See `attend_int16`.

    Its arguments: queries, keys and values (F, 3, H, S), F, H, S, groups of keys, keys of a group,
    groups padded to a multiple of 16, context (F, H, S), zeroed scratch memory for shorts, that of
    a thread, and the same for floats.
    """
    quantise_group, product, pack_rows, pack_columns = functions
    softmax = _build_softmax(code)
    kinds = [
        FLOATS, LONG, LONG, LONG, LONG, LONG, LONG, FLOATS, SHORTS, LONG, FLOATS, LONG,
    ]  # fmt: skip
    build, arguments, thread, threads = code.begin_worker("attend", kinds)
    qkv, count, heads, size, groups, group, padded, out, *memory = arguments
    keys, width, none, one = build.mul(groups, group), build.mul(heads, size), long(0), long(1)
    stride, half = build.mul(width, long(3)), build.sdiv(size, long(2))
    key_tiles, value_tiles = (build.sdiv(all_of, long(code.columns)) for all_of in (keys, size))
    places = (build.at(memory[0], (thread, memory[1])), build.at(memory[2], (thread, memory[3])))
    scratch = _divide_scratch(build, places, (keys, size, padded))
    first, last = build.share(heads, 1, thread, threads)
    with build.loop(first, last, 1) as (head, _, _):
        query, context = build.at(qkv, (head, size)), build.at(out, (head, size))
        key, value = build.at(query, width), build.at(query, (width, long(2)))
        build.call(
            pack_rows,
            [
                key, stride, count, one, size, _bound(build, LARGEST_QUERY, size),
                none, key_tiles, key_tiles, scratch.key_steps, scratch.key_scales,
            ],
        )  # fmt: skip
        build.call(
            pack_columns,
            [
                value, stride, count, size, groups, group,
                _bound(build, LARGEST_PROBABILITY, group),
                none, value_tiles, scratch.value_steps, scratch.value_scales,
            ],
        )  # fmt: skip
        with build.loop(none, count, QUERIES) as (start, _, _):
            rows = build.smaller(long(QUERIES), build.sub(count, start))
            with build.loop(none, rows, 1) as (row, _, _):
                build.call(
                    quantise_group,
                    [
                        build.at(query, (build.add(start, row), stride)), size,
                        ir.Constant(FLOAT, float(LARGEST_QUERY)),
                        build.at(scratch.query_steps, (row, size)),
                        build.at(scratch.query_scales, row),
                    ],
                )  # fmt: skip
            build.call(
                product,
                [
                    scratch.query_steps, size, none, rows,
                    scratch.key_steps, one, half, key_tiles, none, key_tiles,
                    scratch.query_scales, one, scratch.key_scales,
                    scratch.zeros, none, scratch.scores, keys,
                ],
            )  # fmt: skip
            with build.loop(none, rows, 1) as (row, _, _):
                build.call(
                    softmax,
                    [
                        build.at(scratch.scores, (row, keys)), count, groups, group, padded,
                        build.at(scratch.probabilities, (row, keys)),
                        build.at(scratch.scales, (row, padded)), scratch.sums,
                    ],
                )  # fmt: skip
            build.call(
                product,
                [
                    scratch.probabilities, keys, none, rows,
                    scratch.value_steps, groups, build.sdiv(group, long(2)), value_tiles, none,
                    value_tiles, scratch.scales, padded, scratch.value_scales,
                    scratch.zeros, none, build.at(context, (start, width)), width,
                ],
            )  # fmt: skip
    build.ret_void()


def _bound(build: CodeBuilder, most: int, group: ir.Value) -> ir.Value:
    """Return the sum of the steps of a column that fits; each may be rounded up by a half."""
    return build.sub(long(LARGEST_SUM // most), group)


def _build_softmax(code: Code) -> ir.Function:
    """Build the softmax of the scores of a query.

    Its arguments: scores, keys, groups, keys of a group, padded groups, probabilities in steps,
    their scales by group, sums by group (scratch).
    """
    build, arguments = code.begin(
        "softmax", [FLOATS, LONG, LONG, LONG, LONG, SHORTS, FLOATS, FLOATS]
    )
    scores, count, groups, group, padded, steps, scales, sums = arguments
    none = build.floats(FILLING_SCORE)
    with build.loop(count, build.mul(groups, group), 1) as (key, _, _):
        build.store_to(ir.Constant(FLOAT, FILLING_SCORE), build.at(scores, key))
    with build.loop(long(0), groups, 1, [none]) as (index, (most,), following):
        source = build.at(scores, (index, group))
        largest = _find_largest(build, source, group)
        build.store_to(largest, build.at(scales, index))
        following.append(build.larger(build.spread(largest), most))
    with build.loop(long(0), groups, 1) as (index, _, _):
        source, target = build.at(scores, (index, group)), build.at(steps, (index, group))
        largest = build.spread(build.load_from(build.at(scales, index)))
        _exponentiate(build, (source, group, largest), target, build.at(sums, index))
    _scale_groups(build, (scales, sums, padded), most)
    build.ret_void()
    return build.function


def _find_largest(build: CodeBuilder, scores: ir.Value, count: ir.Value) -> ir.Value:
    """Return the largest score of a group."""
    none, step = build.floats(FILLING_SCORE), UNROLLED * build.lanes
    with build.loop(long(0), count, step, [none] * UNROLLED) as (key, found, following):
        for i, above in enumerate(found):
            place = build.at(scores, key, long(i * build.lanes))
            score = build.load_from(place, build.vector(FLOAT))
            following.append(build.larger(score, above))
    return build.reduce(reduce(build.larger, found), build.larger)


def _exponentiate(
    build: CodeBuilder,
    scores: tuple[ir.Value, ir.Value, ir.Value],
    steps: ir.Value,
    sum_place: ir.Value,
) -> None:
    """Store exp(score - largest) of a group in steps of the largest, and their sum.

    `scores` is their place, their number, and the largest of them.
    """
    source, count, largest = scores
    ints, rounds, log2_e = build.vector(INT), build.floats(ROUNDS), build.floats(LOG2_E)
    shift = build.floats(math.log2(LARGEST_PROBABILITY))
    carried = [build.floats(0.0)] * UNROLLED
    with build.loop(long(0), count, UNROLLED * build.lanes, carried) as (key, totals, following):
        for i, total in enumerate(totals):
            index = build.add(key, long(i * build.lanes))
            score = build.load_from(build.at(source, index), build.vector(FLOAT))
            # Their difference is at most zero, and so the power at most the largest step.
            below = build.fsub(score, largest)
            power = _power_of_two(build, build.operate("fma", below, log2_e, shift))
            rounded = build.fadd(power, rounds)
            step = build.trunc(build.bitcast(rounded, ints), build.vector(SHORT))
            build.store_to(step, build.at(steps, index))
            following.append(build.fadd(total, build.fsub(rounded, rounds)))
    build.store_to(build.reduce(reduce(build.fadd, totals), build.fadd), sum_place)


def _scale_groups(
    build: CodeBuilder,
    groups: tuple[ir.Value, ir.Value, ir.Value],
    most: ir.Value,
) -> None:
    """Replace the largest score of each group by the scale of its probabilities.

    `groups` is the places of these scores and of sums, and their number; those that only fill the
    last vector have a sum of zero. `most` is the largest score of all.
    """
    scales, sums, padded = groups
    floats, zeros, log2_e = build.vector(FLOAT), build.floats(0.0), build.floats(LOG2_E)
    with build.loop(long(0), padded, build.lanes, [zeros]) as (index, (total,), following):
        place = build.at(scales, index)
        exponent = build.fmul(build.fsub(build.load_from(place, floats), most), log2_e)
        exponent = build.select(build.fcmp_ordered("<", exponent, zeros), exponent, zeros)
        factor = _power_of_two(build, exponent)
        build.store_to(factor, place)
        group_sums = build.load_from(build.at(sums, index), floats)
        following.append(build.operate("fma", factor, group_sums, total))
    inverse = build.spread(build.fdiv(ir.Constant(FLOAT, 1.0), build.reduce(total, build.fadd)))
    with build.loop(long(0), padded, build.lanes) as (index, _, _):
        place = build.at(scales, index)
        build.store_to(build.fmul(build.load_from(place, floats), inverse), place)


def _power_of_two(build: CodeBuilder, exponent: ir.Value) -> ir.Value:
    """Return 2^x of a vector: NaN of NaN, and zero, or about that, below `LEAST_EXPONENT`."""
    ints, rounds = build.vector(INT), build.floats(ROUNDS)
    exponent = build.larger(build.floats(LEAST_EXPONENT), exponent)
    rounded = build.fadd(exponent, rounds)
    fraction = build.fsub(exponent, build.fsub(rounded, rounds))
    power = build.floats(POWERS[-1])
    for coefficient in reversed(POWERS[:-1]):
        power = build.operate("fma", power, fraction, build.floats(coefficient))
    whole = build.shl(build.bitcast(rounded, ints), ir.Constant(ints, [23] * build.lanes))
    return build.bitcast(build.add(build.bitcast(power, ints), whole), build.vector(FLOAT))
