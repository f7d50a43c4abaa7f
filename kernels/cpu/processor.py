"""LLVM, and the processor that it compiles for."""

from __future__ import annotations

import os
from functools import cache as once
from typing import Any


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


def cores() -> int:
    """Give the number of processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
