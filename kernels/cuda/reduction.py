"""Reductions of CuPy arrays over any axes: which kernels are launched for an array, and in how many pieces.

An array is seen as (outer, k, inner) elements, the middle one reduced, each with a step: most arrays are so without a
copy, transposed ones too. Short lines are for groups of threads, long ones for blocks, and columns whose elements are
far apart for blocks that take neighbouring ones (`reduction_kernels`). Where there are too few lines to keep a GPU
busy, blocks take pieces of them, and a second pass takes the pieces' results. How many pieces there are follows from
shape and steps alone, and nothing is added atomically: results are the same at every run.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache as once
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from .. import reductions
from ..reductions import Reduction
from ..strides import dense, farthest_first, joined
from . import launch
from .reduction_kernels import BLOCKS, COLUMNS, GROUPS, MOST_THREADS, scalars, texts

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


class _Pass(NamedTuple):
    """A kernel to launch: its name, text and signature, and its arguments."""

    kernel: tuple[str, str, tuple[str, ...]]
    blocks: int
    threads: int
    slots: tuple[int, ...]
    numbers: tuple[Any, ...]


def _parts(reduction: Reduction) -> Sequence[tuple[Reduction, Reduction]]:
    """Give what is done to parts of lines, stage by stage, and then to what they gave."""
    return () if reduction.spreads else reduction.parts(None)


class _Plan:
    """What to launch for arrays of one layout: slots are the arrays given, the result, and room in between."""

    def __init__(self, arrays: int, numbers: tuple[float, ...] = ()) -> None:
        self.arrays, self.numbers = arrays, numbers
        self.rooms: list[tuple[tuple[int, ...], str]] = []
        self.passes: list[_Pass] = []
        self.order: tuple[int, ...] | None = None  # of the result's axes, if they are not as they lie in memory

    def room(self, shape: tuple[int, ...], number: str) -> _Array:
        """Reserve a contiguous array; the first is the result."""
        self.rooms.append((shape, number))
        return _Array(self.arrays + len(self.rooms) - 1, number, shape, dense(shape), True)

    def run(self, *arrays: Any) -> Any:
        """Launch the kernels and give the result."""
        import cupy

        rooms = [cupy.empty(shape, number) for shape, number in self.rooms]
        addresses = [array.data.ptr for array in (*arrays, *rooms)]
        for kernel, blocks, threads, slots, numbers in self.passes:
            launch.kernel(*kernel)(blocks, threads, *[addresses[slot] for slot in slots], *numbers)
        return rooms[0] if self.order is None else rooms[0].transpose(self.order)

    def reduce(self, reduction: Reduction, x: _Array, axes: tuple[int, ...], y: _Array, count: int) -> bool:
        """Plan to reduce x into y, whose axes are those of x that are kept; gives False where x is to be copied."""
        kept = tuple(axis for axis in range(len(x.shape)) if axis not in axes)
        into = [0] * len(x.shape)
        for axis, step in zip(kept, y.steps, strict=True):
            into[axis] = step
        dimensions = _dimensions(x.shape, _order(x), axes, (x.steps, tuple(into)))
        reduced = [d for d in dimensions if d.reduced]
        if len(reduced) > 1 and len(reduction.stages) == 1:
            ((first, last),) = _parts(reduction)
            here = reduced[-1].axes
            left = [axis for axis in range(len(x.shape)) if axis not in here]
            part = self.room(tuple(x.shape[axis] for axis in left), first.result_dtype(x.number))
            rest = tuple(place for place, axis in enumerate(left) if axis in axes)
            return self.reduce(first, x, here, part, count) and self.reduce(last, part, rest, y, count)
        if len(reduced) > 1 or len(dimensions) - len(reduced) > 2:
            return False
        self.fold(reduction, _space(dimensions, 2), [x, y], count)
        return True

    def fold(self, reduction: Reduction, space: _Space, arrays: Sequence[_Array], count: int) -> None:
        """Plan the kernels of one space: of elements, of what is given for each line, and of the result."""
        outer, k, inner, steps = space
        number = arrays[0].number
        lanes = 16 // np.dtype(number).itemsize
        columns = inner > 1 and abs(steps[0][2]) < abs(steps[0][1])
        given = reduction.arity + reduction.spreads
        vectors = zip(arrays[:given], steps[:given], strict=True)
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
            threads = min(MOST_THREADS, max(64, 1 << _exponent(k // 16)))
            items, grain, least = lines, 64, _PIECE
        parts = _parts(reduction) if least else []
        chunks = min(_BUSY // items, k // least) if parts else 1
        if chunks <= 1:
            numbers = (outer, inner, k, count, 1, k, shift)
            self._launch(reduction, number, layout, vector, items, threads, numbers, arrays, steps, count)
            return
        piece = -(-k // chunks)
        piece = -(-piece // grain) * grain
        chunks = -(-k // piece)
        threads = min(threads, launch.THREADS)
        numbers = (outer, inner, k, count, chunks, piece, shift)
        # beside each other in memory, as they will be read
        part = (chunks * inner, inner, 1) if layout == COLUMNS else (chunks * inner, 1, chunks)
        rows, row_steps = list(arrays[reduction.arity : -1]), list(steps[reduction.arity : -1])
        elements, element_steps = list(arrays[: reduction.arity]), list(steps[: reduction.arity])
        for first, last in parts:
            room = self.room((lines * chunks,), first.result_dtype(number))
            theirs = [*elements, *rows, room], [*element_steps, *row_steps, part]
            self._launch(first, number, layout, vector, items * chunks, threads, numbers, *theirs, count)
            end, end_steps = arrays[-1], steps[-1]
            if last is not parts[-1][1]:
                end, end_steps = self.room((lines,), last.result_dtype(room.number)), (inner, 0, 1)
            space = _Space(outer, chunks, inner, (part, *row_steps, end_steps))
            self.fold(last, space, [room, *rows, end], count)
            rows.append(end)
            row_steps.append(end_steps)

    def _launch(
        self,
        reduction: Reduction,
        number: str,
        layout: str,
        vector: bool,
        blocks: int,
        threads: int,
        numbers: tuple[int, ...],
        arrays: Sequence[_Array],
        steps: Sequence[tuple[int, int, int]],
        count: int,
    ) -> None:
        """Plan one kernel."""
        dtypes = scalars(reduction, number)
        same = [
            n if d == "int64" else np.dtype(d).type(n) for n, d in zip((*self.numbers, count), dtypes, strict=False)
        ]
        every = (*numbers, *(step for mine in steps for step in mine), *same)
        kernel = texts(reduction, number, layout, vector)
        self.passes.append(_Pass(kernel, min(blocks, _MOST), threads, tuple(array.slot for array in arrays), every))


def _exponent(n: int) -> int:
    """Give the exponent of the least power of two that is not below n."""
    return max(n - 1, 0).bit_length()


def _fits(array: _Array, steps: tuple[int, int, int], space: _Space, lanes: int) -> bool:
    """Tell whether lines begin at multiples of 16 bytes and go on without gaps."""
    outer, along, inner = steps
    begins = (outer % lanes == 0 or space.outer == 1) and (inner % lanes == 0 or space.inner == 1)
    return array.aligned and along == 1 and begins


def _order(x: _Array) -> tuple[int, ...]:
    """Order axes as they are in memory, those with the largest steps first."""
    return farthest_first(x.shape, x.steps) or tuple(range(len(x.shape)))


def _dimensions(
    shape: tuple[int, ...], order: tuple[int, ...], axes: tuple[int, ...], steps: Sequence[tuple[int, ...]]
) -> list[_Dimension]:
    """Join axes that are next to each other in every array, and leave out those of size 1."""
    dimensions = []
    for group in joined(shape, steps, order, lambda axis: axis in axes):
        size = math.prod(shape[axis] for axis in group)
        dimensions.append(_Dimension(size, group, group[0] in axes, tuple(mine[group[-1]] for mine in steps)))
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
def _reduction_plan(name: str, axes: tuple[int, ...], layout: _Layout, numbers: tuple[float, ...] = ()) -> _Plan | None:
    """Plan a reduction; gives None where the array is to be copied."""
    reduction = reductions.TABLE[name]
    plan = _Plan(1, numbers)
    x = _array(0, layout)
    y = plan.room(
        tuple(size for axis, size in enumerate(x.shape) if axis not in axes), reduction.result_dtype(x.number)
    )
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
    order = _order(x)  # the result is laid out as x is
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


def reduce_array(name: str, x: Any, axes: tuple[int, ...], numbers: tuple[float, ...] = ()) -> Any:
    """Reduce an array over `axes` (ascending), dropping them, given the reduction's numbers.

    Raises TypeError for dtypes that are not real numbers or truth values.
    """
    dtype = _dtype(name, x.dtype.char)
    if dtype is not None:
        x = x.astype(dtype)
    plan = _reduction_plan(name, axes, _layout(x), numbers)
    if plan is None:
        kept = tuple(axis for axis in range(x.ndim) if axis not in axes)
        return reduce_array(name, x.transpose(kept + axes).copy(), tuple(range(len(kept), x.ndim)), numbers)
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
