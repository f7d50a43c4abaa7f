"""Where the CPU's kernels send arrays that are not NumPy's: to a GPU's kernels, or to what stands in for an array."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache as once
from typing import Any

import numpy as np

from . import devices


@once
def _cuda_call() -> Callable[..., Any]:
    from .cuda.elementwise import call

    return call


def call(ufunc: np.ufunc, arguments: Sequence[Any], out: Any = None) -> Any:
    """Evaluate a ufunc on a GPU, where `devices.on_gpu` has found its arguments."""
    devices.check_together(ufunc.__name__, arguments if out is None else (*arguments, out))
    return _cuda_call()(ufunc, arguments, out)


def reduce_array(name: str, x: Any, axes: tuple[int, ...]) -> Any:
    """Reduce an array over `axes` (ascending), dropping them."""
    if not devices.is_cuda(x):
        return x.folded(name, axes)
    from .cuda import reduction

    devices.check_together(name, (x,))
    return reduction.reduce_array(name, x, axes)


def spread_array(name: str, axis: int, *arrays: Any) -> Any:
    """Run a reduction that gives a value for each element along one axis of arrays of one shape."""
    if not devices.is_cuda(arrays[0]):
        return arrays[0].folded(name, (axis,) if arrays[0].ndim else (), *arrays[1:])
    from .cuda import reduction

    devices.check_together(name, arrays)
    return reduction.spread_array(name, axis, *arrays)


def scan_array(name: str, x: Any, axis: int, reverse: bool) -> Any:
    """Scan an array along an axis, from its last element to its first if `reverse`."""
    if not devices.is_cuda(x):
        return x.scanned(name, axis, reverse)
    from .cuda import scan

    devices.check_together(name, (x,))
    return scan.scan_array(name, x, axis, reverse)


def recur(a: Any, b: Any, axis: int, reverse: bool) -> Any:
    """Give y with ``y[i] = b[i] + a[i - 1] * y[i - 1]`` along an axis, or from the other end if `reverse`."""
    symbol = next((x for x in (a, b) if hasattr(type(x), "__nbgrad_array__")), None)
    if symbol is not None:
        return symbol.recurring(a, b, axis, reverse)
    from .cuda import scan

    devices.check_together("recurrence", (a, b))
    return scan.recur(a, b, axis, reverse)
