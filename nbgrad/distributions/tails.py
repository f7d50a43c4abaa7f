"""Distributions of lifetimes, extremes and shares, drawn by their quantiles."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np

from ..ops.elementwise import atan, clamp, digamma, exp, expm1, lgamma, log, log1p, square, tan, where
from ..ops.special import xlogy
from ..variable import Variable
from . import constraints
from .constraints import Constraint
from .distribution import Distribution

#: Euler's constant, the mean of the standard Gumbel distribution.
_EULER = float(np.euler_gamma)


class _Drawn(Distribution):
    """What is drawn by quantiles of numbers uniform above 0 and below 1."""

    has_rsample = True

    def _rsample(self, shape: tuple[int, ...]) -> Any:
        kind = np.finfo(self._like.dtype)
        return self._icdf(clamp(self._noise("random", shape), float(kind.tiny), 1 - float(kind.eps)))


class Gumbel(_Drawn):
    """The distribution of the largest of many numbers, about a place and in units of a scale."""

    arg_constraints: ClassVar = {"loc": constraints.real, "scale": constraints.positive}
    support = constraints.real
    loc: Variable
    scale: Variable

    def __init__(self, loc: Any, scale: Any, validate_args: bool | None = None) -> None:
        super().__init__(validate_args, loc=loc, scale=scale)

    @property
    def mean(self) -> Any:
        return self.loc + self.scale * _EULER

    @property
    def mode(self) -> Any:
        return self.loc

    @property
    def variance(self) -> Any:
        return square(self.scale) * (math.pi**2 / 6)

    def entropy(self) -> Any:
        return log(self.scale) + (1 + _EULER)

    def _log_prob(self, x: Any) -> Any:
        z = (self.loc - x) / self.scale
        return z - exp(z) - log(self.scale)

    def _cdf(self, x: Any) -> Any:
        return exp(-exp((self.loc - x) / self.scale))

    def _icdf(self, p: Any) -> Any:
        return self.loc - self.scale * log(-log(p))


class HalfCauchy(_Drawn):
    """The distribution of the distance from 0 of what has a Cauchy distribution around it."""

    arg_constraints: ClassVar = {"scale": constraints.positive}
    support = constraints.nonnegative
    scale: Variable

    def __init__(self, scale: Any, validate_args: bool | None = None) -> None:
        super().__init__(validate_args, scale=scale)

    @property
    def mean(self) -> Any:
        return self.scale * math.inf

    variance = mean

    @property
    def mode(self) -> Any:
        return self.scale * 0.0

    def entropy(self) -> Any:
        return log(2 * math.pi * self.scale)

    def _log_prob(self, x: Any) -> Any:
        found = math.log(2 / math.pi) - log(self.scale) - log1p(square(x / self.scale))
        return where(x >= 0, found, -math.inf)

    def _cdf(self, x: Any) -> Any:
        return atan(x / self.scale) * (2 / math.pi)

    def _icdf(self, p: Any) -> Any:
        return self.scale * tan(math.pi / 2 * p)


class Weibull(_Drawn):
    """The distribution of lifetimes whose rate of failure goes with a power of age, `concentration` - 1."""

    arg_constraints: ClassVar = {"scale": constraints.positive, "concentration": constraints.positive}
    support = constraints.positive
    scale: Variable
    concentration: Variable

    def __init__(self, scale: Any, concentration: Any, validate_args: bool | None = None) -> None:
        super().__init__(validate_args, scale=scale, concentration=concentration)

    @property
    def mean(self) -> Any:
        return self.scale * exp(lgamma(1 + 1 / self.concentration))

    @property
    def mode(self) -> Any:
        k = where(self.concentration > 1, self.concentration, 2.0)
        return where(self.concentration > 1, self.scale * ((k - 1) / k) ** (1 / k), 0.0)

    @property
    def variance(self) -> Any:
        k = self.concentration
        return square(self.scale) * (exp(lgamma(1 + 2 / k)) - exp(2 * lgamma(1 + 1 / k)))

    def entropy(self) -> Any:
        k = self.concentration
        return _EULER * (1 - 1 / k) + log(self.scale / k) + 1

    def _log_prob(self, x: Any) -> Any:
        k, z = self.concentration, x / self.scale
        return log(k / self.scale) + (k - 1) * log(z) - z**k

    def _cdf(self, x: Any) -> Any:
        return -expm1(-((x / self.scale) ** self.concentration))

    def _icdf(self, p: Any) -> Any:
        return self.scale * (-log1p(-p)) ** (1 / self.concentration)


class Pareto(_Drawn):
    """The distribution from `scale` on whose tail falls with a power, `alpha`, of how far it is."""

    arg_constraints: ClassVar = {"scale": constraints.positive, "alpha": constraints.positive}
    scale: Variable
    alpha: Variable

    def __init__(self, scale: Any, alpha: Any, validate_args: bool | None = None) -> None:
        super().__init__(validate_args, scale=scale, alpha=alpha)

    @property
    def support(self) -> Constraint:
        return constraints.greater_than_eq(self.scale)

    @property
    def mean(self) -> Any:
        a = where(self.alpha > 1, self.alpha, 2.0)  # which keeps infinite slopes out
        return where(self.alpha > 1, self.scale * a / (a - 1), math.inf)

    @property
    def mode(self) -> Any:
        return self.scale

    @property
    def variance(self) -> Any:
        a = where(self.alpha > 2, self.alpha, 3.0)
        return where(self.alpha > 2, square(self.scale / (a - 1)) * a / (a - 2), math.inf)

    def entropy(self) -> Any:
        return log(self.scale / self.alpha) + 1 + 1 / self.alpha

    def _log_prob(self, x: Any) -> Any:
        return log(self.alpha / self.scale) - (self.alpha + 1) * log(x / self.scale)

    def _cdf(self, x: Any) -> Any:
        return -expm1(-self.alpha * log(x / self.scale))

    def _icdf(self, p: Any) -> Any:
        return self.scale * exp(-log1p(-p) / self.alpha)


class Kumaraswamy(_Drawn):
    """A distribution of shares like the beta distribution, with shares below in closed form."""

    arg_constraints: ClassVar = {"concentration1": constraints.positive, "concentration0": constraints.positive}
    support = constraints.unit_interval
    concentration1: Variable
    concentration0: Variable

    def __init__(self, concentration1: Any, concentration0: Any, validate_args: bool | None = None) -> None:
        super().__init__(validate_args, concentration1=concentration1, concentration0=concentration0)

    def _moment(self, n: int) -> Any:
        a, b = self.concentration1, self.concentration0
        return b * exp(lgamma(1 + n / a) + lgamma(b) - lgamma(1 + n / a + b))

    @property
    def mean(self) -> Any:
        return self._moment(1)

    @property
    def mode(self) -> Any:
        a, b = self.concentration1, self.concentration0
        inside = (a >= 1) & (b >= 1) & (a * b > 1)
        a, b = where(inside, a, 2.0), where(inside, b, 2.0)
        return where(inside, ((a - 1) / (a * b - 1)) ** (1 / a), math.nan)

    @property
    def variance(self) -> Any:
        return self._moment(2) - square(self._moment(1))

    def entropy(self) -> Any:
        a, b = self.concentration1, self.concentration0
        return (1 - 1 / b) + (1 - 1 / a) * (digamma(b + 1) + _EULER) - log(a) - log(b)

    def _log_prob(self, x: Any) -> Any:
        a, b = self.concentration1, self.concentration0
        return log(a * b) + xlogy(a - 1, x) + xlogy(b - 1, -expm1(xlogy(a, x)))

    def _cdf(self, x: Any) -> Any:
        return 1 - (1 - x**self.concentration1) ** self.concentration0

    def _icdf(self, p: Any) -> Any:
        return (-expm1(log1p(-p) / self.concentration0)) ** (1 / self.concentration1)
