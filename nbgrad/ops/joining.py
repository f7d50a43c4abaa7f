"""Putting arrays together along an axis, and picking along one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, overload

import numpy as np

from ..arrays import Array, as_array, is_array
from ..function import Operation
from ..kernels import dispatch
from ..kernels.cpu import small
from ..kernels.cpu.failures import checked
from ..kernels.cpu.indexing import add_along, own_places, take_along
from ..kernels.strides import dense
from ..recording import RecordedCall
from ..registry import operation
from ..variable import Given, Variable, as_variable, data_of
from .arguments import axis_of, either
from .indexing import GetItem, Index, Scatter, getitem, own_positions
from .shape import Reshape


class Cat(Operation):
    """Arrays one after the other along an axis."""

    __slots__ = ("axis",)
    linear = True
    reads_all = False
    kept = ("axis",)
    arity = 0
    work = staticmethod(lambda: small.copies.cat())

    def __init__(self, axis: int) -> None:
        self.axis = axis

    def forward(self, *xs: Array) -> Array:
        return dispatch.concatenate("cat", xs, self.axis)

    def vjp(self, gy: Any, y: Any, *xs: Any) -> Any:
        parts = []
        start = 0
        before = (slice(None),) * self.axis
        for x in xs:
            stop = start + x.shape[self.axis]
            parts.append(GetItem.apply(gy, (*before, slice(start, stop))))
            start = stop
        return tuple(parts)


class Stack(Operation):
    """Arrays of one shape beside one another along a new axis."""

    __slots__ = ("axis",)
    linear = True
    reads_all = False
    kept = ("axis",)
    arity = 0
    work = staticmethod(lambda: small.copies.stack())

    def __init__(self, axis: int) -> None:
        self.axis = axis

    def forward(self, *xs: Array) -> Array:
        shape = xs[0].shape
        return Cat(self.axis).forward(*[x.reshape((*shape[: self.axis], 1, *shape[self.axis :])) for x in xs])

    def vjp(self, gy: Any, y: Any, *xs: Any) -> Any:
        before = (slice(None),) * self.axis
        return tuple([GetItem.apply(gy, (*before, i)) for i in range(len(xs))])


@overload
def cat(  # type: ignore[overload-overlap]
    tensors: Sequence[Array], dim: int | None = None, *, axis: int | None = None
) -> Array: ...
@overload
def cat(tensors: Sequence[Variable | Array], dim: int | None = None, *, axis: int | None = None) -> Variable: ...
@operation(method=False)
def cat(tensors: Sequence[Any], dim: int | None = None, *, axis: int | None = None) -> Any:
    """Join a sequence along a dimension (the first, unless given).

    Empty vectors join with any shape. Raises ValueError where other dimensions differ, or for nothing to join.

    >>> import nbgrad
    >>> nbgrad.cat([nbgrad.ones(2), nbgrad.zeros(1)])
    Variable([1., 1., 0.])
    """
    if axis is None and (type(tensors) is list or type(tensors) is tuple):
        along = _from_the_front(tensors, dim, 0)
        if along is not None:
            return _calls.cat(*tensors, along)
    return _cat(tensors, dim, axis)


def _cat(tensors: Any, dim: Any, axis: Any = None) -> Any:
    xs = _sequence("cat", tensors)
    if any(x.ndim > 1 for x in xs):  # PyTorch lets an empty vector be joined to anything
        xs = [x for x in xs if x.shape != (0,)]
    along = axis_of("cat", either("cat", "dim", dim, "axis", axis, 0), max(xs[0].ndim, 1))
    shapes = [x.shape for x in xs]
    for shape in shapes:
        if not shape:
            raise ValueError("cat: scalars have no dimension to join along: use stack")
        if (
            len(shape) != len(shapes[0])
            or shape[:along] + shape[along + 1 :] != shapes[0][:along] + shapes[0][along + 1 :]
        ):
            raise ValueError(f"cat: shapes {shapes[0]} and {shape} differ outside dimension {along}")
    return Cat(along)(*xs)


@overload
def stack(  # type: ignore[overload-overlap]
    tensors: Sequence[Array], dim: int | None = None, *, axis: int | None = None
) -> Array: ...
@overload
def stack(tensors: Sequence[Variable | Array], dim: int | None = None, *, axis: int | None = None) -> Variable: ...
@operation(method=False)
def stack(tensors: Sequence[Any], dim: int | None = None, *, axis: int | None = None) -> Any:
    """Join a sequence of equal shapes along a new dimension (the first, unless given).

    Raises ValueError where the shapes differ, or for nothing to join.
    """
    if axis is None and (type(tensors) is list or type(tensors) is tuple):
        along = _from_the_front(tensors, dim, 1)
        if along is not None:
            return _calls.stack(*tensors, along)
    return _stack(tensors, dim, axis)


def _stack(tensors: Any, dim: Any, axis: Any = None) -> Any:
    xs = _sequence("stack", tensors)
    along = axis_of("stack", either("stack", "dim", dim, "axis", axis, 0), xs[0].ndim + 1)
    for x in xs:
        if x.shape != xs[0].shape:
            raise ValueError(f"stack: shapes {xs[0].shape} and {x.shape} differ")
    return Stack(along)(*xs)


def _from_the_front(tensors: Any, dim: Any, new: int) -> int | None:
    """Give a dimension counted from the front, where that is clear at a glance; `new` are those that are added."""
    if dim is None:
        return 0
    if type(dim) is not int:
        return None
    if dim < 0 and tensors and type(tensors[0]) is Variable and tensors[0]._array.nbytes:
        dim += tensors[0]._array.ndim + new
    return dim if dim >= 0 else None


class _Calls:
    """The compiled calls; they take the arrays one by one, and then the axis."""

    cat = RecordedCall(Cat, lambda *given: _cat(given[:-1], given[-1]))
    stack = RecordedCall(Stack, lambda *given: _stack(given[:-1], given[-1]))


_calls = _Calls()


def _sequence(what: str, tensors: Any) -> list[Any]:
    if isinstance(tensors, Variable) or is_array(tensors) or not hasattr(tensors, "__iter__"):
        raise TypeError(f"{what}: takes a sequence of Variables, got {type(tensors).__name__}")
    xs = list(tensors)
    if not xs:
        raise ValueError(f"{what}: nothing to join")
    if any(isinstance(x, Variable) for x in xs):
        return [as_variable(x) for x in xs]
    return [as_array(x) for x in xs]


class TakeAlong(Operation):
    """The elements at positions along an axis, which are within it; they lack the axis if each line has one."""

    __slots__ = ("axis", "positions")
    linear = even = True
    reads_all = False
    kept = ("positions", "axis")
    work = staticmethod(lambda: small.copies.take())

    def __init__(self, positions: Array, axis: int) -> None:
        self.positions, self.axis = positions, axis

    def forward(self, x: Array) -> Array:
        where = _with_axis(self.positions, self.axis, x.ndim)
        if type(x) is np.ndarray and x.dtype.char in "fd":
            found = checked(take_along(), *[_lines(a, self.axis) for a in (x, where)], out=...)
        else:
            found = x[_key_along(where, self.axis, x.shape)]
        return found.reshape(self.positions.shape)

    def vjp(self, gy: Any, y: Any, x: Any) -> Any:
        return AddAlong.apply(gy, self.positions, self.axis, tuple(x.shape))


class AddAlong(Operation):
    """Zeros of a shape, with values added at positions along an axis; the adjoint of `TakeAlong`."""

    __slots__ = ("axis", "positions", "shape")
    linear = even = True
    reads_all = False
    kept = ("positions", "axis", "shape")
    work = staticmethod(lambda: small.copies.add())

    def __init__(self, positions: Array, axis: int, shape: tuple[int, ...]) -> None:
        self.positions, self.axis, self.shape = positions, axis, shape

    def forward(self, g: Array) -> Array:
        where = _with_axis(self.positions, self.axis, len(self.shape))
        if type(g) is np.ndarray and g.dtype.char in "fd":
            y = np.zeros(self.shape, g.dtype.newbyteorder("="))  # NumPy would have others in a buffer
            places, values = (_lines(a, self.axis) for a in (where, g.reshape(where.shape)))
            checked(add_along(), places, values, out=_lines(y, self.axis))
            return y
        return Scatter(Index(_key_along(where, self.axis, self.shape)), self.shape).forward(g.reshape(where.shape))

    def vjp(self, gy: Any, y: Any, g: Any) -> Any:
        return TakeAlong.apply(gy, self.positions, self.axis)


def _lines(x: Array, axis: int) -> Array:
    """Give an array with three dimensions: before the axis, along it, and behind."""
    return x.reshape(math.prod(x.shape[:axis]), x.shape[axis], math.prod(x.shape[axis + 1 :]))


def positions_along(where: Any, along: int, shape: tuple[int, ...], negative: bool = True) -> Array | None:
    """Give a copy of positions along an axis as `TakeAlong` takes it; None where they broadcast, or any is outside.

    Unless `negative`, those that count from the end are outside.
    """
    if type(where) is not np.ndarray or where.dtype.kind not in "iu" or not where.size:
        return None
    if where.shape[:along] != shape[:along] or where.shape[along + 1 :] != shape[along + 1 :]:
        return None
    count = shape[along]
    if where.dtype.char == "l" and where.flags.c_contiguous:  # one pass, and not three
        own, outside = own_places()(where.reshape(-1), count, count if negative else 0)
        return None if outside else own.reshape(where.shape)
    lowest, highest = int(where.min()), int(where.max())
    if not (-count if negative else 0) <= lowest <= highest < count:
        return None
    own = where.astype(np.int64)
    return np.where(own < 0, own + count, own) if lowest < 0 else own


def _with_axis(positions: Array, axis: int, ndim: int) -> Array:
    return positions if positions.ndim == ndim else np.expand_dims(positions, axis)


def is_small(x: Any) -> bool:
    """Tell whether something is an array of NumPy's whose elements a compiled call moves."""
    return type(x) is np.ndarray and x.ndim > 0 and x.size <= small.calls.SMALL


@operation
def take_along_dim(input: Given, indices: Any, dim: int | None = None) -> Given:
    """Pick along one dimension by an array of positions, whose other dimensions broadcast with those of input.

    Without `dim`, positions count through all of input, and the result has one dimension. Raises IndexError for
    positions outside, ValueError for positions with another number of dimensions.
    """
    where = indices.data if isinstance(indices, Variable) else as_array(indices)
    if dim is None:
        input, where, dim = Reshape((input.size,))(input), where.reshape(-1), 0
    if where.ndim != input.ndim:
        raise ValueError(
            f"take_along_dim: positions of shape {where.shape} for shape {input.shape}: both need the same dimensions"
        )
    if not input.ndim:
        return input
    along = axis_of("take_along_dim", dim, input.ndim)
    data = data_of(input)
    if is_small(data) and is_small(where) and where.shape[:along] == data.shape[:along]:
        if where.shape[along + 1 :] == data.shape[along + 1 :]:
            own = own_positions(where, data.shape[along])
            if own is not None:
                return TakeAlong.apply(input, own, along)
    if type(data) is np.ndarray:
        own = positions_along(where, along, data.shape)
        if own is not None:
            return TakeAlong.apply(input, own, along)
    if isinstance(data, np.ndarray) and isinstance(where, np.ndarray) and data.flags.c_contiguous:
        rows = _rows_along(where, along, input.shape)
        if rows is not None:  # by flat positions, which need no broadcasting of several index arrays
            return Reshape(rows.shape)(GetItem(Index.of_rows(rows.reshape(-1)))(Reshape((data.size,))(input)))
    return getitem(input, _key_along(where, along, input.shape))


def _rows_along(where: Array, along: int, shape: tuple[int, ...]) -> Array | None:
    """Give positions along one dimension as positions in all of a contiguous array; None where any does not exist."""
    if where.dtype.kind not in "iu" or not where.size:
        return None
    lowest, highest, count = int(where.min()), int(where.max()), shape[along]
    if not -count <= lowest <= highest < count:
        return None
    positions = where.astype(np.int64)
    if lowest < 0:
        positions = np.where(positions < 0, positions + count, positions)
    steps = dense(shape)
    if steps[along] != 1:
        positions *= steps[along]
    for axis, size in enumerate(shape):
        if axis != along:
            if where.shape[axis] not in (1, size):
                return None
            positions = positions + np.arange(0, size * steps[axis], steps[axis]).reshape(
                -1, *(1,) * (len(shape) - 1 - axis)
            )
    return positions


def add_along_dim(g: Any, indices: Any, along: int, shape: tuple[int, ...]) -> Any:
    """Add values to zeros of a shape at positions along one dimension: the adjoint of `take_along_dim`."""
    own = positions_along(indices, along, shape) if type(data_of(g)) is np.ndarray else None
    if own is not None:
        return AddAlong.apply(g, own, along, shape)
    return Scatter(Index(_key_along(indices, along, shape)), shape)(g)


def _key_along(where: Array, along: int, shape: tuple[int, ...]) -> tuple[Any, ...]:
    """Give the index of positions along one dimension."""
    return tuple(
        where if axis == along else np.arange(size).reshape(-1, *(1,) * (len(shape) - 1 - axis))
        for axis, size in enumerate(shape)
    )
