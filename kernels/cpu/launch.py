"""Launching fused loops on arrays, with as little as possible between the call and the loop."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from functools import cache as once
from typing import Any

import numpy as np

from .. import codegen
from ..ufunc import keep_forever
from . import threads
from .caller import (
    _ALIGNED,
    _CONTIGUOUS,
    _DATA,
    _DTYPE,
    _FASTCALL,
    _FLAGS,
    _NDIM,
    _PAYLOAD,
    _SHAPE,
    _TYPE,
    _Method,
    layout_holds,
)
from .sizes import MOST_OPERANDS

# `record` is a bytes object of words: the loop, its launch record, the sizes, the number of blocks, Py_None,
# Py_IncRef, and the distance of each operand's first element from its array's.
_SOURCE = f"""
def call(record, args, count):
    record += {_PAYLOAD}
    pointers = int64_operands()
    steps = int64_operands()
    size = int64_lanes()
    pointers[0] = 0
    steps[0] = 1
    pointers[1] = word_at(record + 16)
    steps[1] = 0
    for i in range(count):
        pointers[2 + i] = word_at(word_at(args + 8 * i) + {_DATA}) + word_at(record + 48 + 8 * i)
        steps[2 + i] = 0
    size[0] = word_at(record + 24)
    invoke_4(word_at(record), (address(pointers), address(size), address(steps), word_at(record + 8)))
    none = word_at(record + 32)
    invoke_1(word_at(record + 40), (none,))
    return none
"""


@once
def _method(name: str, source: str) -> _Method:
    method = _Method(name.encode(), codegen.address(name, source, entry="call"), _FASTCALL, None)
    keep_forever(method)
    return method


def _builtin(method: _Method, words: Sequence[int], *kept: Any) -> Any:
    """Make a builtin function of a method and its record, which keeps alive what its words point to."""
    record = _Owner(np.array(words, np.int64).tobytes())
    record.kept = kept
    make = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.c_void_p, ctypes.py_object, ctypes.c_void_p)
    return make(("PyCFunction_NewEx", ctypes.pythonapi))(ctypes.addressof(method), record, None)


class _Owner(bytes):
    """A record that keeps alive what its words point to."""

    kept: tuple[Any, ...]


def launcher(
    address: int, sizes: Sequence[int], blocks: int, offsets: Sequence[int], shared: bool
) -> Callable[..., None]:
    """Give a function of the operands' arrays, in order, that runs a fused loop over them.

    `sizes` are the values of `fused.size_names`, `offsets` the bytes from each array's beginning to the operand's. The
    arrays are not looked at: the caller knows their shapes, dtypes and layouts.
    """
    count = len(offsets)
    if count > MOST_OPERANDS - 2:
        raise ValueError(f"a fused loop over {count} arrays: at most {MOST_OPERANDS - 2} go into one")
    table = (ctypes.c_int64 * max(len(sizes), 1))(*sizes)
    launch = threads.launch_record(address, 2 + count, 2 + count, 0, 0, 2 if shared else threads.NEVER)
    if not layout_holds():
        return _Slow(address, table, launch, blocks, tuple(offsets))
    api = ctypes.pythonapi
    words = [address, ctypes.addressof(launch), ctypes.addressof(table), blocks, id(None)]
    words += [ctypes.cast(api.Py_IncRef, ctypes.c_void_p).value or 0, *offsets]
    function: Callable[..., None] = _builtin(_method("launch", _SOURCE), words, launch, table)
    return function


# `record` is a bytes object of words: number of arrays, ndarray, Py_True, Py_False, Py_IncRef, and then for each array:
# its descriptor, its number of dimensions, its sizes.
_FITS = f"""
def call(record, args, count):
    record += {_PAYLOAD}
    fits = count == word_at(record)
    place = record + 40
    if fits:
        for i in range(count):
            x = word_at(args + 8 * i)
            if word_at(x + {_TYPE}) != word_at(record + 8) or word_at(x + {_DTYPE}) != word_at(place):
                fits = False
                break
            ndim = word_at(place + 8)
            flags = int_at(x + {_FLAGS}) & {_CONTIGUOUS | _ALIGNED}
            if flags != {_CONTIGUOUS | _ALIGNED} or int_at(x + {_NDIM}) != ndim:
                fits = False
                break
            place += 16
            shape = word_at(x + {_SHAPE})
            for axis in range(ndim):
                if word_at(shape + 8 * axis) != word_at(place):
                    fits = False
                place += 8
    result = word_at(record + 16) if fits else word_at(record + 24)
    invoke_1(word_at(record + 32), (result,))
    return result
"""


def signature(arrays: Sequence[Any]) -> Callable[..., bool] | None:
    """Give a function that tells whether arrays have the shapes and dtypes of these, and are contiguous.

    None where arrays cannot be read by their layout.
    """
    if not layout_holds():
        return None
    api = ctypes.pythonapi
    words = [len(arrays), id(np.ndarray), id(True), id(False), ctypes.cast(api.Py_IncRef, ctypes.c_void_p).value or 0]
    for x in arrays:
        words += [id(x.dtype), x.ndim, *x.shape]
    function: Callable[..., bool] = _builtin(_method("fits", _FITS), words, [x.dtype for x in arrays])
    return function


class _Slow:
    """The same by ctypes, where arrays cannot be read by their layout."""

    def __init__(self, address: int, table: Any, launch: Any, blocks: int, offsets: tuple[int, ...]) -> None:
        self.loop, self.table, self.launch = threads.LOOP(address), table, launch
        self.blocks, self.offsets = blocks, offsets

    def __call__(self, *arrays: Any) -> None:
        count = 2 + len(arrays)
        places = [x.ctypes.data + offset for x, offset in zip(arrays, self.offsets, strict=True)]
        pointers = (ctypes.c_void_p * count)(0, ctypes.addressof(self.table), *places)
        steps = (ctypes.c_ssize_t * count)(1)
        dims = (ctypes.c_ssize_t * 1)(self.blocks)
        addresses = (ctypes.addressof(part) for part in (pointers, dims, steps, self.launch))
        self.loop(*addresses)
