"""Walks for many unit vectors at once: as many examples of a cotangent, or of a tangent."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from ..batching.batched import Batched, leave
from ..batching.hot import units
from ..batching.levels import Level
from ..batching.moving import Enter, Leave
from ..kernels import dispatch
from ..ops.joining import cat
from ..variable import Variable

#: The bytes of what a walk carries for all rows at once, at most, unless a chunk_size is given.
MOST = 1 << 28


def chunks(size: int, chunk_size: int | None, largest: int) -> Iterator[tuple[int, int]]:
    """Cut a number of rows into parts: of `chunk_size`, or as keeps to `MOST` with arrays of so many bytes."""
    if chunk_size is None:
        chunk_size = max(1, MOST // max(largest, 1))
    elif isinstance(chunk_size, bool) or not isinstance(chunk_size, int) or chunk_size < 1:
        raise ValueError(f"chunk_size is {chunk_size!r}: give a positive whole number, or None")
    for begin in range(0, size, chunk_size):
        yield begin, min(begin + chunk_size, size)


def basis(x: Variable, begin: int, end: int, level: Level) -> Variable:
    """Give unit vectors of a shape, some of all, as one of a level's examples."""
    hots = units(end - begin, begin, x.shape, x.dtype, x.data)
    if hots is not None:
        apart: Any = Batched(level, None, None, hots)
        return Variable(apart, requires_grad=False)
    rows = np.zeros((end - begin, x.size), x.dtype)
    rows[np.arange(end - begin), np.arange(begin, end)] = 1
    array = dispatch.beside(rows.reshape((end - begin, *x.shape)), x.data)
    return Variable(Enter(level).forward(array), requires_grad=False)


def walked(
    x: Variable, chunk_size: int | None, largest: int, walk: Callable[[Variable], Sequence[Any]], recorded: bool
) -> list[Any]:
    """Give what a walk gives for each unit vector of a shape, along new first axes of that shape."""
    parts: list[list[Any]] = []
    for begin, end in chunks(x.size, chunk_size, largest):
        with Level(end - begin, "jacobian") as level:
            found = walk(basis(x, begin, end, level))
            parts.append([Leave(level)(y) if recorded else _own(leave(level, y.data)) for y in found])
    if not parts:
        with Level(0, "jacobian") as level:
            parts.append([leave(level, y.data) for y in walk(basis(x, 0, 0, level))])
    columns = [list(column) for column in zip(*parts, strict=True)]
    whole = [column[0] if len(column) == 1 else cat(column, 0) for column in columns]
    return [y.reshape((*x.shape, *y.shape[1:])) for y in whole]


def _own(array: Any) -> Any:
    """Give an array that shares its memory with none: itself, if it is such."""
    if isinstance(array, np.ndarray) and not (array.flags.owndata and array.flags.writeable):
        return array.copy()
    return array


def moved_behind(column: Any, ndim: int) -> Any:
    """Put the first axes behind the others."""
    axes = range(column.ndim)
    return column.transpose((*axes[ndim:], *axes[:ndim])) if ndim else column
