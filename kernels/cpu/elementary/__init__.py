"""Elementary functions that LLVM can vectorise, for float32 and float64.

pip's LLVM brings no vector math library, so a call of `math.exp` in a loop stays a scalar call of the C library, and
keeps the loop scalar. These functions have no branches, only selections, and are inlined into the loops that use
them, where LLVM packs them 8 or 16 to an instruction.

Each is written once, in plain Python. The names it uses are bound when it gets its dtype: intrinsics, constants,
coefficients, and the other functions in the same dtype. A function whose name ends in a dtype is for that dtype only;
in float32 the float64 functions are at hand too, under their whole names.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache as once
from types import FunctionType, ModuleType
from typing import Any

import numpy as np

from . import arithmetic, coefficients, exponential, hyperbolic, roots, special, trigonometric

DTYPES = ("float64", "float32")

_FAMILIES = (arithmetic, exponential, hyperbolic, roots, trigonometric, special)


def _constants(dtype: str) -> dict[str, Any]:
    """Give every constant that the functions name, in one dtype."""
    number = np.dtype(dtype).type
    column = DTYPES.index(dtype)
    constants: dict[str, Any] = {}
    for family in _FAMILIES:
        constants |= {name: number(values[column]) for name, values in family.CONSTANTS.items()}
        constants |= getattr(family, "TABLES", {})
    for polynomials in coefficients.ALL:
        # "wide" ones are in float64, for float32 functions that compute in it to the few digits they need
        constants |= polynomials.get("wide", {})
        constants |= {name: tuple(map(number, row)) for name, row in polynomials.get(dtype, {}).items()}
    return constants


def _functions(family: ModuleType, dtype: str) -> dict[str, Any]:
    """Give the functions of a module that are meant for a dtype, by their names there."""
    others = [f"_{other}" for other in DTYPES if other != dtype]
    return {
        name.removesuffix(f"_{dtype}"): function
        for name, function in vars(family).items()
        if isinstance(function, FunctionType) and not name.endswith(tuple(others))
    }


def specialise(compiled: Callable[[Any], Any], intrinsics: dict[str, Any]) -> dict[str, Any]:
    """Have each function `compiled` with the constants of each dtype, to be inlined wherever it is called."""
    namespace: dict[str, Any] = {}
    for dtype in DTYPES:
        names = intrinsics | _constants(dtype) | {"number": np.dtype(dtype).type} | namespace
        for family in _FAMILIES:
            for name, function in _functions(family, dtype).items():
                code = FunctionType(function.__code__, names, f"{name}_{dtype}")
                names[name] = namespace[f"{name}_{dtype}"] = compiled(code)
    return namespace


@once
def _for_numba() -> dict[str, Any]:
    from ..pipeline import for_kernels
    from . import intrinsics

    return specialise(for_kernels(inline=True), intrinsics.NAMESPACE)


def __getattr__(name: str) -> Any:
    """Give ``NAMESPACE``: the functions for what Numba compiles, by names as ``exp_float32``.

    They are compiled with no liberties at all: errors of sums and products are computed in them, and must not be
    optimised away.
    """
    if name == "NAMESPACE":
        return _for_numba()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
