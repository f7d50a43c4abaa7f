"""Arithmetic and logic with PyTorch's further arguments, compared with torch's functions."""

import cases
import numpy as np
import pytest
from cases import DTYPES, draw
from peers import peer

import nbgrad
from nbgrad import Variable

every_dtype = pytest.mark.parametrize("dtype", DTYPES)


@pytest.mark.parametrize("name", ["add", "sub"])
@pytest.mark.parametrize("alpha", [2, -0.5])
@every_dtype
def test_alpha_is_torchs(name, alpha, dtype):
    arrays = [draw(cases.ANY, shape, dtype, seed) for seed, shape in enumerate([(3, 1), (4,)])]
    function = getattr(nbgrad, name)
    cases.assert_same_as_torch(
        lambda x, y: function(x, y, alpha=alpha), lambda t, x, y: getattr(t, name)(x, y, alpha=alpha), arrays
    )
    x = Variable(arrays[0])
    np.testing.assert_array_equal(function(x, 3, alpha=alpha).data, function(x, 3 * alpha).data)
    np.testing.assert_array_equal(getattr(x, name)(x, alpha=alpha).data, function(x, x, alpha=alpha).data)


def test_alpha_of_whole_numbers():
    x, y = nbgrad.tensor([1, 2]), nbgrad.tensor([3, 4])
    assert nbgrad.add(x, y, alpha=2).tolist() == [7, 10]
    assert nbgrad.sub(x, y, alpha=2).dtype == np.int64
    with pytest.raises(TypeError, match=r"add: alpha is 0\.5 for whole numbers"):
        nbgrad.add(x, y, alpha=0.5)
    for alpha in (True, "2", np.ones(2)):
        with pytest.raises(TypeError, match="sub: alpha is a Python number, got"):
            nbgrad.sub(x, y, alpha=alpha)


QUOTIENTS = [-7.5, -7.0, -1.0, -0.5, 0.0, 0.5, 6.0, 7.5, 1e300, np.inf, -np.inf, np.nan]


@pytest.mark.parametrize("mode", ["trunc", "floor"])
@every_dtype
def test_rounded_quotients_are_torchs(mode, dtype):
    torch = peer("torch")
    with np.errstate(all="ignore"):
        x, y = (a.astype(dtype) for a in np.meshgrid(QUOTIENTS, [-2.0, 0.1, 3.0, np.inf]))
        result = nbgrad.div(Variable(x), Variable(y), rounding_mode=mode)
    expected = torch.div(torch.tensor(x), torch.tensor(y), rounding_mode=mode)
    np.testing.assert_array_equal(result.data, expected.numpy())
    assert result.dtype == np.dtype(dtype)


@pytest.mark.parametrize("mode", ["trunc", "floor"])
@pytest.mark.parametrize("dtype", ["int64", "int8", "uint8"])
def test_rounded_quotients_of_whole_numbers_are_torchs(mode, dtype):
    torch = peer("torch")
    x, y = np.meshgrid(np.arange(-9, 10).astype(dtype), np.array([2, 3, 7], dtype))
    expected = torch.div(torch.tensor(x), torch.tensor(y), rounding_mode=mode)
    result = nbgrad.div(Variable(x), Variable(y), rounding_mode=mode)
    np.testing.assert_array_equal(result.data, expected.numpy())
    assert result.dtype == np.dtype(dtype)


def test_rounded_quotients_are_flat():
    x = Variable(np.array([2.5, -3.5]))
    for mode in ("trunc", "floor"):
        (x.div(2.0, rounding_mode=mode) * x).sum().backward()
        np.testing.assert_array_equal(x.grad.data, np.trunc([1.25, -1.75]) if mode == "trunc" else [1, -2])
        x.grad = None
    with pytest.raises(ValueError, match="div: rounding_mode is None, 'trunc' or 'floor', got 'round'"):
        nbgrad.div(x, 2, rounding_mode="round")


LOGICAL = ["logical_and", "logical_or", "logical_xor"]


@pytest.mark.parametrize("name", LOGICAL)
@pytest.mark.parametrize("dtypes", [("float64", "float64"), ("int64", "bool"), ("bool", "float32"), ("bool", "bool")])
def test_numbers_are_true_unless_they_are_0(name, dtypes):
    x, y = np.meshgrid([0.0, 1.0, -3.0], [0.0, 2.0, 0.5])
    x, y = x.astype(dtypes[0]), y.astype(dtypes[1])
    expected = getattr(np, name)(x, y)
    for arguments in ((Variable(x), Variable(y)), (Variable(x), y), (x, Variable(y))):
        for function in (getattr(nbgrad, name), getattr(np, name)):
            result = function(*arguments)
            assert type(result) is Variable and result.dtype == bool
            np.testing.assert_array_equal(result.data, expected)
    np.testing.assert_array_equal(getattr(Variable(x), name)(2).data, getattr(np, name)(x, 2))
    np.testing.assert_array_equal(nbgrad.logical_not(Variable(x)).data, np.logical_not(x))


def test_what_is_no_number_is_true():
    x = nbgrad.tensor([np.nan, 0.0, np.inf])
    assert nbgrad.logical_and(x, True).tolist() == [True, False, True]
    assert nbgrad.logical_not(x).tolist() == [False, True, False]
    with pytest.raises(TypeError, match="logical_or: operand of type str"):
        nbgrad.logical_or(x, "1")
    with pytest.raises(ValueError, match="logical_xor: shapes"):
        nbgrad.logical_xor(x, nbgrad.ones(2))


def program(x, y):
    kept = nbgrad.logical_and(x > 0, nbgrad.logical_not(nbgrad.logical_xor(y, x)))
    whole = nbgrad.div(x, y, rounding_mode="trunc") + nbgrad.div(x, y, rounding_mode="floor")
    return (nbgrad.where(kept, nbgrad.sub(x, y, alpha=2), whole * y) * nbgrad.add(x, y, alpha=0.5)).sum()


def test_all_of_it_in_one_program():
    x, y = draw(cases.NONZERO, (5,)), draw(cases.NONZERO, (5,), seed=1)
    cases.check_to_second_order(program, [x, y])
    value, slopes = nbgrad.jit(nbgrad.value_and_grad(program, (0, 1)))(x, y)
    expected, theirs = nbgrad.value_and_grad(program, (0, 1))(x, y)
    np.testing.assert_allclose(value, expected, rtol=1e-13)
    for slope, other in zip(slopes, theirs, strict=True):
        np.testing.assert_allclose(slope, other, rtol=1e-13)
