"""The derivatives of distribution functions, which are shares, and of their quantiles, as SciPy names them.

By where a share ends its derivative is the density there; by a parameter it is, with the other sign, the density times
how the quantile moves, which `quantiles` integrates.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..arrays import as_array
from ..variable import data_of
from .by_scipy import functions as _f
from .elementwise import add, clamp, div, exp, log, mul, neg, reciprocal, sign, sqrt, square, sub, where
from .quantiles import beta_slope, gamma_slope


def _power_exp(a: Any, x: Any) -> Any:
    """Give x**(a - 1) * exp(-x) / gamma(a), the density of the gamma distribution."""
    return exp(sub(sub(_f.xlogy(sub(a, 1), x), x), _f.gammaln(a)))


def _beta_density(a: Any, b: Any, x: Any, rest: Any) -> Any:
    """Give x**(a - 1) * rest**(b - 1) / beta(a, b), the density of the beta distribution where x + rest is 1."""
    return exp(sub(add(_f.xlogy(sub(a, 1), x), _f.xlogy(sub(b, 1), rest)), _f.betaln(a, b)))


def _t_density(df: Any, t: Any) -> Any:
    scale = sub(_f.gammaln(mul(add(df, 1), 0.5)), _f.gammaln(mul(df, 0.5)))
    power = mul(mul(add(df, 1), -0.5), log(add(div(square(t), df), 1)))
    return div(exp(add(scale, power)), sqrt(mul(df, math.pi)))


def _f_shares(n: Any, d: Any, x: Any) -> tuple[Any, ...]:
    """Give parameters, place and rest of the beta distribution that has the F distribution's shares, and d + n*x."""
    whole = add(d, mul(n, x))
    return mul(n, 0.5), mul(d, 0.5), div(mul(n, x), whole), div(d, whole), whole


def _f_density(n: Any, d: Any, x: Any) -> Any:
    *shares, whole = _f_shares(n, d, x)
    return mul(_beta_density(*shares), div(mul(n, d), square(whole)))


def _tukey_density(y: Any, p: Any) -> Any:
    """Give the density of Tukey's lambda distribution from its distribution function, 0 where that has ended."""
    ended = as_array((data_of(y) <= 0) | (data_of(y) >= 1))
    y = where(ended, 0.5, y)
    slope = add(exp(_f.xlogy(sub(p, 1), y)), exp(_f.xlog1py(sub(p, 1), neg(y))))
    return where(ended, 0.0, reciprocal(slope))


def _gamma_moves(a: Any, x: Any) -> Any:
    """Give the density of the gamma distribution times how its quantile x moves with a."""
    return mul(_power_exp(a, x), gamma_slope(a, x))


def _chi_moves(v: Any, x: Any, factor: float) -> Any:
    return mul(_gamma_moves(mul(v, 0.5), mul(x, 0.5)), factor)


def _beta_moves(a: Any, b: Any, x: Any, rest: Any) -> Any:
    """Give the density of the beta distribution times how its quantile x moves with a, nothing at 0 and 1."""
    x = clamp(x, min=float(np.finfo(x.dtype).tiny))  # whose power may be infinite at 0
    return mul(_beta_density(a, add(b, 1), x, rest), mul(div(b, add(a, b)), beta_slope(x, rest, a, b)))


def _t_moves(df: Any, t: Any) -> Any:
    """Give the derivative by df of the share below t, by that of the beta distribution below df / (df + t**2)."""
    whole, shape, half = add(df, square(t)), mul(df, 0.5), add(mul(df, 0.0), 0.5)
    x, rest = div(df, whole), div(square(t), whole)
    placed = div(_beta_density(shape, add(half, 1), x, rest), mul(add(df, 1), whole))
    return mul(sign(t), sub(mul(_beta_moves(shape, half, x, rest), 0.25), mul(placed, 0.5)))


def _f_moves(n: Any, d: Any, x: Any, which: int) -> Any:
    """Give the derivative of the F distribution's share below x by n or d."""
    a, b, share, rest, whole = _f_shares(n, d, x)
    slope = mul(_beta_density(a, b, share, rest), div(x, square(whole)))
    if which == 0:
        return sub(mul(slope, d), mul(_beta_moves(a, b, share, rest), 0.5))
    return sub(mul(_beta_moves(b, a, rest, share), 0.5), mul(slope, n))


#: How quantiles move, the same whichever side of them a share lies on.
_BETA_QUANTILE = (
    lambda y, a, b, p: mul(beta_slope(y, sub(1, y), a, b), sub(1, y)),
    lambda y, a, b, p: neg(mul(beta_slope(sub(1, y), y, b, a), y)),
)


SHARES: dict[str, Any] = {
    "gammainc": (lambda y, a, x: neg(_gamma_moves(a, x)), lambda y, a, x: _power_exp(a, x)),
    "gammaincc": (lambda y, a, x: _gamma_moves(a, x), lambda y, a, x: neg(_power_exp(a, x))),
    "gammaincinv": (lambda y, a, p: gamma_slope(a, y), lambda y, a, p: reciprocal(_power_exp(a, y))),
    "gammainccinv": (lambda y, a, p: gamma_slope(a, y), lambda y, a, p: neg(reciprocal(_power_exp(a, y)))),
    "betainc": (
        lambda y, a, b, x: neg(_beta_moves(a, b, x, sub(1, x))),
        lambda y, a, b, x: _beta_moves(b, a, sub(1, x), x),
        lambda y, a, b, x: _beta_density(a, b, x, sub(1, x)),
    ),
    "betaincc": (
        lambda y, a, b, x: _beta_moves(a, b, x, sub(1, x)),
        lambda y, a, b, x: neg(_beta_moves(b, a, sub(1, x), x)),
        lambda y, a, b, x: neg(_beta_density(a, b, x, sub(1, x))),
    ),
    "betaincinv": (*_BETA_QUANTILE, lambda y, a, b, p: reciprocal(_beta_density(a, b, y, sub(1, y)))),
    "betainccinv": (*_BETA_QUANTILE, lambda y, a, b, p: neg(reciprocal(_beta_density(a, b, y, sub(1, y))))),
    "log_ndtr": (lambda y, x: exp(sub(mul(square(x), -0.5), add(y, 0.5 * math.log(2 * math.pi)))),),
    "ndtri": (lambda y, p: mul(exp(mul(square(y), 0.5)), math.sqrt(2 * math.pi)),),
    "ndtri_exp": (lambda y, x: mul(exp(add(mul(square(y), 0.5), x)), math.sqrt(2 * math.pi)),),
    "chdtr": (lambda y, v, x: _chi_moves(v, x, -0.5), lambda y, v, x: mul(_power_exp(mul(v, 0.5), mul(x, 0.5)), 0.5)),
    "chdtrc": (lambda y, v, x: _chi_moves(v, x, 0.5), lambda y, v, x: mul(_power_exp(mul(v, 0.5), mul(x, 0.5)), -0.5)),
    "chdtri": (
        lambda y, v, p: gamma_slope(mul(v, 0.5), mul(y, 0.5)),
        lambda y, v, p: div(-2.0, _power_exp(mul(v, 0.5), mul(y, 0.5))),
    ),
    "gdtr": (
        lambda y, a, b, x: mul(x, _power_exp(b, mul(a, x))),
        lambda y, a, b, x: neg(_gamma_moves(b, mul(a, x))),
        lambda y, a, b, x: mul(a, _power_exp(b, mul(a, x))),
    ),
    "gdtrc": (
        lambda y, a, b, x: neg(mul(x, _power_exp(b, mul(a, x)))),
        lambda y, a, b, x: _gamma_moves(b, mul(a, x)),
        lambda y, a, b, x: neg(mul(a, _power_exp(b, mul(a, x)))),
    ),
    "pdtr": (None, lambda y, k, m: neg(_power_exp(add(k, 1), m))),
    "pdtrc": (None, lambda y, k, m: _power_exp(add(k, 1), m)),
    "stdtr": (lambda y, df, t: _t_moves(df, t), lambda y, df, t: _t_density(df, t)),
    "stdtrit": (
        lambda y, df, p: neg(div(_t_moves(df, y), _t_density(df, y))),
        lambda y, df, p: reciprocal(_t_density(df, y)),
    ),
    "fdtr": (
        lambda y, n, d, x: _f_moves(n, d, x, 0),
        lambda y, n, d, x: _f_moves(n, d, x, 1),
        lambda y, n, d, x: _f_density(n, d, x),
    ),
    "fdtrc": (
        lambda y, n, d, x: neg(_f_moves(n, d, x, 0)),
        lambda y, n, d, x: neg(_f_moves(n, d, x, 1)),
        lambda y, n, d, x: neg(_f_density(n, d, x)),
    ),
    "fdtri": (
        lambda y, n, d, p: neg(div(_f_moves(n, d, y, 0), _f_density(n, d, y))),
        lambda y, n, d, p: neg(div(_f_moves(n, d, y, 1), _f_density(n, d, y))),
        lambda y, n, d, p: reciprocal(_f_density(n, d, y)),
    ),
    "bdtr": (None, None, lambda y, k, n, p: neg(_beta_density(add(k, 1), sub(n, k), p, sub(1, p)))),
    "bdtrc": (None, None, lambda y, k, n, p: _beta_density(add(k, 1), sub(n, k), p, sub(1, p))),
    "nbdtr": (None, None, lambda y, k, n, p: _beta_density(n, add(k, 1), p, sub(1, p))),
    "nbdtrc": (None, None, lambda y, k, n, p: neg(_beta_density(n, add(k, 1), p, sub(1, p)))),
    "bdtri": (None, None, lambda y, k, n, q: neg(reciprocal(_beta_density(add(k, 1), sub(n, k), y, sub(1, y))))),
    "nbdtri": (None, None, lambda y, k, n, q: reciprocal(_beta_density(n, add(k, 1), y, sub(1, y)))),
    "pdtri": (None, lambda y, k, q: neg(reciprocal(_power_exp(add(k, 1), y)))),
    "gdtrix": (
        lambda y, a, b, p: neg(div(y, a)),
        lambda y, a, b, p: div(gamma_slope(b, mul(a, y)), a),
        lambda y, a, b, p: reciprocal(mul(a, _power_exp(b, mul(a, y)))),
    ),
    "gdtria": (
        lambda y, p, b, x: reciprocal(mul(x, _power_exp(b, mul(y, x)))),
        lambda y, p, b, x: div(gamma_slope(b, mul(y, x)), x),
        lambda y, p, b, x: neg(div(y, x)),
    ),
    "chndtr": (
        lambda y, x, k, c: mul(sub(_f.chndtr(x, sub(k, 2), c), y), 0.5),
        None,
        lambda y, x, k, c: mul(sub(_f.chndtr(x, add(k, 2), c), y), 0.5),
    ),
    "chndtrix": (lambda y, p, k, c: div(2.0, sub(_f.chndtr(y, sub(k, 2), c), p)), None, None),
    "nrdtrimn": (
        lambda y, p, s, x: mul(neg(s), mul(exp(mul(square(_f.ndtri(p)), 0.5)), math.sqrt(2 * math.pi))),
        lambda y, p, s, x: neg(_f.ndtri(p)),
        lambda y, p, s, x: add(mul(y, 0.0), 1),
    ),
    "nrdtrisd": (
        lambda y, m, p, x: neg(reciprocal(_f.ndtri(p))),
        lambda y, m, p, x: neg(
            mul(div(y, _f.ndtri(p)), mul(exp(mul(square(_f.ndtri(p)), 0.5)), math.sqrt(2 * math.pi)))
        ),
        lambda y, m, p, x: reciprocal(_f.ndtri(p)),
    ),
    "tklmbda": (lambda y, x, p: _tukey_density(y, p), None),
}  # fmt: skip
