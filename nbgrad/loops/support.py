"""What the source of derivatives calls, compiled and in plain Python."""

from __future__ import annotations

import math
from functools import cache as once
from typing import Any

import numpy as np


def grown(kept: Any, size: int, hint: int) -> Any:
    """Give an array with room for `size` elements, and those that it has; `hint` is how many there may be in the end."""
    if size <= kept.size:
        return kept
    wide = np.empty(max(size, 2 * kept.size, min(hint, 1 << 24), 16), kept.dtype)
    wide[: kept.size] = kept
    return wide


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


OURS = {"grown": grown, "common": common, "spread": spread}


@once
def compiled() -> dict[str, Any]:
    """Give the names for compiled source."""
    import numba

    from ..kernels.cpu import elementary

    quick = {name: numba.njit(inline="never")(function) for name, function in OURS.items()}
    return elementary.NAMESPACE | common_names() | quick | {"prange": numba.prange}


def common_names() -> dict[str, Any]:
    return {"np": np, "math": math, "float64": np.float64, "float32": np.float32, "int64": np.int64}
