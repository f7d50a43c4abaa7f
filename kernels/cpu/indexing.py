"""Gather and scatter by whole numbers, each the other's adjoint: of a table's rows, and along an axis.

Both look at every position where they use it: whoever checked positions before cannot know that another thread has not
changed them since, nor that the table is still as large.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache as once
from textwrap import indent

import numpy as np

from ..text import Text
from . import codegen, failures, gufuncs, threads, ufunc

_INDEX = np.dtype(np.int64).char


def _refuse(args: int, dims: int, steps: int, data: int) -> None:
    raise IndexError(
        "a position is outside of the array: positions, or the array, were changed after they were checked"
    )


#: What loops call at a position outside, by the name of `share`.
outside = threads.LOOP(failures.callback(_refuse))

_GATHER = """
def loop(args, dims, steps, data):
    outer = dims[0]
    rows = np.uintp(dims[1])
    width = dims[2]
    count = dims[3]
    x = {number}_pointer(args[0])
    index = int64_pointer(args[1])
    y = {number}_pointer(args[2])
    for b in range(outer):
        x0 = b * (steps[0] // {size})
        i0 = b * (steps[1] // 8)
        y0 = b * (steps[2] // {size})
        for i in range(count):
            position = index[i0 + i * (steps[5] // 8)]
            if np.uintp(position) >= rows:  # a negative one is, too
                share(args, dims, steps, data)
                return
            row = x0 + position * (steps[3] // {size})
            to = y0 + i * (steps[6] // {size})
            if steps[4] == {size} and steps[7] == {size}:
{copied}
            else:
                for j in range(width):
                    y[to + j * (steps[7] // {size})] = x[row + j * (steps[4] // {size})]
"""

_SCATTER_ADD = """
def loop(args, dims, steps, data):
    outer = dims[0]
    count = dims[1]
    width = dims[2]
    rows = np.uintp(dims[3])
    index = int64_pointer(args[0])
    g = {number}_pointer(args[1])
    y = {number}_pointer(args[2])
    for b in range(outer):
        i0 = b * (steps[0] // 8)
        g0 = b * (steps[1] // {size})
        y0 = b * (steps[2] // {size})
        for i in range(count):
            position = index[i0 + i * (steps[3] // 8)]
            if np.uintp(position) >= rows:
                share(args, dims, steps, data)
                return
            row = y0 + position * (steps[6] // {size})
            source = g0 + i * (steps[4] // {size})
            if steps[5] == {size} and steps[7] == {size}:
{added}
            else:
                for j in range(width):
                    y[row + j * (steps[7] // {size})] += g[source + j * (steps[5] // {size})]
    clear_exceptions()
"""


#: Elements of a row for which there is code without a loop around the vectors.
_WIDTHS = (1, 2, 3, 4, 8, 16, 32)


def known_widths(text: Text, width: str, line: str) -> None:
    """Write a loop along a row: of as many elements as rows often have, or of any number."""
    for number, known in enumerate(_WIDTHS):
        with text.block(f"{'elif' if number else 'if'} {width} == {known}:", f"for j in range(np.uintp({known})):"):
            text.put(line)
    with text.block("else:", f"for j in range(np.uintp({width})):"):
        text.put(line)


def _along_row(line: str) -> str:
    text = Text()
    known_widths(text, "width", line)
    return indent(str(text).rstrip(), " " * 16)


_COPIED = _along_row("store_0(y, to + j, load(x, row + j))")
_ADDED = _along_row("store_0(y, row + j, load_back_0(y, row + j) + load(g, source + j))")


def written(template: str, code: str) -> str:
    """Write a loop over rows of a dtype."""
    number = np.dtype(code)
    return template.format(number=number.name, size=number.itemsize, copied=_COPIED, added=_ADDED)


def _kernel(name: str, template: str, types: list[str], signature: str) -> np.ufunc:
    def compile_loop(codes: ufunc.Types) -> tuple[int, int]:
        return codegen.address(f"{name}-{''.join(codes)}", written(template, codes[-1])), threads.NEVER

    return ufunc.make(name, types, 1, compile_loop, signature, outside)


@once
def gather() -> np.ufunc:
    """Give the ufunc ``y[i, :] = x[index[i], :]``."""
    return _kernel("gather", _GATHER, [f"f{_INDEX}f", f"d{_INDEX}d"], "(r,w),(n)->(n,w)")


@once
def scatter_add() -> np.ufunc:
    """Give the ufunc ``y[index[i], :] += g[i, :]``, to be called with ``out=y``; repeated positions accumulate."""
    return _kernel("scatter_add", _SCATTER_ADD, [f"{_INDEX}ff", f"{_INDEX}dd"], "(n),(n,w)->(r,w)")


_OWN_PLACES = """
def loop(args, dims, steps, data):
    outer = dims[0]
    count = dims[1]
    p = int64_pointer(args[0])
    size = int64_pointer(args[1])
    shift = int64_pointer(args[2])
    q = int64_pointer(args[3])
    result = int64_pointer(args[4])
    for b in range(outer):
        p0 = b * (steps[0] // 8)
        q0 = b * (steps[3] // 8)
        elements = np.uintp(size[b * (steps[1] // 8)])
        more = shift[b * (steps[2] // 8)]
        outside = count - count
        if steps[5] == 8 and steps[6] == 8:
            for i in range(np.uintp(count)):
                position = load(p, p0 + i)
                position = position + more if position < 0 else position
                outside = outside + (1 if np.uintp(position) >= elements else 0)
                store_0(q, q0 + i, position)
        else:
            for i in range(count):
                position = p[p0 + i * (steps[5] // 8)]
                position = position + more if position < 0 else position
                outside = outside + (1 if np.uintp(position) >= elements else 0)
                q[q0 + i * (steps[6] // 8)] = position
        result[b * (steps[4] // 8)] = outside
"""


@once
def own_places() -> np.ufunc:
    """Give the ufunc that copies positions, with a shift added to negative ones, and counts those outside of a size."""

    def compile_loop(codes: ufunc.Types) -> tuple[int, int]:
        return codegen.address("own_places", _OWN_PLACES), threads.NEVER

    return ufunc.make("own_places", [_INDEX * 5], 2, compile_loop, "(n),(),()->(n),()")


# ---- along an axis --------------------------------------------------------------------------------------------------

#: What an element costs, in additions: its place is anywhere.
_SHARED = threads.share_above(8 * threads.ACCESS)


@once
def take_along() -> np.ufunc:
    """Give the ufunc ``y[i, j] = x[p[i, j], j]``; where a position is outside there is 0."""
    return gufuncs.make("take_along", _take_along_source, "xix", "(k,w),(n,w)->(n,w)", 1, _SHARED)


@once
def add_along() -> np.ufunc:
    """Give the ufunc ``y[p[i, j], j] += g[i, j]``, to be called with ``out=y``; nothing is added outside."""
    return gufuncs.make("add_along", _add_along_source, "ixx", "(n,w),(n,w)->(k,w)", 1, _SHARED)


def _along_source(
    operands: dict[str, tuple[str, str]], sizes: list[str], body: Callable[[Text, bool, str], None]
) -> str:
    """Write a loop over lines, rows and what is in a row, with ones of their own for rows of one element.

    `body` writes what one position does: whether all elements of the line are neighbours, and the place in a row.
    """
    near = " and ".join(f"{name}{cores[0]} == 1" for name, (_, cores) in operands.items())
    with gufuncs.loop(operands, sizes, ["n", "w"]) as text:
        with text.block("for b in range(outer):"):
            with text.block(f"if w == 1 and k > 0 and {near}:", "for i in range(np.uintp(n)):"):
                body(text, True, "")
            with text.block("elif w == 1:", "for i in range(n):"):
                body(text, False, "")
            with text.block("else:", "for i in range(n):", "for j in range(w):"):
                body(text, False, " + j * @w")
    return str(text)


def _take_along_source(number: str) -> str:
    def body(text: Text, near: bool, within: str) -> None:
        if near:  # both reads and no branch: what is outside reads the first element
            text.put("row = load(p, b * pb + i)", "inside = np.uintp(row) < np.uintp(k)")
            text.put("value = load(x, b * xb + (row if inside else 0))")
            text.put(f"store_0(y, b * yb + i, value if inside else {number}(0.0))")
            return
        at = [within.replace("@", name) for name in "pxy"]
        text.put(f"row = p[b * pb + i * pn{at[0]}]", f"value = {number}(0.0)")
        with text.block("if np.uintp(row) < np.uintp(k):  # a negative one is not, either"):
            text.put(f"value = x[b * xb + row * xk{at[1]}]")
        text.put(f"y[b * yb + i * yn{at[2]}] = value")

    operands = {"x": (number, "kw"), "p": ("int64", "nw"), "y": (number, "nw")}
    return _along_source(operands, ["k", "w", "n"], body)


def _add_along_source(number: str) -> str:
    def body(text: Text, near: bool, within: str) -> None:
        if near:
            text.put("row = load(p, b * pb + i)")
            with text.block("if np.uintp(row) < np.uintp(k):"):
                text.put("to = b * yb + row", "store_0(y, to, load_back_0(y, to) + load(g, b * gb + i))")
            return
        at = [within.replace("@", name) for name in "pgy"]
        text.put(f"row = p[b * pb + i * pn{at[0]}]")
        with text.block("if np.uintp(row) < np.uintp(k):"):
            text.put(f"y[b * yb + row * yk{at[2]}] += g[b * gb + i * gn{at[1]}]")

    operands = {"p": ("int64", "nw"), "g": (number, "nw"), "y": (number, "kw")}
    return _along_source(operands, ["n", "w", "k"], body)
