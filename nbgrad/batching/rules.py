"""NumPy's functions of arrays that stand for many examples: at once where there is a rule, else one by one.

What `interop.rules` composes of our functions for Variables and traced arrays holds here as well. What remains are the
functions that operations end in: products, joins, and LAPACK's, which take stacks of matrices anyway.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..arrays import as_array, is_stand_in
from ..interop.numpy import by_rule
from ..interop.rules import rule_of
from ..kernels import dispatch
from ..ops.linalg import MatMul
from ..variable import Variable
from . import hot
from .batched import Batched, aligned, held, later, together, top, widened

Rule = Callable[..., Any]


def array_function(self: Any, function: Any, types: Any, arguments: Sequence[Any], options: dict[str, Any]) -> Any:
    """Stand in for a NumPy function that met an array of one of many examples (NEP 18)."""
    if any(issubclass(kind, Variable) for kind in types):
        return NotImplemented
    if options.get("out") is not None:
        raise self._unchanged(f"out= of {_name(function)}", "leave it out and use the result")
    options = {name: v for name, v in options.items() if name != "out" and v is not np._NoValue}
    for rule in (_RULES.get(function), rule_of(function)):
        if rule is not None:
            result = by_rule(rule, arguments, options)
            if result is not NotImplemented:
                return result
    return by_loop(function, _name(function), arguments, options)


def _name(function: Any) -> str:
    return f"{function.__module__}.{function.__name__}".replace("numpy", "np", 1)


# ---- one by one -----------------------------------------------------------------------------------------------------


class _Place:
    """Where in a call's arguments an example's array goes."""

    def __init__(self, number: int) -> None:
        self.number = number


def by_loop(function: Any, name: str, arguments: Sequence[Any], options: dict[str, Any]) -> Any:
    """Apply a function to the examples one by one, and put the results together; the level takes note of it."""
    found: list[Batched] = []

    def collect(value: Any) -> Any:
        if type(value) is Batched:
            found.append(value)
            return _Place(len(found) - 1)
        return type(value)(map(collect, value)) if type(value) in (list, tuple) else value

    template = collect(tuple(arguments)), {option: collect(value) for option, value in options.items()}
    level = top(found)
    level.looped(name)
    values = [held(level, x) for x in found]
    count = level.size if any(v.shape[0] != 1 for v in values) else 1

    def loop(*values: Any) -> Any:
        def fill(value: Any, i: int) -> Any:
            if type(value) is _Place:
                array = values[value.number]
                return array[i if array.shape[0] != 1 else 0]
            return type(value)([fill(v, i) for v in value]) if type(value) in (list, tuple) else value

        results = [
            function(*fill(template[0], i), **{option: fill(v, i) for option, v in template[1].items()})
            for i in range(count)
        ]
        if not isinstance(results[0], tuple | list):
            return _stacked(name, results)
        parts = [_stacked(name, part) for part in zip(*results, strict=True)]
        kind = type(results[0])
        return kind(*parts) if hasattr(kind, "_fields") else kind(parts)

    if not count:
        raise TypeError(f"{level.transform}: {name} is computed example by example, and there are none")
    loop.__name__, loop.__module__ = f"loop over {count} examples of {name}", "nbgrad"
    traced: Any = next((v for v in values if is_stand_in(v) and v.rank == 0), None)
    made = loop(*values) if traced is None else type(traced).__array_function__(traced, loop, (), values, {})
    if not isinstance(made, tuple | list):
        return Batched(level, made)
    kind = type(made)
    several = [Batched(level, v) for v in made]
    return kind(*several) if hasattr(kind, "_fields") else kind(several)


def _stacked(name: str, results: Sequence[Any]) -> Any:
    arrays = [as_array(result) for result in results]
    if any(x.shape != arrays[0].shape for x in arrays):
        raise TypeError(
            f"vmap: {name} gives shapes {arrays[0].shape} and others, which depend on elements: use nbgrad.where and "
            "go on with the whole array"
        )
    return np.stack(arrays)


# ---- at once --------------------------------------------------------------------------------------------------------


def product(x: Any, w: Any) -> Any:
    """Multiply matrices and vectors of each example: by one product wherever one factor is the same for all."""
    level = top((x, w))
    made = _of_hots(level, x, w)
    if made is not None:
        return made
    X, W = held(level, x), held(level, w)
    n, m = X.ndim - 1, W.ndim - 1
    if not n or not m:
        raise ValueError(f"matmul: shapes {X.shape[1:]} and {W.shape[1:]}: scalars are multiplied with *")
    matmul = _matmul
    if W.shape[0] == 1 and m <= 2:
        return Batched(level, matmul(X, W[0]))
    if X.shape[0] == 1 and n <= 2 and m <= 2:
        if m == 1:  # rows of w times the matrix turned
            return Batched(level, matmul(W, X[0].transpose()))
        if n == 2:  # columns of all examples as the rows of one matrix
            columns = W.transpose((0, 2, 1))
            found = matmul(columns.reshape((-1, W.shape[1])), X[0].transpose())
            return Batched(level, found.reshape((*columns.shape[:2], X.shape[1])).transpose((0, 2, 1)))
    if n == m == 1:
        return Batched(level, dispatch.reduce_array("sum", X * W, (1,)))
    if n == 1:
        return Batched(level, matmul(aligned(X[:, None], m), W)[..., 0, :])
    if m == 1:
        return Batched(level, matmul(X, aligned(W[..., None], n))[..., 0])
    if X.dtype == W.dtype and X.shape[0] == W.shape[0] == level.size:
        if X.shape[-1] != W.shape[-2]:
            raise ValueError(
                f"matmul: shapes {X.shape[1:]} and {W.shape[1:]}: {X.shape[-1]} columns meet {W.shape[-2]} rows"
            )
        return later(level, X, W)
    ndim = max(n, m)
    return Batched(level, matmul(aligned(X, ndim), aligned(W, ndim)))


def _of_hots(level: Any, x: Any, w: Any) -> Any:
    """Give the product of vectors that are zero but for one place of each example, and a matrix that all share."""
    of_rows = type(x) is Batched and x.level is level and x.hots is not None
    vector, matrix = (x, w) if of_rows else (w, x)
    if type(vector) is not Batched or vector.hots is None or vector.level is not level or np.ndim(matrix) != 2:
        return None
    if type(matrix) is Batched and matrix.level is level:
        return None
    length = matrix.shape[0 if of_rows else 1]
    single = vector.ndim == 2 and vector.shape[0 if of_rows else 1] == 1
    if vector.size != length or not (single or vector.ndim == 1):
        return None
    hots = vector.reshape((length,)).hots
    found = hot.rows(level, hots, matrix if of_rows else matrix.transpose())  # type: ignore[arg-type]
    if found is None:
        return None
    return Batched(level, found if not single else found[:, None] if of_rows else found[..., None])


def multiplied(first: Any, second: Any) -> Any:
    """Multiply matrices, or stacks of them: columns by rows element by element."""
    return first * second if first.shape[-1] == 1 else _matmul(first, second)


def _matmul(x: Any, w: Any) -> Any:
    """Multiply what is held: arrays as the operation does, what stands for examples of outer levels by the rule."""
    return product(x, w) if type(x) is Batched or type(w) is Batched else MatMul().forward(x, w)


def _dot(a: Any, b: Any) -> Any:
    return product(a, b) if {np.ndim(a), np.ndim(b)} <= {1, 2} else NotImplemented


def _concatenate(arrays: Any, axis: Any = 0, *, dtype: Any = None) -> Any:
    if axis is None or dtype is not None:
        return NotImplemented
    level = top(arrays)
    values = together(level, arrays)
    return Batched(level, dispatch.concatenate("cat", values, axis + 1 if axis >= 0 else axis))


def _broadcast_to(array: Any, shape: Any) -> Any:
    shape = (shape,) if isinstance(shape, int | np.integer) else tuple(shape)
    if array.hots is not None:
        return array._moved(lambda x: dispatch.broadcast_to(x, shape))
    value = aligned(array.value, len(shape))
    return Batched(array.level, dispatch.broadcast_to(value, (value.shape[0], *shape)))


def _of_stacks(function: Any) -> Rule:
    """Make the rule of a function of matrices, or of stacks of them."""

    def rule(*arguments: Any, **options: Any) -> Any:
        level = top(arguments)
        ndim = max([np.ndim(x) for x in arguments])
        found = function(*[aligned(held(level, x), ndim) for x in arguments], **options)
        if not isinstance(found, tuple):
            return Batched(level, found)
        kind: Any = type(found)
        parts = [Batched(level, part) for part in found]
        return kind(*parts) if hasattr(kind, "_fields") else kind(parts)

    return rule


def _solve(a: Any, b: Any) -> Any:
    return NotImplemented if np.ndim(b) == 1 else _of_stacks(np.linalg.solve)(a, b)


def _along(function: Any, usual: Any = -1) -> Rule:
    """Make the rule of a function that goes along an axis."""

    def rule(a: Any, axis: Any = usual, **options: Any) -> Any:
        value = a.value
        if axis is None:
            value, axis = value.reshape((value.shape[0], -1)), -1
        return Batched(a.level, function(value, axis=axis + 1 if axis >= 0 else axis, **options))

    return rule


def _each(function: Any) -> Rule:
    """Make the rule of a function of each element."""
    return lambda a: Batched(a.level, function(a.value))


def _transform(function: Any) -> Rule:
    """Make the rule of a Fourier transform along an axis."""

    def rule(a: Any, n: Any = None, axis: int = -1, norm: Any = None) -> Any:
        return Batched(a.level, function(a.value, n, axis + 1 if axis >= 0 else axis, norm))

    return rule


def _transforms(function: Any) -> Rule:
    """Make the rule of a Fourier transform along several axes."""

    def rule(a: Any, s: Any = None, axes: Any = None, norm: Any = None) -> Any:
        if axes is None:
            axes = range(-len(s), 0) if s is not None else range(-a.ndim, 0)
        return Batched(a.level, function(a.value, s, [axis + 1 if axis >= 0 else axis for axis in axes], norm))

    return rule


def _place_of(function: Any) -> Rule:
    """Make the rule of np.argmax or np.argmin."""

    def rule(a: Any, axis: Any = None, *, keepdims: bool = False) -> Any:
        if axis is None:
            found = function(a.value.reshape((a.value.shape[0], -1)), axis=1)
            return Batched(a.level, aligned(found, a.ndim) if keepdims else found)
        return Batched(a.level, function(a.value, axis=axis + 1 if axis >= 0 else axis, keepdims=keepdims))

    return rule


def _take_along_axis(arr: Any, indices: Any, axis: Any = -1) -> Any:
    if axis is None or np.ndim(arr) != np.ndim(indices):
        return NotImplemented
    level = top((arr, indices))
    values, places = [widened(level, held(level, x)) for x in (arr, indices)]
    return Batched(level, np.take_along_axis(values, places, axis + 1 if axis >= 0 else axis))


#: What operations end in, for arrays of NumPy's, and is no ufunc.
_RULES: dict[Any, Rule] = {
    np.dot: _dot,
    np.concatenate: _concatenate,
    np.broadcast_to: _broadcast_to,
    np.linalg.solve: _solve,
    **{
        f: _of_stacks(f)
        for f in (
            np.linalg.inv, np.linalg.det, np.linalg.slogdet, np.linalg.cholesky, np.linalg.pinv, np.linalg.eigh,
            np.linalg.svd, np.linalg.qr, np.linalg.eigvalsh, np.linalg.svdvals, np.linalg.matrix_rank,
        )
    },
    **{f: _along(f) for f in (np.sort, np.argsort)},
    **{f: _each(f) for f in (np.real, np.imag)},
    **{f: _transform(f) for f in (np.fft.fft, np.fft.ifft, np.fft.rfft, np.fft.irfft, np.fft.hfft, np.fft.ihfft)},
    **{f: _transforms(f) for f in (np.fft.fftn, np.fft.ifftn)},
    np.argmax: _place_of(np.argmax),
    np.argmin: _place_of(np.argmin),
    np.take_along_axis: _take_along_axis,
}  # fmt: skip

#: Methods that are NumPy's function of the same name.
_METHODS = {
    "all", "any", "argmax", "argmin", "argsort", "choose", "clip", "cumprod", "cumsum", "diagonal", "dot", "max",
    "mean", "min", "prod", "repeat", "round", "searchsorted", "squeeze", "std", "sum", "swapaxes", "take", "trace",
    "var",
}  # fmt: skip


def attribute(x: Any, name: str) -> Any:
    """Give a method of arrays that has no code of its own, as Batched's `__getattr__`."""
    if name in _METHODS:
        return lambda *arguments, **options: getattr(np, name)(x, *arguments, **options)
    if name.startswith("__"):
        raise AttributeError(name)
    remedy = "keep to the functions of nbgrad and NumPy, or use it outside of the function"
    if hasattr(Variable, name):
        remedy = "Variables have it: pass one, nbgrad.tensor(array), as the argument"
    raise AttributeError(f"{x.level.transform}: one of many examples' arrays has no {name!r}: {remedy}")


Batched.product, Batched.looped = staticmethod(product), staticmethod(by_loop)
Batched.multiplied = staticmethod(multiplied)
Batched.__array_function__ = array_function
Batched.__getattr__ = attribute
