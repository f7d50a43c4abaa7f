"""Rows of tables, by whole numbers: one each, or what several in a bag add up to."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from ..arrays import as_array, is_stand_in
from ..function import constant
from ..grad_mode import no_grad
from ..kernels import dispatch
from ..ops.elementwise import eq, mul, ne, where
from ..ops.extrema import max
from ..ops.indexing import bounds, from_zero, getitem, own_places
from ..ops.norms import vector_norm
from ..ops.reduction import sum
from ..ops.shape import reshape, unsqueeze
from ..variable import Variable, data_of
from .windows import operand

__all__ = ["embedding", "embedding_bag", "one_hot"]


@lru_cache(64)
def _numbers_up_to(count: int) -> Any:
    return np.arange(count)


def one_hot(tensor: Any, num_classes: int = -1) -> Any:
    """Give for each whole number a row of zeros with a one at its place, of dtype int64.

    There are as many classes as are given, or one more than the largest number. Raises TypeError for what is no whole
    number, ValueError for numbers outside of the classes, and for none to tell how many classes there are.

    >>> import nbgrad
    >>> nbgrad.nn.functional.one_hot(nbgrad.tensor([1, 0]), 3)
    Variable([[0, 1, 0],
              [1, 0, 0]])
    """
    given = data_of(tensor) if isinstance(tensor, Variable) else as_array(tensor)
    if type(given) is np.ndarray and type(num_classes) is int:
        own = own_places(given, num_classes)
        if own is not None:
            chosen = np.zeros((own.size, num_classes), np.int64)
            chosen[_numbers_up_to(own.size), own.reshape(-1)] = 1
            chosen = chosen.reshape(*own.shape, num_classes)
            return constant(chosen) if isinstance(tensor, Variable) else chosen
    if given.dtype.kind not in "iu":
        raise TypeError(f"one_hot: numbers have dtype {given.dtype}: they must be whole")
    if is_stand_in(given):
        if num_classes < 1:
            raise ValueError("one_hot: give num_classes: their number must not depend on elements of a traced array")
    elif num_classes == -1:
        if not given.size:
            raise ValueError("one_hot: give num_classes: no numbers tell how many there are")
        highest = int(bounds(given)[1])
        num_classes = highest + 1 if highest >= 0 else 1
    if num_classes < 1:
        raise ValueError(f"one_hot: {num_classes} classes: give a whole number of at least 1")
    given = from_zero(
        given,
        num_classes,
        lambda low, high: ValueError(f"one_hot: numbers from {low} to {high} in {num_classes} classes"),
        "one_hot",
    )
    classes = dispatch.beside(np.arange(num_classes), given)
    chosen = eq(reshape(given, *given.shape, 1), classes).astype(np.int64)
    return Variable(chosen) if isinstance(tensor, Variable) else chosen


def _positions(what: str, x: Any) -> Any:
    given = data_of(x) if isinstance(x, Variable) else as_array(x)
    if given.dtype.kind not in "iu":
        raise TypeError(f"{what}: positions have dtype {given.dtype}: they must be whole numbers")
    return given


def _padding(what: str, padding_idx: int | None, count: int) -> int | None:
    if padding_idx is None:
        return None
    if not -count <= padding_idx < count:
        raise ValueError(f"{what}: padding_idx is {padding_idx}, and weight has {count} rows")
    return padding_idx % count


def _shorten(weight: Any, positions: Any, max_norm: float, norm_type: float) -> None:
    """Make the rows at positions no longer than max_norm, in place, as nobody's gradient sees."""
    rows = np.unique(dispatch.in_numpy(positions))
    table = data_of(weight)
    with no_grad():
        picked = getitem(table, dispatch.beside(rows, table))
        lengths = vector_norm(picked, norm_type, 1, True)
        factors = where(lengths > max_norm, max_norm / (lengths + 1e-7), 1.0)
        table[rows] = mul(picked, factors)


def _weight(what: str, weight: Any) -> Any:
    w = operand(what, weight)
    if w.ndim != 2:
        raise ValueError(f"{what}: weight has shape {w.shape}: it must have two dimensions")
    return w


def embedding(
    input: Any,
    weight: Any,
    padding_idx: int | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> Any:
    """Give the rows of weight at positions: (*positions, width).

    The row `padding_idx` gets no gradient. Rows longer than `max_norm` are shortened in place first; with
    `scale_grad_by_freq` gradients are divided by how often a row was asked for. With `sparse` they are dense as well.

    Raises TypeError for positions that are not whole, IndexError for those outside, ValueError for a weight that is no
    matrix and a padding_idx outside.

    >>> import nbgrad
    >>> table = nbgrad.tensor([[1.0, 2.0], [3.0, 4.0]])
    >>> nbgrad.nn.functional.embedding(nbgrad.tensor([1, 1]), table)
    Variable([[3., 4.],
              [3., 4.]])
    """
    w, positions = _weight("embedding", weight), _positions("embedding", input)
    padding = _padding("embedding", padding_idx, w.shape[0])
    positions = _among("embedding", positions, w.shape[0])
    if max_norm is not None:
        _shorten(w, positions, max_norm, norm_type)
    rows = getitem(w, positions)
    if not isinstance(rows, Variable):
        return rows
    if padding is not None:
        rows = where(unsqueeze(Variable(ne(positions, padding)), -1), rows, rows.detach())
    if scale_grad_by_freq:
        host = dispatch.in_numpy(positions)
        counts = np.bincount(host.reshape(-1), minlength=w.shape[0])
        share = dispatch.beside((1 / counts[host]).astype(w.dtype)[..., None], data_of(rows))
        # the value stays, its gradient is divided
        rows = mul(rows, share) + mul(rows.detach(), 1 - share)
    return rows


def _among(what: str, positions: Any, count: int) -> Any:
    """Give positions; raises IndexError for those outside, and for negative ones, which elsewhere count backwards."""

    def refusal(lowest: int, highest: int) -> Exception:
        return IndexError(f"{what}: positions from {lowest} to {highest}, and weight has {count} rows")

    return from_zero(positions, count, refusal, what)


def embedding_bag(
    input: Any,
    weight: Any,
    offsets: Any = None,
    max_norm: float | None = None,
    norm_type: float = 2,
    scale_grad_by_freq: bool = False,
    mode: str = "mean",
    sparse: bool = False,
    per_sample_weights: Any = None,
    include_last_offset: bool = False,
    padding_idx: int | None = None,
) -> Any:
    """Give the sum, the mean or the maximum of the rows of weight in each bag: (bags, width).

    Bags are the rows of a matrix of positions; or positions are a vector, and `offsets` tell where each bag begins (and
    with `include_last_offset` where the last one ends). Rows may have weights, for sums. Positions of `padding_idx` do
    not count. An empty bag has zeros. Further arguments are those of `embedding`.

    Raises ValueError for another mode, shapes and offsets that do not match, TypeError for positions that are not
    whole, IndexError for those outside.
    """
    what = "embedding_bag"
    w, positions = _weight(what, weight), _positions(what, input)
    padding = _padding(what, padding_idx, w.shape[0])
    if mode not in ("sum", "mean", "max"):
        raise ValueError(f"{what}: mode is {mode!r}: give 'sum', 'mean' or 'max'")
    if per_sample_weights is not None and (mode != "sum" or per_sample_weights.shape != input.shape):
        raise ValueError(
            f"{what}: per_sample_weights of shape {per_sample_weights.shape} for positions of shape {positions.shape} "
            f"and mode {mode!r}: they are of one shape, and for mode='sum'"
        )
    if scale_grad_by_freq and mode == "max":
        raise ValueError(f"{what}: scale_grad_by_freq is for sums and means")
    if positions.ndim == 2:
        if offsets is not None:
            raise ValueError(f"{what}: offsets are for a vector of positions, got shape {positions.shape}")
        table, there = positions, None
        weights = per_sample_weights
    elif positions.ndim == 1:
        if offsets is None:
            raise ValueError(f"{what}: give offsets for a vector of positions")
        places, there = _bags(what, _positions(what, offsets), positions.size, include_last_offset)
        table = positions[places] if positions.size else np.zeros(places.shape, np.int64)
        weights = None
        if per_sample_weights is not None:
            weights = getitem(per_sample_weights, dispatch.beside(places, data_of(per_sample_weights)))
    else:
        raise ValueError(f"{what}: positions have shape {positions.shape}: they have one dimension or two")
    table = _among(what, table, w.shape[0])
    if max_norm is not None:
        _shorten(w, positions, max_norm, norm_type)
    return _of_bags(w, table, there, weights, padding, mode, scale_grad_by_freq)


def _bags(what: str, offsets: Any, count: int, last_too: bool) -> tuple[Any, Any]:
    """Give bags of a vector as rows of places in it, as long as the longest, and tell which of them are there."""
    if is_stand_in(offsets):
        raise TypeError(
            f"{what}: traced offsets: how long bags are depends on elements, which a traced function's must not"
        )
    if offsets.ndim != 1:
        raise ValueError(f"{what}: offsets have shape {offsets.shape}: they must have one dimension")
    starts = dispatch.in_numpy(offsets).astype(np.int64)
    if last_too and not starts.size:
        raise ValueError(f"{what}: no offsets, of which one ends the last bag")
    if starts.size and (starts[0] != 0 or starts[-1] > count or (np.diff(starts) < 0).any()):
        raise ValueError(f"{what}: offsets {starts} must begin with 0, ascend, and not go beyond {count} positions")
    ends = starts[1:] if last_too else np.append(starts[1:], count)
    starts = starts[: len(ends)]
    lengths = ends - starts
    along = np.arange(lengths.max(initial=0))
    there = along < lengths[:, None]
    return np.where(there, starts[:, None] + along, 0), there


def _of_bags(w: Any, table: Any, there: Any, weights: Any, padding: int | None, mode: str, by_frequency: bool) -> Any:
    if padding is not None:
        kept = ne(table, padding)
        there = kept if there is None else kept & dispatch.beside(there, kept)
    rows = embedding(table, w, None, scale_grad_by_freq=by_frequency) if not by_frequency else _scaled(w, table, there)
    if weights is not None:
        rows = mul(rows, unsqueeze(weights, -1))
    mask = None if there is None else dispatch.beside(there, data_of(rows))[..., None]
    if mode == "max":
        return _largest(rows, mask)
    total = sum(rows if mask is None else where(mask, rows, 0.0), 1)
    if mode == "sum":
        return total
    counts = np.full((table.shape[0], 1), table.shape[1]) if there is None else there.sum(1, keepdims=True)
    return mul(total, dispatch.beside((1 / np.maximum(counts, 1)).astype(w.dtype), data_of(total)))


def _scaled(w: Any, table: Any, there: Any) -> Any:
    """Give rows whose gradients are divided by how often they are in all bags."""
    rows = getitem(w, table)
    if not isinstance(rows, Variable):
        return rows
    host = dispatch.in_numpy(table)
    counted = host if there is None else host[dispatch.in_numpy(there)]
    counts = np.maximum(np.bincount(counted.reshape(-1), minlength=w.shape[0]), 1)
    share = dispatch.beside((1 / counts[host]).astype(w.dtype)[..., None], data_of(rows))
    return mul(rows, share) + mul(rows.detach(), 1 - share)


def _largest(rows: Any, mask: Any) -> Any:
    if not rows.shape[1]:
        return sum(rows, 1)
    if mask is None:
        return max(rows, 1)[0]
    values = max(where(mask, rows, -np.inf), 1)[0]
    return where(mask.any(1), values, 0.0)
