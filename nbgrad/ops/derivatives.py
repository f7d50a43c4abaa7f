"""The derivatives of what SciPy computes, in functions that SciPy computes as well, so that they hold to any order.

The formulas are those of DLMF, whose numbers stand beside them. By some arguments nobody knows a derivative in such
terms: to ask for one is an error.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ..arrays import as_array
from ..variable import data_of
from .by_scipy import functions as _f
from .by_scipy import scipy_special
from .elementwise import (
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
from .shares import SHARES

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


def _recurrent(name: str, factor: Callable[..., Any], count: int) -> Any:
    """Give the derivative of a hypergeometric function by its argument (15.5.1, 13.3.15): all parameters one up."""
    return lambda y, *xs: mul(factor(*xs[:count]), getattr(_f, name)(*(add(x, 1) for x in xs[:count]), *xs[count:]))


def _of_equation(name: str, count: int, second: Callable[..., Any]) -> Any:
    """Give the derivatives, by the last of some arguments, of a function and its slope that solve an equation."""
    unknown = (None,) * (count - 1)
    slope, units = getattr(_f, name), math.pi / 180 if name in ("mathieu_cem", "mathieu_sem") else 1.0
    return (
        (*unknown, lambda y, *xs: mul(slope(*xs)[1], units)),
        (*unknown, lambda y, *xs: mul(second(*slope(*xs), *xs), units)),
    )


_MATHIEU = [f"mathieu_{name}" for name in ("cem", "sem", "modcem1", "modcem2", "modsem1", "modsem2")]


def _mathieu(name: str) -> Any:
    """Give y'' = -(a - 2 q cos(2 x)) y, or that of an imaginary x, from y, y', m, q and x."""

    def second(y: Any, slope: Any, m: Any, q: Any, x: Any) -> Any:
        value = (scipy_special(name).mathieu_a if "ce" in name else scipy_special(name).mathieu_b)(
            data_of(m), data_of(q)
        )
        if name in ("mathieu_cem", "mathieu_sem"):
            return mul(sub(mul(mul(q, 2.0), cos(mul(x, math.pi / 90))), value), y)
        return mul(sub(value, mul(mul(q, 2.0), cosh(mul(x, 2.0)))), y)

    return second


def _spheroidal(kind: str, form: str) -> Any:
    """Give w'' from w, w', m, n, c and x; c is imaginary of oblate functions, and x as well of the radial ones."""
    radial = kind == "obl" and form.startswith("rad")
    sign = -1.0 if kind == "obl" and not radial else 1.0

    def second(w: Any, slope: Any, m: Any, n: Any, c: Any, x: Any) -> Any:
        value = getattr(scipy_special(kind), f"{kind}_cv")(data_of(m), data_of(n), data_of(c))
        around = add(square(x), 1) if radial else sub(1, square(x))
        factor = sub(sub(value, mul(mul(square(c), square(x)), sign)), div(square(m), around))
        left = sub(mul(mul(x, 2.0), slope), mul(factor, w))
        return div(neg(left) if radial else left, around)

    return second


#: For each function of scipy.special, its derivatives by its arguments, of (value, *arguments); None where there is no
#: formula. Of several results, a tuple of such tuples.
DERIVATIVES: dict[str, Any] = SHARES | {
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
    "zetac": (None,),
    "zeta": (None, lambda y, s, x: neg(mul(s, _f.zeta(add(s, 1), x)))),
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
    "airye": (
        (lambda y, x: add(_f.airye(x)[1], mul(sqrt(x), y)),),
        (lambda y, x: add(mul(x, _f.airye(x)[0]), mul(sqrt(x), y)),),
        (lambda y, x: sub(_f.airye(x)[3], mul(sqrt(x), y)),),
        (lambda y, x: sub(mul(x, _f.airye(x)[2]), mul(sqrt(x), y)),),
    ),
    # parabolic cylinder functions and their derivatives (12.2), Wright's function
    **{
        name: (
            (None, lambda y, v, x, name=name: getattr(_f, name)(v, x)[1]),
            (
                None,
                lambda y, v, x, name=name: mul(
                    sub(mul(square(x), 0.25), add(v, 0.5)), getattr(_f, name)(v, x)[0]
                ),
            ),
        )
        for name in ("pbdv", "pbvv")
    },
    "pbwa": (
        (None, lambda y, a, x: _f.pbwa(a, x)[1]),
        (None, lambda y, a, x: mul(sub(a, mul(square(x), 0.25)), _f.pbwa(a, x)[0])),
    ),
    "wright_bessel": (None, None, lambda y, a, b, x: _f.wright_bessel(a, add(a, b), x)),
    "log_wright_bessel": (None, None, lambda y, a, b, x: exp(sub(_f.log_wright_bessel(a, add(a, b), x), y))),
    # elliptic integrals and functions (19.4, 19.18, 22.13)
    "agm": (lambda y, a, b: _agm_slope(y, a, b), lambda y, a, b: _agm_slope(y, b, a)),
    "elliprf": (
        lambda y, a, b, c: div(_f.elliprd(b, c, a), -6.0),
        lambda y, a, b, c: div(_f.elliprd(a, c, b), -6.0),
        lambda y, a, b, c: div(_f.elliprd(a, b, c), -6.0),
    ),
    "elliprc": (
        lambda y, a, b: div(_f.elliprd(b, b, a), -6.0),
        lambda y, a, b: div(_f.elliprd(a, b, b), -3.0),
    ),
    "elliprd": (None, None, None),
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
    "itairy": (
        (lambda y, x: _f.airy(x)[0],),
        (lambda y, x: _f.airy(x)[2],),
        (lambda y, x: _f.airy(neg(x))[0],),
        (lambda y, x: _f.airy(neg(x))[2],),
    ),
    "it2i0k0": ((lambda y, x: div(sub(_f.i0(x), 1), x),), (lambda y, x: neg(div(_f.k0(x), x)),)),
    "it2j0y0": ((lambda y, x: div(sub(1, _f.j0(x)), x),), (lambda y, x: neg(div(_f.y0(x), x)),)),
    "it2struve0": (lambda y, x: neg(div(_f.struve(0.0, x), x)),),
    # Mathieu functions (28.2, 28.20), the periodic ones of angles in degrees; spheroidal ones (30.2)
    **{name: _of_equation(name, 3, _mathieu(name)) for name in _MATHIEU},
    **{
        f"{kind}_{form}": _of_equation(f"{kind}_{form}", 4, _spheroidal(kind, form))
        for kind in ("pro", "obl")
        for form in ("ang1", "rad1", "rad2")
    },
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
    "eval_chebyc": (None, lambda y, n, x: mul(n, _f.eval_chebys(sub(n, 1), x))),
    "eval_chebys": (None, lambda y, n, x: _f.eval_gegenbauer(sub(n, 1), 2.0, mul(x, 0.5))),
    "eval_sh_chebyt": (None, lambda y, n, x: mul(mul(n, 2.0), _f.eval_chebyu(sub(n, 1), _shifted(x)))),
    "eval_sh_chebyu": (None, lambda y, n, x: mul(_f.eval_gegenbauer(sub(n, 1), 2.0, _shifted(x)), 4.0)),
    "eval_sh_legendre": (None, lambda y, n, x: mul(_f.eval_gegenbauer(sub(n, 1), 1.5, _shifted(x)), 2.0)),
    "eval_sh_jacobi": (
        None, None, None,
        lambda y, n, p, q, x: div(
            mul(add(n, p), _f.eval_jacobi(sub(n, 1), add(sub(p, q), 1), q, _shifted(x))),
            _f.binom(sub(add(mul(n, 2.0), p), 1), n),
        ),
    ),
    "lpmv": (
        None, None,
        lambda y, m, v, x: div(
            sub(mul(mul(v, x), y), mul(add(v, m), _f.lpmv(m, sub(v, 1), x))), sub(square(x), 1)
        ),
    ),
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


def _shifted(x: Any) -> Any:
    return sub(mul(x, 2.0), 1)


def _agm_slope(y: Any, a: Any, b: Any) -> Any:
    """Give the derivative of the arithmetic-geometric mean pi/4 (a + b) / K(((a - b) / (a + b))**2) by a (19.8.5)."""
    total = add(a, b)
    share = div(sub(a, b), total)
    m = square(share)
    slope = div(mul(_f.hyp2f1(1.5, 1.5, 2.0, m), math.pi / 8), _f.ellipk(m))
    return sub(div(y, total), mul(mul(y, slope), div(mul(mul(share, 4.0), b), square(total))))


def _one_less(n: Any) -> Any:
    """Give a degree less one, 0 for 0, whose factor makes nothing of it; whole degrees stay whole."""
    return np.maximum(data_of(n) - 1, 0)
