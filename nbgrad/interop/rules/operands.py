"""What rules ask of their arguments."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...arrays import as_array, is_array, is_stand_in
from ...kernels import dispatch
from ...kernels.cpu.elementwise import DTYPES
from ...kernels.formula import COMPARISON
from ...ops.joining import stack
from ...variable import Variable, data_of


def ours(x: Any) -> bool:
    """Tell whether a value is a Variable or stands in for an array."""
    return isinstance(x, Variable) or is_stand_in(x)


def has_ours(value: Any) -> bool:
    """Tell whether one is among the elements of nested lists."""
    return any(map(has_ours, value)) if isinstance(value, list | tuple) else ours(value)


def recorded(x: Any) -> bool:
    """Tell whether a value is a Variable with a gradient."""
    return isinstance(x, Variable) and x.requires_grad


def computes(x: Any, kinds: str = "fiub") -> bool:
    """Tell whether a value is ours and has a dtype, of some kinds, that our functions compute in as NumPy's do."""
    if isinstance(x, Variable):
        return x.dtype.kind in kinds
    return is_stand_in(x) and x.dtype.kind in kinds and has_kernels(x.dtype)


def has_kernels(dtype: Any) -> bool:
    """Tell whether there are loops for a dtype."""
    dtype = np.dtype(dtype)
    return dtype.char in DTYPES[COMPARISON] and dtype.isnative


def is_complex(*operands: Any) -> bool:
    """Tell whether any of several arrays is of complex numbers."""
    return any(x.dtype.kind == "c" for x in operands)


def is_number(x: Any) -> bool:
    """Tell whether a value is a Python number, whose dtype gives way to that of arrays."""
    return isinstance(x, int | float) and not isinstance(x, np.generic)


def operand(x: Any) -> Any:
    """Give anything that NumPy takes for an array as one, or as the Variable that it is; lists may have Variables."""
    if isinstance(x, Variable) or is_array(x):
        return x
    if isinstance(x, list | tuple) and has_ours(x):
        return stack([operand(item) for item in x])
    return as_array(x)


def together(*xs: Any) -> list[Any]:
    """Give operands of one computation: where any stands in for an array, all do.

    What would be computed of arrays from outside alone is computed in every run then, as all else is.
    """
    found = [operand(x) for x in xs]
    for x in found:
        data = data_of(x)
        if is_stand_in(data):
            return [data.outside(v) if isinstance(v, np.ndarray) and v.ndim else v for v in found]
    return found


def floating(x: Any) -> Any:
    """Give an operand in a floating dtype, float64 for whole numbers."""
    x = operand(x)
    return x if x.dtype.kind == "f" else x.astype(np.float64)


def beside(array: Any, x: Any) -> Any:
    """Return an array on the target of x."""
    return dispatch.beside(array, data_of(x))


def dummy(shape: tuple[int, ...]) -> Any:
    """Give an array of a shape that takes no memory, to see what shape a function makes of it."""
    return np.broadcast_to(np.zeros((), np.int8), shape)


def axis_within(axis: Any, ndim: int) -> int:
    """Give an axis counted from the front; raises NumPy's AxisError where there is none."""
    return int(np.lib.array_utils.normalize_axis_index(axis, ndim))
