"""Functions that are asked for seldom: SciPy's values, torch's gradients or those of differences."""

import math

import cases
import numpy as np
import pytest
from cases import SELDOM, draw
from peers import peer
from special_calls import arguments_of

import nbgrad
from nbgrad import Variable
from nbgrad.kernels.formula import SELDOM as NAMES
from nbgrad.ops.derivatives import DERIVATIVES
from nbgrad.ops.special import applied

every_case = pytest.mark.parametrize("case", SELDOM, ids=repr)


def test_all_formulas_have_cases():
    assert {case.name for case in SELDOM} == NAMES


@pytest.mark.parametrize(
    "case",
    [case if number % 5 == 0 else pytest.param(case, marks=pytest.mark.slow) for number, case in enumerate(SELDOM)],
    ids=repr,
)
def test_formulas_are_scipys_and_torchs(case):
    for layout in ("contiguous", "strided", "0-d"):
        arrays = [cases.LAYOUTS[layout](draw(d, (3, 5), "float64", i)) for i, d in enumerate(case.domains)]
        expected = case.numpy(*arrays)
        np.testing.assert_allclose(case.function(*arrays), expected, rtol=2e-14, atol=1e-15)
        if case.name not in ("copysign", "heaviside"):  # by one argument there is none, where torch has zeros
            cases.assert_same_as_torch(case.function, case.torch, arrays, tolerance={"rtol": 1e-10, "atol": 1e-12})
    single = case.function(*[array.astype("float32") for array in arrays])
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.slow
@every_case
def test_formulas_agree_with_differences_to_second_order(case):
    cases.check_to_second_order(case.function, [draw(d, (3,), "float64", i) for i, d in enumerate(case.domains)])


@pytest.mark.slow
@every_case
def test_formulas_are_compiled(case, kernels):
    arrays = [draw(d, (3, 5), "float64", i) for i, d in enumerate(case.domains)]
    for f in (case.function, nbgrad.grad(lambda *xs: (case.function(*xs) ** 2).sum(), len(arrays) - 1)):
        np.testing.assert_allclose(nbgrad.jit(f)(*arrays), f(*arrays), rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("name", ["copysign"])
def test_a_few_are_compiled(name, kernels):
    (case,) = [case for case in SELDOM if case.name == name]
    arrays = [draw(d, (3, 5), "float64", i) for i, d in enumerate(case.domains)]
    f = nbgrad.grad(lambda *xs: (case.function(*xs) ** 2).sum())
    np.testing.assert_allclose(nbgrad.jit(f)(*arrays), f(*arrays), rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("order", [0, 1, *(pytest.param(n, marks=pytest.mark.slow) for n in (2, 3))])
def test_derivatives_of_sinc_keep_their_digits_everywhere(order):
    """The power series and the recurrence meet without a seam."""
    mpmath = peer("mpmath")
    x = np.concatenate([[0.0, 1e-8, 1e-3], np.linspace(0.05, 3, 40)])

    def exact(v):
        with mpmath.workdps(40):
            return float(mpmath.diff(mpmath.sincpi, mpmath.mpf(v), order)) if v else _at_zero(order)

    found = nbgrad.sinc
    for _ in range(order):
        found = nbgrad.grad(found)
    np.testing.assert_allclose([float(found(v)) for v in x], [exact(v) for v in x], rtol=1e-12, atol=1e-13)


def _at_zero(order):
    return 0.0 if order % 2 else (-1) ** (order // 2) * math.pi**order / (order + 1)


def test_zero_times_infinity_is_zero():
    x, y = Variable(np.array([0.0, 0.0, 0.0])), Variable(np.array([0.0, 2.0, np.inf]))
    value = nbgrad.xlogy(x, y)
    np.testing.assert_array_equal(value.data, 0)
    value.sum().backward()
    np.testing.assert_allclose(x.grad.data, [0, math.log(2), np.inf])
    np.testing.assert_array_equal(y.grad.data, [0, 0, 0])
    np.testing.assert_array_equal(applied("entr", np.array([0.0, -1.0])), [0, -np.inf])
    np.testing.assert_array_equal(applied("rel_entr", np.array([0.0, 1.0]), np.array([0.0, 0.0])), [0, np.inf])
    assert math.isnan(nbgrad.xlogy(0.0, math.nan))


def test_signs_and_remainders_at_zero():
    np.testing.assert_array_equal(nbgrad.copysign(np.ones(3), np.array([-0.0, 0.0, -np.inf])), [-1, 1, -1])
    x, y = np.array([5.0, -5.0, 5.0, -5.0]), np.array([3.0, 3.0, -3.0, -3.0])
    np.testing.assert_array_equal(nbgrad.fmod(x, y), np.fmod(x, y))
    np.testing.assert_array_equal(nbgrad.heaviside(np.array([-1.0, 0, 2, np.nan]), 0.5), [0, 0.5, 1, np.nan])
    h = Variable(np.array(0.5))
    nbgrad.heaviside(np.zeros(3), h).sum().backward()
    assert h.grad.item() == 3


# ---- what SciPy computes --------------------------------------------------------------------------------------------


def wanted(name):
    """Give by which arguments there are derivatives."""
    partials = DERIVATIVES[name]
    partials = partials[0] if isinstance(partials[0], tuple) else partials
    return [i for i, partial in enumerate(partials) if partial is not None]


BY_SCIPY = sorted(name for name in DERIVATIVES if wanted(name))
#: Those with first derivatives only: of what these are made of there is no formula.
ONCE = {"elliprf", "elliprc", "chndtrix"}


@pytest.mark.parametrize("name", BY_SCIPY)
def test_values_are_scipys_and_gradients_those_of_differences(name):
    ufunc = getattr(peer("scipy.special"), name)
    arguments = arguments_of(ufunc)
    positions = [i for i in wanted(name) if arguments[i].dtype.kind == "f"]

    def function(*xs):
        given = list(arguments)
        for i, x in zip(positions, xs, strict=True):
            given[i] = x
        found = ufunc(*given)
        return nbgrad.stack([part for part in found if part.requires_grad]) if isinstance(found, tuple) else found

    xs = [Variable(arguments[i]) for i in positions]
    expected = ufunc(*arguments)
    found = ufunc(*[Variable(a) if i in positions else a for i, a in enumerate(arguments)])
    for mine, theirs in zip(
        *((found, expected) if isinstance(expected, tuple) else ((found,), (expected,))), strict=True
    ):
        np.testing.assert_allclose(mine.data, theirs, rtol=1e-13)
    assert nbgrad.autograd.gradcheck(function, xs, order=1, rtol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in BY_SCIPY if name not in ONCE])
def test_second_derivatives_of_what_scipy_computes(name):
    ufunc = getattr(peer("scipy.special"), name)
    arguments = arguments_of(ufunc)
    position = wanted(name)[-1]

    def function(x):
        found = ufunc(*[x if i == position else a for i, a in enumerate(arguments)])
        return nbgrad.stack([part for part in found if part.requires_grad]) if isinstance(found, tuple) else found

    assert nbgrad.autograd.gradcheck(function, [Variable(arguments[position])], order=2, rtol=1e-4, atol=1e-5)


def test_what_has_no_formula_is_refused_and_names_the_argument():
    special = peer("scipy.special")
    a, x = Variable(np.array([1.5])), Variable(np.array([0.5]))
    special.gammainc(a.detach(), x).backward()
    assert x.grad is not None
    with pytest.raises(TypeError, match="gammainc: there is no formula for its derivative by argument 0"):
        special.gammainc(a, x).backward()


def test_what_scipy_computes_is_compiled_as_a_call(kernels):
    special = peer("scipy.special")
    x = np.array([0.5, 1.5])
    f = nbgrad.grad(lambda x: (special.j0(x) * special.airy(x)[0]).sum())
    np.testing.assert_allclose(nbgrad.jit(f)(x), f(x), rtol=1e-13)
    single = special.j0(Variable(x.astype("float32")))
    single.sum().backward()
    assert single.dtype == np.float32
