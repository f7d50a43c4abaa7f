"""What is said while kernels compile: nothing for a second, then one line on the terminal that is gone when they are.

Compilation of a first program may take seconds, on a slow machine minutes. Where standard error is no terminal nothing
is said, unless $NBGRAD_PROGRESS is 1; nowhere anything if $NBGRAD_QUIET is 1.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

#: Seconds of compilation after which something is said.
_PATIENCE = 1.0
#: Kernels between which nothing is compiled for longer than this belong to different bursts.
_PAUSE = 2.0
_REMEDY = (
    "nbgrad: compiling kernels, which later processes find in the cache "
    "(`python -m nbgrad warmup` compiles the usual ones ahead)\n"
)

#: Of the running burst, or the last one: its kernels, the seconds spent on them, and when the last one was done.
_kernels, _spent, _ended = 0, 0.0, 0.0
_told = False  # of the remedy
_shown = ""


@contextmanager
def compiling(name: str) -> Iterator[None]:
    """Count a kernel that is compiled inside; its line stands as long."""
    global _kernels, _spent, _ended
    begin = time.monotonic()
    if begin - _ended > _PAUSE:
        _kernels, _spent = 0, 0.0
    _kernels += 1
    show(name, 0.0)
    try:
        yield
    finally:
        _write("")
        _ended = time.monotonic()
        _spent += _ended - begin


def show(name: str, seconds: float) -> None:
    """Say what is being compiled for so many seconds, if this takes long and somebody reads it."""
    global _told
    total = _spent + seconds
    if total < _PATIENCE or not _wanted():
        return
    if not _told:
        _told = True
        _write(_REMEDY)
    kernels = f"{_kernels} kernel{'s' * (_kernels > 1)}"
    _write(f"nbgrad: compiling {name[:30]}, {kernels} in {total:.1f} s so far")


def _wanted() -> bool:
    if os.environ.get("NBGRAD_QUIET", "0") not in ("", "0"):
        return False
    if os.environ.get("NBGRAD_PROGRESS", "0") not in ("", "0"):
        return True
    try:
        return sys.stderr.isatty()
    except (AttributeError, ValueError):  # there is none, or it is closed
        return False


def _write(line: str) -> None:
    """Write a line over the one that stands there, which stays if it ends itself."""
    global _shown
    if not line and not _shown:
        return
    blank = " " * (len(_shown) - len(line))
    try:
        sys.stderr.write(f"\r{line}{blank}" if line else f"\r{blank}\r")
        sys.stderr.flush()
    except (AttributeError, OSError, ValueError):  # nobody reads it any more
        pass
    _shown = "" if line.endswith("\n") else line
