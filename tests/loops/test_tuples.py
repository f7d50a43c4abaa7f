"""Tuples as arguments, with and without names, nested, of arrays, numbers and what has no derivative."""

import math
from collections import namedtuple

import numpy as np
import pytest
from plainly import check, derivative, source

import nbgrad

Pendulum = namedtuple("Pendulum", ["length", "start", "steps"])
X = np.array([0.4, 1.3, -0.2])


def swing(pendulum, gravity):
    angle, speed = pendulum.start
    for _ in range(pendulum.steps):
        speed -= 0.05 * gravity / pendulum.length * math.sin(angle)
        angle += 0.05 * speed
    return angle + pendulum[0] * speed


def layers(x, weights):
    for w, b in weights:
        y = np.zeros(w.shape[0])
        for i in range(w.shape[0]):
            s = b
            for j in range(w.shape[1]):
                s += w[i, j] * x[j]
            y[i] = math.tanh(s)
        x = y
    weights[0][0][0, 0] = 3.0
    return (x * x).sum() + weights[0][0][0, 0]


WEIGHTS = ((np.arange(6.0).reshape(2, 3) / 5, 0.3), (np.array([[1.0, -0.5]]), -0.2))


def both(function, given, move):
    """Give the derivative along a direction, by the gradient and by differences."""
    gradients = derivative(function, "vjp", given)(*given, 1.0)[1]
    step = 1e-6
    return gradients, (function(*move(step)) - function(*move(-step))) / (2 * step)


def test_named_items():
    given = (Pendulum(1.2, (0.3, -0.1), 7), 9.8)
    gradients, slope = both(swing, given, lambda h: (Pendulum(1.2 + h, (0.3 + 2 * h, -0.1), 7), 9.8 - h))
    (length, (angle, _), steps), gravity = gradients
    assert steps is None
    np.testing.assert_allclose(length + 2 * angle - gravity, slope, rtol=1e-6)
    tangent = derivative(swing, "jvp", given)(*given, (1.0, (2.0, 0.0), 0), -1.0)[1]
    np.testing.assert_allclose(tangent, slope, rtol=1e-6)


def test_nested_arrays_which_are_written_to():
    kept = WEIGHTS[0][0].copy()
    given = (X, WEIGHTS)
    gx, (first, second) = derivative(layers, "vjp", given)(*given, 1.0)[1]
    np.testing.assert_array_equal(WEIGHTS[0][0], kept)

    def at(h):
        moved = ((kept + h * np.ones((2, 3)), 0.3 - h), (WEIGHTS[1][0] + 2 * h, -0.2))
        return layers(X + h, moved)

    along = gx.sum() + first[0].sum() - first[1] + 2 * second[0].sum()
    np.testing.assert_allclose(along, (at(1e-6) - at(-1e-6)) / 2e-6, rtol=1e-6)


def test_compiled():
    compiled = nbgrad.njit(swing)
    given = (Pendulum(1.2, (0.3, -0.1), 7), 9.8)
    value, gradients = compiled.value_and_grad(*given)
    expected = derivative(swing, "vjp", given)(*given, 1.0)
    np.testing.assert_allclose(value, expected[0])
    assert gradients[0][2] is None
    np.testing.assert_allclose(gradients[0][1], expected[1][0][1])
    gradient = nbgrad.grad(compiled)(*given)
    np.testing.assert_allclose(gradient[:1], expected[1][0][:1])
    gravity = nbgrad.tensor(9.8, requires_grad=True)
    compiled(given[0], gravity).backward()
    np.testing.assert_allclose(gravity.grad.data, expected[1][1])
    with pytest.raises(TypeError, match="argument 'pendulum' of swing is tuple, which has no gradients"):
        nbgrad.grad(compiled)((3, (1, 2), 3), 9.8)


def test_what_is_not_wanted_costs_nothing():
    text, _ = source(swing, "vjp", (Pendulum(1.2, (0.3, -0.1), 7), 9.8), (False, True))
    assert "length_bar" not in text and "return value, (None, float64(gravity_bar),)" in text.replace("result", "value")


Body = namedtuple("Body", ["place", "speed", "mass"], defaults=[2.0])


def moved(x, v, n):
    body = Body(x, speed=v)
    for _ in range(n):
        body = Body(body.place + 0.1 * body.speed / body.mass, body.speed - 0.1 * body.place, body.mass)
        if body.place.sum() > 100.0:
            return body
    return body


def test_tuples_with_names_are_made_inside():
    check(moved, X, X * 0.5, 3)


def picked(x):
    weights, places = (x[0], x[1] * x[2], 3.0), (1, -1, 2)
    total = 0.0
    for q in range(3):
        total += weights[q] * places[q] * x[places[q]] + weights[-1 - q] ** 2
    return total


def test_items_whose_place_a_loop_knows():
    check(picked, X)
