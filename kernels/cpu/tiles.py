"""Squares of 8 by 8 elements that go from the lines of an array to lanes, and back, as vectors.

Numba writes a number at a time, and LLVM does not see that a loop over such numbers is a transposition.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from .sizes import SIDE


def _vector(context: Any, scalar: Any) -> Any:
    return ir.VectorType(context.get_data_type(scalar), SIDE)


def _place(builder: Any, pointer: Any, index: Any, vector: Any) -> Any:
    return builder.bitcast(builder.gep(pointer, [index]), vector.as_pointer())


def _transposed(builder: Any, rows: list[Any]) -> list[Any]:
    """Swap the blocks of 4, of 2 and of 1 that lie off the diagonal."""
    for distance in (4, 2, 1):
        for i in range(SIDE):
            if i & distance:
                continue
            first, second = rows[i], rows[i + distance]
            columns = [(j, j & distance) for j in range(SIDE)]
            upper = [SIDE + j - distance if off else j for j, off in columns]
            lower = [SIDE + j if off else j + distance for j, off in columns]
            for row, mask in ((i, upper), (i + distance, lower)):
                mask = ir.Constant(ir.VectorType(ir.IntType(32), SIDE), mask)
                rows[row] = builder.shuffle_vector(first, second, mask)
    return rows


def _converted(builder: Any, value: Any, source: Any, target: Any, vector: Any) -> Any:
    if source == target:
        return value
    if isinstance(source, types.Float):
        return (builder.fpext if target.bitwidth > source.bitwidth else builder.fptrunc)(value, vector)
    if target.bitwidth == source.bitwidth:
        return value
    if target.bitwidth < source.bitwidth:
        return builder.trunc(value, vector)
    return (builder.sext if source.signed else builder.zext)(value, vector)


@intrinsic
def move_square(typing_context: Any, x: Any, first: Any, step: Any, y: Any, place: Any, stride: Any) -> Any:
    """Write element j of line i of x to element i of line j of y; lines begin `step`, and `stride`, elements apart."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        x_pointer, index, x_step, y_pointer, place, y_step = arguments
        source, target = _vector(context, x.dtype), _vector(context, y.dtype)
        rows = []
        for _ in range(SIDE):
            rows.append(builder.load(_place(builder, x_pointer, index, source), align=x.dtype.bitwidth // 8))
            index = builder.add(index, x_step)
        for row in _transposed(builder, rows):
            value = _converted(builder, row, x.dtype, y.dtype, target)
            builder.store(value, _place(builder, y_pointer, place, target), align=y.dtype.bitwidth // 8)
            place = builder.add(place, y_step)
        return context.get_dummy_value()

    word = types.int64
    return types.void(x, word, word, y, word, word), generate


@intrinsic
def prefetch(typing_context: Any, pointer: Any, index: Any) -> Any:
    """Have the cache line of an element brought nearer; any place will do."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        bits, raw = ir.IntType(32), ir.IntType(8).as_pointer()
        kind = ir.FunctionType(ir.VoidType(), [raw, bits, bits, bits])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0i8")
        place = builder.bitcast(builder.gep(arguments[0], [arguments[1]]), raw)
        builder.call(function, [place, bits(0), bits(2), bits(1)])  # to read, soon, data
        return context.get_dummy_value()

    return types.void(pointer, types.int64), generate


NAMESPACE: dict[str, Any] = {"move_square": move_square, "prefetch": prefetch}
