"""Who wants to see gradients of Variables: hooks, and Variables that retain theirs.

The walk looks here only if there is anybody, so that nobody else pays for it.
"""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from .kernels import placement

if TYPE_CHECKING:
    from .function import Function
    from .variable import Variable

    Hooks = dict[int, Callable[[Variable], Variable | None]]

#: Functions with an output that has hooks or retains its gradient, by their ids. Their `_watchers` know what is wanted:
#: hooks may refer to all of the graph, which must not be reached from here.
watched: dict[int, weakref.ref[Function]] = {}
#: Keys of hooks, never used twice.
hook_keys = itertools.count()
#: Whether the walk must look at leaves before it writes their gradients: one got a hook, or an array of another shape.
leaves_differ = False
#: What is called with leaves after their gradients were written, by the leaves' ids: hardly any leaf has such hooks, so
#: that it has no place for them.
after_writing: dict[int, tuple[weakref.ref[Variable], Hooks]] = {}

#: Called when a leaf has come to require a gradient, or none, or has got a hook, or lost one.
leaf_changed: list[Callable[[], None]] = []


def tell_of_leaf() -> None:
    """Tell whoever compiled what leaves were."""
    for notice in leaf_changed:
        notice()


class Watcher(NamedTuple):
    """An output's hooks, which outlive it, and the output itself, whose `grad` only matters while somebody has it."""

    output: int
    hooks: Hooks | None
    variable: Callable[[], Variable | None]


class Handle:
    """What removes a hook: ``handle.remove()``, or calling it."""

    def __init__(self, hooks: Hooks, key: int) -> None:
        self._hooks, self._key = hooks, key

    def remove(self) -> None:
        """Remove the hook; once is enough."""
        self._hooks.pop(self._key, None)
        tell_of_leaf()

    __call__ = remove


def look_at_leaves() -> None:
    """Have walks look at leaves from now on."""
    global leaves_differ
    leaves_differ = True


def call_after(variable: Variable, hook: Callable[[Variable], Any]) -> Handle:
    """Have a leaf shown to a hook after its gradient was written."""
    key = id(variable)
    if key not in after_writing:
        forget = after_writing.pop  # which outlives the names of this file
        after_writing[key] = weakref.ref(variable, lambda _: forget(key, None)), {}
    hooks = after_writing[key][1]
    number = next(hook_keys)
    hooks[number] = hook
    return Handle(hooks, number)


def show_written(leaves: list[Variable]) -> None:
    """Call the hooks that wait for gradients of leaves to be written, of one leaf after the other."""
    for x in leaves:
        _, hooks = after_writing.get(id(x), (None, {}))
        for hook in list(hooks.values()):
            hook(x)


def watch(variable: Variable) -> None:
    """Have the walk look at a Variable when its gradient is complete."""
    function = variable.creator
    if function is None:
        look_at_leaves()
        tell_of_leaf()
        return
    key = id(function)
    if key not in watched:
        function._watchers = []
        watched[key] = weakref.ref(function, lambda _: watched.pop(key, None))
    watchers = function._watchers
    for watcher in watchers:
        if watcher.variable() is variable:
            watchers.remove(watcher)
            break
    watchers.append(Watcher(variable._index or 0, variable._hooks, weakref.ref(variable)))


def leave_behind(variable: Variable, before: Function | None) -> None:
    """Leave the hooks of a Variable that was written to with what it was before; it still retains its gradient."""
    if before is not None and id(before) in watched:
        before._watchers = [
            watcher._replace(variable=_nobody) if watcher.variable() is variable else watcher
            for watcher in before._watchers
        ]
        variable._hooks = None
    if variable._retains:
        watch(variable)


def _nobody() -> None:
    return None


def through_hooks(hooks: Hooks | None, gx: Any, kind: type[Variable], create_graph: bool) -> Any:
    """Show a gradient (an array, or a Variable with `create_graph`) to hooks, and give what they leave of it."""
    for hook in list((hooks or {}).values()):
        try:
            replaced = hook(gx if create_graph else kind(gx, requires_grad=False))
        except RecursionError:
            raise RecursionError(
                f"a hook on a Variable of shape {gx.shape} runs backward to that Variable again, which calls the hook: "
                "take the gradient of something else in it, or remove the hook first"
            ) from None
        if replaced is not None:
            if not isinstance(replaced, kind) or replaced.shape != gx.shape or replaced.dtype != gx.dtype:
                raise TypeError(
                    f"a hook returned {replaced!r}: it must return None or a Variable of shape {gx.shape} and "
                    f"dtype {gx.dtype}"
                )
            held = gx.data if isinstance(gx, kind) else gx
            places = placement.parted(replaced.data, held)
            if places is not None:
                here, there = places
                raise TypeError(
                    f"a hook returned a Variable on {here} for a gradient on {there}: move it with .to({there!r})"
                )
            gx = replaced if create_graph else replaced.data
    return gx
