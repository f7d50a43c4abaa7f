"""Rows that positions pick, or add up, in the loops that compute with them: read where they lie, and added in place.

As steps of their own they go through arrays of all rows that are picked. In loops the table's elements are read by the
formula that takes them, and what is added up goes to the table as it is computed: to one of each block of the loop,
which are added up in order, so that sums are the same for any number of threads. That is for tables that are small
beside what is added to them. The positions are looked at before, in one call, and copied: nobody can change them then.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..kernels import formula, scalars
from ..kernels.cpu import indexing
from ..ops.indexing import GetItem, Index
from . import lowering
from .layout import can_reshape
from .program import Call, Fold, Join, Map, Node, Program, Rows, View, dtype_name
from .rewriting import readers_of, rewritten

#: Elements that are picked, or added up, from which it pays: between few, the call is what costs. How many times more
#: than in the table are added up, at least.
_MANY, _TIMES = 1 << 16, 8


def rows_in_loops(program: Program) -> Program:
    """Have formulas read the rows that they take where these lie, and loops add up rows where they compute them."""
    calls = [node for node in program.nodes if _does(node, "rows") or _does(node, "rows added")]
    calls = [node for node in calls if node.inputs[1].size > 1]
    if not calls:
        return program
    readers, results = readers_of(program), set(program.outputs)
    chosen = {node for node in calls if _is_added(node)}
    chosen |= {node for node in calls if _does(node, "rows") and _is_read_in_loops(node, readers, results, chosen)}

    def replaced(node: Node, places: dict[Node, Node]) -> Node | None:
        if node not in chosen:
            return None
        x, rows = (places[before] for before in node.inputs)
        if _does(node, "rows"):
            return picked(program, x, _looked_at(program, rows, x.shape))
        return _added(program, x, _looked_at(program, rows, node.shape), node.shape)

    return rewritten(program, replaced) if chosen else program


def _added(program: Program, x: Node, rows: Node, shape: tuple[int, ...]) -> Node:
    """Give zeros of a shape with rows added at positions; parts that these are put together of are added apart."""
    lead = len(rows.shape)
    if isinstance(x.operation, Join) and x.operation.axis >= lead:
        axis = x.operation.axis - lead + 1
        sizes = [(*shape[:axis], part.shape[x.operation.axis], *shape[axis + 1 :]) for part in x.inputs]
        parts = [_added(program, part, rows, size) for part, size in zip(x.inputs, sizes, strict=True)]
        return lowering.join(program, parts, axis)
    if x.size == rows.size:
        x = lowering.reshape(program, x, rows.shape)
    fold = Fold(scalars.add, tuple(range(lead)), shape[0])
    made = (shape[0], *x.shape[lead:])
    return lowering.reshape(
        program, program.add(fold, (x, _beside(program, rows, len(made) - 1)), made, x.dtype), shape
    )


def _does(node: Node, what: str) -> bool:
    return isinstance(node.operation, Call) and node.operation.identity == what


def _is_added(node: Node) -> bool:
    """Tell whether a call adds up many rows in a small table."""
    return _does(node, "rows added") and node.inputs[0].size >= max(_MANY, _TIMES * node.size)


def _is_read_in_loops(node: Node, readers: dict[Node, list[Node]], results: set[Node], chosen: set[Node]) -> bool:
    table = node.inputs[0]
    if node.size < _MANY or node in results or not can_reshape(table, (table.shape[0], table.size // table.shape[0])):
        return False
    return all([isinstance(r.operation, Map | Fold) or r in chosen or row_slice(r) is not None for r in readers[node]])


def _looked_at(program: Program, rows: Node, shape: tuple[int, ...]) -> Node:
    """Give positions in rows as they are counted from the first; a run raises IndexError where one is in none."""
    kernel, count = indexing.own_places(), shape[0]

    def look(rows: Any, own: Any) -> None:
        own = own.reshape(-1)
        if kernel(rows.reshape(-1), count, count, out=(own, None))[1]:
            GetItem(Index((rows,))).forward(np.broadcast_to(np.zeros(()), shape))  # which tells what is wrong
            raise IndexError(f"indexing shape {shape}: a position is outside")

    call = Call(look, ("places", count), "positions", True)
    return program.add(call, (rows,), rows.shape, np.int64)


def _beside(program: Program, rows: Node, axes: int) -> Node:
    """Give positions with ones for the axes of a row."""
    return lowering.reshape(program, rows, (*rows.shape, *(1,) * axes))


_SECOND = formula.variable(1)


def picked(program: Program, table: Node, rows: Node) -> Node:
    """Give the formula that reads the rows of a table at positions that were looked at."""
    shape = (*rows.shape, *table.shape[1:])
    positions = _beside(program, rows, len(table.shape) - 1)
    found = program.add(Rows(), (table, positions), shape, table.dtype)
    return program.add(Map(_SECOND, dtype_name(table.dtype)), (positions, found), shape, table.dtype)


def is_picked(node: Node) -> bool:
    """Tell whether a node is such a formula."""
    return isinstance(node.operation, Map) and any([isinstance(x.operation, Rows) for x in node.inputs])


def row_slice(view: Node) -> tuple[Any, ...] | None:
    """Give what a slice of rows that are picked shows of each row, as an index of these; None of any other view."""
    if not isinstance(view.operation, View) or view.operation.kind != "index":
        return None
    (source,) = view.inputs
    table = source.inputs[1].inputs[0] if is_picked(source) else source.inputs[0]
    parts, ndim = [part for part in view.operation.argument if part is not None], len(source.shape)
    if len(parts) < len(view.operation.argument):
        return None
    place = next((i for i, part in enumerate(parts) if part is Ellipsis), len(parts))
    parts[place : place + 1] = [slice(None)] * (ndim - len(parts) + 1)
    lead = ndim + 1 - len(table.shape)
    whole = all([isinstance(part, slice) and part == slice(None) for part in parts[:lead]])
    return tuple(parts[lead:]) if whole and len(table.shape) <= 2 else None


def sliced_rows(program: Program, view: Node, inputs: Sequence[Node]) -> Node:
    """Give the formula that reads a slice of rows, by the table and the positions that these are picked by."""
    table, positions = inputs
    parts = row_slice(view)
    assert parts is not None
    rows = lowering.reshape(program, positions, positions.shape[: len(positions.shape) + 1 - len(table.shape)])
    return picked(program, lowering.index(program, table, (slice(None), *parts)), rows)
