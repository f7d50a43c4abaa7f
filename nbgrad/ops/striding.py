"""Views whose elements are a step apart in several dimensions at once: diagonals, and windows that overlap."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np

from ..arrays import Array
from ..function import Operation
from ..kernels import dispatch
from ..kernels.cpu import small
from ..kernels.strides import dense
from .indexing import AddRows, elements_at
from .shape import Reshape


class Strided(Operation):
    """The elements ``x[first + index @ moves]``, a view of NumPy's arrays, which may be written to unless they meet.

    `first` is a place in x, `moves` has for each dimension of the result how far it goes along each of those of x, one
    after the other.
    """

    __slots__ = ("first", "moves", "shape", "writeable")
    aliases = linear = even = True
    reads_all = False
    kept = ("shape", "first", "moves", "writeable")
    work = staticmethod(lambda: small.views.strided())

    def __init__(self, shape: tuple[int, ...], first: tuple[int, ...], moves: tuple[int, ...], writeable: int) -> None:
        self.shape, self.first, self.moves, self.writeable = shape, first, moves, writeable

    def forward(self, x: Array) -> Array:
        if not isinstance(x, np.ndarray):
            found: Array = elements_at(x, self._places(x))
            return found
        moves = np.reshape(self.moves, (len(self.shape), x.ndim))
        if self.first and x.size:
            x = x[tuple([slice(place, None) for place in self.first])]
        strides = [int(sum(move * stride for move, stride in zip(row, x.strides, strict=True))) for row in moves]
        view = np.lib.stride_tricks.as_strided(x, self.shape, strides, writeable=bool(self.writeable))
        return view

    def _places(self, x: Any) -> Any:
        """Give where the elements are, counted through all of x in C order."""
        shape = tuple(x.shape)
        kept = _few_places if math.prod(self.shape) <= small.calls.SMALL else _places
        return dispatch.beside(kept(shape, self.shape, self.first, self.moves), x)

    def vjp(self, gy: Any, y: Any, x: Any) -> Any:
        flat = Reshape.apply(gy, (-1,))
        size = math.prod(x.shape)
        places = self._places(x).reshape(-1)
        return Reshape.apply(AddRows.apply(flat, places, 0, (size,)), tuple(x.shape))


def _places(shape: tuple[int, ...], result: tuple[int, ...], first: tuple[int, ...], moves: tuple[int, ...]) -> Array:
    steps = dense(shape)
    total = np.full(result, sum(place * step for place, step in zip(first, steps, strict=True)), np.int64)
    for axis, size in enumerate(result):
        row = moves[axis * len(shape) : (axis + 1) * len(shape)]
        step = sum(move * step for move, step in zip(row, steps, strict=True))
        total += (np.arange(size) * step).reshape(-1, *(1,) * (len(result) - 1 - axis))
    total.flags.writeable = False  # nobody needs to look whether they have changed
    return total


_few_places = lru_cache(256)(_places)

#: What `Strided` keeps.
Form = tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...], int]


@lru_cache(256)
def diagonal_form(shape: tuple[int, ...], offset: int, first: int, second: int) -> Form:
    """Give a diagonal of two dimensions as the last one, behind the others."""
    length = max(min(shape[first] + min(offset, 0), shape[second] - max(offset, 0)), 0)
    others = [axis for axis in range(len(shape)) if axis not in (first, second)]
    begin = [0] * len(shape)
    if length:
        begin[first], begin[second] = max(-offset, 0), max(offset, 0)
    rows = [[int(axis == k) for k in range(len(shape))] for axis in others]
    rows.append([int(k in (first, second)) for k in range(len(shape))])
    return (*[shape[axis] for axis in others], length), tuple(begin), tuple([n for row in rows for n in row]), 1


@lru_cache(256)
def window_form(shape: tuple[int, ...], axis: int, width: int, step: int) -> Form:
    """Give all pieces of a width along an axis, a step apart, with what is in a piece as the last dimension."""
    count = (shape[axis] - width) // step + 1
    rows = [[step * (k == axis) if i == axis else int(i == k) for k in range(len(shape))] for i in range(len(shape))]
    rows.append([int(k == axis) for k in range(len(shape))])
    result = (*shape[:axis], count, *shape[axis + 1 :], width)
    return result, (0,) * len(shape), tuple([n for row in rows for n in row]), int(step >= width or count < 2)


def flat_form(shape: tuple[int, ...], steps: tuple[int, ...], offset: int) -> Form:
    """Give elements at places of a vector."""
    reach = 1
    apart = True
    for step, size in sorted(zip(steps, shape, strict=True)):
        if size > 1:
            apart = apart and step >= reach
            reach += step * (size - 1)
    return shape, (offset,), steps, int(apart)
