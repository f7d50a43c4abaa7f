"""What is rare, and long, behind a call that LLVM takes for vectors: loops around it are vectors' all the same.

`writer` is the one that a function is written by.
"""

from __future__ import annotations

from typing import Any

from .kinds import TRUTH, Kind, Value, number, value_of

#: The number of the metadata by which a branch is hardly ever taken.
RARE = 1

#: Numbers in a vector, for which there are variants of a function.
_WIDTHS = (2, 4, 8, 16)


def what_division_leaves(writer: Any, x: Value, y: Value) -> Value:
    """Give what whole multiples of y leave of x, with the sign of x but for 0: exactly, in loops of vectors.

    A quotient below 2**23 (2**52) is right to the whole number, or one too large: what a fused multiplication leaves
    has few enough digits, and is y off where the sign tells. Beyond that, numbers go one by one.
    """
    kind = x.kind
    quotient = writer.make(kind, f"fdiv {x.typed}, {y.text}")
    whole = writer.intrinsic("trunc", quotient)
    zero = number(0.0, kind)
    left = writer.intrinsic("fma", writer.make(kind, f"fneg {whole.typed}"), y, x)
    back = writer.make(kind, f"fadd {left.typed}, {writer.intrinsic('copysign', y, x).text}")
    sides = writer.compare("!=", writer.compare("<", left, zero), writer.compare("<", x, zero))
    off = writer.make(TRUTH, f"and {writer.compare('!=', left, zero).typed}, {sides.text}")
    usual = writer.select(writer.compare("==", whole, zero), x, writer.select(off, back, left))
    limit = number(2.0 ** (23 if kind.bits == 32 else 52), kind)
    rarely = f"%y = frem {kind.llvm} %more0, %more1"
    return called_beyond(writer, f"beyond_frem_{kind.suffix}", quotient, limit, usual, rarely, x, y)


def called_beyond(writer: Any, name: str, x: Value, limit: Any, usual: Value, rarely: str, *more: Value) -> Value:
    """Call what gives `usual` where x is within the limit, and what the text binds to ``%y`` where it is not."""
    function, kind = writer.function, x.kind
    function.defines[name] = _beyond_text(name, kind, rarely, len(more))
    suffixes = ["", *(f"v{width}" for width in _WIDTHS)]
    for suffix in suffixes:
        vector = kind.llvm if not suffix else f"<{suffix[1:]} x {kind.llvm}>"
        intrinsic = f"llvm.fabs.{suffix}{kind.suffix}"
        function.declares[intrinsic] = f"declare {vector} @{intrinsic}({vector})"
    # what is given back most often comes first: it is in the right register then
    arguments = ", ".join(writer.convert(value_of(a), kind).typed for a in (usual, x, limit, *more))
    return writer.make(kind, f"call {kind.llvm} @{name}({arguments})")


def _names(more: int) -> list[str]:
    return ["usual", "x", "limit", *(f"more{i}" for i in range(more))]


def _beyond_text(name: str, kind: Kind, rarely: str, more: int) -> str:
    """Write the function of (usual, x, limit, ...) and its variants for vectors."""
    scalar, names = kind.llvm, _names(more)
    variants = ",".join(f"_ZGV_LLVM_N{width}{'v' * len(names)}_{name}({name}_{width})" for width in _WIDTHS)
    texts = [_variant(name, kind, 1, [rarely], more)]
    for width in _WIDTHS:
        vector, half = f"<{width} x {scalar}>", width // 2
        lines: list[str] = []
        if width == 2:
            result = "%usual"
            for i in range(2):
                for given in names:
                    lines.append(f"%{given}_{i} = extractelement {vector} %{given}, i32 {i}")
                given = ", ".join(f"{scalar} %{part}_{i}" for part in names)
                lines.append(f"%y{i} = call {scalar} @{name}_1({given})")
                lines.append(f"%r{i} = insertelement {vector} {result}, {scalar} %y{i}, i32 {i}")
                result = f"%r{i}"
            lines.append(f"%y = select i1 true, {vector} {result}, {vector} {result}")
        else:
            part = f"<{half} x {scalar}>"
            for i in range(2):
                mask = ", ".join(f"i32 {j}" for j in range(i * half, i * half + half))
                for given in names:
                    lines.append(
                        f"%{given}_{i} = shufflevector {vector} %{given}, {vector} %{given}, <{half} x i32> <{mask}>"
                    )
                given = ", ".join(f"{part} %{one}_{i}" for one in names)
                lines.append(f"%y{i} = call {part} @{name}_{half}({given})")
            mask = ", ".join(f"i32 {j}" for j in range(width))
            lines.append(f"%y = shufflevector {part} %y0, {part} %y1, <{width} x i32> <{mask}>")
        texts.append(_variant(name, kind, width, lines, more))
    # the variants, of which nothing else knows yet, are kept: by calling the widest of them for one number
    widest = _WIDTHS[-1]
    vector = f"<{widest} x {scalar}>"
    lines = [f"%{g}v = insertelement {vector} undef, {scalar} %{g}, i32 0" for g in names]
    given = ", ".join(f"{vector} %{part}v" for part in names)
    lines += [f"%yv = call {vector} @{name}_{widest}({given})", f"%y = extractelement {vector} %yv, i32 0"]
    notes = f'noinline nounwind memory(none) willreturn "vector-function-abi-variant"="{variants}"'
    texts.append(_variant(name, kind, 0, lines, more, notes))
    return "\n".join(texts)


def _variant(name: str, kind: Kind, width: int, rest: list[str], more: int, notes: str = "noinline nounwind") -> str:
    """Write a variant; `rest` is what it does if a number is beyond the limit, and binds ``%y``."""
    vector = f"<{width} x {kind.llvm}>" if width > 1 else kind.llvm
    suffix = (f"v{width}" if width > 1 else "") + kind.suffix
    whole = f"{name}_{width}" if width else name
    given = ", ".join(f"{vector} %{one}" for one in _names(more))
    lines = [
        f"define linkonce_odr {vector} @{whole}({given}) {notes} {{",
        f"%size = call {vector} @llvm.fabs.{suffix}({vector} %x)",
        f"%far = fcmp ogt {vector} %size, %limit",
    ]
    far = "%far"
    if width > 1:
        lines += [f"%word = bitcast <{width} x i1> %far to i{width}", f"%any = icmp ne i{width} %word, 0"]
        far = "%any"
    lines += [f"br i1 {far}, label %hit, label %done, !prof !{RARE}", "done:", f"ret {vector} %usual", "hit:", *rest]
    return "\n".join([*lines, f"ret {vector} %y", "}"])
