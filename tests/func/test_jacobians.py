"""Jacobians and Hessians, against torch and JAX, whichever way."""

import cases
import numpy as np
import pytest
from peers import peer

import nbgrad
from nbgrad import Variable
from nbgrad.func import grad, hessian, jacfwd, jacobian, jacrev, vmap

#: What torch says of itself.
pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")

A, B = cases.draw(cases.ANY, (4, 3)), cases.draw(cases.ANY, (3,))
ALL = [jacfwd, jacrev, jacobian]


def rosenbrock(x):
    return (100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2).sum()


def recurrent(m):
    def f(h):
        for i in range(50):
            h = m.tanh(h * 0.9 + 0.1 * i)
        return h

    return f


@pytest.mark.parametrize("transform", ALL)
def test_of_several_arguments_and_results(transform):
    torch = peer("torch")

    def f(m, a, b):
        h = m.tanh(a @ b)
        return {"h": h, "all": (h.sum(), a * b)}

    found = transform(lambda a, b: f(nbgrad, a, b), (0, 1))(A, B)
    expected = torch.func.jacrev(lambda a, b: f(torch, a, b), (0, 1))(torch.tensor(A), torch.tensor(B))
    for mine, theirs in (
        (found["h"], expected["h"]),
        (found["all"][0], expected["all"][0]),
        (found["all"][1], expected["all"][1]),
    ):
        assert type(mine) is tuple
        for x, y in zip(mine, theirs, strict=True):
            assert x.shape == tuple(y.shape)
            np.testing.assert_allclose(x, y.numpy(), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("transform", ALL)
def test_an_rnn_and_softmax_regression(transform):
    torch = peer("torch")
    found = transform(recurrent(nbgrad))(B)
    expected = torch.func.jacrev(recurrent(torch))(torch.tensor(B))
    np.testing.assert_allclose(found, expected.numpy(), rtol=1e-10, atol=1e-14)
    f = lambda m, x: lambda w: -m.log(m.softmax(x @ w, -1)[:, 0])  # noqa: E731
    w = cases.draw(cases.ANY, (3, 2))
    found = transform(f(nbgrad, A))(w)
    np.testing.assert_allclose(found, torch.func.jacrev(f(torch, torch.tensor(A)))(torch.tensor(w)).numpy(), rtol=1e-10)


def test_a_cholesky_likelihood_has_jaxs_hessian():
    jax = peer("jax")
    jax.config.update("jax_enable_x64", True)
    y = np.array([0.3, -0.2, 1.0])

    def f(m, solve, s):
        k = m.exp(-((s[:, None] - s[None, :]) ** 2)) + np.eye(3)
        factor = m.linalg.cholesky(k)
        z = solve(factor, y[:, None])
        return (z * z).sum() / 2 + m.log(m.linalg.diagonal(factor)).sum()

    found = hessian(lambda s: f(np, np.linalg.solve, s))(B)
    expected = jax.hessian(lambda s: f(jax.numpy, jax.numpy.linalg.solve, s))(B)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-10)


def test_the_hessian_of_the_rosenbrock_function():
    torch = peer("torch")
    x = np.linspace(-1, 1, 10)
    found = hessian(rosenbrock)(x)
    np.testing.assert_allclose(found, torch.func.hessian(rosenbrock)(torch.tensor(x)).numpy(), rtol=1e-11, atol=1e-12)
    np.testing.assert_array_equal(found, found.T)
    for outer in (jacfwd, jacrev):
        for inner in (jacfwd, jacrev, grad):
            np.testing.assert_allclose(outer(inner(rosenbrock))(x), found, rtol=1e-11, atol=1e-11)
    np.testing.assert_allclose(nbgrad.jit(hessian(rosenbrock))(x), found, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(vmap(hessian(rosenbrock))(np.stack([x, x * 2]))[0], found, rtol=1e-12)


def test_hessians_by_nests_have_blocks():
    found = hessian(lambda p: (p["a"] ** 2).sum() * p["b"])({"a": B, "b": np.array(2.0)})
    np.testing.assert_allclose(found["a"]["a"], 4 * np.eye(3))
    np.testing.assert_allclose(found["a"]["b"], 2 * B)
    np.testing.assert_allclose(found["b"]["a"], 2 * B)
    assert found["b"]["b"] == 0
    by_both = hessian(lambda a, b: a * a * b, (0, 1))(3.0, 2.0)
    assert by_both == ((4, 6), (6, 0))


@pytest.mark.parametrize("transform", ALL)
@pytest.mark.parametrize("chunk_size", [1, 2, 100])
def test_chunks(transform, chunk_size):
    f = lambda x: nbgrad.tanh(x @ A.T)  # noqa: E731
    np.testing.assert_array_equal(transform(f, chunk_size=chunk_size)(B), transform(f)(B))
    np.testing.assert_array_equal(
        hessian(lambda x: f(x).prod(), chunk_size=chunk_size)(B), hessian(lambda x: f(x).prod())(B)
    )


def test_the_shorter_way_is_taken():
    walks = []
    for shape, way in (((1, 5), "Forth"), ((5, 1), "Back")):

        class Noted(nbgrad.Function):
            batches = True

            def forward(self, x, shape=shape):
                return np.ones(shape[1]) * x.sum()

            def vjp(self, gy, y, x, shape=shape):
                walks.append("Back")
                return nbgrad.sum(gy) * np.ones(shape[0])

            def jvp(self, tangents, y, x, shape=shape):
                walks.append("Forth")
                return nbgrad.sum(tangents[0]) * np.ones(shape[1])

        walks.clear()
        found = jacobian(lambda x: Noted()(x))(np.ones(shape[0]))
        np.testing.assert_array_equal(found, np.ones(shape[::-1]))
        assert walks == [way]


def test_no_walk_is_repeated_for_rows():
    calls = []

    class Counted(nbgrad.Function):
        batches = True

        def forward(self, x):
            return x * 2

        def backward(self, gy):
            calls.append(gy.shape)
            return gy * 2

    np.testing.assert_array_equal(jacrev(lambda x: Counted()(x))(B), 2 * np.eye(3))
    assert calls == [(3,)]
    np.testing.assert_array_equal(nbgrad.autograd.functional.jacobian(lambda x: Counted()(x), B), 2 * np.eye(3))
    assert calls == [(3,)] * 2


def test_functions_of_users_go_one_by_one():
    class Cube(nbgrad.Function):
        """Written for one array: it asks for elements."""

        def forward(self, x):
            assert type(x) is np.ndarray and float(x.max()) < 10
            self.square = x * x
            return self.square * x

        def backward(self, gy):
            return 3 * self.square * gy

    expected = np.diag(3 * B**2)
    np.testing.assert_allclose(jacrev(lambda x: Cube()(x))(B), expected)
    np.testing.assert_allclose(vmap(lambda x: Cube()(x))(nbgrad.tensor(A)).data, A**3)
    np.testing.assert_allclose(vmap(grad(lambda x: Cube()(x).sum()))(A), 3 * A**2)
    weights = Variable(A.copy())
    vmap(lambda x: Cube()(x))(weights).sum().backward()
    np.testing.assert_allclose(weights.grad.data, 3 * A**2)
    assert vmap(lambda x: Cube()(x)).explain(nbgrad.tensor(A)) == "<lambda>: one by one are computed\n    Cube"


def test_a_compiled_function_inside():
    f = nbgrad.jit(lambda x: nbgrad.tanh(x) * x.sum())
    plain = lambda x: nbgrad.tanh(x) * x.sum()  # noqa: E731
    for transform in ALL:
        np.testing.assert_allclose(transform(f)(B), jacrev(plain)(B), rtol=1e-12)
    np.testing.assert_allclose(hessian(lambda x: f(x).sum())(B), hessian(lambda x: plain(x).sum())(B), rtol=1e-12)
    np.testing.assert_allclose(vmap(grad(lambda x: f(x).sum()))(A), vmap(grad(lambda x: plain(x).sum()))(A), rtol=1e-12)
    np.testing.assert_allclose(nbgrad.jit(jacrev(f))(B), jacrev(plain)(B), rtol=1e-12)


def test_aux_and_variables():
    found, aux = jacrev(lambda x: (x * x, x.sum()), has_aux=True)(B)
    np.testing.assert_array_equal(found, np.diag(2 * B))
    assert aux == B.sum()
    x = Variable(B.copy())
    found = jacfwd(lambda v: v**3)(x)
    assert isinstance(found, Variable)
    np.testing.assert_allclose(nbgrad.autograd.grad(found.sum(), x)[0].data, 6 * B)


def test_constant_and_empty():
    for transform in ALL:
        np.testing.assert_array_equal(transform(lambda x: np.ones(2))(B), np.zeros((2, 3)))
        assert transform(lambda x: x[:0])(B).shape == (0, 3)
        assert transform(lambda x: x.sum())(np.zeros(0)).shape == (0,)
    assert hessian(lambda x: 3.0)(B).shape == (3, 3)


def test_bad_input():
    with pytest.raises(TypeError, match=r"hessian: the function gave shapes \[\(3,\)\], not one element"):
        hessian(lambda x: x * x)(B)
    with pytest.raises(ValueError, match="chunk_size is 0: give a positive whole number"):
        jacrev(lambda x: x, chunk_size=0)(B)
    with pytest.raises(TypeError, match=r"jacrev: argument 0 of .* holds no float32 or float64"):
        jacrev(lambda x: x)(np.arange(3))
    with pytest.raises(TypeError, match=r"jacfwd: .* gave a str"):
        jacfwd(lambda x: "text")(B)
