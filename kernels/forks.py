"""Locks that a fork waits for.

A child has the memory of all threads but only the thread that forked: a lock held by another one, ours or LLVM's
beneath it, would never be released there. So a fork first takes the locks, and both sides release them.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from threading import get_ident
from typing import Any

from . import interrupts

_locks: list[Any] = []
#: By thread, for several may fork at once: what holds the locks during its fork, and what a signal handler raised.
_holding: dict[int, Iterator[None]] = {}
_raised: dict[int, BaseException] = {}


def hold_over_fork(*locks: Any, outermost: bool = False) -> None:
    """Have every fork of this process acquire locks before, in order, and release them after, in parent and child.

    `outermost`: whoever holds them may take the others.
    """
    place = 0 if outermost else len(_locks)
    _locks[place:place] = locks


def llvm_lock() -> Any:
    """Give the lock inside llvmlite, which any thread may take when the garbage collector disposes of something."""
    ffi = sys.modules.get("llvmlite.binding.ffi")
    guard = getattr(getattr(ffi, "lib", None), "_lock", None)
    return getattr(guard, "_lock", None)


def _held(locks: Sequence[Any]) -> Iterator[None]:
    """Hold locks until it is asked again; ``with`` leaves none taken if a signal handler raises on the way."""
    if locks:
        with locks[0]:
            yield from _held(locks[1:])
    else:
        yield


def _before() -> None:
    identity = get_ident()
    # a hook of os.fork cannot fail: the fork goes on
    while identity not in _holding:
        # LLVM's last: whoever holds one of ours may be waiting for it
        holding = _held([lock for lock in (*_locks, llvm_lock()) if lock is not None])
        try:
            with _without_logging():
                next(holding)
            _holding[identity] = holding
        except BaseException as error:
            _raised[identity] = error


@contextmanager
def _without_logging() -> Iterator[None]:
    """Let go of the lock of `logging`, which its own hook may have taken for this fork, and take it again afterwards.

    Whoever holds one of ours may be importing Numba, which needs it: ours come first, whichever hook was registered
    first, and at whatever moment of another thread's import.
    """
    lock = getattr(sys.modules.get("logging"), "_lock", None)
    held = lock._release_save() if lock is not None and lock._is_owned() else None  # as threading.Condition does
    try:
        yield
    finally:
        if held is not None:
            lock._acquire_restore(held)  # type: ignore[union-attr]


def _after() -> object:
    identity = get_ident()
    holding = _holding.pop(identity, None)
    if holding is not None:
        next(holding, None)
    raised = _raised.pop(identity, None)
    return None if raised is None else interrupts.raise_afterwards(raised)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before, after_in_parent=_after, after_in_child=_after)
