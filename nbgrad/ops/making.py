"""Variables like another one, and on a logarithmic scale: asked for more seldom than those of `creation`."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..kernels import placement
from ..registry import operation
from ..variable import Variable, data_of, get_default_dtype
from .arguments import whole_numbers
from .creation import Dtype, _beside, _kind, _of_new, full, linspace, tensor
from .elementwise import pow
from .picking import operand


def _made(
    what: str, like: Any, size: Any, dtype: Dtype, device: Any, requires_grad: bool, value: Any = None
) -> Variable:
    shape = whole_numbers(what, size)
    data = data_of(like)
    kind = _kind(dtype, data)
    target = _beside(device, data)
    made = target.empty(shape, kind) if value is None else target.full(shape, value, kind)
    return _of_new(made, requires_grad)


@operation(method=False)
def empty_like(input: Any, *, dtype: Dtype = None, requires_grad: bool = False, device: Any = None) -> Variable:
    """Make a Variable of whatever the memory held, of the shape and dtype of input."""
    x = operand(input)
    return _made("empty_like", x, (tuple(x.shape),), dtype, device, requires_grad)


@operation(public=False)
def new_empty(input: Any, *size: Any, dtype: Dtype = None, requires_grad: bool = False, device: Any = None) -> Variable:
    """Make a Variable of a size, of whatever the memory held, with the dtype of input unless given."""
    return _made("new_empty", operand(input), size, dtype, device, requires_grad)


@operation(public=False)
def new_zeros(input: Any, *size: Any, dtype: Dtype = None, requires_grad: bool = False, device: Any = None) -> Variable:
    """Make a Variable of zeros of a size, with the dtype of input unless given."""
    return _made("new_zeros", operand(input), size, dtype, device, requires_grad, 0)


@operation(public=False)
def new_ones(input: Any, *size: Any, dtype: Dtype = None, requires_grad: bool = False, device: Any = None) -> Variable:
    """Make a Variable of ones of a size, with the dtype of input unless given."""
    return _made("new_ones", operand(input), size, dtype, device, requires_grad, 1)


@operation(public=False)
def new_full(
    input: Any, size: Any, fill_value: Any, *, dtype: Dtype = None, requires_grad: bool = False, device: Any = None
) -> Variable:
    """Make a Variable of a number in a size, with the dtype of input unless given."""
    x = operand(input)
    kind = np.dtype(x.dtype if dtype is None else dtype)
    return full(size, fill_value, kind, requires_grad, placement.named(device, data_of(x)).name)


@operation(public=False)
def new_tensor(
    input: Any, data: Any, *, dtype: Dtype = None, requires_grad: bool = False, device: Any = None
) -> Variable:
    """Make a Variable of numbers, with the dtype of input and on its device unless given."""
    x = operand(input)
    kind = x.dtype if dtype is None else dtype
    return tensor(data, kind, requires_grad, placement.named(device, data_of(x)).name)


@operation(method=False)
def scalar_tensor(input: Any, *, dtype: Dtype = None, requires_grad: bool = False, device: Any = None) -> Variable:
    """Make a Variable without dimensions of a number, of the default dtype unless given."""
    return tensor(input, get_default_dtype() if dtype is None else dtype, requires_grad, device)


@operation(method=False)
def logspace(
    input: Any,
    end: Any,
    steps: int,
    base: Any = 10.0,
    *,
    dtype: Dtype = None,
    requires_grad: bool = False,
    device: Any = None,
) -> Variable:
    """Make a Variable of powers of a base, whose exponents are evenly spaced from the first to `end`, both included.

    Raises ValueError for a negative number of steps.
    """
    if steps < 0:
        raise ValueError(f"logspace: {steps} steps: give a number of at least 0")
    kind = np.dtype(get_default_dtype() if dtype is None else dtype)
    powers: Any = pow(base, linspace(input, end, steps, np.float64))
    made = powers.astype(kind).to(device=device) if device is not None else powers.astype(kind)
    return made.detach().requires_grad_(requires_grad) if requires_grad else made
