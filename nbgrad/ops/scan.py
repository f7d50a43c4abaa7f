"""Functions that give at each place what all elements up to it give: running sums, products, extrema, log-sum-exp."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from ..arrays import Array, as_array, is_array
from ..function import Operation, constant
from ..kernels import reductions, scans
from ..kernels import scalars as scalar
from ..kernels.cpu import small
from ..kernels.dispatch import recur, scan_array
from ..kernels.lazy import lazy
from ..registry import operation
from ..variable import Given, Variable
from .arguments import axis_of, either
from .elementwise import elementwise, mul
from .extrema import ValuesAndIndices
from .indexing import getitem
from .joining import TakeAlong, add_along_dim, cat, is_small
from .pullback import back_of
from .shape import astype


class Scanning(Operation):
    """One of `kernels.scans` along an axis."""

    __slots__ = ("axis", "output", "reverse")
    kept = ("axis", "reverse")

    name = ""

    @classmethod
    def work(cls) -> Any:
        return small.scans.scan(scans.TABLE[cls.name]) if cls.name else None

    def __init__(self, axis: int, reverse: bool = False) -> None:
        self.axis, self.reverse = axis, reverse
        self.output = None

    def forward(self, x: Array) -> Any:
        return scan_array(self.name, x, self.axis, self.reverse)

    def before(self, x: Any) -> Any:
        """Give all elements but the last along the axis."""
        return getitem(x, (*(slice(None),) * self.axis, slice(None, -1)))

    def after(self, x: Any) -> Any:
        """Give all elements but the first along the axis."""
        return getitem(x, (*(slice(None),) * self.axis, slice(1, None)))


class CumSum(Scanning):
    """Sums of all elements up to each along an axis, or, if `reverse`, of all from each one on."""

    __slots__ = ()
    reads_all = False
    name = "cumsum"

    def vjp(self, gy: Any, y: Any, x: Any) -> Any:
        return CumSum.apply(gy, self.axis, not self.reverse)


class Recurrence(Scanning):
    """The linear recurrence of `kernels.cpu.scan.recur`, whose gradients are one again, the other way round."""

    __slots__ = ()

    def forward(self, a: Array, b: Array) -> Array:
        self.output = recur(a, b, self.axis, self.reverse)
        return self.output

    def vjp(self, gy: Any, y: Any, a: Any, b: Any) -> Any:
        by_b = Recurrence(self.axis, not self.reverse)(a, gy)
        neighbours = (self.before(by_b), self.after(y)) if self.reverse else (self.after(by_b), self.before(y))
        return mul(*neighbours), by_b


class CumProd(Scanning):
    """Products of all elements up to each along an axis."""

    __slots__ = ()
    name, keeps_output = "cumprod", True

    def forward(self, x: Array) -> Array:
        self.output = super().forward(x)
        return self.output

    def vjp(self, gy: Any, y: Any, x: Any) -> Any:
        # y[j] has the factors before x[i] and those between i and j: nothing is divided by, and zeros are as any number
        if not x.ndim or x.shape[self.axis] < 2:
            return gy
        by_later = Recurrence(self.axis, True)(self.after(x), gy)
        first = getitem(by_later, (*(slice(None),) * self.axis, slice(None, 1)))
        return cat([first, mul(self.before(y), self.after(by_later))], self.axis)


# e**(a - b) of neighbours; where they are equal, infinities too, so are their derivatives, and the difference has none
_decay = elementwise(lambda a, b: scalar.where(a == b, 1, scalar.exp(a - b)), name="decay")


class LogCumSumExp(Scanning):
    """log(sum(exp(x))) of all elements up to each along an axis."""

    __slots__ = ()
    name, keeps_output = "logcumsumexp", True

    def forward(self, x: Array) -> Array:
        self.output = super().forward(x.astype(np.float64) if x.dtype.kind in "iub" else x)
        return self.output

    def vjp(self, gy: Any, y: Any, x: Any) -> Any:
        # x[i] has the share e**(x[i] - y[i]) of y[i], and of a later one less by as much as these have grown
        if x.ndim and x.shape[self.axis] > 1:
            gy = Recurrence(self.axis, True)(_decay(self.before(y), self.after(y)), gy)
        (share,) = back_of(reductions.logsumexp).operations
        return share.function(gy, y, x)


class CumExtremum(Scanning):
    """The largest or smallest of all elements up to each along an axis; the last of equal ones has the gradient."""

    __slots__ = ("indices",)
    reads_all = False

    indices: Array

    def forward(self, x: Array) -> Array:
        values, self.indices = super().forward(x)
        return values

    def vjp(self, gy: Any, y: Any, x: Any) -> Any:
        return add_along_dim(gy, self.indices, self.axis, x.shape) if x.ndim else gy


class CumMax(CumExtremum):
    """The largest of all elements up to each."""

    __slots__ = ()
    name = "cummax"


class CumMin(CumExtremum):
    """The smallest of all elements up to each."""

    __slots__ = ()
    name = "cummin"


class _Calls:
    """The compiled calls that find places of running extrema, made when they are first asked for."""

    @lazy
    def places(self) -> dict[str, Callable[[Array, int, bool], Array]]:
        return {kind.name: kind.work().function(partial(_places, kind.name)) for kind in (CumMax, CumMin)}


_calls = _Calls()


def _places(name: str, x: Array, axis: int, reverse: bool) -> Array:
    """Give where the largest or smallest of all elements up to each is."""
    places: Array = scan_array(name, x, axis, reverse)[1]
    return places


def _scan(kind: type[Scanning], x: Any, dim: Any, axis: Any, dtype: npt.DTypeLike | None = None) -> Any:
    name = kind.name
    if axis is dtype is None and type(dim) is int and type(x) is Variable and -x._array.ndim <= dim < x._array.ndim:
        place = dim if dim >= 0 else dim + x._array.ndim
        if not issubclass(kind, CumExtremum):
            return kind.apply(x, place, False)
        if is_small(x._array):
            places = _calls.places[name](x._array, place, False)
            return ValuesAndIndices(TakeAlong.apply(x, places.copy(), place), constant(places))
    along = either(name, "dim", dim, "axis", axis)
    if along is None:
        raise TypeError(f"{name}: give dim, the dimension to go along; np.{name} goes through all elements without")
    if not isinstance(x, Variable):
        x = x if is_array(x) else as_array(x)
    node = kind(axis_of(name, along, max(x.ndim, 1)))
    if dtype is not None:
        return astype(node(astype(x, dtype)), dtype)
    y = node(x)
    if not isinstance(node, CumExtremum):
        return y
    indices = node.indices
    return ValuesAndIndices(y, Variable(indices, requires_grad=False) if isinstance(x, Variable) else indices)


@operation
def cumsum(
    input: Given, dim: int | None = None, *, axis: int | None = None, dtype: npt.DTypeLike | None = None
) -> Given:
    """Sum all elements up to each along a dimension; of a shape like input.

    Float32 is added up in float64, integers and truth values in 64 bits, and float64 sums carry their rounding error
    along. With `dtype`, input is converted first. Raises IndexError for a dimension that does not exist, TypeError for
    dtypes that are not real.

    >>> import nbgrad
    >>> x = nbgrad.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], requires_grad=True)
    >>> nbgrad.cumsum(x, 1)
    Variable([[ 1.,  3.,  6.],
              [ 4.,  9., 15.]])
    """
    return _scan(CumSum, input, dim, axis, dtype)


@operation
def cumprod(
    input: Given, dim: int | None = None, *, axis: int | None = None, dtype: npt.DTypeLike | None = None
) -> Given:
    """Multiply all elements up to each along a dimension; gradients are right for zeros too.

    Float32 is multiplied in float64, integers and truth values in 64 bits. With `dtype`, input is converted first.
    Raises IndexError for a dimension that does not exist, TypeError for dtypes that are not real.

    >>> import nbgrad
    >>> x = nbgrad.tensor([2.0, 0.0, 3.0], requires_grad=True)
    >>> nbgrad.cumprod(x, 0).sum().backward()
    >>> x.grad
    Variable([1., 8., 0.])
    """
    return _scan(CumProd, input, dim, axis, dtype)


@operation
def logcumsumexp(input: Given, dim: int | None = None, *, axis: int | None = None) -> Given:
    """Give log(sum(exp(input))) of all elements up to each along a dimension, without overflow; integers give float64.

    Raises IndexError for a dimension that does not exist, TypeError for dtypes that are not real.
    """
    return _scan(LogCumSumExp, input, dim, axis)


@operation
def cummax(input: Any, dim: int | None = None, *, axis: int | None = None) -> ValuesAndIndices:
    """Give the largest of all elements up to each along a dimension, and where it is: (values, indices).

    Of equal elements, and of NaN, the last counts, and has the gradient. Raises IndexError for a dimension that does
    not exist, TypeError for dtypes that are not real.

    >>> import nbgrad
    >>> nbgrad.cummax(nbgrad.tensor([1.0, 3.0, 2.0, 3.0]), 0).indices
    Variable([0, 1, 1, 3])
    """
    return _scan(CumMax, input, dim, axis)


@operation
def cummin(input: Any, dim: int | None = None, *, axis: int | None = None) -> ValuesAndIndices:
    """Give the smallest of all elements up to each along a dimension, and where it is, in the ways of `cummax`."""
    return _scan(CumMin, input, dim, axis)
