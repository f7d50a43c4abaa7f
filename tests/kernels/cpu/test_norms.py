"""Loops of layer norm: many rows, threads, numbers far from 0."""

import numpy as np
import pytest
from cases import draw

import nbgrad
from nbgrad.kernels.cpu import norms

REAL = ((-2.0, 2.0),)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_mean_that_is_far_from_zero_costs_no_digits(dtype):
    x = draw(REAL, (3, 100), dtype) + np.array(1000, dtype)
    wide = x.astype(np.float64)
    expected = (wide - wide.mean(1, keepdims=True)) / wide.std(1, keepdims=True)
    y, state = norms.layer_norm(x, np.ones(100, dtype), np.zeros(100, dtype), np.array(0, dtype))
    np.testing.assert_allclose(y, expected, rtol=1e-6 if dtype == "float32" else 1e-12, atol=1e-7)
    np.testing.assert_allclose(state[:, 0], wide.mean(1), rtol=1e-14)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("rows", [31, 900, 901])
def test_results_do_not_depend_on_the_threads(rows, dtype):
    x, gy, weight = draw(REAL, (rows, 70), dtype), draw(REAL, (rows, 70), dtype, 1), draw(REAL, (70,), dtype, 2)
    before, found = nbgrad.get_num_threads(), []
    try:
        for threads in (1, 3):
            nbgrad.set_num_threads(threads)
            y, state = norms.layer_norm(x, weight, weight, np.array(1e-5, dtype))
            slopes = norms.layer_norm_slope(gy, x, weight, state), *norms.layer_norm_columns(gy, x, state)
            together = norms.layer_norm_slopes(gy, x, weight, state)
            for one, other in zip(slopes, together, strict=True):
                assert one.dtype == other.dtype == dtype
                np.testing.assert_allclose(one, other, rtol=2e-6 if dtype == "float32" else 1e-12, atol=1e-6)
            found.append([y, state, *slopes, *together])
    finally:
        nbgrad.set_num_threads(before)
    for a, b in zip(*found, strict=True):
        np.testing.assert_array_equal(a, b)
    normal = (x - x.mean(1, keepdims=True)) / x.std(1, keepdims=True)
    _, _, gx, gw, gb, *_ = found[0]
    assert gx.dtype == gw.dtype == gb.dtype == dtype
    np.testing.assert_allclose(gw, (gy * normal).sum(0), rtol=1e-3, atol=2e-3)
    np.testing.assert_allclose(gb, gy.sum(0), rtol=1e-4, atol=1e-4)
