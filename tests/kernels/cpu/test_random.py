"""What loops draw, held against the stream in NumPy, and against the distributions."""

import numpy as np
import pytest
import stream
from peers import peer

import nbgrad
from nbgrad.kernels import philox
from nbgrad.kernels.placement import CPU

EACH = [(kind, dtype) for kind, dtypes in philox.KINDS.items() for dtype in dtypes]
STATE = np.array([2**40 + 7, 2**32 - 20], np.uint64)  # a counter that runs into its second word


#: Angles of float32 are rounded before they are full turns.
LIMITS = {"float32": {"rtol": 1e-5, "atol": 2e-6}, "float64": {"rtol": 1e-13, "atol": 1e-14}}


@pytest.mark.parametrize(("kind", "dtype"), EACH)
@pytest.mark.parametrize("shape", [(), (0,), (5,), (3, 100), (70_001,)])
def test_loops_draw_the_stream(kind, dtype, shape):
    drawn = CPU.drawn(kind, dtype, shape, STATE)
    expected = stream.elements(kind, dtype, STATE, np.arange(drawn.size).reshape(shape))
    assert drawn.shape == shape and drawn.dtype == dtype
    if kind == "normal":
        np.testing.assert_allclose(
            drawn, expected, rtol=1e-5 if dtype == "float32" else 1e-13, atol=2e-6 if dtype == "float32" else 1e-14
        )
    else:
        np.testing.assert_array_equal(drawn, expected)


def test_numbers_do_not_depend_on_the_number_of_threads():
    before = nbgrad.get_num_threads()
    try:
        found = []
        for count in (1, 3):
            nbgrad.set_num_threads(count)
            found.append(CPU.drawn("normal", "float32", (300_000,), STATE))
    finally:
        nbgrad.set_num_threads(before)
    np.testing.assert_array_equal(*found)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_distributions(dtype):
    stats = peer("scipy.stats")
    state = np.array([1, 0], np.uint64)
    for kind, distribution in (("uniform", stats.uniform), ("normal", stats.norm)):
        drawn = CPU.drawn(kind, dtype, (100_000,), state).astype(float)
        assert stats.kstest(drawn, distribution.cdf).pvalue > 1e-3
        # neighbours, as well in memory as in the pairs that come of one radius
        for distance in (1, 16, 32, 64):
            assert abs(np.corrcoef(drawn[:-distance], drawn[distance:])[0, 1]) < 0.015
            assert abs(np.corrcoef(drawn[:-distance] ** 2, drawn[distance:] ** 2)[0, 1]) < 0.015
