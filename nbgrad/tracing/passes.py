"""What is done to a program before it is grouped into loops: functions from programs to programs, in order.

Equal nodes are one, and arithmetic on numbers is done, while a program is being written (`Program.add`,
`lowering.computed`), where that costs nothing. What has to see a whole program is here.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from functools import cache as once

from ..kernels import formula, scalars
from ..kernels.formula import Expression
from . import lowering, picking
from .joins import joined_in_place, slices_before_formulas, sums_of_parts_joined
from .layout import access, can_reshape
from .products import products_in_order, products_of_all_steps, sums_of_products
from .program import Draw, Fold, Join, Map, Node, Pad, Program, Rows, View, reshaped, root_of, stretched
from .rewriting import Pass, Replace, needed, readers_of, rewritten
from .rows import rows_in_loops
from .short_rows import short_rows_unrolled
from .sums import sums_of_sums

Shape = tuple[int, ...]

#: Nodes that one view is moved across at most, and how often what has moved is looked at again.
_MOST_ACROSS, _MOST_ROUNDS = 200, 4
#: Elements of a row from which vectors pay, and of all rows from which it matters.
_ROW, _MANY = 16, 4096


def optimised(program: Program) -> Program:
    """Apply all passes."""
    for change in PASSES:
        program = change(program)
    return program


def _moves(node: Node) -> bool:
    """Tell whether a node is a view of all elements in another shape or order."""
    return isinstance(node.operation, View) and node.operation.kind in ("reshape", "transpose")


def _in_loops(node: Node) -> bool:
    """Tell whether a value comes out of a loop, directly or seen through views."""
    return isinstance(root_of(node).operation, (Map, Fold, Join, Pad))


def _moves_between_loops(program: Program) -> bool:
    """Tell whether there is anything to do: what a loop computes is seen in another shape or order."""
    computed: set[Node] = set()
    for node in program.nodes:
        if isinstance(node.operation, (Map, Fold)) or (isinstance(node.operation, View) and node.inputs[0] in computed):
            computed.add(node)
            if _moves(node):
                return True
    return False


@once
def _is_dear(expression: Expression | None) -> bool:
    """Tell whether a formula has elementary functions, which pay for vectors and suffer without."""
    return expression is not None and formula.dearest(expression) > scalars.sqrt.cost


def _in_order(node: Node) -> bool:
    """Tell whether a value's elements follow one another."""
    expected = 1
    for size, step in zip(reversed(node.shape), reversed(access(node).strides), strict=True):
        if size != 1 and step != expected:
            return False
        expected *= size
    return True


def _are_short(shape: Shape) -> bool:
    """Tell whether rows are too short for vectors, and many."""
    return shape[-1] < _ROW and math.prod(shape) > _MANY


class _Imagined(Node):
    """A view that is in no program, to find out where its elements would be."""

    __slots__ = ()

    @classmethod
    def stretched(cls, node: Node, shape: Shape) -> Node:
        """Give a node broadcast to a shape."""
        return cls(View("broadcast", shape), (node,), shape, node.dtype, -1) if node.shape != shape else node

    @classmethod
    def seen(cls, node: Node, view: View) -> Node | None:
        """Give a node in another shape or order; None where that takes a copy."""
        if view.kind == "reshape":
            return cls(view, (node,), view.argument, node.dtype, -1) if can_reshape(node, view.argument) else None
        return cls(view, (node,), tuple(node.shape[axis] for axis in view.argument), node.dtype, -1)


# ---- views, towards what they are views of --------------------------------------------------------------------------


def views_before_formulas(program: Program) -> Program:
    """Look at what formulas take in another shape or order, instead of at what they give.

    A view between two formulas keeps them in loops of their own: the second sees elements in another order than the
    first gives them. Seen through the view, what the first takes is read where it lies, and all is one loop. So views
    move up across formulas whose values nobody takes as they are.
    """
    for _ in range(_MOST_ROUNDS):
        chosen = _movable(program) if _moves_between_loops(program) else {}
        if not chosen:
            break
        program = rewritten(program, _mover(program, chosen))
    return program


#: Views that move, with the views that they are made up of and the formulas that they move across.
_Chosen = dict[Node, tuple[list[View], set[Node]]]


def _mover(program: Program, chosen: _Chosen) -> Replace:
    def moved(node: Node, places: dict[Node, Node]) -> Node | None:
        if node not in chosen:
            return None
        made: dict[Node, Node] = {}
        views, across = chosen[node]
        for inner in sorted(across, key=lambda n: n.number):
            inputs = [made[x] if x in made else _seen(program, places[x], inner.shape, views) for x in inner.inputs]
            made[inner] = program.add(inner.operation, inputs, node.shape, inner.dtype)
        return made[inner]

    return moved


def _seen(program: Program, node: Node, shape: Shape, views: Sequence[View]) -> Node:
    """Give what a formula of a shape takes, seen through views."""
    if node.size == 1:
        return lowering.reshape(program, node, ())
    node = lowering.broadcast(program, node, shape)
    for view in views:
        change = lowering.reshape if view.kind == "reshape" else lowering.transpose
        node = change(program, node, view.argument)
    return _without_views(node)


def _without_views(node: Node) -> Node:
    """Give what a value is a view of, if that is all the same."""
    root = root_of(node)
    same = root.shape == node.shape and access(node).offset == 0 and access(node).strides == access(root).strides
    return root if same else node


def _movable(program: Program) -> _Chosen:
    found: _Chosen = {}
    readers = readers_of(program)
    results = set(program.outputs)
    for view in program.nodes:
        if not _moves(view) or any(_moves(reader) for reader in readers[view]):
            continue
        if view not in results and not any(isinstance(r.operation, (Map, Fold)) for r in readers[view]):
            continue  # what calls take, they take seen through views
        views: list[View] = []
        node = view
        while _moves(node) and (node is view or (len(readers[node]) == 1 and node not in results)):
            assert isinstance(node.operation, View)
            views.insert(0, node.operation)
            node = node.inputs[0]
        if view in results and all(v.kind == "reshape" for v in views):
            continue  # a result is made in its shape at once
        across = _formulas_behind(node, readers, results)
        leaves = {stretched(x) for inner in across for x in inner.inputs if x not in across}
        # what moves itself is looked at again when it has
        if across and not leaves & found.keys() and _can_be_seen(leaves, views, across):
            found[view] = views, across
    return found


def _draws(node: Node) -> bool:
    """Tell whether a formula draws random numbers, which are in C order."""
    return any(isinstance(x.operation, Draw) for x in node.inputs)


def _formulas_behind(top: Node, readers: dict[Node, list[Node]], results: set[Node]) -> set[Node]:
    """Give a formula and those before it, of its shape, that only they read; none if somebody else reads the first."""
    if not isinstance(top.operation, Map) or len(readers[top]) > 1 or top in results or _draws(top):
        return set()
    across = {top}
    waiting = set(top.inputs)
    while waiting and len(across) < _MOST_ACROSS:
        node = max(waiting, key=lambda n: n.number)  # all that read it have been looked at
        waiting.remove(node)
        inside = isinstance(node.operation, Map) and node.shape == top.shape and node not in results
        if inside and not _draws(node) and all(reader in across for reader in readers[node]):
            across.add(node)
            waiting |= set(node.inputs)
    return across


def _can_be_seen(leaves: set[Node], views: Sequence[View], across: set[Node]) -> bool:
    """Tell whether what formulas take can be seen through views, without reading much out of order.

    One array read so is what there was before; but only simple formulas are as fast on what is not in order.
    """
    shape = next(iter(across)).shape
    before = after = 0
    for leaf in leaves:
        if leaf.size == 1:
            continue
        if isinstance(root_of(leaf).operation, Pad | Rows):
            return False
        seen: Node | None = _Imagined.stretched(leaf, shape)
        for view in views:
            seen = None if seen is None else _Imagined.seen(seen, view)
        if seen is None or (_in_loops(leaf) and _without_views(seen) is seen):
            return False  # a copy, or another loop that would have to end there
        if leaf.size == math.prod(shape):
            before += not _in_order(leaf)
            after += not _in_order(seen)
            if not _in_order(seen) and _are_short(seen.shape):
                return False
    simple = not any(isinstance(n.operation, Map) and _is_dear(n.operation.expression) for n in across)
    return after <= before or (after == 1 and simple)


# ---- reshapings, towards the results --------------------------------------------------------------------------------


def reshapings_after_formulas(program: Program) -> Program:
    """Compute simple formulas in the shape that what they take was computed in, and reshape what they give.

    So they join the loop that it was computed in; a result can have any shape at once, and a sum of all elements needs
    none. Whatever else they take is seen in that shape, and must be no loop's.
    """
    if not _moves_between_loops(program):
        return program
    folded = _folded(program)
    rows: set[Node] = set()  # what stands in the places of those

    def replaced(node: Node, places: dict[Node, Node]) -> Node | None:
        inputs = [places[x] for x in node.inputs]
        if not folded.isdisjoint(node.inputs):
            rows.update([new for old, new in zip(node.inputs, inputs, strict=True) if old in folded])
        if not any([_is_reshaped(x) for x in inputs]):
            return None
        if isinstance(node.operation, Map):
            shape = _shape_before(node, inputs, rows)
            if shape is None:
                return None
            inputs = [_in_shape(program, x, node.shape, shape) for x in inputs]
            return lowering.reshape(program, program.add(node.operation, inputs, shape, node.dtype), node.shape)
        fold = node.operation
        if isinstance(fold, Fold) and len(fold.axes) == len(node.shape) and not fold.rows:
            source = reshaped(inputs[0])
            if source is not inputs[0] and source.shape:
                fold = Fold(fold.combine, tuple(range(len(source.shape))))
                found = program.add(fold, (source,), (1,) * len(source.shape), node.dtype)
                return lowering.reshape(program, found, node.shape)
        return None

    return rewritten(program, replaced)


def _folded(program: Program) -> set[Node]:
    """Give the values that loops have for each row only, and compute one by one."""
    found: set[Node] = set()
    for node in program.nodes:
        if isinstance(node.operation, Map):
            if not found.isdisjoint(node.inputs) and any(x in found and x.shape == node.shape for x in node.inputs):
                found.add(node)
        elif isinstance(node.operation, Fold):
            found.add(node)
    return found


def _is_reshaped(node: Node) -> bool:
    return isinstance(node.operation, View) and node.operation.kind == "reshape"


def _shape_before(node: Node, inputs: Sequence[Node], rows: set[Node]) -> Shape | None:
    """Give the shape that a formula can be computed in to be in a loop with what it takes; None if there is none."""
    assert isinstance(node.operation, Map)
    sources = {reshaped(x).shape for x in inputs if _is_reshaped(x) and isinstance(reshaped(x).operation, Map)}
    if len(sources) != 1 or node.size <= 1 or _is_dear(node.operation.expression):
        return None
    (shape,) = sources
    if not shape or math.prod(shape) != node.size or _are_short(shape):
        return None
    for x in inputs:
        if x.size == 1:
            continue
        if _is_reshaped(x) and reshaped(x).shape == shape and x.shape == node.shape:
            if reshaped(x) in rows:
                return None
        elif _in_loops(x) or not can_reshape(_Imagined.stretched(stretched(x), node.shape), shape):
            return None
    return shape


def _in_shape(program: Program, node: Node, before: Shape, shape: Shape) -> Node:
    """Give what a formula takes, as it takes it in another shape."""
    if node.size == 1:
        return lowering.reshape(program, node, ())
    if _is_reshaped(node) and reshaped(node).shape == shape and node.shape == before:
        return reshaped(node)
    return lowering.reshape(program, lowering.broadcast(program, node, before), shape)


# ---- writes ---------------------------------------------------------------------------------------------------------


def reads_past_writes(program: Program) -> Program:
    """Have what is read from where nothing was written come from before the writes, so that it need not wait for them.

    What is read as it was written is what was written.
    """
    if not any([picking.puts_of(node) for node in program.nodes]):
        return program

    def read(node: Node, places: dict[Node, Node]) -> Node | None:
        view = node.operation
        if not isinstance(view, View) or view.kind != "index":
            return None
        source = before = places[node.inputs[0]]
        while (puts := picking.puts_of(source)) is not None:
            for key, values in zip(reversed(puts.keys), reversed(source.inputs[1:]), strict=True):
                if picking.are_apart(key, view.argument, source.shape):
                    continue
                same = (*key, Ellipsis) == view.argument or key == view.argument
                return values if same and values.shape == node.shape and values.dtype == node.dtype else None
            source = source.inputs[0]
        return None if source is before else program.add(view, (source,), node.shape, node.dtype)

    return rewritten(program, read)


def writes_at_once(program: Program) -> Program:
    """Have writes that nothing is read between come one after the other into one copy."""
    if not any([picking.puts_of(node) for node in program.nodes]):
        return program
    users: dict[Node, int] = defaultdict(int)
    for node in program.nodes:
        for x in node.inputs:
            users[x] += 1
    for node in program.outputs:
        users[node] += 1

    def joined(node: Node, places: dict[Node, Node]) -> Node | None:
        puts, before = picking.puts_of(node), node.inputs[0] if node.inputs else None
        if puts is None or before is None or users[before] != 1:
            return None
        first = places[before]
        earlier = picking.puts_of(first)
        if earlier is None:
            return None
        values = [*first.inputs[1:], *[places[x] for x in node.inputs[1:]]]
        return picking.put_at(program, first.inputs[0], [*earlier.keys, *puts.keys], values)

    return rewritten(program, joined)


def writes_as_joins(program: Program) -> Program:
    """Have writes to stretches of an axis join what was written and what is left, which loops write in place."""
    if not any([picking.puts_of(node) for node in program.nodes]):
        return program

    def joined(node: Node, places: dict[Node, Node]) -> Node | None:
        puts = picking.puts_of(node)
        if puts is None:
            return None
        x, *values = [places[before] for before in node.inputs]
        return picking.joined(program, x, puts.keys, values)

    return rewritten(program, joined)


#: In the order in which they are applied.
PASSES: tuple[Pass, ...] = (
    needed,
    reads_past_writes,
    writes_at_once,
    writes_as_joins,
    sums_of_parts_joined,
    products_of_all_steps,
    sums_of_products,
    products_in_order,
    sums_of_sums,
    rows_in_loops,
    slices_before_formulas,
    short_rows_unrolled,
    views_before_formulas,
    reshapings_after_formulas,
    joined_in_place,
)
