"""Discrete Fourier transforms, by NumPy: of real arrays, or of pairs of such, which stand for complex numbers.

dtypes are real here, so a complex result is the pair (real, imag), and a pair is taken wherever PyTorch takes complex
numbers, a complex array of NumPy's as well, which has no gradient. Inside, a pair is one array with a dimension of
size 2 in front. All is made of three linear operations, each the adjoint of another but for factors.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..arrays import Array, as_array
from ..function import Operation
from ..kernels import dispatch, placement
from ..registry import operation
from ..variable import Variable, data_of
from .arguments import axes_of, axis_of
from .elementwise import mul, neg
from .indexing import getitem
from .joining import cat, stack
from .pairs import Complex
from .places import summing
from .shape import astype, swapaxes
from .steps import plain


def _parts(x: Any) -> Array:
    return np.stack([np.real(x), np.imag(x)])


class Transform(Operation):
    """Sums of x[n] * exp(sign * 2 pi i n k / N) over axes of pairs; the other sign is the adjoint."""

    __slots__ = ("axes", "sign")
    linear = True
    reads_all = False

    def __init__(self, axes: tuple[int, ...], sign: int) -> None:
        self.axes, self.sign = axes, sign

    def forward(self, x: Array) -> Array:
        placement.only_on_cpu("fft", "NumPy", (x,))
        function: Any = np.fft.fftn if self.sign < 0 else np.fft.ifftn
        norm = "backward" if self.sign < 0 else "forward"
        return _parts(function(x[0] + 1j * x[1], axes=self.axes, norm=norm)).astype(x.dtype)

    def vjp(self, gy: Any, y: Any, x: Any) -> Any:
        return Transform(self.axes, -self.sign)(gy)


class OfReal(Operation):
    """The same with sign -1 of real arrays over one axis, of which the half that is not conjugate to the other."""

    __slots__ = ("axis",)
    linear = True
    reads_all = False

    def __init__(self, axis: int) -> None:
        self.axis = axis

    def forward(self, x: Array) -> Array:
        placement.only_on_cpu("rfft", "NumPy", (x,))
        return _parts(np.fft.rfft(x, axis=self.axis)).astype(x.dtype)

    def vjp(self, gy: Any, y: Any, x: Any) -> Any:
        size = x.shape[self.axis]
        return ToReal(self.axis, size)(mul(gy, _counts(size, self.axis, x.ndim, x.dtype, 0.5)))


class ToReal(Operation):
    """Sums of x[n] * exp(2 pi i n k / N) over one axis of pairs, of which the other half is conjugate: real arrays."""

    __slots__ = ("axis", "size")
    linear = True
    reads_all = False

    def __init__(self, axis: int, size: int) -> None:
        self.axis, self.size = axis, size

    def forward(self, x: Array) -> Array:
        placement.only_on_cpu("irfft", "NumPy", (x,))
        found = np.fft.irfft(x[0] + 1j * x[1], self.size, axis=self.axis, norm="forward")
        return as_array(found.astype(x.dtype))

    def vjp(self, gy: Any, y: Any, x: Any) -> Any:
        return mul(OfReal(self.axis)(gy), _counts(self.size, self.axis, gy.ndim, gy.dtype, 2.0))


def _counts(size: int, axis: int, ndim: int, dtype: Any, twice: float) -> Array:
    """Give `twice` where an element stands for its conjugate as well, 1 for those that are their own."""
    counts = np.full(size // 2 + 1, twice, dtype)
    counts[0] = 1
    if size % 2 == 0:
        counts[-1] = 1
    return counts.reshape(-1, *(1,) * (ndim - 1 - axis))


# ---- arguments ------------------------------------------------------------------------------------------------------


def _floating(what: str, x: Any) -> Any:
    x = plain(x)
    if x.dtype.kind not in "fiub":
        raise TypeError(f"{what}: dtype {x.dtype}: takes real arrays, or pairs of them")
    return x if x.dtype.char in "fd" else astype(x, np.float64)


def _pair(what: str, x: Any) -> Any:
    """Give real arrays, pairs, and complex arrays as one array with a dimension of size 2 in front."""
    if isinstance(x, tuple | list):
        if len(x) != 2:
            raise TypeError(f"{what}: {len(x)} arrays: complex numbers are a pair (real, imag)")
        real, imag = (_floating(what, part) for part in x)
        if real.shape != imag.shape or real.dtype != imag.dtype:
            raise ValueError(
                f"{what}: a pair of shapes {real.shape} and {imag.shape}, dtypes {real.dtype} and {imag.dtype}: "
                "they must be the same"
            )
        return stack([real, imag])
    if not isinstance(x, Variable) and as_array(x).dtype.kind == "c":
        x = as_array(x)
        return _parts(x)
    real = _floating(what, x)
    zeros = dispatch.zeros(tuple(real.shape), real.dtype, data_of(real))
    return stack([real, Variable(zeros, requires_grad=False) if isinstance(real, Variable) else zeros])


def _is_complex(x: Any) -> bool:
    return isinstance(x, tuple | list) or (not isinstance(x, Variable) and as_array(data_of(x)).dtype.kind == "c")


def _as_result(z: Any) -> Complex:
    return Complex(getitem(z, 0), getitem(z, 1))


def _resized(x: Any, axis: int, size: int) -> Any:
    """Cut an axis, or put zeros behind it."""
    before: tuple[Any, ...] = (slice(None),) * axis
    if x.shape[axis] >= size:
        return x if x.shape[axis] == size else getitem(x, (*before, slice(size)))
    zeros = dispatch.zeros((*x.shape[:axis], size - x.shape[axis], *x.shape[axis + 1 :]), x.dtype, data_of(x))
    return cat([x, Variable(zeros, requires_grad=False) if isinstance(x, Variable) else zeros], axis)


_NORMS = ("backward", "ortho", "forward")


def _scaled(what: str, y: Any, count: int, norm: Any, inverse: bool) -> Any:
    """Divide by the number of elements or its root, as the normalisation says."""
    norm = "backward" if norm is None else norm
    if norm not in _NORMS:
        raise ValueError(f"{what}: norm is one of {', '.join(_NORMS)}, got {norm!r}")
    if norm == "ortho":
        return mul(y, 1 / math.sqrt(count))
    return mul(y, 1 / count) if (norm == "backward") == inverse else y


def _dimensions(what: str, shape: tuple[int, ...], s: Any, dim: Any) -> tuple[list[int], list[int]]:
    """Give the dimensions to go over, and their sizes, -1 for their own."""
    ndim = len(shape)
    if dim is None:
        axes = list(range(ndim)) if s is None else list(range(ndim - len(tuple(s)), ndim))
    else:
        dims = dim if isinstance(dim, tuple | list) else (dim,)
        axes_of(what, tuple(dims), ndim)
        axes = [axis_of(what, d, ndim) for d in dims]
    sizes = [-1] * len(axes) if s is None else [int(n) for n in (s if isinstance(s, tuple | list) else (s,))]
    if len(sizes) != len(axes) or any(axis < 0 for axis in axes):
        raise ValueError(f"{what}: {len(sizes)} sizes for {len(axes)} dimensions of shape {shape}")
    return axes, [shape[axis] if n == -1 else n for axis, n in zip(axes, sizes, strict=True)]


def _positive(what: str, sizes: list[int]) -> None:
    for size in sizes:
        if size < 1:
            raise ValueError(f"{what}: size {size}: a transform needs at least one element")


# ---- the transforms, over several dimensions ------------------------------------------------------------------------


def to_complex(what: str, input: Any, s: Any, dim: Any, norm: Any, inverse: bool) -> Complex:
    """Transform real arrays or pairs to pairs."""
    z = _pair(what, input)
    axes, sizes = _dimensions(what, tuple(z.shape[1:]), s, dim)
    _positive(what, sizes)
    for axis, size in zip(axes, sizes, strict=True):
        z = _resized(z, axis + 1, size)
    if axes:
        z = Transform(tuple(axes), 1 if inverse else -1)(z)
    return _as_result(_scaled(what, z, math.prod(sizes), norm, inverse))


def of_real(what: str, input: Any, s: Any, dim: Any, norm: Any, inverse: bool) -> Complex:
    """Transform real arrays to the half of pairs that is not conjugate to the other; `inverse`: with sign 1."""
    if _is_complex(input):
        raise TypeError(f"{what}: takes a real array, got complex numbers")
    x = _floating(what, input)
    axes, sizes = _dimensions(what, tuple(x.shape), s, dim)
    if not axes:
        raise ValueError(f"{what}: no dimension to go over")
    _positive(what, sizes)
    for axis, size in zip(axes, sizes, strict=True):
        x = _resized(x, axis, size)
    z = OfReal(axes[-1])(x)
    if len(axes) > 1:
        z = Transform(tuple(axes[:-1]), -1)(z)
    z = _scaled(what, z, math.prod(sizes), norm, inverse)
    found = _as_result(z)
    return Complex(found.real, neg(found.imag)) if inverse else found


def to_real(what: str, input: Any, s: Any, dim: Any, norm: Any, inverse: bool) -> Any:
    """Transform the half of pairs, the other being conjugate, to real arrays; unless `inverse`, with sign -1."""
    z = _pair(what, input)
    if not inverse:
        real, imag = _as_result(z)
        z = stack([real, neg(imag)])
    shape = tuple(z.shape[1:])
    axes, sizes = _dimensions(what, shape, s, dim)
    if not axes:
        raise ValueError(f"{what}: no dimension to go over")
    given = None if s is None else (s if isinstance(s, tuple | list) else (s,))[-1]
    sizes[-1] = 2 * (shape[axes[-1]] - 1) if given in (None, -1) else sizes[-1]
    _positive(what, sizes)
    for axis, size in zip(axes[:-1], sizes[:-1], strict=True):
        z = _resized(z, axis + 1, size)
    z = _resized(z, axes[-1] + 1, sizes[-1] // 2 + 1)
    if len(axes) > 1:
        z = Transform(tuple(axes[:-1]), 1)(z)
    return _scaled(what, ToReal(axes[-1], sizes[-1])(z), math.prod(sizes), norm, inverse)


# ---- of pieces ------------------------------------------------------------------------------------------------------


@operation
@summing
def stft(
    input: Any,
    n_fft: int,
    hop_length: int | None = None,
    win_length: int | None = None,
    window: Any = None,
    center: bool = True,
    pad_mode: str = "reflect",
    normalized: bool = False,
    onesided: bool | None = None,
    return_complex: bool | None = None,
    align_to_window: bool | None = None,
) -> Any:
    """Transform pieces of n_fft samples, hop_length apart, each times a window: (..., frequencies, pieces), as a pair.

    If `center`, the pieces have their samples in their middle, and what is missing at the ends is filled up as np.pad
    does. Without `return_complex` the parts are a last dimension of size 2. Raises ValueError for sizes that do not
    fit.
    """
    x = _floating("stft", input)
    if x.ndim not in (1, 2):
        raise ValueError(f"stft: shape {x.shape}: takes a signal, or a stack of signals")
    hop, width = hop_length or n_fft // 4, win_length or n_fft
    if align_to_window is not None and center:
        raise ValueError("stft: align_to_window is for center=False")
    if n_fft < 1 or hop < 1 or not 1 <= width <= n_fft:
        raise ValueError(
            f"stft: pieces of {n_fft}, {hop} apart, a window of {width}: the window is no longer than those"
        )
    if window is not None and window.shape != (width,):
        raise ValueError(f"stft: a window of shape {window.shape}: it has {width} elements")
    length = x.shape[-1]
    places = np.arange(length)
    if center:
        if pad_mode == "reflect" and length <= n_fft // 2:
            raise ValueError(f"stft: {length} samples are too few to be reflected by {n_fft // 2}")
        modes = {"reflect": "reflect", "replicate": "edge", "circular": "wrap", "constant": "constant"}
        if pad_mode not in modes:
            raise ValueError(f"stft: pad_mode is one of {', '.join(modes)}, got {pad_mode!r}")
        options: Any = {"constant_values": length} if pad_mode == "constant" else {}
        places = np.pad(places, n_fft // 2, mode=modes[pad_mode], **options)  # type: ignore[call-overload]
        if pad_mode == "constant":
            x = _resized(x, x.ndim - 1, length + 1)
    if len(places) < n_fft:
        raise ValueError(f"stft: pieces of {n_fft} samples of {len(places)}")
    starts = np.arange(0, len(places) - n_fft + 1, hop)
    pieces = getitem(x, (..., places[starts[:, None] + np.arange(n_fft)]))
    if window is not None:
        left = (n_fft - width) // 2
        filled = cat([np.zeros(left), plain(window), np.zeros(n_fft - width - left)], 0) if width < n_fft else window
        pieces = mul(pieces, astype(filled, x.dtype) if filled.dtype != x.dtype else filled)
    elif width < n_fft:
        left = (n_fft - width) // 2
        pieces = mul(pieces, np.pad(np.ones(width, x.dtype), (left, n_fft - width - left)))
    norm = "ortho" if normalized else None
    half = onesided is None or onesided
    found = (of_real if half else to_complex)("stft", pieces, None, (-1,), norm, False)
    real, imag = (swapaxes(part, -1, -2) for part in found)
    return Complex(real, imag) if return_complex else stack([real, imag], -1)
