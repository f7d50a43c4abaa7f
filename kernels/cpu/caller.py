"""A faster way to call a compiled loop on small arrays than a NumPy ufunc: 0.1 us instead of 0.25.

A ufunc resolves dtypes, broadcasts and plans an iteration at every call. Nearly all calls that small programs make need
none of it: contiguous arrays of one floating dtype and one shape, or scalars. `fast_call` makes a builtin function
that recognises those with a few comparisons and runs the loop at once, and hands every other call to the ufunc. The
function is compiled as the loops are, from the source below, and reads NumPy's arrays by the layout that
numpy/ndarraytypes.h fixes for its ABI; the layout is checked before it is relied on.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable
from functools import cache as once
from functools import partial
from typing import Any

import numpy as np
from numpy._core import _multiarray_umath  # type: ignore[attr-defined]

from .. import codegen, devices, elsewhere
from ..failures import checked
from ..formula import FLOATING, SIGNED
from ..ufunc import keep_forever, loops_of

#: More elements than this are the ufunc's: it releases the GIL, and its overhead no longer shows.
_SMALL = 2048

# Where the fields of PyArrayObject are, in bytes (64-bit, not free-threaded).
_TYPE, _DATA, _NDIM, _SHAPE, _DTYPE, _FLAGS = 8, 16, 24, 32, 56, 64
_CONTIGUOUS, _ALIGNED, _WRITEABLE = 0x1, 0x100, 0x400
_PAYLOAD = bytes.__basicsize__ - 1  # of a bytes object, behind its header

# `record` is a bytes object of words: number of inputs, ndarray, PyArray_NewFromDescr, Py_IncRef,
# PyObject_Vectorcall, the callable for everything else, and then for each dtype: its descriptor, its itemsize, the
# place of the loop's address and the place of the loop's data.
_SOURCE = f"""
def call(record, args, count):
    record += {_PAYLOAD}
    inputs = word_at(record)
    array_type = word_at(record + 8)
    fits = count == inputs or count == inputs + 1
    first = word_at(args)
    entry = record + 48
    dtype = 0
    if fits and word_at(first + {_TYPE}) == array_type:
        dtype = word_at(first + {_DTYPE})
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
        needed = {_CONTIGUOUS | _ALIGNED}
        for i in range(count):
            x = word_at(args + 8 * i)
            if i == inputs:
                needed = {_CONTIGUOUS | _ALIGNED | _WRITEABLE}
            if word_at(x + {_TYPE}) != array_type or word_at(x + {_DTYPE}) != dtype:
                fits = False
                break
            if int_at(x + {_FLAGS}) & needed != needed:
                fits = False
                break
            pointers[i] = word_at(x + {_DATA})
            ndim = int_at(x + {_NDIM})
            if ndim == 0:
                steps[i] = 0
                if i == inputs and model != 0:
                    fits = False
                    break
                continue
            steps[i] = itemsize
            if model == 0:
                model = x
                shape = word_at(x + {_SHAPE})
                for axis in range(ndim):
                    n *= word_at(shape + 8 * axis)
            else:
                if ndim != int_at(model + {_NDIM}):
                    fits = False
                    break
                mine = word_at(x + {_SHAPE})
                theirs = word_at(model + {_SHAPE})
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
            ndim = int_at(model + {_NDIM})
            shape = word_at(model + {_SHAPE})
        result = invoke_new_array(word_at(record + 16), (array_type, dtype, ndim, shape, 0, 0, 0, 0))
        if result == 0:
            return 0
        pointers[inputs] = word_at(result + {_DATA})
        steps[inputs] = itemsize
    size = int64_lanes()
    size[0] = n
    loop = word_at(word_at(entry + 16))
    invoke_4(loop, (address(pointers), address(size), address(steps), word_at(word_at(entry + 24))))
    return result
"""


class _Method(ctypes.Structure):
    """PyMethodDef."""

    _fields_ = (
        ("name", ctypes.c_char_p),
        ("function", ctypes.c_void_p),
        ("flags", ctypes.c_int),
        ("documentation", ctypes.c_char_p),
    )


_FASTCALL = 0x80


@once
def _array_api() -> tuple[int, int]:
    """Give PyArray_NewFromDescr's address and ndarray's, from the public table (numpy/__multiarray_api.h)."""
    get = ctypes.pythonapi.PyCapsule_GetPointer
    table = ctypes.cast(get(_multiarray_umath._ARRAY_API, None), ctypes.POINTER(ctypes.c_void_p))
    return int(table[94] or 0), int(table[2] or 0)


@once
def layout_holds() -> bool:
    """Tell whether arrays look in memory as `_SOURCE` reads them, in this interpreter."""
    if sys.maxsize != 2**63 - 1 or sys.byteorder != "little" or sys.implementation.name != "cpython":
        return False
    if not getattr(sys, "_is_gil_enabled", lambda: True)():
        return False
    sample = np.zeros((3, 5, 7), np.float32)[1:]
    here = id(sample)

    def word(offset: int, place: int = here) -> int:
        return ctypes.c_int64.from_address(place + offset).value

    return (
        word(_TYPE) == id(np.ndarray) == _array_api()[1]
        and word(_DATA) == sample.ctypes.data
        and word(_DTYPE) == id(sample.dtype)
        and word(_NDIM) & 0xFFFFFFFF == 3
        and [word(8 * axis, word(_SHAPE)) for axis in range(3)] == [2, 5, 7]
        and word(_FLAGS) & 0xFFFFFFFF == sample.flags.num
        and ctypes.string_at(id(b"payload") + _PAYLOAD, 7) == b"payload"
    )


def fast_call(ufunc: np.ufunc, domain: str = FLOATING) -> Callable[..., Any]:
    """Give a function like ``partial(ufunc, out=...)``, quick on small contiguous float32 and float64 arrays.

    With one argument more than the ufunc has inputs, the last is where the result goes. Ufuncs of truth values, or with
    several outputs, are called as they are. Those of the domain SIGNED refuse truth values, which NumPy would convert.
    """
    loops = loops_of[ufunc]
    rest = partial(_of_signed if domain == SIGNED else _with_output, ufunc, ufunc.nin)
    same = ufunc.types[-2:] == ["f" * ufunc.nin + "->f", "d" * ufunc.nin + "->d"]
    if not same or not layout_holds():
        return rest
    function = codegen.address("call", _SOURCE, entry="call")
    new_array, array_type = _array_api()
    api = ctypes.pythonapi
    words = [ufunc.nin, array_type, new_array]
    words += [ctypes.cast(f, ctypes.c_void_p).value or 0 for f in (api.Py_IncRef, api.PyObject_Vectorcall)]
    words.append(id(rest))
    for position, dtype in ((-2, np.dtype(np.float32)), (-1, np.dtype(np.float64))):
        index = len(loops.functions) + position
        functions, data = ctypes.addressof(loops.functions), ctypes.addressof(loops.data)
        words += [id(dtype), dtype.itemsize, functions + 8 * index, data + 8 * index]
    record = np.array(words, np.int64).tobytes()
    method = _Method(ufunc.__name__.encode(), function, _FASTCALL, None)
    keep_forever(rest, record, method)
    make = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.c_void_p, ctypes.py_object, ctypes.c_void_p)
    return make(("PyCFunction_NewEx", api))(ctypes.addressof(method), record, None)


def _of_signed(ufunc: np.ufunc, inputs: int, *arguments: Any) -> Any:
    if all([isinstance(x, bool) or getattr(x, "dtype", None) == np.bool_ for x in arguments[:inputs]]):
        raise TypeError(f"{ufunc.__name__}: truth values have no sign")
    return _with_output(ufunc, inputs, *arguments)


def _with_output(ufunc: np.ufunc, inputs: int, *arguments: Any) -> Any:
    if devices.on_gpu(arguments):
        return elsewhere.call(ufunc, arguments[:inputs], *arguments[inputs:])
    if len(arguments) > inputs:
        return checked(ufunc, *arguments)
    return checked(ufunc, *arguments, out=...)
