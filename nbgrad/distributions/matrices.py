"""Distributions of vectors by few directions, and of correlations."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np

from ..kernels import dispatch
from ..ops.creation import eye
from ..ops.decomposition import cholesky, transposed
from ..ops.diagonals import diag_embed, diagonal
from ..ops.elementwise import clamp, lgamma, log, sqrt, square
from ..ops.factorization import solve_triangular
from ..ops.joining import stack
from ..ops.special import multigammaln
from ..variable import Variable
from . import constraints
from .distribution import Distribution
from .drawing import standard_dirichlet


class LowRankMultivariateNormal(Distribution):
    """The normal distribution of vectors whose covariance is ``cov_factor @ cov_factor.T + diag(cov_diag)``.

    What is solved has as many equations as the factor has columns (Woodbury's identity).
    """

    arg_constraints: ClassVar = {
        "loc": constraints.real_vector,
        "cov_factor": constraints.independent(constraints.real, 2),
        "cov_diag": constraints.independent(constraints.positive, 1),
    }
    support = constraints.real_vector
    has_rsample = True
    event_dim = 1
    loc: Variable
    cov_factor: Variable
    cov_diag: Variable

    def __init__(self, loc: Any, cov_factor: Any, cov_diag: Any, validate_args: bool | None = None) -> None:
        super().__init__(validate_args, loc=loc, cov_factor=cov_factor, cov_diag=cov_diag)
        n = self._event_shape[0]
        if self.cov_factor.shape[-2] != n or self.cov_diag.shape[-1] != n:
            raise ValueError(
                f"LowRankMultivariateNormal: cov_factor of shape {self.cov_factor.shape} and cov_diag of shape "
                f"{self.cov_diag.shape} for vectors of {n} numbers"
            )

    def _capacitance(self) -> Any:
        """Give the Cholesky factor of ``1 + W.T @ inv(D) @ W``."""
        w = self.cov_factor
        one = eye(w.shape[-1], dtype=w.dtype, device=w.device)
        return cholesky(transposed(w) @ (w / self.cov_diag[..., None]) + one)

    @property
    def mean(self) -> Any:
        return self.loc

    mode = mean

    @property
    def variance(self) -> Any:
        return square(self.cov_factor).sum(-1) + self.cov_diag

    @property
    def covariance_matrix(self) -> Any:
        """The covariance."""
        return self.cov_factor @ transposed(self.cov_factor) + diag_embed(self.cov_diag)

    @property
    def precision_matrix(self) -> Any:
        """The inverse of the covariance."""
        part = solve_triangular(
            self._capacitance(), transposed(self.cov_factor / self.cov_diag[..., None]), upper=False
        )
        return diag_embed(1 / self.cov_diag) - transposed(part) @ part

    @property
    def scale_tril(self) -> Any:
        """The Cholesky factor of the covariance."""
        root = sqrt(self.cov_diag)[..., None]
        scaled = self.cov_factor / root
        n = self._event_shape[0]
        return root * cholesky(scaled @ transposed(scaled) + eye(n, dtype=scaled.dtype, device=scaled.device))

    def _half_log_det(self, factor: Any) -> Any:
        return log(diagonal(factor, 0, -2, -1)).sum(-1) + 0.5 * log(self.cov_diag).sum(-1)

    def entropy(self) -> Any:
        return self._half_log_det(self._capacitance()) + 0.5 * self._event_shape[0] * (1 + math.log(2 * math.pi))

    def _log_prob(self, x: Any) -> Any:
        factor, centred = self._capacitance(), x - self.loc
        scaled = centred / self.cov_diag
        columns = transposed(self.cov_factor) @ scaled[..., None]
        if columns.ndim > factor.ndim:
            factor = factor.expand(*columns.shape[:-2], *factor.shape[-2:])
        within = square(solve_triangular(factor, columns, upper=False)).sum((-2, -1))
        distance = (centred * scaled).sum(-1) - within
        constant = 0.5 * self._event_shape[0] * math.log(2 * math.pi)
        return -0.5 * distance - self._half_log_det(self._capacitance()) - constant

    def _rsample(self, shape: tuple[int, ...]) -> Any:
        common = self._noise("standard_normal", (*shape[:-1], self.cov_factor.shape[-1]))
        own = sqrt(self.cov_diag) * self._noise("standard_normal", shape)
        return self.loc + (self.cov_factor @ common[..., None])[..., 0] + own


class LKJCholesky(Distribution):
    """The distribution of Cholesky factors of correlation matrices of `dim` rows (Lewandowski and others, 2009).

    The matrix itself has a density that goes with its determinant to the power of ``concentration - 1``.
    """

    arg_constraints: ClassVar = {"concentration": constraints.positive}
    support = constraints.corr_cholesky
    concentration: Variable

    def __init__(self, dim: int, concentration: Any = 1.0, validate_args: bool | None = None) -> None:
        if not isinstance(dim, int) or dim < 2:
            raise ValueError(f"LKJCholesky: dim is a whole number, 2 or above, got {dim!r}")
        self.dim = dim
        super().__init__(validate_args, concentration=concentration)
        self._event_shape = (dim, dim)

    def _log_prob(self, x: Any) -> Any:
        n = self.dim
        orders = dispatch.beside(np.arange(n - 2, -1, -1, dtype=self._like.dtype), self._like)
        powers = 2 * (self.concentration - 1)[..., None] + orders
        found = (powers * log(diagonal(x, 0, -2, -1)[..., 1:])).sum(-1)
        alpha = self.concentration + 0.5 * (n - 1)
        constant = 0.5 * (n - 1) * math.log(math.pi) + multigammaln(alpha - 0.5, n - 1) - (n - 1) * lgamma(alpha)
        return found - constant

    def _sample(self, shape: tuple[int, ...]) -> Any:
        n = self.dim
        # each row is a direction of as many numbers as lie below the diagonal, and has a share of length 1
        rows = np.maximum(np.arange(n, dtype=self._like.dtype) - 1, 0)
        first = dispatch.beside(0.5 * (rows + 1), self._like)
        second = (self.concentration + 0.5 * (n - 2))[..., None] - 0.5 * dispatch.beside(rows, self._like)
        outer = (*shape[:-2], n)
        share = standard_dirichlet(stack([(first + 0 * second).expand(outer), second.expand(outer)], -1))[..., 0]
        noise = self._noise("standard_normal", shape).tril(-1)
        length = sqrt(square(noise).sum(-1, keepdim=True))
        tiny = float(np.finfo(self._like.dtype).tiny)
        below = sqrt(share)[..., None] * noise / clamp(length, min=tiny)
        return below + diag_embed(sqrt(clamp(1 - square(below).sum(-1), min=tiny)))
