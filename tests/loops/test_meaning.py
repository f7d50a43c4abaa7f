"""Programs mean in derivatives what they mean in Python: in which order, of which elements, with which values."""

import math

import numpy as np
import pytest
from plainly import check, derivative

import nbgrad

X = np.array([0.7, -1.2, 0.4, 1.9, 0.3])
M = np.random.default_rng(3).normal(size=(4, 4))


def operands(x, n):
    y = x or 2.0
    z = n and x * 3
    w = (n > 5) or (x and math.sin(x)) or 1.0
    return y * x + z * x + w


@pytest.mark.parametrize("x, n", [(0.7, 3), (0.7, 0), (0.2, 7)])
def test_and_and_or_give_their_operands(x, n):
    check(operands, x, n)


def test_and_and_or_give_their_operands_compiled():
    compiled = nbgrad.njit(operands)
    for x, n in ((0.0, 3), (0.7, 0), (0.2, 7)):
        assert compiled(x, n) == compiled.vjp(x, n, 1.0)[0] == pytest.approx(operands(x, n))


# ---- whole arrays in the place of what they are made of --------------------------------------------------------------


def less_its_sums(a):
    a = a.copy()
    a -= a.sum(axis=0)
    a *= a.max(axis=1)
    return a


def squared_in_place(a, n):
    m = a.copy()
    for _ in range(n):
        m[:] = m @ m * 0.3
    m[:] = np.dot(m, m)
    return m


def places_of_places(x, places):
    p = places.copy()
    p[:] = p[p]
    return x * x[p]


@pytest.mark.parametrize("arguments", [(less_its_sums, M), (squared_in_place, M, 2),
                                       (places_of_places, X, np.array([1, 2, 3, 4, 0]))])  # fmt: skip
def test_elements_are_read_before_others_are_written(arguments):
    check(*arguments)


# ---- what a call writes to -------------------------------------------------------------------------------------------


def doubled(s):
    s[0] *= 2.0
    return s[0]


def both(a, b=1.0):
    return a * 3 + b


def in_a_sum(x):
    s = x.copy()
    return s[0] + doubled(s) * s[0]


def in_a_tuple(x):
    s = x.copy()
    a, b = s[0], doubled(s)
    return a * 3 + b, (s[0], doubled(s))


def among_arguments(x):
    s = x.copy()
    return both(s[0], doubled(s)) + both(s[0], b=doubled(s)) + both((s * 2).sum(), doubled(s))


def added_to(x):
    s = x.copy()
    s[0] += doubled(s) * s[1]
    s[:2] *= doubled(s)
    s[s > 0.5] -= doubled(s)
    return s


def of_whole_arrays(x):
    s = x.copy()
    y = s * 2 + doubled(s)
    return y + s + doubled(s), (s * s).dot(y * doubled(s))


def in_a_comparison(x):
    s = x.copy()
    return s[0] * 2 if s[0] < doubled(s) else s[0]


@pytest.mark.parametrize(
    "function", [in_a_sum, in_a_tuple, among_arguments, added_to, of_whole_arrays, in_a_comparison]
)
def test_operands_are_read_before_calls_behind_them_write(function):
    check(function, X)


# ---- whole numbers and truth values that are overwritten -------------------------------------------------------------


def counted(x, places):
    counts = np.zeros(3, np.int64)
    s = 0.0
    for i in range(x.size):
        counts[places[i]] += 1
        s += x[i] * x[i] * counts[places[i]]
    return s


def flipped(x, spins):
    spins = spins.copy()
    t = 0.0
    for i in range(spins.size):
        t += x[i] * spins[i] * spins[i - 1]
        spins[i] = 3 - spins[i]
    return t


def seen_before(x):
    seen = np.zeros(x.size, np.bool_)
    t = 0.0
    for i in range(x.size):
        seen[i * 3 % 5] = True
        t += x[i] * seen[i]
    return t


def of_one_turn(x):
    t = 0.0
    for i in range(x.size):
        c = np.zeros(2, np.int32)
        for j in range(i):
            c[j % 2] += 1
        steps = (1, -1, i)
        t += x[i] * x[i] * c[0] + x[i] * c[1] + x[steps[i % 2]] * steps[i % 3]
    return t


@pytest.mark.parametrize("arguments", [(counted, X, np.array([0, 1, 0, 2, 0])), (seen_before, X), (of_one_turn, X),
                                       (flipped, X, np.array([1, -1, 1, 1, -1]))])  # fmt: skip
def test_factors_that_are_whole_numbers_are_those_of_their_turn(arguments):
    check(*arguments)
    check(*arguments, checkpoint=2)


# ---- NaN and no elements ---------------------------------------------------------------------------------------------


def extremes(x):
    return x.max(), np.min(x), np.argmax(x), x.argmin()


def test_what_is_not_a_number_is_the_greatest_and_the_least():
    for place in range(3):
        x = np.array([1.0, 3.0, 2.0])
        x[place] = np.nan
        (*values, first, last), _ = derivative(extremes, "vjp", (x,))(x, 1.0, 1.0)
        assert np.isnan(values).all() and first == last == place
    check(extremes, X)


@pytest.mark.parametrize("function", [np.max, np.min, np.argmax, np.argmin], ids=lambda function: function.__name__)
def test_no_elements_have_no_greatest_one(function):
    def picked(x):
        return function(x) * 1.0 + x.sum()

    compiled = nbgrad.njit(picked)
    with pytest.raises(ValueError, match="without elements"):
        compiled.vjp(np.empty(0), 1.0)


def test_one_number_of_linspace_is_the_first():
    def spread(a, b):
        return np.linspace(a, b, 1)[0] + np.linspace(a, b, 3).sum()

    check(spread, 0.4, 1.3)


# ---- what else says --------------------------------------------------------------------------------------------------


def ended_by_its_condition(x, limit):
    s, n = 0.0, 0
    while x[n] < limit:
        s += x[n] ** 2
        n += 1
        if n == x.size:
            break
    else:
        s *= 3.0
    return s


def leaving_by_else(x, limit):
    s = 0.0
    for i in range(x.size):
        for j in range(i):
            if x[j] > limit:
                s += x[i]
                break
        else:
            if i > 3:
                s *= x[i]
                break
            continue
        s *= 1.1
    else:
        s += 100 * x[0]
    return s


def returning_by_else(x, limit):
    for i in range(x.size):
        if x[i] > limit:
            return x[i] * 2
    else:
        return x[0] * x[1]


@pytest.mark.parametrize("function", [ended_by_its_condition, leaving_by_else, returning_by_else])
@pytest.mark.parametrize("limit", [0.5, 1.0, 5.0])
def test_else_of_loops(function, limit):
    check(function, X, limit)


def seldom(x):
    a, b = x[0], x[3]
    s = math.gamma(b) + math.gamma(x[1]) + math.degrees(a) * 0.01 + np.deg2rad(b) + math.ldexp(a, 3)
    return s + math.copysign(a, x[1]) * b + np.copysign(x[1], -1.0) + np.remainder(b * 5, a), np.radians(x)


def test_seldom_functions():
    check(seldom, X)
