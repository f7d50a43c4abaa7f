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
from .formula import (
    NUMBER,
    Expression,
    ScalarFunction,
    constant,
    derivative,
    inputs_of,
    plus,
    substitute,
    times,
    trace,
    variable,
)
from .lazy import lazy
from .scalars import abs, add, exp, log, maximum, minimum, mul, pow, sign, sqrt, square, where

Formula = Callable[..., Any]


class Stage(NamedTuple):
    """One pass: `value` of an element, combined over the axis from `identity`, and `kept` if needed again."""

    value: Expression
    combine: ScalarFunction
    identity: float
    kept: bool
    #: What the stage gives, of what was combined and the number of elements; None if that is all.
    after: Expression | None


class Rule(NamedTuple):
    """How a cotangent comes back: formulas of a line first, one for each stage that has one, then that of its elements.

    Positions of the expressions' inputs: the cotangent, the result, the numbers given, the results of stages from
    `results` on, the number of elements at `length`, what the formulas of a line gave, and last the element.
    """

    lines: dict[int, Expression]
    value: Expression
    results: int
    length: int
    element: int


class Reduction:
    """A named reduction: its stages, and the formula at the end.

    Positions of the expressions' inputs: first the `arity` arrays, then `numbers` given at the call, then the results
    of the stages, then the number of elements, then the kept value (for a spread).

    A stage is a formula of an element and of all before it, a function that combines, and perhaps a formula of what was
    combined and the number of elements. `accumulates`: float32 is combined in float64 where that is quick, whole
    numbers in 64 bits; `wide`: formulas of elements are computed so too, where they are not dear. `gives`: the dtype of
    results, whatever the elements have. `splits`: results of parts, reduced again, are the result of the whole. `rows`:
    how many of the numbers, the last ones, differ from line to line. `listed`: it has a place in the table.

    The rule of a reduction that adds up follows from its formulas. `centre` tells of the stage that the others are
    computed about, as variances about the mean, for their digits' sake: with it, the result does not change (to first
    order), so nothing comes back through it. `slope` states the derivative by an element, as a formula of the result,
    the element, the numbers given and the number of elements, where that has more digits or costs less than what
    follows.
    """

    def __init__(
        self,
        name: str,
        stages: Sequence[tuple[Formula, ScalarFunction] | tuple[Formula, ScalarFunction, Formula]],
        finish: Formula | None = None,
        spread: Formula | None = None,
        kept: int | None = None,
        arity: int = 1,
        numbers: int = 0,
        rows: int = 0,
        accumulates: bool = True,
        floating: bool = False,
        wide: bool = False,
        gives: str | None = None,
        splits: bool = False,
        centre: int | None = None,
        slope: Formula | None = None,
        listed: bool = True,
    ) -> None:
        self.name, self.arity, self.numbers, self.rows = name, arity, numbers, rows
        self.accumulates, self.floating, self.wide, self.gives, self.splits = accumulates, floating, wide, gives, splits
        self.centre, self._slope = centre, slope
        self._stages: dict[int, Reduction] = {}
        self._parts: dict[str | None, list[tuple[Reduction, Reduction]]] = {}
        self.stages: list[Stage] = []
        given = arity + numbers
        for index, (value, combine, *after) in enumerate(stages):
            expression = trace(value, [NUMBER] * (given + index))
            end = trace(after[0], [NUMBER] * 2) if after else None
            self.stages.append(Stage(expression, combine, IDENTITIES[combine.name], kept == index, end))
        count = given + len(stages)
        self.spreads = spread is not None
        last = spread if spread is not None else finish if finish is not None else _last(count)
        self.result = trace(last, [NUMBER] * (count + 2 if self.spreads else count + 1))
        if listed:
            TABLE[name] = self

    def result_dtype(self, number: str) -> str:
        """Return the dtype of the results for elements of a dtype."""
        return self.gives or (sum_dtype(number) if self.accumulates else number)

    @lazy
    def passes(self) -> list[list[int]]:
        """The stages, those together that read none of each other's results, so that one pass over elements does."""
        first, together = self.arity + self.numbers, [[0]]
        for index, stage in enumerate(self.stages[1:], 1):
            read = {position - first for position in inputs_of([stage.value])}
            if read & set(together[-1]):
                together.append([])
            together[-1].append(index)
        return together

    # ---- the rule ---------------------------------------------------------------------------------------------------

    @lazy
    def rule(self) -> Rule | None:
        """How a cotangent comes back, None where that does not follow from the declaration."""
        if self.spreads or self.arity != 1 or self.gives is not None:
            return None
        results, stages = 2 + self.numbers, len(self.stages)
        count, last = results + stages, results + 2 * stages + 1
        cotangent, result, element = variable(0), variable(1), variable(last)
        if self._slope is not None:
            slope = constant(self._slope(result, element, *map(variable, range(2, results)), variable(count)))
            return Rule({}, times(cotangent, slope), results, count, last)
        # an input's place among those of the rule
        moved = {variable(0): element} | {variable(1 + i): variable(2 + i) for i in range(self.numbers + stages + 1)}
        lines: dict[int, Expression] = {}
        total: Expression | None = None
        for index, stage in enumerate(self.stages):
            if index == self.centre:
                continue
            if self._read_later(index):
                return None
            through, by_element = self._through(index), derivative(stage.value, 0)
            if through is None or by_element is None:
                continue
            if stage.combine is not add:
                return None
            line = times(cotangent, substitute(through, {self.result: result, **moved}))
            if line is not cotangent:
                lines[count + 1 + index] = line
                line = variable(count + 1 + index)
            total = plus(total, times(line, substitute(by_element, moved)))
        rule = Rule(lines, constant(0) if total is None else total, results, count, last)
        read = set(inputs_of([*lines.values(), rule.value])) & set(range(results, count))
        # what it reads of the stages is computed again, from the elements alone
        known = all(self.stages[place - results].combine is add and self._alone(place - results) for place in read)
        return rule if known else None

    def _through(self, index: int) -> Expression | None:
        """Give the derivative of the result by what a stage combined, None where it is 0."""
        through, after = derivative(self.result, self.arity + self.numbers + index), self.stages[index].after
        slope = constant(1) if after is None else derivative(after, 0)
        if through is None or slope is None:
            return None
        if 0 in inputs_of([slope]):
            raise TypeError(f"reduction {self.name}: what follows a stage is not linear: write it into the finish")
        count = variable(self.arity + self.numbers + len(self.stages))
        return times(through, substitute(slope, {variable(1): count}))

    def _read_later(self, index: int) -> bool:
        """Tell whether a later stage reads the result of a stage."""
        return any(self.arity + self.numbers + index in inputs_of([stage.value]) for stage in self.stages)

    def _alone(self, index: int) -> bool:
        """Tell whether a stage reads elements and given numbers only."""
        return all(position < self.arity + self.numbers for position in inputs_of([self.stages[index].value]))

    def stage(self, index: int) -> Reduction:
        """Return the reduction that gives a stage's result: one of the table, if there is one."""
        if index not in self._stages:
            self._stages[index] = self._stage(index)
        return self._stages[index]

    def _stage(self, index: int) -> Reduction:
        value, combine, *_, after = self.stages[index]
        numbers = self.numbers if any(inputs_of([value])) else 0
        if after is None:
            result = variable(self.arity + numbers)
        else:
            ends = [variable(self.arity + numbers), variable(self.arity + numbers + 1)]
            result = substitute(after, dict(zip((variable(0), variable(1)), ends, strict=True)))
        for other in TABLE.values():
            only, *more = other.stages
            same = only.value is value and only.combine is combine and only.after is None and other.result is result
            if same and not more and other.numbers == numbers and other.gives is None:
                return other
        return Reduction(
            f"{self.name}_stage{index}",
            [(lambda *inputs: _at(value, inputs), combine)],
            finish=lambda *inputs: _at(result, inputs),
            numbers=numbers,
            floating=True,
            wide=self.wide,
            listed=False,
        )

    # ---- parts ------------------------------------------------------------------------------------------------------

    def parts(self, gives: str | None) -> Sequence[tuple[Reduction, Reduction]]:
        """Return what is done to parts of a line for each stage, and then to what they gave, of the dtype `gives`.

        All of them are given the reduction's numbers, the number of elements of the whole line, and the results of
        earlier stages; only what can be done in parts by itself is given as much as it was.
        """
        if self.splits:
            return [(self, self)]
        if gives not in self._parts:
            self._parts[gives] = [self._part(index, gives) for index in range(len(self.stages))]
        return self._parts[gives]

    def _part(self, index: int, gives: str | None) -> tuple[Reduction, Reduction]:
        """Give what `parts` gives for a stage."""
        value, combine, *_ = self.stages[index]
        # in the declaration the number of elements stands behind all results
        places = [*range(self.arity + self.numbers), *(self.arity + self.numbers + 1 + s for s in range(index))]

        def made(name: str, value: Formula, **options: Any) -> Reduction:
            numbers = self.numbers + 1 + index
            options |= {"accumulates": self.accumulates, "floating": self.floating, "listed": False}
            return Reduction(f"{self.name}_{name}{index}", [(value, combine)], numbers=numbers, rows=index, **options)

        first = made(
            "part",
            lambda *inputs: _at(value, [inputs[place] for place in places]),
            arity=self.arity,
            wide=self.wide,
            gives=self.gives or gives,
        )
        again = made("parts", _identity)
        last = made("whole", _identity, finish=self._end(index))
        # parts of parts
        first._parts[None], again._parts[None], last._parts[None] = [(first, again)], [(again, again)], [(again, last)]
        return first, last

    def _end(self, index: int) -> Formula:
        """Give the formula of a stage's result, after the last one of the whole, for `parts`."""
        after, last = self.stages[index].after, index == len(self.stages) - 1

        def end(x: Any, *rest: Any) -> Any:
            *numbers, count = rest[: self.numbers + 1]
            *earlier, total, _ = rest[self.numbers + 1 :]
            total = total if after is None else _at(after, (total, count))
            return _at(self.result, (x, *numbers, *earlier, total, count)) if last else total

        return end


def _at(expression: Expression, inputs: Sequence[Any]) -> Expression:
    """Give an expression at other inputs."""
    return substitute(expression, {variable(position): value for position, value in enumerate(inputs)})


class _Table(dict[str, Reduction]):
    """Reductions by name; "nanmean_stage1" is a stage of one."""

    def __missing__(self, name: str) -> Reduction:
        whole, stage, index = name.rpartition("_stage")
        if not stage:
            raise KeyError(name)
        return self[whole].stage(int(index))


#: The reductions by name.
TABLE = _Table()

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
    return Reduction(
        f"{'mean' if mean else 'sum'}_of_{name}", [(value, add)], finish, arity=arity, floating=True, listed=False
    )


def _last(count: int) -> Formula:
    return lambda *inputs: inputs[count - 1]


def _identity(x: Expression, *numbers: Expression) -> Expression:
    return x


def _finite(x: Expression) -> Expression:
    """Zero in place of an infinity or NaN: what may be subtracted without making a NaN of inf - inf."""
    return where(x - x == 0, x, 0)


#: A square root whose slope at 0, where it has none, is taken for 0: norms and deviations of what is all the same.
_root = ScalarFunction("root", lambda x: sqrt(x), lambda y, x: where(y == 0, 0, 0.5 / y))

# ---- sums, products, extrema ----------------------------------------------------------------------------------------

sum = Reduction("sum", [(_identity, add)], splits=True)
mean = Reduction("mean", [(_identity, add)], finish=lambda x, total, count: total / count, floating=True)
# what comes back through these is no formula of an element and the result: of several zeros, or of ties
prod = Reduction("prod", [(_identity, mul)], splits=True)
amax = Reduction("amax", [(_identity, maximum)], accumulates=False, splits=True)
amin = Reduction("amin", [(_identity, minimum)], accumulates=False, splits=True)

# ---- without NaN, and counts ----------------------------------------------------------------------------------------

nansum = Reduction("nansum", [(lambda x: where(x == x, x, 0), add)])
nanmean = Reduction(
    "nanmean",
    [(lambda x: where(x == x, x, 0), add), (lambda x, total: where(x == x, 1, 0), add)],
    finish=lambda x, total, numbers, count: total / numbers,
    floating=True,
)
count_nonzero = Reduction("count_nonzero", [(lambda x: where(x != 0, 1, 0), add)], gives="int64")

# ---- deviations from the mean ---------------------------------------------------------------------------------------

_about_the_mean: Any = [
    (_identity, add, lambda total, count: total / count),
    (lambda x, correction, mean: square(x - mean), add),
]


def _variance(x: Any, correction: Any, mean: Any, squares: Any, count: Any) -> Any:
    return squares / maximum(count - correction, 0)


# wide: differences from a rounded mean would not be those from the mean, of numbers that are far from 0
_deviation: dict[str, Any] = {"numbers": 1, "floating": True, "wide": True, "centre": 0}
var = Reduction("var", _about_the_mean, finish=_variance, **_deviation)
std = Reduction("std", _about_the_mean, finish=lambda *inputs: _root(_variance(*inputs)), **_deviation)

# ---- norms ----------------------------------------------------------------------------------------------------------

norm = Reduction("norm", [(square, add)], finish=lambda x, total, count: _root(total), floating=True, wide=True)
norm_0 = Reduction("norm_0", [(lambda x: where(x != 0, 1, 0), add)], floating=True)
norm_1 = Reduction("norm_1", [(abs, add)], floating=True)
norm_inf = Reduction("norm_inf", [(abs, maximum)], accumulates=False, floating=True, splits=True)
norm_minus_inf = Reduction("norm_minus_inf", [(abs, minimum)], accumulates=False, floating=True, splits=True)
norm_p = Reduction(
    "norm_p",
    [(lambda x, p: pow(abs(x), p), add)],
    finish=lambda x, p, total, count: pow(total, 1 / p),
    numbers=1,
    floating=True,
    # powers of what is at most 1 are in range
    slope=lambda y, x, p, count: where((x == 0) | (y == 0), 0, sign(x) * pow(abs(x) / y, p - 1)),
)

# ---- exponentials ---------------------------------------------------------------------------------------------------

logsumexp = Reduction(
    "logsumexp",
    [(_identity, maximum), (lambda x, top: exp(x - _finite(top)), add)],
    finish=lambda x, top, total, count: _finite(top) + log(total),
    floating=True,
    splits=True,
    centre=0,
    # by the result, for which no exponential has to be added up again
    slope=lambda y, x, count: where(y == constant(-math.inf), 0, exp(x - y)),
)
softmax = Reduction(
    "softmax",
    [(_identity, maximum), (lambda x, top: exp(x - top), add)],
    kept=1,
    spread=lambda x, top, total, count, kept: kept * (1 / total),
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
