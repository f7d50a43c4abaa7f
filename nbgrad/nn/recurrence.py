"""A layer of long short-term memory over all steps, as one node of the graph.

Each step is a product of matrices and one loop for all gates; on the way back the weights' gradient is one product for
all steps together. Higher orders, and arrays elsewhere, go step by step by the functions that a step is made of.
"""

from __future__ import annotations

from functools import cache as once
from typing import Any

import numpy as np

from ..arrays import Array, is_stand_in
from ..engine import gradients
from ..function import Operation
from ..kernels import formula
from ..kernels.cpu import recurrent
from ..kernels.cpu.failures import checked
from ..kernels.scalars import sigmoid, tanh
from ..ops.elementwise import sigmoid as sigmoid_of
from ..ops.elementwise import tanh as tanh_of
from ..ops.joining import stack
from ..ops.linalg import matmul
from ..variable import Variable, data_of


@once
def _forward() -> np.ufunc:
    """From what inputs and state add to the four gates, and the memory: gates, memory, output."""
    x = [formula.variable(k) for k in range(9)]
    sums = [x[k] + x[4 + k] for k in range(4)]
    first, forget, proposed, last = sigmoid(sums[0]), sigmoid(sums[1]), tanh(sums[2]), sigmoid(sums[3])
    memory = forget * x[8] + first * proposed
    results = [first, forget, proposed, last, memory, last * tanh(memory)]
    return recurrent.forward(results)


@once
def _backward() -> np.ufunc:
    """From the cotangents of output (in two parts) and memory, the gates, the memory before and after."""
    gh, more, gc, first, forget, proposed, last, before, after = [formula.variable(k) for k in range(9)]
    curved, along = tanh(after), gh + more
    c = gc + along * last * (1 - curved * curved)
    results = [
        c * proposed * (first * (1 - first)),
        c * before * (forget * (1 - forget)),
        c * first * (1 - proposed * proposed),
        along * curved * (last * (1 - last)),
        c * forget,
    ]
    return recurrent.backward(results)


def _shapes(given: Any) -> list[tuple[int, ...]]:
    """Give the shapes of what the forward pass gives: outputs with the last memory behind them, gates, memories."""
    steps, batch, rows = given.shape
    return [(steps + 1, batch, rows // 4), (4, steps, batch, rows // 4), (steps, batch, rows // 4)]


def _parts(flat: Any, shapes: list[tuple[int, ...]]) -> list[Any]:
    """Give what lies one after the other as arrays."""
    found, begin = [], 0
    for shape in shapes:
        size = int(np.prod(shape))
        found.append(flat[begin : begin + size].reshape(shape))
        begin += size
    return found


def _with_rows(*arrays: Array) -> list[Array]:
    """Give arrays whose rows are contiguous, as the loops take them."""
    return [x if x.strides[-1] == x.itemsize else np.ascontiguousarray(x) for x in arrays]


def run(given: Array, h: Array, c: Array, weight: Array) -> Array:
    """Go through the steps; gives all results, one after the other."""
    given, c = _with_rows(given, c)
    shapes = _shapes(given)
    size = h.shape[1]
    flat = np.empty(sum(int(np.prod(shape)) for shape in shapes), given.dtype)
    y, gates, memories = _parts(flat, shapes)
    kernel, across = _forward(), np.ascontiguousarray(weight.T)
    product = np.empty((h.shape[0], 4 * size), given.dtype)
    kept = gates.transpose(1, 2, 0, 3)
    for t in range(given.shape[0]):
        np.dot(h, across, product)
        checked(kernel, given[t], product, c, out=(kept[t], memories[t], y[t]))
        h, c = y[t], memories[t]
    y[-1] = c
    return flat


def run_back(gy: Array, y: Array, gates: Array, memories: Array, h: Array, c: Array, weight: Array) -> Array:
    """Come back through the steps; gives the cotangents of all inputs, one after the other."""
    steps, batch, size = memories.shape
    shapes = [(steps, batch, 4 * size), h.shape, c.shape, weight.shape]
    flat = np.empty(sum(int(np.prod(shape)) for shape in shapes), gy.dtype)
    slopes, gh, gc, gw = _parts(flat, shapes)
    kernel, weight, kept = _backward(), np.ascontiguousarray(weight), gates.transpose(1, 2, 0, 3)
    gy, c = _with_rows(gy, c)
    gh[...] = 0
    later, earlier = np.array(gy[-1], order="C"), np.empty(c.shape, gy.dtype)
    for t in range(steps - 1, -1, -1):
        checked(kernel, gy[t], gh, later, kept[t], memories[t - 1] if t else c, memories[t], out=(slopes[t], earlier))
        later, earlier = earlier, later
        np.dot(slopes[t], weight, gh)
    gc[...] = later
    before = np.concatenate([h[None], y[: steps - 1]]) if steps > 1 else h[None]
    np.dot(slopes.reshape(steps * batch, 4 * size).T, before.reshape(steps * batch, size), gw)
    return flat


def step_by_step(given: Any, h: Any, c: Any, weight: Any) -> Any:
    """Do the same by functions that have gradients of any order."""
    outputs, size = [], h.shape[1]
    for t in range(given.shape[0]):
        sums = given[t] + matmul(h, weight.T)
        first, forget, proposed, last = [sums[:, k * size : (k + 1) * size] for k in range(4)]
        c = sigmoid_of(forget) * c + sigmoid_of(first) * tanh_of(proposed)
        h = sigmoid_of(last) * tanh_of(c)
        outputs.append(h)
    return stack([*outputs, c])


class Lstm(Operation):
    """All outputs, and the last memory behind them, from the inputs' part of the gates, a state and weights."""

    __slots__ = ("rest",)

    def forward(self, given: Array, h: Array, c: Array, weight: Array) -> Array:
        called: Any = given
        flat = called.called("lstm", run, (given, h, c, weight)) if is_stand_in(given) else run(given, h, c, weight)
        self.rest = _parts(flat, _shapes(given))
        return self.rest[0]

    def vjp(self, gy: Any, y: Any, given: Any, h: Any, c: Any, weight: Any) -> Any:
        if isinstance(gy, Variable):
            inputs = [given, h, c, weight]
            wanted = [x for k, x in enumerate(inputs) if self.needs(k)]
            found = iter(gradients([step_by_step(*inputs)], wanted, [gy], True, True))
            return tuple([next(found) if self.needs(k) else None for k in range(4)])
        operands = gy, *self.rest, h, c, weight
        flat = gy.called("lstm_vjp", run_back, operands) if is_stand_in(gy) else run_back(*operands)
        parts = _parts(flat, [given.shape, h.shape, c.shape, weight.shape])
        return tuple([part if self.needs(k) else None for k, part in enumerate(parts)])


def lstm(given: Any, h: Any, c: Any, weight: Any) -> Any:
    """Give (outputs, last output, last memory) for inputs of shape (steps, batch, gates); None for other arrays."""
    arrays = [data_of(x) for x in (given, h, c, weight)]
    plain = all(type(x) is np.ndarray or is_stand_in(x) for x in arrays)
    if not plain or len({x.dtype.char for x in arrays} - {"f"}) > 0 < len({x.dtype.char for x in arrays} - {"d"}):
        return None
    steps = given.shape[0]
    if steps == 0:
        return None
    y = Lstm()(given, h, c, weight)
    return y[:steps], y[steps - 1], y[steps]
