"""What kernels call that is about memory: pointers, the stack, what lies apart, words that threads share."""

from __future__ import annotations

import math
import platform
from collections.abc import Callable, Collection
from types import SimpleNamespace
from typing import Any

import numpy as np

from ..sizes import CHUNK, LANES, MOST_OPERANDS, OUTPUTS, SIDE
from .beyond import RARE
from .kinds import INT32, INT64, SCALARS, TRUTH, UINT64, Kind, Pointer, Value, number, value_of
from .writer import Writer


def _pointer_to(kind: Kind) -> Callable[..., Value]:
    return lambda writer, raw: Value(Pointer(kind), raw.text)


def _stack(kind: Kind, count: int) -> Callable[..., Value]:
    """Reserve `count` elements on the stack."""
    return lambda writer: writer.reserve(kind, count, 64)


def _room(kind: Kind) -> Callable[..., Value]:
    """Reserve a number of elements on the stack."""
    return lambda writer, count: writer.reserve(kind, count, 64)


def _offset(writer: Writer, pointer: Value, index: Any) -> Value:
    """Give a pointer to an element."""
    return writer.at(pointer, index)


def _place(kind: Kind) -> Callable[..., Value]:
    """Give the scalars at an address, to be read and written."""
    return lambda writer, place: writer.make(Pointer(kind), f"inttoptr {value_of(place).typed} to ptr")


def _at(kind: Kind) -> Callable[..., Value]:
    """Read the scalar at an address."""
    return lambda writer, place: writer.load(_place(kind)(writer, place))


def _address(writer: Writer, pointer: Value) -> Value:
    return writer.make(INT64, f"ptrtoint {pointer.typed} to i64")


def _invoke(*kinds: Kind) -> Callable[..., Value]:
    """Make a function that calls the C function at an address, which takes arguments of `kinds` and gives a word."""

    def invoke(writer: Writer, function: Any, arguments: tuple[Any, ...]) -> Value:
        place = writer.make(Pointer(INT64), f"inttoptr {value_of(function).typed} to ptr")
        given = [writer.convert(value_of(x), kind) for x, kind in zip(arguments, kinds, strict=True)]
        writer.effects += 1
        return writer.make(INT64, f"call i64 {place.text}({', '.join(value.typed for value in given)})")

    return invoke


# ---- loops' operands ------------------------------------------------------------------------------------------------

#: Metadata by numbers: the domain of scopes, how rare a branch is; scopes (0 the inputs'), each alone, all others.
_DOMAIN, _SCOPES, _ALONE, _OTHERS = 0, 2, 100, 200


def metadata(scopes: Collection[int]) -> str:
    """Write the metadata that instructions refer to: the alias scopes of a fused loop, and how rare a branch is."""
    lines = [f'!{_DOMAIN} = !{{!"nbgrad fused loop"}}', f'!{RARE} = !{{!"branch_weights", i32 1, i32 1048576}}']
    for i in scopes:
        others = ", ".join(f"!{_SCOPES + j}" for j in scopes if j != i)
        lines.append(f'!{_SCOPES + i} = !{{!"{i}", !{_DOMAIN}}}')
        lines.append(f"!{_ALONE + i} = !{{!{_SCOPES + i}}}")
        lines.append(f"!{_OTHERS + i} = !{{{others}}}")
    return "\n".join(lines)


def _access(output: int | None, writes: bool) -> Callable[..., Any]:
    """Make a load or store that promises LLVM that inputs, and the outputs by their numbers, are apart in memory.

    Without the promise LLVM compares all pointers before the loop, and gives up where they are many.
    """
    scope = 0 if output is None else 1 + output
    marks = f", !alias.scope !{_ALONE + scope}, !noalias !{_OTHERS + scope}"

    def store(writer: Writer, pointer: Value, index: Any, value: Any) -> None:
        writer.function.scopes.add(scope)
        writer.store(writer.at(pointer, index), value, marks)

    def load(writer: Writer, pointer: Value, index: Any) -> Value:
        writer.function.scopes.add(scope)
        return writer.load(writer.at(pointer, index), marks)

    return store if writes else load


def _is_within(writer: Writer, turn: Any, first: Any, count: Any) -> Value:
    """Compare once: what is before the first is far beyond all others, without a sign."""
    turn, first, count = (writer.convert(value_of(x), INT64) for x in (turn, first, count))
    place = writer.make(INT64, f"sub {turn.typed}, {first.text}")
    return writer.make(TRUTH, f"icmp ult {place.typed}, {count.text}")


def _load_within(writer: Writer, pointer: Value, index: Any, turn: Any, first: Any, count: Any) -> Value:
    """Load an input's element if the turn is one of `count` from the first on, and give zero in all others."""
    kind, before = pointer.kind.to, writer.label
    inside, after = writer.new_label(), writer.new_label()
    writer.branch(_is_within(writer, turn, first, count), inside, after)
    writer.begin(inside)
    value = NAMESPACE["load"](writer, pointer, index)
    writer.begin(after)
    zero = number(0.0 if kind.sort == "f" else 0, kind)
    return writer.make(kind, f"phi {kind.llvm} [{zero.text}, %{before}], [{value.text}, %{inside}]")


def _within(writer: Writer, value: Value, turn: Any, first: Any, count: Any) -> Value:
    """Give a value if the turn is one of `count` from the first on, and zero in all others."""
    zero = number(0.0 if value.kind.sort == "f" else 0, value.kind)
    found: Value = writer.select(_is_within(writer, turn, first, count), value, zero)
    return found


def _align_stack(writer: Writer) -> None:
    """Have the stack's frame begin at a whole vector, so that vectors kept there do not straddle cache lines."""
    writer.attributes.append("alignstack(64)")


def _short_vectors(writer: Writer) -> None:
    """Have vectors of 32 bytes, for short rows that begin anywhere: fewer of them straddle cache lines, or are left."""
    writer.attributes.append('"prefer-vector-width"="256"')


def _clear_status(everywhere: bool) -> Callable[[Writer], None]:
    def clear_exceptions(writer: Writer) -> None:
        x86 = platform.machine().lower() in ("x86_64", "amd64")
        if x86 and not everywhere:
            place = writer.reserve(INT32)
            writer.call(None, "llvm.x86.sse.stmxcsr", place, effect=True)
            status = writer.load(place)
            writer.store(place, writer.make(INT32, f"and {status.typed}, {~0x3F}"))
            writer.call(None, "llvm.x86.sse.ldmxcsr", place, effect=True)
        else:
            writer.call(INT32, "feclearexcept", number(0x3D if x86 else 0x1F, INT32), effect=True)  # FE_ALL_EXCEPT

    return clear_exceptions


def _share(writer: Writer, *arguments: Value) -> None:
    """Call the thread pool's entry, whose address is the second word of `data`."""
    words = Value(Pointer(Pointer(INT64)), arguments[3].text)
    entry = writer.load(writer.at(words, 1))
    writer.put(f"call void {entry.text}({', '.join(value.typed for value in arguments)})")


# ---- words that several threads share -------------------------------------------------------------------------------


def _atomic_get(writer: Writer, pointer: Value, index: Any) -> Value:
    """Read a word."""
    writer.effects += 1
    return writer.make(INT64, f"load atomic i64, ptr {writer.at(pointer, index).text} seq_cst, align 8")


def _atomic_set(writer: Writer, pointer: Value, index: Any, value: Any) -> None:
    """Write a word."""
    writer.effects += 1
    text = writer.convert(value_of(value), INT64).typed
    writer.put(f"store atomic {text}, ptr {writer.at(pointer, index).text} seq_cst, align 8")


def _atomic_add(writer: Writer, pointer: Value, index: Any, value: Any) -> Value:
    """Add to a word, and give what it was."""
    writer.effects += 1
    text = writer.convert(value_of(value), INT64).typed
    return writer.make(INT64, f"atomicrmw add ptr {writer.at(pointer, index).text}, {text} seq_cst")


def _atomic_replace(writer: Writer, pointer: Value, index: Any, expected: Any, value: Any) -> Value:
    """Write a word if it is as expected, and tell whether it was."""
    writer.effects += 1
    old, new = (writer.convert(value_of(x), INT64).typed for x in (expected, value))
    pair = writer.make(None, f"cmpxchg ptr {writer.at(pointer, index).text}, {old}, {new} seq_cst seq_cst")
    return writer.make(TRUTH, f"extractvalue {{i64, i1}} {pair.text}, 1")


def _pause(writer: Writer) -> None:
    """Tell the processor that this is a loop that waits, so that it leaves its power to others."""
    machine = platform.machine().lower()
    if machine in ("x86_64", "amd64"):
        writer.call(None, "llvm.x86.sse2.pause", effect=True)
    elif machine in ("aarch64", "arm64"):
        writer.call(None, "llvm.aarch64.hint", number(1, INT32), effect=True)


# ---- squares of 8 by 8 elements that go from the lines of an array to lanes, and back -------------------------------
# LLVM does not see that a loop over such numbers is a transposition.


def _transposed(writer: Writer, rows: list[str], kind: Kind) -> list[str]:
    """Swap the blocks of 4, of 2 and of 1 that lie off the diagonal."""
    vector = f"<{SIDE} x {kind.llvm}>"
    for distance in (4, 2, 1):
        for i in range(SIDE):
            if i & distance:
                continue
            first, second = rows[i], rows[i + distance]
            columns = [(j, j & distance) for j in range(SIDE)]
            upper = [SIDE + j - distance if off else j for j, off in columns]
            lower = [SIDE + j if off else j + distance for j, off in columns]
            for row, mask in ((i, upper), (i + distance, lower)):
                places = ", ".join(f"i32 {place}" for place in mask)
                rows[row] = writer.make(
                    None, f"shufflevector {vector} {first}, {vector} {second}, <{SIDE} x i32> <{places}>"
                ).text
    return rows


def _move_square(writer: Writer, x: Value, first: Any, step: Any, y: Value, place: Any, stride: Any) -> None:
    """Write element j of line i of x to element i of line j of y; lines begin `step`, and `stride`, elements apart."""
    source, target = x.kind.to, y.kind.to
    index, place = writer.convert(value_of(first), INT64), writer.convert(value_of(place), INT64)
    writer.effects += 1
    rows = []
    for _ in range(SIDE):
        text = f"load <{SIDE} x {source.llvm}>, ptr {writer.at(x, index).text}, align {source.bits // 8}"
        rows.append(writer.make(None, text).text)
        index = writer.arithmetic("+", index, step)
    for row in _transposed(writer, rows, source):
        if source != target:
            if source.sort == "f":
                name = "fpext" if target.bits > source.bits else "fptrunc"
            else:
                name = "trunc" if target.bits < source.bits else "sext" if source.sort == "i" else "zext"
            if source.bits != target.bits:
                row = writer.make(None, f"{name} <{SIDE} x {source.llvm}> {row} to <{SIDE} x {target.llvm}>").text
        at = writer.at(y, place).text
        writer.put(f"store <{SIDE} x {target.llvm}> {row}, ptr {at}, align {target.bits // 8}")
        place = writer.arithmetic("+", place, stride)


def _prefetch(writer: Writer, pointer: Value, index: Any) -> None:
    """Have the cache line of an element brought nearer; any place will do."""
    given = [number(n, INT32) for n in (0, 2, 1)]  # to read, soon, data
    writer.call(None, "llvm.prefetch.p0", writer.at(pointer, index), *given, effect=True)


def _square_root(writer: Writer, x: Any) -> Any:
    return writer.intrinsic("sqrt", x) if isinstance(x, Value) else math.sqrt(x)


_WORDS = [INT64] * 8

NAMESPACE: dict[str, Any] = {
    "math": SimpleNamespace(sqrt=_square_root),
    "np": SimpleNamespace(uintp=UINT64, inf=np.inf),
    "address": _address,
    "align_stack": _align_stack,
    "short_vectors": _short_vectors,
    "word_at": _at(INT64),
    "int_at": _at(INT32),
    "words_at": _place(INT64),
    **{f"{name}_place": _place(kind) for name, kind in SCALARS.items()},
    # void PyObject_IncRef(object); object PyArray_NewFromDescr(...); object PyObject_Vectorcall(...); a loop
    **{f"invoke_{count}": _invoke(*_WORDS[:count]) for count in range(1, 5)},
    "invoke_new_array": _invoke(INT64, INT64, INT32, INT64, INT64, INT64, INT32, INT64),
    "atomic_get": _atomic_get,
    "atomic_set": _atomic_set,
    "atomic_add": _atomic_add,
    "atomic_replace": _atomic_replace,
    "pause": _pause,
    "share": _share,
    # NumPy reads the floating-point status after a loop and would report what it finds as RuntimeWarnings. The C
    # library's fmod still computes on the x87 unit, which has a status of its own.
    "clear_exceptions": _clear_status(everywhere=False),
    "clear_all_exceptions": _clear_status(everywhere=True),
    "int64_operands": _stack(INT64, MOST_OPERANDS),
    "load": _access(None, False),
    "load_within": _load_within,
    "within": _within,
    **{f"load_back_{i}": _access(i, False) for i in range(OUTPUTS)},
    **{f"store_{i}": _access(i, True) for i in range(OUTPUTS)},
    **{f"{name}_pointer": _pointer_to(kind) for name, kind in SCALARS.items()},
    **{f"{name}_lanes": _stack(kind, LANES) for name, kind in SCALARS.items()},
    **{f"{name}_chunk": _stack(kind, CHUNK) for name, kind in SCALARS.items()},
    **{f"{name}_room": _room(kind) for name, kind in SCALARS.items()},
    "offset": _offset,
    **SCALARS,
    "move_square": _move_square,
    "prefetch": _prefetch,
}
