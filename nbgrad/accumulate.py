"""Writing gradients: from the walk into `grad` of leaves, all of them or none."""

from __future__ import annotations

import _thread
import threading
from collections.abc import Callable, Sequence
from sys import getrefcount
from typing import Any

import numpy as np

from . import hooks, ops
from .arrays import is_stand_in
from .engine import check_targets, look_at, start_of, walk, walk_all
from .function import Function, constant
from .grad_mode import set_grad_enabled
from .kernels.forks import hold_over_fork
from .ownership import ALONE, is_private
from .variable import Variable

new = object.__new__

#: Held while gradients are added to `grad`: several threads may walk to the same leaves. While one holds it, a signal's
#: handler may run a walk of its own in it.
_writing = threading.RLock()
hold_over_fork(_writing)

#: How many threads there are besides the first; of an interpreter that does not tell, some.
_other_threads: Callable[[], int] = getattr(_thread, "_count", lambda: 1)

_WATCHED = hooks.watched

#: The cotangent of a scalar to start from.
_ONES = {char: np.ones((), char) for char in "fd"}
for one in _ONES.values():
    one.flags.writeable = False


def backward(
    self: Variable,
    gradient: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    inputs: Variable | Sequence[Variable] | None = None,
) -> None:
    """Add the gradient of this Variable to `grad` of the leaves it was computed from.

    `gradient` is the cotangent to start from, of this Variable's shape (default: 1, for one element). The graph is
    freed on the way unless `retain_graph` (default: `create_graph`). With `create_graph` the gradients can be
    differentiated themselves. `inputs` limits the work to these Variables.

    Raises RuntimeError where there is nothing to differentiate, for a graph already freed, and without a
    gradient for anything but one element; ValueError and TypeError for a gradient of another shape or dtype.
    """
    targets = None
    if inputs is not None:
        targets = [inputs] if isinstance(inputs, Variable) else list(inputs)
        if not targets:
            raise ValueError("backward: inputs is empty: name the Variables to differentiate by, or leave it out")
        check_targets("backward", targets)
    y = self._array
    start = gradient._array if type(gradient) is Variable else gradient
    # the usual cotangents are known at a glance; start_of looks at all others
    if create_graph or self._generation < 0:
        start = _begin(self, gradient, create_graph, targets)
    elif start is None and y.ndim == 0 and isinstance(y, np.ndarray):
        start = _ONES[y.dtype.char]
    elif type(start) is not type(y) or start.dtype is not y.dtype or start.shape != y.shape:
        start = _begin(self, gradient, create_graph, targets)
    found: dict[Variable, Any] | None = None
    if create_graph or targets is not None or _WATCHED:
        leaves, found = walk((self,), (start,), retain_graph, create_graph, targets)
    else:
        leaves = walk_all((self,), (start,), retain_graph, False, None)
    if hooks.leaves_differ:
        look_at(leaves, create_graph)
    del start, gradient  # whoever still holds an array from here on is somebody else
    if found:
        leaves |= found
    x: Any = None
    before: dict[Variable, Variable | None] = {}
    locked = False
    try:
        # a lock costs as much as a kernel, and keeps nobody out where there is one thread
        if _other_threads() > 0:
            locked = True
            _writing.acquire()
        for x, gx in leaves.items():
            if x.grad is not None or create_graph or x._generation < 0:
                before[x] = x.grad  # ahead of any call, where an interrupt may come
                private = not create_graph and getrefcount(gx) <= ALONE and (gx.base is None or is_private(gx))
                x.grad = _sum(x, gx, private, create_graph)
                continue
            if getrefcount(gx) > ALONE or (gx.base is not None and not is_private(gx)):
                gx = gx.copy()
            grad = new(Variable)
            grad._array = gx
            grad.creator = None
            grad._generation = -1
            x.grad = grad
    except BaseException:  # an interrupt, too: either all gradients are added or none
        if x is not None:
            _take_back(leaves, x, before)
        raise
    finally:
        if locked:
            try:  # the first call here, so that no interrupt comes before it
                _writing.release()
            except RuntimeError:  # one came before it was acquired
                pass
    if hooks.after_writing:
        hooks.show_written(list(leaves))


def register_post_accumulate_grad_hook(self: Variable, hook: Callable[[Variable], Any]) -> hooks.Handle:
    """Call `hook` with this leaf whenever backward has written its `grad`, as for a step of its own optimiser.

    Hooks run when backward has written the gradients of all leaves, so that a hook may write over its leaf; what they
    give is not looked at. Gives a handle whose ``remove()`` removes the hook. Raises RuntimeError for what is no leaf
    that requires a gradient, TypeError for what is no function.

    >>> import nbgrad
    >>> x = nbgrad.tensor([1.0, 2.0], requires_grad=True)
    >>> step = nbgrad.optim.SGD([x], lr=0.1)
    >>> handle = x.register_post_accumulate_grad_hook(lambda leaf: (step.step(), step.zero_grad()))
    >>> (x * x).sum().backward()
    >>> x, x.grad
    (Variable([0.8, 1.6]), None)
    """
    if self.creator is not None or self._generation < 0:
        what = "does not require a gradient" if self._generation < 0 else "was computed from others"
        raise RuntimeError(f"register_post_accumulate_grad_hook: takes leaves that require a gradient; this one {what}")
    if not callable(hook):
        raise TypeError(f"register_post_accumulate_grad_hook: takes a function of a leaf, got {type(hook).__name__}")
    return hooks.call_after(self, hook)


def _begin(output: Variable, gradient: Any, create_graph: bool, targets: Sequence[Variable] | None) -> Any:
    """Check the cotangent that backward begins with, and that a trace fills no gradients outside of it."""
    start = start_of("backward", output, gradient, create_graph)
    if not is_stand_in(output._array):
        return start
    reached = list(targets or ())
    seen: set[Function] = set()
    stack = [] if targets is not None else [output]
    while stack:
        x = stack.pop()
        if x.creator is None:
            reached.append(x)
        elif x.creator not in seen:
            seen.add(x.creator)
            stack.extend(y for y in x.creator.inputs or () if y._generation >= 0)
    for x in reached:
        if not is_stand_in(x._array):
            raise TypeError(
                f"backward: while a function is traced by jit, it would fill grad of a Variable of shape {x.shape} "
                "that is no argument, which no run would do again: take nbgrad.grad or nbgrad.autograd.grad and return "
                "what they give"
            )
    return start


def _take_back(leaves: dict[Variable, Any], last: Variable, before: dict[Variable, Variable | None]) -> None:
    """Give the Variables up to the last one the gradients that they had: None, unless `before` knows of another."""
    for x in leaves:
        x.grad = before.get(x)
        if x is last:
            return


def _sum(x: Variable, gx: Any, private: bool, create_graph: bool) -> Variable | None:
    """Give what becomes `grad` of x: a finished gradient, added to the one that x has, if any.

    `private`: nobody else holds the array, so that the sum may take its place.
    """
    held: Any = x.grad
    if x._generation < 0:
        return held  # it stopped requiring one
    if create_graph:
        with set_grad_enabled(True):
            total: Variable = ops.clone(gx) if held is None else ops.add(_checked(x, held), gx)
            return total
    if held is None:
        return constant(gx if private else gx.copy())
    data = x._array
    if type(held) is not Variable or held._array.shape != data.shape or held._array.dtype != data.dtype:
        _checked(x, held)
    add = ops.ADDITION.call
    total = new(Variable)
    total._array = add(held._array, gx, gx) if private else add(held._array, gx)
    total.creator = None
    total._generation = -1
    return total


def _checked(x: Variable, held: Any) -> Variable:
    """Give what stands in `grad` of x, unless somebody has put something else there than a gradient of x."""
    if not isinstance(held, Variable):
        raise TypeError(
            f"backward: grad of a Variable of shape {x.shape} was set to {type(held).__name__}: it is None or a "
            "Variable; x.grad = None forgets a gradient, nbgrad.tensor(array) makes a Variable"
        )
    if held.shape != x.shape or held.dtype != x.dtype or held.device != x.device:
        raise ValueError(
            f"backward: grad was set to a Variable of {held.dtype}, shape {held.shape}, on {held.device}; the Variable "
            f"has {x.dtype}, shape {x.shape}, on {x.device}: they must be the same"
        )
    return held


Variable.backward = backward  # type: ignore[assignment, method-assign]
Variable.register_post_accumulate_grad_hook = (  # type: ignore[method-assign]
    register_post_accumulate_grad_hook  # type: ignore[assignment]
)
