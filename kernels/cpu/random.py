"""Random numbers in loops: a stretch of a stream at a time, drawn into memory that the loop reads."""

from __future__ import annotations

from functools import cache as once
from typing import Any

from .. import philox
from ..philox import BLOCKS, GROUP, elements_of
from .folding import compiled_apart
from .pipeline import for_kernels


def drawing_source(kind: str, dtype: str) -> str:
    """Write ``draw(values, state, first, count)``, which puts elements of a stream into memory.

    The stream's state is its key and its first counter. Whole groups are drawn: the element `first` comes to the place
    that is given back.
    """
    steps, elements = elements_of(kind, dtype)
    group = GROUP[dtype]
    lines = [
        "def draw(values, state, first, count):",
        "    never_inline()",
        "    key = load(state, 0)",
        "    k0, k1 = key & LOW, key >> uint64(32)",
        f"    shift = first % {group}",
        f"    counter = load(state, 1) + uint64(first // {group} * {BLOCKS})",
        f"    for start in range(np.uintp(0), np.uintp(shift + count), np.uintp({group})):",
        f"        for lane in range(np.uintp({BLOCKS})):",
        "            at = counter + uint64(lane)",
        "            a, b, c, d = philox(at & LOW, at >> uint64(32), uint64(0), uint64(0), k0, k1)",
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
def _names() -> dict[str, Any]:
    from .elementary import NAMESPACE

    return NAMESPACE | philox.CONSTANTS | {"philox": for_kernels(inline=True)(philox.philox)}


@once
def drawing(kind: str, dtype: str) -> Any:
    """Give the function of `drawing_source`."""
    return compiled_apart("draw", drawing_source(kind, dtype), 4, _names())


#: The name that kernels call it by.
NAMESPACE: dict[str, Any] = {"drawing": drawing}
