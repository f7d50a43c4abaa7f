"""Exceptions where Python is called from C, or between two of its instructions: how none of them is lost.

What is raised in a callback that C cannot hand on must surface when C has returned, and a signal handler may raise
before the first instruction of a function, which no `try` in its text covers.
"""

from __future__ import annotations

import ctypes
import sys
import threading
from collections.abc import Callable
from functools import partial, reduce
from itertools import pairwise
from types import CodeType
from typing import Any, TypeVar

_F = TypeVar("_F", bound=Callable[..., Any])


def raise_afterwards(error: BaseException) -> object:
    """Have an exception raised when the running callback has returned, which must give back what this gives.

    It is set as an asynchronous exception of the thread, which surfaces at the next bytecode. Set at once, it would be
    raised still inside the callback, and be lost. So it is set by the death of an object, which as the callback's
    result is thrown away when the callback has ended, by a finaliser that runs no bytecode of its own.
    """
    # asynchronous exceptions are given as classes, which are called without arguments
    kind, message = type(error), str(error)
    if message:
        kind = type(kind.__name__, (kind,), {"__init__": lambda self: None, "__str__": lambda self: message})
    identity = ctypes.c_ulong(threading.get_ident())
    raise_in = partial(ctypes.pythonapi.PyThreadState_SetAsyncExc, identity, ctypes.py_object(kind))
    return type("Failure", (), {"__del__": staticmethod(raise_in)})()


def covered(function: _F) -> _F:
    """Have the first `try` of a function begin with its first instruction, at which CPython runs signal handlers.

    No `try` in the text covers that one, and what is raised there is lost where C calls the function, and leaves undone
    what ``__exit__`` does. The `try` must come first in the text, and begin with a call. Other functions stay as they
    are, and so do all in interpreters of which the form of the table is not known, and those that were compiled to C.
    """
    if sys.implementation.name != "cpython" or not (3, 11) <= sys.version_info < (3, 15):
        return function
    code: CodeType | None = getattr(function, "__code__", None)
    table = getattr(code, "co_exceptiontable", b"")
    # of numbers in base 64: where a part begins, its length, its handler, and what is on the stack there
    ends = [place + 1 for place, byte in enumerate(table) if not byte & 64]
    if code is None or len(ends) < 4:
        return function
    begin, length, _, depth = (_number(table[a:b]) for a, b in pairwise([0, *ends[:4]]))
    if depth:
        return function
    length += begin
    digits = [length & 63]
    while length := length >> 6:
        digits.insert(0, length & 63 | 64)
    function.__code__ = code.replace(co_exceptiontable=bytes([128, *digits]) + table[ends[1] :])
    return function


def _number(digits: bytes) -> int:
    return reduce(lambda number, digit: number << 6 | digit & 63, digits, 0)
