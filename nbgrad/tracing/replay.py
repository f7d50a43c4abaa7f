"""Runs of a traced function in the graph, whose way back is traced as well."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np

from ..arrays import Array, is_stand_in, of_numpys_own, one_by_one
from ..engine import gradients
from ..function import Function, constant
from ..generator import traced_draw
from ..grad_mode import is_grad_enabled, set_grad_enabled
from ..kernels import placement
from ..kernels.forks import hold_over_fork
from ..variable import Variable
from .plan import Plan
from .program import Program
from .symbol import Symbol


def leaf_of(symbol: Any, requires_grad: bool = True) -> Variable:
    x = constant(symbol)
    if requires_grad and symbol.dtype.char in "fd":
        x._generation = 0
    return x


#: Held while a way back is traced and compiled.
_backs = threading.RLock()
hold_over_fork(_backs, outermost=True)


class Replayable:
    """A traced computation whose way back can be had as one, too: both come from one run of the function."""

    def __init__(
        self, program: Program, inputs: list[Any], results: list[Any], plan: Plan, standing: Any = None
    ) -> None:
        self.program, self.inputs, self.results, self.plan = program, inputs, results, plan
        #: Has Variables from outside stand for arguments, while the way back is traced.
        self._standing = standing or nullcontext
        self._back: Replayable | None = None
        #: Which inputs have gradients, so far as is known before the way back is, and which results give some.
        self.wanted = [isinstance(x, Variable) and x._generation >= 0 for x in inputs]
        self.giving = [isinstance(y, Variable) and y._generation >= 0 for y in results]
        self.shapes = [(y.shape, y.dtype) for y in results]
        self.kinds = [(x.shape, x.dtype) for x in inputs]

    def back(self) -> Replayable:
        """Give the computation of the wanted inputs' cotangents, from all inputs and the giving results' cotangents."""
        with _backs:
            if self._back is None:
                self.program.closed = False
                try:
                    with self._standing():
                        self._back = self._traced_back()
                finally:
                    self.program.closed = True
            return self._back

    def _traced_back(self) -> Replayable:
        ys = [y for y, gives in zip(self.results, self.giving, strict=True) if gives]
        xs = [x for x, wants in zip(self.inputs, self.wanted, strict=True) if wants]
        gys = [leaf_of(Symbol(self.program, self.program.input(y.shape, y.dtype))) for y in ys]
        drawing = traced_draw.set(_refuse_draw)
        try:
            with set_grad_enabled(True):
                found = gradients(ys, xs, gys, True, True) if ys else [None] * len(xs)
        finally:
            traced_draw.reset(drawing)
        # no result depends on the others, whose gradients stay None as in eager mode
        reached = iter([gx is not None for gx in found])
        self.wanted = [wants and next(reached) for wants in self.wanted]
        results = [
            gx if isinstance(gx.data, Symbol) else constant(_as_symbol(x.data, gx.data))
            for x, gx in zip(xs, found, strict=True)
            if gx is not None
        ]
        nodes: list[Any] = [gx.data for gx in results]
        plan = Plan(self.program, [symbol.node for symbol in nodes], self.plan.compiler)
        return Replayable(self.program, [*self.inputs, *gys], list(results), plan, self._standing)


def _refuse_draw(*arguments: Any) -> Any:
    raise TypeError("jit: a backward draws random numbers, which no run would draw again: draw them in the forward")


def _as_symbol(like: Any, array: Array) -> Any:
    return Symbol(like.program, like.program.constant(array))


class Replay(Function):
    """A run of a traced function in the graph."""

    even = True

    def __init__(self, traced: Replayable) -> None:
        self.traced = traced

    def __call__(self, *inputs: Variable) -> list[Variable]:
        if any([is_stand_in(x._array) for x in inputs]):
            found = one_by_one.call(self, inputs)
            return found if isinstance(found, list) else [found]
        return self.record(inputs, self._in_order(inputs))

    def record(self, inputs: Sequence[Variable], arrays: Sequence[Array]) -> list[Variable]:
        """Run the steps on the arrays of Variables; results that have gradients are recorded."""
        traced = self.traced
        results = traced.plan.run(*arrays)
        generation = max([x._generation for x in inputs])
        recorded = generation >= 0 and is_grad_enabled()
        if recorded:
            self.inputs, self.generation = tuple(inputs), generation
            self.multiple, self._shapes = len(results) > 1, traced.shapes  # type: ignore[misc]
        outputs = []
        for index, array in enumerate(results):
            y = constant(array)
            if recorded and traced.giving[index]:
                y.creator, y._generation, y._index = self, generation + 1, index
            outputs.append(y)
        return outputs

    def _in_order(self, inputs: Sequence[Variable]) -> list[Array]:
        """Give the arrays of inputs, which somebody may have replaced since the trace."""
        return self._as_traced("the data of an argument", [x._array for x in inputs], self.traced.kinds)

    def _as_traced(self, what: str, arrays: Sequence[Array], kinds: Sequence[tuple[Any, Any]]) -> list[Array]:
        """Give arrays as loops, which look at nothing, expect them.

        Raises ValueError for those of another shape, dtype or device than were traced.
        """
        arrays = [in_order(x) for x in arrays]
        target = self.traced.program.target
        for array, (shape, dtype) in zip(arrays, kinds, strict=True):
            here = placement.target_of(array)
            if array.shape != shape or array.dtype != dtype or here is not target:
                raise ValueError(
                    f"jit: {what} has shape {array.shape} and dtype {array.dtype} on {here.name} where "
                    f"{dtype} of shape {shape} was traced: put new data of another kind into a new Variable"
                )
        return arrays

    def pull(self, gy: Any) -> tuple[Array | None, ...]:
        assert self.inputs is not None
        traced = self.traced
        given = self._complete(gy) if self.multiple else (gy,)
        if any(map(is_stand_in, given)):  # of many examples at once
            return one_by_one.rule(self, lambda *row: self.pull(row if self.multiple else row[0]), given)
        # cotangents fit the results as they are now, whose data somebody may have replaced as well
        kinds = [kind for kind, gives in zip(traced.shapes, traced.giving, strict=True) if gives]
        gys = [g for g, gives in zip(given, traced.giving, strict=True) if gives]
        gys = self._as_traced("the cotangent of a result, which is like its data,", gys, kinds)
        rest = iter(traced.back().plan.run(*self._in_order(self.inputs), *gys))
        return tuple([next(rest) if wants else None for wants in traced.wanted])

    def vjp(self, gy: Any, y: Any, *xs: Any) -> Any:
        traced = self.traced
        given = gy if self.multiple else [gy]
        gys = [g for g, gives in zip(given, traced.giving, strict=True) if gives]
        rest = iter(Replay(traced.back())(*xs, *gys))
        return tuple(next(rest) if wants else None for wants in traced.wanted)


def in_order(x: Array) -> Array:
    """Give an array that lies in memory as loops expect it: itself, if it does."""
    if not isinstance(x, np.ndarray):
        if isinstance(x, np.generic):  # has all attributes of an array, and no memory that loops could read
            return np.asarray(x)
        return x if x.flags.c_contiguous else x.copy()
    if type(x) is not np.ndarray:
        x = of_numpys_own(x)
    if x.flags.c_contiguous and x.flags.aligned and x.dtype.isnative:
        return x
    return np.array(x, x.dtype.newbyteorder("="), order="C")
