"""What Variables were before they were written to: the graph that was recorded with them goes on from there.

A node holds its inputs as the Variables they are. What is written to stays the same object, with another creator, and
so a node that came before must be told from one that came after: by their generations. Each write gives a Variable a
generation above all that there are, so a node whose own generation is below its input's came before the write, and
takes the input for what it was then. What was overwritten is gone: a `Lost` stands where the elements were, and raises
an error if a rule reads them. Constants have no generation; one that was written to becomes a `Rewritten`, which nodes
hold by snapshots, so that whatever holds the object itself came before.
"""

from __future__ import annotations

import math
import weakref
from collections.abc import Callable, Iterable
from contextvars import ContextVar
from typing import Any

import numpy as np

from . import sharing
from .arrays import Array, is_stand_in
from .kernels import dispatch
from .variable import Variable

#: How far the generations before and after a write are apart: more than any graph is deep.
CLOCK = 1 << 32

#: How many writes there were that something recorded may have come before; the walk looks for them only if any.
writes = 0

new = object.__new__


class Lost:
    """Stands where elements were that have been overwritten: it has their shape and dtype, and gives none of them."""

    __slots__ = ("dtype", "like", "shape", "views", "what")
    __nbgrad_array__ = True
    weak = None

    def __init__(self, array: Any, what: str, views: bool = False) -> None:
        self.shape, self.dtype, self.what = array.shape, array.dtype, what
        #: Whether there may be views of them, that nobody looked for when they were overwritten.
        self.views = views
        #: An array where they were, if arrays are anywhere but in the CPU's memory.
        self.like = dispatch.sample(array)

    ndim = property(lambda self: len(self.shape))
    size = property(lambda self: math.prod(self.shape))
    itemsize = property(lambda self: self.dtype.itemsize)
    nbytes = property(lambda self: math.prod(self.shape) * self.dtype.itemsize)

    def refuse(self) -> RuntimeError:
        """Give the exception for a rule that reads the elements."""
        remedy = "write into x.clone(), or make a new Variable (nbgrad.where, x = x + y) in place of writing"
        if self.views:
            remedy = "go back before it, or compute again after it"
        return RuntimeError(
            f"a gradient needs elements of shape {self.shape} and dtype {self.dtype} that were overwritten by "
            f"{self.what}: {remedy}"
        )

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise self.refuse()

    def __array__(self, *_: Any, **__: Any) -> Any:
        raise self.refuse()

    __array_ufunc__ = __array_function__ = __array__

    def __getitem__(self, key: Any) -> Any:
        raise self.refuse()

    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = __rtruediv__ = __getitem__
    __matmul__ = __rmatmul__ = __pow__ = __rpow__ = __lt__ = __le__ = __gt__ = __ge__ = __getitem__

    def __neg__(self) -> Any:
        raise self.refuse()

    __len__ = __iter__ = __bool__ = __float__ = __int__ = __abs__ = __neg__


class Past(Variable):
    """A leaf as it was before it was written to under no_grad; its gradient is that of the Variable it is of."""

    __slots__ = ("of",)

    of: Variable


class Story:
    """What has become of a Variable that was written to, or shares memory with one that was."""

    __slots__ = ("before", "copied", "cut", "family", "first", "memory", "past", "source")

    def __init__(self) -> None:
        #: What it was before; that has a story of its own, with what was before.
        self.past: Variable | None = None
        #: The generation that it had before all writes: no node of a lower one can have it.
        self.first = -1
        #: The identities of nodes that have let go of it.
        self.cut: set[int] = set()
        #: Views of one another, and what was cut off by `detach`, are told apart by this.
        self.family = -1
        #: What a `Stale` one comes from.
        self.source: Variable | None = None
        #: While traced, the array of that which it was a view of.
        self.before: Any = None
        #: While traced, the array that it is a copy of, where it would be a view.
        self.copied: Any = None
        #: While traced, the Variables that are views of one another.
        self.memory: list[weakref.ref[Variable]] | None = None

    def change_requires_grad(self, x: Variable, wanted: bool) -> None:
        """Have a leaf that was written to require a gradient, or none: nodes still tell what came before."""
        if wanted and x._generation < 0:
            x.__class__ = Variable
            x._generation = writes * CLOCK
        elif not wanted and x._generation >= 0:
            x._generation = -1
            x.__class__ = Rewritten


class Rewritten(Variable):
    """A constant that was written to while it may have been part of a graph."""

    __slots__ = ()

    def _for_nodes(self) -> Variable:
        return snapshot(self)


class Stale(Variable):
    """A Variable on memory that was written to through another, which it comes from when it is used the next time."""

    __slots__ = ()

    def _current(self) -> Variable:
        refresh(self)
        return self

    _for_nodes = _current

    @property
    def data(self) -> Any:
        """The array."""
        return self._current()._array

    @data.setter
    def data(self, given: Any) -> None:
        self._current().data = given

    def backward(self, *arguments: Any, **options: Any) -> None:
        refresh(self)
        self.backward(*arguments, **options)

    def register_hook(self, hook: Any) -> Any:
        refresh(self)
        return self.register_hook(hook)

    def retain_grad(self) -> None:
        refresh(self)
        self.retain_grad()

    @property
    def requires_grad(self) -> bool:
        """Whether gradients are recorded."""
        return self._current().requires_grad

    @requires_grad.setter
    def requires_grad(self, wanted: bool) -> None:
        self._current().requires_grad = wanted

    @property
    def grad_fn(self) -> Any:
        """PyTorch's name for `creator`."""
        return self._current().creator


#: How a stale Variable is computed from its source: set by the operations that write.
refresh: Any = None


def story_of(x: Variable) -> Story:
    """Give a Variable's story, which begins here if it had none."""
    story = x._story
    if story is None:
        story = x._story = Story()
    return story


def family_of(x: Variable) -> int:
    """Give what is the same for views of one another."""
    if x._generation < 0:
        return x._generation
    story = x._story
    return -1 if story is None else story.family


#: The snapshots of Variables since they were last written to, by the Variables' identities.
snapshots: dict[int, tuple[weakref.ref[Variable], list[weakref.ref[Variable]]]] = {}


def snapshot(x: Variable) -> Variable:
    """Give a rewritten constant as nodes hold it."""
    y = new(Variable)
    y._array, y.creator, y._generation = x._array, None, x._generation  # which tells its family
    key = id(x)
    if key not in snapshots:
        snapshots[key] = weakref.ref(x, lambda _: snapshots.pop(key, None)), []
    snapshots[key][1].append(weakref.ref(y))
    if sharing.active:
        sharing.note(x)  # what is made of y may be a view of it
    return y


def tick() -> int:
    """Give a generation above all that there are."""
    global writes
    writes += 1
    return writes * CLOCK


def past_of(x: Variable, elements: Any) -> Variable:
    """Give a Variable's place in the graph as it is now, with these for its elements."""
    past = new(Variable)
    past._array, past.creator, past._generation = elements, x.creator, x._generation
    if x.creator is not None and x.creator.multiple:
        past._index = x._index
    return past


def keep_past(x: Variable, elements: Any) -> None:
    """Put what a Variable was where nodes that came before find it, with these for its elements."""
    story = story_of(x)
    before = story.past
    if before is None:
        story.first = x._generation
    elif before.creator is x.creator and (before._generation < 0) is (x._generation < 0):
        if before._array.shape == elements.shape:
            before._array = elements  # the same place in the graph, and as lost
        elif isinstance(elements, Lost) and not isinstance(before._array, Lost):  # it has got another shape since
            lost: Any = Lost(before._array, elements.what)
            before._array = lost
        return
    past = past_of(x, elements)
    if before is not None:
        story_of(past).past = before
    story.past = past


def leave(x: Variable) -> int:
    """Keep what a Variable was, on the same memory, for the nodes that have it; gives the generation that it gets.

    For what changes no elements. What it was is one more view from here on, which whoever writes to the memory finds.
    """
    generation = tick()
    keep_past(x, x._array)
    past = story_of(x).past
    assert past is not None
    family = family_of(x)
    if family != -1 and past._generation >= 0:
        story_of(past).family = family
    if sharing.active and not is_stand_in(past._array):
        sharing.note(past)
    return generation


def note_anew(x: Variable) -> None:
    """Take note of a Variable that has got another view of its memory."""
    if sharing.active and not is_stand_in(x._array):
        sharing.forget(x)
        sharing.note(x)


def rewritten(x: Variable, generation: int) -> None:
    """Take note that a Variable was written to, and that it is not recorded, at a generation."""
    if x._generation >= 0:
        x._generation = generation + (x._generation & (CLOCK - 1))
    elif type(x) is Variable:
        x.__class__ = Rewritten


def overwritten(xs: Iterable[Variable], what: str) -> None:
    """Take note that an optimiser's step wrote to leaves, so that nodes that came before tell if they need them.

    Views are not looked for, which would take longer than a step of an optimiser: those that come before are refused.
    """
    generation = tick()
    for x in xs:
        story = x._story
        if story is None or story.past is None or not isinstance(story.past._array, Lost) or x._generation < 0:
            keep_past(x, Lost(x._array, f"{what}.step()", views=True))
            rewritten(x, generation)
        else:
            x._generation = generation


def lose(x: Variable, what: str) -> None:
    """Take from nodes what they hold of a Variable's memory besides the Variable itself."""
    if x.creator is not None:
        _lose_outputs(x, what)
    if snapshots:
        taken = snapshots.pop(id(x), None)
        if taken is not None:
            for reference in taken[1]:
                y = reference()
                if y is not None:
                    y._array = Lost(y._array, what)  # type: ignore[assignment]


def _lose_outputs(x: Variable, what: str) -> None:
    """Take from nodes the outputs that they keep in memory which was overwritten."""
    stack = [x.creator]
    while stack:
        node = stack.pop()
        if node is None:
            continue
        output = node.output
        if output is not None:
            if isinstance(output, list):  # of a user's Function
                node.output = [Lost(y, what) if _touches(y, x._array) else y for y in output]
            elif _touches(output, x._array):
                node.output = Lost(output, what)
        if node.aliases:
            stack.extend([before.creator for before in node.inputs or ()])


def _touches(output: Any, array: Array) -> bool:
    return output is array or (sharing.has_memory(output) and sharing.share(output, array))


def as_recorded(function: Any) -> tuple[Variable, ...]:
    """Give a node's inputs as they were when it was recorded, from here on by itself as well."""
    inputs, generation = function.inputs, function.generation
    if inputs is None:
        return ()
    for x in inputs:
        if x._generation > generation or type(x) is not Variable:
            function.inputs = inputs = tuple([_at(x, generation) for x in inputs])
            if function.aliases:
                for before in inputs:
                    lost: Any = before._array
                    if type(lost) is Lost and lost.views:
                        raise lost.refuse()
            break
    return inputs


def cut_off(x: Variable, node: Any) -> None:
    """Have nodes behind the one that a Variable now is the result of let go of it: it would keep itself alive."""
    story = x._story
    if story is None or story.past is None:
        return
    stack = [before.creator for before in node.inputs]
    while stack:
        function = stack.pop()
        if function is not None and function.generation >= story.first and id(function) not in story.cut:
            story.cut.add(id(function))
            stack.extend([before.creator for before in as_recorded(function)])


def _at(x: Variable, generation: int) -> Variable:
    """Give what a Variable was for nodes of a generation."""
    if x._generation <= generation:
        if type(x) is Stale:
            traced = is_stand_in(x._array)
            return past_of(x, x._array if traced else Lost(x._array, "a write to another Variable on the same memory"))
        if type(x) is not Rewritten:
            return x
    past = x._story.past  # type: ignore[union-attr]
    assert past is not None
    # of constants only the first one is held as the Variable itself, all others by snapshots
    while past._story is not None and past._story.past is not None and not 0 <= past._generation <= generation:
        past = past._story.past
    if type(past) is Stale or type(past) is Rewritten:  # its memory was written to since
        return _at(past, generation)
    if past.creator is not None or past._generation < 0:
        return past
    leaf = new(Past)
    leaf._array, leaf.creator, leaf._generation, leaf.of = past._array, None, past._generation, x
    return leaf


def leaves_now(leaves: dict[Variable, Any], add: Any) -> dict[Variable, Any]:
    """Give gradients of leaves by the Variables that these are now."""
    if not any([type(x) is Past for x in leaves]):
        return leaves
    found: dict[Variable, Any] = {}
    for x, gx in leaves.items():
        if type(x) is Past:
            x = x.of
        found[x] = add(found[x], gx) if x in found else gx
    return found


def note_view(y: Variable, x: Variable) -> None:
    """Write down that one Variable is a view of another."""
    if is_stand_in(y._array):
        memory = story_of(x).memory
        if memory is None:
            memory = story_of(x).memory = [weakref.ref(x)]
        story_of(y).memory = memory
        memory.append(weakref.ref(y))
        if x._story is not None and x._story.copied is not None and y is not x:
            story_of(y).copied = x._story.copied
    else:
        sharing.note_fresh()
        sharing.note(x)
        sharing.note(y)
    story = x._story
    if story is not None and story.family != -1 and y is not x:
        story_of(y).family = story.family


def note_later(y: Variable, x: Variable) -> None:
    """Have it written down that one Variable is a view of another, when somebody asks: most are gone by then."""
    story = x._story
    if sharing.stand_ins or len(sharing.fresh) >= sharing.MANY or (story is not None and story.family != -1):
        note_view(y, x)
    else:
        sharing.fresh.extend((weakref.ref(x), weakref.ref(y)))


def views_of(x: Variable) -> list[Variable]:
    """Give the other Variables on the memory that a traced one would have."""
    story = x._story
    if story is None or story.memory is None:
        return []
    array: Any = x._array
    living = [reference() for reference in story.memory]
    return [
        y
        for y in living
        if y is not None and y is not x and type(y) is not Stale and is_stand_in(y._array) and array.is_beside(y._array)
    ]


def note_copy(y: Any, x: Any) -> None:
    """Write down that a Variable is a copy of a traced one, if it is, where it would be a view of an array."""
    if isinstance(x, Variable) and is_stand_in(x._array) and not x._array.is_beside(y._array):
        note_view(y, x)
        story_of(y).copied = x._array


def copies_of(x: Variable) -> list[Variable]:
    """Give the Variables that are copies of a traced one, or of its views, where they would be views of an array."""
    story = x._story
    array: Any = x._array
    living = [] if story is None or story.memory is None else [reference() for reference in story.memory]
    found = []
    for y in living:
        copied = None if y is None or y._story is None or type(y) is Stale else y._story.copied
        if y is not None and copied is not None and array.is_beside(copied):
            found.append(y)
    return found


def in_order(members: list[Variable]) -> list[Variable]:
    """Give Variables on one memory in the order in which they became views of one another."""
    story = members[0]._story
    if story is None or story.memory is None:
        return sorted(members, key=lambda y: y._array.base is not None)
    order = [reference() for reference in story.memory]
    return [y for y in order if y is not None and any([y is x for x in members])]


Written = tuple[weakref.ref[Variable], Any]


class WritesOfTrace(list[Written]):
    """The Variables that were written to while a function is traced, with what they had before."""

    def __init__(self, change: Callable[[Any], None]) -> None:
        super().__init__()
        #: Called with an array that is about to be written to.
        self.change = change


writes_of_trace: ContextVar[WritesOfTrace | None] = ContextVar("writes_of_trace", default=None)


def note_write(x: Variable) -> None:
    """Remember a Variable that is about to be written to in a traced function, which must have been made there."""
    noted = writes_of_trace.get()
    if noted is not None and isinstance(x._array, np.ndarray):
        noted.change(x._array)
    if noted is not None and not any([reference() is x for reference, _ in noted]):
        array = x._array
        noted.append((weakref.ref(x), (array, None if is_stand_in(array) else array.copy(), x.creator, x._generation)))


sharing.note_view = note_view
