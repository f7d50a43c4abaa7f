"""What only a GPU can show: its memory's size, and that it is there."""

import cupy
import numpy as np
import pytest

import nbgrad

pytestmark = pytest.mark.cuda

#: More elements than 32 bits count.
MANY = 2**31 + 5


def free_bytes():
    cupy.get_default_memory_pool().free_all_blocks()
    return nbgrad.cuda.memory_stats()["free_bytes"]


def test_the_gpu_is_real():
    assert "stand-in" not in nbgrad.cuda.get_device_name()


@pytest.mark.parametrize("compiled", [False, True])
def test_more_elements_than_32_bits_count(compiled):
    if free_bytes() < 9 * 4 * MANY:
        pytest.skip("the GPU has too little memory")
    x = cupy.ones(MANY, np.float32)
    x[-3:] = cupy.asarray(np.array([2, 3, 4], np.float32))

    def value(x):
        return nbgrad.sum(x * x - x)

    transformed = nbgrad.value_and_grad(value)
    total, slope = (nbgrad.jit(transformed) if compiled else transformed)(x)
    assert float(total) == 2 + 6 + 12
    np.testing.assert_array_equal(cupy.asnumpy(slope[-5:]), [1, 1, 3, 5, 7])
    assert int((slope == 1).sum()) == MANY - 3


def test_rows_and_columns_beyond_32_bits():
    if free_bytes() < 4 * 4 * MANY:
        pytest.skip("the GPU has too little memory")
    rows = 2**16 + 1
    x = nbgrad.ones(rows, 2**15, dtype=np.float32, device="cuda")
    column = nbgrad.tensor(np.arange(rows, dtype=np.float32)[:, None], device="cuda")
    y = x * column
    assert y[-1, -1].item() == rows - 1
    np.testing.assert_array_equal(nbgrad.sum(x, 0).cpu().numpy(), rows)
    np.testing.assert_array_equal(nbgrad.sum(x, 1).cpu().numpy(), 2**15)
    np.testing.assert_allclose(nbgrad.softmax(x, 1)[-1, -3:].cpu().numpy(), 2.0**-15)


def test_without_memory_nothing_is_lost():
    x = nbgrad.ones(1000, device="cuda", requires_grad=True)
    y = x * 2
    room = cupy.empty(max(free_bytes() - (64 << 20), 0), np.uint8)
    wide = nbgrad.ones(1 << 14, 1, device="cuda")
    with pytest.raises(MemoryError, match="Out of memory allocating"):
        wide * wide.T
    compiled = nbgrad.jit(lambda x: nbgrad.exp(x + x.T) @ x)
    with pytest.raises(MemoryError, match="Out of memory allocating"):
        compiled(wide)
    del room
    y.sum().backward()
    assert x.grad[0].item() == 2
    free_bytes()
    assert (wide * wide.T)[-1, -1].item() == 1
    assert compiled(wide).shape == (1 << 14, 1)
