"""Reductions of CuPy arrays over any axes, by kernels generated from `kernels.reductions`.

An array is seen as (outer, k, inner) elements, the middle one reduced, each with a step: most arrays are so without a
copy, transposed ones too. Three layouts of threads read it. *Groups*: up to 32 threads a line, joined by shuffles,
several lines a block; with one thread a line, neighbouring threads take neighbouring columns. *Blocks*: a block a line,
for long ones. *Columns*: a block takes up to 32 neighbouring columns, several threads each, joined in shared memory.
Where there are too few lines to keep a GPU busy, blocks take pieces of them, and a second pass takes the pieces'
results. How many pieces there are follows from shape and steps alone, and nothing is added atomically: results are the
same at every run. Reductions with several stages read their line again in each: it comes out of the caches then.

There is little float64 on many GPUs, so float32 is not accumulated in it as on the CPU. Sums of both floating dtypes
carry the error of each addition along (two_sum), through threads, warps and blocks: with u half the spacing of numbers
at 1, a pass is off by u |sum| + 2 n^2 u^2 sum |x| at most (Ogita, Rump, Oishi, SIAM J. Sci. Comput. 26, 2005,
proposition 4.5), and a second pass adds u times the sum of the pieces' magnitudes. Products carry the error of each
multiplication likewise; a second pass adds u for each piece. What passes the limits of float32 on the way, and on the
CPU would come back, is lost.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cache as once
from functools import lru_cache, partial
from typing import Any, NamedTuple

import numpy as np

from .. import reductions
from ..formula import source as write
from ..formula import substitute, variable
from ..reductions import Reduction
from . import launch
from .folding import Folding, joined_in_block, joined_in_columns, joined_in_warp, shuffled

GROUPS, BLOCKS, COLUMNS = "groups", "blocks", "columns"

#: Longer lines have a block each.
_SHORT = 1024
#: Columns no longer than this have one thread each, and also where there are as many as _MANY.
_LOW = 32
_MANY = 1 << 16
#: Blocks that keep any GPU busy: lines are cut into pieces to come near it, pieces of no less than _PIECE elements.
_BUSY = 1024
_PIECE = 8192
#: The least rows that a thread of the columns' layout adds up in a piece.
_ROWS = 32
#: The most blocks of one launch; they take what is left in turns.
_MOST = 1 << 20
#: The most threads of a block that has a line, which leaves 64 registers to each.
_MOST_THREADS = 1024
#: Loads under way at once in a thread.
_UNROLL = 4

#: Reductions that may be done in parts: what is done to each part, and then to the results.
_PARTS = {name: (name, name) for name in ("sum", "prod", "amax", "amin", "logsumexp")} | {"mean": ("sum", "mean")}

#: The whole numbers that every kernel takes behind its pointers, before the steps of each operand.
_WHOLE = ("outer", "inner", "k", "count", "chunks", "piece", "shift")


# ---- what is carried along ------------------------------------------------------------------------------------------


def result_of(reduction: Reduction, number: str) -> str:
    """Give the dtype of a reduction's results; integers add up in 64 bits, as NumPy's do."""
    kind = np.dtype(number).kind
    if kind == "f" or not reduction.accumulates:
        return number
    return "uint64" if kind == "u" else "int64"


class _Stage(Folding):
    """One stage of a reduction."""

    def __init__(self, reduction: Reduction, s: int, number: str, wide: str) -> None:
        stage = reduction.stages[s]
        super().__init__(f"stage{s}", stage.combine, stage.identity, number, wide)
        names = {reduction.arity + r: f"result{r}" for r in range(s)}
        self.s, self.value = s, write([stage.value], number, names)

    def take_element(self) -> list[str]:
        """Take in the element that the inputs x0, x1, ... are at."""
        lines, (element,) = self.value
        return [*lines, *self.take(element)]


def _same(lines: list[str], place: str) -> list[str]:
    return lines


# ---- kernels --------------------------------------------------------------------------------------------------------


class _Writer:
    def __init__(self) -> None:
        self.lines: list[str] = []

    def put(self, depth: int, *lines: str) -> None:
        self.lines += ["    " * depth + line for line in lines]


def signature(reduction: Reduction, number: str) -> tuple[str, ...]:
    """Give the parameters of a reduction's kernels."""
    pointers = [f"{number}*"] * reduction.arity + [f"{result_of(reduction, number)}*"]
    return (*pointers, *["int64"] * (len(_WHOLE) + 3 * len(pointers)))


def source(reduction: Reduction, number: str, layout: str, vector: bool) -> str:
    """Write the kernel of a reduction for one dtype and layout of threads.

    `vector`: elements along the line are neighbours, and lines begin at multiples of 16 bytes.
    """
    operands = [*range(reduction.arity), "o"]
    pointers = [f"p{i}" for i in range(reduction.arity)] + ["o"]
    steps = [f"{axis}{i}" for i in operands for axis in "bkn"]
    wide = shuffled(result_of(reduction, number))
    writer = _Writer()
    put = writer.put
    if layout == BLOCKS:
        put(0, f"BOUNDS = ({_MOST_THREADS},)")
    put(0, f"def kernel({', '.join([*pointers, *_WHOLE, *steps])}):")
    folds = [_Stage(reduction, s, number, wide) for s in range(len(reduction.stages))]
    if layout != GROUPS:
        size = 32 if layout == BLOCKS else launch.THREADS
        for c in range(max(len(fold.carried) for fold in folds)):
            put(1, f"shared{c}_{wide} = cuda.shared.array({size}, {wide})")
    put(1, "thread = int64(cuda.threadIdx.x)", "threads = int64(cuda.blockDim.x)")
    {GROUPS: _open_groups, BLOCKS: _open_blocks, COLUMNS: _open_columns}[layout](put)
    for i in operands:
        put(2, f"q{i} = b * b{i} + j * n{i}")
    for fold in folds:
        put(2, *fold.begin())
        _elements(put, 2, reduction, number, vector, partial(_same, fold.take_element()))
        {GROUPS: _join_groups, BLOCKS: _join_blocks, COLUMNS: _join_columns}[layout](put, fold)
        put(2, f"result{fold.s} = {fold.end()}")
    stages = len(folds)
    names = {reduction.arity + s: f"result{s}" for s in range(stages)}
    if reduction.spreads:
        names[reduction.arity + stages] = f"{number}(count)"
        kept = [stage for stage in reduction.stages if stage.kept]
        # to compute a kept value again is cheaper than to write and read it
        again = {variable(reduction.arity + stages + 1): stage.value for stage in kept}
        lines, (value,) = write([substitute(reduction.result, again)], number, names)

        _elements(
            put, 2, reduction, number, vector, lambda place: [*lines, f"{place} = {number}({value})"], stores=True
        )
    else:
        names[reduction.arity + stages] = f"{wide}(count)"
        lines, (value,) = write([reduction.result], wide, names)
        put(2, "if writes:", *(f"    {line}" for line in lines))
        put(3, f"o[qo + chunk * ko] = {result_of(reduction, number)}({value})")
    put(2, "item += int64(cuda.gridDim.x)" if layout != GROUPS else "item += int64(cuda.gridDim.x) * lines")
    return "\n".join(writer.lines) + "\n"


# Each opening sets: the line (b, j) and which of its elements to take (from `begin` + `lane` in steps of `step`, before
# `stop`), the number of the piece, and whether the thread is the one to write the result. All threads of a block go
# through the same number of turns, because they wait for each other.


def _open_groups(put: Callable[..., None]) -> None:
    put(
        1,
        "step = int64(1) << shift",
        "lane = thread & (step - 1)",
        "lines = threads >> shift",
        "begin = int64(0)",
        "chunk = int64(0)",
        "item = int64(cuda.blockIdx.x) * lines",
        "while item < outer * inner:",
        "    b = item + (thread >> shift)",
        "    j = int64(0)",
        "    inside = b < outer * inner",
        "    stop = k if inside else int64(0)",
        "    writes = inside and lane == 0",
        "    if inner != 1:",
        "        j = b % inner",
        "        b = b // inner",
    )


def _open_blocks(put: Callable[..., None]) -> None:
    put(
        1,
        "step = threads",
        "lane = thread",
        "writes = thread == 0",
        "item = int64(cuda.blockIdx.x)",
        "while item < outer * inner * chunks:",
        "    chunk = item % chunks",
        "    line = item // chunks",
        "    j = line % inner",
        "    b = line // inner",
        "    begin = chunk * piece",
        "    stop = min(begin + piece, k)",
    )


def _open_columns(put: Callable[..., None]) -> None:
    put(
        1,
        "width = int64(1) << shift",
        "lane = thread >> shift",
        "step = threads >> shift",
        "tiles = (inner + width - 1) >> shift",
        "item = int64(cuda.blockIdx.x)",
        "while item < outer * tiles * chunks:",
        "    j = item % tiles * width + (thread & (width - 1))",
        "    chunk = item // tiles % chunks",
        "    b = item // tiles // chunks",
        "    inside = j < inner",
        "    begin = chunk * piece",
        "    stop = min(begin + piece, k) if inside else int64(0)",
        "    writes = inside and lane == 0",
    )


def _elements(
    put: Callable[..., None],
    depth: int,
    reduction: Reduction,
    number: str,
    vector: bool,
    act: Callable[[str], list[str]],
    stores: bool = False,
) -> None:
    """Write loops over a thread's elements of the line, loading a few before the first is used.

    `act` gives what is done to each, for the place where its result goes.
    """
    inputs = range(reduction.arity)
    if vector:
        lanes = 16 // np.dtype(number).itemsize
        put(depth, f"whole = begin + max(stop - begin, int64(0)) // {lanes} * {lanes}", f"i = begin + lane * {lanes}")
        put(depth, "while i < whole:", *(f"    v{i} = load_vector(p{i}, q{i} + i)" for i in inputs))
        for u in range(lanes):
            put(depth + 1, *(f"x{i} = v{i}[{u}]" for i in inputs))
            put(depth + 1, *act(f"y{u}"))
        if stores:
            put(depth + 1, f"store_vector(o, qo + i, ({', '.join(f'y{u}' for u in range(lanes))},))")
        put(depth + 1, f"i += step * {lanes}")
        put(depth, "i = whole + lane")
    else:
        put(depth, "i = begin + lane", f"while i + {_UNROLL - 1} * step < stop:")
        for u in range(_UNROLL):
            put(depth + 1, *(f"x{i}_{u} = p{i}[q{i} + (i + {u} * step) * k{i}]" for i in inputs))
        for u in range(_UNROLL):
            put(depth + 1, *(f"x{i} = x{i}_{u}" for i in inputs))
            put(depth + 1, *act(f"o[qo + (i + {u} * step) * ko]"))
        put(depth + 1, f"i += {_UNROLL} * step")
    put(depth, "while i < stop:", *(f"    x{i} = p{i}[q{i} + i * k{i}]" for i in inputs))
    put(depth + 1, *act("o[qo + i * ko]"))
    put(depth + 1, "i += step")


def _join_groups(put: Callable[..., None], fold: _Stage) -> None:
    put(2, *joined_in_warp(fold, "step"))


def _join_blocks(put: Callable[..., None], fold: _Stage) -> None:
    put(2, *joined_in_block(fold))


def _join_columns(put: Callable[..., None], fold: _Stage) -> None:
    put(2, *joined_in_columns(fold, "lane", "step"))
    put(2, *(f"{name} = shared{c}_{fold.wide}[thread & (width - 1)]" for c, name in enumerate(fold.carried)))


@once
def _texts(reduction: Reduction, number: str, layout: str, vector: bool) -> tuple[str, str, tuple[str, ...]]:
    """Give a kernel's name, text and signature."""
    name = f"{reduction.name}_{layout}_{'vector_' if vector else ''}{number}"
    return name, source(reduction, number, layout, vector), signature(reduction, number)


# ---- plans ----------------------------------------------------------------------------------------------------------


class _Array(NamedTuple):
    """An array as a plan knows it: which one it is, and its layout in elements."""

    slot: int
    number: str
    shape: tuple[int, ...]
    steps: tuple[int, ...]
    aligned: bool


class _Dimension(NamedTuple):
    """Axes that are next to each other in every array, as one, with the step of each array."""

    size: int
    axes: tuple[int, ...]
    reduced: bool
    steps: tuple[int, ...]


class _Space(NamedTuple):
    """The elements to reduce: sizes, and the steps of each array."""

    outer: int
    k: int
    inner: int
    steps: tuple[tuple[int, int, int], ...]


class _Launch(NamedTuple):
    """One kernel to launch: its name, text and signature, and its arguments."""

    kernel: tuple[str, str, tuple[str, ...]]
    blocks: int
    threads: int
    slots: tuple[int, ...]
    numbers: tuple[int, ...]


class _Plan:
    """What to launch for arrays of one layout: slots are the arrays given, the result, and room in between."""

    def __init__(self, arrays: int) -> None:
        self.arrays = arrays
        self.rooms: list[tuple[tuple[int, ...], str]] = []
        self.launches: list[_Launch] = []
        self.order: tuple[int, ...] | None = None  # of the result's axes, if they are not as they lie in memory

    def room(self, shape: tuple[int, ...], number: str) -> _Array:
        """Reserve a contiguous array; the first is the result."""
        self.rooms.append((shape, number))
        steps = tuple(math.prod(shape[axis + 1 :]) for axis in range(len(shape)))
        return _Array(self.arrays + len(self.rooms) - 1, number, shape, steps, True)

    def run(self, *arrays: Any) -> Any:
        """Launch the kernels and give the result."""
        import cupy

        rooms = [cupy.empty(shape, number) for shape, number in self.rooms]
        addresses = [array.data.ptr for array in (*arrays, *rooms)]
        for kernel, blocks, threads, slots, numbers in self.launches:
            launch.kernel(*kernel)(blocks, threads, *[addresses[slot] for slot in slots], *numbers)
        return rooms[0] if self.order is None else rooms[0].transpose(self.order)

    def reduce(self, reduction: Reduction, x: _Array, axes: tuple[int, ...], y: _Array, count: int) -> bool:
        """Plan to reduce x into y, whose axes are those of x that are kept; gives False where x is to be copied."""
        kept = tuple(axis for axis in range(len(x.shape)) if axis not in axes)
        into = [0] * len(x.shape)
        for axis, step in zip(kept, y.steps, strict=True):
            into[axis] = step
        dimensions = _dimensions(x.shape, _order(x.shape, x.steps), axes, (x.steps, tuple(into)))
        reduced = [d for d in dimensions if d.reduced]
        if len(reduced) > 1 and reduction.name in _PARTS:
            first, last = (reductions.TABLE[name] for name in _PARTS[reduction.name])
            here = reduced[-1].axes
            left = [axis for axis in range(len(x.shape)) if axis not in here]
            part = self.room(tuple(x.shape[axis] for axis in left), result_of(first, x.number))
            rest = tuple(place for place, axis in enumerate(left) if axis in axes)
            return self.reduce(first, x, here, part, reduced[-1].size) and self.reduce(last, part, rest, y, count)
        if len(reduced) > 1 or len(dimensions) - len(reduced) > 2:
            return False
        self.fold(reduction, _space(dimensions, 2), [x, y], count)
        return True

    def fold(self, reduction: Reduction, space: _Space, arrays: Sequence[_Array], count: int) -> None:
        """Plan the kernels of one space; the last array is the result."""
        outer, k, inner, steps = space
        number = arrays[0].number
        lanes = 16 // np.dtype(number).itemsize
        columns = inner > 1 and abs(steps[0][2]) < abs(steps[0][1])
        vectors = zip(arrays, steps, strict=True) if reduction.spreads else zip(arrays[:-1], steps[:-1], strict=True)
        vector = not columns and k >= lanes and all(_fits(a, s, space, lanes) for a, s in vectors)
        lines = outer * inner
        least = 0
        if columns and k > _LOW and lines < _MANY:
            layout = COLUMNS
            shift = min(_exponent(inner), 5)
            threads = min(launch.THREADS, max(32, 1 << (_exponent(k) + shift)))
            items = outer * -(-inner // (1 << shift))
            grain = threads >> shift
            least = grain * _ROWS
        elif columns or k <= _SHORT:
            layout = GROUPS
            shift = 0 if columns else min(_exponent(-(-k // lanes) if vector else k), 5)
            threads = min(launch.THREADS, max(32, 1 << (_exponent(lines) + shift)))
            items = -(-lines // (threads >> shift))
        else:
            layout, shift = BLOCKS, 0
            threads = min(_MOST_THREADS, max(64, 1 << _exponent(k // 16)))
            items, grain, least = lines, 64, _PIECE
        chunks, piece = 1, k
        if least and reduction.name in _PARTS and min(_BUSY // items, k // least) > 1:
            piece = -(-k // min(_BUSY // items, k // least))
            piece = -(-piece // grain) * grain
            chunks = -(-k // piece)
            threads = min(threads, launch.THREADS)
        *given, result = arrays
        if chunks > 1:
            first, last = (reductions.TABLE[name] for name in _PARTS[reduction.name])
            reduction, result = first, self.room((lines * chunks,), result_of(first, number))
            # beside each other in memory, as they will be read
            part = (chunks * inner, inner, 1) if layout == COLUMNS else (chunks * inner, 1, chunks)
            steps = (*steps[:-1], part)
        numbers = (outer, inner, k, count, chunks, piece, shift, *(step for mine in steps for step in mine))
        slots = tuple(array.slot for array in (*given, result))
        kernel = _texts(reduction, number, layout, vector)
        self.launches.append(_Launch(kernel, min(items * chunks, _MOST), threads, slots, numbers))
        if chunks > 1:
            self.fold(last, _Space(outer, chunks, inner, (part, space.steps[-1])), [result, arrays[-1]], count)


def _exponent(n: int) -> int:
    """Give the exponent of the least power of two that is not below n."""
    return max(n - 1, 0).bit_length()


def _fits(array: _Array, steps: tuple[int, int, int], space: _Space, lanes: int) -> bool:
    """Tell whether lines begin at multiples of 16 bytes and go on without gaps."""
    outer, along, inner = steps
    begins = (outer % lanes == 0 or space.outer == 1) and (inner % lanes == 0 or space.inner == 1)
    return array.aligned and along == 1 and begins


def _order(shape: tuple[int, ...], steps: tuple[int, ...]) -> tuple[int, ...]:
    """Order axes as they are in memory, those with the largest steps first."""
    axes = range(len(shape))
    if any(step == 0 and size > 1 for step, size in zip(steps, shape, strict=True)):
        return tuple(axes)
    return tuple(sorted(axes, key=lambda axis: -abs(steps[axis])))


def _dimensions(
    shape: tuple[int, ...], order: tuple[int, ...], axes: tuple[int, ...], steps: Sequence[tuple[int, ...]]
) -> list[_Dimension]:
    """Join axes that are next to each other in every array, and leave out those of size 1."""
    dimensions: list[_Dimension] = []
    for axis in order:
        size, mine = shape[axis], tuple(s[axis] for s in steps)
        if size == 1:
            continue
        last = dimensions[-1] if dimensions else None
        if last and last.reduced == (axis in axes) and last.steps == tuple(step * size for step in mine):
            dimensions[-1] = _Dimension(last.size * size, (*last.axes, axis), last.reduced, mine)
        else:
            dimensions.append(_Dimension(size, (axis,), axis in axes, mine))
    return dimensions


def _space(dimensions: list[_Dimension], arrays: int) -> _Space:
    """Give the space of at most two dimensions that are kept and one that is reduced."""
    none = _Dimension(1, (), False, (0,) * arrays)
    along = next((d for d in dimensions if d.reduced), none)
    kept = [d for d in dimensions if not d.reduced]
    if len(kept) < 2:
        columns = kept and abs(kept[0].steps[0]) < abs(along.steps[0])
        kept = [none, *kept] if columns else [*kept, none, none]
    steps = tuple(zip(kept[0].steps, along.steps, kept[1].steps, strict=True))
    return _Space(kept[0].size, along.size, kept[1].size, steps)


# What is planned is known by dtypes, shapes and strides, and whether addresses are multiples of 16.
_Layout = tuple[str, tuple[int, ...], tuple[int, ...], bool]


def _layout(x: Any) -> _Layout:
    return x.dtype.char, x.shape, x.strides, x.data.ptr % 16 == 0


def _array(slot: int, layout: _Layout) -> _Array:
    dtype = np.dtype(layout[0])
    return _Array(slot, dtype.name, layout[1], tuple(stride // dtype.itemsize for stride in layout[2]), layout[3])


@lru_cache(4096)
def _reduction_plan(name: str, axes: tuple[int, ...], layout: _Layout) -> _Plan | None:
    """Plan a reduction; gives None where the array is to be copied."""
    reduction = reductions.TABLE[name]
    plan = _Plan(1)
    x = _array(0, layout)
    y = plan.room(tuple(size for axis, size in enumerate(x.shape) if axis not in axes), result_of(reduction, x.number))
    count = math.prod(x.shape[axis] for axis in axes)
    size = math.prod(y.shape)
    if size and not count:
        plan.fold(reduction, _Space(size, 0, 1, ((0, 0, 0), (1, 0, 0))), [x, y], count)
    return plan if not size or not count or plan.reduce(reduction, x, axes, y, count) else None


@lru_cache(4096)
def _spread_plan(name: str, axis: int, layouts: tuple[_Layout, ...]) -> _Plan | None:
    """Plan a reduction that spreads; gives None where the arrays are to be copied."""
    arrays = [_array(slot, layout) for slot, layout in enumerate(layouts)]
    x = arrays[0]
    plan = _Plan(len(arrays))
    order = _order(x.shape, x.steps)  # the result is laid out as x is
    y = plan.room(tuple(x.shape[a] for a in order), x.number)
    back = tuple(order.index(a) for a in range(len(order)))
    plan.order = None if order == back == tuple(range(len(order))) else back
    if not math.prod(x.shape):
        return plan
    y = y._replace(steps=tuple(y.steps[a] for a in back))
    dimensions = _dimensions(x.shape, order, (axis,), [a.steps for a in (*arrays, y)])
    if sum(not d.reduced for d in dimensions) > 2:
        return None
    space = _space(dimensions, len(arrays) + 1)
    plan.fold(reductions.TABLE[name], space, [*arrays, y], space.k)
    return plan


# ---- arrays ---------------------------------------------------------------------------------------------------------


def reduce_array(name: str, x: Any, axes: tuple[int, ...]) -> Any:
    """Reduce an array over `axes` (ascending), dropping them.

    Raises TypeError for dtypes that are not real numbers or truth values.
    """
    dtype = _dtype(name, x.dtype.char)
    if dtype is not None:
        x = x.astype(dtype)
    plan = _reduction_plan(name, axes, _layout(x))
    if plan is None:
        kept = tuple(axis for axis in range(x.ndim) if axis not in axes)
        return reduce_array(name, x.transpose(kept + axes).copy(), tuple(range(len(kept), x.ndim)))
    return plan.run(x)


def spread_array(name: str, axis: int, *arrays: Any) -> Any:
    """Run a reduction that gives a value for each element along one axis of arrays of one shape.

    Raises TypeError for dtypes that are not real numbers or truth values.
    """
    if not arrays[0].ndim:
        return spread_array(name, 0, *(a.reshape(1) for a in arrays)).reshape(())
    dtype = _dtype(name, *(a.dtype.char for a in arrays))
    if dtype is not None:
        arrays = tuple(a if a.dtype == dtype else a.astype(dtype) for a in arrays)
    plan = _spread_plan(name, axis, tuple(map(_layout, arrays)))
    if plan is None:
        return spread_array(name, axis, *(a if a.flags.c_contiguous else a.copy() for a in arrays))
    return plan.run(*arrays)


@once
def _dtype(name: str, *codes: str) -> np.dtype[Any] | None:
    """Give the dtype that arrays are to be converted to, None where they need not be."""
    dtypes = [np.dtype(code) for code in codes]
    if any(dtype.kind not in "biuf" for dtype in dtypes):
        raise TypeError(f"{name}: no kernel for dtype {dtypes[0]}: convert to a real dtype first")
    dtype = np.result_type(*dtypes)
    if reductions.TABLE[name].floating or dtype.kind == "f":
        dtype = np.result_type(dtype, np.float32)
    return None if all(dtype == mine for mine in dtypes) else dtype
