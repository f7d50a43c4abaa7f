"""Every elementwise function: values, gradients of two orders, special values, dtypes, broadcasting, refusals."""

import itertools

import cases
import numpy as np
import pytest
from cases import DTYPES, ELEMENTWISE, INTEGERS, LAYOUTS, TOLERANCE, draw, numbered
from helpers import usually
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from peers import peer

import nbgrad
from nbgrad import Variable
from nbgrad.ops.elementwise import TABLE

every_case = pytest.mark.parametrize("case", ELEMENTWISE, ids=numbered(ELEMENTWISE))
every_layout = pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
every_dtype = pytest.mark.parametrize("dtype", DTYPES)
DIFFERENTIABLE = [case for case in ELEMENTWISE if case.differentiable]
differentiable_cases = pytest.mark.parametrize("case", DIFFERENTIABLE, ids=numbered(DIFFERENTIABLE))


def inputs_of(case, shape, dtype, layout=lambda x: x):
    return [layout(draw(domain, shape, dtype, seed)) for seed, domain in enumerate(case.domains)]


def quiet(function, *arrays):
    """Run a NumPy function without its warnings."""
    with np.errstate(all="ignore"):
        return function(*arrays)


def test_every_function_of_the_table_has_a_case():
    assert {case.name for case in ELEMENTWISE} == set(TABLE)


def test_every_differentiable_function_is_known_as_such():
    """A case cannot escape the gradient checks by calling itself not differentiable."""
    for case in ELEMENTWISE:
        xs = [Variable(array) for array in inputs_of(case, (2,), "float64")]
        y = case.function(*xs)
        if not case.differentiable and y.requires_grad:
            y.backward(np.ones(2))
            assert all(x.grad is None or not x.grad.data.any() for x in xs)


@every_case
@every_dtype
@every_layout
def test_values_are_numpys(case, dtype, layout):
    arrays = inputs_of(case, (3, 5), dtype, layout)
    expected = case.numpy(*arrays)
    actual = case.function(*(Variable(array) for array in arrays))
    assert isinstance(actual, Variable)
    assert actual.shape == expected.shape
    assert actual.dtype == expected.dtype
    np.testing.assert_allclose(actual.data, expected, **TOLERANCE[dtype])


@every_case
def test_arrays_give_arrays(case):
    arrays = inputs_of(case, (3, 5), "float64")
    actual = case.function(*arrays)
    assert isinstance(actual, np.ndarray)
    np.testing.assert_allclose(actual, case.numpy(*arrays), **TOLERANCE["float64"])


@differentiable_cases
@every_dtype
@every_layout
def test_gradients_are_torchs(case, dtype, layout):
    arrays = inputs_of(case, (3, 5), dtype, layout)
    cases.assert_same_as_torch(case.function, case.torch, arrays, layout)


@differentiable_cases
def test_gradients_agree_with_differences_to_second_order(case):
    cases.check_to_second_order(case.function, inputs_of(case, (3,), "float64"))


@pytest.mark.parametrize("case", [c for c in DIFFERENTIABLE if len(c.domains) > 1], ids=lambda c: c.name)
def test_gradients_of_broadcast_inputs_agree_with_differences_to_second_order(case):
    shapes = [(2, 1), (3,), ()]
    arrays = [draw(domain, shape, "float64", 7) for domain, shape in zip(case.domains, shapes, strict=False)]
    cases.check_to_second_order(case.function, arrays)


@pytest.mark.parametrize("case", [c for c in DIFFERENTIABLE if len(c.domains) > 1], ids=lambda c: c.name)
@every_dtype
def test_gradients_of_one_input_alone_are_torchs(case, dtype):
    """Each input in turn is the only one that requires a gradient."""
    arrays = inputs_of(case, (4,), dtype)
    _, expected = cases.with_torch(case.torch, arrays, np.ones(4, dtype))
    for position, array in enumerate(arrays):
        if cases.differentiable(array):
            xs = [Variable(other, requires_grad=other is array) for other in arrays]
            case.function(*xs).backward(np.ones(4, dtype))
            np.testing.assert_allclose(xs[position].grad.data, expected[position], **TOLERANCE[dtype])
            assert all(x.grad is None for x in xs if x is not xs[position])


# ---- special values -------------------------------------------------------------------------------------------------

SPECIAL = [0.0, -0.0, 1.0, -1.0, 0.5, -2.0, 3.0, np.inf, -np.inf, np.nan, 1e-30, -1e-30, 80.0, -80.0, 1e30, -1e30]


def special_values(case, dtype):
    """Give every combination of special values, as one flat array for each input."""
    choices = [[False, True] if not domain else SPECIAL for domain in case.domains]
    columns = zip(*itertools.product(*choices), strict=True)
    return [np.array(column, dtype if domain else bool) for column, domain in zip(columns, case.domains, strict=True)]


#: Our own formulas for what NumPy has not, written so that they are right for infinities too.
LIMITS = {
    "sigmoid": lambda x: np.where(
        x < 0, np.exp(np.minimum(x, 0)) / (1 + np.exp(np.minimum(x, 0))), 1 / (1 + np.exp(-x))
    ),
}


#: The first case of every function: the function itself, without arguments filled in.
PLAIN = [case for case, name in zip(ELEMENTWISE, numbered(ELEMENTWISE), strict=True) if case.name == name]
every_function = pytest.mark.parametrize("case", PLAIN, ids=lambda case: case.name)


def described(arrays, actual, expected, same):
    """Say where two results differ, for the message of an assertion."""
    rows = zip(*(a.tolist() for a in (*arrays, actual, expected)), same, strict=True)
    return [f"{row[:-3]}: {row[-3]}, not {row[-2]}" for row in rows if not row[-1]]


@every_function
@every_dtype
def test_special_values_are_numpys_without_a_warning(case, dtype):
    arrays = special_values(case, dtype)
    expected = quiet(LIMITS.get(case.name, case.numpy), *arrays)
    actual = case.function(*(Variable(array) for array in arrays)).data
    limits = {"rtol": 1e-5 if dtype == "float32" else 1e-13, "atol": 0}
    same = np.isclose(actual.astype(float), expected.astype(float), equal_nan=True, **limits)
    assert not described(arrays, actual, expected, same)


@every_function
@every_dtype
def test_gradients_at_special_values_give_no_warning(case, dtype):
    arrays = special_values(case, dtype)
    xs = [Variable(array) for array in arrays]
    y = case.function(*xs)
    if case.differentiable:
        y.backward(np.ones(y.shape, y.dtype))
        assert all(x.grad is not None for x in xs if x.requires_grad)


#: Where a gradient has a limit at infinity, or a convention at a kink: (function, inputs, gradients).
CONVENTIONS = [
    ("abs", [0.0], [0.0]),
    ("relu", [0.0], [0.0]),
    ("relu", [-np.inf], [0.0]),
    ("relu", [np.inf], [1.0]),
    ("sigmoid", [-np.inf], [0.0]),
    ("sigmoid", [np.inf], [0.0]),
    ("sigmoid", [-800.0], [0.0]),
    ("softplus", [-np.inf], [0.0]),
    ("softplus", [np.inf], [1.0]),
    ("tanh", [np.inf], [0.0]),
    ("tanh", [-np.inf], [0.0]),
    ("erf", [np.inf], [0.0]),
    ("exp", [-np.inf], [0.0]),
    ("exp", [1000.0], [np.inf]),
    ("log", [0.0], [np.inf]),
    ("sqrt", [0.0], [np.inf]),
    ("sqrt", [-1.0], [np.nan]),
    ("reciprocal", [0.0], [-np.inf]),
    ("maximum", [1.0, 1.0], [0.5, 0.5]),
    ("minimum", [1.0, 1.0], [0.5, 0.5]),
    ("maximum", [np.inf, 1.0], [1.0, 0.0]),
    ("minimum", [-np.inf, 1.0], [1.0, 0.0]),
    ("clamp", [-1.0, -1.0, 2.0], [1.0, 0.0, 0.0]),
    ("clamp", [2.0, -1.0, 2.0], [1.0, 0.0, 0.0]),
    ("clamp", [0.0, 3.0, 1.0], [0.0, 0.0, 1.0]),
    ("clamp_min", [1.0, 1.0], [1.0, 0.0]),
    ("clamp_max", [1.0, 1.0], [1.0, 0.0]),
    ("pow", [0.0, 0.0], [0.0, 0.0]),
    ("pow", [0.0, 2.0], [0.0, 0.0]),
    ("pow", [0.0, 1.0], [1.0, 0.0]),
    ("pow", [2.0, 0.0], [0.0, np.log(2.0)]),
    ("pow", [-2.0, 3.0], [12.0, np.nan]),
    ("logaddexp", [np.inf, 1.0], [1.0, 0.0]),
    ("logaddexp", [-np.inf, 1.0], [0.0, 1.0]),
    ("logaddexp", [1000.0, 1000.0], [0.5, 0.5]),
    ("hypot", [1e30, 0.0], [1.0, 0.0]),
    ("div", [1.0, 0.0], [np.inf, -np.inf]),
    ("bce_with_logits", [1000.0, 1.0], [0.0, -1000.0]),
    ("bce_with_logits", [-1000.0, 0.0], [0.0, 1000.0]),
]


@pytest.mark.parametrize(("name", "inputs", "expected"), CONVENTIONS, ids=lambda value: str(value))
@every_dtype
def test_gradients_at_limits_and_kinks(name, inputs, expected, dtype):
    xs = [Variable(np.array(value, dtype)) for value in inputs]
    TABLE[name](*xs).backward()
    # exp(a - log(e**a + e**b)) keeps few digits of float32 where a is large
    rtol = 1e-4 if dtype == "float32" else 1e-12
    np.testing.assert_allclose([x.grad.item() for x in xs], expected, rtol=rtol)


@pytest.mark.parametrize(("name", "inputs", "expected"), [c for c in CONVENTIONS if c[0] not in ("logaddexp", "hypot")])
def test_limits_and_kinks_are_torchs(name, inputs, expected):
    """The expectations above are torch's own, so that code moves over unchanged."""
    torch = peer("torch")
    case = next(case for case in ELEMENTWISE if case.name == name)
    xs = [torch.tensor(value, dtype=torch.float64, requires_grad=True) for value in inputs]
    case.torch(torch, *xs).backward()
    np.testing.assert_allclose([x.grad.item() for x in xs], expected, rtol=1e-6)


def test_the_branch_of_where_that_is_not_taken_adds_nothing():
    x = Variable(np.array([-1.0, 0.0, 4.0]))
    nbgrad.elementwise(lambda v: nbgrad.where(v > 0, nbgrad.log(v), 2 * v))(x).sum().backward()
    np.testing.assert_array_equal(x.grad.data, [2.0, 2.0, 0.25])


# ---- dtypes ---------------------------------------------------------------------------------------------------------

WHOLE = [
    "lt", "le", "gt", "ge", "eq", "ne", "add", "sub", "mul", "neg", "positive", "abs", "sign", "square", "maximum",
    "minimum", "clamp", "clamp_min", "clamp_max", "relu", "floor_divide", "remainder", "pow",
]  # fmt: skip
FLOATING = sorted(set(TABLE) - set(WHOLE) - {"where", "logical_and", "logical_or", "logical_xor", "logical_not"})


@pytest.mark.parametrize("dtype", usually(INTEGERS, "int8", "uint64"))
@pytest.mark.parametrize("name", WHOLE)
def test_whole_numbers_stay_whole(name, dtype):
    case = next(case for case in PLAIN if case.name == name)
    low = 0 if dtype[0] == "u" else -3
    random = np.random.default_rng(0)
    first, *others = [random.integers(low, 4, 12).astype(dtype) for _ in case.domains]
    others = [np.where(other == 0, np.ones((), dtype), other) for other in others]
    if name == "pow":
        others = [np.abs(other) for other in others]
    expected = case.numpy(first, *others)
    actual = case.function(*(Variable(array) for array in (first, *others)))
    assert actual.dtype == expected.dtype
    assert not actual.requires_grad
    np.testing.assert_array_equal(actual.data, expected)


@pytest.mark.parametrize(("dtype", "result"), [("int16", "float32"), ("int64", "float64"), ("uint8", "float32")])
@pytest.mark.parametrize("name", FLOATING)
def test_whole_numbers_become_floating(name, dtype, result):
    case = next(case for case in PLAIN if case.name == name)
    arrays = [np.array([1, 0, 1], dtype) if i == 0 else np.array([1, 1, 1], dtype) for i in range(len(case.domains))]
    expected = quiet(case.numpy, *(array.astype(result) for array in arrays))
    actual = case.function(*(Variable(array) for array in arrays))
    assert actual.dtype == result
    np.testing.assert_allclose(actual.data, expected, **TOLERANCE[result])


@pytest.mark.parametrize("name", ["floor_divide", "remainder"])
def test_whole_numbers_divided_by_zero_give_zero_silently(name):
    result = TABLE[name](Variable(np.array([5, -5, 0])), 0)
    np.testing.assert_array_equal(result.data, [0, 0, 0])


BINARY = ["add", "sub", "mul", "div", "pow", "floor_divide", "remainder", "maximum", "minimum"]
BINARY += ["atan2", "hypot", "logaddexp", "squared_error", "lt", "le", "gt", "ge", "eq", "ne", "clamp_min", "clamp_max"]


@pytest.mark.parametrize("number", [2, 3, 1.5, 2.0, -1, 0, 0.5, -0.0, np.inf, 9], ids=str)
@pytest.mark.parametrize("name", BINARY)
@every_dtype
def test_a_python_number_takes_the_arrays_dtype(name, number, dtype):
    case = next(case for case in PLAIN if case.name == name)
    x = np.array([0.5, 1.25, 2.0], dtype)
    for arguments in ([x, number], [number, x]):
        expected = quiet(case.numpy, *arguments)
        actual = case.function(*(Variable(a) if a is x else a for a in arguments))
        assert actual.dtype == expected.dtype
        np.testing.assert_allclose(actual.data, expected, **TOLERANCE[dtype])


@pytest.mark.parametrize("number", [2, 2.0, 2.5])
@pytest.mark.parametrize("name", ["add", "sub", "mul", "div", "pow", "maximum", "floor_divide", "remainder", "lt"])
@pytest.mark.parametrize("dtype", ["int64", "int32"])
def test_a_python_number_with_whole_numbers_follows_numpy(name, number, dtype):
    case = next(case for case in PLAIN if case.name == name)
    x = np.array([1, 2, 5], dtype)
    for arguments in ([x, number], [number, x]):
        expected = case.numpy(*arguments)
        actual = case.function(*(Variable(a) if a is x else a for a in arguments))
        assert actual.dtype == expected.dtype
        np.testing.assert_allclose(actual.data, expected)


@pytest.mark.parametrize(("first", "second"), [*itertools.product(["float32", "float64", "int64", "int16"], repeat=2)])
def test_arrays_promote_as_numpy_does_and_gradients_come_back_in_each_dtype(first, second):
    x, y = Variable(np.array([1, 2], first)), Variable(np.array([3, 4], second))
    z = x * y
    assert z.dtype == np.result_type(x.data, y.data)
    if z.requires_grad:
        z.backward(np.ones(2, z.dtype))
        for operand, other in ((x, y), (y, x)):
            assert (operand.grad is not None) == operand.requires_grad
            if operand.requires_grad:
                assert operand.grad.dtype == operand.dtype
                np.testing.assert_array_equal(operand.grad.data, other.data)


def test_a_numpy_scalar_has_a_dtype_of_its_own():
    x = Variable(np.ones(2, np.float32))
    assert (x * np.float64(2)).dtype == np.float64
    assert (np.float64(2) * x).dtype == np.float64
    assert (x * np.float32(2)).dtype == np.float32


def test_a_python_number_too_large_for_float32_is_infinite_silently():
    np.testing.assert_array_equal((Variable(np.ones(1, np.float32)) * 1e300).data, [np.inf])


def test_comparing_with_a_number_outside_the_dtype_follows_numpy():
    x = np.array([1, 2], np.int8)
    np.testing.assert_array_equal((Variable(x) < 300).data, x < 300)
    with pytest.raises(OverflowError, match="300 out of bounds for int8"):
        Variable(x) + 300


def test_default_dtype_decides_where_no_array_does():
    condition = Variable(np.array([True, False]))
    try:
        nbgrad.set_default_dtype(np.float32)
        assert nbgrad.where(condition, 1.0, 2.0).dtype == np.float32
    finally:
        nbgrad.set_default_dtype(np.float64)
    assert nbgrad.where(condition, 1.0, 2.0).dtype == np.float64
    assert nbgrad.where(condition, 1, 2).dtype == np.int64


# ---- broadcasting ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["add", "mul", "div", "maximum", "atan2"])
@settings(max_examples=40)
@given(
    shapes=hnp.mutually_broadcastable_shapes(num_shapes=2, max_dims=4, max_side=3, min_side=0), seed=st.integers(0, 9)
)
def test_gradients_of_broadcast_inputs_are_torchs(name, shapes, seed):
    case = next(case for case in PLAIN if case.name == name)
    arrays = [draw(cases.NONZERO, shape, "float64", seed + i) for i, shape in enumerate(shapes.input_shapes)]
    cases.assert_same_as_torch(case.function, case.torch, arrays)


@settings(max_examples=40)
@given(shapes=hnp.mutually_broadcastable_shapes(num_shapes=3, max_dims=3, max_side=3, min_side=0))
def test_gradients_of_three_broadcast_inputs_are_torchs(shapes):
    case = next(case for case in PLAIN if case.name == "where")
    arrays = [draw(domain, shape, "float64") for domain, shape in zip(case.domains, shapes.input_shapes, strict=True)]
    cases.assert_same_as_torch(case.function, case.torch, arrays)


@pytest.mark.parametrize("dtypes", [*itertools.product(DTYPES, repeat=2)], ids="-".join)
@pytest.mark.parametrize("shapes", [((0, 1), (1, 5)), ((0,), (1,)), ((0, 3), ()), ((0,), (0,)), ((2, 0), (2, 1))])
def test_gradients_of_empty_broadcasts_have_the_inputs_shapes_and_dtypes(shapes, dtypes):
    x, y = (Variable(np.ones(shape, dtype)) for shape, dtype in zip(shapes, dtypes, strict=True))
    (x * y).sum().backward()
    for operand in (x, y):
        assert operand.grad.shape == operand.shape
        assert operand.grad.dtype == operand.dtype
        assert not operand.grad.data.any()


@pytest.mark.parametrize("length", [1, 2, 3, 7, 8, 15, 16, 17, 31, 33, 63, 64, 65, 255, 257, 400_003])
@every_dtype
def test_every_length_is_computed_whole(length, dtype):
    """Vectorised loops have a rest, and long ones are cut into pieces for the threads."""
    x, y = (np.linspace(1, 2, length).astype(dtype), np.linspace(-3, 1, length).astype(dtype))
    for function, reference in ((nbgrad.mul, np.multiply), (nbgrad.tanh, np.tanh)):
        arrays = [x, y][: reference.nin]
        for layout in ("contiguous", "strided", "negative-stride"):
            placed = [LAYOUTS[layout](array) for array in arrays]
            actual = function(*(Variable(array) for array in placed)).data
            np.testing.assert_allclose(actual, reference(*arrays), **TOLERANCE[dtype])


# ---- arguments and refusals -----------------------------------------------------------------------------------------


def test_clamp_takes_either_bound_alone():
    x = Variable(np.array([-2.0, 0.0, 2.0]))
    np.testing.assert_array_equal(nbgrad.clamp(x, min=-1).data, [-1, 0, 2])
    np.testing.assert_array_equal(nbgrad.clamp(x, max=1).data, [-2, 0, 1])
    np.testing.assert_array_equal(x.clamp(-1, 1).data, [-1, 0, 1])
    with pytest.raises(ValueError, match="clamp: needs min or max or both"):
        nbgrad.clamp(x)


@pytest.mark.parametrize("whole", ["int32", "int64", "uint8", "bool"])
@every_dtype
def test_whole_bounds_do_not_widen_what_they_limit(whole, dtype):
    """NumPy would give float64 for float32 and int32; torch's clamp keeps the dtype."""
    x, low, high = np.array([-0.5, 0.25, 7.0], dtype), np.array([0, 0, 0], whole), np.array(1, whole)
    for bounds in ((low, high), (Variable(low), Variable(high)), (low, 1.5), (None, high), (low, None)):
        for limited in (x, Variable(x)):
            actual = nbgrad.clamp(limited, *bounds)
            assert actual.dtype == dtype
            lowest = -np.inf if bounds[0] is None else 0
            highest = {None: np.inf, 1.5: 1.5}.get(bounds[1], 1) if not hasattr(bounds[1], "dtype") else 1
            np.testing.assert_array_equal(np.asarray(getattr(actual, "data", actual)), np.clip(x, lowest, highest))


TRUTHS = {
    "add": np.add, "mul": np.multiply, "maximum": np.maximum, "minimum": np.minimum, "abs": np.absolute,
    "where": lambda x, y: np.where(x, y, x),
}  # fmt: skip


@pytest.mark.parametrize("name", TRUTHS)
def test_truth_values_stay_truth_values(name):
    """As in NumPy and torch: whether there is any, whether there are both; never the number 2."""
    x, y = np.array([True, False, True, False] * 9), np.array([True, True, False, False] * 9)
    function = TABLE[name] if name != "where" else lambda x, y: nbgrad.where(x, y, x)
    pairs = ((x, y), (x[::-3], y[::-3]), (x[:1].reshape(()), y), (x, y[:1].reshape(())))
    for operands in [pair[: 1 if name == "abs" else 2] for pair in pairs]:
        expected = TRUTHS[name](*operands)
        for found in (function(*operands), function(*map(Variable, operands)).data):
            assert found.dtype == np.bool_ == expected.dtype
            np.testing.assert_array_equal(found.view(np.uint8), expected.view(np.uint8))
    if name in ("add", "mul"):
        assert function(Variable(x), 2).dtype == np.int64 and function(True, Variable(x)).dtype == np.bool_
        assert function(Variable(x), Variable(x.astype(np.int8))).dtype == np.int8


@pytest.mark.parametrize("name", ["neg", "positive", "sub"])
def test_truth_values_have_no_sign(name):
    """As in NumPy and torch; they count as numbers beside numbers."""
    truth = np.array([True, False])
    function = TABLE[name]
    for operands in ([truth], [Variable(truth)], [np.repeat(truth, 5000)], [Variable(np.array(True))]):
        with pytest.raises(TypeError, match=f"^{name}: no kernel for dtypes bool.*truth values have ~ and"):
            function(*operands * (2 if name == "sub" else 1))
    if name == "sub":
        assert (Variable(truth) - 1).tolist() == [0, -1]
        assert (2.5 - Variable(truth)).tolist() == [1.5, 2.5]


def test_where_refuses_conditions_that_are_not_truth_values_and_missing_choices():
    x = Variable(np.ones(2))
    with pytest.raises(TypeError, match="where: condition has dtype float64: compare it"):
        nbgrad.where(x, x, x)
    with pytest.raises(TypeError, match="where: needs a condition and two values"):
        nbgrad.where(x > 0)


@pytest.mark.parametrize("name", [case.name for case in PLAIN if len(case.domains) > 1])
def test_shapes_that_do_not_broadcast_are_refused_by_name(name):
    case = next(case for case in PLAIN if case.name == name)
    arrays = [draw(domain, (2 + (i == 1),)) for i, domain in enumerate(case.domains)]
    message = rf"^{name}: shapes \(2,\) and \(3,\).* do not broadcast"
    with pytest.raises(ValueError, match=message):
        case.function(*(Variable(array) for array in arrays))
    with pytest.raises(ValueError, match=message):
        case.function(*arrays[:-1], Variable(arrays[-1]))


REFUSED_DTYPES = {
    "complex": np.array([1j]),
    "strings": np.array(["a"]),
    "objects": np.array([None]),
    "dates": np.array(["2000-01-01"], "M8[D]"),
}


@pytest.mark.parametrize("array", REFUSED_DTYPES.values(), ids=REFUSED_DTYPES)
@pytest.mark.parametrize("name", ["add", "sin", "lt", "square", "exp"])
def test_dtypes_without_kernels_are_refused_by_name(name, array):
    case = next(case for case in PLAIN if case.name == name)
    with pytest.raises(TypeError, match=f"^{name}: no kernel for dtypes .*: convert to .* dtypes first"):
        case.function(*[Variable(array)] * len(case.domains))


@pytest.mark.parametrize("operand", ["text", object(), [1.0, 2.0], 1j, {}], ids=lambda o: type(o).__name__)
@pytest.mark.parametrize("name", ["add", "maximum", "eq"])
def test_operands_of_other_types_are_refused_by_name(name, operand):
    with pytest.raises(TypeError, match=f"^{name}: operand of type {type(operand).__name__}: .*nbgrad.tensor"):
        TABLE[name](Variable(np.ones(2)), operand)


def test_whole_numbers_to_negative_powers_are_refused():
    with pytest.raises(ValueError, match="negative integer powers"):
        nbgrad.pow(Variable(np.array([2])), -1)


@pytest.mark.parametrize("exponent", [*range(-9, 10), 0.5, 1.5, -0.5, 2.0, np.inf])
@every_dtype
def test_powers_by_numbers_are_numpys(exponent, dtype):
    x = np.array([0.5, 1.0, 2.0, 1.5], dtype)
    actual = nbgrad.pow(Variable(x), exponent)
    assert actual.dtype == dtype
    np.testing.assert_allclose(actual.data, x ** np.array(exponent, dtype), **TOLERANCE[dtype])
    if float(exponent).is_integer():
        np.testing.assert_allclose(
            nbgrad.pow(Variable(-x), exponent).data, (-x) ** np.array(exponent, dtype), **TOLERANCE[dtype]
        )


def test_a_formula_that_is_defined_again_and_again_takes_memory_once():
    def define(rate, name="scaled"):
        @nbgrad.elementwise
        def scaled(x):
            return x * rate

        return scaled if name == "scaled" else nbgrad.elementwise(lambda x: x * rate, name=name)

    x = np.array([1.0, 2.0])
    assert define(2.0) is define(2.0)
    different = [define(2.0), define(3.0), define(0.0), define(-0.0), define(2.0, "other")]
    assert len(set(map(id, different))) == 5
    stated = [nbgrad.elementwise(lambda x: x * 2.0, lambda y, x, s=s: s, name="stated") for s in (2.0, 5.0)]
    for function, value, slope in [*zip(different, (2, 3, 0, -0.0, 2), (2, 3, 0, -0.0, 2), strict=True)]:
        np.testing.assert_array_equal(function(x), x * value)
        np.testing.assert_array_equal(nbgrad.grad(lambda x, f=function: f(x).sum())(x), [slope, slope])
    for function, slope in zip(stated, (2.0, 5.0), strict=True):
        np.testing.assert_array_equal(nbgrad.grad(lambda x, f=function: f(x).sum())(x), [slope, slope])
