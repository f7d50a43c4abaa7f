"""Gather and scatter against NumPy's indexing."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nbgrad.kernels.cpu.indexing import add_along, gather, scatter_add, take_along
from nbgrad.kernels.cpu.target import Cpu


def scattered(index, g, y):
    """Let NumPy add rows at positions, one after the other."""
    expected = y.copy()
    np.add.at(expected, index, g)
    return expected


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("width", [0, 1, 2, 17])
@pytest.mark.parametrize("count", [0, 1, 9])
def test_rows_are_gathered(dtype, width, count):
    x = np.arange(5 * width, dtype=dtype).reshape(5, width)
    index = np.arange(count) * 3 % 5
    result = gather()(x, index)
    assert result.dtype == dtype
    np.testing.assert_array_equal(result, x[index])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("width", [0, 1, 2, 17])
@pytest.mark.parametrize("count", [0, 1, 9])
def test_rows_are_added(dtype, width, count):
    g = np.arange(count * width, dtype=dtype).reshape(count, width) + 1
    index = np.arange(count) * 3 % 5
    y = np.ones((5, width), dtype)
    result = scatter_add()(index, g, out=y)
    assert result is y
    np.testing.assert_array_equal(y, scattered(index, g, np.ones((5, width), dtype)))


def strided(draw, shape):
    """Draw a view of `shape` with steps, directions and order of axes as they come."""
    steps = [draw(st.sampled_from([1, -1, 2])) for _ in shape]
    fortran = draw(st.booleans())
    base = np.zeros([abs(s) * n for s, n in zip(steps, shape, strict=True)], order="F" if fortran else "C")
    view = base[tuple(slice(None, None, s) for s in steps)]
    view[...] = np.random.default_rng(draw(st.integers(0, 99))).integers(-9, 9, shape)
    return view


@settings(max_examples=60)
@given(st.data(), st.integers(1, 5), st.integers(0, 4), st.integers(0, 12), st.sampled_from([1, -1, 3]))
def test_any_layout(data, rows, width, count, step):
    x = strided(data.draw, (rows, width))
    positions = data.draw(st.lists(st.integers(0, rows - 1), min_size=count, max_size=count))
    index = np.repeat(np.array(positions, np.int64), abs(step))[::step]
    np.testing.assert_array_equal(gather()(x, index), x[index])
    g = strided(data.draw, (index.size, width))
    y = strided(data.draw, (rows, width))
    expected = scattered(index, g, y)
    scatter_add()(index, g, out=y)
    np.testing.assert_array_equal(y, expected)


def test_stacks_of_tables():
    x = np.arange(24.0).reshape(2, 4, 3)
    index = np.array([[3, 0], [1, 1]])
    expected = np.stack([x[b][index[b]] for b in range(2)])
    np.testing.assert_array_equal(gather()(x, index), expected)
    np.testing.assert_array_equal(gather()(x[0], index), x[0][index])
    y = np.zeros((2, 4, 3))
    scatter_add()(index, expected, out=y)
    np.testing.assert_array_equal(y, np.stack([scattered(index[b], expected[b], np.zeros((4, 3))) for b in range(2)]))


def test_repeated_positions_accumulate_in_order():
    g = np.array([[1e16], [1.0], [-1e16]])
    y = np.zeros((1, 1))
    scatter_add()(np.zeros(3, np.int64), g, out=y)
    assert y[0, 0] == (1e16 + 1.0) - 1e16


def test_each_is_the_others_adjoint():
    random = np.random.default_rng(0)
    x, g = random.integers(-9, 9, (50, 3)).astype(float), random.integers(-9, 9, (200, 3)).astype(float)
    index = random.integers(0, 50, 200)
    y = np.zeros_like(x)
    scatter_add()(index, g, out=y)
    assert (gather()(x, index) * g).sum() == (x * y).sum()


def test_special_values_are_quiet():
    x = np.array([[np.nan], [np.inf], [-np.inf], [1e308]])
    with np.errstate(all="raise"):
        np.testing.assert_array_equal(gather()(x, np.array([0, 1, 2])), x[:3])
        y = np.array([[0.0]])
        scatter_add()(np.zeros(2, np.int64), np.array([[1e308], [1e308]]), out=y)
        assert y[0, 0] == np.inf
        scatter_add()(np.zeros(1, np.int64), np.array([[-np.inf]]), out=y)
        assert np.isnan(y[0, 0])


def test_other_dtypes_are_cast_or_refused():
    x = np.arange(6.0).reshape(3, 2)
    np.testing.assert_array_equal(gather()(x, np.array([2, 0], np.uint8)), x[[2, 0]])
    with pytest.raises(TypeError):
        gather()(x, np.array([0.5]))
    with pytest.raises(TypeError):
        gather()(x.astype(complex), np.array([0]))


def test_large_tables():
    x = np.arange(600_000.0, dtype=np.float32).reshape(200_000, 3)
    index = np.random.default_rng(0).integers(0, 200_000, 400_000)
    np.testing.assert_array_equal(gather()(x, index), x[index])
    y = np.zeros((200_000, 3), np.float32)
    scatter_add()(index, np.ones((400_000, 3), np.float32), out=y)
    np.testing.assert_array_equal(y[:, 0], np.bincount(index, minlength=200_000))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("k", "n", "w"), [(5, 3, 1), (4, 6, 3), (2, 0, 2), (3, 4, 0)])
def test_along_an_axis(dtype, k, n, w):
    random = np.random.default_rng(0)
    x, g = random.normal(size=(2, k, w)).astype(dtype), random.normal(size=(2, n, w)).astype(dtype)
    p = random.integers(0, k, (2, n, w))
    np.testing.assert_array_equal(take_along()(x, p), np.take_along_axis(x, p, 1))
    turned = x.transpose(2, 1, 0).copy().transpose(2, 1, 0)
    np.testing.assert_array_equal(take_along()(turned, p[:, ::-1]), np.take_along_axis(x, p[:, ::-1], 1))
    expected, found = x.copy(), x.copy()
    np.add.at(expected, (np.arange(2)[:, None, None], p, np.arange(w)), g)
    add_along()(p, g, out=found)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_positions_outside_touch_no_memory():
    x, p = np.ones((3, 1)), np.array([[0], [3], [-1]])
    np.testing.assert_array_equal(take_along()(x, p), [[1], [0], [0]])
    np.testing.assert_array_equal(add_along()(p, np.ones((3, 1)), out=np.zeros((3, 1))), [[1], [0], [0]])


@pytest.mark.parametrize("dtype", ["int64", "float16", ">i4", ">f8", "float32"])
def test_the_target_scatters_every_dtype(dtype):
    index, g = np.array([2, 0, 2]), np.arange(6).reshape(3, 2).astype(dtype)
    y = Cpu().scatter(index, g, (3, 2), False)
    np.testing.assert_array_equal(y, [[2, 3], [0, 0], [4, 6]])
    assert y.dtype == g.dtype.newbyteorder("=")
    for outside in (-1, 3):
        with pytest.raises(IndexError):
            Cpu().scatter(np.array([outside]), g[:1], (3, 2), False)
