"""Rows of few elements, unrolled: what is computed for each of them becomes as many formulas over all rows.

A loop over three elements fills no vector, and ends as soon as it has begun. Where a sum over the last axis, or
whatever it needs, has few elements there, each of these is computed for all rows at once, and the loop goes along the
axis before. So the differences of all pairs of points, and what follows from them, stay in registers. Rows of which
dear functions are computed, as of a softmax, are unrolled even where they lie in memory, and are taken from there in
another order first.
"""

from __future__ import annotations

import math

from ..kernels import formula, scalars
from . import lowering
from .layout import access
from .program import Draw, Fold, Join, Literal, Map, Node, Pad, Program, Rows, View, dtype_name, root_of, stretched
from .rewriting import readers_of, rewritten

#: Elements of a row that is unrolled at most, the rows that it takes, and formulas that come of them; and where rows
#: are taken from memory in another order first.
_LONGEST, _LEAST_ROWS, _MOST_FORMULAS, _MOST_REARRANGED = 16, 32, 1500, 160
#: Elements of a row whose elements are read from memory, where they lie beside each other, at most; and where each is
#: the beginning of many that do.
_LONGEST_READ, _LONGEST_APART = 4, 64


def short_rows_unrolled(program: Program) -> Program:
    """Compute each element of short rows for all rows at once, where they are folded or folded along."""
    seeds = {node: found for node in program.nodes for found in [_rows_of(node)] if found is not None}
    if not seeds:
        return program
    unrolled = _Unrolled(program, seeds)
    return rewritten(program, unrolled.replaced) if unrolled.seeds else program


#: What a fold takes, and the order of its axes in which the fold sees them.
_Seed = tuple[Node, tuple[int, ...]]


def _is_dear(node: Node) -> bool:
    """Tell whether a formula has elementary functions, which pay for vectors and suffer without."""
    assert isinstance(node.operation, Map)
    expression = node.operation.expression
    return expression is not None and formula.dearest(expression) > scalars.sqrt.cost


def _rows_of(fold: Node) -> _Seed | None:
    """Give what a fold is over, if it has short rows in memory's order; None for any other node."""
    if not isinstance(fold.operation, Fold) or fold.operation.rows:
        return None
    (rows,) = fold.inputs
    order = tuple(range(len(rows.shape)))
    if isinstance(rows.operation, View) and rows.operation.kind == "transpose":
        order = rows.operation.argument
        (rows,) = rows.inputs
    if not isinstance(rows.operation, Map):
        rows, order = fold.inputs[0], tuple(range(len(fold.shape)))
    if len(rows.shape) < 2:
        return None
    width = rows.shape[-1]
    if not 2 <= width <= _LONGEST_APART or rows.size < _LEAST_ROWS * width:
        return None
    last = len(rows.shape) - 1
    axes = tuple(sorted(order[axis] for axis in fold.operation.axes))
    if axes == (last,):
        return rows, order
    even = axes[-1] - axes[0] + 1 == len(axes)
    if last in axes:  # of all that there is: where rows lie in memory, a loop over it needs no rows
        return (rows, order) if even and axes[0] == 0 and _is_made_of_less(rows) else None
    # a fold along the rows: over the first axes, or over the last ones but for the row's
    return (rows, order) if even and (axes[0] == 0 or axes[-1] == last - 1) else None


def _is_made_of_less(rows: Node) -> bool:
    """Tell whether formulas make all elements of fewer, which are repeated."""
    stack, seen = [rows], {rows}
    while stack:
        for x in map(stretched, stack.pop().inputs):
            if x.shape == rows.shape and not isinstance(x.operation, Map):
                return False
            if x.shape == rows.shape and x not in seen:
                seen.add(x)
                stack.append(x)
    return isinstance(rows.operation, Map)


def _element_of(view: Node) -> int | None:
    """Tell which element of each row a view shows, as that of a column; None if it shows anything else."""
    if not isinstance(view.operation, View) or view.operation.kind != "index":
        return None
    parts, ndim = list(view.operation.argument), len(view.inputs[0].shape)
    place = next((i for i, part in enumerate(parts) if part is Ellipsis), len(parts))
    parts[place : place + 1] = [slice(None)] * (ndim - len(parts) + 1)
    if not ndim or len(parts) != ndim or type(parts[-1]) is not int:
        return None
    whole = all([isinstance(part, slice) and part == slice(None) for part in parts[:-1]])
    return parts[-1] % view.inputs[0].shape[-1] if whole else None


def _is_apart(x: Node) -> bool:
    """Tell whether rows are put together of their elements, or have zeros around them, and need not be put together."""
    last = len(x.shape) - 1
    if isinstance(x.operation, Join):
        return x.operation.axis == last and all([part.shape[-1] == 1 for part in x.inputs])
    return isinstance(x.operation, Pad) and x.inputs[0].shape[:-1] == x.shape[:-1]


class _Unrolled:
    """The elements of short rows, each as a node of its own."""

    def __init__(self, program: Program, seeds: dict[Node, _Seed]) -> None:
        self.program = program
        self.known: dict[Node, list[Node]] = {}
        self.copies: dict[Node, Node] = {}
        self.inside: set[Node] = set()
        self.rearranged: set[Node] = set()  # what is copied into another order to be read
        self.readers = readers = readers_of(program)
        self.seeds = {}
        dear: dict[tuple[int, ...], list[Node]] = {}
        for fold, (rows, order) in seeds.items():
            assert isinstance(fold.operation, Fold)
            region = self._region(rows)
            if region is not None and (len(self.inside | region)) * rows.shape[-1] <= _MOST_FORMULAS:
                if any(len(node.inputs) > 1 and self._is_read_whole(node, readers, region, seeds) for node in region):
                    region = None
            if region is not None:
                self.inside |= region
                self.seeds[fold] = rows, order
            elif rows.shape[-1] <= _LONGEST and len(fold.operation.axes) == 1:
                dear.setdefault(rows.shape, []).append(fold)
        for shape, folds in dear.items():
            maps = {node for node in program.nodes if node.shape == shape and self._is_formula(node)}
            if any(map(_is_dear, maps)) and len(maps | self.inside) * shape[-1] <= _MOST_REARRANGED:
                self.inside |= maps
                self.rearranged |= {x for node in maps for x in map(stretched, node.inputs) if x not in maps}
                self.seeds |= {fold: seeds[fold] for fold in folds if seeds[fold][0] in maps}
        # where one step's rows are the next one's, to compute some again would be to compute all again
        chained = self._extend() or any(_element_of(r) is not None for node in self.inside for r in readers[node])
        wanted = self.rearranged or chained
        self.whole = {node for node in self.inside if self._is_wanted(node)} if wanted else set()

    def _extend(self) -> bool:
        """Add formulas of rows that are there of which only elements are wanted; tells whether there are any."""
        before = len(self.inside)
        for node in reversed(self.program.nodes):
            if node in self.inside or not self.readers[node] or not self._is_formula(node) or self._is_wanted(node):
                continue
            rows = [x for x in map(stretched, node.inputs) if x.shape == node.shape]
            if not any(x in self.inside for x in rows) or not all(x in self.inside or _is_apart(x) for x in rows):
                continue
            if len(self.inside) * node.shape[-1] < _MOST_FORMULAS:
                self.inside.add(node)
        return len(self.inside) > before

    def _is_formula(self, node: Node) -> bool:
        return isinstance(node.operation, Map) and not any(
            isinstance(x.operation, (Pad, Draw, Rows)) for x in node.inputs
        )

    def _is_wanted(self, node: Node) -> bool:
        """Tell whether somebody needs unrolled rows as an array."""
        return node in self.program.outputs or any(
            not (reader in self.inside and reader.shape == node.shape)
            and reader not in self.seeds
            and _element_of(reader) is None
            for reader in self.readers[node]
        )

    def _region(self, rows: Node) -> set[Node] | None:
        """Give the formulas that the rows are made of; None if too much of them lies in memory beside each other."""
        width = rows.shape[-1]
        if not isinstance(rows.operation, Map):
            read = not isinstance(root_of(rows).operation, Pad | Draw | Fold) and access(rows).strides[-1] > 1
            return set() if read else None
        region, apart = {rows}, None
        stack = [rows]
        while stack:
            for x in stack.pop().inputs:
                x = stretched(x)
                if x in region:
                    continue
                if _is_apart(x) and x.shape == rows.shape:
                    continue
                if isinstance(x.operation, (Pad, Draw, Rows)):
                    return None
                if isinstance(x.operation, Map) and x.shape == rows.shape:
                    region.add(x)
                    stack.append(x)
                elif x.size == rows.size and x.shape == rows.shape:
                    apart = apart is not False and access(x).strides[-1] != 1
                    if width > _LONGEST_READ and not apart:
                        return None
        return region if width <= _LONGEST or (apart and len(region) * width <= 2 * _LONGEST_APART) else None

    def _is_read_whole(
        self, node: Node, readers: dict[Node, list[Node]], region: set[Node], seeds: dict[Node, _Seed]
    ) -> bool:
        """Tell whether somebody wants a formula of short rows as an array, which then is best computed as one."""
        if node in self.program.outputs:
            return True
        for reader in readers[node]:
            if reader in region or reader in self.inside or reader in seeds:
                continue
            if isinstance(reader.operation, View) and all(r in seeds for r in readers[reader]):
                continue
            if _element_of(reader) is not None:
                continue
            if isinstance(reader.operation, Map) and reader.shape == node.shape:
                continue  # of another region, or in the end of none
            return True
        return False

    def replaced(self, node: Node, places: dict[Node, Node]) -> Node | None:
        """Give a fold over short rows in terms of their elements."""
        program = self.program
        if isinstance(node.operation, View) and node.operation.kind == "reshape":
            return lowering.reshape(program, places[node.inputs[0]], node.shape)
        if node.inputs and node.inputs[0] in self.inside:
            shown = _element_of(node)
            if shown is not None:
                return self._elements(node.inputs[0], places)[shown]
        if node in self.whole:
            return self._put_together(self._elements(node, places), node.shape[:-1], node)
        if node not in self.seeds:
            return None
        rows, order = self.seeds[node]
        fold = node.operation
        assert isinstance(fold, Fold)
        # what is repeated is folded as often as it is there
        elements = [lowering.broadcast(program, x, rows.shape[:-1]) for x in self._elements(rows, places)]
        axes = tuple(sorted(order[axis] for axis in fold.axes))
        if len(rows.shape) - 1 in axes:
            total = elements[0]
            for element in elements[1:]:
                total = lowering.mapped(program, fold.combine.expression, [total, element], rows.dtype)
            if len(axes) > 1:
                shape = tuple(1 if axis in axes else size for axis, size in enumerate(rows.shape[:-1]))
                total = program.add(Fold(fold.combine, axes[:-1]), (total,), shape, total.dtype)
                whole = lowering.reshape(program, total, (*shape, 1))
                return lowering.transpose(program, whole, order)
            whole = lowering.reshape(program, total, (*rows.shape[:-1], 1))
        else:
            shape = tuple(1 if axis in axes else size for axis, size in enumerate(rows.shape[:-1]))
            folds = [program.add(Fold(fold.combine, axes), (x,), shape, x.dtype) for x in elements]
            whole = self._put_together(folds, shape, rows)
        return lowering.transpose(program, whole, order)

    def _put_together(self, elements: list[Node], shape: tuple[int, ...], like: Node) -> Node:
        """Give rows of elements, of which all that are first lie beside each other, then all that are second."""
        program = self.program
        if like in program.outputs:  # which lie in their order
            parts = [lowering.reshape(program, x, (*shape, 1)) for x in elements]
            return program.add(Join(len(shape)), parts, (*shape, len(parts)), like.dtype)
        parts = [lowering.reshape(program, x, (1, *shape)) for x in elements]
        joined = program.add(Join(0), parts, (len(parts), *shape), like.dtype)
        return lowering.transpose(program, joined, (*range(1, len(shape) + 1), 0))

    def _elements(self, rows: Node, places: dict[Node, Node]) -> list[Node]:
        """Give the elements of a formula's rows."""
        program = self.program
        if not isinstance(rows.operation, Map):
            return self._taken(rows, rows, places)
        if rows not in self.known:
            made = []
            shape = rows.shape[:-1]
            taken = [self._taken(x, rows, places) for x in rows.inputs]
            for k in range(rows.shape[-1]):
                inputs = [x[k % len(x)] for x in taken]
                made.append(program.add(rows.operation, inputs, shape, rows.dtype))
            self.known[rows] = made
        return self.known[rows]

    def _apart(self, x: Node, places: dict[Node, Node]) -> list[Node]:
        """Give the elements of rows that are put together of these, or have zeros around them."""
        program, shape = self.program, x.shape[:-1]
        if isinstance(x.operation, Join):
            return [lowering.reshape(program, places[part], shape) for part in x.inputs]
        assert isinstance(x.operation, Pad)
        (inner,) = x.inputs
        first, zero = x.operation.starts[-1], lowering.number(program, 0.0, x.dtype)
        found = [lowering.index(program, places[inner], (Ellipsis, k)) for k in range(inner.shape[-1])]
        return [zero] * first + found + [zero] * (x.shape[-1] - first - len(found))

    def _taken(self, x: Node, rows: Node, places: dict[Node, Node]) -> list[Node]:
        """Give the elements of what a formula of rows takes: one if it is the same for all of a row."""
        program = self.program
        base = stretched(x)
        if base in self.inside and base.shape == rows.shape:
            return self._elements(base, places)
        if base.shape == rows.shape and _is_apart(base):
            return self._apart(base, places)
        found = places[base]
        if isinstance(base.operation, Literal) or not base.shape:
            return [found]
        if base.shape[-1] == 1:
            return [lowering.reshape(program, found, base.shape[:-1])]
        if math.prod(base.shape) * 4 <= rows.size or base in self.rearranged:
            # few, and read often: each element's lie beside each other
            if base not in self.copies:
                last = len(base.shape) - 1
                beside = lowering.transpose(program, found, (last, *range(last)))
                self.copies[base] = program.add(Map(None, dtype_name(base.dtype)), (beside,), beside.shape, base.dtype)
            return [lowering.index(program, self.copies[base], (k,)) for k in range(base.shape[-1])]
        return [lowering.index(program, found, (Ellipsis, k)) for k in range(base.shape[-1])]
