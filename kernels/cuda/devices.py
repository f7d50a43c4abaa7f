"""GPUs as CuPy knows them: whether there are any, and which one a name means."""

from __future__ import annotations

import sys
from functools import cache as once
from typing import Any

import numpy as np

INSTALL = "python -m pip install 'nbgrad[cuda13]'"


def complete_numpy() -> None:
    """Give NumPy back what numba-cuda 0.30 asks for when it compiles, and NumPy 2.5 has no more."""
    vars(np).setdefault("row_stack", np.vstack)


def cupy() -> Any:
    """Import CuPy and make sure that there is a GPU.

    Raises ImportError without CuPy, RuntimeError without a driver that is new enough, or without a GPU.
    """
    try:
        import cupy as module
    except ImportError as error:
        raise ImportError(f"CUDA needs CuPy, which could not be imported ({error}): {INSTALL}") from None
    _check_driver(module)
    return module


@once
def _check_driver(module: Any) -> None:
    try:
        count = module.cuda.runtime.getDeviceCount()
    except RuntimeError as error:
        if "NoDevice" in str(error):
            count = 0
        else:
            raise RuntimeError(
                f"CUDA cannot be used, the driver says: {error}. nbgrad[cuda13] needs an NVIDIA driver for CUDA 13.0 "
                "or later (580 or later); nvidia-smi shows which one there is"
            ) from None
    if not count:
        raise RuntimeError("CUDA found no GPU: nvidia-smi lists them, and CUDA_VISIBLE_DEVICES may hide them")


def number_of(name: str) -> int:
    """Return the number of the GPU that "cuda" (the current one) or "cuda:1" names; ValueError where there is none."""
    _, colon, number = name.partition(":")
    runtime = cupy().cuda.runtime
    if not colon:
        return int(runtime.getDevice())
    count = runtime.getDeviceCount()
    if int(number) >= count:
        raise ValueError(f"device {name!r} does not exist: the last of {count} is 'cuda:{count - 1}'")
    return int(number)


@once
def several() -> bool:
    """Tell whether there is more than one GPU."""
    return int(sys.modules["cupy"].cuda.runtime.getDeviceCount()) > 1
