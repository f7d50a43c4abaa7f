"""Loops over the same lines of a matrix, compiled and shared among threads."""

import numpy as np
import pytest

import nbgrad
from nbgrad.kernels.cpu import chain, matrix_vector


def slopes(w, x, y):
    rest = x @ w - y
    return (rest**2).sum(), rest @ x


def with_threads(count, function, *arrays):
    before = nbgrad.get_num_threads()
    nbgrad.set_num_threads(count)
    try:
        return function(*arrays)
    finally:
        nbgrad.set_num_threads(before)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("rows, columns", [(5003, 101), (20_011, 33), (101, 5003)])
def test_results_are_exact_and_the_same_for_any_number_of_threads(rows, columns, dtype):
    random = np.random.default_rng(0)
    w, x, y = (random.normal(size=shape).astype(dtype) for shape in (columns, (rows, columns), rows))
    jitted = nbgrad.jit(slopes)
    assert "in lines" in jitted.explain(w, x, y)
    found = [with_threads(count, jitted, w, x, y) for count in (1, 2, 3)]
    for each in found:
        assert [part.tobytes() for part in each] == [part.tobytes() for part in found[0]]
    eps = np.finfo(dtype).eps
    wide = [each.astype(np.longdouble) for each in (w, x, y)]
    exact, rest = slopes(*wide), abs(wide[1] @ wide[0] - wide[2])
    slack = columns * eps * (abs(wide[1]) @ abs(wide[0]) + abs(wide[2]))  # of an element of the first product
    bound = (slack + rows * eps * rest) @ abs(wide[1])
    assert (abs(found[0][1] - exact[1]) <= bound).all()
    assert abs(found[0][0] - exact[0]) <= (2 * slack * rest + slack**2).sum() + 4 * eps * exact[0]


def test_which_matrices_are_gone_through_in_blocks():
    def form(folds, lines, length, step=1):
        return matrix_vector.Form(folds, False, lines, length, length, step)

    number = "float64"
    assert chain.lines_of(number, form(True, 2000, 50), form(False, 2000, 50)) % 8 == 0
    assert chain.lines_of(number, form(True, 100, 100_000), form(False, 100, 100_000)) == 8
    assert chain.lines_of(number, form(True, 100, 50), form(False, 100, 50)) is None  # it is in a cache anyway
    assert chain.lines_of(number, form(False, 2000, 50), form(False, 2000, 50)) is None
    assert chain.lines_of(number, form(True, 2000, 50), form(True, 2000, 50)) is None
    assert chain.lines_of(number, form(True, 2000, 50), form(False, 1999, 50)) is None
    assert chain.lines_of(number, form(True, 2000, 50, 2), form(False, 2000, 50)) is None
    assert chain.lines_of(number, form(True, 2000, 50), form(False, 2000, 50, -1)) is None


@pytest.mark.parametrize("lines, each", [(1, 8), (8, 8), (9, 8), (136, 8), (2000, 8), (2001, 328)])
def test_blocks_of_one_sum_are_all_lines(lines, each):
    together, parts = chain.blocks_of(lines, each)
    blocks = -(-lines // each)
    assert parts <= chain.BLOCKS and (parts - 1) * together < blocks <= parts * together
