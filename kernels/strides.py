"""How arrays lie in memory: strides of contiguous ones, and which axes can be walked as one.

Strides are in elements or in bytes, as long as all of them are.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any


def dense(shape: Sequence[int]) -> tuple[int, ...]:
    """Return the strides, in elements, of an array in C order.

    >>> dense((2, 3, 4))
    (12, 4, 1)
    """
    return tuple([math.prod(shape[axis + 1 :]) for axis in range(len(shape))])


def farthest_first(shape: Sequence[int], strides: Sequence[int]) -> tuple[int, ...] | None:
    """Return the axes as they lie in memory, those of the largest strides first; None for an array that is stretched.

    Axes of one element, whose strides mean nothing, come before all others.

    >>> farthest_first((2, 3, 1), (1, 2, 7))
    (2, 1, 0)
    """
    if any(not stride and size > 1 for size, stride in zip(shape, strides, strict=True)):
        return None
    return tuple(sorted(range(len(shape)), key=lambda axis: -abs(strides[axis]) if shape[axis] > 1 else -math.inf))


def joined(
    shape: Sequence[int],
    strides: Iterable[Sequence[int]],
    axes: Iterable[int] | None = None,
    kind: Callable[[int], Any] | None = None,
) -> list[tuple[int, ...]]:
    """Group the axes that follow one another evenly in arrays of one shape, of which each has its strides.

    A group is walked as one dimension, whose size is the product of its sizes, by the strides of its last axis. Axes of
    one element are left out. `axes` are those to group, in their order (None: all); those of another `kind` stay apart.

    >>> joined((2, 3, 4), [(12, 4, 1), (0, 4, 1)])
    [(0,), (1, 2)]
    """
    strides = list(strides)
    groups: list[tuple[int, ...]] = []
    for axis in range(len(shape)) if axes is None else axes:
        size = shape[axis]
        if size == 1:
            continue
        last = groups[-1][-1] if groups else None
        if (
            last is not None
            and (kind is None or kind(last) == kind(axis))
            and all(mine[last] == mine[axis] * size for mine in strides)
        ):
            groups[-1] += (axis,)
        else:
            groups.append((axis,))
    return groups
