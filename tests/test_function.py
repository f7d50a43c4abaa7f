"""Function: what users write subclasses of."""

import gc
import subprocess
import sys
import weakref

import numpy as np
import pytest

import nbgrad
from nbgrad import Function, Variable
from nbgrad.autograd import grad, gradcheck


class Square(Function):
    def forward(self, x):
        return x * x

    def backward(self, gy):
        return 2 * self.inputs[0].data * gy


class Add(Function):
    def forward(self, x, y):
        return x + y

    def backward(self, gy):
        return gy, gy


class Split(Function):
    """Two outputs, used in part or whole."""

    def forward(self, x):
        return x * x, np.exp(x)

    def backward(self, g_square, g_exp):
        x = self.inputs[0].data
        return 2 * x * g_square + np.exp(x) * g_exp


class Cube(Function):
    """A rule in nbgrad's functions, hence with gradients of any order."""

    def forward(self, x):
        return x**3

    def vjp(self, gy, y, x):
        return gy * 3 * x * x


def scalar(value: float) -> Variable:
    return Variable(np.array(value))


# ---- the call -------------------------------------------------------------------------------------------------------


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


# ---- several outputs ------------------------------------------------------------------------------------------------


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


# ---- instances used again -------------------------------------------------------------------------------------------


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


# ---- what backward gives --------------------------------------------------------------------------------------------


def custom(result):
    """Make a Function of two inputs, their sum, whose backward gives what `result` makes of the cotangent."""

    class Custom(Function):
        def forward(self, x, y):
            return x + y

        def backward(self, gy):
            return result(gy)

    return Custom()


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


# ---- a backward that writes into its argument -----------------------------------------------------------------------


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


# ---- second derivatives ---------------------------------------------------------------------------------------------


def test_a_second_derivative_through_array_code_is_refused():
    x = scalar(3.0)
    y = Square()(x)
    (g,) = grad(y, x, create_graph=True)
    assert g.data == 6
    with pytest.raises(RuntimeError, match=r"second derivative goes through Square\.backward.*Square\.vjp\(self, gy"):
        grad(g, x)
    with pytest.raises(RuntimeError, match=r"second derivative goes through Square\.backward"):
        g.backward()
    assert x.grad is None


def test_a_second_derivative_by_the_cotangent_is_refused_too():
    x = nbgrad.tensor([3.0], requires_grad=True)
    seed = nbgrad.tensor([1.0], requires_grad=True)
    (g,) = grad(Square()(x), x, seed, create_graph=True)
    with pytest.raises(RuntimeError, match="second derivative"):
        grad(g, seed)


def test_a_penalty_on_the_gradient_is_refused_where_it_would_be_wrong():
    x, w = scalar(3.0), scalar(2.0)
    (gx,) = grad(Square()(x) * w, x, create_graph=True)
    loss = gx * gx + w * x
    with pytest.raises(RuntimeError, match="second derivative"):
        loss.backward()
    assert x.grad is None and w.grad is None


def test_third_derivatives_are_refused():
    x = scalar(3.0)
    (g,) = grad(nbgrad.sin(x) * Cube()(x), x, create_graph=True)
    (gg,) = grad(g, x, create_graph=True)
    value = Square()(gg)
    (ggg,) = grad(value, x, create_graph=True)
    with pytest.raises(RuntimeError, match="second derivative"):
        grad(ggg, x)


def test_other_ways_than_through_the_array_code_go_on():
    x, w = scalar(3.0), scalar(2.0)
    (gw,) = grad(Square()(x) * w**2, w, create_graph=True)
    (gww,) = grad(gw, w, retain_graph=True)
    assert gww.data == 2 * 9
    (gwx,) = grad(gw, x)  # only one derivative goes through Square here
    assert gwx.data == 2 * 2 * 2 * 3


def test_a_backward_that_hands_the_cotangent_through_has_every_order():
    a, b = scalar(2.0), scalar(3.0)
    y = Add()(a * a, b) ** 3
    (g,) = grad(y, a, create_graph=True)
    (gg,) = grad(g, a, create_graph=True)
    (ggg,) = grad(gg, a)
    s = 7.0  # y = (a**2 + b)**3
    np.testing.assert_allclose(g.data, 3 * s**2 * 4)
    np.testing.assert_allclose(gg.data, 6 * s * 16 + 6 * s**2)
    np.testing.assert_allclose(ggg.data, 48 * 8 + 72 * 2 * s)


def test_one_array_in_two_cotangents_is_not_mixed_up():
    class Both(Function):
        def forward(self, a, b):
            return a + 1, b + 1

        def backward(self, ga, gb):
            return ga, gb

    a, b = scalar(1.0), scalar(1.0)
    seed = scalar(3.0)
    ga, gb = grad(Both()(a, b), [a, b], [seed, seed.detach()], create_graph=True)
    assert ga.data == 3 and gb.data == 3
    try:
        (through,) = grad(ga * 5, seed)
    except RuntimeError as error:
        assert "second derivative" in str(error)
    else:
        assert through.data == 5


def test_a_vjp_gives_every_order():
    x = Variable(np.array([0.5, -1.5]))
    value = Cube()(x).sum()
    for closed_form in (3 * x.data**2, 6 * x.data, np.array([6.0, 6.0])):
        (g,) = grad(value, x, create_graph=True)
        np.testing.assert_allclose(g.data, closed_form)
        value = g.sum()
    x.cleargrad()
    Cube()(x).sum().backward()
    np.testing.assert_allclose(x.grad.data, 3 * x.data**2)
    assert gradcheck(lambda v: Cube()(v), Variable(np.array([0.5, -1.5])), order=2)


def test_a_vjp_that_uses_its_output():
    class Exp(Function):
        def forward(self, x):
            return np.exp(x)

        def vjp(self, gy, y, x):
            return gy * y

    assert gradcheck(lambda v: Exp()(v * v), Variable(np.array([0.5, -0.5])), order=2)
    x = scalar(0.5)
    value = Exp()(x)
    for _ in range(3):
        (value,) = grad(value, x, create_graph=True)
        np.testing.assert_allclose(value.data, np.exp(0.5))


def test_a_vjp_may_be_written_with_users_functions():
    class Sine(Function):
        def forward(self, x):
            return np.sin(x)

        def vjp(self, gy, y, x):
            return gy * Cosine()(x)

    class Cosine(Function):
        def forward(self, x):
            return np.cos(x)

        def vjp(self, gy, y, x):
            return -gy * Sine()(x)

    x = scalar(0.5)
    Sine()(x).backward()
    np.testing.assert_allclose(x.grad.data, np.cos(0.5))
    assert gradcheck(lambda v: Sine()(v), Variable(np.array([0.5])), order=2)


def test_a_vjp_of_several_inputs_with_none():
    class ScaleBy(Function):
        def forward(self, x, factor):
            return x * factor

        def vjp(self, gy, y, x, factor):
            return gy * factor, None

    x, factor = Variable(np.array([1.0, 2.0])), Variable(np.array([3.0, 3.0]))
    ScaleBy()(x, factor).sum().backward()
    np.testing.assert_array_equal(x.grad.data, [3, 3])
    assert factor.grad is None


class SplitRule(Function):
    """Several outputs with a rule: cotangents come as a list."""

    def forward(self, x):
        return x * x, np.exp(x)

    def vjp(self, gys, y, x):
        g_square, g_exp = gys
        return g_square * 2 * x + g_exp * nbgrad.exp(x)


@pytest.mark.parametrize("used", [(True, True), (True, False), (False, True)])
def test_a_vjp_of_several_outputs_partly_used(used):
    x = Variable(np.array(0.5))
    square, exp = SplitRule()(x)
    loss = sum((y * y for y, use in zip((square, exp), used, strict=True) if use), start=0.0)
    (g,) = grad(loss, x, create_graph=True)
    (gg,) = grad(g, x)
    np.testing.assert_allclose(g.data, used[0] * 4 * 0.5**3 + used[1] * 2 * np.exp(1.0))
    np.testing.assert_allclose(gg.data, used[0] * 12 * 0.5**2 + used[1] * 4 * np.exp(1.0))


def with_vjp(result):
    class Ruled(Function):
        def forward(self, x, y):
            return x + y

        def vjp(self, gy, y, x0, x1):
            return result(gy)

    return Ruled()


@pytest.mark.parametrize("create_graph", [False, True])
@pytest.mark.parametrize(
    ("result", "kind", "message"),
    [
        (lambda g: g, RuntimeError, "1 gradients for 2 inputs"),
        (lambda g: (g, g, g), RuntimeError, "3 gradients for 2 inputs"),
        (lambda g: (g, g.reshape(3, 2)), ValueError, r"shape \(3, 2\)"),
        (lambda g: (g[:1, :1], g), ValueError, r"shape \(1, 1\)"),
        (lambda g: (g > 0, g), TypeError, "dtype bool"),
    ],
)
def test_wrong_gradients_of_a_vjp_are_named(result, kind, message, create_graph):
    x, y = Variable(np.ones((2, 3))), Variable(np.ones((2, 3)))
    with pytest.raises(kind, match=rf"Ruled\.vjp gave .*{message}"):
        with_vjp(result)(x, y).sum().backward(create_graph=create_graph)
    assert x.grad is None and y.grad is None


# ---- reentrancy -----------------------------------------------------------------------------------------------------


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
