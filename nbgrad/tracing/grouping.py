"""What is computed in which loop: formulas and folds gathered into groups, which with the calls are the steps."""

from __future__ import annotations

import math
from heapq import heappop, heappush
from typing import Any

from ..kernels.loop_nest import ELEMENT, NEST, ROW
from ..kernels.strides import dense
from .layout import breaks, padded, places_in
from .program import Access, Call, Fold, Join, Literal, Map, Node, Pad, Program, Rows, memory_of, root_of, stretched

#: Values that one loop folds, at most; and where one would write too many, the operations of each.
_MOST_FOLDS, _FEWER_STEPS = 100, 400


class Group:
    """Nodes that one loop computes, over a space of which the last `inner` dimensions are the row."""

    def __init__(self, space: tuple[int, ...], number: int) -> None:
        self.space, self.size = space, math.prod(space)
        self.bit = 1 << number  # stands for this group in sets, which are whole numbers
        self.alone = {self}
        self.inner: int | None = None
        self.nodes: list[Node] = []
        self.before = 0  # all groups that must run first
        self.folds = 0
        self.late: set[Node] = set()  # folds over all rows: known only after the loop
        self.sources: set[Node] = set()
        self.breaks: set[int] = set()  # axes that no row may go on over

    def level_of(self, shape: tuple[int, ...], inner: int | None) -> str | None:
        """Tell at which level a value of a shape stands, for rows of `inner` dimensions; None if at none."""
        if shape == self.space:
            return ELEMENT
        if len(shape) <= len(self.space) and math.prod(shape) == 1:
            return NEST
        if not inner or len(shape) != len(self.space):
            return None
        rows = len(self.space) - inner
        return ROW if shape[:rows] == self.space[:rows] and math.prod(shape[rows:]) == 1 else None


class Grouping:
    """The steps of a program in order, and which values leave their loop."""

    def __init__(self, program: Program, most_sources: int, most_steps: int) -> None:
        self.used, self.outputs, self.most_sources = program.nodes, program.outputs, most_sources
        self.most_steps = most_steps
        #: Where joins want the values of loops, besides the arrays that these have themselves.
        self.joined: dict[Node, list[Access]] = {}
        read = {memory_of(x) for node in self.used if not isinstance(node.operation, Join) for x in node.inputs}
        read |= {root_of(node) for node in self.outputs}
        for node in self.used:
            if isinstance(node.operation, Join) and node in read:  # not what is only a part of other joins
                for part, place in places_in(node):
                    assert place is not None, "what loops cannot write in place is copied by one"
                    self.joined.setdefault(part, []).append(place)
        self._gather()
        self.stored = self._stored_nodes()
        if any(len(group.nodes) > _FEWER_STEPS and self._written(group) > most_sources for group in self.groups):
            self.most_steps = _FEWER_STEPS
            self._gather()
            self.stored = self._stored_nodes()
        self.steps: list[Any] = []  # Groups and Call nodes
        self._order()

    def _written(self, group: Group) -> int:
        return sum((node in self.stored) + len(self.joined.get(node, ())) for node in group.nodes)

    def _gather(self) -> None:
        """Put every formula and fold into a group, into one that is there already where that can be."""
        self.groups: list[Group] = []
        self.group_of: dict[Node, Group] = {}
        self.after: dict[Node, set[Group]] = {}  # the groups that a node comes from, directly or by views and calls
        for node in self.used:
            owners: set[Group] = set()
            for x in node.inputs:
                owners |= self.after[x]
            if isinstance(node.operation, (Map, Fold)):
                owners = self._place(node, owners).alone
            self.after[node] = owners

    def _place(self, node: Node, owners: set[Group]) -> Group:
        fold = node.operation if isinstance(node.operation, Fold) else None
        space = node.inputs[0].shape if fold else node.shape
        inner = None if fold is None else self._inner_for(fold, space)
        if inner is not None and inner < 0:  # axes in the middle: a loop over a view in which they are last
            raise AssertionError("folds over axes in the middle are moved to the end when they are traced")
        inputs = [stretched(x) for x in node.inputs]
        found = self._breaks(node)
        for group in reversed(self.groups[-12:]):
            if self._fits(group, node, fold, space, inner, inputs, owners, found):
                break
        else:
            group = Group(space, len(self.groups))
            self.groups.append(group)
        if inner is not None:
            group.inner = inner
        group.nodes.append(node)
        group.breaks |= found
        self.group_of[node] = group
        group.folds += fold is not None
        if fold is not None and self.over(group, node) != "row":
            group.late.add(node)
        group_of = self.group_of
        for x in inputs:
            if group_of.get(x) is not group and not isinstance(x.operation, Literal):
                group.sources.add(x)
        before = group.before
        for owner in owners:
            if owner is not group:
                before |= owner.bit | owner.before
        if before != group.before:
            group.before, bit = before, group.bit
            for other in self.groups:
                if other.before & bit:
                    other.before |= before
        return group

    def _breaks(self, node: Node) -> set[int]:
        """Give the axes at which a dimension has to begin, for what is read among zeros or written into joins."""
        found: set[int] = set()
        for x in node.inputs:
            if isinstance(x.operation, Pad):
                found |= breaks(x.shape, padded(x).strides)
                found |= {axis for axis, size in enumerate(x.shape) if x.inputs[0].shape[axis] != size}
            if isinstance(x.operation, Rows):  # the first axis of a row
                found |= {len(x.shape) + 1 - len(x.inputs[0].shape)} if len(x.inputs[0].shape) > 1 else set()
        for place in self.joined.get(node, ()):
            found |= breaks(node.shape, place.strides)
        return found

    def _inner_for(self, fold: Fold, space: tuple[int, ...]) -> int | None:
        """Give the number of dimensions that a fold needs the row to have; None if it does not matter."""
        if len(fold.axes) == len(space):
            return None
        if fold.rows:
            return len(space) - len(fold.axes)
        axes, last = fold.axes, len(space) - 1
        if axes[-1] - axes[0] + 1 == len(axes):
            if axes[-1] == last:
                return len(axes)
            if axes[0] == 0:
                return len(space) - len(axes)
        return -1

    def over(self, group: Group, node: Node) -> str:
        fold = node.operation
        assert isinstance(fold, Fold)
        if fold.rows:
            return "place"
        if len(fold.axes) == len(group.space):
            return "all"
        return "row" if fold.axes[-1] == len(group.space) - 1 else "column"

    def _fits(
        self,
        group: Group,
        node: Node,
        fold: Fold | None,
        space: tuple[int, ...],
        inner: int | None,
        inputs: list[Node],
        owners: set[Group],
        found: set[int],
    ) -> bool:
        chosen = inner if inner is not None else group.inner
        taken = node if fold is None else node.inputs[0]
        shape = taken.shape
        if shape != group.space and (chosen is None if taken.size != 1 else group.size != 1):
            return False  # as with most groups: it has no level there
        if len(group.nodes) >= self.most_steps or len(group.sources) + len(inputs) > self.most_sources:
            return False
        if fold is not None and group.folds >= _MOST_FOLDS:
            return False
        if inner is not None and group.inner is not None and inner != group.inner:
            return False
        if chosen is not None and (found or group.breaks):
            if any([axis > len(space) - chosen for axis in group.breaks | found]):
                return False  # a row would begin and end several times
        level = group.level_of(shape, chosen)
        if level is None or (level == NEST and group.size != 1):
            return False
        if fold is not None and level != ELEMENT and (fold.rows or len(fold.axes) != len(group.space)):
            return False
        if fold is None and level == ROW and not any(self.group_of.get(x) is group for x in inputs):
            return False
        # nothing that has to run between the group and the node
        bit = group.bit
        for owner in owners:
            if owner.before & bit:
                return False
        for x in inputs:
            if self.group_of.get(x) is group:
                if x in group.late or group.level_of(x.shape, chosen) is None:
                    return False
            else:
                for owner in self.after[x]:
                    if (owner.bit | owner.before) & bit:  # by way of a view, a call, another group
                        return False
        if inner is not None and group.inner is None:
            # rows take shape only now: what is there must have a level in it, and be read along it
            return all(group.level_of(n.shape, inner) == ELEMENT or n in group.late or n.size == 1 for n in group.nodes)
        return True

    def _order(self) -> None:
        """Bring groups and calls into an order in which everything comes after what it needs."""
        calls = [node for node in self.used if isinstance(node.operation, Call)]
        pending: list[Any] = [*self.groups, *calls]
        position = {node: i for i, node in enumerate(self.used)}
        pending.sort(key=lambda s: position[s.nodes[0]] if isinstance(s, Group) else position[s])
        waits: list[int] = []  # for how many steps each one still has to wait
        followers: dict[Any, list[int]] = {}
        for number, step in enumerate(pending):
            nodes = step.nodes if isinstance(step, Group) else [step]
            needed: set[Any] = set()
            for node in nodes:
                for x in node.inputs:
                    root = memory_of(x)
                    for source in [part for part, _ in places_in(root)] if isinstance(root.operation, Join) else [root]:
                        owner: Any = self.group_of.get(source)
                        owner = owner or (source if isinstance(source.operation, Call) else None)
                        if owner is not None and owner is not step:
                            needed.add(owner)
            waits.append(len(needed))
            for owner in needed:
                followers.setdefault(owner, []).append(number)
        ready = [number for number, count in enumerate(waits) if not count]
        while ready:
            step = pending[heappop(ready)]
            self.steps.append(step)
            for number in followers.get(step, ()):
                waits[number] -= 1
                if not waits[number]:
                    heappush(ready, number)
        assert len(self.steps) == len(pending), "a cycle between fused loops"

    def _stored_nodes(self) -> set[Node]:
        """Find the values of loops that somebody outside of their loop reads."""
        stored: set[Node] = set()

        def reads(x: Node, group: Group | None) -> None:
            x, root = stretched(x), memory_of(x)
            owner = self.group_of.get(root)
            if owner is not None and (owner is not group or x is not root or root in owner.late):
                stored.add(root)

        for node in self.used:
            if isinstance(node.operation, (Map, Fold)):
                group = self.group_of[node]
                for x in node.inputs:
                    reads(x, group)
            elif isinstance(node.operation, Call):
                for x in node.inputs:
                    reads(x, None)
        for node in self.outputs:
            reads(node, None)
        return stored

    def is_written(self, node: Node) -> bool:
        """Tell whether a loop writes a value somewhere."""
        return node in self.stored or node in self.joined

    def place_of_late(self, node: Node) -> Access:
        """Give the place of what is known only after its loop: an array of its own, or its place in a join."""
        if node in self.stored:
            return Access(node, 0, dense(node.shape))
        (place,) = self.joined[node]
        return place
