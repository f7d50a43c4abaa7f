"""Which loops there are, and that they run in an order in which everything comes after what it needs."""

import numpy as np
import pytest

import nbgrad
from nbgrad import exp

pytestmark = pytest.mark.usefixtures("kernels")

SIZES = np.arange(3.0), np.arange(2.0), np.arange(4.0)


def crossed(x, y, z):
    s, t, u = (x * x).sum(), (y * y).sum(), (z * z).sum()
    return x * x + t, z * z + s, y * y * u


def chained(x, y, z):
    s = (x * x).sum()
    t = (y * s).sum()
    u = (z * t).sum()
    return x * u, y * u * t, z * s


def entangled(x, y, z):
    a = (exp(x) * exp(y).sum()).sum()
    b = (exp(z) * exp(x).sum()).sum()
    return a + b + (exp(y) * exp(z).sum()).sum()


@pytest.mark.parametrize("function", [crossed, chained])
def test_sums_used_across_arrays_of_other_sizes(function):
    for found, expected in zip(nbgrad.jit(function)(*SIZES), function(*SIZES), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-14)


@pytest.mark.parametrize("function", [entangled, lambda *xs: sum(map(nbgrad.sum, crossed(*xs)))])
def test_gradients_of_sums_used_across_arrays_of_other_sizes(function):
    gradient = nbgrad.grad(function, (0, 1, 2))
    arrays = [x / 4 for x in SIZES]
    for found, expected in zip(nbgrad.jit(gradient)(*arrays), gradient(*arrays), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-13)


def test_thousands_of_loops_are_grouped_in_seconds():
    def function(x):
        for _ in range(1000):
            x = x * 1.001 + x.sum()
        return x

    x = np.full(3, 1e-300)
    compiled = nbgrad.jit(function)
    np.testing.assert_allclose(compiled(x), function(x), rtol=1e-12)
    assert int(compiled.explain(x).split(" steps")[0].split()[-1]) <= 1001
