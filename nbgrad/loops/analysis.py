"""What the way back has to know: which values derivatives go through, and which can be had again when needed."""

from __future__ import annotations

import ast
from collections.abc import Iterable

from .language import (
    Allocate,
    Assign,
    Block,
    Branch,
    Family,
    Loop,
    Own,
    Product,
    Program,
    Statement,
    Store,
    Value,
    View,
    name,
    names_in,
)
from .settling import Settling

#: How many turns a loop may have, known before, that is run again rather than that its results are kept.
_SHORT = 8

#: Functions that cost no more than reading what was kept.
_CHEAP = frozenset(
    {"abs", "int", "float", "float32", "float64", "len", "min", "max", "bool", "common", "spread", "sqrt"}
)


class Analysis:
    """What is known of a program whose first parameters, as `wanted` tells, are differentiated by."""

    def __init__(self, program: Program, wanted: Iterable[bool]) -> None:
        self.program = program
        self.values = program.values
        self.stores: dict[Family, list[Statement]] = {}
        self.homes: dict[Family, list[Statement]] = {}
        #: Arrays of which the way back undoes every write, so that it finds their elements as they were.
        self.restored: set[Family] = set()
        program.number()
        self.settling = Settling(program.body.walk())
        self._gather()
        self._choose_restored()
        self._take_apart(program.body)
        program.number()
        self.stores.clear()
        self.homes.clear()
        self._gather()
        self.varied: set[str | Family] = set()
        self.useful: set[str | Family] = set()
        for parameter, wants in zip(program.parameters, wanted, strict=True):
            if wants and parameter.floating:
                self.varied.add(self._key(parameter))
        self._spread()

    def _gather(self) -> None:
        for statement in self.program.body.walk():
            if isinstance(statement, Store):
                self.stores.setdefault(self.family(statement.array), []).append(statement)
            elif isinstance(statement, Allocate | Product):
                self.homes.setdefault(self.family(statement.target), []).append(statement)

    @staticmethod
    def family(value: Value) -> Family:
        """Give the family of an array."""
        assert value.family is not None
        return value.family.root()

    def _key(self, value: Value) -> str | Family:
        return value.name if value.family is None else self.family(value)

    # ---- what is there when it is needed -----------------------------------------------------------------------------

    def stable(self, statement: Statement, array: Value, index: ast.expr | None = None) -> bool:
        """Tell whether elements that a statement reads can be read again, the same, on the way back."""
        family = self.family(array)
        if family in self.restored:
            return True
        loops = statement.block.loops()
        for store in self.stores.get(family, ()):
            if store.order > statement.order or any(loop in loops for loop in store.block.loops()):
                if index is None or not self.settling.settled(statement, array, index, store):
                    return False
        return not loops or self.lasting(array)

    def _written_later(self, statement: Statement, array: Value) -> bool:
        """Tell whether elements are written to between a statement and the end of the loop's turn that it is in."""
        loops = statement.block.loops()
        return any(
            store.order > statement.order and (not loops or store.block.inside(loops[0].body))
            for store in self.stores.get(self.family(array), ())
        )

    def _choose_restored(self) -> None:
        """Choose the arrays of which it takes less to keep what is overwritten than to keep what is read."""
        merged = {
            self.family(target)
            for s in self.program.body.walk()
            for target in s.gives()
            if target.ndim is not None and isinstance(s, Branch | Loop)
        }
        reads: dict[Family, float] = {}
        for statement in self.program.body.walk():
            if isinstance(statement, View) and not self.repeatable(statement) and statement.block.loops():
                merged.add(self.family(statement.target))
            if isinstance(statement, Assign) and statement.target.floating:
                seen = {ast.unparse(n): n for n in ast.walk(statement.value) if isinstance(n, ast.Subscript)}
                for node in seen.values():
                    for array, index in self.elements(node)[:1]:
                        if not self.stable(statement, array, index) and not self._written_later(statement, array):
                            family = self.family(array)
                            reads[family] = reads.get(family, 0) + 10.0 ** len(statement.block.loops())
        left_out = {family for replay in self.program.replays.values() for family in replay.outputs}
        for family, weight in reads.items():
            if family in left_out:
                continue
            stores = self.stores.get(family, ())
            lasting = not family.carried and all(not home.block.loops() for home in self.homes.get(family, ()))
            if lasting and family not in merged and weight > sum(10.0 ** len(s.block.loops()) for s in stores):
                self.restored.add(family)

    def lasting(self, array: Value) -> bool:
        """Tell whether an array is the same one all along, so that its name stands for it on the way back."""
        family = self.family(array)
        return not family.carried and all(not home.block.loops() for home in self.homes.get(family, ()))

    def loads(self, node: ast.expr) -> list[Value]:
        """Give the arrays of which an expression reads elements."""
        return [array for array, _ in self.elements(node)]

    def elements(self, node: ast.expr) -> list[tuple[Value, ast.expr]]:
        """Give the arrays of which an expression reads elements, with their places."""
        return [
            (self.values[inner.value.id], inner.slice)
            for inner in ast.walk(node)
            if isinstance(inner, ast.Subscript) and isinstance(inner.value, ast.Name) and inner.value.id in self.values
        ]

    def repeatable(self, statement: Statement) -> bool:
        """Tell whether a statement can be run again on the way back, at little cost."""
        if isinstance(statement, Assign):
            for inner in ast.walk(statement.value):
                if isinstance(inner, ast.Call) and _called(inner) not in _CHEAP:
                    return False
                if isinstance(inner, ast.BinOp) and isinstance(inner.op, ast.Pow):
                    exponent = inner.right
                    if not (isinstance(exponent, ast.Constant) and exponent.value in range(1, 9)):
                        return False
                if isinstance(inner, ast.Attribute) and inner.attr == "shape":
                    assert isinstance(inner.value, ast.Name)
                    if not self.reachable(inner.value.id):
                        return False
            return all(
                self.stable(statement, array, index)
                and not (self.family(array) in self.restored and self._written_later(statement, array))
                for array, index in self.elements(statement.value)
            )
        if isinstance(statement, View):
            return self.lasting(statement.base) and self.reachable(statement.base.name)
        if isinstance(statement, Branch):
            return all(m.target.ndim is None for m in statement.merged) and all(
                map(self.repeatable, (*statement.first.statements, *statement.second.statements))
            )
        if isinstance(statement, Loop):
            return (
                statement.simple
                and all(c.target.ndim is None for c in statement.carried)
                and all(isinstance(bound, ast.Constant) for bound in statement.bounds)
                and len(range(*[bound.value for bound in statement.bounds])) <= _SHORT  # type: ignore[attr-defined]
                and all(map(self.repeatable, statement.body.statements))
            )
        return False

    def reachable(self, array: str) -> bool:
        """Tell whether an array's name can be had on the way back: given outside of loops, or a view of such."""
        value = self.values[array]
        if value.block is None or not value.block.loops():
            return True
        for statement in value.block.statements:
            if isinstance(statement, View) and statement.target is value:
                return self.repeatable(statement)
        return False

    # ---- elements that are overwritten -------------------------------------------------------------------------------

    def _take_apart(self, block: Block, known: dict[str, tuple[Family, str]] | None = None) -> None:
        """Give a name of their own to elements that cannot be read again on the way back."""
        known = {} if known is None else known
        made: list[Statement] = []
        for statement in block.statements:
            if isinstance(statement, Assign) and statement.target.floating:
                if isinstance(statement.value, ast.Subscript):
                    array = self.values[statement.value.value.id]  # type: ignore[attr-defined]
                    if array.floating and not self.stable(statement, array, statement.value.slice):
                        known.setdefault(ast.unparse(statement.value), (self.family(array), statement.target.name))
                else:
                    statement.value = _Apart(self, statement, made, known).visit(statement.value)
            if isinstance(statement, Loop):
                self._forget(known, statement)
            for inner in statement.blocks():
                self._take_apart(inner, dict(known))
            self._forget(known, statement)
            made.append(statement)
        block.statements = made

    def _forget(self, known: dict[str, tuple[Family, str]], statement: Statement) -> None:
        """Forget the elements that a statement, or one in it, may overwrite, and the arrays that it gives new names."""
        stored = [statement, *(s for inner in statement.blocks() for s in inner.walk())]
        families = {self.family(s.array) for s in stored if isinstance(s, Store)}
        for key in [key for key, (family, _) in known.items() if family in families]:
            del known[key]

    # ---- activity ----------------------------------------------------------------------------------------------------

    def active(self, key: str) -> bool:
        """Tell whether derivatives go through a value."""
        value = self.values.get(key)
        if value is None or not value.floating:
            return False
        known = self._key(value)
        return known in self.varied and known in self.useful

    def _spread(self) -> None:
        statements = list(self.program.body.walk())
        self._until_settled(self.varied, [pair for s in statements for pair in self._ways(s)])
        for result in self.program.outputs():
            self.useful |= {self._key(self.values[key]) for key in names_in(result) if key in self.values}
        backward = [(to, source) for s in reversed(statements) for source, to in self._ways(s)]
        self._until_settled(self.useful, backward)

    def _until_settled(self, found: set[str | Family], ways: list[tuple[str | Family, str | Family]]) -> None:
        while True:
            count = len(found)
            for source, to in ways:
                if source in found:
                    found.add(to)
            if len(found) == count:
                return

    def _ways(self, statement: Statement) -> list[tuple[str | Family, str | Family]]:
        """List from where to where derivatives go in a statement."""
        pairs: list[tuple[ast.expr | None, Value]] = []
        if isinstance(statement, Assign):
            pairs = [(statement.value, statement.target)]
        elif isinstance(statement, Store):
            pairs = [(statement.value, statement.array)]
        elif isinstance(statement, Product):
            pairs = [(name(statement.left), statement.target), (name(statement.right), statement.target)]
        elif isinstance(statement, Own):
            pairs = [(argument, target) for argument in statement.arguments for target in statement.targets]
        elif isinstance(statement, Loop):
            pairs = [pair for c in statement.carried for pair in ((c.before, c.target), (c.after, c.target))]
        elif isinstance(statement, Branch):
            pairs = [pair for m in statement.merged for pair in ((m.first, m.target), (m.second, m.target))]
        return [
            (self._key(self.values[key]), self._key(target))
            for node, target in pairs
            if target.floating
            for key in names_in(node)
            if key in self.values and self.values[key].floating
        ]


def _called(node: ast.Call) -> str:
    function = node.func
    return function.id if isinstance(function, ast.Name) else getattr(function, "attr", "")


class _Apart(ast.NodeTransformer):
    """Moves elements that cannot be read again out of an expression."""

    def __init__(
        self, analysis: Analysis, statement: Assign, made: list[Statement], known: dict[str, tuple[Family, str]]
    ) -> None:
        self.analysis, self.statement, self.made, self.known = analysis, statement, made, known

    def visit_Subscript(self, node: ast.Subscript) -> ast.expr:
        assert isinstance(node.value, ast.Name) or isinstance(node.value, ast.Attribute)
        if not isinstance(node.value, ast.Name):
            return node
        array = self.analysis.values[node.value.id]
        if self.analysis.stable(self.statement, array, node.slice):
            return node
        key = ast.unparse(node)
        if key in self.known:
            return name(self.known[key][1])
        known, count = f"{array.name}_here", 0
        while known in self.analysis.values:
            count += 1
            known = f"{array.name}_here_{count}"
        target = Value(known, array.dtype, block=self.statement.block, line=self.statement.line)
        self.analysis.values[known] = target
        made = Assign(target, node, block=self.statement.block, line=self.statement.line, order=self.statement.order)
        self.made.append(made)
        self.known[key] = (self.analysis.family(array), known)
        return name(target)
