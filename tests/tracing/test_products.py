"""Recurrences: products of all steps are one, and so are the sums of products that their gradients are."""

import numpy as np
import pytest

import nbgrad
from nbgrad import value_and_grad

pytestmark = pytest.mark.usefixtures("kernels")

RANDOM = np.random.default_rng(0)
W, U, B = RANDOM.normal(size=(3, 8)), RANDOM.normal(size=(2, 8)), RANDOM.normal(size=8)
X, H = RANDOM.normal(size=(5, 4, 3)), RANDOM.normal(size=(4, 2))


def lstm(w, u, b, x, h):
    c = h
    for step in range(len(x)):
        gates = x[step] @ w + h @ u + b
        i, f, o = (nbgrad.sigmoid(gates[:, 2 * k : 2 * k + 2]) for k in range(3))
        c = f * c + i * np.tanh(gates[:, 6:])
        h = o * np.tanh(c)
    return (h**2).mean()


def backwards(w, u, b, x, h):
    """The steps from the last one on, and a weight decay in the same sum."""
    for step in reversed(range(len(x))):
        h = np.tanh(x[step] @ w + b)[:, :2] * np.tanh(h @ u)[:, 2:4]
    return (h**2).sum() + (w**2).sum() + 3 * (u**2).sum()


def some_steps(w, u, b, x, h):
    for step in (0, 1, 3, 3):
        h = np.tanh(x[step] @ w + h @ u)[:, 1:3]
    return (h * h).sum() + b.sum()


PROGRAMS = {"lstm": lstm, "backwards": backwards, "some steps": some_steps}


def products(function, *arrays):
    return nbgrad.jit(function).explain(*arrays).count("dot:")


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", PROGRAMS)
def test_values_and_gradients(name, dtype):
    arrays = [a.astype(dtype) for a in (W, U, B, X, H)]
    both = value_and_grad(PROGRAMS[name], (0, 1, 2, 3, 4))
    found, wanted = nbgrad.jit(both)(*arrays), both(*arrays)
    limit = 1e-12 if dtype == "float64" else 5e-5
    for one, other in zip((found[0], *found[1]), (wanted[0], *wanted[1]), strict=True):
        assert one.dtype == other.dtype == dtype
        np.testing.assert_allclose(one, other, limit, limit * np.abs(other).max())


def test_second_gradients():
    def slopes(w, u):
        return sum((g**2).sum() for g in value_and_grad(lstm, (0, 1))(w, u, B, X, H)[1])

    both = value_and_grad(slopes, (0, 1))
    found, wanted = nbgrad.jit(both)(W, U), both(W, U)
    for one, other in zip((found[0], *found[1]), (wanted[0], *wanted[1]), strict=True):
        np.testing.assert_allclose(one, other, 1e-10, 1e-11 * np.abs(other).max())


def test_products_are_few():
    steps = len(X)
    assert products(lstm, W, U, B, X, H) == 1 + steps  # all that the arguments give at once
    gradient = value_and_grad(lstm, (0, 1, 2))
    # h at each step forth and back but for the first step's, and the two weights' gradients
    assert products(gradient, W, U, B, X, H) == 1 + steps + (steps - 1) + 2
    assert products(some_steps, W, U, B, X, H) == 8 - 1  # one is asked for twice


def test_steps_are_computed_in_one_loop_each():
    text = nbgrad.jit(lstm).explain(W, U, B, X, H)
    assert text.count("loop over (4, 8)") == 0 and text.count("loop over (4, 2)") == len(X)


A, C, V = RANDOM.normal(size=(2, 4, 3)), RANDOM.normal(size=(2, 3, 5)), RANDOM.normal(size=3)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_small_products_are_loops_however_they_lie(dtype):
    a, c, v = (x.astype(dtype) for x in (A, C, V))
    calls = {
        "(4, 3) @ (3, 5)": lambda a, c, v: a[1] @ c[0],
        "(5, 3) @ (3, 4)": lambda a, c, v: c[1].T @ a[0].T,
        "(1, 3) @ (3, 5)": lambda a, c, v: v @ c[1, :, ::-1],
        "(4, 3) @ (3, 1)": lambda a, c, v: a[1] @ v,
        "(1, 3) @ (3, 1)": lambda a, c, v: np.dot(v[::-1], v),
    }
    for text, function in calls.items():
        jitted = nbgrad.jit(function)
        assert text in jitted.explain(a, c, v)
        np.testing.assert_allclose(jitted(a, c, v), function(a, c, v), 1e-12 if dtype == "float64" else 1e-5)
    stacks = nbgrad.jit(lambda a, c: (a @ c).reshape(-1, 5))
    assert "(4, 3) @ (3, 5)" in stacks.explain(a, c)
    np.testing.assert_allclose(stacks(a, c), (a @ c).reshape(-1, 5), 1e-12 if dtype == "float64" else 1e-5)


def test_a_product_that_is_a_result_is_written_there():
    large, wide = RANDOM.normal(size=(40, 70)), RANDOM.normal(size=(70, 30))
    for first, second in ((large, wide), (A[0], C[0])):
        jitted = nbgrad.jit(lambda x, y: (x @ y, (x @ y).reshape(-1), (x @ y).T))
        found, again = jitted(first, second), jitted(first, second)
        for one, other, wanted in zip(found, again, (w := first @ second, w.reshape(-1), w.T), strict=True):
            np.testing.assert_allclose(one, wanted, 1e-12)
            assert not np.shares_memory(one, other) and one.flags.writeable
        assert not np.shares_memory(found[0], found[1])


def test_a_matrix_that_changes_is_no_argument():
    def changing(w, x):
        total = 0.0
        for step in range(4):
            total = total + ((x[step] @ w) ** 2).sum()
            x = x * 1.5
        return total

    for function in (changing, nbgrad.jit(changing)):
        np.testing.assert_allclose(function(W, X), changing(W, X), 1e-13)


# ---- stacks whose axes are wanted in another order ------------------------------------------------------------------


def heads(x, w):
    """Two heads a row, multiplied with each other, beside each other again."""
    split = (x @ w).reshape(3, 10, 2, 8)
    queries, keys = split.swapaxes(1, 2), split[:, ::-1].swapaxes(1, 2)
    mixed = (queries @ keys.swapaxes(2, 3)) @ queries
    return (nbgrad.tanh(mixed.swapaxes(1, 2).reshape(3, 10, 16) @ w) ** 2).sum()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_stacks_are_written_in_the_order_in_which_they_are_wanted(dtype, kernels):
    random = np.random.default_rng(0)
    x, w = random.standard_normal((3, 10, 16)).astype(dtype), 0.1 * random.standard_normal((16, 16)).astype(dtype)
    both = nbgrad.value_and_grad(heads, (0, 1))
    jitted = nbgrad.jit(both)
    (value, found), (expected, slopes) = jitted(x, w), both(x, w)
    tolerance = 1e-4 if dtype == "float32" else 1e-11
    np.testing.assert_allclose(value, expected, rtol=tolerance)
    for g, e in zip(found, slopes, strict=True):
        np.testing.assert_allclose(g, e, rtol=tolerance, atol=tolerance)
    forward = nbgrad.jit(heads)
    np.testing.assert_allclose(forward(x, w), expected, rtol=tolerance)
    assert "value" not in forward.explain(x, w)


@pytest.mark.parametrize("order", [(0, 2, 1, 3), (0, 3, 1, 2), (3, 2, 1, 0), (0, 1, 3, 2)])
def test_a_stack_in_any_order(order, kernels):
    random = np.random.default_rng(0)
    x, w = random.standard_normal((2, 3, 10, 16)), random.standard_normal((2, 3, 16, 9))
    turned = nbgrad.jit(lambda x, w: (x @ w).transpose(order).reshape(-1))
    np.testing.assert_allclose(turned(x, w), (x @ w).transpose(order).reshape(-1), rtol=1e-12)
    twice = nbgrad.jit(lambda x, w: (x @ w, (x @ w).transpose(order).reshape(-1)))
    for found, expected in zip(twice(x, w), (x @ w, (x @ w).transpose(order).reshape(-1)), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-12)
