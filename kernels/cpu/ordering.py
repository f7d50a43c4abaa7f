"""The places of float32 numbers in order, by one sort of whole numbers: each has its number and its place in it.

NumPy sorts whole numbers several times as fast as it finds the places of numbers in a stable order.
"""

from __future__ import annotations

from functools import cache as once
from typing import Any

import numpy as np
import numpy.typing as npt

from . import codegen, threads, ufunc
from .failures import checked

Array = npt.NDArray[Any]

_INDEX, _BITS = np.dtype(np.int64).char, np.dtype(np.int32).char

# floating numbers have a sign and a magnitude, as which they are in order, and zeros of both signs equal; the upper
# half is that, with all NaN above, or turned around by `sign`
_SOURCE = """
def loop(args, dims, steps, data):
    outer = dims[0]
    n = dims[1]
    x = int32_pointer(args[0])
    sign = int64_pointer(args[1])
    y = int64_pointer(args[2])
    for b in range(outer):
        x0 = b * (steps[0] // 4)
        y0 = b * (steps[2] // 8)
        factor = sign[b * (steps[1] // 8)] << 32
        if steps[3] == 4 and steps[4] == 8:
            for i in range(np.uintp(n)):
                bits = int64(load(x, x0 + i))
                size = bits & 0x7FFFFFFF
                size = 0x7FFFFFFF if size > 0x7F800000 else (-size if bits < 0 else size)
                store_0(y, y0 + i, size * factor + int64(i))
        else:
            for i in range(n):
                bits = int64(x[x0 + i * (steps[3] // 4)])
                size = bits & 0x7FFFFFFF
                size = 0x7FFFFFFF if size > 0x7F800000 else (-size if bits < 0 else size)
                y[y0 + i * (steps[4] // 8)] = size * factor + i
"""


@once
def _kernel() -> np.ufunc:
    def compile_loop(codes: ufunc.Types) -> tuple[int, int]:
        return codegen.address("order_keys", _SOURCE), threads.NEVER

    return ufunc.make("order_keys", [_BITS + _INDEX * 2], 1, compile_loop, "(n),()->(n)")


def is_for(x: Any, axis: int) -> bool:
    """Tell whether `order` is for an array, along an axis."""
    return type(x) is np.ndarray and x.dtype == np.float32 and x.dtype.isnative and x.shape[axis] < 1 << 31


def order(x: Array, axis: int, descending: bool = False) -> Array:
    """Give the places of the elements in order along an axis; equal ones keep theirs, and NaN is above all."""
    keys: Array = checked(_kernel(), x.swapaxes(axis, -1).view(np.int32), -1 if descending else 1)
    keys.sort(-1)
    keys &= 0xFFFFFFFF
    return keys.swapaxes(axis, -1)
