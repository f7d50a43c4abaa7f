"""Distances of vectors, and angles between them."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..kernels import dispatch
from ..ops.arguments import axis_of
from ..ops.elementwise import add, div, maximum, mul, sub
from ..ops.indexing import getitem
from ..ops.norms import vector_norm
from ..ops.reduction import sum
from ..ops.shape import expand
from ..variable import data_of
from .reduced import broadcasting
from .windows import operand

__all__ = ["cosine_similarity", "pairwise_distance", "pdist"]


def cosine_similarity(x1: Any, x2: Any, dim: int = 1, eps: float = 1e-8) -> Any:
    """Give the cosine of the angle between vectors along a dimension: ``x1 / |x1| @ x2 / |x2|``, lengths at least eps.

    The two broadcast. Raises ValueError for shapes that do not, IndexError for a dimension that does not exist.

    >>> import nbgrad
    >>> x = nbgrad.tensor([[1.0, 0.0]])
    >>> nbgrad.nn.functional.cosine_similarity(x, nbgrad.tensor([[3.0, 4.0]]))
    Variable([0.6])
    """
    x, y = operand("cosine_similarity", x1), operand("cosine_similarity", x2)
    if x.shape != y.shape:
        broadcasting("cosine_similarity", x, y)
    product = mul(x, y)
    axis = axis_of("cosine_similarity", dim, product.ndim) if product.ndim or dim not in (0, -1) else ()
    if x.shape != product.shape:
        x = expand(x, *product.shape)
    if y.shape != product.shape:
        y = expand(y, *product.shape)
    lengths = [maximum(vector_norm(v, 2, axis, True), eps) for v in (x, y)]
    return sum(mul(div(x, lengths[0]), div(y, lengths[1])), axis)


def pairwise_distance(x1: Any, x2: Any, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False) -> Any:
    """Give the p-norm of ``x1 - x2 + eps`` along the last dimension; the two broadcast.

    Raises ValueError for shapes that do not.
    """
    x, y = operand("pairwise_distance", x1), operand("pairwise_distance", x2)
    return vector_norm(add(sub(x, y), eps), p, -1, keepdim)


def pdist(input: Any, p: float = 2.0) -> Any:
    """Give the p-norms of the differences of each two rows of a matrix, the first row's with all others first.

    Raises ValueError for what is no matrix, and for a negative p.
    """
    x = operand("pdist", input)
    if x.ndim != 2:
        raise ValueError(f"pdist: input has shape {x.shape}: it takes a matrix")
    if p < 0:
        raise ValueError(f"pdist: p is {p}: it must not be negative")
    first, second = [dispatch.beside(places, data_of(x)) for places in np.triu_indices(x.shape[0], 1)]
    if not x.shape[1]:
        return sum(getitem(x, first), 1)
    return vector_norm(sub(getitem(x, first), getitem(x, second)), p, 1)
