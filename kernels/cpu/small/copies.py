"""Elements of small arrays copied from one place to another: joined, picked by rows, put back into zeros."""

from __future__ import annotations

from functools import cache as once

from ..ndarray import ALIGNED, CONTIGUOUS, DATA
from .calls import AT, BEGIN, HAND_ON, SMALL, Call, as_small_array, new_array
from .views import indented, key_walked, sizes, whole_number

#: Write: how many bytes an element has, or the call does not fit.
_ITEMSIZE = f"""
    itemsize = 8
    if x_dtype == word_at(api + {AT["float32"]}):
        itemsize = 4
    elif x_dtype != word_at(api + {AT["float64"]}):
        fits = False
"""


def _copied(to: str, source: str, count: str, step: str) -> str:
    """Write: `count` elements beside one another from every `step` bytes."""
    return f"""
    if itemsize == 8:
        for j in range({count}):
            words_at({to} + 8 * j)[0] = words_at({source} + j * {step})[0]
    else:
        for j in range({count}):
            int32_place({to} + 4 * j)[0] = int32_place({source} + j * {step})[0]
"""


def cleared(array: str, count: str) -> str:
    """Write: all elements of a new array are 0."""
    return f"""
    for word in range({count} * itemsize // 4):
        int32_place(word_at({array} + {DATA}) + 4 * word)[0] = int32(0)
"""


def new_form(name: str) -> str:
    """Write: `name` is a small array's `shape` of `ndim` sizes, of `n` elements, or the call does not fit."""
    return f"""
{sizes(name, "shape", "ndim")}
    n = 1
    for axis in range(ndim):
        if shape[axis] < 0 or shape[axis] > {SMALL}:
            fits = False
            break
        n *= shape[axis]
        if n > {SMALL}:
            fits = False
            break
"""


# in lines: those of an array that is in C order up to its last axis but one may be shorter than they are apart
_CAT = f"""{BEGIN}
    arrays = count - 1
    fits = arrays > 0
    if not fits:
{HAND_ON}
    x = word_at(args)
{as_small_array("x")}
{_ITEMSIZE}
    given = word_at(args + 8 * arrays)
{whole_number("along", "given")}
    if along < 0 or along >= x_ndim:
        fits = False
    if not fits:
{HAND_ON}
    shape = int64_lanes()
    outer = 1
    inner = 1
    for axis in range(x_ndim):
        shape[axis] = word_at(x_shape + 8 * axis)
        if axis < along:
            outer *= shape[axis]
        elif axis > along:
            inner *= shape[axis]
    shape[along] = 0
    for i in range(arrays):
        part = word_at(args + 8 * i)
{indented(as_small_array("part"), 4)}
        if part_dtype != x_dtype or part_ndim != x_ndim or part_flags & {ALIGNED} == 0:
            fits = False
            break
        if part_flags & {CONTIGUOUS} == 0 and (x_ndim != 1 or part_n == 0):
            fits = False
            break
        for axis in range(x_ndim):
            size = word_at(part_shape + 8 * axis)
            if axis == along:
                shape[axis] += size
            elif size != shape[axis]:
                fits = False
    if shape[along] * outer * inner > {SMALL}:
        fits = False
    if not fits:
{HAND_ON}
{new_array("y", "x_dtype", "x_ndim", "address(shape)")}
    start = word_at(y + {DATA})
    line = shape[along] * inner * itemsize
    for i in range(arrays):
        part = word_at(args + 8 * i)
{indented(as_small_array("part"), 4)}
        length = word_at(part_shape + 8 * along) * inner
        step = itemsize
        if x_ndim == 1:
            step = word_at(part_strides)
        for b in range(outer):
            to = start + b * line
            source = part_data + b * length * itemsize
{indented(_copied("to", "source", "length", "step"), 8)}
        start += length * itemsize
    return y
"""

# along a new axis, which is the first: each array in its own order
_STACK = f"""{BEGIN}
    arrays = count - 1
    fits = arrays > 0
    if not fits:
{HAND_ON}
    x = word_at(args)
{as_small_array("x")}
{_ITEMSIZE}
    given = word_at(args + 8 * arrays)
{whole_number("along", "given")}
    if along < 0 or along > x_ndim or arrays * x_n > {SMALL}:
        fits = False
    if not fits:
{HAND_ON}
    shape = int64_lanes()
    outer = 1
    inner = 1
    for axis in range(x_ndim):
        size = word_at(x_shape + 8 * axis)
        if axis < along:
            outer *= size
            shape[axis] = size
        else:
            inner *= size
            shape[axis + 1] = size
    shape[along] = arrays
    for i in range(arrays):
        part = word_at(args + 8 * i)
{indented(as_small_array("part"), 4)}
        if part_dtype != x_dtype or part_ndim != x_ndim or part_flags & {ALIGNED} == 0:
            fits = False
            break
        if part_flags & {CONTIGUOUS} == 0 and x_ndim != 1:
            fits = False
            break
        for axis in range(x_ndim):
            if word_at(part_shape + 8 * axis) != word_at(x_shape + 8 * axis):
                fits = False
    if not fits:
{HAND_ON}
{new_array("y", "x_dtype", "x_ndim + 1", "address(shape)")}
    for i in range(arrays):
        part = word_at(args + 8 * i)
{indented(as_small_array("part"), 4)}
        step = itemsize
        if x_ndim == 1:
            step = word_at(part_strides)
        for b in range(outer):
            to = word_at(y + {DATA}) + (b * arrays + i) * inner * itemsize
            source = part_data + b * inner * step
{indented(_copied("to", "source", "inner", "step"), 8)}
    return y
"""

# the elements that a view would have, walked by a counter of its last axis and of all others
_PUT = f"""{BEGIN}
    fits = count == 3
    if not fits:
{HAND_ON}
    x = word_at(args)
    given = word_at(args + 8)
    form = word_at(args + 16)
{as_small_array("x")}
{_ITEMSIZE}
{new_form("form")}
    strides = int64_lanes()
    stride = itemsize
    for i in range(ndim):
        strides[ndim - 1 - i] = stride
        stride *= shape[ndim - 1 - i]
    if x_flags & {ALIGNED} == 0:
        fits = False
    if not fits:
{HAND_ON}
{key_walked("given", "args + 8", "ndim", "address(shape)", "address(strides)")}
    if out != x_ndim:
        fits = False
    else:
        for axis in range(out):
            if dims[axis] != word_at(x_shape + 8 * axis):
                fits = False
    if not fits:
{HAND_ON}
{new_array("y", "x_dtype", "ndim", "address(shape)")}
{cleared("y", "n")}
    at = int64_lanes()
    for axis in range(out):
        at[axis] = 0
    to = word_at(y + {DATA}) + offset
    source = x_data
    for i in range(x_n):
        if itemsize == 8:
            words_at(to)[0] = words_at(source)[0]
        else:
            int32_place(to)[0] = int32_place(source)[0]
        axis = out - 1
        while axis >= 0:
            at[axis] += 1
            to += steps[axis]
            source += word_at(x_strides + 8 * axis)
            if at[axis] < dims[axis]:
                break
            to -= dims[axis] * steps[axis]
            source -= dims[axis] * word_at(x_strides + 8 * axis)
            at[axis] = 0
            axis -= 1
    return y
"""

_ROWS = f"""{BEGIN}
    fits = count == 2 or count == 3
    if not fits:
{HAND_ON}
    x = word_at(args)
    size = word_at(args + 8)
{as_small_array("x")}
{whole_number("rows", "size")}
    if x_dtype != word_at(api + {AT["int64"]}) or x_flags & {CONTIGUOUS | ALIGNED} != {CONTIGUOUS | ALIGNED}:
        fits = False
    if not fits or x_ndim == 0:
{HAND_ON}
{new_array("y", "x_dtype", "x_ndim", "x_shape")}
    to = word_at(y + {DATA})
    lowest = -rows if count == 2 else 0
    outside = 0  # is negative as soon as what a position is above the lowest is, or what is left above one
    for i in range(x_n):
        position = word_at(x_data + 8 * i)
        outside |= (position - lowest) | (rows - 1 - position)
        words_at(to + 8 * i)[0] = position + rows if position < 0 else position
    if outside < 0:
        invoke_1(word_at(api + {AT["Py_DecRef"]}), (y,))
{HAND_ON}
    return y
"""


# positions along an axis, in an array of any shape, whose axes come in its place: all lines have the same
_OF_ROWS = f"""
    given = word_at(args + 16)
{whole_number("along", "given")}
    outer = 1
    size = 0
    inner = 1
    lines = positions_n
    beside = 0
    picked_ndim = positions_ndim + table_ndim - 1
    if along < 0 or along >= table_ndim or picked_ndim > 32:
        fits = False
    else:
        size = word_at(table + 8 * along)
        for i in range(positions_ndim):
            picked[along + i] = word_at(positions_shape + 8 * i)
        for i in range(table_ndim):
            if i < along:
                picked[i] = word_at(table + 8 * i)
                outer *= picked[i]
            elif i > along:
                picked[positions_ndim + i - 1] = word_at(table + 8 * i)
                inner *= word_at(table + 8 * i)
    each = 1
    further = 0
"""

# positions along an axis, which they lack if there is one for each line: each element has its own
_ALONG = f"""
    given = word_at(args + 16)
{whole_number("along", "given")}
    outer = 1
    size = 0
    inner = 1
    lines = 1
    beside = 1
    picked_ndim = positions_ndim
    lacking = table_ndim - positions_ndim
    if along < 0 or along >= table_ndim or lacking < 0 or lacking > 1:
        fits = False
    else:
        size = word_at(table + 8 * along)
        for i in range(positions_ndim):
            picked[i] = word_at(positions_shape + 8 * i)
        if lacking == 0:
            lines = picked[along]
        for i in range(table_ndim):
            length = word_at(table + 8 * i)
            if i < along:
                outer *= length
            elif i > along:
                inner *= length
            if i != along and picked[i - (lacking if i > along else 0)] != length:
                fits = False
    each = inner
    further = lines * inner
"""


def _picking(count: int, form: str, puts: bool) -> str:
    """Write a call that gives the elements of x at positions, or zeros with the elements of x added at positions.

    One of the two arrays is a table of `outer` times `size` times `inner` elements, in C order. The other one has
    `outer` times `lines` times `inner` of these, each at a position among `size`: positions are `further` apart from
    one of the outer ones to the next, `each` from one line to the next, and `beside` from one element to the next.
    """
    begin = f"""{BEGIN}
    fits = count == {count}
    if not fits:
{HAND_ON}
    x = word_at(args)
    positions = word_at(args + 8)
{as_small_array("x")}
{as_small_array("positions")}
    if positions_dtype != word_at(api + {AT["int64"]}):
        fits = False
    if positions_flags & {CONTIGUOUS | ALIGNED} != {CONTIGUOUS | ALIGNED} or x_flags & {ALIGNED} == 0:
        fits = False
    picked = int64_lanes()
"""
    within = f"""
    if fits:
        outside = 0  # is negative as soon as a position is, or what is left above one
        for i in range(positions_n):
            position = word_at(positions_data + 8 * i)
            outside |= position | (size - 1 - position)
        fits = outside >= 0
    if not fits:
{HAND_ON}
"""
    walk = """
    row = inner * itemsize
    column = itemsize
    if inner == 1:  # lines of one element are one of as many
        inner = lines
        lines = 1
        beside = each
        column = 0
    for a in range(outer):
        for i in range(lines):
            first = positions_data + 8 * (a * further + i * each)
            for j in range(inner):
                there = (a * size + word_at(first + 8 * j * beside)) * row + j * column
"""
    if not puts:
        return f"""{begin}
{_ITEMSIZE}
    table = x_shape
    table_ndim = x_ndim
    if x_flags & {CONTIGUOUS} == 0:
        fits = False
{form}
    if outer * lines * inner > {SMALL}:
        fits = False
{within}
{new_array("y", "x_dtype", "picked_ndim", "address(picked)")}
    here = word_at(y + {DATA})
{walk}
                if itemsize == 8:
                    words_at(here)[0] = words_at(x_data + there)[0]
                else:
                    int32_place(here)[0] = int32_place(x_data + there)[0]
                here += itemsize
    return y
"""
    return f"""{begin}
{_ITEMSIZE}
    form = word_at(args + {8 * count - 8})
{new_form("form")}
    table = address(shape)
    table_ndim = ndim
{form}
    repeated = x_flags & {CONTIGUOUS} == 0  # a cotangent is often one number for all
    if x_ndim != picked_ndim:
        fits = False
    else:
        for i in range(x_ndim):
            if word_at(x_shape + 8 * i) != picked[i] or (repeated and word_at(x_strides + 8 * i) != 0):
                fits = False
{within}
{new_array("y", "x_dtype", "ndim", "table")}
{cleared("y", "n")}
    step = 0 if repeated else itemsize
    start = word_at(y + {DATA})
    here = x_data
{walk}
                if itemsize == 8:
                    float64_place(start + there)[0] += float64_place(here)[0]
                else:
                    float32_place(start + there)[0] += float32_place(here)[0]
                here += step
    clear_exceptions()
    return y
"""


_GATHER, _SCATTER = _picking(3, _OF_ROWS, False), _picking(4, _OF_ROWS, True)
_TAKE, _ADD = _picking(3, _ALONG, False), _picking(4, _ALONG, True)


@once
def cat() -> Call:
    """Give ``(array, ..., axis)``: contiguous arrays of one floating dtype, joined."""
    return Call("cat", _CAT)


@once
def stack() -> Call:
    """Give ``(array, ..., axis)``: contiguous arrays of one floating dtype and shape, joined along a new axis."""
    return Call("stack", _STACK)


@once
def put() -> Call:
    """Give ``(x, key, shape)``: zeros with x in place of what an index that picks a view picks."""
    return Call("put", _PUT)


@once
def rows() -> Call:
    """Give ``(positions, count)``: a copy of positions that are among so many, counted from the front.

    With a third argument none of them may be negative.
    """
    return Call("rows", _ROWS)


@once
def gather() -> Call:
    """Give ``(x, rows, axis)``: what x has along an axis at positions, as `rows` gives them."""
    return Call("gather", _GATHER)


@once
def scatter() -> Call:
    """Give ``(x, rows, axis, shape)``: zeros with what x has added along an axis at positions, as `rows` gives them."""
    return Call("scatter", _SCATTER)


@once
def take() -> Call:
    """Give ``(x, positions, axis)``: the elements at positions along an axis, which positions may lack."""
    return Call("take", _TAKE)


@once
def add() -> Call:
    """Give ``(x, positions, axis, shape)``: zeros with the elements of x added where `take` picks them."""
    return Call("add along", _ADD)
