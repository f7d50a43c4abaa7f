"""Matrix products by cuBLAS, through nvmath-python: the calls that CuPy makes cannot be captured into a graph."""

from __future__ import annotations

import math
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np

#: What cuBLAS may use for itself, in bytes, while a stream is captured: NVIDIA's recommendation for Hopper.
WORKSPACE = 32 << 20

_LARGEST = 2**31 - 1
_NUMBERS = {char: np.array([1, 0], char) for char in "fd"}
#: The addresses of one and zero.
_SCALARS = {char: (pair.ctypes.data, pair.ctypes.data + pair.itemsize) for char, pair in _NUMBERS.items()}
_NORMAL, _TRANSPOSED = 0, 1
_ON_THE_HOST, _ON_THE_DEVICE = 0, 1


class _Handle:
    """A handle of cuBLAS, and the stream that it is set to."""

    def __init__(self, cublas: Any) -> None:
        self.number, self._destroy = cublas.create(), cublas.destroy
        self.stream: int | None = None

    def __del__(self) -> None:
        if hasattr(self, "number"):
            with suppress(Exception):  # at the process's end the driver may be gone
                self._destroy(self.number)


class _Thread(threading.local):
    """A thread's handles by device, and the memory they are to use."""

    def __init__(self) -> None:
        self.handles: dict[int, _Handle] = {}
        self.workspace: Any = None


_thread = _Thread()


def _handle(cublas: Any, cupy: Any) -> int:
    """Give this thread's handle for the current device, set to the current stream."""
    device = cupy.cuda.runtime.getDevice()
    handle = _thread.handles.get(device)
    if handle is None:
        try:
            handle = _Handle(cublas)
        except Exception:  # there may be no memory outside of CuPy's pool
            cupy.get_default_memory_pool().free_all_blocks()
            handle = _Handle(cublas)
        _thread.handles[device] = handle
    stream = cupy.cuda.get_current_stream().ptr
    if handle.stream != stream:
        cublas.set_stream(handle.number, stream)  # which takes back whatever workspace was set
        if _thread.workspace is not None:
            cublas.set_workspace(handle.number, _thread.workspace.data.ptr, _thread.workspace.nbytes)
        handle.stream = stream
    return int(handle.number)


def prepare() -> bool:
    """Make this thread's handle, if there were products in any: it cannot be made while a stream is captured."""
    import cupy

    bindings = sys.modules.get("nvmath.bindings")
    if bindings is None:
        return False
    _handle(bindings.cublas, cupy)
    return True


@contextmanager
def workspace(memory: Any) -> Iterator[None]:
    """Have cuBLAS use an array's memory in this thread's products."""
    _thread.workspace = memory
    _forget_streams()
    try:
        yield
    finally:
        _thread.workspace = None
        _forget_streams()


def _forget_streams() -> None:
    for handle in _thread.handles.values():
        handle.stream = None


def product(x: Any, w: Any, out: Any = None) -> Any:
    """Give the matrix product of CuPy arrays, by the rules of `numpy.matmul`; into `out`, if given, a contiguous array.

    Other dtypes than float32 and float64 are CuPy's, and stacks of several dimensions that are broadcast. Raises
    ValueError for shapes that do not match.
    """
    import cupy

    char = x.dtype.char
    if char not in _SCALARS or w.dtype.char != char:
        return _by_cupy(cupy, x, w, out)
    if x.ndim > 3 or w.ndim > 3:
        return _of_stacks(cupy, x, w, out)
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
    from nvmath.bindings import cublas

    if x.ndim == w.ndim == 1:
        return _inner(cublas, cupy, x, w, out)
    x, x_operation, x_leading = _operand(x, x.shape[-2:] if x.ndim > 1 else (1, k), x.strides[-2:], 0)
    w, w_operation, w_leading = _operand(w, w.shape[-2:] if w.ndim > 1 else (k, 1), w.strides[-2:], 1)
    if max(m, n, k, x_leading, w_leading, stack or 0) > _LARGEST:
        return _by_cupy(cupy, x, w, out)
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


def _inner(cublas: Any, cupy: Any, x: Any, w: Any, out: Any) -> Any:
    """Multiply vectors; the result goes to the device without the host waiting for it."""
    size = x.itemsize
    x, w = (a if a.strides[0] > 0 and a.strides[0] % size == 0 else a.copy() for a in (x, w))
    if x.size > _LARGEST:
        return _by_cupy(cupy, x, w, out)
    handle = _handle(cublas, cupy)
    multiply = cublas.sdot if size == 4 else cublas.ddot
    cublas.set_pointer_mode(handle, _ON_THE_DEVICE)
    try:
        multiply(handle, x.size, x.data.ptr, x.strides[0] // size, w.data.ptr, w.strides[0] // size, out.data.ptr)
    finally:
        cublas.set_pointer_mode(handle, _ON_THE_HOST)
    return out


def _of_stacks(cupy: Any, x: Any, w: Any, out: Any) -> Any:
    """Multiply stacks of several dimensions, if they are the same, or one is no stack, as stacks of one."""
    if x.ndim > 2 and w.ndim > 2 and x.shape[:-2] != w.shape[:-2]:
        return _by_cupy(cupy, x, w, out)
    stack = (x if x.ndim > 2 else w).shape[:-2]
    x, w = (a.reshape(math.prod(stack), *a.shape[-2:]) if a.ndim > 2 else a for a in (x, w))
    made = product(x, w, None if out is None else out.reshape(math.prod(stack), *out.shape[len(stack) :]))
    return made.reshape(*stack, *made.shape[1:]) if out is None else out


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
    if x.ndim == 3 and x.shape[0] > 1 and (x.strides[0] % size or x.strides[0] < 0):
        down = along = 0  # to be copied
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
