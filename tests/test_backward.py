"""A user's backward: what it gives, and what it does to its argument."""

import subprocess
import sys

import numpy as np
import pytest
from graphs import scalar

import nbgrad
from nbgrad import Function, Variable
from nbgrad.autograd import grad

# ---- what backward gives ---------------------------------------------------------------------------------------------

BAD_GRADIENTS = [
    (lambda g: g, RuntimeError, "1 gradients for 2 inputs"),
    (lambda g: (g, g, g), RuntimeError, "3 gradients for 2 inputs"),
    (lambda g: (), RuntimeError, "0 gradients for 2 inputs"),
    (lambda g: (g, g[:1]), ValueError, r"shape \(1,\) for input 1 of shape \(3,\)"),
    (lambda g: (np.ones(4), g), ValueError, r"shape \(4,\) for input 0 of shape \(3,\)"),
    (lambda g: (np.float64(1.0), g), ValueError, r"shape \(\) for input 0 of shape \(3,\)"),
    (lambda g: (g, np.ones((3, 2))), ValueError, r"shape \(3, 2\) for input 1"),
    (lambda g: (g.astype(np.int64), g), TypeError, "dtype int64 for input 0 of dtype float64"),
    (lambda g: (g, g > 0), TypeError, "dtype bool for input 1"),
    (lambda g: (g, g.astype(complex)), TypeError, "dtype complex128 for input 1"),
    (lambda g: (g, "text"), TypeError, "dtype <U4 for input 1"),
    (lambda g: (g, Variable(g)), TypeError, "a Variable for input 1: backward works on arrays"),
]


def custom(result):
    """Make a Function of two inputs, their sum, whose backward gives what `result` makes of the cotangent."""

    class Custom(Function):
        def forward(self, x, y):
            return x + y

        def backward(self, gy):
            return result(gy)

    return Custom()


@pytest.mark.parametrize(("result", "kind", "message"), BAD_GRADIENTS)
@pytest.mark.parametrize("create_graph", [False, True])
def test_wrong_gradients_are_named_and_nothing_is_lost(result, kind, message, create_graph):
    x, y = Variable(np.ones(3)), Variable(np.ones(3))
    (x * 5).sum().backward()
    z = custom(result)(x * 2, y).sum() + x.sum()
    with pytest.raises(kind, match=rf"Custom\.backward gave .*{message}"):
        z.backward(create_graph=create_graph)
    np.testing.assert_array_equal(x.grad.data, [5, 5, 5])
    assert y.grad is None
    (x * y).sum().backward()
    np.testing.assert_array_equal(x.grad.data, [6, 6, 6])


def test_none_stands_for_no_gradient():
    x, y = Variable(np.ones(3)), Variable(np.ones(3))
    custom(lambda g: (g, None))(x, y).sum().backward()
    np.testing.assert_array_equal(x.grad.data, [1, 1, 1])
    assert y.grad is None


def test_a_list_of_gradients_and_constants_are_fine():
    x = Variable(np.ones(3))
    custom(lambda g: [g, "never looked at"])(x, nbgrad.ones(3)).sum().backward()
    np.testing.assert_array_equal(x.grad.data, [1, 1, 1])


def test_a_gradient_of_the_broadcast_shape_is_summed():
    x, y = Variable(np.ones((1, 3))), Variable(np.array(1.0))
    custom(lambda g: (g, g))(x, Variable(np.ones((2, 3)))).sum().backward()
    np.testing.assert_array_equal(x.grad.data, [[2, 2, 2]])
    custom(lambda g: (g, g))(Variable(np.ones((2, 3))), y).sum().backward()
    assert y.grad.shape == () and y.grad.data == 6


@pytest.mark.parametrize(("dtype", "computed"), [(np.float32, np.float64), (np.float64, np.float32)])
def test_a_gradient_of_another_floating_dtype_is_converted(dtype, computed):
    x = Variable(np.ones(4, dtype))
    custom(lambda g: (g.astype(computed), g))(x, nbgrad.ones(4)).sum().backward()
    assert x.grad.dtype == dtype
    np.testing.assert_array_equal(x.grad.data, np.ones(4))


def test_half_the_bytes_and_twice_the_elements():
    class Single(Function):
        """Computes in single precision and broadcasts: its cotangent has as many bytes as its input."""

        def forward(self, x):
            return x.astype(np.float32) * np.ones((2, 1), np.float32)

        def backward(self, gy):
            return gy

    x = Variable(np.ones((1, 3)))
    Single()(x).sum().backward()
    assert x.grad.dtype == np.float64
    np.testing.assert_array_equal(x.grad.data, [[2, 2, 2]])


def test_gradients_given_are_not_shared():
    saved = np.full(3, 7.0)
    x, y = Variable(np.ones(3)), Variable(np.ones(3))
    custom(lambda g: (saved, saved))(x, y).sum().backward()
    x.grad.zero_()
    np.testing.assert_array_equal(saved, [7, 7, 7])
    np.testing.assert_array_equal(y.grad.data, [7, 7, 7])
    y.grad.data[0] = 1
    np.testing.assert_array_equal(saved, [7, 7, 7])
    custom(lambda g: (saved[::-1], saved))(x, y).sum().backward()
    np.testing.assert_array_equal(saved, [7, 7, 7])


def test_errors_raised_in_backward_pass_through():
    def fail(g):
        raise LookupError("on the way")

    x = Variable(np.ones(3))
    with pytest.raises(LookupError, match="on the way"):
        custom(fail)(x, x).sum().backward()
    assert x.grad is None


# ---- a backward that writes into its argument ------------------------------------------------------------------------


def test_writing_into_the_cotangent_does_not_spoil_later_walks():
    # in a process of its own: were it to fail, every later test here would
    script = """
import numpy, nbgrad
class DoubleInPlace(nbgrad.Function):
    def forward(self, x):
        return 2 * x
    def backward(self, gy):
        gy *= 2
        return gy
x, y = nbgrad.Variable(numpy.array(3.0)), nbgrad.Variable(numpy.array(2.0))
try:
    DoubleInPlace()(x).backward()
    assert x.grad.data == 2, x.grad
except ValueError as error:
    assert "read-only" in str(error)
(y * y).backward()
print(y.grad.data)
"""
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert run.stdout == "4.0\n", run.stderr


class DoubleInPlace(Function):
    """Writes into the cotangent, as NumPy users might: must be right, or refused, but never spoil anything else."""

    def forward(self, x):
        return 2 * x

    def backward(self, gy):
        gy *= 2
        return gy


def attempt(function):
    """Run what may be refused because it writes into a read-only cotangent; gives whether it ran."""
    try:
        function()
    except ValueError as error:
        assert "read-only" in str(error)
        return False
    return True


def test_writing_into_the_cotangent_does_not_spoil_others():
    x, w = Variable(np.ones(2)), Variable(np.ones(2))
    start = np.ones(2)
    if attempt(lambda: (DoubleInPlace()(x) + w).backward(start)):
        np.testing.assert_array_equal(x.grad.data, [2, 2])
        np.testing.assert_array_equal(w.grad.data, [1, 1])
    np.testing.assert_array_equal(start, [1, 1])


def test_writing_into_the_cotangent_does_not_spoil_second_derivatives():
    x = scalar(3.0)
    found = []
    y = DoubleInPlace()(x) ** 2

    def twice():
        (g,) = grad(y, x, create_graph=True)
        found.extend([g, *grad(g, x)])

    try:
        ran = attempt(twice)
    except RuntimeError as error:
        assert "second derivative" in str(error)
        ran = False
    if ran:
        assert [g.item() for g in found] == [24.0, 8.0]
