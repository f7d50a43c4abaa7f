"""Traps that readers of the whole found: each once went wrong without a word."""

import numpy as np
import pytest
from workers import race

import nbgrad
from nbgrad import Variable
from nbgrad.autograd import functional, grad


@pytest.mark.parametrize("retain_graph", [False, True])
def test_a_hook_outlives_its_variable(retain_graph):
    def program(x):
        h = x * 2
        h.register_hook(lambda g: g * 0)
        w = x
        for _ in range(5):
            w = w * 1.5
        return (h * w).sum()

    x = Variable(np.array([1.0, 2.0]))
    program(x).backward(retain_graph=retain_graph)
    np.testing.assert_allclose(x.grad.data, 2 * 1.5**5 * x.data)


def test_derivatives_with_create_graph_under_no_grad():
    with nbgrad.no_grad():
        jacobian = functional.jacobian(lambda v: v * v, Variable(np.array([1.0, 2.0])), create_graph=True)
    np.testing.assert_array_equal(jacobian.data, [[2, 0], [0, 4]])
    assert jacobian.requires_grad


def test_a_comparing_formula_keeps_its_constants_on_whole_numbers():
    above = nbgrad.elementwise(lambda x: np.exp(x * 0.5) > 2.5)
    np.testing.assert_array_equal(above(nbgrad.tensor([1, 2, 3])).data, [False, True, True])


def test_a_formula_takes_no_variable_from_outside():
    a = nbgrad.tensor(2.0, requires_grad=True)
    with pytest.raises(TypeError, match="is an argument of the formula"):
        nbgrad.elementwise(lambda x: a * x)


def test_threads_that_walk_to_one_leaf_lose_nothing():
    x = Variable(np.zeros(()))

    def work(_):
        for _ in range(500):
            (x * 1.0).backward()

    race(work, 4)
    assert x.grad.item() == 2000


def test_arguments_of_numpys_functions_are_numpys():
    recorded = Variable(np.arange(18.0).reshape(2, 3, 3))
    for call in (lambda x: np.dot(x, x), lambda x: np.sum(x, 0, np.float32), lambda x: np.concatenate([x], axis=None)):
        np.testing.assert_array_equal(call(recorded).data, call(recorded.data))
    assert np.allclose(nbgrad.ones(2, 3, 3), 1)


@pytest.mark.parametrize("exponent", [-1, -2, -3])
def test_negative_powers_at_zero_have_infinite_slopes(exponent):
    x = Variable(np.array([0.0, 1e-200]))
    (x**exponent).sum().backward()
    with np.errstate(all="ignore"):
        expected = exponent * x.data ** (exponent - 1)
    np.testing.assert_array_equal(x.grad.data, expected)


@pytest.mark.parametrize("count", [131_071, 131_072, 200_001])
def test_the_mean_of_large_numbers_does_not_overflow(count):
    x = np.full(count, 1e35, np.float32)
    assert nbgrad.mean(x) == np.float32(1e35)
    noise = np.random.default_rng(0).standard_normal(count).astype(np.float32)
    exact = noise.astype(np.longdouble).mean()
    np.testing.assert_allclose(nbgrad.mean(noise), np.float32(exact), rtol=2e-7)


def test_other_byte_orders_become_native():
    x = Variable(np.array([1.0, 2.0], ">f8"))
    assert x.dtype.isnative
    (x * x).sum().backward()
    assert x.grad.tolist() == [2, 4] and x.grad.dtype == x.dtype


def test_flat_functions_have_zero_gradients_and_unused_inputs_none():
    x, unused = Variable(np.array([1.0, -2.0])), Variable(np.ones(2))
    gx, none = grad(nbgrad.sign(x).sum(), [x, unused], allow_unused=True)
    assert gx.tolist() == [0, 0] and none is None
    (slope,) = grad(nbgrad.relu(x).sum(), x, create_graph=True)
    assert grad(slope.sum() + (x * 0).sum(), x)[0].tolist() == [0, 0]


def test_a_formula_may_be_called_where():
    def where(x, y):
        return x * y

    product = nbgrad.elementwise(where)
    x, y = Variable(np.array(2.0)), Variable(np.array(3.0))
    product(x, y).backward()
    assert x.grad.item() == 3 and y.grad.item() == 2


def test_the_line_of_training_loops():
    w = Variable(np.array([1.0, 2.0]))
    array = w.data
    (w * w).sum().backward()
    with nbgrad.no_grad():
        w -= 0.25 * w.grad
    assert w.requires_grad and w.data is array and array.tolist() == [0.5, 1.0]
    with nbgrad.no_grad():
        w += 1.0
        w *= 2.0
        w /= 4.0
    assert w.data is array and array.tolist() == [0.75, 1.0]
    with nbgrad.no_grad(), pytest.raises(ValueError, match="the result has shape"):
        w += np.ones((3, 2))
    y = w * 1.0
    y += 1.0
    y.sum().backward()
    assert y.tolist() == [1.75, 2.0] and array.tolist() == [0.75, 1.0]


def test_a_hook_is_removed_as_in_torch():
    x = Variable(np.array(1.0))
    handle = x.register_hook(lambda g: g * 10)
    handle.remove()
    (x * 1.0).backward()
    assert x.grad.item() == 1


def test_clone_of_whatever():
    for array in (np.arange(3), np.ones(2, np.float16), np.array(True)):
        copy = nbgrad.clone(array)
        assert isinstance(copy, np.ndarray) and copy is not array
        np.testing.assert_array_equal(copy, array)


def test_large_matrices_reduce_their_columns_in_blocks():
    x = np.random.default_rng(1).standard_normal((20_011, 70)).astype(np.float32)
    np.testing.assert_allclose(nbgrad.sum(x, 0), x.sum(0, dtype=np.float64), rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(nbgrad.amax(x, 0), x.max(0))
    np.testing.assert_allclose(nbgrad.mean(x, 0), x.mean(0, dtype=np.float64), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(nbgrad.logsumexp(x, 0), np.log(np.exp(x.astype(np.float64)).sum(0)), rtol=1e-6)


@pytest.mark.parametrize("create_graph", [False, True])
def test_a_vjp_of_half_the_width_and_twice_the_rows_fits_its_input(create_graph):
    class Single(nbgrad.Function):
        """Has a cotangent with as many bytes and dimensions as its input, but another shape and dtype."""

        def forward(self, x):
            return x.astype(np.float32) * np.ones((2, 1), np.float32)

        def vjp(self, gy, y, x):
            return gy * 1.0

    x = Variable(np.ones((1, 3)))
    Single()(x).sum().backward(create_graph=create_graph)
    assert x.grad.dtype == np.float64
    assert x.grad.tolist() == [[2, 2, 2]]
