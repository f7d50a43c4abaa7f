"""An interrupt at any moment: locks are free, states whole, and the next call is right."""

import ctypes
import os
import signal
import threading
from pathlib import Path

import numpy as np
import pytest
from workers import run_python

import nbgrad
from nbgrad import grad_mode
from nbgrad.kernels import forks, interrupts
from nbgrad.kernels.cpu import codegen, failures, threads, ufunc

SIGNALS = pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs a timer that sends signals")


def fuzz(*options):
    """Interrupt small programs in a process of its own."""
    run_python(Path(__file__).parent / "fuzz_interrupts.py", *options, timeout=3600)


@SIGNALS
def test_interrupts_at_random():
    fuzz("--interrupts", "300", "--timeout", "120")


@SIGNALS
@pytest.mark.slow
@pytest.mark.parametrize("way", [[], ["--asynchronous"]], ids=["signals", "asynchronous exceptions"])
def test_ten_thousand_interrupts(way):
    fuzz("--interrupts", "10000", "--seed", "1", *way)


# ---- the first instruction of a function ----------------------------------------------------------------------------


def after_an_interrupt(function):
    """Call a function of one argument so that an interrupt comes before its first instruction."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return list(map(function, map(ctypes.pythonapi.PyErr_SetInterruptEx, [signal.SIGINT])))
    finally:
        signal.signal(signal.SIGINT, before)


def tried(_):
    try:
        return _ or "unharmed".strip()
    except KeyboardInterrupt:
        return "handled"


def nested(_):
    try:
        total = sum([])
        for number in range(100):
            total += number
            if number % 3:
                total ^= number * 7 + total % 11 if number % 5 else number - total // 3
        try:
            total += sum([n * n for n in range(3)])
        finally:
            total += 1
        return "unharmed"
    except KeyboardInterrupt:
        return "handled"


@pytest.mark.parametrize("function", [tried, nested])
def test_a_try_that_covers_the_whole_function(function):
    with pytest.raises(KeyboardInterrupt):
        after_an_interrupt(function)
    interrupts.covered(function)
    assert after_an_interrupt(function) == ["handled"]
    assert function(None) == "unharmed"


def test_a_function_that_does_not_begin_with_a_try_stays_as_it_is():
    def without(_):
        return [number for number in range(3)]

    def late(_):
        with open(_):
            return 1

    for function in (without, late):
        code = function.__code__
        assert interrupts.covered(function) is function and function.__code__ is code
    assert interrupts.covered(len) is len  # as what Cython makes of a function


def test_an_interrupt_at_the_first_instruction_of_a_callback_is_raised_afterwards():
    ran = []
    loop = failures.callback(ran.append)
    with pytest.raises(KeyboardInterrupt):
        failures.checked(after_an_interrupt, loop)
    failures.checked(loop, 1)
    assert ran == [1]


# ---- whether gradients are recorded ---------------------------------------------------------------------------------


@pytest.mark.parametrize("inside", [nbgrad.no_grad, nbgrad.enable_grad])
def test_a_mode_is_left_though_an_interrupt_comes_first(inside):
    with nbgrad.no_grad():
        outer = grad_mode._outer.get()
        manager = inside()
        manager.__enter__()
        with pytest.raises(KeyboardInterrupt):
            after_an_interrupt(manager.__exit__)
        assert grad_mode._outer.get() is outer and not nbgrad.is_grad_enabled()
    assert nbgrad.is_grad_enabled()


@pytest.mark.parametrize("variable", ["recording_mode", "_outer"])
@pytest.mark.parametrize("step", ["__enter__", "__exit__"])
def test_an_interrupt_in_the_middle_of_a_change_of_mode(monkeypatch, variable, step):
    class Interrupted:
        """A context variable whose next change is followed by an interrupt."""

        real, due = getattr(grad_mode, variable), True

        def get(self):
            return self.real.get()

        def set(self, value):
            self.real.set(value)
            if self.due:
                self.due = False
                raise KeyboardInterrupt

    before = grad_mode._outer.get()
    manager = nbgrad.no_grad()
    if step == "__exit__":
        manager.__enter__()
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(grad_mode, variable, Interrupted())
        manager.__enter__() if step == "__enter__" else manager.__exit__(None, None, None)
    assert grad_mode._outer.get() is before
    assert nbgrad.is_grad_enabled()


# ---- compilation, loops, workers ------------------------------------------------------------------------------------


def test_compilation_is_where_no_signal_handler_runs(monkeypatch):
    seen = []

    def look(*arguments):
        seen.append(threading.current_thread() is threading.main_thread())
        raise ValueError("enough")

    monkeypatch.setattr(codegen, "_compile", look)
    monkeypatch.setattr(codegen.cache, "read", lambda key: None)
    monkeypatch.setattr(codegen, "_addresses", {})
    with pytest.raises(ValueError, match="enough"):
        codegen.address("any", "def loop(args, dims, steps, data):\n    pass\n")
    assert seen == [False]

    def refused(*arguments):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(codegen._thread, "start_new_thread", refused)
    with pytest.raises(ValueError, match="enough"):  # then it is done here
        codegen.address("any", "def loop(args, dims, steps, data):\n    pass\n")
    assert seen == [False, True]


@pytest.mark.parametrize("swallowed", [False, True])
def test_llvms_lock_is_free_after_an_interrupt(monkeypatch, swallowed):
    codegen._llvm()  # which a process that finds all kernels in the cache does not import
    load = codegen._load

    def interrupted(kernel):
        address = load(kernel)
        forks.llvm_lock().acquire()  # and whoever would have released it was interrupted
        if not swallowed:
            raise KeyboardInterrupt
        return address

    monkeypatch.setattr(codegen, "_load", interrupted)
    monkeypatch.setattr(codegen, "_addresses", {})
    try:
        codegen.address("llvms-lock", "def loop(args, dims, steps, data):\n    pass\n")
        assert swallowed
    except KeyboardInterrupt:
        assert not swallowed
    assert not forks.llvm_lock()._is_owned()


def test_a_loop_whose_settling_was_interrupted_is_settled_by_the_next_call():
    source = "def loop(args, dims, steps, data):\n    for i in range(dims[0]):\n"
    source += "        float64_pointer(args[1])[i] = 2.5 * float64_pointer(args[0])[i]\n"
    made = ufunc.make("interrupted", ["dd"], 1, lambda codes: (codegen.address("interrupted", source), threads.NEVER))
    owner = ufunc.loops_of[made]
    stub = owner.functions[0]
    owner.records[0] = threads.loop_record(codegen.address("interrupted", source), 1, 2, 0, 0, threads.NEVER)
    assert (made(np.ones(3)) == 2.5).all()
    assert owner.functions[0] != stub
    assert (made(np.ones(3)) == 2.5).all()


WORKERS = """
import sys, threading
import numpy as np, nbgrad
from nbgrad.kernels.cpu import pool, threads

start = threading.Thread.start

def interrupted(thread):
    if sys.argv[1] == "after":
        start(thread)
    raise KeyboardInterrupt

nbgrad.set_num_threads(1)
nbgrad.exp(np.ones(threads.SHARE_ABOVE * 2))  # now there is a pool
known = len(pool._threads)
threading.Thread.start = interrupted
try:
    nbgrad.set_num_threads(known + 2)
except KeyboardInterrupt:
    print("interrupted")
threading.Thread.start = start
nbgrad.set_num_threads(known + 3)
alive = [thread for thread in threading.enumerate() if thread.name.startswith("nbgrad-")]
assert set(alive) == set(pool._threads)
print(len(alive) - known, (nbgrad.add(np.zeros(10**6), np.ones(10**6)) == 1).all())
"""


@pytest.mark.parametrize("moment", ["before", "after"])
def test_an_interrupt_while_a_worker_starts(moment):
    assert run_python(WORKERS, moment) == "interrupted\n2 True\n"


FORK = """
import os, threading
import numpy as np, nbgrad
from nbgrad.kernels import forks, interrupts
from nbgrad.kernels.cpu import codegen
nbgrad.exp(np.ones(2))

class Interrupted:
    real, due = threading.Lock(), True
    def __enter__(self):
        self.real.acquire()
        if self.due:
            self.due = False
            self.real.release()
            raise KeyboardInterrupt
    def __exit__(self, *exception):
        self.real.release()

last = Interrupted()
forks.hold_over_fork(last)
try:
    child = os.fork()
    if child == 0:
        os._exit(0 if not last.real.locked() and not codegen._lock._is_owned() else 1)
    for _ in range(10):
        pass
    print("no interrupt")
except KeyboardInterrupt:
    print("interrupted")
child, status = os.wait()
assert status == 0
assert not last.due and not last.real.locked() and not codegen._lock._is_owned() and not forks._holding
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_an_interrupt_while_a_fork_takes_the_locks():
    """It is tried again, since hooks of a fork cannot stop it, and the interrupt comes afterwards."""
    assert run_python(FORK) == "interrupted\n"
