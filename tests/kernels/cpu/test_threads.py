"""The thread pool: the same numbers whatever happens to threads, and no exception lost inside a loop."""

import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import nbgrad
from nbgrad.kernels.cpu import pool, threads
from nbgrad.ops.elementwise import OPERATIONS

LARGE = threads.SHARE_ABOVE + 100_003
MANY = 9


@pytest.fixture(autouse=True)
def three_threads():
    before = nbgrad.get_num_threads()
    nbgrad.set_num_threads(3)
    yield
    nbgrad.set_num_threads(before)


@pytest.fixture(scope="module", autouse=True)
def compiled():
    """Kernels are compiled before threads are tampered with."""
    add()(np.ones(2), np.ones(2))
    OPERATIONS["exp"].kernel(np.ones(2))


def add():
    return OPERATIONS["add"].kernel


def assert_adds():
    """Accumulate in place, where work that is done twice, or not at all, shows."""
    total, ones = np.zeros(LARGE), np.ones(LARGE)
    add()(total, ones, total)
    assert (total == 1).all()


# ---- the number of threads ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [0, -1, 2.0, "2", None])
def test_the_number_of_threads_is_checked(count):
    with pytest.raises(ValueError, match="set_num_threads: needs a whole number of at least 1"):
        nbgrad.set_num_threads(count)
    assert nbgrad.get_num_threads() == 3


@pytest.mark.parametrize("count", [1, 2, 3, 7, 100])
def test_the_number_of_threads_that_was_set_is_used(count):
    nbgrad.set_num_threads(count)
    assert nbgrad.get_num_threads() == count
    assert_adds()


@pytest.mark.parametrize(
    ("asked", "given"), [("5", 5), ("1", 1), ("0", None), ("-2", None), ("many", None), ("", None)]
)
def test_the_environment_chooses_the_number_of_threads(monkeypatch, asked, given):
    monkeypatch.setattr(threads, "_count", None)
    monkeypatch.setenv("NBGRAD_NUM_THREADS", asked)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    assert nbgrad.get_num_threads() == (given or cores)


@pytest.mark.parametrize("asked", ["²", "5.0", " 3 ", "1e3"])
def test_an_environment_that_is_no_number_does_not_stop_anything(monkeypatch, asked):
    monkeypatch.setattr(threads, "_count", None)
    monkeypatch.setenv("NBGRAD_NUM_THREADS", asked)
    assert nbgrad.get_num_threads() >= 1


def test_large_loops_are_shared_and_small_ones_are_not():
    assert_adds()
    jobs = pool._words[pool._NUMBER]
    add()(np.ones(1000), np.ones(1000))
    assert pool._words[pool._NUMBER] == jobs
    assert_adds()
    assert pool._words[pool._NUMBER] == jobs + 1
    names = {thread.name for thread in threading.enumerate()}
    assert {"nbgrad-0", "nbgrad-1"} <= names


def test_the_number_may_change_while_loops_run():
    stop = threading.Event()

    def change():
        count = 0
        while not stop.is_set():
            count = count % 5 + 1
            nbgrad.set_num_threads(count)

    changer = threading.Thread(target=change)
    changer.start()
    try:
        for _ in range(50):
            assert_adds()
    finally:
        stop.set()
        changer.join()


def test_many_threads_share_the_pool():
    with ThreadPoolExecutor(4) as callers:
        for result in [callers.submit(assert_adds) for _ in range(24)]:
            result.result()


# ---- threads that cannot be had -------------------------------------------------------------------------------------


def refuse(self):
    raise RuntimeError("can't start new thread")


def test_a_system_without_threads_runs_everything_here(monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        assert_adds()
    assert_adds()


def test_threads_that_could_not_be_had_are_tried_again(monkeypatch):
    nbgrad.set_num_threads(1)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        nbgrad.set_num_threads(MANY)
        assert_adds()
    nbgrad.set_num_threads(MANY)
    assert_adds()
    assert sum(thread.name.startswith("nbgrad") for thread in threading.enumerate()) >= MANY - 1


def in_new_process(program):
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=300, check=False)


def test_workers_end_with_the_process_and_loops_run_without_them():
    """Workers run machine code, which the interpreter's end takes out of memory."""
    program = f"""
import atexit, threading
import numpy as np

def late():  # registered first, so it runs after the pool has closed
    assert not any(thread.name.startswith("nbgrad") for thread in threading.enumerate())
    assert (nbgrad.exp(x) == first).all()
    print("late")

atexit.register(late)
import nbgrad
nbgrad.set_num_threads(3)
x = np.linspace(0, 1, {LARGE})
first = nbgrad.exp(x)
assert any(thread.name.startswith("nbgrad") for thread in threading.enumerate())
"""
    for _ in range(3):
        done = in_new_process(program)
        assert (done.returncode, done.stdout, done.stderr) == (0, "late\n", "")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_child_starts_workers_of_its_own():
    program = f"""
import os, threading, warnings
import numpy as np
import nbgrad
warnings.simplefilter("ignore")
nbgrad.set_num_threads(3)
x = np.linspace(0, 1, {LARGE})
first = nbgrad.exp(x)
child = os.fork()
assert (nbgrad.exp(x) == first).all()
if child == 0:
    assert sum(thread.name.startswith("nbgrad") for thread in threading.enumerate()) == 2
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
"""
    done = in_new_process(program)
    assert (done.returncode, done.stderr) == (0, "")


def test_other_threads_run_while_a_loop_is_shared():
    """The GIL is let go, also where a loop was called from a builtin that holds it."""
    x = np.full(20_000_000, 1.5)
    power = nbgrad.jit(lambda x: nbgrad.sum(x**1.3))
    power(x)
    ticks = [0]
    stop = threading.Event()

    def tick():
        while not stop.is_set():
            ticks[0] += 1
            time.sleep(0)

    ticker = threading.Thread(target=tick)
    ticker.start()
    while not ticks[0]:
        time.sleep(0)
    before = ticks[0]
    power(x)
    stop.set()
    ticker.join()
    assert ticks[0] > before + 5


def test_loops_are_shared_after_there_was_a_subinterpreter():
    """PyGILState_Check then says of every thread that it holds the GIL."""
    program = f"""
import numpy as np
import nbgrad
interpreters = __import__("_interpreters" if __import__("sys").version_info >= (3, 13) else "_xxsubinterpreters")
x = np.linspace(0, 1, {LARGE})
first = nbgrad.exp(x)
interpreters.destroy(interpreters.create())
assert (nbgrad.exp(x) == first).all()
jitted = nbgrad.jit(lambda x: nbgrad.exp(x))
assert (jitted(x) == first).all() and (jitted(x) == first).all()
"""
    done = in_new_process(program)
    assert done.returncode == 0, done.stderr


# ---- how loops are cut ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [2, 3, 64, 255])
@pytest.mark.parametrize("size", [LARGE, LARGE + 1, 1_000_000, 64 * 1024 + 1])
def test_every_element_is_computed_once(count, size):
    nbgrad.set_num_threads(count)
    total, ones = np.zeros(size), np.ones(size)
    for _ in range(5):
        add()(total, ones, total)
    assert (total == 5).all()


def test_many_small_jobs_in_a_row():
    """Workers come late, go to sleep and wake up in all the moments there are."""
    x = np.linspace(0, 1, LARGE)
    expected = np.add(x, x)
    for turn in range(3000):
        if turn % 100 == 0:
            time.sleep(0.001)
        assert (add()(x, x) == expected).all()


# ---- exceptions inside a loop ---------------------------------------------------------------------------------------


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs a timer that sends signals")
def test_an_exception_of_a_signal_handler_is_not_lost_in_a_loop():
    """Such is Ctrl-C: it arrives while the loop runs, and must end the program and not the loop's results."""

    class Alarm(Exception):
        pass

    def ring(*_):
        raise Alarm

    x = np.full(8_000_000, 1.5)
    kernel = OPERATIONS["pow"].kernel
    kernel(x[:3], x[:3])
    previous = signal.signal(signal.SIGALRM, ring)
    try:
        with pytest.raises(Alarm):
            signal.setitimer(signal.ITIMER_REAL, 0.01)
            for _ in range(20):
                kernel(x, x)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)


@pytest.mark.parametrize("error", [KeyboardInterrupt, RecursionError, MemoryError, OSError])
def test_an_exception_while_sharing_is_not_lost(monkeypatch, error):
    """Whatever fails between the loop and its pieces: the call raises, or its result is whole."""

    def failing(*arguments):
        raise error

    x, result = np.full(LARGE, 2.0), np.zeros(LARGE)
    raised = False
    with monkeypatch.context() as patch:
        patch.setattr(pool, "start", failing)
        pool._words[pool._STARTED] = 0  # as in a forked child
        try:
            add()(x, x, result)
        except error:
            raised = True
    assert raised or (result == 4).all()
