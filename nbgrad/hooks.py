"""Who wants to see gradients of Variables: hooks, and Variables that retain theirs.

The walk looks here only if there is anybody, so that nobody else pays for it.
"""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from .kernels import devices

if TYPE_CHECKING:
    from .variable import Variable

    Hooks = dict[int, Callable[[Variable], Variable | None]]

#: Functions with an output that has hooks or retains its gradient, each with references to these outputs.
watched_functions: Any = weakref.WeakKeyDictionary()
#: Keys of hooks, never used twice.
hook_keys = itertools.count()
#: Whether any leaf ever got a hook.
on_leaves = False


class Watcher(NamedTuple):
    """An output's hooks, which outlive it, and the output itself, whose `grad` only matters while somebody has it."""

    output: int
    hooks: Hooks | None
    variable: weakref.ref[Variable]


class Handle:
    """What removes a hook: ``handle.remove()``, or calling it."""

    def __init__(self, hooks: Hooks, key: int) -> None:
        self._hooks, self._key = hooks, key

    def remove(self) -> None:
        """Remove the hook; once is enough."""
        self._hooks.pop(self._key, None)

    __call__ = remove


def watch(variable: Variable) -> None:
    """Have the walk look at a Variable when its gradient is complete."""
    global on_leaves
    if variable.creator is None:
        on_leaves = True
        return
    watchers = watched_functions.setdefault(variable.creator, [])
    for watcher in watchers:
        if watcher.variable() is variable:
            watchers.remove(watcher)
            break
    watchers.append(Watcher(variable._index or 0, variable._hooks, weakref.ref(variable)))


def through_hooks(hooks: Hooks | None, gx: Any, kind: type[Variable], create_graph: bool) -> Any:
    """Show a gradient (an array, or a Variable with `create_graph`) to hooks, and give what they leave of it."""
    for hook in list((hooks or {}).values()):
        replaced = hook(gx if create_graph else kind(gx, requires_grad=False))
        if replaced is not None:
            if not isinstance(replaced, kind) or replaced.shape != gx.shape or replaced.dtype != gx.dtype:
                raise TypeError(
                    f"a hook returned {replaced!r}: it must return None or a Variable of shape {gx.shape} and "
                    f"dtype {gx.dtype}"
                )
            held = gx.data if isinstance(gx, kind) else gx
            if devices.is_cuda(replaced.data) != devices.is_cuda(held):
                raise TypeError(
                    f"a hook returned a Variable on {replaced.device} for a gradient on {devices.name_of(held)}: move "
                    f"it with .to({devices.name_of(held)!r})"
                )
            gx = replaced if create_graph else replaced.data
    return gx
