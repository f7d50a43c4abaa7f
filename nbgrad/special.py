"""Special functions, by the names that PyTorch has in `torch.special`.

Those that are not compiled here are SciPy's, with `pip install scipy`; their gradients are formulas of the same
functions. Of orders and degrees there is none.

>>> import nbgrad
>>> x = nbgrad.tensor([0.5, 2.0], requires_grad=True)
>>> nbgrad.special.i0(x).sum().backward()  # of which the derivative is i1
>>> x.grad
Variable([0.25789431, 1.59063685])
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any

import numpy as np

from .ops.elementwise import add, digamma, erf, erfc, erfinv, exp2, expm1, lgamma, log1p, mul, polygamma, sigmoid, sub
from .ops.reduction import log_softmax, logsumexp, softmax
from .ops.shape import astype
from .ops.special import applied, applying, gammainc, gammaincc, i0, logit, multigammaln, sinc, xlogy
from .ops.steps import plain, round
from .variable import Variable, data_of

__all__ = [
    "digamma", "erf", "erfc", "erfinv", "exp2", "expit", "expm1", "gammainc", "gammaincc", "gammaln", "i0", "log1p",
    "log_softmax", "logit", "logsumexp", "multigammaln", "polygamma", "psi", "round", "sinc", "softmax", "xlogy",
]  # fmt: skip

_FLOAT64 = np.dtype(np.float64)

expit, gammaln, psi = sigmoid, lgamma, digamma


def _floating(*xs: Any) -> list[Any]:
    """Give operands in a floating dtype, float64 for whole numbers; Python numbers as they are."""
    arrays = [x if isinstance(x, int | float) else plain(x) for x in xs]
    for x in arrays:
        if not isinstance(x, int | float) and x.dtype.kind not in "fiub":
            raise TypeError(f"special: an operand of dtype {x.dtype}: takes numbers, and Variables and arrays of them")
    return [x if isinstance(x, int | float) or x.dtype.kind == "f" else astype(x, np.float64) for x in arrays]


def _given(name: str, function: Callable[..., Any], sentence: str, arity: int = 1, behind: str = "") -> Any:
    """Give a function of one operand or two its name and a sentence; results have the dtype of its operands.

    Behind it is a function of SciPy's, whose name that is.
    """
    quick = function
    if behind:

        def quick(*xs: Any) -> Any:
            nonlocal quick
            quick = applying(behind)
            return quick(*xs)

    def computed(*xs: Any) -> Any:
        operands = _floating(*xs)
        dtypes = [x.dtype for x in operands if not isinstance(x, int | float)]
        found = function(*operands)
        dtype = np.result_type(*dtypes) if dtypes else found.dtype
        return found if found.dtype == dtype else astype(found, dtype)

    def one(input: Any) -> Any:
        if type(input) is Variable and input._array.dtype.char in "fd":  # which the result has as well
            return quick(input)
        return computed(input)

    def two(input: Any, other: Any) -> Any:
        if type(input) is Variable is type(other) and input._array.dtype is other._array.dtype is _FLOAT64:
            return quick(input, other)
        return computed(input, other)

    made = one if arity == 1 else two if arity == 2 else computed
    made.__name__ = made.__qualname__ = name
    made.__module__, made.__doc__ = __name__, f"{sentence}, elementwise{', with broadcasting' * (arity > 1)}."
    __all__.append(name)
    return made


def _own(name: str, sentence: str, arity: int = 1) -> Any:
    return _given(name, partial(applied, name), sentence, arity, name)


entr = _own("entr", "-input * log(input), 0 at 0")
erfcx = _own("erfcx", "exp(input**2) * erfc(input)")
i0e = _own("i0e", "exp(-abs(input)) * i0(input)")
i1 = _own("i1", "The modified Bessel function of order 1")
i1e = _own("i1e", "exp(-abs(input)) * i1(input)")
ndtr = _own("ndtr", "The share of the standard normal distribution below input")
ndtri = _own("ndtri", "The inverse of `ndtr`")
log_ndtr = _own("log_ndtr", "The logarithm of `ndtr`, accurate where that is small")
xlog1py = _own("xlog1py", "input * log(1 + other), 0 where input is", 2)
beta = _own("beta", "gamma(input) * gamma(other) / gamma(input + other)", 2)
betaln = _own("betaln", "The logarithm of the size of `beta`", 2)
betainc = _own("betainc", "The share of the beta distribution of the first two operands that is below the third", 3)
zeta = _own("zeta", "Hurwitz's zeta function, the sum of 1 / (k + other)**input over k = 0, 1, ...", 2)

# ---- Bessel and Airy functions --------------------------------------------------------------------------------------

airy_ai = _given("airy_ai", lambda x: applied("airy", x, place=0), "Airy's function Ai")
for _name, _behind, _sentence in (
    ("bessel_j0", "j0", "The Bessel function of the first kind, of order 0"),
    ("bessel_j1", "j1", "The Bessel function of the first kind, of order 1"),
    ("bessel_y0", "y0", "The Bessel function of the second kind, of order 0"),
    ("bessel_y1", "y1", "The Bessel function of the second kind, of order 1"),
    ("modified_bessel_i0", "i0", "The modified Bessel function of the first kind, of order 0"),
    ("modified_bessel_i1", "i1", "The modified Bessel function of the first kind, of order 1"),
    ("modified_bessel_k0", "k0", "The modified Bessel function of the second kind, of order 0"),
    ("modified_bessel_k1", "k1", "The modified Bessel function of the second kind, of order 1"),
    ("scaled_modified_bessel_k0", "k0e", "exp(input) * modified_bessel_k0(input)"),
    ("scaled_modified_bessel_k1", "k1e", "exp(input) * modified_bessel_k1(input)"),
):
    globals()[_name] = _given(_name, partial(applied, _behind), _sentence, 1, _behind)
j0, j1, y0, y1 = (globals()[f"bessel_{_name}"] for _name in ("j0", "j1", "y0", "y1"))
__all__ += ["j0", "j1", "y0", "y1"]
spherical_bessel_j0 = _given(
    "spherical_bessel_j0", lambda x: sinc(mul(x, 1 / math.pi)), "The spherical Bessel function sin(input) / input"
)

# ---- orthogonal polynomials, of whole degrees -----------------------------------------------------------------------


def _polynomial(name: str, function: Callable[[Any, Any], Any], sentence: str) -> Any:
    def value(input: Any, n: Any) -> Any:
        if type(n) is int and n >= 0 and type(input) is Variable and input._array.dtype.char in "fd":
            return function(_degree(n), input)
        (x,) = _floating(input if isinstance(input, Variable) else np.asarray(data_of(input)))
        degree = np.asarray(data_of(n)).astype(np.int64)
        found = mul(function(np.maximum(degree, 0), x), (degree >= 0).astype(x.dtype))
        dtype = x.dtype if not isinstance(input, int | float) else getattr(n, "dtype", x.dtype)
        dtype = dtype if dtype.kind == "f" else x.dtype
        found = found if found.dtype == dtype else astype(found, dtype)
        return found if isinstance(found, Variable) or not isinstance(n, Variable) else Variable(found, None, False)

    value.__name__ = value.__qualname__ = name
    value.__module__ = __name__
    value.__doc__ = f"{sentence}, at input, of whole degree n, 0 for n < 0; elementwise, with broadcasting."
    __all__.append(name)
    return value


@lru_cache(64)
def _degree(n: int) -> Variable:
    """Give a degree as what is nobody's to write to."""
    array = np.asarray(n, np.int64)
    array.flags.writeable = False
    return Variable(array, requires_grad=False)


def _third(sign: int) -> Callable[[Any, Any], Any]:
    """Give Chebyshev's polynomials V (DLMF 18.7.17) or W (18.7.18), the difference or the sum of two of U."""

    def value(n: Any, x: Any) -> Any:
        if type(n) is Variable:  # one for all
            degree, here = int(n.item()), applied("eval_chebyu", n, x)
            if not degree:
                return here
            return (add if sign > 0 else sub)(here, applied("eval_chebyu", _degree(degree - 1), x))
        before = mul(applied("eval_chebyu", np.maximum(n - 1, 0), x), (n > 0).astype(x.dtype))
        return (add if sign > 0 else sub)(applied("eval_chebyu", n, x), before)

    return value


def _shifted(function: Callable[[Any, Any], Any], n: Any, x: Any) -> Any:
    return function(n, sub(mul(x, 2.0), 1.0))


_CHEBYSHEV: dict[str, Callable[[Any, Any], Any]] = {
    "t": partial(applied, "eval_chebyt"),
    "u": partial(applied, "eval_chebyu"),
    "v": _third(-1),
    "w": _third(1),
}
for _kind, _function in _CHEBYSHEV.items():
    _name = f"chebyshev_polynomial_{_kind}"
    _sentence = f"Chebyshev's polynomial {_kind.upper()}"
    globals()[_name] = _polynomial(_name, _function, _sentence)
    globals()[f"shifted_{_name}"] = _polynomial(
        f"shifted_{_name}", partial(_shifted, _function), f"{_sentence} of 2 * input - 1"
    )
for _name, _behind, _sentence in (
    ("hermite_polynomial_h", "eval_hermite", "Hermite's polynomial H, the physicists' one"),
    ("hermite_polynomial_he", "eval_hermitenorm", "Hermite's polynomial He, the probabilists' one"),
    ("laguerre_polynomial_l", "eval_laguerre", "Laguerre's polynomial"),
    ("legendre_polynomial_p", "eval_legendre", "Legendre's polynomial"),
):
    globals()[_name] = _polynomial(_name, partial(applied, _behind), _sentence)
