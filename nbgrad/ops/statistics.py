"""Variances and standard deviations; sums and means without NaN; how many elements are not zero."""

from __future__ import annotations

import builtins
from typing import Any

import numpy as np

from ..arrays import as_array
from ..kernels import reductions
from ..kernels.reductions import Reduction
from ..registry import operation
from ..variable import Given, Variable
from .arguments import axes_of, either
from .elementwise import eq, gt, ne
from .reduction import Amax, Amin, Extremum, kind_of, mean, reduce, reducing, sum

#: The correction unless another one is given, as kernels take it.
_USUAL = (1.0,)


def _spread_of(
    reduction: Reduction,
    x: Any,
    dim: Any,
    correction: Any,
    keepdim: Any,
    axis: Any,
    keepdims: Any,
    unbiased: bool | None,
    ddof: float | None,
) -> Any:
    """Apply one of the two over dimensions."""
    if ddof is not None:
        if correction is not None or unbiased is not None:
            raise TypeError(f"{reduction.name}: ddof is NumPy's name for correction: give one of them")
        correction = ddof
    if unbiased is None is correction and type(dim) is not bool:
        return reduce(kind_of(reduction), x, dim, keepdim, axis, keepdims, None, _USUAL)
    name = reduction.name
    if isinstance(dim, bool):  # PyTorch's x.var(unbiased)
        if unbiased is not None:
            raise TypeError(f"{name}: dim is {dim}: a dimension is a whole number")
        dim, unbiased = None, dim
    if unbiased is not None:
        if correction is not None:
            raise TypeError(f"{name}: give correction or unbiased, not both")
        correction = builtins.int(unbiased)
    if isinstance(correction, bool) or not isinstance(correction, int | float | np.integer | np.floating):
        raise TypeError(f"{name}: correction is {correction!r}: it is a number")
    return reduce(kind_of(reduction), x, dim, keepdim, axis, keepdims, None, (builtins.float(correction),))


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
    ddof: float | None = None,
) -> Given:
    """Give the variance over the dimensions `dim` (all if None): sum((x - mean(x))**2) / (n - correction).

    The correction, or NumPy's `ddof`, is 1 unless given, as PyTorch's; ``np.var`` has 0. Whole numbers give float64,
    fewer elements than the correction infinity, as many NaN. Raises IndexError for a dimension that does not exist.

    >>> import nbgrad
    >>> x = nbgrad.tensor([1.0, 2.0, 3.0, 4.0])
    >>> nbgrad.var(x), nbgrad.var(x, correction=0)
    (Variable(1.66666667), Variable(1.25))
    """
    return _spread_of(reductions.var, input, dim, correction, keepdim, axis, keepdims, unbiased, ddof)


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
    ddof: float | None = None,
) -> Given:
    """Give the standard deviation over the dimensions `dim` (all if None), the square root of `var`.

    Where it is 0 its gradient is taken for 0. Raises IndexError for a dimension that does not exist.

    >>> import nbgrad
    >>> nbgrad.std(nbgrad.tensor([[1.0, 3.0], [5.0, 5.0]]), 1, correction=0)
    Variable([1., 0.])
    """
    return _spread_of(reductions.std, input, dim, correction, keepdim, axis, keepdims, unbiased, ddof)


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


# ---- without NaN ----------------------------------------------------------------------------------------------------

nansum = reducing(reductions.nansum, "Sum what is not NaN, 0 where nothing is; dtypes as `sum` has them.")
nanmean = reducing(reductions.nanmean, "Average what is not NaN; NaN where nothing is.")

# ---- counts ---------------------------------------------------------------------------------------------------------


count_nonzero = reducing(reductions.count_nonzero, "Count the elements that are not 0, as int64; NaN is not 0.")


def _extreme_truth(kind: type[Extremum], x: Any, dim: Any, keepdim: Any, axis: Any, keepdims: Any) -> Any:
    """Give the extremum of whether elements are not 0, where that is clear at a glance, and None elsewhere."""
    if axis is keepdims is None and type(x) is Variable and type(x._array) is np.ndarray and x._array.size:
        ndim = x._array.ndim
        if dim is None or (type(dim) is int and -ndim <= dim < ndim):
            return reduce(kind, x if x._array.dtype.char == "?" else ne(x, 0), dim, keepdim, None, None)
    return None


@operation
def any(
    input: Given, dim: Any = None, keepdim: bool = False, *, axis: Any = None, keepdims: bool | None = None
) -> Given:
    """Tell whether any element is not 0 over the dimensions `dim` (all if None); False where there are none.

    >>> import nbgrad
    >>> nbgrad.any(nbgrad.tensor([[0, 1], [0, 0]]), 1)
    Variable([ True, False])
    """
    found: Any = _extreme_truth(Amax, input, dim, keepdim, axis, keepdims)
    if found is not None:
        return found
    input = input if isinstance(input, Variable) else as_array(input)
    axes_of("any", either("any", "dim", dim, "axis", axis), input.ndim)
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
    found: Any = _extreme_truth(Amin, input, dim, keepdim, axis, keepdims)
    if found is not None:
        return found
    input = input if isinstance(input, Variable) else as_array(input)
    axes_of("all", either("all", "dim", dim, "axis", axis), input.ndim)
    return eq(sum(eq(input, False if input.dtype == np.bool_ else 0), dim, keepdim, axis=axis, keepdims=keepdims), 0)
