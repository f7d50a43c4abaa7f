"""Norms of every order: NumPy's values, torch's gradients, and what is special at 0."""

import cases
import numpy as np
import pytest
from cases import DTYPES, LAYOUTS, NORMS, TOLERANCE, draw
from helpers import usually
from peers import peer

import nbgrad
from nbgrad import Variable

SHAPE = (3, 4, 5)
AXES = [None, 0, -1, (0, 2)]

every_norm = pytest.mark.parametrize("case", NORMS, ids=repr)


@every_norm
@pytest.mark.parametrize("axes", AXES, ids=str)
@pytest.mark.parametrize("dtype", usually(DTYPES, "float64"))
@pytest.mark.parametrize("layout", ["contiguous", "negative-stride", "Fortran-ordered", "broadcast"])
def test_values_are_numpys_and_gradients_torchs(case, axes, dtype, layout):
    array = LAYOUTS[layout](draw(cases.NONZERO, SHAPE, dtype))
    for keepdim in (False, True):
        found = case.function(array, axes, keepdim)
        wanted = case.numpy(array, axis=axes, keepdims=keepdim)
        assert found.shape == wanted.shape and found.dtype == dtype
        np.testing.assert_allclose(found, wanted, **TOLERANCE[dtype])
        cases.assert_same_as_torch(
            lambda x, keepdim=keepdim: case.function(x, axes, keepdim),
            lambda t, x, keepdim=keepdim: case.torch(t, x, axes, keepdim),
            [array],
            LAYOUTS[layout],
        )


@every_norm
@pytest.mark.parametrize("axes", AXES, ids=str)
def test_gradients_agree_with_differences_to_second_order(case, axes):
    cases.check_to_second_order(lambda x: case.function(x, axes), [draw(cases.NONZERO, (3, 2, 2))])


@every_norm
def test_scalars_and_nothing(case):
    x = Variable(np.array(-1.5))
    y = case.function(x)
    y.backward()
    assert (y.shape, y.item(), x.grad.item()) == ((), 1.5, -1)
    assert case.function(np.zeros((0, 3)), 1).shape == (0,)
    if case.name in ("norm_inf", "norm_-inf"):
        with pytest.raises(ValueError, match="no elements to take it of in shape"):
            case.function(np.zeros(0))
    elif case.name != "norm_-1":  # the power of an empty sum is infinite
        assert case.function(np.zeros(0)) == 0


@pytest.mark.parametrize("order", [0.5, 1, 1.5, 2, 3, -1, np.inf, -np.inf])
@pytest.mark.parametrize(
    "values",
    [[0.0, 0.0, 0.0], [0.0, 1.0, -2.0], [2.0, -2.0, 1.0], [3.0, -1.0, -1.0], [np.inf, 1.0, 2.0]],
    ids=str,
)
def test_zeros_and_ties_are_torchs(order, values):
    torch = peer("torch")
    if order == 0.5 and np.isinf(values[0]):
        pytest.skip("torch has infinity times 0 here")
    x, t = Variable(np.array(values)), torch.tensor(values, dtype=torch.float64, requires_grad=True)
    y, z = nbgrad.linalg.vector_norm(x, order), torch.linalg.vector_norm(t, order)
    y.backward()
    z.backward()
    np.testing.assert_allclose(y.item(), z.item(), rtol=1e-14)
    np.testing.assert_allclose(x.grad.data, t.grad.numpy(), rtol=1e-14)


def test_the_slope_at_0_is_flat():
    x = Variable(np.zeros(3))
    (first,) = nbgrad.autograd.grad(nbgrad.norm(x), x, create_graph=True)
    (second,) = nbgrad.autograd.grad(first.sum(), x)
    np.testing.assert_array_equal([first.data, second.data], np.zeros((2, 3)))


def test_order_0_counts_and_has_no_gradient():
    x = Variable(np.array([[0.0, 2.0], [np.nan, -0.0]], np.float32))
    y = nbgrad.linalg.vector_norm(x, 0, 1)
    assert y.dtype == np.float32
    np.testing.assert_array_equal(y.data, [1, 1])
    y.sum().backward()
    assert x.grad is None


def test_squares_of_float32_are_in_range():
    x = Variable(np.array([3e30, -4e30, 0, 0], np.float32))
    y = nbgrad.linalg.vector_norm(x)
    y.backward()
    np.testing.assert_allclose(y.item(), 5e30, rtol=1e-7)
    np.testing.assert_allclose(x.grad.data, [0.6, -0.8, 0, 0], rtol=1e-6)


def test_ways_to_say_it():
    x = Variable(draw(cases.ANY, SHAPE))
    wanted = np.linalg.vector_norm(x.data, axis=1, keepdims=True)
    norm = nbgrad.linalg.vector_norm
    for found in (norm(x, dim=1, keepdim=True), norm(x, axis=1, keepdims=True), x.norm(dim=1, keepdim=True)):
        np.testing.assert_allclose(found.data, wanted, rtol=1e-14)
    for order in ("fro", None, 2):
        np.testing.assert_array_equal(nbgrad.norm(x, order, 1, True).data, norm(x, 2, 1, True).data)
    assert norm(np.array([3, 4])).dtype == np.float64
    single = norm(np.array([3, 4]), dtype=np.float32)
    assert single.dtype == np.float32 and single == 5


def test_refusals():
    x = nbgrad.ones(2, 3)
    norm = nbgrad.linalg.vector_norm
    for options, kind, words in (
        ({"dim": 2}, IndexError, "dimension 2 is out of range"),
        ({"dim": 0, "axis": 1}, TypeError, "give dim or axis, not both"),
        ({"ord": "fro"}, TypeError, "the order is 'fro': it is a number, or inf or -inf"),
        ({"ord": np.nan}, TypeError, "the order is nan: it is a number"),
        ({"dtype": np.int64}, TypeError, "dtype is int64: the result is floating"),
    ):
        with pytest.raises(kind, match=f"vector_norm: {words}"):
            norm(x, **options)
    with pytest.raises(ValueError, match="norm: the order is 'max'"):
        x.norm("max")
    with pytest.raises(TypeError, match="norm: no kernel for dtype complex128"):
        norm(np.ones(3, complex))
