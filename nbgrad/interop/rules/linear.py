"""Linear algebra: NumPy's `linalg`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ...arrays import is_stand_in
from ...ops import norms
from ...variable import Variable, data_of
from .operands import axis_within, floating, operand, together

_LETTERS = "abcdefghijklmnopqrstuvwxyz"


def _operations() -> Any:
    from ...ops import decomposition

    return decomposition


def _by_lapack(name: str) -> Any:
    """Make the rule of a function that is an operation; what stands in for arrays is left to NumPy's."""

    def rule(a: Any, *others: Any) -> Any:
        arrays = [floating(x) for x in together(a, *others)]
        if not any(isinstance(x, Variable) for x in arrays):
            return NotImplemented
        return getattr(_operations(), name)(*arrays)

    return rule


def _slogdet(a: Any) -> Any:
    if not isinstance(a, Variable):
        return NotImplemented
    sign, logabsdet = _operations().slogdet(a)
    return type(np.linalg.slogdet(np.eye(1)))(sign, logabsdet)


def _cholesky(a: Any, /, *, upper: bool = False) -> Any:
    if not isinstance(a, Variable):
        return NotImplemented
    a = np.matrix_transpose(a) if upper else a
    found = _operations().cholesky(a)
    return np.matrix_transpose(found) if upper else found


def _eigh(a: Any, UPLO: str = "L") -> Any:
    if not isinstance(a, Variable) or UPLO.upper() not in ("L", "U"):
        return NotImplemented
    return type(np.linalg.eigh(np.eye(1)))(*_operations().eigh(a, UPLO))


def _eigvalsh(a: Any, UPLO: str = "L") -> Any:
    found = _eigh(a, UPLO)
    return found if found is NotImplemented else found[0]


def _svd(a: Any, full_matrices: bool = True, compute_uv: bool = True, hermitian: bool = False) -> Any:
    if not isinstance(a, Variable) or hermitian:
        return NotImplemented
    if not compute_uv:
        return _operations().svd(a, False)[1]
    if full_matrices and a.shape[-1] != a.shape[-2]:
        raise TypeError(
            f"np.linalg.svd of shape {a.shape}: of square u and vh not all columns are determined by the matrix, and "
            "have gradients: give full_matrices=False, which leaves these out"
        )
    return type(np.linalg.svd(np.eye(1)))(*_operations().svd(a, False))


def _svdvals(x: Any, /) -> Any:
    return _operations().svd(x, False)[1] if isinstance(x, Variable) else NotImplemented


def _qr(a: Any, mode: str = "reduced") -> Any:
    if not isinstance(a, Variable) or mode not in ("reduced", "r", "complete"):
        return NotImplemented
    if mode == "complete" and a.shape[-2] > a.shape[-1]:
        return NotImplemented
    found = _operations().qr(a)
    return found[1] if mode == "r" else type(np.linalg.qr(np.eye(1)))(*found)


def _pinv(a: Any, rcond: Any = None, hermitian: bool = False, *, rtol: Any = np._NoValue) -> Any:
    if not isinstance(a, Variable) or hermitian:
        return NotImplemented
    options = {name: v for name, v in (("rcond", rcond), ("rtol", rtol)) if v not in (None, np._NoValue)}
    return _operations().pinv(a, **options)


def _lstsq(a: Any, b: Any, rcond: Any = None) -> Any:
    """Solve by q and r of the matrix, or of its transpose where it is wide; for full rank."""
    if any(map(is_stand_in, (data_of(a), data_of(b)))):
        return NotImplemented
    a, b = floating(a), floating(b)
    if a.ndim != 2 or b.ndim not in (1, 2) or a.shape[0] != b.shape[0]:
        return NotImplemented  # NumPy says why
    a, b = (x.astype(np.result_type(a.dtype, b.dtype)) for x in (a, b))
    m, n = a.shape
    _, _, rank, s = np.linalg.lstsq(data_of(a), data_of(b), rcond)
    if rank < min(m, n):
        raise np.linalg.LinAlgError(
            f"np.linalg.lstsq of shape {a.shape}: a matrix of rank {rank}, where the solution has no gradient"
        )
    if m >= n:
        q, r = _operations().qr(a)
        x = _operations().solve(r, np.matmul(np.transpose(q), b))
    else:
        q, r = _operations().qr(np.transpose(a))
        x = np.matmul(q, _operations().solve(np.transpose(r), b))
    rest = np.sum((b - np.matmul(a, x)) ** 2, 0) if m > n else np.zeros(0)
    residuals = rest.reshape(-1)
    return x, residuals, rank, _svdvals(a) if isinstance(a, Variable) else s


def _matrix_power(a: Any, n: int) -> Any:
    if not isinstance(a, Variable) or a.ndim < 2 or a.shape[-1] != a.shape[-2] or not isinstance(n, int):
        return NotImplemented
    if n == 0:
        return np.broadcast_to(np.eye(a.shape[-1], dtype=a.dtype), a.shape) + 0.0 * a
    if n < 0:
        a, n = _operations().inv(a), -n
    found: Any = None
    while True:
        if n & 1:
            found = a if found is None else np.matmul(found, a)
        n >>= 1
        if not n:
            return found
        a = np.matmul(a, a)


def _multi_dot(arrays: Any, *, out: None = None) -> Any:
    """Multiply in the order that takes the least work."""
    if out is not None:
        return NotImplemented
    parts = [operand(x) for x in arrays]
    if len(parts) < 2 or any(x.ndim not in (1, 2) for x in parts) or any(x.ndim == 1 for x in parts[1:-1]):
        return NotImplemented  # NumPy says why
    names = [_LETTERS[i : i + 2] for i in range(len(parts))]
    if parts[0].ndim == 1:
        names[0] = names[0][1]
    if parts[-1].ndim == 1:
        names[-1] = names[-1][0]
    result = names[0][:1] * (parts[0].ndim == 2) + names[-1][1:]
    return np.einsum(",".join(names) + "->" + result, *parts)


# ---- norms ----------------------------------------------------------------------------------------------------------


def _vector_norm(x: Any, /, *, axis: Any = None, keepdims: bool = False, ord: Any = 2) -> Any:
    x = floating(x)
    if axis is None:
        found = _vector(x.reshape(-1), ord, 0, False)
        return found.reshape((1,) * x.ndim) if keepdims and found is not NotImplemented else found
    return _vector(x, ord, axis, keepdims)


def _vector(x: Any, ord: Any, axis: Any, keepdims: bool) -> Any:
    if isinstance(ord, str):
        return NotImplemented
    return norms.vector_norm(x, 2 if ord is None else ord, axis=axis, keepdims=bool(keepdims) or None)


def _matrix_norm(x: Any, /, *, keepdims: bool = False, ord: Any = "fro") -> Any:
    return _norm(x, ord, (-2, -1), keepdims)


def _norm(x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Any:
    x = floating(x)
    if axis is None and (ord is None or (x.ndim == 1 and not isinstance(ord, str))):
        return _vector_norm(x, keepdims=keepdims, ord=2 if ord is None else ord)
    if axis is None:
        axis = tuple(range(x.ndim))
    axes = (axis,) if np.ndim(axis) == 0 else tuple(axis)
    if len(axes) == 1:
        return _vector(x, ord, axis_within(axes[0], x.ndim), keepdims)
    if len(axes) != 2:
        return NotImplemented  # NumPy says why
    rows, columns = (axis_within(i, x.ndim) for i in axes)
    if ord is None or ord == "fro":
        return _vector(x, 2, (rows, columns), keepdims)
    x = np.moveaxis(x, (rows, columns), (-2, -1))
    if ord in (1, -1, np.inf, -np.inf):
        sums = np.sum(np.abs(x), -2 if abs(ord) == 1 else -1)
        found = np.max(sums, -1) if ord > 0 else np.min(sums, -1)
    elif ord in (2, -2, "nuc"):
        values = np.linalg.svd(x, compute_uv=False)
        found = np.sum(values, -1) if ord == "nuc" else np.max(values, -1) if ord == 2 else np.min(values, -1)
    else:
        return NotImplemented
    return np.expand_dims(found, tuple(sorted((rows, columns)))) if keepdims else found


def _cond(x: Any, p: Any = None) -> Any:
    if not isinstance(x, Variable):
        return NotImplemented
    if p in (None, 2, -2):
        s = _svdvals(x)
        return s[..., 0] / s[..., -1] if p != -2 else s[..., -1] / s[..., 0]
    return _norm(x, p, (-2, -1)) * _norm(_operations().inv(x), p, (-2, -1))


def _tensorinv(a: Any, ind: int = 2) -> Any:
    if not isinstance(a, Variable) or ind <= 0:
        return NotImplemented
    before, after = a.shape[:ind], a.shape[ind:]
    return _operations().inv(a.reshape((int(np.prod(before)), -1))).reshape((*after, *before))


def _tensorsolve(a: Any, b: Any, axes: Any = None) -> Any:
    a, b = floating(a), floating(b)
    if not any(isinstance(x, Variable) for x in (a, b)):
        return NotImplemented
    if axes is not None:
        moved = [axis_within(i, a.ndim) for i in axes]
        a = np.transpose(a, [i for i in range(a.ndim) if i not in moved] + moved)
    shape = a.shape[b.ndim :]
    return _operations().solve(a.reshape((b.size, -1)), b.reshape(-1)).reshape(shape)


RULES: dict[Any, Callable[..., Any]] = {
    **{getattr(np.linalg, name): _by_lapack(name) for name in ("inv", "det", "solve")},
    np.linalg.slogdet: _slogdet,
    np.linalg.cholesky: _cholesky,
    np.linalg.eigh: _eigh,
    np.linalg.eigvalsh: _eigvalsh,
    np.linalg.svd: _svd,
    np.linalg.svdvals: _svdvals,
    np.linalg.qr: _qr,
    np.linalg.pinv: _pinv,
    np.linalg.lstsq: _lstsq,
    np.linalg.matrix_power: _matrix_power,
    np.linalg.multi_dot: _multi_dot,
    np.linalg.norm: _norm,
    np.linalg.vector_norm: _vector_norm,
    np.linalg.matrix_norm: _matrix_norm,
    np.linalg.cond: _cond,
    np.linalg.tensorinv: _tensorinv,
    np.linalg.tensorsolve: _tensorsolve,
}
