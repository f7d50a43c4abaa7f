"""From the Python that kernels are written in to LLVM's language, in one pass over the syntax tree.

The language: numbers, truth values and pointers; assignments, `for` over `range`, `while`, `if`, `return`; calls of
what the text's namespace has, functions of the same language among them. What is known when the kernel is written
(Python's numbers, tuples) is computed then. Numbers have Numba's types: Python's have 64 bits, and smaller ones are
computed in 64. Both sides of a choice between numbers are computed, so that loops around it become vector loops.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from functools import cache as once
from types import FunctionType
from typing import Any

import numpy as np

from ...lazy import lazy
from .kinds import INT64, SCALARS, TRUTH, UINT64, Kind, Known, Pointer, Value, common, number, value_of
from .writer import Function, Writer

_OPERATORS: dict[type, str] = {
    ast.Add: "+",
    ast.Sub: "-",
    ast.Mult: "*",
    ast.Div: "/",
    ast.FloorDiv: "//",
    ast.Mod: "%",
    ast.Pow: "**",  # of known numbers only
    ast.BitAnd: "&",
    ast.BitOr: "|",
    ast.BitXor: "^",
    ast.LShift: "<<",
    ast.RShift: ">>",
    ast.Eq: "==",
    ast.NotEq: "!=",
    ast.Lt: "<",
    ast.LtE: "<=",
    ast.Gt: ">",
    ast.GtE: ">=",
}


class Source:
    """A function of the language: its syntax tree, and what the names in it stand for."""

    def __init__(
        self,
        name: str,
        tree: Callable[[], ast.FunctionDef],
        names: dict[str, Any],
        flags: str = "",
        inline: bool = True,
    ) -> None:
        self._tree, self.names, self.name, self.flags = tree, names, name, flags
        self.attributes = "alwaysinline" if inline else "noinline"
        self.compiled: dict[Any, Function] = {}

    @classmethod
    def of(cls, function: FunctionType) -> Source:
        """Give the source of a Python function, with its globals."""
        code = function.__code__
        return cls(function.__name__, lambda: _trees(code.co_filename)[code.co_firstlineno], function.__globals__)

    @lazy
    def tree(self) -> ast.FunctionDef:
        """The syntax tree, which is looked for when it is needed."""
        return self._tree()

    def function(self, kinds: tuple[Any, ...]) -> Function:
        """Translate for arguments of some kinds, to be called in any module."""
        if kinds not in self.compiled:
            mark = "" if len(self.compiled) == 0 else f".{len(self.compiled)}"
            self.compiled[kinds] = translated(self, f"{self.name}{mark}", kinds, "internal", self.attributes)
        return self.compiled[kinds]


@once
def _trees(filename: str) -> dict[int, ast.FunctionDef]:
    with open(filename, encoding="utf-8") as file:
        tree = ast.parse(file.read())
    return {node.lineno: node for node in tree.body if isinstance(node, ast.FunctionDef)}


def translated(source: Source, name: str, kinds: tuple[Any, ...], linkage: str, attributes: str) -> Function:
    """Translate a function for arguments of some kinds."""
    function = Function(name)
    writer = Writer(function, source.flags)
    arguments = [Value(kind, f"%x{i}") for i, kind in enumerate(kinds)]
    _Translator(writer, source).function(arguments)
    writer.finish(linkage, arguments, attributes)
    return function


#: Where a variable that is assigned more than once is, and what it was assigned last, if that is known here.
class _Slot:
    __slots__ = ("now", "place")

    def __init__(self, place: Value, now: Value | None) -> None:
        self.place, self.now = place, now


class _Names:
    """What becomes of the names in a function: one look at its syntax tree."""

    def __init__(self, tree: ast.FunctionDef) -> None:
        #: The names that are assigned to in a block, by the list of its statements.
        self.changed: dict[int, set[str]] = {}
        self._stored: dict[str, list[tuple[int, ...]]] = {}
        self._loaded: dict[str, list[tuple[int, ...]]] = {}
        self._counters: set[str] = set()
        #: All that are assigned to.
        self.stored = self._block(tree.body, ())
        arguments = {argument.arg for argument in tree.args.args}
        once_only = {
            name
            for name, places in self._stored.items()
            if len(places) == 1 and all(path[: len(places[0])] == places[0] for path in self._loaded.get(name, ()))
        }
        #: Those that are assigned to once, where all that reads them comes after, in the same block or inside.
        self.single = (once_only | self._counters) - (arguments & self.stored)
        self.single -= {name for name in self._counters if name in self._stored}

    def _block(self, statements: list[ast.stmt], path: tuple[int, ...]) -> set[str]:
        path = (*path, id(statements))
        changed: set[str] = set()
        for statement in statements:
            self._visit(statement, path, changed)
        self.changed[id(statements)] = changed
        return changed

    def _visit(self, node: ast.AST, path: tuple[int, ...], changed: set[str]) -> None:
        if isinstance(node, ast.Name):
            if isinstance(node.ctx, ast.Store):
                changed.add(node.id)
                self._stored.setdefault(node.id, []).append(path)
            else:
                self._loaded.setdefault(node.id, []).append(path)
            return
        if isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name):
            self._stored.setdefault(node.target.id, []).append(path)  # besides the one that follows
        if isinstance(node, ast.For):
            assert isinstance(node.target, ast.Name)
            self._counters.add(node.target.id)
            changed.add(node.target.id)
            self._visit(node.iter, path, changed)
            changed |= self._block(node.body, path)
            return
        for name in node._fields:
            value = getattr(node, name)
            if isinstance(value, list):
                if name in ("body", "orelse"):
                    changed |= self._block(value, path)
                else:
                    for child in value:
                        if isinstance(child, ast.AST):
                            self._visit(child, path, changed)
            elif isinstance(value, ast.AST):
                self._visit(value, path, changed)


class _Translator:
    """Translates the body of one function."""

    def __init__(self, writer: Writer, source: Source) -> None:
        self.writer, self.source = writer, source
        self.uses = _Names(source.tree)
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
        if isinstance(known, _Slot) and known.place.kind.to != value.kind:
            # a number of another kind is another variable
            known = None
        place = self.slots.get((name, value.kind))
        if place is None:
            place = self.slots[name, value.kind] = self.writer.reserve(value.kind)
        self.writer.put(f"store {value.typed}, ptr {place.text}")
        self.names[name] = _Slot(place, value)

    def find(self, name: str) -> Any:
        found = self.names.get(name)
        if found is None:
            if name in self.source.names:
                return self.source.names[name]
            if name in ("abs", "float", "int", "max", "min", "range"):
                return name
            raise NameError(f"{self.source.name}: nothing is known of {name!r} where it is read")
        if isinstance(found, _Slot):
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
        return {name: _Slot(x.place, x.now) if isinstance(x, _Slot) else x for name, x in names.items()}

    def forgetting(self, changed: set[str]) -> dict[str, Any]:
        """Know no longer what some variables were assigned last; gives the names as they are."""
        for name in changed:
            slot = self.names.get(name)
            if isinstance(slot, _Slot):
                self.names[name] = _Slot(slot.place, None)
        return self.copied(self.names)

    def joined(self, before: dict[str, Any], ends: list[dict[str, Any]], changed: set[str]) -> None:
        """Go on behind blocks that ended with some names, of which any may have come before."""
        self.names = dict(before)
        for name in changed - self.single:
            places = {end[name].place for end in ends if isinstance(end.get(name), _Slot)}
            if len(places) == 1:
                self.names[name] = _Slot(places.pop(), None)
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
        operator = _OPERATORS[type(node.op)]
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
        entered = {name: slot.place for name, slot in before.items() if isinstance(slot, _Slot) and name in changed}
        self.loops.append((head, after))
        self.block(body)
        self.loops.pop()
        for name, place in entered.items():
            slot = self.names.get(name)
            if not self.writer.ended and isinstance(slot, _Slot) and slot.place != place:
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

    # ---- expressions ------------------------------------------------------------------------------------------------

    def value(self, node: ast.expr) -> Any:
        return getattr(self, type(node).__name__)(node)

    def Constant(self, node: ast.Constant) -> Any:
        return node.value

    def Name(self, node: ast.Name) -> Any:
        return self.find(node.id)

    def Tuple(self, node: ast.Tuple) -> Any:
        return tuple(self.value(part) for part in node.elts)

    def Attribute(self, node: ast.Attribute) -> Any:
        return getattr(self.value(node.value), node.attr)

    def Subscript(self, node: ast.Subscript) -> Any:
        whole = self.value(node.value)
        if isinstance(node.slice, ast.Slice):
            parts = (node.slice.lower, node.slice.upper, node.slice.step)
            return whole[slice(*(None if part is None else self.value(part) for part in parts))]
        index = self.value(node.slice)
        if isinstance(whole, tuple):
            return whole[index] if isinstance(index, int) else self.from_table(whole, index)
        return self.writer.load(self.writer.at(whole, index))

    def from_table(self, numbers: tuple[Any, ...], index: Value) -> Value:
        """Read an element of a tuple of numbers, which are a table in the module."""
        values = [value_of(x) for x in numbers]
        kind = values[0].kind
        name = f"table{len(values)}_{hash(numbers) & 0xFFFFFFFF:x}"
        content = ", ".join(value.typed for value in values)
        self.writer.function.defines[name] = (
            f"@{name} = private unnamed_addr constant [{len(values)} x {kind.llvm}] [{content}]"
        )
        return self.writer.load(self.writer.at(Value(Pointer(kind), f"@{name}"), index))

    def UnaryOp(self, node: ast.UnaryOp) -> Any:
        x = self.value(node.operand)
        if isinstance(node.op, ast.Not):
            return self.writer.invert(x) if isinstance(x, Value) else not x
        assert isinstance(node.op, ast.USub)
        return self.writer.negative(x) if isinstance(x, Value) else -x

    def BinOp(self, node: ast.BinOp) -> Any:
        return self.operation(_OPERATORS[type(node.op)], self.value(node.left), self.value(node.right))

    def operation(self, operator: str, x: Any, y: Any) -> Any:
        if isinstance(x, Value) or isinstance(y, Value):
            return self.writer.arithmetic(operator, x, y)
        return _KNOWN[operator](x, y)

    def Compare(self, node: ast.Compare) -> Any:
        x, y = self.value(node.left), self.value(node.comparators[0])
        operator = _OPERATORS[type(node.ops[0])]
        assert len(node.ops) == 1
        if isinstance(x, Value) or isinstance(y, Value):
            return self.writer.compare(operator, x, y)
        return bool(_KNOWN[operator](x, y))

    def BoolOp(self, node: ast.BoolOp) -> Any:
        conjunction = isinstance(node.op, ast.And)
        value = self.value(node.values[0])
        for following in node.values[1:]:
            if not isinstance(value, Value):
                value = self.value(following) if bool(value) is conjunction else value
                continue
            decided = not conjunction
            value = self.chosen(
                self.writer.convert(value, TRUTH),
                (lambda: self.truth(following)) if conjunction else (lambda: number(decided, TRUTH)),  # noqa: B023
                (lambda: number(decided, TRUTH)) if conjunction else (lambda: self.truth(following)),  # noqa: B023
            )
        return value

    def truth(self, node: ast.expr) -> Value:
        return self.writer.convert(value_of(self.value(node)), TRUTH)

    def IfExp(self, node: ast.IfExp) -> Any:
        condition = self.value(node.test)
        if not isinstance(condition, Value):
            return self.value(node.body if condition else node.orelse)
        condition = self.writer.convert(condition, TRUTH)
        return self.chosen(condition, lambda: self.value(node.body), lambda: self.value(node.orelse))

    def chosen(self, condition: Value, yes: Callable[[], Any], no: Callable[[], Any]) -> Any:
        """Give one of two values: both are computed if that has no effects, and by a branch only one."""
        writer = self.writer
        length, effects, label = len(writer.lines), writer.effects, writer.label
        known = {name: slot.now for name, slot in self.names.items() if isinstance(slot, _Slot)}
        first, second = yes(), no()
        if writer.effects == effects:
            return writer.select(condition, first, second)
        del writer.lines[length:]
        writer.label = label

        def as_before() -> None:
            for name, now in known.items():
                self.names[name].now = now

        as_before()
        first_label, second_label, after = writer.new_label(), writer.new_label(), writer.new_label()
        kinds = [value_of(x).kind for x in (first, second)]
        kind = kinds[0] if kinds[0] == kinds[1] else common(*kinds)
        writer.branch(condition, first_label, second_label)
        ways = []
        for begin, make in ((first_label, yes), (second_label, no)):
            writer.begin(begin)
            value = writer.convert(value_of(make()), kind)
            ways.append(f"[{value.text}, %{writer.label}]")
            writer.jump(after)
            as_before()
        writer.begin(after)
        return writer.make(kind, f"phi {kind.llvm} {', '.join(ways)}")

    def Call(self, node: ast.Call) -> Any:
        writer = self.writer
        function = self.value(node.func)
        arguments = [self.value(argument) for argument in node.args]
        if isinstance(function, Kind):
            return self.converted(function, arguments[0])
        if isinstance(function, Source):
            return self.called(function, arguments)
        if isinstance(function, str):
            return getattr(self, f"call_{function}")(*arguments)
        if isinstance(function, type) and issubclass(function, np.number):
            return self.converted(SCALARS[function.__name__], arguments[0])
        return function(writer, *arguments)

    def converted(self, kind: Kind, x: Any) -> Any:
        if isinstance(x, Value):
            return self.writer.convert(x, kind)
        if kind.sort == "f" and kind.bits == 32:
            return np.float32(x)
        return np.float64(x) if kind.sort == "f" else number(x, kind)

    def called(self, source: Source, arguments: list[Any]) -> Any:
        """Call a function of the language."""
        writer = self.writer
        values = [value_of(x) for x in arguments]
        function = source.function(tuple(value.kind for value in values))
        writer.function.needs[function.name] = function
        given = ", ".join(value.typed for value in values)
        if source.attributes == "noinline":
            writer.effects += 1
        result = function.result
        if result is None:
            return writer.put(f"call void @{function.name}({given})")
        if isinstance(result, tuple):
            kinds = f"{{{', '.join(kind.llvm for kind in result)}}}"
            whole = writer.make(None, f"call {kinds} @{function.name}({given})").text
            return tuple(writer.make(kind, f"extractvalue {kinds} {whole}, {i}") for i, kind in enumerate(result))
        return writer.make(result, f"call {result.llvm} @{function.name}({given})")

    def call_abs(self, x: Any) -> Any:
        return self.writer.absolute(x) if isinstance(x, Value) else abs(x)

    def call_float(self, x: Any) -> Any:
        return self.converted(SCALARS["float64"], float(x) if isinstance(x, str) else x)

    def call_int(self, x: Any) -> Any:
        return self.writer.convert(x, INT64) if isinstance(x, Value) else int(x)

    def call_min(self, *numbers: Any) -> Any:
        return self._extremum("<=", numbers)

    def call_max(self, *numbers: Any) -> Any:
        return self._extremum(">=", numbers)

    def _extremum(self, operator: str, numbers: tuple[Any, ...]) -> Any:
        result, *rest = numbers
        for x in rest:
            if isinstance(x, Value) or isinstance(result, Value):
                result = self.writer.select(self.writer.compare(operator, x, result), x, result)
            else:
                result = x if _KNOWN[operator](x, result) else result
        return result


def _known() -> Iterator[tuple[str, Callable[[Any, Any], Any]]]:
    for operator in _OPERATORS.values():
        yield operator, eval(f"lambda x, y: x {operator} y")


_KNOWN = dict(_known())
