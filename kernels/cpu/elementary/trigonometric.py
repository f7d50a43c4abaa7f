"""Trigonometric functions and their inverses.

Methods: argument reduction in three parts by W. J. Cody and W. Waite, "Software Manual for the Elementary Functions"
(1980), and for arguments too large for it by M. H. Payne and R. N. Hanek, "Radian reduction for trigonometric
functions" (1983); how small corrections are added last follows the comments of Sun's fdlibm (k_sin.c, k_cos.c,
e_asin.c, 1993). The formulas are written from these descriptions; all coefficients are our own fits.
"""

# ruff: noqa: F821
# mypy: disable-error-code="name-defined"

from __future__ import annotations

import math
from typing import Any

#: For float64, and for float32.
CONSTANTS: dict[str, tuple[float, float]] = {
    "ROUNDER": (1.5 * 2.0**52, 1.5 * 2.0**23),  # numbers around it are whole, and end in the bits of their distance
    "FAR": (2.0**30, 2.0**17),  # from here on the argument's reduction takes more than three parts
    "TWO_OVER_PI": (2 / math.pi, 2 / math.pi),
    # pi/2 in three parts, all cut off and not rounded, so that all are positive
    "HALF_PI_1": (float.fromhex("0x1.921fb54442d18p0"), float.fromhex("0x1.921fb4p0")),
    "HALF_PI_2": (float.fromhex("0x1.1a62633145c06p-54"), float.fromhex("0x1.4442d0p-24")),
    "HALF_PI_3": (float.fromhex("0x1.c1cd129024e08p-107"), float.fromhex("0x1.846988p-48")),
    "MANTISSA_UNIT": (2.0**53, 2.0**24),
    "FRACTION_UNIT": (2.0**-60, 2.0**-60),
    # rounded, and what rounding took
    "HALF_PI": (math.pi / 2, math.pi / 2),
    "HALF_PI_LOW": (float.fromhex("0x1.1a62633145c07p-54"), float.fromhex("-0x1.777a5cf72cecep-25")),
    "PI": (math.pi, math.pi),
    "PI_LOW": (float.fromhex("0x1.1a62633145c07p-53"), float.fromhex("-0x1.777a5cf72cecep-24")),
}


#: 2/pi in digits of 28 bits, behind two that are zero.
# fmt: off
TABLES: dict[str, tuple[int, ...]] = {
    "TWO_OVER_PI_DIGITS": (
        0, 0, 0xA2F9836, 0xE4E4415, 0x29FC275, 0x7D1F534, 0xDDC0DB6, 0x295993C, 0x439041F, 0xE5163AB, 0xDEBBC56,
        0x1B7246E, 0x3A424DD, 0x2E00649, 0x2EEA09D, 0x1921CFE, 0x1DEB1CB, 0x129A73E, 0xE88235F, 0x52EBB44, 0x84E99C7,
        0x26B45F, 0x7E41399, 0x1D63983, 0x5339F49, 0xC845F8B, 0xBDF9283, 0xB1FF897, 0xFFDE059, 0x80FEF2F, 0x118B5A0,
        0xA6D1F6D, 0x367ECF2, 0x7CB09B7, 0x4F463F6, 0x69E5FEA, 0x2D7527B, 0xAC7EBE5, 0xF17B3D0, 0x739F78A, 0x5292EA6,
        0xBFB5FB1, 0x1F8D5D0, 0x8560330, 0x46FC7B6, 0xBABF0CF,
    ),
}
# fmt: on


def _turns(x: Any) -> tuple[Any, Any, Any]:
    """Give m, r and rest of x = k * pi/2 + r - rest, |r| <= pi/4: the last bits of m are those of the whole number k.

    The first difference is exact: it is a multiple of the last place of pi/2's first part, and below 1. The second is
    rounded; `rest` is what that took, with what rounding took from k times pi/2's second part, and k times the third.
    Where x is next to a multiple of pi/2, the second difference cancels as well, and `rest` has the digits that r
    lacks. For x = -0 all are as they should be since every part of pi/2 is positive.
    """
    m = fma(x, TWO_OVER_PI, ROUNDER)
    k = m - ROUNDER
    first = fma(k, -HALF_PI_1, x)
    second = k * HALF_PI_2
    r = first - second
    return m, r, ((r - first) + second) + fma(k, HALF_PI_3, fma(k, HALF_PI_2, -second))


def _far_turns_float64(x: Any) -> tuple[Any, Any, Any]:
    """The same for any |x| from 1 on, and NaN for infinities; not for vectors: it computes in integers, from a table.

    For x = n * 2**e, multiples of 4 among the products of n * 2**e and the bits of 2/pi do not matter (Payne and
    Hanek). The next 196 bits of 2/pi are multiplied with n in digits of 28 bits. The first two bits of the product are
    k's last; the others are the fraction, of which 2**-62 or more is left where x is nearest to a multiple of pi/2,
    and of which what was cut off amounts to less than 2**-138.
    """
    size = absolute(x)
    n = int(mantissa(size) * MANTISSA_UNIT)
    place = int(exponent(size)) + 1  # of the first bit of 2/pi that matters, counted from the first zero
    skipped, shift = place // 28, place % 28
    low, high = n & 0xFFFFFFF, n >> 28
    before = carry = top = 0
    middle = rest = 0.0
    for i in range(6, -1, -1):
        digit = (
            TWO_OVER_PI_DIGITS[skipped + i] << shift | TWO_OVER_PI_DIGITS[skipped + i + 1] >> (28 - shift)
        ) & 0xFFFFFFF
        product = low * digit + high * before + carry
        before, carry = digit, product >> 28
        product &= 0xFFFFFFF
        if i > 2:
            rest = (rest + product) * 2.0**-28
        elif i == 2:
            middle = product * 2.0**-28
        else:
            top |= product << 28 * (1 - i)
    k = (top + (1 << 53)) >> 54
    first, second = fast_two_sum(float(top - (k << 54)), middle)
    first, second = fast_two_sum(first, second + rest * 2.0**-28)
    # the fraction times pi/2
    r, error = two_product(first * 2.0**-54, HALF_PI)
    r, error = fast_two_sum(r, error + (first * HALF_PI_LOW + second * HALF_PI) * 2.0**-54)
    sign = copysign(ONE, x)
    return ROUNDER + sign * k, sign * r + (x - x), -sign * error


def _far_turns_float32(x: Any) -> tuple[Any, Any, Any]:
    """The same with 112 bits of 2/pi, and without any float64, of which many GPUs have little.

    Where x is nearest to a multiple of pi/2, 2**-30 or more is left of the fraction, of which 60 bits are computed.
    """
    size = absolute(x)
    n = int(mantissa(size) * MANTISSA_UNIT)
    place = int(exponent(size)) + 30
    skipped, shift = place // 28, place % 28
    carry = top = 0
    for i in range(3, -1, -1):
        following = TWO_OVER_PI_DIGITS[skipped + i + 1] >> (28 - shift)
        digit = (TWO_OVER_PI_DIGITS[skipped + i] << shift | following) & 0xFFFFFFF
        product = n * digit + carry
        carry = product >> 28
        product &= 0xFFFFFFF
        if i == 2:
            top = product >> 22
        elif i < 2:
            top |= product << (34 - 28 * i)
    k = (top + (1 << 59)) >> 60
    fraction = top - (k << 60)
    high = number(fraction)
    low = number(fraction - int(high))
    r, error = two_product(high * FRACTION_UNIT, HALF_PI)
    r, error = fast_two_sum(r, error + (high * HALF_PI_LOW + low * HALF_PI) * FRACTION_UNIT)
    sign = copysign(ONE, x)
    return ROUNDER + sign * number(k), sign * r + (x - x), -sign * error


def _wave(m: Any, r: Any, rest: Any) -> Any:
    """sin(r - rest), cos(r - rest) or their opposites, by m.

    sin(r) = r - r**3 * p(r*r), and cos(r) = 1 - r*r/2 + r**4 * p(r*r), where what rounding takes from 1 - r*r/2 is
    added to the last term. The result is r itself, with its sign, for r too small for anything else.
    """
    z = r * r
    s = r - fma(r * z, polynomial(z, SIN), rest)
    h = fma(z, -HALF, ONE)
    c = h + fma(z * z, polynomial(z, COS), fma(r, rest, fma(z, -HALF, ONE - h)))
    return flip_sign(c if has_bit(m, 0) else s, m, 1)


def _sin_far(x: Any) -> Any:
    m, r, rest = _far_turns(x)
    return _wave(m, r, rest)


def _cos_far(x: Any) -> Any:
    m, r, rest = _far_turns(x)
    return _wave(m + ONE, r, rest)


def sin(x: Any) -> Any:
    """Sines and cosines of x less a multiple of pi/2."""
    m, r, rest = _turns(x)
    return beyond(x, FAR, _wave(m, r, rest), _sin_far)


def cos(x: Any) -> Any:
    """cos(x) = sin(x + pi/2); what it has in common with sin(x), LLVM computes once where both are wanted."""
    m, r, rest = _turns(x)
    return beyond(x, FAR, _wave(m + ONE, r, rest), _cos_far)


def _slope(m: Any, r: Any, rest: Any) -> Any:
    """tan(r - rest), or -1 over it, by m.

    tan(r) = r * (1 - r*r*p(r*r)) / (1 - r*r*q(r*r)), one division for either result. What rounding takes from the
    denominator, times the quotient, and `rest`, times what the quotient rises by, are both taken from the numerator:
    nearly, the one times r and the other times 1, and both times 1 + r*r*q(r*r).
    """
    z = r * r
    q = polynomial(z, TAN_BELOW)
    below = fma(-z, q, ONE)
    part = ONE - below
    lost = fma(r, fma(-z, q, part), rest)
    above = r - fma(r * z, polynomial(z, TAN_ABOVE), fma(part, lost, lost))
    odd = has_bit(m, 0)
    return flip_sign((below if odd else above) / (above if odd else below), m, 0)


def _tan_far(x: Any) -> Any:
    m, r, rest = _far_turns(x)
    return _slope(m, r, rest)


def tan(x: Any) -> Any:
    """Tangents and cotangents of x less a multiple of pi/2."""
    m, r, rest = _turns(x)
    return beyond(x, FAR, _slope(m, r, rest), _tan_far)


def _half_turns(x: Any) -> tuple[Any, Any]:
    """Give m, whose two last bits count quarters of a turn, and r in [-1/4, 1/4] of x = k/2 + r (mod 2), exactly."""
    y = fma(rint(x * HALF), -TWO, x)
    m = fma(y, TWO, ROUNDER)
    return m, fma(m - ROUNDER, -HALF, y)


def _wave_of_half_turns(m: Any, r: Any) -> Any:
    """sin(pi*r), cos(pi*r) or their opposites, by m; never -0.

    sin(pi*r) = pi*r + r**3 * p(r*r) with pi in two parts, cos(pi*r) = 1 + r*r * p(r*r).
    """
    z = r * r
    s = fma(r, PI, r * fma(z, polynomial(z, SINPI), PI_LOW))
    c = fma(z, polynomial(z, COSPI), ONE)
    return flip_sign(c if has_bit(m, 0) else s, m, 1) + ZERO


def sinpi(x: Any) -> Any:
    """sin(pi*x): the argument's reduction is exact; 0 with the sign of x for whole x (IEEE 754-2019)."""
    m, r = _half_turns(absolute(x))
    return flip_sign(_wave_of_half_turns(m, r), x, -1)


def cospi(x: Any) -> Any:
    """cos(pi*x) = sin(pi*x + pi/2): the argument's reduction is exact; +0 for half-whole x (IEEE 754-2019)."""
    m, r = _half_turns(absolute(x))
    return _wave_of_half_turns(m + ONE, r)


def _beside(turn: Any, rest: Any, u: Any, z: Any, p: Any) -> Any:
    """turn + rest + u + u*z*p: an angle in two parts and an odd function's series, of which u is the first term.

    What rounding takes from turn + u is added to the small terms.
    """
    y, lost = fast_two_sum(turn, u)
    return y + fma(u * z, p, lost + rest)


def asin(x: Any) -> Any:
    """x + x**3 * p(x*x) up to 1/2, and pi/2 - 2*asin(sqrt((1 - x) / 2)) beyond."""
    a = absolute(x)
    large = a > HALF
    z = HALF * (ONE - a) if large else a * a
    u = -TWO * square_root(z) if large else a
    turn, rest = (HALF_PI, HALF_PI_LOW) if large else (ZERO, ZERO)
    return copysign(_beside(turn, rest, u, z, polynomial(z, ASIN)), x)


def acos(x: Any) -> Any:
    """pi/2 - asin(x), where for large x the quarters of a turn cancel: 2*asin(sqrt((1 - x) / 2)) is left."""
    a = absolute(x)
    large = a > HALF
    z = HALF * (ONE - a) if large else a * a
    u = copysign(TWO * square_root(z), x) if large else -x
    turn, rest = (PI, PI_LOW) if large else (HALF_PI, HALF_PI_LOW)
    none = x > HALF
    return _beside(ZERO if none else turn, ZERO if none else rest, u, z, polynomial(z, ASIN))


def atan(x: Any) -> Any:
    """x + x**3 * p(x*x) up to 1, and pi/2 - atan(1 / x) beyond."""
    a = absolute(x)
    large = a > ONE
    t = -ONE / a if large else a
    z = t * t
    turn, rest = (HALF_PI, HALF_PI_LOW) if large else (ZERO, ZERO)
    return copysign(_beside(turn, rest, t, z, polynomial(z, ATAN)), x)


def atan2(y: Any, x: Any) -> Any:
    """The angle from the positive x axis to (x, y): the smaller over the larger, and what its octant adds to it."""
    a, b = absolute(x), absolute(y)
    steep = b > a
    above, below = (a, b) if steep else (b, a)
    # also where both are infinite, and C has them on the diagonal, or both zero, and C has them on the x axis
    t = (ONE if above > ZERO else ZERO) if above == below else above / below
    left = copysign(ONE, x) < ZERO
    t = -t if steep != left else t
    z = t * t
    turn = HALF_PI if steep else (PI if left else ZERO)
    rest = HALF_PI_LOW if steep else (PI_LOW if left else ZERO)
    return copysign(_beside(turn, rest, t, z, polynomial(z, ATAN)), y)
