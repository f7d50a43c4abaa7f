"""Picking by arrays of positions and masks, counting, and finding places."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np

from ..arrays import as_array, is_array, is_stand_in
from ..function import constant
from ..kernels import dispatch, placement
from ..registry import operation
from ..variable import Variable, data_of
from .arguments import axis_of
from .indexing import GetRows, bounds, elements_at, from_zero, getitem, own_places, own_positions
from .joining import TakeAlong, is_small, positions_along, take_along_dim
from .shape import broadcast_to, reshape


def operand(x: Any) -> Any:
    """Give what a function takes as a Variable or an array."""
    return x if isinstance(x, Variable) or is_array(x) else as_array(x)


def positions_of(what: str, index: Any) -> Any:
    """Give an array of whole numbers; raises TypeError for another dtype."""
    found = data_of(index) if isinstance(index, Variable) or is_array(index) else as_array(index)
    if found.dtype.kind not in "iu":
        if not found.size and not isinstance(index, Variable):
            return found.astype(np.int64)
        raise TypeError(f"{what}: positions have dtype {found.dtype}: they must be whole numbers")
    return found


def mask_of(what: str, mask: Any) -> Any:
    """Give an array of truth values; raises TypeError for another dtype."""
    found = data_of(mask) if isinstance(mask, Variable) or is_array(mask) else as_array(mask)
    if found.dtype != np.bool_:
        raise TypeError(f"{what}: the mask has dtype {found.dtype}: it takes bool")
    return found


def among(what: str, index: Any, count: int) -> Any:
    """Give positions; raises IndexError for those outside, and for negative ones, which elsewhere count backwards."""
    return from_zero(
        index, count, lambda low, high: IndexError(f"{what}: positions from {low} to {high} of {count} elements"), what
    )


@operation
def index_select(input: Any, dim: int, index: Any) -> Any:
    """Give the slices at positions along a dimension.

    Raises IndexError for positions outside, ValueError for more than one dimension of them.

    >>> import nbgrad
    >>> nbgrad.index_select(nbgrad.tensor([[1.0, 2.0], [3.0, 4.0]]), 1, nbgrad.tensor([1]))
    Variable([[2.],
              [4.]])
    """
    x, index = operand(input), positions_of("index_select", index)
    if type(dim) is int and 0 <= dim < x.ndim and index.ndim == 1 and is_small(data_of(x)):
        own = own_places(index, x.shape[dim])
        if own is not None:
            return GetRows.apply(x, own, dim)
    if index.ndim > 1:
        raise ValueError(f"index_select: positions have shape {index.shape}: they have one dimension")
    axis = axis_of("index_select", dim, x.ndim or 1)
    index = among("index_select", index, x.shape[axis] if x.ndim else 1).reshape(-1)
    if not x.ndim:
        return reshape(getitem(reshape(x, (1,)), index), ())
    return getitem(x, (*(slice(None),) * axis, index))


@operation
def gather(input: Any, dim: int, index: Any, *, sparse_grad: bool = False) -> Any:
    """Give the elements at positions along a dimension, for each place of the positions that in other dimensions.

    Positions have as many dimensions, and are nowhere more than there are elements, but along the dimension. Raises
    ValueError for other shapes, IndexError for positions outside.

    >>> import nbgrad
    >>> nbgrad.gather(nbgrad.tensor([[1.0, 2.0], [3.0, 4.0]]), 1, nbgrad.tensor([[0], [1]]))
    Variable([[1.],
              [4.]])
    """
    x, index = operand(input), positions_of("gather", index)
    if type(dim) is int and 0 <= dim < x.ndim == index.ndim and is_small(data_of(x)):
        mine, theirs = x.shape, index.shape
        if mine[:dim] == theirs[:dim] and mine[dim + 1 :] == theirs[dim + 1 :]:
            own = own_places(index, mine[dim])
            if own is not None:
                return TakeAlong.apply(x, own, dim)
    if type(data_of(x)) is np.ndarray and x.ndim:
        along = axis_of("gather", dim, x.ndim)
        own = positions_along(index, along, x.shape, negative=False) if index.ndim == x.ndim else None
        if own is not None:
            return TakeAlong.apply(x, own, along)
    axis, index = check_places("gather", x.shape, dim, index)
    if not x.ndim or not index.ndim or not index.size:
        return reshape(getitem(reshape(x, (x.size,)), index.reshape(-1)), index.shape)
    x = getitem(x, tuple([slice(None) if i == axis else slice(0, n) for i, n in enumerate(index.shape)]))
    return take_along_dim(x, index, axis)


def check_places(what: str, shape: tuple[int, ...], dim: int, index: Any, source: Any = None) -> tuple[int, Any]:
    """Look whether positions, and perhaps what goes there, belong to a shape; gives the dimension and the positions."""
    axis = axis_of(what, dim, max(len(shape), 1))
    if not index.size and source is None:
        return axis, index
    if max(len(shape), 1) != max(index.ndim, 1):
        raise ValueError(f"{what}: positions have shape {index.shape}, input {shape}: they have as many dimensions")
    if (
        index.ndim
        and shape
        and any([i != axis and n > m for i, (n, m) in enumerate(zip(index.shape, shape, strict=True))])
    ):
        raise ValueError(f"{what}: positions of shape {index.shape} are more than input of shape {shape} has elements")
    if source is not None:
        if max(source.ndim, 1) != max(index.ndim, 1) or any(
            [n > m for n, m in zip(index.shape, source.shape, strict=False)]
        ):
            raise ValueError(f"{what}: positions of shape {index.shape} are more than the elements of {source.shape}")
    return axis, among(what, index, shape[axis] if shape else 1)


@operation
def take(input: Any, index: Any, axis: int | None = None) -> Any:
    """Give the elements at positions, counted through all of input; NumPy's `axis` counts along that.

    Raises IndexError for positions outside.
    """
    x, index = operand(input), positions_of("take", index)
    if axis is not None:
        return getitem(x, (*(slice(None),) * axis_of("take", axis, x.ndim), index))
    if is_small(data := data_of(x)) and type(index) is np.ndarray:
        own = own_positions(index, data.size)
        if own is not None:
            return elements_at(x, own)
    return reshape(getitem(reshape(x, (x.size,)), index.reshape(-1)), index.shape)


@operation
def masked_select(input: Any, mask: Any) -> Any:
    """Give the elements where a mask holds, in one dimension; the two broadcast. Raises TypeError for another mask."""
    x, mask = operand(input), mask_of("masked_select", mask)
    shape = np.broadcast_shapes(x.shape, mask.shape)
    x = x if x.shape == shape else broadcast_to(x, shape)
    mask = mask if mask.shape == shape else dispatch.broadcast_to(mask, shape)
    found = getitem(x, mask if shape else mask.reshape(()))
    return found


@operation
def nonzero(input: Any, *, as_tuple: bool = False) -> Any:
    """Give the places of all elements other than 0: a row each, or a tuple of a vector for each dimension.

    A function that `nbgrad.jit` compiles cannot: the shape depends on elements.
    """
    data = data_of(operand(input))
    if type(data) is np.ndarray and data.ndim and not as_tuple and type(input) is Variable:
        return constant(np.array(data.nonzero()).T.copy())
    if data.dtype.kind not in "fiub":
        raise TypeError(f"nonzero: dtype {data.dtype}: takes numbers and truth values")
    host = dispatch.in_numpy(data)
    flat = np.flatnonzero(host)  # which refuses traced arrays, whose elements nobody knows
    along = np.unravel_index(flat, host.shape) if host.ndim else (() if not as_tuple else (flat,))
    wrap = Variable if isinstance(input, Variable) else lambda x: x
    if as_tuple:
        return tuple([wrap(dispatch.beside(np.asarray(places), data)) for places in along])
    rows = np.stack(along, 1) if along else np.zeros((flat.size, 0), np.int64)
    return wrap(dispatch.beside(rows, data))


@operation
def argwhere(input: Any) -> Any:
    """Give the places of all elements other than 0, a row each; see `nonzero`."""
    return nonzero(input)


@operation
def nonzero_static(input: Any, *, size: int, fill_value: int = -1) -> Any:
    """Give so many rows of `nonzero`, and rows of a value where there are fewer."""
    if size < 0:
        raise ValueError(f"nonzero_static: size is {size}: it must not be negative")

    def first(x: Any) -> Any:
        rows = dispatch.in_numpy(nonzero(x))[:size]
        found = np.full((size, rows.shape[1]), fill_value)
        found[: len(rows)] = rows
        return dispatch.beside(found, x)

    found = dispatch.called("nonzero_static", first, data_of(operand(input)))
    return Variable(found) if isinstance(input, Variable) else found


# ---- places in order, and counts ------------------------------------------------------------------------------------


@operation(method=False)
def searchsorted(
    sorted_sequence: Any,
    input: Any,
    *,
    out_int32: bool = False,
    right: bool = False,
    side: str | None = None,
    sorter: Any = None,
) -> Any:
    """Give where elements would be put to keep a sequence sorted: before equal ones, or behind them (`right`).

    The sequence is a vector, or has the input's shape but for the last dimension. Raises ValueError for other shapes.
    """
    if side not in (None, "left", "right") or (side == "left" and right):
        raise ValueError(f"searchsorted: side is {side!r} and right {right}: give 'left' or 'right'")
    sequence, given = operand(sorted_sequence), operand(input)
    a, v = data_of(sequence), data_of(given)
    behind = right or side == "right"
    if a.ndim == 0 or (a.ndim > 1 and a.shape[:-1] != v.shape[:-1]):
        raise ValueError(f"searchsorted: a sequence of shape {a.shape} for elements of shape {v.shape}: it is a vector")
    if sorter is not None:
        order = positions_of("searchsorted", sorter)
        if order.shape != a.shape:
            raise ValueError(f"searchsorted: sorter has shape {order.shape}, the sequence {a.shape}")
        a = take_along_dim(a, order, -1)
    found = dispatch.called("searchsorted", lambda a, v: _searched(a, v, behind), a, v)
    found = found.astype(np.int32 if out_int32 else np.int64)
    return Variable(found) if isinstance(given, Variable) or isinstance(sequence, Variable) else found


def _searched(a: Any, v: Any, behind: bool) -> Any:
    here: Any = dispatch.in_numpy(a)
    side: Any = "right" if behind else "left"
    values = dispatch.in_numpy(v)
    if a.ndim == 1:
        found = np.asarray(np.searchsorted(here, values, side))
    else:
        count = math.prod(values.shape[:-1])
        rows = zip(here.reshape(count, here.shape[-1]), values.reshape(count, values.shape[-1]), strict=True)
        found = np.array([np.searchsorted(row, each, side) for row, each in rows], np.int64).reshape(values.shape)
    return dispatch.beside(found, v)


@operation(method=False)
def bucketize(input: Any, boundaries: Any, *, out_int32: bool = False, right: bool = False) -> Any:
    """Give the number of the bucket of each element, between boundaries in ascending order; see `searchsorted`."""
    if operand(boundaries).ndim != 1:
        raise ValueError(f"bucketize: boundaries have shape {operand(boundaries).shape}: they have one dimension")
    return searchsorted(boundaries, input, out_int32=out_int32, right=right)


@operation
def bincount(input: Any, weights: Any = None, minlength: int = 0) -> Any:
    """Count how often each whole number comes, or add up the weights of those that do.

    Raises TypeError for what is not whole, ValueError for negative numbers and other shapes than vectors.
    """
    x = positions_of("bincount", input)
    if x.ndim != 1 or (x.size and not is_stand_in(x) and bounds(x)[0] < 0) or minlength < 0:
        raise ValueError(f"bincount: shape {x.shape}, minlength {minlength}: takes a vector of numbers from 0 on")
    w = None if weights is None else data_of(operand(weights))
    if w is not None and w.shape != x.shape:
        raise ValueError(f"bincount: weights have shape {w.shape}, numbers {x.shape}: they must be the same")
    host = dispatch.in_numpy(x)
    counted = np.bincount(host, None if w is None else dispatch.in_numpy(w), minlength)
    found = dispatch.beside(counted, x)
    return Variable(found, requires_grad=False) if isinstance(input, Variable) else found


@operation
def histc(input: Any, bins: int = 100, min: float = 0, max: float = 0) -> Any:
    """Count elements in bins of equal width from min to max; if these are equal, from the smallest to the largest.

    Raises ValueError for no bins, and for a min above max.
    """
    x = operand(input)
    if bins < 1 or min > max:
        raise ValueError(f"histc: {bins} bins from {min} to {max}: give one, and the lower bound first")
    values = dispatch.in_numpy(data_of(x)).reshape(-1)
    low, high = float(min), float(max)
    if low == high and values.size:
        low, high = float(values.min()), float(values.max())
        if not math.isfinite(low) or not math.isfinite(high):
            raise ValueError(f"histc: elements from {low} to {high} make no bins")
    if low == high:
        low, high = low - 1, high + 1
    counted = np.histogram(values, bins, (low, high))[0].astype(x.dtype)
    found = dispatch.beside(counted, data_of(x))
    return Variable(found, requires_grad=False) if isinstance(x, Variable) else found


@operation
def histogram(input: Any, bins: Any, *, range: Any = None, weight: Any = None, density: bool = False) -> Any:
    """Count elements, or add up their weights, in bins between edges, or a number of equal ones: (counts, edges).

    With `density` they are divided by their sum and their widths. Raises ValueError for edges that do not ascend.
    """
    x = operand(input)
    if x.dtype.kind != "f":
        raise TypeError(f"histogram: elements have dtype {x.dtype}: they must be floating")
    values = dispatch.in_numpy(data_of(x)).reshape(-1)
    cut: Any = int(bins) if isinstance(bins, int) else dispatch.in_numpy(data_of(operand(bins)))
    weights = None if weight is None else dispatch.in_numpy(data_of(operand(weight))).reshape(-1)
    if isinstance(cut, int):
        low, high = range if range is not None else (values.min(initial=0.0), values.max(initial=0.0))
        if range is None and values.size:
            low, high = values.min(), values.max()
        if cut < 1 or low > high:
            raise ValueError(f"histogram: {cut} bins from {low} to {high}: give one, and the lower bound first")
        low, high = (low - 0.5, high + 0.5) if low == high else (low, high)
        cut = np.linspace(low, high, cut + 1, dtype=x.dtype)
    elif cut.ndim != 1 or (np.diff(cut) < 0).any() or range is not None:
        raise ValueError("histogram: edges are a vector in ascending order, and have no range")
    counts = np.histogram(values, cut, weights=weights, density=density)[0].astype(x.dtype)
    found = [dispatch.beside(array, data_of(x)) for array in (counts, cut)]
    wrap = isinstance(x, Variable)
    return tuple([Variable(array, requires_grad=False) if wrap else array for array in found])


def _triangle(name: str, function: Any) -> Any:
    def indices(row: int, col: int, offset: int = 0, *, dtype: Any = np.int64, device: Any = None) -> Variable:
        if row < 0 or col < 0:
            raise ValueError(f"{name}: {row} rows and {col} columns: give numbers of at least 0")
        found = kept(row, col, offset, dtype).copy()
        return constant(found if device is None else dispatch.moved(found, placement.named(device)))

    @lru_cache(64)
    def kept(row: int, col: int, offset: int, dtype: Any) -> Any:
        return np.stack(function(row, offset, col)).astype(dtype)

    indices.__name__ = indices.__qualname__ = name
    indices.__doc__ = (
        f"Give the rows and the columns of the {'lower' if 'tril' in name else 'upper'} triangle of a matrix."
    )
    return operation(method=False)(indices)


tril_indices, triu_indices = _triangle("tril_indices", np.tril_indices), _triangle("triu_indices", np.triu_indices)


@operation(method=False)
def unravel_index(input: Any, shape: Any) -> tuple[Any, ...]:
    """Give for positions counted through a shape their places along each dimension; ValueError for those outside."""
    places = positions_of("unravel_index", input)
    sizes = (shape,) if isinstance(shape, int) else tuple(shape)

    def along_each(places: Any) -> Any:
        try:
            return np.unravel_index(dispatch.in_numpy(places), sizes)
        except ValueError:
            low, high = places.min(), places.max()
            raise ValueError(f"unravel_index: positions from {low} to {high} of shape {sizes}") from None

    found = dispatch.called("unravel_index", along_each, places)
    wrap = Variable if isinstance(input, Variable) else lambda x: x
    return tuple([wrap(dispatch.beside(as_array(along), places)) for along in found])
