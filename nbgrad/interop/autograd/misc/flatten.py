"""Nests of arrays as one vector, and back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ....arrays import as_array
from ....ops.joining import cat
from ....ops.shape import reshape
from ....variable import Variable


def flatten(value: Any) -> tuple[Any, Callable[[Any], Any]]:
    """Give the elements of a nest of lists, tuples and dicts as a vector, and a function that undoes it.

    Dicts are taken in the order of their keys. Gradients go through both ways.

    >>> import numpy as np
    >>> vector, unflatten = flatten({"w": np.ones((1, 2)), "b": 3.0})
    >>> print(vector, unflatten(2 * vector)["w"])
    [3. 1. 1.] [[2. 2.]]
    """
    leaves: list[Any] = []

    def taken(value: Any) -> Any:
        if type(value) in (list, tuple):
            return type(value), [taken(item) for item in value]
        if type(value) is dict:
            return dict, [(key, taken(value[key])) for key in sorted(value)]
        leaf: Any = value if isinstance(value, Variable) else as_array(value)
        leaves.append(reshape(leaf, (leaf.size,)))
        return None, tuple(leaf.shape)

    structure = taken(value)

    def unflatten(vector: Any) -> Any:
        place = 0

        def rebuilt(structure: Any) -> Any:
            nonlocal place
            kind, items = structure
            if kind is None:
                size = int(np.prod(items))
                place += size
                piece = vector[place - size : place]
                return piece.reshape(items) if items else piece[0]
            if kind is dict:
                return {key: rebuilt(item) for key, item in items}
            return kind([rebuilt(item) for item in items])

        return rebuilt(structure)

    return (cat(leaves) if leaves else np.zeros(0)), unflatten


def flatten_func(func: Callable[..., Any], example: Any) -> tuple[Callable[..., Any], Callable[[Any], Any], Any]:
    """Give a function of nests as one of vectors, what makes nests of vectors, and the example as a vector."""
    vector, unflatten = flatten(example)
    return (lambda x, *arguments: flatten(func(unflatten(x), *arguments))[0]), unflatten, vector
