"""Views by filling in headers: NumPy's, or handed on."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from layouts import LAYOUTS, SHAPES, array, assert_same, outcome

from nbgrad.kernels.cpu import ndarray
from nbgrad.kernels.cpu.small import views

pytestmark = pytest.mark.skipif(not ndarray.layout_holds(), reason="arrays cannot be read by their layout here")

HANDED_ON = object()
layouts, shapes = st.sampled_from(sorted(LAYOUTS)), st.sampled_from(SHAPES)


def call(work):
    return work.function(lambda *arguments: HANDED_ON)


bounds = st.none() | st.integers(-6, 6) | st.sampled_from([10**30, -(10**30)])
slices = st.builds(slice, bounds, bounds, bounds)
parts = st.one_of(st.integers(-5, 5), slices, st.none(), st.just(Ellipsis))
odd = st.sampled_from([True, np.int64(1), 1.0, "x", [0], 10**30, np.zeros(1, int), slice(None, None, 0), slice(1.5)])
keys = parts | odd | st.lists(parts, max_size=5).map(tuple) | st.lists(parts | odd, max_size=3).map(tuple)


def picked(x, key):
    """Give what a key picks as a view, also where NumPy would give a number."""
    key = key if type(key) is tuple else (key,)
    return x[key if Ellipsis in key else (*key, Ellipsis)]


@given(shapes, layouts, keys)
@settings(max_examples=400)
def test_keys_pick_what_they_pick_for_numpy(shape, layout, key):
    x = array(shape, layout)
    found = call(views.getitem())(x, key)
    if found is HANDED_ON:
        plain = key if type(key) is tuple else (key,)
        usual = all(p is None or p is Ellipsis or type(p) in (int, slice) for p in plain) and type(x) is np.ndarray
        if usual:  # then it must be an error
            with pytest.raises((IndexError, ValueError, TypeError)):
                picked(x, key)
    else:
        assert_same(found, picked(x, key))
        assert found.base is (x if x.base is None else x.base)


@given(shapes, layouts, st.lists(st.integers(-2, 60), max_size=4).map(tuple))
@settings(max_examples=200)
def test_shapes_are_numpys(shape, layout, sizes):
    x = array(shape, layout)
    for target in (sizes, (x.size,), (-1,), (-1, *x.shape[1:]), (*x.shape, 1), x.shape[::-1]):
        found = call(views.reshape())(x, target)
        if found is HANDED_ON:
            # to NumPy any negative size is one to be found out
            if type(x) is np.ndarray and x.flags.c_contiguous and x.size and min(target, default=0) >= -1:
                with pytest.raises(ValueError):
                    x.reshape(target)
        else:
            assert_same(found, x.reshape(target))


@given(shapes, layouts, st.randoms(use_true_random=False))
@settings(max_examples=100)
def test_axes_are_put_in_order_as_by_numpy(shape, layout, random):
    x = array(shape, layout)
    axes = random.sample(range(x.ndim), x.ndim)
    permute = call(views.permute())
    found = permute(x, tuple(axes))
    assert found is HANDED_ON if type(x) is not np.ndarray else True
    if found is not HANDED_ON:
        assert_same(found, x.transpose(axes))
    for wrong in ((*axes, 0), (0,) * (x.ndim or 1), axes, (float(x.ndim),), (x.ndim, *axes[1:])):
        if wrong != (0,) or x.ndim != 1:
            assert permute(x, wrong) is HANDED_ON


@given(shapes, layouts, st.lists(st.integers(0, 4), max_size=2).map(tuple))
@settings(max_examples=100)
def test_broadcast_views_are_numpys(shape, layout, more):
    x = array(shape, layout)
    for target in ((*more, *x.shape), (*more, *[3 if size == 1 else size for size in x.shape]), more):
        found = call(views.broadcast())(x, target)
        expected = outcome(np.broadcast_to, x, target)
        if type(x) is not np.ndarray or isinstance(expected, Exception):
            assert found is HANDED_ON
        else:
            assert_same(found, expected)


@given(shapes, layouts, st.data())
@settings(max_examples=100)
def test_what_a_reduction_gave_is_repeated_along_its_axes(shape, layout, data):
    axes = tuple(sorted(data.draw(st.sets(st.integers(0, max(len(shape) - 1, 0)), max_size=len(shape)))))
    keepdim = data.draw(st.booleans())
    kept = [1 if axis in axes else size for axis, size in enumerate(shape)]
    given_shape = kept if keepdim else [size for axis, size in enumerate(shape) if axis not in axes]
    values = array(tuple(given_shape), layout)
    if layout == "large":
        return
    spread = call(views.spread())
    found = spread(values, axes, shape)
    if type(values) is np.ndarray:
        assert_same(found, np.broadcast_to(values.reshape(kept), shape))
    else:
        assert found is HANDED_ON
    for wrong in (
        (values, (len(shape),), shape),
        (values, axes, (*shape, 9)),
        (values, list(axes), shape),
        (1, axes, shape),
    ):
        assert spread(*wrong) is HANDED_ON
