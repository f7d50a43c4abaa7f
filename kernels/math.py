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


def _elementary(name: str, *partials: Formula | None) -> ScalarFunction:
    """Declare a function that each target computes by its own code: `cpu.elementary` on the CPU."""
    arguments = ", ".join(f"{{{position}}}" for position in range(len(partials)))
    return _declare(name, f"{name}_{{number}}({arguments})", *partials)


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
log = _elementary("log", lambda y, x: 1 / x)
pow: ScalarFunction = _elementary(
    "pow",
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

exp = _elementary("exp", lambda y, x: y)
expm1 = _elementary("expm1", lambda y, x: y + 1)
exp2 = _elementary("exp2", lambda y, x: y * math.log(2))
log1p = _elementary("log1p", lambda y, x: 1 / (1 + x))
log2 = _elementary("log2", lambda y, x: 1 / (x * math.log(2)))
log10 = _elementary("log10", lambda y, x: 1 / (x * math.log(10)))
sigmoid = _elementary("sigmoid", lambda y, x: y * (1 - y))
softplus = _elementary("softplus", lambda y, x: sigmoid(x))
logaddexp = _elementary(
    "logaddexp",
    # equal infinities would give inf - inf
    lambda y, a, b: where(a == b, 0.5, sigmoid(a - b)),
    lambda y, a, b: where(a == b, 0.5, sigmoid(b - a)),
)

# ---- trigonometric and hyperbolic functions -------------------------------------------------------------------------

sin = _elementary("sin", lambda y, x: cos(x))
cos: ScalarFunction = _elementary("cos", lambda y, x: -sin(x))
tan = _elementary("tan", lambda y, x: 1 + y * y)
sinpi = _elementary("sinpi", lambda y, x: math.pi * cospi(x))
cospi: ScalarFunction = _elementary("cospi", lambda y, x: -math.pi * sinpi(x))
# (1 - x) * (1 + x) keeps the digits that 1 - x*x loses near 1
asin = _elementary("asin", lambda y, x: 1 / sqrt((1 - x) * (1 + x)))
acos = _elementary("acos", lambda y, x: -1 / sqrt((1 - x) * (1 + x)))
atan = _elementary("atan", lambda y, x: 1 / (1 + x * x))
atan2 = _elementary(
    "atan2",
    lambda z, y, x: x / (x * x + y * y),
    lambda z, y, x: -y / (x * x + y * y),
)
sinh = _elementary("sinh", lambda y, x: cosh(x))
cosh: ScalarFunction = _elementary("cosh", lambda y, x: sinh(x))
tanh = _elementary("tanh", lambda y, x: 1 - y * y)
asinh = _elementary("asinh", lambda y, x: 1 / sqrt(1 + x * x))
acosh = _elementary("acosh", lambda y, x: 1 / sqrt((x - 1) * (x + 1)))
atanh = _elementary("atanh", lambda y, x: 1 / ((1 - x) * (1 + x)))

# ---- special functions ----------------------------------------------------------------------------------------------

erf = _elementary("erf", lambda y, x: 2 / math.sqrt(math.pi) * exp(-x * x))
erfc = _elementary("erfc", lambda y, x: -2 / math.sqrt(math.pi) * exp(-x * x))
erfinv = _elementary("erfinv", lambda y, x: math.sqrt(math.pi) / 2 * exp(y * y))
lgamma = _elementary("lgamma", lambda y, x: digamma(x))
digamma: ScalarFunction = _elementary("digamma", lambda y, x: trigamma(x))
# zeta(s, x), the sum of 1 / (x + k)**s over k = 0, 1, ..., for whole s > 1 and x >= 1/2
hurwitz: ScalarFunction = _elementary("hurwitz", None, lambda y, s, x: -s * hurwitz(s + 1, x))


def _trigamma(x: Expression) -> Expression:
    """Give the sum of 1 / (x + k)**2 (DLMF 5.15.1), by the reflection formula (5.15.6) for x < 1/2."""
    reflected = x < 0.5
    value = hurwitz(2, where(reflected, 1 - x, x))
    return where(reflected, (math.pi / sinpi(x)) ** 2 - value, value)


trigamma: ScalarFunction = _declare("trigamma", _trigamma, argument_kinds=(NUMBER,))

# ---- everything else ------------------------------------------------------------------------------------------------

square = _numeric("square", lambda x: x * x, lambda y, x: 2 * x)
reciprocal = _declare("reciprocal", lambda x: 1 / x, lambda y, x: -y * y)
rsqrt = _declare("rsqrt", lambda x: 1 / sqrt(x), lambda y, x: -0.5 * y / x)
cbrt = _elementary("cbrt", lambda y, x: 1 / (3 * y * y))
hypot = _elementary("hypot", lambda y, a, b: a / y, lambda y, a, b: b / y)
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

# ---- losses, whole: one pass each way -------------------------------------------------------------------------------

squared_error = _declare(
    "squared_error", lambda a, b: (a - b) * (a - b), lambda y, a, b: 2 * (a - b), lambda y, a, b: 2 * (b - a)
)
# max(x, 0) - x*t + log(1 + exp(-|x|)), the stable form of -t*log(sigmoid(x)) - (1-t)*log(1-sigmoid(x))
bce_with_logits = _declare(
    "bce_with_logits", lambda x, t: softplus(x) - x * t, lambda y, x, t: sigmoid(x) - t, lambda y, x, t: -x
)
