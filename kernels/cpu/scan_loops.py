"""Loops of scans, generated from `kernels.scans` and wrapped as generalised ufuncs.

Along a line each element waits for the one before, so a loop takes up to 64 lines at once, a lane each, and LLVM makes
vectors of the lanes. Lines that are not next to each other in memory go to lanes and back in squares
(`frontend.memory`). What is carried is float64, or 64-bit whole numbers. A line is scanned from its first element to
its last, from what it is told to begin with: its bits depend on neither the lines beside it nor the number of threads.
Where there are but a few long lines, their pieces are the lines of these loops (`scans`).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache as once

import numpy as np

from ..formula import source as write
from ..scans import Carried, Scan
from . import codegen, threads, ufunc
from .sizes import CHUNK, LANES, SIDE

#: Lanes for lines that are not neighbours: each is read, and written, somewhere else.
_FEW = 16
_INTEGERS = "?bhilqBHILQ"


@once
def line_kernel(scan: Scan) -> np.ufunc:
    """Give the ufunc that scans the last axis: of the elements and what to begin with (`state_dtypes`)."""

    def given(code: str) -> str:
        return result_dtype(scan, code).char + "l" * scan.places

    return _kernel(scan, "line", given, ["(k)"] * scan.arity, "(k)")


@once
def total_kernel(scan: Scan) -> np.ufunc:
    """Give the ufunc for what is carried at the end of the last axis, of the same arguments."""
    return _kernel(scan, "total", lambda code: _carried_codes(scan, code), ["(k)"] * scan.arity, "()")


def _kernel(scan: Scan, kind: str, given: Callable[[str], str], inputs: list[str], output: str) -> np.ufunc:
    codes = ("" if scan.floating else _INTEGERS) + "fd"
    states = {code: "".join(np.dtype(state).char for state in state_dtypes(scan, code)) for code in codes}
    types = [code * scan.arity + states[code] + given(code) for code in codes]
    outputs = len(given("d"))
    signature = ",".join([*inputs, *["()"] * len(states["d"])]) + "->" + ",".join([output] * outputs)

    def compile_loop(codes: ufunc.Types) -> tuple[int, int]:
        text = source(scan, codes[0], kind == "line")
        threshold = threads.SHARE_ABOVE // (20 if "exp_float" in text else 2)
        return codegen.address(f"{scan.name}-{kind}-{codes[0]}", text), threshold

    return ufunc.make(scan.name, types, outputs, compile_loop, signature)


@once
def joining_kernel(scan: Scan, code: str) -> np.ufunc:
    """Give the ufunc for what is carried before each of several pieces, and after them all, for elements of a dtype.

    Of what each piece gives (`total_kernel`), and what to begin with.
    """
    types = _carried_codes(scan, code)
    core = [*["(k)"] * len(types), *["()"] * len(types)]
    name, signature = f"{scan.name}-joining-{code}", ",".join(core) + "->" + ",".join(core)

    def compile_loop(codes: ufunc.Types) -> tuple[int, int]:
        return codegen.address(name, joining_source(scan, code)), threads.NEVER

    return ufunc.make(name, [types * 4], 2 * len(types), compile_loop, signature)


# ---- dtypes ---------------------------------------------------------------------------------------------------------


def wide_dtype(code: str) -> str:
    """Give the dtype that elements of another are carried in."""
    kind = np.dtype(code).kind
    return "float64" if kind == "f" else "uint64" if kind == "u" else "int64"


def result_dtype(scan: Scan, code: str) -> np.dtype[np.generic]:
    """Give the dtype of a scan's values."""
    return np.dtype(wide_dtype(code) if scan.accumulates and np.dtype(code).kind != "f" else code)


def carried_by(scan: Scan, code: str) -> Carried:
    """Give what a scan carries for elements of a dtype: sums of whole numbers are exact without an error of theirs."""
    return scan.carried if scan.splits and code == "d" else scan.narrow


def _carried_dtypes(scan: Scan, code: str) -> list[str]:
    """List the dtypes of what is carried; as many for every dtype, as a ufunc has them."""
    count = len(carried_by(scan, "d").identity)
    return [wide_dtype(code)] * (count - scan.places) + ["int64"] * scan.places


def _carried_codes(scan: Scan, code: str) -> str:
    return "".join(np.dtype(dtype).char for dtype in _carried_dtypes(scan, code))


def state_dtypes(scan: Scan, code: str) -> list[str]:
    """List the dtypes of what a line begins with: what is carried, then the place of its first element, if needed."""
    return [*_carried_dtypes(scan, code), *["int64"] * scan.places]


# ---- loops ----------------------------------------------------------------------------------------------------------


class _Writer:
    """Writes the loop of a scan for one dtype: one that stores what each place gives, or what is carried at the end."""

    def __init__(self, scan: Scan, code: str, stores: bool) -> None:
        self.scan, self.number, self.stores, self.text = scan, np.dtype(code), stores, [""]
        self.wide, self.states, self.carried = wide_dtype(code), state_dtypes(scan, code), carried_by(scan, code)
        self.numbers = range(len(self.carried.identity))
        given = [result_dtype(scan, code).name, *["int64"] * scan.places]
        self.outputs = given if stores else _carried_dtypes(scan, code)
        self.inputs, self.results = range(scan.arity), range(len(self.outputs))

    def put(self, depth: int, *lines: str) -> None:
        self.text += ["    " * depth + line for line in lines]

    def source(self) -> str:
        put = self.put
        put(0, "def loop(args, dims, steps, data):")
        put(1, "align_stack()", "outer = dims[0]", "k = dims[1]")
        # a thread that gets few lines leaves most lanes empty
        put(1, f"if outer >= {2 * LANES} and outer * k >= int64_pointer(data)[0]:")
        put(2, "share(args, dims, steps, data)", "return")
        self._operands()
        put(1, *(f"lanes{s} = {self.states[s]}_lanes()" for s in self.numbers))
        if self.scan.places:
            put(1, "firsts = int64_lanes()")
        stores = self.results if self.stores else range(0)
        near = [*(f"bx{i} == 1" for i in self.inputs), *(f"by{o} == 1" for o in stores)]
        along = [*(f"abs(kx{i}) == 1" for i in self.inputs), *(f"abs(ky{o}) == 1" for o in stores)]
        put(1, "first = 0", f"if outer >= {SIDE} and {' and '.join(near)}:", "    while first < outer:")
        put(3, f"width = min({LANES}, outer - first)")
        self._lanes(3, lambda: self._neighbours(3))
        put(1, f"elif outer >= {SIDE}:", *(f"    {line}" for line in self._tiles()))
        put(2, f"unbroken = {' and '.join(along)}", "while first < outer:")
        put(3, f"first = min(first, outer - {SIDE})  # the last ones, some of them again")
        put(3, f"width = min({_FEW}, outer - first)")
        self._lanes(3, lambda: self._tile_by_tile(3))
        put(1, "while first < outer:", "    lane = 0")
        self._begin(2)
        put(2, "for i in range(k):")
        self._step(3, *self._places(self._steps("bx"), self._steps("by")))
        self._end(2)
        put(2, "first += 1")
        put(1, "clear_exceptions()")
        return "\n".join(self.text) + "\n"

    def _operands(self) -> None:
        put, begin = self.put, 1 + self.scan.arity
        core = self.scan.arity + len(self.states) + len(self.outputs)
        for i in self.inputs:
            size = self.number.itemsize
            put(1, f"x{i} = {self.number.name}_pointer(args[{i}])")
            put(1, f"bx{i} = steps[{i}] // {size}", f"kx{i} = steps[{core + i}] // {size}")
        for s, dtype in enumerate(self.states, self.scan.arity):
            put(1, f"g{s - begin + 1} = {dtype}_pointer(args[{s}])", f"bg{s - begin + 1} = steps[{s}] // 8")
        for o, dtype in enumerate(self.outputs):
            place, size = self.scan.arity + len(self.states) + o, np.dtype(dtype).itemsize
            put(1, f"y{o} = {dtype}_pointer(args[{place}])", f"by{o} = steps[{place}] // {size}")
            if self.stores:
                put(1, f"ky{o} = steps[{core + self.scan.arity + o}] // {size}")

    # ---- one lane

    def _steps(self, name: str) -> list[str]:
        return [f" * {name}{i}" for i in range(max(len(self.inputs), len(self.outputs)))]

    def _places(self, steps: list[str], out_steps: list[str]) -> tuple[list[str], list[str]]:
        """Write a lane's elements at i, and how its results are stored there, with room for their values."""
        elements = [f"load(x{i}, first * bx{i} + i * kx{i} + lane{steps[i]})" for i in self.inputs]
        there = [f"first * by{o} + i * ky{o} + lane{out_steps[o]}" for o in self.results]
        return elements, [f"store_{o}(y{o}, {there[o]}, {self.outputs[o]}({{}}))" for o in self.results]

    def _begin(self, depth: int) -> None:
        self.put(depth, *(f"lanes{s}[lane] = load(g{s}, (first + lane) * bg{s})" for s in self.numbers))
        if self.scan.places:
            last = len(self.states) - 1
            self.put(depth, f"firsts[lane] = load(g{last}, (first + lane) * bg{last})")

    def _step(self, depth: int, elements: list[str], stored: list[str]) -> None:
        """Take in the elements at i, and store the results."""
        put, arity = self.put, self.scan.arity
        put(depth, *(f"element{i} = {self.wide}({element})" for i, element in enumerate(elements)))
        put(depth, *(f"carried{s} = lanes{s}[lane]" for s in self.numbers))
        if self.scan.places:
            put(depth, "place = firsts[lane] + i")
        names = {i: f"element{i}" for i in self.inputs} | {arity: "place"}
        names |= {arity + 1 + s: f"carried{s}" for s in self.numbers}
        lines, taken = write(self.carried.taken, self.wide, names)
        put(depth, *lines, *(f"new{s} = {self.states[s]}({value})" for s, value in enumerate(taken)))
        put(depth, *(f"lanes{s}[lane] = new{s}" for s in self.numbers))
        if self.stores:
            lines, values = write(self.carried.results, self.wide, {s: f"new{s}" for s in self.numbers}, "u")
            put(depth, *lines, *(store.format(value) for store, value in zip(stored, values, strict=True)))

    def _end(self, depth: int) -> None:
        if not self.stores:
            for s, dtype in enumerate(self.outputs):  # some are carried for wider elements only
                value = f"lanes{s}[lane]" if s in self.numbers else f"{dtype}(0)"
                self.put(depth, f"store_{s}(y{s}, (first + lane) * by{s}, {value})")

    # ---- several lanes

    def _lanes(self, depth: int, along: Callable[[], None]) -> None:
        self.put(depth, "for lane in range(width):")
        self._begin(depth + 1)
        along()
        if not self.stores:
            self.put(depth, "for lane in range(width):")
        self._end(depth + 1)
        self.put(depth, "first += width")

    def _neighbours(self, depth: int) -> None:
        self.put(depth, "for i in range(k):", "    for lane in range(width):")
        nothing = [""] * len(self._steps("bx"))
        self._step(depth + 2, *self._places(nothing, nothing))

    def _tiles(self) -> list[str]:
        """Write the rooms that squares go to and come from."""
        back = [f"back{o} = {dtype}_chunk()" for o, dtype in enumerate(self._kept())] if self.stores else []
        return [*(f"tile{i} = {self.wide}_chunk()" for i in self.inputs), *back]

    def _kept(self) -> list[str]:
        return [self.wide, *self.outputs[1:]]

    def _tile_by_tile(self, depth: int) -> None:
        """Bring some elements of each line to lanes, scan them there, and take the results back."""
        put, length = self.put, CHUNK // _FEW
        low = f"{SIDE - 1} * (1 - {{0}}) // 2"  # of lines that go backwards, the last element comes first
        tile = f"lane + (column + {low}) * {_FEW}, {_FEW} * {{0}}"
        squares = [f"for corner in range(0, width, {SIDE}):", f"    lane = min(corner, width - {SIDE})"]
        squares += [f"    for column in range(0, whole, {SIDE}):"]
        singly = ["for lane in range(width):", "    for column in range(whole, count):"]
        put(depth, f"for start in range(0, k, {length}):", f"    count = min({length}, k - start)")
        put(depth + 1, f"whole = count // {SIDE} * {SIDE} if unbroken else 0", *squares)
        for i in self.inputs:  # the lines after these: a processor does not read ahead of so many
            put(depth + 3, f"for row in range({SIDE}):")
            put(depth + 4, f"prefetch(x{i}, (first + {_FEW} + lane + row) * bx{i} + (start + column) * kx{i})")
        for i in self.inputs:
            line = f"x{i}, (first + lane) * bx{i} + (start + column + {low}) * {{0}}, bx{i}".format(f"kx{i}")
            put(depth + 3, f"move_square({line}, tile{i}, {tile.format(f'kx{i}')})")
        put(depth + 1, *singly)
        for i in self.inputs:
            element = f"load(x{i}, (first + lane) * bx{i} + (start + column) * kx{i})"
            put(depth + 3, f"tile{i}[column * {_FEW} + lane] = {self.wide}({element})")
        put(depth + 1, "for row in range(count):", "    i = start + row", "    for lane in range(width):")
        at = f"[row * {_FEW} + lane]"
        stored = [f"back{o}{at} = {dtype}({{}})" for o, dtype in enumerate(self._kept())] if self.stores else []
        self._step(depth + 3, [f"tile{i}{at}" for i in self.inputs], stored)
        if not self.stores:
            return
        put(depth + 1, *squares)
        for o in self.results:
            line = f"y{o}, (first + lane) * by{o} + (start + column + {low}) * {{0}}, by{o}".format(f"ky{o}")
            put(depth + 3, f"move_square(back{o}, {tile.format(f'ky{o}')}, {line})")
        put(depth + 1, *singly)
        for o, dtype in enumerate(self.outputs):
            place = f"(first + lane) * by{o} + (start + column) * ky{o}"
            put(depth + 3, f"store_{o}(y{o}, {place}, {dtype}(back{o}[column * {_FEW} + lane]))")


def source(scan: Scan, code: str, stores: bool) -> str:
    """Write the loop of a scan for one dtype: one that stores what each place gives, or what is carried at the end."""
    return _Writer(scan, code, stores).source()


def joining_source(scan: Scan, code: str) -> str:
    """Write the loop that joins what pieces give."""
    carried, dtypes = carried_by(scan, code), _carried_dtypes(scan, code)
    count, numbers = len(dtypes), range(len(carried.identity))
    core = 4 * count
    text = ["def loop(args, dims, steps, data):", "    for b in range(dims[0]):"]

    def put(depth: int, *lines: str) -> None:
        text.extend("    " * depth + line for line in lines)

    for s in numbers:
        for name, operand in (("p", 0), ("g", count), ("before", 2 * count), ("after", 3 * count)):
            place = operand + s
            put(2, f"{name}{s} = {dtypes[s]}_pointer(args[{place}])", f"b{name}{s} = b * (steps[{place}] // 8)")
        put(2, f"kp{s} = steps[{core + s}] // 8", f"kbefore{s} = steps[{core + count + s}] // 8")
        put(2, f"first{s} = g{s}[bg{s}]")
    put(2, "for i in range(dims[1]):")
    put(3, *(f"second{s} = p{s}[bp{s} + i * kp{s}]" for s in numbers))
    put(3, *(f"before{s}[bbefore{s} + i * kbefore{s}] = first{s}" for s in numbers))
    names = {s: f"first{s}" for s in numbers} | {len(numbers) + s: f"second{s}" for s in numbers}
    lines, joined = write(carried.joined, wide_dtype(code), names)
    put(3, *lines, *(f"new{s} = {dtypes[s]}({value})" for s, value in enumerate(joined)))
    put(3, *(f"first{s} = new{s}" for s in numbers))
    put(2, *(f"after{s}[bafter{s}] = first{s}" for s in numbers))
    put(1, "clear_exceptions()")
    return "\n".join(text) + "\n"
