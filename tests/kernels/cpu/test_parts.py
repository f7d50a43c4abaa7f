"""Long loop bodies in parts: cut where they look alike, and the same numbers as in one piece."""

import numpy as np
import pytest
from interpreter import interpret_loops

import nbgrad
from nbgrad.kernels.cpu import compiler, parts


def steps(y, dt, count):
    for _ in range(count):
        y = y + dt * np.where(y > 1, y * (1 - y / 3), np.sin(y))
    return y


def program(count):
    return nbgrad.jit(nbgrad.value_and_grad(lambda y, dt: (steps(y, dt, count) ** 2).sum()))


def expected(y, dt, count):
    slope = np.ones_like(y)
    for _ in range(count):
        large = y > 1
        slope *= 1 + dt * np.where(large, 1 - 2 * y / 3, np.cos(y))
        y = y + dt * np.where(large, y * (1 - y / 3), np.sin(y))
    return (y * y).sum(), 2 * y * slope


STEP = np.float64(0.01)


@pytest.mark.parametrize("dtype", ["float64", "float32", "bool"])
@pytest.mark.parametrize("chunk", [32, 512])
def test_what_waits_does_not_displace_one_another_from_a_cache(dtype, chunk):
    itemsize = np.dtype(dtype).itemsize
    distance = parts.spaced(chunk, dtype) * itemsize
    assert distance == chunk * itemsize + 64  # not the same sets of a cache of lines of 64 bytes


def test_a_loop_that_python_unrolled_has_few_functions_whatever_its_length():
    y = np.linspace(0, 2, 7)
    sources = [program(count).source(y, STEP) for count in (20, 60)]
    functions = [text.count("\ndef part") + text.startswith("def part") for text in sources]
    calls = [sum(line.strip().startswith("part") for line in text.splitlines()) for text in sources]
    assert max(functions) <= 10
    assert calls[1] > 2 * calls[0]


@pytest.mark.parametrize("size", [3, 5000])
def test_parts_compute_what_the_whole_does(size):
    y = np.linspace(0, 2, size)
    value, gradient = program(20)(y, STEP)
    exact, slope = expected(y, STEP, 20)
    np.testing.assert_allclose(value, exact, rtol=1e-13)
    np.testing.assert_allclose(gradient, slope, rtol=1e-12)


def test_results_do_not_depend_on_threads():
    y = np.linspace(0, 2, 40_000)
    jitted = program(20)
    before = nbgrad.get_num_threads()
    results = []
    try:
        for count in (1, 2, 3):
            nbgrad.set_num_threads(count)
            results.append(jitted(y, STEP))
    finally:
        nbgrad.set_num_threads(before)
    assert all(v.tobytes() == results[0][0].tobytes() for v, _ in results)
    assert all(g.tobytes() == results[0][1].tobytes() for _, g in results)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_rows_columns_and_strides_in_parts(monkeypatch, dtype):
    """Interpreted: values kept for later stages, sums of rows and columns, strides, truth values."""
    interpret_loops(monkeypatch)
    monkeypatch.setattr(parts, "WHOLE", 12)
    monkeypatch.setattr(parts, "LEAST", 3)
    monkeypatch.setattr(parts, "MOST", 8)
    rng = np.random.default_rng(0)
    x, w, b = (rng.standard_normal(shape).astype(dtype) for shape in ((6, 5), (5, 6), (5,)))

    def function(x, w, b):
        z = np.tanh(x * w.T + b) * np.where(x > 0, np.exp(-x * x), b)
        y = nbgrad.softmax(z * np.sin(z) + x, -1) * z
        return (y * np.cos(x)).sum(0), (y.sum(-1, keepdims=True) * y).sum(), np.maximum(y, z) > 0

    given = [nbgrad.Variable(v) for v in (x, w, b)]
    plain = function(*given)
    (plain[0].sum() + plain[1]).backward()
    jitted = nbgrad.jit(function)
    assert "part1(" in jitted.source(x, w, b)
    tolerance = 1e-5 if dtype is np.float32 else 1e-12
    for found, exact in zip(jitted(x, w, b), plain, strict=True):
        np.testing.assert_allclose(found, exact.data, rtol=tolerance, atol=tolerance)

    def total(x, w, b):
        first, second, _ = function(x, w, b)
        return first.sum() + second

    gradients = nbgrad.jit(nbgrad.grad(total, argnums=(0, 1, 2)))(x, w, b)
    for found, variable in zip(gradients, given, strict=True):
        np.testing.assert_allclose(found, variable.grad.data, rtol=10 * tolerance, atol=10 * tolerance)


def test_an_argument_that_is_written_over_is_read_before(monkeypatch):
    monkeypatch.setattr(parts, "WHOLE", 40)
    step = nbgrad.jit(lambda y, dt: steps(y, dt, 5) + y, donate_argnums=0)
    y = np.linspace(0, 2, 700)
    exact = steps(y, STEP, 5) + y
    np.testing.assert_allclose(step(y.copy(), STEP), exact, rtol=1e-13)


def test_loops_with_too_many_results_are_cut_by_the_grouping():
    assert compiler.Compiler.most_steps > 400

    def many(x):
        results = []
        for number in range(600):
            x = x * 0.5 + number
            results.append(x)
        return results

    x = np.linspace(0, 1, 4)
    found = nbgrad.jit(many)(x)
    for result, exact in zip(found, many(x), strict=True):
        np.testing.assert_allclose(result, exact, rtol=1e-14)
