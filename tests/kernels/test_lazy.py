"""Attributes that are computed once."""

import threading

from workers import race

from nbgrad.kernels.lazy import lazy


class Owner:
    def __init__(self, begin=None):
        self.begin, self.computed = begin, 0

    @lazy
    def value(self):
        """Something dear."""
        self.computed += 1
        if self.begin is not None:
            self.begin.wait(5)
        return object()


def test_it_is_computed_at_the_first_look_and_kept():
    owner, other = Owner(), Owner()
    assert owner.computed == 0
    assert owner.value is owner.value
    assert (owner.computed, other.computed) == (1, 0)


def test_the_class_shows_what_computes_it():
    assert isinstance(Owner.value, lazy) and Owner.value.__doc__ == "Something dear."


def test_threads_may_compute_the_same_and_the_first_result_stays():
    owner = Owner(threading.Barrier(2))
    first, second = race(lambda _: owner.value, 2)
    assert first is second is owner.value
    assert owner.computed == 2  # at once: nothing is held meanwhile
