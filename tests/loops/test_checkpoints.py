"""Loops of which segments are run again: the same derivatives, from less memory."""

import math
import re

import loop_programs as programs
import numpy as np
import pytest
from numba import prange
from plainly import check, source

import nbgrad

RNG = np.random.default_rng(6)


def in_place(y0, p, n):
    y = y0.copy()
    seen = np.zeros((n, y.size))
    for t in range(n):
        for k in range(y.size):
            y[k] += 0.1 * math.sin(y[(k + 1) % y.size]) * p
        seen[t] = y
    return seen.sum() + y[0], y


def carried(y0, p, n):
    y = y0
    v = 1.0
    for t in range(n):
        y = y + 0.1 * np.sin(y * p) * v
        v = v * 0.9 + y[0] * y[1] + 0.01 * t
    return y * v


def until_it_settles(x, tolerance):
    n = 0
    while abs(x * x - 2.0) > tolerance and n < 3000:
        x = x - 0.001 * (x * x - 2.0)
        n += 1
    return x


def left_early(x, a, n):
    while True:
        for i in range(n):
            if x > 3.0:
                break
            x = x * a[i % 3] + 0.1
        if x > 2.0:
            return x * n


def backward(x, n):
    for i in range(n - 1, -1, -2):
        x = math.sin(x) * i + x
    return x


def nested(x, n, m):
    a = x.copy()
    b = np.zeros_like(x)
    for _ in range(m):
        for _ in range(n):
            for i in range(x.size):
                b[i] = math.sin(a[i]) + a[i - 1]
            a, b = b, a
    return a


Y = RNG.normal(size=3)
CASES = [
    (in_place, Y, 0.3, 10), (carried, Y, 0.4, 11), (carried, Y, 0.4, 0), (until_it_settles, 1.2, 1e-3),
    (left_early, 0.3, np.array([1.1, 1.2, 1.3]), 30), (backward, 0.4, 9), (nested, Y, 3, 2), (nested, Y, 2, 5),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case[0].__name__)
@pytest.mark.parametrize("length", [True, 4])
def test_segments(case, length):
    check(*case, checkpoint=length)
    assert "segment" in source(case[0], "vjp", case[1:], checkpoint=length)[0]


@pytest.mark.parametrize("function", programs.arguments(), ids=lambda function: function.__name__)
def test_programs(function):
    check(function, *programs.arguments()[function], checkpoint=2)


def test_what_a_segment_begins_with_is_kept_and_no_more():
    text, _ = source(in_place, "vjp", (Y, 0.3, 10), checkpoint=True)
    assert re.findall(r"(\w+)_at_start = np", text) == ["y"]  # not `seen`, which nothing in the loop reads
    assert text.count("part[i_1] = ") == 1  # nor is it written again


def shared_in_segments(x, b, n):
    u = x.copy()
    for _ in range(n):
        for i in prange(x.size):
            part = b
            for _ in range(3):
                part = 0.5 * math.sin(math.sin(part))
            u[i] += part
    return u


def test_what_threads_add_to_is_left_alone_when_they_run_again():
    for length in (True, 2):
        check(shared_in_segments, np.array([0.7, -0.4, 1.3]), -1.1, 5, parallel=True, checkpoint=length)


def drawn(x, n):
    for _ in range(n):
        x = x * x * np.random.random()  # noqa: NPY002
    return x


def overwritten(x, n):
    w = x.copy()
    y = 0.5
    for _ in range(n):
        y = y * y * w[0]
    w[0] = 3.0
    return y + w[0]


@pytest.mark.parametrize(
    "function, given, why",
    [(drawn, (2.0, 3), "it draws random numbers"), (overwritten, (Y, 3), "'w' is overwritten later")],
)
def test_what_cannot_be_run_again_is_kept_and_said(function, given, why):
    compiled = nbgrad.njit(function, checkpoint=True)
    assert why in compiled.explain(*given)
    assert "segment" not in compiled.source("vjp", *given)


def test_options():
    assert "loop over segments: 0 bytes and arrays a segment" in nbgrad.njit(in_place, checkpoint=True).explain(
        Y, 0.3, 9
    )
    with pytest.raises(TypeError, match="True or a number of turns, got 'yes'"):
        nbgrad.njit(checkpoint="yes")


def test_compiled_it_takes_the_memory_of_its_segments():
    settling = nbgrad.njit(carried, checkpoint=True)
    value, gradients = settling.vjp(Y, 0.4, 50, np.ones(3))
    known, others = nbgrad.njit(carried).vjp(Y, 0.4, 50, np.ones(3))
    np.testing.assert_allclose(value, known)
    np.testing.assert_allclose(gradients[0], others[0])
    np.testing.assert_allclose(gradients[1], others[1])
