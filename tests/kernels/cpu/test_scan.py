"""Scans of every layout and length, against exactly rounded sums: bits depend on the line alone."""

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest

import nbgrad
from nbgrad.kernels.cpu import scan
from nbgrad.kernels.cpu.scan import recur, scan_array

NAMES = ["cumsum", "cumprod", "cummax", "logcumsumexp"]


def numbers(shape, dtype="float64", seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(dtype)


def first(result):
    """The values of a scan, beside which there may be places."""
    return result[0] if isinstance(result, tuple) else result


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_bits_of_a_line_depend_on_nothing_else(name, dtype):
    """Alone, among others that are neighbours or not, forwards or back, and whoever computes it."""
    for lines, k in ((70, 43), (9, 131), (130, 9), (8, 8), (300, 1)):
        x = numbers((lines, k), dtype)
        alone = np.stack([first(scan_array(name, x[i], 0)) for i in range(lines)])
        for layout in (x, np.asfortranarray(x), np.repeat(x, 2, 1)[:, ::2], x[::-1][::-1]):
            np.testing.assert_array_equal(first(scan_array(name, layout, 1)), alone)
            np.testing.assert_array_equal(first(scan_array(name, layout[:, ::-1], 1, True)), alone[:, ::-1])
            np.testing.assert_array_equal(first(scan_array(name, layout.T, 0)), alone.T)
            np.testing.assert_array_equal(first(scan_array(name, layout[::-1], 1)), alone[::-1])


@pytest.mark.parametrize("name", ["cumsum", "cummax"])
def test_the_same_bits_whatever_the_number_of_threads(name):
    before = nbgrad.get_num_threads()
    arrays = [numbers((400, 1001)), numbers(300_001), numbers((3, 150_000))]
    try:
        found = []
        for count in (1, 2, 3):
            nbgrad.set_num_threads(count)
            found.append([first(scan_array(name, x, x.ndim - 1)) for x in arrays])
    finally:
        nbgrad.set_num_threads(before)
    for one, two, three in zip(*found, strict=True):
        np.testing.assert_array_equal(one, two)
        np.testing.assert_array_equal(one, three)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_running_sums_are_right_to_one_place(dtype):
    x = numbers(scan._LONG + 4011, dtype) * 1e3 + 300
    for lines, reverse in itertools.product((x, np.stack([x[:5000]] * 9), x[:5000]), (False, True)):
        y = scan_array("cumsum", lines, lines.ndim - 1, reverse)
        line, values = lines.reshape(-1, lines.shape[-1])[0], y.reshape(-1, lines.shape[-1])[-1]
        line, values = (line[::-1], values[::-1]) if reverse else (line, values)
        for place in (0, 1, 63, 999, 1000, 4000, len(line) - 1):
            exact = math.fsum(line[: place + 1].tolist())
            assert abs(values[place] - exact) <= np.spacing(np.dtype(dtype).type(abs(exact)))


def test_what_cancels_is_kept():
    x = np.concatenate([[2.0**60], np.ones(70_000), [-(2.0**60)], np.full(300, 0.5)])
    y = scan_array("cumsum", x, 0)
    assert y[70_001] == 70_000
    assert y[-1] == 70_150
    assert scan_array("cumsum", x[:5000], 0, True)[0] == float(sum(map(Fraction, x[:5000].tolist())))


@pytest.mark.parametrize("name", NAMES)
def test_pieces_of_a_long_line_fit_together(name):
    """Elements near the ends of pieces, and of what is looked through before it is scanned."""
    random = np.random.default_rng(1)
    for k in (scan._LONG - 1, scan._LONG, scan._LONG + 1, scan._CACHED + 1029):
        x = random.uniform(0.9999, 1.0001, k)
        wanted = {
            "cumsum": lambda x: np.cumsum(x.astype(np.longdouble)),
            "cumprod": np.cumprod,
            "cummax": np.maximum.accumulate,
            "logcumsumexp": lambda x: np.log(np.cumsum(np.exp(x.astype(np.longdouble)))),
        }[name]
        np.testing.assert_allclose(first(scan_array(name, x, 0)), wanted(x).astype(float), rtol=1e-15 * k**0.5)
        np.testing.assert_allclose(first(scan_array(name, x, 0, True))[::-1], wanted(x[::-1]).astype(float), rtol=1e-12)


def test_places_count_through_all_pieces():
    x = np.arange(scan._CACHED + 3000) // 100 % 7
    x = np.sqrt(x + np.arange(x.size) * 1e-9)
    values, places = scan_array("cummax", x, 0)
    np.testing.assert_array_equal(x[places], values)
    equal = scan_array("cummin", np.zeros((2, scan._LONG)), 1)[1]
    np.testing.assert_array_equal(equal, [np.arange(scan._LONG)] * 2)


@pytest.mark.parametrize("splits", [False, True])
def test_infinities_and_nan(splits):
    inf, nan = math.inf, math.nan
    for head in ([0, 1, inf, 1], [inf, 1, -inf], [nan, 1], [-inf, -inf, 1], [inf, 0, 1], [1e308, 1e308, -1e308]):
        x = np.array(head + [0.5] * (scan._LONG if splits else 5) + head)
        with np.errstate(all="ignore"):
            np.testing.assert_allclose(scan_array("cumsum", x, 0), np.cumsum(x), rtol=1e-14)
            np.testing.assert_allclose(scan_array("cumprod", x, 0), np.cumprod(x), rtol=1e-14)
            np.testing.assert_allclose(scan_array("logcumsumexp", x, 0), np.logaddexp.accumulate(x), rtol=1e-10)
            np.testing.assert_array_equal(scan_array("cummax", x, 0)[0], np.maximum.accumulate(x))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_recurrences_go_either_way(dtype):
    for shape in ((1,), (7,), (70, 20), (9, 20), (3, 0)):
        for axis in range(len(shape)):
            b = numbers(shape, dtype)
            a = numbers((*shape[:axis], max(shape[axis] - 1, 0), *shape[axis + 1 :]), dtype, 1)
            lines, factors = np.moveaxis(b, axis, 0).astype(float), np.moveaxis(a, axis, 0).astype(float)
            wanted = lines.copy()
            for i in range(1, len(wanted)):
                wanted[i] += factors[i - 1] * wanted[i - 1]
            np.testing.assert_allclose(recur(a, b, axis), np.moveaxis(wanted, 0, axis), rtol=1e-4, atol=1e-5)
            wanted = lines.copy()
            for i in range(len(wanted) - 2, -1, -1):
                wanted[i] += factors[i] * wanted[i + 1]
            np.testing.assert_allclose(recur(a, b, axis, True), np.moveaxis(wanted, 0, axis), rtol=1e-4, atol=1e-5)
