"""What a trace leaves: nodes, each an operation on earlier nodes. Equal nodes are one node."""

from __future__ import annotations

import copy
import functools
import itertools
import math
import sys
import weakref
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..arrays import is_array, of_numpys_own
from ..kernels import placement
from ..kernels.formula import Expression, ScalarFunction
from ..sharing import owner_of

if TYPE_CHECKING:
    from ..kernels.target import Target

Shape = tuple[int, ...]


class Input(NamedTuple):
    """An argument of the traced function."""

    position: int


class Constant(NamedTuple):
    """An array from outside of the traced function, which is read where it is whenever the program runs."""

    identity: Any


class Literal(NamedTuple):
    """A number that goes into the kernels' text."""

    text: str


class Map(NamedTuple):
    """A formula of broadcast inputs, computed in the dtype `number`; without a formula, a conversion."""

    expression: Expression | None
    number: str


class Fold(NamedTuple):
    """The elements along axes combined; the axes stay, with size 1.

    Where rows are counted, they are combined into so many, by positions along the axes, which are the second
    input; the rows are in the place of the axes, which are the first.
    """

    combine: ScalarFunction
    axes: tuple[int, ...]
    rows: int = 0


class Draw(NamedTuple):
    """Random numbers of a stream, from the element `first` on, whose state the input is; only formulas read them."""

    kind: str
    first: int


class View(NamedTuple):
    """Another view of the same memory: "reshape", "transpose", "broadcast" or "index", and its argument."""

    kind: str
    argument: Any


class Join(NamedTuple):
    """Values one after the other along an axis: memory into which loops write each in its place."""

    axis: int


class Pad(NamedTuple):
    """A value with zeros around it, which begins at some place along each axis: what a loop reads as if it were there.

    Only a conversion to the same dtype takes one.
    """

    starts: tuple[int, ...]


class Rows(NamedTuple):
    """Rows of a table that positions pick, which a loop reads where they lie.

    The positions, known to be rows, have ones for the axes of a row. Only formulas of them and these positions take it.
    """


class Call(NamedTuple):
    """A function of arrays, called as it is; `into` tells whether it takes ``out=``."""

    function: Callable[..., Any]
    identity: Any
    label: str
    into: bool


#: A function that begins to look at an array, and gives one that waits, and raises what there is to raise.
Look = Callable[[Any], Callable[[], object]]

Operation = Input | Constant | Literal | Draw | Map | Fold | View | Join | Pad | Rows | Call


class Access(NamedTuple):
    """Where a value's elements are: a node with memory, the first element's place, and steps, in elements."""

    root: Node
    offset: int
    strides: tuple[int, ...]


class Node:
    """An operation on earlier nodes, and the shape and dtype of its result."""

    __slots__ = ("array", "dtype", "inputs", "number", "operation", "place", "shape", "size")

    def __init__(
        self, operation: Operation, inputs: tuple[Node, ...], shape: Shape, dtype: np.dtype[Any], number: int
    ) -> None:
        self.operation, self.inputs, self.shape, self.dtype, self.number = operation, inputs, shape, dtype, number
        self.size = math.prod(shape)
        self.array: Any = None
        self.place: Access | None = None  # what `layout.access` found

    def __repr__(self) -> str:
        return f"<{type(self.operation).__name__.lower()} {self.number} {self.dtype}{list(self.shape)}>"


#: Numbers that stay in the text of kernels; all others are arguments, since they may be sizes in disguise (1 / n),
#: and another size is to need no other kernel.
_PLAIN = {float(n) / 2 for n in range(-20, 21)}


def is_plain(value: Any) -> bool:
    """Tell whether a number stays in the text of kernels."""
    return isinstance(value, bool) or float(value) in _PLAIN


def is_frozen(array: Any) -> bool:
    """Tell whether nobody can change an array, also not what it is a view of."""
    while isinstance(array, np.ndarray):
        if array.flags.writeable:
            return False
        array = array.base
    return array is None or isinstance(array, bytes)


def _is_ordinary(array: Any) -> bool:
    """Tell whether loops can read an array as it lies."""
    whole = all(step % array.itemsize == 0 for step in array.strides)
    return bool(whole and array.dtype.isnative and array.flags.aligned)


def _made_ordinary(array: Any) -> Any:
    return array.astype(array.dtype.newbyteorder("="), order="C")


def _readonly(value: Any) -> Any:
    array = np.array(value)
    array.flags.writeable = False
    return array


class Program:
    """Nodes in the order in which they came about, for a target."""

    def __init__(self, target: Target = placement.CPU) -> None:
        self.target = target
        self.nodes: list[Node] = []
        #: What is wanted of it, once that is known.
        self.outputs: list[Node] = []
        self._numbers = itertools.count()
        #: Whether the function has been traced, so that whoever still computes has a traced array that got away.
        self.closed = False
        self.inputs: list[Node] = []
        #: The arguments that may be written to, for whoever they stand for takes what they become.
        self.lifted: set[Node] = set()
        #: The generators that are drawn from: the argument that is their state, and how far they are moved on.
        self.streams: dict[Any, tuple[Node, int]] = {}
        #: How the elements of inputs, and of views of them, are looked at in every run.
        self.checks: dict[tuple[Any, Node], Look] = {}
        self._known: dict[Any, Node] = {}
        self._numbers_met: dict[int, tuple[Any, Node]] = {}  # by their ids; kept alive, so that these stay theirs
        #: References to arrays from outside: NumPy resizes no array in place that has any, and loops read its memory.
        self._read: list[weakref.ref[Any]] = []
        #: The ids of arrays from outside, and of what they are views of.
        self.outside: set[int] = set()
        self._met: dict[Node, bytes] = {}  # what arrays that can be written to held when they were first used
        self._changed: list[Any] = []  # the memory of such as were written to after that

    def add(self, operation: Operation, inputs: Sequence[Node], shape: Shape, dtype: Any) -> Node:
        """Give the node for an operation, the one that is there already if it is."""
        if self.closed:
            raise TypeError("jit: a traced array has left its function: return what is wanted of it instead")
        dtype = np.dtype(dtype)
        identity = operation.identity if isinstance(operation, Call) else operation
        if isinstance(operation, View):
            identity = (operation.kind, repr(operation.argument))
        key = (type(operation), identity, tuple([node.number for node in inputs]), shape, dtype.char)
        node = self._known.get(key)
        if node is None:
            node = Node(operation, tuple(inputs), shape, dtype, next(self._numbers))
            self.nodes.append(node)
            self._known[key] = node
        return node

    def wanting(self, outputs: Sequence[Node]) -> Program:
        """Give the program of which these outputs are wanted; nodes stay the same, and equal ones one."""
        program = copy.copy(self)
        program.inputs, program.checks, program.outputs = list(self.inputs), dict(self.checks), list(outputs)
        program.streams = dict(self.streams)
        return program

    def input(self, shape: Shape, dtype: Any) -> Node:
        """Add an argument."""
        node = self.add(Input(len(self.inputs)), (), shape, dtype)
        self.inputs.append(node)
        return node

    def number_of(self, node: Node) -> Any:
        """Give the value of a node that is a number and will stay the same, None for any other."""
        if isinstance(node.operation, Literal):
            return literal_value(node)
        if not isinstance(node.operation, Constant) or node.shape or not isinstance(node.array, np.ndarray):
            return None
        return node.array[()] if is_frozen(node.array) else None

    def met(self, array: Any) -> Node:
        """Add an array from outside that may come again and again, as the numbers do that operations keep as arrays."""
        known = self._numbers_met.get(id(array))
        if known is not None:
            return known[1]
        node = self.constant(array)
        if isinstance(array, np.ndarray) and not array.ndim and is_frozen(array):
            self._numbers_met[id(array)] = array, node
        return node

    def constant(self, array: Any) -> Node:
        """Add an array from outside, or a number if it is one that stays in the text."""
        self.reads(array)
        if is_array(array) and not isinstance(array, np.ndarray):
            node = self.add(Constant(id(array)), (), array.shape, array.dtype)
            node.array = array
            return node
        array = np.asarray(of_numpys_own(array))
        if array.dtype.kind not in "fiub":
            raise TypeError(f"jit: an array of dtype {array.dtype} takes part in a traced function: convert it first")
        if self.target is not placement.CPU and not array.flags.c_contiguous:
            array = np.ascontiguousarray(array)  # it is copied to the GPU
        frozen = is_frozen(array)
        if not frozen and not _is_ordinary(array):
            kept = functools.partial(_made_ordinary, array)
            return self.add(Call(kept, id(array), "conversion", False), (), array.shape, array.dtype.newbyteorder("="))
        if not _is_ordinary(array):
            array = _made_ordinary(array)
        if frozen and array.ndim and array.size and not any(array.strides):  # one element, repeated
            one = self.constant(_readonly(array[(0,) * array.ndim]))
            return self.add(View("broadcast", array.shape), (one,), array.shape, array.dtype)
        if frozen and array.ndim == 0:  # a Python number's: equal ones may be different arrays
            value = array.item()
            if array.dtype.kind == "b" or (is_plain(value) and not (value == 0 and np.signbit(value))):
                return self.add(Literal(repr(value)), (), (), array.dtype)
            node = self.add(Constant((repr(value), array.dtype.char)), (), (), array.dtype)
            node.array = array if node.array is None else node.array
            return node
        node = self.add(Constant(id(array)), (), array.shape, array.dtype)
        if node.array is None and not frozen:
            self._met[node] = array.tobytes()
        node.array = array  # kept alive, so that its id stays its own
        self._read.append(weakref.ref(array))
        return node

    def reads(self, array: Any) -> None:
        """Take note of an array from outside, should a Variable have it, and later another one."""
        while is_array(array):
            self.outside.add(id(array))
            array = array.base

    def change(self, array: Any) -> None:
        """Keep, for what was computed of it, what an array holds that is about to be written to in the function."""
        shared = [node for node in self._met if np.may_share_memory(node.array, array)]
        if shared:
            owner = owner_of(array)
            if not any([owner is known for known in self._changed]):
                self._changed.append(owner)
            self._keep(shared)

    def _keep(self, nodes: Sequence[Node]) -> None:
        """Give constants arrays of their own, which nobody writes to; the arrays that they had make others."""
        for node in nodes:
            del self._met[node]
            del self._known[Constant, node.operation, (), node.shape, node.dtype.char]
            node.array = _readonly(node.array)
            node.operation = Constant(id(node.array))

    def refuse_changed_constants(self) -> None:
        """Raise for an array from outside that the traced function changed after it had used it.

        Those that nobody else holds by now were its own: there each run has what they held when they were used.
        """
        changed = [node for node, before in self._met.items() if node.array.tobytes() != before]
        owners, self._changed = [np.empty(0), *self._changed], []
        rest = [node for node in self._met if node not in changed]
        self._keep([node for node in rest if any([np.may_share_memory(node.array, owner) for owner in owners])])
        counts = [sys.getrefcount(owner) for owner in owners]
        held = [owner for owner, count in zip(owners, counts, strict=True) if count > counts[0]]
        array = next(iter([*changed, *held]), None)
        if array is not None:
            raise TypeError(
                f"jit: an array of shape {array.shape} was changed in place after the traced function had used it, "
                "and every run would read what it became: change a copy, or make a new array"
            )
        self._met.clear()


def literal_value(node: Node) -> Any:
    """Give the number that a literal stands for."""
    assert isinstance(node.operation, Literal)
    return node.operation.text == "True" if node.dtype.kind == "b" else float(node.operation.text)


@functools.cache
def dtype_name(dtype: np.dtype[Any]) -> str:
    """Give a dtype's name, which NumPy makes anew whenever it is asked."""
    return dtype.name


def is_view(node: Node) -> bool:
    return isinstance(node.operation, View)


def root_of(node: Node) -> Node:
    """Give what a value is a view of."""
    while isinstance(node.operation, View):
        node = node.inputs[0]
    return node


def memory_of(node: Node) -> Node:
    """Give what has the memory that a value is read from, with zeros around it or not, or the table of its rows."""
    while isinstance(node.operation, (View, Pad, Rows)):
        node = node.inputs[0]
    return node


def reshaped(node: Node) -> Node:
    """Give what a value is only a reshaping of."""
    while isinstance(node.operation, View) and node.operation.kind == "reshape":
        node = node.inputs[0]
    return node


def stretched(node: Node) -> Node:
    """Give what a broadcast repeats: a formula's inputs are repeated as needed anyway."""
    while isinstance(node.operation, View) and node.operation.kind == "broadcast":
        node = node.inputs[0]
    return node


def apply_view(view: View, x: Any) -> Any:
    """Make the view of an array."""
    if view.kind == "reshape":
        return x.reshape(view.argument)
    if view.kind == "transpose":
        return x.transpose(view.argument)
    if view.kind == "broadcast":
        return np.broadcast_to(x, view.argument)
    return x[view.argument]


def apply_views(views: Sequence[View], x: Any) -> Any:
    """Make a view of a view of an array, and so on."""
    for view in views:
        x = apply_view(view, x)
    return x
