"""Products of a matrix and a vector by lines, launched as jit does."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from layouts import misaligned

import nbgrad
from nbgrad.kernels.cpu import launch, matrix_vector
from nbgrad.kernels.placement import CPU


def steps_of(x, w, y):
    """Give a product's sizes and steps as `Compiler.product_loop` takes them."""
    m, n = (x.shape[0] if x.ndim > 1 else 1), (w.shape[1] if w.ndim > 1 else 1)
    rows, columns = x.strides if x.ndim > 1 else (0, *x.strides), w.strides if w.ndim > 1 else (*w.strides, 0)
    result = (y.strides[0] if x.ndim > 1 else 0, y.strides[-1] if w.ndim > 1 else 0)
    return (1, m, x.shape[-1], n), [0, 0, 0, *rows, *columns, *result]


def multiplied(x, w):
    """Multiply by the loop; None where it is not for the operands."""
    y = np.full((*x.shape[:-1], *w.shape[1:]), np.nan, x.dtype)
    form = matrix_vector.form_of(x.dtype.name, *steps_of(x, w, y))
    if form is None:
        return None
    room = matrix_vector.room(form, matrix_vector.blocks_of(x.dtype.name, form)[1])
    more = [np.full(room, np.nan, x.dtype)] if room else []
    for each in matrix_vector.launches(x.dtype.name, form, [0, 0, 0]):
        launch.launcher(each)(x, w, y, *more)
    return y


def assert_right(found, x, w):
    """Assert that a product is as exact as any order of additions makes it."""
    exact = x.astype(np.longdouble) @ w.astype(np.longdouble)
    bound = x.shape[-1] * np.finfo(x.dtype).eps * (abs(x).astype(np.longdouble) @ abs(w).astype(np.longdouble))
    assert (abs(found - exact) <= bound).all()


def operands(rows, columns, dtype, apart, transposed, left, reverse):
    """Give a matrix and a vector in one of the orders: `apart` elements lie between its lines."""
    random = np.random.default_rng(rows + 100 * columns)
    matrix = random.normal(size=(rows, columns + apart)).astype(dtype)[:, :columns]
    matrix = (matrix[::-1] if reverse else matrix).T if transposed else matrix[::-1] if reverse else matrix
    vector = random.normal(size=matrix.shape[0 if left else 1]).astype(dtype)
    return (vector, matrix) if left else (matrix, vector)


sizes, either = st.integers(0, 40), st.booleans()


@given(sizes, sizes, st.sampled_from("fd"), st.integers(0, 3), either, either, either)
@settings(max_examples=300, deadline=None)
def test_each_result_is_the_sum_over_the_inner_dimension(rows, columns, dtype, apart, transposed, left, reverse):
    x, w = operands(rows, columns, dtype, apart, transposed, left, reverse)
    found = multiplied(x, w)
    assert (found is None) == (rows < 4 or columns < 8)
    if found is not None:
        assert_right(found, x, w)


@pytest.mark.parametrize("dtype", ["f", "d"])
@pytest.mark.parametrize("left", [False, True])
@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("rows, columns", [(5003, 101), (101, 5003), (67, 5003)])
def test_what_threads_share(rows, columns, transposed, left, dtype):
    x, w = operands(rows, columns, dtype, 2, transposed, left, False)
    before, found = nbgrad.get_num_threads(), []
    try:
        for count in (1, 2, 3):
            nbgrad.set_num_threads(count)
            found.append(multiplied(x, w))
    finally:
        nbgrad.set_num_threads(before)
    assert_right(found[0], x, w)
    assert all(each.tobytes() == found[0].tobytes() for each in found)


@pytest.mark.parametrize("left", [False, True])
def test_vectors_and_results_may_have_steps_where_lines_have_one_element_each(left):
    matrix, wide = np.random.default_rng(0).normal(size=(30, 20)), np.random.default_rng(1).normal(size=(30, 3))
    vector = wide[:, 1]
    assert_right(multiplied(vector, matrix), vector, matrix)
    assert_right(multiplied(matrix.T, vector), matrix.T, vector)
    strided = wide[:20, 1]
    assert multiplied(matrix, strided) is None and multiplied(strided, matrix.T) is None


def test_float32_sums_over_many_lines_are_no_worse_than_those_of_blas():
    random = np.random.default_rng(0)
    matrix, vector = random.uniform(size=(200_000, 8)).astype("f"), np.ones(200_000, "f")
    exact = matrix.sum(0, dtype=float)
    assert (abs(multiplied(vector, matrix) - exact) <= np.maximum(abs(vector @ matrix - exact), 1e-6 * exact)).all()


def test_infinities_and_nan_stay_where_they_are_and_are_silent():
    matrix, ones = np.ones((20, 30)), np.ones(30)
    matrix[3, 7], matrix[5, 1], matrix[6, 2], matrix[6, 3] = np.inf, np.nan, np.inf, -np.inf
    with np.errstate(all="raise"):
        found, across = multiplied(matrix, ones), multiplied(ones[:20], matrix)
    assert found[3] == np.inf and np.isnan(found[[5, 6]]).all()
    assert (np.delete(found, [3, 5, 6]) == 30).all()
    assert across[7] == across[2] == np.inf and across[3] == -np.inf and np.isnan(across[1])
    assert (np.delete(across, [1, 2, 3, 7]) == 20).all()


@pytest.mark.parametrize(
    "x, w",
    [
        (np.ones((20, 30)), np.ones((30, 2))),
        (np.ones(30), np.ones(30)),
        (np.ones((40, 60))[::2, ::2], np.ones(30)),
        (np.ones((3, 100)), np.ones(100)),
        (np.ones((100, 3)), np.ones(3)),
        (np.ones((8, 100_000)), np.ones(100_000)),
        (np.ones(60), np.ones((60, 10_000))),
        (np.ones((0, 30)), np.ones(30)),
        (np.ones((30, 0)), np.ones(0)),
    ],
    ids=lambda x: str(x.shape),
)
def test_others_are_left_to_other_loops_and_to_blas(x, w):
    assert multiplied(x, w) is None


LARGE = np.random.default_rng(0).normal(size=(900, 201))


@pytest.mark.parametrize("dtype", ["f", "d"])
def test_eager_products_of_large_matrices_are_those_of_lines(dtype):
    matrix = LARGE.astype(dtype)
    matrix = np.concatenate([matrix, matrix]) if dtype == "f" else matrix
    vector, other = np.ones(201, dtype) / 3, np.ones(len(matrix), dtype) / 7
    for x, w in ((matrix, vector), (other, matrix), (matrix.T, other), (vector, matrix.T), (matrix, vector[:, None])):
        found, parts = CPU.matmul(x, w), (x, w[:, 0] if w.shape[1:] == (1,) else w)
        assert found.shape == (x @ w).shape and found.dtype == dtype
        assert found.tobytes() == multiplied(*parts).tobytes()
        assert_right(found, x, w)


def test_other_layouts_dtypes_and_shapes_are_multiplied_as_ever():
    swapped, shifted = LARGE.astype(">d"), misaligned(LARGE)
    for x in (LARGE[::2, ::2], swapped, shifted, LARGE.astype(np.int64), np.broadcast_to(LARGE[:, :1], LARGE.shape)):
        w = np.arange(x.shape[1]).astype(x.dtype)
        np.testing.assert_allclose(CPU.matmul(x, w), x @ w, 1e-12, 1e-9)
        np.testing.assert_allclose(CPU.matmul(w, x.T), x @ w, 1e-12, 1e-9)
    mixed = LARGE.astype("f")
    assert CPU.matmul(mixed, np.ones(201)).dtype == np.float64
    assert matrix_vector.multiply(mixed, np.ones(201)) is None
    with pytest.raises(ValueError, match="201"):
        CPU.matmul(LARGE, np.ones(200))
    with pytest.raises(ValueError, match=r"201 columns meet 200 rows"):
        nbgrad.matmul(LARGE, np.ones(200))


def test_gradients_of_large_products_to_second_order():
    x, w = (nbgrad.tensor(each, requires_grad=True) for each in (LARGE, np.ones(201) / 9))
    y = (x @ w).tanh().sum()
    (slope,) = nbgrad.autograd.grad(y, w, create_graph=True)
    (curve,) = nbgrad.autograd.grad((slope**2).sum(), w)
    inner = np.tanh(LARGE @ np.ones(201) / 9)
    first = (1 - inner**2) @ LARGE
    np.testing.assert_allclose(slope.data, first, 1e-9, 1e-9)
    second = -4 * LARGE.T @ (inner * (1 - inner**2) * (LARGE @ first))
    np.testing.assert_allclose(curve.data, second, 1e-9, 1e-7)
