"""Reductions over every layout and length, against exactly rounded sums."""

import math

import numpy as np
import pytest
from helpers import usually
from hypothesis import given, settings
from hypothesis import strategies as st

import nbgrad
from nbgrad.kernels import reductions
from nbgrad.kernels.cpu import reduction_loops as cpu
from nbgrad.kernels.cpu import threads
from nbgrad.kernels.dispatch import reduce_array, spread_array

LENGTHS = [0, 1, 2, 63, 64, 65, 127, 128, 129, 8191, 8192, 8193, 20_000]
LARGE = threads.SHARE_ABOVE + 1_000_003


@pytest.fixture
def any_threads():
    before = nbgrad.get_num_threads()
    yield
    nbgrad.set_num_threads(before)


def row(name):
    return cpu.row_kernel(getattr(reductions, name))


def block(name):
    return cpu.block_kernel(getattr(reductions, name))


def normal(*shape, dtype=np.float64, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(dtype)


# ---- accuracy -------------------------------------------------------------------------------------------------------


def layouts(x):
    """Give views of the numbers of x, in whatever order, each with the axis that holds them."""
    n = x.size
    yield "contiguous", x, 0
    yield "reversed", x[::-1], 0
    yield "every third", np.repeat(x, 3)[::3], 0
    yield "reversed steps", np.repeat(x, 2)[::-2], 0
    yield "row", np.stack([x + 1, x, x - 1])[1:2], 1
    yield "column", np.stack([x + 1, x, x - 1], 1)[:, 1:2], 0
    yield "narrow column", np.stack([x] * 3, 1), 0
    yield "wide columns", np.broadcast_to(x[:, None], (n, 70)), 0
    yield "copied wide columns", np.ascontiguousarray(np.broadcast_to(x[:, None], (n, 66))) if n < 9000 else x, 0
    yield "fortran", np.asfortranarray(np.stack([x, x], 1)), 0
    yield "reversed columns", np.stack([x, x], 1)[::-1, ::-1], 0


@pytest.mark.parametrize("length", LENGTHS)
def test_float32_sums_are_exactly_rounded_but_for_one_place(length):
    x = normal(length, dtype=np.float32) * np.float32(1e3) + np.float32(7)
    exact = math.fsum(x.tolist())
    place = np.spacing(np.float32(abs(exact)))
    for name, view, axis in layouts(x):
        result = reduce_array("sum", view, (axis,))
        assert result.dtype == np.float32
        assert (abs(result.astype(np.float64) - exact) <= place).all(), name


@pytest.mark.parametrize("length", LENGTHS)
def test_float64_sums_have_a_small_error(length):
    """Lanes of 128 additions, then totals: far fewer roundings behind each number than its place in the array."""
    x = normal(length)
    exact = math.fsum(x.tolist())
    additions = 128 + length / (64 * 128) + 8
    bound = additions * np.finfo(np.float64).eps / 2 * math.fsum(abs(x).tolist())
    for name, view, axis in layouts(x):
        result = reduce_array("sum", view, (axis,))
        assert (abs(result - exact) <= bound).all(), name


def test_a_million_equal_numbers():
    """One running sum would be off by 1e-6 in float64 and by parts of a hundred in float32."""
    x = np.full(LARGE, 0.1)
    exact = math.fsum(x.tolist())
    naive = abs(np.cumsum(x)[-1] - exact) / exact
    for view, axes, additions in (
        (x, (0,), 400),
        (x[::-1], (0,), 400),
        (x.reshape(1, -1), (1,), 400),
        (np.stack([x, x], 1), (0,), 128 + LARGE / 128),  # lanes are columns here, and totals take over every 128 rows
    ):
        error = abs(reduce_array("sum", view, axes) - exact) / exact
        assert (error <= additions * np.finfo(np.float64).eps / 2).all()
        assert (error < naive / 5).all()
    x = np.full(LARGE, 0.1, np.float32)
    exact = math.fsum(x.tolist())
    for view, axes in ((x, (0,)), (x[:, None], (0,)), (np.stack([x, x], 1), (0,))):
        assert (abs(reduce_array("sum", view, axes) - exact) <= np.spacing(np.float32(exact))).all()


def test_a_small_number_among_large_ones_is_kept():
    x = np.ones(2**17, np.float32)
    x[0] = 2.0**24
    assert reduce_array("sum", x, (0,)) == np.float32(2**24 + 2**17 - 1)


@pytest.mark.parametrize("name", ["sum", "mean", "prod", "amax", "amin", "logsumexp"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("length", [1, 63, 64, 65, 300])
def test_values_over_rows_and_blocks(name, dtype, length):
    x = normal(3, length, 5, dtype=dtype) * dtype(0.5) + dtype(1)
    wide = x.astype(np.longdouble)
    expected = {
        "sum": lambda: wide.sum(1),
        "mean": lambda: wide.mean(1),
        "prod": lambda: wide.prod(1),
        "amax": lambda: x.max(1),
        "amin": lambda: x.min(1),
        "logsumexp": lambda: np.log(np.exp(wide).sum(1)),
    }[name]()
    eps = np.finfo(dtype).eps
    tolerance = {"amax": 0, "amin": 0, "prod": length * eps}.get(name, 8 * eps)
    scale = abs(wide).sum(1) if name == "sum" else abs(wide).mean(1) if name == "mean" else abs(expected)
    for result in (block(name)(x), row(name)(x.swapaxes(1, 2)), row(name)(np.ascontiguousarray(x.swapaxes(1, 2)))):
        assert result.dtype == dtype
        assert result.shape == (3, 5)
        assert (abs(result - expected) <= tolerance * scale).all()


@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("length", [1, 10, 64, 200])
def test_spreads(name, dtype, length):
    x = normal(4, length, 3, dtype=dtype) * dtype(5)
    wide = x.astype(np.longdouble)
    logs = wide - np.log(np.exp(wide).sum(1, keepdims=True))
    expected = np.exp(logs) if name == "softmax" else logs
    tolerance = {"rtol": 40 * np.finfo(dtype).eps, "atol": 40 * np.finfo(dtype).eps}
    moved = x.swapaxes(1, 2)
    np.testing.assert_allclose(block(name)(x), expected, **tolerance)
    np.testing.assert_allclose(row(name)(moved), expected.swapaxes(1, 2), **tolerance)
    np.testing.assert_allclose(row(name)(moved.copy()), expected.swapaxes(1, 2), **tolerance)
    np.testing.assert_allclose(block(name)(x[::-1, ::-1, ::-1]), expected[::-1, ::-1, ::-1], **tolerance)
    out = np.empty((3, length, 4), dtype).T
    block(name)(x, out=out)
    np.testing.assert_allclose(out, expected, **tolerance)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_vector_jacobian_products_of_spreads(dtype):
    x, gy = normal(2, 70, 3, dtype=dtype), normal(2, 70, 3, dtype=dtype, seed=1)
    wide, g = x.astype(np.longdouble), gy.astype(np.longdouble)
    p = np.exp(wide) / np.exp(wide).sum(1, keepdims=True)
    tolerance = {"rtol": 0, "atol": 40 * np.finfo(dtype).eps}
    cases = {
        "softmax_vjp": (p.astype(dtype), p * (g - (g * p).sum(1, keepdims=True))),
        "log_softmax_vjp": (np.log(p).astype(dtype), g - p * g.sum(1, keepdims=True)),
    }
    for name, (y, expected) in cases.items():
        np.testing.assert_allclose(block(name)(gy, y), expected, **tolerance)
        np.testing.assert_allclose(
            row(name)(gy.swapaxes(1, 2), y.swapaxes(1, 2).copy()), expected.swapaxes(1, 2), **tolerance
        )


# ---- layouts --------------------------------------------------------------------------------------------------------


@st.composite
def reduced(draw):
    """An array of up to four axes in some layout, and axes to reduce."""
    shape = draw(st.lists(st.integers(0, 7), min_size=1, max_size=4))
    order = draw(st.permutations(range(len(shape))))
    steps = [draw(st.sampled_from([1, 1, -1, 2])) for _ in shape]
    base = np.arange(np.prod([abs(s) * n for s, n in zip(steps, shape, strict=True)]), dtype=np.float64) % 101
    base = base.reshape([abs(steps[a]) * shape[a] for a in order]).transpose(np.argsort(order))
    axes = tuple(sorted(draw(st.sets(st.integers(0, len(shape) - 1)))))
    return base[tuple(slice(None, None, s) for s in steps)], axes


@settings(max_examples=60)
@given(reduced())
def test_any_axes_of_any_layout(case):
    x, axes = case
    np.testing.assert_array_equal(reduce_array("sum", x, axes), x.sum(axes))  # whole numbers: exact
    if all(x.shape[axis] for axis in axes):
        np.testing.assert_array_equal(reduce_array("amax", x, axes), x.max(axes))


def test_more_columns_than_lanes():
    for width in (1, 63, 64, 65, 128, 200):
        x = np.arange(300.0 * width).reshape(300, width) % 17
        np.testing.assert_array_equal(block("sum")(x), x.sum(0))
        np.testing.assert_array_equal(block("sum")(np.asfortranarray(x)), x.sum(0))
        np.testing.assert_array_equal(block("sum")(x[:, ::-1]), x.sum(0)[::-1])


@pytest.mark.parametrize(("name", "identity"), [("sum", 0.0), ("prod", 1.0), ("logsumexp", -math.inf)])
def test_nothing_reduces_to_the_identity(name, identity):
    with np.errstate(all="raise"):
        assert row(name)(np.zeros((3, 0))).tolist() == [identity] * 3
        assert block(name)(np.zeros((0, 2))).tolist() == [identity] * 2
        assert row(name)(np.zeros((0, 5))).shape == (0,)
        assert block(name)(np.zeros((0, 5, 0))).shape == (0, 0)
    assert np.isnan(row("mean")(np.zeros((1, 0)))).all()


def test_casts_and_unreadable_operands():
    x = np.arange(100)
    assert row("mean")(x) == 49.5
    assert row("sum")(x.astype(">f8")) == 4950
    assert row("sum")(np.frombuffer(b"\0" + x.astype(float).tobytes(), np.float64, offset=1)) == 4950
    with pytest.raises(TypeError, match="not supported for the input types"):
        row("sum")(np.ones(3, complex))


# ---- dtypes ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", usually(["?", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8"], "?", "i4", "u1", "u8"))
def test_whole_numbers_add_up_in_64_bits(dtype):
    top = 1 if dtype == "?" else np.iinfo(dtype).max
    x = np.full((200, 3), top, dtype)
    result = row("sum")(x.T)
    assert result.dtype == (np.uint64 if dtype[0] == "u" else np.int64)
    np.testing.assert_array_equal(result, x.sum(0))
    np.testing.assert_array_equal(block("sum")(x), x.sum(0))


@pytest.mark.parametrize("dtype", usually(["?", "i1", "i8", "u1", "u8"], "?", "i1", "u8"))
def test_extremes_of_whole_numbers_keep_their_dtype(dtype):
    limits = (0, 1) if dtype == "?" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
    for values in ([limits[0]] * 70, [limits[1]] * 70, [limits[0], limits[1]]):
        x = np.array(values, dtype)
        for name, expected in (("amax", x.max()), ("amin", x.min())):
            assert row(name)(x).dtype == x.dtype
            assert row(name)(x) == expected
            assert (block(name)(x[:, None]) == expected).all()


def test_large_whole_numbers_stay_exact():
    x = np.array([2**53, 1, 1, 1])
    assert row("sum")(x) == 2**53 + 3
    assert reduce_array("sum", np.ones(LARGE, np.int8), (0,)) == LARGE
    assert reduce_array("sum", np.ones(LARGE, bool), (0,)) == LARGE


# ---- NaN and infinities ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("place", [0, 1, 63, 64, 100, 129])
@pytest.mark.parametrize("name", ["sum", "mean", "prod", "amax", "amin", "logsumexp", "softmax"])
def test_nan_is_passed_on_from_any_place(name, place, dtype):
    x = np.ones((130, 2), dtype)
    x[place, 1] = np.nan
    with np.errstate(all="raise"):
        for result in (block(name)(x), row(name)(x.T).T, row(name)(x.T.copy()).T):
            assert np.isnan(result[..., 1]).all()
            assert not np.isnan(result[..., 0]).any()


def test_infinities():
    inf = math.inf
    cases = {
        "sum": [([inf, 1], inf), ([-inf, 1], -inf), ([inf, -inf], math.nan)],
        "amax": [([-inf, -inf], -inf), ([inf, 1], inf), ([-inf, 3], 3)],
        "amin": [([inf, inf], inf), ([-inf, 1], -inf)],
        "logsumexp": [([-inf, -inf], -inf), ([inf, 1], inf), ([-inf, 2], 2), ([1000, 1000], 1000 + math.log(2))],
        "prod": [([inf, 0], math.nan), ([inf, -2], -inf)],
    }
    with np.errstate(all="raise"):
        for name, rows in cases.items():
            for values, expected in rows:
                for dtype in (np.float32, np.float64):
                    found = row(name)(np.array(values, dtype))
                    np.testing.assert_allclose(found, expected, rtol=1e-6)
                    np.testing.assert_allclose(block(name)(np.array([values, values], dtype).T), expected, rtol=1e-6)
        np.testing.assert_array_equal(row("softmax")(np.array([-inf, 0.0, -inf])), [0, 1, 0])
        np.testing.assert_array_equal(row("log_softmax")(np.array([-inf, 0.0])), [-inf, 0])
        assert row("sum")(np.full(200, np.finfo(np.float32).max, np.float32)) == inf


def test_float32_sums_may_pass_the_limit_on_the_way():
    top = np.finfo(np.float32).max
    x = np.array([top, top, -top, -top, top / 2**20], np.float32)
    assert row("sum")(x) == x[-1]


# ---- threads --------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("any_threads")
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_any_number_of_threads_gives_the_same_bits(dtype):
    flat = normal(LARGE, dtype=dtype)
    table = flat[: 1000 * 1000].reshape(1000, 1000)
    stack = flat[: 200 * 100 * 50].reshape(200, 100, 50)
    cases = [
        ("sum", flat, (0,)),
        ("sum", flat[::-1], (0,)),
        ("sum", table, (0, 1)),
        ("sum", table.T, (0, 1)),
        ("sum", table, (0,)),
        ("sum", table, (1,)),
        ("sum", table.T, (1,)),
        ("sum", stack, (1,)),
        ("sum", stack, (0, 2)),
        ("mean", flat, (0,)),
        ("amax", table, (1,)),
        ("logsumexp", table, (1,)),
        ("logsumexp", stack, (1,)),
    ]
    for name, x, axes in cases:
        found = set()
        for count in (1, 2, 3, 7):
            nbgrad.set_num_threads(count)
            found |= {reduce_array(name, x, axes).tobytes() for _ in range(2)}
        assert len(found) == 1, (name, x.shape, x.strides, axes)
        if name == "sum":
            expected = x.astype(np.longdouble).sum(axes)
            scale = abs(x).astype(np.longdouble).sum(axes)
            error = abs(reduce_array(name, x, axes) - expected)
            additions = 1 if dtype == np.float32 else 400
            assert (error <= scale * np.finfo(dtype).eps / 2 * additions).all()


@pytest.mark.usefixtures("any_threads")
@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
def test_large_spreads_give_the_same_bits(name):
    x = normal(500, 100, 20, dtype=np.float32)
    found = set()
    for count in (1, 2, 3, 7):
        nbgrad.set_num_threads(count)
        found.add((row(name)(x).tobytes(), block(name)(x).tobytes()))
    assert len(found) == 1


@pytest.mark.usefixtures("any_threads")
def test_the_vjp_of_large_spreads_gives_the_same_bits():
    y, gy = row("softmax")(normal(500, 1000)), normal(500, 1000, seed=1)
    found = set()
    for count in (1, 2, 3, 7):
        nbgrad.set_num_threads(count)
        found.add((row("softmax_vjp")(gy, y).tobytes(), block("softmax_vjp")(gy, y).tobytes()))
    assert len(found) == 1
    expected = y * (gy - (gy * y).sum(1, keepdims=True))
    np.testing.assert_allclose(row("softmax_vjp")(gy, y), expected, rtol=1e-10, atol=1e-15)


@pytest.mark.parametrize("turned", [np.s_[::-1], np.s_[:, ::-1], np.s_[::-1, ::-1], np.s_[::-2, ::-1]], ids=str)
def test_axes_that_run_backwards_add_up_to_the_same(turned):
    x = normal(60, 70)
    for array in (x[turned], x[turned].T):
        np.testing.assert_allclose(reduce_array("sum", array, (0, 1)), x[turned].sum(), rtol=1e-12)


@pytest.mark.parametrize("axis", [0, 1])
def test_a_cotangent_that_repeats_is_spread_as_its_copy_is(axis):
    y = row("softmax")(normal(80, 90))
    for gy in (normal(80, 1), normal(1, 90), normal(1, 1)):
        gy = np.broadcast_to(gy, y.shape)
        for name in ("softmax_vjp", "log_softmax_vjp"):
            found = spread_array(name, axis, gy, y)
            np.testing.assert_array_equal(found, spread_array(name, axis, gy.copy(), y))
