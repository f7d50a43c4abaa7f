"""Reductions of arrays over any axes, by way of the two layouts that have kernels: rows and blocks."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import reductions
from ..formula import Expression
from .failures import checked
from .reduction_loops import block_kernel, row_kernel

Array = npt.NDArray[Any]

#: A flat array longer than this is reduced in pieces of it, and then the pieces; the order of additions thus
#: depends on the array alone, whatever the number of threads.
_PIECE = 1 << 15
#: The blocks of rows that a large matrix is cut into, when its columns are reduced.
_BLOCKS = 16


def reduce_array(name: str, x: Array, axes: tuple[int, ...], numbers: tuple[Any, ...] = ()) -> Array:
    """Reduce an array over `axes` (ascending), dropping them, given the reduction's numbers."""
    reduction = reductions.TABLE[name]
    if numbers:
        numbers = tuple(map(np.float64, numbers))
    if len(axes) == x.ndim:
        return _reduce_flat(reduction, x, numbers)
    if not axes:
        return checked(row_kernel(reduction), x[..., None], *numbers, out=...)
    first, last = axes[0], axes[-1]
    if last - first + 1 != len(axes):  # not neighbours: bring them to the end
        kept = tuple(axis for axis in range(x.ndim) if axis not in axes)
        x = x.transpose(kept + axes)
        first, last = len(kept), x.ndim - 1
    length = math.prod(x.shape[first : last + 1])
    if last == x.ndim - 1:
        if last != first:
            x = x.reshape(*x.shape[:first], length)
        return checked(row_kernel(reduction), x, *numbers, out=...)
    if x.ndim == 2 and x.size >= 4 * _PIECE and length >= 2 * _BLOCKS:
        return _reduce_columns(reduction, x, numbers)
    shape = x.shape
    inner = math.prod(shape[last + 1 :])
    if last != first or first != x.ndim - 2:
        x = x.reshape(*shape[:first], length, inner)
    y = checked(block_kernel(reduction), x, *_for_columns(numbers, inner), out=...)
    return y.reshape(*shape[:first], *shape[last + 1 :]) if y.ndim != len(shape) - 1 else y


def _for_columns(numbers: Sequence[Any], columns: int) -> list[Array]:
    """Repeat numbers for each column, as blocks' kernels want them."""
    return [np.ndarray((columns,), np.float64, np.asarray(number), 0, (0,)) for number in numbers]


def _reduce_flat(reduction: reductions.Reduction, x: Array, numbers: Sequence[Any]) -> Array:
    kernel = row_kernel(reduction)
    if x.ndim != 1:
        x = x.reshape(-1) if x.flags.c_contiguous else _forwards(x).ravel(order="K")
    if x.size < 4 * _PIECE:
        return checked(kernel, x, *numbers, out=...) if numbers else checked(kernel, x, out=...)
    if not reduction.splits:
        return _reduce_by_stages(reduction, x, x.size, row_kernel, _in_pieces, numbers)
    pieces = _in_pieces(kernel, x)
    wide = pieces.astype(np.float64) if pieces.dtype == np.float32 else pieces
    return np.asarray(checked(kernel, wide, out=...).astype(pieces.dtype))


def _forwards(x: Array) -> Array:
    """Turn the axes that run backwards: neighbours in memory need no copy to be a line."""
    return x[tuple([slice(None, None, -1 if stride < 0 else 1) for stride in x.strides])]


def reduce_elements(name: str, expression: Expression, mean: bool, *xs: Array) -> Array:
    """Give the sum, or the mean, of an elementwise formula of arrays of one shape."""
    flat = [x if x.ndim == 1 else x.reshape(-1) for x in xs]
    size = flat[0].size
    if size < 4 * _PIECE:
        return checked(row_kernel(reductions.of_elements(name, expression, mean)), *flat, out=...)
    kernel = row_kernel(reductions.of_elements(name, expression, False))
    whole = size // _PIECE * _PIECE
    total = checked(kernel, *[x[:whole].reshape(-1, _PIECE) for x in flat]).sum(dtype=np.float64)
    if whole < size:
        total += checked(kernel, *[x[whole:] for x in flat])
    return np.asarray(total / size if mean else total, xs[0].dtype)


def _in_pieces(kernel: np.ufunc, x: Array, *given: Any) -> Array:
    """Reduce the pieces of a flat array."""
    whole = x.size // _PIECE * _PIECE
    pieces = checked(kernel, x[:whole].reshape(-1, _PIECE), *given)
    return np.append(pieces, checked(kernel, x[whole:], *given, out=...)) if whole < x.size else pieces


def _reduce_columns(reduction: reductions.Reduction, x: Array, numbers: Sequence[Any]) -> Array:
    """Reduce the columns of a large matrix in blocks of rows, which threads can share, and then the blocks."""
    if not reduction.splits:
        given = _for_columns(numbers, x.shape[1])
        return _reduce_by_stages(reduction, x, x.shape[0], block_kernel, _in_blocks, given)
    kernel = block_kernel(reduction)
    return checked(kernel, _in_blocks(kernel, x))


def _in_blocks(kernel: np.ufunc, x: Array, *given: Any) -> Array:
    """Reduce the columns of each block of rows."""
    rows = x.shape[0] // _BLOCKS
    whole = rows * _BLOCKS
    blocks = checked(kernel, x[:whole].reshape(_BLOCKS, rows, x.shape[1]), *given)
    return np.concatenate([blocks, checked(kernel, x[whole:], *given)[None]]) if whole < x.shape[0] else blocks


def _reduce_by_stages(
    reduction: reductions.Reduction,
    x: Array,
    count: int,
    kernel: Callable[[reductions.Reduction], np.ufunc],
    cut: Callable[..., Array],
    numbers: Sequence[Any],
) -> Array:
    """Reduce in parts what is not put together of results for parts: each stage by itself, floating ones in float64."""
    floating = x.dtype.kind == "f" or reduction.floating
    given = [*numbers, *(_for_columns([np.float64(count)], x.shape[1]) if cut is _in_blocks else [np.float64(count)])]
    for first, last in reduction.parts("float64" if floating else None):
        given.append(checked(kernel(last), cut(kernel(first), x, *given), *given, out=...))
    # whole numbers become floating ones as the kernels' ufuncs convert them
    number = x.dtype if x.dtype.kind == "f" or not floating else np.result_type(x.dtype, np.float16, np.float32)
    return np.asarray(given[-1].astype(reduction.result_dtype(number.name)))


def spread_array(name: str, axis: int, *arrays: Array) -> Array:
    """Run a reduction that gives a value for each element along one axis of arrays of one shape."""
    reduction = reductions.TABLE[name]
    x = arrays[0]
    behind = x.ndim - axis
    if behind == 1:
        return checked(row_kernel(reduction), *arrays)
    if behind == 2:
        return checked(block_kernel(reduction), *arrays)
    if not x.ndim:
        return checked(row_kernel(reduction), *(a.reshape(1) for a in arrays)).reshape(())
    blocks = [a.reshape(*x.shape[: axis + 1], math.prod(x.shape[axis + 1 :])) for a in arrays]
    return checked(block_kernel(reduction), *blocks).reshape(x.shape)
