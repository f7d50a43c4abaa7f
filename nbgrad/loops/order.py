"""In which order operands are computed, and which of them are."""

from __future__ import annotations

import ast
from collections.abc import Callable, Sequence

from .arrays import materialised
from .branches import branch
from .language import Family, Store, names_in, number
from .meanings import Elements, Group, Meaning, Method, Scalar
from .numbers import number_of
from .state import Lowering, Scope


def in_order(lowering: Lowering, nodes: Sequence[ast.expr], *before: Meaning, as_arrays: bool = False) -> list[Meaning]:
    """Lower operands from the left to the right, behind those that are lowered already, and give all.

    What an operand reads is read where it is computed, which is later; calls in the operands behind it may write there.
    """
    found = list(before)
    for node in nodes:
        statements = lowering.block.statements
        count = len(statements)
        one = lowering.expression(node)
        written = written_since(lowering, count)
        if written:
            behind = statements[count:]
            del statements[count:]
            found = [_held(lowering, meaning, written) for meaning in found]
            statements += behind
        found.append(materialised(lowering, one) if as_arrays else one)
    return found


def written_since(lowering: Lowering, count: int) -> set[Family]:
    """Give the arrays that statements of the block write to, but for the first so many."""
    made = lowering.block.statements[count:]
    nested = [inner for statement in made for block in statement.blocks() for inner in block.walk()]
    return {s.array.family.root() for s in (*made, *nested) if isinstance(s, Store) and s.array.family is not None}


def _held(lowering: Lowering, meaning: Meaning, written: set[Family]) -> Meaning:
    """Compute what reads arrays that are written to; arrays themselves are what they become."""
    if isinstance(meaning, Group):
        return Group([_held(lowering, item, written) for item in meaning.items], meaning.fields)
    if isinstance(meaning, Method):
        return Method(_held(lowering, meaning.owner, written), meaning.name)
    if isinstance(meaning, Scalar):
        read = [lowering.values[key] for key in names_in(meaning.node) if key in lowering.values]
    elif isinstance(meaning, Elements):
        read = meaning.reads
    else:
        return meaning
    if not any(value.family is not None and value.family.root() in written for value in read):
        return meaning
    return lowering.assign("t", meaning) if isinstance(meaning, Scalar) else materialised(lowering, meaning)


def condition(lowering: Lowering, node: ast.expr) -> Scalar:
    """Lower an expression of which only the truth is asked."""
    if isinstance(node, ast.BoolOp):
        return boolean(lowering, node.op, node.values, condition)
    return number_of(lowering, lowering.expression(node))


def boolean(
    lowering: Lowering, op: ast.boolop, values: list[ast.expr], read: Callable[[Lowering, ast.expr], Scalar]
) -> Scalar:
    """Lower `and` and `or`: what stands behind is computed where it is asked for only.

    They give one of their operands, or as a `condition` its truth.
    """
    first = read(lowering, values[0])
    for node in values[1:]:
        if isinstance(first.node, ast.Constant):
            first = read(lowering, node) if bool(first.node.value) == isinstance(op, ast.And) else first
            continue
        scope = lowering.scopes[-1]
        count = len(lowering.block.statements)
        try:
            second = read(lowering, node)
        finally:
            added = lowering.block.statements[count:]
            del lowering.block.statements[count:]
        truths = read is condition or first.dtype == second.dtype == "bool"
        if not added and truths:
            first = Scalar(ast.BoolOp(op, [first.node, second.node]), "bool")
            continue
        first = lowering.atom(first, "test")
        test = first.node if first.dtype == "bool" else ast.Compare(first.node, [ast.NotEq()], [number(0)])
        known = Scalar(number(isinstance(op, ast.Or)), "bool") if truths else first

        def ask(node: ast.expr = node, scope: Scope = scope) -> None:
            scope.names["$both"] = read(lowering, node)

        def tell(known: Scalar = known, scope: Scope = scope) -> None:
            scope.names["$both"] = known

        ways = (ask, tell) if isinstance(op, ast.And) else (tell, ask)
        branch(lowering, lowering.atom(Scalar(test, "bool"), "test"), ways[0], ways[1], {"$both"})
        first = number_of(lowering, scope.names.pop("$both"))
    return first
