"""The walk back through the graph.

Functions are taken from a heap, highest generation first, so each is met when all cotangents of its outputs have
arrived. Cotangents live in the walk and not on Variables, hence walks may nest and repeat. The first-order walk runs
on plain arrays; with ``create_graph`` the same rules run on Variables and are recorded.
"""

from __future__ import annotations

from collections.abc import Sequence
from heapq import heappop, heappush
from sys import getrefcount
from typing import Any

import numpy as np

from . import anomaly, arrays, history, hooks, ops
from .arrays import Part, as_array
from .function import DIFFERENTIABLE, Function, constant
from .grad_mode import set_grad_enabled
from .hooks import through_hooks
from .kernels import dispatch, placement
from .ownership import ALONE, is_private
from .pruning import Gate, freed, place
from .variable import Variable

_WATCHED = hooks.watched

_NOTHING: frozenset[Any] = frozenset()  # a set not yet made


def gradients(
    outputs: Sequence[Variable],
    inputs: Sequence[Variable],
    grad_outputs: Sequence[Any],
    retain_graph: bool | None,
    create_graph: bool,
) -> list[Variable | None]:
    """Give the gradients of `outputs` by `inputs`, None where there is no way from one to the other."""
    if history.writes:
        outputs, inputs = ([x._current() if isinstance(x, Variable) else x for x in xs] for xs in (outputs, inputs))
    check_targets("grad", inputs)
    starts = [start_of("grad", y, gy, create_graph) for y, gy in zip(outputs, grad_outputs, strict=True)]
    unused: set[Any] = set()
    leaves, found = walk(outputs, starts, retain_graph, create_graph, inputs, unused)
    if hooks.leaves_differ:
        look_at(leaves, create_graph)
    if not create_graph:
        del starts
        _make_private(leaves)
        _make_private(found)
    results: list[Variable | None] = []
    given: set[int] = set()
    for x in inputs:
        gx = found.get(x)
        # used, but by Functions that are flat everywhere
        if gx is None and x not in leaves and place(x) not in unused:
            results.append(constant(dispatch.zeros(x.data.shape, x.data.dtype, x.data)))
            continue
        if x in leaves:
            gx = leaves[x]
        if gx is None or create_graph:
            results.append(gx)
            continue
        # one that is asked for twice must not change with the other
        results.append(constant(gx.copy() if id(gx) in given else gx))
        given.add(id(gx))
    return results


def _make_private(gradients: dict[Variable, Any]) -> None:
    """Copy gradients that somebody else holds: the caller's own array, or one that stands in the results twice."""
    gx: Any
    for x, gx in gradients.items():
        if getrefcount(gx) > ALONE or (gx.base is not None and not is_private(gx)):
            gradients[x] = gx.copy()


def check_targets(what: str, targets: Sequence[Variable]) -> None:
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


def start_of(what: str, output: Variable, gradient: Any, create_graph: bool) -> Any:
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
        start = dispatch.filled(y, 1)
        return constant(start) if create_graph else start
    if type(gradient) is Variable and type(gradient._array) is np.ndarray is type(y):
        start = gradient._array
        if start.shape == y.shape and start.dtype == y.dtype:
            return gradient if create_graph else start
    start = gradient._array if isinstance(gradient, Variable) else as_array(gradient)
    if start.shape != y.shape and not (start.ndim == 0 and y.size == 1):
        raise ValueError(f"{what}: gradient has shape {start.shape}, the output {y.shape}: they must be the same")
    if isinstance(gradient, int | float) and not isinstance(gradient, bool):
        start = dispatch.filled(y, gradient)
    places = placement.parted(start, y)
    if places is not None:
        here, there = places
        raise TypeError(f"{what}: gradient is on {here}, the output on {there}: move it with .to({there!r})")
    if start.dtype != y.dtype:
        raise TypeError(
            f"{what}: gradient has dtype {start.dtype}, the output {y.dtype}: convert it with astype({y.dtype})"
        )
    start = start.reshape(y.shape)
    if not create_graph:
        return start
    return gradient if isinstance(gradient, Variable) else Variable(start, requires_grad=False)


def look_at(leaves: dict[Variable, Any], create_graph: bool) -> None:
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
        gate = Gate(outputs, targets, create_graph, unused)
    if create_graph:
        with set_grad_enabled(True):
            leaves = walk_all(outputs, cotangents, retain_graph, True, gate)
    else:
        leaves = walk_all(outputs, cotangents, retain_graph, False, gate)
    if gate is None:
        return leaves, {}
    if targets is not None:
        leaves = {x: leaves[x] for x in targets if x in leaves}
    return leaves, gate.found


def walk_all(
    outputs: Sequence[Variable],
    cotangents: Sequence[Any],
    retain_graph: bool | None,
    recorded: bool,
    gate: Gate | None,
) -> dict[Variable, Any]:
    pending: dict[Function, Any] = {}  # cotangents of the outputs of Functions still to come
    heap: list[tuple[int, int, Function]] = []  # the same Functions, highest generation first
    # While only one Function is to come, as all along a chain, it and its cotangent stay out of the two.
    lone: Any = None
    lone_gy: Any = None
    leaves: dict[Variable, Any] = {}
    owned: Any = _NOTHING  # keys whose array is a sum made here, which may be added to in place
    count = 0
    add, add_up = ops.ADDITION.call, ops.ADDITION.pull  # which keeps one number that a view repeats to be one
    inputs: Any = outputs
    gxs: Any = cotangents
    even = False
    # NumPy's scalars take part on any target, where their cotangents then are; and what is the same for all examples
    # in what differs from one to the next
    moves = bool(placement.away or arrays.levels)
    watch = anomaly.Watch() if anomaly.enabled else None
    usual = not (recorded or moves or watch)
    latest = history.writes * history.CLOCK  # nodes of that generation, and of later ones, came after all writes
    quick = usual and not latest
    limited = gate is not None and gate.targets is not None
    first = outputs[0].creator
    stop = gate if gate is not None and (gate.captured or _WATCHED) else None  # what notes anything on the way
    if len(outputs) == 1 and first is not None and not first.multiple and (gate is None or gate.admits(first)):
        lone, lone_gy = first, cotangents[0]  # checked by start_of, so nothing needs to be looked at
        inputs = ()
    while True:
        index = 0
        for x in inputs:
            gx = gxs[index]
            index += 1
            if gx is None:
                continue
            if not even or moves:
                data = x._array
                # bytes and dimensions tell any difference that broadcasting and promotion can make, at half the price
                if gx.nbytes != data.nbytes or gx.ndim != data.ndim or not gx.nbytes:
                    if type(gx) is Part:
                        source = x.creator
                        owner: Any = x if source is None else source
                        total = leaves.get(x) if source is None else lone_gy if owner is lone else pending.get(owner)
                        if total is not None and (not moves or type(total) is type(gx.gy)):
                            if owner in owned or (getrefcount(total) <= _THE_WALKS and _is_own(total)):
                                gx.add_to(total)
                                continue
                        gx = gx.whole()
                        if total is None and (source is None or not source.multiple):
                            owned = {*owned, owner}
                    gx = fit(gx, data)
                elif moves and type(gx) is not type(data):
                    gx = fit(gx, data)
            key: Any = x.creator
            table: Any
            if key is None:
                if x not in leaves:
                    leaves[x] = gx
                    continue
                table, key = leaves, x
            elif key is lone:
                if key.multiple:
                    _put(lone_gy, x._index, gx)
                else:
                    lone_gy = ops.add(lone_gy, gx) if recorded else add_up(lone_gy, gx)
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
                    lone = lone_gy = None
                    count += 1
                pending[key] = gx
                heappush(heap, (-key.generation, count, key))
                count += 1
                continue
            elif key.multiple:
                _put(pending[key], x._index, gx)
                continue
            else:
                table = pending
            if recorded:
                table[key] = ops.add(table[key], gx)
            elif key in owned and (not moves or type(gx) is type(table[key])):
                total = table[key]
                add(total, gx, total)
            else:
                table[key] = total = add_up(table[key], gx)
                if type(total) is np.ndarray and total.base is not None:
                    continue
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
            return leaves if quick else history.leaves_now(leaves, ops.add if recorded else add)
        if stop is not None and (limited or id(function) in _WATCHED):
            gy, goes_on = stop.passes(function, gy)
            if not goes_on:
                inputs = ()
                continue
        inputs = function.inputs
        if inputs is None:
            raise freed(function)
        try:
            gx = gxs = total = None  # a rule may write into a cotangent that nobody else has
            if quick:
                gxs = function.pull(gy)
            elif usual:
                if function.generation < latest:
                    inputs = history.as_recorded(function)
                gxs = function.pull(gy)
            else:
                inputs, gxs = _pull(function, gy, recorded, watch)
        except Exception as error:
            if function.inputs is None:  # another thread walks the same graph
                raise freed(function) from error
            raise
        even = function.even
        if not retain_graph:
            function.inputs = None


def _count_of_the_walks() -> int:
    """Find out what the count of references is of a cotangent that nobody but the walk has, asked as the walk does."""
    pending = {0: np.zeros(2)}
    total = pending.get(0)
    return getrefcount(total)


_THE_WALKS = _count_of_the_walks()


def _is_own(array: Any) -> bool:
    """Tell whether an array that nobody else holds has memory of its own."""
    return type(array) is np.ndarray and array.base is None and array.flags.writeable


def _pull(function: Function, gy: Any, recorded: bool, watch: anomaly.Watch | None) -> tuple[Any, tuple[Any, ...]]:
    """Give a Function's inputs and their cotangents in walks that are recorded, watched or elsewhere."""
    inputs = history.as_recorded(function)
    gxs: tuple[Any, ...] = function.pull_graph(gy) if recorded else function.pull_elsewhere(gy)
    if watch is not None:
        watch.look(function, gy, gxs)
    return inputs, gxs


def _put(gys: list[Any], index: int, gy: Any) -> list[Any]:
    """Add a cotangent to those of a Function with several outputs."""
    gys[index] = gy if gys[index] is None else ops.add(gys[index], gy)
    return gys


def fit(gx: Any, data: Any) -> Any:
    """Undo broadcasting and promotion: give the cotangent the shape, dtype and device of its Variable."""
    if arrays.levels:
        from .batching.moving import fitted

        gx = fitted(gx, data)
    if gx.shape != data.shape:
        gx = ops.sum_to(gx, data.shape)
    if gx.dtype != data.dtype:
        gx = ops.astype(gx, data.dtype)
    if type(data) is history.Lost:
        return gx if data.like is None else ops.beside(gx, data.like)
    return ops.beside(gx, data)
