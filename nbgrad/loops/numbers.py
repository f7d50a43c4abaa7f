"""Numbers on their way into the language: operators, elementary functions, conversions, elements of arrays."""

from __future__ import annotations

import ast
import math
from collections.abc import Callable
from typing import Any

from .language import FLOATING, Value, name, number
from .meanings import CHEAP, Elements, Group, Known, Meaning, Scalar, joined, of_operator
from .state import Lowering, measure


def sizes_of(lowering: Lowering, array: Value | Elements) -> list[ast.expr]:
    """Give an array's sizes, as expressions that may be written often."""
    if isinstance(array, Value) and not array.sizes and array.ndim:
        measure(lowering, array)
    return array.sizes


def element(lowering: Lowering, array: Value | Elements, index: list[ast.expr]) -> Scalar:
    """Give an element of an array."""
    if isinstance(array, Elements):
        return array.at(index)
    place: ast.expr = index[0] if len(index) == 1 else ast.Tuple(index, ast.Load())
    dtype = array.dtype if array.dtype in (*FLOATING, "bool") or array.dtype.startswith("uint") else "int64"
    if array.dtype not in (*FLOATING, "bool") and not array.dtype.startswith(("int", "uint")):
        raise lowering.refuse(f"an array of {array.dtype}", "use float64 or float32")
    return Scalar(ast.Subscript(name(array), place, ast.Load()), dtype)


def number_of(lowering: Lowering, meaning: Meaning) -> Scalar:
    """Give a meaning that must be a number."""
    if isinstance(meaning, Scalar):
        return meaning
    if isinstance(meaning, Value | Elements) and meaning.ndim == 0:
        return element(lowering, meaning, [])
    kind = {Group: "a tuple", Known: "an object"}.get(type(meaning), "an array")
    raise lowering.refuse(f"{kind} where a number is needed", "use its elements")


def operate(lowering: Lowering, op: ast.operator, a: Scalar, b: Scalar) -> Scalar:
    dtype = of_operator(op, a.dtype, b.dtype)
    if isinstance(a.node, ast.Constant) and isinstance(b.node, ast.Constant) and dtype in ("float64", "int64"):
        try:
            folded = eval(compile(ast.fix_missing_locations(ast.Expression(ast.BinOp(a.node, op, b.node))), "", "eval"))
            if isinstance(folded, int | float) and math.isfinite(folded):
                return Scalar(number(folded), dtype)
        except ArithmeticError:
            pass
    if isinstance(op, ast.Pow) and dtype in FLOATING and not _small_power(b):
        a, b = lowering.atom(a), lowering.atom(b)
        return lowering.assign("t", Scalar(ast.BinOp(a.node, op, b.node), dtype))
    return Scalar(ast.BinOp(a.node, op, b.node), dtype)


def _small_power(exponent: Scalar) -> bool:
    return isinstance(exponent.node, ast.Constant) and exponent.node.value in range(1, 9)


def elementary(lowering: Lowering, known: str, *given: Scalar) -> Scalar:
    """Write a call of one of the functions that formulas are made of."""
    dtype = joined(*(a.dtype for a in given))
    if known in ("abs", "maximum", "minimum", "neg", "positive", "add", "sub", "mul", "square"):
        simple: dict[str, Callable[..., ast.expr]] = {
            "neg": lambda a: ast.UnaryOp(ast.USub(), a),
            "positive": lambda a: a,
            "add": lambda a, b: ast.BinOp(a, ast.Add(), b),
            "sub": lambda a, b: ast.BinOp(a, ast.Sub(), b),
            "mul": lambda a, b: ast.BinOp(a, ast.Mult(), b),
        }
        if known == "square":
            a = lowering.atom(given[0])
            return Scalar(ast.BinOp(a.node, ast.Mult(), a.node), dtype)
        if known in simple:
            return Scalar(simple[known](*(a.node for a in given)), dtype)
        if known == "abs":
            return Scalar(ast.Call(name("abs"), [given[0].node], []), dtype)
        a, b = (lowering.atom(x) for x in given)
        test = ast.Compare(a.node, [ast.GtE() if known == "maximum" else ast.LtE()], [b.node])
        nan = ast.Compare(a.node, [ast.NotEq()], [a.node])
        chosen = ast.IfExp(ast.BoolOp(ast.Or(), [test, nan]), a.node, b.node)
        return Scalar(chosen, dtype)
    if dtype not in FLOATING:
        dtype = "float64"
    if known == "div":
        return Scalar(ast.BinOp(given[0].node, ast.Div(), given[1].node), dtype)
    if known == "sqrt":
        node: ast.expr = ast.Call(ast.Attribute(name("math"), "sqrt"), [given[0].node], [])
        return lowering.assign("t", Scalar(node, dtype))
    nodes = [a.node if a.dtype == dtype else ast.Call(name(dtype), [a.node], []) for a in given]
    made = Scalar(ast.Call(name(f"{known}_{dtype}"), nodes, []), dtype)
    return made if known in CHEAP else lowering.assign("t", made)


def extreme(lowering: Lowering, function: Any, a: Scalar, b: Scalar) -> Scalar:
    """Write Python's max or min, which gives the first where both are equal or are not ordered."""
    dtype = joined(a.dtype, b.dtype)
    if dtype not in FLOATING:
        return Scalar(ast.Call(name(function.__name__), [a.node, b.node], []), dtype)
    a, b = lowering.atom(a), lowering.atom(b)
    test = ast.Compare(b.node, [ast.Gt() if function is max else ast.Lt()], [a.node])
    return Scalar(ast.IfExp(test, b.node, a.node), dtype)


def cast(a: Scalar, dtype: str) -> Scalar:
    """Write a conversion."""
    if a.dtype == dtype:
        return a
    if isinstance(a.node, ast.Constant) and dtype in ("float64", "int64", "bool"):
        return Scalar(number({"f": float, "i": int, "b": bool}[dtype[0]](a.node.value)), dtype)
    names = {"int64": "int", "bool": "bool", "float64": "float"}
    return Scalar(
        ast.Call(name(names[dtype]) if dtype in names else ast.Attribute(name("np"), dtype), [a.node], []), dtype
    )
