"""Copies of small arrays: NumPy's, or handed on."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from layouts import LAYOUTS, SHAPES, array, assert_same, outcome
from test_views import HANDED_ON, bounds, call, picked

from nbgrad.kernels.cpu import ndarray
from nbgrad.kernels.cpu.small import copies
from nbgrad.kernels.cpu.small.calls import SMALL

pytestmark = pytest.mark.skipif(not ndarray.layout_holds(), reason="arrays cannot be read by their layout here")

layouts, shapes, dtypes = st.sampled_from(sorted(LAYOUTS)), st.sampled_from(SHAPES), st.sampled_from("fdi?")


@given(shapes, st.lists(layouts, min_size=1, max_size=3), dtypes, st.integers(-1, 3), st.booleans())
@settings(max_examples=200)
def test_arrays_are_joined_as_by_numpy(shape, each, dtype, axis, new):
    arrays = [array(shape, layout, dtype, seed) for seed, layout in enumerate(each)]
    found = call(copies.stack() if new else copies.cat())(*arrays, axis)
    if found is not HANDED_ON:
        assert_same(found, (np.stack if new else np.concatenate)(arrays, axis))
    elif dtype in "fd" and set(each) == {"contiguous"} and axis >= 0:
        assert isinstance(outcome(np.stack if new else np.concatenate, arrays, axis), Exception)


@given(shapes, dtypes)
@settings(max_examples=30)
def test_unlike_arrays_are_handed_on(shape, dtype):
    x = array(shape, dtype=dtype)
    for other in (array((*shape, 2)), array(shape).astype("e"), [1.0], None):
        for work in (copies.cat(), copies.stack()):
            assert call(work)(x, other, 0) is HANDED_ON
            assert call(work)(x, x, 0.0) is HANDED_ON
            assert call(work)() is HANDED_ON and call(work)(x) is HANDED_ON


keys = st.lists(
    st.integers(-4, 4) | st.builds(slice, bounds, bounds, bounds) | st.just(Ellipsis) | st.none(), max_size=3
)


@given(shapes, keys.map(tuple), layouts, st.sampled_from("fd"))
@settings(max_examples=300)
def test_values_are_put_into_zeros(shape, key, layout, dtype):
    target = np.zeros(shape, dtype)
    place = outcome(picked, target, key)
    put = call(copies.put())
    if isinstance(place, Exception):
        assert put(np.zeros((), dtype), key, shape) is HANDED_ON
        return
    x = array(place.shape, layout, dtype)
    found = put(x, key, shape)
    if found is HANDED_ON:
        assert layout in ("misaligned", "big-endian", "subclass", "large")
    else:
        place[...] = x
        assert_same(found, target)
    assert put(array((*place.shape, 2)), key, shape) is HANDED_ON
    assert put(x, key, (*shape, -1)) is HANDED_ON and put(x, key, list(shape)) is HANDED_ON


extremes = [np.iinfo(np.int64).min, np.iinfo(np.int64).max]
positions = st.lists(st.integers(-5, 5) | st.sampled_from(extremes), max_size=6)


@given(positions, st.integers(0, 6), st.sampled_from(["contiguous", "strided", "misaligned", "subclass", "read-only"]))
@settings(max_examples=100)
def test_positions_are_copied_and_counted_from_the_front(given_positions, count, layout):
    x = LAYOUTS[layout](np.array(given_positions, np.int64))
    found = call(copies.rows())(x, count)
    if any(not -count <= position < count for position in given_positions):
        assert found is HANDED_ON
    elif found is not HANDED_ON:
        assert_same(found, np.array([p % count for p in given_positions], np.int64))
        assert not np.shares_memory(found, x)
    else:
        assert layout in ("strided", "misaligned", "subclass")
    assert call(copies.rows())(x.astype(np.int32), count) is HANDED_ON


@given(
    st.sampled_from([(4,), (4, 5), (4, 2, 3), (4, 0), (2, 4), (2, 4, 3), (2, 3, 4), (0, 4)]),
    positions,
    layouts,
    st.sampled_from("fd"),
    st.booleans(),
)
@settings(max_examples=300)
def test_lines_are_picked_and_added(shape, rows, layout, dtype, several):
    axis = shape.index(4)
    before = (slice(None),) * axis
    rows = np.array(rows, np.int64)
    if several and rows.size % 2 == 0:
        rows = rows.reshape(2, -1)
    inside = bool(((rows >= 0) & (rows < 4)).all())
    x = array(shape, layout, dtype)
    found = call(copies.gather())(x, rows, axis)
    if found is not HANDED_ON:
        assert inside or layout == "large"
        assert_same(found, np.ascontiguousarray(x[(*before, rows)]))
    else:
        assert not inside or layout != "contiguous"
    g = array((*shape[:axis], *rows.shape, *shape[axis + 1 :]), layout, dtype)
    found = call(copies.scatter())(g, rows, axis, shape)
    if found is not HANDED_ON:
        assert inside
        expected = np.zeros(shape, dtype)
        np.add.at(expected, (*before, rows), g)
        assert_same(found, expected)
    else:
        assert not inside or layout not in ("contiguous", "one number")
    assert call(copies.scatter())(g, rows, axis, (*shape[:axis], 5000, *shape[axis + 1 :])) is HANDED_ON
    assert call(copies.gather())(x, rows, x.ndim) is HANDED_ON


SIZES = [(4,), (4, 5), (4, 2, 3), (4, 0), (1, 3)]


@given(st.sampled_from(SIZES), st.data(), layouts, st.sampled_from("fd"))
@settings(max_examples=300)
def test_elements_along_an_axis_are_picked_and_added(shape, data, layout, dtype):
    axis = data.draw(st.integers(0, len(shape) - 1))
    one = data.draw(st.booleans())
    count = 1 if one else data.draw(st.integers(0, 5))
    form = (*shape[:axis], count, *shape[axis + 1 :])
    chosen = data.draw(st.integers(0, 9)), shape[axis] + data.draw(st.sampled_from([0, 0, 0, 1]))
    where = np.random.default_rng(chosen[0]).integers(0, max(chosen[1], 1), form)
    inside = not where.size or where.max() < shape[axis]
    positions = where.reshape(shape[:axis] + shape[axis + 1 :]) if one else where
    x = array(shape, layout, dtype)
    found = call(copies.take())(x, positions, axis)
    if x.shape != shape:  # more than is small
        assert layout == "large" and (found is HANDED_ON or x.size <= SMALL)
    elif found is not HANDED_ON:
        assert inside
        assert_same(found, np.take_along_axis(x, where, axis).reshape(positions.shape))
    else:
        assert not inside or layout != "contiguous"
    g = array(positions.shape, layout, dtype)
    found = call(copies.add())(g, positions, axis, shape)
    if found is not HANDED_ON:
        expected = np.zeros(shape, dtype)
        flat = np.take_along_axis(np.arange(expected.size).reshape(shape), where, axis).reshape(positions.shape)
        np.add.at(expected.reshape(-1), flat, g)
        assert inside
        assert_same(found, expected)
    else:
        assert not inside or layout not in ("contiguous", "one number")


@pytest.mark.parametrize("wrong", [None, 1, [0, 1], np.zeros(2), np.zeros((2, 2), np.int64), np.zeros(2, np.int32)])
def test_positions_that_are_none_are_handed_on(wrong):
    x, shape = np.ones((3, 4)), (3, 4)
    good = np.zeros(4, np.int64)
    for axis in (0.0, -1, 2, 1, None):
        assert call(copies.take())(x, good, axis) is HANDED_ON
    assert call(copies.take())(x, wrong, 0) is HANDED_ON and call(copies.take())([1.0], good, 0) is HANDED_ON
    assert call(copies.add())(np.ones(4), wrong, 0, shape) is HANDED_ON
    assert call(copies.add())(np.ones(4), good, 0, wrong) is HANDED_ON
    assert call(copies.add())(np.ones(3), good, 0, shape) is HANDED_ON
    assert call(copies.gather())(x, wrong, 0) is HANDED_ON or wrong.shape == (2, 2)
