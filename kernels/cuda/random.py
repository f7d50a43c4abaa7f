"""Random numbers in kernels: each thread draws its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .. import philox
from ..philox import BLOCKS, GROUP, elements_of, words_of


def drawing_source(kind: str, dtype: str) -> str:
    """Write ``draw(state, place)``, which gives the element at a place of a stream."""
    steps, elements = elements_of(kind, dtype)
    group = GROUP[dtype]
    lines = [
        "def draw(state, place):",
        "    key = state[0]",
        f"    counter = state[1] + uint64(place // {group} * {BLOCKS} + place % {BLOCKS})",
        f"    part = place % {group} // {BLOCKS}",
        *(f"    {line}" for line in words_of("counter", "key")),
        *(f"    {step}" for step in steps),
    ]
    for number, element in enumerate(elements[:-1]):
        lines += [f"    if part == {number}:", f"        return {dtype}({element})"]
    return "\n".join([*lines, f"    return {dtype}({elements[-1]})"]) + "\n"


def functions(names: dict[str, Any], compiled: Callable[[Any], Any]) -> dict[str, Any]:
    """Give the functions of `drawing_source`, by the names that kernels call them."""
    names = names | philox.CONSTANTS
    found: dict[str, Any] = {}
    for kind, dtypes in philox.KINDS.items():
        for dtype in dtypes:
            namespace = dict(names)
            exec(drawing_source(kind, dtype), namespace)
            function = namespace["draw"]
            function.__name__ = function.__qualname__ = name = f"draw_{kind}_{dtype}"
            found[name] = compiled(function)
    return found
