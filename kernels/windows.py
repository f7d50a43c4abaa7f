"""Windows that move over an array: where they are, what is seen through them, and sums of what is put back."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any, NamedTuple


class Frame(NamedTuple):
    """A window, and the places it takes on an array of a size: numbers for each of its dimensions."""

    size: tuple[int, ...]
    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    #: Elements before the first, which are no elements of the array.
    before: tuple[int, ...]
    dilation: tuple[int, ...]
    #: Such elements behind the last.
    behind: tuple[int, ...]

    @property
    def places(self) -> tuple[int, ...]:
        """How many places there are along each dimension; none where the window does not fit."""
        return _places(self)

    @property
    def is_whole(self) -> bool:
        """Whether each window is one element, and all elements are seen in order."""
        return set(self.kernel) == set(self.stride) == {1} and set(self.before) == set(self.behind) == {0}

    def seen(self, axis: int, offset: int) -> tuple[slice, slice]:
        """Give the places at which the element of the window at an offset is within the array, and which that are."""
        step, first = self.stride[axis], offset * self.dilation[axis] - self.before[axis]
        begin = max(0, -(first // step))
        end = min(self.places[axis], (self.size[axis] - 1 - first) // step + 1)
        if begin >= end:
            return slice(0, 0), slice(0, 0)
        start = first + begin * step
        return slice(begin, end), slice(start, start + (end - begin - 1) * step + 1, step)


@lru_cache(256)
def _places(frame: Frame) -> tuple[int, ...]:
    return tuple(
        [
            max(0, (size + before + behind - dilation * (kernel - 1) - 1) // stride + 1)
            for size, kernel, stride, before, dilation, behind in zip(*frame, strict=True)
        ]
    )


def one_more(frame: Frame) -> Frame:
    """Return the frame with a dimension of one element before the others."""
    return Frame(*[(value, *numbers) for value, numbers in zip((1, 1, 1, 0, 1, 0), frame, strict=True)])


def columns(x: Any, frame: Frame, zeros: Callable[[tuple[int, ...], Any], Any]) -> Any:
    """Return all that windows see of x, of shape (samples, channels, *size), as (channels, *kernel, samples, *places).

    By slices, for arrays of any target, of which `zeros` makes one. Outside of the array there are zeros.
    """
    y = zeros((x.shape[1], *frame.kernel, x.shape[0], *frame.places), x.dtype)
    swapped = _channels_first(x)
    for offsets, there, here in _pieces(frame):
        y[(slice(None), *offsets, slice(None), *there)] = swapped[(slice(None), slice(None), *here)]
    return y


def overlapped(g: Any, frame: Frame, zeros: Callable[[tuple[int, ...], Any], Any]) -> Any:
    """Return the adjoint of `columns`: what windows see, added up where it was seen."""
    y = zeros((g.shape[1 + len(frame.kernel)], g.shape[0], *frame.size), g.dtype)
    swapped = _channels_first(y)
    for offsets, there, here in _pieces(frame):
        swapped[(slice(None), slice(None), *here)] += g[(slice(None), *offsets, slice(None), *there)]
    return y


def _pieces(frame: Frame) -> Iterator[tuple[Any, Any, Any]]:
    """Give for each element of the window its offsets, the places where it sees an element, and which elements."""
    for offsets in itertools.product(*map(range, frame.kernel)):
        seen = [frame.seen(axis, offset) for axis, offset in enumerate(offsets)]
        yield offsets, tuple([s[0] for s in seen]), tuple([s[1] for s in seen])


def _channels_first(x: Any) -> Any:
    return x.transpose((1, 0, *range(2, x.ndim)))
