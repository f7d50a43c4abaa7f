"""Elementary functions for any function that Numba compiles: vectorised in its loops, and with derivatives known.

They are those of ``nbgrad``, on numbers: ``exp``, ``log``, ``sin``, ``erf``, ``tanh``, ``lgamma`` and the others. A
loop that calls them stays a vector loop, where ``math.exp`` would make it scalar. For arrays, in compiled code, they
give new arrays; called from Python they are nbgrad's functions. float32 gives float32, whole numbers give float64.

>>> import numba, numpy as np
>>> from nbgrad import math
>>> @numba.njit
... def total(x):
...     s = 0.0
...     for i in range(x.size):
...         s += math.exp(-x[i] * x[i])
...     return s
>>> print(round(total(np.array([0.0, 1.0])), 6))
1.367879
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numba import types
from numba.extending import overload

from .kernels.cpu import elementary
from .registry import ENTRIES

__all__: list[str] = []

#: Functions of one number, and of two.
_UNARY = tuple(
    "acos acosh asin asinh atan atanh cbrt cos cosh cospi digamma erf erfc erfinv exp exp2 expm1 lgamma log log10 "
    "log1p log2 sigmoid sin sinh sinpi softplus tan tanh".split()
)
_BINARY = ("atan2", "hypot", "logaddexp", "pow")


def _python(name: str) -> Callable[..., Any]:
    def call(*arguments: Any) -> Any:
        given = ENTRIES[name].function(*(np.asarray(x, float) if isinstance(x, int) else x for x in arguments))
        return given.item() if isinstance(given, np.ndarray) and not given.ndim else given

    call.__name__ = call.__qualname__ = name
    call.__doc__ = f"``nbgrad.{name}``, on numbers and arrays, in Python and in compiled code."
    return call


def _bare(function: Any) -> Any:
    """Take a function's annotations away, which Numba holds against those of what it gives."""
    function.__annotations__.clear()
    return function


def _floating(kind: Any) -> Any:
    """Give the dtype that a function of a number computes in; None for what is no number."""
    if isinstance(kind, types.Float):
        return kind
    return types.float64 if isinstance(kind, types.Integer | types.Boolean) else None


def _unary(function: Callable[..., Any], name: str) -> None:
    @overload(function)
    @_bare
    def typed(x: Any) -> Any:
        dtype = _floating(x.dtype if isinstance(x, types.Array) else x)
        if dtype is None:
            return None
        compute, number = elementary.NAMESPACE[f"{name}_{dtype}"], dtype
        if not isinstance(x, types.Array):
            return lambda x: compute(number(x))

        @_bare
        def whole(x: Any) -> Any:
            y = np.empty(x.shape, number)
            for place in np.ndindex(x.shape):
                y[place] = compute(number(x[place]))
            return y

        return whole


def _binary(function: Callable[..., Any], name: str) -> None:
    @overload(function)
    @_bare
    def typed(x: Any, y: Any) -> Any:
        kinds = [_floating(kind) for kind in (x, y)]
        if None in kinds:
            return None
        dtype = types.float32 if kinds == [types.float32] * 2 else types.float64
        compute, number = elementary.NAMESPACE[f"{name}_{dtype}"], dtype
        return lambda x, y: compute(number(x), number(y))


def _declare() -> None:
    for name in (*_UNARY, *_BINARY):
        function = globals()[name] = _python(name)
        (_unary if name in _UNARY else _binary)(function, name)
        __all__.append(name)


_declare()
sqrt = np.sqrt
__all__ += ["sqrt"]
