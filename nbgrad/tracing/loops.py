"""From a group to a loop nest: which arrays it reads and writes, by which steps, in how many blocks."""

from __future__ import annotations

import itertools
import math
from typing import Protocol

from ..kernels import formula
from ..kernels.loop_nest import ELEMENT, NEST, ROW, Assign, Nest, Operand, keep_what_is_dear, size_names
from ..kernels.loop_nest import Fold as Folding
from ..kernels.strides import dense, joined
from ..kernels.target import Compiler
from .grouping import Group, Grouping
from .layout import access, padded
from .program import Access, Draw, Fold, Literal, Map, Node, Pad, Rows, dtype_name, stretched

_RANKS = {NEST: 0, ROW: 1, ELEMENT: 2}
#: How many times fewer elements the tables have that a loop's blocks add up in than the loop.
_TABLES = 4


class Places(Protocol):
    """The names of values' arrays, in the function that runs a program."""

    def of(self, node: Node) -> str:
        """Give the name of a value's array."""

    def viewed(self, node: Node) -> str:
        """Write an expression for a value as an array."""


def label_of(node: Node) -> str:
    operation = node.operation
    if isinstance(operation, Fold):
        return f"fold_{operation.combine.name}"
    assert isinstance(operation, Map)
    if operation.expression is None:
        return "cast"
    function = operation.expression.function
    return function.name if function is not None else "value"


class Loop:
    """Writes a group as a `Nest`."""

    def __init__(self, group: Group, grouping: Grouping, compiler: Compiler, places: Places) -> None:
        self.group, self.grouping, self.compiler, self.places = group, grouping, compiler, places
        space = group.space
        self.inner = len(space) if group.inner is None else group.inner
        self.operands: list[tuple[str, int]] = []
        self.late: list[tuple[Operand, Node, str]] = []
        self.values: dict[Node, tuple[str, str, int]] = {}  # name, level, stage
        self.bytes = 0
        self.copied: set[Node] = set()
        self.steps_of: dict[str, tuple[int, ...]] = {}  # strides over the space, by operand
        self.windows: dict[Node, dict[int, tuple[int, int]]] = {}  # where along axes there is more than zeros
        self.bounds_of: dict[str, int] = {}
        self.positions: dict[Node, Node] = {}  # of rows that a formula reads
        self.picks: dict[str, int] = {}  # the steps from row to row of tables that positions pick rows of, by operand
        self.tables: dict[str, tuple[int, int]] = {}  # elements of what is added up by positions, and of a row of it
        self.firsts: dict[str, int] = {}  # where in their streams draws begin, by operand

    def build(self) -> tuple[Nest, list[tuple[str, int]]]:
        group = self.group
        inside = set(group.nodes)
        external: dict[Node, None] = {}
        for node in group.nodes:
            for x in node.inputs:
                x = stretched(x)
                if x not in inside and not isinstance(x.operation, Literal):
                    external[x] = None
                if isinstance(x.operation, Rows):
                    self.positions[x] = stretched(node.inputs[0])
        reads = [self._read(x) for x in sorted(external, key=lambda x: isinstance(x.operation, Rows))]
        if self.group.inner is not None:
            reads = [self._even(*read) for read in reads]
        writes = [n for n in group.nodes if self.grouping.is_written(n) and n not in group.late and n.size]
        self._choose_dimensions([strides for _, _, strides in reads])
        nest = Nest(len(self.outer), self.flat)
        loads: dict[Node, Operand] = {}
        for number, (x, place, strides) in enumerate(reads):
            operand = self._operand(f"p{number}", x, strides)
            if isinstance(x.operation, Rows):
                operand = self._picked(operand, x, loads[self.positions[x]])
            loads[x] = operand
            nest.loads.append(operand)
            if isinstance(x.operation, Draw):
                name, place = self.places.of(x.inputs[0]), Access(x, 0, ())
                self.firsts[operand.name] = x.operation.first
            elif x in self.copied:
                name = f"contiguous(broadcast_to({self.places.viewed(x)}, {group.space}))"
            else:
                name = self.places.of(place.root)
            self.operands.append((name, place.offset * x.dtype.itemsize))
            self.bytes += 0 if operand.drawn else x.size * x.dtype.itemsize
        self._formulas(nest, loads)
        for number, (node, place) in enumerate([(n, place) for n in writes for place in self._places(n)]):
            name, level, stage = self.values[node]
            operand = self._operand(f"o{number}", node, self._spread(node.shape, place.strides))
            operand = Operand(operand.name, operand.dtype, level, operand.inner if level == ELEMENT else "1")
            nest.stores.append((operand, name, stage))
            self.operands.append((self.places.of(place.root), place.offset * node.dtype.itemsize))
            self.bytes += node.size * node.dtype.itemsize
        for number, name in enumerate(keep_what_is_dear(nest)):
            dear = next(s for s in nest.steps if isinstance(s, Assign) and s.name == name)
            nest.kept.append((Operand(f"k{number}", dear.dtype, ELEMENT), name))
        late = [node for node in group.nodes if node in group.late]
        for number, node in enumerate(late):
            step = next(s for s in nest.steps if isinstance(s, Folding) and s.name == self.values[node][0])
            operand = Operand(f"q{number}", step.wide, ROW)
            result = Operand(f"r{number}", dtype_name(node.dtype), NEST)
            nest.partials.append((operand, result, step.name))
            self.late.append((operand, node, step.over))
        self.nest = nest
        return nest, self.operands

    def _read(self, x: Node) -> tuple[Node, Access, tuple[int, ...]]:
        """Give where a value is read, and the steps over the whole space."""
        if isinstance(x.operation, Rows):
            place = access(x.inputs[0])
            lead = len(x.shape) + 1 - len(place.strides)
            return x, place, self._spread(x.shape, (0,) * lead + place.strides[1:])
        if not isinstance(x.operation, Pad):
            place = access(x)
            return x, place, self._spread(x.shape, place.strides)
        place, missing = padded(x), len(self.group.space) - len(x.shape)
        for axis, (start, size) in enumerate(zip(x.operation.starts, x.inputs[0].shape, strict=True)):
            if size != x.shape[axis]:
                self.windows.setdefault(x, {})[missing + axis] = (start, start + size)
        return x, place, self._spread(x.shape, place.strides)

    def _places(self, node: Node) -> list[Access]:
        """Give the places to which a value is written: an array of its own, and places in joins."""
        own = [Access(node, 0, dense(node.shape))] if node in self.grouping.stored else []
        return own + self.grouping.joined.get(node, [])

    def _spread(self, shape: tuple[int, ...], strides: tuple[int, ...]) -> tuple[int, ...]:
        """Give the steps over the whole space of an array that is broadcast to it."""
        missing = len(self.group.space) - len(shape)
        steps = [0] * missing + [0 if size == 1 else step for size, step in zip(shape, strides, strict=True)]
        return tuple(steps)

    def _even(self, x: Node, place: Access, strides: tuple[int, ...]) -> tuple[Node, Access, tuple[int, ...]]:
        """See to it that the elements of a row are evenly spaced, by a copy in the whole space's shape if need be."""
        space = self.group.space
        axes = [axis for axis in range(len(space) - self.inner, len(space)) if space[axis] != 1]
        if all(strides[a] == strides[b] * space[b] for a, b in itertools.pairwise(axes)):
            return x, place, strides
        self.copied.add(x)
        return x, Access(x, 0, dense(space)), dense(space)

    def _choose_dimensions(self, all_strides: list[tuple[int, ...]]) -> None:
        """Join dimensions over which every array steps evenly; the last of what remains are the rows' elements."""
        space = self.group.space
        split = len(space) - self.inner  # dimensions before are rows'

        steps = self._all(all_strides)
        bounded = sorted({axis for window in self.windows.values() for axis in window})

        def begins(axis: int) -> int:
            """Count the windows' axes so far: each begins a dimension of its own."""
            return sum(first <= axis for first in bounded)

        outer, inner = (joined(space, steps, axes, begins) for axes in (range(split), range(split, len(space))))
        self.flat = self.group.inner is None and not outer and len(inner) <= 1
        if len(inner) > 1:
            assert self.group.inner is None
            outer, inner = inner[:-1], inner[-1:]
        self.outer = outer
        self.row = inner[0] if inner else ()
        self.width = math.prod(space[axis] for axis in self.row)
        if self.flat:
            self.outer = [()]  # pieces of the one row

    def _all(self, all_strides: list[tuple[int, ...]]) -> list[tuple[int, ...]]:
        written = [n for n in self.group.nodes if self.grouping.is_written(n) and n not in self.group.late]
        return all_strides + [self._spread(n.shape, place.strides) for n in written for place in self._places(n)]

    def _operand(self, name: str, node: Node, strides: tuple[int, ...]) -> Operand:
        self.steps_of[name] = strides
        drawn = node.operation.kind if isinstance(node.operation, Draw) else ""
        if not node.size:
            return Operand(
                name, dtype_name(node.dtype), ELEMENT, drawn=drawn
            )  # rows there may be, but no element of them is read
        if node.size == 1:
            level = NEST
        else:
            level = ELEMENT if any(strides[axis] for axis in self.row) else ROW
        step = strides[self.row[-1]] if self.row else 0
        inner = "0" if step == 0 else "1" if step == 1 else "s"
        if node in self.windows:
            return self._window(name, node, inner)
        return Operand(name, dtype_name(node.dtype), level, inner, drawn=drawn)

    def _picked(self, operand: Operand, x: Node, positions: Operand) -> Operand:
        """Give the operand for rows of a table, by that for their positions."""
        self.picks[operand.name] = access(x.inputs[0]).strides[0]
        level = max(operand.level, positions.level, key=_RANKS.__getitem__)
        return operand._replace(level=level, picked=f"v_{positions.name}")

    def _window(self, name: str, node: Node, inner: str) -> Operand:
        """Give the operand for what has zeros around it, and note where along the loops' dimensions it is."""
        window, bounds = self.windows[node], []
        dimensions = [*((str(axis), part) for axis, part in enumerate(self.outer)), ("", self.row)]
        for dimension, part in dimensions:
            for axis in part:
                if axis in window:  # the first of its dimension
                    after = math.prod(self.group.space[other] for other in part if other > axis)
                    low, high = window[axis]
                    bounds.append(dimension)
                    self.bounds_of[f"{name}_low{dimension}"] = low * after
                    self.bounds_of[f"{name}_high{dimension}"] = high * after
        level = ELEMENT if inner != "0" or "" in bounds else ROW
        return Operand(name, dtype_name(node.dtype), level, inner, bounds=tuple(bounds))

    def _formulas(self, nest: Nest, loads: dict[Node, Operand]) -> None:
        group = self.group
        for x, operand in loads.items():
            self.values[x] = (f"v_{operand.name}", operand.level, 0)
        for node in group.nodes:
            name = f"n{len(nest.steps)}"  # counted anew in each loop: equal loops have equal texts
            inputs = [stretched(x) for x in node.inputs]
            arguments, level, stage = [], NEST, 0
            for x in inputs:
                if isinstance(x.operation, Literal):
                    dtype = dtype_name(x.dtype)
                    arguments.append(x.operation.text if dtype == "bool" else f"{dtype}({x.operation.text})")
                    continue
                value, at, when = self.values[x]
                arguments.append(value)
                if _RANKS[at] > _RANKS[level]:
                    level = at
                if when > stage:
                    stage = when
            operation = node.operation
            if isinstance(operation, Fold):
                over = self.grouping.over(group, node)
                identity, wide = self.compiler.fold_of(operation.combine, dtype_name(node.dtype))
                # a value that is the same all along the row is still folded as often as it is repeated
                level = ELEMENT if node.inputs[0].shape == group.space else ROW
                dtype = dtype_name(node.dtype)
                fold = Folding(name, arguments[0], operation.combine, identity, wide, dtype, over, level, stage)
                if operation.rows:  # as they are added up one by one anywhere
                    apart = self.values[inputs[1]][1] == ELEMENT
                    fold = fold._replace(wide=dtype, place=arguments[1], apart=apart)
                    self.tables[name] = node.size, node.size // node.shape[0]
                nest.steps.append(fold)
                self.values[node] = (name, ROW if over == "row" else NEST, stage + 1 if over == "row" else stage)
                continue
            assert isinstance(operation, Map)
            casts = [False] * len(inputs)
            if operation.expression is not None:
                casts = [dtype_name(x.dtype) != operation.number for x in inputs]
                if True in casts:
                    kinds = formula.inputs(operation.expression)
                    casts = [other and kinds.get(i) != formula.TRUTH for i, other in enumerate(casts)]
            if node.shape == group.space and node.size > 1 and level != ELEMENT and self.grouping.is_written(node):
                level = ELEMENT  # the same value all along the row, and all of it is wanted
            nest.steps.append(
                Assign(
                    name,
                    operation.expression,
                    tuple(arguments),
                    tuple(casts),
                    operation.number,
                    dtype_name(node.dtype),
                    level,
                    stage,
                )
            )
            self.values[node] = (name, level, stage)

    def sizes(self, width: int = 0) -> tuple[list[int], int]:
        """Give the values of `size_names`, and the number of blocks; `width` is what a flat one has, if it is given."""
        nest, space = self.nest, self.group.space
        total = math.prod(space)
        if self.flat:
            length = total
            if not width:
                blocks = self._blocks(length)
                width = -(-length // blocks)
                width = -(-width // 1024) * 1024 if blocks > 1 else max(width, 1)
            rows = max(1, -(-length // width))
            blocks, rows_in_block = rows, 1
            self.width = width
            values: dict[str, int] = {"length": length}
        else:
            width = self.width
            rows = math.prod(space[axis] for part in self.outer for axis in part)
            blocks = self._blocks(rows)
            rows_in_block = max(1, -(-rows // blocks))
            blocks = max(1, -(-rows // rows_in_block))
            values = {}
        values |= {"blocks": blocks, "rows_in_block": rows_in_block, "rows": rows, "width": width}
        for axis, part in enumerate(self.outer):
            values[f"d{axis}"] = math.prod(space[a] for a in part)
        for name, strides in self.steps_of.items():
            if self.flat:
                values[f"{name}_step0"] = width * (strides[self.row[-1]] if self.row else 0)
            else:
                for axis, part in enumerate(self.outer):
                    values[f"{name}_step{axis}"] = strides[part[-1]]
            values[f"{name}_inner"] = strides[self.row[-1]] if self.row else 0
        values |= {f"{name}_pick": step for name, step in self.picks.items()}
        for name, (size, across) in self.tables.items():
            values |= {f"{name}_size": size, f"{name}_width": across}
        values |= {f"{name}_first": first for name, first in self.firsts.items()}
        for operand in [*(o for o, _, _ in nest.partials), *(o for o, _ in nest.kept)]:
            for axis in range(nest.outer):
                values[f"{operand.name}_step{axis}"] = 0
        values |= self.bounds_of
        return [values[name] for name in size_names(nest)], blocks

    def _blocks(self, rows: int) -> int:
        """Give the number of blocks, each of which has a table of its own for what is added up by positions."""
        elements = math.prod(self.group.space)
        blocks = self.compiler.blocks(self.nest, rows, elements)
        tables = sum(size for size, _ in self.tables.values())
        if not tables:
            return blocks
        few = min(blocks, elements // (_TABLES * tables))
        return max(1, few - few % 2)  # which two threads share evenly
