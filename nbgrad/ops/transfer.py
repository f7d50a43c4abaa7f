"""Copies in other memory: of the same device, or of another one, from which the gradient moves back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ..arrays import Array, is_array
from ..function import Operation
from ..kernels import dispatch, placement
from ..registry import operation
from ..variable import Given, Variable, data_of
from .elementwise import positive
from .shape import astype as converted
from .shape import usual_dtype

if TYPE_CHECKING:
    from ..kernels.target import Target


class Transfer(Operation):
    """The same elements in another memory."""

    __slots__ = ("target",)
    linear = True
    reads_all = False

    def __init__(self, target: Target) -> None:
        self.target = target

    def forward(self, x: Array) -> Array:
        return dispatch.moved(x, self.target)

    def vjp(self, gy: Any, y: Any, x: Any) -> Any:
        return beside(gy, data_of(x))


def _moved(x: Any, target: Target) -> Any:
    return x if placement.target_of(data_of(x)) is target else Transfer(target)(x)


def beside(x: Any, like: Array) -> Any:
    """Move to the target of an array; x itself if it is there. The gradient moves back."""
    return _moved(x, placement.named(like=like)) if isinstance(x, Variable) else dispatch.beside(x, like)


@operation
def clone(input: Given) -> Given:
    """Copy; the gradient passes."""
    if not isinstance(input, Variable):
        return input.copy() if is_array(input) and not isinstance(input, np.ndarray) else np.array(input)
    return positive(input) if input.dtype.char in "fd" else Variable(input.data.copy())


@operation
def astype(input: Given, dtype: npt.DTypeLike, copy: bool = True) -> Given:
    """Convert to a dtype, of native byte order for Variables; the gradient is converted back.

    As NumPy's method it gives a copy, or input itself where it has the dtype and `copy` is False. Raises TypeError for
    dtypes that are not numeric, and for floating ones that have no gradients, as float16, where one would be lost
    unseen.
    """
    result = converted(input, dtype)
    return clone(input) if copy and result is input else result


@operation(public=False)
def cuda(input: Given, device: Any = None) -> Given:
    """Move to a GPU, the current one unless given; input itself if it is there. The gradient moves back.

    Raises ImportError where nbgrad[cuda13] is not installed, RuntimeError without a GPU or a driver for it.
    """
    here = placement.name_of(data_of(input))
    return _moved(input, placement.named(device if device is not None else here if here[:4] == "cuda" else "cuda"))


@operation(public=False)
def cpu(input: Given) -> Given:
    """Move to the memory of the CPU; input itself if it is there. The gradient moves back."""
    if type(input) is Variable and type(input._array) is np.ndarray:
        return input
    return _moved(input, placement.named("cpu"))


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
    if len(target) == 1 and type(input) is Variable and device is dtype is None and not (copy or non_blocking):
        (wanted,) = target
        if type(wanted) is str and wanted == "cpu":
            return cpu(input)
        if type(wanted) is not Variable and usual_dtype(wanted) is not None:
            return converted(input, wanted)
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
            found = {"device" if placement.is_name(value) else "dtype": value}
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
    result = input if dtype is None else converted(input, dtype)
    result = result if device is None else _moved(result, placement.named(device))
    return clone(input) if copy and result is input else result
