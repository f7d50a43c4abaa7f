"""Updates of many tensors by one formula: an optimiser's step as one loop over pieces of all of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache as once
from typing import Any

import numpy as np

from .. import formula
from ..formula import Expression
from . import codegen
from .launch import Launch, launcher
from .sizes import MOST_OPERANDS, OUTPUTS
from .threads import ACCESS, ADDITION, SHARE_ABOVE

#: Elements of a piece: 64 kB of float32.
_PIECE = 16384


def source(expressions: Sequence[Expression], dtype: str, tensors: int, numbers: int) -> str:
    """Write the loop: tensors, of which the first ones are written as `expressions` say, and numbers for each.

    The inputs of the expressions are the tensors' elements and then the numbers; all come in the order in which the
    launch has them: the numbers, a row for each of `count`, then `count` arrays for each tensor of the formula.
    The first of those that is not written to is the second, the gradient.
    """
    written = [0, *range(2, tensors)]
    names = {k: f"v{k}" for k in range(tensors)} | {tensors + k: f"n{k}" for k in range(numbers)}
    steps, values = formula.source(expressions, dtype, names)
    lines = [
        "def loop(args, dims, steps, data):",
        "    align_stack()",
        "    if dims[0] >= int64_pointer(data)[0]:",
        "        share(args, dims, steps, data)",
        "        return",
        "    first = address(args[0])",
        "    pieces = int64_pointer(args[1])",
        "    numbers = float64_pointer(args[2])",
        "    count = pieces[0]",
        "    for piece in range(first, first + dims[0]):",
        "        tensor, begin, n = pieces[1 + 3 * piece], pieces[2 + 3 * piece], pieces[3 + 3 * piece]",
        *(f"        n{k} = {dtype}(numbers[tensor * {numbers} + {k}])" for k in range(numbers)),
        *(f"        x{k} = {dtype}_pointer(args[3 + {k} * count + tensor])" for k in range(tensors)),
        "        for j in range(np.uintp(begin), np.uintp(begin + n)):",
    ]
    for k in range(tensors):
        how = "load" if k == 1 else f"load_back_{min(k, OUTPUTS - 1)}"
        lines.append(f"            v{k} = {how}(x{k}, j)")
    lines += [f"            {step}" for step in steps]
    # all is computed before anything is written
    lines += [f"            y{k} = {dtype}({value})" for k, value in zip(written, values, strict=True)]
    lines += [f"            store_{min(k, OUTPUTS - 1)}(x{k}, j, y{k})" for k in written]
    return "\n".join([*lines, "    clear_exceptions()"]) + "\n"


@once
def _address(name: str, expressions: tuple[Expression, ...], dtype: str, tensors: int, numbers: int) -> int:
    return codegen.address(f"update_{name}", source(expressions, dtype, tensors, numbers))


def most(tensors: int) -> int:
    """Give how many of each tensor of a formula one launch takes."""
    return (MOST_OPERANDS - 3) // tensors


def update(
    name: str, expressions: tuple[Expression, ...], dtype: str, tensors: int, numbers: int, counts: Sequence[int]
) -> Callable[..., None]:
    """Give a function of an array of numbers and of arrays, all first tensors, all second ones, and so on.

    It writes to all but the second ones, the gradients. `counts` are the elements of each.
    """
    table = [len(counts)]
    for tensor, size in enumerate(counts):
        for begin in range(0, size, _PIECE):
            table += [tensor, begin, min(_PIECE, size - begin)]
    pieces = (len(table) - 1) // 3
    cost = (ACCESS * 2 * tensors + formula.cost(expressions)) // ADDITION + 1
    shared = pieces > 1 and sum(counts) * cost > SHARE_ABOVE
    address = _address(name, expressions, dtype, tensors, numbers)
    return launcher(Launch(address, table, pieces, [0] * (1 + tensors * len(counts)), shared))


def numbers_of(rows: int, values: Sequence[Any]) -> Any:
    """Give numbers, each one for all or one for each row, as a table of rows."""
    table = np.empty((rows, len(values)))
    for column, value in enumerate(values):
        table[:, column] = value
    return table
