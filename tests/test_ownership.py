"""Gradients that nobody else holds become `grad` as they are, all others are copied: on every interpreter."""

import sys

import numpy as np
import pytest

import nbgrad
from nbgrad import Variable, ownership


class Giving(nbgrad.Function):
    """Gives what a test wants as its inputs' gradients, and keeps nothing itself."""

    def __init__(self, make):
        self.make = make

    def forward(self, *xs):
        return sum(xs) * 1.0

    def backward(self, gy):
        return self.make()


def grads_of(make, count=1):
    """Give the leaves' gradients where a rule gives the arrays that `make` makes."""
    xs = [Variable(np.zeros(3)) for _ in range(count)]
    Giving(make)(*xs).backward(np.ones(3))
    return [x.grad.data for x in xs]


def test_what_nobody_else_holds_is_not_copied():
    places = []

    def make():
        array = np.arange(3.0)
        places.append(array.ctypes.data)
        return array

    (grad,) = grads_of(make)
    assert grad.ctypes.data == places[0] and grad.tolist() == [0, 1, 2]


def test_a_view_of_what_nobody_else_holds_is_not_copied():
    places = []

    def make():
        array = np.arange(6.0)
        places.append(array.ctypes.data)
        return array[3:]

    (grad,) = grads_of(make)
    assert grad.ctypes.data == places[0] + 24 and grad.tolist() == [3, 4, 5]


KEPT = np.arange(6.0)


@pytest.mark.parametrize(
    "make",
    [lambda: KEPT[:3], lambda: KEPT.reshape(2, 3)[0], lambda: KEPT.view()[:3], lambda: np.broadcast_to(KEPT[1:2], 3)],
)
def test_views_of_what_somebody_holds_are_copied(make):
    (grad,) = grads_of(make)
    assert not np.shares_memory(grad, KEPT)
    assert grad.flags.writeable
    grad += 100
    assert KEPT.tolist() == list(range(6))


def test_what_somebody_holds_is_copied():
    kept = np.arange(3.0)
    (grad,) = grads_of(lambda: kept)
    assert grad is not kept and not np.shares_memory(grad, kept)


def test_one_array_for_two_leaves_is_copied():
    def make():
        array = np.arange(3.0)
        return array, array

    first, second = grads_of(make, 2)
    assert not np.shares_memory(first, second)


def test_two_views_of_one_array_are_copied():
    def make():
        array = np.arange(6.0)
        return array[:3], array[2:5]

    first, second = grads_of(make, 2)
    assert not np.shares_memory(first, second)
    assert first.tolist() == [0, 1, 2] and second.tolist() == [2, 3, 4]


@pytest.mark.parametrize("function", [lambda x, y: x + y, lambda x, y: (x.reshape(3, 1) + y.reshape(3, 1)).reshape(3)])
def test_cotangents_that_rules_hand_through_are_nobodys(function):
    x, y = Variable(np.zeros(3)), Variable(np.zeros(3))
    gradient = np.ones(3)
    for _ in range(2):  # the second time it is added to what is there
        function(x, y).backward(gradient)
    arrays = [x.grad.data, y.grad.data, gradient]
    assert not any(np.shares_memory(a, b) for i, a in enumerate(arrays) for b in arrays[:i])
    x.grad.data[...] = 7
    assert y.grad.data.tolist() == [2, 2, 2] and gradient.tolist() == [1, 1, 1]


def test_the_counts_are_those_of_this_interpreter():
    """An array in a dictionary that runs through a name: one more owner is one more."""
    for _, alone in {0: np.zeros(2)}.items():
        assert sys.getrefcount(alone) == ownership.ALONE
    held = np.zeros(2)
    for _, shared in {0: held}.items():
        assert sys.getrefcount(shared) > ownership.ALONE
    assert ownership.is_private(np.zeros(3)) and ownership.is_private(np.zeros(3)[1:])
    assert not ownership.is_private(held[1:]) and not ownership.is_private(np.broadcast_to(np.zeros(1), 3))
