"""The polynomials of ``kernels/cpu/elementary/roots.py``."""

from typing import Any

import mpmath as mp
import numpy as np

from .interpolation import Fit, Split


def start_error(offset: float) -> float:
    """Give the largest |1 - x*t**3| where t has the bits of x over -3, plus `offset` in units of the exponent."""
    x = np.linspace(1, 8, 100_001)
    exponent = np.floor(np.log2(x))
    ordinal = offset - (exponent + x / 2**exponent - 1) / 3
    t = (1 + ordinal - np.floor(ordinal)) * 2 ** np.floor(ordinal)
    return float(np.abs(1 - x * t**3).max())


#: As in the constants of the functions: the least error, by trying offsets in steps of 0.001.
_OFFSET = -0.068
_ERROR = mp.mpf(start_error(_OFFSET)) * mp.mpf("1.01")


def cube_root_rest(r: Any) -> Any:
    """((1 - r)**(-1/3) - 1) / r."""
    return ((1 - r) ** (-mp.mpf(1) / 3) - 1) / r if abs(r) > mp.mpf(10) ** -20 else mp.mpf(1) / 3


FITS: dict[str, Fit | Split] = {"CBRT": Fit(cube_root_rest, -_ERROR, _ERROR, {"float32": 2, "float64": 6})}
