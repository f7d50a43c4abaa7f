"""What is reduced, and how: stages over the elements of an axis, then a formula of their results.

A stage maps each element by a formula of the inputs and of earlier stages' results, and combines the values with an
associative function. ``logsumexp`` has two (the maximum, then the sum of ``exp(x - maximum)``). A finish gives one
value for the axis; a spread gives one for each element, as softmax does. The declaration is all there is: loops for
every layout and target are generated from it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cache as once
from typing import Any, NamedTuple

import numpy as np

from . import formula
from .formula import NUMBER, Expression, ScalarFunction, trace
from .scalars import add, exp, log, maximum, minimum, mul, where

Formula = Callable[..., Any]


class Stage(NamedTuple):
    """One pass: `value` of an element, combined over the axis from `identity`, and `kept` if needed again."""

    value: Expression
    combine: ScalarFunction
    identity: float
    kept: bool


class Reduction:
    """A named reduction: its stages, and the formula at the end.

    Positions of the expressions' inputs: first the `arity` arrays, then the results of the stages, then the number
    of elements, then the kept value (for a spread).
    """

    def __init__(
        self,
        name: str,
        stages: Sequence[tuple[Formula, ScalarFunction]],
        finish: Formula | None = None,
        spread: Formula | None = None,
        kept: int | None = None,
        arity: int = 1,
        accumulates: bool = True,
        floating: bool = False,
    ) -> None:
        self.name, self.arity = name, arity
        TABLE[name] = self
        self.accumulates = accumulates
        self.floating = floating
        self.stages: list[Stage] = []
        for index, (value, combine) in enumerate(stages):
            expression = trace(value, [NUMBER] * (arity + index))
            self.stages.append(Stage(expression, combine, IDENTITIES[combine.name], kept == index))
        count = arity + len(stages)
        self.spreads = spread is not None
        last = spread if spread is not None else finish if finish is not None else _last(count)
        self.result = trace(last, [NUMBER] * (count + 2 if self.spreads else count + 1))

    def result_dtype(self, number: str) -> str:
        """Return the dtype of the results for elements of a dtype."""
        return sum_dtype(number) if self.accumulates else number


#: The reductions by name.
TABLE: dict[str, Reduction] = {}

#: What folds begin with, and which of them give more than their elements' dtype may hold.
IDENTITIES = {"add": 0.0, "mul": 1.0, "maximum": -float("inf"), "minimum": float("inf")}
ACCUMULATING = ("add", "mul")


def sum_dtype(number: str) -> str:
    """Return the dtype of sums and products of a dtype's elements: whole numbers add up in 64 bits, as NumPy's do."""
    return number if number.startswith("float") else "uint64" if number.startswith("uint") else "int64"


def identity_text(identity: float, number: str, written_in: str | None = None) -> str:
    """Write what a fold of a dtype's elements begins with, as a number of that dtype or of another one.

    >>> identity_text(-float("inf"), "int8"), identity_text(float("inf"), "float32")
    ('int8(-128)', "float32(float('inf'))")
    """
    dtype = number if written_in is None else written_in
    if math.isfinite(identity):
        return f"{dtype}({int(identity)})"
    if number.startswith("float"):
        return f"{dtype}(float('{identity}'))"
    limits = (0, 1) if number == "bool" else (np.iinfo(number).min, np.iinfo(number).max)
    return f"{dtype}({int(limits[identity > 0])})"


@once
def of_elements(name: str, expression: Expression, mean: bool) -> Reduction:
    """Give the sum, or the mean, of an elementwise formula of arrays of one shape."""
    arity = len(formula.inputs_of([expression]))

    def value(*xs: Expression) -> Expression:
        return formula.substitute(expression, {formula.variable(i): x for i, x in enumerate(xs)})

    finish = (lambda *inputs: inputs[arity] / inputs[arity + 1]) if mean else None
    return Reduction(f"{'mean' if mean else 'sum'}_of_{name}", [(value, add)], finish, arity=arity, floating=True)


def _last(count: int) -> Formula:
    return lambda *inputs: inputs[count - 1]


def _identity(x: Expression) -> Expression:
    return x


def _finite(x: Expression) -> Expression:
    """Zero in place of an infinity or NaN: what may be subtracted without making a NaN of inf - inf."""
    return where(x - x == 0, x, 0)


sum = Reduction("sum", [(_identity, add)])
mean = Reduction("mean", [(_identity, add)], finish=lambda x, total, count: total / count, floating=True)
prod = Reduction("prod", [(_identity, mul)])
amax = Reduction("amax", [(_identity, maximum)], accumulates=False)
amin = Reduction("amin", [(_identity, minimum)], accumulates=False)
logsumexp = Reduction(
    "logsumexp",
    [(_identity, maximum), (lambda x, top: exp(x - _finite(top)), add)],
    finish=lambda x, top, total, count: _finite(top) + log(total),
    floating=True,
)
softmax = Reduction(
    "softmax",
    [(_identity, maximum), (lambda x, top: exp(x - top), add)],
    kept=1,
    spread=lambda x, top, total, count, kept: kept / total,
    floating=True,
)
log_softmax = Reduction(
    "log_softmax",
    [(_identity, maximum), (lambda x, top: exp(x - top), add)],
    spread=lambda x, top, total, count, kept: (x - top) - log(total),
    floating=True,
)
# The vector-Jacobian products of the two, of the cotangent and the value: one pass for the sum, one to spread it.
softmax_vjp = Reduction(
    "softmax_vjp",
    [(lambda gy, y: gy * y, add)],
    spread=lambda gy, y, total, count, kept: y * (gy - total),
    arity=2,
    floating=True,
)
log_softmax_vjp = Reduction(
    "log_softmax_vjp",
    [(lambda gy, y: gy, add)],
    spread=lambda gy, y, total, count, kept: gy - exp(y) * total,
    arity=2,
    floating=True,
)
