"""Symmetric matrices, definite or not, as products L @ D @ L.T, and equations solved with these.

LAPACK's sytrf, by SciPy, finds them (J. Bunch and L. Kaufman, "Some stable methods for calculating inertia and solving
symmetric linear systems", 1977): in an order of rows and columns that it chooses, L is a lower triangle with ones on
its diagonal, and D has blocks of size 1 and 2 on its. Both are packed into one triangle. Which elements of it are which
is told by the pivots, and constant.
"""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import numpy as np

from ..arrays import Array
from ..function import Operation
from ..kernels import dispatch, placement
from ..kernels.shapes import broadcast_shapes
from ..variable import data_of
from .decomposition import Solve, _operand, _symmetric, transposed
from .elementwise import add, mul
from .factorization import _in_order, _like
from .joining import take_along_dim
from .linalg import matmul
from .shape import broadcast_to, reshape
from .steps import plain


class SymmetricFactors(NamedTuple):
    """What `ldl_factor` gives: both factors in one lower triangle, and LAPACK's pivots."""

    LD: Any
    pivots: Any


class SymmetricFactorsAndInfo(NamedTuple):
    """The same, and the first place where D has a 0 on its diagonal, counted from 1, or 0."""

    LD: Any
    pivots: Any
    info: Any


class Layout(NamedTuple):
    """What pivots tell, of stacks of matrices: arrays (..., n, n), and an order (..., n)."""

    #: The order of rows and columns in which the factors are triangular.
    order: Array
    #: Where the elements of L and D are in the packed triangle, counted through it.
    places: Array
    #: 1 for the elements of L below the blocks of D, for those on the diagonal, and for those below it in blocks; or 0.
    below: Array
    diagonal: Array
    paired: Array


def _layout(dtype: Any, pivots: Array) -> Layout:
    n = pivots.shape[-1]
    order = np.broadcast_to(np.arange(n), pivots.shape).copy()
    places = np.broadcast_to(np.arange(n * n).reshape(n, n), (*pivots.shape, n)).copy()
    paired = np.zeros((*pivots.shape, n), dtype)
    for stack in np.ndindex(*pivots.shape[:-1]):
        rows, elements = order[stack], places[stack]
        k = 0
        while k < n:
            pivot = int(pivots[stack][k])
            row, other = (k, pivot - 1) if pivot > 0 else (k + 1, -pivot - 1)
            rows[[row, other]] = rows[[other, row]]
            elements[[row, other], :k] = elements[[other, row], :k]  # LAPACK leaves earlier columns as they are
            if pivot < 0:
                paired[(*stack, k + 1, k)] = 1
            k = row + 1
    diagonal = np.broadcast_to(np.eye(n, dtype=dtype), paired.shape)
    return Layout(order, places, np.tril(np.ones_like(paired), -1) - paired, diagonal, paired)


def _elements(packed: Any, layout: Layout) -> Any:
    """Give the elements of the packed triangle where they are in L and D."""
    flat = reshape(packed, (*packed.shape[:-2], packed.shape[-1] ** 2))
    places = layout.places
    return reshape(take_along_dim(flat, places.reshape(*places.shape[:-2], flat.shape[-1]), -1), packed.shape)


def _factors(packed: Any, layout: Layout) -> tuple[Any, Any]:
    """Give L and D."""
    elements = _elements(packed, layout)
    beside = mul(elements, layout.paired)
    diagonal = add(mul(elements, layout.diagonal), add(beside, transposed(beside)))
    return add(mul(elements, layout.below), layout.diagonal), diagonal


class PackedLDL(Operation):
    """Both factors of symmetric matrices, of which the lower half is read, in one triangle.

    Of ``inner = inv(L) @ dA @ inv(L.T)`` the blocks on the diagonal are dD, and those below are inv(L) @ dL @ D.
    """

    __slots__ = ("layout", "output", "packed")

    def __init__(self, packed: Array, layout: Layout) -> None:
        self.packed, self.layout = packed, layout

    def forward(self, x: Array) -> Array:
        self.output = self.packed
        return self.packed

    def vjp(self, gy: Any, y: Any, x: Any) -> Any:
        layout = self.layout
        lower, diagonal = _factors(y, layout)
        elements = _elements(gy, layout)
        beside = mul(mul(elements, layout.paired), 0.5)
        upper = transposed(lower)
        below = mul(matmul(upper, mul(elements, layout.below)), layout.below)
        inner = transposed(Solve.apply(diagonal, transposed(below)))
        inner = add(inner, add(mul(elements, layout.diagonal), add(beside, transposed(beside))))
        gx = Solve.apply(upper, transposed(Solve.apply(upper, inner)))
        back = np.argsort(layout.order, -1)
        return _symmetric(_in_order(transposed(_in_order(gx, back)), back))


def _sytrf(what: str, regular: bool, x: Array) -> tuple[Array, ...]:
    """Give LAPACK's packed factors of stacks of matrices, pivots, where D has a 0, and the layout."""
    placement.only_on_cpu(what, "SciPy", (x,))
    try:
        from scipy.linalg import lapack
    except ImportError:
        raise ImportError(f"{what}: SciPy computes it: pip install scipy") from None
    x = x if x.dtype.kind == "f" else x.astype(np.float64)
    call = lapack.ssytrf if x.dtype == np.float32 else lapack.dsytrf
    packed, pivots = np.empty(x.shape, x.dtype), np.empty(x.shape[:-1], np.int32)
    info = np.zeros(x.shape[:-2], np.int32)
    for place in np.ndindex(*x.shape[:-2]):
        if x.size:
            factors, pivots[place], info[place] = call(x[place], lower=1)
            packed[place] = np.tril(factors)
    if regular and info.any():
        raise np.linalg.LinAlgError(f"{what}: element {int(info.max())} of D is 0: the matrix is singular")
    return packed, pivots, info, *_layout(x.dtype, pivots)


def _factored(what: str, A: Any, regular: bool) -> tuple[Any, Any, Any]:
    x = _operand(what, A)
    packed, pivots, info, *layout = dispatch.called(what, partial(_sytrf, what, regular), data_of(x))
    found = PackedLDL(packed, Layout(*layout))(x)
    return found, _like(found, pivots), _like(found, info)


def ldl_factor(A: Any, *, hermitian: bool = False) -> SymmetricFactors:
    """Factor symmetric matrices (..., n, n), of which the lower half is read, for `ldl_solve`. Needs SciPy.

    The factors are in one triangle; both are LAPACK's, pivots from 1, and negative in blocks of two. `hermitian` makes
    no difference to real matrices. The gradient is symmetric. Raises LinAlgError for singular matrices.

    >>> import nbgrad
    >>> factors = nbgrad.linalg.ldl_factor(nbgrad.tensor([[0.0, 2.0], [2.0, 0.0]]))
    >>> nbgrad.linalg.ldl_solve(*factors, nbgrad.tensor([[2.0], [4.0]]))
    Variable([[2.],
              [1.]])
    """
    return SymmetricFactors(*_factored("ldl_factor", A, True)[:2])


def ldl_factor_ex(A: Any, *, hermitian: bool = False, check_errors: bool = False) -> SymmetricFactorsAndInfo:
    """Factor symmetric matrices as `ldl_factor` does, and tell where D has a 0, counted from 1, rather than raise."""
    return SymmetricFactorsAndInfo(*_factored("ldl_factor_ex", A, check_errors))


def ldl_solve(LD: Any, pivots: Any, B: Any, *, hermitian: bool = False) -> Any:
    """Solve A @ x = B, (..., n, k), with what `ldl_factor` gave of A.

    Raises ValueError for shapes that do not match and pivots that are none, LinAlgError for singular matrices.
    """
    packed, b, given = _operand("ldl_solve", LD), plain(B), data_of(plain(pivots))
    if b.ndim < 2 or b.shape[-2] != packed.shape[-1] or tuple(given.shape) != tuple(packed.shape[:-1]):
        raise ValueError(f"ldl_solve: shapes {packed.shape}, {tuple(given.shape)} and {b.shape} do not match")
    # as a vector, of which jit has an example: ones
    checked = partial(_checked_layout, packed.dtype, tuple(given.shape))
    layout = Layout(*dispatch.called("ldl_solve", checked, reshape(given, (-1,))))
    lower, diagonal = _factors(packed, layout)
    order = layout.order
    if packed.ndim != 2 or b.ndim != 2:
        stack = broadcast_shapes(packed.shape[:-2], b.shape[:-2])
        lower, diagonal, b = (broadcast_to(v, (*stack, *v.shape[-2:])) for v in (lower, diagonal, b))
        order = np.broadcast_to(order, (*stack, order.shape[-1]))
    x = Solve.apply(diagonal, Solve.apply(lower, _in_order(b, order)))
    return _in_order(Solve.apply(transposed(lower), x), np.argsort(order, -1))


def _checked_layout(dtype: Any, shape: tuple[int, ...], pivots: Array) -> Layout:
    pivots = pivots.reshape(shape)
    n = shape[-1]
    pairs = (pivots < 0).cumsum(-1) % 2 == 1  # the first of two
    right = pivots.dtype.kind == "i" and np.all((np.abs(pivots) >= 1) & (np.abs(pivots) <= n))
    if not right or np.any(pairs[..., -1:]) or np.any(pairs[..., :-1] & (pivots[..., :-1] != pivots[..., 1:])):
        raise ValueError(f"ldl_solve: pivots {pivots.tolist()} of dtype {pivots.dtype}: give those of ldl_factor")
    return _layout(dtype, pivots)
