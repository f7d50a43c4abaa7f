"""Views between formulas move out of the way: fewer loops, the same values."""

import numpy as np
import pytest

import nbgrad
from nbgrad import value_and_grad
from nbgrad.tracing import passes

pytestmark = pytest.mark.usefixtures("kernels")

X = np.random.default_rng(0).normal(size=(6, 8))
ROW, COLUMN = X[0] * 2, X[:, :1] - 1

#: Functions of X, how many loops they take, and how many without passes.
PROGRAMS = {
    "reshaped, transposed, reshaped": (lambda x: (x.reshape(4, 12).T * 2).reshape(6, 8) + 1, 1, 2),
    "transposed and back": (lambda x: np.exp((np.sin(x).T * 2).T + 1), 1, 3),
    "transposed once": (lambda x: (x * 3 - 1).T * 2, 1, 2),
    "transposed result": (lambda x: (x + 1).T, 1, 1),
    "a row and a column": (lambda x: ((x * ROW + COLUMN).T * 2).sum(1), 1, 2),
    "heads": (lambda x: np.exp((x * ROW).reshape(6, 2, 4).transpose(1, 0, 2)) * 3, 1, 2),
    "flattened": (lambda x: np.exp(np.tanh(x).reshape(-1)).reshape(8, 6) * 2, 1, 3),
    "a sum of all": (lambda x: ((x.T * 2).reshape(-1) ** 2).sum(), 1, 2),
    "beside a vector": (lambda x: (np.tanh(x).reshape(2, 3, 8) + ROW) * 2, 1, 2),
    "one formula read twice": (lambda x: ((x * 2) * (1 - x * 2)).T + COLUMN.T, 1, 2),
    "several reshapings": (lambda x: ((x.T + 1).reshape(-1) * 2).reshape(4, 12) - 3, 1, 3),
    "truth": (lambda x: np.where((x > 0).T, x.T, 0), 1, 2),
    "converted": (lambda x: (x.astype("float32").T * 2).reshape(-1), 1, 2),
    "a number": (lambda x: (x * x.sum()).T + 1, 2, 3),
    # what stays as it is
    "read as it lies too": (lambda x: (x * 2, (x * 2).T + 1), 2, 2),
    "dear on what is in order": (lambda x: np.sin(x).T * 2, 2, 2),
    "two out of order": (lambda x: (x * np.cos(x)).T + 1, 2, 2),
    "a product": (lambda x: (x * 2).T @ x, 1, 1),
    "sums of rows": (lambda x: x.sum(1) * 2, 2, 2),
    "dear after a reshaping": (lambda x: np.exp((x.T * 2).reshape(-1)), 2, 2),
    "another loop's beside": (lambda x: (x.T + 1).reshape(-1) * np.sin(x.reshape(-1)), 2, 2),
}


def loops_of(function, *arrays):
    compiled = nbgrad.jit(function)
    return compiled(*arrays), compiled.explain(*arrays).count("loop over")


@pytest.mark.parametrize("name", PROGRAMS)
def test_loops(name, monkeypatch):
    function, few, many = PROGRAMS[name]
    found, loops = loops_of(function, X)
    wanted = function(X)
    for one, other in zip(
        *[(x,) if isinstance(x, np.ndarray | np.generic) else x for x in (found, wanted)], strict=True
    ):
        assert one.shape == other.shape and one.dtype == other.dtype
        np.testing.assert_allclose(one, other, rtol=1e-6 if one.dtype == "float32" else 1e-14)
    assert loops == few
    monkeypatch.setattr(passes, "PASSES", (passes.needed,))
    assert loops_of(function, X)[1] == many


@pytest.mark.parametrize("name", [name for name, (_, few, many) in PROGRAMS.items() if few < many])
def test_gradients(name):
    def total(x):
        y = PROGRAMS[name][0](x)
        return (y * y).sum()

    value, slope = nbgrad.jit(value_and_grad(total))(X)
    wanted, expected = value_and_grad(total)(X)
    limit = 1e-6 if name == "converted" else 1e-13
    np.testing.assert_allclose(value, wanted, rtol=limit)
    np.testing.assert_allclose(slope, expected, rtol=limit, atol=limit)


def test_short_rows_out_of_order_keep_loops_of_their_own():
    function = PROGRAMS["transposed once"][0]
    for shape, loops in (((3, 2000), 2), ((2000, 3), 1), ((3, 1000), 1)):
        x = np.random.default_rng(0).uniform(1, 2, shape)  # where nothing cancels, whatever is contracted
        found, count = loops_of(function, x)
        np.testing.assert_allclose(found, function(x), rtol=1e-14)
        assert count == loops


def test_many_views_move_at_once():
    """They move at once, and not one after the other."""

    def function(x):
        for _ in range(1000):
            x = (x * 1.001).T
        return x

    found, loops = loops_of(function, X[:, :6])
    np.testing.assert_allclose(found, X[:, :6] * 1.001**1000, rtol=1e-12)
    assert loops < 10
