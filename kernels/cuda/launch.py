"""Launching kernels on CuPy's current stream: found in the cache or compiled, and loaded once.

`backend` is the seam: tests put a runner of the kernels' text on the CPU in its place.
"""

from __future__ import annotations

import importlib.metadata
import threading
from collections.abc import Callable, Sequence
from functools import cache as once
from pathlib import Path
from typing import Any

from .. import cache
from ..forks import hold_over_fork

#: Runs a kernel: the number of blocks, threads in each, and its arguments: addresses and whole numbers as int,
#: other numbers as NumPy's scalars of the parameter's own type.
Kernel = Callable[..., None]

#: Threads in a block, where nothing else decides.
THREADS = 256

_lock = threading.RLock()
hold_over_fork(_lock)
_kernels: dict[Any, Kernel] = {}


def kernel(name: str, source: str, signature: Sequence[str]) -> Kernel:
    """Give the kernel that a text defines as ``kernel(...)``, for the current device.

    `signature` has a dtype for each parameter, with "*" for pointers. Raises RuntimeError where there is no device, or
    the cuda extra is not installed.
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
        here / "compile.py",
        here / "inlining.py",
        here / "support.py",
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
        self._threads = threading.local()

    def device(self) -> int:
        """Give the number of CuPy's current device."""
        import cupy

        return int(cupy.cuda.runtime.getDevice())

    def capability(self, device: int) -> tuple[int, int]:
        """Give a device's compute capability."""
        if device not in self._capabilities:
            import cupy

            digits = cupy.cuda.Device(device).compute_capability
            self._capabilities[device] = int(digits[:-1]), int(digits[-1])
        return self._capabilities[device]

    def load(self, name: str, source: str, signature: tuple[str, ...]) -> Kernel:
        """Load a kernel's machine code, compiled if it is not in the cache, and give its launcher."""
        from cuda.core import ObjectCode

        capability = self.capability(self.device())
        key = cache.key_of(f"cuda_{name}", source, " ".join(signature), str(capability), *_stamp())
        compiled = cache.read(key)
        if compiled is None:
            from .compile import compile_kernel

            compiled = compile_kernel(source, signature, capability)
            cache.write(key, compiled, source)
        function = ObjectCode.from_cubin(compiled.code).get_kernel(compiled.symbol)
        return self._launcher(function)

    def _launcher(self, function: Any) -> Kernel:
        import cupy
        from cuda.core import LaunchConfig, Stream, launch

        configurations, streams, thread = self._configurations, self._streams, self._threads
        current, runtime = cupy.cuda.get_current_stream, cupy.cuda.runtime

        def run(blocks: int, threads: int, *arguments: Any) -> None:
            if not hasattr(
                thread, "has_context"
            ):  # a new thread, which takes memory from CuPy's pool without a word to the driver
                runtime.setDevice(runtime.getDevice())
                thread.has_context = True
            configuration = configurations.get((blocks, threads))
            if configuration is None:
                if len(configurations) > 10_000:
                    configurations.clear()
                configuration = configurations[blocks, threads] = LaunchConfig(grid=blocks, block=threads)
            pointer = current().ptr
            stream = streams.get(pointer)
            if stream is None:
                stream = streams[pointer] = Stream.from_handle(pointer)
            launch(stream, configuration, function, *arguments)

        return run


backend: Any = _Driver()
