"""Operations on small arrays as one compiled call: what `kernels.cpu.small` makes of Variables and their graph.

Compiled calls are made when they are first asked for, and not by a trace, where they would only hand on.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from . import history, sharing
from .grad_mode import recording_mode
from .kernels.cpu import small
from .kernels.cpu.ndarray import as_method
from .variable import Variable

if TYPE_CHECKING:
    from .function import Operation


def _boxes() -> Any:
    return small.recorder.Boxes(Variable, "_array", "creator", "_generation", recording_mode)


def _nodes(nodes: dict[str, Any]) -> Any:
    return small.recorder.Nodes(inputs="inputs", generation="generation", **nodes) if nodes else None


def recorded(
    work: Any, arity: int, otherwise: Callable[..., Any], numbers: dict[tuple[str, Any], Variable] | None, **nodes: Any
) -> Callable[..., Any]:
    """Give a compiled call of a number of Variables (any, if 0), which makes nodes as `small.recorder.Nodes` has it."""
    call: Callable[..., Any] = small.recorder.recorded(work, _boxes(), _nodes(nodes), arity, otherwise, numbers)
    return call


def written(work: Any, arity: int, single: int, otherwise: Callable[..., Any], **nodes: Any) -> Callable[..., Any]:
    """Give a compiled call that writes into the first of a number of Variables, as `small.writer.written` has it."""
    past = small.writer.Past(
        (vars(sharing), "stand_ins"),
        ("_story", history.Story, "past"),
        ("_hooks", "_retains"),
        "_index",
        (vars(history), "writes", history.CLOCK),
        (history.Rewritten, history.snapshots),
    )
    call: Callable[..., Any] = small.writer.written(work, _boxes(), _nodes(nodes), arity, past, single, otherwise)
    return call


def recorded_by(kind: type[Operation], otherwise: Callable[..., Any]) -> Callable[..., Any]:
    """Give the compiled call that applies an Operation to small arrays, in Variables or bare.

    It asks no questions: whatever it does not know is `otherwise`'s.
    """
    work = kind.work()
    if work is None:
        return otherwise
    output = "output" if kind.output is not None else None  # a slot, unless there is none
    # what else `__init__` sets is the same for all that are made by `apply`
    sample = kind(*[None] * len(kind.kept))
    *kinds, function, _ = kind.__mro__  # Function and object have slots of their own
    slots = {name for base in kinds for name in vars(base).get("__slots__", ())}
    others = slots - {*kind.kept, "output", *vars(function)["__slots__"]}
    fixed = {name: getattr(sample, name) for name in others if hasattr(sample, name)}
    seen = None
    if kind.aliases:
        story = "_story", history.Story, "family"
        seen = small.recorder.Views(vars(sharing), "stand_ins", "active", sharing.fresh, sharing.MANY, story)
    nodes: dict[str, Any] = {"kind": kind, "even": kind, "kept": kind.kept, "fixed": fixed, "views": seen}
    return recorded(work, kind.arity, otherwise, None, **nodes, output=output, keeps_output=kind.keeps_output)


class Applied:
    """Stands for an Operation's `apply` until it is asked for: then it makes the compiled call, and gives way to it."""

    def __get__(self, instance: object, kind: Any) -> Any:
        arguments = len(kind.kept)

        def slowly(*given: Any) -> Any:
            count = len(given) - arguments
            return kind(*given[count:])(*given[:count])

        slowly.__name__ = kind.__name__
        if sharing.stand_ins:  # which compiled calls only hand on: no trace waits for them to be compiled
            return slowly
        made = recorded_by(kind, slowly)
        kind.apply = staticmethod(made)
        return made


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
