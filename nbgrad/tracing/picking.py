"""Indexing of nodes by arrays: picking elements out, and adding them up where they came from."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from functools import cache as once
from typing import Any

import numpy as np

from ..arrays import is_array
from ..kernels import formula
from ..kernels.cpu import indexing
from ..kernels.cpu.failures import checked
from ..kernels.formula import NUMBER, Expression
from ..kernels.placement import CPU
from ..kernels.scalars import maximum, minimum, where
from ..ops.indexing import GetItem, Index, Scatter, begin_within, part_of_index
from . import lowering
from .calls import frozen
from .lowering import compiles
from .program import Call, Node, Program, is_frozen
from .refusals import users_line

_count = itertools.count()


@once
def _held_within() -> Expression:
    """Give the formula that counts negative positions from the end, and holds all of them within what is there."""

    def held(position: Any, zero: Any, count: Any, last: Any) -> Any:
        return minimum(maximum(where(position < zero, position + count, position), zero), last)

    return formula.trace(held, [NUMBER] * 4)


class _Key:
    """An index of a node.

    Parts that are nodes, and those in other memory, are read in every run. NumPy's arrays from outside are looked at
    once, and again in runs that find them changed.
    """

    def __init__(self, program: Program, parts: Sequence[Any]) -> None:
        self.program = program
        self.parts: list[Any] = [
            program.constant(part)
            if is_array(part) and not isinstance(part, np.ndarray)
            else part
            if isinstance(part, Node)
            else part_of_index(part)
            for part in parts
        ]
        self.traced = [place for place, part in enumerate(self.parts) if isinstance(part, Node)]
        self.nodes: list[Node] = [self.parts[place] for place in self.traced]
        for node in self.nodes:
            if node.dtype.kind not in "iub":
                raise TypeError(f"an index of dtype {node.dtype}: whole numbers and bool pick elements")
        if any(node.dtype == np.bool_ for node in self.nodes):
            raise TypeError(
                f"jit: an index of traced truth values, at {users_line()}, gives a shape that depends on elements: use "
                "nbgrad.where(mask, x, 0) and go on with the whole array"
            )
        for part in parts:
            program.reads(part)
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

    def applied(self, function: Callable[[Index], Any], positions: Sequence[Any]) -> Any:
        """Apply a function to the index as it is in this run."""
        if len(self.parts) == 1 and len(positions) == 1 and positions[0].dtype == np.int64:
            try:
                return function(Index.of_rows(positions[0]))  # kernels look at every row themselves
            except IndexError:
                pass  # rows from the end, or what is wrong is told by who looks first
        return function(self.now(positions))

    def shape_in(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Give the shape of what is picked from an array of a shape."""
        dummies = tuple(np.zeros(p.shape, p.dtype) if isinstance(p, Node) else p for p in self.parts)
        return np.broadcast_to(np.zeros((), np.int8), shape)[dummies].shape

    def rows_of(self, shape: tuple[int, ...]) -> Node | None:
        """Give the numbers of rows that are picked, looked at without waiting; None unless streams have one array.

        They are held within the table, so that wrong ones do no harm until they are refused.
        """
        program = self.program
        compiler = program.target.compiler
        if len(self.parts) != 1 or not self.nodes or not shape or compiler is None or not compiler.streams:
            return None
        count = shape[0]
        what = f"indexing shape {shape}"
        index = lowering.checked(
            program,
            self.nodes[0],
            lambda array: begin_within(what, array, count),
            "position check",
            ("positions", count),
        )
        index = lowering.convert(program, index, np.int64)
        if not count:
            if index.size:
                raise IndexError(f"{what}: positions in no rows")
            return index
        limits = [lowering.number(program, n) for n in (0, count, count - 1)]
        return lowering.computed(program, _held_within(), [index, *limits], np.dtype(np.int64))

    def even(self, shape: tuple[int, ...]) -> tuple[tuple[int, ...], range] | None:
        """Give the places of what arrays pick that stay the same, as of a diagonal, if they are a range.

        That is a range of the last dimensions seen as one; the dimensions before these come with it.
        """
        parts = list(self.parts)
        if parts and parts[0] is Ellipsis:
            parts[:1] = [slice(None)] * (len(shape) - len(parts) + 1)
        lead = next((i for i, part in enumerate(parts) if isinstance(part, np.ndarray)), len(parts))
        arrays = parts[lead:]
        if self.nodes or self.live or not arrays or len(parts) != len(shape) or math.prod(shape) == 0:
            return None
        if any([not isinstance(p, slice) or p != slice(None) for p in parts[:lead]]):
            return None
        if any([not isinstance(p, np.ndarray) or p.dtype.kind not in "iu" or p.ndim != 1 for p in arrays]):
            return None
        if len({part.size for part in arrays}) > 1 or not arrays[0].size:
            return None
        rest = shape[lead:]
        if any([p.min() < -n or p.max() >= n for p, n in zip(arrays, rest, strict=True)]):
            return None  # others say what is wrong
        places = np.ravel_multi_index(tuple([p % n for p, n in zip(arrays, rest, strict=True)]), rest)
        steps = np.diff(places)
        step = int(steps[0]) if len(steps) else 1
        if step < 1 or (steps != step).any():
            return None
        return shape[:lead], range(int(places[0]), int(places[-1]) + 1, step)

    def along(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> _Along | None:
        """Give the positions along one axis that are picked of an array, where there is no more to the index than that.

        None where NumPy's memory is not at hand, or there is no kernel, or nothing to pick.
        """
        parts = list(self.parts)
        if Ellipsis in [part for part in parts if not is_array(part)]:
            place = next(i for i, part in enumerate(parts) if part is Ellipsis)
            parts[place : place + 1] = [slice(None)] * (len(shape) - len(parts) + 1)
        arrays = [axis for axis, part in enumerate(parts) if isinstance(part, Node | np.ndarray)]
        rest = all([isinstance(p, slice) and p == slice(None) for i, p in enumerate(parts) if i not in arrays])
        if self.program.target is not CPU or dtype.char not in "fd" or len(arrays) != 1 or not rest:
            return None
        if len(parts) > len(shape):
            return None  # others say what is wrong
        (axis,) = arrays
        rows = parts[axis]
        if not isinstance(rows, Node):
            # as it is now, and in every run
            given = next((array for place, array in self.live if self.parts[place] is rows), None)
            rows = rows if given is None else given
            if rows.dtype.kind not in "iu" or not rows.ndim:
                return None
            rows = self.program.constant(frozen(rows.copy()) if given is None else rows)
        if rows.dtype.kind not in "iu" or rows.dtype == np.uint64 or not rows.size or not math.prod(shape):
            return None
        return _Along(axis, rows)


class _Along:
    """Positions along one axis of an array: of its rows, once that axis comes first."""

    def __init__(self, axis: int, rows: Node) -> None:
        self.axis, self.rows = axis, rows

    def picked(self, program: Program, x: Node) -> Node:
        """Give the elements there."""
        axis, rows = self.axis, self.rows
        x = lowering.transpose(program, x, _brought(range(len(x.shape)), axis, 1, 0))
        count, number, width = x.shape[0], rows.size, math.prod(x.shape[1:])
        kernel = indexing.gather()

        def gather(x: Any, rows: Any, y: Any) -> None:
            try:
                checked(kernel, x.reshape(count, width), rows.reshape(number), y.reshape(number, width))
            except IndexError:  # positions from the end, or what is wrong is told by who looks first
                y[...] = GetItem(Index((rows,))).forward(x)

        shape = (*rows.shape, *x.shape[1:])
        found = program.add(Call(gather, "rows", "gather", True), (x, rows), shape, x.dtype)
        return lowering.transpose(program, found, _brought(range(len(shape)), 0, len(rows.shape), axis))

    def added(self, program: Program, g: Node, shape: tuple[int, ...]) -> Node:
        """Give zeros of a shape with elements added there."""
        axis, rows = self.axis, self.rows
        g = lowering.transpose(program, g, _brought(range(len(g.shape)), axis, len(rows.shape), 0))
        table = (shape[axis], *shape[:axis], *shape[axis + 1 :])
        count, number, width = shape[axis], rows.size, math.prod(table[1:])
        kernel = indexing.scatter_add()

        def scatter(g: Any, rows: Any, y: Any) -> None:
            y.fill(0)
            try:
                checked(kernel, rows.reshape(number), g.reshape(number, width), y.reshape(count, width))
            except IndexError:
                y[...] = Scatter(Index((rows,)), table).forward(g)

        found = program.add(Call(scatter, "rows added", "scatter", True), (g, rows), table, g.dtype)
        return lowering.transpose(program, found, _brought(range(len(table)), 0, 1, axis))


def _brought(axes: Sequence[int], begin: int, count: int, to: int) -> tuple[int, ...]:
    """Give axes in the order in which so many, from one on, stand from another place on among the others."""
    moved, rest = list(axes)[begin : begin + count], [*axes[:begin], *axes[begin + count :]]
    return (*rest[:to], *moved, *rest[to:])


def pick(program: Program, x: Node, parts: Sequence[Any]) -> Node:
    """Give the elements at an index with arrays or nodes among its parts."""
    key = _Key(program, parts)
    even = key.even(x.shape)
    if even is not None and compiles(x.dtype):
        lead, places = even
        flat = lowering.reshape(program, x, (*lead, math.prod(x.shape[len(lead) :])))
        return lowering.index(program, flat, (Ellipsis, slice(places.start, places.stop, places.step)))
    rows = key.rows_of(x.shape)
    if rows is not None:
        pick_rows = Call(lambda x, rows: GetItem(Index.of_rows(rows)).forward(x), "pick rows", "gather", False)
        return program.add(pick_rows, (x, rows), (*rows.shape, *x.shape[1:]), x.dtype)
    taken = key.along(x.shape, x.dtype)
    if taken is not None:
        return taken.picked(program, x)
    operation = Call(
        lambda x, *positions: key.applied(lambda index: GetItem(index).forward(x), positions),
        ("pick", next(_count)),
        "gather",
        False,
    )
    return program.add(operation, (x, *key.nodes), key.shape_in(x.shape), x.dtype)


def scatter(program: Program, g: Node, parts: Sequence[Any], shape: tuple[int, ...]) -> Node:
    """Give zeros of a shape with elements added at an index with arrays or nodes among its parts, or any other."""
    key = _Key(program, parts)
    if not key.nodes and compiles(g.dtype) and all(map(_is_plain, key.parts)):
        found = _spread_out(program, g, tuple(key.parts), shape)
        if found is not None:
            return found
    even = key.even(shape)
    if even is not None and compiles(g.dtype):
        return _evenly_spread(program, g, *even, shape)
    rows = key.rows_of(shape)
    if rows is not None:
        put_rows = Call(
            lambda g, rows: Scatter(Index.of_rows(rows), shape).forward(g), ("put rows", shape), "scatter", False
        )
        return program.add(put_rows, (g, rows), shape, g.dtype)
    taken = key.along(shape, g.dtype)
    if taken is not None:
        return taken.added(program, g, shape)
    operation = Call(
        lambda g, *positions: key.applied(lambda index: Scatter(index, shape).forward(g), positions),
        ("put", next(_count)),
        "scatter",
        False,
    )
    return program.add(operation, (g, *key.nodes), shape, g.dtype)


def _is_plain(part: Any) -> bool:
    """Tell whether a part of an index is None, an ellipsis, a slice or a whole number."""
    return part is None or part is Ellipsis or isinstance(part, slice) or type(part) is int


def _spread_out(program: Program, g: Node, key: tuple[Any, ...], shape: tuple[int, ...]) -> Node | None:
    """Give elements back to where slices and whole numbers picked them, among zeros; None where steps are odd."""
    places = _ranges(key, shape)
    g = lowering.reshape(program, g, tuple(map(len, places)))
    if any(place.step < 0 for place in places):
        g = lowering.index(program, g, tuple([slice(None, None, -1 if p.step < 0 else 1) for p in places]))
        places = [place if place.step > 0 else place[::-1] for place in places]
    for axis, (place, size) in enumerate(zip(places, shape, strict=True)):
        if place.step == 1 or len(place) <= 1:
            continue
        if size % place.step or len(place) * place.step != size:
            return None
        # zeros between the elements: an axis of their own, beside theirs
        beside = (*g.shape[: axis + 1], 1, *g.shape[axis + 1 :])
        zero = lowering.number(program, 0.0, g.dtype)
        counts = place.start, place.step - 1 - place.start
        before, after = ((*g.shape[: axis + 1], count, *g.shape[axis + 1 :]) for count in counts)
        parts = [lowering.broadcast(program, zero, before), lowering.reshape(program, g, beside)]
        parts.append(lowering.broadcast(program, zero, after))
        joined = lowering.join(program, parts, axis + 1)
        g = lowering.reshape(program, joined, (*g.shape[:axis], size, *g.shape[axis + 1 :]))
    whole = [place.step != 1 and len(place) > 1 for place in places]
    starts = [0 if spread or not len(p) else p.start for p, spread in zip(places, whole, strict=True)]
    return lowering.pad(program, g, starts, shape)


def _evenly_spread(program: Program, g: Node, lead: tuple[int, ...], places: range, shape: tuple[int, ...]) -> Node:
    """Give elements back to a range of places of the last dimensions seen as one, among zeros."""
    last, size = len(lead), math.prod(shape[len(lead) :])
    if places.step > 1:
        zero = lowering.broadcast(program, lowering.number(program, 0.0, g.dtype), (*g.shape, places.step - 1))
        joined = lowering.join(program, [lowering.reshape(program, g, (*g.shape, 1)), zero], last + 1)
        g = lowering.reshape(program, joined, (*lead, len(places) * places.step))
        if g.shape[-1] > size - places.start:
            g = lowering.index(program, g, (Ellipsis, slice(size - places.start)))
    return lowering.reshape(program, lowering.pad(program, g, [0] * last + [places.start], (*lead, size)), shape)


def put(program: Program, x: Node, values: Node, parts: Sequence[Any]) -> Node:
    """Give an array with values in place of the elements at an index."""
    key = _Key(program, parts)
    shape = key.shape_in(x.shape)
    np.broadcast_to(np.empty(values.shape, np.int8), shape)  # which raises ValueError, as it would in every run
    if not any([is_array(part) for part in key.parts]) and not key.nodes:
        return put_at(program, x, [tuple(key.parts)], [values])

    def run(x: Any, values: Any, *positions: Any) -> Any:
        y = x.copy()
        y[key.now(positions).key] = values
        return y

    return program.add(Call(run, ("put", next(_count)), "put", False), (x, values, *key.nodes), x.shape, x.dtype)


class Puts:
    """Writes to places that slices and whole numbers tell, one after the other, into a copy of an array."""

    def __init__(self, keys: Sequence[tuple[Any, ...]]) -> None:
        self.keys = list(keys)

    def __call__(self, x: Any, *values: Any) -> Any:
        y = x.copy()
        for key, value in zip(self.keys, values, strict=True):
            y[key] = value
        return y


def put_at(program: Program, x: Node, keys: Sequence[tuple[Any, ...]], values: Sequence[Node]) -> Node:
    """Give an array with values at places that slices and whole numbers tell, in this order."""
    identity = ("put", tuple([str(key) for key in keys]))
    return program.add(Call(Puts(keys), identity, "put", False), (x, *values), x.shape, x.dtype)


#: So many writes become a join at most: each is a loop.
_MOST_JOINED = 32


def joined(program: Program, x: Node, keys: Sequence[tuple[Any, ...]], values: Sequence[Node]) -> Node | None:
    """Give what writes to stretches of one axis are as a join of these and what is left; None for any other writes."""
    if not compiles(x.dtype) or len(keys) > _MOST_JOINED or not x.size:
        return None
    if any([part is None for key in keys for part in key]) or any([value.dtype != x.dtype for value in values]):
        return None
    places = [_ranges(key, x.shape) for key in keys]
    whole = [range(size) for size in x.shape]
    axes = {axis for place in places for axis in range(len(whole)) if place[axis] != whole[axis]} or {0}
    if len(axes) > 1 or not x.shape:
        return None
    (axis,) = axes
    stretches = [place[axis] for place in places]
    if any([stretch.step != 1 or not stretch for stretch in stretches]):
        return None
    parts, end = [], 0
    for k in sorted(range(len(keys)), key=lambda k: stretches[k].start):
        start, stop = stretches[k].start, stretches[k].stop
        if start < end:
            return None
        parts.append(lowering.index(program, x, (*(slice(None),) * axis, slice(end, start))))
        shape = (*x.shape[:axis], stop - start, *x.shape[axis + 1 :])
        parts.append(_in_place(program, values[k], _parts(keys[k], len(x.shape)), shape))
        end = stop
    parts.append(lowering.index(program, x, (*(slice(None),) * axis, slice(end, None))))
    return lowering.join(program, parts, axis)


def _in_place(program: Program, value: Node, parts: list[Any], shape: tuple[int, ...]) -> Node:
    """Give a value in the shape of what it is written to, which has the axes that whole numbers drop."""
    kept = [axis for axis, part in enumerate(parts) if isinstance(part, slice)]
    sizes = value.shape[max(len(value.shape) - len(kept), 0) :]
    filled = [1] * len(shape)
    for axis, size in zip(reversed(kept), reversed(sizes), strict=False):
        filled[axis] = size
    return lowering.broadcast(program, lowering.reshape(program, value, tuple(filled)), shape)


def puts_of(node: Node) -> Puts | None:
    """Give the writes that a node is, if it is such writes."""
    if isinstance(node.operation, Call) and isinstance(node.operation.function, Puts):
        return node.operation.function
    return None


def are_apart(one: tuple[Any, ...], other: tuple[Any, ...], shape: tuple[int, ...]) -> bool:
    """Tell whether two indices of slices and whole numbers have no element in common, as far as bounds tell."""
    pairs = zip(_ranges(one, shape), _ranges(other, shape), strict=True)
    return any(
        [not a or not b or max(a[0], a[-1]) < min(b[0], b[-1]) or max(b[0], b[-1]) < min(a[0], a[-1]) for a, b in pairs]
    )


def _parts(key: tuple[Any, ...], ndim: int) -> list[Any]:
    """Give the slices and whole numbers of an index, one for each axis."""
    parts = [part for part in key if part is not None]
    if Ellipsis in parts:
        place = parts.index(Ellipsis)
        parts[place : place + 1] = [slice(None)] * (ndim - len(parts) + 1)
    return parts + [slice(None)] * (ndim - len(parts))


def _ranges(key: tuple[Any, ...], shape: tuple[int, ...]) -> list[range]:
    """Give what an index of slices and whole numbers picks along each axis."""
    return [
        range(size)[part] if isinstance(part, slice) else range(size)[part : part + 1 or size]
        for part, size in zip(_parts(key, len(shape)), shape, strict=True)
    ]
