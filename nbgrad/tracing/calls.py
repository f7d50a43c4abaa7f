"""Functions that a program calls as they are at every run.

A function that is called is tried out once, while tracing, on arrays of the traced shapes; what it gives then is what
it has to give at every run. Whatever cannot be so is refused, with the line it stands in and what to write instead.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np

from ..arrays import as_array
from .program import Call, Node, Program, View
from .refusals import changed_in_place, users_line

OUTSIDE = "call it outside of the jitted function, on its result"

_count = itertools.count()


class Invoke(Protocol):
    """Calls a function on the arrays of the nodes it takes."""

    def __call__(self, arrays: Sequence[Any], untouched: bool = False) -> Any:
        """Call it; `untouched`: what it has from outside must not be written to."""


def call(program: Program, function: Callable[[Any], Any], name: str, node: Node) -> Node:
    """Leave a function of one array to NumPy, at every run."""
    (result,), _ = call_several(program, lambda arrays, untouched=False: function(*arrays), name, [node])
    return result


def call_several(
    program: Program, invoke: Invoke, name: str, nodes: Sequence[Node]
) -> tuple[list[Node], Callable[[list[Any]], Any]]:
    """Leave a function to NumPy, at every run.

    Gives the nodes of its results, and what puts things together as it gives its results.
    """
    line = users_line()
    sample = _tried(invoke, name, nodes)
    several = isinstance(sample, tuple | list)
    parts = list(sample) if several else [sample]
    known = [np.asarray(part) for part in parts if isinstance(part, np.ndarray | np.generic | bool | int | float)]
    if not known or len(known) < len(parts) or any(part.dtype.kind not in "fiubc" for part in known):
        raise TypeError(
            f"jit: {name} of a traced array, at {line}, gives {type(sample).__name__} and no array of numbers: "
            f"{OUTSIDE}"
        )

    def run(*arrays: Any) -> Any:
        found = invoke(arrays)
        parts = [as_array(part) for part in (found if several else [found])]
        for part, like in zip(parts, known, strict=True):
            if part.shape != like.shape or part.dtype != like.dtype:
                raise TypeError(
                    f"jit: {name} gave shape {part.shape} and dtype {part.dtype} where the trace had {like.shape} and "
                    f"{like.dtype}, at {line}: they depend on elements, which a traced function's must not; {OUTSIDE}"
                )
        return np.concatenate([_bytes(part) for part in parts]) if several else parts[0]

    if not several:
        return [_added(program, run, name, nodes, known[0].shape, known[0].dtype)], lambda results: results[0]
    # one call for all of the results: they come as bytes, one after the other
    packed = _added(program, run, name, nodes, (sum(part.nbytes for part in known),), np.dtype(np.uint8))
    results = []
    begin = 0
    for part in known:
        view = View("index", (slice(begin, begin + part.nbytes), Ellipsis))
        piece = program.add(view, (packed,), (part.nbytes,), np.uint8)
        results.append(_added(program, _unpacked(part), f"part of {name}", [piece], part.shape, part.dtype))
        begin += part.nbytes
    kind: Any = type(sample)
    return results, lambda results: kind(*results) if hasattr(kind, "_fields") else kind(results)


def _added(
    program: Program, function: Callable[..., Any], label: str, nodes: Sequence[Node], shape: Any, dtype: Any
) -> Node:
    return program.add(Call(function, (label, next(_count)), label, False), nodes, shape, dtype)


def _bytes(array: Any) -> Any:
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8)


def _unpacked(like: Any) -> Callable[[Any], Any]:
    shape, dtype = like.shape, like.dtype
    return lambda piece: piece.copy().view(dtype).reshape(shape)


def frozen(array: Any) -> Any:
    """Give an array that is new as one that nobody may write to."""
    array.flags.writeable = False
    return array


def _tried(invoke: Invoke, name: str, nodes: Sequence[Node]) -> Any:
    """Try a function out on arrays that nobody may write to, of several kinds until one is to its taste."""
    refusal: Exception | None = None
    for sample in (_usual, _zeros, _ascending):
        try:
            with np.errstate(all="ignore"):
                return invoke([frozen(sample(x).astype(x.dtype)) for x in nodes], True)
        except (ValueError, IndexError, ArithmeticError) as error:
            if "read-only" in str(error) or "output array" in str(error):
                raise changed_in_place(name, "use a function that gives a new array") from None
            refusal = refusal or error
    assert refusal is not None
    raise refusal


def _usual(x: Node) -> Any:
    """Give numbers that most functions take; a matrix has an inverse, whole numbers are positions."""
    if x.dtype.kind in "iu":
        return np.zeros(x.shape)
    values = np.random.default_rng(0).uniform(1, 2, x.shape)
    if len(x.shape) >= 2 and x.shape[-1] == x.shape[-2]:
        values = values + 4.0 * x.shape[-1] * np.eye(x.shape[-1])
    return values


def _zeros(x: Node) -> Any:
    """Give zeros; of whole numbers, matrices that have an inverse."""
    if x.dtype.kind in "iu":
        return np.broadcast_to(np.eye(x.shape[-2], x.shape[-1]) if len(x.shape) >= 2 else np.ones(()), x.shape)
    return np.zeros(x.shape)


def _ascending(x: Node) -> Any:
    """Give numbers from 0 to 1, in order."""
    return np.linspace(0, 1 if x.dtype.kind == "f" else x.size, x.size).reshape(x.shape)
