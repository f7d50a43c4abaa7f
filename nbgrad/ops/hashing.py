"""Hashes of arrays."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from ..arrays import Array, as_array
from ..kernels import dispatch, placement
from ..registry import operation
from ..variable import Variable, data_of
from .arguments import axes_of, either
from .steps import plain


def _hashed(axes: tuple[int, ...], keepdim: bool, x: Array) -> Array:
    if x.dtype.kind == "f":
        bits = np.asarray(x, np.float64, order="C").view(np.uint64)
    else:
        bits = x.astype(np.uint64)
    exclusive_or: Any = np.bitwise_xor  # whose overloads know no bool that may be either
    return as_array(exclusive_or.reduce(bits, axes, keepdims=keepdim))


@operation
def hash_tensor(
    input: Any, dim: Any = None, keepdim: bool = False, *, mode: int = 0, axis: Any = None, keepdims: bool | None = None
) -> Any:
    """Give a hash of all elements, or of those along dimensions: of their 64 bits, as float64 or int64, as uint64.

    It is their exclusive or (`mode` 0, there is no other), which no order of the elements changes. Raises ValueError
    for another mode, and for all elements where there are none.

    >>> import nbgrad
    >>> nbgrad.hash_tensor(nbgrad.tensor([[1, 2], [3, 4]]), 1)
    Variable([3, 7], dtype=uint64)
    """
    x = plain(input)
    dim = either("hash_tensor", "dim", dim, "axis", axis)
    keep = bool(either("hash_tensor", "keepdim", keepdim or None, "keepdims", keepdims, False))
    if mode != 0:
        raise ValueError(f"hash_tensor: mode is {mode!r}: there is 0, the exclusive or")
    if x.dtype.kind not in "fiub":
        raise TypeError(f"hash_tensor: dtype {x.dtype}: takes numbers")
    everything = dim is None or (isinstance(dim, tuple | list) and not dim)
    if everything and 0 in x.shape:
        raise ValueError(f"hash_tensor: shape {tuple(x.shape)} has no elements: give dim")
    data = data_of(x)
    placement.only_on_cpu("hash_tensor", "NumPy", (data,))
    axes = axes_of("hash_tensor", None if everything else dim, x.ndim)
    found = dispatch.called("hash_tensor", partial(_hashed, axes, keep), data)
    return Variable(found, requires_grad=False) if isinstance(x, Variable) else found
