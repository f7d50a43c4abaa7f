"""Rows that positions pick, and rows added up where positions say, as loops that `nbgrad.jit` launches between others.

A position may count from the end. One outside is found where it is used, and noted: whoever launched the loop looks.
Each row of a sum is added up in the order of the positions, by one thread, so that results are the same for any number.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache as once
from typing import Any

import numpy as np

from ..text import Text
from . import codegen
from .indexing import known_widths
from .launch import Launch

#: What loops are called by what they do.
PICKED, ADDED = "rows", "rows added"
#: What a row costs, and bytes of it, in nanoseconds (measured in the caches); what is shared, and what a block has.
_ROW, _BYTES, _SHARED, _BLOCK = 2, 32, 30_000, 10_000
_MOST_BLOCKS = 64
#: Bytes of the columns that one thread adds up, of rows that are several times as long.
_COLUMNS = 128


@once
def source(what: str, number: str) -> str:
    """Write the loop for a dtype.

    Its sizes are the rows of the table, the positions, and how many of these follow one another evenly, the elements of
    a row, what is in a block, the number of blocks, and the steps of the operand that has elements, over stretches of
    positions, rows and columns, and that of positions; its operands are that one, the positions, the
    result, which lies in C order, and a number that is not 0 afterwards if a position was outside.
    """
    text = Text()
    put = text.put
    with text.block("def loop(args, dims, steps, data):"):
        put("align_stack()")
        with text.block("if dims[0] >= int64_pointer(data)[0]:"):
            put("share(args, dims, steps, data)", "return")
        put("first_block = address(args[0])", "sizes = int64_pointer(args[1])")
        names = "count", "number", "inner", "width", "in_block", "blocks", "xo", "xi", "xj", "step"
        put(*(f"{name} = sizes[{place}]" for place, name in enumerate(names)))
        put(f"x = {number}_pointer(args[2])", "rows = int64_pointer(args[3])", f"y = {number}_pointer(args[4])")
        put("outside = int64_pointer(args[5])", "if blocks == 1:", "    outside[0] = 0")
        with text.block("for block in range(first_block, first_block + dims[0]):"):
            _picked(text) if what == PICKED else _added(text, number)
        put("clear_exceptions()")
    return str(text)


def _position(text: Text) -> None:
    text.put("position = rows[i * step]", "if position < 0:", "    position += count")


def _picked(text: Text) -> None:
    with text.block("for i in range(block * in_block, min(block * in_block + in_block, number)):"):
        _position(text)
        with text.block("if np.uintp(position) >= np.uintp(count):"):
            text.put("outside[0] = 1")
        with text.block("else:"):
            text.put("row = position * xi", "to = i * width")
            with text.block("if xj == 1:"):
                known_widths(text, "width", "store_0(y, to + j, load(x, row + j))")
            with text.block("else:", "for j in range(np.uintp(width)):"):
                text.put("store_0(y, to + j, load(x, row + j * xj))")


def _added(text: Text, number: str) -> None:
    text.put("begin = block * in_block", "columns = min(in_block, width - begin)")
    with text.block("if columns == width:", "for j in range(np.uintp(count * width)):"):
        text.put(f"store_0(y, j, {number}(0.0))")
    with text.block("else:", "for i in range(count):", "for j in range(np.uintp(columns)):"):
        text.put(f"store_0(y, i * width + begin + j, {number}(0.0))")
    with text.block("for first in range(0, number, inner):", "for i in range(first, first + inner):"):
        _position(text)
        with text.block("if np.uintp(position) >= np.uintp(count):"):
            text.put("outside[0] = 1")
        with text.block("else:"):
            text.put("row = position * width + begin", "source = first // inner * xo + (i - first) * xi + begin * xj")
            sum_of = "store_0(y, row + j, load_back_0(y, row + j) + load(x, source + j{}))"
            with text.block("if xj == 1:"):
                known_widths(text, "columns", sum_of.format(""))
            with text.block("else:", "for j in range(np.uintp(columns)):"):
                text.put(sum_of.format(" * xj"))


def blocks(what: str, number: int, width: int, itemsize: int) -> tuple[int, int]:
    """Give the number of blocks, and what is in one: positions whose rows are picked, or columns that are added up."""
    cost = number * (_ROW + width * itemsize // _BYTES)
    if what == PICKED:
        wanted = min(_MOST_BLOCKS, cost // _BLOCK) if cost > _SHARED else 1
        in_block = max(1, -(-number // max(1, wanted)))
        return max(1, -(-number // in_block)), in_block
    columns = _COLUMNS // itemsize
    shared = cost > _SHARED and width >= 2 * columns
    return (-(-width // columns), columns) if shared else (1, max(width, 1))


def launch(
    what: str, dtype: str, sizes: Sequence[int], steps: Sequence[int], offsets: Sequence[int]
) -> tuple[Launch, str]:
    """Give what the loop is launched with, and its text.

    `sizes` and `steps` are those of `target.Compiler.rows`.
    """
    _, number, _, width = sizes
    count, in_block = blocks(what, number, width, np.dtype(dtype).itemsize)
    text = source(what, dtype)
    address: Any = codegen.address(f"{what.replace(' ', '_')}_{dtype}", text)
    return Launch(address, (*sizes, in_block, count, *steps), count, offsets, count > 1, 2 + 3), text
