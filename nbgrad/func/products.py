"""Products with Jacobians and Hessians: tangents forth, cotangents back, and both."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..autograd.linearised import Linearised, like


def _arguments(what: str, primals: Any) -> tuple[tuple[Any, ...], bool]:
    """Give the arguments of a function, and whether it is one that was not given as a tuple."""
    single = type(primals) not in (tuple, list)  # a named tuple is a nest
    given = (primals,) if single else tuple(primals)
    if not given:
        raise TypeError(f"{what}: no arguments were given to differentiate by")
    return given, single


def jvp(function: Callable[..., Any], primals: Any, tangents: Any, has_aux: bool = False) -> tuple[Any, ...]:
    """Give the value of a function and its tangent, the product of its Jacobian with the tangents of its arguments.

    `primals` is a tuple of arguments, or the only one, and `tangents` is like it, nests and shapes included. Both are
    found in one run of the function and one walk along its graph. With `has_aux` the function gives (value, anything),
    and (value, tangent, anything) comes out. Inside `no_grad` nothing is recorded, and a tangent ends.

    Raises ValueError for tangents of another shape, TypeError where no argument has a floating dtype.

    >>> import numpy as np, nbgrad
    >>> value, tangent = nbgrad.func.jvp(lambda x: x**3, (np.array(2.0),), (np.array(1.0),))
    >>> print(value, tangent)
    8.0 12.0
    """
    given, single = _arguments("jvp", primals)
    directions = (tangents,) if single else tuple(tangents)
    if len(directions) != len(given):
        raise ValueError(f"jvp: {len(directions)} tangents of {len(given)} arguments: give one for each")
    at = Linearised("jvp", function, tuple(range(len(given))), given, None, has_aux, True)
    tangent = at.forth(directions)
    return (at.value, tangent, at.aux) if has_aux else (at.value, tangent)


def vjp(function: Callable[..., Any], *primals: Any, has_aux: bool = False) -> tuple[Any, ...]:
    """Give the value of a function, and a function from cotangents of the value to those of the arguments, as a tuple.

    The graph stays, so that the function may be called again. With `has_aux` the function gives (value, anything), and
    (value, function, anything) comes out.

    >>> import numpy as np, nbgrad
    >>> value, back = nbgrad.func.vjp(lambda x, y: x * y, np.array([1.0, 2.0]), np.array([3.0, 4.0]))
    >>> back(np.array([1.0, 10.0]))
    (array([ 3., 40.]), array([ 1., 20.]))
    """
    given, _ = _arguments("vjp", primals)
    at = Linearised("vjp", function, tuple(range(len(given))), given, None, has_aux, True)
    return (at.value, at.back, at.aux) if has_aux else (at.value, at.back)


def linearize(function: Callable[..., Any], *primals: Any) -> tuple[Any, Callable[..., Any]]:
    """Give the value of a function, and the linear function from tangents of the arguments to that of the value.

    The function runs once; each call of the linear one walks along its graph.

    >>> import numpy as np, nbgrad
    >>> value, forth = nbgrad.func.linearize(nbgrad.sin, 0.0)
    >>> print(value, forth(1.0), forth(2.0))
    0.0 1.0 2.0
    """
    given, _ = _arguments("linearize", primals)
    at = Linearised("linearize", function, tuple(range(len(given))), given, None, False, True)

    def forth(*tangents: Any) -> Any:
        if len(tangents) != len(given):
            raise ValueError(f"linearize: {len(tangents)} tangents of {len(given)} arguments: give one for each")
        return at.forth(tangents)

    return at.value, forth


def hvp(function: Callable[..., Any], primals: Any, vectors: Any) -> Any:
    """Give the product of the Hessian of a function, whose value has one element, with vectors.

    `primals` is a tuple of arguments, or the only one; `vectors`, and the product, are like it. The tangent of the
    gradient: one walk back and one forth, whatever the size.

    Raises ValueError for vectors of another shape, TypeError for a value of several elements.

    >>> import numpy as np, nbgrad
    >>> print(nbgrad.func.hvp(lambda x: (x**3).sum(), np.array([1.0, 2.0]), np.array([1.0, 10.0])))
    [  6. 120.]
    """
    given, single = _arguments("hvp", primals)
    at = Linearised("hvp", function, 0 if single else tuple(range(len(given))), given, None, False, True)
    directions = at.leaves_like_arguments(vectors)
    tangents = [like(f"hvp: vector {i}", x, v) for i, (x, v) in enumerate(zip(at.inputs, directions, strict=True))]
    made = at.pushed(at.gradient(), tangents, at.recorded)
    return at.like_arguments(made if at.recorded else [t.data for t in made])
