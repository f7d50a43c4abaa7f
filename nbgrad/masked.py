"""Reductions of the elements that a mask tells to look at, by the names that PyTorch has in `torch.masked`.

All take `mask`, truth values that broadcast to input, and look at all elements without one. Where a mask leaves
nothing to reduce, the result is that of no elements: 0 of a sum, NaN of a mean. What is not looked at has gradient 0.

>>> import nbgrad
>>> x = nbgrad.tensor([[1.0, 2.0], [3.0, 4.0]])
>>> nbgrad.masked.sum(x, 1, mask=nbgrad.tensor([[True, False], [True, True]]))
Variable([1., 7.])
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .arrays import as_array
from .kernels import dispatch
from .ops import elementwise as plain
from .ops import extrema, norms, reduction, scan, sorting
from .ops.arguments import axes_of
from .ops.elementwise import div, mul, sqrt, sub, where
from .ops.shape import astype
from .ops.steps import plain as operand
from .variable import data_of

__all__ = [
    "amax", "amin", "argmax", "argmin", "cumprod", "cumsum", "log_softmax", "logaddexp", "logsumexp", "mean", "median",
    "norm", "normalize", "prod", "softmax", "softmin", "std", "sum", "var",
]  # fmt: skip


def _mask(what: str, x: Any, mask: Any) -> Any:
    """Give a mask as an array of the shape of x; None for none."""
    if mask is None:
        return None
    inside = as_array(data_of(mask))
    if inside.dtype != np.bool_:
        raise TypeError(f"{what}: mask has dtype {inside.dtype}: it is bool")
    try:
        return np.broadcast_to(inside, x.shape)
    except ValueError:
        raise ValueError(f"{what}: a mask of shape {inside.shape} does not broadcast to {x.shape}") from None


def _filled(what: str, input: Any, mask: Any, value: Any, dtype: Any = None) -> tuple[Any, Any]:
    """Give input with a number in place of what is not looked at, and the mask."""
    x = operand(input)
    if dtype is not None:
        x = astype(x, dtype)
    inside = _mask(what, x, mask)
    if inside is None:
        return x, None
    return where(inside, x, np.asarray(value, x.dtype)), inside


def _least(x: Any, sign: int) -> Any:
    """Give the number that no other is below (or above), of the dtype of x."""
    dtype = operand(x).dtype
    if dtype.kind == "f":
        return -math.inf * sign
    limits = np.iinfo(dtype)
    return limits.min if sign > 0 else limits.max


def sum(input: Any, dim: Any = None, *, keepdim: bool = False, dtype: Any = None, mask: Any = None) -> Any:
    """Sum over dimensions, all unless given."""
    x, _ = _filled("sum", input, mask, 0)
    return reduction.sum(x, _over(dim), bool(keepdim), dtype=dtype)


def _over(dim: Any) -> Any:
    return None if dim is None or (isinstance(dim, tuple | list) and not dim) else dim


def prod(input: Any, dim: Any = None, *, keepdim: bool = False, dtype: Any = None, mask: Any = None) -> Any:
    """Multiply over dimensions, all unless given."""
    x, _ = _filled("prod", input, mask, 1)
    return reduction.prod(x, _over(dim), bool(keepdim), dtype=dtype)


def amax(input: Any, dim: Any = None, *, keepdim: bool = False, dtype: Any = None, mask: Any = None) -> Any:
    """Give the largest element over dimensions, all unless given; -infinity of none."""
    x, _ = _filled("amax", input, mask, _least(input, 1), dtype)
    return reduction.amax(x, _over(dim), bool(keepdim))


def amin(input: Any, dim: Any = None, *, keepdim: bool = False, dtype: Any = None, mask: Any = None) -> Any:
    """Give the smallest element over dimensions, all unless given; infinity of none."""
    x, _ = _filled("amin", input, mask, _least(input, -1), dtype)
    return reduction.amin(x, _over(dim), bool(keepdim))


def argmax(input: Any, dim: int | None = None, *, keepdim: bool = False, dtype: Any = None, mask: Any = None) -> Any:
    """Give the first place of the largest element along a dimension, or in all of input; in the dtype of input."""
    x, _ = _filled("argmax", input, mask, _least(input, 1), dtype)
    return astype(extrema.argmax(x, dim, bool(keepdim)), x.dtype)


def argmin(input: Any, dim: int | None = None, *, keepdim: bool = False, dtype: Any = None, mask: Any = None) -> Any:
    """Give the first place of the smallest element along a dimension, or in all of input; in the dtype of input."""
    x, _ = _filled("argmin", input, mask, _least(input, -1), dtype)
    return astype(extrema.argmin(x, dim, bool(keepdim)), x.dtype)


def cumsum(input: Any, dim: int, *, dtype: Any = None, mask: Any = None) -> Any:
    """Sum all elements up to each along a dimension; what is not looked at counts 0."""
    x, _ = _filled("cumsum", input, mask, 0)
    return scan.cumsum(x, dim, dtype=dtype)


def cumprod(input: Any, dim: int, *, dtype: Any = None, mask: Any = None) -> Any:
    """Multiply all elements up to each along a dimension; what is not looked at counts 1."""
    x, _ = _filled("cumprod", input, mask, 1)
    return scan.cumprod(x, dim, dtype=dtype)


def _counts(x: Any, inside: Any, dim: Any, keepdim: bool) -> Any:
    """Give how many elements are looked at, in the dtype of x."""
    axes = axes_of("mean", _over(dim), x.ndim)
    looked = dispatch.full(tuple(x.shape), True, np.bool_, data_of(x)) if inside is None else inside
    return reduction.sum(looked, axes, keepdim).astype(x.dtype)


def mean(input: Any, dim: Any = None, *, keepdim: bool = False, dtype: Any = None, mask: Any = None) -> Any:
    """Average over dimensions, all unless given; NaN of nothing."""
    x, inside = _filled("mean", input, mask, 0, dtype)
    if inside is None:
        return reduction.mean(x, _over(dim), bool(keepdim))
    return div(reduction.sum(x, _over(dim), bool(keepdim)), _counts(x, inside, dim, bool(keepdim)))


def _var(what: str, x: Any, dim: Any, unbiased: Any, keepdim: bool, dtype: Any, mask: Any, correction: Any) -> Any:
    x = operand(x)
    if dtype is not None:
        x = astype(x, dtype)
    inside = _mask(what, x, mask)
    less = 1 if unbiased is None and correction is None else int(unbiased) if correction is None else correction
    middle = mean(x, dim, keepdim=True, mask=mask)
    difference = sub(x, middle)
    squares = mul(difference, difference)
    if inside is not None:
        squares = where(inside, squares, np.zeros((), x.dtype))
    total = reduction.sum(squares, _over(dim), bool(keepdim))
    return div(total, np.maximum(_counts(x, inside, dim, bool(keepdim)) - less, 0).astype(x.dtype))


def var(
    input: Any, dim: Any = None, unbiased: bool | None = None, *, keepdim: bool = False, dtype: Any = None,
    mask: Any = None, correction: Any = None,
) -> Any:  # fmt: skip
    """Give the variance over dimensions, all unless given, with a correction of 1 unless given."""
    return _var("var", input, dim, unbiased, keepdim, dtype, mask, correction)


def std(
    input: Any, dim: Any = None, unbiased: bool | None = None, *, keepdim: bool = False, dtype: Any = None,
    mask: Any = None, correction: Any = None,
) -> Any:  # fmt: skip
    """Give the standard deviation over dimensions, all unless given, with a correction of 1 unless given."""
    return sqrt(_var("std", input, dim, unbiased, keepdim, dtype, mask, correction))


def median(input: Any, dim: int = -1, *, keepdim: bool = False, dtype: Any = None, mask: Any = None) -> Any:
    """Give the median along a dimension, the lower one of two; NaN of nothing."""
    x, inside = _filled("median", input, mask, math.nan, dtype)
    return (sorting.median if inside is None else sorting.nanmedian)(x, dim, keepdim).values


def norm(
    input: Any, ord: Any = 2.0, dim: Any = None, *, keepdim: bool = False, dtype: Any = None, mask: Any = None
) -> Any:
    """Give the norm over dimensions, all unless given: `linalg.vector_norm`."""
    ord = 2.0 if ord is None else ord
    x, _ = _filled("norm", input, mask, math.inf if ord == -math.inf else 0.0, dtype)
    return norms.vector_norm(x, ord, _over(dim), bool(keepdim))


def logsumexp(input: Any, dim: Any = None, *, keepdim: bool = False, dtype: Any = None, mask: Any = None) -> Any:
    """Give log(sum(exp(input))) over dimensions; -infinity of nothing."""
    x, _ = _filled("logsumexp", input, mask, -math.inf, dtype)
    return reduction.logsumexp(x, _over(dim), bool(keepdim))


def softmax(input: Any, dim: int, *, dtype: Any = None, mask: Any = None) -> Any:
    """Give exp(input) / sum(exp(input)) along a dimension, 0 where it is not looked; NaN where nothing is."""
    x, _ = _filled("softmax", input, mask, -math.inf, dtype)
    return reduction.softmax(x, dim)


def softmin(input: Any, dim: int, *, dtype: Any = None, mask: Any = None) -> Any:
    """Give `softmax` of -input."""
    x, _ = _filled("softmin", input, mask, math.inf, dtype)
    return reduction.softmax(plain.neg(x), dim)


def log_softmax(input: Any, dim: int, *, dtype: Any = None, mask: Any = None) -> Any:
    """Give the logarithm of `softmax`."""
    x, _ = _filled("log_softmax", input, mask, -math.inf, dtype)
    return reduction.log_softmax(x, dim)


def logaddexp(input: Any, other: Any, *, dtype: Any = None, input_mask: Any = None, other_mask: Any = None) -> Any:
    """Give log(exp(input) + exp(other)), elementwise, of what the two masks tell to look at; -infinity of neither."""
    x, _ = _filled("logaddexp", input, input_mask, -math.inf, dtype)
    y, _ = _filled("logaddexp", other, other_mask, -math.inf, dtype)
    return plain.logaddexp(x, y)


def normalize(input: Any, ord: float, dim: int, *, eps: float = 1e-12, dtype: Any = None, mask: Any = None) -> Any:
    """Divide by the norm along a dimension, or by eps if that is less; what is not looked at becomes 0."""
    x, _ = _filled("normalize", input, mask, 0.0, dtype)
    length = norm(input, ord, dim, keepdim=True, dtype=dtype, mask=mask)
    return div(x, plain.maximum(length, np.asarray(eps, x.dtype)))
