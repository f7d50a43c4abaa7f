"""Discrete Fourier transforms, by the names and with the arguments of `torch.fft`.

dtypes are real here: complex results are pairs, (real, imag), and pairs are taken for complex numbers. Real arrays are
taken as such. NumPy's complex arrays are taken too, and have no gradient.

>>> import nbgrad
>>> x = nbgrad.tensor([1.0, 2.0, 3.0, 4.0], requires_grad=True)
>>> spectrum = nbgrad.fft.rfft(x)
>>> spectrum.real
Variable([10., -2., -2.])
>>> nbgrad.fft.irfft(spectrum)
Variable([1., 2., 3., 4.])
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .arrays import is_array
from .ops.arguments import axes_of
from .ops.fourier import of_real, to_complex, to_real
from .ops.indexing import getitem
from .ops.pairs import Complex
from .ops.places import moving, summing
from .variable import Variable

__all__ = [
    "fft", "fft2", "fftfreq", "fftn", "fftshift", "hfft", "hfft2", "hfftn", "ifft", "ifft2", "ifftn", "ifftshift",
    "ihfft", "ihfft2", "ihfftn", "irfft", "irfft2", "irfftn", "rfft", "rfft2", "rfftfreq", "rfftn",
]  # fmt: skip

Transforming = Callable[..., Any]


def _one(name: str, transform: Transforming, inverse: bool, sentence: str) -> Any:
    def function(input: Any, n: int | None = None, dim: int = -1, norm: str | None = None) -> Any:
        return transform(name, input, None if n is None else (n,), (dim,), norm, inverse)

    return _named(function, name, sentence, "along a dimension, the last unless given, cut or filled up to size n")


def _two(name: str, transform: Transforming, inverse: bool, sentence: str) -> Any:
    def function(input: Any, s: Any = None, dim: Any = (-2, -1), norm: str | None = None) -> Any:
        return transform(name, input, s, dim, norm, inverse)

    return _named(function, name, sentence, "over two dimensions, the last unless given, cut or filled up to sizes s")


def _several(name: str, transform: Transforming, inverse: bool, sentence: str) -> Any:
    def function(input: Any, s: Any = None, dim: Any = None, norm: str | None = None) -> Any:
        return transform(name, input, s, dim, norm, inverse)

    return _named(function, name, sentence, "over dimensions, all unless given, cut or filled up to sizes s")


def _named(function: Any, name: str, sentence: str, over: str) -> Any:
    function.__name__ = function.__qualname__ = name
    function.__doc__ = (
        f"{sentence}, {over}.\n\n`norm` is 'backward' (unless given), 'ortho' or 'forward': which way is divided by "
        "the number of elements, or both by its root. Raises ValueError for another one and for sizes below 1."
    )
    return summing(function)


_TO = "Transform real arrays or pairs to pairs, with exp(-2 pi i n k / N)"
_BACK = "Transform real arrays or pairs to pairs, with exp(2 pi i n k / N), and divide by N"
_OF_REAL = "Transform real arrays to the half of pairs that is not conjugate to the other"
_TO_REAL = "Undo `rfft`: transform half of the pairs to real arrays; of even size unless n says otherwise"
_OF_HALF = "Transform a half of pairs, the other half being conjugate, to real arrays"
_TO_HALF = "Undo `hfft`: transform real arrays to the half of pairs that is not conjugate to the other"

fft, ifft = _one("fft", to_complex, False, _TO), _one("ifft", to_complex, True, _BACK)
fft2, ifft2 = _two("fft2", to_complex, False, _TO), _two("ifft2", to_complex, True, _BACK)
fftn, ifftn = _several("fftn", to_complex, False, _TO), _several("ifftn", to_complex, True, _BACK)
rfft, irfft = _one("rfft", of_real, False, _OF_REAL), _one("irfft", to_real, True, _TO_REAL)
rfft2, irfft2 = _two("rfft2", of_real, False, _OF_REAL), _two("irfft2", to_real, True, _TO_REAL)
rfftn, irfftn = _several("rfftn", of_real, False, _OF_REAL), _several("irfftn", to_real, True, _TO_REAL)
hfft, ihfft = _one("hfft", to_real, False, _OF_HALF), _one("ihfft", of_real, True, _TO_HALF)
hfft2, ihfft2 = _two("hfft2", to_real, False, _OF_HALF), _two("ihfft2", of_real, True, _TO_HALF)
hfftn, ihfftn = _several("hfftn", to_real, False, _OF_HALF), _several("ihfftn", of_real, True, _TO_HALF)


def _rolled(what: str, x: Any, dim: Any, forth: bool) -> Any:
    if isinstance(x, tuple | list):
        return Complex(*[_rolled(what, part, dim, forth) for part in x])
    x = x if isinstance(x, Variable) or is_array(x) else np.asarray(x)
    for axis in axes_of(what, dim, x.ndim):
        size = x.shape[axis]
        places = np.arange(size) - (size // 2 if forth else -(size // 2))
        x = getitem(x, (*(slice(None),) * axis, places % max(size, 1)))
    return x


@moving
def fftshift(input: Any, dim: Any = None) -> Any:
    """Move frequency 0 from the first place to the middle, over dimensions, all unless given; of pairs both parts."""
    return _rolled("fftshift", input, dim, True)


@moving
def ifftshift(input: Any, dim: Any = None) -> Any:
    """Undo `fftshift`."""
    return _rolled("ifftshift", input, dim, False)


def fftfreq(n: int, d: float = 1.0, *, dtype: Any = None, requires_grad: bool = False) -> Variable:
    """Give the frequencies that `fft` has of n samples, d apart."""
    return Variable(np.fft.fftfreq(n, d).astype(dtype or np.float64), requires_grad=requires_grad)


def rfftfreq(n: int, d: float = 1.0, *, dtype: Any = None, requires_grad: bool = False) -> Variable:
    """Give the frequencies that `rfft` has of n samples, d apart."""
    return Variable(np.fft.rfftfreq(n, d).astype(dtype or np.float64), requires_grad=requires_grad)
