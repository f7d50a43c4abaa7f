"""Derivatives of expressions: from Python's syntax to formulas, whose partials are the one table of rules, and back."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ..kernels import formula, scalars
from ..kernels.formula import NUMBER, TRUTH, Expression
from .language import FLOATING, Value, text, whole
from .meanings import scalar_function

_OPERATORS: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: lambda a, b: a + b,
    ast.Sub: lambda a, b: a - b,
    ast.Mult: lambda a, b: a * b,
    ast.Div: lambda a, b: a / b,
    ast.Pow: lambda a, b: scalars.pow(a, b),
    ast.Mod: lambda a, b: scalars.remainder(a, b),
}

_CASTS = frozenset({"float", "float64", "float32"})


@dataclass(eq=False)
class Leaf:
    """What an expression is made of: a number, an element of an array, or something without derivative."""

    node: ast.expr
    active: bool
    kind: str = NUMBER


class Formula:
    """An expression as a formula over its leaves."""

    def __init__(self, node: ast.expr, values: Mapping[str, Value], active: Callable[[str], bool]) -> None:
        self.values, self.active = values, active
        self.leaves: list[Leaf] = []
        self._places: dict[str, int] = {}
        self.root = self._read(node)

    def _is_active(self, node: ast.expr) -> bool:
        """Tell whether derivatives go through an expression."""
        if isinstance(node, ast.Name):
            return self.active(node.id)
        if isinstance(node, ast.Subscript):
            return isinstance(node.value, ast.Name) and self.active(node.value.id)
        if isinstance(node, ast.BinOp):
            if isinstance(node.op, ast.FloorDiv):
                return False
            return self._is_active(node.left) or self._is_active(node.right)
        if isinstance(node, ast.UnaryOp):
            return not isinstance(node.op, ast.Not) and self._is_active(node.operand)
        if isinstance(node, ast.IfExp):
            return self._is_active(node.body) or self._is_active(node.orelse)
        if isinstance(node, ast.Call):
            return self._called(node) is not None and any(map(self._is_active, node.args))
        return False

    @staticmethod
    def _called(node: ast.Call) -> Callable[..., Any] | None:
        """Give what a call makes of formulas; None where it has no derivative."""
        if isinstance(node.func, ast.Attribute):
            if node.func.attr == "sqrt":
                return scalars.sqrt
            return (lambda a: a) if node.func.attr in FLOATING else None
        assert isinstance(node.func, ast.Name)
        if node.func.id in _CASTS:
            return lambda a: a
        if node.func.id == "abs":
            return scalars.abs
        function, _, dtype = node.func.id.rpartition("_")
        return scalar_function(function) if dtype in FLOATING else None

    def _leaf(self, node: ast.expr, active: bool, kind: str = NUMBER) -> Expression:
        key = text(node)
        if key not in self._places:
            self._places[key] = len(self.leaves)
            self.leaves.append(Leaf(node, active, kind))
        return formula.variable(self._places[key], kind)

    def _read(self, node: ast.expr) -> Expression:
        if isinstance(node, ast.Constant):
            return formula.constant(float(whole(node)))
        if not self._is_active(node):
            return self._leaf(node, False)
        match node:
            case ast.BinOp(left=left, op=op, right=right):
                made: Expression = _OPERATORS[type(op)](self._read(left), self._read(right))
                return made
            case ast.UnaryOp(op=op, operand=operand):
                return -self._read(operand) if isinstance(op, ast.USub) else self._read(operand)
            case ast.IfExp(test=test, body=first, orelse=second):
                return scalars.where(self._leaf(test, False, TRUTH), self._read(first), self._read(second))
            case ast.Call():
                function = self._called(node)
                assert function is not None
                return formula.constant(function(*map(self._read, node.args)))
        return self._leaf(node, True)

    # ---- the two ways ------------------------------------------------------------------------------------------------

    def _depending(self, order: list[Expression]) -> set[Expression]:
        found: set[Expression] = set()
        for node in order:
            if node.function is None:
                if isinstance(node.payload, int) and self.leaves[node.payload].active:
                    found.add(node)
            elif any(argument in found for argument in node.arguments):
                found.add(node)
        return found

    def pulled(self, seed: Expression) -> dict[int, Expression]:
        """Give what each active leaf gets from the cotangent `seed` of the whole."""
        order = formula.topological([self.root])
        depending = self._depending(order)
        cotangents: dict[Expression, Expression] = {self.root: seed}
        found: dict[int, Expression] = {}
        for node in reversed(order):
            given = cotangents.get(node)
            if given is None or node not in depending:
                continue
            if node.function is None:
                found[node.payload] = given
                continue
            if node.function is scalars.where:
                condition, first, second = node.arguments
                shares = [(first, scalars.where(condition, given, 0)), (second, scalars.where(condition, 0, given))]
            else:
                partials = [
                    (argument, node.function.partial(index, node, node.arguments) if argument in depending else None)
                    for index, argument in enumerate(node.arguments)
                ]
                shares = [(a, formula.times(given, partial)) for a, partial in partials if partial is not None]
            for argument, share in shares:
                if argument in depending:
                    total = formula.plus(cotangents.get(argument), share)
                    assert total is not None
                    cotangents[argument] = total
        return found

    def pushed(self, tangents: Mapping[int, Expression]) -> Expression | None:
        """Give the tangent of the whole from those of the active leaves; None where it is zero."""
        found: dict[Expression, Expression | None] = {}
        order = formula.topological([self.root])
        for node in order:
            if node.function is None:
                found[node] = tangents.get(node.payload) if isinstance(node.payload, int) else None
                continue
            if node.function is scalars.where:
                condition, first, second = node.arguments
                found[node] = formula._where(condition, found[first], found[second])
                continue
            total: Expression | None = None
            for index, argument in enumerate(node.arguments):
                tangent = found[argument]
                partial = None if tangent is None else node.function.partial(index, node, node.arguments)
                if partial is not None and tangent is not None:
                    total = formula.plus(total, formula.times(tangent, partial))
            found[node] = total
        return found[self.root]


_PLAIN_CONSTANT = re.compile(r"(?<![\w.])float64\((-?[0-9.]+(?:e[+-]?[0-9]+)?)\)")


def written(roots: list[Expression], dtype: str, names: Mapping[int, str], prefix: str) -> tuple[list[str], list[str]]:
    """Write formulas as source: assignments of what is used more than once, and the expressions."""
    lines, texts = formula.source(roots, dtype, names, prefix)
    return [f"{name} = {_shorter(rest)}" for name, rest in (line.split(" = ", 1) for line in lines)], [
        _shorter(expression) for expression in texts
    ]


def _shorter(source: str) -> str:
    """Write float64's constants as Python does."""
    source = _PLAIN_CONSTANT.sub(lambda match: match[1], source)
    return source[1:-1] if source.startswith("(") and _closes_last(source) else source


def _closes_last(source: str) -> bool:
    depth = 0
    for place, letter in enumerate(source):
        depth += {"(": 1, ")": -1}.get(letter, 0)
        if not depth:
            return place == len(source) - 1
    return False
