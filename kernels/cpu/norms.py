"""Layer norm: rows brought to mean 0 and variance 1, scaled and shifted by column; one loop forth, and one back.

Sums are float64's, in 64 lanes, as those of reductions are: the mean first, then the squares of what differs from it.
Lanes are told apart from operands in memory (`load_back_1`, `store_1`), so that LLVM keeps them in registers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cache as once

import numpy as np
import numpy.typing as npt

from ..text import Text
from . import gufuncs, threads
from .failures import checked
from .sizes import CHUNK, LANES

Array = npt.NDArray[np.generic]

#: What an element costs, in additions.
_COST = 6 * threads.ACCESS
_SHARED = threads.share_above(_COST)
#: The blocks of rows that a large matrix is cut into, when its columns are added up.
_BLOCKS = 16


def layer_norm(x: Array, weight: Array, bias: Array, eps: Array) -> tuple[Array, Array]:
    """Give ``(x - mean) / sqrt(variance + eps) * weight + bias`` for each row, and a state.

    The state has for each row its mean, and one over the square root.
    """
    y, state = checked(_forward(), x, weight, bias, eps, out=...)
    return y, state


def layer_norm_slope(gy: Array, x: Array, weight: Array, state: Array) -> Array:
    """Give the gradient of `layer_norm` by x, from the cotangent of its result."""
    gx: Array = checked(_backward(), gy, x, weight, state, out=...)
    return gx


def layer_norm_columns(gy: Array, x: Array, state: Array) -> tuple[Array, Array]:
    """Give the gradients of `layer_norm` by weight and bias, from the cotangent of its result, for two dimensions."""
    if not _is_cut(x):
        found = checked(_columns(), gy, x, state, out=...)
    else:
        found = _added([checked(_columns(), rows(gy), rows(x), rows(state)) for rows in _blocks(x)])
    return found[0].astype(x.dtype), found[1].astype(x.dtype)


def layer_norm_slopes(gy: Array, x: Array, weight: Array, state: Array) -> tuple[Array, Array, Array]:
    """Give the gradients of `layer_norm` by x, weight and bias, for two dimensions: a row is read while it is near."""
    if not _is_cut(x):
        gx, *found = checked(_slopes(), gy, x, weight, state, out=...)
    else:
        gx, parts = np.empty(x.shape, x.dtype), []
        for rows in _blocks(x):
            given = rows(gy), rows(x), weight, rows(state)
            parts.append(checked(_slopes(), *given, out=(rows(gx), None, None))[1:])
        found = _added(parts)
    return gx, found[0].astype(x.dtype), found[1].astype(x.dtype)


def _is_cut(x: Array) -> bool:
    """Tell whether rows are cut into blocks, which threads share, and whose columns' sums are added up."""
    return x.size >= _SHARED and len(x) >= 2 * _BLOCKS


def _blocks(x: Array) -> Iterator[Callable[[Array], Array]]:
    """Give functions that cut arrays into blocks of rows, and give what is left as one more."""
    each = len(x) // _BLOCKS
    whole = each * _BLOCKS
    yield lambda a: a[:whole].reshape(_BLOCKS, each, a.shape[1])
    if whole < len(x):
        yield lambda a: a[None, whole:]


def _added(parts: Sequence[Sequence[Array]]) -> list[Array]:
    """Add up what blocks gave, which is as many arrays for each."""
    return [np.concatenate(each).sum(0) for each in zip(*parts, strict=True)]


@once
def _forward() -> np.ufunc:
    return gufuncs.make("layer_norm", _forward_source, "xxxxxd", "(k),(k),(k),()->(k),(2)", 2, _SHARED)


@once
def _backward() -> np.ufunc:
    return gufuncs.make("layer_norm_vjp", _backward_source, "xxxdx", "(k),(k),(k),(2)->(k)", 1, _SHARED)


@once
def _slopes() -> np.ufunc:
    signature = "(n,k),(n,k),(k),(n,2)->(n,k),(k),(k)"
    return gufuncs.make("layer_norm_vjps", _slopes_source, "xxxdxdd", signature, 3, _SHARED)


@once
def _columns() -> np.ufunc:
    return gufuncs.make("layer_norm_columns", _columns_source, "xxddd", "(n,k),(n,k),(n,2)->(k),(k)", 2, _SHARED)


def _sums(text: Text, names: list[str], contiguous: str, terms: Callable[[str], list[str]]) -> None:
    """Write: add up terms over the row, each in lanes of its own; `terms` is of the place of an element."""
    put, block = text.put, text.block
    put(f"whole = k // {LANES} * {LANES}")
    lanes = [f"lanes{i}" for i in range(len(names))]

    def added(place: str, near: str) -> list[str]:
        each = enumerate(zip(lanes, terms(near), strict=True), 1)
        return [
            f"store_{i}({lane}, lane, load_back_{i}({lane}, lane) + {term.replace('@', place)})"
            for i, (lane, term) in each
        ]

    with block("if whole > 0:"):
        put(f"for lane in range({LANES}):", *(f"    store_{1 + i}({lane}, lane, 0.0)" for i, lane in enumerate(lanes)))
        for head, near in ((f"if {contiguous}:", "near"), ("else:", "")):
            with block(head):
                with block(f"for start in range(0, whole, {LANES}):", f"for lane in range({LANES}):"):
                    put(*added("(start + lane)", near))
                with block("for lane in range(k - whole):"):
                    put(*added("(whole + lane)", near))
        put(f"half = {LANES // 2}")
        with block("while half > 0:"):
            put("for lane in range(half):", *(f"    {lane}[lane] += {lane}[lane + half]" for lane in lanes))
            put("half //= 2")
        put(*(f"{name} = {lane}[0]" for name, lane in zip(names, lanes, strict=True)))
    with block("else:  # a short row is over before the lanes would be folded"):
        put(*(f"{name} = 0.0" for name in names))
        with block("for j in range(k):"):
            for name, term in zip(names, terms(""), strict=True):
                put(f"{name} += {term.replace('@', 'j')}")


def _at(name: str, near: str) -> str:
    return f"load({name}, {name}0 + @{'' if near else f' * {name}k'})"


def _difference(x: str) -> str:
    """Write what an element differs from the mean, which is kept in two parts: no digit is lost to a large one."""
    return f"(({x} - high) - low)"


def _mean_in_parts(number: str) -> list[str]:
    return [f"high = {number}(mean)", f"low = {number}(mean - float64(high))"]


def _forward_source(number: str) -> str:
    operands = {"x": (number, "k"), "w": (number, "k"), "v": (number, "k"), "eps": (number, "")}
    operands |= {"y": (number, "k"), "s": ("float64", "q")}

    def square(near: str) -> list[str]:
        difference = _difference(_at("x", near))
        return [f"float64({difference} * {difference})"]

    with gufuncs.loop(operands, ["k"]) as text:
        put, block = text.put, text.block
        put("lanes0 = float64_lanes()")
        with block("for b in range(outer):"):
            put("x0, w0, v0 = b * xb, b * wb, b * vb")
            _sums(text, ["total"], "xk == 1", lambda near: [f"float64({_at('x', near)})"])
            put("mean = total / k", *_mean_in_parts(number))
            _sums(text, ["squares"], "xk == 1", square)
            put("factor = 1.0 / math.sqrt(squares / k + float64(eps[b * epsb]))")
            put("s[b * sb] = mean", "s[b * sb + sq] = factor", f"scale = {number}(factor)")
            for head, near in (("if xk == 1 and wk == 1 and vk == 1 and yk == 1:", "near"), ("else:", "")):
                with block(head, "for j in range(np.uintp(k)):"):
                    value = f"{_difference(_at('x', near))} * scale * {_at('w', near)} + {_at('v', near)}"
                    put(f"store_0(y, b * yb + j{'' if near else ' * yk'}, {number}({value.replace('@', 'j')}))")
    return str(text)


def _backward_source(number: str) -> str:
    operands = {"g": (number, "k"), "x": (number, "k"), "w": (number, "k"), "s": ("float64", "q")}
    operands |= {"o": (number, "k")}
    with gufuncs.loop(operands, ["k"]) as text:
        put, block = text.put, text.block
        put("lanes0 = float64_lanes()", "lanes1 = float64_lanes()")
        with block("for b in range(outer):"):
            put("g0, x0, w0, o0 = b * gb, b * xb, b * wb, b * ob")
            put("mean = s[b * sb]", "factor = s[b * sb + sq]", *_mean_in_parts(number))
            _slope_of_row(text, number)
    return str(text)


def _slope_of_row(text: Text, number: str) -> None:
    """Write: the gradient by the elements of a row, whose mean and factor are known."""
    put, near_all = text.put, "gk == 1 and xk == 1 and wk == 1"

    def terms(near: str) -> list[str]:
        cotangent = f"{_at('g', near)} * {_at('w', near)}"
        return [f"float64({cotangent})", f"float64({cotangent} * {_difference(_at('x', near))})"]

    _sums(text, ["plain", "along"], near_all, terms)
    put(f"even = {number}(plain / k)", f"slope = {number}(along * factor * factor / k)", f"scale = {number}(factor)")
    for head, near in ((f"if {near_all} and ok == 1:", "near"), ("else:", "")):
        with text.block(head, "for j in range(np.uintp(k)):"):
            rest = f"{_at('g', near)} * {_at('w', near)} - even - {_difference(_at('x', near))} * slope"
            place = f"o0 + j{'' if near else ' * ok'}"
            put(f"store_0(o, {place}, {number}(scale * ({rest.replace('@', 'j')})))")


def _slopes_source(number: str) -> str:
    operands = {"g": (number, "nk"), "x": (number, "nk"), "w": (number, "k"), "s": ("float64", "nq")}
    operands |= {"o": (number, "nk"), "products": ("float64", "k"), "sums": ("float64", "k")}
    with gufuncs.loop(operands, ["n", "k"]) as text:
        put, block = text.put, text.block
        put("lanes0 = float64_lanes()", "lanes1 = float64_lanes()")
        with block("for b in range(outer):"):
            put("w0, products0, sums0 = b * wb, b * productsb, b * sumsb")
            with block("for j in range(k):"):
                put("store_3(products, products0 + j * productsk, 0.0)", "store_4(sums, sums0 + j * sumsk, 0.0)")
            with block("for i in range(n):"):
                put("g0, x0, o0 = b * gb + i * gn, b * xb + i * xn, b * ob + i * on")
                put("mean = s[b * sb + i * sn]", "factor = s[b * sb + i * sn + sq]", *_mean_in_parts(number))
                _slope_of_row(text, number)
                for head, near in (
                    ("if gk == 1 and xk == 1 and productsk == 1 and sumsk == 1:", "near"),
                    ("else:", ""),
                ):
                    with block(head, "for j in range(np.uintp(k)):"):
                        along = f"cotangent * {_difference(_at('x', near).replace('@', 'j'))}"
                        put(f"cotangent = {_at('g', near).replace('@', 'j')}")
                        for scope, name, term in (
                            (3, "products", f"float64({along}) * factor"),
                            (4, "sums", "float64(cotangent)"),
                        ):
                            place = f"{name}, {name}0 + j{'' if near else f' * {name}k'}"
                            put(f"store_{scope}({place}, load_back_{scope}({place}) + {term})")
    return str(text)


def _columns_source(number: str) -> str:
    operands = {"g": (number, "nk"), "x": (number, "nk"), "s": ("float64", "nq"), "w": ("float64", "k")}
    operands |= {"v": ("float64", "k")}
    with gufuncs.loop(operands, ["n", "k"]) as text:
        put, block = text.put, text.block
        put("sums = float64_chunk()", "plain = float64_chunk()")
        with block("for b in range(outer):", f"for first in range(0, k, {CHUNK}):"):
            put(f"width = min({CHUNK}, k - first)")
            put("for lane in range(width):", "    store_1(sums, lane, 0.0)", "    store_2(plain, lane, 0.0)")
            with block("for i in range(n):"):
                put("mean = s[b * sb + i * sn]", "factor = s[b * sb + i * sn + sq]", *_mean_in_parts(number))
                put("g0 = b * gb + i * gn + first * gk", "x0 = b * xb + i * xn + first * xk")
                for head, gs, xs in (("if gk == 1 and xk == 1:", "", ""), ("else:", " * gk", " * xk")):
                    with block(head, "for lane in range(width):"):
                        along = f"cotangent * {_difference(f'load(x, x0 + lane{xs})')}"
                        put(
                            f"cotangent = load(g, g0 + lane{gs})",
                            "store_2(plain, lane, load_back_2(plain, lane) + float64(cotangent))",
                            f"store_1(sums, lane, load_back_1(sums, lane) + float64({along}) * factor)",
                        )
            with block("for lane in range(width):"):
                put("w[b * wb + (first + lane) * wk] = load_back_1(sums, lane)")
                put("v[b * vb + (first + lane) * vk] = load_back_2(plain, lane)")
    return str(text)
