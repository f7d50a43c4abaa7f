"""Reading and writing words that several threads share, for the thread pool's compiled functions."""

from __future__ import annotations

import platform
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

__all__ = ["atomic_add", "atomic_get", "atomic_replace", "atomic_set", "pause", "words_at"]

_ORDER = "seq_cst"  # of all accesses, so that everybody sees them in one order


def _place(builder: Any, pointer: Any, index: Any) -> Any:
    return builder.gep(pointer, [index])


@intrinsic
def atomic_get(typing_context: Any, pointer: Any, index: Any) -> Any:
    """Read a word."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.load_atomic(_place(builder, *arguments), _ORDER, 8)

    return types.int64(pointer, types.int64), generate


@intrinsic
def atomic_set(typing_context: Any, pointer: Any, index: Any, value: Any) -> Any:
    """Write a word."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        builder.store_atomic(arguments[2], _place(builder, *arguments[:2]), _ORDER, 8)
        return context.get_dummy_value()

    return types.void(pointer, types.int64, types.int64), generate


@intrinsic
def atomic_add(typing_context: Any, pointer: Any, index: Any, value: Any) -> Any:
    """Add to a word, and give what it was."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.atomic_rmw("add", _place(builder, *arguments[:2]), arguments[2], _ORDER)

    return types.int64(pointer, types.int64, types.int64), generate


@intrinsic
def atomic_replace(typing_context: Any, pointer: Any, index: Any, expected: Any, value: Any) -> Any:
    """Write a word if it is as expected, and tell whether it was."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        pair = builder.cmpxchg(_place(builder, *arguments[:2]), arguments[2], arguments[3], _ORDER, _ORDER)
        return builder.extract_value(pair, 1)

    return types.boolean(pointer, types.int64, types.int64, types.int64), generate


@intrinsic
def pause(typing_context: Any) -> Any:
    """Tell the processor that this is a loop that waits, so that it leaves its power to others."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        machine = platform.machine().lower()
        if machine in ("x86_64", "amd64"):
            hint = cgutils.get_or_insert_function(
                builder.module, ir.FunctionType(ir.VoidType(), []), "llvm.x86.sse2.pause"
            )
            builder.call(hint, [])
        elif machine in ("aarch64", "arm64"):
            kind = ir.FunctionType(ir.VoidType(), [ir.IntType(32)])
            hint = cgutils.get_or_insert_function(builder.module, kind, "llvm.aarch64.hint")
            builder.call(hint, [ir.Constant(ir.IntType(32), 1)])
        return context.get_dummy_value()

    return types.void(), generate


@intrinsic
def words_at(typing_context: Any, place: Any) -> Any:
    """Give a pointer to the words at an address."""
    result = types.CPointer(types.int64)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], context.get_value_type(result))

    return result(types.int64), generate
