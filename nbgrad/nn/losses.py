"""Losses of numbers that are to be equal, or to tell truth: an input and a target of its shape.

A sum or a mean of an elementwise loss is a reduction whose elements are the formula, one node and one kernel each way;
its gradient is the elementwise one, of one cotangent for all elements. That is for arrays of NumPy's: what stands in
for arrays, and arrays on GPUs, go by the functions that losses are made of.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..arrays import Array
from ..elementwise import Elementwise
from ..function import Operation
from ..kernels import scalars
from ..kernels.cpu.reduction import reduce_elements
from ..kernels.formula import ScalarFunction
from ..kernels.scalars import log, where
from ..ops import elementwise as plain
from ..ops.elementwise import OPERATIONS, add, bce_with_logits, div, elementwise, mul, neg, softplus, squared_error, sub
from ..ops.reduction import sum
from ..ops.shape import BroadcastTo, reshape
from ..ops.writing import as_like
from ..variable import Given, Variable, data_of
from .reduced import broadcasting, number_of, old_arguments, reduced, same_shape
from .windows import any_operand, operand

__all__ = [
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "gaussian_nll_loss",
    "huber_loss",
    "kl_div",
    "l1_loss",
    "mse_loss",
    "poisson_nll_loss",
    "smooth_l1_loss",
]


def _operation(scalar: ScalarFunction) -> Elementwise:
    return Elementwise(
        scalar.name, scalar.expression, scalar.argument_kinds, scalar.domain, scalar, ("input", "target")
    )


DIVISION = OPERATIONS["div"]
SQUARED_ERROR, BCE_WITH_LOGITS = OPERATIONS["squared_error"], OPERATIONS["bce_with_logits"]
ABSOLUTE_ERROR, SMOOTH_L1, BCE = map(_operation, (scalars.absolute_error, scalars.smooth_l1, scalars.bce))


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
            gy = div(gy, float(size)) if recorded else DIVISION.call(gy, number_of(size, gy.dtype.char))
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


def as_one_node(operation: Elementwise, x: Any, target: Any, reduction: str) -> Any:
    """Give the sum or the mean of an elementwise loss; None where it takes other ways."""
    a = x._array if isinstance(x, Variable) else x
    b = target._array if isinstance(target, Variable) else target
    if type(a) is not np.ndarray or type(b) is not np.ndarray or a.dtype != b.dtype or a.dtype.char not in "fd":
        return None
    return Reduced(operation, reduction == "mean")(x, target) if reduction in ("mean", "sum") else None


def _elementwise(operation: Elementwise, input: Any, target: Any, reduction: str, what: str) -> Any:
    """Give an elementwise loss, reduced: in one pass where losses can."""
    found = as_one_node(operation, input, target, reduction)
    return reduced(what, operation.function(input, target), reduction) if found is None else found


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
        raise old_arguments(what)
    same_shape(what, input, target)
    if weight is None and pos_weight is None:
        return _elementwise(BCE_WITH_LOGITS, input, target, reduction, what)
    each = bce_with_logits(input, target)
    if pos_weight is not None:
        each = add(each, mul(mul(sub(pos_weight, 1.0), target), softplus(neg(input))))
    return reduced(what, _weighted(what, each, weight, input, pos_weight), reduction)


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
        raise old_arguments(what)
    same_shape(what, input, target)
    if weight is None:
        return _elementwise(BCE, input, target, reduction, what)
    return reduced(what, _weighted(what, BCE.function(input, target), weight, input), reduction)


def l1_loss(input: Given, target: Any, size_average: Any = None, reduce: Any = None, reduction: str = "mean") -> Given:
    """Give the absolute differences, reduced; where there is none, the gradient is 0.

    Raises ValueError for different shapes or an unknown reduction.
    """
    if size_average is not None or reduce is not None:
        raise old_arguments("l1_loss")
    same_shape("l1_loss", input, target)
    return _elementwise(ABSOLUTE_ERROR, input, target, reduction, "l1_loss")


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
        raise old_arguments(what)
    same_shape(what, input, target)
    if beta < 0:
        raise ValueError(f"{what}: beta is {beta}: it must not be negative")
    if beta == 0:
        return _elementwise(ABSOLUTE_ERROR, input, target, reduction, what)
    return _smooth_l1(what, input, target, reduction, beta, beta)


def huber_loss(input: Given, target: Any, reduction: str = "mean", delta: float = 1.0, weight: Any = None) -> Given:
    """Give ``d**2 / 2`` where the difference d is within delta, ``delta * (|d| - delta/2)`` elsewhere, reduced.

    `weight`, of the input's shape, multiplies the  Raises ValueError for different shapes, an unknown reduction
    or a delta that is not positive.
    """
    same_shape("huber_loss", input, target)
    if not delta > 0:
        raise ValueError(f"huber_loss: delta is {delta}: it must be positive")
    if weight is None:
        return _smooth_l1("huber_loss", input, target, reduction, delta, delta * delta)
    same_shape("huber_loss", input, weight)
    each = _smooth_l1("huber_loss", input, target, "none", delta, delta * delta)
    return reduced("huber_loss", mul(each, weight), reduction)


def _smooth_l1(what: str, input: Any, target: Any, reduction: str, width: float, factor: float) -> Any:
    """Give the losses of a parabola of a width, times a factor: in units of the width there is one formula for all."""
    if width != 1:
        input, target = div(input, width), div(target, width)
    loss = _elementwise(SMOOTH_L1, input, target, reduction, what)
    return loss if factor == 1 else mul(loss, factor)


def mse_loss(
    input: Given, target: Any, size_average: Any = None, reduce: Any = None, reduction: str = "mean", weight: Any = None
) -> Given:
    """Give the squared differences, times a weight of their shape where there is one, reduced.

    The mean is then the weighted one. Raises ValueError for different shapes or an unknown reduction.
    """
    if size_average is not None or reduce is not None:
        raise old_arguments("mse_loss")
    same_shape("mse_loss", input, target)
    if weight is None:
        return _elementwise(SQUARED_ERROR, input, target, reduction, "mse_loss")
    same_shape("mse_loss", input, weight)
    each = mul(squared_error(input, target), weight)
    total = reduced("mse_loss", each, "sum" if reduction == "mean" else reduction)
    return div(total, sum(weight)) if reduction == "mean" else total


# ---- of distributions -----------------------------------------------------------------------------------------------

#: What t * log(t) is, of which 0 is 0.
_own_entropy = elementwise(lambda t: where(t > 0, t * log(t), where(t == 0, 0, math.nan)), name="t_log_t")


def kl_div(
    input: Any,
    target: Any,
    size_average: Any = None,
    reduce: Any = None,
    reduction: str = "mean",
    log_target: bool = False,
) -> Any:
    """Give ``target * (log(target) - input)``, reduced, of log-probabilities and probabilities, or their logarithms.

    The two broadcast; with reduction="batchmean" the sum is divided by the first dimension's size, which is what the
    divergence is. Raises ValueError for shapes that do not broadcast and an unknown reduction.
    """
    if size_average is not None or reduce is not None:
        raise old_arguments("kl_div")
    x, t = operand("kl_div", input), operand("kl_div", target)
    if x.shape != t.shape:
        broadcasting("kl_div", x, t)
    each = mul(plain.exp(t), sub(t, x)) if log_target else sub(_own_entropy(t), mul(t, x))
    if reduction == "batchmean":
        return div(sum(each), float(x.shape[0] if x.ndim else 1))
    return reduced("kl_div", each, reduction)


def poisson_nll_loss(
    input: Any,
    target: Any,
    log_input: bool = True,
    full: bool = False,
    size_average: Any = None,
    eps: float = 1e-8,
    reduce: Any = None,
    reduction: str = "mean",
) -> Any:
    """Give ``exp(input) - target * input``, or ``input - target * log(input + eps)``, reduced.

    With `full` Stirling's approximation of log(target!) is added where target is above 1. Raises ValueError for shapes
    that do not broadcast and an unknown reduction.
    """
    what = "poisson_nll_loss"
    if size_average is not None or reduce is not None:
        raise old_arguments(what)
    x, t = operand(what, input), any_operand(what, target)
    each = sub(plain.exp(x), mul(t, x)) if log_input else sub(x, mul(t, plain.log(add(x, eps))))
    if full:
        each = add(each, _stirling(t))
    return reduced(what, each, reduction)


_stirling = elementwise(lambda t: where(t > 1, t * log(t) - t + 0.5 * log(2 * math.pi * t), 0), name="stirling")


def gaussian_nll_loss(
    input: Any, target: Any, var: Any, full: bool = False, eps: float = 1e-6, reduction: str = "mean"
) -> Any:
    """Give ``(log(var) + (input - target)**2 / var) / 2``, reduced; var is at least eps, which has no gradient.

    `var` is a number, or has the shape of input, without its last dimension or with one of size 1. With `full`,
    log(2 * pi) / 2 is added. Raises ValueError for other shapes, an unknown reduction and negative variances.
    """
    what = "gaussian_nll_loss"
    x, t = operand(what, input), any_operand(what, target)
    if isinstance(var, int | float):
        if var < 0:
            raise ValueError(f"{what}: var is {var}: it must not be negative")
        var = as_like(x, np.full(x.shape, float(var)))
    v = operand(what, var)
    if v.shape != x.shape:
        if v.shape == x.shape[:-1]:
            v = reshape(v, *v.shape, 1)
        elif v.ndim != x.ndim or any([n not in (m, 1) for n, m in zip(v.shape, x.shape, strict=True)]):
            raise ValueError(f"{what}: input has shape {x.shape}, var {v.shape}: it must be that, or one for each row")
    data = data_of(v)
    if isinstance(data, np.ndarray) and (data < 0).any():
        raise ValueError(f"{what}: var is {data.min()} somewhere: variances must not be negative")
    if reduction not in ("mean", "sum", "none"):
        raise ValueError(f"{what}: reduction is 'mean', 'sum' or 'none', got {reduction!r}")
    # limited as a number, so that a small variance still has its gradient
    low = plain.relu(sub(eps, data))
    v = add(v, Variable(low, requires_grad=False) if isinstance(v, Variable) else low)
    difference = sub(x, t)
    each = mul(add(plain.log(v), div(mul(difference, difference), v)), 0.5)
    if full:
        each = add(each, 0.5 * math.log(2 * math.pi))
    return reduced(what, each, reduction)
