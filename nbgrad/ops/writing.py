"""Writes to Variables: who is concerned, and what each comes from afterwards.

What is written to becomes the result of a node like any other: of `Put` for elements, and of the operation itself for
``x.mul_(y)``. Other Variables on the same memory, views of one another, become results of `Seen`, those that another
one covers when they are used the next time.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from sys import getrefcount
from typing import Any

import numpy as np

from .. import history, hooks, ownership, sharing
from ..arrays import Array, as_array, is_stand_in
from ..function import Operation
from ..history import Lost
from ..kernels import dispatch
from ..variable import Variable, data_of
from .indexing import GetItem, GetRows, Index, Scatter
from .shape import Reshape


def traced_part(index: Index) -> Any:
    """Give the part of an index that stands in for an array; None if there is none."""
    return index.stand_in if index.advanced else None


def put(x: Any, index: Index, values: Any) -> Any:
    """Give an array with values in place of the elements at an index."""
    given = dispatch.foremost((x, values, *(index.foreign if index.advanced else ())))
    if given is not None:
        return given.put_into(x, index.plain(), values)
    y = x.copy()
    y[index.key] = values
    return y


class Put(Operation):
    """An array with values in place of the elements at an index."""

    __slots__ = ("key", "last")
    linear = True
    reads_all = False

    def __init__(self, key: Any, last: Array | None = None) -> None:
        #: An `Index`, or what is none yet: slices and whole numbers.
        self.key = key
        #: Where elements are met more than once: 1 for the values that came last, 0 for those written over.
        self.last = last

    @property
    def index(self) -> Index:
        """What is written to."""
        if type(self.key) is not Index:
            self.key = Index(self.key)
        return self.key

    def forward(self, x: Array, v: Array) -> Array:
        return put(x, self.index, v)

    def pull(self, gy: Any) -> tuple[Array | None, ...]:
        if (
            isinstance(gy, np.ndarray)
            and getrefcount(gy) <= ownership.ALONE_IN_WALK
            and gy.base is None
            and gy.flags.writeable
            and self.needs(0)
            and self.last is None
        ):  # nobody else has the cotangent, so that it need not be copied to have zeros in it
            key = self.key.key if type(self.key) is Index else self.key
            gv = as_array(gy[key]).copy() if self.needs(1) else None
            gy[key] = 0
            return gy, gv
        return super().pull(gy)

    def vjp(self, gy: Any, y: Any, x: Any, v: Any) -> Any:
        gv: Any = None
        if self.needs(1):
            rows = self.index.is_rows() and self.index.checked
            gv = GetRows.apply(gy, self.index.key[0], 0) if rows else GetItem(self.index)(gy)
        if gv is not None and self.last is not None:
            gv = gv * as_like(gy, self.last)
        return Without(self.index)(gy) if self.needs(0) else None, gv


def as_like(gy: Any, array: Array) -> Any:
    """Give an array of 0 and 1 as what may be multiplied by a cotangent."""
    held = dispatch.beside(array.astype(gy.dtype), data_of(gy))
    return Variable(held, requires_grad=False) if isinstance(gy, Variable) else held


class Without(Operation):
    """An array with zeros at an index."""

    __slots__ = ("index",)
    linear = True
    reads_all = False

    def __init__(self, index: Index) -> None:
        self.index = index

    def forward(self, x: Array) -> Array:
        return put(x, self.index, 0)

    def vjp(self, gy: Any, y: Any, x: Any) -> Any:
        return Without(self.index)(gy)


class Seen(Operation):
    """What a write through one Variable does to another on the same memory: some of its elements are the other's."""

    __slots__ = ("here", "there")
    linear = True
    reads_all = False

    def __init__(self, here: Array, there: Array) -> None:
        self.here, self.there = Index.of_rows(here, unique=True), Index.of_rows(there)

    def forward(self, y: Array, x: Array) -> Array:
        return self.seen(y, x)

    def seen(self, y: Any, x: Any) -> Any:
        """Give one array with the elements of the other where they are the same."""
        if self.here.key[0].size == 0:
            return y
        flat, values = y.reshape(-1), x.reshape(-1)[self.there.key]
        if self.here.key[0].size == flat.size:  # all of them: in ascending order
            return values.reshape(y.shape)
        return put(flat, self.here, values).reshape(y.shape)

    def vjp(self, gy: Any, y: Any, before: Any, x: Any) -> Any:
        flat = Reshape((-1,))(gy)
        back = None
        if self.needs(0):
            back = Reshape(tuple(before.shape))(Without(self.here)(flat))
        size = int(np.prod(x.shape))
        return back, Reshape(tuple(x.shape))(Scatter(self.there, (size,))(GetItem(self.here)(flat)))


# ---- writing --------------------------------------------------------------------------------------------------------


def _repeats(array: Any) -> bool:
    """Tell whether elements of an array are one place in memory."""
    if not sharing.has_memory(array):
        return not dispatch.is_writeable(array)
    return any([not step and size > 1 for step, size in zip(array.strides, array.shape, strict=True)])


def has_memory_alone(x: Variable) -> bool:
    """Tell whether surely no other Variable is on a Variable's memory: asked ahead of any name for its array."""
    return sharing.alone(x, 1 if x.creator is not None and x.creator.output is x._array else 0)


def _may_be_written(x: Variable, what: str, recorded: bool, alone: bool, index: Index | None) -> list[Variable]:
    """Make sure that a Variable may be written to, and give the others that see it, of those on its memory."""
    array = x._array
    if isinstance(array, np.ndarray):
        flags = array.flags
        if not flags.writeable and not _repeats(array):
            raise ValueError(f"{what}: the array of shape {array.shape} is read-only: write into x.clone()")
        repeats = not flags.c_contiguous and _repeats(array)
    elif is_stand_in(array):
        array.refuse_if_given(what)
        if x._story is not None and x._story.copied is not None:
            raise TypeError(
                f"{what}: in a traced function, and of one of many examples, the array of shape {array.shape} is "
                "a copy of what it would be a view of: write into x.clone(), or into that by an index"
            )
        repeats = False
    else:
        repeats = _repeats(array)
    if repeats:
        raise RuntimeError(
            f"{what}: several elements of the array of shape {array.shape} are one place in memory: write into "
            "x.clone()"
        )
    if recorded and x.creator is None and x._generation >= 0:
        raise RuntimeError(
            f"{what}: a leaf that requires a gradient cannot be written to while that is recorded: do so under "
            "no_grad(), or write into x.clone()"
        )
    if recorded and array.dtype.char not in "fd":
        raise TypeError(
            f"{what}: a Variable of dtype {array.dtype} has no gradients, and that of what is written would be lost "
            "unseen: convert it with astype first, or write x.detach()"
        )
    if is_stand_in(array):
        found = history.views_of(x)
    elif alone:
        return []
    elif not sharing.has_memory(array):
        if not recorded:
            return []
        raise RuntimeError(
            f"{what}: nobody knows which arrays share memory with one of {type(array).__name__}: write into x.clone()"
        )
    else:
        region = array if index is None or index.advanced else as_array(index.of(array))
        found = sharing.others(x, region)
    if recorded:
        for y in found:
            if y.creator is None and y._generation >= 0:
                raise RuntimeError(
                    f"{what}: this is a view of a leaf that requires a gradient (of shape {y.shape}), which cannot be "
                    "written to while that is recorded: do so under no_grad(), or write into x.clone()"
                )
    return found


class Writing:
    """A write to a Variable, from what it needs to know to what it leaves behind."""

    __slots__ = ("_past", "found", "recorded", "traced", "unseen", "what", "x")

    def __init__(
        self,
        x: Variable,
        what: str,
        recorded: bool,
        alone: bool,
        unseen: bool,
        traced: bool,
        index: Index | None = None,
    ) -> None:
        self.x, self.what, self.recorded, self.traced = x, what, recorded, traced
        self._past: Variable | None = None
        self.found = _may_be_written(x, what, recorded, alone, None if traced else index)
        #: Whether no node can hold the Variable, since a single name does, and no other Variable is on its memory.
        self.unseen = unseen and not self.found and not traced
        if traced or sharing.stand_ins:
            history.note_write(x)

    def past(self) -> Variable:
        """Give the Variable as it is before it is written to."""
        if self._past is None:
            self._past = history.past_of(self.x, self.x._array)
        return self._past

    def as_it_is(self, v: Variable) -> Variable:
        """Give a Variable whose place in the graph stays what it is now: it may change with the write."""
        if v is self.x:
            return self.past()
        if not any([v is y for y in self.found]):
            return v
        return history.past_of(v, v._array if self.traced else v._array.copy())

    def lost(self, y: Variable) -> Any:
        """Give what stands for a Variable's elements once they are overwritten; what is traced never is."""
        return y._array if self.traced else Lost(y._array, self.what)

    def put(self, index: Index, given: Any) -> None:
        """Write into memory."""
        try:
            self.x._array[index.key] = given
        except (IndexError, ValueError) as error:
            raise type(error)(f"{self.what}: x of shape {self.x.shape}: {error}") from None

    def finish(self, node: Any, write: Callable[[], None], array: Any = None) -> None:
        """Write, and link the Variables to what they come from then: the node, if this is recorded.

        What is traced is not written to; it becomes an array.
        """
        if self.traced:
            self._link(node, array)
            return
        try:
            write()
        except (ValueError, TypeError, IndexError):
            raise
        except BaseException:  # an interrupt, when all was written perhaps
            self._link(node, None)
            raise
        self._link(node, None)

    def _link(self, node: Any, array: Any) -> None:
        x = self.x
        family = history.family_of(x)
        others = [y for y in self.found if not self.recorded or history.family_of(y) != family]
        views = [y for y in self.found if self.recorded and history.family_of(y) == family]
        copies = history.copies_of(x) if self.traced and is_stand_in(x._array) else []
        memory = TracedMemory(x, self.found, self.what) if self.traced else None
        generation = 0
        if self.unseen:
            history.lose(x, self.what)
        else:
            generation = history.tick()
            self._leave(x)
            # what it was in another shape was found as one more view, and may be lost with it
            others, views = ([y for y in found if not isinstance(y._array, Lost)] for found in (others, views))
        if self.recorded:
            node.generation = max([generation, *[before._generation for before in node.inputs]])
            if sharing.active and family != -1:
                history.story_of(x).family = family
            become(x, node)
        elif not self.unseen:
            history.rewritten(x, generation)
        for y in others:
            self._leave(y)
            history.rewritten(y, generation)
        if memory is not None:
            if memory.whole is not x and any([memory.whole is y for y in views]):
                self._leave(memory.whole)
                see(memory.whole, x, memory.relation)
            memory.write(array)
            for y in views:
                if y is not memory.whole:
                    self._make_stale(y, memory.whole, memory.before)
            for y in others:
                memory.follow(y)
            for y in copies:
                self._make_stale(y, None)
        elif views:
            self._link_views(views)

    def _is_within(self, y: Variable, low: int, high: int) -> bool:
        begin, end = sharing.bounds_of(y._array)
        return low <= begin and end <= high

    def _make_stale(self, y: Variable, whole: Variable | None, before: Any = None) -> None:
        if not self.traced:
            history.lose(y, self.what)
            sharing.forget(y)
        story = history.story_of(y)
        story.source, story.before = whole, before
        y.__class__ = history.Stale

    def _leave(self, y: Variable) -> None:
        """Keep what a Variable was for the nodes that have it."""
        if not self.traced:
            history.lose(y, self.what)
        history.keep_past(y, self.lost(y))

    def _link_views(self, views: list[Variable]) -> None:
        """Have views of one another see what was written: one that has all elements at once, the others when used."""
        x = self.x
        whole = max([x, *views], key=lambda y: y._array.size)
        low, high = sharing.bounds_of(whole._array)
        dense = high - low == whole._array.nbytes
        if whole is not x:
            self._leave(whole)
            see(whole, x)
        for y in views:
            if y is whole:
                continue
            if dense and (whole._array.base is None or self._is_within(y, low, high)):
                self._make_stale(y, whole)
            else:
                self._leave(y)
                see(y, x)


class TracedMemory:
    """What would be one memory if it were not traced: a Variable that has all of it, and views of that one.

    There a write gives all of it anew, and whatever is a view is one of what that became.
    """

    def __init__(self, x: Variable, found: list[Variable], what: str) -> None:
        self.x, self.what = x, what
        # the one that the others were made of comes first, among those that have all elements
        self.whole = max(history.in_order([x, *found]), key=lambda y: y._array.size)
        layout = sharing.layout_of(self.whole._array)
        low, high = layout.bounds
        self.relation: Any = None
        for y in (x, *found):
            begin, end = sharing.bounds_of(y._array)
            if y is not self.whole and not (layout.is_dense() and low <= begin and end <= high):
                raise TypeError(
                    f"jit: {what}: views of an array that is gone have some elements in common: keep the array "
                    "while it is written to, or write into x.clone()"
                )
        self.before = self.whole._array
        self.after: Any = None
        if self.whole is not x:
            self.relation = Seen(*sharing.shared_positions(layout, sharing.layout_of(x._array)))
        members = history.in_order([x, *found])
        memory = [weakref.ref(y) for y in members]
        for y in members:
            history.story_of(y).memory = memory

    def write(self, array: Any) -> None:
        """Write: `array` is what the Variable written to becomes."""
        if self.whole is self.x:
            self.after = array
        else:
            self.after = self.relation.seen(self.before, array)
        self.whole._array = self.after
        if self.whole is not self.x:
            self.follow(self.x)

    def follow(self, y: Variable) -> None:
        """Make a view one of what was written."""
        if y is not self.whole:
            y._array = view_of_whole(y._array, self.before, self.after, self.what)


def view_of_whole(y: Any, before: Any, after: Any, what: str) -> Any:
    """Give the view of an array that another array is of what that was before."""
    if is_stand_in(y) and is_stand_in(before):
        again = y.view_again(before, after)
        if again is not None:
            return again
    whole, part = sharing.layout_of(before), sharing.layout_of(y)
    if whole.is_in_order() and part.is_in_order():
        first = (part.address - whole.address) // whole.itemsize
        return after.reshape(-1)[first : first + part.size].reshape(part.shape)
    found = sharing.view_between(whole, part)
    if found is None:
        raise TypeError(
            f"jit: {what}: an array of shape {y.shape} is no slice of what it is a view of, an array of shape "
            f"{before.shape}: write into x.clone()"
        )
    key, order = found
    return after[key].transpose(order).reshape(part.shape)


def see(y: Variable, x: Variable, node: Any = None) -> None:
    """Make a Variable come from another on its memory, in what elements they share, and from what it was in others."""
    if node is None:
        node = Seen(*sharing.shared_positions(sharing.layout_of(y._array), sharing.layout_of(x._array)))
    traced = is_stand_in(y._array) or is_stand_in(x._array)
    # both as they are now: what is written to later, or comes from this one, is none of its business
    node.inputs = tuple(
        [history.past_of(z, z._array if traced else Lost(z._array, "a write to a view of it")) for z in (y, x)]
    )
    node.generation = max(x._generation, y._generation)
    become(y, node)


def _refresh(y: Variable) -> None:
    story = history.story_of(y)
    if story.source is None:
        raise TypeError(
            f"in a traced function, and of one of many examples, the array of shape {y._array.shape} is a copy of what "
            "was written to since, where it would be a view (a diagonal, unfold): take it again behind the write"
        )
    whole = story.source._for_nodes()
    traced = is_stand_in(whole._array)
    what = "a write to another Variable on its memory"
    history.keep_past(y, y._array if traced else Lost(y._array, what))
    if traced:
        before = story.before
        node = Seen(*sharing.shared_positions(sharing.layout_of(y._array), sharing.layout_of(before)))
        y._array = view_of_whole(y._array, before, whole._array, what)
        see(y, whole, node)
        history.note_view(y, whole)
    else:
        see(y, whole)
        sharing.note(y)
    story.source = story.before = None


history.refresh = _refresh


def become(x: Variable, node: Any) -> None:
    """Make a Variable the result of a node."""
    if type(x) in (history.Rewritten, history.Stale):
        x.__class__ = Variable
    before = x.creator
    x.creator = node
    x._generation = node.generation + 1
    if x._story is not None:
        history.cut_off(x, node)
    if hooks.watched:
        hooks.leave_behind(x, before)
