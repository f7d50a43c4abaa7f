"""Scans of small arrays: the loops that ufuncs have, called at once."""

from __future__ import annotations

import ctypes
from functools import cache as once

import numpy as np

from ...scans import Scan
from ..ndarray import ALIGNED, CONTIGUOUS, DATA
from ..scan import beginnings, result_dtypes
from ..scan_loops import line_kernel
from ..ufunc import loops_of
from .calls import AT, BEGIN, HAND_ON, Call, as_small_array, new_array
from .views import indented, whole_number

# own words: 0 how many numbers a line begins with, 8 whether there are places besides values, 16 how many dtypes there
# are loops for, and for each of these, from 24 on, 64 bytes: the elements' dtype and size, those of the values, where
# the address and the data of the loop are, and the addresses of what a line begins with
_FIRST, _EACH = 24, 64

# lines are along an axis, `inner` ones beside one another; where there are places, these are what is given
_SOURCE = f"""{BEGIN}
    fits = count == 3
    if not fits:
{HAND_ON}
    x = word_at(args)
    given = word_at(args + 8)
    backwards = word_at(args + 16) == word_at(api + {AT["true"]})
    if not backwards and word_at(args + 16) != word_at(api + {AT["false"]}):
        fits = False
{as_small_array("x")}
    entry = own + {_FIRST}
    last_entry = entry + {_EACH} * (word_at(own + 16) - 1)
    while entry < last_entry and x_dtype != word_at(entry):
        entry += {_EACH}
    if x_dtype != word_at(entry) or x_flags & {CONTIGUOUS | ALIGNED} != {CONTIGUOUS | ALIGNED}:
        fits = False
{whole_number("along", "given")}
    if along < 0 or along >= x_ndim or x_n == 0:
        fits = False
    if not fits:
{HAND_ON}
    outer = 1
    inner = 1
    length = word_at(x_shape + 8 * along)
    for axis in range(x_ndim):
        if axis < along:
            outer *= word_at(x_shape + 8 * axis)
        elif axis > along:
            inner *= word_at(x_shape + 8 * axis)
    itemsize = word_at(entry + 8)
    out_itemsize = word_at(entry + 24)
    begins = word_at(own)
{new_array("y", "word_at(entry + 16)", "x_ndim", "x_shape")}
    values = y
    outs = 1 + begins
    core = outs + 1
    if word_at(own + 8) != 0:
        core += 1
{indented(new_array("places", f"word_at(api + {AT['int64']})", "x_ndim", "x_shape"), 4)}
        y = places
    pointers = int64_lanes()
    dims = int64_lanes()
    steps = int64_lanes()
    for i in range(begins):
        pointers[1 + i] = words_at(word_at(entry + 48))[i]
        steps[1 + i] = 0
    blocks = 1 if inner == 1 else outer
    dims[0] = outer if inner == 1 else inner
    dims[1] = length
    for i in range(core - begins):
        size = 8
        place = i
        if i == 0:
            size = itemsize
        else:
            place += begins
            if i == 1:
                size = out_itemsize
        steps[place] = size * length if inner == 1 else size
        steps[core + i] = -size * inner if backwards else size * inner
    first = (length - 1) * inner if backwards else 0
    for b in range(blocks):
        at = first + b * length * inner
        pointers[0] = x_data + at * itemsize
        pointers[outs] = word_at(values + {DATA}) + at * out_itemsize
        if y != values:
            pointers[outs + 1] = word_at(y + {DATA}) + at * 8
        data = word_at(word_at(entry + 40))
        invoke_4(word_at(word_at(entry + 32)), (address(pointers), address(dims), address(steps), data))
    if y != values:
        invoke_1(word_at(api + {AT["Py_DecRef"]}), (values,))
    return y
"""


@once
def scan(declared: Scan) -> Call:
    """Give ``(x, axis, backwards)``: the values of a scan along an axis, or the places of those that have some."""
    kernel = line_kernel(declared)
    loops, entries, kept = loops_of[kernel], [], []
    for code in "fd" if declared.floating else "?lfd":
        dtypes = np.dtype(code), result_dtypes(declared, code)[0]
        begin = beginnings(declared, code)
        addresses = np.array([value.ctypes.data for value in begin], np.int64)
        index = next(i for i, signature in enumerate(kernel.types) if signature[0] == code)
        for dtype in dtypes:
            entries += [id(dtype), dtype.itemsize]
        entries += [ctypes.addressof(loops.functions) + 8 * index, ctypes.addressof(loops.data) + 8 * index]
        entries += [addresses.ctypes.data, 0]
        kept += [*dtypes, begin, addresses]
    count = len(entries) * 8 // _EACH
    return Call("scan", _SOURCE, [len(beginnings(declared, "d")), int(declared.places), count, *entries], kept)
