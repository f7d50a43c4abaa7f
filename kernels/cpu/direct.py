"""Convolutions without columns: windows that move by one element, on images whose rows lie one after the other.

Places are numbered as the elements of the padded image that windows begin at, so that each element of the window sees
neighbours at neighbouring places, all rows of an image in one loop. What is computed at the ends of rows, where no
window fits, is left out, or is multiplied by zero. BLAS is quicker where channels are many (`fits`).
"""

from __future__ import annotations

import math
from functools import cache as once
from typing import Any

import numpy as np
import numpy.typing as npt

from ..windows import Frame, one_more
from . import gufuncs, threads
from .failures import checked

Array = npt.NDArray[Any]

#: The most elements of a window, and channels of input and output together, for which it is quicker than BLAS; and by
#: how much there may be more places in an image with all its surroundings than in the output, for `input`.
_TAPS, _CHANNELS, _SURPLUS = 49, 96, 1.5
#: The most channels of images with many places: weights are brought into registers once for all places of an image.
_MORE_CHANNELS, _MANY_PLACES = 192, 512
#: Sums that are kept in registers, and output channels that an element of the input is multiplied for.
_SUMS, _TOGETHER = 12, 4
#: Elements that stay in the caches, of results that are yet to be brought together.
_BLOCK = 1 << 17


def fits(frame: Frame, groups: int, channels: tuple[int, int]) -> bool:
    """Tell whether a convolution is of one or two dimensions, by single steps, of few channels and long rows."""
    most = _MORE_CHANNELS if math.prod(frame.places) >= _MANY_PLACES else _CHANNELS
    few = groups == 1 and sum(channels) <= most and 1 < math.prod(frame.kernel) <= _TAPS
    around = min(*frame.before, *frame.behind) >= 0 and set(frame.stride) == {1}
    return few and around and len(frame.kernel) <= 2 and min(frame.places) > 0 and frame.places[-1] >= 8


def fits_back(frame: Frame, groups: int, channels: tuple[int, int]) -> bool:
    """Tell whether the adjoint of a convolution is quicker as one of the output with zeros all around it."""
    reach = [d * (k - 1) for d, k in zip(frame.dilation, frame.kernel, strict=True)]
    within = all(r >= max(sides) for r, *sides in zip(reach, frame.before, frame.behind, strict=True))
    few = math.prod(frame.size) <= _SURPLUS * math.prod(frame.places)
    return fits(frame, groups, channels) and within and few and frame.size[-1] >= 8


def input(weight: Array, y: Array, frame: Frame) -> Array:
    """Return the adjoint of `output`: the convolution of y, zeros around it, with the weight's elements backwards."""
    reach = [d * (k - 1) for d, k in zip(frame.dilation, frame.kernel, strict=True)]
    before, behind = (tuple(r - n for r, n in zip(reach, sides, strict=True)) for sides in (frame.before, frame.behind))
    back = frame._replace(size=frame.places, before=before, behind=behind)
    return output(y, np.flip(weight, tuple(range(2, weight.ndim))).swapaxes(0, 1), back)


def output(x: Array, weight: Array, frame: Frame) -> Array:
    """Return the convolution of (samples, channels, *size) with (outputs, channels, *kernel)."""
    samples, channels, outputs = x.shape[0], x.shape[1], weight.shape[0]
    if len(frame.kernel) == 1:
        return output(x[:, :, None], weight[:, :, None], one_more(frame))[:, :, 0]
    width, (down, across) = frame.size[1] + frame.before[1] + frame.behind[1], frame.places
    y = np.empty((samples, outputs, down, across), x.dtype)
    count = max(1, _BLOCK // (outputs * down * width))
    flat = np.empty((min(count, samples), outputs, down * width), x.dtype)
    together = _dividing(outputs, _TOGETHER)
    weight = np.ascontiguousarray(weight).reshape(outputs, channels, -1)
    for start in range(0, samples, count):
        seen = _padded(x[start : start + count], frame)
        part = flat[: len(seen)]
        checked(_output(*frame.kernel, together), seen, weight, _numbers(frame, width), out=part)
        y[start : start + count] = part.reshape(len(seen), outputs, down, width)[..., :across]
    return y


def weight(x: Array, y: Array, frame: Frame) -> Array:
    """Return the sums of what windows see of x times y of (samples, outputs, *places): (outputs, channels, *kernel)."""
    samples, channels, outputs = x.shape[0], x.shape[1], y.shape[1]
    if len(frame.kernel) == 1:
        return weight(x[:, :, None], y[:, :, None], one_more(frame))[:, :, 0]
    width, (down, across) = frame.size[1] + frame.before[1] + frame.behind[1], frame.places
    rows = np.zeros((samples, outputs, down, width), y.dtype)
    rows[..., :across] = y
    together = _dividing(outputs, max(1, _SUMS // frame.kernel[1]))
    rows = rows.reshape(samples, outputs // together, together, down * width)
    seen = _padded(x, frame).transpose(1, 0, 2)
    w = np.empty((outputs // together, channels, together, *frame.kernel), x.dtype)
    # channels of both are what threads share: the sums are the same however many there are
    checked(_weight(*frame.kernel, together), seen, rows.transpose(1, 0, 2, 3)[:, None], _numbers(frame, width), out=w)
    return w.transpose(0, 2, 1, 3, 4).reshape(outputs, channels, *frame.kernel)


def _dividing(count: int, most: int) -> int:
    return next(n for n in range(min(most, count), 0, -1) if count % n == 0)


def _padded(x: Array, frame: Frame) -> Array:
    """Return images with the zeros around them, rows one after the other."""
    sides = list(zip(frame.before, frame.size, frame.behind, strict=True))
    if not any(before or behind for before, _, behind in sides):
        return np.ascontiguousarray(x).reshape(*x.shape[:2], -1)
    y = np.zeros((*x.shape[:2], *map(sum, sides)), x.dtype)
    rows, columns = [slice(before, before + size) for before, size, _ in sides]
    y[..., rows, columns] = x
    return y.reshape(*x.shape[:2], -1)


def _numbers(frame: Frame, width: int) -> Array:
    """Return how far rows and elements of the window are apart, and up to which place windows fit."""
    last = (frame.places[0] - 1) * width + frame.places[1]
    return np.array([frame.dilation[0] * width, frame.dilation[1], last], np.int64)


_WORK = threads.share_above(2 * threads.ACCESS)


@once
def _output(height: int, width: int, together: int) -> np.ufunc:
    name = f"direct_output-{height}x{width}-{together}"
    write = lambda number: _output_source(number, height, width, together)  # noqa: E731
    return gufuncs.make(name, write, "xxix", "(c,q),(o,c,t),(k)->(o,p)", 1, _WORK)


@once
def _weight(height: int, width: int, together: int) -> np.ufunc:
    name = f"direct_weight-{height}x{width}-{together}"
    write = lambda number: _weight_source(number, height, width, together)  # noqa: E731
    # the sums are over all places of all images: vectors of them may be added up in any order
    return gufuncs.make(name, write, "xxix", "(n,q),(n,g,p),(k)->(g,h,w)", 1, _WORK, fastmath=("contract", "reassoc"))


_NAMES = ("row", "step", "last")


def _output_source(number: str, height: int, width: int, together: int) -> str:
    operands = {"x": (number, "cq"), "w": (number, "oct"), "number": ("int64", "k"), "y": (number, "op")}
    sizes = ["channels", "elements", "outputs", "taps", "numbers", "places"]
    taps = [(r, c) for r in range(height) for c in range(width)]
    with gufuncs.loop(operands, sizes, ["outputs", "channels", "places", "taps"]) as text:
        put, block = text.put, text.block
        put(*(f"{name} = number[{i} * numberk]" for i, name in enumerate(_NAMES)))
        put(*(f"far{k} = {r} * row + {c} * step" for k, (r, c) in enumerate(taps)))
        with block("for b in range(outer):", f"for first in range(0, outputs, {together}):"):
            ways = [f"to{o} = b * yb + (first + {o}) * yo" for o in range(together)]
            put(*ways)
            with block("for place in range(np.uintp(last)):"):
                put(*(f"store_0(y, to{o} + place, {number}(0))" for o in range(together)))
            with block("for c in range(channels):"):
                put("here = b * xb + c * xc")
                for o in range(together):
                    put(f"at{o} = b * wb + (first + {o}) * wo + c * wc")
                    put(*(f"w{o}_{k} = load(w, at{o} + {k} * wt)" for k in range(len(taps))))
                with block("for place in range(np.uintp(last)):"):
                    put(*(f"s{o} = load_back_0(y, to{o} + place)" for o in range(together)))
                    for k in range(len(taps)):
                        put(f"v = load(x, here + far{k} + place)")
                        put(*(f"s{o} = s{o} + w{o}_{k} * v" for o in range(together)))
                    put(*(f"store_0(y, to{o} + place, s{o})" for o in range(together)))
    return str(text)


def _weight_source(number: str, height: int, width: int, together: int) -> str:
    operands = {"x": (number, "nq"), "y": (number, "ngp"), "number": ("int64", "k"), "w": (number, "ghw")}
    sizes = ["samples", "elements", "together", "places", "numbers", "height", "width"]
    pairs = [(o, c) for o in range(together) for c in range(width)]
    with gufuncs.loop(operands, sizes, ["samples", "places", "together", "height", "width"]) as text:
        put, block = text.put, text.block
        put(*(f"{name} = number[{i} * numberk]" for i, name in enumerate(_NAMES)))
        with block("for b in range(outer):", f"for r in range({height}):"):
            put(*(f"t{o}_{c} = {number}(0)" for o, c in pairs))
            with block("for n in range(samples):"):
                put("here = b * xb + n * xn + r * row", *(f"far{c} = here + {c} * step" for c in range(width)))
                put(*(f"of{o} = b * yb + n * yn + {o} * yg" for o in range(together)))
                put(*(f"s{o}_{c} = {number}(0)" for o, c in pairs))
                with block("for place in range(np.uintp(last)):"):
                    put(*(f"v{c} = load(x, far{c} + place)" for c in range(width)))
                    for o in range(together):
                        put(f"g = load(y, of{o} + place)")
                        put(*(f"s{o}_{c} = s{o}_{c} + g * v{c}" for c in range(width)))
                put(*(f"t{o}_{c} = t{o}_{c} + s{o}_{c}" for o, c in pairs))
            put(*(f"w[b * wb + {o} * wg + r * wh + {c} * ww] = t{o}_{c}" for o, c in pairs))
    return str(text)
