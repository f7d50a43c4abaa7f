"""The gradient of products: of each element of a line the product of all others, which divides by nothing.

The elements before are multiplied on the way forth, those after on the way back. A line has 64 such products side by
side, lanes, which take every 64th element; of columns each is a lane.
"""

from __future__ import annotations

import math
from functools import cache as once

import numpy as np
import numpy.typing as npt

from . import gufuncs, threads
from .failures import checked
from .sizes import LANES

Array = npt.NDArray[np.generic]

#: What an element costs, in additions: five accesses, and four products that wait for one another.
_COST = 6 * threads.ACCESS


def products_of_others(x: Array, gy: Array, axes: tuple[int, ...]) -> Array:
    """Give for each element the product of all others along some axes, ascending, times the cotangent of theirs.

    `gy` has the shape of x without the axes.
    """
    shape = x.shape
    first, last = (axes[0], axes[-1]) if axes else (x.ndim, x.ndim - 1)
    if last - first + 1 != len(axes):  # not neighbours: they go to the end, and come back
        order = (*(axis for axis in range(x.ndim) if axis not in axes), *axes)
        ends = tuple(range(x.ndim - len(axes), x.ndim))
        return products_of_others(x.transpose(order), gy, ends).transpose(np.argsort(order))
    length = math.prod(shape[first : last + 1])
    if last == x.ndim - 1:
        rows = x.reshape(*shape[:first], length)
        return checked(_rows(), rows, gy, out=...).reshape(shape)
    columns = x.reshape(*shape[:first], length, math.prod(shape[last + 1 :]))
    return checked(_columns(), columns, gy.reshape(*shape[:first], columns.shape[-1]), out=...).reshape(shape)


@once
def _rows() -> np.ufunc:
    return gufuncs.make("prod_vjp-row", _rows_source, "xxx", "(k),()->(k)", 1, threads.share_above(_COST))


@once
def _columns() -> np.ufunc:
    return gufuncs.make("prod_vjp-block", _columns_source, "xxx", "(k,n),(n)->(k,n)", 1, threads.share_above(_COST))


def _rows_source(number: str) -> str:
    with gufuncs.loop({"x": (number, "k"), "g": (number, ""), "o": (number, "k")}, ["k"]) as text:
        put, block = text.put, text.block
        put("lanes = float64_lanes()")
        put("befores = float64_lanes()")
        each = f"for lane in range({LANES}):"
        with block("for b in range(outer):"):
            put("x0 = b * xb", "o0 = b * ob", "cotangent = float64(g[b * gb])", f"whole = k // {LANES} * {LANES}")
            put("before = 1.0", "after = 1.0")
            with block("if whole > 0:"):
                # what each lane comes to, and from that what all others do
                put(each, "    lanes[lane] = 1.0")
                for head, step in (("if xk == 1:", ""), ("else:", " * xk")):
                    with block(head, f"for start in range(0, whole, {LANES}):", each):
                        put(f"lanes[lane] *= float64(x[x0 + (start + lane){step}])")
                put("for i in range(whole, k):", "    after *= float64(x[x0 + i * xk])")
                put(each, "    befores[lane] = before * cotangent", "    before *= lanes[lane]")
                put(f"for back in range({LANES}):", f"    lane = {LANES - 1} - back", "    befores[lane] *= after")
                put("    after *= lanes[lane]")
                put(each, "    lanes[lane] = 1.0")
                # forth, with that to begin with, and back
                for head, xs, os in (("if xk == 1 and ok == 1:", "", ""), ("else:", " * xk", " * ok")):
                    with block(head):
                        with block(f"for start in range(0, whole, {LANES}):", each):
                            put(f"o[o0 + (start + lane){os}] = {number}(befores[lane])")
                            put(f"befores[lane] *= float64(x[x0 + (start + lane){xs}])")
                        with block(f"for back in range(0, whole, {LANES}):"):
                            put(f"start = whole - {LANES} - back")
                            with block(each):
                                put(f"at = o0 + (start + lane){os}", f"o[at] = {number}(float64(o[at]) * lanes[lane])")
                                put(f"lanes[lane] *= float64(x[x0 + (start + lane){xs}])")
            put("before *= cotangent", "after = 1.0")
            with block("for i in range(whole, k):"):
                put(f"o[o0 + i * ok] = {number}(before)", "before *= float64(x[x0 + i * xk])")
            with block("for back in range(k - whole):"):
                put("i = k - 1 - back", f"o[o0 + i * ok] = {number}(float64(o[o0 + i * ok]) * after)")
                put("after *= float64(x[x0 + i * xk])")
    return str(text)


def _columns_source(number: str) -> str:
    with gufuncs.loop({"x": (number, "kn"), "g": (number, "n"), "o": (number, "kn")}, ["k", "n"]) as text:
        put, block = text.put, text.block
        put("lanes = float64_lanes()")
        each = "for lane in range(width):"
        with block("for b in range(outer):", f"for first in range(0, n, {LANES}):"):
            put(f"width = min({LANES}, n - first)", "x0 = b * xb + first * xn", "o0 = b * ob + first * on")
            put(each, "    lanes[lane] = float64(g[b * gb + (first + lane) * gn])")
            for head, xs, os in (("if xn == 1 and on == 1:", "", ""), ("else:", " * xn", " * on")):
                with block(head):
                    with block("for i in range(k):", each):
                        put(f"o[o0 + i * ok + lane{os}] = {number}(lanes[lane])")
                        put(f"lanes[lane] *= float64(x[x0 + i * xk + lane{xs}])")
                    put(each, "    lanes[lane] = 1.0")
                    with block("for back in range(k):"):
                        put("i = k - 1 - back")
                        with block(each):
                            put(f"at = o0 + i * ok + lane{os}", f"o[at] = {number}(float64(o[at]) * lanes[lane])")
                            put(f"lanes[lane] *= float64(x[x0 + i * xk + lane{xs}])")
    return str(text)
