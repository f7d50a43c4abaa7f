"""The elementwise functions: `kernels.scalars`'s table given to the users, and formulas of their own."""

from __future__ import annotations

import builtins
import inspect
from collections.abc import Callable
from functools import cache as once
from typing import Any

import numpy as np

from ..arrays import as_array, is_array, is_weak
from ..elementwise import Elementwise, number_like
from ..kernels import devices, formula, scalars
from ..kernels.formula import FLOATING, NUMBER, Expression, ScalarFunction
from ..variable import Variable, data_of, get_default_dtype

#: The public functions by name, for operators, methods and NumPy's ufuncs.
TABLE: dict[str, Callable[..., Any]] = {}
#: What is behind them, by name.
OPERATIONS: dict[str, Elementwise] = {}


def _expose(scalar: ScalarFunction, sentence: str) -> Any:
    """Make a scalar function of `kernels.scalars` a public elementwise function."""
    operation = Elementwise(scalar.name, scalar.expression, scalar.argument_kinds, scalar.domain, scalar)
    operation.function.__doc__ = f"{sentence}; elementwise, with broadcasting."
    TABLE[scalar.name] = operation.function
    OPERATIONS[scalar.name] = operation
    return operation.function


lt = _expose(scalars.lt, "Tell where x < y")
le = _expose(scalars.le, "Tell where x <= y")
gt = _expose(scalars.gt, "Tell where x > y")
ge = _expose(scalars.ge, "Tell where x >= y")
eq = _expose(scalars.eq, "Tell where x == y")
ne = _expose(scalars.ne, "Tell where x != y")
logical_and = _expose(scalars.logical_and, "Tell where both hold")
logical_or = _expose(scalars.logical_or, "Tell where either holds")
logical_xor = _expose(scalars.logical_xor, "Tell where exactly one holds")
logical_not = _expose(scalars.logical_not, "Tell where x does not hold")

add = _expose(scalars.add, "Add: x + y")
sub = _expose(scalars.sub, "Subtract: x - y")
mul = _expose(scalars.mul, "Multiply: x * y")
div = _expose(scalars.div, "Divide: x / y; whole numbers become floating")
neg = _expose(scalars.neg, "Change the sign: -x")
positive = _expose(scalars.positive, "Copy: +x")
floor_divide = _expose(scalars.floor_divide, "Divide and round down: x // y; has no gradient")
remainder = _expose(scalars.remainder, "Give what is left of x after whole multiples of y, with the sign of y: x % y")
_pow = _expose(scalars.pow, "Raise to a power: x ** y")
abs = _expose(scalars.abs, "Absolute value; its gradient at 0 is 0")
sign = _expose(scalars.sign, "Give -1, 0 or 1 by the sign")
square = _expose(scalars.square, "Square: x * x")
sqrt = _expose(scalars.sqrt, "Square root")
rsqrt = _expose(scalars.rsqrt, "One over the square root")
reciprocal = _expose(scalars.reciprocal, "One over x")

exp = _expose(scalars.exp, "Exponential: e ** x")
expm1 = _expose(scalars.expm1, "e ** x - 1, accurate near 0")
exp2 = _expose(scalars.exp2, "2 ** x")
log = _expose(scalars.log, "Natural logarithm")
log1p = _expose(scalars.log1p, "log(1 + x), accurate near 0")
log2 = _expose(scalars.log2, "Logarithm to base 2")
log10 = _expose(scalars.log10, "Logarithm to base 10")
logaddexp = _expose(scalars.logaddexp, "log(e ** x + e ** y) without overflow")

sin = _expose(scalars.sin, "Sine of x in radians")
cos = _expose(scalars.cos, "Cosine of x in radians")
tan = _expose(scalars.tan, "Tangent of x in radians")
asin = _expose(scalars.asin, "Inverse sine, in radians")
acos = _expose(scalars.acos, "Inverse cosine, in radians")
atan = _expose(scalars.atan, "Inverse tangent, in radians")
atan2 = _expose(scalars.atan2, "Angle of the point (second, first) from the first axis, in radians")
sinh = _expose(scalars.sinh, "Hyperbolic sine")
cosh = _expose(scalars.cosh, "Hyperbolic cosine")
tanh = _expose(scalars.tanh, "Hyperbolic tangent")
asinh = _expose(scalars.asinh, "Inverse hyperbolic sine")
acosh = _expose(scalars.acosh, "Inverse hyperbolic cosine, for x >= 1")
atanh = _expose(scalars.atanh, "Inverse hyperbolic tangent, for -1 <= x <= 1")
cbrt = _expose(scalars.cbrt, "Cube root, also of negative numbers")
hypot = _expose(scalars.hypot, "sqrt(x*x + y*y) without overflow")

erf = _expose(scalars.erf, "Error function: 2/sqrt(pi) times the integral of exp(-t*t) from 0 to x")
erfc = _expose(scalars.erfc, "1 - erf(x), accurate where that is small")
erfinv = _expose(scalars.erfinv, "Inverse of the error function, for -1 <= x <= 1")
lgamma = _expose(scalars.lgamma, "Logarithm of the absolute value of the gamma function")
digamma = _expose(scalars.digamma, "Derivative of the logarithm of the gamma function")
sigmoid = _expose(scalars.sigmoid, "Logistic function: 1 / (1 + e ** -x)")
relu = _expose(scalars.relu, "Rectifier: max(x, 0); its gradient at 0 is 0")
_softplus = _expose(scalars.softplus, "log(1 + e ** x) without overflow")
maximum = _expose(scalars.maximum, "The larger of x and y, NaN if either is; a tie gives each half of the gradient")
minimum = _expose(scalars.minimum, "The smaller of x and y, NaN if either is; a tie gives each half of the gradient")
_where = _expose(scalars.where, "Choose x where the condition holds, y elsewhere")
_clamp = _expose(scalars.clamp, "Limit x to low...high")
_clamp_min = _expose(scalars.clamp_min, "Limit x from below")
_clamp_max = _expose(scalars.clamp_max, "Limit x from above")
squared_error = _expose(scalars.squared_error, "(x - y) ** 2")
bce_with_logits = _expose(scalars.bce_with_logits, "-t*log(sigmoid(x)) - (1-t)*log(1-sigmoid(x)), without overflow")


def pow(x: Any, y: Any) -> Any:
    """Raise to a power: x ** y, elementwise, with broadcasting.

    A whole or half Python number as the exponent is computed without logarithms: exact, and right for negative x.

    >>> import nbgrad
    >>> nbgrad.pow(nbgrad.tensor([-2.0, 3.0]), 3)
    Variable([-8., 27.])
    """
    if type(y) is int or type(y) is float:
        floating = isinstance(x, Expression) or ((isinstance(x, Variable) or is_array(x)) and x.dtype.kind == "f")
        if y == 2 and (floating or type(y) is int):
            return square(x)
        if y == 0.5:
            return sqrt(x)
        if floating and y == int_or_none(y) and isinstance(x, Variable) and 0 < builtins.abs(y) <= 8:
            return whole_power(int(y)).function(x)
    if isinstance(x, Expression) or isinstance(y, Expression):
        return scalars.pow(x, y)
    arrays = [as_array(data_of(v)) for v in (x, y)]
    if all(array.dtype.kind in "iub" for array in arrays):  # NumPy knows which whole powers exist
        if any(map(devices.is_cuda, arrays)):
            devices.check_together("pow", arrays)
            result = whole_powers(*(array if devices.is_cuda(array) else array.item() for array in arrays))
        else:
            result = np.power(*(data_of(v) for v in (x, y)))
        return Variable(as_array(result)) if isinstance(x, Variable) or isinstance(y, Variable) else result
    return _pow(x, y)


def whole_powers(x: Any, y: Any) -> Any:
    """Give `np.power`; negative powers of whole numbers are a ValueError on a GPU as well, where CuPy makes them 0."""
    kinds = [v.dtype.kind if hasattr(v, "dtype") else np.asarray(v).dtype.kind for v in (x, y)]
    if any(map(devices.is_cuda, (x, y))) and all(kind in "iub" for kind in kinds):
        if devices.is_cuda(y) and y.dtype.kind == "i":
            from ..kernels.cuda.indexing import look

            negative = look(y, 0, np.iinfo(np.int64).max)()[1]
        else:
            negative = not devices.is_cuda(y) and builtins.bool(np.any(np.less(y, 0)))
        if negative:
            raise ValueError("Integers to negative integer powers are not allowed.")
    return np.power(x, y)


def int_or_none(value: float) -> int | None:
    """Give a number's whole value, None for infinities and NaN."""
    return int(value) if value - value == 0 else None


@once
def whole_power(exponent: int) -> Elementwise:
    """Give the operation x ** exponent for a whole exponent other than 0."""
    scalar = scalars.whole_power(exponent)
    return Elementwise(scalar.name, scalar.expression, [NUMBER], FLOATING, scalar)


def where(condition: Any, x: Any = None, y: Any = None) -> Any:
    """Choose x where the condition holds, y elsewhere; elementwise, with broadcasting.

    Raises TypeError for a condition that is not of dtype bool.

    >>> import nbgrad
    >>> x = nbgrad.tensor([-1.0, 4.0])
    >>> nbgrad.where(x > 0, x, 0.0)
    Variable([0., 4.])
    """
    if x is None or y is None:
        raise TypeError("where: needs a condition and two values: where(condition, x, y)")
    if any(isinstance(v, Expression) for v in (condition, x, y)):
        return _where(condition, x, y)
    kind = as_array(data_of(condition)).dtype
    if kind != np.bool_:
        raise TypeError(f"where: condition has dtype {kind}: compare it with something to get dtype bool")
    # the condition's dtype must not become that of Python numbers
    dtypes = [v.dtype for v in (x, y) if isinstance(v, Variable | np.generic) or (is_array(v) and not is_weak(v))]
    if not dtypes:
        dtypes = [get_default_dtype() if isinstance(x, float) or isinstance(y, float) else np.dtype(np.int64)]
    given = x, y
    x, y = (number_like(v, np.result_type(*dtypes)) if isinstance(v, int | float) else v for v in given)
    if not isinstance(condition, Variable):
        condition = as_array(condition)
        if not any(isinstance(v, Variable) and v.requires_grad for v in (x, y)):
            arrays = [data_of(v) for v in (x, y)]
            if devices.on_gpu((condition, *arrays)):
                devices.check_together("where", (condition, *arrays))
            result = OPERATIONS["where"].call(condition, *arrays)
            return Variable(result, requires_grad=False) if any(isinstance(v, Variable) for v in given) else result
        condition = Variable(condition)
    return _where(condition, x, y)


def clamp(x: Any, min: Any = None, max: Any = None) -> Any:
    """Limit x to the range from min to max, either of which may be left out; NaN stays NaN.

    The bounds belong to the inside: there the gradient passes.

    >>> import nbgrad
    >>> nbgrad.clamp(nbgrad.tensor([-2.0, 0.5, 2.0]), -1, 1)
    Variable([-1. ,  0.5,  1. ])
    """
    if min is None and max is None:
        raise ValueError("clamp: needs min or max or both")
    if max is None:
        return _clamp_min(x, _bound(x, min))
    if min is None:
        return _clamp_max(x, _bound(x, max))
    return _clamp(x, _bound(x, min), _bound(x, max))


clip = clamp


def _bound(x: Any, bound: Any) -> Any:
    """Give a bound in the dtype of a floating x if it is whole: bounds do not widen what they limit."""
    kinds = getattr(x, "dtype", np.dtype(object)).kind, getattr(bound, "dtype", np.dtype(object)).kind
    return bound.astype(x.dtype) if kinds[0] == "f" and kinds[1] in "iub" else bound


def softplus(x: Any, beta: float = 1.0, threshold: float | None = None) -> Any:
    """Smooth rectifier: log(1 + e ** (beta*x)) / beta, without overflow; x itself where beta*x is above `threshold`.

    PyTorch's threshold of 20 is not needed: without one the function is smooth, and right to the last digits.
    """
    if threshold is not None:
        return where(x * beta > threshold, x, softplus(x, beta))
    return _softplus(x) if beta == 1 else _softplus(x * beta) / beta


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


def polygamma(n: int, x: Any) -> Any:
    """Give the n-th derivative of `digamma` at x, elementwise, for a whole Python number n >= 0.

    Raises TypeError for another n, ValueError for a negative one.

    >>> import nbgrad
    >>> nbgrad.polygamma(1, nbgrad.tensor([1.0]))  # pi**2 / 6
    Variable([1.64493407])
    """
    if type(n) is not int:
        raise TypeError(f"polygamma: the order is {n!r}: give a whole Python number, then x")
    if n < 0:
        raise ValueError(f"polygamma: the order is {n}: give 0 or more")
    return digamma(x) if n == 0 else _polygamma(n).function(x)


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
    arity = len(inspect.signature(formula_).parameters)
    label = str(name or getattr(formula_, "__name__", ""))
    if not label.isidentifier():  # a lambda
        label = "elementwise"
    if partials and len(partials) != arity:
        raise TypeError(f"elementwise: {label} has {arity} arguments and {len(partials)} partials: state one for each")
    expression = formula.trace(formula_, [NUMBER] * arity)
    scalar = None
    if expression.kind == NUMBER:
        scalar = ScalarFunction(label, formula_, *partials, argument_kinds=(NUMBER,) * arity)
    # floating dtypes only, also for comparisons: constants of a formula need not be whole
    operation = Elementwise(label, expression, [NUMBER] * arity, FLOATING, scalar)
    operation.function.__doc__ = formula_.__doc__
    operation.function.__module__ = formula_.__module__
    return operation.function


TABLE |= {"pow": pow, "where": where, "clamp": clamp, "softplus": softplus}
