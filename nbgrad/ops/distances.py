"""Distances between vectors, what limits their lengths, and covariances."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from ..kernels.shapes import broadcast_shapes
from ..registry import operation
from ..variable import Given, Variable, data_of
from .arguments import axis_of
from .elementwise import add, clamp, div, gt, mul, sqrt, sub, where
from .indexing import getitem
from .linalg import matmul
from .norms import vector_norm
from .reduction import mean, sum
from .shape import broadcast_to, reshape, t, unsqueeze
from .steps import plain


@operation
def dist(input: Any, other: Any, p: float = 2) -> Any:
    """Give the norm of order p of input - other, with broadcasting.

    >>> import nbgrad
    >>> nbgrad.dist(nbgrad.tensor([3.0, 0.0]), nbgrad.tensor([0.0, 4.0]))
    Variable(5.)
    """
    return vector_norm(sub(plain(input), plain(other)), p)


@operation(method=False)
def cdist(input: Any, other: Any, p: float = 2.0, compute_mode: str = "use_mm_for_euclid_dist_if_necessary") -> Any:
    """Give the distances of order p between all rows of two stacks of matrices, (..., m, d) and (..., n, d).

    They are computed from differences, whatever the mode. Raises ValueError for rows of different lengths and for a
    negative order.

    >>> import nbgrad
    >>> nbgrad.cdist(nbgrad.tensor([[0.0, 0.0]]), nbgrad.tensor([[3.0, 4.0], [0.0, 1.0]]))
    Variable([[5., 1.]])
    """
    x, y = plain(input), plain(other)
    if x.ndim < 2 or y.ndim < 2 or x.shape[-1] != y.shape[-1]:
        raise ValueError(f"cdist: shapes {x.shape} and {y.shape}: takes matrices with rows of one length")
    if x.dtype.kind != "f" or y.dtype.kind != "f":
        raise TypeError(f"cdist: dtypes {x.dtype} and {y.dtype}: takes floating ones")
    if p < 0:
        raise ValueError(f"cdist: the order is {p}: give 0 or more")
    modes = ("use_mm_for_euclid_dist_if_necessary", "use_mm_for_euclid_dist", "donot_use_mm_for_euclid_dist")
    if compute_mode not in modes:
        raise ValueError(f"cdist: compute_mode is one of {', '.join(modes)}, got {compute_mode!r}")
    if not x.shape[-1]:  # of rows without elements
        stack = broadcast_shapes(x.shape[:-2], y.shape[:-2])
        return add(
            broadcast_to(unsqueeze(sum(x, -1), -1), (*stack, x.shape[-2], y.shape[-2])), unsqueeze(sum(y, -1), -2)
        )
    return vector_norm(sub(unsqueeze(x, -2), unsqueeze(y, -3)), p, -1)


@operation(method=False)
def pdist(input: Given, p: float = 2) -> Given:
    """Give the distances of order p between all pairs of rows of a matrix, in the order of the upper triangle.

    Raises ValueError for anything but a matrix.
    """
    x = plain(input)
    if x.ndim != 2:
        raise ValueError(f"pdist: shape {x.shape}: takes a matrix")
    if p < 0:
        raise ValueError(f"pdist: the order is {p}: give 0 or more")
    first, second = _pairs(x.shape[0])
    if not x.shape[1]:
        return sum(getitem(x, first), -1)
    return vector_norm(sub(getitem(x, first), getitem(x, second)), p, -1)


@lru_cache(16)
def _pairs(count: int) -> tuple[Any, Any]:
    """Give the numbers of both members of all pairs."""
    return np.triu_indices(count, 1)


@operation
def renorm(input: Given, p: float, dim: int, maxnorm: float) -> Given:
    """Shorten slices along a dimension whose norm of order p is above `maxnorm` to that.

    Raises ValueError for orders that are not above 0, negative limits, and fewer than two dimensions.
    """
    x: Any = plain(input)
    if x.ndim < 2:
        raise ValueError(f"renorm: shape {x.shape} has no slices: at least two dimensions are needed")
    if p <= 0 or maxnorm < 0:
        raise ValueError(f"renorm: the order is {p} and the limit {maxnorm}: the order is above 0, no limit below")
    along = axis_of("renorm", dim, x.ndim)
    norms = vector_norm(x, p, tuple(i for i in range(x.ndim) if i != along), True)
    long = gt(norms.detach() if isinstance(norms, Variable) else norms, maxnorm)
    factor = div(maxnorm, add(where(long, norms, 1.0), 1e-7))
    found: Any = mul(x, where(long, factor, 1.0))
    return found


# ---- covariances ----------------------------------------------------------------------------------------------------


def _weights(what: str, weights: Any, name: str, count: int, whole: bool) -> Any:
    weights = plain(weights)
    if weights.ndim > 1 or (weights.ndim == 1 and weights.shape[0] != count):
        raise ValueError(f"{what}: {name} of shape {weights.shape} for {count} observations: give one for each")
    if weights.dtype.kind not in ("iu" if whole else "f"):
        raise TypeError(f"{what}: {name} has dtype {weights.dtype}: they are {'whole' if whole else 'floating'}")
    if bool((data_of(weights) < 0).any()):
        raise ValueError(f"{what}: {name} has negative numbers")
    return weights


@operation
def cov(input: Any, *, correction: int = 1, fweights: Any = None, aweights: Any = None) -> Any:
    """Give the covariances of variables, the rows of a matrix, whose columns are observations.

    `fweights` say how often an observation came, `aweights` how much it counts. Raises ValueError for more than two
    dimensions, and for weights that do not fit or are negative.

    >>> import nbgrad
    >>> nbgrad.cov(nbgrad.tensor([[0.0, 2.0], [1.0, -1.0]]))
    Variable([[ 2., -2.],
              [-2.,  2.]])
    """
    x = plain(input)
    if x.ndim > 2:
        raise ValueError(f"cov: shape {x.shape}: takes a matrix, or a vector of one variable")
    if x.dtype.kind == "b":
        raise TypeError("cov: dtype bool has no mean")
    if x.dtype.kind != "f":
        x = x.astype(np.float64)
    single = x.ndim < 2 or x.shape[0] == 1
    rows = reshape(x, (1, x.size)) if x.ndim < 2 else x
    count = rows.shape[1]
    weights: Any = None
    if fweights is not None:
        weights = _weights("cov", fweights, "fweights", count, True)
        weights = weights.astype(rows.dtype)
    by_worth: Any = None
    if aweights is not None:
        by_worth = _weights("cov", aweights, "aweights", count, False).astype(rows.dtype)
        weights = by_worth if weights is None else mul(weights, by_worth)
    if weights is None:
        total: Any = float(count)
        centred = sub(rows, mean(rows, 1, True)) if count else rows
        weighed, norm = centred, float(count - correction)
    else:
        total = sum(weights)
        if not float(data_of(total)):
            raise ZeroDivisionError("cov: the weights add up to 0")
        centred = sub(rows, div(sum(mul(rows, weights), 1, True), total))
        weighed = mul(centred, weights)
        norm = total
        if correction and by_worth is not None:
            norm = sub(total, div(mul(sum(mul(weights, by_worth)), float(correction)), total))
        elif correction:
            norm = sub(total, float(correction))
    norm = max(norm, 0.0) if isinstance(norm, float) else clamp(norm, min=0.0)
    found = div(matmul(weighed, t(centred)), norm)
    return reshape(found, ()) if single else found


@operation
def corrcoef(input: Any) -> Any:
    """Give the correlations of variables, the rows of a matrix, whose columns are observations, within -1...1."""
    x = plain(input)
    if x.ndim > 2:
        raise ValueError(f"corrcoef: shape {x.shape}: takes a matrix, or a vector of one variable")
    c = cov(x)
    if not c.ndim:
        return div(c, c)
    places = np.arange(c.shape[0])
    deviations = sqrt(getitem(c, (places, places)))
    return clamp(div(div(c, unsqueeze(deviations, 1)), unsqueeze(deviations, 0)), -1.0, 1.0)
