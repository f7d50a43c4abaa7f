"""Who shares memory: layouts of arrays, and what one is of another."""

import gc
import weakref

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbgrad import Variable, sharing

WHOLE = np.arange(60.0).reshape(3, 4, 5)


@st.composite
def views(draw):
    """Draw views of WHOLE: slices with steps of both signs, numbers, and axes in any order."""
    keys = []
    for size in WHOLE.shape:
        if draw(st.integers(0, 4)) == 0:
            keys.append(draw(st.integers(0, size - 1)))
        else:
            step = draw(st.sampled_from([1, 1, 2, 3, -1, -2]))
            begin, end = draw(st.integers(0, size - 1)), draw(st.integers(0, size))
            keys.append(slice(begin, end, step) if step > 0 else slice(begin, None, step))
    view = WHOLE[(*keys, ...)]
    order = draw(st.permutations(range(view.ndim)))
    return view.transpose(order)


@given(views(), views())
def test_positions_of_what_two_views_share(a, b):
    here, there = sharing.shared_positions(sharing.layout_of(a), sharing.layout_of(b))
    shared = sorted(set(a.reshape(-1).tolist()) & set(b.reshape(-1).tolist()))
    assert sorted(a.reshape(-1)[here].tolist()) == shared  # the elements of WHOLE tell where they are
    np.testing.assert_array_equal(a.reshape(-1)[here], b.reshape(-1)[there])
    assert sharing.share(a, b) == bool(shared)


@given(views())
def test_the_index_by_which_one_is_a_view_of_another(part):
    if not part.size:
        return
    found = sharing.view_between(sharing.layout_of(WHOLE), sharing.layout_of(part))
    assert found is not None
    key, order = found
    np.testing.assert_array_equal(WHOLE[key].transpose(order).reshape(part.shape), part)


def test_what_is_no_slice_has_no_index():
    flat = sharing.layout_of(WHOLE)
    assert sharing.view_between(flat, sharing.layout_of(WHOLE.reshape(-1)[3:40])) is None
    diagonal = np.lib.stride_tricks.as_strided(WHOLE, (3,), (8 * 26,))
    assert sharing.view_between(flat, sharing.layout_of(diagonal)) is None


def test_broadcast_arrays_share_each_element_as_often_as_it_is_there():
    row = WHOLE[0, 0]
    broadcast = np.broadcast_to(row, (2, 5))
    here, there = sharing.shared_positions(sharing.layout_of(broadcast), sharing.layout_of(row))
    assert here.tolist() == list(range(10)) and there.tolist() == [0, 1, 2, 3, 4] * 2
    with pytest.raises(RuntimeError, match=r"both with elements that are one place in memory.*clone"):
        sharing.shared_positions(sharing.layout_of(broadcast), sharing.layout_of(broadcast))
    with pytest.raises(RuntimeError, match="different dtypes"):
        sharing.shared_positions(sharing.layout_of(WHOLE), sharing.layout_of(WHOLE.view(np.int32)))


def test_layouts():
    layout = sharing.layout_of(WHOLE[::-1, 1:3, ::2])
    low, high = layout.bounds
    assert low == WHOLE.ctypes.data + 5 * 8 and high == WHOLE.ctypes.data + (2 * 20 + 2 * 5 + 4 + 1) * 8
    assert layout.size == 18 and not layout.is_dense() and layout.is_nested() and not layout.is_in_order()
    whole = sharing.layout_of(WHOLE)
    assert whole.is_dense() and whole.is_in_order() and sharing.layout_of(WHOLE.T).is_dense()
    assert sharing.layout_of(WHOLE[:0]).bounds == (WHOLE.ctypes.data, WHOLE.ctypes.data)


def test_owners():
    array = np.zeros(6)
    assert sharing.owner_of(array.reshape(2, 3)[1:].T) is array and sharing.owner_of(array) is array
    # what stands between an array and its memory
    for view in (
        np.lib.stride_tricks.as_strided(array, (2,), (16,)),
        np.lib.stride_tricks.sliding_window_view(array[1:], 2)[1:],
        np.asarray(memoryview(array)[2:]),
    ):
        assert not isinstance(view.base, np.ndarray) or sharing.owner_of(view.base) is array
        assert sharing.owner_of(view) is array
    buffer = bytearray(8)
    foreign = np.frombuffer(buffer)
    assert sharing.owner_of(foreign) is foreign


def test_groups_end_with_their_memory():
    sharing.active or sharing.activate()
    x = Variable(np.zeros(4), requires_grad=False)
    sharing.note(x)
    key = id(x.data)
    for i in range(100):
        parts = [Variable(x.data[i % 4 :], requires_grad=False)]
    assert len(sharing._groups[key][1]) < 40  # those that are gone were taken off
    assert sharing.others(x, x.data) == parts
    assert sharing.others(x, x.data[:3]) == []
    reference = weakref.ref(x)
    del x, parts
    gc.collect()
    assert reference() is None and key not in sharing._groups
