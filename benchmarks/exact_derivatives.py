"""The derivatives of the elementwise operations: their exact values, where terms cancel, and where to look.

Errors are counted as in `benchmarks.exact`, whose samples these are where it has the operation.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from . import exact
from .exact import FUNCTIONS, Array

#: Numbers of 400 bits: 1 less a square, and the like, are written without much thought.
EXACT = exact.EXACT.clone()
EXACT.prec = 400

#: By which inputs an operation is differentiated, in their order: ``(0, 0)`` twice by the first.
Index = tuple[int, ...]
Exact = Callable[..., Any]


@dataclass(frozen=True)
class Derivatives:
    """The derivatives of one operation."""

    #: The exact values, of numbers of mpmath.
    exact: dict[Index, Exact]
    #: Where terms cancel in what is computed, the magnitude of the larger, and why it is not computed in another way.
    terms: dict[Index, Exact] = field(default_factory=dict)
    reason: str = ""
    #: The operation on Variables; by default the one of this name.
    function: Callable[..., Any] | None = None
    #: Draws inputs of a dtype, `count` of each kind; by default those of `benchmarks.exact`.
    draw: Callable[[str, int, np.random.Generator], list[Array]] | None = None
    #: Whether derivatives are made of the value, and as good as that is where it is subnormal.
    of_value: bool = False
    #: Exact values that take long are computed at fewer points.
    slow: bool = False


# ---- exact values ---------------------------------------------------------------------------------------------------


def _orders(*values: Exact) -> dict[Index, Exact]:
    """Name derivatives by one input, in ascending order."""
    return {(0,) * order: value for order, value in enumerate(values, 1)}


def _pairs(a: Exact, b: Exact, aa: Exact, ab: Exact, bb: Exact) -> dict[Index, Exact]:
    return {(0,): a, (1,): b, (0, 0): aa, (0, 1): ab, (1, 1): bb}


def _power(exponent: float) -> dict[Index, Exact]:
    """Give the derivatives of x**exponent."""

    def value(order: int, x: Any) -> Any:
        factor = math.prod([exponent - i for i in range(order)])
        return factor * EXACT.power(x, exponent - order) if factor else EXACT.mpf(0)

    return _orders(*(partial(value, order) for order in (1, 2, 3)))


def _scaled(by: Callable[[], Any], values: dict[Index, Exact]) -> dict[Index, Exact]:
    return {index: lambda *xs, value=value: by() * value(*xs) for index, value in values.items()}


def _root_of(sign: int, numerators: Sequence[Exact], power: float) -> dict[Index, Exact]:
    """Give derivatives that are polynomials over powers of 1 - x*x, x*x + 1, or x*x - 1 (for sign 0)."""

    def value(order: int, x: Any) -> Any:
        q = (1 - x) * (1 + x) if sign < 0 else (1 + x * x if sign else (x - 1) * (x + 1))
        return numerators[order](x) / EXACT.power(q, power + order)

    return _orders(*(partial(value, order) for order in range(3)))


def _half(x: Any) -> Any:
    return EXACT.tanh(x / 2)


def _share(d: Any) -> Any:
    return 1 / (1 + EXACT.exp(-d)) if d > -100_000 else EXACT.mpf(0)


def _overlap(d: Any) -> Any:
    e = EXACT.exp(-min(abs(d), 100_000))
    return e / (1 + e) ** 2


def _gaussian(x: Any) -> Any:
    return 2 / EXACT.sqrt(EXACT.pi) * EXACT.exp(-(min(abs(x), 1000) ** 2))


def _sech2(x: Any) -> Any:
    return 1 / EXACT.cosh(min(abs(x), 100_000)) ** 2


def _sec2(x: Any) -> Any:
    return 1 / EXACT.cos(x) ** 2


def _quantile(x: Any) -> tuple[Any, Any]:
    """Give y = erfinv(x), to 160 bits, and its derivative."""
    y = EXACT.mpf(FUNCTIONS["erfinv"].exact(exact.EXACT.mpf(x))) if x else EXACT.mpf(0)
    return y, EXACT.sqrt(EXACT.pi) / 2 * EXACT.exp(y * y)


def _psi(order: int, x: Any) -> Any:
    return exact.EXACT.psi(order, exact.EXACT.mpf(x))


def _log(a: Any) -> Any:
    return EXACT.log(a)


# ---- samples --------------------------------------------------------------------------------------------------------


def _anything(dtype: str, count: int, random: np.random.Generator) -> list[Array]:
    return [np.concatenate([exact.all_exponents(dtype, count, random), random.uniform(-10, 10, count).astype(dtype)])]


def _positive(dtype: str, count: int, random: np.random.Generator) -> list[Array]:
    return [np.abs(x) for x in _anything(dtype, count, random)]


def _two(dtype: str, count: int, random: np.random.Generator) -> list[Array]:
    return [_anything(dtype, count, random)[0] for _ in range(2)]


def _logits(dtype: str, count: int, random: np.random.Generator) -> list[Array]:
    x = random.uniform(-100, 100, (4, count))
    x[2:] /= 10
    t = random.uniform(0, 1, (4, count))
    t[::2] = random.integers(0, 2, (2, count))
    return [x.ravel().astype(dtype), t.ravel().astype(dtype)]


def samples(name: str, dtype: str, count: int, seed: int = 0) -> list[Array]:
    """Draw inputs inside the domain: `count` in every way that may find large errors."""
    derivatives = DERIVATIVES[name]
    if derivatives.slow:
        count = max(count // 20, 1)
    if derivatives.draw is None:
        inputs = exact.samples(name, dtype, count, seed)
        if name == "pow":
            inputs = [np.abs(inputs[0]), inputs[1]]
    else:
        inputs = derivatives.draw(dtype, count, np.random.default_rng(seed))
    keep = np.logical_and.reduce([x != 0 for x in inputs]) if len(inputs) == 2 and name != "bce_with_logits" else True
    if len(inputs) == 1:
        x = inputs[0]
        low, high = FUNCTIONS[name].domain if name in FUNCTIONS else (-math.inf, math.inf)
        keep = (x != 0) & (x != low) & (x != high)
    return [x[keep] for x in inputs] if keep is not True else inputs


# ---- the table ------------------------------------------------------------------------------------------------------

_FROM_VALUE = "a function of the value alone, which is 1 to half an ulp where it saturates (as in torch and JAX)"
_ZERO = "the derivative has zeros, which lie between numbers"

_SINE = (EXACT.sin, EXACT.cos, lambda x: -EXACT.sin(x), lambda x: -EXACT.cos(x), EXACT.sin)
_TANH = _orders(
    _sech2,
    lambda x: -2 * EXACT.tanh(x) * _sech2(x),
    lambda x: _sech2(x) * (4 * EXACT.tanh(x) ** 2 - 2 * _sech2(x)),
)
_SIGMOID = _orders(_overlap, lambda x: -_overlap(x) * _half(x), lambda x: _overlap(x) * (3 * _half(x) ** 2 - 1) / 2)
_SOFTPLUS = _orders(_share, _overlap, lambda x: -_overlap(x) * _half(x))
_ERF = _orders(_gaussian, lambda x: -2 * x * _gaussian(x), lambda x: (4 * x * x - 2) * _gaussian(x))
_ERFINV = _orders(
    lambda x: _quantile(x)[1],
    lambda x: 2 * _quantile(x)[0] * _quantile(x)[1] ** 2,
    lambda x: (2 + 8 * _quantile(x)[0] ** 2) * _quantile(x)[1] ** 3,
)
_ASIN = _root_of(-1, [lambda x: 1, lambda x: x, lambda x: 1 + 2 * x * x], 0.5)
_LOGARITHM = _power(-1)
_LOG = {(0,): lambda x: 1 / x} | {(0,) * (n + 1): _LOGARITHM[(0,) * n] for n in (1, 2)}
_LOG1P = {index: lambda x, value=value: value(1 + x) for index, value in _LOG.items()}


def _constant(value: int) -> Exact:
    return lambda *xs: EXACT.mpf(value)


def _square_sum(a: Any, b: Any) -> Any:
    return a * a + b * b


#: All of them but those that only select and those that are the same everywhere, in the order of the tables.
DERIVATIVES: dict[str, Derivatives] = {
    "exp": Derivatives(_orders(EXACT.exp, EXACT.exp, EXACT.exp)),
    "exp2": Derivatives(
        _orders(*(lambda x, n=n: EXACT.log(2) ** n * EXACT.power(2, x) for n in (1, 2, 3))), of_value=True
    ),
    "expm1": Derivatives(_orders(EXACT.exp, EXACT.exp, EXACT.exp)),
    "log": Derivatives(_LOG),
    "log2": Derivatives(_scaled(lambda: 1 / EXACT.log(2), _LOG)),
    "log10": Derivatives(_scaled(lambda: 1 / EXACT.log(10), _LOG)),
    "log1p": Derivatives(_LOG1P),
    "sqrt": Derivatives(_power(0.5), draw=_positive),
    "rsqrt": Derivatives(_power(-0.5), draw=_positive),
    "cbrt": Derivatives(
        _orders(
            *(
                lambda x, n=n, c=c: c * EXACT.sign(x) ** (n + 1) / EXACT.power(EXACT.cbrt(abs(x)), 3 * n - 1)
                for n, c in enumerate((EXACT.mpf(1) / 3, -EXACT.mpf(2) / 9, EXACT.mpf(10) / 27), 1)
            )
        )
    ),
    "square": Derivatives(_power(2), draw=_anything),
    "reciprocal": Derivatives(_power(-1), draw=_anything),
    "pow": Derivatives(
        _pairs(
            lambda a, b: b * EXACT.power(a, b - 1),
            lambda a, b: EXACT.power(a, b) * _log(a),
            lambda a, b: b * (b - 1) * EXACT.power(a, b - 2),
            lambda a, b: EXACT.power(a, b - 1) * (1 + b * _log(a)),
            lambda a, b: EXACT.power(a, b) * _log(a) ** 2,
        ),
        terms={(0, 1): lambda a, b: EXACT.power(a, b - 1) * max(1, abs(b * _log(a)))},
        reason="1 + b*log(a) has zeros",
        of_value=True,
    ),
    **{
        f"x**{n}": Derivatives(_power(n), function=lambda x, n=n: x**n, draw=_anything)
        for n in (-8, -5, -4, -3, -2, 3, 4, 5, 8)
    },
    "div": Derivatives(
        _pairs(
            lambda a, b: 1 / b,
            lambda a, b: -a / b**2,
            _constant(0),
            lambda a, b: -1 / b**2,
            lambda a, b: 2 * a / b**3,
        ),
        draw=_two,
    ),
    "mul": Derivatives(_pairs(lambda a, b: b, lambda a, b: a, _constant(0), _constant(1), _constant(0)), draw=_two),
    "sin": Derivatives(_orders(*_SINE[1:4])),
    "cos": Derivatives(_orders(*_SINE[2:5])),
    "tan": Derivatives(
        _orders(
            _sec2,
            lambda x: 2 * EXACT.tan(x) * _sec2(x),
            lambda x: 2 * _sec2(x) * (_sec2(x) + 2 * EXACT.tan(x) ** 2),
        )
    ),
    "asin": Derivatives(_ASIN),
    "acos": Derivatives(_scaled(lambda: -1, _ASIN)),
    "atan": Derivatives(
        _root_of(1, [lambda x: 1, lambda x: -2 * x, lambda x: 6 * x * x - 2], 1),
        terms={(0, 0, 0): lambda x: (6 * x * x + 2) / (1 + x * x) ** 3},
        reason=_ZERO,
    ),
    "atan2": Derivatives(
        _pairs(
            lambda y, x: x / _square_sum(x, y),
            lambda y, x: -y / _square_sum(x, y),
            lambda y, x: -2 * x * y / _square_sum(x, y) ** 2,
            lambda y, x: (y - x) * (y + x) / _square_sum(x, y) ** 2,
            lambda y, x: 2 * x * y / _square_sum(x, y) ** 2,
        )
    ),
    "sinh": Derivatives(_orders(EXACT.cosh, EXACT.sinh, EXACT.cosh)),
    "cosh": Derivatives(_orders(EXACT.sinh, EXACT.cosh, EXACT.sinh)),
    "tanh": Derivatives(
        _TANH,
        terms={
            (0,): _constant(1),
            (0, 0): lambda x: 2 * abs(EXACT.tanh(x)),
            (0, 0, 0): _constant(2),
        },
        reason=_FROM_VALUE,
    ),
    "asinh": Derivatives(
        _root_of(1, [lambda x: 1, lambda x: -x, lambda x: 2 * x * x - 1], 0.5),
        terms={(0, 0, 0): lambda x: (2 * x * x + 1) / EXACT.power(1 + x * x, 2.5)},
        reason=_ZERO,
    ),
    "acosh": Derivatives(_root_of(0, [lambda x: 1, lambda x: -x, lambda x: 2 * x * x + 1], 0.5)),
    "atanh": Derivatives(_root_of(-1, [lambda x: 1, lambda x: 2 * x, lambda x: 2 + 6 * x * x], 1)),
    "hypot": Derivatives(
        _pairs(
            lambda a, b: a / EXACT.hypot(a, b),
            lambda a, b: b / EXACT.hypot(a, b),
            lambda a, b: b**2 / EXACT.hypot(a, b) ** 3,
            lambda a, b: -a * b / EXACT.hypot(a, b) ** 3,
            lambda a, b: a**2 / EXACT.hypot(a, b) ** 3,
        ),
        of_value=True,
    ),
    "sigmoid": Derivatives(
        _SIGMOID,
        terms={(0,): _share, (0, 0, 0): lambda x: _overlap(x) / 2},
        reason=_FROM_VALUE + "; the third derivative has zeros",
    ),
    "softplus": Derivatives(_SOFTPLUS),
    "logaddexp": Derivatives(
        _pairs(
            lambda a, b: _share(a - b),
            lambda a, b: _share(b - a),
            lambda a, b: _overlap(a - b),
            lambda a, b: -_overlap(a - b),
            lambda a, b: _overlap(a - b),
        )
    ),
    "bce_with_logits": Derivatives(
        _pairs(
            lambda x, t: (1 - t) - _share(-x) if x > 0 else _share(x) - t,
            lambda x, t: -x,
            lambda x, t: _overlap(x),
            _constant(-1),
            _constant(0),
        ),
        terms={(0,): lambda x, t: max(_share(-abs(x)), 1 - t if x > 0 else t)},
        reason=_ZERO,
        draw=_logits,
    ),
    "squared_error": Derivatives(
        _pairs(lambda a, b: 2 * (a - b), lambda a, b: 2 * (b - a), _constant(2), _constant(-2), _constant(2)),
        draw=_two,
    ),
    "erf": Derivatives(_ERF, terms={(0, 0, 0): lambda x: (4 * x * x + 2) * _gaussian(x)}, reason=_ZERO),
    "erfc": Derivatives(
        _scaled(lambda: -1, _ERF), terms={(0, 0, 0): lambda x: (4 * x * x + 2) * _gaussian(x)}, reason=_ZERO
    ),
    "erfinv": Derivatives(_ERFINV),
    "lgamma": Derivatives(
        _orders(*(partial(_psi, n) for n in (0, 1, 2))),
        terms={(0,): lambda x: exact.floors("digamma", [np.array([float(x)])])[0]},
        reason=_ZERO,
        slow=True,
    ),
    "digamma": Derivatives(_orders(*(partial(_psi, n) for n in (1, 2, 3))), slow=True),
}


def exact_values(name: str, index: Index, inputs: Sequence[Array], terms: bool = False) -> list[Any]:
    """Give a derivative's exact values, or the magnitudes of its larger terms, as numbers of mpmath."""
    derivatives = DERIVATIVES[name]
    value = (derivatives.terms if terms else derivatives.exact)[index]
    return [value(*map(EXACT.mpf, point)) for point in zip(*(x.tolist() for x in inputs), strict=True)]


def computed(name: str, index: Index, inputs: Sequence[Array]) -> Array:
    """Compute a derivative by nbgrad."""
    import nbgrad

    function = DERIVATIVES[name].function or getattr(nbgrad, name, None) or nbgrad.ops.elementwise.TABLE[name]
    xs = [nbgrad.Variable(x) for x in inputs]
    y = function(*xs)
    for position in index:
        if not y.requires_grad:  # differentiated until nothing was left
            return np.zeros(inputs[0].shape, inputs[0].dtype)
        ones = nbgrad.ones_like(y)
        (y,) = nbgrad.autograd.grad(y, xs[position], ones, create_graph=True, materialize_grads=True)
    return y.data


def by_torch(name: str, index: Index, inputs: Sequence[Array]) -> Array:
    """Compute the same by torch; raises AttributeError where it has no such function."""
    import torch

    functions: dict[str, Callable[..., Any]] = {
        "softplus": torch.nn.functional.softplus,
        "bce_with_logits": partial(torch.nn.functional.binary_cross_entropy_with_logits, reduction="none"),
        "squared_error": partial(torch.nn.functional.mse_loss, reduction="none"),
    }
    function = DERIVATIVES[name].function or functions.get(name) or getattr(torch, name)
    xs = [torch.tensor(x, requires_grad=True) for x in inputs]
    y = function(*xs)
    for position in index:
        if not y.requires_grad:
            return np.zeros_like(inputs[0])
        options = {"create_graph": True, "allow_unused": True, "materialize_grads": True}
        (y,) = torch.autograd.grad(y, xs[position], torch.ones_like(y), **options)
    return np.asarray(y.detach().numpy())


def errors(name: str, index: Index, inputs: Sequence[Array], results: Array) -> tuple[Array, Array | None]:
    """Give the errors of a derivative in ulp, and those in ulp of its larger terms where some cancel."""
    values = [exact.EXACT.mpf(value) for value in exact_values(name, index, inputs)]
    error = exact.exact_errors(results, values)
    if index not in DERIVATIVES[name].terms:
        return error, None
    terms = [min(value, exact.EXACT.mpf(1e308)) for value in exact_values(name, index, inputs, terms=True)]
    return error, exact.exact_errors(results, values, np.array(terms, np.float64))


def in_range(name: str, index: Index, inputs: Sequence[Array]) -> Array:
    """Tell where what a derivative is computed from is neither too large nor too small for the dtype."""
    limits = np.finfo(inputs[0].dtype)
    inside = np.ones(inputs[0].shape, bool)
    with np.errstate(all="ignore"):
        for order in range(len(index)):
            lower = np.abs(computed(name, index[:order], inputs))
            inside &= lower < np.inf
            if DERIVATIVES[name].of_value:
                inside &= lower >= limits.tiny
            elif order:
                inside &= (lower == 0) | (lower >= limits.tiny)
    return inside
