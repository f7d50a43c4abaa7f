"""What slices make of an array: pieces, elements in reverse order, differences of neighbours."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from ..arrays import as_array, is_array
from ..registry import operation
from ..variable import Given, Variable
from .arguments import axes_of, axis_of, either, whole_numbers
from .elementwise import ne, sub
from .indexing import GetItem
from .joining import cat
from .transfer import clone

_REVERSED = slice(None, None, -1)


def _operand(x: Any) -> Any:
    return x if isinstance(x, Variable) else as_array(x)


def as_copy(x: Any) -> Any:
    """Give a Variable or an array on memory of its own."""
    return clone(x) if isinstance(x, Variable) else x.copy()


def _along(what: str, x: Any, dim: Any, axis: Any, default: int) -> int:
    """Give the dimension that is named; raises ValueError for an x that has none."""
    if dim is axis is None and 0 <= default < x.ndim:
        return default
    if not x.ndim:
        raise ValueError(f"{what}: a scalar has no dimension")
    return axis_of(what, either(what, "dim", dim, "axis", axis, default), x.ndim)


def _cut(x: Any, places: Sequence[int | None], along: int) -> tuple[Any, ...]:
    """Give the pieces between places along a dimension, which may be counted from its end, and lie beyond it."""
    before = (slice(None),) * along
    bounds = itertools.pairwise([0, *places, None])
    return tuple([GetItem.apply(x, (*before, slice(start, stop))) for start, stop in bounds])


Keys = tuple[Any, ...]


def _kept(name: str, find: Callable[[int, Any], Sequence[int | None] | None]) -> Callable[..., Any]:
    """Give what cuts a Variable where `find` says for a size and an argument, which it is asked once; None if nowhere.

    It gives None as well of what is to be looked at first, and for arguments that are wrong.
    """

    @lru_cache(256, typed=True)
    def keys(size: int, how: Any, along: int) -> Keys | None:
        places = find(size, how)
        before = (slice(None),) * along
        if places is None:
            return None
        return tuple([(*before, slice(a, b)) for a, b in itertools.pairwise([0, *places, None])])

    def pieces(input: Any, how: Any, dim: Any, axis: Any) -> tuple[Any, ...] | None:
        if type(input) is not Variable or axis is not None or (dim is not None and type(dim) is not int):
            return None
        shape, along = input._array.shape, dim or 0
        if not 0 <= along < len(shape):
            return None
        how = tuple(how) if type(how) is list else how
        if type(how) is not int and not (type(how) is tuple and all([type(n) is int for n in how])):
            return None
        found, get = keys(shape[along], how, along), GetItem.apply
        return None if found is None else tuple([get(input, key) for key in found])

    pieces.__name__ = name
    return pieces


def _by_sizes(size: int, how: Any) -> Sequence[int | None] | None:
    if type(how) is tuple:
        if not how or sum(how) != size or min(how) < 0:
            return None
        return list(itertools.accumulate(how[:-1]))
    return list(range(how, size, how)) if how > 0 else None


def _by_count(size: int, how: Any) -> Sequence[int | None] | None:
    return None if type(how) is tuple or how <= 0 or not size else _by_sizes(size, -(-size // how))


def _by_places(size: int, how: Any) -> Sequence[int | None] | None:
    if type(how) is tuple:
        return how
    if how <= 0:
        return None
    least, longer = divmod(size, how)  # the first ones have an element more
    return [place * least + min(place, longer) for place in range(1, how)]


_split, _chunk, _tensor_split = _kept("split", _by_sizes), _kept("chunk", _by_count), _kept("tensor_split", _by_places)


@operation
def split(
    input: Given, split_size_or_sections: Any, dim: int | None = None, *, axis: int | None = None
) -> tuple[Given, ...]:
    """Cut along a dimension (the first, unless given) into pieces of a size, or of several sizes in turn.

    The last piece of equal ones may be smaller. Gives a tuple of views. Raises ValueError for sizes that are negative,
    or do not add up, and for a scalar.

    >>> import nbgrad
    >>> nbgrad.split(nbgrad.arange(5), 2)
    (Variable([0, 1]), Variable([2, 3]), Variable([4]))
    """
    found = _split(input, split_size_or_sections, dim, axis)
    if found is not None:
        return found
    input = _operand(input)
    along = _along("split", input, dim, axis, 0)
    size = input.shape[along]
    if isinstance(split_size_or_sections, list | tuple):
        sizes = whole_numbers("split", tuple(split_size_or_sections))
        if sum(sizes) != size or min(sizes, default=0) < 0:
            raise ValueError(f"split: sizes {sizes} of the pieces do not add up to {size}, dimension {along} of x")
        return _cut(input, list(itertools.accumulate(sizes[:-1])), along) if sizes else ()
    (step,) = whole_numbers("split", (split_size_or_sections,))
    if step < 0 or (step == 0 and size):
        raise ValueError(f"split: pieces of size {step} of {size} elements: give a positive size")
    return _cut(input, list(range(step, size, step)) if step else [], along)


@operation
def chunk(input: Given, chunks: int, dim: int | None = None, *, axis: int | None = None) -> tuple[Given, ...]:
    """Cut along a dimension (the first, unless given) into at most so many pieces of one size, but for the last.

    Gives a tuple of views. Raises ValueError for a number of pieces that is not positive, and for a scalar.

    >>> import nbgrad
    >>> nbgrad.chunk(nbgrad.arange(5), 2)
    (Variable([0, 1, 2]), Variable([3, 4]))
    """
    found = _chunk(input, chunks, dim, axis)
    if found is not None:
        return found
    input = _operand(input)
    along = _along("chunk", input, dim, axis, 0)
    (count,) = whole_numbers("chunk", (chunks,))
    if count <= 0:
        raise ValueError(f"chunk: {count} pieces: give a positive number")
    size = -(-input.shape[along] // count)
    return split(input, size, along) if size else split(input, [0] * count, along)


@operation
def tensor_split(
    input: Given, indices_or_sections: Any, dim: int | None = None, *, axis: int | None = None
) -> tuple[Given, ...]:
    """Cut along a dimension (the first, unless given) at places, or into a number of pieces as equal as can be.

    Gives a tuple of views. Places are those of slices: negative ones count from the end, those beyond it leave nothing.
    Raises ValueError for a number of pieces that is not positive, and for a scalar.

    >>> import nbgrad
    >>> nbgrad.tensor_split(nbgrad.arange(5), [1, -1])
    (Variable([0]), Variable([1, 2, 3]), Variable([4]))
    """
    found = _tensor_split(input, indices_or_sections, dim, axis)
    if found is not None:
        return found
    input = _operand(input)
    along = _along("tensor_split", input, dim, axis, 0)
    if isinstance(indices_or_sections, Variable) or is_array(indices_or_sections):
        indices_or_sections = indices_or_sections.tolist()
    if isinstance(indices_or_sections, list | tuple):
        return _cut(input, whole_numbers("tensor_split", tuple(indices_or_sections)), along)
    (count,) = whole_numbers("tensor_split", (indices_or_sections,))
    if count <= 0:
        raise ValueError(f"tensor_split: {count} pieces: give a positive number")
    return _cut(input, _by_places(input.shape[along], count) or [], along)


def _flipped(ndim: int, dims: Any) -> tuple[Any, ...] | None:
    """Give the index that reverses dimensions, None of those that are to be looked at first."""
    dims = tuple(dims) if type(dims) is list else (dims,) if type(dims) is int else dims
    if type(dims) is not tuple or not all([type(d) is int for d in dims]):
        return None
    return _reversing(ndim, dims)


@lru_cache(64)
def _reversing(ndim: int, dims: tuple[int, ...]) -> tuple[Any, ...] | None:
    if not all([0 <= d < ndim for d in dims]) or len(set(dims)) < len(dims):
        return None
    return tuple([slice(None, None, -1 if i in dims else 1) for i in range(ndim)])


@operation
def flip(input: Given, *each: Any, dims: Any = None, axis: Any = None) -> Given:
    """Reverse the order of the elements along dimensions: those given, one by one or in a sequence, or all of them.

    Gives a copy, as PyTorch does; ``np.flip`` gives a view. Raises IndexError for a dimension that does not exist.

    >>> import nbgrad
    >>> nbgrad.flip(nbgrad.tensor([[1, 2], [3, 4]]), 1)
    Variable([[2, 1],
              [4, 3]])
    """
    if type(input) is Variable and axis is None and (each or dims is not None):
        given = dims if not each else None if dims is not None else each[0] if len(each) == 1 else each
        key = _flipped(input._array.ndim, given)
        if key is not None:
            return as_copy(GetItem.apply(input, key))
    input = _operand(input)
    if each:
        dims = either("flip", "dimensions one by one", each[0] if len(each) == 1 else each, "dims", dims)
    axes = axes_of("flip", either("flip", "dims", dims, "axis", axis), input.ndim)
    return as_copy(GetItem.apply(input, tuple([slice(None, None, -1 if i in axes else 1) for i in range(input.ndim)])))


@operation
def flipud(input: Given) -> Given:
    """Reverse the first dimension: rows, upside down. Raises ValueError for a scalar."""
    input = _operand(input)
    if not input.ndim:
        raise ValueError("flipud: a scalar has no rows: at least one dimension is needed")
    return as_copy(GetItem.apply(input, _REVERSED))


@operation
def fliplr(input: Given) -> Given:
    """Reverse the second dimension: columns, left to right. Raises ValueError for fewer than two dimensions."""
    input = _operand(input)
    if input.ndim < 2:
        raise ValueError(f"fliplr: shape {input.shape} has no columns: at least two dimensions are needed")
    return as_copy(GetItem.apply(input, (slice(None), _REVERSED)))


@operation
def diff(
    input: Given,
    n: int = 1,
    dim: int | None = None,
    prepend: Any = None,
    append: Any = None,
    *,
    axis: int | None = None,
) -> Given:
    """Subtract each element from the next one along a dimension (the last, unless given), n times over.

    `prepend` and `append` are joined to input first. Of truth values it tells where neighbours differ. Raises
    ValueError for a negative n, and for a scalar.

    >>> import nbgrad
    >>> nbgrad.diff(nbgrad.tensor([1.0, 4.0, 9.0]))
    Variable([3., 5.])
    """
    input = _operand(input)
    along = _along("diff", input, dim, axis, -1)
    (times,) = whole_numbers("diff", (n,))
    if times < 0:
        raise ValueError(f"diff: n is {times}: give how many times to subtract, 0 or more")
    if times and (prepend is not None or append is not None):
        parts = [_operand(part) for part in (prepend, input, append) if part is not None]
        for part in parts:
            if part.ndim != input.ndim:
                raise ValueError(
                    f"diff: shape {part.shape} cannot be joined to shape {input.shape}: give it {input.ndim} dimensions"
                )
        input = cat(parts, along)
    before: tuple[Any, ...] = (slice(None),) * along
    subtract: Any = ne if input.dtype == np.bool_ else sub
    for _ in range(times):
        later, earlier = (GetItem.apply(input, (*before, part)) for part in (slice(1, None), slice(None, -1)))
        input = subtract(later, earlier)
    return input
