"""Writing programs anew, with other nodes in the places of some."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from functools import lru_cache
from operator import attrgetter

from ..kernels import formula, scalars
from ..kernels.formula import Expression
from .program import Map, Node, Program

Pass = Callable[[Program], Program]


def needed(program: Program) -> Program:
    """Leave out what no output needs."""
    wanted: set[Node] = set()
    stack = list(program.outputs)
    while stack:
        node = stack.pop()
        if node not in wanted:
            wanted.add(node)
            stack.extend(node.inputs)
    program = program.wanting(program.outputs)
    program.nodes = sorted(wanted, key=attrgetter("number"))  # what is taken was there before
    return program


#: Gives a node to stand in another one's place, if any is to; it is told what stands in the places of earlier nodes.
Replace = Callable[[Node, dict[Node, Node]], Node | None]


def rewritten(program: Program, replace: Replace) -> Program:
    """Write a program anew, with other nodes in the places of some."""
    places: dict[Node, Node] = {}
    program.closed, closed = False, program.closed
    changed, nodes = False, list(program.nodes)
    for node in nodes:
        found = replace(node, places)
        if found is None:
            found = node
            if changed:
                inputs = tuple([places[x] for x in node.inputs])
                if inputs != node.inputs:
                    found = program.add(node.operation, inputs, node.shape, node.dtype)
        places[node] = found
        changed = changed or found is not node
    program.closed = closed
    if not changed and len(program.nodes) == len(nodes):
        return program
    return needed(program.wanting([places[node] for node in program.outputs]))


def readers_of(program: Program) -> dict[Node, list[Node]]:
    """Give the nodes that read each node, each of them once."""
    readers: dict[Node, list[Node]] = defaultdict(list)
    for node in program.nodes:
        for x in node.inputs if len(node.inputs) < 2 else dict.fromkeys(node.inputs):
            readers[x].append(node)
    return readers


def is_sum(node: Node) -> bool:
    """Tell whether a formula is a sum of two values of its dtype."""
    operation = node.operation
    if not isinstance(operation, Map) or len(node.inputs) != 2 or not _adds(operation.expression):
        return False
    first, second = node.inputs
    return first.dtype == second.dtype == node.dtype


@lru_cache(1024)
def _adds(expression: Expression | None) -> bool:
    """Tell whether an expression is the sum of the first input and the second."""
    if expression is None or expression.function is not scalars.add:
        return False
    return all([x is formula.variable(i) for i, x in enumerate(expression.arguments)])


def terms_of(node: Node, readers: dict[Node, list[Node]], results: set[Node]) -> list[Node]:
    """Give what a sum adds up, sums of its shape that nobody else reads taken apart, in order."""
    terms: list[Node] = []
    stack = [node]
    while stack:
        found = stack.pop()
        inside = found is node or (len(readers[found]) == 1 and found not in results)
        if inside and is_sum(found) and all(x.shape == node.shape for x in found.inputs):
            stack.extend(reversed(found.inputs))
        else:
            terms.append(found)
    return terms
