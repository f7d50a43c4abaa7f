"""What stands in for nvmath-python's bindings of cuBLAS where there is no GPU: its products, on host memory."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
import stand_in

#: What was called, with its arguments.
calls: list[tuple[Any, ...]] = []


def create() -> int:
    calls.append(("create",))
    return len(calls)


def destroy(handle: int) -> None:
    calls.append(("destroy", handle))


def set_pointer_mode(handle: int, mode: int) -> None:
    calls.append(("set_pointer_mode", handle, mode))


def set_stream(handle: int, stream: int) -> None:
    calls.append(("set_stream", handle, stream))


def set_workspace(handle: int, address: int, size: int) -> None:
    assert address % 256 == 0
    calls.append(("set_workspace", handle, address, size))


def _matrix(address: int, rows: int, columns: int, leading: int, dtype: Any) -> Any:
    """Give a matrix that lies column by column, the beginnings of columns `leading` elements apart."""
    assert leading >= max(1, rows)
    size = np.dtype(dtype).itemsize
    length = (leading * (columns - 1) + rows) * size
    memory = (ctypes.c_char * length).from_address(address)
    return np.ndarray((rows, columns), dtype, memory, strides=(size, leading * size))


def _product(dtype: Any) -> Any:
    def gemm(handle: int, ta: int, tb: int, *arguments: int) -> None:
        m, n, k, alpha, a, lda, b, ldb, beta, c, ldc = arguments
        batched(handle, ta, tb, m, n, k, alpha, a, lda, 0, b, ldb, 0, beta, c, ldc, 0, 1)

    def batched(handle: int, ta: int, tb: int, *arguments: int) -> None:
        m, n, k, alpha, a, lda, a_step, b, ldb, b_step, beta, c, ldc, c_step, count = arguments
        assert _matrix(alpha, 1, 1, 1, dtype) == 1 and _matrix(beta, 1, 1, 1, dtype) == 0
        calls.append((np.dtype(dtype).name, handle, ta, tb, m, n, k, count))
        size = np.dtype(dtype).itemsize

        def multiply() -> None:
            for i in range(count):
                first = _matrix(a + i * a_step * size, *((k, m) if ta else (m, k)), lda, dtype)
                second = _matrix(b + i * b_step * size, *((n, k) if tb else (k, n)), ldb, dtype)
                with np.errstate(all="ignore"):
                    product = (first.T if ta else first) @ (second.T if tb else second)
                _matrix(c + i * c_step * size, m, n, ldc, dtype)[...] = product

        stand_in.enqueue(multiply)

    return gemm, batched


def _dot(dtype: Any) -> Any:
    def dot(handle: int, n: int, x: int, x_step: int, y: int, y_step: int, result: int) -> None:
        assert calls[-1] == ("set_pointer_mode", handle, 1) and x_step > 0 and y_step > 0

        def multiply() -> None:
            first, second = (_matrix(a, 1, n, step, dtype)[0] for a, step in ((x, x_step), (y, y_step)))
            with np.errstate(all="ignore"):
                _matrix(result, 1, 1, 1, dtype)[...] = first @ second

        stand_in.enqueue(multiply)

    return dot


sdot, ddot = _dot(np.float32), _dot(np.float64)
sgemm, sgemm_strided_batched = _product(np.float32)
dgemm, dgemm_strided_batched = _product(np.float64)
