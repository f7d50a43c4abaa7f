"""Gather and scatter of the CUDA target against NumPy's indexing."""

import cupy
import numpy as np
import pytest
from helpers import usually

from nbgrad.kernels.cuda import indexing
from nbgrad.kernels.cuda.indexing import gather, scatter_add

WIDTHS = [0, 1, 2, 4, 16, 17, 300]
COUNTS = [0, 1, 9, 500]


def scattered(index, g, y):
    """Let NumPy add rows at positions, one after the other."""
    expected = y.copy()
    np.add.at(expected, index, g)
    return expected


def layouts(x):
    """Give arrays on the device with the elements of x, and in other orders, each with what it holds."""
    device = cupy.asarray(x)
    yield device, x
    yield cupy.asarray(x.T.copy()).T, x
    yield device[::-1], x[::-1]
    yield device[:, ::-2], x[:, ::-2]
    yield device[:, 1:], x[:, 1:]


@pytest.mark.parametrize("dtype", ["float32", "float64", "int8", "uint16", "bool", "complex64"])
@pytest.mark.parametrize("width", WIDTHS)
def test_rows_are_gathered(dtype, width):
    random = np.random.default_rng(0)
    x = (random.normal(size=(50, width)) * 5).astype(dtype)
    for count in COUNTS:
        index = random.integers(0, 50, count)
        for device, host in layouts(x):
            for positions in (index, cupy.asarray(index), cupy.asarray(index.repeat(2))[::2]):
                y = gather(device, positions)
                assert y.dtype == x.dtype
                np.testing.assert_array_equal(cupy.asnumpy(y), host[index])


@pytest.mark.parametrize("dtype", usually(["float32", "float64"], "float32"))
@pytest.mark.parametrize("width", usually(WIDTHS, 0, 1, 4, 17))
def test_rows_are_added_in_their_order(dtype, width):
    random = np.random.default_rng(0)
    for count in COUNTS:
        for rows in (50, 3):  # few rows meet often
            index = random.integers(0, rows, count)
            g, y = random.normal(size=(count, width)).astype(dtype), random.normal(size=(rows, width)).astype(dtype)
            for device, host in layouts(g):
                for positions in (index, cupy.asarray(index)):
                    into = cupy.asarray(y[:, : host.shape[1]].copy())
                    # the views of g's rows in reverse belong to the same positions
                    assert scatter_add(positions, device, into) is into
                    expected = scattered(index, host, y[:, : host.shape[1]])
                    np.testing.assert_array_equal(cupy.asnumpy(into), expected)


def test_into_a_transposed_table():
    g, index = np.arange(12.0).reshape(6, 2), np.array([2, 0, 2, 1, 2, 0])
    y = cupy.zeros((2, 3)).T
    scatter_add(index, cupy.asarray(g), y)
    np.testing.assert_array_equal(cupy.asnumpy(y), scattered(index, g, np.zeros((3, 2))))


def test_repeated_positions_accumulate_in_order():
    g = np.array([[1e16], [1.0], [-1e16]] * 5)
    y = scatter_add(np.zeros(15, np.int64), cupy.asarray(g), cupy.zeros((1, 1)))
    np.testing.assert_array_equal(cupy.asnumpy(y), scattered(np.zeros(15, int), g, np.zeros((1, 1))))


@pytest.mark.parametrize("few", [0, 4096])
@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 63, 64, 65, 203])
def test_positions_are_sorted_and_equal_ones_keep_their_order(monkeypatch, count, few):
    monkeypatch.setattr(indexing, "_FEW", few)
    for largest in (1, 7, 1000):
        index = np.random.default_rng(count).integers(0, largest, 2 * count)[::2]
        for given in (cupy.asarray(index.copy()), cupy.asarray(np.repeat(index, 2))[::2]):
            ranked, order = indexing._sorted(given)
            np.testing.assert_array_equal(cupy.asnumpy(order), np.argsort(index, kind="stable"))
            np.testing.assert_array_equal(cupy.asnumpy(ranked), np.sort(index))


def test_each_is_the_others_adjoint():
    random = np.random.default_rng(0)
    x, g = random.integers(-9, 9, (50, 3)).astype(float), random.integers(-9, 9, (200, 3)).astype(float)
    index = random.integers(0, 50, 200)
    y = cupy.asnumpy(scatter_add(index, cupy.asarray(g), cupy.zeros((50, 3))))
    assert (cupy.asnumpy(gather(cupy.asarray(x), index)) * g).sum() == (x * y).sum()


def test_other_dtypes_are_cast_or_refused():
    x = cupy.asarray(np.arange(6.0).reshape(3, 2))
    np.testing.assert_array_equal(cupy.asnumpy(gather(x, np.array([2, 0], np.uint8))), [[4, 5], [0, 1]])
    with pytest.raises(TypeError, match="positions of dtype float64: whole numbers pick rows"):
        gather(x, np.array([0.5]))
    with pytest.raises(TypeError, match="gather: no kernel for dtype complex128"):
        gather(x.astype(complex), np.array([0]))
    with pytest.raises(TypeError, match="scatter_add: no kernel for float64 into float32: convert both"):
        scatter_add(np.array([0, 1, 2]), x, cupy.zeros((3, 2), np.float32))
