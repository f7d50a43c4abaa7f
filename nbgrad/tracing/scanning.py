"""Scans of nodes: calls, which are steps of their own between the loops."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..kernels import dispatch, scans
from ..kernels.cpu.scan import kernel_code
from ..kernels.cpu.scan_loops import result_dtype
from .program import Call, Node, Program

_INT = np.dtype(np.int64)


def scan(program: Program, name: str, x: Node, axis: int, reverse: bool) -> list[Node]:
    """Scan a node along an axis; gives the values, and the places of extrema."""
    declared = scans.TABLE[name]
    dtype = np.dtype(result_dtype(declared, kernel_code(declared, x.dtype)))
    if not declared.places:
        whole = (name, axis, reverse)
        return [_call(program, lambda a: dispatch.scan_array(name, a, axis, reverse), whole, [x], dtype)]
    # a call gives one array; the one that nobody asks for is not made
    parts = [(0, "values", dtype), (1, "places", _INT)]
    return [
        _call(
            program,
            lambda a, part=part: dispatch.scan_array(name, a, axis, reverse)[part],
            (name, what, axis, reverse),
            [x],
            given,
        )
        for part, what, given in parts
    ]


def recur(program: Program, a: Node, b: Node, axis: int, reverse: bool) -> Node:
    """Give the linear recurrence of nodes."""
    identity = ("recurrence", axis, reverse)
    return _call(program, lambda b, a: dispatch.recur(a, b, axis, reverse), identity, [b, a], b.dtype)


def _call(
    program: Program, function: Callable[..., Any], identity: Any, nodes: Sequence[Node], dtype: np.dtype[Any]
) -> Node:
    """Give what a function makes of arrays at every run, of the shape of the first."""
    return program.add(Call(function, identity, identity[0], False), tuple(nodes), nodes[0].shape, dtype)
