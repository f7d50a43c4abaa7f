"""The walk forth: tangents of outputs from those of inputs, along a graph that was recorded.

A node's output has its tangent from its inputs' in one of four ways. A linear Function is applied to them. The rule
back of an elementwise one is its rule forth as well, element by element. One may define ``jvp(self, tangents, y, *xs)``
in nbgrad's functions. For all others it follows from the rule back, which is linear in the cotangent: the derivative of
<vjp(u), tangents> by u is the tangent, whatever u is.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

from . import history, ops
from .elementwise import Elementwise
from .engine import fit, gradients
from .function import Function, constant
from .grad_mode import is_grad_enabled, set_grad_enabled
from .kernels import dispatch
from .ops.shape import BroadcastTo
from .pruning import freed, place
from .variable import Variable


def push(
    outputs: Sequence[Variable], inputs: Sequence[Variable], tangents: Sequence[Variable], create_graph: bool = False
) -> list[Variable | None]:
    """Return the tangents of `outputs` that those of `inputs` bring about, None where there is no way between them.

    With `create_graph` they can be differentiated themselves. The graph stays. Raises RuntimeError for a graph that
    was freed, or a user's Function whose rule is written on arrays; ValueError and TypeError for tangents of other
    shapes or dtypes than their inputs'.
    """
    known: dict[Any, Any] = {}
    for position, (x, t) in enumerate(zip(inputs, tangents, strict=True)):
        if t.shape != x.shape:
            raise ValueError(f"push: tangent {position} has shape {t.shape}, its input {x.shape}: give the same shape")
        if t.dtype != x.dtype:
            raise TypeError(f"push: tangent {position} has dtype {t.dtype}, its input {x.dtype}: convert it first")
        _add(known, place(x), t)
    with set_grad_enabled(create_graph):
        functions = in_order(outputs)
        edges = {place(x): x for function in functions for x in function.inputs or ()}
        edges |= {place(y): y for y in outputs}
        for function in functions:
            assert function.inputs is not None
            found = [known.get(place(x)) for x in function.inputs]
            if all(t is None for t in found):
                continue
            keys = [(function, i) for i in range(len(function._shapes))] if function.multiple else [function]  # type: ignore[attr-defined]
            for key, made in zip(keys, tangents_of(function, found, [edges.get(key) for key in keys]), strict=True):
                if made is not None:
                    _add(known, key, made)
    return [known.get(place(y)) for y in outputs]


def _add(known: dict[Any, Any], key: Any, tangent: Variable) -> None:
    known[key] = ops.add(known[key], tangent) if key in known else tangent


def in_order(outputs: Sequence[Variable]) -> list[Function]:
    """Give the Functions behind outputs, each after those that its inputs come from."""
    seen: set[Function] = set()
    stack = [y.creator for y in outputs if y.creator is not None]
    while stack:
        function = stack.pop()
        if function in seen:
            continue
        seen.add(function)
        if function.inputs is None:
            raise freed(function)
        inputs = history.as_recorded(function) if history.writes else function.inputs
        stack.extend([x.creator for x in inputs if x.creator is not None])
    return sorted(seen, key=lambda function: function.generation)


def tangents_of(
    function: Function, tangents: Sequence[Variable | None], outputs: Sequence[Variable | None]
) -> Sequence[Variable | None]:
    """Return the tangents of a node's outputs; `tangents` are its inputs', and `outputs` have the shapes and dtypes."""
    inputs = function.inputs
    assert inputs is not None
    if function.linear:
        again = copy.copy(function)
        return [again(*[_zeros(x) if t is None else t for t, x in zip(tangents, inputs, strict=True)])]
    if isinstance(getattr(function, "operation", None), Elementwise):
        return [_elementwise(function, tangents, outputs[0])]
    if type(function).jvp is not Function.jvp:
        y = function.recorded_output()
        made = function.jvp(tangents, y, *inputs)
        return made if function.multiple else [made]
    if type(function).vjp is Function.vjp:
        name = type(function).__name__
        raise RuntimeError(
            f"a tangent goes through {name}, whose backward works on arrays: define {name}.jvp(self, tangents, y, *xs) "
            "or vjp(self, gy, y, *xs) in nbgrad's functions"
        )
    return _transposed(function, tangents, outputs)


def _elementwise(function: Any, tangents: Sequence[Variable | None], y: Variable | None) -> Variable | None:
    values = [None, function.recorded_output(), *function.inputs]
    total: Any = None
    for t, pullback in zip(tangents, function.operation.pullbacks, strict=True):
        if t is None or pullback is None:
            continue
        pullback = pullback.recorded or pullback
        if pullback.operation is not None:
            t = pullback.operation.function(*[t if use == 0 else values[use] for use in pullback.uses])
        total = t if total is None else ops.add(total, t)
    if total is None or y is None:
        return None
    # a sum does not look at the other operand, which may have stretched or promoted the result
    total = total if total.shape == y.shape else BroadcastTo(y.shape)(total)
    return total if total.dtype == y.dtype else ops.astype(total, y.dtype)


def _transposed(
    function: Function, tangents: Sequence[Variable | None], outputs: Sequence[Variable | None]
) -> Sequence[Variable | None]:
    """Give what `tangents_of` gives, by differentiating the rule back by its cotangents."""
    # of the same examples as their outputs: else what comes back to them would be added up over these
    cotangents: list[Any] = [None if y is None else constant(dispatch.filled(y._array, 0.0)) for y in outputs]
    wanted = [u for u in cotangents if u is not None]
    for u in wanted:
        u._require(True)
    assert function.inputs is not None
    with set_grad_enabled(True):
        back = function.pull_graph(cotangents if function.multiple else cotangents[0])
        given = zip(back, tangents, function.inputs, strict=True)
        taken = [(gx, t, x) for gx, t, x in given if gx is not None and t is not None and gx.requires_grad]
        # a rule leaves it to the walk to sum over what was broadcast
        pairs = [(fit(gx, x._array), t) for gx, t, x in taken]
    if not pairs:
        return [None] * len(outputs)
    found = iter(gradients([gx for gx, _ in pairs], wanted, [t for _, t in pairs], True, is_grad_enabled()))
    return [None if u is None else next(found) for u in cotangents]


def _zeros(x: Variable) -> Variable:
    return constant(dispatch.zeros(x.shape, x.dtype, x._array))
