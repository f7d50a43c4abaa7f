"""Functions into their derivatives, by HIPS autograd's names: each takes a function and the number of an argument."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ...arrays import is_array
from ...autograd.linearised import Linearised
from ...function import Function
from ...grad_mode import no_grad
from ...nests import flatten, unflatten
from ...variable import Variable, data_of

Argnum = int | Sequence[int]


def _operator(transform: Callable[..., Any]) -> Callable[..., Any]:
    """Make a transformation of functions: from what it makes of a linearised one."""

    @functools.wraps(transform)
    def operator(fun: Callable[..., Any], argnum: Argnum = 0, *more: Any, **named: Any) -> Callable[..., Any]:
        @functools.wraps(fun)
        def transformed(*arguments: Any, **options: Any) -> Any:
            return transform(Linearised(transform.__name__, fun, argnum, arguments, options), *more, **named)

        return transformed

    del operator.__wrapped__  # its arguments are others
    return operator


@_operator
def make_vjp(at: Linearised) -> Any:
    """Give (vjp, value): a function from cotangents of the value to those of the argument, and the value."""
    return at.back, at.value


@_operator
def make_jvp(at: Linearised) -> Any:
    """Give a function from tangents of the argument to (value, tangent of the value)."""
    return lambda tangent: (at.value, at.forth(tangent))


@_operator
def grad(at: Linearised) -> Any:
    """Give the gradient of a function with one element as its value."""
    return at.back(unflatten(at.structure, iter([_ones(at.one("grad"))])))


@_operator
def value_and_grad(at: Linearised) -> Any:
    """Give (value, gradient) of a function with one element as its value."""
    start = _ones(at.one("value_and_grad"))
    return at.value, at.back(unflatten(at.structure, iter([start])))


@_operator
def elementwise_grad(at: Linearised) -> Any:
    """Give the sums of the Jacobian's columns: of an elementwise function, its derivative at each element."""
    return at.back(unflatten(at.structure, iter([_ones(y) for y in at.outputs])))


def _ones(y: Variable) -> Any:
    return Variable(np.broadcast_to(np.ones((), y.dtype), y.shape), requires_grad=False).data


@_operator
def deriv(at: Linearised) -> Any:
    """Give the derivative along a direction of ones."""
    ones = [np.ones(x.shape, x.dtype) for x in at.inputs]
    return at.forth(unflatten(at.nests[0], iter(ones)))


@_operator
def jacobian(at: Linearised) -> Any:
    """Give the Jacobian of an array by an array: of shape (*shape of the value, *shape of the argument)."""
    if len(at.outputs) != 1 or len(at.inputs) != 1 or at.nests[0] is not None or at.structure is not None:
        raise TypeError("jacobian: takes a function from one array to another; use make_vjp for nests of them")
    from ...func.jacobians import blocks

    return at.like_arguments(blocks(at, False, None)[0])


def hessian(fun: Callable[..., Any], argnum: int = 0) -> Callable[..., Any]:
    """Give the Hessian of a function with one element as its value; of an array, that of each element."""
    return jacobian(jacobian(fun, argnum), argnum)


def make_hvp(fun: Callable[..., Any], argnum: int = 0) -> Callable[..., Any]:
    """Give (hvp, gradient): a function from vectors to their products with the Hessian, and the gradient."""
    return make_vjp(grad(fun, argnum), argnum)


def hessian_tensor_product(fun: Callable[..., Any], argnum: int = 0) -> Callable[..., Any]:
    """Give the product of the Hessian with a tensor, which the new function takes as its last argument."""
    gradient = grad(fun, argnum)

    def along(*arguments: Any, **options: Any) -> Any:
        *others, vector = arguments
        return np.tensordot(gradient(*others, **options), vector, np.ndim(vector))

    return grad(along, argnum)


hessian_vector_product = hessian_tensor_product


def tensor_jacobian_product(fun: Callable[..., Any], argnum: int = 0) -> Callable[..., Any]:
    """Give the product of a tensor with the Jacobian; the new function takes the tensor as its last argument."""

    def along(*arguments: Any, **options: Any) -> Any:
        *others, vector = arguments
        return np.tensordot(vector, fun(*others, **options), np.ndim(vector))

    return jacobian(along, argnum)


vector_jacobian_product = tensor_jacobian_product


def make_jvp_reversemode(fun: Callable[..., Any], argnum: int = 0) -> Callable[..., Any]:
    """Give a function from tangents of the argument to those of the value."""

    def made(*arguments: Any, **options: Any) -> Any:
        at = Linearised("make_jvp_reversemode", fun, argnum, arguments, options)
        return at.forth

    return made


def _half_square(x: Any) -> Any:
    return 0.5 * np.sum(x**2, axis=-1)


def make_ggnvp(
    f: Callable[..., Any], g: Callable[..., Any] = _half_square, f_argnum: int = 0
) -> Callable[..., Callable[[Any], Any]]:
    """Give a function from vectors to their products with the generalised Gauss-Newton matrix of g(f(x))."""

    def made(*arguments: Any, **options: Any) -> Callable[[Any], Any]:
        at = Linearised("make_ggnvp", f, f_argnum, arguments, options)
        product, _ = make_hvp(g)(at.value)
        return lambda vector: at.back(product(at.forth(vector)))

    return made


def grad_and_aux(fun: Callable[..., Any], argnum: Argnum = 0) -> Callable[..., Any]:
    """Give (gradient of the first result, second result) of a function with two."""

    def made(*arguments: Any, **options: Any) -> Any:
        aux: list[Any] = []

        def first(*given: Any, **more: Any) -> Any:
            value, rest = fun(*given, **more)
            aux.append(rest)
            return value

        found = grad(first, argnum)(*arguments, **options)
        leaves: list[Any] = []
        structure = flatten(aux[0], leaves)
        return found, unflatten(structure, iter([data_of(leaf) for leaf in leaves]))

    return made


def grad_named(fun: Callable[..., Any], argname: str) -> Callable[..., Any]:
    """Give the gradient by an argument with a name."""
    return grad(fun, list(inspect.signature(fun).parameters).index(argname))


def multigrad_dict(fun: Callable[..., Any]) -> Callable[..., dict[str, Any]]:
    """Give the gradients by all arguments, in a dict by their names."""
    signature = inspect.signature(fun)

    def made(*arguments: Any, **options: Any) -> dict[str, Any]:
        bound = signature.bind(*arguments, **options)
        bound.apply_defaults()

        def of_dict(given: dict[str, Any]) -> Any:
            named = inspect.BoundArguments(signature, given)
            return fun(*named.args, **named.kwargs)

        return dict(grad(of_dict)(dict(bound.arguments)))

    return made


def holomorphic_grad(fun: Callable[..., Any], argnum: Argnum = 0) -> Callable[..., Any]:
    """Refuse: nbgrad's dtypes are real."""
    raise TypeError("holomorphic_grad: nbgrad has no complex dtypes: write the function in real and imaginary parts")


class Checkpoint(Function):
    """A function that is computed again for its gradient, so that the graph holds its arguments and nothing else."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function

    def forward(self, *xs: Any) -> Any:
        with no_grad():
            found = self.function(*[Variable(x, requires_grad=False) for x in xs])
        return tuple(map(data_of, found)) if isinstance(found, tuple | list) else data_of(found)

    def vjp(self, gy: Any, y: Any, *xs: Any) -> Any:
        at = Linearised("checkpoint", self.function, tuple(range(len(xs))), xs)
        return at.back(list(gy) if self.multiple else gy)


def checkpoint(fun: Callable[..., Any]) -> Callable[..., Any]:
    """Give a function that keeps nothing of what it computes for its gradient, and computes it again."""

    @functools.wraps(fun)
    def checkpointed(*arguments: Any, **options: Any) -> Any:
        leaves: list[Any] = []
        structure = flatten(list(arguments), leaves)
        places = [i for i, leaf in enumerate(leaves) if isinstance(leaf, Variable) or is_array(leaf)]
        if not any(isinstance(leaves[i], Variable) for i in places):
            return fun(*arguments, **options)

        def of_leaves(*xs: Any) -> Any:
            filled = list(leaves)
            for i, x in zip(places, xs, strict=True):
                filled[i] = x
            return fun(*unflatten(structure, iter(filled)), **options)

        return Checkpoint(of_leaves)(*[leaves[i] for i in places])

    return checkpointed
