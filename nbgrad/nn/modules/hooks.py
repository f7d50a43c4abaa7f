"""Hooks of modules: functions that see what goes in and out."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

from ...function import Function
from ...hooks import leaf_changed
from ...ops.creation import zeros_like
from ...variable import Variable, as_variable

#: How often a module has got another parameter, buffer, part, mode, setting or hook, or a leaf has come to require a
#: gradient or none, or got a hook: what was compiled looks here.
changes = itertools.count(1)
changed = [0]


def _note() -> None:
    changed[0] = next(changes)


leaf_changed.append(_note)

#: Sets of the ids of Variables whose gradients were forgotten, one for each function that is being traced.
forgetting: list[set[int]] = []


def forget(x: Variable, set_to_none: bool) -> None:
    """Forget a gradient, or make it zero."""
    for ids in forgetting:
        ids.add(id(x))
    if x.grad is not None:
        x.grad = None if set_to_none else zeros_like(x.grad)


_keys = itertools.count()


def hooked(held: dict[int, Any], hook: Any, prepend: bool, named: bool, *others: Any) -> Any:
    if not callable(hook):
        raise TypeError(f"a hook is a function, got {type(hook).__name__}")
    key = next(_keys)
    entry: Any = {key: (hook, named)}
    if prepend:
        kept = dict(held)
        held.clear()
        held.update(entry | kept)
    else:
        held.update(entry)
    changed[0] = next(changes)
    return Removable(held, key, *others)


class Removable:
    """What takes a hook off again: `remove`, or the end of ``with``."""

    def __init__(self, held: dict[int, Any], key: int, *others: Removable) -> None:
        self._held, self._key, self._others = held, key, others

    def remove(self) -> None:
        """Take the hook off."""
        self._held.pop(self._key, None)
        for other in self._others:
            other.remove()
        changed[0] = next(changes)

    def __enter__(self) -> Removable:
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()


class _Passed(Function):
    """Hands Variables on as they are, and shows their gradients to a function, which may give others."""

    batches = True

    def __init__(self, look: Callable[[tuple[Variable, ...]], Any]) -> None:
        self.look = look

    def forward(self, *xs: Any) -> Any:
        return xs

    def vjp(self, gy: Any, y: Any, *xs: Any) -> Any:
        gys = tuple(map(as_variable, gy if self.multiple else [gy]))
        return self.look(gys) or gys


class _Entered(_Passed):
    """Stands before a module, and remembers what came out behind it."""

    outgoing: tuple[Any, ...] = ()


def _shown(values: Any, node: _Passed) -> tuple[Any, list[int]]:
    """Hand those of some values that require gradients through a node: the values with them, and where they are."""
    single = not isinstance(values, tuple | list)
    found = [values] if single else list(values)
    where = [k for k, x in enumerate(found) if isinstance(x, Variable) and x.requires_grad]
    if where:
        given = node(*[found[k] for k in where])
        for k, x in zip(where, given if isinstance(given, tuple | list) else [given], strict=True):
            found[k] = x
    return (found[0] if single else type(values)(found)), where


def _among(count: int, where: list[int], gradients: tuple[Any, ...]) -> tuple[Any, ...]:
    every: list[Any] = [None] * count
    for k, g in zip(where, gradients, strict=True):
        every[k] = g
    return tuple(every)


def _chosen(given: Any, where: list[int]) -> tuple[Any, ...] | None:
    """Choose of what a hook gave, None or a gradient for each value, what belongs to the places that have one."""
    if given is None:
        return None
    every = given if isinstance(given, tuple | list) else (given,)
    return tuple(as_variable(every[k]) for k in where)


def _count(values: Any) -> int:
    return len(values) if isinstance(values, tuple | list) else 1


def backward_hooks(module: Any, hook: Any) -> tuple[Any, Any]:
    """Make a hook for before `forward` and one for after it, of one that sees the gradients of what goes in and out."""

    def before(module: Any, inputs: tuple[Any, ...], options: Any) -> Any:
        count, where = len(inputs), [k for k, x in enumerate(inputs) if isinstance(x, Variable) and x.requires_grad]

        def look(gradients: tuple[Variable, ...]) -> Any:
            outgoing, node.outgoing = node.outgoing, ()
            return _chosen(hook(module, _among(count, where, gradients), outgoing), where)

        node = _Entered(look)
        node.hook = hook  # type: ignore[attr-defined]
        return _shown(inputs, node)[0], options

    def after(module: Any, inputs: tuple[Any, ...], options: Any, result: Any) -> Any:
        creators = [x.creator for x in inputs if isinstance(x, Variable)]
        entered = next((f for f in creators if isinstance(f, _Entered) and f.hook is hook), None)  # type: ignore[attr-defined]
        where: list[int] = []

        def look(gradients: tuple[Variable, ...]) -> None:
            outgoing = _among(_count(result), where, gradients)
            if entered is None:  # nothing that went in has a gradient to wait for
                hook(module, (None,) * len(inputs), outgoing)
            else:
                entered.outgoing = outgoing

        shown, where[:] = _shown(result, _Passed(look))
        return shown

    return before, after


def backward_pre_hook(hook: Any) -> Any:
    """Make a hook for after `forward` of one that sees the gradients of what comes out, before `backward` uses them."""

    def after(module: Any, inputs: tuple[Any, ...], options: Any, result: Any) -> Any:
        where: list[int] = []

        def look(gradients: tuple[Variable, ...]) -> Any:
            return _chosen(hook(module, _among(_count(result), where, gradients)), where)

        shown, where[:] = _shown(result, _Passed(look))
        return shown

    return after
