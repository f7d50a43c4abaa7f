"""Losses of which nothing is left beyond a margin: rankings, hinges, triplets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..arrays import Array
from ..kernels import dispatch
from ..kernels.cpu import margins as kernels
from ..ops.elementwise import add, eq, ge, logical_and, minimum, mul, ne, neg, pow, relu, sub, where
from ..ops.elementwise import softplus as softplus
from ..ops.indexing import getitem
from ..ops.joining import take_along_dim
from ..ops.reduction import mean, sum
from ..ops.scan import cumprod
from ..ops.shape import astype, reshape, unsqueeze
from ..variable import Variable, data_of
from .activations import logsigmoid
from .by_kernel import ByKernel, have_kernels
from .distances import pairwise_distance
from .reduced import number_of, old_arguments, reduced
from .windows import any_operand, operand

__all__ = [
    "cosine_embedding_loss",
    "hinge_embedding_loss",
    "margin_ranking_loss",
    "multi_margin_loss",
    "multilabel_margin_loss",
    "multilabel_soft_margin_loss",
    "soft_margin_loss",
    "triplet_margin_loss",
    "triplet_margin_with_distance_loss",
]


def _no_old_arguments(what: str, *given: Any) -> None:
    if any([value is not None for value in given]):
        raise old_arguments(what)


def margin_ranking_loss(
    input1: Any,
    input2: Any,
    target: Any,
    margin: float = 0,
    size_average: Any = None,
    reduce: Any = None,
    reduction: str = "mean",
) -> Any:
    """Give ``max(0, -target * (input1 - input2) + margin)``, reduced.

    The target is 1 where the first should be larger, -1 where the second should. Raises ValueError for different
    numbers of dimensions and an unknown reduction.
    """
    what = "margin_ranking_loss"
    _no_old_arguments(what, size_average, reduce)
    x, y, t = operand(what, input1), operand(what, input2), any_operand(what, target)
    if not x.ndim == y.ndim == t.ndim:
        raise ValueError(
            f"{what}: inputs of shapes {x.shape} and {y.shape}, target {t.shape}: they must have as many dimensions"
        )
    return reduced(what, relu(add(mul(neg(t), sub(x, y)), margin)), reduction)


def hinge_embedding_loss(
    input: Any,
    target: Any,
    margin: float = 1.0,
    size_average: Any = None,
    reduce: Any = None,
    reduction: str = "mean",
) -> Any:
    """Give input where target is 1, ``max(0, margin - input)`` where it is -1, their sum elsewhere, reduced.

    Raises ValueError for shapes that do not broadcast and an unknown reduction.
    """
    what = "hinge_embedding_loss"
    _no_old_arguments(what, size_average, reduce)
    x, t = operand(what, input), any_operand(what, target)
    apart, near = relu(sub(margin, x)), x
    each = add(where(ne(t, 1), apart, 0.0), where(ne(t, -1), near, 0.0))
    return reduced(what, each, reduction)


def soft_margin_loss(
    input: Any, target: Any, size_average: Any = None, reduce: Any = None, reduction: str = "mean"
) -> Any:
    """Give ``log(1 + exp(-target * input))``, reduced, without overflow: target is 1 or -1.

    Raises ValueError for different shapes and an unknown reduction.
    """
    what = "soft_margin_loss"
    _no_old_arguments(what, size_average, reduce)
    x, t = operand(what, input), any_operand(what, target)
    if x.shape != t.shape:
        raise ValueError(f"{what}: input has shape {x.shape}, target {t.shape}: they must be the same")
    return reduced(what, softplus(mul(neg(t), x)), reduction)


def cosine_embedding_loss(
    input1: Any,
    input2: Any,
    target: Any,
    margin: float = 0,
    size_average: Any = None,
    reduce: Any = None,
    reduction: str = "mean",
) -> Any:
    """Give one minus the cosine of the angle where target is 1, ``max(0, cosine - margin)`` where it is -1, reduced.

    Inputs have the shape (samples, features) or (features,), target (samples,) or (). Raises ValueError for others.
    """
    what = "cosine_embedding_loss"
    _no_old_arguments(what, size_average, reduce)
    x, y, t = operand(what, input1), operand(what, input2), any_operand(what, target)
    if t.ndim not in (0, 1) or x.ndim != t.ndim + 1 or y.ndim != t.ndim + 1:
        raise ValueError(
            f"{what}: inputs of shapes {x.shape} and {y.shape}, target {t.shape}: they are (samples, features), or "
            "(features,), and the target has no features"
        )
    # squares within epsilon of 0 have a direction, too
    epsilon = 1e-12
    lengths = mul(add(sum(mul(x, x), -1), epsilon), add(sum(mul(y, y), -1), epsilon))
    cosine = mul(sum(mul(x, y), -1), pow(lengths, -0.5))
    each = add(where(eq(t, 1), sub(1.0, cosine), 0.0), where(eq(t, -1), relu(sub(cosine, margin)), 0.0))
    return reduced(what, each, reduction)


def triplet_margin_loss(
    anchor: Any,
    positive: Any,
    negative: Any,
    margin: float = 1.0,
    p: float = 2,
    eps: float = 1e-6,
    swap: bool = False,
    size_average: Any = None,
    reduce: Any = None,
    reduction: str = "mean",
) -> Any:
    """Give ``max(0, distance(anchor, positive) - distance(anchor, negative) + margin)``, reduced.

    Distances are `pairwise_distance`'s. With `swap` the negative one is that to the nearer of the other two. Raises
    ValueError for different numbers of dimensions, a margin that is not positive, and an unknown reduction.
    """
    _no_old_arguments("triplet_margin_loss", size_average, reduce)

    def distance(x: Any, y: Any) -> Any:
        return pairwise_distance(x, y, p, eps)

    return _triplet("triplet_margin_loss", anchor, positive, negative, distance, margin, swap, reduction)


def triplet_margin_with_distance_loss(
    anchor: Any,
    positive: Any,
    negative: Any,
    *,
    distance_function: Callable[[Any, Any], Any] | None = None,
    margin: float = 1.0,
    swap: bool = False,
    reduction: str = "mean",
) -> Any:
    """Give `triplet_margin_loss` for a distance of one's own (`pairwise_distance` unless given)."""
    what = "triplet_margin_with_distance_loss"
    return _triplet(what, anchor, positive, negative, distance_function or pairwise_distance, margin, swap, reduction)


def _triplet(
    what: str,
    anchor: Any,
    positive: Any,
    negative: Any,
    distance: Callable[[Any, Any], Any],
    margin: float,
    swap: bool,
    reduction: str,
) -> Any:
    a, p, n = operand(what, anchor), operand(what, positive), operand(what, negative)
    if not a.ndim == p.ndim == n.ndim:
        raise ValueError(f"{what}: shapes {a.shape}, {p.shape} and {n.shape} must have as many dimensions")
    if not margin > 0:
        raise ValueError(f"{what}: margin is {margin}: it must be positive")
    near, far = distance(a, p), distance(a, n)
    if swap:
        far = minimum(far, distance(p, n))
    return reduced(what, relu(add(sub(near, far), margin)), reduction)


# ---- of classes -----------------------------------------------------------------------------------------------------


def _rows(what: str, input: Any, target: Any, ndim: int) -> tuple[Any, Any, bool]:
    """Give input as a matrix of (samples, classes), classes of the samples, and whether there was one sample only."""
    x = operand(what, input)
    labels = data_of(any_operand(what, target))
    if labels.dtype.kind not in "iu":
        raise TypeError(f"{what}: target has dtype {labels.dtype}: classes are whole numbers")
    alone = x.ndim < 2
    if x.ndim > 2 or (not x.size and 0 in x.shape[1:]):
        raise ValueError(f"{what}: input has shape {x.shape}: it is (samples, classes), or (classes,)")
    if alone:
        x, labels = reshape(x, 1, x.size), labels.reshape(1, -1) if ndim == 2 else labels.reshape(-1)
    if tuple(labels.shape) != tuple(x.shape[:ndim]):
        raise ValueError(f"{what}: input has shape {x.shape}, target {labels.shape}: it must be {x.shape[:ndim]}")
    return x, labels, alone


def multi_margin_loss(
    input: Any,
    target: Any,
    p: int = 1,
    margin: float = 1.0,
    weight: Any = None,
    size_average: Any = None,
    reduce: Any = None,
    reduction: str = "mean",
) -> Any:
    """Give for each row the mean of ``max(0, margin - input[label] + input)**p`` over all other classes, reduced.

    Input has the shape (samples, classes) or (classes,), target (samples,) or (), `weight` one number for each class,
    that of the label counts. Raises ValueError for other shapes and a p other than 1 and 2, IndexError for a class that
    does not exist.
    """
    what = "multi_margin_loss"
    _no_old_arguments(what, size_average, reduce)
    if p not in (1, 2):
        raise ValueError(f"{what}: p is {p}: it must be 1 or 2")
    if weight is None:
        rows = _by_kernel(MultiMargin, input, target, 1, p, margin)
        if rows is not None:
            return reduced(what, rows, reduction)
    x, labels, alone = _rows(what, input, target, 1)
    w = None if weight is None else operand(what, weight)
    if w is not None and w.shape != (x.shape[1],):
        raise ValueError(f"{what}: weight has shape {w.shape}: it must be ({x.shape[1]},)")
    if type(labels) is np.ndarray and labels.size and not 0 <= labels.min() <= labels.max() < x.shape[1]:
        low, high = labels.min(), labels.max()
        raise IndexError(f"{what}: targets from {low} to {high}: classes are from 0 to {x.shape[1] - 1}")
    rows = _multi_margin(x, labels, p, margin, w)
    return reduced(what, reshape(rows, ()) if alone and reduction == "none" else rows, reduction)


def _multi_margin(x: Any, labels: Any, p: int, margin: float, weight: Any) -> Any:
    """Give `multi_margin_loss` of each row of a matrix."""
    column = labels.reshape(-1, 1)
    picked = take_along_dim(x, column, 1)
    each = relu(add(sub(x, picked), margin))
    if p == 2:
        each = mul(each, each)
    if weight is not None:
        each = mul(each, reshape(getitem(weight, labels), -1, 1))
    others = ne(column, dispatch.beside(np.arange(x.shape[1]), data_of(x)))
    return mean(where(others, each, 0.0), 1)


class MultiMargin(ByKernel):
    """`multi_margin_loss` of each row of a matrix, without weights."""

    __slots__ = ("labels", "margin", "power")

    def __init__(self, labels: Array, power: int, margin: float) -> None:
        self.labels, self.power, self.margin = labels, power, margin

    def forward(self, x: Array) -> Array:
        return kernels.multi_margin(x, self.labels, number_of(self.margin, x.dtype.char), self.power)

    def slopes(self, gy: Array, *xs: Array) -> tuple[Array]:
        margin = number_of(self.margin, gy.dtype.char)
        return (kernels.multi_margin_slope(gy, xs[0], self.labels, margin, self.power),)

    def composed(self, *xs: Any) -> Any:
        return _multi_margin(xs[0], self.labels, self.power, self.margin, None)


def _by_kernel(kind: Any, input: Any, target: Any, ndim: int, *options: Any) -> Any:
    """Give what a loss is for each row of a matrix by its kernel; None where it takes other ways."""
    labels = target._array if type(target) is Variable else target
    if not have_kernels(input) or type(labels) is not np.ndarray or labels.dtype.kind not in "iu":
        return None
    shape = input.shape
    if len(shape) != 2 or 0 in shape or labels.shape != shape[:ndim]:
        return None
    try:
        # a copy: classes must be the same when the gradient comes back
        return kind(labels.astype(np.int64), *options)(input)
    except IndexError:
        return None  # which the other way has words for


def multilabel_margin_loss(
    input: Any, target: Any, size_average: Any = None, reduce: Any = None, reduction: str = "mean"
) -> Any:
    """Give for each row the sum of ``max(0, 1 - input[label] + input) / classes`` over labels and others, reduced.

    Both have the shape (samples, classes) or (classes,); target has the labels of a row, and behind the last one -1.
    Raises ValueError for other shapes, IndexError for a class that does not exist.
    """
    what = "multilabel_margin_loss"
    _no_old_arguments(what, size_average, reduce)
    rows = _by_kernel(MultilabelMargin, input, target, 2)
    if rows is not None:
        return reduced(what, rows, reduction)
    x, labels, alone = _rows(what, input, target, 2)
    rows = _multilabel_margin(x, labels)
    return reduced(what, reshape(rows, ()) if alone and reduction == "none" else rows, reduction)


def _multilabel_margin(x: Any, labels: Any) -> Any:
    """Give `multilabel_margin_loss` of each row of a matrix."""
    classes = x.shape[1]
    counts = astype(cumprod(astype(ge(labels, 0), np.int64), 1), np.bool_)
    places = where(counts, labels, 0)
    arange = dispatch.beside(np.arange(classes), data_of(x))
    # is_label[n, c]: whether c is among the labels of row n
    match = logical_and(eq(unsqueeze(places, 2), arange), unsqueeze(counts, 2))
    is_label = ne(sum(astype(match, np.int64), 1), 0)
    picked = take_along_dim(x, places, 1)
    each = relu(add(sub(unsqueeze(x, 1), unsqueeze(picked, 2)), 1.0))
    counted = logical_and(unsqueeze(counts, 2), eq(unsqueeze(is_label, 1), False))
    return mul(sum(where(counted, each, 0.0), (1, 2)), 1 / classes)


class MultilabelMargin(ByKernel):
    """`multilabel_margin_loss` of each row of a matrix."""

    __slots__ = ("labels", "state")

    def __init__(self, labels: Array) -> None:
        self.labels = labels

    def forward(self, x: Array) -> Array:
        losses, self.state = kernels.multilabel_margin(x, self.labels)
        return losses

    def slopes(self, gy: Array, *xs: Array) -> tuple[Array]:
        return (kernels.multilabel_margin_slope(gy, xs[0], self.labels, self.state),)

    def composed(self, *xs: Any) -> Any:
        return _multilabel_margin(xs[0], self.labels)


def multilabel_soft_margin_loss(
    input: Any,
    target: Any,
    weight: Any = None,
    size_average: Any = None,
    reduce: Any = None,
    reduction: str = "mean",
) -> Any:
    """Give the mean over classes of ``-t*log(sigmoid(x)) - (1-t)*log(sigmoid(-x))``, times a weight of theirs, reduced.

    Raises ValueError for shapes that do not broadcast and an unknown reduction.
    """
    what = "multilabel_soft_margin_loss"
    _no_old_arguments(what, size_average, reduce)
    x, t = operand(what, input), any_operand(what, target)
    each = neg(add(mul(t, logsigmoid(x)), mul(sub(1.0, t), logsigmoid(neg(x)))))
    if weight is not None:
        each = mul(each, operand(what, weight))
    return reduced(what, mean(each, -1), reduction)
