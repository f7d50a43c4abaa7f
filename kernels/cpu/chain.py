"""Loops over the same lines of a matrix, one after the other for each block of lines, which a cache holds meanwhile.

The gradient of a linear model multiplies a matrix by a vector, computes something of each element of the product, and
adds up the matrix's lines with what that gave: the matrix would be read from memory twice.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from . import codegen, matrix_vector, threads
from .launch import Launch
from .matrix_vector import ADDED_UP, BLOCKS, Form

#: The bytes of a block's lines: what stays in the second cache of any processor, and takes twenty times as long as it
#: takes to call three loops.
_BYTES = 1 << 17
#: Lines begin blocks at multiples of this many.
_ALIGNED = 8

# `sizes` has the number of stages, how many blocks have one sum, the number of blocks, a threshold that is not reached,
# and for each stage its loop, the number of its operands, and where in `sizes` its own are. The operands of all stages
# come one after the other.
_SOURCE = """
def loop(args, dims, steps, data):
    if dims[0] >= int64_pointer(data)[0]:
        share(args, dims, steps, data)
        return
    first = address(args[0])
    sizes = int64_pointer(args[1])
    stages = sizes[0]
    together = sizes[1]
    pointers = int64_operands()
    one = int64_lanes()
    one[0] = 1
    stage = 4
    operand = 2
    to = 0
    for i in range(stages):
        pointers[to + 1] = address(sizes) + 8 * sizes[stage + 2]
        for j in range(sizes[stage + 1]):
            pointers[to + 2 + j] = address(args[operand])
            operand += 1
        to += 2 + sizes[stage + 1]
        stage += 3
    never = address(sizes) + 24
    for block in range(first * together, min((first + dims[0]) * together, sizes[2])):
        stage = 4
        to = 0
        for i in range(stages):
            pointers[to] = block
            place = address(pointers) + 8 * to
            invoke_4(sizes[stage], (place, address(one), address(pointers), never))
            to += 2 + sizes[stage + 1]
            stage += 3
"""


def lines_of(number: str, first: Form, second: Form) -> int | None:
    """Give the lines of a block, for a product whose lines give neighbours, which factors of the other's lines are.

    None for others, and where the matrix stays in a cache anyway.
    """
    size = np.dtype(number).itemsize
    if not first.folds or second.folds or first.lines != second.lines or first.step != 1 or second.step != 1:
        return None
    if min(first.size, second.size) * size < 2 * _BYTES:
        return None
    return max(_BYTES // (first.length * size * _ALIGNED), 1) * _ALIGNED


def blocks_of(lines: int, each: int) -> tuple[int, int]:
    """Give how many blocks of lines have one sum, and the number of sums: a piece of work each, for threads."""
    blocks = -(-lines // each)
    together = max(-(-blocks // BLOCKS), -(-ADDED_UP // each))
    return together, -(-blocks // together)


def begin() -> None:
    """Begin to compile the loop over blocks."""
    codegen.begin("chain", _SOURCE)


def launched(stages: Sequence[Launch], together: int, shared: bool) -> Launch:
    """Give the launch of loops one after the other, each of as many blocks, of which so many go together."""
    blocks = stages[0].blocks
    table = [len(stages), together, blocks, threads.NEVER]
    behind = len(table) + 3 * len(stages)
    for stage in stages:
        table += [stage.address, len(stage.offsets), behind]
        behind += len(stage.sizes)
    for stage in stages:
        table += stage.sizes
    offsets = [offset for stage in stages for offset in stage.offsets]
    return Launch(codegen.address("chain", _SOURCE), table, -(-blocks // together), offsets, shared)


def stage(number: str, form: Form, each: int, offsets: Sequence[int]) -> Launch:
    """Give the launch of a product for blocks of so many lines."""
    together, parts = blocks_of(form.lines, each)
    table, places = matrix_vector.sizes(form, each, together, parts), matrix_vector.offsets(form, parts, offsets)
    return Launch(matrix_vector.address(number, form.folds), table, -(-form.lines // each), places, False)
