"""A faster way to call a compiled loop on small arrays than a NumPy ufunc: 0.1 us instead of 0.25.

A ufunc resolves dtypes, broadcasts and plans an iteration at every call. Nearly all calls that small programs make need
none of it: contiguous arrays of one floating dtype and one shape, or scalars. `fast_call` makes a builtin function
that recognises those with a few comparisons and runs the loop at once, and hands every other call on. The function is
compiled as the loops are, from the source below, and reads NumPy's arrays by their layout (`ndarray`).
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

import numpy as np

from . import codegen
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
    WRITEABLE,
    addresses_of,
    array_api,
    builtin,
    layout_holds,
    method,
)
from .ufunc import loops_of

#: More elements than this are the ufunc's: it releases the GIL, and its overhead no longer shows.
_SMALL = 2048

# `record` is a bytes object of words: number of inputs, ndarray, PyArray_NewFromDescr, Py_IncRef,
# PyObject_Vectorcall, the callable for everything else, and then for each dtype: its descriptor, its itemsize, the
# place of the loop's address and the place of the loop's data.
_SOURCE = f"""
def call(record, args, count):
    record += {PAYLOAD}
    inputs = word_at(record)
    array_type = word_at(record + 8)
    fits = count == inputs or count == inputs + 1
    first = word_at(args)
    entry = record + 48
    dtype = 0
    if fits and word_at(first + {TYPE}) == array_type:
        dtype = word_at(first + {DTYPE})
        if dtype != word_at(entry):
            entry += 32
            fits = dtype == word_at(entry)
    else:
        fits = False
    pointers = int64_lanes()
    steps = int64_lanes()
    model = 0  # an array with dimensions, which all the others with dimensions must equal
    n = 1
    if fits:
        itemsize = word_at(entry + 8)
        needed = {CONTIGUOUS | ALIGNED}
        for i in range(count):
            x = word_at(args + 8 * i)
            if i == inputs:
                needed = {CONTIGUOUS | ALIGNED | WRITEABLE}
            if word_at(x + {TYPE}) != array_type or word_at(x + {DTYPE}) != dtype:
                fits = False
                break
            if int_at(x + {FLAGS}) & needed != needed:
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
            steps[i] = itemsize
            if model == 0:
                model = x
                shape = word_at(x + {SHAPE})
                for axis in range(ndim):
                    n *= word_at(shape + 8 * axis)
            else:
                if ndim != int_at(model + {NDIM}):
                    fits = False
                    break
                mine = word_at(x + {SHAPE})
                theirs = word_at(model + {SHAPE})
                for axis in range(ndim):
                    if word_at(mine + 8 * axis) != word_at(theirs + 8 * axis):
                        fits = False
        if n > {_SMALL}:
            fits = False
        if count > inputs:  # an output that overlaps an input, but is not that input, is NumPy's to sort out
            begin = pointers[inputs]
            for i in range(inputs):
                length = n * itemsize if steps[i] != 0 else itemsize
                if pointers[i] != begin or steps[i] != steps[inputs]:
                    if pointers[i] < begin + n * itemsize and begin < pointers[i] + length:
                        fits = False
    if not fits:
        return invoke_4(word_at(record + 32), (word_at(record + 40), args, count, 0))
    if count > inputs:
        result = word_at(args + 8 * inputs)
        invoke_1(word_at(record + 24), (result,))
    else:
        invoke_1(word_at(record + 24), (dtype,))
        ndim = 0
        shape = 0
        if model != 0:
            ndim = int_at(model + {NDIM})
            shape = word_at(model + {SHAPE})
        result = invoke_new_array(word_at(record + 16), (array_type, dtype, ndim, shape, 0, 0, 0, 0))
        if result == 0:
            return 0
        pointers[inputs] = word_at(result + {DATA})
        steps[inputs] = itemsize
    size = int64_lanes()
    size[0] = n
    loop = word_at(word_at(entry + 16))
    invoke_4(loop, (address(pointers), address(size), address(steps), word_at(word_at(entry + 24))))
    return result
"""


def fast_call(ufunc: np.ufunc, otherwise: Callable[..., Any]) -> Callable[..., Any]:
    """Give a function like ``partial(ufunc, out=...)``, quick on small contiguous float32 and float64 arrays.

    With one argument more than the ufunc has inputs, the last is where the result goes. All other calls are
    `otherwise`'s; every call is where the ufunc is one of truth values, or has several outputs.
    """
    loops = loops_of[ufunc]
    same = ufunc.types[-2:] == ["f" * ufunc.nin + "->f", "d" * ufunc.nin + "->d"]
    if not same or not layout_holds():
        return otherwise
    new_array, array_type = array_api()
    words = [ufunc.nin, array_type, new_array]
    words += addresses_of(ctypes.pythonapi.Py_IncRef, ctypes.pythonapi.PyObject_Vectorcall)
    words.append(id(otherwise))
    for position, dtype in ((-2, np.dtype(np.float32)), (-1, np.dtype(np.float64))):
        index = len(loops.functions) + position
        functions, data = ctypes.addressof(loops.functions), ctypes.addressof(loops.data)
        words += [id(dtype), dtype.itemsize, functions + 8 * index, data + 8 * index]
    return builtin(method(ufunc.__name__, codegen.address("call", _SOURCE, entry="call")), words, otherwise)
