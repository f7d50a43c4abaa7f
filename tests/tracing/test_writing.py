"""Writing in place in traced functions: it gives what eager mode gives, and nothing outside is written to."""

import gc

import numpy as np
import pytest
import writers
from hypothesis import given
from hypothesis import strategies as st

import nbgrad
from nbgrad import Variable
from nbgrad.tracing import picking

START = np.linspace(-1, 1, 12).reshape(3, 4) + 0.05


def both(function, *arguments):
    """Hold a compiled function's value and gradients against those of eager mode."""
    eager = nbgrad.value_and_grad(function)(*arguments)
    compiled = nbgrad.jit(nbgrad.value_and_grad(function))
    for _ in range(2):
        for ours, expected in zip(compiled(*arguments), eager, strict=True):
            np.testing.assert_allclose(ours, expected, rtol=1e-9, atol=1e-12)


def fill(w):
    x = nbgrad.zeros(3, 4)
    for i in range(3):
        x[i] = w[i] * (i + 1)
    return (x * x).sum()


def stencil(w):
    x = w.reshape(-1) * 1.0
    for _ in range(3):
        x[1:-1] = x[1:-1] * 0.5 + (x[:-2] + x[2:]) * 0.25
    return (x * x).sum()


def operators(w):
    x = w * 2
    x += 1
    x *= w
    x.sin_().mul_(3)
    x -= w.sum()
    return (x * x).sum()


def views(w):
    x = w * nbgrad.ones(3, 4)
    row, column, flat, turned = x[1], x[:, 1], x.reshape(-1), x.t()
    row *= 2
    column[0] = w.sum()
    turned[3] = 5.0
    x[1][2] = w[0, 0]
    return (x * x).sum() + (row * 3).sum() + (column * column).sum() + (flat * turned.reshape(-1)).sum()


def detached(w):
    x = w * 2
    cut = x.detach()
    part = x[1:]
    cut[1] = 7.0
    with nbgrad.no_grad():
        x *= 0.5
    return (x * x).sum() + (part * w[1:]).sum() + (cut * w).sum()


def picked(w):
    x = nbgrad.zeros(3, 4)
    x[[2, 0], 1:3] = w[:2, :2]
    x[START > 0.5] = w[0, 0]
    x.index_add_(0, [1, 1], w[:2])
    x.masked_fill_(np.array([True, False, False, False]), 2.0)
    return (x * x).sum()


@pytest.mark.parametrize("function", [fill, stencil, operators, views, detached, picked], ids=lambda f: f.__name__)
@pytest.mark.parametrize("dtype", [np.float64])
def test_compiled_writes_agree_with_eager_ones(function, dtype):
    both(function, START.astype(dtype))


def test_an_index_that_is_computed():
    def function(w, i):
        x = w * 1.0
        x[i] = w[0] * w[1]
        return (x * x).sum()

    compiled = nbgrad.jit(nbgrad.value_and_grad(function))
    for i in (0, 2):
        index = np.array(i)
        for ours, expected in zip(compiled(START, index), nbgrad.value_and_grad(function)(START, index), strict=True):
            np.testing.assert_allclose(ours, expected, rtol=1e-12)


def test_what_is_returned_may_have_been_written_to():
    def function(w):
        x = nbgrad.zeros(4)
        part = x[1:3]
        x[:2] = w[:2]
        part += 1
        return x, part

    w = nbgrad.tensor([1.0, 2.0, 3.0])
    for ours, expected in zip(nbgrad.jit(function)(w), function(w), strict=True):
        assert ours.tolist() == expected.tolist()


def test_constants_of_the_function_may_be_written_to_after_their_use():
    def function(w):
        x = nbgrad.tensor(np.arange(3.0))
        part, y = x[1:], w * x
        part += 5.0
        z = w * part[:1]
        x *= 2
        return y + x + z

    compiled = nbgrad.jit(function)
    for w in (np.ones(3), np.full(3, 2.0)):
        np.testing.assert_array_equal(compiled(w), function(w).data)
        np.testing.assert_array_equal(compiled(w), w * [0, 1, 2] + [0, 12, 14] + w * 6)


OUTSIDE = np.ones(3)


def test_arrays_from_outside_may_not_be_written_to_after_their_use():
    def function(w):
        x = Variable(OUTSIDE, requires_grad=False)
        y = w * x
        x[0] = 5.0
        return y

    with pytest.raises(TypeError, match=r"array of shape \(3,\) was changed in place after .* used it"):
        nbgrad.jit(function)(np.ones(3))


BUFFER = nbgrad.zeros(3)


def writes_to_a_global(w):
    BUFFER[0] = w.sum()
    return BUFFER * 2


def counts(w):
    BUFFER.add_(1)
    return w * 2


def test_what_only_the_graph_holds_is_not_outside_though_the_collector_was_frozen():
    """The collector finds nothing that is frozen, as it is in tests and where processes fork."""

    def function(w):
        x = nbgrad.ones(3) * 2
        y = x * w
        gc.freeze()
        x[0] = w[0]
        return (y * x).sum()

    try:
        compiled = nbgrad.jit(nbgrad.value_and_grad(function))(np.ones(3))
    finally:
        gc.unfreeze()
    assert compiled[0] == 2 + 4 + 4


@pytest.mark.parametrize("function", [writes_to_a_global, counts])
def test_what_is_outside_is_not_written_to(function):
    with pytest.raises(TypeError, match=r"shape \(3,\) from outside of the traced function was written to"):
        nbgrad.jit(function)(START)
    assert BUFFER.tolist() == [0, 0, 0] and not BUFFER.requires_grad


@pytest.mark.parametrize("change", [lambda x: x.__setitem__(0, 1.0), lambda x: x[1:].mul_(2), lambda x: x.zero_()])
def test_arguments_are_not_written_to(change):
    def function(x):
        change(x)
        return x

    x = nbgrad.tensor([1.0, 2.0, 3.0])
    with pytest.raises(TypeError, match=r"which is an argument.*x\.clone\(\)"):
        nbgrad.jit(function)(x)
    assert x.tolist() == [1, 2, 3]


@pytest.mark.usefixtures("kernels")
@pytest.mark.parametrize("more", [False, True], ids=["", "more"])
@pytest.mark.parametrize("first", [0, *[pytest.param(first, marks=pytest.mark.slow) for first in (12, 24, 36)]])
def test_random_writers_agree_with_eager_mode(first, more):
    for seed in range(first, first + (6 if more else 12)):
        program = writers.Program(seed, 4 + seed % 12, more)

        def function(w, program=program):
            return program.run(nbgrad, w)

        try:
            eager = nbgrad.value_and_grad(function)(START)
        except RuntimeError:  # elements that a rule reads were overwritten, which a compiled function still has
            continue
        try:
            compiled = nbgrad.jit(nbgrad.value_and_grad(function))(START)
        except TypeError as error:  # diagonals of slices and windows are copies there, and say so
            assert "where it would be a view" in str(error) or "what it would be a view of" in str(error), (seed, error)
            continue
        for ours, expected in zip(compiled, eager, strict=True):
            np.testing.assert_allclose(ours, expected, rtol=1e-9, atol=1e-12, err_msg=str(seed))


@given(
    *[
        st.tuples(*[st.one_of(st.integers(-4, 3), st.slices(4), st.just(slice(None))) for _ in range(2)])
        for _ in range(2)
    ]
)
def test_indices_that_are_apart_pick_no_element_twice(one, other):
    marked = np.zeros((4, 4), int)
    marked[one] += 1
    marked[other] += 1
    if picking.are_apart(one, other, (4, 4)):
        assert marked.max() < 2
    elif all(isinstance(part, int) for part in (*one, *other)):
        assert marked.max() == 2


def test_rows_are_written_at_once_and_read_as_they_were():
    def function(w):
        x = nbgrad.zeros(6, 4)
        for i in range(6):
            x[i] = nbgrad.sin(w + i) if i < 1 else x[i - 1] * w
        return (x * x).sum()

    compiled = nbgrad.jit(nbgrad.value_and_grad(function))
    w = np.linspace(0.5, 1.5, 4)
    for ours, expected in zip(compiled(w), nbgrad.value_and_grad(function)(w), strict=True):
        np.testing.assert_allclose(ours, expected, rtol=1e-12)
    forward = nbgrad.jit(function)
    forward(w)
    assert "put" not in str(forward.explain(w))  # loops write each row in its place


# ---- places and masks that are traced -------------------------------------------------------------------------------


@pytest.mark.parametrize("rows", [[0, 1, 1, 3, 0], [0, 1, 2, 3, 3], [3, -1, 0, -4, 2]])
def test_values_that_are_written_over_in_one_write_have_no_gradient(rows):
    columns = np.array([0, 1, 1, 2, 0])

    def function(v, i):
        x, y = nbgrad.zeros(4, 3), nbgrad.zeros(4, 3)
        x[i] = v
        y[i, columns] = v[:, 0]
        return (x * np.arange(12.0).reshape(4, 3)).sum() + (y * y).sum()

    both(function, np.random.default_rng(0).normal(size=(5, 3)), np.array(rows))


def masked(w):
    x, y = w * 1.0, w * 2.0
    x[w > 0.3] = 2.0
    x[w[:, 0] < -0.4] = w[1, 2]
    y.masked_fill_(w[0] > -0.7, w.sum())
    return (x * y).sum()


def test_one_value_is_written_where_a_traced_mask_holds():
    both(masked, START)


def test_several_values_where_a_traced_mask_holds_are_refused():
    def function(w):
        x = w * 1.0
        x[w > 0] = w[w > 0]
        return x.sum()

    with pytest.raises(TypeError, match=r"nbgrad\.where"):
        nbgrad.jit(nbgrad.value_and_grad(function))(START)


def guarded(w):
    x, y, z = np.zeros_like(w), np.ones_like(w), w * 1.0
    np.log(w, out=x, where=w > 0)
    np.arccosh(w + 1.2, out=y, where=w > 0)
    np.divide(w, w - w[0], out=z, where=np.abs(w - w[0]) > 0.1)
    return (x * y + z).sum()


def test_numpys_functions_are_applied_where_a_traced_mask_holds():
    both(guarded, START)
