"""The compiled function: signatures, structures, refusals, threads, and looking inside."""

import dataclasses
import functools
import gc
import os
import pickle
from collections import namedtuple
from copy import deepcopy

import numpy as np
import pytest
from helpers import usually
from workers import race, run_python

import nbgrad
from nbgrad import Variable
from nbgrad.kernels.cpu import ndarray
from nbgrad.tracing import trace

recognised_at_once = pytest.mark.skipif(not ndarray.layout_holds(), reason="arrays cannot be read by their layout here")

X = np.linspace(-1.5, 2.0, 12).reshape(3, 4)


def energy(x, w=2.0):
    return (nbgrad.tanh(x * w) ** 2).sum()


# ---- what goes in and comes out -------------------------------------------------------------------------------------


def test_the_kinds_that_go_in_come_out():
    compiled = nbgrad.jit(lambda x: x * 2)
    assert isinstance(compiled(X), np.ndarray)
    assert isinstance(compiled(Variable(X)), Variable)
    with nbgrad.no_grad():
        assert not compiled(Variable(X)).requires_grad
    np.testing.assert_array_equal(compiled(3.0), 6.0)


Pair = namedtuple("Pair", "first second")


def test_structures():
    def function(state, extra):
        return {
            "sum": state["a"] + state["b"][0],
            "rest": [state["b"][1] * extra, (extra, 5, None)],
            "pair": Pair(1, extra),
        }

    state = {"a": X, "b": (X * 2, Variable(X, requires_grad=False))}
    found = nbgrad.jit(function)(state, 3.0)
    assert list(found) == ["sum", "rest", "pair"]
    np.testing.assert_array_equal(found["sum"], X * 3)
    assert isinstance(found["rest"][0], Variable)
    np.testing.assert_array_equal(found["rest"][0].data, X * 3)
    assert found["rest"][1][1:] == (5, None)
    assert type(found["pair"]) is Pair
    assert found["pair"].second == 3.0


def test_keyword_arguments_and_defaults():
    compiled = nbgrad.jit(energy)
    np.testing.assert_allclose(compiled(X, w=0.5), energy(X, 0.5), rtol=1e-14)
    np.testing.assert_allclose(compiled(X), energy(X), rtol=1e-14)


def test_a_python_number_takes_the_dtype_it_meets():
    compiled = nbgrad.jit(lambda x, s: x * s)
    assert compiled(X.astype("float32"), 2.0).dtype == np.float32
    assert compiled(X.astype("float32"), np.array(2.0)).dtype == np.float64


def test_other_shapes_and_dtypes_are_traced_anew():
    traced = []

    @nbgrad.jit
    def function(x):
        traced.append((x.shape, x.dtype))
        return (x * x).sum()

    for x in (X, X[0], X.astype("float32"), X, X + 1):
        np.testing.assert_allclose(function(x), (x * x).sum(), rtol=1e-6)
    assert traced == [((3, 4), np.float64), ((4,), np.float64), ((3, 4), np.float32)]


def test_another_size_compiles_nothing():
    from nbgrad.kernels.cpu import codegen

    def function(x):
        return (nbgrad.softmax(x, -1) * nbgrad.sin(x)).mean()

    compiled = nbgrad.jit(nbgrad.value_and_grad(function))
    compiled(X)
    arrays = [np.random.default_rng(0).normal(size=shape) for shape in ((5, 7), (2, 100), (300, 300))]
    expected = [nbgrad.value_and_grad(function)(x) for x in arrays]
    known = set(codegen._addresses)
    for x, (wanted, slope) in zip(arrays, expected, strict=True):
        value, gradient = compiled(x)
        np.testing.assert_allclose(value, wanted, rtol=1e-12)
        np.testing.assert_allclose(gradient, slope, rtol=1e-10, atol=1e-16)
    assert set(codegen._addresses) == known


def test_layouts_that_are_not_contiguous():
    compiled = nbgrad.jit(lambda x: nbgrad.exp(x) * 2)
    for x in (X.T, X[:, ::2], X[::-1], np.broadcast_to(X[0], (2, 4)), X.astype(">f8")):
        np.testing.assert_allclose(compiled(x), np.exp(x) * 2, rtol=1e-14)


def test_results_are_arrays_of_their_own():
    @nbgrad.jit
    def function(x):
        y = x * 2
        return x, y, y, y.reshape(-1), y[1]

    x = X.copy()
    first = function(x)
    copies = [array.copy() for array in first]
    second = function(x + 1)
    for array, copy in zip(first, copies, strict=True):
        np.testing.assert_array_equal(array, copy)
    everything = [*first, *second, x]
    for i, array in enumerate(everything):
        assert not any(np.shares_memory(array, other) for other in everything[:i])


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


def test_strings_and_other_values_are_static():
    compiled = nbgrad.jit(lambda x, how: x.sum() if how == "sum" else x.mean())
    np.testing.assert_allclose(compiled(X, "sum"), X.sum())
    np.testing.assert_allclose(compiled(X, "mean"), X.mean())


# ---- transforms and the graph ---------------------------------------------------------------------------------------


def test_transforms_inside():
    plain = nbgrad.value_and_grad(energy)
    value, gradient = nbgrad.jit(plain)(X)
    np.testing.assert_allclose(value, plain(X)[0], rtol=1e-14)
    np.testing.assert_allclose(gradient, plain(X)[1], rtol=1e-13)
    second = nbgrad.grad(lambda x: nbgrad.grad(energy)(x).sum())
    np.testing.assert_allclose(nbgrad.jit(second)(X), second(X), rtol=1e-12, atol=1e-15)


def test_transforms_outside():
    compiled = nbgrad.jit(energy)
    np.testing.assert_allclose(nbgrad.grad(compiled)(X), nbgrad.grad(energy)(X), rtol=1e-13)
    twice = nbgrad.grad(lambda x: nbgrad.grad(compiled)(x).sum())(X)
    np.testing.assert_allclose(twice, nbgrad.grad(lambda x: nbgrad.grad(energy)(x).sum())(X), rtol=1e-12, atol=1e-15)


def test_one_function_in_the_graph():
    x, w = Variable(X), Variable(np.array(0.5))
    y = nbgrad.jit(energy)(nbgrad.exp(x), w) * 2
    y.backward()
    a, b = Variable(X), Variable(np.array(0.5))
    (energy(nbgrad.exp(a), b) * 2).backward()
    np.testing.assert_allclose(x.grad.data, a.grad.data, rtol=1e-12)
    np.testing.assert_allclose(w.grad.data, b.grad.data, rtol=1e-12)
    functions = [y.creator, y.creator.inputs[0].creator if y.creator.inputs else None]
    assert type(functions[0]).__name__ == "mul"


def test_several_results_and_inputs_without_gradient():
    @nbgrad.jit
    def function(x, index):
        return x * 2, (x * index).sum(), index + 1

    x, index = Variable(X), Variable(np.arange(4))
    first, second, third = function(x, index)
    assert not third.requires_grad
    (first.sum() + second).backward()
    np.testing.assert_allclose(x.grad.data, np.broadcast_to(2 + np.arange(4.0), X.shape))
    x.cleargrad()
    function(x, index)[1].backward()
    np.testing.assert_allclose(x.grad.data, np.broadcast_to(np.arange(4.0), X.shape))


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


# ---- refusals -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("function", "what"),
    [
        (lambda x: x if x.sum() > 0 else -x, "a branch"),
        (lambda x: float(x.sum()) * x, r"float\(\)"),
        (lambda x: int(x.sum()) * x, r"int\(\)"),
        (lambda x: np.asarray(x) * 2, "conversion to an array"),
        (lambda x: x * x.sum().item(), r"item\(\)"),
        (lambda x: [1, 2][x.astype("int64")[0, 0]], "index|item"),
    ],
)
@pytest.mark.parametrize("wrap", [np.array, Variable], ids=["array", "Variable"])
def test_elements_of_traced_arrays_are_refused(function, what, wrap):
    if wrap is Variable and what == "conversion to an array":
        with pytest.raises(RuntimeError, match="losing the gradient unseen"):
            nbgrad.jit(function)(wrap(X))
        return
    with pytest.raises(TypeError, match=f"({what}).*test_compiled.py") as caught:
        nbgrad.jit(function)(wrap(X))
    assert "nbgrad.where" in str(caught.value)


def test_changes_in_place_are_refused():
    def function(x):
        x[0] = 1
        return x

    with pytest.raises(TypeError, match=r"changed in place at .*test_compiled.py"):
        nbgrad.jit(function)(X)


def test_what_left_its_function_is_refused():
    kept = []

    @nbgrad.jit
    def function(x):
        kept.append(x * 2)
        return x.sum()

    function(X)
    with pytest.raises(TypeError, match="left its function"):
        nbgrad.jit(lambda x: x + kept[0])(X)
    assert "traced array of shape (3, 4)" in repr(kept[0])
    np.testing.assert_allclose(function(X + 1), (X + 1).sum())  # and all is well


@pytest.mark.parametrize("argument", [np.array(["a"]), np.ones(2, complex)])
def test_dtypes_without_kernels_are_refused(argument):
    with pytest.raises(TypeError, match="has dtype"):
        nbgrad.jit(lambda x: x)(argument)


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


# ---- constants ------------------------------------------------------------------------------------------------------


def test_arrays_from_outside_are_read_where_they_are():
    scale = np.array([1.0, 2.0, 3.0, 4.0])
    compiled = nbgrad.jit(lambda x: x * scale)
    np.testing.assert_array_equal(compiled(X), X * scale)
    scale *= 2
    np.testing.assert_array_equal(compiled(X), X * scale)


def test_results_that_depend_on_nothing():
    one, two = nbgrad.jit(lambda x: (np.ones(3), 2 * np.ones(())))(X)
    np.testing.assert_array_equal(one, np.ones(3))
    np.testing.assert_array_equal(two, 2)


# ---- the machinery --------------------------------------------------------------------------------------------------


def test_many_threads():
    compiled = nbgrad.jit(nbgrad.value_and_grad(lambda x: (nbgrad.softmax(x, -1) ** 2).sum()))
    inputs = [np.random.default_rng(i).normal(size=(40, 30)) for i in range(8)]
    expected = [nbgrad.value_and_grad(lambda x: (nbgrad.softmax(x, -1) ** 2).sum())(x)[1] for x in inputs]

    def work(number):
        for _ in range(30):
            np.testing.assert_allclose(compiled(inputs[number])[1], expected[number], rtol=1e-10, atol=1e-8)

    race(work, 8)


def test_threads_change_nothing():
    x = np.random.default_rng(0).normal(size=3_000_000).astype("float32")
    compiled = nbgrad.jit(lambda x: (nbgrad.exp(-x * x) * nbgrad.sin(x)).sum())
    before = nbgrad.get_num_threads()
    try:
        results = set()
        for count in (1, 2, 3, 7):
            nbgrad.set_num_threads(count)
            results.add(float(compiled(x)))
    finally:
        nbgrad.set_num_threads(before)
    assert len(results) == 1
    np.testing.assert_allclose(
        results.pop(), np.sum(np.exp(-(x.astype(float) ** 2)) * np.sin(x.astype(float))), rtol=1e-5
    )


@pytest.mark.parametrize("repeats", usually([60, 90, 130], 60))
def test_many_arrays_in_one_loop(repeats):
    """Going back, nearly every value of a long chain is read again."""

    def function(x):
        y = x
        for i in range(repeats):
            y = y * x + i % 7 * 0.1
        return y.sum()

    for x in (np.array(0.9), np.linspace(0.5, 0.9, 5)):
        value, gradient = nbgrad.jit(nbgrad.value_and_grad(function))(x)
        wanted, slope = nbgrad.value_and_grad(function)(x)
        np.testing.assert_allclose(value, wanted, rtol=1e-12)
        np.testing.assert_allclose(gradient, slope, rtol=1e-11)


def test_many_inputs_and_results():
    xs = [np.full(3, float(i)) for i in range(150)]
    found = nbgrad.jit(lambda xs: [x * 2 + xs[0] for x in xs])(xs)
    for x, y in zip(xs, found, strict=True):
        np.testing.assert_array_equal(y, x * 2)


def test_a_long_program():
    def function(x):
        for i in range(700):
            x = x * 0.99 + (i % 7)
        return x.sum()

    compiled = nbgrad.jit(nbgrad.value_and_grad(function))
    value, gradient = compiled(X)
    wanted, slope = nbgrad.value_and_grad(function)(X)
    np.testing.assert_allclose(value, wanted, rtol=1e-12)
    np.testing.assert_allclose(gradient, slope, rtol=1e-12)


def test_looking_inside():
    compiled = nbgrad.jit(nbgrad.value_and_grad(lambda x, w: (nbgrad.tanh(x @ w) ** 2).sum(), (0, 1)))
    w = np.ones((4, 2))
    text = compiled.explain(X, w)
    assert "dot" in text
    assert "tanh" in text
    assert "fold_add" in text
    source = compiled.source(X, w)
    assert "def loop(args, dims, steps, data):" in source
    assert "def run(x0, x1):" in source


def test_equal_expressions_are_computed_once():
    compiled = nbgrad.jit(lambda x: nbgrad.exp(x) + nbgrad.exp(x) * 2)
    assert compiled.source(X).count("exp_float64") == 1


def test_what_nobody_wants_is_not_computed():
    def function(x):
        nbgrad.exp(x)
        return x * 2

    assert "exp_" not in nbgrad.jit(function).source(X)


# ---- found by attack ------------------------------------------------------------------------------------------------


def test_variables_that_are_not_contiguous():
    x = Variable(np.arange(6.0).reshape(2, 3)).T
    y = nbgrad.jit(lambda a: a * 1)(x)
    np.testing.assert_array_equal(y.data, x.data)
    stretched = Variable(np.broadcast_to(np.array(2.0), (1000,)))
    np.testing.assert_array_equal(nbgrad.jit(lambda a: a * 1)(stretched).data, 2.0)
    a = np.arange(6.0).reshape(2, 3)
    v = Variable(np.ones((3, 2)))
    product = nbgrad.jit(lambda v, a: v * a)(v, a.T)
    np.testing.assert_array_equal(product.data, a.T)
    product.backward(np.ones((3, 2)))
    np.testing.assert_array_equal(v.grad.data, a.T)


@pytest.mark.parametrize("function", [lambda x: x[x > 0].sum(), lambda x: x[(x > 0) & (x < 1)] * 2])
def test_shapes_that_depend_on_elements_are_refused(function):
    with pytest.raises(TypeError, match=r"truth values.*shape that depends on elements"):
        nbgrad.jit(function)(X)


def test_called_functions_keep_their_shapes():
    with pytest.raises(TypeError, match=r"unique gave shape \(2,\).*where the trace had \(12,\)"):
        nbgrad.jit(lambda x: np.unique(x) * 2)(np.array([1.0, 2.0] * 6).reshape(3, 4))
    assert nbgrad.jit(lambda x: np.linalg.norm(x) * 2)(X).shape == ()


def test_called_functions_give_arrays_of_their_own():
    compiled = nbgrad.jit(lambda x: np.expand_dims(x * 2, 0))
    first = compiled(X)
    copy = first.copy()
    compiled(X + 1)
    np.testing.assert_array_equal(first, copy)
    assert not np.shares_memory(nbgrad.jit(lambda x: np.expand_dims(x, 0))(X), X)
    matrix = np.eye(3) * 2 + 1
    np.testing.assert_allclose(nbgrad.jit(lambda a: np.linalg.inv(a) * 2)(matrix), np.linalg.inv(matrix) * 2)


def test_value_and_gradient_come_from_one_run():
    calls: list[int] = []
    x = Variable(np.ones(20))
    y = nbgrad.jit(lambda x: x * (calls.append(1) or len(calls)))(x)
    y.sum().backward()
    np.testing.assert_array_equal(x.grad.data, y.data)


def test_variables_from_outside_are_refused_where_their_gradient_would_be_lost():
    w = Variable(np.ones(3))
    with pytest.raises(TypeError, match=r"Variable of shape \(3,\) that requires a gradient and is no argument"):
        nbgrad.jit(lambda x: (x * w).sum())(np.ones(3))
    frozen = w.detach()
    np.testing.assert_array_equal(nbgrad.jit(lambda x: x * frozen)(np.ones(3)).data, 1.0)


def test_small_whole_numbers_wrap_around():
    x = np.array([255, 1], np.uint8)
    for function in (lambda v: (v + v) > v, lambda v: (v + v) // 2, lambda v: (v + v).sum()):
        with nbgrad.no_grad():
            expected = function(Variable(x)).data
        np.testing.assert_array_equal(nbgrad.jit(function)(Variable(x)).data, expected)


def test_constants_are_told_apart():
    np.testing.assert_array_equal(
        nbgrad.jit(lambda x: x * 11.0 + x * (11.0 * 2.0**61))(np.ones(3)), 11.0 + 11.0 * 2.0**61
    )
    _, high = nbgrad.jit(lambda x: (x * 314159.0, nbgrad.minimum(x, float("inf"))))(np.array([1e9]))
    assert high[0] == 1e9
    scale = np.array(2.0)
    compiled = nbgrad.jit(lambda x: x * scale)
    compiled(np.ones(2))
    scale[...] = 3
    np.testing.assert_array_equal(compiled(np.ones(2)), 3.0)
    swapped = np.arange(4).astype(">f8")
    np.testing.assert_array_equal(nbgrad.jit(lambda x: x * swapped)(np.ones(4)), [0, 1, 2, 3])


def test_changes_by_operators_are_refused():
    def function(x):
        y = x * 1
        y += 1
        return y

    with pytest.raises(TypeError, match=r"changed in place at .*write x = x \+ y"):
        nbgrad.jit(function)(X)


def test_static_tuples_beside_variables():
    x = Variable(X)
    y = nbgrad.jit(lambda x, shape: x.reshape(*shape) * 2, static_argnums=1)(x, (4, 3))
    y.sum().backward()
    np.testing.assert_array_equal(x.grad.data, 2.0)
    compiled = nbgrad.jit(lambda x, n: x + n, static_argnums=1)
    assert np.signbit(compiled(np.array(-0.0), -0.0))
    assert not np.signbit(compiled(np.array(-0.0), 0.0))


def test_functions_with_a_backward_of_numpys():
    class Square(nbgrad.Function):
        def forward(self, x):
            return x**2

        def backward(self, gy):
            return 2 * self.inputs[0].data * gy

    x = Variable(X)
    nbgrad.jit(lambda x: Square()(nbgrad.sin(x)).sum())(x).backward()
    np.testing.assert_allclose(x.grad.data, 2 * np.sin(X) * np.cos(X), rtol=1e-12)


def test_results_of_other_kinds_are_refused():
    with pytest.raises(TypeError, match="a result is a generator"):
        nbgrad.jit(lambda x: (y for y in [x]))(X)


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


def test_results_without_gradient():
    x = Variable(X)

    @nbgrad.jit
    def function(x):
        with nbgrad.no_grad():
            fixed = x * 2
        return x * 3, fixed, x.detach() * 4

    first, second, third = function(x)
    assert (first.requires_grad, second.requires_grad, third.requires_grad) == (True, False, False)


# ---- what the function does to its surroundings ---------------------------------------------------------------------


def test_arrays_changed_after_use_are_refused():
    outside = np.ones(3)

    def changing(x):
        y = x + outside
        outside[0] += 1
        return y

    with pytest.raises(TypeError, match="was changed in place after the traced function had used it"):
        nbgrad.jit(changing)(np.ones(3))

    def making(x):
        a = np.zeros(3)
        a += 1  # before it is used
        return x + a

    assert (nbgrad.jit(making)(np.ones(3)) == 2).all()


@recognised_at_once
@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "bool"])
def test_the_second_call_is_recognised_at_once(dtype):
    compiled = nbgrad.jit(lambda x: x | x if dtype == "bool" else x * 2)
    x = np.ones(3, dtype)
    compiled(x)
    last = compiled._last
    assert last[0](x) is not None
    compiled(x)
    assert compiled._last is last


@recognised_at_once
def test_nests_are_recognised_at_once():
    Pair = namedtuple("Pair", "first second")
    compiled = nbgrad.jit(lambda p, x: {"sum": p["a"][0] + p["b"].second * x, "rest": [p["b"].first]})

    def nest(*numbers):
        return {"a": [np.full(2, numbers[0])], "b": Pair(np.full(2, numbers[1]), np.full(2, numbers[2]))}

    for numbers in ((1.0, 2.0, 3.0), (4.0, 5.0, 6.0)):
        found = compiled(nest(*numbers), np.full(2, 10.0))
        assert found["sum"].tolist() == [numbers[0] + 10 * numbers[2]] * 2
        assert found["rest"][0].tolist() == [numbers[1]] * 2
    last = compiled._last
    assert last[0](nest(1.0, 2.0, 3.0), np.ones(2)) is not None
    others = [
        {"a": [np.ones(2), np.ones(2)], "b": Pair(np.ones(2), np.ones(2))},
        {"a": (np.ones(2),), "b": Pair(np.ones(2), np.ones(2))},
        {"a": [np.ones(2)], "b": (np.ones(2), np.ones(2))},
        {"b": Pair(np.ones(2), np.ones(2)), "a": [np.ones(2)]},
        {"a": [np.ones(2)], "c": Pair(np.ones(2), np.ones(2))},
        {"a": [np.ones(3)], "b": Pair(np.ones(2), np.ones(2))},
        {"a": np.ones((1, 2)), "b": Pair(np.ones(2), np.ones(2))},
        np.ones(2),
    ]
    for other in others:
        assert last[0](other, np.ones(2)) is None
    assert last[0](nest(1.0, 2.0, 3.0)) is None and last[0](nest(1.0, 2.0, 3.0), np.ones(2), np.ones(2)) is None


def test_several_signatures_are_recognised_at_once():
    compiled = nbgrad.jit(lambda x, y=None: x * 2 if y is None else [x, x * y])
    calls = [(np.ones(3),), (np.ones(4),), (np.ones(3), 2.0), (nbgrad.ones(3, requires_grad=True), np.ones(3))]
    for arguments in calls:
        compiled(*arguments)
    traces, routes = len(compiled._traces), (compiled._last, compiled._earlier)
    for arguments in [*calls, *reversed(calls)]:
        found = compiled(*arguments)
        first = found[0] if isinstance(found, list) else found
        assert first.shape == arguments[0].shape and float(first[0]) == (1 if len(arguments) > 1 else 2)
    assert len(compiled._traces) == traces and (compiled._last, compiled._earlier) == routes


@recognised_at_once
def test_arguments_by_name_are_recognised_at_once():
    compiled = nbgrad.jit(lambda x, scale, training=False: x * scale["by"] if training else x)
    x, scale = np.ones(3), {"by": np.full(3, 2.0)}
    for _ in range(2):
        assert compiled(x, scale=scale).tolist() == [1, 1, 1]
        assert compiled(x, scale=scale, training=True).tolist() == [2, 2, 2]
        assert compiled(x, training=True, scale=scale).tolist() == [2, 2, 2]
        assert compiled(x, scale).tolist() == [1, 1, 1]
    routes = compiled._last, compiled._earlier, compiled._named
    for training, expected in ((True, 2), (False, 1), (True, 2)):
        assert compiled(x, scale=scale, training=training).tolist() == [expected] * 3
        assert compiled(x, scale=scale).tolist() == [1, 1, 1]
    assert len(compiled._named) == 4 and compiled._last == routes[0]
    with pytest.raises(TypeError, match="unexpected keyword argument 'rate'"):
        compiled(x, scale=scale, rate=1.0)


@recognised_at_once
def test_what_has_been_recognised_once_is_not_written_again(monkeypatch):
    written, real = [], trace._written
    monkeypatch.setattr(trace, "_written", lambda *given: written.append(1) or real(*given))

    class Model:
        @nbgrad.jit
        def scaled(self, x, how):
            return x * 2 if how == "twice" else x

    models, x = [Model() for _ in range(7)], nbgrad.ones(3)
    for _ in range(3):
        for model in models:
            assert model.scaled(x, "".join(["tw", "ice"])).tolist() == [2, 2, 2]
        if not written:
            pytest.fail("nothing was written at all")
        assert len(written) == len(models)


@pytest.mark.parametrize(
    "unusual",
    [lambda x: x[::2], lambda x: x[:3].astype(">f8"), lambda x: x[:3].view(type("Array", (np.ndarray,), {}))],
)
def test_what_is_converted_first_takes_the_way_of_first_calls(unusual):
    compiled = nbgrad.jit(lambda x, nest: x * 2 + nest[0])
    plain = np.arange(3.0), [np.arange(3.0)]
    compiled(*plain)
    last = compiled._last, compiled._earlier
    for _ in range(3):
        x = unusual(np.arange(6.0))
        np.testing.assert_array_equal(compiled(x, [np.arange(3.0)]), 2 * np.asarray(x, float) + np.arange(3.0))
        np.testing.assert_array_equal(compiled(np.arange(3.0), [x]), x + 2 * np.arange(3.0))
        assert (compiled._last, compiled._earlier) == last


@pytest.mark.parametrize("replaced", [np.ones(4), np.ones(3, np.float32), np.ones((3, 1))])
def test_data_of_another_kind_is_refused_on_the_way_back(replaced):
    compiled = nbgrad.jit(lambda x: nbgrad.sum(x * x))
    for create_graph in (False, True):
        x = nbgrad.ones(3, requires_grad=True)
        y = compiled(x)
        x.data = replaced
        with pytest.raises(ValueError, match=r"jit: the data of an argument has shape .* where float64 of shape \(3,"):
            nbgrad.autograd.grad(y, x, create_graph=create_graph)
        x.data = np.full(3, 2.0)


def test_numbers_keep_their_digits_whatever_the_default_dtype():
    scaled = nbgrad.jit(lambda x, s: x * s)
    try:
        nbgrad.set_default_dtype(np.float32)
        for _ in range(2):
            assert scaled(np.ones(1), 0.1)[0] == 0.1
            assert scaled(np.ones(1, np.float32), 0.1).dtype == np.float32
            for function in (lambda s: s * s * 2, lambda s: nbgrad.sum(nbgrad.ones(2) * s)):
                slope, compiled = nbgrad.grad(function)(0.1), nbgrad.jit(nbgrad.grad(function))(0.1)
                assert slope.dtype == compiled.dtype == np.float32 and slope == pytest.approx(compiled)
    finally:
        nbgrad.set_default_dtype(np.float64)


def test_results_are_made_before_another_thread_may_have_the_workspace():
    compiled = nbgrad.jit(lambda x: (x @ x + 1).sum(0)[::2] @ x[::2])
    shown = nbgrad.jit(lambda x: (np.exp(x @ x) @ x).T)
    x = np.eye(4)
    np.testing.assert_allclose(shown(x), np.exp(x).T)
    np.testing.assert_allclose(compiled(x), (x @ x + 1).sum(0)[::2] @ x[::2])
    text = shown.source(x)
    assert "array(apply_views" in text  # a copy of what lies in the workspace
    assert text.index("array(apply_views") < text.index("spare.append")


def test_an_argument_may_be_called_self():
    assert nbgrad.jit(lambda self, x: self * x)(**{"self": np.ones(2), "x": np.ones(2)}).tolist() == [1, 1]


def test_nests_of_variables_and_numbers_take_gradients_at_every_call():
    compiled = nbgrad.jit(lambda p, x: nbgrad.sum(p["w"] * x * p["rate"]))
    w = nbgrad.ones(3, requires_grad=True)
    for n in range(1, 4):
        w.grad = None
        compiled({"w": w, "rate": float(n)}, np.full(3, 2.0)).backward()
        assert w.grad.tolist() == [2.0 * n] * 3
        with nbgrad.no_grad():
            assert not compiled({"w": w, "rate": float(n)}, np.full(3, 2.0)).requires_grad


def test_static_arguments_may_be_nests():
    compiled = nbgrad.jit(lambda shape, x: nbgrad.sum(x) * nbgrad.ones(*shape), static_argnums=0)
    shape = (2, 3)
    for _ in range(3):
        assert compiled(shape, np.ones(4)).shape == (2, 3)
        assert compiled((3, 2), np.ones(4)).shape == (3, 2)


def test_the_default_dtype_is_part_of_the_signature():
    compiled = nbgrad.jit(lambda x: x * nbgrad.ones(3).data)
    x = np.ones(3, np.float32)
    try:
        for dtype in (np.float32, np.float64, np.float32):
            nbgrad.set_default_dtype(dtype)
            for _ in range(3):
                assert compiled(x).dtype == dtype
    finally:
        nbgrad.set_default_dtype(np.float64)


def test_numbers_and_variables_take_the_quick_way_too():
    calls = []

    def traced(x, y, scale):
        calls.append(type(x))
        return (x * y * scale).sum()

    compiled = nbgrad.jit(traced)
    x = nbgrad.tensor([1.0, 2.0], requires_grad=True)
    for factor in (2.0, 3.0):
        for scale in (np.float32(4), np.float32(5)):
            y = compiled(x, factor, scale)
            assert y.item() == 3 * factor * scale
            x.grad = None
            y.backward()
            assert (x.grad.data == factor * scale).all()
    assert len(calls) == 1
    with nbgrad.no_grad():
        assert not compiled(x, 2.0, np.float32(4)).requires_grad
    constant = nbgrad.tensor([1.0, 2.0])
    assert compiled(constant, 2.0, np.float32(4)).requires_grad is False
    assert compiled(x, np.ones(2), np.float32(4)).item() == 12  # another kind
    assert compiled(x, 2.0, np.float32(4)).item() == 24
    assert compiled(nbgrad.tensor([1.0, 2.0, 3.0]), 2.0, np.float32(4)).item() == 48


def test_only_results_of_what_requires_gradients_require_them():
    compiled = nbgrad.jit(lambda x, w: (x * 2, w * 2))
    x, w = nbgrad.tensor([1.0], requires_grad=True), nbgrad.tensor([1.0])
    for a, b in ((x, w), (w, x), (x, x), (w, w), (x, w)):
        assert [y.requires_grad for y in compiled(a, b)] == [a.requires_grad, b.requires_grad]


def test_a_donated_array_that_is_another_argument_too_stays_as_it_is():
    compiled = nbgrad.jit(lambda a, b: (a + 1, b.sum() + b[::-1]), donate_argnums=0)
    a = np.arange(4.0)
    for b in (a, a[:], np.arange(4.0)):
        first, second = compiled(a, b)
        assert (first == [1, 2, 3, 4]).all()
        assert (second == [9, 8, 7, 6]).all()
        a = np.arange(4.0)


def test_arrays_in_the_other_byte_order_at_every_call():
    compiled = nbgrad.jit(lambda x: x * 2.0 + 1.0)
    x = np.arange(4.0).astype(np.dtype(float).newbyteorder())
    for argument in (x, x, np.arange(4.0), x):
        assert (compiled(argument) == [1, 3, 5, 7]).all()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_forks_while_another_thread_compiles_a_way_back():
    program = """
import os, threading, warnings
import numpy as np, nbgrad
warnings.simplefilter("ignore")
stop = threading.Event()
def work():
    for n in range(12):
        x = nbgrad.tensor(np.ones(3), requires_grad=True)
        nbgrad.jit(lambda x: (x * (n + 0.25)).sum())(x).backward()
    stop.set()
thread = threading.Thread(target=work)
thread.start()
while not stop.is_set():
    child = os.fork()
    if not child:
        os._exit(0)
    os.waitpid(child, 0)
thread.join()
"""
    run_python(program)


@pytest.mark.parametrize(
    "function",
    [
        nbgrad.exp,
        nbgrad.sum,
        lambda x: x * 2,
        lambda x: x @ x,
        lambda x: np.float16(2) * x,
        lambda x: x + np.ones(3, np.float16),
        lambda x: nbgrad.amax(x, 0),
        lambda x: nbgrad.where(x > 1, x, 0.0),
        lambda x: x.reshape(9)[::2],
    ],
)
def test_float16_is_taken_as_eager_mode_takes_it(function):
    half = np.arange(9, dtype=np.float16).reshape(3, 3)
    for x in (half, Variable(half)):
        found, expected = nbgrad.jit(function)(x), function(x)
        assert found.dtype == expected.dtype
        pair = [y.data if isinstance(y, Variable) else y for y in (found, expected)]
        np.testing.assert_allclose(*pair, rtol=1e-3)


def test_a_traced_array_that_got_away_computes_nothing():
    kept = []
    nbgrad.jit(lambda x: kept.append(x) or x * 2)(X)
    with pytest.raises(TypeError, match="has left its function"):
        kept[0] + 1


def test_an_element_written_into_an_array_from_outside_is_refused_with_the_remedy():
    def function(x):
        out = np.zeros(3)
        out[0] = x[0, 0]
        return x.sum() + out.sum()

    with pytest.raises(TypeError, match=r"np\.stack or nbgrad\.where"):
        nbgrad.jit(function)(X)


@dataclasses.dataclass(frozen=True)
class Setting:
    value: object
    note: object = dataclasses.field(default=None, compare=False)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (frozenset({1}), frozenset({True})),
        (frozenset({0.0}), frozenset({-0.0})),
        (1j, True + 0j * -1),
        ((1, frozenset({2})), (1, frozenset({2.0}))),
        (np.float32(0.0), np.float32(-0.0)),
        (Setting(1), Setting(True)),
        (Setting((0.0,)), Setting((-0.0,))),
    ],
)
def test_static_values_of_other_types_have_traces_of_their_own(first, second):
    traced = []
    compiled = nbgrad.jit(lambda x, static: traced.append(static) or x * 2, static_argnums=1)
    for value in (first, second, first):
        compiled(X, value)
    assert [repr(value) for value in traced] == [repr(first), repr(second)]


def test_static_values_that_are_one_share_a_trace():
    traced = []
    compiled = nbgrad.jit(lambda x, static: traced.append(static) or x * 2, static_argnums=1)
    for value in (Setting(1), Setting(1, "another"), np.float32(2), np.float32(2)):
        compiled(X, value)
    assert traced == [Setting(1), np.float32(2)]


@pytest.mark.parametrize("keys", [(1, True, 1.0), ((0.0,), (-0.0,))])
def test_keys_of_other_types_have_traces_of_their_own(keys):
    compiled = nbgrad.jit(lambda nest: {key: value * 2 for key, value in nest.items()})
    for key in keys * 2:
        assert repr(list(compiled({key: X}))) == repr([key])


def test_a_function_keeps_a_limited_number_of_traces(monkeypatch):
    monkeypatch.setattr("nbgrad.tracing.compiled.MOST_TRACES", 4)
    traced = []
    compiled = nbgrad.jit(lambda x, static: traced.append(static) or x * 2, static_argnums=1)
    for value in [*range(6), 5, 4, 0]:
        compiled(X, value)
    assert traced == [*range(6), 0] and len(compiled._traces) == 4


def test_arrays_of_numpys_subclasses():
    masked, matrix = np.ma.array([1.0, 2.0], mask=[False, True]), np.array([[1.0, 2.0], [3.0, 4.0]]).view(np.matrix)
    for function, x in ((lambda x: x * 2, masked), (lambda x: x * masked, np.ones(2))):
        with pytest.raises(TypeError, match="masked array"):
            nbgrad.jit(function)(x)
    compiled = nbgrad.jit(lambda x: x.sum(0) * (x * matrix))
    for _ in range(2):
        np.testing.assert_array_equal(compiled(matrix), [[4, 24], [36, 96]])


def test_what_got_away_before_an_error_is_of_no_use():
    away = []
    with pytest.raises(ZeroDivisionError):
        nbgrad.jit(lambda x: away.append(x * 2) or 1 / 0)(X)
    with pytest.raises(TypeError, match="has left its function"):
        away[0] + 1


def test_variables_from_outside_may_get_other_arrays():
    scale, weight, places = nbgrad.tensor([1.0, 2.0, 3.0]), Variable(np.ones(3)), nbgrad.tensor([2, 0])
    x = np.arange(1.0, 4.0)
    functions = [
        lambda x: x * scale,
        lambda x: x * scale[::-1].data,
        lambda x: np.maximum(x, scale.data),
        nbgrad.grad(lambda x: (x * x * weight).sum()),
        lambda x: x[places],
    ]
    compiled = [nbgrad.jit(function) for function in functions]
    for change in (
        lambda: None,
        lambda: setattr(scale, "data", np.array([7.0, 8.0, 9.0])),
        lambda: setattr(weight, "data", weight.data * 5),
        lambda: setattr(places, "data", np.array([1, 1])),
        lambda: setattr(scale, "data", np.array(4.0)),
    ):
        change()
        for jitted, function in zip(compiled[: 1 if scale.ndim == 0 else None], functions, strict=False):
            for _ in range(2):
                found, expected = ((y.data if isinstance(y, Variable) else y) for y in (jitted(x), function(x)))
                np.testing.assert_array_equal(found, expected)
    traced = []
    counted = nbgrad.jit(lambda x: traced.append(1) or x * weight.detach())
    for _ in range(3):
        counted(x)
        weight.data -= 0.1 * weight.data  # the array that it has
    assert traced == [1]


def test_gradients_outside_of_a_trace_are_not_filled():
    w, x = Variable(np.ones(3)), np.arange(1.0, 4.0)

    def step(x, **options):
        (x * w).sum().backward(**options)
        return w.grad.data * 1

    for options in ({}, {"create_graph": True}, {"inputs": [w]}):
        with pytest.raises(TypeError, match=r"fill grad of a Variable of shape \(3,\) that is no argument"):
            nbgrad.jit(functools.partial(step, **options))(x)
        assert w.grad is None

    def slope(v):
        (v * v * w).sum().backward(inputs=v)
        return v.grad

    given = Variable(x)
    np.testing.assert_array_equal(nbgrad.jit(slope)(given).data, 2 * x)
    assert given.grad is None and w.grad is None
    (x * w).sum().backward()
    np.testing.assert_array_equal(w.grad.data, x)


def test_positions_outside_are_told_from_a_program_that_is_only_loops():
    """Such a program runs in one call, which gives up where a loop has failed, so that Python says what is wrong."""

    def squares(x, rows):
        return (x[rows] ** 2).sum()

    jitted = nbgrad.jit(nbgrad.value_and_grad(squares))
    x, rows = np.arange(12.0).reshape(6, 2), np.array([1, 5, 1, -1])
    eager = nbgrad.value_and_grad(squares)
    for _ in range(3):
        for given in (rows, rows[::-1].copy()):
            for found, expected in zip(jitted(x, given), eager(x, given), strict=True):
                np.testing.assert_array_equal(found, expected)
        for outside in (6, -7, 2**40):
            with pytest.raises(IndexError):
                jitted(x, np.array([1, outside, 1, 0]))


@nbgrad.jit
def doubled(x):
    return x * 2


def tripled(x):
    return x * 3


class Doubling:
    @staticmethod
    @nbgrad.jit
    def of(x):
        return x * 2


def test_pickles_and_copies():
    partly = nbgrad.jit(functools.partial(np.multiply, 3))
    for compiled, factor in ((doubled, 2), (Doubling.of, 2), (nbgrad.jit(tripled), 3), (partly, 3)):
        compiled(X)  # what it was traced for is no part of it
        for again in (pickle.loads(pickle.dumps(compiled)), deepcopy(compiled)):
            np.testing.assert_array_equal(again(X), X * factor)
            assert again is compiled or (again.static, again.donate) == (compiled.static, compiled.donate)
    assert pickle.loads(pickle.dumps(doubled)) is doubled


def test_nothing_is_collected_while_a_function_is_traced():
    seen = []

    def traced(x, fails):
        seen.append(gc.isenabled())
        if fails:
            raise ValueError("no")
        return x * 2

    jitted = nbgrad.jit(traced, static_argnums=1)
    assert gc.isenabled()
    jitted(np.ones(3), False)
    with pytest.raises(ValueError, match="no"):
        jitted(np.ones(3), True)
    assert seen == [False, False] and gc.isenabled()
    gc.disable()
    try:
        jitted(np.ones(4), False)
        assert not gc.isenabled()
    finally:
        gc.enable()
