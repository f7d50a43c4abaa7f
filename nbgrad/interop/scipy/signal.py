"""Convolution of several dimensions, with the arguments of HIPS autograd's scipy.signal.convolve."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ...ops.contraction import einsum
from ..rules.operands import together


def convolve(A: Any, B: Any, axes: Any = None, dot_axes: Any = None, mode: str = "full") -> Any:
    """Convolve along pairs of axes, sum products over others (`dot_axes`), and keep the rest: those of A, of B, and
    the convolved ones last.

    Modes are "full", "same" (as A) and "valid", where one covers the other along all axes. Raises ValueError otherwise.
    """
    A, B = together(A, B)
    along_a, along_b = [list(range(A.ndim)), list(range(B.ndim))] if axes is None else [list(a) for a in axes]
    dot_a, dot_b = ([], []) if dot_axes is None else [list(a) for a in dot_axes]
    pairs = list(zip(along_a, along_b, strict=True))
    if mode not in ("full", "same", "valid"):
        raise ValueError(f"convolve: mode {mode!r}: give 'full', 'same' or 'valid'")
    covered = [A.shape[i] >= B.shape[j] for i, j in pairs]
    if mode == "valid" and not all(covered):
        if any(A.shape[i] > B.shape[j] for i, j in pairs):
            raise ValueError(f"convolve: shapes {A.shape} and {B.shape}: in mode 'valid' one must cover the other")
        found = convolve(B, A, (along_b, along_a), (dot_b, dot_a), mode)
        rest_b, rest_a = B.ndim - len(along_b) - len(dot_b), A.ndim - len(along_a) - len(dot_a)
        order = [*range(rest_b, rest_b + rest_a), *range(rest_b), *range(rest_b + rest_a, found.ndim)]
        return np.transpose(found, order)
    if mode != "valid":
        widths = [(0, 0)] * A.ndim
        for i, j in pairs:
            size = B.shape[j] - 1
            widths[i] = (size, size) if mode == "full" else (size - size // 2, size // 2)
        A = np.pad(A, widths)
    A = _windows(A, along_a, [B.shape[j] for j in along_b])
    # windows are A's axes, with the places in the window at the end
    letters = iter("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
    names_a = [next(letters) for _ in range(A.ndim - len(pairs))]
    inner = [next(letters) for _ in pairs]
    names_b = [next(letters) for _ in range(B.ndim)]
    for (_, j), name in zip(pairs, inner, strict=True):
        names_b[j] = name
    for i, j in zip(dot_a, dot_b, strict=True):
        names_b[j] = names_a[i]
    kept_a = [name for i, name in enumerate(names_a) if i not in along_a and i not in dot_a]
    kept_b = [name for j, name in enumerate(names_b) if j not in along_b and j not in dot_b]
    output = [*kept_a, *kept_b, *(names_a[i] for i in along_a)]
    flipped = B[tuple(slice(None, None, -1 if j in along_b else 1) for j in range(B.ndim))]
    return einsum(f"{''.join(names_a + inner)},{''.join(names_b)}->{''.join(output)}", A, flipped)


def _windows(x: Any, axes: Sequence[int], sizes: Sequence[int]) -> Any:
    """Give the windows of some sizes along axes, whose places are new axes at the end."""
    places = np.arange(math.prod(x.shape)).reshape(x.shape)
    return np.reshape(x, -1)[np.lib.stride_tricks.sliding_window_view(places, tuple(sizes), tuple(axes))]
