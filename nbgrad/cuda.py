"""GPUs: what there is, and waiting for it. PyTorch's names, CuPy's streams and memory.

Nothing here imports CuPy before it is asked for a GPU.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .kernels import devices

__all__ = [
    "Stream",
    "current_stream",
    "device",
    "device_count",
    "get_device_name",
    "is_available",
    "memory_stats",
    "synchronize",
]

if TYPE_CHECKING:
    Stream: Any


def __getattr__(name: str) -> Any:
    if name == "Stream":  # CuPy's class; `with stream:` makes it the current one
        return devices.cupy().cuda.Stream
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def is_available() -> bool:
    """Tell whether there is a GPU, a driver for it, and what nbgrad[cuda13] installs."""
    from importlib.util import find_spec

    try:
        devices.cupy()
    except (ImportError, RuntimeError):
        return False
    return all(find_spec(name) is not None for name in ("numba_cuda", "nvmath", "cuda", "cuda.core"))


def device_count() -> int:
    """Give the number of GPUs; 0 where they cannot be used."""
    try:
        return int(devices.cupy().cuda.runtime.getDeviceCount())
    except (ImportError, RuntimeError):
        return 0


def device(number: Any) -> Any:
    """Give a context in which a GPU is the current one: ``with nbgrad.cuda.device(1):``."""
    index = devices.number_of(number)
    if index is None:
        raise ValueError(f"device: {number!r} is no GPU")
    return devices.cupy().cuda.Device(index)


def get_device_name(number: Any = "cuda") -> str:
    """Give the name of a GPU, the current one unless given."""
    index = devices.number_of(number)
    if index is None:
        raise ValueError(f"get_device_name: {number!r} is no GPU")
    name = devices.cupy().cuda.runtime.getDeviceProperties(index)["name"]
    return name.decode() if isinstance(name, bytes) else str(name)


def synchronize() -> None:
    """Wait until the current GPU has done all it was given; errors of kernels surface here at the latest."""
    devices.cupy().cuda.runtime.deviceSynchronize()


def current_stream() -> Any:
    """Give the stream that kernels are launched on: CuPy's current one."""
    return devices.cupy().cuda.get_current_stream()


def memory_stats() -> dict[str, int]:
    """Give bytes of memory: used by arrays, held by CuPy's pool, and free and total on the current GPU."""
    module = devices.cupy()
    pool = module.get_default_memory_pool()
    free, total = module.cuda.runtime.memGetInfo()
    return {
        "used_bytes": int(pool.used_bytes()),
        "pool_bytes": int(pool.total_bytes()),
        "free_bytes": int(free),
        "total_bytes": int(total),
    }
