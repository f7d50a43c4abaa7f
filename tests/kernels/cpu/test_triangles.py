"""Inverses of small lower triangles."""

import numpy as np
import pytest

from nbgrad.kernels.cpu import triangles


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n", [0, 1, 2, 7, 33])
def test_inverses_of_lower_triangles(dtype, n):
    random = np.random.default_rng(0)
    x = (np.tril(random.standard_normal((3, n, n)), -1) / (n + 1) + np.eye(n)).astype(dtype)
    x *= random.uniform(0.5, 2, (3, n, 1)).astype(dtype)
    exact = np.linalg.inv(x.astype(np.float64))
    above = x + np.triu(np.full((n, n), np.nan, dtype), 1)  # is not read
    for given in (above, np.asfortranarray(above), above[::-1][::-1]):
        found = triangles.inverse(given)
        assert found.dtype == dtype and found.shape == x.shape
        assert not np.triu(found, 1).any()
        np.testing.assert_allclose(found, exact, 0, 8 * (n + 1) * np.finfo(dtype).eps)
