"""Classes as vectors of 0 and 1, what is near these and moves with its parameters, and shares of normal numbers."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np

from ..kernels import dispatch
from ..ops.creation import eye
from ..ops.elementwise import clamp, log, log1p, softplus
from ..ops.extrema import argmax
from ..ops.reduction import logsumexp
from ..variable import data_of
from . import constraints
from .continuous import Normal
from .discrete import Categorical, Chances, Classes, one_of
from .distribution import variables
from .transformed import TransformedDistribution
from .transforms import ExpTransform, SigmoidTransform, StickBreakingTransform


class OneHotCategorical(Classes):
    """The distribution of a class as a vector of 0 with a 1 in its place, by weights of classes in the last axis."""

    arg_constraints: ClassVar = Categorical.arg_constraints
    support = constraints.one_hot
    event_dim = 1

    def __init__(self, probs: Any = None, logits: Any = None, validate_args: bool | None = None) -> None:
        super().__init__(validate_args, **one_of("OneHotCategorical", probs, logits))

    def _categorical(self) -> Categorical:
        return Categorical(logits=self.logits, validate_args=False)

    def _one_hot(self, places: Any) -> Any:
        hits = places[..., None] == dispatch.beside(np.arange(self._count), data_of(places))
        return hits.to(self._like.dtype)

    @property
    def mean(self) -> Any:
        return self.probs

    @property
    def mode(self) -> Any:
        return self._one_hot(argmax(self.probs, -1))

    @property
    def variance(self) -> Any:
        return self.probs * (1 - self.probs)

    def entropy(self) -> Any:
        return self._categorical().entropy()

    def _log_prob(self, x: Any) -> Any:
        return self._categorical()._log_prob(argmax(x, -1))

    def _sample(self, shape: tuple[int, ...]) -> Any:
        return self._one_hot(self._places(shape[:-1]))

    def enumerate_support(self, expand: bool = True) -> Any:
        """Give all values, along a first dimension; with `expand` for each element of the batch."""
        n, like = self._count, next(iter(self._parameters.values()))
        values = eye(n, dtype=like.dtype, device=like.device).reshape(n, *(1,) * len(self._batch_shape), n)
        return values.expand(n, *self._batch_shape, n) if expand else values


class OneHotCategoricalStraightThrough(OneHotCategorical):
    """`OneHotCategorical` whose samples have the gradients of the probabilities (Bengio and others, 2013)."""

    has_rsample = True

    def _rsample(self, shape: tuple[int, ...]) -> Any:
        probs = self.probs
        return self._sample(shape).detach() + (probs - probs.detach())


def _inside(x: Any) -> Any:
    eps = float(np.finfo(x.dtype).eps)
    return clamp(x, eps, 1 - eps)


class LogitRelaxedBernoulli(Chances):
    """The distribution of the logarithms of odds of what `RelaxedBernoulli` has."""

    arg_constraints: ClassVar = {"probs": constraints.unit_interval, "logits": constraints.real}
    support = constraints.real
    has_rsample = True

    def __init__(
        self, temperature: Any, probs: Any = None, logits: Any = None, validate_args: bool | None = None
    ) -> None:
        super().__init__(validate_args, **one_of("RelaxedBernoulli", probs, logits))
        self.temperature = variables(temperature, self._like)[0]
        if self._validate_args:
            self._refuse("parameter temperature", self.temperature, constraints.positive)

    def _log_prob(self, x: Any) -> Any:
        apart = self.logits - x * self.temperature
        return log(self.temperature) + apart - 2 * softplus(apart)

    def _rsample(self, shape: tuple[int, ...]) -> Any:
        u = _inside(self._noise("random", shape))
        return (log(u) - log1p(-u) + self.logits) / self.temperature


class RelaxedBernoulli(TransformedDistribution):
    """A distribution of numbers from 0 to 1, ever nearer to these for low temperatures, that moves with its parameters.

    Maddison and others, 2017; Jang and others, 2017.
    """

    def __init__(
        self, temperature: Any, probs: Any = None, logits: Any = None, validate_args: bool | None = None
    ) -> None:
        super().__init__(
            LogitRelaxedBernoulli(temperature, probs, logits, validate_args), SigmoidTransform(), validate_args
        )

    @property
    def temperature(self) -> Any:
        """The temperature."""
        return self.base_dist.temperature

    @property
    def probs(self) -> Any:
        """The probabilities of what is above 1/2."""
        return self.base_dist.probs

    @property
    def logits(self) -> Any:
        """The logarithms of these probabilities' odds."""
        return self.base_dist.logits


class ExpRelaxedCategorical(Classes):
    """The distribution of the logarithms of what `RelaxedOneHotCategorical` has."""

    arg_constraints: ClassVar = Categorical.arg_constraints
    support = constraints.real_vector
    has_rsample = True
    event_dim = 1

    def __init__(
        self, temperature: Any, probs: Any = None, logits: Any = None, validate_args: bool | None = None
    ) -> None:
        super().__init__(validate_args, **one_of("RelaxedOneHotCategorical", probs, logits))
        self.temperature = variables(temperature, self._like)[0]
        if self._validate_args:
            self._refuse("parameter temperature", self.temperature, constraints.positive)

    def _log_prob(self, x: Any) -> Any:
        n = self._count
        scores = self.logits - x * self.temperature
        scores = (scores - logsumexp(scores, -1, keepdim=True)).sum(-1)
        return scores + math.lgamma(n) + (n - 1) * log(self.temperature)

    def _rsample(self, shape: tuple[int, ...]) -> Any:
        gumbel = -log(-log(_inside(self._noise("random", shape))))
        scores = (self.logits + gumbel) / self.temperature
        return scores - logsumexp(scores, -1, keepdim=True)


class RelaxedOneHotCategorical(TransformedDistribution):
    """A distribution of shares, ever nearer to all for one at low temperatures, that moves with its parameters.

    Maddison and others, 2017; Jang and others, 2017.
    """

    def __init__(
        self, temperature: Any, probs: Any = None, logits: Any = None, validate_args: bool | None = None
    ) -> None:
        super().__init__(
            ExpRelaxedCategorical(temperature, probs, logits, validate_args), ExpTransform(), validate_args
        )

    @property
    def support(self) -> constraints.Constraint:
        return constraints.simplex

    @property
    def temperature(self) -> Any:
        """The temperature."""
        return self.base_dist.temperature

    @property
    def probs(self) -> Any:
        """The probabilities of classes to have the largest share."""
        return self.base_dist.probs

    @property
    def logits(self) -> Any:
        """The logarithms of these probabilities."""
        return self.base_dist.logits


class LogisticNormal(TransformedDistribution):
    """The distribution of shares that normal numbers make by breaking a stick, one more than there are numbers."""

    def __init__(self, loc: Any, scale: Any, validate_args: bool | None = None) -> None:
        base = Normal(loc, scale, validate_args)
        if not base.batch_shape:
            raise ValueError("LogisticNormal: loc and scale have one dimension or more, the last that of the numbers")
        super().__init__(base, StickBreakingTransform(), validate_args)

    @property
    def loc(self) -> Any:
        """The means of the normal numbers."""
        return self.base_dist.base_dist.loc

    @property
    def scale(self) -> Any:
        """The standard deviations of the normal numbers."""
        return self.base_dist.base_dist.scale
