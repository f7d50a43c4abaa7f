"""Compiled loops as NumPy ufuncs, which brings NumPy's broadcasting, striding, casting and `out=` at 0.25 us a call.

The ufunc is made through NumPy's C API, by its public table of functions. It lists a loop for every dtype at once,
and each entry of the list first points at `_first_call`, which compiles that loop, writes its address over its own
and runs it. So nothing is compiled before it is needed, and afterwards nothing stands between NumPy and the loop.
"""

from __future__ import annotations

import ctypes
import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy._core import _multiarray_umath  # type: ignore[attr-defined]

from . import failures, threads

#: A ufunc's dtypes, as NumPy's one-letter codes, inputs first.
Types = Sequence[str]

_pythonapi = ctypes.pythonapi
_pythonapi.PyCapsule_GetPointer.restype = ctypes.c_void_p
_pythonapi.PyCapsule_GetPointer.argtypes = [ctypes.py_object, ctypes.c_char_p]
_table = ctypes.cast(
    _pythonapi.PyCapsule_GetPointer(_multiarray_umath._UFUNC_API, None), ctypes.POINTER(ctypes.c_void_p)
)
_INT, _TEXT, _ADDRESS = ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p
_COMMON = (ctypes.py_object, _ADDRESS, _ADDRESS, _TEXT, _INT, _INT, _INT, _INT, _TEXT, _TEXT, _INT)
# Positions in NumPy's table are part of its ABI (numpy/__ufunc_api.h).
_from_loops = ctypes.PYFUNCTYPE(*_COMMON)(_table[1])
_from_loops_and_signature = ctypes.PYFUNCTYPE(*_COMMON, _TEXT)(_table[31])


def keep_forever(*values: Any) -> None:
    """Keep alive what C points to, also through the interpreter's end, which ends modules before the last objects."""
    for value in values:
        _pythonapi.Py_IncRef(ctypes.py_object(value))


class _Pending:
    """One entry of a ufunc's list: knows how to become compiled."""

    def __init__(self, owner: Loops, index: int, compile_loop: Callable[[], tuple[int, int]]) -> None:
        self.owner, self.index, self.compile_loop = owner, index, compile_loop


class Loops:
    """The arrays that NumPy's ufunc object points into; they live as long as the process, as ufuncs do."""

    def __init__(self, types: Sequence[Types], inputs: int, operands: int, core: tuple[int, int], entry: Any) -> None:
        count = len(types)
        self.functions = (ctypes.c_void_p * count)(*[ctypes.cast(_stub, ctypes.c_void_p).value] * count)
        self.data = (ctypes.c_void_p * count)()
        self.types = bytes(np.dtype(code).num for signature in types for code in signature)
        self.inputs, self.operands, self.core, self.entry = inputs, operands, core, entry
        self.records: dict[int, Any] = {}


#: Loops that are not compiled yet, by numbers that stand in the place of their records.
_pending: dict[int, _Pending] = {}
_numbers = itertools.count(1)
#: The arrays behind each ufunc made here.
loops_of: dict[np.ufunc, Loops] = {}


def _settle(loop: _Pending) -> None:
    """Compile one loop and put it in its place."""
    owner, index = loop.owner, loop.index
    address, threshold = loop.compile_loop()
    record = threads.loop_record(address, owner.inputs, owner.operands, *owner.core, threshold, owner.entry)
    # another thread may have been first, and loops may be running on its record, or an interrupt came in between
    record = owner.records.setdefault(index, record)
    # data before function: another thread may read the pair while it is written
    owner.data[index] = ctypes.addressof(record)
    owner.functions[index] = address


def _first_call(args: int, dims: int, steps: int, data: int) -> None:
    if failures.already():
        return
    loop = _pending.get(data)
    if loop is None:  # the other thread was between its two writes: `data` is a record already
        address = threads.LoopRecord.from_address(data).address
    else:
        try:
            _settle(loop)
        except Exception as error:
            raise failures.KernelError(f"a kernel could not be compiled: {error}") from error
        record = loop.owner.records[loop.index]
        address, data = record.address, ctypes.addressof(record)
    threads.LOOP(address)(args, dims, steps, data)


_stub = threads.LOOP(failures.callback(_first_call))
keep_forever(_stub, threads._entry)


def make(
    name: str,
    types: Sequence[Types],
    outputs: int,
    compile_loop: Callable[[Types], tuple[int, int]],
    signature: str | None = None,
    entry: Any = None,
) -> np.ufunc:
    """Make a ufunc with a loop for each entry of `types`.

    `compile_loop` gives the address of the loop for one entry and the length above which it shares its work among
    threads. `signature` is that of a generalised ufunc, ``"(k,n)->(n)"``. `entry` is a `threads.LOOP` that loops call
    with ``share`` instead of the thread pool.
    """
    operands = len(types[0])
    core = (0, 0)
    if signature is not None:
        words = signature.replace("(", " ").replace(")", " ").replace(",", " ").replace("->", " ").split()
        core = (len(set(words)), len(words))
    owner = Loops(types, operands - outputs, operands, core, entry)
    for index, codes in enumerate(types):
        number = owner.data[index] = next(_numbers)
        _pending[number] = _Pending(owner, index, lambda codes=codes: compile_loop(codes))  # type: ignore[misc]
    text = name.encode()
    keep_forever(owner, text)
    common = (
        ctypes.addressof(owner.functions),
        ctypes.addressof(owner.data),
        owner.types,
        len(types),
        operands - outputs,
        outputs,
        -1,
        text,
        b"",
        0,
    )
    if signature is None:
        made: np.ufunc = _from_loops(*common)
    else:
        encoded = signature.encode()
        keep_forever(encoded)
        made = _from_loops_and_signature(*common, encoded)
    loops_of[made] = owner
    return made
