"""The Kullback-Leibler divergence of pairs of distributions, the mean of log(p / q) over p."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from ..arrays import is_stand_in
from ..kernels import dispatch
from ..ops.elementwise import abs, digamma, exp, lgamma, log, log1p, softplus, square, where
from ..ops.factorization import solve_triangular
from ..ops.special import xlogy
from .composed import Independent
from .continuous import Beta, Cauchy, Exponential, Gamma, HalfNormal, Laplace, LogNormal, Normal, Uniform
from .discrete import Bernoulli, Binomial, Categorical, Geometric, Poisson
from .distribution import Distribution, sum_rightmost
from .relaxed import OneHotCategorical
from .tails import Gumbel, Pareto
from .vectors import Dirichlet, MultivariateNormal

Divergence = TypeVar("Divergence", bound=Callable[..., Any])

#: The formulas, by the two kinds of distributions.
_FORMULAS: dict[tuple[type, type], Callable[..., Any]] = {}


def register_kl(type_p: type, type_q: type) -> Callable[[Divergence], Divergence]:
    """Give a pair of kinds of distributions a formula, as a decorator; kinds derived from these have it as well."""

    def register(function: Divergence) -> Divergence:
        _FORMULAS[type_p, type_q] = function
        return function

    return register


def kl_divergence(p: Distribution, q: Distribution) -> Any:
    """Give the divergence of p from q, for each element of the batch that both have together.

    Raises NotImplementedError for a pair that there is no formula for.
    """
    for of_p in type(p).__mro__:
        for of_q in type(q).__mro__:
            if (of_p, of_q) in _FORMULAS:
                return _FORMULAS[of_p, of_q](p, q)
    raise NotImplementedError(
        f"kl_divergence: no formula for {type(p).__name__} and {type(q).__name__}: register_kl takes one"
    )


@register_kl(Normal, Normal)
def _normal(p: Any, q: Any) -> Any:
    ratio = square(p.scale / q.scale)
    return 0.5 * (ratio + square((p.loc - q.loc) / q.scale) - 1 - log(ratio))


@register_kl(LogNormal, LogNormal)
@register_kl(HalfNormal, HalfNormal)
def _of_normal(p: Any, q: Any) -> Any:
    return _normal(p.base_dist, q.base_dist)


@register_kl(Cauchy, Cauchy)
def _cauchy(p: Any, q: Any) -> Any:
    return log(square(p.scale + q.scale) + square(p.loc - q.loc)) - log(4 * p.scale * q.scale)


@register_kl(Laplace, Laplace)
def _laplace(p: Any, q: Any) -> Any:
    ratio, apart = p.scale / q.scale, abs(p.loc - q.loc)
    return apart / q.scale + ratio * exp(-apart / p.scale) - 1 - log(ratio)


@register_kl(Uniform, Uniform)
def _uniform(p: Any, q: Any) -> Any:
    inside = (q.low <= p.low) & (p.high <= q.high)
    return where(inside, log((q.high - q.low) / (p.high - p.low)), math.inf)


@register_kl(Exponential, Exponential)
def _exponential(p: Any, q: Any) -> Any:
    ratio = q.rate / p.rate
    return ratio - 1 - log(ratio)


@register_kl(Gamma, Gamma)
def _gamma(p: Any, q: Any) -> Any:
    a, b = p.concentration, q.concentration
    rates = b * log(p.rate / q.rate) + (q.rate - p.rate) * (a / p.rate)
    return rates + lgamma(b) - lgamma(a) + (a - b) * digamma(a)


@register_kl(Gumbel, Gumbel)
def _gumbel(p: Any, q: Any) -> Any:
    ratio, apart = p.scale / q.scale, (q.loc - p.loc) / q.scale
    euler = float(np.euler_gamma)
    return euler * ratio - log(ratio) - (1 + euler) - apart + exp(apart + lgamma(1 + ratio))


@register_kl(Pareto, Pareto)
def _pareto(p: Any, q: Any) -> Any:
    ratio = q.alpha / p.alpha
    inside = p.scale >= q.scale
    return where(inside, q.alpha * log(p.scale / q.scale) - log(ratio) + ratio - 1, math.inf)


@register_kl(Beta, Beta)
def _beta(p: Any, q: Any) -> Any:
    pairs = [(p.concentration1, q.concentration1), (p.concentration0, q.concentration0)]
    total = p._total
    return (
        q._log_constant()
        - p._log_constant()
        + sum((a - b) * digamma(a) for a, b in pairs)
        + (q._total - total) * digamma(total)
    )


@register_kl(Dirichlet, Dirichlet)
def _dirichlet(p: Any, q: Any) -> Any:
    a, b = p.concentration, q.concentration
    logs = digamma(a) - digamma(a.sum(-1, keepdim=True))
    return q._log_constant() - p._log_constant() + ((a - b) * logs).sum(-1)


@register_kl(MultivariateNormal, MultivariateNormal)
def _multivariate_normal(p: Any, q: Any) -> Any:
    n = p.event_shape[0]
    if q.event_shape != p.event_shape:
        raise ValueError(f"kl_divergence: MultivariateNormal of {n} and of {q.event_shape[0]} numbers")
    batch = np.broadcast_shapes(p.batch_shape, q.batch_shape)
    p, q = p.expand(batch), q.expand(batch)
    spread = square(solve_triangular(q.scale_tril, p.scale_tril, upper=False)).sum((-2, -1))
    return q.half_log_det() - p.half_log_det() + 0.5 * (spread + q.distance(p.loc) - n)


@register_kl(Bernoulli, Bernoulli)
def _bernoulli(p: Any, q: Any) -> Any:
    ones, zeros = p.probs, 1 - p.probs
    of_ones = ones * (softplus(-q.logits) - softplus(-p.logits))
    of_zeros = zeros * (softplus(q.logits) - softplus(p.logits))
    of_ones = where(ones == 0, 0.0, where(q.probs == 0, math.inf, of_ones))
    return of_ones + where(zeros == 0, 0.0, where(q.probs == 1, math.inf, of_zeros))


@register_kl(Binomial, Binomial)
def _binomial(p: Any, q: Any) -> Any:
    more = p.total_count > q.total_count
    array = dispatch.in_numpy((p.total_count < q.total_count).data)
    if not is_stand_in(array) and bool(array.any()):
        raise NotImplementedError("kl_divergence: a Binomial of fewer tries than the other one's has no formula")
    found = p.probs * (p.logits - q.logits) + softplus(q.logits) - softplus(p.logits)
    return where(more, math.inf, p.total_count * found)


@register_kl(OneHotCategorical, OneHotCategorical)
@register_kl(Categorical, Categorical)
def _categorical(p: Any, q: Any) -> Any:
    terms = p.probs * (p.logits - q.logits)
    return where(p.probs == 0, 0.0, where(q.probs == 0, math.inf, terms)).sum(-1)


@register_kl(Geometric, Geometric)
def _geometric(p: Any, q: Any) -> Any:
    return -p.entropy() - log1p(-q.probs) / p.probs - q.logits


@register_kl(Poisson, Poisson)
def _poisson(p: Any, q: Any) -> Any:
    return xlogy(p.rate, p.rate / q.rate) - p.rate + q.rate


@register_kl(Independent, Independent)
def _independent(p: Any, q: Any) -> Any:
    if p.reinterpreted_batch_ndims != q.reinterpreted_batch_ndims:
        raise NotImplementedError("kl_divergence: Independent of several numbers of dimensions")
    return sum_rightmost(kl_divergence(p.base_dist, q.base_dist), p.reinterpreted_batch_ndims)
