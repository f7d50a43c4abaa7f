"""Products of small matrices: a loop that takes less time than it takes to call BLAS."""

from __future__ import annotations

from functools import cache as once
from typing import Any

import numpy as np
import numpy.typing as npt

from ..text import Text
from . import codegen, threads, ufunc
from .failures import checked

Array = npt.NDArray[Any]

#: The largest product, in multiplications, and the longest sums, that the loop is for: beyond, BLAS is faster.
MOST, LONGEST = 2048, 64

#: How many columns, or rows, are taken at once: sums that do not wait for one another.
_COLUMNS, _ROWS = 8, 4


def _source(number: str, size: int, launched: bool = False) -> str:
    """Write the loop for one dtype. Each result is the sum over k in order, whatever the layout.

    `launched`: as `nbgrad.jit` launches loops, with all sizes and steps in one array, before the operands.
    """
    text = Text()
    put = text.put
    with text.block("def loop(args, dims, steps, data):"):
        put("align_stack()")
        if launched:
            put("sizes = int64_pointer(args[1])")
        dims, steps, first = ("sizes[{}]", "sizes[4 + {}]", 2) if launched else ("dims[{}]", "steps[{}]", 0)
        put(*(f"{name} = {dims.format(place)}" for place, name in enumerate(("outer", "m", "k", "n"))))
        for place, names in enumerate((("x", "xi", "xj"), ("w", "wj", "wl"), ("y", "yi", "yl"))):
            put(f"{names[0]} = {number}_pointer(args[{first + place}])")
            put(*(f"{name} = {steps.format(3 + 2 * place + core)} // {size}" for core, name in enumerate(names[1:])))
        put(f"whole = n // {_COLUMNS} * {_COLUMNS}", f"even = m // {_ROWS} * {_ROWS}")
        with text.block("for b in range(outer):"):
            put(*(f"{name}0 = b * ({steps.format(place)} // {size})" for place, name in enumerate("xwy")))
            # neighbouring columns, which LLVM makes vectors of
            with text.block("for i in range(m):", f"for first in range(0, whole, {_COLUMNS}):"):
                lanes = range(_COLUMNS)
                for head, step in (("if wl == 1:", ""), ("else:", " * wl")):
                    with text.block(head):
                        put(*(f"s{lane} = {number}(0)" for lane in lanes))
                        with text.block("for j in range(k):"):
                            put("a = x[x0 + i * xi + j * xj]", f"at = w0 + j * wj + first{step}")
                            put(*(f"s{lane} += a * w[at + {lane}{step}]" for lane in lanes))
                        put(*(f"y[y0 + i * yi + (first + {lane}) * yl] = s{lane}" for lane in lanes))
            with text.block("for l in range(whole, n):"):
                for head, rows in ((f"for i in range(0, even, {_ROWS}):", _ROWS), ("for i in range(even, m):", 1)):
                    with text.block(head):
                        put(*(f"s{row} = {number}(0)" for row in range(rows)))
                        with text.block("for j in range(k):"):
                            put("a = w[w0 + j * wj + l * wl]")
                            put(*(f"s{row} += x[x0 + (i + {row}) * xi + j * xj] * a" for row in range(rows)))
                        put(*(f"y[y0 + (i + {row}) * yi + l * yl] = s{row}" for row in range(rows)))
        put("clear_exceptions()")
    return str(text)


@once
def kernel() -> np.ufunc:
    """Give the ufunc that multiplies matrices."""

    def compile_loop(codes: ufunc.Types) -> tuple[int, int]:
        number = np.dtype(codes[-1])
        text = _source(number.name, number.itemsize)
        return codegen.address(f"product-{''.join(codes)}", text), threads.NEVER

    return ufunc.make("matmul", ["fff", "ddd"], 1, compile_loop, "(m,k),(k,n)->(m,n)")


def is_small(stack: int, m: int, k: int, n: int) -> bool:
    """Tell whether a product is for the loop: stacks of (m, k) by (k, n)."""
    return stack * m * k * n <= MOST and stack * m * n <= MOST and k <= LONGEST


@once
def launched(number: str) -> str:
    """Write the loop as `nbgrad.jit` launches it, for a dtype."""
    return _source(number, np.dtype(number).itemsize, launched=True)


def multiply(x: Array, w: Array) -> Array | None:
    """Multiply matrices and vectors, or as many matrices each, by the loop, if it is for them: one dtype, and small."""
    if x.dtype != w.dtype or x.dtype.char not in "fd":
        return None
    if x.ndim == w.ndim == 3:
        if x.shape[0] != w.shape[0]:
            return None
        rows, columns, stack = x, w, x.shape[0]
    elif 0 < x.ndim <= 2 and 0 < w.ndim <= 2:
        rows, columns, stack = x if x.ndim == 2 else x[None], w if w.ndim == 2 else w[:, None], 1
    else:
        return None
    (m, k), n = rows.shape[-2:], columns.shape[-1]
    if columns.shape[-2] != k or not is_small(stack, m, k, n):
        return None
    y: Array = checked(kernel(), rows, columns)
    return y if y.ndim == 3 else y.reshape((*x.shape[:-1], *w.shape[1:]))
