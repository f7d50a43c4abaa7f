"""PyTorch's `nn.functional`: activations, losses and linear maps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..arrays import Array, as_array, is_stand_in
from ..elementwise import Elementwise
from ..kernels import dispatch
from ..ops.elementwise import (
    add,
    bce_with_logits,
    div,
    eq,
    mul,
    ne,
    neg,
    relu,
    sigmoid,
    softplus,
    squared_error,
    sub,
    tanh,
    where,
)
from ..ops.indexing import GetItem, Index, bounds, getitem
from ..ops.reduction import log_softmax, mean, softmax, sum
from ..ops.shape import astype, permute, reshape
from ..variable import Given, Variable, data_of
from . import layers, losses

__all__ = [
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "cross_entropy",
    "huber_loss",
    "l1_loss",
    "layer_norm",
    "linear",
    "log_softmax",
    "mse_loss",
    "nll_loss",
    "relu",
    "sigmoid",
    "smooth_l1_loss",
    "softmax",
    "softplus",
    "tanh",
]


def _reduced(what: str, each: Any, reduction: str) -> Any:
    if reduction == "mean":
        return mean(each)
    if reduction == "sum":
        return sum(each)
    if reduction == "none":
        return each
    raise ValueError(f"{what}: reduction is 'mean', 'sum' or 'none', got {reduction!r}")


def _elementwise(operation: Elementwise, input: Any, target: Any, reduction: str, what: str) -> Any:
    """Give an elementwise loss, reduced: in one pass where losses can."""
    found = losses.reduced(operation, input, target, reduction)
    return _reduced(what, operation.function(input, target), reduction) if found is None else found


def _same_shape(what: str, input: Any, target: Any) -> None:
    if input.shape != target.shape:
        raise ValueError(f"{what}: input has shape {input.shape}, target {target.shape}: they must be the same")


def linear(input: Any, weight: Any, bias: Any = None) -> Variable:
    """Give ``input @ weight.T + bias`` for a weight of shape (outputs, inputs), as PyTorch has it.

    Raises ValueError for shapes that do not match.

    >>> import nbgrad
    >>> nbgrad.nn.functional.linear(nbgrad.ones(1, 2), nbgrad.ones(3, 2), nbgrad.zeros(3))
    Variable([[2., 2., 2.]])
    """
    found: Variable = layers.linear(input, weight, bias)
    return found


def layer_norm(
    input: Given, normalized_shape: int | Sequence[int], weight: Any = None, bias: Any = None, eps: float = 1e-5
) -> Given:
    """Bring input to mean 0 and variance 1 over its last dimensions, then multiply by weight and add bias.

    That is ``(x - mean) / sqrt(variance + eps) * weight + bias``; weight and bias have the shape of these dimensions,
    and either may be left out. Raises ValueError for other shapes.

    >>> import nbgrad
    >>> nbgrad.nn.functional.layer_norm(nbgrad.tensor([[1.0, 3.0]]), 2, eps=0.0)
    Variable([[-1.,  1.]])
    """
    shape = (normalized_shape,) if isinstance(normalized_shape, int) else tuple(normalized_shape)
    if not shape or input.shape[-len(shape) :] != shape:
        raise ValueError(f"layer_norm: input of shape {input.shape} does not end in the shape {shape} to normalise")
    for name, operand in (("weight", weight), ("bias", bias)):
        if operand is not None and operand.shape != shape:
            raise ValueError(f"layer_norm: {name} has shape {operand.shape}: it must be {shape}")
    found = layers.layer_norm(input, shape, weight, bias, eps)
    if found is not None:
        return found
    y: Any = layers.normalised(input, tuple(range(input.ndim - len(shape), input.ndim)), eps)[0]
    y = y if weight is None else mul(y, weight)
    return y if bias is None else add(y, bias)


def _old_arguments(what: str) -> TypeError:
    return TypeError(f"{what}: size_average and reduce are gone: use reduction=")


def binary_cross_entropy_with_logits(
    input: Given,
    target: Any,
    weight: Any = None,
    size_average: Any = None,
    reduce: Any = None,
    reduction: str = "mean",
    pos_weight: Any = None,
) -> Given:
    """Give the loss ``-t*log(sigmoid(x)) - (1-t)*log(1-sigmoid(x))``, reduced, from logits of any size.

    Computed as ``max(x, 0) - x*t + log(1 + exp(-|x|))``, one pass forward and one back. `pos_weight` multiplies the
    first term, which takes more passes, `weight` the whole; both broadcast to the shape of the input.

    Raises ValueError for different shapes or an unknown reduction.

    >>> import nbgrad
    >>> F = nbgrad.nn.functional
    >>> float(F.binary_cross_entropy_with_logits(nbgrad.tensor([1000.0]), nbgrad.tensor([1.0])))
    0.0
    """
    what = "binary_cross_entropy_with_logits"
    if size_average is not None or reduce is not None:
        raise _old_arguments(what)
    _same_shape(what, input, target)
    if weight is None and pos_weight is None:
        return _elementwise(losses.BCE_WITH_LOGITS, input, target, reduction, what)
    each = bce_with_logits(input, target)
    if pos_weight is not None:
        each = add(each, mul(mul(sub(pos_weight, 1.0), target), softplus(neg(input))))
    return _reduced(what, _weighted(what, each, weight, input, pos_weight), reduction)


def _weighted(what: str, each: Any, weight: Any, input: Any, pos_weight: Any = None) -> Any:
    """Multiply losses by weights, which broadcast to the shape of the input."""
    if weight is not None:
        each = mul(each, weight)
    if each.shape != input.shape:
        shapes = [np.shape(w) for w in (weight, pos_weight) if w is not None]
        raise ValueError(f"{what}: weights of shape {shapes} do not broadcast to shape {input.shape} of the input")
    return each


def binary_cross_entropy(
    input: Given,
    target: Any,
    weight: Any = None,
    size_average: Any = None,
    reduce: Any = None,
    reduction: str = "mean",
) -> Given:
    """Give the loss ``-t*log(p) - (1-t)*log(1-p)``, reduced, from probabilities.

    As PyTorch has it, logarithms end at -100, and slopes of probabilities within 1e-12 of 0 and 1 are finite;
    `binary_cross_entropy_with_logits` has no need of that. `weight` multiplies the losses, and broadcasts.

    Raises ValueError for different shapes or an unknown reduction.
    """
    what = "binary_cross_entropy"
    if size_average is not None or reduce is not None:
        raise _old_arguments(what)
    _same_shape(what, input, target)
    if weight is None:
        return _elementwise(losses.BCE, input, target, reduction, what)
    return _reduced(what, _weighted(what, losses.BCE.function(input, target), weight, input), reduction)


def l1_loss(input: Given, target: Any, size_average: Any = None, reduce: Any = None, reduction: str = "mean") -> Given:
    """Give the absolute differences, reduced; where there is none, the gradient is 0.

    Raises ValueError for different shapes or an unknown reduction.
    """
    if size_average is not None or reduce is not None:
        raise _old_arguments("l1_loss")
    _same_shape("l1_loss", input, target)
    return _elementwise(losses.ABSOLUTE_ERROR, input, target, reduction, "l1_loss")


def smooth_l1_loss(
    input: Given,
    target: Any,
    size_average: Any = None,
    reduce: Any = None,
    reduction: str = "mean",
    beta: float = 1.0,
) -> Given:
    """Give ``d**2 / 2 / beta`` where the difference d is within beta, ``|d| - beta/2`` elsewhere, reduced.

    With a beta of 0 it is `l1_loss`. Raises ValueError for different shapes, an unknown reduction or a negative beta.
    """
    what = "smooth_l1_loss"
    if size_average is not None or reduce is not None:
        raise _old_arguments(what)
    _same_shape(what, input, target)
    if beta < 0:
        raise ValueError(f"{what}: beta is {beta}: it must not be negative")
    if beta == 0:
        return _elementwise(losses.ABSOLUTE_ERROR, input, target, reduction, what)
    return _smooth_l1(what, input, target, reduction, beta, beta)


def huber_loss(input: Given, target: Any, reduction: str = "mean", delta: float = 1.0, weight: Any = None) -> Given:
    """Give ``d**2 / 2`` where the difference d is within delta, ``delta * (|d| - delta/2)`` elsewhere, reduced.

    `weight`, of the input's shape, multiplies the losses. Raises ValueError for different shapes, an unknown reduction
    or a delta that is not positive.
    """
    _same_shape("huber_loss", input, target)
    if not delta > 0:
        raise ValueError(f"huber_loss: delta is {delta}: it must be positive")
    if weight is None:
        return _smooth_l1("huber_loss", input, target, reduction, delta, delta * delta)
    _same_shape("huber_loss", input, weight)
    each = _smooth_l1("huber_loss", input, target, "none", delta, delta * delta)
    return _reduced("huber_loss", mul(each, weight), reduction)


def _smooth_l1(what: str, input: Any, target: Any, reduction: str, width: float, factor: float) -> Any:
    """Give the losses of a parabola of a width, times a factor: in units of the width there is one formula for all."""
    if width != 1:
        input, target = div(input, width), div(target, width)
    loss = _elementwise(losses.SMOOTH_L1, input, target, reduction, what)
    return loss if factor == 1 else mul(loss, factor)


def mse_loss(
    input: Given, target: Any, size_average: Any = None, reduce: Any = None, reduction: str = "mean", weight: Any = None
) -> Given:
    """Give the squared differences, times a weight of their shape where there is one, reduced.

    The mean is then the weighted one. Raises ValueError for different shapes or an unknown reduction.
    """
    if size_average is not None or reduce is not None:
        raise _old_arguments("mse_loss")
    _same_shape("mse_loss", input, target)
    if weight is None:
        return _elementwise(losses.SQUARED_ERROR, input, target, reduction, "mse_loss")
    _same_shape("mse_loss", input, weight)
    each = mul(squared_error(input, target), weight)
    total = _reduced("mse_loss", each, "sum" if reduction == "mean" else reduction)
    return div(total, sum(weight)) if reduction == "mean" else total


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
        raise _old_arguments("nll_loss")
    labels = target.data if isinstance(target, Variable) else as_array(target)
    if weight is None and ignore_index is None:
        loss = losses.of_classes(losses.Nll, input, labels, reduction)
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
    dispatch.together("nll_loss", (data, labels))
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
            return neg(_reduced("nll_loss", _picked(logs, labels), reduction))
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
    return div(sum(each), sum(factors)) if reduction == "mean" else _reduced("nll_loss", each, reduction)


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
        raise _old_arguments("cross_entropy")
    if not isinstance(target, Variable):
        target = as_array(target)
    if weight is None and ignore_index is None and label_smoothing == 0:
        loss = losses.of_classes(losses.CrossEntropy, input, data_of(target), reduction)
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
    return _reduced("cross_entropy", neg(sum(mul(logs, target), -1)), reduction)
