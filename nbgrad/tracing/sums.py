"""Sums of sums: what every step of an unrolled loop adds to a total is added up element by element, and folded once.

A fold over all elements takes each value through memory into lanes. What a loop computes and adds up anyway is added in
registers first.
"""

from __future__ import annotations

from collections import defaultdict

from ..kernels import scalars
from . import lowering
from .program import Fold, Map, Node, Program, View, reshaped
from .rewriting import is_sum, readers_of, rewritten, terms_of

#: Sums from which it pays to make them one.
_LEAST = 3


def sums_of_sums(program: Program) -> Program:
    """Add up all elements of several values, of which one loop can have all, at once."""
    if sum([_is_total(node) for node in program.nodes]) < _LEAST:
        return program
    readers, results = readers_of(program), set(program.outputs)
    waits = _waits(program)

    def replaced(node: Node, places: dict[Node, Node]) -> Node | None:
        if not is_sum(node) or node.size != 1 or any(is_sum(r) and len(readers[node]) == 1 for r in readers[node]):
            return None
        terms = terms_of(node, readers, results)
        alike: dict[object, list[Node]] = defaultdict(list)
        for term in terms:
            fold = reshaped(term)
            if _is_total(fold):
                (source,) = fold.inputs
                alike[fold.operation, source.shape, source.dtype, waits[source]].append(term)
        groups = [group for group in alike.values() if len(group) >= _LEAST]
        if not groups:
            return None
        together = {term for group in groups for term in group}
        values = [_folded(program, group, places) for group in groups]
        values += [places[term] for term in terms if term not in together]
        return _added(program, [lowering.reshape(program, value, node.shape) for value in values])

    return rewritten(program, replaced)


def _folded(program: Program, group: list[Node], places: dict[Node, Node]) -> Node:
    """Give the sum of all elements of what sums add up."""
    fold = reshaped(group[0])
    element = _added(program, [places[reshaped(term).inputs[0]] for term in group])
    return program.add(fold.operation, (element,), fold.shape, fold.dtype)


def _added(program: Program, values: list[Node]) -> Node:
    total, *others = values
    for value in others:
        total = lowering.mapped(program, scalars.add.expression, [total, value], total.dtype)
    return total


def _is_total(node: Node) -> bool:
    """Tell whether a node is the sum of all elements that a formula gives, in their dtype."""
    fold = node.operation
    if not isinstance(fold, Fold) or fold.rows or fold.combine is not scalars.add:
        return False
    (source,) = node.inputs
    return len(fold.axes) == len(source.shape) and isinstance(source.operation, Map) and source.dtype.kind == "f"


def _waits(program: Program) -> dict[Node, int]:
    """Give what must be over before the loop of each value begins: calls and folds, as bits of a number."""
    found: dict[Node, int] = {}
    for number, node in enumerate(program.nodes):
        before = 0
        for x in node.inputs:
            before |= found[x]
        if node.inputs and not isinstance(node.operation, Map | View):
            before |= 1 << number
        found[node] = before
    return found
