"""Programs as they run: long ones, constants, what is computed once, arrays of their own."""

import numpy as np
import pytest
from helpers import usually

import nbgrad
from nbgrad import Variable

X = np.linspace(-1.5, 2.0, 12).reshape(3, 4)


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


def test_equal_expressions_are_computed_once():
    compiled = nbgrad.jit(lambda x: nbgrad.exp(x) + nbgrad.exp(x) * 2)
    assert compiled.source(X).count("exp_float64") == 1


def test_what_nobody_wants_is_not_computed():
    def function(x):
        nbgrad.exp(x)
        return x * 2

    assert "exp_" not in nbgrad.jit(function).source(X)


def test_called_functions_give_arrays_of_their_own():
    compiled = nbgrad.jit(lambda x: np.expand_dims(x * 2, 0))
    first = compiled(X)
    copy = first.copy()
    compiled(X + 1)
    np.testing.assert_array_equal(first, copy)
    assert not np.shares_memory(nbgrad.jit(lambda x: np.expand_dims(x, 0))(X), X)
    matrix = np.eye(3) * 2 + 1
    np.testing.assert_allclose(nbgrad.jit(lambda a: np.linalg.inv(a) * 2)(matrix), np.linalg.inv(matrix) * 2)


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


def test_results_are_made_before_another_thread_may_have_the_workspace():
    compiled = nbgrad.jit(lambda x: (x @ x + 1).sum(0)[::2] @ x[::2])
    shown = nbgrad.jit(lambda x: (np.exp(x @ x) @ x).T)
    x = np.eye(4)
    np.testing.assert_allclose(shown(x), np.exp(x).T)
    np.testing.assert_allclose(compiled(x), (x @ x + 1).sum(0)[::2] @ x[::2])
    text = shown.source(x)
    assert "array(apply_views" in text  # a copy of what lies in the workspace
    assert text.index("array(apply_views") < text.index("spare.append")


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
