"""What a generated CUDA kernel may call."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from llvmlite import ir
from numba import cuda
from numba.cuda import cgutils, types
from numba.cuda.extending import intrinsic

from ..cpu import elementary
from ..cpu.elementary import intrinsics as host
from . import random
from .inlining import Inlined


def _libdevice(name: str, arity: int) -> Any:
    """Make NVIDIA's function of a name a function of `arity` numbers of one dtype."""

    def typed(kinds: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            kind = arguments[0].type
            symbol = f"__nv_{name}" + ("f" if isinstance(kind, ir.FloatType) else "")
            function_type = ir.FunctionType(kind, [kind] * arity)
            return builder.call(cgutils.get_or_insert_function(builder.module, function_type, symbol), arguments)

        return kinds[0](*kinds), generate

    if arity == 1:
        return intrinsic(lambda typing_context, x: typed([x]))
    return intrinsic(lambda typing_context, x, y: typed([x, y]))


@intrinsic
def _scale(typing_context: Any, y: Any, k: Any) -> Any:
    """Give y * 2**k, by halves."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return host.scale_by_halves(builder, signature.return_type, *arguments)

    return y(y, k), generate


@intrinsic
def _beyond(typing_context: Any, x: Any, limit: Any, usual: Any, rare: Any) -> Any:
    """Give ``rare(x) if absolute(x) > limit else usual``, by a branch."""
    inner = rare.get_call_type(typing_context, (x,), {})

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kind = arguments[0].type
        fabs = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(kind, [kind]), "__nv_fabs" + ("f" if x == types.float32 else "")
        )
        far = builder.fcmp_ordered(">", builder.call(fabs, [arguments[0]]), arguments[1])
        place = cgutils.alloca_once_value(builder, arguments[2])
        with cgutils.if_unlikely(builder, far):
            made = context.get_function(rare, inner)
            for library in getattr(made, "libs", ()):
                context.active_code_library.add_linking_library(library)
            builder.store(made(builder, [arguments[0]]), place)
        return builder.load(place)

    return usual(x, limit, usual, rare), generate


@intrinsic
def _float32_of_half(typing_context: Any, bits: Any) -> Any:
    """Give the number whose representation in float16 has the given bits."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.fpext(builder.bitcast(arguments[0], ir.HalfType()), ir.FloatType())

    return types.float32(bits), generate


def vector_load(make: Any, space: int) -> Any:
    """Make ``load_vector(pointer, index)``: 16 bytes at once, as a tuple; `space` is LLVM's for what is pointed to."""

    @make
    def load_vector(typing_context: Any, pointer: Any, index: Any) -> Any:
        scalar = pointer.dtype
        lanes = 128 // scalar.bitwidth

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            kind = ir.VectorType(context.get_data_type(scalar), lanes)
            place = builder.bitcast(builder.gep(arguments[0], [arguments[1]]), kind.as_pointer())
            if space:
                place = builder.addrspacecast(place, kind.as_pointer(space))
            vector = builder.load(place, align=16)
            numbers = [builder.extract_element(vector, ir.Constant(ir.IntType(32), i)) for i in range(lanes)]
            return cgutils.pack_array(builder, numbers)

        return types.UniTuple(scalar, lanes)(pointer, index), generate

    return load_vector


def vector_store(make: Any, space: int) -> Any:
    """Make ``store_vector(pointer, index, numbers)``: 16 bytes at once."""

    @make
    def store_vector(typing_context: Any, pointer: Any, index: Any, values: Any) -> Any:
        scalar = pointer.dtype
        lanes = len(values)

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            kind = ir.VectorType(context.get_data_type(scalar), lanes)
            vector = ir.Constant(kind, ir.Undefined)
            for i, value in enumerate(cgutils.unpack_tuple(builder, arguments[2], lanes)):
                vector = builder.insert_element(vector, value, ir.Constant(ir.IntType(32), i))
            place = builder.bitcast(builder.gep(arguments[0], [arguments[1]]), kind.as_pointer())
            if space:
                place = builder.addrspacecast(place, kind.as_pointer(space))
            builder.store(vector, place, align=16)
            return context.get_dummy_value()

        return types.void(pointer, index, types.UniTuple(scalar, lanes)), generate

    return store_vector


_INTRINSICS = host.NAMESPACE | {
    "absolute": _libdevice("fabs", 1),
    "beyond": _beyond,
    "copysign": _libdevice("copysign", 2),
    "rint": _libdevice("rint", 1),
    "scale": _scale,
    "square_root": _libdevice("sqrt", 1),
}

_GLOBAL = 1  # LLVM's number for global memory

#: What the text of a kernel may name.
NAMESPACE: dict[str, Any] = {
    "cuda": cuda,
    "math": math,
    "np": np,
    "bool": np.uint8,
    **{name: getattr(np, name) for name in ("float32", "float64", "int8", "int16", "int32", "int64")},
    **{name: getattr(np, name) for name in ("uint8", "uint16", "uint32", "uint64")},
    "float32_of_half": _float32_of_half,
    "load_vector": vector_load(intrinsic, _GLOBAL),
    "store_vector": vector_store(intrinsic, _GLOBAL),
    **elementary.specialise(Inlined, _INTRINSICS),
}
NAMESPACE |= random.functions(NAMESPACE, Inlined)
