"""Constants that every function may name, sums and products with their rounding errors, and whole numbers.

Methods: T. J. Dekker, "A floating-point technique for extending the available precision" (1971); D. E. Knuth, "The Art
of Computer Programming", volume 2, section 4.2.2 (two_sum).
"""

# ruff: noqa: F821
# mypy: disable-error-code="name-defined"

from __future__ import annotations

import math
from typing import Any

#: For float64, and for float32.
CONSTANTS: dict[str, tuple[float, float]] = {
    "ZERO": (0.0, 0.0),
    "HALF": (0.5, 0.5),
    "ONE": (1.0, 1.0),
    "TWO": (2.0, 2.0),
    "INFINITY": (math.inf, math.inf),
    "NAN": (math.nan, math.nan),
    "LOWEST": (-float.fromhex("0x1.fffffffffffffp1023"), -float.fromhex("0x1.fffffep127")),  # the least finite number
    "NORMAL": (2.0**-1022, 2.0**-126),  # the smallest normal number
    "LIFT": (2.0**60, 2.0**30),  # makes subnormal numbers normal
    "LIFT_EXPONENT": (60.0, 30.0),
    "TINY": (2.0**-53, 2.0**-24),  # half the spacing of numbers at 1
}


def two_sum(a: Any, b: Any) -> tuple[Any, Any]:
    """a + b as the rounded sum and what rounding took."""
    s = a + b
    t = s - a
    return s, (a - (s - t)) + (b - t)


def fast_two_sum(a: Any, b: Any) -> tuple[Any, Any]:
    """a + b as the rounded sum and what rounding took, for |a| >= |b|."""
    s = a + b
    return s, b - (s - a)


def two_product(a: Any, b: Any) -> tuple[Any, Any]:
    """a * b as the rounded product and what rounding took."""
    p = a * b
    return p, fma(a, b, -p)


def nearest(x: Any) -> Any:
    """The nearest whole number, of two the even one."""
    return rint(x)


def floor(x: Any) -> Any:
    """The largest whole number that is not above x, with the sign of x where it is 0."""
    y = rint(x)
    return copysign(y - ONE if y > x else y, x)


def ceil(x: Any) -> Any:
    """The smallest whole number that is not below x, with the sign of x where it is 0."""
    y = rint(x)
    return copysign(y + ONE if y < x else y, x)


def trunc(x: Any) -> Any:
    """The whole number towards 0, with the sign of x."""
    size = absolute(x)
    y = rint(size)
    return copysign(y - ONE if y > size else y, x)
