"""Complex numbers as pairs of real arrays, (real, imag): dtypes are real here."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ..kernels.shapes import broadcast_shapes
from ..registry import operation
from .elementwise import cos, mul, sin
from .indexing import getitem
from .joining import stack
from .shape import broadcast_to
from .steps import plain


class Complex(NamedTuple):
    """Complex numbers as a pair of real arrays."""

    real: Any
    imag: Any


def _floating(what: str, **given: Any) -> list[Any]:
    arrays = [plain(x) for x in given.values()]
    dtypes = [np.dtype(x.dtype) for x in arrays]
    if dtypes[0].char not in "fd" or any(dtype != dtypes[0] for dtype in dtypes):
        told = " and ".join(f"{name} has dtype {dtype}" for name, dtype in zip(given, dtypes, strict=True))
        raise TypeError(f"{what}: {told}: give float32 or float64, of both parts the same")
    return arrays


@operation(method=False)
def complex(real: Any, imag: Any) -> Complex:
    """Give complex numbers as a pair of their parts, which are broadcast against each other.

    What gives complex numbers in PyTorch gives such pairs here, and what takes them there, as `nbgrad.fft`, takes
    pairs. Raises TypeError unless both are float32, or both float64.

    >>> import nbgrad
    >>> nbgrad.complex(nbgrad.tensor([1.0, 2.0]), nbgrad.tensor(0.5))
    Complex(real=Variable([1., 2.]), imag=Variable([0.5, 0.5]))
    """
    parts = _floating("complex", real=real, imag=imag)
    shape = broadcast_shapes(tuple(parts[0].shape), tuple(parts[1].shape))
    return Complex(*[part if tuple(part.shape) == shape else broadcast_to(part, shape) for part in parts])


@operation(method=False)
def polar(abs: Any, angle: Any) -> Complex:
    """Give complex numbers of absolute values and angles in radians as a pair: abs * cos(angle), abs * sin(angle).

    Raises TypeError unless both are float32, or both float64.

    >>> import nbgrad
    >>> nbgrad.polar(nbgrad.tensor([1.0, 2.0]), nbgrad.tensor([0.0, 0.5])).real
    Variable([1.        , 1.75516512])
    """
    radius, phase = _floating("polar", abs=abs, angle=angle)
    return Complex(mul(radius, cos(phase)), mul(radius, sin(phase)))


@operation(method=False)
def view_as_complex(input: Any) -> Complex:
    """Give the parts that are a last dimension of size 2 as a pair. Raises ValueError for another size.

    >>> import nbgrad
    >>> nbgrad.view_as_complex(nbgrad.tensor([[1.0, 2.0], [3.0, 4.0]]))
    Complex(real=Variable([1., 3.]), imag=Variable([2., 4.]))
    """
    (x,) = _floating("view_as_complex", input=input)
    if not x.ndim or x.shape[-1] != 2:
        raise ValueError(f"view_as_complex: shape {tuple(x.shape)}: the last dimension is (real, imag)")
    return Complex(getitem(x, (..., 0)), getitem(x, (..., 1)))


@operation(method=False)
def view_as_real(input: Any) -> Any:
    """Give the parts of a pair, (real, imag), beside each other in a last dimension of size 2, a copy.

    Raises TypeError for what is no pair.

    >>> import nbgrad
    >>> nbgrad.view_as_real(nbgrad.polar(nbgrad.tensor([1.0]), nbgrad.tensor([0.0])))
    Variable([[1., 0.]])
    """
    if not isinstance(input, tuple | list) or len(input) != 2:
        raise TypeError(f"view_as_real: takes a pair (real, imag), got {type(input).__name__}")
    return stack(list(complex(*input)), -1)
