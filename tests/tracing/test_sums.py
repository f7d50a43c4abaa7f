"""Sums of sums, added up element by element."""

import numpy as np
import pytest

import nbgrad
from nbgrad.tracing import sums


def steps(x, y):
    """A total over steps of one loop."""
    level, total = x[0], 0.0
    for row in range(1, len(x)):
        error = x[row] - level
        total = total + (error**2).sum()
        level = level + y * error
    return total


def between(x, y):
    """What is added up last waits for a product, and is no part of the others' loop."""
    first = [nbgrad.exp(0.1 * row).sum() for row in x]
    z = (x @ nbgrad.tanh(x).T).reshape(-1)[: len(y)]
    return sum(first) + (z * y).sum() + 2.0


def shared(x, y):
    """One of the sums is wanted for itself."""
    a = (x[0] * y).sum()
    return a + (x[1] * y).sum() + (x[2] * y * y).sum() + (nbgrad.sin(x[3]) * y).sum() + nbgrad.cos(a)


def repeated(x, y):
    """A sum comes twice."""
    a, b, c = (x[0] * y).sum(), (x[1] * y).sum(), (nbgrad.sin(x[2]) * y).sum()
    return a + b + a + (c + 1.0) + 3 * b + a


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("function", [steps, between, shared, repeated], ids=lambda function: function.__name__)
def test_sums_are_those_of_eager_mode(function, dtype, kernels):
    random = np.random.default_rng(0)
    x, y = random.standard_normal((6, 9)).astype(dtype), random.uniform(0, 1, 9).astype(dtype)
    both = nbgrad.value_and_grad(function, (0, 1))
    (value, found), (expected, slopes) = nbgrad.jit(both)(x, y), both(x, y)
    tolerance = 1e-5 if dtype == "float32" else 1e-12
    np.testing.assert_allclose(value, expected, rtol=tolerance)
    for g, e in zip(found, slopes, strict=True):
        assert g.dtype == e.dtype
        np.testing.assert_allclose(g, e, rtol=tolerance, atol=10 * tolerance)


@pytest.fixture
def folds(monkeypatch):
    """Give the number of sums of all elements that were left, of each program."""
    found, rewritten = [], sums.rewritten

    def counted(program, replace):
        program = rewritten(program, replace)
        found.append(sum(map(sums._is_total, program.nodes)))
        return program

    monkeypatch.setattr(sums, "rewritten", counted)
    return found


@pytest.mark.parametrize(
    ("function", "left"), [(steps, 1), (shared, 2), (between, 2)], ids=["all", "but one", "of each loop"]
)
def test_what_one_loop_adds_up_is_folded_once(function, left, folds, kernels):
    """Not what is wanted for itself, nor what another loop has: that would have to be kept until this one runs."""
    nbgrad.jit(function)(np.ones((6, 9)), np.ones(9))
    assert folds == [left]
