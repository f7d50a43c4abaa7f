"""Small reductions: the bits that NumPy's way gives, or handed on."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from layouts import LAYOUTS, SHAPES, array, assert_same
from test_views import HANDED_ON, call

from nbgrad.kernels import dispatch
from nbgrad.kernels import reductions as kernels
from nbgrad.kernels.cpu import ndarray
from nbgrad.kernels.cpu.reduction import reduce_array, spread_array
from nbgrad.kernels.cpu.small import reductions

pytestmark = pytest.mark.skipif(not ndarray.layout_holds(), reason="arrays cannot be read by their layout here")

layouts = st.sampled_from(sorted(LAYOUTS))
shapes, dtypes = st.sampled_from([*SHAPES, (70,), (3, 70), (70, 3)]), st.sampled_from("fdil?")
EASY = ("contiguous", "read-only", "negative")


NAMES = ["sum", "mean", "amax", "logsumexp", "count_nonzero", "var"]


@given(st.sampled_from(NAMES), shapes, layouts, dtypes, st.booleans(), st.data())
@settings(max_examples=300)
def test_reductions_have_the_same_bits_either_way(name, shape, layout, dtype, keepdim, data):
    x = array(shape, layout, dtype)
    axes = tuple(sorted(data.draw(st.sets(st.integers(0, max(x.ndim - 1, 0)), max_size=x.ndim))))
    reduction = kernels.TABLE[name]
    numbers = (0.5,) * reduction.numbers
    found = call(reductions.reduce(reduction))(x, axes, keepdim, numbers)
    if found is HANDED_ON:
        neighbours = axes == tuple(range(axes[0], axes[0] + len(axes))) if axes else not x.ndim
        known = dtype in ("fd" if reduction.floating else "fdl?")
        assert not (neighbours and x.size and known and layout == "contiguous")
        return
    expected = reduce_array(name, x, axes, numbers)
    if keepdim:
        expected = expected.reshape([1 if axis in axes else size for axis, size in enumerate(x.shape)])
    assert_same(found, expected)


@pytest.mark.parametrize("axes", [(1,), (-1,), (0, 0), [0], (0.0,), None, (0, 1), (10**30,), (True,)], ids=repr)
def test_axes_that_are_none_are_handed_on(axes):
    reduce = call(reductions.reduce(kernels.sum))
    assert reduce(np.ones(3), axes, False, ()) is HANDED_ON
    assert reduce(np.ones(3), (0,), 1, ()) is HANDED_ON and reduce(np.ones(3), (0,), False) is HANDED_ON


@pytest.mark.parametrize("numbers", [(), (1,), (1.0, 1.0), [1.0], (None,), 1.0, (np.float64(1),)], ids=repr)
def test_numbers_that_are_none_are_handed_on(numbers):
    reduce = call(reductions.reduce(kernels.var))
    assert reduce(np.arange(3.0), (0,), False, (1.0,)) == 1
    assert reduce(np.arange(3.0), (0,), False, numbers) is HANDED_ON


@given(shapes, layouts, dtypes, st.data())
@settings(max_examples=200)
def test_what_broadcasting_stretched_is_added_up(shape, layout, dtype, data):
    x = array(shape, layout, dtype)
    drop = data.draw(st.integers(0, x.ndim))
    target = tuple(data.draw(st.sampled_from([1, size])) for size in x.shape[drop:])
    found = call(reductions.sum_to())(x, target)
    if found is not HANDED_ON:
        assert_same(found, dispatch.sum_to_shape(x, target))
    for wrong in ((*x.shape, 1), (*x.shape[:-1], 9), (9,), list(x.shape)):
        assert call(reductions.sum_to())(x, wrong) is HANDED_ON


@given(st.sampled_from(["softmax", "log_softmax", "softmax_vjp"]), shapes, layouts, layouts, dtypes, st.integers(-1, 3))
@settings(max_examples=80)
def test_values_for_each_element_have_the_same_bits_either_way(name, shape, first, second, dtype, axis):
    arrays = [array(shape, first, dtype), array(shape, second, dtype, 1)][: 1 + name.endswith("vjp")]
    found = call(reductions.spread(kernels.TABLE[name]))(*arrays, axis)
    if found is not HANDED_ON:
        assert_same(found, spread_array(name, axis, *arrays))
    elif 0 <= axis < len(shape) and dtype in "fd" and 0 not in shape:
        assert {first, second} - {"contiguous", "one number"} or (len(arrays) == 1 and first != "contiguous")


@given(shapes, layouts, st.sampled_from("fdl"), st.integers(-1, 3), st.booleans(), st.booleans(), st.booleans())
@settings(max_examples=200)
def test_extrema_are_where_numpy_finds_them(shape, layout, dtype, axis, keepdim, largest, nan):
    x = array(shape, layout, dtype)
    if nan and x.size > 2 and dtype != "l" and x.flags.writeable:
        x.flat[[1, x.size - 1]] = np.nan
    found = call(reductions.places())(x, axis, keepdim, largest)
    if found is HANDED_ON:
        assert not (dtype in "fd" and 0 <= axis < x.ndim and x.size and layout == "contiguous")
    else:
        assert_same(found, np.asarray((np.argmax if largest else np.argmin)(x, axis, keepdims=keepdim)))
