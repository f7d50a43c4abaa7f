"""The scalar functions that formulas are made of: one declaration each.

A declaration gives the name, how the function is computed (a template of Python source, or a formula of other
functions) and its partial derivatives. From it come the kernels of every target, gradients of any order, tangents
and fusion. A partial is stated as a function of the value `y` and the inputs; stated partials are the ones that
stay accurate where the derived ones would overflow or cancel. Where differentiating a partial once more would do that,
the partial is a function of its own (`_slope`), which states its partials in turn.

What a function costs is stated in additions: the time that it adds to a loop over elements in the caches, over that of
an addition in such a loop; the mean of both dtypes, on an AMD EPYC with AVX-512.
"""

from __future__ import annotations

import builtins
import math
from collections.abc import Callable
from functools import cache as once
from functools import partial
from typing import Any

from . import formula
from .formula import (
    CLOSED,
    COMPARISON,
    LOGICAL,
    NUMBER,
    NUMERIC,
    SIGNED,
    TRUTH,
    Expression,
    ScalarFunction,
    constant_value,
)
from .operators import install_operators

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
        return base if value == 1 else whole_power(int(value))(base)


@once
def whole_power(exponent: int, factor: int = 1) -> ScalarFunction:
    """Give factor * x**exponent as multiplications, for a whole exponent other than 0.

    A derived partial would divide by x twice, and infinities by each other at 0: it is stated. What is computed on the
    way is in range wherever the result is: the factor comes first, and powers to divide by are scaled by one of two.
    """
    count = builtins.abs(exponent)

    def compute(x: Any) -> Any:
        if exponent > 0:
            power = formula.times(formula.constant(factor), _product(x, count - count // 2))
            return power * _product(x, count // 2) if count > 1 else power
        if count == 1:
            return factor / x
        scale = 2.0 ** -(-64 // count)
        large = abs(x) > 1
        scaled = _product(x * where(large, 1 / scale, scale), count)
        return where(large, factor * scale**-count, factor * scale**count) / scaled

    def slope(y: Any, x: Any) -> Any:
        return factor if exponent == 1 else whole_power(exponent - 1, factor * exponent)(x)

    name = f"pow_{exponent}".replace("-", "minus_")
    return ScalarFunction(name, compute, slope)


def _product(x: Any, count: int) -> Any:
    """Give the product of `count` times x, by squaring."""
    power = None
    while True:
        if count & 1:
            power = x if power is None else power * x
        count >>= 1
        if not count:
            return power
        x = x * x


def _declare(name: str, compute: str | Formula, *partials: Formula | None, **options: Any) -> ScalarFunction:
    kind = _Power if name == "pow" else ScalarFunction
    function = formula._scalar_functions[name] = kind(name, compute, *partials, **options)
    return function


#: What most elementary functions cost, in additions.
_USUAL = 40


def _elementary(name: str, *partials: Formula | None, cost: int = _USUAL) -> ScalarFunction:
    """Declare a function that each target computes by its own code: `cpu.elementary` on the CPU."""
    arguments = ", ".join(f"{{{position}}}" for position in range(len(partials)))
    return _declare(name, f"{name}_{{number}}({arguments})", *partials, cost=cost)


def _slope(name: str, compute: Formula | None, *partials: Formula | None, cost: int = _USUAL) -> ScalarFunction:
    """Declare a derivative that states its own derivatives; without a formula, each target computes it by its own code.

    One may take the value y beside the inputs x, for what it saves to have it. It has no partial by y then: the one by
    x is the whole derivative along y(x).
    """
    arguments = ", ".join(f"{{{position}}}" for position in range(len(partials)))
    return ScalarFunction(
        name,
        f"{name}_{{number}}({arguments})" if compute is None else compute,
        *partials,
        argument_kinds=(NUMBER,) * len(partials),
        cost=cost,
        checked=False,  # few are ever asked for: tracing all would cost a hundredth of an import
    )


_numeric = partial(_declare, domain=NUMERIC)
_signed = partial(_declare, domain=SIGNED)
_closed = partial(_declare, domain=CLOSED)
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
where = _closed("where", "({1} if {0} else {2})", argument_kinds=(TRUTH, NUMBER, NUMBER))

add = _closed("add", "({0} + {1})", _one, _one)
sub = _signed("sub", "({0} - {1})", _one, lambda y, a, b: -1)
mul = _closed("mul", "({0} * {1})", lambda y, a, b: b, lambda y, a, b: a)
div = _declare("div", "({0} / {1})", lambda y, a, b: 1 / b, lambda y, a, b: -y / b, cost=4)
neg = _signed("neg", "(-{0})", lambda y, x: -1)
positive = _signed("positive", "{0}", _one)
sqrt = _declare("sqrt", "math.sqrt({0})", lambda y, x: 0.5 / y, cost=16)
log = _elementary("log", lambda y, x: 1 / x, cost=35)


@once
def _scaled_power(order: int) -> ScalarFunction:
    """Give c * a**(b - order), and 0 where c is, though the power may be infinite: what derivatives of a**b consist of.

    A difference that is not exact would cost a power of a large or small number its last digits: a**b is divided then.
    """

    def compute(c: Any, a: Any, b: Any) -> Any:
        ordinary = (a != 0) & (abs(a) < math.inf)
        exponent, divisors, inexact = b, [], ordinary & False
        for whole in range(1, order + 1):
            inexact = inexact | ordinary & ((b < whole - 0.5) | (b - (b - whole) != whole))
            exponent = where(inexact, exponent, b - whole)
            divisors.append(where(inexact, a, 1))
        result = c * pow(a, exponent)
        for divisor in divisors:
            result = result / divisor
        return where(c == 0, 0, result)

    return _slope(
        f"scaled_power_{order}",
        compute,
        lambda y, c, a, b: _scaled_power(order)(1, a, b),
        lambda y, c, a, b: _scaled_power(order + 1)(formula.times(c, b - order), a, b),
        lambda y, c, a, b: _times_log(y, a),
    )


def _times_log(y: Expression, a: Expression) -> Expression:
    """Give y * log(a), 0 where a power y of a is 0 and the logarithm infinite."""
    return where((y == 0) & ((a == 0) | (a == math.inf)), 0, y * log(a))


pow: ScalarFunction = _elementary(
    "pow",
    lambda y, a, b: _scaled_power(1)(b, a, b),
    # log(0) is -inf where 0**b is flat
    lambda y, a, b: where((a == 0) & (b >= 0), 0, _times_log(y, a)),
    cost=150,
)
# The smallest whole number has no negative; LLVM leaves open what dividing it by -1 gives.
floor_divide = _numeric(
    "floor_divide", "({0} // {1})", signed="({number}(0) - {0} if {1} == {number}(-1) else {0} // {1})", cost=30
)
remainder = _numeric("remainder", "({0} % {1})", _one, lambda y, a, b: -floor_divide(a, b), cost=30)
abs = _closed("abs", "abs({0})", lambda y, x: sign(x))


def _as_method(name: str) -> Formula:
    function = formula._scalar_functions[name]
    return lambda *arguments: function(*arguments)  # a plain function, which a class binds to its instances


install_operators(Expression, _as_method)

sign: ScalarFunction = _numeric("sign", lambda x: where(x > 0, 1, where(x < 0, -1, x)), None)

# ---- exponentials and logarithms ------------------------------------------------------------------------------------

exp = _elementary("exp", lambda y, x: y, cost=25)
expm1 = _elementary("expm1", lambda y, x: exp(x))
exp2 = _elementary("exp2", lambda y, x: y * math.log(2), cost=20)
log1p = _elementary("log1p", lambda y, x: 1 / (1 + x))
log2 = _elementary("log2", lambda y, x: 1 / math.log(2) / x)
log10 = _elementary("log10", lambda y, x: 1 / math.log(10) / x)
# e**a / (e**a + e**b), one half for equal infinities too
_share: ScalarFunction = _slope("share", None, lambda y, a, b: _overlap(a, b), lambda y, a, b: -_overlap(a, b), cost=80)
_overlap: ScalarFunction = _slope(
    "overlap",
    lambda a, b: _share(a, b) * _share(b, a),
    # the difference of the two shares, which cancels for a near b
    lambda y, a, b: -y * tanh(_difference(a, b) / 2),
    lambda y, a, b: y * tanh(_difference(a, b) / 2),
)
_difference: ScalarFunction = _slope("difference", lambda a, b: where(a == b, 0, a - b), _one, lambda y, a, b: -1)
# in y alone the digits of x near 0 are lost
_sigmoid_slope = _slope("sigmoid_slope", lambda y, x: y * (1 - y), None, lambda s, y, x: -_overlap(x, 0) * tanh(x / 2))
sigmoid: ScalarFunction = _elementary("sigmoid", lambda y, x: _sigmoid_slope(y, x), cost=70)
_logistic = _slope("logistic", lambda x: sigmoid(x), lambda y, x: _overlap(x, 0))
softplus = _elementary("softplus", lambda y, x: _logistic(x), cost=80)
logaddexp = _elementary("logaddexp", lambda y, a, b: _share(a, b), lambda y, a, b: _share(b, a), cost=100)

# ---- trigonometric and hyperbolic functions -------------------------------------------------------------------------

sin = _elementary("sin", lambda y, x: cos(x))
cos: ScalarFunction = _elementary("cos", lambda y, x: -sin(x))
tan = _elementary("tan", lambda y, x: 1 + y * y)
sinpi = _elementary("sinpi", lambda y, x: math.pi * cospi(x), cost=35)
cospi: ScalarFunction = _elementary("cospi", lambda y, x: -math.pi * sinpi(x), cost=35)
# 1 - x*x, where (1 - x) * (1 + x) keeps the digits that are lost near 1, and -2*x those that its slope loses near 0
_below_one = _slope("below_one", lambda x: where(abs(x) < 0.5, 1 - x * x, (1 - x) * (1 + x)), lambda y, x: -2 * x)
_asin_slope = _slope("asin_slope", lambda x: 1 / sqrt(_below_one(x)), lambda y, x: y * (x / _below_one(x)))
asin = _elementary("asin", lambda y, x: _asin_slope(x), cost=30)
acos = _elementary("acos", lambda y, x: -_asin_slope(x), cost=30)
# a / (a*a + b*b) in the whole range, 0 at the origin and at infinity: the point (a, b) inverted in the unit circle.
# (b*b - a*a) / (a*a + b*b)**2 is the product of the coordinates of (|b| - |a|, |b| + |a|), inverted, times 4.
_inversion: ScalarFunction = _slope(
    "inversion",
    None,
    lambda y, a, b: 4 * _inversion(abs(b) - abs(a), abs(b) + abs(a)) * _inversion(abs(b) + abs(a), abs(b) - abs(a)),
    lambda y, a, b: -2 * y * _inversion(b, a),
    cost=12,
)
atan = _elementary("atan", lambda y, x: _inversion(1, x))
atan2 = _elementary("atan2", lambda z, y, x: _inversion(x, y), lambda z, y, x: -_inversion(y, x), cost=50)
sinh = _elementary("sinh", lambda y, x: cosh(x))
cosh: ScalarFunction = _elementary("cosh", lambda y, x: sinh(x))
tanh: ScalarFunction = _elementary("tanh", lambda y, x: 1 - y * y, cost=60)
# a / y for y = hypot(a, b), the cosine of an angle: 0 at the origin, and 1 of an infinite leg beside a finite one
_cosine: ScalarFunction = _slope(
    "cosine",
    lambda y, a, b: where(y == 0, 0, where((abs(a) == math.inf) & (abs(b) < math.inf), sign(a), a / y)),
    None,
    lambda c, y, a, b: _cosine(y, b, a) * _inversion(b, a),
    lambda c, y, a, b: -c * _inversion(b, a),
)
hypot = _elementary("hypot", lambda y, a, b: _cosine(y, a, b), lambda y, a, b: _cosine(y, b, a), cost=16)
_asinh_slope = _slope("asinh_slope", lambda x: 1 / hypot(1, x), lambda y, x: -y * _inversion(x, 1))
asinh = _elementary("asinh", lambda y, x: _asinh_slope(x), cost=90)
# x - 1/x without cancellation; where x*x would be out of range, it is x long since
_less_inverse = _slope("less_inverse", lambda x: where(x > 2**30, x, (x - 1) * (x + 1) / x), lambda y, x: 1 + 1 / x / x)
_acosh_slope = _slope(
    "acosh_slope",
    lambda x: 1 / where(x > 2**30, x, sqrt((x - 1) * (x + 1))),
    lambda y, x: -y / _less_inverse(x),
)
acosh = _elementary("acosh", lambda y, x: _acosh_slope(x), cost=80)
atanh = _elementary("atanh", lambda y, x: 1 / _below_one(x), cost=70)

# ---- special functions ----------------------------------------------------------------------------------------------

# exp(-x*x) without the rounding error of the square; nothing of it is left at infinity
_gaussian: ScalarFunction = _slope("gaussian", None, lambda y, x: where(y == 0, 0, -2 * x * y), cost=30)
erf = _elementary("erf", lambda y, x: 2 / math.sqrt(math.pi) * _gaussian(x), cost=60)
erfc = _elementary("erfc", lambda y, x: -2 / math.sqrt(math.pi) * _gaussian(x), cost=120)
# the standard normal distribution, for networks: quicker than by erfc, at the cost of the last digit
_bell: ScalarFunction = _slope("bell", None, lambda y, x: where(y == 0, 0, -x * y), cost=30)
_normal_share = _slope("normal_share", None, lambda y, x: 1 / math.sqrt(2 * math.pi) * _bell(x), cost=50)
# sqrt(pi)/2 * exp(y*y) in y and x, of which each alone has too few digits in places
_erfinv_slope = _slope("erfinv_slope", None, None, lambda s, y, x: 2 * y * s * s, cost=70)
erfinv = _elementary("erfinv", lambda y, x: _erfinv_slope(y, x), cost=200)
lgamma = _elementary("lgamma", lambda y, x: digamma(x), cost=230)
digamma: ScalarFunction = _elementary("digamma", lambda y, x: trigamma(x), cost=160)
# zeta(s, x), the sum of 1 / (x + k)**s over k = 0, 1, ..., for whole s > 1 and x >= 1/2
hurwitz: ScalarFunction = _elementary("hurwitz", None, lambda y, s, x: -s * hurwitz(s + 1, x), cost=1500)


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
_cbrt_slope = _slope("cbrt_slope", lambda y, x: 1 / (3 * y * y), None, lambda s, y, x: -2 / 3 * s / x)
cbrt = _elementary("cbrt", lambda y, x: _cbrt_slope(y, x))
relu = _numeric("relu", lambda x: where(x <= 0, 0, x), lambda y, x: where(y <= 0, 0, 1))

# NaN wins over numbers, and lets the gradient through; a tie gives each side half of it (as torch.maximum does).
maximum = _closed(
    "maximum",
    lambda a, b: where((a > b) | (a != a), a, b),
    lambda y, a, b: where(a == b, 0.5, where(a < b, 0, 1)),
    lambda y, a, b: where(a == b, 0.5, where(a > b, 0, 1)),
)
minimum = _closed(
    "minimum",
    lambda a, b: where((a < b) | (a != a), a, b),
    lambda y, a, b: where(a == b, 0.5, where(a > b, 0, 1)),
    lambda y, a, b: where(a == b, 0.5, where(a < b, 0, 1)),
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
absolute_error = _declare(
    "absolute_error", lambda a, b: abs(a - b), lambda y, a, b: sign(a - b), lambda y, a, b: sign(b - a)
)
# a parabola within 1 of the target, and its tangents outside
smooth_l1 = _declare(
    "smooth_l1",
    lambda a, b: where(abs(a - b) < 1, 0.5 * (a - b) * (a - b), abs(a - b) - 0.5),
    lambda y, a, b: clamp(a - b, -1, 1),
    lambda y, a, b: clamp(b - a, -1, 1),
)
# from probabilities; as PyTorch has it, no logarithm is below -100, and no slope is divided by less than 1e-12
bce = _declare(
    "bce",
    lambda p, t: -(t * maximum(log(p), -100) + (1 - t) * maximum(log1p(-p), -100)),
    lambda y, p, t: (p - t) / maximum(p * (1 - p), 1e-12),
    lambda y, p, t: maximum(log1p(-p), -100) - maximum(log(p), -100),
)
# sigmoid(x) - t, in which nothing cancels for t = 1 either
_bce_slope = _slope(
    "bce_slope",
    lambda x, t: where(x > 0, (1 - t) - sigmoid(-abs(x)), sigmoid(-abs(x)) - t),
    lambda y, x, t: _overlap(x, 0),
    lambda y, x, t: -1,
)
# max(x, 0) - x*t + log(1 + exp(-|x|)), the stable form of -t*log(sigmoid(x)) - (1-t)*log(1-sigmoid(x))
bce_with_logits = _declare(
    "bce_with_logits", lambda x, t: softplus(x) - x * t, lambda y, x, t: _bce_slope(x, t), lambda y, x, t: -x
)
