"""Locks that a fork waits for."""

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
