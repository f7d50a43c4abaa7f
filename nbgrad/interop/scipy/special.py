"""The functions of scipy.special that are no ufuncs, on Variables; all others are SciPy's, which know them.

>>> import numpy as np, nbgrad
>>> print(f"{nbgrad.grad(lambda x: logsumexp(x, b=np.array([1.0, 3.0])))(np.zeros(2))}")
[0.25 0.75]
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ...ops import elementwise as plain
from ...ops import reduction
from ...ops.special import applied
from ...variable import Variable, data_of
from ..rules.operands import floating, operand


def logsumexp(a: Any, axis: Any = None, b: Any = None, keepdims: bool = False, return_sign: bool = False) -> Any:
    """Give log(sum(b * exp(a))) over axes, without overflow; NaN where the sum is negative, unless its sign is wanted.

    With `return_sign` it is (log(abs(sum)), sign), of which the sign has no gradient.
    """
    a = floating(a)
    if b is None and not return_sign:
        return reduction.logsumexp(a, axis=axis, keepdims=bool(keepdims) or None)
    b = np.ones((), a.dtype) if b is None else floating(b)
    largest = np.max(np.where(data_of(b) == 0, -np.inf, data_of(a)), axis=axis, keepdims=True)
    largest = np.where(np.isfinite(largest), largest, 0)
    total = np.sum(b * np.exp(a - largest), axis=axis, keepdims=True)
    sign = np.sign(data_of(total))
    found = np.log(total * sign if return_sign else total) + largest
    if not keepdims:
        axes = tuple(range(a.ndim)) if axis is None else axis
        found, sign = np.squeeze(found, axes), np.squeeze(sign, axes)
    return (found, sign) if return_sign else found


def softmax(x: Any, axis: Any = None) -> Any:
    """Give exp(x) / sum(exp(x)) along an axis, or over all elements."""
    x = floating(x)
    if isinstance(axis, int):
        return reduction.softmax(x, axis)
    return np.exp(x - reduction.logsumexp(x, axis=axis, keepdims=True))


def log_softmax(x: Any, axis: Any = None) -> Any:
    """Give x - log(sum(exp(x))) along an axis, or over all elements."""
    x = floating(x)
    return (
        reduction.log_softmax(x, axis)
        if isinstance(axis, int)
        else x - reduction.logsumexp(x, axis=axis, keepdims=True)
    )


def softplus(x: Any) -> Any:
    """Give log(1 + exp(x)) without overflow."""
    return plain.softplus(floating(x))


def sinc(x: Any) -> Any:
    """Give sin(pi x) / (pi x)."""
    return applied("sinc", floating(x))


def polygamma(n: int, x: Any) -> Any:
    """Give the n-th derivative of the digamma function, for a whole Python number n."""
    return plain.polygamma(n, floating(x))


def multigammaln(a: Any, d: int) -> Any:
    """Give the logarithm of the multivariate gamma function of dimension d."""
    a = floating(a)
    parts = [plain.lgamma(a - 0.5 * i) for i in range(d)]
    return sum(parts[1:], parts[0]) + 0.25 * d * (d - 1) * math.log(math.pi)


def comb(N: Any, k: Any, *, exact: bool = False, repetition: bool = False) -> Any:
    """Give the number of choices of k things of N, of real numbers by gamma functions."""
    if exact or not any(isinstance(x, Variable) for x in (N, k)):
        import scipy.special

        return scipy.special.comb(N, k, exact=exact, repetition=repetition)
    N, k = floating(N), floating(k)
    return applied("binom", N + k - 1 if repetition else N, k)


def factorial(n: Any, exact: bool = False) -> Any:
    """Give gamma(n + 1)."""
    if exact or not isinstance(n, Variable):
        import scipy.special

        return scipy.special.factorial(n, exact=exact)
    return applied("gamma", floating(n) + 1)


def perm(N: Any, k: Any, exact: bool = False) -> Any:
    """Give the number of ordered choices of k things of N, of real numbers by gamma functions."""
    if exact or not any(isinstance(x, Variable) for x in (N, k)):
        import scipy.special

        return scipy.special.perm(N, k, exact=exact)
    N, k = floating(N), floating(k)
    return applied("poch", N - k + 1, k)


def diric(x: Any, n: int) -> Any:
    """Give sin(n x / 2) / (n sin(x / 2)), by the periodic sinc function's own formula; NaN at multiples of 2 pi."""
    x = floating(x)
    return np.sin(n * x / 2) / (n * np.sin(x / 2))


def _spherical(name: str) -> Any:
    """Make a spherical Bessel function of whole order, sqrt(pi / (2 z)) times the one of order n + 1/2 (10.47)."""

    def spherical(n: Any, z: Any, derivative: bool = False) -> Any:
        z = floating(z)
        found = np.sqrt(math.pi / 2 / z) * applied(name, n + 0.5, z)
        if not derivative:
            return found
        above = np.sqrt(math.pi / 2 / z) * applied(name, n + 1.5, z)
        return n / z * found + (above if name == "iv" else -above)

    return spherical


spherical_jn, spherical_yn = _spherical("jv"), _spherical("yv")
spherical_in, spherical_kn = _spherical("iv"), _spherical("kv")


def _derivatives(name: str, sign: int) -> Any:
    """Make the n-th derivative of a Bessel function by its argument, of binomial sums of the orders around (10.6.7)."""

    def derivative(v: Any, z: Any, n: int = 1) -> Any:
        z = operand(z)
        terms = [sign**i * math.comb(n, i) * applied(name, v - n + 2 * i, z) for i in range(n + 1)]
        return sum(terms[1:], terms[0]) / 2.0**n * ((-1) ** n if name == "kv" else 1)

    return derivative


jvp, yvp = _derivatives("jv", -1), _derivatives("yv", -1)
ivp, kvp = _derivatives("iv", 1), _derivatives("kv", 1)


def __getattr__(name: str) -> Any:
    """Give SciPy's function of that name."""
    import scipy.special

    return getattr(scipy.special, name)
