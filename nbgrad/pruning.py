"""Keeping a walk to the way to its targets, capturing what arrives there, and showing gradients to hooks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from . import history, hooks
from .function import Function
from .history import Past
from .hooks import through_hooks
from .variable import Variable


def place(x: Variable) -> Any:
    """Give what tells a Variable from others in a graph, which may hold another object in its place."""
    if x.creator is None:
        return id(x) if type(x) is not Past else id(x.of)
    return (x.creator, x._index) if x.creator.multiple else x.creator


def _leading_to(outputs: Sequence[Variable], targets: Sequence[Variable], missing: set[Any]) -> set[Function]:
    """Give the Functions that have one of `targets` among their inputs, or behind them.

    The places of targets that are nowhere are put into `missing`.
    """
    wanted: set[Any] = set()
    creators: set[Function] = set()
    for x in targets:
        wanted.add(place(x))
        if x.creator is not None:
            creators.add(x.creator)
    missing |= wanted
    stack: list[Any] = []
    for y in outputs:
        missing.discard(place(y))
        if y.creator is not None:
            stack.append(y.creator)
    useful: set[Function] = set()
    seen: set[Function] = set()
    gone: Function | None = None
    while stack:
        function = stack.pop()
        if function is None:  # all that is behind the next one was looked at
            function, inputs = stack.pop()
            if any([x.creator in useful for x in inputs]):
                useful.add(function)
            continue
        if function in seen:
            continue
        seen.add(function)
        inputs = function.inputs
        if inputs is None:
            gone = function
            continue
        if history.writes:
            inputs = history.as_recorded(function)
        leads, behind = False, []
        for x in inputs:
            if x.creator is not None:
                behind.append(x.creator)
                if x.creator not in creators:
                    continue
            key = place(x)
            if x.creator is not None or key in wanted:
                leads = True
                missing.discard(key)
        if leads:
            useful.add(function)
        elif behind:
            stack += ((function, inputs), None)
        stack += behind
    if gone is not None and missing:  # the way to what is missing may have led through here
        raise freed(gone)
    return useful


def freed(function: Function) -> RuntimeError:
    """Give the error of a walk that meets a Function whose inputs are gone."""
    return RuntimeError(
        f"the graph behind {function!r} was freed by an earlier backward: call that one with "
        "retain_graph=True to walk it again, or compute the output anew"
    )


class Gate:
    """What a walk does besides walking: keeping to the way to its targets, capturing, showing gradients to hooks."""

    def __init__(
        self,
        outputs: Sequence[Variable],
        targets: Sequence[Variable] | None,
        recorded: bool,
        unused: set[Any] | None,
    ) -> None:
        self.targets = targets
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
        if id(function) in hooks.watched:
            gy = _show(function, gy, self)
        for x in self.captured.get(function, ()):
            gx = gy[x._index] if function.multiple else gy
            if gx is not None:
                self.found[x] = gx
        return gy, self.useful is None or function in self.useful


def _show(function: Function, gy: Any, gate: Gate) -> Any:
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
