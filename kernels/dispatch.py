"""Calls on arrays of any target: NumPy's by the CPU's kernels, CuPy's by a GPU's, stand-ins answer themselves."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cache as once
from functools import partial
from typing import Any

import numpy as np
from numpy import ndarray

from . import devices
from .cpu.caller import fast_call
from .cpu.failures import checked
from .cpu.reduction import reduce_array as _reduce_on_cpu
from .cpu.reduction import spread_array as _spread_on_cpu
from .cpu.scan import recur as _recur_on_cpu
from .cpu.scan import scan_array as _scan_on_cpu
from .formula import FLOATING, SIGNED
from .shapes import broadcast_shapes

# ---- elementwise ----------------------------------------------------------------------------------------------------


def caller(ufunc: np.ufunc, domain: str = FLOATING, views: bool = False) -> Callable[..., Any]:
    """Give a function like ``partial(ufunc, out=...)`` for arrays of any target, quick on small ones of NumPy's.

    With one argument more than the ufunc has inputs, the last is where the result goes. Ufuncs of the domain SIGNED
    refuse truth values, which NumPy would convert. With `views` the result may be a read-only view of fewer elements,
    where an argument repeats one: the cotangent of a sum is such, and what follows from it alone is one number again.
    """
    slow = _of_signed if domain == SIGNED else _of_repeated if views else _with_output
    return fast_call(ufunc, partial(slow, ufunc, ufunc.nin))


#: Where an array has more elements, it is worth looking whether they are all one.
_MANY = 4096


def _is_one(x: Any) -> bool:
    """Tell whether many elements are one in memory, repeated along all axes."""
    return type(x) is ndarray and x.size > _MANY and not any(x.strides)


def _of_repeated(ufunc: np.ufunc, inputs: int, *arguments: Any) -> Any:
    """Compute with the one element that a cotangent, the first argument, may repeat, and repeat what comes of it."""
    first = arguments[0]
    if type(first) is not ndarray or first.size <= _MANY or any(first.strides) or len(arguments) > inputs:
        return _with_output(ufunc, inputs, *arguments)
    result = _with_output(ufunc, inputs, first[(0,) * first.ndim + (...,)], *arguments[1:])
    shape = broadcast_shapes(*[x.shape for x in arguments])
    return result if result.shape == shape else np.broadcast_to(result, shape)


def _of_signed(ufunc: np.ufunc, inputs: int, *arguments: Any) -> Any:
    if all([isinstance(x, bool) or getattr(x, "dtype", None) == np.bool_ for x in arguments[:inputs]]):
        raise TypeError(f"{ufunc.__name__}: truth values have no sign")
    return _with_output(ufunc, inputs, *arguments)


def _with_output(ufunc: np.ufunc, inputs: int, *arguments: Any) -> Any:
    if devices.on_gpu(arguments):
        return call_on_gpu(ufunc, arguments[:inputs], *arguments[inputs:])
    if len(arguments) > inputs:
        return checked(ufunc, *arguments)
    return checked(ufunc, *arguments, out=...)


@once
def _cuda_call() -> Callable[..., Any]:
    from .cuda.elementwise import call

    return call


def call_on_gpu(ufunc: np.ufunc, arguments: Sequence[Any], out: Any = None) -> Any:
    """Evaluate a ufunc on a GPU, where `devices.on_gpu` has found its arguments."""
    devices.check_together(ufunc.__name__, arguments if out is None else (*arguments, out))
    return _cuda_call()(ufunc, arguments, out)


# ---- reductions -----------------------------------------------------------------------------------------------------


def reduce_array(name: str, x: Any, axes: tuple[int, ...]) -> Any:
    """Reduce an array over `axes` (ascending), dropping them."""
    if isinstance(x, ndarray):
        return _reduce_on_cpu(name, x, axes)
    if not devices.is_cuda(x):
        return x.folded(name, axes)
    from .cuda import reduction

    devices.check_together(name, (x,))
    return reduction.reduce_array(name, x, axes)


def sum_to_shape(x: Any, shape: tuple[int, ...]) -> Any:
    """Sum over the axes that broadcasting from `shape` to the shape of x stretched."""
    if x.shape == shape:
        return x
    if _is_one(x) and x.dtype.kind == "f":  # what so many of it add up to
        total = np.multiply(x[(0,) * x.ndim], x.size // math.prod(shape), dtype=np.float64) + 0.0
        return np.broadcast_to(total.astype(x.dtype), shape)
    extra = x.ndim - len(shape)
    stretched = tuple(
        axis for axis in range(x.ndim) if axis < extra or (shape[axis - extra] == 1 and x.shape[axis] != 1)
    )
    return reduce_array("sum", x, stretched).reshape(shape)


def spread_array(name: str, axis: int, *arrays: Any) -> Any:
    """Run a reduction that gives a value for each element along one axis of arrays of one shape."""
    if isinstance(arrays[0], ndarray):
        if arrays[0].size > _MANY:  # loops over neighbours are several times as fast as loops over one element
            arrays = tuple([x if x.strides[axis] else np.ascontiguousarray(x) for x in arrays])
        return _spread_on_cpu(name, axis, *arrays)
    if not devices.is_cuda(arrays[0]):
        return arrays[0].folded(name, (axis,) if arrays[0].ndim else (), *arrays[1:])
    from .cuda import reduction

    devices.check_together(name, arrays)
    return reduction.spread_array(name, axis, *arrays)


# ---- scans ----------------------------------------------------------------------------------------------------------


def scan_array(name: str, x: Any, axis: int, reverse: bool = False) -> Any:
    """Scan an array along an axis, from its last element to its first if `reverse`."""
    if isinstance(x, ndarray):
        return _scan_on_cpu(name, x, axis, reverse)
    if not devices.is_cuda(x):
        return x.scanned(name, axis, reverse)
    from .cuda import scan

    devices.check_together(name, (x,))
    return scan.scan_array(name, x, axis, reverse)


def recur(a: Any, b: Any, axis: int, reverse: bool = False) -> Any:
    """Give y with ``y[i] = b[i] + a[i - 1] * y[i - 1]`` along an axis, or from the other end if `reverse`."""
    if isinstance(a, ndarray) and isinstance(b, ndarray):
        return _recur_on_cpu(a, b, axis, reverse)
    stand_in = next((x for x in (a, b) if hasattr(type(x), "__nbgrad_array__")), None)
    if stand_in is not None:
        return stand_in.recurring(a, b, axis, reverse)
    from .cuda import scan

    devices.check_together("recurrence", (a, b))
    return scan.recur(a, b, axis, reverse)
