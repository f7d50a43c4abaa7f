"""At the edges: interrupts, exceptions from inside, indices out of bounds, float32, arrays given twice."""

import ctypes
import math
import signal

import numpy as np
import pytest
from plainly import check, derivative

import nbgrad

X = np.array([0.4, -1.3, 2.2, 0.7])


@nbgrad.njit(boundscheck=True)
def picked(x, places):
    total = 0.0
    for i in range(places.size):
        y = x[places[i]]
        if y > 100.0:
            raise ValueError(f"{y} is too much")
        total += y * y
    return total


def test_an_index_out_of_bounds_is_an_error_in_the_derivative():
    for places in ([0, 4], [0, -5]):
        with pytest.raises(IndexError, match="out of bounds"):
            picked.value_and_grad(X, np.array(places))
    _, (gradient, _) = picked.value_and_grad(X, np.array([1, -1]))
    np.testing.assert_array_equal(gradient, [0.0, -2.6, 0.0, 1.4])


def test_exceptions_pass_through_and_the_next_call_works():
    x = nbgrad.tensor(np.array([1.0, 200.0]), requires_grad=True)
    for _ in range(2):
        with pytest.raises(ValueError):
            picked.value_and_grad(x.data, np.array([0, 1]))
        with pytest.raises(ValueError, match="too much"):
            picked(x, np.array([0, 1]))
        y = picked(x, np.array([0]))
        y.backward()
    np.testing.assert_array_equal(x.grad.data, [4.0, 0.0])


def test_an_interrupt_comes_when_the_compiled_call_is_done():
    set_interrupt = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int)(("PyErr_SetInterruptEx", ctypes.pythonapi))

    @nbgrad.njit
    def settled(x, n):
        for _ in range(n):
            x = math.sin(x) + 0.1 * x
        return x

    known = settled.value_and_grad(0.7, 50)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        for _ in range(3):
            with pytest.raises(KeyboardInterrupt):
                set_interrupt(signal.SIGINT)
                settled.value_and_grad(0.7, 50)
                pytest.fail("no interrupt")
            assert settled.value_and_grad(0.7, 50) == known
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_dtypes_stay_and_are_as_exact_as_they_can_be(kind):
    def mixed(x, a, n):
        y = np.zeros_like(x)
        s = x[0]
        for i in range(x.size):
            y[i] = x[i] * a + n
            s = s * x[i] + np.exp(y[i])
        return s, y

    x, a = X.astype(kind), kind(0.3)
    given = (x, a, 2)
    values, gradients = derivative(mixed, "vjp", given)(*given, kind(1), np.ones(4, kind))
    assert values[1].dtype == gradients[0].dtype == kind and np.asarray(gradients[1]).dtype == kind
    assert gradients[2] is None
    compiled = nbgrad.njit(mixed).vjp(*given, kind(1), np.ones(4, kind))
    exact = derivative(mixed, "vjp", (X, 0.3, 2))(X, 0.3, 2, 1.0, np.ones(4))
    for found in (gradients, compiled[1]):
        assert found[0].dtype == kind
        np.testing.assert_allclose(found[0], exact[1][0], rtol=20 * np.finfo(kind).eps)
        np.testing.assert_allclose(found[1], exact[1][1], rtol=20 * np.finfo(kind).eps)


def test_an_array_given_twice_has_both_gradients():
    def product(x, y):
        s = 0.0
        for i in range(x.size):
            s += x[i] * x[i] * y[-1 - i]
        return s

    check(product, X, X)
    x = nbgrad.tensor(X, requires_grad=True)
    nbgrad.njit(product)(x, x).backward()
    np.testing.assert_allclose(x.grad.data, 2 * X * X[::-1] + (X * X)[::-1])


def test_bits_choose_what_is_read():
    def chosen(x, mask):
        total = 0.0
        for i in range(16):
            rest = i ^ mask
            rest &= ~1
            if i >> 1 & 1:
                total = x[rest & 3 | i & 1] * x[(1 << (i & 1)) % 4] - total
        return total

    check(chosen, X, 6)
    value, (gradient, none) = nbgrad.njit(chosen).vjp(X, 6, 1.0)
    expected, (known, _) = derivative(chosen, "vjp", (X, 6))(X, 6, 1.0)
    assert none is None and value == pytest.approx(expected)
    np.testing.assert_allclose(gradient, known)


def hashed(x, n):
    state = np.uint64(14695981039346656037)
    total = 0.0
    for i in range(n):
        state = (state ^ np.uint64(i)) * np.uint64(1099511628211)
        place = np.uint32(i) * np.uint32(747796405) + np.uint32(2891336453)
        place = (place >> np.uint32(22)) ^ place
        share = (state >> np.uint64(11)) * (1.0 / 9007199254740992.0)
        total += x[int(place & np.uint32(3))] ** 2 * share + x[int(state % np.uint64(4))]
    return total


def test_unsigned_numbers_stay_unsigned():
    compiled = nbgrad.njit(hashed)
    value, (gradient, none) = compiled.vjp(X, 40, 1.0)
    assert none is None and value == pytest.approx(compiled(X, 40), rel=1e-13)
    step = 1e-6 * np.eye(4)
    differences = [(compiled(X + h, 40) - compiled(X - h, 40)) / 2e-6 for h in step]
    np.testing.assert_allclose(gradient, differences, rtol=1e-7)


def test_a_cotangent_of_another_shape_is_an_error():
    @nbgrad.njit
    def head(x, n):
        return x[:n] * 2.0

    _, (gradient, _) = head.vjp(X, 3, np.ones(3))
    np.testing.assert_array_equal(gradient, [2.0, 2.0, 2.0, 0.0])
    with pytest.raises(ValueError, match="a cotangent has another shape than its result"):
        head.vjp(X, 3, np.ones(1))


def test_arrays_without_axes():
    def scaled(a, x):
        b = np.zeros(())
        b[()] = a[()] * x[0]
        return a[()] * x + b[()] ** 2

    a = np.array(0.7)
    for vjp in (derivative(scaled, "vjp", (a, X)), nbgrad.njit(scaled).vjp):
        value, (by_a, by_x) = vjp(a, X, np.ones(4))
        np.testing.assert_allclose(value, 0.7 * X + (0.7 * X[0]) ** 2)
        np.testing.assert_allclose(by_a, X.sum() + 4 * 2 * 0.7 * X[0] ** 2)
        np.testing.assert_allclose(by_x, 0.7 + np.array([4 * 2 * 0.49 * X[0], 0, 0, 0]))


def test_what_is_made_of_an_argument_is_not_the_argument():
    @nbgrad.njit
    def powers(x):
        y = x
        for _ in range(3):
            y = y * x + 1.0
        return y

    x = X.copy()
    x.flags.writeable = False
    v = nbgrad.tensor(x, requires_grad=True)
    powers(v).sum().backward()
    np.testing.assert_allclose(v.grad.data, 4 * X**3 + 2 * X + 1, rtol=1e-12)


def test_nan_stays_where_it_is():
    def clean(x):
        s = 0.0
        for v in x:
            if not math.isnan(v):
                s += v * v
        return s

    _, (gradient,) = derivative(clean, "vjp", (X,))(np.array([1.0, np.nan, 3.0]), 1.0)
    np.testing.assert_array_equal(gradient, [2.0, 0.0, 6.0])


def test_directions_that_a_view_repeats():
    @nbgrad.njit
    def squares(x):
        m = x.reshape(2, 2)
        return (m * m).sum()

    second = nbgrad.grad(lambda x: nbgrad.grad(squares)(x).sum())  # along one number that is broadcast
    np.testing.assert_array_equal(second(np.arange(4.0)), [2.0, 2.0, 2.0, 2.0])


def test_infinity_is_written_as_a_word():
    def nearest(x):
        best, furthest = float("inf"), -float("inf")
        for i in range(x.shape[0]):
            best = min(best, x[i] * x[i] + 1.0)
            furthest = max(furthest, math.hypot(x[i], 1.0))  # whose partials have infinity in them
        return best * x[0] + furthest

    check(nearest, X)
