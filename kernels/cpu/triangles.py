"""Inverses of small lower triangles, which LAPACK's callers in NumPy would find by elimination of whole matrices."""

from __future__ import annotations

from functools import cache as once
from typing import Any

import numpy as np
import numpy.typing as npt

from . import gufuncs, threads
from .failures import checked

Array = npt.NDArray[Any]

#: The most rows for which this takes less time than halves that BLAS puts together.
MOST = 64


def inverse(x: Array) -> Array:
    """Give the inverses of lower triangles, with zeros above the diagonal; what is there in `x` is not read."""
    y: Array = checked(_kernel(), x)
    return y


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
