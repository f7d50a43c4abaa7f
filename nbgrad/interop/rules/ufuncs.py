"""NumPy's ufuncs, and SciPy's."""

from __future__ import annotations

import math
import sys
from typing import Any

import numpy as np

from ...kernels.formula import NUMPY_NAMES, standing_for
from ...ops import elementwise as plain
from ...ops import linalg
from ...ops import reduction as reductions
from ...ops.arithmetic import BITS
from ...ops.shape import astype, unsqueeze
from ...registry import ENTRIES, LATER
from ...variable import data_of
from .operands import floating, operand


def _in_double(function: Any, kept: str) -> Any:
    """Give a function that computes in float64 whatever has not one of the `kept` dtypes, as NumPy's does."""

    def in_double(*xs: Any) -> Any:
        return function(*(x if type(x) in (int, float) or x.dtype.char in kept else astype(x, float) for x in xs))

    in_double.__name__ = function.__name__
    return in_double


def _fmod(x: Any, y: Any) -> Any:
    from ...ops.special import fmod

    return fmod(x, y)


def special(name: str) -> Any:
    """Give a function of `ops.special`, which is imported when it is called."""

    def function(*xs: Any) -> Any:
        from ...ops.special import applied

        return applied(name, *xs)

    function.__name__ = name
    return function


def vecdot(x: Any, y: Any) -> Any:
    """Sum the products along the last axis."""
    return reductions.sum(plain.mul(x, y), -1)


def _matvec(a: Any, x: Any) -> Any:
    return linalg.matmul(operand(a), unsqueeze(operand(x), -1))[..., 0]


def _vecmat(x: Any, a: Any) -> Any:
    return linalg.matmul(unsqueeze(operand(x), -2), operand(a))[..., 0, :]


def _scaled_by(factor: float) -> Any:
    def scaled(x: Any) -> Any:
        return plain.mul(x, factor)

    scaled.__name__ = "mul"
    return scaled


def _ignoring_nan(function: Any) -> Any:
    """Give np.fmax or np.fmin: NaN is taken only where there is nothing else."""

    def rule(x: Any, y: Any) -> Any:
        x, y = operand(x), operand(y)
        nan_x, nan_y = (v != v for v in (data_of(x), data_of(y)))
        return function(plain.where(nan_x, y, x), plain.where(nan_y, x, y))

    rule.__name__ = function.__name__
    return rule


def _modf(x: Any) -> Any:
    """Give the fraction, and the whole part, which has no gradient."""
    x = floating(x)
    whole = np.trunc(data_of(x))
    return plain.where(np.isinf(data_of(x)), np.copysign(0.0, data_of(x)).astype(x.dtype), x - whole), whole


def _frexp(x: Any) -> Any:
    """Give the mantissa, and the exponent, which has no gradient."""
    exponent = np.frexp(data_of(x))[1]
    return np.ldexp(x, -exponent), exponent


def _ldexp(x: Any, exponent: Any) -> Any:
    """Give x * 2**exponent, by two factors, of which none is out of range where the result is not."""
    exponent = operand(data_of(exponent))
    half = exponent // 2
    factors = [np.ldexp(np.ones((), x.dtype), e) for e in (half, exponent - half)]
    return x * factors[0] * factors[1]


def _nextafter(x: Any, y: Any) -> Any:
    """Step by an ulp, whose size has no gradient."""
    x = operand(x)
    return x + (np.nextafter(data_of(x), data_of(y)) - data_of(x))


def _divmod(x: Any, y: Any) -> Any:
    return plain.floor_divide(x, y), plain.remainder(x, y)


def _of_our_names() -> dict[np.ufunc, Any]:
    """Give the operations that have the names of NumPy's ufuncs, or ours for these."""
    found: dict[np.ufunc, Any] = {}
    for name, ours in (dict(zip(ENTRIES, ENTRIES, strict=True)) | NUMPY_NAMES).items():
        ufunc = vars(np).get(name)
        if isinstance(ufunc, np.ufunc) and ours in ENTRIES and ours not in LATER:
            found[ufunc] = ENTRIES[ours].function
    return found


#: What stands behind NumPy's ufuncs: operations of their names, for most.
UFUNCS: dict[np.ufunc, Any] = {
    **_of_our_names(),
    **{np.bitwise_and: BITS["and"], np.bitwise_or: BITS["or"], np.bitwise_xor: BITS["xor"], np.invert: BITS["invert"]},
    np.fabs: _in_double(plain.abs, "efd"),
    np.float_power: _in_double(plain.pow, "d"),
    np.conjugate: plain.positive,
    np.vecdot: vecdot,
    np.matvec: _matvec,
    np.vecmat: _vecmat,
    **{f: _scaled_by(math.pi / 180) for f in (np.deg2rad, np.radians)},
    **{f: _scaled_by(180 / math.pi) for f in (np.rad2deg, np.degrees)},
    np.fmax: _ignoring_nan(plain.maximum),
    np.fmin: _ignoring_nan(plain.minimum),
    np.modf: _modf,
    np.frexp: _frexp,
    np.ldexp: _ldexp,
    np.divmod: _divmod,
    np.nextafter: _nextafter,
    **{getattr(np, name): special(name) for name in ("copysign", "heaviside", "logaddexp2")},
    np.fmod: _fmod,
}


def function_for(ufunc: np.ufunc) -> Any:
    """Give the function that stands behind a ufunc, None where there is none."""
    function = UFUNCS.get(ufunc)
    if function is not None:
        return function
    name = standing_for(ufunc)  # SciPy's are found late
    function = plain.TABLE.get(name or "")
    if function is None and name is not None and "scipy.special" in sys.modules:
        from ...ops.special import function_of

        function = function_of(ufunc.__name__) if getattr(np, ufunc.__name__, None) is not ufunc else None
    return function
