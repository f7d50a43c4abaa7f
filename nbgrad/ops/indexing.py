"""Picking elements out and putting them back: `getitem` and `scatter`, each the adjoint of the other."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from .. import history, sharing
from ..arrays import Array, Part, as_array, is_array, is_stand_in
from ..function import LARGE, Operation, without_elements
from ..grad_mode import is_grad_enabled
from ..kernels import dispatch, placement
from ..kernels.cpu import small
from ..kernels.dispatch import reduce_array
from ..kernels.lazy import lazy
from ..kernels.strides import dense
from ..variable import Variable, data_of
from .elementwise import add, lt, mul, where
from .shape import Reshape

_EVERY = slice(None)

#: Of so many elements a compiled call picks along an axis; NumPy is as quick with more.
_FEW = small.calls.SMALL

#: The types of parts that pick no elements by arrays.
_BASIC = frozenset({int, slice, type(None), type(Ellipsis)})

#: Where the elements are that an index picks: rows of the array seen as a table, the table's shape, and the result's.
Located = tuple[Any, tuple[int, int], tuple[int, ...]]


class Index:
    """An index as NumPy understands it, made of arrays and numbers only, and looked at once."""

    __slots__ = (
        "advanced",
        "checked",
        "count",
        "foreign",
        "given",
        "key",
        "masks_only",
        "placed",
        "stand_in",
        "unique",
    )

    #: Where rows are known to be within the array: how many rows it had when they were first used.
    count: int

    #: Of an index with arrays: those that are not NumPy's, and of these one that stands in for an array.
    foreign: list[Any]
    stand_in: Any

    #: A shape, and what `located` found for it.
    placed: tuple[tuple[int, ...], Located] | None

    def __init__(self, key: Any) -> None:
        #: The parts before arrays were copied: what stands in for arrays reads them as they are in every run.
        self.given = key if type(key) is tuple else (key,)
        parts = tuple([part_of_index(p) for p in self.given])
        self.advanced = any([type(p) not in _BASIC and is_array(p) for p in parts])
        self.masks_only = self.advanced and not any(is_array(p) and p.dtype != np.bool_ for p in parts)
        if not self.advanced and Ellipsis not in parts:
            parts = (*parts, Ellipsis)  # a single element then comes as a 0-d view, and not as a copy
        self.key = parts
        self.checked = self.unique = False
        if self.advanced:
            self.foreign = [p for p in parts if is_array(p) and not isinstance(p, np.ndarray)]
            self.stand_in, self.placed = next(filter(is_stand_in, self.foreign), None), None

    def is_rows(self) -> bool:
        """Tell whether this is one array of whole numbers, of NumPy's."""
        return self.advanced and len(self.key) == 1 and not self.masks_only and not self.foreign

    def plain(self) -> tuple[Any, ...]:
        """Give the parts as they were given, of Variables their arrays."""
        return tuple([data_of(p) for p in self.given]) if self.advanced else self.key

    def of(self, x: Array) -> Array:
        try:
            return as_array(x[self.key])
        except IndexError as error:
            raise IndexError(f"indexing shape {x.shape}: {error}") from None

    @classmethod
    def of_rows(cls, rows: Array, unique: bool = False) -> Index:
        """Give the index for row numbers that are known to be whole, 64 bits wide and within the array.

        `unique`: none comes twice.
        """
        index = cls.__new__(cls)
        index.key = index.given = (rows,)
        index.advanced, index.masks_only, index.checked = True, False, True
        index.foreign, index.stand_in, index.placed = [], None, None
        index.unique = unique
        return index

    def positions(self, shape: tuple[int, ...]) -> Array:
        """Give the flat positions of the picked elements, at a cost of the result's size and not the array's."""
        total: Any = 0
        stride = 1
        for axis in reversed(range(len(shape))):
            along = np.arange(shape[axis], dtype=np.int64).reshape(-1, *(1,) * (len(shape) - 1 - axis))
            total = self.of(np.broadcast_to(along, shape)) * stride + total
            stride *= shape[axis]
        return np.asarray(total)

    def located(self, shape: tuple[int, ...], like: Array) -> Located:
        """Return where the picked elements are in an array of a shape, on the target of another one."""
        placed = self.placed
        if placed is not None and placed[0] == shape:
            return placed[1]
        if isinstance(like, np.ndarray) and not self.foreign:
            found = self._located(shape)
            if len(self.key) == 1 and not self.masks_only:  # of others, to find them again is cheaper than to keep them
                self.placed = shape, found
            return found
        placement.together("indexing", (like, *self.foreign))
        rows, table, result = self._located(shape)
        # they may be used on other streams
        self.placed = shape, (dispatch.beside(rows, like, wait=True), table, result)
        return self.placed[1]

    def _located(self, shape: tuple[int, ...]) -> Located:
        """Find the picked elements: by arrays of whole numbers where these are, by anything else in NumPy's memory."""
        if len(self.key) == 1 and shape:
            first = self.key[0]
            if not self.masks_only:
                rows = within(shape, first, shape[0]) if not self.checked else self._checked(first, shape)
                rest = shape[1:]
                return rows.reshape(-1), (shape[0], math.prod(rest)), (*rows.shape, *rest)
            if first.shape == shape[: first.ndim]:
                rows, rest = dispatch.nonzero(first), shape[first.ndim :]
                return rows, (first.size, math.prod(rest)), (rows.size, *rest)
        if len(self.key) <= len(shape) and all([_counts(part) for part in self.key]):
            try:
                rows, rest = self._counted(shape), shape[len(self.key) :]
                count = math.prod(shape[: len(self.key)])
                return rows.reshape(-1), (count, math.prod(rest)), (*rows.shape, *rest)
            except (IndexError, ValueError):
                if self.foreign:
                    raise  # of its own arrays NumPy will say what is wrong
        host = Index(tuple(map(dispatch.in_numpy, self.key))) if self.foreign else self
        rows = host.positions(shape) if shape else host.of(np.zeros((), np.int64))
        return rows.reshape(-1), (math.prod(shape), 1), rows.shape

    def _checked(self, rows: Array, shape: tuple[int, ...]) -> Array:
        """Return rows that are known to be within the array, if it still has as many."""
        if shape[0] != getattr(self, "count", shape[0]):
            raise ValueError(
                f"indexing shape {shape}: the array had {self.count} rows when its elements were picked: put new "
                "data of another shape into a new Variable"
            )
        self.count = shape[0]
        return rows

    def _counted(self, shape: tuple[int, ...]) -> Any:
        """Return the positions that arrays of whole numbers pick, counted through the dimensions that they are for."""
        here: Any = 0
        there: Any = 0
        for part, size, stride in zip(self.key, shape, dense(shape[: len(self.key)]), strict=False):
            if any(part is array for array in self.foreign):
                there = add(there, mul(within(shape, part, size), stride))
            else:
                here = here + within(shape, np.asarray(part), size) * stride
        return add(there, dispatch.beside(np.asarray(here), there)) if self.foreign else here


def _counts(part: Any) -> bool:
    return isinstance(part, int) or (is_array(part) and part.dtype.kind in "iu")


def within(shape: tuple[int, ...], index: Array, count: int) -> Array:
    """Return positions among `count`, along a dimension of an array of a shape, as int64 numbers from 0.

    Raises IndexError for positions outside.
    """
    if isinstance(index, np.ndarray):  # needs no kernels
        own = own_positions(index, count)
        if own is not None:
            return own
        lowest, highest = bounds(index)
        if not (-count <= lowest and highest < count):
            raise _outside(f"indexing shape {shape}", index, count)
        index = index.astype(np.int64, copy=False)
        return np.where(index < 0, index + count, index) if lowest < 0 else index
    negative = begin_within(f"indexing shape {shape}", index, count)()
    index = index.astype(np.int64, copy=False)
    return where(lt(index, 0), add(index, count), index) if negative else index


def _outside(what: str, index: Array, count: int) -> IndexError:
    lowest, highest = bounds(index)
    return IndexError(f"{what}: positions from {lowest} to {highest} in {count} rows")


def begin_within(what: str, index: Array, count: int) -> Callable[[], bool]:
    """Begin to look whether positions are among `count`.

    Gives a function that waits, raises IndexError if any is not, and tells whether any is negative.
    """
    found = dispatch.look(index, -count, count - 1)

    def wait() -> bool:
        outside, negative = found()
        if outside:
            raise _outside(what, index, count)
        return negative

    return wait


def from_zero(index: Any, count: int, refusal: Callable[[int, int], Exception], what: str) -> Any:
    """Give whole numbers that are to be from 0 to before `count`; what stands in for them is looked at in every run.

    Raises what `refusal` makes of the lowest and the highest, for what else it says no more than `what`.
    """

    def begin(array: Array) -> Callable[[], None]:
        found = dispatch.look(array, 0, count - 1)

        def wait() -> None:
            if found()[0]:
                raise refusal(*bounds(array))

        return wait

    if is_stand_in(index):
        return index.checked(begin, "position check", ("from zero", what, count))
    lowest, highest = bounds(index)
    if index.size and (lowest < 0 or highest >= count):
        raise refusal(lowest, highest)
    return index


def bounds(index: Array) -> tuple[int, int]:
    """Return the lowest and the highest of whole numbers; (0, -1) where there are none."""
    if not index.size:
        return 0, -1
    if isinstance(index, np.ndarray):
        return index.min(), index.max()
    flat = index.reshape(-1)
    lowest, highest = (int(reduce_array(name, flat, (0,)).item()) for name in ("amin", "amax"))
    return lowest, highest


def part_of_index(part: Any) -> Any:
    """Give a part of an index as NumPy takes it, an array as a copy; raises TypeError for what is none."""
    if isinstance(part, Variable):
        part = part.data
    if isinstance(part, list | tuple | range | np.ndarray):
        array = np.array(part)  # a copy: the index must be the same when the gradient comes back
        if not array.size and array.dtype == np.float64:
            array = array.astype(np.int64)
        if array.dtype.kind not in "iub":
            raise TypeError(f"an index of dtype {array.dtype}: whole numbers and bool pick elements")
        return int(array) if not array.ndim and array.dtype != np.bool_ else array
    if part is None or part is Ellipsis or isinstance(part, slice | bool | np.bool_):
        return np.asarray(part) if isinstance(part, bool | np.bool_) else part
    if is_array(part) and part.dtype.kind in "iub":
        if is_stand_in(part):
            return part
        return part.copy() if part.ndim else part_of_index(dispatch.in_numpy(part))
    try:
        return part.__index__()
    except AttributeError:
        raise TypeError(f"an index of type {type(part).__name__}: {part!r}") from None


class _Indexed(Operation):
    """What has an index: an `Index`, or one of whole numbers, slices, None and an ellipsis as the user gave it."""

    __slots__ = ("index",)
    linear = even = True
    reads_all = False

    def __init__(self, index: Any) -> None:
        self.index: Any = index

    def looked_at(self) -> Index:
        """Give the index as an `Index`."""
        if type(self.index) is not Index:
            self.index = Index(self.index)
        return self.index


class GetItem(_Indexed):
    """The elements at an index; a view where NumPy gives one."""

    __slots__ = ()
    even = False  # a `Part` is told from arrays where these are looked at
    aliases = True
    kept = ("index",)
    work = staticmethod(lambda: small.views.getitem())

    def forward(self, x: Array) -> Array:
        index = self.looked_at()
        if not index.advanced:
            return index.of(x)
        stand_in = dispatch.foremost((x, *index.foreign)) if index.foreign or not isinstance(x, np.ndarray) else None
        if stand_in is not None:
            return stand_in.pick_from(x, index.plain())
        if isinstance(x, np.ndarray) and not index.foreign and (x.dtype.char not in "fd" or not x.ndim):
            return index.of(x)  # by NumPy, for what there is no kernel for
        rows, table, shape = index.located(x.shape, x)
        return dispatch.gather(x.reshape(table), rows).reshape(shape)

    def vjp(self, gy: Any, y: Any, x: Any) -> Any:
        return Scatter.apply(gy, self.index, tuple(x.shape))

    def pull(self, gy: Any) -> tuple[Any, ...]:
        assert self.inputs is not None
        x = self.inputs[0]._array
        if gy.nbytes > LARGE and type(gy) is np.ndarray:
            index = self.index
            if type(index) is not Index:
                return (Part(index, gy, x.shape),)
            if not index.advanced:
                return (Part(index.key, gy, x.shape),)
        return (self.vjp(gy, None, x),)

    def pull_elsewhere(self, gy: Any) -> tuple[Any, ...]:
        return super().pull(gy)


class Scatter(_Indexed):
    """Zeros of a shape, with values added at an index; repeated positions accumulate."""

    __slots__ = ("shape",)
    kept = ("index", "shape")
    work = staticmethod(lambda: small.copies.put())

    def __init__(self, index: Any, shape: tuple[int, ...]) -> None:
        super().__init__(index)
        self.shape = shape

    def forward(self, g: Array) -> Array:
        index = self.looked_at()
        foreign = index.foreign if index.advanced else ()
        stand_in = dispatch.foremost((g, *foreign)) if foreign or not isinstance(g, np.ndarray) else None
        if stand_in is not None:
            return stand_in.outside(g).scatter(index.plain(), self.shape)
        # no element is met twice
        if not index.advanced or (isinstance(g, np.ndarray) and (index.masks_only or not self.shape)):
            y = dispatch.zeros(self.shape, g.dtype, g)
            y[index.key] = g
            return y
        rows, (_, width), _ = index.located(self.shape, g)
        return dispatch.scatter(rows, g.reshape(rows.size, width), self.shape, index.unique or index.masks_only)

    def vjp(self, gy: Any, y: Any, g: Any) -> Any:
        return GetItem.apply(gy, self.index)


class GetRows(Operation):
    """What is along an axis at positions that are known to be whole, 64 bits wide and within the array."""

    __slots__ = ("axis", "rows")
    linear = even = True
    reads_all = False
    kept = ("rows", "axis")
    work = staticmethod(lambda: small.copies.gather())

    def __init__(self, rows: Array, axis: int) -> None:
        self.rows, self.axis = rows, axis

    def forward(self, x: Array) -> Array:
        return GetItem(_along(self.axis, self.rows)).forward(x)

    def vjp(self, gy: Any, y: Any, x: Any) -> Any:
        return AddRows.apply(gy, self.rows, self.axis, tuple(x.shape))


class AddRows(Operation):
    """Zeros of a shape, with what is along an axis added at positions; the adjoint of `GetRows`."""

    __slots__ = ("axis", "rows", "shape")
    linear = even = True
    reads_all = False
    kept = ("rows", "axis", "shape")
    work = staticmethod(lambda: small.copies.scatter())

    def __init__(self, rows: Array, axis: int, shape: tuple[int, ...]) -> None:
        self.rows, self.axis, self.shape = rows, axis, shape

    def forward(self, g: Array) -> Array:
        return Scatter(_along(self.axis, self.rows), self.shape).forward(g)

    def vjp(self, gy: Any, y: Any, g: Any) -> Any:
        return GetRows.apply(gy, self.rows, self.axis)


def _along(axis: int, rows: Array) -> Index:
    return Index((*(_EVERY,) * axis, rows)) if axis else Index.of_rows(rows)


def elements_at(x: Any, places: Array) -> Any:
    """Give the elements at places counted through all of a small x in C order, which are known to be within it."""
    return GetRows.apply(Reshape.apply(x, (-1,)), places, 0)


class _Rows:
    """The compiled call that looks at positions, made when it is first asked for."""

    @lazy
    def own(self) -> Callable[[Any, int], Array | None]:
        """Give a copy of a small array of whole numbers as `GetRows` takes it; None of anything else."""
        own: Callable[[Any, int], Array | None] = small.copies.rows().function(_own_rows)
        return own


_rows = _Rows()


def own_positions(positions: Array, count: int) -> Array | None:
    """Give a copy of few positions that are among so many, counted from the front; None of anything else."""
    return _rows.own(positions, count)


def own_places(positions: Any, count: int) -> Array | None:
    """Do as `own_positions`, and give None of those that count from the end as well."""
    return _rows.own(positions, count, True) if type(positions) is np.ndarray else None  # type: ignore[call-arg]


def _own_rows(positions: Any, count: int, from_front: bool = False) -> Array | None:
    if from_front and positions.size and positions.min() < 0:
        return None
    if positions.dtype != np.int64 or not positions.ndim or positions.size > small.calls.SMALL:
        return None
    if not ((positions >= -count) & (positions < count)).all():
        return None
    return np.where(positions < 0, positions + count, positions)


def _view_of_large(x: Variable, key: Any) -> Variable | None:
    """Give a large array's view at an index of numbers, slices and the like; None for anything else."""
    parts = key if type(key) is tuple else (key,)
    if not all([type(part) in _BASIC for part in parts]):
        return None
    try:
        view = x._array[key]
    except IndexError:
        return None  # which is named on the other way
    if type(view) is not np.ndarray:  # an element
        return None
    y: Variable = object.__new__(Variable)
    y._array, generation = view, x._generation
    if generation >= 0 and is_grad_enabled():
        node: Any = object.__new__(GetItem)
        node.index, node.generation = key, generation
        node.inputs = (x,) if x.creator is None else without_elements((x,), (False,))
        y.creator, y._generation = node, generation + 1
    else:
        y.creator, y._generation = None, min(generation, -1)  # a view of what is cut off is so as well
    if sharing.active or sharing.stand_ins:
        history.note_later(y, x)
    return y


def _is_every(part: Any) -> bool:
    return type(part) is slice and part == _EVERY


def getitem(input: Any, key: Any) -> Any:
    """Pick elements by whole numbers, slices, ellipsis, None, and arrays of whole numbers or bool, as NumPy does.

    Raises IndexError for positions outside, TypeError for indices of another kind.
    """
    if type(input) is Variable and input._array.ndim and type(input._array) is np.ndarray:
        if input._array.nbytes > LARGE:
            view = _view_of_large(input, key)
            if view is not None:
                return view
        positions = key._array if type(key) is Variable else key
        if type(positions) is np.ndarray:
            shape, ndim = input._array.shape, positions.ndim
            if positions.dtype.char == "?":
                if 0 < positions.size <= small.calls.SMALL and positions.shape == shape[:ndim]:
                    table = input if ndim == 1 else Reshape.apply(input, (positions.size, *shape[ndim:]))
                    return GetRows.apply(table, np.flatnonzero(positions), 0)
            else:
                rows = _rows.own(positions, shape[0])
                if rows is not None:
                    return GetRows.apply(input, rows, 0)
        elif type(key) is tuple and key and type(positions := data_of(key[-1])) is np.ndarray:
            axis, shape = len(key) - 1, input._array.shape
            if axis < len(shape) and positions.dtype.char == "l" and all([_is_every(p) for p in key[:axis]]):
                rows = _rows.own(positions, shape[axis])
                if rows is not None and input._array.size * rows.size <= _FEW * shape[axis]:
                    return GetRows.apply(input, rows, axis)
    return GetItem(Index(key))(input)
