"""Variances, standard deviations, and counts of what is not zero."""

import itertools
from contextlib import nullcontext

import cases
import numpy as np
import pytest
from cases import DTYPES, INTEGERS, LAYOUTS, STATISTICS, TOLERANCE, WITHOUT_NAN, draw
from helpers import usually
from peers import peer

import nbgrad
from nbgrad import Variable

SHAPE = (3, 4, 5)
AXES = [None, 0, -1, (0, 2), (0, 1, 2)]
COUNTS = {
    "any": (nbgrad.any, np.any),
    "all": (nbgrad.all, np.all),
    "count_nonzero": (nbgrad.count_nonzero, np.count_nonzero),
}

every_statistic = pytest.mark.parametrize("case", STATISTICS, ids=repr)
every_count = pytest.mark.parametrize("name", COUNTS)
every_axes = pytest.mark.parametrize("axes", AXES, ids=str)


def dims_of(axes):
    return tuple(range(3)) if axes is None else tuple(axis % 3 for axis in np.atleast_1d(axes).tolist())


@every_statistic
@every_axes
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("layout", ["contiguous", "negative-stride", "Fortran-ordered"])
def test_values_are_numpys_and_gradients_torchs(case, axes, dtype, layout):
    array = LAYOUTS[layout](draw(cases.NONZERO, SHAPE, dtype))
    dims = dims_of(axes)
    for keepdim in (False, True):
        found = case.function(array, axes, keepdim)
        wanted = case.numpy(array, axis=dims, keepdims=keepdim)
        assert found.shape == wanted.shape and found.dtype == dtype
        np.testing.assert_allclose(found, wanted, **TOLERANCE[dtype])
        cases.assert_same_as_torch(
            lambda x, keepdim=keepdim: case.function(x, axes, keepdim),
            lambda t, x, keepdim=keepdim: case.torch(t, x, dims, keepdim),
            [array],
            LAYOUTS[layout],
        )


@every_statistic
@every_axes
def test_gradients_agree_with_differences_to_second_order(case, axes):
    cases.check_to_second_order(lambda x: case.function(x, axes), [draw(cases.NONZERO, (3, 2, 2))])


@every_statistic
@pytest.mark.parametrize("correction", [0, 1, 2, 0.5, 3, 4])
@pytest.mark.filterwarnings("ignore")
def test_corrections(case, correction):
    """As torch and NumPy have it, also where there are too few elements."""
    array = draw(cases.ANY, (4, 3))
    ours = getattr(nbgrad, case.name)
    for axis in (None, 0, 1):
        found = ours(Variable(array), axis, correction=correction).data
        np.testing.assert_allclose(found, case.numpy(array, axis, ddof=correction), rtol=1e-12)
        theirs = getattr(peer("torch").tensor(array), case.name)(axis, correction=correction)
        np.testing.assert_allclose(found, theirs, rtol=1e-12)


@every_statistic
def test_ways_to_say_it(case):
    ours, x = getattr(nbgrad, case.name), Variable(draw(cases.ANY, SHAPE))
    wanted = case.numpy(x.data, 1, ddof=1, keepdims=True)
    for found in (
        ours(x, 1, keepdim=True),
        ours(x, axis=1, keepdims=True),
        ours(x, dim=(1,), unbiased=True, keepdim=True),
        getattr(x, case.name)(1, correction=1, keepdim=True),
    ):
        np.testing.assert_allclose(found.data, wanted, rtol=1e-12)
    np.testing.assert_allclose(ours(x, False).item(), case.numpy(x.data), rtol=1e-12)
    both = getattr(nbgrad, f"{case.name}_mean")
    for options in ({}, {"dim": 1, "keepdim": True}, {"axis": (0, 2), "correction": 2}, {"dim": True}):
        value, mean = both(x, **options)
        assert mean.shape == value.shape
        np.testing.assert_array_equal(value.data, ours(x, **options).data)
        axes = options.get("axis", 1 if options.get("dim") is not True and "dim" in options else None)
        np.testing.assert_allclose(mean.data, x.data.mean(axes, keepdims="keepdim" in options), rtol=1e-12)


@every_statistic
@pytest.mark.parametrize("dtype", ["bool", *INTEGERS])
def test_whole_numbers_give_float64(case, dtype):
    array = np.array([[0, 1, 1], [1, 0, 3]]).astype(dtype)
    found = case.function(Variable(array), 1).data
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, case.numpy(array, 1), rtol=1e-14)


def test_the_slope_of_a_deviation_of_zero_is_zero():
    x = Variable(np.array([[2.0, 2.0], [1.0, 3.0]]))
    y = nbgrad.std(x, 1).sum()
    (first,) = nbgrad.autograd.grad(y, x, create_graph=True)
    np.testing.assert_allclose(first.data, [[0, 0], [-(0.5**0.5), 0.5**0.5]], rtol=1e-14)
    (second,) = nbgrad.autograd.grad(first[0, 0] + first[1].sum(), x)
    np.testing.assert_allclose(second.data, np.zeros((2, 2)), atol=1e-14)


def test_far_from_zero_digits_stay():
    array = 1e8 + draw(cases.ANY, (1000,))
    np.testing.assert_allclose(nbgrad.var(array), np.var(array, ddof=1), rtol=1e-12)


@every_statistic
def test_refusals(case):
    ours = getattr(nbgrad, case.name)
    for x in (np.ones((2, 3)), nbgrad.ones(2, 3)):
        for options, kind, words in (
            ({"dim": 2}, IndexError, "dimension 2 is out of range"),
            ({"dim": 0, "axis": 1}, TypeError, "give dim or axis, not both"),
            ({"correction": 1, "unbiased": True}, TypeError, "give correction or unbiased, not both"),
            ({"correction": "one"}, TypeError, "correction is 'one': it is a number"),
            ({"dim": True, "unbiased": True}, TypeError, "dim is True: a dimension is a whole number"),
        ):
            with pytest.raises(kind, match=f"{case.name}: {words}"):
                ours(x, **options)
    with pytest.raises(TypeError, match=f"{case.name}: no kernel for dtype complex128"):
        ours(np.ones(3, complex))


@pytest.mark.parametrize("values", [[2.0], [2.0, 2.0, 2.0], [2.0, 3.0], [1.0, np.inf]], ids=str)
@pytest.mark.parametrize("correction", [0, 1, 2])
@every_statistic
@pytest.mark.filterwarnings("ignore")
def test_gradients_of_what_is_all_the_same_or_too_few_are_torchs(case, correction, values):
    if correction > len(values):
        pytest.skip("torch divides by a negative number then")
    torch = peer("torch")
    x, t = Variable(np.array(values)), torch.tensor(values, dtype=torch.float64, requires_grad=True)
    getattr(nbgrad, case.name)(x, 0, correction=correction).backward()
    getattr(t, case.name)(0, correction=correction).backward()
    np.testing.assert_allclose(x.grad.data, t.grad.numpy(), rtol=1e-12)


def test_float32_is_as_exact_as_its_elements():
    """Squared differences are computed in float64 from a mean that is not rounded, also from parts."""
    for shape in ((1000,), (300_000,), (2000, 80)):
        x = (1e4 + np.random.default_rng(0).normal(size=shape)).astype(np.float32)
        exact = np.var(x.astype(np.float64), 0, ddof=1)
        np.testing.assert_allclose(nbgrad.var(x, 0), exact, rtol=6.1e-8)
    np.testing.assert_allclose(nbgrad.std(x[:, 0]), np.sqrt(exact[0]), rtol=6.1e-8)


# ---- without NaN ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", WITHOUT_NAN, ids=repr)
@every_axes
@pytest.mark.parametrize("dtype", usually(DTYPES, "float64"))
@pytest.mark.parametrize("layout", ["contiguous", "negative-stride", "Fortran-ordered"])
def test_what_is_not_nan_counts(case, axes, dtype, layout):
    array = draw(cases.NONZERO, SHAPE, dtype)
    array[0, 1:, 2] = array[1, 2] = np.nan
    array = LAYOUTS[layout](array)
    dims = dims_of(axes)
    for keepdim in (False, True):
        with np.errstate(all="ignore"), pytest.warns() if axes == -1 and case.name == "nanmean" else nullcontext():
            wanted = case.numpy(array, axis=dims, keepdims=keepdim)
        found = case.function(array, axes, keepdim)
        assert found.shape == wanted.shape and found.dtype == dtype
        np.testing.assert_allclose(found, wanted, **TOLERANCE[dtype])
        if axes != -1:
            cases.assert_same_as_torch(
                lambda x, keepdim=keepdim: case.function(x, axes, keepdim),
                lambda t, x, keepdim=keepdim: case.torch(t, x, dims, keepdim),
                [array],
                LAYOUTS[layout],
            )


@pytest.mark.parametrize("case", WITHOUT_NAN, ids=repr)
def test_without_nan_gradients_agree_with_differences_to_second_order(case):
    array = draw(cases.NONZERO, (3, 2, 2))
    for axes in (None, 0, (1, 2)):
        cases.check_to_second_order(lambda x, axes=axes: case.function(x, axes), [array])
    x = Variable(np.array([[1.0, np.nan], [np.nan, np.nan]]))
    case.function(x, 1).sum().backward()
    np.testing.assert_array_equal(x.grad.data, [[1, 0], [0, 0]])  # of nothing but NaN too


@pytest.mark.parametrize("dtype", ["bool", *INTEGERS])
def test_whole_numbers_are_never_nan(dtype):
    array = np.array([[0, 1, 1], [1, 0, 3]]).astype(dtype)
    for case in WITHOUT_NAN:
        found, wanted = case.function(array, 1), case.numpy(array, 1)
        assert found.dtype == wanted.dtype
        np.testing.assert_allclose(found, wanted, rtol=1e-15)
    whole = np.full(140_000, 2**53 + 1)
    assert nbgrad.nansum(whole) == whole.sum()  # in parts, too


# ---- counts ---------------------------------------------------------------------------------------------------------


@every_count
@every_axes
@pytest.mark.parametrize("dtype", ["bool", "float32", "float64", "uint8", "int64"])
def test_counts_are_numpys(name, axes, dtype):
    ours, numpys = COUNTS[name]
    array = np.array([0, 0, 1, 2, 0, 1, 1, 3] * 3).astype(dtype).reshape(3, 2, 4)
    array[1] = 1
    for keepdim in (False, True):
        wanted = np.asarray(numpys(array, axis=None if axes is None else axes, keepdims=keepdim))
        for found in (ours(array, axes, keepdim), getattr(Variable(array), name)(axis=axes, keepdims=keepdim).data):
            assert isinstance(found, np.ndarray)
            assert found.dtype == wanted.dtype
            np.testing.assert_array_equal(found, wanted)


@every_count
def test_counts_of_what_is_special(name):
    ours, numpys = COUNTS[name]
    for array in (np.array([np.nan, -0.0, np.inf]), np.array(0.0), np.array(True), np.zeros((0, 2)), [0, 1]):
        assert ours(array).item() == numpys(array)
        if np.ndim(array) == 2:
            for axis in (0, 1):
                np.testing.assert_array_equal(ours(array, axis), numpys(array, axis))
    y = ours(nbgrad.ones(3, requires_grad=True))
    assert isinstance(y, Variable) and not y.requires_grad


@every_count
def test_counts_are_torchs(name):
    torch = peer("torch")
    for values in itertools.product([0.0, 1.0], repeat=2):
        wanted = getattr(torch.tensor(values), name)()
        assert getattr(nbgrad.tensor(values), name)().item() == wanted.item()
