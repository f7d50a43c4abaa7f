"""How a GPU's threads share the elements of a nest, and how many blocks it is cut into.

A row is shared by a group of threads: groups of up to 32 lie in one warp, several a block, and larger ones are a block
each. A thread has some `slots` of a row in hand at once, by 16 bytes where that can be: as many loads are under way as
the latency of memory takes. Rows that fit into the registers of a group are read once and *held* for all stages, and so
are the results of columns from row to row. Longer rows are gone through in a loop for each stage, and so is one long
row that is folded as a whole. Where nothing is folded over rows, neighbouring blocks share them as tiles.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from ..loop_nest import ELEMENT, Assign, Fold, Nest, Operand, cost_of, size_names
from . import launch

#: Bytes that a thread reads or writes at once.
VECTOR = 16
#: Such loads that a thread has under way: 64 bytes by 1024 threads are thrice what a processor of an H100 has to wait
#: for to be busy all the time (3.35 TB/s by 0.7 microseconds among 132).
LOADS = 4
#: Blocks of 256 threads that such a GPU runs at once, four a processor, where threads need no more than 64 registers.
_RESIDENT = 528
#: The least blocks for which they are as large as can be, and the least rows that each has of a column.
_FEW = 264
_ROWS = 8
#: Elements of one long row come in multiples of this to a block.
_PIECE = 1024
#: Longer rows have a block each.
_SHORT = 1024
#: Registers of a thread for a row's elements, and what a kernel may cost to compile, in additions.
_REGISTERS = 48
_LONGEST = 1500


class Form(NamedTuple):
    """How threads share the elements of a nest's rows."""

    group: int = launch.THREADS  # threads that share a row
    threads: int = launch.THREADS  # of a block
    slots: int = 1  # elements of a row that a thread has in hand at once
    lanes: int = 1  # and how many of them are neighbours
    held: bool = False  # whether these are all that it has of a row, or of a tile


def folds_of(nest: Nest) -> list[Fold]:
    return [step for step in nest.steps if isinstance(step, Fold)]


def columns_of(nest: Nest) -> list[Fold]:
    return [fold for fold in folds_of(nest) if fold.over == "column"]


def is_tiled(nest: Nest) -> bool:
    """Tell whether blocks can divide a row among them: nothing is folded over it."""
    return all(fold.over == "column" for fold in folds_of(nest))


def size_of(operand: Operand) -> int:
    return np.dtype(operand.dtype).itemsize


def streams_of(nest: Nest) -> list[Operand]:
    """List what is read for each element."""
    return [operand for operand in nest.loads if operand.level == ELEMENT and operand.inner != "0"]


def vectors_of(nest: Nest, lanes: int, held: bool) -> list[Operand]:
    """List the operands that are read or written by 16 bytes."""
    if lanes == 1:
        return []
    operands = [*(o for o in nest.loads if not o.drawn), *(operand for operand, _, _ in nest.stores)]
    if not held:
        operands += [operand for operand, _ in nest.kept]
    return [o for o in operands if o.level == ELEMENT and o.inner == "1" and size_of(o) * lanes == VECTOR]


def _registers(nest: Nest) -> int:
    """Give the registers that an element of a row takes, where rows are held."""
    numbers = [*streams_of(nest), *(operand for operand, _ in nest.kept)]
    columns = [operand for operand, _, name in nest.partials if any(f.name == name for f in columns_of(nest))]
    return sum(max(1, size_of(operand) // 4) for operand in (*numbers, *columns))


def _cost(nest: Nest) -> int:
    """Estimate what an element's part of a kernel costs to compile, in additions."""
    cost = 1
    for stage in range(nest.stages):
        folds, stores = nest.ends_of(stage)
        cost += cost_of([*nest.needed(stage)[2], *folds]) + 4 * len(folds) + len(stores)
    return cost


def power_above(n: int) -> int:
    """Give the least power of two that is not below n."""
    return 1 << max(n - 1, 0).bit_length()


def _below(n: int) -> int:
    """Give the largest power of two that is not above n, and 1 below."""
    return 1 << max(n.bit_length() - 1, 0)


def _form(nest: Nest, rows: int, width: int) -> Form:
    """Choose how threads share rows of a width; a flat nest is one row here."""
    if not rows or not width:
        return Form(32, 32)
    streams = streams_of(nest)
    sizes = {size_of(o) for o in vectors_of(nest, 4, True) + vectors_of(nest, 2, True)}
    lanes = VECTOR // max(sizes) if sizes else 1
    shortest = max(1, _LONGEST // _cost(nest))
    slots = min(lanes * _below(LOADS // max(len(streams), 1)) if lanes > 1 else LOADS, _below(shortest))

    def made(group: int, threads: int, slots: int, held: bool) -> Form:
        return Form(group, threads, slots, lanes if slots >= lanes else 1, held)

    def enough(threads: int, blocks: Callable[[int], int]) -> int:
        """Take fewer threads to a block where there would be few blocks."""
        while threads > 32 and blocks(threads) < _FEW:
            threads //= 2
        return threads

    most = _below(min(_REGISTERS // max(_registers(nest), 1), shortest))
    if nest.flat:
        threads = enough(launch.THREADS, lambda threads: -(-width // (threads * slots)))
        return made(threads, threads, slots, is_tiled(nest))
    if is_tiled(nest):
        slots = min(slots, most)
        widest = power_above(-(-width // min(slots, 4)))

        def blocks(threads: int) -> int:
            group = min(threads, widest)
            return -(-rows * group // threads) * -(-width // (group * slots))

        threads = enough(launch.THREADS, blocks)
        group = min(threads, widest)
        return made(group, threads, min(slots, power_above(-(-width // group))), True)
    group = min(32, power_above(-(-width // min(most, 4))))
    if width <= min(_SHORT, group * most):
        threads = enough(launch.THREADS, lambda threads: -(-rows * group // threads))
        return made(group, max(threads, group), power_above(-(-width // group)), True)
    for threads in (min(launch.THREADS, max(64, power_above(-(-width // min(most, 4))))), 2 * launch.THREADS):
        if width <= threads * most:
            return made(threads, threads, power_above(-(-width // threads)), True)
    return made(2 * launch.THREADS, 2 * launch.THREADS, slots, False)


def form_of(nest: Nest, sizes: dict[str, int]) -> Form:
    return _form(nest, 1, sizes["length"]) if nest.flat else _form(nest, sizes["rows"], sizes["width"])


def tiles_of(nest: Nest, form: Form, width: int) -> int:
    """Give the number of blocks that share a row."""
    return max(1, -(-width // (form.group * form.slots))) if form.held and is_tiled(nest) else 1


def blocks(nest: Nest, rows: int, elements: int) -> int:
    """Give the number of blocks that a nest is cut into."""
    if nest.flat:
        form = _form(nest, 1, elements)
        count = -(-elements // max(_PIECE, form.threads * form.slots))
        return max(1, min(count, _RESIDENT if nest.partials else 2**31 - 1))
    width = elements // max(rows, 1)
    form = _form(nest, rows, width)
    groups, tiles = form.threads // form.group, tiles_of(nest, form, width)
    count = -(-rows // groups)  # a turn each
    even = max(1, _RESIDENT * launch.THREADS // (form.threads * tiles))
    if columns_of(nest):
        most = min(even, max(-(-count // _ROWS), _FEW // 2 // tiles, 1))
    elif nest.partials:
        most = even
    elif nest.kept and not form.held:  # each block has memory of its own
        most = 4 * even
    else:
        most = (2**31 - 1) // tiles if is_tiled(nest) else 16 * even
    turns = max(1, -(-count // most))
    return max(1, -(-rows // (turns * groups)))


def kept(nest: Nest, sizes: Sequence[int], blocks: int) -> int:
    """Give the elements of memory that a kept value takes: none of those that threads hold in registers."""
    named = dict(zip(size_names(nest), sizes, strict=True))
    return 1 if form_of(nest, named).held else blocks * named["width"]


def bounds_of(nest: Nest, form: Form) -> tuple[int, int]:
    """Give the most threads of a block, and how many blocks a processor is to run at once.

    As many as `_RESIDENT` is made for, if 64 registers will do.
    """
    if form.threads > 256:
        return form.threads, 1
    stores = [operand for operand, _, _ in nest.stores if operand.level == ELEMENT]
    numbers = {step.number for step in nest.steps if isinstance(step, Assign) and step.level == ELEMENT}
    wide = any(
        np.dtype(number).itemsize == 8 for number in (*numbers, *(o.dtype for o in (*streams_of(nest), *stores)))
    )
    return 256, 2 if wide or (_registers(nest) + len(stores)) * form.slots > _REGISTERS else 4


def is_aligned(nest: Nest, form: Form, sizes: dict[str, int]) -> bool:
    """Tell whether every row begins at a multiple of 16 bytes, if the arrays do."""
    lanes = form.lanes
    if nest.flat:
        return sizes["length"] >= lanes and (sizes["rows"] == 1 or sizes["width"] % lanes == 0)
    loaded = {o.name for o in (*nest.loads, *(o for o, _, _ in nest.stores))}
    steps = [
        sizes[f"{o.name}_step{axis}"]
        for o in vectors_of(nest, lanes, form.held)
        for axis in range(nest.outer)
        if o.name in loaded
    ]
    return all(step % lanes == 0 for step in (sizes["width"], *steps))
