"""When loops are shared among threads, and among how many.

A compiled loop compares its length with a threshold and, above it, has the pool run it in pieces (`pool`), without the
GIL. Small work never leaves the calling thread and never looks at this module.
"""

from __future__ import annotations

import ctypes
import os
from typing import Any

from . import failures, pool
from .processor import cores

#: The elements above which a loop of additions is shared: 15 us. Measured with two threads: where the workers are
#: awake, sharing costs 1 to 2 us and halves the time; where they sleep, 3 us: they take 30.
SHARE_ABOVE = 150_000
#: What it costs to read or write an element in a loop, in additions (measured in the caches), and so what an element
#: of a loop of additions costs, which has two inputs and a result.
ACCESS = 4
ADDITION = 3 * ACCESS + 1
#: A threshold that no loop reaches.
NEVER = 2**62

LOOP = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)


class LoopRecord(ctypes.Structure):
    """What the `data` argument of a loop points to: when it shares its work, and how."""

    _fields_ = (
        ("threshold", ctypes.c_int64),
        ("share", ctypes.c_void_p),
        ("address", ctypes.c_void_p),
        ("inputs", ctypes.c_int64),
        ("operands", ctypes.c_int64),
        ("dimensions", ctypes.c_int64),
        ("steps", ctypes.c_int64),
        ("pool", ctypes.c_int64),
    )


def share_above(cost: int) -> int:
    """Return the number of elements above which a loop is shared that costs so many additions for each."""
    return max(SHARE_ABOVE * ADDITION // cost, 1)


_count: int | None = None


def get_num_threads() -> int:
    """Give the number of threads that large kernels use: $NBGRAD_NUM_THREADS, or the cores this process may use."""
    global _count
    if _count is None:
        asked = os.environ.get("NBGRAD_NUM_THREADS", "")
        _count = int(asked) if asked.isdecimal() and int(asked) > 0 else cores()
    return _count


def set_num_threads(count: int) -> None:
    """Set the number of threads that large kernels use.

    Raises ValueError for anything but a whole number of at least one.
    """
    global _count
    if not isinstance(count, int) or count < 1:
        raise ValueError(f"set_num_threads: needs a whole number of at least 1, got {count!r}")
    _count = count
    if pool.started():
        _start_pool()


def _share(args: int, dims: int, steps: int, data: int) -> None:
    """Start the pool and have it run a loop; called from inside the first loop that is long enough."""
    _start_pool()
    record = LoopRecord.from_address(data)
    record.share, _ = pool.compiled()
    LOOP(record.share)(args, dims, steps, data)


_entry = LOOP(failures.callback(_share))


def _start_pool() -> None:
    pool.start(get_num_threads() - 1, ctypes.cast(_entry, ctypes.c_void_p).value or 0)


def loop_record(
    address: int,
    inputs: int,
    operands: int,
    core_dimensions: int,
    core_steps: int,
    threshold: int,
    entry: Any = None,
) -> Any:
    """Give the record for a loop at `address`; the caller keeps it alive as long as the loop.

    `entry` is what the loop's ``share`` calls: the thread pool's, unless another is given.
    """
    return LoopRecord(
        threshold,
        ctypes.cast(entry or _entry, ctypes.c_void_p).value,
        address,
        inputs,
        operands,
        1 + core_dimensions,
        operands + core_steps,
        pool.ADDRESS,
    )
