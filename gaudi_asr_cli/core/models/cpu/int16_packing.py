"""Weights of products of 16-bit integers: rounded, and in the order in which a tile reads them.

A packed weight is int16 (groups, tiles, inputs of a group / 2, columns of a tile, 2) with a float32
scale per column. The largest step of a column is such that its product with any row, over a group,
fits into 32 bits.
"""

from __future__ import annotations

from llvmlite import ir

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
    long,
)

LARGEST_GROUP = 512
"""Inputs of a group at most."""
LARGEST_WEIGHT = 4095.0
"""Largest step: 13 bits with its sign."""
LARGEST_SUM = 2**31 - 1
SMALLEST_MAXIMUM = 1e-30
"""What zeros have as their largest value."""


def build_pack_rows(code: Code) -> ir.Function:
    """Build the packing of tiles whose columns are rows of an array.

    Its arguments: values, their stride, number of rows, groups, inputs of a group, the sum of the
    steps of a group that fits, the first tile, the last, tiles, steps, scales. Columns of a tile
    beyond the rows become zeros.
    """
    kinds = [FLOATS, LONG, LONG, LONG, LONG, LONG, LONG, LONG, LONG, SHORTS, FLOATS]
    build, arguments = code.begin("pack_rows", kinds)
    values, stride, count, groups, group, bound, first, last, tiles, steps, scales = arguments
    columns, pairs = code.columns, build.sdiv(group, long(2))
    tile_steps = build.alloca(SHORT, columns * LARGEST_GROUP)
    inverses = build.alloca(FLOAT, columns)
    tile_words = build.bitcast(tile_steps, INT.as_pointer())
    with build.loop(first, last, 1) as (tile, _, _):
        start = build.mul(tile, long(columns))
        with build.loop(long(0), long(columns), 1) as (column, _, _):
            index = build.add(start, column)
            # Absent rows are zero times the last one.
            row = build.smaller(index, build.sub(count, long(1)))
            measured = _measure_row(build, build.at(values, (row, stride)), groups, group)
            scale, inverse = _choose_scale(build, measured, bound)
            present = build.icmp_signed("<", index, count)
            zero = ir.Constant(FLOAT, 0.0)
            build.store_to(build.select(present, scale, zero), build.at(scales, index))
            build.store_to(build.select(present, inverse, zero), build.at(inverses, column))
        with build.loop(long(0), groups, 1) as (index, _, _):
            with build.loop(long(0), long(columns), 1) as (column, _, _):
                row = build.smaller(build.add(start, column), build.sub(count, long(1)))
                source = build.at(values, (row, stride), (index, group))
                inverse = build.spread(build.load_from(build.at(inverses, column)))
                with build.loop(long(0), group, build.lanes) as (i, _, _):
                    value = build.load_from(build.at(source, i), build.vector(FLOAT))
                    step = build.trunc(_round(build, value, inverse), build.vector(SHORT))
                    build.store_to(step, build.at(tile_steps, (column, group), i))
            panel = build.add(build.mul(index, tiles), tile)
            target = build.at(steps, (panel, build.mul(group, long(columns))))
            target = build.bitcast(target, INT.as_pointer())
            with build.loop(long(0), pairs, 1) as (pair, _, _):
                for column in range(columns):
                    both = build.load_from(build.at(tile_words, (long(column), pairs), pair))
                    build.store_to(both, build.at(target, (pair, long(columns)), long(column)))
    build.ret_void()
    return build.function


def build_pack_columns(code: Code) -> ir.Function:
    """Build the packing of an array whose columns are those of the weight.

    Its arguments: values, their stride, number of rows, number of columns, a multiple of those of
    a tile; groups, rows of a group, the sum of the steps of a group that fits, the first tile, the
    last, steps, scales. Rows beyond theirs become zeros.
    """
    kinds = [FLOATS, LONG, LONG, LONG, LONG, LONG, LONG, LONG, LONG, SHORTS, FLOATS]
    build, arguments = code.begin("pack_columns", kinds)
    values, stride, count, size, groups, group, bound, first_tile, last_tile, *places = arguments
    steps, scales = places
    columns, floats, ints = code.columns, build.vector(FLOAT), build.vector(INT)
    pairs, tiles = build.sdiv(group, long(2)), build.sdiv(size, long(columns))
    zeros = build.floats(0.0)
    last_row = build.sub(count, long(1))
    first, last = (build.mul(tile, long(columns)) for tile in (first_tile, last_tile))
    with build.loop(first, last, build.lanes) as (start, _, _):
        source = build.at(values, start)
        with build.loop(long(0), groups, 1, [zeros] * 3) as (index, measured, following):
            end = build.smaller(build.mul(build.add(index, long(1)), group), count)
            carried = [measured[0], zeros, measured[2]]
            with build.loop(build.mul(index, group), end, 1, carried) as (row, sums, inner):
                value = build.load_from(build.at(source, (row, stride)), floats)
                inner += _measure(build, value, sums)
            following += [sums[0], build.larger(sums[1], measured[1]), sums[2]]
        scale, inverse = _choose_scale(build, measured, bound)
        build.store_to(scale, build.at(scales, start))

        def round_row(
            row: ir.Value, source: ir.Value = source, inverse: ir.Value = inverse
        ) -> ir.Value:
            present = build.smaller(row, last_row)
            value = build.load_from(build.at(source, (present, stride)), floats)
            is_present = build.icmp_signed("<=", row, last_row)
            return _round(build, build.select(is_present, value, zeros), inverse)

        tile, column = build.sdiv(start, long(columns)), build.srem(start, long(columns))
        with (
            build.loop(long(0), groups, 1) as (index, _, _),
            build.loop(long(0), pairs, 1) as (pair, _, _),
        ):
            row = build.add(build.mul(index, group), build.mul(pair, long(2)))
            low = build.and_(round_row(row), ir.Constant(ints, [0xFFFF] * build.lanes))
            high = round_row(build.add(row, long(1)))
            high = build.shl(high, ir.Constant(ints, [16] * build.lanes))
            place = build.add(build.mul(build.add(build.mul(index, tiles), tile), pairs), pair)
            target = build.at(steps, (place, long(2 * columns)), (column, long(2)))
            build.store_to(build.or_(low, high), target)
    build.ret_void()
    return build.function


def _measure(build: CodeBuilder, value: ir.Value, sums: list[ir.Value]) -> list[ir.Value]:
    """Return the largest value so far, the sum, both without signs, and what is NaN if a value is.

    The last is NaN for an infinite value too, else zero.
    """
    size = build.operate("fabs", value)
    return [
        build.larger(size, sums[0]),
        build.fadd(sums[1], size),
        build.operate("fma", value, build.floats(0.0), sums[2]),
    ]


def _measure_row(
    build: CodeBuilder, row: ir.Value, groups: ir.Value, group: ir.Value
) -> list[ir.Value]:
    """Return what `_measure` does of a row, with the largest sum of a group."""
    zeros, zero = build.floats(0.0), ir.Constant(FLOAT, 0.0)
    carried = [zeros, zero, zeros]
    with build.loop(long(0), groups, 1, carried) as (index, measured, following):
        source = build.at(row, (index, group))
        inside = [measured[0], zeros, measured[2]]
        with build.loop(long(0), group, build.lanes, inside) as (i, sums, inner):
            value = build.load_from(build.at(source, i), build.vector(FLOAT))
            inner += _measure(build, value, sums)
        total = build.reduce(sums[1], build.fadd)
        following += [sums[0], build.larger(total, measured[1]), sums[2]]
    largest, invalid = (
        build.reduce(measured[0], build.larger),
        build.reduce(measured[2], build.fadd),
    )
    return [largest, measured[1], invalid]


def _choose_scale(
    build: CodeBuilder, measured: list[ir.Value], bound: ir.Value
) -> tuple[ir.Value, ir.Value]:
    """Return the scale of a column and its inverse: a value, or a vector of them.

    The scale of a column with a value that is not finite is NaN.
    """
    largest, largest_sum, invalid = measured
    is_vector = isinstance(largest.type, ir.VectorType)

    def constant(value: float) -> ir.Constant:
        return build.floats(value) if is_vector else ir.Constant(FLOAT, value)

    largest = build.larger(largest, constant(SMALLEST_MAXIMUM))
    fitting = build.sitofp(bound, FLOAT)
    fitting = build.spread(fitting) if is_vector else fitting
    # A sum is as large as the largest value at least.
    most = build.fdiv(fitting, build.larger(build.fdiv(largest_sum, largest), constant(1.0)))
    limit = constant(LARGEST_WEIGHT)
    most = build.select(build.fcmp_ordered("<", most, limit), most, limit)
    return build.fadd(build.fdiv(largest, most), invalid), build.fdiv(most, largest)


def _round(build: CodeBuilder, values: ir.Value, inverse: ir.Value) -> ir.Value:
    """Return values times the inverse of their scale, whose low 16 bits are the nearest integer."""
    rounded = build.operate("fma", values, inverse, build.floats(ROUNDS))
    return build.bitcast(rounded, build.vector(INT))
