"""From the Python that kernels are written in to LLVM's language, in one pass over the syntax tree.

The language: numbers, truth values and pointers; assignments, `for` over `range`, `while`, `if`, `return`; calls of
what the text's namespace has, functions of the same language among them. What is known when the kernel is written
(Python's numbers, tuples) is computed then. Numbers have Numba's types: Python's have 64 bits, and smaller ones are
computed in 64. Both sides of a choice between numbers are computed, so that loops around it become vector loops.
"""

from __future__ import annotations

import ast
from typing import Any

from .expressions import OPERATORS, Expressions, Slot
from .external import External
from .kinds import INT64, TRUTH, UINT64, Known, Value, value_of
from .names import Names
from .source import Source
from .writer import Function, Writer


def translated(source: Source, name: str, kinds: tuple[Any, ...], linkage: str, attributes: str) -> Function:
    """Translate a function for arguments of some kinds."""
    function = Function(name)
    writer = Writer(function, source.flags, _translated)
    arguments = [Value(kind, f"%x{i}") for i, kind in enumerate(kinds)]
    _Translator(writer, source).function(arguments)
    writer.finish(linkage, arguments, attributes)
    return function


def _translated(source: Source | External, kinds: tuple[Any, ...]) -> Function:
    """Translate a function that others call, once for arguments of some kinds."""
    if isinstance(source, External):
        return source.declared(kinds)
    known = source.translated
    if kinds not in known:
        name = f"{source.name}.{len(known)}" if known else source.name
        known[kinds] = translated(source, name, kinds, "internal", source.attributes)
    return known[kinds]


class _Translator(Expressions):
    """Translates the body of one function."""

    def __init__(self, writer: Writer, source: Source) -> None:
        self.writer, self.source = writer, source
        self.uses = Names(source.tree)
        self.single = self.uses.single
        self.names: dict[str, Any] = {}
        self.slots: dict[tuple[str, Any], Value] = {}
        self.loops: list[tuple[str, str]] = []  # where `continue` and `break` go

    def function(self, arguments: list[Value]) -> None:
        for argument, value in zip(self.source.tree.args.args, arguments, strict=True):
            self.bind(argument.arg, value)
        self.block(self.source.tree.body)
        if not self.writer.ended and self.writer.function.result is not None:
            self.writer.put("unreachable")
        elif not self.writer.ended:
            self.writer.give(None)

    # ---- names ------------------------------------------------------------------------------------------------------

    def bind(self, name: str, value: Any) -> None:
        """Let a name stand for something."""
        parameter = name not in self.uses.stored
        if parameter or name in self.single or not isinstance(value, Value | Known):
            self.names[name] = value
            return
        value = value_of(value)
        known = self.names.get(name)
        if isinstance(known, Slot) and known.place.kind.to != value.kind:
            # a number of another kind is another variable
            known = None
        place = self.slots.get((name, value.kind))
        if place is None:
            place = self.slots[name, value.kind] = self.writer.reserve(value.kind)
        self.writer.put(f"store {value.typed}, ptr {place.text}")
        self.names[name] = Slot(place, value)

    def find(self, name: str) -> Any:
        found = self.names.get(name)
        if found is None:
            if name in self.source.names:
                return self.source.names[name]
            if name in ("abs", "float", "int", "max", "min", "range"):
                return name
            raise NameError(f"{self.source.name}: nothing is known of {name!r} where it is read")
        if isinstance(found, Slot):
            if found.now is None:
                kind = found.place.kind.to
                found.now = self.writer.make(kind, f"load {kind.llvm}, ptr {found.place.text}")
            return found.now
        return found

    def changed(self, statements: list[ast.stmt]) -> set[str]:
        """Give the names that a block assigns to."""
        return self.uses.changed[id(statements)]

    def copied(self, names: dict[str, Any]) -> dict[str, Any]:
        """Give names whose variables are known apart from these."""
        return {name: Slot(x.place, x.now) if isinstance(x, Slot) else x for name, x in names.items()}

    def forgetting(self, changed: set[str]) -> dict[str, Any]:
        """Know no longer what some variables were assigned last; gives the names as they are."""
        for name in changed:
            slot = self.names.get(name)
            if isinstance(slot, Slot):
                self.names[name] = Slot(slot.place, None)
        return self.copied(self.names)

    def joined(self, before: dict[str, Any], ends: list[dict[str, Any]], changed: set[str]) -> None:
        """Go on behind blocks that ended with some names, of which any may have come before."""
        self.names = dict(before)
        for name in changed - self.single:
            places = {end[name].place for end in ends if isinstance(end.get(name), Slot)}
            if len(places) == 1:
                self.names[name] = Slot(places.pop(), None)
            elif places:  # of several kinds: whoever reads it next must assign it first
                self.names.pop(name, None)

    # ---- statements -------------------------------------------------------------------------------------------------

    def block(self, statements: list[ast.stmt]) -> None:
        for statement in statements:
            if self.writer.ended:
                return
            getattr(self, type(statement).__name__)(statement)

    def Expr(self, node: ast.Expr) -> None:
        if not isinstance(node.value, ast.Constant):  # a docstring
            self.value(node.value)

    def Pass(self, node: ast.Pass) -> None:
        pass

    def Assign(self, node: ast.Assign) -> None:
        value = self.value(node.value)
        for target in node.targets:
            self.assign(target, value)

    def assign(self, target: ast.expr, value: Any) -> None:
        if isinstance(target, ast.Name):
            self.bind(target.id, value)
        elif isinstance(target, ast.Tuple):
            for part, x in zip(target.elts, value, strict=True):
                self.assign(part, x)
        else:
            assert isinstance(target, ast.Subscript)
            place = self.writer.at(self.value(target.value), self.value(target.slice))
            self.writer.store(place, value)

    def AugAssign(self, node: ast.AugAssign) -> None:
        operator = OPERATORS[type(node.op)]
        right = self.value(node.value)
        if isinstance(node.target, ast.Name):
            self.bind(node.target.id, self.operation(operator, self.find(node.target.id), right))
            return
        assert isinstance(node.target, ast.Subscript)
        place = self.writer.at(self.value(node.target.value), self.value(node.target.slice))
        self.writer.store(place, self.operation(operator, self.writer.load(place), right))

    def Return(self, node: ast.Return) -> None:
        value = None if node.value is None else self.value(node.value)
        if isinstance(value, tuple):
            value = tuple(map(value_of, value))
        self.writer.give(value_of(value) if value is not None and not isinstance(value, tuple) else value)

    def Break(self, node: ast.Break) -> None:
        self.writer.jump(self.loops[-1][1])

    def Continue(self, node: ast.Continue) -> None:
        self.writer.jump(self.loops[-1][0])

    def If(self, node: ast.If) -> None:
        writer = self.writer
        condition = self.value(node.test)
        if not isinstance(condition, Value):
            self.block(node.body if condition else node.orelse)
            return
        yes, no, after = writer.new_label(), writer.new_label(), writer.new_label()
        writer.branch(writer.convert(condition, TRUTH), yes, no if node.orelse else after)
        before, ends = self.names, []
        for label, statements in ((yes, node.body), (no, node.orelse)):
            if not statements:
                ends.append(before)
                continue
            writer.begin(label)
            self.names = self.copied(before)
            self.block(statements)
            if not writer.ended:
                ends.append(self.names)
            writer.jump(after)
        self.joined(before, ends, self.changed(node.body) | self.changed(node.orelse))
        if ends:
            writer.begin(after)

    def While(self, node: ast.While) -> None:
        writer = self.writer
        head, inside, after = writer.new_label(), writer.new_label(), writer.new_label()
        changed = self.changed(node.body)
        before = self.forgetting(changed)
        writer.begin(head)
        condition = self.value(node.test)
        if isinstance(condition, Value):
            writer.branch(writer.convert(condition, TRUTH), inside, after)
        else:
            assert condition
            writer.jump(inside)
        writer.begin(inside)
        self.turns(node.body, before, changed, head, after)
        writer.begin(after)

    def turns(self, body: list[ast.stmt], before: dict[str, Any], changed: set[str], head: str, after: str) -> None:
        """Translate what a loop does in every turn, whose variables are those before the loop."""
        entered = {name: slot.place for name, slot in before.items() if isinstance(slot, Slot) and name in changed}
        self.loops.append((head, after))
        self.block(body)
        self.loops.pop()
        for name, place in entered.items():
            slot = self.names.get(name)
            if not self.writer.ended and isinstance(slot, Slot) and slot.place != place:
                before.pop(name, None)  # of several kinds: whoever reads it next must assign it first
        end = self.names
        self.writer.jump(head)
        self.joined(before, [end, before], changed)

    def For(self, node: ast.For) -> None:
        writer = self.writer
        assert isinstance(node.iter, ast.Call) and isinstance(node.target, ast.Name)
        limits = [self.value(argument) for argument in node.iter.args]
        begin, end, step = (0, limits[0], 1) if len(limits) == 1 else (*limits, 1)[:3]
        unsigned = any(isinstance(x, Value) and x.kind.sort == "u" for x in (begin, end, step))
        kind = UINT64 if unsigned else INT64
        first, last, by = (writer.convert(value_of(x), kind) for x in (begin, end, step))
        head, inside, following, after = (writer.new_label() for _ in range(4))
        changed = self.changed(node.body) | {node.target.id}
        before = self.forgetting(changed)
        entry = writer.label
        writer.begin(head)
        turn = writer.make(kind, "")
        place = len(writer.lines) - 1
        down = by.text.startswith("-")
        writer.branch(writer.compare(">" if down else "<", turn, last), inside, after)
        writer.begin(inside)
        self.bind(node.target.id, turn)
        self.turns(node.body, before, changed, following, after)
        writer.begin(following)
        promise = "nsw" if kind is INT64 else "nuw"
        further = writer.make(kind, f"add {promise} {turn.typed}, {by.text}")
        writer.jump(head)
        writer.lines[place] = f"{turn.text} = phi {kind.llvm} [{first.text}, %{entry}], [{further.text}, %{following}]"
        writer.begin(after)
        if node.target.id in self.single:
            self.names.pop(node.target.id, None)
