"""More of what moves elements about without changing them: dimensions in other places, copies, pieces, grids."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from .. import history, sharing
from ..arrays import as_array, is_array, is_stand_in
from ..kernels import dispatch
from ..registry import operation
from ..variable import Variable, data_of
from .arguments import axis_of, either, whole_numbers
from .indexing import GetItem, elements_at, getitem
from .joining import cat, is_small
from .places import WriteAt, is_few, moving
from .places import calls as finding
from .shape import Permute, broadcast_to, expand, permute, reshape, squeeze, sum_to, t, transpose, unsqueeze
from .slicing import as_copy, chunk, split, tensor_split
from .striding import Strided, flat_form, window_form


def _operand(x: Any) -> Any:
    return x if isinstance(x, Variable) or is_array(x) else as_array(x)


# ---- dimensions in other places -------------------------------------------------------------------------------------


@operation(alias="moveaxis")
def movedim(input: Any, source: Any, destination: Any) -> Any:
    """Move dimensions, one or several, to other places; the others keep their order.

    Raises ValueError for as many sources as no destinations, and for one that comes twice.

    >>> import nbgrad
    >>> nbgrad.movedim(nbgrad.zeros(2, 3, 4), 0, -1).shape
    (3, 4, 2)
    """
    x = _operand(input)
    if type(source) is int is type(destination):
        ndim = x.ndim
        if 0 <= source < ndim and 0 <= destination < ndim:
            return Permute.apply(x, _moved(ndim, source, destination))
    pairs = []
    for given in (source, destination):
        dims = tuple(given) if isinstance(given, tuple | list) else (given,)
        pairs.append([axis_of("movedim", dim, x.ndim) for dim in dims])
    here, there = pairs
    if len(here) != len(there) or len(set(here)) < len(here) or len(set(there)) < len(there):
        raise ValueError(f"movedim: from {source} to {destination}: give as many, and none twice")
    order = [axis for axis in range(x.ndim) if axis not in here]
    for place, axis in sorted(zip(there, here, strict=True)):
        order.insert(place, axis)
    return permute(x, tuple(order))


moveaxis = movedim


@lru_cache(256)
def _moved(ndim: int, source: int, destination: int) -> tuple[int, ...]:
    order = [axis for axis in range(ndim) if axis != source]
    order.insert(destination, source)
    return tuple(order)


@operation
def swapdims(input: Any, dim0: int, dim1: int) -> Any:
    """Exchange two dimensions."""
    return transpose(input, dim0, dim1)


@operation
def ravel(input: Any) -> Any:
    """Give all elements in one dimension: a view of an input whose elements are in this order, of any other a copy."""
    return reshape(contiguous(_operand(input)), (-1,) if input.size else (0,))


@operation
def unflatten(input: Any, dim: int, sizes: Any) -> Any:
    """Cut one dimension into several, of which one size may be -1.

    Raises ValueError for sizes that do not fill it.
    """
    x = _operand(input)
    axis = axis_of("unflatten", dim, x.ndim)
    parts = list(whole_numbers("unflatten", (sizes,)))
    size = x.shape[axis]
    if not parts or parts.count(-1) > 1 or min(parts) < -1:
        raise ValueError(f"unflatten: sizes {tuple(parts)}: give some, of which one may be -1")
    if -1 in parts:
        rest = -math.prod(parts)
        parts[parts.index(-1)] = size // rest if rest else 0
    if math.prod(parts) != size:
        raise ValueError(f"unflatten: sizes {tuple(parts)} do not fill {size} elements, dimension {axis} of {x.shape}")
    return reshape(x, (*x.shape[:axis], *parts, *x.shape[axis + 1 :]))


@operation
@moving
def roll(input: Any, shifts: Any, dims: Any = None, *, axis: Any = None) -> Any:
    """Move elements along dimensions, those beyond the end to the beginning; without dimensions along all of them.

    Raises ValueError for as many shifts as no dimensions.

    >>> import nbgrad
    >>> nbgrad.roll(nbgrad.tensor([1, 2, 3]), 1)
    Variable([3, 1, 2])
    """
    x = _operand(input)
    by = whole_numbers("roll", tuple(shifts) if isinstance(shifts, tuple | list) else (shifts,))
    along = either("roll", "dims", dims, "axis", axis)
    if along is None or along in ((), []):
        if len(by) != 1:
            raise ValueError(f"roll: shifts {by} without dimensions: give one shift, or a dimension for each")
        return reshape(_rolled(ravel(x), by[0], 0), x.shape)
    chosen = tuple(along) if isinstance(along, tuple | list) else (along,)
    if len(chosen) != len(by):
        raise ValueError(f"roll: shifts {by} of dimensions {chosen}: give as many")
    for shift, dim in zip(by, chosen, strict=True):
        x = _rolled(x, shift, axis_of("roll", dim, x.ndim))
    return x


def _rolled(x: Any, shift: int, axis: int) -> Any:
    size = x.shape[axis]
    if not size or not shift % size:
        return as_copy(x)
    before = (slice(None),) * axis
    cut = size - shift % size
    return cat([GetItem.apply(x, (*before, slice(cut, None))), GetItem.apply(x, (*before, slice(None, cut)))], axis)


@operation
def rot90(input: Any, k: int = 1, dims: Sequence[int] = (0, 1)) -> Any:
    """Turn in the plane of two dimensions, by k right angles from the first towards the second.

    Raises ValueError for other than two dimensions.
    """
    x = _operand(input)
    if len(dims) != 2 or x.ndim < 2:
        raise ValueError(f"rot90: dims {tuple(dims)} of shape {x.shape}: two dimensions make a plane")
    first, second = (axis_of("rot90", dim, x.ndim) for dim in dims)
    if first == second:
        raise ValueError(f"rot90: dims {tuple(dims)} are one dimension: two make a plane")

    def flipped(x: Any, axis: int) -> Any:
        return GetItem.apply(x, (*(slice(None),) * axis, slice(None, None, -1)))

    turns = k % 4
    if turns == 0:
        return as_copy(x)
    if turns == 2:
        return as_copy(flipped(flipped(x, first), second))
    x = flipped(x, second) if turns == 1 else x
    x = transpose(x, first, second)
    return as_copy(x if turns == 1 else flipped(x, second))


# ---- copies ---------------------------------------------------------------------------------------------------------


@operation
@moving
def repeat(input: Any, *repeats: Any) -> Any:
    """Put copies side by side: for each dimension a number of times, which may be more dimensions than there are.

    Raises ValueError for fewer numbers than dimensions, and for negative ones.

    >>> import nbgrad
    >>> nbgrad.tensor([1, 2]).repeat(2, 2)
    Variable([[1, 2, 1, 2],
              [1, 2, 1, 2]])
    """
    x = _operand(input)
    times = whole_numbers("repeat", repeats)
    if len(times) < x.ndim or min(times, default=0) < 0:
        raise ValueError(f"repeat: {times} times shape {x.shape}: give a number of at least 0 for each dimension")
    shape = (1,) * (len(times) - x.ndim) + tuple(x.shape)
    spread = [size for pair in zip((1,) * len(shape), shape, strict=True) for size in pair]
    wide = [size for pair in zip(times, shape, strict=True) for size in pair]
    result = tuple([n * size for n, size in zip(times, shape, strict=True)])
    y = reshape(broadcast_to(reshape(x, tuple(spread)), tuple(wide)), result)
    return as_copy(y) if max(times, default=1) == 1 else y


@operation
@moving
def tile(input: Any, *dims: Any) -> Any:
    """Do as `repeat`, with numbers for the last dimensions where there are fewer than dimensions."""
    x = _operand(input)
    times = whole_numbers("tile", dims)
    return repeat(x, (1,) * (x.ndim - len(times)) + times)


@operation
@moving
def repeat_interleave(
    input: Any, repeats: Any, dim: int | None = None, *, output_size: int | None = None, axis: int | None = None
) -> Any:
    """Repeat each element, a number of times or its own, along a dimension or of all in one.

    Raises ValueError for negative numbers, and for as many as no elements; TypeError for what is not whole.

    >>> import nbgrad
    >>> nbgrad.repeat_interleave(nbgrad.tensor([1, 2]), nbgrad.tensor([2, 1]))
    Variable([1, 1, 2])
    """
    x = _operand(input)
    along = either("repeat_interleave", "dim", dim, "axis", axis)
    if along is None or not x.ndim:
        x, along = ravel(x), 0
    place = axis_of("repeat_interleave", along, x.ndim)
    counts = data_of(repeats) if isinstance(repeats, Variable) or is_array(repeats) else as_array(repeats)
    if is_stand_in(counts):
        raise TypeError("repeat_interleave: traced repeats: the shape depends on elements: make them static")
    counts = dispatch.in_numpy(counts)
    if counts.dtype.kind not in "iu":
        raise TypeError(f"repeat_interleave: repeats have dtype {counts.dtype}: they must be whole numbers")
    size = x.shape[place]
    if counts.ndim > 1 or counts.size not in (1, size) or (counts.size and counts.min() < 0):
        raise ValueError(
            f"repeat_interleave: repeats {counts} for {size} elements: one number of at least 0, or {size}"
        )
    places = np.repeat(np.arange(size), counts if counts.size == size else int(counts.reshape(())))
    if output_size is not None and output_size != places.size:
        raise ValueError(f"repeat_interleave: output_size is {output_size}, and there are {places.size} elements")
    return getitem(x, (*(slice(None),) * place, dispatch.beside(places, data_of(x))))


# ---- pieces ---------------------------------------------------------------------------------------------------------


@lru_cache(256)
def _slices(size: int, along: int) -> tuple[Any, ...]:
    """Give the indices of all slices along a dimension."""
    return tuple([(*(slice(None),) * along, i) for i in range(size)])


@operation
def unbind(input: Any, dim: int | None = None, *, axis: int | None = None) -> tuple[Any, ...]:
    """Give the slices along a dimension (the first, unless given), without it; raises IndexError for a scalar."""
    if type(input) is Variable and axis is None and (dim is None or type(dim) is int):
        shape, along = input._array.shape, dim or 0
        if 0 <= along < len(shape):
            get = GetItem.apply
            return tuple([get(input, key) for key in _slices(shape[along], along)])
    x = _operand(input)
    place = axis_of("unbind", either("unbind", "dim", dim, "axis", axis, 0), x.ndim)
    before = (slice(None),) * place
    return tuple([GetItem.apply(x, (*before, i)) for i in range(x.shape[place])])


@operation
def narrow(input: Any, dim: int, start: Any, length: int) -> Any:
    """Give so many elements from a place on along a dimension, which counts from the end where it is negative.

    Raises IndexError for a place outside, ValueError for more elements than there are.
    """
    if type(input) is Variable and type(dim) is int is type(start) is type(length):
        sizes = input._array.shape
        if 0 <= dim < len(sizes) and 0 <= start <= start + length <= sizes[dim]:
            return GetItem.apply(input, (*(slice(None),) * dim, slice(start, start + length)))
    x = _operand(input)
    axis = axis_of("narrow", dim, x.ndim)
    size = x.shape[axis]
    (begin, count) = whole_numbers("narrow", (start, length))
    if not -size <= begin <= size:
        raise IndexError(f"narrow: start {begin} is out of range for {size} elements")
    begin = begin + size if begin < 0 else begin
    if count < 0 or begin + count > size:
        raise ValueError(f"narrow: {count} elements from {begin} on, and there are {size}")
    return GetItem.apply(x, (*(slice(None),) * axis, slice(begin, begin + count)))


@operation
def select(input: Any, dim: int, index: int) -> Any:
    """Give the slice at a place along a dimension, without it; raises IndexError for a place outside."""
    if type(input) is Variable and type(dim) is int is type(index):
        sizes = input._array.shape
        if 0 <= dim < len(sizes) and -sizes[dim] <= index < sizes[dim]:
            return GetItem.apply(input, (*(slice(None),) * dim, index))
    x = _operand(input)
    axis = axis_of("select", dim, x.ndim)
    (place,) = whole_numbers("select", (index,))
    if not -x.shape[axis] <= place < x.shape[axis]:
        raise IndexError(f"select: {place} is out of range for {x.shape[axis]} elements, dimension {axis} of {x.shape}")
    return GetItem.apply(x, (*(slice(None),) * axis, place))


@operation(public=False)
def unfold(input: Any, dimension: int, size: int, step: int) -> Any:
    """Give all pieces of a size along a dimension, a step apart; the elements of a piece become the last dimension.

    It is a view, which cannot be written to where pieces overlap. Raises ValueError for sizes that there are not, and
    steps below 1.
    """
    x = _operand(input)
    axis = axis_of("unfold", dimension, x.ndim or 1)
    x = x if x.ndim else reshape(x, (1,))
    (width, apart) = whole_numbers("unfold", (size, step))
    if not 0 <= width <= x.shape[axis] or apart < 1:
        raise ValueError(f"unfold: pieces of {width} elements, {apart} apart, of {x.shape[axis]}")
    if type(data_of(x)) is np.ndarray:
        y = Strided.apply(x, *window_form(tuple(x.shape), axis, width, apart))
        return y if input.ndim else reshape(y, y.shape[1:])
    places = np.arange(0, x.shape[axis] - width + 1, apart)[:, None] + np.arange(width)
    seen = getitem(x, (*(slice(None),) * axis, dispatch.beside(places, data_of(x))))
    y = movedim(seen, axis + 1, -1)
    history.note_copy(y, x)
    return y if input.ndim else reshape(y, y.shape[1:])


@operation
def as_strided(input: Any, size: Any, stride: Any, storage_offset: int | None = None) -> Any:
    """Give the elements at places ``offset + sum(stride * index)``, counted through input in C order.

    It is a view of an input whose elements are in this order, of any other a copy; torch counts through the memory.
    Raises ValueError for places outside.
    """
    x = _operand(input)
    shape, steps = whole_numbers("as_strided", (size,)), whole_numbers("as_strided", (stride,))
    if len(shape) != len(steps) or min(shape, default=0) < 0 or min(steps, default=0) < 0:
        raise ValueError(f"as_strided: size {shape} and stride {steps}: give as many, of at least 0")
    data = data_of(x)
    if type(data) is np.ndarray and data.flags.c_contiguous:
        offset = storage_offset or 0
        last = offset + sum(step * (size - 1) for size, step in zip(shape, steps, strict=True))
        if math.prod(shape) and not 0 <= offset <= last < x.size:
            raise _outside(offset, last, x.size)
        return Strided.apply(reshape(x, (-1,)), *flat_form(shape, steps, offset if math.prod(shape) else 0))
    if is_small(data):
        return elements_at(x, _few_strided_places(shape, steps, storage_offset or 0, x.size))
    places = _strided_places(shape, steps, storage_offset or 0, x.size)
    y = getitem(reshape(x, (-1,)), dispatch.beside(places, data))
    history.note_copy(y, x)
    return y


def _strided_places(shape: tuple[int, ...], steps: tuple[int, ...], offset: int, count: int) -> Any:
    places = np.full((), offset, np.int64)
    for size, step in zip(shape, steps, strict=True):
        places = places[..., None] + np.arange(size) * step
    if places.size and not 0 <= offset <= places.max() < count:
        raise _outside(offset, places.max(), count)
    return places


def _outside(offset: int, last: int, count: int) -> ValueError:
    return ValueError(f"as_strided: places from {offset} to {last} of {count} elements")


_few_strided_places = lru_cache(256)(_strided_places)


@operation
def as_strided_scatter(input: Any, src: Any, size: Any, stride: Any, storage_offset: int | None = None) -> Any:
    """Give input with the elements of src at the places of `as_strided`."""
    from .putting import put_at

    x = _operand(input)
    shape, steps = whole_numbers("as_strided_scatter", (size,)), whole_numbers("as_strided_scatter", (stride,))
    if tuple(src.shape) != shape:
        raise ValueError(f"as_strided_scatter: src has shape {src.shape}: it must be {shape}")
    if is_few(x) and type(src) is Variable and src.dtype == x.dtype:
        kept = _few_strided_places(shape, steps, storage_offset or 0, x.size)
        return WriteAt.apply(x, src, finding.last(kept, x._array.size))
    places = dispatch.beside(_strided_places(shape, steps, storage_offset or 0, x.size), data_of(x))
    return reshape(put_at(ravel(x), places, src), x.shape)


def _splitting(name: str, axis: int, least: int) -> Any:
    def function(input: Any, indices_or_sections: Any) -> tuple[Any, ...]:
        x = _operand(input)
        if x.ndim < least:
            raise ValueError(f"{name}: shape {x.shape} has fewer than {least} dimensions")
        along = 0 if name == "hsplit" and x.ndim == 1 else axis
        if isinstance(indices_or_sections, int):
            if indices_or_sections < 1 or x.shape[along] % indices_or_sections:
                raise ValueError(f"{name}: {indices_or_sections} pieces of {x.shape[along]} elements are not equal")
        return tensor_split(x, indices_or_sections, along)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = (
        f"Cut along dimension {axis} at places, or into equal pieces; raises ValueError where there are none."
    )
    return operation(function)


hsplit, vsplit, dsplit = _splitting("hsplit", 1, 1), _splitting("vsplit", 0, 2), _splitting("dsplit", 2, 3)


@operation
def split_with_sizes(input: Any, split_sizes: Any, dim: int = 0) -> tuple[Any, ...]:
    """Cut along a dimension into pieces of several sizes, which add up; see `split`."""
    return split(input, list(split_sizes), dim)


# ---- by other names -------------------------------------------------------------------------------------------------


@operation
def view_as(input: Any, other: Any) -> Any:
    """Give the elements in the shape of another."""
    return reshape(input, tuple(other.shape))


@operation
def reshape_as(input: Any, other: Any) -> Any:
    """Give the elements in the shape of another."""
    return reshape(input, tuple(other.shape))


@operation(public=False)
def contiguous(input: Any) -> Any:
    """Give input where its elements follow one another in C order, and a copy where they do not."""
    data = data_of(input)
    if type(data) is np.ndarray:
        return input if data.flags.c_contiguous else as_copy(input)
    if is_stand_in(data) and hasattr(data, "place") and not sharing.layout_of(data).is_in_order():
        return as_copy(input)
    return input


@operation(public=False)
def sum_to_size(input: Any, *size: Any) -> Any:
    """Sum over whatever broadcasting from a size would repeat; see `sum_to`."""
    return sum_to(input, whole_numbers("sum_to_size", size))


@operation
def adjoint(input: Any) -> Any:
    """Exchange the last two dimensions; raises ValueError for fewer."""
    if input.ndim < 2:
        raise ValueError(f"adjoint: shape {input.shape} has no two dimensions")
    return transpose(input, -2, -1)


def _copy(name: str, function: Any) -> Any:
    def copied(input: Any, *arguments: Any, **options: Any) -> Any:
        found = function(_operand(input), *arguments, **options)
        if isinstance(found, tuple):
            return tuple([as_copy(x) for x in found])
        return as_copy(found)

    copied.__name__ = copied.__qualname__ = f"{name}_copy"
    copied.__doc__ = f"Do as `{name}`, and give a copy."
    return operation(method=False)(moving(copied))


def _as_it_is(input: Any) -> Any:
    return input


def _renamed(name: str, function: Any) -> Any:
    def same(input: Any, *arguments: Any, **options: Any) -> Any:
        return function(input, *arguments, **options)

    same.__name__ = same.__qualname__ = name
    same.__doc__ = f"Do as `{function.__name__}`."
    return operation(same)


alias_copy, expand_copy = _copy("alias", _as_it_is), _copy("expand", expand)
as_strided_copy = _copy("as_strided", as_strided)
narrow_copy, permute_copy, squeeze_copy = _copy("narrow", narrow), _copy("permute", permute), _copy("squeeze", squeeze)
t_copy, transpose_copy, unbind_copy = _copy("t", t), _copy("transpose", transpose), _copy("unbind", unbind)
unfold_copy, unsqueeze_copy, view_copy = _copy("unfold", unfold), _copy("unsqueeze", unsqueeze), _copy("view", reshape)
split_with_sizes_copy = _copy("split_with_sizes", split_with_sizes)
unsafe_split, unsafe_chunk = _renamed("unsafe_split", split), _renamed("unsafe_chunk", chunk)
