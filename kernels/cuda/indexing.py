"""Gather and scatter of CuPy arrays: rows of a table by whole numbers, each the other's adjoint.

Some threads share a row, neighbouring ones its neighbouring columns; several rows share a block. Scattering first sorts
the positions, equal ones in their order: the threads of the first of them add up the rows of all, one after the other,
so that results are the CPU's to the last bit, whatever repeats. A position that repeats very often is slow for it. Few
positions are sorted by one kernel, each thread counting those that come before its own; CuPy, which sorts the others,
takes several launches and waits for them, so that this cannot be captured into a graph.
"""

from __future__ import annotations

import ctypes
from collections import defaultdict
from collections.abc import Callable
from functools import cache as once
from typing import Any

import numpy as np

from . import launch

_MOST = 1 << 20  # blocks of one launch
_FEW = 4096  # positions that are sorted by counting: some ten microseconds of comparisons

# `shift`: the power of two of threads that share a row.
_OPEN = """
    step = int64(1) << shift
    thread = int64(cuda.threadIdx.x)
    rows = int64(cuda.blockDim.x) >> shift
    i = int64(cuda.blockIdx.x) * rows + (thread >> shift)
    while i < count:
"""

_GATHER = f"""
def kernel(x, index, y, count, width, shift, x_row, x_column, index_step):{_OPEN}
        begin = index[i * index_step] * x_row
        j = thread & (step - 1)
        while j < width:
            y[i * width + j] = x[begin + j * x_column]
            j += step
        i += int64(cuda.gridDim.x) * rows
"""

# `width` in vectors of 16 bytes
_GATHER_VECTORS = f"""
def kernel(x, index, y, count, width, shift, x_row, x_column, index_step):{_OPEN}
        begin = index[i * index_step] * x_row
        j = thread & (step - 1)
        while j < width:
            store_vector(y, (i * width + j) * {{lanes}}, load_vector(x, begin + j * {{lanes}}))
            j += step
        i += int64(cuda.gridDim.x) * rows
"""

# ranked: the sorted positions; order: where each of them was
_RANK = """
def kernel(index, order, ranked, count):
    i = int64(cuda.blockIdx.x) * int64(cuda.blockDim.x) + int64(cuda.threadIdx.x)
    if i < count:
        row = index[i]
        rank = int64(0)
        j = int64(0)
        while j + 3 < count:
            first, second, third, fourth = index[j], index[j + 1], index[j + 2], index[j + 3]
            rank += int64((first < row) | ((first == row) & (j < i)))
            rank += int64((second < row) | ((second == row) & (j + 1 < i)))
            rank += int64((third < row) | ((third == row) & (j + 2 < i)))
            rank += int64((fourth < row) | ((fourth == row) & (j + 3 < i)))
            j += 4
        while j < count:
            other = index[j]
            rank += int64((other < row) | ((other == row) & (j < i)))
            j += 1
        order[rank] = i
        ranked[rank] = row
"""

# order: which rows of g belong to the sorted positions
_SCATTER_ADD = f"""
def kernel(index, order, g, y, count, width, shift, g_row, g_column, y_row, y_column):{_OPEN}
        row = index[i]
        if i == 0 or index[i - 1] != row:
            end = i + 1
            while end < count and index[end] == row:
                end += 1
            j = thread & (step - 1)
            while j < width:
                column = j * g_column
                total = y[row * y_row + j * y_column]
                n = i
                while n + 3 < end:
                    first = g[order[n] * g_row + column]
                    second = g[order[n + 1] * g_row + column]
                    third = g[order[n + 2] * g_row + column]
                    fourth = g[order[n + 3] * g_row + column]
                    total = (((total + first) + second) + third) + fourth
                    n += 4
                while n < end:
                    total = total + g[order[n] * g_row + column]
                    n += 1
                y[row * y_row + j * y_column] = total
                j += step
        i += int64(cuda.gridDim.x) * rows
"""


# found: whether a position is outside, and whether one is negative; words of the host's memory
_LOOK = """
def kernel(index, count, step, lowest, highest, found):
    i = int64(cuda.blockIdx.x) * int64(cuda.blockDim.x) + int64(cuda.threadIdx.x)
    while i < count:
        position = index[i * step]
        if position < {number}(lowest) or position > {number}(highest):
            found[0] = int64(1)
        if position < {number}(0):
            found[1] = int64(1)
        i += int64(cuda.gridDim.x) * int64(cuda.blockDim.x)
"""


@once
def _gather_kernel(number: str, vectors: bool) -> tuple[str, str, tuple[str, ...]]:
    text = _GATHER_VECTORS.format(lanes=16 // np.dtype(number).itemsize) if vectors else _GATHER
    name = f"gather_{'vector_' if vectors else ''}{number}"
    return name, text, (f"{number}*", "int64*", f"{number}*", *["int64"] * 6)


@once
def _scatter_kernel(number: str) -> tuple[str, str, tuple[str, ...]]:
    pointers = ("int64*", "int64*", f"{number}*", f"{number}*")
    return f"scatter_add_{number}", _SCATTER_ADD, (*pointers, *["int64"] * 7)


class _Slot:
    """Two words of the host's memory that a kernel can write to, and an event after which they can be read."""

    def __init__(self, cupy: Any) -> None:
        self.memory = cupy.cuda.alloc_pinned_memory(16)
        self.words = (ctypes.c_int64 * 2).from_address(self.memory.ptr)
        self.event = cupy.cuda.Event(disable_timing=True)
        _slots.append(self)


#: All slots: none is ever given back to the system, since a kernel may write to it late, nor ended as garbage together
#: with the look that has it.
_slots: list[_Slot] = []
#: Slots that nobody has, by device.
_free: defaultdict[int, list[_Slot]] = defaultdict(list)


class Look:
    """A look at positions that is under way: call it to wait for what it has found."""

    def __init__(self, cupy: Any, device: int) -> None:
        self._free, self._found = _free[device], (False, False)
        self._slot: _Slot | None = None
        try:
            self._slot = self._free.pop()
        except IndexError:
            self._slot = _Slot(cupy)
        try:
            self._slot.event.synchronize()  # somebody may have gone without waiting
        except RuntimeError:  # it was recorded while a stream was captured, and is of no use any more
            self._slot.event = cupy.cuda.Event(disable_timing=True)
        self._slot.words[:] = [0, 0]
        self.address = self._slot.memory.ptr

    def begun(self) -> None:
        """Take note that the kernel is on its way."""
        assert self._slot is not None
        self._slot.event.record()

    def __call__(self) -> tuple[bool, bool]:
        """Wait, and tell if a position is out of limits, and if one is negative."""
        if self._slot is not None:
            self._slot.event.synchronize()
            outside, negative = self._slot.words
            self._found = bool(outside), bool(negative)
            self.__del__()
        return self._found

    def __del__(self) -> None:
        slot, self._slot = self._slot, None
        if slot is not None:
            self._free.append(slot)


def look(index: Any, lowest: int, highest: int) -> Callable[[], tuple[bool, bool]]:
    """Begin to look at positions; gives a function that waits, and tells if one is out of limits, and if one is < 0."""
    import cupy

    if not index.size:
        return lambda: (False, False)
    unsigned = index.dtype.kind == "u"
    number = "uint64" if unsigned else "int64"
    index = index.reshape(-1)
    found = Look(cupy, launch.backend.device())
    threads = launch.THREADS
    signature = (f"{index.dtype}*", *["int64"] * 4, "int64*")
    run = launch.kernel(f"look_{index.dtype}", _LOOK.format(number=number), signature)
    numbers = index.size, index.strides[0] // index.itemsize, max(lowest, 0) if unsigned else lowest, highest
    run(min(-(-index.size // threads), 1024), threads, index.data.ptr, *numbers, found.address)
    found.begun()
    return found


def gather(x: Any, index: Any) -> Any:
    """Give the rows ``x[index]`` of a table; the caller has checked that positions are within it.

    `index` may be a NumPy array. Raises TypeError for elements of no 1, 2, 4 or 8 bytes.
    """
    import cupy

    if x.itemsize not in (1, 2, 4, 8):
        raise TypeError(f"gather: no kernel for dtype {x.dtype}: convert to a real dtype first")
    index = _positions(index)
    count, width = index.size, x.shape[1]
    y = cupy.empty((count, width), x.dtype)
    if y.size:
        row, column = (stride // x.itemsize for stride in x.strides)
        lanes = 16 // x.itemsize
        # bits are moved, whatever they stand for
        fits = width % lanes == 0 and column == 1 and row % lanes == 0 and x.data.ptr % 16 == 0
        if fits:
            width //= lanes
        blocks, threads, shift = _threads(count, width)
        numbers = (count, width, shift, row, column, index.strides[0] // 8)
        run = launch.kernel(*_gather_kernel(f"uint{8 * x.itemsize}", fits))
        run(blocks, threads, x.data.ptr, index.data.ptr, y.data.ptr, *numbers)
    return y


def scatter_add(index: Any, g: Any, y: Any) -> Any:
    """Add rows, ``y[index[i], :] += g[i, :]``, in their order, and give y; repeated positions accumulate.

    `index` may be a NumPy array. Raises TypeError for anything but float32 or float64 in g and y alike.
    """
    if g.dtype != y.dtype or y.dtype.char not in "fd":
        raise TypeError(f"scatter_add: no kernel for {g.dtype} into {y.dtype}: convert both to float32 or float64")
    if not g.size:
        return y
    index, order = _sorted(_positions(index))
    count, width = g.shape
    blocks, threads, shift = _threads(count, width)
    numbers = [count, width, shift, *(stride // a.itemsize for a in (g, y) for stride in a.strides)]
    run = launch.kernel(*_scatter_kernel(y.dtype.name))
    run(blocks, threads, index.data.ptr, order.data.ptr, g.data.ptr, y.data.ptr, *numbers)
    return y


def _sorted(index: Any) -> tuple[Any, Any]:
    """Give positions in ascending order, equal ones in the order they had, and where each of them was."""
    import cupy

    count = index.size
    if count > _FEW:
        order = cupy.argsort(index)
        return index[order], order
    if not index.flags.c_contiguous:
        index = index.copy()
    order, ranked = cupy.empty(count, np.int64), cupy.empty(count, np.int64)
    threads = 64  # few, so that more processors take part
    run = launch.kernel("rank", _RANK, ("int64*", "int64*", "int64*", "int64"))
    run(-(-count // threads), threads, index.data.ptr, order.data.ptr, ranked.data.ptr, count)
    return ranked, order


def _positions(index: Any) -> Any:
    """Bring positions to the GPU as int64."""
    import cupy

    index = cupy.asarray(index)
    if index.dtype.kind not in "iu":
        raise TypeError(f"positions of dtype {index.dtype}: whole numbers pick rows")
    return index if index.dtype == np.int64 else index.astype(np.int64)


def _threads(count: int, width: int) -> tuple[int, int, int]:
    """Give blocks, threads in each, and the power of two of threads that share a row."""
    shift = min(max(width - 1, 0).bit_length(), 8)
    threads = min(launch.THREADS, max(32, 1 << (max(count - 1, 0).bit_length() + shift)))
    return min(-(-count // (threads >> shift)), _MOST), threads, shift
