"""The elementwise functions: `kernels.scalars`'s table given to the users, and formulas of their own."""

from __future__ import annotations

import builtins
import inspect
from collections.abc import Callable, Sequence
from functools import cache as once
from typing import TYPE_CHECKING, Any, Protocol, overload

import numpy as np

from ..arrays import Array, as_array, is_array, is_weak
from ..constants import constant_like, number_like
from ..elementwise import Elementwise
from ..kernels import dispatch, formula, scalars
from ..kernels.formula import FLOATING, NUMBER, Expression, ScalarFunction
from ..registry import ENTRIES, operation, register_elementwise
from ..variable import Given, Operand, Variable, data_of, get_default_dtype

if TYPE_CHECKING:

    class Unary(Protocol):
        """An elementwise function of one operand."""

        __name__: str

        @overload
        def __call__(self, input: Variable) -> Variable: ...
        @overload
        def __call__(self, input: Array | float) -> Array: ...

    class Binary(Protocol):
        """An elementwise function of two operands."""

        __name__: str

        @overload
        def __call__(self, input: Variable, other: Operand) -> Variable: ...
        @overload
        def __call__(self, input: Operand, other: Variable) -> Variable: ...
        @overload
        def __call__(self, input: Array | float, other: Array | float) -> Array: ...


def _expose(
    scalar: ScalarFunction, sentence: str, parameters: Sequence[str], method: bool = True, public: bool = True
) -> Any:
    """Make a scalar function of `kernels.scalars` an elementwise function, and register it."""
    made = Elementwise(scalar.name, scalar.expression, scalar.argument_kinds, scalar.domain, scalar, parameters)
    made.function.__doc__ = f"{sentence}; elementwise, with broadcasting."
    register_elementwise(made, method, public)
    return made.function


def _unary(scalar: ScalarFunction, sentence: str) -> Unary:
    function: Unary = _expose(scalar, sentence, ("input",))
    return function


def _binary(scalar: ScalarFunction, sentence: str) -> Binary:
    function: Binary = _expose(scalar, sentence, ("input", "other"))
    return function


lt = _binary(scalars.lt, "Tell where input < other")
le = _binary(scalars.le, "Tell where input <= other")
gt = _binary(scalars.gt, "Tell where input > other")
ge = _binary(scalars.ge, "Tell where input >= other")
eq = _binary(scalars.eq, "Tell where input == other")
ne = _binary(scalars.ne, "Tell where input != other")
logical_and = _binary(scalars.logical_and, "Tell where both hold")
logical_or = _binary(scalars.logical_or, "Tell where either holds")
logical_xor = _binary(scalars.logical_xor, "Tell where exactly one holds")
logical_not = _unary(scalars.logical_not, "Tell where input does not hold")

add = _binary(scalars.add, "Add: input + other")
sub = _binary(scalars.sub, "Subtract: input - other")
mul = _binary(scalars.mul, "Multiply: input * other")
div = _binary(scalars.div, "Divide: input / other; whole numbers become floating")
neg = _unary(scalars.neg, "Change the sign: -input")
positive = _unary(scalars.positive, "Copy: +input")
floor_divide = _binary(scalars.floor_divide, "Divide and round down: input // other; has no gradient")
remainder = _binary(
    scalars.remainder, "Give what whole multiples of other leave of input, with the sign of other: input % other"
)
_pow = _expose(scalars.pow, "Raise to a power: input ** exponent", ("input", "exponent"))
abs = _unary(scalars.abs, "Absolute value; its gradient at 0 is 0")
sign = _unary(scalars.sign, "Give -1, 0 or 1 by the sign")
square = _unary(scalars.square, "Square: input * input")
sqrt = _unary(scalars.sqrt, "Square root")
rsqrt = _unary(scalars.rsqrt, "One over the square root")
reciprocal = _unary(scalars.reciprocal, "One over input")

exp = _unary(scalars.exp, "Exponential: e ** input")
expm1 = _unary(scalars.expm1, "e ** input - 1, accurate near 0")
exp2 = _unary(scalars.exp2, "2 ** input")
log = _unary(scalars.log, "Natural logarithm")
log1p = _unary(scalars.log1p, "log(1 + input), accurate near 0")
log2 = _unary(scalars.log2, "Logarithm to base 2")
log10 = _unary(scalars.log10, "Logarithm to base 10")
logaddexp = _binary(scalars.logaddexp, "log(e ** input + e ** other) without overflow")

sin = _unary(scalars.sin, "Sine of input in radians")
cos = _unary(scalars.cos, "Cosine of input in radians")
tan = _unary(scalars.tan, "Tangent of input in radians")
asin = _unary(scalars.asin, "Inverse sine, in radians")
acos = _unary(scalars.acos, "Inverse cosine, in radians")
atan = _unary(scalars.atan, "Inverse tangent, in radians")
atan2 = _binary(scalars.atan2, "Angle of the point (other, input) from the first axis, in radians")
sinh = _unary(scalars.sinh, "Hyperbolic sine")
cosh = _unary(scalars.cosh, "Hyperbolic cosine")
tanh = _unary(scalars.tanh, "Hyperbolic tangent")
asinh = _unary(scalars.asinh, "Inverse hyperbolic sine")
acosh = _unary(scalars.acosh, "Inverse hyperbolic cosine, for input >= 1")
atanh = _unary(scalars.atanh, "Inverse hyperbolic tangent, for -1 <= input <= 1")
cbrt = _unary(scalars.cbrt, "Cube root, also of negative numbers")
hypot = _binary(scalars.hypot, "sqrt(input*input + other*other) without overflow")

erf = _unary(scalars.erf, "Error function: 2/sqrt(pi) times the integral of exp(-t*t) from 0 to input")
erfc = _unary(scalars.erfc, "1 - erf(input), accurate where that is small")
erfinv = _unary(scalars.erfinv, "Inverse of the error function, for -1 <= input <= 1")
lgamma = _unary(scalars.lgamma, "Logarithm of the absolute value of the gamma function")
digamma = _unary(scalars.digamma, "Derivative of the logarithm of the gamma function")
sigmoid = _unary(scalars.sigmoid, "Logistic function: 1 / (1 + e ** -input)")
relu = _unary(scalars.relu, "Rectifier: max(input, 0); its gradient at 0 is 0")
_softplus = _unary(scalars.softplus, "log(1 + e ** input) without overflow")
maximum = _binary(scalars.maximum, "The larger of two, NaN if either is; a tie gives each half of the gradient")
minimum = _binary(scalars.minimum, "The smaller of two, NaN if either is; a tie gives each half of the gradient")
_where = _expose(
    scalars.where, "Choose input where the condition holds, other elsewhere", ("condition", "input", "other")
)
_clamp = _expose(scalars.clamp, "Limit input to min...max", ("input", "min", "max"))
_clamp_min = _expose(scalars.clamp_min, "Limit input from below", ("input", "min"), public=False)
_clamp_max = _expose(scalars.clamp_max, "Limit input from above", ("input", "max"), public=False)
# losses, for `nbgrad.nn`
squared_error = _expose(scalars.squared_error, "(input - target) ** 2", ("input", "target"), method=False, public=False)
bce_with_logits = _expose(
    scalars.bce_with_logits,
    "-target*log(sigmoid(input)) - (1-target)*log(1-sigmoid(input)), without overflow",
    ("input", "target"),
    method=False,
    public=False,
)


@overload
def pow(input: Variable, exponent: Operand) -> Variable: ...
@overload
def pow(input: Operand, exponent: Variable) -> Variable: ...
@overload
def pow(input: Array | float, exponent: Array | float) -> Array: ...
@operation(elementwise=True)
def pow(input: Any, exponent: Any) -> Any:
    """Raise to a power: input ** exponent, elementwise, with broadcasting.

    A whole or half Python number as the exponent is computed without logarithms: exact, and right for negative input.

    >>> import nbgrad
    >>> nbgrad.pow(nbgrad.tensor([-2.0, 3.0]), 3)
    Variable([-8., 27.])
    """
    if type(exponent) is int or type(exponent) is float:
        floating = isinstance(input, Expression) or (
            (isinstance(input, Variable) or is_array(input)) and input.dtype.kind == "f"
        )
        if exponent == 2 and (floating or type(exponent) is int):
            return square(input)
        if exponent == 0.5:
            return sqrt(input)
        if (
            floating
            and exponent == int_or_none(exponent)
            and isinstance(input, Variable)
            and 0 < builtins.abs(exponent) <= 8
        ):
            return whole_power(int(exponent)).function(input)
    if isinstance(input, Expression) or isinstance(exponent, Expression):
        return scalars.pow(input, exponent)
    if type(exponent) is Variable and (type(input) is int or type(input) is float) and input == 2:
        if exponent._array.dtype.char in "fd":
            return exp2(exponent)
    for operand in (input, exponent):
        if type(operand) is Variable and operand._array.dtype.char in "fd":
            return _pow(input, exponent)
    arrays = [as_array(data_of(v)) for v in (input, exponent)]
    if all(array.dtype.kind in "iub" for array in arrays):  # NumPy knows which whole powers exist
        try:
            result = dispatch.power(*(data_of(v) for v in (input, exponent)))
        except ValueError as error:  # of shapes, too
            kinds = " and ".join(str(array.dtype) for array in arrays)
            raise ValueError(f"pow: {error} Dtypes are {kinds}: convert one to a floating dtype") from None
        return Variable(as_array(result)) if isinstance(input, Variable) or isinstance(exponent, Variable) else result
    return _pow(input, exponent)


def int_or_none(value: float) -> int | None:
    """Give a number's whole value, None for infinities and NaN."""
    return int(value) if value - value == 0 else None


@once
def whole_power(exponent: int) -> Elementwise:
    """Give the operation x ** exponent for a whole exponent other than 0."""
    scalar = scalars.whole_power(exponent)
    return Elementwise(scalar.name, scalar.expression, [NUMBER], FLOATING, scalar)


@overload
def where(condition: Variable, input: Operand, other: Operand) -> Variable: ...
@overload
def where(condition: Operand, input: Variable, other: Operand) -> Variable: ...
@overload
def where(condition: Operand, input: Operand, other: Variable) -> Variable: ...
@overload
def where(condition: Array | bool, input: Array | float, other: Array | float) -> Array: ...
@operation(method=False, elementwise=True)
def where(condition: Any, input: Any = None, other: Any = None) -> Any:
    """Choose input where the condition holds, other elsewhere; elementwise, with broadcasting.

    Raises TypeError for a condition that is not of dtype bool.

    >>> import nbgrad
    >>> x = nbgrad.tensor([-1.0, 4.0])
    >>> nbgrad.where(x > 0, x, 0.0)
    Variable([0., 4.])
    """
    if type(condition) is Variable and condition._array.dtype.char == "?":
        if type(input) is Variable:
            other = constant_like(other, input)
        elif type(other) is Variable:
            input = constant_like(input, other)
        if type(input) is type(other) is Variable:
            return _where(condition, input, other)
    if input is None or other is None:
        raise TypeError("where: needs a condition and two values: where(condition, input, other)")
    if any(isinstance(v, Expression) for v in (condition, input, other)):
        return _where(condition, input, other)
    kind = as_array(data_of(condition)).dtype
    if kind != np.bool_:
        raise TypeError(f"where: condition has dtype {kind}: compare it with something to get dtype bool")
    # the condition's dtype must not become that of Python numbers
    dtypes = [
        v.dtype for v in (input, other) if isinstance(v, Variable | np.generic) or (is_array(v) and not is_weak(v))
    ]
    if not dtypes:
        dtypes = [get_default_dtype() if isinstance(input, float) or isinstance(other, float) else np.dtype(np.int64)]
    given = input, other
    input, other = (number_like(v, np.result_type(*dtypes)) if isinstance(v, int | float) else v for v in given)
    if not isinstance(condition, Variable):
        condition = as_array(condition)
        if not any(isinstance(v, Variable) and v.requires_grad for v in (input, other)):
            arrays = [data_of(v) for v in (input, other)]
            result = ENTRIES["where"].operation.call(condition, *arrays)
            return Variable(result, requires_grad=False) if any(isinstance(v, Variable) for v in given) else result
        condition = Variable(condition)
    return _where(condition, input, other)


@operation(alias="clip", elementwise=True)
def clamp(input: Given, min: Any = None, max: Any = None) -> Given:
    """Limit input to the range from min to max, either of which may be left out; NaN stays NaN.

    The bounds belong to the inside: there the gradient passes.

    >>> import nbgrad
    >>> nbgrad.clamp(nbgrad.tensor([-2.0, 0.5, 2.0]), -1, 1)
    Variable([-1. ,  0.5,  1. ])
    """
    if type(input) is Variable and input._array.dtype.char in "fd":
        min, max = constant_like(min, input), constant_like(max, input)
    if min is None and max is None:
        raise ValueError("clamp: needs min or max or both")
    if max is None:
        return _clamp_min(input, _bound(input, min))
    if min is None:
        return _clamp_max(input, _bound(input, max))
    return _clamp(input, _bound(input, min), _bound(input, max))


clip = clamp


def _bound(x: Any, bound: Any) -> Any:
    """Give a bound in the dtype of a floating x if it is whole: bounds do not widen what they limit."""
    if type(x) is type(bound) is Variable and x._array.dtype is bound._array.dtype:
        return bound
    kinds = getattr(x, "dtype", np.dtype(object)).kind, getattr(bound, "dtype", np.dtype(object)).kind
    return bound.astype(x.dtype) if kinds[0] == "f" and kinds[1] in "iub" else bound


@operation(method=False, elementwise=True)
def softplus(input: Given, beta: float = 1.0, threshold: float | None = None) -> Given:
    """Smooth rectifier: log(1 + e ** (beta*input)) / beta, without overflow.

    Where beta*input is above `threshold`, it gives input itself.
    PyTorch's threshold of 20 is not needed: without one the function is smooth, and right to the last digits.
    """
    if threshold is not None:
        return where(input * beta > threshold, input, softplus(input, beta))
    return _softplus(input) if beta == 1 else _softplus(input * beta) / beta


@once
def _polygamma(order: int) -> Elementwise:
    expression = scalars.trigamma.expression
    for _ in range(order - 1):
        slope = formula.derivative(expression, 0)
        assert slope is not None
        expression = slope
    name = f"polygamma_{order}"
    scalar = ScalarFunction(
        name, lambda x: formula.substitute(expression, {formula.variable(0): x}), argument_kinds=(NUMBER,)
    )
    return Elementwise(name, scalar.expression, [NUMBER], FLOATING, scalar)


@operation(method=False)
def polygamma(n: int, input: Given) -> Given:
    """Give the n-th derivative of `digamma` at input, elementwise, for a whole Python number n >= 0.

    Raises TypeError for another n, ValueError for a negative one.

    >>> import nbgrad
    >>> nbgrad.polygamma(1, nbgrad.tensor([1.0]))  # pi**2 / 6
    Variable([1.64493407])
    """
    if type(n) is not int:
        raise TypeError(f"polygamma: the order is {n!r}: give a whole Python number, then x")
    if n < 0:
        raise ValueError(f"polygamma: the order is {n}: give 0 or more")
    return digamma(input) if n == 0 else _polygamma(n).function(input)


def elementwise(formula_: Callable[..., Any], *partials: Callable[..., Any], name: str | None = None) -> Any:
    """Make a scalar formula a differentiable elementwise function with a compiled, fused kernel.

    The formula uses operators and nbgrad's or NumPy's elementwise functions. Partial derivatives follow from it; state
    them, as functions of (value, *inputs), where a better form is known. Works as a decorator.

    Raises TypeError, at once, for a formula that branches on its arguments.

    >>> import numpy as np, nbgrad
    >>> @nbgrad.elementwise
    ... def swish(x, beta):
    ...     return x / (1 + np.exp(-beta * x))
    >>> x = nbgrad.tensor([0.0, 1.0], requires_grad=True)
    >>> swish(x, 1.0).sum().backward()
    >>> x.grad
    Variable([0.5       , 0.92767051])
    """
    names = tuple(inspect.signature(formula_).parameters)
    arity = len(names)
    label = str(name or getattr(formula_, "__name__", ""))
    if not label.isidentifier():  # a lambda
        label = "elementwise"
    if partials and len(partials) != arity:
        raise TypeError(f"elementwise: {label} has {arity} arguments and {len(partials)} partials: state one for each")
    expression = formula.trace(formula_, [NUMBER] * arity)
    # a function that is defined again and again, in another one, is the same as long as all of it is
    marks = label, names, formula_.__module__, formula_.__doc__, expression
    known = None if partials else _formulas.get(marks)
    if known is not None:
        return known
    scalar = None
    if expression.kind == NUMBER:
        scalar = ScalarFunction(label, formula_, *partials, argument_kinds=(NUMBER,) * arity)
    # floating dtypes only, also for comparisons: constants of a formula need not be whole
    made = Elementwise(label, expression, [NUMBER] * arity, FLOATING, scalar, names)
    made.function.__doc__ = formula_.__doc__
    made.function.__module__ = formula_.__module__
    if not partials:
        _formulas[marks] = made.function
    return made.function


#: What `elementwise` made of formulas; each holds kernels, and is held by what is compiled.
_formulas: dict[tuple[Any, ...], Any] = {}


def _seldom(name: str) -> ScalarFunction:
    from ..kernels import special

    return special.TABLE[name]


formula.find_seldom = _seldom

#: The elementwise functions by name, which operators, methods and NumPy's ufuncs share; and what is behind them.
TABLE = {name: entry.elementwise for name, entry in ENTRIES.items() if entry.elementwise is not None}
OPERATIONS: dict[str, Elementwise] = {name: ENTRIES[name].operation for name in TABLE}
