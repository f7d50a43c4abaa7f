"""Products of small matrices by a loop."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from layouts import LAYOUTS, array

from nbgrad.kernels.cpu import products

sizes = st.integers(0, 10)


@given(sizes, sizes, sizes, st.sampled_from(sorted(set(LAYOUTS) - {"large"})), st.sampled_from("fd"))
@settings(max_examples=150)
def test_each_result_is_the_sum_over_the_inner_dimension(m, k, n, layout, dtype):
    x, w = array((m, k), layout, dtype), array((k, n), layout, dtype, 1)
    found = products.multiply(x, w)
    if not x.dtype.isnative:
        found = products.multiply(x.astype(dtype), w.astype(dtype))
    exact = x.astype(float) @ w.astype(float)
    bound = (k + 1) * np.finfo(dtype).eps * (abs(x.astype(float)) @ abs(w.astype(float)))
    assert found.dtype == dtype and found.shape == (m, n)
    assert (abs(found - exact) <= bound).all()


def test_infinities_and_nan_are_as_silent_as_everywhere():
    x = np.array([[np.inf, np.nan, 0.0]])
    with np.errstate(all="raise"):
        assert np.isnan(products.multiply(x, x.T)).all()


@pytest.mark.parametrize(
    "x, w",
    [
        (np.ones((2, 65)), np.ones((65, 2))),
        (np.ones((20, 20)), np.ones((20, 20))),
        (np.ones((60, 0)), np.ones((0, 60))),
        (np.ones((2, 2, 2)), np.ones((2, 2))),
        (np.ones(()), np.ones(2)),
        (np.ones((2, 3)), np.ones((2, 3))),
        (np.ones((2, 2), np.float32), np.ones((2, 2))),
        (np.ones((2, 2), int), np.ones((2, 2), int)),
    ],
    ids=str,
)
def test_others_are_left_to_blas(x, w):
    assert products.multiply(x, w) is None
