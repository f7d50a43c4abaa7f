"""Losses of classes: for each row of numbers the class that it should be, in one loop forth and one back.

Rows shorter than the lanes are taken several at once, so that exponentials come in whole vectors. A class that does not
exist is met where it is used: whoever looked before cannot know that nobody has changed it since.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache as once

import numpy as np
import numpy.typing as npt

from ..text import Text
from . import gufuncs, threads
from .failures import checked
from .indexing import outside
from .sizes import LANES

Array = npt.NDArray[np.generic]

#: What an element costs, in additions: an exponential, and a few accesses.
_COST = 60


def cross_entropy(x: Array, labels: Array, count: Array) -> tuple[Array, Array]:
    """Give log(sum(exp(x))) - x[label], summed over the rows of a matrix and divided by `count`, and a state.

    The state has for each row its maximum, and one over the sum of the exponentials of what is left of the row without
    it. Labels are whole numbers of 64 bits. Raises IndexError for a class that does not exist.
    """
    if not _is_shared(x):
        state, loss = checked(_forward(False), x, labels, count, out=...)
        return loss, state
    _look_at(labels, x.shape[1])
    state, losses = np.empty((len(x), 2), x.dtype), np.empty(len(x), np.float64)
    found = 0
    for rows in _blocks(x):
        made = checked(_forward(True), rows(x), rows(labels), count, out=(rows(state), None))[1]
        losses[found : found + len(made)] = made
        found += len(made)
    return np.asarray(losses[:found].sum(), x.dtype), state


def cross_entropy_slope(gy: Array, x: Array, labels: Array, count: Array, state: Array) -> Array:
    """Give the gradient of `cross_entropy` by x, from the cotangent of the loss."""
    if not _is_shared(x):
        gx: Array = checked(_backward(False), gy, x, labels, count, state, out=...)
        return gx
    _look_at(labels, x.shape[1])
    gx = np.empty(x.shape, x.dtype)
    for rows in _blocks(x):
        checked(_backward(True), gy, rows(x), rows(labels), count, rows(state), out=rows(gx))
    return gx


def nll(x: Array, labels: Array, count: Array) -> Array:
    """Give -x[label], summed over the rows of a matrix and divided by `count`.

    Raises IndexError for a class that does not exist.
    """
    loss: Array = checked(_nll(), x, labels, count, out=...)
    return loss


def nll_slope(gy: Array, labels: Array, count: Array, shape: tuple[int, int]) -> Array:
    """Give the gradient of `nll` by x, of a shape, from the cotangent of the loss."""
    gx: Array = checked(_nll_slope(), gy, labels, count, out=np.empty(shape, gy.dtype))
    return gx


# ---- long work ------------------------------------------------------------------------------------------------------


def _is_shared(x: Array) -> bool:
    return x.size >= threads.share_above(_COST)


def _blocks(x: Array) -> Iterator[Callable[[Array], Array]]:
    """Give functions that cut arrays into blocks of rows, which threads may share: as many rows as fill the lanes."""
    each = max(1, LANES // x.shape[1])
    whole = len(x) // each * each
    yield lambda a: a[:whole].reshape(-1, each, *a.shape[1:])
    if whole < len(x):
        yield lambda a: a[None, whole:]


def _look_at(labels: Array, classes: int) -> None:
    if labels.view(np.uint64).max() >= classes:  # seen as unsigned, a negative number is too large as well
        raise IndexError("a class does not exist")


# ---- loops ----------------------------------------------------------------------------------------------------------
#
# Each is one that threads share, or one that raises IndexError where a class does not exist. Both are the same code:
# who may share leaves out such a row.


def _kernel(name: str, write: Callable[[str], str], types: str, signature: str, shared: bool = False) -> np.ufunc:
    outputs = signature.split("->")[1].count("(")
    if shared:
        return gufuncs.make(name, write, types, signature, outputs, threads.share_above(_COST))
    return gufuncs.make(name, write, types, signature, outputs, threads.NEVER, outside)


@once
def _forward(shared: bool) -> np.ufunc:
    return _kernel("cross_entropy", _forward_source, "xixxx", "(n,c),(n),()->(n,2),()", shared)


@once
def _backward(shared: bool) -> np.ufunc:
    return _kernel("cross_entropy_vjp", _backward_source, "xxixxx", "(),(n,c),(n),(),(n,2)->(n,c)", shared)


@once
def _nll() -> np.ufunc:
    return _kernel("nll", _nll_source, "xixx", "(n,c),(n),()->()")


@once
def _nll_slope() -> np.ufunc:
    return _kernel("nll_vjp", _nll_slope_source, "xixx", "(),(n),()->(n,c)")


#: The names of the core dimensions' lengths, and the operand that all loops have.
_SIZES = ["rows", "classes"]
_LABEL = {"label": ("int64", "n")}


def _read_label(text: Text, row: str) -> None:
    """Write: read the class of a row, which must exist."""
    text.put(f"k = label[b * labelb + ({row}) * labeln]")
    with text.block("if np.uintp(k) >= np.uintp(classes):  # a negative one is, too"):
        with text.block(f"if longest == {threads.NEVER}:"):
            text.put("share(args, dims, steps, data)", "return")
        text.put("continue")


def _forward_source(number: str) -> str:
    operands = {"x": (number, "nc"), **_LABEL, "count": (number, "")}
    with gufuncs.loop(operands | {"state": (number, "nq"), "loss": (number, "")}, _SIZES) as text:
        put, block = text.put, text.block
        put(f"values = {number}_lanes()", f"wide = {number}_lanes()")

        def finish(row: str) -> None:
            """Write: the loss and the state of a row whose maximum is `top` and whose exponentials add up to `sum`."""
            put(f"s = b * stateb + ({row}) * staten", "state[s] = top", f"state[s + stateq] = {number}(1 / total)")
            _read_label(text, row)
            put(f"picked = x[b * xb + ({row}) * xn + k * xc]")
            put("result += log_float64(total) + (float64(top) - float64(picked))")

        with block("for b in range(outer):"):
            put("result = 0.0")
            with block(f"if classes < {LANES}:"):
                put(f"together = {LANES} // max(classes, 1)")
                with block("for first in range(0, rows, together):"):
                    put("many = min(together, rows - first)", "place = 0")
                    with block("for r in range(first, first + many):"):
                        put("row = b * xb + r * xn", f"top = {number}(-np.inf)")
                        with block("for j in range(classes):"):
                            put("v = x[row + j * xc]", "top = v if v > top or v != v else top")
                        put("state[b * stateb + r * staten] = top")
                        with block("for j in range(classes):"):
                            put("values[place] = x[row + j * xc] - top", "place += 1")
                    put(f"for lane in range(place, {LANES}):", f"    values[lane] = {number}(0)")
                    put(f"for lane in range({LANES}):", f"    values[lane] = exp_{number}(values[lane])")
                    put("place = 0")
                    with block("for r in range(first, first + many):"):
                        put("total = 0.0")
                        with block("for j in range(classes):"):
                            put("total += float64(values[place])", "place += 1")
                        put("top = state[b * stateb + r * staten]")
                        finish("r")
            with block("else:", "for r in range(rows):"):
                put("row = b * xb + r * xn", f"whole = classes // {LANES} * {LANES}")
                put(
                    f"for lane in range({LANES}):",
                    f"    values[lane] = {number}(-np.inf)",
                    f"    wide[lane] = {number}(0)",
                )
                for head, step in (("if xc == 1:", ""), ("else:", " * xc")):
                    with block(head, f"for start in range(0, whole, {LANES}):", f"for lane in range({LANES}):"):
                        put(f"v = x[row + (start + lane){step}]", "old = values[lane]")
                        put("values[lane] = v if v > old or v != v else old")
                with block("for lane in range(classes - whole):"):
                    put("v = x[row + (whole + lane) * xc]", "old = values[lane]")
                    put("values[lane] = v if v > old or v != v else old")
                put(f"half = {LANES // 2}")
                with block("while half > 0:"):
                    with block("for lane in range(half):"):
                        put("v = values[lane + half]", "old = values[lane]")
                        put("values[lane] = v if v > old or v != v else old")
                    put("half //= 2")
                put("top = values[0]")
                for head, step in (("if xc == 1:", ""), ("else:", " * xc")):
                    with block(head, f"for start in range(0, whole, {LANES}):", f"for lane in range({LANES}):"):
                        put(f"wide[lane] += exp_{number}(x[row + (start + lane){step}] - top)")
                with block(f"for lane in range({LANES}):"):
                    put("at = whole + lane")
                    put(f"values[lane] = x[row + at * xc] - top if at < classes else {number}(-np.inf)")
                put(f"for lane in range({LANES}):", f"    values[lane] = exp_{number}(values[lane])")
                put(f"for lane in range({LANES}):", "    wide[lane] += values[lane]", f"half = {LANES // 2}")
                with block("while half > 0:"):
                    put("for lane in range(half):", "    wide[lane] += wide[lane + half]", "half //= 2")
                put("total = float64(wide[0])")
                finish("r")
            put(f"loss[b * lossb] = {number}(result / float64(count[b * countb]))")
    return str(text)


def _backward_source(number: str) -> str:
    operands = {"gy": (number, ""), "x": (number, "nc"), **_LABEL, "count": (number, "")}
    with gufuncs.loop(operands | {"state": (number, "nq"), "gx": (number, "nc")}, _SIZES) as text:
        put, block = text.put, text.block
        put(f"values = {number}_lanes()")
        with block("for b in range(outer):"):
            put("share_of_each = gy[b * gyb] / count[b * countb]")
            with block(f"if classes < {LANES}:"):
                put(f"together = {LANES} // max(classes, 1)")
                with block("for first in range(0, rows, together):"):
                    put("many = min(together, rows - first)", "place = 0")
                    with block("for r in range(first, first + many):"):
                        put("row = b * xb + r * xn", "top = state[b * stateb + r * staten]")
                        with block("for j in range(classes):"):
                            put("values[place] = x[row + j * xc] - top", "place += 1")
                    put(f"for lane in range(place, {LANES}):", f"    values[lane] = {number}(0)")
                    put(f"for lane in range({LANES}):", f"    values[lane] = exp_{number}(values[lane])")
                    put("place = 0")
                    with block("for r in range(first, first + many):"):
                        put("to = b * gxb + r * gxn")
                        put("factor = state[b * stateb + r * staten + stateq] * share_of_each")
                        with block("for j in range(classes):"):
                            put("gx[to + j * gxc] = values[place] * factor", "place += 1")
                        _read_label(text, "r")
                        put("gx[to + k * gxc] -= share_of_each")
            with block("else:", "for r in range(rows):"):
                put("row = b * xb + r * xn", "to = b * gxb + r * gxn", "s = b * stateb + r * staten")
                put("top = state[s]", "factor = state[s + stateq] * share_of_each")
                with block("if xc == 1 and gxc == 1:", "for j in range(classes):"):
                    put(f"gx[to + j] = exp_{number}(x[row + j] - top) * factor")
                with block("else:", "for j in range(classes):"):
                    put(f"gx[to + j * gxc] = exp_{number}(x[row + j * xc] - top) * factor")
                _read_label(text, "r")
                put("gx[to + k * gxc] -= share_of_each")
    return str(text)


def _nll_source(number: str) -> str:
    operands = {"x": (number, "nc"), **_LABEL, "count": (number, ""), "loss": (number, "")}
    with gufuncs.loop(operands, _SIZES) as text:
        with text.block("for b in range(outer):"):
            text.put("result = 0.0")
            with text.block("for r in range(rows):"):
                _read_label(text, "r")
                text.put("result -= float64(x[b * xb + r * xn + k * xc])")
            text.put(f"loss[b * lossb] = {number}(result / float64(count[b * countb]))")
    return str(text)


def _nll_slope_source(number: str) -> str:
    operands = {"gy": (number, ""), **_LABEL, "count": (number, ""), "gx": (number, "nc")}
    with gufuncs.loop(operands, _SIZES) as text:
        with text.block("for b in range(outer):"):
            text.put("share_of_each = gy[b * gyb] / count[b * countb]")
            with text.block("for r in range(rows):"):
                text.put("to = b * gxb + r * gxn")
                text.put("for j in range(classes):", f"    gx[to + j * gxc] = {number}(0)")
                _read_label(text, "r")
                text.put("gx[to + k * gxc] = -share_of_each")
    return str(text)
