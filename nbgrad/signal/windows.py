"""Windows, by the names and with the arguments of `torch.signal.windows`: weights of m samples, largest in the middle.

A window is symmetric if `sym`, as filters need it, and periodic otherwise, as Fourier transforms do: then it is a
symmetric one of a sample more, without the last.

>>> import nbgrad
>>> nbgrad.signal.windows.hann(5)
Variable([0. , 0.5, 1. , 0.5, 0. ])
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..variable import Variable, get_default_dtype

__all__ = [
    "bartlett", "blackman", "cosine", "exponential", "gaussian", "general_cosine", "general_hamming", "hamming", "hann",
    "kaiser", "nuttall",
]  # fmt: skip


def _window(
    what: str, M: int, sym: bool, dtype: Any, requires_grad: bool, device: Any, weights: Callable[[Any, int], Any]
) -> Variable:
    """Make a window of what gives the weights of places 0, 1, ... of a symmetric one of a length."""
    if isinstance(M, bool) or not isinstance(M, int) or M < 0:
        raise ValueError(f"{what}: {M!r} samples: give a whole number, 0 or more")
    kind = np.dtype(get_default_dtype() if dtype is None else dtype)
    if kind.char not in "fd":
        raise TypeError(f"{what}: dtype {kind}: a window has float32 or float64")
    if device not in (None, "cpu"):
        raise ValueError(f"{what}: device is {device!r}: make it on the CPU, and move it")
    length = M if sym else M + 1
    values = np.ones(M) if M <= 1 else weights(np.arange(M, dtype=np.float64), length)
    return Variable(values.astype(kind), requires_grad=requires_grad)


def _cosines(coefficients: Sequence[float]) -> Callable[[Any, int], Any]:
    """Give the sum of (-1)**i a[i] cos(2 pi i n / (length - 1))."""

    def weights(n: Any, length: int) -> Any:
        angle = 2 * math.pi * n / (length - 1)
        terms = [(-1) ** i * a * np.cos(i * angle) for i, a in enumerate(coefficients)]
        return np.sum(terms, 0)

    return weights


def bartlett(
    M: int, *, sym: bool = True, dtype: Any = None, requires_grad: bool = False, device: Any = None
) -> Variable:
    """Give a triangle, 0 at the ends: 1 - abs(2 n / (M - 1) - 1)."""
    return _window(
        "bartlett", M, sym, dtype, requires_grad, device, lambda n, length: 1 - np.abs(2 * n / (length - 1) - 1)
    )


def blackman(
    M: int, *, sym: bool = True, dtype: Any = None, requires_grad: bool = False, device: Any = None
) -> Variable:
    """Give Blackman's window, of cosines with 0.42, 0.5 and 0.08."""
    return _window("blackman", M, sym, dtype, requires_grad, device, _cosines((0.42, 0.5, 0.08)))


def cosine(M: int, *, sym: bool = True, dtype: Any = None, requires_grad: bool = False, device: Any = None) -> Variable:
    """Give half a period of a sine: sin(pi (n + 1/2) / M)."""
    return _window(
        "cosine", M, sym, dtype, requires_grad, device, lambda n, length: np.sin(math.pi * (n + 0.5) / length)
    )


def exponential(
    M: int, *, center: float | None = None, tau: float = 1.0, sym: bool = True, dtype: Any = None,
    requires_grad: bool = False, device: Any = None,
) -> Variable:  # fmt: skip
    """Give exp(-abs(n - center) / tau), the centre being the middle, or, if not `sym`, that unless given.

    Raises ValueError for a tau that is not above 0, and for a centre of a symmetric window.
    """
    if tau <= 0:
        raise ValueError(f"exponential: tau is {tau}: give a number above 0")
    if sym and center is not None:
        raise ValueError("exponential: a symmetric window has its centre in the middle: give sym=False, or no center")

    def weights(n: Any, length: int) -> Any:
        middle = (length - 1) / 2 if center is None else center
        return np.exp(-np.abs(n - middle) / tau)

    return _window("exponential", M, sym, dtype, requires_grad, device, weights)


def gaussian(
    M: int, *, std: float = 1.0, sym: bool = True, dtype: Any = None, requires_grad: bool = False, device: Any = None
) -> Variable:
    """Give exp(-((n - middle) / std)**2 / 2). Raises ValueError for a std that is not above 0."""
    if std <= 0:
        raise ValueError(f"gaussian: std is {std}: give a number above 0")
    return _window(
        "gaussian", M, sym, dtype, requires_grad, device,
        lambda n, length: np.exp(-(((n - (length - 1) / 2) / std) ** 2) / 2),
    )  # fmt: skip


def general_cosine(
    M: int, *, a: Sequence[float], sym: bool = True, dtype: Any = None, requires_grad: bool = False, device: Any = None
) -> Variable:
    """Give the sum of (-1)**i a[i] cos(2 pi i n / (M - 1)). Raises ValueError without coefficients."""
    if not isinstance(a, Sequence) or not a:
        raise ValueError(f"general_cosine: coefficients {a!r}: give a sequence of at least one")
    return _window("general_cosine", M, sym, dtype, requires_grad, device, _cosines(a))


def general_hamming(
    M: int, *, alpha: float = 0.54, sym: bool = True, dtype: Any = None, requires_grad: bool = False,
    device: Any = None,
) -> Variable:  # fmt: skip
    """Give alpha - (1 - alpha) cos(2 pi n / (M - 1))."""
    return _window("general_hamming", M, sym, dtype, requires_grad, device, _cosines((alpha, 1 - alpha)))


def hamming(
    M: int, *, sym: bool = True, dtype: Any = None, requires_grad: bool = False, device: Any = None
) -> Variable:
    """Give Hamming's window, `general_hamming` with 0.54."""
    return _window("hamming", M, sym, dtype, requires_grad, device, _cosines((0.54, 0.46)))


def hann(M: int, *, sym: bool = True, dtype: Any = None, requires_grad: bool = False, device: Any = None) -> Variable:
    """Give von Hann's window, `general_hamming` with 1/2."""
    return _window("hann", M, sym, dtype, requires_grad, device, _cosines((0.5, 0.5)))


def kaiser(
    M: int, *, beta: float = 12.0, sym: bool = True, dtype: Any = None, requires_grad: bool = False, device: Any = None
) -> Variable:
    """Give Kaiser's window, I0(beta sqrt(1 - (2 n / (M - 1) - 1)**2)) / I0(beta). Raises ValueError for beta < 0."""
    if not isinstance(beta, int | float) or beta < 0:
        raise ValueError(f"kaiser: beta is {beta}: give a number, 0 or more")
    return _window(
        "kaiser", M, sym, dtype, requires_grad, device,
        lambda n, length: np.i0(beta * np.sqrt(np.maximum(1 - (2 * n / (length - 1) - 1) ** 2, 0))) / np.i0(beta),
    )  # fmt: skip


def nuttall(
    M: int, *, sym: bool = True, dtype: Any = None, requires_grad: bool = False, device: Any = None
) -> Variable:
    """Give Nuttall's window, of cosines with 0.3635819, 0.4891775, 0.1365995 and 0.0106411."""
    return _window(
        "nuttall", M, sym, dtype, requires_grad, device, _cosines((0.3635819, 0.4891775, 0.1365995, 0.0106411))
    )
