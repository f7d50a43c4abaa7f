"""Mixtures of operands, replaced elements, what real numbers have as well, dtypes by name."""

import numpy as np
import pytest
from cases import ANY, NONZERO, POSITIVE
from families import Member, check_derivatives, check_traced, check_values, parameters
from peers import peer

import nbgrad

MEMBERS = [
    Member("lerp", nbgrad.lerp, lambda t, x, y, w: t.lerp(x, y, w), (ANY, ANY, ANY)),
    Member("lerp 0.7", lambda x, y: nbgrad.lerp(x, y, 0.7), lambda t, x, y: t.lerp(x, y, 0.7), (ANY, ANY)),
    Member(
        "addcmul",
        lambda x, a, b: nbgrad.addcmul(x, a, b, value=0.5),
        lambda t, x, a, b: t.addcmul(x, a, b, value=0.5),
        (ANY,) * 3,
    ),
    Member(
        "addcdiv",
        lambda x, a, b: nbgrad.addcdiv(x, a, b, value=-2),
        lambda t, x, a, b: t.addcdiv(x, a, b, value=-2),
        (ANY, ANY, NONZERO),
    ),
    Member("rsub", lambda x, y: nbgrad.rsub(x, y, alpha=3), lambda t, x, y: t.rsub(x, y, alpha=3), (ANY, ANY)),
    Member("true_divide", nbgrad.true_divide, lambda t, x, y: t.true_divide(x, y), (ANY, NONZERO)),
    Member("ldexp", nbgrad.ldexp, lambda t, x, y: t.ldexp(x, y), (ANY, ANY)),
    Member("fmax", nbgrad.fmax, lambda t, x, y: t.fmax(x, y), (ANY, ANY)),
    Member("fmin", nbgrad.fmin, lambda t, x, y: t.fmin(x, y), (ANY, ANY)),
    Member("nan_to_num", nbgrad.nan_to_num, lambda t, x: t.nan_to_num(x)),
    Member("deg2rad", nbgrad.deg2rad, lambda t, x: t.deg2rad(x)),
    Member("rad2deg", nbgrad.rad2deg, lambda t, x: t.rad2deg(x)),
    Member("angle", nbgrad.angle, lambda t, x: t.angle(x)),
    Member("real", nbgrad.real, lambda t, x: x.real, traced=False),
]
QUICK = {"lerp", "fmax", "nan_to_num", "deg2rad", "angle"}
every_member = pytest.mark.parametrize("member", parameters(MEMBERS, QUICK))


@every_member
def test_values_are_torchs(member):
    check_values(member)


@every_member
def test_derivatives_are_those_of_differences(member):
    check_derivatives(member)


@every_member
def test_compiled(member, kernels):
    check_traced(member)


def test_powers_in_float64():
    x = nbgrad.tensor(np.array([4.0, 9.0], np.float32), requires_grad=True)
    y = nbgrad.float_power(x, 0.5)
    assert y.dtype == np.float64 and y.tolist() == [2.0, 3.0]
    y.sum().backward()
    assert x.grad.dtype == np.float32
    assert nbgrad.float_power(2, nbgrad.tensor([1, 2])).tolist() == [2.0, 4.0]


def test_what_is_not_finite_is_replaced_and_has_no_gradient():
    x = nbgrad.tensor([1.0, np.nan, np.inf, -np.inf], requires_grad=True)
    y = nbgrad.nan_to_num(x, nan=3.0, neginf=-7.0)
    assert y.tolist() == [1.0, 3.0, np.finfo(np.float64).max, -7.0]
    y.sum().backward()
    assert x.grad.tolist() == [1.0, 0.0, 0.0, 0.0]
    assert nbgrad.nan_to_num(nbgrad.tensor([1])).dtype == np.int64


def test_nan_gives_way_to_numbers():
    x, y = nbgrad.tensor([np.nan, 1.0, np.nan, 2.0]), nbgrad.tensor([0.0, np.nan, np.nan, 2.0], requires_grad=True)
    assert nbgrad.fmax(x, y).tolist()[:2] == [0.0, 1.0] and np.isnan(nbgrad.fmin(x, y).data[2])
    nbgrad.fmax(x, y)[[0, 1, 3]].sum().backward()
    assert y.grad.tolist() == [1.0, 0.0, 0.0, 0.0]  # of equal ones the first has it
    assert nbgrad.fmax(nbgrad.tensor([1, 5]), 3).tolist() == [3, 5]


def test_one_number_everywhere():
    x, v = nbgrad.ones(2, 3, requires_grad=True), nbgrad.tensor(2.5, requires_grad=True)
    y = nbgrad.fill(x, v)
    assert y.shape == (2, 3) and (y.data == 2.5).all()
    y.sum().backward()
    assert v.grad.item() == 6 and not x.grad.data.any()
    assert nbgrad.fill(nbgrad.arange(3), 7).tolist() == [7, 7, 7]
    with pytest.raises(ValueError, match=r"fill: a value of shape \(2,\)"):
        nbgrad.fill(x, nbgrad.ones(2))


@pytest.mark.parametrize("name", ["bool", "byte", "char", "short", "int", "long", "float", "double"])
def test_dtypes_by_name_are_torchs(name):
    torch = peer("torch")
    found = getattr(nbgrad.tensor([0.0, 1.0, 2.0]), name)()
    wanted = getattr(torch.tensor([0.0, 1.0, 2.0]), name)()
    assert f"torch.{found.dtype}" == str(wanted.dtype) and found.tolist() == wanted.tolist()
    assert getattr(nbgrad, name, found.dtype) == found.dtype  # where there is one, it is the dtype of that name


def test_wrong_operands_are_refused():
    whole = nbgrad.arange(3)
    with pytest.raises(TypeError, match="lerp: dtype int64: takes floating ones"):
        nbgrad.lerp(whole, whole, 0.5)
    with pytest.raises(TypeError, match="addcdiv: dtype int64"):
        nbgrad.addcdiv(whole, whole, whole)
    with pytest.raises(TypeError, match=r"addcmul: value is 0.5 for whole numbers"):
        nbgrad.addcmul(whole, whole, whole, value=0.5)
    assert nbgrad.addcmul(whole, whole, whole, value=2).tolist() == [0, 3, 10]


def test_positive_domain_of_powers():
    member = Member("float_power", nbgrad.float_power, lambda t, x, y: t.float_power(x, y), (POSITIVE, ANY))
    cases_arrays = member.arrays()
    np.testing.assert_allclose(member.function(*cases_arrays), cases_arrays[0] ** cases_arrays[1])
