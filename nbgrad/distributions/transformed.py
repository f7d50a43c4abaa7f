"""What other distributions become by maps of their values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..ops.arguments import whole_numbers
from . import constraints
from .composed import Composed, Independent
from .constraints import Constraint
from .distribution import Distribution, sum_rightmost
from .transforms import ComposeTransform, Transform


class TransformedDistribution(Composed):
    """The distribution of what a distribution's values become by maps one after the other.

    Densities go the way back: ``log_prob(y) = base.log_prob(x) - log|dy/dx|``. Shares and quantiles are there where
    maps rise or fall. Raises TypeError for what is no `Transform`, ValueError where a map takes more dimensions
    together than there are.

    >>> import nbgrad
    >>> from nbgrad.distributions import ExpTransform, LogNormal, Normal, TransformedDistribution
    >>> made = TransformedDistribution(Normal(0.5, 2.0), [ExpTransform()])
    >>> bool(nbgrad.allclose(made.log_prob(3.0), LogNormal(0.5, 2.0).log_prob(3.0)))
    True
    """

    def __init__(
        self,
        base_distribution: Distribution,
        transforms: Transform | Sequence[Transform],
        validate_args: bool | None = None,
    ) -> None:
        maps = [transforms] if isinstance(transforms, Transform) else list(transforms)
        for one in maps:
            if not isinstance(one, Transform):
                raise TypeError(f"TransformedDistribution: takes transforms, got {type(one).__name__}")
        whole, base = ComposeTransform(maps), base_distribution
        domain, codomain, event_dim = whole.domain.event_dim, whole.codomain.event_dim, len(base.event_shape)
        shape = (*base.batch_shape, *base.event_shape)
        if len(shape) < domain:
            raise ValueError(
                f"TransformedDistribution: {whole.parts} take {domain} dimensions together, and the distribution has "
                f"values of shape {shape}"
            )
        changed = whole.forward_shape(shape)
        spread = whole.inverse_shape(changed)
        if spread != shape:
            base = base.expand(spread[: len(spread) - event_dim])
        if domain > event_dim:
            base = Independent(base, domain - event_dim)
        cut = len(changed) - max(codomain, event_dim + codomain - domain)
        super().__init__(validate_args, changed[:cut], changed[cut:])
        self.base_dist, self.transforms = base, maps

    def _parts(self) -> dict[str, Distribution]:
        return {"base_dist": self.base_dist}

    def expand(self, batch_shape: Any) -> Any:
        shape: tuple[int, ...] = (*whole_numbers("expand", tuple(batch_shape)), *self._event_shape)
        for one in reversed(self.transforms):
            shape = one.inverse_shape(shape)
        base = self.base_dist.expand(shape[: len(shape) - len(self.base_dist.event_shape)])
        new = self._copy()
        TransformedDistribution.__init__(new, base, self.transforms, self._validate_args)
        return new

    @property
    def has_rsample(self) -> Any:
        return self.base_dist.has_rsample

    @property
    def support(self) -> Constraint:
        if not self.transforms:
            return self.base_dist.support
        found: Constraint = self.transforms[-1].codomain
        return constraints.independent(found, max(len(self._event_shape) - found.event_dim, 0))

    def _through(self, x: Any) -> Any:
        for one in self.transforms:
            x = one(x)
        return x

    def _back(self, y: Any) -> Any:
        for one in reversed(self.transforms):
            y = one.inv(y)
        return y

    def _of_base(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        outer = shape[: len(shape) - len(self._batch_shape) - len(self._event_shape)]
        return self.base_dist._extended(outer)

    def _sample(self, shape: tuple[int, ...]) -> Any:
        return self._through(self.base_dist._sample(self._of_base(shape)))

    def _rsample(self, shape: tuple[int, ...]) -> Any:
        return self._through(self.base_dist._rsample(self._of_base(shape)))

    def _log_prob(self, y: Any) -> Any:
        event_dim, total = len(self._event_shape), 0.0
        for one in reversed(self.transforms):
            x = one.inv(y)
            event_dim += one.domain.event_dim - one.codomain.event_dim
            total = total - sum_rightmost(one.log_abs_det_jacobian(x, y), event_dim - one.domain.event_dim)
            y = x
        return total + sum_rightmost(self.base_dist._log_prob(y), event_dim - len(self.base_dist.event_shape))

    def _turned(self, share: Any) -> Any:
        """Give the share below for that above where the maps fall, and the other way round."""
        sign = ComposeTransform(self.transforms).sign
        return share if isinstance(sign, int) and sign == 1 else sign * (share - 0.5) + 0.5

    def _cdf(self, y: Any) -> Any:
        return self._turned(self.base_dist._cdf(self._back(y)))

    def _icdf(self, p: Any) -> Any:
        return self._through(self.base_dist._icdf(self._turned(p)))
