"""Parts of joins that loops write in place, and those that one has to copy."""

from __future__ import annotations

from ..kernels.strides import dense
from .layout import places_in
from .program import Fold, Join, Map, Node, Program, reshaped
from .rewriting import readers_of, rewritten


def joined_in_place(program: Program) -> Program:
    """Have a loop copy what no loop writes into its place in a join: arguments, views, what calls give.

    What is folded over all rows is known only after its loop, which puts it in one place, in order.
    """
    if not any(isinstance(node.operation, Join) for node in program.nodes):
        return program
    readers, results = readers_of(program), set(program.outputs)

    def is_alone(node: Node, part: Node) -> bool:
        """Tell whether only this part of a join is made of a value."""
        while part is not node:
            if len(readers[part]) > 1 or part in results:
                return False
            (part,) = part.inputs
        return len(readers[node]) == 1 and node not in results

    def copied(node: Node, places: dict[Node, Node]) -> Node | None:
        if not isinstance(node.operation, Join):
            return None
        parts = []
        for part, place in zip(node.inputs, places_in(node), strict=True):
            made, found = reshaped(part), places[part]
            written = place is not None and isinstance(reshaped(found).operation, Map | Fold)
            if written and isinstance(made.operation, Fold) and made.operation.axes[0] == 0:
                assert place is not None
                whole = all(
                    step == expected
                    for size, step, expected in zip(made.shape, place.strides, dense(made.shape), strict=True)
                    if size > 1
                )
                written = whole and is_alone(made, part) and node.inputs.count(part) == 1
            if not written:
                found = program.add(Map(None, found.dtype.name), (found,), found.shape, found.dtype)
            parts.append(found)
        return program.add(node.operation, parts, node.shape, node.dtype)

    return rewritten(program, copied)
