"""Padding of images, and what only moves their elements about."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..ops.arguments import whole_numbers
from ..ops.elementwise import add
from ..ops.indexing import Scatter, getitem
from ..ops.places import moving
from ..ops.shape import permute, reshape
from ..ops.slicing import as_copy
from ..ops.writing import as_like
from .windows import any_operand

__all__ = ["channel_shuffle", "native_channel_shuffle", "pad", "pixel_shuffle", "pixel_unshuffle"]

#: For each mode where the elements come from: of places from `first` on, of a dimension of a size.
_SOURCES: dict[str, Callable[[Any, int], Any]] = {
    "reflect": lambda places, size: size - 1 - abs(size - 1 - abs(places)),
    "replicate": lambda places, size: np.clip(places, 0, size - 1),
    "circular": lambda places, size: places % size,
}


def pad(input: Any, pad: Sequence[int], mode: str = "constant", value: float | None = None) -> Any:
    """Put elements before and behind those of the last dimensions; negative numbers take elements away.

    `pad` has two numbers for each dimension, the last dimension first. The elements are a `value`, 0 unless given
    ("constant"), those that lie opposite of the edge ("reflect"), the last ones ("replicate") or those of the other end
    ("circular").

    Raises ValueError for another mode, for numbers of more dimensions than there are, and for too few elements.

    >>> import nbgrad
    >>> nbgrad.nn.functional.pad(nbgrad.tensor([1, 2, 3]), (1, 2), "reflect")
    Variable([2, 1, 2, 3, 2, 1])
    """
    if value:
        return _padded(input, tuple(pad), mode, value)
    return _moved(input, tuple(pad), mode)


def _padded(input: Any, pad: tuple[int, ...], mode: str, value: float | None = None) -> Any:
    x = any_operand("pad", input)
    numbers = whole_numbers("pad", pad)
    dims = len(numbers) // 2
    if len(numbers) % 2 or dims > x.ndim:
        raise ValueError(f"pad: {numbers} for shape {x.shape}: give two numbers a dimension, for {x.ndim} at most")
    if mode != "constant" and mode not in _SOURCES:
        raise ValueError(f"pad: mode is {mode!r}: give 'constant', 'reflect', 'replicate' or 'circular'")
    if mode != "constant" and value:
        raise ValueError(f"pad: a value, {value}, is for mode='constant', got {mode!r}")
    widths = [(0, 0)] * (x.ndim - dims) + [(numbers[2 * i], numbers[2 * i + 1]) for i in reversed(range(dims))]
    for size, (before, behind) in zip(x.shape, widths, strict=True):
        most = {"reflect": size - 1, "circular": size}.get(mode)
        if size + before + behind < 0 or (most is not None and max(before, behind, 0) > max(most, 0)):
            raise ValueError(f"pad: {numbers} of shape {x.shape} in mode {mode!r}: there are not as many elements")
        if mode == "replicate" and not size and before + behind > 0:
            raise ValueError(f"pad: {numbers} of shape {x.shape}: there is no last element")
    if max(numbers, default=0) <= 0:  # nothing is put anywhere
        return as_copy(_with_constant(x, widths, 0))
    if mode == "constant":
        return _with_constant(x, widths, 0 if value is None else value)
    if mode == "circular" and min(numbers, default=0) < 0:  # what is taken away comes back nowhere
        x = _with_constant(x, [(min(before, 0), min(behind, 0)) for before, behind in widths], 0)
        widths = [(max(before, 0), max(behind, 0)) for before, behind in widths]
    for axis, (before, behind) in enumerate(widths):
        if before or behind:
            size = x.shape[axis]
            places = _SOURCES[mode](np.arange(-before, size + behind), size)
            x = getitem(x, (slice(None),) * axis + (places,))
    return x


_moved = moving(_padded)


def _with_constant(x: Any, widths: Sequence[tuple[int, int]], value: float) -> Any:
    inner = [
        slice(max(0, -before), size - max(0, -behind)) for size, (before, behind) in zip(x.shape, widths, strict=True)
    ]
    if any([before < 0 or behind < 0 for before, behind in widths]):
        x = getitem(x, tuple(inner))
    if not any([before > 0 or behind > 0 for before, behind in widths]):
        return x
    starts = [max(0, before) for before, _ in widths]
    shape = tuple([s + n + max(0, behind) for s, n, (_, behind) in zip(starts, x.shape, widths, strict=True)])
    key = tuple([slice(start, start + size) for start, size in zip(starts, x.shape, strict=True)])
    y = Scatter.apply(x, (*key, ...), shape)
    if not value:
        return y
    around = np.full(shape, value, x.dtype)
    around[key] = 0
    return add(y, as_like(y, around))


@moving
def pixel_shuffle(input: Any, upscale_factor: int) -> Any:
    """Turn channels into pixels: (..., channels * factor**2, height, width) into images a factor as high and wide.

    Raises ValueError where the factor's square does not divide the channels.
    """
    x = any_operand("pixel_shuffle", input)
    factor = _factor("pixel_shuffle", upscale_factor)
    if x.ndim < 3 or x.shape[-3] % factor**2:
        raise ValueError(f"pixel_shuffle: shape {x.shape} has no {factor}**2 channels, or a multiple of them")
    *first, channels, height, width = x.shape
    count = len(first)
    y = reshape(x, *first, channels // factor**2, factor, factor, height, width)
    y = permute(y, *range(count + 1), count + 3, count + 1, count + 4, count + 2)
    y = reshape(y, *first, channels // factor**2, height * factor, width * factor)
    return as_copy(y) if factor == 1 else y


@moving
def pixel_unshuffle(input: Any, downscale_factor: int) -> Any:
    """Turn pixels into channels: the inverse of `pixel_shuffle`.

    Raises ValueError where the factor does not divide height and width.
    """
    x = any_operand("pixel_unshuffle", input)
    factor = _factor("pixel_unshuffle", downscale_factor)
    if x.ndim < 3 or x.shape[-1] % factor or x.shape[-2] % factor:
        raise ValueError(f"pixel_unshuffle: shape {x.shape} has no height and width that {factor} divides")
    *first, channels, height, width = x.shape
    count = len(first)
    y = reshape(x, *first, channels, height // factor, factor, width // factor, factor)
    y = permute(y, *range(count + 1), count + 2, count + 4, count + 1, count + 3)
    y = reshape(y, *first, channels * factor**2, height // factor, width // factor)
    return as_copy(y) if factor == 1 else y


def _factor(what: str, factor: Any) -> int:
    (number,) = whole_numbers(what, (factor,))
    if number < 1:
        raise ValueError(f"{what}: the factor is {factor}: give a whole number of at least 1")
    return number


@moving
def channel_shuffle(input: Any, groups: int) -> Any:
    """Take channels in turn from each of several groups: (samples, channels, ...), channels seen as a table's columns.

    Raises ValueError where the groups do not divide the channels.
    """
    x = any_operand("channel_shuffle", input)
    (count,) = whole_numbers("channel_shuffle", (groups,))
    if x.ndim < 3 or count < 1 or x.shape[1] % count:
        raise ValueError(f"channel_shuffle: shape {x.shape} has no channels that {groups} groups divide")
    samples, channels, *size = x.shape
    y = reshape(x, samples, count, channels // count, *size)
    return reshape(permute(y, 0, 2, 1, *range(3, y.ndim)), *x.shape)


native_channel_shuffle = channel_shuffle
