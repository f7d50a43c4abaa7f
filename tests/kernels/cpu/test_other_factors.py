"""Products of all others: lines of all lengths, any axes and layouts, zeros, numbers whose product leaves the range."""

import itertools

import numpy as np
import pytest
from cases import LAYOUTS, draw

import nbgrad
from nbgrad.kernels.cpu.other_factors import products_of_others

NEAR_ONE = ((-1.4, -0.7), (0.7, 1.4))


def expected_of(x, gy, axes):
    """Give them by leaving out each element in turn."""
    found = np.empty(x.shape)
    wide = x.astype(np.float64)
    for place in np.ndindex(x.shape):
        lines = tuple(slice(None) if axis in axes else i for axis, i in enumerate(place))
        line = np.array(wide[lines])
        line[tuple(i for axis, i in enumerate(place) if axis in axes)] = 1
        found[place] = line.prod() * gy[tuple(i for axis, i in enumerate(place) if axis not in axes)]
    return found


def check(x, axes):
    kept = tuple(size for axis, size in enumerate(x.shape) if axis not in axes)
    gy = draw(NEAR_ONE, kept, str(x.dtype), 3)
    found = products_of_others(x, gy, axes)
    assert found.dtype == x.dtype and found.shape == x.shape
    np.testing.assert_allclose(found, expected_of(x, gy, axes), rtol=1e-5 if x.dtype == np.float32 else 1e-13)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("axes", [axes for n in range(4) for axes in itertools.combinations(range(3), n)], ids=str)
def test_any_axes(dtype, axes):
    check(draw(NEAR_ONE, (3, 4, 2), dtype), axes)


@pytest.mark.parametrize("layout", ["contiguous", "strided", "negative-stride", "Fortran-ordered", "broadcast"])
@pytest.mark.parametrize("shape", [(1,), (63,), (64,), (65,), (200,), (3, 70), (70, 3), (2, 65)], ids=str)
def test_any_layout_and_length(shape, layout):
    x = LAYOUTS[layout](draw(NEAR_ONE, shape))
    for axis in range(x.ndim):
        check(x, (axis,))


@pytest.mark.parametrize("size", [5, 200])
def test_zeros(size):
    x = draw(NEAR_ONE, (3, size))
    x[1, 2] = x[2, 1] = x[2, size - 1] = 0
    for lines, axis in ((x, 1), (x.T, 0)):
        check(lines, (axis,))
        found = products_of_others(lines, np.ones(3), (axis,))
        found = found if axis else found.T
        assert found[0].all() and np.flatnonzero(found[1]).tolist() == [2] and not found[2].any()


def test_nothing_to_multiply():
    assert products_of_others(np.ones((0, 3)), np.ones(3), (0,)).shape == (0, 3)
    np.testing.assert_array_equal(products_of_others(np.full((2, 1), 7.0), np.array([2.0, 3.0]), (1,)), [[2], [3]])
    np.testing.assert_array_equal(products_of_others(np.full(2, 7.0), np.array([2.0, 3.0]), ()), [2, 3])


def test_products_of_float32_may_leave_its_range_between():
    x = np.array([1e30, 1e30] + [1.0] * 62 + [1e-30, 1e-30], np.float32)
    np.testing.assert_allclose(products_of_others(x, np.array(1, np.float32), (0,))[2:64], 1, rtol=1e-5)


def test_threads_change_nothing():
    x = draw(NEAR_ONE, (700, 90), "float32")
    gy = draw(NEAR_ONE, (700,), "float32", 1)
    before, found = nbgrad.get_num_threads(), []
    try:
        for threads in (1, 3):
            nbgrad.set_num_threads(threads)
            found.append(products_of_others(x, gy, (1,)))
    finally:
        nbgrad.set_num_threads(before)
    np.testing.assert_array_equal(*found)
