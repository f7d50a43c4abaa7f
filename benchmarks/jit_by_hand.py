"""Elementwise workloads as one would write them who knows Numba and the derivative: one pass, in two threads.

The elementary functions are nbgrad's own, so that what is compared is the loop around them. Terms of sums wait in a
block that stays in the cache, and are added up in float64 in as many lanes as LLVM makes vectors of: a plain
``total += term`` would keep the whole loop scalar.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numba import njit

from nbgrad.kernels.cpu.elementary import NAMESPACE

Array = np.ndarray
#: Gives the value and the gradients of arrays.
Step = Callable[..., tuple[Any, ...]]

#: Elements of a block, the lanes that sums have, and the elements from which a second thread is worth its call.
BLOCK, LANES, SHARED = 1024, 64, 100_000
THREADS = 2

_compiled: Any = njit(nogil=True, error_model="numpy")  # fastmath is off
_pool = ThreadPoolExecutor(THREADS - 1)


def in_pieces(work: Callable[[int, int], Any], size: int) -> list[Any]:
    """Run work(begin, end) over a range cut in two, the first half here and the second in the pool."""
    if size < SHARED:
        return [work(0, size)]
    middle = size // THREADS // BLOCK * BLOCK
    other = _pool.submit(work, middle, size)
    return [work(0, middle), other.result()]


def chain(dtype: str) -> Step:
    """Give sum(tanh(x*w + b)**2 * exp(-x**2)) with the gradients by x, w and b."""
    tanh, exp = NAMESPACE[f"tanh_{dtype}"], NAMESPACE[f"exp_{dtype}"]
    one, two = np.dtype(dtype).type(1), np.dtype(dtype).type(2)

    @_compiled
    def loop(x, w, b, gx, terms):  # type: ignore[no-untyped-def]
        values, gws, gbs = terms[0], terms[1], terms[2]
        totals = np.zeros((3, LANES))
        for start in range(0, x.size, BLOCK):
            xs, gxs = x[start : start + BLOCK], gx[start : start + BLOCK]
            for i in range(xs.size):
                v = xs[i]
                t, e = tanh(v * w + b), exp(-(v * v))
                value = t * t * e
                gb = two * t * e * (one - t * t)
                gxs[i] = gb * w - two * v * value
                values[i], gws[i], gbs[i] = value, gb * v, gb
            if xs.size < BLOCK:
                terms[:, xs.size :] = 0
            for i in range(0, BLOCK, LANES):
                for lane in range(LANES):
                    totals[0, lane] += values[i + lane]
                for lane in range(LANES):
                    totals[1, lane] += gws[i + lane]
                for lane in range(LANES):
                    totals[2, lane] += gbs[i + lane]
        return totals[0].sum(), totals[1].sum(), totals[2].sum()

    def step(x: Array, w: Array, b: Array) -> tuple[Any, ...]:
        gx = np.empty_like(x)
        scalars = w[()], b[()]

        def work(begin: int, end: int) -> Any:
            return loop(x[begin:end], *scalars, gx[begin:end], np.empty((3, BLOCK), x.dtype))

        value, gw, gb = (x.dtype.type(sum(parts)) for parts in zip(*in_pieces(work, x.size), strict=True))
        return value, gx, gw, gb

    return step


def gelu(dtype: str) -> Step:
    """Give sum(x * normal_cdf(x)) with the gradient by x."""
    erf, exp, number = NAMESPACE[f"erf_{dtype}"], NAMESPACE[f"exp_{dtype}"], np.dtype(dtype).type
    half, one = number(0.5), number(1)
    root, density = number(math.sqrt(0.5)), number(1 / math.sqrt(2 * math.pi))

    @_compiled
    def loop(x, gx, terms):  # type: ignore[no-untyped-def]
        totals = np.zeros(LANES)
        for start in range(0, x.size, BLOCK):
            xs, gxs = x[start : start + BLOCK], gx[start : start + BLOCK]
            for i in range(xs.size):
                v = xs[i]
                below = half * (one + erf(v * root))
                gxs[i] = below + v * density * exp(-half * v * v)
                terms[i] = v * below
            if xs.size < BLOCK:
                terms[xs.size :] = 0
            for i in range(0, BLOCK, LANES):
                for lane in range(LANES):
                    totals[lane] += terms[i + lane]
        return totals.sum()

    def step(x: Array) -> tuple[Any, ...]:
        gx = np.empty_like(x)

        def work(begin: int, end: int) -> Any:
            return loop(x[begin:end], gx[begin:end], np.empty(BLOCK, x.dtype))

        return x.dtype.type(sum(in_pieces(work, x.size))), gx

    return step


def black_scholes(rate: float) -> Step:
    """Give the sum of the prices of calls with the gradients by spot, strike, time and volatility."""
    erf, exp, log = NAMESPACE["erf_float64"], NAMESPACE["exp_float64"], NAMESPACE["log_float64"]
    root, density = math.sqrt(0.5), 1 / math.sqrt(2 * math.pi)

    @_compiled
    def loop(spot, strike, time, volatility, gs, gk, gt, gv, terms):  # type: ignore[no-untyped-def]
        totals = np.zeros(LANES)
        for start in range(0, spot.size, BLOCK):
            stop = min(start + BLOCK, spot.size)
            ss, ks, ts, vs = spot[start:stop], strike[start:stop], time[start:stop], volatility[start:stop]
            gss, gks, gts, gvs = gs[start:stop], gk[start:stop], gt[start:stop], gv[start:stop]
            for i in range(ss.size):
                s, k, t, v = ss[i], ks[i], ts[i], vs[i]
                deviation = v * math.sqrt(t)
                d1 = (log(s / k) + (rate + 0.5 * v * v) * t) / deviation
                d2 = d1 - deviation
                discounted = k * exp(-rate * t)
                below1, below2 = 0.5 * (1 + erf(d1 * root)), 0.5 * (1 + erf(d2 * root))
                vega = s * density * exp(-0.5 * d1 * d1) * math.sqrt(t)
                gss[i] = below1
                gks[i] = -discounted / k * below2
                gts[i] = 0.5 * vega * v / t + rate * discounted * below2
                gvs[i] = vega
                terms[i] = s * below1 - discounted * below2
            if ss.size < BLOCK:
                terms[ss.size :] = 0
            for i in range(0, BLOCK, LANES):
                for lane in range(LANES):
                    totals[lane] += terms[i + lane]
        return totals.sum()

    def step(*inputs: Array) -> tuple[Any, ...]:
        gradients = [np.empty_like(x) for x in inputs]

        def work(begin: int, end: int) -> Any:
            pieces: list[Any] = [x[begin:end] for x in (*inputs, *gradients)]
            return loop(*pieces, np.empty(BLOCK))

        return np.float64(sum(in_pieces(work, inputs[0].size))), *gradients

    return step


def copy(size: int) -> Callable[[], Any]:
    """Give a step that reads and writes `size` bytes, half of them each, in two threads."""
    source, target = np.ones(max(size // 2, 1), np.uint8), np.zeros(max(size // 2, 1), np.uint8)

    def work(begin: int, end: int) -> None:
        np.copyto(target[begin:end], source[begin:end])

    return lambda: in_pieces(work, source.size)
