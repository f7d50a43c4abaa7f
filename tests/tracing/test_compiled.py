"""The compiled function: what may be done with it, around it and inside of it, and donated arguments."""

import functools
import pickle
from collections import namedtuple
from copy import deepcopy

import numpy as np
import pytest
from workers import race

import nbgrad
from nbgrad import Variable

X = np.linspace(-1.5, 2.0, 12).reshape(3, 4)

# ---- the function ----------------------------------------------------------------------------------------------------


def test_static_arguments():
    calls = []

    def function(x, power, flag=True):
        calls.append(power)
        return x**power if flag else x

    compiled = nbgrad.jit(function, static_argnums=(1, 2))
    np.testing.assert_allclose(compiled(X, 3, True), X**3, rtol=1e-14)
    np.testing.assert_allclose(compiled(X, 2, False), X)
    np.testing.assert_allclose(compiled(X * 2, 3, True), (X * 2) ** 3, rtol=1e-14)
    assert calls == [3, 2]
    with pytest.raises(TypeError, match=r"static argument 1 of function is a list, which cannot be hashed"):
        compiled(X, [1], True)


def energy(x, w=2.0):
    return (nbgrad.tanh(x * w) ** 2).sum()


def test_transforms_inside():
    plain = nbgrad.value_and_grad(energy)
    value, gradient = nbgrad.jit(plain)(X)
    np.testing.assert_allclose(value, plain(X)[0], rtol=1e-14)
    np.testing.assert_allclose(gradient, plain(X)[1], rtol=1e-13)
    second = nbgrad.grad(lambda x: nbgrad.grad(energy)(x).sum())
    np.testing.assert_allclose(nbgrad.jit(second)(X), second(X), rtol=1e-12, atol=1e-15)


def test_backward_inside():
    @nbgrad.jit
    def step(w, x):
        leaf = Variable(w)
        ((x @ leaf) ** 2).sum().backward()
        return w - 0.1 * leaf.grad.data

    w = np.array([1.0, -2.0, 0.5, 0.0])
    np.testing.assert_allclose(step(w, X), w - 0.2 * X.T @ (X @ w), rtol=1e-12)


def test_a_training_step():
    def step(parameters, x, t):
        def loss(parameters):
            return ((nbgrad.tanh(x @ parameters["w"] + parameters["b"]) - t) ** 2).mean()

        names = sorted(parameters)
        value, slopes = nbgrad.value_and_grad(
            lambda *given: loss(dict(zip(names, given, strict=True))), tuple(range(len(names)))
        )(*(parameters[name] for name in names))
        return value, {name: parameters[name] - 0.1 * slope for name, slope in zip(names, slopes, strict=True)}

    compiled = nbgrad.jit(step)
    random = np.random.default_rng(0)
    x, t = random.normal(size=(20, 4)), random.normal(size=(20, 3))
    eager = fused = {"w": random.normal(size=(4, 3)), "b": np.zeros(3)}
    losses = []
    for _ in range(10):
        value, fused = compiled(fused, x, t)
        _, eager = step(eager, x, t)
        losses.append(float(value))
    np.testing.assert_allclose(fused["w"], eager["w"], rtol=1e-10)
    assert losses == sorted(losses, reverse=True)


def test_jit_inside_jit():
    inner = nbgrad.jit(energy)
    outer = nbgrad.jit(lambda x: inner(x) * 2 + inner(x * 2))
    np.testing.assert_allclose(outer(X), energy(X) * 2 + energy(X * 2), rtol=1e-14)


def test_an_error_in_the_function_leaves_no_trace():
    fail = [True]

    @nbgrad.jit
    def function(x):
        if fail[0]:
            raise RuntimeError("not now")
        return x * 2

    with pytest.raises(RuntimeError, match="not now"):
        function(X)
    fail[0] = False
    np.testing.assert_array_equal(function(X), X * 2)


def test_many_threads():
    compiled = nbgrad.jit(nbgrad.value_and_grad(lambda x: (nbgrad.softmax(x, -1) ** 2).sum()))
    inputs = [np.random.default_rng(i).normal(size=(40, 30)) for i in range(8)]
    expected = [nbgrad.value_and_grad(lambda x: (nbgrad.softmax(x, -1) ** 2).sum())(x)[1] for x in inputs]

    def work(number):
        for _ in range(30):
            np.testing.assert_allclose(compiled(inputs[number])[1], expected[number], rtol=1e-10, atol=1e-8)

    race(work, 8)


def test_methods():
    class Scaled:
        scale = 3.0

        @nbgrad.jit
        def __call__(self, x):
            return x * self.scale

        @nbgrad.jit
        def twice(self, x):
            return x * self.scale * 2

    np.testing.assert_allclose(Scaled().twice(X), X * 6)
    first, second = namedtuple("P", "a"), namedtuple("P", "b")
    found = nbgrad.jit(lambda x: (first(x), second(x * 2)))(X)
    assert type(found[0]) is first
    assert type(found[1]) is second


def test_a_function_keeps_a_limited_number_of_traces(monkeypatch):
    monkeypatch.setattr("nbgrad.tracing.compiled.MOST_TRACES", 4)
    traced = []
    compiled = nbgrad.jit(lambda x, static: traced.append(static) or x * 2, static_argnums=1)
    for value in [*range(6), 5, 4, 0]:
        compiled(X, value)
    assert traced == [*range(6), 0] and len(compiled._traces) == 4


class Doubling:
    @staticmethod
    @nbgrad.jit
    def of(x):
        return x * 2


@nbgrad.jit
def doubled(x):
    return x * 2


def tripled(x):
    return x * 3


def test_pickles_and_copies():
    partly = nbgrad.jit(functools.partial(np.multiply, 3))
    for compiled, factor in ((doubled, 2), (Doubling.of, 2), (nbgrad.jit(tripled), 3), (partly, 3)):
        compiled(X)  # what it was traced for is no part of it
        for again in (pickle.loads(pickle.dumps(compiled)), deepcopy(compiled)):
            np.testing.assert_array_equal(again(X), X * factor)
            assert again is compiled or (again.static, again.donate) == (compiled.static, compiled.donate)
    assert pickle.loads(pickle.dumps(doubled)) is doubled


# ---- donated arguments -----------------------------------------------------------------------------------------------


def test_donated_inputs_are_written_over():
    def step(state, slope):
        return {name: state[name] - 0.1 * slope for name in state}

    compiled = nbgrad.jit(step, donate_argnums=0)
    state, slope = {"a": X.copy(), "b": X * 2}, np.ones_like(X)
    expected = step(state, slope)
    given = dict(state)
    found = compiled(state, slope)
    for name in state:
        np.testing.assert_array_equal(found[name], expected[name])
    assert {id(found[name]) for name in state} == {id(array) for array in given.values()}
    np.testing.assert_array_equal(slope, 1)
    found = compiled(found, slope)
    np.testing.assert_allclose(found["a"], X - 0.2, rtol=1e-14)


@pytest.mark.parametrize("numbers", [2, -3, (2, 5)])
def test_arguments_that_are_not_given_are_not_donated(numbers):
    compiled = nbgrad.jit(lambda x, y, z=None: (x * 2, y * 3), donate_argnums=numbers)
    x, y = X.copy(), X.copy()
    compiled(x, y)
    np.testing.assert_array_equal([x, y], [X, X])


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x[::-1] * 2,
        lambda x: nbgrad.softmax(x, -1) + x,
        lambda x: (x * 2, x + 1, x),
        lambda x: x.T @ x + x.sum(),
        lambda x: x * x.sum(),
        lambda x: (x - x.mean(0)) * x,
        lambda x: x[:, :1] + x,
    ],
)
def test_a_donated_input_that_is_still_needed(function):
    x = np.random.default_rng(0).normal(size=(6, 6))
    plain = nbgrad.jit(function)(x.copy())
    donated = nbgrad.jit(function, donate_argnums=(0,))(x.copy())
    for a, b in zip(np.atleast_1d(plain), np.atleast_1d(donated), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-14)
    frozen = x.copy()
    frozen.flags.writeable = False
    for a, b in zip(np.atleast_1d(plain), np.atleast_1d(nbgrad.jit(function, donate_argnums=0)(frozen)), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-14)
    np.testing.assert_array_equal(frozen, x)


def test_a_donated_array_that_is_another_argument_too_stays_as_it_is():
    compiled = nbgrad.jit(lambda a, b: (a + 1, b.sum() + b[::-1]), donate_argnums=0)
    a = np.arange(4.0)
    for b in (a, a[:], np.arange(4.0)):
        first, second = compiled(a, b)
        assert (first == [1, 2, 3, 4]).all()
        assert (second == [9, 8, 7, 6]).all()
        a = np.arange(4.0)
