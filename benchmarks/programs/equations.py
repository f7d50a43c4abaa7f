"""Equations of physics and geometry, step by step or on grids."""

from __future__ import annotations

from typing import Any

import numpy as np

from .declaration import program


def _values(random: Any, count: int, *_: int) -> Any:
    return (random.uniform(0, 2, count),)


def _euler_steps(m: Any, y: Any, count: int) -> Any:
    for _ in range(count):
        y = y + 0.01 * m.where(y > 1, y * (1 - y / 3), m.sin(y))
    return m.sum(y**2)


@program("30 explicit Euler steps of {0} values", _values, 1, small=(5000,), large=(200_000,), limit=0.35)
def euler(m: Any, y: Any) -> Any:
    return _euler_steps(m, y, 30)


@program("300 explicit Euler steps of {0} values", _values, 1, small=(5000,), large=(50_000,), limit=0.35)
def long_euler(m: Any, y: Any) -> Any:
    return _euler_steps(m, y, 300)


@program("heat along a rod of {0} places, 5 steps", _values, 1, small=(20_000,), large=(1_000_000,), limit=0.25)
def heat(m: Any, u: Any) -> Any:
    for _ in range(5):
        inner = u[1:-1] + 0.2 * (u[2:] - 2 * u[1:-1] + u[:-2])
        u = m.concatenate([u[:1], inner, u[-1:]])
    return m.sum(u**2)


def _grid(random: Any, side: int) -> Any:
    return random.standard_normal((3, 3)), random.standard_normal((side, side))


@program("3 x 3 filter and its edges, image of {0} x {0}", _grid, 2, small=(64,), large=(1000,), dtype="float32")
def image_filter(m: Any, kernel: Any, image: Any) -> Any:
    side = image.shape[0] - 2
    total = 0.0
    for i in range(3):
        for j in range(3):
            total = total + kernel[i, j] * image[i : i + side, j : j + side]
    edges = m.sqrt((total[1:, 1:] - total[:-1, 1:]) ** 2 + (total[1:, 1:] - total[1:, :-1]) ** 2 + 1e-3)
    return m.mean(edges)


@program("reaction and diffusion on a torus of {0} x {0}, 4 steps", _grid, 2, small=(32,), large=(300,))
def reaction(m: Any, rates: Any, u: Any) -> Any:
    def moved(u: Any, by: int, axis: int) -> Any:
        first, last = (u[by:], u[:by]) if axis == 0 else (u[:, by:], u[:, :by])
        return m.concatenate([first, last], axis)

    for _ in range(4):
        around = moved(u, 1, 0) + moved(u, -1, 0) + moved(u, 1, 1) + moved(u, -1, 1)
        u = u + 0.1 * (around - 4 * u) + 0.01 * rates[0, 0] * u * (1 - u * u)
    return m.mean(u**2)


def _points(random: Any, count: int, hidden: int) -> Any:
    return (
        random.standard_normal((1, hidden)),
        random.standard_normal(hidden),
        random.standard_normal((hidden, hidden)) / hidden**0.5,
        random.standard_normal((hidden, 1)) / hidden**0.5,
        random.uniform(0, 1, (count, 1)),
    )


@program("residual of u'' = -u by a network 1-{1}-{1}-1, {0} points", _points, 4, small=(64, 16), large=(2000, 64))
def physics_network(m: Any, w1: Any, b1: Any, w2: Any, w3: Any, x: Any) -> Any:
    def network(x: Any) -> Any:
        return m.tanh(m.tanh(x @ w1 + b1) @ w2) @ w3

    slope = m.grad(lambda x: m.sum(network(x)))
    bend = m.grad(lambda x: m.sum(slope(x)))
    return m.mean((bend(x) + network(x)) ** 2) + m.mean(network(0 * x[:1]) ** 2)


def _populations(random: Any, count: int) -> Any:
    return random.uniform(0.5, 1.5, 4), random.uniform(0.5, 1.5, (2, count))


@program("Lotka-Volterra, {0} populations, 10 Runge-Kutta steps", _populations, 2, small=(1,), large=(10_000,))
def lotka_volterra(m: Any, rates: Any, start: Any) -> Any:
    def change(x: Any, y: Any) -> Any:
        return x * (rates[0] - rates[1] * y), y * (rates[2] * x - rates[3])

    x, y, step = start[0], start[1], 0.1
    for _ in range(10):
        a, b = change(x, y)
        c, d = change(x + step / 2 * a, y + step / 2 * b)
        e, f = change(x + step / 2 * c, y + step / 2 * d)
        g, h = change(x + step * e, y + step * f)
        x, y = x + step / 6 * (a + 2 * c + 2 * e + g), y + step / 6 * (b + 2 * d + 2 * f + h)
    return m.sum(x**2 + y**2)


def _spline(random: Any, count: int, pieces: int) -> Any:
    return random.standard_normal((pieces, 4)), random.uniform(0, 0.999, count), random.standard_normal(count)


@program("cubic splines of {1} pieces at {0} points", _spline, 1, small=(1000, 20), large=(200_000, 200))
def spline(m: Any, pieces: Any, x: Any, y: Any) -> Any:
    places = m.floor(x * len(pieces))
    rest = x * len(pieces) - places
    c = pieces[m.integers(places)]
    value = c[:, 0] + rest * (c[:, 1] + rest * (c[:, 2] + rest * c[:, 3]))
    return m.mean((value - y) ** 2)


def _turns(random: Any, count: int, steps: int) -> Any:
    return random.standard_normal((count, 4)), 0.1 * random.standard_normal((steps, count, 3))


@program("{0} quaternions turned in {1} steps", _turns, 2, small=(20, 10), large=(10_000, 10))
def quaternions(m: Any, q: Any, turns: Any) -> Any:
    for step in range(len(turns)):
        w, x, y, z = (q[:, k] for k in range(4))
        a, b, c = (turns[step, :, k] for k in range(3))
        change = m.stack(
            [
                -x * a - y * b - z * c,
                w * a + y * c - z * b,
                w * b - x * c + z * a,
                w * c + x * b - y * a,
            ],
            1,
        )
        q = q + 0.5 * change
        q = q / m.sqrt(m.sum(q * q, -1, keepdims=True))
    return m.sum(q[:, 0] ** 2) + m.sum(q[:, 1] * q[:, 2])


def _circuit(random: Any, qubits: int, layers: int) -> Any:
    return random.uniform(0, 2 * np.pi, (layers, qubits)), np.eye(1, 2**qubits)[0]


@program("quantum circuit of {0} qubits, {1} layers, real pairs", _circuit, 1, small=(8, 2), large=(14, 2))
def quantum_circuit(m: Any, angles: Any, start: Any) -> Any:
    layers, qubits = angles.shape
    real, imaginary = start, 0 * start
    for layer in range(layers):
        for qubit in range(qubits):
            c, s = m.cos(angles[layer, qubit] / 2), m.sin(angles[layer, qubit] / 2)
            shape = (2**qubit, 2, 2 ** (qubits - qubit - 1))
            r, i = real.reshape(shape), imaginary.reshape(shape)
            # a turn around x, and a turn around z of what is entangled with the next
            r, i = (
                m.stack([c * r[:, 0] + s * i[:, 1], s * i[:, 0] + c * r[:, 1]], 1),
                m.stack([c * i[:, 0] - s * r[:, 1], c * i[:, 1] - s * r[:, 0]], 1),
            )
            real, imaginary = r.reshape(-1), i.reshape(-1)
        real, imaginary = (m.concatenate([x[: len(x) // 2], -x[len(x) // 2 :]], 0) for x in (real, imaginary))
    return m.sum(real[::2] ** 2 + imaginary[::2] ** 2)
