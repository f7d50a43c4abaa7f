"""A step of long short-term memory, between its products: all gates of a batch in one loop, forth and back.

Gates lie side by side in what products give, and one after the other in what is kept. NumPy's iterators, which come to
such blocks row by row and one by one, take twice to five times as long as these loops.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .. import formula
from ..formula import Expression
from . import gufuncs, threads

#: Gates that are kept, as functions of their sums.
GATES = 4


def forward(expressions: Sequence[Expression]) -> np.ufunc:
    """Give ``(sums, more, before) -> (gates, after, y)`` on rows of (4 * size), (size) and (4, size) elements.

    Expressions are of four sums, what is added to them, and the memory before: four gates, the memory and the output.
    Rows are contiguous.
    """
    loads, stores = [*_side_by_side("sums"), *_side_by_side("more"), "before"], [*_kept("gates"), "after", "y"]
    operands = {"sums": "g", "more": "g", "before": "h", "gates": "qh", "after": "h", "y": "h"}
    return _made("lstm_gates", expressions, operands, loads, stores, "(g),(g),(h)->(q,h),(h),(h)", 3)


def backward(expressions: Sequence[Expression]) -> np.ufunc:
    """Give ``(gy, more, gc, gates, before, after) -> (slopes, earlier)`` on rows like those of `forward`.

    Expressions are of the cotangents of the output, in two parts, and of the memory, of four gates, and of the memory
    before and after: the cotangents of four sums, and of the memory before. Rows are contiguous.
    """
    loads, stores = ["gy", "more", "gc", *_kept("gates"), "before", "after"], [*_side_by_side("slopes"), "earlier"]
    operands = {"gy": "h", "more": "h", "gc": "h", "gates": "qh", "before": "h", "after": "h"}
    operands |= {"slopes": "g", "earlier": "h"}
    return _made("lstm_gates_vjp", expressions, operands, loads, stores, "(h),(h),(h),(q,h),(h),(h)->(g),(h)", 2)


def _side_by_side(name: str) -> list[str]:
    return [f"{name}+{k} * size" for k in range(GATES)]


def _kept(name: str) -> list[str]:
    return [f"{name}+{k} * {name}q" for k in range(GATES)]


def _made(
    name: str,
    expressions: Sequence[Expression],
    operands: dict[str, str],
    loads: list[str],
    stores: list[str],
    signature: str,
    outputs: int,
) -> np.ufunc:
    sizes = list(dict.fromkeys("".join(operands.values())))
    lengths = [{"g": "sums_of_all", "h": "size", "q": "gates_kept"}[letter] for letter in sizes]

    def write(number: str) -> str:
        names = {k: f"v{k}" for k in range(len(loads))}
        steps, values = formula.source(expressions, number, names)
        with gufuncs.loop({n: (number, c) for n, c in operands.items()}, lengths, ["size"]) as text:
            put, block = text.put, text.block
            with block("for b in range(outer):"):
                for k, place in enumerate([*loads, *stores]):
                    operand, _, offset = place.partition("+")
                    put(f"p{k} = b * {operand}b + {offset or 0}")
                with block("for j in range(np.uintp(size)):"):
                    put(*(f"v{k} = load({place.partition('+')[0]}, p{k} + j)" for k, place in enumerate(loads)))
                    put(*steps, *(f"y{k} = {number}({value})" for k, value in enumerate(values)))
                    for k, place in enumerate(stores):
                        put(f"store_{k}({place.partition('+')[0]}, p{len(loads) + k} + j, y{k})")
        return str(text)

    threshold = threads.share_above(threads.ACCESS * (len(loads) + len(stores)) + formula.cost(expressions))
    return gufuncs.make(name, write, "x" * len(operands), signature, outputs, threshold)
