"""Gather and scatter: rows of a table by whole numbers, each the other's adjoint.

Both look at every position where they use it: whoever checked positions before cannot know that another thread has not
changed them since, nor that the table is still as large.
"""

from __future__ import annotations

from functools import cache as once

import numpy as np

from . import codegen, failures, threads, ufunc

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
                for j in range(width):
                    y[to + j] = x[row + j]
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
                for j in range(np.uintp(width)):
                    store_0(y, row + j, load_back_0(y, row + j) + load(g, source + j))
            else:
                for j in range(width):
                    y[row + j * (steps[7] // {size})] += g[source + j * (steps[5] // {size})]
    clear_exceptions()
"""


def _kernel(name: str, template: str, types: list[str], signature: str) -> np.ufunc:
    def compile_loop(codes: ufunc.Types) -> tuple[int, int]:
        number = np.dtype(codes[-1])
        text = template.format(number=number.name, size=number.itemsize)
        return codegen.address(f"{name}-{''.join(codes)}", text), threads.NEVER

    return ufunc.make(name, types, 1, compile_loop, signature, outside)


@once
def gather() -> np.ufunc:
    """Give the ufunc ``y[i, :] = x[index[i], :]``."""
    return _kernel("gather", _GATHER, [f"f{_INDEX}f", f"d{_INDEX}d"], "(r,w),(n)->(n,w)")


@once
def scatter_add() -> np.ufunc:
    """Give the ufunc ``y[index[i], :] += g[i, :]``, to be called with ``out=y``; repeated positions accumulate."""
    return _kernel("scatter_add", _SCATTER_ADD, [f"{_INDEX}ff", f"{_INDEX}dd"], "(n),(n,w)->(r,w)")
