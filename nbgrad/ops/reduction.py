"""Functions that reduce over axes: sums, extrema, log-sum-exp, softmax."""

from __future__ import annotations

import builtins
import math
from collections.abc import Sequence
from functools import cache as once
from typing import Any, NamedTuple, overload

import numpy as np
import numpy.typing as npt

from ..arrays import Array, as_array, is_array
from ..function import Operation
from ..kernels import dispatch, formula, scalars
from ..kernels.cpu.other_factors import products_of_others
from ..kernels.dispatch import reduce_array, spread_array
from ..registry import operation
from ..variable import Given, Variable, data_of
from .arguments import axes_of, axis_of, either
from .elementwise import div, elementwise, eq, exp, mul, neg, sub
from .joining import cat, stack, take_along_dim
from .shape import BroadcastTo, Permute, Reshape, astype


@once
def _all_axes(ndim: int) -> tuple[int, ...]:
    return tuple(range(ndim))


def _floating(x: Array) -> Array:
    """Convert whole numbers and truth values to float64; leave all else to the kernels to take or refuse."""
    return x.astype(np.float64) if x.dtype.kind in "iub" else x


class Reduce(Operation):
    """One of `kernels.reductions` over some axes."""

    __slots__ = ("axes", "keepdim", "output")

    name = ""
    keeps_output = False

    def __init__(self, axes: tuple[int, ...], keepdim: bool) -> None:
        self.axes, self.keepdim = axes, keepdim
        self.output = None

    def forward(self, x: Array) -> Array:
        try:
            y = reduce_array(self.name, x, self.axes)
        except TypeError:
            raise TypeError(f"{self.name}: no kernel for dtype {x.dtype}: convert to a real dtype first") from None
        if self.keepdim:
            y = y.reshape(tuple(1 if axis in self.axes else size for axis, size in enumerate(x.shape)))
        if self.keeps_output:
            self.output = y
        return y

    def spread(self, value: Any, x: Any) -> Any:
        """Give a result the dimensions of x again, with size 1 where it was reduced."""
        if self.keepdim or not value.ndim:
            return value
        return Reshape(tuple(1 if axis in self.axes else size for axis, size in enumerate(x.shape)))(value)

    def jvp(self, tangents: Sequence[Any], y: Any, x: Any) -> Any:
        """Give the sum of what each element adds: the cotangent that it would get from 1, times its tangent."""
        kept = [1 if axis in self.axes else size for axis, size in enumerate(x.shape)]
        shape = tuple(kept if self.keepdim else [size for axis, size in enumerate(x.shape) if axis not in self.axes])
        return Sum(self.axes, self.keepdim)(mul(tangents[0], self.vjp(_ones(shape, x), y, x)))

    def over(self, x: Any) -> int:
        """Give the number of elements that go into one result."""
        return math.prod(x.shape[axis] for axis in self.axes)


class Sum(Reduce):
    """Sums over axes."""

    __slots__ = ()
    linear = True
    reads_all = False
    name = "sum"

    def vjp(self, gy: Any, y: Any, x: Any) -> Any:
        return BroadcastTo(x.shape)(self.spread(gy, x))


class Mean(Reduce):
    """Arithmetic means over axes."""

    __slots__ = ()
    linear = True
    reads_all = False
    name = "mean"

    def forward(self, x: Array) -> Array:
        return super().forward(_floating(x))

    def vjp(self, gy: Any, y: Any, x: Any) -> Any:
        return BroadcastTo(x.shape)(self.spread(div(gy, builtins.float(self.over(x))), x))


class Extremum(Reduce):
    """Maxima or minima over axes; ties share the gradient equally."""

    __slots__ = ()
    keeps_output = True

    def forward(self, x: Array) -> Array:
        if x.size == 0 and self.over(x) == 0:
            raise ValueError(f"{self.name}: no elements to take it of in shape {x.shape} over {self.axes}")
        return super().forward(x)

    def vjp(self, gy: Any, y: Any, x: Any) -> Any:
        value, extreme = (data_of(v) for v in (x, y))
        share = eq(value, self.spread(extreme, x)).astype(value.dtype)
        counts = reduce_array("sum", share, self.axes)
        # to look at the counts is to wait for a GPU
        if not isinstance(counts, np.ndarray) or (counts.size and (counts != 1).any()):
            share = div(share, self.spread(counts, x) if not self.keepdim else counts.reshape(extreme.shape))
        return mul(self.spread(gy, x), share)


class Amax(Extremum):
    """Maxima over axes."""

    __slots__ = ()
    name = "amax"


class Amin(Extremum):
    """Minima over axes."""

    __slots__ = ()
    name = "amin"


class Prod(Reduce):
    """Products over axes."""

    __slots__ = ()
    name = "prod"

    def vjp(self, gy: Any, y: Any, x: Any) -> Any:
        if isinstance(x, np.ndarray):
            return products_of_others(x, gy.reshape(_without(x.shape, self.axes)), self.axes)
        kept = tuple(axis for axis in range(x.ndim) if axis not in self.axes)
        order = kept + self.axes
        moved = Permute(order)(x)
        line = Reshape((*(x.shape[axis] for axis in kept), self.over(x)))(moved)
        others = Permute(tuple(np.argsort(order)))(Reshape(moved.shape)(_products_of_others(line)))
        return mul(self.spread(gy, x), others)


def _without(shape: tuple[int, ...], axes: tuple[int, ...]) -> tuple[int, ...]:
    return tuple([size for axis, size in enumerate(shape) if axis not in axes])


def _products_of_others(x: Any) -> Any:
    """Give for each element of the last axis the product of all the others, right for zeros too.

    Pairs are multiplied, the products of the other pairs found in the same way, and each element takes its partner
    times those: O(n) work, log n levels, and nothing but multiplications, so gradients of any order follow.
    """
    n = x.shape[-1]
    if n <= 1:
        return _ones(x.shape, x)
    if n % 2:
        x = cat([x, _ones((*x.shape[:-1], 1), x)], -1)
    first, second = x[..., 0::2], x[..., 1::2]
    rest = _products_of_others(mul(first, second))
    pairs = stack([mul(second, rest), mul(first, rest)], -1)
    return Reshape(x.shape)(pairs)[..., :n]


def _ones(shape: tuple[int, ...], x: Any) -> Any:
    """Give ones of a shape, of the dtype of x and where x is."""
    array = data_of(x)
    ones = dispatch.full(shape, 1, x.dtype, array)
    return Variable(ones, requires_grad=False) if isinstance(x, Variable) else ones


_logsumexp_slope = elementwise(
    lambda gy, y, x: gy * scalars.where(y == formula.constant(-math.inf), 0, scalars.exp(x - y)), name="logsumexp_vjp"
)


#: The operation behind it.
LOGSUMEXP_SLOPE: Any = _logsumexp_slope.__globals__["operation"]


class LogSumExp(Reduce):
    """log(sum(exp(x))) over axes."""

    __slots__ = ()
    name = "logsumexp"
    keeps_output = True

    def forward(self, x: Array) -> Array:
        return super().forward(_floating(x))

    def vjp(self, gy: Any, y: Any, x: Any) -> Any:
        return _logsumexp_slope(self.spread(gy, x), self.spread(y, x), x)


class Spread(Operation):
    """One of `kernels.reductions` that gives a value for each element, along one axis."""

    __slots__ = ("axis", "output")
    name = ""

    def __init__(self, axis: int) -> None:
        self.axis = axis
        self.output = None

    def along(self, name: str, *arrays: Array) -> Array:
        """Run the kernel over the axis, wherever it is."""
        try:
            return spread_array(name, self.axis, *arrays)
        except TypeError:
            raise TypeError(f"{name}: no kernel for dtype {arrays[0].dtype}: convert to a real dtype first") from None


class Softmax(Spread):
    """exp(x) / sum(exp(x)) along an axis."""

    __slots__ = ()
    reads_all = False

    def forward(self, x: Array) -> Array:
        self.output = self.along("softmax", _floating(x))
        return self.output

    def jvp(self, tangents: Sequence[Any], y: Any, x: Any) -> Any:
        return SoftmaxVjp(self.axis)(tangents[0], y)  # its Jacobian is symmetric

    def vjp(self, gy: Any, y: Any, x: Any) -> Any:
        return SoftmaxVjp(self.axis)(gy, y)


class SoftmaxVjp(Spread):
    """y * (gy - sum(gy * y)) along an axis."""

    __slots__ = ()

    def forward(self, gy: Array, y: Array) -> Array:
        return self.along("softmax_vjp", gy, y)

    def vjp(self, g: Any, _: Any, gy: Any, y: Any) -> Any:
        dim = self.axis if y.ndim else None
        by_y = sub(mul(g, sub(gy, sum(mul(gy, y), dim, True))), mul(gy, sum(mul(g, y), dim, True)))
        return SoftmaxVjp(self.axis)(g, y), by_y


class LogSoftmax(Spread):
    """x - log(sum(exp(x))) along an axis."""

    __slots__ = ()
    reads_all = False

    def forward(self, x: Array) -> Array:
        self.output = self.along("log_softmax", _floating(x))
        return self.output

    def jvp(self, tangents: Sequence[Any], y: Any, x: Any) -> Any:
        return sub(tangents[0], sum(mul(exp(y), tangents[0]), self.axis if y.ndim else None, True))

    def vjp(self, gy: Any, y: Any, x: Any) -> Any:
        return LogSoftmaxVjp(self.axis)(gy, y)


class LogSoftmaxVjp(Spread):
    """gy - exp(y) * sum(gy) along an axis."""

    __slots__ = ()

    def forward(self, gy: Array, y: Array) -> Array:
        return self.along("log_softmax_vjp", gy, y)

    def vjp(self, g: Any, _: Any, gy: Any, y: Any) -> Any:
        dim = self.axis if y.ndim else None
        p = exp(y)
        by_gy = sub(g, sum(mul(g, p), dim, True))
        return by_gy, neg(mul(mul(g, p), sum(gy, dim, True)))


def _reduce(
    kind: type[Reduce], x: Any, dim: Any, keepdim: Any, axis: Any, keepdims: Any, dtype: npt.DTypeLike | None = None
) -> Any:
    """Reduce x, or what x is in another dtype, which the result has as well."""
    name = kind.name
    if dtype is not None:
        if kind is Mean:
            dtype = _floating_dtype(name, dtype)
        x = astype(x if isinstance(x, Variable) or is_array(x) else np.asarray(x), dtype)
        return astype(_reduce(kind, x, dim, keepdim, axis, keepdims), dtype)
    if dim is None and axis is None and keepdim is False and keepdims is None:
        return kind(_all_axes(x.ndim if hasattr(x, "ndim") else np.ndim(x)), False)(x)
    axes = axes_of(
        name, either(name, "dim", dim, "axis", axis), np.ndim(x.data) if isinstance(x, Variable) else np.ndim(x)
    )
    return kind(axes, bool(either(name, "keepdim", keepdim or None, "keepdims", keepdims, False)))(x)


@operation
def sum(
    input: Given,
    dim: Any = None,
    keepdim: bool = False,
    *,
    axis: Any = None,
    keepdims: bool | None = None,
    dtype: npt.DTypeLike | None = None,
) -> Given:
    """Sum over the dimensions `dim` (all if None); float32 is added up in float64, integers in 64 bits.

    With `dtype`, input is converted first. Raises IndexError for a dimension that does not exist.

    >>> import nbgrad
    >>> nbgrad.sum(nbgrad.tensor([[1.0, 2.0], [3.0, 4.0]]), dim=0)
    Variable([4., 6.])
    """
    return _reduce(Sum, input, dim, keepdim, axis, keepdims, dtype)


@operation
def mean(
    input: Given,
    dim: Any = None,
    keepdim: bool = False,
    *,
    axis: Any = None,
    keepdims: bool | None = None,
    dtype: npt.DTypeLike | None = None,
) -> Given:
    """Average over the dimensions `dim` (all if None); integers give float64.

    With `dtype`, input is converted first.
    """
    return _reduce(Mean, input, dim, keepdim, axis, keepdims, dtype)


@operation
def prod(
    input: Given,
    dim: Any = None,
    keepdim: bool = False,
    *,
    axis: Any = None,
    keepdims: bool | None = None,
    dtype: npt.DTypeLike | None = None,
) -> Given:
    """Multiply over the dimensions `dim` (all if None); gradients are right for zeros too.

    With `dtype`, input is converted first.
    """
    return _reduce(Prod, input, dim, keepdim, axis, keepdims, dtype)


@operation
def logsumexp(
    input: Given, dim: Any = None, keepdim: bool = False, *, axis: Any = None, keepdims: bool | None = None
) -> Given:
    """Give log(sum(exp(input))) over the dimensions `dim` (all if None), without overflow."""
    return _reduce(LogSumExp, input, dim, keepdim, axis, keepdims)


@operation
def amax(
    input: Given, dim: Any = None, keepdim: bool = False, *, axis: Any = None, keepdims: bool | None = None
) -> Given:
    """Give the largest element over the dimensions `dim` (all if None); ties share the gradient equally.

    Raises ValueError where there are no elements.
    """
    return _reduce(Amax, input, dim, keepdim, axis, keepdims)


@operation
def amin(
    input: Given, dim: Any = None, keepdim: bool = False, *, axis: Any = None, keepdims: bool | None = None
) -> Given:
    """Give the smallest element over the dimensions `dim` (all if None); ties share the gradient equally."""
    return _reduce(Amin, input, dim, keepdim, axis, keepdims)


class ValuesAndIndices(NamedTuple):
    """What `max` and `min` give along one dimension."""

    values: Any
    indices: Any


def _extreme(which: str, x: Any, dim: Any, keepdim: bool, axis: Any, keepdims: bool | None) -> Any:
    from . import elementwise as table

    if isinstance(dim, Variable) or is_array(dim):  # max(x, y)
        return (table.maximum if which == "max" else table.minimum)(x, dim)
    kind = Amax if which == "max" else Amin
    if axis is not None or dim is None or isinstance(dim, tuple | list):
        return _reduce(kind, x, dim, keepdim, axis, keepdims)
    keepdim = bool(either(which, "keepdim", keepdim or None, "keepdims", keepdims, False))
    if not isinstance(x, Variable):
        x = as_array(x)
    (along,) = axes_of(which, dim, x.ndim) or (0,)
    data = data_of(x)
    if x.ndim and data.shape[along] == 0:
        raise ValueError(f"{which}: no elements to take it of in shape {x.shape} over dimension {dim}")
    indices = dispatch.extreme_places(which, data, along if x.ndim else None)
    values = take_along_dim(x, indices, along)
    if not keepdim and x.ndim:
        shape = (*x.shape[:along], *x.shape[along + 1 :])
        values, indices = Reshape(shape)(values), indices.reshape(shape)
    return ValuesAndIndices(values, Variable(indices, requires_grad=False) if isinstance(x, Variable) else indices)


@overload
def max(
    input: Given, dim: int, keepdim: bool = False, *, axis: None = None, keepdims: bool | None = None
) -> ValuesAndIndices: ...
@overload
def max(
    input: Given, dim: Any = None, keepdim: bool = False, *, axis: Any = None, keepdims: bool | None = None
) -> Given: ...
@operation
def max(input: Any, dim: Any = None, keepdim: bool = False, *, axis: Any = None, keepdims: bool | None = None) -> Any:
    """Give the largest element.

    Spelled PyTorch's way with one dimension, ``max(x, dim)``, it gives (values, indices), and the gradient goes to the
    element at the index. Spelled NumPy's way, ``max(x, axis=...)``, or over all or several dimensions, it gives the
    values, as `amax` does. ``max(x, y)`` is `maximum`.

    Raises ValueError where there are no elements.

    >>> import nbgrad
    >>> x = nbgrad.tensor([[1.0, 5.0], [7.0, 2.0]])
    >>> nbgrad.max(x, 1).indices
    Variable([1, 0])
    >>> nbgrad.max(x, axis=1)
    Variable([5., 7.])
    """
    return _extreme("max", input, dim, keepdim, axis, keepdims)


@overload
def min(
    input: Given, dim: int, keepdim: bool = False, *, axis: None = None, keepdims: bool | None = None
) -> ValuesAndIndices: ...
@overload
def min(
    input: Given, dim: Any = None, keepdim: bool = False, *, axis: Any = None, keepdims: bool | None = None
) -> Given: ...
@operation
def min(input: Any, dim: Any = None, keepdim: bool = False, *, axis: Any = None, keepdims: bool | None = None) -> Any:
    """Give the smallest element, in the ways of `max`."""
    return _extreme("min", input, dim, keepdim, axis, keepdims)


@operation
def softmax(
    input: Given, dim: int | None = None, *, axis: int | None = None, dtype: npt.DTypeLike | None = None
) -> Given:
    """Give exp(input) / sum(exp(input)) along a dimension (the last if None), without overflow.

    With `dtype`, input is converted first.
    """
    if dtype is not None:
        return softmax(astype(input, _floating_dtype("softmax", dtype)), dim, axis=axis)
    return Softmax(_one_axis("softmax", input, dim, axis))(input)


@operation
def log_softmax(
    input: Given, dim: int | None = None, *, axis: int | None = None, dtype: npt.DTypeLike | None = None
) -> Given:
    """Give input - log(sum(exp(input))) along a dimension (the last if None), without overflow.

    With `dtype`, input is converted first.
    """
    if dtype is not None:
        return log_softmax(astype(input, _floating_dtype("log_softmax", dtype)), dim, axis=axis)
    return LogSoftmax(_one_axis("log_softmax", input, dim, axis))(input)


def _floating_dtype(what: str, dtype: npt.DTypeLike) -> np.dtype[Any]:
    chosen = np.dtype(dtype)
    if chosen.kind != "f":
        raise TypeError(f"{what}: dtype is {chosen}: the result is floating")
    return chosen


def _one_axis(what: str, x: Any, dim: Any, axis: Any) -> int:
    return axis_of(what, either(what, "dim", dim, "axis", axis, -1), builtins.max(x.ndim, 1))
