import numpy as np
import pytest
import stream

import nbgrad
from nbgrad.kernels import philox

#: Angles of float32 are rounded before they are full turns.
LIMITS = {"float32": {"rtol": 1e-5, "atol": 2e-6}, "float64": {"rtol": 1e-13, "atol": 1e-14}}


@pytest.mark.parametrize(("kind", "dtype"), [(k, d) for k, dtypes in philox.KINDS.items() for d in dtypes])
def test_a_gpu_draws_the_stream(kind, dtype):
    generator = nbgrad.Generator("cuda").manual_seed(2**40 + 3)
    generator.set_state(np.array([2**40 + 3, 2**32 - 20], np.uint64))
    target = nbgrad.kernels.placement.named("cuda")
    drawn = target.to_numpy(generator.draw(kind, (7, 50), dtype, target))
    expected = stream.elements(kind, dtype, [2**40 + 3, 2**32 - 20], np.arange(350).reshape(7, 50))
    np.testing.assert_allclose(
        drawn, expected, rtol=1e-5 if dtype == "float32" else 1e-13, atol=2e-6 if dtype == "float32" else 1e-14
    )


def test_compiled_functions_draw_there():
    def function(x):
        return (nbgrad.randn(3, 40, device="cuda") * x).sum(1)

    x = nbgrad.ones(40, device="cuda")
    nbgrad.manual_seed(4)
    expected = [function(x).tolist() for _ in range(2)]
    compiled = nbgrad.jit(function)
    nbgrad.manual_seed(4)
    np.testing.assert_allclose([compiled(x).tolist() for _ in range(2)], expected, rtol=1e-12)
