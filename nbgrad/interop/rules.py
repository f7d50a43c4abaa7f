"""What stands behind NumPy's functions, for Variables and for what stands in for arrays: one table.

A rule has the signature of NumPy's function, as far as it goes, and is written in operators, nbgrad's functions and
NumPy's, so that it holds for both. It gives NotImplemented where it does not apply: then NumPy's function gets the
arrays. So do stand-ins where NumPy's function moves elements about as no view does; its own code is the best for that.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ..arrays import as_array, is_stand_in
from ..kernels import dispatch
from ..kernels.cpu.elementwise import DTYPES
from ..kernels.formula import COMPARISON, NUMPY_NAMES
from ..kernels.shapes import broadcast_shapes, numbered_axes, order_of_axes
from ..ops import elementwise as plain
from ..ops import linalg, slicing, statistics
from ..ops import reduction as reductions
from ..ops import scan as scans
from ..ops.joining import cat, stack, take_along_dim
from ..ops.shape import astype, broadcast_to
from ..ops.transfer import clone
from ..registry import ENTRIES
from ..variable import Variable, data_of

# ---- ufuncs ---------------------------------------------------------------------------------------------------------


def _in_double(function: Any, kept: str) -> Any:
    """Give a function that computes in float64 whatever has not one of the `kept` dtypes, as NumPy's does."""

    def floating(*xs: Any) -> Any:
        return function(*(x if type(x) in (int, float) or x.dtype.char in kept else astype(x, float) for x in xs))

    floating.__name__ = function.__name__
    return floating


def _vecdot(x: Any, y: Any) -> Any:
    return reductions.sum(plain.mul(x, y), -1)


#: What stands behind NumPy's ufuncs: operations of their names, for most.
UFUNCS: dict[np.ufunc, Any] = {
    **{
        getattr(np, name): ENTRIES[NUMPY_NAMES.get(name, name)].function
        for name in (*ENTRIES, *NUMPY_NAMES)
        if isinstance(getattr(np, name, None), np.ufunc)
    },
    **{np.bitwise_and: plain.logical_and, np.bitwise_or: plain.logical_or, np.bitwise_xor: plain.logical_xor},
    np.invert: plain.logical_not,
    np.fabs: _in_double(plain.abs, "efd"),
    np.float_power: _in_double(plain.pow, "d"),
    np.conjugate: plain.positive,
    np.vecdot: _vecdot,
}

#: What folds by a ufunc, for ``ufunc.reduce``.
REDUCING = {
    np.add: "np.sum", np.multiply: "np.prod", np.maximum: "np.max", np.minimum: "np.min",
    np.logaddexp: "nbgrad.logsumexp",
}  # fmt: skip


# ---- rules ----------------------------------------------------------------------------------------------------------


def _ours(x: Any) -> bool:
    return isinstance(x, Variable) or is_stand_in(x)


def _computes(x: Any, kinds: str = "fiub") -> bool:
    """Tell whether a value is ours and has a dtype, of some kinds, that our functions compute in as NumPy's do."""
    if isinstance(x, Variable):
        return x.dtype.kind in kinds
    return is_stand_in(x) and x.dtype.kind in kinds and _has_kernels(x.dtype)


def _has_kernels(dtype: Any) -> bool:
    dtype = np.dtype(dtype)
    return dtype.char in DTYPES[COMPARISON] and dtype.isnative


def _is_complex(*operands: Any) -> bool:
    return any(x.dtype.kind == "c" for x in operands)


def _operand(x: Any) -> Any:
    """Give anything that NumPy takes for an array as one, or as the Variable that it is."""
    return x if isinstance(x, Variable) else as_array(x)


def _beside(array: Any, x: Any) -> Any:
    """Return an array on the target of x."""
    return dispatch.beside(array, data_of(x))


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


def _flip(m: Any, axis: Any = None) -> Any:
    return slicing.flip(m, axis=axis) if _ours(m) else NotImplemented


def _splitting(function: Any, fixed: int | None = None) -> Any:
    """Make the rule of a function that gives pieces of an axis."""

    def rule(ary: Any, indices_or_sections: Any, axis: int = 0) -> Any:
        if not _ours(ary) or _ours(indices_or_sections) or not ary.ndim:
            return NotImplemented
        function(_dummy(ary.shape), indices_or_sections, *([axis] if fixed is None else []))  # raises for other places
        along = axis if fixed is None else 0 if ary.ndim == 1 else fixed
        return list(slicing.tensor_split(ary, indices_or_sections, along))

    return rule


def _picking(function: Any) -> Any:
    """Make the rule of a function that gives elements of an array, or zeros, in places that no element decides."""

    def rule(a: Any, *arguments: Any, **options: Any) -> Any:
        if not isinstance(a, Variable) or any(map(_ours, (*arguments, *options.values()))):
            return NotImplemented
        numbers = np.arange(1, a.size + 1).reshape(a.shape)
        places = function(numbers, *arguments, **options)
        everything = places.all()
        data, others = a.data, (*arguments, *options.values())
        if is_stand_in(data) and any(isinstance(x, np.ndarray) for x in others):
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
        if not _computes(m, "f"):
            return NotImplemented
        mask = function(np.ones(m.shape[-2:] if m.ndim > 1 else m.shape * 2, bool), k)
        return plain.where(_beside(mask, m), m, 0)

    return rule


def _reduction(name: str) -> Any:
    """Make the rule of a reduction with a dtype, as np.sum."""

    def rule(a: Any, axis: Any = None, dtype: Any = None, out: None = None, keepdims: bool = False) -> Any:
        if out is not None or not _computes(a) or (dtype is not None and not _has_kernels(dtype)):
            return NotImplemented
        return getattr(reductions, name)(a, axis=axis, keepdims=bool(keepdims) or None, dtype=dtype)

    return rule


def _scan(name: str, whole: bool = True) -> Any:
    """Make the rule of np.cumsum or, along the first axis unless another is given, of a ufunc's accumulate."""

    def rule(a: Any, axis: Any = None if whole else 0, dtype: Any = None, out: None = None) -> Any:
        if out is not None or not _computes(a) or (axis is None and not whole):
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
        if out is not None or not _computes(a, "fiu"):
            return NotImplemented
        return getattr(reductions, name)(a, axis=axis, keepdims=bool(keepdims) or None)

    return rule


def _ptp(a: Any, axis: Any = None, out: None = None, keepdims: bool = False) -> Any:
    if out is not None:
        return NotImplemented
    return np.max(a, axis, keepdims=bool(keepdims)) - np.min(a, axis, keepdims=bool(keepdims))


def _deviation(function: Any) -> Any:
    """Make the rule of np.var or np.std."""

    def rule(
        a: Any,
        axis: Any = None,
        dtype: Any = None,
        out: None = None,
        ddof: float = 0,
        keepdims: bool = False,
        **more: Any,
    ) -> Any:
        ddof = more.pop("correction", ddof)
        if more or dtype is not None or out is not None or not _computes(a) or _ours(ddof):
            return NotImplemented
        return function(a, axis=axis, correction=ddof, keepdims=bool(keepdims) or None)

    return rule


def _count(function: Any) -> Any:
    """Make the rule of np.any and the like; of Variables they tell what they tell of arrays."""

    def rule(a: Any, axis: Any = None, out: None = None, keepdims: bool = False) -> Any:
        if out is not None or isinstance(a, Variable) or not _computes(a):
            return NotImplemented
        return function(a, axis=axis, keepdims=bool(keepdims) or None)

    return rule


def _average(a: Any, axis: Any = None, weights: Any = None, returned: bool = False, *, keepdims: bool = False) -> Any:
    if weights is None:
        return NotImplemented if returned else np.mean(a, axis, keepdims=bool(keepdims))
    a, weights = _operand(a), _operand(weights)
    if returned or a.shape != weights.shape or not any(x.dtype.kind == "f" for x in (a, weights)):
        return NotImplemented
    total = np.sum(weights, axis, keepdims=bool(keepdims))
    return np.sum(plain.mul(a, weights), axis, keepdims=bool(keepdims)) / total


def _clip(a: Any, a_min: Any = None, a_max: Any = None, out: None = None, *, min: Any = None, max: Any = None) -> Any:
    if out is not None or not _computes(a, "f"):
        return NotImplemented  # bounds outside of the range of whole numbers: as NumPy has them
    bounds = [a_min if min is None else min, a_max if max is None else max]
    lowest, highest = (v if v is None or isinstance(v, int | float) else _operand(v) for v in bounds)
    return a.reshape(a.shape) if lowest is None and highest is None else plain.clamp(a, lowest, highest)


def _where(condition: Any, x: Any = None, y: Any = None) -> Any:
    if x is None or y is None:  # the places where it holds
        return np.where(condition.data) if isinstance(condition, Variable) else NotImplemented
    condition = _operand(condition)
    x, y = (v if _is_number(v) else _operand(v) for v in (x, y))
    values = [v for v in (condition, x, y) if not _is_number(v)]
    if any(map(is_stand_in, values)) and not all(_has_kernels(v.dtype) for v in values):
        return NotImplemented
    if is_stand_in(condition) and _is_number(x) and _is_number(y):
        x, y = np.asarray(x)[()], np.asarray(y)[()]  # of the dtypes that NumPy gives them
    if condition.dtype != np.bool_:
        condition = plain.ne(condition, 0)
    return plain.where(condition, x, y)


def _is_number(x: Any) -> bool:
    return isinstance(x, int | float) and not isinstance(x, np.generic)


def _full_like(a: Any, fill_value: Any, dtype: Any = None) -> Any:
    if not _ours(fill_value):
        return NotImplemented
    like = _operand(a)
    return broadcast_to(fill_value.astype(like.dtype if dtype is None else dtype), like.shape)


def _filled_like(number: int) -> Any:
    """Make the rule of np.zeros_like and the like; what stands in for arrays meets arrays as well."""

    def rule(a: Any, dtype: Any = None, *, shape: Any = None) -> Any:
        if not is_stand_in(a):
            return NotImplemented
        return np.full(a.shape if shape is None else shape, number, dtype or a.dtype)

    return rule


def _on_dtypes(function: Any) -> Any:
    """Make the rule of a function that looks at dtypes only."""
    return lambda *values: function(*[np.empty(0, x.dtype) if _ours(x) else x for x in values])


def _size(a: Any, axis: Any = None) -> Any:
    return np.size(_dummy(a.shape), axis) if _ours(a) else NotImplemented


# ---- products


def _dot(a: Any, b: Any, out: None = None) -> Any:
    a, b = _operand(a), _operand(b)
    if out is not None or _is_complex(a, b):
        return NotImplemented
    if not a.ndim or not b.ndim:
        return np.multiply(a, b)
    return linalg.matmul(a, b) if b.ndim == 1 or max(a.ndim, b.ndim) <= 2 else np.tensordot(a, b, (-1, -2))


def _inner(a: Any, b: Any) -> Any:
    a, b = _operand(a), _operand(b)
    return np.tensordot(a, b, (-1, -1)) if a.ndim and b.ndim else np.multiply(a, b)


def _vdot(a: Any, b: Any) -> Any:
    a, b = _operand(a), _operand(b)
    return NotImplemented if _is_complex(a, b) else np.matmul(np.ravel(a), np.ravel(b))


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
    if not isinstance(a, Variable):
        return NotImplemented
    return np.sum(np.diagonal(a, offset, axis1, axis2), -1)


# ---- joining


def _concatenate(arrays: Any, /, axis: Any = 0, out: None = None, *, dtype: Any = None) -> Any:
    if out is not None:
        return NotImplemented
    parts = [_operand(x) for x in arrays]
    if axis is None:
        parts, axis = [x.reshape(-1) for x in parts], 0
    return _joined(cat(parts, axis=axis), dtype)


def _stack(arrays: Any, axis: int = 0, out: None = None, *, dtype: Any = None) -> Any:
    if out is not None:
        return NotImplemented
    return _joined(stack([_operand(x) for x in arrays], axis=axis), dtype)


def _joined(joined: Any, dtype: Any) -> Any:
    if dtype is None:
        return joined
    return joined.astype(dtype) if np.can_cast(joined.dtype, dtype, "same_kind") else NotImplemented


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
    parts = [_operand(arr), _operand(values)]
    return np.concatenate(parts, axis) if axis is not None else np.concatenate([np.ravel(x) for x in parts])


def _broadcast_arrays(*arrays: Any) -> Any:
    shape = broadcast_shapes(*(np.shape(x) for x in arrays))
    return tuple(np.broadcast_to(_operand(x), shape) for x in arrays)


# ---- picking, sorting


def _take(a: Any, indices: Any, axis: Any = None) -> Any:
    if not isinstance(a, Variable):
        return NotImplemented
    indices = data_of(indices)
    if axis is None:
        return a.reshape(-1)[indices]
    return a[(*(slice(None),) * (axis % a.ndim if -a.ndim <= axis < a.ndim else axis), indices)]


def _take_along_axis(arr: Any, indices: Any, axis: Any = -1) -> Any:
    return take_along_dim(arr, indices, axis) if isinstance(arr, Variable) else NotImplemented


def _sort(a: Any, axis: Any = -1, kind: Any = None, *, stable: Any = None) -> Any:
    if not isinstance(a, Variable) or not a.ndim:
        return NotImplemented
    if axis is None:
        a, axis = a.reshape(-1), 0
    return take_along_dim(a, np.argsort(a.data, axis, kind=kind, stable=stable), axis)


def _diff(a: Any, n: int = 1, axis: int = -1, prepend: Any = None, append: Any = None) -> Any:
    if not _computes(a) or n < 0 or not -a.ndim <= axis < a.ndim:
        return NotImplemented

    def end(value: Any) -> Any:
        value = None if value is None else _operand(value)
        if value is None or value.ndim:
            return value
        return np.broadcast_to(value, tuple(1 if i == axis % a.ndim else size for i, size in enumerate(a.shape)))

    return slicing.diff(a, n, axis, end(prepend), end(append))


def _unstack(x: Any, /, *, axis: int = 0) -> Any:
    moved = np.moveaxis(x, axis, 0)
    return tuple(moved[i] for i in range(moved.shape[0]))


def _same(val: Any) -> Any:
    return val if _ours(val) and val.dtype.kind != "c" else NotImplemented


RULES: dict[Any, Callable[..., Any]] = {
    np.cumsum: _scan("cumsum"),
    np.cumprod: _scan("cumprod"),
    **{getattr(np, name): _reduction(name) for name in ("sum", "mean", "prod")},
    **{getattr(np, name): _extremum("a" + name[-3:]) for name in ("max", "min", "amax", "amin")},
    np.ptp: _ptp,
    np.var: _deviation(statistics.var),
    np.std: _deviation(statistics.std),
    np.any: _count(statistics.any),
    np.all: _count(statistics.all),
    np.count_nonzero: _count(statistics.count_nonzero),
    np.average: _average,
    np.clip: _clip,
    np.where: _where,
    np.full_like: _full_like,
    **{f: _filled_like(number) for f, number in ((np.zeros_like, 0), (np.ones_like, 1), (np.empty_like, 0))},
    np.shape: lambda a: a.shape if _ours(a) else NotImplemented,
    np.ndim: lambda a: a.ndim if _ours(a) else NotImplemented,
    np.size: _size,
    **{f: _on_dtypes(f) for f in (np.result_type, np.can_cast, np.common_type, np.iscomplexobj, np.isrealobj)},
    np.dot: _dot,
    np.inner: _inner,
    np.vdot: _vdot,
    **dict.fromkeys((np.outer, np.linalg.outer), _outer),
    **dict.fromkeys((np.tensordot, np.linalg.tensordot), _tensordot),
    np.linalg.matmul: lambda x1, x2, /: np.matmul(x1, x2),
    np.linalg.vecdot: lambda x1, x2, /: _vecdot(x1, x2) if _computes(x1) or _computes(x2) else NotImplemented,
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
    np.astype: lambda x, dtype, /, *, copy=True: x.astype(dtype) if _ours(x) else NotImplemented,
    np.copy: lambda a, order="K": clone(a),
    **dict.fromkeys((np.real, np.real_if_close), _same),
    **{f: _shaped(f) for f in (np.reshape, np.ravel, np.squeeze, np.expand_dims)},
    **{
        f: _permuting(f)
        for f in (np.transpose, np.swapaxes, np.moveaxis, np.rollaxis, np.matrix_transpose, np.linalg.matrix_transpose)
    },
    np.flip: _flip,
    np.fliplr: lambda m: slicing.fliplr(m),
    np.flipud: lambda m: slicing.flipud(m),
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
    np.compress: lambda condition, a, axis=None: _picking(lambda x, c: np.compress(c, x, axis))(a, data_of(condition)),
    np.extract: lambda condition, arr: _picking(lambda x, c: np.extract(c, x))(arr, data_of(condition)),
    np.sort: _sort,
    np.diff: _diff,
    np.unstack: _unstack,
}  # fmt: skip

#: What stands behind ``ufunc.accumulate``.
ACCUMULATING = {
    np.add: _scan("cumsum", False), np.multiply: _scan("cumprod", False), np.maximum: _scan("cummax", False),
    np.minimum: _scan("cummin", False),
}  # fmt: skip
SCANS = {np.add: "np.cumsum", np.multiply: "np.cumprod", np.maximum: "nbgrad.cummax", np.minimum: "nbgrad.cummin"}

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

IN_PLACE = "Variables are not changed in place: nbgrad.where and nbgrad.cat make new ones"
_CHOICE = "use nbgrad.where"

#: What to write instead of functions that have no rule.
REMEDIES: dict[Any, str] = {
    **dict.fromkeys((np.copyto, np.put, np.place, np.putmask, np.put_along_axis, np.fill_diagonal), IN_PLACE),
    **dict.fromkeys((np.choose, np.select, np.piecewise), _CHOICE),
    **dict.fromkeys((np.linalg.norm, np.linalg.vector_norm, np.linalg.matrix_norm), "use nbgrad.sqrt((x * x).sum())"),
    np.einsum: "use nbgrad.matmul, nbgrad.permute and nbgrad.sum",
    np.linalg.multi_dot: "use nbgrad.matmul",
    np.block: "use nbgrad.cat",
    **dict.fromkeys((np.fmax, np.fmin), "use nbgrad.maximum or nbgrad.minimum, which give NaN where either is"),
}
