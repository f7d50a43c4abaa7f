"""Where the elements of values are, seen through views."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..kernels.strides import dense
from .program import Access, Constant, Node, View, apply_view, is_view


def access(node: Node) -> Access:
    """Give the place of a value's elements.

    Arguments and results lie in C order, arrays from outside as they do. Raises ValueError for a reshaping that no
    view gives.
    """
    chain = []  # views of views, as many as there are
    while node.place is None and is_view(node):
        chain.append(node)
        node = node.inputs[0]
    if node.place is None:
        steps = dense(node.shape)
        if isinstance(node.operation, Constant):
            steps = tuple(step // node.dtype.itemsize for step in node.array.strides)
        node.place = Access(node, 0, steps)
    place = node.place
    for node in reversed(chain):
        place = node.place = _seen_through(node, place)
    return place


def can_reshape(node: Node, shape: tuple[int, ...]) -> bool:
    """Tell whether a value in another shape is a view of it."""
    try:
        _model(node.shape, access(node)).reshape(shape, copy=False)
    except ValueError:
        return False
    return True


def _model(shape: tuple[int, ...], place: Access) -> Any:
    """Give an array with a value's steps, of bytes that are not there."""
    return np.lib.stride_tricks.as_strided(np.zeros(1, np.int8), shape, place.strides)


def _seen_through(node: Node, base: Access) -> Access:
    """Give the place of a view's elements, from the place of what it is a view of."""
    view = node.operation
    assert isinstance(view, View)
    model = _model(node.inputs[0].shape, base)
    seen = model.reshape(view.argument, copy=False) if view.kind == "reshape" else apply_view(view, model)
    assert not seen.size or seen.base is not None, "a copy, and no view"
    offset = seen.__array_interface__["data"][0] - model.__array_interface__["data"][0] if seen.size else 0
    return Access(base.root, base.offset + offset, seen.strides)
