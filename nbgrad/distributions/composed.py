"""Distributions made of others: of several values at once, and of one of several kinds."""

from __future__ import annotations

from typing import Any

from ..kernels.shapes import broadcast_shapes
from ..ops.arguments import whole_numbers
from ..ops.elementwise import square
from ..ops.joining import take_along_dim
from ..ops.reduction import logsumexp
from . import constraints
from .constraints import Constraint
from .discrete import Categorical
from .distribution import Distribution, sum_rightmost


class Composed(Distribution):
    """A distribution whose parameters are those of others."""

    def __init__(self, validate_args: bool | None, batch: tuple[int, ...], event: tuple[int, ...]) -> None:
        if validate_args is not None:
            self._validate_args = validate_args
        self._parameters, self._batch_shape, self._event_shape = {}, batch, event

    def _parts(self) -> dict[str, Distribution]:
        raise NotImplementedError

    @property
    def _like(self) -> Any:
        return next(iter(self._parts().values()))._like

    def __repr__(self) -> str:
        return f"{self._name}({', '.join(map(repr, self._parts().values()))})"


class Independent(Composed):
    """A distribution of arrays: the last `reinterpreted_batch_ndims` of a batch are dimensions of its values."""

    def __init__(
        self, base_distribution: Distribution, reinterpreted_batch_ndims: int, validate_args: bool | None = None
    ) -> None:
        base, ndims = base_distribution, reinterpreted_batch_ndims
        if not 0 <= ndims <= len(base.batch_shape):
            raise ValueError(f"Independent: {ndims} dimensions of a batch of shape {base.batch_shape}")
        cut = len(base.batch_shape) - ndims
        super().__init__(validate_args, base.batch_shape[:cut], (*base.batch_shape[cut:], *base.event_shape))
        self.base_dist, self.reinterpreted_batch_ndims = base, ndims

    def _parts(self) -> dict[str, Distribution]:
        return {"base_dist": self.base_dist}

    def expand(self, batch_shape: Any) -> Independent:
        batch = whole_numbers("expand", tuple(batch_shape))
        ndims = self.reinterpreted_batch_ndims
        return Independent(self.base_dist.expand((*batch, *self._event_shape[:ndims])), ndims, self._validate_args)

    @property
    def has_rsample(self) -> Any:
        return self.base_dist.has_rsample

    @property
    def support(self) -> Constraint:
        return constraints.independent(self.base_dist.support, self.reinterpreted_batch_ndims)

    @property
    def mean(self) -> Any:
        return self.base_dist.mean

    @property
    def mode(self) -> Any:
        return self.base_dist.mode

    @property
    def variance(self) -> Any:
        return self.base_dist.variance

    def entropy(self) -> Any:
        return sum_rightmost(self.base_dist.entropy(), self.reinterpreted_batch_ndims)

    def _log_prob(self, x: Any) -> Any:
        return sum_rightmost(self.base_dist._log_prob(x), self.reinterpreted_batch_ndims)

    def _sample(self, shape: tuple[int, ...]) -> Any:
        return self.base_dist._sample(shape)

    def _rsample(self, shape: tuple[int, ...]) -> Any:
        return self.base_dist._rsample(shape)


class MixtureSameFamily(Composed):
    """The distribution of one of several, along the last dimension of a batch, by their weights."""

    def __init__(
        self,
        mixture_distribution: Categorical,
        component_distribution: Distribution,
        validate_args: bool | None = None,
    ) -> None:
        weights, components = mixture_distribution, component_distribution
        if not isinstance(weights, Categorical) or not isinstance(components, Distribution):
            given = f"{type(weights).__name__} and {type(components).__name__}"
            raise ValueError(f"MixtureSameFamily: {given} given: takes a Categorical and another distribution")
        if not components.batch_shape or components.batch_shape[-1] != weights._count:
            raise ValueError(
                f"MixtureSameFamily: {weights._count} weights for components of batch shape {components.batch_shape}: "
                "these lie along its last dimension"
            )
        batch = components.batch_shape[:-1]
        try:
            fits = broadcast_shapes(weights.batch_shape, batch) == batch
        except ValueError:
            fits = False
        if not fits:
            raise ValueError(
                f"MixtureSameFamily: weights of batch shape {weights.batch_shape} for components of {batch}"
            )
        super().__init__(validate_args, batch, components.event_shape)
        self.mixture_distribution, self.component_distribution = weights, components

    def _parts(self) -> dict[str, Distribution]:
        return {"mixture": self.mixture_distribution, "component": self.component_distribution}

    def expand(self, batch_shape: Any) -> MixtureSameFamily:
        batch = whole_numbers("expand", tuple(batch_shape))
        components = self.component_distribution.expand((*batch, self.mixture_distribution._count))
        return MixtureSameFamily(self.mixture_distribution.expand(batch), components, self._validate_args)

    @property
    def support(self) -> Constraint:
        base, ndim = self.component_distribution.support, len(self._event_shape)

        def holds(x: Any) -> Any:  # of all components, along the axis that the batch of these has last
            return base.holds(x.reshape(*x.shape[: x.ndim - ndim], 1, *x.shape[x.ndim - ndim :])).all(-1)

        return Constraint(base.text, holds, ndim)

    def _weighed(self, x: Any) -> Any:
        """Add up what components have, by their weights."""
        ndim = len(self._event_shape)
        weights = self.mixture_distribution.probs
        return (weights.reshape(*weights.shape, *(1,) * ndim) * x).sum(-1 - ndim)

    @property
    def mean(self) -> Any:
        return self._weighed(self.component_distribution.mean)

    @property
    def variance(self) -> Any:
        parts, place = self.component_distribution, -1 - len(self._event_shape)
        return self._weighed(parts.variance + square(parts.mean - self.mean.unsqueeze(place)))

    def _log_prob(self, x: Any) -> Any:
        found = self.component_distribution._log_prob(x.unsqueeze(-1 - len(self._event_shape)))
        return logsumexp(found + self.mixture_distribution.logits, -1)

    def _cdf(self, x: Any) -> Any:
        return self._weighed(self.component_distribution._cdf(x.unsqueeze(-1)))

    def _sample(self, shape: tuple[int, ...]) -> Any:
        ndim, event = len(self._event_shape), self._event_shape
        outer = shape[: len(shape) - ndim]
        kinds = self.mixture_distribution.expand(self._batch_shape)._sample(outer)
        drawn = self.component_distribution._sample((*outer, self.mixture_distribution._count, *event))
        kinds = kinds.reshape(*outer, 1, *(1,) * ndim).expand(*outer, 1, *event)
        return take_along_dim(drawn, kinds, len(outer)).squeeze(len(outer))
