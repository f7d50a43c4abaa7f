"""The thread pool that large loops share.

A compiled loop compares its length with a threshold and, above it, calls `_share` here: the range is cut into one
piece a thread, and each piece runs the same compiled loop without the GIL. Small work never leaves the calling
thread and never looks at this module.
"""

from __future__ import annotations

import ctypes
import os
import threading
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .. import failures

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor

#: The elements times operations above which a loop is shared. Measured with two threads: the second costs 35 to 100 us,
#: additions and multiplications break even between 1e6 (float64) and 3e6 (float32), a scalar exp at 1e5.
SHARE_ABOVE = 1_500_000
#: A threshold that no loop reaches.
NEVER = 2**62
_PIECE = 1024  # pieces begin at multiples of this, so that they share no cache line

LOOP = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)


class Launch(ctypes.Structure):
    """What the `data` argument of a loop points to."""

    _fields_ = (
        ("threshold", ctypes.c_int64),
        ("share", ctypes.c_void_p),
        ("address", ctypes.c_void_p),
        ("inputs", ctypes.c_int64),
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
        if asked.isdecimal() and int(asked) > 0:
            _count = int(asked)
        elif hasattr(os, "sched_getaffinity"):
            _count = len(os.sched_getaffinity(0))
        else:
            _count = os.cpu_count() or 1
    return _count


def set_num_threads(count: int) -> None:
    """Set the number of threads that large kernels use.

    Raises ValueError for anything but a whole number of at least one.
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
    """Start over in a forked child, which has the pool object but none of its threads."""
    global _pool, _pool_lock
    _pool, _pool_lock = None, threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_pool)


def _submit(work: Callable[[], None]) -> None:
    global _pool
    with _pool_lock:
        if _pool is None:
            from concurrent.futures import ThreadPoolExecutor

            _pool = ThreadPoolExecutor(max(1, get_num_threads() - 1), thread_name_prefix="nbgrad")
        _pool.submit(work)


class _Job:
    """One loop cut into pieces, which whoever has time takes from a queue until it is empty.

    Every piece runs once, whatever happens: a worker that comes late finds nothing to do, and the caller waits for
    pieces that others run, since the memory they work on is the caller's.
    """

    def __init__(self, args: int, dims: int, steps: int, data: int) -> None:
        launch = Launch.from_address(data)
        self.loop = LOOP(launch.address)
        self.alone = Launch(NEVER, None, None, launch.inputs, launch.operands, launch.dimensions, launch.steps)
        self.pointers = list((ctypes.c_void_p * launch.operands).from_address(args))
        self.sizes = list((ctypes.c_ssize_t * launch.dimensions).from_address(dims))
        self.strides = (ctypes.c_ssize_t * launch.steps)(*(ctypes.c_ssize_t * launch.steps).from_address(steps))
        count, threads = self.sizes[0], get_num_threads()
        if 0 in self.strides[launch.inputs : launch.operands]:  # ufunc.reduce: pieces would meet in the output
            threads = 1
        self.length = -(-count // threads)
        if count > 64 * _PIECE:
            self.length = -(-self.length // _PIECE) * _PIECE
        starts = range(0, count, self.length)
        self.helpers = len(starts) - 1
        self.waiting = deque(starts)
        self.running = 0
        self.error: BaseException | None = None
        self.settled = threading.Condition()

    def work(self) -> None:
        """Run pieces until none is left."""
        while True:
            with self.settled:
                if not self.waiting:
                    return
                start = self.waiting.popleft()
                self.running += 1
            try:
                self.run(start)
            except BaseException as error:  # raised by the caller, when all is done
                self.error = error
            finally:
                with self.settled:
                    self.running -= 1
                    self.settled.notify_all()

    def run(self, start: int) -> None:
        """Run the piece that begins at `start`."""
        moved = [(pointer or 0) + start * stride for pointer, stride in zip(self.pointers, self.strides, strict=False)]
        extent = [min(self.length, self.sizes[0] - start), *self.sizes[1:]]
        args = (ctypes.c_void_p * len(moved))(*moved)
        dims = (ctypes.c_ssize_t * len(extent))(*extent)
        self.loop(
            ctypes.addressof(args), ctypes.addressof(dims), ctypes.addressof(self.strides), ctypes.addressof(self.alone)
        )

    def wait(self) -> None:
        """Wait until no piece is left and none is running."""
        with self.settled:
            while self.waiting or self.running:
                self.settled.wait()


def _share(args: int, dims: int, steps: int, data: int) -> object:
    """Run a loop in pieces over the pool; called from inside the loop, which then returns."""
    job = _Job(args, dims, steps, data)
    interruption: BaseException | None = None
    helpers_called = False
    while True:  # an interruption is kept until the work is done: the memory is the caller's
        try:
            if not helpers_called:
                helpers_called = True
                for _ in range(job.helpers):
                    _submit(job.work)
            job.work()
            job.wait()
            break
        except RuntimeError:  # no more threads to be had, or the interpreter is shutting down
            continue
        except BaseException as error:
            interruption = error
    interruption = interruption or job.error
    return None if interruption is None else failures.raise_afterwards(interruption)


_entry = LOOP(_share)


def launch_record(
    address: int, inputs: int, operands: int, core_dimensions: int, core_steps: int, threshold: int
) -> Any:
    """Give the record for a loop at `address`; the caller keeps it alive as long as the loop."""
    return Launch(
        threshold,
        ctypes.cast(_entry, ctypes.c_void_p).value,
        address,
        inputs,
        operands,
        1 + core_dimensions,
        operands + core_steps,
    )
