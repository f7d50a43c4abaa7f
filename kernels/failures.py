"""How an exception gets out of a ufunc's inner loop, which has no way to fail.

Compiling a loop at its first call, and waiting for threads, is Python code that NumPy calls through C in the middle of
a ufunc. What is raised there must surface when the ufunc has returned. Where the ufunc was called by `checked`, it is
noted, and raised from the note. Elsewhere it is set as an asynchronous exception of the thread, which surfaces at the
next bytecode, the one after the call; that is lost if the ufunc calls back once more before it returns, as it may for
arrays that it takes in several pieces.
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

#: By thread, for those inside `checked`: what was raised, if anything.
_noted: dict[int, BaseException | None] = {}


class KernelError(RuntimeError):
    """A kernel could not be compiled."""


def already() -> bool:
    """Tell whether the running call has failed, so that the rest of its pieces need not be tried."""
    return _noted.get(threading.get_ident()) is not None


def raise_afterwards(error: BaseException) -> object:
    """Have an exception raised when the ufunc has returned; the callback must give back what this gives.

    Set at once, an asynchronous exception would be raised at the next bytecode, still inside the callback, and be
    lost. So it is set by the death of an object, which as the callback's result is thrown away when the callback has
    ended, by a finaliser that runs no bytecode of its own.
    """
    identity = threading.get_ident()
    if identity in _noted:
        _noted[identity] = error
        return None
    # asynchronous exceptions are given as classes, which are called without arguments
    kind, message = type(error), str(error)
    if message:
        kind = type(kind.__name__, (kind,), {"__init__": lambda self: None, "__str__": lambda self: message})
    raise_in = partial(ctypes.pythonapi.PyThreadState_SetAsyncExc, ctypes.c_ulong(identity), ctypes.py_object(kind))
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


def callback(work: Callable[..., None]) -> Callable[..., object]:
    """Make of a function what C can call as a loop: whatever is raised surfaces when the ufunc has returned."""

    def loop(*arguments: int) -> object:
        try:
            work(*arguments)
        except BaseException as error:
            return raise_afterwards(error)
        return None

    return covered(loop)


def checked(function: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    """Call a ufunc of ours, and raise what went wrong inside."""
    identity = threading.get_ident()
    _noted[identity] = None
    try:
        result = function(*arguments, **options)
    finally:
        error = _noted.pop(identity, None)
    if error is not None:
        raise error
    return result
