"""What is constant between its steps: rounding, truth about elements, bits of whole numbers."""

import numpy as np
import pytest
from cases import ANY
from families import Member, check_derivatives, check_traced, check_values, parameters
from peers import peer

import nbgrad

WIDE = ((-40.0, 40.0),)
ROUNDING = [
    *(Member(n, getattr(nbgrad, n), lambda t, x, n=n: getattr(t, n)(x), (WIDE,)) for n in ("floor", "ceil", "trunc")),
    *(Member(n, getattr(nbgrad, n), lambda t, x, n=n: getattr(t, n)(x), (WIDE,)) for n in ("round", "frac")),
    Member("sgn", nbgrad.sgn, lambda t, x: t.sgn(x), (WIDE,), order=0),
    Member("round 1", lambda x: nbgrad.round(x, 1), lambda t, x: t.round(x, decimals=1), (WIDE,)),
    Member("round -1", lambda x: nbgrad.round(x, -1), lambda t, x: t.round(x, decimals=-1), (WIDE,)),
    Member("nextafter", nbgrad.nextafter, lambda t, x, y: t.nextafter(x, y), (ANY, ANY), order=0, traced=False),
]
every_rounding = pytest.mark.parametrize("member", parameters(ROUNDING))


@every_rounding
def test_rounding_is_torchs(member):
    check_values(member)


@every_rounding
def test_its_slope_is_that_of_differences(member):
    check_derivatives(member)


@every_rounding
def test_it_is_traced(member, kernels):
    check_traced(member)


def test_whole_numbers_stay():
    x = nbgrad.tensor([1, -2])
    assert nbgrad.floor(x).dtype == np.int64 and nbgrad.round(x).tolist() == [1, -2]
    with pytest.raises(TypeError, match="round: 2 decimals of dtype int64"):
        nbgrad.round(x, 2)
    with pytest.raises(TypeError, match="floor: no rounding for dtype bool"):
        nbgrad.floor(nbgrad.tensor([True]))


def test_signs_of_zeros_are_kept():
    y = nbgrad.ceil(nbgrad.tensor([-0.3])).data
    assert y[0] == 0 and np.signbit(y[0])


SPECIAL_VALUES = [0.0, -0.0, 1.5, -2.5, np.inf, -np.inf, np.nan]


@pytest.mark.parametrize("name", ["isnan", "isinf", "isfinite", "isposinf", "isneginf", "isreal", "signbit"])
def test_truth_about_elements_is_torchs(name):
    torch = peer("torch")
    for values in (SPECIAL_VALUES, [0, 1, -1], [True, False]):
        x = nbgrad.tensor(values)
        found = getattr(nbgrad, name)(x)
        assert found.dtype == np.bool_ and not found.requires_grad
        np.testing.assert_array_equal(found.data, getattr(torch, name)(torch.tensor(values)).numpy())
        np.testing.assert_array_equal(getattr(nbgrad, name)(x.data), found.data)


def test_close_and_equal():
    x = nbgrad.tensor([1.0, np.nan, np.inf, 2.0])
    y = nbgrad.tensor([1.0 + 1e-6, np.nan, np.inf, 2.1])
    assert nbgrad.isclose(x, y).tolist() == [True, False, True, False]
    assert nbgrad.isclose(x, y, equal_nan=True).tolist() == [True, True, True, False]
    assert nbgrad.allclose(x[:1], y[:1]) is True and nbgrad.allclose(x, y, rtol=0.1, equal_nan=True) is True
    assert nbgrad.equal(x, x) is False and nbgrad.equal(y[:1], y[:1]) is True and not nbgrad.equal(x, x[:1])
    with pytest.raises(ValueError, match="isclose: rtol is -1"):
        nbgrad.isclose(x, y, rtol=-1)
    with pytest.raises(TypeError, match="isclose: dtypes float64 and int64"):
        nbgrad.isclose(x, nbgrad.arange(4))
    with pytest.raises(ValueError, match=r"isclose: shapes .4,. and .3,. do not broadcast"):
        nbgrad.isclose(x, y[:3])
    assert nbgrad.isin(nbgrad.tensor([1, 2, 3]), [2, 3]).tolist() == [False, True, True]
    assert nbgrad.isin(nbgrad.tensor([1, 2, 3]), [2, 3], invert=True).tolist() == [True, False, False]


def test_mantissa_and_exponent():
    x = nbgrad.tensor([0.5, -6.0, 1e-310, 0.0], requires_grad=True)
    mantissa, exponent = nbgrad.frexp(x)
    np.testing.assert_array_equal(mantissa.data * 2.0 ** exponent.data[:], x.data)
    mantissa[:2].sum().backward()
    assert x.grad.tolist()[:2] == [1.0, 0.125]
    with pytest.raises(TypeError, match="frexp: dtype int64"):
        nbgrad.frexp(nbgrad.arange(3))


@pytest.mark.parametrize("name", ["and", "or", "xor", "left_shift", "right_shift"])
def test_bits_are_torchs(name):
    torch = peer("torch")
    a, b = [12, -7, 255, 3], [1, 2, 3, 5]
    found = getattr(nbgrad, f"bitwise_{name}")(nbgrad.tensor(a), nbgrad.tensor(b))
    assert found.tolist() == getattr(torch, f"bitwise_{name}")(torch.tensor(a), torch.tensor(b)).tolist()
    with pytest.raises(TypeError, match=f"bitwise_{name}: dtypes float64 and int64: takes whole numbers"):
        getattr(nbgrad, f"bitwise_{name}")(nbgrad.ones(4), nbgrad.tensor(b))


def test_divisors_and_multiples():
    assert nbgrad.gcd(nbgrad.tensor([12, 18]), 8).tolist() == [4, 2]
    assert nbgrad.lcm(nbgrad.tensor([4, 6]), nbgrad.tensor([6, 9])).tolist() == [12, 18]
    assert nbgrad.bitwise_not(nbgrad.tensor([True, False])).tolist() == [False, True]


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_compiled_rounding_is_part_of_the_loop_around_it(dtype, kernels):
    @nbgrad.jit
    def rounded(x):
        return np.floor(x) * 1.0, np.ceil(x) * 1.0, np.trunc(x) * 1.0, np.rint(x) * 1.0

    halves = [0.5, 1.5, 2.5, 0.3, 0.7, 0.49999999999999994, 4503599627370497.5, 1e30, 0.0, np.inf]
    x = np.array([*halves, *(-h for h in halves), np.nan], dtype)
    for found, wanted in zip(rounded(x), (np.floor(x), np.ceil(x), np.trunc(x), np.rint(x)), strict=True):
        np.testing.assert_array_equal(found, wanted)
        np.testing.assert_array_equal(np.signbit(found)[:-1], np.signbit(wanted)[:-1])
        assert found.dtype == wanted.dtype
    assert rounded.explain(x).count("loop over") == 1
