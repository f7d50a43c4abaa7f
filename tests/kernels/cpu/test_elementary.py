"""Our elementary functions: exact to the promised units in the last place, special values as C99 has them, vectorised.

What is promised, the exact values and the samples are those of `benchmarks/exact.py`.
"""

import importlib
import math
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from peers import peer
from workers import run_python

from nbgrad.kernels import scalars
from nbgrad.kernels.cpu import backend, codegen, elementwise, frontend
from nbgrad.kernels.formula import NUMBER, trace
from nbgrad.ops.elementwise import OPERATIONS

sys.path.append(str(Path(__file__).parents[3]))  # the root of the repository, for benchmarks
exact = importlib.import_module("benchmarks.exact")

DTYPES = exact.DTYPES
FUNCTIONS = exact.FUNCTIONS

each_function = pytest.mark.parametrize("name", FUNCTIONS)
each_dtype = pytest.mark.parametrize("dtype", DTYPES)


def compute(name, *inputs):
    """Call the kernel, which raises none of the floating-point exceptions that NumPy would warn of."""
    with np.errstate(all="raise"):
        return OPERATIONS[name].kernel(*inputs)


def assert_kept(name, inputs, error, slack=0.0):
    """Assert that no error is larger than promised where its input is."""
    for inside, promise in FUNCTIONS[name].regions(inputs).values():
        here = np.where(inside, error, 0)
        worst = int(np.argmax(here))
        assert here[worst] <= promise + slack, f"{here[worst]} ulp at {[x[worst].item() for x in inputs]!r}"


def assert_same(found, expected):
    """Assert that numbers are the same to the sign of zero; a NaN may be any."""
    np.testing.assert_array_equal(found, expected)
    numbers = ~np.isnan(expected)
    np.testing.assert_array_equal(np.signbit(found)[numbers], np.signbit(expected)[numbers])


# ---- accuracy -------------------------------------------------------------------------------------------------------


@each_dtype
@each_function
def test_as_exact_as_promised(name, dtype):
    """All exponents, close samples, at all distances from zeros and poles, and where arguments are reduced."""
    inputs = exact.samples(name, dtype, 700, seed=5)
    assert inputs[0].size > 1500
    error = exact.exact_errors(compute(name, *inputs), exact.exact_values(name, inputs), exact.floors(name, inputs))
    assert_kept(name, inputs, error)


@each_function
def test_float32_patterns_against_float64(name):
    """NumPy's and SciPy's float64 functions are exact beside float32. NaN and zeros are of one kind."""
    peer("scipy.special")
    random = np.random.default_rng(3)
    inputs = [
        random.integers(0, 2**32, 300_000, dtype=np.uint32).view(np.float32) for _ in range(FUNCTIONS[name].arity)
    ]
    results, expected = compute(name, *inputs), exact.reference(name, "float32")(*inputs)
    assert_kept(name, inputs, exact.errors(results, expected, exact.floors(name, inputs)), slack=1e-3)
    zeros = results == 0
    np.testing.assert_array_equal(np.signbit(results)[zeros], np.signbit(expected)[zeros])


#: Those that NumPy has not, not even in long double; and how far from exact SciPy's are where ours are judged by them.
SCIPY_ERRORS = {"erf": 3, "erfc": 1000, "erfinv": 6, "lgamma": 8, "digamma": 8}


@each_function
def test_half_a_million_float64_samples_against_peers(name):
    special = peer("scipy.special")
    inputs = exact.samples(name, "float64", 80_000, seed=4)
    reference, slack = exact.reference(name, "float64"), 1e-2
    if reference is None:  # an operating system without long double, or a function of SciPy's
        slack = SCIPY_ERRORS.get(name, 4)
        function = FUNCTIONS[name]
        reference = getattr(np, function.numpy or name, None) or getattr(special, function.scipy or name)
        if name in ("lgamma", "digamma"):  # SciPy's lose digits around poles, and gammaln overflows early at both ends
            inputs = [x[(x >= np.finfo(np.float64).smallest_normal) & (x < 1e305)] for x in inputs]
    with np.errstate(all="ignore"):
        expected = reference(*inputs)
    error = exact.errors(compute(name, *inputs), expected.astype(np.longdouble), exact.floors(name, inputs))
    assert_kept(name, inputs, error, slack)


@pytest.mark.parametrize("name", ["lgamma", "digamma"])
def test_around_zeros_errors_are_small_absolutely(name):
    zeros = {
        "lgamma": [1.0, 2.0, -2.4570247382208006, -2.7476826467274127, -3.1435808883499799, -3.9552942848585979],
        "digamma": [1.4616321449683623, -0.5040830082644554, -1.5734984731623905, -2.6107208684441447],
    }[name]
    for dtype in DTYPES:
        x = np.concatenate([zero * (1 + np.finfo(dtype).eps * np.arange(-40, 41)) for zero in zeros]).astype(dtype)
        values = exact.exact_values(name, [x])
        results = compute(name, x)
        error = [abs(exact.EXACT.mpf(y) - value) for y, value in zip(results.tolist(), values, strict=True)]
        assert max(error) <= 4 * np.finfo(dtype).eps


@pytest.mark.parametrize("name", ["sin", "cos", "tan"])
def test_the_numbers_nearest_to_multiples_of_half_pi(name):
    hard = exact.near_multiples_of_half_pi("float64")
    assert math.ldexp(6381956970095103, 797) in hard  # the hardest (J.-M. Muller, "Elementary Functions")
    for dtype in DTYPES:
        x = exact.near_multiples_of_half_pi(dtype)
        x = np.concatenate([x, -x])
        assert_kept(name, [x], exact.exact_errors(compute(name, x), exact.exact_values(name, [x])))


@each_dtype
def test_whole_results_are_exact(dtype):
    limits = np.finfo(dtype)
    exponents = np.arange(limits.minexp - limits.nmant, limits.maxexp).astype(dtype)
    powers = np.ldexp(np.ones_like(exponents), exponents.astype(int))
    np.testing.assert_array_equal(compute("exp2", exponents), powers)
    np.testing.assert_array_equal(compute("log2", powers), exponents)
    whole = np.arange(-(2 ** ((limits.nmant + 1) // 3)), 2 ** ((limits.nmant + 1) // 3) + 1).astype(dtype)
    np.testing.assert_array_equal(compute("cbrt", whole**3), whole)
    with np.errstate(all="ignore"):
        scaled = np.ldexp(whole**3, 3 * (limits.maxexp // 3 - limits.nmant))
    np.testing.assert_array_equal(compute("cbrt", scaled), np.ldexp(whole, limits.maxexp // 3 - limits.nmant))
    k = np.arange(-100_000, 100_000, 37).astype(dtype)
    np.testing.assert_array_equal(compute("hypot", 3 * k, 4 * k), abs(5 * k))
    np.testing.assert_array_equal(compute("hypot", 4 * k, 3 * k), abs(5 * k))


# ---- special values -------------------------------------------------------------------------------------------------

INF, NAN, PI = math.inf, math.nan, math.pi

_ODD = [(0.0, 0.0), (-0.0, -0.0), (NAN, NAN)]
_LOGARITHM = [(0.0, -INF), (-0.0, -INF), (1.0, 0.0), (-1.0, NAN), (-1e-30, NAN), (-INF, NAN), (INF, INF), (NAN, NAN)]
_EXPONENTIAL = [(0.0, 1.0), (-0.0, 1.0), (-INF, 0.0), (INF, INF), (NAN, NAN), (1e5, INF), (-1e5, 0.0)]

#: Inputs and results, from C99, Annex F.9; those that C does not have as their limits.
SPECIAL = {
    "acos": [(1.0, 0.0), (-1.0, PI), (0.0, PI / 2), (-0.0, PI / 2), (1.5, NAN), (-1.5, NAN), (INF, NAN), (-INF, NAN)],
    "asin": [*_ODD, (1.0, PI / 2), (-1.0, -PI / 2), (1.5, NAN), (-1.5, NAN), (INF, NAN), (-INF, NAN)],
    "atan": [*_ODD, (INF, PI / 2), (-INF, -PI / 2), (1e30, PI / 2), (-1e30, -PI / 2), (1.0, PI / 4)],
    "cos": [(0.0, 1.0), (-0.0, 1.0), (INF, NAN), (-INF, NAN), (NAN, NAN)],
    "sin": [*_ODD, (INF, NAN), (-INF, NAN)],
    "tan": [*_ODD, (INF, NAN), (-INF, NAN)],
    "acosh": [(1.0, 0.0), (0.5, NAN), (0.0, NAN), (-1.0, NAN), (-INF, NAN), (INF, INF), (NAN, NAN)],
    "asinh": [*_ODD, (INF, INF), (-INF, -INF)],
    "atanh": [*_ODD, (1.0, INF), (-1.0, -INF), (1.5, NAN), (-1.5, NAN), (INF, NAN), (-INF, NAN)],
    "cosh": [(0.0, 1.0), (-0.0, 1.0), (INF, INF), (-INF, INF), (NAN, NAN), (1e5, INF), (-1e5, INF)],
    "sinh": [*_ODD, (INF, INF), (-INF, -INF), (1e5, INF), (-1e5, -INF)],
    "tanh": [*_ODD, (INF, 1.0), (-INF, -1.0), (1e5, 1.0), (-1e5, -1.0)],
    "exp": _EXPONENTIAL,
    "exp2": [*_EXPONENTIAL, (1.0, 2.0), (-1.0, 0.5)],
    "expm1": [*_ODD, (-INF, -1.0), (INF, INF), (1e5, INF), (-1e5, -1.0)],
    "log": _LOGARITHM,
    "log2": [*_LOGARITHM, (2.0, 1.0), (0.5, -1.0)],
    "log10": [*_LOGARITHM, (10.0, 1.0), (100.0, 2.0)],
    "log1p": [*_ODD, (-1.0, -INF), (-1.5, NAN), (-INF, NAN), (INF, INF)],
    "cbrt": [*_ODD, (INF, INF), (-INF, -INF), (1.0, 1.0), (-8.0, -2.0)],
    "erf": [*_ODD, (INF, 1.0), (-INF, -1.0), (1e5, 1.0), (-1e5, -1.0)],
    "erfc": [(0.0, 1.0), (-0.0, 1.0), (INF, 0.0), (-INF, 2.0), (NAN, NAN), (1e5, 0.0), (-1e5, 2.0)],
    "lgamma": [
        *((x, INF) for x in (0.0, -0.0, -1.0, -2.0, -3.0, -171.0, -1e30, -INF, INF)),
        *((1.0, 0.0), (2.0, 0.0), (3.0, math.log(2)), (0.5, math.log(PI) / 2), (NAN, NAN)),
    ],
    "digamma": [
        *((0.0, -INF), (-0.0, INF), (INF, INF), (NAN, NAN), (1.0, -0.5772156649015329)),
        *((x, NAN) for x in (-1.0, -2.0, -171.0, -1e30, -INF)),
    ],
    "erfinv": [*_ODD, (1.0, INF), (-1.0, -INF), (1.5, NAN), (-1.5, NAN), (INF, NAN), (-INF, NAN)],
    "sigmoid": [(0.0, 0.5), (-0.0, 0.5), (INF, 1.0), (-INF, 0.0), (NAN, NAN), (1e5, 1.0), (-1e5, 0.0)],
    "softplus": [
        *((0.0, math.log(2)), (-0.0, math.log(2)), (INF, INF), (-INF, 0.0), (NAN, NAN)),
        *((65536.0, 65536.0), (-1e5, 0.0)),
    ],
    "atan2": [
        *((0.0, -0.0, PI), (-0.0, -0.0, -PI), (0.0, 0.0, 0.0), (-0.0, 0.0, -0.0)),
        *((0.0, -2.0, PI), (-0.0, -2.0, -PI), (0.0, 2.0, 0.0), (-0.0, 2.0, -0.0)),
        *((0.0, -INF, PI), (-0.0, -INF, -PI), (0.0, INF, 0.0), (-0.0, INF, -0.0)),
        *((-2.0, zero, -PI / 2) for zero in (0.0, -0.0)),
        *((2.0, zero, PI / 2) for zero in (0.0, -0.0)),
        *((2.0, -INF, PI), (-2.0, -INF, -PI), (2.0, INF, 0.0), (-2.0, INF, -0.0)),
        *((INF, x, PI / 2) for x in (0.0, -0.0, 2.0, -2.0)),
        *((-INF, x, -PI / 2) for x in (0.0, -0.0, 2.0, -2.0)),
        *((INF, -INF, 3 * PI / 4), (-INF, -INF, -3 * PI / 4), (INF, INF, PI / 4), (-INF, INF, -PI / 4)),
        *((NAN, x, NAN) for x in (0.0, 2.0, INF, -INF, NAN)),
        *((x, NAN, NAN) for x in (0.0, 2.0, INF, -INF)),
        *((2.0, 2.0, PI / 4), (2.0, -2.0, 3 * PI / 4), (-2.0, -2.0, -3 * PI / 4), (-2.0, 2.0, -PI / 4)),
        *((1e-30, -1e30, PI), (-1e-30, -1e30, -PI), (1e30, 1e-30, PI / 2), (-1e30, -1e-30, -PI / 2)),
    ],
    "pow": [
        *((0.0, y, INF) for y in (-1.0, -3.0, -2.0, -1.5, -0.5, -1e30, -INF)),
        *((-0.0, y, -INF) for y in (-1.0, -3.0, -16777215.0)),
        *((-0.0, y, INF) for y in (-2.0, -4.0, -1.5, -0.5, -1e30, -INF)),
        *((0.0, y, 0.0) for y in (1.0, 3.0, 2.0, 0.5, 1.5, 1e30, INF)),
        *((-0.0, y, -0.0) for y in (1.0, 3.0, 16777215.0)),
        *((-0.0, y, 0.0) for y in (2.0, 4.0, 0.5, 1.5, 1e30, INF)),
        *((-1.0, y, 1.0) for y in (INF, -INF, 2.0, -2.0, 1e30, -1e30)),
        *((-1.0, y, -1.0) for y in (1.0, -1.0, 3.0, 16777215.0)),
        *((1.0, y, 1.0) for y in (0.0, -0.0, 1.0, -2.5, 1e30, INF, -INF, NAN)),
        *((x, zero, 1.0) for zero in (0.0, -0.0) for x in (0.0, -0.0, 2.0, -2.0, INF, -INF, NAN)),
        *((x, y, NAN) for x in (-2.0, -0.5, -1.0, -1e30) for y in (0.5, -0.5, 1.5, -2.5)),
        *((x, -INF, INF) for x in (0.5, -0.5, 1e-30)),
        *((x, -INF, 0.0) for x in (2.0, -2.0, INF, -INF, 1e30)),
        *((x, INF, 0.0) for x in (0.5, -0.5, 1e-30)),
        *((x, INF, INF) for x in (2.0, -2.0, INF, -INF, 1e30)),
        *((-INF, y, -0.0) for y in (-1.0, -3.0, -16777215.0)),
        *((-INF, y, 0.0) for y in (-2.0, -0.5, -1.5, -1e30)),
        *((-INF, y, -INF) for y in (1.0, 3.0, 16777215.0)),
        *((-INF, y, INF) for y in (2.0, 0.5, 1.5, 1e30)),
        *((INF, y, 0.0) for y in (-1.0, -2.0, -0.5, -1e30)),
        *((INF, y, INF) for y in (1.0, 2.0, 0.5, 1e30)),
        *((NAN, y, NAN) for y in (1.0, 2.0, -0.5, INF, -INF, NAN)),
        *((x, NAN, NAN) for x in (0.0, -0.0, 2.0, -1.0, -2.0, INF, -INF)),
        *((-2.0, 3.0, -8.0), (-2.0, 2.0, 4.0), (-2.0, -1.0, -0.5), (2.0, 0.5, math.sqrt(2))),
        *((-10.0, 1001.0, -INF), (-10.0, 1000.0, INF), (-10.0, -1001.0, -0.0), (-10.0, -1000.0, 0.0)),
    ],
    "hypot": [
        *((sign * zero, x, abs(x)) for sign in (1, -1) for zero in (0.0, -0.0) for x in (0.0, -0.0, 2.0, -2.0)),
        *((x, 0.0, abs(x)) for x in (2.0, -2.0, 1e30, -1e-30)),
        *((x, y, INF) for x in (INF, -INF) for y in (0.0, 2.0, -2.0, INF, -INF, NAN)),
        *((y, x, INF) for x in (INF, -INF) for y in (0.0, 2.0, -2.0, NAN)),
        *((NAN, y, NAN) for y in (0.0, 2.0, NAN)),
        *((x, NAN, NAN) for x in (0.0, -2.0)),
    ],
    "logaddexp": [
        *((-INF, y, y) for y in (0.0, 2.0, -2.0, -INF, INF)),
        *((x, -INF, x) for x in (0.0, 2.0, -2.0, INF)),
        *((INF, y, INF) for y in (0.0, 2.0, INF)),
        *((x, INF, INF) for x in (0.0, 2.0)),
        *((NAN, y, NAN) for y in (0.0, INF, -INF, NAN)),
        *((x, NAN, NAN) for x in (0.0, INF, -INF)),
        *((0.0, 0.0, math.log(2)), (65536.0, -65536.0, 65536.0)),
    ],
}


def check(name, dtype, points):
    """Assert that points have the results that end them, whether in a vector of the loop or on their own."""
    *inputs, expected = (np.array(column, dtype) for column in zip(*points, strict=True))
    exactly = ~np.isfinite(expected) | np.isin(abs(expected), (0, 0.5, 1, 2))
    tiled = compute(name, *(np.tile(x, 32) for x in inputs)).reshape(32, -1)
    alone = np.array([compute(name, *point) for point in zip(*inputs, strict=True)])
    for results in (*tiled, alone):
        np.testing.assert_array_equal(np.isnan(results), np.isnan(expected), err_msg=repr(points))
        for result, value, whole, point in zip(results, expected, exactly, points, strict=True):
            if not np.isnan(value):
                context = f"{name}{point[:-1]} is {result}, not {value}"
                assert np.signbit(result) == np.signbit(value), context
                assert result == value if whole else abs(result / value - 1) <= 2 * np.finfo(dtype).eps, context


@each_dtype
@each_function
def test_special_values(name, dtype):
    check(name, dtype, SPECIAL[name])


@each_dtype
def test_the_largest_and_smallest_numbers(dtype):
    limits = np.finfo(dtype)
    top, least, normal = limits.max, limits.smallest_subnormal, limits.smallest_normal
    for name in ("sin", "tan", "asin", "atan", "sinh", "tanh", "asinh", "atanh", "expm1", "log1p"):
        check(name, dtype, [(x, x) for x in (least, -least, 3 * least, normal, -normal)])
    for name in ("exp", "exp2", "cos", "cosh", "erfc"):
        check(name, dtype, [(x, 1.0) for x in (least, -least, normal, -normal)])
    for name in ("exp", "exp2"):
        check(name, dtype, [(top, INF), (-top, 0.0)])
    check("expm1", dtype, [(top, INF), (-top, -1.0)])
    check("sinh", dtype, [(top, INF), (-top, -INF)])
    check("cosh", dtype, [(top, INF), (-top, INF)])
    for name in ("tanh", "erf"):
        check(name, dtype, [(top, 1.0), (-top, -1.0)])
    check("erfc", dtype, [(top, 0.0), (-top, 2.0)])
    check("atan", dtype, [(top, PI / 2), (-top, -PI / 2)])
    check("sigmoid", dtype, [(top, 1.0), (-top, 0.0)])
    check("softplus", dtype, [(top, top), (-top, 0.0)])
    check("lgamma", dtype, [(top, INF), (-top, INF)])
    check("digamma", dtype, [(least, -INF), (-least, INF), (top, math.log(top)), (-top, NAN)])
    check("log", dtype, [(top, math.log(top)), (normal, math.log(normal)), (least, math.log(least))])
    check("hypot", dtype, [(top, 0.0, top), (least, 0.0, least), (-0.0, -least, least), (top, top, INF)])
    check("hypot", dtype, [(top, normal, top), (3 * least, 4 * least, 5 * least), (least, top, top)])
    check("atan2", dtype, [(least, top, 0.0), (-least, top, -0.0), (top, least, PI / 2), (-top, -least, -PI / 2)])
    check("atan2", dtype, [(least, -top, PI), (top, top, PI / 4), (least, least, PI / 4), (-top, -top, -3 * PI / 4)])
    check("pow", dtype, [(top, 1.0, top), (least, 1.0, least), (top, 2.0, INF), (least, 2.0, 0.0), (least, -1.0, INF)])
    check("pow", dtype, [(-least, 3.0, -0.0), (-top, 3.0, -INF), (-top, top, INF), (-least, top, 0.0)])
    odd = dtype(2**53 - 1) if dtype is np.float64 else float(2 ** (limits.nmant + 1) - 1)
    check("pow", dtype, [(-1.0, odd, -1.0), (-1.0, odd + 1, 1.0), (-1.0, 2 * odd, 1.0), (-INF, odd, -INF)])
    check("logaddexp", dtype, [(top, top, top), (-top, -top, -top), (top, -top, top), (least, -top, least)])


# ---- loops ----------------------------------------------------------------------------------------------------------


@each_function
def test_layouts_agree_to_the_bit(name):
    for dtype in DTYPES:
        points = list(zip(*SPECIAL[name], strict=True))[:-1]
        inputs = [
            np.concatenate([np.array(x, dtype), y]) for x, y in zip(points, exact.samples(name, dtype, 10), strict=True)
        ]
        expected = compute(name, *inputs)
        size = expected.size
        spread = [np.repeat(x, 3)[::3] for x in inputs]
        assert_same(compute(name, *spread), expected)
        assert_same(compute(name, *(x[::-1] for x in inputs))[::-1], expected)
        out = np.zeros(2 * size, dtype)
        compute(name, *inputs, out[::2])
        assert_same(out[::2], expected)
        for count in (0, 1, 3, 17, 33):
            part = compute(name, *(x[:count] for x in inputs))
            assert part.shape == (count,) and part.dtype == dtype
            assert_same(part, expected[:count])
        for i in range(0, size, 7):
            single = compute(name, *(x[i, ...] for x in inputs))
            assert_same(np.asarray(single), expected[i])
        if len(inputs) == 2:
            for i in (0, size // 2):
                x, y = inputs
                assert_same(compute(name, x, y[i]), compute(name, x, np.full_like(x, y[i])))
                assert_same(compute(name, x[i], y), compute(name, np.full_like(y, x[i]), y))


@each_function
def test_whole_numbers_become_float64(name):
    x = np.arange(1, 4)
    results = compute(name, *[x] * FUNCTIONS[name].arity)
    assert results.dtype == np.float64
    assert_same(results, compute(name, *[x.astype(np.float64)] * FUNCTIONS[name].arity))


#: What the C library would do, where a processor has no instruction for it.
_INSTRUCTIONS = {name + suffix for name in ("fma", "rint", "floor", "ceil", "trunc", "sqrt") for suffix in ("", "f")}


def compiled(expression, kinds, dtype):
    """Compile the loop of an expression; gives the module after LLVM's passes."""
    text = elementwise.source([expression], kinds, dtype)
    return backend.optimised(frontend.module_text(text, "loop", "listed", "contract"), backend.effort_for(text, "loop"))


@each_dtype
@each_function
def test_kernels_are_packed_and_call_nobody(name, dtype):
    """LLVM vectorises the loops, and no call of the C library is left in them."""
    operation = OPERATIONS[name]
    module = compiled(operation.expression, operation.kinds, dtype)
    functions = [f for f in module.functions if not f.name.startswith("llvm.")]
    assert {f.name for f in functions if f.is_declaration} <= {"feclearexcept"}
    kind = {"float32": "float", "float64": "double"}[dtype]
    assert re.search(rf"store <\d+ x {kind}>", str(module)), "the loop is not vectorised"
    if not codegen._llvm().get_process_triple().startswith("x86_64"):
        return  # the names of instructions and the shape of calls are of x86-64
    lines = [line.strip() for line in backend.machine().emit_assembly(module).splitlines()]
    calls = [line.split()[1] for line in lines if line.startswith("call")]
    assert all(target.startswith("*") for target in calls), calls  # through a pointer: to the thread pool
    # a function far away is called through a register that its address is put into
    named = {found[1] for line in lines if (found := re.match(r"movabsq\s+\$([a-z]\w*),", line))}
    assert named <= _INSTRUCTIONS | {f.name for f in functions}, named
    suffix = "ps" if dtype == "float32" else "pd"
    packed = rf"v?(u?mul|f?n?m?(add|sub)\w*|sqrt|div){suffix}\s|vfn?m(add|sub)\d+{suffix}\s"
    assert any(re.match(packed, line) for line in lines)


def test_sine_and_cosine_of_one_angle_reduce_it_once():
    """The vectors are multiplied by 2/pi, to count the quarter turns in them, once for both."""

    def reductions(formula, dtype):
        text = str(compiled(trace(formula, [NUMBER]), [NUMBER], dtype))
        return len(re.findall(r"= [^\n]*<\d+ x (?:float|double)>[^\n]*\b0x3FE45F306", text))  # as LLVM writes 2/pi

    for dtype in DTYPES:
        alone = reductions(lambda x: scalars.sin(x), dtype)
        assert alone > 0
        assert reductions(lambda x: scalars.sin(x) + scalars.cos(x), dtype) == alone


# ---- identities -----------------------------------------------------------------------------------------------------


def numbers(dtype, **options):
    width = {"float32": 32, "float64": 64}[dtype]
    if "min_value" not in options:
        options = {"allow_nan": True, "allow_infinity": True} | options
    return arrays(dtype, st.integers(1, 40), elements=st.floats(width=width, **options))


few = settings(max_examples=25)


@each_dtype
@pytest.mark.parametrize(
    "name", ["sin", "tan", "asin", "atan", "sinh", "tanh", "asinh", "atanh", "erf", "erfinv", "cbrt"]
)
def test_odd_functions_are_odd(name, dtype):
    @few
    @given(numbers(dtype))
    def holds(x):
        assert_same(compute(name, -x), -compute(name, x))

    holds()
    for x in exact.samples(name, dtype, 1000):
        assert_same(compute(name, -x), -compute(name, x))


@each_dtype
@pytest.mark.parametrize("name", ["cos", "cosh"])
def test_even_functions_are_even(name, dtype):
    @few
    @given(numbers(dtype))
    def holds(x):
        assert_same(compute(name, -x), compute(name, x))

    holds()
    for x in exact.samples(name, dtype, 1000):
        assert_same(compute(name, -x), compute(name, x))


@each_dtype
def test_symmetries_of_two_inputs(dtype):
    @few
    @given(numbers(dtype), st.randoms())
    def holds(x, random):
        y = np.array(random.sample(x.tolist(), len(x)), dtype)
        length = compute("hypot", x, y)
        assert_same(compute("hypot", y, x), length)
        assert_same(compute("hypot", -x, y), length)
        assert_same(compute("logaddexp", y, x), compute("logaddexp", x, y))
        assert_same(compute("atan2", -x, y), -compute("atan2", x, y))
        assert_same(compute("pow", -x, np.full_like(x, 2)), compute("pow", x, np.full_like(x, 2)))
        assert_same(compute("pow", -x, np.full_like(x, 3)), -compute("pow", x, np.full_like(x, 3)))

    holds()


@each_dtype
def test_identities(dtype):
    eps = np.finfo(dtype).eps
    largest = float(np.finfo(dtype).max)

    @few
    @given(numbers(dtype, min_value=-largest, max_value=largest))
    def squares_add_up_to_one(x):
        sine, cosine = compute("sin", x).astype(float), compute("cos", x).astype(float)
        np.testing.assert_allclose(sine * sine + cosine * cosine, 1, rtol=0, atol=4 * eps)

    @few
    @given(numbers(dtype, min_value=float(np.finfo(dtype).smallest_normal), max_value=largest / 2))
    def exponential_undoes_logarithm(x):
        logarithm = compute("log", x)
        np.testing.assert_array_less(abs(compute("exp", logarithm) / x - 1), (abs(logarithm) + 2) * eps)

    @few
    @given(numbers(dtype, min_value=-10, max_value=10))
    def complements_add_up(x):
        np.testing.assert_allclose(compute("sigmoid", x) + compute("sigmoid", -x), 1, rtol=0, atol=2 * eps)
        np.testing.assert_allclose(compute("erf", x) + compute("erfc", x), 1, rtol=0, atol=4 * eps)
        np.testing.assert_allclose(compute("erfc", x) + compute("erfc", -x), 2, rtol=0, atol=4 * eps)

    squares_add_up_to_one()
    exponential_undoes_logarithm()
    complements_add_up()


#: Where functions rise or fall, and by how much is more than rounding could hide.
MONOTONE = {
    **{name: (-80, 80, 1) for name in ("exp", "exp2", "expm1", "sinh", "asinh", "cbrt", "atan", "softplus")},
    **{name: (0.01, 100, 1) for name in ("log", "log2", "log10", "digamma")},
    **{name: (-4, 4, 1) for name in ("tanh", "erf", "sigmoid")},
    **{name: (-0.999, 0.999, 1) for name in ("asin", "atanh", "erfinv", "log1p")},
    **{name: (-1.5, 1.5, 1) for name in ("sin", "tan")},
    "acos": (-1, 1, -1),
    "cos": (0, 3.1, -1),
    "erfc": (-3, 9, -1),
    "acosh": (1, 100, 1),
    "cosh": (0, 80, 1),
    "lgamma": (1.47, 30, 1),
}


@each_dtype
@pytest.mark.parametrize("name", MONOTONE)
def test_monotone_to_a_unit(name, dtype):
    low, high, direction = MONOTONE[name]
    y = direction * compute(name, np.linspace(low, high, 200_001).astype(dtype))
    back = y[:-1] - y[1:]
    assert np.all(back <= 1.5 * np.spacing(np.abs(y[1:])))


def test_every_function_is_covered():
    assert SPECIAL.keys() == FUNCTIONS.keys()
    assert MONOTONE.keys() == {name for name, function in FUNCTIONS.items() if function.arity == 1}


OLDER = """
import numpy as np
from nbgrad.kernels.cpu import elementwise, processor
from nbgrad.ops.elementwise import OPERATIONS

assert "avx512" not in processor.target()[1]
random = np.random.default_rng(0)
RANGES = {"exp": (-700, 700), "expm1": (-30, 30), "sinh": (-700, 700), "log2": (0.1, 9), "sin": (-1e9, 1e9)}
for name, (low, high) in RANGES.items():
    for dtype, wide in (("float32", np.float64), ("float64", np.longdouble)):
        x = random.uniform(low, high, 20_000).astype(dtype)
        with np.errstate(all="ignore"):
            exact = getattr(np, name)(x.astype(wide))
            expected = exact.astype(dtype)
        y = OPERATIONS[name].kernel(x)
        finite = np.isfinite(expected)
        np.testing.assert_array_equal(np.isfinite(y), finite)
        error = np.abs(y[finite] - exact[finite]) / np.spacing(np.abs(expected[finite]))
        assert error.max() <= 2.01, (name, dtype, error.max())
print("right")
"""


@pytest.mark.skipif(not codegen._llvm().get_process_triple().startswith("x86_64"), reason="names processors of x86-64")
def test_processors_without_avx512(tmp_path):
    """Other instructions are chosen there, for scaling by powers of two above all."""
    features = "+avx,+avx2,+bmi,+bmi2,+f16c,+fma,+lzcnt,+popcnt,+sse4.2"
    environment = {"NUMBA_CPU_NAME": "haswell", "NUMBA_CPU_FEATURES": features, "NBGRAD_CACHE_DIR": str(tmp_path)}
    assert run_python(OLDER, **environment) == "right\n"
