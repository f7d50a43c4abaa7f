"""Writes to Variables: who is concerned, and what each comes from afterwards.

What is written to becomes the result of a node like any other: of `Put` for elements, and of the operation itself for
``x.mul_(y)``. Other Variables on the same memory, views of one another, become results of `Seen`, those that another
one covers when they are used the next time.
"""

from __future__ import annotations

from collections.abc import Callable
from sys import getrefcount
from typing import Any

import numpy as np

from .. import hooks, ownership, sharing, versions
from ..arrays import Array
from ..function import Operation
from ..kernels import devices
from ..sharing import shared_positions
from ..variable import Variable, data_of
from .indexing import GetItem, Index, Scatter
from .shape import Reshape


class Put(Operation):
    """An array with values in place of the elements at an index."""

    __slots__ = ("index", "last")
    linear = True
    reads_all = False

    def __init__(self, index: Index, last: Array | None = None) -> None:
        self.index = index
        #: Where elements are met more than once: 1 for the values that came last, 0 for those written over.
        self.last = last

    def forward(self, x: Array, v: Array) -> Array:
        y = x.copy()
        y[self.index.key] = v
        return y

    def pull(self, gy: Any) -> tuple[Array | None, ...]:
        if (
            isinstance(gy, np.ndarray)
            and getrefcount(gy) <= ownership.alone_in_walk()
            and gy.base is None
            and gy.flags.writeable
            and self.needs(0)
            and self.last is None
        ):  # nobody else has the cotangent, so that it need not be copied to have zeros in it
            gv = gy[self.index.key].copy() if self.needs(1) else None
            gy[self.index.key] = 0
            return gy, gv
        return super().pull(gy)

    def vjp(self, gy: Any, y: Any, x: Any, v: Any) -> Any:
        gv = GetItem(self.index)(gy) if self.needs(1) else None
        if gv is not None and self.last is not None:
            gv = gv * as_like(gy, self.last)
        return Without(self.index)(gy) if self.needs(0) else None, gv


def as_like(gy: Any, array: Array) -> Any:
    """Give an array of 0 and 1 as what may be multiplied by a cotangent."""
    held = devices.moved(array.astype(gy.dtype), devices.name_of(data_of(gy)))
    return Variable(held, requires_grad=False) if isinstance(gy, Variable) else held


class Without(Operation):
    """An array with zeros at an index."""

    __slots__ = ("index",)
    linear = True
    reads_all = False

    def __init__(self, index: Index) -> None:
        self.index = index

    def forward(self, x: Array) -> Array:
        y = x.copy()
        y[self.index.key] = 0
        return y

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
        seen = y.copy().reshape(-1)
        seen[self.here.key] = x.reshape(-1)[self.there.key]
        return seen.reshape(y.shape)

    def vjp(self, gy: Any, y: Any, before: Any, x: Any) -> Any:
        flat = Reshape((-1,))(gy)
        back = None
        if self.needs(0):
            back = Reshape(tuple(before.shape))(Without(self.here)(flat))
        size = int(np.prod(x.shape))
        return back, Reshape(tuple(x.shape))(Scatter(self.there, (size,))(GetItem(self.here)(flat)))


# ---- writing --------------------------------------------------------------------------------------------------------


def _may_be_written(x: Variable, what: str, recorded: bool) -> list[Variable]:
    """Make sure that a Variable may be written to, and give the others on its memory."""
    array = x._array
    if array.size and any([stride == 0 and size > 1 for stride, size in zip(array.strides, array.shape, strict=True)]):
        raise RuntimeError(
            f"{what}: several elements of the array of shape {array.shape} are one place in memory: write into x.clone()"
        )
    if isinstance(array, np.ndarray) and not array.flags.writeable:
        raise ValueError(f"{what}: the array of shape {array.shape} is read-only: write into x.clone()")
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
    if sharing.alone(x, 1 if x.creator is not None and x.creator.output is array else 0):
        return []
    found = sharing.others(x)
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

    __slots__ = ("found", "past", "recorded", "traced", "unseen", "what", "x")

    def __init__(self, x: Variable, what: str, recorded: bool, unseen: bool, traced: bool) -> None:
        self.x, self.what, self.recorded, self.traced = x, what, recorded, traced
        self.found = _may_be_written(x, what, recorded)
        #: Whether no node can hold the Variable, since a single name does, and no other Variable is on its memory.
        self.unseen = unseen and not self.found
        self.past = versions.past_of(x, x._array)

    def as_it_is(self, v: Variable) -> Variable:
        """Give a Variable whose place in the graph stays what it is now: it may change with the write."""
        if v is self.x:
            return self.past
        if not any([v is y for y in self.found]):
            return v
        return versions.past_of(v, v._array if self.traced else v._array.copy())

    def put(self, index: Index, given: Any) -> None:
        """Write into memory."""
        try:
            self.x._array[index.key] = given
        except (IndexError, ValueError) as error:
            raise type(error)(f"{self.what}: x of shape {self.x.shape}: {error}") from None

    def finish(self, node: Any, write: Callable[[], None], result: Variable | None = None) -> None:
        """Write, and link the Variables to what they come from then: the node, if this is recorded.

        What is traced is not written to; it becomes the result.
        """
        if self.traced:
            assert result is not None
            self._link(node, result._array)
            return
        try:
            write()
        except (ValueError, TypeError, IndexError):
            raise
        except BaseException:  # an interrupt, when all was written perhaps
            self._link(node)
            raise
        self._link(node)

    def _link(self, node: Any, array: Any = None) -> None:
        x, what = self.x, self.what
        if not self.recorded:
            if self.unseen:
                versions.lose(x, what)
                return
            generation = versions.tick()
            for y in (x, *self.found):
                versions.overwritten(y, what, generation)
            return
        versions.lose(x, what)
        family = versions.family_of(x)
        if sharing.active and family != -1:
            versions.story_of(x).family = family
        if self.unseen:
            node.generation = max([x._generation for x in node.inputs])
        else:
            node.generation = versions.tick()
            versions.keep_past(x, versions.past_of(x, versions.lost(x, what)))
        _become(x, node)
        views = []
        for y in self.found:
            if versions.family_of(y) == family:
                views.append(y)
            else:
                versions.overwritten(y, what, node.generation)
        if views:
            self._link_views(views)

    def _link_views(self, views: list[Variable]) -> None:
        """Have views of one another see what was written: one that has all elements at once, the others when used."""
        x, what = self.x, self.what
        whole = max([x, *views], key=lambda y: y.size)
        (low, high) = sharing.bounds(whole._array)
        dense = high - low == whole.nbytes
        if whole is not x:
            self._see(whole, x)
        for y in views:
            versions.lose(y, what)
            if y is whole:
                continue
            begin, end = sharing.bounds(y._array)
            if dense and low <= begin and end <= high:
                sharing.forget(y)
                versions.story_of(y).source = whole
                y.__class__ = versions.Stale
            else:
                self._see(y, x)

    def _see(self, y: Variable, x: Variable) -> None:
        versions.lose(y, self.what)
        versions.keep_past(y, versions.past_of(y, versions.lost(y, self.what)))
        see(y, x)


def see(y: Variable, x: Variable) -> None:
    """Make a Variable come from another on its memory, in what elements they share, and from what it was in others."""
    node: Any = Seen(*shared_positions(y._array, x._array))
    node.inputs = versions.past_of(y, versions.lost(y, "a write to a view")), x
    node.generation = max(x._generation, y._generation)
    _become(y, node)


def _refresh(y: Variable) -> None:
    source = versions.story_of(y).source
    assert source is not None
    whole = source._for_nodes()
    versions.keep_past(y, versions.past_of(y, versions.lost(y, "a write to another Variable on its memory")))
    see(y, whole)
    versions.story_of(y).source = None
    sharing.note(y)


versions.refresh = _refresh


def _become(x: Variable, node: Any) -> None:
    if type(x) in (versions.Rewritten, versions.Stale):
        x.__class__ = Variable
    x.creator = node
    x._generation = node.generation + 1
    if hooks.watched and x._retains:
        hooks.watch(x)
