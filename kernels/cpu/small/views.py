"""Views of arrays, made by filling in a header: basic indexing, shapes, the order of axes, broadcasting.

Arrays may be large here: nothing looks at elements.
"""

from __future__ import annotations

from functools import cache as once

from ..ndarray import ALIGNED, CONTIGUOUS, ITEMS, LENGTH, MEMBERS, TYPE, WRITEABLE
from .calls import AT, BEGIN, DIMENSIONS, HAND_ON, Call, as_small_array, new_view


def whole_number(name: str, of: str) -> str:
    """Write: `name` is what a Python number is, or the call does not fit."""
    return f"""
    {name} = 0
    if word_at({of} + {TYPE}) != word_at(api + {AT["int"]}):
        fits = False
    else:
        {name} = invoke_1(word_at(api + {AT["PyLong_AsSsize_t"]}), ({of},))
        if {name} == -1 and invoke_1(word_at(api + {AT["PyErr_Occurred"]}), (0,)) != 0:
            invoke_1(word_at(api + {AT["PyErr_Clear"]}), (0,))
            fits = False
"""


def _of_array(count: int) -> str:
    """Write: of so many arguments the first is x, an array; or the call does not fit. Its size does not matter."""
    return f"""
    fits = count == {count}
    if fits:
        fits = word_at(word_at(args) + {TYPE}) == word_at(api + {AT["ndarray"]})
    if not fits:
{HAND_ON}
    few = True
    x = word_at(args)
"""


def indented(text: str, by: int) -> str:
    """Give lines with more space before them."""
    return "\n".join(" " * by + line if line else line for line in text.split("\n"))


def key_walked(key: str, place: str, ndim: str, shape: str, strides: str) -> str:
    """Write: what an index of whole numbers, slices, None and an ellipsis picks of a form.

    `key` is the index, `place` where the pointer to it lies. Binds `dims`, `steps` and `out`, the form of what is
    picked, and `offset`, the bytes to its first element.
    """
    return f"""
    parts = 1
    items = {place}
    if word_at({key} + {TYPE}) == word_at(api + {AT["tuple"]}):
        parts = word_at({key} + {LENGTH})
        items = {key} + {ITEMS}
    dims = int64_lanes()
    steps = int64_lanes()
    bounds = int64_lanes()
    offset = 0
    out = 0
    used = 0
    ellipses = 0
    if parts > {DIMENSIONS}:
        fits = False
        parts = 0
    for p in range(parts):
        part = word_at(items + 8 * p)
        kind = word_at(part + {TYPE})
        if kind == word_at(api + {AT["int"]}) or kind == word_at(api + {AT["slice"]}):
            used += 1
        elif part == word_at(api + {AT["ellipsis"]}):
            ellipses += 1
        elif part != word_at(api + {AT["none"]}):
            fits = False
    if used > {ndim} or ellipses > 1:
        fits = False
    if fits:
        axis = 0
        for p in range(parts):
            part = word_at(items + 8 * p)
            kind = word_at(part + {TYPE})
            if kind == word_at(api + {AT["int"]}):
{indented(whole_number("position", "part"), 12)}
                size = word_at({shape} + 8 * axis)
                if position < 0:
                    position += size
                if position < 0 or position >= size:
                    fits = False
                offset += position * word_at({strides} + 8 * axis)
                axis += 1
            elif kind == word_at(api + {AT["slice"]}):
                for member in range(3):
                    value = word_at(part + {MEMBERS} + 8 * member)
                    if value != word_at(api + {AT["none"]}) and word_at(value + {TYPE}) != word_at(api + {AT["int"]}):
                        fits = False
                if not fits:
                    break
                place = address(bounds)
                error = int32(
                    invoke_4(word_at(api + {AT["PySlice_Unpack"]}), (part, place, place + 8, place + 16))
                )
                if error != 0:  # a step of 0
                    invoke_1(word_at(api + {AT["PyErr_Clear"]}), (0,))
                    fits = False
                    break
                size = word_at({shape} + 8 * axis)
                stride = word_at({strides} + 8 * axis)
                length = invoke_4(
                    word_at(api + {AT["PySlice_AdjustIndices"]}), (size, place, place + 8, bounds[2])
                )
                dims[out] = length
                if length > 0:
                    offset += bounds[0] * stride
                    steps[out] = bounds[2] * stride
                else:
                    steps[out] = stride
                out += 1
                axis += 1
            elif part == word_at(api + {AT["none"]}):
                dims[out] = 1
                steps[out] = 0
                out += 1
            else:
                for i in range({ndim} - used):
                    dims[out] = word_at({shape} + 8 * axis)
                    steps[out] = word_at({strides} + 8 * axis)
                    out += 1
                    axis += 1
        for rest in range(axis, {ndim}):
            dims[out] = word_at({shape} + 8 * rest)
            steps[out] = word_at({strides} + 8 * rest)
            out += 1
"""


def _array(name: str) -> str:
    """Write: `name` is an ndarray, of any size, or the call does not fit."""
    return as_small_array(name, "few")


def sizes(name: str, values: str, count: str) -> str:
    """Write: `name` is a tuple of `count` whole numbers, which `values` gets."""
    return f"""
    {values} = int64_lanes()
    {count} = 0
    if word_at({name} + {TYPE}) != word_at(api + {AT["tuple"]}):
        fits = False
    else:
        {count} = word_at({name} + {LENGTH})
        if {count} > {DIMENSIONS}:
            fits = False
            {count} = 0
        for i in range({count}):
            item = word_at({name} + {ITEMS} + 8 * i)
{indented(whole_number("number", "item"), 8)}
            {values}[i] = number
"""


def _two(body: str) -> str:
    """Write a call of an array and something else, which `body` looks at."""
    return f"""{BEGIN}
{_of_array(2)}
    given = word_at(args + 8)
{_array("x")}
    fits = x_ndim <= {DIMENSIONS}
{body}
"""


_GETITEM = _two(f"""
{key_walked("given", "args + 8", "x_ndim", "x_shape", "x_strides")}
    if not fits:
{HAND_ON}
{new_view("y", "x", "x_data + offset", "out", "address(dims)", "address(steps)", f"x_flags & {WRITEABLE}")}
    return y
""")

_RESHAPE = _two(f"""
{sizes("given", "sizes_", "ndim")}
    dims = int64_lanes()
    known = 1
    unknown = -1
    for i in range(ndim):
        dims[i] = sizes_[i]
        if sizes_[i] == -1 and unknown < 0:
            unknown = i
        elif sizes_[i] < 0:
            fits = False
        else:
            known *= sizes_[i]
    n = 1
    for axis in range(x_ndim):
        n *= word_at(x_shape + 8 * axis)
    if unknown >= 0:
        if known <= 0 or n % known != 0:
            fits = False
        else:
            dims[unknown] = n // known
    elif known != n:
        fits = False
    if x_flags & {CONTIGUOUS} == 0 or n > 1 << 40:
        fits = False
    if not fits:
{HAND_ON}
{new_view("y", "x", "x_data", "ndim", "address(dims)", "0", f"x_flags & {WRITEABLE | ALIGNED}")}
    return y
""")

_PERMUTE = _two(f"""
{sizes("given", "order", "ndim")}
    if ndim != x_ndim:
        fits = False
    dims = int64_lanes()
    steps = int64_lanes()
    seen = 0
    if fits:
        for i in range(ndim):
            axis = order[i]
            if axis < 0 or axis >= ndim:
                fits = False
                break
            seen |= 1 << axis
            dims[i] = word_at(x_shape + 8 * axis)
            steps[i] = word_at(x_strides + 8 * axis)
        if seen != (1 << ndim) - 1:
            fits = False
    if not fits:
{HAND_ON}
{new_view("y", "x", "x_data", "ndim", "address(dims)", "address(steps)", f"x_flags & {WRITEABLE}")}
    return y
""")

# read-only, for elements that lie in several places at once are no one's to write
_BROADCAST = _two(f"""
{sizes("given", "dims", "ndim")}
    steps = int64_lanes()
    extra = ndim - x_ndim
    if extra < 0:
        fits = False
    if fits:
        for i in range(ndim):
            steps[i] = 0
            if dims[i] < 0:
                fits = False
            if i >= extra:
                size = word_at(x_shape + 8 * (i - extra))
                if size == dims[i]:
                    steps[i] = word_at(x_strides + 8 * (i - extra))
                elif size != 1:
                    fits = False
    if not fits:
{HAND_ON}
{new_view("y", "x", "x_data", "ndim", "address(dims)", "address(steps)", "0")}
    return y
""")

# what was reduced over axes, seen in the shape from which it was
_SPREAD = f"""{BEGIN}
{_of_array(3)}
    given = word_at(args + 8)
    form = word_at(args + 16)
{_array("x")}
    fits = x_ndim <= {DIMENSIONS}
{sizes("given", "axes", "reduced")}
{sizes("form", "dims", "ndim")}
    seen = 0
    for i in range(reduced):
        if axes[i] < 0 or axes[i] >= ndim:
            fits = False
        else:
            seen |= 1 << axes[i]
    kept = x_ndim == ndim
    steps = int64_lanes()
    from_axis = 0
    if fits:
        for axis in range(ndim):
            steps[axis] = 0
            if seen & (1 << axis) != 0:
                if kept:
                    if word_at(x_shape + 8 * from_axis) != 1:
                        fits = False
                    from_axis += 1
                if dims[axis] < 0:
                    fits = False
                continue
            if from_axis >= x_ndim:
                fits = False
                break
            if word_at(x_shape + 8 * from_axis) != dims[axis]:
                fits = False
                break
            steps[axis] = word_at(x_strides + 8 * from_axis)
            from_axis += 1
        if from_axis != x_ndim:
            fits = False
    if not fits:
{HAND_ON}
{new_view("y", "x", "x_data", "ndim", "address(dims)", "address(steps)", "0")}
    return y
"""

# the elements at first + index @ moves, where all of these are in the array
_STRIDED = f"""{BEGIN}
{_of_array(5)}
    form = word_at(args + 8)
    start = word_at(args + 16)
    given = word_at(args + 24)
{_array("x")}
    fits = x_ndim <= {DIMENSIONS}
{sizes("form", "dims", "ndim")}
{sizes("start", "first", "begun")}
{sizes("given", "moves", "moved")}
{whole_number("writeable", "word_at(args + 32)")}
    if begun != x_ndim or moved != ndim * x_ndim:
        fits = False
    steps = int64_lanes()
    offset = 0
    empty = False
    if fits:
        for i in range(ndim):
            steps[i] = 0
            if dims[i] < 0 or dims[i] > 1 << 31:
                fits = False
            if dims[i] == 0:
                empty = True
        for axis in range(x_ndim):
            low = first[axis]
            high = low
            stride = word_at(x_strides + 8 * axis)
            offset += low * stride
            for i in range(ndim):
                move = moves[i * x_ndim + axis]
                if move > 1 << 31 or move < -(1 << 31):
                    fits = False
                steps[i] += move * stride
                low += min(0, move * (dims[i] - 1))
                high += max(0, move * (dims[i] - 1))
            if not empty and (low < 0 or high >= word_at(x_shape + 8 * axis)):
                fits = False
        if empty:
            offset = 0
    if not fits:
{HAND_ON}
    flags = x_flags & {WRITEABLE} if writeable != 0 else int32(0)
{new_view("y", "x", "x_data + offset", "ndim", "address(dims)", "address(steps)", "flags")}
    return y
"""


@once
def getitem() -> Call:
    """Give ``(x, key) -> x[key]`` for a key of whole numbers, slices, None and an ellipsis; always a view."""
    return Call("getitem", _GETITEM)


@once
def reshape() -> Call:
    """Give ``(x, shape) -> x.reshape(shape)`` of contiguous arrays."""
    return Call("reshape", _RESHAPE)


@once
def permute() -> Call:
    """Give ``(x, axes) -> x.transpose(axes)`` for axes counted from the front."""
    return Call("permute", _PERMUTE)


@once
def broadcast() -> Call:
    """Give ``(x, shape) -> np.broadcast_to(x, shape)``."""
    return Call("broadcast", _BROADCAST)


@once
def spread() -> Call:
    """Give ``(values, axes, shape)``: what reducing over axes gave, with or without these, in the shape before."""
    return Call("spread", _SPREAD)


@once
def strided() -> Call:
    """Give ``(x, shape, first, moves, writeable)``: the elements ``x[first + index @ moves]``; always a view."""
    return Call("strided", _STRIDED)
