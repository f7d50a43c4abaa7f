"""Activation functions, by PyTorch's names: formulas of `kernels.activations`, one kernel each way.

>>> import nbgrad
>>> nbgrad.nn.functional.silu(nbgrad.tensor([-1.0, 0.0, 1.0]))
Variable([-0.26894142,  0.        ,  0.73105858])
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from functools import cache as once
from typing import Any

from ..constants import constant_like
from ..elementwise import Elementwise
from ..kernels import activations
from ..kernels.formula import FLOATING, NUMBER, ScalarFunction
from ..ops import elementwise
from ..ops.creation import rand
from ..ops.elementwise import add, log, mul, neg, sigmoid, softplus, sub, tanh
from ..ops.reduction import log_softmax, softmax
from ..ops.rewriting import in_place
from ..ops.shape import reshape
from ..ops.slicing import chunk
from ..ops.steps import plain
from ..ops.transfer import beside
from ..registry import ENTRIES
from ..variable import Given, Variable, data_of

__all__ = [
    "celu", "celu_", "elu", "elu_", "gelu", "glu", "gumbel_softmax", "hardshrink", "hardsigmoid", "hardswish",
    "hardtanh", "hardtanh_", "leaky_relu", "leaky_relu_", "log_softmax", "logsigmoid", "mish", "prelu", "relu", "relu6",
    "relu_", "rrelu", "rrelu_", "selu", "selu_", "sigmoid", "silu", "softmax", "softmin", "softplus", "softshrink",
    "softsign", "tanh", "tanhshrink", "threshold", "threshold_",
]  # fmt: skip


@once
def _operation(name: str) -> Elementwise:
    scalar = getattr(activations, name)
    return Elementwise(name, scalar.expression, scalar.argument_kinds, FLOATING, scalar)


#: The numbers that are meant where none are given: formulas with these have one operand, and quicker loops.
_USUAL = frozenset(
    {
        ("celu", 1.0), ("elu", 1.0, 1.0, 1.0), ("hardshrink", 0.5), ("hardtanh", -1.0, 1.0), ("hardtanh", 0.0, 6.0),
        ("leaky_relu", 0.01), ("softshrink", 0.5),
    }
)  # fmt: skip


@once
def _usual_operation(name: str, *numbers: float) -> Elementwise:
    scalar = getattr(activations, name)
    made = ScalarFunction(name, lambda x: scalar(x, *numbers), argument_kinds=(NUMBER,))
    return Elementwise(name, made.expression, [NUMBER], FLOATING, made)


def _applied(name: str, input: Any, *numbers: Any, inplace: bool = False) -> Any:
    """Give what a formula gives of an input and of numbers, which take its dtype; or write it into the input."""
    if numbers and not inplace and type(numbers[0]) is type(numbers[-1]) is float and (name, *numbers) in _USUAL:
        x = input if type(input) is Variable else plain(input)
        if x.dtype.kind == "f":
            return _usual_operation(name, *numbers).function(x)
    if type(input) is Variable and not inplace and input._array.dtype.char in "fd":
        return _operation(name).function(input, *numbers)
    x = plain(input)
    if x.dtype.kind != "f":
        raise TypeError(f"{name}: dtype {x.dtype}: convert to a floating dtype first")
    if type(x) is Variable:
        numbers = tuple([constant_like(number, x) for number in numbers])
    function = _operation(name).function
    return in_place(name, function)(x, *numbers) if inplace else function(x, *numbers)


def relu(input: Any, inplace: bool = False) -> Any:
    """Give max(input, 0), elementwise; with `inplace`, as for others, it is written into input."""
    return _writing("relu")(input) if inplace else elementwise.relu(input)


def celu(input: Given, alpha: float = 1.0, inplace: bool = False) -> Given:
    """Give input above 0 and alpha * (exp(input / alpha) - 1) below, elementwise. Raises ValueError for alpha 0."""
    if alpha == 0:
        raise ValueError("celu: alpha is 0, by which input would be divided")
    return _applied("celu", input, alpha, inplace=inplace)


def elu(input: Given, alpha: float = 1.0, inplace: bool = False) -> Given:
    """Give input above 0 and alpha * (exp(input) - 1) below, elementwise."""
    return _applied("elu", input, alpha, 1.0, 1.0, inplace=inplace)


def selu(input: Given, inplace: bool = False) -> Given:
    """Give `elu` with the scale and alpha of self-normalizing networks, elementwise."""
    return _applied("selu", input, inplace=inplace)


def gelu(input: Given, approximate: str = "none") -> Given:
    """Give input times the share of the standard normal distribution below it, elementwise.

    With `approximate` "tanh" it is input / 2 * (1 + tanh(sqrt(2 / pi) * (input + 0.044715 * input**3))). Raises
    ValueError for another one.
    """
    if approximate not in ("none", "tanh"):
        raise ValueError(f"gelu: approximate is 'none' or 'tanh', got {approximate!r}")
    return _applied("gelu" if approximate == "none" else "gelu_tanh", input)


def silu(input: Given, inplace: bool = False) -> Given:
    """Give input * sigmoid(input), elementwise."""
    return _applied("silu", input, inplace=inplace)


def mish(input: Given, inplace: bool = False) -> Given:
    """Give input * tanh(softplus(input)), elementwise."""
    return _applied("mish", input, inplace=inplace)


def leaky_relu(input: Given, negative_slope: float = 0.01, inplace: bool = False) -> Given:
    """Give input above 0 and negative_slope * input below, elementwise."""
    return _applied("leaky_relu", input, negative_slope, inplace=inplace)


def prelu(input: Given, weight: Any) -> Given:
    """Give `leaky_relu` with a slope to be learned: one number, or one for each channel, the second dimension.

    Raises ValueError for another number of slopes.
    """
    x: Any = plain(input)
    weight = plain(weight)
    if weight.ndim > 1:
        raise ValueError(f"prelu: weight of shape {weight.shape}: give one number, or one for each channel")
    if weight.size != 1:
        channels = x.shape[1] if x.ndim > 1 else 1
        if not x.ndim or weight.size != channels:
            raise ValueError(f"prelu: {weight.size} slopes for shape {x.shape}, whose second dimension has {channels}")
        weight = reshape(weight, (-1, *(1,) * (x.ndim - 2))) if x.ndim > 1 else weight
    elif weight.ndim:
        weight = reshape(weight, ())
    if x.dtype != weight.dtype:
        raise TypeError(f"prelu: input has dtype {x.dtype}, weight {weight.dtype}: convert one of them first")
    return _applied("leaky_relu", x, weight)


def hardtanh(input: Given, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> Given:
    """Limit input to min_val...max_val, elementwise; the gradient at and outside the bounds is 0."""
    if min_val > max_val:
        raise ValueError(f"hardtanh: min_val is {min_val}, above max_val, {max_val}")
    return _applied("hardtanh", input, min_val, max_val, inplace=inplace)


def relu6(input: Given, inplace: bool = False) -> Given:
    """Limit input to 0...6, elementwise."""
    return _applied("hardtanh", input, 0.0, 6.0, inplace=inplace)


def hardsigmoid(input: Given, inplace: bool = False) -> Given:
    """Limit input / 6 + 1/2 to 0...1, elementwise."""
    return _applied("hardsigmoid", input, inplace=inplace)


def hardswish(input: Given, inplace: bool = False) -> Given:
    """Give input * relu6(input + 3) / 6, elementwise."""
    return _applied("hardswish", input, inplace=inplace)


def hardshrink(input: Given, lambd: float = 0.5) -> Given:
    """Give 0 from -lambd to lambd and input elsewhere, elementwise."""
    return _applied("hardshrink", input, lambd)


def softshrink(input: Given, lambd: float = 0.5) -> Given:
    """Move input towards 0 by lambd, and not beyond, elementwise. Raises ValueError for a negative lambd."""
    if lambd < 0:
        raise ValueError(f"softshrink: lambd is {lambd}: give 0 or more")
    return _applied("softshrink", input, lambd)


def tanhshrink(input: Given) -> Given:
    """Give input - tanh(input), elementwise."""
    return _applied("tanhshrink", input)


def softsign(input: Given) -> Given:
    """Give input / (1 + abs(input)), elementwise."""
    return _applied("softsign", input)


def logsigmoid(input: Given) -> Given:
    """Give log(sigmoid(input)) without overflow, elementwise."""
    return neg(softplus(neg(plain(input))))


def threshold(input: Given, threshold: float, value: float, inplace: bool = False) -> Given:
    """Give input above the threshold and value elsewhere, elementwise."""
    return _applied("threshold", input, threshold, value, inplace=inplace)


def glu(input: Given, dim: int = -1) -> Given:
    """Give the first half of a dimension times the sigmoid of the second half. Raises ValueError for an odd size."""
    x = plain(input)
    if not x.ndim or x.shape[dim] % 2:
        raise ValueError(f"glu: dimension {dim} of shape {x.shape} has no halves: give an even size")
    first, second = chunk(x, 2, dim)
    return mul(first, sigmoid(second))


def softmin(input: Given, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None) -> Given:
    """Give `softmax` of -input along a dimension."""
    return softmax(neg(plain(input)), dim, dtype=dtype)


def rrelu(
    input: Given, lower: float = 1.0 / 8, upper: float = 1.0 / 3, training: bool = False, inplace: bool = False
) -> Given:
    """Give `leaky_relu` with slopes drawn from lower...upper in training, elsewhere with the slope between them.

    Raises ValueError for bounds in the other order.
    """
    if lower > upper:
        raise ValueError(f"rrelu: lower is {lower}, above upper, {upper}")
    x = plain(input)
    if not training:
        return leaky_relu(x, (lower + upper) / 2, inplace)
    slopes = add(mul(_drawn_for(x), upper - lower), lower)
    return _applied("leaky_relu", x, slopes, inplace=inplace)


def gumbel_softmax(
    logits: Given, tau: float = 1, hard: bool = False, eps: float = 1e-10, dim: int | None = -1
) -> Given:
    """Give `softmax` of (logits + noise) / tau, the noise drawn from Gumbel's distribution.

    If `hard`, it is 1 at the largest and 0 elsewhere, with the same gradient. `eps` is left unread.
    """
    x = plain(logits)
    noise = neg(log(neg(log(sub(1.0, _drawn_for(x))))))
    y = softmax(mul(add(x, noise), 1 / tau), dim)
    if not hard:
        return y
    data = data_of(y)
    largest = (data == data.max(dim, keepdims=True)).astype(data.dtype)
    found: Any = add(sub(largest, y.detach() if isinstance(y, Variable) else y), y)
    return found


def _drawn_for(x: Any) -> Any:
    """Draw numbers from [0, 1) for each element of x, and beside it."""
    drawn = beside(rand(*x.shape, dtype=x.dtype), data_of(x))
    return drawn if isinstance(x, Variable) else drawn.data


# ---- in place -------------------------------------------------------------------------------------------------------


@once
def _writing(name: str, *numbers: float) -> Callable[..., Any]:
    """Give what writes a formula of the usual numbers into a Variable, for one frame in between."""
    if name == "relu":
        operation: Any = ENTRIES[name].operation
    else:
        operation = _usual_operation(name, *numbers) if numbers else _operation(name)
    return in_place(name, operation.function, operation, 1)


def _into(function: Callable[..., Any], *usual: float, alone: bool = True) -> Callable[..., Any]:
    @functools.wraps(function)
    def written(input: Any, *arguments: Any) -> Any:
        if alone and not arguments and type(input) is Variable and input._array.dtype.char in "fd":
            return _writing(function.__name__, *usual)(input)
        return function(input, *arguments, inplace=True)

    written.__name__ = written.__qualname__ = f"{function.__name__}_"
    written.__doc__ = f"Write `{function.__name__}` into input, and give it."
    return written


celu_, elu_, leaky_relu_ = _into(celu, 1.0), _into(elu, 1.0, 1.0, 1.0), _into(leaky_relu, 0.01)
hardtanh_, relu_, selu_ = _into(hardtanh, -1.0, 1.0), _into(relu), _into(selu)
rrelu_, threshold_ = _into(rrelu, alone=False), _into(threshold, alone=False)
