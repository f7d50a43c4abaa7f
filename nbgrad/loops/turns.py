"""What for statements run over: ranges, arrays, enumerate, zip, reversed, tuples."""

from __future__ import annotations

import ast
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from . import indexing
from .arrays import compute, materialised, tried
from .expressions import bind, lower, scalar
from .language import Value, name, number, whole
from .meanings import Elements, Group, Known, Meaning, Scalar
from .numbers import number_of, sizes_of
from .state import Lowering


@dataclass
class Turns:
    """What a loop runs over: whole numbers, and what is bound to the target in each turn."""

    bounds: list[ast.expr]
    bind: Callable[[Scalar, ast.expr], None]
    wish: str = "place"
    parallel: bool = False


def iterate(lowering: Lowering, node: ast.expr, wish: str = "place") -> Turns | list[Meaning]:
    """Lower what a for statement runs over; a tuple's items are given one by one."""
    if isinstance(node, ast.Call):
        function = lower(lowering, node.func)
        called = function.value if isinstance(function, Known) else None
        parallel = getattr(called, "__name__", "") == "prange"
        if called is range or parallel:
            given = [lowering.atom(scalar(lowering, argument), "bound").node for argument in node.args]
            start: ast.expr = number(0)
            step: ast.expr = number(1)
            if len(given) == 1:
                (stop,) = given
            elif len(given) == 2:
                start, stop = given
            else:
                start, stop, step = given

            def take(counter: Scalar, target: ast.expr) -> None:
                bind(lowering, target, counter)

            return Turns([start, stop, step], take, wish, parallel)
        if called is np.ndindex:
            return _all_indices(lowering, [lower(lowering, argument) for argument in node.args])
        if called is np.ndenumerate:
            over = materialised(lowering, lower(lowering, node.args[0]))
            if not isinstance(over, Value):
                raise lowering.refuse("ndenumerate of this", "give it an array")
            return _all_indices(lowering, [Group([Scalar(size, "int64") for size in sizes_of(lowering, over)])], over)
        if called is reversed:
            inner = iterate(lowering, node.args[0])
            if isinstance(inner, list):
                return inner[::-1]
            start, stop, step = inner.bounds
            length = lowering.assign("turns", Scalar(ast.Call(name("len"), [_range(inner.bounds)], []), "int64")).node
            last = lowering.assign("bound", Scalar(_plus(start, _times(_plus(length, number(-1)), step)), "int64")).node
            end = lowering.assign("bound", Scalar(ast.BinOp(start, ast.Sub(), step), "int64")).node
            back = lowering.atom(Scalar(_negative(step), "int64"), "step").node
            return Turns([last, end, back], inner.bind, inner.wish)
        if called is enumerate:
            first = scalar(lowering, node.args[1]).node if len(node.args) > 1 else number(0)
            inner = iterate(lowering, node.args[0])
            if isinstance(inner, list):
                return [Group([Scalar(number(i), "int64"), item]) for i, item in enumerate(inner)]
            return Turns(
                _from_zero(lowering, inner), lambda counter, target: _bind_pair(lowering, counter, target, inner, first)
            )
        if called is zip:
            parts = [iterate(lowering, argument) for argument in node.args]
            if all(isinstance(part, list) for part in parts):
                return [Group(list(items)) for items in zip(*parts, strict=False)]
            if any(isinstance(part, list) for part in parts):
                raise lowering.refuse("zip of a tuple and an array", "zip arrays")
            lengths = [_from_zero(lowering, part)[1] for part in parts if isinstance(part, Turns)]
            shortest = lengths[0]
            for other in lengths[1:]:
                shortest = lowering.assign("turns", Scalar(ast.Call(name("min"), [shortest, other], []), "int64")).node

            def all_of(counter: Scalar, target: ast.expr) -> None:
                if not isinstance(target, ast.Tuple):
                    raise lowering.refuse("zip into one name", "write a tuple of names")
                for part, inner_target in zip(parts, target.elts, strict=True):
                    part.bind(_counted(lowering, part, counter), inner_target)  # type: ignore[union-attr,arg-type]

            return Turns([number(0), shortest, number(1)], all_of, wish)
    if isinstance(node, ast.Attribute) and node.attr == "flat":
        over = materialised(lowering, lower(lowering, node.value))
        if isinstance(over, Value):
            sizes = Group([Scalar(size, "int64") for size in sizes_of(lowering, over)])
            return _all_indices(lowering, [sizes], over, bare=True)
    found = materialised(lowering, lower(lowering, node))
    if isinstance(found, Group):
        return found.items
    if not isinstance(found, Value):
        raise lowering.refuse("a loop over this", "loop over range, arrays, enumerate or zip")

    def item(counter: Scalar, target: ast.expr) -> None:
        bind(lowering, target, indexing.pick(lowering, found, [counter]))

    return Turns([number(0), sizes_of(lowering, found)[0], number(1)], item, wish)


def comprehension(lowering: Lowering, node: ast.ListComp) -> Meaning:
    """Lower a list of numbers, one for each turn, as the array that it is like; of a tuple's items it is a tuple."""
    if len(node.generators) > 1 or node.generators[0].ifs:
        raise lowering.refuse("a list comprehension with a condition or two loops", "write the loop")
    (generator,) = node.generators
    turns = iterate(lowering, generator.iter)
    scope = lowering.scopes[-1]
    before = dict(scope.names)
    if isinstance(turns, list):
        items = []
        for item in turns:
            bind(lowering, generator.target, item)
            items.append(materialised(lowering, lower(lowering, node.elt)))
        scope.names = before
        return Group(items)
    size = lowering.atom(Scalar(_from_zero(lowering, turns)[1], "int64"), "size").node

    def one(counter: Scalar) -> Scalar:
        turns.bind(_counted(lowering, turns, counter), generator.target)
        found = number_of(lowering, lower(lowering, node.elt))
        scope.names = dict(before)
        return found

    return compute(lowering, Elements([size], tried(lowering, one), lambda index: one(Scalar(index[0], "int64"))), "t")


def _all_indices(lowering: Lowering, given: list[Meaning], over: Value | None = None, bare: bool = False) -> Turns:
    """Give the turns over all indices of a shape, with the elements of an array, or these alone if `bare`.

    One counter is taken apart in each turn.
    """
    items = given[0].items if len(given) == 1 and isinstance(given[0], Group) else given
    sizes = [lowering.atom(number_of(lowering, item), "size") for item in items]
    total: ast.expr = number(1)
    for size in sizes:
        total = _times(total, size.node)
    count = lowering.assign("turns", Scalar(total, "int64"))

    def take(counter: Scalar, target: ast.expr) -> None:
        rest, indices = counter, []
        for size in reversed(sizes):
            indices.append(lowering.assign("i", Scalar(ast.BinOp(rest.node, ast.Mod(), size.node), "int64")))
            rest = lowering.assign("rest", Scalar(ast.BinOp(rest.node, ast.FloorDiv(), size.node), "int64"))
        places = Group(indices[::-1])
        if over is None:
            bind(lowering, target, places)
            return
        element = indexing.pick(lowering, over, list(places.items))
        bind(lowering, target, element if bare else Group([places, element]))

    return Turns([number(0), count.node, number(1)], take)


def _bind_pair(lowering: Lowering, counter: Scalar, target: ast.expr, inner: Turns, first: ast.expr) -> None:
    if not isinstance(target, ast.Tuple) or len(target.elts) != 2:
        raise lowering.refuse("enumerate into one name", "write two names")
    counted = (
        counter
        if isinstance(first, ast.Constant) and first.value == 0
        else (Scalar(_plus(counter.node, first), "int64"))
    )
    bind(lowering, target.elts[0], counted)
    inner.bind(_counted(lowering, inner, counter), target.elts[1])


def _range(bounds: list[ast.expr]) -> ast.expr:
    return ast.Call(name("range"), list(bounds), [])


def _plus(a: ast.expr, b: ast.expr) -> ast.expr:
    return ast.BinOp(a, ast.Add(), b)


def _times(a: ast.expr, b: ast.expr) -> ast.expr:
    return ast.BinOp(a, ast.Mult(), b)


def _negative(a: ast.expr) -> ast.expr:
    return number(-whole(a)) if isinstance(a, ast.Constant) else ast.UnaryOp(ast.USub(), a)


def _is(node: ast.expr, value: int) -> bool:
    return isinstance(node, ast.Constant) and node.value == value


def _from_zero(lowering: Lowering, turns: Turns) -> list[ast.expr]:
    start, _, step = turns.bounds
    if _is(start, 0) and _is(step, 1):
        return turns.bounds
    length = lowering.assign("turns", Scalar(ast.Call(name("len"), [_range(turns.bounds)], []), "int64"))
    return [number(0), length.node, number(1)]


def _counted(lowering: Lowering, turns: Turns, counter: Scalar) -> Scalar:
    start, _, step = turns.bounds
    if _is(start, 0) and _is(step, 1):
        return counter
    return lowering.assign("i", Scalar(_plus(start, _times(counter.node, step)), "int64"))
