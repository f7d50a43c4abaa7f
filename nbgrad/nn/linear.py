"""Linear maps: one node, and the products of matrices that these are."""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import Any

import numpy as np

from ..arrays import Array, is_stand_in
from ..function import Operation
from ..kernels.cpu import small
from ..ops.elementwise import OPERATIONS, add, mul
from ..ops.linalg import MatMul, matmul
from ..ops.reduction import sum
from ..ops.shape import SumTo, permute, reshape, t
from ..recording import RecordedCall
from ..variable import Variable, data_of
from .windows import operand

__all__ = ["bilinear", "linear"]

ADDITION = OPERATIONS["add"]


class Linear(Operation):
    """x @ weight.T, and a bias for each column added where it is, of matrices of one floating dtype."""

    __slots__ = ()
    reads_all = False
    arity = 0
    work = staticmethod(lambda: small.products.linear())

    def reads(self, inputs: tuple[Variable, ...]) -> Collection[int]:
        return [1 - i for i, x in enumerate(inputs[:2]) if x._generation >= 0]

    def forward(self, x: Array, weight: Array, *bias: Array) -> Array:
        y = MatMul.apply(x, weight.T)
        return ADDITION.call(y, bias[0], y) if bias else y

    def vjp(self, gy: Any, y: Any, x: Any, weight: Any, *bias: Any) -> Any:
        return (
            MatMul.apply(gy, weight) if self.needs(0) else None,
            MatMul.apply(gy.T, x) if self.needs(1) else None,
            *([SumTo.apply(gy, b.shape) if self.needs(2) else None for b in bias]),
        )


def _of_any(x: Any, weight: Any, bias: Any = None) -> Any:
    """Give the product, with a bias that may be None, as one node where the operands are all that it takes."""
    operands = (x, weight) if bias is None else (x, weight, bias)
    first = x._array if isinstance(x, Variable) else x
    fits = type(first) is np.ndarray and first.ndim == 2 and first.dtype.char in "fd"
    for given, ndim in zip(operands[1:], (2, 1), strict=False):
        array = given._array if isinstance(given, Variable) else given
        fits = fits and type(array) is np.ndarray and array.ndim == ndim and array.dtype == first.dtype
    if fits and weight.shape[1] == first.shape[1] and (bias is None or bias.shape[0] == weight.shape[0]):
        return Linear()(*operands)
    if _fits_traced(*[data_of(given) for given in operands]):
        rows, columns = math.prod(first.shape[:-1]), first.shape[-1]
        product = Linear()(reshape(x, rows, columns), *operands[1:])
        return reshape(product, *first.shape[:-1], weight.shape[0])
    y = matmul(x, t(weight))
    return y if bias is None else y + bias


def _fits_traced(x: Any, weight: Any, *bias: Any) -> bool:
    """Tell whether arrays, some of which are traced, are such as one node takes, once x is a matrix.

    Its rule gives the weight's gradient row by row, as the weight lies, and not turned.
    """
    arrays = (x, weight, *bias)
    if not any(is_stand_in(a) and a.within is None for a in arrays) or not all(hasattr(a, "dtype") for a in arrays):
        return False
    kinds = {a.dtype.char for a in arrays}
    same = len(kinds) == 1 and kinds <= {"f", "d"} and weight.ndim == 2 and x.ndim >= 2 and 0 not in x.shape
    return same and weight.shape[1] == x.shape[-1] and all(b.shape == weight.shape[:1] for b in bias)


class _Calls:
    """The compiled call."""

    linear = RecordedCall(Linear, _of_any)


_calls = _Calls()


def bilinear(input1: Any, input2: Any, weight: Any, bias: Any = None) -> Any:
    """Give ``input1 @ weight[k] @ input2`` for each output k, and add bias.

    Inputs have the shapes (..., features), weight (outputs, features of the first, of the second), bias (outputs,).
    Raises ValueError for shapes that do not match.
    """
    x, y, w = (operand("bilinear", v) for v in (input1, input2, weight))
    fits = w.ndim == 3 and x.ndim and y.ndim and (x.shape[-1], y.shape[-1]) == tuple(w.shape[1:])
    if not fits or x.shape[:-1] != y.shape[:-1] or (bias is not None and bias.shape != w.shape[:1]):
        raise ValueError(
            f"bilinear: inputs of shapes {x.shape} and {y.shape}, weight {w.shape}, bias "
            f"{None if bias is None else bias.shape}: they are (..., m), (..., n), (outputs, m, n) and (outputs,)"
        )
    outputs, m, n = w.shape
    rows = math.prod(x.shape[:-1])
    # all products with the first one's features in one, and the sums over the second one's beside them
    products = reshape(matmul(reshape(x, rows, m), reshape(permute(w, 1, 0, 2), m, outputs * n)), rows, outputs, n)
    result = reshape(sum(mul(products, reshape(y, rows, 1, n)), -1), *x.shape[:-1], outputs)
    return result if bias is None else add(result, bias)


def linear(input: Any, weight: Any, bias: Any = None) -> Variable:
    """Give ``input @ weight.T + bias`` for a weight of shape (outputs, inputs), as PyTorch has it.

    Raises ValueError for shapes that do not match.

    >>> import nbgrad
    >>> nbgrad.nn.functional.linear(nbgrad.ones(1, 2), nbgrad.ones(3, 2), nbgrad.zeros(3))
    Variable([[2., 2., 2.]])
    """
    found: Variable = _calls.linear(input, weight) if bias is None else _calls.linear(input, weight, bias)
    return found
