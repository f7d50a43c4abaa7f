"""Counts in bins of several dimensions."""

from __future__ import annotations

import builtins
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ..kernels import dispatch
from ..registry import operation
from ..variable import Variable, data_of
from .elementwise import div, where
from .picking import operand
from .putting import index_add
from .reduction import sum
from .shape import reshape


class Histogram(NamedTuple):
    """What `histogramdd` gives."""

    hist: Any
    bin_edges: tuple[Any, ...]


@operation(method=False)
def histogramdd(
    input: Any,
    bins: int | Sequence[Any],
    *,
    range: Sequence[float] | None = None,
    weight: Any = None,
    density: bool = False,
) -> Histogram:
    """Count points of shape (..., n), or add up their weights of shape (...), in the cells of a grid: (counts, edges).

    `bins` are edges for each of the n dimensions, ascending, or numbers of equal bins, between the smallest and the
    largest of the points' coordinates unless `range` has two bounds for each dimension. A point on an edge is in the
    cell above it, on the last in the one below, and outside of all in none. With `density` the counts are divided by
    their sum and by the cells' sizes. Gradients go to weights. Raises ValueError for other shapes, TypeError for points
    that are not floating.

    >>> import nbgrad
    >>> nbgrad.histogramdd(nbgrad.tensor([[0.0, 1.0], [1.0, 0.0], [1.0, 1.0]]), [2, 2]).hist
    Variable([[0., 1.],
              [1., 1.]])
    """
    x = operand(input)
    if x.dtype.kind != "f":
        raise TypeError(f"histogramdd: points have dtype {x.dtype}: they must be floating")
    if x.ndim < 2:
        raise ValueError(f"histogramdd: points have shape {x.shape}: it is (..., dimensions)")
    dims = x.shape[-1]
    points = dispatch.in_numpy(data_of(x)).reshape(-1, dims)
    given = [bins] * dims if isinstance(bins, int) else list(bins)
    if len(given) != dims or (range is not None and len(range) != 2 * dims):
        raise ValueError(
            f"histogramdd: {len(given)} bins and {'no' if range is None else len(range)} bounds for points of {dims} "
            "dimensions: give bins for each, and two bounds for each or none"
        )
    bounds = [None if range is None else tuple(range[2 * i : 2 * i + 2]) for i in builtins.range(dims)]
    edges = [_edges(points[:, i], cut, bound) for i, (cut, bound) in enumerate(zip(given, bounds, strict=True))]
    counts = [len(cut) - 1 for cut in edges]
    cell, inside = np.zeros(len(points), np.int64), np.ones(len(points), np.bool_)
    for values, cut, count in zip(points.T, edges, counts, strict=True):
        place = np.searchsorted(cut, values, "right") - 1
        place[values == cut[-1]] = count - 1
        inside &= (values >= cut[0]) & (values <= cut[-1])
        cell = cell * count + np.clip(place, 0, count - 1)
    like = data_of(x)
    if weight is None:
        weights = dispatch.beside(inside.astype(x.dtype), like)
        weights = Variable(weights, requires_grad=False) if isinstance(x, Variable) else weights
    else:
        weights = operand(weight)
        if weights.shape != x.shape[:-1]:
            raise ValueError(f"histogramdd: weights have shape {weights.shape}: it must be {x.shape[:-1]}")
        weights = where(dispatch.beside(inside, like), reshape(weights, len(points)), 0.0)
    zeros = dispatch.beside(np.zeros(math.prod(counts), x.dtype), like)
    hist = reshape(index_add(zeros, 0, dispatch.beside(cell, like), weights), *counts)
    if density:
        sizes = np.ones((), x.dtype)
        for cut in edges:
            sizes = sizes[..., None] * np.diff(cut)
        hist = div(div(hist, sum(hist)), dispatch.beside(sizes, like))
    found = [dispatch.beside(cut, like) for cut in edges]
    return Histogram(hist, tuple([Variable(cut) if isinstance(x, Variable) else cut for cut in found]))


def _edges(values: Any, cut: Any, bound: Any) -> Any:
    """Give the edges along a dimension, of the points' dtype."""
    if not isinstance(cut, int):
        found = dispatch.in_numpy(data_of(operand(cut))).astype(values.dtype)
        if found.ndim != 1 or len(found) < 2 or bound is not None or not (np.diff(found) >= 0).all():
            raise ValueError(
                f"histogramdd: edges {found}: they are a vector of at least two, in ascending order, and have no range"
            )
        return found
    low, high = bound if bound is not None else (values.min(), values.max()) if values.size else (0.0, 1.0)
    if cut < 1 or not low <= high or not math.isfinite(high - low):
        raise ValueError(f"histogramdd: {cut} bins from {low} to {high}: give one, and the lower bound first")
    low, high = (low - 0.5, high + 0.5) if low == high else (low, high)
    return np.linspace(low, high, cut + 1, dtype=values.dtype)
