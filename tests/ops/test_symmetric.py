"""Symmetric matrices in factors: torch's packed form, products, differences, and what is refused."""

import numpy as np
import pytest
from cases import ANY, check_gradients
from families import Member, check_derivatives
from peers import peer

import nbgrad
from nbgrad import linalg

SHAPES = ((6, 6), (2, 7, 7), (1, 1), (0, 0), (3, 0, 0), (0, 2, 2))


def _indefinite(shape, seed, blocks):
    """Give a symmetric matrix, with zeros on its diagonal if there are to be blocks of two."""
    x = np.random.default_rng(seed).normal(size=shape)
    n = shape[-1]
    return (x + np.swapaxes(x, -1, -2)) * (1 - np.eye(n) if blocks and n > 1 else 1)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("blocks", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
def test_factors_are_torchs_and_solve(shape, blocks, dtype):
    torch = peer("torch")
    tolerance = 1e-10 if dtype == "float64" else 1e-2
    for seed in range(5):
        a = _indefinite(shape, seed, blocks).astype(dtype)
        packed, pivots = linalg.ldl_factor(nbgrad.tensor(a))
        wanted, places = torch.linalg.ldl_factor(torch.tensor(a))
        assert (packed.dtype, pivots.dtype) == (a.dtype, np.int32)
        np.testing.assert_array_equal(pivots.data, places)
        np.testing.assert_allclose(packed.data, wanted, rtol=tolerance, atol=tolerance)
        assert not blocks or not a.size or shape[-1] == 1 or (pivots.data < 0).any()
        b = np.random.default_rng(7).normal(size=(*shape[-2:-1], 2)).astype(dtype)
        x = linalg.ldl_solve(packed, pivots, b).data
        np.testing.assert_allclose(
            a @ x, np.broadcast_to(b, x.shape), atol=tolerance * max(1, np.abs(x).max(initial=0))
        )
        assert not linalg.ldl_factor_ex(a).info.any()


@pytest.mark.parametrize("shape", [(5, 5), (2, 3, 3)])
def test_derivatives_are_those_of_differences(shape):
    x = _indefinite(shape, 0, blocks=True) / 2
    assert (linalg.ldl_factor(2 * x).pivots < 0).any()
    b = np.random.default_rng(1).normal(size=(shape[-1], 2))

    def twice(x):
        return x + x.swapaxes(-1, -2)

    check_gradients(lambda x: linalg.ldl_factor(twice(x)).LD, [x], 2)
    check_gradients(lambda x, b: linalg.ldl_solve(*linalg.ldl_factor_ex(twice(x))[:2], b), [x, b], 2)
    found = nbgrad.grad(lambda x: (linalg.ldl_solve(*linalg.ldl_factor(x), b) ** 2).sum())
    wanted = nbgrad.grad(lambda x: (linalg.solve(twice(x) / 2, nbgrad.broadcast_to(b, (*shape[:-1], 2))) ** 2).sum())
    np.testing.assert_allclose(found(x), wanted(x), rtol=1e-8)
    np.testing.assert_allclose(nbgrad.jit(found)(x), found(x), rtol=1e-8)


def test_definite_matrices_have_derivatives():
    """Without blocks of two."""
    check_derivatives(Member("ldl", lambda x: linalg.ldl_factor(x @ x.mT + np.eye(4)).LD, None, (ANY,), (4, 4)))


def test_singular_matrices_are_refused_or_told():
    singular = np.stack([np.eye(3), np.zeros((3, 3))])
    np.testing.assert_array_equal(linalg.ldl_factor_ex(singular).info, [0, 1])
    for call in (linalg.ldl_factor, lambda x: linalg.ldl_factor_ex(x, check_errors=True)):
        with pytest.raises(np.linalg.LinAlgError, match="element 1 of D is 0: the matrix is singular"):
            call(singular)


@pytest.mark.parametrize(
    ("pivots", "b", "says"),
    [
        ([1, 2, 3], np.ones((2, 1)), "shapes"),
        ([1, 2, 3], np.ones(3), "shapes"),
        ([1, 2], np.ones((3, 1)), "shapes"),
        ([1, 2, 4], np.ones((3, 1)), r"pivots \[1, 2, 4\] of dtype int64: give those of ldl_factor"),
        ([0, 2, 3], np.ones((3, 1)), "pivots"),
        ([1, 2, -3], np.ones((3, 1)), "pivots"),
        ([-2, -3, 3], np.ones((3, 1)), "pivots"),
        ([1.0, 2.0, 3.0], np.ones((3, 1)), "pivots"),
    ],
)
def test_what_are_no_factors_is_refused(pivots, b, says):
    with pytest.raises(ValueError, match=f"ldl_solve: {says}"):
        linalg.ldl_solve(np.eye(3), np.array(pivots), b)
