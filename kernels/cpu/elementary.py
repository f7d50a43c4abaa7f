"""Elementary functions that LLVM can vectorise, for float32 and float64: at most 1 ulp each.

pip's LLVM brings no vector math library, so a call of `math.exp` in a loop stays a scalar call of the C library, and
keeps the loop scalar. These functions have no branches, only selections, and are inlined into the loops that use
them, where LLVM packs them 8 or 16 to an instruction. Each is written once; the constants it names come from the
table of its dtype.

Methods: argument reduction in two parts by W. J. Cody and W. Waite, "Software Manual for the Elementary Functions"
(1980); the arrangement of log and log1p around ``s = f / (2 + f)`` as described in the comments of Sun's fdlibm
(e_log.c, s_log1p.c, 1993). Polynomials are our own fits: ``python -m benchmarks.fit_elementary``.
"""

from __future__ import annotations

import math
from types import FunctionType
from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

# ---- intrinsics -----------------------------------------------------------------------------------------------------


def _llvm(name: str, arity: int) -> Any:
    """Make LLVM's intrinsic of a name a function of `arity` numbers of one dtype."""

    def typed(kinds: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return _call(builder, name, arguments)

        return kinds[0](*kinds), generate

    if arity == 1:
        return intrinsic(lambda typing_context, x: typed([x]))
    if arity == 2:
        return intrinsic(lambda typing_context, x, y: typed([x, y]))
    return intrinsic(lambda typing_context, x, y, z: typed([x, y, z]))


def _call(builder: Any, name: str, arguments: Any) -> Any:
    kind = arguments[0].type
    suffix = "f32" if isinstance(kind, ir.FloatType) else "f64"
    function_type = ir.FunctionType(kind, [kind] * len(arguments))
    return builder.call(
        cgutils.get_or_insert_function(builder.module, function_type, f"llvm.{name}.{suffix}"), arguments
    )


def _layout(kind: Any) -> tuple[Any, int, int]:
    """Give the integer type, the exponent's bias and the mantissa's bits of a floating type."""
    return (ir.IntType(32), 127, 23) if kind == types.float32 else (ir.IntType(64), 1023, 52)


@intrinsic
def _polynomial(typing_context: Any, x: Any, coefficients: Any) -> Any:
    """Evaluate a polynomial by Horner's rule in fused multiplications and additions; lowest power first."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        *rest, value = cgutils.unpack_tuple(builder, arguments[1], len(coefficients))
        for coefficient in reversed(rest):
            value = _call(builder, "fma", [value, arguments[0], coefficient])
        return value

    return x(x, coefficients), generate


@intrinsic
def _power_of_two(typing_context: Any, k: Any) -> Any:
    """Give 2**k for whole k in the range of normal numbers, by writing the exponent's bits."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        integer, bias, shift = _layout(k)
        bits = builder.add(builder.fptosi(arguments[0], integer), ir.Constant(integer, bias))
        return builder.bitcast(builder.shl(bits, ir.Constant(integer, shift)), arguments[0].type)

    return k(k), generate


def _split(part: str) -> Any:
    @intrinsic
    def split(typing_context: Any, x: Any) -> Any:
        """Give k, or m, of x = m * 2**k with m in [sqrt(1/2), sqrt(2)), for positive normal x."""

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            integer, _, shift = _layout(x)
            single = x == types.float32
            root = np.array(math.sqrt(0.5), np.float32 if single else np.float64).view(f"i{4 if single else 8}")
            bits = builder.bitcast(arguments[0], integer)
            # the difference's upper bits, sign included, count the powers of two from sqrt(1/2)
            k = builder.ashr(builder.sub(bits, ir.Constant(integer, int(root))), ir.Constant(integer, shift))
            if part == "exponent":
                return builder.sitofp(k, arguments[0].type)
            rest = builder.sub(bits, builder.shl(k, ir.Constant(integer, shift)))
            return builder.bitcast(rest, arguments[0].type)

        return x(x), generate

    return split


_INTRINSICS = {
    "absolute": _llvm("fabs", 1),
    "copysign": _llvm("copysign", 2),
    "exponent": _split("exponent"),
    "fma": _llvm("fma", 3),
    "mantissa": _split("mantissa"),
    "polynomial": _polynomial,
    "power_of_two": _power_of_two,
    "rint": _llvm("rint", 1),
}

# ---- constants ------------------------------------------------------------------------------------------------------

_POLYNOMIALS: dict[str, dict[str, tuple[float, ...]]] = {
    "float32": {
        "EXP": (
            0.5,
            0.1666666716337204,
            0.04166646674275398,
            0.00833331048488617,
            0.0013933641603216529,
            0.00019890980911441147,
        ),
        "LOG": (
            0.6666666865348816,
            0.4000012278556824,
            0.28550779819488525,
            0.23331613838672638,
        ),
        "TANH": (
            -0.3333333432674408,
            0.13333331048488617,
            -0.05396759510040283,
            0.0218625757843256,
            -0.008826250210404396,
            0.00347838643938303,
            -0.0012421575374901295,
            0.000337689823936671,
            -4.8467110900674015e-05,
        ),
    },
    "float64": {
        "EXP": (
            0.5,
            0.1666666666666667,
            0.04166666666666667,
            0.008333333333326141,
            0.0013888888888883752,
            0.00019841269874800493,
            2.4801587325533363e-05,
            2.7557255425746435e-06,
            2.7557273661348637e-07,
            2.510520637395701e-08,
            2.0914679376583935e-09,
        ),
        "LOG": (
            0.6666666666666666,
            0.40000000000000885,
            0.28571428570799784,
            0.22222222392581045,
            0.18181795547521137,
            0.15386244737621665,
            0.13268638369266825,
            0.13088034850927555,
        ),
        "TANH": (
            -0.3333333333333333,
            0.1333333333333309,
            -0.05396825396804637,
            0.02186948852912909,
            -0.008863235404578283,
            0.003592126679366341,
            -0.0014558246920964941,
            0.0005899792946300052,
            -0.00023895705228738225,
            9.646277743313181e-05,
            -3.8389607893147334e-05,
            1.4606131676715378e-05,
            -4.987760317520347e-06,
            1.3791814499083342e-06,
            -2.6330772232959337e-07,
            2.5155023659382105e-08,
        ),
    },
}


def _constants(dtype: str) -> dict[str, Any]:
    """Give every constant that the functions below name, in one dtype."""
    number = np.dtype(dtype).type
    single = dtype == "float32"
    limits = np.finfo(number)
    # log(2) in two parts, the first with so many zeros at its end that whole multiples of it are exact
    high = float.fromhex("0x1.62e4p-1" if single else "0x1.62e42fefap-1")
    low = float.fromhex("0x1.7f7d1cf79abcap-20" if single else "0x1.cf79abc9e3b3ap-40")
    values = {
        "ZERO": 0.0,
        "HALF": 0.5,
        "ONE": 1.0,
        "TWO": 2.0,
        "INFINITY": math.inf,
        "NAN": math.nan,
        "LOG2_E": math.log2(math.e),
        "LOG_2_HIGH": high,
        "LOG_2_LOW": low,
        "EXP_END": 89.0 if single else 710.0,  # exp is infinite from here on,
        "EXP_BEGIN": -104.0 if single else -746.0,  # and zero up to here
        "TANH_END": 10.0 if single else 22.0,  # tanh is 1 from here on
        "NORMAL": limits.smallest_normal,
        "LIFT": 2.0**30 if single else 2.0**60,  # makes subnormal numbers normal
        "LIFT_EXPONENT": 30.0 if single else 60.0,
        "TINY": limits.eps / 2,  # log1p(x) is x up to here
    }
    constants = {name: number(value) for name, value in values.items()}
    return constants | {name: tuple(map(number, row)) for name, row in _POLYNOMIALS[dtype].items()}


# ---- the functions --------------------------------------------------------------------------------------------------
#
# The names they use are bound when `_specialise` gives them a dtype.

# ruff: noqa: F821
# mypy: disable-error-code="name-defined"


def exp(x: Any) -> Any:
    """x = k*log(2) + r with |r| <= log(2)/2, and exp(x) = 2**k * (1 + r + r*r*p(r)).

    The power of two is multiplied in halves, since 2**k alone may be out of range where exp(x) is not.
    """
    c = EXP_END if x > EXP_END else (EXP_BEGIN if x < EXP_BEGIN else x)
    k = rint(c * LOG2_E)
    r = fma(k, -LOG_2_LOW, fma(k, -LOG_2_HIGH, c))
    y = fma(r * r, polynomial(r, EXP), r) + ONE
    half = rint(k * HALF)
    return y * power_of_two(half) * power_of_two(k - half)


def log(x: Any) -> Any:
    """x = 2**k * (1 + f), s = f / (2 + f), and log(1 + f) = 2*s + s**3 * p(s*s), arranged to lose no digits of f."""
    subnormal = x < NORMAL
    n = x * LIFT if subnormal else x
    k = exponent(n)
    f = mantissa(n) - ONE
    k = k - LIFT_EXPONENT if subnormal else k
    s = f / (TWO + f)
    z = s * s
    h = HALF * f * f
    y = k * LOG_2_HIGH - ((h - (s * (h + z * polynomial(z, LOG)) + k * LOG_2_LOW)) - f)
    y = x if x == INFINITY else y
    y = -INFINITY if x == ZERO else y
    return NAN if x < ZERO or x != x else y


def log1p(x: Any) -> Any:
    """The logarithm of u = 1 + x, plus what rounding took from u, divided by u."""
    u = x + ONE
    k = exponent(u)
    f = mantissa(u) - ONE
    lost = ONE - (u - x) if x > ONE else x - (u - ONE)
    s = f / (TWO + f)
    z = s * s
    h = HALF * f * f
    y = k * LOG_2_HIGH - ((h - (s * (h + z * polynomial(z, LOG)) + (k * LOG_2_LOW + lost / u))) - f)
    y = x if x == INFINITY or absolute(x) < TINY else y
    y = -INFINITY if x == -ONE else y
    return NAN if x < -ONE or x != x else y


def tanh(x: Any) -> Any:
    """x + x**3 * p(x*x) up to 1, and 1 - 2 / (exp(2*x) + 1) beyond, where the fraction's errors are small beside 1."""
    a = absolute(x)
    b = TANH_END if a > TANH_END else a
    k = rint(b * TWO * LOG2_E)
    r = fma(k, -LOG_2_LOW, fma(k, -LOG_2_HIGH, b * TWO))
    e = (fma(r * r, polynomial(r, EXP), r) + ONE) * power_of_two(k)
    z = b * b
    y = fma(b * z, polynomial(z, TANH), b) if a < ONE else ONE - TWO / (e + ONE)
    return copysign(x if x != x else y, x)


def _specialise(function: Any, dtype: str) -> Any:
    """Compile a function with the constants of a dtype, to be inlined wherever it is called."""
    names = {**_INTRINSICS, **_constants(dtype)}
    return njit(error_model="numpy", forceinline=True, fastmath={"contract"})(
        FunctionType(function.__code__, names, f"{function.__name__}_{dtype}")
    )


#: The functions by the names that kernels call them.
NAMESPACE: dict[str, Any] = {
    f"{function.__name__}_{dtype}": _specialise(function, dtype)
    for function in (exp, log, log1p, tanh)
    for dtype in ("float32", "float64")
}
