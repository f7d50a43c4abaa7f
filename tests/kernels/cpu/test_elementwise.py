"""Elementwise loops: every layout, size, dtype and number of threads gives what NumPy gives."""

import ast

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import nbgrad
from nbgrad.kernels import formula, scalars
from nbgrad.kernels.cpu import elementwise, threads, ufunc
from nbgrad.kernels.formula import FLOATING, NUMBER, TRUTH
from nbgrad.ops.elementwise import OPERATIONS

SIZES = [0, 1, 2, 3, 7, 8, 63, 64, 65, 1023]


def kernel(name):
    return OPERATIONS[name].kernel


def everything():
    """List all operations of the table and their pullbacks."""
    for operation in list(OPERATIONS.values()):
        yield operation
        for pullback in operation.pullbacks:
            if pullback is not None and pullback.operation is not None:
                yield pullback.operation


@pytest.fixture
def any_threads():
    before = nbgrad.get_num_threads()
    yield
    nbgrad.set_num_threads(before)


# ---- source ---------------------------------------------------------------------------------------------------------


def test_float32_sources_have_no_float64_arithmetic():
    count = 0
    for operation in everything():
        if operation.domain == "logical":
            continue
        text = elementwise.source([operation.expression], operation.kinds, "float32")
        assert "float64" not in text, operation.name
        tree = ast.parse(text)
        typed = set()
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "float32":
                typed |= {id(inner) for inner in ast.walk(node.args[0])}
        floats = [n.value for n in ast.walk(tree) if isinstance(n, ast.Constant) and isinstance(n.value, float)]
        untyped = [n for n in ast.walk(tree) if isinstance(n, ast.Constant) and isinstance(n.value, float)]
        assert all(id(node) in typed for node in untyped), (operation.name, floats)
        count += 1
    assert count > 80


def test_dear_functions_are_shared_from_fewer_elements_on():
    above = {}
    for name in ("neg", "add", "exp", "lgamma"):
        operation = getattr(nbgrad, name)
        operation(*[np.ones(2)] * (2 if name == "add" else 1))
        loops = ufunc.loops_of[kernel(name)]
        above[name] = loops.records[len(loops.functions) - 1].threshold
    assert above["neg"] > above["add"] == threads.SHARE_ABOVE > above["exp"] > above["lgamma"] > 1000


# ---- layouts --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("size", SIZES)
def test_sizes(size, dtype):
    a = np.linspace(-3, 3, size, dtype=dtype)
    b = np.linspace(2, 1, size, dtype=dtype)
    for result, expected in (
        (kernel("add")(a, b), a + b),
        (kernel("mul")(a, b), a * b),
        (kernel("div")(a, b), a / b),
        (kernel("square")(a), a * a),
        (kernel("lt")(a, b), a < b),
        (kernel("maximum")(a, dtype(0.5)), np.maximum(a, dtype(0.5))),
        (kernel("sub")(dtype(0.5), a), dtype(0.5) - a),
    ):
        np.testing.assert_array_equal(result, expected)
        assert result.dtype == expected.dtype
        assert result.shape == (size,)


@st.composite
def views(draw, shape=(4, 5, 6)):
    """A view of `shape`: steps, directions, transposes and broadcast axes as they come."""
    order = draw(st.permutations(range(len(shape))))
    steps = [draw(st.sampled_from([1, -1, 2, -3])) for _ in shape]
    flat = [draw(st.booleans()) and draw(st.booleans()) for _ in shape]
    sizes = [1 if f else abs(s) * n for s, n, f in zip(steps, shape, flat, strict=True)]
    base = np.random.default_rng(draw(st.integers(0, 99))).normal(size=[sizes[axis] for axis in order])
    view = base.transpose(np.argsort(order))
    view = view[tuple(slice(None) if f else slice(None, None, s) for s, f in zip(steps, flat, strict=True))]
    return np.broadcast_to(view, shape)


@settings(max_examples=60)
@given(views(), views())
def test_layouts(a, b):
    np.testing.assert_array_equal(kernel("add")(a, b), a + b)
    np.testing.assert_array_equal(kernel("square")(a), a * a)
    np.testing.assert_array_equal(kernel("where")(a > b, a, b), np.where(a > b, a, b))
    out = np.empty((6, 5, 4)).T
    kernel("mul")(a, b, out)
    np.testing.assert_array_equal(out, a * b)


def test_results_over_operands():
    """NumPy's own rule: the result is what it would be with the operands copied first."""
    values = np.random.default_rng(0).normal(size=300)
    for source, other, target in (
        (slice(0, 200), slice(50, 250), slice(0, 200)),
        (slice(50, 250), slice(0, 200), slice(0, 200)),
        (slice(0, 200), slice(1, 201), slice(1, 201)),
        (slice(1, 201), slice(0, 200), slice(2, 202)),
        (slice(0, 200), slice(0, 200), slice(1, 201)),
        (slice(0, 200), slice(0, 200), slice(199, None, -1)),
        (slice(3, 4), slice(0, 200), slice(0, 200)),
        (slice(0, 200), slice(3, 4), slice(0, 200)),
    ):
        for run in (kernel("sub"), OPERATIONS["sub"].call):  # NumPy's way of calling, and the quick one
            array = values.copy()
            expected = array[source].copy() - array[other].copy()
            run(array[source], array[other], array[target])
            np.testing.assert_array_equal(array[target], expected)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_accumulation_in_place(size, dtype):
    total, gx = np.full(size, 2, dtype), np.arange(size, dtype=dtype)
    result = kernel("add")(total, gx, total)
    assert result is total
    np.testing.assert_array_equal(total, gx + 2)
    kernel("add")(total, total, total)
    np.testing.assert_array_equal(total, 2 * (gx + 2))


def test_operands_that_kernels_cannot_read_directly():
    unaligned = np.frombuffer(b"\0" + np.arange(9.0).tobytes(), np.float64, offset=1)
    packed = np.zeros(9, [("a", "f4"), ("b", "f8")])["b"]
    packed[:] = np.arange(9.0)
    read_only = np.arange(9.0)
    read_only.flags.writeable = False
    for x in (unaligned, packed, read_only, np.arange(9.0).astype(">f8"), np.arange(9, dtype=np.uint16), range(9)):
        np.testing.assert_array_equal(kernel("add")(x, x), np.arange(9.0) * 2)
    with pytest.raises(ValueError, match="read-only"):
        kernel("add")(read_only, 1.0, read_only)


def test_truth_values_of_any_byte():
    """A bool array made by a view may hold other bytes than 0 and 1."""
    odd = np.array([0, 1, 2, 255], np.uint8).view(bool)
    np.testing.assert_array_equal(kernel("where")(odd, 1.0, 2.0), [2, 1, 1, 1])
    np.testing.assert_array_equal(kernel("logical_not")(odd).view(np.uint8), [1, 0, 0, 0])
    np.testing.assert_array_equal(kernel("logical_and")(odd, np.ones(4, bool)).view(np.uint8), [0, 1, 1, 1])
    np.testing.assert_array_equal(kernel("logical_xor")(odd, np.ones(4, bool)).view(np.uint8), [1, 0, 0, 0])


@pytest.mark.parametrize("code", "bBhHiIlLqQfd")
def test_every_real_dtype_has_a_loop(code):
    a = np.array([1, 2, 100], code)
    b = np.array([7, 2, 100], code)
    assert kernel("add")(a, b).dtype == a.dtype
    np.testing.assert_array_equal(kernel("add")(a, b), a + b)
    np.testing.assert_array_equal(kernel("lt")(a, b), a < b)


def test_whole_numbers_wrap_around():
    np.testing.assert_array_equal(kernel("add")(np.array([127], np.int8), np.int8(1)), np.array([-128], np.int8))
    np.testing.assert_array_equal(kernel("neg")(np.array([1], np.uint8)), np.array([255], np.uint8))
    np.testing.assert_array_equal(kernel("abs")(np.array([-128], np.int8)), np.array([-128], np.int8))


def test_several_results_share_one_loop():
    x, y = formula.variable(0), formula.variable(1)
    run = elementwise.kernel("product_and_order", [x * y, x > y], [NUMBER, NUMBER], FLOATING)
    product, order = run(np.array([1.0, 3.0]), np.array([2.0, 2.0]))
    np.testing.assert_array_equal(product, [2, 6])
    np.testing.assert_array_equal(order, [False, True])


def test_formulas_of_truth_alone():
    run = elementwise.kernel("nand", [scalars.logical_not(formula.variable(0, TRUTH) & formula.variable(1, TRUTH))],
                             [TRUTH, TRUTH], "logical")  # fmt: skip
    np.testing.assert_array_equal(run(np.array([True, True]), np.array([True, False])), [False, True])


# ---- the floating-point status --------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [pytest.param(np.float32, marks=pytest.mark.slow), np.float64])
@pytest.mark.parametrize("contiguous", [True, False])
def test_no_value_makes_a_kernel_report_errors(dtype, contiguous):
    limits = np.finfo(dtype)
    special = [0.0, -0.0, 1.0, -1.0, 0.5, limits.tiny, limits.smallest_subnormal, limits.max, -limits.max]
    special += [np.inf, -np.inf, np.nan]
    values = np.array(special, dtype)
    reported = []
    for operation in everything():
        grids = np.meshgrid(*[values] * min(operation.arity, 3))
        grids = (grids + grids)[: operation.arity]
        arguments = [np.ascontiguousarray(grid).ravel() for grid in grids]
        if not contiguous:
            arguments = [np.repeat(a, 2)[::2] for a in arguments]
        arguments = [a > 0 if k == TRUTH else a for a, k in zip(arguments, operation.kinds, strict=True)]
        try:
            with np.errstate(all="raise"):
                operation.kernel(*arguments)
        except FloatingPointError as error:
            reported.append((operation.name, str(error)))
    assert reported == []


def test_a_status_from_before_is_not_reported():
    with np.errstate(all="ignore"):
        np.log(np.zeros(3))
        np.exp(np.full(3, 1e4))
    with np.errstate(all="raise"):
        kernel("exp")(np.array([1e4, -np.inf, np.nan, -1e4]))


# ---- threads --------------------------------------------------------------------------------------------------------

LARGE = threads.SHARE_ABOVE + 100_003


@pytest.mark.usefixtures("any_threads")
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_any_number_of_threads_gives_the_same_bits(dtype):
    a = np.random.default_rng(0).normal(size=LARGE).astype(dtype)
    b = np.roll(a, 1)
    condition = a > b
    calls = {
        "add": (a, b),
        "sub": (dtype(0.5), a),
        "div": (a, dtype(3)),
        "exp": (a,),
        "tanh": (a,),
        "lt": (a, b),
        "where": (condition, a, b),
        "softplus": (a[::-1],),
        "pow": (np.abs(a), b),
    }
    for name, arguments in calls.items():
        nbgrad.set_num_threads(1)
        expected = kernel(name)(*arguments)
        # an independent look at the pieces, too small to be shared
        for start in (0, LARGE // 2, LARGE - 100):
            piece = [x if np.ndim(x) == 0 else x[start : start + 100] for x in arguments]
            np.testing.assert_array_equal(kernel(name)(*piece), expected[start : start + 100])
        for count in (2, 3, 7):
            nbgrad.set_num_threads(count)
            assert kernel(name)(*arguments).tobytes() == expected.tobytes(), (name, count)


@pytest.mark.usefixtures("any_threads")
@pytest.mark.parametrize("count", [1, 2, 3, 7, 64])
def test_large_accumulation_in_place(count):
    nbgrad.set_num_threads(count)
    total = np.zeros(LARGE)
    ones = np.ones(LARGE)
    for step in range(1, 4):
        kernel("add")(total, ones, total)
        assert (total == step).all()


@pytest.mark.usefixtures("any_threads")
def test_large_arrays_report_no_errors_from_any_thread():
    nbgrad.set_num_threads(3)
    x = np.full(LARGE, -1.0)
    with np.errstate(all="raise"):
        assert np.isnan(kernel("log")(x)).all()
        assert np.isnan(kernel("sqrt")(x)).all()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_divisions_to_whole_numbers_are_numpys_to_the_bit(dtype):
    random, limits = np.random.default_rng(0), np.finfo(dtype)
    edges = [0.0, 1, np.inf, limits.max, limits.tiny, limits.smallest_subnormal, 3, 0.1, 2.0**23, 2.0**52, 2.0**60]
    edges = np.array([*edges, *(-x for x in edges), np.nan]).astype(dtype)
    xs, ys = [np.repeat(edges, edges.size)], [np.tile(edges, edges.size)]
    for most in (3, 20, 60, 120):
        x, y = (random.normal(size=5000) * 2.0 ** random.uniform(-most, most, 5000) for _ in range(2))
        xs, ys = [*xs, x.astype(dtype)], [*ys, y.astype(dtype)]
    y = random.normal(size=5000).astype(dtype)
    x = (random.integers(-(10**7), 10**7, 5000) * y).astype(dtype)  # multiples, and what is beside them
    for near in (x, np.nextafter(x, limits.max), np.nextafter(x, limits.min)):
        xs, ys = [*xs, near.astype(dtype)], [*ys, y]
    x, y = np.concatenate(xs), np.concatenate(ys)
    with np.errstate(all="ignore"):
        for name, function in (("remainder", np.remainder), ("floor_divide", np.floor_divide)):
            found, expected = kernel(name)(x, y), function(x, y)
            same = (found == expected) & (np.signbit(found) == np.signbit(expected))
            wrong = ~(same | (np.isnan(found) & np.isnan(expected)))
            assert not wrong.any(), (name, x[wrong][:3], y[wrong][:3], found[wrong][:3], expected[wrong][:3])
