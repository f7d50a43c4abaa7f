"""The walk back through the graph.

Functions are taken from a heap, highest generation first, so each is met when all cotangents of its outputs have
arrived. Cotangents live in the walk and not on Variables, hence walks may nest and repeat. The first-order walk runs
on plain arrays; with ``create_graph`` the same rules run on Variables and are recorded.
"""

from __future__ import annotations

import _thread
import threading
from collections.abc import Callable, Sequence
from heapq import heappop, heappush
from sys import getrefcount
from typing import Any

import numpy as np

from . import anomaly, hooks, ops
from .arrays import Array, as_array, is_stand_in
from .function import DIFFERENTIABLE, Function
from .grad_mode import set_grad_enabled
from .hooks import through_hooks
from .kernels import devices
from .kernels.forks import hold_over_fork
from .variable import Variable

new = object.__new__

#: Held while gradients are added to `grad`: several threads may walk to the same leaves. While one holds it, a signal's
#: handler may run a walk of its own in it.
_writing = threading.RLock()
hold_over_fork(_writing)

#: How many threads there are besides the first; of an interpreter that does not tell, some.
_other_threads: Callable[[], int] = getattr(_thread, "_count", lambda: 1)

_WATCHED = hooks.watched

_NOTHING: frozenset[Any] = frozenset()  # a set not yet made

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
        _check_targets("backward", targets)
    y = self._array
    start = gradient._array if type(gradient) is Variable else gradient
    # the usual cotangents are known at a glance; _start looks at all others
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
        leaves = _walk((self,), (start,), retain_graph, False, None)
    if hooks.leaves_differ:
        _look_at(leaves, create_graph)
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
                private = not create_graph and getrefcount(gx) <= _ALONE and (gx.base is None or _is_private(gx))
                x.grad = _sum(x, gx, private, create_graph)
                continue
            if getrefcount(gx) > _ALONE or (gx.base is not None and not _is_private(gx)):
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


def _begin(output: Variable, gradient: Any, create_graph: bool, targets: Sequence[Variable] | None) -> Any:
    """Check the cotangent that backward begins with, and that a trace fills no gradients outside of it."""
    start = _start("backward", output, gradient, create_graph)
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


Variable.backward = backward  # type: ignore[method-assign]


def gradients(
    outputs: Sequence[Variable],
    inputs: Sequence[Variable],
    grad_outputs: Sequence[Any],
    retain_graph: bool | None,
    create_graph: bool,
) -> list[Variable | None]:
    """Give the gradients of `outputs` by `inputs`, None where there is no way from one to the other."""
    _check_targets("grad", inputs)
    starts = [_start("grad", y, gy, create_graph) for y, gy in zip(outputs, grad_outputs, strict=True)]
    unused: set[Any] = set()
    leaves, found = walk(outputs, starts, retain_graph, create_graph, inputs, unused)
    if hooks.leaves_differ:
        _look_at(leaves, create_graph)
    results: list[Variable | None] = []
    for x in inputs:
        gx = found.get(x)
        # used, but by Functions that are flat everywhere
        if gx is None and x not in leaves and _place(x) not in unused:
            results.append(_constant(devices.zeros(x.data.shape, x.data.dtype, x.data)))
            continue
        if x in leaves:
            gx = leaves[x]
        # an array may be the caller's own, or go on through the walk, or stand in the results twice
        results.append(gx if gx is None or create_graph else _constant(gx.copy()))
    return results


def _check_targets(what: str, targets: Sequence[Variable]) -> None:
    for position, x in enumerate(targets):
        if not isinstance(x, Variable):
            raise TypeError(f"{what}: input {position} is a {type(x).__name__}; gradients are taken by Variables")
        if x._generation < 0:
            if x.dtype not in DIFFERENTIABLE:
                raise TypeError(
                    f"{what}: input {position} has dtype {x.dtype}, which has no gradients: use float32 or float64"
                )
            raise RuntimeError(
                f"{what}: input {position} does not require a gradient: set requires_grad=True before computing with it"
            )


def _start(what: str, output: Variable, gradient: Any, create_graph: bool) -> Any:
    """Check the cotangent that a walk begins with, or make the default one."""
    if not isinstance(output, Variable):
        raise TypeError(f"{what}: output is a {type(output).__name__}; only Variables have gradients")
    y = output._array
    if output._generation < 0:
        raise RuntimeError(
            f"{what}: nothing to differentiate: this Variable of shape {y.shape} and dtype {y.dtype} was not "
            "computed from one that requires a gradient, or it was under no_grad()"
        )
    if gradient is None:
        if y.size != 1:
            raise RuntimeError(
                f"{what}: an output of shape {y.shape} has no single gradient: reduce it first (y.sum()), or give "
                "the cotangent to start from as gradient=, of the output's shape"
            )
        if isinstance(y, np.ndarray):
            start = np.empty(y.shape, y.dtype)
            start.fill(1)
        elif devices.is_cuda(y):
            start = devices.made(devices.name_of(y), "ones", y.shape, y.dtype)
        else:
            assert is_stand_in(y)
            start = y.filled(1)
        return _constant(start) if create_graph else start
    start = gradient._array if isinstance(gradient, Variable) else as_array(gradient)
    if start.shape != y.shape and not (start.ndim == 0 and y.size == 1):
        raise ValueError(f"{what}: gradient has shape {start.shape}, the output {y.shape}: they must be the same")
    if isinstance(gradient, int | float) and not isinstance(gradient, bool):
        start = devices.made(devices.name_of(y), "full", y.shape, gradient, y.dtype)
    if devices.name_of(start) != devices.name_of(y):
        raise TypeError(
            f"{what}: gradient is on {devices.name_of(start)}, the output on {devices.name_of(y)}: move it with "
            f".to({devices.name_of(y)!r})"
        )
    if start.dtype != y.dtype:
        raise TypeError(
            f"{what}: gradient has dtype {start.dtype}, the output {y.dtype}: convert it with astype({y.dtype})"
        )
    start = start.reshape(y.shape)
    if not create_graph:
        return start
    return gradient if isinstance(gradient, Variable) else Variable(start, requires_grad=False)


def _constant(data: Array) -> Variable:
    """Give a Variable that records nothing, without the checks of its constructor."""
    x = new(Variable)
    x._array = data
    x.creator = None
    x._generation = -1
    return x


def _look_at(leaves: dict[Variable, Any], create_graph: bool) -> None:
    """Show gradients to hooks of leaves, and refuse those for arrays that are not there any more."""
    for x, gx in leaves.items():
        if x._generation < 0:
            continue
        if x._hooks:
            leaves[x] = gx = through_hooks(x._hooks, gx, Variable, create_graph)
        data = x._array
        if gx.shape != data.shape or gx.dtype != data.dtype:
            raise RuntimeError(
                f"a gradient of {gx.dtype} of shape {gx.shape} came back to a Variable whose data is now {data.dtype} "
                f"of shape {data.shape}: it was replaced after the forward computation; compute the output anew"
            )


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
        return _constant(gx if private else gx.copy())
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


def _lonely() -> tuple[int, int]:
    """Find out what the counts of references are where nobody else holds an array, and the base of a view.

    Interpreters differ in how they count the asking. `backward` asks while it runs through a dictionary.
    """
    for _, view in {0: np.zeros(2)[:1]}.items():
        base = view.base
        return getrefcount(view), getrefcount(base)
    raise AssertionError


_ALONE, _BASE_ALONE = _lonely()


def _place(x: Variable) -> Any:
    """Give what tells a Variable from others in a graph, which may hold another object in its place."""
    if x.creator is None:
        return id(x)
    return (x.creator, x._index) if x.creator.multiple else x.creator


def _leading_to(outputs: Sequence[Variable], targets: Sequence[Variable], missing: set[Any]) -> set[Function]:
    """Give the Functions that have one of `targets` among their inputs, or behind them.

    The places of targets that are nowhere are put into `missing`.
    """
    wanted = {_place(x) for x in targets}
    creators = {x.creator for x in targets if x.creator is not None}
    useful: set[Function] = set()
    seen: set[Function] = set()
    freed: Function | None = None
    missing |= wanted - {_place(y) for y in outputs}
    stack = [(y.creator, False) for y in outputs if y.creator is not None]
    while stack:
        function, done = stack.pop()
        inputs = function.inputs
        if inputs is None:
            freed, inputs = function, ()
        if done:
            if any([id(x) in wanted or x.creator in useful or x.creator in creators for x in inputs]):
                useful.add(function)
        elif function not in seen:
            seen.add(function)
            stack.append((function, True))
            stack.extend([(x.creator, False) for x in inputs if x.creator is not None])
            if missing:
                missing.difference_update([_place(x) if x.creator in creators else id(x) for x in inputs])
    if freed is not None and missing:  # the way to what is missing may have led through here
        raise _freed(freed)
    return useful


def _freed(function: Function) -> RuntimeError:
    return RuntimeError(
        f"the graph behind {function!r} was freed by an earlier backward: call that one with "
        "retain_graph=True to walk it again, or compute the output anew"
    )


def walk(
    outputs: Sequence[Variable],
    cotangents: Sequence[Any],
    retain_graph: bool | None,
    create_graph: bool,
    targets: Sequence[Variable] | None,
    unused: set[Any] | None = None,
) -> tuple[dict[Variable, Any], dict[Variable, Any]]:
    """Walk from `outputs` back; gives the gradients of leaves, and those asked for of computed Variables.

    Gradients are arrays, which may be shared, or Variables with `create_graph`. The places of targets that no output
    depends on are put into `unused`.
    """
    if retain_graph is None:
        retain_graph = create_graph
    gate = None
    if targets is not None or _WATCHED:
        gate = _Gate(outputs, targets, create_graph, unused)
    if create_graph:
        with set_grad_enabled(True):
            leaves = _walk(outputs, cotangents, retain_graph, True, gate)
    else:
        leaves = _walk(outputs, cotangents, retain_graph, False, gate)
    if gate is None:
        return leaves, {}
    if targets is not None:
        leaves = {x: leaves[x] for x in targets if x in leaves}
    return leaves, gate.found


def _walk(
    outputs: Sequence[Variable],
    cotangents: Sequence[Any],
    retain_graph: bool | None,
    recorded: bool,
    gate: _Gate | None,
) -> dict[Variable, Any]:
    pending: dict[Function, Any] = {}  # cotangents of the outputs of Functions still to come
    heap: list[tuple[int, int, Function]] = []  # the same Functions, highest generation first
    # While only one Function is to come, as all along a chain, it and its cotangent stay out of the two.
    lone: Any = None
    lone_gy: Any = None
    leaves: dict[Variable, Any] = {}
    owned: Any = _NOTHING  # keys whose array is a sum made here, which may be added to in place
    count = 0
    add = ops.ADDITION.call
    inputs: Any = outputs
    gxs: Any = cotangents
    even = False
    cuda = devices.cuda_seen
    watch = anomaly.Watch() if anomaly.enabled else None
    usual = not (recorded or cuda or watch)
    limited = gate is not None and gate.targets is not None
    first = outputs[0].creator
    if len(outputs) == 1 and first is not None and not first.multiple and gate is None:
        lone, lone_gy = first, cotangents[0]  # checked by _start, so nothing needs to be looked at
        inputs = ()
    while True:
        index = 0
        for x in inputs:
            gx = gxs[index]
            index += 1
            if gx is None:
                continue
            if not even or cuda:
                data = x._array
                # bytes and dimensions tell any difference that broadcasting and promotion can make, at half the price
                if gx.nbytes != data.nbytes or gx.ndim != data.ndim or not gx.nbytes:
                    gx = _fit(gx, data)
                elif cuda and type(gx) is not type(data) and _elsewhere(gx, data):
                    gx = _fit(gx, data)
            key: Any = x.creator
            place: Any
            if key is None:
                if x not in leaves:
                    leaves[x] = gx
                    continue
                place, key = leaves, x
            elif key is lone:
                if key.multiple:
                    _put(lone_gy, x._index, gx)
                else:
                    lone_gy = ops.add(lone_gy, gx) if recorded else add(lone_gy, gx)
                continue
            elif key not in pending:
                if limited and not gate.admits(key):  # type: ignore[union-attr]
                    continue
                if key.multiple:
                    gx = _put([None] * len(key._shapes), x._index, gx)
                if lone is None and not heap:
                    lone, lone_gy = key, gx
                    continue
                if lone is not None:
                    pending[lone] = lone_gy
                    heappush(heap, (-lone.generation, count, lone))
                    lone = None
                    count += 1
                pending[key] = gx
                heappush(heap, (-key.generation, count, key))
                count += 1
                continue
            elif key.multiple:
                _put(pending[key], x._index, gx)
                continue
            else:
                place = pending
            if recorded:
                place[key] = ops.add(place[key], gx)
            elif key in owned:
                total = place[key]
                add(total, gx, total)
            else:
                place[key] = add(place[key], gx)
                if owned is _NOTHING:
                    owned = {key}
                else:
                    owned.add(key)
        if lone is not None:
            function, gy = lone, lone_gy
            lone = lone_gy = None
        elif heap:
            function = heappop(heap)[2]
            gy = pending.pop(function)
        else:
            return leaves
        if gate is not None and (limited or id(function) in _WATCHED):
            gy, goes_on = gate.passes(function, gy)
            if not goes_on:
                inputs = ()
                continue
        inputs = function.inputs
        if inputs is None:
            raise _freed(function)
        try:
            gxs = function.pull(gy) if usual else _pull(function, gy, recorded, watch)
        except Exception as error:
            if function.inputs is None:  # another thread walks the same graph
                raise _freed(function) from error
            raise
        even = function.even
        if not retain_graph:
            function.inputs = None


def _pull(function: Function, gy: Any, recorded: bool, watch: anomaly.Watch | None) -> tuple[Any, ...]:
    """Give the cotangents of a Function's inputs where walks are recorded, on a GPU, or watched."""
    gxs: tuple[Any, ...] = function.pull_graph(gy) if recorded else function.pull_on_gpu(gy)
    if watch is not None:
        watch.look(function, gy, gxs)
    return gxs


def _put(gys: list[Any], index: int, gy: Any) -> list[Any]:
    """Add a cotangent to those of a Function with several outputs."""
    gys[index] = gy if gys[index] is None else ops.add(gys[index], gy)
    return gys


class _Gate:
    """What a walk does besides walking: keeping to the way to its targets, capturing, showing gradients to hooks."""

    def __init__(
        self,
        outputs: Sequence[Variable],
        targets: Sequence[Variable] | None,
        recorded: bool,
        unused: set[Any] | None,
    ) -> None:
        self.targets = None if targets is None else set(targets)
        self.useful = None if targets is None else _leading_to(outputs, targets, set() if unused is None else unused)
        self.captured: dict[Function, list[Variable]] = {}
        self.recorded = recorded
        self.found: dict[Variable, Any] = {}
        for x in targets or ():
            if x.creator is not None:
                self.captured.setdefault(x.creator, []).append(x)

    def admits(self, function: Function) -> bool:
        """Tell whether a Function's cotangent is of use."""
        return self.useful is None or function in self.useful or function in self.captured

    def passes(self, function: Function, gy: Any) -> tuple[Any, bool]:
        """Take note of a complete cotangent; gives it, as hooks left it, and whether the walk goes on behind it."""
        if id(function) in _WATCHED:
            gy = _show(function, gy, self)
        for x in self.captured.get(function, ()):
            gx = gy[x._index] if function.multiple else gy
            if gx is not None:
                self.found[x] = gx
        return gy, self.useful is None or function in self.useful


def _is_private(gx: Array) -> bool:
    """Tell whether an array that only its caller holds shares its memory with nobody.

    Rules hand cotangents through and give views of them; what is to become somebody's `grad` must be theirs alone.
    """
    base = gx.base
    if not devices.is_writeable(gx):  # a broadcast view
        return False
    return base is None or (type(base) is type(gx) and base.base is None and getrefcount(base) <= _BASE_ALONE)


def _elsewhere(gx: Any, data: Array) -> bool:
    """Tell whether a cotangent is on another device than its Variable: a scalar on the CPU took part on a GPU."""
    return devices.is_cuda(gx.data if isinstance(gx, Variable) else gx) != devices.is_cuda(data)


def _fit(gx: Any, data: Array) -> Any:
    """Undo broadcasting and promotion: give the cotangent the shape, dtype and device of its Variable."""
    if gx.shape != data.shape:
        gx = ops.sum_to(gx, data.shape)
    if gx.dtype != data.dtype:
        gx = ops.astype(gx, data.dtype)
    return ops.to(gx, devices.name_of(data)) if devices.cuda_seen and _elsewhere(gx, data) else gx


def _show(function: Function, gy: Any, gate: _Gate) -> Any:
    """Let hooks and retain_grad of a Function's outputs see their gradients."""
    for watcher in function._watchers:
        g = gy[watcher.output] if function.multiple else gy
        if g is None:
            continue
        g = through_hooks(watcher.hooks, g, Variable, gate.recorded)
        if function.multiple:
            gy[watcher.output] = g
        else:
            gy = g
        y = watcher.variable()
        if y is not None and y._retains and gate.targets is None:
            gate.found[y] = g if gate.recorded else g.copy()
    return gy
