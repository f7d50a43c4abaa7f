"""Putting elements at positions into a copy: written, added, multiplied, or whichever is larger."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np

from ..arrays import is_array, is_stand_in
from ..kernels import dispatch
from ..kernels.strides import dense
from ..registry import operation
from ..variable import Variable, as_variable, data_of
from .arguments import axis_of
from .elementwise import add, div, mul, where
from .indexing import AddRows, GetItem, Index, Scatter, getitem, own_places, own_positions
from .inplace import last_ones
from .joining import AddAlong, cat, is_small, positions_along
from .picking import among, check_places, operand, positions_of
from .places import AddAt, ExtremeAt, FillAt, WriteAt, is_few, places_picked
from .places import calls as finding
from .reduction import amax, amin, prod
from .shape import astype, broadcast_to, reshape
from .writing import Put


def _both(x: Any, values: Any) -> tuple[Any, Any]:
    """Give both as Variables if one is, and the values in the dtype of x."""
    if not isinstance(values, Variable) and not is_array(values):
        values = dispatch.beside(np.asarray(values, x.dtype), data_of(x))
    values = values if values.dtype == x.dtype else astype(values, x.dtype)
    if isinstance(x, Variable) or isinstance(values, Variable):
        return as_variable(x), as_variable(values)
    return x, values


def put_at(x: Any, key: Any, values: Any) -> Any:
    """Give x with values in place of the elements at an index; of several for one place the last."""
    x, values = _both(x, values)
    if is_few(x) and type(values) is Variable and type(data_of(values)) is np.ndarray:
        there = places_picked(key, x._array.shape)
        if there is not None and there.shape == values._array.shape:
            return WriteAt.apply(x, values, there)
    index = Index(key)
    last = None
    if index.advanced and not index.masks_only and (values.ndim or getattr(values, "_generation", -1) >= 0):
        last = last_ones(index, tuple(x.shape))  # of one number that has no gradient nobody asks which it was
    return Put(index, last)(x, values)


def _places_along(x: Any, dim: Any, index: Any, lines: bool, repeated: bool = False) -> Any:
    """Give places in a small Variable along a dimension, none twice unless `repeated`; None of anything else."""
    if not is_few(x) or type(dim) is not int:
        return None
    shape = x._array.shape
    positions = index._array if type(index) is Variable else index
    if dim < 0:
        dim += len(shape)
    found = finding.found(positions, shape, dim, lines) if type(positions) is np.ndarray else None
    return found if found is None or repeated else finding.last(found, x._array.size)


def add_at(x: Any, key: Any, values: Any) -> Any:
    """Give x with values added at an index; several for one place add up."""
    x, values = _both(x, values)
    return add(x, Scatter(Index(key), tuple(x.shape))(values))


def _added(x: Any, dim: Any, index: Any, source: Any) -> Any:
    """Give a small Variable with a source added at positions along a dimension; None of anything else."""
    there = _places_along(x, dim, index, False, repeated=True)
    cut = None if there is None else _cut(x, source, there)
    return None if cut is None else add(x, AddAt.apply(cut, there, x._array.shape))


def _cut(x: Variable, source: Any, there: Any) -> Any:
    """Give what of a source goes to places in x, None of what does not belong to both."""
    if not are_alike(x, source):
        return None
    given, wanted = source._array.shape, there.shape
    if given == wanted:
        return source
    if len(given) != len(wanted) or any([n > m for n, m in zip(wanted, given, strict=True)]):
        return None
    return GetItem.apply(source, tuple([slice(0, n) for n in wanted]))


def are_alike(x: Any, source: Any) -> bool:
    """Tell whether both are small, and Variables of one dtype."""
    if type(x) is not Variable or type(source) is not Variable or x._array.dtype != source._array.dtype:
        return False
    return is_small(x._array) and is_small(source._array)


def _beside(shape: tuple[int, ...], axis: int) -> tuple[int, ...]:
    return (*shape[:axis], *shape[axis + 1 :])


def _slices(dim: int, index: Any) -> tuple[Any, ...]:
    return (*(slice(None),) * dim, index)


# ---- slices along a dimension ---------------------------------------------------------------------------------------


def _along(what: str, x: Any, dim: int, index: Any, source: Any) -> tuple[int, Any]:
    """Look whether positions and slices belong together; gives the dimension and the positions."""
    places = positions_of(what, index)
    axis = axis_of(what, dim, max(x.ndim, 1))
    if places.ndim > 1:
        raise ValueError(f"{what}: positions have shape {places.shape}: they have one dimension")
    places = among(what, places, x.shape[axis] if x.ndim else 1)
    if source is not None:
        shape = (*x.shape[:axis], places.size, *x.shape[axis + 1 :]) if x.ndim else (places.size,)
        given = tuple(source.shape) or (1,)
        if given != shape and not (not x.ndim and source.size == places.size):
            raise ValueError(f"{what}: source has shape {tuple(source.shape)}: it must be {shape}")
    return axis, places.reshape(-1)


def _of_lines(x: Any, work: Any) -> Any:
    """Do something to x, of which a scalar takes part as one element."""
    return work(x) if x.ndim else reshape(work(reshape(x, (1,))), ())


@operation
def index_add(input: Any, dim: int, index: Any, source: Any, *, alpha: float = 1) -> Any:
    """Add the slices of source, times alpha, at positions along a dimension; several for one place add up.

    Raises IndexError for positions outside, ValueError for a source of another shape.
    """
    x, s = operand(input), operand(source)
    if alpha == 1 and type(dim) is int and 0 <= dim < x.ndim == s.ndim and are_alike(x, s):
        own = own_places(positions_of("index_add", index), x.shape[dim])
        if own is not None and own.ndim == 1 and s.shape == (*x.shape[:dim], own.size, *x.shape[dim + 1 :]):
            return add(x, AddRows.apply(s, own, dim, tuple(x.shape)))
    axis, places = _along("index_add", x, dim, index, s)
    s = s if alpha == 1 else mul(s, alpha)
    s = s if s.ndim or x.ndim == 0 else reshape(s, (1,))
    return _of_lines(
        x, lambda x: add_at(x, _slices(axis, places), reshape(s, (*x.shape[:axis], places.size, *x.shape[axis + 1 :])))
    )


@operation
def index_copy(input: Any, dim: int, index: Any, source: Any) -> Any:
    """Put the slices of source at positions along a dimension; of several for one place the last.

    Raises IndexError for positions outside, ValueError for a source of another shape.
    """
    there = _places_along(input, dim, index, True)
    if there is not None and is_few(source) and source._array.shape == there.shape and are_alike(input, source):
        return WriteAt.apply(input, source, there)
    x, s = operand(input), operand(source)
    axis, places = _along("index_copy", x, dim, index, s)
    return _of_lines(
        x, lambda x: put_at(x, _slices(axis, places), reshape(s, (*x.shape[:axis], places.size, *x.shape[axis + 1 :])))
    )


@operation
def index_fill(input: Any, dim: int, index: Any, value: Any) -> Any:
    """Put one value at positions along a dimension; raises IndexError for positions outside."""
    if type(value) is float or type(value) is int:
        there = _places_along(input, dim, index, True)
        if there is not None and input._array.dtype.char != "l":
            return FillAt.apply(input, there, float(value))
    x = operand(input)
    if np.ndim(data_of(value)):
        raise ValueError(f"index_fill: the value has shape {np.shape(data_of(value))}: give one number")
    axis, places = _along("index_fill", x, dim, index, None)
    return _of_lines(x, lambda x: put_at(x, _slices(axis, places), value))


@operation
def index_reduce(input: Any, dim: int, index: Any, source: Any, reduce: str, *, include_self: bool = True) -> Any:
    """Reduce the slices of source, with those of input or without, that go to a place along a dimension.

    `reduce` is "prod", "mean", "amax" or "amin". Raises ValueError for another one, and shapes that do not match.
    """
    if include_self and reduce in ("amax", "amin") and is_few(source):
        there = _places_along(input, dim, index, True, repeated=True)
        if there is not None and source._array.shape == there.shape and are_alike(input, source):
            return ExtremeAt(there, reduce)(input, source)
    x, s = operand(input), operand(source)
    if reduce not in ("prod", "mean", "amax", "amin"):
        raise ValueError(f"index_reduce: reduce is {reduce!r}: give 'prod', 'mean', 'amax' or 'amin'")
    axis, places = _along("index_reduce", x, dim, index, s)
    if not x.ndim:
        return reshape(
            index_reduce(reshape(x, (1,)), 0, places, reshape(s, (places.size,)), reduce, include_self=include_self), ()
        )
    shape = [1] * x.ndim
    shape[axis] = places.size
    wide = dispatch.broadcast_to(places.reshape(shape), tuple(s.shape))
    return _reduced("index_reduce", x, axis, wide, s, reduce, include_self)


@operation
def index_put(input: Any, indices: Any, values: Any, accumulate: bool = False) -> Any:
    """Put values at an index of several arrays, or add them to what is there; see ``x[indices] = values``."""
    x, key = operand(input), tuple([data_of(i) if isinstance(i, Variable) else i for i in indices])
    v = operand(values)
    if not accumulate:
        return put_at(x, key, v)
    shape = np.broadcast_to(np.zeros((), np.int8), x.shape)[Index(key).key].shape
    return add_at(x, key, v if tuple(v.shape) == shape else broadcast_to(v, shape))


# ---- places in all dimensions ---------------------------------------------------------------------------------------


def _key(index: Any, axis: int) -> tuple[Any, ...]:
    """Give the index of positions along one dimension, whose places in the others are their own."""
    grid = [np.arange(n).reshape(-1, *(1,) * (index.ndim - 1 - i)) for i, n in enumerate(index.shape)]
    return tuple([index if i == axis else dispatch.beside(along, index) for i, along in enumerate(grid)])


def _source(what: str, x: Any, dim: int, index: Any, src: Any) -> tuple[int, Any, Any]:
    """Give the dimension, positions and what goes there, cut to the positions' shape."""
    places = positions_of(what, index)
    given = None if isinstance(src, int | float) else operand(src)
    axis, places = check_places(what, tuple(x.shape), dim, places, given)
    if given is None:
        return axis, places, np.broadcast_to(np.asarray(src, x.dtype), places.shape)
    if given.dtype != x.dtype:
        raise TypeError(f"{what}: src has dtype {given.dtype}, input {x.dtype}: convert one of them")
    if not given.ndim:
        return axis, places, broadcast_to(given, places.shape) if places.ndim else given
    return axis, places, getitem(given, tuple([slice(0, n) for n in places.shape]))


@operation
def scatter(input: Any, dim: int, index: Any, src: Any = None, *, value: Any = None, reduce: str | None = None) -> Any:
    """Put elements of src, or a value, at positions along a dimension, for each place that in other dimensions.

    Of several for one place the last is there. `reduce` "add" adds them, "multiply" multiplies. Shapes are those of
    `gather`, of which this is the adjoint. Raises ValueError for other shapes and reductions, IndexError for positions
    outside.
    """
    if reduce is None and type(src) is Variable:
        there = _places_along(input, dim, index, False)
        cut = None if there is None else _cut(input, src, there)
        if cut is not None:
            return WriteAt.apply(input, cut, there)
    x = operand(input)
    given = value if src is None else src
    if given is None:
        raise TypeError("scatter: give src or value")
    if reduce is not None:
        if reduce not in ("add", "multiply"):
            raise ValueError(f"scatter: reduce is {reduce!r}: give 'add' or 'multiply'")
        axis, places, s = _source("scatter", x, dim, index, given)
        kind = "sum" if reduce == "add" else "prod"
        return _reduced("scatter", x, axis, places, s, kind, True)
    axis, places, s = _source("scatter", x, dim, index, given)
    if not x.ndim or not places.ndim:
        line = put_at(reshape(x, (x.size,)), places.reshape(-1), reshape(s, (places.size,)))
        return reshape(line, x.shape)
    return put_at(x, _key(places, axis), s)


@operation
def scatter_add(input: Any, dim: int, index: Any, src: Any) -> Any:
    """Add elements of src at positions along a dimension; several for one place add up. See `scatter`."""
    added = _added(input, dim, index, src) if type(src) is Variable else None
    if added is not None:
        return added
    x = operand(input)
    if type(dim) is int and 0 <= dim < x.ndim and isinstance(src, Variable) and are_alike(x, src):
        own = own_places(positions_of("scatter_add", index), x.shape[dim])
        if own is not None and own.shape == src.shape and _beside(own.shape, dim) == _beside(x.shape, dim):
            return add(x, AddAlong.apply(src, own, dim, tuple(x.shape)))
    places, given = positions_of("scatter_add", index), operand(src)
    if x.ndim and type(data_of(given)) is np.ndarray and given.shape == places.shape and given.dtype == x.dtype:
        along = axis_of("scatter_add", dim, x.ndim)
        own = positions_along(places, along, tuple(x.shape), negative=False) if places.ndim == x.ndim else None
        if own is not None:
            x, given = _both(x, given)
            return add(x, AddAlong.apply(given, own, along, tuple(x.shape)))
    axis, places, s = _source("scatter_add", x, dim, index, src)
    return _reduced("scatter_add", x, axis, places, s, "sum", True)


@operation
def scatter_reduce(input: Any, dim: int, index: Any, src: Any, reduce: str, *, include_self: bool = True) -> Any:
    """Reduce the elements of src, with those of input or without, that go to a place along a dimension. See `scatter`.

    `reduce` is "sum", "prod", "mean", "amax" or "amin"; equal extrema share the gradient. Raises ValueError for others.
    """
    x = operand(input)
    if reduce not in ("sum", "prod", "mean", "amax", "amin"):
        raise ValueError(f"scatter_reduce: reduce is {reduce!r}: give 'sum', 'prod', 'mean', 'amax' or 'amin'")
    if reduce == "sum" and include_self:
        added = _added(x, dim, index, src)
        if added is not None:
            return added
    elif reduce in ("amax", "amin") and include_self:
        there = _places_along(x, dim, index, False, repeated=True)
        cut = None if there is None else _cut(x, src, there)
        if cut is not None:
            return ExtremeAt(there, reduce)(x, cut)
    axis, places, s = _source("scatter_reduce", x, dim, index, src)
    return _reduced("scatter_reduce", x, axis, places, s, reduce, include_self)


def _reduced(what: str, x: Any, axis: int, places: Any, source: Any, kind: str, include: bool) -> Any:
    """Reduce what goes to each place, with the elements that are there or without."""
    if not x.ndim or not places.ndim:
        line = _reduced(
            what, reshape(x, (x.size,)), 0, places.reshape(-1), reshape(source, (places.size,)), kind, include
        )
        return reshape(line, x.shape)
    shape = tuple(x.shape)
    key = _key(places, axis)
    if kind == "sum" and include:
        return add_at(x, key, source)
    data = data_of(x)
    ones = dispatch.full(places.shape, 1, data.dtype, data)
    counts = Scatter(Index(key), shape).forward(ones) if places.size else dispatch.zeros(shape, data.dtype, data)
    met = counts > 0
    kept = x if include else where(met, 0.0 if kind in ("sum", "mean") else _NEUTRAL[kind](data.dtype), x)
    if kind in ("sum", "mean"):
        total = add_at(kept, key, source)
        if kind == "sum":
            return total
        counts = counts + 1 if include else where(met, counts, 1).astype(data.dtype)
        return div(total, counts) if data.dtype.kind == "f" else total // counts.astype(data.dtype)
    return by_order(kept, key, source, kind)


#: What changes nothing in a product or an extremum.
_NEUTRAL: dict[str, Any] = {
    "prod": lambda dtype: dtype.type(1),
    "amax": lambda dtype: dtype.type(-np.inf) if dtype.kind == "f" else np.iinfo(dtype).min,
    "amin": lambda dtype: dtype.type(np.inf) if dtype.kind == "f" else np.iinfo(dtype).max,
}


def by_order(x: Any, key: tuple[Any, ...], source: Any, kind: str) -> Any:
    """Multiply, or take the extremum of, what goes to each place: as a table with a row a place, filled up."""
    shape, data = tuple(x.shape), data_of(x)
    flat: Any = 0
    for part, step in zip(key, dense(shape), strict=True):
        flat = flat + dispatch.in_numpy(part) * step
    if any([is_stand_in(part) for part in (*key, data)]):
        if kind == "prod":
            raise TypeError(
                "scatter: products at positions that jit traces, or vmap has many of: how many meet depends on "
                "elements: take the positions from outside of the function"
            )
        x, source = _both(x, source)
        return ExtremeAt(dispatch.broadcast_to(flat, tuple(source.shape)), kind)(x, source)
    flat = np.broadcast_to(flat, source.shape).reshape(-1)
    if kind != "prod" and type(data) is type(data_of(source)) is np.ndarray and data.dtype.kind == "f":
        x, source = _both(x, source)
        return ExtremeAt(flat, kind)(x, source)
    order = np.argsort(flat, kind="stable")
    sorted_ = flat[order]
    first = np.r_[True, sorted_[1:] != sorted_[:-1]] if flat.size else np.zeros(0, bool)
    starts = np.flatnonzero(first)
    rank = np.arange(flat.size) - np.repeat(starts, np.diff(np.r_[starts, flat.size]))
    most = int(rank.max(initial=-1)) + 1
    x, source = _both(x, source)
    table = reshape(x, (x.size, 1))
    if most:
        filled = dispatch.full((x.size, most), _NEUTRAL[kind](data.dtype), data.dtype, data)
        rest = as_variable(filled) if isinstance(x, Variable) else filled
        places = (dispatch.beside(sorted_, data), dispatch.beside(rank, data))
        values = getitem(reshape(source, (source.size,)), dispatch.beside(order, data))
        rest = rest.detach() if isinstance(rest, Variable) else rest
        table = cat([table, put_at(rest, places, values)], 1)
    found = prod(table, 1) if kind == "prod" else (amax if kind == "amax" else amin)(table, 1)
    return reshape(found, shape)


# ---- pieces ----------------------------------------------------------------------------------------------------------


@operation
def put(input: Any, index: Any, source: Any, accumulate: bool = False) -> Any:
    """Put elements at positions counted through all of input, or add them; raises IndexError for positions outside."""
    if is_few(input) and is_few(source) and not accumulate and type(index) is Variable and are_alike(input, source):
        own = own_positions(index._array, input._array.size)
        if own is not None and own.size == source._array.size:
            return WriteAt.apply(input, source, finding.last(own, input._array.size))
    x, places, s = operand(input), positions_of("put", index), operand(source)
    if s.size != places.size:
        raise ValueError(f"put: {s.size} elements for {places.size} positions: give as many")
    work = add_at if accumulate else put_at
    return reshape(work(reshape(x, (x.size,)), places.reshape(-1), reshape(s, (s.size,))), x.shape)


@operation
def select_scatter(input: Any, src: Any, dim: int, index: int) -> Any:
    """Give input with src in place of the slice at a place along a dimension; raises ValueError for another shape."""
    x, s = operand(input), operand(src)
    axis = axis_of("select_scatter", dim, x.ndim)
    if not -x.shape[axis] <= index < x.shape[axis]:
        raise IndexError(f"select_scatter: {index} is out of range for {x.shape[axis]} elements")
    shape = (*x.shape[:axis], *x.shape[axis + 1 :])
    if tuple(s.shape) != shape:
        raise ValueError(f"select_scatter: src has shape {tuple(s.shape)}: it must be {shape}")
    return put_at(x, (*_slices(axis, index), ...), s)


@operation
def slice_scatter(
    input: Any, src: Any, dim: int = 0, start: int | None = None, end: int | None = None, step: int = 1
) -> Any:
    """Give input with src in place of a slice along a dimension; raises ValueError for another shape."""
    x, s = operand(input), operand(src)
    axis = axis_of("slice_scatter", dim, x.ndim)
    if step < 1:
        raise ValueError(f"slice_scatter: step is {step}: it must be positive")
    count = len(range(x.shape[axis])[start:end:step])
    shape = (*x.shape[:axis], count, *x.shape[axis + 1 :])
    if tuple(s.shape) != shape:
        raise ValueError(f"slice_scatter: src has shape {tuple(s.shape)}: it must be {shape}")
    return put_at(x, (*_slices(axis, slice(start, end, step)), ...), s)


@operation
def diagonal_scatter(input: Any, src: Any, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Any:
    """Give input with src in place of a diagonal of two dimensions; raises ValueError for another shape."""
    x, s = operand(input), operand(src)
    first, second = axis_of("diagonal_scatter", dim1, x.ndim), axis_of("diagonal_scatter", dim2, x.ndim)
    if first == second:
        raise ValueError(f"diagonal_scatter: dimensions {dim1} and {dim2} are one")
    places = _diagonal_places(tuple(x.shape), offset, first, second)
    if tuple(s.shape) != places.shape:
        raise ValueError(f"diagonal_scatter: src has shape {tuple(s.shape)}: it must be {places.shape}")
    if is_few(x) and type(s) is Variable and s.dtype == x.dtype:
        return WriteAt.apply(x, s, places)
    flat = put_at(reshape(x, (x.size,)), dispatch.beside(places.reshape(-1).copy(), data_of(x)), reshape(s, (s.size,)))
    return reshape(flat, x.shape)


@lru_cache(64)
def _diagonal_places(shape: tuple[int, ...], offset: int, first: int, second: int) -> Any:
    return np.ascontiguousarray(np.diagonal(np.arange(math.prod(shape)).reshape(shape), offset, first, second))
