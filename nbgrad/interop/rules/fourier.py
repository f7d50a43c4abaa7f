"""Fourier transforms: of those, only what makes real numbers of real ones, since nbgrad's dtypes are real.

That are the transforms of what is symmetric, of which half is given. Besides, what brings frequencies in order.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ...variable import Variable
from .moving import picking


def _of_half(name: str) -> Any:
    """Make the rule of np.fft.irfft or its like, for real numbers."""

    def transformed(a: Any, sizes: Any, axes: Any, norm: Any) -> Any:
        if not isinstance(a, Variable) or a.dtype.kind not in "fiub" or not a.ndim or not a.size:
            return NotImplemented  # of those without elements NumPy says why
        from ...ops.fourier import to_real

        a = a if a.dtype.kind == "f" else a.astype(np.float64)
        return to_real(name, a, sizes, axes, norm, name != "hfft")

    def along(a: Any, n: Any = None, axis: int = -1, norm: Any = None, out: None = None) -> Any:
        return NotImplemented if out is not None else transformed(a, None if n is None else (n,), (axis,), norm)

    def over(a: Any, s: Any = None, axes: Any = (-2, -1), norm: Any = None, out: None = None) -> Any:
        return NotImplemented if out is not None else transformed(a, s, axes, norm)

    def over_all(a: Any, s: Any = None, axes: Any = None, norm: Any = None, out: None = None) -> Any:
        return over(a, s, axes, norm, out)

    return {"irfft2": over, "irfftn": over_all}.get(name, along)


RULES: dict[Any, Callable[..., Any]] = {
    **{getattr(np.fft, name): _of_half(name) for name in ("irfft", "hfft", "irfft2", "irfftn")},
    **{f: picking(f) for f in (np.fft.fftshift, np.fft.ifftshift)},
}
