"""How cotangents come back through reductions: operations for the formulas that follow from the declarations."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache as once
from operator import itemgetter
from typing import Any

from ..elementwise import Elementwise, of_those_used
from ..kernels import formula
from ..kernels.reductions import Reduction, Rule
from .elementwise import OPERATIONS


class Back:
    """How a cotangent comes back through a reduction: the formulas of `kernels.reductions.Rule` as operations."""

    def __init__(self, reduction: Reduction, rule: Rule) -> None:
        self.length = rule.length
        #: For what stands between the numbers given and the element.
        self.blank = [None] * (rule.element - rule.results)
        self.lines = [(place, *operation_of(f"{reduction.name}_vjp_line", line)) for place, line in rule.lines.items()]
        read = set(formula.inputs_of([rule.value]))
        #: The formula of an element, if it reads the element; otherwise which of its inputs is repeated.
        self.value = operation_of(f"{reduction.name}_vjp", rule.value) if rule.element in read else None
        self.repeated = 0 if rule.value.function is not None or not read else next(iter(read))
        read |= set(formula.inputs_of(rule.lines.values()))
        #: The stages whose results are read, and their places.
        self.stages = [
            (rule.results + s, reduction.stage(s)) for s in range(len(reduction.stages)) if rule.results + s in read
        ]
        self.reads_count = rule.length in read
        self.reads_result, self.reads_elements = 1 in read, bool(self.stages) or rule.element in read
        #: Whether nothing comes back at all, or what does is repeated as it came.
        self.nothing, self.plain = 0 not in read, not self.lines and self.value is None
        self.linear = not (self.reads_result or self.reads_elements or self.nothing)

    @property
    def operations(self) -> list[Elementwise]:
        """The operations that it consists of."""
        return [operation for _, operation, _ in self.lines] + ([] if self.value is None else [self.value[0]])


def operation_of(name: str, expression: formula.Expression) -> tuple[Elementwise, Callable[[Any], tuple[Any, ...]]]:
    """Give an operation for a formula, and what picks its inputs from the formula's: a known one, if there is one."""
    (expression,), kinds, uses = of_those_used([expression])
    (only, *more), pick = uses, itemgetter(*uses)
    known = OPERATIONS.get("" if expression.function is None else expression.function.name)
    if known is not None and known.expression is expression:
        made = known
    else:
        made = Elementwise(name, expression, kinds, formula.FLOATING)
    return made, pick if more else lambda values: (values[only],)


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


class Looked:
    """An attribute of a class that is looked up in the rule when it is first asked for, and stays with the class."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __set_name__(self, owner: Any, attribute: str) -> None:
        self.attribute = attribute

    def __get__(self, instance: Any, kind: Any) -> Any:
        found = kind.reduction.rule is not None and getattr(back_of(kind.reduction), self.name)
        setattr(kind, self.attribute, found)
        return found
