"""Recurrences over steps."""

from __future__ import annotations

from typing import Any

import numpy as np

from .declaration import program


def _recurrent(gates: int) -> Any:
    def inputs(random: Any, steps: int, batch: int, width: int) -> Any:
        scale = width**-0.5
        return (
            scale * random.standard_normal((width, gates * width)),
            scale * random.standard_normal((width, gates * width)),
            0.1 * random.standard_normal(gates * width),
            random.standard_normal((steps, batch, width)),
            0.1 * random.standard_normal((batch, width)),
        )

    return inputs


@program(
    "LSTM of {2} units, {0} steps, batch {1}",
    _recurrent(4),
    3,
    small=(20, 8, 32),
    large=(20, 64, 256),
    dtype="float32",
    limit=0.4,
)
def lstm(m: Any, w: Any, u: Any, b: Any, x: Any, h: Any) -> Any:
    c, units = h, h.shape[1]
    for step in range(len(x)):
        gates = x[step] @ w + h @ u + b
        i, f, o = (m.sigmoid(gates[:, k * units : (k + 1) * units]) for k in range(3))
        c = f * c + i * m.tanh(gates[:, 3 * units :])
        h = o * m.tanh(c)
    return m.mean(h**2)


@program(
    "GRU of {2} units, {0} steps, batch {1}", _recurrent(3), 3, small=(20, 8, 32), large=(20, 64, 256), dtype="float32"
)
def gru(m: Any, w: Any, u: Any, b: Any, x: Any, h: Any) -> Any:
    units = h.shape[1]
    for step in range(len(x)):
        given, kept = x[step] @ w + b, h @ u
        r = m.sigmoid(given[:, :units] + kept[:, :units])
        z = m.sigmoid(given[:, units : 2 * units] + kept[:, units : 2 * units])
        h = z * h + (1 - z) * m.tanh(given[:, 2 * units :] + r * kept[:, 2 * units :])
    return m.mean(h**2)


def _series(random: Any, length: int, width: int) -> Any:
    step, place = np.indices((2 * length - 1, length))
    inside = (step >= place) & (step - place < length)
    cells = np.where(inside, place * length + step - place, length * length)
    return random.standard_normal((length, width)), random.standard_normal((length, width)), cells, np.full(1, 1e6)


@program("soft-DTW of 2 series of {0} x {1}", _series, 2, small=(12, 3), large=(60, 8))
def soft_dtw(m: Any, x: Any, y: Any, cells: Any, far: Any) -> Any:
    cost = m.sum((x[:, None] - y[None]) ** 2, -1)
    costs = m.concatenate([cost.reshape(-1), far])[cells]  # a row an antidiagonal
    before, now = 0 * costs[0] + far, costs[0]
    for step in range(1, len(cells)):
        up, aslant = m.concatenate([far, now[:-1]]), m.concatenate([far, before[:-1]])
        before, now = now, costs[step] - m.logsumexp(m.stack([-now, -up, -aslant], 0), 0)
    return now[-1]


def _memory(random: Any, steps: int, width: int) -> Any:
    return random.uniform(-1, 1, width), random.standard_normal((steps, width))


@program("exponential smoothing of {1} series over {0} steps", _memory, 1, small=(30, 10), large=(100, 5000))
def smoothing(m: Any, rate: Any, x: Any) -> Any:
    alpha = m.sigmoid(rate)
    level, total = x[0], 0.0
    for step in range(1, len(x)):
        error = x[step] - level
        total = total + m.sum(error**2)
        level = level + alpha * error
    return total
