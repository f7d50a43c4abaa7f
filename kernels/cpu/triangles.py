"""Inverses and products of lower triangles, which LAPACK's callers in NumPy would find of whole matrices.

Large ones are cut into halves, so that what is known to be zero is not multiplied, and products by BLAS are most of
the work.
"""

from __future__ import annotations

from functools import cache as once
from typing import Any

import numpy as np
import numpy.typing as npt

from . import gufuncs, threads
from .failures import checked

Array = npt.NDArray[Any]

#: The most rows for which a loop takes less time than halves that BLAS puts together, and a whole product than halves.
MOST, _WHOLE = 64, 64


def inverse(x: Array) -> Array:
    """Give the inverses of lower triangles, with zeros above the diagonal; what is there in `x` is not read."""
    n = x.shape[-1]
    if n <= MOST and x.dtype.char in "fd":
        return checked(_kernel(), x)
    half, y = n // 2, np.zeros_like(x)
    first = y[..., :half, :half] = inverse(x[..., :half, :half])
    last = y[..., half:, half:] = inverse(x[..., half:, half:])
    y[..., half:, :half] = -(last @ (x[..., half:, :half] @ first))
    return y


def _turned(x: Array) -> Array:
    return x.swapaxes(-1, -2)


def product(a: Array, b: Array) -> Array:
    """Give a @ b of lower triangles, with zeros above their diagonals."""
    n = a.shape[-1]
    if n <= _WHOLE:
        return a @ b
    half, y = n // 2, np.zeros_like(a)
    y[..., :half, :half] = product(a[..., :half, :half], b[..., :half, :half])
    y[..., half:, half:] = product(a[..., half:, half:], b[..., half:, half:])
    np.matmul(a[..., half:, :half], b[..., :half, :half], out=y[..., half:, :half])
    y[..., half:, :half] += a[..., half:, half:] @ b[..., half:, :half]
    return y


def turned_product(a: Array, b: Array, below: bool = False) -> Array:
    """Give a.T @ b of lower triangles; with `below` that of any b, with zeros above the diagonal."""
    n = a.shape[-1]
    if n <= _WHOLE:
        y = _turned(a) @ b
        return np.tril(y) if below else y
    half, y = n // 2, np.zeros_like(a)
    more = _turned(a[..., half:, :half]) @ b[..., half:, :half]
    first = turned_product(a[..., :half, :half], b[..., :half, :half], below)
    y[..., :half, :half] = first + (np.tril(more) if below else more)
    y[..., half:, half:] = turned_product(a[..., half:, half:], b[..., half:, half:], below)
    np.matmul(_turned(a[..., half:, half:]), b[..., half:, :half], out=y[..., half:, :half])
    if not below:
        np.matmul(_turned(a[..., half:, :half]), b[..., half:, half:], out=y[..., :half, half:])
    return y


def cholesky_slope(gy: Array, y: Array) -> Array:
    """Give the gradient, which is symmetric, by positive definite matrices of their lower factors y.

    With P the lower triangle of y.T @ gy with half of its diagonal, and X the inverse of y, that is the symmetric part
    of X.T @ P @ X (I. Murray, "Differentiation of the Cholesky decomposition", 2016).
    """
    with np.errstate(all="ignore"):  # infinities and NaN are as silent as everywhere
        inner, backwards = turned_product(y, gy, below=True), inverse(y)
        inner[..., range(y.shape[-1]), range(y.shape[-1])] *= 0.5
        found = turned_product(backwards, product(inner, backwards))
        return (found + _turned(found)) * y.dtype.type(0.5)


@once
def _kernel() -> np.ufunc:
    return gufuncs.make("triangular_inverse", _source, "xx", "(n,n)->(n,n)", 1, threads.share_above(4 * threads.ACCESS))


def _source(number: str) -> str:
    """Write the loop: from a row, multiples of the rows before are taken, and what is left is divided."""
    with gufuncs.loop({"x": (number, "nm"), "y": (number, "nm")}, ["n"], ["n", "n"]) as text:
        with text.block("for b in range(outer):", "for i in range(n):"):
            text.put("x0 = b * xb + i * xn", "y0 = b * yb + i * yn", f"slope = {number}(1.0) / x[x0 + i * xm]")
            for head, step in (("if ym == 1:", ""), ("else:", " * np.uintp(ym)")):
                here, there = f"np.uintp(y0) + j{step}", f"np.uintp(y1) + j{step}"
                with text.block(head):
                    text.put("for j in range(np.uintp(n)):", f"    store_0(y, {here}, {number}(0.0))")
                    with text.block("for k in range(i):"):
                        text.put("y1 = b * yb + k * yn", "factor = x[x0 + k * xm] * slope")
                        left = f"load_back_0(y, {here}) - factor * load_back_0(y, {there})"
                        text.put("for j in range(np.uintp(k + 1)):", f"    store_0(y, {here}, {left})")
            text.put("y[y0 + i * ym] = slope")
    return str(text)
