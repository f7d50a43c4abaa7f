"""Strides: of contiguous arrays, in what order axes lie in memory, and which are walked as one."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbgrad.kernels.strides import dense, farthest_first, joined

SHAPES = st.lists(st.integers(1, 4), max_size=5)


@st.composite
def views(draw):
    """Draw an array's shape and strides: transposed, sliced, turned and broadcast in any way."""
    shape = draw(SHAPES)
    x = np.empty(shape, np.int8)
    x = x.transpose(draw(st.permutations(range(x.ndim))))
    x = x[tuple(slice(None, None, draw(st.sampled_from([1, 1, 2, -1]))) for _ in range(x.ndim))]
    axis = draw(st.integers(0, x.ndim))
    return np.broadcast_to(np.expand_dims(x, axis), (*x.shape[:axis], draw(st.integers(1, 3)), *x.shape[axis:]))


def places(shape, strides):
    """List where the elements are, in the order of walking."""
    indices = itertools.product(*map(range, shape))
    return [sum(i * stride for i, stride in zip(index, strides, strict=True)) for index in indices]


@given(SHAPES)
def test_dense_strides_are_numpys(shape):
    assert dense(shape) == np.empty(shape, np.int8).strides


def test_dense_strides_of_nothing():
    assert dense(()) == () and dense((0, 3)) == (3, 1) and dense((3, 0)) == (0, 1)


@given(SHAPES, st.data())
def test_an_array_lies_in_memory_as_what_it_is_a_view_of(shape, data):
    order = data.draw(st.permutations(range(len(shape))))
    x = np.empty(shape, np.int8).transpose(np.argsort(order))
    first = farthest_first(x.shape, x.strides)
    assert places([x.shape[axis] for axis in first], [x.strides[axis] for axis in first]) == list(range(x.size))


def test_turned_axes_count_by_how_far_they_step():
    assert farthest_first((2, 3), (-1, 2)) == (1, 0)


def test_axes_of_one_element_come_first_in_their_order():
    assert farthest_first((2, 1, 3, 1), (3, 1, 1, 0)) == (1, 3, 0, 2)


def test_a_stretched_array_has_no_order():
    assert farthest_first((2, 3), (0, 1)) is None
    assert farthest_first((1, 3), (0, 1)) == (0, 1)  # of one element: not stretched


@given(views())
def test_joined_axes_walk_the_same_elements(x):
    groups = joined(x.shape, [x.strides])
    sizes = [math.prod(x.shape[axis] for axis in group) for group in groups]
    assert places(sizes, [x.strides[group[-1]] for group in groups]) == places(x.shape, x.strides)
    assert [axis for group in groups for axis in group] == [axis for axis, size in enumerate(x.shape) if size != 1]


@pytest.mark.parametrize(
    ("shape", "strides", "groups"),
    [
        ((2, 3, 5), [(15, 5, 1), (15, 5, 1)], [(0, 1, 2)]),
        ((2, 1, 5), [(5, 99, 1), (5, 7, 1)], [(0, 2)]),
        ((2, 3, 5), [(15, 5, 1), (0, 0, 1)], [(0, 1), (2,)]),
        ((2, 3, 5), [(15, 5, 1), (0, 1, 0)], [(0,), (1,), (2,)]),
        ((2, 3, 5), [(15, 5, 1), (3, 1, 0)], [(0, 1), (2,)]),
        ((4, 3), [(-3, -1), (-3, -1)], [(0, 1)]),
        ((1, 1), [(1, 1)], []),
        ((2, 3), [], [(0, 1)]),
    ],
)
def test_axes_that_all_arrays_step_through_evenly_are_joined(shape, strides, groups):
    assert joined(shape, strides) == groups


def test_axes_are_joined_in_the_order_they_are_given():
    assert joined((2, 3, 4), [(1, 2, 6)]) == [(0,), (1,), (2,)]
    assert joined((2, 3, 4), [(1, 2, 6)], (2, 1, 0)) == [(2, 1, 0)]


def test_axes_of_different_kinds_stay_apart():
    assert joined((2, 3, 4), [(12, 4, 1)], kind=lambda axis: axis == 2) == [(0, 1), (2,)]
    assert joined((2, 3, 4), [(12, 4, 1)], kind=lambda axis: axis == 1) == [(0,), (1,), (2,)]
