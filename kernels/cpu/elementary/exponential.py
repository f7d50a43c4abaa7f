"""Exponentials, logarithms and what is made of them.

Methods: argument reduction in two parts by W. J. Cody and W. Waite, "Software Manual for the Elementary Functions"
(1980). Rounding errors of the leading sums are kept and added to the small terms.
"""

# ruff: noqa: F821
# mypy: disable-error-code="name-defined"

from __future__ import annotations

from typing import Any

#: For float64, and for float32.
CONSTANTS: dict[str, tuple[float, float]] = {
    "EXP_END": (710.0, 89.0),  # exp is infinite from here on,
    "EXP_BEGIN": (-746.0, -104.0),  # and zero up to here
    "EXP2_END": (1025.0, 129.0),
    "EXP2_BEGIN": (-1076.0, -151.0),
    "EXPM1_BEGIN": (-38.0, -18.0),  # expm1 is -1 up to here
}


def reduced(x: Any) -> tuple[Any, Any, Any]:
    """x = k*log(2) + high + low with |high + low| <= log(2)/2; `high` is exact, by the zeros that end LN_2[0]."""
    k = rint(x * LOG2_E[0])
    return k, fma(k, -LN_2[0], x), k * -LN_2[1]


def exp(x: Any) -> Any:
    """2**k * exp(r), and exp(r) = 1 + r + r*r*p(r)."""
    c = EXP_END if x > EXP_END else (EXP_BEGIN if x < EXP_BEGIN else x)
    k, high, low = reduced(c)
    r = high + low
    return scale(fma(r * r, polynomial(r, EXP), r) + ONE, k)


def exp2(x: Any) -> Any:
    """2**k * 2**r with k the whole number nearest to x, and 2**r = 1 + r*p(r)."""
    c = EXP2_END if x > EXP2_END else (EXP2_BEGIN if x < EXP2_BEGIN else x)
    k = rint(c)
    r = c - k
    return scale(fma(r, polynomial(r, EXP2), ONE), k)


def expm1(x: Any) -> Any:
    """2**k - 1 + 2**k * (r + r*r/2 + r**3 * p(r)), in halves, since 2**k alone may be out of range."""
    c = EXP_END if x > EXP_END else (EXPM1_BEGIN if x < EXPM1_BEGIN else x)
    k, high, low = reduced(c)
    r = high + low
    s = power_of_two(k - ONE)
    d = s - HALF
    y, lost = two_sum(d, s * high)
    small = fma(HALF * r, r, fma(r * r * r, polynomial(r, EXP[1:]), low))
    y = y + fma(s, small, lost + ((s - d) - HALF))
    return x if absolute(x) < TINY else y + y


def parts(x: Any) -> tuple[Any, Any]:
    """x = 2**k * (1 + f) with 1 + f from sqrt(1/2) to sqrt(2), for positive x, subnormal too."""
    subnormal = x < NORMAL
    # selecting factors: LLVM would take a selected number apart twice
    n = x * (LIFT if subnormal else ONE)
    return exponent(n) - (LIFT_EXPONENT if subnormal else ZERO), mantissa(n) - ONE


def log_loss(f: Any) -> Any:
    """f - log(1 + f), as h - s*(h + z*p(z)) with s = f / (2 + f), z = s*s and h = f*f/2 (fdlibm's e_log.c, 1993)."""
    s = f / (TWO + f)
    z = s * s
    h = HALF * f * f
    return fma(-s, fma(z, polynomial(z, LOG), h), h)


def log_loss_unrounded(f: Any) -> Any:
    """The same without the rounding of the first h, at one operation more; log2 is over 1 ulp with it."""
    s = f / (TWO + f)
    z = s * s
    half = HALF * f
    return fma(half, f, -s * fma(z, polynomial(z, LOG), half * f))


def log_domain(x: Any, y: Any) -> Any:
    """y, save where the logarithm of x is no ordinary number."""
    y = x if x == INFINITY else y
    return y if x > ZERO else (-INFINITY if x == ZERO else NAN)


def log(x: Any) -> Any:
    """k*log(2) + f - (f - log(1 + f))."""
    k, f = parts(x)
    return log_domain(x, fma(k, LN_2[0], f + fma(k, LN_2[1], -log_loss(f))))


def log2(x: Any) -> Any:
    """k + (f - (f - log(1 + f))) / log(2), where f/log(2) has the most digits."""
    k, f = parts(x)
    return log_domain(x, k + fma(f, LOG2_E[0], fma(-log_loss_unrounded(f), LOG2_E[0], f * LOG2_E[1])))


def log10(x: Any) -> Any:
    """k*log10(2) + (f - (f - log(1 + f))) / log(10), where f/log(10) has the most digits."""
    k, f = parts(x)
    small = fma(-log_loss(f), LOG10_E[0], fma(k, LOG10_2[1], f * LOG10_E[1]))
    return log_domain(x, fma(k, LOG10_2[0], fma(f, LOG10_E[0], small)))


def log_of_sum(u: Any, lost: Any, power: Any) -> Any:
    """log((u + lost) * 2**power) for normal u and a `lost` of about what rounding took from u.

    The correction lost/u is so small that 1 - f + f*f is near enough to 1 / (1 + f).
    """
    k = exponent(u)
    f = mantissa(u) - ONE
    correction = scale(lost, -k) * fma(f, f, ONE - f)
    k = k + power
    return fma(k, LN_2[0], f + (fma(k, LN_2[1], correction) - log_loss(f)))


def log1p(x: Any) -> Any:
    """The logarithm of u = 1 + x, and of what rounding took from u."""
    u = x + ONE
    lost = ONE - (u - x) if x > ONE else x - (u - ONE)
    y = log_of_sum(u, lost, ZERO)
    y = x if x == INFINITY or absolute(x) < TINY else y
    return y if x > -ONE else (-INFINITY if x == -ONE else NAN)


def exp_parts(x: Any) -> tuple[Any, Any, Any]:
    """exp(x) = 2**k * (high + low) to a few bits more than a number has, for x <= 0."""
    c = EXP_BEGIN if x < EXP_BEGIN else x
    k, r, tail = reduced(c)
    leading, lost = fast_two_sum(ONE, r)
    r = r + tail
    high, low = fast_two_sum(leading, lost + fma(r * r, polynomial(r, EXP), tail))
    return k, high, low


def sigmoid(x: Any) -> Any:
    """1 / (1 + e) with e = exp(-|x|), or e / (1 + e) for negative x.

    The remainder of the division, by what it divides (which is the quotient itself), gives the quotient's next digits.
    """
    k, high, low = exp_parts(-absolute(x))
    e = scale(high, k)
    d, lost = fast_two_sum(ONE, e)
    q = ONE / d
    rest = q * (fma(-q, d, ONE) - q * (lost + scale(low, k)))
    y = q + rest if x >= ZERO else scale(fma(high, q, fma(high, rest, low * q)), k)
    return x if x != x else y


def share(a: Any, b: Any) -> Any:
    """exp(a) / (exp(a) + exp(b)): sigmoid(a - b), with the difference's rounding error; infinities have none."""
    d, lost = two_sum(a, -b)
    y = sigmoid(ZERO if a == b else d)
    return fma(lost * y, ONE - y, y) if absolute(d) < INFINITY else y


def exp_of_square(square: Any, lost: Any) -> Any:
    """exp(-square - lost) of a square and its rounding error."""
    k, high, low = reduced(EXP_BEGIN if square > -EXP_BEGIN else -square)
    r = high + (low - (lost if square < -EXP_BEGIN else ZERO))
    return scale(fma(r * r, polynomial(r, EXP), r) + ONE, k)


def gaussian(x: Any) -> Any:
    """exp(-x*x), with the square's rounding error."""
    square, lost = two_product(x, x)
    return x if x != x else exp_of_square(square, lost)


def bell(x: Any) -> Any:
    """exp(-x*x/2), with the square's rounding error."""
    square, lost = two_product(x, x)
    return x if x != x else exp_of_square(HALF * square, HALF * lost)


def plus_softened(x: Any, a: Any, a_low: Any) -> Any:
    """x + log(1 + e) with e = exp(-a - a_low), a >= 0: x + e, and what log_loss says, without any reduction of e."""
    e = exp(-a)
    e = fma(-e, a_low, e)
    s = e / (TWO + e)
    z = s * s
    h = HALF * e * e
    y, lost = two_sum(x, e)
    return y + (lost - fma(-s, fma(z, polynomial(z, LOG_UNIT), h), h)) if absolute(x) < INFINITY else x


def softplus(x: Any) -> Any:
    """max(x, 0) + log(1 + exp(-|x|))."""
    return plus_softened(ZERO if x < ZERO else x, absolute(x), ZERO)


def logaddexp(a: Any, b: Any) -> Any:
    """max(a, b) + log(1 + exp(-|a - b|)), with the difference's rounding error; infinities have no difference."""
    d, lost = two_sum(a, -b)
    finite = absolute(d) < INFINITY
    y = plus_softened(
        a if a > b else b, ZERO if a == b else absolute(d), (lost if d > ZERO else -lost) if finite else ZERO
    )
    return a + b if a != a or b != b else y


def quotient(f: Any) -> tuple[Any, Any]:
    """f / (2 + f) with its next digits."""
    d, lost = fast_two_sum(TWO, f)
    reciprocal = ONE / d
    s = f * reciprocal
    return s, reciprocal * fma(-s, lost, fma(-s, d, f))


def log2_parts(k: Any, f: Any) -> tuple[Any, Any]:
    """k + log2(1 + f) to 10 bits more than a number has.

    log2(1 + f) is s*C + s**3 * p(s*s) with s = f / (2 + f), where s, C and the first number of p need more digits.
    """
    s, s_low = quotient(f)
    z = s * s
    z_low = fma(s + s, s_low, fma(s, s, -z))
    cubic, cubic_lost = fast_two_sum(LOG2_CUBIC[0], z * polynomial(z, LOG2_REST))
    t = z * cubic
    t_low = fma(z, cubic_lost + LOG2_CUBIC[1], fma(z_low, cubic, fma(z, cubic, -t)))
    c, c_lost = fast_two_sum(LOG2_LINEAR[0], t)
    h = s * c
    h_low = fma(s, c_lost + (t_low + LOG2_LINEAR[1]), fma(s_low, c, fma(s, c, -h)))
    y, lost = fast_two_sum(k, h)  # k is 0, or larger than h
    return y, lost + h_low


def pow(x: Any, y: Any) -> Any:
    """2 ** (y * log2(|x|)), the logarithm and the product with their next digits, and the sign of an odd power."""
    a = absolute(x)
    finite = a < INFINITY
    k, f = parts(a)
    high, low = log2_parts(k, f)
    high = (high if a > ZERO else -INFINITY) if finite else a
    p = y * high
    c = EXP2_END if p > EXP2_END else (EXP2_BEGIN if p < EXP2_BEGIN else p)
    tail = fma(y, low, fma(y, high, -p)) if c == p else ZERO
    # 1 to any power and any number to the power 0 is 1, even where the product is no number
    c = ZERO if y == ZERO or a == ONE else c
    n = rint(c)
    r = (c - n) + tail
    result = scale(fma(r, polynomial(r, EXP2), ONE), n)
    half = y * HALF
    whole = rint(y) == y
    result = copysign(result, x) if whole and rint(half) != half else result
    return NAN if x < ZERO and x >= LOWEST and not whole else result
