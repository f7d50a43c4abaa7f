"""What has no derivative is a TypeError that names line and construct; the function itself works all the same."""

import numpy as np
import pytest
from plainly import source

import nbgrad


def recursive(x):
    return x if x < 1 else recursive(x / 2)


def with_list(x):
    items = [x, x * 2]
    items.append(x)
    return items[0]


def with_dict(x):
    d = {1: x}
    return d[1]


def comprehension(x):
    return sum([v * v for v in x if v > 0])


def caught(x):
    try:
        return x
    except ValueError:
        return 0.0


def generator(x):
    yield x


def text(x):
    return len(f"{x}") * x


def starred(*x):
    return x


def solved(a, b):
    return np.linalg.lstsq(a, b)


def mask(x, y):
    return x[x > 0, 0].sum()


def two_kinds(x, n):
    y = x
    if n > 2:
        y = np.zeros(3)
    return y


def two_names(x, n):
    u = np.zeros(3)
    v = np.zeros(3)
    for i in range(n):
        u = v
        v[0] = u[0] * x + i
    return u[0]


def complexes(x):
    return (1j * x).imag


def axes(a):
    return np.concatenate((a.reshape(1, 3, 3), a.reshape(1, 3, 3)))


def order(a):
    return np.diff(a[0], 2)


def based(x):
    return np.log(x, 2.0)


def nothing_at_times(x, n):
    if n > 2:
        return None
    return x


A = np.eye(3)


@pytest.mark.parametrize(
    "function, arguments, match",
    [
        (recursive, (3.0,), "line 11: recursive, which calls itself"),
        (with_list, (3.0,), "line 16: .*attribute 'append'"),
        (with_dict, (3.0,), "line 21: a dict"),
        (comprehension, (A[0],), "line 26: a list comprehension with a condition"),
        (caught, (3.0,), "line 30: the statement 'try'"),
        (generator, (3.0,), "a generator"),
        (text, (3.0,), "a string"),
        (starred, (3.0,), r"\*args"),
        (solved, (A, A[0]), r"a call of numpy.linalg.*lstsq"),
        (mask, (A, A[0]), "this index"),
        (two_kinds, (3.0, 3), "'y', a number after one way"),
        (two_names, (3.0, 3), "two names"),
        (complexes, (3.0,), "line 73: a complex number"),
        (axes, (A,), "axes, line 77: numpy.concatenate of these arguments"),
        (order, (A,), "order, line 81: numpy.diff of these arguments"),
        (based, (3.0,), "line 85: log of 2 arguments"),
        (nothing_at_times, (3.0, 3), "what is returned, which is something else"),
    ],
    ids=lambda x: getattr(x, "__name__", ""),
)
def test_refusals(function, arguments, match):
    with pytest.raises(TypeError, match=match):
        source(function, "vjp", arguments)


def test_the_function_itself_works():
    @nbgrad.njit
    def listed(x):
        items = [x]
        items.append(x * 2)
        return items[1]

    assert listed(2.0) == 4.0
    with pytest.raises(TypeError, match="njit: listed, line"):
        nbgrad.grad(listed)(2.0)
    assert listed(3.0) == 6.0
    with pytest.raises(TypeError, match="njit: listed, line"):
        listed(nbgrad.tensor(2.0, requires_grad=True)).backward()
