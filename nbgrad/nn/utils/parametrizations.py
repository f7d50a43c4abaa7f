"""Weights that are computed: lengths and directions, the largest singular value brought to 1, orthogonal matrices."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...grad_mode import no_grad
from ...ops.creation import eye, ones_like, zeros
from ...ops.decomposition import qr, solve
from ...ops.drawing import normal
from ...ops.elementwise import where
from ...ops.factorization import geqrf, householder_product
from ...ops.joining import cat
from ...ops.matrices import matrix_exp
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


class _Orthogonal(Module):
    """Columns that are orthonormal, or rows where these are fewer, by a map from matrices of any numbers."""

    def __init__(self, shape: tuple[int, ...], orthogonal_map: str, from_base: bool) -> None:
        super().__init__()
        self.shape, self.orthogonal_map, self.from_base = shape, orthogonal_map, from_base
        if from_base:
            self.register_buffer("base", None)

    def forward(self, original: Any) -> Any:
        wide = original.shape[-2] < original.shape[-1]
        x = original.mT if wide else original
        n, k = x.shape[-2:]
        if self.orthogonal_map == "householder":
            a = x.tril(-1)
            # the diagonal says which columns are turned round, and is not to be learned
            signs = x.detach().diagonal(0, -2, -1).trunc().unsqueeze(-2)
            q = householder_product(a, 2 / (1 + (a * a).sum(-2))) * signs
        else:
            x = x.tril()
            if n > k:
                x = cat([x, zeros(*x.shape[:-1], n - k, dtype=x.dtype, device=x.device)], -1)
            skew = x - x.mT
            if self.orthogonal_map == "matrix_exp":
                q = matrix_exp(skew)
            else:
                one = eye(n, dtype=x.dtype, device=x.device)
                q = solve(one - skew / 2, one + skew / 2)
            q = q[..., :k]
        q = self.base @ q if self.from_base else q
        return q.mT if wide else q

    def right_inverse(self, weight: Any) -> Any:
        wide = weight.shape[-2] < weight.shape[-1]
        with no_grad():
            q = weight.mT if wide else weight
            n, k = q.shape[-2:]
            if not self.from_base:
                if self.orthogonal_map != "householder":
                    return weight  # which matrix has this one for its value nobody asks
                a, tau = geqrf(q)
                # a reflection that LAPACK leaves out is one about nothing here, which turns its column round
                signs = a.diagonal(0, -2, -1).sign() * where(tau == 0, -1.0, 1.0).astype(a.dtype)
                a = a.tril(-1) + a.triu(1) + _tall(signs, n)
                return a.mT if wide else a
            if n > k:
                q = cat([q, normal(0.0, 1.0, (*q.shape[:-1], n - k), dtype=q.dtype, device=q.device)], -1)
            one = eye(n, dtype=q.dtype, device=q.device)
            if n > k or not bool((abs(q.mT @ q - one) <= 10 * n * np.finfo(q.dtype).eps).all()):
                q, r = qr(q)
                q = q * r.diagonal(0, -2, -1).sign().unsqueeze(-2)
            self.base = q.clone()
            start = -_tall(ones_like(q[..., 0, :k]), n)  # whose value is the first columns of 1 by each of the maps
            return start.mT if wide else start


def _tall(diagonal: Any, rows: int) -> Any:
    """Give matrices of so many rows with a diagonal, and 0 elsewhere."""
    k = diagonal.shape[-1]
    return eye(rows, k, dtype=diagonal.dtype, device=diagonal.device) * diagonal.unsqueeze(-2)


def orthogonal(
    module: Any, name: str = "weight", orthogonal_map: str | None = None, *, use_trivialization: bool = True
) -> Any:
    """Compute a weight with orthonormal columns, or rows where these are fewer, of matrices in the last two dimensions.

    `orthogonal_map` is ``"matrix_exp"``, ``"cayley"``, ``(1 + A/2) (1 - A/2)**-1``, both of the skew-symmetric A that
    the lower triangle of the original makes, or ``"householder"``, a product of reflections; the first for square
    matrices, the last for others if not given. With `use_trivialization` (Lezcano-Casado, 2019) what is learned starts
    from the weight that there is, made orthogonal, which is kept in the buffer `base`. Gives `module`.

    Raises ValueError for what is no parameter, for less than two dimensions and for another map.

    >>> import nbgrad
    >>> layer = nbgrad.nn.utils.parametrizations.orthogonal(nbgrad.nn.Linear(3, 5))
    >>> bool(nbgrad.allclose(layer.weight.T @ layer.weight, nbgrad.eye(3), atol=1e-6))
    True
    """
    weight = module._parameters.get(name)
    if weight is None:
        raise ValueError(f"orthogonal: {type(module).__name__} has no parameter {name!r}")
    if weight.ndim < 2:
        raise ValueError(f"orthogonal: {name!r} has shape {weight.shape}: matrices have two dimensions or more")
    if orthogonal_map is None:
        orthogonal_map = "matrix_exp" if weight.shape[-2] == weight.shape[-1] else "householder"
    if orthogonal_map not in ("matrix_exp", "cayley", "householder"):
        raise ValueError(f"orthogonal: orthogonal_map is matrix_exp, cayley or householder, not {orthogonal_map!r}")
    made = _Orthogonal(weight.shape, orthogonal_map, use_trivialization)
    return register_parametrization(module, name, made, unsafe=True)
