"""Branches: both ways of them, and what names stand for behind."""

from __future__ import annotations

import ast
from typing import Any

from . import syntax
from .arrays import allocate
from .language import Block, Branch, Merged, Value, name, names_in, number, text
from .meanings import Elements, Group, Known, Local, Meaning, Method, Scalar, joined
from .state import Dead, Lowering, called, measure


def branch(lowering: Lowering, condition: Scalar, first: Any, second: Any, live: set[str]) -> None:
    """Lower both ways of a branch, and merge the names that they bind differently."""
    scope = lowering.scopes[-1]
    statement = Branch(condition.node)
    before, outer = dict(scope.names), lowering.block
    ends: list[dict[str, Meaning] | None] = []
    for way, block in ((first, statement.first), (second, statement.second)):
        lowering.block = lowering.inner(statement, block) if block.parent is None else block
        block.parent = outer
        scope.names = dict(before)
        try:
            way()
            ends.append(scope.names)
        except Dead:
            ends.append(None)
        lowering.block = outer
    line = lowering.line
    lowering.put(statement)
    if ends == [None, None]:
        raise Dead
    if None in ends:
        scope.names = next(end for end in ends if end is not None)
        for key in list(scope.names):  # what the living branch gave is behind it as well
            if scope.names[key] is not before.get(key):
                end = scope.names[key]
                _merge(lowering, statement, key, end, end, alone=ends[0] is not None)
        return
    assert ends[0] is not None and ends[1] is not None
    scope.names = dict(before)
    for key in ends[0].keys() | ends[1].keys():
        one, other = ends[0].get(key), ends[1].get(key)
        if one is other:
            scope.names[key] = one  # type: ignore[assignment]
        elif key in live:
            lowering.line = line
            _merge(lowering, statement, key, one, other)
        else:
            scope.names.pop(key, None)


def _merge(
    lowering: Lowering, statement: Branch, key: str, one: Meaning | None, other: Meaning | None, alone: Any = None
) -> None:
    lowering.scopes[-1].names[key] = merged(lowering, statement, key, one, other, alone)


def merged(
    lowering: Lowering, statement: Branch, key: str, one: Meaning | None, other: Meaning | None, alone: Any = None
) -> Meaning:
    """Give what a name stands for behind a branch; `alone` tells from which way it comes, if the other ends before."""
    if isinstance(one, Group) and isinstance(other, Group) and len(one.items) == len(other.items):
        pairs = zip(one.items, other.items, strict=True)
        fields = one.fields if one.fields == other.fields else ()
        return Group([merged(lowering, statement, key, a, b, alone) for a, b in pairs], fields)
    if isinstance(one or other, Group) and (one is None or other is None):
        like = one or other
        assert isinstance(like, Group)
        items = [merged(lowering, statement, key, one and item, other and item, alone) for item in like.items]
        return Group(items, like.fields)
    kinds = Known | Local | Method | Elements
    if isinstance(one, kinds) or isinstance(other, kinds):
        if one is other or (isinstance(one, Known) and isinstance(other, Known) and one.value is other.value):
            assert one is not None
            return one
        if one is None or other is None:
            return one or other  # type: ignore[return-value]
        remedy = "return as much everywhere" if key == syntax.RESULT else "bind numbers or arrays"
        raise lowering.refuse(f"{called(key)}, which is something else after each way of a branch,", remedy)
    if one is None or other is None:
        known = one if other is None else other
        if isinstance(known, Value) and alone is None:
            pair = [
                value or _unbound(lowering, block, known)
                for value, block in ((one, statement.first), (other, statement.second))
            ]
            return merged(lowering, statement, key, pair[0], pair[1])
        if not isinstance(known, Scalar):
            raise lowering.refuse(f"the array {called(key)}, which only one branch binds,", "bind it before the branch")
        one, other = one or zero(known.dtype), other or zero(known.dtype)
    if isinstance(one, Scalar) and isinstance(other, Scalar):
        dtype = one.dtype if one.dtype == other.dtype else joined(one.dtype, other.dtype)
        if alone is not None and isinstance(one.node, ast.Constant):
            return one
        nodes: list[ast.expr] = []
        for way, block in ((one, statement.first), (other, statement.second)):
            nodes.append(_named_in(lowering, block, way, key).node)
        target = lowering.value(key, dtype)
        first, second = nodes
        if alone is not None:
            rest = number(0.0 if dtype.startswith("float") else 0)
            first, second = (first, rest) if alone else (rest, second)
        statement.merged.append(Merged(target, first, second))
        return Scalar(name(target), dtype)
    if isinstance(one, Value) and isinstance(other, Value):
        if (
            one is other
            and alone is not None
            and one.block is not None
            and not one.block.inside(statement.first)
            and (not one.block.inside(statement.second))
        ):
            return one
        if one.dtype != other.dtype or one.ndim != other.ndim:
            raise lowering.refuse(
                f"{called(key)}, an array of another kind after each way of a branch,", "use two names"
            )
        target = lowering.value(key, one.dtype, one.ndim)
        assert target.family is not None and one.family is not None and other.family is not None
        target.family.join(one.family)
        target.family.join(other.family)
        first, second = name(one), name(other)
        if alone is not None:
            none = ast.Constant(None)
            first, second = (first, none) if alone else (none, second)
        statement.merged.append(Merged(target, first, second))
        sizes = [list(map(text, value.sizes)) for value in (one, other)]
        known_before = all(
            lowering.values[inner].block is None
            or statement.block.inside(lowering.values[inner].block or statement.block)
            for size in one.sizes
            for inner in names_in(size)
            if inner in lowering.values
        )
        if sizes[0] == sizes[1] and known_before and one.sizes:
            target.sizes = one.sizes
        else:
            measure(lowering, target)
        return target
    raise lowering.refuse(
        f"{called(key)}, a number after one way of a branch and an array after the other,", "use two names"
    )


def _unbound(lowering: Lowering, block: Block, like: Value) -> Value:
    """Write an array without elements where a branch does not bind one that the other way binds."""
    before, lowering.block = lowering.block, block
    made = empty(lowering, like, like.name)
    lowering.block = before
    assert isinstance(made, Value)
    return made


def empty(lowering: Lowering, like: Meaning, key: str) -> Meaning:
    """Give what a name stands for where nothing is bound to it yet: arrays without elements, and zeros."""
    if isinstance(like, Group):
        return Group([empty(lowering, item, key) for item in like.items], like.fields)
    if isinstance(like, Scalar):
        return zero(like.dtype)
    if isinstance(like, Value):
        return allocate(lowering, [number(0)] * (like.ndim or 0), like.dtype, "empty", key)
    return like


def zero(dtype: str) -> Scalar:
    return Scalar(number(0.0 if dtype.startswith("float") else False if dtype == "bool" else 0), dtype)


def _named_in(lowering: Lowering, block: Block, scalar: Scalar, key: str) -> Scalar:
    """Give a number a name at the end of a block."""
    if scalar.atomic:
        return scalar
    before, lowering.block = lowering.block, block
    made = lowering.assign(key, scalar)
    lowering.block = before
    return made
