"""What is reduced, and how: stages over the elements of an axis, then a formula of their results.

A stage maps each element by a formula of the inputs and of earlier stages' results, and combines the values with an
associative function. ``logsumexp`` has two (the maximum, then the sum of ``exp(x - maximum)``). A finish gives one
value for the axis; a spread gives one for each element, as softmax does. The declaration is all there is: loops for
every layout and target are generated from it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

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
        formula = spread if spread is not None else finish if finish is not None else _last(count)
        self.result = trace(formula, [NUMBER] * (count + 2 if self.spreads else count + 1))


#: The reductions by name.
TABLE: dict[str, Reduction] = {}

IDENTITIES = {"add": 0.0, "mul": 1.0, "maximum": -float("inf"), "minimum": float("inf")}


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
