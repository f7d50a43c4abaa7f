"""Pools of windows of several sizes: as many as are asked for, or at places that are drawn."""

from __future__ import annotations

import builtins
import math
from functools import lru_cache, partial
from typing import Any

import numpy as np

from ..kernels import dispatch
from ..ops.creation import rand
from ..ops.extrema import max
from ..ops.indexing import getitem
from ..ops.joining import take_along_dim
from ..ops.linalg import matmul
from ..ops.places import FEW, summing
from ..ops.reduction import mean
from ..ops.shape import reshape, swapaxes
from ..variable import Variable, data_of
from .pooling import SIZES, as_places, largest_of, named
from .windows import batched, numbers_of, unbatched

__all__ = [
    "adaptive_avg_pool1d",
    "adaptive_avg_pool2d",
    "adaptive_avg_pool3d",
    "adaptive_max_pool1d",
    "adaptive_max_pool1d_with_indices",
    "adaptive_max_pool2d",
    "adaptive_max_pool2d_with_indices",
    "adaptive_max_pool3d",
    "adaptive_max_pool3d_with_indices",
    "fractional_max_pool2d",
    "fractional_max_pool2d_with_indices",
    "fractional_max_pool3d",
    "fractional_max_pool3d_with_indices",
]


def _adaptive_size(what: str, x: Any, output_size: Any, dims: int) -> tuple[int, ...]:
    given = tuple(output_size) if isinstance(output_size, tuple | list) else (output_size,) * dims
    if len(given) != dims:
        raise ValueError(f"{what}: output_size is {output_size}: give one number, or {dims}")
    size = tuple([n if wanted is None else wanted for wanted, n in zip(given, x.shape[2:], strict=True)])
    if any([type(n) is not int or n < 0 for n in size]):
        raise ValueError(f"{what}: output_size is {output_size}: give whole numbers of at least 0")
    if 0 in x.shape[1:]:
        raise ValueError(f"{what}: input has shape {x.shape}: only samples may be none")
    return size


def _bounds(size: int, count: int) -> list[tuple[int, int]]:
    """Give where windows begin and end that cut a dimension as evenly as can be."""
    return [(i * size // count, -(-(i + 1) * size // count)) for i in range(count)]


@lru_cache(64)
def _shares(old: int, new: int, dtype: str) -> Any:
    """Give the shares that elements have in the means of windows, a column each."""
    shares = np.zeros((old, new), dtype)
    for place, (begin, end) in enumerate(_bounds(old, new)):
        shares[begin:end, place] = 1 / (end - begin)
    return shares


def _adaptive_avg_pool(dims: int) -> Any:
    what = f"adaptive_avg_pool{dims}d"

    def pool(input: Any, output_size: Any) -> Any:
        x, added = batched(what, input, dims)
        size = _adaptive_size(what, x, output_size, dims)
        if size == (1,) * dims:
            return unbatched(mean(x, tuple(range(2, 2 + dims)), True), added)
        for axis, (old, new) in enumerate(zip(x.shape[2:], size, strict=True), 2):
            if old != new:  # a product with the shares that elements have in means
                shares = _shares(old, new, np.dtype(x.dtype).char)
                beside = dispatch.beside(shares, data_of(x))
                x = swapaxes(matmul(swapaxes(x, axis, -1), beside), axis, -1)
        return unbatched(x, added)

    return named(
        summing(pool),
        what,
        f"""Give the means of as many windows as `output_size` says, for ((samples,) channels, {SIZES[dims]}).

    Windows begin at ``floor(i * size / count)`` and end before ``ceil((i + 1) * size / count)``; None leaves a size as
    it is. Raises ValueError for sizes that are no whole numbers.
    """,
    )


adaptive_avg_pool1d, adaptive_avg_pool2d, adaptive_avg_pool3d = (_adaptive_avg_pool(dims) for dims in (1, 2, 3))


@lru_cache(64)
def _seen(size: tuple[int, ...], counts: tuple[int, ...]) -> Any:
    """Give where windows that cut an image evenly see its elements, (*windows, elements), some of them twice."""
    dims = len(size)
    along = []
    for old, new in zip(size, counts, strict=True):
        bounds = _bounds(old, new)
        wide = builtins.max([end - begin for begin, end in bounds], default=1)
        rows = [[min(begin + i, end - 1) for i in range(wide)] for begin, end in bounds]
        along.append(np.array(rows, np.int64).reshape(new, wide))
    shapes = [
        [places.shape[0] if i == axis else places.shape[1] if i == axis + dims else 1 for i in range(2 * dims)]
        for axis, places in enumerate(along)
    ]
    key = [places.reshape(shape) for places, shape in zip(along, shapes, strict=True)]
    flat: Any = 0
    for places, old in zip(key, size, strict=True):
        flat = flat * old + places
    return flat.reshape(*counts, -1)


@lru_cache(256)
def _table(what: str, dims: int, shape: tuple[int, ...], output_size: Any) -> tuple[Any, Any] | None:
    """Give where windows see elements of few, a row each, and where the images begin that these are of."""
    if not 0 < math.prod(shape) <= FEW or len(shape) not in (dims + 1, dims + 2):
        return None
    x, added = batched(what, np.zeros(shape), dims)
    size = _adaptive_size(what, x, output_size, dims)
    if 0 in size:
        return None
    begins = np.arange(math.prod(x.shape[:2])).reshape(*x.shape[:2], *(1,) * dims) * math.prod(x.shape[2:])
    seen = _seen(tuple(x.shape[2:]), size) + begins[..., None]
    return np.ascontiguousarray(seen[0] if added else seen), begins[0] if added else begins


def _largest(x: Any, size: tuple[int, ...], places_too: bool) -> tuple[Any, Any]:
    """Give the largest element in each window, and, if they are asked for, their places."""
    flat = _seen(tuple(x.shape[2:]), size)
    images = reshape(x, *x.shape[:2], math.prod(x.shape[2:]))
    seen = getitem(images, (slice(None), slice(None), flat))
    values, chosen = max(seen, seen.ndim - 1)
    if not places_too:
        return values, None
    table = np.broadcast_to(flat, seen.shape)
    places = take_along_dim(dispatch.beside(table, data_of(x)), reshape(data_of(chosen), *chosen.shape, 1), -1)
    return values, as_places(places.reshape(chosen.shape), x)


def _adaptive_max_pool(dims: int, indices_too: bool) -> Any:
    what = f"adaptive_max_pool{dims}d"

    def pool(input: Any, output_size: Any, return_indices: bool = indices_too) -> Any:
        if type(input) is Variable:
            try:
                table = _table(what, dims, input._array.shape, output_size)
            except TypeError:  # lists
                table = None
            found = None if table is None else largest_of(input, *table, return_indices or indices_too)
            if found is not None:
                return found
        x, added = batched(what, input, dims)
        size = _adaptive_size(what, x, output_size, dims)
        values, places = _largest(x, size, return_indices or indices_too)
        values = unbatched(values, added)
        return values if places is None else (values, unbatched(places, added))

    return named(
        pool,
        what + "_with_indices" * indices_too,
        f"""Give the maxima of as many windows as `output_size` says, for ((samples,) channels, {SIZES[dims]}).

    Windows are those of `adaptive_avg_pool{dims}d`; with `return_indices` the places of the elements in their image
    come second. Raises ValueError for sizes that are no whole numbers.
    """,
    )


adaptive_max_pool1d, adaptive_max_pool2d, adaptive_max_pool3d = (_adaptive_max_pool(d, False) for d in (1, 2, 3))
(
    adaptive_max_pool1d_with_indices,
    adaptive_max_pool2d_with_indices,
    adaptive_max_pool3d_with_indices,
) = (_adaptive_max_pool(d, True) for d in (1, 2, 3))


def _fractional_max_pool(dims: int, indices_too: bool) -> Any:
    what = f"fractional_max_pool{dims}d"

    def pool(
        input: Any,
        kernel_size: Any,
        output_size: Any = None,
        output_ratio: Any = None,
        return_indices: bool = indices_too,
        _random_samples: Any = None,
    ) -> Any:
        x, added = batched(what, input, dims)
        kernels = numbers_of(what, "kernel_size", kernel_size, dims, 1)
        if (output_size is None) == (output_ratio is None):
            raise ValueError(f"{what}: give output_size or output_ratio")
        if output_size is None:
            ratios = output_ratio if isinstance(output_ratio, tuple | list) else (output_ratio,) * dims
            if len(ratios) != dims or not all([0 < ratio < 1 for ratio in ratios]):
                raise ValueError(f"{what}: output_ratio is {output_ratio}: give numbers between 0 and 1")
            output_size = tuple([int(n * ratio) for n, ratio in zip(x.shape[2:], ratios, strict=True)])
        size = numbers_of(what, "output_size", output_size, dims, 1)
        for n, k, count in zip(x.shape[2:], kernels, size, strict=True):
            if k + count - 1 > n:
                raise ValueError(f"{what}: {size} windows of {kernels} elements do not fit into {x.shape[2:]}")
        drawn = rand(*x.shape[:2], dims, dtype=x.dtype) if _random_samples is None else _random_samples
        shares = data_of(drawn)
        if shares.shape != (*x.shape[:2], dims):
            raise ValueError(f"{what}: _random_samples has shape {shares.shape}: it must be {(*x.shape[:2], dims)}")
        return _fractional(x, kernels, size, shares, added, return_indices or indices_too)

    return named(
        pool,
        what + "_with_indices" * indices_too,
        f"""Give the maxima of windows at places that are drawn, for ((samples,) channels, {SIZES[dims]}).

    There are `output_size` windows, or `output_ratio` of the size; how far they are apart alternates at random
    (https://arxiv.org/abs/1412.6071). `_random_samples`, from 0 to 1, of the shape (samples, channels, {dims}), takes
    the place of random numbers. Raises ValueError where windows do not fit.
    """,
    )


def _fractional(
    x: Any, kernels: tuple[int, ...], size: tuple[int, ...], shares: Any, added: bool, indices_too: bool
) -> Any:
    flat = dispatch.called("fractional_max_pool", partial(_windows, tuple(x.shape), kernels, size), shares)
    if type(x) is Variable and type(data_of(x)) is type(flat) is np.ndarray:
        begins = np.arange(math.prod(x.shape[:2])).reshape(*x.shape[:2], 1) * math.prod(x.shape[2:])
        both = largest_of(x, flat + begins[..., None], begins, True)
        if both is not None:
            y, chosen = [unbatched(reshape(a, *x.shape[:2], *size), added) for a in both]
            return (y, chosen) if indices_too else y
    images = reshape(x, *x.shape[:2], math.prod(x.shape[2:]), 1)
    flat = dispatch.beside(flat, data_of(x))
    seen = take_along_dim(images, reshape(flat, *x.shape[:2], flat.shape[2] * flat.shape[3], 1), 2)
    values, chosen = max(reshape(seen, *flat.shape), -1)
    places = take_along_dim(flat, data_of(chosen)[..., None], -1)
    found = [unbatched(reshape(a, *x.shape[:2], *size), added) for a in (values, as_places(places, x))]
    return tuple(found) if indices_too else found[0]


def _windows(shape: tuple[int, ...], kernels: tuple[int, ...], size: tuple[int, ...], shares: Any) -> Any:
    """Give the places that windows see, counted through an image, from what was drawn for each and its dimensions."""
    shares = dispatch.in_numpy(shares)
    dims = len(kernels)
    flat: Any = 0
    for axis, (n, k, count) in enumerate(zip(shape[2:], kernels, size, strict=True)):
        share = shares[..., axis if dims == 3 else 1 - axis, None]  # torch's order
        begins = np.empty((*shape[:2], count), np.int64)
        if count > 1:
            alpha = shares.dtype.type((n - k) / (count - 1))
            turns = np.arange(count - 1, dtype=shares.dtype)
            begins[..., :-1] = ((turns + share) * alpha).astype(np.int64) - (share * alpha).astype(np.int64)
        begins[..., -1] = n - k
        places = begins[..., None] + np.arange(k)
        ones = [*shape[:2], *[1] * (2 * dims)]
        ones[2 + axis], ones[2 + dims + axis] = count, k
        flat = flat * n + places.reshape(ones)
    return flat.reshape(*shape[:2], math.prod(size), math.prod(kernels))


fractional_max_pool2d, fractional_max_pool3d = (_fractional_max_pool(dims, False) for dims in (2, 3))
fractional_max_pool2d_with_indices, fractional_max_pool3d_with_indices = (_fractional_max_pool(d, True) for d in (2, 3))
