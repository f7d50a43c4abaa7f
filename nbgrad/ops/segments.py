"""Reductions of stretches along a dimension, one after the other, each of a length of its own."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..arrays import is_stand_in
from ..kernels import dispatch
from ..registry import operation
from ..variable import data_of
from .arguments import axis_of
from .arranging import narrow
from .elementwise import div, where
from .indexing import from_zero
from .joining import cat
from .picking import operand, positions_of, searchsorted
from .putting import scatter_reduce
from .scan import cumsum
from .shape import broadcast_to, reshape
from .slicing import diff

#: What `scatter_reduce` calls each reduction, and what it begins with.
_KINDS = {
    "sum": ("sum", 0.0),
    "mean": ("sum", 0.0),
    "prod": ("prod", 1.0),
    "max": ("amax", -np.inf),
    "min": ("amin", np.inf),
}


@operation(method=False)
def segment_reduce(
    data: Any,
    reduce: str,
    *,
    lengths: Any = None,
    offsets: Any = None,
    axis: int = 0,
    unsafe: bool = False,
    initial: float | None = None,
) -> Any:
    """Reduce segments, stretches along a dimension that follow one another: by "sum", "mean", "prod", "max" or "min".

    They are given by their `lengths`, whole numbers of shape ``(*data.shape[:axis], count)`` that add up to the
    elements along the dimension, or by `offsets`, of one number more: where each begins, and the last ends. What a
    segment begins with is `initial`; otherwise an empty one gives 0, NaN, 1, -inf or inf. With `unsafe` nobody looks
    whether lengths add up, and what is in no segment is left out. Equal extrema share the gradient. Raises ValueError
    for other names, shapes and lengths, TypeError for data that are not floating.

    >>> import nbgrad
    >>> nbgrad.segment_reduce(nbgrad.tensor([1.0, 2.0, 3.0, 4.0]), "sum", lengths=nbgrad.tensor([1, 0, 3]))
    Variable([1., 0., 9.])
    """
    x = operand(data)
    if reduce not in _KINDS:
        raise ValueError(f"segment_reduce: reduce is {reduce!r}: give 'sum', 'mean', 'prod', 'max' or 'min'")
    if x.dtype.kind != "f" or not x.ndim:
        raise TypeError(f"segment_reduce: data of dtype {x.dtype} and shape {x.shape}: give floating ones, no scalar")
    along = axis_of("segment_reduce", axis, x.ndim)
    first, size = tuple(x.shape[:along]), x.shape[along]
    if (lengths is None) == (offsets is None):
        raise ValueError("segment_reduce: give lengths, or offsets")
    given = positions_of("segment_reduce", offsets if lengths is None else lengths)
    if tuple(given.shape[:-1]) != first or given.ndim != along + 1 or (lengths is None and not given.shape[-1]):
        what = "offsets" if lengths is None else "lengths"
        raise ValueError(
            f"segment_reduce: {what} of shape {given.shape} for axis {axis} of shape {tuple(x.shape)}: "
            f"give {(*first, 'count')}"
        )
    bounds = _segments(given if lengths is None else _bounds(given), size, unsafe)
    kind, neutral = _KINDS[reduce]
    count = bounds.shape[-1] - 1
    like = data_of(x)
    each = broadcast_to(dispatch.arange(size, 1, like), (*first, size))
    places = searchsorted(bounds, each, right=True) - 1
    places = where(places < 0, count, places)  # before the first, as behind the last: in a place that is cut off
    wide = broadcast_to(reshape(places, (*first, size, *(1,) * (x.ndim - along - 1))), tuple(x.shape))
    shape = (*first, count + 1, *x.shape[along + 1 :])
    begin = dispatch.full(shape, neutral if initial is None else initial, like.dtype, like)
    found = narrow(scatter_reduce(begin, along, wide, x, kind), along, 0, count)
    if reduce != "mean":
        return found
    widths = diff(bounds, dim=-1).astype(like.dtype)
    widths = widths if initial is None else where(widths > 0, widths, 1)  # none at all: 0 / 0
    return div(found, reshape(widths.astype(like.dtype), (*first, count, *(1,) * (x.ndim - along - 1))))


def _bounds(lengths: Any) -> Any:
    """Give where each of the segments begins, and the last ends."""
    begin = dispatch.zeros((*lengths.shape[:-1], 1), np.int64, lengths)
    return cat([begin, cumsum(lengths, -1).astype(np.int64)], -1)


def _segments(bounds: Any, size: int, unsafe: bool) -> Any:
    """Give bounds; ValueError for those of no segments. Of what stands in for them, runs look where they lie."""
    outside = "segment_reduce: segments from {} to {} of {}"
    found = from_zero(bounds, size + 1, lambda low, high: ValueError(outside.format(low, high, size)), "segment_reduce")
    if is_stand_in(bounds):
        return found
    here = dispatch.in_numpy(bounds)
    if (np.diff(here, axis=-1) < 0).any() or (not unsafe and (here[..., -1:] != size).any()):
        raise ValueError(
            f"segment_reduce: segments that begin and end at {here.tolist()} of {size} elements: they ascend, and end "
            "with the last element unless unsafe=True"
        )
    return found
