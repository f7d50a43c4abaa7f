"""Functions of elements that are constant between their steps: rounding, truth about elements, bits of whole numbers.

NumPy computes them, and what stands in for its arrays answers them; the gradient of what is floating is 0.
"""

from __future__ import annotations

import builtins
import math
from collections.abc import Callable
from functools import cache as once
from typing import Any

import numpy as np

from .. import sharing
from ..arrays import Array, as_array, is_array
from ..function import Operation
from ..function import constant as constant_of
from ..kernels import dispatch
from ..kernels.cpu import small
from ..kernels.shapes import broadcast_shapes
from ..recording import recorded
from ..registry import operation
from ..variable import Given, Variable, data_of
from .elementwise import abs, div, eq, lt, mul, ne, sign, sub
from .shape import SumTo


class Steps(Operation):
    """A function of NumPy's whose slope is 0 wherever it has one."""

    __slots__ = ("function",)
    reads_all = False

    def __init__(self, function: Callable[[Array], Array]) -> None:
        self.function = function

    def forward(self, x: Array) -> Array:
        return as_array(self.function(x))

    def vjp(self, gy: Any, y: Any, x: Any) -> Any:
        zeros = dispatch.zeros(x.shape, x.dtype, data_of(x))
        return Variable(zeros, requires_grad=False) if isinstance(gy, Variable) else zeros


@once
def steps(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Give what applies `Steps` of a function of arrays, to small arrays by one compiled call."""

    def __init__(self: Steps) -> None:
        Steps.__init__(self, function)

    members = {"__slots__": (), "__init__": __init__, "work": staticmethod(lambda: small.calls.called(function))}
    kind: Any = type("Steps", (Steps,), members)
    found: Callable[[Any], Any] = kind.apply
    return found


@once
def _constant(function: np.ufunc) -> Callable[..., Any]:
    """Give a compiled call of a ufunc that records nothing."""

    def slowly(*xs: Any) -> Any:
        return constant_of(as_array(function(*[x._array for x in xs])))

    return recorded(small.calls.called(function), 0, slowly, None)


def plain(x: Any) -> Any:
    """Give what is no Variable as an array."""
    return x if isinstance(x, Variable) or is_array(x) else as_array(x)


def constant(function: Callable[..., Any], *xs: Any) -> Any:
    """Apply a function of NumPy's, whose result has no gradient: to Variables (at least one), or arrays."""
    if type(function) is np.ufunc and not sharing.stand_ins and [type(x) is Variable for x in xs].count(False) == 0:
        return _constant(function)(*xs)
    if len(xs) == 1 and type(xs[0]) is Variable:
        return constant_of(as_array(function(xs[0].data)))
    arrays = [data_of(x) for x in xs]
    found = as_array(function(*arrays))
    return Variable(found, requires_grad=False) if any(isinstance(x, Variable) for x in xs) else found


# ---- rounding -------------------------------------------------------------------------------------------------------


def _real(what: str, x: Any) -> Any:
    x = plain(x)
    if x.dtype.kind not in "fiu":
        raise TypeError(f"{what}: no rounding for dtype {x.dtype}: convert to a real dtype first")
    return x


def _rounding(name: str, function: Any, sentence: str) -> Any:
    def rounding(input: Any) -> Any:
        if type(input) is Variable and input._array.dtype.char in "fd":
            return steps(function)(input)
        x = _real(name, input)
        return x if x.dtype.kind != "f" else Steps(function)(x)

    rounding.__name__ = rounding.__qualname__ = name
    rounding.__doc__ = f"{sentence}; whole numbers stay as they are, and the gradient is 0."
    return rounding


floor = operation(_rounding("floor", np.floor, "Round down, elementwise"))
ceil = operation(_rounding("ceil", np.ceil, "Round up, elementwise"))
trunc = operation(alias="fix")(_rounding("trunc", np.trunc, "Round towards 0, elementwise"))
fix = trunc


@operation
def round(input: Given, decimals: int = 0) -> Given:
    """Round to so many decimals, elementwise, halves to even; fewer than none round to tens, hundreds and so on.

    The gradient is 0. Raises TypeError for decimals of whole numbers, which stay as they are.

    >>> import nbgrad
    >>> nbgrad.round(nbgrad.tensor([0.5, 1.5, -2.7]))
    Variable([ 0.,  2., -3.])
    """
    x = _real("round", input)
    try:
        decimals = decimals.__index__()
    except AttributeError:
        raise TypeError(f"round: decimals is {decimals!r}: give a whole number") from None
    if x.dtype.kind != "f":
        if decimals:
            raise TypeError(f"round: {decimals} decimals of dtype {x.dtype}: whole numbers have none")
        return x
    scale = 10.0 ** builtins.abs(decimals)
    if decimals < 0:
        return mul(Steps(np.rint)(div(x, scale)), scale)
    return div(Steps(np.rint)(mul(x, scale)), scale) if decimals else Steps(np.rint)(x)


@operation
def frac(input: Given) -> Given:
    """Give what is behind the point, with the sign of input: input - trunc(input), elementwise.

    >>> import nbgrad
    >>> nbgrad.frac(nbgrad.tensor([1.5, -2.25]))
    Variable([ 0.5 , -0.25])
    """
    return sub(input, trunc(input))


@operation
def sgn(input: Given) -> Given:
    """Give -1, 0 or 1 by the sign, elementwise: PyTorch's name for `sign` of complex numbers, too."""
    return sign(input)


class NextAfter(Operation):
    """The next numbers towards others: as much further where the first ones go, so that these have the gradient."""

    __slots__ = ()
    arity = 2
    reads_all = False

    def forward(self, x: Array, other: Array) -> Array:
        return as_array(np.nextafter(x, other))

    def vjp(self, gy: Any, y: Any, x: Any, other: Any) -> Any:
        return SumTo(x.shape)(gy) if gy.shape != x.shape else gy, None


@operation
def nextafter(input: Any, other: Any) -> Any:
    """Give the next number from input towards other, elementwise; raises TypeError for whole numbers."""
    input, other = plain(input), plain(other)
    if input.dtype.kind != "f" or other.dtype.kind != "f":
        raise TypeError(f"nextafter: dtypes {input.dtype} and {other.dtype}: takes floating ones")
    return NextAfter()(input, other)


@operation
def frexp(input: Any) -> tuple[Any, Any]:
    """Give the mantissa, from 1/2 to 1, and the whole exponent of 2, elementwise; the exponent has no gradient."""
    x = plain(input)
    if x.dtype.kind != "f":
        raise TypeError(f"frexp: dtype {x.dtype}: takes a floating one")
    like = data_of(x)
    exponent = np.frexp(dispatch.in_numpy(like))[1]
    mantissa = x
    for part in (exponent // 2, exponent - exponent // 2):  # of which none is out of range
        scale = dispatch.beside(as_array(np.ldexp(np.ones((), x.dtype), -part)), like)
        mantissa = mul(mantissa, constant_of(scale) if type(x) is Variable else scale)
    exponent = dispatch.beside(as_array(exponent), like)
    return mantissa, Variable(exponent, requires_grad=False) if isinstance(x, Variable) else exponent


# ---- truth about elements -------------------------------------------------------------------------------------------


def _truth(name: str, function: Callable[[Any], Any], sentence: str) -> Any:
    def truth(input: Any) -> Any:
        return function(input if type(input) is Variable else plain(input))

    truth.__name__ = truth.__qualname__ = name
    truth.__doc__ = f"Tell where input is {sentence}, elementwise."
    return operation(truth)


def _largest(x: Any) -> Any:
    """Give magnitudes; whole numbers as such, of which none is infinite."""
    if type(x) is Variable and x._generation >= 0:
        x = constant_of(x._array)
    return abs(x) if x.dtype.kind == "f" else mul(x, 0) if x.dtype.kind in "iu" else x


def _all_true(x: Any) -> Any:
    if type(x) is Variable and type(x._array) is np.ndarray:
        return constant_of(np.ones(x._array.shape, np.bool_))
    return constant(lambda x: dispatch.full(tuple(x.shape), True, np.bool_, x), x)


def _signbits(x: Any) -> Any:
    if type(x) is Variable and x._array.dtype.char in "fd":
        return _constant(np.signbit)(x)
    return constant(_signbit, x)


isnan = _truth("isnan", lambda x: ne(x, x), "NaN")
isinf = _truth("isinf", lambda x: eq(_largest(x), math.inf), "infinite")
isfinite = _truth("isfinite", lambda x: lt(_largest(x), math.inf), "neither infinite nor NaN")
isposinf = _truth("isposinf", lambda x: eq(x, math.inf), "infinity")
isneginf = _truth("isneginf", lambda x: eq(x, -math.inf), "-infinity")
isreal = _truth("isreal", _all_true, "real, which all numbers here are")
signbit = _truth("signbit", _signbits, "negative, or -0.0")


def _signbit(x: Any) -> Any:
    return np.signbit(x) if x.dtype.kind == "f" else x < 0 if x.dtype.kind != "b" else x & False


def _pair(what: str, input: Any, other: Any) -> tuple[Any, Any]:
    """Give two operands; raises TypeError where their dtypes differ, as PyTorch does, ValueError for their shapes."""
    input, other = plain(input), plain(other)
    if input.dtype != other.dtype:
        raise TypeError(f"{what}: dtypes {input.dtype} and {other.dtype}: convert one of them first")
    try:
        broadcast_shapes(input.shape, other.shape)
    except ValueError:
        raise ValueError(f"{what}: shapes {input.shape} and {other.shape} do not broadcast") from None
    return input, other


@operation
def isclose(input: Any, other: Any, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False) -> Any:
    """Tell where input is within atol + rtol * abs(other) of other, elementwise, with broadcasting.

    NaN is close to NaN if `equal_nan`. Raises TypeError where dtypes differ, ValueError for a negative tolerance.
    """
    input, other = _pair("isclose", input, other)
    if rtol < 0 or atol < 0:
        raise ValueError(f"isclose: rtol is {rtol} and atol {atol}: tolerances are not negative")

    def close(x: Any, y: Any) -> Any:
        if x.dtype.kind != "f" and not rtol and not atol:
            return x == y
        x, y = (v.astype(np.float64) if v.dtype.kind in "iub" else v for v in (x, y))
        difference = np.abs(x - y)
        with np.errstate(all="ignore"):
            within = np.logical_and(np.isfinite(difference), difference <= atol + np.abs(rtol * y))
            near = np.logical_or(x == y, within)
        return np.logical_or(near, np.logical_and(np.isnan(x), np.isnan(y))) if equal_nan else near

    with np.errstate(all="ignore"):
        return constant(close, input, other)


@operation
def allclose(input: Any, other: Any, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False) -> bool:
    """Tell whether `isclose` holds everywhere, as a Python truth value."""
    return bool(data_of(isclose(input, other, rtol, atol, equal_nan)).all())


@operation
def equal(input: Any, other: Any) -> bool:
    """Tell whether two have the same shape and the same elements, as a Python truth value."""
    both_known = type(input) is type(other) is Variable
    x, y = (input._array, other._array) if both_known else (data_of(plain(input)), data_of(plain(other)))
    return x.shape == y.shape and bool((x == y).all())


#: So many pairs of elements are compared; where there are more, elements are sorted.
_PAIRS = 2048


@operation(method=False)
def isin(input: Any, test_elements: Any, *, assume_unique: bool = False, invert: bool = False) -> Any:
    """Tell where elements are among `test_elements`, or, if `invert`, where they are not."""

    def found(x: Any, y: Any) -> Any:
        if type(x) is np.ndarray is type(y) and x.ndim and y.size and x.size * y.size <= _PAIRS:
            among = (x[..., None] == y.reshape(-1)).any(-1)
            return ~among if invert else among
        return dispatch.beside(np.isin(dispatch.in_numpy(x), dispatch.in_numpy(y), invert=invert), x)

    return constant(found, plain(input), plain(test_elements))


# ---- whole numbers --------------------------------------------------------------------------------------------------


def _of_whole(name: str, function: Any, sentence: str, truth: bool, arity: int = 2) -> Any:
    kinds = "iub" if truth else "iu"
    letters = "bhilqBHILQ?" if truth else "bhilqBHILQ"

    def checked(*xs: Any) -> Any:
        arrays = [x if isinstance(x, int) else plain(x) for x in xs]
        dtypes = [x.dtype for x in arrays if not isinstance(x, int)]
        if any(dtype.kind not in kinds for dtype in dtypes):
            raise TypeError(f"{name}: dtypes {' and '.join(map(str, dtypes))}: takes whole numbers")
        return constant(function, *arrays)

    def one(input: Any) -> Any:
        if type(input) is Variable and input._array.dtype.char in letters:
            return _constant(function)(input)
        return checked(input)

    def both(input: Any, other: Any) -> Any:
        if type(input) is Variable is type(other):
            if input._array.dtype.char in letters and other._array.dtype.char in letters:
                return _constant(function)(input, other)
        return checked(input, other)

    made = one if arity == 1 else both
    made.__name__ = made.__qualname__ = name
    made.__doc__ = f"{sentence}, elementwise, with broadcasting; takes whole numbers{' and truth values' * truth}."
    return operation(made)


bitwise_and = _of_whole("bitwise_and", np.bitwise_and, "Give the bits that both have", True)
bitwise_or = _of_whole("bitwise_or", np.bitwise_or, "Give the bits that either has", True)
bitwise_xor = _of_whole("bitwise_xor", np.bitwise_xor, "Give the bits that exactly one has", True)
bitwise_not = _of_whole("bitwise_not", np.invert, "Give the bits that input has not", True, 1)
bitwise_left_shift = _of_whole("bitwise_left_shift", np.left_shift, "Shift bits up: input * 2**other", False)
bitwise_right_shift = _of_whole("bitwise_right_shift", np.right_shift, "Shift bits down: input // 2**other", False)
gcd = _of_whole("gcd", np.gcd, "Give the greatest common divisor", False)
lcm = _of_whole("lcm", np.lcm, "Give the least common multiple", False)
