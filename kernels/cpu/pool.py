"""The thread pool: compiled functions that take pieces of a loop from one another without Python and without the GIL.

There is one job at a time. Its owner writes down the loop and its operands, opens the job, wakes who sleeps, and takes
pieces like everybody else until none is left; then it waits for the pieces that others still run, closes the job, and
waits until nobody looks at it any more. Who finds the pool taken runs its loop alone. A worker that has had nothing to
do for a while sleeps on a lock of Python's, the only one that every platform has. All words that several threads
change are on cache lines of their own.
"""

from __future__ import annotations

import atexit
import ctypes
import os
import threading
from functools import cache as once
from textwrap import indent
from typing import Any

import numpy as np

from . import codegen

#: Workers beside the thread that has the work, at most.
MOST_WORKERS = 255
#: How often a worker looks for the next job before it sleeps: for 0.1 to 0.4 ms. Waking it takes 50 us.
_PATIENCE = 8000
#: Pieces for each thread: who is held up by other programs leaves more to the others.
_PIECES = 4
#: Long loops are cut at multiples of this, so that pieces share no cache line.
_ALIGNMENT = 1024

# The words of the pool, by their place.
_OWNED, _OPEN, _NEXT, _FINISHED, _INSIDE = 0, 8, 16, 24, 32
_LOOP, _ARGS, _DIMS, _STEPS, _DATA, _OPERANDS, _DIMENSIONS, _LENGTH, _PIECE_COUNT, _NUMBER = range(40, 50)
_HELPERS, _STARTED, _CLOSING = range(56, 59)
_ACQUIRE, _RELEASE, _GIL_SAVE, _GIL_RESTORE, _YIELD, _START, _MY_STATE, _STATE = range(64, 72)
_WORKERS = 72  # and for each worker a line: whether it sleeps, and its lock

_TAKE = f"""
loop, operands, dimensions = pool[{_LOOP}], pool[{_OPERANDS}], pool[{_DIMENSIONS}]
length, pieces, steps, alone = pool[{_LENGTH}], pool[{_PIECE_COUNT}], words_at(pool[{_STEPS}]), pool[{_DATA}]
whole, extent = words_at(pool[{_ARGS}]), words_at(pool[{_DIMS}])
while True:
    piece = atomic_add(pool, {_NEXT}, 1)
    if piece >= pieces:
        break
    start = piece * length
    for i in range(operands):
        pointers[i] = whole[i] + start * steps[i]
    sizes[0] = min(length, extent[0] - start)
    for i in range(1, dimensions):
        sizes[i] = extent[i]
    invoke_4(loop, (address(pointers), address(sizes), address(steps), alone))
    atomic_add(pool, {_FINISHED}, 1)
"""

# `first` is the pool's address, `second` the worker's number, `third` how often it looks for work before it sleeps.
_SERVE = f"""
def call(first, second, third):
    pool = words_at(first)
    pointers = int64_operands()
    sizes = int64_lanes()
    mine = {_WORKERS} + 8 * second
    seen = 0
    while True:
        turns = 0
        while True:
            number = atomic_get(pool, {_OPEN})
            wanted = number != 0 and number != seen and second < atomic_get(pool, {_HELPERS})
            if wanted:
                break
            if atomic_get(pool, {_CLOSING}) != 0:
                return 0
            turns += 1
            if turns < third:
                if turns % 64 == 0 and pool[{_YIELD}] != 0:  # the work may be waiting for this very processor
                    invoke_1(pool[{_YIELD}], (0,))
                pause()
                continue
            atomic_set(pool, mine, 1)
            number = atomic_get(pool, {_OPEN})
            wanted = number != 0 and number != seen and second < atomic_get(pool, {_HELPERS})
            # whoever opened a job in between saw this worker asleep, and has released the lock or is about to
            if atomic_get(pool, {_CLOSING}) == 0 and not wanted or not atomic_replace(pool, mine, 1, 0):
                invoke_2(pool[{_ACQUIRE}], (pool[mine + 1], 1))
            turns = 0
        atomic_add(pool, {_INSIDE}, 1)
        number = atomic_get(pool, {_OPEN})  # from here on the job stays, if it is open
        if number != 0:
            seen = number
{indent(_TAKE, " " * 12)}
        atomic_add(pool, {_INSIDE}, -1)
"""

# `data` is a `threads.LoopRecord`: threshold, share, address, inputs, operands, dimensions, steps, pool.
_SHARE = f"""
def loop(args, dims, steps, data):
    launch = words_at(address(data))
    pool = words_at(launch[7])
    if pool[{_STARTED}] == 0:  # a forked child has no workers yet
        invoke_4(pool[{_START}], (address(args), address(dims), address(steps), address(data)))
        return
    pointers = int64_operands()
    sizes = int64_lanes()
    record = int64_lanes()
    for i in range(8):
        record[i] = launch[i]
    record[0] = {2**62}  # pieces are not shared again
    count = dims[0]
    helpers = atomic_get(pool, {_HELPERS})
    for i in range(launch[3], launch[4]):
        if steps[i] == 0:  # ufunc.reduce: pieces would meet in the output
            helpers = 0
    # PyGILState_Check would do, had it not to say yes to everything once there was a subinterpreter
    mine = invoke_1(pool[{_MY_STATE}], (0,))
    held = mine != 0 and mine == invoke_1(pool[{_STATE}], (0,))
    state = 0
    if held:
        state = invoke_1(pool[{_GIL_SAVE}], (0,))
    if helpers > 0 and atomic_replace(pool, {_OWNED}, 0, 1):
        length = max(1, count // ({_PIECES} * (helpers + 1)))
        if count > {64 * _ALIGNMENT}:
            length = -(-length // {_ALIGNMENT}) * {_ALIGNMENT}
        pool[{_LOOP}], pool[{_ARGS}], pool[{_DIMS}] = launch[2], address(args), address(dims)
        pool[{_STEPS}], pool[{_DATA}] = address(steps), address(record)
        pool[{_OPERANDS}], pool[{_DIMENSIONS}] = launch[4], launch[5]
        pool[{_LENGTH}], pool[{_PIECE_COUNT}] = length, -(-count // length)
        pool[{_NUMBER}] += 1
        atomic_set(pool, {_NEXT}, 0)
        atomic_set(pool, {_FINISHED}, 0)
        atomic_set(pool, {_OPEN}, pool[{_NUMBER}])
        for i in range(min(helpers, pool[{_PIECE_COUNT}] - 1)):
            if atomic_replace(pool, {_WORKERS} + 8 * i, 1, 0):
                invoke_1(pool[{_RELEASE}], (pool[{_WORKERS} + 8 * i + 1],))
{indent(_TAKE, " " * 8)}
        turns = 0
        while atomic_get(pool, {_FINISHED}) != pieces:
            turns += 1
            if turns % 64 == 0 and pool[{_YIELD}] != 0:
                invoke_1(pool[{_YIELD}], (0,))
            pause()
        atomic_set(pool, {_OPEN}, 0)
        while atomic_get(pool, {_INSIDE}) != 0:
            turns += 1
            if turns % 64 == 0 and pool[{_YIELD}] != 0:
                invoke_1(pool[{_YIELD}], (0,))
            pause()
        atomic_set(pool, {_OWNED}, 0)
    else:
        invoke_4(launch[2], (address(args), address(dims), address(steps), address(record)))
    if held:
        invoke_1(pool[{_GIL_RESTORE}], (state,))
"""

_words = np.zeros(_WORKERS + 8 * (MOST_WORKERS + 1) + 8, np.int64)
_words = _words[-(_words.ctypes.data // 8) % 8 :]  # from the beginning of a cache line
_threads: list[threading.Thread] = []
_changing = threading.Lock()

ADDRESS = _words.ctypes.data


@once
def begin() -> None:
    """Begin to compile them."""
    codegen.begin("share", _SHARE)
    codegen.begin("serve", _SERVE, "call")


def compiled() -> tuple[int, int]:
    """Give the addresses of the functions that share a loop, and that serve as a worker; compiled or loaded now."""
    return codegen.address("share", _SHARE), codegen.address("serve", _SERVE, entry="call")


def started() -> bool:
    """Tell whether there is a pool."""
    return bool(_words[_STARTED])


def start(helpers: int, entry: int) -> None:
    """Have so many workers take part in jobs, as far as threads are to be had; a child calls `entry` to start anew."""
    with _changing:
        _words[_START] = entry
        if not _words[_STATE]:
            _find_functions()
        helpers = min(helpers, MOST_WORKERS)
        if _threads and _threads[-1].ident is None:  # its start failed
            _threads.pop()
        while len(_threads) < helpers and not _words[_CLOSING]:
            thread = _worker(len(_threads))
            _threads.append(thread)  # at once: an interrupt must leave no worker that `_close` does not know
            try:
                thread.start()
            except RuntimeError:  # the system has no more, or the interpreter is shutting down
                _threads.pop()
                break
        _words[_HELPERS] = min(helpers, len(_threads))
        _words[_STARTED] = 1


def _find_functions() -> None:
    """Write down the addresses of what the compiled functions call."""
    python: Any = ctypes.pythonapi
    for place, function in (
        (_ACQUIRE, python.PyThread_acquire_lock),
        (_RELEASE, python.PyThread_release_lock),
        (_GIL_SAVE, python.PyEval_SaveThread),
        (_GIL_RESTORE, python.PyEval_RestoreThread),
        (_MY_STATE, python.PyGILState_GetThisThreadState),
        (_STATE, getattr(python, "PyThreadState_GetUnchecked", None) or python._PyThreadState_UncheckedGet),
    ):
        _words[place] = ctypes.cast(function, ctypes.c_void_p).value or 0
    if os.name == "posix":
        _words[_YIELD] = ctypes.cast(ctypes.CDLL(None).sched_yield, ctypes.c_void_p).value or 0


def _worker(number: int) -> threading.Thread:
    mine = _WORKERS + 8 * number
    if not _words[mine + 1]:
        lock = ctypes.PYFUNCTYPE(ctypes.c_void_p)(("PyThread_allocate_lock", ctypes.pythonapi))()
        ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int)(("PyThread_acquire_lock", ctypes.pythonapi))(
            lock, 1
        )
        _words[mine + 1] = lock
    word = ctypes.c_int64
    serve = ctypes.CFUNCTYPE(word, word, word, word)(compiled()[1])
    return threading.Thread(target=serve, args=(ADDRESS, number, _PATIENCE), name=f"nbgrad-{number}", daemon=True)


def _close() -> None:
    """Let all workers end: machine code is taken out of memory when the interpreter ends."""
    release = ctypes.PYFUNCTYPE(None, ctypes.c_void_p)(("PyThread_release_lock", ctypes.pythonapi))
    _words[_HELPERS], _words[_CLOSING] = 0, 1
    for number, thread in enumerate(list(_threads)):
        mine = _WORKERS + 8 * number
        if _words[mine]:
            _words[mine] = 0
            release(int(_words[mine + 1]))
        if thread.ident is not None:
            thread.join(1)


def _forget() -> None:
    """Start over in a forked child, which has none of the workers."""
    global _changing
    _changing = threading.Lock()
    _threads.clear()
    functions = _words[_ACQUIRE:_WORKERS].copy()
    _words[:] = 0
    _words[_ACQUIRE:_WORKERS] = functions


atexit.register(_close)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
