"""Reductions of the CUDA target against the CPU's: every layout, dtype and awkward length."""

import itertools
import math

import cupy
import numpy as np
import pytest
from helpers import usually

from nbgrad.kernels import reductions
from nbgrad.kernels.cpu import reduction as cpu
from nbgrad.kernels.cuda import launch, reduction

INF = math.inf
FOLDS = [name for name, one in reductions.TABLE.items() if not one.spreads]
#: The numbers that some are given.
NUMBERS = {"var": (1,), "std": (0.5,), "norm_p": (3,)}
SPREADS = [name for name, one in reductions.TABLE.items() if one.spreads and one.arity == 1]
SHAPES = [(0,), (1,), (31,), (33,), (1025,), (3, 1), (1, 5000), (70, 33), (0, 3), (3, 0), (2100, 5)]

floating = pytest.mark.parametrize("dtype", ["float32", "float64"])


def draw(shape, dtype, seed=0):
    random = np.random.default_rng(seed)
    if dtype == "bool":
        return random.random(shape) < 0.5
    if np.dtype(dtype).kind in "iu":
        low = -9 if np.dtype(dtype).kind == "i" else 0
        return random.integers(low, 100, shape).astype(dtype)
    return np.asarray(random.normal(size=shape) * 2 + 1, dtype)


def near_one(x):
    """Numbers whose product stays in sight."""
    return 1 + x * x.dtype.type(2**-9)


def subsets(ndim):
    return itertools.chain.from_iterable(itertools.combinations(range(ndim), n) for n in range(ndim + 1))


def assert_same(name, x, axes, device=None, pieces=False):
    """Hold a result against the CPU's: floating ones to a few roundings of what went into them."""
    with np.errstate(all="ignore"):
        expected = cpu.reduce_array(name, x, axes, NUMBERS.get(name, ()))
    y = reduction.reduce_array(name, cupy.asarray(x) if device is None else device, axes, NUMBERS.get(name, ()))
    assert (y.dtype, y.shape) == (expected.dtype, expected.shape)
    y = cupy.asnumpy(y)
    if y.dtype.kind != "f":
        np.testing.assert_array_equal(y, expected)
        return
    wide = x.astype(np.float64)
    own = 8 if x.dtype == np.float64 else 1  # float64 sums of the CPU are off by a few roundings themselves
    with np.errstate(all="ignore"):
        scale = {
            "sum": lambda: own * abs(wide).sum(axes),
            "mean": lambda: own * abs(wide).sum(axes) * y.size / max(x.size, 1),
            # float64 products of the CPU carry no errors along, and those of pieces are rounded
            "prod": lambda: abs(expected) * (x.size if x.dtype == np.float64 else 16 if pieces else 1),
            "amax": lambda: 0,
            "amin": lambda: 0,
            "logsumexp": lambda: 2 + 2 * abs(wide).max(axes, initial=0),
            # elements' formulas are computed in float32, and float64 sums as above
        }.get(name.removeprefix("nan"), lambda: 2 * own * abs(expected))()
        close = (abs(y - expected) <= 2 * np.finfo(y.dtype).eps * scale) | (y == expected)
    close |= np.isnan(y) & np.isnan(expected)
    assert close.all(), (name, x.dtype, x.shape, x.strides, axes)


# ---- folds ----------------------------------------------------------------------------------------------------------


@floating
@pytest.mark.parametrize("name", FOLDS)
def test_every_fold_over_every_axis(name, dtype):
    for shape in SHAPES:
        x = draw(shape, dtype)
        x = near_one(x) if name == "prod" else x
        for axes in subsets(x.ndim):
            assert_same(name, x, axes)
    assert_same(name, draw((), dtype), ())


@pytest.mark.parametrize("dtype", ["bool", "int8", "uint32"])
def test_whole_numbers_are_exact(dtype):
    for shape in ((0, 3), (33,), (1025,), (70, 33)):
        x = draw(shape, dtype)
        for axes in subsets(x.ndim):
            for name in ("sum", "amax", "nansum", "count_nonzero", "amin")[: 5 if dtype == "int8" else 4]:
                assert_same(name, x, axes)
    assert_same("prod", draw((40,), dtype), (0,))


def test_extremes_of_whole_numbers():
    for dtype in ("int8", "uint64"):
        limits = np.iinfo(dtype)
        for values in ([limits.min] * 40, [limits.max] * 40, [limits.min, limits.max]):
            for name in ("amax", "amin"):
                assert_same(name, np.array(values, dtype), (0,))
    assert_same("sum", np.array([2**53, 1, 1, 1]), (0,))
    assert_same("sum", np.full(300, 2**63, np.uint64), (0,))  # which wraps around


@floating
def test_any_three_axes_in_any_order(dtype):
    x = draw((4, 5, 6), dtype)
    for order in itertools.permutations(range(3)):
        for steps in ((1, 1, 1), (1, 2, 1), (1, 1, -2), (3, -1, 1)):
            view = tuple(slice(None, None, step) for step in steps)
            device = cupy.asarray(x).transpose(order)[view]
            for axes in subsets(3):
                for name in ("sum", "mean", "logsumexp"):
                    assert_same(name, x.transpose(order)[view], axes, device)


def test_many_axes_and_broadcasts():
    x = draw((2, 3, 2, 3, 2), "float32")
    for axes in ((0,), (1, 3), (0, 2, 4), (1, 2), (0, 1, 2, 3, 4)):
        for name in ("sum", "mean", "logsumexp", "amax"):
            assert_same(name, x, axes)
            assert_same(name, x.T, axes, cupy.asarray(x).T)
            assert_same(name, x[:, ::2, :, ::2], axes, cupy.asarray(x)[:, ::2, :, ::2])
    for shape in ((70, 33), (5, 1)):
        for base in (draw((1,), "float32"), draw((shape[0], 1), "float32")):
            device = cupy.broadcast_to(cupy.asarray(base), shape)
            for axes in subsets(2):
                assert_same("sum", np.broadcast_to(base, shape), axes, device)


def test_transposed_matrices_are_not_copied():
    if not hasattr(launch.backend, "launches"):
        pytest.skip("launches are not known")
    x = cupy.asarray(draw((40, 70), "float32"))
    for axis in (0, 1):
        del launch.backend.launches[:]
        reduction.reduce_array("sum", x.T, (axis,))
        y = reduction.spread_array("softmax", axis, x.T)
        assert y.strides == x.T.strides
        assert {one.arguments[0] for one in launch.backend.launches} == {x.data.ptr}


@pytest.fixture
def small_pieces(monkeypatch):
    """Cut as large arrays are cut, at sizes that an emulated GPU gets through."""
    for name, value in (("_PIECE", 64), ("_ROWS", 1), ("_BUSY", 16)):
        monkeypatch.setattr(reduction, name, value)
    reduction._reduction_plan.cache_clear()
    yield
    reduction._reduction_plan.cache_clear()


@pytest.mark.usefixtures("small_pieces")
@pytest.mark.parametrize("name", FOLDS)
@pytest.mark.parametrize("dtype", ["float32", "float64", "int8"])
def test_in_pieces(name, dtype):
    if dtype == "int8" and name not in ("sum", "amax", "count_nonzero"):
        pytest.skip("nothing new")
    for shape in ((5000,), (5003,), (3, 1500), (700, 33), (3, 300, 10)):
        x = draw(shape, dtype)
        x = near_one(x) if name == "prod" else x
        for axes in subsets(x.ndim):
            assert_same(name, x, axes, pieces=True)
        assert_same(name, x[::-1], (0,), cupy.asarray(x)[::-1], pieces=True)


@pytest.mark.usefixtures("small_pieces")
def test_the_same_bits_at_every_run():
    for shape, axes in (((5000,), (0,)), ((700, 33), (0,)), ((70, 33), (1,)), ((3, 1500), (0, 1))):
        x = cupy.asarray(draw(shape, "float32"))
        for name in ("sum", "logsumexp"):
            assert len({cupy.asnumpy(reduction.reduce_array(name, x, axes)).tobytes() for _ in range(3)}) == 1
        found = {cupy.asnumpy(reduction.spread_array("softmax", len(shape) - 1, x)).tobytes() for _ in range(3)}
        assert len(found) == 1


# ---- accuracy -------------------------------------------------------------------------------------------------------


@pytest.mark.compiled
@floating
@pytest.mark.parametrize("length", usually([33, 1025, 5000], 1025))
def test_sums_are_exactly_rounded_but_for_one_place(length, dtype):
    x = draw((length,), dtype) * np.dtype(dtype).type(1e3) + 7
    exact = math.fsum(x.tolist())
    device = cupy.asarray(x)
    column = cupy.asarray(np.stack([x, x, x], 1))
    for array, axis in ((device, 0), (device[::-1], 0), (device.reshape(1, -1), 1), (column, 0), (column.T, 1)):
        y = cupy.asnumpy(reduction.reduce_array("sum", array, (axis,)))
        assert (abs(y.astype(np.float64) - exact) <= np.spacing(np.dtype(dtype).type(abs(exact)))).all()


def test_what_cancels_and_what_is_small_is_kept():
    x = np.ones(4097, np.float32)
    x[0] = 2.0**24
    assert float(reduction.reduce_array("sum", cupy.asarray(x), (0,))) == 2**24 + 4096
    x = np.concatenate([x, -x, [np.float32(0.5)]])
    assert float(reduction.reduce_array("sum", cupy.asarray(x), (0,))) == 0.5


def test_special_values():
    dtype = np.float32
    cases = {
        "sum": [[INF, 1], [-INF, 1], [INF, -INF], [np.nan, 1], [np.finfo(dtype).max] * 40],
        "mean": [[INF, 1], [np.nan, 1]],
        "amax": [[-INF, -INF], [INF, 1], [-INF, 3], [1, np.nan, 2], [np.nan, 5]],
        "amin": [[INF, INF], [-INF, 1], [1, np.nan, 2], [np.nan, 5]],
        "logsumexp": [[-INF, -INF], [INF, 1], [-INF, 2], [1000, 1000], [np.nan, 0], [-1e30, 3]],
        "prod": [[INF, 0], [INF, -2], [np.nan, 0], [0, 3], [-INF, 0.5]],
        "softmax": [[-INF, 0, -INF], [1000, 1000], [np.nan, 0], [-INF, -INF]],
        "log_softmax": [[-INF, 0], [1000, -1000]],
    }
    for name, rows in cases.items():
        for values in rows:
            for padding in (0, 40, 1200):
                row = np.array(values + [values[0]] * padding, dtype)
                for x, axis in ((row, 0), (np.stack([row, row], 1), 0)):
                    with np.errstate(all="ignore"):
                        if name in SPREADS:
                            expected = cpu.spread_array(name, axis, x)
                            found = reduction.spread_array(name, axis, cupy.asarray(x))
                        else:
                            expected = cpu.reduce_array(name, x, (axis,))
                            found = reduction.reduce_array(name, cupy.asarray(x), (axis,))
                    np.testing.assert_allclose(cupy.asnumpy(found), expected, rtol=1e-6)
    assert math.copysign(1, float(reduction.reduce_array("prod", cupy.asarray(np.array([-0.0], dtype)), (0,)))) == -1


@pytest.mark.parametrize("name", FOLDS)
def test_nothing_reduces_to_what_it_does_on_the_cpu(name):
    for dtype in ("float32", "float64"):
        for shape, axes in (((0,), (0,)), ((3, 0), (1,)), ((0, 3), (0,)), ((2, 0, 3), (1,)), ((0, 3), (1,))):
            assert_same(name, np.zeros(shape, dtype), axes)
    if not reductions.TABLE[name].floating:
        for dtype in ("bool", "int8", "uint64"):
            assert_same(name, np.zeros((3, 0), dtype), (1,))


def test_dtypes_are_converted_as_on_the_cpu_or_refused():
    assert_same("mean", draw((9, 40), "int64"), (1,))
    assert_same("mean", draw((9, 40), "int8"), (1,))
    assert_same("sum", draw((9, 40), "float16"), (1,))
    assert_same("mean", draw((9, 40), "bool"), (0,))
    gy, y = draw((3, 5), "float32"), draw((3, 5), "float64")
    expected = cpu.spread_array("softmax_vjp", 1, gy, y)
    found = reduction.spread_array("softmax_vjp", 1, cupy.asarray(gy), cupy.asarray(y))
    assert found.dtype == expected.dtype
    np.testing.assert_allclose(cupy.asnumpy(found), expected, rtol=1e-13)
    x = cupy.asarray(np.ones(3, complex))
    with pytest.raises(TypeError, match="sum: no kernel for dtype complex128: convert to a real dtype first"):
        reduction.reduce_array("sum", x, (0,))
    with pytest.raises(TypeError, match="softmax: no kernel for dtype complex128"):
        reduction.spread_array("softmax", 0, x)


# ---- spreads --------------------------------------------------------------------------------------------------------


def assert_spread(name, axis, arrays, devices=None):
    with np.errstate(all="ignore"):
        expected = cpu.spread_array(name, axis, *arrays)
    y = reduction.spread_array(name, axis, *(map(cupy.asarray, arrays) if devices is None else devices))
    assert (y.dtype, y.shape) == (expected.dtype, expected.shape)
    limit = 20 * np.finfo(expected.dtype).eps * max(1, abs(expected).max(initial=0))
    np.testing.assert_allclose(cupy.asnumpy(y), expected, rtol=0, atol=limit)


@floating
@pytest.mark.parametrize("name", SPREADS)
def test_every_spread_and_its_gradient_along_every_axis(name, dtype):
    for shape in ((), *SHAPES, (1, 4096), (40, 100), (3, 40, 5), (2, 3, 4, 5)):
        x, gy = draw(shape, dtype), draw(shape, dtype, 1)
        for axis in range(max(x.ndim, 1)):
            y = cpu.spread_array(name, axis, x)
            assert_spread(name, axis, [x])
            assert_spread(f"{name}_vjp", axis, [gy, y])
            if x.ndim > 1:
                back = x.ndim - 1 - axis
                assert_spread(name, back, [x.T], [cupy.asarray(x).T])
                assert_spread(f"{name}_vjp", back, [gy.T, y.T], [cupy.asarray(gy.T.copy()), cupy.asarray(y).T])
                flat = cupy.broadcast_to(cupy.asarray(gy[:1]), shape) if len(gy) else cupy.asarray(gy)
                assert_spread(f"{name}_vjp", axis, [cupy.asnumpy(flat), y], [flat, cupy.asarray(y)])


def test_spreads_of_strided_arrays():
    x = draw((8, 9, 10, 6), "float32")
    for view in ((slice(None), slice(None, None, 2)), (slice(None, None, -1),), (slice(None), slice(1, 4))):
        for order in ((0, 1, 2, 3), (2, 0, 3, 1)):
            for axis in range(4):
                device = cupy.asarray(x)[view].transpose(order)
                assert_spread("softmax", axis, [x[view].transpose(order)], [device])
