"""Functions that are asked for seldom: formulas of `kernels.special`, and what SciPy computes.

What SciPy computes is stated with its derivatives, in functions that are stated here as well (DLMF names the formulas),
so that they hold to any order. By some arguments nobody knows a derivative in such terms: to ask for one is an error.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache as once
from typing import Any

import numpy as np

from ..arrays import Array, as_array
from ..function import Operation
from ..kernels import devices, special
from ..registry import ENTRIES
from ..variable import data_of
from .elementwise import (
    _expose,
    abs,
    add,
    cos,
    cosh,
    div,
    exp,
    le,
    log,
    mul,
    neg,
    reciprocal,
    sin,
    sqrt,
    square,
    sub,
    where,
)  # fmt: skip

# ---- formulas -------------------------------------------------------------------------------------------------------

#: What torch has in its main namespace; all others are in its `special`.
_PUBLIC = ("copysign", "fmod", "heaviside", "logaddexp2", "logit", "sinc", "xlogy")
_SENTENCES = {
    "copysign": "Give input with the sign of other",
    "cosm1": "cos(input) - 1, accurate near 0",
    "entr": "-input * log(input), 0 at 0",
    "exp10": "10 ** input",
    "fmod": "Give what whole multiples of other leave of input, with the sign of input",
    "heaviside": "Give 0 below 0, 1 above, and other at 0",
    "kl_div": "input * log(input / other) - input + other",
    "log_expit": "log(sigmoid(input)) without overflow",
    "logaddexp2": "log2(2 ** input + 2 ** other) without overflow",
    "logit": "log(input / (1 - input)), the inverse of sigmoid",
    "ndtr": "Give the share of the standard normal distribution below input",
    "rel_entr": "input * log(input / other)",
    "sinc": "sin(pi * input) / (pi * input), 1 at 0",
    "xlog1py": "input * log(1 + other), 0 where input is",
    "xlogy": "input * log(other), 0 where input is",
}
for _name, _scalar in special.TABLE.items():
    _expose(_scalar, _SENTENCES[_name], ("input", "other")[: _scalar.arity], False, _name in _PUBLIC)

copysign, fmod, heaviside, logaddexp2, logit, sinc, xlogy = (ENTRIES[_name].function for _name in _PUBLIC)


# ---- what SciPy computes --------------------------------------------------------------------------------------------


class Special(Operation):
    """A function that SciPy computes, or one of its several results."""

    __slots__ = ("name", "output", "place")

    def __init__(self, name: str, place: int | None = None) -> None:
        self.name, self.place = name, place

    def forward(self, *xs: Array) -> Array:
        if devices.on_gpu(xs):
            raise TypeError(f"{self.name}: SciPy computes it, on the CPU: move the operands with x.cpu()")
        found = getattr(_scipy(self.name), self.name)(*xs)
        self.output = as_array(found if self.place is None else found[self.place])
        return self.output

    def vjp(self, gy: Any, y: Any, *xs: Any) -> Any:
        partials = DERIVATIVES[self.name]
        if self.place is not None:
            partials = partials[self.place]
        return tuple([self._times(gy, partials, i, y, xs) if self.needs(i) else None for i in range(len(xs))])

    def _times(self, gy: Any, partials: Any, index: int, y: Any, xs: Any) -> Any:
        if partials[index] is None:
            raise TypeError(
                f"{self.name}: there is no formula for its derivative by argument {index}: give x.detach(), or an array"
            )
        return mul(gy, partials[index](y, *xs))


def _scipy(name: str) -> Any:
    try:
        import scipy.special
    except ImportError:
        raise ImportError(f"{name}: SciPy computes it: pip install scipy") from None
    return scipy.special


def applied(name: str, *xs: Any) -> Any:
    """Apply a function of scipy.special by its name; several results come as a tuple."""
    entry = ENTRIES.get({"psi": "digamma", "gammaln": "lgamma", "expit": "sigmoid"}.get(name, name))
    if entry is not None and entry.elementwise is not None:
        return entry.elementwise(*xs)
    dtypes = [x.dtype for x in xs if not isinstance(x, int | float) and x.dtype.kind == "f"]
    dtype = np.result_type(*dtypes) if dtypes else None  # numbers do not change it
    arrays = [np.asarray(x, dtype) if isinstance(x, int | float) else x for x in xs]
    if isinstance(DERIVATIVES[name][0], tuple):
        return tuple([Special(name, place)(*arrays) for place in range(len(DERIVATIVES[name]))])
    return Special(name)(*arrays)


@once
def function_of(name: str) -> Callable[..., Any] | None:
    """Give the function that stands behind a ufunc of scipy.special, None for those without derivatives."""
    if name not in DERIVATIVES and name not in special.TABLE:
        return None

    def function(*xs: Any) -> Any:
        return applied(name, *xs)

    function.__name__ = name
    return function


class _Namespace:
    """The functions by their names, for the formulas below."""

    def __getattr__(self, name: str) -> Any:
        return lambda *xs: applied(name, *xs)


_f = _Namespace()
_ROOT_PI = math.sqrt(math.pi)


def _zero(y: Any, *xs: Any) -> Any:
    return mul(y, 0.0)


def _halved(difference: Any) -> Any:
    return mul(difference, 0.5)


def _between(name: str, sign: int) -> Any:
    """Give the derivative of a Bessel function by its argument, half of those of the orders around it (10.6.1)."""

    def slope(y: Any, n: Any, x: Any) -> Any:
        below, above = (getattr(_f, name)(sub(n, 1), x), getattr(_f, name)(add(n, 1), x))
        return _halved(sub(below, above) if sign < 0 else add(below, above))

    return slope


def _power_exp(a: Any, x: Any) -> Any:
    """Give x**(a - 1) * exp(-x) / gamma(a), the density of the gamma distribution."""
    return exp(sub(sub(_f.xlogy(sub(a, 1), x), x), _f.gammaln(a)))


def _beta_density(a: Any, b: Any, x: Any) -> Any:
    return exp(sub(add(_f.xlogy(sub(a, 1), x), _f.xlog1py(sub(b, 1), neg(x))), _f.betaln(a, b)))


def _t_density(df: Any, t: Any) -> Any:
    scale = sub(_f.gammaln(mul(add(df, 1), 0.5)), _f.gammaln(mul(df, 0.5)))
    power = mul(mul(add(df, 1), -0.5), log(add(div(square(t), df), 1)))
    return div(exp(add(scale, power)), sqrt(mul(df, math.pi)))


def _f_density(n: Any, d: Any, x: Any) -> Any:
    """Give the density of the F distribution, by that of the beta distribution at n*x / (d + n*x)."""
    whole = add(d, mul(n, x))
    return mul(_beta_density(mul(n, 0.5), mul(d, 0.5), div(mul(n, x), whole)), div(mul(n, d), square(whole)))


def _recurrent(name: str, factor: Callable[..., Any], count: int) -> Any:
    """Give the derivative of a hypergeometric function by its argument (15.5.1, 13.3.15): all parameters one up."""
    return lambda y, *xs: mul(factor(*xs[:count]), getattr(_f, name)(*(add(x, 1) for x in xs[:count]), *xs[count:]))


#: For each function of scipy.special, its derivatives by its arguments, of (value, *arguments); None where there is no
#: formula. Of several results, a tuple of such tuples.
DERIVATIVES: dict[str, Any] = {
    # gamma and beta
    "gamma": (lambda y, x: mul(y, _f.digamma(x)),),
    "rgamma": (lambda y, x: neg(mul(y, _f.digamma(x))),),
    "loggamma": (lambda y, x: _f.digamma(x),),
    "gammasgn": (_zero,),
    "beta": (
        lambda y, a, b: mul(y, sub(_f.digamma(a), _f.digamma(add(a, b)))),
        lambda y, a, b: mul(y, sub(_f.digamma(b), _f.digamma(add(a, b)))),
    ),
    "betaln": (
        lambda y, a, b: sub(_f.digamma(a), _f.digamma(add(a, b))),
        lambda y, a, b: sub(_f.digamma(b), _f.digamma(add(a, b))),
    ),
    "binom": (
        lambda y, n, k: mul(y, sub(_f.digamma(add(n, 1)), _f.digamma(add(sub(n, k), 1)))),
        lambda y, n, k: mul(y, sub(_f.digamma(add(sub(n, k), 1)), _f.digamma(add(k, 1)))),
    ),
    "poch": (
        lambda y, x, m: mul(y, sub(_f.digamma(add(x, m)), _f.digamma(x))),
        lambda y, x, m: mul(y, _f.digamma(add(x, m))),
    ),
    "gammainc": (None, lambda y, a, x: _power_exp(a, x)),
    "gammaincc": (None, lambda y, a, x: neg(_power_exp(a, x))),
    "gammaincinv": (None, lambda y, a, p: reciprocal(_power_exp(a, y))),
    "gammainccinv": (None, lambda y, a, p: neg(reciprocal(_power_exp(a, y)))),
    "betainc": (None, None, lambda y, a, b, x: _beta_density(a, b, x)),
    "betaincc": (None, None, lambda y, a, b, x: neg(_beta_density(a, b, x))),
    "betaincinv": (None, None, lambda y, a, b, p: reciprocal(_beta_density(a, b, y))),
    "betainccinv": (None, None, lambda y, a, b, p: neg(reciprocal(_beta_density(a, b, y)))),
    "zetac": (None,),
    # distributions
    "log_ndtr": (lambda y, x: exp(sub(mul(square(x), -0.5), add(y, 0.5 * math.log(2 * math.pi)))),),
    "ndtri": (lambda y, p: mul(exp(mul(square(y), 0.5)), math.sqrt(2 * math.pi)),),
    "ndtri_exp": (lambda y, x: mul(exp(add(mul(square(y), 0.5), x)), math.sqrt(2 * math.pi)),),
    "chdtr": (None, lambda y, v, x: mul(_power_exp(mul(v, 0.5), mul(x, 0.5)), 0.5)),
    "chdtrc": (None, lambda y, v, x: mul(_power_exp(mul(v, 0.5), mul(x, 0.5)), -0.5)),
    "chdtri": (None, lambda y, v, p: div(-2.0, _power_exp(mul(v, 0.5), mul(y, 0.5)))),
    "gdtr": (
        lambda y, a, b, x: mul(x, _power_exp(b, mul(a, x))),
        None,
        lambda y, a, b, x: mul(a, _power_exp(b, mul(a, x))),
    ),
    "gdtrc": (
        lambda y, a, b, x: neg(mul(x, _power_exp(b, mul(a, x)))),
        None,
        lambda y, a, b, x: neg(mul(a, _power_exp(b, mul(a, x)))),
    ),
    "pdtr": (None, lambda y, k, m: neg(_power_exp(add(k, 1), m))),
    "pdtrc": (None, lambda y, k, m: _power_exp(add(k, 1), m)),
    "stdtr": (None, lambda y, df, t: _t_density(df, t)),
    "stdtrit": (None, lambda y, df, p: reciprocal(_t_density(df, y))),
    "fdtr": (None, None, lambda y, n, d, x: _f_density(n, d, x)),
    "fdtrc": (None, None, lambda y, n, d, x: neg(_f_density(n, d, x))),
    "fdtri": (None, None, lambda y, n, d, p: reciprocal(_f_density(n, d, y))),
    "bdtr": (None, None, lambda y, k, n, p: neg(_beta_density(add(k, 1), sub(n, k), p))),
    "bdtrc": (None, None, lambda y, k, n, p: _beta_density(add(k, 1), sub(n, k), p)),
    "nbdtr": (None, None, lambda y, k, n, p: _beta_density(n, add(k, 1), p)),
    "nbdtrc": (None, None, lambda y, k, n, p: neg(_beta_density(n, add(k, 1), p))),
    "owens_t": (
        lambda y, h, a: mul(
            mul(exp(mul(square(h), -0.5)), sub(mul(_f.ndtr(mul(h, a)), 2.0), 1)), -0.5 / math.sqrt(2 * math.pi)
        ),
        lambda y, h, a: div(
            exp(mul(mul(square(h), add(square(a), 1)), -0.5)), mul(add(square(a), 1), 2 * math.pi)
        ),
    ),
    "boxcox": (
        lambda y, x, p: exp(_f.xlogy(sub(p, 1), x)),
        lambda y, x, p: mul(mul(square(log(x)), 0.5), _f.hyp1f1(2.0, 3.0, mul(p, log(x)))),
    ),
    "boxcox1p": (
        lambda y, x, p: exp(_f.xlog1py(sub(p, 1), x)),
        lambda y, x, p: mul(mul(square(_f.log1p(x)), 0.5), _f.hyp1f1(2.0, 3.0, mul(p, _f.log1p(x)))),
    ),
    "inv_boxcox": (lambda y, x, p: exp(mul(log(y), sub(1, p))), None),
    "inv_boxcox1p": (lambda y, x, p: exp(mul(_f.log1p(y), sub(1, p))), None),
    "huber": (
        lambda y, d, x: where(_is_within(x, d), 0.0, sub(abs(x), d)),
        lambda y, d, x: where(_is_within(x, d), x, mul(d, _f.sign(x))),
    ),
    "pseudo_huber": (
        lambda y, d, x: sub(div(mul(y, 2.0), d), div(square(div(x, d)), mul(reciprocal(d), _root_one(x, d)))),
        lambda y, d, x: div(x, _root_one(x, d)),
    ),
    # error functions and integrals of exponentials
    "erfcx": (lambda y, x: sub(mul(mul(x, y), 2.0), 2 / _ROOT_PI),),
    "erfi": (lambda y, x: mul(exp(square(x)), 2 / _ROOT_PI),),
    "erfcinv": (lambda y, x: mul(exp(square(y)), -_ROOT_PI / 2),),
    "dawsn": (lambda y, x: sub(1, mul(mul(x, y), 2.0)),),
    "exp1": (lambda y, x: neg(div(exp(neg(x)), x)),),
    "expi": (lambda y, x: div(exp(x), x),),
    "expn": (None, lambda y, n, x: neg(_f.expn(sub(n, 1), x))),
    "exprel": (lambda y, x: mul(_f.hyp1f1(2.0, 3.0, x), 0.5),),
    "powm1": (
        lambda y, x, p: mul(p, exp(_f.xlogy(sub(p, 1), x))),
        lambda y, x, p: mul(add(y, 1), log(x)),
    ),
    "spence": (lambda y, x: neg(_f.hyp2f1(1.0, 1.0, 2.0, sub(1, x))),),
    "wrightomega": (lambda y, x: div(y, add(y, 1)),),
    "sici": ((lambda y, x: _f.sinc(div(x, math.pi)),), (lambda y, x: div(cos(x), x),)),
    "shichi": ((lambda y, x: _f.hyp0f1(1.5, mul(square(x), 0.25)),), (lambda y, x: div(cosh(x), x),)),
    "fresnel": (
        (lambda y, x: sin(mul(square(x), math.pi / 2)),),
        (lambda y, x: cos(mul(square(x), math.pi / 2)),),
    ),
    # Bessel and Airy functions (10.6, 10.29, 9.2)
    "j0": (lambda y, x: neg(_f.j1(x)),),
    "j1": (lambda y, x: _halved(sub(_f.j0(x), _f.jv(2.0, x))),),
    "y0": (lambda y, x: neg(_f.y1(x)),),
    "y1": (lambda y, x: _halved(sub(_f.y0(x), _f.yv(2.0, x))),),
    "i0": (lambda y, x: _f.i1(x),),
    "i1": (lambda y, x: _halved(add(_f.i0(x), _f.iv(2.0, x))),),
    "k0": (lambda y, x: neg(_f.k1(x)),),
    "k1": (lambda y, x: neg(_halved(add(_f.k0(x), _f.kv(2.0, x)))),),
    "i0e": (lambda y, x: sub(_f.i1e(x), mul(_f.sign(x), y)),),
    "i1e": (lambda y, x: sub(_halved(add(_f.i0e(x), _f.ive(2.0, x))), mul(_f.sign(x), y)),),
    "k0e": (lambda y, x: sub(y, _f.k1e(x)),),
    "k1e": (lambda y, x: sub(y, _halved(add(_f.k0e(x), _f.kve(2.0, x)))),),
    "jv": (None, _between("jv", -1)),
    "jn": (None, _between("jv", -1)),
    "yv": (None, _between("yv", -1)),
    "yn": (None, _between("yv", -1)),
    "iv": (None, _between("iv", 1)),
    "kv": (None, lambda y, n, x: neg(_between("kv", 1)(y, n, x))),
    "kn": (None, lambda y, n, x: neg(_between("kv", 1)(y, n, x))),
    "jve": (None, _between("jve", -1)),
    "yve": (None, _between("yve", -1)),
    "ive": (None, lambda y, n, x: sub(_between("ive", 1)(y, n, x), mul(_f.sign(x), y))),
    "kve": (None, lambda y, n, x: sub(y, _between("kve", 1)(y, n, x))),
    "struve": (
        None,
        lambda y, n, x: sub(_f.struve(sub(n, 1), x), div(mul(n, y), x)),
    ),
    "modstruve": (
        None,
        lambda y, n, x: sub(_f.modstruve(sub(n, 1), x), div(mul(n, y), x)),
    ),
    "airy": (
        (lambda y, x: _f.airy(x)[1],),
        (lambda y, x: mul(x, _f.airy(x)[0]),),
        (lambda y, x: _f.airy(x)[3],),
        (lambda y, x: mul(x, _f.airy(x)[2]),),
    ),
    "itj0y0": ((lambda y, x: _f.j0(x),), (lambda y, x: _f.y0(x),)),
    "iti0k0": ((lambda y, x: _f.i0(x),), (lambda y, x: _f.k0(x),)),
    "itstruve0": (lambda y, x: _f.struve(0.0, x),),
    "itmodstruve0": (lambda y, x: _f.modstruve(0.0, x),),
    "ber": (lambda y, x: _f.berp(x),),
    "bei": (lambda y, x: _f.beip(x),),
    "ker": (lambda y, x: _f.kerp(x),),
    "kei": (lambda y, x: _f.keip(x),),
    # their differential equations, x f'' + f' = x times the other (10.61)
    "berp": (lambda y, x: neg(add(_f.bei(x), div(y, x))),),
    "beip": (lambda y, x: sub(_f.ber(x), div(y, x)),),
    "kerp": (lambda y, x: neg(add(_f.kei(x), div(y, x))),),
    "keip": (lambda y, x: sub(_f.ker(x), div(y, x)),),
    # elliptic integrals and functions (19.4, 22.13)
    "ellipk": (lambda y, m: mul(_f.hyp2f1(1.5, 1.5, 2.0, m), math.pi / 8),),
    "ellipkm1": (lambda y, p: mul(_f.hyp2f1(1.5, 1.5, 2.0, sub(1, p)), -math.pi / 8),),
    "ellipe": (lambda y, m: mul(_f.hyp2f1(0.5, 1.5, 2.0, m), -math.pi / 8),),
    "ellipkinc": (
        lambda y, phi, m: reciprocal(sqrt(sub(1, mul(m, square(sin(phi)))))),
        lambda y, phi, m: sub(
            div(sub(_f.ellipeinc(phi, m), mul(sub(1, m), y)), mul(mul(m, sub(1, m)), 2.0)),
            div(
                mul(sin(phi), cos(phi)),
                mul(mul(sub(1, m), 2.0), sqrt(sub(1, mul(m, square(sin(phi)))))),
            ),
        ),
    ),
    "ellipeinc": (
        lambda y, phi, m: sqrt(sub(1, mul(m, square(sin(phi))))),
        lambda y, phi, m: div(sub(y, _f.ellipkinc(phi, m)), mul(m, 2.0)),
    ),
    "ellipj": (
        (lambda y, u, m: mul(_f.ellipj(u, m)[1], _f.ellipj(u, m)[2]), None),
        (lambda y, u, m: neg(mul(_f.ellipj(u, m)[0], _f.ellipj(u, m)[2])), None),
        (lambda y, u, m: neg(mul(m, mul(_f.ellipj(u, m)[0], _f.ellipj(u, m)[1]))), None),
        (lambda y, u, m: _f.ellipj(u, m)[2], None),
    ),
    # hypergeometric functions
    "hyp0f1": (None, _recurrent("hyp0f1", lambda b: reciprocal(b), 1)),
    "hyp1f1": (None, None, _recurrent("hyp1f1", lambda a, b: div(a, b), 2)),
    "hyp2f1": (None, None, None, _recurrent("hyp2f1", lambda a, b, c: div(mul(a, b), c), 3)),
    "hyperu": (None, None, _recurrent("hyperu", lambda a, b: neg(a), 2)),
    # orthogonal polynomials (18.9)
    "eval_chebyt": (None, lambda y, n, x: mul(n, _f.eval_chebyu(sub(n, 1), x))),
    "eval_chebyu": (None, lambda y, n, x: mul(_f.eval_gegenbauer(sub(n, 1), 2.0, x), 2.0)),
    "eval_gegenbauer": (
        None, None, lambda y, n, a, x: mul(mul(a, 2.0), _f.eval_gegenbauer(sub(n, 1), add(a, 1), x)),
    ),
    "eval_legendre": (None, lambda y, n, x: _f.eval_gegenbauer(sub(n, 1), 1.5, x)),
    "eval_jacobi": (
        None, None, None,
        lambda y, n, a, b, x: mul(
            mul(add(add(n, a), add(b, 1)), 0.5), _f.eval_jacobi(sub(n, 1), add(a, 1), add(b, 1), x)
        ),
    ),
    "eval_laguerre": (None, lambda y, n, x: neg(_f.eval_genlaguerre(sub(n, 1), 1.0, x))),
    "eval_genlaguerre": (None, None, lambda y, n, a, x: neg(_f.eval_genlaguerre(sub(n, 1), add(a, 1), x))),
    # those of whole degrees only
    "eval_hermite": (None, lambda y, n, x: mul(mul(n, 2.0), _f.eval_hermite(_one_less(n), x))),
    "eval_hermitenorm": (None, lambda y, n, x: mul(n, _f.eval_hermitenorm(_one_less(n), x))),
    # angles in degrees
    "sindg": (lambda y, x: mul(_f.cosdg(x), math.pi / 180),),
    "cosdg": (lambda y, x: mul(_f.sindg(x), -math.pi / 180),),
    "tandg": (lambda y, x: mul(add(square(y), 1), math.pi / 180),),
    "cotdg": (lambda y, x: mul(add(square(y), 1), -math.pi / 180),),
    "radian": (
        lambda y, d, m, s: add(mul(y, 0.0), math.pi / 180),
        lambda y, d, m, s: add(mul(y, 0.0), math.pi / 180 / 60),
        lambda y, d, m, s: add(mul(y, 0.0), math.pi / 180 / 3600),
    ),
}  # fmt: skip


def _is_within(x: Any, d: Any) -> Any:
    return as_array(data_of(le(abs(x), d)))


def _root_one(x: Any, d: Any) -> Any:
    return sqrt(add(square(div(x, d)), 1))


def _one_less(n: Any) -> Any:
    """Give a degree less one, 0 for 0, whose factor makes nothing of it; whole degrees stay whole."""
    return np.maximum(data_of(n) - 1, 0)
