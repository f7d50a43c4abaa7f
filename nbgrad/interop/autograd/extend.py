"""Functions with rules of the user's own, as HIPS autograd has them: `primitive`, `defvjp`, `defjvp`."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from ...function import Function
from ...ops.elementwise import add
from ...variable import Variable, data_of

Maker = Callable[..., Any] | None


class Primitive(Function):
    """A call of a primitive: some of its arguments, in their places, are the inputs."""

    def __init__(self, primitive: Any, arguments: Sequence[Any], options: dict[str, Any], places: list[int]) -> None:
        self.primitive, self.arguments, self.options, self.places = primitive, arguments, options, places

    def _filled(self, xs: Sequence[Any]) -> list[Any]:
        filled = list(self.arguments)
        for place, x in zip(self.places, xs, strict=True):
            filled[place] = x
        return filled

    def forward(self, *xs: Any) -> Any:
        return self.primitive.fun(*self._filled(xs), **self.options)

    def vjp(self, gy: Any, y: Any, *xs: Any) -> Any:
        return tuple(
            self._rule("vjp", i)(y, *self._filled(xs), **self.options)(gy) if self.needs(position) else None
            for position, i in enumerate(self.places)
        )

    def _rule(self, kind: str, place: int) -> Any:
        rules = self.primitive.vjps if kind == "vjp" else self.primitive.jvps
        if place not in rules:
            name = self.primitive.__name__
            raise NotImplementedError(f"{kind} of {name} by argument {place} is not defined: def{kind}({name}, ...)")
        return rules[place] or _nothing


def _nothing(*_: Any, **options: Any) -> Any:
    return lambda g: None


class PrimitiveWithTangents(Primitive):
    """A call of a primitive that states how tangents go forth."""

    def jvp(self, tangents: Sequence[Any], y: Any, *xs: Any) -> Any:
        total: Any = None
        for place, tangent in zip(self.places, tangents, strict=True):
            rule = None if tangent is None else self._rule("jvp", place)
            if rule is not None and rule is not _nothing:
                made = rule(tangent, y, *self._filled(xs), **self.options)
                total = made if total is None else add(total, made)
        return total


def primitive(fun: Callable[..., Any]) -> Any:
    """Make a function one whose derivatives `defvjp` states; it is called with arrays."""

    @functools.wraps(fun)
    def wrapped(*arguments: Any, **options: Any) -> Any:
        options = {name: data_of(value) for name, value in options.items()}
        places = [i for i, x in enumerate(arguments) if isinstance(x, Variable) and x.requires_grad]
        plain = [data_of(x) for x in arguments]
        if not places:
            return fun(*plain, **options)
        kind = PrimitiveWithTangents if made.jvps else Primitive
        return kind(wrapped, plain, options, places)(*[arguments[i] for i in places])

    made: Any = wrapped
    made.fun, made.vjps, made.jvps = fun, {}, {}
    return wrapped


def defvjp(fun: Any, *makers: Maker, argnums: Sequence[int] | None = None) -> None:
    """State the rules back of a primitive, one for each argument: maker(value, *arguments) gives g -> cotangent.

    None says that there is no gradient. Rules in NumPy's and nbgrad's functions hold to any order.

    >>> import numpy as np
    >>> from nbgrad.interop.autograd import grad
    >>> @primitive
    ... def softplus(x):
    ...     return np.logaddexp(0.0, x)
    >>> defvjp(softplus, lambda y, x: lambda g: g / (1 + np.exp(-x)))
    >>> print(grad(softplus)(0.0), grad(grad(softplus))(0.0))
    0.5 0.25
    """
    _state(fun, "vjps", makers, argnums)


def defjvp(fun: Any, *rules: Maker, argnums: Sequence[int] | None = None) -> None:
    """State the rules forth of a primitive, one for each argument: rule(tangent, value, *arguments)."""
    _state(fun, "jvps", rules, argnums)


def _state(fun: Any, which: str, rules: Sequence[Maker], argnums: Sequence[int] | None) -> None:
    if not hasattr(fun, which):
        raise TypeError(
            f"def{which[:3]}: {fun!r} is no primitive: NumPy's functions have their rules; decorate your own"
        )
    getattr(fun, which).update(zip(range(len(rules)) if argnums is None else argnums, rules, strict=False))
