"""Elements that are read when nothing will write to them any more, as in tables and histories that are filled in order.

``h[i, j] = max(h[i - 1, j], h[i, j - 1])`` reads what earlier turns wrote, and later turns write elsewhere: on the way
back the elements are still there, and need not be kept.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable

from .language import Loop, Statement, Store, Value, View, text, whole


class Settling:
    """Knows the views of a program, and so of which array an element is one, and where."""

    def __init__(self, statements: Iterable[Statement]) -> None:
        self.views = {s.target.name: s for s in statements if isinstance(s, View)}

    def place(self, array: Value, items: list[ast.expr | None]) -> tuple[Value, list[ast.expr | None]] | None:
        """Give the array that an element is one of, not as a view, and its index; None for what is not known of it."""
        view = self.views.get(array.name)
        if view is None:
            return array, items
        if not (isinstance(view.value, ast.Subscript) and isinstance(view.value.value, ast.Name)):
            return None
        index = view.value.slice
        rest = iter(items)
        found: list[ast.expr | None] = []
        for item in index.elts if isinstance(index, ast.Tuple) else [index]:
            if isinstance(item, ast.Constant) and not isinstance(item.value, int):
                return None
            if not isinstance(item, ast.Slice):
                found.append(item)
                continue
            own = next(rest, None)
            found.append(own if item.lower is item.upper is item.step is None else None)
        return self.place(view.base, [*found, *rest])

    def settled(self, statement: Statement, array: Value, index: ast.expr, store: Statement) -> bool:
        """Tell whether a store writes no more to an element when a statement reads it."""
        assert isinstance(store, Store)
        items: list[ast.expr | None] = list(index.elts) if isinstance(index, ast.Tuple) else [index]
        read, written = self.place(array, items), self.place(store.array, list(store.index))
        if read is None or written is None or read[0] is not written[0]:
            return False
        others = store.block.loops()
        for loop in reversed(statement.block.loops()):
            if loop not in others:
                break
            step = _shift(loop, written[1], read[1])
            if step is None or step > 0:
                return False
            if step < 0:
                return True
        return statement.order > store.order


def _shift(loop: Loop, written: list[ast.expr | None], read: list[ast.expr | None]) -> int | None:
    """Give by how many turns of a loop an element that is read was written later; None where that is not known."""
    lowest = lowest_of(loop)
    if lowest is None or len(written) != len(read):
        return None
    for one, other in zip(written, read, strict=True):
        first, second = _offset(loop, one), _offset(loop, other)
        if first is None:
            continue
        # an index below zero is one from the end, which is written late
        if second is None or lowest + first < 0 or lowest + second < 0:
            return None
        return (second - first) * (1 if whole(loop.bounds[2]) > 0 else -1)  # type: ignore[arg-type]
    return None


def lowest_of(loop: Loop) -> int | None:
    """Give a bound that no counter of a loop is below; None where none is known."""
    if loop.lowest is not None:
        return loop.lowest
    if loop.counter is None or not isinstance(loop.bounds[2], ast.Constant):
        return None
    start, stop, step = loop.bounds
    if whole(step) > 0:  # type: ignore[arg-type]
        return whole(start) if isinstance(start, ast.Constant) else None
    last = ast.literal_eval(stop) if text(stop).lstrip("-").isdigit() else None
    return None if last is None else last + 1


def _offset(loop: Loop, item: ast.expr | None) -> int | None:
    """Give what is added to a loop's counter; None for what is no such sum."""
    if isinstance(item, ast.Name):
        return 0 if item.id == str(loop.counter) else None
    if isinstance(item, ast.BinOp) and isinstance(item.left, ast.Name) and item.left.id == str(loop.counter):
        if isinstance(item.op, ast.Add | ast.Sub) and isinstance(item.right, ast.Constant):
            return int(whole(item.right)) * (1 if isinstance(item.op, ast.Add) else -1)
    return None
