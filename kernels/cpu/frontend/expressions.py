"""The value of an expression of kernels' text: what is known when the kernel is written is computed then."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from .external import External
from .kinds import INT64, SCALARS, TRUTH, Kind, Pointer, Value, common, number, value_of
from .source import Source
from .writer import Writer

OPERATORS: dict[type, str] = {
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


#: Where a variable that is assigned more than once is, and what it was assigned last, if that is known here.
class Slot:
    __slots__ = ("now", "place")

    def __init__(self, place: Value, now: Value | None) -> None:
        self.place, self.now = place, now


class Expressions:
    """Writes what gives the values of expressions."""

    writer: Writer
    #: What names stand for.
    names: dict[str, Any]

    def find(self, name: str) -> Any:
        """Give what a name stands for."""
        raise NotImplementedError

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
        return self.operation(OPERATORS[type(node.op)], self.value(node.left), self.value(node.right))

    def operation(self, operator: str, x: Any, y: Any) -> Any:
        if isinstance(x, Value) or isinstance(y, Value):
            return self.writer.arithmetic(operator, x, y)
        return _KNOWN[operator](x, y)

    def Compare(self, node: ast.Compare) -> Any:
        x, y = self.value(node.left), self.value(node.comparators[0])
        operator = OPERATORS[type(node.ops[0])]
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
        known = {name: slot.now for name, slot in self.names.items() if isinstance(slot, Slot)}
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
        if isinstance(function, Source | External):
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

    def called(self, source: Source | External, arguments: list[Any]) -> Any:
        """Call a function of the language."""
        writer = self.writer
        values = [value_of(x) for x in arguments]
        function = writer.calling(source, tuple(value.kind for value in values))
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
    for operator in OPERATORS.values():
        yield operator, eval(f"lambda x, y: x {operator} y")


_KNOWN = dict(_known())
