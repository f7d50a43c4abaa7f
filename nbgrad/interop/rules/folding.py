"""Functions that fold axes, or run along one: sums, means, extremes, quantiles and their like."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ...ops import elementwise as plain
from ...ops import reduction, statistics
from ...ops import scan as scans
from ...ops.shape import broadcast_to
from ...variable import Variable, data_of
from .operands import axis_within, beside, computes, floating, has_kernels, operand, ours, together

#: What an option is where it was not given.
NONE: Any = np._NoValue


def _given(value: Any) -> bool:
    return value is not NONE and value is not None


def _masked(a: Any, where: Any, fill: Any) -> Any:
    """Give an array with a number in the place of what does not count."""
    return a if where is NONE or where is True else plain.where(_mask(where, a), a, fill)


def _mask(where: Any, a: Any) -> Any:
    mask = together(data_of(where), a)[0]
    return beside(mask if mask.dtype == np.bool_ else mask.astype(bool), a)


def _initial(initial: Any) -> Any:
    return initial if isinstance(initial, int | float) else operand(initial)


def _summing(name: str) -> Any:
    """Make the rule of np.sum or np.prod."""
    neutral = {"sum": 0, "prod": 1}[name]
    function: Any = getattr(reduction, name)

    def rule(
        a: Any,
        axis: Any = None,
        dtype: Any = None,
        out: None = None,
        keepdims: Any = False,
        initial: Any = NONE,
        where: Any = NONE,
    ) -> Any:
        if out is not None or not computes(a) or (dtype is not None and not has_kernels(dtype)):
            return NotImplemented
        if dtype is not None and a.dtype.kind == "f" and np.dtype(dtype).kind != "f":
            return NotImplemented  # rounds
        result = function(_masked(a, where, neutral), axis=axis, keepdims=kept(keepdims), dtype=dtype)
        if not _given(initial):
            return result
        if result.dtype.kind != "f":
            initial = operand(initial).astype(result.dtype)
        return result + _initial(initial) if name == "sum" else result * _initial(initial)

    return rule


def kept(keepdims: Any) -> bool | None:
    return (keepdims is not NONE and bool(keepdims)) or None


def _mean(
    a: Any, axis: Any = None, dtype: Any = None, out: None = None, keepdims: Any = False, *, where: Any = NONE
) -> Any:
    if out is not None or not computes(a) or (dtype is not None and not has_kernels(dtype)):
        return NotImplemented
    if dtype is not None and np.dtype(dtype).kind != "f":
        return NotImplemented
    if where is NONE or where is True:
        return reduction.mean(a, axis=axis, keepdims=kept(keepdims), dtype=dtype)
    a = floating(a) if dtype is None else a.astype(dtype)
    return _mean_of_some(a, _mask(where, a), axis, keepdims)[0]


def _mean_of_some(a: Any, mask: Any, axis: Any, keepdims: Any) -> tuple[Any, Any]:
    """Give the mean of the elements that count, and how many there are."""
    total = reduction.sum(plain.where(mask, a, 0.0), axis=axis, keepdims=kept(keepdims))
    counted = broadcast_to(beside(mask, a), a.shape).astype(a.dtype)
    count = reduction.sum(counted, axis=axis, keepdims=kept(keepdims))
    return total / count, count


def _scan(name: str, whole: bool = True) -> Any:
    """Make the rule of np.cumsum or, along the first axis unless another is given, of a ufunc's accumulate."""

    def rule(a: Any, axis: Any = None if whole else 0, dtype: Any = None, out: None = None) -> Any:
        if out is not None or not computes(a) or (axis is None and not whole):
            return NotImplemented
        if name in ("cummax", "cummin"):
            return NotImplemented if dtype is not None or not a.ndim else getattr(scans, name)(a, axis)[0]
        if axis is None:
            a, axis = a.reshape(-1), 0
        return getattr(scans, name)(a, axis, dtype=dtype) if a.ndim else NotImplemented

    return rule


def _cumulative(name: str) -> Any:
    """Make the rule of np.cumulative_sum or np.cumulative_prod."""
    rule = _scan({"sum": "cumsum", "prod": "cumprod"}[name])

    def cumulative(
        x: Any, /, *, axis: Any = None, dtype: Any = None, out: None = None, include_initial: bool = False
    ) -> Any:
        if not ours(x):
            return NotImplemented
        if axis is None and x.ndim != 1:
            raise ValueError(f"np.cumulative_{name} of shape {x.shape}: give an axis")
        along = 0 if axis is None else axis
        found = rule(x, along, dtype, out)
        if found is NotImplemented or not include_initial:
            return found
        along = axis_within(along, x.ndim)
        first = np.full((*x.shape[:along], 1, *x.shape[along + 1 :]), int(name == "prod"), found.dtype)
        return np.concatenate([beside(first, x), found], along)

    return cumulative


def _extremum(name: str) -> Any:
    """Make the rule of np.max or np.min."""
    combine: Any = plain.maximum if name == "amax" else plain.minimum

    def rule(
        a: Any, axis: Any = None, out: None = None, keepdims: Any = False, initial: Any = NONE, where: Any = NONE
    ) -> Any:
        if out is not None or not computes(a, "fiu"):
            return NotImplemented
        if not _given(initial):
            if where is not NONE and where is not True:
                return NotImplemented  # NumPy says what is missing
            return getattr(reduction, name)(a, axis=axis, keepdims=kept(keepdims))
        initial = _initial(initial)
        if a.dtype.kind != "f" or ours(initial) or not a.size:
            return NotImplemented
        masked = _masked(a, where, initial)
        return combine(getattr(reduction, name)(masked, axis=axis, keepdims=kept(keepdims)), initial)

    return rule


def _ptp(a: Any, axis: Any = None, out: None = None, keepdims: Any = False) -> Any:
    if out is not None:
        return NotImplemented
    keepdims = bool(kept(keepdims))
    return np.max(a, axis, keepdims=keepdims) - np.min(a, axis, keepdims=keepdims)


def _deviation(name: str) -> Any:
    """Make the rule of np.var or np.std."""
    function: Any = getattr(statistics, name)

    def rule(
        a: Any,
        axis: Any = None,
        dtype: Any = None,
        out: None = None,
        ddof: float = 0,
        keepdims: Any = False,
        *,
        where: Any = NONE,
        mean: Any = NONE,
        correction: Any = NONE,
    ) -> Any:
        ddof = ddof if correction is NONE else correction
        if out is not None or not computes(a) or ours(ddof) or (dtype is not None and np.dtype(dtype).kind != "f"):
            return NotImplemented
        if dtype is not None:
            a = a.astype(dtype)
        if mean is NONE and (where is NONE or where is True):
            return function(a, axis=axis, correction=ddof, keepdims=kept(keepdims))
        mask = np.ones((), bool) if where is NONE else _mask(where, a)
        return _deviation_of_some(name, floating(a), mask, axis, ddof, keepdims, mean)

    return rule


def _deviation_of_some(name: str, a: Any, mask: Any, axis: Any, ddof: Any, keepdims: Any, mean: Any = NONE) -> Any:
    a = plain.where(beside(mask, a), a, 0.0)  # the square of NaN would make NaN of a cotangent of 0
    centre, count = _mean_of_some(a, mask, axis, True)
    if mean is not NONE:
        centre = operand(mean)
    squares = plain.where(beside(mask, a), plain.square(a - centre), 0.0)
    total = reduction.sum(squares, axis=axis, keepdims=kept(keepdims))
    divisor = plain.clamp((count if kept(keepdims) else count.reshape(total.shape)) - ddof, min=0.0)
    return total / divisor if name == "var" else _root(total / divisor)


def _root(x: Any) -> Any:
    """Give square roots, whose gradient at 0 is taken for 0, as that of nbgrad.std is."""
    zero = operand(data_of(x)) == 0
    return plain.where(zero, 0.0, plain.sqrt(plain.where(zero, 1.0, x)))


def _count(function: Any) -> Any:
    """Make the rule of np.any and the like; of Variables they tell what they tell of arrays."""

    def rule(a: Any, axis: Any = None, out: None = None, keepdims: Any = False) -> Any:
        if out is not None or isinstance(a, Variable) or not computes(a):
            return NotImplemented
        return function(a, axis=axis, keepdims=kept(keepdims))

    return rule


def _average(a: Any, axis: Any = None, weights: Any = None, returned: bool = False, *, keepdims: Any = False) -> Any:
    keepdims = bool(kept(keepdims))
    a = operand(a)
    if weights is None:
        result = np.mean(a, axis, keepdims=keepdims)
        return (result, np.full(result.shape, a.size / max(result.size, 1))) if returned else result
    a, weights = together(a, weights)
    if a.shape != weights.shape and isinstance(axis, int) and weights.ndim == 1:
        along = axis_within(axis, a.ndim)
        if weights.shape[0] != a.shape[along]:
            return NotImplemented  # NumPy says why
        weights = weights.reshape(tuple(-1 if i == along else 1 for i in range(a.ndim)))
        weights = broadcast_to(weights, a.shape)
    if a.shape != weights.shape or not any(x.dtype.kind == "f" for x in (a, weights)):
        return NotImplemented
    total = np.sum(weights, axis, keepdims=keepdims)
    result = np.sum(plain.mul(a, weights), axis, keepdims=keepdims) / total
    return (result, broadcast_to(total, result.shape)) if returned else result


# ---- without NaN ----------------------------------------------------------------------------------------------------


def _numbers(a: Any, fill: float) -> Any:
    """Give an array with a number in the place of each NaN."""
    return plain.where(is_nan(a), fill, a) if a.dtype.kind == "f" else a


def is_nan(a: Any) -> Any:
    data = data_of(a)
    return data != data


def _nan_folding(function: Any, fill: float) -> Any:
    """Make the rule of np.nansum and the like, which take NaN for another number."""

    def rule(a: Any, *arguments: Any, **options: Any) -> Any:
        return function(_numbers(a, fill), *arguments, **options) if computes(a) else NotImplemented

    return rule


def _nan_sum(a: Any, axis: Any = None, dtype: Any = None, out: None = None, keepdims: Any = False, **more: Any) -> Any:
    if not computes(a):
        return NotImplemented
    if dtype is not None or out is not None or more:
        return np.sum(_numbers(a, 0), axis, dtype, out, keepdims, **more)
    return statistics.nansum(a, axis=axis, keepdims=kept(keepdims))


def _nan_extremum(function: Any, fill: float) -> Any:
    """Make the rule of np.nanmax or np.nanmin: NaN where there is nothing else."""

    def rule(a: Any, axis: Any = None, out: None = None, keepdims: Any = False) -> Any:
        if out is not None or not computes(a, "f"):
            return NotImplemented
        keepdims = bool(kept(keepdims))
        found = function(_numbers(a, fill), axis, keepdims=keepdims)
        return plain.where(statistics.all(is_nan(a), axis=axis, keepdims=keepdims or None), math.nan, found)

    return rule


def _nan_mean(
    a: Any, axis: Any = None, dtype: Any = None, out: None = None, keepdims: Any = False, *, where: Any = NONE
) -> Any:
    if not computes(a, "f"):
        return NotImplemented
    if where is NONE and dtype is None and out is None:
        return statistics.nanmean(a, axis=axis, keepdims=kept(keepdims))
    mask = ~is_nan(a) if where is NONE else ~is_nan(a) & _mask(where, a)
    return _mean(a, axis, dtype, out, keepdims, where=mask)


def _nan_deviation(name: str) -> Any:
    """Make the rule of np.nanvar or np.nanstd."""

    def rule(
        a: Any, axis: Any = None, dtype: Any = None, out: None = None, ddof: float = 0, keepdims: Any = False
    ) -> Any:
        if out is not None or dtype is not None or not computes(a, "f"):
            return NotImplemented
        return _deviation_of_some(name, a, ~is_nan(a), axis, ddof, keepdims)

    return rule


# ---- variances of several -------------------------------------------------------------------------------------------


def _cov(
    m: Any,
    y: Any = None,
    rowvar: bool = True,
    bias: bool = False,
    ddof: Any = None,
    fweights: Any = None,
    aweights: Any = None,
    *,
    dtype: Any = None,
) -> Any:
    if fweights is not None or aweights is not None:
        return NotImplemented
    if y is not None:
        m, y = together(m, y)
    m = _variables_in_rows(m, rowvar, dtype)
    if y is not None:
        m = np.concatenate([m, _variables_in_rows(y, rowvar, dtype)], 0)
    ddof = (0 if bias else 1) if ddof is None else ddof
    centred = m - np.mean(m, 1, keepdims=True)
    found = np.matmul(centred, np.transpose(centred)) / float(max(m.shape[1] - ddof, 0))
    return np.squeeze(found) if found.shape == (1, 1) else found


def _variables_in_rows(m: Any, rowvar: bool, dtype: Any) -> Any:
    m = np.atleast_2d(operand(m)).astype(np.float64 if dtype is None else dtype)
    return np.transpose(m) if not rowvar and m.shape[0] != 1 else m


def _corrcoef(x: Any, y: Any = None, rowvar: bool = True, *, dtype: Any = None) -> Any:
    found = _cov(x, y, rowvar, dtype=dtype)
    if found is NotImplemented:
        return found
    if not found.ndim:
        return found / found
    spread = np.sqrt(np.diagonal(found))
    return found / spread[:, None] / spread[None]


# ---- along lines ----------------------------------------------------------------------------------------------------


def _apply_along_axis(func1d: Any, axis: int, arr: Any, *args: Any, **kwargs: Any) -> Any:
    arr = operand(arr)
    along = axis_within(axis, arr.ndim)
    moved = np.moveaxis(arr, along, -1)
    lines = moved.reshape((-1, moved.shape[-1]))
    found = np.stack([operand(func1d(lines[i], *args, **kwargs)) for i in range(lines.shape[0])])
    shaped = found.reshape((*moved.shape[:-1], *found.shape[1:]))
    inner = range(found.ndim - 1)
    return np.moveaxis(shaped, [arr.ndim - 1 + i for i in inner], [along + i for i in inner])


def _apply_over_axes(func: Any, a: Any, axes: Any) -> Any:
    a = operand(a)
    for axis in (axes,) if np.ndim(axes) == 0 else axes:
        along = axis_within(axis, a.ndim)
        found = func(a, along)
        a = found if found.ndim == a.ndim else np.expand_dims(found, along)
    return a


def _bincount(x: Any, /, weights: Any = None, minlength: int = 0) -> Any:
    """Add up weights by classes: an index whose adjoint is that of picking."""
    if not isinstance(weights, Variable) or ours(x):
        return NotImplemented
    from ...ops.indexing import Index, Scatter

    places = np.asarray(x)
    size = len(np.bincount(places, minlength=minlength))
    if places.shape != weights.shape:
        return NotImplemented  # NumPy says why
    return Scatter(Index(places), (size,))(operand(weights).astype(np.float64))


RULES: dict[Any, Callable[..., Any]] = {
    np.sum: _summing("sum"),
    np.prod: _summing("prod"),
    np.mean: _mean,
    np.cumsum: _scan("cumsum"),
    np.cumprod: _scan("cumprod"),
    np.cumulative_sum: _cumulative("sum"),
    np.cumulative_prod: _cumulative("prod"),
    **{getattr(np, name): _extremum("a" + name[-3:]) for name in ("max", "min", "amax", "amin")},
    np.ptp: _ptp,
    np.var: _deviation("var"),
    np.std: _deviation("std"),
    np.any: _count(statistics.any),
    np.all: _count(statistics.all),
    np.count_nonzero: _count(statistics.count_nonzero),
    np.average: _average,
    np.nansum: _nan_sum,
    np.nanprod: _nan_folding(np.prod, 1),
    np.nancumsum: _nan_folding(np.cumsum, 0),
    np.nancumprod: _nan_folding(np.cumprod, 1),
    np.nanmax: _nan_extremum(np.max, -math.inf),
    np.nanmin: _nan_extremum(np.min, math.inf),
    np.nanmean: _nan_mean,
    np.nanvar: _nan_deviation("var"),
    np.nanstd: _nan_deviation("std"),
    np.cov: _cov,
    np.corrcoef: _corrcoef,
    np.apply_along_axis: _apply_along_axis,
    np.apply_over_axes: _apply_over_axes,
    np.bincount: _bincount,
}


#: What folds by a ufunc, for ``ufunc.reduce``: our name for it, and the rule.
def _logsumexp(
    a: Any,
    axis: Any = 0,
    dtype: Any = None,
    out: None = None,
    keepdims: Any = False,
    initial: Any = None,
    where: Any = True,
) -> Any:
    if dtype is not None or out is not None or initial is not None or where is not True or not computes(a):
        return NotImplemented
    return reduction.logsumexp(a, axis=axis, keepdims=kept(keepdims))


def _along_the_first(rule: Any, has_dtype: bool) -> Any:
    """Make the rule of a ufunc's reduce: over the first axis, unless others are given."""

    def reduce(
        a: Any,
        axis: Any = 0,
        dtype: Any = None,
        out: None = None,
        keepdims: Any = False,
        initial: Any = NONE,
        where: Any = NONE,
    ) -> Any:
        if has_dtype:
            return rule(a, axis, dtype, out, keepdims, initial, where)
        return NotImplemented if dtype is not None else rule(a, axis, out, keepdims, initial, where)

    return reduce


#: What stands behind ``ufunc.reduce``.
REDUCING: dict[Any, Any] = {
    np.add: _along_the_first(RULES[np.sum], True),
    np.multiply: _along_the_first(RULES[np.prod], True),
    np.maximum: _along_the_first(RULES[np.max], False),
    np.minimum: _along_the_first(RULES[np.min], False),
    np.logaddexp: _logsumexp,
}

#: What stands behind ``ufunc.accumulate``.
ACCUMULATING: dict[Any, Any] = {
    np.add: _scan("cumsum", False), np.multiply: _scan("cumprod", False), np.maximum: _scan("cummax", False),
    np.minimum: _scan("cummin", False), np.logaddexp: _scan("logcumsumexp", False),
}  # fmt: skip

#: What both are, for those who are refused.
REDUCTIONS = {
    np.add: "np.sum", np.multiply: "np.prod", np.maximum: "np.max", np.minimum: "np.min",
    np.logaddexp: "nbgrad.logsumexp",
}  # fmt: skip
SCANS = {
    np.add: "np.cumsum", np.multiply: "np.cumprod", np.maximum: "nbgrad.cummax", np.minimum: "nbgrad.cummin",
    np.logaddexp: "nbgrad.logcumsumexp",
}  # fmt: skip
