"""Which Variables share memory, for those that are written to.

Nothing is written down until the first write to memory that somebody else may hold: then the living Variables are asked
once, by way of the garbage collector, and from there on those that may share memory say so when they are made.
"""

from __future__ import annotations

import gc
import weakref
from sys import getrefcount
from typing import TYPE_CHECKING, Any

import numpy as np

from .arrays import Array

if TYPE_CHECKING:
    from .variable import Variable

#: Whether Variables that may share memory have to be noted: there was a write to memory that others may hold.
active = False

#: By the identity of the array that owns the memory: a reference to it, and those to the Variables on that memory, by
#: their identities.
_groups: dict[int, tuple[weakref.ref[Any], dict[int, weakref.ref[Variable]]]] = {}


#: The class of Variables, which puts itself here.
kinds: list[type[Variable]] = []


def has_memory(array: Any) -> bool:
    """Tell whether something is an array, and no stand-in for one."""
    return isinstance(array, np.ndarray) or hasattr(type(array), "__cuda_array_interface__")


def owner_of(array: Any) -> Any:
    """Give the array that owns an array's memory, as far as arrays know."""
    own = type(array)
    while type(base := array.base) is own or isinstance(base, np.ndarray):
        array = base
    return array


def note(x: Variable) -> None:
    """Write down that a Variable may share its memory with others."""
    if not has_memory(x._array):
        return
    owner = owner_of(x._array)
    key = id(owner)
    group = _groups.get(key)
    if group is None:
        group = _groups[key] = weakref.ref(owner, lambda _: _groups.pop(key, None)), {}
    references = group[1]
    references[id(x)] = weakref.ref(x)
    if len(references) & (len(references) - 1) == 0:  # at powers of two, so that each costs little
        for gone in [number for number, reference in references.items() if reference() is None]:
            del references[gone]


def forget(x: Variable) -> None:
    """Take a Variable off the list, until it is noted again."""
    group = _groups.get(id(owner_of(x._array)))
    if group is not None:
        group[1].pop(id(x), None)


def activate() -> None:
    """Write down the living Variables that share memory, and all that are made from here on."""
    global active
    active = True
    frozen = gc.get_freeze_count()
    if frozen:  # what was frozen is in no list: thawed for the moment, and frozen again with the rest
        gc.unfreeze()
    try:
        owners: dict[int, list[Any]] = {}
        for x in gc.get_objects():
            if issubclass(type(x), kinds[0]) and has_memory(getattr(x, "_array", None)):
                owners.setdefault(id(owner_of(x._array)), []).append(x)
        for together in owners.values():
            if len(together) > 1:
                for x in together:
                    note(x)
    finally:
        if frozen:
            gc.freeze()


def _lonely() -> int:
    """Find out what the count of references is of an array that only one Variable holds, asked as `alone` does."""

    class Holder:
        __slots__ = ("_array",)

    x: Any = Holder()
    x._array = np.zeros(2)
    return getrefcount(x._array)


_ALONE = _lonely()


def alone(x: Variable, besides: int = 0) -> bool:
    """Tell whether surely nobody else holds memory of a Variable's array, but for `besides` others that are known."""
    return x._array.base is None and getrefcount(x._array) <= _ALONE + besides


def others(x: Variable) -> list[Variable]:
    """Give the Variables that may share memory with this one."""
    array = x._array
    if not active:
        activate()
    group = _groups.get(id(owner_of(array)))
    if group is None:
        return []
    living = [reference() for reference in list(group[1].values())]
    return [y for y in living if y is not None and y is not x and has_memory(y._array) and share(y._array, array)]


def bounds(array: Any) -> tuple[int, int]:
    """Give the addresses where an array's elements begin and end."""
    interface = array.__array_interface__ if isinstance(array, np.ndarray) else array.__cuda_array_interface__
    low = high = interface["data"][0]
    for size, stride in zip(array.shape, array.strides, strict=True):
        if size == 0:
            return low, low
        if stride < 0:
            low += (size - 1) * stride
        else:
            high += (size - 1) * stride
    return low, high + array.itemsize


def share(a: Array, b: Array) -> bool:
    """Tell whether two arrays have elements in common."""
    if isinstance(a, np.ndarray) != isinstance(b, np.ndarray):
        return False
    (low, high), (lower, higher) = bounds(a), bounds(b)
    if max(low, lower) >= min(high, higher):
        return False
    if isinstance(a, np.ndarray):
        try:
            return np.shares_memory(a, b, max_work=10_000)  # type: ignore[arg-type]
        except np.exceptions.TooHardError:
            return True
    return True


def shared_positions(a: Array, b: Array) -> tuple[Array, Array]:
    """Give the flat positions in two arrays of the elements that they share.

    Raises RuntimeError where memory is shared by arrays whose elements lie across one another.
    """
    if a.itemsize != b.itemsize:
        raise RuntimeError(f"arrays of {a.dtype} and {b.dtype} share memory: write into x.clone()")
    if (b.size < a.size and _nested(a)) or not _nested(b):
        if not _nested(a):
            raise RuntimeError(
                f"arrays of shapes {a.shape} and {b.shape}, both broadcast, share memory: write into x.clone()"
            )
        there, here = shared_positions(b, a)
        return here, there
    (low, _), (origin, _) = bounds(a), bounds(b)
    offsets = _offsets(a) + (low - origin)
    inside = offsets >= 0
    rest = np.where(inside, offsets, 0)
    position = np.zeros(rest.shape, np.int64)
    steps = np.cumprod([1, *b.shape[:0:-1]], dtype=np.int64)[::-1]
    for axis in sorted(range(b.ndim), key=lambda axis: -abs(b.strides[axis])):
        size, stride = b.shape[axis], b.strides[axis]
        if size == 1:
            continue
        along, rest = np.divmod(rest, abs(stride))
        inside &= along < size
        position += (along if stride > 0 else size - 1 - along) * steps[axis]
    inside &= rest == 0
    here = np.flatnonzero(inside)
    return here, position.reshape(-1)[here]


def _offsets(a: Array) -> Array:
    """Give the offset in bytes of each element of an array from the lowest."""
    total = np.zeros(a.shape, np.int64)
    for axis, (size, stride) in enumerate(zip(a.shape, a.strides, strict=True)):
        along = np.arange(size, dtype=np.int64) * abs(stride)
        total += (along if stride >= 0 else along[::-1]).reshape(-1, *(1,) * (a.ndim - 1 - axis))
    return total


def _nested(a: Array) -> bool:
    """Tell whether an address tells the element: each stride steps over all that smaller ones reach."""
    reach = a.itemsize
    for stride, size in sorted((abs(stride), size) for stride, size in zip(a.strides, a.shape, strict=True)):
        if size > 1:
            if stride < reach:
                return False
            reach = stride * (size - 1) + reach
    return True
