"""NumPy's linear algebra, whose errors say what was computed, of what, and what to do."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache as once
from typing import Any

import numpy as np

from ..kernels import placement

#: What to do about a matrix that LAPACK cannot take.
_REMEDIES = {
    "inv": "pinv gives a pseudoinverse of any matrix",
    "solve": "lstsq gives the nearest solution of any equations",
    "cholesky": "add a small multiple of the identity, or take eigh, which any symmetric matrix has",
}


@once
def by_numpy(name: str) -> Callable[..., Any]:
    """Give a function of NumPy's whose errors say which one it was, what it got, and what to do."""
    function = getattr(np.linalg, name)

    def by_numpy(*arrays: Any, **options: Any) -> Any:
        try:
            return function(*arrays, **options)
        except np.linalg.LinAlgError as error:
            remedy = _REMEDIES.get(name, "are there NaN or infinities among the elements?")
            raise np.linalg.LinAlgError(f"{name}: {error}, of shape {arrays[0].shape}: {remedy}") from None

    return by_numpy


def lapack(name: str, *arrays: Any, **options: Any) -> Any:
    """Call NumPy's function; whole numbers become float64 there."""
    placement.only_on_cpu(name, "LAPACK", arrays)
    return by_numpy(name)(*arrays, **options)
