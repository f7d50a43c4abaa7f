"""Loops over rows of every length, as they are compiled."""

import numpy as np
import pytest
from cases import DTYPES

import nbgrad


@pytest.mark.parametrize("length", [1, 3, 63, 64, 65, 200, 70_000])
@pytest.mark.parametrize("dtype", DTYPES)
def test_lengths_of_rows(length, dtype):
    """Rows shorter than the lanes, whole numbers of them, and rests; several blocks of a long one."""
    x = np.random.default_rng(0).normal(size=(2, length)).astype(dtype)
    limits = {"rtol": 1e-4, "atol": 1e-5} if dtype == "float32" else {"rtol": 1e-12, "atol": 1e-13}
    for axes in (None, 0, 1):
        function = nbgrad.jit(lambda x, axes=axes: (x * x).sum(axes) + nbgrad.exp(x).mean(axes))
        np.testing.assert_allclose(function(x), (x * x).sum(axes) + np.exp(x).mean(axes), **limits)
