"""Functions that are asked for seldom: formulas of `kernels.special`, and what SciPy computes.

Of what SciPy computes `derivatives` states the derivatives.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache as once
from typing import Any

import numpy as np

from ..arrays import Array, as_array, is_array, is_stand_in
from ..function import Operation
from ..kernels import placement, special
from ..kernels.cpu import small
from ..registry import ENTRIES, operation
from ..variable import Given, Variable, data_of
from .by_scipy import functions, scipy_special
from .derivatives import DERIVATIVES
from .elementwise import _expose, add, clamp, lgamma, logical_and, lt, mul, ne, remainder, sub, where
from .shape import astype

# ---- formulas -------------------------------------------------------------------------------------------------------

#: What torch has in its main namespace; all others are in its `special`.
_PUBLIC = ("copysign", "fmod", "heaviside", "logaddexp2", "logit", "sinc", "xlogy")
_SENTENCES = {
    "copysign": "Give input with the sign of other",
    "cosm1": "cos(input) - 1, accurate near 0",
    "entr": "-input * log(input), 0 at 0",
    "exp10": "10 ** input",
    "fmod": "Give what whole multiples of other leave of input, with the sign of input",
    "heaviside": "Give 0 below 0, 1 above, and other at 0",
    "kl_div": "input * log(input / other) - input + other",
    "log_expit": "log(sigmoid(input)) without overflow",
    "logaddexp2": "log2(2 ** input + 2 ** other) without overflow",
    "logit": "log(input / (1 - input)), the inverse of sigmoid",
    "ndtr": "Give the share of the standard normal distribution below input",
    "rel_entr": "input * log(input / other)",
    "sinc": "sin(pi * input) / (pi * input), 1 at 0",
    "xlog1py": "input * log(1 + other), 0 where input is",
    "xlogy": "input * log(other), 0 where input is",
}
for _name, _sentence in _SENTENCES.items():
    _scalar = special.TABLE[_name]
    _expose(_scalar, _sentence, ("input", "other")[: _scalar.arity], _name in _PUBLIC, _name in _PUBLIC)

copysign, _fmod, heaviside, logaddexp2, _logit, sinc, xlogy = (ENTRIES[_name].function for _name in _PUBLIC)


@operation
def fmod(input: Any, other: Any) -> Any:
    """Give what whole multiples of other leave of input, with the sign of input, elementwise; of whole numbers, whole.

    Where other is 0 that is NaN, and 0 of whole numbers.
    """
    if np.result_type(*[getattr(x, "dtype", x) for x in (input, other)]).kind not in "iu":
        return _fmod(input, other)
    rest = remainder(input, other)  # which has the sign of other
    return where(logical_and(ne(rest, 0), ne(lt(rest, 0), lt(input, 0))), sub(rest, other), rest)


@operation
def logit(input: Given, eps: float | None = None) -> Given:
    """Give log(input / (1 - input)), the inverse of sigmoid, elementwise; with `eps`, of input within eps...1 - eps.

    What is limited has no gradient.
    """
    found: Given = _logit(input if eps is None else clamp(input, eps, 1 - eps))
    return found


# ---- what SciPy computes --------------------------------------------------------------------------------------------


@once
def _by_scipy(name: str) -> Callable[..., Any]:
    """Give SciPy's function, which of shapes that do not broadcast says whose they are."""
    function: Any = getattr(scipy_special(name), name)

    def by_scipy(*xs: Any) -> Any:
        try:
            return function(*xs)
        except ValueError as error:
            raise ValueError(f"{name}: {str(error).strip()}: dimensions must be equal or 1") from None

    return function if getattr(function, "nin", 2) < 2 else by_scipy


class Special(Operation):
    """A function that SciPy computes, or one of its several results."""

    __slots__ = ("name", "output", "place")

    def __init__(self, name: str, place: int | None = None) -> None:
        self.name, self.place = name, place

    def forward(self, *xs: Array) -> Array:
        placement.only_on_cpu(self.name, "SciPy", xs)
        found = _by_scipy(self.name)(*xs)
        self.output = as_array(found if self.place is None else found[self.place])
        return self.output

    def vjp(self, gy: Any, y: Any, *xs: Any) -> Any:
        partials = DERIVATIVES[self.name]
        if self.place is not None:
            partials = partials[self.place]
        return tuple([self._times(gy, partials, i, y, xs) if self.needs(i) else None for i in range(len(xs))])

    def _times(self, gy: Any, partials: Any, index: int, y: Any, xs: Any) -> Any:
        if partials[index] is None:
            raise TypeError(
                f"{self.name}: there is no formula for its derivative by argument {index}: give x.detach(), or an array"
            )
        return mul(gy, partials[index](y, *xs))


def _arity(name: str) -> int:
    return int(getattr(getattr(scipy_special(name), name), "nin", 2))


@once
def kind_of(name: str) -> type[Special]:
    """Give the class of one function that SciPy computes, whose `apply` is a compiled call of its ufunc."""
    behind = _by_scipy(name)

    def __init__(self: Special) -> None:
        Special.__init__(self, name)

    members = {"__slots__": (), "__init__": __init__, "work": staticmethod(lambda: small.calls.called(behind))}
    return type("Special", (Special,), members | {"arity": _arity(name), "keeps_output": True})


@once
def _elementwise(name: str) -> Callable[..., Any] | None:
    entry = ENTRIES.get({"psi": "digamma", "gammaln": "lgamma", "expit": "sigmoid"}.get(name, name))
    return None if entry is None else entry.elementwise


def applying(name: str) -> Callable[..., Any]:
    """Give what applies a function of scipy.special to Variables of one floating dtype."""
    return _elementwise(name) or kind_of(name).apply


def applied(name: str, *xs: Any, place: int | None = None) -> Any:
    """Apply a function of scipy.special by its name; several results come as a tuple, unless one is asked for."""
    own = _elementwise(name)
    if own is not None:
        return own(*xs)
    if [type(x) is Variable for x in xs].count(False) == 0 and not isinstance(DERIVATIVES[name][0], tuple):
        return kind_of(name).apply(*xs)
    dtypes = [x.dtype for x in xs if not isinstance(x, int | float) and x.dtype.kind == "f"]
    dtype = np.result_type(*dtypes) if dtypes else None  # numbers do not change it
    arrays = [np.asarray(x, dtype) if isinstance(x, int | float) else x for x in xs]
    if place is not None:
        return Special(name, place)(*arrays)
    if isinstance(DERIVATIVES[name][0], tuple):
        return tuple([Special(name, place)(*arrays) for place in range(len(DERIVATIVES[name]))])
    return Special(name)(*arrays)


@once
def function_of(name: str) -> Callable[..., Any] | None:
    """Give the function that stands behind a ufunc of scipy.special, None for those without derivatives."""
    if name not in DERIVATIVES and name not in special.TABLE:
        return None

    def function(*xs: Any) -> Any:
        return applied(name, *xs)

    function.__name__ = name
    return function


functions.apply = applied

# ---- for users ------------------------------------------------------------------------------------------------------


def _floating(*xs: Any) -> list[Any]:
    """Give operands in a floating dtype, float64 for whole numbers."""
    for x in xs:
        if type(x) is not Variable or x._array.dtype.char not in "fd":
            break
    else:
        return list(xs)
    arrays = [x if isinstance(x, Variable) or is_array(x) else as_array(x) for x in xs]
    return [x if x.dtype.kind == "f" else astype(x, np.float64) for x in arrays]


@operation
def i0(input: Given) -> Given:
    """Give the modified Bessel function of order 0, elementwise; SciPy computes it, its derivative is `special.i1`."""
    if type(input) is Variable and input._array.dtype.char in "fd":
        return kind_of("i0").apply(input)
    return applied("i0", *_floating(input))


@operation(alias="igamma")
def gammainc(input: Any, other: Any) -> Any:
    """Give the share of the gamma distribution with shape input below other, elementwise; SciPy computes it.

    The derivative by the shape, which PyTorch has none of, is an integral (`quantiles`).
    """
    if type(input) is Variable is type(other) and input._array.dtype.char == other._array.dtype.char == "d":
        return kind_of("gammainc").apply(input, other)
    return applied("gammainc", *_floating(input, other))


@operation(alias="igammac")
def gammaincc(input: Any, other: Any) -> Any:
    """Give 1 - gammainc(input, other), accurate where that is small."""
    if type(input) is Variable is type(other) and input._array.dtype.char == other._array.dtype.char == "d":
        return kind_of("gammaincc").apply(input, other)
    return applied("gammaincc", *_floating(input, other))


igamma, igammac = gammainc, gammaincc


@operation(alias="mvlgamma")
def multigammaln(input: Given, p: int) -> Given:
    """Give the logarithm of the multivariate gamma function of dimension p, elementwise.

    That is p * (p - 1) / 4 * log(pi) plus the sum of lgamma(input - i / 2) over i < p. Raises ValueError for a
    dimension that is not positive, and for elements that are not above (p - 1) / 2, as PyTorch does.
    """
    if isinstance(p, bool) or not isinstance(p, int) or p < 1:
        raise ValueError(f"multigammaln: dimension {p!r}: give a whole number above 0")
    (x,) = _floating(input)
    data = data_of(x)
    if not is_stand_in(data) and bool((data <= (p - 1) / 2).any()):
        raise ValueError(f"multigammaln: elements of dimension {p} have to be above {(p - 1) / 2}")
    total = lgamma(x)
    for i in range(1, p):
        total = add(total, lgamma(sub(x, i / 2)))
    return add(total, p * (p - 1) / 4 * math.log(math.pi))


mvlgamma = multigammaln
