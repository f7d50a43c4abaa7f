"""GPUs: what there is, and waiting for it. PyTorch's names, CuPy's streams, events and memory.

Nothing here imports CuPy before it is asked for a GPU.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .kernels import placement

__all__ = [  # without Event and Stream, which import CuPy
    "current_device",
    "current_stream",
    "device",
    "device_count",
    "empty_cache",
    "get_device_name",
    "is_available",
    "memory_allocated",
    "memory_reserved",
    "memory_stats",
    "stream",
    "synchronize",
]

if TYPE_CHECKING:
    Event: Any
    Stream: Any


def __getattr__(name: str) -> Any:
    if name in ("Event", "Stream"):  # CuPy's classes; `with stream:` makes it the current one
        return getattr(_cupy().cuda, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def _cupy() -> Any:
    from .kernels.cuda.devices import cupy

    return cupy()


def is_available() -> bool:
    """Tell whether there is a GPU, a driver for it, and what nbgrad[cuda13] installs."""
    from importlib.util import find_spec

    try:
        _cupy()
    except (ImportError, RuntimeError):
        return False
    return all(find_spec(name) is not None for name in ("numba_cuda", "nvmath", "cuda", "cuda.core"))


def device_count() -> int:
    """Give the number of GPUs; 0 where they cannot be used."""
    try:
        return int(_cupy().cuda.runtime.getDeviceCount())
    except (ImportError, RuntimeError):
        return 0


def _number(function: str, device: Any) -> int:
    number: int | None = getattr(placement.named(device), "number", None)
    if number is None:
        raise ValueError(f"{function}: {device!r} is no GPU")
    return number


def current_device() -> int:
    """Give the number of the current GPU."""
    return _number("current_device", "cuda")


def device(number: Any) -> Any:
    """Give a context in which a GPU is the current one: ``with nbgrad.cuda.device(1):``."""
    index = _number("device", number)
    return _cupy().cuda.Device(index)


def get_device_name(device: Any = "cuda") -> str:
    """Give the name of a GPU, the current one unless given."""
    index = _number("get_device_name", device)
    name = _cupy().cuda.runtime.getDeviceProperties(index)["name"]
    return name.decode() if isinstance(name, bytes) else str(name)


def synchronize(device: Any = "cuda") -> None:
    """Wait until a GPU, the current one unless given, has done all; errors of kernels surface here at the latest."""
    from .kernels.cuda.graphs import capturing

    index = _number("synchronize", device)
    with capturing, _cupy().cuda.Device(index):
        _cupy().cuda.runtime.deviceSynchronize()


def current_stream() -> Any:
    """Give the stream that kernels are launched on: CuPy's current one."""
    return _cupy().cuda.get_current_stream()


def stream(stream: Any) -> Any:
    """Give a context in which a stream is the current one: ``with nbgrad.cuda.stream(s):``, or ``with s:``."""
    return stream


def empty_cache() -> None:
    """Give memory that CuPy's pool holds, and no array uses, back to the GPU."""
    _cupy().get_default_memory_pool().free_all_blocks()


def memory_allocated() -> int:
    """Give the bytes of memory that arrays on the current GPU use."""
    return int(_cupy().get_default_memory_pool().used_bytes())


def memory_reserved() -> int:
    """Give the bytes of memory that CuPy's pool holds on the current GPU, for arrays that are and that will be."""
    return int(_cupy().get_default_memory_pool().total_bytes())


def memory_stats() -> dict[str, int]:
    """Give bytes of memory: used by arrays, held by CuPy's pool, and free and total on the current GPU."""
    free, total = _cupy().cuda.runtime.memGetInfo()
    return {
        "used_bytes": memory_allocated(),
        "pool_bytes": memory_reserved(),
        "free_bytes": int(free),
        "total_bytes": int(total),
    }
