"""Formulas: tracing, hash-consing, derivatives, and the source they write."""

import ast
import cmath
import gc
import math
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from workers import race

from nbgrad.kernels import formula, scalars
from nbgrad.kernels.formula import NUMBER, TRUTH, constant, derivative, trace, variable

NUMPY = SimpleNamespace(
    **{name: getattr(np, name) for name in ("exp", "expm1", "log1p", "log2", "log10", "log", "sqrt", "sin", "cos")},
    **{name: getattr(np, name) for name in ("tan", "sinh", "cosh", "tanh", "hypot")},
    asin=np.arcsin,
    acos=np.arccos,
    atan=np.arctan,
    atan2=np.arctan2,
    pow=np.power,
    erf=math.erf,
    exp2=np.exp2,
    logaddexp=np.logaddexp,
    sigmoid=lambda x: 1 / (1 + np.exp(-x)),
    softplus=lambda x: np.logaddexp(0, x),
    share=lambda a, b: 1 / (1 + np.exp(b - a)),
    inversion=lambda a, b: a / (a * a + b * b),
    gaussian=lambda x: np.exp(-x * x),
)


def evaluate(root, values, functions=NUMPY, number=np.float64):
    """Run the source that an expression writes, in Python."""
    lines, (result,) = formula.source([root], "number")
    namespace = {"math": functions, "number": number, "abs": abs}
    namespace |= {f"{name}_number": function for name, function in vars(functions).items()}
    namespace |= {f"x{position}": number(value) for position, value in enumerate(values)}
    with np.errstate(all="ignore"):
        exec("\n".join([*lines, f"result = {result}"]), namespace)
    return namespace["result"]


# ---- tracing --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "branching",
    [
        lambda x: x if x > 0 else -x,
        lambda x: x and 1.0,
        lambda x: x or 1.0,
        lambda x: not x,
        lambda x: 0 < x < 1,
        lambda x: min(x, 1.0),
        lambda x: max(x, 1.0),
    ],
)
def test_branching_on_a_traced_value_is_an_error(branching):
    with pytest.raises(TypeError, match=r"branched on a traced value.*nbgrad\.where"):
        trace(branching, [NUMBER])


@pytest.mark.parametrize("conversion", [float, int, math.sin, lambda x: [1, 2][x], lambda x: range(x)])
def test_conversion_to_a_python_number_is_an_error(conversion):
    with pytest.raises(TypeError, match="turned a traced value into a Python float"):
        trace(conversion, [NUMBER])


def test_numpy_functions_without_counterpart_are_an_error():
    with pytest.raises(TypeError, match=r"np\.spacing has no counterpart in a formula.*'exp'"):
        trace(np.spacing, [NUMBER])


@pytest.mark.parametrize("call", [lambda x: np.exp(x, out=None, where=True), lambda x: np.add.reduce(x)])
def test_numpy_options_and_methods_are_an_error(call):
    with pytest.raises(TypeError, match="has no counterpart in a formula"):
        trace(call, [NUMBER])


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        (lambda x, y: np.exp(x), lambda x, y: scalars.exp(x)),
        (lambda x, y: np.multiply(x, y), lambda x, y: x * y),
        (lambda x, y: np.true_divide(2.0, y), lambda x, y: 2.0 / y),
        (lambda x, y: np.power(x, 3), lambda x, y: x**3),
        (lambda x, y: np.absolute(x), lambda x, y: abs(x)),
        (lambda x, y: np.float64(2.0) * x, lambda x, y: 2.0 * x),
    ],
)
def test_numpy_spellings_give_the_same_expression(written, meant):
    assert trace(written, [NUMBER, NUMBER]) is trace(meant, [NUMBER, NUMBER])


def test_a_formula_gives_one_scalar():
    with pytest.raises(TypeError, match="one scalar"):
        trace(lambda x: (x, x), [NUMBER])


@pytest.mark.parametrize("result", [None, "x", np.ones(2), 1j])
def test_a_formula_gives_numbers(result):
    with pytest.raises(TypeError, match=f"holds numbers and traced values, not {type(result).__name__}"):
        trace(lambda x: result, [NUMBER])


def test_truth_values_are_no_numbers():
    with pytest.raises(TypeError, match="add needs a number as argument 0 and got a truth"):
        trace(lambda x: (x > 0) + 1, [NUMBER])
    with pytest.raises(TypeError, match="where needs a truth as argument 0 and got a number"):
        trace(lambda x: scalars.where(x, 1, 0), [NUMBER])
    with pytest.raises(TypeError, match="logical_and needs a truth as argument 1 and got a number"):
        trace(lambda x: (x > 0) & x, [NUMBER])


def test_the_number_of_arguments_is_checked():
    with pytest.raises(TypeError, match="exp takes 1 arguments, got 2"):
        trace(lambda x: scalars.exp(x, x), [NUMBER])


def test_reflected_operators():
    x = variable(0)
    numbers = {"sub": 3.0 - x, "div": 3.0 / x, "pow": 3.0**x, "floor_divide": 3.0 // x, "remainder": 3.0 % x}
    for name, node in numbers.items():
        assert node.function.name == name
        assert node.arguments == (constant(3.0), x) or node.arguments[0] is constant(3.0)
        assert node.arguments[1] is x
    assert evaluate(3.0 - x, [1.0]) == 2.0
    assert (True & (x > 0)).arguments[0] is constant(True)


# ---- hash-consing ---------------------------------------------------------------------------------------------------


def test_equal_expressions_are_one_object():
    x, y = variable(0), variable(1)
    assert x * y + scalars.exp(x) is variable(0) * variable(1) + scalars.exp(variable(0))
    assert x * y is not y * x
    assert variable(0, TRUTH) is not variable(0, NUMBER)


def test_constants_that_compare_equal_may_still_differ():
    assert constant(0.0) is not constant(-0.0)
    assert constant(1) is constant(1.0)
    assert constant(True) is not constant(1)
    assert math.copysign(1, formula.constant_value(constant(-0.0))) == -1
    assert constant(float("nan")) is constant(float("nan"))


def test_unused_expressions_are_forgotten():
    gc.collect()
    before = len(formula._interned)
    node = variable(0) * 0.123456789
    assert len(formula._interned) > before
    del node
    gc.collect()
    assert len(formula._interned) == before


def test_threads_agree_on_the_one_object():
    """Two nodes for one input would slip through substitute(), which finds nodes by identity."""
    count, positions = 8, range(10_000, 25_000)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        made = race(lambda _: [variable(position) for position in positions], count)
    finally:
        sys.setswitchinterval(interval)
    different = [position for position, *nodes in zip(positions, *made, strict=True) if len(set(map(id, nodes))) > 1]
    assert different == []


# ---- source ---------------------------------------------------------------------------------------------------------


def test_constants_take_the_dtype():
    lines, values = formula.source([trace(lambda y: 1 - y * y, [NUMBER])], "float32")
    assert (lines, values) == ([], ["(float32(1.0) - (x0 * x0))"])


def untyped_literals(text, number):
    """Find numbers in source that do not go through the dtype's conversion."""
    tree = ast.parse(text)
    typed = {
        id(node.args[0])
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == number
    }
    # -1.0 is a minus and a number
    typed |= {id(node.operand) for node in ast.walk(tree) if isinstance(node, ast.UnaryOp) and id(node) in typed}
    numbers = [n for n in ast.walk(tree) if isinstance(n, ast.Constant) and type(n.value) in (int, float)]
    return [node.value for node in numbers if id(node) not in typed]


def test_no_constant_of_any_function_or_partial_stays_untyped():
    assert untyped_literals("y = 2.0 * float32(1.0)", "float32") == [2.0]
    for function in formula._scalar_functions.values():
        roots = [function.expression]
        xs = [variable(i, kind) for i, kind in enumerate(function.argument_kinds)]
        roots += [function.partial(i, function.expression, tuple(xs)) for i in range(function.arity)]
        lines, values = formula.source([root for root in roots if root is not None], "float32")
        for text in (*lines, *values):
            assert untyped_literals(text, "float32") == [], (function.name, text)


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan, -0.0, 1e-310, -2.5, 1e22])
def test_any_float_can_be_written(value):
    root = trace(lambda x: scalars.where(x > 0, value, 1), [NUMBER])
    assert np.array(evaluate(root, [1.0])).tobytes() == np.array(value).tobytes()


def test_common_subexpressions_are_computed_once():
    lines, values = formula.source(
        [trace(lambda x, y: scalars.exp(x * y) + scalars.exp(x * y), [NUMBER] * 2)], "float64"
    )
    text = "\n".join([*lines, *values])
    assert text.count("exp_float64(") == 1
    assert text.count("*") == 1


def test_inputs_are_called_as_they_are_named_some_or_all():
    root = trace(lambda x, y: x * y, [NUMBER] * 2)
    assert formula.source([root], "float64", {1: "b"}) == ([], ["(x0 * b)"])
    assert formula.source([root], "float64", ["a", "b"]) == formula.source([root], "float64", ("a", "b"))
    assert formula.source([root], "float64", ["a", "b"]) == ([], ["(a * b)"])


def test_common_subexpressions_of_several_results_are_computed_once():
    exp = trace(scalars.exp, [NUMBER])
    lines, values = formula.source([exp, exp * exp], "float64")
    assert "\n".join([*lines, *values]).count("exp_float64(") == 1
    assert len(values) == 2


def test_long_formulas_neither_recurse_nor_nest():
    def long(x):
        y = x
        for index in range(5000):
            y = y * x + index
        return y

    root = trace(long, [NUMBER])
    slope = derivative(root, 0)
    lines, values = formula.source([root, slope], "float64")
    assert max(line.count("(") for line in (*lines, *values)) < 30
    assert formula.inputs_of([slope]) == {0: NUMBER}


def test_expand_leaves_only_what_has_a_template():
    root = formula.expand(trace(lambda x: scalars.bce_with_logits(x, 1.0), [NUMBER]))
    assert all(node.function is None or node.function.template for node in formula.topological([root]))
    assert evaluate(root, [2.0]) == pytest.approx(math.log1p(math.exp(-2.0)), rel=1e-14)


def test_substitute_replaces_inputs_at_once():
    x, y = variable(0), variable(1)
    assert formula.substitute(x - y, {x: y, y: x}) is y - x


def test_inputs_are_listed_in_order():
    x, y, c = variable(3), variable(1), variable(2, TRUTH)
    assert formula.inputs_of([scalars.where(c, x, y)]) == {1: NUMBER, 2: TRUTH, 3: NUMBER}
    assert list(formula.inputs_of([scalars.where(c, x, y)])) == [1, 2, 3]


def test_repr_is_source():
    assert repr(trace(lambda x: x + 1, [NUMBER])) == "(x0 + value(1.0))"


# ---- derivatives ----------------------------------------------------------------------------------------------------

SMOOTH = {
    "sin": scalars.sin,
    "cos": scalars.cos,
    "tanh": scalars.tanh,
    "sigmoid": scalars.sigmoid,
    "atan": scalars.atan,
    "exp of sine": lambda x: scalars.exp(scalars.sin(x)),
    "log": lambda x: scalars.log(2 + scalars.sin(x)),
    "sqrt": lambda x: scalars.sqrt(1.5 + scalars.cos(x)),
    "softened square": lambda x: scalars.square(x) / (1 + x * x),
    "reciprocal": lambda x: scalars.reciprocal(3 + scalars.tanh(x)),
    "rsqrt": lambda x: scalars.rsqrt(3 + scalars.tanh(x)),
    "cube": lambda x: scalars.sin(x) ** 3,
    "inverse square": lambda x: (2 + scalars.sin(x)) ** -2,
    "power": lambda x: (2 + scalars.sin(x)) ** scalars.cos(x),
    "derived": formula.ScalarFunction("derived", lambda x: x * scalars.exp(-x * x)),
}
BINARY = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "div": lambda a, b: a / (3 + scalars.sin(b)),
}
TREES = st.recursive(
    st.one_of(st.sampled_from([variable(0), variable(1)]), st.floats(-2, 2).map(constant)),
    lambda inner: st.one_of(
        st.tuples(st.sampled_from(sorted(SMOOTH)), inner).map(lambda pair: SMOOTH[pair[0]](pair[1])),
        st.tuples(st.sampled_from(sorted(BINARY)), inner, inner).map(lambda triple: BINARY[triple[0]](*triple[1:])),
    ),
    max_leaves=8,
)
POINTS = st.tuples(st.floats(-2, 2), st.floats(-2, 2))
COMPLEX = SimpleNamespace(
    **{name: getattr(cmath, name) for name in ("sin", "cos", "tanh", "atan", "exp", "log", "sqrt")},
    pow=lambda a, b: a**b,
    sigmoid=lambda x: 1 / (1 + cmath.exp(-x)),
    inversion=NUMPY.inversion,
)


def complex_step(root, position, point):
    """Differentiate numerically, exact to rounding: the imaginary part of f(x + ih) / h has no cancellation."""
    step = 1e-30
    moved = [complex(x, step if i == position else 0.0) for i, x in enumerate(point)]
    try:
        value = evaluate(root, moved, COMPLEX, complex)
    except TypeError:  # the slope of a power compares its exponent with 0, which complex numbers cannot
        assume(False)
    return value.imag / step


@settings(max_examples=60)
@given(TREES, POINTS, st.integers(0, 1), st.integers(0, 1))
def test_derivatives_of_random_formulas(root, point, first, second):
    slope = derivative(root, first)
    expected = complex_step(root, first, point)
    if slope is None:
        assert expected == 0
        return
    assert evaluate(slope, point) == pytest.approx(expected, rel=1e-8, abs=1e-9)
    curvature = derivative(slope, second)
    expected = complex_step(slope, second, point)
    found = 0.0 if curvature is None else evaluate(curvature, point)
    assert found == pytest.approx(expected, rel=1e-7, abs=1e-8)


def test_what_does_not_depend_has_no_derivative():
    x, y = variable(0), variable(1)
    assert derivative(scalars.exp(x) * 2, 1) is None
    assert derivative(constant(2.0), 0) is None
    assert derivative(scalars.where(x > y, 1, 2), 0) is None
    assert derivative(x // y, 0) is None


NARROW = {  # defined, or differentiable, for positive x only
    "log": scalars.log,
    "sqrt": scalars.sqrt,
    "rsqrt": scalars.rsqrt,
    "log1p": lambda x: scalars.log1p(x - 1),
    "reciprocal": lambda x: 1 / x,
    "power": lambda x: x**0.3,
    "self power": lambda x: x**x,
    "overflow": lambda x: scalars.exp(-1e4 * x),
    "asin": lambda x: scalars.asin(1 - x),
}


@pytest.mark.parametrize("name", NARROW)
@pytest.mark.parametrize("x", [0.0, -1.0, -math.inf])
def test_the_branch_not_taken_contributes_nothing(name, x):
    narrow = NARROW[name]
    forms = [
        lambda x: scalars.where(x > 0, narrow(x), 2 * x),
        lambda x: scalars.where(x <= 0, 2 * x, narrow(x)),
        lambda x: scalars.where(x > 0, scalars.where(x > 1, narrow(x), narrow(2 * x)), 2 * x),
        lambda x: 0.5 * scalars.where(x > 0, narrow(x), 4 * x),
        lambda x: scalars.where(x > 0, narrow(x), 0) + 2 * x,
    ]
    for form in forms:
        slope = derivative(trace(form, [NUMBER]), 0)
        assert evaluate(slope, [x]) == 2.0
    curvature = derivative(derivative(trace(lambda x: scalars.where(x > 0, narrow(x), 2 * x), [NUMBER]), 0), 0)
    assert curvature is None or evaluate(curvature, [x]) == 0.0


def test_a_selected_cotangent_does_not_meet_infinity():
    gy, x = variable(0), variable(1)
    masked = formula.times(gy, scalars.where(x > 0, 1, 0))
    assert evaluate(masked, [math.inf, -1.0]) == 0.0
    assert evaluate(masked, [math.nan, -1.0]) == 0.0
    assert evaluate(masked, [3.0, 1.0]) == 3.0
    nested = formula.times(scalars.where(x > 0, scalars.where(x > 1, -1, 0.5), 0), gy)
    assert [evaluate(nested, [4.0, at]) for at in (2.0, 0.5, -1.0)] == [-4.0, 2.0, 0.0]
    assert evaluate(nested, [math.inf, -1.0]) == 0.0


def test_slopes_leave_out_ones_and_zeros():
    x = variable(0)
    assert formula.times(x, constant(1)) is x
    assert formula.times(constant(-1), x) is -x
    assert formula.constant_value(formula.times(x, constant(0))) == 0
    assert formula.plus(None, x) is x
    assert formula.plus(x, None) is x
    assert formula.plus(None, None) is None
    assert derivative(x + 1, 0) is constant(1)


# ---- powers ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("exponent", [-8, -3, -2, -1, 1, 2, 3, 5, 7, 8, 3.0])
def test_small_whole_powers_are_multiplications(exponent):
    root = trace(lambda x: x**exponent, [NUMBER])
    lines, values = formula.source([root], "float64")
    assert "pow" not in "".join([*lines, *values])
    for x in (-1.5, 0.75, 2.0):
        assert evaluate(root, [x]) == pytest.approx(x**exponent, rel=1e-15)
        slope = evaluate(derivative(root, 0), [x])
        assert slope == pytest.approx(exponent * x ** (exponent - 1), rel=1e-14)


def test_powers_are_right_at_zero():
    for exponent, slope in ((1, 1.0), (2, 0.0), (3, 0.0)):
        assert evaluate(derivative(trace(lambda x, n=exponent: x**n, [NUMBER]), 0), [0.0]) == slope


def test_half_powers_are_roots():
    assert trace(lambda x: x**0.5, [NUMBER]) is trace(scalars.sqrt, [NUMBER])


@pytest.mark.parametrize("exponent", [0, 9, -9, 2.5, 100])
def test_other_powers_are_left_to_the_library(exponent):
    root = trace(lambda x: x**exponent, [NUMBER])
    assert root.function is scalars.pow
    assert evaluate(root, [1.25]) == pytest.approx(1.25**exponent, rel=1e-15)


@pytest.mark.parametrize("exponent", [math.inf, -math.inf, math.nan])
def test_powers_that_are_no_number_can_be_written(exponent):
    root = trace(lambda x: x**exponent, [NUMBER])
    assert np.array_equal(evaluate(root, [2.0]), np.power(2.0, exponent), equal_nan=True)


# ---- costs ----------------------------------------------------------------------------------------------------------


def test_an_expression_costs_what_its_functions_do():
    x, y = variable(0), variable(1)
    assert formula.cost([x]) == formula.cost([formula.constant(2)]) == 0
    assert formula.cost([x * y + 1]) == 2
    assert formula.cost([scalars.exp(x) + y]) == scalars.exp.cost + 1
    assert formula.cost([x * y, x * y + 1]) == 2  # what is used twice is computed once


def test_a_composite_function_costs_what_its_formula_does():
    x = variable(0)
    assert formula.cost([scalars.rsqrt(x)]) == scalars.div.cost + scalars.sqrt.cost
    assert formula.cost([scalars.square(x)]) == 1
    nested = formula.ScalarFunction("nested", lambda x: scalars.square(scalars.sqrt(x)))
    assert formula.cost([nested(x)]) == scalars.sqrt.cost + 1


def test_functions_with_code_of_their_own_cost_more_than_a_division():
    own = [f for f in vars(scalars).values() if isinstance(f, formula.ScalarFunction) and "_{number}" in f.template]
    assert len(own) > 30
    assert all(function.cost > scalars.div.cost > scalars.add.cost == 1 for function in own)
