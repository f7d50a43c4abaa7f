"""Functions into functions: JAX's and HIPS autograd's `grad` and `value_and_grad`."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from typing import Any

from ..engine import gradients
from ..function import DIFFERENTIABLE, Operation
from ..grad_mode import enable_grad
from ..kernels import devices
from ..nests import flatten, unflatten
from ..variable import Array, Variable, as_array, get_default_dtype

#: Whether a transformed function is running.
_inside: ContextVar[bool] = ContextVar("nbgrad_inside_transform", default=False)


def value_and_grad(function: Callable[..., Any], argnums: int | Sequence[int] = 0) -> Callable[..., Any]:
    """Turn a function with a scalar value into one that gives (value, gradient).

    `argnums` names the positional arguments to differentiate by; a sequence gives a tuple of gradients. Arrays and
    numbers in, arrays out; where an argument is a Variable, Variables come out, differentiable in turn. The gradient by
    a list, tuple or dict of arrays, nested or not, is such a nest itself.

    Raises TypeError for arguments without gradients and for a value that is not one element.

    >>> import numpy as np, nbgrad
    >>> f = nbgrad.value_and_grad(lambda x: (x * x).sum())
    >>> value, gradient = f(np.array([1.0, 2.0]))
    >>> print(value, gradient)
    5.0 [2. 4.]
    >>> nbgrad.grad(lambda p: (p["w"] ** 2 + p["b"]).sum())({"w": np.array([3.0]), "b": np.array([0.0])})
    {'w': array([6.]), 'b': array([1.])}
    """
    single = isinstance(argnums, int)
    wanted = (argnums,) if isinstance(argnums, int) else tuple(argnums)

    @functools.wraps(function)
    def wrapper(*arguments: Any, **options: Any) -> Any:
        positions = [_position(function, arguments, number) for number in wanted]
        if len(set(positions)) != len(positions):
            raise ValueError(f"grad: argnums {wanted} names an argument of {_name(function)} twice")
        # Inside another transformed function the result may depend on that one's arguments, by whatever way.
        given: list[Any] = []
        nests = [flatten(arguments[position], given) for position in positions]
        recorded = _inside.get() or any(isinstance(x, Variable) for x in given)
        inputs = [_leaf(function, wanted, x) for x in given]
        replaced, leaves = list(arguments), iter(inputs)
        for position, nest in zip(positions, nests, strict=True):
            replaced[position] = unflatten(nest, leaves)
        token = _inside.set(True)
        try:
            with enable_grad():
                value = function(*replaced, **options)
        finally:
            _inside.reset(token)
        if not isinstance(value, Variable) or value.size != 1:
            got = f"shape {value.shape}" if isinstance(value, Variable) else type(value).__name__
            raise TypeError(f"grad: {_name(function)} gave {got}: its value must be a Variable of one element")
        results: list[Variable | None] = [None] * len(inputs)
        if value.requires_grad:
            results = gradients([value], inputs, [None], None, create_graph=recorded)
        found = [
            gx if gx is not None else Variable(devices.zeros(x.shape, x.dtype, x.data), requires_grad=False)
            for gx, x in zip(results, inputs, strict=True)
        ]
        gradient_leaves = iter(found if recorded else [gx.data for gx in found])
        by_argument = tuple(unflatten(nest, gradient_leaves) for nest in nests)
        return (value if recorded else value.data), (by_argument[0] if single else by_argument)

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


class _Argument(Operation):
    """Stands for an argument inside a transformed function, so that a use of it elsewhere is told apart.

    It holds on to its input: several walks, of the value and of the gradients, may come by, and there is nothing to
    free.
    """

    __slots__ = ("link",)

    @property
    def inputs(self) -> tuple[Variable, ...]:
        return self.link

    @inputs.setter
    def inputs(self, inputs: tuple[Variable, ...] | None) -> None:
        if inputs is not None:
            self.link = inputs

    def forward(self, *xs: Array) -> Array:
        return xs[0]

    def vjp(self, gy: Any, y: Any, *xs: Any) -> Any:
        return gy


def _position(function: Callable[..., Any], arguments: tuple[Any, ...], number: int) -> int:
    if not -len(arguments) <= number < len(arguments):
        raise TypeError(f"grad: {_name(function)} was called without a positional argument {number}")
    return number % len(arguments)


def _leaf(function: Callable[..., Any], wanted: Sequence[int], x: Any) -> Variable:
    """Give a Variable to differentiate by, distinct from all others but linked to the past of x if it has one."""
    if isinstance(x, Variable):
        if x.requires_grad:
            with enable_grad():
                linked: Variable = _Argument()(x)
                return linked
        x = x.data
    array: Array = as_array(x)
    if (isinstance(x, int | float) and not isinstance(x, bool)) or getattr(x, "weak", None):  # or stands for one
        array = array.astype(get_default_dtype())
    if array.dtype not in DIFFERENTIABLE:
        raise TypeError(
            f"grad: argument {', '.join(map(str, wanted))} of {_name(function)} holds {type(x).__name__} of dtype "
            f"{array.dtype}, which has no gradients: convert it to float32 or float64"
        )
    return Variable(array)
