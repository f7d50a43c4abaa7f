"""Fused loops on the device, at awkward sizes: however threads share rows, they give what NumPy and the CPU do."""

import ctypes
import math
import mmap
from typing import ClassVar

import cupy
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import nbgrad
from nbgrad.kernels.cuda import forms, launch

SIZES = (0, 1, 3, 31, 33, 1023, 1025)
WIDTHS = (1, 2, 3, 4, 10, 31, 32, 33, 64, 130, 256, 1023, 1024, 1025)

floating = pytest.mark.parametrize("dtype", ["float32", "float64"])


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    """Threads that wait for each other are slow where they are stand-ins; blocks are as few as if arrays were large."""
    monkeypatch.setattr(launch, "THREADS", 64)
    monkeypatch.setattr(forms, "_FEW", 2)


@pytest.fixture
def few_blocks(monkeypatch):
    """Give each block many rows, or many pieces of one."""
    monkeypatch.setattr(forms, "_RESIDENT", 3)


@pytest.fixture
def few_registers(monkeypatch):
    """Let rows of more than 128 elements be too long for the registers."""
    monkeypatch.setattr(forms, "_REGISTERS", 1)


def draw(shape, dtype, seed=0):
    return np.asarray(np.random.default_rng(seed).normal(size=shape), dtype)


def leaves(value):
    return [leaf for item in value for leaf in leaves(item)] if isinstance(value, tuple) else [value]


def on_device(array, shift=0):
    """Give a contiguous array of CuPy's that begins some elements behind a multiple of 16 bytes."""
    room = cupy.empty(array.size + shift, array.dtype)
    view = room[shift:].reshape(array.shape)
    view[...] = cupy.asarray(array)
    return view


def assert_same(function, arrays, expected=None, shift=0, scale=1.0):
    """Hold a compiled function on the device against the eager one on the CPU, or against what is expected."""
    expected = leaves(function(*arrays) if expected is None else expected)
    got = leaves(nbgrad.jit(function)(*[on_device(x, shift) for x in arrays]))
    assert len(got) == len(expected)
    for y, e in zip(got, expected, strict=True):
        assert y.shape == e.shape
        limit = scale * (2e-5 if y.dtype == np.float32 else 1e-12)
        np.testing.assert_allclose(y.get(), e, rtol=limit, atol=limit * max(1, abs(e).max(initial=0)))


def last_launch():
    if not hasattr(launch.backend, "launches"):
        pytest.skip("launches are not known")
    return next(one for one in reversed(launch.backend.launches) if one.name.startswith("fused"))


def goes_by_vectors(one):
    """Tell whether a launch reads by 16 bytes: the last number before the addresses."""
    return [x for x in one.arguments if x < 1 << 20][-1] == 1


# ---- one long row ---------------------------------------------------------------------------------------------------


def elements(x, y):
    return nbgrad.tanh(x) * y + x, nbgrad.exp(x - y)


@floating
@pytest.mark.parametrize("shift", [0, 1])
def test_elements_of_one_long_row(dtype, shift):
    for size in SIZES:
        x, y = draw(size, dtype), draw(size, dtype, 1)
        assert_same(elements, [x, y], (np.tanh(x) * y + x, np.exp(x - y)), shift)
        if size > 4:
            assert goes_by_vectors(last_launch()) == (shift == 0)


@floating
@pytest.mark.parametrize("shift", [0, 1])
def test_one_long_row_and_what_it_folds_to(dtype, shift):
    def function(x):
        y = nbgrad.exp(x)
        return nbgrad.sum(y), y * 2, nbgrad.amax(x), nbgrad.mean(x * x)

    for size in SIZES[1:]:
        x = draw(size, dtype)
        wide = x.astype(float)
        expected = np.exp(wide).sum(), np.exp(x) * 2, x.max(), (wide * wide).mean()
        assert_same(function, [x], expected, shift)


@pytest.mark.usefixtures("few_blocks")
def test_many_elements():
    size = 1_000_003
    x = draw(size, "float32")
    assert_same(lambda x: x * 2 + 1, [x], x * 2 + 1)
    exact = math.fsum(x.astype(float) ** 2)
    assert_same(lambda x: (nbgrad.sum(x * x), x - 1), [x], (np.float32(exact), x - 1), scale=0.02)


def test_mixed_dtypes_of_one_long_row():
    def function(mask, whole, x, wide):
        return nbgrad.where(mask, x, x * whole), wide * x, nbgrad.where(mask, wide, x), x > wide, nbgrad.sum(whole)

    for size in SIZES[1:]:
        x, wide = draw(size, "float32"), draw(size, "float64", 1)
        mask, whole = x > 0.5, np.arange(size) - 7
        got = nbgrad.jit(function)(*map(cupy.asarray, (mask, whole, x, wide)))
        for y, e in zip(got, function(mask, whole, x, wide), strict=True):
            assert y.dtype == e.dtype
            np.testing.assert_allclose(y.get(), e, rtol=1e-6)
    assert goes_by_vectors(last_launch())


def test_bytes_and_strides_go_one_by_one():
    mask = draw(1025, "float64") > 0
    assert_same(lambda m: nbgrad.logical_not(m), [mask], ~mask)
    x = draw((33, 70), "float32")
    assert_same(lambda x: x[:, ::2] * 2 + x[:, 1::2], [x])
    assert_same(lambda x: x.T * 2, [x])


def test_offsets_within_an_array():
    x = draw(1025, "float32")
    for distance in (1, 4):
        assert_same(lambda x, d=distance: x[d:] * x[:-d], [x], x[distance:] * x[:-distance])
    x = draw((9, 1028), "float32")
    assert_same(lambda x: nbgrad.softmax(x[:, 4:], -1), [x])
    assert_same(lambda x: nbgrad.softmax(x[:, 1:-3], -1), [x])


# ---- rows -----------------------------------------------------------------------------------------------------------


def softmax(x):
    shifted = np.exp(x - x.max(-1, keepdims=True))
    return shifted / shifted.sum(-1, keepdims=True)


@floating
@pytest.mark.parametrize("width", WIDTHS)
def test_softmax_of_rows(width, dtype):
    for rows in (1, 37):
        x = draw((rows, width), dtype)
        assert_same(lambda x: nbgrad.softmax(x * 3, -1), [x], softmax(x * 3))


def normalised(x, gain, bias):
    centred = x - x.mean(-1, keepdims=True)
    return centred / nbgrad.sqrt((centred * centred).mean(-1, keepdims=True) + 0.1) * gain + bias


def weighted(x, gain, bias, weights):
    return nbgrad.sum(normalised(x, gain, bias) * weights)


def normalised_by_hand(x, gain, bias, weights):
    """Give the value and the gradients of `weighted`, by the textbook."""
    x, gain, bias, weights = (a.astype(float) for a in (x, gain, bias, weights))
    centred = x - x.mean(-1, keepdims=True)
    scale = 1 / np.sqrt((centred**2).mean(-1, keepdims=True) + 0.1)
    y, gy = centred * scale, weights * gain
    gx = scale * (gy - gy.mean(-1, keepdims=True) - y * (gy * y).mean(-1, keepdims=True))
    return ((y * gain + bias) * weights).sum(), (gx, (weights * y).sum(0), weights.sum(0))


@pytest.mark.parametrize("width", [1, 3, 10, 33, 64, 256, 1023])
@pytest.mark.parametrize("rows", [3, 70])
def test_layer_norm_with_gradients_over_rows_and_columns(rows, width):
    arrays = [draw((rows, width), "float32"), draw(width, "float32", 1), draw(width, "float32", 2)]
    arrays.append(draw((rows, width), "float32", 3))
    function = nbgrad.value_and_grad(weighted, argnums=(0, 1, 2))
    assert_same(function, arrays, normalised_by_hand(*arrays), scale=4)


@pytest.mark.usefixtures("few_blocks")
@floating
@pytest.mark.parametrize(("rows", "width"), [(70, 10), (301, 2), (50, 64), (29, 256), (28, 516)])
def test_blocks_take_several_turns(rows, width, dtype):
    arrays = [draw((rows, width), dtype), draw(width, dtype, 1), draw(width, dtype, 2), draw((rows, width), dtype, 3)]
    function = nbgrad.value_and_grad(weighted, argnums=(0, 1, 2))
    assert_same(function, arrays, normalised_by_hand(*arrays), scale=4)
    assert_same(lambda x: nbgrad.softmax(x, -1), [arrays[0]], softmax(arrays[0]))


@pytest.mark.usefixtures("few_blocks", "few_registers")
@floating
@pytest.mark.parametrize("width", [129, 260, 1025])
@pytest.mark.parametrize("shift", [0, 1])
def test_rows_too_long_for_registers(width, dtype, shift):
    arrays = [draw((7, width), dtype), draw(width, dtype, 1), draw(width, dtype, 2), draw((7, width), dtype, 3)]
    function = nbgrad.value_and_grad(weighted, argnums=(0, 1, 2))
    assert_same(function, arrays, normalised_by_hand(*arrays), shift, scale=4)
    assert_same(lambda x: nbgrad.softmax(x, -1), [arrays[0]], softmax(arrays[0]), shift)


@pytest.mark.usefixtures("few_blocks")
@pytest.mark.parametrize("shape", [(5, 3), (700, 1), (700, 10), (65, 33), (9, 200), (40, 516)])
def test_columns(shape):
    x, bias = draw(shape, "float32"), draw(shape[1], "float32", 1)
    wide = x.astype(float)

    def function(x, bias):
        return nbgrad.sum(x * x, 0), nbgrad.amax(x, 0), nbgrad.relu(x + bias)

    expected = (wide * wide).sum(0), x.max(0), np.maximum(x + bias, 0)
    for shift in (0, 1):
        assert_same(function, [x, bias], expected, shift)


@pytest.mark.compiled
@pytest.mark.slow
def test_several_folds_of_rows_and_of_all():
    def function(x):
        rows = nbgrad.sum(x, -1, keepdims=True)
        return rows, nbgrad.amax(x, -1), nbgrad.sum(x / (1 + rows * rows)), nbgrad.amin(x), nbgrad.sum(rows * rows)

    for shape in ((5, 7), (70, 12), (3, 130)):
        x = draw(shape, "float64")
        rows = x.sum(-1, keepdims=True)
        expected = rows, x.max(-1), (x / (1 + rows * rows)).sum(), x.min(), (rows * rows).sum()
        assert_same(function, [x], expected)


@pytest.mark.parametrize("dtype", ["bool", "int8", "uint32", "uint64"])
def test_whole_numbers_over_rows_and_columns(dtype):
    x = (np.arange(70 * 33).reshape(70, 33) * 7 % 5).astype(dtype)
    rows, columns, whole = nbgrad.jit(lambda x: (nbgrad.sum(x, -1), nbgrad.amax(x, 0), nbgrad.sum(x)))(cupy.asarray(x))
    np.testing.assert_array_equal(rows.get(), x.sum(-1))
    np.testing.assert_array_equal(columns.get(), x.max(0))
    assert whole.get() == x.sum()


def test_nan_and_infinity_come_through():
    x = draw((6, 33), "float32")
    x[1, 5], x[2, 7], x[3] = np.nan, np.inf, -np.inf
    expected = x.sum(-1), x.max(-1), x.max(0)
    assert_same(lambda x: (nbgrad.sum(x, -1), nbgrad.amax(x, -1), nbgrad.amax(x, 0)), [x], expected)


# ---- what is beyond the ends ----------------------------------------------------------------------------------------


class Fenced:
    """An array in memory of its own, with a page that nobody may touch on either side; it lies at one of the ends.

    Whoever reads or writes beyond kills the process.
    """

    _kept: ClassVar[list] = []

    def __init__(self, array, end, exact):
        page = mmap.PAGESIZE
        inner = -(-array.nbytes // page) * page
        memory = mmap.mmap(-1, inner + 2 * page)
        self._kept.append(memory)
        begin = ctypes.addressof(ctypes.c_char.from_buffer(memory))
        library = ctypes.CDLL(None)
        for fence in (begin, begin + page + inner):
            assert library.mprotect(ctypes.c_void_p(fence), ctypes.c_size_t(page), 0) == 0
        place = begin + page + (inner - array.nbytes if end else 0)
        if not exact:
            place -= place % 16
        ctypes.memmove(place, array.ctypes.data, array.nbytes)
        described = {"shape": array.shape, "typestr": array.dtype.str, "data": (place, False), "version": 3}
        self.__cuda_array_interface__ = {**described, "strides": None}


@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize("end", [False, True])
def test_nothing_is_read_beyond_the_ends_of_arrays(end, exact, monkeypatch):
    if not hasattr(launch.backend, "launches"):
        pytest.skip("the memory is the CPU's")
    rows = [(1, 1), (7, 3), (5, 10), (9, 64), (3, 132), (3, 259)]
    programs = [
        (lambda x: nbgrad.exp(x), [(size,) for size in (1, 3, 5, 1023, 1024, 1027, 4099)]),
        (lambda x: (nbgrad.sum(x), x * 2), [(size,) for size in (1, 3, 1027, 4099)]),
        (lambda x: nbgrad.softmax(x, -1), rows),
        (lambda x: nbgrad.sum(x, 0), [(1, 1), (70, 3), (9, 64), (5, 301)]),
        (lambda x: x.T * 2, [(5, 7), (33, 65)]),
        (None, []),
        (lambda x: nbgrad.softmax(x, -1), [(3, 259), (3, 260)]),
    ]
    for function, shapes in programs:
        if function is None:  # what follows is too long to be held
            monkeypatch.setattr(forms, "_REGISTERS", 1)
        for shape in shapes:
            x = draw(shape, "float32")
            device = cupy.asarray(Fenced(x, end, exact))
            assert device.data.ptr % 16 == 0 or exact
            for y, e in zip(leaves(nbgrad.jit(function)(device)), leaves(function(x)), strict=True):
                np.testing.assert_allclose(y.get(), e, rtol=1e-5, atol=1e-5)


# ---- any shape ------------------------------------------------------------------------------------------------------

PROGRAMS = {
    "elements": lambda x, y: nbgrad.tanh(x) * y + 1,
    "a row": lambda x, y: nbgrad.sin(x + y[..., :1, :]),
    "softmax": lambda x, y: nbgrad.softmax(x * y, -1),
    "columns": lambda x, y: (nbgrad.sum(x * y, 0), x + y),
    "rows, columns, all": lambda x, y: (nbgrad.mean(x, -1), nbgrad.sum(x * nbgrad.amax(y, -1, keepdims=True), 0)),
    "all": lambda x, y: (nbgrad.sum(nbgrad.exp(-x * x)), x - y),
    "transposed": lambda x, y: nbgrad.swapaxes(x, -1, -2) * nbgrad.swapaxes(y * 2, -1, -2),
}


@settings(max_examples=40, suppress_health_check=list(HealthCheck))
@given(
    name=st.sampled_from(sorted(PROGRAMS)),
    shape=st.one_of(
        st.tuples(st.integers(0, 90), st.integers(1, 150)),
        st.tuples(st.integers(1, 5), st.integers(1, 9), st.integers(1, 40)),
    ),
    dtype=st.sampled_from(["float32", "float64"]),
    even=st.sampled_from([2, 528]),
    shift=st.integers(0, 2),
)
def test_any_shape(name, shape, dtype, even, shift):
    if 0 in shape and name in ("rows, columns, all", "columns"):
        shape = (1, *shape[1:])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(forms, "_RESIDENT", even)
        assert_same(PROGRAMS[name], [draw(shape, dtype), draw(shape, dtype, 1)], shift=shift, scale=4)
