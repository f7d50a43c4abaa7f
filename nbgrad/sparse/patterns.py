"""Which elements of an input the elements of outputs depend on, found by following sets of them through the graph.

A set for each element of a Variable is a row of a sparse matrix of ones. What a node makes of its inputs' sets follows
from what kind of operation it is, and not from any numbers: elementwise operations unite the sets of what they take
together, views move them, reductions unite those of a line. Whatever is not known here depends on all of its inputs.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..autograd.transforms import _Argument
from ..elementwise import Elementwise
from ..forward import in_order
from ..function import Function, _Rename
from ..nn.linear import Linear
from ..nn.normalisation import LayerNorm
from ..ops.indexing import AddRows, GetItem, GetRows, Scatter
from ..ops.joining import Cat, Stack
from ..ops.linalg import MatMul
from ..ops.reduction import Reduce, Spread
from ..ops.scan import Scanning
from ..ops.shape import AsType, BroadcastTo, Permute, Repeat, Reshape, SumTo
from ..ops.transfer import Transfer
from ..ops.writing import Put, Seen, Without
from ..pruning import place
from ..variable import Variable

Sets = Any  # a scipy.sparse.csr_array of ones, with a row for each element


def scipy_sparse() -> Any:
    """Return SciPy's module of sparse matrices; raises ImportError that says how to get it."""
    try:
        import scipy.sparse
    except ImportError:
        raise ImportError("sparse Jacobians need SciPy: python -m pip install 'nbgrad[scipy]'") from None
    return scipy.sparse


def pattern_of(outputs: Sequence[Variable], x: Variable) -> Sets:
    """Give for each element of the outputs, one after the other, the elements of `x` that it may depend on.

    A `scipy.sparse.csr_array` of ones, of a row for each element of the outputs and a column for each of x.
    """
    sparse = scipy_sparse()
    known: dict[Any, Sets] = {place(x): sparse.eye_array(x.size, dtype=np.int8, format="csr")}
    functions = in_order(outputs)
    shapes = {place(v): v.shape for function in functions for v in function.inputs or ()}
    shapes |= {place(y): y.shape for y in outputs}
    for function in functions:
        inputs = function.inputs
        assert inputs is not None
        sets = [known.get(place(v)) for v in inputs]
        if all(s is None for s in sets):
            continue
        keys: Any = [function]
        if function.multiple:
            keys = [(function, i) for i in range(len(function._shapes))]  # type: ignore[attr-defined]
        for key in keys:
            if key in shapes:  # of several results some may be of no use
                found = _Node(function, sets, shapes[key], x.size).sets()
                known[key] = found if key not in known else _united([found, known[key]])
    rows = [known.get(place(y)) for y in outputs]
    parts = [
        sparse.csr_array((y.size, x.size), dtype=np.int8) if s is None else s
        for s, y in zip(rows, outputs, strict=True)
    ]
    whole = sparse.vstack(parts, format="csr") if len(parts) > 1 else parts[0]
    whole.sum_duplicates()
    whole.data[:] = 1
    return whole


def _united(several: Sequence[Sets]) -> Sets:
    total = several[0]
    for sets in several[1:]:
        total = total + sets
    total.data[:] = 1  # so that no count goes beyond what a byte holds
    return total


def _everything(size: int, several: Sequence[Sets]) -> Sets:
    """Give rows that have all elements of any of several."""
    sparse = scipy_sparse()
    sums = [s.sum(0, dtype=np.int64).reshape(1, -1) > 0 for s in several if s is not None]
    row = _united([sparse.csr_array(found, dtype=np.int8) for found in sums])
    return sparse.csr_array(np.ones((size, 1), np.int8)) @ row


def _collected(sets: Sets, to: Any, size: int) -> Sets:
    """Unite rows: each goes to the one of `size` that `to` names."""
    sparse = scipy_sparse()
    count = to.size
    gather = sparse.csr_array((np.ones(count, np.int64), (to.reshape(-1), np.arange(count))), (size, count))
    found = (gather @ sets).astype(bool).astype(np.int8)
    return found


class _Node:
    """What a node of the graph makes of its inputs' sets."""

    def __init__(self, function: Any, sets: Sequence[Sets], shape: tuple[int, ...], width: int) -> None:
        self.function, self.given, self.shape, self.width = function, sets, shape, width
        self.inputs: Sequence[Variable] = function.inputs

    def sets(self) -> Sets:
        """Give the sets of the output's elements."""
        if isinstance(getattr(self.function, "operation", None), Elementwise):
            return self.elementwise()
        for kinds, rule in _RULES:
            if isinstance(self.function, kinds):
                return rule(self)
        return self.everything()

    def everything(self) -> Sets:
        """Take every element of the output to depend on all that the inputs do."""
        return _everything(int(np.prod(self.shape)), self.given)

    def spread(self, sets: Sets, shape: tuple[int, ...], wide: tuple[int, ...]) -> Sets:
        """Repeat the rows of an array of a shape as it is broadcast to another."""
        if shape == wide:
            return sets
        numbers = np.arange(int(np.prod(shape))).reshape(shape)
        return sets[np.broadcast_to(numbers, wide).reshape(-1)]

    def elementwise(self) -> Sets:
        """Unite what is taken together."""
        parts = [
            self.spread(s, v.shape, self.shape)
            for s, v, pullback in zip(self.given, self.inputs, self.function.operation.pullbacks, strict=True)
            if s is not None and pullback is not None
        ]
        nothing = int(np.prod(self.shape)), self.width
        return _united(parts) if parts else scipy_sparse().csr_array(nothing, dtype=np.int8)

    def moved(self) -> Sets:
        """Move rows as the function moves elements: their numbers; 0, which it may put in, is one without any."""
        sparse = scipy_sparse()
        rows = [sparse.csr_array((1, self.width), dtype=np.int8)]
        numbers = []
        begin = 1
        for s, v in zip(self.given, self.inputs, strict=True):
            numbers.append(np.zeros(v.shape, np.int64))
            if s is not None:
                numbers[-1] += np.arange(begin, begin + v.size).reshape(v.shape)
                rows.append(s)
                begin += v.size
        found = copy.copy(self.function).forward(*numbers)
        return sparse.vstack(rows, format="csr")[np.asarray(found).reshape(-1)]

    def same(self) -> Sets:
        """Leave rows as they are."""
        return self.given[0]

    def added(self) -> Sets:
        """Unite the rows of what is added up: the rule back tells where each element went."""
        (x,) = self.inputs
        size = int(np.prod(self.shape))
        to = self.function.vjp(np.arange(size).reshape(self.shape), None, x)
        return _collected(self.given[0], np.asarray(to), size)

    def lines(self, s: Sets, shape: tuple[int, ...], axes: Sequence[int]) -> tuple[Sets, tuple[int, ...]]:
        """Unite the rows along axes; gives them with the shape that has 1 there."""
        kept = tuple(1 if axis in axes else n for axis, n in enumerate(shape))
        size = int(np.prod(kept))
        to = np.broadcast_to(np.arange(size).reshape(kept), shape)
        return _collected(s, to, size), kept

    def reduced(self) -> Sets:
        """Unite each line."""
        return self.lines(self.given[0], self.inputs[0].shape, self.function.axes)[0]

    def along(self) -> Sets:
        """Unite each line, for each of its elements."""
        axes = (self.function.axis,) if self.shape else ()
        parts = [
            self.spread(*self.lines(s, v.shape, axes), self.shape)
            for s, v in zip(self.given, self.inputs, strict=True)
            if s is not None
        ]
        return _united(parts)

    def of_rows(self) -> Sets:
        """Unite what the last dimensions, which the second input has, hold; the others are the same for all rows."""
        x = self.inputs[0]
        axes = range(x.ndim - self.inputs[1].ndim, x.ndim)
        parts = []
        if self.given[0] is not None:
            parts.append(self.spread(*self.lines(self.given[0], x.shape, axes), x.shape))
        for s, v in zip(self.given[1:], self.inputs[1:], strict=True):
            if s is not None:
                parts.append(self.spread(s, v.shape, x.shape))
        return _united(parts)

    def product(self) -> Sets:
        """Unite a row of the first factor and a column of the second."""
        shapes = [v.shape for v in self.inputs[:2]]
        turned = isinstance(self.function, Linear)
        x = shapes[0] if len(shapes[0]) > 1 else (1, *shapes[0])
        w = (shapes[1][1], shapes[1][0]) if turned else shapes[1] if len(shapes[1]) > 1 else (*shapes[1], 1)
        stack = np.broadcast_shapes(x[:-2], w[:-2])
        whole = (*stack, x[-2], w[-1])
        parts = []
        if self.given[0] is not None:
            parts.append(self.spread(*self.lines(self.given[0], x, [len(x) - 1]), whole))
        if self.given[1] is not None:
            sets = self.lines(self.given[1], shapes[1] if turned else w, [1 if turned else len(w) - 2])[0]
            parts.append(self.spread(sets, (*w[:-2], 1, w[-1]), whole))
        if len(self.given) > 2 and self.given[2] is not None:
            parts.append(self.spread(self.given[2], self.inputs[2].shape, whole))
        return _united(parts)


#: What each kind of operation makes of its inputs' sets.
_RULES: list[tuple[tuple[type[Function], ...], Callable[[_Node], Sets]]] = [
    ((Reshape, Permute, BroadcastTo, Repeat, GetItem, GetRows, Cat, Stack, Put, Without, Seen), _Node.moved),
    ((AsType, Transfer, _Argument, _Rename), _Node.same),
    ((SumTo, Scatter, AddRows), _Node.added),
    ((Reduce,), _Node.reduced),
    ((Spread, Scanning), _Node.along),
    ((LayerNorm,), _Node.of_rows),
    ((MatMul, Linear), _Node.product),
]
