"""Reductions of small arrays: the loops that ufuncs have, called at once."""

from __future__ import annotations

import ctypes
from functools import cache as once

import numpy as np

from ... import reductions
from ..ndarray import ALIGNED, CONTIGUOUS, DATA, IN_FORTRANS_ORDER, ITEMS, LENGTH, TYPE
from ..reduction_loops import block_kernel, row_kernel
from ..ufunc import loops_of
from .calls import AT, BEGIN, HAND_ON, Call, as_small_array, new_array
from .views import indented, sizes, whole_number

# own words: 0 how many operands; from 8 on for float32, and from 48 on for float64: the dtype, and where the addresses
# and the data of the loops over rows and over blocks are
_FIRST, _EACH = 8, 40

_LOOP = """
    function = word_at(word_at(entry + (8 if inner == 0 else 24)))
    data = word_at(word_at(entry + (16 if inner == 0 else 32)))
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


def _reduction(count: int, axes: str) -> str:
    """Write a reduction over neighbouring axes, from `first` to before `last`, which gives a `shape` of `out` sizes."""
    return f"""{BEGIN}
    fits = count == {count}
    if not fits:
{HAND_ON}
    x = word_at(args)
    given = word_at(args + 8)
{as_small_array("x")}
    itemsize = 8
    entry = own + {_FIRST + _EACH}
    if x_dtype != word_at(entry):
        entry -= {_EACH}
        itemsize = 4
        if x_dtype != word_at(entry):
            fits = False
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
{new_array("y", "x_dtype", "out", "address(shape)")}
    pointers[0] = x_data
    pointers[1] = word_at(y + {DATA})
    dims[0] = outer
    dims[1] = length
    dims[2] = inner
    strides[0] = across
    strides[1] = max(inner, 1) * itemsize
    strides[2] = along
    strides[3] = beside
    strides[4] = itemsize
{_LOOP}
"""


_REDUCE, _SUM_TO = _reduction(3, _BY_AXES), _reduction(2, _BY_SHAPE)

_SPREAD = f"""{BEGIN}
    arity = word_at(own)
    fits = count == arity + 1
    if not fits:
{HAND_ON}
    x = word_at(args)
{as_small_array("x")}
    itemsize = 8
    entry = own + {_FIRST + _EACH}
    if x_dtype != word_at(entry):
        entry -= {_EACH}
        itemsize = 4
        if x_dtype != word_at(entry):
            fits = False
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
{new_array("y", "x_dtype", "x_ndim", "x_shape")}
    pointers[arity] = word_at(y + {DATA})
    dims[0] = outer
    dims[1] = length
    dims[2] = inner
{_LOOP}
"""


def _call(name: str, source: str, reduced: str) -> Call | None:
    """Give a compiled call for a reduction; None if that has no loops from one floating dtype to itself."""
    reduction = reductions.TABLE[reduced]
    words = [reduction.arity]
    kept: list[object] = []
    for dtype in (np.dtype(np.float32), np.dtype(np.float64)):
        words.append(id(dtype))
        kept.append(dtype)
        for kernel in (row_kernel(reduction), block_kernel(reduction)):
            signature = f"{dtype.char * reduction.arity}->{dtype.char}"
            if signature not in kernel.types:
                return None
            loops, index = loops_of[kernel], kernel.types.index(signature)
            words += [ctypes.addressof(loops.functions) + 8 * index, ctypes.addressof(loops.data) + 8 * index]
    return Call(name, source, words, kept)


@once
def reduce(name: str) -> Call | None:
    """Give ``(x, axes, keepdim)`` for the reduction of that name over neighbouring axes, ascending."""
    return _call("reduce", _REDUCE, name)


@once
def sum_to() -> Call | None:
    """Give ``(x, shape)``: the sum over the axes that broadcasting from a shape to that of x has stretched."""
    return _call("sum_to", _SUM_TO, "sum")


@once
def spread(name: str) -> Call | None:
    """Give ``(x, ..., axis)`` for the reduction of that name, which gives a value for each element along an axis."""
    return _call("spread along", _SPREAD, name)
