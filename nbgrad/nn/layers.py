"""Layers as Functions of their own: one node each, for arrays of NumPy's."""

from __future__ import annotations

from collections.abc import Collection
from functools import lru_cache
from typing import Any

import numpy as np

from ..arrays import Array
from ..function import Operation
from ..kernels.cpu import norms
from ..ops.elementwise import OPERATIONS, add, mul, rsqrt, sub
from ..ops.linalg import MatMul, matmul
from ..ops.reduction import mean
from ..ops.shape import SumTo
from ..variable import Variable

ADDITION = OPERATIONS["add"]
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
        return ADDITION.call(y, bias[0], y) if bias else y

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


class LayerNorm(Operation):
    """(x - mean) / sqrt(variance + eps) * weight + bias, over the last dimensions, which weight and bias have."""

    __slots__ = ("eps", "shape", "state")

    def __init__(self, eps: float) -> None:
        self.eps = eps

    def forward(self, x: Array, weight: Array, bias: Array) -> Array:
        self.shape = x.shape
        rows = x.reshape(-1, weight.size)
        y, self.state = norms.layer_norm(rows, weight.reshape(-1), bias.reshape(-1), np.array(self.eps, x.dtype))
        return y.reshape(x.shape)

    def vjp(self, gy: Any, y: Any, x: Any, weight: Any, bias: Any) -> Any:
        if not isinstance(x, np.ndarray) or not isinstance(gy, np.ndarray):
            return self._recorded(gy, x, weight, bias)
        if x.shape != self.shape:
            raise ValueError(
                f"layer_norm: input had shape {self.shape} when it was normalised, and has {x.shape} now: put new data "
                "of another shape into a new Variable"
            )
        size, gx, gw, gb = weight.size, None, None, None
        rows, cotangents = x.reshape(-1, size), np.ascontiguousarray(gy).reshape(-1, size)
        if self.needs(0):
            gx = norms.layer_norm_slope(cotangents, rows, weight.reshape(-1), self.state).reshape(x.shape)
        if self.needs(1) or self.needs(2):
            found = norms.layer_norm_columns(cotangents, rows, self.state)
            gw, gb = [g.reshape(weight.shape) if self.needs(i) else None for i, g in zip((1, 2), found, strict=True)]
        return gx, gw, gb

    def _recorded(self, gy: Any, x: Any, weight: Any, bias: Any) -> Any:
        axes = tuple(range(x.ndim - weight.ndim, x.ndim))
        normal, factor = normalised(x, axes, self.eps)
        g = mul(gy, weight)
        along = mul(normal, mean(mul(g, normal), axes, True))
        gx = mul(factor, sub(sub(g, mean(g, axes, True)), along)) if self.needs(0) else None
        gw = SumTo(weight.shape)(mul(gy, normal)) if self.needs(1) else None
        return gx, gw, SumTo(bias.shape)(gy) if self.needs(2) else None


def normalised(x: Any, axes: tuple[int, ...], eps: float) -> tuple[Any, Any]:
    """Give x with mean 0 and variance 1 over some axes, and one over the root of its own variance."""
    difference = sub(x, mean(x, axes, True))
    factor = rsqrt(add(mean(mul(difference, difference), axes, True), eps))
    return mul(difference, factor), factor


@lru_cache(64)
def _filled(shape: tuple[int, ...], char: str, value: float) -> Array:
    array = np.full(shape, value, char)
    array.flags.writeable = False
    return array


def layer_norm(x: Any, shape: tuple[int, ...], weight: Any, bias: Any, eps: float) -> Any:
    """Give the norm over the last dimensions, of a shape, as one node; None where it takes other ways."""
    array = x._array if isinstance(x, Variable) else x
    if type(array) is not np.ndarray or array.dtype.char not in "fd" or not array.size:
        return None
    operands = [x]
    for operand, value in ((weight, 1.0), (bias, 0.0)):
        if operand is None:
            operand = _filled(shape, array.dtype.char, value)
        given = operand._array if isinstance(operand, Variable) else operand
        if type(given) is not np.ndarray or given.dtype != array.dtype:
            return None
        operands.append(operand)
    return LayerNorm(eps)(*operands)
