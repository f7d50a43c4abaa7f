"""Several put together: side by side, along a diagonal, as a grid or all combinations."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..arrays import is_array
from ..kernels import dispatch
from ..kernels.shapes import broadcast_shapes
from ..registry import operation
from ..variable import Variable, data_of
from .indexing import Scatter, getitem
from .joining import cat, stack
from .picking import operand
from .shape import broadcast_to, reshape, transpose


def _sequence(what: str, tensors: Sequence[Any]) -> list[Any]:
    """Give what is joined, from several arguments or one sequence."""
    given = tensors[0] if len(tensors) == 1 and isinstance(tensors[0], tuple | list) else tensors
    if not given:
        raise ValueError(f"{what}: nothing to join")
    return [operand(x) for x in given]


def _joined(what: str, tensors: Any) -> list[Any]:
    """Give what a sequence has; raises TypeError for a Variable, or an array, alone."""
    if isinstance(tensors, Variable) or is_array(tensors):
        raise TypeError(f"{what}: takes a sequence of Variables, got {type(tensors).__name__}")
    return _sequence(what, (list(tensors),))


def _at_least(x: Any, ndim: int) -> Any:
    if x.ndim >= ndim:
        return x
    shape = {0: (1,) * ndim, 1: (1, *x.shape)[-ndim:] if ndim < 3 else (1, *x.shape, 1), 2: (*x.shape, 1)}
    return reshape(x, shape[x.ndim])


def _atleast(name: str, ndim: int) -> Any:
    def function(*tensors: Any) -> Any:
        given = tensors[0] if len(tensors) == 1 and isinstance(tensors[0], tuple | list) else tensors
        found = tuple([_at_least(operand(x), ndim) for x in given])
        return found if len(given) != 1 or given is tensors[0] else found[0]

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"Give Variables, one or several, with {ndim} dimensions at least."
    return operation(method=False)(function)


atleast_1d, atleast_2d, atleast_3d = (_atleast(f"atleast_{ndim}d", ndim) for ndim in (1, 2, 3))


@operation(method=False)
def hstack(tensors: Sequence[Any]) -> Any:
    """Join along the second dimension, or the first where there is one."""
    xs = [_at_least(x, 1) for x in _joined("hstack", tensors)]
    return cat(xs, 0 if xs[0].ndim == 1 else 1)


@operation(method=False, alias="row_stack")
def vstack(tensors: Sequence[Any]) -> Any:
    """Join along the first dimension; vectors become rows."""
    return cat([_at_least(x, 2) for x in _joined("vstack", tensors)], 0)


row_stack = vstack


@operation(method=False)
def dstack(tensors: Sequence[Any]) -> Any:
    """Join along the third dimension."""
    return cat([_at_least(x, 3) for x in _joined("dstack", tensors)], 2)


@operation(method=False)
def column_stack(tensors: Sequence[Any]) -> Any:
    """Join along the second dimension; vectors become columns."""
    xs = _joined("column_stack", tensors)
    return cat([reshape(x, (x.size, 1)) if x.ndim < 2 else x for x in xs], 1)


@operation(method=False)
def block_diag(*tensors: Any) -> Any:
    """Put matrices along a diagonal, with zeros elsewhere; raises ValueError for more than two dimensions.

    >>> import nbgrad
    >>> nbgrad.block_diag(nbgrad.tensor([[1.0]]), nbgrad.tensor([[2.0, 3.0]]))
    Variable([[1., 0., 0.],
              [0., 2., 3.]])
    """
    xs = [_at_least(operand(x), 2) for x in tensors]
    for x in xs:
        if x.ndim > 2:
            raise ValueError(f"block_diag: shape {x.shape}: takes matrices")
    if not xs:
        return Variable(np.zeros((1, 0)), requires_grad=False)
    columns = sum([x.shape[1] for x in xs])
    placed = []
    column = 0
    for x in xs:
        shape = (x.shape[0], columns)
        placed.append(Scatter.apply(x, (slice(None), slice(column, column + x.shape[1]), ...), shape))
        column += x.shape[1]
    return cat(placed, 0)


@operation(method=False)
def meshgrid(*tensors: Any, indexing: str = "ij") -> tuple[Any, ...]:
    """Give for each vector its elements at all places of a grid of all; with "xy" the first two dimensions change.

    Raises ValueError for more than one dimension, and another indexing.
    """
    xs = _sequence("meshgrid", tensors)
    if indexing not in ("ij", "xy"):
        raise ValueError(f"meshgrid: indexing is {indexing!r}: give 'ij' or 'xy'")
    for x in xs:
        if x.ndim > 1:
            raise ValueError(f"meshgrid: shape {x.shape}: takes vectors and scalars")
    shape = tuple([x.size for x in xs])
    count = len(xs)
    found = [
        broadcast_to(reshape(x, tuple([x.size if i == axis else 1 for i in range(count)])), shape)
        for axis, x in enumerate(xs)
    ]
    return tuple([transpose(x, 0, 1) for x in found] if indexing == "xy" and count > 1 else found)


@operation(method=False)
def cartesian_prod(*tensors: Any) -> Any:
    """Give all combinations of an element of each vector as rows; of one vector itself."""
    xs = [operand(x) for x in tensors]
    for x in xs:
        if x.ndim != 1:
            raise ValueError(f"cartesian_prod: shape {x.shape}: takes vectors")
    if len(xs) == 1:
        return xs[0]
    return stack([reshape(x, (x.size,)) for x in meshgrid(*xs)], 1)


@operation(method=False)
def combinations(input: Any, r: int = 2, with_replacement: bool = False) -> Any:
    """Give all choices of r elements of a vector as rows, in order; an element twice only with replacement."""
    x = operand(input)
    if x.ndim != 1 or r < 0:
        raise ValueError(f"combinations: {r} elements of shape {x.shape}: takes a vector, and a number of at least 0")
    choose = itertools.combinations_with_replacement if with_replacement else itertools.combinations
    rows = np.array(list(choose(range(x.size), r)), np.int64).reshape(-1, r)
    return getitem(x, dispatch.beside(rows, data_of(x))) if r else reshape(getitem(x, slice(0, 0)), (0,))


@operation(method=False)
def broadcast_tensors(*tensors: Any) -> tuple[Any, ...]:
    """Repeat elements until all have one shape; raises ValueError where the shapes do not fit."""
    xs = [operand(x) for x in tensors]
    try:
        shape = broadcast_shapes(*[x.shape for x in xs])
    except ValueError:
        raise ValueError(f"broadcast_tensors: shapes {[tuple(x.shape) for x in xs]} do not broadcast") from None
    return tuple([broadcast_to(x, shape) for x in xs])
