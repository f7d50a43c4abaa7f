"""How an exception gets out of a ufunc's inner loop, which has no way to fail.

Compiling a loop at its first call, and waiting for threads, is Python code that NumPy calls through C in the middle of
a ufunc. What is raised there must surface when the ufunc has returned. Where the ufunc was called by `checked`, it is
noted, and raised from the note. Elsewhere it is raised at the next bytecode, the one after the call (`interrupts`);
that is lost if the ufunc calls back once more before it returns, as it may for arrays that it takes in several pieces.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from .. import interrupts

#: By thread, for those inside `checked`: what was raised, if anything.
_noted: dict[int, BaseException | None] = {}


class KernelError(RuntimeError):
    """A kernel could not be compiled."""


def already() -> bool:
    """Tell whether the running call has failed, so that the rest of its pieces need not be tried."""
    return _noted.get(threading.get_ident()) is not None


def raise_afterwards(error: BaseException) -> object:
    """Have an exception raised when the ufunc has returned; the callback must give back what this gives."""
    identity = threading.get_ident()
    if identity in _noted:
        _noted[identity] = error
        return None
    return interrupts.raise_afterwards(error)


def callback(work: Callable[..., None]) -> Callable[..., object]:
    """Make of a function what C can call as a loop: whatever is raised surfaces when the ufunc has returned."""

    def loop(*arguments: int) -> object:
        try:
            work(*arguments)
        except BaseException as error:
            return raise_afterwards(error)
        return None

    return interrupts.covered(loop)


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
