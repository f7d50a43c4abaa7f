"""Invertible maps, which make distributions of others: `TransformedDistribution` has densities and samples of these."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..kernels import dispatch
from ..kernels.shapes import broadcast_shapes
from ..ops.creation import zeros_like
from ..ops.diagonals import diag_embed, diagonal
from ..ops.elementwise import abs, atanh, clamp, exp, expm1, log, log1p, sigmoid, softplus, tanh
from ..ops.joining import cat
from ..ops.reduction import softmax
from ..ops.scan import cumprod, cumsum
from ..variable import Variable, as_variable, data_of
from . import constraints
from .constraints import Constraint
from .distribution import Distribution, sum_rightmost
from .transform import ComposeTransform as ComposeTransform
from .transform import IndependentTransform as IndependentTransform
from .transform import ReshapeTransform as ReshapeTransform
from .transform import Transform as Transform
from .transform import identity_transform as identity_transform


class ExpTransform(Transform):
    """``exp(x)``."""

    codomain = constraints.positive
    bijective = True
    sign = 1

    def _call(self, x: Any) -> Any:
        return exp(x)

    def _inverse(self, y: Any) -> Any:
        return log(y)

    def log_abs_det_jacobian(self, x: Any, y: Any) -> Any:
        return as_variable(x)


class PowerTransform(Transform):
    """``x**exponent``, of numbers above 0."""

    domain = codomain = constraints.positive
    bijective = True

    def __init__(self, exponent: Any, cache_size: int = 0) -> None:
        super().__init__(cache_size)
        self.exponent = exponent

    @property
    def sign(self) -> Any:
        return _sign(self.exponent)

    def _call(self, x: Any) -> Any:
        return x**self.exponent

    def _inverse(self, y: Any) -> Any:
        return y ** (1 / self.exponent)

    def log_abs_det_jacobian(self, x: Any, y: Any) -> Any:
        return log(abs(self.exponent * y / x))

    def forward_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        return broadcast_shapes(tuple(shape), np.shape(data_of(self.exponent)))

    inverse_shape = forward_shape


def _constant(values: Any, x: Any) -> Any:
    """Give numbers in the dtype of x and where that is."""
    return dispatch.beside(np.asarray(values, x.dtype), data_of(x))


def _sign(x: Any) -> Any:
    return x.sign() if hasattr(x, "sign") else np.sign(x)


class SigmoidTransform(Transform):
    """``1 / (1 + exp(-x))``, kept off 0 and 1."""

    codomain = constraints.unit_interval
    bijective = True
    sign = 1

    def _call(self, x: Any) -> Any:
        kind = np.finfo(x.dtype)
        return clamp(sigmoid(x), float(kind.tiny), 1 - float(kind.eps))

    def _inverse(self, y: Any) -> Any:
        kind = np.finfo(y.dtype)
        y = clamp(y, float(kind.tiny), 1 - float(kind.eps))
        return log(y) - log1p(-y)

    def log_abs_det_jacobian(self, x: Any, y: Any) -> Any:
        return -softplus(-x) - softplus(x)


class SoftplusTransform(Transform):
    """``log(1 + exp(x))``."""

    codomain = constraints.positive
    bijective = True
    sign = 1

    def _call(self, x: Any) -> Any:
        return softplus(x)

    def _inverse(self, y: Any) -> Any:
        return log(-expm1(-y)) + y

    def log_abs_det_jacobian(self, x: Any, y: Any) -> Any:
        return -softplus(-x)


class TanhTransform(Transform):
    """``tanh(x)``, whose way back loses the digits near -1 and 1 that a cache keeps."""

    codomain = constraints.interval(-1.0, 1.0)
    bijective = True
    sign = 1

    def _call(self, x: Any) -> Any:
        return tanh(x)

    def _inverse(self, y: Any) -> Any:
        return atanh(y)

    def log_abs_det_jacobian(self, x: Any, y: Any) -> Any:
        return 2 * (math.log(2) - x - softplus(-2 * x))


class AbsTransform(Transform):
    """``|x|``, which has no inverse: the way back gives what is above 0."""

    codomain = constraints.positive

    def _call(self, x: Any) -> Any:
        return abs(x)

    def _inverse(self, y: Any) -> Any:
        return y


class AffineTransform(Transform):
    """``loc + scale * x``; `event_dim` dimensions are taken together."""

    bijective = True

    def __init__(self, loc: Any, scale: Any, event_dim: int = 0, cache_size: int = 0) -> None:
        super().__init__(cache_size)
        self.loc, self.scale, self._event_dim = loc, scale, event_dim

    @property
    def domain(self) -> Constraint:
        return constraints.independent(constraints.real, self._event_dim)

    codomain = domain

    @property
    def sign(self) -> Any:
        return _sign(self.scale)

    def _call(self, x: Any) -> Any:
        return self.loc + self.scale * x

    def _inverse(self, y: Any) -> Any:
        return (y - self.loc) / self.scale

    def log_abs_det_jacobian(self, x: Any, y: Any) -> Any:
        size = abs(self.scale) if isinstance(self.scale, Variable) else np.abs(self.scale)
        grown = log(size) if isinstance(size, Variable) else _constant(np.log(size), x)
        found = zeros_like(as_variable(x)) + grown
        return sum_rightmost(found, self._event_dim)

    def forward_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        return broadcast_shapes(tuple(shape), np.shape(data_of(self.loc)), np.shape(data_of(self.scale)))

    inverse_shape = forward_shape


class SoftmaxTransform(Transform):
    """Shares of exponentials, which has no inverse: the way back gives the shares' logarithms."""

    domain = constraints.real_vector
    codomain = constraints.simplex

    def _call(self, x: Any) -> Any:
        return softmax(x, -1)

    def _inverse(self, y: Any) -> Any:
        return log(y)


class StickBreakingTransform(Transform):
    """Shares of one stick, one more than there are numbers: of what is left, each breaks off a sigmoid's share."""

    domain = constraints.real_vector
    codomain = constraints.simplex
    bijective = True

    def _offset(self, x: Any) -> Any:
        return _constant(np.log(np.arange(x.shape[-1], 0, -1)), x)  # with which zeros make equal shares

    def _call(self, x: Any) -> Any:
        z = SigmoidTransform()(x - self._offset(x))
        left = cumprod(1 - z, -1)
        one = zeros_like(z[..., :1]) + 1
        return cat([z, one], -1) * cat([one, left], -1)

    def _inverse(self, y: Any) -> Any:
        cropped = y[..., :-1]
        left = clamp(1 - cumsum(cropped, -1), min=float(np.finfo(y.dtype).tiny))
        return log(cropped) - log(left) + self._offset(cropped)

    def log_abs_det_jacobian(self, x: Any, y: Any) -> Any:
        x = x - self._offset(x)
        return (-x - softplus(-x) + log(y[..., :-1])).sum(-1)

    def forward_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        return (*shape[:-1], shape[-1] + 1)

    def inverse_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        return (*shape[:-1], shape[-1] - 1)


class LowerCholeskyTransform(Transform):
    """Lower triangles of any numbers to those with a diagonal above 0, by its exponential."""

    domain = constraints.independent(constraints.real, 2)
    codomain = constraints.lower_cholesky

    def _call(self, x: Any) -> Any:
        return x.tril(-1) + diag_embed(exp(diagonal(x, 0, -2, -1)))

    def _inverse(self, y: Any) -> Any:
        return y.tril(-1) + diag_embed(log(diagonal(y, 0, -2, -1)))


class CorrCholeskyTransform(Transform):
    """n * (n - 1) / 2 numbers to the Cholesky factor of a correlation matrix: each line a stick of squares."""

    domain = constraints.real_vector
    codomain = constraints.corr_cholesky
    bijective = True

    @staticmethod
    def _size(count: int) -> int:
        n = round((0.25 + 2 * count) ** 0.5 + 0.5)
        if n * (n - 1) // 2 != count:
            raise ValueError(f"CorrCholeskyTransform: {count} numbers are not those below a diagonal")
        return n

    def _call(self, x: Any) -> Any:
        n, eps = self._size(x.shape[-1]), float(np.finfo(x.dtype).eps)
        rows, columns = np.tril_indices(n, -1)
        share = clamp(tanh(x), -1 + eps, 1 - eps)
        where_in = np.zeros((n, n), np.int64)
        where_in[rows, columns] = np.arange(len(rows))
        below = _constant(np.tril(np.ones((n, n)), -1), x)
        r = share[..., where_in.reshape(-1)].reshape(*x.shape[:-1], n, n) * below
        left = cumprod(1 - r * r, -1) ** 0.5
        one = zeros_like(left[..., :1]) + 1
        return (r + _constant(np.eye(n), x)) * cat([one, left[..., :-1]], -1)

    def _inverse(self, y: Any) -> Any:
        n = y.shape[-1]
        rows, columns = np.tril_indices(n, -1)
        left = 1 - cumsum(y * y, -1)
        one = zeros_like(left[..., :1]) + 1
        before = cat([one, left[..., :-1]], -1)
        share = y[..., rows, columns] / before[..., rows, columns] ** 0.5
        return 0.5 * (log1p(share) - log1p(-share))

    def log_abs_det_jacobian(self, x: Any, y: Any) -> Any:
        left = 1 - cumsum(y * y, -1)
        rows, columns = np.tril_indices(y.shape[-1], -2)
        sticks = 0.5 * log(left[..., rows, columns]).sum(-1)
        return sticks - 2 * (x + softplus(-2 * x) - math.log(2)).sum(-1)

    def forward_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        n = self._size(shape[-1])
        return (*shape[:-1], n, n)

    def inverse_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        if len(shape) < 2 or shape[-1] != shape[-2]:
            raise ValueError(f"CorrCholeskyTransform: matrices of shape {tuple(shape)} are not square")
        n = shape[-1]
        return (*shape[:-2], n * (n - 1) // 2)


class CumulativeDistributionTransform(Transform):
    """The share of a distribution that lies below a number."""

    codomain = constraints.unit_interval
    bijective = True
    sign = 1

    def __init__(self, distribution: Distribution, cache_size: int = 0) -> None:
        super().__init__(cache_size)
        self.distribution = distribution

    @property
    def domain(self) -> Any:
        return self.distribution.support

    def _call(self, x: Any) -> Any:
        return self.distribution.cdf(x)

    def _inverse(self, y: Any) -> Any:
        return self.distribution.icdf(y)

    def log_abs_det_jacobian(self, x: Any, y: Any) -> Any:
        return self.distribution.log_prob(x)
