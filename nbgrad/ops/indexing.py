"""Picking elements out and putting them back: `getitem` and `scatter`, each the adjoint of the other."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..function import Operation
from ..kernels.cpu import indexing as cpu
from ..kernels.failures import checked
from ..variable import Array, Variable, as_array, is_array


class Index:
    """An index as NumPy understands it, made of arrays and numbers only, and looked at once."""

    __slots__ = ("advanced", "checked", "key", "masks_only", "symbol")

    def __init__(self, key: Any) -> None:
        parts = tuple(_part(p) for p in (key if type(key) is tuple else (key,)))
        self.advanced = any(is_array(p) for p in parts)
        self.masks_only = self.advanced and not any(is_array(p) and p.dtype != np.bool_ for p in parts)
        if not self.advanced and Ellipsis not in parts:
            parts = (*parts, Ellipsis)  # a single element then comes as a 0-d view, and not as a copy
        self.key = parts
        self.checked = False
        self.symbol = next((p for p in parts if is_array(p) and not isinstance(p, np.ndarray)), None)  # being traced

    def of(self, x: Array) -> Array:
        try:
            return as_array(x[self.key])
        except IndexError as error:
            raise IndexError(f"indexing shape {x.shape}: {error}") from None

    @classmethod
    def of_rows(cls, rows: Array) -> Index:
        """Give the index for row numbers that are known to be whole, 64 bits wide and within the array."""
        index = cls.__new__(cls)
        index.key, index.advanced, index.masks_only, index.checked, index.symbol = (rows,), True, False, True, None
        return index

    def rows(self, shape: tuple[int, ...]) -> tuple[Array, int] | None:
        """Give the rows picked of an array seen as a table, and the width of a row, for one array of whole numbers.

        None for any other index.
        """
        if len(self.key) != 1 or self.masks_only:
            return None
        index, count = self.key[0], shape[0]
        if self.checked:
            return index, math.prod(shape[1:])
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


def _part(part: Any) -> Any:
    if isinstance(part, Variable):
        part = part.data
    if is_array(part) and not isinstance(part, np.ndarray) and part.dtype.kind in "iub":
        return part
    if isinstance(part, list | tuple | np.ndarray):
        array = np.array(part)  # a copy: the index must be the same when the gradient comes back
        if not array.size and array.dtype == np.float64:
            array = array.astype(np.int64)
        if array.dtype.kind not in "iub":
            raise TypeError(f"an index of dtype {array.dtype}: whole numbers and bool pick elements")
        return int(array) if not array.ndim and array.dtype != np.bool_ else array
    if part is None or part is Ellipsis or isinstance(part, slice | bool | np.bool_):
        return np.asarray(part) if isinstance(part, bool | np.bool_) else part
    try:
        return part.__index__()
    except AttributeError:
        raise TypeError(f"an index of type {type(part).__name__}: {part!r}") from None


class GetItem(Operation):
    """The elements at an index; a view where NumPy gives one."""

    __slots__ = ("index",)

    def __init__(self, index: Index) -> None:
        self.index = index

    def forward(self, x: Array) -> Array:
        index = self.index
        if not isinstance(x, np.ndarray):
            return x[index.key]
        if index.symbol is not None:
            return index.symbol.pick_from(x, index.key)
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

    def vjp(self, gy: Any, y: Any, x: Any) -> Any:
        return Scatter(self.index, tuple(x.shape))(gy)


class Scatter(Operation):
    """Zeros of a shape, with values added at an index; repeated positions accumulate."""

    __slots__ = ("index", "shape")

    def __init__(self, index: Index, shape: tuple[int, ...]) -> None:
        self.index, self.shape = index, shape

    def forward(self, g: Array) -> Array:
        if not isinstance(g, np.ndarray):
            return g.scatter(self.index.key, self.shape)
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

    def vjp(self, gy: Any, y: Any, g: Any) -> Any:
        return GetItem(self.index)(gy)


def getitem(x: Any, key: Any) -> Any:
    """Pick elements by whole numbers, slices, ellipsis, None, and arrays of whole numbers or bool, as NumPy does.

    Raises IndexError for positions outside, TypeError for indices of another kind.
    """
    return GetItem(Index(key))(x)
