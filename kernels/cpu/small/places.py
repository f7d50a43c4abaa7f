"""Elements of small arrays moved to where lists of places say, counted through all elements; -1 is nowhere.

Whatever only moves elements about is this, with places that depend on shapes and options alone, and so is whatever
picks or writes by arrays of positions: `found` makes places of these.
"""

from __future__ import annotations

from functools import cache as once

from ..ndarray import ALIGNED, CONTIGUOUS, DATA, DTYPE, TYPE, VALUE
from .calls import AT, BEGIN, HAND_ON, SMALL, Call, as_small_array, new_array
from .copies import cleared, new_form
from .views import indented, whole_number

#: Write: how many bytes an element of x has, and whether it is a number; or the call does not fit.
_ITEMSIZE = f"""
    itemsize = 8
    if x_dtype == word_at(api + {AT["float32"]}):
        itemsize = 4
    elif x_dtype != word_at(api + {AT["float64"]}) and x_dtype != word_at(api + {AT["int64"]}):
        fits = False
"""


def _laid_out(name: str) -> str:
    """Write: `name`_step is from one element to the next one of an array, -1 where that depends; or it does not fit."""
    return f"""
    {name}_step = itemsize
    if {name}_flags & {ALIGNED} == 0:
        fits = False
    if {name}_flags & {CONTIGUOUS} == 0:  # a cotangent is often one number for all
        {name}_step = 0
        for axis in range({name}_ndim):
            if word_at({name}_strides + 8 * axis) != 0 and word_at({name}_shape + 8 * axis) != 1:
                {name}_step = -1
"""


def _element(to: str, name: str, number: str) -> str:
    """Write: `to` is where an array has an element, counted in C order."""
    return f"""
    {to} = {name}_data
    if {name}_step >= 0:
        {to} += {number} * {name}_step
    else:
        rest = {number}
        for axis in range({name}_ndim):
            size = word_at({name}_shape + 8 * ({name}_ndim - 1 - axis))
            {to} += rest % size * word_at({name}_strides + 8 * ({name}_ndim - 1 - axis))
            rest = rest // size
"""


def _within(count: str) -> str:
    """Write: places are whole numbers from -1 to before `count`, or the call ends."""
    return f"""
    if places_dtype != word_at(api + {AT["int64"]}):
        fits = False
    if places_flags & {CONTIGUOUS | ALIGNED} != {CONTIGUOUS | ALIGNED}:
        fits = False
    if fits:
        outside = 0  # is negative as soon as what a place is above the lowest is, or what is left above one
        for i in range(places_n):
            place = word_at(places_data + 8 * i)
            outside |= (place + 1) | ({count} - 1 - place)
        fits = outside >= 0
    if not fits:
{HAND_ON}
"""


def _begun(count: int) -> str:
    return f"""{BEGIN}
    fits = count == {count}
    if not fits:
{HAND_ON}
    x = word_at(args)
{as_small_array("x")}
{_ITEMSIZE}
{_laid_out("x")}
"""


def _copied(to: str, source: str) -> str:
    """Write: an element goes from one address to another."""
    return f"""
    if itemsize == 8:
        words_at({to})[0] = words_at({source})[0]
    else:
        int32_place({to})[0] = int32_place({source})[0]
"""


_AT = f"""{_begun(2)}
    places = word_at(args + 8)
{as_small_array("places")}
{_within("x_n")}
{new_array("y", "x_dtype", "places_ndim", "places_shape")}
    start = word_at(y + {DATA})
    nothing = int64_lanes()
    nothing[0] = 0
    for i in range(places_n):
        place = word_at(places_data + 8 * i)
        to = start + i * itemsize
        source = address(nothing)
        if place >= 0:
{indented(_element("source", "x", "place"), 8)}
{indented(_copied("to", "source"), 4)}
    return y
"""

_ADD = f"""{_begun(3)}
    places = word_at(args + 8)
    form = word_at(args + 16)
{as_small_array("places")}
{new_form("form")}
    if x_n != places_n or x_dtype == word_at(api + {AT["int64"]}):
        fits = False
{_within("n")}
{new_array("y", "x_dtype", "ndim", "address(shape)")}
{cleared("y", "n")}
    start = word_at(y + {DATA})
    for i in range(places_n):
        place = word_at(places_data + 8 * i)
        if place >= 0:
{indented(_element("source", "x", "i"), 8)}
            if itemsize == 8:
                float64_place(start + 8 * place)[0] += float64_place(source)[0]
            else:
                float32_place(start + 4 * place)[0] += float32_place(source)[0]
    clear_exceptions()
    return y
"""

#: Write: y is a copy of x.
_COPY = f"""
{new_array("y", "x_dtype", "x_ndim", "x_shape")}
    start = word_at(y + {DATA})
    for i in range(x_n):
        to = start + i * itemsize
{indented(_element("source", "x", "i"), 4)}
{indented(_copied("to", "source"), 4)}
"""

_WRITE = f"""{_begun(3)}
    v = word_at(args + 8)
    places = word_at(args + 16)
{as_small_array("v")}
{as_small_array("places")}
{_laid_out("v")}
    if v_n != places_n or v_dtype != x_dtype:
        fits = False
{_within("x_n")}
{_COPY}
    for i in range(places_n):
        place = word_at(places_data + 8 * i)
        if place >= 0:
            to = start + place * itemsize
{indented(_element("source", "v", "i"), 8)}
{indented(_copied("to", "source"), 8)}
    return y
"""

_FILL = f"""{_begun(3)}
    places = word_at(args + 8)
    number = word_at(args + 16)
{as_small_array("places")}
    if word_at(number + {TYPE}) != word_at(api + {AT["float"]}) or x_dtype == word_at(api + {AT["int64"]}):
        fits = False
{_within("x_n")}
{_COPY}
    for i in range(places_n):
        place = word_at(places_data + 8 * i)
        if place >= 0:
            if itemsize == 8:
                float64_place(start + 8 * place)[0] = float64_place(number + {VALUE})[0]
            else:
                float32_place(start + 4 * place)[0] = float32(float64_place(number + {VALUE})[0])
    clear_exceptions()
    return y
"""

# positions along an axis of a form: of one dimension they are whole slices' (`lines`), else each element's own
_FOUND = f"""{BEGIN}
    fits = count == 4
    if not fits:
{HAND_ON}
    positions = word_at(args)
    form = word_at(args + 8)
    given = word_at(args + 16)
    lines = word_at(args + 24) == word_at(api + {AT["true"]})
{as_small_array("positions")}
{new_form("form")}
{whole_number("along", "given")}
    if positions_dtype != word_at(api + {AT["int64"]}):
        fits = False
    if positions_flags & {CONTIGUOUS | ALIGNED} != {CONTIGUOUS | ALIGNED} or along < 0 or along >= ndim:
        fits = False
    if positions_ndim != (1 if lines else ndim):
        fits = False
    if not fits:
{HAND_ON}
    picked = int64_lanes()
    total = 1
    for axis in range(ndim):
        picked[axis] = shape[axis]
        if not lines:
            picked[axis] = word_at(positions_shape + 8 * axis)
            if axis != along and picked[axis] > shape[axis]:
                fits = False
        elif axis == along:
            picked[axis] = positions_n
        total *= picked[axis]
    size = shape[along]
    outside = 0  # is negative as soon as a position is, or what is left above one
    for i in range(positions_n):
        position = word_at(positions_data + 8 * i)
        outside |= position | (size - 1 - position)
    if not fits or outside < 0 or total > {SMALL}:
{HAND_ON}
    whole = word_at(positions + {DTYPE})
{new_array("y", "whole", "ndim", "address(picked)")}
    start = word_at(y + {DATA})
    steps = int64_lanes()
    at = int64_lanes()
    step = 1
    for back in range(ndim):
        axis = ndim - 1 - back
        at[axis] = 0
        steps[axis] = step
        step *= shape[axis]
    step = steps[along]
    steps[along] = 0  # a place along the axis is its position's affair
    length = picked[ndim - 1]
    line = positions_data
    first = 0
    if total == 0:
        return y
    for _ in range(total // length):  # along the last axis
        if lines and along < ndim - 1:
            ahead = word_at(positions_data + 8 * at[along]) * step
            for k in range(length):
                words_at(start + 8 * k)[0] = first + ahead + k
        else:
            for k in range(length):
                words_at(start + 8 * k)[0] = first + k * steps[ndim - 1] + word_at(line + 8 * k) * step
            if not lines:
                line += 8 * length
        start += 8 * length
        axis = ndim - 2
        while axis >= 0:
            at[axis] += 1
            first += steps[axis]
            if at[axis] < picked[axis]:
                break
            first -= picked[axis] * steps[axis]
            at[axis] = 0
            axis -= 1
    return y
"""

_LAST = f"""{BEGIN}
    fits = count == 2
    if not fits:
{HAND_ON}
    places = word_at(args)
    given = word_at(args + 8)
{as_small_array("places")}
{whole_number("total", "given")}
    if total < 0 or total > {SMALL}:
        fits = False
{_within("total")}
    dims = int64_lanes()
    dims[0] = total
{new_array("seen", "places_dtype", "1", "address(dims)")}
    last = word_at(seen + {DATA})
    for i in range(total):
        words_at(last + 8 * i)[0] = -1
    for i in range(places_n):
        place = word_at(places_data + 8 * i)
        if place >= 0:
            words_at(last + 8 * place)[0] = i
{new_array("y", "places_dtype", "places_ndim", "places_shape")}
    start = word_at(y + {DATA})
    for i in range(places_n):
        place = word_at(places_data + 8 * i)
        if place >= 0 and word_at(last + 8 * place) != i:
            place = -1
        words_at(start + 8 * i)[0] = place
    invoke_1(word_at(api + {AT["Py_DecRef"]}), (seen,))
    return y
"""

# how much of which element is added to which
_SUM = f"""{_begun(5)}
    places = word_at(args + 8)
    taken = word_at(args + 16)
    shares = word_at(args + 24)
    form = word_at(args + 32)
{as_small_array("taken")}
{as_small_array("shares")}
{as_small_array("places")}
{new_form("form")}
    if x_dtype == word_at(api + {AT["int64"]}) or shares_dtype != word_at(api + {AT["float64"]}):
        fits = False
    if taken_dtype != word_at(api + {AT["int64"]}) or taken_n != places_n or shares_n != places_n:
        fits = False
    if taken_flags & shares_flags & {CONTIGUOUS | ALIGNED} != {CONTIGUOUS | ALIGNED}:
        fits = False
    if fits:
        for k in range(places_n):
            place = word_at(taken_data + 8 * k)
            if place < 0 or place >= x_n:
                fits = False
{_within("n")}
{new_array("y", "x_dtype", "ndim", "address(shape)")}
{cleared("y", "n")}
    start = word_at(y + {DATA})
    last = int64(-1)
    value = 0.0
    for k in range(places_n + 1):  # what is added to one place in a row is so in float64
        place = word_at(places_data + 8 * k) if k < places_n else int64(-1)
        if place != last:
            if last >= 0:
                if itemsize == 8:
                    float64_place(start + 8 * last)[0] = value
                else:
                    float32_place(start + 4 * last)[0] = float32(value)
            last = place
            if place >= 0:
                if itemsize == 8:
                    value = float64_place(start + 8 * place)[0]
                else:
                    value = float64(float32_place(start + 4 * place)[0])
        if place >= 0:
            number = word_at(taken_data + 8 * k)
            share = float64_place(shares_data + 8 * k)[0]
{indented(_element("source", "x", "number"), 8)}
            if itemsize == 8:
                value += share * float64_place(source)[0]
            else:
                value += share * float64(float32_place(source)[0])
    clear_exceptions()
    return y
"""

# of a table's rows, the place of the first of the largest elements, or of NaN
_LARGEST = f"""{_begun(2)}
    places = word_at(args + 8)
{as_small_array("places")}
    if x_dtype == word_at(api + {AT["int64"]}) or places_ndim < 1 or places_n < 1:
        fits = False
{_within("x_n")}
    wide = word_at(places_shape + 8 * (places_ndim - 1))
{new_array("y", "places_dtype", "places_ndim - 1", "places_shape")}
    start = word_at(y + {DATA})
    for row in range(places_n // wide):
        best = int64(-1)
        highest = 0.0
        for k in range(wide):
            place = word_at(places_data + 8 * (row * wide + k))
            if place >= 0:
{indented(_element("source", "x", "place"), 12)}
                value = 0.0
                if itemsize == 8:
                    value = float64_place(source)[0]
                else:
                    value = float64(float32_place(source)[0])
                if best < 0 or value > highest or (value != value and highest == highest):
                    best = place
                    highest = value
        words_at(start + 8 * row)[0] = best
    clear_exceptions()
    return y
"""


@once
def at() -> Call:
    """Give ``(x, places)``: the elements of x at places, 0 for those that are nowhere, in the form of places."""
    return Call("at", _AT)


@once
def add() -> Call:
    """Give ``(x, places, shape)``: zeros of a shape with the elements of x added at places; the adjoint of `at`."""
    return Call("add at", _ADD)


@once
def write() -> Call:
    """Give ``(x, v, places)``: a copy of x with the elements of v at places."""
    return Call("write at", _WRITE)


@once
def fill() -> Call:
    """Give ``(x, places, number)``: a copy of x with a float at places."""
    return Call("fill at", _FILL)


@once
def found() -> Call:
    """Give ``(positions, shape, axis, lines)``: the places of positions along an axis of an array of a shape.

    They are whole slices' if `lines`, and otherwise each element's own, as `gather` takes them. None is negative.
    """
    return Call("found places", _FOUND)


@once
def last() -> Call:
    """Give ``(places, count)``: places among so many elements, -1 for those that come again later."""
    return Call("last places", _LAST)


@once
def sums() -> Call:
    """Give ``(x, places, taken, shares, shape)``: zeros with a share of the element of x at ``taken[k]`` added at each
    of some places: any linear function.
    """
    return Call("sums at", _SUM)


@once
def largest() -> Call:
    """Give ``(x, places)``: of each row of places that of the first of its largest elements, NaN being above all."""
    return Call("largest at", _LARGEST)
