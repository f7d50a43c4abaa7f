"""Variables made from numbers and shapes, and random ones."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ..variable import Array, Variable, get_default_dtype
from .arguments import whole_numbers

Dtype = npt.DTypeLike | None

_generator: np.random.Generator | None = None


def _made(data: Array, requires_grad: bool) -> Variable:
    return Variable(data, requires_grad=requires_grad)


def _floating(dtype: Dtype) -> np.dtype[Any]:
    return get_default_dtype() if dtype is None else np.dtype(dtype)


def tensor(data: Any, dtype: Dtype = None, requires_grad: bool = False) -> Variable:
    """Make a Variable of numbers, nested lists or an array, which is copied.

    Arrays keep their dtype; Python floats become the default dtype, whole numbers int64, truth values bool.
    Raises TypeError for what is not numeric, and for `requires_grad` with a dtype that has no gradients.

    >>> import nbgrad
    >>> nbgrad.tensor([1, 2.5], requires_grad=True)
    Variable([1. , 2.5])
    """
    if isinstance(data, Variable):
        data = data.data
    if isinstance(data, list | tuple):
        data = _plain(data)
    try:
        array = np.array(data, dtype=dtype)
    except (ValueError, TypeError) as error:
        raise type(error)(f"tensor: {error}") from None
    if dtype is None and array.dtype == np.float64 and not isinstance(data, np.ndarray | np.generic):
        array = array.astype(get_default_dtype(), copy=False)
    if array.dtype.kind not in "fiub":
        raise TypeError(f"tensor: dtype {array.dtype} is not numeric: give numbers, or a numeric dtype=")
    return _made(array, requires_grad)


def _plain(data: Any) -> Any:
    if isinstance(data, Variable):
        return data.data
    return [_plain(item) for item in data] if isinstance(data, list | tuple) else data


def zeros(*size: Any, dtype: Dtype = None, requires_grad: bool = False) -> Variable:
    """Make a Variable of zeros; sizes as arguments or as one sequence."""
    return _made(np.zeros(whole_numbers("zeros", size), _floating(dtype)), requires_grad)


def ones(*size: Any, dtype: Dtype = None, requires_grad: bool = False) -> Variable:
    """Make a Variable of ones; sizes as arguments or as one sequence."""
    return _made(np.ones(whole_numbers("ones", size), _floating(dtype)), requires_grad)


def empty(*size: Any, dtype: Dtype = None, requires_grad: bool = False) -> Variable:
    """Make a Variable whose elements are whatever the memory held."""
    return _made(np.empty(whole_numbers("empty", size), _floating(dtype)), requires_grad)


def full(size: Any, fill_value: Any, dtype: Dtype = None, requires_grad: bool = False) -> Variable:
    """Make a Variable with every element `fill_value`, whose kind of number decides the dtype unless given."""
    if dtype is None:
        value = np.asarray(fill_value)
        dtype = get_default_dtype() if isinstance(fill_value, float) else value.dtype
    shape = whole_numbers("full", (size,) if not isinstance(size, tuple | list) else tuple(size))
    return _made(np.full(shape, fill_value, dtype), requires_grad)


def eye(n: int, m: int | None = None, dtype: Dtype = None, requires_grad: bool = False) -> Variable:
    """Make an n by m matrix (n by n unless given) with ones on the diagonal."""
    return _made(np.eye(n, m, dtype=_floating(dtype)), requires_grad)


def arange(*bounds: Any, dtype: Dtype = None, requires_grad: bool = False) -> Variable:
    """Make a Variable of start, start + step, ... before end: ``arange(end)``, ``arange(start, end, step)``."""
    if not 1 <= len(bounds) <= 3:
        raise TypeError(f"arange: takes 1 to 3 bounds, got {len(bounds)}")
    numbers = [b.item() if isinstance(b, Variable) else b for b in bounds]
    if dtype is None and any(isinstance(b, float) for b in numbers):
        dtype = get_default_dtype()
    return _made(np.arange(*numbers, dtype=dtype), requires_grad)


def linspace(start: Any, end: Any, steps: int, dtype: Dtype = None, requires_grad: bool = False) -> Variable:
    """Make a Variable of `steps` evenly spaced values from `start` to `end`, both included."""
    first, last = (b.item() if isinstance(b, Variable) else b for b in (start, end))
    return _made(np.linspace(first, last, steps, dtype=_floating(dtype)), requires_grad)


def _like(x: Any) -> Array:
    return x.data if isinstance(x, Variable) else np.asarray(x)


def zeros_like(x: Any, dtype: Dtype = None, requires_grad: bool = False) -> Variable:
    """Make a Variable of zeros with the shape and dtype of x."""
    return _made(np.zeros(_like(x).shape, dtype or _like(x).dtype), requires_grad)


def ones_like(x: Any, dtype: Dtype = None, requires_grad: bool = False) -> Variable:
    """Make a Variable of ones with the shape and dtype of x."""
    return _made(np.ones(_like(x).shape, dtype or _like(x).dtype), requires_grad)


def full_like(x: Any, fill_value: Any, dtype: Dtype = None, requires_grad: bool = False) -> Variable:
    """Make a Variable with every element `fill_value` and the shape and dtype of x."""
    return _made(np.full(_like(x).shape, fill_value, dtype or _like(x).dtype), requires_grad)


# ---- random numbers, from NumPy's generator -------------------------------------------------------------------------


def _random() -> np.random.Generator:
    global _generator
    if _generator is None:
        _generator = np.random.default_rng()
    return _generator


def manual_seed(seed: int) -> np.random.Generator:
    """Start the random numbers over from a seed, and give the NumPy generator behind them.

    >>> import nbgrad
    >>> _ = nbgrad.manual_seed(0); a = nbgrad.randn(3)
    >>> _ = nbgrad.manual_seed(0); b = nbgrad.randn(3)
    >>> bool((a.data == b.data).all())
    True
    """
    global _generator
    _generator = np.random.default_rng(seed)
    return _generator


def rand(*size: Any, dtype: Dtype = None, requires_grad: bool = False) -> Variable:
    """Make a Variable of numbers uniform in [0, 1)."""
    chosen: Any = _drawn("rand", dtype)
    return _made(np.asarray(_random().random(whole_numbers("rand", size), chosen)), requires_grad)


def randn(*size: Any, dtype: Dtype = None, requires_grad: bool = False) -> Variable:
    """Make a Variable of numbers from the standard normal distribution."""
    chosen: Any = _drawn("randn", dtype)
    return _made(np.asarray(_random().standard_normal(whole_numbers("randn", size), chosen)), requires_grad)


def _drawn(what: str, dtype: Dtype) -> np.dtype[Any]:
    chosen = _floating(dtype)
    if chosen.char not in "fd":
        raise TypeError(f"{what}: draws float32 or float64, not {chosen}")
    return chosen


def randint(*bounds: Any, size: Any = None, dtype: Dtype = np.int64, requires_grad: bool = False) -> Variable:
    """Make a Variable of whole numbers in [low, high): ``randint(high, size)`` or ``randint(low, high, size)``."""
    numbers = list(bounds)
    if size is None and numbers:
        size = numbers.pop()
    if not 1 <= len(numbers) <= 2 or size is None:
        raise TypeError("randint: takes (high, size) or (low, high, size)")
    low, high = (0, numbers[0]) if len(numbers) == 1 else numbers
    shape = whole_numbers("randint", (size,) if not isinstance(size, tuple | list) else tuple(size))
    kind: Any = dtype
    return _made(_random().integers(low, high, shape, kind), requires_grad)
