"""The polynomials of ``kernels/cpu/elementary/trigonometric.py``."""

from collections.abc import Callable
from typing import Any

import mpmath as mp
import numpy as np

from .interpolation import Fit

_NONE = mp.mpf(10) ** -30  # below it, functions of z take the limit's value


def beside_one(z: Any) -> Any:
    """The weight of z*p(z) beside 1: z, but not 0 anywhere."""
    return z + mp.mpf("0.002")


def sin_rest(z: Any) -> Any:
    """(r - sin(r)) / r**3 for z = r**2."""
    r = mp.sqrt(z)
    return (r - mp.sin(r)) / (r * z) if z > _NONE else mp.mpf(1) / 6


def cos_rest(z: Any) -> Any:
    """(cos(r) - 1 + r**2 / 2) / r**4 for z = r**2."""
    return (z / 2 - 2 * mp.sin(mp.sqrt(z) / 2) ** 2) / z**2 if z > _NONE else mp.mpf(1) / 24


def sinpi_rest(z: Any) -> Any:
    """(sin(pi*r) - pi*r) / r**3 for z = r**2."""
    r = mp.sqrt(z)
    return (mp.sinpi(r) - mp.pi * r) / (r * z) if z > _NONE else -(mp.pi**3) / 6


def cospi_rest(z: Any) -> Any:
    """(cos(pi*r) - 1) / r**2 for z = r**2."""
    return -2 * mp.sinpi(mp.sqrt(z) / 2) ** 2 / z if z > _NONE else -(mp.pi**2) / 2


def asin_rest(z: Any) -> Any:
    """(asin(x) - x) / x**3 for z = x**2."""
    x = mp.sqrt(z)
    return (mp.asin(x) - x) / (x * z) if z > _NONE else mp.mpf(1) / 6


def atan_rest(z: Any) -> Any:
    """(atan(x) - x) / x**3 for z = x**2."""
    x = mp.sqrt(z)
    return (mp.atan(x) - x) / (x * z) if z > _NONE else -mp.mpf(1) / 3


def tan_over(z: Any) -> Any:
    """tan(r) / r for z = r**2."""
    r = mp.sqrt(z)
    return mp.tan(r) / r if z > _NONE else mp.mpf(1)


def tan_below(above: int, below: int) -> Callable[[Any], Any]:
    """Give q of tan(r) / r = (1 - z*p(z)) / (1 - z*q(z)), with `above` coefficients in p and `below` in q.

    Multiplied out, that is linear in all coefficients, and is solved at Chebyshev nodes of which the lowest is 0, where
    there is no error anyway.
    """
    count = above + below
    *cosines, lowest = [mp.cos(mp.pi * (2 * i + 1) / (2 * count + 2)) for i in range(count + 1)]
    nodes = [_END * (cosine - lowest) / (1 - lowest) for cosine in cosines]
    rows, right = mp.matrix(count, count), mp.matrix(count, 1)
    for row, z in enumerate(nodes):
        for column in range(above):
            rows[row, column] = z ** (column + 1)
        for column in range(below):
            rows[row, above + column] = -tan_over(z) * z ** (column + 1)
        right[row] = 1 - tan_over(z)
    coefficients = list(mp.lu_solve(rows, right))[above:]
    return lambda z: mp.polyval(coefficients[::-1], z)


def tan_above(below: Callable[[Any], Any], degree: int, number: Any) -> Callable[[Any], Any]:
    """Give what p has to be for q of `degree` with its coefficients rounded."""
    nodes = [_END * i / degree for i in range(degree + 1)]
    rows = mp.matrix([[z**column for column in range(degree + 1)] for z in nodes])
    rounded = [mp.mpf(float(number(q))) for q in mp.lu_solve(rows, mp.matrix([below(z) for z in nodes]))]
    limit = rounded[0] - mp.mpf(1) / 3

    def needed(z: Any) -> Any:
        return (1 - tan_over(z) * (1 - z * mp.polyval(rounded[::-1], z))) / z if z > _NONE else limit

    return needed


_END = (mp.pi / 4 + mp.mpf("0.008")) ** 2  # float32's reduction leaves a little more than pi/4 of large arguments
_BELOW_32, _BELOW_64 = tan_below(2, 2), tan_below(4, 3)

FITS = {
    "SIN": Fit(sin_rest, 0, _END, {"float32": 2, "float64": 5}, beside_one),
    "COS": Fit(cos_rest, 0, _END, {"float32": 2, "float64": 5}),
    "TAN_BELOW:float32": Fit(_BELOW_32, 0, _END, {"float32": 1}),
    "TAN_ABOVE:float32": Fit(tan_above(_BELOW_32, 1, np.float32), 0, _END, {"float32": 1}, beside_one),
    "TAN_BELOW:float64": Fit(_BELOW_64, 0, _END, {"float64": 2}),
    "TAN_ABOVE:float64": Fit(tan_above(_BELOW_64, 2, np.float64), 0, _END, {"float64": 3}, beside_one),
    "SINPI": Fit(sinpi_rest, 0, mp.mpf(1) / 16, {"float32": 2, "float64": 5}, beside_one),
    "COSPI": Fit(cospi_rest, 0, mp.mpf(1) / 16, {"float32": 3, "float64": 6}, beside_one),
    "ASIN": Fit(asin_rest, 0, mp.mpf(1) / 4, {"float32": 4, "float64": 11}, beside_one),
    "ATAN": Fit(atan_rest, 0, 1, {"float32": 7, "float64": 18}, beside_one),
}
