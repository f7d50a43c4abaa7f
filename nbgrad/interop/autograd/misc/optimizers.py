"""Stochastic optimisers of functions of nests, with HIPS autograd's arguments: grad(x, i) and callback(x, i, g)."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from .flatten import flatten

Gradient = Callable[[Any, int], Any]
Callback = Callable[[Any, int, Any], Any]
#: From a vector, the iteration and the gradient there, the next vector.
Step = Callable[[Any, int, Any], Any]


def _optimiser(begin: Callable[..., Step], usual: int = 100) -> Callable[..., Any]:
    """Make an optimiser of what gives a step, for vectors of a size; of so many steps unless told otherwise."""

    @functools.wraps(begin)
    def optimise(
        grad: Gradient, x0: Any, callback: Callback | None = None, num_iters: int = usual, *more: Any, **named: Any
    ) -> Any:
        x, unflatten = flatten(x0)
        step = begin(x, *more, **named)
        for i in range(num_iters):
            g, _ = flatten(grad(unflatten(x), i))
            if callback is not None:
                callback(unflatten(x), i, unflatten(g))
            x = step(x, i, g)
        return unflatten(x)

    return optimise


@functools.partial(_optimiser, usual=200)
def sgd(x: Any, step_size: float = 0.1, mass: float = 0.9) -> Step:
    """Go down the gradient, averaged with `mass` over the past; 200 steps unless given."""
    velocity = np.zeros(len(x))

    def step(x: Any, i: int, g: Any) -> Any:
        nonlocal velocity
        velocity = mass * velocity - (1.0 - mass) * g
        return x + step_size * velocity

    return step


@_optimiser
def rmsprop(x: Any, step_size: float = 0.1, gamma: float = 0.9, eps: float = 1e-8) -> Step:
    """Go down the gradient over the root of its averaged square; 100 steps unless given."""
    average = np.ones(len(x))

    def step(x: Any, i: int, g: Any) -> Any:
        nonlocal average
        average = average * gamma + g**2 * (1 - gamma)
        return x - step_size * g / (np.sqrt(average) + eps)

    return step


@_optimiser
def adam(x: Any, step_size: float = 0.001, b1: float = 0.9, b2: float = 0.999, eps: float = 1e-8) -> Step:
    """Go down averages of the gradient over the root of those of its square (Kingma and Ba, 2014); 100 steps."""
    first, second = np.zeros(len(x)), np.zeros(len(x))

    def step(x: Any, i: int, g: Any) -> Any:
        nonlocal first, second
        first = (1 - b1) * g + b1 * first
        second = (1 - b2) * g**2 + b2 * second
        unbiased = first / (1 - b1 ** (i + 1)), second / (1 - b2 ** (i + 1))
        return x - step_size * unbiased[0] / (np.sqrt(unbiased[1]) + eps)

    return step
