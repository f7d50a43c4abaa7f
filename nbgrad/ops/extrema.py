"""The largest and the smallest elements, with their places where these are asked for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, overload

from ..arrays import Array, as_array, is_array
from ..function import constant
from ..kernels import dispatch
from ..kernels.cpu import small
from ..kernels.lazy import lazy
from ..registry import operation
from ..variable import Given, Variable, data_of
from .arguments import axes_of, either
from .joining import TakeAlong, is_small, take_along_dim
from .reduction import Amax, Amin, reduce
from .shape import Reshape


class ValuesAndIndices(NamedTuple):
    """What `max` and `min` give along one dimension."""

    values: Any
    indices: Any

    def __array__(self, *_: Any, **__: Any) -> Any:
        """Refuse to be one array, which would have the indices for its second row. Raises TypeError."""
        raise TypeError(
            "values and their indices were about to become one array: take .values, or give axis= instead of dim where "
            "values are all that is wanted, as in x.max(axis=-1, keepdims=True)"
        )


class _Calls:
    """The compiled call that finds extrema, made when it is first asked for."""

    @lazy
    def places(self) -> Callable[[Array, int, bool, bool], Array]:
        made: Callable[[Array, int, bool, bool], Array] = small.reductions.places().function(_first_met)
        return made


_calls = _Calls()


def _first_met(x: Array, along: int, keepdim: bool, largest: bool) -> Array:
    """Give where the extremum of each line along an axis is first met."""
    found: Array = dispatch.extreme_places("max" if largest else "min", x, along)
    return found if keepdim else found.reshape((*x.shape[:along], *x.shape[along + 1 :]))


def _extreme(which: str, x: Any, dim: Any, keepdim: bool, axis: Any, keepdims: bool | None) -> Any:
    if isinstance(dim, Variable) or is_array(dim):  # max(x, y)
        from . import elementwise as table

        return (table.maximum if which == "max" else table.minimum)(x, dim)
    if type(dim) is int and type(x) is Variable and axis is keepdims is None and type(keepdim) is bool:
        if is_small(x._array) and 0 <= dim < x._array.ndim and x._array.size:
            return _along(x, dim, keepdim, which == "max")
    kind = Amax if which == "max" else Amin
    if axis is not None or dim is None or isinstance(dim, tuple | list):
        return reduce(kind, x, dim, keepdim, axis, keepdims)
    keepdim = bool(either(which, "keepdim", keepdim or None, "keepdims", keepdims, False))
    if not isinstance(x, Variable):
        x = as_array(x)
    data = data_of(x)
    (along,) = axes_of(which, dim, data.ndim) or (0,)
    if data.ndim and data.shape[along] == 0:
        raise ValueError(f"{which}: no elements to take it of in shape {x.shape} over dimension {dim}")
    if is_small(data):
        return _along(x, along, keepdim, which == "max")
    indices = dispatch.extreme_places(which, data, along if x.ndim else None)
    values = take_along_dim(x, indices, along)
    if not keepdim and x.ndim:
        shape = (*x.shape[:along], *x.shape[along + 1 :])
        values, indices = Reshape(shape)(values), indices.reshape(shape)
    return ValuesAndIndices(values, constant(indices) if isinstance(x, Variable) else indices)


def _along(x: Any, along: int, keepdim: bool, largest: bool) -> ValuesAndIndices:
    """Give the extremum of each line of a small array."""
    indices = _calls.places(data_of(x), along, keepdim, largest)
    values = TakeAlong.apply(x, indices.copy(), along)  # users may write to theirs
    return ValuesAndIndices(values, constant(indices) if isinstance(x, Variable) else indices)


@overload
def max(
    input: Given, dim: int, keepdim: bool = False, *, axis: None = None, keepdims: bool | None = None
) -> ValuesAndIndices: ...
@overload
def max(
    input: Given, dim: Any = None, keepdim: bool = False, *, axis: Any = None, keepdims: bool | None = None
) -> Given: ...
@operation
def max(input: Any, dim: Any = None, keepdim: bool = False, *, axis: Any = None, keepdims: bool | None = None) -> Any:
    """Give the largest element.

    Spelled PyTorch's way with one dimension, ``max(x, dim)``, it gives (values, indices), and the gradient goes to the
    element at the index. Spelled NumPy's way, ``max(x, axis=...)``, or over all or several dimensions, it gives the
    values, as `amax` does. ``max(x, y)`` is `maximum`.

    Raises ValueError where there are no elements.

    >>> import nbgrad
    >>> x = nbgrad.tensor([[1.0, 5.0], [7.0, 2.0]])
    >>> nbgrad.max(x, 1).indices
    Variable([1, 0])
    >>> nbgrad.max(x, axis=1)
    Variable([5., 7.])
    """
    return _extreme("max", input, dim, keepdim, axis, keepdims)


@overload
def min(
    input: Given, dim: int, keepdim: bool = False, *, axis: None = None, keepdims: bool | None = None
) -> ValuesAndIndices: ...
@overload
def min(
    input: Given, dim: Any = None, keepdim: bool = False, *, axis: Any = None, keepdims: bool | None = None
) -> Given: ...
@operation
def min(input: Any, dim: Any = None, keepdim: bool = False, *, axis: Any = None, keepdims: bool | None = None) -> Any:
    """Give the smallest element, in the ways of `max`."""
    return _extreme("min", input, dim, keepdim, axis, keepdims)


# ---- places ---------------------------------------------------------------------------------------------------------


class MinimaAndMaxima(NamedTuple):
    """What `aminmax` gives."""

    min: Any
    max: Any


def _places(which: str, x: Any, dim: Any, keepdim: Any, axis: Any, keepdims: Any) -> Any:
    if type(dim) is int and type(x) is Variable and axis is keepdims is None and type(keepdim) is bool:
        if is_small(x._array) and 0 <= dim < x._array.ndim and x._array.size:
            return constant(_calls.places(x._array, dim, keepdim, which == "max"))
    what = f"arg{which}"
    dim = either(what, "dim", dim, "axis", axis)
    keep = bool(either(what, "keepdim", keepdim or None, "keepdims", keepdims, False))
    given = isinstance(x, Variable)
    data = as_array(data_of(x))
    shape = data.shape
    if dim is None:
        data, along, kept = data.reshape(-1), 0, (1,) * len(shape)
    else:
        along = (*axes_of(what, dim, data.ndim), 0)[0]
        kept = tuple(1 if i == along else size for i, size in enumerate(shape))
    if data.ndim and not data.shape[along]:
        error = ValueError if dim is None else IndexError
        raise error(f"{what}: no elements to look for it in shape {shape}")
    found = dispatch.extreme_places(which, data, along if data.ndim else None)
    found = found.reshape(
        kept if keep else tuple(n for i, n in enumerate(shape) if i != along) if dim is not None else ()
    )
    return Variable(found, requires_grad=False) if given else found


@operation
def argmax(
    input: Given,
    dim: int | None = None,
    keepdim: bool = False,
    *,
    axis: int | None = None,
    keepdims: bool | None = None,
) -> Given:
    """Give the first place of the largest element along a dimension, or in all of input, as int64; NaN is the largest.

    >>> import nbgrad
    >>> nbgrad.argmax(nbgrad.tensor([[1.0, 5.0], [7.0, 2.0]]), 1)
    Variable([1, 0])
    """
    found: Given = _places("max", input, dim, keepdim, axis, keepdims)
    return found


@operation
def argmin(
    input: Given,
    dim: int | None = None,
    keepdim: bool = False,
    *,
    axis: int | None = None,
    keepdims: bool | None = None,
) -> Given:
    """Give the first place of the smallest element, in the ways of `argmax`."""
    found: Given = _places("min", input, dim, keepdim, axis, keepdims)
    return found


@operation
def aminmax(
    input: Any, *, dim: int | None = None, keepdim: bool = False, axis: int | None = None, keepdims: bool | None = None
) -> MinimaAndMaxima:
    """Give the smallest and the largest element along a dimension, or of all: (min, max); ties share the gradient."""
    dim = either("aminmax", "dim", dim, "axis", axis)
    low, high = (reduce(kind, input, dim, keepdim, None, keepdims) for kind in (Amin, Amax))
    return MinimaAndMaxima(low, high)
