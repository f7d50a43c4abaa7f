"""Derivatives of elementwise functions held against exact values, and where a formula would fail: to any order.

The exact values and the samples are those of `benchmarks/exact_derivatives.py`.
"""

import importlib
import math
import sys
from pathlib import Path

import cases
import numpy as np
import pytest
from peers import peer

import nbgrad
from nbgrad import Variable
from nbgrad.ops.elementwise import OPERATIONS, TABLE

peer("mpmath")
peer("scipy")
sys.path.append(str(Path(__file__).parents[2]))  # the root of the repository, for benchmarks
exact = importlib.import_module("benchmarks.exact_derivatives")

DTYPES = ("float32", "float64")
#: Errors in ulp where they are not 4, with room for points that the document's samples do not have.
LIMITS = {"erfinv": 9, "x**-8": 7, "atan2": 6, "tan": 6, "digamma": 7}
#: Powers of which no other test has the kernels.
RARE = {name for name in exact.DERIVATIVES if name.startswith("x**")} - {"x**3", "x**-2"}

every_name = pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] * (name in RARE)) for name in exact.DERIVATIVES]
)


def test_every_differentiable_function_has_exact_derivatives_or_selects():
    selecting = {"add", "sub", "neg", "positive", "remainder", "abs", "relu", "maximum", "minimum", "where"}
    selecting |= {"clamp", "clamp_min", "clamp_max"}
    differentiable = {case.name for case in cases.ELEMENTWISE if case.differentiable}
    assert differentiable - selecting <= set(exact.DERIVATIVES)


def check(name, dtype, count):
    inputs = exact.samples(name, dtype, count)
    for index in exact.DERIVATIVES[name].exact:
        if len(index) > 2:
            continue
        inside = exact.in_range(name, index, inputs)
        points = [x[inside] for x in inputs]
        assert points[0].size
        relative, to_terms = exact.errors(name, index, points, exact.computed(name, index, points))
        error = relative if to_terms is None else to_terms
        worst = int(np.argmax(error))
        assert error[worst] <= LIMITS.get(name, 4), (index, [x[worst] for x in points])


@every_name
def test_derivatives_are_right_over_all_exponents(name):
    check(name, "float64", 5)


@pytest.mark.slow
@pytest.mark.parametrize("name", exact.DERIVATIVES)
def test_derivatives_of_float32_are_right_over_all_exponents(name):
    check(name, "float32", 20)


# ---- by name: what once was wrong -----------------------------------------------------------------------------------


def derivatives(function, order, *inputs, dtype="float64", by=0):
    """Give the value and the derivatives by one input, up to an order."""
    xs = [Variable(np.array(x, dtype)) for x in inputs]
    found = [function(*xs)]
    for _ in range(order):
        found.append(*nbgrad.autograd.grad(found[-1], xs[by], create_graph=True, materialize_grads=True))
    return [float(y.data) for y in found]


def second(function, inputs, first, then, dtype="float64"):
    """Give the derivative by one input and then by another."""
    xs = [Variable(np.array(x, dtype)) for x in inputs]
    (slope,) = nbgrad.autograd.grad(function(*xs), xs[first], create_graph=True)
    return float(nbgrad.autograd.grad(slope, xs[then], materialize_grads=True)[0].data)


POWERS_BY = {
    "number": lambda exponent: lambda x: x**exponent,
    "Variable": lambda exponent: lambda x: x ** Variable(np.array(exponent, x.dtype), requires_grad=False),
    "formula": lambda exponent: nbgrad.elementwise(lambda x: x**exponent, name="power"),
}


inf = math.inf


def test_where_two_exponents_are_equal_no_derivative_is_lost():
    assert derivatives(nbgrad.softplus, 4, 0.0)[1:] == [0.5, 0.25, 0.0, -0.125]
    assert derivatives(nbgrad.logaddexp, 4, 0.0, 0.0)[1:] == [0.5, 0.25, 0.0, -0.125]
    for at in (3.0, -1e300, inf, -inf):
        for first, then, expected in ((0, 0, 0.25), (0, 1, -0.25), (1, 0, -0.25), (1, 1, 0.25)):
            assert second(nbgrad.logaddexp, (at, at), first, then) == expected


def test_a_power_of_exponent_0_rises_with_it():
    """d/db of b * a**(b - 1) is 1/a at 0, though the function is 0 there; so by the other order."""
    assert second(nbgrad.pow, (4.0, 0.0), 0, 1) == second(nbgrad.pow, (4.0, 0.0), 1, 0) == 0.25


def test_a_power_of_0_or_infinity_that_vanishes_does_so_for_all_exponents():
    """Its derivatives by the exponent are 0, too, though the logarithm is infinite."""
    assert derivatives(nbgrad.pow, 1, inf, -2.0, by=1)[1] == derivatives(nbgrad.pow, 1, 0.0, 3.0, by=1)[1] == 0
    assert second(nbgrad.pow, (0.0, 3.0), 0, 1) == second(nbgrad.pow, (inf, -2.0), 0, 1) == 0


@pytest.mark.parametrize(
    ("name", "x", "dtype", "expected"),
    [
        ("asin", 1e-8, "float32", 1e-8),
        ("asin", 1e-17, "float64", 1e-17),
        ("asin", -1e-300, "float64", -1e-300),
        ("acos", 1e-8, "float32", -1e-8),
        ("acos", 1e-17, "float64", -1e-17),
        ("atanh", 1e-10, "float64", 2e-10),
        ("atanh", 1e-30, "float32", 2e-30),
        ("sigmoid", 1e-10, "float64", -1.25e-11),
        ("sigmoid", 1e-17, "float64", -1.25e-18),
        ("sigmoid", 40.0, "float64", -math.exp(-40)),
        ("softplus", 40.0, "float64", math.exp(-40)),
        ("softplus", 1000.0, "float64", 0.0),
        ("expm1", -40.0, "float64", math.exp(-40)),
        ("asin", 1.0, "float64", inf),
        ("asin", -1.0, "float64", -inf),
        ("acos", 1.0, "float64", -inf),
        ("atanh", 1.0, "float64", inf),
        ("acosh", 1.0, "float64", -inf),
        ("erfinv", 1.0, "float64", inf),
        ("erfinv", -1.0, "float64", -inf),
        ("cbrt", 0.0, "float64", -inf),
        ("cbrt", -0.0, "float64", inf),
        ("sqrt", 0.0, "float64", -inf),
        ("rsqrt", 0.0, "float64", inf),
        ("log", 0.0, "float64", -inf),
        ("reciprocal", 0.0, "float64", inf),
        ("reciprocal", -0.0, "float64", -inf),
        *((name, inf, "float64", 0.0) for name in ("atan", "asinh", "acosh", "erf", "erfc", "sigmoid", "tanh", "log")),
        *((name, inf, "float64", 0.0) for name in ("digamma", "lgamma", "cbrt", "sqrt", "rsqrt", "reciprocal")),
        *((name, -inf, "float64", 0.0) for name in ("atan", "asinh", "erf", "erfc", "sigmoid", "tanh", "softplus")),
    ],
)
def test_second_derivatives_where_they_are_delicate(name, x, dtype, expected):
    rtol = 4 * np.finfo(dtype).eps
    np.testing.assert_allclose(derivatives(TABLE[name], 2, x, dtype=dtype)[2], expected, rtol=rtol, atol=0)


@pytest.mark.parametrize(("name", "expected"), [("asinh", 1e-200), ("acosh", 1e-200), ("atan", 0.0)])
def test_slopes_of_numbers_whose_squares_are_out_of_range(name, expected):
    assert derivatives(TABLE[name], 1, 1e200)[1] == pytest.approx(expected, rel=1e-15, abs=0)
    assert derivatives(TABLE[name], 1, 1e30, dtype="float32")[1] == pytest.approx(expected and 1e-30, rel=1e-7, abs=0)


POWERS = [
    (-2, inf, "float64", [0.0, -0.0, 0.0]),
    (-2, 0.0, "float64", [inf, -inf, inf]),
    (-2, 1e-60, "float64", [1e120, -2e180, 6e240]),
    (-2, 1e20, "float32", [1e-40, -2e-60, 0.0]),  # subnormal
    (-4, 1e-5, "float32", [1e20, -4e25, 2e31]),
    (-4, 1e5, "float32", [1e-20, -4e-25, 2e-29]),
    (-8, 1e3, "float32", [1e-24, -8e-27, 7.2e-29]),
    (3, 0.0, "float64", [0.0, 0.0, 0.0]),
    (3, inf, "float64", [inf, inf, inf]),
    (2, 1e-30, "float32", [0.0, 2e-30, 2.0]),
    (10, 2.0, "float64", [1024.0, 5120.0, 23040.0]),
    (0.5, 0.0, "float64", [0.0, inf, -inf]),
    (1.5, 0.0, "float64", [0.0, 0.0, inf]),
    (1.7, 1e-200, "float64", [0.0, 1.7e-140, 1.19e60]),  # the power itself is out of range
    (-0.3, 1.84e-30, "float32", [8.328e8, -1.3579e38, inf]),  # x**-1.3 is, and less than a third of it is not
]


def check_power(by, exponent, x, dtype, expected):
    found = derivatives(POWERS_BY[by](exponent), 2, x, dtype=dtype)
    np.testing.assert_allclose(found, expected, rtol=1e-3 if dtype == "float32" else 1e-12, atol=1e-42)


@pytest.mark.parametrize(
    "power", [power for power in POWERS if power[0] in (-2, 3, 2, 0.5, 1.7) and power[2] == "float64"]
)
@pytest.mark.parametrize("by", ["number", "Variable"])
def test_powers_are_in_range_where_their_derivatives_are(by, power):
    check_power(by, *power)


@pytest.mark.parametrize("by", POWERS_BY)
def test_powers_of_float32_are_in_range_where_their_derivatives_are(by):
    check_power(by, -3, 3.162e7, "float32", [3.163e-23, -3.0012e-30, 3.797e-37])


@pytest.mark.slow
@pytest.mark.parametrize("power", POWERS)
@pytest.mark.parametrize("by", POWERS_BY)
def test_rare_powers_are_in_range_where_their_derivatives_are(by, power):
    check_power(by, *power)


def test_derivatives_of_products_and_squares_are_exact():
    x, y = np.array([1 / 3, 1e200, -7.1, 5e-324]), np.array([0.1, -1e-300, 1e308, 3.0])
    for (name, index), expected in {
        ("square", (0,)): 2 * x,
        ("square", (0, 0)): np.full(4, 2.0),
        ("mul", (0,)): y,
        ("mul", (1,)): x,
        ("mul", (0, 1)): np.ones(4),
        ("mul", (0, 0)): np.zeros(4),
    }.items():
        np.testing.assert_array_equal(exact.computed(name, index, [x, y][: 2 if name == "mul" else 1]), expected)


@pytest.mark.parametrize(
    ("y", "x", "dtype", "slopes"),
    [
        (0.0, 0.0, "float64", [0.0, -0.0]),
        (1.0, inf, "float64", [0.0, -0.0]),
        (inf, 1.0, "float64", [0.0, -0.0]),
        (inf, inf, "float64", [0.0, -0.0]),
        (1e20, 1e20, "float32", [5e-21, -5e-21]),
        (1e-23, 1e-23, "float32", [5e22, -5e22]),
        (1e-200, -1e-200, "float64", [-5e199, -5e199]),
        (1e300, 1e-300, "float64", [0.0, -1e-300]),
    ],
)
def test_atan2_over_the_whole_range(y, x, dtype, slopes):
    found = [derivatives(nbgrad.atan2, 1, y, x, dtype=dtype, by=by)[1] for by in (0, 1)]
    np.testing.assert_allclose(found, slopes, rtol=3e-7)


@pytest.mark.parametrize(
    ("a", "b", "dtype", "slopes"),
    [
        (0.0, 0.0, "float64", [0.0, 0.0]),
        (inf, 1.0, "float64", [1.0, 0.0]),
        (-1.0, -inf, "float64", [0.0, -1.0]),
        (inf, inf, "float64", [math.nan, math.nan]),
        (3e20, -4e20, "float32", [0.6, -0.8]),
        (3e-23, 4e-23, "float32", [0.6, 0.8]),
    ],
)
def test_hypot_over_the_whole_range(a, b, dtype, slopes):
    found = [derivatives(nbgrad.hypot, 1, a, b, dtype=dtype, by=by)[1] for by in (0, 1)]
    np.testing.assert_allclose(found, slopes, rtol=3e-7)
    if a + b - (a + b) == 0:
        assert second(nbgrad.hypot, (a, b), 0, 1) == pytest.approx(
            -a * b / (math.hypot(a, b) ** 3 or 1), rel=1e-7, abs=0
        )


def test_slopes_of_losses_keep_their_digits_where_they_are_small():
    """sigmoid(x) - 1 is 0 from x = 40 on."""
    assert derivatives(TABLE["bce_with_logits"], 1, 40.0, 1.0)[1] == pytest.approx(-math.exp(-40), rel=1e-15, abs=0)


@pytest.mark.parametrize("name", ["maximum", "minimum"])
def test_not_a_number_lets_the_gradient_through_as_in_torch(name):
    torch = peer("torch")
    for values in ((math.nan, 1.0), (1.0, math.nan), (2.0, 2.0)):
        xs = [torch.tensor(v, dtype=torch.float64, requires_grad=True) for v in values]
        expected = [g.item() for g in torch.autograd.grad(getattr(torch, name)(*xs), xs)]
        assert [derivatives(TABLE[name], 1, *values, by=by)[1] for by in (0, 1)] == expected


# ---- in every mode --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["sigmoid", "cbrt"])
@pytest.mark.parametrize("size", [1, 300_000])
def test_second_derivatives_read_more_than_first_ones(name, size):
    """Their slopes are computed from the value, and differentiated by the input: first derivatives spare that."""
    (pullback,) = OPERATIONS[name].pullbacks
    assert (pullback.uses, pullback.recorded.uses) == ((0, 1), (0, 1, 2))
    x = Variable(np.full(size, 1e-10))
    y = TABLE[name](x * 1.0)  # an input that nobody else holds
    (slope,) = nbgrad.autograd.grad(y, x, np.ones(size), create_graph=True)
    found = nbgrad.autograd.grad(slope, x, np.ones(size))[0].data
    expected = -1.25e-11 if name == "sigmoid" else -2 / 9 * 1e-10 ** (-5 / 3)
    np.testing.assert_allclose(found, np.full(size, expected), rtol=1e-14)


def test_compiled_second_derivatives_are_the_same():
    def curvature(x):
        return nbgrad.grad(lambda v: nbgrad.grad(lambda w: nbgrad.sigmoid(w).sum())(v).sum())(x)

    x = np.array([1e-17, 1e-10, 0.5, 40.0])
    np.testing.assert_allclose(nbgrad.jit(curvature)(x), curvature(x), rtol=1e-15)
    assert curvature(x)[0] == pytest.approx(-1.25e-18, rel=1e-15, abs=0)


def test_a_quotient_by_a_small_number_is_in_range_though_its_reciprocal_is_not():
    x = Variable(np.array(1e-300))
    (x / 1e-310).backward(np.array(1e-20))
    assert x.grad.item() == pytest.approx(1e290, rel=1e-12, abs=0)
