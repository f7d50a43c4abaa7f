"""Indexing of traced arrays by arrays: picking elements out, and adding them up where they came from."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..kernels import devices
from ..ops.elementwise import maximum, minimum
from ..ops.indexing import GetItem, Index, Scatter, begin_within, from_the_end, part_of_index
from .program import Call, is_frozen
from .refusals import users_line

if TYPE_CHECKING:
    from .symbol import Symbol

_count = itertools.count()


def _traced(part: Any) -> bool:
    return hasattr(type(part), "__nbgrad_array__")


class _Key:
    """An index of a traced array.

    Traced parts, and those on a GPU, are read in every run. Arrays from outside on the CPU are looked at once, and
    again in runs that find them changed.
    """

    def __init__(self, x: Symbol, parts: Sequence[Any]) -> None:
        self.parts = [x.outside(part) if devices.is_cuda(part) else part_of_index(part) for part in parts]
        self.traced = [place for place, part in enumerate(self.parts) if _traced(part)]
        self.symbols: list[Symbol] = [self.parts[place] for place in self.traced]
        if any(symbol.dtype == np.bool_ for symbol in self.symbols):
            raise TypeError(
                f"jit: an index of traced truth values, at {users_line()}, gives a shape that depends on elements: use "
                "nbgrad.where(mask, x, 0) and go on with the whole array"
            )
        for part in parts:
            x.program.reads(part)
        #: Places of arrays that somebody may change, and the arrays.
        self.live = [(i, p) for i, p in enumerate(parts) if isinstance(p, np.ndarray) and not is_frozen(p)]
        self.index = None if self.traced else Index(tuple(self.parts))

    def now(self, positions: Sequence[Any]) -> Index:
        """Give the index as it is in this run, for the traced parts' arrays."""
        changed = [(place, array) for place, array in self.live if not np.array_equal(array, self.parts[place])]
        if self.index is not None and not changed:
            return self.index
        parts = list(self.parts)
        for place, array in changed:
            if array.dtype == np.bool_ and np.count_nonzero(array) != np.count_nonzero(parts[place]):
                raise TypeError(
                    f"jit: a mask from outside of the traced function has changed, and picks {np.count_nonzero(array)} "
                    f"elements where the trace had {np.count_nonzero(parts[place])}: make it an argument and use "
                    "nbgrad.where, or make it static"
                )
            parts[place] = array
        for place, array in zip(self.traced, positions, strict=True):
            parts[place] = array
        return Index(tuple(parts))

    def shape_in(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Give the shape of what is picked from an array of a shape."""
        dummies = tuple(np.zeros(p.shape, p.dtype) if _traced(p) else p for p in self.parts)
        return np.broadcast_to(np.zeros((), np.int8), shape)[dummies].shape

    def rows_of(self, shape: tuple[int, ...]) -> Symbol | None:
        """Give the numbers of rows that are picked, looked at without waiting; None unless it is one array on a GPU.

        They are held within the table, so that wrong ones do no harm until they are refused.
        """
        if len(self.parts) != 1 or not self.symbols or not shape or self.symbols[0].program.device == "cpu":
            return None
        index, count = self.symbols[0], shape[0]
        what = f"indexing shape {shape}"
        index = index.checked(lambda array: begin_within(what, array, count), "position check", ("positions", count))
        if not count:
            if index.size:
                raise IndexError(f"{what}: positions in no rows")
            return index.astype(np.int64)
        rows: Symbol = minimum(maximum(from_the_end(index.astype(np.int64), count), 0), count - 1)
        return rows


def pick(x: Symbol, parts: Sequence[Any]) -> Symbol:
    """Give the elements at an index with arrays among its parts."""
    key = _Key(x, parts)
    rows = key.rows_of(x.shape)
    if rows is not None:
        pick_rows = Call(lambda x, rows: GetItem(Index.of_rows(rows)).forward(x), "pick rows", "gather", False)
        return x.called(pick_rows, (rows,), (*rows.shape, *x.shape[1:]))
    operation = Call(
        lambda x, *positions: GetItem(key.now(positions)).forward(x), ("pick", next(_count)), "gather", False
    )
    return x.called(operation, key.symbols, key.shape_in(x.shape))


def scatter(g: Symbol, parts: Sequence[Any], shape: tuple[int, ...]) -> Symbol:
    """Give zeros of a shape with elements added at an index with arrays among its parts, or any other."""
    key = _Key(g, parts)
    rows = key.rows_of(shape)
    if rows is not None:
        put_rows = Call(
            lambda g, rows: Scatter(Index.of_rows(rows), shape).forward(g), ("put rows", shape), "scatter", False
        )
        return g.called(put_rows, (rows,), shape)
    operation = Call(
        lambda g, *positions: Scatter(key.now(positions), shape).forward(g), ("put", next(_count)), "scatter", False
    )
    return g.called(operation, key.symbols, shape)
