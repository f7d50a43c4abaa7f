"""Matrix products of every layout, by cuBLAS or what stands in for it."""

import cupy
import hypothesis
import numpy as np
import pytest
from both import on_device
from hypothesis import strategies as some

import nbgrad
from nbgrad.kernels.cuda import blas

dtypes = pytest.mark.parametrize("dtype", ["float32", "float64"])


def laid_out(array, order, steps):
    """Give an array on the device with given elements, its axes in some order in memory, and steps along them."""
    sizes = [array.shape[axis] * abs(step) + 1 for axis, step in zip(order, steps, strict=True)]
    view = cupy.zeros(sizes, array.dtype)[tuple(slice(None, None, step) for step in steps)]
    view = view[tuple(slice(array.shape[axis]) for axis in order)].transpose(*np.argsort(order).tolist())
    view[...] = on_device(array)
    return view


layouts = some.tuples(some.permutations([0, 1, 2]), some.tuples(*[some.sampled_from([1, 1, 1, 2, -1])] * 3))


@hypothesis.given(
    some.tuples(*[some.integers(0, 4)] * 4),
    some.sampled_from([(2, 2), (1, 2), (2, 1), (3, 3), (3, 2), (2, 3), (3, 1), (1, 3), (1, 1)]),
    some.tuples(layouts, layouts),
    some.booleans(),
    some.sampled_from(["float32", "float64"]),
)
@hypothesis.settings(max_examples=400)
def test_products_are_numpys(sizes, ranks, memory, one_stack, dtype):
    m, k, n, stack = sizes
    random = np.random.default_rng(0)
    shapes = ((stack, m, k)[-ranks[0] :], (1 if one_stack else stack, k, n)[-ranks[1] :] if ranks[1] > 1 else (k,))
    x, w = (random.normal(size=shape).astype(dtype) for shape in shapes)
    expected = np.matmul(x, w)
    there = [
        laid_out(array, [axis for axis in order if axis < array.ndim], steps[: array.ndim])
        for array, (order, steps) in zip((x, w), memory, strict=True)
    ]
    limits = {"rtol": 1e-5, "atol": 1e-5} if dtype == "float32" else {"rtol": 1e-12, "atol": 1e-12}
    np.testing.assert_allclose(cupy.asnumpy(blas.product(*there)), expected, **limits)
    out = cupy.full(expected.shape, np.nan, dtype)
    assert blas.product(*there, out) is out
    np.testing.assert_allclose(cupy.asnumpy(out), expected, **limits)


@dtypes
@pytest.mark.parametrize(
    ("shapes", "hint"),
    [
        (((2, 3), (4, 5)), "3 columns meet 4 rows"),
        (((3,), (4, 5)), "3 columns meet 4 rows"),
        (((2, 3), (4,)), "3 columns meet 4 rows"),
        (((2, 2, 3), (3, 3, 4)), "the stacks do not broadcast"),
    ],
)
def test_shapes_that_do_not_match_are_named(dtype, shapes, hint):
    x, w = (nbgrad.ones(*shape, dtype=dtype, device="cuda") for shape in shapes)
    with pytest.raises(ValueError, match=hint):
        x @ w
    assert float((x.reshape(-1)[:3] @ w.reshape(-1)[:3]).detach()) == 3


def test_infinities_and_nan_pass_through():
    x = nbgrad.tensor([[np.inf, 0.0], [np.nan, 1.0]], dtype=np.float32, device="cuda")
    found = (x @ nbgrad.ones(2, 2, dtype=np.float32, device="cuda")).cpu().numpy()
    np.testing.assert_array_equal(found, [[np.inf, np.inf], [np.nan, np.nan]])


def test_matrices_in_rows_and_columns_are_read_where_they_are(monkeypatch):
    """Neither contiguous nor transposed operands, nor parts of wider matrices, are copied."""
    x, w = cupy.ones((4, 6), np.float32), cupy.ones((6, 8), np.float32)
    seen = []
    monkeypatch.setattr(blas, "_operand", lambda *a, real=blas._operand: seen.append((a[0], real(*a)[0])) or real(*a))
    for pair in ((x, w), (w.T, x.T), (x[1:], w[:, 2:5]), (x[0], w), (x, w[:, 1]), (x.T[1:], x[:, :3])):
        blas.product(*pair)
    assert len(seen) == 12
    for given, read in seen:
        assert given is read
