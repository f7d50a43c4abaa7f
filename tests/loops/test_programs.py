"""Derivatives of programs with loops, run as plain Python: against differences, and back against along."""

import math

import loop_programs as programs
import numpy as np
import pytest
from plainly import check, derivative, source

import nbgrad

CASES = programs.arguments()


@pytest.mark.parametrize("function", CASES, ids=lambda function: function.__name__)
def test_programs(function):
    check(function, *CASES[function])


def test_what_a_program_calls_compiles_with_it():
    """As `python examples/loops.py` has it."""
    value, x = nbgrad.njit(programs.leapfrog)(*CASES[programs.leapfrog])
    expected, places = programs.leapfrog(*CASES[programs.leapfrog])
    np.testing.assert_allclose(value, expected, rtol=1e-13)
    np.testing.assert_allclose(x, places, rtol=1e-13)


# ---- what of Python is differentiated --------------------------------------------------------------------------------


def numbers(x, y, n):
    a = x * y + n - y / x
    b = -a + x**2 - y**3 + abs(x - y) + x**y
    b *= 2
    return b % 3.0 + (x if x < y else y * x) + max(x, y, 0.3) * min(x, 2.0) + float(n) * x + int(y) + math.floor(x)


def functions_of_numbers(x, y):
    s = math.exp(x) + np.sin(x) * math.cos(y) - np.log(y) + math.sqrt(x) + math.tanh(x) * np.arctan2(x, y)
    return s + math.erf(x) + math.lgamma(y) + np.hypot(x, y) + math.log1p(x) + np.expm1(y) + math.atan(x) + x**0.5


def branches(x, n):
    if (x > 0 and n > 2) or x < -5:
        y = x * x
    elif n == 1:
        y = math.exp(x)
        if 0 < y < 0.5:
            y = y * 3
    else:
        return x * n, 1
    return y + x, 2


def leaving(x, limit):
    s = 0.0
    for i in range(x.size):
        if x[i] < -5:
            continue
        if s > limit:
            break
        if x[i] > 100:
            return 2 * s * x[0]
        s += x[i] * x[i]
    else:
        s *= 3.0
    return s


def whiles(x):
    n = 0
    while x < 100.0 and n < 50:
        x = x * x + 1.0
        n += 1
    while True:
        x = x / 2
        if x < 3:
            return x * n


def nested_while(x, n):
    total = 0.0
    for i in range(n):
        y = x + i
        while y > 1.0:
            y = 0.5 * y * math.cos(0.1 * y)
            total += y * y
    return total


def ranges(x, n):
    s = 0.0
    for i in range(n - 1, -1, -2):
        s = s * x[i] + x[i]
    for i in range(1, n, 3):
        s += x[i] ** 2 * i
    for i in reversed(range(n)):
        s = s * 0.9 + x[i]
    for _ in range(n, 2):  # no turn
        s += x[0]
    return s + i


def iterating(x, m):
    s = 0.0
    for v in x:
        s += v * v
    for i, row in enumerate(m):
        for v, w in zip(row, x):  # noqa: B905
            s += math.sin(v * w) * i
    for a, b in ((1.0, 2.0), (3.0, x[0])):
        s += a * b
    return s


def reading_and_writing(x):
    y = np.zeros_like(x)
    y[0] = x[0]
    for i in range(1, x.size):
        y[i] = y[i - 1] * x[i]
        y[i - 1] += x[i]
        y[0] -= y[i] * 0.1
        y[i] *= 2
    return y


def added_and_read(x):
    y = np.zeros(3)
    for i in range(3):
        y[1] += x[i] * x[i] + y[i]
    return y


def all_indices(x):
    y = np.empty(x.shape, dtype=x.dtype)
    for i in np.ndindex(y.shape):
        y[i] = x[i] * x[i]
    for i, j in np.ndindex(2, 3):
        y[i, j] *= x[j, i]
    return y


def bound_in_one_branch(x, n):
    if n > 1:
        w = x * x
    s = x[0]
    if n > 1:
        s += (w * x).sum()
    return s


def slices(x):
    t = x[1:] * x[:-1]
    y = np.where(t > 0, t, -2 * t) + np.exp(x[0])
    z = np.empty_like(x)
    z[:] = 1.0
    z[1:] *= y
    z[0] = x.sum()
    z += x * x
    z[::2] = z[::-2] * 2  # each reads what the other half of the assignment writes
    return z


def matrices(a, b, v):
    c = a @ b
    d = np.dot(c, c.T) + a[:, :1] * v
    row = d[1]
    row[:] = row * row
    col = d[:, 0]
    col[1] += 3.0
    return d, (d @ v).max(), d.sum(axis=0) @ v, d.mean(), np.linalg.norm(v) + d.T[0, 1], np.outer(v, v)


def shapes(x):
    n, m = x.shape
    y = x.reshape(n * m)
    z = y.copy().reshape((m, n))
    flat = x.ravel()
    return z * flat[3] + flat.size + x.ndim, np.array([x[0, 0], y[1] * 2])


def tuples(x, y):
    pair = (x, y * x)
    for _ in range(3):
        pair = (pair[1] * 0.5, pair[0] + x)
    a, (b, c) = pair[0], (pair[1], x)
    a, b = b, a
    return a * c, (b, x)


def carried_arrays(x, n):
    y = x
    for k in range(n):
        if k % 2 == 0:
            y = y * y + x
        else:
            y = np.sin(y)
    return y.sum()


def defaults(x, *, scale=2.0):
    return x * scale


def _helper(v, w=2.0, power=2):
    if v < 0:
        return -v * w
    return v**power


def calls(x):
    def inner(u):
        return u * x[0]

    s = 0.0
    for i in range(x.size):
        s += _helper(x[i]) + _helper(x[i], power=3, w=inner(x[i]))
    return s


TABLE = np.array([1.0, -2.0, 3.0])
HALF = 0.5


def surroundings(x):
    s = 0.0
    for i in range(3):
        s += TABLE[i] * x[i] ** 2 * HALF
    return s


def gathered(x, places):
    s = 0.0
    for i in places:
        s += x[i] * x[places[0]]
    return s + (x[places] * 2).sum()


def several_names(x):
    a = np.zeros(3)
    b = a
    b[0] = x[0] * x[1]
    c = a[:2]
    c[1] = b[0] * x[2]
    return a * a[0]


def written_in_a_branch(x, n):
    best, place = -1e9, 0
    for i in range(x.size):
        v = 1.0
        for j in range(i, -1, -1):
            v = v * x[j] + math.sin(v)
            if v > n:
                v = v / 2
        if v > best:
            best, place = v, i
    return best * x[place]


def bounds_of_data(x, counts):
    s = 0.0
    for i in range(counts.size):
        t = 1.0
        for j in range(counts[i]):
            t *= x[j]
        s += t * t
    return s


def reductions(x):
    return x.mean() * x.max() - x.min() + x.prod() + np.var(x) + np.std(x) + sum(x) + np.sum(x * x)


def no_dependence(x, n):
    return n * 2.0, n, np.zeros(3)


RNG = np.random.default_rng(3)
X, M = RNG.normal(size=6), RNG.normal(size=(3, 4))

CONSTRUCTS = [
    (numbers, 1.3, 0.7, 3), (numbers, 0.4, 2.2, -1), (functions_of_numbers, 0.6, 1.7), (branches, 1.5, 3),
    (branches, -1.5, 1), (branches, -1.5, 0), (leaving, X, 0.5), (leaving, X, 100.0),
    (leaving, np.array([1.0, 2.0, 101.0, 5.0]), 100.0), (whiles, 1.2), (nested_while, 1.5, 4), (ranges, X, 6),
    (iterating, X[:4], M), (reading_and_writing, X),
    (added_and_read, X),
    (all_indices, M),
    (bound_in_one_branch, X, 2),
    (bound_in_one_branch, X, 1), (slices, X), (matrices, M[:, :3], M[:3, 1:], X[:3]), (shapes, M),
    (tuples, 1.2, 0.8), (carried_arrays, X, 3), (calls, X), (surroundings, X), (gathered, X, np.array([3, 1, 1])),
    (several_names, X), (written_in_a_branch, X, 1.0), (bounds_of_data, X, np.array([2, 0, 4])), (reductions, X),
    (no_dependence, 1.5, 2),
]  # fmt: skip


@pytest.mark.parametrize("case", CONSTRUCTS, ids=lambda case: case[0].__name__)
def test_constructs(case):
    check(*case)


@pytest.mark.parametrize("layout", ["strided", "fortran", "reversed", "empty", "broadcast"])
def test_layouts(layout):
    x = {
        "strided": RNG.normal(size=(8, 6))[::2, ::2],
        "fortran": np.asfortranarray(M),
        "reversed": M[::-1, ::-1],
        "empty": np.zeros((0, 4)),
        "broadcast": np.broadcast_to(X[:4], (3, 4)),
    }[layout]

    def squares(x):
        s = 0.0
        for i in range(x.shape[0]):
            for j in range(x.shape[1]):
                s += x[i, j] ** 3
        return s, (x * x).sum()

    check(squares, x)


def test_float32_stays():
    def f(x, a):
        s = np.float32(0)
        for v in x:
            s += v * v * a
        return s

    x = np.array([1.0, 2.0], np.float32)
    _, (gx, ga) = derivative(f, "vjp", (x, np.float32(2)))(x, np.float32(2), np.float32(1))
    assert (gx.dtype, ga.dtype) == (np.float32, np.float32)
    np.testing.assert_array_equal(gx, [4.0, 8.0])


def test_a_branch_not_taken_contributes_nothing():
    def f(x):
        s = 0.0
        for i in range(x.size):
            if x[i] > 0:
                s += math.log(x[i]) + x[i] ** 0.5
            s += 1.0 / x[i] if x[i] > 0 else 0.0
        return s

    with np.errstate(all="ignore"):
        _, (g,) = derivative(f, "vjp", (X,))(np.array([0.0, 1.0, -1.0]), 1.0)
    np.testing.assert_allclose(g, [0.0, 0.5, 0.0])


def test_what_is_written_to_is_given_by_functions_that_return_nothing():
    def f(x, out):
        for i in range(x.size):
            out[i] = x[i] * x[i] * out[i]

    x, out, g = X.copy(), X + 1, np.ones(6)
    value, (gx, gout) = derivative(f, "vjp", (x, out))(x, out, g)
    np.testing.assert_array_equal(out, X + 1)
    np.testing.assert_allclose(value, X * X * (X + 1))
    np.testing.assert_allclose(gx, 2 * X * (X + 1))
    np.testing.assert_allclose(gout, X * X)


def test_arguments_that_share_memory_are_refused_where_one_is_written_to():
    def f(x, out):
        for i in range(x.size):
            out[i] = x[i] * out[i]
        return out.sum()

    memory = X.copy()
    run = derivative(f, "vjp", (X, X))
    for x, out in ((memory, memory), (memory[1:], memory[:-1]), (memory[::-1], memory)):
        with pytest.raises(ValueError, match="share memory"):
            run(x, out, 1.0)
    run(memory[:3], memory[3:], 1.0)


def test_only_what_is_wanted_is_computed():
    def f(x, y):
        return math.exp(x) * y

    text, _ = source(f, "vjp", (1.0, 2.0), (False, True))
    assert "x_bar" not in text and "y_bar" in text


def test_little_is_kept():
    """Linear sums, and what arrays that nobody writes to give, is not; what loops carry and squares need is."""

    def linear(x, w):
        s = 0.0
        for i in range(x.size):
            s += w[i] * x[i] * x[i]
        return s

    def carried(x, n):
        for _ in range(n):
            x = x * x
        return x

    assert "np.empty" not in source(linear, "vjp", (X, X))[0]
    assert source(carried, "vjp", (1.0, 3))[0].count("np.empty") == 1


def test_derivatives_of_gradients():
    """The tangent of a gradient's source, which is read and differentiated like any other."""
    import linecache

    from plainly import Names

    from nbgrad.loops.compiled import defined
    from nbgrad.loops.support import OURS, common_names

    for function in (programs.hidden_markov, programs.smoothing, programs.soft_dtw, programs.lotka_volterra):
        given = CASES[function]
        text, constants = source(function, "vjp", given)
        gradient = defined("derivative", text, Names(common_names() | OURS | constants))
        value = function(*given)
        cotangent = np.ones_like(value) if isinstance(value, np.ndarray) else 1.0
        along = derivative(gradient, "jvp", (*given, cotangent))
        rng = np.random.default_rng(0)
        moving = [np.asarray(x).dtype.kind == "f" for x in given]
        directions = [rng.normal(size=np.shape(x)) if moves else None for x, moves in zip(given, moving, strict=True)]

        def at(step, given=given, directions=directions, gradient=gradient, cotangent=cotangent):
            shifted = [x if d is None else x + step * d for x, d in zip(given, directions, strict=True)]
            return [g for g in gradient(*shifted, cotangent)[1] if g is not None]

        given_tangents = [d if np.ndim(d) else float(d) for d in directions if d is not None]
        _, (_, tangents) = along(*given, cotangent, *given_tangents, 0 * cotangent)
        tangents = [t for t, moves in zip(tangents, moving, strict=True) if moves]
        for tangent, high, low in zip(tangents, at(1e-6), at(-1e-6), strict=True):
            np.testing.assert_allclose(tangent, (high - low) / 2e-6, rtol=1e-4, atol=1e-5)
        assert linecache.cache


def test_branches_that_derivatives_do_not_go_through_keep_nothing():
    def nearest(x, y):
        total = 0.0
        for i in range(x.size):
            closest, place = math.inf, 0
            for j in range(y.size):
                distance = (x[i] - y[j]) ** 2
                if distance < closest:
                    closest, place = distance, j
            total += (x[i] - y[place]) ** 2
        return total

    check(nearest, X, X[:3] + 0.1)
    text, _ = source(nearest, "vjp", (X, X[:3]))
    assert "test_kept" not in text and text.count("for j in") == 1
