"""Elements at places, counted through all of an array in C order; -1 is nowhere.

Functions that only move elements about are quick on small arrays without being written twice: run on the numbers
1, 2, ... in the place of elements, they tell themselves where each element comes from, once for a shape and options
(`moving`). What picks or writes by positions finds its places by a compiled call.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache, wraps
from typing import Any, TypeVar

import numpy as np

from ..arrays import Array
from ..function import Operation
from ..kernels import dispatch
from ..kernels.cpu import small
from ..kernels.lazy import lazy
from ..variable import Variable, data_of
from .elementwise import div, mul
from .indexing import GetItem, Index, Scatter
from .shape import Reshape
from .writing import put

Moving = TypeVar("Moving", bound=Callable[..., Any])

#: Arrays of more elements go the other way.
FEW = small.calls.SMALL


class _OfPlaces(Operation):
    __slots__ = ("places",)
    linear = even = True
    reads_all = False

    def __init__(self, places: Array) -> None:
        self.places = places

    def somewhere(self) -> tuple[Array, Array]:
        """Give the numbers of those places that are somewhere, and these."""
        flat = self.places.reshape(-1)
        numbers = np.flatnonzero(flat >= 0)
        return numbers, flat[numbers]


def _picked(x: Any, rows: Array) -> Any:
    return GetItem(Index.of_rows(rows)).forward(x.reshape(-1))


class At(_OfPlaces):
    """The elements at places, in the form of these; 0 for those that are nowhere."""

    __slots__ = ()
    kept = ("places",)
    work = staticmethod(lambda: small.places.at())

    def forward(self, x: Array) -> Array:
        numbers, rows = self.somewhere()
        found = _picked(x, rows)
        if numbers.size < self.places.size:
            found = Scatter(Index.of_rows(numbers, unique=True), (self.places.size,)).forward(found)
        return found.reshape(self.places.shape)

    def vjp(self, gy: Any, y: Any, x: Any) -> Any:
        return AddAt.apply(gy, self.places, tuple(x.shape))


class AddAt(_OfPlaces):
    """Zeros of a shape, with elements added at places; the adjoint of `At`."""

    __slots__ = ("shape",)
    kept = ("places", "shape")
    work = staticmethod(lambda: small.places.add())

    def __init__(self, places: Array, shape: tuple[int, ...]) -> None:
        self.places, self.shape = places, shape

    def forward(self, g: Array) -> Array:
        numbers, rows = self.somewhere()
        size = math.prod(self.shape)
        return Scatter(Index.of_rows(rows), (size,)).forward(_picked(g, numbers)).reshape(self.shape)

    def vjp(self, gy: Any, y: Any, g: Any) -> Any:
        gx = At.apply(gy, self.places)
        return gx if g.shape == gx.shape else gx.reshape(tuple(g.shape))


class WriteAt(_OfPlaces):
    """An array with as many elements as there are places written there, of which none is twice."""

    __slots__ = ()
    kept = ("places",)
    arity = 2
    work = staticmethod(lambda: small.places.write())

    def forward(self, x: Array, v: Array) -> Array:
        numbers, rows = self.somewhere()
        return put(x.reshape(-1), Index.of_rows(rows, unique=True), _picked(v, numbers)).reshape(x.shape)

    def vjp(self, gy: Any, y: Any, x: Any, v: Any) -> Any:
        gv = None
        if self.needs(1):
            gv = At.apply(gy, self.places)
            gv = gv if gv.shape == v.shape else gv.reshape(tuple(v.shape))
        return FillAt.apply(gy, self.places, 0.0) if self.needs(0) else None, gv


class FillAt(_OfPlaces):
    """An array with a number written at places."""

    __slots__ = ("number",)
    linear = False
    kept = ("places", "number")
    work = staticmethod(lambda: small.places.fill())

    def __init__(self, places: Array, number: float) -> None:
        self.places, self.number = places, number

    def forward(self, x: Array) -> Array:
        return put(x.reshape(-1), Index.of_rows(self.somewhere()[1]), self.number).reshape(x.shape)

    def vjp(self, gy: Any, y: Any, x: Any) -> Any:
        return FillAt.apply(gy, self.places, 0.0)


class SumsAt(Operation):
    """Zeros of a shape, with a share of an element added at each of some places: any linear function."""

    __slots__ = ("places", "shape", "shares", "taken")
    linear = True
    reads_all = False
    kept = ("places", "taken", "shares", "shape")
    work = staticmethod(lambda: small.places.sums())

    def __init__(self, places: Array, taken: Array, shares: Array, shape: tuple[int, ...]) -> None:
        self.places, self.taken, self.shares, self.shape = places, taken, shares, shape

    def forward(self, x: Array) -> Array:
        each = _picked(x, self.taken)
        each = each * self.shares.astype(each.dtype)
        return Scatter(Index.of_rows(self.places), (math.prod(self.shape),)).forward(each).reshape(self.shape)

    def vjp(self, gy: Any, y: Any, x: Any) -> Any:
        return SumsAt.apply(gy, self.taken, self.places, self.shares, tuple(x.shape))


class ExtremeAt(Operation):
    """An array whose elements are the extrema of what they are and of what goes to their places; equal ones share."""

    __slots__ = ("kind", "output", "places")
    arity = 2
    even = True

    def __init__(self, places: Array, kind: str) -> None:
        self.places, self.kind = places.reshape(-1), kind

    def forward(self, x: Array, v: Array) -> Array:
        self.output: Array = dispatch.called(self.kind, self._extrema, x, v, self.places)
        return self.output

    def _extrema(self, x: Array, v: Array, places: Array) -> Array:
        flat = x.flatten()
        try:
            (np.maximum if self.kind == "amax" else np.minimum).at(flat, places, v.reshape(-1))
        except IndexError as error:  # of positions that a compiled program has not looked at yet
            raise IndexError(f"scatter: {error}, counted through an array of shape {x.shape}") from None
        return flat.reshape(x.shape)

    def vjp(self, gy: Any, y: Any, x: Any, v: Any) -> Any:
        here, there, found = data_of(x), data_of(v), data_of(y)
        own, others = here == found, there.reshape(-1) == found.reshape(-1)[self.places]
        equal = dispatch.called("ties", _counted, own, others, self.places).astype(here.dtype)
        share = div(gy, np.maximum(equal, 1).reshape(here.shape))
        gx = mul(share, own.astype(here.dtype)) if self.needs(0) else None
        if not self.needs(1):
            return gx, None
        picked = GetItem(Index.of_rows(self.places))(Reshape((here.size,))(share))
        return gx, Reshape(there.shape)(mul(picked, others.astype(here.dtype)))


def _counted(own: Array, others: Array, places: Array) -> Array:
    """Count for each element how many are equal to it: itself, if it is its own extremum, and others at its place."""
    return own.reshape(-1) + np.bincount(places, others, own.size)


def _last_of_each(places: Array, size: int) -> Array:
    flat = places.reshape(-1)
    inside = np.flatnonzero(flat >= 0)
    writers = np.full(size, -1)
    np.maximum.at(writers, flat[inside], inside)
    left = np.full(places.shape, -1)
    left.reshape(-1)[writers[writers >= 0]] = np.flatnonzero(writers >= 0)
    return left


class _Calls:
    """The compiled calls that find places, made when they are first asked for."""

    @lazy
    def found(self) -> Callable[..., Array | None]:
        """Give places of positions along an axis; None of what is not small, or not in order."""
        found: Callable[..., Array | None] = small.places.found().function(lambda *given: None)
        return found

    @lazy
    def largest(self) -> Callable[..., Array | None]:
        """Give the places of the largest elements of a small array in each row of places."""
        found: Callable[..., Array | None] = small.places.largest().function(lambda *given: None)
        return found

    @lazy
    def last(self) -> Callable[..., Array]:
        """Give places of which none is twice: the last of each is left."""
        last: Callable[..., Array] = small.places.last().function(_last_of_each)
        return last


calls = _Calls()


def is_few(x: Any) -> bool:
    """Tell whether something is a Variable with a small array that compiled calls move the elements of."""
    if type(x) is not Variable:
        return False
    array = x._array
    return type(array) is np.ndarray and 0 < array.size <= FEW and array.dtype.char in "dfl"


@lru_cache(256)
def _numbered(shape: tuple[int, ...]) -> Any:
    """Give the number of each element of a small array."""
    return np.arange(math.prod(shape)).reshape(shape)


def places_picked(key: Any, shape: tuple[int, ...]) -> Any:
    """Give the places in a small array that an index picks, none twice; None of what is not NumPy's, or outside."""
    parts = key if type(key) is tuple else (key,)
    for part in parts:
        if type(part) is Variable or not isinstance(part, np.ndarray | int | slice | type(None) | type(Ellipsis)):
            return None
    try:
        found = _numbered(shape)[key]
    except IndexError:
        return None
    if type(found) is not np.ndarray:
        return None
    return calls.last(found if found.flags.c_contiguous else found.copy(), math.prod(shape))


# ---- what depends on shapes and options alone -----------------------------------------------------------------------

#: What was found for shapes and options, a table for each function.
known: list[Any] = []

#: Types of options that say by themselves what they are.
_OPTIONS = frozenset({int, float, str, bool, type(None)})


def plain(options: Any) -> bool:
    """Tell whether options are numbers and words, and tuples of these."""
    for option in options:
        if type(option) not in _OPTIONS and not (type(option) is tuple and plain(option)):
            return False
    return True


def hashable(option: Any) -> Any:
    """Give a tuple for a list."""
    return tuple([hashable(each) for each in option]) if type(option) is list else option


def _places_in(moved: Any, numbers: Array) -> Array | None:
    """Give where elements went that were numbered from 1; None where these places say not all, or it is a view."""
    if type(moved) is not np.ndarray or np.shares_memory(moved, numbers) or moved.size > FEW or not moved.size:
        return None
    places = moved.astype(np.int64) - 1
    if places.min() < -1 or places.max() >= numbers.size or not np.array_equal(places + 1, moved):
        return None
    places = np.ascontiguousarray(places).reshape(moved.shape)
    places.flags.writeable = False
    return places


def _kept(function: Callable[..., Any], find: Callable[..., Any], letters: str, apply: Callable[..., Any]) -> Any:
    """Make a function quick where what was found for the shape of its argument, and its options, says what it does."""

    @lru_cache(128, typed=True)
    def found_for(shape: tuple[int, ...], *arguments: Any, **options: Any) -> Any:
        if not 0 < math.prod(shape) <= FEW:
            return None
        if not plain(arguments) or not plain(options.values()):
            raise TypeError(f"{function.__name__}: options that are arrays are not kept")
        return find(function, shape, arguments, options)

    known.append(found_for)

    @wraps(function)
    def quickly(input: Any, *arguments: Any, **options: Any) -> Any:
        array = input._array if type(input) is Variable else input
        if type(array) is np.ndarray and array.dtype.char in letters:
            try:
                found = found_for(array.shape, *arguments, **options)
            except TypeError:  # lists, arrays, and what the function itself refuses
                if list not in map(type, (*arguments, *options.values())):
                    return function(input, *arguments, **options)
                arguments, options = hashable([*arguments]), {key: hashable(option) for key, option in options.items()}
                return quickly(input, *arguments, **options)
            if found is not None:
                return apply(input, found)
        return function(input, *arguments, **options)

    return quickly


def _move(input: Any, found: Any) -> Any:
    return At.apply(input, found) if type(found) is np.ndarray else tuple([At.apply(input, each) for each in found])


def _moves(function: Callable[..., Any], shape: tuple[int, ...], arguments: Any, options: Any) -> Any:
    numbers = np.arange(1.0, math.prod(shape) + 1).reshape(shape)
    found = function(numbers, *arguments, **options)
    if type(found) is tuple:
        several = [_places_in(part, numbers) for part in found]
        return None if any([places is None for places in several]) else tuple(several)
    return _places_in(found, numbers)


def moving(function: Moving) -> Moving:
    """Make a function quick that moves the elements of a small Variable, or puts zeros, and never looks at them.

    What it gives is what it would; views, and tuples of them, stay its own.
    """
    quickly: Moving = _kept(function, _moves, "dfl", _move)
    return quickly


#: Linear functions of more elements, or with more shares, go their own way.
_MOST, _SHARES = 256, 2048


def _add_up(input: Any, found: Any) -> Any:
    kind, parts = found
    if kind is None:
        return SumsAt.apply(input, *parts[0])
    results = [SumsAt.apply(input, *part) for part in parts]
    return kind(results) if kind is tuple else kind(*results)


def _shares_in(function: Callable[..., Any], shape: tuple[int, ...], arguments: Any, options: Any) -> Any:
    """Give what a linear function makes of each element, each of one, as the arguments of `SumsAt`."""
    count = math.prod(shape)
    if count > _MOST:
        return None
    columns = []
    for unit in np.eye(count):
        found = function(unit.reshape(shape), *arguments, **options)
        columns.append(found if isinstance(found, tuple) else (found,))
    kind = type(found) if isinstance(found, tuple) else None
    parts = []
    for several in zip(*columns, strict=True):
        table = np.stack([np.asarray(each, np.float64).reshape(-1) for each in several], 1)
        places, taken = np.nonzero(table)
        if places.size > _SHARES or table.shape[0] > FEW or not table.shape[0] or not np.isfinite(table).all():
            return None
        arrays = tuple(map(np.ascontiguousarray, (places, taken, table[places, taken])))
        for array in arrays:
            array.flags.writeable = False
        parts.append((*arrays, several[0].shape))
    return kind, parts


def summing(function: Moving) -> Moving:
    """Make a function quick that is linear in the elements of a small Variable: one sum of shares of these.

    Where it would add in another order, the last bits differ.
    """
    quickly: Moving = _kept(function, _shares_in, "df", _add_up)
    return quickly
