"""Interrupts at random moments: whatever they hit, the next call is right.

Run as a program: ``python tests/fuzz_interrupts.py --interrupts 10000``. Small programs are interrupted by signals, or
by asynchronous exceptions in a thread, and looked at afterwards: gradients are written all or not at all, locks are
free, gradients are recorded as before, and the same program gives what it should.
"""

import argparse
import ctypes
import faulthandler
import signal
import sys
import threading
import time
from collections import Counter

import numpy as np

import nbgrad
from nbgrad import accumulate, grad_mode
from nbgrad.kernels import forks, formula
from nbgrad.kernels.cpu import codegen, failures, pool, threads
from nbgrad.tracing import replay

LARGE = threads.SHARE_ABOVE + 100_003
POINTS, LINE = np.linspace(-1, 1, 7), np.linspace(0.5, 1, LARGE)
COMPILED = nbgrad.jit(lambda x, y: (nbgrad.tanh(x * y) * x).sum())
SLOPES = nbgrad.jit(nbgrad.value_and_grad(lambda x: (nbgrad.exp(x) * x).sum()))


class Wrong(Exception):
    """What must not be."""


def leaves(*arrays):
    return [nbgrad.Variable(array.copy()) for array in arrays]


def expected(x, y):
    t = np.tanh(x * y)
    return t + x * y * (1 - t * t), x * x * (1 - t * t)


def backward(xs, loss, slopes):
    """Walk back; an interrupt leaves the leaves' gradients all written or none."""
    try:
        loss.backward()
    finally:
        written = [x.grad is not None for x in xs]
        if any(written) and not all(written):
            raise Wrong("some gradients were written and others were not")
        for x, slope in zip(xs, slopes, strict=True):
            if x.grad is not None and not np.allclose(x.grad.data, slope, rtol=1e-9):
                raise Wrong("a wrong gradient")


def eager():
    xs = leaves(POINTS, POINTS + 2)
    x, y = xs
    backward(xs, (nbgrad.tanh(x * y) * x).sum(), expected(x.data, y.data))


def compiled():
    xs = leaves(POINTS, POINTS + 2)
    backward(xs, COMPILED(*xs), expected(xs[0].data, xs[1].data))


def compiled_on_arrays():
    value, slope = SLOPES(POINTS)
    if not np.allclose(slope, np.exp(POINTS) * (1 + POINTS), rtol=1e-9) or not np.isfinite(value):
        raise Wrong("a wrong gradient of a compiled function")


def traced_anew():
    again = nbgrad.jit(lambda x, y: (nbgrad.tanh(x * y) * x).sum())
    xs = leaves(POINTS, POINTS + 2)
    backward(xs, again(*xs), expected(xs[0].data, xs[1].data))


def shared():
    (x,) = leaves(LINE)
    backward([x], (nbgrad.exp(x) * 2.0).sum(), [2 * np.exp(LINE)])


def pool_anew():
    nbgrad.set_num_threads(1 + int(time.monotonic() * 1e6) % 4)
    shared()


def first_call():
    """A new function, whose kernels are loaded anew half of the time."""
    if int(time.monotonic() * 1e6) % 2:
        codegen._addresses.clear()
    fresh = nbgrad.elementwise(lambda x: x * x * 0.5 + x)
    (x,) = leaves(POINTS)
    y = fresh(x)
    if not np.allclose(y.data, POINTS * POINTS * 0.5 + POINTS):
        raise Wrong("a wrong value of a first call")
    backward([x], y.sum(), [POINTS + 1])


def reduced_first():
    """The first call of a loop that only a ufunc calls."""
    from nbgrad.kernels import reductions
    from nbgrad.kernels.cpu import reduction_loops

    kernel = reduction_loops._kernel(reductions.TABLE["sum"], columns=False)
    if not (failures.checked(kernel, np.ones((6, 5)), out=...) == 5).all():
        raise Wrong("a wrong sum of a first call")


def modes():
    for _ in range(10):
        with nbgrad.no_grad():
            with nbgrad.enable_grad():
                inner = nbgrad.is_grad_enabled()
            with nbgrad.set_grad_enabled(False):
                innermost = nbgrad.is_grad_enabled()
            if nbgrad.is_grad_enabled() or not inner or innermost:
                raise Wrong("the mode inside of no_grad")


LOCKS = {
    "codegen._lock": codegen._lock,
    "formula._interning": formula._interning,
    "pool._changing": pool._changing,
    "accumulate._writing": accumulate._writing,
    "replay._backs": replay._backs,
}
PROGRAMS = [eager, compiled, compiled_on_arrays, traced_anew, shared, pool_anew, first_call, reduced_first, modes]


def check(program):
    """Look at what an interrupt left, and run the program again."""
    if not nbgrad.is_grad_enabled() or grad_mode._outer.get() is not None:
        raise Wrong("the recording of gradients is not as it was")
    for place in codegen._compiling:
        with place:
            pass  # what was interrupted is still compiled
    if failures._noted:
        raise Wrong("an exception is still to be raised in some call")
    left = []

    def try_locks():
        for name, lock in LOCKS.items():
            if lock.acquire(timeout=15):
                lock.release()
            else:
                left.append(name)

    other = threading.Thread(target=try_locks)
    other.start()
    other.join()
    if left:
        raise Wrong(f"locks were left taken: {left}")
    program()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--interrupts", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--timeout", type=float, default=3600, help="seconds after which it hangs")
    parser.add_argument("--program", choices=[program.__name__ for program in PROGRAMS])
    parser.add_argument("--asynchronous", action="store_true", help="exceptions in a thread, instead of signals")
    options = parser.parse_args()
    faulthandler.enable()
    faulthandler.dump_traceback_later(options.timeout, exit=True)
    random = np.random.default_rng(options.seed)
    programs = [program for program in PROGRAMS if options.program in (None, program.__name__)]
    durations = {}
    for program in programs:
        program()
        begin = time.perf_counter()
        for _ in range(5):
            program()
        durations[program] = (time.perf_counter() - begin) / 5
    if forks.llvm_lock() is not None:
        LOCKS["LLVM's"] = forks.llvm_lock()

    def ring(*_):
        raise KeyboardInterrupt

    signal.signal(signal.SIGALRM, ring)
    hits, faults = Counter(), Counter()

    def interrupted(program, delay):
        signal.setitimer(signal.ITIMER_REAL, delay)
        try:
            program()
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)

    def interrupted_in_a_thread(program, delay):
        """Raise what the program raised in a thread, where an asynchronous exception was set."""
        raised = []

        def work():
            try:
                try:
                    begun.release()
                    program()
                finally:
                    over.append(True)
            except BaseException as error:
                raised.append(error)

        begun, over = threading.Semaphore(0), []
        worker = threading.Thread(target=work)
        worker.start()
        begun.acquire()
        time.sleep(delay)
        if not over:
            kind = ctypes.py_object(KeyboardInterrupt)
            ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(worker.ident), kind)
        worker.join()
        if raised:
            raise raised[0]

    if options.asynchronous:
        interrupted = interrupted_in_a_thread
        sys.setswitchinterval(1e-5)
    for turn in range(options.interrupts):
        program = programs[turn % len(programs)]
        delay = max(random.random() * 1.2 * durations[program], 1e-6)
        try:
            try:
                interrupted(program, delay)
            except KeyboardInterrupt:
                hits[program.__name__] += 1
            check(program)
        except (Wrong, Exception) as error:
            faults[f"{program.__name__}: {type(error).__name__}: {error}"] += 1
            print(*faults, sep="\n", flush=True)
            if "locks" in str(error):
                break  # every further check would wait for them
            grad_mode.recording_mode.set(True)
            grad_mode._outer.set(None)
    print(dict(hits))
    print(f"{hits.total()} interrupts of {options.interrupts}, {faults.total()} faults")
    for fault, count in faults.items():
        print(f"{count} x {fault}")
    sys.exit(bool(faults))


if __name__ == "__main__":
    main()
