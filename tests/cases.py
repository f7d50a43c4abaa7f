"""What the tests of operations are parametrised with: the operations, their counterparts elsewhere, array layouts.

A case names an operation, the function of a peer that does the same, and where its inputs may be drawn from: inside
its domain and, by the draw being random, never on a kink.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache as once
from typing import Any, NamedTuple

import numpy as np
from peers import peer

import nbgrad
from nbgrad import function
from nbgrad.elementwise import LARGE, Elementwise
from nbgrad.forward import push
from nbgrad.ops.elementwise import OPERATIONS, TABLE

Intervals = tuple[tuple[float, float], ...]

ANY: Intervals = ((-2.5, 2.5),)
NONZERO: Intervals = ((-2.5, -0.4), (0.4, 2.5))
POSITIVE: Intervals = ((0.3, 3.0),)
UNIT: Intervals = ((-0.9, 0.9),)
TRUTH: Intervals = ()

DTYPES = ("float32", "float64")
INTEGERS = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")

#: What counts as equal where another library orders its roundings differently.
TOLERANCE = {"float32": {"rtol": 3e-5, "atol": 3e-6}, "float64": {"rtol": 1e-11, "atol": 1e-12}}


class Case(NamedTuple):
    """An operation and what it is compared with."""

    name: str
    #: Of arrays or Variables.
    function: Callable[..., Any]
    #: The same of NumPy arrays.
    numpy: Callable[..., Any]
    #: The same of torch's module and its tensors.
    torch: Callable[..., Any]
    #: Where each input may be drawn from.
    domains: tuple[Intervals, ...]
    differentiable: bool = True

    def __repr__(self) -> str:
        return self.name


def _sigmoid(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))


def _softplus(x: Any) -> Any:
    return np.logaddexp(x, np.zeros((), x.dtype))


def _relu(x: Any) -> Any:
    return np.where(x <= 0, np.zeros((), x.dtype), x)


def _bce(x: Any, t: Any) -> Any:
    return _softplus(x) - x * t


def _scipy(name: str) -> Callable[..., Any]:
    """Give a function of scipy.special, which is looked for when it is called."""
    return lambda *xs: getattr(peer("scipy.special"), name)(*xs)


def _gammaln(x: Any) -> Any:
    """SciPy has -inf at -inf, where C99 (F.9.5.3) and torch have inf."""
    return np.where(np.isneginf(x), np.inf, _scipy("gammaln")(x)).astype(np.result_type(x, np.float32))


def _torch_digamma(t: Any, x: Any) -> Any:
    """torch's gradient of digamma is good to 10 digits only; the recurrence leads to where it is better."""
    shifted = x
    total = 0.0
    for _ in range(24):
        total = total - 1 / shifted
        shifted = shifted + 1
    return total + t.digamma(shifted)


def _case(
    name: str,
    domains: Sequence[Intervals],
    numpy: Callable[..., Any] | None = None,
    torch: Callable[..., Any] | None = None,
    function: Callable[..., Any] | None = None,
    differentiable: bool = True,
) -> Case:
    """Fill in what has the same name everywhere."""
    return Case(
        name,
        TABLE[name] if function is None else function,
        getattr(np, name) if numpy is None else numpy,
        (lambda t, *xs: getattr(t, name)(*xs)) if torch is None else torch,
        tuple(domains),
        differentiable,
    )


_COMPARISONS = {
    "lt": np.less,
    "le": np.less_equal,
    "gt": np.greater,
    "ge": np.greater_equal,
    "eq": np.equal,
    "ne": np.not_equal,
}

ELEMENTWISE = [
    *(_case(name, [ANY, ANY], function, differentiable=False) for name, function in _COMPARISONS.items()),
    *(_case(name, [TRUTH, TRUTH], differentiable=False) for name in ("logical_and", "logical_or", "logical_xor")),
    _case("logical_not", [TRUTH], differentiable=False),
    _case("add", [ANY, ANY]),
    _case("sub", [ANY, ANY], np.subtract),
    _case("mul", [ANY, ANY], np.multiply),
    _case("div", [ANY, NONZERO], np.divide),
    _case("neg", [ANY], np.negative),
    _case("positive", [ANY]),
    _case("floor_divide", [ANY, NONZERO], differentiable=False),
    _case("remainder", [ANY, NONZERO]),
    _case("pow", [POSITIVE, ANY], np.power),
    _case("pow", [ANY], lambda x: x**3, lambda t, x: x**3, lambda x: nbgrad.pow(x, 3)),
    _case("pow", [NONZERO], lambda x: 1 / (x * x), lambda t, x: x**-2, lambda x: nbgrad.pow(x, -2)),
    _case("pow", [POSITIVE], lambda x: x**1.7, lambda t, x: x**1.7, lambda x: nbgrad.pow(x, 1.7)),
    _case("pow", [POSITIVE], np.sqrt, lambda t, x: x**0.5, lambda x: nbgrad.pow(x, 0.5)),
    _case("pow", [ANY], lambda x: 2**x, lambda t, x: 2**x, lambda x: nbgrad.pow(2, x)),
    _case("abs", [ANY]),
    _case("sign", [ANY], differentiable=False),
    _case("square", [ANY]),
    _case("sqrt", [POSITIVE]),
    _case("rsqrt", [POSITIVE], lambda x: 1 / np.sqrt(x)),
    _case("reciprocal", [NONZERO]),
    _case("exp", [ANY]),
    _case("expm1", [ANY]),
    _case("exp2", [ANY]),
    _case("log", [POSITIVE]),
    _case("log1p", [((-0.7, 3.0),)]),
    _case("log2", [POSITIVE]),
    _case("log10", [POSITIVE]),
    _case("logaddexp", [ANY, ANY]),
    _case("sin", [ANY]),
    _case("cos", [ANY]),
    _case("tan", [((-1.2, 1.2),)]),
    _case("asin", [UNIT]),
    _case("acos", [UNIT]),
    _case("atan", [ANY]),
    _case("atan2", [NONZERO, NONZERO]),
    _case("sinh", [ANY]),
    _case("cosh", [ANY]),
    _case("tanh", [ANY]),
    _case("hypot", [NONZERO, NONZERO]),
    _case("asinh", [ANY], np.arcsinh),
    _case("acosh", [((1.2, 4.0),)], np.arccosh),
    _case("atanh", [UNIT], np.arctanh),
    _case("cbrt", [NONZERO], np.cbrt, lambda t, x: x.sign() * x.abs() ** (1 / 3)),
    _case("erf", [ANY], _scipy("erf")),
    _case("erfc", [ANY], _scipy("erfc")),
    _case("erfinv", [UNIT], _scipy("erfinv")),
    _case("lgamma", [((0.3, 4.0), (-0.8, -0.2))], _gammaln),
    _case("digamma", [((0.3, 4.0), (-0.8, -0.2))], _scipy("psi"), _torch_digamma),
    _case("sigmoid", [ANY], _sigmoid),
    _case("relu", [ANY], _relu),
    _case("softplus", [ANY], _softplus, lambda t, x: t.nn.functional.softplus(x)),
    _case(
        "softplus",
        [ANY],
        lambda x: _softplus(3 * x) / 3,
        lambda t, x: t.nn.functional.softplus(x, beta=3),
        lambda x: nbgrad.softplus(x, beta=3),
    ),
    _case("maximum", [ANY, ANY]),
    _case("minimum", [ANY, ANY]),
    _case("where", [TRUTH, ANY, ANY]),
    _case("clamp", [ANY, ((-2.0, 0.2),), ((0.0, 2.0),)], np.clip),
    _case(
        "clamp", [ANY], lambda x: np.clip(x, -1, 0.5), lambda t, x: x.clamp(-1, 0.5), lambda x: nbgrad.clamp(x, -1, 0.5)
    ),
    _case("clamp_min", [ANY, ANY], np.maximum, lambda t, x, low: t.clamp(x, min=low)),
    _case("clamp_max", [ANY, ANY], np.minimum, lambda t, x, high: t.clamp(x, max=high)),
    _case("squared_error", [ANY, ANY], lambda a, b: (a - b) ** 2, lambda t, a, b: (a - b) ** 2),
    _case(
        "bce_with_logits",
        [ANY, ((0.0, 1.0),)],
        _bce,
        lambda t, x, y: t.nn.functional.softplus(x) - x * y,
    ),
]

#: Elementwise operations that are registered when first asked for.
SELDOM = [
    Case(name, lambda *xs, name=name: applied(name, *xs), numpy, torch, tuple(domains), differentiable)
    for name, domains, numpy, torch, differentiable in (
        ("copysign", [NONZERO, NONZERO], np.copysign, lambda t, x, y: t.copysign(x, y), True),
        ("fmod", [NONZERO, NONZERO], np.fmod, lambda t, x, y: t.fmod(x, y), True),
        ("heaviside", [ANY, ANY], np.heaviside, lambda t, x, y: t.heaviside(x.detach(), y.detach()) + 0 * y, True),
        ("logaddexp2", [ANY, ANY], np.logaddexp2, lambda t, x, y: t.logaddexp2(x, y), True),
        ("logit", [((0.1, 0.9),)], _scipy("logit"), lambda t, x: t.logit(x), True),
        ("sinc", [((-3.0, -0.5), (0.5, 3.0))], np.sinc, lambda t, x: t.sinc(x), True),
        ("xlogy", [ANY, POSITIVE], _scipy("xlogy"), lambda t, x, y: t.xlogy(x, y), True),
        ("xlog1py", [ANY, POSITIVE], _scipy("xlog1py"), lambda t, x, y: t.special.xlog1py(x, y), True),
        ("entr", [POSITIVE], _scipy("entr"), lambda t, x: t.special.entr(x), True),
        ("rel_entr", [POSITIVE, POSITIVE], _scipy("rel_entr"), lambda t, x, y: x * (x / y).log(), True),
        ("kl_div", [POSITIVE, POSITIVE], _scipy("kl_div"), lambda t, x, y: x * (x / y).log() - x + y, True),
        ("log_expit", [ANY], _scipy("log_expit"), lambda t, x: t.nn.functional.logsigmoid(x), True),
        ("exp10", [ANY], _scipy("exp10"), lambda t, x: 10**x, True),
        ("cosm1", [ANY], _scipy("cosm1"), lambda t, x: x.cos() - 1, True),
        ("ndtr", [ANY], _scipy("ndtr"), lambda t, x: t.special.ndtr(x), True),
    )
]


def applied(name: str, *xs: Any) -> Any:
    """Apply a function of `nbgrad.ops.special`, which is imported when it is called."""
    from nbgrad.ops import special

    return special.applied(name, *xs)


# ---- decompositions -------------------------------------------------------------------------------------------------


class Decomposition(NamedTuple):
    """A function of matrices and what it is compared with; of several results one, or what signs leave alone."""

    name: str
    function: Callable[..., Any]
    #: Of torch's `linalg` and its tensor.
    torch: Callable[..., Any]
    #: Shapes of matrices that it is tried with.
    shapes: tuple[tuple[int, ...], ...] = ((3, 3), (2, 3, 3), (1, 1))

    def __repr__(self) -> str:
        return self.name


def _definite(x: Any) -> Any:
    return x @ x.swapaxes(-1, -2) + np.eye(x.shape[-1], dtype=x.dtype)


_FLAT = ((3, 3), (2, 3, 4), (4, 3), (1, 2))
_linalg = np.linalg  # whose functions are ours for Variables

DECOMPOSITIONS = [
    Decomposition("inv", lambda x: _linalg.inv(x), lambda t, x: t.inv(x)),
    Decomposition("det", lambda x: _linalg.det(x), lambda t, x: t.det(x)),
    Decomposition("slogdet", lambda x: _linalg.slogdet(x)[1], lambda t, x: t.slogdet(x)[1]),
    Decomposition("solve", lambda x: _linalg.solve(x, x[..., :1] * 2 + 1), lambda t, x: t.solve(x, x[..., :1] * 2 + 1)),
    Decomposition("pinv", lambda x: _linalg.pinv(x), lambda t, x: t.pinv(x), _FLAT),
    Decomposition("qr's q", lambda x: _linalg.qr(x)[0] ** 2, lambda t, x: t.qr(x)[0] ** 2, ((3, 3), (2, 4, 3))),
    Decomposition("qr's r", lambda x: _linalg.qr(x)[1] ** 2, lambda t, x: t.qr(x)[1] ** 2, ((3, 3), (2, 4, 3))),
    Decomposition("svd's s", lambda x: _linalg.svd(x, False)[1], lambda t, x: t.svd(x, False)[1], _FLAT),
    Decomposition("svd's u", lambda x: _linalg.svd(x, False)[0] ** 2, lambda t, x: t.svd(x, False)[0] ** 2, _FLAT),
    Decomposition("svd's v", lambda x: _linalg.svd(x, False)[2] ** 2, lambda t, x: t.svd(x, False)[2] ** 2, _FLAT),
    Decomposition("cholesky", lambda x: _linalg.cholesky(_definite(x)), lambda t, x: t.cholesky(_torch_definite(x))),
    Decomposition("eigh's values", lambda x: _linalg.eigh(_definite(x))[0], lambda t, x: t.eigh(_torch_definite(x))[0]),
    Decomposition(
        "eigh's vectors", lambda x: _linalg.eigh(_definite(x))[1] ** 2, lambda t, x: t.eigh(_torch_definite(x))[1] ** 2
    ),
]


def _torch_definite(x: Any) -> Any:
    return x @ x.swapaxes(-1, -2) + peer("torch").eye(x.shape[-1], dtype=x.dtype)


# ---- reductions -----------------------------------------------------------------------------------------------------


class Reduction(NamedTuple):
    """A reduction over any axes and what it is compared with."""

    name: str
    function: Callable[..., Any]
    #: Of an array, with NumPy's axis and keepdims.
    numpy: Callable[..., Any]
    #: Of torch's module, a tensor, a list of dimensions and keepdim.
    torch: Callable[..., Any]

    def __repr__(self) -> str:
        return self.name


def _torch_prod(t: Any, x: Any, dims: Sequence[int], keepdim: bool) -> Any:
    for dim in sorted(dims, reverse=True):
        x = x.prod(dim, keepdim)
    return x


def _logsumexp(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    return np.asarray(peer("scipy.special").logsumexp(x, axis=axis, keepdims=keepdims))


REDUCTIONS = [
    Reduction("sum", nbgrad.sum, np.sum, lambda t, x, dims, keepdim: x.sum(dims, keepdim)),
    Reduction("mean", nbgrad.mean, np.mean, lambda t, x, dims, keepdim: x.mean(dims, keepdim)),
    Reduction("prod", nbgrad.prod, np.prod, _torch_prod),
    Reduction("amax", nbgrad.amax, np.max, lambda t, x, dims, keepdim: x.amax(dims, keepdim)),
    Reduction("amin", nbgrad.amin, np.min, lambda t, x, dims, keepdim: x.amin(dims, keepdim)),
    Reduction("logsumexp", nbgrad.logsumexp, _logsumexp, lambda t, x, dims, keepdim: x.logsumexp(dims, keepdim)),
]


def _norm(order: float) -> Reduction:
    return Reduction(
        f"norm_{order}",
        lambda x, axes=None, keepdim=False: nbgrad.linalg.vector_norm(x, order, axes, keepdim),
        lambda x, axis=None, keepdims=False: np.linalg.vector_norm(x, axis=axis, ord=order, keepdims=keepdims),
        lambda t, x, dims, keepdim: t.linalg.vector_norm(x, order, dims, keepdim),
    )


def _named(name: str) -> Reduction:
    return Reduction(name, getattr(nbgrad, name), getattr(np, name), lambda t, x, *more: getattr(t, name)(x, *more))


#: Reductions of no other dtypes than these have, or whose further arguments have names.
NORMS = [*map(_norm, (1, 2, 1.5, 3, -1, np.inf, -np.inf))]
WITHOUT_NAN = [_named("nansum"), _named("nanmean")]
STATISTICS = [
    Reduction(
        name,
        lambda x, axes=None, keepdim=False, ours=ours: ours(x, axes, correction=0, keepdim=keepdim),
        numpy,
        lambda t, x, dims, keepdim, name=name: getattr(x, name)(dims, correction=0, keepdim=keepdim),
    )
    for name, ours, numpy in (("var", nbgrad.var, np.var), ("std", nbgrad.std, np.std))
]


# ---- scans ----------------------------------------------------------------------------------------------------------


class Scan(NamedTuple):
    """A scan along one axis and what it is compared with."""

    name: str
    function: Callable[..., Any]
    #: Of an array and an axis.
    numpy: Callable[..., Any]
    #: Of torch's module, a tensor and a dimension.
    torch: Callable[..., Any]

    def __repr__(self) -> str:
        return self.name


SCANS = [
    Scan("cumsum", nbgrad.cumsum, np.cumsum, lambda t, x, dim: x.cumsum(dim)),
    Scan("cumprod", nbgrad.cumprod, np.cumprod, lambda t, x, dim: x.cumprod(dim)),
    Scan("logcumsumexp", nbgrad.logcumsumexp, np.logaddexp.accumulate, lambda t, x, dim: x.logcumsumexp(dim)),
    Scan("cummax", lambda x, dim: nbgrad.cummax(x, dim)[0], np.maximum.accumulate, lambda t, x, dim: x.cummax(dim)[0]),
    Scan("cummin", lambda x, dim: nbgrad.cummin(x, dim)[0], np.minimum.accumulate, lambda t, x, dim: x.cummin(dim)[0]),
]


def numbered(cases: Sequence[Case]) -> list[str]:
    """Give the cases' names for pytest, told apart where several are of one function."""
    names: list[str] = []
    for case in cases:
        names.append(f"{case.name}-{sum(n.split('-')[0] == case.name for n in names)}")
    return [name.removesuffix("-0") for name in names]


def draw(domain: Intervals, shape: tuple[int, ...], dtype: str = "float64", seed: int = 0) -> Any:
    """Draw an array uniformly from the intervals of a domain; truth values where there are none."""
    random = np.random.default_rng([seed, len(shape), *shape])
    if not domain:
        return np.asarray(random.random(shape) < 0.5)
    intervals = np.array(domain)[random.integers(len(domain), size=shape)]
    return np.asarray(random.uniform(intervals[..., 0], intervals[..., 1])).astype(dtype)


# ---- layouts --------------------------------------------------------------------------------------------------------


def _strided(x: Any) -> Any:
    spread = np.full([2 * n + 1 for n in x.shape], x.dtype.type(1), x.dtype)
    view = spread[tuple(slice(1, None, 2) for _ in x.shape)]
    view[...] = x
    return view


def _reversed(x: Any) -> Any:
    backwards = (slice(None, None, -1),) * x.ndim
    return np.ascontiguousarray(x[backwards])[backwards]


def _read_only(x: Any) -> Any:
    x = x.copy()
    x.flags.writeable = False
    return x


def _unaligned(x: Any) -> Any:
    memory = np.zeros(x.nbytes + 1, np.uint8)
    view = np.ndarray(x.shape, x.dtype, memory, 1)
    view[...] = x
    return view


#: Ways for an array to lie in memory; those of the second kind change its elements too.
LAYOUTS: dict[str, Callable[[Any], Any]] = {
    "contiguous": lambda x: x.copy(),
    "strided": _strided,
    "negative-stride": _reversed,
    "Fortran-ordered": lambda x: np.array(x, order="F"),
    "read-only": _read_only,
    "unaligned": _unaligned,
    "broadcast": lambda x: np.broadcast_to(x[:1], x.shape),
    "0-d": lambda x: np.array(x[(0,) * x.ndim]),
    "empty": lambda x: x[:0],
}


# ---- running both sides ---------------------------------------------------------------------------------------------


def differentiable(array: Any) -> bool:
    """Tell whether an array's dtype has gradients."""
    return array.dtype.kind == "f"


def with_gradients(function: Callable[..., Any], arrays: Sequence[Any], cotangent: Any) -> tuple[Any, list[Any]]:
    """Apply a function to Variables of `arrays` and go back from `cotangent`; give the value and all gradients.

    What must hold whatever is computed is asserted on the way: shapes and dtypes of gradients, inputs left alone,
    no gradient sharing memory with what belongs to somebody else.
    """
    before = [array.copy() for array in arrays]
    xs = [nbgrad.Variable(array) for array in arrays]
    y = function(*xs)
    y.backward(cotangent)
    gradients = []
    for x, array, copy in zip(xs, arrays, before, strict=True):
        np.testing.assert_array_equal(array, copy)
        if not differentiable(array):
            assert x.grad is None
            gradients.append(None)
            continue
        assert x.grad is not None, "an input has no gradient"
        assert x.grad.shape == array.shape
        assert x.grad.dtype == array.dtype
        assert not x.grad.requires_grad
        others = [cotangent, *arrays, *(g for g in gradients if g is not None)]
        assert not any(np.shares_memory(x.grad.data, other) for other in others)
        gradients.append(x.grad.data)
    return y.data, gradients


def with_torch(function: Callable[..., Any], arrays: Sequence[Any], cotangent: Any) -> tuple[Any, list[Any]]:
    """Do the same in torch: `function` takes torch's module and the tensors; zeros stand where it gives no gradient."""
    torch = peer("torch")
    xs = [torch.tensor(np.array(array, order="C"), requires_grad=differentiable(array)) for array in arrays]
    y = function(torch, *xs)
    y.backward(torch.tensor(np.array(cotangent, order="C")))
    gradients = [
        None if not x.requires_grad else np.zeros(x.shape, array.dtype) if x.grad is None else x.grad.numpy()
        for x, array in zip(xs, arrays, strict=True)
    ]
    return y.detach().numpy(), gradients


def assert_same_as_torch(
    function: Callable[..., Any],
    torch_function: Callable[..., Any],
    arrays: Sequence[Any],
    layout: Callable[[Any], Any] = lambda x: x,
    tolerance: dict[str, float] | None = None,
) -> None:
    """Hold value and gradients against torch's, from a random cotangent in the layout that is tested."""
    with nbgrad.no_grad():
        like = function(*(nbgrad.Variable(array) for array in arrays)).data
    cotangent = np.random.default_rng(1).uniform(0.5, 2, like.shape).astype(like.dtype)
    if like.ndim and like.size:
        cotangent = layout(cotangent)
        assert cotangent.shape == like.shape
    value, gradients = with_gradients(function, arrays, cotangent)
    expected, expected_gradients = with_torch(torch_function, arrays, cotangent)
    assert value.shape == expected.shape
    assert value.dtype == expected.dtype
    limits = TOLERANCE[str(value.dtype)] if tolerance is None else tolerance
    np.testing.assert_allclose(value, expected, **limits)
    for position, (gradient, wanted) in enumerate(zip(gradients, expected_gradients, strict=True)):
        if gradient is not None:
            np.testing.assert_allclose(gradient, wanted, **limits, err_msg=f"gradient of input {position}")


def check_gradients(f: Callable[..., Any], arrays: Sequence[Any], order: int) -> None:
    """Hold derivatives to an order against central differences, and tangents as well where it is the second."""
    if order == 2:
        check_to_second_order(f, arrays)
        return
    with everything_large():
        assert nbgrad.autograd.gradcheck(f, [nbgrad.Variable(array) for array in arrays], order=order)


def check_to_second_order(f: Callable[..., Any], arrays: Sequence[Any]) -> None:
    """Hold first and second derivatives against central differences, through graphs that keep what rules read.

    Small arrays are kept as large ones are: a rule that reads what it does not say finds NaN. Tangents are held against
    the gradients, to second order as well.
    """
    variables = [nbgrad.Variable(array) for array in arrays]
    with everything_large():
        assert nbgrad.autograd.gradcheck(f, variables, order=2)
        check_tangents(f, variables)


def check_tangents(f: Callable[..., Any], xs: Sequence[Any]) -> None:
    """Hold tangents to the definition of their adjoint: <u, J t> = <J' u, t>, for f and for its gradient."""
    random = np.random.default_rng(11)

    def like(variables: Sequence[Any]) -> list[Any]:
        drawn = [np.asarray(random.normal(size=v.shape), v.dtype) for v in variables]
        return [nbgrad.Variable(array, requires_grad=False) for array in drawn]

    def agree(outputs: Sequence[Any]) -> None:
        outputs = [y for y in outputs if y is not None and y.requires_grad]
        if not outputs:
            return
        ts, us = like(leaves), like(outputs)
        forth = push(outputs, leaves, ts)
        back = nbgrad.autograd.grad(outputs, leaves, us, retain_graph=True, allow_unused=True)
        left = [(u.data * t.data).sum() for u, t in zip(us, forth, strict=True) if t is not None]
        right = [(t.data * g.data).sum() for t, g in zip(ts, back, strict=True) if g is not None]
        scale = sum(abs(u.data * t.data).sum() for u, t in zip(us, forth, strict=True) if t is not None)
        np.testing.assert_allclose(sum(left), sum(right), rtol=1e-10, atol=1e-12 + 1e-12 * scale)

    leaves = [x for x in xs if x.requires_grad]
    y = f(*xs)
    agree([y])
    agree(nbgrad.autograd.grad(y, leaves, like([y])[0], create_graph=True, allow_unused=True))


@once
def _operations() -> list[Elementwise]:
    """Give the library's operations, and what their cotangents come back by."""
    behind = [p.operation for o in OPERATIONS.values() for p in o.pullbacks if p is not None]
    return [*OPERATIONS.values(), *(o for o in behind if o is not None)]


@contextmanager
def everything_large() -> Iterator[None]:
    """Have graphs treat all arrays as they treat large ones."""
    operations = _operations()
    for o in operations:
        o.function.__globals__["LARGE"] = -1
    function.LARGE = -1
    try:
        yield
    finally:
        function.LARGE = LARGE
        for o in operations:
            o.function.__globals__["LARGE"] = LARGE
