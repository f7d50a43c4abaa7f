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


def _cleared(array: str, count: str) -> str:
    """Write: all elements of a new array are 0."""
    return f"""
    for word in range({count} * itemsize // 4):
        int32_place(word_at({array} + {DATA}) + 4 * word)[0] = int32(0)
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
{sizes("form", "shape", "ndim")}
    n = 1
    strides = int64_lanes()
    for i in range(ndim):
        axis = ndim - 1 - i
        strides[axis] = n * itemsize
        if shape[axis] < 0 or shape[axis] > {SMALL}:
            fits = False
            break
        n *= shape[axis]
        if n > {SMALL}:
            fits = False
            break
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
{_cleared("y", "n")}
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
    fits = count == 2
    if not fits:
{HAND_ON}
    x = word_at(args)
    size = word_at(args + 8)
{as_small_array("x")}
{whole_number("rows", "size")}
    if x_dtype != word_at(api + {AT["int64"]}) or x_flags & {CONTIGUOUS | ALIGNED} != {CONTIGUOUS | ALIGNED}:
        fits = False
    if fits:
        for i in range(x_n):
            position = word_at(x_data + 8 * i)
            if position < -rows or position >= rows:
                fits = False
    if not fits or x_ndim == 0:
{HAND_ON}
{new_array("y", "x_dtype", "x_ndim", "x_shape")}
    for i in range(x_n):
        position = word_at(x_data + 8 * i)
        words_at(word_at(y + {DATA}) + 8 * i)[0] = position + rows if position < 0 else position
    return y
"""


def _rows(name: str) -> str:
    """Write: `name` is an array of positions in C order, whose elements are looked at where they are used."""
    return f"""
{as_small_array(name)}
    if {name}_dtype != word_at(api + {AT["int64"]}):
        fits = False
    if {name}_flags & {CONTIGUOUS | ALIGNED} != {CONTIGUOUS | ALIGNED}:
        fits = False
"""


_GATHER = f"""{BEGIN}
    fits = count == 2
    if not fits:
{HAND_ON}
    x = word_at(args)
    rows = word_at(args + 8)
{as_small_array("x")}
{_ITEMSIZE}
{_rows("rows")}
    if x_ndim == 0 or x_ndim + rows_ndim > 32 or x_flags & {CONTIGUOUS | ALIGNED} != {CONTIGUOUS | ALIGNED}:
        fits = False
    if not fits:
{HAND_ON}
    shape = int64_lanes()
    width = 1
    total = word_at(x_shape)
    for axis in range(rows_ndim):
        shape[axis] = word_at(rows_shape + 8 * axis)
    for axis in range(1, x_ndim):
        shape[rows_ndim + axis - 1] = word_at(x_shape + 8 * axis)
        width *= word_at(x_shape + 8 * axis)
    if rows_n * width > {SMALL}:
        fits = False
    for i in range(rows_n):
        position = word_at(rows_data + 8 * i)
        if position < 0 or position >= total:
            fits = False
    if not fits:
{HAND_ON}
{new_array("y", "x_dtype", "rows_ndim + x_ndim - 1", "address(shape)")}
    for i in range(rows_n):
        to = word_at(y + {DATA}) + i * width * itemsize
        source = x_data + word_at(rows_data + 8 * i) * width * itemsize
{indented(_copied("to", "source", "width", "itemsize"), 4)}
    return y
"""

_SCATTER = f"""{BEGIN}
    fits = count == 3
    if not fits:
{HAND_ON}
    x = word_at(args)
    rows = word_at(args + 8)
    form = word_at(args + 16)
{as_small_array("x")}
{_ITEMSIZE}
{_rows("rows")}
{sizes("form", "shape", "ndim")}
    n = 1
    for axis in range(ndim):
        if shape[axis] < 0 or shape[axis] > {SMALL}:
            fits = False
            break
        n *= shape[axis]
        if n > {SMALL}:
            fits = False
            break
    if ndim == 0 or x_ndim != rows_ndim + ndim - 1 or x_flags & {ALIGNED} == 0:
        fits = False
    if not fits:
{HAND_ON}
    repeated = True  # a cotangent is often one number for all
    for axis in range(x_ndim):
        size = shape[axis - rows_ndim + 1]
        if axis < rows_ndim:
            size = word_at(rows_shape + 8 * axis)
        if word_at(x_shape + 8 * axis) != size:
            fits = False
        if word_at(x_strides + 8 * axis) != 0:
            repeated = False
    if x_flags & {CONTIGUOUS} == 0 and not repeated:
        fits = False
    for i in range(rows_n):
        position = word_at(rows_data + 8 * i)
        if position < 0 or position >= shape[0]:
            fits = False
    if not fits:
{HAND_ON}
{new_array("y", "x_dtype", "ndim", "address(shape)")}
{_cleared("y", "n")}
    width = 0 if n == 0 else n // shape[0]
    step = 0 if repeated else itemsize
    for i in range(rows_n):
        to = word_at(y + {DATA}) + word_at(rows_data + 8 * i) * width * itemsize
        source = x_data + i * width * step
        if itemsize == 8:
            for j in range(width):
                float64_place(to + 8 * j)[0] += float64_place(source + j * step)[0]
        else:
            for j in range(width):
                float32_place(to + 4 * j)[0] += float32_place(source + j * step)[0]
    clear_exceptions()
    return y
"""


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
    """Give ``(positions, count)``: a copy of positions that are among so many, counted from the front."""
    return Call("rows", _ROWS)


@once
def gather() -> Call:
    """Give ``(x, rows)``: the rows of x at positions, as `rows` gives them."""
    return Call("gather", _GATHER)


@once
def scatter() -> Call:
    """Give ``(x, rows, shape)``: zeros with the rows of x added at positions, as `rows` gives them."""
    return Call("scatter", _SCATTER)
