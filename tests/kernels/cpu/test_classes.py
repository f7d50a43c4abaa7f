"""Loops of losses of classes: rows of all lengths, layouts, many rows, special values, classes that do not exist."""

import numpy as np
import pytest
from cases import LAYOUTS, draw

import nbgrad
from nbgrad.kernels.cpu import classes

REAL = ((-9.0, 9.0),)
#: Rows of no length that fills the lanes, of the lanes' own, and beyond; one row and several, many and very many.
SHAPES = [(1, 1), (4, 5), (3, 63), (3, 64), (3, 65), (130, 7), (2, 200), (9001, 3), (40, 700)]


def expected_of(x, labels, gy, count):
    """Give the loss and its gradient from NumPy, in double precision."""
    x = x.astype(np.float64)
    e = np.exp(x - x.max(1, keepdims=True))
    rows = np.arange(len(x))
    loss = (np.log(e.sum(1)) + x.max(1) - x[rows, labels]).sum() / count
    gx = e / e.sum(1, keepdims=True)
    gx[rows, labels] -= 1
    return loss, gx * gy / count


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("layout", ["contiguous", "strided", "negative-stride", "Fortran-ordered", "read-only"])
def test_cross_entropy(dtype, shape, layout):
    x = LAYOUTS[layout](draw(REAL, shape, dtype))
    labels = np.random.default_rng(0).integers(0, shape[1], shape[0])
    count, gy = np.array(shape[0], dtype), np.array(1.5, dtype)
    loss, state = classes.cross_entropy(x, labels, count)
    gx = classes.cross_entropy_slope(gy, x, labels, count, state)
    wanted, slope = expected_of(x, labels, 1.5, shape[0])
    assert loss.dtype == gx.dtype == dtype and loss.shape == () and gx.shape == shape
    eps = np.finfo(dtype).eps
    np.testing.assert_allclose(loss, wanted, rtol=8 * eps, atol=8 * eps)
    np.testing.assert_allclose(gx, slope, rtol=32 * eps, atol=4 * eps)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("layout", ["contiguous", "strided", "negative-stride", "Fortran-ordered"])
def test_nll(dtype, layout):
    x, labels = LAYOUTS[layout](draw(REAL, (5, 3), dtype)), np.array([2, 0, 1, 1, 2])
    count, gy = np.array(5, dtype), np.array(1.5, dtype)
    loss = classes.nll(x, labels, count)
    np.testing.assert_allclose(loss, -x[np.arange(5), labels].mean(), rtol=4 * np.finfo(dtype).eps)
    gx = classes.nll_slope(gy, labels, count, x.shape)
    wanted = np.zeros_like(gx)
    wanted[np.arange(5), labels] = -gy / count
    np.testing.assert_array_equal(gx, wanted)


@pytest.mark.parametrize("shape", [(4, 5), (3, 70), (9001, 3), (40, 700)], ids=str)
@pytest.mark.parametrize("wrong", [-1, None, 2**40])
def test_classes_that_do_not_exist_are_refused(shape, wrong):
    x, labels = draw(REAL, shape), np.zeros(shape[0], np.int64)
    count, gy = np.array(1.0), np.array(1.0)
    _, state = classes.cross_entropy(x, labels, count)
    labels[-1] = shape[1] if wrong is None else wrong
    calls = [
        lambda: classes.cross_entropy(x, labels, count),
        lambda: classes.cross_entropy_slope(gy, x, labels, count, state),
        lambda: classes.nll(x, labels, count),
        lambda: classes.nll_slope(gy, labels, count, shape),
    ]
    for call in calls:
        with pytest.raises(IndexError):
            call()


def test_results_do_not_depend_on_the_threads():
    x = draw(REAL, (9001, 3), "float32")
    labels, count = np.arange(9001) % 3, np.array(9001, "float32")
    found = []
    before = nbgrad.get_num_threads()
    try:
        for threads in (1, 2, 4):
            nbgrad.set_num_threads(threads)
            loss, state = classes.cross_entropy(x, labels, count)
            found.append((loss, classes.cross_entropy_slope(np.array(1, "float32"), x, labels, count, state)))
    finally:
        nbgrad.set_num_threads(before)
    for loss, gx in found[1:]:
        assert loss == found[0][0]
        np.testing.assert_array_equal(gx, found[0][1])


@pytest.mark.parametrize("columns", [3, 70])
def test_infinities_and_nan(columns):
    x = np.zeros((4, columns))
    x[0, 1], x[1, 0], x[2, 2], x[3] = np.inf, -np.inf, np.nan, -1000.0
    labels = np.zeros(4, np.int64)
    each = [classes.cross_entropy(x[i : i + 1], labels[:1], np.array(1.0))[0] for i in range(4)]
    assert np.isnan(each[0]) and each[1] == np.inf and np.isnan(each[2])
    np.testing.assert_allclose(each[3], np.log(columns), rtol=1e-15)
