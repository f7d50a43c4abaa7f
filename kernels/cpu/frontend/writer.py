"""Writes a function in LLVM's language: instructions on values, blocks, and variables."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .beyond import what_division_leaves
from .kinds import FLOAT64, INT64, TRUTH, UINT64, Kind, Pointer, Value, common, number, value_of, widened

_COMPARISONS = {"==": "eq", "!=": "ne", "<": "lt", "<=": "le", ">": "gt", ">=": "ge"}
_FLOATS = {"+": "fadd", "-": "fsub", "*": "fmul", "/": "fdiv"}
_WHOLE = {"+": "add", "-": "sub", "*": "mul", "&": "and", "|": "or", "^": "xor", "<<": "shl"}


class Function:
    """A function in LLVM's language, and what else its module must have."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.text = ""
        #: What it gives: a kind, a tuple of kinds, or None.
        self.result: Any = None
        self.needs: dict[str, Function] = {}
        self.declares: dict[str, str] = {}
        #: Definitions of other things, by name: tables, and functions that are written by hand.
        self.defines: dict[str, str] = {}
        #: The alias scopes that it refers to (`memory.metadata`).
        self.scopes: set[int] = set()

    def everything(self) -> list[Function]:
        """Give this function and all that it needs, each once."""
        found: dict[str, Function] = {}
        stack = [self]
        while stack:
            function = stack.pop()
            if function.name not in found:
                found[function.name] = function
                stack.extend(function.needs.values())
        return list(found.values())


class Writer:
    """Writes the body of a function.

    `flags` are the liberties that LLVM may take with sums and products; `translated` translates what it calls.
    `effects` counts what must not be done unless it is asked for, reads, calls, further blocks: where an expression has
    none, both sides of a choice are computed.
    """

    def __init__(self, function: Function, flags: str, translated: Callable[[Any, tuple[Any, ...]], Function]) -> None:
        self.function, self.flags = function, f"{flags} " if flags else ""
        self._translated = translated
        self.lines: list[str] = []
        self.reserved: list[str] = []
        self.attributes: list[str] = []
        self.effects = 0
        self.label = "entry"
        self.ended = False
        self._registers = self._labels = 0

    def calling(self, source: Any, kinds: tuple[Any, ...]) -> Function:
        """Give what a function of the language becomes for arguments of some kinds, to be called here."""
        function = self._translated(source, kinds)
        self.function.needs[function.name] = function
        return function

    # ---- instructions -----------------------------------------------------------------------------------------------

    def put(self, line: str) -> None:
        """Write an instruction without a result."""
        self.lines.append(line)

    def make(self, kind: Any, instruction: str) -> Value:
        """Write an instruction, and give its result."""
        self._registers += 1
        name = f"%v{self._registers}"
        self.lines.append(f"{name} = {instruction}")
        return Value(kind, name)

    def call(self, kind: Any, name: str, *arguments: Value, effect: bool = False) -> Any:
        """Call a function of LLVM's, or of the C library's."""
        result = "void" if kind is None else kind.llvm
        kinds = ", ".join(value.kind.llvm for value in arguments)
        self.function.declares[name] = f"declare {result} @{name}({kinds})"
        self.effects += effect
        text = f"call {result} @{name}({', '.join([value.typed for value in arguments])})"
        return self.put(text) if kind is None else self.make(kind, text)

    def intrinsic(self, name: str, *arguments: Value) -> Value:
        """Call LLVM's intrinsic of a name for numbers of one floating kind."""
        kind = arguments[0].kind
        given = [self.convert(value, kind) for value in arguments]
        result: Value = self.call(kind, f"llvm.{name}.{kind.suffix}", *given)
        return result

    def reserve(self, kind: Kind | Pointer, count: int = 1, align: int = 0) -> Value:
        """Reserve memory for numbers on the stack."""
        name = f"%a{len(self.reserved)}"
        aligned = f", align {align}" if align else ""
        self.reserved.append(f"{name} = alloca {kind.llvm}, i64 {count}{aligned}")
        return Value(Pointer(kind), name)

    def at(self, pointer: Value, index: Any) -> Value:
        """Give the place of an element."""
        index = self.convert(value_of(index), widened(value_of(index).kind))
        if index.text == "0":
            return pointer
        return self.make(pointer.kind, f"getelementptr {pointer.kind.to.llvm}, ptr {pointer.text}, {index.typed}")

    def load(self, place: Value, marks: str = "") -> Value:
        """Read an element."""
        self.effects += 1
        return self.make(place.kind.to, f"load {place.kind.to.llvm}, ptr {place.text}{marks}")

    def store(self, place: Value, value: Any, marks: str = "") -> None:
        """Write an element."""
        self.effects += 1
        self.put(f"store {self.convert(value_of(value), place.kind.to).typed}, ptr {place.text}{marks}")

    # ---- numbers ----------------------------------------------------------------------------------------------------

    def convert(self, value: Any, kind: Any) -> Value:
        """Give a value as one of another kind."""
        if not isinstance(value, Value):
            return number(value, kind)
        source = value.kind
        if source == kind:
            return value
        if isinstance(kind, Pointer) or isinstance(source, Pointer):
            raise TypeError(f"{self.function.name} has {source} where {kind} is needed")
        if kind is TRUTH:
            return self.compare("!=", value, 0)
        if source.sort == "f" and kind.sort == "f":
            name = "fpext" if kind.bits > source.bits else "fptrunc"
        elif source.sort == "f":
            name = "fptosi" if kind.sort == "i" else "fptoui"
        elif kind.sort == "f":
            name = "sitofp" if source.sort == "i" else "uitofp"
        elif kind.bits == source.bits:
            return Value(kind, value.text)
        elif value.text[1:].isdigit() or value.text.isdigit():
            return number(int(value.text), kind)
        elif kind.bits < source.bits:
            name = "trunc"
        else:
            name = "sext" if source.sort == "i" else "zext"
        return self.make(kind, f"{name} {value.typed} to {kind.llvm}")

    def arithmetic(self, operator: str, x: Any, y: Any) -> Any:
        """Compute ``x operator y``."""
        x, y = value_of(x), value_of(y)
        if operator in "&|^" and x.kind is TRUTH is y.kind:
            return self.make(TRUTH, f"{_WHOLE[operator]} {x.typed}, {y.text}")
        kind = common(x.kind, y.kind)
        if operator == "/" and kind.sort != "f":
            kind = FLOAT64
        x, y = self.convert(x, kind), self.convert(y, kind)
        if kind.sort == "f":
            if operator in ("//", "%"):
                return self._divided_to_whole(operator, x, y)
            return self.make(kind, f"{_FLOATS[operator]} {self.flags}{x.typed}, {y.text}")
        if operator in ("//", "%"):
            return self._divided(operator, x, y)
        if operator == ">>":
            return self.make(kind, f"{'ashr' if kind.sort == 'i' else 'lshr'} {x.typed}, {y.text}")
        # Numba's promise as well: places in arrays do not wrap around
        promise = "nsw " if operator in "+-*" and kind.sort == "i" else ""
        return self.make(kind, f"{_WHOLE[operator]} {promise}{x.typed}, {y.text}")

    def _divided(self, operator: str, x: Value, y: Value) -> Value:
        """Divide whole numbers, rounding down as Python does; by zero it is 0, as with NumPy."""
        kind = x.kind
        known = int(y.text) if y.text.isdigit() else 0
        if kind.sort == "u":
            by = y if known else self.select(self.compare("==", y, number(0, kind)), number(1, kind), y)
            y_is_zero = None if known else self.compare("==", y, number(0, kind))
            result = self.make(kind, f"{'udiv' if operator == '//' else 'urem'} {x.typed}, {by.text}")
            return result if y_is_zero is None else self.select(y_is_zero, number(0, kind), result)
        if known and known & (known - 1) == 0:
            if operator == "//":
                return self.make(kind, f"ashr {x.typed}, {known.bit_length() - 1}")
            return self.make(kind, f"and {x.typed}, {known - 1}")
        zero, one = number(0, kind), number(1, kind)
        is_zero, by = None, y
        if not known:
            # the least number over -1 is out of range, and the processor ends the program
            is_zero = self.compare("==", y, zero)
            is_opposite = self.compare("==", y, number(-1, kind))
            by = self.select(is_zero, one, self.select(is_opposite, one, y))
        quotient = self.make(kind, f"sdiv {x.typed}, {by.text}")
        rest = self.make(kind, f"srem {x.typed}, {by.text}")
        signs = self.compare("<", self.make(kind, f"xor {rest.typed}, {y.text}"), zero)
        off = self.make(TRUTH, f"and {self.compare('!=', rest, zero).typed}, {signs.text}")
        if operator == "//":
            result = self.make(kind, f"sub {quotient.typed}, {self.convert(off, kind).text}")
            if not known:
                result = self.select(is_opposite, self.make(kind, f"sub {kind.llvm} 0, {x.text}"), result)
        else:
            result = self.make(kind, f"add {rest.typed}, {self.select(off, y, zero).text}")
        return result if is_zero is None else self.select(is_zero, zero, result)

    def _divided_to_whole(self, operator: str, x: Value, y: Value) -> Value:
        """Divide floating numbers to a whole one, or what is left, as Python does; by zero as IEEE 754 has it."""
        kind = x.kind
        zero, one, half = (number(n, kind) for n in (0.0, 1.0, 0.5))
        rest = what_division_leaves(self, x, y)
        nothing, left = self.compare("==", y, zero), self.compare("!=", rest, zero)
        sides = self.compare("!=", self.compare("<", y, zero), self.compare("<", rest, zero))
        off = self.make(TRUTH, f"and {left.typed}, {sides.text}")
        if operator == "%":
            signed = self.select(left, rest, self.intrinsic("copysign", zero, y))
            moved = self.make(kind, f"fadd {rest.typed}, {y.text}")
            return self.select(nothing, rest, self.select(off, moved, signed))
        whole = self.make(kind, f"fdiv {self.make(kind, f'fsub {x.typed}, {rest.text}').typed}, {y.text}")
        whole = self.select(off, self.make(kind, f"fsub {whole.typed}, {one.text}"), whole)
        floor = self.intrinsic("floor", whole)
        above = self.compare(">", self.make(kind, f"fsub {whole.typed}, {floor.text}"), half)
        floor = self.select(above, self.make(kind, f"fadd {floor.typed}, {one.text}"), floor)
        quotient = self.make(kind, f"fdiv {x.typed}, {y.text}")
        floor = self.select(self.compare("!=", whole, zero), floor, self.intrinsic("copysign", zero, quotient))
        return self.select(nothing, quotient, floor)

    def compare(self, operator: str, x: Any, y: Any) -> Value:
        """Compare two numbers."""
        first, second = value_of(x), value_of(y)
        name = _COMPARISONS[operator]
        if first.kind is TRUTH is second.kind:
            kind = TRUTH
        else:
            kind = common(first.kind, second.kind)
            signs = {value.kind.sort for value in (first, second) if not value.text.isdigit()}
            if kind == INT64 and signs == {"i", "u"} and name not in ("eq", "ne"):
                return self._compare_signs(operator, first, second)
            if kind == INT64 and signs == {"u"}:
                kind = UINT64
        first, second = self.convert(first, kind), self.convert(second, kind)
        if kind.sort == "f":
            return self.make(TRUTH, f"fcmp {'u' if name == 'ne' else 'o'}{name} {first.typed}, {second.text}")
        order = "" if name in ("eq", "ne") else "s" if kind.sort == "i" else "u"
        return self.make(TRUTH, f"icmp {order}{name} {first.typed}, {second.text}")

    def _compare_signs(self, operator: str, x: Value, y: Value) -> Value:
        """Compare a signed with an unsigned number, as numbers."""
        signed = x if x.kind.sort == "i" else y
        below = self.compare("<", signed, 0)
        unlike = (operator in ("<", "<=")) == (signed is x)
        same = self.compare(operator, self.convert(x, UINT64), self.convert(y, UINT64))
        return self.select(below, number(unlike, TRUTH), same)

    def negative(self, x: Value) -> Value:
        if x.kind.sort == "f":
            return self.make(x.kind, f"fneg {self.flags}{x.typed}")
        kind = widened(x.kind)
        return self.make(kind, f"sub {'nsw ' if kind.sort == 'i' else ''}{kind.llvm} 0, {self.convert(x, kind).text}")

    def invert(self, x: Value) -> Value:
        """Give the other truth value."""
        return self.make(TRUTH, f"xor {self.convert(x, TRUTH).typed}, true")

    def absolute(self, x: Value) -> Value:
        if x.kind.sort == "f":
            return self.intrinsic("fabs", x)
        if x.kind.sort != "i":
            return x
        x = self.convert(x, INT64)
        return self.select(self.compare("<", x, 0), self.negative(x), x)

    def select(self, condition: Any, x: Any, y: Any) -> Any:
        """Give one of two values, or of two tuples of them."""
        if isinstance(x, tuple):
            return tuple(self.select(condition, a, b) for a, b in zip(x, y, strict=True))
        if not isinstance(x, Value) and not isinstance(y, Value) and type(x) is type(y) and repr(x) == repr(y):
            return x
        x, y = value_of(x), value_of(y)
        if x.kind != y.kind:
            kind = common(x.kind, y.kind)
            x, y = self.convert(x, kind), self.convert(y, kind)
        return self.make(x.kind, f"select {value_of(condition).typed}, {x.typed}, {y.typed}")

    # ---- blocks -----------------------------------------------------------------------------------------------------

    def new_label(self) -> str:
        self._labels += 1
        return f"b{self._labels}"

    def begin(self, label: str) -> None:
        """Begin a block."""
        self.effects += 1
        if not self.ended:
            self.put(f"br label %{label}")
        self.lines.append(f"{label}:")
        self.label, self.ended = label, False

    def jump(self, label: str) -> None:
        """End a block, if nothing has."""
        if not self.ended:
            self.put(f"br label %{label}")
            self.ended = True

    def branch(self, condition: Value, yes: str, no: str) -> None:
        self.put(f"br {condition.typed}, label %{yes}, label %{no}")
        self.ended = True

    def give(self, value: Any) -> None:
        """Return from the function."""
        if value is None:
            kind: Any = None
            self.put("ret void")
        elif isinstance(value, tuple):
            kind = tuple(x.kind for x in value)
            kinds = ", ".join(k.llvm for k in kind)
            text = "undef"
            for i, x in enumerate(value):
                text = self.make(None, f"insertvalue {{{kinds}}} {text}, {x.typed}, {i}").text
            self.put(f"ret {{{kinds}}} {text}")
        else:
            kind = value.kind
            self.put(f"ret {value.typed}")
        if self.function.result not in (None, kind):
            raise TypeError(f"{self.function.name} gives {self.function.result} and {kind}")
        self.function.result = kind
        self.ended = True

    def finish(self, linkage: str, arguments: list[Value], attributes: str) -> None:
        """Write the whole function."""
        result = self.function.result
        kinds = f"{{{', '.join(k.llvm for k in result)}}}" if isinstance(result, tuple) else None
        gives = kinds or ("void" if result is None else result.llvm)
        given = ", ".join(value.typed for value in arguments)
        notes = " ".join(["nounwind", attributes, *self.attributes])
        body = ["entry:", *self.reserved, *self.lines]
        head = f"define {linkage} {gives} @{self.function.name}({given}) {notes} {{"
        self.function.text = "\n".join([head, *body, "}"])
