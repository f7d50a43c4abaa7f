"""Tables and histories that are filled in order are read again on the way back, and others kept."""

import math

import numpy as np
import pytest
from plainly import check, source

X = np.random.default_rng(0).normal(size=5)


def wrap(x):
    y = np.ones(x.size)
    for i in range(x.size):
        y[i] = y[i - 1] * x[i] + 0.3
    return y


def history(x, n):
    y = np.zeros((n + 1, 2))
    y[0] = x
    for t in range(n):
        y[t + 1, 0] = y[t, 0] + 0.1 * math.sin(y[t, 1])
        y[t + 1, 1] = y[t, 1] * y[t + 1, 0] + y[t, 0]
    return y


def rows(x, n):
    y = np.zeros((n + 1, x.size))
    y[0] = x
    for t in range(n):
        y[t + 1] = y[t] * y[t] + 0.1 * np.cos(y[t])
    return y[n] * y[1]


def backw(x):
    y = np.zeros(x.size + 1)
    for i in range(x.size - 1, -1, -1):
        y[i] = y[i + 1] * x[i] + x[i] ** 2
    return y[0]


def ahead(x):
    y = x.copy()
    for i in range(x.size - 1):
        y[i] = y[i + 1] * x[i] + y[i]
    return y


def twice(x):
    y = x.copy()
    for _ in range(2):
        for i in range(1, x.size):
            y[i] = y[i - 1] * y[i]
    return y


def two(x):
    y = np.zeros(x.size + 1)
    for i in range(x.size):
        y[i + 1] = y[i] * x[i] + x[i]
        y[i] = y[i] * 2.0
    return y


def other(x):
    y = np.ones((x.size, 3))
    for i in range(1, x.size):
        for j in range(3):
            y[i, j] = y[i - 1, 2 - j] * x[i] * y[i, j - 1]
    return y


def later_views(x, n):
    y = np.zeros((n, x.size))
    for t in range(1, n):
        row = y[t - 1]
        for j in range(x.size):
            y[t, j] = row[j] * x[j] + x[j]
        row[0] = 2.0
    return y


CASES = [
    # the numbers that are kept: those of y[-1], which is written late, of what is read ahead, and so on
    (1, wrap, X), (1, history, X[:2], 5), (0, rows, X, 4), (0, backw, X), (1, ahead, X), (2, twice, X), (1, two, X),
    (1, other, X), (1, later_views, X, 4),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case[1].__name__)
def test_tables(case):
    kept, function, *given = case
    check(function, *given)
    check(function, *given, checkpoint=2)
    text, _ = source(function, "vjp", given)
    assert text.count("_kept = np.empty") + text.count("_before = ") == kept
