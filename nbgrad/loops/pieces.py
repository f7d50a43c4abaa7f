"""Loops over prange, whose turns threads share in pieces, on the way forward and on the way back.

The pieces depend on the number of turns alone. What several turns add to, as the cotangent of what several read, each
piece adds to a part of its own; the parts are added up in order at the end. So there are no races, and results do not
depend on the number of threads.
"""

from __future__ import annotations

import ast
import re
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, field

from ..kernels.text import indented, parsed
from .independence import independent, is_sum
from .language import Block, Loop, Plain, Program, Value, text, whole
from .replaying import Replaying
from .segments import Replay, replay_of
from .sums import summed
from .writing import head_of, less, range_of

#: An item of an index that differs from turn to turn: the axis, and how it is written.
Own = set[tuple[int, str]]


class Again(Exception):
    """The program must be lowered again: with products of matrices as loops, or with a loop whose turns run again."""

    def __init__(self, replayed: int | None = None) -> None:
        super().__init__(replayed)
        self.replayed = replayed


@dataclass
class Accesses:
    """How the turns of a loop use an array from outside."""

    places: list[Own] = field(default_factory=list)
    adds: bool = False
    reads: bool = False
    clears: bool = False

    @property
    def own(self) -> bool:
        """Whether each turn uses elements that no other does."""
        return bool(self.places) and bool(set.intersection(*self.places))


class _Reader(ast.NodeVisitor):
    """Finds what the lines of a turn do to numbers and arrays from outside."""

    def __init__(self, counter: str, arrays: dict[str, int]) -> None:
        self.counter, self.outside = counter, arrays
        self.axes = dict(arrays)
        self.arrays: dict[str, Accesses] = {}
        self.views: dict[str, tuple[str, Own]] = {}  # of which array, and where
        self.local: set[str] = set()
        self.added: set[str] = set()
        self.read: set[str] = set()
        self.assigned: set[str] = set()  # anywhere in a turn

    def root(self, node: ast.expr) -> tuple[str, Own] | None:
        """Give the array from outside that an expression is, or a view of, and what of it is the turn's own."""
        match node:
            case ast.Name(id=key):
                if key in self.views:
                    return self.views[key]
                return (key, set()) if key in self.outside and key not in self.local else None
            case ast.Subscript(value=base, slice=index):
                found = self.root(base)
                if found is None or not isinstance(base, ast.Name) or base.id in self.views:
                    return found
                return found[0], self._own(index)
            case ast.Attribute(value=base, attr="T"):
                return self.root(base)
            case ast.Call(func=ast.Attribute(value=base, attr="reshape" | "ravel")):
                return self.root(base)
        return None

    def _own(self, index: ast.expr) -> Own:
        items = index.elts if isinstance(index, ast.Tuple) else [index]
        if any(isinstance(item, ast.Constant) and item.value in (None, Ellipsis) for item in items):
            return set()
        return {(axis, text(item)) for axis, item in enumerate(items) if self._moves(item)}

    def _moves(self, item: ast.expr) -> bool:
        """Tell whether an item of an index is the counter, and what is the same in all turns added to it."""
        if isinstance(item, ast.BinOp) and isinstance(item.op, ast.Add | ast.Sub):
            if self._moves(item.left):
                return self._same(item.right)
            return isinstance(item.op, ast.Add) and self._moves(item.right) and self._same(item.left)
        return isinstance(item, ast.Name) and item.id == self.counter

    def _same(self, item: ast.expr) -> bool:
        return isinstance(item, ast.Constant) or (
            isinstance(item, ast.Name) and item.id != self.counter and item.id not in self.assigned
        )

    def access(self, node: ast.expr, kind: str) -> bool:
        found = self.root(node)
        if found is None:
            return False
        uses = self.arrays.setdefault(found[0], Accesses())
        uses.places.append(found[1])
        setattr(uses, kind, True)
        return True

    def remaining(self, node: ast.expr) -> int:
        """Give the number of axes of what a view may be, 0 for a number."""
        match node:
            case ast.Name(id=key):
                return self.axes.get(key, 0)
            case ast.Subscript(value=base, slice=index):
                items = index.elts if isinstance(index, ast.Tuple) else [index]
                taken = sum(not isinstance(item, ast.Slice) for item in items)
                added = sum(isinstance(item, ast.Constant) and item.value is None for item in items)
                return max(0, self.remaining(base) - taken + 2 * added)
            case ast.Call(func=ast.Attribute(attr="reshape"), args=[shape]):
                return len(shape.elts) if isinstance(shape, ast.Tuple) else 1
            case ast.Call(func=ast.Attribute(attr="ravel")):
                return 1
            case ast.Attribute(value=base, attr="T"):
                return self.remaining(base)
        return 0

    def visit_Assign(self, node: ast.Assign) -> None:
        (target,) = node.targets
        pairs = [(target, node.value)]
        if isinstance(target, ast.Tuple):
            several = isinstance(node.value, ast.Tuple)
            pairs = [(t, node.value.elts[i] if several else node.value) for i, t in enumerate(target.elts)]  # type: ignore[attr-defined]
        views = [self.root(value) if self.remaining(value) else None for _, value in pairs]
        axes = [self.remaining(value) for _, value in pairs]
        for (one, value), view in zip(pairs, views, strict=True):
            if view is None:
                self.visit(value)
            if isinstance(one, ast.Subscript):
                self.access(one, "clears")
                self.visit(one.slice)
                if view is not None:
                    self.access(value, "reads")
        for (one, _), view, count in zip(pairs, views, axes, strict=True):
            if isinstance(one, ast.Name):
                self.views.pop(one.id, None)
                self.local.add(one.id)
                self.axes[one.id] = count
                if view is not None:
                    self.views[one.id] = view

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        if isinstance(node.target, ast.Subscript):
            self.access(node.target, "adds")
            self.visit(node.target.slice)
        elif isinstance(node.target, ast.Name) and not self.access(node.target, "adds"):
            if node.target.id not in self.local:
                self.added.add(node.target.id)
        self.visit(node.value)

    def visit_For(self, node: ast.For) -> None:
        assert isinstance(node.target, ast.Name)
        self.local.add(node.target.id)
        self.visit(node.iter)
        for statement in node.body:
            self.visit(statement)

    def visit_Subscript(self, node: ast.Subscript) -> None:
        if isinstance(node.value, ast.Attribute) and node.value.attr == "shape":
            return
        if not self.access(node, "reads"):
            self.visit(node.value)
        self.visit(node.slice)

    def visit_Name(self, node: ast.Name) -> None:
        if not self.access(node, "reads"):
            self.read.add(node.id)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        if node.attr not in ("shape", "size", "dtype"):
            self.visit(node.value)


class Pieces(Replaying):
    """Has threads share the turns of loops over prange."""

    def __init__(self, program: Program, wanted: Sequence[bool], parallel: bool) -> None:
        super().__init__(program, wanted)
        self.parallel = parallel
        #: The names of the numbers of turns and of pieces, and of the counters of pieces.
        self.shares: dict[Loop, list[str]] = {}

    def shareable(self, loop: Loop) -> bool:
        """Tell whether threads might share a loop's turns, as far as its head tells."""
        block: Block | None = loop.block
        while block is not None:
            if isinstance(block.owner, Loop) and block.owner.parallel:
                return False
            block = block.parent
        return self.parallel and loop.parallel and loop.simple and text(loop.bounds[2]) == "1"

    # ---- the way forward ---------------------------------------------------------------------------------------------

    def shared_forward(self, loop: Loop, lines: list[str]) -> list[str]:
        """Give the lines of a loop, shared among threads where it may be."""
        if not self.shareable(loop) or not all(
            c.target.ndim is None and is_sum(loop, c.target.name, c.after) for c in loop.carried
        ):
            return lines
        if any(isinstance(s, Plain) for s in loop.body.walk()) or (self.inside_kept(loop) and not loop.replayed):
            return lines
        head = next(place for place, line in enumerate(lines) if line == head_of(loop))
        start, body = lines[:head], lines[head + 1 :]
        outside = self._outside(loop) | {tape: 1 + (value.ndim or 0) for tape, value in self.tapes_of(loop)}
        reader = self._read(loop, body, outside)
        for key, uses in reader.arrays.items():
            if (uses.adds or uses.clears) and (not uses.own or self._two_names(key, self.values, reader)):
                return lines
        sums = {c.target.name: c.target.dtype for c in loop.carried}
        return [*start, *self._in_pieces(loop, body, sums, [])]

    def _outside(self, loop: Loop) -> dict[str, int]:
        """Give the arrays that are not made in a loop, with their numbers of axes."""
        inside = {value.name for s in loop.body.walk() for value in s.gives()}
        return {key: v.ndim for key, v in self.values.items() if v.ndim is not None and key not in inside}

    def _read(self, loop: Loop, body: list[str], outside: dict[str, int]) -> _Reader:
        reader = _Reader(str(loop.counter), outside)
        tree = parsed(textwrap.dedent("\n".join(body)))
        reader.assigned = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
        reader.visit(tree)
        return reader

    # ---- the way back ------------------------------------------------------------------------------------------------

    def turns_back(self, loop: Loop, body: list[str]) -> list[str]:
        """Write the way back through a loop's turns, of which the bodies are given."""
        serial = self._in_order(loop, body)
        if not self.shareable(loop) or not all(
            c.target.ndim is None and is_sum(loop, c.target.name, c.after)
            for c in loop.carried
            if self.known.active(c.target.name)
        ):
            return serial
        bars = {self.bars[key]: value for key, value in self.values.items() if key in self.bars}
        arrays = {bar: value.ndim for bar, value in bars.items() if value.ndim is not None}
        reader = self._read(loop, body, arrays | self._outside(loop))
        reader.added -= {self.top(s) for s in loop.body.walk() if isinstance(s, Loop) and self.keeps(s)}
        numbers = sorted(reader.added)
        if reader.added & reader.read or any(bar not in bars for bar in numbers):
            return serial
        gathered: list[str] = []
        for bar, uses in reader.arrays.items():
            changed = uses.adds or uses.clears
            if changed and self._two_names(bar, bars if bar in bars else self.values, reader):
                return serial
            if not changed or uses.own:
                continue
            if uses.reads or uses.clears or bar not in bars:
                return serial
            gathered.append(bar)
        if self.inside_kept(loop) and not loop.replayed:
            found = replay_of(self.program, loop)
            if not isinstance(found, Replay) or found.restored or not all(
                c.target.ndim is None and is_sum(loop, c.target.name, c.after) for c in loop.carried
            ):  # fmt: skip
                return serial
            raise Again(loop.number)
        if self.restores(loop) and not loop.replayed:
            return serial
        sums = {bar: bars[bar].dtype for bar in numbers}
        return self._in_pieces(loop, indented(body), sums, sorted(gathered), "_part")

    def _in_order(self, loop: Loop, body: list[str]) -> list[str]:
        """Write the way back through one turn after the other, with sums for elements that are only added to."""
        body = self._counted(loop) + body
        arrays = {
            self.bars[key]: (value.dtype, value.family.root())
            for key, value in self.values.items()
            if key in self.bars and value.family is not None
        }
        before, body, behind = summed(body, str(loop.counter), arrays, self.name)
        known = loop.simple and all(isinstance(bound, ast.Constant) for bound in loop.bounds)
        if known and not len(range(*[whole(bound) for bound in loop.bounds])):  # type: ignore[arg-type]
            behind = []
        elif behind and not known:
            turns = f"len({range_of(loop)})" if loop.simple else str(loop.turns)
            behind = [f"if {turns} > 0:", *indented(behind)]  # where there is no turn there may be no element
        return [*before, self._head(loop), *indented(body), *behind]

    def _two_names(self, key: str, values: dict[str, Value], reader: _Reader) -> bool:
        """Tell whether turns change memory that they have two names for, one of them a view's."""
        value = values.get(key)
        if value is None or value.family is None:
            return False
        family = value.family.root()
        others = [values[other] for other in reader.arrays if other != key and other in values]
        same = [other for other in others if other.family is not None and other.family.root() is family]
        return bool(same) and any(self.is_view(str(other)) for other in (value, *same))

    def _in_pieces(
        self, loop: Loop, body: list[str], sums: dict[str, str], gathered: list[str], suffix: str = ""
    ) -> list[str]:
        """Write a loop over pieces, around one over the turns of a piece; each piece adds to parts of its own."""
        counter = str(loop.counter)
        if loop not in self.shares:
            self.shares[loop] = [self.name(f"{counter}_{what}") for what in ("turns", "pieces", "place", "piece")]
        turns, count, place, piece = self.shares[loop]
        start = text(loop.bounds[0])
        self.need(loop.block, *loop.bounds)
        lines = [f"{turns} = len({range_of(loop)})", f"{count} = pieces({turns}, {bool(gathered)})"]
        begins, ends, adds = [], [], []
        for key, dtype in sums.items():
            parts, part = self.name(f"{key}_parts"), self.name(f"{key}{suffix}") if suffix else key
            lines.append(f"{parts} = np.zeros({count}, np.{dtype})")
            begins.append(f"{part} = {'0.0' if dtype == 'float64' else f'np.{dtype}(0)'}")
            ends.append(f"{parts}[{piece}] = {part}")
            adds.append((key, f"{parts}[{piece}]"))
            body = [re.sub(rf"\b{key}\b", part, line) for line in body]
        for key in gathered:
            parts, part = self.name(f"{key}_parts"), self.name(f"{key}{suffix}")
            lines.append(f"{parts} = np.zeros(({count},) + {key}.shape, {key}.dtype)")
            begins.append(f"{part} = {parts}[{piece}]")
            adds.append((key, f"{parts}[{piece}]"))
            body = [re.sub(rf"\b{key}\b", part, line) for line in body]
        shift = "" if start == "0" else f"{start} + "
        if not suffix:  # what the loop carries begins with nothing in each piece
            totals = {key: self.name(f"{key}_total") for key in sums}
            lines = [*(f"{totals[key]} = {key}" for key in sums), *lines]
            adds = [(totals[key], part) for key, part in adds]
        inner = [
            f"{piece} = folded({place}, {count})",
            *begins,
            f"for {counter} in range({shift}{piece} * {turns} // {count}, {shift}({piece} + 1) * {turns} // {count}):",
            *body,
            *ends,
        ]
        lines += [f"for {place} in prange({count}):", *indented(inner)]
        if adds:
            lines += [f"for {piece} in range({count}):", *indented([f"{key} += {part}" for key, part in adds])]
        if not suffix:
            lines += [f"{key} = {totals[key]}" for key in sums]
        return lines

    # ---- heads -------------------------------------------------------------------------------------------------------

    def _head(self, loop: Loop) -> str:
        if loop.simple:
            start, stop, step = loop.bounds
            self.need(loop.block, *loop.bounds)
            steps = text(step)
            if (
                steps == "1"
                and independent(self.known, loop)
                and not self.inside_kept(loop)
                and not self.restores(loop)
            ):
                return head_of(loop)
            if steps == "1":
                last = f"{less(stop)}, {less(start)}, -1"
                return f"for {loop.counter} in range({last}):"
            return f"for {self.count(loop)} in range(len({range_of(loop)}) - 1, -1, -1):"
        assert loop.turns is not None
        self.need(loop.block, ast.Name(loop.turns.name, ast.Load()), *loop.bounds)
        return f"for {self.count(loop)} in range({loop.turns} - 1, -1, -1):"

    def _counted(self, loop: Loop) -> list[str]:
        """Write what gives a turn its counter, where it runs over another."""
        if loop.counter is None or (loop.simple and text(loop.bounds[2]) == "1"):
            return []
        start, _, step = map(text, loop.bounds)
        count = self.count(loop)
        scaled = count if step == "1" else f"{count} * {step}"
        return [f"{loop.counter} = {scaled if start == '0' else f'{start} + {scaled}'}"]
