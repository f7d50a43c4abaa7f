"""Roots that stay in range."""

# ruff: noqa: F821
# mypy: disable-error-code="name-defined"

from __future__ import annotations

from typing import Any

#: For float64, and for float32.
CONSTANTS: dict[str, tuple[float, float]] = {
    "THIRD": (1 / 3, 1 / 3),
    # 4/3 of the exponent's bias, and the offset that makes the start's largest error least
    "CBRT_START": ((4 / 3 * 1023 - 0.068) * 2.0**52, (4 / 3 * 127 - 0.068) * 2.0**23),
    "CUBE_LIFT": (2.0**54, 2.0**24),
    "CUBE_DROP": (2.0**-18, 2.0**-8),
    "SQUARE_LARGE": (2.0**500, 2.0**60),
    "SQUARE_SMALL": (2.0**-400, 2.0**-50),
    "SQUARE_LIFT": (2.0**700, 2.0**100),
    "SQUARE_DROP": (2.0**-700, 2.0**-100),
}


def cbrt(x: Any) -> Any:
    """The bits of x divided by -3 are near those of t = x**(-1/3); then y = x*t*t, and one of Newton's steps.

    t is improved by a polynomial in r = 1 - x*t**3: the series of (1 - r)**(-1/3). The first step is as in W. Kahan,
    "Computing a real cube root" (1991).
    """
    a = absolute(x)
    subnormal = a < NORMAL
    n = a * CUBE_LIFT if subnormal else a
    t = from_ordinal(fma(ordinal(n), -THIRD, CBRT_START))
    r = fma(n * t, -t * t, ONE)
    t = fma(t * r, polynomial(r, CBRT), t)
    s = t * t
    y = n * s
    square, lost = two_product(y, y)
    y = fma(fma(-lost, y, fma(-square, y, n)), s * THIRD, y)
    y = y * CUBE_DROP if subnormal else y
    return copysign(y, x) if a > ZERO and a < INFINITY else x


def hypot(a: Any, b: Any) -> Any:
    """sqrt(a*a + b*b), scaled by a power of two where the squares would be out of range."""
    a = absolute(a)
    b = absolute(b)
    larger = a if a > b else b
    large = larger > SQUARE_LARGE
    small = larger < SQUARE_SMALL
    factor = SQUARE_DROP if large else (SQUARE_LIFT if small else ONE)
    back = SQUARE_LIFT if large else (SQUARE_DROP if small else ONE)
    p = larger * factor
    q = (b if a > b else a) * factor
    y = square_root(fma(p, p, q * q)) * back
    return INFINITY if a == INFINITY or b == INFINITY else y


def inversion(a: Any, b: Any) -> Any:
    """a / (a*a + b*b), scaled by a power of two where the squares would be out of range; 0 at 0 and at infinity."""
    larger = absolute(a) if absolute(a) > absolute(b) else absolute(b)
    factor = SQUARE_DROP if larger > SQUARE_LARGE else (SQUARE_LIFT if larger < SQUARE_SMALL else ONE)
    p = a * factor
    q = b * factor
    y = p / fma(p, p, q * q) * factor
    return copysign(ZERO, a) if larger == ZERO or larger == INFINITY else y
