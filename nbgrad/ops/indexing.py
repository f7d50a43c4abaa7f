"""Picking elements out and putting them back: `getitem` and `scatter`, each the adjoint of the other."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ..arrays import Array, as_array, is_array
from ..function import LARGE, Operation
from ..kernels import devices
from ..kernels.cpu import indexing as cpu
from ..kernels.cpu.failures import checked
from ..kernels.dispatch import reduce_array
from ..variable import Variable, data_of
from .elementwise import add, lt, where


class Index:
    """An index as NumPy understands it, made of arrays and numbers only, and looked at once."""

    __slots__ = ("advanced", "checked", "count", "given", "key", "masks_only", "placed", "stand_in", "unique")

    #: Where rows are known to be within the array: how many rows it had when they were first used.
    count: int

    #: On a GPU: a shape, and what `on_gpu` found for it.
    placed: tuple[tuple[int, ...], tuple[Array, int, tuple[int, ...]]]

    def __init__(self, key: Any) -> None:
        #: The parts before arrays were copied: what stands in for arrays reads them as they are in every run.
        self.given = key if type(key) is tuple else (key,)
        parts = tuple([part_of_index(p) for p in self.given])
        self.advanced = any(is_array(p) for p in parts)
        self.masks_only = self.advanced and not any(is_array(p) and p.dtype != np.bool_ for p in parts)
        if not self.advanced and Ellipsis not in parts:
            parts = (*parts, Ellipsis)  # a single element then comes as a 0-d view, and not as a copy
        self.key = parts
        self.checked = self.unique = False
        #: A part that stands in for an array, or is on a GPU.
        self.stand_in = None
        if self.advanced:
            self.stand_in = next((p for p in parts if is_array(p) and not isinstance(p, np.ndarray)), None)

    def plain(self) -> tuple[Any, ...]:
        """Give the parts as they were given, of Variables their arrays."""
        return tuple([data_of(p) for p in self.given]) if self.advanced else self.key

    def of(self, x: Array) -> Array:
        try:
            return as_array(x[self.key])
        except IndexError as error:
            raise IndexError(f"indexing shape {x.shape}: {error}") from None

    @classmethod
    def of_rows(cls, rows: Array, unique: bool = False) -> Index:
        """Give the index for row numbers that are known to be whole, 64 bits wide and within the array.

        `unique`: none comes twice.
        """
        index = cls.__new__(cls)
        index.key = index.given = (rows,)
        index.advanced, index.masks_only, index.checked, index.stand_in = True, False, True, None
        index.unique = unique
        return index

    def rows(self, shape: tuple[int, ...]) -> tuple[Array, int] | None:
        """Give the rows picked of an array seen as a table, and the width of a row, for one array of whole numbers.

        None for any other index.
        """
        if len(self.key) != 1 or self.masks_only:
            return None
        index, count = self.key[0], shape[0]
        if self.checked:
            if count != getattr(self, "count", count):
                raise ValueError(
                    f"indexing shape {shape}: the array had {self.count} rows when its elements were picked: put new "
                    "data of another shape into a new Variable"
                )
            self.count = count
            return index, math.prod(shape[1:])
        if devices.cuda_seen and devices.is_cuda(index):
            return within(f"indexing shape {shape}", index, count), math.prod(shape[1:])
        lowest, highest = (index.min(), index.max()) if index.size else (0, -1)
        if not (-count <= lowest and highest < count):
            raise IndexError(f"indexing shape {shape}: positions from {lowest} to {highest} in {count} rows")
        index = index.astype(np.int64, copy=False)
        if lowest < 0:
            index = np.where(index < 0, index + count, index)
        return index, math.prod(shape[1:])

    def positions(self, shape: tuple[int, ...]) -> Array:
        """Give the flat positions of the picked elements, at a cost of the result's size and not the array's."""
        total: Any = 0
        stride = 1
        for axis in reversed(range(len(shape))):
            along = np.arange(shape[axis], dtype=np.int64).reshape(-1, *(1,) * (len(shape) - 1 - axis))
            total = self.of(np.broadcast_to(along, shape)) * stride + total
            stride *= shape[axis]
        return np.asarray(total)

    def on_gpu(self, x: Array) -> tuple[Array, int, tuple[int, ...]]:
        """Give the rows picked of an array on a GPU seen as a table, the width of a row, and the result's shape.

        Anything but one array of whole numbers is worked out on the CPU, once for value and gradient.
        """
        shape = x.shape
        if getattr(self, "placed", (None,))[0] != shape:
            table = self.rows(shape) if shape else None
            if table is not None:
                rows, width = table
                result = (*rows.shape, *shape[1:])
            else:
                host = Index(tuple(devices.on_host(p) for p in self.key))
                rows = host.positions(shape) if shape else host.of(np.zeros((), np.int64))
                width, result = 1, rows.shape
            there = devices.moved(rows.reshape(-1), devices.name_of(x))
            if there is not rows and isinstance(rows, np.ndarray):
                devices.library(there).cuda.get_current_stream().synchronize()  # it may be used on other streams
            self.placed = shape, (there, width, result)
        return self.placed[1]

    @property
    def is_gpu_mask(self) -> bool:
        """Whether this is one array of truth values on a GPU, which CuPy picks by."""
        return self.masks_only and len(self.key) == 1 and devices.is_cuda(self.key[0])


def within(what: str, index: Array, count: int) -> Array:
    """Give positions on a GPU among `count` as whole numbers from 0, 64 bits wide.

    Raises IndexError for positions outside.
    """
    negative = begin_within(what, index, count)()
    index = index.astype(np.int64, copy=False)
    return from_the_end(index, count) if negative else index


def from_the_end(index: Any, count: int) -> Any:
    """Give positions with `count` added to the negative ones."""
    return where(lt(index, 0), add(index, count), index)


def begin_within(what: str, index: Array, count: int) -> Callable[[], bool]:
    """Begin to look whether positions on a GPU are among `count`.

    Gives a function that waits, raises IndexError if any is not, and tells whether any is negative.
    """
    found = look(index, -count, count - 1)

    def wait() -> bool:
        outside, negative = found()
        if outside:
            lowest, highest = bounds(index)
            raise IndexError(f"{what}: positions from {lowest} to {highest} in {count} rows")
        return negative

    return wait


def look(index: Array, lowest: int, highest: int) -> Callable[[], tuple[bool, bool]]:
    """Begin to look at whole numbers on a GPU.

    Gives a function that waits, and tells whether any is out of limits, and whether any is negative.
    """
    from ..kernels.cuda import indexing as cuda

    return cuda.look(index, lowest, highest)


def bounds(index: Array) -> tuple[int, int]:
    """Give the lowest and the highest of whole numbers on a GPU; (0, -1) where there are none."""
    if not index.size:
        return 0, -1
    flat = index.reshape(-1)
    lowest, highest = (int(reduce_array(name, flat, (0,)).item()) for name in ("amin", "amax"))
    return lowest, highest


def part_of_index(part: Any) -> Any:
    """Give a part of an index as NumPy takes it, an array as a copy; raises TypeError for what is none."""
    if isinstance(part, Variable):
        part = part.data
    if isinstance(part, list | tuple | range | np.ndarray):
        array = np.array(part)  # a copy: the index must be the same when the gradient comes back
        if not array.size and array.dtype == np.float64:
            array = array.astype(np.int64)
        if array.dtype.kind not in "iub":
            raise TypeError(f"an index of dtype {array.dtype}: whole numbers and bool pick elements")
        return int(array) if not array.ndim and array.dtype != np.bool_ else array
    if part is None or part is Ellipsis or isinstance(part, slice | bool | np.bool_):
        return np.asarray(part) if isinstance(part, bool | np.bool_) else part
    if is_array(part) and part.dtype.kind in "iub":
        if not devices.is_cuda(part):
            return part
        return part.copy() if part.ndim else part_of_index(devices.on_host(part))
    try:
        return part.__index__()
    except AttributeError:
        raise TypeError(f"an index of type {type(part).__name__}: {part!r}") from None


class Part:
    """A cotangent that is zero but for the elements at an index, which is written into the sum that it belongs to.

    Only the walk meets it, and only there, where it asks any cotangent for what is negative here.
    """

    __slots__ = ("gy", "key", "shape")

    nbytes = -1

    def __init__(self, key: Any, gy: Array, shape: tuple[int, ...]) -> None:
        self.key, self.gy, self.shape = key, gy, shape

    def whole(self) -> Array:
        """Give it as an array, which is nobody else's."""
        full = self.gy.size == math.prod(self.shape)  # no slice takes an element twice
        y = (np.empty if full else np.zeros)(self.shape, self.gy.dtype)
        y[self.key] = self.gy
        return y

    def add_to(self, total: Array) -> None:
        """Add it to an array of its shape."""
        view = total[self.key]
        np.add(view, self.gy, out=view)


class GetItem(Operation):
    """The elements at an index; a view where NumPy gives one."""

    __slots__ = ("index",)
    linear = True
    reads_all = False

    def __init__(self, index: Index) -> None:
        self.index = index

    def forward(self, x: Array) -> Array:
        index = self.index
        if not isinstance(x, np.ndarray):
            return self._on_gpu(x) if devices.is_cuda(x) else x[index.plain()]
        if index.stand_in is not None:
            if devices.is_cuda(index.stand_in):
                raise devices.mixed("indexing", (x, index.stand_in))
            return index.stand_in.pick_from(x, index.plain())
        if not index.advanced or x.dtype.char not in "fd" or not x.ndim:
            return index.of(x)
        table = index.rows(x.shape)
        if table is None:
            positions = index.positions(x.shape)
            flat = checked(cpu.gather(), x.reshape(-1, 1), positions.reshape(-1))
            return flat.reshape(positions.shape)
        rows, width = table
        picked = checked(cpu.gather(), x.reshape(x.shape[0], width), rows.reshape(-1))
        return picked.reshape(*rows.shape, *x.shape[1:])

    def _on_gpu(self, x: Array) -> Array:
        index = self.index
        if not index.advanced or index.is_gpu_mask:
            return index.of(x)
        rows, width, shape = index.on_gpu(x)
        table = x.reshape(-1, width) if width else x.reshape(*x.shape[:1], 0)
        if x.dtype.kind not in "fiub":
            return table[rows].reshape(shape)
        from ..kernels.cuda import indexing as cuda

        devices.check_together("indexing", (x,))
        return cuda.gather(table, rows).reshape(shape)

    def vjp(self, gy: Any, y: Any, x: Any) -> Any:
        return Scatter(self.index, tuple(x.shape))(gy)

    def pull(self, gy: Any) -> tuple[Any, ...]:
        assert self.inputs is not None
        x = self.inputs[0]._array
        if gy.nbytes > LARGE and not self.index.advanced and type(gy) is np.ndarray:
            return (Part(self.index.key, gy, x.shape),)
        return (self.vjp(gy, None, x),)

    def pull_on_gpu(self, gy: Any) -> tuple[Any, ...]:
        return super().pull(gy)


class Scatter(Operation):
    """Zeros of a shape, with values added at an index; repeated positions accumulate."""

    __slots__ = ("index", "shape")
    linear = True
    reads_all = False

    def __init__(self, index: Index, shape: tuple[int, ...]) -> None:
        self.index, self.shape = index, shape

    def forward(self, g: Array) -> Array:
        if not isinstance(g, np.ndarray):
            return self._on_gpu(g) if devices.is_cuda(g) else g.scatter(self.index.plain(), self.shape)
        y = np.zeros(self.shape, g.dtype)
        index = self.index
        if not index.advanced or index.masks_only or not y.ndim:  # no element is met twice
            y[index.key] = g
            return y
        table = index.rows(self.shape)
        if table is None:
            positions = index.positions(self.shape)
            checked(cpu.scatter_add(), positions.reshape(-1), g.reshape(-1, 1), y.reshape(-1, 1))
        else:
            rows, width = table
            checked(cpu.scatter_add(), rows.reshape(-1), g.reshape(rows.size, width), y.reshape(y.shape[0], width))
        return y

    def _on_gpu(self, g: Array) -> Array:
        y = devices.zeros(self.shape, g.dtype, g)
        index = self.index
        if not index.advanced or index.is_gpu_mask:
            y[index.key] = g
            return y
        from ..kernels.cuda import indexing as cuda

        devices.check_together("indexing", (g,))
        rows, width, _ = index.on_gpu(y)
        if index.unique:
            y.reshape(-1, width)[rows] = g.reshape(rows.size, width)
        elif rows.size and width:
            cuda.scatter_add(rows, g.reshape(rows.size, width), y.reshape(-1, width))
        return y

    def vjp(self, gy: Any, y: Any, g: Any) -> Any:
        return GetItem(self.index)(gy)


def getitem(input: Any, key: Any) -> Any:
    """Pick elements by whole numbers, slices, ellipsis, None, and arrays of whole numbers or bool, as NumPy does.

    Raises IndexError for positions outside, TypeError for indices of another kind.
    """
    return GetItem(Index(key))(input)
