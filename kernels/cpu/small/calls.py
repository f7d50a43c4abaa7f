"""What compiled calls have in common: how they get their arguments, the C API that they use, and how they give up."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from functools import cache as once
from typing import Any

import numpy as np

from .. import codegen, ndarray
from ..ndarray import DATA, DTYPE, FLAGS, NDIM, PAYLOAD, SHAPE, STRIDES, TYPE
from ..ufunc import keep_forever

#: Arrays of more elements are NumPy's, and the graph's other way's: what a call costs besides no longer shows.
SMALL = 4096
#: Arrays of more dimensions are, too.
DIMENSIONS = 16

_CPYTHON = (
    "Py_IncRef",
    "Py_DecRef",
    "PyObject_Vectorcall",
    "PyType_GenericAlloc",
    "PyTuple_New",
    "PyLong_AsSsize_t",
    "PyLong_FromSsize_t",
    "PyContextVar_Get",
    "PyDict_GetItem",
    "PyDict_SetItem",
    "PyErr_Occurred",
    "PyErr_Clear",
    "PySlice_Unpack",
    "PySlice_AdjustIndices",
    "PyWeakref_NewRef",
    "PyList_Append",
)
_OBJECTS: dict[str, Any] = {
    "none": None,
    "true": True,
    "false": False,
    "ellipsis": Ellipsis,
    "int": int,
    "float": float,
    "slice": slice,
    "tuple": tuple,
    "ndarray": np.ndarray,
    "float32": np.dtype(np.float32),
    "float64": np.dtype(np.float64),
    "int64": np.dtype(np.int64),
    "f": "f",
    "d": "d",
    "0.0": "0.0",
    "-0.0": "-0.0",
    "0": 0,
    "-1": -1,
}
_NUMPYS = {"PyArray_CastToType": 49, "PyArray_NewFromDescr": 94, "PyArray_SetBaseObject": 282}

#: Where sources find what they call and compare with, in bytes from the beginning of the table.
AT = {name: 8 * place for place, name in enumerate((*_CPYTHON, *_OBJECTS, *_NUMPYS))}


@once
def _table() -> Any:
    """Make the table that `AT` describes, which lives as long as the process, as does one that two threads make."""
    words = ndarray.addresses_of(*(getattr(ctypes.pythonapi, name) for name in _CPYTHON))
    words += [id(value) for value in _OBJECTS.values()]
    words += [ndarray.numpys_function(place) for place in _NUMPYS.values()]
    table = (ctypes.c_int64 * len(words))(*words)
    keep_forever(table)
    return table


#: What a compiled call gives for arguments that it does not know, where it has nobody to hand them on to.
UNKNOWN = 1

#: How every call begins. Its record: who gets other calls (or 0), the table, and words of its own from `own` on.
BEGIN = f"""
def call(record, args, count):
    record += {PAYLOAD}
    api = word_at(record + 8)
    own = record + 16
"""

#: How a call hands on what it does not know.
HAND_ON = f"""
        if word_at(record) == 0:
            return {UNKNOWN}
        return invoke_4(word_at(api + {AT["PyObject_Vectorcall"]}), (word_at(record), args, count, 0))
"""


def as_small_array(name: str, fit: str = "fits") -> str:
    """Write: look whether what `name` holds is an ndarray of few elements, and bind its fields.

    `name`_n is how many elements it has, `name`_ndim, `name`_shape and `name`_strides its form.
    """
    return f"""
    {name}_n = 1
    {name}_ndim = 0
    {name}_shape = 0
    {name}_strides = 0
    {name}_flags = int32(0)
    {name}_data = 0
    {name}_dtype = 0
    if word_at({name} + {TYPE}) != word_at(api + {AT["ndarray"]}):
        {fit} = False
    else:
        {name}_ndim = int64(int_at({name} + {NDIM}))
        {name}_shape = word_at({name} + {SHAPE})
        {name}_strides = word_at({name} + {STRIDES})
        {name}_flags = int_at({name} + {FLAGS})
        {name}_data = word_at({name} + {DATA})
        {name}_dtype = word_at({name} + {DTYPE})
        if {name}_ndim > {DIMENSIONS}:
            {fit} = False
        else:
            for axis in range({name}_ndim):
                {name}_n *= word_at({name}_shape + 8 * axis)
            if {name}_n > {SMALL}:
                {fit} = False
"""


def new_array(name: str, dtype: str, ndim: str, dims: str) -> str:
    """Write: `name` is a new array in C order, or the call ends with the exception that NumPy has set."""
    return f"""
    invoke_1(word_at(api + {AT["Py_IncRef"]}), ({dtype},))
    {name} = invoke_new_array(
        word_at(api + {AT["PyArray_NewFromDescr"]}),
        (word_at(api + {AT["ndarray"]}), {dtype}, {ndim}, {dims}, 0, 0, 0, 0),
    )
    if {name} == 0:
        return 0
"""


def new_view(name: str, of: str, data: str, ndim: str, dims: str, strides: str, flags: str) -> str:
    """Write: `name` is a view of an array, or the call ends with the exception that NumPy has set."""
    return f"""
    invoke_1(word_at(api + {AT["Py_IncRef"]}), (word_at({of} + {DTYPE}),))
    {name} = invoke_new_array(
        word_at(api + {AT["PyArray_NewFromDescr"]}),
        (word_at(api + {AT["ndarray"]}), word_at({of} + {DTYPE}), {ndim}, {dims}, {strides}, {data}, {flags}, 0),
    )
    if {name} == 0:
        return 0
    invoke_1(word_at(api + {AT["Py_IncRef"]}), ({of},))
    if int32(invoke_2(word_at(api + {AT["PyArray_SetBaseObject"]}), ({name}, {of}))) < 0:
        invoke_1(word_at(api + {AT["Py_DecRef"]}), ({name},))
        return 0
"""


class Call:
    """A compiled call and the words that its record has: a function for Python, and for other compiled code."""

    def __init__(self, name: str, source: str, words: Sequence[int] = (), kept: Sequence[Any] = ()) -> None:
        self.name, self.source, self.words, self.kept = name, source, tuple(words), tuple(kept)

    def address(self) -> int:
        """Give where the compiled code is, which `record` is for."""
        return codegen.address(f"small-{self.name}", self.source, entry="call")

    def record(self, otherwise: Any = None) -> bytes:
        """Give the words of a record, as an object."""
        words = [0 if otherwise is None else id(otherwise), ctypes.addressof(_table()), *self.words]
        return ndarray.record(words, otherwise, *self.kept)

    def function(self, otherwise: Callable[..., Any]) -> Callable[..., Any]:
        """Give a builtin that hands on to `otherwise` what it does not know; `otherwise` where there can be none."""
        if not ndarray.layout_holds():
            return otherwise
        name = getattr(otherwise, "__name__", self.name)
        return ndarray.builtin_of(ndarray.method(name, self.address()), self.record(otherwise))


# own words: 0 the function, 8 how many of the last arguments are not its own
_CALLED = f"""{BEGIN}
    operands = count - word_at(own + 8)
    fits = operands > 0
    dimensions = 0
    for i in range(operands):
        x = word_at(args + 8 * i)
        if word_at(x + {TYPE}) != word_at(api + {AT["ndarray"]}):
            fits = False
        else:
            dimensions += int64(int_at(x + {NDIM}))
    if not fits or dimensions == 0:  # of scalars NumPy's functions make numbers, not arrays
{HAND_ON}
    found = invoke_4(word_at(api + {AT["PyObject_Vectorcall"]}), (word_at(own), args, operands, 0))
    if found != 0:
        if word_at(found + {TYPE}) != word_at(api + {AT["ndarray"]}):
            invoke_1(word_at(api + {AT["Py_DecRef"]}), (found,))
            if word_at(record) == 0:
                return {UNKNOWN}
            return invoke_4(word_at(api + {AT["PyObject_Vectorcall"]}), (word_at(record), args, count, 0))
    return found
"""


def called(function: Callable[..., Any], more: int = 0) -> Call:
    """Give a call of a function of NumPy's or SciPy's with arrays, without `more` arguments that stand behind them.

    Arrays of any size and dtype are its own affair; scalars, and what is no array in the end, are not known.
    """
    return Call("called", _CALLED, [id(function), more], [function])
