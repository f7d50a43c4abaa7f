"""Arrays of random numbers, drawn by the loops that draw them in compiled programs."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from .loop_nest import ELEMENT, Nest, Operand, size_names

if TYPE_CHECKING:
    from .target import Compiler, Shape


def drawn(compiler: Compiler, kind: str, dtype: str, shape: Shape, state: Any) -> Any:
    """Return an array of what a stream gives, whose state is a key and a first counter, in an array of the target's."""
    y = compiler.empty(shape, np.dtype(dtype))
    known: Any = compiler
    for loop in _loops(known, kind, dtype, math.prod(shape)):
        loop(state, y)
    return y


@lru_cache(256)
def _loops(compiler: Any, kind: str, dtype: str, count: int) -> list[Callable[..., None]]:
    if not count:
        return []
    nest = Nest(1, True)
    nest.loads.append(Operand("p0", dtype, ELEMENT, drawn=kind))
    nest.stores.append((Operand("o0", dtype, ELEMENT), "v_p0", 0))
    blocks = compiler.blocks(nest, count, count)
    width = -(-count // blocks)
    width = -(-width // 1024) * 1024 if blocks > 1 else width  # pieces are whole groups, and share no cache line
    blocks = -(-count // width)
    values = {"blocks": blocks, "rows_in_block": 1, "rows": blocks, "width": width, "length": count, "p0_first": 0}
    values |= {"p0_step0": width, "o0_step0": width}
    sizes = [values[name] for name in size_names(nest)]
    return [loop for loop, _ in compiler.loops(f"draw_{kind}_{dtype}", nest, sizes, blocks, [0, 0], count)]
