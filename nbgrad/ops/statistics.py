"""Variances and standard deviations; how many elements are not zero."""

from __future__ import annotations

import builtins
import math
from functools import cache as once
from typing import Any

import numpy as np

from ..arrays import Array, as_array
from ..kernels import formula
from ..kernels import scalars as scalar
from ..registry import operation
from ..variable import Given, Variable
from .arguments import axes_of, either
from .elementwise import div, elementwise, eq, gt, mul, ne, sqrt, squared_error, sub
from .reduction import Mean, Reduce, Sum, mean, sum


class Var(Reduce):
    """Sums of squared differences from the mean over axes, divided by a number."""

    __slots__ = ("divisor",)
    name = "var"

    def __init__(self, axes: tuple[int, ...], keepdim: bool, divisor: float) -> None:
        super().__init__(axes, keepdim)
        self.divisor = divisor

    def forward(self, x: Array) -> Array:
        if x.dtype.kind not in "fiub":
            raise TypeError(f"{self.name}: no kernel for dtype {x.dtype}: convert to a real dtype first")
        squares = squared_error(x, Mean(self.axes, True)(x))
        y: Array = div(Sum(self.axes, self.keepdim)(squares), self.divisor)
        return y

    def vjp(self, gy: Any, y: Any, x: Any) -> Any:
        slope = mul(self.spread(gy, x), 2 / self.divisor if self.divisor else math.inf)
        return mul(slope, sub(x, Mean(self.axes, True)(x)))


class Std(Var):
    """Square roots of variances; where one is 0, so is the gradient."""

    __slots__ = ()
    name = "std"

    def forward(self, x: Array) -> Array:
        self.output = sqrt(super().forward(x))
        return self.output

    def vjp(self, gy: Any, y: Any, x: Any) -> Any:
        return super().vjp(_slope_of_root()(gy, y), None, x)


@once
def _slope_of_root() -> Any:
    def slope(gy: Any, y: Any) -> Any:
        return gy / scalar.where(y == 0, formula.constant(math.inf), y + y)

    return elementwise(slope, name="std_vjp")


def _spread_of(
    kind: type[Var], x: Any, dim: Any, correction: Any, keepdim: Any, axis: Any, keepdims: Any, unbiased: bool | None
) -> Any:
    """Apply one of the two over dimensions, with the divisor that the number of elements and a correction give."""
    x = x if isinstance(x, Variable) else as_array(x)
    name = kind.name
    if isinstance(dim, bool):  # PyTorch's x.var(unbiased)
        if unbiased is not None:
            raise TypeError(f"{name}: dim is {dim}: a dimension is a whole number")
        dim, unbiased = None, dim
    if unbiased is not None:
        if correction is not None:
            raise TypeError(f"{name}: give correction or unbiased, not both")
        correction = builtins.int(unbiased)
    correction = 1 if correction is None else correction
    if isinstance(correction, bool) or not isinstance(correction, int | float | np.integer | np.floating):
        raise TypeError(f"{name}: correction is {correction!r}: it is a number")
    axes = axes_of(name, either(name, "dim", dim, "axis", axis), x.ndim)
    keep = bool(either(name, "keepdim", keepdim or None, "keepdims", keepdims, False))
    count = math.prod(x.shape[i] for i in axes)
    return kind(axes, keep, builtins.max(builtins.float(count - correction), 0.0))(x)


@operation
def var(
    input: Given,
    dim: Any = None,
    *,
    correction: float | None = None,
    keepdim: bool = False,
    axis: Any = None,
    keepdims: bool | None = None,
    unbiased: bool | None = None,
) -> Given:
    """Give the variance over the dimensions `dim` (all if None): sum((x - mean(x))**2) / (n - correction).

    The correction is 1 unless given, as PyTorch's; NumPy's ``np.var`` has 0. Whole numbers give float64, fewer elements
    than the correction infinity, as many NaN. Raises IndexError for a dimension that does not exist.

    >>> import nbgrad
    >>> x = nbgrad.tensor([1.0, 2.0, 3.0, 4.0])
    >>> nbgrad.var(x), nbgrad.var(x, correction=0)
    (Variable(1.66666667), Variable(1.25))
    """
    return _spread_of(Var, input, dim, correction, keepdim, axis, keepdims, unbiased)


@operation
def std(
    input: Given,
    dim: Any = None,
    *,
    correction: float | None = None,
    keepdim: bool = False,
    axis: Any = None,
    keepdims: bool | None = None,
    unbiased: bool | None = None,
) -> Given:
    """Give the standard deviation over the dimensions `dim` (all if None), the square root of `var`.

    Where it is 0 its gradient is taken for 0. Raises IndexError for a dimension that does not exist.

    >>> import nbgrad
    >>> nbgrad.std(nbgrad.tensor([[1.0, 3.0], [5.0, 5.0]]), 1, correction=0)
    Variable([1., 0.])
    """
    return _spread_of(Std, input, dim, correction, keepdim, axis, keepdims, unbiased)


def _with_mean(function: Any, x: Any, dim: Any, options: dict[str, Any]) -> tuple[Any, Any]:
    kept = {name: value for name, value in options.items() if name in ("keepdim", "axis", "keepdims")}
    return function(x, dim, **options), mean(x, None if isinstance(dim, bool) else dim, **kept)


@operation(method=False)
def var_mean(input: Given, dim: Any = None, **options: Any) -> tuple[Given, Given]:
    """Give `var` and `mean` over the dimensions `dim` (all if None); takes the options of `var`.

    >>> import nbgrad
    >>> nbgrad.var_mean(nbgrad.tensor([1.0, 3.0]))
    (Variable(2.), Variable(2.))
    """
    return _with_mean(var, input, dim, options)


@operation(method=False)
def std_mean(input: Given, dim: Any = None, **options: Any) -> tuple[Given, Given]:
    """Give `std` and `mean` over the dimensions `dim` (all if None); takes the options of `std`.

    >>> import nbgrad
    >>> nbgrad.std_mean(nbgrad.tensor([1.0, 3.0]), correction=0)
    (Variable(1.), Variable(2.))
    """
    return _with_mean(std, input, dim, options)


# ---- counts ---------------------------------------------------------------------------------------------------------


@operation
def count_nonzero(
    input: Given, dim: Any = None, keepdim: bool = False, *, axis: Any = None, keepdims: bool | None = None
) -> Given:
    """Count the elements that are not 0 over the dimensions `dim` (all if None), as int64; NaN is not 0.

    >>> import nbgrad
    >>> nbgrad.count_nonzero(nbgrad.tensor([[1.0, 0.0], [2.0, 3.0]]), 0)
    Variable([2, 1])
    """
    return sum(_truth(input), dim, keepdim, axis=axis, keepdims=keepdims)


@operation
def any(
    input: Given, dim: Any = None, keepdim: bool = False, *, axis: Any = None, keepdims: bool | None = None
) -> Given:
    """Tell whether any element is not 0 over the dimensions `dim` (all if None); False where there are none.

    >>> import nbgrad
    >>> nbgrad.any(nbgrad.tensor([[0, 1], [0, 0]]), 1)
    Variable([ True, False])
    """
    return gt(count_nonzero(input, dim, keepdim, axis=axis, keepdims=keepdims), 0)


@operation
def all(
    input: Given, dim: Any = None, keepdim: bool = False, *, axis: Any = None, keepdims: bool | None = None
) -> Given:
    """Tell whether no element is 0 over the dimensions `dim` (all if None); True where there are none.

    >>> import nbgrad
    >>> nbgrad.all(nbgrad.tensor([[0, 1], [1, 1]]), 1)
    Variable([False,  True])
    """
    input = input if isinstance(input, Variable) else as_array(input)
    return eq(sum(eq(input, False if input.dtype == np.bool_ else 0), dim, keepdim, axis=axis, keepdims=keepdims), 0)


def _truth(x: Any) -> Any:
    x = x if isinstance(x, Variable) else as_array(x)
    return x if x.dtype == np.bool_ else ne(x, 0)
