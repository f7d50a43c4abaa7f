"""Images at places between their pixels: the four around each, weighted by how near they are, in one loop each way."""

from __future__ import annotations

from functools import cache as once

import numpy as np
import numpy.typing as npt

from ..text import Text
from . import gufuncs, threads
from .failures import checked

Array = npt.NDArray[np.generic]

#: What a place costs for each channel, in additions.
_COST = 8 * threads.ACCESS


def bilinear(x: Array, places: Array, border: bool, corners: bool) -> Array:
    """Give images, (samples, channels, height, width), at places: (samples, channels, places).

    These are from -1 to 1, the last coordinate first: (samples, places, 2). Outside are zeros, or what is at the
    border; -1 and 1 are the centres of the corners' pixels, or their edges.
    """
    y: Array = checked(_forward(border, corners), x, places, out=...)
    return y


def bilinear_slopes(gy: Array, x: Array, places: Array, border: bool, corners: bool) -> tuple[Array, Array]:
    """Give the gradients of `bilinear` by images and places, from the cotangent of its result."""
    gx, gg = checked(_backward(border, corners), gy, x, places, out=...)
    return gx, gg


@once
def _forward(border: bool, corners: bool) -> np.ufunc:
    name, signature = f"grid_sample-{border:d}{corners:d}", "(c,h,w),(p,d)->(c,p)"
    write = _forward_source
    return gufuncs.make(name, lambda n: write(n, border, corners), "xxx", signature, 1, threads.share_above(_COST))


@once
def _backward(border: bool, corners: bool) -> np.ufunc:
    name, signature = f"grid_sample_vjp-{border:d}{corners:d}", "(c,p),(c,h,w),(p,d)->(c,h,w),(p,d)"
    write = _backward_source
    return gufuncs.make(name, lambda n: write(n, border, corners), "xxxxx", signature, 2, threads.share_above(_COST))


#: The names of the core dimensions' lengths, in the order of the signatures, and the work.
_SIZES = ["channels", "height", "width", "count", "two"]
_WORK = ["channels", "count"]


def _place(text: Text, number: str, border: bool, corners: bool) -> None:
    """Write: where place i is, as the pixel before it, which may be outside, and its share of the next one.

    For h and w each: `h0`, `h1` are whether the pixel before and the next one are there, `hp` is the first one's place
    and `hs` the share; `hk` is how fast the place moves with the coordinate.
    """
    put = text.put
    for name, size, at in (("h", "height", "gd"), ("w", "width", "0")):
        put(f"v = g[b * gb + i * gp + {at}]", f"last = {number}({size} - 1)")
        half = f"{number}(0.5)"
        if corners:
            put(f"{name}k = last * {half}", f"v = (v + {number}(1)) * {name}k")
        else:
            put(f"{name}k = {number}({size}) * {half}", f"v = (v + {number}(1)) * {name}k - {half}")
        if border:
            put(f"{name}k = {name}k if v > 0 and v < last else {number}(0)")
            put(f"v = {number}(0) if v < 0 else v", "v = last if v > last else v")
        # NaN, and what is too far to be a whole number, is nowhere
        put(f"near = v > {number}(-1) and v < last + {number}(1)", f"v = v if near else {number}(0)")
        put(f"first = floor_{number}(v)", f"{name}s = v - first", f"{name}p = int64(first)")
        put(f"{name}0 = near and {name}p >= 0", f"{name}1 = near and {name}p + 1 < {size}")


#: The pixels around a place: of each its steps from the first one, and the weights.
_AROUND = [(i, j, ("(one - hs)", "hs")[i], ("(one - ws)", "ws")[j]) for i in (0, 1) for j in (0, 1)]


def _forward_source(number: str, border: bool, corners: bool) -> str:
    operands = {"x": (number, "chw"), "g": (number, "pd"), "y": (number, "cp")}
    with gufuncs.loop(operands, _SIZES, _WORK) as text:
        put, block = text.put, text.block
        put(f"one = {number}(1)")
        with block("for b in range(outer):", "for i in range(count):"):
            _place(text, number, border, corners)
            with block("for c in range(channels):"):
                put("at = b * xb + c * xc + hp * xh + wp * xw", f"total = {number}(0)")
                for h, w, by_h, by_w in _AROUND:
                    with block(f"if h{h} and w{w}:"):
                        put(f"total += x[at + {h} * xh + {w} * xw] * ({by_h} * {by_w})")
                put("y[b * yb + c * yc + i * yp] = total")
    return str(text)


def _backward_source(number: str, border: bool, corners: bool) -> str:
    operands = {"gy": (number, "cp"), "x": (number, "chw"), "g": (number, "pd")}
    operands |= {"gx": (number, "chw"), "gg": (number, "pd")}
    sizes = ["channels", "count", "height", "width", "two"]
    with gufuncs.loop(operands, sizes, _WORK) as text:
        put, block = text.put, text.block
        put(f"one = {number}(1)")
        with block("for b in range(outer):"):
            with block("for c in range(channels):", "for i in range(height):", "for j in range(width):"):
                put("gx[b * gxb + c * gxc + i * gxh + j * gxw] = 0")
            with block("for i in range(count):"):
                _place(text, number, border, corners)
                put(f"along_h = {number}(0)", f"along_w = {number}(0)")
                with block("for c in range(channels):"):
                    put("at = b * xb + c * xc + hp * xh + wp * xw", "to = b * gxb + c * gxc + hp * gxh + wp * gxw")
                    put("cotangent = gy[b * gyb + c * gyc + i * gyp]")
                    for h, w, by_h, by_w in _AROUND:
                        with block(f"if h{h} and w{w}:"):
                            put(f"gx[to + {h} * gxh + {w} * gxw] += cotangent * ({by_h} * {by_w})")
                            put(f"seen = cotangent * x[at + {h} * xh + {w} * xw]")
                            put(f"along_h {'+' if h else '-'}= seen * {by_w}")
                            put(f"along_w {'+' if w else '-'}= seen * {by_h}")
                put("gg[b * ggb + i * ggp] = along_w * wk", "gg[b * ggb + i * ggp + ggd] = along_h * hk")
    return str(text)
