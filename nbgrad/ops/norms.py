"""Norms of every order, over any dimensions."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from ..arrays import as_array
from ..kernels import reductions
from ..registry import load, operation
from ..variable import Given, Variable
from .arguments import axes_of, either
from .reduction import floating_dtype, kind_of
from .shape import astype

_ORDERS = {
    0: reductions.norm_0,
    1: reductions.norm_1,
    2: reductions.norm,
    math.inf: reductions.norm_inf,
    -math.inf: reductions.norm_minus_inf,
}


def _norm(name: str, x: Any, order: Any, dim: Any, keepdim: Any, dtype: npt.DTypeLike | None) -> Any:
    if isinstance(order, bool) or not isinstance(order, int | float | np.integer | np.floating) or order != order:
        raise TypeError(f"{name}: the order is {order!r}: it is a number, or inf or -inf")
    x = x if isinstance(x, Variable) else as_array(x)
    if dtype is not None:
        x = astype(x, floating_dtype(name, dtype))
    axes, order = axes_of(name, dim, x.ndim), float(order)
    if order in _ORDERS:
        return kind_of(_ORDERS[order]).apply(x, axes, bool(keepdim), ())
    return kind_of(reductions.norm_p).apply(x, axes, bool(keepdim), (order,))


@operation(method=False, public=False)
def vector_norm(
    input: Given,
    ord: float = 2,
    dim: Any = None,
    keepdim: bool = False,
    *,
    axis: Any = None,
    keepdims: bool | None = None,
    dtype: npt.DTypeLike | None = None,
) -> Given:
    """Give sum(abs(input)**ord)**(1 / ord) over the dimensions `dim` (all if None).

    Order inf is the largest magnitude, -inf the smallest, 0 how many elements are not 0, which has no gradient. The
    gradient of 0 is 0; ties of the largest share it equally. Whole numbers give float64. With `dtype`, input is
    converted first. Raises IndexError for a dimension that does not exist, ValueError for the extremum of nothing.

    >>> import nbgrad
    >>> nbgrad.linalg.vector_norm(nbgrad.tensor([[3.0, 4.0], [0.0, -2.0]]), dim=1)
    Variable([5., 2.])
    """
    dim = either("vector_norm", "dim", dim, "axis", axis)
    keepdim = either("vector_norm", "keepdim", keepdim or None, "keepdims", keepdims, False)
    return _norm("vector_norm", input, ord, dim, keepdim, dtype)


@operation
def norm(
    input: Given, p: Any = "fro", dim: Any = None, keepdim: bool = False, dtype: npt.DTypeLike | None = None
) -> Given:
    """Give the norm of order `p` over the dimensions `dim` (all if None): PyTorch's older name for `vector_norm`.

    "fro" and None are order 2, "nuc" is the sum of singular values of matrices, over two dimensions. Raises ValueError
    for other names.

    >>> import nbgrad
    >>> nbgrad.tensor([3.0, -4.0]).norm(), nbgrad.tensor([3.0, -4.0]).norm(1)
    (Variable(5.), Variable(7.))
    """
    if p == "nuc":
        x = astype(input, floating_dtype("norm", dtype)) if dtype is not None else input
        return load("nuclear_norm").function(x, dim, keepdim)
    if isinstance(p, str) and p != "fro":
        raise ValueError(f"norm: the order is {p!r}: there are numbers, inf, -inf, 'fro' and 'nuc'")
    return _norm("norm", input, 2 if p in ("fro", None) else p, dim, keepdim, dtype)
