"""SciPy's special functions, by their names, for the formulas of their derivatives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def scipy_special(name: str) -> Any:
    """Give scipy.special, for a function of it."""
    try:
        import scipy.special
    except ImportError:
        raise ImportError(f"{name}: SciPy computes it: pip install scipy") from None
    return scipy.special


class Functions:
    """The functions by their names, for the formulas of derivatives; `special` says what applies one."""

    apply: Callable[..., Any]

    def __getattr__(self, name: str) -> Any:
        return lambda *xs: self.apply(name, *xs)


functions = Functions()
