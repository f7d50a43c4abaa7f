"""NumPy's names, for scripts that had them from `autograd.numpy`: lists with Variables in them become Variables.

NumPy asks no element of a list who is to answer, so `numpy` itself refuses them. All else is NumPy's own.

>>> import nbgrad
>>> from nbgrad.interop.autograd import grad
>>> from nbgrad.interop.autograd import numpy as np
>>> print(grad(lambda x: np.sum(np.array([x, [x[1], 2 * x[0]]]) ** 2))(np.array([1.0, 2.0])))
[10.  8.]
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import Any

import numpy

from ..rules.moving import RULES
from ..rules.operands import has_ours, operand


def _making(name: str) -> Callable[..., Any]:
    """Make the like of np.array."""
    function = getattr(numpy, name)

    @functools.wraps(function)
    def made(object: Any, dtype: Any = None, **options: Any) -> Any:
        if isinstance(object, list | tuple) and has_ours(object):
            found = RULES[function](object, dtype, **options)
            if found is NotImplemented:
                raise TypeError(f"np.{name} of a list of Variables with {sorted(options)}: takes it and a dtype")
            return found
        return function(object, dtype, **options)

    return made


def _joining(name: str) -> Callable[..., Any]:
    """Make the like of np.concatenate, whose parts may be lists."""
    function = getattr(numpy, name)

    @functools.wraps(function)
    def joined(arrays: Any, *arguments: Any, **options: Any) -> Any:
        if isinstance(arrays, list | tuple):
            arrays = [operand(x) if isinstance(x, list | tuple) and has_ours(x) else x for x in arrays]
        return function(arrays, *arguments, **options)

    return joined


_OWN = {name: _making(name) for name in ("array", "asarray", "asanyarray", "ascontiguousarray")}
_OWN |= {
    name: _joining(name) for name in ("concat", "concatenate", "stack", "vstack", "hstack", "dstack", "column_stack")
}


#: What was imported from inside of `autograd.numpy` is NumPy's own.
__path__: list[str] = []
sys.modules |= {f"{__name__}.{part}": getattr(numpy, part) for part in ("fft", "linalg", "random")}


def __getattr__(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(name)
    return _OWN[name] if name in _OWN else getattr(numpy, name)


def __dir__() -> list[str]:
    return dir(numpy)
