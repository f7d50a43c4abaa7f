"""Generalised ufuncs that are written by hand: what their loops begin and end with, and how they are made."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from ..text import Text
from . import codegen, ufunc

_INDEX = np.dtype(np.int64).char


@contextmanager
def loop(
    operands: dict[str, tuple[str, str]], sizes: Sequence[str], work: Sequence[str] | None = None
) -> Iterator[Text]:
    """Write a loop's head, let the caller write what it does, and write its end.

    Operands have a dtype, and a letter for each core dimension. They become pointers of their names, with steps in
    elements: ``xb`` over the outer dimension, ``xk`` over the core dimension k. `sizes` names the core dimensions'
    lengths. Where there is an outer dimension, of length `outer`, and more work than `longest`, threads share it; the
    work are all elements, or the product of those lengths that `work` names.
    """
    text = Text()
    put = text.put
    with text.block("def loop(args, dims, steps, data):"):
        put("align_stack()", "outer = dims[0]", "longest = int64_pointer(data)[0]")
        put(*(f"{name} = dims[{1 + i}]" for i, name in enumerate(sizes)))
        with text.block(f"if outer > 1 and {' * '.join(['outer', *(work or sizes)])} >= longest:"):
            put("share(args, dims, steps, data)", "return")
        place = len(operands)
        for i, (name, (dtype, cores)) in enumerate(operands.items()):
            size = np.dtype(dtype).itemsize
            put(f"{name} = {dtype}_pointer(args[{i}])", f"{name}b = steps[{i}] // {size}")
            for core in cores:
                put(f"{name}{core} = steps[{place}] // {size}")
                place += 1
        yield text
        put("clear_exceptions()")


def make(
    name: str,
    write: Callable[[str], str],
    types: str,
    signature: str,
    outputs: int,
    threshold: int,
    entry: Any = None,
    fastmath: tuple[str, ...] = ("contract",),
) -> np.ufunc:
    """Make a ufunc of float32 and float64, for which x stands in `types`; i stands for whole numbers of 64 bits.

    `write` gives the loop's source for one of the two. Above `threshold` elements it calls ``share``, which is the
    thread pool's unless an entry is given. `fastmath`: the liberties that LLVM may take.
    """

    def compile_loop(codes: ufunc.Types) -> tuple[int, int]:
        number = float32_or_64(codes)
        return codegen.address(f"{name}-{number}", write(number), fastmath=fastmath), threshold

    each = [types.replace("x", code).replace("i", _INDEX) for code in "fd"]
    return ufunc.make(name.split("-")[0], each, outputs, compile_loop, signature, entry)


def float32_or_64(codes: ufunc.Types) -> str:
    """Give the dtype that a loop is for: its first operand of a floating one has it."""
    return next(np.dtype(code).name for code in codes if code in "fd")
