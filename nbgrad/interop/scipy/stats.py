"""Densities and distribution functions by SciPy's names and arguments, differentiable by all that have a formula.

>>> import nbgrad
>>> print(f"{norm.logpdf(0.0, 1.0, 2.0):.4f} {nbgrad.grad(norm.logpdf, 1)(0.0, 1.0, 2.0):.2f}")
-1.7371 -0.25
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ...ops import elementwise as plain
from ...ops.special import applied
from ...variable import data_of
from ..rules.operands import floating, together


def _standard(x: Any, loc: Any, scale: Any) -> tuple[Any, Any]:
    """Give x in units of the scale from its place, and the scale."""
    x, loc, scale = map(floating, together(x, loc, scale))
    return (x - loc) / scale, scale


def _where(condition: Any, x: Any, y: Any) -> Any:
    return np.where(data_of(condition), x, y)


class norm:
    """The normal distribution."""

    @staticmethod
    def logpdf(x: Any, loc: Any = 0.0, scale: Any = 1.0) -> Any:
        """Give the logarithm of the density."""
        z, scale = _standard(x, loc, scale)
        return -0.5 * z**2 - 0.5 * math.log(2 * math.pi) - np.log(scale)

    @staticmethod
    def pdf(x: Any, loc: Any = 0.0, scale: Any = 1.0) -> Any:
        """Give the density."""
        return np.exp(norm.logpdf(x, loc, scale))

    @staticmethod
    def cdf(x: Any, loc: Any = 0.0, scale: Any = 1.0) -> Any:
        """Give the share below x."""
        return applied("ndtr", _standard(x, loc, scale)[0])

    @staticmethod
    def sf(x: Any, loc: Any = 0.0, scale: Any = 1.0) -> Any:
        """Give the share above x."""
        return applied("ndtr", -_standard(x, loc, scale)[0])

    @staticmethod
    def logcdf(x: Any, loc: Any = 0.0, scale: Any = 1.0) -> Any:
        """Give the logarithm of the share below x."""
        return applied("log_ndtr", _standard(x, loc, scale)[0])

    @staticmethod
    def logsf(x: Any, loc: Any = 0.0, scale: Any = 1.0) -> Any:
        """Give the logarithm of the share above x."""
        return applied("log_ndtr", -_standard(x, loc, scale)[0])

    @staticmethod
    def ppf(q: Any, loc: Any = 0.0, scale: Any = 1.0) -> Any:
        """Give the x with a share of q below."""
        q, loc, scale = map(floating, together(q, loc, scale))
        return applied("ndtri", q) * scale + loc


class t:
    """Student's t distribution."""

    @staticmethod
    def logpdf(x: Any, df: Any, loc: Any = 0.0, scale: Any = 1.0) -> Any:
        """Give the logarithm of the density."""
        z, scale = _standard(x, loc, scale)
        df = floating(df)
        constant = plain.lgamma(0.5 * (df + 1)) - plain.lgamma(0.5 * df) - 0.5 * np.log(math.pi * df)
        return constant - 0.5 * (df + 1) * np.log1p(z**2 / df) - np.log(scale)

    @staticmethod
    def pdf(x: Any, df: Any, loc: Any = 0.0, scale: Any = 1.0) -> Any:
        """Give the density."""
        return np.exp(t.logpdf(x, df, loc, scale))

    @staticmethod
    def cdf(x: Any, df: Any, loc: Any = 0.0, scale: Any = 1.0) -> Any:
        """Give the share below x; there is no formula for its derivative by df."""
        return applied("stdtr", floating(df), _standard(x, loc, scale)[0])

    @staticmethod
    def logcdf(x: Any, df: Any, loc: Any = 0.0, scale: Any = 1.0) -> Any:
        """Give the logarithm of the share below x."""
        return np.log(t.cdf(x, df, loc, scale))


class gamma:
    """The gamma distribution of shape a."""

    @staticmethod
    def logpdf(x: Any, a: Any, loc: Any = 0.0, scale: Any = 1.0) -> Any:
        """Give the logarithm of the density."""
        z, scale = _standard(x, loc, scale)
        a = floating(a)
        found = applied("xlogy", a - 1, z) - z - plain.lgamma(a) - np.log(scale)
        return _where(data_of(z) < 0, -np.inf, found)

    @staticmethod
    def pdf(x: Any, a: Any, loc: Any = 0.0, scale: Any = 1.0) -> Any:
        """Give the density."""
        return np.exp(gamma.logpdf(x, a, loc, scale))

    @staticmethod
    def cdf(x: Any, a: Any, loc: Any = 0.0, scale: Any = 1.0) -> Any:
        """Give the share below x."""
        return applied("gammainc", floating(a), _standard(x, loc, scale)[0])


class beta:
    """The beta distribution."""

    @staticmethod
    def logpdf(x: Any, a: Any, b: Any, loc: Any = 0.0, scale: Any = 1.0) -> Any:
        """Give the logarithm of the density."""
        z, scale = _standard(x, loc, scale)
        a, b = floating(a), floating(b)
        found = applied("xlogy", a - 1, z) + applied("xlog1py", b - 1, -z)
        return found - applied("betaln", a, b) - np.log(scale)

    @staticmethod
    def pdf(x: Any, a: Any, b: Any, loc: Any = 0.0, scale: Any = 1.0) -> Any:
        """Give the density."""
        return np.exp(beta.logpdf(x, a, b, loc, scale))

    @staticmethod
    def cdf(x: Any, a: Any, b: Any, loc: Any = 0.0, scale: Any = 1.0) -> Any:
        """Give the share below x; there are no formulas for its derivatives by a and b."""
        return applied("betainc", floating(a), floating(b), _standard(x, loc, scale)[0])


class chi2:
    """The chi-squared distribution."""

    @staticmethod
    def logpdf(x: Any, df: Any, loc: Any = 0.0, scale: Any = 1.0) -> Any:
        """Give the logarithm of the density."""
        return gamma.logpdf(x, 0.5 * floating(df), loc, 2.0 * floating(scale))

    @staticmethod
    def pdf(x: Any, df: Any, loc: Any = 0.0, scale: Any = 1.0) -> Any:
        """Give the density."""
        return np.exp(chi2.logpdf(x, df, loc, scale))

    @staticmethod
    def cdf(x: Any, df: Any, loc: Any = 0.0, scale: Any = 1.0) -> Any:
        """Give the share below x."""
        return gamma.cdf(x, 0.5 * floating(df), loc, 2.0 * floating(scale))


class poisson:
    """The Poisson distribution, of whole numbers k."""

    @staticmethod
    def logpmf(k: Any, mu: Any, loc: Any = 0.0) -> Any:
        """Give the logarithm of the probability of k."""
        k, mu, loc = together(data_of(k), mu, data_of(loc))
        n, mu = floating(k - loc), floating(mu)
        found = applied("xlogy", n, mu) - plain.lgamma(n + 1) - mu
        return _where((n >= 0) & (np.floor(n) == n), found, -np.inf)

    @staticmethod
    def pmf(k: Any, mu: Any, loc: Any = 0.0) -> Any:
        """Give the probability of k."""
        return np.exp(poisson.logpmf(k, mu, loc))

    @staticmethod
    def cdf(k: Any, mu: Any, loc: Any = 0.0) -> Any:
        """Give the probability of k or less."""
        return applied("pdtr", np.floor(floating(data_of(k)) - data_of(loc)), floating(mu))


class bernoulli:
    """The distribution of 1, with probability p, and 0."""

    @staticmethod
    def logpmf(k: Any, p: Any, loc: Any = 0.0) -> Any:
        """Give the logarithm of the probability of k."""
        k, p, loc = together(data_of(k), p, data_of(loc))
        n, p = floating(k - loc), floating(p)
        found = applied("xlogy", n, p) + applied("xlog1py", 1 - n, -p)
        return _where((n == 0) | (n == 1), found, -np.inf)

    @staticmethod
    def pmf(k: Any, p: Any, loc: Any = 0.0) -> Any:
        """Give the probability of k."""
        return np.exp(bernoulli.logpmf(k, p, loc))


class dirichlet:
    """The Dirichlet distribution, of shares that add up to 1."""

    @staticmethod
    def logpdf(x: Any, alpha: Any) -> Any:
        """Give the logarithm of the density; x may have one share less, and a column for each point."""
        x, alpha = map(floating, together(x, alpha))
        if x.shape[0] == alpha.shape[0] - 1:
            x = np.concatenate([x, 1 - np.sum(x, 0, keepdims=True)])
        if x.shape[0] != alpha.shape[0]:
            raise ValueError(f"dirichlet: shape {x.shape} of shares for {alpha.shape[0]} alphas: give as many rows")
        constant = plain.lgamma(np.sum(alpha)) - np.sum(plain.lgamma(alpha))
        powers = (alpha - 1).reshape((-1,) + (1,) * (x.ndim - 1))
        return constant + np.sum(applied("xlogy", powers, x), 0)

    @staticmethod
    def pdf(x: Any, alpha: Any) -> Any:
        """Give the density."""
        return np.exp(dirichlet.logpdf(x, alpha))


class multivariate_normal:
    """The normal distribution of vectors, by the Cholesky factor of the covariance."""

    @staticmethod
    def logpdf(x: Any, mean: Any = None, cov: Any = 1.0, allow_singular: bool = False) -> Any:
        """Give the logarithm of the density at vectors in the last axis of x; LinAlgError for a singular covariance."""
        if allow_singular:
            raise TypeError("multivariate_normal: a singular covariance has no gradient: leave allow_singular out")
        x, mean, cov = map(floating, together(x, 0.0 if mean is None else mean, cov))
        size = mean.shape[-1] if mean.ndim else cov.shape[-1] if cov.ndim else 1
        if not cov.ndim:
            cov = cov * np.eye(size)
        elif cov.ndim == 1:
            cov = cov * np.eye(size)
        centred = np.reshape(x - mean, (-1, size)) if size == 1 and x.ndim < 2 else x - mean
        points = np.reshape(centred, (-1, size))
        factor = np.linalg.cholesky(cov)
        scaled = np.linalg.solve(factor, np.transpose(points))
        found = -0.5 * np.sum(scaled**2, 0) - np.sum(np.log(np.diagonal(factor))) - 0.5 * size * math.log(2 * math.pi)
        return np.reshape(found, x.shape if size == 1 and x.ndim < 2 else x.shape[:-1])

    @staticmethod
    def pdf(x: Any, mean: Any = None, cov: Any = 1.0, allow_singular: bool = False) -> Any:
        """Give the density."""
        return np.exp(multivariate_normal.logpdf(x, mean, cov, allow_singular))

    @staticmethod
    def entropy(mean: Any = None, cov: Any = 1.0) -> Any:
        """Give the entropy, in nats."""
        cov = np.atleast_2d(floating(cov))
        return 0.5 * (cov.shape[-1] * (1 + math.log(2 * math.pi)) + np.linalg.slogdet(cov)[1])
