"""What expressions stand for while a function is lowered: numbers, arrays, arrays not yet computed, and the known."""

from __future__ import annotations

import ast
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache as once
from typing import Any

import numpy as np

from ..kernels import formula, scalars
from ..kernels.formula import ScalarFunction
from .language import FLOATING, Value


@dataclass(eq=False)
class Scalar:
    """A number: an expression and the dtype that Numba gives it."""

    node: ast.expr
    dtype: str

    @property
    def atomic(self) -> bool:
        """Whether it costs nothing to write it twice."""
        return isinstance(self.node, ast.Name | ast.Constant)


@dataclass(eq=False)
class Elements:
    """An array that is computed element by element, when it is known what becomes of it."""

    sizes: list[ast.expr]
    dtype: str
    at: Callable[[list[ast.expr]], Scalar]
    reads: list[Value] = field(default_factory=list)
    #: Whether an element is made of others than those at its own place.
    mixes: bool = False

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self.sizes)


@dataclass(eq=False)
class Group:
    """A tuple of meanings, whose items may have names."""

    items: list[Any]
    fields: tuple[str, ...] = ()


@dataclass(eq=False)
class Known:
    """What is known before the function runs: a function, a module, None, a dtype, a string."""

    value: Any


@dataclass(eq=False)
class Local:
    """A function defined inside another."""

    node: ast.FunctionDef
    reader: Any  # what reads its free names


@dataclass(eq=False)
class Method:
    """An array's method."""

    owner: Any
    name: str


Meaning = Scalar | Value | Elements | Group | Known | Local | Method


def flat(meaning: Meaning) -> list[Meaning]:
    """List what a tuple consists of, and what the tuples in it consist of."""
    return [leaf for item in meaning.items for leaf in flat(item)] if isinstance(meaning, Group) else [meaning]


# ---- dtypes ----------------------------------------------------------------------------------------------------------


def joined(*dtypes: str) -> str:
    """Give the dtype in which Numba computes a sum or a product."""
    floats = [dtype for dtype in dtypes if dtype in FLOATING]
    if not floats:
        return "uint64" if all(dtype.startswith("uint") for dtype in dtypes) else "int64"
    wide = any(dtype == "float64" or dtype in ("int64", "int32", "uint32", "uint64") for dtype in dtypes)
    return "float64" if wide else "float32"


def of_operator(operator: ast.operator, left: str, right: str) -> str:
    """Give the dtype of left operator right."""
    if isinstance(operator, ast.Div):
        both = joined(left, right)
        return both if both in FLOATING else "float64"
    if isinstance(operator, ast.Pow) and left in FLOATING and right not in FLOATING:
        return left
    if isinstance(operator, ast.LShift | ast.RShift):
        return joined(left)
    if isinstance(operator, ast.BitAnd | ast.BitOr | ast.BitXor):
        return "bool" if left == right == "bool" else joined(left, right)
    both = joined(left, right)
    # there is no whole number for both kinds
    return "float64" if both == "int64" and "uint64" in (left, right) and "bool" not in (left, right) else both


def as_dtype(value: Any) -> str | None:
    """Give the name of a dtype that is given as a class, a dtype, a string or one of Numba's types; None for others."""
    if value is float or value is int or value is bool:
        return {float: "float64", int: "int64", bool: "bool"}[value]
    if type(value).__module__.startswith("numba") and hasattr(value, "bitwidth"):
        value = str(value)
    if isinstance(value, str | np.dtype) or (isinstance(value, type) and issubclass(value, np.generic)):
        try:
            return str(np.dtype(value))
        except TypeError:
            return None
    return None


# ---- functions -------------------------------------------------------------------------------------------------------

#: What is one of LLVM's instructions or a formula, and not worth a name of its own.
CHEAP = frozenset({"abs", "neg", "positive", "add", "sub", "mul", "div", "square", "maximum", "minimum", "sqrt"})

#: Functions whose derivative is zero wherever they have one, or that give truth values.
FLAT: dict[Any, str | None] = {
    math.floor: "int64",
    math.ceil: "int64",
    math.trunc: "int64",
    math.isnan: "bool",
    math.isinf: "bool",
    math.isfinite: "bool",
    np.floor: None,
    np.ceil: None,
    np.trunc: None,
    np.rint: None,
    np.round: None,
    round: "int64",
    np.isnan: "bool",
    np.isinf: "bool",
    np.isfinite: "bool",
    np.signbit: "bool",
    np.sign: None,
}


@once
def functions() -> dict[Any, str]:
    """Give the names of scalar functions by the functions that stand for them: Python's, NumPy's and nbgrad's."""
    from .. import math as ours

    table: dict[Any, str] = {}
    known = set(formula._scalar_functions) - {"where", "clamp", "clamp_min", "clamp_max"}
    truths = {name for name in known if formula._scalar_functions[name].result_kind != formula.NUMBER}
    for name in known - truths - {"floor_divide", "remainder", "hurwitz", "sign"}:
        table.update({getattr(module, name): name for module in (math, np, ours) if hasattr(module, name)})
    for name, found in formula.NUMPY_NAMES.items():
        if found in known - truths and hasattr(np, name) and found not in ("floor_divide", "remainder"):
            table[getattr(np, name)] = found
    table |= {abs: "abs", math.fabs: "abs", pow: "pow", math.pow: "pow"}
    return table


def scalar_function(name: str) -> ScalarFunction:
    """Give the scalar function of a name that is declared, or one of the functions that derivatives consist of."""
    found = formula.scalar_function(name)
    if found is None:
        found = getattr(scalars, f"_{name}", None)
    assert isinstance(found, ScalarFunction), name
    return found
