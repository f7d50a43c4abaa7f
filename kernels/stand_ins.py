"""What stands in for an array, as far as kernels have to know: that it does, and which of several answers for all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from numpy import ndarray


def stands_in(x: Any) -> bool:
    """Tell whether a value stands in for an array."""
    return hasattr(type(x), "__nbgrad_array__")


def foremost(arrays: Sequence[Any]) -> Any:
    """Return the one of several arrays that answers for all, among those that stand in for one; None without any."""
    found = None
    for x in arrays:
        if not isinstance(x, ndarray) and stands_in(x) and (found is None or x.rank > found.rank):
            found = x
    return found


def holder(arrays: Sequence[Any]) -> Any:
    """Return the one that answers for all if it holds arrays itself, which may refuse NumPy's protocol; else None."""
    found = foremost(arrays)
    return None if found is None or found.within is None else found


def innermost(x: Any) -> Any:
    """Return the array that a value holds, through all that stands in for one; itself, if it holds none."""
    while stands_in(x) and x.within is not None:
        x = x.within
    return x
