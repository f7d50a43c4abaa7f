"""Compiled calls that are made when they are first asked for, and not by a trace, where they would only hand on."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from . import sharing
from .function import Operation
from .kernels.cpu import caller
from .kernels.cpu.ndarray import as_method
from .recording import recorded, recorded_by
from .variable import Variable

if TYPE_CHECKING:
    from .elementwise import Elementwise


class RecordedCall:
    """An attribute that is `recorded_by` of an Operation: made when it is first asked for, and not by a trace."""

    def __init__(self, kind: type[Operation], otherwise: Callable[..., Any]) -> None:
        self.kind, self.otherwise = kind, otherwise

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, instance: Any, owner: type) -> Callable[..., Any]:
        if sharing.stand_ins:  # which the compiled call would only hand on
            return self.otherwise
        made = instance.__dict__[self.name] = recorded_by(self.kind, self.otherwise)
        return made


def giving_way(name: str, slowly: Callable[..., Any], make: Callable[[], Callable[..., Any]]) -> Callable[..., Any]:
    """Give an operator of that name for Variable which, when it is first used, gives way to what `make` makes.

    While a function is traced it is `slowly`: compiled calls would only hand on.
    """

    def first(self: Any, other: Any) -> Any:
        if sharing.stand_ins:
            return slowly(self, other)
        call = make()
        setattr(Variable, name, as_method(call))
        return call(self, other)

    return first


def recorded_elementwise(operation: Elementwise, slowly: Callable[..., Any], numbers: Any) -> Callable[..., Any]:
    """Give the compiled call that applies an operation to small arrays; `slowly` has all others, and all if none is."""
    work = caller.elementwise(operation.kernel)
    return slowly if work is None else recorded(work, operation.arity, slowly, numbers, **nodes_of(operation))


def nodes_of(operation: Elementwise) -> dict[str, Any]:
    """Give what compiled calls are to know of an operation's nodes, which are made by its first call."""
    if not operation.differentiable:
        return {}
    even, node = operation.namespace["EvenNode"], operation.namespace["Node"]
    output = "output" if "output" in vars(node) else None
    return {"kind": even if operation.arity == 1 else node, "even": even, "output": output, "keeps_output": True}
