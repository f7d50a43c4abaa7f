"""Likelihoods and regressions."""

from __future__ import annotations

from typing import Any

import numpy as np

from .declaration import program


def _regression(random: Any, rows: int, columns: int) -> Any:
    x = random.standard_normal((rows, columns))
    slopes = random.standard_normal(columns)
    return 0.1 * random.standard_normal(columns), x, x @ slopes + random.standard_normal(rows)


@program("ridge regression, {0} x {1}", _regression, 1, small=(2000, 50), large=(50_000, 100), limit=0.25)
def ridge(m: Any, w: Any, x: Any, y: Any) -> Any:
    return m.mean((x @ w - y) ** 2) + 0.1 * m.sum(w**2)


def _classes(random: Any, rows: int, columns: int) -> Any:
    x = random.standard_normal((rows, columns))
    return 0.1 * random.standard_normal(columns), 0.2, x, (random.uniform(size=rows) < 0.5).astype("float64")


@program("logistic regression, {0} x {1}", _classes, 2, small=(1000, 20), large=(50_000, 100))
def logistic(m: Any, w: Any, b: Any, x: Any, y: Any) -> Any:
    score = x @ w + b
    return m.mean(m.softplus(score) - y * score)


def _counts(random: Any, rows: int, columns: int) -> Any:
    x = 0.3 * random.standard_normal((rows, columns))
    return 0.1 * random.standard_normal(columns), x, random.poisson(2, rows).astype("float64")


@program("Poisson regression, {0} x {1}", _counts, 1, small=(1000, 20), large=(50_000, 100))
def poisson(m: Any, w: Any, x: Any, y: Any) -> Any:
    score = x @ w
    return m.mean(m.exp(score) - y * score) + 0.01 * m.sum(w**2)


def _clusters(random: Any, rows: int, columns: int, components: int) -> Any:
    means, scales = random.standard_normal((2, components, columns))
    return means, 0.1 * scales, random.standard_normal(components), random.standard_normal((rows, columns))


@program("mixture of {2} normals, {0} x {1}", _clusters, 3, small=(1000, 10, 25), large=(10_000, 10, 50), limit=0.4)
def mixture(m: Any, means: Any, scales: Any, weights: Any, x: Any) -> Any:
    scaled = (x[:, None] - means) * m.exp(-scales)
    likelihood = -0.5 * m.sum(scaled**2, -1) - m.sum(scales, -1)
    return -m.mean(m.logsumexp(likelihood + weights - m.logsumexp(weights, -1), -1))


def _ratings(random: Any, users: int, items: int, known: int) -> Any:
    return (
        0.1 * random.standard_normal((users, 16)),
        0.1 * random.standard_normal((items, 16)),
        random.integers(0, users, known),
        random.integers(0, items, known),
        random.uniform(1, 5, known),
    )


@program(
    "factors of {2} ratings, {0} x {1}, 16 factors",
    _ratings,
    2,
    small=(200, 100, 1000),
    large=(5000, 2000, 100_000),
    dtype="float32",
)
def factorisation(m: Any, users: Any, items: Any, user: Any, item: Any, rating: Any) -> Any:
    error = m.sum(users[user] * items[item], -1) - rating
    return m.mean(error**2) + 0.01 * (m.mean(users**2) + m.mean(items**2))


def _curve(random: Any, count: int) -> Any:
    x = random.uniform(-2, 2, (count, 2))
    return 0.1 * random.standard_normal(3), x, np.sin(2 * x[:, 0]) + x[:, 1]


@program("likelihood of a Gaussian process, {0} points", _curve, 1, small=(50,), large=(400,))
def gaussian_process(m: Any, theta: Any, x: Any, y: Any) -> Any:
    scale, amplitude, noise = m.exp(theta[0]), m.exp(theta[1]), m.exp(theta[2])
    square = m.sum(((x[:, None] - x[None]) / scale) ** 2, -1)
    kernel = amplitude * m.exp(-0.5 * square) + (0.1 * noise + 1e-4) * m.eye(len(x))
    root = m.cholesky(kernel)
    return 0.5 * m.sum(y * m.solve(kernel, y)) + m.sum(m.log(m.diagonal(root)))


def _chain(random: Any, states: int, symbols: int, steps: int) -> Any:
    return (
        random.standard_normal(states),
        random.standard_normal((states, states)),
        random.standard_normal((states, symbols)),
        random.integers(0, symbols, steps),
    )


@program("hidden Markov model of {0} states over {2} steps", _chain, 3, small=(8, 10, 20), large=(64, 100, 50))
def hidden_markov(m: Any, start: Any, moves: Any, emits: Any, seen: Any) -> Any:
    moves = moves - m.logsumexp(moves, 1, keepdims=True)
    emits = (emits - m.logsumexp(emits, 1, keepdims=True))[:, seen]
    forward = start - m.logsumexp(start, 0) + emits[:, 0]
    for step in range(1, len(seen)):
        forward = m.logsumexp(forward[:, None] + moves, 0) + emits[:, step]
    return -m.logsumexp(forward, 0)


def _track(random: Any, states: int, steps: int) -> Any:
    turn = 0.9 * (random.standard_normal((states, states)) / states**0.5)
    return turn, random.standard_normal(states), 0.2, random.standard_normal(steps)


@program("Kalman filter of {0} states over {1} steps", _track, 3, small=(4, 20), large=(64, 20))
def kalman(m: Any, moves: Any, observes: Any, noise: Any, seen: Any) -> Any:
    identity = m.eye(len(moves))
    mean, spread, total = 0.0 * observes, identity, 0.0
    for step in range(len(seen)):
        mean, spread = moves @ mean, moves @ spread @ moves.T + 0.1 * identity
        gained = spread @ observes
        variance = observes @ gained + m.exp(noise)
        error = seen[step] - observes @ mean
        mean = mean + gained * (error / variance)
        spread = spread - gained[:, None] * gained[None] / variance
        total = total + m.log(variance) + error**2 / variance
    return 0.5 * total
