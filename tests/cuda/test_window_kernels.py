"""Windows of the CUDA target against the CPU's."""

import cupy
import numpy as np
import pytest

from nbgrad.kernels.cpu import windows as cpu
from nbgrad.kernels.cuda.windows import columns, highest, overlapped
from nbgrad.kernels.windows import Frame

FRAMES = [
    Frame((7,), (3,), (2,), (1,), (1,), (1,)),
    Frame((5, 6), (2, 3), (1, 2), (1, 1), (2, 1), (0, 1)),
    Frame((4, 3, 5), (2, 2, 3), (2, 1, 1), (1, 0, 1), (1, 1, 2), (1, 1, 1)),
]


@pytest.mark.parametrize("frame", FRAMES, ids=str)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_windows_are_the_cpus(frame, dtype):
    random = np.random.default_rng(0)
    x = random.normal(size=(2, 3, *frame.size)).astype(dtype)
    seen = cpu.columns(x, frame)
    np.testing.assert_array_equal(cupy.asnumpy(columns(cupy.asarray(x), frame)), seen)
    backwards = cupy.asarray(np.ascontiguousarray(x[:, ::-1]))[:, ::-1]
    np.testing.assert_array_equal(cupy.asnumpy(columns(backwards, frame)), seen)
    g = random.normal(size=seen.shape).astype(dtype)
    back = cupy.asnumpy(overlapped(cupy.asarray(g), frame))
    np.testing.assert_allclose(back, cpu.overlapped(g, frame), rtol=1e-5, atol=1e-5)
    x = x.round()  # some are equal
    x.reshape(-1)[5] = np.nan
    for found, expected in zip(highest(cupy.asarray(x), frame), cpu.highest(x, frame), strict=True):
        np.testing.assert_array_equal(cupy.asnumpy(found), expected)


def test_other_dtypes_are_refused():
    with pytest.raises(TypeError, match="columns: no kernel for dtype int64"):
        columns(cupy.zeros((1, 1, 7), np.int64), FRAMES[0])
