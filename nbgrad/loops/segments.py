"""Long loops in segments, of which each is run again on the way back, from what was kept where it begins.

``for i in range(n)`` becomes ``for segment in range(...)`` around the turns of one segment. The outer loop keeps what
it carries, and the arrays that it writes to and reads, once a segment; the inner one keeps what it needs for the turns
of one segment at a time. With segments of sqrt(n) turns that is sqrt(n) of both.
"""

from __future__ import annotations

import ast
import copy
from dataclasses import dataclass, field
from typing import Any

from .language import (
    Allocate,
    Assign,
    Block,
    Branch,
    Carried,
    Family,
    Loop,
    Own,
    Plain,
    Product,
    Program,
    Statement,
    Store,
    Value,
    View,
    name,
    names_in,
    number,
    text,
    whole,
)
from .settling import Settling, lowest_of
from .state import free_name, size_of

#: Turns of a segment where it is not known before how many there are in all.
UNKNOWN = 1024


@dataclass(eq=False)
class Replay:
    """What it takes to run a turn of a loop again."""

    #: Arrays from outside whose elements must be what they were when the turn began.
    restored: list[Value] = field(default_factory=list)
    #: What is not done again: it has been seen, or nothing in the loop reads it.
    skipped: set[Statement] = field(default_factory=set)
    #: Arrays, as families, that are written to and not read in the loop.
    outputs: set[Family] = field(default_factory=set)


def replay_of(program: Program, loop: Loop) -> Replay | str:
    """Find what it takes to run a loop's turns again; where they cannot be, say why."""
    found = Replay()
    body = list(loop.body.walk())
    inside = {id(statement) for statement in body}
    read: dict[Family, set[str]] = {}
    stored: dict[Family, list[Store]] = {}
    named: dict[Family, dict[str, Value]] = {}

    def mention(value: Value, reads: bool) -> None:
        assert value.family is not None
        family = value.family.root()
        named.setdefault(family, {})[value.name] = value
        if reads:
            read.setdefault(family, set()).add(value.name)

    settling = Settling(program.body.walk())
    for statement in body:
        if isinstance(statement, Store):
            assert statement.array.family is not None
            stored.setdefault(statement.array.family.root(), []).append(statement)
    for statement in body:
        if isinstance(statement, Plain):
            found.skipped.add(statement)
            continue
        for node in statement.expressions():
            if "np.random." in text(node):
                return "it draws random numbers"
            for inner in ast.walk(node):
                if isinstance(inner, ast.Subscript) and isinstance(inner.value, ast.Name):
                    if isinstance(statement, View) and inner.value.id == statement.base.name:
                        continue
                    value = program.values.get(inner.value.id)
                    if value is not None and value.ndim is not None:
                        assert value.family is not None
                        writes = stored.get(value.family.root(), [])
                        done = all(settling.settled(statement, value, inner.slice, store) for store in writes)
                        mention(value, not (writes and done))
        if isinstance(statement, Store):
            mention(statement.array, False)
        elif isinstance(statement, View):
            # what a view of an array is taken for shows where its own name is mentioned
            mention(statement.base, False)
        elif isinstance(statement, Product):
            mention(statement.left, True)
            mention(statement.right, True)
        elif isinstance(statement, Own):
            continue
    for carries in loop.carried:
        if carries.inside and isinstance(carries.before, ast.Name):
            if all(isinstance(size, ast.Constant) for size in program.values[carries.before.id].sizes):
                return "it carries an array that changes its size"
    carried = {c.target.name: c.target for c in loop.carried}
    for target in carried.values():
        if target.family is not None:
            mention(target, True)
    last = max((statement.order for statement in body), default=loop.order)
    around = [other for other in _all_loops(loop.block) if other is not loop]
    for family, values in named.items():
        outside = {key: v for key, v in values.items() if not _inside(v, loop) and key not in carried}
        if around and outside and (family.carried or any(_all_loops(v.block) for v in outside.values() if v.block)):
            return "it reads arrays that other loops make"
        if family in stored:
            if not outside:
                continue
            if any(v.family is not None and v.family.root() is family for v in carried.values()):
                return f"{next(iter(outside))!r} is written to under another name"
            if family in read:
                found.restored += outside.values()
            else:
                found.skipped.update(stored[family])
                found.outputs.add(family)
        for other in program.body.walk():
            if (
                outside
                and isinstance(other, Store)
                and id(other) not in inside
                and other.array.family is not None
                and other.array.family.root() is family
                and (other.order > last or any(shared in around for shared in _all_loops(other.block)))
            ):
                return f"{next(iter(outside))!r} is overwritten later"
    return found


def _inside(value: Value, loop: Loop) -> bool:
    return value.block is not None and value.block.inside(loop.body)


def _all_loops(block: Block | None) -> list[Loop]:
    found = []
    while block is not None:
        if isinstance(block.owner, Loop):
            found.append(block.owner)
        block = block.parent
    return found


# ---- from one loop to two --------------------------------------------------------------------------------------------


def outermost(program: Program) -> list[Loop]:
    """Give the loops that are in no others."""
    return [s for s in program.body.walk() if isinstance(s, Loop) and not _all_loops(s.block)]


def split(program: Program, loop: Loop, length: int | None) -> Loop | str:
    """Make a loop that is in no other one of segments of so many turns, of the root of their number if None.

    Gives the loop over segments, or says why there can be none.
    """
    step = 1
    if loop.counter is not None:
        if not isinstance(loop.bounds[2], ast.Constant):
            return "its step is not known before"
        step = whole(loop.bounds[2])
    stopping = None
    if loop.stop is not None:
        stopping = next((c for c in loop.carried if text(c.after) == text(loop.stop)), None)
        if stopping is None:
            return "it does not carry what ends it"
    made = _Writer(program, loop)
    outer = Loop(None, [], line=loop.line, replayed=True, block=loop.block)
    outer.body.owner, outer.body.parent = outer, loop.block
    size: ast.expr
    if loop.counter is not None:
        turns = made.assign(_call("len", _call("range", *loop.bounds)), "turns")
        size = made.assign(_call("rooted", turns), "length") if length is None else number(length)
        count = _op(_op(_op(turns, ast.Add(), size), ast.Sub(), number(1)), ast.FloorDiv(), size)
        segments = made.assign(count, "segments")
        outer.counter = made.value("segment", outer.body)
        outer.bounds = [number(0), segments, number(1)]
        made.block = outer.body
        start, stop, _ = loop.bounds
        reach = _op(size, ast.Mult(), number(step)) if step != 1 else size
        low: ast.expr = _op(name(outer.counter), ast.Mult(), reach)
        if text(start) != "0":
            low = _op(start, ast.Add(), low)
        first = made.assign(low, "first")
        until = made.assign(_call("min" if step > 0 else "max", _op(first, ast.Add(), reach), stop), "until")
        bounds = [first, until, number(step)]
    else:
        bounds = []
        outer.condition = loop.condition
        made.block = outer.body
    outer.line = loop.line
    inner_of: dict[str, Value] = {}
    for carried in loop.carried:
        target = carried.target
        inner = Value(free_name(program, target.name), target.dtype, target.ndim, target.sizes, target.family,
                      loop.body, target.line)  # fmt: skip
        program.values[inner.name] = inner
        inner_of[target.name] = inner
        target.block = outer.body
        found = Carried(target, carried.before, name(inner), carried.key, carried.place)
        found.inside = made.measured(target) if carried.inside else []
        outer.carried.append(found)
    renamed = _Renamed(program, inner_of)
    renamed.block(loop.body)
    loop.carried = [
        Carried(inner_of[c.target.name], name(c.target), renamed.expression(c.after), c.key, c.place, c.inside)
        for c in loop.carried
    ]
    if stopping is not None:
        loop.stop = renamed.expression(loop.stop)
        outer.stop = name(inner_of[stopping.target.name])
    if loop.counter is None:
        done = made.value("count", loop.body)
        more = made.value("count", loop.body)
        loop.body.statements.insert(
            0, Assign(more, _op(name(done), ast.Add(), number(1)), block=loop.body, line=loop.line)
        )
        loop.carried.append(Carried(done, number(0), name(more)))
        test: ast.expr = ast.Compare(name(done), [ast.Lt()], [number(length or UNKNOWN)])
        if loop.condition is not None:
            test = ast.BoolOp(ast.And(), [renamed.expression(loop.condition), test])
        loop.condition = test
    if loop.turns is not None:
        outer.turns = made.value("segments", loop.block)
        loop.turns.block = outer.body
    if loop.counter is not None:
        loop.lowest = lowest_of(loop)
    loop.bounds = bounds
    place = loop.block.statements.index(loop)
    loop.block.statements[place : place + 1] = [*made.before, outer]
    loop.block = loop.body.parent = outer.body
    outer.body.statements.append(loop)
    for carried in loop.carried:
        if carried.inside:
            carried.target.sizes = made.measured(carried.target)
    return outer


def _call(function: str, *arguments: ast.expr) -> ast.expr:
    return ast.Call(name(function), list(arguments), [])


def _op(a: ast.expr, op: ast.operator, b: ast.expr) -> ast.expr:
    return ast.BinOp(a, op, b)


class _Writer:
    """Writes the numbers that segments begin and end with."""

    def __init__(self, program: Program, loop: Loop) -> None:
        self.program, self.loop, self.block = program, loop, loop.block
        self.before: list[Statement] = []

    def value(self, wish: str, block: Block) -> Value:
        made = Value(free_name(self.program, wish), "int64", block=block, line=self.loop.line)
        self.program.values[made.name] = made
        return made

    def assign(self, node: ast.expr, wish: str) -> ast.expr:
        target = self.value(wish, self.block)
        made = Assign(target, node, block=self.block, line=self.loop.line)
        (self.before if self.block is self.loop.block else self.block.statements).append(made)
        return name(target)

    def measured(self, array: Value) -> list[ast.expr]:
        """Write the sizes of an array as numbers of their own."""
        return [self.assign(size_of(array, axis), f"{array.name}_size") for axis in range(array.ndim or 0)]


class _Renamed(ast.NodeTransformer):
    """Gives values other names, in a block."""

    def __init__(self, program: Program, names: dict[str, Value]) -> None:
        self.program, self.names = program, names

    def visit_Name(self, node: ast.Name) -> ast.Name:
        return name(self.names[node.id]) if node.id in self.names else node

    def expression(self, node: Any) -> Any:
        """Give an expression with the other names."""
        return self.visit(copy.deepcopy(node)) if node is not None and names_in(node) & set(self.names) else node

    def array(self, value: Value) -> Value:
        return self.names.get(value.name, value)

    def block(self, block: Block) -> None:
        """Rename in a block and those in it."""
        for statement in block.walk():
            match statement:
                case Assign():
                    statement.value = self.expression(statement.value)
                case Store():
                    statement.array = self.array(statement.array)
                    statement.index = [self.expression(item) for item in statement.index]
                    statement.value = self.expression(statement.value)
                case View():
                    statement.base, statement.value = self.array(statement.base), self.expression(statement.value)
                case Product():
                    statement.left, statement.right = self.array(statement.left), self.array(statement.right)
                case Plain():
                    statement.statement = self.expression(statement.statement)
                case Own():
                    statement.arguments = [self.expression(item) for item in statement.arguments]
                case Branch():
                    statement.condition = self.expression(statement.condition)
                    for merged in statement.merged:
                        merged.first, merged.second = self.expression(merged.first), self.expression(merged.second)
                case Loop():
                    statement.bounds = [self.expression(item) for item in statement.bounds]
                    statement.condition = self.expression(statement.condition)
                    statement.stop = self.expression(statement.stop)
                    for carried in statement.carried:
                        carried.before, carried.after = self.expression(carried.before), self.expression(carried.after)
                case Allocate():
                    pass
            for value in statement.gives():
                value.sizes = [self.expression(size) for size in value.sizes]
