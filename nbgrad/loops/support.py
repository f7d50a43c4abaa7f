"""What the source of derivatives calls, compiled and in plain Python."""

from __future__ import annotations

import math
from functools import cache as once
from typing import Any

import numpy as np


def grown(kept: Any, size: int, hint: int) -> Any:
    """Give an array with room for `size` elements, and those that it has; `hint` is how many there may be at last."""
    if size <= kept.size:
        return kept
    wide = np.empty(max(size, 2 * kept.size, min(hint, 1 << 24), 16), kept.dtype)
    wide[: kept.size] = kept
    return wide


def rows(kept: Any, size: int) -> Any:
    """Give an array with room for `size` rows, and those that it has."""
    if size <= kept.shape[0]:
        return kept
    wide = np.empty((max(size, 2 * kept.shape[0], 16),) + kept.shape[1:], kept.dtype)  # noqa: RUF005
    wide[: kept.shape[0]] = kept
    return wide


def reused(kept: Any, shape: Any) -> Any:
    """Give an array of a shape with anything in it, which is the one given if that is of the shape."""
    return kept if kept.shape == shape else np.empty(shape, kept.dtype)


def cleared(kept: Any, shape: Any) -> Any:
    """Give an array of zeros of a shape, which is the one given if that is of the shape."""
    if kept.shape != shape:
        return np.zeros(shape, kept.dtype)
    kept[...] = 0
    return kept


def fits(kept: Any, array: Any) -> None:
    """Raise ValueError where an array is not like those that are kept."""
    if kept.shape[1:] != array.shape:
        raise ValueError("njit: an array changes its size from turn to turn of a loop: leave checkpoint out")


def matches(cotangent: Any, result: Any) -> None:
    """Raise ValueError where a cotangent has another shape than the result that it belongs to."""
    if cotangent.shape != result.shape:
        raise ValueError("njit: a cotangent has another shape than its result: give one of the result's shape")


def rooted(turns: int) -> int:
    """Give the number of turns of a segment: the root of the number of all, and at least one."""
    return max(1, math.ceil(math.sqrt(turns)))


def pieces(turns: int, gathers: bool) -> int:
    """Give the number of pieces that threads share a loop's turns in.

    It depends on the turns alone, so that results do not depend on the number of threads; less pieces where each has
    arrays of its own to add to.
    """
    return min(turns, 16 if gathers else 64)


def folded(place: int, count: int) -> int:
    """Give the pieces in an order in which neighbours are a cheap and a dear one, where later turns take longer."""
    return place // 2 if place % 2 == 0 else count - 1 - place // 2


def common(first: int, second: int) -> int:
    """Give the size of an axis on which two arrays are broadcast together."""
    if first == second or second == 1:
        return first
    if first != 1:
        raise ValueError("operands could not be broadcast together")
    return second


def spread(size: int, own: int) -> int:
    """Give the step through an axis of size `own` that stands for one of `size`: 0 where one element stands for all."""
    if own == size:
        return 1
    if own != 1:
        raise ValueError("an array could not be broadcast to where it is written")
    return 0


def apart(first: Any, second: Any) -> None:
    """Raise ValueError where two arrays may share memory, of which the function writes to one."""
    if first.size == 0 or second.size == 0:
        return
    low, other_low = first.ctypes.data, second.ctypes.data
    high, other_high = low + first.itemsize, other_low + second.itemsize
    for axis in range(first.ndim):
        reach = (first.shape[axis] - 1) * first.strides[axis]
        low, high = low + min(reach, 0), high + max(reach, 0)
    for axis in range(second.ndim):
        reach = (second.shape[axis] - 1) * second.strides[axis]
        other_low, other_high = other_low + min(reach, 0), other_high + max(reach, 0)
    if low < other_high and other_low < high:
        raise ValueError("njit: two arguments share memory, and the function writes to one of them: give it a copy")


class Elementary:
    """An elementary function in one dtype, as the source of derivatives names it."""

    def __init__(self, name: str) -> None:
        self.name = name


def stands_for(key: str) -> Any:
    """Give what a name in the source of a derivative stands for; None for names of the program's own."""
    from ..kernels.cpu import elementary

    if key in OURS:
        return OURS[key]
    if key in elementary.NAMESPACE and key.endswith(elementary.DTYPES):
        return Elementary(key.rpartition("_")[0])
    return None


OURS = {
    "apart": apart,
    "grown": grown,
    "common": common,
    "spread": spread,
    "rows": rows,
    "fits": fits,
    "matches": matches,
    "reused": reused,
    "cleared": cleared,
    "rooted": rooted,
    "pieces": pieces,
    "folded": folded,
}


@once
def compiled() -> dict[str, Any]:
    """Give the names for compiled source."""
    import numba

    from ..kernels.cpu import elementary

    quick: dict[str, Any] = {name: numba.njit(function) for name, function in OURS.items()}
    return elementary.NAMESPACE | common_names() | quick | {"prange": numba.prange}


def common_names() -> dict[str, Any]:
    return {"np": np, "math": math, "float64": np.float64, "float32": np.float32, "int64": np.int64, "prange": range}
