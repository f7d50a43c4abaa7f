"""Distributions of what gamma numbers make: inverses, sums of squares, quotients; and of angles."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np

from ..ops.creation import ones_like
from ..ops.elementwise import acos, clamp, cos, digamma, lgamma, log, log1p, remainder, sign, sqrt, square, where
from ..ops.special import applied, xlogy
from ..variable import Variable
from . import constraints
from .continuous import Gamma
from .distribution import Distribution
from .drawing import standard_gamma


class InverseGamma(Distribution):
    """The distribution of the inverse of a gamma number of a shape, `concentration`, and a rate."""

    arg_constraints: ClassVar = {"concentration": constraints.positive, "rate": constraints.positive}
    support = constraints.positive
    has_rsample = True
    concentration: Variable
    rate: Variable

    def __init__(self, concentration: Any, rate: Any, validate_args: bool | None = None) -> None:
        super().__init__(validate_args, concentration=concentration, rate=rate)

    @property
    def mean(self) -> Any:
        a = where(self.concentration > 1, self.concentration, 2.0)  # which keeps infinite slopes out
        return where(self.concentration > 1, self.rate / (a - 1), math.inf)

    @property
    def mode(self) -> Any:
        return self.rate / (self.concentration + 1)

    @property
    def variance(self) -> Any:
        a = where(self.concentration > 2, self.concentration, 3.0)
        return where(self.concentration > 2, square(self.rate / (a - 1)) / (a - 2), math.inf)

    def entropy(self) -> Any:
        a = self.concentration
        return a + log(self.rate) + lgamma(a) - (1 + a) * digamma(a)

    def _log_prob(self, x: Any) -> Any:
        a = self.concentration
        return xlogy(a, self.rate) - xlogy(a + 1, x) - self.rate / x - lgamma(a)

    def _cdf(self, x: Any) -> Any:
        return applied("gammaincc", self.concentration, self.rate / x)

    def _icdf(self, p: Any) -> Any:
        return self.rate / applied("gammaincinv", self.concentration, 1 - p)

    def _rsample(self, shape: tuple[int, ...]) -> Any:
        return self.rate / standard_gamma(self.concentration.expand(shape))


class Chi2(Gamma):
    """The distribution of a sum of squares of so many standard normal numbers, `df`."""

    arg_constraints: ClassVar = {"df": constraints.positive}
    df: Variable

    def __init__(self, df: Any, validate_args: bool | None = None) -> None:
        Distribution.__init__(self, validate_args, df=df)

    @property
    def concentration(self) -> Any:
        """The shape of the gamma distribution that it is."""
        return 0.5 * self.df

    @property
    def rate(self) -> Any:
        """The rate of the gamma distribution that it is."""
        return 0.5 * ones_like(self.df)


class FisherSnedecor(Distribution):
    """The distribution of the quotient of two mean squares, of `df1` and of `df2` normal numbers."""

    arg_constraints: ClassVar = {"df1": constraints.positive, "df2": constraints.positive}
    support = constraints.positive
    has_rsample = True
    df1: Variable
    df2: Variable

    def __init__(self, df1: Any, df2: Any, validate_args: bool | None = None) -> None:
        super().__init__(validate_args, df1=df1, df2=df2)

    @property
    def mean(self) -> Any:
        df2 = where(self.df2 > 2, self.df2, 3.0)  # which keeps infinite slopes out
        return where(self.df2 > 2, df2 / (df2 - 2), math.nan)

    @property
    def mode(self) -> Any:
        return where(self.df1 > 2, (self.df1 - 2) / self.df1 * self.df2 / (self.df2 + 2), math.nan)

    @property
    def variance(self) -> Any:
        df2 = where(self.df2 > 4, self.df2, 5.0)
        found = 2 * square(df2 / (df2 - 2)) * (self.df1 + df2 - 2) / (self.df1 * (df2 - 4))
        return where(self.df2 > 4, found, math.nan)

    def _log_prob(self, x: Any) -> Any:
        a, b, ratio = 0.5 * self.df1, 0.5 * self.df2, self.df1 / self.df2
        constant = lgamma(a + b) - lgamma(a) - lgamma(b) + a * log(ratio)
        return constant + (a - 1) * log(x) - (a + b) * log1p(ratio * x)

    def _cdf(self, x: Any) -> Any:
        part = self.df1 * x
        return applied("betainc", 0.5 * self.df1, 0.5 * self.df2, part / (part + self.df2))

    def _rsample(self, shape: tuple[int, ...]) -> Any:
        first, second = (standard_gamma(0.5 * df.expand(shape)) / df for df in (self.df1, self.df2))
        smallest = float(np.finfo(self._like.dtype).tiny)
        return clamp(first, min=smallest) / clamp(second, min=smallest)


#: Tries that an angle is drawn by, of which each passes with a probability of 0.65 or more.
_TRIES = 30


class VonMises(Distribution):
    """The distribution of angles, from -pi to pi, that is to a circle what the normal distribution is to a line.

    An angle is the first of thirty tries that passes (Best and Fisher, Efficient simulation of the von Mises
    distribution, 1979), of which each does with a probability of 0.65 or more.
    """

    arg_constraints: ClassVar = {"loc": constraints.real, "concentration": constraints.positive}
    support = constraints.real
    loc: Variable
    concentration: Variable

    def __init__(self, loc: Any, concentration: Any, validate_args: bool | None = None) -> None:
        super().__init__(validate_args, loc=loc, concentration=concentration)

    @property
    def mean(self) -> Any:
        """The mean direction."""
        return self.loc

    mode = mean

    @property
    def variance(self) -> Any:
        """1 less the length of the mean of points on the circle."""
        return 1 - applied("i1e", self.concentration) / applied("i0e", self.concentration)

    def _log_prob(self, x: Any) -> Any:
        k = self.concentration
        return k * (cos(x - self.loc) - 1) - math.log(2 * math.pi) - log(applied("i0e", k))

    def _sample(self, shape: tuple[int, ...]) -> Any:
        k = self.concentration.expand(shape)
        root = sqrt(1 + 4 * square(k))
        side = sqrt(1 + root)
        rho = 2 * k * side / ((root + 1) * (side + math.sqrt(2)))
        r = (1 + square(rho)) / (2 * rho)
        angle, found = k * 0.0, k < 0
        for _ in range(_TRIES):
            z = cos(math.pi * self._noise("random", shape))
            f = (1 + r * z) / (r + z)
            c, u = k * (r - f), self._noise("random", shape)
            passed = ((c * (2 - c) - u > 0) | (log(c / u) + 1 - c >= 0)) & ~found
            turned = sign(self._noise("random", shape) - 0.5)
            angle = where(passed, turned * acos(clamp(f, -1.0, 1.0)), angle)
            found = found | passed
        return remainder(angle + self.loc + math.pi, 2 * math.pi) - math.pi
