"""HIPS autograd's names: what they give is what HIPS autograd gives, where its functions are NumPy's here."""

import numpy as np
import pytest
from peers import peer

import nbgrad
from nbgrad import Variable
from nbgrad.interop import autograd as ours
from nbgrad.interop.autograd import builtins, extend, misc, test_util
from nbgrad.interop.autograd.misc import optimizers
from nbgrad.interop.autograd.misc.flatten import flatten_func

X = np.array([0.3, -1.2, 2.0])
A = np.array([[1.0, 0.5, -0.3], [0.2, -1.0, 0.7]])


def theirs():
    return peer("autograd"), peer("autograd.numpy")


def energy(np):
    return lambda x, a: np.sum(np.tanh(np.dot(a, x)) ** 2) + np.prod(x)


def vector(np):
    return lambda x, a: np.tanh(np.dot(a, x)) * x[0]


def same(found, wanted):
    if isinstance(wanted, dict):
        assert found.keys() == wanted.keys()
        for key in wanted:
            same(found[key], wanted[key])
    elif isinstance(wanted, list | tuple):
        assert type(found) is type(wanted) and len(found) == len(wanted)
        for one, other in zip(found, wanted, strict=True):
            same(one, other)
    else:
        assert not isinstance(found, Variable)
        assert np.shape(found) == np.shape(wanted)
        np.testing.assert_allclose(found, wanted, rtol=1e-11, atol=1e-12)


OPERATORS = {
    "grad": lambda a, np: a.grad(energy(np))(X, A),
    "grad by two": lambda a, np: a.grad(energy(np), (0, 1))(X, A),
    "value_and_grad": lambda a, np: a.value_and_grad(energy(np), 1)(X, A),
    "elementwise_grad": lambda a, np: a.elementwise_grad(lambda x: np.sin(x) * x)(X),
    "elementwise_grad twice": lambda a, np: a.elementwise_grad(a.elementwise_grad(np.tanh))(X),
    "deriv": lambda a, np: a.deriv(np.tanh)(0.5),
    "jacobian": lambda a, np: a.jacobian(vector(np), 1)(X, A),
    "hessian": lambda a, np: a.hessian(energy(np))(X, A),
    "hessian of a vector": lambda a, np: a.hessian(vector(np))(X, A),
    "hessian_vector_product": lambda a, np: a.hessian_vector_product(energy(np))(X, A, X[::-1]),
    "hessian_tensor_product": lambda a, np: a.hessian_tensor_product(energy(np), 1)(X, A, A * A),
    "tensor_jacobian_product": lambda a, np: a.tensor_jacobian_product(vector(np))(X, A, A[:, 0]),
    "make_vjp": lambda a, np: a.make_vjp(vector(np))(X, A)[0](A[:, 0]),
    "make_vjp's value": lambda a, np: a.make_vjp(vector(np), 1)(X, A)[1],
    "make_jvp": lambda a, np: a.make_jvp(vector(np))(X, A)(X[::-1]),
    "make_hvp": lambda a, np: a.make_hvp(energy(np))(X, A)[0](X[::-1]),
    "make_ggnvp": lambda a, np: a.make_ggnvp(lambda x: np.dot(A, np.sin(x)))(X)(X[::-1]),
    "grad_and_aux": lambda a, np: a.grad_and_aux(lambda x: (np.sum(x**3), x + 1))(X),
    "grad_named": lambda a, np: a.grad_named(lambda x, w: np.sum(w * x**3), "w")(X, X),
    "nests": lambda a, np: a.grad(lambda p: np.sum(p["w"] * p["b"][0]) + p["b"][1] ** 2)({"w": X, "b": [X, 2.0]}),
    "checkpoint": lambda a, np: a.grad(lambda x: np.sum(a.checkpoint(lambda x: np.sin(x) * x)(x) ** 2))(X),
    "checkpoint twice": lambda a, np: a.hessian(lambda x: np.sum(a.checkpoint(lambda x: np.sin(x) * x)(x) ** 2))(X),
    "a number": lambda a, np: a.grad(a.grad(lambda x: np.exp(2.0 * x)))(0.5),
}


@pytest.mark.parametrize("name", OPERATORS)
def test_operators_are_those_of_autograd(name):
    same(OPERATORS[name](ours, np), OPERATORS[name](*theirs()))


@pytest.mark.parametrize("name", ["grad", "hessian", "make_jvp", "hessian_vector_product"])
def test_operators_are_compiled(name, kernels):
    calls = {
        "grad": ours.grad(energy(np)),
        "hessian": ours.hessian(energy(np)),
        "make_jvp": lambda x, a: ours.make_jvp(vector(np))(x, a)(x)[1],
        "hessian_vector_product": lambda x, a: ours.hessian_vector_product(energy(np))(x, a, x),
    }
    np.testing.assert_allclose(nbgrad.jit(calls[name])(X, A), calls[name](X, A), rtol=1e-11)


def test_all_of_autograds_names_are_there():
    autograd, _ = theirs()
    names = [name for name in vars(autograd) if callable(getattr(autograd, name)) and not name.startswith("_")]
    inside = {"dict", "isinstance", "list", "tuple", "type"}
    assert {name for name in names if not hasattr(ours, name)} - inside == set()
    assert all(getattr(builtins, name) is __builtins__[name] for name in inside)


def test_multigrad_dict_gives_gradients_by_name():
    found = ours.multigrad_dict(lambda x, w=2.0: np.sum(w * x**2))(X)
    same(found, {"x": 4 * X, "w": np.sum(X**2)})


def test_make_jvp_reversemode_and_vector_jacobian_product():
    same(ours.make_jvp_reversemode(vector(np))(X, A)(X), ours.make_jvp(vector(np))(X, A)(X)[1])
    assert ours.vector_jacobian_product is ours.tensor_jacobian_product


def test_derivatives_can_be_differentiated():
    def total(x):
        vjp, value = ours.make_vjp(lambda x: np.sin(x) * x)(x)
        return np.sum(vjp(value) ** 2)

    a, anp = theirs()

    def their_total(x):
        vjp, value = a.make_vjp(lambda x: anp.sin(x) * x)(x)
        return anp.sum(vjp(value) ** 2)

    same(ours.grad(total)(X), a.grad(their_total)(X))


# ---- rules of one's own ---------------------------------------------------------------------------------------------


def with_rules(extend, np, tangents):
    @extend.primitive
    def scaled(x, w, power=1):
        return np.exp(x) * w**power

    extend.defvjp(
        scaled,
        lambda y, x, w, power=1: lambda g: g * y,
        lambda y, x, w, power=1: lambda g: g * power * np.exp(x) * w ** (power - 1),
    )
    if tangents:
        extend.defjvp(
            scaled,
            lambda g, y, x, w, power=1: g * y,
            lambda g, y, x, w, power=1: g * power * np.exp(x) * w ** (power - 1),
        )
    return scaled


@pytest.mark.parametrize("tangents", [False, True])
def test_primitives(tangents):
    a, anp = theirs()
    mine, other = with_rules(extend, np, tangents), with_rules(peer("autograd.extend"), anp, tangents)
    w = np.array([0.5, 2.0, 3.0])

    def program(scaled, np):
        return lambda x, w: np.sum(scaled(x, w, power=2) * scaled(x, 3.0))

    for by in (0, 1):
        same(ours.grad(program(mine, np), by)(X, w), a.grad(program(other, anp), by)(X, w))
    same(ours.hessian(program(mine, np), 1)(X, w), a.hessian(program(other, anp), 1)(X, w))
    tangent = ours.make_jvp(program(mine, np), (0, 1))(X, w)((w, X))[1]
    np.testing.assert_allclose(
        tangent, sum(np.sum(ours.grad(program(mine, np), i)(X, w) * v) for i, v in enumerate((w, X)))
    )
    same(mine(X, w), np.exp(X) * w)


def test_rules_that_are_missing_or_none():
    @extend.primitive
    def product(x, n):
        return x * n

    extend.defvjp(product, None, lambda y, x, n: lambda g: g * x, argnums=[0, 1])
    np.testing.assert_array_equal(ours.grad(lambda x: np.sum(product(x, 3.0)))(X), 0)
    np.testing.assert_array_equal(ours.grad(lambda n: np.sum(product(X, n)))(2.0), np.sum(X))

    @extend.primitive
    def other(x):
        return x

    with pytest.raises(NotImplementedError, match=r"vjp of other by argument 0 is not defined: defvjp\(other, ...\)"):
        ours.grad(lambda x: np.sum(other(x)))(X)
    with pytest.raises(TypeError, match=r"defvjp: .* is no primitive: NumPy's functions have their rules"):
        extend.defvjp(np.sin, lambda y, x: lambda g: g)


# ---- what goes with it ----------------------------------------------------------------------------------------------


def test_flatten():
    nest = {"b": [np.arange(3.0), 2.0], "a": (np.ones((2, 2)),)}
    found, undo = misc.flatten(nest)
    expected, their_undo = peer("autograd.misc.flatten").flatten(nest)
    same(found, expected)
    same(undo(2 * found), their_undo(2 * expected))
    assert undo(found).keys() == nest.keys() and type(undo(found)["a"]) is tuple
    same(
        ours.grad(lambda p: np.sum(misc.flatten(p)[0] ** 2))(nest),
        {"b": [2 * nest["b"][0], 4.0], "a": (2 * np.ones((2, 2)),)},
    )
    function, _, start = flatten_func(lambda p: p["w"] ** 2, {"w": X})
    same(function(start), X**2)
    assert misc.flatten([])[0].shape == (0,)


@pytest.mark.parametrize("name", ["sgd", "rmsprop", "adam"])
def test_optimisers(name):
    start, seen = {"w": X, "b": 1.0}, []
    a, anp = theirs()

    def run(optimise, grad, np, callback=None):
        slope = grad(lambda p, i: np.sum((p["w"] - 1.0) ** 2) + np.cos(p["b"]) + 0.0 * i)
        return optimise(slope, start, callback, num_iters=7, step_size=0.1)

    found = run(getattr(optimizers, name), ours.grad, np, lambda x, i, g: seen.append((i, g["b"])))
    same(found, run(getattr(peer("autograd.misc.optimizers"), name), a.grad, anp))
    assert [i for i, _ in seen] == list(range(7))


def test_check_grads():
    test_util.check_grads(lambda x: np.sin(x) * x, modes=["rev"])(X)
    wrong = extend.primitive(lambda x: x**2)
    extend.defvjp(wrong, lambda y, x: lambda g: g * x)
    with pytest.raises(Exception, match="by backward"):
        test_util.check_grads(wrong, order=1)(X)


def test_bad_input():
    with pytest.raises(TypeError, match=r"grad: the function gave shapes \[\(3,\)\], not one element"):
        ours.grad(np.sin)(X)
    with pytest.raises(TypeError, match="holomorphic_grad: nbgrad has no complex dtypes"):
        ours.holomorphic_grad(np.sin)
    with pytest.raises(TypeError, match="jacobian: takes a function from one array to another"):
        ours.jacobian(lambda p: p[0])([X, X])
    with pytest.raises(ValueError, match=r"cotangent 0 has shape \(2,\) for shape \(3,\)"):
        ours.make_vjp(np.sin)(X)[0](np.ones(2))


def test_numpys_names_take_lists_of_variables():
    import nbgrad.interop.autograd.numpy.random as npr
    from nbgrad.interop.autograd.numpy.linalg import norm

    import nbgrad.interop.autograd.numpy as anp

    assert npr is np.random and norm is np.linalg.norm and anp.pi == np.pi and anp.exp is np.exp
    functions = [
        lambda np, x: np.array([x[0] * x[1], [x[1] ** 2, 3.0][0]]),
        lambda np, x: np.array([[x[0], 2.0], [x[1], x[0] * x[1]]]),
        lambda np, x: np.concatenate([[x[0] * x[1]], np.array([1.0, 2.0]), x]),
        lambda np, x: np.vstack([[x[0], x[1]], np.array([1.0, 2.0])]),
        lambda np, x: np.hstack([[x[0]], [x[1] ** 2]]),
    ]
    x = np.array([0.5, 1.5])
    for function in functions:
        found = nbgrad.interop.autograd.jacobian(lambda x, function=function: function(anp, x))(x)
        steps = 1e-6 * np.eye(2)
        wanted = np.stack([(function(np, x + step) - function(np, x - step)) / 2e-6 for step in steps], -1)
        np.testing.assert_allclose(found, wanted, rtol=1e-8, atol=1e-9)
    np.testing.assert_array_equal(anp.array([1, 2], dtype=np.float32), np.array([1, 2], np.float32))
    with pytest.raises(TypeError, match=r"np.array of a list of Variables with \['ndmin'\]"):
        anp.array([nbgrad.tensor(1.0)], ndmin=2)
