"""Matrix products of 16-bit integers, compiled for this processor.

The instruction for two 16-bit products and their sum (`vpmaddwd`) multiplies twice as many numbers
as a fused multiply-add of float32, on every processor with AVX2; no library that torch uses has a
product of them. The code follows Goto and van de Geijn, "Anatomy of high-performance matrix
multiplication" (2008): a tile of the result stays in registers while the inputs pass.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

from llvmlite import ir

from gaudi_asr_cli.core.models.cpu.int16_attention import Int16Functions, build_attend
from gaudi_asr_cli.core.models.cpu.int16_packing import (
    LARGEST_SUM,
    SMALLEST_MAXIMUM,
    build_pack_columns,
    build_pack_rows,
)
from gaudi_asr_cli.core.models.cpu.llvm_code import (
    FLOAT,
    FLOATS,
    INT,
    LONG,
    ROUNDS,
    SHORT,
    SHORTS,
    TILE_REGISTERS,
    Code,
    CodeBuilder,
    InstructionSet,
    RunWorker,
    long,
)

TILE_ROWS = 6
"""Rows of a tile: with two registers for each, 12 of the 16 registers of AVX2 hold sums."""
BLOCK_TILES = 32
"""Tiles of rows that use the same columns of the weight while these are in the L1 cache."""
FEW_TILES = 4
"""Tiles of rows per thread below which threads share the columns of the weight instead."""
LARGEST_STEP = 8191
"""Largest step of an activation: 14 bits with its sign."""


@dataclass(frozen=True, slots=True)
class Kernel:
    """The compiled workers; `_build_quantise` and so on name their arguments.

    `columns` is the number of outputs in a tile.
    """

    columns: int
    quantise: RunWorker
    multiply: RunWorker
    pack: RunWorker
    pack_transposed: RunWorker
    attend: RunWorker


@cache
def compile_kernel(instructions: InstructionSet) -> Kernel:
    """Compile the kernel for an instruction set of this processor, in 0.2 s."""
    code = Code(ir.Module(), instructions)
    functions = Int16Functions(
        build_quantise_group(code),
        build_product(code),
        build_pack_rows(code),
        build_pack_columns(code),
    )
    _build_quantise(code, functions.quantise_group)
    _build_multiply(code, functions.product)
    _build_packing(code, "pack", functions.pack_rows)
    _build_packing(code, "pack_transposed", functions.pack_columns)
    build_attend(code, functions)
    workers = ["quantise", "multiply", "pack", "pack_transposed", "attend"]
    return Kernel(code.columns, **code.compile(workers))


def build_quantise_group(code: Code) -> ir.Function:
    """Build the quantisation of inputs that share a scale.

    Its arguments: values, their number, the largest step, steps, the place of the scale.
    """
    build, (values, size, most, steps, scale) = code.begin(
        "quantise_group", [FLOATS, LONG, FLOAT, SHORTS, FLOATS]
    )
    floats, zeros, lanes = build.vector(FLOAT), build.floats(0.0), build.lanes
    # The second sum is NaN if a value is infinite or NaN, else 0: the scale then is NaN too.
    with build.loop(long(0), size, lanes, [zeros, zeros]) as (i, (above, invalid), following):
        value = build.load_from(build.at(values, i), floats)
        following += [
            build.larger(build.operate("fabs", value), above),
            build.operate("fma", value, zeros, invalid),
        ]
    largest = build.larger(build.reduce(above, build.larger), ir.Constant(FLOAT, SMALLEST_MAXIMUM))
    largest = build.fadd(largest, build.reduce(invalid, build.fadd))
    build.store_to(build.fdiv(largest, most), scale)
    inverse, rounds = build.spread(build.fdiv(most, largest)), build.floats(ROUNDS)
    with build.loop(long(0), size, lanes) as (i, _, _):
        value = build.load_from(build.at(values, i), floats)
        rounded = build.bitcast(build.operate("fma", value, inverse, rounds), build.vector(INT))
        build.store_to(build.trunc(rounded, build.vector(SHORT)), build.at(steps, i))
    build.ret_void()
    return build.function


class _TileCall(NamedTuple):
    """Arguments of a tile: those of the weight, and the places of row 0 with their strides."""

    weight: tuple[ir.Value, ...]
    rows: tuple[tuple[ir.Value, ir.Value], ...]

    def build(self, build: CodeBuilder, function: ir.Function, row: ir.Value) -> None:
        """Call the function for the rows that begin at `row`."""
        moved = [(build.at(place, (row, stride)), stride) for place, stride in self.rows]
        build.call(function, [*self.weight, *(value for pair in moved for value in pair)])


def build_product(code: Code) -> ir.Function:
    """Build the product of rows with the tiles of columns `first_tile` to `last_tile`.

    Its arguments: steps of the rows, their stride, the first row and the last; steps of the
    weight (groups, tiles, inputs of a group / 2, columns of a tile, 2), groups, half the inputs of
    a group, tiles, the first and the last; scales of the rows (groups of each), their stride;
    scales of the columns; what to add to, its stride; the result, its stride. Strides are
    those of rows, in elements.
    """
    tiles = [_build_tile(code, rows) for rows in range(1, TILE_ROWS + 1)]
    kinds = [
        SHORTS, LONG, LONG, LONG, SHORTS, LONG, LONG, LONG, LONG, LONG, FLOATS, LONG, FLOATS,
        FLOATS, LONG, FLOATS, LONG,
    ]  # fmt: skip
    build, arguments = code.begin("product", kinds)
    steps, stride, first, last, weight, groups, pairs, column_tiles, *others = arguments
    first_tile, last_tile, scales, scale_stride, weight_scales, *others = others
    base, base_stride, out, out_stride = others
    columns = code.columns
    inputs = build.mul(pairs, long(2))
    block = TILE_ROWS * BLOCK_TILES
    with (
        build.loop(first, last, block) as (start, _, _),
        build.loop(long(0), groups, 1) as (group, _, _),
        build.loop(first_tile, last_tile, 1) as (tile, _, _),
    ):
        end = build.smaller(build.add(start, long(block)), last)
        column = build.mul(tile, long(columns))
        panel = build.add(build.mul(group, column_tiles), tile)
        # The first group adds to the base, the others to what is there.
        is_first = build.icmp_signed("==", group, long(0))
        tile_out = build.at(out, column)
        tile_base = build.select(is_first, build.at(base, column), tile_out)
        tile_base_stride = build.select(is_first, base_stride, out_stride)
        call = _TileCall(
            weight=(
                build.at(weight, (panel, build.mul(inputs, long(columns)))),
                pairs,
                build.at(weight_scales, column),
            ),
            rows=(
                (build.at(steps, (group, inputs)), stride),
                (build.at(scales, group), scale_stride),
                (tile_base, tile_base_stride),
                (tile_out, out_stride),
            ),
        )
        whole = build.mul(build.sdiv(build.sub(end, start), long(TILE_ROWS)), long(TILE_ROWS))
        whole = build.add(start, whole)
        with build.loop(start, whole, TILE_ROWS) as (row, _, _):
            call.build(build, tiles[-1], row)
        rest = build.sub(end, whole)
        for index, function in enumerate(tiles[:-1]):
            with build.if_then(build.icmp_signed("==", rest, long(index + 1))):
                call.build(build, function, whole)
    build.ret_void()
    return build.function


def _build_tile(code: Code, rows: int) -> ir.Function:
    """Build the product of `rows` rows with the columns of one tile, over one group of inputs.

    Its arguments: steps of the weight (inputs / 2, columns, 2), half the inputs, scales of the
    weight; steps of the first row, their stride; scales of the rows, their stride; what to add
    to, its stride; the result, its stride.
    """
    kinds = [SHORTS, LONG, FLOATS, SHORTS, LONG, FLOATS, LONG, FLOATS, LONG, FLOATS, LONG]
    build, arguments = code.begin(f"tile{rows}", kinds)
    (weight, pairs, weight_scales, steps, stride, scales, scale_stride, base, base_stride,
     out, out_stride) = arguments  # fmt: skip
    lanes, floats, ints = build.lanes, build.vector(FLOAT), build.vector(INT)
    shorts = ir.VectorType(SHORT, 2 * lanes)
    multiply_add = build.declare(
        code.instructions.multiply_add, ir.FunctionType(ints, [shorts, shorts])
    )
    zeros = [ir.Constant(ints, [0] * lanes)] * (rows * TILE_REGISTERS)
    sources = [build.at(steps, (stride, long(row))) for row in range(rows)]
    with build.loop(long(0), pairs, 1, zeros) as (pair, sums, following):
        place = build.at(weight, (pair, long(TILE_REGISTERS * 2 * lanes)))
        registers = [
            build.load_from(build.at(place, long(i * 2 * lanes)), shorts)
            for i in range(TILE_REGISTERS)
        ]
        for row, source in enumerate(sources):
            both = build.load_from(build.at(source, (pair, long(2))), INT)
            both = build.bitcast(build.spread(both), shorts)
            for i, register in enumerate(registers):
                product = build.call(multiply_add, [both, register])
                following.append(build.add(sums[row * TILE_REGISTERS + i], product))
    for row in range(rows):
        scale = build.spread(build.load_from(build.at(scales, (scale_stride, long(row)))))
        for i in range(TILE_REGISTERS):
            column = long(i * lanes)
            factor = build.fmul(scale, build.load_from(build.at(weight_scales, column), floats))
            before = build.load_from(build.at(base, (base_stride, long(row)), column), floats)
            product = build.sitofp(sums[row * TILE_REGISTERS + i], floats)
            place = build.at(out, (out_stride, long(row)), column)
            build.store_to(build.operate("fma", product, factor, before), place)
    build.ret_void()
    return build.function


def _build_quantise(code: Code, quantise_group: ir.Function) -> None:
    """Build the quantisation of float rows (F, I) to int16 rows and scales (F, groups).

    Its arguments: rows, F, groups, inputs of a group, steps, scales.
    """
    kinds = [FLOATS, LONG, LONG, LONG, SHORTS, FLOATS]
    build, arguments, thread, threads = code.begin_worker("quantise", kinds)
    rows, count, groups, size, steps, scales = arguments
    most = ir.Constant(FLOAT, float(LARGEST_STEP))
    first, last = build.share(count, 1, thread, threads)
    with build.loop(build.mul(first, groups), build.mul(last, groups), 1) as (group, _, _):
        build.call(
            quantise_group,
            [
                build.at(rows, (group, size)), size, most, build.at(steps, (group, size)),
                build.at(scales, group),
            ],
        )  # fmt: skip
    build.ret_void()


def _build_multiply(code: Code, product: ir.Function) -> None:
    """Build the product of rows with a weight. Its arguments: see `build_product`.

    There are no first and last ones, as each thread has its share: all columns of its rows, or if
    there are few rows, some columns of all.
    """
    kinds = [
        SHORTS, LONG, LONG, SHORTS, LONG, LONG, LONG, FLOATS, LONG, FLOATS, FLOATS, LONG, FLOATS,
        LONG,
    ]  # fmt: skip
    build, arguments, thread, threads = code.begin_worker("multiply", kinds)
    steps, stride, count, weight, groups, pairs, tiles, *rest = arguments
    few = build.icmp_signed("<", count, build.mul(threads, long(FEW_TILES * TILE_ROWS)))
    rows = build.share(count, TILE_ROWS, thread, threads)
    columns = build.share(tiles, 1, thread, threads)
    build.call(
        product,
        [
            steps,
            stride,
            build.select(few, long(0), rows[0]),
            build.select(few, count, rows[1]),
            weight,
            groups,
            pairs,
            tiles,
            build.select(few, columns[0], long(0)),
            build.select(few, columns[1], tiles),
            *rest,
        ],
    )
    build.ret_void()


def _build_packing(code: Code, name: str, pack: ir.Function) -> None:
    """Build the packing of a weight (O, I), stored by rows or transposed, by columns.

    Its arguments: weight, stride of its rows, rows, columns; groups of inputs, inputs of a group,
    tiles of outputs, steps, scales.
    """
    kinds = [FLOATS, LONG, LONG, LONG, LONG, LONG, LONG, SHORTS, FLOATS]
    build, arguments, thread, threads = code.begin_worker(name, kinds)
    values, stride, rows, columns, groups, group, tiles, steps, scales = arguments
    bound = build.sub(long(LARGEST_SUM // LARGEST_STEP), group)
    first, last = build.share(tiles, 1, thread, threads)
    if name == "pack":
        shape = [rows, groups, group, bound, first, last, tiles]
    else:
        shape = [rows, columns, groups, group, bound, first, last]
    build.call(pack, [values, stride, *shape, steps, scales])
    build.ret_void()
