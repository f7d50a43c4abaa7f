"""Which array each value of a program is in, by the name that it has in the function that runs the program.

Values between the steps share memory where they do not live together. Results get new arrays, or are written over
arguments that their caller donated, any of them, or over the one that they are the next value of, and no other.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ..kernels import dispatch, placement
from ..kernels.target import Compiler
from .grouping import Group, Grouping
from .program import (
    Call,
    Constant,
    Fold,
    Input,
    Join,
    Literal,
    Node,
    Program,
    View,
    apply_views,
    dtype_name,
    literal_value,
    memory_of,
    reshaped,
    root_of,
)

#: Large arrays all begin at the same place in a page, and a cache has few places for what lies whole pages apart.
_PAGE = 4096


class Memory:
    """The arrays of a program's values, found step by step: `before` and `after` go along with them."""

    def __init__(
        self,
        program: Program,
        grouping: Grouping,
        compiler: Compiler,
        donated: Sequence[int],
        homes: Mapping[int, int],
    ) -> None:
        self.program, self.grouping, self._donated = program, grouping, set(donated)
        #: The arguments that a value is the next one of, where it is no other result as well.
        self._homes: dict[Node, list[int]] = {}
        others = {root_of(node) for k, node in enumerate(program.outputs) if k not in homes.values()}
        for position, k in homes.items():
            root = root_of(program.outputs[k])
            if root not in others:
                self._homes.setdefault(root, []).append(position)
        #: What the names stand for, where it stays the same in every run.
        self.namespace: dict[str, Any] = {}
        self.place: dict[Node, str] = {}
        for node in program.inputs:
            assert isinstance(node.operation, Input)
            self.place[node] = f"x{node.operation.position}"
        # what is looked at in every run may be of no other use: labels of one class
        looked_at = [root_of(node) for _, node in program.checks]
        for node in dict.fromkeys([*grouping.used, *looked_at]):
            if isinstance(node.operation, (Constant, Literal)):
                name = self.place[node] = f"constant{node.number}"
                value = (
                    node.array if isinstance(node.operation, Constant) else np.array(literal_value(node), node.dtype)
                )
                here = placement.elsewhere(value)
                if here is not None and here is not compiler.target:
                    raise TypeError(
                        f"jit: an array from outside is on {here.name} and the arguments are on "
                        f"{compiler.target.name}: move one to the other, with x.to({compiler.target.name!r})"
                    )
                self.namespace[name] = compiler.constant(value)
        # what is captured in a graph writes where it wrote then
        calls_in_place = not compiler.streams
        #: What a result is only a reshaping of is made in the result's shape at once.
        self.returned: dict[Node, tuple[int, ...]] = {}
        for node in program.outputs:
            root = reshaped(node)
            if root in grouping.stored or isinstance(root.operation, Join) or (calls_in_place and _writes(root)):
                self.returned.setdefault(root, node.shape)
        #: How the arrays of results are made, by name.
        self.fresh: dict[str, str] = {}
        #: Arguments that a result is written over.
        self.taken: set[str] = set()
        #: The sizes in bytes of the pieces of memory that values between the steps are in.
        self.buffers: list[int] = []
        #: Such values' arrays: the piece, the shape, the dtype.
        self.views: dict[str, tuple[int, tuple[int, ...], np.dtype[Any]]] = {}
        self._free: list[int] = []
        self._held: dict[Node, int] = {}
        self._scratch: list[int] = []
        self._last: dict[Node, int] = {}  # the step that reads a value last
        for number, step in enumerate(grouping.steps):
            written = [place.root for x in made_in(step) for place in grouping.joined.get(x, [])]
            for root in (*read_by(step), *written):
                self._last[root] = number
        for node in program.outputs:
            self._last[root_of(node)] = len(grouping.steps)
        self._ending: dict[int, list[Node]] = {}  # by the step after which nobody needs them

    # ---- along with the steps ---------------------------------------------------------------------------------------

    def before(self, step: Group | Node, number: int) -> None:
        """Find arrays for what a step makes."""
        for node in self._made_by(step) if isinstance(step, Group) else [step]:
            name = self.place[node] = f"v{node.number}"
            if isinstance(node.operation, Call) and not node.operation.into:
                continue
            if node in self.returned:
                made_by = f"empty({self.returned[node]}, dtype_{dtype_name(node.dtype)})"
                given = self._donation(node, step, number)
                if given is not None:
                    others = "".join(f"{place}, " for place in self.given() if place != given)
                    made_by = f"{given} if apart and is_free({given}) or is_free({given}, {others}) else {made_by}"
                self.fresh[name] = made_by
                self.namespace[f"dtype_{dtype_name(node.dtype)}"] = node.dtype
                continue
            self._held[node] = self._buffer(node.size * node.dtype.itemsize)
            self._ending.setdefault(max(self._last.get(node, -1), number), []).append(node)
            self.views[name] = (self._held[node], node.shape, node.dtype)

    def _made_by(self, group: Group) -> list[Node]:
        """Give what needs an array once a group runs: values that it stores, and joins of which it writes the first."""
        stored = [node for node in group.nodes if node in self.grouping.stored]
        joins = [place.root for node in group.nodes for place in self.grouping.joined.get(node, [])]
        return [*stored, *(join for join in dict.fromkeys(joins) if join not in self.place)]

    def scratch(self, shape: tuple[int, ...], dtype: Any) -> str:
        """Give the name of an array that only the present step needs."""
        piece = self._buffer(math.prod(shape) * np.dtype(dtype).itemsize)
        self._scratch.append(piece)
        name = f"s{len(self.views)}"
        self.views[name] = (piece, shape, np.dtype(dtype))
        return name

    def after(self, number: int) -> None:
        """Let go of what nothing after a step needs."""
        self._free += self._scratch
        self._scratch = []
        for node in self._ending.pop(number, ()):
            self._free.append(self._held.pop(node))

    def _buffer(self, size: int) -> int:
        """Give a piece of memory of at least a size: the smallest free one that is large enough, else a new one."""
        most, best, buffers = 4 * size + 4096, -1, self.buffers
        for piece in self._free:
            if size <= buffers[piece] <= most:
                best, most = piece, buffers[piece] - 1
                if most < size:
                    break  # none fits better
        if best >= 0:
            self._free.remove(best)
            return best
        buffers.append(size)
        return len(self.buffers) - 1

    def _donation(self, node: Node, step: Group | Node, number: int) -> str | None:
        """Find a donated input in whose place a result may be written, element for element as the input is read."""
        if not isinstance(step, Group) or isinstance(node.operation, Join):
            return None
        for x in self.program.inputs:
            assert isinstance(x.operation, Input)
            place = f"x{x.operation.position}"
            free = x.operation.position in self._donated or x.operation.position in self._homes.get(node, ())
            if not free or place in self.taken:
                continue
            if x.shape != node.shape or x.shape != self.returned[node] or x.dtype != node.dtype:
                continue
            if x.shape != step.space or any(root_of(output) is x for output in self.program.outputs):
                continue
            readers = [(i, reader) for i, reader in enumerate(self.grouping.steps) if x in read_by(reader)]
            if any(i > number for i, _ in readers):
                continue
            if any(reader is step for _, reader in readers):
                # read once, and as it lies: another stage would come back to what has been written over
                uses = [y for n in step.nodes for y in n.inputs if memory_of(y) is x]
                rows = any(isinstance(n.operation, Fold) and self.grouping.over(step, n) == "row" for n in step.nodes)
                if rows or any(y is not x for y in uses):
                    continue
            self.taken.add(place)
            return place
        return None

    # ---- names ------------------------------------------------------------------------------------------------------

    def given(self) -> list[str]:
        """Name the arrays from outside."""
        return [self.place[x] for x in self.grouping.used if isinstance(x.operation, (Input, Constant))]

    def of(self, node: Node) -> str:
        """Give the name of a value's array."""
        return self.place[node]

    def viewed(self, node: Node) -> str:
        """Write an expression for a value as an array."""
        views = []
        name = f"views{node.number}"
        while isinstance(node.operation, View):
            views.append(node.operation)
            node = node.inputs[0]
        place = self.place[node]
        if self.returned.get(node, node.shape) != node.shape:
            place = f"{place}.reshape({node.shape})"
        if not views:
            return place
        self.namespace["apply_views"] = apply_views
        self.namespace[name] = tuple(reversed(views))
        return f"apply_views({name}, {place})"

    # ---- what there is in the end -----------------------------------------------------------------------------------

    @property
    def workspace(self) -> list[str]:
        """The names of the arrays of values between the steps."""
        return list(self.views)

    def maker(self, empty: Callable[..., Any]) -> Callable[[], list[Any]]:
        """Give the function that makes the arrays of `workspace`."""
        buffers, views = self.buffers, list(self.views.values())

        def make() -> list[Any]:
            memory = [_apart(empty(max(size, 1) + _PAGE, np.uint8), number) for number, size in enumerate(buffers)]
            return [
                memory[piece][: math.prod(shape) * dtype.itemsize].view(dtype).reshape(shape)
                for piece, shape, dtype in views
            ]

        return make


def _apart(memory: Any, number: int) -> Any:
    """Give a piece's memory from a cache line on that other pieces do not begin at, as far as pages go."""
    begin = -dispatch.address(memory) % 64 if isinstance(memory, np.ndarray) else 0
    return memory[begin + 192 * number % (_PAGE - 64) :]


def _writes(node: Node) -> bool:
    """Tell whether a value is written by a call into memory that it is given."""
    return isinstance(node.operation, Call) and node.operation.into


def made_in(step: Group | Node) -> list[Node]:
    """Give what a step computes."""
    return step.nodes if isinstance(step, Group) else [step]


def read_by(step: Group | Node) -> set[Node]:
    """Give what a step reads, or views of which it reads."""
    return {memory_of(x) for node in made_in(step) for x in node.inputs}
