"""Losses of classes by a margin: in each row the numbers that come too close to its labels', one loop each way."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache as once

import numpy as np
import numpy.typing as npt

from ..text import Text
from . import gufuncs, threads
from .failures import checked
from .indexing import outside

Array = npt.NDArray[np.generic]


def multi_margin(x: Array, labels: Array, margin: Array, power: int) -> Array:
    """Give for each row the mean over its classes of ``max(0, margin - x[label] + x)**power``, but for the label.

    Labels are whole numbers of 64 bits. Raises IndexError for a class that does not exist.
    """
    losses: Array = checked(_multi(power, False), x, labels, margin, out=...)
    return losses


def multi_margin_slope(gy: Array, x: Array, labels: Array, margin: Array, power: int) -> Array:
    """Give the gradient of `multi_margin` by x, from the cotangents of its rows."""
    gx: Array = checked(_multi(power, True), gy, x, labels, margin, out=...)
    return gx


def multilabel_margin(x: Array, labels: Array) -> tuple[Array, Array]:
    """Give for each row the sum of ``max(0, 1 - x[label] + x) / classes`` over its labels and others, and a state.

    Labels end before the first one below 0. The state is 1 where a class is a label. Raises IndexError for a class that
    does not exist.
    """
    state, losses = checked(_several(False), x, labels, out=...)
    return losses, state


def multilabel_margin_slope(gy: Array, x: Array, labels: Array, state: Array) -> Array:
    """Give the gradient of `multilabel_margin` by x, from the cotangents of its rows."""
    gx: Array = checked(_several(True), gy, x, labels, state, out=...)
    return gx


@once
def _multi(power: int, back: bool) -> np.ufunc:
    name = f"multi_margin{'_vjp' if back else ''}-{power}"
    types, signature = ("xxixx", "(),(c),(),()->(c)") if back else ("xixx", "(c),(),()->()")
    return gufuncs.make(name, _writer(_multi_source, power, back), types, signature, 1, threads.NEVER, outside)


@once
def _several(back: bool) -> np.ufunc:
    name = f"multilabel_margin{'_vjp' if back else ''}"
    types, signature = ("xxixx", "(),(c),(c),(c)->(c)") if back else ("xixx", "(c),(c)->(c),()")
    outputs = 1 if back else 2
    return gufuncs.make(name, _writer(_several_source, back), types, signature, outputs, threads.NEVER, outside)


def _writer(write: Callable[..., str], *options: int) -> Callable[[str], str]:
    return lambda number: write(number, *options)


def _refuse(text: Text) -> None:
    """Write: a class k that does not exist is the end of it."""
    with text.block("if np.uintp(k) >= np.uintp(classes):"):
        text.put("share(args, dims, steps, data)", "return")


def _multi_source(number: str, power: int, back: bool) -> str:
    operands = {"x": (number, "c"), "label": ("int64", ""), "margin": (number, "")}
    operands = {"gy": (number, ""), **operands, "gx": (number, "c")} if back else operands | {"loss": (number, "")}
    with gufuncs.loop(operands, ["classes"]) as text:
        put, block = text.put, text.block
        with block("for b in range(outer):"):
            put("k = label[b * labelb]")
            _refuse(text)
            put("row = b * xb", "bar = margin[b * marginb] - x[row + k * xc]")
            if back:
                put(f"share_of_each = gy[b * gyb] / {number}(classes)", "to = b * gxb", "taken = 0.0")
            else:
                put("total = 0.0")
            with block("for j in range(classes):"):
                put("z = bar + x[row + j * xc]", f"z = z if z > 0 and j != k else {number}(0)")
                if back:
                    slope = f"({number}(1) if z > 0 else {number}(0))" if power == 1 else f"{number}(2) * z"
                    put(f"slope = share_of_each * {slope}", "gx[to + j * gxc] = slope", "taken += float64(slope)")
                else:
                    put("total += float64(z)" if power == 1 else "total += float64(z * z)")
            put(f"gx[to + k * gxc] = {number}(-taken)" if back else f"loss[b * lossb] = {number}(total / classes)")
    return str(text)


def _several_source(number: str, back: bool) -> str:
    operands = {"x": (number, "c"), "label": ("int64", "c"), "state": (number, "c")}
    operands = {"gy": (number, ""), **operands, "gx": (number, "c")} if back else operands | {"loss": (number, "")}
    with gufuncs.loop(operands, ["classes"]) as text:
        put, block = text.put, text.block
        with block("for b in range(outer):"):
            put("row = b * xb", "marks = b * stateb", "names = b * labelb")
            with block("for j in range(classes):"):
                put("gx[b * gxb + j * gxc] = 0" if back else "state[marks + j * statec] = 0")
            put("count = 0", "going = True")
            with block("while going:"):
                put("k = label[names + count * labelc] if count < classes else -1", "going = k >= 0")
                with block("if going:"):
                    _refuse(text)
                    put("count += 1")
                    if not back:
                        put("state[marks + k * statec] = 1")
            put(f"share_of_each = gy[b * gyb] / {number}(classes)" if back else "total = 0.0")
            with block("for i in range(count):"):
                put("k = label[names + i * labelc]", f"bar = {number}(1) - x[row + k * xc]")
                if back:
                    put(f"taken = {number}(0)")
                with block("for j in range(classes):"):
                    put("z = bar + x[row + j * xc]")
                    with block("if z > 0 and state[marks + j * statec] == 0:"):
                        if back:
                            put("gx[b * gxb + j * gxc] += share_of_each", "taken += share_of_each")
                        else:
                            put("total += float64(z)")
                if back:
                    put("gx[b * gxb + k * gxc] -= taken")
            if not back:
                put(f"loss[b * lossb] = {number}(total / classes)")
    return str(text)
