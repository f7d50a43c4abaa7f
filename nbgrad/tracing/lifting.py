"""What a traced function changes in place: the parameters and buffers of modules, and what optimisers keep.

They are arguments that nobody gives: whatever modules and optimisers the function mentions, all their Variables stand
for arguments while it is traced, are given at every run as they are then, and take what the function left in them.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from ..arrays import is_stand_in
from ..kernels.target import Compiler
from ..variable import Variable
from .purity import mentioned

#: What a Variable is besides its array, which a traced function may change.
_KEPT = ("_array", "creator", "_generation", "_story", "grad")


def found(roots: Iterable[Any]) -> tuple[list[Any], list[Any]]:
    """Give the modules and the optimisers that functions and other values mention."""
    modules, optimisers = (sys.modules.get(f"nbgrad.{name}") for name in ("nn.modules.module", "optim.optimizer"))
    if modules is None:
        return [], []
    kinds = (modules.Module,) + (() if optimisers is None else (optimisers.Optimizer,))
    values = mentioned(roots, kinds)
    own = [value for value in values if isinstance(value, modules.Module)]
    return own, [value for value in values if not isinstance(value, modules.Module)]


class Settings:
    """What a function read of modules, besides arrays, while it was traced: numbers, names, functions.

    What it changes itself is left out, since no run changes it again.
    """

    def __init__(self) -> None:
        #: By modules' identities, the names of what was read, and of what was changed.
        self.read: dict[int, set[str]] = {}
        self._own: dict[int, set[str]] = {}

    def of(self, module: Any) -> tuple[Any, ...]:
        """Give what a module has for that."""
        values = vars(module)
        names = sorted(self.read.get(id(module), ()))
        is_setting = sys.modules["nbgrad.nn.modules.module"].is_setting
        # what took a setting's place is of another type, and watched as what names from outside stand for
        return tuple([(n, type(v), v if is_setting(v) else None) for n in names for v in [values.get(n)]])

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Take note of what is read of modules."""
        found: list[tuple[Any, str, Any]] = []
        with _watching:
            _notes.append(found)
            sys.modules["nbgrad.nn.modules.module"].Module.__getattribute__ = _noting
        try:
            yield
        finally:
            with _watching:
                _notes.remove(found)
                if not _notes:
                    del sys.modules["nbgrad.nn.modules.module"].Module.__getattribute__
            for module, name, value in found:
                if vars(module).get(name, self) is not value:
                    self._own.setdefault(id(module), set()).add(name)
            for module, name, _ in found:
                if name not in self._own.get(id(module), ()):
                    self.read.setdefault(id(module), set()).add(name)


_watching = threading.Lock()
#: Where to note what is read of modules, for each function that is being traced.
_notes: list[list[tuple[Any, str, Any]]] = []


def _noting(module: Any, name: str) -> Any:
    value = object.__getattribute__(module, name)
    if name in object.__getattribute__(module, "__dict__") and sys.modules["nbgrad.nn.modules.module"].is_setting(
        value
    ):
        for found in _notes:
            found.append((module, name, value))
    return value


def _is_traced(x: Any) -> bool:
    return isinstance(x, Variable) and is_stand_in(x._array)


class State:
    """The modules and optimisers that a traced function mentions, as they were when it was traced."""

    def __init__(self, modules: list[Any], optimisers: list[Any], settings: Settings) -> None:
        self.modules, self.optimisers, self.settings = modules, optimisers, settings
        self._changed = sys.modules["nbgrad.nn.modules.hooks"].changed
        self._seen = self._changed[0]
        listed = [x for part in optimisers for x in part.lifted()]
        for module in modules:
            listed += [*module.parameters(), *module.buffers()]
        self.variables: list[Variable] = list({id(x): x for x in listed}.values())
        self.key = self._key()
        self._fits: Callable[..., bool] | None = None

    def _key(self) -> Any:
        """Give what tells this state from another one, for which the function has to be traced anew."""
        parts = [
            (
                *(id(part), vars(part).get("forward"), part.training),
                *(tuple(part._pre_hooks), tuple(part._hooks), self.settings.of(part)),
            )
            for module in self.modules
            for part in module.modules()
        ]
        optimisers = tuple([part.layout() for part in self.optimisers])
        each = [
            (id(x), x._generation >= 0, None if x._hooks is None else tuple(x._hooks), x.shape, x.dtype.char)
            for x in self._listed()
        ]
        return tuple(parts), optimisers, tuple(each)

    def _extent(self) -> list[tuple[int, ...]]:
        return [part.extent() for part in self.optimisers]

    def _listed(self) -> Iterator[Variable]:
        for module in self.modules:
            yield from module.parameters()
            yield from module.buffers()
        for part in self.optimisers:
            yield from part.lifted()

    def watch(self, compiler: Compiler) -> None:
        """Find a quick test of the arrays, and take note of what was read besides them."""
        self.key = self._key()
        self._extents = self._extent()
        self._fits = compiler.fits([x._array for x in self.variables])

    def holds(self) -> bool:
        """Tell whether everything is as it was, but for the elements."""
        if self._changed[0] != self._seen or self._extent() != self._extents:
            if self._key() != self.key:
                return False
            self._seen = self._changed[0]
            self._extents = self._extent()
        return self._fits is not None and self._fits(*[x._array for x in self.variables])

    @contextmanager
    def standing_for(self, symbols: list[Any]) -> Iterator[None]:
        """Have the Variables stand for arguments; afterwards they are what they were."""
        before = [(x.__class__, [getattr(x, name) for name in _KEPT]) for x in self.variables]
        self._held = self._slots()
        #: The Variables whose gradients the function forgets.
        self.forgotten: set[int] = set()
        forgetting = sys.modules["nbgrad.nn.modules.hooks"].forgetting
        forgetting.append(self.forgotten)
        try:
            for x, symbol in zip(self.variables, symbols, strict=True):
                x._array, x.grad = symbol, None
            yield
        finally:
            forgetting.remove(self.forgotten)
            for x, (kind, values) in zip(self.variables, before, strict=True):
                x.__class__ = kind
                for name, value in zip(_KEPT, values, strict=True):
                    setattr(x, name, value)
            for held, name, x in self._held:
                held[name] = x
            for held, name, x in self._slots():
                if _is_traced(x):  # a new one
                    del held[name]

    def _slots(self) -> list[tuple[dict[str, Any], str, Any]]:
        """Give what modules have by which names: the dict, the name, and the Variable there, or None."""
        parts = {id(part): part for module in self.modules for part in module.modules()}.values()
        return [(held, n, x) for part in parts for held in (part._parameters, part._buffers) for n, x in held.items()]

    def assigned(self) -> dict[int, Any]:
        """Give what a traced function has put in Variables' places, ``self.mean = 0.9 * self.mean``, by their ids."""
        places = {id(x): 0 for x in self.variables}
        for _, _, x in self._held:
            if id(x) in places:
                places[id(x)] += 1
        before = {(id(held), name): x for held, name, x in self._held}
        found: dict[int, Any] = {}
        for held, name, new in self._slots():
            old = before.get((id(held), name))
            if new is old or new is None:
                continue
            fits = old is not None and places[id(old)] == 1 and new.shape == old.shape and new.dtype == old.dtype
            if fits:
                found[id(old)] = new
            elif _is_traced(new):
                was = "nothing" if old is None else f"of shape {old.shape} and dtype {old.dtype}"
                raise TypeError(
                    f"jit: the traced function put an array of shape {new.shape} and dtype {new.dtype} where the "
                    f"buffer {name!r} was {was}, which no run would do again: have a buffer of that shape and dtype, "
                    "that no other name stands for, before the call, or return the array"
                )
        return found
