"""Putting elements where a mask holds."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..arrays import is_array, is_stand_in
from ..function import constant
from ..kernels import dispatch
from ..registry import operation
from ..variable import Variable, data_of
from .elementwise import maximum, where
from .indexing import GetItem, from_zero, getitem
from .picking import mask_of, operand
from .places import WriteAt, is_few
from .putting import are_alike, put_at
from .scan import cumsum
from .shape import Reshape, astype, broadcast_to, reshape


@operation
def masked_fill(input: Any, mask: Any, value: Any) -> Any:
    """Put one value where a mask holds; the two broadcast. Raises TypeError for another mask, ValueError for values.

    >>> import nbgrad
    >>> nbgrad.tensor([1.0, 2.0]).masked_fill(nbgrad.tensor([True, False]), 0.0)
    Variable([0., 2.])
    """
    if type(input) is Variable and (type(value) is float or type(value) is int) and input._array.dtype.char in "fd":
        given = mask if type(mask) is Variable else constant(mask) if type(mask) is np.ndarray else None
        if given is not None and given._array.dtype.char == "?":
            return where(given, value, input)
    x, where_ = operand(input), mask_of("masked_fill", mask)
    if np.ndim(data_of(value)):
        raise ValueError(f"masked_fill: the value has shape {np.shape(data_of(value))}: give one number")
    if isinstance(value, Variable) or is_array(value):
        value = value if value.dtype == x.dtype else astype(value, x.dtype)
    elif isinstance(value, float) and x.dtype.kind != "f":
        raise TypeError(f"masked_fill: {value} does not fit dtype {x.dtype}")
    else:
        value = np.asarray(value, x.dtype)
    if isinstance(x, Variable):
        where_ = Variable(where_, requires_grad=False)
    return where(where_, value, x)


@operation
def masked_scatter(input: Any, mask: Any, source: Any) -> Any:
    """Put elements of source, in order, where a mask holds; the mask broadcasts with input.

    Raises TypeError for another mask or dtype, ValueError for too few elements.
    """
    if is_few(input) and is_few(source) and type(mask) is Variable and are_alike(input, source):
        holds = mask._array
        if holds.dtype.char == "?" and holds.shape == input._array.shape:
            there = np.flatnonzero(holds)
            if there.size <= source._array.size:
                flat = Reshape.apply(source, (source._array.size,))
                return WriteAt.apply(input, GetItem.apply(flat, slice(0, there.size)), there)
    x, where_, s = operand(input), mask_of("masked_scatter", mask), operand(source)
    if s.dtype != x.dtype:
        raise TypeError(f"masked_scatter: source has dtype {s.dtype}, input {x.dtype}: convert one of them")
    shape = np.broadcast_shapes(x.shape, where_.shape)
    x = x if tuple(x.shape) == shape else broadcast_to(x, shape)
    where_ = where_ if where_.shape == shape else dispatch.broadcast_to(where_, shape)
    if is_stand_in(where_):
        return _in_turn(x, where_, reshape(s, (s.size,)))
    count = int(dispatch.in_numpy(where_).sum())
    if count > s.size:
        raise ValueError(f"masked_scatter: {s.size} elements for {count} places")
    values = getitem(reshape(s, (s.size,)), slice(0, count))
    if is_few(x) and type(values) is Variable and count:
        return WriteAt.apply(x, values, np.flatnonzero(where_))
    return put_at(x, where_, values) if shape else where(where_, reshape(values, ()) if count else x, x)


def _in_turn(x: Any, mask: Any, line: Any) -> Any:
    """Put elements of a line, in order, where a mask holds that has no elements yet: each place's is counted."""
    turns = reshape(cumsum(reshape(mask, (mask.size,)).astype(np.int64), 0), mask.shape)
    few = "masked_scatter: {} elements for {} places"
    turns = from_zero(turns, line.size + 1, lambda low, high: ValueError(few.format(line.size, high)), "masked_scatter")
    if not line.size:
        return x
    taken = getitem(line, maximum(turns - 1, 0))
    return where(mask, taken, x)
