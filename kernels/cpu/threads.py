"""The thread pool that large loops share.

A compiled loop compares its length with a threshold and, above it, calls `_share` here: the range is cut into one
piece a thread, and each piece runs the same compiled loop without the GIL. Small work never leaves the calling
thread and never looks at this module.
"""

from __future__ import annotations

import ctypes
import os
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from concurrent.futures import Future, ThreadPoolExecutor

#: Below this many elements times operations, waking a thread costs more than it saves (measured: 30 us a wake).
SHARE_ABOVE = 200_000
NEVER = 2**62
_PIECE = 1024  # pieces begin at multiples of this, so that they share no cache line

LOOP = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)


class Launch(ctypes.Structure):
    """What the `data` argument of a loop points to."""

    _fields_ = (
        ("threshold", ctypes.c_int64),
        ("share", ctypes.c_void_p),
        ("address", ctypes.c_void_p),
        ("operands", ctypes.c_int64),
        ("dimensions", ctypes.c_int64),
        ("steps", ctypes.c_int64),
    )


_pool: ThreadPoolExecutor | None = None
_pool_lock = threading.Lock()
_count: int | None = None


def get_num_threads() -> int:
    """Give the number of threads that large kernels use: $NBGRAD_NUM_THREADS, or the cores this process may use."""
    global _count
    if _count is None:
        asked = os.environ.get("NBGRAD_NUM_THREADS", "")
        if asked.isdigit() and int(asked) > 0:
            _count = int(asked)
        elif hasattr(os, "sched_getaffinity"):
            _count = len(os.sched_getaffinity(0))
        else:
            _count = os.cpu_count() or 1
    return _count


def set_num_threads(count: int) -> None:
    """Set the number of threads that large kernels use.

    Raises ValueError for a count below one.
    """
    global _count, _pool
    if not isinstance(count, int) or count < 1:
        raise ValueError(f"set_num_threads: needs a whole number of at least 1, got {count!r}")
    with _pool_lock:
        _count = count
        old, _pool = _pool, None
    if old is not None:
        old.shutdown(wait=False)


def _forget_pool() -> None:
    """A forked child has the pool object but none of its threads."""
    global _pool, _pool_lock
    _pool, _pool_lock = None, threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_pool)


def _executor() -> ThreadPoolExecutor:
    global _pool
    with _pool_lock:
        if _pool is None:
            from concurrent.futures import ThreadPoolExecutor

            _pool = ThreadPoolExecutor(max(1, get_num_threads() - 1), thread_name_prefix="nbgrad")
        return _pool


def _share(args: int, dims: int, steps: int, data: int) -> None:
    """Run a loop in pieces over the pool; called from inside the loop, which then returns."""
    launch = Launch.from_address(data)
    loop = LOOP(launch.address)
    alone = Launch(NEVER, None, None, launch.operands, launch.dimensions, launch.steps)
    operands = launch.operands
    pointers = (ctypes.c_void_p * operands).from_address(args)
    sizes = (ctypes.c_ssize_t * launch.dimensions).from_address(dims)
    strides = (ctypes.c_ssize_t * launch.steps).from_address(steps)
    count = sizes[0]
    piece = -(-count // get_num_threads())
    if count > 64 * _PIECE:
        piece = -(-piece // _PIECE) * _PIECE

    def run(start: int) -> None:
        moved = (ctypes.c_void_p * operands)(*((pointers[i] or 0) + start * strides[i] for i in range(operands)))
        extent = (ctypes.c_ssize_t * launch.dimensions)(*sizes)
        extent[0] = min(piece, count - start)
        loop(ctypes.addressof(moved), ctypes.addressof(extent), steps, ctypes.addressof(alone))

    futures: list[Future[None]] = []
    starts = list(range(0, count, piece))
    unsent = starts[1:]
    try:
        while unsent:
            futures.append(_executor().submit(run, unsent[0]))
            unsent.pop(0)
    except RuntimeError:  # the interpreter is shutting down, or the system gives no more threads
        pass
    for start in (starts[0], *unsent):
        run(start)
    for future in futures:
        future.result()


_entry = LOOP(_share)


def launch_record(address: int, operands: int, core_dimensions: int, core_steps: int, threshold: int) -> Any:
    """Give the record for a loop at `address`; the caller keeps it alive as long as the loop."""
    return Launch(
        threshold,
        ctypes.cast(_entry, ctypes.c_void_p).value,
        address,
        operands,
        1 + core_dimensions,
        operands + core_steps,
    )
