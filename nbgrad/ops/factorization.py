"""Matrices as products of triangles and reflections, and equations solved with these.

Row exchanges, with which LU begins, are SciPy's to find, and constant. The rules for matrices that are not square
follow from those for the square part: what is beyond it is solved with that.
"""

from __future__ import annotations

from functools import lru_cache, partial
from typing import Any, NamedTuple

import numpy as np

from ..arrays import Array
from ..function import Operation
from ..kernels import dispatch, placement
from ..kernels.shapes import broadcast_shapes
from ..registry import operation
from ..variable import Variable, data_of
from .decomposition import Solve, _operand, slogdet, solve_columns, transposed
from .diagonals import tril, triu
from .elementwise import add, mul, sub
from .indexing import GetRows, getitem
from .joining import cat, take_along_dim
from .linalg import matmul
from .shape import broadcast_to, unsqueeze
from .steps import plain


class LU(NamedTuple):
    """Factors: a permutation, a lower and an upper triangle."""

    P: Any
    L: Any
    U: Any


class Factors(NamedTuple):
    """What `lu_factor` gives: both triangles in one matrix, and the rows that were exchanged, counted from 1."""

    LU: Any
    pivots: Any


class FactorsAndInfo(NamedTuple):
    """The same, and the first place where a pivot is 0, counted from 1, or 0."""

    LU: Any
    pivots: Any
    info: Any


def _getrf(x: Array) -> tuple[Array, Array, Array]:
    """Give LAPACK's factors of stacks of matrices, rows exchanged in turn, counted from 0, and where a pivot is 0."""
    placement.only_on_cpu("lu", "SciPy", (x,))
    try:
        from scipy.linalg import lapack
    except ImportError:
        raise ImportError("lu: SciPy computes it: pip install scipy") from None
    x = x if x.dtype.kind == "f" else x.astype(np.float64)
    call = lapack.sgetrf if x.dtype == np.float32 else lapack.dgetrf
    m, n = x.shape[-2:]
    if x.ndim == 2 and x.size:
        one, exchanged, zero = call(x)
        return np.ascontiguousarray(one), exchanged, np.array(zero, np.int32)
    packed, pivots = np.empty(x.shape, x.dtype), np.empty((*x.shape[:-2], min(m, n)), np.int32)
    info = np.zeros(x.shape[:-2], np.int32)
    for place in np.ndindex(*x.shape[:-2]):
        if x.size:
            packed[place], pivots[place], info[place] = call(x[place])
    return packed, pivots, info


def _order(pivots: Array, rows: int) -> Array:
    """Give the order of rows that exchanges in turn, counted from 0, make of theirs."""
    if pivots.ndim == 1:
        few = list(range(rows))
        for i, j in enumerate(pivots.tolist()):
            few[i], few[j] = few[j], few[i]
        return np.array(few, np.int64)
    order = np.broadcast_to(np.arange(rows), (*pivots.shape[:-1], rows)).copy()
    for place in np.ndindex(*pivots.shape[:-1]):
        row = order[place]
        for i, j in enumerate(pivots[place]):
            row[i], row[j] = row[j], row[i]
    return order


def _split(packed: Any) -> tuple[Any, Any]:
    """Give the lower triangle, with ones on its diagonal, and the upper one."""
    m, n = packed.shape[-2:]
    k = min(m, n)
    lower = add(tril(packed if k == n else getitem(packed, (..., slice(k))), -1), _ones(packed, m, k))
    return lower, triu(packed if k == m else getitem(packed, (..., slice(k), slice(None))))


@lru_cache(64)
def _kept_ones(m: int, k: int, char: str) -> Variable:
    ones = np.eye(m, k, dtype=char)
    ones.flags.writeable = False
    return Variable(ones, requires_grad=False)


def _ones(x: Any, m: int, k: int) -> Any:
    """Give a matrix with ones on its diagonal, as what meets x."""
    kept = _kept_ones(m, k, x.dtype.char)
    return kept if isinstance(x, Variable) else kept._array


def _in_order(x: Any, order: Array) -> Any:
    """Give the rows of matrices in an order."""
    if x.ndim == 2 and order.ndim == 1 and type(data_of(x)) is np.ndarray:
        return GetRows.apply(x, order, 0)
    return take_along_dim(x, np.broadcast_to(order[..., None], x.shape), -2)


class PackedLU(Operation):
    """Both triangles of matrices whose rows are in order for it, in one matrix."""

    __slots__ = ("output", "packed")

    def __init__(self, packed: Array) -> None:
        self.packed = packed

    def forward(self, x: Array) -> Array:
        self.output = self.packed
        return self.packed

    def vjp(self, gy: Any, y: Any, x: Any) -> Any:
        m, n = y.shape[-2:]
        k = min(m, n)
        lower, upper = _split(y)
        square: Any = (..., slice(k), slice(k))
        l1, u1 = getitem(lower, square), getitem(upper, square)
        below = tril(matmul(transposed(l1), tril(getitem(gy, square), -1)), -1)
        above = matmul(triu(getitem(gy, square)), transposed(u1))
        beside = under = None
        if n > m:
            gu2 = getitem(gy, (..., slice(k), slice(k, None)))
            below = tril(sub(below, matmul(gu2, transposed(getitem(upper, (..., slice(k, None)))))), -1)
            beside = Solve.apply(transposed(l1), gu2)
        if m > n:
            gl2 = getitem(gy, (..., slice(k, None), slice(None)))
            above = sub(above, matmul(transposed(getitem(lower, (..., slice(k, None), slice(None)))), gl2))
            under = transposed(Solve.apply(u1, transposed(gl2)))
        inner = Solve.apply(transposed(l1), add(below, triu(above)))
        gx = transposed(Solve.apply(u1, transposed(inner)))
        if beside is not None:
            gx = cat([gx, beside], -1)
        return gx if under is None else cat([gx, under], -2)


def _factored(what: str, input: Any, regular: bool = False) -> tuple[Any, Array, Array, Array]:
    """Give packed triangles, exchanges counted from 0, the order of rows, and where a pivot is 0.

    Raises LinAlgError where one is and the matrix has to be `regular`.
    """
    x = _operand(what, input, square=False)
    packed, pivots, order, info = dispatch.called(what, partial(_ordered, what, regular), data_of(x))
    return PackedLU(packed)(_in_order(x, order)), pivots, order, info


def _ordered(what: str, regular: bool, x: Array) -> tuple[Array, Array, Array, Array]:
    packed, pivots, info = _getrf(x)
    if regular and info.any():
        raise np.linalg.LinAlgError(f"{what}: pivot {int(info.max())} is 0: the matrix is singular")
    return packed, pivots, _order(pivots, x.shape[-2]), info


def _order_of(what: str, pivots: Any, rows: int) -> Array:
    """Give the order of rows that exchanges make, counted from 1 as `lu_factor` gives them."""
    found: Array = dispatch.called(what, lambda pivots: _order(np.asarray(pivots) - 1, rows), data_of(plain(pivots)))
    return found


def _like(x: Any, array: Array) -> Any:
    array = dispatch.beside(data_of(plain(array)), data_of(x))
    return Variable(array, requires_grad=False) if isinstance(x, Variable) else array


def lu(A: Any, *, pivot: bool = True) -> LU:
    """Factor matrices: A = P @ L @ U of a permutation, a lower triangle with ones, and an upper one. Needs SciPy.

    Raises NotImplementedError without pivoting, which LAPACK does not do.
    """
    _pivoting("lu", pivot)
    packed, _, order, _ = _factored("lu", A)
    lower, upper = _split(packed)
    m = A.shape[-2]
    permutation = (order[..., None, :] == np.arange(m)[:, None]).astype(upper.dtype)
    return LU(_like(packed, permutation), lower, upper)


def _pivoting(what: str, pivot: bool) -> None:
    if not pivot:
        raise NotImplementedError(f"{what}: pivot is False: LAPACK exchanges rows, without which digits are lost")


def lu_factor(A: Any, *, pivot: bool = True) -> Factors:
    """Factor matrices as `lu` does: both triangles in one matrix, and rows exchanged, counted from 1. Needs SciPy."""
    _pivoting("lu_factor", pivot)
    packed, pivots, _, _ = _factored("lu_factor", A, regular=True)
    return Factors(packed, _like(packed, pivots + 1))


def lu_factor_ex(A: Any, *, pivot: bool = True, check_errors: bool = False) -> FactorsAndInfo:
    """Factor matrices as `lu_factor` does, and tell where a pivot is 0, counted from 1, rather than raise."""
    _pivoting("lu_factor_ex", pivot)
    packed, pivots, _, info = _factored("lu_factor_ex", A, regular=check_errors)
    return FactorsAndInfo(packed, _like(packed, pivots + 1), _like(packed, info))


def lu_solve(LU: Any, pivots: Any, B: Any, *, left: bool = True, adjoint: bool = False) -> Any:
    """Solve A @ x = B, or x @ A = B unless `left`, with what `lu_factor` gave of A; if `adjoint`, A.T instead."""
    if not left:
        return transposed(lu_solve(LU, pivots, transposed(plain(B)), adjoint=not adjoint))
    packed, b = _operand("lu_solve", LU), plain(B)
    order = _order_of("lu_solve", pivots, packed.shape[-1])
    if b.ndim < 2 or b.shape[-2] != packed.shape[-1]:
        raise ValueError(f"lu_solve: shapes {packed.shape} and {b.shape} do not match")
    if packed.ndim != 2 or b.ndim != 2:
        stack = broadcast_shapes(packed.shape[:-2], b.shape[:-2])
        packed, b = (broadcast_to(v, (*stack, *v.shape[-2:])) for v in (packed, b))
        order = np.broadcast_to(order, (*stack, order.shape[-1]))
    lower, upper = _split(packed)
    if adjoint:
        x = Solve.apply(transposed(lower), Solve.apply(transposed(upper), b))
        return _in_order(x, np.argsort(order, -1))
    return Solve.apply(upper, Solve.apply(lower, _in_order(b, order)))


@operation(method=False)
def lu_unpack(input: Any, LU_pivots: Any, unpack_data: bool = True, unpack_pivots: bool = True) -> Any:
    """Give the permutation and the triangles of what `lu_factor` gave; empty ones of what is not asked for."""
    packed = _operand("lu_unpack", input, square=False)
    pivots = data_of(plain(LU_pivots))
    if pivots.dtype != np.int32:
        raise TypeError(f"lu_unpack: pivots have dtype {pivots.dtype}: they are int32, as lu_factor gives them")
    empty = _like(packed, np.zeros(0, packed.dtype))
    permutation, lower, upper = empty, empty, empty
    if unpack_data:
        lower, upper = _split(packed)
    if unpack_pivots:
        order = _order_of("lu_unpack", pivots, packed.shape[-2])
        made = (order[..., None, :] == np.arange(packed.shape[-2])[:, None]).astype(packed.dtype)
        permutation = _like(packed, made)
    return LU(permutation, lower, upper)


# ---- triangles ------------------------------------------------------------------------------------------------------


def solve_triangular(A: Any, B: Any, *, upper: bool, left: bool = True, unitriangular: bool = False) -> Any:
    """Solve A @ x = B, or x @ A = B unless `left`, for the upper or the lower triangle of A.

    The other triangle is not read, and neither is the diagonal if it is said to be ones (`unitriangular`).
    """
    if not left:
        x = solve_triangular(transposed(plain(A)), transposed(plain(B)), upper=not upper, unitriangular=unitriangular)
        return transposed(x)
    a, b = _operand("solve_triangular", A), plain(B)
    if a.dtype != b.dtype:
        raise TypeError(f"solve_triangular: dtypes {a.dtype} and {b.dtype}: convert one of them first")
    offset = int(unitriangular)
    a = triu(a, offset) if upper else tril(a, -offset)
    if unitriangular:
        a = add(a, _ones(a, *a.shape[-2:]))
    return solve_columns("solve_triangular", a, b)


@operation(method=False)
def triangular_solve(
    input: Any, A: Any, upper: bool = True, transpose: bool = False, unitriangular: bool = False
) -> tuple[Any, Any]:
    """Solve A @ x = input of a triangle A, or of its transpose; gives x, and A: PyTorch's older `solve_triangular`."""
    a = transposed(plain(A)) if transpose else plain(A)
    return solve_triangular(a, input, upper=upper != transpose, unitriangular=unitriangular), plain(A)


@operation
def cholesky_solve(input: Any, L: Any, upper: bool = False) -> Any:
    """Solve A @ x = input with the Cholesky factor L of A = L @ L.T, or the upper one."""
    b, factor = plain(input), _operand("cholesky_solve", L)
    lower = triu(factor) if upper else tril(factor)
    lower = transposed(lower) if upper else lower
    return solve_columns("cholesky_solve", transposed(lower), solve_columns("cholesky_solve", lower, b))


@operation
def cholesky_inverse(input: Any, upper: bool = False) -> Any:
    """Give the inverse of A = L @ L.T from its Cholesky factor L, or the upper one."""
    factor = _operand("cholesky_inverse", input)
    eye = np.broadcast_to(np.eye(factor.shape[-1], dtype=factor.dtype), factor.shape)
    return cholesky_solve(_like(factor, eye), factor, upper)


@operation
def logdet(input: Any) -> Any:
    """Give the logarithms of determinants; NaN of negative ones."""
    sign, logarithm = slogdet(input)
    data = data_of(sign)
    return add(logarithm, _like(logarithm, np.where(data < 0, np.nan, 0).astype(data.dtype)))


# ---- reflections ----------------------------------------------------------------------------------------------------


def householder_product(A: Any, tau: Any) -> Any:
    """Give the first columns of the product of reflections 1 - tau * outer(v, v): v is a column of A below its 1.

    That is what `geqrf` gives, and the q of `qr`. Raises ValueError for wide matrices and too many factors.
    """
    a, t = _operand("householder_product", A, square=False), plain(tau)
    m, n = a.shape[-2:]
    if m < n or t.shape[-1] > n or t.shape[:-1] != a.shape[:-2]:
        raise ValueError(
            f"householder_product: shapes {a.shape} and {t.shape}: takes tall matrices, and factors of theirs"
        )
    q = _like(a, np.broadcast_to(np.eye(m, n, dtype=a.dtype), a.shape))
    if not t.shape[-1]:
        return add(mul(a, 0.0), q)
    return _reflected(a, t, q, range(t.shape[-1] - 1, -1, -1))


def _reflected(a: Any, tau: Any, x: Any, order: Any) -> Any:
    """Apply reflections, in an order, to matrices."""
    m = a.shape[-2]
    for i in order:
        column = getitem(a, (..., slice(None), slice(i, i + 1)))
        v = add(tril(column, -i - 1), dispatch.beside(np.eye(m, 1, -i, dtype=a.dtype), data_of(a)))
        factor = unsqueeze(getitem(tau, (..., slice(i, i + 1))), -1)
        x = sub(x, matmul(mul(v, factor), matmul(transposed(v), x)))
    return x


@operation
def ormqr(input: Any, tau: Any, other: Any, left: bool = True, transpose: bool = False) -> Any:
    """Multiply other with the whole orthogonal matrix of reflections that `geqrf` gives, or its transpose."""
    a, t, x = _operand("ormqr", input, square=False), plain(tau), plain(other)
    if x.ndim != a.ndim or x.shape[-2 if left else -1] != a.shape[-2] or t.shape[:-1] != a.shape[:-2]:
        raise ValueError(f"ormqr: shapes {a.shape}, {t.shape} and {x.shape} do not match")
    if t.shape[-1] > min(a.shape[-2:]):
        raise ValueError(f"ormqr: {t.shape[-1]} factors of {a.shape[-1]} reflections")
    if not left:
        return transposed(ormqr(a, t, transposed(x), True, not transpose))
    order = range(t.shape[-1]) if transpose else range(t.shape[-1] - 1, -1, -1)
    return _reflected(a, t, x, order)


@operation
def geqrf(input: Any) -> tuple[Any, Any]:
    """Give LAPACK's packed form of `qr`: r and reflections in one matrix, and the reflections' factors; no gradient."""
    x = _operand("geqrf", input, square=False)
    data = data_of(x)
    placement.only_on_cpu("geqrf", "LAPACK", (data,))
    packed, tau = np.linalg.qr(data, mode="raw")
    return _like(x, np.swapaxes(packed, -1, -2)), _like(x, tau)
