"""Functions of matrices: norms, ranks, powers, exponentials, eigenvalues, least squares."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from ..arrays import Array, as_array
from ..function import Operation
from ..kernels import dispatch, placement
from ..registry import operation
from ..variable import Variable, data_of
from .arguments import axes_of, axis_of, either
from .decomposition import (
    Several,
    ValuesAndVectors,
    _eye,
    _operand,
    _over_differences,
    _scaled,
    eigh,
    inv,
    pinv,
    solve,
    svd,
    transposed,
)  # fmt: skip
from .diagonals import diagonal as _diagonal
from .elementwise import abs, add, div, eq, mul, neg, sub, where
from .indexing import getitem
from .joining import cat
from .lapack import lapack
from .linalg import matmul
from .norms import vector_norm
from .pairs import Complex
from .products import _cross
from .reduction import amax, amin, floating_dtype, sum
from .shape import astype, permute, reshape, squeeze, unsqueeze
from .slicing import as_copy
from .steps import plain

# ---- norms ----------------------------------------------------------------------------------------------------------


def matrix_norm(
    A: Any, ord: Any = "fro", dim: Any = (-2, -1), keepdim: bool = False, *, dtype: Any = None,
    axis: Any = None, keepdims: bool | None = None,
) -> Any:  # fmt: skip
    """Give norms of matrices: "fro", "nuc" (the sum of singular values), inf, -inf, 1, -1, 2 and -2.

    Raises ValueError for another one and for fewer than two dimensions, IndexError for dimensions that do not exist.
    """
    x = plain(A)
    dim = dim if axis is None else axis
    keep = bool(either("matrix_norm", "keepdim", keepdim or None, "keepdims", keepdims, False))
    if x.ndim < 2:
        raise ValueError(f"matrix_norm: shape {x.shape}: takes matrices")
    if not isinstance(dim, tuple | list) or len(dim) != 2:
        raise ValueError(f"matrix_norm: dim is {dim!r}: give two dimensions")
    axes_of("matrix_norm", tuple(dim), x.ndim)
    rows, columns = (axis_of("matrix_norm", d, x.ndim) for d in dim)
    if dtype is not None:
        x = astype(x, floating_dtype("matrix_norm", dtype))
    if x.dtype.kind != "f":
        raise TypeError(f"matrix_norm: dtype {x.dtype}: convert to a floating dtype first")
    if ord == "fro":
        return vector_norm(x, 2, (rows, columns), keep)
    others = [i for i in range(x.ndim) if i not in (rows, columns)]
    moved = permute(x, (*others, rows, columns))
    if ord in (1, -1, math.inf, -math.inf):
        lines = sum(abs(moved), -2 if ord in (1, -1) else -1)
        found = (amax if ord > 0 else amin)(lines, -1)
    elif ord in (2, -2, "nuc"):
        values = svdvals(moved)
        found = sum(values, -1) if ord == "nuc" else (amax if ord == 2 else amin)(values, -1)
    else:
        raise ValueError(f"matrix_norm: the order is {ord!r}: there are 'fro', 'nuc', inf, -inf, 1, -1, 2 and -2")
    if keep:
        found = reshape(found, tuple(1 if i in (rows, columns) else size for i, size in enumerate(x.shape)))
    return found


def norm(
    A: Any, ord: Any = None, dim: Any = None, keepdim: bool = False, *, dtype: Any = None,
    axis: Any = None, keepdims: bool | None = None,
) -> Any:  # fmt: skip
    """Give the norm of vectors or matrices: of all elements without `ord`, of matrices over two dimensions.

    Over one dimension, or of a vector, it is `vector_norm`; over two `matrix_norm`, whose orders have these names.
    """
    x = plain(A)
    dim = either("norm", "dim", dim, "axis", axis)
    keep = bool(either("norm", "keepdim", keepdim or None, "keepdims", keepdims, False))
    two = isinstance(dim, tuple | list) and len(dim) == 2
    if ord is not None and (two or (dim is None and x.ndim == 2)):
        return matrix_norm(x, ord, tuple(dim) if two else (0, 1), keep, dtype=dtype)
    if isinstance(ord, str):
        raise ValueError(f"norm: order {ord!r} of shape {x.shape} over {dim}: it is for matrices")
    if ord is not None and dim is None and x.ndim > 2:
        raise ValueError(f"norm: order {ord} of shape {x.shape}: give dim, one or two dimensions")
    return vector_norm(x, 2 if ord is None else ord, dim, keep, dtype=dtype)


@operation(method=False)
def nuclear_norm(input: Any, dim: Any = None, keepdim: bool = False) -> Any:
    """Give the sum of the singular values of matrices: `matrix_norm` of order "nuc"; of a matrix without `dim`."""
    x = plain(input)
    if dim is None and x.ndim != 2:
        raise ValueError(f"nuclear_norm: shape {x.shape}: takes a matrix, or two dimensions")
    return matrix_norm(x, "nuc", (0, 1) if dim is None else dim, keepdim)


def cond(A: Any, p: Any = None) -> Any:
    """Give condition numbers by a norm of `matrix_norm`'s: of order 2 unless given; infinity of singular matrices."""
    x = _operand("cond", A, square=p not in (None, 2, -2))
    if p in (None, 2, -2):
        s = svdvals(x)
        first, last = getitem(s, (..., 0)), getitem(s, (..., -1))
        return div(last, first) if p == -2 else div(first, last)
    if p not in ("fro", "nuc", 1, -1, math.inf, -math.inf):
        raise ValueError(f"cond: the order is {p!r}: there are 'fro', 'nuc', inf, -inf, 1, -1, 2 and -2")
    if not x.size:
        return sum(x, (-2, -1))
    return mul(matrix_norm(x, p), matrix_norm(inv(x), p))


def matrix_rank(A: Any, *, atol: Any = None, rtol: Any = None, hermitian: bool = False, tol: Any = None) -> Any:
    """Count the singular values above atol and rtol times the largest one, in the ways of `pinv`, as int64."""
    x = _operand("matrix_rank", A, square=hermitian)
    data = data_of(x)
    atol = tol if atol is None else atol
    values = np.abs(np.linalg.eigvalsh(data)) if hermitian else lapack("svd", data, compute_uv=False)
    largest = values.max(-1, initial=0)
    if rtol is None:
        rtol = max(x.shape[-2:]) * float(np.finfo(values.dtype).eps) if atol is None else 0.0
    limit = np.maximum(np.asarray(data_of(0.0 if atol is None else atol)), np.asarray(data_of(rtol)) * largest)
    found = np.count_nonzero(values > limit[..., None], -1)
    return Variable(as_array(found), requires_grad=False) if isinstance(x, Variable) else as_array(found)


# ---- powers and exponentials ----------------------------------------------------------------------------------------


def matrix_power(A: Any, n: int) -> Any:
    """Multiply square matrices n times with themselves, by squaring; their inverses, -n times, for a negative n."""
    x = _operand("matrix_power", A)
    if isinstance(n, bool) or not isinstance(n, int):
        raise TypeError(f"matrix_power: n is {n!r}: give a whole Python number")
    if not n:
        return add(mul(x, 0), _eye(x))
    if n < 0:
        x, n = inv(x), -n
    found: Any = None
    while True:
        if n & 1:
            found = x if found is None else matmul(found, x)
        n >>= 1
        if not n:
            return as_copy(found) if found is A else found
        x = matmul(x, x)


#: The coefficients of the numerator of exp's Pade approximant of order 13, and the norm up to which it is exact enough
#: (N. Higham, "The scaling and squaring method for the matrix exponential revisited", 2005).
_PADE = (
    64764752532480000, 32382376266240000, 7771770303897600, 1187353796428800, 129060195264000, 10559470521600,
    670442572800, 33522128640, 1323241920, 40840800, 960960, 16380, 182, 1,
)  # fmt: skip
_LIMIT = 5.371920351148152


class Exponential(Operation):
    """exp of square matrices. Of a matrix with blocks A, G and A again on and above its diagonal, the corner of exp is
    the derivative along G, and of the transposed blocks what it is adjoint to."""

    __slots__ = ()

    def forward(self, x: Array) -> Array:
        placement.only_on_cpu("matrix_exp", "NumPy", (x,))
        found: Array = dispatch.called("matrix_exp", lambda x: as_array(_exponential(x).astype(x.dtype)), x)
        return found

    def vjp(self, gy: Any, y: Any, x: Any) -> Any:
        n = x.shape[-1]
        at = transposed(x)
        zeros = mul(gy, 0.0)
        whole = cat([cat([at, gy], -1), cat([zeros, at], -1)], -2)
        return getitem(Exponential()(whole), (..., slice(n), slice(n, None)))


def _exponential(x: Any) -> Any:
    x = x.astype(np.float64)
    norm = np.abs(x).sum(-2).max(-1, initial=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        halvings = np.maximum(np.ceil(np.log2(np.where(norm > 0, norm, 1) / _LIMIT)), 0)
    halvings = np.where(np.isfinite(halvings), halvings, 0).astype(int)
    x = x * (2.0 ** -halvings[..., None, None].astype(float))
    eye = np.eye(x.shape[-1])
    x2 = x @ x
    x4 = x2 @ x2
    x6 = x2 @ x4
    b = _PADE
    odd = x6 @ (b[13] * x6 + b[11] * x4 + b[9] * x2) + b[7] * x6 + b[5] * x4 + b[3] * x2 + b[1] * eye
    even = x6 @ (b[12] * x6 + b[10] * x4 + b[8] * x2) + b[6] * x6 + b[4] * x4 + b[2] * x2 + b[0] * eye
    odd = x @ odd
    y = np.linalg.solve(even - odd, even + odd)
    for step in range(int(halvings.max(initial=0))):
        y = np.where((step < halvings)[..., None, None], y @ y, y)
    return y


@operation
def matrix_exp(input: Any) -> Any:
    """Give exp of square matrices, the sum of their powers over factorials, by scaling and squaring.

    >>> import nbgrad
    >>> nbgrad.linalg.matrix_exp(nbgrad.tensor([[0.0, 1.0], [0.0, 0.0]]))
    Variable([[1., 1.],
              [0., 1.]])
    """
    return Exponential()(_operand("matrix_exp", input))


# ---- eigenvalues and singular values --------------------------------------------------------------------------------


class Eig(Several):
    """Eigenvalues and eigenvectors of square matrices that have real ones."""

    def forward(self, x: Array) -> Any:
        values, vectors = lapack("eig", x)
        if np.iscomplexobj(values):
            if np.any(values.imag != 0):
                raise np.linalg.LinAlgError(
                    "eig: there are complex eigenvalues, and nbgrad's dtypes are real: return_complex=True gives pairs "
                    "(real, imag), and eigh is for symmetric matrices"
                )
            values, vectors = values.real, vectors.real
        return values, vectors

    def vjp(self, gy: Any, y: Any, x: Any) -> Any:
        (gw, gv), (w, v) = gy, y
        vt = transposed(v)
        inner = matmul(vt, gv)
        lengths = getitem(inner, (..., np.arange(x.shape[-1]), np.arange(x.shape[-1])))
        inner = sub(inner, _scaled(matmul(vt, v), lengths))  # vectors keep their length
        inner = add(_over_differences(inner, w), mul(unsqueeze(gw, -2), _eye(x)))
        return solve(vt, matmul(inner, vt))


class ComplexEig(Several):
    """Real and imaginary parts of eigenvalues, then those of eigenvectors, of any square matrices.

    A vector may be turned by any phase. Of LAPACK's the largest element is real, of a sign that rounding decides: it is
    made positive, so that a vector is determined, and there is a derivative of whatever is made of it. Products of
    complex matrices are those of [[re, -im], [im, re]].
    """

    def forward(self, x: Array) -> Any:
        placement.only_on_cpu("eig", "LAPACK", (x,))
        return dispatch.called("eig", _eig_in_parts, x)

    def vjp(self, gy: Any, y: Any, x: Any) -> Any:
        (gw_re, gw_im, gv_re, gv_im), (w_re, w_im, v_re, v_im) = gy, y
        n = x.shape[-1]
        adjoint = transposed(_blocks(v_re, v_im))
        # what would make a vector longer, and what would turn its largest element, is taken away
        longer = unsqueeze(sum(add(mul(v_re, gv_re), mul(v_im, gv_im)), -2), -2)
        turned = unsqueeze(sum(sub(mul(v_im, gv_re), mul(v_re, gv_im)), -2), -2)
        largest = dispatch.called("eig", _largest_real, data_of(v_re), data_of(v_im))
        turned = mul(largest, div(turned, unsqueeze(sum(mul(largest, v_re), -2), -2)))
        g_re, g_im = sub(gv_re, mul(v_re, longer)), add(sub(gv_im, mul(v_im, longer)), turned)
        inner = matmul(adjoint, cat([g_re, g_im], -2))
        re, im = getitem(inner, (..., slice(n), slice(None))), getitem(inner, (..., slice(n, None), slice(None)))
        re, im = _over_complex_differences(re, im, w_re, w_im)
        eye = _eye(x)
        re, im = add(re, mul(unsqueeze(gw_re, -2), eye)), add(im, mul(unsqueeze(gw_im, -2), eye))
        whole = matmul(_blocks(re, im), getitem(adjoint, (..., slice(n))))
        return getitem(solve(adjoint, whole), (..., slice(n), slice(None)))


def _eig_in_parts(x: Array) -> tuple[Array, ...]:
    values, vectors = lapack("eig", x)
    largest = _largest_real(vectors.real, vectors.imag)
    vectors = vectors * np.where((largest * vectors.real).sum(-2, keepdims=True) < 0, -1, 1).astype(x.dtype)
    return tuple([as_array(np.array(part)) for z in (values, vectors) for part in (z.real, z.imag)])


def _largest_real(re: Array, im: Array) -> Array:
    """Give ones where each column has the largest of its elements that are real, zeros elsewhere."""
    found = np.zeros_like(re)
    if re.size:
        np.put_along_axis(found, np.where(im == 0, np.abs(re), -1).argmax(-2)[..., None, :], 1, -2)
    return found


def _blocks(re: Any, im: Any) -> Any:
    """Give the real matrices whose products are those of complex ones."""
    return cat([cat([re, neg(im)], -1), cat([im, re], -1)], -2)


def _over_complex_differences(re: Any, im: Any, w_re: Any, w_im: Any) -> tuple[Any, Any]:
    """Give x / conj(w[j] - w[i]) at i, j, as `_over_differences` does, in parts."""
    d_re, d_im = (sub(unsqueeze(w, -2), unsqueeze(w, -1)) for w in (w_re, w_im))
    square = add(mul(d_re, d_re), mul(d_im, d_im))
    equal = as_array(eq(data_of(square), 0))
    square = where(equal, 1.0, square)
    still = np.eye(w_re.shape[-1], dtype=bool) | (as_array(eq(data_of(re), 0)) & as_array(eq(data_of(im), 0)))
    limit = where(still, 0.0, math.inf)
    found = sub(mul(re, d_re), mul(im, d_im)), add(mul(re, d_im), mul(im, d_re))
    return where(equal, limit, div(found[0], square)), where(equal, limit, div(found[1], square))


def eig(A: Any, *, return_complex: bool = False) -> ValuesAndVectors:
    """Give eigenvalues and eigenvectors (columns, of length 1) of square matrices; if `return_complex`, of both parts.

    Raises LinAlgError where there are complex ones, unless these are asked for, which then are pairs (real, imag) as
    in `nbgrad.fft`, each vector turned so that its largest element is real and positive. Of vectors there is a gradient
    where the eigenvalues differ.

    >>> import nbgrad
    >>> nbgrad.linalg.eig(nbgrad.tensor([[0.0, -2.0], [2.0, 0.0]]), return_complex=True).eigenvalues
    Complex(real=Variable([0., 0.]), imag=Variable([ 2., -2.]))
    """
    x = _operand("eig", A)
    if not return_complex:
        return ValuesAndVectors(*Eig().applied(x))
    w_re, w_im, v_re, v_im = ComplexEig().applied(x)
    return ValuesAndVectors(Complex(w_re, w_im), Complex(v_re, v_im))


def eigvals(A: Any, *, return_complex: bool = False) -> Any:
    """Give the eigenvalues of square matrices; if `return_complex`, as a pair (real, imag).

    Raises LinAlgError where there are complex ones, unless these are asked for.
    """
    return eig(A, return_complex=return_complex).eigenvalues


def eigvalsh(A: Any, UPLO: str = "L") -> Any:
    """Give the eigenvalues of symmetric matrices, ascending, of which one half is read."""
    return eigh(A, UPLO).eigenvalues


def svdvals(A: Any) -> Any:
    """Give the singular values of matrices, descending."""
    return svd(A, False).S


# ---- least squares --------------------------------------------------------------------------------------------------


class LeastSquares(NamedTuple):
    """What `lstsq` gives; what the driver does not compute is empty."""

    solution: Any
    residuals: Any
    rank: Any
    singular_values: Any


_DRIVERS = ("gelsy", "gelsd", "gelss", "gels")


def lstsq(A: Any, B: Any, rcond: Any = None, *, driver: str | None = None) -> LeastSquares:
    """Give the x that makes the norm of A @ x - B least, and is itself least of these, by the pseudoinverse of A.

    With it the sums of squares that are left, where the driver has them and A is tall and of full rank, the rank, and
    singular values, as PyTorch's drivers have them: all are computed in the same way here. The gradient is that of
    matrices of the same rank. Raises ValueError for shapes that do not match.
    """
    if driver is not None and driver not in _DRIVERS:
        raise ValueError(f"lstsq: driver is one of {', '.join(_DRIVERS)}, got {driver!r}")
    driver = driver or "gelsy"
    a, b = _operand("lstsq", A, square=False), plain(B)
    vector = b.ndim == a.ndim - 1 and b.shape == a.shape[:-1]
    b = unsqueeze(b, -1) if vector else b
    if b.ndim < 2 or b.shape[-2] != a.shape[-2]:
        raise ValueError(f"lstsq: shapes {a.shape} and {b.shape} do not match")
    if a.dtype != b.dtype:
        raise TypeError(f"lstsq: dtypes {a.dtype} and {b.dtype}: convert one of them first")
    m, n = a.shape[-2:]
    x = matmul(pinv(a, rtol=rcond), b)
    ranks = matrix_rank(a.detach() if isinstance(a, Variable) else a, rtol=rcond)
    rest = getitem(reshape(x, (x.size,)), slice(0))
    if m > n and driver != "gelsy" and bool(np.all(data_of(ranks) == n)):
        difference = sub(matmul(a, x), b)
        rest = sum(mul(difference, difference), -2)
    values = svdvals(a) if driver in ("gelsd", "gelss") else rest[:0] if rest.ndim == 1 else reshape(rest, (-1,))[:0]
    if driver == "gels":
        ranks = reshape(ranks, (ranks.size,))[:0]
    return LeastSquares(squeeze(x, -1) if vector else x, rest, ranks, values)


# ---- of several dimensions ------------------------------------------------------------------------------------------


def tensorinv(A: Any, ind: int = 2) -> Any:
    """Give the inverse by `tensordot` over the first `ind` dimensions. Raises ValueError where the sides differ."""
    x = plain(A)
    if ind <= 0:
        raise ValueError(f"tensorinv: ind is {ind}: give at least 1")
    before, after = x.shape[:ind], x.shape[ind:]
    if math.prod(before) != math.prod(after):
        raise ValueError(f"tensorinv: sides {before} and {after} of shape {x.shape} differ in size")
    side = math.prod(before)
    return reshape(inv(reshape(x, (side, side))), (*after, *before))


def tensorsolve(A: Any, B: Any, dims: Any = None) -> Any:
    """Give the x with ``tensordot(A, x, x.ndim) == B``; `dims` of A go to its end first."""
    a, b = plain(A), plain(B)
    if dims is not None:
        moved = [axis_of("tensorsolve", d, a.ndim) for d in dims]
        a = permute(a, (*(i for i in range(a.ndim) if i not in moved), *moved))
    shape = a.shape[b.ndim :]
    if math.prod(a.shape[: b.ndim]) != math.prod(shape) or math.prod(shape) != b.size:
        raise ValueError(f"tensorsolve: shapes {a.shape} and {b.shape} do not match")
    return reshape(solve(reshape(a, (b.size, b.size)), reshape(b, (b.size,))), shape)


# ---- by other defaults ----------------------------------------------------------------------------------------------


def cross(input: Any, other: Any, *, dim: int = -1) -> Any:
    """Give vector products along a dimension of size 3, the last unless given; others broadcast."""
    return _cross("cross", plain(input), plain(other), dim)


def diagonal(A: Any, *, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Any:
    """Give a diagonal of two dimensions, the last two unless given, as the last one; `offset` counts to the right."""
    return _diagonal(A, offset, dim1, dim2)
