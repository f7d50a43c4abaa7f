"""Diagonals and triangles of matrices."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from .. import history
from ..function import constant
from ..kernels import dispatch
from ..registry import operation
from ..variable import Given, Variable, data_of
from .arguments import axis_of, either
from .elementwise import where
from .indexing import AddRows, GetItem, Index, Scatter, elements_at, getitem
from .joining import is_small
from .places import moving
from .reduction import sum
from .shape import Reshape, permute, reshape
from .steps import plain
from .striding import Strided, diagonal_form
from .transfer import clone


def _two(what: str, dim1: int, dim2: int, ndim: int) -> tuple[int, int]:
    if ndim < 2:
        raise IndexError(f"{what}: {ndim} dimensions have no diagonal: at least two are needed")
    first, second = (axis_of(what, d, ndim) for d in (dim1, dim2))
    if first == second:
        raise ValueError(f"{what}: dimensions {dim1} and {dim2} are the same: give two")
    return first, second


def _places(rows: int, columns: int, offset: int) -> tuple[Any, Any]:
    """Give the rows and columns of a diagonal."""
    length = max(min(rows, columns - offset) if offset >= 0 else min(rows + offset, columns), 0)
    along = np.arange(length)
    places = along + max(-offset, 0), along + max(offset, 0)
    for place in places:
        place.flags.writeable = False  # nobody needs to look whether they have changed
    return places


@lru_cache(256)
def _few_places(shape: tuple[int, int], offset: int) -> Any:
    """Give where the diagonal of a small matrix is, counted through its elements."""
    rows, columns = _places(*shape, offset)
    return rows * shape[1] + columns


#: Matrices of more rows than this are not small.
_FEW = 45


@operation
def diagonal(
    input: Given,
    offset: int = 0,
    dim1: int | None = None,
    dim2: int | None = None,
    *,
    axis1: int | None = None,
    axis2: int | None = None,
) -> Given:
    """Give a diagonal of two dimensions, the first two unless given, as the last one; `offset` counts to the right.

    It is a view. Raises IndexError for dimensions that do not exist.

    >>> import nbgrad
    >>> nbgrad.diagonal(nbgrad.tensor([[1.0, 2.0], [3.0, 4.0]]), 1)
    Variable([2.])
    """
    x: Any = plain(input)
    first, second = _two(
        "diagonal", either("diagonal", "dim1", dim1, "axis1", axis1, 0),
        either("diagonal", "dim2", dim2, "axis2", axis2, 1), x.ndim,
    )  # fmt: skip
    if type(data_of(x)) is np.ndarray:
        return Strided.apply(x, *diagonal_form(tuple(x.shape), int(offset), first, second))
    y = _picked(x, offset, first, second)
    history.note_copy(y, x)
    return y


def _picked(x: Any, offset: int, first: int, second: int) -> Any:
    """Give a diagonal as a copy, or as the view that traces make of one."""
    if x.ndim == 2 and first == 0 and type(offset) is int and is_small(data_of(x)):
        return elements_at(x, _few_places(tuple(x.shape), offset))
    others: list[int] = [i for i in range(x.ndim) if i not in (first, second)]
    rows, columns = _places(x.shape[first], x.shape[second], int(offset))
    return getitem(permute(x, (*others, first, second)), (..., rows, columns))


@operation
@moving
def diag_embed(input: Given, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Given:
    """Make of the last dimension the diagonal of two new ones, with zeros elsewhere.

    >>> import nbgrad
    >>> nbgrad.diag_embed(nbgrad.tensor([1.0, 2.0]))
    Variable([[1., 0.],
              [0., 2.]])
    """
    x: Any = plain(input)
    if not x.ndim:
        raise IndexError("diag_embed: a scalar has no dimension to be a diagonal")
    first, second = _two("diag_embed", dim1, dim2, x.ndim + 1)
    if x.ndim == 1 and (first, second) == (0, 1) and type(offset) is int and x.shape[0] + abs(offset) <= _FEW:
        if is_small(data_of(x)):
            wide = x.shape[0] + abs(offset)
            made = AddRows.apply(x, _few_places((wide, wide), offset), 0, (wide * wide,))
            return Reshape.apply(made, (wide, wide))
    size = x.shape[-1] + abs(offset)
    if first > second:  # the diagonal below one is that above the other
        first, second, offset = second, first, -offset
    rows, columns = _places(size, size, offset)
    made = Scatter(Index((..., rows, columns)), (*x.shape[:-1], size, size))(x)
    order = list(range(x.ndim - 1))
    order.insert(first, x.ndim - 1)
    order.insert(second, x.ndim)
    return permute(made, tuple(order))


@operation
@moving
def diag(input: Given, diagonal: int = 0) -> Given:
    """Give the diagonal of a matrix, or of a vector the matrix with it as its diagonal.

    Raises ValueError for more dimensions.
    """
    x: Any = plain(input)
    if x.ndim not in (1, 2):
        raise ValueError(f"diag: shape {x.shape}: takes a vector or a matrix")
    return diag_embed(x, diagonal) if x.ndim == 1 else diagonal_copy(x, diagonal)


@operation
@moving
def diagflat(input: Given, offset: int = 0) -> Given:
    """Give the matrix with all elements of input as its diagonal."""
    x: Any = plain(input)
    return diag_embed(reshape(x, (x.size,)), offset)


@operation
@moving
def diagonal_copy(input: Given, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Given:
    """Give `diagonal` as a copy."""
    x: Any = plain(input)
    found = _picked(x, int(offset), *_two("diagonal_copy", dim1, dim2, x.ndim))
    return found if isinstance(data_of(x), np.ndarray) else clone(found)


@operation
def trace(input: Given) -> Given:
    """Sum the diagonal of a matrix. Raises ValueError for anything else."""
    x: Any = plain(input)
    if x.ndim != 2:
        raise ValueError(f"trace: shape {x.shape}: takes a matrix")
    data, (rows, columns) = data_of(x), x.shape
    if type(data) is np.ndarray and data.flags.c_contiguous and data.size:  # by one slice of all elements
        step = columns + 1
        return sum(GetItem.apply(Reshape.apply(x, (-1,)), slice(0, (min(rows, columns) - 1) * step + 1, step)))
    return sum(diagonal(x))


def _triangle(what: str, x: Any, diagonal: int, lower: bool) -> Any:
    x = plain(x)
    if x.ndim < 2:
        raise ValueError(f"{what}: shape {x.shape}: takes matrices")
    rows, columns = x.shape[-2:]
    on_cpu = isinstance(data_of(x), np.ndarray)
    if on_cpu and type(x) is Variable and x.dtype.char in "fd" and type(diagonal) is int:
        kept = _few_inside if rows * columns <= 1 << 16 else _inside
        return where(kept(rows, columns, diagonal, lower), x, 0.0)
    inside = _inside(rows, columns, diagonal, lower)._array
    if not on_cpu:
        inside = dispatch.beside(inside, data_of(x))
    return where(inside, x, np.zeros((), x.dtype))


def _inside(rows: int, columns: int, diagonal: int, lower: bool) -> Variable:
    """Give where a triangle of a matrix is."""
    return constant(np.tri(rows, columns, diagonal, bool) if lower else ~np.tri(rows, columns, diagonal - 1, bool))


_few_inside = lru_cache(32)(_inside)


@operation
@moving
def tril(input: Given, diagonal: int = 0) -> Given:
    """Give matrices with zeros above a diagonal, which counts to the right. Raises ValueError for fewer dimensions."""
    return _triangle("tril", input, diagonal, True)


@operation
@moving
def triu(input: Given, diagonal: int = 0) -> Given:
    """Give matrices with zeros below a diagonal, which counts to the right. Raises ValueError for fewer dimensions."""
    return _triangle("triu", input, diagonal, False)
