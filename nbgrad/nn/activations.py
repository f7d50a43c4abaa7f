"""Activations: elementwise formulas, a kernel each way, and what is made of softmax."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from ..elementwise import constant_like
from ..kernels import dispatch, scalars
from ..kernels.scalars import abs, erfc, expm1, where
from ..kernels.scalars import sigmoid as sigmoid_
from ..kernels.scalars import tanh as tanh_
from ..ops import elementwise as plain
from ..ops.arguments import axis_of
from ..ops.creation import uniform_like
from ..ops.elementwise import add, elementwise, mul, neg, sigmoid, softplus, sub, tanh
from ..ops.inplace import in_place
from ..ops.reduction import log_softmax
from ..ops.reduction import softmax as softmax
from ..ops.shape import reshape
from ..ops.slicing import chunk
from ..variable import Variable, data_of
from .windows import any_operand, operand

__all__ = [
    "celu",
    "celu_",
    "elu",
    "elu_",
    "gelu",
    "glu",
    "gumbel_softmax",
    "hardshrink",
    "hardsigmoid",
    "hardswish",
    "hardtanh",
    "hardtanh_",
    "leaky_relu",
    "leaky_relu_",
    "log_softmax",
    "logsigmoid",
    "mish",
    "prelu",
    "relu",
    "relu6",
    "relu_",
    "rrelu",
    "rrelu_",
    "selu",
    "selu_",
    "sigmoid",
    "silu",
    "softmax",
    "softmin",
    "softplus",
    "softshrink",
    "softsign",
    "tanh",
    "tanhshrink",
    "threshold",
    "threshold_",
]

# ---- formulas: of the input, and of numbers -------------------------------------------------------------------------


def _formula(name: str, compute: Callable[..., Any]) -> Callable[..., Any]:
    """Make a formula a function of an input and of numbers, which take its dtype."""
    function = elementwise(compute, name=name)

    def applied(input: Any, *numbers: float) -> Any:
        if type(input) is Variable:
            return function(input, *[constant_like(number, input) for number in numbers])
        return function(any_operand(name, input), *numbers)

    return applied


#: The constants of `selu`, by which means stay 0 and variances 1 (https://arxiv.org/abs/1706.02515).
_ALPHA, _SCALE = 1.6732632423543772848170429916717, 1.0507009873554804934193349852946

_elu = _formula("elu", lambda x, alpha: where(x > 0, x, alpha * expm1(x)))
_celu = _formula("celu", lambda x, alpha: where(x > 0, x, alpha * expm1(x / alpha)))
_selu = _formula("selu", lambda x: _SCALE * where(x > 0, x, _ALPHA * expm1(x)))
_gelu = _formula("gelu", lambda x: 0.5 * x * erfc(x * -math.sqrt(0.5)))
_gelu_by_tanh = _formula(
    "gelu_by_tanh", lambda x: 0.5 * x * (1 + tanh_(math.sqrt(2 / math.pi) * (x + 0.044715 * x * x * x)))
)
_hardshrink = _formula("hardshrink", lambda x, width: where((x >= -width) & (x <= width), 0, x))
_hardsigmoid = _formula("hardsigmoid", lambda x: where(x <= -3, 0, where(x >= 3, 1, x / 6 + 0.5)))
_hardswish = _formula("hardswish", lambda x: where(x <= -3, 0, where(x >= 3, x, x * (x + 3) / 6)))
_hardtanh = _formula("hardtanh", lambda x, low, high: where(x <= low, low, where(x >= high, high, x)))
_leaky_relu = _formula("leaky_relu", lambda x, slope: where(x > 0, x, slope * x))
_logsigmoid = _formula("logsigmoid", lambda x: -scalars.softplus(-x))
_mish = _formula("mish", lambda x: x * tanh_(scalars.softplus(x)))
_silu = _formula("silu", lambda x: x * sigmoid_(x))
_softshrink = _formula(
    "softshrink", lambda x, width: where(x > width, x - width, where(x < -width, x + width, where(x == x, 0, x)))
)
_softsign = _formula("softsign", lambda x: x / (1 + abs(x)))
_tanhshrink = _formula("tanhshrink", lambda x: x - tanh_(x))
_threshold = _formula("threshold", lambda x, threshold, value: where(x <= threshold, value, x))


def _written(name: str, function: Callable[..., Any], input: Any, *numbers: Any) -> Any:
    """Write what a function gives into its input."""
    return in_place(name, function)(input, *numbers)


def _activation(name: str, function: Callable[..., Any], input: Any, inplace: bool, *numbers: Any) -> Any:
    operand(name, input)
    return _written(name, function, input, *numbers) if inplace else function(input, *numbers)


def relu(input: Any, inplace: bool = False) -> Any:
    """Give max(input, 0); with `inplace`, as for its like, it is written into input."""
    return _written("relu", plain.relu, input) if inplace else plain.relu(input)


def relu6(input: Any, inplace: bool = False) -> Any:
    """Give min(max(input, 0), 6)."""
    return hardtanh(input, 0.0, 6.0, inplace)


def elu(input: Any, alpha: float = 1.0, inplace: bool = False) -> Any:
    """Give input where it is positive, alpha * (exp(input) - 1) elsewhere."""
    return _activation("elu", _elu, input, inplace, alpha)


def selu(input: Any, inplace: bool = False) -> Any:
    """Give `elu` of an alpha and times a scale by which means stay 0 and variances 1."""
    return _activation("selu", _selu, input, inplace)


def celu(input: Any, alpha: float = 1.0, inplace: bool = False) -> Any:
    """Give max(input, 0) + min(0, alpha * (exp(input / alpha) - 1)); raises ValueError for an alpha of 0."""
    if not alpha:
        raise ValueError("celu: alpha is 0, which input is divided by")
    return _activation("celu", _celu, input, inplace, alpha)


def leaky_relu(input: Any, negative_slope: float = 0.01, inplace: bool = False) -> Any:
    """Give input where it is positive, negative_slope * input elsewhere."""
    return _activation("leaky_relu", _leaky_relu, input, inplace, negative_slope)


def hardtanh(input: Any, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> Any:
    """Limit input to min_val ... max_val, whose ends have no gradient; raises ValueError for bounds in wrong order."""
    if min_val > max_val:
        raise ValueError(f"hardtanh: the bounds are {min_val} and {max_val}: give the lower one first")
    return _activation("hardtanh", _hardtanh, input, inplace, min_val, max_val)


def threshold(input: Any, threshold: float, value: float, inplace: bool = False) -> Any:
    """Give input where it is above a threshold, and a value elsewhere."""
    return _activation("threshold", _threshold, input, inplace, threshold, value)


def hardsigmoid(input: Any, inplace: bool = False) -> Any:
    """Give input / 6 + 1/2, limited to 0 ... 1."""
    return _activation("hardsigmoid", _hardsigmoid, input, inplace)


def hardswish(input: Any, inplace: bool = False) -> Any:
    """Give input * hardsigmoid(input)."""
    return _activation("hardswish", _hardswish, input, inplace)


def silu(input: Any, inplace: bool = False) -> Any:
    """Give input * sigmoid(input)."""
    return _activation("silu", _silu, input, inplace)


def mish(input: Any, inplace: bool = False) -> Any:
    """Give input * tanh(softplus(input))."""
    return _activation("mish", _mish, input, inplace)


def gelu(input: Any, approximate: str = "none") -> Any:
    """Give input times the share of the standard normal distribution below it, or what tanh makes of it ("tanh").

    Raises ValueError for another `approximate`.

    >>> import nbgrad
    >>> nbgrad.nn.functional.gelu(nbgrad.tensor([-1.0, 0.0, 1.0]))
    Variable([-0.15865525,  0.        ,  0.84134475])
    """
    if approximate not in ("none", "tanh"):
        raise ValueError(f"gelu: approximate is {approximate!r}: give 'none' or 'tanh'")
    return _activation("gelu", _gelu if approximate == "none" else _gelu_by_tanh, input, False)


def logsigmoid(input: Any) -> Any:
    """Give log(sigmoid(input)) without overflow."""
    return _activation("logsigmoid", _logsigmoid, input, False)


def softsign(input: Any) -> Any:
    """Give input / (1 + abs(input))."""
    return _activation("softsign", _softsign, input, False)


def tanhshrink(input: Any) -> Any:
    """Give input - tanh(input)."""
    return _activation("tanhshrink", _tanhshrink, input, False)


def softshrink(input: Any, lambd: float = 0.5) -> Any:
    """Bring input nearer to 0 by lambd, and to 0 where it is within it; raises ValueError for a negative lambd."""
    if not lambd >= 0:
        raise ValueError(f"softshrink: lambd is {lambd}: it must not be negative")
    return _activation("softshrink", _softshrink, input, False, lambd)


def hardshrink(input: Any, lambd: float = 0.5) -> Any:
    """Give input, but 0 where it is within lambd of it."""
    return _activation("hardshrink", _hardshrink, input, False, lambd)


# ---- with weights, in halves, at random -----------------------------------------------------------------------------


def prelu(input: Any, weight: Any) -> Any:
    """Give input where it is positive, weight * input elsewhere: one weight for all, or one for each channel.

    Input has the shape (samples, channels, ...).

    Raises ValueError for another number of weights.
    """
    x, weight = operand("prelu", input), operand("prelu", weight)
    channels = x.shape[1] if x.ndim > 1 else 1
    if weight.ndim > 1 or weight.size not in (1, channels):
        raise ValueError(f"prelu: weight has shape {weight.shape} for shape {x.shape}: give 1 weight or {channels}")
    if weight.size > 1:
        weight = reshape(weight, channels, *(1,) * (x.ndim - 2))
    elif weight.ndim:
        weight = reshape(weight, ())
    return _prelu(x, weight)


_prelu = elementwise(lambda x, slope: where(x > 0, x, slope * x), name="leaky_relu")


def glu(input: Any, dim: int = -1) -> Any:
    """Give the first half along a dimension, times the sigmoid of the second.

    Raises ValueError for a dimension of an odd size, or of none.
    """
    x = operand("glu", input)
    if not x.ndim:
        raise ValueError("glu: a scalar has no halves")
    axis = axis_of("glu", dim, x.ndim)
    if x.shape[axis] % 2:
        raise ValueError(f"glu: dimension {axis} of shape {x.shape} has no halves")
    first, second = chunk(x, 2, axis) if x.shape[axis] else (x, x)
    return mul(first, sigmoid(second))


def rrelu(
    input: Any, lower: float = 1.0 / 8, upper: float = 1.0 / 3, training: bool = False, inplace: bool = False
) -> Any:
    """Give `leaky_relu` of slopes that are drawn between lower and upper in training, and of their mean otherwise.

    Raises ValueError where lower is above upper.
    """
    x = operand("rrelu", input)
    if lower > upper:
        raise ValueError(f"rrelu: slopes from {lower} to {upper}: give the lower one first")
    if not training:
        return leaky_relu(x, (lower + upper) / 2, inplace)
    slopes = uniform_like("rrelu", x, lower, upper)
    return _written("rrelu", _prelu, x, slopes) if inplace else _prelu(x, slopes)


def softmin(input: Any, dim: int | None = None, _stacklevel: int = 3, dtype: npt.DTypeLike | None = None) -> Any:
    """Give softmax(-input) along a dimension."""
    return softmax(neg(input), dim, dtype=dtype)


def gumbel_softmax(logits: Any, tau: float = 1, hard: bool = False, eps: float = 1e-10, dim: int = -1) -> Any:
    """Draw from the Gumbel-softmax distribution: ``softmax((logits + noise) / tau)``, https://arxiv.org/abs/1611.01144.

    With `hard` the largest becomes 1 and all others 0, and the gradient is that of the softmax.
    """
    x = operand("gumbel_softmax", logits)
    # -log of an exponential variable: log1p has the digits of numbers near 1
    uniform = uniform_like("gumbel_softmax", x, 0.0, 1.0)
    noise = neg(plain.log(neg(plain.log1p(neg(uniform)))))
    y = softmax(plain.div(add(x, noise), tau), dim)
    if not hard:
        return y
    data = data_of(y)
    axis = axis_of("gumbel_softmax", dim, x.ndim)
    places = dispatch.extreme_places("max", data, axis)
    shape = [-1 if i == axis else 1 for i in range(x.ndim)]
    chosen = plain.eq(places, dispatch.beside(np.arange(x.shape[axis]).reshape(shape), data)).astype(data.dtype)
    rest = sub(chosen, data)  # which has no gradient
    return add(y, Variable(rest, requires_grad=False) if isinstance(y, Variable) else rest)


# ---- in place -------------------------------------------------------------------------------------------------------


def _into(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def written(input: Any, *arguments: Any) -> Any:
        return function(input, *arguments, inplace=True)

    written.__name__ = written.__qualname__ = f"{function.__name__}_"
    written.__doc__ = f"Write `{function.__name__}` into input, and give it."
    return written


celu_, elu_, hardtanh_, leaky_relu_ = _into(celu), _into(elu), _into(hardtanh), _into(leaky_relu)
relu_, rrelu_, selu_, threshold_ = _into(relu), _into(rrelu), _into(selu), _into(threshold)
