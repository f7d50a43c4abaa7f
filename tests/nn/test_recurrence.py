"""A layer of LSTM as one node against the same step by step: to second order, compiled, and in parts."""

import numpy as np
import pytest

import nbgrad
from nbgrad.autograd import gradcheck
from nbgrad.nn import recurrence


def inputs(steps=4, dtype=np.float64, seed=0):
    rng = np.random.default_rng(seed)
    shapes = (steps, 2, 12), (2, 3), (2, 3), (12, 3)
    return [nbgrad.tensor(rng.normal(size=shape).astype(dtype), requires_grad=True) for shape in shapes]


def whole(*xs):
    return recurrence.Lstm()(*xs)


@pytest.mark.parametrize("steps", [1, 4])
def test_values_and_gradients_are_those_of_the_steps(steps):
    xs = inputs(steps)
    y, expected = whole(*xs), recurrence.step_by_step(*xs)
    np.testing.assert_allclose(y.data, expected.data, rtol=1e-12)
    weights = np.cos(np.arange(y.size * 1.0)).reshape(y.shape)
    for one, other in zip(*[nbgrad.autograd.grad((z * weights).sum(), xs) for z in (y, expected)], strict=True):
        np.testing.assert_allclose(one.data, other.data, rtol=1e-9, atol=1e-12)


def test_second_order_and_some_inputs_only():
    xs = inputs(2)
    assert gradcheck(whole, xs, order=2)
    for x in xs[1:]:
        x.requires_grad = False
    whole(*xs).sum().backward()
    assert xs[0].grad is not None and xs[1].grad is None


def test_single_precision():
    found = whole(*inputs(4, np.float32))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found.data, whole(*inputs(4)).data, rtol=1e-5, atol=1e-6)


def test_compiled(kernels):
    function = nbgrad.value_and_grad(lambda xs: (whole(*xs) ** 2).sum())
    xs = [x.data for x in inputs()]
    value, slopes = nbgrad.jit(function)(xs)
    expected, exact = function(xs)
    np.testing.assert_allclose(value, expected)
    for one, other in zip(slopes, exact, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-10)


def test_other_arrays_go_step_by_step():
    xs = [x.data for x in inputs()]
    assert recurrence.lstm(xs[0].astype(np.float32), *xs[1:]) is None
    assert recurrence.lstm(xs[0][:0], *xs[1:]) is None
    outputs, last, memory = recurrence.lstm(*xs)
    assert (outputs[-1] == last).all() and memory.shape == (2, 3)
