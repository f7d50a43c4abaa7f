"""What the names that a traced function reads from outside stood for when it was traced.

A name that stands for something else later, as `rate` after ``rate = 0.1``, has the function traced anew: its trace
has what the name stood for then. Looked at are names of globals and of surrounding functions, attributes of instances
and classes, also by way of properties and operators, and what lists, dicts and sets that these hold consist of; of
functions that are called as well, but not of libraries'.

What the function itself changes while it is traced, no run changes again. A number that it read before, as in
``self.t = self.t + 1``, is another one at the next call, and so has it traced anew; what only counts, ``self.calls +=
1``, does not matter. Where it left a traced array, it is traced once more: if it reads that one, it is refused.
"""

from __future__ import annotations

import dis
import functools
import sys
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from types import BuiltinFunctionType, CellType, CodeType, FunctionType, MemberDescriptorType, MethodType, ModuleType
from typing import Any

import numpy as np

from ..arrays import is_stand_in
from ..variable import Variable
from .purity import is_ours, names_of

#: Values that are looked at, at most, and items of a container.
_MOST, _ITEMS = 1000, 64
_PLAIN = (bool, int, float, complex, str, bytes, type(None), tuple, frozenset, np.generic)
_NOT_THERE = object()
#: Methods that Python calls by other means than their names, and which say nothing of what a function reads.
_UNREAD = {f"__{name}__" for name in "init new del repr str eq ne hash setattr init_subclass post_init replace".split()}


class _Attribute(str):
    """The key of a place that is an attribute, found by `getattr`."""

    __slots__ = ()


class _Whole:
    """The key of a place that is a whole container: how many items it has, or, of a set, which."""

    def __repr__(self) -> str:
        return "items"


_WHOLE = _Whole()


class Bindings:
    """The places that names and items lead to, and what was found there."""

    def __init__(self, roots: Iterable[Any]) -> None:
        self._places: list[tuple[Any, Any, str]] = []  # a cell, or a container and a key; and what to call it
        self._values: list[Any] = []
        self._taken: set[tuple[int, Any]] = set()
        self._reads: Counter[str] = Counter()  # of names: how often code reads them, other than to add to them
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

    def after(self, before: Bindings) -> Bindings:
        """Have what a function changed while it was traced count as another value, where it may read that."""
        values = {
            (id(container), key): value
            for (container, key, _), value in zip(before._places, before._values, strict=True)
        }
        grown = []
        for number, ((container, key, name), new) in enumerate(zip(self._places, self._values, strict=True)):
            old = values.get((id(container), key), new)
            if key is _WHOLE and old != new:  # what it appends to, as a log
                grown.append(number)
            if old is new or key is _WHOLE or _is_traced(old):
                continue
            numbers = isinstance(old, _PLAIN) and isinstance(new, _PLAIN)
            if _is_traced(new) or (numbers and (name.startswith("[") or self._reads[name.rpartition(".")[2]])):
                self._values[number] = old
        for number in reversed(grown):
            del self._places[number], self._values[number]
        return self

    def left_traced(self) -> str | None:
        """Put back what stood where a traced array is by now, and give the name of such a place."""
        left = None
        for (container, key, name), value in zip(self._places, self._values, strict=True):
            if key is not _WHOLE and _is_traced(_at(container, key)) and not _is_traced(value):
                left = name
                if isinstance(container, CellType):
                    container.cell_contents = value
                elif isinstance(key, _Attribute):
                    setattr(container, key, value)
                else:
                    container[key] = value
        return left

    def guarded(self, call: Callable[..., Any], named: bool) -> Callable[..., Any]:
        """Give a call that gives None where a name has come to stand for something else."""
        tests: list[str] = []
        namespace: dict[str, Any] = {"call": call, "values": self._values}
        for number, (container, key, _) in enumerate(self._places):
            namespace[f"place_{number}"] = container
            namespace[f"key_{number}"] = key
            if key is _WHOLE:
                whole = f"place_{number}" if isinstance(container, set) else f"len(place_{number})"
                tests.append(f"{whole} == values[{number}]")
                continue
            what = f"[key_{number}]"
            if isinstance(container, CellType):
                what = ".cell_contents"
            elif isinstance(key, _Attribute):
                what = f".{key}"
            tests.append(f"place_{number}{what} is values[{number}]")
        given = "*arguments, **options" if named else "*arguments"
        lines = [
            f"def guarded({given}):",
            "    try:",
            f"        same = {' and '.join(tests)}",
            "    except (AttributeError, LookupError, ValueError):",
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
                if value.__dict__ and not is_ours(value.__module__):
                    instances.append(value)  # it may have attributes of its own
            elif isinstance(value, functools.partial):
                waiting += (value.func, *value.args, *value.keywords.values())
            elif isinstance(value, dict | list | deque | set):
                self._items(value, waiting)
            elif isinstance(value, tuple):
                waiting += value[:_ITEMS]
            elif _is_lifted(value):
                if hasattr(value, "_modules"):
                    waiting += (*value._modules.values(), type(value).forward)
                    if not is_ours(type(value).__module__):
                        instances.append(value)
            elif callable(value) and hasattr(value, "__wrapped__"):
                waiting.append(value.__wrapped__)
            elif isinstance(value, type):
                if not is_ours(value.__module__) and not _is_librarys(value.__module__):
                    instances.append(value)
            elif not is_ours(type(value).__module__):
                instances.append(value)
                waiting += _operators(type(value))

    def _items(self, value: Any, waiting: deque[Any]) -> None:
        if not isinstance(value, dict) or type(value) is dict or len(value) <= _ITEMS:
            self._take(value, _WHOLE, "items", waiting)
        if len(value) <= _ITEMS and not isinstance(value, set):
            for key in list(value if isinstance(value, dict) else range(len(value))):  # others may add to it
                self._take(value, key, f"[{key!r}]", waiting)

    def _function(self, function: FunctionType, names: set[str], waiting: deque[Any]) -> None:
        code = function.__code__
        mentioned = set(names_of(code))
        if "getattr" in mentioned:
            mentioned |= {text for text in code.co_consts if isinstance(text, str) and text.isidentifier()}
        waiting += [*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()]
        places = list(zip(code.co_freevars, function.__closure__ or (), strict=True))
        if is_ours(function.__globals__.get("__name__")):  # of transforms, whose names stay what they are
            waiting += (_at(cell, None) for _, cell in places)
            return
        names |= mentioned
        self._reads.update(_read(code))
        found: list[tuple[Any, Any, str]] = [(cell, None, name) for name, cell in places]
        found += [(function.__globals__, name, name) for name in sorted(mentioned)]
        for container, key, name in found:
            self._take(container, key, name, waiting)
            value = _at(container, key)
            if isinstance(value, ModuleType) and _is_users(value):
                for attribute in sorted(mentioned):
                    self._take(vars(value), attribute, f"{name}.{attribute}", waiting)

    def _attributes(self, instance: Any, names: set[str], waiting: deque[Any]) -> None:
        kind = instance if isinstance(instance, type) else type(instance)
        own = {} if kind is instance else getattr(instance, "__dict__", {})
        for name in sorted(names):
            if name in own:
                self._take(own, name, f"{kind.__name__}.{name}", waiting)
                continue
            holder = next((parent for parent in kind.__mro__ if name in vars(parent)), object)
            if is_ours(holder.__module__) or _is_librarys(holder.__module__):
                continue
            found = vars(holder)[name]
            if isinstance(found, MemberDescriptorType) or not hasattr(type(found), "__get__"):
                self._take(instance, _Attribute(name), f"{kind.__name__}.{name}", waiting)
            elif (id(holder), name) not in self._taken:
                self._taken.add((id(holder), name))
                waiting.append(_called(found))

    def _take(self, container: Any, key: Any, name: str, waiting: deque[Any]) -> None:
        """Take note of a place, and have the walk go on from what is there."""
        value = _at(container, key)
        if value is _NOT_THERE or (id(container), key) in self._taken:
            return
        self._taken.add((id(container), key))
        if _stays(value):
            if isinstance(value, type):
                waiting.append(value)
            return
        self._places.append((container, key, name))
        self._values.append(value)
        if not isinstance(value, (*_PLAIN, np.ndarray, Variable)) or type(value) is tuple:
            waiting.append(value)


def _at(container: Any, key: Any) -> Any:
    try:
        if key is _WHOLE:
            return frozenset(container) if isinstance(container, set) else len(container)
        if isinstance(key, _Attribute):
            return getattr(container, key)
        return container.cell_contents if isinstance(container, CellType) else container[key]
    except (AttributeError, LookupError, ValueError):  # deleted, or not yet filled
        return _NOT_THERE


def _is_traced(value: Any) -> bool:
    return is_stand_in(value._array if isinstance(value, Variable) else value)


def _called(found: Any) -> Any:
    """Give what runs where something that a class has by a name is read or called."""
    if isinstance(found, staticmethod | classmethod):
        return found.__func__
    if isinstance(found, property):
        return found.fget
    if isinstance(found, functools.cached_property | functools.partialmethod):
        return found.func
    return found


def _operators(kind: type) -> Iterator[Any]:
    """Give what Python calls of a user's class without its name: `__call__`, `__getitem__`, `__add__`."""
    for parent in kind.__mro__:
        if not is_ours(parent.__module__) and not _is_librarys(parent.__module__):
            for name, found in list(vars(parent).items()):
                if name.startswith("__") and name not in _UNREAD and isinstance(found, FunctionType):
                    yield found


@functools.lru_cache(1024)  # functions are traced again and again
def _read(code: CodeType) -> tuple[str, ...]:
    """Give the names that code reads, without those that it only adds to: ``calls += 1``."""
    added = [""] * 3  # what the latest instructions were
    reads: Counter[str] = Counter()
    for instruction in dis.get_instructions(code):
        what, name = instruction.opname, instruction.argval
        if what.startswith("STORE_") and isinstance(name, str) and "+=" in added:
            reads[name] -= 1
        elif what.startswith("LOAD_") and what != "LOAD_CONST" and isinstance(name, str):
            reads[name] += 1
        added = [*added[1:], instruction.argrepr if what == "BINARY_OP" else ""]
    inner = [name for part in code.co_consts if isinstance(part, CodeType) for name in _read(part)]
    return (*reads.elements(), *inner)


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
