"""Operators, methods and NumPy's protocol: other names for the functions, with the same results and gradients."""

import operator

import cases
import numpy as np
import pytest
from cases import DTYPES, ELEMENTWISE, draw
from peers import peer

import nbgrad
from nbgrad import Variable
from nbgrad.ops.elementwise import TABLE

BINARY = {
    "add": operator.add,
    "sub": operator.sub,
    "mul": operator.mul,
    "truediv": operator.truediv,
    "floordiv": operator.floordiv,
    "mod": operator.mod,
    "pow": operator.pow,
    "lt": operator.lt,
    "le": operator.le,
    "gt": operator.gt,
    "ge": operator.ge,
    "eq": operator.eq,
    "ne": operator.ne,
}
TRUTH = {"and": operator.and_, "or": operator.or_, "xor": operator.xor}
UNARY = {"neg": operator.neg, "pos": operator.pos, "abs": operator.abs}
SMOOTH = ("add", "sub", "mul", "truediv", "pow", "mod")

every_binary = pytest.mark.parametrize("name", BINARY)
every_dtype = pytest.mark.parametrize("dtype", DTYPES)


def pair(dtype):
    return draw(cases.POSITIVE, (2, 3), dtype, 1), draw(cases.POSITIVE, (3,), dtype, 2)


@every_binary
@every_dtype
def test_binary_operators_between_variables_arrays_and_numbers(name, dtype):
    function = BINARY[name]
    x, y = pair(dtype)
    scalar = np.array(1.5, dtype)
    for first, second in ((x, y), (x, 1.5), (1.5, x), (x, 2), (2, x), (x, scalar), (x, scalar[()]), (scalar[()], x)):
        expected = function(first, second)
        for wrap_first, wrap_second in ((True, False), (False, True), (True, True)):
            if (wrap_first and not isinstance(first, np.ndarray)) or (
                wrap_second and not isinstance(second, np.ndarray)
            ):
                continue
            actual = function(
                Variable(first) if wrap_first else first,
                Variable(second) if wrap_second else second,
            )
            assert type(actual) is Variable
            assert actual.dtype == expected.dtype
            np.testing.assert_allclose(actual.data, expected, **cases.TOLERANCE[dtype])


@pytest.mark.parametrize("name", SMOOTH)
def test_gradients_through_operators_and_their_reflections(name):
    function = BINARY[name]
    x, y = pair("float64")
    cotangent = np.ones((2, 3))
    _, (by_x, by_y) = cases.with_gradients(function, [x, y], cotangent)
    for call, position, expected in (
        (lambda v: function(v, y), x, by_x),  # an array on the right
        (lambda v: function(x, v), y, by_y),  # an array on the left defers to the Variable
    ):
        variable = Variable(position)
        call(variable).backward(cotangent)
        np.testing.assert_allclose(variable.grad.data, expected, rtol=1e-12)
    cases.check_to_second_order(lambda v: function(v, 1.7), [y])
    cases.check_to_second_order(lambda v: function(1.7, v), [y])
    cases.check_to_second_order(function, [x, y])


@pytest.mark.parametrize("name", UNARY)
@every_dtype
def test_unary_operators(name, dtype):
    x = draw(cases.NONZERO, (2, 3), dtype)
    y = UNARY[name](Variable(x))
    assert type(y) is Variable
    assert not np.shares_memory(y.data, x)
    np.testing.assert_array_equal(y.data, UNARY[name](x))


@pytest.mark.parametrize("name", TRUTH)
def test_truth_operators(name):
    x, y = np.array([True, True, False, False]), np.array([True, False, True, False])
    function = TRUTH[name]
    for actual in (function(Variable(x), Variable(y)), function(Variable(x), y), function(x, Variable(y))):
        assert type(actual) is Variable
        assert actual.dtype == bool
        np.testing.assert_array_equal(actual.data, function(x, y))
    for truth in (True, False):
        np.testing.assert_array_equal(function(Variable(x), truth).data, function(x, truth))
        np.testing.assert_array_equal(function(truth, Variable(x)).data, function(truth, x))
    np.testing.assert_array_equal((~Variable(x)).data, ~x)


def test_truth_operators_refuse_numbers():
    with pytest.raises(TypeError, match="bitwise_and: dtypes float64 and float64: takes whole numbers"):
        Variable(np.ones(2)) & Variable(np.ones(2))


def test_comparisons_have_no_gradient_and_variables_can_be_keys():
    x, y = Variable(np.ones(2)), Variable(np.ones(2))
    assert not (x == y).requires_grad
    assert {x: "x", y: "y"}[x] == "x"
    assert len({x, y, x}) == 2


def test_pythons_sum_works():
    x = Variable(np.array([1.0, 2.0]))
    total = sum([x, x, x])
    total.sum().backward()
    assert x.grad.tolist() == [3, 3]


@pytest.mark.parametrize("operand", ["a", 1j, [1.0, 2.0], object()], ids=lambda operand: type(operand).__name__)
@pytest.mark.parametrize("name", ["add", "pow", "eq", "lt"])
def test_operands_that_are_no_numbers_are_refused(name, operand):
    x = Variable(np.ones(2))
    with pytest.raises(TypeError, match=r"of type|cannot take part"):
        BINARY[name](x, operand)
    with pytest.raises(TypeError, match=r"of type|cannot take part"):
        BINARY[name](operand, x)


OPERATORS = [
    ("x + y", lambda x, y: x + y),
    ("x - y", lambda x, y: x - y),
    ("x * y", lambda x, y: x * y),
    ("x / y", lambda x, y: x / y),
    ("x ** y", lambda x, y: x**y),
    ("-x", lambda x, y: -x + 0 * y),
    ("abs(x)", lambda x, y: abs(x) * y),
    ("2 + x - 3", lambda x, y: 2 + x - 3 + y * 1),
    ("5 - x", lambda x, y: (5 - x) * (y - 5)),
    ("2 * x", lambda x, y: 2 * x + y * 2),
    ("3 / x", lambda x, y: 3 / x + y / 3),
    ("2 ** x", lambda x, y: 2**x + y**2),
]


@pytest.mark.parametrize(("text", "function"), OPERATORS, ids=[text for text, _ in OPERATORS])
def test_operators_and_their_reflections_agree_with_torch(text, function):
    torch = peer("torch")
    a, b = np.array([0.5, 1.5, 2.5]), np.array([2.0, -1.0, 3.0])
    x, y = Variable(a), Variable(b)
    result = function(x, y)
    result.backward(np.array([1.0, 2.0, 3.0]))
    tx, ty = torch.tensor(a, requires_grad=True), torch.tensor(b, requires_grad=True)
    expected = function(tx, ty)
    expected.backward(torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64))
    np.testing.assert_allclose(result.data, expected.detach().numpy(), rtol=1e-12)
    np.testing.assert_allclose(x.grad.data, tx.grad.numpy(), rtol=1e-12)
    np.testing.assert_allclose(y.grad.data, ty.grad.numpy(), rtol=1e-12)


@pytest.mark.parametrize("function", [lambda x, y: x + y, lambda x, y: x - y, lambda x, y: x * y, lambda x, y: x / y])
def test_arrays_on_the_left_give_variables(function):
    array = np.array([1.0, 2.0])
    x = Variable(np.array([4.0, 5.0]))
    y = function(array, x)
    assert type(y) is Variable
    np.testing.assert_allclose(y.data, function(array, x.data))
    y.sum().backward()
    assert x.grad is not None


def test_matmul_reflected():
    array = np.arange(4.0).reshape(2, 2)
    x = Variable(np.array([1.0, 2.0]))
    for y, expected in ((array @ x, array.sum(0)), (x @ array, array.sum(1))):
        y.sum().backward()
        np.testing.assert_array_equal(x.grad.data, expected)
        x.cleargrad()


@pytest.mark.parametrize("number", [2, 2.5, True])
def test_python_numbers_do_not_change_the_dtype(number):
    x = Variable(np.array([1.0, 2.0], np.float32))
    for y in (x + number, number * x, x / number, number - x, x**number):
        assert y.dtype == np.float32
    ((x * number) / 2).sum().backward()
    assert x.grad.dtype == np.float32
    np.testing.assert_allclose(x.grad.data, [float(number) / 2] * 2)


@pytest.mark.parametrize("other", ["text", None, [1.0], object(), 1j])
def test_operands_that_are_no_numbers(other):
    x = Variable(np.ones(1))
    with pytest.raises(TypeError):
        x + other
    with pytest.raises(TypeError):
        other * x


def test_shapes_that_do_not_broadcast_are_named():
    x, y = Variable(np.ones((2, 3))), Variable(np.ones((2, 4)))
    with pytest.raises(ValueError, match=r"add: shapes \(2, 3\) and \(2, 4\) do not broadcast"):
        x + y
    (x + 1).sum().backward()
    np.testing.assert_array_equal(x.grad.data, np.ones((2, 3)))


def test_numpy_functions_that_lose_gradients_are_refused():
    x = Variable(np.array([1.0, 2.0]))
    np.testing.assert_array_equal(np.exp(x).data, nbgrad.exp(x).data)
    assert np.exp(x).requires_grad
    with pytest.raises(TypeError, match=r"np\.spacing"):
        np.spacing(x)
    with pytest.raises(TypeError, match=r"np\.add\.reduceat"):
        np.add.reduceat(x, [0])
    with pytest.raises(TypeError, match=r"np\.multiply with \['out'\]"):
        np.multiply(x, 2.0, out=np.empty(2))
    with pytest.raises(TypeError):
        array = np.ones(2)
        array += x


@pytest.mark.parametrize("array", [np.array(2.0), np.array([1.0, 2.0])], ids=["number", "vector"])
def test_the_line_of_gradient_descent(array):
    w = Variable(array.copy())
    (w * w).sum().backward()
    held = w.data
    w.data -= 0.1 * w.grad
    assert w.data is held and type(w.data) is np.ndarray
    np.testing.assert_allclose(w.data, 0.8 * array)
    for step in (0.1 * w.grad, (0.1 * w.grad).data, 0.1 * w.grad.data):
        before = w.data.copy()
        w.data = w.data - step  # a scalar of NumPy's, where w has no dimensions
        assert type(w.data) is np.ndarray and w.requires_grad and w.is_leaf
        np.testing.assert_allclose(w.data, before - 0.2 * array)
    w.grad = None
    (w * w).sum().backward()
    np.testing.assert_array_equal(w.grad.data, 2 * w.data)


@pytest.mark.parametrize("name", ["add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul"])
def test_arrays_change_in_place_by_variables_that_record_nothing(name):
    expected, step = np.array([[7.0, 8.0], [9.0, 10.0]]), np.array([[2.0, 3.0], [1.0, 4.0]])
    array, x = expected.copy(), Variable(step)
    in_place = getattr(operator, f"i{name}")
    in_place(expected, step)
    assert in_place(array, x.detach()) is array
    np.testing.assert_array_equal(array, expected)
    with pytest.raises(TypeError, match="does not work on Variables"):
        in_place(array, x)
    np.testing.assert_array_equal(array, expected)
    with nbgrad.no_grad():
        in_place(array, x)


# ---- methods --------------------------------------------------------------------------------------------------------

METHODS = [case for case in ELEMENTWISE if hasattr(Variable, case.name) and case.function is TABLE[case.name]]


@pytest.mark.parametrize("case", METHODS, ids=lambda case: case.name)
def test_methods_are_the_functions(case):
    arrays = [draw(domain, (3,), "float64", seed) for seed, domain in enumerate(case.domains)]
    first, *others = (Variable(array) for array in arrays)
    actual = getattr(first, case.name)(*others)
    np.testing.assert_array_equal(actual.data, case.function(first, *others).data)


def test_elementwise_functions_that_are_no_methods():
    assert set(TABLE) - {case.name for case in METHODS} == {"where", "softplus", "squared_error", "bce_with_logits"}


# ---- NumPy's protocol -----------------------------------------------------------------------------------------------

UFUNCS = [
    np.add, np.subtract, np.multiply, np.divide, np.true_divide, np.floor_divide, np.remainder, np.mod, np.power,
    np.float_power, np.negative, np.positive, np.absolute, np.fabs, np.sign, np.square, np.sqrt, np.reciprocal, np.exp,
    np.exp2, np.expm1, np.log, np.log2, np.log10, np.log1p, np.logaddexp, np.sin, np.cos, np.tan, np.arcsin, np.arccos,
    np.arctan, np.arctan2, np.sinh, np.cosh, np.tanh, np.hypot, np.maximum, np.minimum, np.less, np.less_equal,
    np.greater, np.greater_equal, np.equal, np.not_equal,
]  # fmt: skip


@pytest.mark.parametrize("ufunc", UFUNCS, ids=lambda ufunc: ufunc.__name__)
def test_numpys_functions_work_on_variables(ufunc):
    x, y = np.array([0.25, 0.5]), np.array([0.75, 0.125])
    for arguments in ([x, y], [y, x])[: ufunc.nin]:
        expected = ufunc(*arguments[: ufunc.nin])
        for variables in range(1, 2**ufunc.nin):
            mixed = [Variable(array) if variables >> i & 1 else array for i, array in enumerate(arguments[: ufunc.nin])]
            actual = ufunc(*mixed)
            assert type(actual) is Variable
            np.testing.assert_allclose(actual.data, expected, rtol=1e-14)


@pytest.mark.parametrize("ufunc", [np.logical_and, np.logical_or, np.logical_xor, np.bitwise_and, np.bitwise_or])
def test_numpys_truth_functions_work_on_variables(ufunc):
    x, y = np.array([True, True, False]), np.array([True, False, False])
    np.testing.assert_array_equal(ufunc(Variable(x), y).data, ufunc(x, y))
    np.testing.assert_array_equal(np.logical_not(Variable(x)).data, ~x)
    np.testing.assert_array_equal(np.invert(Variable(x)).data, ~x)


def test_gradients_pass_through_numpys_functions():
    cases.check_to_second_order(lambda x, y: np.sin(x) * np.hypot(x, y) - np.exp(np.negative(y)), list(pair("float64")))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: np.add(x, x, out=np.zeros(2)), r"np.add with \['out'\] does not work on Variables"),
        (lambda x: np.add(x, x, where=np.array([True, False])), r"np.add with \['where'\]"),
        (lambda x: np.exp(x, dtype=complex), r"np.exp with \['dtype'\]"),
        (lambda x: np.add.reduceat(x, [0]), r"np.add.reduceat"),
        (lambda x: np.multiply.outer(x, x, dtype=float), r"np.multiply.outer"),
        (lambda x: np.spacing(x), r"np.spacing does not work on Variables .*: nbgrad has no function for it"),
    ],
)
def test_what_numpys_functions_cannot_do_is_refused(call, message):
    with pytest.raises(TypeError, match=message):
        call(Variable(np.ones(2)))


def test_numpy_functions_with_a_counterpart_keep_the_gradient():
    x = Variable(np.array([[1.0, 2.0], [3.0, 5.0]]))
    for call, expected in [
        (lambda: np.sum(x, axis=0), [4, 7]),
        (lambda: np.sum(x, 1, keepdims=True), [[3], [8]]),
        (lambda: np.mean(x), 2.75),
        (lambda: np.max(x, axis=1), [2, 5]),
        (lambda: np.min(x), 1),
        (lambda: np.prod(x, axis=0), [3, 10]),
        (lambda: np.concatenate([x, x], axis=1), [[1, 2, 1, 2], [3, 5, 3, 5]]),
        (lambda: np.stack([x[0], x[1]]), [[1, 2], [3, 5]]),
        (lambda: np.where(x > 2, x, 0.0), [[0, 0], [3, 5]]),
        (lambda: np.reshape(x, (4,)), [1, 2, 3, 5]),
        (lambda: np.transpose(x), [[1, 3], [2, 5]]),
        (lambda: np.dot(x, x[0]), [5, 13]),
    ]:
        y = call()
        assert isinstance(y, Variable) and y.requires_grad
        np.testing.assert_array_equal(y.data, expected)
    with pytest.raises(TypeError, match=r"np\.spacing does not work on Variables .*x\.data"):
        np.spacing(x)


def test_nothing_equals_none():
    x = Variable(np.ones(2))
    assert (x == None) is False and (x != None) is True  # noqa: E711
    assert x in [None, x]


def test_a_gradient_is_never_lost_by_becoming_an_array():
    x = Variable(np.ones(2))
    for convert in (np.asarray, np.array, lambda v: v.numpy()):
        with pytest.raises(RuntimeError, match=r"losing the gradient unseen: use x.detach\(\).numpy\(\) or x.data"):
            convert(x)
    constant = x.detach()
    assert np.shares_memory(np.asarray(constant), x.data)
    assert np.shares_memory(constant.numpy(), x.data)
    assert not np.shares_memory(np.array(constant), x.data)
    assert np.asarray(constant, dtype=np.float32).dtype == np.float32
    with pytest.raises(ValueError, match="a copy is needed to give dtype float32 for float64"):
        np.array(constant, dtype=np.float32, copy=False)


def test_optimisers_change_their_averages_in_place_under_no_grad():
    def steps(library):
        w = library.tensor([1.0, 2.0], requires_grad=True)
        velocities = [library.zeros_like(w)]
        for _ in range(3):
            w.grad = None
            (w * w).sum().backward()
            with library.no_grad():
                for gradient in [w.grad]:
                    gradient *= 0.5
                for velocity, parameter in zip(velocities, [w], strict=True):
                    velocity *= 0.9
                    velocity += parameter.grad
                    parameter -= 0.1 * velocity
        return w.tolist()

    torch = peer("torch")
    np.testing.assert_allclose(steps(nbgrad), steps(torch), rtol=1e-6)


IN_PLACE = [
    operator.iadd, operator.isub, operator.imul, operator.itruediv, operator.ifloordiv, operator.imod, operator.ipow,
]  # fmt: skip


@pytest.mark.parametrize("requires_grad", [True, False])
@pytest.mark.parametrize("change", IN_PLACE, ids=lambda function: function.__name__)
def test_assignment_operators_change_in_place(change, requires_grad):
    x = nbgrad.tensor([1.0, 5.0], requires_grad=requires_grad)
    expected = change(np.array([1.0, 5.0]), 2.0).tolist()
    if requires_grad:
        with pytest.raises(RuntimeError, match=r"x .*= y: a leaf that requires a gradient .*no_grad\(\)"):
            change(x, 2.0)
        assert x.tolist() == [1, 5]
    with nbgrad.no_grad():
        z = change(x, 2.0)
    assert z is x and x.tolist() == expected and x.requires_grad is requires_grad
    computed = y = x * 1.0
    assert change(y, 2.0).tolist() == change(np.array(expected), 2.0).tolist() and computed is y


def test_whole_numbers_do_not_hold_fractions():
    count = nbgrad.tensor([3, 4])
    with nbgrad.no_grad():
        with pytest.raises(TypeError, match="x /= y: values of dtype float64 do not fit a Variable of dtype int64"):
            count /= 2
        count *= 2
    assert count.tolist() == [6, 8] and count.dtype == np.int64


@pytest.mark.parametrize("sign", ["&", "|", "^", "<<", ">>"])
def test_operators_on_bits_are_those_of_torch(sign):
    torch = peer("torch")
    whole, truth = [5, 2, 9, 0], [True, False, True, True]
    pairs = [(whole, [3, 1, 2, 1]), (whole, 2), (3, whole)]
    if sign in "&|^":
        pairs += [(truth, truth[::-1]), (truth, True), (False, truth), (truth, whole), (truth, 1)]
    for left, right in pairs:
        results = []
        for library in (torch, nbgrad):
            a, b = (library.tensor(x) if isinstance(x, list) else x for x in (left, right))
            results.append(eval(f"a {sign} b"))
            if isinstance(left, list) and (type(left[0]) is int or type(b) is bool):
                view = a[1:]
                exec(f"a {sign}= b", {"a": a, "b": b})
                results[-1] = [results[-1], a, view]
        theirs, ours = results
        if not isinstance(ours, list):
            theirs, ours = [theirs], [ours]
        for wanted, found in zip(theirs, ours, strict=True):
            assert found.tolist() == wanted.tolist() and str(wanted.dtype) == f"torch.{found.dtype}"
    x = nbgrad.tensor(whole)
    for function in (lambda v: eval(f"v {sign} 2"), lambda v: eval(f"1 {sign} v")):
        assert nbgrad.jit(function)(x).tolist() == function(x).tolist() == nbgrad.vmap(function)(x).tolist()
    with pytest.raises(TypeError, match="takes whole numbers"):
        eval(f"x {sign} 0.5 * x", {"x": nbgrad.ones(4)})


def test_bits_that_are_not_there():
    assert (~nbgrad.tensor([0, 5])).tolist() == [-1, -6] and (~nbgrad.tensor([True, False])).tolist() == [False, True]
    assert np.invert(nbgrad.tensor([0, 5])).tolist() == [-1, -6]
    assert np.bitwise_and(np.array([6, 5]), nbgrad.tensor([3, 4])).tolist() == [2, 4]
