"""Linear algebra by LAPACK, as NumPy brings it: inverses, solutions, determinants, and what matrices factor into.

All take stacks of matrices, (..., m, n). The rules are written in nbgrad's functions, so that they hold to any order;
their sources: M. Giles, "An extended collection of matrix derivative results" (2008); J. Townsend, "Differentiating
the singular value decomposition" (2016); S. Walter and L. Lehmann, "Algorithmic differentiation of linear algebra
functions" (2010); G. Golub and V. Pereyra, "The differentiation of pseudo-inverses" (1973).
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from ..arrays import Array, as_array, is_array
from ..function import Function, Operation
from ..grad_mode import is_grad_enabled
from ..kernels import dispatch, placement
from ..kernels.cpu import small, triangles
from ..kernels.shapes import broadcast_shapes
from ..registry import operation
from ..variable import Variable, data_of
from .elementwise import add, div, eq, mul, neg, reciprocal, sub, where
from .indexing import getitem
from .joining import cat
from .lapack import by_numpy, lapack
from .linalg import matmul
from .shape import Permute, broadcast_to, permute, unsqueeze


def transposed(x: Any) -> Any:
    """Give matrices with rows for columns."""
    ndim = x.ndim
    return Permute.apply(x, (1, 0)) if ndim == 2 else permute(x, (*range(ndim - 2), ndim - 1, ndim - 2))


def _operand(what: str, x: Any, square: bool = True) -> Any:
    """Give anything that NumPy takes for matrices as such."""
    x = x if isinstance(x, Variable) or is_array(x) else as_array(x)
    if x.ndim < 2 or (square and x.shape[-1] != x.shape[-2]):
        raise np.linalg.LinAlgError(f"{what}: shape {x.shape}: takes {'square ' if square else ''}matrices")
    return x


def _eye(x: Any, size: int | None = None) -> Array:
    return np.eye(x.shape[-1] if size is None else size, dtype=x.dtype)


def _scaled(x: Any, factors: Any) -> Any:
    """Multiply the columns of matrices."""
    return mul(x, unsqueeze(factors, -2))


def _lower(x: Any, half: bool) -> Any:
    """Give the lower triangle, with half of the diagonal or without it; zeros above."""
    n = x.shape[-1]
    weights = np.tril(np.ones((n, n), x.dtype), -1)
    return mul(x, weights + np.eye(n, dtype=x.dtype) / 2 if half else weights)


def _triangle(x: Any) -> Any:
    """Give the lower triangle with its diagonal; zeros above."""
    n = x.shape[-1]
    return mul(x, np.tril(np.ones((n, n), x.dtype)))


def _symmetric(x: Any) -> Any:
    return mul(add(x, transposed(x)), 0.5)


class Inverse(Operation):
    """Inverses of square matrices."""

    __slots__ = ("output",)
    keeps_output = True
    work = staticmethod(lambda: small.calls.called(by_numpy("inv")))
    reads_all = False

    def forward(self, x: Array) -> Array:
        self.output = as_array(lapack("inv", x))
        return self.output

    def vjp(self, gy: Any, y: Any, x: Any) -> Any:
        return neg(matmul(transposed(y), matmul(gy, transposed(y))))


class LowerInverse(Operation):
    """Inverses of lower triangles; above the diagonal there are zeros."""

    __slots__ = ("output",)
    reads_all = False

    def forward(self, x: Array) -> Array:
        placement.only_on_cpu("inv", "LAPACK", (x,))
        self.output = as_array(dispatch.called("triangular inverse", _inverse_of_lower, x))
        return self.output

    def vjp(self, gy: Any, y: Any, x: Any) -> Any:
        yt = transposed(y)
        return neg(_triangle(matmul(yt, matmul(gy, yt))))


def _inverse_of_lower(x: Array) -> Array:
    """Give inverses by halves, so that products are most of the work: an eighth of the time for 400 rows."""
    half = x.shape[-1] // 2
    if x.shape[-1] <= triangles.MOST and x.dtype.char in "fd":
        return triangles.inverse(x)
    y = np.zeros_like(x)
    first = y[..., :half, :half] = _inverse_of_lower(x[..., :half, :half])
    last = y[..., half:, half:] = _inverse_of_lower(x[..., half:, half:])
    y[..., half:, :half] = -(last @ (x[..., half:, :half] @ first))
    return y


class Solve(Operation):
    """Solutions of linear equations: of stacks of matrices, and of columns to be met."""

    __slots__ = ("output",)
    arity = 2
    keeps_output = True
    work = staticmethod(lambda: small.calls.called(by_numpy("solve")))
    reads_all = False

    def reads(self, inputs: tuple[Variable, ...]) -> Any:
        return (0,)

    def forward(self, a: Array, b: Array) -> Array:
        self.output = as_array(lapack("solve", a, b))
        return self.output

    def vjp(self, gy: Any, y: Any, a: Any, b: Any) -> Any:
        columns = Solve.apply(transposed(a), gy)
        return neg(matmul(columns, transposed(y))) if self.needs(0) else None, columns


class Determinant(Operation):
    """Determinants."""

    __slots__ = ("output",)

    def forward(self, x: Array) -> Array:
        self.output = as_array(lapack("det", x))
        return self.output

    def vjp(self, gy: Any, y: Any, x: Any) -> Any:
        return mul(_spread(mul(gy, y)), transposed(_inverse_for("det", x)))


class LogDeterminant(Operation):
    """Logarithms of the absolute values of determinants."""

    __slots__ = ()

    def forward(self, x: Array) -> Array:
        return as_array(lapack("slogdet", x)[1])

    def vjp(self, gy: Any, y: Any, x: Any) -> Any:
        return mul(_spread(gy), transposed(_inverse_for("slogdet", x)))


def _spread(x: Any) -> Any:
    return unsqueeze(unsqueeze(x, -1), -1)


def _inverse_for(what: str, x: Any) -> Any:
    try:
        return inv(x)
    except np.linalg.LinAlgError:
        raise np.linalg.LinAlgError(
            f"{what}: a matrix is singular, where its gradient is not computed: add a small multiple of the identity"
        ) from None


class Cholesky(Operation):
    """Lower triangular factors L of positive definite matrices L @ L.T; the cotangent is symmetric."""

    __slots__ = ("output",)
    keeps_output = True
    work = staticmethod(lambda: small.calls.called(by_numpy("cholesky")))
    reads_all = False

    def forward(self, x: Array) -> Array:
        self.output = as_array(lapack("cholesky", x))
        return self.output

    def vjp(self, gy: Any, y: Any, x: Any) -> Any:
        inner = _lower(matmul(transposed(y), gy), half=True)
        inverse = LowerInverse()(y)
        return _symmetric(matmul(transposed(inverse), matmul(inner, inverse)))


class Pseudoinverse(Operation):
    """Moore-Penrose inverses of matrices whose rank does not change nearby."""

    __slots__ = ("options", "output")

    def __init__(self, options: dict[str, Any]) -> None:
        self.options = options

    def forward(self, x: Array) -> Array:
        self.output = as_array(lapack("pinv", x, **self.options))
        return self.output

    def vjp(self, gy: Any, y: Any, x: Any) -> Any:
        yt, gt = transposed(y), transposed(gy)
        left = sub(_eye(x, x.shape[-2]), matmul(x, y))
        right = sub(_eye(x), matmul(y, x))
        first = neg(matmul(yt, matmul(gy, yt)))
        second = matmul(matmul(left, gt), matmul(y, yt))
        return add(first, add(second, matmul(matmul(yt, y), matmul(gt, right))))


class Several(Function):
    """A Function of the library with several results."""

    batches = True

    def applied(self, x: Any) -> Any:
        """Apply to a Variable, giving Variables, or to an array, giving arrays."""
        if isinstance(x, Variable):
            return tuple(self(x))
        return tuple(map(as_array, self.forward(x)))


class Eigh(Several):
    """Eigenvalues, ascending, and eigenvectors of symmetric matrices; the cotangent is symmetric."""

    def __init__(self, lower: bool) -> None:
        self.lower = lower

    def forward(self, x: Array) -> Any:
        return tuple(lapack("eigh", x, UPLO="L" if self.lower else "U"))

    def vjp(self, gy: Any, y: Any, x: Any) -> Any:
        (gw, gv), (w, v) = gy, y
        inner = _over_differences(matmul(transposed(v), gv), w)
        inner = add(inner, mul(unsqueeze(gw, -2), _eye(x)))
        return _symmetric(matmul(v, matmul(inner, transposed(v))))


def _over_differences(x: Any, w: Any) -> Any:
    """Give x / (w[j] - w[i]) at i, j: of equal values infinity, unless x is 0, and 0 on the diagonal.

    The vectors of equal values turn into any others of their space, so that what depends on them has no gradient.
    """
    differences = sub(unsqueeze(w, -2), unsqueeze(w, -1))
    equal = as_array(eq(data_of(differences), 0))
    limit = where(np.eye(w.shape[-1], dtype=bool) | as_array(eq(data_of(x), 0)), 0.0, math.inf)
    return where(equal, limit, div(x, where(equal, 1.0, differences)))


class SVD(Several):
    """Singular values, descending, between orthonormal columns and rows: x = u * s @ vh."""

    def forward(self, x: Array) -> Any:
        return tuple(lapack("svd", x, full_matrices=False))

    def vjp(self, gy: Any, y: Any, x: Any) -> Any:
        (gu, gs, gvh), (u, s, vh) = gy, y
        v, gv = transposed(vh), transposed(gvh)
        left, right = (_over_differences(_skew(z), mul(s, s)) for z in (matmul(transposed(u), gu), matmul(vh, gv)))
        inner = add(_scaled(left, s), mul(right, unsqueeze(s, -1)))
        inner = add(inner, mul(unsqueeze(gs, -2), _eye(inner)))
        gx = matmul(u, matmul(inner, vh))
        m, n = x.shape[-2:]
        if m > n:
            outside = sub(gu, matmul(u, matmul(transposed(u), gu)))
            gx = add(gx, matmul(_scaled(outside, reciprocal(s)), vh))
        if n > m:
            outside = sub(gv, matmul(v, matmul(vh, gv)))
            gx = add(gx, matmul(u, transposed(_scaled(outside, reciprocal(s)))))
        return gx


def _skew(x: Any) -> Any:
    return sub(x, transposed(x))


class QR(Several):
    """Orthonormal columns q and upper triangular r of x = q @ r, for matrices that are not wide and of full rank."""

    def forward(self, x: Array) -> Any:
        return tuple(lapack("qr", x))

    def vjp(self, gy: Any, y: Any, x: Any) -> Any:
        (gq, gr), (q, r) = gy, y
        inner = sub(matmul(r, transposed(gr)), matmul(transposed(gq), q))
        lower = _lower(inner, half=True)
        columns = add(gq, matmul(q, add(lower, transposed(lower))))
        return transposed(Solve.apply(r, transposed(columns)))


# ---- for users ------------------------------------------------------------------------------------------------------


class SignAndLogarithm(NamedTuple):
    """What `slogdet` gives."""

    sign: Any
    logabsdet: Any


class ValuesAndVectors(NamedTuple):
    """What `eigh` gives."""

    eigenvalues: Any
    eigenvectors: Any


class SVDFactors(NamedTuple):
    """What `svd` gives."""

    U: Any
    S: Any
    Vh: Any


class QRFactors(NamedTuple):
    """What `qr` gives."""

    Q: Any
    R: Any


@operation(method=False, public=False)
def inv(input: Any) -> Any:
    """Invert square matrices. Raises LinAlgError for singular ones, and for what are no square matrices.

    >>> import nbgrad
    >>> nbgrad.linalg.inv(nbgrad.tensor([[2.0, 0.0], [0.0, 4.0]]))
    Variable([[0.5 , 0.  ],
              [0.  , 0.25]])
    """
    return Inverse.apply(_operand("inv", input))


@operation(method=False, public=False)
def solve(input: Any, other: Any, *, left: bool = True) -> Any:
    """Give the x with input @ x = other, for a vector, or matrices (..., n, k); x @ input = other unless `left`.

    Stacks of vectors (..., n) go with as many matrices. Raises LinAlgError where there is no solution.

    >>> import nbgrad
    >>> nbgrad.linalg.solve(nbgrad.tensor([[2.0, 0.0], [0.0, 4.0]]), nbgrad.tensor([1.0, 1.0]))
    Variable([0.5 , 0.25])
    """
    input = _operand("solve", input)
    other = other if isinstance(other, Variable) or is_array(other) else as_array(other)
    if other.ndim == 1 or (other.ndim == input.ndim - 1 and other.shape == input.shape[:-1]):
        if not left:
            raise ValueError(f"solve: shapes {input.shape} and {other.shape}: vectors are columns, and left is False")
        return getitem(solve(input, unsqueeze(other, -1)), (..., 0))
    if not left:
        return transposed(solve(transposed(input), transposed(other)))
    return solve_columns("solve", input, other)


def solve_columns(what: str, a: Any, b: Any) -> Any:
    """Give the x with a @ x = b of matrices (..., n, k), never stacks of vectors."""
    if b.ndim < 2 or b.shape[-2] != a.shape[-1]:
        raise ValueError(f"{what}: shapes {a.shape} and {b.shape}: {a.shape[-1]} equations, other sides differ")
    if a.ndim == b.ndim == 2:
        return Solve.apply(a, b)
    stack = broadcast_shapes(a.shape[:-2], b.shape[:-2])
    return Solve.apply(*[broadcast_to(x, (*stack, *x.shape[-2:])) for x in (a, b)])


@operation(method=False, public=False)
def det(input: Any) -> Any:
    """Give determinants of square matrices; their gradient needs an inverse: LinAlgError says where there is none."""
    return Determinant()(_operand("det", input))


@operation(method=False, public=False)
def slogdet(input: Any) -> SignAndLogarithm:
    """Give the signs of determinants, which have no gradient, and the logarithms of their absolute values."""
    input = _operand("slogdet", input)
    sign = as_array(lapack("slogdet", data_of(input))[0])
    signs = Variable(sign, requires_grad=False) if isinstance(input, Variable) else sign
    return SignAndLogarithm(signs, LogDeterminant()(input))


@operation(method=False, public=False)
def cholesky(input: Any, *, upper: bool = False) -> Any:
    """Give the lower triangular L of symmetric positive definite matrices L @ L.T, of which the lower half is read.

    If `upper`, it is L.T. The gradient is symmetric. Raises LinAlgError for matrices that are not positive definite.
    """
    found = Cholesky.apply(_operand("cholesky", input))
    return transposed(found) if upper else found


@operation(method=False, public=False)
def pinv(input: Any, *, atol: Any = None, rtol: Any = None, hermitian: bool = False, rcond: Any = None) -> Any:
    """Give Moore-Penrose inverses. Singular values up to atol, or rtol times the largest one, count as 0.

    Unless given, rtol is the longer side times the dtype's precision, and 0 beside an atol. If `hermitian`, matrices
    are taken for symmetric. The gradient is that of matrices of the same rank.
    """
    input = _operand("pinv", input, square=hermitian)
    if atol is not None:
        rtol = _relative(input, atol, rtol)
    rtol = rcond if rtol is None else rtol
    if rtol is None:
        dtype = input.dtype if input.dtype.kind == "f" else np.dtype(np.float64)
        rtol = max(input.shape[-2:]) * float(np.finfo(dtype).eps)
    return Pseudoinverse({"rtol": np.asarray(data_of(rtol)), "hermitian": bool(hermitian)})(input)


def _relative(x: Any, atol: Any, rtol: Any) -> Array:
    """Give an absolute and a relative limit of singular values as a relative one."""
    data = data_of(x)
    largest = lapack("svd", data, compute_uv=False).max(-1, initial=0)
    with np.errstate(all="ignore"):
        share = np.asarray(data_of(atol)) / largest
    limit: Array = np.maximum(np.where(largest > 0, share, 0), 0.0 if rtol is None else data_of(rtol))
    return limit


@operation(method=False, public=False)
def eigh(input: Any, UPLO: str = "L") -> ValuesAndVectors:
    """Give eigenvalues, ascending, and eigenvectors (columns) of symmetric matrices, of which one half is read.

    The gradient is symmetric. Of vectors there is one where the eigenvalues differ, and infinity elsewhere.
    """
    if UPLO not in ("L", "U", "l", "u"):
        raise ValueError(f"eigh: UPLO is 'L' or 'U', the half to be read, got {UPLO!r}")
    return ValuesAndVectors(*Eigh(UPLO.upper() != "U").applied(_operand("eigh", input)))


@operation(method=False, public=False)
def svd(input: Any, full_matrices: bool = True) -> SVDFactors:
    """Give u, s and vh with input = (u[:, :k] * s) @ vh[:k]: k singular values, descending, for the shorter side k.

    Unless `full_matrices`, u and vh have no columns and rows beyond these. Of those beyond the matrix determines what
    they span, and functions of that have a gradient. There is a gradient of u and vh where the singular values differ,
    of matrices that are not square where none is 0 either, and infinity elsewhere.
    """
    input = _operand("svd", input, square=False)
    u, s, vh = SVD().applied(input)
    m, n = input.shape[-2:]
    if full_matrices and m != n:
        whole = lapack("svd", data_of(input))
        if m > n:
            u = cat([u, _beyond(u, whole[0][..., n:])], -1)
        else:
            vh = cat([vh, transposed(_beyond(transposed(vh), transposed(whole[2][..., m:, :])))], -2)
    return SVDFactors(u, s, vh)


def _beyond(u: Any, rest: Any) -> Any:
    """Give orthonormal columns, which are, as functions of those that they are orthogonal to, the nearest such ones.

    A step of Newton's iteration for that is exact to third order in how far u goes from where it is.
    """
    rest = _beside(u, rest)
    outside = sub(rest, matmul(u, matmul(transposed(u), rest)))
    return sub(mul(outside, 1.5), mul(matmul(outside, matmul(transposed(outside), outside)), 0.5))


def _beside(x: Any, array: Any) -> Any:
    array = as_array(array).astype(x.dtype)
    return Variable(array, requires_grad=False) if isinstance(x, Variable) else array


@operation(method=False, public=False)
def qr(input: Any, mode: str = "reduced") -> QRFactors:
    """Give q with orthonormal columns and upper triangular r with input = q @ r, q no wider than the shorter side.

    With `mode` "complete" q is square, and has no gradient where it is wider than input; with "r" it is empty. The
    gradient is that of matrices of full rank, LinAlgError elsewhere.
    """
    if mode not in ("reduced", "complete", "r"):
        raise ValueError(f"qr: mode is 'reduced', 'complete' or 'r', got {mode!r}")
    input = _operand("qr", input, square=False)
    m, n = input.shape[-2:]
    if mode == "complete" and m > n:
        if isinstance(input, Variable) and input.requires_grad and is_grad_enabled():
            raise TypeError(f"qr of shape {input.shape}, complete: the matrix does not determine all columns of q, "
                            "which so have no gradient: give mode 'reduced', or input.detach()")  # fmt: skip
        return QRFactors(*[_beside(input, part) for part in lapack("qr", data_of(input), mode="complete")])
    if m >= n:
        q, r = QR().applied(input)
    else:
        q, r = QR().applied(getitem(input, (..., slice(None, m))))
        r = cat([r, matmul(transposed(q), getitem(input, (..., slice(m, None))))], -1)
    return QRFactors(_beside(q, np.zeros(0)) if mode == "r" else q, r)
