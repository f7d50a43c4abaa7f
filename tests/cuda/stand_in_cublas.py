"""What stands in for nvmath-python's bindings of cuBLAS where there is no GPU: its products, on host memory.

It is as strict as they are: whole numbers of the widths of cuBLAS's, handles that live, matrices that lie in memory of
the device, scalars and results where the pointer mode says; a change of stream takes the workspace back.
"""

from __future__ import annotations

import ctypes
import operator
from typing import Any

import numpy as np
import stand_in

#: What was called, with its arguments.
calls: list[tuple[Any, ...]] = []

_ON_THE_HOST, _ON_THE_DEVICE = 0, 1


class cuBLASError(Exception):
    """What cuBLAS reports."""


class _Handle:
    """What is known of a handle."""

    def __init__(self) -> None:
        self.mode, self.stream = _ON_THE_HOST, 0
        self.workspace: tuple[int, int] | None = None


_handles: dict[int, _Handle] = {}


def _number(x: Any, bits: int = 32) -> int:
    """Give a number as Cython takes it for C's int, or for a wider one."""
    x = operator.index(x)
    if not -(1 << (bits - 1)) <= x < 1 << (bits - 1):
        raise OverflowError("value too large to convert to int")
    return x


def _of(handle: Any) -> _Handle:
    found = _handles.get(_number(handle, 64))
    if found is None:
        raise cuBLASError("CUBLAS_STATUS_NOT_INITIALIZED (1)")
    return found


def _check(holds: bool) -> None:
    if not holds:
        raise cuBLASError("CUBLAS_STATUS_INVALID_VALUE (7)")


def create() -> int:
    calls.append(("create",))
    if stand_in.cuda.get_current_stream().actions is not None:
        raise cuBLASError("CUBLAS_STATUS_ALLOC_FAILED (3)")
    number = 1000 + len(calls)
    _handles[number] = _Handle()
    return number


def destroy(handle: int) -> None:
    calls.append(("destroy", handle))
    _of(handle)
    del _handles[handle]


def set_pointer_mode(handle: int, mode: int) -> None:
    calls.append(("set_pointer_mode", handle, mode))
    _check(_number(mode) in (_ON_THE_HOST, _ON_THE_DEVICE))
    _of(handle).mode = mode


def set_stream(handle: int, stream: int) -> None:
    calls.append(("set_stream", handle, stream))
    found = _of(handle)
    found.stream, found.workspace = _number(stream, 64), None


def set_workspace(handle: int, address: int, size: int) -> None:
    calls.append(("set_workspace", handle, address, size))
    _check(address % 256 == 0 and size >= 0)
    _device_memory(address, size)
    _of(handle).workspace = address, size


def _device_memory(address: int, length: int) -> None:
    """Refuse what a GPU would fault on, or what is somebody else's."""
    room = stand_in.room_of(_number(address, 64))
    if room is None or address + length > sum(room):
        raise RuntimeError(f"{length} bytes from {address:#x} on are not all in one piece of the device's memory")


def _began(handle: Any, mode: int) -> None:
    """Look whether a product may begin."""
    found = _of(handle)
    _check(found.mode == mode)
    assert found.stream == stand_in.cuda.get_current_stream().ptr, "on another stream than the one that is current"
    if stand_in.cuda.get_current_stream().actions is not None:
        assert found.workspace is not None, "captured with memory that graphs share with other products"


def _matrix(address: int, rows: int, columns: int, leading: int, dtype: Any) -> Any:
    """Give a matrix that lies column by column, the beginnings of columns `leading` elements apart."""
    size = np.dtype(dtype).itemsize
    memory = (ctypes.c_char * _length(rows, columns, leading, size)).from_address(address)
    return np.ndarray((rows, columns), dtype, memory, strides=(size, leading * size))


def _length(rows: int, columns: int, leading: int, size: int) -> int:
    return (leading * (columns - 1) + rows) * size


def _product(dtype: Any) -> Any:
    def gemm(handle: int, ta: int, tb: int, *arguments: int) -> None:
        m, n, k, alpha, a, lda, b, ldb, beta, c, ldc = arguments
        batched(handle, ta, tb, m, n, k, alpha, a, lda, 0, b, ldb, 0, beta, c, ldc, 0, 1)

    def batched(handle: int, ta: int, tb: int, *arguments: int) -> None:
        m, n, k, alpha, a, lda, a_step, b, ldb, b_step, beta, c, ldc, c_step, count = arguments
        _began(handle, _ON_THE_HOST)
        _check(all(_number(x) >= 0 for x in (m, n, k, count)) and {ta, tb} <= {0, 1})
        first_shape, second_shape = ((k, m) if ta else (m, k)), ((n, k) if tb else (k, n))
        size = np.dtype(dtype).itemsize
        pieces = ((a, first_shape, lda, a_step), (b, second_shape, ldb, b_step), (c, (m, n), ldc, c_step))
        for address, shape, leading, step in pieces:
            _check(_number(leading) >= max(1, shape[0]))
            _device_memory(address, (count - 1) * _number(step, 64) * size + _length(*shape, leading, size))
        assert count == 1 or c_step >= ldc * n, "products lie over each other"
        assert _matrix(alpha, 1, 1, 1, dtype) == 1 and _matrix(beta, 1, 1, 1, dtype) == 0
        calls.append((np.dtype(dtype).name, handle, ta, tb, m, n, k, count))

        def multiply() -> None:
            for i in range(count):
                first = _matrix(a + i * a_step * size, *first_shape, lda, dtype)
                second = _matrix(b + i * b_step * size, *second_shape, ldb, dtype)
                with np.errstate(all="ignore"):
                    product = (first.T if ta else first) @ (second.T if tb else second)
                _matrix(c + i * c_step * size, m, n, ldc, dtype)[...] = product

        stand_in.enqueue(multiply)

    return gemm, batched


def _dot(dtype: Any) -> Any:
    size = np.dtype(dtype).itemsize

    def dot(handle: int, n: int, x: int, x_step: int, y: int, y_step: int, result: int) -> None:
        _began(handle, _ON_THE_DEVICE)
        for address, step in ((x, x_step), (y, y_step)):
            _check(_number(step) > 0 and _number(n) > 0)
            _device_memory(address, ((n - 1) * step + 1) * size)
        _device_memory(result, size)

        def multiply() -> None:
            first, second = (_matrix(a, 1, n, step, dtype)[0] for a, step in ((x, x_step), (y, y_step)))
            with np.errstate(all="ignore"):
                _matrix(result, 1, 1, 1, dtype)[...] = first @ second

        stand_in.enqueue(multiply)

    return dot


sdot, ddot = _dot(np.float32), _dot(np.float64)
sgemm, sgemm_strided_batched = _product(np.float32)
dgemm, dgemm_strided_batched = _product(np.float64)
