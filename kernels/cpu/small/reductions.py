"""Reductions of small arrays: the loops that ufuncs have, called at once."""

from __future__ import annotations

import ctypes
from functools import cache as once

import numpy as np

from ... import reductions
from ...reductions import Reduction
from ..ndarray import ALIGNED, CONTIGUOUS, DATA, IN_FORTRANS_ORDER, ITEMS, LENGTH, TYPE, VALUE
from ..reduction_loops import block_kernel, row_kernel
from ..ufunc import loops_of
from .calls import AT, BEGIN, HAND_ON, Call, as_small_array, new_array
from .views import indented, sizes, whole_number

# own words: 0 how many operands, 8 how many numbers, 16 how many dtypes there are loops for, and for each of these,
# from 24 on, 64 bytes: the elements' dtype and size, those of the result, and where the addresses and the data of the
# loops over rows and over blocks are
_FIRST, _EACH = 24, 64

_ENTRY = f"""
    entry = own + {_FIRST}
    last_entry = entry + {_EACH} * (word_at(own + 16) - 1)
    while entry < last_entry and x_dtype != word_at(entry):
        entry += {_EACH}
    if x_dtype != word_at(entry):
        fits = False
    itemsize = word_at(entry + 8)
    out_dtype = word_at(entry + 16)
    out_itemsize = word_at(entry + 24)
"""

_LOOP = """
    function = word_at(word_at(entry + (32 if inner == 0 else 48)))
    data = word_at(word_at(entry + (40 if inner == 0 else 56)))
    invoke_4(function, (address(pointers), address(dims), address(strides), data))
    return y
"""

# the axes that are named, and whether they are kept with one element
_BY_AXES = f"""
    keepdim = word_at(args + 16)
    if word_at(given + {TYPE}) != word_at(api + {AT["tuple"]}):
        fits = False
    if keepdim != word_at(api + {AT["true"]}) and keepdim != word_at(api + {AT["false"]}):
        fits = False
    if not fits:
{HAND_ON}
    reduced = word_at(given + {LENGTH})
    first = 0
    if reduced > x_ndim or (reduced == 0 and x_ndim > 0):
        fits = False
        reduced = 0
    for i in range(reduced):
        item = word_at(given + {ITEMS} + 8 * i)
{indented(whole_number("axis", "item"), 4)}
        if i == 0:
            first = axis
        if axis != first + i:
            fits = False
    last = first + reduced
    if first < 0 or last > x_ndim:
        fits = False
    out = 0
    if fits:
        for i in range(x_ndim):
            if i < first or i >= last:
                shape[out] = word_at(x_shape + 8 * i)
                out += 1
            elif keepdim == word_at(api + {AT["true"]}):
                shape[out] = 1
                out += 1
"""

# the axes that broadcasting from a shape has stretched
_BY_SHAPE = f"""
{sizes("given", "shape", "out")}
    extra = x_ndim - out
    if extra < 0:
        fits = False
    reduced = 0
    first = 0
    last = 0
    if fits:
        for i in range(x_ndim):
            size = word_at(x_shape + 8 * i)
            if i < extra or (shape[i - extra] == 1 and size != 1):
                if reduced == 0:
                    first = i
                elif last != i:
                    fits = False
                reduced += 1
                last = i + 1
            elif shape[i - extra] != size:
                fits = False
    if fits and reduced == 0:  # nothing was stretched
        invoke_1(word_at(api + {AT["Py_IncRef"]}), (x,))
        return x
"""


# those that are the same for all lines, as a variance's correction
_NUMBERS = f"""
    numbers = word_at(args + 24)
    values = float64_lanes()
    if word_at(numbers + {TYPE}) != word_at(api + {AT["tuple"]}):
        fits = False
    elif word_at(numbers + {LENGTH}) != word_at(own + 8):
        fits = False
    else:
        for i in range(word_at(own + 8)):
            item = word_at(numbers + {ITEMS} + 8 * i)
            if word_at(item + {TYPE}) != word_at(api + {AT["float"]}):
                fits = False
            else:
                values[i] = float64_place(item + {VALUE})[0]
"""


def _reduction(count: int, axes: str, numbers: str = "    values = float64_lanes()") -> str:
    """Write a reduction over neighbouring axes, from `first` to before `last`, which gives a `shape` of `out` sizes."""
    return f"""{BEGIN}
    fits = count == {count}
    if not fits:
{HAND_ON}
    x = word_at(args)
    given = word_at(args + 8)
{as_small_array("x")}
{_ENTRY}
{numbers}
    if x_flags & {ALIGNED} == 0 or x_n == 0:
        fits = False
    shape = int64_lanes()
{axes}
    contiguous = x_flags & {CONTIGUOUS} != 0
    if reduced == x_ndim:  # in the order in which they lie
        if not contiguous and x_flags & {IN_FORTRANS_ORDER} == 0 and x_ndim != 1:
            fits = False
    elif not contiguous and x_ndim != 2:
        fits = False
    if not fits:
{HAND_ON}
    pointers = int64_lanes()
    dims = int64_lanes()
    strides = int64_lanes()
    outer = 1
    length = 1
    inner = 0 if last == x_ndim else 1
    for i in range(x_ndim):
        size = word_at(x_shape + 8 * i)
        if i < first:
            outer *= size
        elif i < last:
            length *= size
        else:
            inner *= size
    along = max(inner, 1) * itemsize
    across = length * along
    beside = itemsize
    if not contiguous and reduced < x_ndim:
        along = word_at(x_strides + 8 * first)
        across = word_at(x_strides + 8 * (1 - first)) if first == 1 else 0
        beside = word_at(x_strides + 8 * (1 - first)) if first == 0 else 0
    elif not contiguous and x_ndim == 1:
        along = word_at(x_strides)
{new_array("y", "out_dtype", "out", "address(shape)")}
    given_ones = word_at(own + 8)
    for i in range(given_ones):
        pointers[1 + i] = address(values) + 8 * i
        strides[1 + i] = 0
        strides[4 + given_ones + i] = 0
    pointers[0] = x_data
    pointers[1 + given_ones] = word_at(y + {DATA})
    dims[0] = outer
    dims[1] = length
    dims[2] = inner
    strides[0] = across
    strides[1 + given_ones] = max(inner, 1) * out_itemsize
    strides[2 + given_ones] = along
    strides[3 + given_ones] = beside
    strides[4 + 2 * given_ones] = out_itemsize
{_LOOP}
"""


_REDUCE, _SUM_TO = _reduction(4, _BY_AXES, _NUMBERS), _reduction(2, _BY_SHAPE)

_SPREAD = f"""{BEGIN}
    arity = word_at(own)
    fits = count == arity + 1
    if not fits:
{HAND_ON}
    x = word_at(args)
{as_small_array("x")}
{_ENTRY}
    given = word_at(args + 8 * arity)
{whole_number("along", "given")}
    if along < 0 or along >= x_ndim or x_n == 0:
        fits = False
    if not fits:
{HAND_ON}
    pointers = int64_lanes()
    dims = int64_lanes()
    strides = int64_lanes()
    outer = 1
    length = word_at(x_shape + 8 * along)
    inner = 0 if along == x_ndim - 1 else 1
    for i in range(x_ndim):
        if i < along:
            outer *= word_at(x_shape + 8 * i)
        elif i > along:
            inner *= word_at(x_shape + 8 * i)
    core = 1 if inner == 0 else 2
    for i in range(arity + 1):
        place = arity + 1 + i * core
        strides[i] = max(inner, 1) * length * itemsize
        strides[place] = max(inner, 1) * itemsize
        strides[place + core - 1] = itemsize
        if i == arity:
            break
        operand = word_at(args + 8 * i)
{indented(as_small_array("operand"), 4)}
        if operand_dtype != x_dtype or operand_ndim != x_ndim or operand_flags & {ALIGNED} == 0:
            fits = False
            break
        for axis in range(x_ndim):
            if word_at(operand_shape + 8 * axis) != word_at(x_shape + 8 * axis):
                fits = False
        pointers[i] = operand_data
        if operand_flags & {CONTIGUOUS} == 0:
            repeated = True
            for axis in range(x_ndim):
                if word_at(operand_strides + 8 * axis) != 0:
                    repeated = False
            if x_ndim > 2 and not repeated:
                fits = False
                break
            if repeated:
                strides[i] = 0
                strides[place] = 0
                strides[place + core - 1] = 0
                continue
            strides[i] = word_at(operand_strides) if along == 1 else 0
            strides[place] = word_at(operand_strides + 8 * along)
            if core == 2:
                strides[place + 1] = word_at(operand_strides + 8)
    if not fits:
{HAND_ON}
{new_array("y", "out_dtype", "x_ndim", "x_shape")}
    pointers[arity] = word_at(y + {DATA})
    dims[0] = outer
    dims[1] = length
    dims[2] = inner
{_LOOP}
"""


# where the largest or the smallest element of each line along an axis is first met; NaN is more than all
_PLACES = f"""{BEGIN}
    fits = count == 4
    if not fits:
{HAND_ON}
    x = word_at(args)
    given = word_at(args + 8)
    keepdim = word_at(args + 16)
    largest = word_at(args + 24) == word_at(api + {AT["true"]})
{as_small_array("x")}
    itemsize = 8
    if x_dtype == word_at(api + {AT["float32"]}):
        itemsize = 4
    elif x_dtype != word_at(api + {AT["float64"]}):
        fits = False
{whole_number("along", "given")}
    if keepdim != word_at(api + {AT["true"]}) and keepdim != word_at(api + {AT["false"]}):
        fits = False
    if along < 0 or along >= x_ndim or x_n == 0 or x_flags & {CONTIGUOUS | ALIGNED} != {CONTIGUOUS | ALIGNED}:
        fits = False
    if not fits:
{HAND_ON}
    shape = int64_lanes()
    out = 0
    outer = 1
    inner = 1
    length = word_at(x_shape + 8 * along)
    for axis in range(x_ndim):
        size = word_at(x_shape + 8 * axis)
        if axis < along:
            outer *= size
        elif axis > along:
            inner *= size
        if axis != along or keepdim == word_at(api + {AT["true"]}):
            shape[out] = 1 if axis == along else size
            out += 1
{new_array("y", f"word_at(api + {AT['int64']})", "out", "address(shape)")}
    for i in range(outer * inner):
        at = x_data + (i // inner * length * inner + i % inner) * itemsize
        best = 0.0
        place = 0
        for k in range(length):
            value = float64_place(at)[0] if itemsize == 8 else float64(float32_place(at)[0])
            better = value > best if largest else value < best
            if k == 0 or better or value != value:
                best = value
                place = k
            if value != value:
                break
            at += inner * itemsize
        words_at(word_at(y + {DATA}) + 8 * i)[0] = place
    clear_exceptions()
    return y
"""


def _call(name: str, source: str, reduction: Reduction) -> Call:
    """Give a compiled call for a reduction, of the dtypes that it has loops for."""
    entries: list[int] = []
    kept: list[object] = []
    for code in "fd" if reduction.floating else "?lfd":
        dtypes = np.dtype(code), np.dtype(reduction.result_dtype(np.dtype(code).name))
        kept += dtypes
        for dtype in dtypes:
            entries += [id(dtype), dtype.itemsize]
        for kernel in (row_kernel(reduction), block_kernel(reduction)):
            index = kernel.types.index(f"{code * reduction.arity}{'d' * reduction.numbers}->{dtypes[1].char}")
            loops = loops_of[kernel]
            entries += [ctypes.addressof(loops.functions) + 8 * index, ctypes.addressof(loops.data) + 8 * index]
    return Call(name, source, [reduction.arity, reduction.numbers, len(entries) * 8 // _EACH, *entries], kept)


@once
def reduce(reduction: Reduction) -> Call:
    """Give ``(x, axes, keepdim, numbers)`` for a reduction over neighbouring axes, ascending."""
    return _call("reduce", _REDUCE, reduction)


@once
def sum_to() -> Call:
    """Give ``(x, shape)``: the sum over the axes that broadcasting from a shape to that of x has stretched."""
    return _call("sum_to", _SUM_TO, reductions.sum)


@once
def spread(reduction: Reduction) -> Call:
    """Give ``(x, ..., axis)`` for a reduction that gives a value for each element along an axis."""
    return _call("spread along", _SPREAD, reduction)


@once
def places() -> Call:
    """Give ``(x, axis, keepdim, largest)``: where the extremum along an axis is first met."""
    return Call("places", _PLACES)
