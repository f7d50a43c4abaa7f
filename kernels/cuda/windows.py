"""Windows that move over CuPy's images: what they see as columns, back, and the largest of it; a thread an element."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..windows import Frame, one_more
from . import launch

_MOST = 1 << 20  # blocks of one launch

_NUMBERS = [f"{name}{axis}" for name in ("size", "kernel", "stride", "before", "dilation", "places") for axis in "dhw"]

_EACH = """
def kernel({pointers}, count, images, channels, {numbers}):
    i = int64(cuda.blockIdx.x) * int64(cuda.blockDim.x) + int64(cuda.threadIdx.x)
    while i < count:
        rest = i
{work}
        i += int64(cuda.gridDim.x) * int64(cuda.blockDim.x)
"""

# i counts (channels, *kernel, images, *places)
_COLUMNS = """
w = rest % placesw
rest = rest // placesw
h = rest % placesh
rest = rest // placesh
d = rest % placesd
rest = rest // placesd
n = rest % images
rest = rest // images
w = w * stridew + rest % kernelw * dilationw - beforew
rest = rest // kernelw
h = h * strideh + rest % kernelh * dilationh - beforeh
rest = rest // kernelh
d = d * strided + rest % kerneld * dilationd - befored
c = rest // kerneld
value = {number}(0)
if d >= 0 and d < sized and h >= 0 and h < sizeh and w >= 0 and w < sizew:
    value = x[(((n * channels + c) * sized + d) * sizeh + h) * sizew + w]
y[i] = value
"""

# i counts (images, channels, *size)
_OVERLAPPED = """
w = rest % sizew + beforew
rest = rest // sizew
h = rest % sizeh + beforeh
rest = rest // sizeh
d = rest % sized + befored
rest = rest // sized
c = rest % channels
n = rest // channels
total = {number}(0)
z = int64(0)
while z < kerneld:
    fromd = d - z * dilationd
    j = int64(0)
    while j < kernelh:
        fromh = h - j * dilationh
        k = int64(0)
        while k < kernelw:
            fromw = w - k * dilationw
            if fromd >= 0 and fromh >= 0 and fromw >= 0:
                if fromd % strided == 0 and fromh % strideh == 0 and fromw % stridew == 0:
                    placed = fromd // strided
                    placeh = fromh // strideh
                    placew = fromw // stridew
                    if placed < placesd and placeh < placesh and placew < placesw:
                        row = ((c * kerneld + z) * kernelh + j) * kernelw + k
                        row = (row * images + n) * placesd + placed
                        total += g[(row * placesh + placeh) * placesw + placew]
            k += 1
        j += 1
    z += 1
y[i] = total
"""

# i counts (images, channels, *places); the first element that a window sees is the first candidate
_HIGHEST = """
w = rest % placesw * stridew - beforew
rest = rest // placesw
h = rest % placesh * strideh - beforeh
rest = rest // placesh
d = rest % placesd * strided - befored
image = rest // placesd * (sized * sizeh * sizew)
best = {number}(0)
place = int64(-1)
z = int64(0)
while z < kerneld:
    atd = d + z * dilationd
    j = int64(0)
    while j < kernelh:
        ath = h + j * dilationh
        k = int64(0)
        while k < kernelw:
            atw = w + k * dilationw
            if atd >= 0 and atd < sized and ath >= 0 and ath < sizeh and atw >= 0 and atw < sizew:
                here = (atd * sizeh + ath) * sizew + atw
                value = x[image + here]
                if place < 0 or value > best or value != value:
                    best = value
                    place = here
            k += 1
        j += 1
    z += 1
y[i] = best
where[i] = place
"""


def columns(x: Any, frame: Frame) -> Any:
    """Return what windows see of x, of (samples, channels, *size), as (channels, *kernel, samples, *places)."""
    y = _empty((x.shape[1], *frame.kernel, x.shape[0], *frame.places), x.dtype)
    _run("columns", _COLUMNS, {"x": x, "y": y}, y, x.shape[:2], frame)
    return y


def overlapped(g: Any, frame: Frame) -> Any:
    """Return what windows see, added up where it was seen: the adjoint of `columns`."""
    dims = len(frame.kernel)
    images, channels = g.shape[1 + dims], g.shape[0]
    y = _empty((images, channels, *frame.size), g.dtype)
    _run("overlapped", _OVERLAPPED, {"g": g, "y": y}, y, (images, channels), frame)
    return y


def highest(x: Any, frame: Frame) -> tuple[Any, Any]:
    """Return the largest element in each window on x of (samples, channels, *size), and its place in the image."""
    shape = (*x.shape[:2], *frame.places)
    y, where = _empty(shape, x.dtype), _empty(shape, np.dtype(np.int64))
    _run("highest", _HIGHEST, {"x": x, "y": y, "where": where}, y, x.shape[:2], frame)
    return y, where


def _empty(shape: tuple[int, ...], dtype: Any) -> Any:
    import cupy

    return cupy.empty(shape, dtype)


def _run(name: str, work: str, operands: dict[str, Any], result: Any, images: tuple[int, int], frame: Frame) -> None:
    """Launch a kernel with a thread for each element of a result."""
    number = result.dtype.name
    if number not in ("float32", "float64"):
        raise TypeError(f"{name}: no kernel for dtype {number}: convert to float32 or float64")
    if not result.size:
        return
    for _ in range(3 - len(frame.kernel)):
        frame = one_more(frame)
    arrays = [array if array.flags.c_contiguous else array.copy() for array in operands.values()]
    numbers = [*frame.size, *frame.kernel, *frame.stride, *frame.before, *frame.dilation, *frame.places]
    lines = "\n".join([f"        {line}" for line in work.format(number=number).strip().split("\n")])
    text = _EACH.format(pointers=", ".join(operands), numbers=", ".join(_NUMBERS), work=lines)
    signature = (*[f"{array.dtype}*" for array in arrays], *["int64"] * (3 + len(numbers)))
    run = launch.kernel(f"{name}_{number}", text, signature)
    threads = launch.THREADS
    blocks = min(-(-result.size // threads), _MOST)
    run(blocks, threads, *[array.data.ptr for array in arrays], result.size, *images, *numbers)
