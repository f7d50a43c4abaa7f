"""The error function, the gamma function's logarithm, and their relatives.

Where intervals need polynomials of one degree, each coefficient is selected, and one polynomial evaluated. A name in
``_rest`` is what rounding took from the number of the name before it.
"""

# ruff: noqa: F821
# mypy: disable-error-code="name-defined"

from __future__ import annotations

import math
from typing import Any

#: For float64, and for float32.
CONSTANTS: dict[str, tuple[float, float]] = {
    "ERF_MIDDLE": (1.25, 1.0),  # erf has one polynomial up to here and another beyond
    "ERF_END": (5.94, 3.99),  # erf is 1 from here on
    "ERFC_BEGIN": (0.8, 0.8),  # erfc is made of erf up to here
    "ERFC_MIDDLE": (3.75, 2.5),  # what erfc's argument is mapped to 0 at
    "ERFC_END": (27.25, 10.15),  # erfc is zero from here on
    "NORMAL_END": (38.7, 14.5),  # nothing of the normal distribution is left from here on
    "HALF_ROOT_PI": (math.sqrt(math.pi) / 2,) * 2,
    "ERFINV_NEAR_END": (4.5, 3.0),  # erfinv has a polynomial of w up to here,
    "ERFINV_MIDDLE_END": (3.7, 2.75),  # one of sqrt(w) less a centre up to here, and another beyond
    "STIRLING_BEGIN": (3.5, 3.5),  # from here on lgamma is Stirling's series
    "DIGAMMA_BEGIN": (-0.25, -0.25),  # digamma's reflection ends here,
    "DIGAMMA_END": (3.0, 3.0),  # and its asymptotic series begins here
    "STIRLING_CONSTANT": (math.log(2 * math.pi) / 2 - 0.5,) * 2,
}


def erf(x: Any) -> Any:
    """x + x*p(x*x) for small x; beyond it 1 - 2**p(|x|), the exponent being that of erfc (own fits)."""
    a = absolute(x)
    near = a < ERF_MIDDLE
    b = ERF_END if a > ERF_END else a
    p = polynomial(a * a if near else b, ERF if near else ERF_EXPONENT)
    k = rint(p)
    r = p - k
    far = ONE - fma(r, polynomial(r, ERF_EXP2), ONE) * power_of_two(k)
    return copysign(fma(a, p, a) if near else far, x)


def erfc(x: Any) -> Any:
    """exp(-x*x) / (x + m) * p((x - m) / (x + m)) for positive x, 2 - erfc(-x) for negative, 1 - erf(x) near zero.

    The mapping of x >= 0 to an interval is that of M. M. Shepherd and J. G. Laframboise, "Chebyshev approximation of
    (1 + 2x)exp(x*x)erfc(x)" (1981). x*x and the fraction are computed in two parts: their errors would be multiplied.
    """
    a = absolute(x)
    near = a < ERFC_BEGIN
    b = ERFC_END if a > ERFC_END else a
    square, square_rest = two_product(b, b)
    s = b + ERFC_MIDDLE
    s_rest = (ERFC_MIDDLE - s) + b if b < ERFC_MIDDLE else (b - s) + ERFC_MIDDLE
    v = ONE / s
    v_rest = v * (fma(-v, s, ONE) - v * s_rest)
    d = b - ERFC_MIDDLE
    d_rest = d * v_rest
    t = fma(d, v, d_rest)
    t_rest = fma(d, v, -t) + d_rest
    q = polynomial(t, ERFC_FAR)
    p = fma(t, q, ERFC_CENTRE[0])
    p_rest = fma(t, q, ERFC_CENTRE[0] - p) + fma(t_rest, q, ERFC_CENTRE[1])
    k, high, low = reduced(-square)
    low = low - square_rest
    r = high + low
    e = fma(r * r, polynomial(r, EXP), low - (r - high))
    g = p * v
    g_rest = fma(p, v, -g) + fma(p_rest, v, p * v_rest)
    far = scale(g + fma(g, r, fma(g, e, fma(g_rest, r, g_rest))), k)
    far = TWO - far if x < ZERO else far
    rest = ONE - x
    y = rest - fma(x, polynomial(square, ERFC_NEAR), x - (ONE - rest)) if near else far
    return x if x != x else y


def normal_share(x: Any) -> Any:
    """exp(-x*x/2) / (x + 4) * (2 + t*p(t)) with t = x / (x + 4) for |x|, and for positive x what is left of 1.

    That is the share of the standard normal distribution below x, to a dozen units in the last place (own fit).
    """
    a = absolute(x)
    b = NORMAL_END if a > NORMAL_END else a
    v = ONE / (b + number(4))
    t = b * v
    tail = bell(x) * (fma(t, polynomial(t, NORMAL_TAIL), TWO) * v)
    return tail if x < ZERO else ONE - tail


def log_split(k: Any, f: Any, s: Any) -> tuple[Any, Any]:
    """The logarithm of 2**k * (1 + f) as a sum of two, from s = f / (2 + f)."""
    z = s * s
    h = HALF * f * f
    loss = fma(-s, fma(z, polynomial(z, LOG), h), h)
    high = fma(k, LN_2[0], f)
    return high, (fma(k, LN_2[0], -high) + f) + fma(k, LN_2[1], -loss)


def erfinv(x: Any) -> Any:
    """x*p(w) with w = -log(1 - x*x) near 0, and x*p(sqrt(w)) in two intervals towards -1 and 1 (own fits).

    The variables are those of M. Giles, "Approximating the erfinv function" (2010). Each polynomial's constant, what
    rounding took from it, and from w and its root, are added at the end; a line is near enough to p's derivative.
    """
    z = fma(-x, x, ONE)
    f = mantissa(z) - ONE
    high, low = log_split(exponent(z), f, f / (f + TWO))
    w = -high - low
    w_rest = (-high - w) - low
    s = square_root(w)
    near = w < ERFINV_NEAR_END
    far = s > ERFINV_MIDDLE_END
    t = w if near else s - (ERFINV_CENTRES[1] if far else ERFINV_CENTRES[0])
    q = polynomial(t, ERFINV_NEAR if near else (ERFINV_FAR if far else ERFINV_MIDDLE))
    c = ERFINV_AT_0[0] if near else (ERFINV_CENTRES[3] if far else ERFINV_CENTRES[2])
    p = fma(t, q, c)
    p_rest = fma(t, q, c - p)
    p_rest = p_rest + ERFINV_AT_0[1] if near else p_rest
    lost = w_rest if near else w_rest + fma(-s, s, w)
    p_rest = fma(lost, fma(s, ERFINV_SLOPE[1], ERFINV_SLOPE[0]), p_rest)
    y = x * p
    y = y + fma(x, p_rest, fma(x, p, -y))
    a = absolute(x)
    y = copysign(INFINITY if a == ONE else y, x)
    return y if a <= ONE else NAN


def erfinv_slope(y: Any, x: Any) -> Any:
    """sqrt(pi)/2 * exp(y*y) for y = erfinv(x), of which large ones have too few digits: by 1 - |x| = erfc(|y|) there.

    exp(y*y) * erfc(y) hardly depends on y; its polynomial is that of erfc.
    """
    a = absolute(y)
    s = a + ERFC_MIDDLE
    v = ONE / s
    t = (a - ERFC_MIDDLE) * v
    far = fma(t, polynomial(t, ERFC_FAR), ERFC_CENTRE[0]) * v / (ONE - absolute(x))
    z = HALF_ROOT_PI * (exp(a * a) if a < ERFC_BEGIN else far)
    return INFINITY if a == INFINITY else z


def lgamma(x: Any) -> Any:
    """log|gamma(x)|: a polynomial and a logarithm from -1/2 to 3.5, Stirling's series beyond, and below the reflection.

    The polynomial gives log(gamma(2 + y)) for |y| <= 1/2, relative to its zero y = 0. The recurrence gamma(x + 1) =
    x*gamma(x) leads to it. gamma(-x) = -pi / (x * sin(pi*x) * gamma(x)) has a logarithm of its own. One division is
    made to serve both logarithms and the series.
    """
    reflected = x < -HALF
    a = absolute(x) if reflected else x
    near = a < STIRLING_BEGIN
    n = rint(a)
    y = a - n
    # what is to be multiplied, or divided by, on the way from 2 + y
    w = ONE if n == TWO else (a - ONE if n > TWO else (a if n == ONE else absolute(a) * (ONE + a)))
    k, f = parts(w if near else a)
    g, g_rest = two_product(a, y)
    sine = polynomial(y * y, SINE_OF_HALF_TURNS)
    v = absolute(fma(g, sine, g_rest * sine)) if reflected else ONE
    k_v = exponent(v)
    f_v = mantissa(v) - ONE
    m = f + ONE
    d = f + TWO
    d_v = f_v + TWO
    u = ONE / (d * d_v * m)
    high, low = log_split(k, f, f * (u * d_v * m))
    high_v, low_v = log_split(k_v, f_v, f_v * (u * d * m))
    lower = n < TWO
    first = -high if lower else high
    b = a - HALF
    c, c_rest = fast_two_sum(high - ONE, low)
    product = b * c
    inverse = scale(u * d * d_v, -k)
    tail = fma(inverse, polynomial(inverse * inverse, STIRLING), STIRLING_CONSTANT)
    rest = fma(b, c_rest, tail + fma(b, c, -product))
    q = polynomial(y, LGAMMA)
    p = fma(y, q, LGAMMA_AT_2[0])
    p_rest = fma(y, q, LGAMMA_AT_2[0] - p) + LGAMMA_AT_2[1]
    first = fma(y, p, first) if near else product
    second = fma(y, p_rest, -low if lower else low) if near else rest
    result = first if first == INFINITY else first + second
    result = -((high_v + result) + low_v) if reflected else result
    result = INFINITY if x <= ZERO and x == rint(x) else result
    return x if x != x else result


def digamma(x: Any) -> Any:
    """(x - z) * p(x - z) / (x*(x + 1)*(x + 2)) with the zero z; log(x) - 1/(2*x) - p(1/x**2)/x**2 from 3 on (own fits).

    Below -1/4, digamma(1 - x) - pi*cot(pi*x).
    """
    reflected = x < DIGAMMA_BEGIN
    a = ONE - x if reflected else x
    near = a < DIGAMMA_END
    # without the rounding error of 1 - x, which matters near the zero
    d = (ONE - DIGAMMA_ZERO[0]) - x if reflected else x - DIGAMMA_ZERO[0]
    t = d - DIGAMMA_ZERO[1]
    p = polynomial(a, DIGAMMA)
    upper, upper_rest = two_product(t, p)
    upper_rest = fma((d - t) - DIGAMMA_ZERO[1], p, upper_rest)
    lower, lower_rest = two_product(a, fma(a, a + number(3), TWO))
    lower = lower if near else a
    inverse = ONE / lower
    fraction = upper * inverse
    rest = fma(-fraction, lower, upper) + fma(-fraction, lower_rest, upper_rest)
    fraction = fraction if absolute(fraction) == INFINITY else fma(rest, inverse, fraction)
    far = log(a) - inverse * fma(inverse, polynomial(inverse * inverse, DIGAMMA_SERIES), HALF)
    y = fraction if near else far
    r = x - rint(x)
    z = r * r
    cotangent = fma(-number(4) * r, r, ONE) * polynomial(z, COTANGENT) / r if r != ZERO else NAN
    return y - cotangent if reflected else y


def hurwitz_term(s: Any, x: Any, k: Any, inverse: Any) -> Any:
    """(x + k)**-s, with what rounding took from x + k, times 1 / (x + k) from 1 / (x + 8) in three terms of its series.

    Where these are too few, x is so small that (x + k)**-s is nothing beside x**-s if s is so large that it matters.
    """
    a = x + k
    lost = k - (a - x)
    u = (number(8) - k) * inverse
    power = pow(a, -s)
    return fma(-power, s * (lost * (inverse * fma(u, u + ONE, ONE))), power)


def hurwitz(s: Any, x: Any) -> Any:
    """The sum of (x + k)**-s for k = 0, 1, 2...: eight of them, and the rest by Euler's and Maclaurin's formula.

    With m = x + 8, the rest is m**(1 - s) * (1 / (s - 1) + 1 / (2*m) + s / m**2 * (1/12 - (s + 1)*(s + 2) / (720*m*m)
    + ...)). For s from 2 to 30 and x from 1/2; the logarithms in the powers are what takes the time.
    """
    m = x + number(8)
    lost = number(8) - (m - x)
    v = ONE / m
    w = v * v
    c = EULER_MACLAURIN[9]
    c = fma(w * (s + number(17)) * (s + number(18)), c, EULER_MACLAURIN[8])
    c = fma(w * (s + number(15)) * (s + number(16)), c, EULER_MACLAURIN[7])
    c = fma(w * (s + number(13)) * (s + number(14)), c, EULER_MACLAURIN[6])
    c = fma(w * (s + number(11)) * (s + number(12)), c, EULER_MACLAURIN[5])
    c = fma(w * (s + number(9)) * (s + number(10)), c, EULER_MACLAURIN[4])
    c = fma(w * (s + number(7)) * (s + number(8)), c, EULER_MACLAURIN[3])
    c = fma(w * (s + number(5)) * (s + number(6)), c, EULER_MACLAURIN[2])
    c = fma(w * (s + number(3)) * (s + number(4)), c, EULER_MACLAURIN[1])
    c = fma(w * (s + number(1)) * (s + number(2)), c, EULER_MACLAURIN[0])
    power = pow(m, ONE - s)
    rest = power * fma(v, fma(s * v, c, HALF), ONE / (s - ONE))
    rest = fma(-power, lost * v * fma(s * v, HALF, ONE), rest)
    y = hurwitz_term(s, x, number(7), v)
    y = y + hurwitz_term(s, x, number(6), v)
    y = y + hurwitz_term(s, x, number(5), v)
    y = y + hurwitz_term(s, x, number(4), v)
    y = y + hurwitz_term(s, x, number(3), v)
    y = y + hurwitz_term(s, x, number(2), v)
    y = y + hurwitz_term(s, x, number(1), v)
    y = (rest + y) + pow(x, -s)
    return ZERO if x == INFINITY else y
