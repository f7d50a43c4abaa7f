"""Linear algebra by PyTorch's older names, with the arguments and results that these have."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ..registry import operation
from . import decomposition, factorization, matrices
from .decomposition import QRFactors, SignAndLogarithm, transposed


class USV(NamedTuple):
    """What `svd` gives here."""

    U: Any
    S: Any
    V: Any


@operation
def cholesky(input: Any, upper: bool = False) -> Any:
    """Give `linalg.cholesky`, the upper factor if `upper`."""
    return decomposition.cholesky(input, upper=upper)


@operation
def det(input: Any) -> Any:
    """Give `linalg.det`."""
    return decomposition.det(input)


@operation
def slogdet(input: Any) -> SignAndLogarithm:
    """Give `linalg.slogdet`."""
    return decomposition.slogdet(input)


@operation(method=False)
def lu(input: Any, pivot: bool = True, get_infos: bool = False) -> Any:
    """Give `linalg.lu_factor`: both triangles in one matrix, and the rows exchanged. Needs SciPy.

    With `get_infos` it is `linalg.lu_factor_ex`.
    """
    return (factorization.lu_factor_ex if get_infos else factorization.lu_factor)(input, pivot=pivot)


@operation
def lu_solve(input: Any, LU_data: Any, LU_pivots: Any) -> Any:
    """Give `linalg.lu_solve`, with the right sides first."""
    return factorization.lu_solve(LU_data, LU_pivots, input)


@operation
def matrix_power(input: Any, n: int) -> Any:
    """Give `linalg.matrix_power`."""
    return matrices.matrix_power(input, n)


@operation
def pinverse(input: Any, rcond: float = 1e-15) -> Any:
    """Give `linalg.pinv`, with a relative limit of singular values."""
    return decomposition.pinv(input, rtol=rcond)


@operation
def qr(input: Any, some: bool = True) -> QRFactors:
    """Give `linalg.qr`, reduced if `some`, complete otherwise."""
    return decomposition.qr(input, "reduced" if some else "complete")


@operation
def svd(input: Any, some: bool = True, compute_uv: bool = True) -> USV:
    """Give (U, S, V) with input = (U * S) @ V.T, reduced if `some`; without vectors, if not `compute_uv`, zeros.

    The newer `linalg.svd` gives V.T.
    """
    u, s, vh = decomposition.svd(input, not some)
    if not compute_uv:
        m, n = input.shape[-2:]
        shapes = [(*input.shape[:-2], side, side) for side in (m, n)]
        u, vh = (decomposition._beside(s, np.zeros(shape)) for shape in shapes)
    return USV(u, s, transposed(vh))
