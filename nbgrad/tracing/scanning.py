"""Scans of traced arrays: calls, which are steps of their own between the loops."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..kernels import scans
from ..kernels.cpu.scan import kernel_code, recur, scan_array
from ..kernels.cpu.scan_loops import result_dtype
from .program import Call

if TYPE_CHECKING:
    from .symbol import Symbol

_INT = np.dtype(np.int64)


def scanned(x: Symbol, name: str, axis: int, reverse: bool) -> Any:
    """Scan a traced array along an axis: (values, places) for extrema."""
    scan = scans.TABLE[name]
    dtype = np.dtype(result_dtype(scan, kernel_code(scan, x.dtype)))
    if not scan.places:
        return _called(lambda array: scan_array(name, array, axis, reverse), (name, axis, reverse), [x], dtype)
    # a call gives one array; the one that nobody asks for is not made
    values = _called(
        lambda array: scan_array(name, array, axis, reverse)[0], (name, "values", axis, reverse), [x], dtype
    )
    places = _called(
        lambda array: scan_array(name, array, axis, reverse)[1], (name, "places", axis, reverse), [x], _INT
    )
    return values, places


def recurring(a: Symbol, b: Symbol, axis: int, reverse: bool) -> Symbol:
    """Give the linear recurrence of traced arrays."""
    return _called(lambda b, a: recur(a, b, axis, reverse), ("recurrence", axis, reverse), [b, a], b.dtype)


def _called(function: Callable[..., Any], identity: Any, symbols: Sequence[Symbol], dtype: np.dtype[Any]) -> Symbol:
    """Give what a function makes of arrays at every run, of the shape of the first."""
    first = symbols[0]
    operation = Call(function, identity, identity[0], False)
    nodes = tuple(symbol.node for symbol in symbols)
    return first._with(first.program.add(operation, nodes, first.shape, dtype))
