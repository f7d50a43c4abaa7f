"""What elementary functions call besides each other: LLVM's intrinsics and a few operations on bits."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ..processor import target
from .beyond import called_beyond
from .kinds import INT32, INT64, TRUTH, Kind, Value, number
from .source import Source
from .writer import Writer


def _intrinsic(name: str) -> Callable[..., Value]:
    """Make LLVM's intrinsic of a name a function of numbers of one dtype."""

    def call(writer: Writer, *arguments: Any) -> Value:
        kind = next(x.kind for x in arguments if isinstance(x, Value))
        return writer.intrinsic(name, *(writer.convert(x, kind) for x in arguments))

    return call


def _layout(kind: Kind) -> tuple[Kind, int, int]:
    """Give the kind of whole numbers of a floating kind's size, the exponent's bias and the mantissa's bits."""
    return (Kind("int32", "i", 32), 127, 23) if kind.bits == 32 else (INT64, 1023, 52)


def _bits(writer: Writer, x: Value) -> Value:
    return writer.make(_layout(x.kind)[0], f"bitcast {x.typed} to i{x.kind.bits}")


def _from_bits(writer: Writer, bits: Value, kind: Kind) -> Value:
    return writer.make(kind, f"bitcast {bits.typed} to {kind.llvm}")


def _whole(writer: Writer, operator: str, x: Value, y: Any) -> Value:
    return writer.make(x.kind, f"{operator} {x.typed}, {y.text if isinstance(y, Value) else y}")


def _polynomial(writer: Writer, x: Value, coefficients: Any) -> Value:
    """Evaluate a polynomial by Horner's rule in fused multiplications and additions; lowest power first."""
    *rest, value = coefficients
    value = writer.convert(value, x.kind)
    for coefficient in reversed(rest):
        value = writer.intrinsic("fma", value, x, writer.convert(coefficient, x.kind))
    return value


def _power_of_two(writer: Writer, k: Value) -> Value:
    """Give 2**k for whole k in the range of normal numbers, by writing the exponent's bits."""
    integer, bias, shift = _layout(k.kind)
    bits = _whole(writer, "add", writer.convert(k, integer), bias)
    return _from_bits(writer, _whole(writer, "shl", bits, shift), k.kind)


def _scale(writer: Writer, y: Value, k: Value) -> Value:
    """Give y * 2**k for whole k of at most twice a normal number's exponent."""
    y = writer.convert(y, k.kind)
    if "+avx512f" in target()[1]:
        # one instruction, vscalef; elsewhere LLVM would call the C library
        result: Value = writer.call(y.kind, f"llvm.ldexp.{y.kind.suffix}.i32", y, writer.convert(k, INT32))
        return result
    # in two steps, since 2**k alone may be out of range where the product is not
    integer, bias, shift = _layout(k.kind)
    whole = writer.convert(k, integer)
    half = _whole(writer, "ashr", whole, 1)
    for part in (half, _whole(writer, "sub", whole, half)):
        power = _from_bits(writer, _whole(writer, "shl", _whole(writer, "add", part, bias), shift), k.kind)
        y = writer.make(y.kind, f"fmul {y.typed}, {power.text}")
    return y


def _ordinal(writer: Writer, x: Value) -> Value:
    """Give the bits of x, read as a whole number: nearly linear in the logarithm of x, for positive x."""
    return writer.convert(_bits(writer, x), x.kind)


def _from_ordinal(writer: Writer, ordinal: Value) -> Value:
    """Give the number of which `ordinal` is the ordinal."""
    return _from_bits(writer, writer.convert(ordinal, _layout(ordinal.kind)[0]), ordinal.kind)


def _split(part: str) -> Callable[[Writer, Value], Value]:
    def split(writer: Writer, x: Value) -> Value:
        """Give k, or m, of x = m * 2**k with m in [sqrt(1/2), sqrt(2)), for positive normal x."""
        _, _, shift = _layout(x.kind)
        single = x.kind.bits == 32
        root = np.array(math.sqrt(0.5), np.float32 if single else np.float64).view(f"i{4 if single else 8}")
        bits = _bits(writer, x)
        # the difference's upper bits, sign included, count the powers of two from sqrt(1/2)
        k = _whole(writer, "ashr", _whole(writer, "sub", bits, int(root)), shift)
        if part == "exponent":
            return writer.convert(k, x.kind)
        return _from_bits(writer, _whole(writer, "sub", bits, _whole(writer, "shl", k, shift)), x.kind)

    return split


def _to_top(writer: Writer, x: Value, place: Any) -> tuple[Value, Value, Value]:
    """Give a number's bits, how far to shift them to bring the one at `place` to the top, and the top bit alone."""
    integer, _, _ = _layout(x.kind)
    last = integer.bits - 1
    up = _whole(writer, "and", _whole(writer, "sub", number(last, integer), writer.convert(place, integer)), last)
    return _bits(writer, x), up, number(1 << last, integer)


def _has_bit(writer: Writer, x: Value, place: Any) -> Value:
    """Tell whether a bit of the number's representation is set; place 0 is the lowest."""
    bits, up, _ = _to_top(writer, x, place)
    return writer.make(TRUTH, f"icmp slt {_whole(writer, 'shl', bits, up).typed}, 0")


def _flip_sign(writer: Writer, y: Value, x: Value, place: Any) -> Value:
    """Give -y where a bit of x's representation is set, else y; place 0 is the lowest, and -1 x's own sign."""
    bits, up, sign = _to_top(writer, x, place)
    flip = _whole(writer, "and", _whole(writer, "shl", bits, up), sign)
    return _from_bits(writer, _whole(writer, "xor", _bits(writer, y), flip), y.kind)


def _beyond(writer: Writer, x: Value, limit: Any, usual: Value, rare: Source) -> Value:
    """Give ``rare(x) if absolute(x) > limit else usual``, where x hardly ever is beyond the limit.

    `rare` may have branches, loops and tables: it is called out of line, for one number at a time, and only if there
    is need. To LLVM this is a call of a function without side effects that has variants for vectors, so that the loop
    around it is vectorised all the same. Each variant compares all its numbers at once, and gives `usual` back if
    none is beyond the limit; or else calls the variant for half as many numbers on both halves.
    """
    compiled = writer.calling(rare, (x.kind,))
    rarely = f"%y = call {x.kind.llvm} @{compiled.name}({x.kind.llvm} %x)"
    return called_beyond(writer, f"beyond_{rare.name}", x, limit, usual, rarely)


#: The names that the elementary functions call them by.
NAMESPACE: dict[str, Any] = {
    "absolute": _intrinsic("fabs"),
    "beyond": _beyond,
    "copysign": _intrinsic("copysign"),
    "exponent": _split("exponent"),
    "flip_sign": _flip_sign,
    "fma": _intrinsic("fma"),
    "has_bit": _has_bit,
    "mantissa": _split("mantissa"),
    "from_ordinal": _from_ordinal,
    "ordinal": _ordinal,
    "polynomial": _polynomial,
    "power_of_two": _power_of_two,
    "rint": _intrinsic("rint"),
    "scale": _scale,
    "square_root": _intrinsic("sqrt"),
}
