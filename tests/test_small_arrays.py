"""Operations on small arrays, answered by compiled calls or not: the same bits, forms, graphs, gradients and errors."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import nbgrad
from nbgrad import Variable

TESTS = Path(__file__).parent


def lines(seed, count, *options, **environment):
    command = [sys.executable, "both_ways.py", str(seed), str(count), *options]
    done = subprocess.run(command, cwd=TESTS, env=os.environ | environment, capture_output=True, text=True)
    assert done.returncode == 0, (done.stderr, done.stdout.splitlines()[-1:])
    return done.stdout.splitlines()


@pytest.mark.parametrize("seed, count", [(1, 1500), pytest.param(2, 30000, marks=pytest.mark.slow)])
def test_both_ways_are_the_same_to_users(seed, count):
    quick, slow = lines(seed, count, NBGRAD_TEST_LAYOUT="known"), lines(seed, count, NBGRAD_TEST_LAYOUT="unknown")
    assert len(quick) == len(slow) == count
    for one, other in zip(quick, slow, strict=True):
        assert one == other
    assert sum("Error" in line for line in quick) < 0.6 * count, "most calls should succeed"


@pytest.mark.skipif(os.name != "posix", reason="guards are made by mmap and mprotect")
@pytest.mark.parametrize("seed, count", [(3, 1500), pytest.param(4, 20000, marks=pytest.mark.slow)])
def test_nothing_is_read_or_written_outside_of_arrays(seed, count):
    assert len(lines(seed, count, "--guarded")) == count


def test_an_index_array_may_change_after_it_was_used():
    x, rows = Variable(np.arange(4.0)), np.array([1, 1, 3])
    y = x[rows].sum()
    rows[:] = 0
    y.backward()
    np.testing.assert_array_equal(x.grad.data, [0, 2, 0, 1])


def test_zeros_of_both_signs_are_themselves():
    x = Variable(np.array([-1.0, 1.0]))
    for _ in range(2):
        for zero in (0.0, -0.0, 0):
            for found in (nbgrad.where(x > 0, x, zero), nbgrad.where(x > 0, x, np.array(zero, float))):
                assert np.signbit(found.data[0]) == np.signbit(float(zero)), zero


def test_operators_record_what_functions_do():
    x, y = Variable(np.array([1.0, 2.0])), Variable(np.array([3.0, 4.0]))
    for _ in range(2):  # at first by what gives way to the compiled call
        for one, other in ((x * y, nbgrad.mul(x, y)), (x @ y, nbgrad.matmul(x, y)), (-x, nbgrad.neg(x))):
            assert type(one.creator) is type(other.creator)
            np.testing.assert_array_equal(one.data, other.data)
        assert type(x[0].creator).__name__ == "GetItem" and x[0].creator.inputs == (x,)


class Own(Variable):
    def __mul__(self, other):
        return "mine"


def test_subclasses_keep_their_operators():
    x, y = Own(np.ones(2)), Variable(np.ones(2))
    assert x * y == "mine"
    assert type(y * x) is Variable and (y * x).requires_grad
    assert type(x[0]) is Variable and x[0].requires_grad
