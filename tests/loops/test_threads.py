"""Loops over prange in derivatives: races, the order of what is added up, and what threads cannot share."""

import math

import numba
import numpy as np
import pytest
from numba import prange
from plainly import check, leaves, source

import nbgrad

RNG = np.random.default_rng(5)


def monte_carlo(spot, sigma, normals):
    total = 0.0
    for i in prange(normals.size):
        end = spot * math.exp(sigma * normals[i])
        if end > 1.0:
            total += end - 1.0
    return total / normals.size


def paths(spot, sigma, normals):
    total = 0.0
    for i in prange(normals.shape[0]):
        s = spot
        for t in range(normals.shape[1]):
            s = s * math.exp(sigma * normals[i, t])
        if s > 1.0:
            total += s
    return total


def bodies(x, q):
    force = np.zeros(x.shape[0])
    e = 0.0
    for i in prange(x.shape[0]):
        for j in range(x.shape[0]):
            if i != j:
                r2 = 0.1
                for k in range(3):
                    d = x[i, k] - x[j, k]
                    r2 += d * d
                p = q[i] * q[j] / math.sqrt(r2)
                force[i] += p
                e += p
    return e + (force * force).sum()


def stencil(image, strength, rounds):
    a = image.copy()
    b = image.copy()
    for _ in range(rounds):
        for i in prange(1, a.shape[0] - 1):
            for j in range(1, a.shape[1] - 1):
                b[i, j] = a[i, j] + strength * (a[i - 1, j] * a[i, j - 1] - a[i + 1, j] * a[i, j + 1])
        a, b = b, a
    return a


def rows_of(x, w):
    out = np.empty_like(x)
    count = 0
    for i in prange(x.shape[0]):
        row = x[i]
        own = np.zeros(x.shape[1])
        for j in range(x.shape[1]):
            own[j] = row[j] * w[j]
            count += 1
        out[i] = own * own
    return out, count


def gathered(x, places):
    total = 0.0
    for i in prange(places.size):
        total += x[places[i]] * x[i] ** 2
    return total


def settling(x, w, n):
    """In each turn of the outer loop a function's values are kept, beside those of other turns."""
    total = 0.0
    for _ in range(n):
        y = np.zeros_like(x)
        for i in prange(1, x.size):
            y[i] = math.exp(-w * x[i])
        total += y.sum() * w
        x = y
    return total


def product(x):
    p = 1.0
    for i in prange(x.size):
        p *= x[i]
    return p


def shifted(x):
    """Two names of one memory, of which each turn changes an element that another reads."""
    y = np.zeros(x.size)
    later = y[1:]
    for i in prange(x.size - 1):
        y[i] = x[i] * x[i + 1]
        later[i] += x[i]
    return y


X = RNG.normal(size=(5, 4))
CASES = [
    # the number of loops over pieces, on both ways
    (2, monte_carlo, 1.1, 0.3, X[0]), (2, paths, 1.1, 0.3, X), (2, bodies, X[:, :3], X[:, 3]), (0, stencil, X, 0.2, 3),
    (2, rows_of, X, X[0]), (2, gathered, X[:, 0], np.array([4, 1, 1, 0])), (2, settling, X[0], 0.3, 2),
    (0, product, X[0]), (0, shifted, X[:, 1]),
    (2, paths, 1.1, 0.3, np.zeros((0, 2))),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case[1].__name__)
def test_threads_share_turns(case):
    loops, function, *given = case
    check(function, *given, parallel=True)
    assert source(function, "vjp", given, parallel=True)[0].count("prange(") == loops
    assert "prange(" not in source(function, "vjp", given)[0]


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=lambda case: case[1].__name__)
def test_compiled_they_give_the_same(case):
    _, function, *given = case
    shared, serial = nbgrad.njit(function, parallel=True), nbgrad.njit(function)
    results = leaves(serial.dispatcher.py_func(*given))
    cotangents = [np.ones_like(y) if np.ndim(y) else 1.0 for y in results if np.asarray(y).dtype.kind == "f"]
    for one, other in zip(
        leaves(shared.vjp(*given, *cotangents)), leaves(serial.vjp(*given, *cotangents)), strict=True
    ):
        assert one is other is None or np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-13) is None


def test_what_several_turns_read_is_gathered_in_parts():
    text, _ = source(bodies, "vjp", (X[:, :3], X[:, 3]), parallel=True)
    assert "x_bar_part[j, k] -=" in text and "x_bar += x_bar_parts[" in text
    assert "f_bar_part" not in text  # of which each turn has its own


def test_derivatives_do_not_depend_on_the_number_of_threads():
    normals = RNG.normal(size=1000)
    shared = nbgrad.njit(parallel=True)(monte_carlo)
    before = numba.get_num_threads()
    try:
        numba.set_num_threads(1)
        one = shared.value_and_grad(1.1, 0.3, normals)
        numba.set_num_threads(min(2, before))
        two = shared.value_and_grad(1.1, 0.3, normals)
    finally:
        numba.set_num_threads(before)
    assert one[:1] + one[1][:2] == two[:1] + two[1][:2]
    np.testing.assert_array_equal(one[1][2], two[1][2])
    value, gradients = nbgrad.njit(monte_carlo).value_and_grad(1.1, 0.3, normals)
    np.testing.assert_allclose(one[0], value)
    for mine, serial in zip(one[1], gradients, strict=True):
        np.testing.assert_allclose(mine, serial, atol=1e-15)
