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


@pytest.mark.parametrize("n", [0, 3, 65, 150])
@pytest.mark.parametrize("stack", [(), (2,)])
def test_products_and_slopes_of_lower_triangles(n, stack):
    random = np.random.default_rng(n)
    a, b = (np.tril(random.standard_normal((*stack, n, n))) for _ in range(2))
    any_b = random.standard_normal((*stack, n, n))
    turned = a.swapaxes(-1, -2)
    for found, expected in (
        (triangles.product(a, b), a @ b),
        (triangles.turned_product(a, b), turned @ b),
        (triangles.turned_product(a, any_b, below=True), np.tril(turned @ any_b)),
    ):
        np.testing.assert_allclose(found, expected, 0, 1e-12 * max(n, 1))
    factor = np.tril(random.standard_normal((*stack, n, n)), -1) / (n + 1) + np.eye(n)
    exact = np.linalg.inv(factor)
    np.testing.assert_allclose(triangles.inverse(factor), exact, 0, 1e-12)
    lower = np.tril(factor.swapaxes(-1, -2) @ any_b) * (1 - np.eye(n) / 2)
    half = exact.swapaxes(-1, -2) @ lower @ exact
    expected = (half + half.swapaxes(-1, -2)) / 2
    np.testing.assert_allclose(triangles.cholesky_slope(any_b, factor), expected, 0, 1e-12 * max(n, 1))
