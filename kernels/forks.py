"""Locks that a fork waits for.

A child has the memory of all threads but only the thread that forked: a lock held by another one, ours or LLVM's
beneath it, would never be released there. So a fork first takes the locks, and both sides release them.
"""

from __future__ import annotations

import os
import threading
from typing import Any


def hold_over_fork(lock: threading.Lock | Any) -> None:
    """Have every fork of this process acquire a lock before, and release it after in parent and child."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(before=lock.acquire, after_in_parent=lock.release, after_in_child=lock.release)
