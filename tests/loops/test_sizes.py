"""Arrays that change their size in loops, that are bound in loops first, and that are returned out of them."""

import math

import numpy as np
import pytest
from plainly import check, derivative

import nbgrad

X = np.array([0.7, -1.2, 0.4, 1.9, 0.3, 0.8, -0.2, 0.5])
M = np.random.default_rng(3).normal(size=(4, 4))


def halves(x):
    while x.size > 1:
        x = x[::2] * 2 + x[1::2] ** 2
    return x[0]


def shorter(x, n):
    y = x
    s = 0.0
    for _ in range(n):
        y = y[1:] * y[:-1]
        s += y.sum()
    return y * s


def longer(x, n):
    y = x[:1]
    for i in range(n):
        z = np.empty(y.size + 1)
        z[:-1] = y * x[i]
        z[-1] = x[i] ** 2
        y = z
    return y


def shorter_at_times(x, n):
    y = x * 1
    for i in range(n):
        if i % 2:
            y = y[1:] ** 2
        y = y * x[i]
    return y


def in_a_pair(x, n):
    pair = (x, x[:1])
    for _ in range(n):
        pair = (pair[0][1:] * pair[1][0], pair[1] * 0.5)
    return pair[0], pair[1]


def bound_inside(x, n):
    for k in range(n):
        z = x[k:] * k
        for j in range(k):
            w = z * x[j]
    return z.sum() * w


@pytest.mark.parametrize("arguments", [(halves, X), (shorter, X, 3), (longer, X, 4), (shorter_at_times, X, 4),
                                       (in_a_pair, X, 3), (bound_inside, X, 4)])  # fmt: skip
def test_sizes_are_those_of_the_turn(arguments):
    check(*arguments)
    check(*arguments, parallel=True)


def test_compiled_and_to_second_order():
    compiled = nbgrad.njit(shorter)
    x = nbgrad.tensor(X, requires_grad=True)
    gradient = nbgrad.grad(lambda x: compiled(x, 3).sum())
    step = 1e-6 * np.cos(X)
    difference = (np.asarray(gradient(X + step)) - np.asarray(gradient(X - step))) / 2e-6
    (product,) = nbgrad.autograd.grad((gradient(x) * np.cos(X)).sum(), x)
    np.testing.assert_allclose(np.asarray(product.data), difference, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(compiled(x, 3).data, shorter(X, 3))


def settling(a, n):
    v = np.ones(a.shape[0])
    for _ in range(n):
        w = a @ v
        v = np.tanh(w) + 0.5 * v
    return v


def test_checkpoints_of_arrays_that_keep_their_size():
    check(settling, M, 5, checkpoint=True)
    check(settling, M, 5, checkpoint=2)


def test_checkpoints_of_arrays_that_do_not_are_an_error():
    with pytest.raises(ValueError, match="changes its size from turn to turn of a loop: leave checkpoint out"):
        derivative(shorter, "vjp", (X, 3), checkpoint=2)(X, 3, np.ones(5))
    with pytest.raises(ValueError, match="leave checkpoint out"):
        nbgrad.njit(shorter, checkpoint=2).vjp(X, 3, np.ones(5))


# ---- returned out of a loop ------------------------------------------------------------------------------------------


def when_settled(x, tolerance):
    y = x.copy()
    for k in range(50):
        r = 0.0
        for i in range(y.size):
            y[i] = 0.5 * (y[i] + 2.0 / y[i]) * math.cos(0.01 * x[i])
            r += abs(y[i] - x[i])
        if r < tolerance + k:
            return y
    return y * 2


def when_found(x, n):
    for i in range(n):
        if x[i] > 1:
            return x[i:] * 2, i
    return x * x[0], -1


def two_numbers(x, limit):
    y, steps = x, 0
    while True:
        y = y * y + 0.1
        steps += 1
        if steps < 3:
            continue
        if y > limit:
            return y, steps
        if steps > 50:
            return x * y, -1


def of_inner_functions(m, t):
    def first(row, t):
        for j in range(row.size):
            if row[j] > t:
                return row[j:] * 1.0
        return row * 0.5

    s = 0.0
    for i in range(m.shape[0]):
        s += (first(m[i], t) ** 2).sum()
    return s


def newton(x, y):
    y = y.copy()
    for _ in range(20):
        f = y**3 - x
        if np.max(np.abs(f)) < 1e-3:
            break
        y = y - f / (3 * y**2)
    else:
        y = y * 0
    return y


def one_of_two(x, tolerance):
    steps = np.zeros((x.size, x.size))
    for k in range(1, x.size):
        steps[k] = x * steps[k - 1] + x[k]
        if abs(steps[k, 0]) < tolerance:
            return steps[:k].copy()
    return steps


def written_until(y, n):
    for i in range(y.size):
        if i == n:
            return
        y[i] *= y[i - 1]


@pytest.mark.parametrize("arguments", [
    (when_settled, X**2 + 2, 0.5), (when_found, X, 5), (when_found, X, 2), (two_numbers, 1.1, 3.0),
    (two_numbers, 0.3, 3.0), (of_inner_functions, M, 0.3), (newton, X**2 + 1, X**2 + 0.5),
    (one_of_two, X, 0.4), (one_of_two, X, 1e-3),
])  # fmt: skip
@pytest.mark.parametrize("how", [{}, {"checkpoint": 3}], ids=str)
def test_returned_out_of_a_loop(arguments, how):
    check(*arguments, **how)


def test_nothing_returned_out_of_a_loop():
    _, (gradient, _) = derivative(written_until, "vjp", (X, 3))(X, 3, np.ones(8))
    step = 1e-6
    for i in range(8):
        shifted = [X + step * np.eye(8)[i] * sign for sign in (1, -1)]
        for x in shifted:
            written_until(x, 3)
        assert gradient[i] == pytest.approx((shifted[0].sum() - shifted[1].sum()) / (2 * step), abs=1e-7)


def test_compiled():
    value, (gradient, none) = nbgrad.njit(when_found).vjp(X, 5, np.ones(5))
    expected, (known, _) = derivative(when_found, "vjp", (X, 5))(X, 5, np.ones(5))
    assert none is None and value[1] == expected[1] == 3
    np.testing.assert_allclose(gradient, known)
