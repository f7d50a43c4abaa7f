"""Functions that reduce over axes: sums, products, log-sum-exp, softmax, and what others are made of."""

from __future__ import annotations

import builtins
import math
from collections.abc import Collection, Sequence
from functools import cache as once
from typing import Any, ClassVar, Protocol

import numpy as np
import numpy.typing as npt

from ..arrays import Array, as_array, is_array
from ..elementwise import Elementwise
from ..function import Operation, constant
from ..kernels import dispatch, formula, reductions, scalars
from ..kernels.cpu import small
from ..kernels.cpu.other_factors import products_of_others
from ..kernels.dispatch import reduce_array, spread_array
from ..kernels.reductions import Reduction
from ..registry import operation
from ..variable import Given, Variable, data_of
from .arguments import axes_of, axis_of, either
from .elementwise import div, eq, exp, mul, neg, sub
from .joining import cat, stack
from .pullback import Looked, back_of, operation_of
from .shape import BroadcastTo, Permute, Repeat, Reshape, astype

#: By numbers of dimensions: all axes, and each alone, as `dim` counts them, also from the end.
_ALL = tuple([tuple(range(ndim)) for ndim in range(65)])
_EACH = tuple([tuple([(axis,) for axis in range(ndim)]) for ndim in range(17)])


class Reduce(Operation):
    """One of `kernels.reductions` over some axes, with the rule that follows from the declaration."""

    __slots__ = ("axes", "keepdim", "numbers", "output")
    even = True
    kept = ("axes", "keepdim", "numbers")

    reads_all = False
    linear: ClassVar[Any] = Looked("linear")
    #: Whether the rule reads the result.
    keeps_output: ClassVar[Any] = Looked("reads_result")
    reduction: ClassVar[Reduction]
    name: ClassVar[str] = ""
    floating: ClassVar[bool] = False

    @classmethod
    def work(cls) -> Any:
        return small.reductions.reduce(cls.reduction)

    def __init__(self, axes: tuple[int, ...], keepdim: bool, numbers: tuple[float, ...] = ()) -> None:
        self.axes, self.keepdim, self.numbers = axes, keepdim, numbers
        self.output = None

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "reduction" in vars(cls):
            cls.name, cls.floating = cls.reduction.name, cls.reduction.floating
            _kinds[cls.reduction] = cls

    def reads(self, inputs: tuple[Variable, ...]) -> Collection[int]:
        return (0,) if back_of(self.reduction).reads_elements else ()

    def forward(self, x: Array) -> Array:
        if self.floating and x.dtype.kind in "iub":
            x = x.astype(np.float64)
        try:
            y = reduce_array(self.name, x, self.axes, self.numbers)
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
        return Reshape.apply(value, tuple([1 if axis in self.axes else size for axis, size in enumerate(x.shape)]))

    def vjp(self, gy: Any, y: Any, x: Any) -> Any:
        back = back_of(self.reduction)
        if back.plain:
            return None if back.nothing else Repeat.apply(gy, self.axes, x.shape)
        values = [self.spread(gy, x), y if y is None else self.spread(y, x), *self.numbers, *back.blank, x]
        if back.reads_count:
            values[back.length] = builtins.float(self.over(x))
        # what is one number for all elements is read as such
        keep = self.keepdim or len(self.axes) < x.ndim
        for place, stage in back.stages:
            values[place] = kind_of(stage).apply(x, self.axes, keep, self.numbers[: stage.numbers])
        for place, of_line, pick in back.lines:
            values[place] = of_line.function(*pick(values))
        if back.value is None:
            return BroadcastTo.apply(values[back.repeated], x.shape)
        of_element, pick = back.value
        return of_element.function(*pick(values))

    def jvp(self, tangents: Sequence[Any], y: Any, x: Any) -> Any:
        """Give the sum of what each element adds: the cotangent that it would get from 1, times its tangent."""
        kept = [1 if axis in self.axes else size for axis, size in enumerate(x.shape)]
        shape = tuple(kept if self.keepdim else [size for axis, size in enumerate(x.shape) if axis not in self.axes])
        back = self.vjp(_ones(shape, x), y, x)
        return None if back is None else Sum(self.axes, self.keepdim)(mul(tangents[0], back))

    def over(self, x: Any) -> int:
        """Give the number of elements that go into one result."""
        return math.prod(x.shape[axis] for axis in self.axes)


#: The operations by their reductions.
_kinds: dict[Reduction, type[Reduce]] = {}


def kind_of(reduction: Reduction) -> type[Reduce]:
    """Return the operation of a reduction."""
    if reduction not in _kinds:
        extremum = reduction.rule is None and reduction.stages[0].combine in (scalars.maximum, scalars.minimum)
        name = "".join(word.capitalize() for word in reduction.name.split("_"))
        body = {"__slots__": (), "__module__": __name__, "reduction": reduction}
        type(name, (Extremum if extremum else Reduce,), body)
    return _kinds[reduction]


class Sum(Reduce):
    """Sums over axes."""

    __slots__ = ()
    reduction = reductions.sum


class Mean(Reduce):
    """Arithmetic means over axes."""

    __slots__ = ()
    reduction = reductions.mean


class Extremum(Reduce):
    """Maxima or minima over axes of the elements, or of a formula of them; ties share the gradient equally."""

    __slots__ = ()
    reads_all = True
    linear = False
    keeps_output = True

    def forward(self, x: Array) -> Array:
        if x.size == 0 and self.over(x) == 0:
            raise ValueError(f"{self.name}: no elements to take it of in shape {x.shape} over {self.axes}")
        return super().forward(x)

    def vjp(self, gy: Any, y: Any, x: Any) -> Any:
        compared, slope = _compared(self.reduction)
        value, extreme = (data_of(v) for v in (x, y))
        if compared is not None:
            value = compared.function(value)
        share = eq(value, self.spread(extreme, x)).astype(value.dtype)
        counts = reduce_array("sum", share, self.axes)
        # to look at the counts is to wait for a GPU
        if not isinstance(counts, np.ndarray) or (counts.size and (counts != 1).any()):
            share = div(share, self.spread(counts, x) if not self.keepdim else counts.reshape(extreme.shape))
        if slope is not None:
            share = mul(slope.function(x), share)
        return mul(self.spread(gy, x), share)


@once
def _compared(reduction: Reduction) -> tuple[Elementwise | None, Elementwise | None]:
    """Return what is compared of an element, and its slope; None for the element itself."""
    value = reduction.stages[0].value
    if value.function is None:
        return None, None
    slope = formula.derivative(value, 0)
    assert slope is not None
    return operation_of(f"{reduction.name}_value", value)[0], operation_of(f"{reduction.name}_slope", slope)[0]


class Amax(Extremum):
    """Maxima over axes."""

    __slots__ = ()
    reduction = reductions.amax


class Amin(Extremum):
    """Minima over axes."""

    __slots__ = ()
    reduction = reductions.amin


class Prod(Reduce):
    """Products over axes; the product of all others is no formula of an element and the result where they are 0."""

    __slots__ = ()
    reads_all = True
    linear = keeps_output = False
    reduction = reductions.prod

    def vjp(self, gy: Any, y: Any, x: Any) -> Any:
        if isinstance(x, np.ndarray) and isinstance(gy, np.ndarray):
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


class Spread(Operation):
    """One of `kernels.reductions` that gives a value for each element, along one axis."""

    __slots__ = ("axis", "output")
    even = True
    kept = ("axis",)
    name = ""

    @classmethod
    def work(cls) -> Any:
        return small.reductions.spread(reductions.TABLE[cls.name])

    def __init__(self, axis: int) -> None:
        self.axis, self.output = axis, None

    def forward(self, *xs: Array) -> Array:
        wide = [x.astype(np.float64) if x.dtype.kind in "iub" else x for x in xs]
        try:
            y = spread_array(self.name, self.axis, *wide)
        except TypeError:
            raise TypeError(f"{self.name}: no kernel for dtype {xs[0].dtype}: convert to a real dtype first") from None
        self.output = y if self.keeps_output else None
        return y


class Softmax(Spread):
    """exp(x) / sum(exp(x)) along an axis."""

    __slots__ = ()
    reads_all = False
    name, keeps_output = "softmax", True

    def jvp(self, tangents: Sequence[Any], y: Any, x: Any) -> Any:
        return SoftmaxVjp.apply(tangents[0], y, self.axis)  # its Jacobian is symmetric

    def vjp(self, gy: Any, y: Any, x: Any) -> Any:
        return SoftmaxVjp.apply(gy, y, self.axis)


class SoftmaxVjp(Spread):
    """y * (gy - sum(gy * y)) along an axis."""

    __slots__ = ()
    name, arity = "softmax_vjp", 2

    def vjp(self, g: Any, _: Any, gy: Any, y: Any) -> Any:
        dim = self.axis if y.ndim else None
        by_y = sub(mul(g, sub(gy, sum(mul(gy, y), dim, True))), mul(gy, sum(mul(g, y), dim, True)))
        return SoftmaxVjp.apply(g, y, self.axis), by_y


class LogSoftmax(Spread):
    """x - log(sum(exp(x))) along an axis."""

    __slots__ = ()
    reads_all = False
    name, keeps_output = "log_softmax", True

    def jvp(self, tangents: Sequence[Any], y: Any, x: Any) -> Any:
        return sub(tangents[0], sum(mul(exp(y), tangents[0]), self.axis if y.ndim else None, True))

    def vjp(self, gy: Any, y: Any, x: Any) -> Any:
        return LogSoftmaxVjp.apply(gy, y, self.axis)


class LogSoftmaxVjp(Spread):
    """gy - exp(y) * sum(gy) along an axis."""

    __slots__ = ()
    name, arity = "log_softmax_vjp", 2

    def vjp(self, g: Any, _: Any, gy: Any, y: Any) -> Any:
        dim = self.axis if y.ndim else None
        p = exp(y)
        by_gy = sub(g, sum(mul(g, p), dim, True))
        return by_gy, neg(mul(mul(g, p), sum(gy, dim, True)))


def reduce(
    kind: type[Reduce],
    x: Any,
    dim: Any,
    keepdim: Any,
    axis: Any,
    keepdims: Any,
    dtype: npt.DTypeLike | None = None,
    numbers: tuple[float, ...] = (),
) -> Any:
    """Reduce x, or what x is in another dtype, which the result has as well."""
    if axis is keepdims is dtype is None and type(x) is Variable:
        ndim = x._array.ndim
        if dim is None and keepdim is False:
            return kind.apply(x, _ALL[ndim], False, numbers)
        if type(dim) is int and type(keepdim) is bool and -ndim <= dim < ndim <= 16:
            return kind.apply(x, _EACH[ndim][dim], keepdim, numbers)
    name = kind.name
    if dtype is not None:
        if kind.reduction.floating:
            dtype = floating_dtype(name, dtype)
        x = astype(x if isinstance(x, Variable) or is_array(x) else np.asarray(x), dtype)
        return astype(reduce(kind, x, dim, keepdim, axis, keepdims, None, numbers), dtype)
    if not isinstance(x, Variable):
        x = as_array(x)
    axes = axes_of(name, either(name, "dim", dim, "axis", axis), x.ndim)
    return kind.apply(x, axes, bool(either(name, "keepdim", keepdim or None, "keepdims", keepdims, False)), numbers)


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
    return reduce(Sum, input, dim, keepdim, axis, keepdims, dtype)


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
    return reduce(Mean, input, dim, keepdim, axis, keepdims, dtype)


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
    return reduce(Prod, input, dim, keepdim, axis, keepdims, dtype)


class Reducing(Protocol):
    """A function that reduces over dimensions."""

    def __call__(
        self,
        input: Given,
        dim: Any = None,
        keepdim: bool = False,
        *,
        axis: Any = None,
        keepdims: bool | None = None,
    ) -> Given: ...


def reducing(reduction: Reduction, sentence: str) -> Reducing:
    """Give users a reduction, by its name."""

    def function(
        input: Any, dim: Any = None, keepdim: bool = False, *, axis: Any = None, keepdims: bool | None = None
    ) -> Any:
        if reduction.gives is not None and isinstance(input, Variable):  # whole numbers have no gradients
            input = constant(input.data)
        return reduce(kind_of(reduction), input, dim, keepdim, axis, keepdims)

    function.__name__ = function.__qualname__ = reduction.name
    function.__doc__ = f"{sentence}\n\nOver the dimensions `dim`, all if None."
    made: Reducing = operation(function)
    return made


logsumexp = reducing(reductions.logsumexp, "Give log(sum(exp(input))) without overflow.")
amax = reducing(
    reductions.amax,
    "Give the largest element; ties share the gradient equally. Raises ValueError where there are no elements.",
)
amin = reducing(
    reductions.amin,
    "Give the smallest element; ties share the gradient equally. Raises ValueError where there are no elements.",
)


@operation
def softmax(
    input: Given, dim: int | None = None, *, axis: int | None = None, dtype: npt.DTypeLike | None = None
) -> Given:
    """Give exp(input) / sum(exp(input)) along a dimension (the last if None), without overflow.

    With `dtype`, input is converted first.
    """
    if dtype is not None:
        return softmax(astype(input, floating_dtype("softmax", dtype)), dim, axis=axis)
    return Softmax.apply(input, _one_axis("softmax", input, dim, axis))


@operation
def log_softmax(
    input: Given, dim: int | None = None, *, axis: int | None = None, dtype: npt.DTypeLike | None = None
) -> Given:
    """Give input - log(sum(exp(input))) along a dimension (the last if None), without overflow.

    With `dtype`, input is converted first.
    """
    if dtype is not None:
        return log_softmax(astype(input, floating_dtype("log_softmax", dtype)), dim, axis=axis)
    return LogSoftmax.apply(input, _one_axis("log_softmax", input, dim, axis))


def floating_dtype(what: str, dtype: npt.DTypeLike) -> np.dtype[Any]:
    """Give the dtype that is asked for, if it is a floating one."""
    chosen = np.dtype(dtype)
    if chosen.kind != "f":
        raise TypeError(f"{what}: dtype is {chosen}: the result is floating")
    return chosen


def _one_axis(what: str, x: Any, dim: Any, axis: Any) -> int:
    if type(dim) is int and axis is None and type(x) is Variable and -x._array.ndim <= dim < x._array.ndim:
        return dim if dim >= 0 else dim + x._array.ndim
    return axis_of(what, either(what, "dim", dim, "axis", axis, -1), builtins.max(x.ndim, 1))
