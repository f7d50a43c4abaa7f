"""Joined parts are written in place, and slices' gradients read among zeros, by loops that compute what they need."""

import numpy as np
import pytest

import nbgrad
from nbgrad import value_and_grad

pytestmark = pytest.mark.usefixtures("kernels")

RANDOM = np.random.default_rng(0)
U, M, T = RANDOM.normal(size=17), RANDOM.normal(size=(6, 8)), RANDOM.normal(size=(4, 3, 5))


def heat(u):
    for _ in range(2):
        u = np.concatenate([u[:1], u[1:-1] + 0.2 * (u[2:] - 2 * u[1:-1] + u[:-2]), u[-1:]])
    return (u**3).sum()


def filtered(m):
    return sum((m[i : i + 4, j : j + 5] * m[i + 1 : i + 5, j + 2 : j + 7]).sum() for i in range(2) for j in range(2))


def columns(m):
    """Parts that lie apart, a view among them, and an array from outside."""
    return (np.stack([m[:, 0] * m[:, 1], m[:, 2], np.sin(m[:, 3]), np.ones(6, m.dtype)], 1) ** 3).sum()


def folded(m):
    """Folds over all rows, which are known late, in one place each, or read elsewhere too."""
    total = m.sum(0)
    return (np.stack([total, np.max(m, 0), m[0] * 2], 0) ** 2 * m[:3]).sum() + (total * m[1]).sum()


def one_in_two_joins(m):
    part = np.tanh(m[:, :4])
    return (np.concatenate([part, m[:, 4:]], 1) ** 2 * np.concatenate([m[:, :2], part, part[:, :2]], 1)).sum()


def doubled(x):
    pairs = np.stack([x.reshape(3, 5)] * 2, 2)
    return np.concatenate([pairs, pairs], 1)


def of_a_product(m):
    return (np.concatenate([m @ m.T, m], 1) ** 2).sum()


def stepping(m):
    return (m[:, ::2] ** 2 * m[:, 1::2]).sum() + (m[::-1] * m[:, ::-1] * m).sum() + (m[1, 2] * m[2:4, 3])[0]


def odd_steps(m):
    return (m[:, ::3] ** 2).sum() + (m[1::4, 5] ** 3).sum()


def in_the_middle(t):
    return (
        (t[1:3, :, 1:].sum((1, 2)) ** 2).sum() + (t[:, 1:].sum(0) * t[0, 1:]).sum() + (t[:, :2, 1].sum(-1) ** 3).sum()
    )


def rows_of_padded(m):
    return (np.mean(m[1:, 2:], 1) ** 2).sum() + (nbgrad.softmax(m[:, 2:7], 1) ** 2 * m[:, 3:]).sum()


def in_pieces(t):
    """Pieces along two axes, of which together they are the whole."""
    total = 0.0
    for i in range(4):
        pieces = [t[i, :, k] for k in range(5)]
        total = total + (pieces[0] * pieces[1] * pieces[4]).sum() * (i + 1) + np.sin(pieces[2] + pieces[3]).sum()
    return total


def pieces_and_the_whole(m):
    return (m[:, :4] ** 2 * m[:, 4:]).sum() + (m[2] * m[3] * np.arange(8.0, dtype=m.dtype)).sum() + (m**3).sum()


def most_pieces(t):
    return sum((t[i, :, k] ** 2).sum() for i in range(4) for k in range(5) if (i, k) != (2, 3))


def nothing(m):
    return (np.concatenate([m[:, :0], m[:, 3:3], m * 2], 1) ** 2).sum()


PROGRAMS = {
    "heat": (heat, U),
    "filtered": (filtered, M),
    "columns": (columns, M),
    "folded": (folded, M),
    "one in two joins": (one_in_two_joins, M),
    "of a product": (of_a_product, M),
    "stepping": (stepping, M),
    "odd steps": (odd_steps, M),
    "in the middle": (in_the_middle, T),
    "rows of padded": (rows_of_padded, M),
    "nothing": (nothing, M),
    "in pieces": (in_pieces, T),
    "pieces and the whole": (pieces_and_the_whole, M),
    "most pieces": (most_pieces, T),
}
#: What the seeds of random programs found.
SMALLEST = {
    "a broadcast joined": lambda t: (np.concatenate([np.broadcast_to(M[:3, :5], (4, 3, 5)) * t[0], t], 2) ** 2).sum(0),
    "one element among others": lambda t: np.broadcast_to(t[:1, :, :2], (2, 2, 3, 2))[::-1, None, 0, 2, :] ** 2,
    "one value thrice": lambda t: (np.stack([t[0].T] * 3, 0) * 2).sum(0),
    "a reshaping with a place in a join, and none in that one's": lambda t: doubled(np.sin(t[0].T)),
}


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", PROGRAMS)
def test_values_and_gradients(name, dtype):
    function, x = PROGRAMS[name]
    x = x.astype(dtype)
    value, slope = nbgrad.jit(value_and_grad(function))(x)
    wanted, expected = value_and_grad(function)(x)
    limit = 1e-12 if dtype == "float64" else 2e-5
    assert value.dtype == slope.dtype == dtype
    np.testing.assert_allclose(value, wanted, limit)
    np.testing.assert_allclose(slope, expected, limit, limit * np.abs(expected).max())


@pytest.mark.parametrize("name", ["heat", "filtered", "columns", "folded", "stepping", "in pieces"])
def test_second_gradients(name):
    function, x = PROGRAMS[name]

    def slopes(x):
        return (np.tanh(nbgrad.grad(function)(x)) ** 2).sum()

    value, slope = nbgrad.jit(value_and_grad(slopes))(x)
    wanted, expected = value_and_grad(slopes)(x)
    np.testing.assert_allclose(value, wanted, 1e-11)
    np.testing.assert_allclose(slope, expected, 1e-9, 1e-11 * np.abs(expected).max())


@pytest.mark.parametrize("name", SMALLEST)
def test_what_random_programs_found(name):
    function = SMALLEST[name]
    np.testing.assert_allclose(nbgrad.jit(function)(T), function(T), 1e-14)

    def total(t):
        return (function(t) ** 2).sum()

    for one, other in zip(nbgrad.jit(value_and_grad(total))(T), value_and_grad(total)(T), strict=True):
        np.testing.assert_allclose(one, other, 1e-12, 1e-12)


def test_nothing_is_called():
    """Slices, stacks and their gradients are loops, and what is summed among zeros is read by one."""
    for name in ("heat", "filtered", "columns", "stepping"):
        function, x = PROGRAMS[name]
        steps = nbgrad.jit(value_and_grad(function)).explain(x).splitlines()[1:]
        labels = {line.split(". ")[1].split(":")[0] for line in steps if ". " in line and " bytes in " in line}
        assert labels and all(label.startswith("loop over") for label in labels), (name, labels)


def test_pieces_are_not_added_up_among_zeros():
    for name, casts in (("in pieces", 0), ("most pieces", 19)):
        function, x = PROGRAMS[name]
        text = nbgrad.jit(nbgrad.grad(function)).explain(x)
        assert ("cast" in text) == (casts > 0) and (not casts or f"{casts} x cast" in text)


def test_a_joined_result_is_new_memory():
    join = nbgrad.jit(lambda u: np.concatenate([u * 2, u]))
    one, other = join(U), join(U)
    assert not np.may_share_memory(one, other) and not np.may_share_memory(one, U)
    np.testing.assert_array_equal(one, np.concatenate([U * 2, U]))


@pytest.mark.parametrize("donated", [(), (0,)])
def test_a_join_is_not_written_over_its_parts(donated):
    turned = nbgrad.jit(lambda u: np.concatenate([u[8:] * 2, u[:8]]), donate_argnums=donated)
    np.testing.assert_array_equal(turned(U.copy()), np.concatenate([U[8:] * 2, U[:8]]))


def test_what_numpy_refuses():
    for wrong in (
        lambda u: np.concatenate([u, u[:, None]]),
        lambda u: np.concatenate([u, u], 1),
        lambda m: np.concatenate([m.reshape(1, 17), m.reshape(17, 1)], 0),
        lambda u: np.concatenate([u[0], u]),
    ):
        with pytest.raises((ValueError, IndexError)):
            nbgrad.jit(wrong)(U)


def test_dtypes_are_promoted():
    def joined(u):
        return np.concatenate([u > 0, u, u.astype("float32"), np.arange(3)])

    found, wanted = nbgrad.jit(joined)(U), joined(U)
    assert found.dtype == wanted.dtype
    np.testing.assert_allclose(found, wanted, 1e-15)
    truths = nbgrad.jit(lambda u: np.concatenate([u > 0, u < 1]))(U)
    np.testing.assert_array_equal(truths, np.concatenate([U > 0, U < 1]))


def test_joins_of_joins_and_a_part_that_is_a_result():
    """What only a join is made of is never an array itself; the parts' own memory is nobody else's while it is read."""

    def function(a, b, c, d):
        first = np.sin(c) * 3
        part = np.reshape(np.sin(d) * 2, ())
        return np.concatenate([np.stack([b, first, part], 0), a], 0), part[None]

    def with_a_reader(a, b, c, d):
        first = np.sin(c) * 3
        part = np.reshape(np.sin(d) * 2, ())
        inner = np.stack([b, first, part], 0)
        return np.concatenate([inner, a], 0), part[None], np.cumsum(inner) * inner

    arguments = np.array([0.1, 0.2, 0.3]), np.array(0.5), np.array(0.7), np.array([0.9])
    for each in (function, with_a_reader):
        for ours, expected in zip(nbgrad.jit(each)(*arguments), each(*arguments), strict=True):
            np.testing.assert_allclose(ours, expected, rtol=1e-14)
