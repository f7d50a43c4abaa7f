"""The language that derivatives are made in: numbers that are given once, arrays that are written to, loops, branches.

A user's function is lowered to it (`lowering`), analysed in it (`analysis`), and written out of it, as it is or with
its derivative (`writing`, `reverse`, `forward`). Every number has one name and one statement that gives it, so that
nothing is ever overwritten but the elements of arrays. What a loop carries from turn to turn, and what branches give
both, is said where they begin and end. Expressions are Python's syntax trees over these names.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from ..kernels.text import parsed

#: Types of numbers are names of dtypes.
FLOATING = ("float32", "float64")


@dataclass(eq=False)
class Value:
    """A number, or an array: a name, and what is known of it."""

    name: str
    dtype: str
    ndim: int | None = None  # None for numbers
    #: For arrays: the sizes, as expressions; where the memory comes from; whose view it is.
    sizes: list[ast.expr] = field(default_factory=list)
    family: Family | None = None
    block: Block | None = None  # where it is given
    line: int = 0

    @property
    def floating(self) -> bool:
        """Whether there are derivatives of it."""
        return self.dtype in FLOATING

    def __repr__(self) -> str:
        return self.name


@dataclass(eq=False)
class Family:
    """Arrays that may share memory: what is said of one holds for all."""

    parent: Family | None = None
    argument: bool = False
    carried: bool = False  # whether a loop carries one of them

    def root(self) -> Family:
        """Give the family that this one has become part of."""
        family = self
        while family.parent is not None:
            family = family.parent
        return family

    def join(self, other: Family) -> None:
        """Make one family of two."""
        first, second = self.root(), other.root()
        if first is not second:
            second.parent = first
            first.argument |= second.argument
            first.carried |= second.carried


@dataclass(eq=False)
class Block:
    """Statements one after the other, in a function, a loop or a branch."""

    owner: Statement | None = None
    parent: Block | None = None
    statements: list[Statement] = field(default_factory=list)

    def loops(self) -> list[Loop]:
        """Give the loops that the block is in, the innermost first.

        A turn that is run again just before the way back through it is like the whole of a function: what it computed
        is at hand there, so the loops around it do not count.
        """
        found, block = [], self
        while block.parent is not None:
            if isinstance(block.owner, Loop):
                if block.owner.replayed:
                    break
                found.append(block.owner)
            block = block.parent
        return found

    def around(self) -> list[Loop]:
        """Give all loops that the block is in, the innermost first."""
        found, block = [], self
        while block.parent is not None:
            if isinstance(block.owner, Loop):
                found.append(block.owner)
            block = block.parent
        return found

    def inside(self, other: Block) -> bool:
        """Tell whether the block is another one, or in it."""
        block: Block | None = self
        while block is not None and block is not other:
            block = block.parent
        return block is other

    def walk(self) -> Iterator[Statement]:
        """Give all statements in it, of inner blocks as well, in the order of the program."""
        for statement in self.statements:
            yield statement
            for block in statement.blocks():
                yield from block.walk()

    def once(self) -> Iterator[Statement]:
        """Give all statements in it but those that are run again within loops."""
        for statement in self.statements:
            yield statement
            if not (isinstance(statement, Loop) and statement.replayed):
                for block in statement.blocks():
                    yield from block.once()


@dataclass(eq=False, kw_only=True)
class Statement:
    """Something that is done."""

    block: Block = field(repr=False, default=None)  # type: ignore[assignment]
    line: int = 0
    order: int = 0  # its place in the whole program

    def blocks(self) -> list[Block]:
        """Give the blocks that it consists of."""
        return []

    def gives(self) -> list[Value]:
        """Give the values that it gives to its block."""
        return []

    def expressions(self) -> list[ast.expr]:
        """Give the expressions that it computes itself, outside of its blocks."""
        return []


@dataclass(eq=False)
class Assign(Statement):
    """A number that an expression gives; elements of arrays are read in it."""

    target: Value
    value: ast.expr

    def gives(self) -> list[Value]:
        """Give the number."""
        return [self.target]

    def expressions(self) -> list[ast.expr]:
        """Give what is computed."""
        return [self.value]


@dataclass(eq=False)
class Store(Statement):
    """An element of an array becomes a number, or that much more."""

    array: Value
    index: list[ast.expr]
    value: ast.expr
    adds: bool = False

    def expressions(self) -> list[ast.expr]:
        """Give the index and the number."""
        return [*self.index, self.value]


@dataclass(eq=False)
class Allocate(Statement):
    """A new array, of zeros, of ones or of anything."""

    target: Value
    fill: str

    def gives(self) -> list[Value]:
        """Give the array."""
        return [self.target]

    def expressions(self) -> list[ast.expr]:
        """Give its sizes."""
        return self.target.sizes


@dataclass(eq=False)
class View(Statement):
    """An array in the memory of another."""

    target: Value
    base: Value
    value: ast.expr  # over the name of the base

    def gives(self) -> list[Value]:
        """Give the view."""
        return [self.target]

    def expressions(self) -> list[ast.expr]:
        """Give how it is taken."""
        return [self.value]


@dataclass(eq=False)
class Product(Statement):
    """A matrix product, which is BLAS's."""

    target: Value
    left: Value
    right: Value

    def gives(self) -> list[Value]:
        """Give the product."""
        return [self.target]

    def expressions(self) -> list[ast.expr]:
        """Give the factors."""
        return [name(self.left), name(self.right)]


@dataclass(eq=False)
class Plain(Statement):
    """What is done once, on the way forward, and has no derivative: an exception, an assertion, a line printed."""

    statement: ast.stmt

    def expressions(self) -> list[ast.expr]:
        """Give all that is read in it."""
        return [node for node in ast.iter_child_nodes(self.statement) if isinstance(node, ast.expr)]


@dataclass(eq=False)
class Own(Statement):
    """A call of a function whose derivative is given by hand: results from arguments, cotangents from both."""

    targets: list[Value]
    function: str
    arguments: list[ast.expr]
    rule: str

    def gives(self) -> list[Value]:
        """Give the results."""
        return self.targets

    def expressions(self) -> list[ast.expr]:
        """Give the arguments."""
        return self.arguments


@dataclass(eq=False)
class Carried:
    """What a loop carries on: its value before, what it is called inside and after, and what a turn makes of it."""

    target: Value
    before: ast.expr
    after: ast.expr = None  # type: ignore[assignment]
    #: The user's name, and where in a tuple of that name it is.
    key: str = ""
    place: tuple[int, ...] = ()
    #: For arrays whose size a turn may change: their sizes when a turn begins.
    inside: list[ast.expr] = field(default_factory=list)

    @property
    def sizes(self) -> list[ast.expr]:
        """The sizes of an array when a turn begins."""
        return self.inside or self.target.sizes


@dataclass(eq=False)
class Loop(Statement):
    """Turns over whole numbers, or while a condition holds; and until one says stop at a turn's end."""

    counter: Value | None
    bounds: list[ast.expr]  # start, stop, step; none where only the condition ends it
    condition: ast.expr | None = None
    body: Block = field(default_factory=Block)
    carried: list[Carried] = field(default_factory=list)
    stop: ast.expr | None = None
    turns: Value | None = None  # how many there were, where that is not known before
    parallel: bool = False
    lowest: int | None = None  # what its counter is never below, where that is known
    number: int | None = None  # its place among the loops of the program as it was read
    #: Whether each turn is run again on the way back, just before the way back through it.
    replayed: bool = False

    def blocks(self) -> list[Block]:
        """Give the body."""
        return [self.body]

    def gives(self) -> list[Value]:
        """Give what was carried to the end."""
        return [*(c.target for c in self.carried), *([self.turns] if self.turns else [])]

    def expressions(self) -> list[ast.expr]:
        """Give the bounds, and what it begins with."""
        return [*self.bounds, *(c.before for c in self.carried)]

    @property
    def simple(self) -> bool:
        """Whether the number of turns is known before."""
        return self.turns is None


@dataclass(eq=False)
class Merged:
    """What a name stands for after a branch."""

    target: Value
    first: ast.expr
    second: ast.expr


@dataclass(eq=False)
class Branch(Statement):
    """One of two blocks."""

    condition: ast.expr
    first: Block = field(default_factory=Block)
    second: Block = field(default_factory=Block)
    merged: list[Merged] = field(default_factory=list)

    def blocks(self) -> list[Block]:
        """Give both."""
        return [self.first, self.second]

    def gives(self) -> list[Value]:
        """Give what both give."""
        return [m.target for m in self.merged]

    def expressions(self) -> list[ast.expr]:
        """Give the condition."""
        return [self.condition]


@dataclass(eq=False)
class Program:
    """A function for one signature."""

    name: str
    parameters: list[Value]
    body: Block
    results: list[ast.expr]  # numbers, arrays, None: the leaves of what is returned
    form: Any  # how they are put together: 0 stands for one, a tuple for a tuple
    values: dict[str, Value]
    constants: dict[str, Any]  # arrays and functions of the surrounding that are named in it
    written: list[Value] = field(default_factory=list)  # parameters whose elements are written to
    #: The arguments: a parameter's name, or a tuple's, and the names of its items.
    arguments: list[tuple[str, Any]] = field(default_factory=list)
    #: What it takes to run turns of loops again, where that is done.
    replays: dict[Loop, Any] = field(default_factory=dict)
    #: Whether turns use the memory of arrays of the turn before, and the arrays that do: names, and what they are like.
    reusing: bool = False
    reused: dict[str, Value] = field(default_factory=dict)

    def outputs(self) -> list[ast.expr]:
        """Give the results; of a function that only writes to its arguments, these."""
        none = [isinstance(result, ast.Constant) and result.value is None for result in self.results]
        return [name(parameter) for parameter in self.written] if all(none) else self.results

    def by_parameter(self, wanted: Iterable[bool]) -> list[bool]:
        """Tell of each parameter what is told of the argument that it is, or is an item of."""
        return [
            wants for (_, form), wants in zip(self.arguments, wanted, strict=True) for _ in range(len(leaves(form)))
        ]

    def unpacked(self) -> list[str]:
        """Write what gives the items of tuples that are arguments their names."""
        return [
            f"{written_form(form, str)} = {argument}" for argument, form in self.arguments if isinstance(form, tuple)
        ]

    def number(self) -> None:
        """Tell each statement its place."""
        for place, statement in enumerate(self.body.walk()):
            statement.order = place


def maker(array: Value) -> Statement | None:
    """Give the statement that makes an array, or the array that it is a view of; None for others."""
    while array.block is not None:
        for statement in array.block.statements:
            if isinstance(statement, View) and statement.target is array:
                array = statement.base
                break
            if isinstance(statement, Allocate | Product) and statement.target is array:
                return statement
        else:
            return None
    return None


def leaves(form: Any) -> list[str]:
    """Give the names in a form: a name, or a tuple of forms."""
    return [leaf for item in form for leaf in leaves(item)] if isinstance(form, tuple) else [form]


def written_form(form: Any, write: Callable[[str], str]) -> str:
    """Write a form, whose names are written by a function."""
    if not isinstance(form, tuple):
        return write(form)
    items = [written_form(item, write) for item in form]
    return f"({', '.join(items)}{',' if len(items) == 1 else ''})"


def name(value: Value | str) -> ast.Name:
    """Write a value."""
    return ast.Name(value if isinstance(value, str) else value.name, ast.Load())


def number(value: Any) -> ast.Constant:
    """Write a constant."""
    return ast.Constant(value)


def whole(node: ast.Constant) -> Any:
    """Give what a constant stands for."""
    return node.value


def text(node: ast.AST) -> str:
    """Write an expression as source."""
    return ast.unparse(node)


def expression_of(source: str) -> ast.expr:
    """Read an expression: what `text` wrote."""
    (statement,) = parsed(source).body
    assert isinstance(statement, ast.Expr)
    return statement.value


def names_in(*nodes: ast.AST | None) -> set[str]:
    """Give the names that expressions mention."""
    return {n.id for node in nodes if node is not None for n in ast.walk(node) if isinstance(n, ast.Name)}
