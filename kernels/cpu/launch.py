"""Launching fused loops on arrays, with as little as possible between the call and the loop."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from functools import cache as once
from typing import Any, NamedTuple

import numpy as np

from ..target import ARGUMENT, FIXED, RESULT
from . import codegen, threads
from .ndarray import (
    ALIGNED,
    CONTIGUOUS,
    DATA,
    DTYPE,
    FLAGS,
    NDIM,
    PAYLOAD,
    SHAPE,
    TYPE,
    addresses_of,
    array_api,
    builtin,
    layout_holds,
    method,
)
from .sizes import MOST_OPERANDS

# `record` is a bytes object of words: the loop, its launch record, the sizes, the number of blocks, Py_None,
# Py_IncRef, and the distance of each operand's first element from its array's.
_SOURCE = f"""
def call(record, args, count):
    record += {PAYLOAD}
    pointers = int64_operands()
    steps = int64_operands()
    size = int64_lanes()
    pointers[0] = 0
    steps[0] = 1
    pointers[1] = word_at(record + 16)
    steps[1] = 0
    for i in range(count):
        pointers[2 + i] = word_at(word_at(args + 8 * i) + {DATA}) + word_at(record + 48 + 8 * i)
        steps[2 + i] = 0
    size[0] = word_at(record + 24)
    invoke_4(word_at(record), (address(pointers), address(size), address(steps), word_at(record + 8)))
    none = word_at(record + 32)
    invoke_1(word_at(record + 40), (none,))
    return none
"""


@once
def _method(name: str, source: str) -> Any:
    return method(name, codegen.address(name, source, entry="call"))


@once
def begin(replayed: bool) -> None:
    """Begin to compile what launches loops, and what recognises arrays where no `replayer` does."""
    codegen.begin("launch", _SOURCE, "call")
    if not replayed:
        codegen.begin("fits", _COMPARE, "call")


class Launch(NamedTuple):
    """What a loop is run with: see `launcher`."""

    address: int
    sizes: Sequence[int]
    blocks: int
    offsets: Sequence[int]
    shared: bool
    #: The place among a loop's arguments of a number that is not 0 where it has failed; 0 if there is none.
    failed: int = 0


def _prepared(launch: Launch) -> tuple[Any, Any]:
    """Give the memory that a loop reads besides its operands: its sizes, and its launch record."""
    count = 2 + len(launch.offsets)
    table = (ctypes.c_int64 * max(len(launch.sizes), 1))(*launch.sizes)
    return table, threads.loop_record(launch.address, count, count, 0, 0, 2 if launch.shared else threads.NEVER)


def launcher(launch: Launch) -> Callable[..., None]:
    """Give a function of the operands' arrays, in order, that runs a fused loop over them.

    `sizes` are the values of `fused.size_names`, `offsets` the bytes from each array's beginning to the operand's. The
    arrays are not looked at: the caller knows their shapes, dtypes and layouts.
    """
    address, _, blocks, offsets, *_ = launch
    if len(offsets) > MOST_OPERANDS - 2:
        raise ValueError(f"a fused loop over {len(offsets)} arrays: at most {MOST_OPERANDS - 2} go into one")
    table, record = _prepared(launch)
    if not layout_holds():
        return _Slow(address, table, record, blocks, tuple(offsets))
    words = [address, ctypes.addressof(record), ctypes.addressof(table), blocks, id(None)]
    words += [*addresses_of(ctypes.pythonapi.Py_IncRef), *offsets]
    return builtin(_method("launch", _SOURCE), words, record, table)


# Whether arrays are as a record has them: their number, ndarray, and at `place` for each array its descriptor, its
# number of dimensions, its sizes.
_FITS = f"""
    fits = count == word_at(record)
    if fits:
        for i in range(count):
            x = word_at(args + 8 * i)
            if word_at(x + {TYPE}) != word_at(record + 8) or word_at(x + {DTYPE}) != word_at(place):
                fits = False
                break
            ndim = word_at(place + 8)
            flags = int_at(x + {FLAGS}) & {CONTIGUOUS | ALIGNED}
            if flags != {CONTIGUOUS | ALIGNED} or int_at(x + {NDIM}) != ndim:
                fits = False
                break
            place += 16
            shape = word_at(x + {SHAPE})
            for axis in range(ndim):
                if word_at(shape + 8 * axis) != word_at(place):
                    fits = False
                place += 8
"""

# `record` goes on with Py_True, Py_False, Py_IncRef, and the arrays.
_COMPARE = f"""
def call(record, args, count):
    record += {PAYLOAD}
    place = record + 40
{_FITS}
    result = word_at(record + 16) if fits else word_at(record + 24)
    invoke_1(word_at(record + 32), (result,))
    return result
"""

# `record` goes on with Py_None, Py_IncRef, Py_DecRef, PyArray_NewFromDescr, PyTuple_New, PyTuple_SetItem, the number of
# results, the number of launches; the arguments; the results as the arguments; and for each launch the loop, its launch
# record, the sizes, the number of blocks, the number of operands, which argument tells whether it has failed, if any
# does, and for each operand whose it is (an argument's, a result's, or nobody's), its number or address, and the
# distance of its first element.
_REPLAY = f"""
def call(record, args, count):
    record += {PAYLOAD}
    place = record + 80
{_FITS}
    if not fits:
        invoke_1(word_at(record + 24), (word_at(record + 16),))
        return word_at(record + 16)
    results = int64_operands()
    made = invoke_1(word_at(record + 48), (word_at(record + 64),))
    if made == 0:
        return 0
    for i in range(word_at(record + 64)):
        invoke_1(word_at(record + 24), (word_at(place),))
        ndim = word_at(place + 8)
        y = invoke_new_array(word_at(record + 40), (word_at(record + 8), word_at(place), ndim, place + 16, 0, 0, 0, 0))
        if y == 0:
            invoke_1(word_at(record + 32), (made,))
            return 0
        invoke_4(word_at(record + 56), (made, i, y, 0))
        results[i] = word_at(y + {DATA})
        place += 16 + 8 * ndim
    pointers = int64_operands()
    steps = int64_operands()
    size = int64_lanes()
    for launch in range(word_at(record + 72)):
        operands = word_at(place + 32)
        pointers[0] = 0
        steps[0] = 1
        pointers[1] = word_at(place + 16)
        steps[1] = 0
        size[0] = word_at(place + 24)
        operand = place + 48
        for i in range(2, 2 + operands):
            base = word_at(operand + 8)
            if word_at(operand) == {ARGUMENT}:
                base = word_at(word_at(args + 8 * base) + {DATA})
            elif word_at(operand) == {RESULT}:
                base = results[base]
            pointers[i] = base + word_at(operand + 16)
            steps[i] = 0
            operand += 24
        invoke_4(word_at(place), (address(pointers), address(size), address(steps), word_at(place + 8)))
        failed = word_at(place + 40)
        if failed != 0 and word_at(pointers[failed]) != 0:
            invoke_1(word_at(record + 32), (made,))
            invoke_1(word_at(record + 24), (word_at(record + 16),))
            return word_at(record + 16)
        place = operand
    return made
"""


def _described(arrays: Sequence[tuple[np.dtype[Any], Sequence[int]]]) -> list[int]:
    words: list[int] = []
    for dtype, shape in arrays:
        words += [id(dtype), len(shape), *shape]
    return words


def signature(arrays: Sequence[Any]) -> Callable[..., bool] | None:
    """Give a function that tells whether arrays have the shapes and dtypes of these, and are contiguous.

    None where arrays cannot be read by their layout.
    """
    if not layout_holds():
        return None
    words = [len(arrays), id(np.ndarray), id(True), id(False), *addresses_of(ctypes.pythonapi.Py_IncRef)]
    words += _described([(x.dtype, x.shape) for x in arrays])
    return builtin(_method("fits", _COMPARE), words, [x.dtype for x in arrays])


def replayer(
    arguments: Sequence[tuple[np.dtype[Any], Sequence[int]]],
    results: Sequence[tuple[np.dtype[Any], Sequence[int]]],
    launches: Sequence[tuple[Launch, Sequence[tuple[int, Any]]]],
) -> Callable[..., Any] | None:
    """Give a function that runs all loops of a program on arrays, and gives its results as a tuple of new arrays.

    It gives None for arrays that are not like the arguments, and where a loop has failed. A launch's operands are pairs
    of `ARGUMENT` or `RESULT` and a number, or of `FIXED` and an array, which is kept alive. None where this cannot be
    had: arrays cannot be read by their layout, or a loop is shared among threads, and lets go of the GIL that keeps
    others from fixed memory.
    """
    if not layout_holds() or any(launch.shared for launch, _ in launches):
        return None
    if max([len(results), *(len(operands) for _, operands in launches)]) > MOST_OPERANDS - 2:
        return None
    api = ctypes.pythonapi
    words = [len(arguments), id(np.ndarray), id(None), *addresses_of(api.Py_IncRef, api.Py_DecRef), array_api()[0]]
    words += [*addresses_of(api.PyTuple_New, api.PyTuple_SetItem), len(results), len(launches)]
    words += _described(arguments) + _described(results)
    kept: list[Any] = [arguments, results]
    for launch, operands in launches:
        table, record = _prepared(launch)
        words += [launch.address, ctypes.addressof(record), ctypes.addressof(table), launch.blocks, len(operands)]
        words.append(launch.failed)
        for (kind, value), offset in zip(operands, launch.offsets, strict=True):
            words += [kind, value.ctypes.data if kind == FIXED else value, offset]
        kept += [table, record, operands]
    return builtin(_method("replay", _REPLAY), words, kept)


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
