"""The thread pool: the same numbers whatever happens to threads, and no exception lost inside a loop."""

import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import nbgrad
from nbgrad.kernels.cpu import threads
from nbgrad.ops.elementwise import OPERATIONS

LARGE = threads.SHARE_ABOVE + 100_003


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


def test_large_loops_are_shared_and_small_ones_are_not(monkeypatch):
    names = set()
    run = threading.Thread.run

    def noting(self):
        names.add(self.name)
        run(self)

    monkeypatch.setattr(threading.Thread, "run", noting)
    nbgrad.set_num_threads(3)
    add()(np.ones(1000), np.ones(1000))
    assert not any("nbgrad" in name for name in names)
    assert_adds()
    assert any("nbgrad" in name for name in names)


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


def test_work_that_found_no_thread_is_not_done_again_later(monkeypatch):
    """An executor puts work in its queue before it starts a thread for it."""
    ones = np.ones(LARGE)
    first = np.zeros(LARGE)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        add()(first, ones, first)
    second = np.zeros(LARGE)
    add()(second, ones, second)
    time.sleep(0.05)
    assert (first == 1).all()
    assert (second == 1).all()


def test_a_pool_that_was_shut_down_runs_everything_here():
    assert_adds()
    for executor in [value for value in vars(threads).values() if isinstance(value, ThreadPoolExecutor)]:
        executor.shutdown()
    assert_adds()


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

    def failing(self, *arguments):
        raise error

    x, result = np.full(LARGE, 2.0), np.zeros(LARGE)
    raised = False
    with monkeypatch.context() as patch:
        patch.setattr(ThreadPoolExecutor, "submit", failing)
        try:
            add()(x, x, result)
        except error:
            raised = True
    assert raised or (result == 4).all()
