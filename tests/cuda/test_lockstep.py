"""The interpreter of CUDA kernels: it computes what compiled kernels do, and sees what a GPU would not tell of."""

import cupy
import numpy as np
import pytest
from conftest import REAL

if REAL:
    pytest.skip("a GPU interprets nothing", allow_module_level=True)

from emulation import Compiled, Emulation
from lockstep import Lockstep

ELEMENT = "    i = int64(cuda.blockIdx.x) * int64(cuda.blockDim.x) + int64(cuda.threadIdx.x)\n"
POINTERS = ("float32*", "float32*", "int64")


def run(make, body, x, y, n, blocks=3, threads=64, signature=POINTERS):
    """Launch a kernel ``kernel(x, y, n)``, of which `i` is the thread's number."""
    source = "def kernel(x, y, n):\n" + ELEMENT + "".join(f"    {line}\n" for line in body.strip("\n").splitlines())
    addresses = [array.data.ptr if hasattr(array, "data") else array for array in (x, y)]
    Emulation(make=make).load("trial", source, signature)(blocks, threads, *addresses, n)


@pytest.fixture
def arrays():
    x = np.random.default_rng(0).normal(size=150).astype(np.float32)
    return cupy.asarray(x), cupy.zeros(150, "float32")


RIGHT = {
    "choices": """
if i < n:
    if x[i] > float32(0):
        y[i] = x[i] * float32(2)
    elif x[i] > float32(-1):
        y[i] = -x[i]
    else:
        y[i] = float32(7)
""",
    "leaving": """
if i >= n:
    return
a = x[i]
if a < float32(0):
    y[i] = float32(-1)
    return
y[i] = a
""",
    "leaving within a choice": """
even = i % 2 == 0
if even:
    i *= 1
else:
    if i >= n:
        return
    y[i] = float32(3)
if i < n:
    y[i] = y[i] + x[i]
""",
    "loops of different lengths": """
if i < n:
    total = float32(0)
    j = i % 7
    while j > 0:
        total += x[i - j] if i >= j else float32(1)
        j -= 1
    y[i] = total
""",
    "short circuits": """
if i < n and x[i] > float32(0) or i == 2:
    y[min(i, n - 1)] = float32(1) if i > 0 and x[i - 1] > x[i] else float32(2)
""",
    "whole numbers": """
if i < n:
    y[i] = float32((i * 5 - 300) // 7 + (i - 60) % 9 + (i ^ 5) + (i << 2) + (~i >> 1) + max(i, 40))
""",
    "strides over the grid": """
while i < n:
    y[i] = x[n - 1 - i]
    i += int64(cuda.gridDim.x) * int64(cuda.blockDim.x)
""",
    "vectors": """
if i < n // 4:
    v = load_vector(x, i * 4)
    store_vector(y, i * 4, (v[3], v[2], v[1], v[0]))
""",
    "shuffles": """
value = x[min(i, n - 1)]
offset = 16
while offset > 0:
    value = value + cuda.shfl_xor_sync(0xffffffff, value, offset)
    offset >>= 1
if i < n:
    y[i] = value
""",
    "shared memory": """
thread = int64(cuda.threadIdx.x)
room = cuda.shared.array(64, float32)
room[thread] = x[min(i, n - 1)]
cuda.syncthreads()
other = room[63 - thread]
cuda.syncthreads()
room[thread] = other * other
cuda.syncthreads()
if i < n:
    y[i] = room[(thread + 1) % 64]
""",
    "memory of a block, after waiting": """
thread = int64(cuda.threadIdx.x)
begin = int64(cuda.blockIdx.x) * 64
if i < n:
    y[i] = x[i]
cuda.syncthreads()
if begin + 63 - thread < n and i < n:
    value = y[begin + 63 - thread]
else:
    value = float32(0)
cuda.syncthreads()
if i < n:
    y[i] = value
""",
    "reading in vain what another thread writes": """
a = y[min(i + 1, n - 1)]
if i < n:
    y[i] = x[i] if i >= 0 else a
""",
}


@pytest.mark.compiled  # here both are
@pytest.mark.parametrize("name", RIGHT)
def test_it_computes_what_compiled_kernels_do(name, arrays):
    x, y = arrays
    expected = cupy.zeros(150, "float32")
    for n in (150, 129, 3):
        run(Compiled, RIGHT[name], x, expected, n)
        run(Lockstep, RIGHT[name], x, y, n)
        np.testing.assert_allclose(y.get(), expected.get(), rtol=1e-6)


WRONG = {
    "behind the end": ("y[i] = x[0]", "elements 0 to 191 of argument 1, whose memory has 150"),
    "before the begin": ("a = x[i - 1]", "elements -1 to 190 of argument 0"),
    "a vector over the end": ("if i == 0:\n    v = load_vector(x, 148)", "elements 148 to 151 of argument 0"),
    "an odd vector": ("v = load_vector(x, (i % 8) * 4 + 2)", "a 16-byte access at an address that is no multiple"),
    "an odd vector written": (
        "if i < 1:\n    store_vector(y, 1, (x[0], x[1], x[2], x[3]))",
        "a 16-byte access at an address that is no multiple of 16",
    ),
    "two write to one place": ("if i < n:\n    y[i // 2] = x[i]", "two threads write to one place"),
    "one after the other": (
        "if i < n:\n    y[i] = x[i]\nif i < n - 1:\n    y[i + 1] = x[i]",
        "a race: two threads write to one place",
    ),
    "using what others write later": (
        "if i < n:\n    a = y[n - 1 - i]\n    y[i] = a + float32(1)",
        "a race: a thread uses what another one writes afterwards",
    ),
    "shared memory without waiting": (
        "room = cuda.shared.array(64, float32)\nroom[int64(cuda.threadIdx.x)] = float32(1)\n"
        "a = room[63 - int64(cuda.threadIdx.x)]",
        "a race: a thread reads what another one writes",
    ),
    "shared memory written too soon": (
        "thread = int64(cuda.threadIdx.x)\nroom = cuda.shared.array(64, float32)\nroom[thread] = float32(1)\n"
        "cuda.syncthreads()\na = room[63 - thread]\nroom[thread] = a",
        "a race: a thread writes what another one reads",
    ),
    "a barrier for some": ("if i % 2 == 0:\n    cuda.syncthreads()", "some threads have left, and others wait"),
    "a barrier after leaving": ("if i == 70:\n    return\ncuda.syncthreads()", "some threads have left"),
    "a shuffle of some": (
        "if i % 2 == 0:\n    a = cuda.shfl_xor_sync(0xffffffff, i, 1)",
        "a shuffle reads from a lane that does not take part",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_a_gpu_would_not_tell_is_refused(name, arrays):
    body, message = WRONG[name]
    with pytest.raises(RuntimeError, match=f"kernel trial: .*{message}"):
        run(Lockstep, body, *arrays, 150)


def test_what_others_write_is_not_to_be_used(arrays):
    """One block's threads read what another block's have written, before or after them."""
    x, y = arrays
    run(Lockstep, "if i < n:\n    y[i] = float32(1)\n    a = y[n - 1 - i]\n    x[i] = a", x, y, 150)
    assert np.isnan(x.get()).all()


def test_numbers_that_nobody_has_written_are_no_numbers():
    x, y = cupy.zeros(64, "float32"), cupy.zeros(64, "float32")
    body = "room = cuda.shared.array(64, float32)\ny[i] = room[int64(cuda.threadIdx.x)]"
    run(Lockstep, body, x, y, 64, blocks=1)
    assert np.isnan(y.get()).all()


def test_memory_that_was_given_back_is_none():
    x, y = cupy.zeros(10, "float32"), cupy.zeros(10, "float32")
    address = x.data.ptr
    del x
    gone = type("Gone", (), {"data": type("Data", (), {"ptr": address})})
    with pytest.raises(RuntimeError, match="whose memory has 0 of float32"):
        run(Lockstep, "if i < n:\n    y[i] = x[i]", gone, y, 10)


def test_text_that_it_does_not_know_is_refused(arrays):
    with pytest.raises(NotImplementedError, match="for j in range"):
        run(Lockstep, "for j in range(3):\n    i += 1", *arrays, 1)
