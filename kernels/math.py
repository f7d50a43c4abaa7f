"""The scalar functions that formulas are made of: one declaration each.

A declaration gives the name, how the function is computed (a template of Numba source, or a formula of other
functions) and its partial derivatives. From it come the kernels of every target, gradients of any order, tangents
and fusion. A partial is stated as a function of the value `y` and the inputs; stated partials are the ones that
stay accurate where the derived ones would overflow or cancel.
"""

from __future__ import annotations

import builtins
import math
from collections.abc import Callable
from functools import partial
from typing import Any

from . import formula
from .formula import COMPARISON, LOGICAL, NUMBER, NUMERIC, TRUTH, Expression, ScalarFunction, constant_value

Formula = Callable[..., Any]


class _Power(ScalarFunction):
    """x**y, where small whole exponents become multiplications: exact, vectorised, and cheap to differentiate."""

    def __call__(self, *arguments: Any) -> Expression:
        base, exponent = (formula.constant(argument) for argument in arguments)
        value = constant_value(exponent)
        if value == 0.5:
            return sqrt(base)
        if value is None or not float(value).is_integer() or not 1 <= builtins.abs(value) <= 8:
            return super().__call__(base, exponent)
        power: Expression | None = None
        square, count = base, int(builtins.abs(value))
        while count:
            if count & 1:
                power = square if power is None else power * square
            count >>= 1
            if count:
                square = square * square
        assert power is not None
        return power if value > 0 else 1 / power


def _declare(name: str, compute: str | Formula, *partials: Formula | None, **options: Any) -> ScalarFunction:
    kind = _Power if name == "pow" else ScalarFunction
    function = formula._scalar_functions[name] = kind(name, compute, *partials, **options)
    return function


_numeric = partial(_declare, domain=NUMERIC)
_comparison = partial(_declare, domain=COMPARISON)
_logical = partial(_declare, domain=LOGICAL)


def _one(*_: Expression) -> int:
    return 1


# ---- operators ------------------------------------------------------------------------------------------------------

lt = _comparison("lt", "({0} < {1})")
le = _comparison("le", "({0} <= {1})")
gt = _comparison("gt", "({0} > {1})")
ge = _comparison("ge", "({0} >= {1})")
eq = _comparison("eq", "({0} == {1})")
ne = _comparison("ne", "({0} != {1})")
logical_and = _logical("logical_and", "({0} & {1})")
logical_or = _logical("logical_or", "({0} | {1})")
logical_xor = _logical("logical_xor", "({0} ^ {1})")
logical_not = _logical("logical_not", "(not {0})")
where = _numeric("where", "({1} if {0} else {2})", argument_kinds=(TRUTH, NUMBER, NUMBER))

add = _numeric("add", "({0} + {1})", _one, _one)
sub = _numeric("sub", "({0} - {1})", _one, lambda y, a, b: -1)
mul = _numeric("mul", "({0} * {1})", lambda y, a, b: b, lambda y, a, b: a)
div = _declare("div", "({0} / {1})", lambda y, a, b: 1 / b, lambda y, a, b: -y / b)
neg = _numeric("neg", "(-{0})", lambda y, x: -1)
positive = _numeric("positive", "{0}", _one)
sqrt = _declare("sqrt", "math.sqrt({0})", lambda y, x: 0.5 / y)
log = _declare("log", "log_{number}({0})", lambda y, x: 1 / x)
pow: ScalarFunction = _declare(
    "pow",
    "math.pow({0}, {1})",
    # 0 * 0**-1 would be NaN at a**0, and log(0) is -inf where 0**b is flat
    lambda y, a, b: where(b == 0, 0, b * pow(a, b - 1)),
    lambda y, a, b: where((a == 0) & (b >= 0), 0, y * log(a)),
)
# The smallest whole number has no negative; LLVM leaves open what dividing it by -1 gives.
floor_divide = _numeric(
    "floor_divide", "({0} // {1})", signed="({number}(0) - {0} if {1} == {number}(-1) else {0} // {1})"
)
remainder = _numeric("remainder", "({0} % {1})", _one, lambda y, a, b: -floor_divide(a, b))
abs = _numeric("abs", "abs({0})", lambda y, x: sign(x))


def _as_method(name: str) -> Formula:
    function = formula._scalar_functions[name]
    return lambda *arguments: function(*arguments)  # a plain function, which a class binds to its instances


formula.install_operators(Expression, _as_method)

sign: ScalarFunction = _numeric("sign", lambda x: where(x > 0, 1, where(x < 0, -1, x)), None)

# ---- exponentials and logarithms ------------------------------------------------------------------------------------

exp = _declare("exp", "exp_{number}({0})", lambda y, x: y)
expm1 = _declare("expm1", "math.expm1({0})", lambda y, x: y + 1)
exp2 = _declare("exp2", "math.pow({number}(2.0), {0})", lambda y, x: y * math.log(2))
log1p = _declare("log1p", "log1p_{number}({0})", lambda y, x: 1 / (1 + x))
log2 = _declare("log2", "math.log2({0})", lambda y, x: 1 / (x * math.log(2)))
log10 = _declare("log10", "math.log10({0})", lambda y, x: 1 / (x * math.log(10)))

# ---- trigonometric and hyperbolic functions -------------------------------------------------------------------------

sin = _declare("sin", "math.sin({0})", lambda y, x: cos(x))
cos: ScalarFunction = _declare("cos", "math.cos({0})", lambda y, x: -sin(x))
tan = _declare("tan", "math.tan({0})", lambda y, x: 1 + y * y)
asin = _declare("asin", "math.asin({0})", lambda y, x: 1 / sqrt(1 - x * x))
acos = _declare("acos", "math.acos({0})", lambda y, x: -1 / sqrt(1 - x * x))
atan = _declare("atan", "math.atan({0})", lambda y, x: 1 / (1 + x * x))
atan2 = _declare(
    "atan2",
    "math.atan2({0}, {1})",
    lambda z, y, x: x / (x * x + y * y),
    lambda z, y, x: -y / (x * x + y * y),
)
sinh = _declare("sinh", "math.sinh({0})", lambda y, x: cosh(x))
cosh: ScalarFunction = _declare("cosh", "math.cosh({0})", lambda y, x: sinh(x))
tanh = _declare("tanh", "tanh_{number}({0})", lambda y, x: 1 - y * y)

# ---- everything else ------------------------------------------------------------------------------------------------

square = _numeric("square", lambda x: x * x, lambda y, x: 2 * x)
reciprocal = _declare("reciprocal", lambda x: 1 / x, lambda y, x: -y * y)
rsqrt = _declare("rsqrt", lambda x: 1 / sqrt(x), lambda y, x: -0.5 * y / x)
erf = _declare("erf", "math.erf({0})", lambda y, x: 2 / math.sqrt(math.pi) * exp(-x * x))
sigmoid = _declare("sigmoid", lambda x: 1 / (1 + exp(-x)), lambda y, x: y * (1 - y))
softplus = _declare("softplus", lambda x: where(x <= 0, 0, x) + log1p(exp(-abs(x))), lambda y, x: sigmoid(x))
relu = _numeric("relu", lambda x: where(x <= 0, 0, x), lambda y, x: where(y <= 0, 0, 1))

# NaN wins over numbers; a tie gives each side half of the gradient (as torch.maximum does).
maximum = _numeric(
    "maximum",
    lambda a, b: where((a > b) | (a != a), a, b),
    lambda y, a, b: where(a == b, 0.5, where(a > b, 1, 0)),
    lambda y, a, b: where(a == b, 0.5, where(a < b, 1, 0)),
)
minimum = _numeric(
    "minimum",
    lambda a, b: where((a < b) | (a != a), a, b),
    lambda y, a, b: where(a == b, 0.5, where(a < b, 1, 0)),
    lambda y, a, b: where(a == b, 0.5, where(a > b, 1, 0)),
)


def _clamp(x: Expression, low: Expression, high: Expression) -> Expression:
    raised = where((x < low) | (low != low), low, x)
    return where((raised > high) | (high != high), high, raised)


# The bounds themselves belong to the inside (as in torch.clamp).
clamp = _numeric(
    "clamp",
    _clamp,
    lambda y, x, low, high: where((x >= low) & (x <= high), 1, 0),
    lambda y, x, low, high: where((x < low) & (low < high), 1, 0),
    lambda y, x, low, high: where((x > high) | (low > high), 1, 0),
)
clamp_min = _numeric(
    "clamp_min",
    lambda x, low: where((x < low) | (low != low), low, x),
    lambda y, x, low: where(x >= low, 1, 0),
    lambda y, x, low: where(x < low, 1, 0),
)
clamp_max = _numeric(
    "clamp_max",
    lambda x, high: where((x > high) | (high != high), high, x),
    lambda y, x, high: where(x <= high, 1, 0),
    lambda y, x, high: where(x > high, 1, 0),
)
logaddexp = _declare(
    "logaddexp",
    # equal infinities would give inf - inf
    lambda a, b: where(a == b, a + math.log(2), maximum(a, b) + log1p(exp(-abs(a - b)))),
    lambda y, a, b: where(a == b, 0.5, sigmoid(a - b)),
    lambda y, a, b: where(a == b, 0.5, sigmoid(b - a)),
)


def _hypot(a: Expression, b: Expression) -> Expression:
    """Give sqrt(a*a + b*b) by way of the larger of the two, so that nothing overflows or vanishes."""
    a, b = abs(a), abs(b)
    larger, smaller = maximum(a, b), minimum(a, b)
    ratio = smaller / where(larger == 0, 1, larger)
    infinite = (a == math.inf) | (b == math.inf)  # even beside a NaN (C99, F.10.4.3)
    return where(infinite, math.inf, larger * sqrt(1 + ratio * ratio))


hypot = _declare("hypot", _hypot, lambda y, a, b: a / y, lambda y, a, b: b / y)

# ---- losses, whole: one pass each way -------------------------------------------------------------------------------

squared_error = _declare(
    "squared_error", lambda a, b: (a - b) * (a - b), lambda y, a, b: 2 * (a - b), lambda y, a, b: 2 * (b - a)
)
# max(x, 0) - x*t + log(1 + exp(-|x|)), the stable form of -t*log(sigmoid(x)) - (1-t)*log(1-sigmoid(x))
bce_with_logits = _declare(
    "bce_with_logits", lambda x, t: softplus(x) - x * t, lambda y, x, t: sigmoid(x) - t, lambda y, x, t: -x
)
