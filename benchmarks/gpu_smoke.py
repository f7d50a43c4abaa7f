"""A first look at a GPU: what is installed, where libraries are found, and twenty operations held to the CPU's.

python -m benchmarks.gpu_smoke             ends with status 0 if all are right
python -m benchmarks.gpu_smoke --kernels   five kernels on large arrays, between the profiler's start and its end
"""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from typing import Any

import numpy as np

PACKAGES = (
    *("numpy", "numba", "numba-cuda", "llvmlite", "cuda-core", "cuda-bindings", "cuda-pathfinder", "cuda-toolkit"),
    *("cupy-cuda13x", "nvmath-python", "torch", "jax", "jax-cuda13-plugin", "triton", "scipy", "matplotlib"),
    *("nvidia-cublas", "nvidia-cuda-nvrtc", "nvidia-cuda-runtime", "nvidia-nvjitlink", "nvidia-nvvm"),
    *("pytest", "pytest-xdist", "pytest-timeout", "hypothesis"),
)


# ---- what there is --------------------------------------------------------------------------------------------------


def versions() -> None:
    """Print the versions of all packages that take part."""
    for name in PACKAGES:
        try:
            distribution = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            print(f"{name:20} not installed")
        else:
            print(f"{name:20} {distribution.version:14} {distribution.locate_file('')}")


def libraries() -> None:
    """Print where the compiler and cuBLAS are found."""
    from cuda import pathfinder

    for name in ("nvvm", "nvJitLink", "nvrtc", "cublas"):
        try:
            found = pathfinder.load_nvidia_dynamic_lib(name)
        except Exception as error:
            print(f"{name:20} {_line(error)}")
        else:
            print(f"{name:20} {found.abs_path} ({found.found_via})")
    from numba.cuda import cuda_paths

    print(f"{'libdevice':20} {' '.join(map(str, cuda_paths.get_cuda_paths()['libdevice']))}")


def device() -> None:
    """Print the GPU and its driver, as CuPy sees them."""
    import cupy

    runtime = cupy.cuda.runtime
    found = runtime.getDeviceProperties(runtime.getDevice())
    free, total = runtime.memGetInfo()
    print(f"{'GPU':20} {found['name'].decode()}, compute capability {cupy.cuda.Device().compute_capability}")
    print(f"{'memory':20} {free / 2**30:.1f} of {total / 2**30:.1f} GiB free")
    print(f"{'CUDA':20} driver {runtime.driverGetVersion()}, CuPy's runtime {runtime.runtimeGetVersion()}")


def _line(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"


# ---- operations -----------------------------------------------------------------------------------------------------

random = np.random.default_rng(0)
X, Y = random.normal(size=(2, 64, 96))
W = random.normal(size=(96, 32))
STACK = random.normal(size=(3, 64, 8))
INDEX = random.integers(0, 64, 500)
LABELS = random.integers(0, 32, 64)
POSITIVE = np.abs(X) + 0.5


def _value_and_gradients(function: Callable[..., Any], arrays: tuple[Any, ...], place: Callable[[Any], Any]) -> Any:
    """Give the value of a function of Variables, and the gradients by those that have any."""
    import nbgrad

    xs = [nbgrad.tensor(array, device=place, requires_grad=array.dtype.kind == "f") for array in arrays]
    y = function(*xs)
    if y.requires_grad:
        (y * y).sum().backward()
    return [y.detach().cpu().numpy(), *(x.grad.cpu().numpy() for x in xs if x.requires_grad)]


def _operations() -> dict[str, tuple[Callable[..., Any], tuple[Any, ...]]]:
    import nbgrad
    from nbgrad.nn import functional

    def attention(x: Any, w: Any) -> Any:
        return nbgrad.softmax(nbgrad.tanh(x @ w) * 3, -1).sum(0)

    compiled = nbgrad.jit(attention)

    def repeated(x: Any, w: Any) -> Any:
        for _ in range(5):  # from the second call on by a CUDA graph
            y = compiled(x, w)
        return y

    return {
        "x + y": (lambda x, y: x + y, (X, Y)),
        "x * y[0], float32": (lambda x, y: x * y[0], (X.astype("f"), Y.astype("f"))),
        "tanh, exp, erf": (lambda x: nbgrad.tanh(x) * nbgrad.exp(-x * x) + nbgrad.erf(x), (X,)),
        "lgamma, digamma": (lambda x: nbgrad.lgamma(x) + nbgrad.digamma(x), (POSITIVE,)),
        "a view": (lambda x: nbgrad.sin(x.T[::2]) + 1, (X,)),
        "sum": (lambda x: x.sum(), (X,)),
        "sum of columns": (lambda x: x.sum(0), (X,)),
        "mean of rows": (lambda x: x.mean(1), (X,)),
        "largest of rows": (lambda x: nbgrad.amax(x, 1), (X,)),
        "product of columns": (lambda x: nbgrad.prod(x, 0), (POSITIVE,)),
        "softmax": (lambda x: nbgrad.softmax(x, 1), (X.astype("f"),)),
        "logsumexp": (lambda x: nbgrad.logsumexp(x, 1), (X,)),
        "largest, by their places": (lambda x: nbgrad.max(x, 1).values, (X,)),
        "x @ w": (lambda x, w: x @ w, (X, W)),
        "x @ w, float32": (lambda x, w: x @ w, (X.astype("f"), W.astype("f"))),
        "stacks of products": (lambda s, x: s.transpose(1, 2) @ x, (STACK, X)),
        "x[index]": (lambda x: x[nbgrad.tensor(INDEX, device=x.device)], (X,)),
        "cat, where": (lambda x, y: nbgrad.where(x > 0, nbgrad.cat([x, y])[:64], y), (X, Y)),
        "cross-entropy": (
            lambda x, w: functional.cross_entropy(x @ w, nbgrad.tensor(LABELS, device=x.device)),
            (X.astype("f"), W.astype("f")),
        ),
        "jit of products, five times": (repeated, (X, W)),
    }


def operations(device: str = "cuda") -> int:
    """Run all operations on a device and on the CPU, and give the number of those that differ or fail."""
    bad = 0
    for name, (function, arrays) in _operations().items():
        start = time.perf_counter()
        try:
            here, there = (_value_and_gradients(function, arrays, place) for place in ("cpu", device))
            for x, y in zip(here, there, strict=True):
                assert x.dtype == y.dtype
                scale = np.abs(x).max()
                limit = 1e-5 if x.dtype == np.float32 else 1e-13
                np.testing.assert_allclose(y, x, rtol=10 * limit, atol=limit * scale)
        except Exception as error:
            bad += 1
            traceback.print_exc(file=sys.stdout)
            print(f"FAILED  {name}: {_line(error)}")
        else:
            print(f"right   {name} ({time.perf_counter() - start:.2f} s)")
    return bad


# ---- kernels, for a profiler ----------------------------------------------------------------------------------------


def kernels(size: int = 1 << 26) -> None:
    """Launch five kernels, each once between the profiler's start and its end, and print which these were, in order."""
    import cupy

    import nbgrad
    from nbgrad.kernels.cuda import launch

    launched: list[str] = []
    load = launch.backend._launcher

    def named(name: str, function: Any) -> Any:
        kernel = load(name, function)

        def run(*arguments: Any) -> None:
            launched.append(name)
            kernel(*arguments)

        return run

    launch.backend._launcher = named
    x, y = (nbgrad.tensor(random.normal(size=size).astype("f"), device="cuda").data for _ in range(2))
    table = x.reshape(-1, 1024)
    rows = cupy.asarray(random.integers(0, len(table), len(table)))
    fused = nbgrad.jit(lambda x: (nbgrad.tanh(x * 0.7 + 0.3) ** 2 * nbgrad.exp(-x * x)).sum())
    calls: dict[str, tuple[Callable[[], Any], int]] = {
        "multiplication": (lambda: nbgrad.mul(x, y), 12 * size),
        "sum": (lambda: nbgrad.sum(x), 4 * size),
        "softmax of rows of 1024": (lambda: nbgrad.softmax(table, 1), 8 * size),
        "rows picked": (lambda: nbgrad.Variable(table, requires_grad=False)[rows].data, 8 * size),
        "fused chain and its sum": (lambda: fused(x), 4 * size),
    }
    for name, (call, moved) in calls.items():
        call()  # compiled, and not by a graph yet
        nbgrad.cuda.synchronize()
        launched.clear()
        cupy.cuda.profiler.start()
        start = time.perf_counter()
        call()
        nbgrad.cuda.synchronize()
        seconds = time.perf_counter() - start
        cupy.cuda.profiler.stop()
        print(f"{name}: {moved / 1e6:,.0f} MB at least; kernels {', '.join(launched)}; {seconds * 1e3:.2f} ms in all")


def main(arguments: list[str]) -> int:
    """Run the command; see the top of this file."""
    if arguments == ["--kernels"]:
        kernels()
        return 0
    bad = 0
    for part in (versions, libraries, device, _information):
        try:
            part()
        except Exception as error:
            bad += 1
            print(f"FAILED  {part.__name__.strip('_')}: {_line(error)}")
    import nbgrad

    if not nbgrad.cuda.is_available():
        print("FAILED  there is no GPU that nbgrad can use")
        return 1
    bad += operations()
    print(f"{bad} failed" if bad else "all are right")
    return 1 if bad else 0


def _information() -> None:
    command = [sys.executable, "-m", "nbgrad", "info"]
    print(subprocess.run(command, capture_output=True, text=True, check=True).stdout.rstrip())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
