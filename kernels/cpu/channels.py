"""Batch norm: channels brought to mean 0 and variance 1, scaled and shifted; a channel at a time, one loop each way.

A channel is n runs of k elements, which may be neighbours. Sums are float64's in 64 lanes, the mean first, then the
squares of what differs from it, as those of `norms` are.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache as once

import numpy as np
import numpy.typing as npt

from ..text import Text
from . import gufuncs, threads
from .failures import checked
from .sizes import LANES

Array = npt.NDArray[np.generic]

#: What an element costs, in additions.
_SHARED = threads.share_above(6 * threads.ACCESS)


def channel_norm(x: Array, weight: Array, bias: Array, eps: Array) -> tuple[Array, Array]:
    """Give ``(x - mean) / sqrt(variance + eps) * weight + bias`` for each channel of (channels, n, k), and a state.

    The state has for each channel its mean, and one over the square root.
    """
    y, state = checked(_forward(), x, weight, bias, eps, out=...)
    return y, state


def channel_norm_slope(gy: Array, x: Array, weight: Array, state: Array) -> tuple[Array, Array]:
    """Give the gradient of `channel_norm` by x, and by weight and bias as (channels, 2)."""
    gx, sums = checked(_backward(), gy, x, weight, state, out=...)
    return gx, sums


@once
def _forward() -> np.ufunc:
    return gufuncs.make("channel_norm", _forward_source, "xxxxxd", "(n,k),(),(),()->(n,k),(2)", 2, _SHARED)


@once
def _backward() -> np.ufunc:
    return gufuncs.make("channel_norm_vjp", _backward_source, "xxxdxd", "(n,k),(n,k),(),(2)->(n,k),(2)", 2, _SHARED)


@contextmanager
def _each(text: Text, names: str) -> Iterator[None]:
    """Write: the heads of loops over a channel's elements, where those of arrays are, and which lane each has.

    Elements are at ``i0``, for the array of the name i, plus ``at``, or plus ``at * ik`` where they are no neighbours.
    """
    with text.block("for i in range(n):"):
        text.put(*(f"{name}0 = b * {name}b + i * {name}n" for name in names))
        yield


def _sums(text: Text, sums: dict[str, str], arrays: str) -> None:
    """Write: add up terms over the channel, each in its lanes; an array's element is its name with ``[@]``."""
    put, block = text.put, text.block
    lanes = [f"lanes{i}" for i in range(len(sums))]
    put(f"for lane in range({LANES}):", *(f"    {lane}[lane] = 0.0" for lane in lanes))

    def add(place: str, near: bool) -> None:
        for lane, term in zip(lanes, sums.values(), strict=True):
            for name in arrays:
                there = f"{name}[{name}0 + {place}]" if near else f"{name}[{name}0 + ({place}) * {name}k]"
                term = term.replace(f"{name}[@]", there)
            put(f"{lane}[lane] += {term}")

    with _each(text, arrays):
        for head, near in ((f"if {' and '.join(f'{name}k == 1' for name in arrays)}:", True), ("else:", False)):
            with block(head):
                with block(f"for start in range(0, whole, {LANES}):", f"for lane in range({LANES}):"):
                    add("start + lane", near)
                with block("for lane in range(k - whole):"):
                    add("whole + lane", near)
    put(f"half = {LANES // 2}")
    with block("while half > 0:"):
        put("for lane in range(half):", *(f"    {lane}[lane] += {lane}[lane + half]" for lane in lanes))
        put("half //= 2")
    put(*(f"{name} = {lane}[0]" for name, lane in zip(sums, lanes, strict=True)))


def _write(text: Text, value: str, result: str, arrays: str) -> None:
    """Write: the elements of a result, from those of arrays, as `_sums` has them."""
    with _each(text, arrays + result):
        for head, near in (
            (f"if {' and '.join(f'{name}k == 1' for name in arrays + result)}:", True),
            ("else:", False),
        ):
            with text.block(head, "for j in range(k):"):
                line = f"{result}[@] = {value}"
                for name in arrays + result:
                    line = line.replace(f"{name}[@]", f"{name}[{name}0 + j{'' if near else f' * {name}k'}]")
                text.put(line)


_DIFFERENCE = "((x[@] - high) - low)"


def _forward_source(number: str) -> str:
    operands = {"x": (number, "nk"), "w": (number, ""), "v": (number, ""), "e": (number, "")}
    operands |= {"y": (number, "nk"), "s": ("float64", "q")}
    with gufuncs.loop(operands, ["n", "k"]) as text:
        put = text.put
        put("lanes0 = float64_lanes()", f"whole = k // {LANES} * {LANES}", "count = n * k")
        with text.block("for b in range(outer):"):
            _sums(text, {"total": "float64(x[@])"}, "x")
            put("mean = total / count", f"high = {number}(mean)", f"low = {number}(mean - float64(high))")
            _sums(text, {"squares": f"float64({_DIFFERENCE} * {_DIFFERENCE})"}, "x")
            put("factor = 1.0 / math.sqrt(squares / count + float64(e[b * eb]))")
            put("s[b * sb] = mean", "s[b * sb + sq] = factor")
            put(f"scale = {number}(factor * float64(w[b * wb]))", "shift = v[b * vb]")
            _write(text, f"{number}({_DIFFERENCE} * scale + shift)", "y", "x")
    return str(text)


def _backward_source(number: str) -> str:
    operands = {"g": (number, "nk"), "x": (number, "nk"), "w": (number, ""), "s": ("float64", "q")}
    operands |= {"o": (number, "nk"), "t": ("float64", "u")}
    with gufuncs.loop(operands, ["n", "k"]) as text:
        put = text.put
        put("lanes0 = float64_lanes()", "lanes1 = float64_lanes()", f"whole = k // {LANES} * {LANES}", "count = n * k")
        with text.block("for b in range(outer):"):
            put("mean = s[b * sb]", "factor = s[b * sb + sq]")
            put(f"high = {number}(mean)", f"low = {number}(mean - float64(high))")
            _sums(text, {"plain": "float64(g[@])", "along": f"float64(g[@] * {_DIFFERENCE})"}, "gx")
            put("t[b * tb] = along * factor", "t[b * tb + tu] = plain")
            put(f"even = {number}(plain / count)", f"slope = {number}(along * factor * factor / count)")
            put(f"scale = {number}(factor * float64(w[b * wb]))")
            _write(text, f"{number}(scale * (g[@] - even - {_DIFFERENCE} * slope))", "o", "gx")
    return str(text)
