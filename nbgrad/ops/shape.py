"""Functions that move elements about without changing them; each is the adjoint of another."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from ..arrays import Array
from ..function import Operation, constant
from ..kernels import dispatch
from ..kernels.cpu import small
from ..kernels.dispatch import sum_to_shape
from ..registry import operation
from ..variable import Given, Variable
from .arguments import axes_of, axis_of, either, whole_numbers


class Reshape(Operation):
    """The same elements in another shape."""

    __slots__ = ("shape",)
    aliases = linear = even = True
    reads_all = False
    kept = ("shape",)
    work = staticmethod(lambda: small.views.reshape())

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shape = shape

    def forward(self, x: Array) -> Array:
        try:
            return x.reshape(self.shape)
        except ValueError:
            raise ValueError(f"reshape: {x.size} elements of shape {x.shape} do not fill shape {self.shape}") from None

    def vjp(self, gy: Any, y: Any, x: Any) -> Any:
        return Reshape.apply(gy, x.shape)


class Permute(Operation):
    """The same elements with the axes in another order."""

    __slots__ = ("axes",)
    aliases = linear = even = True
    reads_all = False
    kept = ("axes",)
    work = staticmethod(lambda: small.views.permute())

    def __init__(self, axes: tuple[int, ...]) -> None:
        self.axes = axes

    def forward(self, x: Array) -> Array:
        return x.transpose(self.axes)

    def vjp(self, gy: Any, y: Any, x: Any) -> Any:
        return Permute.apply(gy, tuple(sorted(range(len(self.axes)), key=self.axes.__getitem__)))


class BroadcastTo(Operation):
    """The elements repeated along new and stretched axes, as a view."""

    __slots__ = ("shape",)
    aliases = linear = even = True
    reads_all = False
    kept = ("shape",)
    work = staticmethod(lambda: small.views.broadcast())

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shape = shape

    def forward(self, x: Array) -> Array:
        if x.ndim == 0 and isinstance(
            x, np.ndarray
        ):  # the gradient of every sum; four times as fast as np.broadcast_to
            view: Array = np.ndarray(self.shape, x.dtype, x, 0, (0,) * len(self.shape))
            view.flags.writeable = False
            return view
        try:
            return dispatch.broadcast_to(x, self.shape)
        except ValueError:
            raise ValueError(f"broadcast_to: shape {x.shape} does not broadcast to {self.shape}") from None

    def vjp(self, gy: Any, y: Any, x: Any) -> Any:
        return SumTo.apply(gy, x.shape)


class SumTo(Operation):
    """Sums over the axes that broadcasting from `shape` would stretch."""

    __slots__ = ("shape",)
    aliases = linear = even = True
    reads_all = False
    kept = ("shape",)
    work = staticmethod(lambda: small.reductions.sum_to())

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shape = shape

    def forward(self, x: Array) -> Array:
        return sum_to_shape(x, self.shape)

    def vjp(self, gy: Any, y: Any, x: Any) -> Any:
        return BroadcastTo.apply(gy, x.shape)


class Repeat(Operation):
    """What reducing over axes gave, with or without these, repeated along them, as a view; the adjoint of a sum."""

    __slots__ = ("axes", "shape")
    aliases = linear = even = True
    reads_all = False
    kept = ("axes", "shape")
    work = staticmethod(lambda: small.views.spread())

    def __init__(self, axes: tuple[int, ...], shape: tuple[int, ...]) -> None:
        self.axes, self.shape = axes, shape

    @property
    def before(self) -> tuple[int, ...]:
        """The shape with one element along the axes."""
        return tuple([1 if axis in self.axes else size for axis, size in enumerate(self.shape)])

    def forward(self, x: Array) -> Array:
        return BroadcastTo(self.shape).forward(x.reshape(self.before) if 0 < x.ndim < len(self.shape) else x)

    def vjp(self, gy: Any, y: Any, x: Any) -> Any:
        return Reshape.apply(SumTo.apply(gy, self.before), x.shape)


class AsType(Operation):
    """The elements converted to another dtype."""

    __slots__ = ("dtype",)
    linear = even = True
    reads_all = False
    kept = ("dtype",)
    work = staticmethod(lambda: small.conversion.cast())

    def __init__(self, dtype: np.dtype[Any]) -> None:
        self.dtype = dtype

    def forward(self, x: Array) -> Array:
        with np.errstate(all="ignore"):  # overflow to infinity is as silent as everywhere
            return x.astype(self.dtype)

    def vjp(self, gy: Any, y: Any, x: Any) -> Any:
        return AsType.apply(gy, x.dtype)


@operation
def reshape(input: Given, *shape: Any) -> Given:
    """Give the elements in another shape; one size may be -1.

    Raises ValueError where the numbers of elements differ.

    >>> import nbgrad
    >>> nbgrad.arange(4).reshape(2, -1)
    Variable([[0, 1],
              [2, 3]])
    """
    return Reshape.apply(input, whole_numbers("reshape", shape))


@operation
def view(input: Given, *shape: Any) -> Given:
    """Give the elements in another shape, like `reshape`."""
    return reshape(input, *shape)


@operation
def flatten(input: Given, start_dim: int = 0, end_dim: int = -1) -> Given:
    """Join the dimensions from `start_dim` to `end_dim` into one."""
    if type(input) is Variable and start_dim == 0 and end_dim == -1:
        return Reshape.apply(input, (-1,))
    if not input.ndim:
        return Reshape.apply(input, (1,))
    first: int = axis_of("flatten", start_dim, input.ndim)
    last: int = axis_of("flatten", end_dim, input.ndim)
    if first > last:
        raise ValueError(f"flatten: start_dim {start_dim} comes after end_dim {end_dim}")
    return Reshape.apply(
        input, (*input.shape[:first], math.prod(input.shape[first : last + 1]), *input.shape[last + 1 :])
    )


@operation
def squeeze(input: Given, dim: int | Sequence[int] | None = None, *, axis: Any = None) -> Given:
    """Drop dimensions of size 1: all of them, or those named."""
    if type(dim) is int and axis is None and type(input) is Variable:
        shape: tuple[int, ...] = input._array.shape
        along: int = dim
        if 0 <= along < len(shape):
            return Reshape.apply(input, (*shape[:along], *shape[along + 1 :]) if shape[along] == 1 else shape)
    drop = axes_of("squeeze", either("squeeze", "dim", dim, "axis", axis), input.ndim)
    return Reshape.apply(input, tuple([size for axis, size in enumerate(input.shape) if axis not in drop or size != 1]))


@operation
def unsqueeze(input: Given, dim: int) -> Given:
    """Insert a dimension of size 1 at `dim`."""
    shape: tuple[int, ...] = (input._array if type(input) is Variable else input).shape
    known = type(dim) is int and 0 <= dim <= len(shape)
    axis: int = dim if known else axis_of("unsqueeze", dim, len(shape) + 1)
    return Reshape.apply(input, (*shape[:axis], 1, *shape[axis:]))


@operation
def permute(input: Given, *dims: Any) -> Given:
    """Put the dimensions into another order.

    Raises ValueError for anything but a permutation of all dimensions.
    """
    axes = whole_numbers("permute", dims)
    if sorted(axes) == [*range(input.ndim)]:
        return Permute.apply(input, axes)
    order = tuple(axis_of("permute", axis, input.ndim) for axis in axes)
    if sorted(order) != list(range(input.ndim)):
        raise ValueError(f"permute: {axes} is no permutation of the {input.ndim} dimensions")
    return Permute.apply(input, order)


@operation
def transpose(input: Given, *dims: Any, dim0: int | None = None, dim1: int | None = None) -> Given:
    """Exchange two dimensions (PyTorch's ``transpose(x, 0, 1)``), or reorder all of them (NumPy's).

    Without dimensions all are reversed; a permutation may be given as one sequence.
    """
    if type(input) is Variable and len(dims) == 2 and type(dims[0]) is int is type(dims[1]) and dim0 is dim1 is None:
        ndim, (first, second) = input._array.ndim, dims
        if first < 0 or second < 0:
            first, second = first + ndim if first < 0 else first, second + ndim if second < 0 else second
        if 0 <= first < ndim and 0 <= second < ndim:
            return Permute.apply(input, _exchanged(ndim, first, second))
    if dim0 is not None or dim1 is not None:
        dims = tuple(d for d in (*dims, dim0, dim1) if d is not None)
        if len(dims) != 2:
            raise TypeError(f"transpose: dim0 and dim1 are two dimensions, got {dims}")
    axes = whole_numbers("transpose", tuple(d for d in dims if d is not None))
    if not axes:
        return Permute.apply(input, tuple(range(input.ndim))[::-1])
    if len(axes) != 2 or isinstance(dims[0], tuple | list):
        return permute(input, axes)
    # PyTorch lets a scalar have a dimension
    first, second = (axis_of("transpose", axis, input.ndim or 1) for axis in axes)
    if not input.ndim:
        return Permute.apply(input, ())
    return Permute.apply(input, _exchanged(input.ndim, first, second))


@lru_cache(256)
def _exchanged(ndim: int, first: int, second: int) -> tuple[int, ...]:
    order = list(range(ndim))
    order[first], order[second] = order[second], order[first]
    return tuple(order)


@operation
def swapaxes(input: Given, axis1: int, axis2: int) -> Given:
    """Exchange two dimensions."""
    return transpose(input, axis1, axis2)


_REVERSED = (), (0,), (1, 0)


@operation
def t(input: Given) -> Given:
    """Transpose a matrix; vectors and scalars stay as they are.

    Raises ValueError for more than two dimensions.
    """
    ndim = (input._array if type(input) is Variable else input).ndim
    if ndim > 2:
        raise ValueError(f"t: takes at most 2 dimensions, got shape {input.shape}: use transpose or permute")
    return Permute.apply(input, _REVERSED[ndim])


@operation
def broadcast_to(input: Given, shape: Any) -> Given:
    """Repeat the elements to fill `shape`, as a view.

    Raises ValueError where the shapes do not fit.
    """
    return BroadcastTo.apply(input, whole_numbers("broadcast_to", (shape,) if isinstance(shape, int) else tuple(shape)))


@operation
def expand(input: Given, *shape: Any) -> Given:
    """Repeat the elements along dimensions of size 1; -1 keeps a size."""
    sizes = whole_numbers("expand", shape)
    mine = (input._array if type(input) is Variable else input).shape
    if -1 not in sizes and len(sizes) >= len(mine):
        return BroadcastTo.apply(input, sizes)
    kept = (1,) * (len(sizes) - len(mine)) + tuple(mine)
    if len(kept) != len(sizes):
        raise ValueError(f"expand: shape {input.shape} has more dimensions than {sizes}")
    return BroadcastTo.apply(input, tuple([old if new == -1 else new for new, old in zip(sizes, kept, strict=True)]))


@operation
def expand_as(input: Given, other: Any) -> Given:
    """Repeat the elements to fill the shape of `other`."""
    return BroadcastTo.apply(input, tuple(other.shape))


@operation(method=False)
def sum_to(input: Given, shape: Any) -> Given:
    """Sum over whatever broadcasting from `shape` to the shape of input would repeat; the adjoint of `broadcast_to`.

    Raises ValueError where `shape` does not broadcast to the shape of input.
    """
    target = whole_numbers("sum_to", (shape,) if isinstance(shape, int) else tuple(shape))
    fits = len(target) <= input.ndim and all(
        small in (1, size) for small, size in zip(target[::-1], input.shape[::-1], strict=False)
    )
    if not fits:
        raise ValueError(f"sum_to: shape {target} does not broadcast to the shape {input.shape} of input")
    return SumTo.apply(input, target)


#: Dtypes by what names them most often: those that need no questions.
_USUAL: dict[Any, np.dtype[Any]] = {
    name: np.dtype(code)
    for code in "?bhilBHILfd"
    for name in (np.dtype(code), np.dtype(code).type, np.dtype(code).name)
} | {bool: np.dtype(bool), int: np.dtype(int), float: np.dtype(float)}


def usual_dtype(name: Any) -> np.dtype[Any] | None:
    """Give the dtype of a name, if it is one of the usual ones; None for anything else."""
    try:
        return _USUAL.get(name)
    except TypeError:  # not hashable
        return None


def astype(input: Given, dtype: npt.DTypeLike) -> Given:
    """Do what the function of this name does for users, and give input itself where it has the dtype."""
    if type(input) is Variable and type(input._array) is np.ndarray:
        found = usual_dtype(dtype)
        if found is input._array.dtype:
            return input
        if found is not None:
            return AsType.apply(input, found) if found.char in "fd" else constant(AsType.apply(input._array, found))
    target = np.dtype(dtype)
    if target.kind not in "fiub":
        raise TypeError(f"astype: {target} is not a numeric dtype")
    if not isinstance(input, Variable):
        return AsType(target)(input)
    target = target.newbyteorder("=")
    if input.dtype == target:
        return input
    result: Variable = AsType(target)(input)
    if target.char in "fd":
        return result
    if target.kind == "f" and result.requires_grad:
        raise TypeError(
            f"astype: {target} has no gradients, and that of x would be lost unseen: convert x.detach(), or keep to "
            "float32 and float64"
        )
    return result.detach()
