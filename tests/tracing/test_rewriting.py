"""Programs written anew have other nodes in the places of some, and nothing that no output needs."""

import numpy as np

from nbgrad.kernels import scalars
from nbgrad.tracing import lowering
from nbgrad.tracing.program import Map, Program
from nbgrad.tracing.rewriting import needed, readers_of, rewritten


def test_replaced_and_needed():
    program = Program()
    x = program.input((3,), np.float64)
    double = lowering.computed(program, scalars.add.expression, [x, x], x.dtype)
    square = lowering.computed(program, scalars.mul.expression, [double, double], x.dtype)
    lost = lowering.computed(program, scalars.sub.expression, [square, x], x.dtype)
    program = program.wanting([square])
    assert lost in program.nodes and lost not in needed(program).nodes
    assert readers_of(needed(program))[double] == [square]

    def halved(node, places):
        return places[node.inputs[0]] if node is double else None

    (found,) = rewritten(program, halved).outputs
    assert isinstance(found.operation, Map) and found.inputs == (x, x) and found.operation == square.operation
