"""Random numbers that are drawn while a function is traced, and would be the same in every run."""

from __future__ import annotations

import pickle
import random
import sys
import threading
from collections.abc import Callable, Iterator
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np

from .refusals import users_line

_REMEDY = (
    "every run would use the numbers of the first: draw them outside of the jitted function and pass them as arguments"
)


def refuse_draw(what: str) -> None:
    """Raise for random numbers of this library's."""
    raise TypeError(f"jit: {what} drew random numbers in a traced function, at {users_line()}: {_REMEDY}")


class Sources:
    """What a function may draw random numbers from: NumPy's and Python's shared states, and generators it mentions."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._states: list[tuple[str, Callable[[], Any]]] = [("random", random.getstate)]
        if "numpy.random" in sys.modules:
            self._states.append(("np.random", np.random.get_state))
            self._states += [(type(g).__name__, lambda g=g: g.bit_generator.state) for g in _generators(function)]  # type: ignore[misc]
        self._before = [pickle.dumps(state()) for _, state in self._states]

    def refuse_drawn(self, numbers_kept: bool) -> None:
        """Raise if one of them was drawn from since.

        Other threads may have drawn from what all share; then only a trace that kept numbers is refused.
        """
        for (name, state), before in zip(self._states, self._before, strict=True):
            if pickle.dumps(state()) != before and (numbers_kept or threading.active_count() == 1):
                raise TypeError(f"jit: {name} was drawn from while a function was traced: {_REMEDY}")


def _generators(function: Callable[..., Any]) -> list[Any]:
    """Find NumPy's generators that a function mentions: by its closure, its globals, its instance, its functions."""
    found: dict[int, Any] = {}
    seen: set[int] = set()
    stack: list[Any] = [function]
    while stack and len(seen) < 1000:
        value = stack.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        if isinstance(value, np.random.Generator):
            found[id(value)] = value
        else:
            stack.extend(_mentioned(value))
    return list(found.values())


def _mentioned(value: Any) -> Iterator[Any]:
    """Give what a function, a method or an instance mentions."""
    if isinstance(value, MethodType):
        yield value.__func__
        yield from _attributes(value.__self__)
    elif isinstance(value, FunctionType):
        if not value.__module__ or value.__module__.partition(".")[0] in ("nbgrad", "numpy"):
            return
        for cell in value.__closure__ or ():
            try:
                yield cell.cell_contents
            except ValueError:  # not yet filled
                continue
        for name in _names(value.__code__):
            found = value.__globals__.get(name)
            if not isinstance(found, ModuleType):
                yield found
            elif found.__name__.partition(".")[0] not in ("nbgrad", "numpy"):
                yield from (vars(found).get(attribute) for attribute in _names(value.__code__))
    elif callable(value) and hasattr(value, "__wrapped__"):
        yield value.__wrapped__
    elif type(value).__module__ not in ("builtins", "numpy") and not isinstance(value, ModuleType | type):
        yield from _attributes(value)


def _attributes(instance: Any) -> Iterator[Any]:
    yield from getattr(instance, "__dict__", {}).values()


def _names(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            yield from _names(inner)
