"""Constants for Python numbers that meet Variables: made once for each number and dtype.

A number takes the dtype of what it meets, and never changes it (NEP 50).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .variable import Variable

#: The constants, by the letters of dtypes and by the numbers: compiled calls look here.
numbers: dict[tuple[str, Any], Variable] = {}
#: Those that there were before it became full: somebody may be about to use one.
_before: dict[tuple[str, Any], Variable] = {}


def compared_number(value: float, dtype: Any) -> Variable:
    """Give the constant for a Python number to compare with, which may lie outside the dtype's range."""
    if dtype.kind in "iu" and type(value) is int:
        limits = np.iinfo(dtype)
        if not limits.min <= value <= limits.max:
            return Variable(np.asarray(value), requires_grad=False)
    return number_like(value, dtype)


def number_like(value: float, dtype: Any) -> Variable:
    """Give the constant for a Python number that meets a Variable of `dtype`, whose dtype it takes (NEP 50)."""
    # 0.0 and -0.0 would be one key
    key: tuple[str, Any] = dtype.char, value or str(float(value))
    if dtype.kind == "f" and key in numbers:
        return numbers[key]
    if dtype.kind == "f" or (dtype.kind in "iu" and type(value) is int):
        with np.errstate(over="ignore"):  # to infinity, silently
            data = np.array(value, dtype)
    else:
        data = np.asarray(value)
    data.flags.writeable = False
    constant = Variable(data, requires_grad=False)
    # 1 and 1.0 only mean the same to a floating dtype
    if dtype.kind == "f":
        if len(numbers) > 1000:
            _before.clear()
            _before.update(numbers)
            numbers.clear()
        numbers[key] = constant
    return constant


def constant_like(value: Any, x: Variable) -> Any:
    """Give the constant for a Python number that meets a Variable, and anything else as it is."""
    if type(value) is float or type(value) is int:
        try:
            return numbers[x._array.dtype.char, value]
        except KeyError:
            return number_like(value, x._array.dtype)
    return value
