"""Numbers out of Variables, where no gradient is lost unseen."""

import _thread
import math
import time

import numpy as np
import pytest

import nbgrad
from nbgrad import Variable
from nbgrad.autograd.functional import jacobian

NUMBERS = {
    "float": float,
    "int": int,
    "math.sin": math.sin,
    "math.floor": math.floor,
    "item": lambda x: x.item(),
    "tolist": lambda x: x.tolist(),
    "complex": complex,
    "array.fill": lambda x: np.zeros(2).fill(x),
}


def no_grad_number(number, v):
    with nbgrad.no_grad():
        number(v[0])
    return 0


@pytest.mark.parametrize("name", NUMBERS)
def test_numbers_lose_no_gradient_while_it_is_taken(name):
    number = NUMBERS[name]

    def f(x):
        return x[0] * 2 + (number(x[0]) or 0)

    for transform in (nbgrad.grad, nbgrad.value_and_grad, lambda f: lambda v: jacobian(f, v)):
        with pytest.raises((RuntimeError, ValueError)) as caught:
            transform(f)(np.array([1.0, 2.0]))
        message = str(
            caught.value.__cause__ or caught.value
        )  # NumPy says something of its own, and gives ours as cause
        assert "inside a function that is being differentiated, loses the gradient unseen" in message
        assert "nbgrad.sin" in message and "x.detach()" in message
    # where nothing is lost it is as everywhere
    x = Variable(np.array([1.0, 2.0]))
    number(x[0])
    for harmless in (lambda v: v[0] * 2 + float(v.detach()[0]), lambda v: no_grad_number(number, v) + v[0] * 2):
        np.testing.assert_array_equal(nbgrad.grad(harmless)(x.data), [2, 0])
    number(x[0])


def test_what_shows_and_decides_loses_nothing():
    def f(x):
        text = f"{x[0]:.1f} {x} {x[0]!r}"
        while x.sum() < 10:
            x = x * 2
        return x[0] if x[0] > 1 and bool(x[1]) and text else x[1]

    np.testing.assert_array_equal(nbgrad.grad(f)(np.array([1.0, 2.0])), [4, 0])


def test_a_number_where_no_line_of_python_asks_for_it():
    found = []
    _thread.start_new_thread(found.extend, (map(float, [Variable(np.array(2.0))]),))
    end = time.monotonic() + 10
    while not found and time.monotonic() < end:
        time.sleep(0.001)
    assert found == [2.0]


def test_size_may_be_called():
    x = nbgrad.ones(2, 3)
    assert (x.size, x.size(), x.size(0), x.size(-1)) == (6, (2, 3), 2, 3)
    assert isinstance(x.size, int) and repr(x.size) == "6"
    np.testing.assert_array_equal((x.sum() / x.size).data, 1)
    assert (nbgrad.ones(2, dtype=np.float32) / x.size).dtype == np.float32


def test_elements_are_put_where_nothing_is_recorded():
    x = nbgrad.zeros(2, 3)
    x[0, 1] = 5.0
    x[1] = nbgrad.tensor([1.0, 2.0, 3.0])
    x[x > 4] = -1
    x[nbgrad.tensor([0]), [2]] = 7
    np.testing.assert_array_equal(x.data, [[0, -1, 7], [1, 2, 3]])
    leaf = Variable(np.ones(3))
    with nbgrad.no_grad():
        leaf[1:] = leaf[:2] * 4
    np.testing.assert_array_equal(leaf.data, [1, 4, 4])
    with pytest.raises(RuntimeError, match=r"a leaf that requires a gradient .*no_grad"):
        leaf[0] = 1
    with pytest.raises(IndexError):
        x[2] = 1


@pytest.mark.parametrize("dtype", [np.float64, np.float32, int, complex])
@pytest.mark.parametrize("transformed", [False, True])
def test_an_element_of_a_plain_array_loses_no_gradient(dtype, transformed):
    def f(x):
        array = np.zeros(3, dtype)
        array[0] = x[0] ** 2
        return x.sum() + array.sum()

    with pytest.raises((RuntimeError, ValueError), match=r"gradient unseen|array element") as caught:
        (nbgrad.grad(f) if transformed else f)(Variable(np.ones(3)) if not transformed else np.ones(3))
    # for floats NumPy says something of its own, and gives ours as the cause
    assert "gradient unseen" in str(caught.value.__cause__ or caught.value)
    losses = np.zeros(2, dtype)
    losses[0] = Variable(np.array(2.0)).item()
    losses[1] = Variable(np.array(2.0)).detach()
    with nbgrad.no_grad():
        losses[1] += Variable(np.array(2.0)).item()
        losses[0] = Variable(np.array(3.0))
    assert losses.tolist() == [3, 4]
