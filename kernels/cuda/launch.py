"""Launching kernels on CuPy's current stream: found in the cache or compiled, and loaded once.

`backend` is the seam: tests put a runner of the kernels' text on the CPU in its place.
"""

from __future__ import annotations

import importlib.metadata
import threading
from collections.abc import Callable, Sequence
from functools import cache as once
from pathlib import Path
from typing import Any, NoReturn

from .. import cache
from ..forks import hold_over_fork
from ..lazy import lazy
from .devices import INSTALL

#: Runs a kernel: the number of blocks, threads in each, and its arguments: addresses and whole numbers as int,
#: other numbers as NumPy's scalars of the parameter's own type.
Kernel = Callable[..., None]

#: Threads in a block, where nothing else decides.
THREADS = 256

#: How many streams, and sizes of launches, are remembered.
_KEPT = 1000

_lock = threading.RLock()
hold_over_fork(_lock)
_kernels: dict[Any, Kernel] = {}


def kernel(name: str, source: str, signature: Sequence[str]) -> Kernel:
    """Give the kernel that a text defines as ``kernel(...)``, for the current device.

    `signature` has a dtype for each parameter, with "*" for pointers. Raises ImportError where the cuda extra is not
    installed, RuntimeError and MemoryError for what the driver refuses.
    """
    key = (source, tuple(signature), backend.device())
    found = _kernels.get(key)
    if found is None:
        with _lock:
            found = _kernels.get(key)
            if found is None:
                found = _kernels[key] = backend.load(name, source, tuple(signature))
    return found


@once
def _stamp() -> tuple[str, ...]:
    """Everything besides source and device that shapes machine code."""
    packages = ("numba-cuda", "numba", "llvmlite", "nvidia-nvvm", "nvidia-nvjitlink")
    here = Path(__file__).parent
    rooms = [
        here / "cubin.py",
        here / "inlining.py",
        here / "random.py",
        here / "support.py",
        here.parent / "philox.py",
        *sorted((here.parent / "cpu" / "elementary").rglob("*.py")),
    ]
    ours = cache.key_of("cuda", *(path.read_text() for path in rooms))
    return (*(_version(package) for package in packages), ours)


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "none"


class _Driver:
    """The GPU, by cuda.core."""

    def __init__(self) -> None:
        self._configurations: dict[tuple[int, int], Any] = {}
        self._streams: dict[int, Any] = {}
        self._capabilities: dict[int, tuple[int, int]] = {}

    @lazy
    def _runtime(self) -> Any:
        import cupy

        return cupy.cuda.runtime

    def device(self) -> int:
        """Give the number of CuPy's current device."""
        return int(self._runtime.getDevice())

    def capability(self, device: int) -> tuple[int, int]:
        """Give a device's compute capability."""
        if device not in self._capabilities:
            import cupy

            digits = cupy.cuda.Device(device).compute_capability
            self._capabilities[device] = int(digits[:-1]), int(digits[-1])
        return self._capabilities[device]

    def load(self, name: str, source: str, signature: tuple[str, ...]) -> Kernel:
        """Load a kernel's machine code, compiled if it is not in the cache, and give its launcher.

        Raises ImportError without what compiles and launches, MemoryError and RuntimeError for what the driver refuses.
        """
        capability = self.capability(self.device())
        key = cache.key_of(f"cuda_{name}", source, " ".join(signature), str(capability), *_stamp())
        compiled = cache.read(key)
        try:
            from cuda.core import ObjectCode

            if compiled is None:
                from .cubin import compile_kernel
        except ImportError as error:
            raise ImportError(f"CUDA needs cuda-core and numba-cuda ({error}): {INSTALL}") from None
        if compiled is None:
            compiled = compile_kernel(source, signature, capability)
            cache.write(key, compiled, source)
        try:
            function = ObjectCode.from_cubin(compiled.code).get_kernel(compiled.symbol)
        except Exception as error:
            reason = f"kernel {name} for compute capability {capability[0]}.{capability[1]} could not be loaded"
            _refuse(error, f"{reason}; nbgrad[cuda13] needs an NVIDIA driver for CUDA 13.0 or later (580 or later)")
        return self._launcher(name, function)

    def _launcher(self, name: str, function: Any) -> Kernel:
        import cupy
        from cuda.core import LaunchConfig, Stream, launch

        configurations, streams, runtime = self._configurations, self._streams, self._runtime
        current = cupy.cuda.get_current_stream

        def run(blocks: int, threads: int, *arguments: Any) -> None:
            configuration = configurations.get((blocks, threads))
            if configuration is None:
                if len(configurations) > _KEPT:
                    configurations.clear()
                configuration = configurations[blocks, threads] = LaunchConfig(grid=blocks, block=threads)
            pointer = current().ptr
            stream = streams.get(pointer)
            if stream is None:
                if len(streams) > _KEPT:
                    streams.clear()
                # the address is all it has, so it also serves a stream that got the address of one that is no more;
                # 0 may be each thread's own stream to cuda-bindings, while 1 is the one that CuPy's 0 is
                stream = streams[pointer] = Stream.from_handle(pointer or 1)
            try:
                launch(stream, configuration, function, *arguments)
            except Exception as error:
                if _code(error) != "CUDA_ERROR_INVALID_CONTEXT":
                    _refuse(error, f"kernel {name}, {blocks} blocks of {threads} threads")
                # a new thread, which takes memory from CuPy's pool without a word to the driver
                runtime.setDevice(runtime.getDevice())
                launch(stream, configuration, function, *arguments)

        return run


def _code(error: Exception) -> str:
    """Give the name of the driver's error that an exception of cuda.core's is for: what it begins with."""
    return str(error).partition(":")[0]


def _refuse(error: Exception, what: str) -> NoReturn:
    """Raise a built-in exception for one of cuda.core's, and any other as it is."""
    if type(error).__name__ != "CUDAError":
        raise error
    kind = MemoryError if _code(error) == "CUDA_ERROR_OUT_OF_MEMORY" else RuntimeError
    raise kind(f"CUDA: {what}: {error}") from error


backend: Any = _Driver()
