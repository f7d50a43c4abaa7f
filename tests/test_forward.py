"""Tangents along recorded graphs. Those of each operation are checked beside its gradients, in cases.check_tangents."""

import cases
import numpy as np
import pytest
from peers import peer

import nbgrad
from nbgrad import Variable
from nbgrad.forward import push


def constant(*values):
    return Variable(np.array(values), requires_grad=False)


def test_a_program_has_torchs_tangents():
    torch = peer("torch")
    random = np.random.default_rng(0)
    x, w, b = random.normal(size=(4, 3)), random.normal(size=(3, 5)), random.normal(size=5)
    tangents = [random.normal(size=a.shape) for a in (x, w, b)]

    def program(t, x, w, b):
        h = t.tanh(x @ w + b)
        return t.logsumexp(h, 1) * t.softmax(h, 1).sum(0)[:4] + t.cat([x, x * x], 1).amax(1)

    _, expected = torch.autograd.functional.jvp(
        lambda *xs: program(torch, *xs), tuple(map(torch.tensor, (x, w, b))), tuple(map(torch.tensor, tangents))
    )
    xs = [Variable(a) for a in (x, w, b)]
    (found,) = push([program(nbgrad, *xs)], xs, [Variable(t, requires_grad=False) for t in tangents])
    np.testing.assert_allclose(found.data, expected.numpy(), rtol=1e-12)
    assert not found.requires_grad


def test_tangents_are_recorded_where_that_is_asked_for():
    x = Variable(np.array([0.5, 2.0]))
    (t,) = push([nbgrad.exp(x) * x], [x], [constant(1.0, 1.0)], create_graph=True)
    (second,) = push([t], [x], [constant(1.0, 1.0)], create_graph=True)
    (third,) = nbgrad.autograd.grad(second.sum(), x)
    np.testing.assert_allclose(second.data, np.exp(x.data) * (x.data + 2), rtol=1e-14)
    np.testing.assert_allclose(third.data, np.exp(x.data) * (x.data + 3), rtol=1e-14)


def test_the_tangent_of_a_gradient_is_a_hessian_times_a_vector():
    x = Variable(np.array([0.5, 2.0, -1.0]))
    (gradient,) = nbgrad.autograd.grad((x[0] * x[1] ** 2 + nbgrad.sin(x[2]) * x[0]), x, create_graph=True)
    (found,) = push([gradient], [x], [constant(1.0, 10.0, 100.0)])
    hessian = np.array([[0, 4, np.cos(-1)], [4, 1, 0], [np.cos(-1), 0, -np.sin(-1) * 0.5]])
    np.testing.assert_allclose(found.data, hessian @ [1, 10, 100], rtol=1e-14)


def test_a_tangent_given_to_what_was_computed_adds_to_the_one_it_has():
    x = Variable(np.array(3.0))
    y = x * x
    z = y * x
    (t,) = push(
        [z], [x, y], [Variable(np.array(1.0), requires_grad=False), Variable(np.array(10.0), requires_grad=False)]
    )
    assert t.data == 27 + 10 * 3


def test_what_does_not_depend_on_an_input_has_none():
    x, z = Variable(np.array(3.0)), Variable(np.array(1.0))
    found = push([z * 2, x, x * z], [x], [Variable(np.array(5.0), requires_grad=False)])
    assert found[0] is None and found[1].data == 5 and found[2].data == 5


def test_a_linear_function_of_what_has_no_tangent_takes_it_for_zero():
    x, z = Variable(np.array([3.0, 4.0])), Variable(np.array([1.0]))
    (t,) = push([nbgrad.cat([z, x, z])], [x], [constant(5.0, 6.0)])
    assert t.data.tolist() == [0, 5, 6, 0]


def test_broadcasting_and_promotion():
    x, w = Variable(np.ones((3, 1), np.float32)), Variable(np.full(4, 2.0))
    t = Variable(np.arange(3, dtype=np.float32).reshape(3, 1), requires_grad=False)
    for y, factor in ((x + w, 1), (w - x, -1), (x * w, 2)):
        (found,) = push([y], [x], [t])
        assert (found.shape, found.dtype) == ((3, 4), np.float64)
        np.testing.assert_array_equal(found.data, np.broadcast_to(t.data * factor, (3, 4)))


class Cube(nbgrad.Function):
    """A rule in nbgrad's functions: tangents follow from it."""

    def forward(self, x):
        return x**3

    def vjp(self, gy, y, x):
        return gy * 3 * x * x


class SumAndProduct(nbgrad.Function):
    """Two outputs."""

    def forward(self, x, y):
        return x + y, x * y

    def vjp(self, gys, outputs, x, y):
        return gys[0] + gys[1] * y, gys[0] + gys[1] * x


class OnArrays(nbgrad.Function):
    """A rule on arrays."""

    def forward(self, x):
        return x**3

    def backward(self, gy):
        return gy * 3 * self.inputs[0].data ** 2


class WithTangent(OnArrays):
    """A rule on arrays, and one for tangents."""

    def jvp(self, tangents, y, x):
        return tangents[0] * 3 * x * x


def test_what_broadcasts_and_has_a_rule_for_cotangents_alone():
    x, degrees = Variable(np.array([[0.25], [-0.5]])), np.array([0, 1, 2, 3])
    y = nbgrad.special.chebyshev_polynomial_t(x, degrees)
    (found,) = push([y], [x], [constant([1.0], [10.0])])
    slopes = [np.polynomial.Chebyshev.basis(n).deriv()(x.data[:, 0]) for n in degrees]
    np.testing.assert_allclose(found.data, np.transpose(slopes) * [[1.0], [10.0]], rtol=1e-14)


@pytest.mark.parametrize("function", [Cube, WithTangent])
def test_functions_of_users(function):
    x = Variable(np.array([1.0, 2.0]))
    (t,) = push([function()(x) * x], [x], [constant(1.0, 10.0)])
    np.testing.assert_allclose(t.data, [4, 320], rtol=1e-14)


def test_functions_of_users_with_several_outputs():
    x, y = Variable(np.array([1.0, 2.0])), Variable(np.array([3.0, 5.0]))
    s, p = SumAndProduct()(x, y)
    found = push([s, p], [x, y], [constant(1.0, 1.0), constant(0.0, 10.0)])
    np.testing.assert_allclose([t.data for t in found], [[1, 11], [3, 25]])
    (only,) = push([p * 2], [x], [constant(1.0, 1.0)])
    np.testing.assert_allclose(only.data, [6, 10])
    cases.check_tangents(lambda a, b: SumAndProduct()(a, b)[1], [x, y])


def test_rules_on_arrays_are_refused_by_name():
    x = Variable(np.array([1.0, 2.0]))
    with pytest.raises(RuntimeError, match=r"through OnArrays.*: define OnArrays.jvp\(self, tangents, y, \*xs\)"):
        push([OnArrays()(x)], [x], [constant(1.0, 1.0)])


def test_bad_input():
    x = Variable(np.array([1.0, 2.0]))
    y = x * x
    with pytest.raises(ValueError, match=r"tangent 0 has shape \(1,\), its input \(2,\)"):
        push([y], [x], [constant(1.0)])
    with pytest.raises(TypeError, match="tangent 0 has dtype float32, its input float64"):
        push([y], [x], [Variable(np.ones(2, np.float32), requires_grad=False)])
    y.sum().backward()
    with pytest.raises(RuntimeError, match="was freed by an earlier backward"):
        push([y], [x], [constant(1.0, 1.0)])


def test_a_rule_that_is_wrong_is_seen():
    class Wrong(nbgrad.Function):
        def forward(self, x):
            return x * x

        def vjp(self, gy, y, x):
            return gy * 2 * x

        def jvp(self, tangents, y, x):
            return tangents[0] * 2.0001 * x

    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        cases.check_tangents(lambda x: Wrong()(x), [Variable(np.array([1.0, 2.0]))])
