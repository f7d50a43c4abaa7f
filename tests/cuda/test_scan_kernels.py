"""Scans of the CUDA target against the CPU's: every layout, dtype and awkward length."""

import math

import cupy
import numpy as np
import pytest

from nbgrad.kernels.cpu import scan as cpu
from nbgrad.kernels.cuda import scan

INF = math.inf
NAMES = ["cumsum", "cumprod", "cummax", "cummin", "logcumsumexp"]
SHAPES = [(0,), (1,), (31,), (33,), (129,), (1030,), (3, 0), (0, 3), (2, 200), (70, 33), (3, 40, 2)]


def draw(shape, dtype, seed=0):
    random = np.random.default_rng(seed)
    if dtype == "bool":
        return random.random(shape) < 0.5
    if np.dtype(dtype).kind in "iu":
        return random.integers(-3 if np.dtype(dtype).kind == "i" else 0, 4, shape).astype(dtype)
    return np.asarray(1 + random.normal(size=shape) * 0.1, dtype)


def assert_same(name, x, axis, reverse=False, device=None):
    """Hold a result against the CPU's: floating ones to a few roundings."""
    expected = cpu.scan_array(name, x, axis, reverse)
    found = scan.scan_array(name, cupy.asarray(x) if device is None else device, axis, reverse)
    for one, other in zip(found, expected, strict=True) if isinstance(expected, tuple) else [(found, expected)]:
        assert (one.dtype, one.shape) == (other.dtype, other.shape)
        if other.dtype.kind == "f" and name not in ("cummax", "cummin"):
            limit = np.finfo(other.dtype).eps * (8 if name != "cumprod" or x.dtype == np.float32 else 2 * x.size)
            np.testing.assert_allclose(cupy.asnumpy(one), other, rtol=limit, atol=4 * limit)
        else:
            np.testing.assert_array_equal(cupy.asnumpy(one), other)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", NAMES)
def test_every_scan_along_every_axis_from_both_ends(name, dtype):
    for number, shape in enumerate(SHAPES):
        x = draw(shape, dtype)
        for axis in range(x.ndim):
            assert_same(name, x, axis, bool(number % 2))
    assert_same(name, draw((), dtype), 0)
    x = draw((40, 50), dtype)
    assert_same(name, x.T, 0, True, cupy.asarray(x).T)
    assert_same(name, x[::2, ::-1], 1, False, cupy.asarray(x)[::2, ::-1])
    assert_same(name, np.broadcast_to(x[:1], (3, 50)), 0, False, cupy.broadcast_to(cupy.asarray(x[:1]), (3, 50)))


def test_other_dtypes():
    for name, dtypes in {"cumsum": "bool int8 uint64 float16", "cumprod": "int8", "cummax": "int8 uint32 bool"}.items():
        for dtype in dtypes.split():
            for shape in ((7,), (140,), (40, 3)):
                assert_same(name, draw(shape, dtype), 0)


@pytest.mark.parametrize("name", [*NAMES, "int8"])
def test_in_pieces(name, monkeypatch):
    """Cut as large arrays are cut, at sizes that an emulated GPU gets through."""
    for constant, value in (("_PIECE", 64), ("_MOST_THREADS", 32), ("_BUSY", 16)):
        monkeypatch.setattr(scan, constant, value)
    for cached in (scan._plan, scan._texts):
        cached.cache_clear()
    name, dtype = (name, "float32") if name in NAMES else ("cumsum", name)
    for shape, axis in (((1500,), 0), ((2, 700), 1), ((700, 3), 0)):
        assert_same(name, draw(shape, dtype), axis)
    assert_same(name, draw((1500,), dtype), 0, True)
    for cached in (scan._plan, scan._texts):
        cached.cache_clear()


@pytest.mark.compiled
@pytest.mark.parametrize("name", ["cumsum", "cummax"])
def test_compiled(name):
    assert_same(name, draw((2, 300), "float32"), 1)


def test_special_values():
    rows = [[0, 1, INF, 1], [INF, 0, 1], [-INF, -INF, 1], [np.nan, 1], [1, INF, -INF], [INF, 1, INF], [-INF] * 3]
    for values in rows:
        row = np.array(values + [1.5] * 60 + values, np.float32)
        for x, axis in ((row, 0), (np.stack([row, row], 1), 0)):
            for name in NAMES:
                with np.errstate(all="ignore"):
                    expected = cpu.scan_array(name, x, axis)
                    found = scan.scan_array(name, cupy.asarray(x), axis, False)
                pairs = zip(found, expected, strict=True) if isinstance(expected, tuple) else [(found, expected)]
                for one, other in pairs:
                    np.testing.assert_allclose(cupy.asnumpy(one), other, rtol=1e-5, err_msg=f"{name} {values}")


def test_what_is_nothing_stays_so_whatever_is_multiplied_later():
    x = np.full(400, 1e30, np.float32)
    x[0] = 0
    assert not cupy.asnumpy(scan.scan_array("cumprod", cupy.asarray(x), 0, False)).any()
    y = scan.recur(cupy.asarray(x[1:]), cupy.asarray(0 * x), 0, False)
    assert not cupy.asnumpy(y).any()


def test_sums_are_exactly_rounded_but_for_one_place():
    x = draw((3000,), "float32") * np.float32(1e3) - 900
    exact = np.array([math.fsum(x[: n + 1].tolist()) for n in range(0, 3000, 100)])
    y = cupy.asnumpy(scan.scan_array("cumsum", cupy.asarray(x), 0, False))[::100]
    assert (abs(y - exact) <= np.spacing(abs(exact).astype(np.float32))).all()


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_recurrences(dtype, reverse):
    for shape in ((1,), (5,), (300,), (40, 3), (3, 0)):
        for axis in range(len(shape)):
            b = draw(shape, dtype)
            a = draw((*shape[:axis], max(shape[axis] - 1, 0), *shape[axis + 1 :]), dtype, 1) - 1
            found = scan.recur(cupy.asarray(a), cupy.asarray(b), axis, reverse)
            np.testing.assert_allclose(
                cupy.asnumpy(found), cpu.recur(a, b, axis, reverse), rtol=1e-6 if dtype == "float32" else 1e-13
            )


def test_dtypes_that_are_refused():
    with pytest.raises(TypeError, match="cumsum: no kernel for dtype complex128: convert to a real dtype first"):
        scan.scan_array("cumsum", cupy.asarray(np.ones(3, complex)), 0, False)
