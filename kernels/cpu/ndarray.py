"""NumPy's arrays as compiled functions see them: where their fields are in memory, and builtin functions over them.

The fields are where numpy/ndarraytypes.h puts them for its ABI; `layout_holds` checks that before it is relied on.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable, Sequence
from functools import cache as once
from types import BuiltinFunctionType
from typing import Any

import numpy as np
from numpy._core import _multiarray_umath  # type: ignore[attr-defined]

from .ufunc import keep_forever

# Where the fields of PyArrayObject are, in bytes (64-bit, not free-threaded).
TYPE, DATA, NDIM, SHAPE, STRIDES, BASE, DTYPE, FLAGS = 8, 16, 24, 32, 40, 48, 56, 64
CONTIGUOUS, IN_FORTRANS_ORDER, ALIGNED, WRITEABLE = 0x1, 0x2, 0x100, 0x400
#: Where any object has the count of references to it, in 32 bits.
REFERENCES = 0
#: Where what a bytes object holds begins, behind its header.
PAYLOAD = bytes.__basicsize__ - 1
#: Where a tuple's length is, and its items begin; where a slice's three members begin.
LENGTH, ITEMS, MEMBERS = 16, tuple.__basicsize__, 16
#: Where a float's value is.
VALUE = 16


def numpys_function(place: int) -> int:
    """Give the address at a place of the public table of NumPy's C API (numpy/__multiarray_api.h)."""
    get = ctypes.pythonapi.PyCapsule_GetPointer
    table = ctypes.cast(get(_multiarray_umath._ARRAY_API, None), ctypes.POINTER(ctypes.c_void_p))
    return int(table[place] or 0)


@once
def array_api() -> tuple[int, int]:
    """Give PyArray_NewFromDescr's address and ndarray's."""
    return numpys_function(94), numpys_function(2)


@once
def layout_holds() -> bool:
    """Tell whether arrays look in memory as the constants above say, in this interpreter."""
    if sys.maxsize != 2**63 - 1 or sys.byteorder != "little" or sys.implementation.name != "cpython":
        return False
    if not getattr(sys, "_is_gil_enabled", lambda: True)():
        return False
    sample = np.zeros((3, 5, 7), np.float32)[1:]
    here = id(sample)
    pair, part = (sample, None), slice(sample, None, here)

    def word(offset: int, place: int = here) -> int:
        return ctypes.c_int64.from_address(place + offset).value

    def references() -> int:
        return ctypes.c_int32.from_address(here + REFERENCES).value

    before = references()
    more = [sample] * 5

    return (
        word(TYPE) == id(np.ndarray) == array_api()[1]
        and word(DATA) == sample.ctypes.data
        and word(DTYPE) == id(sample.dtype)
        and word(BASE) == id(sample.base)
        and references() - before == len(more)
        and word(NDIM) & 0xFFFFFFFF == 3
        and [word(8 * axis, word(SHAPE)) for axis in range(3)] == [2, 5, 7]
        and [word(8 * axis, word(STRIDES)) for axis in range(3)] == [140, 28, 4]
        and word(FLAGS) & 0xFFFFFFFF == sample.flags.num
        and ctypes.c_double.from_address(id(0.5) + VALUE).value == 0.5
        and ctypes.string_at(id(b"payload") + PAYLOAD, 7) == b"payload"
        and [word(LENGTH, id(pair)), word(ITEMS, id(pair)), word(ITEMS + 8, id(pair))] == [2, here, id(None)]
        and [word(MEMBERS + 8 * i, id(part)) for i in range(3)] == [here, id(None), id(part.step)]
    )


def address(array: Any) -> int:
    """Give where an array's first element is, at a tenth of what asking NumPy costs."""
    if layout_holds():
        return ctypes.c_int64.from_address(id(array) + DATA).value
    place: int = array.__array_interface__["data"][0]
    return place


class _Method(ctypes.Structure):
    """PyMethodDef."""

    _fields_ = (
        ("name", ctypes.c_char_p),
        ("function", ctypes.c_void_p),
        ("flags", ctypes.c_int),
        ("documentation", ctypes.c_char_p),
    )


_FASTCALL = 0x80


def addresses_of(*functions: Any) -> list[int]:
    """Give the addresses of functions of Python's C API."""
    return [ctypes.cast(function, ctypes.c_void_p).value or 0 for function in functions]


def method(name: str, address: int) -> Any:
    """Make what `builtin` takes of a compiled ``call(record, args, count)``; it lives as long as the process."""
    made = _Method(name.encode(), address, _FASTCALL, None)
    keep_forever(made)
    return made


class _Record(bytes):
    """A record that keeps alive what its words point to."""

    kept: tuple[Any, ...]


def record(words: Sequence[int], *kept: Any) -> bytes:
    """Give words as an object, which keeps alive what they point to."""
    made = _Record(np.array(words, np.int64).tobytes())
    made.kept = kept
    return made


def builtin_of(method: Any, record: bytes) -> Callable[..., Any]:
    """Make a builtin function of a method and its record."""
    function: Callable[..., Any] = _builtin_maker()(ctypes.addressof(method), record, None)
    return function


@once
def _builtin_maker() -> Any:
    make = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.c_void_p, ctypes.py_object, ctypes.c_void_p)
    return make(("PyCFunction_NewEx", ctypes.pythonapi))


def builtin(method: Any, words: Sequence[int], *kept: Any) -> Callable[..., Any]:
    """Make a builtin function of a method and its record of words, which keeps alive what these point to."""
    return builtin_of(method, record(words, *kept))


def as_method(function: Callable[..., Any]) -> Any:
    """Make what a class may have as a method of a builtin function, which by itself would not be given the instance."""
    if not isinstance(function, BuiltinFunctionType):
        return function
    make = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.py_object)
    return make(("PyInstanceMethod_New", ctypes.pythonapi))(function)
