"""Where the elements of values are, seen through views."""

from __future__ import annotations

import math

import numpy as np

from .program import Node, View, apply_view, is_view


class Access:
    """Where a value's elements are: a node with memory, the first element's place, and steps, in elements."""

    def __init__(self, root: Node, offset: int, strides: tuple[int, ...]) -> None:
        self.root, self.offset, self.strides = root, offset, strides


def dense(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Give the steps, in elements, of an array in C order."""
    return tuple(math.prod(shape[axis + 1 :]) for axis in range(len(shape)))


class Layout:
    """The places of values, and of views of them."""

    def __init__(self) -> None:
        self._views: dict[Node, Access | None] = {}

    def access(self, node: Node) -> Access | None:
        """Give the place of a value's elements; None where a view of it is none, and NumPy would copy."""
        chain = []  # views of views, as many as there are
        while node not in self._views and is_view(node):
            chain.append(node)
            node = node.inputs[0]
        if node not in self._views:
            self._views[node] = Access(node, 0, dense(node.shape))
        place = self._views[node]
        for node in reversed(chain):
            place = self._views[node] = None if place is None else self._access(node, place)
        return place

    def _access(self, node: Node, base: Access) -> Access | None:
        """Give the place of a view's elements, from the place of what it is a view of."""
        view = node.operation
        assert isinstance(view, View)
        model = np.lib.stride_tricks.as_strided(np.zeros(1, np.int8), node.inputs[0].shape, base.strides)
        if view.kind == "reshape":
            try:
                seen = model.reshape(view.argument, copy=False)
            except ValueError:
                return None
        else:
            seen = apply_view(view, model)
        offset = seen.__array_interface__["data"][0] - model.__array_interface__["data"][0] if seen.size else 0
        return Access(base.root, base.offset + offset, seen.strides)
