"""Functions into functions: JAX's and HIPS autograd's `grad` and `value_and_grad`."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..engine import gradients
from ..function import DIFFERENTIABLE
from ..grad_mode import enable_grad
from ..variable import Array, Variable


def value_and_grad(function: Callable[..., Any], argnums: int | Sequence[int] = 0) -> Callable[..., Any]:
    """Turn a function with a scalar value into one that gives (value, gradient).

    `argnums` names the positional arguments to differentiate by; a sequence gives a tuple of gradients. Arrays and
    numbers in, arrays out; where an argument is a Variable, Variables come out, differentiable in turn.

    Raises TypeError for arguments without gradients and for a value that is not one element.

    >>> import numpy as np, nbgrad
    >>> f = nbgrad.value_and_grad(lambda x: (x * x).sum())
    >>> value, gradient = f(np.array([1.0, 2.0]))
    >>> print(value, gradient)
    5.0 [2. 4.]
    """
    single = isinstance(argnums, int)
    positions = (argnums,) if isinstance(argnums, int) else tuple(argnums)

    @functools.wraps(function)
    def wrapper(*arguments: Any, **options: Any) -> Any:
        chosen = [_argument(function, arguments, position) for position in positions]
        recorded = any(isinstance(x, Variable) for x in chosen)
        inputs = [_leaf(function, position, x) for position, x in zip(positions, chosen, strict=True)]
        replaced = list(arguments)
        for position, x in zip(positions, inputs, strict=True):
            replaced[position] = x
        with enable_grad():
            value = function(*replaced, **options)
        if not isinstance(value, Variable) or value.size != 1:
            got = f"shape {value.shape}" if isinstance(value, Variable) else type(value).__name__
            raise TypeError(f"grad: {_name(function)} gave {got}: its value must be a Variable of one element")
        if value.requires_grad:
            results = gradients([value], inputs, [None], None, create_graph=recorded)
        else:
            results = [None] * len(inputs)
        found = [
            gx if gx is not None else Variable(np.zeros(x.shape, x.dtype), requires_grad=False)
            for gx, x in zip(results, inputs, strict=True)
        ]
        given = found if recorded else [gx.data for gx in found]
        return (value if recorded else value.data), (given[0] if single else tuple(given))

    return wrapper


def grad(function: Callable[..., Any], argnums: int | Sequence[int] = 0) -> Callable[..., Any]:
    """Turn a function with a scalar value into one that gives its gradient; see `value_and_grad`.

    >>> import numpy as np, nbgrad
    >>> print(f"{nbgrad.grad(nbgrad.grad(nbgrad.sin))(0.5):.6f} {-np.sin(0.5):.6f}")
    -0.479426 -0.479426
    """
    both = value_and_grad(function, argnums)

    @functools.wraps(function)
    def wrapper(*arguments: Any, **options: Any) -> Any:
        return both(*arguments, **options)[1]

    return wrapper


def _name(function: Callable[..., Any]) -> str:
    return getattr(function, "__name__", repr(function))


def _argument(function: Callable[..., Any], arguments: tuple[Any, ...], position: int) -> Any:
    if not -len(arguments) <= position < len(arguments):
        raise TypeError(f"grad: {_name(function)} was called without a positional argument {position}")
    return arguments[position]


def _leaf(function: Callable[..., Any], position: int, x: Any) -> Variable:
    """Give a Variable to differentiate by: one that is recorded as it is, everything else as a new leaf."""
    if isinstance(x, Variable):
        if x.requires_grad:
            return x
        x = x.data
    array: Array = np.asarray(x)
    if isinstance(x, int | float) and not isinstance(x, bool):
        array = array.astype(np.float64)
    if array.dtype not in DIFFERENTIABLE:
        raise TypeError(
            f"grad: argument {position} of {_name(function)} has dtype {array.dtype}, which has no gradients: "
            "convert it to float32 or float64"
        )
    return Variable(array)
