"""Random numbers in loops: a stretch of a stream at a time, drawn into memory that the loop reads."""

from __future__ import annotations

import ast
from functools import cache as once
from typing import Any

from .. import philox
from ..philox import BLOCKS, GROUP, elements_of, words_of
from ..text import parsed
from .frontend.source import Source


def drawing_source(kind: str, dtype: str) -> str:
    """Write ``draw(values, state, first, count)``, which puts elements of a stream into memory.

    The stream's state is its key and its first counter. Whole groups are drawn: the element `first` comes to the place
    that is given back.
    """
    steps, elements = elements_of(kind, dtype)
    group = GROUP[dtype]
    lines = [
        f"def draw_{kind}_{dtype}(values, state, first, count):",
        "    key = load(state, 0)",
        f"    shift = first % {group}",
        f"    counter = load(state, 1) + uint64(first // {group} * {BLOCKS})",
        f"    for start in range(np.uintp(0), np.uintp(shift + count), np.uintp({group})):",
        f"        for lane in range(np.uintp({BLOCKS})):",
        "            at = counter + uint64(lane)",
        *(f"            {line}" for line in words_of("at", "key")),
        *(f"            {step}" for step in steps),
        *(
            f"            store_0(values, start + lane + np.uintp({number * BLOCKS}), {dtype}({element}))"
            for number, element in enumerate(elements)
        ),
        f"        counter += uint64({BLOCKS})",
        "    return shift",
    ]
    return "\n".join(lines) + "\n"


@once
def drawing(kind: str, dtype: str) -> Source:
    """Give the function of `drawing_source`."""
    from . import elementary
    from .frontend import memory, numbers

    tree = parsed(drawing_source(kind, dtype)).body[0]
    assert isinstance(tree, ast.FunctionDef)
    names = elementary.specialise(Source.of, numbers.NAMESPACE) | memory.NAMESPACE | philox.CONSTANTS
    return Source(f"draw_{kind}_{dtype}", lambda: tree, names, "contract", inline=False)


#: The name that kernels call it by.
NAMESPACE: dict[str, Any] = {"drawing": drawing}
