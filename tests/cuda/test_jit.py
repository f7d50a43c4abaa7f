"""Compiled functions on the device: the same as on the CPU, values and gradients."""

from collections.abc import Callable
from typing import Any, NamedTuple

import cupy
import numpy as np
import pytest

import nbgrad
from nbgrad.kernels.cuda import launch
from nbgrad.nn import functional as F


class Program(NamedTuple):
    """A function of arrays, and their shapes."""

    function: Callable[..., Any]
    shapes: tuple[tuple[int, ...], ...]
    gradient: bool = True


def layer_norm(x):
    centred = x - x.mean(-1, keepdims=True)
    return nbgrad.sum((centred / nbgrad.sqrt((centred * centred).mean(-1, keepdims=True) + 1e-5)) ** 3)


def network(x, w, b):
    hidden = nbgrad.relu(x @ w + b)
    return F.cross_entropy(hidden, np.arange(x.shape[0]) % w.shape[1])


#: Every kind of loop: elements, rows, columns, everything; one block and several; views, products and calls between.
PROGRAMS = {
    "elements": Program(lambda x: nbgrad.tanh(x) * 2 + x, ((3, 7),), False),
    "broadcast": Program(lambda x, v: nbgrad.exp(x - v) * v, ((2, 33), (33,)), False),
    "several results": Program(lambda x: (x * 2, nbgrad.sum(x, -1), nbgrad.amax(x)), ((2, 33),), False),
    "whole sum": Program(lambda x: nbgrad.sum(nbgrad.tanh(x * 2 + 1) ** 2 * nbgrad.exp(-(x**2))), ((40,),)),
    "sum of blocks": Program(lambda x: nbgrad.sum(nbgrad.exp(x)), ((1100,),)),
    "rows": Program(lambda x: nbgrad.sum(nbgrad.logsumexp(x, -1) ** 2), ((2, 33),)),
    "columns": Program(lambda x: nbgrad.sum(nbgrad.mean(x * x, 0) ** 2), ((70, 3),)),
    "columns of blocks": Program(lambda x: nbgrad.sum(x * x, 0), ((130, 3),), False),
    "middle axis": Program(lambda x: nbgrad.sum(nbgrad.softmax(x, 1) ** 2), ((2, 5, 3),)),
    "layer norm": Program(layer_norm, ((2, 33),)),
    "network": Program(network, ((4, 5), (5, 3), (3,))),
    "slices": Program(lambda x: nbgrad.sum(x[::2, 1:] * x[1::2, :-1]), ((4, 5),)),
    "pairs": Program(lambda x: nbgrad.sum(1 / (1 + nbgrad.sum((x[:, None] - x[None]) ** 2, -1))), ((17, 3),)),
    "stencil": Program(lambda x: nbgrad.sum(nbgrad.cat([x[:1], x[1:-1] * x[2:] - x[:-2], x[-1:]]) ** 2), ((70,),)),
    "stencil of rows": Program(
        lambda x: nbgrad.sum(nbgrad.stack([x[1:, 2:] * x[:-1, :-2], x[1:, 1:-1]], 1) ** 2), ((4, 7),)
    ),
    "transposed": Program(lambda x: nbgrad.sum(x.T @ x * 2), ((3, 4),)),
    "empty": Program(lambda x: nbgrad.sum(nbgrad.exp(x)) + 1, ((0, 3),)),
    "0-d": Program(lambda x, y: x * y + nbgrad.sin(x), ((), ())),
}


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    """Threads that wait for each other are slow where they are stand-ins."""
    monkeypatch.setattr(launch, "THREADS", 64)


def flat(value):
    return [leaf for item in value for leaf in flat(item)] if isinstance(value, tuple) else [value]


#: Programs without barriers run quickly where threads are stand-ins: these are tried in both dtypes.
QUICK = ("elements", "broadcast", "columns of blocks", "whole sum", "slices", "0-d", "empty")


@pytest.mark.parametrize(
    ("name", "dtype"), [(name, "float32") for name in PROGRAMS] + [(name, "float64") for name in QUICK]
)
def test_compiled_functions_agree_with_the_cpu(name, dtype):
    function, shapes, gradient = PROGRAMS[name]
    random = np.random.default_rng(3)
    arrays = [np.asarray(random.normal(size=shape), dtype) for shape in shapes]
    if gradient:
        function = nbgrad.value_and_grad(function, argnums=tuple(range(len(shapes))))
    expected = flat(function(*arrays))
    compiled = nbgrad.jit(function)
    tolerance = 3e-5 if dtype == "float32" else 3e-13
    for _ in range(2):  # traced, and by the quick test
        got = flat(compiled(*map(cupy.asarray, arrays)))
        for y, e in zip(got, expected, strict=True):
            assert isinstance(y, cupy.ndarray)
            assert (y.dtype, y.shape) == (e.dtype, e.shape)
            np.testing.assert_allclose(y.get(), e, rtol=tolerance, atol=tolerance)
    for y, e in zip(flat(compiled(*arrays)), expected, strict=True):  # the same function on the CPU
        np.testing.assert_allclose(y, e, rtol=tolerance, atol=tolerance)


def test_a_compiled_function_in_the_graph():
    compiled = nbgrad.jit(lambda x, w: nbgrad.tanh(x * w))
    x = nbgrad.tensor([0.5, -1.0], requires_grad=True, device="cuda")
    w = nbgrad.tensor([2.0, 3.0], requires_grad=True, device="cuda")
    compiled(x, w).sum().backward()
    slope = 1 - np.tanh([1.0, -3.0]) ** 2
    assert x.grad.device == w.grad.device == "cuda:0"
    np.testing.assert_allclose(x.grad.cpu().data, slope * [2, 3], rtol=1e-14)
    np.testing.assert_allclose(w.grad.cpu().data, slope * [0.5, -1], rtol=1e-14)


def test_scalars_follow_the_arrays_and_arrays_do_not():
    compiled = nbgrad.jit(lambda x, factor, array: x * factor + array)
    x = cupy.asarray(np.ones(3))
    assert (compiled(x, 2.0, np.array(1.0)).get() == 3).all()
    assert (compiled(x, np.float64(4), x).get() == 5).all()
    with pytest.raises(TypeError, match="operands on cuda:0 and cpu"):
        compiled(x, 2.0, np.ones(3))


def test_arrays_from_outside_come_along():
    outside, there = np.arange(3.0), cupy.asarray(np.full(3, 2.0))
    compiled = nbgrad.jit(lambda x: x * outside + there)
    assert (compiled(cupy.asarray(np.ones(3))).get() == [2, 3, 4]).all()


def test_variables_and_numbers_from_outside_come_along():
    w = nbgrad.tensor([1.0, 2.0, 3.0], device="cuda")
    one = nbgrad.tensor(2.0, device="cuda")
    x = cupy.asarray(np.ones(3))
    for function in (lambda x: x * w, lambda x: w * x, lambda x: nbgrad.where(x > 0, w, x), lambda x: w * x * one / 2):
        result = nbgrad.jit(function)(x)
        assert ((result.data if isinstance(result, nbgrad.Variable) else result).get() == [1, 2, 3]).all()
    with pytest.raises(TypeError, match="an array from outside is on cuda:0 and the arguments are on cpu"):
        nbgrad.jit(lambda x: x * w)(np.ones(3))


@pytest.mark.parametrize("dtype", ["bool", "int8", "uint16", "uint32", "int64"])
def test_the_largest_of_whole_numbers(dtype):
    array = (np.arange(66).reshape(2, 33) * 7 % 5).astype(dtype)
    compiled = nbgrad.jit(lambda x: (nbgrad.amax(x, -1), nbgrad.amin(x)))
    rows, whole = compiled(cupy.asarray(array))
    assert (rows.get() == array.max(-1)).all()
    assert whole.get() == array.min()
    assert rows.dtype == whole.dtype == dtype


def test_wide_rows_are_divided_among_blocks():
    array = np.random.default_rng(0).normal(size=(20, 150))
    compiled = nbgrad.jit(lambda x, v: (nbgrad.sum(x * v, 0), x + v))
    columns, whole = compiled(cupy.asarray(array), cupy.asarray(array[0]))
    np.testing.assert_allclose(columns.get(), (array * array[0]).sum(0), rtol=1e-12, atol=1e-14)
    assert (whole.get() == array + array[0]).all()


def test_looking_inside():
    compiled = nbgrad.jit(lambda x: nbgrad.sum(x * 2))
    x = cupy.asarray(np.ones((3, 4)))
    assert "loop over (3, 4)" in compiled.explain(x)
    assert "cuda.threadIdx.x" in compiled.source(x)


def test_arrays_of_another_device_are_refused(driver):
    driver.count = 2
    compiled = nbgrad.jit(lambda x: x * 3)
    here = cupy.asarray(np.ones(3))
    for _ in range(3):
        assert (compiled(here).get() == 3).all()
    there = nbgrad.ones(3, device="cuda:1").data
    with pytest.raises(RuntimeError, match="operands on cuda:1 where cuda:0 computes"):
        compiled(there)
    with nbgrad.cuda.device(1), pytest.raises(RuntimeError, match="operands on cuda:0 where cuda:1 computes"):
        compiled(here)


def test_float32_functions_know_no_float64(monkeypatch):
    """Numbers that are written as such, or follow from shapes, are float32 by the time a kernel sees them."""
    seen, real = [], launch.kernel
    monkeypatch.setattr(launch, "kernel", lambda *asked: seen.append(asked) or real(*asked))
    x, gain = (cupy.asarray(np.random.default_rng(0).normal(size=(3, 12)).astype(np.float32)) for _ in range(2))
    both = nbgrad.value_and_grad(
        lambda x, gain: layer_norm(x) + nbgrad.mean(nbgrad.softmax(x * 0.3, -1) * gain), (0, 1)
    )
    nbgrad.jit(both)(x, gain)
    assert seen and not any("float64" in f"{source}{signature}" for _, source, signature in seen)


@pytest.mark.parametrize(
    "function",
    [
        lambda x: nbgrad.cat([x, np.zeros_like(x)]),
        lambda x: np.concatenate([np.ones((1, 4)), x]),
        lambda x: nbgrad.stack([x, nbgrad.ones(3, 4)]),
        lambda x: nbgrad.grad(lambda x: nbgrad.sum(nbgrad.prod(x, -1)))(x),
    ],
)
def test_arrays_from_outside_are_joined_on_the_device(function):
    array = np.random.default_rng(0).normal(size=(3, 4))
    compiled, x = nbgrad.jit(function), cupy.asarray(array)
    for _ in range(3):
        results = compiled(x), nbgrad.jit(function)(array)
        found, expected = (y.data if isinstance(y, nbgrad.Variable) else y for y in results)
        np.testing.assert_allclose(cupy.asnumpy(found), np.asarray(expected), rtol=1e-13)


@pytest.mark.parametrize("shape", [(5, 0), (300, 0), (2, 3000, 0)])
def test_columns_of_no_width(shape):
    found = nbgrad.jit(lambda x: nbgrad.sum(nbgrad.tanh(x), 0))(cupy.zeros(shape))
    assert found.shape == shape[1:]
    assert nbgrad.jit(nbgrad.grad(lambda x: nbgrad.sum(x @ x.T)))(cupy.zeros((4, 0))).shape == (4, 0)
