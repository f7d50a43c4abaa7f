"""The polynomials of ``kernels/cpu/elementary/hyperbolic.py``."""

from typing import Any

import mpmath as mp

from .interpolation import Fit, Split

_TINY = mp.mpf(10) ** -10


def sinh_rest(z: Any) -> Any:
    """(sinh(x) - x) / x**3 for z = x**2."""
    x = mp.sqrt(z)
    return (mp.sinh(x) - x) / (x * z) if x > _TINY else mp.mpf(1) / 6


def cosh_rest(z: Any) -> Any:
    """(cosh(x) - 1) / x**2 for z = x**2."""
    return (mp.cosh(mp.sqrt(z)) - 1) / z if z > _TINY**2 else mp.mpf(1) / 2


def tanh_rest(z: Any) -> Any:
    """(tanh(x) - x) / x**3 for z = x**2."""
    x = mp.sqrt(z)
    return (mp.tanh(x) - x) / (x * z) if x > _TINY else -mp.mpf(1) / 3


def asinh_rest(z: Any) -> Any:
    """(asinh(x) - x) / x**3 for z = x**2."""
    x = mp.sqrt(z)
    return (mp.asinh(x) - x) / (x * z) if x > _TINY else -mp.mpf(1) / 6


_HALF = mp.log(2) / 2

FITS: dict[str, Fit | Split] = {
    "SINH": Fit(sinh_rest, 0, _HALF**2, {"float32": 2, "float64": 4}),
    "COSH": Fit(cosh_rest, 0, _HALF**2, {"float32": 2, "float64": 5}),
    "TANH": Fit(tanh_rest, 0, 1, {"float32": 8, "float64": 15}),
    "ASINH": Fit(asinh_rest, 0, mp.mpf("0.525") ** 2, {"float32": 5, "float64": 13}),
}
