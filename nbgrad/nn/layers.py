"""Layers as Functions of their own: one node each, for arrays of NumPy's."""

from __future__ import annotations

from collections.abc import Collection
from functools import lru_cache
from typing import Any

import numpy as np

from ..arrays import Array
from ..compiled_calls import RecordedCall
from ..function import Operation
from ..kernels.cpu import norms, small
from ..ops.elementwise import OPERATIONS, add, mul, rsqrt, sub
from ..ops.linalg import MatMul, matmul
from ..ops.reduction import mean
from ..ops.shape import SumTo, t
from ..variable import Variable

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


def _linear(x: Any, weight: Any, bias: Any = None) -> Any:
    """Give the product, with a bias that may be None, as one node where the operands are all that it takes."""
    operands = (x, weight) if bias is None else (x, weight, bias)
    first = x._array if isinstance(x, Variable) else x
    fits = type(first) is np.ndarray and first.ndim == 2 and first.dtype.char in "fd"
    for operand, ndim in zip(operands[1:], (2, 1), strict=False):
        array = operand._array if isinstance(operand, Variable) else operand
        fits = fits and type(array) is np.ndarray and array.ndim == ndim and array.dtype == first.dtype
    if fits and weight.shape[1] == first.shape[1] and (bias is None or bias.shape[0] == weight.shape[0]):
        return Linear()(*operands)
    y = matmul(x, t(weight))
    return y if bias is None else y + bias


class _Calls:
    """The compiled call."""

    linear = RecordedCall(Linear, _linear)


_calls = _Calls()


def linear(x: Any, weight: Any, bias: Any) -> Any:
    """Give ``x @ weight.T``, with a bias that may be None."""
    return _calls.linear(x, weight) if bias is None else _calls.linear(x, weight, bias)


class LayerNorm(Operation):
    """(x - mean) / sqrt(variance + eps) * weight + bias, over the last dimensions, which weight and bias have."""

    __slots__ = ("eps", "shape", "state")

    def __init__(self, eps: float) -> None:
        self.eps = eps

    def forward(self, x: Array, weight: Array, bias: Array) -> Array:
        self.shape = x.shape
        rows = x if x.ndim == 2 and weight.ndim == 1 else x.reshape(-1, weight.size)
        factors, summands = (a if a.ndim == 1 else a.reshape(-1) for a in (weight, bias))
        y, self.state = norms.layer_norm(rows, factors, summands, _filled((), x.dtype.char, self.eps))
        return y if rows is x else y.reshape(x.shape)

    def vjp(self, gy: Any, y: Any, x: Any, weight: Any, bias: Any) -> Any:
        if not isinstance(x, np.ndarray):
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
