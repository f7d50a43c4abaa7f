"""Batch norm: channels brought to mean 0 and variance 1, scaled and shifted; a channel at a time, one loop each way.

A channel is n runs of k elements, which may be neighbours. Sums are float64's in 64 lanes, the mean first, then the
squares of what differs from it, as those of `norms` are. Channels that are columns of a matrix come together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache as once

import numpy as np
import numpy.typing as npt

from ..text import Text
from . import gufuncs, threads
from .failures import checked
from .sizes import CHUNK, LANES

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


def column_norm(x: Array, weight: Array, bias: Array, eps: Array) -> tuple[Array, Array]:
    """Give `channel_norm` of the columns of a matrix, and a state of the same form."""
    y, state = np.empty_like(x, order="C"), np.empty((x.shape[1], 2))
    for part in _strips(x):
        checked(_forward_columns(), part(x, 1), part(weight), part(bias), eps, out=(part(y, 1), part(state)))
    return y, state


def column_norm_slope(gy: Array, x: Array, weight: Array, state: Array) -> tuple[Array, Array]:
    """Give `channel_norm_slope` of the columns of a matrix."""
    gx, sums = np.empty_like(x, order="C"), np.empty((x.shape[1], 2))
    for part in _strips(x):
        given = part(gy, 1), part(x, 1), part(weight), part(state)
        checked(_backward_columns(), *given, out=(part(gx, 1), part(sums)))
    return gx, sums


#: The columns that a thread takes at once.
_STRIP = 256


def _strips(x: Array) -> Iterator[Callable[..., Array]]:
    """Give functions that cut an axis of arrays into strips of columns, which come first, for threads to share."""
    columns = x.shape[1]
    whole = columns // _STRIP * _STRIP if x.size >= _SHARED and columns >= 2 * _STRIP else 0

    def strips(a: Array, axis: int = 0) -> Array:
        kept = a[:, :whole] if axis else a[:whole]
        return np.moveaxis(kept.reshape(*a.shape[:axis], -1, _STRIP, *a.shape[axis + 1 :]), axis, 0)

    if whole:
        yield strips
    if whole < columns:
        yield lambda a, axis=0: a[:, whole:] if axis else a[whole:]


@once
def _forward_columns() -> np.ufunc:
    return gufuncs.make("column_norm", _columns_source, "xxxxxd", "(n,c),(c),(c),()->(n,c),(c,2)", 2, _SHARED)


@once
def _backward_columns() -> np.ufunc:
    signature = "(n,c),(n,c),(c),(c,2)->(n,c),(c,2)"
    return gufuncs.make("column_norm_vjp", _columns_slope_source, "xxxdxd", signature, 2, _SHARED)


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
    put(f"for lane in range({LANES}):", *(f"    store_{1 + i}({lane}, lane, 0.0)" for i, lane in enumerate(lanes)))

    def add(place: str, near: bool) -> None:
        for i, (lane, term) in enumerate(zip(lanes, sums.values(), strict=True), 1):
            for name in arrays:
                there = place if near else f"({place}) * {name}k"
                term = term.replace(f"{name}[@]", f"load({name}, {name}0 + {there})")
            put(f"store_{i}({lane}, lane, load_back_{i}({lane}, lane) + {term})")

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
            with text.block(head, "for j in range(np.uintp(k)):"):
                line = value
                for name in arrays:
                    line = line.replace(f"{name}[@]", f"load({name}, {name}0 + j{'' if near else f' * {name}k'})")
                text.put(f"store_0({result}, {result}0 + j{'' if near else f' * {result}k'}, {line})")


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


# ---- channels that are columns --------------------------------------------------------------------------------------


class _Strip:
    """Writes loops over up to 512 neighbouring columns, and what there is for each of them: an array on the stack."""

    def __init__(self, text: Text, number: str, wide: list[str], narrow: list[str]) -> None:
        self.text, self.places = text, {name: i for i, name in enumerate([*wide, *narrow], 1)}  # 0 is the result
        for names, kind in ((wide, "float64"), (narrow, number)):
            text.put(*(f"{name} = {kind}_chunk()" for name in names))

    def get(self, name: str) -> str:
        return f"load_back_{self.places[name]}({name}, lane)"

    def set(self, name: str, value: str) -> str:
        return f"store_{self.places[name]}({name}, lane, {value})"

    def add(self, name: str, value: str) -> str:
        return self.set(name, f"{self.get(name)} + {value}")

    def each(self, *lines: str) -> None:
        """Write: do this for each column."""
        with self.text.block("for lane in range(width):"):
            self.text.put(*lines)

    def rows(self, arrays: str, *lines: str) -> None:
        """Write: do this for each column of each row; an element of an array is its name with ``[@]``."""
        put, block = self.text.put, self.text.block
        with block("for i in range(n):"):
            put(*(f"{name}0 = b * {name}b + i * {name}n + first * {name}c" for name in arrays))
            for head, near in ((f"if {' and '.join(f'{name}c == 1' for name in arrays)}:", True), ("else:", False)):
                with block(head, "for lane in range(np.uintp(width)):"):
                    for line in lines:
                        for name in arrays:
                            at = f"{name}, {name}0 + lane{'' if near else f' * {name}c'}"
                            line = line.replace(f"store({name}[@], ", f"store_0({at}, ")
                            line = line.replace(f"{name}[@]", f"load({at})")
                        put(line)

    def mean(self, number: str, mean: str) -> list[str]:
        """Write: a mean in two parts."""
        rest = self.set("rest", f"{number}(mean - float64(high))")
        return [f"mean = {mean}", f"high = {number}(mean)", self.set("middle", "high"), rest]

    @property
    def difference(self) -> str:
        return f"(x[@] - {self.get('middle')}) - {self.get('rest')}"


def _columns_source(number: str) -> str:
    operands = {"x": (number, "nc"), "w": (number, "c"), "v": (number, "c"), "e": (number, "")}
    operands |= {"y": (number, "nc"), "s": ("float64", "cq")}
    with gufuncs.loop(operands, ["n", "columns"]) as text:
        strip = _Strip(text, number, ["sums"], ["middle", "rest", "scale", "shift"])
        with text.block("for b in range(outer):", f"for first in range(0, columns, {CHUNK}):"):
            text.put(f"width = min({CHUNK}, columns - first)")
            strip.each(strip.set("sums", "0.0"))
            strip.rows("x", strip.add("sums", "float64(x[@])"))
            strip.each(
                *strip.mean(number, f"{strip.get('sums')} / n"),
                "s[b * sb + (first + lane) * sc] = mean",
                strip.set("sums", "0.0"),
            )
            strip.rows("x", f"difference = {strip.difference}", strip.add("sums", "float64(difference * difference)"))
            strip.each(
                f"factor = 1.0 / math.sqrt({strip.get('sums')} / n + float64(e[b * eb]))",
                "s[b * sb + (first + lane) * sc + sq] = factor",
                strip.set("scale", f"{number}(factor * float64(w[b * wb + (first + lane) * wc]))"),
                strip.set("shift", "v[b * vb + (first + lane) * vc]"),
            )
            value = f"{number}(({strip.difference}) * {strip.get('scale')} + {strip.get('shift')})"
            strip.rows("xy", f"store(y[@], {value})")
    return str(text)


def _columns_slope_source(number: str) -> str:
    operands = {"g": (number, "nc"), "x": (number, "nc"), "w": (number, "c"), "s": ("float64", "cq")}
    operands |= {"o": (number, "nc"), "t": ("float64", "cu")}
    with gufuncs.loop(operands, ["n", "columns"]) as text:
        strip = _Strip(text, number, ["plain", "along"], ["middle", "rest", "even", "slope", "scale"])
        with text.block("for b in range(outer):", f"for first in range(0, columns, {CHUNK}):"):
            text.put(f"width = min({CHUNK}, columns - first)")
            state = "s[b * sb + (first + lane) * sc"
            strip.each(strip.set("plain", "0.0"), strip.set("along", "0.0"), *strip.mean(number, f"{state}]"))
            strip.rows(
                "gx",
                strip.add("plain", "float64(g[@])"),
                strip.add("along", f"float64(g[@] * ({strip.difference}))"),
            )
            strip.each(
                f"factor = {state} + sq]",
                f"sum, product = {strip.get('plain')}, {strip.get('along')} * factor",
                "t[b * tb + (first + lane) * tc] = product",
                "t[b * tb + (first + lane) * tc + tu] = sum",
                strip.set("even", f"{number}(sum / n)"),
                strip.set("slope", f"{number}(product * factor / n)"),
                strip.set("scale", f"{number}(factor * float64(w[b * wb + (first + lane) * wc]))"),
            )
            value = f"g[@] - {strip.get('even')} - ({strip.difference}) * {strip.get('slope')}"
            strip.rows("gxo", f"store(o[@], {number}({strip.get('scale')} * ({value})))")
    return str(text)
