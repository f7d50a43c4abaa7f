"""Joins: parts that loops write in place, sums among zeros that are joins, and slices of what loops compute."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from ..kernels import scalars
from ..kernels.strides import dense
from . import lowering
from .layout import places_in
from .program import Access, Draw, Fold, Join, Map, Node, Pad, Program, View, root_of, stretched
from .rewriting import is_sum, readers_of, rewritten, terms_of
from .rows import is_picked, row_slice, sliced_rows


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

    def is_late(node: Node) -> bool:
        return isinstance(node.operation, Fold) and node.operation.axes[0] == 0

    def is_written(node: Node, place: Access | None, part: Node, join: Node) -> bool:
        """Tell whether the loop that computes a part can write it in its place."""
        if place is None or not isinstance(node.operation, (Map, Fold)):
            return False
        if not is_late(node):
            return True
        steps = zip(node.shape, place.strides, dense(node.shape), strict=True)
        whole = all(step == expected for size, step, expected in steps if size > 1)
        return whole and is_alone(node, part) and join.inputs.count(part) == 1

    def copied(node: Node, places: dict[Node, Node]) -> Node | None:
        if not isinstance(node.operation, Join):
            return None
        parts = []
        for part in node.inputs:
            found = places[part]
            if isinstance(part.operation, Join):
                # what it is made of has been seen to, unless it is known late, which goes to one place, or has no
                # place in the larger whole
                written = all(place is not None and not is_late(made) for made, place in _placed(node, found))
            else:
                ((made, place),) = _placed(node, part)
                written = is_written(made, place, part, node)
            parts.append(
                found if written else program.add(Map(None, found.dtype.name), (found,), found.shape, found.dtype)
            )
        return program.add(node.operation, parts, node.shape, node.dtype)

    return rewritten(program, copied)


def _placed(join: Node, part: Node) -> list[tuple[Node, Access | None]]:
    """Give a part that is no join itself, and its place."""
    assert isinstance(join.operation, Join)
    whole = Access(join, 0, dense(join.shape))
    alone = Node(join.operation, (part,), part.shape, part.dtype, -1)
    return places_in(alone, whole)


# ---- sums among zeros -----------------------------------------------------------------------------------------------


def sums_of_parts_joined(program: Program) -> Program:
    """Have the gradients of slices side by side, of which together they are the whole, be joined, and not added up."""
    if not any(isinstance(node.operation, Pad) for node in program.nodes):
        return program
    readers, results = readers_of(program), set(program.outputs)

    def joined(node: Node, places: dict[Node, Node]) -> Node | None:
        if not is_sum(node):
            return None
        if any(is_sum(reader) and reader.shape == node.shape for reader in readers[node]) and len(readers[node]) == 1:
            return None  # a sum goes on
        terms = terms_of(node, readers, results)
        pads = [term.inputs[0] for term in terms if isinstance(term.operation, Map) and _is_padded(term)]
        if len(pads) < 2:
            return None
        sizes = [pad.inputs[0].shape for pad in pads]
        axes = [axis for axis, whole in enumerate(node.shape) if any(size[axis] != whole for size in sizes)]
        found = _tiles(pads, axes, node.shape) or _tiles(pads, axes[::-1], node.shape)
        if found is None:
            return None
        total = _joined(program, found, places)
        for term in terms:
            if not (isinstance(term.operation, Map) and _is_padded(term)):
                total = lowering.mapped(program, scalars.add.expression, [total, places[term]], node.dtype)
        return total

    return rewritten(program, joined)


class _Tiles(NamedTuple):
    """What is side by side along an axis: values among zeros, or what is itself side by side along another one."""

    axis: int
    parts: list[Any]


def _tiles(pads: Sequence[Node], axes: Sequence[int], shape: tuple[int, ...]) -> _Tiles | None:
    """Find how values among zeros are side by side along the axes, first along the first; None if they are not."""
    if not axes:
        return None
    axis, *rest = axes
    beside: dict[tuple[int, int], list[Node]] = {}
    for pad in pads:
        assert isinstance(pad.operation, Pad)
        beside.setdefault((pad.operation.starts[axis], pad.inputs[0].shape[axis]), []).append(pad)
    parts: list[Any] = []
    end = 0
    for (start, size), found in sorted(beside.items(), key=lambda item: item[0]):
        part: Any = found[0] if len(found) == 1 and not rest else _tiles(found, rest, shape)
        if start != end or part is None:
            return None
        parts.append(part)
        end += size
    return _Tiles(axis, parts) if end == shape[axis] else None


def _joined(program: Program, part: Any, places: dict[Node, Node]) -> Node:
    """Join what is side by side."""
    if isinstance(part, _Tiles):
        return lowering.join(program, [_joined(program, inner, places) for inner in part.parts], part.axis)
    return places[part.inputs[0]]


def _is_padded(node: Node) -> bool:
    return len(node.inputs) == 1 and isinstance(node.inputs[0].operation, Pad)


# ---- slices ---------------------------------------------------------------------------------------------------------


def slices_before_formulas(program: Program) -> Program:
    """Compute what is only read slice by slice as slices, each in the loop that reads it."""
    if not any([_is_slice(node) for node in program.nodes]):
        return program
    readers, results = readers_of(program), set(program.outputs)
    cut: set[Node] = set()
    for node in reversed(program.nodes):
        if not isinstance(node.operation, Map) or node in results or not readers[node]:
            continue
        views = [r for r in readers[node] if _is_slice(r)]
        inner = len(readers[node]) == 1 and readers[node][0] in cut and readers[node][0].shape == node.shape
        once = len(views) == len(readers[node]) > 1 and sum(view.size for view in views) <= node.size
        if (inner or once) and not any(isinstance(x.operation, (Pad, Draw)) for x in node.inputs):
            if inner or not is_picked(node) or all([row_slice(view) is not None for view in views]):
                cut.add(node)
    # a loop whose values would have to be there before any slice is better cut itself, or left whole
    for node in program.nodes:
        if node in cut and any(_is_whole(x, cut) for x in map(stretched, node.inputs)):
            cut.discard(node)
    if not cut:
        return program

    def sliced(node: Node, places: dict[Node, Node]) -> Node | None:
        return made(node.inputs[0], node, places) if _is_slice(node) and node.inputs[0] in cut else None

    def made(node: Node, view: Node, places: dict[Node, Node]) -> Node:
        """Give a formula's slice."""
        if is_picked(node):
            return sliced_rows(program, view, [places[x] for x in node.inputs[1].inputs])
        inputs = []
        for x in node.inputs:
            base = stretched(x)
            if base in cut and base.shape == node.shape:
                inputs.append(made(base, view, places))
            elif base.size == 1:
                inputs.append(lowering.reshape(program, places[base], ()) if base.shape else places[base])
            else:
                assert isinstance(view.operation, View)
                whole = lowering.broadcast(program, places[base], node.shape)
                inputs.append(lowering.index(program, whole, view.operation.argument))
        return program.add(node.operation, inputs, view.shape, node.dtype)

    return rewritten(program, sliced)


def _is_slice(node: Node) -> bool:
    return isinstance(node.operation, View) and node.operation.kind == "index" and 0 < node.size < node.inputs[0].size


def _is_whole(node: Node, cut: set[Node]) -> bool:
    """Tell whether a value comes out of a loop, as a whole."""
    return node not in cut and node.size > 1 and isinstance(root_of(node).operation, (Map, Fold))
