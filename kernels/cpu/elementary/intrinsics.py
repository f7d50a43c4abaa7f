"""LLVM's intrinsics and a few bit operations, for elementary functions in what Numba compiles."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from llvmlite import ir
from llvmlite.ir.values import FunctionAttributes
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from ..processor import target


def _llvm(name: str, arity: int) -> Any:
    """Make LLVM's intrinsic of a name a function of `arity` numbers of one dtype."""

    def typed(kinds: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return _call(builder, name, arguments)

        return kinds[0](*kinds), generate

    if arity == 1:
        return intrinsic(lambda typing_context, x: typed([x]))
    if arity == 2:
        return intrinsic(lambda typing_context, x, y: typed([x, y]))
    return intrinsic(lambda typing_context, x, y, z: typed([x, y, z]))


def _call(builder: Any, name: str, arguments: Any) -> Any:
    kind = arguments[0].type
    suffix = "f32" if isinstance(kind, ir.FloatType) else "f64"
    function_type = ir.FunctionType(kind, [kind] * len(arguments))
    return builder.call(
        cgutils.get_or_insert_function(builder.module, function_type, f"llvm.{name}.{suffix}"), arguments
    )


def _layout(kind: Any) -> tuple[Any, int, int]:
    """Give the integer type, the exponent's bias and the mantissa's bits of a floating type."""
    return (ir.IntType(32), 127, 23) if kind == types.float32 else (ir.IntType(64), 1023, 52)


@intrinsic
def _polynomial(typing_context: Any, x: Any, coefficients: Any) -> Any:
    """Evaluate a polynomial by Horner's rule in fused multiplications and additions; lowest power first."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        *rest, value = cgutils.unpack_tuple(builder, arguments[1], len(coefficients))
        for coefficient in reversed(rest):
            value = _call(builder, "fma", [value, arguments[0], coefficient])
        return value

    return x(x, coefficients), generate


@intrinsic
def _power_of_two(typing_context: Any, k: Any) -> Any:
    """Give 2**k for whole k in the range of normal numbers, by writing the exponent's bits."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        integer, bias, shift = _layout(k)
        bits = builder.add(builder.fptosi(arguments[0], integer), ir.Constant(integer, bias))
        return builder.bitcast(builder.shl(bits, ir.Constant(integer, shift)), arguments[0].type)

    return k(k), generate


@intrinsic
def _scale(typing_context: Any, y: Any, k: Any) -> Any:
    """Give y * 2**k for whole k of at most twice a normal number's exponent."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        y, k = arguments
        integer, _, _ = _layout(signature.return_type)
        whole = builder.fptosi(k, ir.IntType(32))
        if "+avx512f" in target()[1]:
            # one instruction, vscalef; elsewhere LLVM would call the C library
            suffix = "f32.i32" if integer.width == 32 else "f64.i32"
            function_type = ir.FunctionType(y.type, [y.type, ir.IntType(32)])
            ldexp = cgutils.get_or_insert_function(builder.module, function_type, f"llvm.ldexp.{suffix}")
            return builder.call(ldexp, [y, whole])
        return scale_by_halves(builder, signature.return_type, y, k)

    return y(y, k), generate


def scale_by_halves(builder: Any, kind: Any, y: Any, k: Any) -> Any:
    """Multiply by 2**k in two steps, since 2**k alone may be out of range where the product is not."""
    integer, bias, shift = _layout(kind)
    whole = builder.fptosi(k, integer)
    half = builder.ashr(whole, ir.Constant(integer, 1))
    for part in (half, builder.sub(whole, half)):
        bits = builder.shl(builder.add(part, ir.Constant(integer, bias)), ir.Constant(integer, shift))
        y = builder.fmul(y, builder.bitcast(bits, y.type))
    return y


@intrinsic
def _ordinal(typing_context: Any, x: Any) -> Any:
    """Give the bits of x, read as a whole number: nearly linear in the logarithm of x, for positive x."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        integer, _, _ = _layout(x)
        return builder.sitofp(builder.bitcast(arguments[0], integer), arguments[0].type)

    return x(x), generate


@intrinsic
def _from_ordinal(typing_context: Any, number: Any) -> Any:
    """Give the number of which `number` is the ordinal."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        integer, _, _ = _layout(number)
        return builder.bitcast(builder.fptosi(arguments[0], integer), arguments[0].type)

    return number(number), generate


def _split(part: str) -> Any:
    @intrinsic
    def split(typing_context: Any, x: Any) -> Any:
        """Give k, or m, of x = m * 2**k with m in [sqrt(1/2), sqrt(2)), for positive normal x."""

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            integer, _, shift = _layout(x)
            single = x == types.float32
            root = np.array(math.sqrt(0.5), np.float32 if single else np.float64).view(f"i{4 if single else 8}")
            bits = builder.bitcast(arguments[0], integer)
            # the difference's upper bits, sign included, count the powers of two from sqrt(1/2)
            k = builder.ashr(builder.sub(bits, ir.Constant(integer, int(root))), ir.Constant(integer, shift))
            if part == "exponent":
                return builder.sitofp(k, arguments[0].type)
            rest = builder.sub(bits, builder.shl(k, ir.Constant(integer, shift)))
            return builder.bitcast(rest, arguments[0].type)

        return x(x), generate

    return split


@intrinsic
def _has_bit(typing_context: Any, x: Any, place: Any) -> Any:
    """Tell whether a bit of the number's representation is set; place 0 is the lowest."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        bits, up, _ = _to_top(builder, x, arguments[0], arguments[1])
        return builder.icmp_signed("<", builder.shl(bits, up), ir.Constant(bits.type, 0))

    return types.boolean(x, place), generate


@intrinsic
def _flip_sign(typing_context: Any, y: Any, x: Any, place: Any) -> Any:
    """Give -y where a bit of x's representation is set, else y; place 0 is the lowest, and -1 x's own sign."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        bits, up, sign = _to_top(builder, x, arguments[1], arguments[2])
        flip = builder.and_(builder.shl(bits, up), sign)
        return builder.bitcast(builder.xor(builder.bitcast(arguments[0], bits.type), flip), arguments[0].type)

    return y(y, x, place), generate


def _to_top(builder: Any, kind: Any, number: Any, place: Any) -> tuple[Any, Any, Any]:
    """Give a number's bits, how far to shift them to bring the one at `place` to the top, and the top bit alone."""
    integer, _, _ = _layout(kind)
    last = ir.Constant(integer, integer.width - 1)
    place = place if place.type == integer else builder.trunc(place, integer)
    up = builder.and_(builder.sub(last, place), last)
    return builder.bitcast(number, integer), up, ir.Constant(integer, 1 << (integer.width - 1))


#: Numbers in a vector, for which there are variants of a function.
_WIDTHS = (2, 4, 8, 16)


class _Vectorisable(FunctionAttributes):  # type: ignore[misc]
    """The attributes of a function of which LLVM's vectoriser finds variants for vectors, by LLVM's name mangling."""

    def __init__(self, name: str) -> None:
        variants = ",".join(f"_ZGV_LLVM_N{width}vvv_{name}({name}_{width})" for width in _WIDTHS)
        mapping = f'"vector-function-abi-variant"="{variants}"'
        self._known = FunctionAttributes._known | {mapping, "willreturn"}
        super().__init__(("noinline", "nounwind", "readnone", "willreturn", mapping))


@intrinsic
def _beyond(typing_context: Any, x: Any, limit: Any, usual: Any, rare: Any) -> Any:
    """Give ``rare(x) if absolute(x) > limit else usual``, where x hardly ever is beyond the limit.

    `rare` may have branches, loops and tables: it is called out of line, for one number at a time, and only if there
    is need. To LLVM this is a call of a function without side effects that has variants for vectors, so that the loop
    around it is vectorised all the same. Each variant compares all its numbers at once, and gives `usual` back if
    none is beyond the limit; or else calls the variant for half as many numbers on both halves.
    """
    inner = rare.get_call_type(typing_context, (x,), {})

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        name = f"beyond_{rare.dispatcher.__name__}"
        if name not in builder.module.globals:
            compiled = rare.dispatcher.overloads[(x,)]
            context.active_code_library.add_linking_library(compiled.library)

            def call_rare(inside: Any, y: Any, x: Any, limit: Any) -> Any:
                return context.call_internal_no_propagate(inside, compiled.fndesc, inner, [x])[1]

            _define_beyond(builder.module, name, arguments[0].type, call_rare)
        # what is given back most often comes first: it is in the right register then
        return builder.call(builder.module.globals[name], [arguments[2], arguments[0], arguments[1]])

    return usual(x, limit, usual, rare), generate


def _define_beyond(module: Any, name: str, scalar: Any, call_rare: Any) -> None:
    """Define the function of (usual, x, limit) and its variants for vectors."""

    def define(width: int, rest: Any) -> Any:
        """Define a variant; `rest` writes what it does if a number is beyond the limit."""
        kind = ir.VectorType(scalar, width) if width > 1 else scalar
        function = ir.Function(module, ir.FunctionType(kind, [kind] * 3), f"{name}_{width}" if width else name)
        function.linkage = "linkonce_odr"
        function.attributes = FunctionAttributes(("noinline", "nounwind")) if width else _Vectorisable(name)
        builder = ir.IRBuilder(function.append_basic_block())
        usual, x, limit = function.args
        suffix = (f"v{width}" if width > 1 else "") + ("f32" if isinstance(scalar, ir.FloatType) else "f64")
        fabs = cgutils.get_or_insert_function(module, ir.FunctionType(kind, [kind]), f"llvm.fabs.{suffix}")
        far = builder.fcmp_ordered(">", builder.call(fabs, [x]), limit)
        if width > 1:
            word = ir.IntType(width)
            far = builder.icmp_unsigned("!=", builder.bitcast(far, word), ir.Constant(word, 0))
        hit, done = function.append_basic_block(), function.append_basic_block()
        builder.cbranch(far, hit, done).set_weights([1, 1 << 20])
        builder.position_at_end(done)
        builder.ret(usual)
        builder.position_at_end(hit)
        builder.ret(rest(builder, *function.args))
        return function

    def lane(i: int) -> Any:
        return ir.Constant(ir.IntType(32), i)

    def halves_of(width: int, half: Any) -> Any:
        def call_on_halves(builder: Any, *vectors: Any) -> Any:
            if width == 2:
                result = vectors[0]
                for i in range(2):
                    given = [builder.extract_element(vector, lane(i)) for vector in vectors]
                    result = builder.insert_element(result, builder.call(half, given), lane(i))
                return result
            places = range(0, width // 2), range(width // 2, width)
            masks = [ir.Constant(ir.VectorType(ir.IntType(32), width // 2), list(part)) for part in places]
            parts = [
                builder.call(half, [builder.shuffle_vector(vector, vector, mask) for vector in vectors])
                for mask in masks
            ]
            whole = ir.Constant(ir.VectorType(ir.IntType(32), width), list(range(width)))
            return builder.shuffle_vector(*parts, whole)

        return call_on_halves

    def through_widest(builder: Any, *numbers: Any) -> Any:
        """Have the variants, of which nothing else knows yet, kept: by calling the widest of them for one number."""
        kind = ir.VectorType(scalar, _WIDTHS[-1])
        vectors = [builder.insert_element(ir.Constant(kind, None), number, lane(0)) for number in numbers]
        return builder.extract_element(builder.call(module.globals[f"{name}_{_WIDTHS[-1]}"], vectors), lane(0))

    half = define(1, call_rare)
    for width in _WIDTHS:
        half = define(width, halves_of(width, half))
    define(0, through_widest)


#: The names that the elementary functions call them by.
NAMESPACE: dict[str, Any] = {
    "absolute": _llvm("fabs", 1),
    "beyond": _beyond,
    "copysign": _llvm("copysign", 2),
    "exponent": _split("exponent"),
    "flip_sign": _flip_sign,
    "fma": _llvm("fma", 3),
    "has_bit": _has_bit,
    "mantissa": _split("mantissa"),
    "from_ordinal": _from_ordinal,
    "ordinal": _ordinal,
    "polynomial": _polynomial,
    "power_of_two": _power_of_two,
    "rint": _llvm("rint", 1),
    "scale": _scale,
    "square_root": _llvm("sqrt", 1),
}
