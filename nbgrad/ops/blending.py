"""Elementwise functions of other functions: mixtures of operands, replaced elements, what real numbers have as well."""

from __future__ import annotations

import builtins
import math
import operator
from typing import Any

import numpy as np

from ..function import constant
from ..kernels import scalars as scalar
from ..registry import operation
from ..variable import Given, Variable, data_of
from .arithmetic import div, sub
from .elementwise import add, elementwise, maximum, minimum, mul, pow, where
from .shape import astype
from .steps import plain, steps

# ---- mixtures -------------------------------------------------------------------------------------------------------

# from the end that is nearer, so that each end is met exactly
_lerp = elementwise(
    lambda start, end, weight: scalar.where(
        scalar.abs(weight) < 0.5, start + weight * (end - start), end - (end - start) * (1 - weight)
    ),
    lambda y, start, end, weight: 1 - weight,
    lambda y, start, end, weight: weight,
    lambda y, start, end, weight: end - start,
    name="lerp",
)
_addcmul = elementwise(lambda input, a, b, value: input + value * a * b, name="addcmul")
_addcdiv = elementwise(lambda input, a, b, value: input + value * (a / b), name="addcdiv")
_replaced = elementwise(
    lambda x, nan, high, low: scalar.where(
        x != x, nan, scalar.where(x == math.inf, high, scalar.where(x == -math.inf, low, x))
    ),
    name="nan_to_num",
)
_angle = elementwise(lambda x: scalar.where(x < 0, math.pi, scalar.where(x != x, x, 0.0)), name="angle")
#: The mask by which a choice takes no element.
_NOWHERE = constant(np.zeros((), np.bool_))


def _are_floating(*xs: Any) -> builtins.bool:
    """Tell whether all are Variables of floating dtypes."""
    for x in xs:
        if type(x) is not Variable or x._array.dtype.char not in "fd":
            return False
    return True


def _floating_operands(what: str, *xs: Any) -> None:
    for x in xs:
        if not isinstance(x, builtins.int | builtins.float) and x.dtype.kind != "f":
            raise TypeError(f"{what}: dtype {x.dtype}: takes floating ones")


@operation
def lerp(input: Given, end: Any, weight: Any) -> Given:
    """Go a share of the way from input to end: input + weight * (end - input), elementwise, with broadcasting.

    Raises TypeError for whole numbers.

    >>> import nbgrad
    >>> nbgrad.lerp(nbgrad.tensor([0.0, 10.0]), nbgrad.tensor([1.0, 20.0]), 0.25)
    Variable([ 0.25, 12.5 ])
    """
    if _are_floating(input, end) and (type(weight) is builtins.float or _are_floating(weight)):
        return _lerp(input, end, weight)
    input, end = plain(input), plain(end)
    weight = weight if isinstance(weight, builtins.int | builtins.float) else plain(weight)
    _floating_operands("lerp", input, end, weight)
    return _lerp(input, end, weight)


@operation
def addcmul(input: Given, tensor1: Any, tensor2: Any, *, value: float = 1) -> Given:
    """Give input + value * tensor1 * tensor2, elementwise, with broadcasting."""
    if _are_floating(input, tensor1, tensor2):
        return _addcmul(input, tensor1, tensor2, value)
    xs = [plain(x) for x in (input, tensor1, tensor2)]
    if all(x.dtype.kind == "f" for x in xs):
        return _addcmul(*xs, value)
    if isinstance(value, builtins.float) and not any(x.dtype.kind == "f" for x in xs):
        raise TypeError(f"addcmul: value is {value} for whole numbers: give a whole one")
    return add(xs[0], mul(mul(xs[1], xs[2]), value))


@operation
def addcdiv(input: Given, tensor1: Any, tensor2: Any, *, value: float = 1) -> Given:
    """Give input + value * tensor1 / tensor2, elementwise, with broadcasting. Raises TypeError for whole numbers."""
    if _are_floating(input, tensor1, tensor2):
        return _addcdiv(input, tensor1, tensor2, value)
    xs = [plain(x) for x in (input, tensor1, tensor2)]
    _floating_operands("addcdiv", *xs)
    return _addcdiv(*xs, value)


@operation(method=False)
def rsub(input: Any, other: Any, *, alpha: Any = None) -> Any:
    """Subtract the other way round: other - alpha * input, elementwise, with broadcasting."""
    return sub(other, input, alpha=alpha)


@operation(alias="divide")
def true_divide(input: Any, other: Any) -> Any:
    """Divide: input / other, elementwise, with broadcasting; whole numbers become floating."""
    return div(input, other)


divide = true_divide


@operation
def float_power(input: Any, exponent: Any) -> Any:
    """Raise to a power in float64: input ** exponent, elementwise, with broadcasting."""
    base, power = (x if isinstance(x, builtins.int | builtins.float) else _double(x) for x in (input, exponent))
    if isinstance(base, builtins.int | builtins.float):
        base = builtins.float(base)
    return pow(base, power)


def _double(x: Any) -> Any:
    x = plain(x)
    if x.dtype.kind not in "fiub":
        raise TypeError(f"float_power: operand of dtype {x.dtype}: takes numbers, and Variables and arrays of them")
    return x if x.dtype == np.float64 else astype(x, np.float64)


@operation
def ldexp(input: Any, other: Any) -> Any:
    """Give input * 2**other, elementwise, with broadcasting."""
    return mul(input, pow(2.0, other))


# ---- chosen elements ------------------------------------------------------------------------------------------------


def _passing_nan_by(name: str, function: Any, larger: str) -> Any:
    first_of = operator.ge if name == "fmax" else operator.le
    formula = elementwise(
        lambda x, y: scalar.where(y != y, x, scalar.where(first_of(x, y), x, y)), name=name
    )  # a tie is the first one's

    def of_numbers(input: Any, other: Any) -> Any:
        if _are_floating(input, other):
            return formula(input, other)
        x, y = plain(input), plain(other)
        dtype = np.result_type(x.dtype, y.dtype)
        x, y = (v if v.dtype == dtype else astype(v, dtype) for v in (x, y))
        if dtype.kind != "f":
            return function(x, y)
        return formula(x, y)

    of_numbers.__name__ = of_numbers.__qualname__ = name
    of_numbers.__doc__ = (
        f"Give the {larger} of two, elementwise, with broadcasting; NaN only where both are.\n\n"
        "Where they are equal input has the gradient."
    )
    return operation(of_numbers)


fmax = _passing_nan_by("fmax", maximum, "larger")
fmin = _passing_nan_by("fmin", minimum, "smaller")


@operation
def nan_to_num(
    input: Given, nan: float | None = None, posinf: float | None = None, neginf: float | None = None
) -> Given:
    """Put numbers in place of NaN (0 unless given), infinity and -infinity (the largest and the least numbers).

    What is replaced has no gradient.

    >>> import nbgrad
    >>> nbgrad.nan_to_num(nbgrad.tensor([1.0, float("nan"), float("inf")]), posinf=9.0)
    Variable([1., 0., 9.])
    """
    x: Any = plain(input)
    if x.dtype.kind != "f":
        return x
    limits = np.finfo(x.dtype)
    high = builtins.float(limits.max) if posinf is None else builtins.float(posinf)
    low = builtins.float(limits.min) if neginf is None else builtins.float(neginf)
    return _replaced(x, 0.0 if nan is None else builtins.float(nan), high, low)


@operation(method=False)  # NumPy's method of that name writes in place
def fill(input: Given, value: Any) -> Given:
    """Give the shape and dtype of input with one number everywhere; the gradient of `value` is the sum of all.

    Raises ValueError for a value that has dimensions.
    """
    if _are_floating(input) and type(value) is builtins.float:
        return where(_NOWHERE, input, value)  # type: ignore[return-value]
    x = plain(input)
    if np.ndim(data_of(value)):
        raise ValueError(f"fill: a value of shape {np.shape(data_of(value))}: give one number")
    if isinstance(value, Variable):
        value = astype(value, x.dtype)
    if x.dtype.kind == "f":
        found: Any = where(_NOWHERE if isinstance(x, Variable) else _NOWHERE._array, x, value)
        return found
    made = np.full(x.shape, data_of(value), x.dtype)
    return Variable(made) if isinstance(x, Variable) else made  # type: ignore[return-value]


# ---- what real numbers have as well ---------------------------------------------------------------------------------


@operation(alias="radians")
def deg2rad(input: Given) -> Given:
    """Give an angle in degrees in radians, elementwise."""
    return mul(_floating(input), math.pi / 180)


@operation(alias="degrees")
def rad2deg(input: Given) -> Given:
    """Give an angle in radians in degrees, elementwise."""
    return mul(_floating(input), 180 / math.pi)


radians, degrees = deg2rad, rad2deg


def _floating(x: Any) -> Any:
    x = plain(x)
    return x if x.dtype.kind == "f" else astype(x, np.float64)


@operation
def angle(input: Given) -> Given:
    """Give the angle of real numbers, elementwise: 0, and pi of negative ones; the gradient is 0."""
    return steps(_angle)(_floating(input))


def _itself(name: str, sentence: str, method: bool = True) -> Any:
    def itself(input: Any) -> Any:
        return plain(input)

    itself.__name__ = itself.__qualname__ = name
    itself.__doc__ = f"{sentence}: of real numbers, which all are here, input itself."
    return operation(method=method)(itself)


real = _itself("real", "Give the real part", method=False)  # which Variables have as an attribute
conj = _itself("conj", "Give the complex conjugate")
conj_physical = _itself("conj_physical", "Give the complex conjugate, computed at once")
resolve_conj = _itself("resolve_conj", "Compute a complex conjugate that is put off")
resolve_neg = _itself("resolve_neg", "Compute a negative that is put off")

# ---- dtypes by name -------------------------------------------------------------------------------------------------


def _casting(name: str, dtype: Any) -> Any:
    def casting(input: Any, *, memory_format: Any = None) -> Any:
        return astype(input, dtype)

    casting.__name__ = casting.__qualname__ = name
    casting.__doc__ = f"Give input in dtype {np.dtype(dtype)}; a memory format of PyTorch's is left unread."
    return operation(public=False)(casting)


for _name, _dtype in (
    ("bool", np.bool_), ("byte", np.uint8), ("char", np.int8), ("short", np.int16), ("int", np.int32),
    ("long", np.int64), ("half", np.float16), ("float", np.float32), ("double", np.float64),
):  # fmt: skip
    _casting(_name, _dtype)
