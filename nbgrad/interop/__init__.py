"""Other libraries' functions on Variables, by their protocols; NumPy's are brought when the first is called."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..variable import Variable


def _array_ufunc(self: Variable, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
    _bring_numpys_functions()
    return self.__array_ufunc__(ufunc, method, *inputs, **options)


def _array_function(self: Variable, function: Any, types: Any, arguments: Any, options: Any) -> Any:
    _bring_numpys_functions()
    return self.__array_function__(function, types, arguments, options)


def _bring_numpys_functions() -> None:
    from . import numpy

    Variable.__array_ufunc__ = numpy.array_ufunc  # type: ignore[assignment, method-assign]
    Variable.__array_function__ = numpy.array_function  # type: ignore[assignment, method-assign]


Variable.__array_ufunc__ = _array_ufunc  # type: ignore[assignment, method-assign]
Variable.__array_function__ = _array_function  # type: ignore[assignment, method-assign]
