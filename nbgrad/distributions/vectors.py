"""Distributions of vectors, with densities."""

from __future__ import annotations

import math
from typing import Any, ClassVar

from ..ops.creation import eye
from ..ops.decomposition import cholesky, transposed
from ..ops.diagonals import diagonal
from ..ops.elementwise import clamp, digamma, lgamma, log, square
from ..ops.factorization import cholesky_inverse, solve_triangular
from ..ops.special import xlogy
from ..variable import Variable
from . import constraints
from .distribution import Distribution
from .drawing import standard_dirichlet


class Dirichlet(Distribution):
    """The Dirichlet distribution, of shares that add up to 1, by a number above 0 for each."""

    arg_constraints: ClassVar = {"concentration": constraints.independent(constraints.positive, 1)}
    support = constraints.simplex
    has_rsample = True
    event_dim = 1
    concentration: Variable

    def __init__(self, concentration: Any, validate_args: bool | None = None) -> None:
        super().__init__(validate_args, concentration=concentration)

    @property
    def mean(self) -> Any:
        return self.concentration / self.concentration.sum(-1, keepdim=True)

    @property
    def mode(self) -> Any:
        above = clamp(self.concentration - 1, min=0.0)
        return above / above.sum(-1, keepdim=True)

    @property
    def variance(self) -> Any:
        total = self.concentration.sum(-1, keepdim=True)
        return self.concentration * (total - self.concentration) / (square(total) * (total + 1))

    def _log_constant(self) -> Any:
        return lgamma(self.concentration).sum(-1) - lgamma(self.concentration.sum(-1))

    def entropy(self) -> Any:
        a, total = self.concentration, self.concentration.sum(-1)
        shares = ((a - 1) * digamma(a)).sum(-1)
        return self._log_constant() + (total - a.shape[-1]) * digamma(total) - shares

    def _log_prob(self, x: Any) -> Any:
        return xlogy(self.concentration - 1, x).sum(-1) - self._log_constant()

    def _rsample(self, shape: tuple[int, ...]) -> Any:
        return standard_dirichlet(self.concentration.expand(shape))


class MultivariateNormal(Distribution):
    """The normal distribution of vectors, by the mean and the covariance, its inverse, or its Cholesky factor."""

    arg_constraints: ClassVar = {
        "loc": constraints.real_vector,
        "covariance_matrix": constraints.positive_definite,
        "precision_matrix": constraints.positive_definite,
        "scale_tril": constraints.lower_cholesky,
    }
    support = constraints.real_vector
    has_rsample = True
    event_dim = 1
    loc: Variable
    scale_tril: Variable

    def __init__(
        self,
        loc: Any,
        covariance_matrix: Any = None,
        precision_matrix: Any = None,
        scale_tril: Any = None,
        validate_args: bool | None = None,
    ) -> None:
        matrices = {
            "covariance_matrix": covariance_matrix, "precision_matrix": precision_matrix, "scale_tril": scale_tril
        }  # fmt: skip
        given = {name: matrix for name, matrix in matrices.items() if matrix is not None}
        if len(given) != 1:
            raise ValueError(
                f"MultivariateNormal: {' and '.join(given) or 'no matrix'} given: give one of {', '.join(matrices)}"
            )
        super().__init__(validate_args, loc=loc, **given)
        (name,) = given
        matrix, n = self._parameters.pop(name), self._event_shape[0]
        if matrix.shape[-2:] != (n, n):
            raise ValueError(f"MultivariateNormal: {name} of shape {matrix.shape} for vectors of {n} numbers")
        if (
            name == "precision_matrix"
        ):  # of P = U @ U.T with an upper triangle, whose inverse, transposed, is the factor
            upper = cholesky(matrix.flip(-2, -1)).flip(-2, -1)
            matrix = solve_triangular(transposed(upper), eye(n, dtype=matrix.dtype, device=matrix.device), upper=False)
        self._parameters["scale_tril"] = cholesky(matrix) if name == "covariance_matrix" else matrix

    @property
    def covariance_matrix(self) -> Any:
        """The covariance."""
        return self.scale_tril @ transposed(self.scale_tril)

    @property
    def precision_matrix(self) -> Any:
        """The inverse of the covariance."""
        return cholesky_inverse(self.scale_tril)

    @property
    def mean(self) -> Any:
        return self.loc

    mode = mean

    @property
    def variance(self) -> Any:
        return square(self.scale_tril).sum(-1)

    def half_log_det(self) -> Any:
        """Give half of the logarithm of the covariance's determinant."""
        return log(diagonal(self.scale_tril, 0, -2, -1)).sum(-1)

    def distance(self, x: Any) -> Any:
        """Give the squared distance of vectors from the mean, in units of the deviation in each direction."""
        centred = x - self.loc
        batch = len(self._batch_shape)
        if centred.ndim == batch + 1:
            return square(solve_triangular(self.scale_tril, centred[..., None], upper=False)).sum((-2, -1))
        # samples become columns, so that a matrix of the batch is solved with once
        columns = centred.reshape(-1, *centred.shape[centred.ndim - batch - 1 :]).movedim(0, -1)
        found = square(solve_triangular(self.scale_tril, columns, upper=False)).sum(-2)
        return found.movedim(-1, 0).reshape(centred.shape[:-1])

    def entropy(self) -> Any:
        return self.half_log_det() + 0.5 * self._event_shape[0] * (1 + math.log(2 * math.pi))

    def _log_prob(self, x: Any) -> Any:
        constant = 0.5 * self._event_shape[0] * math.log(2 * math.pi)
        return -0.5 * self.distance(x) - self.half_log_det() - constant

    def _rsample(self, shape: tuple[int, ...]) -> Any:
        noise = self._noise("standard_normal", shape)
        return self.loc + (self.scale_tril @ noise[..., None])[..., 0]
