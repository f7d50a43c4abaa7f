"""Function: what users write subclasses of, and what a call leaves behind."""

import gc
import weakref

import numpy as np
import pytest
from graphs import Add, Square, scalar

import nbgrad
from nbgrad import Function, Variable
from nbgrad.autograd import grad

# ---- the call --------------------------------------------------------------------------------------------------------


def test_what_a_call_leaves_behind():
    x, y = scalar(2.0), scalar(3.0) * 2
    function = Add()
    z = function(x, y)
    assert z.creator is function
    assert function.inputs == (x, y)
    assert function.inputs[1].data == 6
    assert function.generation == 1 and z.generation == 2
    assert function.outputs[0] is z
    assert repr(function) == "<Add>"


def test_outputs_are_held_weakly():
    function = Square()
    y = function(scalar(2.0))
    reference = weakref.ref(y)
    gc.disable()
    try:
        del y
        assert reference() is None
    finally:
        gc.enable()
    assert function.outputs == (None,)


def test_numbers_and_arrays_become_constants():
    x = Variable(np.array([1.0, 2.0]))
    for other in (3.0, np.array([3.0, 3.0]), [3.0, 3.0]):
        y = Add()(x, other)
        np.testing.assert_array_equal(y.data, [4, 5])
        y.sum().backward()
        np.testing.assert_array_equal(x.grad.data, [1, 1])
        x.cleargrad()
    y = Add()(np.ones(2), 1.0)
    assert isinstance(y, Variable) and not y.requires_grad


def test_what_cannot_be_an_input():
    with pytest.raises(TypeError, match="cannot take part in a computation"):
        Square()("text")


def test_python_and_numpy_scalars_as_results():
    class Sum(Function):
        def forward(self, x):
            return x.sum()

        def backward(self, gy):
            return np.full_like(self.inputs[0].data, gy)

    class Constant(Function):
        def forward(self, x):
            return 3.0

        def backward(self, gy):
            return np.zeros_like(self.inputs[0].data)

    x = Variable(np.array([1.0, 2.0]))
    (Sum()(x) + Constant()(x)).backward()
    np.testing.assert_array_equal(x.grad.data, [1, 1])


def test_results_that_are_no_arrays():
    class Text(Function):
        def forward(self, x):
            return "text"

    with pytest.raises(TypeError, match=r"Text\.forward gave str, not a numeric array"):
        Text()(scalar(1.0))


def test_whole_number_results_have_no_gradient():
    class Floor(Function):
        def forward(self, x):
            return np.floor(x).astype(np.int64), x - np.floor(x)

        def backward(self, g_whole, g_fraction):
            assert g_whole.dtype == np.int64
            return g_fraction

    x = Variable(np.array([1.25, 2.5]))
    whole, fraction = Floor()(x)
    assert not whole.requires_grad and fraction.requires_grad
    fraction.sum().backward()
    np.testing.assert_array_equal(x.grad.data, [1, 1])


def test_no_grad_records_nothing():
    x = scalar(2.0)
    with nbgrad.no_grad():
        y = Square()(x)
    assert not y.requires_grad and y.creator is None
    constant = Square()(nbgrad.tensor(2.0))
    assert not constant.requires_grad and constant.creator is None


def test_undefined_methods_are_named():
    class Nothing(Function):
        pass

    class Forward(Function):
        def forward(self, x):
            return x * 2

    with pytest.raises(NotImplementedError, match=r"Nothing\.forward is not defined"):
        Nothing()(scalar(1.0))
    y = Forward()(scalar(1.0))
    with pytest.raises(NotImplementedError, match=r"Forward\.backward is not defined.*vjp\(self, gy, y, \*xs\)"):
        y.backward()


# ---- several outputs -------------------------------------------------------------------------------------------------


class Split(Function):
    """Two outputs, used in part or whole."""

    def forward(self, x):
        return x * x, np.exp(x)

    def backward(self, g_square, g_exp):
        x = self.inputs[0].data
        return 2 * x * g_square + np.exp(x) * g_exp


@pytest.mark.parametrize("used", [(True, True), (True, False), (False, True)])
def test_several_outputs_partly_used(used):
    x = Variable(np.array([0.5, 1.5]))
    square, exp = Split()(x)
    assert square.creator is exp.creator
    loss = sum((y.sum() * k for y, k, use in zip((square, exp), (2, 3), used, strict=True) if use), start=0.0)
    loss.backward()
    expected = used[0] * 4 * x.data + used[1] * 3 * np.exp(x.data)
    np.testing.assert_allclose(x.grad.data, expected, rtol=1e-14)


def test_an_output_used_twice_and_the_other_after_it():
    x = Variable(np.array([0.5, 1.5]))
    square, exp = Split()(x)
    (square * square + nbgrad.tanh(exp) + square + exp * square).sum().backward()
    other = Variable(x.data)
    s, e = other * other, nbgrad.exp(other)
    (s * s + nbgrad.tanh(e) + s + e * s).sum().backward()
    np.testing.assert_allclose(x.grad.data, other.grad.data, rtol=1e-13)


def test_unused_outputs_of_several_inputs_and_dtypes():
    class Mixed(Function):
        def forward(self, a, b):
            return a * 2, (b * 3).astype(np.float32), np.arange(3)

        def backward(self, ga, gb, g_whole):
            assert ga.dtype == np.float64 and gb.dtype == np.float32
            assert ga.shape == (2,) and gb.shape == (3,)
            return 2 * ga, 3 * gb

    a, b = Variable(np.ones(2)), Variable(np.ones(3))
    _, second, _ = Mixed()(a, b)
    second.sum().backward()
    np.testing.assert_array_equal(a.grad.data, [0, 0])
    np.testing.assert_array_equal(b.grad.data, [3, 3, 3])
    assert b.grad.dtype == np.float64


def test_a_tuple_of_one_result():
    class Single(Function):
        def forward(self, x):
            return (x * 2,)

        def backward(self, gy):
            return (2 * gy,)

    x = scalar(1.0)
    y = Single()(x)
    assert isinstance(y, Variable)
    y.backward()
    assert x.grad.data == 2


def test_gradients_by_and_from_single_outputs():
    x = scalar(0.5)
    square, exp = Split()(x)
    product = square * exp
    g_square, g_exp = grad(product, [square, exp], retain_graph=True)
    assert g_square.data == exp.data and g_exp.data == square.data
    (g,) = grad([square, exp], x, [2.0, 10.0])
    np.testing.assert_allclose(g.data, 2 * 2 * 0.5 + 10 * np.exp(0.5))


def test_hooks_and_retained_gradients_of_single_outputs():
    x = scalar(0.5)
    square, exp = Split()(x)
    square.register_hook(lambda g: g * 100)
    exp.retain_grad()
    (square + 2 * exp).backward()
    assert exp.grad.data == 2 and square.grad is None
    np.testing.assert_allclose(x.grad.data, 100 * 2 * 0.5 + 2 * np.exp(0.5))


# ---- instances used again --------------------------------------------------------------------------------------------


def test_an_instance_called_twice_makes_two_nodes():
    x, z = scalar(2.0), scalar(5.0)
    function = Square()
    first = function(x)
    second = function(z)
    assert first.creator is not second.creator
    (first * second).backward()
    assert x.grad.data == 2 * 2 * 25 and z.grad.data == 2 * 5 * 4


def test_an_instance_may_stand_behind_itself():
    function = Square()
    x = scalar(2.0)
    function(function(function(x))).backward()
    assert x.grad.data == 8 * 2.0**7


def test_an_instance_called_after_its_graph_was_freed_leaves_that_graph_freed():
    x, z = scalar(2.0), scalar(5.0)
    function = Square()
    first = function(x)
    first.backward()
    second = function(z)
    with pytest.raises(RuntimeError, match="freed by an earlier backward"):
        first.backward()
    assert z.grad is None, "the gradient of the first graph must not reach the second"
    second.backward()
    assert x.grad.data == 4 and z.grad.data == 10


def test_an_instance_called_under_no_grad_between():
    x = scalar(2.0)
    function = Square()
    first = function(x)
    with nbgrad.no_grad():
        function(scalar(7.0))
    first.backward()
    assert x.grad.data == 4


def test_state_kept_by_forward_belongs_to_its_call():
    class Scale(Function):
        def __init__(self, factor):
            self.factor = factor

        def forward(self, x):
            self.saved = np.exp(self.factor * x)
            return self.saved

        def backward(self, gy):
            return self.factor * self.saved * gy

    function = Scale(0.5)
    x, z = scalar(1.0), scalar(2.0)
    first, second = function(x), function(z)
    (first + second).backward()
    np.testing.assert_allclose(x.grad.data, 0.5 * np.exp(0.5))
    np.testing.assert_allclose(z.grad.data, 0.5 * np.exp(1.0))


# ---- reentrancy ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("outer", [1, 3])
def test_a_walk_within_a_walk(outer):
    class Inner(Function):
        """Differentiates in its own backward."""

        def forward(self, x):
            return np.sin(x)

        def backward(self, gy):
            x = Variable(self.inputs[0].data)
            with nbgrad.enable_grad():
                nbgrad.sin(x).sum().backward()
            return gy * x.grad.data

    x = Variable(np.array([0.5, 1.0]))
    y = x
    for _ in range(outer):
        y = Inner()(y)
    (y * y).sum().backward()
    other = Variable(x.data)
    z = other
    for _ in range(outer):
        z = nbgrad.sin(z)
    (z * z).sum().backward()
    np.testing.assert_allclose(x.grad.data, other.grad.data, rtol=1e-14)


def test_big_endian_arrays_keep_their_gradients():
    x = Variable(np.array([1.0, 2.0], ">f8"))
    Square()(x).sum().backward()
    np.testing.assert_array_equal(x.grad.data, [2, 4])


def test_a_result_in_the_other_byte_order_keeps_its_gradient():
    class Swapped(Square):
        def forward(self, x):
            return (x**2).astype(">f8")

    x = Variable(np.array([1.0, 2.0]))
    y = Swapped()(x)
    assert y.dtype.isnative
    y.sum().backward()
    np.testing.assert_array_equal(x.grad.data, [2, 4])


@pytest.mark.parametrize("dtype", [np.float16, np.longdouble, complex])
def test_a_result_without_gradients_is_refused_where_one_would_be_lost(dtype):
    class Converted(Square):
        def forward(self, x):
            return x.astype(dtype)

    x = Variable(np.array([1.0, 2.0]))
    with pytest.raises(TypeError, match=f"Converted.forward gave {np.dtype(dtype)}, which has no gradients"):
        Converted()(x)
    assert Converted()(x.detach()).dtype == dtype
    with nbgrad.no_grad():
        assert Converted()(x).dtype == dtype


def test_a_view_of_a_large_array_is_one_by_the_plain_way_as_well():
    from nbgrad.ops.shape import Reshape

    x = nbgrad.ones(100, 100, requires_grad=True)
    written = x * 1.0
    written[0].zero_()  # from now on views are taken note of when they are made
    y = x * 2.0
    Reshape((-1,))(y).mul_(3.0)  # the node keeps no elements of y, the view knows it all the same
    (gradient,) = nbgrad.autograd.grad((y * y).sum(), x)
    np.testing.assert_array_equal(gradient.data, np.full((100, 100), 72.0))
