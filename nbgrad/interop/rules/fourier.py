"""Fourier transforms: of those, only what makes real numbers of real ones, since nbgrad's dtypes are real.

That are the transforms of what is symmetric, of which half is given; they are products with matrices of cosines.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ...variable import Variable
from .operands import axis_within, beside


def _of_half(function: Any) -> Any:
    """Make the rule of np.fft.irfft or np.fft.hfft, for real numbers."""

    def rule(a: Any, n: Any = None, axis: int = -1, norm: Any = None, out: None = None) -> Any:
        if not isinstance(a, Variable) or a.dtype.kind not in "fiub" or out is not None or not a.ndim:
            return NotImplemented
        along = axis_within(axis, a.ndim)
        if a.shape[along] < 1:
            return NotImplemented  # NumPy says why
        matrix = function(np.eye(a.shape[along], dtype=a.dtype), n, norm=norm)
        moved: Any = np.moveaxis(a, along, -1)  # type: ignore[type-var]
        return np.moveaxis(np.matmul(moved, beside(matrix, a)), -1, along)

    return rule


RULES: dict[Any, Callable[..., Any]] = {f: _of_half(f) for f in (np.fft.irfft, np.fft.hfft)}
