"""How cotangents come back through reductions: operations for the formulas that follow from the declarations."""

from __future__ import annotations

from functools import cache as once

from ..elementwise import Elementwise, of_those_used
from ..kernels import formula
from ..kernels.reductions import Reduction, Rule
from .elementwise import OPERATIONS


class Back:
    """How a cotangent comes back through a reduction: the formulas of `kernels.reductions.Rule` as operations."""

    def __init__(self, reduction: Reduction, rule: Rule) -> None:
        first = 3 + reduction.numbers
        #: What a line needs besides: which stages' results, at which places; and where the number of elements is.
        self.count = first + len(reduction.stages)
        self.lines = [
            (self.count + 1 + i, *operation_of(f"{reduction.name}_vjp_line", line)) for i, line in enumerate(rule.lines)
        ]
        #: None for a formula without the element: its value is repeated.
        self.element = None
        self.repeated = 0
        read = set(formula.inputs_of([rule.element]))
        if 2 in read:
            self.element = operation_of(f"{reduction.name}_vjp", rule.element)
        elif rule.element.function is None and read:
            (self.repeated,) = read
        read |= set(formula.inputs_of(rule.lines))
        self.stages = [(first + s, reduction.stage(s)) for s in range(len(reduction.stages)) if first + s in read]
        self.reads_result, self.reads_elements = 1 in read, bool(self.stages) or 2 in read
        self.linear = not self.reads_result and not self.reads_elements and 0 in read
        #: Whether nothing comes back at all.
        self.nothing = 0 not in read
        self.numbers = bool(self.lines) or self.element is not None

    @property
    def operations(self) -> list[Elementwise]:
        """The operations that it consists of."""
        return [operation for _, operation, _ in self.lines] + ([] if self.element is None else [self.element[0]])


def operation_of(name: str, expression: formula.Expression) -> tuple[Elementwise, tuple[int, ...]]:
    """Give an operation for a formula, and which of the formula's inputs it takes: a known one, if there is one."""
    (expression,), kinds, uses = of_those_used([expression])
    known = OPERATIONS.get("" if expression.function is None else expression.function.name)
    if known is not None and known.expression is expression:
        return known, uses
    return Elementwise(name, expression, kinds, formula.FLOATING), uses


@once
def back_of(reduction: Reduction) -> Back:
    """Return how a cotangent comes back through a reduction.

    Raises TypeError where that does not follow from the declaration.
    """
    if reduction.rule is None:
        raise TypeError(
            f"{reduction.name}: its rule does not follow from its declaration: state its slope, or define a Reduce "
            "with vjp"
        )
    return Back(reduction, reduction.rule)
