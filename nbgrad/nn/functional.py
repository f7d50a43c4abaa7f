"""PyTorch's `nn.functional`: activations, losses and linear maps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..kernels import devices
from ..ops.elementwise import add, bce_with_logits, eq, mul, neg, relu, sigmoid, softplus, squared_error, tanh, where
from ..ops.indexing import GetItem, Index, bounds, look
from ..ops.linalg import matmul
from ..ops.reduction import log_softmax, mean, softmax, sum
from ..ops.shape import reshape, t
from ..variable import Array, Variable, as_array

__all__ = [
    "binary_cross_entropy_with_logits",
    "cross_entropy",
    "linear",
    "log_softmax",
    "mse_loss",
    "nll_loss",
    "relu",
    "sigmoid",
    "softmax",
    "softplus",
    "tanh",
]


def _reduced(what: str, losses: Any, reduction: str) -> Any:
    if reduction == "mean":
        return mean(losses)
    if reduction == "sum":
        return sum(losses)
    if reduction == "none":
        return losses
    raise ValueError(f"{what}: reduction is 'mean', 'sum' or 'none', got {reduction!r}")


def _same_shape(what: str, input: Any, target: Any) -> None:
    if input.shape != target.shape:
        raise ValueError(f"{what}: input has shape {input.shape}, target {target.shape}: they must be the same")


def linear(input: Any, weight: Any, bias: Any = None) -> Any:
    """Give ``input @ weight.T + bias`` for a weight of shape (outputs, inputs), as PyTorch has it.

    Raises ValueError for shapes that do not match.

    >>> import nbgrad
    >>> nbgrad.nn.functional.linear(nbgrad.ones(1, 2), nbgrad.ones(3, 2), nbgrad.zeros(3))
    Variable([[2., 2., 2.]])
    """
    y = matmul(input, t(weight))
    return y if bias is None else y + bias


def binary_cross_entropy_with_logits(
    input: Any, target: Any, weight: Any = None, size_average: Any = None, reduce: Any = None, reduction: str = "mean"
) -> Any:
    """Give the loss ``-t*log(sigmoid(x)) - (1-t)*log(1-sigmoid(x))``, reduced, from logits of any size.

    Computed as ``max(x, 0) - x*t + log(1 + exp(-|x|))``, one pass forward and one back.

    Raises ValueError for different shapes or an unknown reduction.

    >>> import nbgrad
    >>> F = nbgrad.nn.functional
    >>> float(F.binary_cross_entropy_with_logits(nbgrad.tensor([1000.0]), nbgrad.tensor([1.0])))
    0.0
    """
    if size_average is not None or reduce is not None:
        raise TypeError("binary_cross_entropy_with_logits: size_average and reduce are gone: use reduction=")
    _same_shape("binary_cross_entropy_with_logits", input, target)
    losses = bce_with_logits(input, target)
    return _reduced("binary_cross_entropy_with_logits", losses if weight is None else mul(losses, weight), reduction)


def mse_loss(input: Any, target: Any, reduction: str = "mean") -> Any:
    """Give the squared differences, reduced.

    Raises ValueError for different shapes or an unknown reduction.
    """
    _same_shape("mse_loss", input, target)
    return _reduced("mse_loss", squared_error(input, target), reduction)


def nll_loss(input: Any, target: Any, reduction: str = "mean") -> Any:
    """Give the negative log-likelihood of the target classes, from log-probabilities of shape (samples, classes)."""
    labels = target.data if isinstance(target, Variable) else as_array(target)
    if input.ndim != 2 or labels.shape != input.shape[:1]:
        raise ValueError(
            f"nll_loss: log-probabilities of shape {input.shape} and classes of shape {labels.shape}: "
            "they must be (samples, classes) and (samples,)"
        )
    if labels.dtype.kind not in "iu":
        raise TypeError(f"nll_loss: classes have dtype {labels.dtype}: they must be whole numbers")
    classes = input.shape[1]
    data = input.data if isinstance(input, Variable) else input
    if devices.cuda_seen and (devices.is_cuda(data) or devices.is_cuda(labels)):
        devices.check_together("nll_loss", (data, labels))
    elif not isinstance(labels, np.ndarray):  # being traced: a choice that fuses with whatever is around it
        labels = labels.checked(lambda array: _checked(array, classes), "class check", ("classes", classes))
        chosen = eq(reshape(labels, labels.size, 1), np.arange(classes))
        return neg(_reduced("nll_loss", sum(where(chosen, input, 0.0), -1), reduction))
    _checked(labels, classes)()
    # by flat positions, which need no broadcasting of row numbers and classes
    starts = devices.library(labels).arange(0, labels.size * classes, max(classes, 1))
    positions = add(starts, labels.astype(np.int64))
    picked = GetItem(Index.of_rows(positions, unique=True))(reshape(input, input.size))
    return neg(_reduced("nll_loss", picked, reduction))


def _checked(labels: Array, classes: int) -> Callable[[], None]:
    """Begin to look whether all classes exist; gives a function that waits until that is known."""

    def refuse(lowest: int, highest: int) -> None:
        raise IndexError(f"nll_loss: classes from {lowest} to {highest}, log-probabilities for {classes}")

    if not devices.is_cuda(labels):
        # seen as unsigned, a negative number is too large as well
        if labels.size and labels.astype(np.uint64).max() >= classes:
            refuse(labels.min(), labels.max())
        return lambda: None
    found = look(labels, 0, classes - 1)
    return lambda: refuse(*bounds(labels)) if found()[0] else None


def cross_entropy(input: Any, target: Any, reduction: str = "mean") -> Any:
    """Give the cross entropy of logits (samples, classes) with classes (samples,) or probabilities of their shape.

    Raises ValueError for other shapes, TypeError for classes that are not whole, IndexError for classes out of range.

    >>> import nbgrad
    >>> x = nbgrad.zeros(2, 4)
    >>> print(f"{nbgrad.nn.functional.cross_entropy(x, nbgrad.tensor([0, 3])):.4f}")
    1.3863
    """
    if input.ndim != 2:
        raise ValueError(f"cross_entropy: logits have shape {input.shape}: it must be (samples, classes)")
    logs = log_softmax(input, -1)
    if target.shape == input.shape and target.dtype.kind == "f":
        return _reduced("cross_entropy", neg(sum(mul(logs, target), -1)), reduction)
    return nll_loss(logs, target, reduction)
