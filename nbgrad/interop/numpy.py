"""NumPy's functions of Variables (NEP 13 and 18): one table from them to rules.

A rule has the signature of NumPy's function, as far as it goes, and is written in operators, nbgrad's functions and
NumPy's, so that it holds for Variables and for what stands in for arrays while a function is traced. It gives
NotImplemented where it does not apply. `CONSTANT` names the functions whose results have no gradient, or 0 everywhere:
they give what they give for arrays. All others do so where nothing is recorded, and are refused where a gradient
would be lost.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np

from ..grad_mode import is_grad_enabled
from ..kernels import devices
from ..kernels.formula import NUMPY_NAMES, standing_for
from ..kernels.shapes import broadcast_shapes, numbered_axes, order_of_axes
from ..ops import arithmetic, linalg
from ..ops import elementwise as plain
from ..ops import reduction as reductions
from ..ops import scan as scans
from ..ops.joining import cat, stack, take_along_dim
from ..ops.shape import astype, broadcast_to
from ..ops.transfer import clone
from ..variable import Variable, as_array

# ---- the protocols --------------------------------------------------------------------------------------------------


def array_ufunc(self: Variable, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
    """Stand in for a NumPy ufunc that met a Variable (NEP 13)."""
    function = UFUNCS.get(ufunc) or plain.TABLE.get(standing_for(ufunc) or "")  # SciPy's are found late
    if function is not None and method == "__call__" and not options:
        return function(*inputs)
    if method == "accumulate" and ufunc in ACCUMULATING and _takes(ACCUMULATING[ufunc], inputs, options):
        result = ACCUMULATING[ufunc](*inputs, **options)
        if result is not NotImplemented:
            return result
    arrays, recorded = _arrays((inputs, options))
    if recorded and not (ufunc in CONSTANT and method == "__call__" and "out" not in options):
        raise _lost(ufunc, "" if method == "__call__" else f".{method}", options, function)
    if any(isinstance(target, Variable) for target in options.get("out", ())):
        raise TypeError(f"np.{ufunc.__name__} with out= of a Variable: write into x.data, which is an array")
    inputs, options = arrays
    return getattr(ufunc, method)(*inputs, **options)


def array_function(self: Variable, function: Any, types: Any, arguments: Any, options: Any) -> Any:
    """Stand in for another NumPy function that met a Variable (NEP 18)."""
    rule = RULES.get(function)
    if rule is not None:
        if options:
            options = {name: value for name, value in options.items() if value is not np._NoValue}
        if _takes(rule, arguments, options):
            result = rule(*arguments, **options)
            if result is not NotImplemented:
                return result
    (arguments, options), recorded = _arrays((arguments, options))
    if recorded and function not in CONSTANT:
        raise _lost(function, "", options, rule)
    return function(*arguments, **options)


def _arrays(value: Any) -> tuple[Any, bool]:
    """Give arguments with the arrays of all Variables in their places, and whether a gradient would be lost so."""
    recorded = False

    def unwrapped(value: Any) -> Any:
        nonlocal recorded
        if isinstance(value, Variable):
            recorded = recorded or value.requires_grad
            return value.data
        if type(value) is dict:
            return {name: unwrapped(part) for name, part in value.items()}
        return type(value)(map(unwrapped, value)) if type(value) in (list, tuple) else value

    arguments = unwrapped(value)
    return arguments, recorded and is_grad_enabled()


def _takes(rule: Any, arguments: Sequence[Any], options: dict[str, Any]) -> bool:
    """Tell whether a rule has these arguments; that NumPy's function has them, NumPy looked."""
    most, names, others = _parameters(rule)
    return len(arguments) <= most and (others or all(name in names for name in options))


@cache
def _parameters(rule: Any) -> tuple[float, dict[str, None], bool]:
    """Give how many arguments a rule takes by position, the names of its parameters, and whether it takes others."""
    found = inspect.signature(rule).parameters
    kinds = [parameter.kind for parameter in found.values()]
    most = math.inf if inspect.Parameter.VAR_POSITIONAL in kinds else sum(kind <= 1 for kind in kinds)
    return most, dict.fromkeys(found), inspect.Parameter.VAR_KEYWORD in kinds


def _lost(function: Any, method: str, options: dict[str, Any], rule: Any) -> TypeError:
    """Give the exception for a function through which no gradient can pass, naming what there is instead."""
    known, ours = rule is not None, getattr(rule, "__name__", "")
    plainly, module = f"{function.__name__}{method}", str(getattr(function, "__module__", ""))
    if getattr(np, function.__name__, None) is function:
        name = f"np.{plainly}"
    elif isinstance(function, np.ufunc) or not module.startswith("numpy."):
        name = f"the ufunc {plainly}"
    else:
        name = f"{module}.{plainly}".replace("numpy", "np", 1)
    if known and method == ".reduce" and function in _REDUCING:
        remedy = f"use {_REDUCING[function]}"
    elif known and method == ".accumulate" and function in ACCUMULATING:
        remedy = f"use {_SCANS[function]}"
    elif known and method == ".at":
        remedy = _IN_PLACE
    elif known and method:
        remedy = f"use nbgrad.{ours} and what follows from it"
    elif known and isinstance(function, np.ufunc):
        remedy = f"use nbgrad.{ours} without them"
    elif known:
        remedy = f"there it takes ({', '.join(_parameters(rule)[1])}), where out has to be None"
    else:
        remedy = REMEDIES.get(function, "nbgrad has no function for it")
    given = f" with {sorted(options)}" if options else " with these arguments" if known else ""
    return TypeError(
        f"{name}{given} does not work on Variables that require a gradient: {remedy}; where no gradient is needed use "
        "x.data, or no_grad() around it"
    )


# ---- ufuncs ---------------------------------------------------------------------------------------------------------


def _in_double(function: Any, kept: str) -> Any:
    """Give a function that computes in float64 whatever has not one of the `kept` dtypes, as NumPy's does."""

    def floating(*xs: Any) -> Any:
        return function(*(x if type(x) in (int, float) or x.dtype.char in kept else astype(x, float) for x in xs))

    floating.__name__ = function.__name__
    return floating


def _vecdot(x: Any, y: Any) -> Any:
    return reductions.sum(plain.mul(x, y), -1)


def _named(names: Sequence[str]) -> dict[Any, Any]:
    functions = {**plain.TABLE, **{name: getattr(arithmetic, name) for name in arithmetic.__all__}}
    return {getattr(np, name): functions[NUMPY_NAMES.get(name, name)] for name in names}


#: What stands behind NumPy's ufuncs.
UFUNCS: dict[np.ufunc, Any] = {
    **_named(
        [name for name in (*plain.TABLE, *NUMPY_NAMES) if isinstance(getattr(np, name, None), np.ufunc)],
    ),
    **{np.bitwise_and: plain.logical_and, np.bitwise_or: plain.logical_or, np.bitwise_xor: plain.logical_xor},
    np.invert: plain.logical_not,
    np.fabs: _in_double(plain.abs, "efd"),
    np.float_power: _in_double(plain.pow, "d"),
    np.conjugate: plain.positive,
    np.matmul: linalg.matmul,
    np.vecdot: _vecdot,
}

#: What folds by a ufunc, for ``ufunc.reduce``.
_REDUCING = {
    np.add: "np.sum", np.multiply: "np.prod", np.maximum: "np.max", np.minimum: "np.min",
    np.logaddexp: "nbgrad.logsumexp",
}  # fmt: skip


# ---- rules ----------------------------------------------------------------------------------------------------------


def _ours(x: Any) -> bool:
    return isinstance(x, Variable) or hasattr(type(x), "__nbgrad_array__")


def _operand(x: Any) -> Any:
    """Give anything that NumPy takes for an array as one, or as the Variable that it is."""
    return x if isinstance(x, Variable) else as_array(x)


def _plain(x: Any) -> Any:
    """Give a Variable's array, anything else as it is."""
    return x.data if isinstance(x, Variable) else x


def _beside(array: Any, x: Any) -> Any:
    """Give an array where x is: on its GPU, or on the CPU."""
    data = x.data if isinstance(x, Variable) else x
    return devices.moved(array, devices.name_of(data)) if devices.is_cuda(data) else array


def _dummy(shape: tuple[int, ...]) -> Any:
    return np.broadcast_to(np.zeros((), np.int8), shape)


def _shaped(function: Any) -> Any:
    """Make the rule of a function that gives the same elements in the same order."""

    def rule(a: Any, *arguments: Any, **options: Any) -> Any:
        orders = [value for value in (*arguments, *options.values()) if isinstance(value, str)]
        if not _ours(a) or orders not in ([], ["C"]):
            return NotImplemented
        return a.reshape(function(_dummy(a.shape), *arguments, **options).shape)

    return rule


def _permuting(function: Any) -> Any:
    """Make the rule of a function that gives the elements with the axes in another order."""

    def rule(a: Any, *arguments: Any, **options: Any) -> Any:
        if not _ours(a):
            return NotImplemented
        order = order_of_axes(function(numbered_axes(a.ndim), *arguments, **options))
        return a.transpose(order) if order else a.reshape(())

    return rule


def _flipping(function: Any) -> Any:
    """Make the rule of a function that turns axes around."""

    def rule(m: Any, *arguments: Any, **options: Any) -> Any:
        if not _ours(m):
            return NotImplemented
        steps = function(numbered_axes(m.ndim), *arguments, **options).strides
        return m[tuple(slice(None, None, -1 if step < 0 else 1) for step in steps)]

    return rule


def _splitting(function: Any, fixed: int | None = None) -> Any:
    """Make the rule of a function that gives pieces of an axis."""

    def rule(ary: Any, indices_or_sections: Any, axis: int = 0) -> Any:
        if not _ours(ary) or _ours(indices_or_sections) or not ary.ndim:
            return NotImplemented
        along = axis if fixed is None else 0 if ary.ndim == 1 else fixed
        along = along % ary.ndim if -ary.ndim <= along < ary.ndim else along
        places = np.arange(ary.shape[along]).reshape(-1, *(1,) * (ary.ndim - 1 - along))
        places = np.broadcast_to(places, ary.shape)
        pieces = function(places, indices_or_sections, *([axis] if fixed is None else []))
        return [ary[(*[slice(None)] * along, _range_of(piece, along))] for piece in pieces]

    return rule


def _range_of(piece: Any, axis: int) -> slice:
    """Give the slice that places along an axis were cut out by."""
    count = piece.shape[axis]
    if not count or not piece.size:
        return slice(0, count)
    first = int(piece.flat[0])
    return slice(first, first + count)


def _picking(function: Any) -> Any:
    """Make the rule of a function that gives elements of an array, or zeros, in places that no element decides."""

    def rule(a: Any, *arguments: Any, **options: Any) -> Any:
        if not _ours(a) or any(map(_ours, (*arguments, *options.values()))):
            return NotImplemented
        numbers = np.arange(1, a.size + 1).reshape(a.shape)
        places = function(numbers, *arguments, **options)
        everything = places.all()
        data, others = _plain(a), (*arguments, *options.values())
        if hasattr(type(data), "__nbgrad_array__") and any(isinstance(x, np.ndarray) for x in others):
            places = data.made_again(lambda: function(numbers, *arguments, **options), places)
        if not everything:  # 0 stands for zeros
            return cat([_beside(np.zeros(1, a.dtype), a), a.reshape(-1)])[places]
        return a.reshape(-1)[places - 1]

    return rule


def _pad(array: Any, pad_width: Any, mode: Any = "constant", **options: Any) -> Any:
    picks = mode in ("edge", "reflect", "symmetric", "wrap") and options.get("reflect_type", "even") == "even"
    if not picks and (mode != "constant" or np.any(options.get("constant_values", 0))):
        return NotImplemented
    return _picking(np.pad)(array, pad_width, mode, **options)


def _masking(function: Any) -> Any:
    """Make the rule of np.tril and np.triu."""

    def rule(m: Any, k: int = 0) -> Any:
        if not _ours(m) or m.dtype.kind != "f":
            return NotImplemented
        mask = function(np.ones(m.shape[-2:] if m.ndim > 1 else m.shape * 2, bool), k)
        return plain.where(_beside(mask, m), m, 0)

    return rule


def _reduction(name: str) -> Any:
    """Make the rule of a reduction with a dtype, as np.sum."""

    def rule(a: Any, axis: Any = None, dtype: Any = None, out: None = None, keepdims: bool = False) -> Any:
        if out is not None or not _ours(a) or a.dtype.kind not in "fiub":
            return NotImplemented
        return getattr(reductions, name)(a, axis=axis, keepdims=bool(keepdims) or None, dtype=dtype)

    return rule


def _scan(name: str, whole: bool = True) -> Any:
    """Make the rule of np.cumsum or, along the first axis unless another is given, of a ufunc's accumulate."""

    def rule(a: Any, axis: Any = None if whole else 0, dtype: Any = None, out: None = None) -> Any:
        if out is not None or not _ours(a) or a.dtype.kind not in "fiub" or (axis is None and not whole):
            return NotImplemented
        if name in ("cummax", "cummin"):
            return NotImplemented if dtype is not None or not a.ndim else getattr(scans, name)(a, axis)[0]
        if axis is None:
            a, axis = a.reshape(-1), 0
        return getattr(scans, name)(a, axis, dtype=dtype) if a.ndim else NotImplemented

    return rule


def _extremum(name: str) -> Any:
    """Make the rule of np.max or np.min."""

    def rule(a: Any, axis: Any = None, out: None = None, keepdims: bool = False) -> Any:
        if out is not None or not _ours(a) or a.dtype.kind not in "fiu":
            return NotImplemented
        return getattr(reductions, name)(a, axis=axis, keepdims=bool(keepdims) or None)

    return rule


def _ptp(a: Any, axis: Any = None, out: None = None, keepdims: bool = False) -> Any:
    if out is not None:
        return NotImplemented
    return np.max(a, axis, keepdims=bool(keepdims)) - np.min(a, axis, keepdims=bool(keepdims))


def _var(
    a: Any, axis: Any = None, dtype: None = None, out: None = None, ddof: float = 0, keepdims: bool = False, **more: Any
) -> Any:
    ddof = more.pop("correction", ddof)
    if more or dtype is not None or out is not None or not _ours(a) or _ours(ddof) or a.dtype.kind not in "fiub":
        return NotImplemented
    count = a.size // max(np.sum(_dummy(a.shape), axis).size, 1)
    if count <= ddof:
        return NotImplemented  # NumPy warns
    deviations = a - np.mean(a, axis, keepdims=True)
    return np.sum(deviations * deviations, axis, keepdims=bool(keepdims)) / (count - ddof)


def _std(a: Any, *arguments: Any, **options: Any) -> Any:
    variance = _var(a, *arguments, **options)
    return NotImplemented if variance is NotImplemented else np.sqrt(variance)


def _average(a: Any, axis: Any = None, weights: Any = None, returned: bool = False, *, keepdims: bool = False) -> Any:
    if weights is None:
        return NotImplemented if returned else np.mean(a, axis, keepdims=bool(keepdims))
    a, weights = _operand(a), _operand(weights)
    if returned or a.shape != weights.shape:
        return NotImplemented
    total = np.sum(weights, axis, keepdims=bool(keepdims))
    return np.sum(plain.mul(a, weights), axis, keepdims=bool(keepdims)) / total


def _clip(a: Any, a_min: Any = None, a_max: Any = None, out: None = None, *, min: Any = None, max: Any = None) -> Any:
    lowest, highest = (a_min if min is None else min), (a_max if max is None else max)
    if out is not None or not _ours(a) or a.dtype.kind != "f":
        return NotImplemented  # bounds outside of the range of whole numbers: as NumPy has them
    return a.reshape(a.shape) if lowest is None and highest is None else plain.clamp(a, lowest, highest)


def _where(condition: Any, x: Any = None, y: Any = None) -> Any:
    if x is None or y is None:  # the places where it holds
        return np.where(condition.data)
    condition = _operand(condition)
    if condition.dtype != np.bool_:
        condition = plain.ne(condition, 0)
    x, y = (v if isinstance(v, int | float) and not isinstance(v, np.generic) else _operand(v) for v in (x, y))
    return plain.where(condition, x, y)


def _full_like(a: Any, fill_value: Any, dtype: Any = None) -> Any:
    if not isinstance(fill_value, Variable):
        return NotImplemented
    like = _operand(a)
    return broadcast_to(astype(fill_value, like.dtype if dtype is None else dtype), like.shape)


# ---- products


def _dot(a: Any, b: Any, out: None = None) -> Any:
    a, b = _operand(a), _operand(b)
    if out is not None:
        return NotImplemented
    if not a.ndim or not b.ndim:
        return plain.mul(a, b)
    return linalg.matmul(a, b) if b.ndim == 1 or max(a.ndim, b.ndim) <= 2 else np.tensordot(a, b, (-1, -2))


def _inner(a: Any, b: Any) -> Any:
    a, b = _operand(a), _operand(b)
    return np.tensordot(a, b, (-1, -1)) if a.ndim and b.ndim else plain.mul(a, b)


def _vdot(a: Any, b: Any) -> Any:
    return linalg.dot(np.ravel(_operand(a)), np.ravel(_operand(b)))


def _outer(a: Any, b: Any, out: None = None) -> Any:
    if out is not None:
        return NotImplemented
    return np.multiply(np.reshape(_operand(a), (-1, 1)), np.reshape(_operand(b), (1, -1)))


def _tensordot(a: Any, b: Any, axes: Any = 2) -> Any:
    a, b = _operand(a), _operand(b)
    if isinstance(axes, int | np.integer):
        over = list(range(a.ndim - axes, a.ndim)), list(range(axes))
    else:
        over = tuple([int(i)] if np.ndim(i) == 0 else [int(j) for j in i] for i in axes)  # type: ignore[assignment]
    first, second = ([i % x.ndim for i in names] for x, names in zip((a, b), over, strict=True))
    if [a.shape[i] for i in first] != [b.shape[i] for i in second]:
        raise ValueError(f"tensordot: shapes {a.shape} and {b.shape} differ along axes {over[0]} and {over[1]}")
    rows, columns = ([i for i in range(x.ndim) if i not in names] for x, names in ((a, first), (b, second)))
    inner = math.prod(a.shape[i] for i in first)
    left = a.transpose(tuple(rows + first)).reshape(math.prod(a.shape[i] for i in rows), inner)
    right = b.transpose(tuple(second + columns)).reshape(inner, math.prod(b.shape[i] for i in columns))
    return np.matmul(left, right).reshape((*(a.shape[i] for i in rows), *(b.shape[i] for i in columns)))


def _trace(a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Any:
    return np.sum(np.diagonal(a, offset, axis1, axis2), -1)


# ---- joining


def _concatenate(arrays: Any, /, axis: Any = 0, out: None = None, *, dtype: Any = None) -> Any:
    if out is not None:
        return NotImplemented
    parts = [_operand(x) for x in arrays]
    if axis is None:
        parts, axis = [x.reshape(-1) for x in parts], 0
    joined = cat(parts, axis=axis)
    return joined if dtype is None else astype(joined, dtype)


def _stack(arrays: Any, axis: int = 0, out: None = None, *, dtype: Any = None) -> Any:
    if out is not None:
        return NotImplemented
    joined = stack([_operand(x) for x in arrays], axis=axis)
    return joined if dtype is None else astype(joined, dtype)


def _stacking(atleast: Any, axis: int) -> Any:
    """Make the rule of np.vstack and the like, which give parts more dimensions and then join them."""

    def rule(tup: Any, *, dtype: Any = None) -> Any:
        parts = [atleast(_operand(x)) for x in tup]
        return _concatenate(parts, 0 if axis == 1 and all(x.ndim == 1 for x in parts) else axis, dtype=dtype)

    return rule


def _as_column(x: Any) -> Any:
    return x.reshape(-1, 1) if x.ndim < 2 else x


def _atleast(function: Any) -> Any:
    """Make the rule of np.atleast_1d and the like."""

    def rule(*arrays: Any) -> Any:
        found = tuple(x.reshape(function(_dummy(x.shape)).shape) for x in map(_operand, arrays))
        return found[0] if len(found) == 1 else found

    return rule


def _append(arr: Any, values: Any, axis: Any = None) -> Any:
    return np.concatenate([_operand(arr), _operand(values)], axis)


def _broadcast_arrays(*arrays: Any) -> Any:
    shape = broadcast_shapes(*(np.shape(x) for x in arrays))
    return tuple(np.broadcast_to(_operand(x), shape) for x in arrays)


# ---- picking, sorting


def _take(a: Any, indices: Any, axis: Any = None) -> Any:
    if not _ours(a):
        return NotImplemented
    indices = indices.data if isinstance(indices, Variable) else indices
    if axis is None:
        return a.reshape(-1)[indices]
    return a[(*(slice(None),) * (axis % a.ndim if -a.ndim <= axis < a.ndim else axis), indices)]


def _take_along_axis(arr: Any, indices: Any, axis: Any = -1) -> Any:
    return take_along_dim(arr, indices, axis)


def _sort(a: Any, axis: Any = -1, kind: Any = None, *, stable: Any = None) -> Any:
    if not _ours(a) or not a.ndim:
        return NotImplemented
    if axis is None:
        a, axis = a.reshape(-1), 0
    order = np.argsort(a.data if isinstance(a, Variable) else a, axis, kind=kind, stable=stable)
    return take_along_dim(a, order, axis)


def _diff(a: Any, n: int = 1, axis: int = -1) -> Any:
    if not _ours(a) or n < 0 or not -a.ndim <= axis < a.ndim or a.dtype == np.bool_:
        return NotImplemented
    before = [slice(None)] * (axis % a.ndim)
    for _ in range(n):
        a = a[(*before, slice(1, None))] - a[(*before, slice(None, -1))]
    return a


def _unstack(x: Any, /, *, axis: int = 0) -> Any:
    moved = np.moveaxis(x, axis, 0)
    return tuple(moved[i] for i in range(moved.shape[0]))


def _same(val: Any) -> Any:
    return val if _ours(val) and val.dtype.kind != "c" else NotImplemented


RULES: dict[Any, Callable[..., Any]] = {
    **{getattr(np, name): _reduction(name) for name in ("sum", "mean", "prod")},
    **{getattr(np, name): _extremum("a" + name[-3:]) for name in ("max", "min", "amax", "amin")},
    np.cumsum: _scan("cumsum"),
    np.cumprod: _scan("cumprod"),
    np.ptp: _ptp,
    np.var: _var,
    np.std: _std,
    np.average: _average,
    np.clip: _clip,
    np.where: _where,
    np.full_like: _full_like,
    np.dot: _dot,
    np.inner: _inner,
    np.vdot: _vdot,
    **dict.fromkeys((np.outer, np.linalg.outer), _outer),
    **dict.fromkeys((np.tensordot, np.linalg.tensordot), _tensordot),
    np.linalg.matmul: linalg.matmul,
    np.linalg.vecdot: _vecdot,
    np.trace: _trace,
    np.linalg.trace: lambda x, /, *, offset=0: _trace(x, offset, -2, -1),
    **dict.fromkeys((np.concatenate, np.concat), _concatenate),
    np.stack: _stack,
    np.vstack: _stacking(np.atleast_2d, 0),
    np.hstack: _stacking(np.atleast_1d, 1),
    np.dstack: _stacking(np.atleast_3d, 2),
    np.column_stack: _stacking(_as_column, 1),
    np.append: _append,
    **{f: _atleast(f) for f in (np.atleast_1d, np.atleast_2d, np.atleast_3d)},
    np.broadcast_to: lambda array, shape: broadcast_to(array, shape),
    np.broadcast_arrays: _broadcast_arrays,
    np.astype: lambda x, dtype, /, *, copy=True: astype(x, dtype),
    np.copy: lambda a, order="K": clone(a),
    **dict.fromkeys((np.real, np.real_if_close), _same),
    **{f: _shaped(f) for f in (np.reshape, np.ravel, np.squeeze, np.expand_dims)},
    **{
        f: _permuting(f)
        for f in (np.transpose, np.swapaxes, np.moveaxis, np.rollaxis, np.matrix_transpose, np.linalg.matrix_transpose)
    },
    **{f: _flipping(f) for f in (np.flip, np.fliplr, np.flipud)},
    **{f: _splitting(f) for f in (np.split, np.array_split)},
    **{f: _splitting(f, axis) for f, axis in ((np.vsplit, 0), (np.hsplit, 1), (np.dsplit, 2))},
    **{
        f: _picking(f)
        for f in (
            np.roll, np.rot90, np.repeat, np.tile, np.resize, np.delete, np.diag, np.diagflat, np.diagonal,
            np.linalg.diagonal,
        )
    },
    np.pad: _pad,
    **{f: _masking(f) for f in (np.tril, np.triu)},
    np.take: _take,
    np.take_along_axis: _take_along_axis,
    np.compress: lambda condition, a, axis=None: _picking(lambda x, c: np.compress(c, x, axis))(a, _plain(condition)),
    np.extract: lambda condition, arr: _picking(lambda x, c: np.extract(c, x))(arr, _plain(condition)),
    np.sort: _sort,
    np.diff: _diff,
    np.unstack: _unstack,
}  # fmt: skip

#: What stands behind ``ufunc.accumulate``.
ACCUMULATING = {
    np.add: _scan("cumsum", False), np.multiply: _scan("cumprod", False), np.maximum: _scan("cummax", False),
    np.minimum: _scan("cummin", False),
}  # fmt: skip
_SCANS = {np.add: "np.cumsum", np.multiply: "np.cumprod", np.maximum: "nbgrad.cummax", np.minimum: "nbgrad.cummin"}

#: Functions whose results have no gradient, or one of 0 wherever there is one.
CONSTANT: frozenset[Any] = frozenset({
    # shapes, dtypes and memory
    np.ndim, np.shape, np.size, np.zeros_like, np.ones_like, np.empty_like, np.full_like, np.result_type, np.can_cast,
    np.common_type, np.min_scalar_type, np.iscomplexobj, np.isrealobj, np.may_share_memory, np.shares_memory,
    np.einsum_path,
    # truth
    np.all, np.any, np.allclose, np.array_equal, np.array_equiv, np.count_nonzero, np.isclose, np.iscomplex, np.isin,
    np.isneginf, np.isposinf, np.isreal, np.isnan, np.isinf, np.isfinite, np.signbit,
    # places
    np.argmax, np.argmin, np.argsort, np.argpartition, np.argwhere, np.flatnonzero, np.nonzero, np.nanargmax,
    np.nanargmin, np.searchsorted, np.digitize, np.lexsort, np.tril_indices_from, np.triu_indices_from,
    np.diag_indices_from, np.linalg.matrix_rank,
    # steps
    np.round, np.around, np.fix, np.floor, np.ceil, np.trunc, np.rint, np.imag, np.angle,
    # text and files
    np.array2string, np.array_repr, np.array_str, np.save, np.savez, np.savez_compressed, np.savetxt,
})  # fmt: skip

_IN_PLACE = "Variables are not changed in place: nbgrad.where and nbgrad.cat make new ones"
_CHOICE = "use nbgrad.where"

#: What to write instead of functions that have no rule.
REMEDIES: dict[Any, str] = {
    **dict.fromkeys((np.copyto, np.put, np.place, np.putmask, np.put_along_axis, np.fill_diagonal), _IN_PLACE),
    **dict.fromkeys((np.choose, np.select, np.piecewise), _CHOICE),
    **dict.fromkeys((np.linalg.norm, np.linalg.vector_norm, np.linalg.matrix_norm), "use nbgrad.sqrt((x * x).sum())"),
    np.einsum: "use nbgrad.matmul, nbgrad.permute and nbgrad.sum",
    np.linalg.multi_dot: "use nbgrad.matmul",
    np.block: "use nbgrad.cat",
    **dict.fromkeys((np.fmax, np.fmin), "use nbgrad.maximum or nbgrad.minimum, which give NaN where either is"),
}
