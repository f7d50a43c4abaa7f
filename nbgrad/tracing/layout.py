"""Where the elements of values are, seen through views."""

from __future__ import annotations

import itertools
from functools import lru_cache
from typing import Any

import numpy as np

from ..kernels.strides import dense
from .program import Access, Constant, Join, Node, Pad, Rows, View, apply_view, is_view, reshaped


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
        if isinstance(node.operation, (Pad, Rows)):
            raise ValueError("zeros around a value, and rows that positions pick, are nowhere in memory")
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
        _model(node.shape, access(node).strides).reshape(shape, copy=False)
    except ValueError:
        return False
    return True


def places_in(join: Node, whole: Access | None = None) -> list[tuple[Node, Access | None]]:
    """Give the parts of a join, parts of parts too, as what each is a reshaping of, with their places in its memory.

    Without a place is what has none in its own shape. `whole` is where the join is itself part of another one.
    """
    assert isinstance(join.operation, Join)
    axis = join.operation.axis
    whole = Access(join, 0, dense(join.shape)) if whole is None else whole
    offset = whole.offset
    found: list[tuple[Node, Access | None]] = []
    for part in join.inputs:
        place = Access(whole.root, offset, whole.strides)
        offset += part.shape[axis] * whole.strides[axis]
        if isinstance(part.operation, Join):
            found += places_in(part, place)
            continue
        made = reshaped(part)
        try:
            strides = _model(part.shape, place.strides).reshape(made.shape, copy=False).strides
        except ValueError:
            found.append((made, None))
        else:
            found.append((made, Access(whole.root, place.offset, strides)))
    return found


def padded(node: Node) -> Access:
    """Give where a value is that has zeros around it, and the steps of both together.

    What there is one of along an axis has any step there: the one with which axes can be walked as one.
    """
    assert isinstance(node.operation, Pad)
    (inner,) = node.inputs
    place, steps = access(inner), list(access(inner).strides)
    for axis in reversed(range(len(steps))):
        if inner.shape[axis] == 1:
            later = [other for other in range(axis + 1, len(steps)) if node.shape[other] != 1]
            steps[axis] = steps[later[0]] * node.shape[later[0]] if later and node.shape[axis] != 1 else 0
    return Access(place.root, place.offset, tuple(steps))


def breaks(shape: tuple[int, ...], strides: tuple[int, ...]) -> set[int]:
    """Give the axes that cannot be walked as one with those before, of a shape with some strides."""
    axes = [axis for axis, size in enumerate(shape) if size != 1]
    return {b for a, b in itertools.pairwise(axes) if strides[a] != strides[b] * shape[b]}


@lru_cache(4096)
def _model(shape: tuple[int, ...], strides: tuple[int, ...]) -> Any:
    """Give an array with a value's steps, of bytes that are not there."""
    return np.lib.stride_tricks.as_strided(np.zeros(1, np.int8), shape, strides)


def _seen_through(node: Node, base: Access) -> Access:
    """Give the place of a view's elements, from the place of what it is a view of."""
    view = node.operation
    assert isinstance(view, View)
    model = _model(node.inputs[0].shape, base.strides)
    seen = model.reshape(view.argument, copy=False) if view.kind == "reshape" else apply_view(view, model)
    assert not seen.size or seen.base is not None, "a copy, and no view"
    offset = seen.__array_interface__["data"][0] - model.__array_interface__["data"][0] if seen.size else 0
    return Access(base.root, base.offset + offset, seen.strides)
