"""Loops that pick rows and add them up, launched as jit does."""

import numpy as np
import pytest

from nbgrad.kernels.cpu import launch, rows


def run(what, first, positions, result, inner=None):
    """Launch the loop; gives whether a position was outside."""
    count = (first if what == rows.PICKED else result).shape[0]
    if first.ndim == 2:
        first = first[None]
    inner = len(positions) if inner is None else inner
    sizes = count, len(positions), inner, result.shape[1]
    steps = [step // first.itemsize for step in first.strides] + [positions.strides[0] // 8]
    found, _ = rows.launch(what, first.dtype.name, sizes, steps, [0] * 4)
    failed = np.array([0 if found.blocks > 1 else 7])
    launch.launcher(found)(first, positions, result, failed)
    return bool(failed[0]), found.blocks


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("width", [0, 1, 3, 7, 16, 17, 100])
@pytest.mark.parametrize("number", [1, 9, 5000])
def test_rows(dtype, width, number):
    random = np.random.default_rng(0)
    table = random.standard_normal((40, width)).astype(dtype)
    wide = random.integers(-40, 40, (number, 2))
    for positions in (wide[:, 0].copy(), wide[:, 1], wide[::-1, 0]):
        found = np.full((number, width), np.nan, dtype)
        assert not run(rows.PICKED, table, positions, found)[0]
        np.testing.assert_array_equal(found, table[positions])
        across = np.asfortranarray(table)
        assert not run(rows.PICKED, across, positions, found)[0]
        np.testing.assert_array_equal(found, table[positions])
        for given in (table[positions], np.asfortranarray(table[positions])):
            total, expected = np.full((40, width), np.nan, dtype), np.zeros((40, width), dtype)
            assert not run(rows.ADDED, given, positions, total)[0]
            np.add.at(expected, positions, given)  # in the order of the positions, to the bit
            np.testing.assert_array_equal(total, expected)


def test_stretches_of_equal_rows():
    positions, given = np.arange(12) * 5 % 7, np.arange(8.0).reshape(4, 1, 2)
    repeated = np.broadcast_to(given, (4, 3, 2))
    total, expected = np.empty((7, 2)), np.zeros((7, 2))
    assert not run(rows.ADDED, repeated, positions, total, inner=3)[0]
    np.add.at(expected, positions, repeated.reshape(12, 2))
    np.testing.assert_array_equal(total, expected)


@pytest.mark.parametrize("what", [rows.PICKED, rows.ADDED])
@pytest.mark.parametrize("position", [-6, 5, 2**62, -(2**63)])
@pytest.mark.parametrize("number, width", [(3, 2), (20_000, 100)])
def test_positions_outside_are_noted_and_nothing_is_read_there(what, position, number, width):
    positions = np.zeros(number, np.int64)
    positions[number // 2] = position
    shapes = ((5, width), (number, width)) if what == rows.PICKED else ((number, width), (5, width))
    outside, blocks = run(what, np.ones(shapes[0]), positions, np.empty(shapes[1]))
    assert outside and (blocks > 1) == (number > 3)
