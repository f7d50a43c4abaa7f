"""NumPy's functions and arrays' methods on their way into the language."""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import Any

import numpy as np

from . import indexing, library
from .arrays import (
    allocate,
    array_of,
    compute,
    elementwise,
    fill,
    fold,
    materialised,
    nest,
    plain,
    product,
    transposed,
    viewed,
)
from .language import FLOATING, Store, Value, name, number, whole
from .meanings import Elements, Group, Known, Meaning, Method, Scalar, as_dtype, joined
from .numbers import cast, element, elementary, number_of, sizes_of
from .state import Lowering


def attribute(lowering: Lowering, array: Value | Elements, attribute: str) -> Meaning:
    """Lower an array's attribute."""
    if attribute == "shape":
        return Group([Scalar(size, "int64") for size in sizes_of(lowering, array)])
    if attribute == "ndim":
        return Scalar(number(array.ndim), "int64")
    if attribute == "size":
        sizes = sizes_of(lowering, array)
        total: ast.expr = sizes[0] if sizes else number(1)
        for size in sizes[1:]:
            total = ast.BinOp(total, ast.Mult(), size)
        return Scalar(total, "int64")
    if attribute == "dtype":
        return Known(np.dtype(array.dtype))
    if attribute == "T":
        return transposed(lowering, array)
    return Method(array, attribute)


def method(lowering: Lowering, method: Method, given: list[Meaning], named: dict[str, Meaning]) -> Meaning:
    """Lower a call of an array's method."""
    array, called = method.owner, method.name
    if called == "copy" and not given:
        return elementwise(lowering, lambda a: a, array)
    if called == "astype":
        return call(lowering, _ASTYPE, [array, *given], named) or array
    if called in ("reshape", "ravel", "flatten", "transpose"):
        return _reshaped(lowering, array, called, given)
    if called == "fill" and isinstance(array, Value):
        fill(lowering, array, given[0], None)
        return Known(None)
    found = call(lowering, getattr(np, called, called), [array, *given], named)
    if found is None and getattr(np, called, None) in library.ARRAYS:
        function = library.ARRAYS[getattr(np, called)]
        found = lowering.put_in(function, array, *given, called=f"the method {called!r}", **named)
    if found is None:
        raise lowering.refuse(f"the method {called!r} of an array", "write it as loops")
    return found


_ASTYPE = object()


def _reshaped(lowering: Lowering, array: Meaning, called: str, given: list[Meaning]) -> Meaning:
    base = materialised(lowering, array)
    assert isinstance(base, Value)
    if called == "transpose":
        if given:
            raise lowering.refuse("transpose with axes", "use .T")
        return transposed(lowering, base)
    if called == "flatten":
        base = compute(lowering, elementwise(lowering, lambda a: a, base), "flat")  # type: ignore[arg-type]
    total = number_of(lowering, attribute(lowering, base, "size"))
    if called in ("ravel", "flatten"):
        sizes: list[Any] = [lowering.atom(total, "size").node]
    else:
        items = given[0].items if len(given) == 1 and isinstance(given[0], Group) else given
        sizes = [lowering.atom(number_of(lowering, item), "size").node for item in items]
        if any(_minus_one(size) for size in sizes):
            sizes = [None if _minus_one(size) else size for size in sizes]
    shape = ast.Tuple([number(-1) if size is None else size for size in sizes], ast.Load())
    return viewed(lowering, base, ast.Call(ast.Attribute(name(base), "reshape", ast.Load()), [shape], []), sizes)


def _minus_one(size: ast.expr) -> bool:
    return isinstance(size, ast.Constant) and size.value == -1


def _shape(lowering: Lowering, given: Meaning) -> list[ast.expr]:
    items = given.items if isinstance(given, Group) else [given]
    return [lowering.atom(number_of(lowering, item), "size").node if not isinstance(item, Scalar)
            or not plain(item.node) else item.node for item in items]  # fmt: skip


def _dtype(lowering: Lowering, given: list[Meaning], named: dict[str, Meaning], place: int, otherwise: str) -> str:
    found = given[place] if len(given) > place else named.get("dtype")
    if found is None:
        return otherwise
    dtype = as_dtype(found.value) if isinstance(found, Known) else None
    if dtype is None:
        raise lowering.refuse("this dtype", "give one of NumPy's")
    return dtype


def _axis(lowering: Lowering, given: list[Meaning], named: dict[str, Meaning], ndim: int) -> int | None:
    found = given[1] if len(given) > 1 else named.get("axis")
    if found is None or (isinstance(found, Known) and found.value is None):
        return None
    if not isinstance(found, Scalar) or not isinstance(found.node, ast.Constant):
        raise lowering.refuse("an axis that is not known before", "write a constant")
    return int(whole(found.node)) % ndim


def call(lowering: Lowering, function: Any, given: list[Meaning], named: dict[str, Meaning]) -> Meaning | None:
    """Lower a call of one of NumPy's functions on whole arrays; None for those that are not known."""
    if function in (np.zeros, np.ones, np.empty):
        dtype = _dtype(lowering, given, named, 1, "float64")
        return allocate(lowering, _shape(lowering, given[0]), dtype, function.__name__, "array")
    if function in (np.zeros_like, np.ones_like, np.empty_like):
        like = given[0]
        assert isinstance(like, Value | Elements)
        dtype = _dtype(lowering, given, named, 1, like.dtype)
        return allocate(lowering, sizes_of(lowering, like), dtype, function.__name__.removesuffix("_like"), "array")
    if function in (np.eye, np.identity):
        size = _shape(lowering, given[0])[0]
        made = allocate(lowering, [size, size], _dtype(lowering, [], named, 1, "float64"), "zeros", "array")
        nest(lowering, [size], lambda index: lowering.put(Store(made, index * 2, number(1.0))))
        return made
    if function in (np.full, np.full_like):
        value = lowering.atom(number_of(lowering, given[1]))
        like = given[0]
        sizes = sizes_of(lowering, like) if isinstance(like, Value | Elements) else _shape(lowering, like)
        dtype = _dtype(lowering, given, named, 2, like.dtype if function is np.full_like else value.dtype)  # type: ignore[union-attr]
        return Elements(sizes, dtype, lambda index: cast(value, dtype))
    if function is len:
        if isinstance(given[0], Group):
            return Scalar(number(len(given[0].items)), "int64")
        assert isinstance(given[0], Value | Elements)
        return Scalar(sizes_of(lowering, given[0])[0], "int64")
    if function in (np.array, np.asarray, np.ascontiguousarray, np.copy):
        dtype = _dtype(lowering, given, named, 1, "")
        if isinstance(given[0], Group):
            return array_of(lowering, given[0], "array", dtype or None)
        if function is np.asarray and not dtype:
            return given[0]
        return elementwise(lowering, lambda a: cast(a, dtype) if dtype else a, given[0])
    if function is _ASTYPE:
        dtype = _dtype(lowering, given, named, 1, "float64")
        return elementwise(lowering, lambda a: cast(a, dtype), given[0])
    if function is np.arange:
        parts = [lowering.atom(number_of(lowering, item), "bound") for item in given]
        if named:
            raise lowering.refuse(f"np.arange with {sorted(named)}", "give what it takes by place")
        if len(parts) == 1 and parts[0].dtype not in FLOATING:
            return Elements([parts[0].node], "int64", lambda index: Scalar(index[0], "int64"))
        return _arange(lowering, parts)
    if function is np.linspace and 2 <= len(given) <= 3 and not set(named) - {"num"}:
        number_of_them = given[2] if len(given) == 3 else named.get("num", Scalar(number(50), "int64"))
        low, high, count = (lowering.atom(number_of(lowering, item), "bound") for item in (*given[:2], number_of_them))
        # one number is the first
        last: ast.expr = ast.Call(name("max"), [ast.BinOp(count.node, ast.Sub(), number(1)), number(1)], [])
        if isinstance(count.node, ast.Constant):
            last = number(max(ast.literal_eval(count.node) - 1, 1))
        width = ast.BinOp(ast.BinOp(high.node, ast.Sub(), low.node), ast.Div(), last)
        step = lowering.assign("step", Scalar(width, "float64"))
        return Elements(
            [count.node],
            "float64",
            lambda i: Scalar(ast.BinOp(low.node, ast.Add(), ast.BinOp(i[0], ast.Mult(), step.node)), "float64"),
        )
    if function in (np.dot, np.matmul):
        return product(lowering, given[0], given[1])
    if function is np.where and len(given) == 3:

        def choose(c: Scalar, a: Scalar, b: Scalar) -> Scalar:
            c, a, b = lowering.atom(c), lowering.atom(a), lowering.atom(b)
            return Scalar(ast.IfExp(c.node, a.node, b.node), joined(a.dtype, b.dtype))

        return elementwise(lowering, choose, *given)
    if function is np.outer:
        a, b = (materialised(lowering, item) for item in given)
        assert isinstance(a, Value) and isinstance(b, Value)
        sizes = [sizes_of(lowering, a)[0], sizes_of(lowering, b)[0]]

        def outer(index: list[ast.expr]) -> Scalar:
            parts = element(lowering, a, [index[0]]), element(lowering, b, [index[1]])
            return Scalar(ast.BinOp(parts[0].node, ast.Mult(), parts[1].node), joined(a.dtype, b.dtype))

        return Elements(sizes, joined(a.dtype, b.dtype), outer, [a, b], True)
    if function in (np.reshape, np.ravel, np.transpose):
        return _reshaped(lowering, given[0], function.__name__, given[1:])
    if function is np.linalg.norm and len(given) == 1 and not named:
        total = _reduce(lowering, "sum", _squares(lowering, given[0]), None)
        return elementary(lowering, "sqrt", number_of(lowering, total))
    if function in _RANDOM:
        drawn_from = [lowering.atom(number_of(lowering, item)).node for item in given]
        written = ast.Attribute(ast.Attribute(name("np"), "random"), function.__name__)
        return lowering.assign("drawn", Scalar(ast.Call(written, drawn_from, []), "float64"))
    if function is np.result_type:
        return Known(np.dtype(joined(*(item.dtype for item in given))))  # type: ignore[union-attr]
    if function in _TRUTHS:
        return elementwise(lowering, _TRUTHS[function], *given)
    if function is np.expand_dims:
        base = materialised(lowering, given[0])
        axis = _axis(lowering, given, named, (given[0].ndim or 0) + 1)  # type: ignore[union-attr]
        assert isinstance(base, Value) and axis is not None
        all_of: list[Any] = [(None, None, None)] * (base.ndim or 0)
        return indexing.view(lowering, base, [*all_of[:axis], None, *all_of[axis:]])
    reduction = _REDUCTIONS.get(function)
    if reduction is not None and given and isinstance(given[0], Value | Elements):
        if set(named) - {"axis"}:
            raise lowering.refuse(f"{reduction} with {sorted(set(named) - {'axis'})}", "leave it out")
        axis = None if function in (sum, max, min) else _axis(lowering, given, named, given[0].ndim or 1)
        if reduction in ("var", "std"):
            whole = materialised(lowering, given[0])
            mean = materialised(lowering, _reduce(lowering, "mean", whole, axis), "mean")  # type: ignore[arg-type]
            if isinstance(mean, Value):
                all_of = [(None, None, None)] * (mean.ndim or 0)
                mean = indexing.view(lowering, mean, [*all_of[:axis], None, *all_of[axis:]])
            elif isinstance(mean, Scalar):
                mean = lowering.atom(mean)
            less = elementwise(
                lowering, lambda a, b: Scalar(ast.BinOp(a.node, ast.Sub(), b.node), a.dtype), whole, mean
            )
            result = _reduce(lowering, "mean", _squares(lowering, less), axis)
            if reduction == "var":
                return result
            return elementwise(lowering, lambda a: elementary(lowering, "sqrt", a), result)
        return _reduce(lowering, reduction, given[0], axis)
    return None


def _arange(lowering: Lowering, parts: list[Scalar]) -> Elements:
    """Give the numbers from a start to a stop by steps."""
    dtype = "int64" if all(part.dtype not in FLOATING for part in parts) else "float64"
    start, stop = parts[:2] if len(parts) > 1 else (Scalar(number(0), "int64"), parts[0])
    step = parts[2] if len(parts) > 2 else Scalar(number(1), "int64")
    count: ast.expr = ast.Call(name("len"), [ast.Call(name("range"), [start.node, stop.node, step.node], [])], [])
    if dtype == "float64":
        reach = ast.BinOp(ast.BinOp(stop.node, ast.Sub(), start.node), ast.Div(), step.node)
        above = ast.Call(ast.Attribute(name("math"), "ceil"), [reach], [])
        count = ast.Call(name("max"), [above, number(0)], [])
    size = lowering.assign("size", Scalar(count, "int64"))

    def at(index: list[ast.expr]) -> Scalar:
        return Scalar(ast.BinOp(start.node, ast.Add(), ast.BinOp(index[0], ast.Mult(), step.node)), dtype)

    return Elements([size.node], dtype, at)


def _truth(op: ast.boolop) -> Callable[..., Scalar]:
    """Give a function of truth values."""

    def both(a: Scalar, b: Scalar) -> Scalar:
        nodes = [x.node if x.dtype == "bool" else ast.Compare(x.node, [ast.NotEq()], [number(0)]) for x in (a, b)]
        return Scalar(ast.BoolOp(op, nodes), "bool")

    return both


_TRUTHS: dict[Any, Callable[..., Scalar]] = {
    np.logical_and: _truth(ast.And()),
    np.logical_or: _truth(ast.Or()),
    np.logical_not: lambda a: Scalar(ast.UnaryOp(ast.Not(), a.node), "bool"),
}

_REDUCTIONS: dict[Any, str] = {
    np.sum: "sum",
    sum: "sum",
    np.mean: "mean",
    np.prod: "prod",
    np.var: "var",
    np.std: "std",
}
_REDUCTIONS |= {np.max: "max", np.amax: "max", max: "max", np.min: "min", np.amin: "min", min: "min"}

_RANDOM = [np.random.random, np.random.rand, np.random.randn, np.random.normal, np.random.uniform,
           np.random.standard_normal, np.random.exponential]  # fmt: skip


def _squares(lowering: Lowering, array: Meaning) -> Elements:
    def square(a: Scalar) -> Scalar:
        a = lowering.atom(a)
        return Scalar(ast.BinOp(a.node, ast.Mult(), a.node), a.dtype)

    made = elementwise(lowering, square, array)
    assert isinstance(made, Elements)
    return made


def _not_empty(lowering: Lowering, sizes: list[ast.expr], kind: str) -> None:
    """Write what raises ValueError where there are no elements."""
    for size in sizes:
        if isinstance(size, ast.Constant) and size.value:
            continue
        lowering.put_in(library.not_empty, Scalar(size, "int64"), called=f"{kind} of an array")


def _reduce(lowering: Lowering, kind: str, array: Value | Elements, axis: int | None) -> Meaning:
    """Write the loops of a reduction."""
    sizes = sizes_of(lowering, array)
    dtype = joined(array.dtype)
    if kind == "mean" and dtype not in FLOATING:
        dtype = "float64"
    if isinstance(array, Elements) and axis is not None:
        array = compute(lowering, array, "t")

    def over(inner: list[ast.expr], place: Callable[[list[ast.expr]], list[ast.expr]]) -> Scalar:
        def step(before: Scalar, index: list[ast.expr]) -> Scalar:
            item = element(lowering, array, place(index))
            if kind in ("sum", "mean"):
                return Scalar(ast.BinOp(before.node, ast.Add(), item.node), dtype)
            if kind == "prod":
                return Scalar(ast.BinOp(before.node, ast.Mult(), item.node), dtype)
            item = lowering.atom(item)
            test: ast.expr = ast.Compare(item.node, [ast.Gt() if kind == "max" else ast.Lt()], [before.node])
            if dtype in FLOATING:  # what is not a number is the result
                test = ast.BoolOp(ast.Or(), [test, ast.Compare(item.node, [ast.NotEq()], [item.node])])
            return Scalar(ast.IfExp(test, item.node, before.node), dtype)

        if kind in ("max", "min"):
            _not_empty(lowering, inner, kind)
            start = lowering.atom(element(lowering, array, place([number(0)] * len(inner))))
        else:
            one = 1 if kind == "prod" else 0
            start = Scalar(number(float(one) if dtype in FLOATING else one), dtype)
        found = fold(lowering, inner, start, step, {"prod": "product", "mean": "total", "sum": "total"}.get(kind, kind))
        if kind == "mean":
            count: ast.expr = inner[0]
            for size in inner[1:]:
                count = ast.BinOp(count, ast.Mult(), size)
            found = Scalar(ast.BinOp(found.node, ast.Div(), count), dtype)
        return found

    if axis is None:
        return over(sizes, lambda index: index)
    rest = [size for k, size in enumerate(sizes) if k != axis]

    def at(index: list[ast.expr]) -> Scalar:
        return over([sizes[axis]], lambda inner: [*index[:axis], *inner, *index[axis:]])

    reads = [array] if isinstance(array, Value) else array.reads
    if not rest:
        return at([])
    return Elements(rest, dtype, at, reads, True)
