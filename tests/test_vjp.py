"""Second derivatives through users' Functions: refused through backward, and right by vjp."""

import numpy as np
import pytest
from graphs import Add, Square, scalar

import nbgrad
from nbgrad import Function, Variable
from nbgrad.autograd import grad, gradcheck


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


class Cube(Function):
    """A rule in nbgrad's functions, hence with gradients of any order."""

    def forward(self, x):
        return x**3

    def vjp(self, gy, y, x):
        return gy * 3 * x * x


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
