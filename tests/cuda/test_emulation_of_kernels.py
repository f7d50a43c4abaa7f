"""Elementwise kernels of the CUDA target give what the CPU's do, for every layout, dtype and awkward size."""

import cupy
import numpy as np
import pytest
from helpers import usually

from nbgrad.kernels import formula, scalars
from nbgrad.kernels.cpu import elementwise as cpu
from nbgrad.kernels.cuda import elementwise, launch
from nbgrad.ops.elementwise import OPERATIONS

FUNCTIONS = dict(formula._scalar_functions)
DTYPES = {"float32": np.float32, "float64": np.float64}
_made: dict = {}


def ufunc(name):
    if name not in _made:
        function = FUNCTIONS[name]
        _made[name] = cpu.kernel(name, [function.expression], function.argument_kinds, function.domain)
    return _made[name]


def partials():
    """Every first partial derivative, as the walk back computes it: times the cotangent, of the value and inputs."""
    for operation in list(OPERATIONS.values()):
        for pullback in operation.pullbacks:
            if pullback is not None and pullback.operation is not None:
                yield pullback.operation


def launched():
    """Give the launches so far, where they are known."""
    return getattr(launch.backend, "launches", None)


def awkward(rng, dtype, n):
    """Numbers of all magnitudes, and those that functions treat apart."""
    special = [0, -0.0, 1, -1, np.inf, -np.inf, np.nan, 0.5, -0.5, 2, 3, -2, 1e-40, np.pi / 2, 0.75, 100, -100]
    special += [1e300] if dtype == np.float64 else [1e30]
    parts = [
        rng.standard_normal(n),
        10.0 ** rng.uniform(-30, 30, n) * rng.choice([-1, 1], n),
        rng.uniform(-100, 100, n),
    ]
    return np.concatenate([*parts, special]).astype(dtype)


def same(result, expected):
    """Fail unless a device array has the dtype, shape and bits of a host array, any NaN for a NaN."""
    assert type(result) is cupy.ndarray
    result = cupy.asnumpy(result)
    assert result.dtype == expected.dtype
    assert result.shape == expected.shape
    if expected.dtype.kind == "f":
        bits = f"u{expected.itemsize}"
        nan = np.isnan(expected)
        assert (np.isnan(result) == nan).all()
        result, expected = np.where(nan, 0, result).astype(expected.dtype), np.where(nan, 0, expected)
        result, expected = np.ascontiguousarray(result).view(bits), np.ascontiguousarray(expected).view(bits)
    np.testing.assert_array_equal(result, expected)


def check(name, *arguments):
    """Compare the kernels of both targets on host arrays and numbers."""
    run = ufunc(name)
    with np.errstate(all="ignore"):
        expected = run(*arguments)
    device = [cupy.asarray(x) if isinstance(x, np.ndarray) and x.ndim else x for x in arguments]
    same(elementwise.call(run, device), np.asarray(expected))


@pytest.mark.compiled
@pytest.mark.parametrize("dtype", usually(DTYPES))
@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_function_gives_the_bits_of_the_cpu(name, dtype):
    rng = np.random.default_rng(0)
    dtype = DTYPES[dtype]
    function = FUNCTIONS[name]
    x = awkward(rng, dtype, 100)
    arguments = []
    for kind in function.argument_kinds:
        values = rng.permutation(x)
        arguments.append(rng.random(len(x)) < 0.5 if kind == formula.TRUTH else values)
    if name == "hurwitz":
        arguments = [rng.integers(2, 9, len(x)).astype(dtype), rng.uniform(0.5, 50, len(x)).astype(dtype)]
    check(name, *arguments)


@pytest.mark.compiled
@pytest.mark.parametrize("dtype", usually(DTYPES))
def test_every_partial_derivative_gives_what_the_cpu_gives(dtype):
    rng = np.random.default_rng(0)
    seen = set()
    for operation in partials():
        if operation.expression in seen:
            continue
        seen.add(operation.expression)
        x = rng.uniform(0.1, 3, 67).astype(DTYPES[dtype])
        arguments = [rng.random(67) < 0.5 if kind == formula.TRUTH else rng.permutation(x) for kind in operation.kinds]
        with np.errstate(all="ignore"):
            expected = operation.kernel(*arguments)
        result = cupy.asnumpy(elementwise.call(operation.kernel, [cupy.asarray(x) for x in arguments]))
        # either target may join a multiplication and an addition where the other does not
        np.testing.assert_allclose(result, expected, rtol=8 * np.finfo(dtype).eps, err_msg=operation.name)
    assert len(seen) > 50


@pytest.mark.compiled
@pytest.mark.parametrize("n", [0, 1, 2, 3, 4, 31, 33, 255, 257, 1023, 1_000_003])
def test_sizes(n):
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((2, n)).astype(np.float32)
    check("mul", x, y)
    if n < 2000:
        check("maximum", x.astype(np.float64), y.astype(np.float64))
        check("mul", x.astype(np.int8), y.astype(np.int8))
        check("lt", x, y)


def test_empty_arrays_launch_nothing():
    before = launched()
    count = None if before is None else len(before)
    for shape in [(0,), (3, 0, 2), (0, 0)]:
        x = cupy.zeros(shape, "float32")
        assert elementwise.call(ufunc("add"), [x, x]).shape == shape
        assert elementwise.call(ufunc("add"), [x, 2.0]).shape == shape
    assert count is None or len(launched()) == count


SHAPES = [
    [(3, 5), (5,)],
    [(3, 5), (3, 1)],
    [(5,), (3, 1)],
    [(1, 5), (3, 1)],
    [(2, 3, 5), (3, 1)],
    [(2, 3, 5), (2, 1, 5)],
    [(2, 3, 5), (1, 3, 1)],
    [(2, 1, 5, 1), (1, 3, 1, 7)],
    [(2, 3, 4, 5, 6), (3, 1, 5, 1)],
    [(2, 3, 1, 5, 2, 3), (1, 3, 4, 1, 2, 1)],
    [(), (4,)],
    [(1,), (2, 3)],
    [(1, 1), (7,)],
    [(), ()],
    [(1,), ()],
    [(3, 300), (300,)],
    [(2, 3000), (2, 1)],
    [(700, 3), (3,)],
    [(700, 3), (700, 1)],
    [(1, 257), (70, 1)],
    [(0, 3), (3,)],
    [(4, 1), (1, 0)],
]


@pytest.mark.parametrize("shapes", SHAPES, ids=str)
def test_broadcasting(shapes):
    rng = np.random.default_rng(0)
    x, y = (rng.standard_normal(shape) for shape in shapes)
    check("sub", x, y)
    check("sub", y, x)
    check("sub", x.astype(np.float32), y)
    check("where", x > 0, y, rng.standard_normal(shapes[0]))


VIEWS = {
    "reversed": lambda x: x[::-1],
    "every second": lambda x: x[::2],
    "every third backwards": lambda x: x[::-3],
    "columns": lambda x: x[:, ::2],
    "columns backwards": lambda x: x[:, ::-1],
    "both backwards": lambda x: x[::-1, ::-1],
    "transposed": lambda x: x.T,
    "transposed part": lambda x: x[1:, 2:].T,
    "part": lambda x: x[1:5, 2:7],
    "one column": lambda x: x[:, 3],
    "one row": lambda x: x[3],
    "stretched": lambda x: (cupy if type(x) is cupy.ndarray else np).broadcast_to(x[:, :1], (12, 9)),
    "repeated row": lambda x: (cupy if type(x) is cupy.ndarray else np).broadcast_to(x[2], (12, 9)),
    "blocks": lambda x: x.reshape(3, 4, 9).transpose(1, 0, 2),
    "blocks backwards": lambda x: x.reshape(3, 4, 3, 3)[::-1, :, ::-1].transpose(2, 0, 3, 1),
    "one element": lambda x: x[2:3, 4:5],
    "no dimension": lambda x: x[2:3, 4].reshape(()),
}


@pytest.mark.parametrize("dtype", ["float32", "float64", "int16", "bool"])
@pytest.mark.parametrize("view", VIEWS)
def test_steps(view, dtype):
    rng = np.random.default_rng(0)
    x, y = (rng.integers(-9, 9, (12, 9)).astype(dtype) for _ in range(2))
    take = VIEWS[view]
    name = "ne" if dtype == "bool" else "sub"
    run = ufunc(name)
    dx, dy = cupy.asarray(x), cupy.asarray(y)
    expected = run(take(x), take(y))
    same(elementwise.call(run, [take(dx), take(dy)]), expected)
    same(elementwise.call(run, [cupy.asarray(take(x).copy()), take(dy)]), expected)
    same(
        elementwise.call(run, [take(dx), take(dy)[..., :1] if take(y).ndim else take(dy)]),
        run(take(x), take(y)[..., :1] if take(y).ndim else take(y)),
    )
    if not view.startswith(("stretched", "repeated")):  # `out` that repeats elements has no meaning
        out, filled = cupy.zeros((12, 9), expected.dtype), np.zeros((12, 9), expected.dtype)
        assert elementwise.call(run, [take(dx), take(dy)], take(out)) is not None
        take(filled)[...] = expected
        same(out, filled)


@pytest.mark.compiled
@pytest.mark.parametrize("offset", [0, 1, 2, 3, 4])
@pytest.mark.parametrize("dtype", DTYPES)
def test_addresses_that_are_no_multiples_of_16(dtype, offset):
    x = np.random.default_rng(0).standard_normal(1030).astype(dtype)
    device = cupy.asarray(x)
    same(elementwise.call(ufunc("mul"), [device[offset:1000], device[offset:1000]]), x[offset:1000] ** 2)
    out = cupy.zeros(1030, dtype)
    elementwise.call(ufunc("neg"), [device[: 1030 - offset]], out[offset:])
    same(out, np.concatenate([np.zeros(offset, dtype), -x[: 1030 - offset]]))


def test_vectors_are_used_where_addresses_allow():
    if launched() is None:
        pytest.skip("launches on a GPU are not recorded")
    x = cupy.ones(1027, "float32")
    elementwise.call(ufunc("mul"), [x, x])
    # named by whichever operation of this text was compiled first
    assert launched()[-1].name.endswith("-vectors-float32") and launched()[-1].blocks == -(-(256 + 3) // 256)
    elementwise.call(ufunc("mul"), [x[1:], x[1:]])
    assert launched()[-1].name == "mul-line-float32"
    elementwise.call(ufunc("mul"), [x, 2.0])
    assert launched()[-1].name.endswith("-vectors-float32")
    elementwise.call(ufunc("mul"), [x.reshape(13, 79), x[0]])
    assert launched()[-1].name.endswith("-vectors-float32")
    transposed = x.reshape(13, 79).T
    result = elementwise.call(ufunc("mul"), [transposed, transposed])
    assert launched()[-1].name.endswith("-vectors-float32")
    assert result.strides == transposed.strides


@pytest.mark.parametrize(
    "dtype", usually(["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"], "int8")
)
@pytest.mark.parametrize(
    "name", [name for name, function in FUNCTIONS.items() if function.domain in (formula.NUMERIC, formula.COMPARISON)]
)
def test_whole_numbers(name, dtype):
    rng = np.random.default_rng(0)
    limits = np.iinfo(dtype)
    x = rng.integers(limits.min, limits.max, 200, dtype, endpoint=True)
    x[:6] = limits.min, limits.max, 0, 1, limits.max, 0
    y = rng.integers(0, 5, 200).astype(dtype)
    y[:3] = limits.max, limits.max, 3
    if limits.min:
        y[100:] = -y[100:]
    arguments = [x, y, rng.permutation(x)][: len(FUNCTIONS[name].argument_kinds)]
    if FUNCTIONS[name].argument_kinds[0] == formula.TRUTH:
        arguments[0] = x > y
    check(name, *arguments)


PAIRS = [
    ("float32", "float64"),
    ("float16", "float16"),
    ("float16", "float32"),
    ("float16", "float64"),
    ("float16", "int16"),
    ("float32", "int16"),
    ("float32", "int64"),
    ("float64", "bool"),
    ("int8", "uint8"),
    ("int32", "int64"),
    ("uint64", "int8"),
    ("bool", "bool"),
    ("bool", "int32"),
]


@pytest.mark.parametrize("pair", PAIRS, ids="-".join)
@pytest.mark.parametrize("name", usually(["add", "div", "le", "maximum"], "add"))
def test_mixed_dtypes(name, pair):
    rng = np.random.default_rng(0)
    x, y = ((rng.standard_normal((37, 9)) * 20).astype(dtype) for dtype in pair)
    check(name, x, y)
    check(name, y, x)
    check(name, x[:, :1].copy(), y)
    for scalar in (y[2, 2], np.array(y[2, 2])):
        check(name, x, scalar)
        check(name, scalar, x)


def test_every_half_is_read_right():
    x = np.arange(65536, dtype=np.uint16).view(np.float16)
    check("positive", x)
    check("abs", x[::-1].copy())


@pytest.mark.parametrize("dtype", ["float32", "float64", "int8", "int64", "uint64"])
@pytest.mark.parametrize("number", [2, -3, 0, True, 2.5, float("inf"), np.float64(0.1), np.int64(7), np.bool_(True)])
def test_numbers(dtype, number):
    if dtype == "uint64" and number == -3:
        pytest.skip("NumPy refuses the number")
    x = np.arange(1, 8).astype(dtype)
    for name in ("sub", "div", "ge"):
        check(name, x, number)
        check(name, number, x)


def test_numbers_out_of_range():
    for number in (300, -129):
        with pytest.raises(OverflowError):
            ufunc("add")(np.ones(3, np.int8), number)
        with pytest.raises(OverflowError):
            elementwise.call(ufunc("add"), [cupy.ones(3, "int8"), number])


def test_truth_values():
    rng = np.random.default_rng(0)
    p, q = rng.random((2, 45)) < 0.5
    for name in ("logical_and", "logical_or", "logical_xor", "eq"):
        check(name, p, q)
        check(name, p, True)
        check(name, np.bool_(False), q)
    check("logical_not", p)
    x = rng.standard_normal(45).astype(np.float32)
    check("where", p, x, 0.0)
    check("where", p, np.float32(1), 2.0)
    check("where", True, x, -x)
    check("where", p[0:1], x, -x)


def test_several_results():
    x, y = formula.variable(0), formula.variable(1)
    run = cpu.kernel("product_and_order", [x * y, scalars.gt(x, y)], [formula.NUMBER] * 2, formula.FLOATING)
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((2, 9, 5)).astype(np.float32)
    for take in (lambda x: x, lambda x: x[:, 1:3], lambda x: x[::2, 0], lambda x: x.T):
        device = [take(cupy.asarray(a)), take(cupy.asarray(b))]
        expected = run(take(a), take(b))
        for result, wanted in zip(elementwise.call(run, device), expected, strict=True):
            same(result, wanted)
        outs = cupy.zeros(expected[0].shape, "float32"), cupy.zeros(expected[0].shape, "bool")
        assert elementwise.call(run, device, outs) is outs
        for result, wanted in zip(outs, expected, strict=True):
            same(result, wanted)


# ---- out ------------------------------------------------------------------------------------------------------------


def test_out_may_be_an_input():
    x = np.arange(40, dtype=np.float32)
    device = cupy.asarray(x)
    assert elementwise.call(ufunc("add"), [device, 1.0], device) is device
    same(device, x + 1)
    elementwise.call(ufunc("mul"), [device[::2], device[::2]], device[::2])
    x += 1
    x[::2] *= x[::2]
    same(device, x)


@pytest.mark.parametrize("n", [6, 1000])
def test_out_that_overlaps_an_input_waits_for_it(n):
    x = np.arange(n * n, dtype=np.float64).reshape(n, n)
    cases = [
        lambda x: (x[1:], x[:-1]),
        lambda x: (x[:-1], x[1:]),
        lambda x: (x[::-1], x),
        lambda x: (x.T, x),
        lambda x: (x[2:3, 2:3], x),
        lambda x: (x[1], x),
    ]
    for case in cases:
        host, device = x.copy(), cupy.asarray(x)
        source, out = case(host)
        out[...] = source + 1
        source, out = case(device)
        elementwise.call(ufunc("add"), [source, 1.0], out)
        same(device, host)


def test_out_of_another_dtype():
    x = np.linspace(-2, 2, 12).reshape(3, 4)
    out = cupy.zeros((3, 4), "float32")
    assert elementwise.call(ufunc("sin"), [cupy.asarray(x)], out) is out
    same(out, ufunc("sin")(x).astype(np.float32))
    elementwise.call(ufunc("sin"), [cupy.asarray(x).T], out.T)
    same(out, ufunc("sin")(x).astype(np.float32))
    with pytest.raises(TypeError, match="sin: gives float64, which does not go into out, an array of int32"):
        elementwise.call(ufunc("sin"), [cupy.asarray(x)], cupy.zeros((3, 4), "int32"))


def test_out_stretches_inputs():
    out = cupy.zeros((3, 4), "float64")
    row = np.arange(4.0)
    elementwise.call(ufunc("neg"), [cupy.asarray(row)], out)
    same(out, np.broadcast_to(-row, (3, 4)).copy())
    elementwise.call(ufunc("add"), [2.0, cupy.asarray(row[1:2])], out)
    same(out, np.full((3, 4), 3.0))


# ---- what is refused ------------------------------------------------------------------------------------------------


REFUSED = ["host", "shapes", "out shape", "complex", "complex number", "text", "too few", "host out"]


def refused():
    x = cupy.ones((2, 3), "float32")
    return {
        "host": ([x, np.ones(3)], None, TypeError, r"add: got a NumPy array of shape \(3,\).*x.cuda\(\) or x.cpu\(\)"),
        "shapes": ([x, cupy.ones(4)], None, ValueError, r"add: operands could not be broadcast .* \(2, 3\) \(4,\)"),
        "out shape": ([x, x], cupy.ones(3, "float32"), ValueError, r"add: out has shape \(3,\), and .* \(2, 3\)"),
        "complex": ([x, cupy.ones(3, "complex64")], None, TypeError, "add: has no kernel for float32, complex64"),
        "complex number": ([x, 1j], None, TypeError, "add: takes CuPy arrays and numbers, not builtins.complex"),
        "text": ([x, "a"], None, TypeError, "add: takes CuPy arrays and numbers, not builtins.str"),
        "too few": ([x], None, TypeError, "add: takes 2 arguments, got 1"),
        "host out": ([x, x], np.ones((2, 3)), TypeError, "add: out is a CuPy array where inputs are"),
    }


@pytest.mark.parametrize(
    "case", ["host", "shapes", "out shape", "complex", "complex number", "text", "too few", "host out"]
)
def test_refusals(case):
    arguments, out, error, message = refused()[case]
    for _ in range(2):
        with pytest.raises(error, match=message):
            elementwise.call(ufunc("add"), arguments, out)
