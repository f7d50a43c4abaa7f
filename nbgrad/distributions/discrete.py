"""Distributions of whole numbers, with probabilities."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np

from ..arrays import as_array, is_stand_in
from ..kernels import dispatch
from ..ops.drawing import drawn_beside
from ..ops.elementwise import clamp, exp, lgamma, log, log1p, sigmoid, softplus, where
from ..ops.extrema import argmax
from ..ops.joining import take_along_dim
from ..ops.reduction import logsumexp, softmax
from ..ops.scan import cumsum
from ..ops.special import xlogy
from ..ops.steps import floor
from ..variable import Variable, data_of
from . import constraints
from .constraints import Constraint
from .distribution import Distribution


def one_of(name: str, probs: Any, logits: Any) -> dict[str, Any]:
    """Give the one that was given; raises ValueError for both and for neither."""
    if (probs is None) == (logits is None):
        raise ValueError(f"{name}: give probs or logits, {'one of them' if probs is None else 'not both'}")
    return {"probs": probs} if logits is None else {"logits": logits}


def _inside(probs: Any) -> Any:
    """Give probabilities with those of 0 and 1 moved in by a rounding, so that their logarithms are finite."""
    eps = float(np.finfo(probs.dtype).eps)
    return clamp(probs, eps, 1 - eps)


class Chances(Distribution):
    """A distribution by probabilities, or by the logarithms of their odds."""

    @property
    def probs(self) -> Any:
        """The probabilities."""
        given = self._parameters.get("probs")
        return sigmoid(self._parameters["logits"]) if given is None else given

    @property
    def logits(self) -> Any:
        """The logarithms of the odds."""
        given = self._parameters.get("logits")
        if given is not None:
            return given
        probs = _inside(self._parameters["probs"])
        return log(probs) - log1p(-probs)

    def _drawn(self, method: str, *arguments: Any) -> Variable:
        """Draw by a method of NumPy's generators, in the dtype of values."""
        like = self._like
        arrays = [dispatch.in_numpy(data_of(x)) for x in arguments]
        return Variable(as_array(drawn_beside(self._name, None, like, method, *arrays)).astype(like.dtype), None, False)


class Bernoulli(Chances):
    """The distribution of 1, with a probability, and 0."""

    arg_constraints: ClassVar = {"probs": constraints.unit_interval, "logits": constraints.real}
    support = constraints.boolean

    def __init__(self, probs: Any = None, logits: Any = None, validate_args: bool | None = None) -> None:
        super().__init__(validate_args, **one_of("Bernoulli", probs, logits))

    @property
    def mean(self) -> Any:
        return self.probs

    @property
    def mode(self) -> Any:
        probs = self.probs
        return where(probs == 0.5, math.nan, where(probs > 0.5, probs * 0 + 1, 0.0))

    @property
    def variance(self) -> Any:
        return self.probs * (1 - self.probs)

    def entropy(self) -> Any:
        logits = self.logits
        return softplus(logits) - logits * self.probs

    def _log_prob(self, x: Any) -> Any:
        logits = self.logits
        return logits * x - softplus(logits)

    def _sample(self, shape: tuple[int, ...]) -> Any:
        return where(self._noise("random", shape) < self.probs, self.probs * 0 + 1, 0.0)

    def enumerate_support(self, expand: bool = True) -> Any:
        """Give all values, along a first dimension; with `expand` for each element of the batch."""
        return _counted(self, 2, expand)


def _counted(distribution: Distribution, count: int, expand: bool, dtype: Any = None) -> Any:
    """Give the numbers from 0 along a first dimension, in front of those of the batch."""
    like, batch = distribution._like, distribution.batch_shape
    values = Variable(dispatch.beside(np.arange(count, dtype=dtype or like.dtype), like), requires_grad=False)
    values = values.reshape(count, *(1,) * len(batch))
    return values.expand(count, *batch) if expand else values


class Binomial(Chances):
    """The distribution of how often something happens in `total_count` tries, by its probability in each."""

    arg_constraints: ClassVar = {
        "total_count": constraints.nonnegative_integer, **Bernoulli.arg_constraints
    }  # fmt: skip
    total_count: Variable

    def __init__(
        self, total_count: Any = 1, probs: Any = None, logits: Any = None, validate_args: bool | None = None
    ) -> None:
        super().__init__(validate_args, **one_of("Binomial", probs, logits), total_count=total_count)

    @property
    def support(self) -> Constraint:
        return constraints.integer_interval(0, self.total_count)

    @property
    def mean(self) -> Any:
        return self.total_count * self.probs

    @property
    def mode(self) -> Any:
        found = floor((self.total_count + 1) * self.probs)
        return where(found > self.total_count, self.total_count, found)

    @property
    def variance(self) -> Any:
        return self.total_count * self.probs * (1 - self.probs)

    def _total(self, what: str) -> int:
        counts = dispatch.in_numpy(self.total_count.data)
        if is_stand_in(counts) or counts.min() != counts.max():
            raise NotImplementedError(f"Binomial: {what} of one count of tries for all, which has to be known")
        return int(counts.max())

    def entropy(self) -> Any:
        total = self._total("there is an entropy")
        terms = self._log_prob(_counted(self, total + 1, False))
        return -(exp(terms) * terms).sum(0)

    def enumerate_support(self, expand: bool = True) -> Any:
        """Give all values, along a first dimension; with `expand` for each element of the batch."""
        return _counted(self, self._total("values can be told") + 1, expand)

    def _log_prob(self, x: Any) -> Any:
        n, logits = self.total_count, self.logits
        return lgamma(n + 1) - lgamma(x + 1) - lgamma(n - x + 1) + x * logits - n * softplus(logits)

    def _sample(self, shape: tuple[int, ...]) -> Any:
        return self._drawn("binomial", self.total_count.expand(shape).long(), self.probs.expand(shape))


class NegativeBinomial(Chances):
    """The distribution of how often something happens before it has failed to `total_count` times."""

    arg_constraints: ClassVar = {
        "total_count": constraints.nonnegative, "logits": constraints.real,
        "probs": Constraint("0 or above, and below 1", lambda x: (x >= 0) & (x < 1)),
    }  # fmt: skip
    support = constraints.nonnegative_integer
    total_count: Variable

    def __init__(
        self, total_count: Any, probs: Any = None, logits: Any = None, validate_args: bool | None = None
    ) -> None:
        super().__init__(validate_args, **one_of("NegativeBinomial", probs, logits), total_count=total_count)

    @property
    def mean(self) -> Any:
        return self.total_count * exp(self.logits)

    @property
    def mode(self) -> Any:
        return clamp(floor((self.total_count - 1) * exp(self.logits)), min=0.0)

    @property
    def variance(self) -> Any:
        return self.mean / sigmoid(-self.logits)

    def _log_prob(self, x: Any) -> Any:
        n, logits = self.total_count, self.logits
        chances = -n * softplus(logits) - x * softplus(-logits)
        certain = n + x == 0  # of no tries
        ways = lgamma(where(certain, 1.0, n + x)) - lgamma(x + 1) - lgamma(where(certain, 1.0, n))
        return chances + ways

    def _sample(self, shape: tuple[int, ...]) -> Any:
        from .continuous import Gamma

        rates = Gamma(self.total_count, exp(-self.logits), False)._rsample(shape)
        return self._drawn("poisson", where(self.total_count > 0, rates, 0.0))


class Geometric(Chances):
    """The distribution of how often something fails before it happens, by its probability in each try."""

    arg_constraints: ClassVar = {
        "probs": Constraint("above 0, up to 1", lambda x: (x > 0) & (x <= 1)), "logits": constraints.real
    }  # fmt: skip
    support = constraints.nonnegative_integer

    def __init__(self, probs: Any = None, logits: Any = None, validate_args: bool | None = None) -> None:
        super().__init__(validate_args, **one_of("Geometric", probs, logits))

    @property
    def mean(self) -> Any:
        return 1 / self.probs - 1

    @property
    def mode(self) -> Any:
        return self.probs * 0.0

    @property
    def variance(self) -> Any:
        return (1 / self.probs - 1) / self.probs

    def entropy(self) -> Any:
        logits = self.logits
        return (softplus(logits) - logits * self.probs) / self.probs

    def _log_prob(self, x: Any) -> Any:
        probs = self.probs
        certain = (probs == 1) & (x == 0)
        return x * log1p(-where(certain, 0.0, probs)) + log(probs)

    def _sample(self, shape: tuple[int, ...]) -> Any:
        drawn = clamp(self._noise("random", shape), min=float(np.finfo(self._like.dtype).tiny))
        return floor(log(drawn) / log1p(-self.probs))


class Poisson(Chances):
    """The distribution of how often something happens that comes at a rate."""

    arg_constraints: ClassVar = {"rate": constraints.nonnegative}
    support = constraints.nonnegative_integer
    rate: Variable

    def __init__(self, rate: Any, validate_args: bool | None = None) -> None:
        super().__init__(validate_args, rate=rate)

    @property
    def mean(self) -> Any:
        return self.rate

    variance = mean

    @property
    def mode(self) -> Any:
        return floor(self.rate)

    def _log_prob(self, x: Any) -> Any:
        return xlogy(x, self.rate) - self.rate - lgamma(x + 1)

    def _sample(self, shape: tuple[int, ...]) -> Any:
        return self._drawn("poisson", self.rate.expand(shape))


class Classes(Distribution):
    """A distribution by the weights of classes in the last axis, or by logarithms of weights."""

    @property
    def probs(self) -> Any:
        """The probabilities, which add up to 1."""
        given = self._parameters.get("probs")
        return softmax(self._parameters["logits"], -1) if given is None else given / given.sum(-1, keepdim=True)

    @property
    def logits(self) -> Any:
        """The logarithms of the probabilities."""
        given = self._parameters.get("logits")
        return log(_inside(self.probs)) if given is None else given - logsumexp(given, -1, keepdim=True)

    @property
    def _count(self) -> int:
        return next(x.shape[-1] for name, x in self._parameters.items() if name in ("probs", "logits"))

    def _places(self, shape: tuple[int, ...]) -> Any:
        """Draw classes: how many sums of probabilities lie below a number uniform in [0, 1)."""
        like = self._like
        sums = cumsum(self.probs.detach().double(), -1)
        drawn = Variable(drawn_beside(self._name, None, like, "random", shape), requires_grad=False)
        below = sums[..., :-1] <= drawn[..., None] * sums[..., -1:]
        return below.sum(-1)


_WEIGHTS = Constraint("0 or above, and not all 0", lambda x: (x >= 0).all(-1) & (x.sum(-1) > 0), 1)


class Categorical(Classes):
    """The distribution of the number of a class, by the weights of classes in the last axis."""

    arg_constraints: ClassVar = {"probs": _WEIGHTS, "logits": constraints.real_vector}

    def __init__(self, probs: Any = None, logits: Any = None, validate_args: bool | None = None) -> None:
        super().__init__(validate_args, **one_of("Categorical", probs, logits))

    @property
    def support(self) -> Constraint:
        return constraints.integer_interval(0, self._count - 1)

    @property
    def mean(self) -> Any:
        return self.probs.sum(-1) * math.nan

    variance = mean

    @property
    def mode(self) -> Any:
        return argmax(self.probs, -1)

    def entropy(self) -> Any:
        return -(clamp(self.logits, min=float(np.finfo(self._like.dtype).min)) * self.probs).sum(-1)

    def _log_prob(self, x: Any) -> Any:
        logits, places = self.logits, x.long()
        if not self._batch_shape:
            return logits[places]
        shape = np.broadcast_shapes(places.shape, self._batch_shape)
        logits = logits.expand(*shape, logits.shape[-1])
        return take_along_dim(logits, places.expand(*shape)[..., None], -1)[..., 0]

    def _sample(self, shape: tuple[int, ...]) -> Any:
        return self._places(shape)

    def enumerate_support(self, expand: bool = True) -> Any:
        """Give all values, along a first dimension; with `expand` for each element of the batch."""
        return _counted(self, self._count, expand, np.int64)


class Multinomial(Classes):
    """The distribution of how often each class comes in `total_count` draws, by weights in the last axis."""

    arg_constraints: ClassVar = Categorical.arg_constraints
    event_dim = 1

    def __init__(
        self, total_count: int = 1, probs: Any = None, logits: Any = None, validate_args: bool | None = None
    ) -> None:
        if not isinstance(total_count, int) or total_count < 0:
            raise NotImplementedError(f"Multinomial: total_count is {total_count!r}: give one whole number for all")
        self.total_count = total_count
        super().__init__(validate_args, **one_of("Multinomial", probs, logits))

    @property
    def support(self) -> Constraint:
        return constraints.multinomial(self.total_count)

    @property
    def mean(self) -> Any:
        return self.total_count * self.probs

    @property
    def variance(self) -> Any:
        return self.total_count * self.probs * (1 - self.probs)

    def entropy(self) -> Any:
        n = self.total_count
        chosen = Binomial(n, self.probs, validate_args=False)
        counts = _counted(chosen, n + 1, False)[1:]
        ways = (exp(chosen._log_prob(counts)) * lgamma(counts + 1)).sum((0, -1))
        return n * Categorical(logits=self.logits, validate_args=False).entropy() - math.lgamma(n + 1) + ways

    def _log_prob(self, x: Any) -> Any:
        logits = self.logits
        powers = where((x == 0) & (logits == -math.inf), 0.0, x * logits)
        return lgamma(x.sum(-1) + 1) - lgamma(x + 1).sum(-1) + powers.sum(-1)

    def _sample(self, shape: tuple[int, ...]) -> Any:
        places = self._places((self.total_count, *shape[:-1]))
        hits = places[..., None] == dispatch.beside(np.arange(self._count), self._like)
        return hits.sum(0).to(self._like.dtype)
