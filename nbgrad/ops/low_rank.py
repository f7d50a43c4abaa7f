"""The leading singular values of a matrix, by a random basis of what it maps to."""

from __future__ import annotations

from typing import Any

from ..registry import operation
from ..variable import data_of
from .creation import randn
from .decomposition import qr, svd
from .elementwise import sub
from .linalg import matmul
from .older import USV
from .picking import operand
from .reduction import mean
from .shape import broadcast_to, swapaxes


@operation(method=False)
def svd_lowrank(A: Any, q: int | None = 6, niter: int | None = 2, M: Any = None) -> Any:
    """Give about the q largest singular values of ``A - M``, and their vectors: (U, S, V); ``(U * S) @ V.T`` is near.

    A has the shape (..., m, n), M one that broadcasts to it, U (..., m, q), S (..., q), V (..., n, q). They are those
    of A in a random subspace that `niter` multiplications by A and its transpose have turned to the largest ones
    (N. Halko, P. G. Martinsson, J. A. Tropp, "Finding structure with randomness", 2011, algorithms 4.4 and 5.1); exact
    where the rank is at most q. Raises ValueError for a q that is negative or more than m or n, and for other shapes.

    >>> import nbgrad
    >>> nbgrad.svd_lowrank(nbgrad.tensor([[3.0, 4.0], [6.0, 8.0]]), 1)[1]
    Variable([11.18033989])
    """
    return _leading("svd_lowrank", operand(A), 6 if q is None else q, niter, M)


@operation(method=False)
def pca_lowrank(A: Any, q: int | None = None, center: bool = True, niter: int = 2) -> Any:
    """Give about the q principal components of the rows of A: `svd_lowrank` of A without the mean row if `center`.

    q is 6 unless given, or m or n if these are less. Raises ValueError as `svd_lowrank` does.
    """
    x = operand(A)
    most = min(x.shape[-2:]) if x.ndim > 1 else 0
    q = min(6, most) if q is None else q
    return _leading("pca_lowrank", x, q, niter, mean(x, -2, True) if center and x.ndim > 1 else None)


def _leading(what: str, x: Any, q: int, niter: int | None, centre: Any) -> Any:
    niter = 2 if niter is None else niter
    if x.ndim < 2 or not 0 <= q <= min(x.shape[-2:]) or niter < 0:
        raise ValueError(
            f"{what}: matrices have shape {x.shape}, q is {q}, niter {niter}: q is from 0 to the smaller size, "
            "niter at least 0"
        )
    if centre is not None:
        x = sub(x, broadcast_to(operand(centre), x.shape))
    wide = x.shape[-2] < x.shape[-1]
    x = swapaxes(x, -1, -2) if wide else x
    across = swapaxes(x, -1, -2)
    basis = qr(matmul(x, data_of(randn(x.shape[-1], q, dtype=x.dtype, device=x.device)))).Q
    for _ in range(niter):
        basis = qr(matmul(x, qr(matmul(across, basis)).Q)).Q
    u, s, vh = svd(matmul(swapaxes(basis, -1, -2), x), False)
    u, v = matmul(basis, u), swapaxes(vh, -1, -2)
    return USV(v, s, u) if wide else USV(u, s, v)
