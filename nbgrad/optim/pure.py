"""Optimisers as functions of nests, which change nothing: a step that `nbgrad.jit` and gradients go through."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from ..nests import flatten, unflatten
from ..variable import Variable
from .optimizer import rule_of


class Pure(NamedTuple):
    """An optimiser as two functions of nests: ``init(params)`` and ``update(grads, state, params)``."""

    init: Callable[[Any], Any]
    update: Callable[[Any, Any, Any], Any]


def pure(kind: Any, options: dict[str, Any]) -> Pure:
    """Give the two functions of an optimiser: `update` gives new parameters and a new state, and changes nothing.

    Arrays give arrays; Variables give Variables, through which gradients go.
    """
    one = kind([Variable(np.zeros(1))], **options)
    group = one.param_groups[0]
    flags = one.flags(group)
    rule, names = rule_of(kind, flags), kind.states(flags)

    def data(x: Any) -> Any:
        return x._array if isinstance(x, Variable) else x if hasattr(x, "dtype") else np.asarray(x)

    def init(params: Any) -> Any:
        leaves: list[Any] = []
        structure = flatten(params, leaves)
        arrays = [data(x) for x in leaves]
        state = {
            name: unflatten(structure, iter([np.full(x.shape, one.begin(group, name), x.dtype) for x in arrays]))
            for name in names
        }
        return {"step": np.zeros(()), **state}

    def update(grads: Any, state: Any, params: Any) -> Any:
        xs: list[Any] = []
        gs: list[Any] = []
        structure = flatten(params, xs)
        flatten(grads, gs)
        kept: list[list[Any]] = []
        for name in names:
            leaves: list[Any] = []
            flatten(state[name], leaves)
            kept.append(leaves)
        t = data(state["step"]) + 1.0
        values = one.numbers(lambda name: float(group.numbers[name]), t)
        results = []
        for k, (x, g) in enumerate(zip(xs, gs, strict=True)):
            operands = [x, g, *(s[k] for s in kept)]
            recorded = any(isinstance(operand, Variable) for operand in operands)
            operands = operands if recorded else [data(operand) for operand in operands]
            kind = operands[0].dtype
            numbers = [(v if hasattr(v, "dtype") else np.asarray(v)).astype(kind) for v in values]
            functions = [operation.function if recorded else operation.call for operation in rule.operations()]
            results.append([function(*operands, *numbers) for function in functions])
        new = [unflatten(structure, iter([r[place] for r in results])) for place in range(1 + len(names))]
        return new[0], {"step": t, **dict(zip(names, new[1:], strict=True))}

    return Pure(init, update)
