"""Steps that go through the lines of one matrix after the other, and can do so together, block by block.

A product with a vector, a loop over its elements, and a product that adds the lines up with what the loop gave.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from ..kernels.target import Compiler
from .grouping import Group
from .memory import made_in, read_by
from .products import Laid, laid_out
from .program import Call, Join, Node, memory_of, stretched


class Chain(NamedTuple):
    """Three steps, where the operands of the two products are, and the lines of a block."""

    first: Node
    group: Group
    second: Node
    places: tuple[Laid, Laid]
    lines: int


def in_chains(steps: list[Any], compiler: Compiler) -> tuple[list[Any], dict[int, Chain]]:
    """Give the steps in an order in which those of a chain follow one another, and the chains by where they begin."""
    chains: list[Chain] = []
    products = [step for step in steps if _is_product(step)]
    for second in products[1:]:
        chain = _chain_to(second, steps, compiler)
        if chain is not None and not any(step in each[:3] for each in chains for step in chain[:3]):
            place, rest = steps.index(chain.group), chain[:3]
            before, behind = ([step for step in part if step not in rest] for part in (steps[:place], steps[place:]))
            steps = [*before, *rest, *behind]
            chains.append(chain)
    return steps, {steps.index(chain.first): chain for chain in chains}


def _chain_to(second: Node, steps: list[Any], compiler: Compiler) -> Chain | None:
    """Give the chain that a product ends, None if it ends none."""
    behind, places = steps.index(second), laid_out(second)
    operands = [memory_of(x) for x in second.inputs]
    if places is None or any(isinstance(x.operation, Join) for x in operands):
        return None
    for middle, group in enumerate(steps[:behind]):
        if not isinstance(group, Group) or not any(x in group.nodes for x in operands):
            continue
        if any(x in made_in(step) for step in steps[middle + 1 : behind] for x in operands):
            continue  # the second product would have to wait
        for begin, first in enumerate(steps[:middle]):
            if not _is_product(first) or first in operands or first not in read_by(group):
                continue
            if any(first in read_by(step) for step in steps[begin + 1 : middle]):
                continue  # the loop may wait for what comes of the whole of the first one
            laid = laid_out(first)
            if laid is not None and _goes_along(first, group, second, places):
                lines = compiler.lines_together(first.dtype.name, laid[:2], places[:2])
                if lines is not None:
                    return Chain(first, group, second, (laid, places), lines)
    return None


def _goes_along(first: Node, group: Group, second: Node, places: Laid) -> bool:
    """Tell whether a loop, and the second product, read of each line's element in the order of the lines."""
    if group.space != first.shape or group.inner is not None or first.dtype != second.dtype:
        return False
    if any([memory_of(x) is first and stretched(x) is not first for node in group.nodes for x in node.inputs]):
        return False
    factors = [place for place in places.places[:2] if place.root in group.nodes]
    return len(factors) == 1 and factors[0].root.shape == group.space and factors[0].offset == 0


def _is_product(step: Any) -> bool:
    return isinstance(step, Node) and isinstance(step.operation, Call) and step.operation.identity == "matmul"
