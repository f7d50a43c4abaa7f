"""The state of a function that is being lowered: values, statements, names."""

from __future__ import annotations

import ast
import builtins
from collections.abc import Callable
from typing import Any

from . import syntax
from .language import Assign, Block, Family, Statement, Value, name, number
from .meanings import Meaning, Scalar


class Dead(Exception):
    """What follows is never reached."""


class Widened(Exception):
    """A name that a loop carries turned out to have a wider dtype than it began with."""

    def __init__(self, key: str, place: tuple[int, ...], dtype: str) -> None:
        super().__init__(key)
        self.key, self.place, self.dtype = key, place, dtype


class Resized(Exception):
    """An array that a loop carries turned out to have another size after a turn."""

    def __init__(self, key: str, place: tuple[int, ...]) -> None:
        super().__init__(key)
        self.key, self.place = key, place


class Unbound(Exception):
    """A loop turned out to bind arrays that are read behind it, and that nothing before it binds."""

    def __init__(self, key: str, meaning: Meaning) -> None:
        super().__init__(key)
        self.key, self.meaning = key, meaning


class Lowering:
    """A function on its way into a program; the state is shared with the functions that it calls."""

    def __init__(self, function: str) -> None:
        self.function = function
        self.body = self.block = Block()
        self.values: dict[str, Value] = {}
        self.constants: dict[str, Any] = {}
        self.line = 0
        self.scopes: list[Scope] = []
        #: What lowers expressions, and what lowers the statements of a function that is called.
        self.expression: Callable[[ast.expr], Meaning]
        self.run: Callable[[Scope, ast.FunctionDef], Meaning]
        self.comprehension: Callable[[ast.ListComp], Meaning]
        self.put_in: Callable[..., Meaning]  # puts a function in the place of its call
        self.wish = ""  # what the user calls what is computed
        self.by_loops = False  # whether products of matrices are to be loops

    # ---- values and statements --------------------------------------------------------------------------------------

    def fresh(self, wish: str) -> str:
        """Give a name that nothing has yet."""
        wish = known = wish.lstrip("$")
        count = 0
        while known in self.values or known in self.constants or known in RESERVED or hasattr(builtins, known):
            count += 1
            known = f"{wish}_{count}"
        return known

    def value(self, wish: str, dtype: str, ndim: int | None = None) -> Value:
        """Make a value that the statement written next gives."""
        made = Value(self.fresh(wish), dtype, ndim, block=self.block, line=self.line)
        if ndim is not None:
            made.family = Family()
        self.values[made.name] = made
        return made

    def constant(self, wish: str, value: Any) -> str:
        """Give a name to what is known before, an array or a function."""
        for known, other in self.constants.items():
            if other is value:
                return known
        known = self.fresh(wish)
        self.constants[known] = value
        return known

    def put(self, statement: Any) -> Any:
        """Write a statement."""
        statement.block, statement.line = self.block, self.line
        self.block.statements.append(statement)
        return statement

    def assign(self, wish: str, scalar: Scalar) -> Scalar:
        """Give a number a name."""
        target = self.value(wish, scalar.dtype)
        self.put(Assign(target, scalar.node))
        return Scalar(name(target), scalar.dtype)

    def atom(self, scalar: Scalar, wish: str = "t") -> Scalar:
        """Give a number that may be written twice."""
        return scalar if scalar.atomic else self.assign(wish, scalar)

    def refuse(self, construct: str, remedy: str) -> TypeError:
        """Give the error for what has no derivative; what one of our own functions meets is its caller's."""
        for place, scope in enumerate(self.scopes):
            if scope.stands_for:
                called = self.scopes[place - 1].name
                return syntax.refuse(called, scope.line, f"{scope.stands_for} of these arguments", "write it as loops")
        return syntax.refuse(self.scopes[-1].name if self.scopes else self.function, self.line, construct, remedy)

    def inner(self, owner: Statement, block: Block) -> Block:
        """Make a block part of a statement that will be written here."""
        block.owner, block.parent = owner, self.block
        return block


#: Names that derivatives use themselves.
RESERVED = {
    "np", "math", "float64", "float32", "int64", "bool_", "cotangent", "grown", "common", "spread", "prange", "tangent",
    "apart", "range", "len", "int", "float", "abs", "min", "max", "gather", "pieces", "folded", "rows", "rooted",
    "reused", "cleared", "fits", "matches",
}  # fmt: skip


def free_name(program: Any, wish: str) -> str:
    """Give a name that a program does not have."""
    known, count = wish, 0
    while known in program.values or known in program.constants or known in RESERVED or hasattr(builtins, known):
        count += 1
        known = f"{wish}_{count}"
    return known


class Scope:
    """One function in the walk: its names, and where it finds those that it does not bind."""

    def __init__(self, lowering: Lowering, name: str, outer: Any) -> None:
        self.lowering, self.name, self.outer = lowering, name, outer
        self.names: dict[str, Meaning] = {}
        #: Of our own functions: what it is put in the place of, and the line there.
        self.stands_for, self.line = "", 0

    def find(self, key: str) -> Meaning:
        """Give what a name stands for."""
        if key in self.names:
            return self.names[key]
        return self.outer(key)


def measure(lowering: Lowering, value: Value) -> None:
    """Have the sizes of an array as numbers of their own, for the way back."""
    assert value.ndim is not None
    value.sizes = [
        lowering.assign(f"{value.name}_size", Scalar(size_of(value, axis), "int64")).node for axis in range(value.ndim)
    ]


def called(key: str) -> str:
    """Give what a name is called in messages."""
    return "what is returned" if key == syntax.RESULT else repr(key)


def size_of(value: Value, axis: int) -> ast.expr:
    """Write the size of an array along an axis."""
    return ast.Subscript(ast.Attribute(name(value), "shape", ast.Load()), number(axis), ast.Load())
