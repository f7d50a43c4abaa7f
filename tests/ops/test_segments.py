"""Reductions of segments: against torch's, to second order, under jit, on the device, and what is refused."""

import numpy as np
import pytest
from cases import ANY, assert_same_as_torch, check_gradients, draw

import nbgrad
from nbgrad import Variable

LENGTHS = np.array([2, 0, 3])
KINDS = ("sum", "mean", "prod", "max", "min")


@pytest.mark.parametrize("kind", KINDS)
def test_segments_are_torchs_and_have_gradients_to_second_order(kind):
    x = draw(ANY, (5, 2))

    def reduced(x, lengths=LENGTHS):
        return nbgrad.segment_reduce(x, kind, lengths=lengths, initial=0.5)

    assert_same_as_torch(reduced, lambda t, x: t.segment_reduce(x, kind, lengths=t.tensor(LENGTHS), initial=0.5), [x])
    check_gradients(reduced, [x], 2)
    np.testing.assert_allclose(nbgrad.jit(reduced)(x), reduced(x), rtol=1e-13)
    if kind in ("sum", "mean"):  # the others ask how many meet in a place
        for lengths in (LENGTHS, np.array([1, 4, 0])):
            np.testing.assert_allclose(COMPILED[kind](x, lengths), reduced(x, lengths), rtol=1e-13)


COMPILED = {
    kind: nbgrad.jit(lambda x, lengths, kind=kind: nbgrad.segment_reduce(x, kind, lengths=lengths, initial=0.5))
    for kind in ("sum", "mean")
}


@pytest.mark.parametrize("kind", KINDS)
def test_offsets_say_the_same_as_lengths(kind):
    x = Variable(draw(ANY, (2, 6, 3)))
    lengths = np.array([[2, 0, 4], [1, 5, 0]])
    offsets = np.array([[0, 2, 2, 6], [0, 1, 6, 6]])
    for initial in (None, 0.5):
        found = nbgrad.segment_reduce(x, kind, lengths=lengths, axis=1, initial=initial)
        same = nbgrad.segment_reduce(x, kind, offsets=Variable(offsets), axis=-2, initial=initial)
        np.testing.assert_array_equal(found.data, same.data)
    rows = [nbgrad.segment_reduce(row, kind, lengths=each, initial=0.5) for row, each in zip(x, lengths, strict=True)]
    np.testing.assert_array_equal(found.data, [row.data for row in rows])


def test_empty_segments_and_what_is_in_none():
    x = nbgrad.tensor([1.0, 2.0, 3.0])
    empty = [nbgrad.segment_reduce(x, kind, lengths=[3, 0])[1].item() for kind in KINDS]
    np.testing.assert_array_equal(empty, [0, np.nan, 1, -np.inf, np.inf])
    assert nbgrad.segment_reduce(x, "sum", lengths=[1, 1], unsafe=True).tolist() == [1, 2]
    assert nbgrad.segment_reduce(x, "sum", offsets=[1, 3]).tolist() == [5]
    assert nbgrad.segment_reduce(x[:0], "sum", lengths=[]).tolist() == []
    np.testing.assert_array_equal(nbgrad.segment_reduce(np.ones((0, 2)), "sum", lengths=[0]), [[0, 0]])


def test_wrong_segments_are_refused():
    x = nbgrad.ones(3, 2)
    for error, message, arguments in (
        (ValueError, "segment_reduce: reduce is 'median'", {"reduce": "median", "lengths": [3]}),
        (ValueError, "give lengths, or offsets", {}),
        (ValueError, "give lengths, or offsets", {"lengths": [3], "offsets": [0, 3]}),
        (ValueError, r"lengths of shape \(1, 1\) for axis 0 of shape \(3, 2\)", {"lengths": [[3]]}),
        (ValueError, r"offsets of shape \(0,\)", {"offsets": []}),
        (ValueError, "begin and end at .* of 3 elements", {"lengths": [1, 1]}),
        (ValueError, "begin and end at", {"offsets": [0, 2, 1, 3]}),
        (ValueError, "segments from 0 to 4 of 3", {"lengths": [4]}),
        (ValueError, "segments from -1 to 3 of 3", {"lengths": [-1, 4]}),
        (TypeError, "positions have dtype float64", {"lengths": [1.0, 2.0]}),
        (IndexError, "dimension 2 is out of range", {"lengths": [3], "axis": 2}),
    ):
        with pytest.raises(error, match=message):
            nbgrad.segment_reduce(x, **{"reduce": "sum", **arguments})
    with pytest.raises(TypeError, match=r"data of dtype int64 and shape \(3,\)"):
        nbgrad.segment_reduce([1, 2, 3], "sum", lengths=[3])
    with pytest.raises(ValueError, match="segments from 0 to 6 of 5"):
        COMPILED["sum"](np.ones((5, 2)), np.array([2, 2, 2]))
