"""Matrix products by cuBLAS, through nvmath-python: the calls that CuPy makes cannot be captured into a graph."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

#: What cuBLAS may use for itself, in bytes, while a stream is captured: NVIDIA's recommendation for Hopper.
WORKSPACE = 32 << 20

_LARGEST = 2**31 - 1
_DTYPES = {"f": np.float32, "d": np.float64}
_NUMBERS = {char: (np.ones(1, dtype), np.zeros(1, dtype)) for char, dtype in _DTYPES.items()}
#: Addresses of one and zero.
_SCALARS = {char: (one.ctypes.data, zero.ctypes.data) for char, (one, zero) in _NUMBERS.items()}
_NORMAL, _TRANSPOSED = 0, 1


class _Handles(threading.local):
    """cuBLAS's handles of a thread, by device, and the stream that each is set to."""

    def __init__(self) -> None:
        self.of: dict[int, int] = {}
        self.streams: dict[int, int | None] = {}
        self.workspace: Callable[[], Any] | None = None


_handles = _Handles()


def _handle(cublas: Any, cupy: Any) -> int:
    """Give this thread's handle for the current device, set to the current stream."""
    device = cupy.cuda.runtime.getDevice()
    handle = _handles.of.get(device)
    if handle is None:
        handle = _handles.of[device] = cublas.create()
    stream = cupy.cuda.get_current_stream().ptr
    if _handles.streams.get(device) != stream:
        cublas.set_stream(handle, stream)  # which takes back whatever workspace was set
        if _handles.workspace is not None:
            memory = _handles.workspace()
            cublas.set_workspace(handle, memory.data.ptr, memory.nbytes)
        _handles.streams[device] = stream
    return handle


@contextmanager
def workspace(give: Callable[[], Any]) -> Iterator[None]:
    """Have products of this thread use the memory that a function gives, which it does when there is one to be used."""
    _handles.workspace = give
    _handles.streams.clear()
    try:
        yield
    finally:
        _handles.workspace = None
        _handles.streams.clear()


def product(x: Any, w: Any, out: Any = None) -> Any:
    """Give the matrix product of CuPy arrays, by the rules of `numpy.matmul`; into `out`, if given, a contiguous array.

    Stacks of more than one dimension, other dtypes than float32 and float64, and inner products are CuPy's. Raises
    ValueError for shapes that do not match.
    """
    import cupy

    char = x.dtype.char
    if char not in _SCALARS or w.dtype.char != char or x.ndim + w.ndim < 3 or x.ndim > 3 or w.ndim > 3:
        return _by_cupy(cupy, x, w, out)
    stack = _stack(x, w)
    m, n, k = 1 if x.ndim == 1 else x.shape[-2], 1 if w.ndim == 1 else w.shape[-1], x.shape[-1]
    if w.shape[0 if w.ndim == 1 else -2] != k:
        raise ValueError(f"matmul: shapes {x.shape} and {w.shape} do not match")
    if out is None:
        shape = (*(() if stack is None else (stack,)), *x.shape[-2:-1], *(w.shape[-1:] if w.ndim > 1 else ()))
        out = cupy.empty(shape, x.dtype)
    if not (m and n and k) or stack == 0:
        out.fill(0)
        return out
    x, x_operation, x_leading = _operand(x, x.shape[-2:] if x.ndim > 1 else (1, k), x.strides[-2:], 0)
    w, w_operation, w_leading = _operand(w, w.shape[-2:] if w.ndim > 1 else (k, 1), w.strides[-2:], 1)
    if max(m, n, k, x_leading, w_leading) > _LARGEST:
        return _by_cupy(cupy, x, w, out)
    from nvmath.bindings import cublas

    handle = _handle(cublas, cupy)
    one, zero = _SCALARS[char]
    # rows are cuBLAS's columns: the transposed product is that of the transposed operands, the other way round
    if stack is None:
        multiply = cublas.sgemm if char == "f" else cublas.dgemm
        multiply(handle, w_operation, x_operation, n, m, k, one, w.data.ptr, w_leading, x.data.ptr, x_leading, zero,
                 out.data.ptr, n)  # fmt: skip
    else:
        multiply = cublas.sgemm_strided_batched if char == "f" else cublas.dgemm_strided_batched
        x_step, w_step = (a.strides[0] // a.itemsize if a.ndim == 3 and a.shape[0] > 1 else 0 for a in (x, w))
        multiply(handle, w_operation, x_operation, n, m, k, one, w.data.ptr, w_leading, w_step, x.data.ptr, x_leading,
                 x_step, zero, out.data.ptr, n, m * n, stack)  # fmt: skip
    return out


def _stack(x: Any, w: Any) -> int | None:
    """Give the number of matrices in a stack; None where there is none. Raises ValueError for unequal stacks."""
    sizes = [a.shape[0] for a in (x, w) if a.ndim == 3]
    if not sizes:
        return None
    several = [size for size in sizes if size != 1]
    if len(set(several)) > 1:
        raise ValueError(f"matmul: shapes {x.shape} and {w.shape}: the stacks do not broadcast")
    return several[0] if several else 1


def _operand(x: Any, shape: tuple[int, int], strides: tuple[int, ...], side: int) -> tuple[Any, int, int]:
    """Give an array as cuBLAS can read it, a copy if it cannot: with the operation, and the step from row to row."""
    size = x.itemsize
    rows, columns = shape
    down, along = strides if len(strides) == 2 else ((0, strides[0]), (strides[0], size))[side]
    if columns == 1:
        along = size
    if rows == 1:
        down = along * columns
    if x.ndim == 3 and x.shape[0] > 1 and x.strides[0] % size:
        down = along = 0  # no whole elements
    if along == size and down % size == 0 and down >= columns * size:
        return x, _NORMAL, down // size
    if rows == 1 or down == size:
        if along % size == 0 and along >= rows * size:
            return x, _TRANSPOSED, along // size
    return x.copy(), _NORMAL, columns


def _by_cupy(cupy: Any, x: Any, w: Any, out: Any) -> Any:
    made = cupy.matmul(x, w) if x.ndim > 2 or w.ndim > 2 else cupy.dot(x, w)
    if out is None:
        return made
    out[...] = made
    return out
