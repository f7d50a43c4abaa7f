"""Copies in other memory: of the same device, or of another one, from which the gradient moves back."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..arrays import Array, is_array
from ..function import Operation
from ..kernels import devices
from ..registry import operation
from ..variable import Given, Variable, data_of
from .elementwise import positive
from .shape import astype


class Transfer(Operation):
    """The same elements in another memory."""

    __slots__ = ("device",)
    linear = True
    reads_all = False

    def __init__(self, device: str) -> None:
        self.device = device

    def forward(self, x: Array) -> Array:
        return devices.moved(x, self.device)

    def vjp(self, gy: Any, y: Any, x: Any) -> Any:
        return Transfer(devices.name_of(data_of(x)))(gy)


def _moved(x: Any, device: Any) -> Any:
    number = devices.number_of(device)
    name = "cpu" if number is None else f"cuda:{number}"
    return x if devices.name_of(data_of(x)) == name else Transfer(name)(x)


@operation
def clone(input: Given) -> Given:
    """Copy; the gradient passes."""
    if not isinstance(input, Variable):
        return input.copy() if is_array(input) and not isinstance(input, np.ndarray) else np.array(input)
    return positive(input) if input.dtype.char in "fd" else Variable(input.data.copy())


@operation(public=False)
def cuda(input: Given, device: Any = None) -> Given:
    """Move to a GPU, the current one unless given; input itself if it is there. The gradient moves back.

    Raises ImportError where nbgrad[cuda13] is not installed, RuntimeError without a GPU or a driver for it.
    """
    if device is None and devices.is_cuda(data_of(input)):
        return input
    return _moved(input, "cuda" if device is None else device)


@operation(public=False)
def cpu(input: Given) -> Given:
    """Move to the memory of the CPU; input itself if it is there. The gradient moves back."""
    return _moved(input, "cpu")


@operation(public=False)
def to(
    input: Given,
    *target: Any,
    device: Any = None,
    dtype: Any = None,
    non_blocking: bool = False,
    copy: bool = False,
    memory_format: Any = None,
) -> Given:
    """Move to a device, convert to a dtype, or both: ``to("cuda")``, ``to(np.float32)``, ``to("cuda", np.float32)``.

    With a Variable as the target its device and dtype are taken. With `copy` the result never is input itself.
    PyTorch's `non_blocking` and `memory_format` are hints, which change no result and are not needed here.
    Raises TypeError for anything else.
    """
    flags = [value for value in target if isinstance(value, bool | np.bool_)]
    if flags:  # PyTorch's to(device, dtype, non_blocking, copy)
        if len(flags) > 2 or any(value is not flag for value, flag in zip(target[-len(flags) :], flags, strict=True)):
            raise TypeError(f"to: takes a device, a dtype, non_blocking and copy in this order, got {target}")
        target = target[: -len(flags)]
        copy = bool(flags[1]) if len(flags) == 2 else copy
    for value in target:
        if isinstance(value, Variable):
            found = {"device": value.device, "dtype": value.dtype}
        else:
            found = {"device" if _names_device(value) else "dtype": value}
        for name, given in found.items():
            if (device if name == "device" else dtype) is not None:
                raise TypeError(f"to: two {name}s: {given!r} comes second")
            device, dtype = (given, dtype) if name == "device" else (device, given)
    if device is None and dtype is None and not (copy or non_blocking or memory_format is not None):
        raise TypeError("to: needs a device, a dtype or a Variable like which to become")
    if dtype is not None:
        try:
            dtype = np.dtype(dtype)
        except TypeError:
            raise TypeError(f"to: {dtype!r} is no device and no dtype: give 'cpu', 'cuda' or a dtype") from None
    result = input if dtype is None else astype(input, dtype)
    result = result if device is None else _moved(result, device)
    return clone(input) if copy and result is input else result


def _names_device(value: Any) -> bool:
    if isinstance(value, int) and not isinstance(value, bool):
        return True
    return str(value).partition(":")[0] in ("cpu", "cuda")
