"""Shapes, and the order of axes, of as many dimensions as arrays may have."""

from __future__ import annotations

from typing import Any

import numpy as np


def numbered_axes(ndim: int) -> Any:
    """Give an array whose axes are known by their strides, 1, 2, ..., wherever a view has them; -1, ... if turned."""
    return np.ndarray((1,) * ndim, np.int8, b"\0", 0, tuple(range(1, ndim + 1)))


def order_of_axes(view: Any) -> tuple[int, ...]:
    """Give the axes of a view of `numbered_axes`, as numbers in what it is a view of."""
    return tuple([stride - 1 for stride in view.strides])


def broadcast_shapes(*shapes: tuple[int, ...]) -> tuple[int, ...]:
    """Give the shape that arrays of these shapes have together; NumPy's function of that name ends at 32 dimensions.

    Raises ValueError for shapes that do not broadcast.
    """
    whole = [shape for shape in shapes if shape]
    if not whole or whole.count(whole[0]) == len(whole):
        return tuple(whole[0]) if whole else ()
    most = max(map(len, shapes))
    together = []
    for sizes in zip(*[(1,) * (most - len(shape)) + tuple(shape) for shape in shapes], strict=True):
        others = {size for size in sizes if size != 1}
        if len(others) > 1:
            raise ValueError(f"shapes {' and '.join(map(str, shapes))} do not broadcast")
        together.append(others.pop() if others else 1)
    return tuple(together)
