"""Windows that move over images: what they see as columns of a matrix, and back; a loop each.

A loop is of two dimensions. One is seen as an image of one row, and of three dimensions the first is gone through here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache as once
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from ..text import Text
from ..windows import Frame, one_more
from . import gufuncs, threads
from .failures import checked

Array = npt.NDArray[np.generic]

#: What an element costs, in additions: it is read and written.
_SHARED = threads.share_above(2 * threads.ACCESS)
#: The most elements of a window that a loop has written out.
_WRITTEN_OUT = 9


def columns(x: Array, frame: Frame) -> Array:
    """Return all that windows see of x, of shape (samples, channels, *size), as (channels, *kernel, samples, *places).

    Outside of the array there are zeros.
    """
    y = np.empty((x.shape[1], *frame.kernel, x.shape[0], *frame.places), x.dtype)
    if y.size:
        _by_planes(x, y, frame, _see)
    return y


def overlapped(g: Array, frame: Frame) -> Array:
    """Return what windows see, of the shape that `columns` gives, added up where it was seen: its adjoint."""
    dims = len(frame.kernel)
    y = np.zeros((g.shape[1 + dims], g.shape[0], *frame.size), g.dtype)
    if g.size and y.size:
        _by_planes(y, g, frame, _put_back)
    return y


def highest(x: Array, frame: Frame) -> tuple[Array, Array]:
    """Return the largest element in each window on x of (samples, channels, *size), and its place in the image.

    Of equal ones it is the first, of several NaN the last. Every window sees an element.
    """
    dims = len(frame.kernel)
    shape = (*x.shape[:2], *frame.places)
    y, where = np.empty(shape, x.dtype), np.empty(shape, np.int64)
    if y.size:
        new = (slice(None), slice(None), *(None,) * (3 - dims))
        height, width = (1, 1, *frame.kernel)[-2:]
        small = dims <= 2 and height * width <= _WRITTEN_OUT
        work = _highest((height, width) if small else None)
        checked(work, x[new], _numbers(frame, 3), out=(y[new], where[new]))
    return y, where


@lru_cache(256)
def _numbers(frame: Frame, dims: int) -> Array:
    """Give kernel, stride, padding before and dilation of a frame as so many dimensions have them, or its last ones."""
    while len(frame.kernel) < dims:
        frame = one_more(frame)
    return np.array([f[-dims:] for f in (frame.kernel, *frame[2:5])], np.int64).reshape(-1)


def _by_planes(x: Array, y: Array, frame: Frame, work: Callable[[Array, Array, Array], None]) -> None:
    """Work on images and on what windows see of them, two dimensions at a time, of one dimension, two or three."""
    dims = len(frame.kernel)
    numbers = _numbers(frame, 2)[2:]
    if dims == 1:
        x, y = x[:, :, None], y[:, None, :, :, None]
    x = x.swapaxes(0, 1)
    if dims < 3:
        work(x, y.transpose(0, 3, 1, 2, 4, 5), numbers)
        return
    for offset in range(frame.kernel[0]):
        there, here = frame.seen(0, offset)
        seen = y[:, offset].transpose(0, 3, 4, 1, 2, 5, 6)
        if work is _see:
            seen[:, :, : there.start], seen[:, :, there.stop :] = 0, 0
        if there.stop:
            work(x[:, :, here], seen[:, :, there], numbers)


def _see(x: Array, y: Array, numbers: Array) -> None:
    checked(_columns(), x, numbers, out=y)


def _put_back(x: Array, y: Array, numbers: Array) -> None:
    checked(_overlapped(), y, numbers, out=x)


@once
def _columns() -> np.ufunc:
    return gufuncs.make("columns", _columns_source, "xix", "(h,w),(p)->(r,c,i,j)", 1, _SHARED)


@once
def _overlapped() -> np.ufunc:
    return gufuncs.make("overlapped", _overlapped_source, "xix", "(r,c,i,j),(p)->(h,w)", 1, _SHARED)


@once
def _highest(window: tuple[int, int] | None) -> np.ufunc:
    name = "highest" if window is None else f"highest-{window[0]}x{window[1]}"
    write = lambda number: _highest_source(number, window)  # noqa: E731
    return gufuncs.make(name, write, "xixi", "(d,h,w),(p)->(z,i,j),(z,i,j)", 2, _SHARED)


#: The lengths of the dimensions of an image, and of what windows see of it.
_IMAGE, _WINDOWS = ["height", "width"], ["rows", "columns", "down", "across"]
_NUMBERS = {"number": ("int64", "p")}


def _columns_source(number: str) -> str:
    operands = {"x": (number, "hw"), **_NUMBERS, "y": (number, "rcij")}
    with gufuncs.loop(operands, [*_IMAGE, "numbers", *_WINDOWS], _WINDOWS) as text:
        with _each_row(text):
            with text.block("if line < 0 or line >= height:"):
                text.put("for j in range(across):", f"    y[there + j * yj] = {number}(0)", "continue")
            for begin, end in (("0", "first"), ("last", "across")):
                text.put(f"for j in range({begin}, {end}):", f"    y[there + j * yj] = {number}(0)")
            text.put("here = b * xb + line * xh + (left + first * sw) * xw", "there += first * yj")
            with text.block("if sw * xw == 1 and yj == 1:", "for j in range(last - first):"):
                text.put("y[there + j] = x[here + j]")
            with text.block("else:", "for j in range(last - first):"):
                text.put("y[there + j * yj] = x[here + j * sw * xw]")
    return str(text)


def _overlapped_source(number: str) -> str:
    operands = {"y": (number, "rcij"), **_NUMBERS, "x": (number, "hw")}
    with gufuncs.loop(operands, [*_WINDOWS, "numbers", *_IMAGE], _WINDOWS) as text:
        with _each_row(text):
            text.put("if line < 0 or line >= height:", "    continue")
            text.put("here = b * xb + line * xh + (left + first * sw) * xw", "there += first * yj")
            with text.block("if sw * xw == 1 and yj == 1:", "for j in range(last - first):"):
                text.put("x[here + j] += y[there + j]")
            with text.block("else:", "for j in range(last - first):"):
                text.put("x[here + j * sw * xw] += y[there + j * yj]")
    return str(text)


@contextmanager
def _each_row(text: Text) -> Iterator[None]:
    """Write loops over rows of places: those of one element of the window, which see neighbours in a `line`.

    They see elements from `left` on, and from the place `first` up to `last` those that there are; `there` is where
    the row of places begins.
    """
    put, block = text.put, text.block
    with block("for b in range(outer):"):
        names = ("sh", "sw", "ph", "pw", "dh", "dw")
        put(*(f"{name} = number[b * numberb + {i} * numberp]" for i, name in enumerate(names)))
        with block("for r in range(rows):", "for c in range(columns):"):
            put("left = c * dw - pw", "first = max(0, -(left // sw))")
            put("last = max(first, min(across, (width - 1 - left) // sw + 1))", "first = min(first, last)")
            with block("for i in range(down):"):
                put("line = i * sh + r * dh - ph", "there = b * yb + r * yr + c * yc + i * yi")
                yield


def _highest_source(number: str, window: tuple[int, int] | None) -> str:
    operands = {"x": (number, "dhw"), **_NUMBERS, "y": (number, "zij"), "where": ("int64", "zij")}
    sizes = ["depth", "height", "width", "numbers", "far", "down", "across"]
    with gufuncs.loop(operands, sizes, sizes[4:]) as text:
        put, block = text.put, text.block
        with block("for b in range(outer):"):
            names = [f"{name}{axis}" for name in ("k", "s", "p", "d") for axis in "dhw"]
            put(*(f"{name} = number[b * numberb + {i} * numberp]" for i, name in enumerate(names)))
            with block("for z in range(far):"):
                _bounds(text, "d", "z", "depth")
                with block("for i in range(down):"):
                    _bounds(text, "h", "i", "height")
                    if window is not None:
                        down, along = window[0] - 1, window[1] - 1
                        inside = f"firsth >= 0 and lasth - firsth > {down} * dh and pw == 0"
                        inside += f" and (across - 1) * sw + {along} * dw < width"
                        with block(f"if {inside} and yj == 1 and wherej == 1:"):
                            put("to, at = b * yb + z * yz + i * yi, b * whereb + z * wherez + i * wherei")
                            put("row = b * xb + firstd * xd + firsth * xh", "base = (firstd * height + firsth) * width")
                            _highest_of_row(text, *window)
                            put("continue")
                    with block("for j in range(across):"):
                        _bounds(text, "w", "j", "width")
                        put("best = x[b * xb + firstd * xd + firsth * xh + firstw * xw]")
                        put("place = (firstd * height + firsth) * width + firstw")
                        with block(*(f"for at{a} in range(first{a}, last{a}, d{a}):" for a in "dhw")):
                            put("value = x[b * xb + atd * xd + ath * xh + atw * xw]")
                            with block("if value > best or value != value:"):
                                put("best = value", "place = (atd * height + ath) * width + atw")
                        put("y[b * yb + z * yz + i * yi + j * yj] = best")
                        put("where[b * whereb + z * wherez + i * wherei + j * wherej] = place")
    return str(text)


def _highest_of_row(text: Text, height: int, width: int) -> None:
    """Write: the largest of all windows of a row, none of which sees beyond the image, of that height and width."""
    put, block = text.put, text.block
    taps = [(r, c) for r in range(height) for c in range(width)]
    put(*(f"far{k} = {r} * dh * xh + {c} * dw * xw" for k, (r, c) in enumerate(taps)))
    put(*(f"off{k} = {r} * dh * width + {c} * dw" for k, (r, c) in enumerate(taps)))
    for head, step in (("if sw * xw == 2:", "2"), ("else:", "(sw * xw)")):  # vectors need to know the step
        with block(head, "for j in range(np.uintp(across)):"):
            put(f"best, place = load(x, row + far0 + j * {step}), off0")
            for k in range(1, len(taps)):
                put(f"value = load(x, row + far{k} + j * {step})", "better = value > best or value != value")
                put("best = value if better else best", f"place = off{k} if better else place")
            put("store_0(y, to + j, best)", "store_1(where, at + j, base + place + j * sw)")


def _bounds(text: Text, axis: str, place: str, size: str) -> None:
    """Write: from which element on, and up to which, a window sees an image, and how far they are apart."""
    text.put(f"first{axis} = {place} * s{axis} - p{axis}")
    text.put(f"last{axis} = min(first{axis} + k{axis} * d{axis}, {size})")
    with text.block(f"if first{axis} < 0:"):
        text.put(f"first{axis} += (d{axis} - 1 - first{axis}) // d{axis} * d{axis}")
