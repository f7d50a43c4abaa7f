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
    assert {case.name for case in SELDOM} == NAMES - {"ceil", "floor", "rint", "trunc"}  # which are steps


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


BY_SCIPY = sorted(name for name in DERIVATIVES if name != "zeta" and wanted(name))
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
    order, x = Variable(np.array([1.5])), Variable(np.array([0.5]))
    special.jv(order.detach(), x).backward()
    assert x.grad is not None
    with pytest.raises(TypeError, match="jv: there is no formula for its derivative by argument 0"):
        special.jv(order, x).backward()


def test_what_scipy_computes_is_compiled_as_a_call(kernels):
    special = peer("scipy.special")
    x = np.array([0.5, 1.5])
    f = nbgrad.grad(lambda x: (special.j0(x) * special.airy(x)[0]).sum())
    np.testing.assert_allclose(nbgrad.jit(f)(x), f(x), rtol=1e-13)
    single = special.j0(Variable(x.astype("float32")))
    single.sum().backward()
    assert single.dtype == np.float32


# ---- by torch's names -----------------------------------------------------------------------------------------------


def test_names_that_torch_has_not():
    special = peer("scipy.special")
    a, b, x = Variable(np.array([0.5, 3.0])), Variable(np.array([2.0, 1.5])), Variable(np.array([0.2, 0.7]))
    assert nbgrad.special.j0 is nbgrad.special.bessel_j0 and nbgrad.special.y1 is nbgrad.special.bessel_y1
    for name, xs in (("beta", (a, b)), ("betaln", (a, b)), ("betainc", (a, b, x))):
        function = getattr(nbgrad.special, name)
        np.testing.assert_allclose(function(*xs).data, getattr(special, name)(*[v.data for v in xs]), rtol=1e-14)
        assert nbgrad.autograd.gradcheck(function, xs, rtol=1e-5)
        single = function(*[nbgrad.tensor(v.data.astype("float32")) for v in xs])
        assert single.dtype == np.float32 and function(*[v.data for v in xs]).shape == (2,)


#: Those whose gradient torch has, by an argument that they have in common, and those without.
SMOOTH = ("i0", "i0e", "i1", "i1e", "ndtr", "log_ndtr", "erfcx", "entr", "expit", "gammaln", "psi", "sinc")
CONSTANT = (
    "airy_ai", "modified_bessel_i0", "modified_bessel_i1", "modified_bessel_k0", "modified_bessel_k1",
    "scaled_modified_bessel_k0", "scaled_modified_bessel_k1", "spherical_bessel_j0", "bessel_y0",
)  # fmt: skip
POLYNOMIALS = [f"{s}chebyshev_polynomial_{kind}" for kind in "tuvw" for s in ("", "shifted_")] + [
    "hermite_polynomial_h", "hermite_polynomial_he", "laguerre_polynomial_l", "legendre_polynomial_p",
]  # fmt: skip
X = np.array([0.15, 0.6, 1.2, 2.5])


@pytest.mark.parametrize("name", SMOOTH)
def test_the_namespace_is_torchs(name):
    function = getattr(nbgrad.special, name)
    cases.assert_same_as_torch(
        function, lambda t, x: getattr(t.special, name)(x), [X], tolerance={"rtol": 1e-9, "atol": 1e-12}
    )
    assert function(X.astype("float32")).dtype == np.float32
    assert not isinstance(function(X), Variable)


@pytest.mark.parametrize("name", [*CONSTANT, *POLYNOMIALS])
def test_the_namespace_is_torchs_without_gradients(name):
    torch = peer("torch")
    degrees = (np.array([[-1], [0], [1], [2], [5]]),) if name in POLYNOMIALS else ()
    function = getattr(nbgrad.special, name)
    found = function(X, *degrees)
    expected = getattr(torch.special, name)(torch.tensor(X), *map(torch.tensor, degrees))
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-9)
    cases.check_gradients(lambda x: function(x, *degrees), [X[:3] / 4 + 0.1], 1)


def test_hurwitz_zeta_and_its_gradient():
    s, x = nbgrad.tensor([2.0, 3.5]), nbgrad.tensor([1.5, 0.7], requires_grad=True)
    y = nbgrad.special.zeta(s, x)
    np.testing.assert_allclose(y.data, peer("scipy.special").zeta(s.data, x.data), rtol=1e-14)
    assert nbgrad.autograd.gradcheck(lambda x: nbgrad.special.zeta(s, x), (x,), order=2)
    with pytest.raises(TypeError, match="zeta: there is no formula for its derivative by argument 0"):
        nbgrad.special.zeta(Variable(s.data), x).sum().backward()


def test_multivariate_gamma_and_shares_of_distributions():
    torch = peer("torch")
    x = np.array([2.5, 4.0, 7.5])
    cases.assert_same_as_torch(
        lambda x: nbgrad.mvlgamma(x, 3), lambda t, x: t.mvlgamma(x, 3), [x], tolerance={"rtol": 1e-9, "atol": 1e-9}
    )
    for name in ("igamma", "igammac"):
        found = getattr(nbgrad, name)(nbgrad.tensor(x), nbgrad.tensor(x[::-1].copy()))
        expected = getattr(torch, name)(torch.tensor(x), torch.tensor(x[::-1].copy()))
        np.testing.assert_allclose(found.data, expected, rtol=1e-12)
    with pytest.raises(ValueError, match=r"multigammaln: elements of dimension 3 have to be above 1\.0"):
        nbgrad.mvlgamma(x - 2, 3)
    with pytest.raises(ValueError, match="multigammaln: dimension 0"):
        nbgrad.mvlgamma(x, 0)


def test_all_names_of_torchs_namespace_are_there():
    torch = peer("torch")
    names = {n for n in dir(torch.special) if not n.startswith("_") and callable(getattr(torch.special, n))}
    assert {name for name in names if name[0].islower()} - set(dir(nbgrad.special)) <= {"common_args", "multi_arg"}


@pytest.mark.parametrize("dtype", ["int64", "int8", "uint8"])
def test_whole_numbers_leave_whole_ones(dtype):
    x = np.array([2**60 + 1, -(2**60) - 1, 5, -5, 0, -(2**63), 7]).astype(dtype)  # too large for floating ones
    y = np.array([7, 7, 0, 3, 3, -1, -4]).astype(dtype)
    with np.errstate(divide="ignore"):
        expected = np.fmod(x, y)
    for found in (nbgrad.fmod(x, y), np.fmod(nbgrad.tensor(x), y).data, nbgrad.jit(nbgrad.fmod)(x, y)):
        assert found.dtype == expected.dtype
        np.testing.assert_array_equal(found, expected)
