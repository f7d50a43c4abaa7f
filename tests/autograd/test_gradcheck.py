"""The checker, checked with rules that are wrong."""

import re

import numpy as np
import pytest

import nbgrad
from nbgrad import Function, Variable
from nbgrad.autograd import GradcheckError, gradcheck, gradgradcheck


def point(*values: float) -> Variable:
    return Variable(np.array(values))


class CubeArrays(Function):
    """x**3 with a backward on arrays that is off by a factor."""

    def __init__(self, factor=1.0, only=None):
        self.factor, self.only = factor, only

    def forward(self, x):
        return x**3

    def backward(self, gy):
        x = self.inputs[0].data
        gx = 3 * x**2 * gy
        if self.only is None:
            return gx * self.factor
        gx[self.only] *= self.factor
        return gx


class Cube(Function):
    """x**3 whose gradient is a Function too, so that errors can be put into one order alone."""

    def __init__(self, first=1.0, second=1.0):
        self.first, self.second = first, second

    def forward(self, x):
        return x**3

    def vjp(self, gy, y, x):
        gx = CubeGradient(self.first, self.second)(gy, x)
        return gx if isinstance(gy, Variable) else gx.data


class CubeGradient(Function):
    def __init__(self, first, second):
        self.first, self.second = first, second

    def forward(self, gy, x):
        return 3 * x**2 * gy * self.first

    def vjp(self, g, y, gy, x):
        return g * 3 * x * x * self.first, g * 6 * x * gy * self.first * self.second


X = (0.9, -1.4, 2.0)


@pytest.mark.parametrize("order", [1, 2])
def test_a_right_rule_passes(order):
    assert gradcheck(lambda x: Cube()(x), point(*X), order=order) is True
    assert gradcheck(lambda x: nbgrad.tanh(x) * nbgrad.exp(x), (point(*X),), order=order) is True


@pytest.mark.parametrize("factor", [1.0005, 0.9995, 0.0, -1.0])
def test_a_rule_wrong_by_a_twentieth_of_a_percent_is_caught(factor):
    with pytest.raises(GradcheckError, match=r"gradient of output 0 at \(2,\) by input 0 at \(2,\)"):
        gradcheck(lambda x: CubeArrays(factor)(x), point(*X))
    with pytest.raises(GradcheckError, match=r"gradient of output 0 at \(2,\) by input 0 at \(2,\)"):
        gradcheck(lambda x: Cube(first=factor)(x), point(*X), order=2)


def test_the_worst_element_is_named_with_both_values():
    # at the second element only, where 3 * x**2 = 5.88
    with pytest.raises(GradcheckError) as caught:
        gradcheck(lambda x: CubeArrays(1.01, only=1)(x), point(*X))
    message = str(caught.value)
    found = re.fullmatch(
        r"gradient of output 0 at \(1,\) by input 0 at \(1,\): \S*?([\d.]+)\S* by backward, "
        r"\S*?([\d.]+)\S* by central differences",
        message.replace("np.float64", ""),
    )
    assert found, message
    np.testing.assert_allclose(float(found[1]), 5.88 * 1.01, rtol=1e-9)
    np.testing.assert_allclose(float(found[2]), 5.88, rtol=1e-6)


def test_the_worst_of_several_inputs_and_outputs_is_named():
    def function(a, b):
        return a * b, CubeArrays(1.001)(a) + CubeArrays(1.01)(b)

    with pytest.raises(GradcheckError, match=r"output 1 at \(0, 1\) by input 1 at \(1,\)"):
        gradcheck(function, (Variable(np.full((1, 2), 2.0)), point(1.0, 2.0)))


@pytest.mark.parametrize("factor", [1.0005, 0.0])
def test_a_rule_wrong_in_second_order_alone_is_caught(factor):
    def function(x):
        return Cube(second=factor)(x)

    assert gradcheck(function, point(*X), order=1)
    with pytest.raises(GradcheckError, match=r"second derivative of output 0 .* by input 0"):
        gradcheck(function, point(*X), order=2)


def test_a_second_derivative_that_is_cut_off_is_caught():
    class CutOff(Function):
        """Right to first order; its recorded gradient forgets where it came from."""

        def forward(self, x):
            return x**3

        def vjp(self, gy, y, x):
            if isinstance(gy, Variable):
                return Variable(3 * x.data**2 * gy.data, requires_grad=False)
            return 3 * x**2 * gy

    assert gradcheck(lambda x: CutOff()(x), point(*X))
    with pytest.raises((GradcheckError, RuntimeError, ValueError), match=r"second|require"):
        gradcheck(lambda x: CutOff()(x), point(*X), order=2)


def test_a_second_derivative_cut_off_from_the_input_alone_is_caught():
    class Constant(Function):
        def forward(self, x):
            return x**3

        def vjp(self, gy, y, x):
            slope = x.data if isinstance(x, Variable) else x
            return gy * (3 * slope**2)

    assert gradcheck(lambda x: Constant()(x), point(*X))
    with pytest.raises(GradcheckError, match="second derivative"):
        gradcheck(lambda x: Constant()(x), point(*X), order=2)


def test_a_backward_on_arrays_has_no_second_order():
    assert gradcheck(lambda x: CubeArrays()(x), point(*X))
    with pytest.raises(RuntimeError, match=r"second derivative goes through CubeArrays\.backward"):
        gradcheck(lambda x: CubeArrays()(x), point(*X), order=2)


def test_a_missing_gradient_is_caught():
    class Forgetful(Function):
        def forward(self, x, y):
            return x * y

        def backward(self, gy):
            return gy * self.inputs[1].data, None

    with pytest.raises(GradcheckError, match="by input 1"):
        gradcheck(lambda x, y: Forgetful()(x, y), (point(*X), point(*X)))


def test_a_function_without_differentiable_output_is_refused():
    with pytest.raises((GradcheckError, ValueError, RuntimeError), match="require"):
        gradcheck(lambda x: x.detach() * 2, point(*X))


def test_nan_on_one_side_alone_is_caught():
    class Spoilt(Function):
        def forward(self, x):
            return x * 2

        def backward(self, gy):
            gx = 2 * gy
            gx[0] = np.nan
            return gx

    with pytest.raises(GradcheckError, match=r"at \(0,\): .*nan.* by backward"):
        gradcheck(lambda x: Spoilt()(x), point(*X))


def test_a_kink_is_no_match():
    with pytest.raises(GradcheckError, match="by central differences"):
        gradcheck(nbgrad.relu, point(0.0, 1.0))
    assert gradcheck(nbgrad.relu, point(-0.5, 1.0))


def test_tolerances():
    def function(x):
        return CubeArrays(1.01)(x)

    assert gradcheck(function, point(*X), rtol=0.02)
    assert gradcheck(function, point(*X), atol=0.2, rtol=0.0)
    with pytest.raises(GradcheckError):
        gradcheck(function, point(*X), atol=0.0, rtol=0.009)
    assert gradcheck(lambda x: nbgrad.exp(x), point(*X), eps=1e-4)


def test_inputs_that_cannot_be_checked():
    with pytest.raises(TypeError, match="no input requires a gradient"):
        gradcheck(nbgrad.tanh, nbgrad.ones(2))
    with pytest.raises(TypeError, match="input of dtype float32 requires a gradient: give float64"):
        gradcheck(nbgrad.tanh, Variable(np.ones(2, np.float32)))
    with pytest.raises(ValueError, match="order is 1 or 2, got 3"):
        gradcheck(nbgrad.tanh, point(*X), order=3)


def test_other_arguments_pass_through():
    def function(x, constant, power, whole):
        return (x * constant) ** power + x[whole]

    given = (point(*X), nbgrad.tensor([1.0, 2.0, 3.0]), 3, nbgrad.tensor([2, 1, 0]))
    assert gradcheck(function, given, order=2)


def test_the_callers_variables_are_left_alone():
    x = point(*X)
    seen = []
    x.register_hook(lambda g: seen.append(g))
    assert gradcheck(lambda v: (v * v).sum(), x, order=2)
    assert x.grad is None and seen == []
    np.testing.assert_array_equal(x.data, X)
    read_only = np.array(X)
    read_only.flags.writeable = False
    assert gradcheck(nbgrad.tanh, Variable(read_only))
    with nbgrad.no_grad():
        assert gradcheck(nbgrad.tanh, x)


@pytest.mark.parametrize("shape", [(), (0,), (2, 0), (1, 1), (2, 3)])
def test_every_shape(shape):
    x = Variable(np.linspace(0.3, 1.2, int(np.prod(shape))).reshape(shape))
    assert gradcheck(lambda v: (nbgrad.tanh(v), v.sum()), x, order=2)
    if x.size:
        with pytest.raises(GradcheckError):
            gradcheck(lambda v: CubeArrays(1.01)(v), x)


def test_gradgradcheck_looks_at_second_derivatives_alone():
    assert gradgradcheck(lambda x: Cube()(x), point(*X)) is True
    with pytest.raises(GradcheckError, match=r"second derivative of output 0 .* by input 0"):
        gradgradcheck(lambda x: Cube(second=1.0005)(x), point(*X))
    assert gradgradcheck(lambda x: Cube(second=1.0005)(x), point(*X), raise_exception=False) is False
    assert gradcheck(lambda x: Cube(first=0.5)(x), point(*X), raise_exception=False) is False


def test_gradgradcheck_takes_cotangents():
    def torn(x):  # right but at cotangents above 1
        class Torn(Function):
            def forward(self, x):
                return x**2

            def vjp(self, gy, y, x):
                return 2 * x * gy * nbgrad.where(gy > 1, 1.0 + 0.0 * gy, 1.0)

        return Torn()(x)

    assert gradgradcheck(torn, point(*X), [point(0.5, 0.25, -1.0)])
    with pytest.raises(ValueError, match="2 grad_outputs for 1 outputs"):
        gradgradcheck(torn, point(*X), [point(0.5), point(0.5)])
    with pytest.raises(TypeError, match="gradgradcheck: no input requires"):
        gradgradcheck(torn, point(*X).detach())
