"""Scalar functions that are asked for seldom: declared as those of `scalars`, when the first of them is.

Those of NumPy and SciPy, in their names; where a product meets 0 times infinity they have 0, as SciPy does.
"""

from __future__ import annotations

import math
from functools import cache as once
from typing import Any

from . import formula
from .formula import ScalarFunction
from .scalars import (
    _share,
    _slope,
    abs,
    cospi,
    erfc,
    exp2,
    floor_divide,
    log,
    log1p,
    maximum,
    pow,
    remainder,
    sign,
    sin,
    sinpi,
    softplus,
    where,
)  # fmt: skip

#: The functions by name.
TABLE: dict[str, ScalarFunction] = {}


def _declare(name: str, compute: Any, *partials: Any, **options: Any) -> ScalarFunction:
    function = TABLE[name] = ScalarFunction(name, compute, *partials, **options)
    return function


# ---- x log y and its like -------------------------------------------------------------------------------------------

# x / y, and 0 for 0 / 0, whose derivatives are those of the quotient all the same
_ratio: ScalarFunction = _slope(
    "ratio", lambda x, y: where((x == 0) & (y == 0), 0, x / y), lambda z, x, y: 1 / y, lambda z, x, y: -z / y
)
xlogy = _declare(
    "xlogy",
    lambda x, y: where((x == 0) & (y == y), 0, x * log(y)),
    lambda z, x, y: where((x == 0) & (y <= 0), 0, log(y)),
    lambda z, x, y: _ratio(x, y),
)
xlog1py = _declare(
    "xlog1py",
    lambda x, y: where((x == 0) & (y == y), 0, x * log1p(y)),
    lambda z, x, y: where((x == 0) & (y <= -1), 0, log1p(y)),
    lambda z, x, y: _ratio(x, 1 + y),
)
entr = _declare(
    "entr",
    lambda x: where(x > 0, -x * log(x), where(x == 0, 0, where(x < 0, -math.inf, x))),
    lambda y, x: -log(x) - 1,
)
rel_entr = _declare(
    "rel_entr",
    lambda x, y: where(
        (x > 0) & (y > 0), x * log(x / y), where((x == 0) & (y >= 0), 0, where((x != x) | (y != y), x + y, math.inf))
    ),
    lambda z, x, y: log(x / y) + 1,
    lambda z, x, y: -_ratio(x, y),
)
kl_div = _declare(
    "kl_div",
    lambda x, y: where((x == 0) & (y >= 0), y, rel_entr(x, y) - x + y),
    lambda z, x, y: log(x / y),
    lambda z, x, y: 1 - _ratio(x, y),
)
# log(x) - log(1 - x), of which log1p keeps the digits near 1/2 where the logarithms nearly cancel
logit = _declare(
    "logit",
    lambda x: where(abs(x - 0.5) < 0.2, log1p(2 * (x - 0.5) / (1 - x)), log(x / (1 - x))),
    lambda y, x: 1 / (x * (1 - x)),
)
log_expit = _declare("log_expit", lambda x: -softplus(-x))

# ---- exponentials, logarithms, distributions ------------------------------------------------------------------------

exp10 = _declare("exp10", lambda x: pow(10, x), lambda y, x: y * math.log(10))
cosm1 = _declare("cosm1", lambda x: -2 * sin(x / 2) * sin(x / 2), lambda y, x: -sin(x))
_LOG2 = math.log(2)


def _logaddexp2(a: Any, b: Any) -> Any:
    larger = maximum(a, b)
    return where(a == b, a + 1, larger + log1p(exp2(-abs(a - b))) / _LOG2)


logaddexp2 = _declare(
    "logaddexp2",
    _logaddexp2,
    lambda y, a, b: _share(a * _LOG2, b * _LOG2),
    lambda y, a, b: _share(b * _LOG2, a * _LOG2),
)
ndtr = _declare("ndtr", lambda x: 0.5 * erfc(x * -math.sqrt(0.5)))

# ---- signs and remainders -------------------------------------------------------------------------------------------


def _negative(x: Any) -> Any:
    return (x < 0) | ((x == 0) & (1 / x < 0))


copysign = _declare(
    "copysign",
    lambda a, b: where(_negative(b), -abs(a), abs(a)),
    lambda y, a, b: where(_negative(b), -sign(a), sign(a)),
    None,
)
# what is left of a division that rounds towards 0: the sign of a, where `remainder` has that of b
fmod = _declare(
    "fmod",
    lambda a, b: where(a < 0, -remainder(-a, abs(b)), remainder(a, abs(b))),
    lambda y, a, b: 1,
    lambda y, a, b: -sign(a) * sign(b) * floor_divide(abs(a), abs(b)),
)
heaviside = _declare(
    "heaviside",
    lambda x, h: where(x == 0, h, where(x < 0, 0, where(x > 0, 1, x))),
    None,
    lambda y, x, h: where(x == 0, 1, 0),
)

# ---- whole numbers --------------------------------------------------------------------------------------------------

for _name, _behind in (("ceil", "ceil"), ("floor", "floor"), ("rint", "nearest"), ("trunc", "trunc")):
    _declare(_name, f"{_behind}_{{number}}({{0}})", None, cost=4)

# ---- sin(pi x) / (pi x) ---------------------------------------------------------------------------------------------


@once
def _sinc(order: int) -> ScalarFunction:
    """Give a derivative of sin(pi x) / (pi x), by x.

    With t = pi x those of sin(t) / t are s_n(t) = (sin^(n)(t) - n s_(n-1)(t)) / t, which cancels for t < n: there it is
    the power series, sum over k of (-1)**k t**(2k-n) / ((2k+1) (2k-n)!).
    """
    limit, first = order + 1.0, (order + 1) // 2
    terms = [(-1) ** k / ((2 * k + 1) * math.factorial(2 * k - order)) for k in range(first, first + 12 + 2 * order)]

    def compute(x: Any) -> Any:
        t = x * math.pi
        series: Any = formula.constant(0)
        for coefficient in reversed(terms):
            series = series * (t * t) + coefficient
        series = series * t if order % 2 else series
        value = sinpi(x) / t
        for n in range(1, order + 1):
            value = ((sinpi(x), cospi(x), -sinpi(x), -cospi(x))[n % 4] - n * value) / t
        return math.pi**order * where(abs(t) < limit, series, value)

    return ScalarFunction(f"sinc_{order}", compute, lambda y, x: _sinc(order + 1)(x), argument_kinds=(formula.NUMBER,))


sinc = _declare("sinc", lambda x: _sinc(0)(x), lambda y, x: _sinc(1)(x))
