"""Locks that a fork waits for."""

import logging
import threading

from nbgrad.kernels import forks
from nbgrad.kernels.cpu import codegen


def test_two_threads_that_fork_at_once_hold_the_locks_one_after_the_other():
    """A fork without them, while the other thread still has them, gives a child in which they may never be free."""
    held = []

    def other():
        forks._before()
        held.append(codegen._lock._is_owned())
        forks._after()

    worker = threading.Thread(target=other)
    forks._before()
    try:
        worker.start()
        worker.join(0.2)
        assert held == [], "the other thread did not wait"
        assert codegen._lock._is_owned()
    finally:
        forks._after()
        worker.join()
    assert held == [True]
    assert not codegen._lock._is_owned() and not forks._holding


def test_a_fork_lets_go_of_the_lock_of_logging_until_it_has_ours():
    """Whoever compiles holds ours and needs that one, whichever of the hooks comes first."""
    begun, done = threading.Event(), []

    def compiles():
        with codegen._lock:
            begun.set()
            while not waits.is_set():
                waits.wait()
            logging.getLogger("nbgrad.tests.of_forks")  # as Numba does when it is imported
        done.append("compiled")

    def fork():
        logging._lock.acquire()  # its hook came first
        begun.wait()
        waits.set()
        forks._before()
        done.append(logging._lock._is_owned() and codegen._lock._is_owned())
        forks._after()
        logging._lock.release()

    waits = threading.Event()
    workers = [threading.Thread(target=work, daemon=True) for work in (compiles, fork)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(20)
    assert done == ["compiled", True]
