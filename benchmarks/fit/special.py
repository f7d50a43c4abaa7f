"""The polynomials of ``kernels/cpu/elementary/special.py``."""

from typing import Any

import mpmath as mp
import numpy as np

from .exponential import exp2_rest
from .interpolation import Fit, Known, Split

_TINY = mp.mpf(10) ** -25


def _relative(function: Any) -> Any:
    """Weigh errors so that those relative to the function count."""
    return lambda x: 1 / abs(function(x))


def _alike(x: Any) -> Any:
    """Weigh all errors alike."""
    return mp.mpf(1)


def erf_rest(z: Any) -> Any:
    """(erf(x) - x) / x for z = x**2."""
    x = mp.sqrt(z)
    return mp.erf(x) / x - 1 if x > _TINY else 2 / mp.sqrt(mp.pi) - 1


def erf_weight(z: Any) -> Any:
    """For errors relative to erf(x)."""
    return 1 / (1 + erf_rest(z))


def erfc_exponent(x: Any) -> Any:
    """The logarithm of erfc(x) to the base of 2."""
    return mp.log(mp.erfc(x), 2)


def erfc_factor(x: Any, middle: Any) -> Any:
    """erfc(x) * exp(x*x) * (x + middle)."""
    return mp.erfc(x) * mp.exp(x * x) * (x + middle)


def erfc_fits(kind: str, degree: int, *places: Any) -> dict[str, Fit | Split]:
    """Fit erfc's factor from a low to a high x, in terms of t = (x - middle) / (x + middle): the value at 0, and more.

    What there is more is divided by t.
    """
    middle, low, high = map(mp.mpf, places)
    centre = erfc_factor(middle, middle)

    def factor(t: Any) -> Any:
        return erfc_factor(middle * (1 + t) / (1 - t), middle)

    def rest(t: Any) -> Any:
        return (factor(t) - centre) / t if abs(t) > _TINY else mp.diff(factor, 0)

    def weight(t: Any) -> Any:
        return abs(t / factor(t)) + mp.mpf(10) ** -3

    low, high = ((x - middle) / (x + middle) for x in (low, high))
    return {
        f"ERFC_CENTRE:{kind}": Split(centre, {kind: 0}),
        f"ERFC_FAR:{kind}": Fit(rest, low, high, {kind: degree}, weight),
    }


def normal_tail(t: Any) -> Any:
    """(1 - ndtr(x)) * exp(x*x/2) * (x + 4) for t = x / (x + 4)."""
    x = 4 * t / (1 - t)
    return mp.erfc(x / mp.sqrt(2)) / 2 * mp.exp(x * x / 2) * (x + 4)


def normal_tail_rest(t: Any) -> Any:
    """What that has beyond its value at 0, divided by t."""
    return (normal_tail(t) - 2) / t if abs(t) > _TINY else mp.diff(normal_tail, 0)


def normal_tail_weight(t: Any) -> Any:
    """For errors relative to it."""
    return abs(t / normal_tail(t)) + mp.mpf(10) ** -3


def erfinv_factor(w: Any) -> Any:
    """erfinv(x) / x for w = -log(1 - x**2)."""
    x = mp.sqrt(-mp.expm1(-w))
    return mp.erfinv(x) / x if x > _TINY else mp.sqrt(mp.pi) / 2


def erfinv_rest(centre: Any) -> Any:
    """Give what the factor for w = (t + centre)**2 has beyond its value at t = 0, divided by t, and the weight.

    At centre 0 it is for w = t.
    """

    def factor(t: Any) -> Any:
        return erfinv_factor((t + centre) ** 2 if centre else t)

    def rest(t: Any) -> Any:
        return (factor(t) - factor(0)) / t if abs(t) > _TINY else mp.diff(factor, mp.mpf(10) ** -15)

    return rest, lambda t: abs(t / erfinv_factor((t + centre) ** 2 if centre else t)) + mp.mpf(10) ** -3


def erfinv_fits(kind: str, degree: int, *bounds: Any) -> dict[str, Fit | Known]:
    """Fit erfinv for w up to the first bound, and for sqrt(w) less a centre up to the second, and to the third."""
    number = np.dtype(kind).type

    def lost(centre: float) -> Any:
        value = erfinv_factor(mp.mpf(centre) ** 2)
        return abs(mp.mpf(float(number(value))) - value)

    near, middle, far = map(mp.mpf, bounds)
    # centres where the factor is nearly a number, and nothing lost by rounding it
    halves = (mp.sqrt(near) + middle) / 2, (middle + far) / 2
    centres = [min((int(half * 1024 + i) / 1024 for i in range(-64, 64)), key=lost) for half in halves]
    fits: dict[str, Fit | Known] = {
        f"ERFINV_CENTRES:{kind}": Known([*centres, *(erfinv_factor(mp.mpf(c) ** 2) for c in centres)], {kind: 3})
    }
    for name, centre, low, high in (
        ("NEAR", 0, 0, near),
        ("MIDDLE", centres[0], mp.sqrt(near) - centres[0], middle - centres[0]),
        ("FAR", centres[1], middle - centres[1], far - centres[1]),
    ):
        rest, weight = erfinv_rest(centre)
        fits[f"ERFINV_{name}:{kind}"] = Fit(rest, low, high, {kind: degree}, weight)
    return fits


def erfinv_slope(s: Any) -> Any:
    """The derivative of the factor by w, for s = sqrt(w)."""
    return mp.diff(erfinv_factor, s**2)


def lgamma_rest(y: Any) -> Any:
    """(log(gamma(2 + y)) / y - psi(2)) / y."""
    return (mp.loggamma(2 + y) / y - mp.psi(0, 2)) / y if abs(y) > mp.mpf(10) ** -20 else mp.psi(1, 2) / 2


def lgamma_weight(y: Any) -> Any:
    """For errors relative to log(gamma(2 + y))."""
    return abs(y / (mp.psi(0, 2) + y * lgamma_rest(y))) + mp.mpf(10) ** -3


def stirling_rest(u: Any) -> Any:
    """What log(gamma(x)) has beyond (x - 1/2)*log(x) - x + log(2*pi)/2, times x, for u = 1 / x**2."""
    if u < mp.mpf(10) ** -12:
        return mp.mpf(1) / 12 - u / 360
    x = 1 / mp.sqrt(u)
    return x * (mp.loggamma(x) - (x - mp.mpf(1) / 2) * mp.log(x) + x - mp.log(2 * mp.pi) / 2)


def stirling_weight(u: Any) -> Any:
    """For errors relative to log(gamma(x))."""
    return mp.sqrt(u) / mp.loggamma(1 / mp.sqrt(u)) if u > mp.mpf(10) ** -12 else mp.mpf(10) ** -9


def sine_rest(u: Any) -> Any:
    """sin(pi*x) / (pi*x) for u = x**2."""
    return mp.sincpi(mp.sqrt(u))


_ZERO = mp.findroot(mp.digamma, 1.46)


def digamma_rest(x: Any) -> Any:
    """digamma(x) / (x - z) * x*(x + 1)*(x + 2) with the zero z of digamma."""
    if abs(x) < _TINY:
        return 2 / _ZERO
    if abs(x - _ZERO) < _TINY:
        return mp.psi(1, _ZERO) * x * (x + 1) * (x + 2)
    return mp.digamma(x) / (x - _ZERO) * x * (x + 1) * (x + 2)


def digamma_series(u: Any) -> Any:
    """(log(x) - 1 / (2*x) - digamma(x)) * x**2 for u = 1 / x**2."""
    if u < mp.mpf(10) ** -12:
        return mp.mpf(1) / 12 - u / 120
    x = 1 / mp.sqrt(u)
    return (mp.log(x) - 1 / (2 * x) - mp.digamma(x)) * x**2


def digamma_weight(u: Any) -> Any:
    """For errors relative to digamma(x)."""
    return u / mp.digamma(1 / mp.sqrt(u)) if u > mp.mpf(10) ** -6 else mp.mpf(10) ** -7


def cotangent_rest(u: Any) -> Any:
    """pi * x * cot(pi*x) / (1 - (2*x)**2) for u = x**2."""
    x = mp.sqrt(u)
    return mp.cospi(x) / mp.sincpi(x) / (1 - 4 * u) if u < mp.mpf("0.25") else mp.pi**2 / 8


FITS: dict[str, Fit | Known | Split] = {
    "ERF_EXP2": Fit(exp2_rest, -0.5, 0.5, {"float32": 4, "float64": 9}, _alike),
    "ERF:64": Fit(erf_rest, 0, "1.5625", {"float64": 15}, erf_weight),
    "ERF:32": Fit(erf_rest, 0, "1.01", {"float32": 6}, erf_weight),
    "ERF_EXPONENT:64": Fit(erfc_exponent, "1.25", "5.95", {"float64": 15}, mp.erfc),
    "ERF_EXPONENT:32": Fit(erfc_exponent, "1", "4", {"float32": 6}, mp.erfc),
    "ERFC_NEAR": Fit(erf_rest, 0, "0.64", {"float32": 5, "float64": 10}, erf_weight),
    **erfc_fits("float64", 19, "3.75", "0.8", "27.3"),
    **erfc_fits("float32", 7, "2.5", "0.8", "10.2"),
    "NORMAL_TAIL:64": Fit(normal_tail_rest, 0, "0.9064", {"float64": 21}, normal_tail_weight),
    "NORMAL_TAIL:32": Fit(normal_tail_rest, 0, "0.784", {"float32": 8}, normal_tail_weight),
    "ERFINV_AT_0": Split(mp.sqrt(mp.pi) / 2, {"float32": 0, "float64": 0}),
    "ERFINV_SLOPE": Fit(erfinv_slope, "0.1", 6, {"float32": 1, "float64": 1}, _relative(erfinv_slope)),
    **erfinv_fits("float64", 20, "4.5", "3.7", "6.004"),
    **erfinv_fits("float32", 7, 3, "2.75", "3.9942"),
    "LGAMMA": Fit(lgamma_rest, "-0.5", "0.5", {"float32": 7, "float64": 17}, lgamma_weight),
    "LGAMMA_AT_2": Split(mp.psi(0, 2), {"float32": 0, "float64": 0}),
    "STIRLING": Fit(stirling_rest, 0, 1 / mp.mpf("3.5") ** 2, {"float32": 2, "float64": 8}, stirling_weight),
    "SINE_OF_HALF_TURNS": Fit(sine_rest, 0, "0.25", {"float32": 4, "float64": 8}, _relative(sine_rest)),
    "DIGAMMA_ZERO": Split(_ZERO, {"float32": 0, "float64": 0}),
    "DIGAMMA": Fit(digamma_rest, "-0.25", 3, {"float32": 10, "float64": 22}, _relative(digamma_rest)),
    "DIGAMMA_SERIES": Fit(digamma_series, 0, mp.mpf(1) / 9, {"float32": 2, "float64": 10}, digamma_weight),
    "COTANGENT": Fit(cotangent_rest, 0, "0.25", {"float32": 7, "float64": 15}, _relative(cotangent_rest)),
    "EULER_MACLAURIN": Known(
        [mp.bernoulli(2 * j) / mp.factorial(2 * j) for j in range(1, 11)], {"float32": 9, "float64": 9}
    ),
}
