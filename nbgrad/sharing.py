"""Which Variables share memory, for those that are written to.

Nothing is written down until the first write to memory that somebody else may hold: then the living Variables are asked
once, by way of the garbage collector, and from there on those that may share memory say so when they are made.
"""

from __future__ import annotations

import gc
import math
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from sys import getrefcount
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .arrays import Array, is_stand_in
from .kernels import dispatch
from .kernels.strides import dense

if TYPE_CHECKING:
    from .variable import Variable

#: Whether Variables that may share memory have to be noted: there was a write to memory that others may hold.
active = False
#: How many functions are being run on what stands in for arrays: what is a view of what is written down, too.
stand_ins = 0


class Noted:
    """A Variable that may share memory, and where its elements begin and end, once somebody asked."""

    __slots__ = ("array", "bounds", "variable")

    def __init__(self, x: Variable) -> None:
        self.variable = weakref.ref(x)
        self.array: int | None = None
        self.bounds = (0, 0)

    def meets(self, x: Variable, low: int, high: int) -> bool:
        """Tell whether the Variable's elements are, in part, between two addresses."""
        if self.array != id(x._array):  # new, or another one was put in its place
            self.array, self.bounds = id(x._array), bounds_of(x._array)
        return self.bounds[0] < high and low < self.bounds[1]


#: By the identity of the array that owns the memory: a reference to it, and by their identities the Variables on it.
_groups: dict[int, tuple[weakref.ref[Any], dict[int, Noted]]] = {}


#: Weak references to Variables that share memory and are still to be noted: views that compiled calls made.
fresh: list[weakref.ref[Variable]] = []
#: As many make a compiled call hand on to what notes them.
MANY = 256

#: What writes down that one Variable is a view of another: `history` puts it here.
note_view: Callable[[Variable, Variable], None]

#: The class of Variables, which puts itself here.
kinds: list[type[Variable]] = []


def has_memory(array: Any) -> bool:
    """Tell whether something is an array, and no stand-in for one."""
    return isinstance(array, np.ndarray) or dispatch.has_address(array)


def owner_of(array: Any) -> Any:
    """Give the array that owns an array's memory, as far as arrays know."""
    own = type(array)
    while (base := array.base) is not None:
        if type(base) is not own and not isinstance(base, np.ndarray):
            # `as_strided` and memoryviews stand between an array and the one whose memory it shows
            base = getattr(base, "base", None) if not isinstance(base, memoryview) else base.obj
            if type(base) is not own and not isinstance(base, np.ndarray):
                break
        array = base
    return array


def note(x: Variable) -> None:
    """Write down that a Variable may share its memory with others."""
    array: Any = x._array
    if type(array) is not np.ndarray and not has_memory(array):
        return
    owner = array if array.base is None else owner_of(array)
    key = id(owner)
    group = _groups.get(key)
    if group is None:
        group = _groups[key] = weakref.ref(owner, lambda _: _groups.pop(key, None)), {}
    members = group[1]
    known = members.get(id(x))
    if known is not None and known.variable() is x:
        return
    members[id(x)] = Noted(x)
    if len(members) & (len(members) - 1) == 0:  # at powers of two, so that each costs little
        for gone in [number for number, member in members.items() if member.variable() is None]:
            del members[gone]


def note_fresh() -> None:
    """Write down what compiled calls left to be noted."""
    before = last = None  # what several views were made of comes with each of them
    while fresh:
        try:
            x = fresh.pop(0)()
        except IndexError:  # another thread was quicker
            return
        if x is not None and x is not last and x is not before:
            note(x)
        before, last = last, x


def forget(x: Variable) -> None:
    """Take a Variable off the list, until it is noted again."""
    note_fresh()
    group = _groups.get(id(owner_of(x._array)))
    if group is not None:
        group[1].pop(id(x), None)


def activate() -> None:
    """Write down the living Variables that share memory, and all that are made from here on."""
    global active
    active = True
    owners: dict[int, list[Any]] = {}
    with thawed():
        for x in gc.get_objects():
            if issubclass(type(x), kinds[0]) and has_memory(getattr(x, "_array", None)):
                owners.setdefault(id(owner_of(x._array)), []).append(x)
    for together in owners.values():
        if len(together) > 1 or not alone(together[0]):
            for x in together:
                note(x)


@contextmanager
def thawed() -> Iterator[None]:
    """Let the collector see what was frozen, which is in none of its lists, and freeze it again with the rest."""
    frozen = gc.get_freeze_count()
    if frozen:
        gc.unfreeze()
    try:
        yield
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


#: ``getrefcount(x._array) <= ALONE`` tells that only x holds an array.
ALONE = _lonely()


def alone(x: Variable, besides: int = 0) -> bool:
    """Tell whether surely nobody else holds memory of a Variable's array, but for `besides` others that are known."""
    return x._array.base is None and not is_stand_in(x._array) and getrefcount(x._array) <= ALONE + besides


def others(x: Variable, region: Any) -> list[Variable]:
    """Give the Variables besides this one that have elements in a region of its memory."""
    if not active:
        activate()
    note_fresh()
    group = _groups.get(id(owner_of(x._array)))
    if group is None:
        return []
    low, high = bounds_of(region)
    found = []
    for member in list(group[1].values()):
        y = member.variable()
        if y is not None and y is not x and has_memory(y._array) and member.meets(y, low, high):
            if share(y._array, region):
                found.append(y)
    return found


class Layout(NamedTuple):
    """Where the elements of an array are: the address of the first, and the steps in bytes to the next ones."""

    address: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    itemsize: int

    @property
    def bounds(self) -> tuple[int, int]:
        """The addresses where the elements begin and end."""
        low = high = self.address
        for size, stride in zip(self.shape, self.strides, strict=True):
            if size == 0:
                return self.address, self.address
            if stride < 0:
                low += (size - 1) * stride
            else:
                high += (size - 1) * stride
        return low, high + self.itemsize

    @property
    def size(self) -> int:
        """The number of elements."""
        return math.prod(self.shape)

    def is_dense(self) -> bool:
        """Tell whether the elements fill their memory."""
        low, high = self.bounds
        return high - low == self.size * self.itemsize

    def is_in_order(self) -> bool:
        """Tell whether the elements follow one another in C order."""
        steps = [step * self.itemsize for step in dense(self.shape)]
        return all([size == 1 or step == own for size, step, own in zip(self.shape, steps, self.strides, strict=True)])

    def is_nested(self) -> bool:
        """Tell whether an address tells the element: each stride steps over all that smaller ones reach."""
        reach = self.itemsize
        for stride, size in sorted((abs(stride), size) for stride, size in zip(self.strides, self.shape, strict=True)):
            if size > 1:
                if stride < reach:
                    return False
                reach = stride * (size - 1) + reach
        return True

    def offsets(self) -> Array:
        """Give the address of each element."""
        total = np.full(self.shape, self.address, np.int64)
        for axis, (size, stride) in enumerate(zip(self.shape, self.strides, strict=True)):
            along = np.arange(size, dtype=np.int64) * stride
            total += along.reshape(-1, *(1,) * (len(self.shape) - 1 - axis))
        return total


def layout_of(array: Any) -> Layout:
    """Give where an array's elements are, or would be if it stands in for one."""
    if is_stand_in(array):
        return Layout(*array.place())
    return Layout(dispatch.address(array), array.shape, array.strides, array.itemsize)


def bounds_of(array: Any) -> tuple[int, int]:
    """Give where an array's elements begin and end."""
    if type(array) is np.ndarray and array.flags.c_contiguous:
        low = dispatch.address(array)
        return low, low + array.nbytes
    return layout_of(array).bounds


def share(a: Array, b: Array) -> bool:
    """Tell whether two arrays have elements in common."""
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
        if a.flags.c_contiguous and b.flags.c_contiguous:
            (low, high), (lower, higher) = bounds_of(a), bounds_of(b)
            return max(low, lower) < min(high, higher)
        try:
            return np.shares_memory(a, b, max_work=10_000)  # type: ignore[arg-type]
        except np.exceptions.TooHardError:
            return True
    if isinstance(a, np.ndarray) or isinstance(b, np.ndarray):
        return False
    (low, high), (lower, higher) = layout_of(a).bounds, layout_of(b).bounds
    return max(low, lower) < min(high, higher)


def shared_positions(a: Layout, b: Layout) -> tuple[Array, Array]:
    """Give the flat positions in two arrays of the elements that they share.

    Raises RuntimeError where memory is shared by arrays whose elements lie across one another.
    """
    if a.itemsize != b.itemsize:
        raise RuntimeError("arrays of different dtypes share memory: write into x.clone()")
    if (b.size < a.size and a.is_nested()) or not b.is_nested():
        if not a.is_nested():
            raise RuntimeError(
                f"arrays of shapes {a.shape} and {b.shape}, both with elements that are one place in memory, share "
                "it: write into x.clone()"
            )
        there, here = shared_positions(b, a)
        return here, there
    rest = np.asarray(a.offsets() - b.bounds[0])
    inside = rest >= 0
    rest[~inside] = 0
    position = np.zeros(rest.shape, np.int64)
    steps = dense(b.shape)
    for axis in sorted(range(len(b.shape)), key=lambda axis: -abs(b.strides[axis])):
        size, stride = b.shape[axis], b.strides[axis]
        if size == 1:
            continue
        along, rest = map(np.asarray, np.divmod(rest, abs(stride)))
        inside &= along < size
        position += (along if stride > 0 else size - 1 - along) * steps[axis]
    inside &= rest == 0
    return np.flatnonzero(inside), position[inside]


def view_between(whole: Layout, part: Layout) -> tuple[tuple[Any, ...], tuple[int, ...]] | None:
    """Give the index of one array, and the order of axes after it, by which another one is a view of it.

    Axes of one element are left out of it. None if there is no such index.
    """
    if part.itemsize != whole.itemsize or not whole.is_nested():
        return None
    rest = part.address - whole.bounds[0]
    steps = {j: step for j, (size, step) in enumerate(zip(part.shape, part.strides, strict=True)) if size > 1}
    key: list[Any] = [0] * len(whole.shape)
    placed: list[tuple[int, int]] = []
    for axis in sorted(range(len(whole.shape)), key=lambda axis: -abs(whole.strides[axis])):
        size, stride = whole.shape[axis], whole.strides[axis]
        if size == 1:
            continue
        first, rest = divmod(rest, abs(stride))
        if stride < 0:
            first = size - 1 - first
        along = [j for j, step in steps.items() if step % stride == 0 and abs(step) < abs(stride) * size]
        if not along:
            key[axis] = first
            continue
        j = max(along, key=lambda j: abs(steps[j]))
        step = steps.pop(j) // stride
        end = first + step * part.shape[j]
        if not 0 <= end - step < size:
            return None
        key[axis] = slice(first, None if end < 0 else end, step)
        placed.append((axis, j))
    if steps or rest:
        return None
    kept = [j for _, j in sorted(placed)]
    return tuple(key), tuple(kept.index(j) for j in sorted(kept))
