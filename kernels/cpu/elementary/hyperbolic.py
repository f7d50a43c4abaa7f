"""Hyperbolic functions and their inverses."""

# ruff: noqa: F821
# mypy: disable-error-code="name-defined"

from __future__ import annotations

from typing import Any

#: For float64, and for float32.
CONSTANTS: dict[str, tuple[float, float]] = {
    "SINH_END": (710.8, 89.6),  # sinh and cosh are infinite from here on
    "TANH_END": (22.0, 10.0),  # tanh is 1 from here on
    "PART_END": (60.0, 30.0),  # 2**-k is nothing beside 2**k from here on
    "ASINH_POLYNOMIAL_END": (0.525, 0.525),
    "LARGE": (2.0**30, 2.0**14),  # x*x + 1 is x*x from here on
}


def hyperbolic_parts(a: Any) -> tuple[Any, Any, Any, Any, Any, Any]:
    """For a >= 0: 2**k / 4 and 2**-k / 4; r, high + low; cosh(r) - 1 and sinh(r) - r.

    With the sum and the difference of the powers, sinh(a) is 2*(difference*cosh(r) + sum*sinh(r)) and cosh(a) is
    2*(sum*cosh(r) + difference*sinh(r)): no division, and not 2**k itself, which may be out of range.
    """
    k, high, low = reduced(SINH_END if a > SINH_END else a)
    r = high + low
    z = r * r
    large = power_of_two(k - TWO)
    small = power_of_two(-(PART_END if k > PART_END else k) - TWO)
    return large, small, high, low, z * polynomial(z, COSH), r * z * polynomial(z, SINH)


def sinh(x: Any) -> Any:
    """2*(difference*cosh(r) + total*sinh(r)), largest terms first."""
    a = absolute(x)
    large, small, high, low, even, odd = hyperbolic_parts(a)
    total, difference = large + small, large - small
    y = fma(total, high, difference) + fma(difference, even, total * (odd + low))
    return copysign(y + y if a > TINY else a, x)


def cosh(x: Any) -> Any:
    """2*(total*cosh(r) + difference*sinh(r)), largest terms first."""
    large, small, high, low, even, odd = hyperbolic_parts(absolute(x))
    total, difference = large + small, large - small
    y = fma(difference, high, large) + (small + fma(total, even, difference * (odd + low)))
    return x if x != x else y + y


def tanh(x: Any) -> Any:
    """x + x**3 * p(x*x) up to 1, and 1 - 2 / (exp(2*x) + 1) beyond, where the fraction's errors are small beside 1."""
    a = absolute(x)
    b = TANH_END if a > TANH_END else a
    k, high, low = reduced(b + b)
    r = high + low
    e = scale(fma(r * r, polynomial(r, EXP), r) + ONE, k)
    z = b * b
    y = fma(b * z, polynomial(z, TANH), b) if a < ONE else ONE - TWO / (e + ONE)
    return copysign(x if x != x else y, x)


def asinh(x: Any) -> Any:
    """x + x**3 * p(x*x) up to 0.525, and log(x + sqrt(x*x + 1)) beyond."""
    a = absolute(x)
    large = a > LARGE
    b = ONE if large else a
    z = b * b
    small = fma(b * z, polynomial(z, ASINH), b)
    u, lost = fast_two_sum(square_root(fma(b, b, ONE)), b)
    y = log_of_sum(a if large else u, ZERO if large else lost, ONE if large else ZERO)
    y = small if a < ASINH_POLYNOMIAL_END else y
    return copysign(y if a < INFINITY else a, x)


def acosh(x: Any) -> Any:
    """log(1 + v) with v = t + sqrt(2*t + t*t) and t = x - 1, which is exact."""
    large = x > LARGE
    t = ONE if large else x - ONE
    v, v_lost = fast_two_sum(square_root(fma(t, t, t + t)), t)
    u, lost = two_sum(ONE, v)
    y = log_of_sum(x if large else u, ZERO if large else lost + v_lost, ONE if large else ZERO)
    y = y if x < INFINITY else x
    return NAN if x < ONE else y


def atanh(x: Any) -> Any:
    """log(1 + v) / 2 with v = 2*x / (1 - x)."""
    a = absolute(x)
    d = ONE - a
    v = (a + a) / d
    # what rounding took from d and v; 1/d is 1 + v/2
    v_lost = fma(-v, (ONE - d) - a, fma(-v, d, a + a)) * fma(v, HALF, ONE)
    u, lost = two_sum(ONE, v)
    y = HALF * log_of_sum(u, lost + v_lost, ZERO)
    y = y if a < ONE else (INFINITY if a == ONE else NAN)
    return copysign(y if a > TINY else a, x)
