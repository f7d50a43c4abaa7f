"""Functions that put elements in order, and those that lie between two of them in order."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ...arrays import is_stand_in
from ...ops import elementwise as plain
from ...ops.joining import take_along_dim
from ...variable import Variable
from .folding import is_nan, kept
from .operands import axis_within, beside, is_number, operand, ours

# ---- quantiles ------------------------------------------------------------------------------------------------------


def _quantile(function: Any, scale: float) -> Any:
    """Make the rule of np.quantile and its like.

    A quantile lies between two elements in order, at a fraction that depends on their number alone: what NumPy's own
    function gives for the numbers 0, 1, ... in the places of the ordered elements.
    """
    skips_nan = function in (np.nanquantile, np.nanpercentile)

    def rule(
        a: Any,
        q: Any,
        axis: Any = None,
        out: None = None,
        overwrite_input: bool = False,
        method: Any = "linear",
        keepdims: Any = False,
    ) -> Any:
        if out is not None or not isinstance(a, Variable) or a.dtype.kind != "f" or ours(q) or not a.size:
            return NotImplemented
        dtype = a.dtype if is_number(q) else np.result_type(a.dtype, np.asarray(q).dtype, np.float16)
        q = np.asarray(q) / scale
        axes = range(a.ndim) if axis is None else (axis,) if np.ndim(axis) == 0 else axis
        over = sorted({axis_within(i, a.ndim) for i in axes})
        rest = [i for i in range(a.ndim) if i not in over]
        shape, count = tuple(a.shape[i] for i in rest), math.prod(a.shape[i] for i in over)
        lines = a.transpose((*rest, *over)).reshape((*shape, count)) if a.ndim else a.reshape(1)
        ordered = _sort(lines)
        ranks = np.broadcast_to(np.arange(float(count)), ordered.shape)
        if skips_nan:
            ranks = np.where(is_nan(ordered), math.nan, ranks)
        places = (np.nanquantile if skips_nan else np.quantile)(ranks, q.reshape(-1), axis=-1, method=method)
        places = np.moveaxis(np.nan_to_num(places), 0, -1)
        lower, upper = (f(places).astype(np.int64) for f in (np.floor, np.ceil))
        share = beside((places - lower).astype(dtype), a)
        first, second = take_along_dim(ordered, lower, -1), take_along_dim(ordered, upper, -1)
        # infinities next to each other have no difference
        between = plain.where(share == 0, first, first + share * (second - first))
        end = ordered[..., :1] if skips_nan else ordered[..., -1:]  # NaN come last, and the first is one if all are
        found = plain.where(is_nan(end), math.nan, between)
        found = found.transpose((found.ndim - 1, *range(found.ndim - 1)))
        if kept(keepdims):
            shape = tuple(1 if i in over else size for i, size in enumerate(a.shape))
        return found.reshape((*q.shape, *shape))

    return rule


def _median(function: Any) -> Any:
    """Make the rule of np.median or np.nanmedian."""

    def rule(a: Any, axis: Any = None, out: None = None, overwrite_input: bool = False, keepdims: Any = False) -> Any:
        return function(a, 0.5, axis, out, keepdims=keepdims)

    return rule


def _sort(a: Any, axis: Any = -1, kind: Any = None, order: None = None, *, stable: Any = None) -> Any:
    if not isinstance(a, Variable) or not a.ndim or order is not None:
        return NotImplemented
    if axis is None:
        a, axis = a.reshape(-1), 0
    options = {name: value for name, value in (("kind", kind), ("stable", stable)) if value is not None}
    return take_along_dim(a, np.argsort(a.data, axis, **options), axis)


def _partition(a: Any, kth: Any, axis: Any = -1, kind: Any = "introselect", order: None = None) -> Any:
    if not isinstance(a, Variable) or not a.ndim or ours(kth) or order is not None:
        return NotImplemented
    if axis is None:
        a, axis = a.reshape(-1), 0
    return take_along_dim(a, np.argpartition(a.data, kth, axis, kind=kind), axis)


def _unique(
    ar: Any,
    return_index: bool = False,
    return_inverse: bool = False,
    return_counts: bool = False,
    axis: Any = None,
    *,
    equal_nan: bool = True,
    sorted: bool = True,
) -> Any:
    """Pick the first of equal elements, in order; what else is asked for are places."""
    if not isinstance(ar, Variable) or is_stand_in(ar.data) or ar.dtype.kind != "f":
        return NotImplemented
    unique: Any = np.unique
    found = unique(ar.data, True, return_inverse, return_counts, axis, equal_nan=equal_nan)
    values = ar.reshape(-1)[found[1]] if axis is None else np.take(ar, found[1], axis)
    rest = found[1:] if return_index else found[2:]
    return (values, *rest) if rest else values


def _unique_with(function: Any) -> Any:
    """Make the rule of np.unique_counts or its like: the values are picked, all else is places and numbers."""

    def rule(x: Any, /) -> Any:
        if not isinstance(x, Variable) or is_stand_in(x.data):
            return NotImplemented
        values, *others = function(x.data)
        first = np.unique(x.data, return_index=True, equal_nan=False)[1]
        picked = x.reshape(-1)[first]
        return type(function(np.zeros(1)))(picked, *others) if picked.shape == values.shape else NotImplemented

    return rule


def _unique_values(x: Any, /) -> Any:
    """Pick as np.unique does, in the order that NumPy's function happens to have."""
    found = _unique(x)
    if found is NotImplemented or np.isnan(found.data).any():
        return NotImplemented
    return found[np.searchsorted(found.data, np.unique_values(x.data))]


def _union1d(ar1: Any, ar2: Any) -> Any:
    return _unique(np.concatenate([operand(ar1).reshape(-1), operand(ar2).reshape(-1)]))


def _trim_zeros(filt: Any, trim: str = "fb", axis: Any = None) -> Any:
    if not isinstance(filt, Variable) or is_stand_in(filt.data) or filt.ndim != 1 or axis not in (None, 0, -1):
        return NotImplemented
    places = np.flatnonzero(filt.data)
    if not places.size:
        return filt[:0]
    begin = places[0] if "f" in trim.lower() else 0
    return filt[begin : places[-1] + 1 if "b" in trim.lower() else None]


_quantiles = {f: _quantile(f, scale) for f, scale in (
    (np.quantile, 1), (np.nanquantile, 1), (np.percentile, 100), (np.nanpercentile, 100),
)}  # fmt: skip

RULES: dict[Any, Callable[..., Any]] = {
    **_quantiles,
    np.median: _median(_quantiles[np.quantile]),
    np.nanmedian: _median(_quantiles[np.nanquantile]),
    np.sort: _sort,
    np.unique: _unique,
    np.unique_values: _unique_values,
    **{f: _unique_with(f) for f in (np.unique_all, np.unique_counts, np.unique_inverse)},
    np.union1d: _union1d,
    np.trim_zeros: _trim_zeros,
    np.partition: _partition,
}
