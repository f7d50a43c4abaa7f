"""Whole arrays on their way into the language: expressions that are computed element by element, in loops."""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import Any

import numpy as np

from .language import FLOATING, Allocate, Carried, Loop, Product, Store, Value, View, name, number, text
from .meanings import Elements, Group, Meaning, Scalar, joined
from .numbers import element, number_of, operate, sizes_of
from .state import Lowering, size_of


def materialised(lowering: Lowering, meaning: Meaning, wish: str = "t") -> Meaning:
    """Give a meaning that may be bound to a name: arrays are computed."""
    if isinstance(meaning, Elements):
        return compute(lowering, meaning, wish)
    if isinstance(meaning, Group):
        return Group([materialised(lowering, item, wish) for item in meaning.items], meaning.fields)
    return meaning


def copied(lowering: Lowering, meaning: Meaning) -> Meaning:
    """Give a meaning that shares no memory with others: arrays are copied."""
    if isinstance(meaning, Group):
        return Group([copied(lowering, item) for item in meaning.items], meaning.fields)
    return elementwise(lowering, lambda a: a, meaning) if isinstance(meaning, Value) else meaning


def binary(lowering: Lowering, op: ast.operator, left: Meaning, right: Meaning) -> Meaning:
    """Give left op right, of numbers or arrays."""
    if isinstance(op, ast.MatMult):
        return product(lowering, left, right)
    if isinstance(left, Group) and isinstance(right, Group) and isinstance(op, ast.Add):
        return Group([*left.items, *right.items])
    if isinstance(left, Group) and isinstance(op, ast.Mult) and isinstance(right, Scalar):
        return Group(left.items * int(ast.literal_eval(right.node)))
    return elementwise(lowering, lambda a, b: operate(lowering, op, a, b), left, right)


def elementwise(lowering: Lowering, function: Callable[..., Scalar], *operands: Meaning) -> Meaning:
    """Apply a function of numbers to numbers, or to each element of arrays that are broadcast together."""
    kinds = [
        operand if isinstance(operand, Scalar | Value | Elements) else number_of(lowering, operand)
        for operand in operands
    ]
    if all(isinstance(operand, Scalar) for operand in kinds):
        return function(*kinds)
    ndim = max(0 if isinstance(operand, Scalar) else operand.ndim or 0 for operand in kinds)
    sizes: list[ast.expr] = []
    strides: list[list[ast.expr | None]] = [[None] * ndim for _ in kinds]
    for axis in range(ndim):
        here: list[tuple[int, ast.expr]] = []
        for position, operand in enumerate(kinds):
            if not isinstance(operand, Scalar):
                own = axis - (ndim - (operand.ndim or 0))
                if own >= 0:
                    here.append((position, sizes_of(lowering, operand)[own]))
        wide = [(position, size) for position, size in here if not _is_one(size)]
        for position, _ in here:
            strides[position][axis] = number(0)
        for position, _ in wide:
            strides[position][axis] = number(1)
        if not wide:
            sizes.append(number(1))
            continue
        size = wide[0][1]
        if any(text(other) != text(size) for _, other in wide):
            for _, other in wide[1:]:
                together = ast.Call(name("common"), [size, other], [])
                size = lowering.assign("size", Scalar(together, "int64")).node
            for position, own_size in wide:
                stride = ast.Call(name("spread"), [size, own_size], [])
                strides[position][axis] = lowering.assign("stride", Scalar(stride, "int64")).node
        sizes.append(size)
    held = [lowering.atom(operand) if isinstance(operand, Scalar) else operand for operand in kinds]

    def at(index: list[ast.expr]) -> Scalar:
        parts = []
        for operand, stride in zip(held, strides, strict=True):
            if isinstance(operand, Scalar):
                parts.append(operand)
                continue
            own = range(ndim - (operand.ndim or 0), ndim)
            parts.append(element(lowering, operand, [_scaled(index[axis], stride[axis]) for axis in own]))
        return function(*parts)

    dtype = _result_dtype(lowering, function, held)
    reads = [v for o in held for v in ([o] if isinstance(o, Value) else o.reads if isinstance(o, Elements) else [])]
    return Elements(sizes, dtype, at, reads, any(isinstance(o, Elements) and o.mixes for o in held))


def _is_one(size: ast.expr) -> bool:
    return isinstance(size, ast.Constant) and size.value == 1


def _scaled(index: ast.expr, stride: ast.expr | None) -> ast.expr:
    if isinstance(stride, ast.Constant):
        return index if stride.value else number(0)
    assert stride is not None
    return ast.BinOp(index, ast.Mult(), stride)


def _result_dtype(lowering: Lowering, function: Callable[..., Scalar], held: list[Any]) -> str:
    """Find the dtype of elements, by writing one and throwing it away."""
    dtypes = [o.dtype if o.dtype in (*FLOATING, "bool") or o.dtype.startswith("uint") else "int64" for o in held]
    return tried(lowering, function, *(Scalar(name("x"), dtype) for dtype in dtypes))


def tried(lowering: Lowering, function: Callable[..., Scalar], *given: Scalar) -> str:
    """Find the dtype of what a function gives, which is written and thrown away; of 0 if nothing is given."""
    count, block = len(lowering.block.statements), lowering.block
    known = dict(lowering.values)
    found = function(*(given or (Scalar(number(0), "int64"),))).dtype
    del block.statements[count:]
    lowering.values = known
    return found


def nest(lowering: Lowering, sizes: list[ast.expr], body: Callable[[list[ast.expr]], None]) -> None:
    """Write loops over all indices."""

    def level(done: list[ast.expr]) -> None:
        if len(done) == len(sizes):
            body(done)
            return
        made = Loop(None, [number(0), sizes[len(done)], number(1)])
        outer, lowering.block = lowering.block, lowering.inner(made, made.body)
        made.counter = lowering.value("ijklmn"[len(done) % 6], "int64")
        level([*done, name(made.counter)])
        lowering.block = outer
        lowering.put(made)

    level([])


def fold(
    lowering: Lowering,
    sizes: list[ast.expr],
    start: Scalar,
    step: Callable[[Scalar, list[ast.expr]], Scalar],
    wish: str = "total",
) -> Scalar:
    """Write loops over all indices that carry a number."""

    def level(done: list[ast.expr], before: Scalar) -> Scalar:
        if len(done) == len(sizes):
            return lowering.atom(step(before, done), wish)
        before = lowering.atom(before, wish)
        made = Loop(None, [number(0), sizes[len(done)], number(1)])
        outer, lowering.block = lowering.block, lowering.inner(made, made.body)
        made.counter = lowering.value("ijklmn"[len(done) % 6], "int64")
        target = lowering.value(wish, start.dtype)
        after = level([*done, name(made.counter)], Scalar(name(target), start.dtype))
        made.carried.append(Carried(target, before.node, after.node))
        lowering.block = outer
        lowering.put(made)
        return Scalar(name(target), start.dtype)

    return level([], start)


def allocate(lowering: Lowering, sizes: list[ast.expr], dtype: str, fill: str, wish: str) -> Value:
    """Write a new array."""
    sizes = [lowering.atom(Scalar(size, "int64"), "size").node if not plain(size) else size for size in sizes]
    target = lowering.value(lowering.wish or wish, dtype, len(sizes))
    target.sizes = sizes
    lowering.put(Allocate(target, fill))
    return target


def plain(size: ast.expr) -> bool:
    if isinstance(size, ast.Subscript):  # of an argument's shape
        return True
    return isinstance(size, ast.Name | ast.Constant)


def compute(lowering: Lowering, elements: Elements, wish: str) -> Value:
    """Write the loops that compute an array."""
    target = allocate(lowering, elements.sizes, elements.dtype, "empty", wish)
    _write(lowering, target, target.sizes, elements)
    return target


def _write(lowering: Lowering, target: Value, sizes: list[ast.expr], elements: Elements, adds: bool = False) -> None:
    def body(index: list[ast.expr]) -> None:
        value = lowering.atom(elements.at(index))
        lowering.put(Store(target, index, value.node, adds))

    nest(lowering, sizes, body)


def _apart(first: Value, second: Value) -> bool:
    """Tell whether two arrays can share no memory."""
    assert first.family is not None and second.family is not None
    return first.family.root() is not second.family.root()


def _sure(value: Value) -> bool:
    """Tell whether an array's family says already all of what it may share memory with: loops have more to say."""
    assert value.family is not None
    return not value.family.root().carried


def fill(lowering: Lowering, target: Value, meaning: Meaning, add: ast.operator | None) -> None:
    """Write a number, or an array's elements, into all of an array."""
    if isinstance(meaning, Scalar):
        scalar = lowering.atom(meaning)
        meaning = Elements([number(1)] * (target.ndim or 0), scalar.dtype, lambda index: scalar)
    if isinstance(meaning, Group):
        meaning = array_of(lowering, meaning, "t")
    if isinstance(meaning, Value) or (isinstance(meaning, Elements) and meaning.reads):
        reads = [meaning] if isinstance(meaning, Value) else meaning.reads
        mixes = isinstance(meaning, Elements) and meaning.mixes
        aligned = not mixes and all(value is target for value in reads)
        if not aligned and not all(_apart(value, target) and _sure(value) and _sure(target) for value in reads):
            copied = elementwise(lowering, lambda a: a, meaning)
            assert isinstance(copied, Elements)
            meaning = compute(lowering, copied, "t")
    sizes = sizes_of(lowering, target)
    if not isinstance(meaning, Value | Elements) or (meaning.ndim or 0) > len(sizes):
        raise lowering.refuse("this assignment to elements", "assign numbers or arrays")
    # the target's sizes win: what is assigned is broadcast to them
    given = sizes_of(lowering, meaning)
    strides: list[ast.expr] = []
    for size, own in zip(sizes[len(sizes) - len(given) :], given, strict=True):
        if text(size) == text(own):
            strides.append(number(1))
        elif _is_one(own):
            strides.append(number(0))
        else:
            stride = ast.Call(name("spread"), [size, own], [])
            strides.append(lowering.assign("stride", Scalar(stride, "int64")).node)

    def at(index: list[ast.expr]) -> Scalar:
        own = index[len(sizes) - len(given) :]
        assert isinstance(meaning, Value | Elements)
        return element(lowering, meaning, [_scaled(i, s) for i, s in zip(own, strides, strict=True)])

    _write(lowering, target, sizes, Elements(sizes, target.dtype, at), add is not None)


def array_of(lowering: Lowering, group: Group, wish: str, dtype: str | None = None) -> Value:
    """Write an array of numbers, or of rows of numbers."""
    rows = group.items
    if any(isinstance(row, Group) for row in rows):
        width = len(rows[0].items)
        flat = [number_of(lowering, item) for row in rows for item in row.items]
        shape = [len(rows), width]
    else:
        flat = [number_of(lowering, item) for item in rows]
        shape = [len(rows)]
    found = dtype or (joined(*(s.dtype for s in flat)) if flat else "float64")
    flat = [lowering.atom(item) for item in flat]
    target = allocate(lowering, [number(size) for size in shape], found, "empty", wish)
    for place, item in zip(np.ndindex(*shape), flat, strict=True):
        lowering.put(Store(target, [number(int(i)) for i in place], item.node))
    return target


def viewed(
    lowering: Lowering, base: Value, written: ast.expr, sizes: list[ast.expr | None], wish: str = "part"
) -> Value:
    """Write a view as an expression says; sizes that are not known are asked for."""
    target = lowering.value(lowering.wish or wish, base.dtype, len(sizes))
    assert target.family is not None and base.family is not None
    target.family.join(base.family)
    lowering.put(View(target, base, written))
    target.sizes = [
        lowering.assign(f"{target.name}_size", Scalar(size_of(target, axis), "int64")).node if size is None else size
        for axis, size in enumerate(sizes)
    ]
    return target


def transposed(lowering: Lowering, array: Value | Elements) -> Value:
    """Write an array with its axes in reverse order."""
    base = materialised(lowering, array)
    assert isinstance(base, Value)
    if (base.ndim or 0) < 2:
        return base
    sizes: list[Any] = list(reversed(sizes_of(lowering, base)))
    return viewed(lowering, base, ast.Attribute(name(base), "T", ast.Load()), sizes)


def grown(lowering: Lowering, base: Value, sizes: list[Scalar]) -> Value:
    """Write what makes room in an array that values are kept in."""
    target = lowering.value(base.name, base.dtype, 1)
    assert target.family is not None and base.family is not None
    target.family.join(base.family)
    called = ast.Call(name("grown"), [name(base), *(lowering.atom(size, "size").node for size in sizes)], [])
    lowering.put(View(target, base, called))
    target.sizes = base.sizes  # of which nothing is asked: elements are read and written one by one
    return target


def product(lowering: Lowering, left: Meaning, right: Meaning) -> Meaning:
    """Lower a product of vectors and matrices."""
    a, b = (materialised(lowering, item) for item in (left, right))
    if not isinstance(a, Value) or not isinstance(b, Value):
        return binary(lowering, ast.Mult(), left, right)
    dtype = joined(a.dtype, b.dtype)
    sizes_a, sizes_b = sizes_of(lowering, a), sizes_of(lowering, b)
    if a.ndim == b.ndim == 2 and not lowering.block.loops() and a.dtype == b.dtype and not lowering.by_loops:
        target = lowering.value("product", dtype, 2)
        target.sizes = [sizes_a[0], sizes_b[1]]
        lowering.put(Product(target, a, b))
        return target

    def term(at_a: list[ast.expr], at_b: list[ast.expr]) -> Callable[[Scalar, list[ast.expr]], Scalar]:
        def step(before: Scalar, index: list[ast.expr]) -> Scalar:
            one = element(lowering, a, [*at_a, *index])
            other = element(lowering, b, [*index, *at_b])
            return Scalar(ast.BinOp(before.node, ast.Add(), ast.BinOp(one.node, ast.Mult(), other.node)), dtype)

        return step

    inner = sizes_a[-1]
    if text(inner) != text(sizes_b[0]):
        inner = lowering.assign("size", Scalar(ast.Call(name("common"), [inner, sizes_b[0]], []), "int64")).node
    zero = Scalar(number(0.0), dtype)

    def at(index: list[ast.expr]) -> Scalar:
        count = (a.ndim or 0) - 1
        return fold(lowering, [inner], zero, term(index[:count], index[count:]))

    outer = [*sizes_a[:-1], *sizes_b[1:]]
    if (a.ndim or 0) > 2 or (b.ndim or 0) > 2:
        raise lowering.refuse("a product of arrays of more than two axes", "write the loop")
    return Elements(outer, dtype, at, [a, b], True) if outer else at([])
