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
from . import codegen, threads, ufunc
from .failures import checked
from .indexing import outside
from .sizes import LANES

Array = npt.NDArray[np.generic]

_INDEX = np.dtype(np.int64).char
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


def _kernel(name: str, write: Callable[[str], str], types: str, signature: str, outputs: int, shared: bool) -> np.ufunc:
    """Give a ufunc: one that threads share, or one that raises IndexError where a class does not exist.

    Both are the same code: who may share leaves out such a row. In `types` x stands for float32 and float64, and i for
    labels.
    """

    def compile_loop(codes: ufunc.Types) -> tuple[int, int]:
        number = next(np.dtype(code).name for code in codes if code in "fd")
        threshold = threads.share_above(_COST) if shared else threads.NEVER
        return codegen.address(f"{name}-{number}", write(number)), threshold

    each = [types.replace("x", code).replace("i", _INDEX) for code in "fd"]
    return ufunc.make(name, each, outputs, compile_loop, signature, None if shared else outside)


@once
def _forward(shared: bool) -> np.ufunc:
    return _kernel("cross_entropy", _forward_source, "xixxx", "(n,c),(n),()->(n,2),()", 2, shared)


@once
def _backward(shared: bool) -> np.ufunc:
    return _kernel("cross_entropy_vjp", _backward_source, "xxixxx", "(),(n,c),(n),(),(n,2)->(n,c)", 1, shared)


@once
def _nll() -> np.ufunc:
    return _kernel("nll", _nll_source, "xixx", "(n,c),(n),()->()", 1, False)


@once
def _nll_slope() -> np.ufunc:
    return _kernel("nll_vjp", _nll_slope_source, "xixx", "(),(n),()->(n,c)", 1, False)


class _Rows(Text):
    """Writes a loop over rows."""

    def __init__(self, number: str, operands: dict[str, tuple[str, ...]]) -> None:
        """Begin: name the operands, a pointer each, with their place `x0` and their steps, of names, in elements."""
        super().__init__()
        self.number = number
        self.put("def loop(args, dims, steps, data):", "    align_stack()", "    outer = dims[0]")
        self.put("    rows = dims[1]", "    classes = dims[2]")
        self._depth = 1
        self.put("longest = int64_pointer(data)[0]")
        with self.block("if outer > 1 and outer * rows * classes >= longest:"):
            self.put("share(args, dims, steps, data)", "return")
        position = len(operands)
        for index, (name, cores) in enumerate(operands.items()):
            dtype = "int64" if name == "label" else number
            size = np.dtype(dtype).itemsize
            self.put(f"{name} = {dtype}_pointer(args[{index}])", f"{name}b = steps[{index}] // {size}")
            for core in cores:
                self.put(f"{name}{core} = steps[{position}] // {size}")
                position += 1

    def label_of(self, row: str) -> None:
        """Write: read the class of a row, which must exist."""
        self.put(f"k = label[b * labelb + ({row}) * labeln]")
        with self.block("if np.uintp(k) >= np.uintp(classes):  # a negative one is, too"):
            with self.block(f"if longest == {threads.NEVER}:"):
                self.put("share(args, dims, steps, data)", "return")
            self.put("continue")

    def finished(self) -> str:
        """Write the end, and give all of it."""
        self.put("clear_exceptions()")
        return str(self)


def _forward_source(number: str) -> str:
    operands = {"x": ("n", "c"), "label": ("n",), "count": (), "state": ("n", "q"), "loss": ()}
    text = _Rows(number, operands)
    put, block = text.put, text.block
    put(f"values = {number}_lanes()", f"wide = {number}_lanes()")

    def finish(row: str) -> None:
        """Write: the loss and the state of a row whose maximum is `top` and whose exponentials add up to `sum`."""
        put(f"s = b * stateb + ({row}) * staten", "state[s] = top", f"state[s + stateq] = {number}(1 / total)")
        text.label_of(row)
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
                f"for lane in range({LANES}):", f"    values[lane] = {number}(-np.inf)", f"    wide[lane] = {number}(0)"
            )
            for head, step in (("if xc == 1:", ""), ("else:", " * xc")):
                with block(head, f"for start in range(0, whole, {LANES}):", f"for lane in range({LANES}):"):
                    put(f"v = x[row + (start + lane){step}]", "old = values[lane]")
                    put("values[lane] = v if v > old or v != v else old")
            with block("for j in range(whole, classes):"):
                put("v = x[row + j * xc]", "values[0] = v if v > values[0] or v != v else values[0]")
            put("top = values[0]")
            with block(f"for lane in range(1, {LANES}):"):
                put("top = values[lane] if values[lane] > top or values[lane] != values[lane] else top")
            for head, step in (("if xc == 1:", ""), ("else:", " * xc")):
                with block(head, f"for start in range(0, whole, {LANES}):", f"for lane in range({LANES}):"):
                    put(f"wide[lane] += exp_{number}(x[row + (start + lane){step}] - top)")
            with block(f"for lane in range({LANES}):"):
                put("at = whole + lane")
                put(f"values[lane] = x[row + at * xc] - top if at < classes else {number}(-np.inf)")
            put(f"for lane in range({LANES}):", f"    values[lane] = exp_{number}(values[lane])")
            put("total = 0.0")
            put(f"for lane in range({LANES}):", "    total += float64(wide[lane]) + float64(values[lane])")
            finish("r")
        put(f"loss[b * lossb] = {number}(result / float64(count[b * countb]))")
    return text.finished()


def _backward_source(number: str) -> str:
    operands = {"gy": (), "x": ("n", "c"), "label": ("n",), "count": (), "state": ("n", "q"), "gx": ("n", "c")}
    text = _Rows(number, operands)
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
                    text.label_of("r")
                    put("gx[to + k * gxc] -= share_of_each")
        with block("else:", "for r in range(rows):"):
            put("row = b * xb + r * xn", "to = b * gxb + r * gxn", "s = b * stateb + r * staten")
            put("top = state[s]", "factor = state[s + stateq] * share_of_each")
            with block("if xc == 1 and gxc == 1:", "for j in range(classes):"):
                put(f"gx[to + j] = exp_{number}(x[row + j] - top) * factor")
            with block("else:", "for j in range(classes):"):
                put(f"gx[to + j * gxc] = exp_{number}(x[row + j * xc] - top) * factor")
            text.label_of("r")
            put("gx[to + k * gxc] -= share_of_each")
    return text.finished()


def _nll_source(number: str) -> str:
    text = _Rows(number, {"x": ("n", "c"), "label": ("n",), "count": (), "loss": ()})
    with text.block("for b in range(outer):"):
        text.put("result = 0.0")
        with text.block("for r in range(rows):"):
            text.label_of("r")
            text.put("result -= float64(x[b * xb + r * xn + k * xc])")
        text.put(f"loss[b * lossb] = {number}(result / float64(count[b * countb]))")
    return text.finished()


def _nll_slope_source(number: str) -> str:
    text = _Rows(number, {"gy": (), "label": ("n",), "count": (), "gx": ("n", "c")})
    with text.block("for b in range(outer):"):
        text.put("share_of_each = gy[b * gyb] / count[b * countb]")
        with text.block("for r in range(rows):"):
            text.put("to = b * gxb + r * gxn")
            text.put("for j in range(classes):", f"    gx[to + j * gxc] = {number}(0)")
            text.label_of("r")
            text.put("gx[to + k * gxc] = -share_of_each")
    return text.finished()
