"""Which target an array's call goes to: NumPy's arrays to the CPU's kernels, stand-ins to themselves."""

import itertools

import numpy as np
import pytest

import nbgrad
from nbgrad.kernels import dispatch
from nbgrad.kernels.cpu import caller
from nbgrad.kernels.formula import SIGNED
from nbgrad.ops.elementwise import OPERATIONS


class StandIn:
    """Stands for an array, and tells what it was asked."""

    __nbgrad_array__ = True
    rank = 0
    within = None

    def __init__(self, shape):
        self.shape, self.ndim = shape, len(shape)
        self.asked = []

    def folded(self, name, axes, *others):
        self.asked.append((name, axes, *others))
        return StandIn(tuple(size for axis, size in enumerate(self.shape) if axis not in axes))

    def reshape(self, shape):
        self.asked.append(shape)
        return StandIn(shape)


def test_arrays_are_reduced():
    x = np.arange(24.0).reshape(2, 3, 4)
    np.testing.assert_array_equal(dispatch.reduce_array("sum", x, (0, 2)), x.sum((0, 2)))
    np.testing.assert_array_equal(dispatch.spread_array("softmax", 0, np.zeros((2, 3))), np.full((2, 3), 0.5))


def test_what_stands_in_for_an_array_answers_for_itself():
    x, y = StandIn((2, 3)), StandIn((2, 3))
    assert dispatch.reduce_array("amax", x, (1,)).shape == (2,)
    dispatch.spread_array("softmax_vjp", 1, x, y)
    assert x.asked == [("amax", (1,)), ("softmax_vjp", (1,), y)]
    x = StandIn(())
    dispatch.spread_array("softmax", 0, x)
    assert x.asked == [("softmax", ())]


@pytest.mark.parametrize(
    ("shape", "small"), [((2, 3), (2, 3)), ((2, 3), (1, 3)), ((2, 3), (3,)), ((2, 3), ()), ((4, 2, 3), (2, 1))]
)
def test_what_was_stretched_is_summed(shape, small):
    x = np.arange(float(np.prod(shape))).reshape(shape)
    found = dispatch.sum_to_shape(x, small)
    assert found.shape == small
    ones = np.ones(small)
    assert np.vdot(found, ones) == np.vdot(x, np.broadcast_to(ones, shape))
    assert (found is x) == (shape == small)


def test_a_stand_in_is_summed_by_itself():
    x = StandIn((4, 2, 3))
    assert dispatch.sum_to_shape(x, (2, 1)).shape == (2, 1)
    assert x.asked == [("sum", (0, 2))]


def test_calls_give_arrays_and_take_where_results_go():
    nbgrad.neg(np.ones(2))
    call = dispatch.caller(OPERATIONS["neg"].kernel)
    x = np.arange(6.0).reshape(2, 3)[:, ::2]
    found = call(x)
    assert type(found) is np.ndarray and found.dtype == x.dtype
    np.testing.assert_array_equal(found, -x)
    assert type(call(3.0)) is np.ndarray and call(3.0) == -3  # not a scalar of NumPy's
    out = np.empty((2, 2))
    assert call(x, out) is out and (out == -x).all()


def test_functions_of_the_sign_refuse_truth_values():
    call = dispatch.caller(OPERATIONS["neg"].kernel, SIGNED)
    for truth in (True, np.bool_(True), np.ones(3, bool)):
        with pytest.raises(TypeError, match="neg: truth values have no sign"):
            call(truth)
    np.testing.assert_array_equal(call(np.arange(3.0)), -np.arange(3.0))


def test_what_follows_from_one_number_repeated_is_one_number_repeated():
    one = np.broadcast_to(np.array(3.0), (70, 100))
    row = np.arange(100.0)
    neg, mul = (dispatch.caller(OPERATIONS[name].kernel, views=True) for name in ("neg", "mul"))
    for found, wanted in ((neg(one), -one), (mul(one, row), one * row), (mul(one, one * 2), one * one * 2)):
        assert found.shape == (70, 100) and found.dtype == np.float64
        np.testing.assert_array_equal(found, wanted)
    assert neg(one).strides == (0, 0) and mul(one, row).strides == (0, 8)
    assert mul(one, np.ones((70, 100))).flags.writeable
    assert dispatch.caller(OPERATIONS["neg"].kernel)(one).flags.writeable  # elsewhere results are arrays
    out = np.empty((70, 100))
    assert neg(one, out) is out and (out == -3).all()


def test_one_number_repeated_is_summed_by_multiplying():
    for dtype in ("float32", "float64"):
        one = np.broadcast_to(np.array(0.1, dtype), (70, 100))
        for shape in ((100,), (70, 1), (1, 1), ()):
            found = dispatch.sum_to_shape(one, shape)
            assert found.shape == shape and found.dtype == dtype
            np.testing.assert_allclose(
                found, dispatch.sum_to_shape(one.copy(), shape), rtol=1e-6 if dtype == "float32" else 1e-14
            )
    whole = np.broadcast_to(np.array(3), (70, 100))
    np.testing.assert_array_equal(dispatch.sum_to_shape(whole, (100,)), np.full(100, 210))


@pytest.mark.parametrize("which", [*itertools.product([False, True], repeat=3)], ids=str)
def test_numbers_among_many_elements_change_no_bits(which):
    x = np.linspace(0.5, 2, 5000)
    where = OPERATIONS["clamp"]
    arrays = [np.array(1.25) if single else x + i for i, single in enumerate(which)]
    found = where.call(*arrays)
    given = caller.with_few_numbers(3, tuple(arrays))
    assert sum(type(a) is np.ndarray and not a.ndim for a in given) <= (3 if all(which) else 2)
    expected = where.kernel(*np.broadcast_arrays(*arrays), out=...)
    assert found.shape == expected.shape and found.tobytes() == expected.tobytes()
    few = tuple([a[..., :10] if a.ndim else a for a in arrays])
    assert caller.with_few_numbers(3, few) is few


class Answering(StandIn):
    """Answers for ufuncs, or leaves that to the other operand."""

    def __init__(self, rank, answer):
        super().__init__((3,))
        self.rank, self.answer = rank, answer

    def __array_ufunc__(self, ufunc, method, *inputs, **options):
        self.asked.append((ufunc, method, inputs, options))
        return self.answer


def test_what_stands_in_for_an_array_is_asked_at_once_the_foremost_first():
    add = OPERATIONS["add"].kernel
    low, high = Answering(0, "low"), Answering(1, "high")
    assert dispatch.stand_in_caller(add)(low, high) == "high"
    assert high.asked == [(add, "__call__", (low, high), {})] and not low.asked
    assert dispatch.stand_in_caller(add)(low, 1.0, low) == "low"
    assert low.asked == [(add, "__call__", (low, 1.0), {"out": (low,)})]


def test_what_does_not_answer_is_left_to_numpy():
    kind = type("Other", (Answering,), {})  # of one class, NumPy asks one
    silent, other = Answering(1, NotImplemented), kind(0, "other")
    assert dispatch.stand_in_caller(OPERATIONS["add"].kernel)(silent, other) == "other"
    assert dispatch.stand_in_caller(OPERATIONS["add"].kernel)(np.ones(3), np.ones(3)).tolist() == [2, 2, 2]
