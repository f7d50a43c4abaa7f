"""Windows that move over images, as a linear operation, and what functions with windows take as arguments."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache, partial
from typing import Any

import numpy as np

from ..arrays import Array, is_array
from ..function import Operation
from ..kernels import dispatch
from ..kernels.windows import Frame
from ..ops.arguments import whole_numbers
from ..ops.shape import reshape
from ..variable import Variable

_FLOAT32, _FLOAT64 = np.dtype(np.float32), np.dtype(np.float64)


class Windows(Operation):
    """What windows see of (samples, channels, *size), as (channels, *kernel, samples, *places), with zeros outside."""

    __slots__ = ("frame",)
    linear = True
    reads_all = False

    def __init__(self, frame: Frame) -> None:
        self.frame = frame

    def forward(self, x: Array) -> Array:
        return dispatch.called("windows", partial(dispatch.columns, frame=self.frame), x)

    def vjp(self, gy: Any, y: Any, x: Any) -> Any:
        return Overlap(self.frame)(gy)


class Overlap(Operation):
    """What windows see, added up where it was seen: the adjoint of `Windows`."""

    __slots__ = ("frame",)
    linear = True
    reads_all = False

    def __init__(self, frame: Frame) -> None:
        self.frame = frame

    def forward(self, g: Array) -> Array:
        return dispatch.called("overlap", partial(dispatch.overlapped, frame=self.frame), g)

    def vjp(self, gy: Any, y: Any, g: Any) -> Any:
        return Windows(self.frame)(gy)


def numbers_of(what: str, name: str, value: Any, dims: int, least: int = 0) -> tuple[int, ...]:
    """Give an argument as a whole number for each dimension of an image; one stands for all.

    Raises TypeError for what is no whole number, ValueError for another count of them and for those below `least`.
    """
    if type(value) is int and value >= least:
        return (value,) * dims
    numbers = whole_numbers(f"{what}: {name}", tuple(value) if isinstance(value, tuple | list) else (value,))
    if len(numbers) == 1:
        numbers *= dims
    if len(numbers) != dims or min(numbers) < least:
        raise ValueError(f"{what}: {name} is {value}: give one number, or {dims}, of at least {least}")
    return numbers


def any_operand(what: str, x: Any) -> Any:
    """Give what a function takes as an array; raises TypeError for what is none."""
    if not isinstance(x, Variable) and not is_array(x):
        raise TypeError(f"{what}: takes Variables and arrays, got {type(x).__name__}")
    return x


def operand(what: str, x: Any) -> Any:
    """Give what a function takes as an array of floating numbers; raises TypeError for other dtypes."""
    x = any_operand(what, x)
    dtype = x.dtype
    if dtype is not _FLOAT64 and dtype is not _FLOAT32 and dtype not in (_FLOAT32, _FLOAT64):
        raise TypeError(f"{what}: takes float32 and float64, got dtype {x.dtype}: convert with astype")
    return x


def batched(what: str, x: Any, dims: int) -> tuple[Any, bool]:
    """Give images with a dimension of samples, and whether it was added.

    Raises ValueError for other numbers of dimensions than samples, channels and those of an image, or all but samples.
    """
    x = operand(what, x)
    if x.ndim not in (dims + 1, dims + 2):
        raise ValueError(
            f"{what}: input has shape {x.shape}: it has (samples,) channels and {dims} dimensions of an image"
        )
    return (x, False) if x.ndim == dims + 2 else (reshape(x, 1, *x.shape), True)


def unbatched(y: Any, added: bool) -> Any:
    """Give images without the dimension of samples that `batched` has added."""
    return reshape(y, *y.shape[1:]) if added else y


def framed(
    what: str,
    size: Sequence[int],
    kernel: tuple[int, ...],
    stride: tuple[int, ...],
    padding: tuple[int, ...],
    dilation: tuple[int, ...],
    further: tuple[int, ...] | None = None,
) -> Frame:
    """Give the frame of windows on images of a size, with `further` elements behind these if not as many as before.

    Raises ValueError where the window does not fit.
    """
    return _framed(what, Frame(tuple(size), kernel, stride, padding, dilation, padding if further is None else further))


@lru_cache(256)
def _framed(what: str, frame: Frame) -> Frame:
    size, kernel, _, padding, dilation, _ = frame
    if 0 in frame.places:
        padded = tuple([n + p + q for n, p, q in zip(size, padding, frame.behind, strict=True)])
        wide = tuple([d * (k - 1) + 1 for d, k in zip(dilation, kernel, strict=True)])
        raise ValueError(f"{what}: windows of {wide} elements do not fit into images of {padded}, padding included")
    return frame
