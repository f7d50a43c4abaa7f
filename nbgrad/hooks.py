"""Who wants to see gradients of Variables: hooks, and Variables that retain theirs.

The walk looks here only if there is anybody, so that nobody else pays for it.
"""

from __future__ import annotations

import itertools
import weakref
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .variable import Variable

#: Functions with an output that has hooks or retains its gradient, each with references to these outputs.
watched_functions: Any = weakref.WeakKeyDictionary()
#: Keys of hooks, never used twice.
hook_keys = itertools.count()
#: Whether any leaf ever got a hook.
on_leaves = False


def watch(variable: Variable) -> None:
    """Have the walk look at a Variable when its gradient is complete."""
    global on_leaves
    if variable.creator is None:
        on_leaves = True
        return
    watchers = watched_functions.setdefault(variable.creator, [])
    if all(reference() is not variable for reference in watchers):
        watchers.append(weakref.ref(variable))


def through_hooks(x: Variable, gx: Any, create_graph: bool) -> Any:
    """Show a gradient to a Variable's hooks, and give what they leave of it."""
    for hook in list((x._hooks or {}).values()):
        shown = gx if create_graph else type(x)(gx, requires_grad=False)
        replaced = hook(shown)
        if replaced is not None:
            if not isinstance(replaced, type(x)) or replaced.shape != x.shape or replaced.dtype != x.dtype:
                raise TypeError(
                    f"a hook returned {replaced!r}: it must return None or a Variable of shape {x.shape} and "
                    f"dtype {x.dtype}"
                )
            gx = replaced if create_graph else replaced.data
    return gx
