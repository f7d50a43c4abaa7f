"""The scalar functions: values against the standard library, partials where cancellation or overflow lurk."""

import math

import numpy as np
import pytest

from nbgrad.kernels import formula, scalars
from nbgrad.kernels.cpu import elementwise as cpu
from nbgrad.kernels.formula import CLOSED, COMPARISON, FLOATING, LOGICAL, NUMBER, NUMERIC, TRUTH, ScalarFunction
from nbgrad.ops.elementwise import OPERATIONS

FUNCTIONS = formula._scalar_functions

REAL = [-20.0, -3.0, -1.0, -0.7, -1e-3, 1e-3, 0.5, 1.0, 1.5, 8.0, 20.0]
POSITIVE = [1e-30, 1e-3, 0.3, 1.0, 2.0, 7.5, 1e30]
INSIDE = [-1.0, -0.9, -1e-4, 1e-5, 0.25, 0.75, 1.0]

UNARY = {
    "abs": (abs, REAL),
    "acos": (math.acos, INSIDE),
    "acosh": (math.acosh, [1.0, 1.001, 1.5, 3.0, 1e30]),
    "asin": (math.asin, INSIDE),
    "asinh": (math.asinh, REAL),
    "atan": (math.atan, REAL),
    "atanh": (math.atanh, INSIDE[1:-1]),
    "cbrt": (lambda x: math.copysign(abs(x) ** (1 / 3), x), REAL),
    "cos": (math.cos, REAL),
    "cosh": (math.cosh, REAL),
    "cospi": (lambda x: math.cos(math.pi * x), [0.0, 0.25, 0.75, 2.0, 3.125]),
    "digamma": (lambda x: -0.5772156649015329 if x == 1 else 0.4227843350984671, [1.0, 2.0]),
    "erf": (math.erf, REAL),
    "erfc": (math.erfc, REAL),
    "erfinv": (lambda x: 0.4769362762044699 * math.copysign(1, x), [-0.5, 0.5]),
    "exp": (math.exp, REAL),
    "exp2": (lambda x: 2.0**x, REAL),
    "expm1": (math.expm1, REAL),
    "log": (math.log, POSITIVE),
    "log10": (math.log10, POSITIVE),
    "log1p": (math.log1p, POSITIVE),
    "log2": (math.log2, POSITIVE),
    "lgamma": (math.lgamma, [0.1, 0.5, 3.0, 7.5, 1e30]),
    "neg": (lambda x: -x, REAL),
    "positive": (lambda x: x, REAL),
    "reciprocal": (lambda x: 1 / x, REAL),
    "relu": (lambda x: max(x, 0.0), REAL),
    "rsqrt": (lambda x: 1 / math.sqrt(x), POSITIVE),
    "sigmoid": (lambda x: 1 / (1 + math.exp(-x)), REAL),
    "sign": (lambda x: math.copysign(1, x), REAL),
    "sin": (math.sin, REAL),
    "sinh": (math.sinh, REAL),
    "sinpi": (lambda x: math.sin(math.pi * x), [0.25, 0.5, 1.75, -2.25, 3.125]),
    "softplus": (lambda x: max(x, 0) + math.log1p(math.exp(-abs(x))), REAL),
    "sqrt": (math.sqrt, POSITIVE),
    "square": (lambda x: x * x, REAL),
    "tan": (math.tan, REAL),
    "tanh": (math.tanh, REAL),
    "trigamma": (lambda x: math.pi**2 / {1.0: 6, 0.5: 2}[x], [0.5, 1.0]),
}
BINARY = {
    "absolute_error": lambda a, b: abs(a - b),
    "add": lambda a, b: a + b,
    "atan2": math.atan2,
    "bce": lambda p, t: -(t * math.log(p) + (1 - t) * math.log(1 - p)) if 0 < p < 1 else math.nan,
    "bce_with_logits": lambda x, t: max(x, 0) - x * t + math.log1p(math.exp(-abs(x))),
    "clamp_max": min,
    "clamp_min": max,
    "div": lambda a, b: a / b,
    "floor_divide": lambda a, b: a // b,
    "hypot": math.hypot,
    "logaddexp": lambda a, b: max(a, b) + math.log1p(math.exp(-abs(a - b))),
    "maximum": max,
    "minimum": min,
    "mul": lambda a, b: a * b,
    "pow": lambda a, b: math.pow(abs(a), b),
    "remainder": lambda a, b: a % b,
    "smooth_l1": lambda a, b: (a - b) ** 2 / 2 if abs(a - b) < 1 else abs(a - b) - 0.5,
    "squared_error": lambda a, b: (a - b) ** 2,
    "sub": lambda a, b: a - b,
}
LOGIC = {
    "eq": np.equal,
    "ge": np.greater_equal,
    "gt": np.greater,
    "le": np.less_equal,
    "lt": np.less,
    "ne": np.not_equal,
    "logical_and": np.logical_and,
    "logical_not": np.logical_not,
    "logical_or": np.logical_or,
    "logical_xor": np.logical_xor,
}


def kernel(name):
    if name in OPERATIONS:
        return OPERATIONS[name].kernel
    function = FUNCTIONS[name]
    return cpu.kernel(name, [function.expression], function.argument_kinds, function.domain)


def test_every_function_is_tested_here():
    assert set(FUNCTIONS) == {*UNARY, *BINARY, *LOGIC, "where", "clamp", "hurwitz"}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_hurwitz(dtype):
    """zeta(s, 1) is Riemann's, and one term less makes x one more."""
    s = np.array([2, 4, 2, 4, 6, 2], dtype)
    x = np.array([1, 1, 2, 2, 1, 0.5], dtype)
    pi = math.pi
    expected = [pi**2 / 6, pi**4 / 90, pi**2 / 6 - 1, 0.08232323371113819, pi**6 / 945, pi**2 / 2]
    np.testing.assert_allclose(kernel("hurwitz")(s, x), expected, rtol=8 * np.finfo(dtype).eps)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", UNARY)
def test_values_of_one_argument(name, dtype):
    reference, points = UNARY[name]
    x = np.array(points, dtype)
    expected = np.array([reference(float(value)) for value in x])
    result = kernel(name)(x)
    assert result.dtype == dtype
    # float64 kernels and the standard library may differ in the last places; float32 keeps its own
    np.testing.assert_allclose(result, expected, rtol=4 * np.finfo(dtype).eps, atol=np.finfo(dtype).tiny)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", BINARY)
def test_values_of_two_arguments(name, dtype):
    a, b = (grid.ravel().astype(dtype) for grid in np.meshgrid([-3.5, -1.0, 0.3, 2.0, 6.25], [-2.5, -1.0, 0.75, 3.0]))
    if name == "pow":
        a = abs(a)
    expected = np.array([BINARY[name](x, y) for x, y in zip(a.tolist(), b.tolist(), strict=True)])
    result = kernel(name)(a, b)
    assert result.dtype == dtype
    eps = np.finfo(dtype).eps
    np.testing.assert_allclose(result, expected, rtol=4 * eps, atol=(8 * eps if "log" in name else 0))


@pytest.mark.parametrize("name", LOGIC)
def test_truth_values(name):
    arity = FUNCTIONS[name].arity
    if FUNCTIONS[name].domain == LOGICAL:
        arguments = [np.array([False, False, True, True]), np.array([False, True, False, True])][:arity]
    else:
        arguments = [np.array([1.0, 2.0, 3.0, np.nan, 0.0]), np.array([2.0, 2.0, 2.0, np.nan, -0.0])]
    result = kernel(name)(*arguments)
    assert result.dtype == bool
    np.testing.assert_array_equal(result, LOGIC[name](*arguments))


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int32])
def test_where_and_clamp(dtype):
    condition = np.array([True, False, True])
    x, y = np.array([1, 2, 3], dtype), np.array([4, 5, 6], dtype)
    result = kernel("where")(condition, x, y)
    assert result.dtype == dtype
    np.testing.assert_array_equal(result, [1, 5, 3])
    np.testing.assert_array_equal(kernel("clamp")(x, dtype(2), dtype(2)), [2, 2, 2])


SPECIAL = [0.0, -0.0, 1.0, -1.0, 1e-310, -1e-310, 1e308, -1e308, math.inf, -math.inf, math.nan]
NUMPY_NAMES = {
    "abs": np.abs, "acos": np.arccos, "asin": np.arcsin, "atan": np.arctan, "cos": np.cos, "cosh": np.cosh,
    "exp": np.exp, "expm1": np.expm1, "log": np.log, "log10": np.log10, "log1p": np.log1p, "log2": np.log2,
    "reciprocal": np.reciprocal, "sign": np.sign, "sin": np.sin, "sinh": np.sinh, "sqrt": np.sqrt, "square": np.square,
    "tan": np.tan, "tanh": np.tanh, "atan2": np.arctan2, "div": np.divide, "hypot": np.hypot, "maximum": np.maximum,
    "minimum": np.minimum, "pow": np.power, "logaddexp": np.logaddexp,
}  # fmt: skip


@pytest.mark.parametrize("name", NUMPY_NAMES)
def test_special_values_are_numpys(name):
    """NaN, infinities, signed zeros and subnormals; the kernel reports no floating-point errors for them."""
    arguments = np.meshgrid(*[SPECIAL] * FUNCTIONS[name].arity)
    with np.errstate(all="ignore"):
        expected = NUMPY_NAMES[name](*arguments)
    with np.errstate(all="raise"):
        result = kernel(name)(*arguments)
    np.testing.assert_allclose(result, expected, rtol=1e-14, atol=0)
    if name in ("abs", "atan", "sin", "tan", "tanh", "sinh", "sqrt", "div", "atan2"):
        zero = expected == 0
        np.testing.assert_array_equal(np.signbit(result[zero]), np.signbit(expected[zero]))


@pytest.mark.parametrize("name", ["relu", "clamp_min", "clamp_max", "softplus", "sigmoid", "sign", "erf", "positive"])
def test_nan_passes_through(name):
    arguments = [np.array([np.nan])] + [np.array([0.5])] * (FUNCTIONS[name].arity - 1)
    assert np.isnan(kernel(name)(*arguments)).all()


@pytest.mark.parametrize("dtype", [np.int8, np.int64, np.uint8])
def test_whole_numbers_divide_as_numpys_do(dtype):
    limits = np.iinfo(dtype)
    a, b = (g.ravel().astype(dtype) for g in np.meshgrid([limits.max, limits.min, 7, 0], [3, 0, 1, limits.max]))
    with np.errstate(all="ignore"):
        quotient, rest = np.floor_divide(a, b), np.remainder(a, b)
    with np.errstate(all="raise"):
        np.testing.assert_array_equal(kernel("floor_divide")(a, b), quotient)
        np.testing.assert_array_equal(kernel("remainder")(a, b), rest)


@pytest.mark.parametrize("dtype", [np.int8, np.int64])
def test_the_smallest_whole_number_divides_by_minus_one(dtype):
    """The quotient does not fit, and the processor's own division would end the process."""
    a, b = np.array([np.iinfo(dtype).min, -7], dtype), np.array([-1, -1], dtype)
    np.testing.assert_array_equal(kernel("floor_divide")(a, b), [np.iinfo(dtype).min, 7])
    np.testing.assert_array_equal(kernel("remainder")(a, b), [0, 0])


@pytest.mark.parametrize("name", ["floor_divide", "remainder"])
def test_quotients_by_zero_are_quiet(name):
    a, b = np.array([1.0, -1.0, 0.0, np.inf, np.nan]), np.array([0.0, 0.0, 0.0, 0.0, 1.0])
    with np.errstate(all="raise"):
        result = kernel(name)(a, b)
    with np.errstate(all="ignore"):
        expected = (np.floor_divide if name == "floor_divide" else np.remainder)(a, b)
    np.testing.assert_array_equal(result, expected)


# ---- partials -------------------------------------------------------------------------------------------------------


def pullback(name, index, gy, *xs):
    """Run the kernel of a function's vector-Jacobian product."""
    operation = OPERATIONS[name]
    values = [np.float64(v) for v in (gy, operation.kernel(*map(np.float64, xs)), *xs)]
    back = operation.pullbacks[index]
    with np.errstate(all="raise"):
        return float(back.operation.kernel(*(values[use] for use in back.uses)))


@pytest.mark.parametrize(
    ("name", "index", "xs", "expected"),
    [
        ("softplus", 0, (1000.0,), 1.0),
        ("softplus", 0, (-1000.0,), 0.0),
        ("sigmoid", 0, (1000.0,), 0.0),
        ("sigmoid", 0, (-1000.0,), 0.0),
        ("tanh", 0, (400.0,), 0.0),
        ("bce_with_logits", 0, (1000.0, 1.0), 0.0),
        ("bce_with_logits", 0, (-1000.0, 1.0), -1.0),
        ("logaddexp", 0, (1000.0, 0.0), 1.0),
        ("logaddexp", 1, (1000.0, 0.0), 0.0),
        ("logaddexp", 0, (1000.0, 1000.0), 0.5),
        ("pow", 0, (0.0, 0.0), 0.0),
        ("pow", 0, (0.0, 1.0), 1.0),
        ("pow", 0, (0.0, 2.0), 0.0),
        ("pow", 0, (-2.0, 3.0), 12.0),
        ("pow", 1, (0.0, 2.0), 0.0),
        ("pow", 1, (0.0, 0.0), 0.0),
        ("pow", 1, (math.e, 2.0), math.e**2),
        ("abs", 0, (0.0,), 0.0),
        ("relu", 0, (0.0,), 0.0),
        ("relu", 0, (-0.0,), 0.0),
        ("maximum", 0, (2.0, 2.0), 0.5),
        ("maximum", 1, (2.0, 2.0), 0.5),
        ("minimum", 0, (1.0, 2.0), 1.0),
        ("minimum", 1, (1.0, 2.0), 0.0),
        ("clamp", 0, (1.0, 1.0, 2.0), 1.0),
        ("clamp", 0, (2.0, 1.0, 2.0), 1.0),
        ("clamp", 0, (2.5, 1.0, 2.0), 0.0),
        ("clamp", 1, (0.0, 1.0, 2.0), 1.0),
        ("clamp", 2, (3.0, 1.0, 2.0), 1.0),
        ("clamp", 2, (0.0, 3.0, 2.0), 1.0),
        ("clamp_min", 0, (1.0, 1.0), 1.0),
        ("clamp_min", 1, (0.0, 1.0), 1.0),
        ("clamp_max", 0, (1.0, 1.0), 1.0),
        ("clamp_max", 1, (2.0, 1.0), 1.0),
        ("remainder", 1, (7.0, 2.0), -3.0),
        ("hypot", 0, (3e200, 4e200), 0.6),
        ("sqrt", 0, (4.0,), 0.25),
        ("div", 1, (3.0, 2.0), -0.75),
        ("expm1", 0, (1e-9,), math.exp(1e-9)),
        ("log1p", 0, (-0.5,), 2.0),
    ],
)
def test_partials_where_they_are_delicate(name, index, xs, expected):
    assert pullback(name, index, 1.0, *xs) == pytest.approx(expected, rel=1e-13, abs=1e-300)


@pytest.mark.parametrize("name", ["relu", "maximum", "minimum", "clamp", "clamp_min", "clamp_max", "abs"])
def test_infinite_cotangents_stay_off_masked_elements(name):
    """inf * 0 would be NaN."""
    xs = {"maximum": (1.0, 2.0), "minimum": (2.0, 1.0), "clamp": (5.0, 0.0, 1.0), "relu": (-1.0,), "abs": (1.0,)}
    xs |= {"clamp_min": (-1.0, 0.0), "clamp_max": (1.0, 0.0)}
    expected = math.inf if name == "abs" else 0.0
    assert pullback(name, 0, math.inf, *xs[name]) == expected


# ---- declarations ---------------------------------------------------------------------------------------------------


def test_unknown_names_fail_where_they_are_declared():
    with pytest.raises(NameError, match="no_such_function"):
        ScalarFunction("broken", lambda x: no_such_function(x))  # noqa: F821


def test_arity_and_kinds_follow_from_the_declaration():
    assert (scalars.exp.arity, scalars.atan2.arity, scalars.clamp.arity, scalars.where.arity) == (1, 2, 3, 3)
    assert scalars.where.argument_kinds == (TRUTH, NUMBER, NUMBER)
    assert scalars.lt.result_kind == scalars.logical_or.result_kind == TRUTH
    assert scalars.add.result_kind == NUMBER
    domains = {f.domain for f in (scalars.exp, scalars.add, scalars.square, scalars.lt, scalars.logical_not)}
    assert domains == {
        FLOATING,
        CLOSED,
        NUMERIC,
        COMPARISON,
        LOGICAL,
    }
    assert repr(scalars.exp) == "<scalar function exp>"


def test_partials_follow_from_the_formula_unless_stated():
    cube = ScalarFunction("cube", lambda x: x * x * x)
    root = formula.trace(cube, [NUMBER])
    slope = formula.derivative(root, 0)
    run = cpu.kernel("cube_slope", [slope], [NUMBER], FLOATING)
    np.testing.assert_allclose(run(np.array([-2.0, 0.0, 3.0])), [12.0, 0.0, 27.0], rtol=1e-15)
    stated = ScalarFunction("stated", lambda x: x * x * x, lambda y, x: 7)
    assert formula.constant_value(formula.derivative(formula.trace(stated, [NUMBER]), 0)) == 7
