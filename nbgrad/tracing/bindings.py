"""What the names that a traced function reads from outside stood for when it was traced.

A name that stands for something else later, as `rate` after ``rate = 0.1``, has the function traced anew: its trace
has what the name stood for then. Looked at are names of globals and of surrounding functions, attributes of instances,
and items of lists and dicts that these hold; of functions that are called as well, but not of libraries'.
"""

from __future__ import annotations

import functools
import sys
from collections import deque
from collections.abc import Callable, Iterable
from types import BuiltinFunctionType, CellType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np

from ..variable import Variable
from .purity import is_ours, names_of

#: Values that are looked at, at most, and items of a container.
_MOST, _ITEMS = 1000, 64
_PLAIN = (bool, int, float, complex, str, bytes, type(None), tuple, frozenset, np.generic)
_NOT_THERE = object()


class Bindings:
    """The places that names and items lead to, and what was found there."""

    def __init__(self, roots: Iterable[Any]) -> None:
        self._places: list[tuple[Any, Any, str]] = []  # a cell, or a container and a key; and what to call it
        self._values: list[Any] = []
        self._taken: set[tuple[int, Any]] = set()
        self._walk(deque(roots))

    def __bool__(self) -> bool:
        return bool(self._places)

    def changed(self) -> str | None:
        """Give the name of what is another value by now, None if there is none; equal numbers are the same."""
        for number, ((container, key, name), value) in enumerate(zip(self._places, self._values, strict=True)):
            found = _at(container, key)
            if found is value:
                continue
            if not isinstance(value, _PLAIN) or type(found) is not type(value) or not _equal(found, value):
                return name
            self._values[number] = found
        return None

    def guarded(self, call: Callable[..., Any], named: bool) -> Callable[..., Any]:
        """Give a call that gives None where a name has come to stand for something else."""
        tests: list[str] = []
        namespace: dict[str, Any] = {"call": call, "values": self._values}
        for number, (container, key, _) in enumerate(self._places):
            namespace[f"place_{number}"] = container
            namespace[f"key_{number}"] = key
            what = ".cell_contents" if isinstance(container, CellType) else f"[key_{number}]"
            tests.append(f"place_{number}{what} is values[{number}]")
        given = "*arguments, **options" if named else "*arguments"
        lines = [
            f"def guarded({given}):",
            "    try:",
            f"        same = {' and '.join(tests)}",
            "    except (LookupError, ValueError):",
            "        return None",
            f"    return call({given}) if same else None",
        ]
        exec("\n".join(lines), namespace)
        made: Callable[..., Any] = namespace["guarded"]
        return made

    # ---- the walk ---------------------------------------------------------------------------------------------------

    def _walk(self, waiting: deque[Any]) -> None:
        names: set[str] = set()
        seen: dict[int, Any] = {}
        instances: list[Any] = []
        while len(seen) < _MOST:
            if not waiting:
                # functions that were met since may name more of what instances have
                for instance in instances:
                    self._attributes(instance, names, waiting)
                if not waiting:
                    break
            value = waiting.popleft()
            if id(value) in seen:
                continue
            seen[id(value)] = value
            if isinstance(value, MethodType):
                waiting += (value.__self__, value.__func__)
            elif isinstance(value, FunctionType):
                self._function(value, names, waiting)
            elif isinstance(value, functools.partial):
                waiting += (value.func, *value.args, *value.keywords.values())
            elif type(value) is dict:
                if len(value) <= _ITEMS:
                    for key in list(value):  # others may add to it
                        self._take(value, key, f"[{key!r}]", waiting)
            elif type(value) is list:
                if len(value) <= _ITEMS:
                    for place in range(len(value)):
                        self._take(value, place, f"[{place}]", waiting)
            elif type(value) is tuple:
                waiting += value[:_ITEMS]
            elif callable(value) and hasattr(value, "__wrapped__"):
                waiting.append(value.__wrapped__)
            elif not isinstance(value, type) and not is_ours(type(value).__module__) and not _is_lifted(value):
                if isinstance(getattr(value, "__dict__", None), dict):
                    instances.append(value)

    def _function(self, function: FunctionType, names: set[str], waiting: deque[Any]) -> None:
        code = function.__code__
        mentioned = set(names_of(code))
        places = list(zip(code.co_freevars, function.__closure__ or (), strict=True))
        if is_ours(function.__globals__.get("__name__")):  # of transforms, whose names stay what they are
            waiting += (_at(cell, None) for _, cell in places)
            return
        names |= mentioned
        found: list[tuple[Any, Any, str]] = [(cell, None, name) for name, cell in places]
        found += [(function.__globals__, name, name) for name in sorted(mentioned)]
        for container, key, name in found:
            self._take(container, key, name, waiting)
            value = _at(container, key)
            if isinstance(value, ModuleType) and _is_users(value):
                for attribute in sorted(mentioned):
                    self._take(vars(value), attribute, f"{name}.{attribute}", waiting)

    def _attributes(self, instance: Any, names: set[str], waiting: deque[Any]) -> None:
        own = vars(instance)
        for name in sorted(names):
            if name in own:
                self._take(own, name, f"{type(instance).__name__}.{name}", waiting)
                continue
            method = getattr(type(instance), name, None)
            if isinstance(method, FunctionType) and (id(instance), name) not in self._taken:
                self._taken.add((id(instance), name))
                waiting.append(method)

    def _take(self, container: Any, key: Any, name: str, waiting: deque[Any]) -> None:
        """Take note of a place, and have the walk go on from what is there."""
        value = _at(container, key)
        if value is _NOT_THERE or (id(container), key) in self._taken or _stays(value):
            return
        self._taken.add((id(container), key))
        self._places.append((container, key, name))
        self._values.append(value)
        if not isinstance(value, (*_PLAIN, np.ndarray, Variable)) or type(value) is tuple:
            waiting.append(value)


def _at(container: Any, key: Any) -> Any:
    try:
        return container.cell_contents if isinstance(container, CellType) else container[key]
    except (LookupError, ValueError):  # deleted, or not yet filled
        return _NOT_THERE


def _equal(one: Any, other: Any) -> bool:
    try:
        same = bool(one == other)
    except Exception:  # of what is in a tuple
        return False
    # 0.0 and -0.0, and True and 1 in tuples, are not the same to a function
    return same and repr(one) == repr(other)


def _stays(value: Any) -> bool:
    """Tell whether a value is one that nobody gives another name to: a module, a class, a library's function."""
    if isinstance(value, ModuleType | type | BuiltinFunctionType | np.ufunc | np.dtype):
        return True
    return isinstance(value, FunctionType) and (is_ours(value.__module__) or _is_librarys(value.__module__))


def _is_lifted(value: Any) -> bool:
    """Tell whether a value is a module or an optimiser, of which traces take note themselves."""
    modules, optimisers = (sys.modules.get(f"nbgrad.{name}") for name in ("nn.modules.module", "optim.optimizer"))
    kinds = (getattr(modules, "Module", ()), getattr(optimisers, "Optimizer", ()))
    return any(isinstance(value, kind) for kind in kinds if kind)


def _is_librarys(name: str | None) -> bool:
    top = str(name or "").partition(".")[0]
    return top in sys.stdlib_module_names or "site-packages" in str(getattr(sys.modules.get(top), "__file__", ""))


def _is_users(module: ModuleType) -> bool:
    return not is_ours(module.__name__) and not _is_librarys(module.__name__)
