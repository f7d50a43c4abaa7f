"""Every public operation on the device: values, gradients and second derivatives are the CPU's; or it is refused."""

import both
import every_operation
import numpy as np
import pytest
from families import parameters

from nbgrad import Variable

#: Is not on the device in the end.
TO_THE_CPU = {"cpu", "to"}

#: What the usual run tries: what finds places on the CPU, or makes arrays of its own.
USUALLY = set(
    """allclose frexp gradient histogramdd index_copy index_fill index_put isclose isin isreal linalg.vander masked.mean
    median mode new_tensor normal put quantile scatter segment_reduce unique unique_consecutive""".split()
)

CALLS = [call for call in every_operation.calls() if call.arrays]


@pytest.mark.parametrize("call", parameters(CALLS, USUALLY))
def test_every_operation(call):
    draws, has_gradient = every_operation.nature(call)
    here = call.results(*call.arrays)
    try:
        there = call.results(*[Variable(both.on_device(array)) for array in call.arrays])
    except TypeError as error:
        assert "computes it, on the CPU: move the operands there with x.cpu()" in str(error), error
        return
    for found, expected in zip(there, here, strict=True):
        assert found.is_cuda == (call.name not in TO_THE_CPU)
        assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
        if not draws:
            np.testing.assert_allclose(found.cpu().detach().numpy(), expected.data, rtol=1e-11, atol=1e-12)
    if has_gradient and not draws and call.name not in TO_THE_CPU:
        both.assert_same(call.total, call.arrays, order=2)
