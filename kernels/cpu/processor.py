"""LLVM, and the processor that it compiles for."""

from __future__ import annotations

import os
import sys
from functools import cache as once
from typing import Any

from . import objects


@once
def llvm() -> Any:
    """Give llvmlite's binding, which is imported when it is first needed."""
    import llvmlite.binding

    llvmlite.binding.load_library_permanently("")  # have LLVM look for symbols in this process: libm's, Python's
    return llvmlite.binding


@once
def target() -> tuple[str, str]:
    """Give the processor that kernels are compiled for and its features, as LLVM names them."""
    library = llvm()
    return (
        os.environ.get("NUMBA_CPU_NAME") or library.get_host_cpu_name(),
        os.environ.get("NUMBA_CPU_FEATURES") or library.get_host_cpu_features().flatten(),
    )


@once
def identity() -> tuple[str, str, str]:
    """Tell the platform, the processor and its features from others, without LLVM where kernels need none of it."""
    if objects.are_linked_here():
        seen = _seen_by_linux()
        if seen is not None:
            name, features = os.environ.get("NUMBA_CPU_NAME"), os.environ.get("NUMBA_CPU_FEATURES")
            return f"{sys.platform} {os.uname().machine}", name or seen[0], features or seen[1]
    return llvm().get_process_triple(), *target()


def _seen_by_linux() -> tuple[str, str] | None:
    """Give the model of the first processor, and its features, None where they are not to be read."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
            lines = file.read(1 << 14).partition("\n\n")[0].splitlines()
    except OSError:
        return None
    told = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    model = [told.get(name, "") for name in ("vendor_id", "cpu family", "model", "stepping")]
    return (" ".join(model), told["flags"]) if all(model) and told.get("flags") else None


def cores() -> int:
    """Give the number of processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
