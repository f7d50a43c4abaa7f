"""Particles and the pairs that they make."""

from __future__ import annotations

from typing import Any

from .declaration import program


def _positions(random: Any, count: int, *_: int) -> Any:
    return (random.uniform(0, count ** (1 / 3) * 1.2, (count, 3)),)


@program("Lennard-Jones energy of {0} particles", _positions, 1, small=(200,), large=(1500,), limit=0.5)
def lennard_jones(m: Any, x: Any) -> Any:
    difference = x[:, None, :] - x[None, :, :]
    square = m.sum(difference**2, -1) + m.eye(len(x)) + 0.1
    attraction = square**-3
    return 2 * m.sum(attraction**2 - attraction)


def _bodies(random: Any, count: int, *_: int) -> Any:
    return random.standard_normal((count, 3)), 0.1 * random.standard_normal((count, 3)), random.uniform(1, 2, count)


@program("{0} bodies, 5 leapfrog steps", _bodies, 2, small=(40,), large=(400,))
def n_body(m: Any, x: Any, v: Any, masses: Any) -> Any:
    for _ in range(5):
        x = x + 0.005 * v
        between = x[None] - x[:, None]
        distance = m.sqrt(m.sum(between * between, -1) + 0.01)
        v = v + 0.01 * m.sum((masses / distance**3)[..., None] * between, 1)
        x = x + 0.005 * v
    return m.sum(masses * m.sum(v**2, -1)) + m.sum(x**2)


def _clouds(random: Any, count: int, dimensions: int) -> Any:
    return random.standard_normal((count, dimensions)), random.standard_normal((count, dimensions))


@program("distances between {0} and {0} points in {1} dimensions", _clouds, 2, small=(100, 8), large=(1000, 8))
def distances(m: Any, x: Any, y: Any) -> Any:
    return m.mean(m.sqrt(m.sum((x[:, None] - y[None]) ** 2, -1) + 1e-6))


def _filter(random: Any, count: int, steps: int) -> Any:
    return (
        random.uniform(0.5, 1, 2),
        random.standard_normal(count),
        random.standard_normal((steps, count)),
        random.standard_normal(steps),
    )


@program("filter of {0} particles over {1} steps", _filter, 1, small=(100, 10), large=(20_000, 10))
def particle_filter(m: Any, theta: Any, x: Any, noise: Any, seen: Any) -> Any:
    total = 0.0
    for step in range(len(seen)):
        x = theta[0] * x + 0.3 * m.sin(x) + theta[1] * noise[step]
        likelihood = -0.5 * (seen[step] - x) ** 2
        weights = m.softmax(likelihood, -1)
        total = total + m.logsumexp(likelihood, -1)
        x = 0.5 * x + 0.5 * m.sum(weights * x)
    return -total
