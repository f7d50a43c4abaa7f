"""jvp, vjp, linearize and hvp, against torch.func and closed forms."""

from typing import Any, NamedTuple

import cases
import numpy as np
import pytest
from interpreter import interpret_loops
from peers import peer

import nbgrad
from nbgrad import Variable
from nbgrad.func import grad, hessian, hvp, jacfwd, jacrev, jvp, linearize, vjp, vmap

W, X = cases.draw(cases.ANY, (3, 2)), cases.draw(cases.ANY, (4, 3))


class Layer(NamedTuple):
    weight: Any
    bias: Any


def network(m, layer, x):
    """Two results, and a subexpression that both have."""
    h = m.tanh(x @ layer["weight"] + layer["bias"])
    return {"sum": (h * h).sum(), "all": h * x[:, :1]}


LAYER = {"weight": W, "bias": np.array([0.5, -1.0])}


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_products_agree_with_torch():
    torch = peer("torch")
    tangents = ({"weight": np.ones((3, 2)), "bias": np.array([1.0, 2.0])}, X[::-1].copy())
    as_torch = lambda nest: torch.utils._pytree.tree_map(torch.tensor, nest)  # noqa: E731
    value, tangent = jvp(lambda p, x: network(nbgrad, p, x), (LAYER, X), tangents)
    expected, wanted = torch.func.jvp(lambda p, x: network(torch, p, x), as_torch((LAYER, X)), as_torch(tangents))
    for found, other in ((value, expected), (tangent, wanted)):
        assert list(found) == ["sum", "all"]
        for name in found:
            assert type(found[name]) is np.ndarray
            np.testing.assert_allclose(found[name], other[name].numpy(), rtol=1e-12)
    value, back = vjp(lambda p, x: network(nbgrad, p, x), LAYER, X)
    expected, theirs = torch.func.vjp(lambda p, x: network(torch, p, x), *as_torch((LAYER, X)))
    cotangent = {"sum": np.array(2.0), "all": np.ones((4, 2))}
    for _ in range(2):  # the graph stays
        (by_layer, by_x), (layer, x) = back(cotangent), theirs(as_torch(cotangent))
        np.testing.assert_allclose(by_layer["weight"], layer["weight"].numpy(), rtol=1e-12)
        np.testing.assert_allclose(by_layer["bias"], layer["bias"].numpy(), rtol=1e-12)
        np.testing.assert_allclose(by_x, x.numpy(), rtol=1e-12)


def test_the_value_and_the_linear_function():
    value, forth = linearize(lambda p, x: network(nbgrad, p, x), LAYER, X)
    direction = {"weight": W * 2, "bias": np.zeros(2)}
    _, tangent = jvp(lambda p, x: network(nbgrad, p, x), (LAYER, X), (direction, X))
    np.testing.assert_allclose(forth(direction, X)["all"], tangent["all"], rtol=1e-14)
    np.testing.assert_allclose(value["sum"], (value["all"] ** 2 / X[:, :1] ** 2).sum())
    with pytest.raises(ValueError, match="linearize: 1 tangents of 2 arguments"):
        forth(direction)


def energy(x):
    return (nbgrad.tanh(x @ W) ** 2).sum() + x.prod()


def test_hessian_times_vector_all_ways():
    x, v = X[0], X[1]
    expected = hessian(energy)(x) @ v
    np.testing.assert_allclose(hvp(energy, x, v), expected, rtol=1e-12)
    np.testing.assert_allclose(hvp(energy, (x,), (v,))[0], expected, rtol=1e-12)
    np.testing.assert_allclose(jvp(grad(energy), (x,), (v,))[1], expected, rtol=1e-12)
    np.testing.assert_allclose(grad(lambda u: (grad(energy)(u) * v).sum())(x), expected, rtol=1e-12)
    np.testing.assert_allclose(grad(lambda u: jvp(energy, (u,), (v,))[1])(x), expected, rtol=1e-12)
    np.testing.assert_allclose(jacfwd(jacrev(energy))(x) @ v, expected, rtol=1e-12)
    np.testing.assert_allclose(jacrev(jacfwd(energy))(x) @ v, expected, rtol=1e-12)
    np.testing.assert_allclose(jacfwd(jacfwd(energy))(x) @ v, expected, rtol=1e-12)
    np.testing.assert_allclose(nbgrad.jit(lambda x, v: hvp(energy, x, v))(x, v), expected, rtol=1e-12)


@pytest.mark.parametrize("ways", ["ffff", "rrrr", "frfr", "rffr", "rrff"])
@pytest.mark.parametrize("name", ["sin", "exp", "tanh"])
def test_to_the_fourth_order(name, ways):
    x = 0.4
    t = np.tanh(x)
    closed = {"sin": np.sin(x), "exp": np.exp(x), "tanh": 8 * t * (1 - t * t) * (2 - 3 * t * t)}
    f = getattr(nbgrad, name)
    for way in ways:
        f = grad(f) if way == "r" else lambda x, f=f: jvp(f, (x,), (1.0,))[1]
    np.testing.assert_allclose(f(x), closed[name], rtol=1e-12)


def test_perturbations_are_not_confused():
    """d/dx (x * d/dy (x + y)) is 1, and d/dx (x * d/dy (x * y)) is 2x: whichever way, and at one place."""
    forth = lambda f, x: jvp(f, (x,), (1.0,))[1]  # noqa: E731
    for outer in (forth, lambda f, x: grad(f)(x)):
        for inner in (forth, lambda f, x: grad(f)(x)):
            assert outer(lambda x: x * inner(lambda y: x + y, 1.0), 1.0) == 1  # noqa: B023
            assert outer(lambda x: x * inner(lambda y: x * y, x), 3.0) == 6  # noqa: B023
            np.testing.assert_array_equal(
                vmap(lambda x: outer(lambda z: z * inner(lambda y: z * y * y, x), x))(np.array([1.0, 2.0])),  # noqa: B023
                [4.0, 16.0],
            )


def test_variables_in_variables_out():
    x = Variable(X[0].copy())
    value, tangent = jvp(lambda v: v**3, (x,), (np.ones(3),))
    assert isinstance(value, Variable) and isinstance(tangent, Variable)
    np.testing.assert_allclose(nbgrad.autograd.grad(tangent.sum(), x)[0].data, 6 * x.data)
    value, back = vjp(lambda v: v**3, x)
    (found,) = back(np.ones(3))
    np.testing.assert_allclose(nbgrad.autograd.grad(found.sum(), x)[0].data, 6 * x.data)
    assert isinstance(hvp(lambda v: (v**3).sum(), x, np.ones(3)), Variable)


def test_nests_are_matched_by_their_structure():
    """Tangents of a dict go by its keys, whatever their order, and named tuples are nests and no arguments."""

    class Pair(NamedTuple):
        a: object
        b: object

    f = lambda p: p["a"] ** 2 * p["b"]  # noqa: E731
    given, turned = {"a": 2.0, "b": 3.0}, {"b": 1.0, "a": 10.0}
    assert jvp(f, (given,), (turned,)) == (12, 124)
    assert vjp(lambda p: {"x": p["a"], "y": p["b"] * 2}, given)[1]({"y": 10.0, "x": 1.0}) == ({"a": 1, "b": 20},)
    found = hvp(lambda p: p.a**2 * p.b, Pair(2.0, 3.0), Pair(1.0, 10.0))
    assert found == Pair(46, 4)


def test_constants_and_what_does_not_depend():
    given = {"x": np.array(2.0), "n": 3, "name": "cube", "none": None, "places": np.array([0])}

    def f(p):
        assert p["name"] == "cube" and p["none"] is None and type(p["n"]) is int
        return p["x"] ** p["n"], None, 5.0

    value, back = vjp(f, given)
    assert value == (8.0, None, 5.0)
    assert back((1.0, None, 1.0)) == ({"x": 12.0, "n": None, "name": None, "none": None, "places": None},)
    value, tangent = jvp(f, (given,), ({**given, "x": 1.0},))
    assert tangent == (12.0, None, 0.0)
    assert jvp(lambda x: 3.0, (np.ones(2),), (np.ones(2),)) == (3.0, 0.0)
    assert grad(lambda x: (x * 2, {"y": x * 3, "text": "as it is"}), has_aux=True)(2.0) == (
        2,
        {"y": 6, "text": "as it is"},
    )
    (value, aux), slope = nbgrad.value_and_grad(lambda x: (x * x, x), has_aux=True)(3.0)
    assert (value, aux, slope) == (9, 3, 6)


def test_aux():
    value, tangent, aux = jvp(lambda x: (x * x, x + 1), (3.0,), (1.0,), has_aux=True)
    assert (value, tangent, aux) == (9, 6, 4)
    value, back, aux = vjp(lambda x: (x * x, x + 1), 3.0, has_aux=True)
    assert (value, back(1.0), aux) == (9, (6,), 4)
    for call in (lambda f: jvp(f, (1.0,), (1.0,), True), lambda f: grad(f, has_aux=True)(1.0)):
        with pytest.raises(TypeError, match=r"with has_aux it gives \(value, anything\)"):
            call(lambda x: x)


def test_tangents_at_once_fuse_under_jit():
    f = lambda x: (nbgrad.tanh(x * 2.0) * x).sum()  # noqa: E731
    both = nbgrad.jit(lambda x, t: jvp(f, (x,), (t,)))
    value, tangent = both(X, X * 0.5)
    np.testing.assert_allclose(value, f(X), rtol=1e-12)
    np.testing.assert_allclose(tangent, (grad(f)(X) * X * 0.5).sum(), rtol=1e-12)
    assert both.explain(X, X * 0.5).count("loop over") == 1


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: jvp(nbgrad.sin, (np.ones(2),), (np.ones(3),)),
            ValueError,
            r"jvp: tangent 0 has shape \(3,\) for shape",
        ),
        (lambda: jvp(lambda p: p["a"], ({"a": 1.0},), ({"b": 1.0},)), ValueError, "the tangents are a nest of another"),
        (lambda: hvp(lambda p: p["a"], {"a": 1.0}, [1.0]), ValueError, "hvp: the tangents are a nest of another"),
        (lambda: vjp(lambda x: {"a": x}, 1.0)[1]([1.0]), ValueError, "vjp: the cotangents are a nest of another"),
        (
            lambda: jacrev(lambda x: x, (0, 0))(1.0),
            ValueError,
            r"jacrev: argnums \(0, 0\) names an argument of .* twice",
        ),
        (lambda: jacrev(lambda x: x, 3)(1.0), TypeError, "jacrev: .* was called without a positional argument 3"),
        (lambda: jvp(nbgrad.sin, (np.ones(2),), ()), ValueError, "jvp: 0 tangents of 1 arguments"),
        (lambda: jvp(nbgrad.sin, (), ()), TypeError, "jvp: no arguments"),
        (lambda: jvp(nbgrad.sin, (3,), (1,)), TypeError, "argument 0 of sin holds no float32 or float64"),
        (lambda: jvp(lambda x: "text", (1.0,), (1.0,)), TypeError, "jvp: .* gave a str: results are"),
        (lambda: jvp(nbgrad.sin, (1.0,), ("t",)), TypeError, "jvp: tangent 0|cannot take part"),
        (
            lambda: vjp(nbgrad.sin, np.ones(2))[1](np.ones(1)),
            ValueError,
            r"vjp: cotangent 0 has shape \(1,\) for shape",
        ),
        (lambda: vjp(nbgrad.sin, np.ones(2))[1]([1, 2]), ValueError, "vjp: 2 cotangents of 1 results"),
        (lambda: hvp(nbgrad.sin, np.ones(2), np.ones(2)), TypeError, r"hvp: the function gave shapes \[\(2,\)\]"),
        (lambda: hvp(lambda x: x.sum(), np.ones(2), np.ones(3)), ValueError, "hvp: vector 0 has shape"),
    ],
)
def test_bad_input(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_training_by_gradients_of_gradients_compiled(monkeypatch):
    """MAML, for several tasks at once, and matching of forces: under jit as without it."""
    interpret_loops(monkeypatch)
    p, tasks = {"w": W, "b": W[0]}, np.stack([X, X[::-1] * 2])

    def loss(p, x):
        return ((nbgrad.tanh(x @ p["w"] + p["b"]) - x[:, :2]) ** 2).mean()

    def adapted(p, x):
        for _ in range(2):
            slopes = grad(loss)(p, x)
            p = {name: p[name] - 0.1 * slopes[name] for name in p}
        return loss(p, x[::-1])

    def energy(p, x):
        apart = x[:, None] - x[None]
        return (p["b"][0] * nbgrad.exp(-(apart * apart).sum(-1) * p["b"][1])).sum()

    def forces(p):
        return ((grad(lambda x: energy(p, x))(X) - X[::-1]) ** 2).mean()

    each = [grad(adapted)(p, x) for x in tasks]
    of_all = grad(lambda p: vmap(lambda x: adapted(p, x))(tasks).mean())
    for name in p:
        np.testing.assert_allclose(of_all(p)[name], (each[0][name] + each[1][name]) / 2, rtol=1e-10)
        np.testing.assert_allclose(nbgrad.jit(of_all)(p)[name], of_all(p)[name], rtol=1e-10)
    found, step = grad(forces)(p)["b"], 1e-6
    np.testing.assert_allclose(nbgrad.jit(grad(forces))(p)["b"], found, rtol=1e-10)
    ends = [forces({"b": p["b"] + sign * step * np.array([0.0, 1.0])}) for sign in (1, -1)]
    np.testing.assert_allclose(found[1], (ends[0] - ends[1]) / (2 * step), rtol=1e-7)
