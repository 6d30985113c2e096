"""Functions over vectors, built for LLVM and compiled while the program runs."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import llvmlite.binding as llvm
import torch
from llvmlite import ir

BIT, SHORT, INT, LONG = (ir.IntType(bits) for bits in (1, 16, 32, 64))
FLOAT, VOID = ir.FloatType(), ir.VoidType()
FLOATS, SHORTS, LONGS = (kind.as_pointer() for kind in (FLOAT, SHORT, LONG))
"""Addresses of arrays."""
ROUNDS = 1.5 * 2.0**23
"""Added to a float32 of less than 2^22, it leaves the nearest integer in the low bits."""

TILE_REGISTERS = 2
"""Registers of a row of a tile of a product."""

RunWorker = Callable[[Sequence[int]], None]
"""Calls a compiled function with addresses and sizes, on torch's number of threads."""


@dataclass(frozen=True, slots=True)
class InstructionSet:
    """Instructions to compile for: lanes of 32 bits in a register, and names that LLVM gives them.

    `fused` is the feature that multiplies and accumulates in one instruction, where there is one.
    """

    lanes: int
    features: str
    fused: str
    multiply_add: str


AVX2 = InstructionSet(8, "+avx2,+fma", "avxvnni", "llvm.x86.avx2.pmadd.wd")
AVX512 = InstructionSet(
    lanes=16,
    features="+avx2,+fma,+avx512f,+avx512bw,+avx512dq,+avx512vl",
    fused="avx512vnni",
    multiply_add="llvm.x86.avx512.pmaddw.d.512",
)


def long(value: int) -> ir.Constant:
    """Return a constant of 64 bits."""
    return ir.Constant(LONG, value)


class CodeBuilder(ir.IRBuilder):  # type: ignore[misc]
    """An `IRBuilder` with loops, vectors, and indices that are sums of products."""

    lanes: int

    @contextmanager
    def loop(
        self, start: ir.Value, end: ir.Value, step: int, carried: Sequence[ir.Value] = ()
    ) -> Iterator[tuple[ir.Value, list[ir.Value], list[ir.Value]]]:
        """Build `for i in range(start, end, step)`.

        Yield i, the carried values, and a list to fill with their next ones. After the block the
        carried values are those after the last pass.
        """
        head, body, after = (self.function.append_basic_block() for _ in range(3))
        before = self.block
        self.branch(head)
        self.position_at_end(head)
        index = self.phi(LONG)
        index.add_incoming(start, before)
        values = [self.phi(value.type) for value in carried]
        for value, first in zip(values, carried, strict=True):
            value.add_incoming(first, before)
        self.cbranch(self.icmp_signed("<", index, end), body, after)
        self.position_at_end(body)
        following: list[ir.Value] = []
        yield index, values, following
        index.add_incoming(self.add(index, long(step)), self.block)
        for value, new in zip(values, following, strict=True):
            value.add_incoming(new, self.block)
        self.branch(head)
        self.position_at_end(after)

    def vector(self, kind: ir.Type) -> ir.VectorType:
        """Return the type of a vector of floats or ints in a register."""
        return ir.VectorType(kind, self.lanes)

    def floats(self, value: float) -> ir.Constant:
        """Return a constant vector."""
        return ir.Constant(self.vector(FLOAT), [value] * self.lanes)

    def at(self, array: ir.Value, *terms: ir.Value | tuple[ir.Value, ir.Value]) -> ir.Value:
        """Return the address of an element: the sum of indices and of products of two."""
        for term in terms:
            index = self.mul(*term) if isinstance(term, tuple) else term
            array = self.gep(array, [index])
        return array

    def load_from(self, address: ir.Value, kind: ir.Type | None = None) -> ir.Value:
        """Load a value, or one of another kind such as a vector, aligned like its elements."""
        element = address.type.pointee
        if kind is not None:
            address = self.bitcast(address, kind.as_pointer())
        loaded = self.load(address)
        loaded.align = 2 if element == SHORT else 4
        return loaded

    def store_to(self, value: ir.Value, address: ir.Value) -> None:
        """Store a value or a vector, aligned like the elements of the array."""
        align = 2 if address.type.pointee == SHORT else 4
        self.store(value, self.bitcast(address, value.type.as_pointer())).align = align

    def spread(self, value: ir.Value) -> ir.Value:
        """Return a vector whose lanes are all `value`."""
        undefined = ir.Constant(self.vector(value.type), ir.Undefined)
        first = self.insert_element(undefined, value, ir.Constant(INT, 0))
        zeros = ir.Constant(self.vector(INT), [0] * self.lanes)
        return self.shuffle_vector(first, undefined, zeros)

    def reduce(
        self, vector: ir.Value, combine: Callable[[ir.Value, ir.Value], ir.Value]
    ) -> ir.Value:
        """Combine the lanes of a vector in pairs."""
        lanes = [self.extract_element(vector, ir.Constant(INT, i)) for i in range(self.lanes)]
        while len(lanes) > 1:
            half = len(lanes) // 2
            lanes = [combine(a, b) for a, b in zip(lanes[:half], lanes[half:], strict=True)]
        return lanes[0]

    def larger(self, one: ir.Value, other: ir.Value) -> ir.Value:
        """Return the larger of floats or vectors of them; the second if one is NaN."""
        return self.select(self.fcmp_ordered(">", one, other), one, other)

    def smaller(self, one: ir.Value, other: ir.Value) -> ir.Value:
        """Return the smaller of two integers."""
        return self.select(self.icmp_signed("<", one, other), one, other)

    def operate(self, name: str, *values: ir.Value) -> ir.Value:
        """Call an operation of LLVM on vectors of floats, such as `fma`."""
        kind = values[0].type
        full = f"llvm.{name}.v{self.lanes}f32"
        return self.call(self.declare(full, ir.FunctionType(kind, [kind] * len(values))), values)

    def declare(self, name: str, kind: ir.FunctionType) -> ir.Function:
        """Declare a function of LLVM, once."""
        return self.module.globals.get(name) or ir.Function(self.module, kind, name)

    def divide_up(self, value: ir.Value, unit: int) -> ir.Value:
        """Return how many units hold a count."""
        return self.sdiv(self.add(value, long(unit - 1)), long(unit))

    def share(
        self, count: ir.Value, unit: int, thread: ir.Value, threads: ir.Value
    ) -> tuple[ir.Value, ir.Value]:
        """Return where a thread's share of `count` begins and ends: whole units but at the end."""
        units = self.divide_up(count, unit)

        def border(index: ir.Value) -> ir.Value:
            place = self.mul(self.sdiv(self.mul(units, index), threads), long(unit))
            return self.smaller(place, count)

        return border(thread), border(self.add(thread, long(1)))


@dataclass(frozen=True, slots=True)
class Code:
    """A module in the making, for one instruction set."""

    module: ir.Module
    instructions: InstructionSet

    @property
    def columns(self) -> int:
        """Return the columns of a tile of a product."""
        return TILE_REGISTERS * self.instructions.lanes

    def begin(self, name: str, kinds: Sequence[ir.Type]) -> tuple[CodeBuilder, list[ir.Value]]:
        """Begin a function that returns nothing; return a builder in it, and its arguments."""
        made = ir.Function(self.module, ir.FunctionType(VOID, kinds), name)
        build = CodeBuilder(made.append_basic_block())
        build.lanes = self.instructions.lanes
        return build, list(made.args)

    def begin_worker(
        self, name: str, kinds: Sequence[ir.Type]
    ) -> tuple[CodeBuilder, list[ir.Value], ir.Value, ir.Value]:
        """Begin `name(arguments, thread, threads)`, which computes the share of a thread.

        Return arguments of these kinds, which are in memory as integers of 64 bits, the thread, and
        the number of threads.
        """
        build, (memory, thread, threads) = self.begin(name, [LONGS, LONG, LONG])
        values = [build.load(build.gep(memory, [long(index)])) for index in range(len(kinds))]
        arguments = [
            build.inttoptr(value, kind) if isinstance(kind, ir.PointerType) else value
            for value, kind in zip(values, kinds, strict=True)
        ]
        return build, arguments, thread, threads

    def compile(self, workers: Sequence[str]) -> Mapping[str, RunWorker]:
        """Compile the module; return its workers by name.

        They run on the threads of the OpenMP that torch has loaded, so that these are not more than
        torch has.
        """
        openmp = ctypes.CDLL(None)
        for name in workers:
            self._build_parallel(name, openmp)
        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
        features = self.instructions.features
        if llvm.get_host_cpu_features().get(self.instructions.fused):
            features += f",+{self.instructions.fused}"
        target = llvm.Target.from_triple(llvm.get_process_triple())
        self.module.triple = target.triple
        machine = target.create_target_machine(features=features, opt=3)
        parsed = llvm.parse_assembly(str(self.module))
        parsed.verify()
        engine = llvm.create_mcjit_compiler(parsed, machine)
        engine.finalize_object()
        _ENGINES.append(engine)
        return {name: _runner(engine, name, openmp) for name in workers}

    def _build_parallel(self, name: str, openmp: ctypes.CDLL) -> None:
        """Build `parallel_NAME(arguments)`: the share of the OpenMP thread that calls it."""
        build, (arguments,) = self.begin(f"parallel_{name}", [LONGS])
        shares = []
        for question in ("omp_get_thread_num", "omp_get_num_threads"):
            address = ctypes.cast(getattr(openmp, question), ctypes.c_void_p).value or 0
            function = build.inttoptr(long(address), ir.FunctionType(INT, []).as_pointer())
            shares.append(build.sext(build.call(function, []), LONG))
        build.call(self.module.get_global(name), [arguments, *shares])
        build.ret_void()


_ENGINES: list[llvm.ExecutionEngine] = []
"""Own the compiled code, which is freed with them."""


def _runner(engine: llvm.ExecutionEngine, name: str, openmp: ctypes.CDLL) -> RunWorker:
    integer = ctypes.c_int64
    alone = ctypes.CFUNCTYPE(None, ctypes.c_void_p, integer, integer)(
        engine.get_function_address(name)
    )
    share = ctypes.c_void_p(engine.get_function_address(f"parallel_{name}"))
    start = openmp.GOMP_parallel
    start.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint]
    start.restype = None

    def run(arguments: Sequence[int]) -> None:
        memory = (integer * len(arguments))(*arguments)
        threads = torch.get_num_threads()
        if threads == 1:
            alone(memory, 0, 1)
        else:
            start(share, memory, threads, 0)

    return run
