"""Arrays that a turn makes and that end with it take the memory of the turn before."""

import numpy as np
import pytest
from numba import prange
from plainly import check, source

import nbgrad

X = np.array([0.4, -1.3, 2.2])


def stages(x, n):
    y = x.copy()
    for _ in range(n):
        slope = np.empty(y.size)
        for i in range(y.size):
            slope[i] = y[i - 1] * x[i]
        middle = y + 0.1 * slope
        y = y + 0.2 * middle * x
    return y


def growing(x, n):
    total = 0.0
    for t in range(n):
        part = np.zeros(t % 3 + 1)
        part[0] = x[t % 3]
        for i in range(part.size):
            total += part[i] * part[0] * (i + 1)
    return total


def seldom(x, n):
    total = 0.0
    for t in range(n):
        if x[t % 3] > 0:
            part = np.zeros((2, 3))
            part[t % 2] = x * t
            total += (part * part).sum()
        else:
            other = x * x
            total += other[t % 3]
    return total


def merged(x, n):
    total = 0.0
    for t in range(n):
        if t % 2 == 0:
            part = x * 2.0
        else:
            part = np.ones(x.size) * x[0]
        part[1] = part[0] * x[1]
        total += (part * part).sum()
    return total


def inner(x, n):
    table = np.zeros((n, x.size))
    for t in range(n):
        for k in range(2):
            line = x * (t + 1.0)
            line[k] = line[k] ** 2
            table[t] += line[::-1]
    return table


def handed_on(x, n):
    before = x * 1.0
    for _ in range(n):
        part = np.zeros(x.size)
        part[0] = before[1] * x[0]
        part[2] = before[0] + before[2]
        before = part
    return before


def viewed(x, n):
    total = 0.0
    for t in range(n):
        part = np.empty((2, 3))
        row = part[t % 2]
        row[:] = x * x
        part[1 - t % 2] = row * x[0]
        total += (part.T[1] * x[1]).sum()
    return total


FUNCTIONS = stages, growing, seldom, merged, inner, handed_on, viewed
CASES = [(f, source(f, "vjp", (X, 5), reusing=True)[0]) for f in FUNCTIONS]


@pytest.mark.parametrize("function, text", CASES, ids=[f.__name__ for f, _ in CASES])
def test_derivatives_are_right(function, text):
    for n in (0, 1, 5):
        check(function, X, n)
        check(function, X, n, checkpoint=2)
    assert ("reused(" in text or "cleared(" in text) == (function is not handed_on)


def test_arrays_that_a_turn_hands_on_have_memory_of_their_own():
    text, _ = source(stages, "vjp", (X, 5), reusing=True)
    assert "slope = reused(slope, (" in text and "slope_bar = cleared(slope_bar, (" in text
    for line in text.splitlines():
        made = line.split(" = reused(")
        assert len(made) == 1 or not made[0].strip().startswith("y")


def shared(x, n):
    total = 0.0
    for t in prange(n):
        part = x * t
        part[0] = part[1] * x[0]
        total += part.sum()
    return total


def test_threads_have_memory_of_their_own():
    for how in ({"parallel": True}, {}):
        text, _ = source(shared, "vjp", (X, 5), reusing=True, **how)
        assert "reused(" not in text and "cleared(" not in text


def test_compiled_and_differentiated_again():
    function = nbgrad.njit(stages)
    plain = nbgrad.tensor(X, requires_grad=True)
    loss = (function(plain, 4) ** 2).sum()
    (gradient,) = nbgrad.autograd.grad(loss, plain, create_graph=True)
    second = nbgrad.autograd.grad(gradient[1], plain)[0].data

    def slope(x):
        return function.vjp(x, 4, 2 * stages(x, 4))[1][0][1]

    np.testing.assert_allclose(gradient.data[1], slope(X), rtol=1e-12)
    step = 1e-6
    for k in range(3):
        away = np.eye(3)[k] * step
        np.testing.assert_allclose(second[k], (slope(X + away) - slope(X - away)) / (2 * step), rtol=1e-6)
