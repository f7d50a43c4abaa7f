"""The elementary functions: what is promised, their exact values, and where to look for the largest errors.

Errors are in units in the last place (ulp): the spacing of the dtype's numbers in the binade of the exact value, of
subnormal numbers below the smallest normal one. A result that overflowed counts as the number that would come after
the largest one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache as once
from typing import Any

import mpmath
import numpy as np

Array = np.ndarray
Intervals = Sequence[tuple[float, float]]

DTYPES = ("float32", "float64")

#: Numbers of 160 bits, for exact values, apart from whatever precision others set.
EXACT = mpmath.mp.clone()
EXACT.prec = 160


@dataclass(frozen=True)
class Function:
    """One elementary function."""

    name: str
    #: The exact value, of numbers of mpmath.
    exact: Callable[..., Any]
    #: The promised error, in ulp.
    promise: float
    #: The inputs that speed is measured with.
    typical: tuple[float, float]
    #: Intervals to search closely, where `e` is the logarithm of the dtype's largest number.
    dense: Callable[[float], Intervals] = lambda e: [(-1.0, 1.0), (-10.0, 10.0)]
    #: Points to approach from both sides: zeros, poles, ends of the domain.
    centres: tuple[float, ...] = ()
    #: Multiples of this are zeros, or where the reduction of the argument jumps.
    period: float | None = None
    domain: tuple[float, float] = (-math.inf, math.inf)
    arity: int = 1
    #: Above this magnitude of the input another error is promised.
    far: tuple[float, float] | None = None
    #: The magnitude below which results count absolutely: around zeros, where terms cancel.
    floor: Callable[..., Array] | None = None
    #: Names elsewhere, where they differ; None where there is no such function.
    numpy: str | None = ""
    scipy: str | None = ""
    torch: str | None = ""

    def regions(self, inputs: Sequence[Array]) -> dict[str, tuple[Array, float]]:
        """Give where each promise holds, and the promise."""
        if self.far is None:
            return {"": (np.ones(inputs[0].shape, bool), self.promise)}
        beyond = np.abs(inputs[0]) >= self.far[0]
        return {"": (~beyond, self.promise), "far": (beyond, self.far[1])}


# ---- exact values ---------------------------------------------------------------------------------------------------


def _softplus(x: Any) -> Any:
    return EXACT.log1p(EXACT.exp(x)) if x < 10_000 else x


def _logaddexp(a: Any, b: Any) -> Any:
    larger, distance = max(a, b), abs(a - b)
    return larger if distance > 10_000 and larger else larger + EXACT.log1p(EXACT.exp(-min(distance, 10_000)))


def _erfc(x: Any) -> Any:
    return EXACT.erfc(min(x, EXACT.mpf(1000)))  # far beyond where it underflows


def _erfinv(x: Any) -> Any:
    """Solve erf(y) = x by Halley's method, from a start that two steps make exact."""
    from statistics import NormalDist

    size, rest = abs(x), 1 - abs(x)
    if size < 1e-8:
        # erf(y) = 2/sqrt(pi) * (y - y**3/3 + y**5/10 - ...), inverted
        t = size * EXACT.sqrt(EXACT.pi) / 2
        y = t + t**3 / 3 + t**5 * 7 / 30 + t**7 * 127 / 630
    else:
        start = -NormalDist().inv_cdf(float(rest) / 2) / math.sqrt(2) if size > 0.1 else None
        y = EXACT.mpf(start) if start is not None else size * EXACT.sqrt(EXACT.pi) / 2 * (1 + EXACT.pi / 12 * size**2)
        for _ in range(2 if size > 0.1 else 3):
            error = rest - EXACT.erfc(y) if size > 0.1 else EXACT.erf(y) - size
            step = error * EXACT.sqrt(EXACT.pi) / 2 * EXACT.exp(y * y)
            y -= step / (1 + y * step)
    return y if x > 0 else -y


def _lgamma(x: Any) -> Any:
    if x > 0:
        return EXACT.loggamma(x)
    return EXACT.log(EXACT.pi / abs(EXACT.sinpi(x))) - EXACT.loggamma(1 - x)


def _cbrt(x: Any) -> Any:
    return EXACT.cbrt(x) if x >= 0 else -EXACT.cbrt(-x)


# ---- where terms cancel ---------------------------------------------------------------------------------------------


def _reflected_floor(beyond: str) -> Callable[..., Array]:
    """Give the larger term of the reflection formula for negative x, and at least 1; elsewhere 1/4, for the zeros."""

    def floor(x: Array) -> Array:
        from scipy import special

        x = np.minimum(x, 0).astype(np.float64)
        turns = np.pi * (x - np.rint(x))
        if beyond == "gammaln":
            other = np.log(np.pi / np.abs(np.sin(turns)))
        else:
            other = np.pi / np.tan(turns)
        terms = np.maximum(np.abs(getattr(special, beyond)(1 - x)), np.abs(other))
        # at poles the results are as large as the terms
        return np.where((x < 0) & np.isfinite(terms), np.maximum(terms, 1.0), 0.25)

    return floor


def _logaddexp_floor(a: Array, b: Array) -> Array:
    """Give the larger input, which log(1 + e**-|a - b|) may all but cancel."""
    return np.minimum(np.abs(np.maximum(a, b)), 0.7).astype(np.float64)


_TURN = math.pi / 4
#: The zeros and some poles of the gamma function's logarithm and its derivative.
_GAMMA = [0.0, 1.0, 2.0, 1.4616321449683623, -1.0, -2.0, -3.0, -10.0, -0.5040830082644554, -1.5734984731623905]
_GAMMA += [-2.4570247382208006, -2.7476826467274127, -3.1435808883499799]

# What functions of one kind have in common.
_EXPONENTIAL: dict[str, Any] = {
    "dense": lambda e: [(-1.2 * e, 1.02 * e), (-1, 1), (-10, 10), (-40, 40)],
    "period": math.log(2) / 2,
}
_LOGARITHM: dict[str, Any] = {
    "dense": lambda e: [(0.01, 100), (0.5, 2)],
    "centres": (1, math.sqrt(0.5)),
    "domain": (0, math.inf),
}
_PERIODIC: dict[str, Any] = {"period": _TURN, "dense": lambda e: [(-10, 10), (-1e3, 1e3), (-(2.0**20), 2.0**20)]}
_UNIT: dict[str, Any] = {"dense": lambda e: [(-1, 1), (-0.1, 0.1)], "centres": (1, -1), "domain": (-1, 1)}
_FACTORIAL: dict[str, Any] = {
    # the last as far as lgamma goes before it overflows
    "dense": lambda e: [(0, 4), (0, 20), (2, 200), (-6, 0), (-100, 0), (0, math.exp(e - math.log(e) + 0.1))],
    "centres": tuple(_GAMMA),
}

#: All of them, in the order of the tables.
FUNCTIONS = {
    function.name: function
    for function in (
        Function("exp", EXACT.exp, 1, (-10, 10), **_EXPONENTIAL),
        Function(
            "exp2",
            lambda x: EXACT.power(2, x),
            1,
            (-10, 10),
            dense=lambda e: [(-1.75 * e, 1.46 * e), (-1, 1), (-10, 10)],
            period=0.5,
        ),
        Function("expm1", EXACT.expm1, 1, (-3, 3), **_EXPONENTIAL),
        Function("log", EXACT.log, 1, (0.01, 100), **_LOGARITHM),
        Function("log2", lambda x: EXACT.log(x, 2), 1, (0.01, 100), **_LOGARITHM),
        Function("log10", EXACT.log10, 1, (0.01, 100), **_LOGARITHM),
        Function(
            "log1p",
            EXACT.log1p,
            1,
            (-0.9, 10),
            dense=lambda e: [(-1, 1), (-0.9, 10), (0, 1000)],
            centres=(-1, math.sqrt(0.5) - 1, math.sqrt(2) - 1),
            domain=(-1, math.inf),
        ),
        Function("pow", EXACT.power, 2, (0.1, 10), arity=2, numpy="power"),
        Function("sin", EXACT.sin, 1, (-10, 10), far=(2.0**20, 2), **_PERIODIC),
        Function("cos", EXACT.cos, 1, (-10, 10), far=(2.0**20, 2), **_PERIODIC),
        Function("tan", EXACT.tan, 2, (-10, 10), **_PERIODIC),
        Function("asin", EXACT.asin, 2, (-1, 1), numpy="arcsin", **_UNIT),
        Function("acos", EXACT.acos, 2, (-1, 1), numpy="arccos", **_UNIT),
        Function("atan", EXACT.atan, 2, (-10, 10), lambda e: [(-1, 1), (-10, 10), (-1e3, 1e3)], numpy="arctan"),
        Function("atan2", EXACT.atan2, 2, (-10, 10), arity=2, numpy="arctan2"),
        Function("sinh", EXACT.sinh, 2, (-5, 5), **_EXPONENTIAL),
        Function("cosh", EXACT.cosh, 2, (-5, 5), **_EXPONENTIAL),
        Function("tanh", EXACT.tanh, 1, (-5, 5), lambda e: [(-1, 1), (-5, 5), (-20, 20)], period=math.log(2) / 4),
        Function("asinh", EXACT.asinh, 2, (-10, 10), lambda e: [(-1, 1), (-10, 10), (-1e4, 1e4)], numpy="arcsinh"),
        Function(
            "acosh",
            EXACT.acosh,
            2,
            (1, 10),
            dense=lambda e: [(1, 1.1), (1, 10), (1, 1e5)],
            centres=(1,),
            domain=(1, math.inf),
            numpy="arccosh",
        ),
        Function("atanh", EXACT.atanh, 2, (-1, 1), numpy="arctanh", **_UNIT),
        Function("sigmoid", lambda x: 1 / (1 + EXACT.exp(-x)), 1, (-10, 10), numpy=None, scipy="expit", **_EXPONENTIAL),
        Function("softplus", _softplus, 2, (-10, 10), torch="nn.functional.softplus", **_EXPONENTIAL),
        Function("erf", EXACT.erf, 2, (-4, 4), lambda e: [(-1, 1), (-6.5, 6.5)]),
        Function("erfc", _erfc, 2, (-4, 4), lambda e: [(-1, 1), (-6.5, 6.5), (0, 1.08 * math.sqrt(e))]),
        Function("erfinv", _erfinv, 2, (-1, 1), **_UNIT),
        Function("lgamma", _lgamma, 4, (0.1, 20), floor=_reflected_floor("gammaln"), scipy="gammaln", **_FACTORIAL),
        Function("digamma", EXACT.digamma, 4, (0.1, 20), floor=_reflected_floor("psi"), scipy="psi", **_FACTORIAL),
        Function("logaddexp", _logaddexp, 2, (-10, 10), arity=2, floor=_logaddexp_floor),
        Function("cbrt", _cbrt, 1, (-10, 10), lambda e: [(-1, 1), (-10, 10), (1, 8), (-1e10, 1e10)]),
        Function("hypot", EXACT.hypot, 2, (-10, 10), arity=2),
    )
}


def exact_values(name: str, inputs: Sequence[Array]) -> list[Any]:
    """Give the exact values, as numbers of mpmath."""
    exact = FUNCTIONS[name].exact
    return [exact(*map(EXACT.mpf, point)) for point in zip(*(x.tolist() for x in inputs), strict=True)]


def floors(name: str, inputs: Sequence[Array]) -> Array | None:
    """Give the magnitudes below which a function's results count absolutely."""
    floor = FUNCTIONS[name].floor
    with np.errstate(all="ignore"):
        return None if floor is None else np.asarray(floor(*inputs), np.float64)


def exact_errors(results: Array, exact: Sequence[Any], floor: Array | None = None) -> Array:
    """Give the errors in ulp of results, of which the exact values are known as numbers of mpmath."""
    limits = np.finfo(results.dtype)
    bound = EXACT.ldexp(1, int(limits.maxexp))
    errors = np.empty(len(results))
    for i, (result, value) in enumerate(zip(results.tolist(), exact, strict=True)):
        if math.isnan(result):
            errors[i] = math.inf
            continue
        value = min(max(value, -bound), bound)
        size = abs(value) if floor is None else max(abs(value), EXACT.mpf(float(floor[i])))
        exponent = max(int(EXACT.mag(size)) - 1, limits.minexp) if size else limits.minexp
        distance = abs(min(max(EXACT.mpf(result), -bound), bound) - value)
        errors[i] = float(EXACT.ldexp(distance, int(limits.nmant - exponent)))
    return errors


# ---- nearly exact values, a million at a time -----------------------------------------------------------------------


def has_wider(dtype: str) -> bool:
    """Tell whether NumPy has functions of a dtype with at least eleven bits more."""
    return dtype == "float32" or np.finfo(np.longdouble).nmant >= 63


def reference(name: str, dtype: str) -> Callable[..., Array] | None:
    """Give the function in the next wider dtype, by NumPy or SciPy, None if they have none.

    These are good to find the largest errors with; the errors found may be confirmed by exact values.
    """
    from scipy import special

    wide = np.float64 if dtype == "float32" else np.longdouble
    function = FUNCTIONS[name]
    by_scipy: dict[str, Callable[..., Array]] = {
        "lgamma": lambda x: np.where(np.isinf(x), np.inf, special.gammaln(x)),
        "digamma": special.psi,
        **{other: getattr(special, other) for other in ("erf", "erfc", "erfinv")},
    }
    evaluate: Callable[..., Array]
    if name in by_scipy:
        if dtype != "float32":
            return None
        evaluate = by_scipy[name]
    elif not has_wider(dtype):
        return None
    else:
        ours = {"sigmoid": lambda x: 1 / (1 + np.exp(-x)), "softplus": lambda x: np.logaddexp(x, wide(0))}
        evaluate = ours[name] if name in ours else getattr(np, function.numpy or name)

    def widely(*inputs: Array) -> Array:
        with np.errstate(all="ignore"):
            return np.asarray(evaluate(*(x.astype(wide) for x in inputs)))

    return widely


def errors(results: Array, exact: Array, floor: Array | None = None) -> Array:
    """Give the errors in ulp of results, of which the values are known in a wider dtype; infinite for a wrong NaN."""
    limits, wide = np.finfo(results.dtype), exact.dtype.type
    with np.errstate(all="ignore"):
        bound = np.ldexp(wide(1), limits.maxexp)
        value = np.clip(exact, -bound, bound)
        size = np.abs(value) if floor is None else np.maximum(np.abs(value), floor)
        exponent = np.maximum(np.frexp(size)[1] - 1, limits.minexp)
        distance = np.abs(np.clip(results.astype(wide), -bound, bound) - value)
        error = np.asarray(np.ldexp(distance, limits.nmant - exponent), np.float64)
        error[np.isnan(results) != np.isnan(exact)] = np.inf
        error[np.isnan(results) & np.isnan(exact)] = 0
        error[np.isinf(exact) & (results != exact)] = np.inf  # poles
    return error


# ---- samples --------------------------------------------------------------------------------------------------------


def all_exponents(dtype: str, count: int, random: np.random.Generator) -> Array:
    """Draw finite numbers of every exponent and either sign, subnormal ones among them."""
    x = np.frombuffer(random.bytes(count * np.dtype(dtype).itemsize), dtype)
    return np.where(np.isfinite(x), x, np.asarray(1, dtype))


@once
def near_multiples_of_half_pi(dtype: str) -> Array:
    """Give the numbers nearest to multiples of pi/2, for every exponent: the hardest for sin, cos and tan.

    m * 2**e is close to k * pi/2 where m/k is a convergent of pi/2 / 2**e (W. Kahan, "Minimizing q*m - n", 1983).
    """
    limits = np.finfo(dtype)
    digits = int(limits.nmant) + 1
    found = []
    with EXACT.workprec(3500):
        half_pi = EXACT.pi / 2
        for exponent in range(1 - digits, int(limits.maxexp) - digits + 1):
            numerator, denominator = int(EXACT.ldexp(half_pi, 2300 - exponent)), 1 << 2300
            before, m = 0, 1
            while denominator:
                quotient = numerator // denominator
                numerator, denominator = denominator, numerator - quotient * denominator
                before, m = m, quotient * m + before
                if m >> digits:
                    break
                if m >> (digits - 2):
                    found.append(math.ldexp(m, exponent))
    return np.array(found, dtype)


def _neighbours(x: Array, random: np.random.Generator) -> Array:
    """Step a few numbers up or down."""
    return x + random.integers(-3, 4, x.shape) * np.spacing(x)


def _unary(function: Function, dtype: str, count: int, random: np.random.Generator) -> Iterator[Array]:
    limits = np.finfo(dtype)
    yield all_exponents(dtype, count, random)
    for low, high in function.dense(math.log(float(limits.max))):
        yield random.uniform(low, high, count)
    # towards zero and the other centres, at every distance
    centres = np.array((0.0, *function.centres))
    distance = 10 ** random.uniform(-limits.precision - 2, 0, count) * random.choice([-1, 1], count)
    yield random.choice(centres, count) + distance
    # where formulas for intervals meet, and arguments are reduced
    yield _neighbours((random.integers(-128, 129, count) / 16).astype(dtype), random)
    if function.period is not None:
        multiple = np.rint(2 ** random.uniform(0, 21, count)) * random.choice([-1, 1], count)
        small = random.integers(-64, 65, count)
        yield _neighbours((function.period * multiple).astype(dtype), random)
        yield _neighbours((function.period * small).astype(dtype), random)
    if function.period == _TURN:
        hard = near_multiples_of_half_pi(dtype)
        yield hard if len(hard) <= count else random.choice(hard, count, replace=False)


def _powers(dtype: str, count: int, random: np.random.Generator) -> Iterator[tuple[Array, Array]]:
    top = int(np.finfo(dtype).maxexp)
    yield random.uniform(0.1, 10, count), random.uniform(-10, 10, count)
    wide = np.abs(all_exponents(dtype, count, random))
    wide[wide == 0] = 1
    near = (1 + random.choice([-1, 1], count) * 10 ** random.uniform(-np.finfo(dtype).precision, -0.4, count)).astype(
        dtype
    )
    for base in (wide, near):
        logarithm = np.log2(base.astype(np.float64))
        logarithm[logarithm == 0] = 1
        yield base, random.uniform(-1.1 * top, 1.01 * top, count) / logarithm
        yield base, 10 ** random.uniform(-8, 0, count) / logarithm
    yield -wide, np.rint(random.uniform(-1.1 * top, 1.01 * top, count) / np.log2(wide.astype(np.float64) + 1e-300))
    yield -random.uniform(0.1, 10, count), random.integers(-30, 31, count)
    yield random.uniform(0.1, 10, count), random.integers(-16, 17, count) / 2


def _pairs(dtype: str, count: int, random: np.random.Generator) -> Iterator[tuple[Array, Array]]:
    """Draw the two coordinates of points, for atan2 and hypot."""
    yield random.uniform(-10, 10, count), random.uniform(-10, 10, count)
    yield all_exponents(dtype, count, random), all_exponents(dtype, count, random)
    with np.errstate(all="ignore"):
        for factor in (
            random.uniform(-4, 4, count),
            random.uniform(-1, 1, count) * 2 ** random.uniform(-30, 30, count),
            1 + random.choice([-1, 1], count) * 10 ** random.uniform(-np.finfo(dtype).precision, 0, count),
        ):
            x = all_exponents(dtype, count, random)
            y = (x * factor).astype(dtype)
            yield np.where(np.isfinite(y), y, x), x


def _exponents(dtype: str, count: int, random: np.random.Generator) -> Iterator[tuple[Array, Array]]:
    """Draw the inputs of logaddexp."""
    e = math.log(float(np.finfo(dtype).max))
    yield random.uniform(-10, 10, count), random.uniform(-10, 10, count)
    yield random.uniform(-e, e, count), random.uniform(-e, e, count)
    yield all_exponents(dtype, count, random), all_exponents(dtype, count, random)
    x = random.uniform(-e, e, count)
    yield x, x + random.uniform(-40, 40, count)
    yield x, x * (1 + 10 ** random.uniform(-np.finfo(dtype).precision, 0, count))
    x = -random.uniform(1e-9, 3, count)
    yield x, np.log(-np.expm1(x))  # the result is close to zero


def samples(name: str, dtype: str, count: int, seed: int = 0) -> list[Array]:
    """Draw inputs at which the function is finite: `count` in every way that may find large errors."""
    random = np.random.default_rng(seed)
    function = FUNCTIONS[name]
    with np.errstate(all="ignore"):
        if function.arity == 2:
            draw = {"pow": _powers, "logaddexp": _exponents}.get(name, _pairs)
            inputs = [np.concatenate(x).astype(dtype) for x in zip(*draw(dtype, count, random), strict=True)]
        else:
            inputs = [np.concatenate([x.astype(dtype) for x in _unary(function, dtype, count, random)])]
        keep = np.logical_and.reduce([np.isfinite(x) for x in inputs])
        if name in ("atan2", "hypot", "pow"):
            keep &= (inputs[0] != 0) & (inputs[1] != 0)
        elif function.arity == 1:
            x = inputs[0]
            keep &= (x >= function.domain[0]) & (x <= function.domain[1])
            if name in ("log", "log2", "log10", "log1p", "atanh", "erfinv"):  # the ends are poles
                keep &= (x != function.domain[0]) & (x != function.domain[1])
            if name in ("lgamma", "digamma"):
                keep &= (x > 0) | (x != np.floor(x))
    return [x[keep] for x in inputs]
