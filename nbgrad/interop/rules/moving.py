"""Functions that move elements about: shapes, orders of axes, pieces, picks and joins."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ... import registry
from ...arrays import is_stand_in
from ...kernels import dispatch
from ...kernels.shapes import broadcast_shapes, numbered_axes, order_of_axes
from ...ops import elementwise as plain
from ...ops import slicing
from ...ops.arguments import axes_of, whole_numbers
from ...ops.joining import cat, stack, take_along_dim
from ...ops.shape import broadcast_to
from ...ops.transfer import clone
from ...variable import Variable, data_of
from .operands import beside, computes, dummy, has_ours, operand, ours

# ---- shapes ---------------------------------------------------------------------------------------------------------


def _shaped(function: Any) -> Any:
    """Make the rule of a function that gives the same elements in the same order."""

    def rule(a: Any, *arguments: Any, **options: Any) -> Any:
        orders = [value for value in (*arguments, *options.values()) if isinstance(value, str)]
        if not ours(a) or orders not in ([], ["C"]):
            return picking(function)(a, *arguments, **options) if isinstance(a, Variable) else NotImplemented
        return a.reshape(function(dummy(a.shape), *arguments, **options).shape)

    return rule


def _permuting(function: Any) -> Any:
    """Make the rule of a function that gives the elements with the axes in another order."""

    def rule(a: Any, *arguments: Any, **options: Any) -> Any:
        if not ours(a):
            return NotImplemented
        order = order_of_axes(function(numbered_axes(a.ndim), *arguments, **options))
        return a.transpose(order) if order else a.reshape(())

    return rule


def _flip(m: Any, axis: Any = None) -> Any:
    """Give a view, where PyTorch's function gives a copy."""
    if not ours(m):
        return NotImplemented
    axes = axes_of("flip", axis, m.ndim)
    return m[tuple([slice(None, None, -1 if i in axes else 1) for i in range(m.ndim)])]


def _flipping(function: Any, axis: int) -> Any:
    def rule(m: Any) -> Any:
        if not ours(m):
            return NotImplemented
        function(dummy(m.shape))  # raises for too few dimensions
        return _flip(m, axis)

    return rule


def _rot90(m: Any, k: int = 1, axes: Any = (0, 1)) -> Any:
    if not ours(m):
        return NotImplemented
    np.rot90(dummy(m.shape), k, axes)  # raises for other axes
    first, second = (axis % m.ndim for axis in axes)
    order = list(range(m.ndim))
    order[first], order[second] = second, first
    turns = k % 4
    if turns % 2 == 0:
        return _flip(m, (first, second)) if turns else m[...]
    return _flip(m, second).transpose(order) if turns == 1 else _flip(m.transpose(order), second)


def _diagonal(a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Any:
    if not isinstance(a, Variable):
        return picking(np.diagonal)(a, offset, axis1, axis2)
    return registry.load("diagonal").function(a, offset, axis1, axis2)


def _diag(v: Any, k: int = 0) -> Any:
    return _diagonal(v, k) if isinstance(v, Variable) and v.ndim == 2 else picking(np.diag)(v, k)


def _ravel(a: Any, order: str = "C") -> Any:
    if isinstance(a, Variable) and order == "C":
        return registry.load("ravel").function(a)
    return _shaped(np.ravel)(a, order)


def _sliding_window_view(
    x: Any, window_shape: Any, axis: Any = None, *, subok: bool = False, writeable: bool = False
) -> Any:
    if not isinstance(x, Variable) or writeable:
        return NotImplemented
    sizes = whole_numbers("sliding_window_view", (window_shape,))
    np.lib.stride_tricks.sliding_window_view(dummy(x.shape), sizes, axis)  # raises for other sizes and axes
    axes = range(x.ndim) if axis is None else whole_numbers("sliding_window_view", (axis,))
    for along, size in zip([place % x.ndim for place in axes], sizes, strict=True):
        x = x.unfold(along, size, 1)
    return x


def _splitting(function: Any, fixed: int | None = None) -> Any:
    """Make the rule of a function that gives pieces of an axis."""

    def rule(ary: Any, indices_or_sections: Any, axis: int = 0) -> Any:
        if not ours(ary) or ours(indices_or_sections) or not ary.ndim:
            return NotImplemented
        function(dummy(ary.shape), indices_or_sections, *([axis] if fixed is None else []))  # raises for other places
        along = axis if fixed is None else 0 if ary.ndim == 1 else fixed
        return list(slicing.tensor_split(ary, indices_or_sections, along))

    return rule


def _atleast(function: Any) -> Any:
    """Make the rule of np.atleast_1d and the like."""

    def rule(*arrays: Any) -> Any:
        found = tuple(x.reshape(function(dummy(x.shape)).shape) for x in map(operand, arrays))
        return found[0] if len(found) == 1 else found

    return rule


def _broadcast_arrays(*arrays: Any, subok: bool = False) -> Any:
    arrays = tuple(map(operand, arrays))
    shape = broadcast_shapes(*(x.shape for x in arrays))
    return tuple(np.broadcast_to(x, shape) for x in arrays)


def _meshgrid(*xi: Any, copy: bool = True, sparse: bool = False, indexing: str = "xy") -> Any:
    xs = [operand(x).reshape(-1) for x in xi]
    if indexing not in ("xy", "ij"):
        return NotImplemented  # NumPy says why
    order = list(range(len(xs)))
    if indexing == "xy" and len(xs) > 1:
        order[:2] = [1, 0]
    parts = [
        x.reshape(tuple(-1 if i == axis else 1 for i in range(len(xs)))) for axis, x in zip(order, xs, strict=True)
    ]
    found = tuple(parts) if sparse else _broadcast_arrays(*parts)
    return tuple(map(slicing.as_copy, found)) if copy else found


def _ix(*args: Any) -> Any:
    if not any(isinstance(x, Variable) for x in args) or any(operand(x).ndim != 1 for x in args):
        return NotImplemented
    count = len(args)
    return tuple(operand(x).reshape(tuple(-1 if j == i else 1 for j in range(count))) for i, x in enumerate(args))


def _unstack(x: Any, /, *, axis: int = 0) -> Any:
    moved = np.moveaxis(x, axis, 0)
    return tuple(moved[i] for i in range(moved.shape[0]))


# ---- picks ----------------------------------------------------------------------------------------------------------


def picking(function: Any) -> Any:
    """Make the rule of a function that gives elements of an array, or zeros, in places that no element decides."""

    def rule(a: Any, *arguments: Any, **options: Any) -> Any:
        if not isinstance(a, Variable) or any(map(ours, (*arguments, *options.values()))):
            return NotImplemented
        numbers = np.arange(1, a.size + 1).reshape(a.shape)
        places = function(numbers, *arguments, **options)
        everything = places.all()
        data, others = a.data, (*arguments, *options.values())
        if is_stand_in(data) and any(isinstance(x, np.ndarray) for x in others):
            places = data.made_again(lambda: function(numbers, *arguments, **options), places)
        if not everything:  # 0 stands for zeros
            return cat([beside(np.zeros(1, a.dtype), a), a.reshape(-1)])[places]
        places = places - 1
        if isinstance(places, np.ndarray):
            places.flags.writeable = False  # nobody needs to look whether they have changed
        return a.reshape(-1)[places]

    return rule


def _pad(array: Any, pad_width: Any, mode: Any = "constant", **options: Any) -> Any:
    if not isinstance(array, Variable):
        return NotImplemented
    if mode in ("edge", "symmetric", "wrap") or (mode == "reflect" and options.get("reflect_type", "even") == "even"):
        return picking(np.pad)(array, pad_width, mode, **options)
    values = options.get("constant_values", 0)
    if mode == "empty":
        mode, values = "constant", 0
    if mode != "constant" or set(options) - {"constant_values"} or has_ours(values):
        return NotImplemented
    padded = picking(np.pad)(array, pad_width)
    if not np.any(values):
        return padded
    around = np.pad(np.zeros(array.shape, array.dtype), pad_width, constant_values=values)
    return padded + beside(around, array)


def _masking(function: Any) -> Any:
    """Make the rule of np.tril and np.triu."""

    def rule(m: Any, k: int = 0) -> Any:
        if not computes(m, "f"):
            return NotImplemented
        mask = function(np.ones(m.shape[-2:] if m.ndim > 1 else m.shape * 2, bool), k)
        return plain.where(beside(mask, m), m, 0)

    return rule


def _take(a: Any, indices: Any, axis: Any = None, out: None = None, mode: str = "raise") -> Any:
    if not isinstance(a, Variable) or out is not None:
        return NotImplemented
    indices = data_of(indices)
    if axis is None:
        a, axis = a.reshape(-1), 0
    if mode != "raise":
        indices, last = np.asarray(indices), a.shape[axis] - 1
        indices = np.mod(indices, last + 1) if mode == "wrap" else np.clip(indices, 0, last)
    return a[(*(slice(None),) * (axis % a.ndim if -a.ndim <= axis < a.ndim else axis), indices)]


def _take_along_axis(arr: Any, indices: Any, axis: Any = -1) -> Any:
    return take_along_dim(arr, indices, axis) if isinstance(arr, Variable) else NotImplemented


def _argument_of(function: Any) -> Any:
    """Make the rule of np.compress and np.extract, whose array is the second argument."""

    def rule(condition: Any, a: Any, axis: Any = None, out: None = None) -> Any:
        if out is not None:
            return NotImplemented
        given = [] if axis is None else [axis]
        return picking(lambda x, c: function(c, x, *given))(a, data_of(condition))

    return rule


def _insert(arr: Any, obj: Any, values: Any, axis: Any = None) -> Any:
    arr, values = operand(arr), operand(values)
    if not (isinstance(arr, Variable) or isinstance(values, Variable)) or ours(obj):
        return NotImplemented
    if axis is None:
        arr, axis = arr.reshape(-1), 0
    numbers = np.arange(1, arr.size + 1).reshape(arr.shape)
    places = np.insert(numbers, obj, -np.arange(1, values.size + 1).reshape(values.shape), axis)
    joined = cat([arr.reshape(-1), values.reshape(-1).astype(arr.dtype)])
    return joined[np.where(places > 0, places - 1, arr.size - 1 - places)]


# ---- joins ----------------------------------------------------------------------------------------------------------


def concatenate(
    arrays: Any, /, axis: Any = 0, out: None = None, *, dtype: Any = None, casting: str = "same_kind"
) -> Any:
    """Join arrays along an axis, which may be that of all elements."""
    if out is not None:
        return NotImplemented
    parts = [operand(x) for x in arrays]
    if axis is None:
        parts, axis = [x.reshape(-1) for x in parts], 0
    return _joined(cat(parts, axis=axis), dtype, casting)


def _stack(arrays: Any, axis: int = 0, out: None = None, *, dtype: Any = None, casting: str = "same_kind") -> Any:
    if out is not None:
        return NotImplemented
    return _joined(stack([operand(x) for x in arrays], axis=axis), dtype, casting)


def _joined(joined: Any, dtype: Any, casting: str) -> Any:
    if dtype is None:
        return joined
    return joined.astype(dtype) if np.can_cast(joined.dtype, dtype, casting) else NotImplemented  # type: ignore[arg-type]


def _stacking(atleast: Any, axis: int) -> Any:
    """Make the rule of np.vstack and the like, which give parts more dimensions and then join them."""

    def rule(tup: Any, *, dtype: Any = None, casting: str = "same_kind") -> Any:
        parts = [atleast(operand(x)) for x in tup]
        along = 0 if axis == 1 and all(x.ndim == 1 for x in parts) else axis
        return concatenate(parts, along, dtype=dtype, casting=casting)

    return rule


def _as_column(x: Any) -> Any:
    return x.reshape(-1, 1) if x.ndim < 2 else x


def _append(arr: Any, values: Any, axis: Any = None) -> Any:
    parts = [operand(arr), operand(values)]
    return np.concatenate(parts, axis) if axis is not None else np.concatenate([np.ravel(x) for x in parts])


def _block(arrays: Any) -> Any:
    """Join nested lists: the innermost along the last axis, those around them along the one before."""

    def depth(value: Any) -> int:
        return 1 + max(map(depth, value)) if isinstance(value, list) and value else int(isinstance(value, list))

    def leaves(value: Any) -> Any:
        return [x for item in value for x in leaves(item)] if isinstance(value, list) else [operand(value)]

    levels = depth(arrays)
    ndim = max(levels, *(x.ndim for x in leaves(arrays)))

    def joined(value: Any, level: int) -> Any:
        if not isinstance(value, list):
            x = operand(value)
            return x.reshape((1,) * (ndim - x.ndim) + tuple(x.shape))
        return np.concatenate([joined(item, level - 1) for item in value], -level)

    return joined(arrays, levels)


def _full_like(
    a: Any, fill_value: Any, dtype: Any = None, order: str = "K", subok: bool = True, shape: Any = None, **device: Any
) -> Any:
    if device.get("device") is not None:
        return NotImplemented
    if not ours(fill_value):
        return _of_number(a, fill_value, dtype, shape) if isinstance(a, Variable) else NotImplemented
    like = operand(a)
    return broadcast_to(
        fill_value.astype(like.dtype if dtype is None else dtype), like.shape if shape is None else shape
    )


def _of_number(a: Any, number: Any, dtype: Any, shape: Any) -> Any:
    """Give an array of a number where another one is; a Variable, into which Variables can be written, for one."""
    shape, data = a.shape if shape is None else shape, data_of(a)
    if is_stand_in(data) or isinstance(data, np.ndarray):
        made = np.full(shape, number, dtype or a.dtype)
    else:
        made = dispatch.full(whole_numbers("np.full_like", (shape,)), number, np.dtype(dtype or a.dtype), data)
    return Variable(made, requires_grad=False) if isinstance(a, Variable) else made


def _filled_like(number: int) -> Any:
    """Make the rule of np.zeros_like and the like; what stands in for arrays meets arrays as well."""

    def rule(
        a: Any, dtype: Any = None, order: str = "K", subok: bool = True, shape: Any = None, *, device: None = None
    ) -> Any:
        return NotImplemented if device is not None or not ours(a) else _of_number(a, number, dtype, shape)

    return rule


def _on_dtypes(function: Any) -> Any:
    """Make the rule of a function that looks at dtypes only."""
    return lambda *values: function(*[np.empty(0, x.dtype) if ours(x) else x for x in values])


def _size(a: Any, axis: Any = None) -> Any:
    return np.size(dummy(a.shape), axis) if ours(a) else NotImplemented


def _same(val: Any) -> Any:
    return val if ours(val) and val.dtype.kind != "c" else NotImplemented


def _array(object: Any, dtype: Any = None, *, like: Any = None, **options: Any) -> Any:
    """Make an array of nested lists that have Variables in them; np.array(list, like=x) asks x for it."""
    if not has_ours(object) or options.get("ndmin") or options.get("order") not in (None, "K", "C"):
        return NotImplemented
    made = operand(object)
    return clone(made) if dtype is None else made.astype(dtype)


RULES: dict[Any, Callable[..., Any]] = {
    **dict.fromkeys((np.array, np.asarray, np.asanyarray, np.ascontiguousarray), _array),
    **dict.fromkeys((np.concatenate, np.concat), concatenate),
    np.stack: _stack,
    np.vstack: _stacking(np.atleast_2d, 0),
    np.hstack: _stacking(np.atleast_1d, 1),
    np.dstack: _stacking(np.atleast_3d, 2),
    np.column_stack: _stacking(_as_column, 1),
    np.append: _append,
    np.block: _block,
    np.insert: _insert,
    np.full_like: _full_like,
    **{f: _filled_like(number) for f, number in ((np.zeros_like, 0), (np.ones_like, 1), (np.empty_like, 0))},
    np.shape: lambda a: a.shape if ours(a) else NotImplemented,
    np.ndim: lambda a: a.ndim if ours(a) else NotImplemented,
    np.size: _size,
    **{f: _on_dtypes(f) for f in (np.result_type, np.can_cast, np.common_type, np.iscomplexobj, np.isrealobj)},
    **{f: _atleast(f) for f in (np.atleast_1d, np.atleast_2d, np.atleast_3d)},
    np.broadcast_to: lambda array, shape, subok=False: broadcast_to(array, shape),
    np.broadcast_arrays: _broadcast_arrays,
    np.meshgrid: _meshgrid,
    np.ix_: _ix,
    np.astype: lambda x, dtype, /, *, copy=True, device=None: x.astype(dtype, copy=copy) if ours(x) else NotImplemented,
    np.copy: lambda a, order="K", subok=False: clone(a),
    **dict.fromkeys((np.real, np.real_if_close), _same),
    **{f: _shaped(f) for f in (np.reshape, np.squeeze, np.expand_dims)},
    np.ravel: _ravel,
    **{
        f: _permuting(f)
        for f in (
            np.transpose, np.permute_dims, np.swapaxes, np.moveaxis, np.rollaxis, np.matrix_transpose,
            np.linalg.matrix_transpose,
        )
    },
    np.flip: _flip,
    np.fliplr: _flipping(np.fliplr, 1),
    np.flipud: _flipping(np.flipud, 0),
    np.rot90: _rot90,
    np.diag: _diag,
    np.diagonal: _diagonal,
    np.linalg.diagonal: lambda x, /, *, offset=0: _diagonal(x, offset, -2, -1),
    np.lib.stride_tricks.sliding_window_view: _sliding_window_view,
    **{f: _splitting(f) for f in (np.split, np.array_split)},
    **{f: _splitting(f, axis) for f, axis in ((np.vsplit, 0), (np.hsplit, 1), (np.dsplit, 2))},
    **{f: picking(f) for f in (np.roll, np.repeat, np.tile, np.resize, np.delete, np.diagflat)},
    np.pad: _pad,
    **{f: _masking(f) for f in (np.tril, np.triu)},
    np.take: _take,
    np.take_along_axis: _take_along_axis,
    np.compress: _argument_of(np.compress),
    np.extract: _argument_of(np.extract),
    np.unstack: _unstack,
}  # fmt: skip
