"""Operations that have a kernel each way for NumPy's arrays, and are composed of other functions everywhere else."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..arrays import Array
from ..engine import gradients
from ..function import Operation, constant
from ..grad_mode import enable_grad, is_grad_enabled
from ..ops.shape import Reshape
from ..variable import Variable

__all__ = ["ByKernel", "have_kernels"]


class ByKernel(Operation):
    """What kernels compute, forth by `forward` and back by `slopes`, and `composed` in nbgrad's functions.

    Gradients of gradients, tangents, and cotangents of many examples or of a trace go through what it is composed of.
    """

    __slots__ = ()

    def composed(self, *xs: Any) -> Any:
        """Give what `forward` gives, in nbgrad's functions."""
        raise NotImplementedError

    def slopes(self, gy: Array, *xs: Array) -> tuple[Array | None, ...]:
        """Give the inputs' cotangents by kernels, from NumPy's arrays."""
        raise NotImplementedError

    def vjp(self, gy: Any, y: Any, *xs: Any) -> Any:
        if type(gy) is np.ndarray and all([type(x) is np.ndarray for x in xs]):
            return self.slopes(gy, *xs)
        recorded = isinstance(gy, Variable)
        wanted = [self.needs(i) for i in range(len(xs))]
        with enable_grad():
            # places of their own, which the walk below ends at: whoever watches the inputs' gradients sees it nowhere
            held = [_place(x, recorded) if want else x for x, want in zip(xs, wanted, strict=True)]
            made = self.composed(*held)
        targets = [x for x, want in zip(held, wanted, strict=True) if want]
        found = iter(gradients([made], targets, [gy], None, recorded and is_grad_enabled()))
        gxs = [next(found) if want else None for want in wanted]
        return tuple(gxs) if recorded else tuple([None if gx is None else gx._array for gx in gxs])


def _place(x: Any, recorded: bool) -> Variable:
    """Give a Variable at a place of its own in the graph, behind x or, where x is an array, a leaf."""
    if recorded:
        y: Variable = Reshape(tuple(x.shape))(x)
        return y
    leaf = constant(x)
    leaf._require(True)
    return leaf


def have_kernels(*xs: Any) -> bool:
    """Tell whether Variables, or arrays, have floating arrays of NumPy's, of one dtype: what kernels are for."""
    dtype = None
    for x in xs:
        data = x._array if type(x) is Variable else x
        if type(data) is not np.ndarray or data.dtype.char not in "fd" or (dtype or data.dtype) != data.dtype:
            return False
        dtype = data.dtype
    return True
