"""What the names that a traced function reads from outside stood for when it was traced.

A name that stands for something else later, as `rate` after ``rate = 0.1``, has the function traced anew: its trace
has what the name stood for then. Looked at are names of globals and of surrounding functions, attributes of instances,
classes and modules, also by way of properties, operators and parents' methods, and what lists, dicts and sets that
these hold consist of; of functions that are called as well, but not of libraries'. Where code reads attributes whose
names it computes, as `vars` and ``getattr(self, f"w{i}")`` do, all that an instance has is looked at.

What the function itself changes while it is traced, no run changes again. One that reads and changes a number, as by
``self.t = self.t + 1``, is traced anew at each call; what only counts, ``self.calls +=
1``, does not matter. Where it left a traced array, it is traced once more: if it reads that one, it is refused.
"""

from __future__ import annotations

import functools
import keyword
import operator
import sys
import threading
import warnings
from collections import ChainMap, Counter, UserDict, UserList, deque
from collections.abc import Callable, Iterable, Iterator
from contextvars import ContextVar
from types import (
    BuiltinFunctionType,
    CellType,
    FunctionType,
    MappingProxyType,
    MemberDescriptorType,
    MethodType,
    ModuleType,
)
from typing import Any

import numpy as np

from ..arrays import is_stand_in
from ..variable import Variable
from .bytecode import computes_strings, imported, names_of, reads_of, strings_of
from .purity import is_ours

#: Values that are looked at, at most; items of a container that are, one by one and all at once.
_MOST, _ITEMS, _AT_ONCE = 3000, 64, 4096
_CONTAINERS = (dict, list, deque, set, MappingProxyType, ChainMap, UserDict, UserList)
_PLAIN = (bool, int, float, complex, str, bytes, type(None), tuple, frozenset, np.generic)
_NOT_THERE = object()
#: Methods that Python calls by other means than their names, and which say nothing of what a function reads.
_UNREAD = {f"__{name}__" for name in "init new del repr str setattr init_subclass post_init replace".split()}
#: What reads attributes or globals by strings, and what reads all that there are.
_BY_STRINGS = {"getattr", "hasattr", "globals", "vars", "__dict__", "__getattribute__", "attrgetter"}
_OF_ALL = {"vars", "__dict__", "asdict", "astuple", "attrgetter"}
#: Stands among names for all names that an instance has.
_ANY = "*"


class _Attribute(str):
    """The key of a place that is an attribute, found by `getattr`."""

    __slots__ = ()


class _Absent(str):
    """The key of a place that is no attribute of an instance, in the instance's dict."""

    __slots__ = ()


class _Whole:
    """The key of a place that is a whole container."""

    def __repr__(self) -> str:
        return "items"


#: How many items a container has, or, of a set, which; all items of one; what a context variable is.
_WHOLE, _EACH, _CONTEXT = _Whole(), _Whole(), _Whole()


class Bindings:
    """The places that names and items lead to, and what was found there."""

    def __init__(self, roots: Iterable[Any]) -> None:
        self._places: list[tuple[Any, Any, str]] = []  # a cell, or a container and a key; and what to call it
        self._values: list[Any] = []
        self._taken: set[tuple[int, Any]] = set()
        self._reads: Counter[str] = Counter()  # of names: how often code reads them, other than to add to them
        self._asked: set[str] = set()  # names that code asks for where they may be missing
        self._known: dict[tuple[type, ...], set[str]] = {}  # the names that classes have
        self._done: dict[int, set[str]] = {}  # the names that instances were asked for
        #: A number that the function reads and moves on, which no run would.
        self._moved: str | None = None
        waiting = deque(roots)
        self._roots = {id(root) for root in waiting}
        self._walk(waiting)

    def __bool__(self) -> bool:
        return bool(self._places)

    def changed(self) -> str | None:
        """Give the name of what is another value by now, None if there is none; equal numbers are the same."""
        if self._moved is not None:
            return self._moved
        for number, ((container, key, name), value) in enumerate(zip(self._places, self._values, strict=True)):
            found = _at(container, key)
            if found is value:
                continue
            pairs = zip(found, value, strict=False) if key is _EACH else [(found, value)]
            if (key is _EACH and len(found) != len(value)) or not all(_is_same(new, old) for new, old in pairs):
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
            if key is _WHOLE or key is _EACH:
                if old != new if key is _WHOLE else not _are(new, old):  # what it appends to, as a log
                    grown.append(number)
                continue
            if old is new or _is_traced(old):
                continue
            numbers = isinstance(old, _PLAIN) and isinstance(new, _PLAIN)
            if numbers and (name.startswith("[") or self._reads[name.rpartition(".")[2]]):
                self._moved = name
            elif _is_traced(new):
                self._values[number] = old
        for number in reversed(grown):
            del self._places[number], self._values[number]
        return self

    def left_traced(self) -> str | None:
        """Put back what stood where a traced array is by now, and give the name of such a place."""
        left = None
        for (container, key, name), value in zip(self._places, self._values, strict=True):
            if not isinstance(key, _Whole | _Absent) and _is_traced(_at(container, key)) and not _is_traced(value):
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
        tests: list[str] = [] if self._moved is None else ["False"]
        namespace: dict[str, Any] = {"call": call, "values": self._values, "are": _are, "all_of": _all_of}
        for number, (container, key, _) in enumerate(self._places):
            namespace[f"place_{number}"] = container
            namespace[f"key_{number}"] = key
            if key is _WHOLE:
                whole = f"place_{number}" if isinstance(container, set) else f"len(place_{number})"
                tests.append(f"{whole} == values[{number}]")
                continue
            if key is _EACH:
                tests.append(f"are(all_of(place_{number}), values[{number}])")
                continue
            if isinstance(key, _Absent):
                tests.append(f"key_{number} not in place_{number}")
                continue
            what = f"[key_{number}]"
            if isinstance(container, CellType):
                what = ".cell_contents"
            elif key is _CONTEXT:
                what = ".get()"
            elif isinstance(key, _Attribute):
                what = f".{key}"
            elif hasattr(type(container), "__missing__"):  # which may add the item
                what = f".get(key_{number})"
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
                    return
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
                    if _is_librarys(value.__globals__.get("__name__")):  # or be made of others, as by singledispatch
                        waiting += value.__dict__.values()
            elif isinstance(value, functools.partial):
                waiting += (value.func, value.args, value.keywords)
            elif isinstance(value, operator.attrgetter | operator.methodcaller):
                names |= {part for text in value.__reduce__()[1] if isinstance(text, str) for part in text.split(".")}
            elif isinstance(value, ContextVar):
                self._take(value, _CONTEXT, value.name, waiting)
            elif isinstance(value, ModuleType):
                if _is_users(value):
                    instances.append(value)
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
            else:
                if isinstance(value, _CONTAINERS):
                    self._items(value, waiting)
                elif isinstance(value, tuple):
                    waiting += filter(_leads_on, value)
                if not is_ours(type(value).__module__):
                    instances.append(value)
                    waiting += _operators(type(value))
        if waiting:
            warnings.warn(
                f"jit: a function leads to more than {_MOST} functions, instances and containers from outside, and "
                "no more are looked at: make an argument of what else it reads and becomes another value",
                stacklevel=2,
            )

    def _items(self, value: Any, waiting: deque[Any]) -> None:
        count = len(value)
        if isinstance(value, set) or not _ITEMS < count <= _AT_ONCE:
            self._take(value, _WHOLE, "items", waiting)
        else:
            self._take(value, _EACH, "items", waiting)
            waiting += filter(_leads_on, _all_of(value))
        if count <= _ITEMS and not isinstance(value, set):
            for key in list(value if hasattr(value, "keys") else range(count)):  # others may add to it
                self._take(value, key, f"[{key!r}]", waiting)

    def _function(self, function: FunctionType, names: set[str], waiting: deque[Any]) -> None:
        code = function.__code__
        mentioned = set(names_of(code))
        if not mentioned.isdisjoint(_BY_STRINGS):
            self._asked |= set(strings_of(code))
            mentioned |= self._asked
        waiting += [*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()]
        places = list(zip(code.co_freevars, function.__closure__ or (), strict=True))
        if is_ours(function.__globals__.get("__name__")):  # of transforms, whose names stay what they are
            waiting += (_at(cell, None) for _, cell in places)
            return
        if not mentioned.isdisjoint(_OF_ALL) or ("getattr" in mentioned and computes_strings(code)):
            names.add(_ANY)
        names |= mentioned
        self._reads.update(reads_of(code))
        if id(function) not in self._roots:
            self._take(function, _Attribute("__code__"), function.__name__, waiting)  # a module that was loaded again
        waiting += imported(function)
        found: list[tuple[Any, Any, str]] = [(cell, None, name) for name, cell in places]
        found += [(function.__globals__, name, name) for name in sorted(mentioned)]
        for container, key, name in found:
            self._take(container, key, name, waiting)
            value = _at(container, key)
            if "getattr" in mentioned:  # by names that stand somewhere else
                texts: Iterable[Any] = [value]
                if isinstance(value, list | tuple | set | frozenset | dict) and len(value) <= _AT_ONCE:
                    texts = value
                names |= {text for text in texts if isinstance(text, str)}

    def _attributes(self, instance: Any, names: set[str], waiting: deque[Any]) -> None:
        kind = instance if isinstance(instance, type) else type(instance)
        own: dict[str, Any] = {} if kind is instance else getattr(instance, "__dict__", {})
        parents: list[type] = [*kind.__mro__, *(type(kind).__mro__ if kind is instance else ())]
        called = getattr(instance, "__name__", None) if isinstance(instance, ModuleType) else kind.__name__
        # there are many names, and nearly all are of other instances
        known = self._known.get(tuple(parents))
        if known is None:
            known = self._known[tuple(parents)] = {name for parent in parents for name in vars(parent)}
        looked_at = (own.keys() if _ANY in names else own.keys() & names) | (known & names) | (self._asked & names)
        done = self._done.setdefault(id(instance), set())
        fresh = sorted(key for key in looked_at - done if isinstance(key, str))
        done |= looked_at
        for name in fresh:
            holders = [parent for parent in parents if name in vars(parent)]
            found = vars(holders[0])[name] if holders else _NOT_THERE
            if name in own:
                plain = _is_read_plainly(kind, name) and not hasattr(type(found), "__set__")
                container, key = (instance, _Attribute(name)) if plain else (own, name)
                self._take(container, key, f"{called}.{name}", waiting)
                if plain:
                    continue
            elif not holders and name in self._asked and isinstance(own, dict) and kind is not instance:
                self._take(own, _Absent(name), f"{called}.{name}", waiting)
            if not holders or is_ours(holders[0].__module__) or _is_librarys(holders[0].__module__):
                continue
            if isinstance(found, MemberDescriptorType) or not hasattr(type(found), "__get__"):
                self._take(instance, _Attribute(name), f"{called}.{name}", waiting)
                continue
            for parent in holders if "super" in names else holders[:1]:
                if (id(parent), name) in self._taken or is_ours(parent.__module__):
                    continue
                self._taken.add((id(parent), name))
                self._places.append((vars(parent), name, f"{parent.__name__}.{name}"))
                self._values.append(vars(parent)[name])
                waiting.append(_called(vars(parent)[name]))

    def _take(self, container: Any, key: Any, name: str, waiting: deque[Any]) -> None:
        """Take note of a place, and have the walk go on from what is there."""
        value = _at(container, key)
        if value is _NOT_THERE or (id(container), key) in self._taken:
            return
        self._taken.add((id(container), key))
        if _stays(value):
            if isinstance(value, type | ModuleType):
                waiting.append(value)
            return
        self._places.append((container, key, name))
        self._values.append(value)
        if _leads_on(value) and key is not _EACH:
            waiting.append(value)


#: How attributes are read where a class does not say: of instances, and of what each thread has.
_PLAIN_READING: tuple[Any, ...] = (object.__getattribute__, threading.local.__getattribute__)


def _is_read_plainly(kind: type, name: str) -> bool:
    return kind.__getattribute__ in _PLAIN_READING and name.isidentifier() and not keyword.iskeyword(name)


def _at(container: Any, key: Any) -> Any:
    try:
        if key is _WHOLE:
            return frozenset(container) if isinstance(container, set) else len(container)
        if key is _EACH:
            return _all_of(container)
        if key is _CONTEXT:
            return container.get()
        if isinstance(key, _Absent):
            return key in container
        if isinstance(key, _Attribute):
            return getattr(container, key)
        if isinstance(container, CellType):
            return container.cell_contents
        if hasattr(type(container), "__missing__"):  # which may add the item
            return container.get(key, _NOT_THERE)
        return container[key]
    except (AttributeError, LookupError, ValueError):  # deleted, or not yet filled
        return _NOT_THERE


def _all_of(container: Any) -> list[Any]:
    """Give all items of a container, and all keys if it has any."""
    return [*container, *container.values()] if hasattr(container, "keys") else list(container)


def _are(some: list[Any], others: list[Any]) -> bool:
    return len(some) == len(others) and all(map(operator.is_, some, others))


def _leads_on(value: Any) -> bool:
    """Tell whether there may be places behind a value."""
    return isinstance(value, tuple) or not isinstance(value, (*_PLAIN, np.ndarray, Variable))


def _is_same(found: Any, value: Any) -> bool:
    """Tell whether a value is what was found before, or a number that equals it."""
    return found is value or (isinstance(value, _PLAIN) and type(found) is type(value) and _equal(found, value))


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
    if isinstance(found, functools.singledispatchmethod):
        return found.dispatcher
    return found


def _operators(kind: type) -> Iterator[Any]:
    """Give what Python calls of a user's class without its name: `__call__`, `__getitem__`, `__add__`."""
    for parent in kind.__mro__:
        if not is_ours(parent.__module__) and not _is_librarys(parent.__module__):
            for name, found in list(vars(parent).items()):
                if name.startswith("__") and name not in _UNREAD and isinstance(found, FunctionType):
                    # what dataclasses write reads all that they have
                    if found.__code__.co_filename != "<string>":
                        yield found


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
