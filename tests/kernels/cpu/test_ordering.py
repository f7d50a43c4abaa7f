"""Places in order by a sort of whole numbers: those of NumPy's stable sort, with zeros, infinities, NaN and ties."""

import numpy as np
import pytest

from nbgrad.kernels.cpu import ordering

SPECIAL = np.array(
    [0.0, -0.0, 1.0, -1.0, np.inf, -np.inf, np.nan, -np.nan, 1e-45, -1e-45, 3e38, -3e38, 1e-38, -1e-38], np.float32
)
LAYOUTS = {
    "contiguous": lambda x: x,
    "Fortran": np.asfortranarray,
    "turned": lambda x: x[::-1, :, ::-1],
    "apart": lambda x: np.repeat(x, 2, -1)[..., ::2],
    "repeated": lambda x: np.broadcast_to(x[:1], x.shape),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_places_are_those_of_a_stable_sort(axis, descending, layout):
    x = LAYOUTS[layout](np.random.default_rng(axis).choice(SPECIAL, (5, 40, 31)))
    assert ordering.is_for(x, axis)
    found = ordering.order(x, axis, descending)
    # NaN is the largest number; of the numbers turned around, the smallest
    ranks = np.unique(np.where(x == x, x, np.inf) + 0.0, return_inverse=True)[1].reshape(x.shape)
    ranks[x != x] = x.size
    expected = np.argsort(-ranks if descending else ranks, axis, kind="stable")
    np.testing.assert_array_equal(found, expected)
    assert found.dtype == np.int64


@pytest.mark.parametrize("shape", [(0,), (1,), (3, 0), (0, 3)])
def test_few_and_none(shape):
    for axis in range(len(shape)):
        found = ordering.order(np.ones(shape, np.float32), axis)
        np.testing.assert_array_equal(found, np.argsort(np.ones(shape), axis))


@pytest.mark.parametrize("dtype", ["float64", "float16", "int32", ">f4"])
def test_other_dtypes_are_not_for_it(dtype):
    assert not ordering.is_for(np.zeros(3, dtype), 0)


def test_other_arrays_are_not_for_it():
    class Own(np.ndarray):
        pass

    assert not ordering.is_for(np.zeros(3, np.float32).view(Own), 0) and not ordering.is_for([1.0], 0)
