"""The example of docs/cuda.md: a kernel of the user's own as a Function, run as it stands there.

On a GPU by numba-cuda; without one by its simulator, which takes the place of numba.cuda for a whole process.
"""

import ast
import importlib
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import nbgrad

PAGE = Path(__file__).parents[2] / "docs" / "cuda.md"


def example():
    """Give the text of the page's example."""
    (text,) = [block for block in re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.S) if "@cuda.jit" in block]
    return text


def swish(x):
    """Give value and slope."""
    s = 1 / (1 + np.exp(-x))
    return x * s, s * (1 + x * (1 - s))


def check():
    """Run the example, and hold its Function against NumPy and finite differences."""
    names = {"nbgrad": nbgrad}
    exec(example(), names)
    assert names["y"].shape == (1000,) and names["y"].device == "cuda:0"
    random = np.random.default_rng(0)
    for dtype, rtol in (("float32", 1e-6), ("float64", 1e-14)):
        for array in (
            random.normal(size=300),  # more than a block
            random.normal(size=(4, 6)).T,
            random.normal(size=(3, 8))[:, ::2],
            np.array(0.5),
            np.zeros((0, 3)),
        ):
            array = array.astype(dtype, order="K")
            x = nbgrad.tensor(array, device="cuda", requires_grad=True)
            y = names["Swish"]()(x)
            seed = random.normal(size=array.shape).astype(dtype)
            y.backward(nbgrad.tensor(seed, device="cuda"))
            value, slope = swish(array)
            assert y.dtype == x.grad.dtype == dtype
            np.testing.assert_allclose(y.detach().cpu().numpy(), value, rtol=rtol)
            np.testing.assert_allclose(x.grad.cpu().numpy(), seed * slope, rtol=10 * rtol, atol=rtol)
    x = nbgrad.tensor(random.normal(size=(2, 3)), device="cuda", requires_grad=True)
    assert nbgrad.autograd.gradcheck(lambda x: names["Swish"]()(x), [x])
    return names


def check_simulated():
    """Let the simulator have the stand-in's arrays and streams, which it knows nothing of, and check."""
    import stand_in

    sys.modules["cupy"] = stand_in
    from numba import cuda
    from numba.cuda.simulator.kernel import FakeCUDAKernel

    streams = []
    cuda.external_stream = streams.append
    call = FakeCUDAKernel.__call__
    FakeCUDAKernel.__call__ = lambda kernel, *arrays: call(kernel, *(array._host for array in arrays))
    names = check()
    assert set(streams) == {0}
    with stand_in.cuda.Stream() as stream:
        names["Swish"]()(nbgrad.ones(3, device="cuda"))
    assert streams[-1] == stream.ptr


def check_instructions():
    """Compile the example's kernels, and look for what is not of their dtype."""
    from numba import cuda, types

    importlib.import_module("nbgrad.kernels.cuda")  # which repairs NumPy, as the first array on the GPU does

    kernels = [node for node in ast.parse(example()).body if isinstance(node, ast.FunctionDef) and node.decorator_list]
    assert len(kernels) == 2
    for node in kernels:
        node.decorator_list = []
        names = {}
        exec("import math\nfrom numba import cuda\n" + ast.unparse(node), names)
        for dtype, others in ((types.float32, ".f64"), (types.float64, "st.global.f32")):
            signature = types.void(*[types.Array(dtype, 1, "C")] * len(node.args.args))
            text, _ = cuda.compile(names[node.name], signature, cc=(9, 0), device=False, abi="numba", output="ptx")
            assert "st.global" in text and others not in text, (node.name, dtype)


def in_a_process(function, **environment):
    """Run a function of this module in a process where numba-cuda is a new one."""
    path = [str(Path(__file__).parent), str(Path(__file__).parents[1]), *sys.path]
    code = f"import sys; sys.path[:] = {path!r}; import test_own_kernels; test_own_kernels.{function.__name__}()"
    dropped = ("NBGRAD_TEST", "LLVMLITE", "NUMBA_ENABLE")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(dropped)}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, env={**kept, **environment})
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.cuda
@pytest.mark.filterwarnings("ignore:Grid size")  # of numba-cuda's
def test_the_example_on_the_gpu():
    check()


def test_the_example_in_the_simulator():
    in_a_process(check_simulated, NUMBA_ENABLE_CUDASIM="1")


def test_the_kernels_of_the_example_keep_to_their_dtype():
    in_a_process(check_instructions)


def check_repair():
    """See that numba-cuda can compile as soon as there is an array on the GPU, with NumPy as it is from 2.5 on."""
    import stand_in

    vars(np).pop("row_stack", None)
    sys.modules["cupy"] = stand_in
    nbgrad.zeros(1, device="cuda")
    assert vars(np)["row_stack"] is np.vstack


def test_numba_finds_what_numpy_has_no_more():
    in_a_process(check_repair)
