"""Arithmetic and logic with PyTorch's further arguments, which operators neither take nor pay for."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache as once
from typing import Any, TypeVar, overload

import numpy as np

from .. import registry
from ..arrays import Array, is_array
from ..kernels.formula import Expression
from ..kernels.operators import reflected
from ..registry import operation
from ..variable import Operand, Variable
from . import elementwise as plain

_add, _sub, _div = plain.add, plain.sub, plain.div

Logical = TypeVar("Logical", bound=Callable[..., Any])


@overload
def add(input: Variable, other: Operand, *, alpha: float | None = None) -> Variable: ...
@overload
def add(input: Operand, other: Variable, *, alpha: float | None = None) -> Variable: ...
@overload
def add(input: Array | float, other: Array | float, *, alpha: float | None = None) -> Array: ...
@operation
def add(input: Any, other: Any, *, alpha: Any = None) -> Any:
    """Add: input + other, or input + alpha * other; elementwise, with broadcasting.

    Raises TypeError for an `alpha` that is no number, or a floating one of whole numbers.
    """
    if alpha is None:
        return _add(input, other)
    return _add(input, _scaled("add", input, other, alpha))


@overload
def sub(input: Variable, other: Operand, *, alpha: float | None = None) -> Variable: ...
@overload
def sub(input: Operand, other: Variable, *, alpha: float | None = None) -> Variable: ...
@overload
def sub(input: Array | float, other: Array | float, *, alpha: float | None = None) -> Array: ...
@operation
def sub(input: Any, other: Any, *, alpha: Any = None) -> Any:
    """Subtract: input - other, or input - alpha * other; elementwise, with broadcasting.

    Raises TypeError for an `alpha` that is no number, or a floating one of whole numbers.
    """
    if alpha is None:
        return _sub(input, other)
    return _sub(input, _scaled("sub", input, other, alpha))


def _scaled(what: str, x: Any, other: Any, alpha: Any) -> Any:
    if isinstance(alpha, bool) or not isinstance(alpha, int | float):
        raise TypeError(
            f"{what}: alpha is a Python number, got {alpha!r}; multiply by {what}(x, alpha * other) instead"
        )
    if isinstance(alpha, float) and not _floating(x, other):
        raise TypeError(f"{what}: alpha is {alpha} for whole numbers: give a whole one")
    return other * alpha if isinstance(other, int | float) else plain.mul(other, alpha)


def _floating(*operands: Any) -> bool:
    return any(isinstance(x, float | Expression) or getattr(x, "dtype", np.dtype(bool)).kind == "f" for x in operands)


@overload
def div(input: Variable, other: Operand, *, rounding_mode: str | None = None) -> Variable: ...
@overload
def div(input: Operand, other: Variable, *, rounding_mode: str | None = None) -> Variable: ...
@overload
def div(input: Array | float, other: Array | float, *, rounding_mode: str | None = None) -> Array: ...
@operation
def div(input: Any, other: Any, *, rounding_mode: str | None = None) -> Any:
    """Divide: input / other, elementwise, with broadcasting.

    Whole numbers become floating, unless the result is rounded.
    `rounding_mode` is None, "trunc" (towards 0, as in C) or "floor" (down, as `floor_divide`); what is rounded has the
    gradient 0. Raises ValueError for another one.

    >>> import nbgrad
    >>> nbgrad.div(nbgrad.tensor([-7, 7]), 2, rounding_mode="trunc")
    Variable([-3,  3])
    """
    if rounding_mode is None:
        return _div(input, other)
    if rounding_mode == "floor":
        return plain.floor_divide(input, other)
    if rounding_mode != "trunc":
        raise ValueError(f"div: rounding_mode is None, 'trunc' or 'floor', got {rounding_mode!r}")
    if _floating(input, other):
        return _trunc()(plain.div(input, other))
    down = plain.floor_divide(input, other)
    inexact = plain.ne(plain.mul(down, other), input)
    return plain.where(plain.logical_and(inexact, plain.lt(down, 0)), plain.add(down, 1), down)


@once
def _trunc() -> Any:
    def toward_zero(q: Any) -> Any:
        size = plain.abs(q)
        whole = plain.where(size < 2.0**53, size - size % 1, size)  # infinities have no remainder
        return plain.where(q < 0, -whole, whole)

    return plain.elementwise(toward_zero, lambda y, q: 0, name="trunc")


# ---- logic of numbers -----------------------------------------------------------------------------------------------


def _truth(x: Any) -> Any:
    """Tell where numbers are not zero; truth values stay what they are."""
    if isinstance(x, Variable | Expression) or is_array(x):
        return x if not isinstance(x, Expression) and x.dtype == np.bool_ else plain.ne(x, 0)
    return bool(x) if isinstance(x, int | float) else x


def _of_numbers_too(function: Logical) -> Logical:
    """Give a logical function that takes any number but 0 for true, as NumPy's and PyTorch's do."""

    def both(input: Any, other: Any) -> Any:
        try:
            return function(input, other)
        except TypeError:
            return function(_truth(input), _truth(other))

    def one(input: Any) -> Any:
        try:
            return function(input)
        except TypeError:
            return function(_truth(input))

    chosen: Any = one if function is plain.logical_not else both
    chosen.__name__ = chosen.__qualname__ = function.__name__
    chosen.__doc__ = f"{str(function.__doc__).rstrip('.')}; numbers but 0, NaN among them, hold."
    return operation(chosen)


logical_and = _of_numbers_too(plain.logical_and)
logical_or = _of_numbers_too(plain.logical_or)
logical_xor = _of_numbers_too(plain.logical_xor)
logical_not = _of_numbers_too(plain.logical_not)


# ---- bits -----------------------------------------------------------------------------------------------------------


_TRUTH = np.dtype(bool)


def _of_bits(truth: Callable[..., Any], name: str) -> Callable[..., Any]:
    """Give what an operator does: with truth values what a kernel does, with whole numbers what it does to each bit."""

    def one(x: Any) -> Any:
        return truth(x) if x.dtype == _TRUTH else registry.load(name).function(x)

    def both(x: Any, y: Any) -> Any:
        if type(x) is Variable is type(y) and x._array.dtype is _TRUTH is y._array.dtype:
            return truth(x, y)
        if all([type(operand) is bool or getattr(operand, "dtype", None) == _TRUTH for operand in (x, y)]):
            return truth(x, y)
        return registry.load(name).function(x, y)

    return one if name == "bitwise_not" else both


#: By the names of Python's operators; NumPy's ufuncs do the same.
BITS: dict[str, Callable[..., Any]] = {
    "and": _of_bits(plain.logical_and, "bitwise_and"),
    "or": _of_bits(plain.logical_or, "bitwise_or"),
    "xor": _of_bits(plain.logical_xor, "bitwise_xor"),
    "invert": _of_bits(plain.logical_not, "bitwise_not"),
    "lshift": lambda x, y: registry.load("bitwise_left_shift").function(x, y),
    "rshift": lambda x, y: registry.load("bitwise_right_shift").function(x, y),
}


def install(methods: dict[str, Any]) -> None:
    """Add the operators on bits to a table of methods."""
    for operator, function in BITS.items():
        methods[f"__{operator}__"] = function
        if operator != "invert":
            methods[f"__r{operator}__"] = reflected(function)
            name = {"lshift": "left_shift", "rshift": "right_shift"}.get(operator, operator)
            methods[f"__i{operator}__"] = _calling(f"bitwise_{name}_")


def _calling(name: str) -> Callable[..., Any]:
    """Give an operator that calls a method."""
    return lambda self, other: getattr(self, name)(other)
