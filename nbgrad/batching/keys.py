"""Indexing of what stands for many examples: by slices and numbers, by arrays, and by arrays that differ for each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..arrays import is_array, is_stand_in
from ..kernels.shapes import broadcast_shapes
from ..ops.indexing import GetItem, Index, Scatter, part_of_index
from ..ops.writing import put as put_in
from ..variable import Variable
from . import hot
from .batched import Batched, aligned, held, top, widened


class Key:
    """An index of an array with `ndim` dimensions, one of a level's examples, as an index of all examples' arrays."""

    def __init__(self, level: Any, key: Any, ndim: int) -> None:
        parts = _whole(key if type(key) is tuple else (key,), ndim)
        arrays = [i for i, part in enumerate(parts) if _is_position(part)]
        if not any(is_array(parts[i]) for i in arrays):  # numbers make views
            arrays = []
        self.level, self.parts = level, parts
        #: Whether positions differ from example to example.
        self.differs = any(type(parts[i]) is Batched and parts[i].level is level for i in arrays)
        #: How many dimensions the positions have together, and how many come before them in what is picked.
        self.rank = len(broadcast_shapes(*[np.shape(parts[i]) for i in arrays])) if arrays else 0
        self.apart = bool(arrays) and arrays[-1] - arrays[0] >= len(arrays)
        self.before = 0 if self.apart or not arrays else arrays[0]

    def of_all(self, size: int | None) -> tuple[Any, ...]:
        """Give the index of an array with `size` examples along its first axis, or, if None, of one that all share."""
        if not self.differs:
            return (slice(None), *self.parts)
        parts = [
            aligned(part.value, self.rank) if type(part) is Batched and part.level is self.level else part
            for part in self.parts
        ]
        if size is None:
            return tuple(parts)
        return (np.arange(size).reshape(-1, *(1,) * self.rank), *parts)

    def order(self, ndim: int, of_one: bool) -> list[int]:
        """Give the order that puts examples first in what the index of all gives, an array of `ndim` dimensions.

        `of_one`: what was indexed had none.
        """
        axes = list(range(ndim))
        if not self.differs:
            return [self.rank, *axes[: self.rank], *axes[self.rank + 1 :]] if self.apart and self.rank else axes
        if of_one:
            return [self.before, *axes[: self.before], *axes[self.before + 1 :]]
        rest = axes[1 + self.rank :]
        return [0, *rest[: self.before], *axes[1 : 1 + self.rank], *rest[self.before :]]


def _is_position(part: Any) -> bool:
    return is_array(part) or (part is not None and not isinstance(part, slice))


def _whole(key: tuple[Any, ...], ndim: int) -> tuple[Any, ...]:
    """Give the parts of an index, with slices in the place of an ellipsis and positions in that of truth values."""
    parts: list[Any] = []
    for given in key:
        part = given._array if isinstance(given, Variable) else given
        if part is Ellipsis or part is None or isinstance(part, slice):
            parts.append(part)
            continue
        part = part_of_index(part)
        if not is_array(part) or part.dtype != np.bool_:
            parts.append(part)
        elif type(part) is Batched:
            raise part._no_value(
                "an index of truth values, which gives a shape that depends on elements",
                "use nbgrad.where(mask, x, 0) and go on with the whole array",
            )
        elif part.ndim:
            parts += np.nonzero(part)
        else:
            raise TypeError("indexing: True and False are no index of one of many examples' arrays: use None or slices")
    used = sum(part is not None and part is not Ellipsis for part in parts)
    if used > ndim:
        raise IndexError(f"indexing: {used} positions for an array of {ndim} dimensions, one of many examples")
    full = [slice(None)] * (ndim - used)
    places = [i for i, part in enumerate(parts) if part is Ellipsis]
    if not places:
        return (*parts, *full)
    return (*parts[: places[0]], *full, *parts[places[0] + 1 :])


def _level_of(x: Any, key: Sequence[Any]) -> Any:
    return top([x, *[part._array if isinstance(part, Variable) else part for part in key]])


def pick(x: Any, key: Any) -> Batched:
    """Give the elements of each example's array at an index."""
    parts = key if type(key) is tuple else (key,)
    level = _level_of(x, parts)
    if type(x) is Batched and x.level is level and x.hots is not None:
        same = Key(level, parts, x.ndim)
        if not any([is_stand_in(part) for part in same.parts]):
            return Batched(level, None, None, hot.picked(x.hots, same.parts))
    value = held(level, x)
    found = Key(level, parts, value.ndim - 1)
    of_one = found.differs and value.shape[0] == 1
    picked = GetItem(Index(found.of_all(None if of_one else value.shape[0]))).forward(value[0] if of_one else value)
    return Batched(level, _ordered(picked, found.order(picked.ndim, of_one)))


def scatter(g: Any, key: Any, shape: tuple[int, ...]) -> Batched:
    """Give zeros of a shape with the elements of each example's array added at an index."""
    parts = key if type(key) is tuple else (key,)
    level = _level_of(g, parts)
    found = Key(level, parts, len(shape))
    if type(g) is Batched and g.level is level and g.hots is not None and not any(map(is_array, found.parts)):
        return Batched(level, None, None, hot.scattered(g.hots, found.parts, shape))
    value = held(level, g)
    if found.differs:
        value = widened(level, value)
    value = _ordered(value, _inverse(found.order(value.ndim, False)))
    size = level.size if found.differs else held(level, g).shape[0]
    return Batched(level, Scatter(Index(found.of_all(size)), (size, *shape)).forward(value))


def put(x: Any, key: Any, values: Any) -> Batched:
    """Give each example's array with values in place of the elements at an index."""
    parts = key if type(key) is tuple else (key,)
    level = top([x, values, *[part._array if isinstance(part, Variable) else part for part in parts]])
    value = held(level, x)
    found = Key(level, parts, value.ndim - 1)
    given = held(level, values)
    if found.differs or given.shape[0] != 1:
        value = widened(level, value)
    index = found.of_all(value.shape[0])
    sizes = _picked(index, value.shape)
    order = found.order(len(sizes), False)
    if order != list(range(len(sizes))):  # in NumPy's order of all examples' elements
        given = np.broadcast_to(aligned(given, len(sizes) - 1), [sizes[axis] for axis in order])
        given = _ordered(given, _inverse(order))
    else:
        given = aligned(given, len(sizes) - 1)
    return Batched(level, put_in(value, Index(index), given.astype(value.dtype)))


def _picked(index: Any, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Give the shape of what an index picks from an array of a shape."""
    parts = tuple([np.zeros(part.shape, np.int64) if is_array(part) else part for part in index])
    return np.broadcast_to(np.zeros((), np.int8), shape)[parts].shape


def _inverse(order: Sequence[int]) -> list[int]:
    return sorted(range(len(order)), key=order.__getitem__)


def _ordered(value: Any, order: Sequence[int]) -> Any:
    return value if list(order) == list(range(len(order))) else value.transpose(tuple(order))


Batched.picked, Batched.scattered, Batched.written = staticmethod(pick), staticmethod(scatter), staticmethod(put)
