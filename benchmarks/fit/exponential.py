"""The polynomials of exponentials and logarithms."""

from typing import Any

import mpmath as mp

from .interpolation import Fit, Split

_TINY = mp.mpf(10) ** -20


def exp_rest(r: Any) -> Any:
    """(exp(r) - 1 - r) / r**2."""
    return (mp.expm1(r) - r) / r**2 if abs(r) > _TINY else mp.mpf(1) / 2


def exp2_rest(r: Any) -> Any:
    """(2**r - 1) / r."""
    return mp.expm1(r * mp.log(2)) / r if abs(r) > _TINY else mp.log(2)


def log_rest(z: Any) -> Any:
    """(log((1 + s) / (1 - s)) - 2*s) / s**3 for z = s**2."""
    s = mp.sqrt(z)
    return (2 * mp.atanh(s) - 2 * s) / (s * z) if s > mp.mpf(10) ** -10 else mp.mpf(2) / 3


def log2_rest(z: Any) -> Any:
    """(log2((1 + s) / (1 - s)) - (2*s + 2/3*s**3)/log(2)) / s**5 for z = s**2."""
    return (log_rest(z) - mp.mpf(2) / 3) / z / mp.log(2) if z > _TINY else mp.mpf(2) / 5 / mp.log(2)


_HALF = mp.log(2) / 2
_WIDEST = (mp.sqrt(2) - 1) / (mp.sqrt(2) + 1)

FITS: dict[str, Fit | Split] = {
    "EXP": Fit(exp_rest, -_HALF, _HALF, {"float32": 5, "float64": 10}),
    "EXP2": Fit(exp2_rest, -0.5, 0.5, {"float32": 5, "float64": 11}),
    "LOG": Fit(log_rest, 0, _WIDEST**2 * mp.mpf("1.001"), {"float32": 2, "float64": 6}),
    "LOG_UNIT": Fit(log_rest, 0, mp.mpf(1) / 9, {"float32": 5, "float64": 10}),
    "LOG2_REST": Fit(log2_rest, 0, _WIDEST**2 * mp.mpf("1.001"), {"float32": 2, "float64": 6}),
    "LOG2_LINEAR": Split(2 / mp.log(2), {"float32": 0, "float64": 0}),
    "LOG2_CUBIC": Split(2 / mp.log(2) / 3, {"float32": 0, "float64": 0}),
    "LN_2": Split(mp.log(2), {"float32": 9, "float64": 12}),
    "LOG2_E": Split(1 / mp.log(2), {"float32": 0, "float64": 0}),
    "LOG10_E": Split(1 / mp.log(10), {"float32": 0, "float64": 0}),
    "LOG10_2": Split(mp.log(2) / mp.log(10), {"float32": 9, "float64": 12}),
}
