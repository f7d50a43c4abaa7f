"""Weights that are computed: a length and a direction, or with the largest singular value brought to 1."""

from __future__ import annotations

from typing import Any

from ...grad_mode import no_grad
from ...ops.drawing import normal
from ...ops.norms import norm
from ..modules import Module
from .parametrize import register_parametrization


class _WeightNorm(Module):
    def __init__(self, dim: int | None) -> None:
        super().__init__()
        self.dim = dim

    def _length(self, direction: Any) -> Any:
        if self.dim is None or self.dim == -1:
            return norm(direction)
        return norm(direction, dim=tuple(k for k in range(direction.ndim) if k != self.dim), keepdim=True)

    def forward(self, length: Any, direction: Any) -> Any:
        return direction * (length / self._length(direction))

    def right_inverse(self, weight: Any) -> Any:
        return self._length(weight), weight


def weight_norm(module: Any, name: str = "weight", dim: int | None = 0) -> Any:
    """Compute a weight from lengths, `original0`, and directions, `original1`: ``g * v / |v|`` for each place of `dim`.

    Salimans and Kingma, 2016. One length for all where `dim` is None. Gives `module`.
    """
    return register_parametrization(module, name, _WeightNorm(dim))


class _SpectralNorm(Module):
    def __init__(self, weight: Any, rounds: int, eps: float, dim: int) -> None:
        super().__init__()
        self.rounds, self.eps, self.dim = rounds, eps, dim % weight.ndim
        if weight.ndim > 1:
            with no_grad():
                matrix = self._matrix(weight.detach())
                for name, size in zip(("_u", "_v"), matrix.shape, strict=True):
                    drawn = normal(0.0, 1.0, (size,), dtype=weight.dtype, device=weight.device)
                    self.register_buffer(name, self._normal(drawn))
                self._iterate(matrix, 15)

    def _normal(self, x: Any) -> Any:
        return x / norm(x).clip(self.eps, None)

    def _matrix(self, weight: Any) -> Any:
        return weight.moveaxis(self.dim, 0).reshape((weight.shape[self.dim], -1))

    def _iterate(self, matrix: Any, rounds: int) -> None:
        for _ in range(rounds):
            self._u.copy_(self._normal(matrix @ self._v))
            self._v.copy_(self._normal(matrix.T @ self._u))

    def forward(self, weight: Any) -> Any:
        if weight.ndim == 1:
            return self._normal(weight)
        matrix = self._matrix(weight)
        if self.training:
            with no_grad():
                self._iterate(matrix.detach(), self.rounds)
        u, v = self._u.clone(), self._v.clone()  # a later call moves them, before this one's backward
        return weight / (u @ (matrix @ v))


def spectral_norm(
    module: Any, name: str = "weight", n_power_iterations: int = 1, eps: float = 1e-12, dim: int | None = None
) -> Any:
    """Divide a weight by its largest singular value, which each call in training comes closer to.

    Miyato and others, 2018: power iteration on the matrix whose rows are the places of `dim`, by default the outputs.
    Gives `module`.
    """
    weight = module._parameters.get(name)
    if weight is None:
        raise ValueError(f"spectral_norm: {type(module).__name__} has no parameter {name!r}")
    if n_power_iterations <= 0:
        raise ValueError(f"spectral_norm: n_power_iterations is positive, got {n_power_iterations}")
    if dim is None:
        dim = 1 if type(module).__name__.startswith("ConvTranspose") else 0
    return register_parametrization(module, name, _SpectralNorm(weight, n_power_iterations, eps, dim))
