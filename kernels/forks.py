"""Locks that a fork waits for.

A child has the memory of all threads but only the thread that forked: a lock held by another one, ours or LLVM's
beneath it, would never be released there. So a fork first takes the locks, and both sides release them.
"""

from __future__ import annotations

import os
import sys
from typing import Any

_locks: list[Any] = []
_taken: list[Any] = []


def hold_over_fork(lock: Any, outermost: bool = False) -> None:
    """Have every fork of this process acquire a lock before, and release it after, in parent and child.

    `outermost`: whoever holds it may take the others.
    """
    _locks.insert(0 if outermost else len(_locks), lock)


def _llvm_lock() -> Any:
    """Give the lock inside llvmlite, which any thread may take when the garbage collector disposes of something."""
    ffi = sys.modules.get("llvmlite.binding.ffi")
    guard = getattr(getattr(ffi, "lib", None), "_lock", None)
    return getattr(guard, "_lock", None)


def _before() -> None:
    # LLVM's last: whoever holds one of ours may be waiting for it
    for lock in (*_locks, _llvm_lock()):
        if lock is not None:
            lock.acquire()
            _taken.append(lock)


def _after() -> None:
    taken = _taken[:]
    _taken.clear()  # before any is released: another thread may be about to fork
    for lock in reversed(taken):
        lock.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before, after_in_parent=_after, after_in_child=_after)
