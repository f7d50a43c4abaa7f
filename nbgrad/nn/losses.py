"""Losses as Functions of their own: one node, and one kernel each way.

A sum or a mean of an elementwise loss is a reduction whose elements are the formula; its gradient is the elementwise
one, of one cotangent for all elements. Losses of classes have loops of their own (`kernels.cpu.classes`). All this is
for arrays of NumPy's: what stands in for arrays, and arrays on GPUs, go by the functions that losses are made of.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache as once
from typing import Any

import numpy as np

from ..arrays import Array
from ..elementwise import Elementwise
from ..function import Operation
from ..kernels import scalars
from ..kernels.cpu import classes
from ..kernels.cpu.reduction import reduce_elements
from ..kernels.formula import ScalarFunction
from ..ops.elementwise import OPERATIONS, div, eq, mul, neg, sub
from ..ops.reduction import Softmax, SoftmaxVjp, sum
from ..ops.shape import BroadcastTo
from ..variable import Variable


def _operation(scalar: ScalarFunction) -> Elementwise:
    return Elementwise(
        scalar.name, scalar.expression, scalar.argument_kinds, scalar.domain, scalar, ("input", "target")
    )


DIVISION = OPERATIONS["div"]
SQUARED_ERROR, BCE_WITH_LOGITS = OPERATIONS["squared_error"], OPERATIONS["bce_with_logits"]
ABSOLUTE_ERROR, SMOOTH_L1, BCE = map(_operation, (scalars.absolute_error, scalars.smooth_l1, scalars.bce))


@once
def _number(count: int, char: str) -> Array:
    """Give what a loss is divided by: kernels take it as an array without dimensions."""
    array = np.array(count, char)
    array.flags.writeable = False
    return array


class Reduced(Operation):
    """The sum or the mean of an elementwise operation of arrays of one shape and dtype."""

    __slots__ = ("elements", "mean")

    def __init__(self, operation: Elementwise, mean: bool) -> None:
        self.elements, self.mean = operation, mean

    def forward(self, *xs: Array) -> Array:
        return reduce_elements(self.elements.name, self.elements.expression, self.mean, *xs)

    def vjp(self, gy: Any, y: Any, *xs: Any) -> Any:
        recorded = isinstance(gy, Variable)
        if self.mean:
            size = xs[0].size
            gy = div(gy, float(size)) if recorded else DIVISION.call(gy, _number(size, gy.dtype.char))
        value: Any = None
        gxs: list[Any] = []
        for index, pullback in enumerate(self.elements.pullbacks):
            if pullback is None or not self.needs(index):
                gxs.append(None)
                continue
            rule = (pullback.recorded or pullback) if recorded else pullback
            if 1 in rule.uses and value is None:
                value = self.elements.function(*xs)
            gx = gy
            if rule.operation is not None:
                function = rule.operation.function if recorded else rule.operation.call
                gx = function(*[(gy, value, *xs)[use] for use in rule.uses])
            gxs.append(gx if gx.shape == xs[index].shape else BroadcastTo(xs[index].shape)(gx))
        return tuple(gxs)


class _OfClasses(Operation):
    """What all losses of classes know: the classes of the rows, 64 bits wide, and what the sum is divided by."""

    __slots__ = ("count", "labels")

    def __init__(self, labels: Array, count: int) -> None:
        self.labels, self.count = labels, count

    def chosen(self, classes: int, dtype: Any) -> Array:
        """Give 1 at the label of each row, 0 elsewhere: what a sum is made of where there is no loop for it."""
        return eq(self.labels[:, None], np.arange(classes)).astype(dtype)


class CrossEntropy(_OfClasses):
    """log(sum(exp(x))) - x[label], summed over the rows of a matrix and divided by a count."""

    __slots__ = ("shape", "state")

    def forward(self, x: Array) -> Array:
        self.shape = x.shape
        loss, self.state = classes.cross_entropy(x, self.labels, _number(self.count, x.dtype.char))
        return loss

    def vjp(self, gy: Any, y: Any, x: Any) -> Any:
        if x.shape != self.shape:
            raise ValueError(
                f"cross_entropy: the logits had shape {self.shape} when the loss was computed, and have {x.shape} now: "
                "put new data of another shape into a new Variable"
            )
        slope = CrossEntropySlope(self.labels, self.count, self.state)
        return slope.forward(gy, x) if isinstance(x, np.ndarray) else slope(gy, x)

    def jvp(self, tangents: Sequence[Any], y: Any, x: Any) -> Any:
        one = Variable(_number(1, x.dtype.char), requires_grad=False)
        return sum(mul(tangents[0], CrossEntropySlope(self.labels, self.count, self.state)(one, x)))


class CrossEntropySlope(_OfClasses):
    """gy * (softmax(x) - one at the label), divided by the count."""

    __slots__ = ("state",)

    def __init__(self, labels: Array, count: int, state: Array) -> None:
        self.labels, self.count, self.state = labels, count, state

    def forward(self, gy: Array, x: Array) -> Array:
        if not isinstance(gy, np.ndarray):
            slopes: Array = sub(Softmax(1).forward(x), self.chosen(x.shape[1], x.dtype))
            return mul(div(gy, float(self.count)), slopes)
        return classes.cross_entropy_slope(gy, x, self.labels, _number(self.count, x.dtype.char), self.state)

    def vjp(self, g: Any, _: Any, gy: Any, x: Any) -> Any:
        p = Softmax(1)(x)
        share = div(g, float(self.count))
        by_gy = sum(mul(share, sub(p, self.chosen(x.shape[1], x.dtype)))) if self.needs(0) else None
        return by_gy, SoftmaxVjp(1)(mul(share, gy), p) if self.needs(1) else None


class Nll(_OfClasses):
    """-x[label], summed over the rows of a matrix and divided by a count."""

    __slots__ = ()
    linear = True
    reads_all = False

    def forward(self, x: Array) -> Array:
        if not isinstance(x, np.ndarray):
            return neg(div(sum(mul(x, self.chosen(x.shape[1], x.dtype))), float(self.count)))
        return classes.nll(x, self.labels, _number(self.count, x.dtype.char))

    def vjp(self, gy: Any, y: Any, x: Any) -> Any:
        return NllSlope(self.labels, self.count, x.shape)(gy)


class NllSlope(_OfClasses):
    """Zeros of a shape, but for -gy at the label of each row, divided by the count."""

    __slots__ = ("shape",)
    linear = True
    reads_all = False

    def __init__(self, labels: Array, count: int, shape: tuple[int, int]) -> None:
        self.labels, self.count, self.shape = labels, count, shape

    def forward(self, gy: Array) -> Array:
        if not isinstance(gy, np.ndarray):
            return mul(neg(div(gy, float(self.count))), self.chosen(self.shape[1], gy.dtype))
        return classes.nll_slope(gy, self.labels, _number(self.count, gy.dtype.char), self.shape)

    def vjp(self, g: Any, _: Any, gy: Any) -> Any:
        return Nll(self.labels, self.count)(g)


def of_classes(kind: type[CrossEntropy] | type[Nll], x: Any, labels: Any, reduction: str) -> Any:
    """Give the loss of the classes of a matrix's rows; None where it takes other ways.

    These are for other arrays than floating ones of NumPy's, and for classes that do not exist or count for nothing.
    """
    data = x._array if isinstance(x, Variable) else x
    if (
        type(data) is not np.ndarray
        or type(labels) is not np.ndarray
        or data.ndim != 2
        or labels.shape != data.shape[:1]
        or not data.size
        or data.dtype.char not in "fd"
        or labels.dtype.kind not in "iu"
        or reduction not in ("mean", "sum")
    ):
        return None
    try:
        # a copy: classes must be the same when the gradient comes back
        return kind(labels.astype(np.int64), len(labels) if reduction == "mean" else 1)(x)
    except IndexError:
        return None


def reduced(operation: Elementwise, x: Any, target: Any, reduction: str) -> Any:
    """Give the sum or the mean of an elementwise loss; None where it takes other ways."""
    a = x._array if isinstance(x, Variable) else x
    b = target._array if isinstance(target, Variable) else target
    if type(a) is not np.ndarray or type(b) is not np.ndarray or a.dtype != b.dtype or a.dtype.char not in "fd":
        return None
    return Reduced(operation, reduction == "mean")(x, target) if reduction in ("mean", "sum") else None
