"""How Variables come into a level and out of it: operations of the graph, each the other's adjoint."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..arrays import Array, one_by_one
from ..function import Function, Operation
from ..variable import Variable
from . import keys as keys  # each gives Batched its part
from . import rules as rules
from .batched import Batched, enter, leave, levels_of, total
from .levels import Level


class _OfLevel(Operation):
    """What has a level."""

    __slots__ = ("level",)
    linear = True
    reads_all = False
    aliases = True

    def __init__(self, level: Level) -> None:
        self.level = level


class Enter(_OfLevel):
    """The array of one example, of an array with all along its first axis."""

    __slots__ = ()

    def forward(self, *xs: Array) -> Any:
        return enter(self.level, xs[0])

    def vjp(self, gy: Any, y: Any, x: Any) -> Any:
        return Leave(self.level)(gy)


class Leave(_OfLevel):
    """An array with all examples along its first axis, of the array of one."""

    __slots__ = ()

    def forward(self, *xs: Array) -> Any:
        return leave(self.level, xs[0])

    def vjp(self, gy: Any, y: Any, x: Any) -> Any:
        return Enter(self.level)(gy)


class Total(_OfLevel):
    """The sum over all examples; the cotangent, which is the same for each, goes back as it is."""

    __slots__ = ()
    aliases = False

    def forward(self, *xs: Array) -> Any:
        return total(self.level, xs[0])

    def vjp(self, gy: Any, y: Any, x: Any) -> Any:
        return gy


def fitted(gx: Any, data: Any) -> Any:
    """Add a cotangent up over the examples that its Variable, with an array `data`, is the same for.

    While a level's function runs, each of its examples has a cotangent of its own.
    """
    array = gx._array if isinstance(gx, Variable) else gx
    over = [level for level in levels_of(array) if not level.active]
    if over:
        own = levels_of(data)
        for level in reversed(over):  # the outermost has most examples, and products wait for their sum
            if level not in own:
                gx = Total(level)(gx)
    return gx


class Apart(Function):
    """The arrays of all examples, one by one."""

    batches = True

    def __init__(self, level: Level) -> None:
        self.level = level

    def forward(self, *xs: Array) -> Any:
        found = leave(self.level, xs[0])
        return tuple([found[i, ...] for i in range(self.level.size)])

    def jvp(self, tangents: Sequence[Any], y: Any, x: Any) -> Any:
        return apart(self.level, tangents[0]) if self.multiple else apart(self.level, tangents[0])[0]

    def vjp(self, gy: Any, y: Any, x: Any) -> Any:
        return Together(self.level)(*(gy if self.multiple else [gy]))


class Together(_OfLevel):
    """The array of one example, of those of all; the adjoint of `Apart`."""

    __slots__ = ()
    aliases = False
    arity = 0

    def forward(self, *xs: Array) -> Any:
        return enter(self.level, np.stack(xs))

    def vjp(self, gy: Any, y: Any, *xs: Any) -> Any:
        return tuple(apart(self.level, gy))


def apart(level: Level, x: Any) -> list[Any]:
    """Give the arrays of all examples of a Variable or an array, one by one."""
    if not isinstance(x, Variable):
        found = leave(level, x)
        return [found[i, ...] for i in range(level.size)]
    found = Apart(level)(x)
    return list(found) if level.size > 1 else [found]


def level_among(values: Sequence[Any]) -> Any:
    """Give the innermost level of Variables and arrays; None where there is none."""
    arrays = [x._array if isinstance(x, Variable) else x for x in values]
    levels = [x.level for x in arrays if type(x) is Batched]
    return max(levels, key=lambda level: level.number) if levels else None


def call(function: Any, inputs: Sequence[Any]) -> Any:
    """Apply a user's Function to the examples one by one, in the graph, and put the results together."""
    level = level_among(inputs)
    level.looped(type(function).__name__)
    if not level.size:
        raise TypeError(f"{level.transform}: {type(function).__name__} is computed example by example, with none here")
    columns = [apart(level, x) if level_among([x]) is level else [x] * level.size for x in inputs]
    results = [copy.copy(function)(*row) for row in zip(*columns, strict=True)]
    if not isinstance(results[0], list | tuple):
        return Together(level)(*results)
    return [Together(level)(*part) for part in zip(*results, strict=True)]


def rule(function: Any, back: Any, gys: Sequence[Any]) -> Any:
    """Apply a user's rule, which works on arrays, to the cotangents of the examples one by one."""
    level = level_among(gys)
    level.looped(f"{type(function).__name__}.backward")
    columns = [apart(level, g) if level_among([g]) is level else [g] * level.size for g in gys]
    found = []
    for row in zip(*columns, strict=True):
        gxs = back(*row)
        found.append(tuple(gxs) if isinstance(gxs, tuple | list) else (gxs,))
    return tuple([None if part[0] is None else Batched(level, np.stack(part)) for part in zip(*found, strict=True)])


one_by_one.call, one_by_one.rule = call, rule
