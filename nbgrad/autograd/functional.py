"""PyTorch's `autograd.functional`: derivatives of functions of Variables."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..arrays import as_array, is_array
from ..engine import gradients
from ..function import DIFFERENTIABLE
from ..grad_mode import differentiating, enable_grad
from ..kernels import dispatch
from ..ops.joining import stack
from ..variable import Variable, get_default_dtype


def jacobian(
    func: Callable[..., Any],
    inputs: Any,
    create_graph: bool = False,
    strict: bool = False,
    vectorize: bool = False,
    strategy: str = "reverse-mode",
) -> Any:
    """Give the Jacobian of `func` at `inputs`, with PyTorch's signature.

    For one input and one output it is a Variable of shape (*output shape, *input shape); for tuples of them a tuple
    of these, outputs outside, inputs inside. With `create_graph` it can be differentiated. `strict` refuses outputs
    that do not depend on an input. `vectorize` is accepted and changes nothing. Where all inputs are arrays, `func`
    gets Variables, and arrays come out, unless `create_graph`.

    Raises TypeError for inputs and outputs that are no floating Variables, RuntimeError in strict mode, ValueError for
    a strategy other than "reverse-mode".

    >>> import nbgrad
    >>> jacobian(lambda x: x * x, nbgrad.tensor([1.0, 2.0]))
    Variable([[2., 0.],
              [0., 4.]])
    """
    if strategy != "reverse-mode":
        raise ValueError(f"jacobian: strategy {strategy!r} is not supported: use 'reverse-mode'")
    single_input = not isinstance(inputs, tuple | list)
    given = (inputs,) if single_input else tuple(inputs)
    arrays = not create_graph and not any(isinstance(x, Variable) for x in given)
    with enable_grad():
        xs = [_fresh("jacobian", position, x, create_graph) for position, x in enumerate(given)]
        token = differentiating.set(True)
        try:
            outputs = func(*xs)
        finally:
            differentiating.reset(token)
    single_output = not isinstance(outputs, tuple | list)
    ys = (outputs,) if single_output else tuple(outputs)
    for position, y in enumerate(ys):
        if not isinstance(y, Variable):
            raise TypeError(f"jacobian: output {position} is a {type(y).__name__}: func must give Variables")
    with enable_grad():
        rows = [_jacobian_of(y, position, xs, create_graph, strict) for position, y in enumerate(ys)]
    if arrays:
        rows = [[gx.data for gx in row] for row in rows]
    picked = [row[0] if single_input else tuple(row) for row in rows]
    return picked[0] if single_output else tuple(picked)


def hessian(
    func: Callable[..., Any],
    inputs: Any,
    create_graph: bool = False,
    strict: bool = False,
    vectorize: bool = False,
    outer_jacobian_strategy: str = "reverse-mode",
) -> Any:
    """Give the Hessian of a function with one element as its value, with PyTorch's signature.

    Raises ValueError for a value of more elements, and whatever `jacobian` raises.

    >>> import nbgrad
    >>> hessian(lambda x: (x**3).sum(), nbgrad.tensor([1.0, 2.0]))
    Variable([[ 6.,  0.],
              [ 0., 12.]])
    """

    def slopes(*xs: Variable) -> Any:
        y = func(*xs)
        if not isinstance(y, Variable) or y.size != 1:
            got = f"shape {y.shape}" if isinstance(y, Variable) else type(y).__name__
            raise ValueError(f"hessian: func gave {got}: its value must be a Variable of one element")
        found = _slopes(y, xs)
        return found if isinstance(inputs, tuple | list) else found[0]

    return jacobian(slopes, inputs, create_graph, strict, vectorize, outer_jacobian_strategy)


def _slopes(y: Variable, xs: tuple[Variable, ...]) -> tuple[Variable, ...]:
    found: list[Any] = [None] * len(xs)
    if y.requires_grad:
        found = gradients([y], list(xs), [None], None, create_graph=True)
    return tuple(
        gx if gx is not None else Variable(dispatch.zeros(x.shape, x.dtype, x.data), requires_grad=False)
        for gx, x in zip(found, xs, strict=True)
    )


def _fresh(what: str, position: int, x: Any, create_graph: bool) -> Variable:
    """Give an input its own place in the graph, linked to its past only if that is to be differentiated too."""
    if isinstance(x, np.generic | float) or is_array(x):
        x = Variable(as_array(x) if type(x) is not float else np.asarray(x, get_default_dtype()), requires_grad=False)
    if not isinstance(x, Variable):
        raise TypeError(f"{what}: input {position} is a {type(x).__name__}: give Variables or arrays")
    if x.dtype not in DIFFERENTIABLE:
        raise TypeError(f"{what}: input {position} has dtype {x.dtype}, which has no gradients: use float32 or float64")
    if create_graph and x.requires_grad:
        return x.clone()
    return Variable(x.data)


def _jacobian_of(y: Variable, position: int, xs: list[Variable], create_graph: bool, strict: bool) -> list[Variable]:
    """Give the Jacobians of one output by all inputs, a walk for each of its elements."""
    found: list[list[Any]] = []
    if y.requires_grad:
        for index in range(y.size):
            seed = dispatch.zeros(y.shape, y.dtype, y.data)
            seed.reshape(-1)[index] = 1
            found.append(gradients([y], xs, [seed], True, create_graph))
    jacobians = []
    for number, x in enumerate(xs):
        columns = [row[number] for row in found]
        if strict and all(gx is None for gx in columns):
            raise RuntimeError(f"jacobian: output {position} does not depend on input {number}, which strict forbids")
        zero = Variable(dispatch.zeros(x.shape, x.dtype, x.data), requires_grad=False)
        parts = [zero if gx is None else gx for gx in columns] or [zero] * y.size
        if not parts:
            jacobians.append(Variable(dispatch.zeros(y.shape + x.shape, x.dtype, x.data), requires_grad=False))
        elif create_graph:
            jacobians.append(stack(parts).reshape(*y.shape, *x.shape))
        else:
            whole = stack([gx.data for gx in parts]).reshape(y.shape + x.shape)
            jacobians.append(Variable(whole, requires_grad=False))
    return jacobians
