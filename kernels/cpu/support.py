"""What a generated CPU loop may call, and how it is compiled; the only module that imports Numba.

A loop has the signature of NumPy's ufunc inner loops: ``loop(args, dims, steps, data)`` with byte pointers, sizes
and byte strides. `data` points to a `threads.LoopRecord`: first, the size above which the loop is the thread pool's.
"""

from __future__ import annotations

import math
import platform
import uuid
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.ccallback import CFunc
from numba.extending import intrinsic

from ..cache import CompiledKernel
from . import atomics
from .pipeline import KernelCompiler
from .sizes import CHUNK, LANES, MOST_OPERANDS, OUTPUTS

_BYTES = types.CPointer(types.uint8)

#: The functions that are called from outside, with their signatures in C.
SIGNATURES = {
    "loop": types.void(types.CPointer(_BYTES), types.CPointer(types.intp), types.CPointer(types.intp), types.voidptr),
    "call": types.int64(types.int64, types.int64, types.int64),
}

_SCALARS = {
    "bool": types.uint8,
    **{name: getattr(types, name) for name in ("int8", "int16", "int32", "int64", "float32", "float64")},
    **{name: getattr(types, name) for name in ("uint8", "uint16", "uint32", "uint64")},
}


def _pointer_to(scalar: Any) -> Any:
    @intrinsic
    def pointer(typing_context: Any, raw: Any) -> Any:
        result = types.CPointer(scalar)

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return builder.bitcast(arguments[0], context.get_value_type(result))

        return result(raw), generate

    return pointer


def _lanes_of(scalar: Any, count: int = LANES) -> Any:
    @intrinsic
    def lanes(typing_context: Any) -> Any:
        """Reserve `count` elements on the stack."""

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            with builder.goto_entry_block():
                place = builder.alloca(context.get_data_type(scalar), size=ir.Constant(ir.IntType(64), count))
            place.align = 64
            return place

        return types.CPointer(scalar)(), generate

    return lanes


def _at(scalar: Any) -> Any:
    @intrinsic
    def at(typing_context: Any, place: Any) -> Any:
        """Read the scalar at an address."""

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return builder.load(builder.inttoptr(arguments[0], context.get_value_type(scalar).as_pointer()))

        return scalar(types.int64), generate

    return at


def _place(scalar: Any) -> Any:
    @intrinsic
    def place(typing_context: Any, address: Any) -> Any:
        """Give the scalars at an address, to be read and written."""

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return builder.inttoptr(arguments[0], context.get_value_type(scalar).as_pointer())

        return types.CPointer(scalar)(types.int64), generate

    return place


def _invoke(*kinds: Any) -> Any:
    """Make a function that calls the C function at an address, which takes arguments of `kinds` and gives a word."""

    @intrinsic
    def invoke(typing_context: Any, function: Any, arguments: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            word = ir.IntType(64)
            expected = [context.get_value_type(kind) for kind in kinds]
            pointer = builder.inttoptr(values[0], ir.FunctionType(word, expected).as_pointer())
            given = cgutils.unpack_tuple(builder, values[1], len(kinds))
            return builder.call(
                pointer,
                [v if v.type == kind else builder.trunc(v, kind) for v, kind in zip(given, expected, strict=True)],
            )

        return types.int64(types.int64, types.UniTuple(types.int64, len(kinds))), generate

    return invoke


@intrinsic
def address(typing_context: Any, pointer: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.ptrtoint(arguments[0], ir.IntType(64))

    return types.int64(pointer), generate


def _scopes(builder: Any) -> tuple[Any, list[Any]]:
    """Give the alias scopes of a fused loop: that of its inputs, and those of its outputs."""
    module = builder.module
    domain = module.add_metadata(["nbgrad fused loop"])
    return module.add_metadata(["inputs", domain]), [
        module.add_metadata([f"output {i}", domain]) for i in range(OUTPUTS)
    ]


def _apart(builder: Any, instruction: Any, output: int | None) -> Any:
    """Mark a load or store as one of an input, or of the output of a number; returns it."""
    inputs, outputs = _scopes(builder)
    mine = inputs if output is None else outputs[output]
    others = [scope for scope in (inputs, *outputs) if scope is not mine]
    instruction.set_metadata("alias.scope", builder.module.add_metadata([mine]))
    instruction.set_metadata("noalias", builder.module.add_metadata(others))
    return instruction


def _access(output: int | None, writes: bool) -> Any:
    """Make a load or store that promises LLVM that inputs, and the outputs by their numbers, are apart in memory.

    Without the promise LLVM compares all pointers before the loop, and gives up where they are many.
    """

    def place(builder: Any, pointer: Any, index: Any) -> Any:
        return builder.gep(pointer, [index])

    if writes:

        @intrinsic
        def store(typing_context: Any, pointer: Any, index: Any, value: Any) -> Any:
            def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
                _apart(builder, builder.store(arguments[2], place(builder, *arguments[:2])), output)
                return context.get_dummy_value()

            return types.void(pointer, index, pointer.dtype), generate

        return store

    @intrinsic
    def load(typing_context: Any, pointer: Any, index: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return _apart(builder, builder.load(place(builder, *arguments)), output)

        return pointer.dtype(pointer, index), generate

    return load


def _is_within(builder: Any, turn: Any, first: Any, count: Any) -> Any:
    """Compare once: what is before the first is far beyond all others, without a sign."""
    return builder.icmp_unsigned("<", builder.sub(turn, first), count)


@intrinsic
def load_within(typing_context: Any, pointer: Any, index: Any, turn: Any, first: Any, count: Any) -> Any:
    """Load an element if the turn is one of `count` from the first on, and give zero in all others."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        place, index, *where = arguments
        before = builder.block
        with builder.if_then(_is_within(builder, *where)):
            value = _apart(builder, builder.load(builder.gep(place, [index])), None)
            inside = builder.block
        phi = builder.phi(value.type)
        phi.add_incoming(ir.Constant(value.type, 0), before)
        phi.add_incoming(value, inside)
        return phi

    return pointer.dtype(pointer, index, types.int64, types.int64, types.int64), generate


@intrinsic
def within(typing_context: Any, value: Any, turn: Any, first: Any, count: Any) -> Any:
    """Give a value if the turn is one of `count` from the first on, and zero in all others."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        value, *where = arguments
        return builder.select(_is_within(builder, *where), value, ir.Constant(value.type, 0))

    return value(value, types.int64, types.int64, types.int64), generate


@intrinsic
def align_stack(typing_context: Any) -> Any:
    """Have the stack's frame begin at a whole vector, so that vectors kept there do not straddle cache lines."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        builder.function.attributes.alignstack = 64
        return context.get_dummy_value()

    return types.void(), generate


def _clear_status(everywhere: bool) -> Any:
    @intrinsic
    def clear_exceptions(typing_context: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            word = ir.IntType(32)
            x86 = platform.machine().lower() in ("x86_64", "amd64")
            if x86 and not everywhere:
                byte_pointer = ir.IntType(8).as_pointer()
                place = cgutils.alloca_once(builder, word)
                raw = builder.bitcast(place, byte_pointer)
                function_type = ir.FunctionType(ir.VoidType(), [byte_pointer])
                store = cgutils.get_or_insert_function(builder.module, function_type, "llvm.x86.sse.stmxcsr")
                load = cgutils.get_or_insert_function(builder.module, function_type, "llvm.x86.sse.ldmxcsr")
                builder.call(store, [raw])
                builder.store(builder.and_(builder.load(place), ir.Constant(word, ~0x3F & 0xFFFFFFFF)), place)
                builder.call(load, [raw])
            else:
                function_type = ir.FunctionType(word, [word])
                clear = cgutils.get_or_insert_function(builder.module, function_type, "feclearexcept")
                builder.call(clear, [ir.Constant(word, 0x3D if x86 else 0x1F)])  # FE_ALL_EXCEPT
            return context.get_dummy_value()

        return types.void(), generate

    return clear_exceptions


@intrinsic
def share(typing_context: Any, args: Any, dims: Any, steps: Any, data: Any) -> Any:
    """Call the thread pool's entry, whose address is the second word of `data`."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kinds = [value.type for value in arguments]
        function_type = ir.FunctionType(ir.VoidType(), kinds)
        words = builder.bitcast(arguments[3], function_type.as_pointer().as_pointer())
        entry = builder.load(builder.gep(words, [ir.Constant(ir.IntType(64), 1)]))
        builder.call(entry, arguments)
        return context.get_dummy_value()

    return types.void(args, dims, steps, data), generate


NAMESPACE: dict[str, Any] = {
    "math": math,
    "np": np,
    "address": address,
    "align_stack": align_stack,
    "word_at": _at(types.int64),
    "int_at": _at(types.int32),
    **{f"{name}_place": _place(_SCALARS[name]) for name in ("int32", "float32", "float64")},
    # void PyObject_IncRef(object); object PyArray_NewFromDescr(...); object PyObject_Vectorcall(...); a loop
    "invoke_1": _invoke(types.int64),
    "invoke_new_array": _invoke(*[types.int64] * 2, types.int32, *[types.int64] * 3, types.int32, types.int64),
    "invoke_2": _invoke(*[types.int64] * 2),
    "invoke_3": _invoke(*[types.int64] * 3),
    "invoke_4": _invoke(*[types.int64] * 4),
    **{name: getattr(atomics, name) for name in atomics.__all__},
    "share": share,
    # NumPy reads the floating-point status after a loop and would report what it finds as RuntimeWarnings. The C
    # library's fmod still computes on the x87 unit, which has a status of its own.
    "clear_exceptions": _clear_status(everywhere=False),
    "clear_all_exceptions": _clear_status(everywhere=True),
    "bool": np.uint8,
    "int64_operands": _lanes_of(types.int64, MOST_OPERANDS),
    "load": _access(None, False),
    "load_within": load_within,
    "within": within,
    **{f"load_back_{i}": _access(i, False) for i in range(OUTPUTS)},
    **{f"store_{i}": _access(i, True) for i in range(OUTPUTS)},
    **{f"{name}_pointer": _pointer_to(scalar) for name, scalar in _SCALARS.items()},
    **{f"{name}_lanes": _lanes_of(scalar) for name, scalar in _SCALARS.items()},
    **{f"{name}_chunk": _lanes_of(scalar, CHUNK) for name, scalar in _SCALARS.items()},
    **{name: getattr(np, name) for name in _SCALARS if name != "bool"},
}


#: Inlined whole into its entry, a loop that cannot fail loses the entry's way of reporting failures, and with it
#: every symbol that only Numba could provide.
_OPTIONS = {"error_model": "numpy", "forceinline": True}

#: Intrinsics that LLVM turns into calls of the C library.
_LIBRARY_INTRINSICS = ("exp", "exp2", "log", "log2", "log10", "pow", "sin", "cos", "fma")


def _symbol_of(name: str) -> str | None:
    """Give the symbol that a declaration in LLVM's module may end up as."""
    if not name.startswith("llvm."):
        return name
    parts = name.split(".")
    if parts[1] in _LIBRARY_INTRINSICS and parts[-1] in ("f32", "f64"):
        return parts[1] + ("f" if parts[-1] == "f32" else "")
    return None


def compile_callback(function: Any, signature: Any, options: dict[str, Any]) -> Any:
    """Compile a function with Numba to a callback that C can call."""
    # Numba names symbols after the function; a name of its own keeps loops apart once they share a process.
    function.__name__ = function.__qualname__ = f"{function.__name__}_{uuid.uuid4().hex}"
    kind = signature.args, signature.return_type
    pipeline: Any = KernelCompiler
    callback: Any = CFunc(function, kind, {}, _OPTIONS | options, pipeline_class=pipeline)
    callback.compile()
    return callback


def compile_function(function: Any, signature: Any, options: dict[str, Any]) -> CompiledKernel:
    """Compile a function with Numba and give its object code."""
    callback = compile_callback(function, signature, options)
    library = callback._library
    declared = [_symbol_of(f.name) for f in library._final_module.functions if f.is_declaration]
    undefined = tuple(sorted({symbol for symbol in declared if symbol is not None}))
    return CompiledKernel(callback.native_name, undefined, library._get_compiled_object())
