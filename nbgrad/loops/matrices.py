"""NumPy's functions of matrices as loops, in the language that is differentiated."""

from __future__ import annotations

import numpy as np

# mypy: disable-error-code="no-untyped-def, type-arg"


def _factors(a):
    """Gauss's elimination with the largest pivot of each column: both factors, the order of rows, and its sign."""
    n = a.shape[0]
    lu = a.copy()
    order = np.empty(n, np.int64)
    for i in range(n):
        order[i] = i
    sign = 1.0
    for j in range(n):
        pivot, size = j, abs(lu[j, j])
        for i in range(j + 1, n):
            if abs(lu[i, j]) > size:
                pivot, size = i, abs(lu[i, j])
        if size == 0.0:
            raise np.linalg.LinAlgError("Matrix is singular to machine precision.")
        if pivot != j:
            sign = -sign
            held = order[j]
            order[j] = order[pivot]
            order[pivot] = held
            for k in range(n):
                other = lu[j, k]
                lu[j, k] = lu[pivot, k]
                lu[pivot, k] = other
        for i in range(j + 1, n):
            ratio = lu[i, j] / lu[j, j]
            lu[i, j] = ratio
            for k in range(j + 1, n):
                lu[i, k] -= ratio * lu[j, k]
    return lu, order, sign


def _solved(lu, order, b):
    n = lu.shape[0]
    y = np.empty(n, lu.dtype)
    for i in range(n):
        s = b[order[i]]
        for k in range(i):
            s -= lu[i, k] * y[k]
        y[i] = s
    x = np.empty(n, lu.dtype)
    for i in range(n - 1, -1, -1):
        t = y[i]
        for k in range(i + 1, n):
            t -= lu[i, k] * x[k]
        x[i] = t / lu[i, i]
    return x


def _solve(a, b):
    lu, order, _ = _factors(a)
    if b.ndim == 1:
        return _solved(lu, order, b)
    x = np.empty(b.shape, a.dtype)
    for j in range(b.shape[1]):
        x[:, j] = _solved(lu, order, b[:, j])
    return x


def _inv(a):
    return _solve(a, np.eye(a.shape[0]))


def _det(a):
    lu, _, sign = _factors(a)
    product = sign
    for i in range(a.shape[0]):
        product *= lu[i, i]
    return product


def _slogdet(a):
    lu, _, sign = _factors(a)
    total = 0.0
    for i in range(a.shape[0]):
        total += np.log(abs(lu[i, i]))
        if lu[i, i] < 0:
            sign = -sign
    return sign, total


def _cholesky(a):
    n = a.shape[0]
    c = np.zeros((n, n), a.dtype)
    for j in range(n):
        s = a[j, j]
        for k in range(j):
            s -= c[j, k] * c[j, k]
        if not s > 0.0:
            raise np.linalg.LinAlgError("Matrix is not positive definite.")
        c[j, j] = np.sqrt(s)
        for i in range(j + 1, n):
            t = a[i, j]
            for k in range(j):
                t -= c[i, k] * c[j, k]
            c[i, j] = t / c[j, j]
    return c


#: What is put in the place of a function of matrices.
MATRICES = {
    np.linalg.solve: _solve,
    np.linalg.inv: _inv,
    np.linalg.det: _det,
    np.linalg.slogdet: _slogdet,
    np.linalg.cholesky: _cholesky,
}
