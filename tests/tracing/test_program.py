"""Known numbers are computed while tracing, and what is no number stays."""

import numpy as np
import pytest

import nbgrad
from nbgrad import grad, value_and_grad
from nbgrad.tracing.program import Program

pytestmark = pytest.mark.usefixtures("kernels")


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize(
    "function",
    [
        lambda x: x.sum() / 3,
        lambda x: ((x - 1) ** 2).sum() / len(x),
        lambda x: x.mean() / 2,
        lambda x: x[0] / 2,
        lambda x: -(x.sum() / 3) / 7 + 2.0 / 3.0,
    ],
)
def test_losses_divided_by_numbers(function, dtype):
    x = np.arange(1.0, 4).astype(dtype)
    for transform in (value_and_grad, lambda f: grad(lambda x: grad(f)(x).sum())):
        found, expected = nbgrad.jit(transform(function))(x), transform(function)(x)
        for one, other in zip(found, expected, strict=True) if isinstance(found, tuple) else [(found, expected)]:
            assert one.dtype == other.dtype == dtype
            np.testing.assert_allclose(one, other, rtol=1e-6)


def derivative(function, order):
    for _ in range(order):
        function = grad(function)
    return function


@pytest.mark.parametrize(
    ("function", "order", "expected"),
    [
        (lambda x: x**2, 2, 2.0),
        (lambda x: x**3, 3, 6.0),
        (lambda x: nbgrad.exp(-(x**2)), 4, (16 * 0.3**4 - 48 * 0.3**2 + 12) * np.exp(-(0.3**2))),
    ],
)
def test_derivatives_of_numbers_to_higher_orders(function, order, expected):
    assert nbgrad.jit(derivative(function, order))(0.3) == pytest.approx(expected, rel=1e-13)


def test_numbers_that_are_met_again_are_one_node_and_what_can_change_is_not_remembered():
    program = Program()
    number, array = np.array(0.1), np.ones(3)
    changing = number.copy()
    number.flags.writeable = False
    assert program.met(number) is program.met(number) is program.constant(number)
    assert list(program._numbers_met) == [id(number)]
    program.met(array)
    program.met(changing)
    assert list(program._numbers_met) == [id(number)]
