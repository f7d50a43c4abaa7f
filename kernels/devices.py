"""Where arrays are: in the memory of the CPU, as NumPy's, or of a GPU, as CuPy's.

CuPy is imported when somebody asks for a GPU, and never by an import of ours. An array of it can only turn up where
somebody has imported it, so that telling the two apart is a look into `sys.modules`.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import cache as once
from typing import Any

import numpy as np

#: Whether an array of CuPy's was ever seen. Where speed counts, nothing else is looked at before.
cuda_seen = False

INSTALL = "python -m pip install 'nbgrad[cuda13]'"


def is_cuda(value: Any) -> bool:
    """Tell whether a value is an array in a GPU's memory."""
    global cuda_seen
    cupy = sys.modules.get("cupy")
    if cupy is None or not isinstance(value, getattr(cupy, "ndarray", ())):
        return False
    if not cuda_seen:
        cuda_seen = True
        complete_numpy()  # which a user's own kernels may need, too
    return True


def complete_numpy() -> None:
    """Give NumPy back what numba-cuda 0.30 asks for when it compiles, and NumPy 2.5 has no more."""
    vars(np).setdefault("row_stack", np.vstack)


def on_gpu(arrays: Sequence[Any]) -> bool:
    """Tell whether a computation on arrays belongs to a GPU: one is there, and none stands in for one being traced."""
    if not cuda_seen or not any(map(is_cuda, arrays)):
        return False
    return not any(hasattr(type(array), "__nbgrad_array__") for array in arrays)


def library(array: Any) -> Any:
    """Give the module with the functions for an array: CuPy, or NumPy."""
    return sys.modules["cupy"] if is_cuda(array) else np


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


def number_of(device: Any) -> int | None:
    """Give the number of the GPU that "cuda", "cuda:1" or 1 names, None for "cpu"; any object that prints so will do.

    Raises ValueError for anything else, and for a GPU that does not exist.
    """
    text = f"cuda:{device}" if isinstance(device, int) and not isinstance(device, bool) else str(device)
    kind, colon, number = text.partition(":")
    if kind == "cpu" and (not colon or number == "0"):
        return None
    if kind != "cuda" or (colon and not number.isdecimal()):
        raise ValueError(f"device {device!r} is not known: give 'cpu', 'cuda' or 'cuda:0'")
    runtime = cupy().cuda.runtime
    if not colon:
        return int(runtime.getDevice())
    count = runtime.getDeviceCount()
    if int(number) >= count:
        raise ValueError(f"device {text!r} does not exist: the last of {count} is 'cuda:{count - 1}'")
    return int(number)


def name_of(array: Any) -> str:
    """Give the device that an array is on: "cpu" or "cuda:0"."""
    return f"cuda:{array.device.id}" if is_cuda(array) else "cpu"


def moved(array: Any, device: Any) -> Any:
    """Give an array on a device; itself, if it is there."""
    number = number_of(device)
    if number is None:
        return cupy().asnumpy(array) if is_cuda(array) else array
    if is_cuda(array) and array.device.id == number:
        return array
    if not is_cuda(array) and not isinstance(array, np.ndarray):
        raise TypeError(f"{type(array).__name__} cannot be moved to {device}: nbgrad.jit compiles for the CPU only")
    module = cupy()
    with module.cuda.Device(number):
        there = module.asarray(array)
    is_cuda(there)  # which takes note that there is one
    return there


def on_host(array: Any) -> Any:
    """Give an array of NumPy's with the same elements; itself, if it is one."""
    return sys.modules["cupy"].asnumpy(array) if is_cuda(array) else array


def made(device: Any, function: str, *arguments: Any) -> Any:
    """Call a function such as "zeros" of the library for a device, on it."""
    number = None if device is None else number_of(device)
    if number is None:
        return getattr(np, function)(*arguments)
    module = cupy()
    with module.cuda.Device(number):
        return getattr(module, function)(*arguments)


def zeros(shape: tuple[int, ...], dtype: Any, like: Any) -> Any:
    """Give zeros on the device of another array."""
    return made(name_of(like), "zeros", shape, dtype) if is_cuda(like) else np.zeros(shape, dtype)


#: What `hollow` repeats, for each dtype.
_atoms: dict[Any, np.ndarray[Any, Any]] = {}


def hollow(array: Any) -> Any:
    """Give an array of the same shape, dtype and device that takes no memory: all of its elements are one."""
    if not is_cuda(array) and not isinstance(array, np.ndarray):
        return array  # what stands in for one has no elements
    dtype = array.dtype
    atom = _atoms.get(dtype)
    if atom is None:
        # who reads what should not be read finds NaN
        atom = _atoms[dtype] = np.full((), np.nan if dtype.kind == "f" else 0, dtype)
        atom.flags.writeable = False
    if is_cuda(array):
        module = cupy()
        with module.cuda.Device(array.device.id):
            return module.broadcast_to(module.asarray(atom), array.shape)
    return np.ndarray(array.shape, dtype, atom, 0, (0,) * array.ndim)


def is_writeable(array: Any) -> bool:
    """Tell whether an array may be written to: no views that repeat elements, which CuPy does not protect."""
    return bool(array.flags.c_contiguous if is_cuda(array) else array.flags.writeable)


@once
def several() -> bool:
    """Tell whether there is more than one GPU."""
    return int(sys.modules["cupy"].cuda.runtime.getDeviceCount()) > 1


def check_together(what: str, arrays: Sequence[Any]) -> None:
    """Hold the arrays of a computation on a GPU together: NumPy's may only be scalars, and all others on this GPU.

    Raises TypeError that names the devices.
    """
    for array in arrays:
        if isinstance(array, np.ndarray) and array.ndim:
            raise mixed(what, arrays)
    if several():
        here = sys.modules["cupy"].cuda.runtime.getDevice()
        for array in arrays:
            if is_cuda(array) and array.device.id != here:
                raise TypeError(
                    f"{what}: operands on {' and '.join(map(name_of, arrays))} where cuda:{here} computes: move them "
                    "with x.cuda(), or compute inside `with nbgrad.cuda.device(number):`"
                )


def mixed(what: str, arrays: Sequence[Any]) -> TypeError:
    """Give the exception for arrays that are not on one device."""
    return TypeError(
        f"{what}: operands on {' and '.join(map(name_of, arrays))}: bring them together with x.cuda() or x.cpu(); "
        "only numbers and scalars without dimensions may stay behind"
    )
