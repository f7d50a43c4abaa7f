"""The types of values in kernels' text: numbers, truth values and pointers to numbers, as LLVM knows them."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Kind:
    """A type of numbers: its name in the text, its sort ("f", "i", "u", or "b" for truth values) and its bits."""

    name: str
    sort: str
    bits: int

    @property
    def llvm(self) -> str:
        """The name that LLVM has for it."""
        return ("double" if self.bits == 64 else "float") if self.sort == "f" else f"i{self.bits}"

    @property
    def suffix(self) -> str:
        """What ends the names of LLVM's intrinsics for it."""
        return f"{'f' if self.sort == 'f' else 'i'}{self.bits}"


@dataclass(frozen=True)
class Pointer:
    """The type of pointers to numbers of a kind, or to such pointers."""

    to: Any
    llvm = "ptr"
    sort = "p"


FLOAT64, FLOAT32 = Kind("float64", "f", 64), Kind("float32", "f", 32)
INT64, UINT64, INT32 = Kind("int64", "i", 64), Kind("uint64", "u", 64), Kind("int32", "i", 32)
TRUTH = Kind("truth", "b", 1)
UINT8 = Kind("uint8", "u", 8)

#: By the names that kernels have for dtypes: truth values are bytes in memory.
SCALARS: dict[str, Kind] = {
    "bool": UINT8,
    **{f"int{bits}": Kind(f"int{bits}", "i", bits) for bits in (8, 16, 32, 64)},
    **{f"uint{bits}": Kind(f"uint{bits}", "u", bits) for bits in (8, 16, 32, 64)},
    "float32": FLOAT32,
    "float64": FLOAT64,
}


@dataclass(frozen=True)
class Value:
    """A value that is known when the kernel runs: its kind, and its name in LLVM's text, or the number itself."""

    kind: Any
    text: str

    @property
    def typed(self) -> str:
        """The value with its type, as LLVM writes arguments."""
        return f"{self.kind.llvm} {self.text}"


#: What is known when the kernel is written.
Known = bool | int | float | np.floating


def number(value: Any, kind: Kind) -> Value:
    """Write a known number as a value of a kind."""
    if kind.sort == "f":
        value = float(np.float32(value)) if kind.bits == 32 else float(value)
        return Value(kind, "0x" + struct.pack(">d", value).hex().upper())
    if kind is TRUTH:
        return Value(kind, "true" if value else "false")
    value = int(value) & ((1 << kind.bits) - 1)
    if kind.sort == "i" and value >> (kind.bits - 1):
        value -= 1 << kind.bits
    return Value(kind, str(value))


def value_of(x: Any) -> Value:
    """Give what is known, or only when the kernel runs, as a value; Python's numbers have 64 bits."""
    if isinstance(x, Value):
        return x
    if isinstance(x, bool | np.bool_):
        return number(x, TRUTH)
    if isinstance(x, int):
        return number(x, INT64)
    if isinstance(x, np.float32):
        return number(x, FLOAT32)
    if isinstance(x, float):  # float64 is one
        return number(x, FLOAT64)
    raise TypeError(f"a kernel computes with {x!r}, which is no number")


def widened(kind: Kind) -> Kind:
    """Give the kind that whole numbers of a kind are computed in."""
    if kind.sort == "f":
        return kind
    return UINT64 if kind == UINT64 else INT64 if kind.sort != "u" else UINT64


def common(first: Kind, second: Kind) -> Kind:
    """Give the kind in which two numbers are computed: as in Numba, 64 bits, signed if one of them is."""
    if first == second and first.sort == "f":
        return first
    floats = [kind for kind in (first, second) if kind.sort == "f"]
    if floats:
        narrow = all(kind == FLOAT32 or (kind.sort != "f" and kind.bits <= 16) for kind in (first, second))
        return FLOAT32 if narrow else FLOAT64
    return UINT64 if first.sort == "u" == second.sort else INT64
