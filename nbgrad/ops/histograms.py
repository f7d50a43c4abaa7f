"""Counts in bins of several dimensions."""

from __future__ import annotations

import builtins
import math
from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from ..kernels import dispatch
from ..registry import operation
from ..variable import Variable, data_of
from .elementwise import div, mul, where
from .picking import operand
from .putting import index_add
from .reduction import sum
from .shape import reshape
from .slicing import diff


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
    given = [bins] * dims if isinstance(bins, int) else list(bins)
    if len(given) != dims or (range is not None and len(range) != 2 * dims):
        raise ValueError(
            f"histogramdd: {len(given)} bins and {'no' if range is None else len(range)} bounds for points of {dims} "
            "dimensions: give bins for each, and two bounds for each or none"
        )
    bounds = [None if range is None else tuple(range[2 * i : 2 * i + 2]) for i in builtins.range(dims)]
    like = data_of(x)
    cuts = [cut if isinstance(cut, int) else data_of(operand(cut)) for cut in given]
    kept = [cut if isinstance(cut, int) else None for cut in cuts]
    arrays = [cut for cut in cuts if not isinstance(cut, int)]
    cell, inside, *edges = dispatch.called("histogramdd", partial(_cells, kept, bounds), like, *arrays)
    counts = [len(cut) - 1 for cut in edges]
    if weight is None:
        weights = inside.astype(x.dtype)
        weights = Variable(weights, requires_grad=False) if isinstance(x, Variable) else weights
    else:
        weights = operand(weight)
        if weights.shape != x.shape[:-1]:
            raise ValueError(f"histogramdd: weights have shape {weights.shape}: it must be {x.shape[:-1]}")
        weights = where(inside, reshape(weights, -1), 0.0)
    zeros = dispatch.zeros((math.prod(counts),), x.dtype, like)
    hist = reshape(index_add(zeros, 0, cell, weights), *counts)
    if density:
        sizes: Any = 1.0
        for axis, cut in enumerate(edges):
            sizes = mul(sizes, reshape(diff(cut), *[-1 if i == axis else 1 for i in builtins.range(dims)]))
        hist = div(div(hist, sum(hist)), sizes)
    return Histogram(hist, tuple([Variable(cut) if isinstance(x, Variable) else cut for cut in edges]))


def _cells(cuts: list[int | None], bounds: list[Any], points: Any, *arrays: Any) -> tuple[Any, ...]:
    """Give the cell of each point, whether it is in one, and the edges along each dimension."""
    lines = dispatch.in_numpy(points).reshape(-1, points.shape[-1]).T
    given = map(dispatch.in_numpy, arrays)
    edges = [
        _edges(line, next(given) if cut is None else cut, bound)
        for line, cut, bound in zip(lines, cuts, bounds, strict=True)
    ]
    cell, inside = np.zeros(lines.shape[1], np.int64), np.ones(lines.shape[1], np.bool_)
    for values, cut in zip(lines, edges, strict=True):
        count = len(cut) - 1
        place = np.searchsorted(cut, values, "right") - 1
        place[values == cut[-1]] = count - 1
        inside &= (values >= cut[0]) & (values <= cut[-1])
        cell = cell * count + np.clip(place, 0, count - 1)
    return tuple([dispatch.beside(a, points) for a in (cell, inside, *edges)])


def _edges(values: Any, cut: Any, bound: Any) -> Any:
    """Give the edges along a dimension, of the points' dtype."""
    if not isinstance(cut, int):
        found = cut.astype(values.dtype)
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
