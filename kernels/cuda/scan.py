"""Scans of CuPy arrays along any axis, by kernels generated from `kernels.scans`.

An array is seen as lines, (outer, k, inner) elements with a step each, the middle ones scanned. Short lines, and those
of which there are very many, have a thread each, neighbouring threads neighbouring lines. Others have a block each, a
few neighbouring elements a thread: a thread takes in its own, threads of a warp join what they have by shuffles, warps
by shared memory, and each thread then goes through its elements again, from what comes before them. Where there are
too few lines to keep a GPU busy, blocks take pieces of them: one launch for what each piece gives, one for what comes
before each, one for the results. How many pieces there are follows from the shape alone: results are the same at every
run.

Sums are carried in their own dtype with their rounding errors, as reductions are. Products, and the recurrences of
gradients, are carried in float64: what threads and pieces multiply before they know what comes before may pass the
limits of a dtype where the results do not. For float64 products it may still.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache as once
from functools import lru_cache
from typing import Any

import numpy as np

from .. import scans
from ..formula import source as write
from ..scans import Carried, Scan
from . import launch
from .accumulators import shuffled
from .reduction import _Array, _array, _dimensions, _Layout, _layout, _order, _Space, _space

THREADS, BLOCKS, TOTALS, JOINS = "threads", "blocks", "totals", "joins"

#: Lines up to this length have a thread each, and those of which there are at least so many.
_SHORT = 32
_MANY = 1 << 14
#: With fewer lines than _BUSY they are cut into pieces of at least _PIECE elements, to have about that many blocks.
_BUSY = 512
_PIECE = 4096
#: Neighbouring elements that a thread of a block takes in at once.
_OWN = 4
#: The most threads of a block, and blocks of a launch, which take what is left in turns.
_MOST_THREADS = 256
_MOST = 1 << 20

_WHOLE = ("outer", "inner", "k", "chunks", "piece")


# ---- dtypes ---------------------------------------------------------------------------------------------------------


def result_of(scan: Scan, number: str) -> str:
    """Give the dtype of a scan's values; whole numbers add up in 64 bits, as NumPy's do."""
    kind = np.dtype(number).kind
    if kind == "f" or not scan.accumulates:
        return number
    return "uint64" if kind == "u" else "int64"


def _carried(scan: Scan, number: str) -> Carried:
    """Give what is carried: sums of whole numbers have no errors."""
    return scan.narrow if np.dtype(number).kind != "f" and scan.narrow.joined else scan.carried


def _states(scan: Scan, number: str) -> list[str]:
    """List the dtypes of what is carried, which must be such that can be shuffled."""
    floating = np.dtype(number).kind == "f"
    wide = "float64" if floating and not scan.splits else shuffled(result_of(scan, number))
    count = len(_carried(scan, number).identity)
    return [wide] * (count - scan.places) + ["int64"] * scan.places


# ---- kernels --------------------------------------------------------------------------------------------------------


class _Writer:
    """Writes the kernel of a scan for one dtype and layout of threads; `begun` where it is given what to begin with."""

    def __init__(self, scan: Scan, number: str, layout: str, begun: bool) -> None:
        self.scan, self.number, self.layout, self.begun = scan, number, layout, begun
        self.carried, self.states = _carried(scan, number), _states(scan, number)
        self.wide, self.numbers = self.states[0], range(len(self.states))
        given = [result_of(scan, number), *["int64"] * scan.places]
        self.inputs = self.states if layout == JOINS else [number] * scan.arity
        self.outputs = self.states if layout in (TOTALS, JOINS) else given
        self.lines: list[str] = []

    def put(self, depth: int, *lines: str) -> None:
        self.lines += ["    " * depth + line for line in lines]

    def signature(self) -> tuple[str, ...]:
        pointers = [*self.inputs, *self.outputs, *(self.states if self.begun else [])]
        steps = 3 * (len(self.inputs) + len(self.outputs))
        return (*(f"{dtype}*" for dtype in pointers), *["int64"] * (len(_WHOLE) + steps))

    def source(self) -> str:
        put = self.put
        operands = [*(f"x{i}" for i in range(len(self.inputs))), *(f"y{o}" for o in range(len(self.outputs)))]
        begins = [f"g{s}" for s in self.numbers] if self.begun else []
        steps = [f"{axis}_{operand}" for operand in operands for axis in "bkn"]
        if self.layout != THREADS:
            put(0, f"BOUNDS = ({_MOST_THREADS},)")
        put(0, f"def kernel({', '.join([*operands, *begins, *_WHOLE, *steps])}):")
        if self.layout != THREADS:
            put(1, *(f"shared{s} = cuda.shared.array(8, {dtype})" for s, dtype in enumerate(self.states)))
        put(1, "thread = int64(cuda.threadIdx.x)", "threads = int64(cuda.blockDim.x)")
        if self.layout == THREADS:
            put(1, "item = int64(cuda.blockIdx.x) * threads + thread", "while item < outer * inner:", "    line = item")
        else:
            put(1, "item = int64(cuda.blockIdx.x)", "while item < outer * inner * chunks:")
            put(2, "chunk = item % chunks", "line = item // chunks")
        put(2, "b = line // inner", "j = line % inner")
        put(2, *(f"q_{operand} = b * b_{operand} + j * n_{operand}" for operand in operands))
        begin = [f"g{s}[item]" for s in self.numbers] if self.begun else self._identity()
        put(2, *(f"running{s} = {value}" for s, value in enumerate(begin)))
        if self.layout == THREADS:
            self._one_by_one()
            put(2, "item += int64(cuda.gridDim.x) * threads")
        else:
            put(2, "start = chunk * piece", "stop = min(start + piece, k)", "while start < stop:")
            self._together()
            put(3, f"start += threads * {_OWN}")
            if self.layout == TOTALS:
                put(2, "if thread == 0:")
                put(3, *(f"y{s}[q_y{s} + chunk * k_y{s}] = running{s}" for s in self.numbers))
            put(2, "item += int64(cuda.gridDim.x)")
        return "\n".join(self.lines) + "\n"

    def _identity(self) -> list[str]:
        texts = []
        for value, dtype in zip(self.carried.identity, self.states, strict=True):
            if math.isfinite(value):
                texts.append(f"{dtype}({int(value)})")
            elif np.dtype(dtype).kind == "f":
                texts.append(f"{dtype}(float({str(value)!r}))")
            else:
                limits = (0, 1) if self.number == "bool" else (np.iinfo(self.number).min, np.iinfo(self.number).max)
                texts.append(f"{dtype}({int(limits[value > 0])})")
        return texts

    def _take(self, name: str, elements: list[str], place: str) -> list[str]:
        """Take in an element, or with `JOINS` what a piece gives."""
        if self.layout == JOINS:
            return self._join(name, [f"{name}{s}" for s in self.numbers], elements)
        names = {i: element for i, element in enumerate(elements)} | {self.scan.arity: place}
        names |= {self.scan.arity + 1 + s: f"{name}{s}" for s in self.numbers}
        lines, taken = write(self.carried.taken, self.wide, names)
        return [*lines, *self._assigned(name, taken)]

    def _join(self, name: str, first: list[str], second: list[str]) -> list[str]:
        """Write that numbers are what two stretches give together."""
        names = dict(enumerate([*first, *second]))
        lines, joined = write(self.carried.joined, self.wide, names)
        return [*lines, *self._assigned(name, joined)]

    def _assigned(self, name: str, values: list[str]) -> list[str]:
        new = [f"new{s} = {dtype}({value})" for s, (dtype, value) in enumerate(zip(self.states, values, strict=True))]
        return [*new, *(f"{name}{s} = new{s}" for s in self.numbers)]

    def _stored(self, name: str, place: str) -> list[str]:
        lines, values = write(self.carried.results, self.wide, {s: f"{name}{s}" for s in self.numbers}, "u")
        pairs = enumerate(zip(self.outputs, values, strict=True))
        return [*lines, *(f"y{o}[q_y{o} + ({place}) * k_y{o}] = {dtype}({value})" for o, (dtype, value) in pairs)]

    def _loaded(self, name: str, place: str) -> list[str]:
        wide = self.states if self.layout == JOINS else [self.wide] * len(self.inputs)
        return [f"{name}{i} = {dtype}(x{i}[q_x{i} + ({place}) * k_x{i}])" for i, dtype in enumerate(wide)]

    def _one_by_one(self) -> None:
        put = self.put
        put(2, "i = int64(0)", "while i < k:")
        put(3, *self._loaded("element", "i"))
        put(3, *self._take("running", [f"element{i}" for i in range(len(self.inputs))], "i"))
        put(3, *self._stored("running", "i"), "i += 1")

    def _together(self) -> None:
        """Write one turn of a block: each thread's own elements, what comes before them, and the results."""
        put, numbers = self.put, self.numbers
        put(3, f"i = start + thread * {_OWN}")
        put(3, *(f"own{s} = {value}" for s, value in enumerate(self._identity())))
        elements = [[f"element{u}_{i}" for i in range(len(self.inputs))] for u in range(_OWN)]
        dtypes = self.states if self.layout == JOINS else [self.wide] * len(self.inputs)
        for u, names in enumerate(elements):
            put(3, *(f"{name} = {dtype}(0)" for name, dtype in zip(names, dtypes, strict=True)))
            put(3, f"if i + {u} < stop:", *(f"    {line}" for line in self._loaded(f"element{u}_", f"i + {u}")))
            put(4, *self._take("own", names, f"i + {u}"))
        # what comes before in the warp, and what the warp gives; of the two halves, the other is before or behind
        put(3, *(f"before{s} = {value}" for s, value in enumerate(self._identity())))
        put(3, "offset = 1", "while offset < 32:")
        for s, dtype in enumerate(self.states):
            if dtype == "uint64":  # shuffles know signed numbers only
                put(4, f"other{s} = uint64(cuda.shfl_xor_sync(0xffffffff, int64(own{s}), offset))")
            else:
                put(4, f"other{s} = cuda.shfl_xor_sync(0xffffffff, own{s}, offset)")
        other, own = [f"other{s}" for s in numbers], [f"own{s}" for s in numbers]
        put(4, "if thread & offset != 0:")
        put(5, *self._join("before", other, [f"before{s}" for s in numbers]), *self._join("own", other, own))
        put(4, "else:", *(f"    {line}" for line in self._join("own", own, other)), "offset = offset * 2")
        put(3, "cuda.syncthreads()", "if thread & 31 == 0:")
        put(4, *(f"shared{s}[thread >> 5] = own{s}" for s in numbers))
        put(3, "cuda.syncthreads()", *(f"mine{s} = running{s}" for s in numbers))
        put(3, "warp = int64(0)", "while warp < threads >> 5:")
        put(4, "if warp == thread >> 5:", *(f"    mine{s} = running{s}" for s in numbers))
        put(4, *(f"other{s} = shared{s}[warp]" for s in numbers))
        put(4, *self._join("running", [f"running{s}" for s in numbers], other), "warp += 1")
        if self.layout == TOTALS:
            return
        put(3, *self._join("mine", [f"mine{s}" for s in numbers], [f"before{s}" for s in numbers]))
        for u, names in enumerate(elements):
            put(3, f"if i + {u} < stop:")
            if self.layout == JOINS:  # what comes before each piece
                put(4, *(f"y{s}[q_y{s} + (i + {u}) * k_y{s}] = mine{s}" for s in numbers))
            put(4, *self._take("mine", names, f"i + {u}"))
            if self.layout != JOINS:
                put(4, *self._stored("mine", f"i + {u}"))


@once
def _texts(scan: Scan, number: str, layout: str, begun: bool = False) -> tuple[str, str, tuple[str, ...]]:
    """Give a kernel's name, text and signature."""
    writer = _Writer(scan, number, layout, begun)
    return f"{scan.name}_{layout}_{'begun_' if begun else ''}{number}", writer.source(), writer.signature()


# ---- plans ----------------------------------------------------------------------------------------------------------

_Steps = tuple[int, int, int]


class _Plan:
    """What to launch for arrays of one layout: slots are the arrays given, the results, and rooms in between."""

    def __init__(self, scan: Scan, arrays: list[_Array], results: list[str]) -> None:
        self.scan, self.number, self.results = scan, arrays[0].number, results
        self.rooms: list[tuple[int, str]] = []
        self.launches: list[tuple[tuple[str, str, tuple[str, ...]], int, int, tuple[int, ...], tuple[int, ...]]] = []
        self.count = len(arrays) + len(results)

    def room(self, size: int) -> list[int]:
        """Reserve room for what is carried."""
        states = _states(self.scan, self.number)
        self.rooms += [(size, dtype) for dtype in states]
        return [self.count + len(self.rooms) - len(states) + s for s in range(len(states))]

    def scanned(self, space: _Space, arrays: int) -> None:
        """Plan the kernels of one space, whose steps are those of the arrays and then of the results."""
        outer, k, inner, steps = space
        lines, slots = outer * inner, list(range(self.count))
        whole = (outer, inner, k, 1, k)
        if k <= _SHORT or lines >= _MANY:
            threads = min(launch.THREADS, max(32, 1 << (lines - 1).bit_length()))
            self.launch(THREADS, min(-(-lines // threads), _MOST), threads, slots, whole, steps)
            return
        chunks = min(_BUSY // lines, k // _PIECE)
        if chunks < 2:
            self.launch(BLOCKS, min(lines, _MOST), _threads(k), slots, whole, steps)
            return
        piece = -(-k // chunks)
        piece = -(-piece // (_MOST_THREADS * _OWN)) * _MOST_THREADS * _OWN
        chunks = -(-k // piece)
        totals, before = self.room(lines * chunks), self.room(lines * chunks)
        pieces = (outer, inner, k, chunks, piece)
        by_line: list[_Steps] = [(inner * chunks, 1, chunks)] * len(totals)
        self.launch(
            TOTALS, lines * chunks, _threads(piece), slots[:arrays] + totals, pieces, [*steps[:arrays], *by_line]
        )
        joining = (outer, inner, chunks, 1, chunks)
        self.launch(JOINS, lines, _threads(chunks), totals + before, joining, by_line * 2)
        self.launch(BLOCKS, lines * chunks, _threads(piece), slots + before, pieces, steps, True)

    def launch(
        self, layout: str, blocks: int, threads: int, slots: list[int], whole: Any, steps: Any, begun: bool = False
    ) -> None:
        kernel = _texts(self.scan, self.number, layout, begun)
        numbers = (*whole, *(step for mine in steps for step in mine))
        self.launches.append((kernel, blocks, threads, tuple(slots), numbers))

    def run(self, arrays: list[Any], results: list[Any]) -> None:
        """Launch the kernels."""
        import cupy

        rooms = [cupy.empty((size,), dtype) for size, dtype in self.rooms]
        addresses = [array.data.ptr for array in (*arrays, *results, *rooms)]
        for kernel, blocks, threads, slots, numbers in self.launches:
            launch.kernel(*kernel)(blocks, threads, *[addresses[slot] for slot in slots], *numbers)


def _threads(k: int) -> int:
    """Give how many threads go through k elements together."""
    return min(_MOST_THREADS, max(32, 1 << (-(-k // _OWN) - 1).bit_length()))


@lru_cache(4096)
def _plan(name: str, axis: int, layouts: tuple[_Layout, ...], results: tuple[_Layout, ...]) -> _Plan | None:
    """Plan a scan; gives None where arrays are to be copied."""
    arrays = [_array(slot, layout) for slot, layout in enumerate((*layouts, *results))]
    x = arrays[0]
    plan = _Plan(scans.TABLE[name], arrays[: len(layouts)], [array.number for array in arrays[len(layouts) :]])
    if not math.prod(x.shape):
        return plan
    dimensions = _dimensions(x.shape, _order(x), (axis,), [array.steps for array in arrays])
    if sum(not d.reduced for d in dimensions) > 2:
        return None
    plan.scanned(_space(dimensions, len(arrays)), len(layouts))
    return plan


# ---- arrays ---------------------------------------------------------------------------------------------------------


def scan_array(name: str, x: Any, axis: int, reverse: bool) -> Any:
    """Scan an array along an axis; from its last element to its first if `reverse`. Gives (values, places) for extrema.

    Raises TypeError for dtypes that are not real numbers or truth values.
    """
    from ..cpu.scan import kernel_code

    scan = scans.TABLE[name]
    number = np.dtype(kernel_code(scan, x.dtype))
    if not x.ndim:
        results = scan_array(name, x.reshape(1), 0, reverse)
        return tuple(y.reshape(()) for y in results) if scan.places else results.reshape(())
    x = x if x.dtype == number else x.astype(number)
    results = _scanned(scan, [x], axis, reverse, [result_of(scan, number.name), *["int64"] * scan.places])
    return tuple(results) if scan.places else results[0]


def recur(a: Any, b: Any, axis: int, reverse: bool) -> Any:
    """Give y with ``y[i] = b[i] + a[i - 1] * y[i - 1]`` along an axis, or from the other end if `reverse`."""
    import cupy

    nothing = cupy.zeros((*b.shape[:axis], min(1, b.shape[axis]), *b.shape[axis + 1 :]), b.dtype)
    factors = cupy.concatenate([a, nothing] if reverse else [nothing, a], axis)
    return _scanned(scans.recurrence, [factors, b], axis, reverse, [b.dtype.name])[0]


def _scanned(scan: Scan, arrays: list[Any], axis: int, reverse: bool, dtypes: list[str]) -> list[Any]:
    import cupy

    results = [cupy.empty(arrays[0].shape, dtype) for dtype in dtypes]
    turned: Callable[[Any], Any] = lambda array: array[(*[slice(None)] * axis, slice(None, None, -1))]  # noqa: E731
    lines, outs = ([turned(array) for array in group] if reverse else group for group in (arrays, results))
    plan = _plan(scan.name, axis, tuple(map(_layout, lines)), tuple(map(_layout, outs)))
    if plan is None:
        return _scanned(scan, [array.copy() for array in arrays], axis, reverse, dtypes)
    plan.run(lines, outs)
    return results
