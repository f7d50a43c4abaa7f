"""The quick call of a compiled loop: which calls it answers itself, and which it hands on."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from layouts import LAYOUTS, SHAPES, array, assert_same, outcome

import nbgrad
from nbgrad.kernels.cpu import caller, ndarray
from nbgrad.kernels.cpu.caller import fast_call
from nbgrad.kernels.cpu.small.calls import SMALL
from nbgrad.ops.elementwise import OPERATIONS

pytestmark = pytest.mark.skipif(not ndarray.layout_holds(), reason="arrays cannot be read by their layout here")


@pytest.fixture
def handed_on():
    """Give the arguments of calls that were handed on."""
    return []


@pytest.fixture
def add(handed_on):
    def otherwise(*arguments):
        handed_on.append(arguments)
        return "handed on"

    nbgrad.add(np.ones(2), np.ones(2))
    return fast_call(OPERATIONS["add"].kernel, otherwise)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 3), (1, 1, 4), (SMALL,)])
def test_contiguous_arrays_of_one_shape_and_dtype_are_answered(add, handed_on, shape, dtype):
    x, y = np.full(shape, 1.5, dtype), np.full(shape, 2.25, dtype)
    found = add(x, y)
    assert type(found) is np.ndarray and found.shape == shape and found.dtype == dtype
    np.testing.assert_array_equal(found, np.full(shape, 3.75, dtype))
    out = np.empty(shape, dtype)
    assert add(x, y, out) is out
    np.testing.assert_array_equal(out, found)
    assert handed_on == []


def test_scalars_without_dimensions_go_with_any_shape(add, handed_on):
    x, one = np.arange(6.0).reshape(2, 3), np.asarray(1.0)
    np.testing.assert_array_equal(add(x, one), x + 1)
    np.testing.assert_array_equal(add(one, x), x + 1)
    assert handed_on == []


def test_results_may_lie_over_their_inputs_element_for_element(add, handed_on):
    x = np.arange(6.0)
    assert add(x, x, x) is x
    np.testing.assert_array_equal(x, 2 * np.arange(6.0))
    assert handed_on == []


@given(st.sampled_from(SHAPES), st.data(), st.sampled_from(sorted(LAYOUTS)), st.sampled_from("fd"))
@settings(max_examples=300)
def test_results_are_written_where_inputs_broadcast_to(shape, data, layout, dtype):
    """As by NumPy, which sorts out overlaps, or handed on; an input may be where the result goes."""
    drop = data.draw(st.integers(0, len(shape)))
    small = tuple(data.draw(st.sampled_from([1, size])) for size in shape[drop:])
    inputs = [array(shape), array(small, layout, dtype="d", seed=1)]
    out = data.draw(st.sampled_from(["new", "first", "within", "wrong"]))
    if out == "within" and inputs[0].ndim:
        inputs[1] = inputs[0][:1]
    place = {"new": np.empty(shape), "wrong": np.empty((*shape, 1))}.get(out, inputs[0])
    other = np.array(place)
    given = [other if x is place else np.array(x) for x in inputs]
    ufunc = OPERATIONS["sub"].kernel
    ufunc(np.ones(1), np.ones(1))
    handed = "handed on"
    found = fast_call(ufunc, lambda *_: handed)(*inputs, place)
    if out == "wrong":
        assert found is handed or shape == ()
    elif found is not handed:
        assert found is place
        ufunc(*given, out=other)
        assert_same(place, other)
    elif dtype == "d" and layout in ("contiguous", "strided", "negative", "one number"):
        assert out == "within" or place.size == 0


base = np.zeros(8)
unwriteable = np.zeros(3)
unwriteable.flags.writeable = False


class Own(np.ndarray):
    pass


@pytest.mark.parametrize(
    "arguments",
    [
        (base[:3],),
        (base[:3], base[:3], base[:3], base[:3]),
        (base[:3], 1.0),
        (base[:3], [0.0] * 3),
        (base[:3], base[:4]),
        (base[:3], base[2::-1]),
        (np.zeros((SMALL, 1)), np.zeros((1, 2))),
        (base[:4].reshape(2, 2), base[:4].reshape(2, 2).T),
        (base[:4], base[:4].reshape(2, 2)),
        (base[:3], np.zeros(3, np.float32)),
        (np.zeros(3, int), np.zeros(3, int)),
        (np.zeros(3, ">f8"), np.zeros(3, ">f8")),
        (np.zeros(3).view(Own), base[:3]),
        (np.zeros(SMALL + 1), np.zeros(SMALL + 1)),
        (np.frombuffer(bytes(25), np.float64, 3, 1), base[:3]),
        (base[:3], base[:3], unwriteable),
        (base[:3], base[:3], base[1:4]),
        (base[:3], base[:3], np.zeros(3, np.float32)),
        (base[:3], base[:3], np.zeros((1, 3))),
        (base[:3], base[:3], None),
    ],
)
def test_every_other_call_is_handed_on_as_it_is(add, handed_on, arguments):
    assert add(*arguments) == "handed on"
    (given,) = handed_on
    assert len(given) == len(arguments) and all(a is b for a, b in zip(given, arguments, strict=True))


def test_what_is_raised_there_is_raised_here():
    def otherwise(*arguments):
        raise ValueError("no")

    nbgrad.add(np.ones(2), np.ones(2))
    with pytest.raises(ValueError, match="no"):
        fast_call(OPERATIONS["add"].kernel, otherwise)(1)


@given(
    st.sampled_from(["add", "div", "lt", "exp", "where", "logical_and", "clamp"]),
    st.lists(
        st.tuples(st.sampled_from([*SHAPES, (5,), (3, 1)]), st.sampled_from(sorted(LAYOUTS))), min_size=3, max_size=3
    ),
    st.sampled_from("fd"),
)
@settings(max_examples=600)
def test_arrays_that_broadcast_are_answered_as_by_the_ufunc(name, drawn, dtype):
    operation = OPERATIONS[name]
    arrays = [array(shape, layout, dtype, seed) for seed, (shape, layout) in enumerate(drawn)][: operation.arity]
    arrays = [np.asarray(x > 0) if kind == "truth" else x for x, kind in zip(arrays, operation.kinds, strict=True)]
    found = fast_call(operation.kernel, lambda *_: "handed on")(*arrays)
    if type(found) is str:
        easy = all(layout in ("contiguous", "read-only") for _, layout in drawn[: operation.arity])
        expected = outcome(operation.kernel, *arrays)
        assert not easy or isinstance(expected, ValueError) or expected.size > SMALL
    else:
        assert_same(found, operation.kernel(*arrays, out=...))


def test_several_outputs_whole_numbers_and_arrays_of_another_layout_are_never_looked_at(monkeypatch):
    def otherwise(*arguments):
        pass

    assert fast_call(OPERATIONS["mul"].together[0], otherwise) is otherwise
    monkeypatch.setattr(caller, "layout_holds", lambda: False)
    assert fast_call(OPERATIONS["add"].kernel, otherwise) is otherwise
