"""The driver of stub_driver.c: compiling it, and reading what it was asked for."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

SUCCESS, OUT_OF_MEMORY, INVALID_IMAGE, NO_BINARY_FOR_GPU = 0, 2, 200, 209
ILLEGAL_ADDRESS, LAUNCH_OUT_OF_RESOURCES = 700, 701

#: The context of the first device; that of the second is the number after it.
CONTEXT = 0xC0

#: CU_STREAM_LEGACY
LEGACY = 1


def compiler() -> str | None:
    """Give the C compiler, if there is one."""
    return shutil.which(os.environ.get("CC", "cc")) or shutil.which("gcc")


def build(folder: Path) -> None:
    """Compile the driver into a folder that LD_LIBRARY_PATH may name."""
    source = Path(__file__).with_name("stub_driver.c")
    flags = ["-shared", "-fPIC", "-O1", "-pthread", "-Wl,-soname,libcuda.so.1"]
    subprocess.run([compiler(), *flags, "-o", folder / "libcuda.so.1", source, "-ldl"], check=True)


class Launch(NamedTuple):
    """A launch as it reached the driver: each parameter's bytes, as many as the cubin has for it."""

    name: str
    grid: tuple[int, ...]
    block: tuple[int, ...]
    stream: int
    context: int
    parameters: tuple[bytes, ...]


class _Launch(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_char * 64),
        ("grid", ctypes.c_uint * 3),
        ("block", ctypes.c_uint * 3),
        ("stream", ctypes.c_uint64),
        ("context", ctypes.c_uint64),
        ("count", ctypes.c_int),
        ("sizes", ctypes.c_int * 64),
        ("bytes", ctypes.c_ubyte * 1024),
    )


class Driver:
    """The driver in this process."""

    def __init__(self) -> None:
        self.library = ctypes.CDLL("libcuda.so.1")
        self.library.stub_call.restype = ctypes.c_char_p
        self.library.stub_launch.restype = ctypes.POINTER(_Launch)
        self.check(self.library.cuInit(0))

    @staticmethod
    def check(code: int) -> None:
        assert code == SUCCESS, f"the driver says {code}"

    @property
    def calls(self) -> list[str]:
        """Names of the functions that were called."""
        return [self.library.stub_call(i).decode() for i in range(self.library.stub_call_count())]

    @property
    def launches(self) -> list[Launch]:
        """What was launched; what was captured counts when its graph is launched."""
        return [_read(self.library.stub_launch(i).contents) for i in range(self.library.stub_launch_count())]

    def forget(self) -> None:
        """Begin anew."""
        self.library.stub_forget()

    def fail(self, name: str, code: int) -> None:
        """Have the next call of a function give an error."""
        self.library.stub_fail(name.encode(), code)

    def set_device(self, number: int) -> None:
        """Make a device the current one of this thread, as the CUDA runtime does."""
        context = ctypes.c_uint64()
        self.check(self.library.cuDevicePrimaryCtxRetain(ctypes.byref(context), number))
        self.check(self.library.cuCtxSetCurrent(context))


def _read(launch: _Launch) -> Launch:
    parameters, start = [], 0
    for size in launch.sizes[: launch.count]:
        parameters.append(bytes(launch.bytes[start : start + size]))
        start += size
    grid, block = tuple(launch.grid), tuple(launch.block)
    return Launch(launch.name.decode(), grid, block, launch.stream, launch.context, tuple(parameters))
