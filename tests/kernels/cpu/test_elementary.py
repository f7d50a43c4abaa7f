"""Our elementary functions: at most 1 ulp from mpmath, special values as C99 has them, and vectorised."""

import mpmath
import numpy as np
import pytest

from nbgrad.kernels import codegen
from nbgrad.ops.elementwise import OPERATIONS

DTYPES = ("float32", "float64")
FUNCTIONS = ("exp", "log", "log1p", "tanh")

mpmath.mp.prec = 140


def ulps(name, x, y):
    """Give the largest error of y in units in the last place of the exact value, and the input it is at."""
    worst, place = 0.0, None
    exactly = getattr(mpmath, name)
    for value, result in zip(x.tolist(), y, strict=True):
        exact = exactly(mpmath.mpf(value))
        unit = mpmath.mpf(float(np.spacing(np.abs(y.dtype.type(float(exact))))))
        error = float(abs(mpmath.mpf(float(result)) - exact) / unit)
        if error > worst:
            worst, place = error, value
    return worst, place


def inputs(name, dtype):
    random = np.random.default_rng(7)
    wide = 85.0 if dtype == "float32" else 700.0
    x = {
        # results from the smallest to the largest numbers, and dense around where the arguments are reduced
        "exp": [
            random.uniform(-wide * 1.19, wide, 3000),
            random.uniform(-1, 1, 3000),
            10 ** random.uniform(-12, 0, 500),
        ],
        "log": [
            np.exp(random.uniform(-wide, wide, 3000)),
            random.uniform(0.5, 2, 3000),
            1 + random.normal(size=500) / 1e5,
        ],
        "log1p": [
            np.exp(random.uniform(-wide / 2, wide / 2, 2000)),
            random.uniform(-0.999, 2, 3000),
            random.uniform(-0.5, 0.5, 1000),
        ],
        "tanh": [
            random.uniform(-3, 3, 3000),
            random.uniform(0.9, 1.1, 1000),
            np.exp(random.uniform(-wide / 3, 3, 2000)),
        ],
    }[name]
    return np.concatenate(x).astype(dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_within_one_ulp(name, dtype):
    x = inputs(name, dtype)
    worst, place = ulps(name, x, OPERATIONS[name].kernel(x))
    assert worst <= 1.0, f"{worst} ulp at {place!r}"


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_million_float32_values_against_float64(name, dtype):
    """NumPy's float64 functions are exact beside float32, and within 4 ulp of what float64 should be."""
    random = np.random.default_rng(3)
    bits = random.integers(0, 2**32, 1_000_000, dtype=np.uint32)
    with np.errstate(all="ignore"):
        x = bits.view(np.float32).astype(dtype)
        exact = getattr(np, name)(x.astype(np.float64))
        expected = exact.astype(dtype)
    y = OPERATIONS[name].kernel(x)
    np.testing.assert_array_equal(np.isnan(y), np.isnan(expected))
    finite = np.isfinite(expected) & np.isfinite(y)
    # an overflow may begin one unit early or late
    edge = ~finite & ~np.isnan(expected) & (y != expected)
    assert np.all(np.abs(exact[edge]) >= 0.9999999 * np.finfo(dtype).max)
    error = np.abs(y[finite].astype(np.float64) - exact[finite]) / np.spacing(np.abs(expected[finite])).astype(
        np.float64
    )
    assert error.max() <= (1.0 if dtype == "float32" else 4.0)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_special_values(name, dtype):
    limits = np.finfo(dtype)
    x = np.array(
        [
            np.inf,
            -np.inf,
            np.nan,
            0.0,
            -0.0,
            -1.0,
            -2.0,
            limits.max,
            -limits.max,
            limits.tiny,
            limits.smallest_subnormal,
        ],
        dtype,
    )
    y = OPERATIONS[name].kernel(x)
    with np.errstate(all="ignore"):
        expected = getattr(np, name)(x)
    np.testing.assert_allclose(y, expected, rtol=2 * limits.eps)
    numbers = ~np.isnan(expected)
    np.testing.assert_array_equal(np.signbit(y)[numbers], np.signbit(expected)[numbers])


@pytest.mark.parametrize("dtype", DTYPES)
def test_subnormal_results_and_arguments(dtype):
    smallest = np.finfo(dtype).smallest_subnormal
    x = smallest * np.array([1, 2, 3, 1000, 123456], dtype)
    np.testing.assert_allclose(OPERATIONS["log"].kernel(x), np.log(x.astype(np.longdouble)).astype(dtype), rtol=1e-7)
    deep = np.linspace(np.log(np.longdouble(smallest)) + 0.8, np.log(np.finfo(dtype).tiny), 50).astype(dtype)
    y = OPERATIONS["exp"].kernel(deep)
    assert np.all(np.abs(y - np.exp(deep.astype(np.longdouble))) <= 1.01 * np.longdouble(smallest))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", [*FUNCTIONS, "sigmoid", "softplus"])
def test_kernels_are_packed_and_call_nobody(name, dtype):
    """LLVM vectorises the loops, and no call of the C library is left in them."""
    from nbgrad.kernels.cpu import elementary, elementwise, support

    operation = OPERATIONS[name]
    text, _ = elementwise.source([operation.expression], operation.kinds, dtype)
    namespace = support.NAMESPACE | elementary.NAMESPACE
    exec(text, namespace)
    arguments = namespace["loop"], support.SIGNATURES["loop"], {"fastmath": {"contract"}}
    assert set(support.compile_function(*arguments).undefined) <= {"fma", "fmaf"}  # where the processor has none
    if not codegen._llvm().get_process_triple().startswith("x86_64"):
        pytest.skip("looks for the packed instructions of x86-64 only")
    assembly = support.compile_callback(*arguments)._library.get_asm_str()
    calls = [line.split() for line in assembly.splitlines() if "call" in line]
    assert all(target.startswith("*") for _, target in calls), calls  # through a pointer: to the thread pool
    suffix = "ps" if dtype == "float32" else "pd"
    packed = [line for line in assembly.splitlines() if f"mul{suffix}" in line or ("fmadd" in line and suffix in line)]
    assert any("%ymm" in line or "%zmm" in line or "%xmm" in line for line in packed)
