"""How quantiles of gamma and beta distributions move with a parameter, by quadrature, for gradients of any order.

The quantile x of a share u has dx/da = -dF(x)/da / f(x), which is an integral over all that lies below x, or above it,
whichever tail ends sooner: between the two the integral of f(t) * d(log f(t))/da is 0. Tails decay exponentially, with
powers near x, and so the nodes are those of Takahasi and Mori (Double exponential formulas for numerical integration,
1974), of which 48 leave relative errors below 1e-11 for parameters from 0.01 to 10,000. They are an axis behind the
others.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..arrays import is_stand_in
from ..kernels import dispatch
from ..kernels.shapes import broadcast_shapes
from ..variable import data_of
from .elementwise import add, clamp, digamma, div, exp, expm1, log, log1p, lt, mul, neg, sqrt, square, sub, where
from .indexing import getitem
from .joining import cat
from .reduction import sum
from .shape import broadcast_to, reshape, unsqueeze

_STEPS, _STEP = np.linspace(-3.2, 3.6, 48, retstep=True)
_NODES = np.exp(_STEPS - np.exp(-_STEPS))
_WEIGHTS = _NODES * (1 + np.exp(-_STEPS)) * _STEP

#: So many elements are integrated at once, where they are there to be parted.
_PIECE = 1 << 15


def _width(slope: Any, curvature: Any) -> Any:
    """Give where slope * v + curvature * v**2 / 2 is 1."""
    return div(2.0, add(slope, sqrt(add(square(slope), mul(curvature, 2.0)))))


def _inner(*xs: Any) -> list[Any]:
    return [unsqueeze(x, x.ndim) for x in xs]


def _integral(width: Any, integrand: Any) -> Any:
    """Integrate from 0 to infinity what decays over about a width, given as a function of nodes."""
    nodes, weights = (dispatch.beside(a.astype(width.dtype), data_of(width)) for a in (_NODES, _WEIGHTS))
    return mul(width, sum(mul(integrand(mul(unsqueeze(width, width.ndim), nodes)), weights), -1))


def _in_pieces(function: Any, *xs: Any) -> Any:
    """Apply a function of elements to arrays that broadcast, a piece at a time if they are large."""
    shape = broadcast_shapes(*[x.shape for x in xs])
    size = math.prod(shape)
    if size <= _PIECE or any(is_stand_in(data_of(x)) for x in xs):
        return function(*xs)
    flat = [reshape(broadcast_to(x, shape), (size,)) for x in xs]
    parts = [function(*[getitem(x, slice(i, i + _PIECE)) for x in flat]) for i in range(0, size, _PIECE)]
    return reshape(cat(parts), shape)


def _at_least_tiny(x: Any) -> Any:
    return clamp(x, min=float(np.finfo(x.dtype).tiny))


def gamma_slope(a: Any, x: Any) -> Any:
    """Give dx/da of the quantile x of a gamma distribution of shape a and rate 1, elementwise, in one dtype.

    Below the mode t is x * exp(-v), above it x + v, and the density over that at x is the exponential of the exponent.
    """

    def slope(a: Any, x: Any) -> Any:
        low, above = lt(x, a), clamp(sub(a, 1.0), min=0.0)
        width = _width(where(low, sub(a, x), sub(1.0, div(above, x))), where(low, x, div(div(above, x), x)))
        width = where(lt(width, 1.0), width, where(low, div(add(x, 1.0), a), width))
        lows, shapes, places, scores = _inner(low, a, x, sub(log(x), digamma(a)))

        def integrand(v: Any) -> Any:
            logs = where(lows, neg(v), log1p(div(v, places)))
            below, beyond = sub(mul(shapes, logs), mul(places, expm1(logs))), sub(mul(sub(shapes, 1.0), logs), v)
            return mul(exp(where(lows, below, beyond)), add(scores, logs))

        return mul(where(low, neg(x), 1.0), _integral(width, integrand))

    return _in_pieces(slope, a, _at_least_tiny(x))


def beta_slope(x: Any, rest: Any, a: Any, b: Any) -> Any:
    """Give dx/da / (1 - x) of the quantile x of a beta distribution of a and b, elementwise, in one dtype.

    The rest is 1 - x, which may be small. Below the mode t is x * exp(-v), above it 1 - t is (1 - x) * exp(-v).
    """

    def slope(x: Any, rest: Any, a: Any, b: Any) -> Any:
        low = lt(mul(x, add(a, b)), a)
        near, far, power, other = where(low, x, rest), where(low, rest, x), where(low, a, b), where(low, b, a)
        above, ratio = clamp(sub(other, 1.0), min=0.0), div(near, far)
        width = _width(sub(power, mul(above, ratio)), div(mul(above, ratio), far))
        width = where(lt(width, 1.0), width, div(sub(1.0, mul(above, log(far))), power))
        logarithm = where(lt(x, 0.5), log(x), log1p(neg(rest)))
        score = add(sub(logarithm, digamma(a)), digamma(add(a, b)))
        lows, ratios, powers, others, scores = _inner(low, ratio, power, sub(other, 1.0), score)

        def integrand(v: Any) -> Any:
            logs = log1p(mul(neg(ratios), expm1(neg(v))))
            return mul(exp(sub(mul(others, logs), mul(powers, v))), add(scores, where(lows, neg(v), logs)))

        return mul(where(low, neg(div(x, rest)), 1.0), _integral(width, integrand))

    return _in_pieces(slope, _at_least_tiny(x), _at_least_tiny(rest), a, b)
