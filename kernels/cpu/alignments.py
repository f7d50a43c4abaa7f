"""The likelihood of sequences of labels over all their alignments with steps in time: one loop forth, and one back."""

from __future__ import annotations

from functools import cache as once

import numpy as np
import numpy.typing as npt

from ..text import Text
from . import gufuncs, threads
from .failures import checked
from .indexing import outside

Array = npt.NDArray[np.generic]


def ctc(x: Array, labels: Array, lengths: Array, blank: Array) -> tuple[Array, Array]:
    """Give minus the logarithm of the likelihood of each sample's labels, and a state.

    x has the logarithms of probabilities, (samples, time, classes), labels are (samples, longest), lengths, of inputs
    and of labels, (samples, 2), all of 64 bits. The state has for each step and each of twice as many labels and one,
    with blanks before, between and behind them, the likelihood of all that ends there. Raises IndexError for lengths
    and labels that do not exist.
    """
    samples, time, _ = x.shape
    out = np.empty((samples, time, 2 * labels.shape[1] + 1)), None
    state, losses = checked(_forward(), x, labels, lengths, blank, out=out)
    return losses, state


def ctc_slope(gy: Array, x: Array, labels: Array, lengths: Array, blank: Array, state: Array, losses: Array) -> Array:
    """Give the gradient of `ctc` by x, from the cotangents of the samples; of infinite losses it is 0."""
    scratch = np.empty((len(x), 2, state.shape[2]))
    gx: Array = checked(_backward(), gy, x, labels, lengths, blank, state, losses, out=(None, scratch))[0]
    return gx


@once
def _forward() -> np.ufunc:
    signature = "(t,c),(l),(q),()->(t,z),()"
    return gufuncs.make("ctc", _forward_source, "xiiidx", signature, 2, threads.NEVER, outside)


@once
def _backward() -> np.ufunc:
    signature = "(),(t,c),(l),(q),(),(t,z),()->(t,c),(r,z)"
    return gufuncs.make("ctc_vjp", _backward_source, "xxiiidxxd", signature, 2, threads.NEVER)


_SIZES = ["time", "classes", "most", "two", "states"]
_INPUTS = {"label": ("int64", "l"), "length": ("int64", "q"), "blank": ("int64", "")}


def _read_state(text: Text) -> None:
    """Write: the class k of state i, and whether one comes to it from the one two before."""
    put, block = text.put, text.block
    put("k = none", "jump = False")
    with block("if i % 2 == 1:"):
        put("k = label[b * labelb + i // 2 * labell]")
        put("jump = label[b * labelb + (i // 2 - 1) * labell] != k if i > 1 else False")
    put("own = float64(x[b * xb + t * xt + k * xc])")


def _forward_source(number: str) -> str:
    operands = {"x": (number, "tc"), **_INPUTS, "a": ("float64", "tz"), "loss": (number, "")}
    with gufuncs.loop(operands, _SIZES) as text:
        put, block = text.put, text.block
        with block("for b in range(outer):"):
            put("ends = length[b * lengthb]", "count = length[b * lengthb + lengthq]", "none = blank[b * blankb]")
            put("wrong = ends < 1 or ends > time or count < 0 or count > most or none < 0 or none >= classes")
            with block("if not wrong:", "for i in range(count):"):
                put("k = label[b * labelb + i * labell]", "wrong = wrong or k < 0 or k >= classes")
            with block("if wrong:"):
                put("share(args, dims, steps, data)", "return")
            with block("for t in range(ends):"):
                put("here = b * ab + t * at", "there = here - at")
                with block("for i in range(2 * count + 1):"):
                    _read_state(text)
                    with block("if t == 0:"):
                        put("a[here + i * az] = own if i < 2 else -np.inf")
                    with block("else:"):
                        put("one = a[there + i * az]")
                        put("two = a[there + (i - 1) * az] if i > 0 else -np.inf")
                        put("three = a[there + (i - 2) * az] if jump else -np.inf")
                        put("top = max(one, max(two, three))", "total = top")
                        with block("if top > -np.inf:"):
                            put("parts = exp_float64(one - top) + exp_float64(two - top) + exp_float64(three - top)")
                            put("total = top + log_float64(parts)")
                        put("a[here + i * az] = total + own")
            put("last = b * ab + (ends - 1) * at", "one = a[last + 2 * count * az]")
            put("two = a[last + (2 * count - 1) * az] if count > 0 else -np.inf")
            put("top = max(one, two)", "total = top")
            with block("if top > -np.inf:"):
                put("total = top + log_float64(exp_float64(one - top) + exp_float64(two - top))")
            put(f"loss[b * lossb] = {number}(-total)")
    return str(text)


def _backward_source(number: str) -> str:
    operands = {"gy": (number, ""), "x": (number, "tc"), **_INPUTS, "a": ("float64", "tz"), "loss": (number, "")}
    operands |= {"gx": (number, "tc"), "u": ("float64", "rz")}
    with gufuncs.loop(operands, [*_SIZES, "rows"]) as text:
        put, block = text.put, text.block
        with block("for b in range(outer):"):
            put("ends = length[b * lengthb]", "count = length[b * lengthb + lengthq]", "none = blank[b * blankb]")
            with block("for t in range(time):", "for k in range(classes):"):
                put("gx[b * gxb + t * gxt + k * gxc] = 0")
            put("total = -float64(loss[b * lossb])")
            with block("if total > -np.inf:"):
                put("new = b * ub", "old = new + ur")
                with block("for i in range(2 * count + 1):"):
                    put("share_of_it = exp_float64(a[b * ab + (ends - 1) * at + i * az] - total)")
                    put("u[new + i * uz] = -float64(gy[b * gyb]) * share_of_it if i >= 2 * count - 1 else 0.0")
                with block("for back in range(ends):"):
                    put("t = ends - 1 - back", "there = b * ab + (t - 1) * at", "old, new = new, old")
                    put("for i in range(2 * count + 1):", "    u[new + i * uz] = 0.0")
                    with block("for i in range(2 * count + 1):"):
                        put("g = u[old + i * uz]")
                        with block("if g != 0:"):
                            _read_state(text)
                            put(f"gx[b * gxb + t * gxt + k * gxc] += {number}(g)")
                            with block("if t > 0:"):
                                put("reached = a[there + at + i * az] - own")
                                for by, when in ((0, "True"), (1, "i > 0"), (2, "jump")):
                                    with block(f"if {when}:"):
                                        put(f"part = g * exp_float64(a[there + (i - {by}) * az] - reached)")
                                        put(f"u[new + (i - {by}) * uz] += part")
    return str(text)
