"""Distributions of numbers, with densities."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np

from ..ops.elementwise import (
    abs,
    atan,
    clamp,
    digamma,
    exp,
    expm1,
    lgamma,
    log,
    log1p,
    rsqrt,
    sign,
    square,
    tan,
    where,
)  # fmt: skip
from ..ops.joining import stack
from ..ops.special import applied, xlogy
from ..variable import Variable
from . import constraints
from .constraints import Constraint
from .distribution import Distribution
from .drawing import standard_dirichlet, standard_gamma

_LOG_ROOT_2_PI = 0.5 * math.log(2 * math.pi)


class Normal(Distribution):
    """The normal distribution of a mean and a standard deviation."""

    arg_constraints: ClassVar = {"loc": constraints.real, "scale": constraints.positive}
    support = constraints.real
    has_rsample = True
    loc: Variable
    scale: Variable

    def __init__(self, loc: Any, scale: Any, validate_args: bool | None = None) -> None:
        super().__init__(validate_args, loc=loc, scale=scale)

    @property
    def mean(self) -> Any:
        return self.loc

    mode = mean

    @property
    def variance(self) -> Any:
        return square(self.scale)

    def entropy(self) -> Any:
        return 0.5 + _LOG_ROOT_2_PI + log(self.scale)

    def _log_prob(self, x: Any) -> Any:
        return -0.5 * square((x - self.loc) / self.scale) - log(self.scale) - _LOG_ROOT_2_PI

    def _cdf(self, x: Any) -> Any:
        return applied("ndtr", (x - self.loc) / self.scale)

    def _icdf(self, p: Any) -> Any:
        return self.loc + self.scale * applied("ndtri", p)

    def _rsample(self, shape: tuple[int, ...]) -> Any:
        return self.loc + self.scale * self._noise("standard_normal", shape)


class LogNormal(Distribution):
    """The distribution of what has a normal distribution's logarithm, of mean `loc` and standard deviation `scale`."""

    arg_constraints: ClassVar = Normal.arg_constraints
    support = constraints.positive
    has_rsample = True
    loc: Variable
    scale: Variable

    def __init__(self, loc: Any, scale: Any, validate_args: bool | None = None) -> None:
        super().__init__(validate_args, loc=loc, scale=scale)

    @property
    def base_dist(self) -> Normal:
        """The distribution of the logarithm."""
        return Normal(self.loc, self.scale, False)

    @property
    def mean(self) -> Any:
        return exp(self.loc + 0.5 * square(self.scale))

    @property
    def mode(self) -> Any:
        return exp(self.loc - square(self.scale))

    @property
    def variance(self) -> Any:
        return expm1(square(self.scale)) * exp(2 * self.loc + square(self.scale))

    def entropy(self) -> Any:
        return self.base_dist.entropy() + self.loc

    def _log_prob(self, x: Any) -> Any:
        return self.base_dist._log_prob(log(x)) - log(x)

    def _cdf(self, x: Any) -> Any:
        return self.base_dist._cdf(log(x))

    def _icdf(self, p: Any) -> Any:
        return exp(self.base_dist._icdf(p))

    def _rsample(self, shape: tuple[int, ...]) -> Any:
        return exp(self.base_dist._rsample(shape))


class HalfNormal(Distribution):
    """The distribution of the distance from 0 of what has a normal distribution around it."""

    arg_constraints: ClassVar = {"scale": constraints.positive}
    support = constraints.nonnegative
    has_rsample = True
    scale: Variable

    def __init__(self, scale: Any, validate_args: bool | None = None) -> None:
        super().__init__(validate_args, scale=scale)

    @property
    def base_dist(self) -> Normal:
        """The normal distribution."""
        return Normal(0.0, self.scale, False)

    @property
    def mean(self) -> Any:
        return self.scale * math.sqrt(2 / math.pi)

    @property
    def mode(self) -> Any:
        return self.scale * 0.0

    @property
    def variance(self) -> Any:
        return square(self.scale) * (1 - 2 / math.pi)

    def entropy(self) -> Any:
        return self.base_dist.entropy() - math.log(2)

    def _log_prob(self, x: Any) -> Any:
        return where(x >= 0, self.base_dist._log_prob(x) + math.log(2), -math.inf)

    def _cdf(self, x: Any) -> Any:
        return 2 * self.base_dist._cdf(x) - 1

    def _icdf(self, p: Any) -> Any:
        return self.base_dist._icdf(0.5 * (p + 1))

    def _rsample(self, shape: tuple[int, ...]) -> Any:
        return abs(self.base_dist._rsample(shape))


class StudentT(Distribution):
    """Student's distribution, of `df` degrees of freedom, about a place and in units of a scale."""

    arg_constraints: ClassVar = {"df": constraints.positive, "loc": constraints.real, "scale": constraints.positive}
    support = constraints.real
    has_rsample = True
    df: Variable
    loc: Variable
    scale: Variable

    def __init__(self, df: Any, loc: Any = 0.0, scale: Any = 1.0, validate_args: bool | None = None) -> None:
        super().__init__(validate_args, df=df, loc=loc, scale=scale)

    @property
    def mean(self) -> Any:
        return where(self.df > 1, self.loc, math.nan)

    @property
    def mode(self) -> Any:
        return self.loc

    @property
    def variance(self) -> Any:
        df = where(self.df > 2, self.df, 3.0)  # which keeps infinite slopes out
        without = where(self.df > 1, math.inf, math.nan)
        return where(self.df > 2, square(self.scale) * df / (df - 2), without)

    def _log_constant(self) -> Any:
        return log(self.scale) + 0.5 * log(math.pi * self.df) + lgamma(0.5 * self.df) - lgamma(0.5 * (self.df + 1))

    def entropy(self) -> Any:
        half = 0.5 * (self.df + 1)
        return self._log_constant() + half * (digamma(half) - digamma(0.5 * self.df))

    def _log_prob(self, x: Any) -> Any:
        return -0.5 * (self.df + 1) * log1p(square((x - self.loc) / self.scale) / self.df) - self._log_constant()

    def _cdf(self, x: Any) -> Any:
        return applied("stdtr", self.df, (x - self.loc) / self.scale)

    def _icdf(self, p: Any) -> Any:
        return self.loc + self.scale * applied("stdtrit", self.df, p)

    def _rsample(self, shape: tuple[int, ...]) -> Any:
        chi2 = 2 * standard_gamma(0.5 * self.df.expand(shape))
        return self.loc + self.scale * self._noise("standard_normal", shape) * rsqrt(chi2 / self.df)


class Cauchy(Distribution):
    """The distribution of a quotient of two normal numbers, about a place and in units of a scale."""

    arg_constraints: ClassVar = Normal.arg_constraints
    support = constraints.real
    has_rsample = True
    loc: Variable
    scale: Variable

    def __init__(self, loc: Any, scale: Any, validate_args: bool | None = None) -> None:
        super().__init__(validate_args, loc=loc, scale=scale)

    @property
    def mean(self) -> Any:
        return self.loc * math.nan

    @property
    def mode(self) -> Any:
        return self.loc

    @property
    def variance(self) -> Any:
        return self.scale * math.inf

    def entropy(self) -> Any:
        return log(4 * math.pi * self.scale)

    def _log_prob(self, x: Any) -> Any:
        return -log(math.pi * self.scale) - log1p(square((x - self.loc) / self.scale))

    def _cdf(self, x: Any) -> Any:
        return 0.5 + atan((x - self.loc) / self.scale) / math.pi

    def _icdf(self, p: Any) -> Any:
        return self.loc + self.scale * tan(math.pi * (p - 0.5))

    def _rsample(self, shape: tuple[int, ...]) -> Any:
        return self._icdf(self._noise("random", shape))


class Laplace(Distribution):
    """The distribution whose density falls exponentially on both sides of a place."""

    arg_constraints: ClassVar = Normal.arg_constraints
    support = constraints.real
    has_rsample = True
    loc: Variable
    scale: Variable

    def __init__(self, loc: Any, scale: Any, validate_args: bool | None = None) -> None:
        super().__init__(validate_args, loc=loc, scale=scale)

    @property
    def mean(self) -> Any:
        return self.loc

    mode = mean

    @property
    def variance(self) -> Any:
        return 2 * square(self.scale)

    def entropy(self) -> Any:
        return 1 + log(2 * self.scale)

    def _log_prob(self, x: Any) -> Any:
        return -log(2 * self.scale) - abs(x - self.loc) / self.scale

    def _cdf(self, x: Any) -> Any:
        z = (x - self.loc) / self.scale
        return 0.5 - 0.5 * sign(z) * expm1(-abs(z))

    def _icdf(self, p: Any) -> Any:
        return self.loc - self.scale * sign(p - 0.5) * log1p(-2 * abs(p - 0.5))

    def _rsample(self, shape: tuple[int, ...]) -> Any:
        u = clamp(2 * self._noise("random", shape) - 1, min=-1 + float(np.finfo(self.loc.dtype).eps))
        return self.loc - self.scale * sign(u) * log1p(-abs(u))


class Uniform(Distribution):
    """The distribution of one density from a number, `low`, up to another one, `high`."""

    arg_constraints: ClassVar = {"low": constraints.real, "high": constraints.real}
    has_rsample = True
    low: Variable
    high: Variable

    def __init__(self, low: Any, high: Any, validate_args: bool | None = None) -> None:
        super().__init__(validate_args, low=low, high=high)
        if self._validate_args:
            self._refuse("parameter high", self.high - self.low, Constraint("above low", lambda width: width > 0))

    @property
    def support(self) -> Constraint:
        return constraints.interval(self.low, self.high)

    @property
    def mean(self) -> Any:
        return 0.5 * (self.low + self.high)

    @property
    def variance(self) -> Any:
        return square(self.high - self.low) / 12

    def entropy(self) -> Any:
        return log(self.high - self.low)

    def _log_prob(self, x: Any) -> Any:
        return where((x >= self.low) & (x < self.high), -log(self.high - self.low), -math.inf)

    def _cdf(self, x: Any) -> Any:
        return clamp((x - self.low) / (self.high - self.low), 0.0, 1.0)

    def _icdf(self, p: Any) -> Any:
        return self.low + p * (self.high - self.low)

    def _rsample(self, shape: tuple[int, ...]) -> Any:
        return self._icdf(self._noise("random", shape))


class Exponential(Distribution):
    """The distribution of times until something happens that comes at a rate."""

    arg_constraints: ClassVar = {"rate": constraints.positive}
    support = constraints.nonnegative
    has_rsample = True
    rate: Variable

    def __init__(self, rate: Any, validate_args: bool | None = None) -> None:
        super().__init__(validate_args, rate=rate)

    @property
    def mean(self) -> Any:
        return 1 / self.rate

    stddev = mean

    @property
    def mode(self) -> Any:
        return self.rate * 0.0

    @property
    def variance(self) -> Any:
        return self.rate**-2

    def entropy(self) -> Any:
        return 1 - log(self.rate)

    def _log_prob(self, x: Any) -> Any:
        return log(self.rate) - self.rate * x

    def _cdf(self, x: Any) -> Any:
        return -expm1(-self.rate * x)

    def _icdf(self, p: Any) -> Any:
        return -log1p(-p) / self.rate

    def _rsample(self, shape: tuple[int, ...]) -> Any:
        return self._icdf(self._noise("random", shape))


class Gamma(Distribution):
    """The gamma distribution of a shape, `concentration`, and a rate."""

    arg_constraints: ClassVar = {"concentration": constraints.positive, "rate": constraints.positive}
    support = constraints.nonnegative
    has_rsample = True
    concentration: Variable
    rate: Variable

    def __init__(self, concentration: Any, rate: Any, validate_args: bool | None = None) -> None:
        super().__init__(validate_args, concentration=concentration, rate=rate)

    @property
    def mean(self) -> Any:
        return self.concentration / self.rate

    @property
    def mode(self) -> Any:
        return clamp(self.concentration - 1, min=0.0) / self.rate

    @property
    def variance(self) -> Any:
        return self.concentration / square(self.rate)

    def entropy(self) -> Any:
        a = self.concentration
        return a - log(self.rate) + lgamma(a) + (1 - a) * digamma(a)

    def _log_prob(self, x: Any) -> Any:
        a = self.concentration
        return xlogy(a, self.rate) + xlogy(a - 1, x) - self.rate * x - lgamma(a)

    def _cdf(self, x: Any) -> Any:
        return applied("gammainc", self.concentration, self.rate * x)

    def _icdf(self, p: Any) -> Any:
        return applied("gammaincinv", self.concentration, p) / self.rate

    def _rsample(self, shape: tuple[int, ...]) -> Any:
        return standard_gamma(self.concentration.expand(shape)) / self.rate


class Beta(Distribution):
    """The beta distribution, of a share: that of a gamma number of one shape in the sum with one of another."""

    arg_constraints: ClassVar = {"concentration1": constraints.positive, "concentration0": constraints.positive}
    support = constraints.unit_interval
    has_rsample = True
    concentration1: Variable
    concentration0: Variable

    def __init__(self, concentration1: Any, concentration0: Any, validate_args: bool | None = None) -> None:
        super().__init__(validate_args, concentration1=concentration1, concentration0=concentration0)

    @property
    def _total(self) -> Any:
        return self.concentration1 + self.concentration0

    @property
    def mean(self) -> Any:
        return self.concentration1 / self._total

    @property
    def variance(self) -> Any:
        total = self._total
        return self.concentration1 * self.concentration0 / (square(total) * (total + 1))

    def _log_constant(self) -> Any:
        return lgamma(self.concentration1) + lgamma(self.concentration0) - lgamma(self._total)

    def entropy(self) -> Any:
        a, b, total = self.concentration1, self.concentration0, self._total
        return self._log_constant() - (a - 1) * digamma(a) - (b - 1) * digamma(b) + (total - 2) * digamma(total)

    def _log_prob(self, x: Any) -> Any:
        a, b = self.concentration1, self.concentration0
        return xlogy(a - 1, x) + applied("xlog1py", b - 1, -x) - self._log_constant()

    def _cdf(self, x: Any) -> Any:
        return applied("betainc", self.concentration1, self.concentration0, x)

    def _icdf(self, p: Any) -> Any:
        return applied("betaincinv", self.concentration1, self.concentration0, p)

    def _rsample(self, shape: tuple[int, ...]) -> Any:
        both = stack([self.concentration1.expand(shape), self.concentration0.expand(shape)], -1)
        return standard_dirichlet(both)[..., 0]
