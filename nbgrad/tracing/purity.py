"""Random numbers that are drawn while a function is traced, and would be the same in every run."""

from __future__ import annotations

import functools
import pickle
import random
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from types import BuiltinMethodType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np

from ..variable import Variable
from .bytecode import names_of

_REMEDY = (
    "every run would use the numbers of the first: draw them with nbgrad's functions (nbgrad.randn), or outside of the "
    "jitted function, and pass them as arguments"
)


class Sources:
    """What a function may draw random numbers from: NumPy's and Python's shared states, and generators it mentions."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._states: list[tuple[str, Callable[[], Any]]] = [("random", random.getstate)]
        if "numpy.random" in sys.modules:
            self._states.append(("np.random", np.random.get_state))
        self._states += [(type(g).__name__, _state_of(g)) for g in mentioned([function], _kinds())]
        self._before = [pickle.dumps(state()) for _, state in self._states]

    def refuse_drawn(self, numbers_kept: bool) -> None:
        """Raise if one of them was drawn from since.

        Other threads may have drawn from what all share; then only a trace that kept numbers is refused.
        """
        for (name, state), before in zip(self._states, self._before, strict=True):
            if pickle.dumps(state()) != before and (numbers_kept or threading.active_count() == 1):
                raise TypeError(f"jit: {name} was drawn from while a function was traced: {_REMEDY}")


def _state_of(generator: Any) -> Callable[[], Any]:
    """Give what tells whether a generator has been drawn from; nothing tells it of those without a state."""
    if isinstance(generator, random.SystemRandom):
        return lambda: None
    if isinstance(generator, random.Random):
        return generator.getstate
    if hasattr(generator, "get_state"):
        return generator.get_state
    return lambda: generator.bit_generator.state


#: Values that mention nothing.
_PLAIN = (int, float, complex, str, bytes, np.ndarray, np.generic, np.ufunc, np.dtype, Variable, ModuleType, type(None))
#: Values that are looked at for each function, at most, the nearest first.
_MOST = 1000


def _kinds() -> tuple[type, ...]:
    """Give the classes of generators that there may be."""
    if "numpy.random" not in sys.modules:
        return (random.Random,)
    return random.Random, np.random.Generator, np.random.RandomState


def mentioned(roots: Iterable[Any], kinds: tuple[type, ...]) -> list[Any]:
    """Find what functions and other values mention of some classes.

    By their closures, globals, defaults, instances, classes, other functions, and what these hold.
    """
    found: dict[int, Any] = {}
    seen: dict[int, Any] = {}  # values stay alive, so that ids stay theirs
    waiting: deque[Any] = deque(roots)
    while waiting and len(seen) < _MOST:
        value = waiting.popleft()
        if isinstance(value, _PLAIN) or id(value) in seen:
            continue
        seen[id(value)] = value
        if isinstance(value, kinds):
            found[id(value)] = value
        else:
            waiting.extend(_mentioned(value))
    return list(found.values())


def is_ours(module: Any) -> bool:
    """Tell whether a module is nbgrad's or NumPy's."""
    return str(module or "").partition(".")[0] in ("nbgrad", "numpy", "builtins")


def _mentioned(value: Any) -> Iterator[Any]:
    """Give what a function, a method, a class, a container or an instance mentions."""
    if isinstance(value, MethodType | BuiltinMethodType):
        yield value.__self__
        yield getattr(value, "__func__", None)
    elif isinstance(value, FunctionType):
        if not is_ours(value.__module__):
            yield from _mentioned_by(value)
    elif isinstance(value, functools.partial):
        yield from (value.func, *value.args, *value.keywords.values())
    elif isinstance(value, staticmethod | classmethod):
        yield value.__func__
    elif isinstance(value, property):
        yield value.fget
    elif isinstance(value, dict):
        yield from list(value.values())
    elif isinstance(value, list | tuple | set | frozenset | deque):
        yield from list(value)
    elif callable(value) and hasattr(value, "__wrapped__"):
        yield value.__wrapped__
    elif isinstance(value, type):
        if not is_ours(value.__module__):
            yield from list(vars(value).values())
            yield from value.__bases__
    elif not is_ours(type(value).__module__):
        yield from list(getattr(value, "__dict__", {}).values())
        names = [name for kind in type(value).__mro__ for name in _slots(kind)]
        yield from (getattr(value, name, None) for name in names)
        yield type(value)


def _mentioned_by(function: FunctionType) -> Iterator[Any]:
    """Give what a function finds in its closure, its defaults and its globals."""
    for cell in function.__closure__ or ():
        try:
            yield cell.cell_contents
        except ValueError:  # not yet filled
            continue
    yield from (*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values())
    for name in names_of(function.__code__):
        found = function.__globals__.get(name)
        if not isinstance(found, ModuleType):
            yield found
        elif not is_ours(found.__name__):
            yield from (vars(found).get(attribute) for attribute in names_of(function.__code__))


def _slots(kind: type) -> tuple[str, ...]:
    given = vars(kind).get("__slots__", ())
    return (given,) if isinstance(given, str) else tuple(given)
