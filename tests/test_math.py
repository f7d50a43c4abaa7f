"""Elementary functions in functions that Numba compiles."""

import math

import numba
import numpy as np
import pytest

import nbgrad
from nbgrad import math as ours


def test_in_compiled_functions():
    @numba.njit
    def several(x, y):
        return ours.exp(x) + ours.erf(y) * ours.atan2(x, y), ours.sin(1), ours.pow(x, 2)

    first, second, third = several(0.5, 0.25)
    assert first == pytest.approx(math.exp(0.5) + math.erf(0.25) * math.atan2(0.5, 0.25), rel=1e-15)
    assert second == pytest.approx(math.sin(1.0), rel=1e-15) and third == pytest.approx(0.25, rel=1e-15)


def test_dtypes_and_arrays():
    @numba.njit
    def of(x):
        return ours.tanh(x)

    x = np.array([[0.1, 2.0], [-1.0, 0.0]])
    np.testing.assert_allclose(of(x), np.tanh(x), rtol=1e-15)
    assert of(x.astype(np.float32)).dtype == np.float32
    assert of(np.float32(1)) == pytest.approx(math.tanh(1), rel=1e-6)


def test_from_python():
    assert ours.exp(0.0) == 1.0 and ours.exp(0) == 1.0 and isinstance(ours.exp(0), float)
    np.testing.assert_allclose(ours.log1p(np.array([0.5])), [math.log1p(0.5)])
    assert nbgrad.math is ours and "exp" in ours.__all__


def test_derivatives():
    @nbgrad.njit
    def energy(x):
        s = 0.0
        for i in range(x.size):
            s += ours.exp(-x[i] * x[i]) * ours.sigmoid(x[i])
        return s

    x = np.array([0.3, -0.7])
    expected = nbgrad.grad(lambda x: (nbgrad.exp(-x * x) * nbgrad.sigmoid(x)).sum())(x)
    np.testing.assert_allclose(nbgrad.grad(energy)(x), expected, rtol=1e-14)
