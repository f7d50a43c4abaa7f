"""A faster way to call a compiled loop on small arrays than a NumPy ufunc: 0.1 us instead of 0.25.

A ufunc resolves dtypes, broadcasts and plans an iteration at every call. Most calls that small programs make need
little of it: arrays of one floating dtype, of one shape or such that broadcast, and scalars. `elementwise` makes a
compiled function that recognises those with a few comparisons and runs the loop at once, and hands every other call on.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

import numpy as np

from .ndarray import (
    ALIGNED,
    CONTIGUOUS,
    DATA,
    DTYPE,
    FLAGS,
    IN_FORTRANS_ORDER,
    NDIM,
    SHAPE,
    STRIDES,
    TYPE,
    WRITEABLE,
    layout_holds,
)
from .small.calls import AT, BEGIN, DIMENSIONS, HAND_ON, SMALL, Call
from .ufunc import loops_of

#: More inputs than this are the ufunc's where they broadcast.
_INPUTS = 3

# own words: 0 the number of inputs, 8 the input whose dtype tells the loop, 16 the size of an entry; then for each loop
# where its address and its data are, and for each operand its dtype and its itemsize
_SOURCE = f"""{BEGIN}
    inputs = word_at(own)
    array_type = word_at(api + {AT["ndarray"]})
    fits = count == inputs or count == inputs + 1
    entry = own + 24
    if fits:
        first = word_at(args + 8 * word_at(own + 8))
        fits = word_at(first + {TYPE}) == array_type
        if fits and word_at(first + {DTYPE}) != word_at(entry + 16 + 16 * word_at(own + 8)):
            entry += word_at(own + 16)
    pointers = int64_lanes()
    steps = int64_lanes()
    size = int64_lanes()
    model = 0  # an array with dimensions, which all the others with dimensions must equal
    n = 1
    alike = True
    order = {CONTIGUOUS | IN_FORTRANS_ORDER}
    out_flags = {CONTIGUOUS}
    if fits:
        for i in range(count):
            x = word_at(args + 8 * i)
            needed = {ALIGNED | WRITEABLE} if i == inputs else {ALIGNED}
            if word_at(x + {TYPE}) != array_type or word_at(x + {DTYPE}) != word_at(entry + 16 + 16 * i):
                fits = False
                break
            flags = int64(int_at(x + {FLAGS}))
            if flags & needed != needed:
                fits = False
                break
            pointers[i] = word_at(x + {DATA})
            ndim = int_at(x + {NDIM})
            if ndim == 0:
                steps[i] = 0
                if i == inputs and model != 0:
                    fits = False
                    break
                continue
            order &= flags
            if i == inputs:
                out_flags = flags
            steps[i] = word_at(entry + 24 + 16 * i)
            shape = word_at(x + {SHAPE})
            if model == 0:
                model = x
                for axis in range(ndim):
                    n *= word_at(shape + 8 * axis)
            elif ndim != int_at(model + {NDIM}):
                alike = False
            else:
                theirs = word_at(model + {SHAPE})
                for axis in range(ndim):
                    if word_at(shape + 8 * axis) != word_at(theirs + 8 * axis):
                        alike = False
        if order == 0:
            alike = False
        if n > {SMALL}:
            fits = False
        if count > inputs and fits:
            if out_flags & {CONTIGUOUS} == 0:
                fits = False
            elif alike:
                # an output that overlaps an input, but is not that input, is NumPy's to sort out
                begin = pointers[inputs]
                end = begin + n * word_at(entry + 24 + 16 * inputs)
                for i in range(inputs):
                    length = word_at(entry + 24 + 16 * i) * (n if steps[i] != 0 else 1)
                    if pointers[i] != begin or steps[i] != steps[inputs]:
                        if pointers[i] < end and begin < pointers[i] + length:
                            fits = False
    # ---- of unlike forms: as they broadcast, where NumPy's result would be in C order
    dims = int64_lanes()
    strides = int64_lanes()
    axes = 0
    if fits and not alike:
        if inputs > {_INPUTS}:
            fits = False
        for i in range(inputs):
            axes = max(axes, int64(int_at(word_at(args + 8 * i) + {NDIM})))
        if axes > {DIMENSIONS}:
            fits = False
        n = 1
        if fits:
            for axis in range(axes):
                dims[axis] = 1
                for i in range(inputs):
                    x = word_at(args + 8 * i)
                    mine = axis - axes + int64(int_at(x + {NDIM}))
                    strides[{DIMENSIONS} * i + axis] = 0
                    if mine >= 0:
                        length = word_at(word_at(x + {SHAPE}) + 8 * mine)
                        if length != 1:
                            strides[{DIMENSIONS} * i + axis] = word_at(word_at(x + {STRIDES}) + 8 * mine)
                            if dims[axis] == 1:
                                dims[axis] = length
                            elif dims[axis] != length:
                                fits = False
                n *= dims[axis]
            out = word_at(args + 8 * inputs) if count > inputs else 0
            if out != 0:
                if int64(int_at(out + {NDIM})) != axes:
                    fits = False
                else:
                    for axis in range(axes):
                        if word_at(word_at(out + {SHAPE}) + 8 * axis) != dims[axis]:
                            fits = False
            for i in range(inputs):
                inner = 0
                low = pointers[i]
                high = low + word_at(entry + 24 + 16 * i)
                for back in range(axes):
                    stride = strides[{DIMENSIONS} * i + axes - 1 - back]
                    low += min(0, stride * (dims[axes - 1 - back] - 1))
                    high += max(0, stride * (dims[axes - 1 - back] - 1))
                    if stride != 0:
                        if stride < inner and out == 0:
                            fits = False
                        inner = stride
                if out != 0:  # if it overlaps an input, it is that input
                    reach = n * word_at(entry + 24 + 16 * inputs)
                    if low < pointers[inputs] + reach and pointers[inputs] < high:
                        if pointers[i] != pointers[inputs] or steps[i] != steps[inputs] or high - low != reach:
                            fits = False
                        if int_at(word_at(args + 8 * i) + {FLAGS}) & {CONTIGUOUS} == 0:
                            fits = False
            if n > {SMALL}:
                fits = False
    if not fits:
{HAND_ON}
    if count > inputs:
        result = word_at(args + 8 * inputs)
        invoke_1(word_at(api + {AT["Py_IncRef"]}), (result,))
    else:
        dtype = word_at(entry + 16 + 16 * inputs)
        invoke_1(word_at(api + {AT["Py_IncRef"]}), (dtype,))
        ndim = int32(axes)
        shape = address(dims)
        fortran = 0
        if alike:
            ndim = int32(0)
            if model != 0:
                ndim = int_at(model + {NDIM})
                shape = word_at(model + {SHAPE})
            if order & {CONTIGUOUS} == 0:
                fortran = 1
        result = invoke_new_array(
            word_at(api + {AT["PyArray_NewFromDescr"]}), (array_type, dtype, int64(ndim), shape, 0, 0, fortran, 0)
        )
        if result == 0:
            return 0
        pointers[inputs] = word_at(result + {DATA})
        steps[inputs] = word_at(entry + 24 + 16 * inputs)
    loop = word_at(word_at(entry))
    data = word_at(word_at(entry + 8))
    if alike:
        size[0] = n
        invoke_4(loop, (address(pointers), address(size), address(steps), data))
        return result
    # the last axes are one as long as all operands go on in them
    stride = word_at(entry + 24 + 16 * inputs)
    for back in range(axes):
        strides[{DIMENSIONS} * inputs + axes - 1 - back] = stride
        stride *= dims[axes - 1 - back]
    length = 1
    while axes > 0:
        together = True
        for i in range(inputs + 1):
            if length > 1 and dims[axes - 1] > 1 and strides[{DIMENSIONS} * i + axes - 1] != steps[i] * length:
                together = False
        if not together:
            break
        if dims[axes - 1] > 1 and length == 1:
            for i in range(inputs + 1):
                steps[i] = strides[{DIMENSIONS} * i + axes - 1]
        length *= dims[axes - 1]
        axes -= 1
    size[0] = length
    at = int64_lanes()
    for axis in range(axes):
        at[axis] = 0
    if n == 0:
        return result
    for _ in range(n // length):
        invoke_4(loop, (address(pointers), address(size), address(steps), data))
        axis = axes - 1
        while axis >= 0:
            at[axis] += 1
            for i in range(inputs + 1):
                pointers[i] += strides[{DIMENSIONS} * i + axis]
            if at[axis] < dims[axis]:
                break
            for i in range(inputs + 1):
                pointers[i] -= dims[axis] * strides[{DIMENSIONS} * i + axis]
            at[axis] = 0
            axis -= 1
    return result
"""


def elementwise(ufunc: np.ufunc) -> Call | None:
    """Give the compiled call of a ufunc on small arrays, of float32, float64 and truth values; None if it has none.

    With one argument more than the ufunc has inputs, the last is where the result goes.
    """
    loops = loops_of[ufunc]
    signatures = [signature.replace("->", "") for signature in ufunc.types[-2:]]
    if ufunc.nout != 1 or set("".join(signatures)) - set("?fd"):
        return None
    telling = next((i for i, code in enumerate(signatures[-1][:-1]) if code != "?"), 0)
    words = [ufunc.nin, telling, 16 + 16 * (ufunc.nin + 1)]
    kept = []
    for place in (0, len(signatures) - 1):
        index = len(loops.functions) - len(signatures) + place
        words += [ctypes.addressof(loops.functions) + 8 * index, ctypes.addressof(loops.data) + 8 * index]
        for code in signatures[place]:
            dtype = np.dtype(code)
            words += [id(dtype), dtype.itemsize]
            kept.append(dtype)
    return Call("elementwise", _SOURCE, words, kept)


def fast_call(ufunc: np.ufunc, otherwise: Callable[..., Any]) -> Callable[..., Any]:
    """Give a function like ``partial(ufunc, out=...)``, quick on small arrays; all other calls are `otherwise`'s."""
    call = elementwise(ufunc) if layout_holds() else None
    return otherwise if call is None else call.function(otherwise)


#: Where arrays have more elements, a number is worth an array of it.
_MANY = 4096


def with_few_numbers(inputs: int, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    """Give arrays in the place of single elements that meet many, where no loop for such is a vector loop.

    Those are for one of the first two, and for all but the last (see `elementwise.source`).
    """
    single = [i for i, x in enumerate(arguments[:inputs]) if type(x) is np.ndarray and not x.ndim]
    if single in ([], [0], [1], [*range(inputs - 1)]):
        return arguments
    arrays = [x for x in arguments[:inputs] if type(x) is np.ndarray and x.ndim]
    if len(single) + len(arrays) < inputs or not arrays or max([x.size for x in arrays]) <= _MANY:
        return arguments
    largest = max(arrays, key=lambda x: x.size)
    kept = single[0] if single[0] < 2 else -1
    given = list(arguments)
    for i in single:
        if i != kept:
            given[i] = np.full(largest.shape, arguments[i], arguments[i].dtype)
    return tuple(given)
