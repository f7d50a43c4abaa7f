"""Layers as Functions of their own: one node each, for arrays of NumPy's."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np

from ..arrays import Array
from ..function import Operation
from ..ops.elementwise import OPERATIONS
from ..ops.linalg import MatMul, matmul
from ..ops.shape import SumTo
from ..variable import Variable

ADD = OPERATIONS["add"].call
#: The product of arrays, without a look at whether any is a Variable.
PRODUCT = MatMul().forward


class Linear(Operation):
    """x @ weight.T, and a bias for each column added where it is, of matrices of one floating dtype."""

    __slots__ = ()
    reads_all = False

    def reads(self, inputs: tuple[Variable, ...]) -> Collection[int]:
        return [1 - i for i, x in enumerate(inputs[:2]) if x._generation >= 0]

    def forward(self, x: Array, weight: Array, *bias: Array) -> Array:
        y = PRODUCT(x, weight.T)
        return ADD(y, bias[0], y) if bias else y

    def vjp(self, gy: Any, y: Any, x: Any, weight: Any, *bias: Any) -> Any:
        product = PRODUCT if isinstance(gy, np.ndarray) else matmul
        return (
            product(gy, weight) if self.needs(0) else None,
            product(gy.T, x) if self.needs(1) else None,
            *([SumTo(b.shape)(gy) if self.needs(2) else None for b in bias]),
        )


def linear(x: Any, weight: Any, bias: Any) -> Any:
    """Give the product, with a bias that may be None, as one node; None where it takes other ways."""
    operands = (x, weight) if bias is None else (x, weight, bias)
    first = x._array if isinstance(x, Variable) else x
    if type(first) is not np.ndarray or first.ndim != 2 or first.dtype.char not in "fd":
        return None
    for operand, ndim in zip(operands[1:], (2, 1), strict=False):
        array = operand._array if isinstance(operand, Variable) else operand
        if type(array) is not np.ndarray or array.ndim != ndim or array.dtype != first.dtype:
            return None
    outputs, inputs = weight.shape
    if inputs != first.shape[1] or (bias is not None and bias.shape[0] != outputs):
        return None
    return Linear()(*operands)
