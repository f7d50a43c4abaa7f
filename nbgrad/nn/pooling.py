"""Pools: what windows see of images in one number, a maximum, a mean or a norm."""

from __future__ import annotations

import builtins
import math
from functools import lru_cache, partial
from typing import Any

import numpy as np

from ..arrays import Array
from ..function import Operation, constant
from ..kernels import dispatch
from ..kernels.cpu.small.calls import SMALL
from ..kernels.windows import Frame
from ..ops.elementwise import abs, add, div, mul, pow, relu, sign
from ..ops.indexing import GetItem, Index, Scatter, elements_at
from ..ops.inplace import last_ones
from ..ops.joining import is_small
from ..ops.places import FEW, AddAt, At, is_few, summing
from ..ops.places import calls as finding
from ..ops.reduction import mean as average
from ..ops.reduction import sum
from ..ops.shape import permute, reshape
from ..ops.writing import Put
from ..variable import Variable, as_variable, data_of
from .windows import Windows, batched, framed, numbers_of, unbatched

__all__ = [
    "avg_pool1d",
    "avg_pool2d",
    "avg_pool3d",
    "lp_pool1d",
    "lp_pool2d",
    "lp_pool3d",
    "max_pool1d",
    "max_pool1d_with_indices",
    "max_pool2d",
    "max_pool2d_with_indices",
    "max_pool3d",
    "max_pool3d_with_indices",
    "max_unpool1d",
    "max_unpool2d",
    "max_unpool3d",
]


def _frame(
    what: str, x: Any, dims: int, kernel: Any, stride: Any, padding: Any, dilation: Any = 1, ceil_mode: bool = False
) -> Frame:
    """Give the windows of a pool; with `ceil_mode` the last may see beyond the padding, if it begins before that."""
    kernels = numbers_of(what, "kernel_size", kernel, dims, 1)
    strides = kernels if stride in (None, (), []) else numbers_of(what, "stride", stride, dims, 1)
    if 0 in x.shape[1:]:
        raise ValueError(f"{what}: input has shape {x.shape}: only samples may be none")
    paddings = numbers_of(what, "padding", padding, dims)
    dilations = numbers_of(what, "dilation", dilation, dims, 1)
    for k, p, d in zip(kernels, paddings, dilations, strict=True):
        if 2 * p > d * (k - 1) + 1:
            raise ValueError(
                f"{what}: padding {paddings} is more than half of the window {kernels}, which would see nothing else"
            )
    return _frame_of(what, tuple(x.shape[2:]), kernels, strides, paddings, dilations, ceil_mode)


@lru_cache(256)
def _frame_of(
    what: str,
    size: tuple[int, ...],
    kernels: tuple[int, ...],
    strides: tuple[int, ...],
    paddings: tuple[int, ...],
    dilations: tuple[int, ...],
    ceil_mode: bool,
) -> Frame:
    behind = list(paddings)
    if ceil_mode:
        for axis, (n, k, s, p, d) in enumerate(zip(size, kernels, strides, paddings, dilations, strict=True)):
            wide = d * (k - 1) + 1
            count = -(-(n + 2 * p - wide) // s) + 1
            if (count - 1) * s >= n + p:
                count -= 1
            behind[axis] = builtins.max(p, (count - 1) * s + wide - n - p)
    frame = framed(what, size, kernels, strides, paddings, dilations, tuple(behind))
    for axis, (n, k, s, p, d) in enumerate(zip(size, kernels, strides, paddings, dilations, strict=True)):
        starts = np.arange(frame.places[axis]) * s - p if d > 1 else np.zeros(0, np.int64)
        firsts = np.where(starts < 0, starts % d, starts)  # the first element that is no padding
        if (firsts >= np.minimum(starts + k * d, n)).any():
            raise ValueError(
                f"{what}: a window of {kernels} with dilation {dilations} sees nothing but padding on images of {size} "
                f"elements with padding {paddings}"
            )
    return frame


def named(function: Any, what: str, sentences: str) -> Any:
    function.__name__ = function.__qualname__ = what
    function.__doc__ = sentences
    return function


# ---- maxima in windows ----------------------------------------------------------------------------------------------


class MaxPool(Operation):
    """The largest element in each window; `places` are where it is in its image."""

    __slots__ = ("frame", "places")
    reads_all = False

    places: Array

    def __init__(self, frame: Frame) -> None:
        self.frame = frame

    def forward(self, x: Array) -> Array:
        y, self.places = dispatch.called("max_pool", partial(dispatch.highest, frame=self.frame), x)
        return y

    def vjp(self, gy: Any, y: Any, x: Any) -> Any:
        return Deal(self.places, x.shape)(gy)


class Deal(Operation):
    """Zeros of the shape of images, with elements added where places in each image tell."""

    __slots__ = ("places", "shape")
    linear = True
    reads_all = False

    def __init__(self, places: Array, shape: tuple[int, ...]) -> None:
        self.places, self.shape = places, shape

    def forward(self, g: Array) -> Array:
        index = Index.of_rows(_flat(self.places, self.shape))
        return Scatter(index, (math.prod(self.shape),)).forward(g.reshape(-1)).reshape(self.shape)

    def vjp(self, gy: Any, y: Any, g: Any) -> Any:
        return Collect(self.places)(gy)


class Collect(Operation):
    """The elements where places in each image tell: the adjoint of `Deal`."""

    __slots__ = ("places",)
    linear = True
    reads_all = False

    def __init__(self, places: Array) -> None:
        self.places = places

    def forward(self, x: Array) -> Array:
        index = Index.of_rows(_flat(self.places, x.shape))
        return GetItem(index).forward(x.reshape(-1)).reshape(self.places.shape)

    def vjp(self, gy: Any, y: Any, x: Any) -> Any:
        return Deal(self.places, x.shape)(gy)


def _flat(places: Array, shape: tuple[int, ...]) -> Array:
    """Give places in images as places in all of (samples, channels, *size)."""
    images, size = math.prod(shape[:2]), math.prod(shape[2:])
    starts = dispatch.beside(np.arange(0, images * size, size or 1), places)
    return add(places.reshape(images, math.prod(places.shape[2:])), starts.reshape(images, 1)).reshape(-1)


def _max_pool(dims: int, indices_too: bool) -> Any:
    what = f"max_pool{dims}d"

    def pool(
        input: Any,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        dilation: Any = 1,
        ceil_mode: bool = False,
        return_indices: bool = indices_too,
    ) -> Any:
        if type(input) is Variable:
            try:
                table = _table(what, dims, input._array.shape, kernel_size, stride, padding, dilation, ceil_mode)
            except TypeError:  # lists
                table = None
            found = None if table is None else largest_of(input, *table, return_indices or indices_too)
            if found is not None:
                return found
        x, added = batched(what, input, dims)
        operation = MaxPool(_frame(what, x, dims, kernel_size, stride, padding, dilation, ceil_mode))
        y = unbatched(operation(x), added)
        return (y, as_places(operation.places.reshape(y.shape), y)) if return_indices or indices_too else y

    return named(
        pool,
        what + "_with_indices" * indices_too,
        f"""Give the largest element that each window sees of ((samples,) channels, {SIZES[dims]}).

    A window moves by `stride`, its own size unless given; its elements are `dilation` apart; around the image there are
    `padding` elements that are never the largest. With `ceil_mode` a last window that sees little of the image counts,
    with `return_indices` the places of the elements in their image come second. The gradient goes to the first of
    equal elements. Raises ValueError where windows do not fit.
    """,
    )


def largest_of(x: Variable, table: Array, begins: Array, places_too: bool) -> Any:
    """Give the largest elements of few, of those in each row of a table, and their places, less where images begin.

    None of what is not small.
    """
    chosen = finding.largest(x._array, table) if is_few(x) else None
    if chosen is None:
        return None
    y = At.apply(x, chosen)
    return (y, constant(chosen - begins)) if places_too else y


@lru_cache(256)
def _table(what: str, dims: int, shape: tuple[int, ...], *arguments: Any) -> tuple[Array, Array] | None:
    """Give where windows see elements, a row each, and where the images begin that these are of."""
    if not 0 < math.prod(shape) <= FEW or len(shape) not in (dims + 1, dims + 2) or 0 in shape:
        return None
    numbers = np.arange(1.0, math.prod(shape) + 1).reshape(shape)
    x, added = batched(what, numbers, dims)
    frame = _frame(what, x, dims, *arguments)
    seen = dispatch.columns(x, frame)  # (channels, *kernel, samples, *places)
    seen = seen.transpose((1 + dims, 0, *range(2 + dims, 2 + 2 * dims), *range(1, 1 + dims)))
    seen = seen.reshape(*seen.shape[: 2 + dims], math.prod(frame.kernel)).astype(np.int64) - 1
    begins = np.arange(math.prod(x.shape[:2])).reshape(*x.shape[:2], *(1,) * dims) * math.prod(x.shape[2:])
    return np.ascontiguousarray(seen[0] if added else seen), begins[0] if added else begins


SIZES = {1: "length", 2: "height, width", 3: "depth, height, width"}


def as_places(places: Any, y: Any) -> Any:
    return Variable(places, requires_grad=False) if isinstance(y, Variable) else places


max_pool1d, max_pool2d, max_pool3d = (_max_pool(dims, False) for dims in (1, 2, 3))
max_pool1d_with_indices, max_pool2d_with_indices, max_pool3d_with_indices = (_max_pool(d, True) for d in (1, 2, 3))


def _max_unpool(dims: int) -> Any:
    what = f"max_unpool{dims}d"

    def unpool(
        input: Any, indices: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, output_size: Any = None
    ) -> Any:
        x, added = batched(what, input, dims)
        places = data_of(indices)
        if places.dtype.kind not in "iu":
            raise TypeError(f"{what}: places have dtype {places.dtype}: they must be whole numbers")
        if tuple(places.shape) != tuple(input.shape):
            raise ValueError(f"{what}: input has shape {input.shape}, places {places.shape}: they must be the same")
        kernels = numbers_of(what, "kernel_size", kernel_size, dims, 1)
        strides = kernels if stride in (None, (), []) else numbers_of(what, "stride", stride, dims, 1)
        paddings = numbers_of(what, "padding", padding, dims)
        steps = zip(x.shape[2:], strides, kernels, paddings, strict=True)
        size: tuple[int, ...] = tuple([(n - 1) * s + k - 2 * p for n, s, k, p in steps])
        if output_size is not None:
            asked = tuple(output_size)[-dims:]
            if len(asked) != dims or any([not d - s < a < d + s for d, s, a in zip(size, strides, asked, strict=True)]):
                raise ValueError(f"{what}: output_size is {output_size}: {size} give or take the stride {strides}")
            size = asked
        if min(size) < 1:
            raise ValueError(f"{what}: input of shape {x.shape} leaves images of {size} elements")
        shape = (*x.shape[:2], *size)
        whole = places.astype(np.int64).reshape(x.shape)
        if isinstance(whole, np.ndarray) and whole.size:
            if whole.min() < 0 or whole.max() >= math.prod(size):
                raise IndexError(f"{what}: places from {whole.min()} to {whole.max()} in images of {size}")
        if is_few(input) and type(whole) is np.ndarray and math.prod(shape) <= FEW:
            begins = np.arange(math.prod(shape[:2])).reshape(*shape[:2], *(1,) * dims) * math.prod(size)
            there = finding.last(whole + begins, math.prod(shape))
            if there is not None:
                found = AddAt.apply(input, there.reshape(input.shape), shape)
                return unbatched(found, added)
        index = Index(_flat(whole, shape))
        flat = reshape(as_variable(x), -1)
        zeros = Variable(dispatch.zeros((math.prod(shape),), x.dtype, data_of(x)), requires_grad=False)
        y = Put(index, last_ones(index, zeros.shape))(zeros, flat)
        y = y if isinstance(x, Variable) else y.data
        return unbatched(reshape(y, *shape), added)

    return named(
        unpool,
        what,
        f"""Put elements back where `max_pool{dims}d` found them, and zeros elsewhere.

    `indices` are the places in each image, of the shape of input. The size is the smallest one whose windows are as
    many, or `output_size`. Of several elements for one place it has the last. Raises ValueError for shapes and sizes
    that do not match, IndexError for places outside.
    """,
    )


max_unpool1d, max_unpool2d, max_unpool3d = (_max_unpool(dims) for dims in (1, 2, 3))


# ---- means and norms in windows -------------------------------------------------------------------------------------


def _sums(x: Any, frame: Frame) -> Any:
    """Give the sums in windows."""
    dims = len(frame.kernel)
    seen = sum(Windows(frame)(x), tuple(range(1, 1 + dims)))
    return permute(seen, 1, 0, *range(2, 2 + dims))


@lru_cache(64)
def _seen_in(shape: tuple[int, ...], frame: Frame) -> Array:
    """Give where windows see the elements of few (samples, channels, *size), a row each; there is no padding."""
    every = np.arange(float(math.prod(shape))).reshape(shape)
    dims = len(frame.kernel)
    seen = dispatch.columns(every, frame)  # (channels, *kernel, samples, *places)
    order = (1 + dims, 0, *range(2 + dims, 2 + 2 * dims), *range(1, 1 + dims))
    seen = seen.transpose(order)
    return np.ascontiguousarray(seen, np.int64).reshape(*seen.shape[: 2 + dims], math.prod(frame.kernel))


@lru_cache(64)
def _counts(frame: Frame, padding: tuple[int, ...], padded: bool) -> Any:
    """Give how many elements windows see, with those of the padding or without."""
    along = []
    for axis, places in enumerate(frame.places):
        low = np.arange(places) * frame.stride[axis] - frame.before[axis]
        high = np.minimum(low + frame.kernel[axis], frame.size[axis] + padding[axis])
        if not padded:
            low, high = np.maximum(low, 0), np.minimum(high, frame.size[axis])
        along.append(high - low)
    counts: Any = along[0]
    for more in along[1:]:
        counts = counts[..., None] * more
    return counts


def _avg_pool(dims: int) -> Any:
    what = f"avg_pool{dims}d"

    def mean(x: Any, kernel: Any, stride: Any, padding: Any, ceil_mode: bool, padded: bool, divisor: Any) -> Any:
        x, added = batched(what, x, dims)
        frame = _frame(what, x, dims, kernel, stride, padding, 1, ceil_mode)
        if divisor is not None and not divisor:
            raise ValueError(f"{what}: divisor_override is {divisor}: it must not be 0")
        count: Any = divisor
        if divisor is None and not any(frame.before) and not any(frame.behind) and is_small(data_of(x)):
            if math.prod(frame.kernel) * math.prod(frame.places) * math.prod(x.shape[:2]) <= SMALL:
                return unbatched(average(elements_at(x, _seen_in(tuple(x.shape), frame)), -1), added)
        if divisor is None:
            counts = _counts(frame, frame.before, padded)
            count = float(counts.flat[0]) if (counts == counts.flat[0]).all() else counts.astype(x.dtype)
        return unbatched(
            div(_sums(x, frame), count if isinstance(count, float | int) else dispatch.beside(count, data_of(x))), added
        )

    if dims == 1:

        def pool(
            input: Any,
            kernel_size: Any,
            stride: Any = None,
            padding: Any = 0,
            ceil_mode: bool = False,
            count_include_pad: bool = True,
        ) -> Any:
            return mean(input, kernel_size, stride, padding, ceil_mode, count_include_pad, None)

    else:

        def pool(  # type: ignore[misc]
            input: Any,
            kernel_size: Any,
            stride: Any = None,
            padding: Any = 0,
            ceil_mode: bool = False,
            count_include_pad: bool = True,
            divisor_override: int | None = None,
        ) -> Any:
            return mean(input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)

    return named(
        summing(pool),
        what,
        f"""Give the mean of what each window sees of ((samples,) channels, {SIZES[dims]}).

    Windows are those of `max_pool{dims}d`. Zeros of the padding count unless `count_include_pad` is false; another
    divisor may be given for two dimensions and three. Raises ValueError where windows do not fit.
    """,
    )


avg_pool1d, avg_pool2d, avg_pool3d = (_avg_pool(dims) for dims in (1, 2, 3))


def _lp_pool(dims: int) -> Any:
    what = f"lp_pool{dims}d"

    def pool(input: Any, norm_type: float, kernel_size: Any, stride: Any = None, ceil_mode: bool = False) -> Any:
        x, added = batched(what, input, dims)
        frame = _frame(what, x, dims, kernel_size, stride, 0, 1, ceil_mode)
        total = _sums(pow(x, norm_type), frame)
        if ceil_mode:  # the mean of what is there, times the size of the window
            share = math.prod(frame.kernel) / _counts(frame, frame.before, True)
            total = mul(total, share.astype(x.dtype))
        return unbatched(pow(mul(sign(total), relu(abs(total))), 1.0 / norm_type), added)

    return named(
        pool,
        what,
        f"""Give ``sum(x**p) ** (1/p)`` of what each window sees of ((samples,) channels, {SIZES[dims]}).

    Raises ValueError where windows do not fit.
    """,
    )


lp_pool1d, lp_pool2d, lp_pool3d = (_lp_pool(dims) for dims in (1, 2, 3))
