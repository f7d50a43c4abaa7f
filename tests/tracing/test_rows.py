"""Rows that positions pick, and add up, in the loops that compute with them."""

import numpy as np
import pytest

import nbgrad
from nbgrad.tracing import rows


@pytest.fixture
def any_size(monkeypatch):
    """Have rows go into loops however few they are."""
    monkeypatch.setattr(rows, "_MANY", 0)
    monkeypatch.setattr(rows, "_TIMES", 0)


def squares(table, y, positions):
    return ((table[positions] - y) ** 2).sum()


def columns(table, y, positions):
    """What is picked is read slice by slice."""
    c = table[positions]
    return ((c[:, 0] + y[:, 0] * c[:, -1]) ** 2).sum()


def rows_folded(table, y, positions):
    return nbgrad.exp(0.1 * (table[positions] * y).sum(-1)).sum()


def computed(table, y, positions):
    """Both the table and what is read of it are values of loops."""
    return (nbgrad.tanh(table)[positions][1:] * y[:-1]).sum()


def strided(table, y, positions):
    return (table[::2, ::2][positions // 2] * y[:, ::2] * table.T[:, positions].T[:, ::2]).sum()


def segments(table, y, positions):
    """Rows go from table to table, without an array of their own."""
    table = nbgrad.tanh(table)
    into = nbgrad.zeros(table.shape, dtype=table.dtype).index_add(0, (positions + 1) % len(table), table[positions])
    return (into * into).sum() + (y * y).sum()


def many_steps(table, y, positions):
    """The loop is cut into parts."""
    picked = table[positions]
    for step in range(80):
        picked = nbgrad.tanh(picked * y + 0.1 * step) + 0.01 * table[positions]
    return picked.sum()


def stacked(table, y, positions):
    positions = positions.reshape(3, -1)
    return (table[positions] * y.reshape(*positions.shape, -1)).mean(1).sum() + table[positions, 0].sum()


def folded_together(table, y, positions):
    """What is folded goes on over several rows that positions pick."""
    positions = positions.reshape(6, -1)
    return ((table[positions] * y.reshape(*positions.shape, -1)).sum((1, 2)) ** 2).sum()


FUNCTIONS = (squares, columns, rows_folded, computed, strided, segments, many_steps, stacked, folded_together)


def both(function, *arrays):
    """Compare value and gradients, and the gradients of these, with those of eager mode."""
    numbers = tuple(i for i, x in enumerate(arrays) if x.dtype.kind == "f")

    def slopes(*arrays):
        return sum((g**2).sum() for g in nbgrad.grad(function, numbers)(*arrays))

    jitted = nbgrad.jit(nbgrad.value_and_grad(function, numbers))
    twice = nbgrad.jit(nbgrad.value_and_grad(slopes, numbers))
    tolerance = 1e-4 if arrays[0].dtype == np.float32 else 1e-10
    for compiled, eager in (
        (jitted, nbgrad.value_and_grad(function, numbers)),
        (twice, nbgrad.value_and_grad(slopes, numbers)),
    ):
        (value, found), (expected_value, expected) = compiled(*arrays), eager(*arrays)
        np.testing.assert_allclose(value, expected_value, rtol=tolerance)
        for x, y in zip(found, expected, strict=True):
            assert x.dtype == y.dtype and x.shape == y.shape
            np.testing.assert_allclose(x, y, rtol=tolerance, atol=tolerance * max(1, np.abs(y).max(initial=0)))


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda function: function.__name__)
@pytest.mark.parametrize(("dtype", "width", "kind"), [("float64", 5, np.int64), ("float32", 1, np.int32)])
def test_loops_read_and_add_up_rows(function, dtype, width, kind, kernels, any_size):
    random = np.random.default_rng(0)
    table, y = random.standard_normal((8, width)).astype(dtype), random.standard_normal((60, width)).astype(dtype)
    positions = random.integers(0, 8, 60).astype(kind)  # most of them several times
    if function is not strided and function is not segments:
        positions[::3] -= 8
    both(function, table, y, positions)


@pytest.mark.parametrize("count", [0, 1, 2])
def test_few_rows(count, kernels, any_size):
    table, y = np.arange(6.0).reshape(2, 3), np.ones((count, 3))
    both(squares, table, y, np.full(count, -1))
    both(squares, table[:, 0].copy(), y[:, 0].copy(), np.full(count, 1))


@pytest.mark.parametrize("function", [squares, columns, segments], ids=lambda function: function.__name__)
def test_rows_of_large_arrays_are_in_loops_and_the_same_for_any_number_of_threads(function):
    random = np.random.default_rng(0)
    table, y = random.standard_normal((100, 4)), random.standard_normal((20_000, 4))
    positions = random.integers(0, 100, 20_000)
    threads, found = nbgrad.get_num_threads(), []
    jitted = nbgrad.jit(nbgrad.value_and_grad(function, (0, 1)))
    for count in (1, 3):
        nbgrad.set_num_threads(count)
        try:
            found.append(jitted(table, y, positions))
        finally:
            nbgrad.set_num_threads(threads)
    said = jitted.explain(table, y, positions)
    assert "gather" not in said and "scatter" not in said
    assert found[0][0] == found[1][0]
    for x, z in zip(found[0][1], found[1][1], strict=True):
        np.testing.assert_array_equal(x, z)
    _, expected = nbgrad.value_and_grad(function, (0, 1))(table, y, positions)
    for x, z in zip(found[0][1], expected, strict=True):
        np.testing.assert_allclose(x, z, rtol=1e-10, atol=1e-10)


def test_what_a_large_table_adds_up_stays_a_step_of_its_own():
    """Each block of a loop would need a table as large as what is added."""
    positions = np.arange(20_000) % 5000
    jitted = nbgrad.jit(nbgrad.grad(lambda table: (table[positions] ** 2).sum()))
    assert "scatter" in jitted.explain(np.ones((5000, 4)))


@pytest.mark.parametrize("wrong", [8, -9])
def test_a_position_outside_is_refused_by_every_run(wrong, kernels, any_size):
    table, y, positions = np.ones((8, 5)), np.ones((60, 5)), np.zeros(60, np.int64)
    jitted = nbgrad.jit(nbgrad.value_and_grad(squares))
    jitted(table, y, positions)
    positions[7] = wrong
    with pytest.raises(IndexError) as said:
        squares(table, y, positions)
    with pytest.raises(IndexError) as compiled:
        jitted(table, y, positions)
    assert str(8) in str(compiled.value) and str(8) in str(said.value)
    positions[7] = 1
    value, _ = jitted(table, y, positions)
    assert value == 0
