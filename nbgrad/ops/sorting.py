"""Functions that put elements in order, and those that ask for an element's place in it; values carry the gradient.

NaN counts as the largest number, as PyTorch and NumPy have it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..arrays import Array, as_array, is_stand_in
from ..kernels import dispatch
from ..kernels.cpu import ordering
from ..registry import operation
from ..variable import Given, Variable, data_of
from .arguments import axis_of, either, whole_numbers
from .elementwise import add, div, mul, sub, where
from .extrema import ValuesAndIndices
from .indexing import GetItem, getitem
from .joining import TakeAlong, take_along_dim
from .reduction import sum
from .shape import Reshape, permute, reshape
from .steps import constant, plain


def _along(what: str, x: Any, dim: Any, axis: Any, default: int | None = -1) -> int:
    """Give the dimension that is named; a scalar passes for a vector of one element."""
    return axis_of(what, either(what, "dim", dim, "axis", axis, default), max(x.ndim, 1))


def _picked(x: Any, places: Array, along: int, keepdim: bool = True) -> ValuesAndIndices:
    """Give the elements at places along a dimension, and the places."""
    if not x.ndim:
        places = as_array(places).reshape(())
        values = x
    else:
        if type(places) is np.ndarray:
            places = np.ascontiguousarray(places)
            values = TakeAlong.apply(x, places.copy(), along)  # a copy: the other one is the caller's
        else:
            values = take_along_dim(x, places, along)
        if not keepdim:
            shape = (*x.shape[:along], *x.shape[along + 1 :])
            values, places = Reshape(shape)(values), places.reshape(shape)
    return ValuesAndIndices(values, Variable(places, requires_grad=False) if isinstance(x, Variable) else places)


def _order(x: Array, along: int, descending: bool = False) -> Array:
    """Give the places of the elements in order; equal ones keep theirs."""
    if not x.ndim:
        return np.zeros((), np.int64)
    if ordering.is_for(x, along):
        return ordering.order(x, along, descending)
    if not descending:
        return np.argsort(x, along, kind="stable")
    turned = (*(slice(None),) * along, slice(None, None, -1))
    backwards = np.argsort(x[turned], along, kind="stable")
    return (x.shape[along] - 1 - backwards)[turned]


@operation
def sort(
    input: Any, dim: int | None = None, descending: bool = False, stable: bool = True, *, axis: int | None = None
) -> ValuesAndIndices:
    """Put elements in order along a dimension, the last unless given: (values, indices). Equal ones keep their order.

    NaN come last, or, if `descending`, first. Raises IndexError for a dimension that does not exist.

    >>> import nbgrad
    >>> nbgrad.sort(nbgrad.tensor([2.0, 3.0, 1.0]), descending=True).indices
    Variable([1, 0, 2])
    """
    x = plain(input)
    along = _along("sort", x, dim, axis)
    return _picked(x, _order(data_of(x), along, bool(descending)), along)


@operation
def argsort(
    input: Any, dim: int | None = None, descending: bool = False, stable: bool = True, *, axis: int | None = None
) -> Any:
    """Give the places of the elements in order, in the ways of `sort`."""
    x = plain(input)
    along = _along("argsort", x, dim, axis)
    return constant(lambda data: _order(data, along, bool(descending)), x)


@operation
def msort(input: Given) -> Given:
    """Put elements in order along the first dimension."""
    values: Given = sort(input, 0).values
    return values


@operation
def topk(
    input: Any, k: int, dim: int | None = None, largest: bool = True, sorted: bool = True, *, axis: int | None = None
) -> ValuesAndIndices:
    """Give the k largest or smallest elements along a dimension, the last unless given, in order: (values, indices).

    Raises ValueError for more than there are.

    >>> import nbgrad
    >>> nbgrad.topk(nbgrad.tensor([1.0, 3.0, 2.0]), 2).values
    Variable([3., 2.])
    """
    x = plain(input)
    along = _along("topk", x, dim, axis)
    (count,) = whole_numbers("topk", (k,))
    size = x.shape[along] if x.ndim else 1
    if not 0 <= count <= size:
        raise ValueError(f"topk: {count} elements of {size} in dimension {along} of shape {x.shape}")
    if not x.ndim:
        return _picked(x, np.zeros((), np.int64), 0) if count else _picked(reshape(x, (1,))[:0], np.zeros(0, int), 0)
    data = data_of(x)
    first: tuple[Any, ...] = (slice(None),) * along
    if 4 * count > size or not count:
        return _picked(x, _order(data, along, bool(largest))[(*first, slice(count))], along)
    part = np.argpartition(data, size - count if largest else count - 1, along)
    part = part[(*first, slice(size - count, None) if largest else slice(count))]
    part = np.sort(part, along)  # equal ones in their order
    order = _order(np.take_along_axis(data, part, along), along, bool(largest))
    return _picked(x, np.take_along_axis(part, order, along), along)


@operation
def kthvalue(
    input: Any,
    k: int,
    dim: int | None = None,
    keepdim: bool = False,
    *,
    axis: int | None = None,
    keepdims: bool | None = None,
) -> ValuesAndIndices:
    """Give the k-th smallest element along a dimension, counted from 1: (values, indices).

    Raises ValueError for a k that is less than 1 or more than there are.
    """
    x = plain(input)
    along = _along("kthvalue", x, dim, axis)
    keep = bool(either("kthvalue", "keepdim", keepdim or None, "keepdims", keepdims, False))
    (number,) = whole_numbers("kthvalue", (k,))
    size = x.shape[along] if x.ndim else 1
    if not 1 <= number <= size:
        raise ValueError(f"kthvalue: number {number} of {size} elements in dimension {along} of shape {x.shape}")
    order = _order(data_of(x), along)
    place = order[(*(slice(None),) * along, slice(number - 1, number))] if x.ndim else order
    return _picked(x, place, along, keep)


# ---- medians --------------------------------------------------------------------------------------------------------


def _middle(x: Array, along: int, skips_nan: bool) -> Array:
    """Give the place of the lower of the middle elements; of the first NaN, unless these are skipped."""
    size = x.shape[along]
    order = _order(x, along)
    if x.dtype.kind != "f":
        return np.take(order, [(size - 1) // 2], along)
    count = np.sum(x == x, along, keepdims=True)
    if skips_nan:
        rank = np.maximum(count - 1, 0) // 2
    else:
        rank = np.where(count < size, count, (size - 1) // 2)
    return np.take_along_axis(order, rank, along)


def _median(what: str, input: Any, dim: Any, keepdim: bool, axis: Any, keepdims: Any, skips_nan: bool) -> Any:
    x = plain(input)
    dim = either(what, "dim", dim, "axis", axis)
    keep = bool(either(what, "keepdim", keepdim or None, "keepdims", keepdims, False))
    if dim is None:
        return _evenly(x, skips_nan)
    along = axis_of(what, dim, max(x.ndim, 1))
    if x.ndim and not x.shape[along]:
        raise IndexError(f"{what}: no elements to take it of in dimension {along} of shape {x.shape}")
    if not x.ndim:
        return _picked(x, np.zeros((), np.int64), along, keep)
    data = data_of(x)
    middle = _middle(dispatch.in_numpy(data), along, skips_nan)
    return _picked(x, dispatch.beside(middle, data), along, keep)


def _evenly(x: Any, skips_nan: bool) -> Any:
    """Give the median of all elements; those that are equal to it share its gradient."""
    if not x.size:
        found = np.full((), np.nan, x.dtype)
        return add(sum(x), Variable(found) if isinstance(x, Variable) else found) if x.dtype.kind == "f" else sum(x)
    flat = reshape(x, (x.size,))
    data = data_of(flat)
    if type(data) is np.ndarray and data.dtype.char in "fd":
        order = _order(data, 0)
        place = (data.size - 1) // 2
        least, value, next_, last = data[order[[max(place - 1, 0), place, min(place + 1, data.size - 1), -1]]].tolist()
        if last == last and (least < value or not place) and (value < next_ or place == data.size - 1):
            return GetItem.apply(flat, int(order[place]))  # without NaN, and it is the only one
    here = dispatch.in_numpy(data)
    value = np.take(here, _middle(here, 0, skips_nan)[0])
    if x.dtype.kind != "f":
        found = dispatch.beside(as_array(value), data)
        return Variable(found, requires_grad=False) if isinstance(x, Variable) else found
    same = (here == value) | ((here != here) & (value != value))
    count = np.sum(same)
    center = dispatch.beside(as_array(np.nan_to_num(value, nan=0.0, posinf=0.0, neginf=0.0)).astype(x.dtype), data)
    shares = where(dispatch.beside(same, data), sub(flat, center), np.zeros((), x.dtype))
    if is_stand_in(count) or count > 1:  # what is added up is 0, or what the value is far off all
        shares = div(shares, dispatch.beside(as_array(count).astype(x.dtype), data))
    return add(sum(shares), center)


@operation
def median(
    input: Any, dim: int | None = None, keepdim: bool = False, *, axis: int | None = None, keepdims: bool | None = None
) -> Any:
    """Give the median, the lower one of two in the middle; NaN where there is one.

    Along a dimension it is (values, indices); of all elements one value, whose gradient equal elements share. Raises
    IndexError where there are no elements along a dimension.

    >>> import nbgrad
    >>> nbgrad.median(nbgrad.tensor([4.0, 1.0, 3.0, 2.0]))
    Variable(2.)
    """
    return _median("median", input, dim, keepdim, axis, keepdims, False)


@operation
def nanmedian(
    input: Any, dim: int | None = None, keepdim: bool = False, *, axis: int | None = None, keepdims: bool | None = None
) -> Any:
    """Give the median of what is not NaN, in the ways of `median`; NaN where nothing is."""
    return _median("nanmedian", input, dim, keepdim, axis, keepdims, True)


@operation
def mode(
    input: Any, dim: int | None = None, keepdim: bool = False, *, axis: int | None = None, keepdims: bool | None = None
) -> ValuesAndIndices:
    """Give the most frequent element along a dimension, the smallest of several, and its last place.

    Raises IndexError where there are no elements.
    """
    x = plain(input)
    along = _along("mode", x, dim, axis)
    keep = bool(either("mode", "keepdim", keepdim or None, "keepdims", keepdims, False))
    if not x.ndim:
        return _picked(x, np.zeros((), np.int64), 0)
    if not x.shape[along]:
        raise IndexError(f"mode: no elements to take it of in dimension {along} of shape {x.shape}")
    data = dispatch.in_numpy(data_of(x))
    order = np.moveaxis(_order(data, along), along, -1)
    lines = np.take_along_axis(np.moveaxis(data, along, -1), order, -1)
    numbers = np.broadcast_to(np.arange(lines.shape[-1]), lines.shape)
    begins = np.concatenate([np.ones_like(lines[..., :1], bool), lines[..., 1:] != lines[..., :-1]], -1)
    length = numbers - np.maximum.accumulate(np.where(begins, numbers, 0), -1)  # of the run, up to each element
    last = np.argmax(length, -1)[..., None]
    places = np.moveaxis(np.take_along_axis(order, last, -1), -1, along)
    return _picked(x, dispatch.beside(places, data_of(x)), along, keep)


# ---- quantiles ------------------------------------------------------------------------------------------------------

_METHODS = ("linear", "lower", "higher", "midpoint", "nearest")


def _quantile(
    what: str, input: Any, q: Any, dim: Any, keepdim: bool, method: str, axis: Any, keepdims: Any, skips_nan: bool
) -> Any:
    x = plain(input)
    if x.dtype.kind != "f":
        raise TypeError(f"{what}: dtype {x.dtype}: convert to a floating dtype first")
    if method not in _METHODS:
        raise ValueError(f"{what}: interpolation is one of {', '.join(_METHODS)}, got {method!r}")
    shares = np.asarray(dispatch.in_numpy(data_of(q)), np.float64)
    if hasattr(q, "dtype") and q.dtype != x.dtype:
        raise TypeError(f"{what}: q has dtype {q.dtype}, input {x.dtype}: convert one of them first")
    if shares.ndim > 1:
        raise ValueError(f"{what}: q of shape {shares.shape}: give a number or a vector")
    if not bool(((shares >= 0) & (shares <= 1)).all()):
        raise ValueError(f"{what}: q is {shares}: shares are from 0 to 1")
    dim = either(what, "dim", dim, "axis", axis)
    keep = bool(either(what, "keepdim", keepdim or None, "keepdims", keepdims, False))
    kept = [1] * x.ndim
    if dim is None:
        lines = reshape(x, (x.size,))
    else:
        along = axis_of(what, dim, max(x.ndim, 1))
        kept = [1 if i == along else size for i, size in enumerate(x.shape)]
        lines = permute(x, (*(i for i in range(x.ndim) if i != along), along)) if x.ndim else reshape(x, (1,))
    if not lines.shape[-1]:
        raise ValueError(f"{what}: no elements to take it of in shape {x.shape}")
    known = dispatch.beside(shares.reshape(-1).astype(x.dtype), data_of(x))
    of_shares = reshape(q, (shares.size,)) if isinstance(q, Variable) else known
    found = _between(lines, of_shares, method, skips_nan)
    found = permute(found, (found.ndim - 1, *range(found.ndim - 1)))
    if keep:
        return reshape(found, (*shares.shape, *kept))
    return reshape(found, (*shares.shape, *found.shape[1:]))


def _between(lines: Any, q: Any, method: str, skips_nan: bool) -> Any:
    """Give what lies at shares q between the elements of lines in order, as a last dimension."""
    shares = dispatch.in_numpy(data_of(q))
    ordered = sort(lines, -1).values
    data = dispatch.in_numpy(data_of(ordered))
    count = np.sum(data == data, -1, keepdims=True)
    last = np.maximum(count - 1, 0) if skips_nan else np.full_like(count, lines.shape[-1] - 1)
    places = last * shares
    if not skips_nan:
        places = np.where(count < lines.shape[-1], last, places)
    if method in ("lower", "higher", "nearest"):
        rounded = {"lower": np.floor, "higher": np.ceil, "nearest": np.rint}[method](places)
        return take_along_dim(ordered, dispatch.beside(rounded.astype(np.int64), data_of(lines)), -1)
    lower, upper = (f(places).astype(np.int64) for f in (np.floor, np.ceil))
    weight = np.full(places.shape, 0.5) if method == "midpoint" else places - lower
    # infinities next to each other have no difference
    weights: Any = as_array(np.where(lower == upper, 0, weight).astype(lines.dtype))
    lower, upper, last, weights = (dispatch.beside(a, data_of(lines)) for a in (lower, upper, last, weights))
    first, second = take_along_dim(ordered, lower, -1), take_along_dim(ordered, upper, -1)
    equal = weights == 0
    if isinstance(q, Variable) and method == "linear":
        weights = sub(mul(q, last.astype(lines.dtype)), lower.astype(lines.dtype))
    return where(equal, first, add(first, mul(weights, sub(second, first))))


@operation
def quantile(
    input: Given,
    q: Any,
    dim: int | None = None,
    keepdim: bool = False,
    *,
    interpolation: str = "linear",
    axis: int | None = None,
    keepdims: bool | None = None,
) -> Given:
    """Give what a share q of the elements, of all or along a dimension, lies below; of several shares first of all.

    Between elements in order it is interpolated: "linear", "lower", "higher", "midpoint" or "nearest". NaN where there
    is one. Raises TypeError for whole numbers, ValueError for shares outside of 0...1.

    >>> import nbgrad
    >>> nbgrad.quantile(nbgrad.tensor([1.0, 2.0, 4.0]), 0.75)
    Variable(3.)
    """
    found: Given = _quantile("quantile", input, q, dim, keepdim, interpolation, axis, keepdims, False)
    return found


@operation
def nanquantile(
    input: Given,
    q: Any,
    dim: int | None = None,
    keepdim: bool = False,
    *,
    interpolation: str = "linear",
    axis: int | None = None,
    keepdims: bool | None = None,
) -> Given:
    """Give the `quantile` of what is not NaN; NaN where nothing is."""
    found: Given = _quantile("nanquantile", input, q, dim, keepdim, interpolation, axis, keepdims, True)
    return found


# ---- different elements ---------------------------------------------------------------------------------------------


def _firsts(x: Any, places: Array, along: int | None) -> Any:
    """Give the elements of a Variable at places, of all or along a dimension."""
    return getitem(Reshape((-1,))(x), places) if along is None else getitem(x, (*(slice(None),) * along, places))


def _results(x: Any, found: tuple[Any, ...]) -> Any:
    """Give what was found: of Variables as such, arrays among it as constants; one alone, several as a tuple."""
    if isinstance(x, Variable):
        found = tuple(v if isinstance(v, Variable) else Variable(as_array(v), requires_grad=False) for v in found)
    return found[0] if len(found) == 1 else found


@operation
def unique(
    input: Any,
    sorted: bool = True,
    return_inverse: bool = False,
    return_counts: bool = False,
    dim: int | None = None,
    *,
    axis: int | None = None,
) -> Any:
    """Give the different elements in order, or the different slices along a dimension; gradients go to the first ones.

    With them, where asked for, each element's place among them, and how often each comes. NaN differ from each other.
    """
    x = plain(input)
    dim = either("unique", "dim", dim, "axis", axis)
    along = None if dim is None else axis_of("unique", dim, max(x.ndim, 1))
    like = data_of(x)
    data = dispatch.in_numpy(like)
    if not x.ndim:
        along = None
    found = np.unique(data, True, True, True, axis=along, equal_nan=False)
    values, firsts, inverse, counts = (dispatch.beside(a, like) for a in found)
    inverse = inverse.reshape(tuple(data.shape) if dim is None else -1)
    values = values if not isinstance(x, Variable) else _firsts(x, firsts, along)
    return _results(x, (values, *[inverse] * return_inverse, *[counts] * return_counts))


@operation
def unique_consecutive(
    input: Any,
    return_inverse: bool = False,
    return_counts: bool = False,
    dim: int | None = None,
    *,
    axis: int | None = None,
) -> Any:
    """Leave of equal elements, or slices along a dimension, that follow each other only the first, with its gradient.

    With them, where asked for, each element's place among them, and how often each comes.
    """
    x = plain(input)
    dim = either("unique_consecutive", "dim", dim, "axis", axis)
    data = dispatch.in_numpy(data_of(x))
    along = None if dim is None else axis_of("unique_consecutive", dim, x.ndim)
    rows = data.reshape(-1) if along is None else np.moveaxis(data, along, 0)
    changes = (
        (rows[1:] != rows[:-1]).reshape(len(rows) - 1, -1).any(-1) if len(rows) > 1 and rows.size else rows[:0] != 0
    )
    begins = np.concatenate([np.ones(min(len(rows), 1), bool), changes])
    values = rows[begins] if rows.size or dim is None else rows[:0]
    inverse = np.cumsum(begins) - 1
    counts = np.diff(np.append(np.flatnonzero(begins), len(rows)))
    if dim is None:
        inverse = inverse.reshape(data.shape)
    else:
        values = np.moveaxis(values, 0, dim)
    firsts, values, inverse, counts = (
        dispatch.beside(a, data_of(x)) for a in (np.flatnonzero(begins), values, inverse, counts)
    )
    if isinstance(x, Variable) and (rows.size or dim is None):
        values = _firsts(x, firsts, along)
    return _results(x, (values, *[inverse] * return_inverse, *[counts] * return_counts))
