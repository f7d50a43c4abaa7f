"""Losses of classes: for each row of numbers the class that it should be.

One node, and one loop each way (`kernels.cpu.classes`), where there are neither weights nor what is to be ignored.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from ..arrays import Array, as_array, is_stand_in
from ..function import Operation
from ..kernels import dispatch, placement
from ..kernels.cpu import classes
from ..ops.elementwise import add, div, eq, mul, ne, neg, sub, where
from ..ops.indexing import GetItem, Index, bounds, getitem, own_places
from ..ops.places import FEW, SumsAt
from ..ops.reduction import Softmax, SoftmaxVjp, log_softmax, sum
from ..ops.shape import astype, permute, reshape
from ..variable import Given, Variable, data_of
from .linear import linear
from .reduced import number_of, old_arguments, reduced

__all__ = ["cross_entropy", "linear_cross_entropy", "nll_loss"]


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
        loss, self.state = classes.cross_entropy(x, self.labels, number_of(self.count, x.dtype.char))
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
        one = Variable(number_of(1, x.dtype.char), requires_grad=False)
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
        return classes.cross_entropy_slope(gy, x, self.labels, number_of(self.count, x.dtype.char), self.state)

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
        return classes.nll(x, self.labels, number_of(self.count, x.dtype.char))

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
        return classes.nll_slope(gy, self.labels, number_of(self.count, gy.dtype.char), self.shape)

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
    if kind is Nll and data.size <= FEW and labels.dtype.char == "l":
        rows, classes_there = data.shape
        own = own_places(labels, classes_there)
        if own is not None:
            begins, places, shares = _sum_of_rows(rows, classes_there, reduction)
            return SumsAt.apply(x, places, own + begins, shares, ())
    try:
        # a copy: classes must be the same when the gradient comes back
        return kind(labels.astype(np.int64), len(labels) if reduction == "mean" else 1)(x)
    except IndexError:
        return None


@lru_cache(256)
def _sum_of_rows(rows: int, classes: int, reduction: str) -> tuple[Array, Array, Array]:
    """Give where rows begin, and what makes minus the sum or the mean of an element of each."""
    share = -1 / rows if reduction == "mean" else -1.0
    arrays = np.arange(0, rows * classes, classes), np.zeros(rows, np.int64), np.full(rows, share)
    for array in arrays:
        array.flags.writeable = False
    return arrays


#: The label that stands for no class unless another one is named.
_IGNORED = -100


def nll_loss(
    input: Given,
    target: Any,
    weight: Any = None,
    size_average: Any = None,
    ignore_index: int | None = None,
    reduce: Any = None,
    reduction: str = "mean",
) -> Given:
    """Give the negative log-likelihood of the target classes, from log-probabilities, reduced.

    Log-probabilities have the shape (samples, classes), classes (samples,); or (samples, classes, ...) and
    (samples, ...); or (classes,) and (). `weight` has a factor for each class, and the mean is the weighted one.
    Targets of `ignore_index` (-100 unless given) count for nothing. A function that `nbgrad.jit` compiles looks for
    them only where it is given, and takes -100 for a class out of range otherwise.

    Raises ValueError for other shapes, TypeError for classes that are not whole, IndexError for classes out of range.
    """
    if size_average is not None or reduce is not None:
        raise old_arguments("nll_loss")
    labels = target.data if isinstance(target, Variable) else as_array(target)
    if weight is None and ignore_index is None:
        loss = of_classes(Nll, input, labels, reduction)
        if loss is not None:
            return loss
    if input.ndim != 2 or labels.shape != input.shape[:1]:
        input = _classes_last("nll_loss", input, labels.shape)
    return _nll(input, labels, weight, ignore_index, reduction)


def _classes_last(what: str, input: Any, shape: tuple[int, ...] | None) -> Any:
    """Give log-probabilities, or logits, with the classes as the last dimension, for classes of a shape (None: any)."""
    if input.ndim == 0 or shape not in (None, (*input.shape[:1], *input.shape[2:]) if input.ndim > 1 else ()):
        raise ValueError(
            f"{what}: log-probabilities of shape {input.shape} and classes of shape {shape}: they must be "
            "(samples, classes, ...) and (samples, ...), or (classes,) and ()"
        )
    return input if input.ndim <= 2 else permute(input, (0, *range(2, input.ndim), 1))


def _picked(logs: Any, labels: Array) -> Any:
    """Give the log-probability of each label, of the labels' shape; the classes come last."""
    classes = logs.shape[-1]
    data = data_of(logs)
    placement.together("nll_loss", (data, labels))
    if is_stand_in(labels):  # a choice, which can be computed together with whatever is around it
        labels = labels.checked(lambda array: _checked(array, classes), "class check", ("classes", classes))
        return sum(where(_choice(labels, classes), logs, 0.0), -1)
    _checked(labels, classes)()
    # by flat positions, which need no broadcasting of row numbers and classes
    starts = dispatch.arange(labels.size, classes, labels)
    flat = labels if labels.ndim == 1 else labels.reshape(-1)
    picked = GetItem(Index.of_rows(add(starts, flat.astype(np.int64)), unique=True))(reshape(logs, logs.size))
    return picked if flat is labels else reshape(picked, labels.shape)


def _choice(labels: Array, classes: int) -> Any:
    """Tell for each label and each class whether it is this one."""
    return eq(reshape(labels, *labels.shape, 1), np.arange(classes))


def _checked(labels: Array, classes: int) -> Callable[[], None]:
    """Begin to look whether all classes exist; gives a function that waits until that is known."""

    def refuse(lowest: int, highest: int) -> None:
        raise IndexError(
            f"nll_loss: classes from {lowest} to {highest}, log-probabilities for {classes}; "
            "ignore_index= names one that counts for nothing"
        )

    found = dispatch.look(labels, 0, classes - 1)
    return lambda: refuse(*bounds(labels)) if found()[0] else None


def _nll(
    logs: Any, labels: Array, weight: Any, ignore_index: int | None, reduction: str, smoothing: float = 0.0
) -> Any:
    """Give `nll_loss` from log-probabilities whose last dimension are the classes."""
    data: Any = data_of(logs)
    if isinstance(labels, np.ndarray) and is_stand_in(data):
        labels = data.outside(labels)
    if labels.dtype.kind not in "iu":
        raise TypeError(f"nll_loss: classes have dtype {labels.dtype}: they must be whole numbers")
    if weight is None and ignore_index is None and not smoothing:
        try:
            return neg(reduced("nll_loss", _picked(logs, labels), reduction))
        except IndexError:
            # those to ignore are looked for only now, where labels can be looked at: all others are spared it
            if is_stand_in(labels) or not bool((dispatch.in_numpy(labels) == _IGNORED).any()):
                raise
    labels = labels.astype(np.int64)
    kept = ne(labels, _IGNORED if ignore_index is None else ignore_index)
    labels = where(kept, labels, 0)
    each = neg(_picked(logs, labels))
    factors = astype(kept, logs.dtype)
    if weight is not None:
        weight = _class_weights(weight, logs.shape[-1])
        factors = where(kept, getitem(weight, labels), 0.0)
        each = mul(each, factors)
    if smoothing:
        everywhere = neg(sum(logs if weight is None else mul(logs, weight), -1))
        each = add(mul(each, 1 - smoothing), mul(everywhere, smoothing / logs.shape[-1]))
    each = where(kept, each, 0.0)
    return div(sum(each), sum(factors)) if reduction == "mean" else reduced("nll_loss", each, reduction)


def _class_weights(weight: Any, classes: int) -> Any:
    weight = weight if isinstance(weight, Variable) else as_array(weight)
    if weight.shape != (classes,):
        raise ValueError(f"nll_loss: weight has shape {weight.shape}: it must be ({classes},), one for each class")
    return weight


def cross_entropy(
    input: Given,
    target: Any,
    weight: Any = None,
    size_average: Any = None,
    ignore_index: int | None = None,
    reduce: Any = None,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Given:
    """Give the cross entropy of logits with classes, or with probabilities of the logits' shape, reduced.

    Shapes, `weight` and `ignore_index` are those of `nll_loss`. With `label_smoothing` a part of each target is spread
    evenly over all classes.

    Raises ValueError for other shapes, TypeError for classes that are not whole, IndexError for classes out of range.

    >>> import nbgrad
    >>> x = nbgrad.zeros(2, 4)
    >>> print(f"{nbgrad.nn.functional.cross_entropy(x, nbgrad.tensor([0, 3])):.4f}")
    1.3863
    """
    if size_average is not None or reduce is not None:
        raise old_arguments("cross_entropy")
    if not isinstance(target, Variable):
        target = as_array(target)
    if weight is None and ignore_index is None and label_smoothing == 0:
        loss = of_classes(CrossEntropy, input, data_of(target), reduction)
        if loss is not None:
            return loss
    probabilities = target.dtype.kind == "f" and target.shape == input.shape
    if input.ndim != 2 or not (probabilities or target.shape == input.shape[:1]):
        input = _classes_last("cross_entropy", input, None if probabilities else target.shape)
    if not 0 <= label_smoothing <= 1:
        raise ValueError(f"cross_entropy: label_smoothing is {label_smoothing}: it must be from 0 to 1")
    logs = log_softmax(input, -1)
    if not probabilities:
        labels = data_of(target)
        return _nll(logs, labels, weight, ignore_index, reduction, label_smoothing)
    if ignore_index is not None and ignore_index >= 0:
        raise ValueError("cross_entropy: ignore_index is for classes, and the targets are probabilities")
    if target.ndim > 2:
        target = _classes_last("cross_entropy", target, None)
    if label_smoothing:
        target = add(mul(target, 1 - label_smoothing), label_smoothing / logs.shape[-1])
    if weight is not None:
        target = mul(target, _class_weights(weight, logs.shape[-1]))
    return reduced("cross_entropy", neg(sum(mul(logs, target), -1)), reduction)


def linear_cross_entropy(
    input: Given,
    linear_weight: Any,
    target: Any,
    *,
    linear_bias: Any = None,
    weight: Any = None,
    reduction: str = "mean",
    ignore_index: int | None = None,
    label_smoothing: float = 0.0,
    options: Any = None,
) -> Given:
    """Give `cross_entropy` of ``linear(input, linear_weight, linear_bias)``.

    The weight may have further dimensions between classes and features, (classes, ..., features), whose logits are
    (samples, classes, ...). `options`, by which torch saves memory, change nothing.
    """
    shape = linear_weight.shape[:-1]
    if len(shape) != 1 and input.ndim < 2:
        raise ValueError(
            f"linear_cross_entropy: input of shape {input.shape} has no samples, for weight of {linear_weight.shape}"
        )
    flat = linear_weight if len(shape) == 1 else reshape(linear_weight, math.prod(shape), linear_weight.shape[-1])
    bias = linear_bias if linear_bias is None or linear_bias.ndim == 1 else reshape(linear_bias, linear_bias.size)
    logits: Any = linear(input, flat, bias)
    if len(shape) != 1:
        logits = reshape(logits, *input.shape[:-1], *shape)
    return cross_entropy(
        logits, target, weight, ignore_index=ignore_index, reduction=reduction, label_smoothing=label_smoothing
    )
