"""Matrix products, by the BLAS that NumPy brings."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..function import Operation
from ..variable import Array, Variable
from .shape import Permute, Reshape, SumTo


def _transposed(x: Any) -> Any:
    return Permute((*range(x.ndim - 2), x.ndim - 1, x.ndim - 2))(x)


class MatMul(Operation):
    """Matrix product over the last two axes, broadcast over the others; vectors as NumPy's matmul has them."""

    __slots__ = ()

    def forward(self, x: Array, w: Array) -> Array:
        if not x.ndim or not w.ndim:
            raise ValueError(f"matmul: shapes {x.shape} and {w.shape}: scalars are multiplied with *")
        try:
            if x.ndim <= 2 and w.ndim <= 2:
                # unlike np.matmul it has no look at the floating-point status, and no warnings of infinities
                return np.asarray(np.dot(x, w))
            if w.ndim == 2:  # one large product instead of many small ones
                return np.dot(x.reshape(-1, x.shape[-1]), w).reshape(*x.shape[:-1], w.shape[-1])
            with np.errstate(all="ignore"):
                return np.asarray(np.matmul(x, w))
        except ValueError:
            inner = x.shape[-1], w.shape[0 if w.ndim == 1 else -2]
            hint = f"{inner[0]} columns meet {inner[1]} rows" if inner[0] != inner[1] else "the stacks do not broadcast"
            raise ValueError(f"matmul: shapes {x.shape} and {w.shape}: {hint}") from None

    def vjp(self, gy: Any, y: Any, x: Any, w: Any) -> Any:
        a = Reshape((1, *x.shape))(x) if x.ndim == 1 else x
        b = Reshape((*w.shape, 1))(w) if w.ndim == 1 else w
        if x.ndim == 1 or w.ndim == 1:
            outer = gy.shape if x.ndim == 1 or w.ndim == 1 else ()
            rows = () if x.ndim == 1 else outer[-1:]
            columns = () if w.ndim == 1 else outer[-1:]
            stacks = outer[: len(outer) - len(rows) - len(columns)]
            gy = Reshape((*stacks, *(rows or (1,)), *(columns or (1,))))(gy)
        ga = matmul(gy, _transposed(b)) if self.needs(0) else None
        gb = None
        if self.needs(1):
            if b.ndim == 2 and a.ndim > 2:
                gb = matmul(_transposed(Reshape((-1, a.shape[-1]))(a)), Reshape((-1, gy.shape[-1]))(gy))
            else:
                gb = matmul(_transposed(a), gy)
            if w.ndim == 1:
                gb = Reshape(w.shape)(SumTo(b.shape)(gb))
        return ga, gb


def matmul(x: Any, other: Any) -> Any:
    """Matrix product with NumPy's rules: stacks broadcast, a vector is a row on the left and a column on the right.

    Raises ValueError for shapes that do not match.

    >>> import nbgrad
    >>> nbgrad.matmul(nbgrad.ones(2, 3), nbgrad.ones(3))
    Variable([3., 3.])
    """
    for operand in (x, other):
        if not isinstance(operand, Variable | np.ndarray):
            raise TypeError(f"matmul: operand of type {type(operand).__name__}: takes Variables and arrays")
    return MatMul()(x, other)


def _of_rank(name: str, first: int, second: int) -> Any:
    def product(x: Any, other: Any) -> Any:
        if x.ndim != first or other.ndim != second:
            raise ValueError(
                f"{name}: takes operands of {first} and {second} dimensions, got shapes {x.shape} and {other.shape}"
            )
        if first == 3 and x.shape[0] != other.shape[0]:
            raise ValueError(f"{name}: stacks of {x.shape[0]} and {other.shape[0]} matrices: they must be the same")
        return matmul(x, other)

    product.__name__ = product.__qualname__ = name
    return product


mm = _of_rank("mm", 2, 2)
mm.__doc__ = "Multiply two matrices."
bmm = _of_rank("bmm", 3, 3)
bmm.__doc__ = "Multiply two stacks of matrices, one by one."
mv = _of_rank("mv", 2, 1)
mv.__doc__ = "Multiply a matrix and a vector."
dot = _of_rank("dot", 1, 1)
dot.__doc__ = "Give the inner product of two vectors."
