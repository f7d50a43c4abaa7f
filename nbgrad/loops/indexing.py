"""Elements, slices and views, read and written, on their way into the language."""

from __future__ import annotations

import ast
from typing import Any

from . import library
from .arrays import array_of, binary, compute, fill, viewed
from .language import FLOATING, Store, Value, name, number, whole
from .meanings import Elements, Group, Known, Meaning, Scalar
from .numbers import element, number_of, sizes_of
from .state import Lowering


def _index(lowering: Lowering, base: Value, node: ast.expr) -> list[Any]:
    """Give an index, axis by axis: a whole number, a slice, None for a new axis, or an array of whole numbers."""
    nodes = list(node.elts) if isinstance(node, ast.Tuple) else [node]
    items: list[Any] = []
    for item in nodes:
        if isinstance(item, ast.Slice):
            parts = []
            for part in (item.lower, item.upper, item.step):
                found = None if part is None else lowering.expression(part)
                if isinstance(found, Known) and found.value is None:
                    found = None
                parts.append(None if found is None else lowering.atom(number_of(lowering, found), "bound").node)
            items.append(tuple(parts))
            continue
        if isinstance(item, ast.Constant) and item.value is Ellipsis:
            items.append(Ellipsis)
            continue
        found = lowering.expression(item)
        if isinstance(found, Elements) and found.ndim:
            found = compute(lowering, found, "places")
        if isinstance(found, Value) and found.dtype == "bool" and len(nodes) == 1:
            if found.ndim not in (1, base.ndim):
                raise lowering.refuse(f"a mask of {found.ndim} axes", "give one of the array's axes, or of its first")
            return [found]
        if isinstance(found, Known) and found.value is None:
            items.append(None)
        elif isinstance(found, Group):
            items += found.items
        elif isinstance(found, Scalar):
            items.append(found)
        elif isinstance(found, Value) and found.ndim == 1 and found.dtype != "bool":
            items.append(found)
        else:
            raise lowering.refuse("this index", "use whole numbers, slices, a mask, or one array of whole numbers")
    given = sum(item is not None and item is not Ellipsis for item in items)
    if Ellipsis in items:
        place = items.index(Ellipsis)
        items[place : place + 1] = [(None, None, None)] * ((base.ndim or 0) - given)
    else:
        items += [(None, None, None)] * ((base.ndim or 0) - given)
    if sum(item is not None for item in items) != base.ndim:
        raise lowering.refuse(f"an index of more axes than the array's {base.ndim}", "leave some out")
    return items


def _place(lowering: Lowering, scalar: Scalar) -> ast.expr:
    """Give an index that may be written again on the way back."""
    if _affine(scalar.node):
        return scalar.node
    return lowering.atom(scalar, "place").node


def _affine(node: ast.expr) -> bool:
    if isinstance(node, ast.BinOp):
        return isinstance(node.op, ast.Add | ast.Sub | ast.Mult) and _affine(node.left) and _affine(node.right)
    if isinstance(node, ast.UnaryOp):
        return isinstance(node.op, ast.USub) and _affine(node.operand)
    return isinstance(node, ast.Name) or (isinstance(node, ast.Constant) and not isinstance(node.value, float))


def subscript(lowering: Lowering, base: Meaning, node: ast.expr) -> Meaning:
    """Lower ``base[node]`` where it is read."""
    if isinstance(base, Group):
        found = node
        if isinstance(found, ast.Slice):
            parts = [
                None if part is None else ast.literal_eval(part) for part in (found.lower, found.upper, found.step)
            ]
            return Group(base.items[slice(*parts)])
        place = number_of(lowering, lowering.expression(found)).node
        if not isinstance(place, ast.Constant):
            if not all(isinstance(item, Scalar) for item in base.items):
                raise lowering.refuse("an item of a tuple whose place is not known before", "use an array")
            return element(lowering, array_of(lowering, base, "items"), [_place(lowering, Scalar(place, "int64"))])
        return base.items[whole(place)]
    if isinstance(base, Elements):
        base = compute(lowering, base, "t")
    if not isinstance(base, Value):
        raise lowering.refuse("an index into this", "use arrays and tuples")
    return taken(lowering, base, _index(lowering, base, node))


def taken(lowering: Lowering, base: Value, items: list[Any]) -> Meaning:
    """Give what is at an index."""
    if _is_mask(items):
        return lowering.put_in(library.masked, base, items[0], called="an index by a mask")
    return pick(lowering, base, items)


def _is_mask(items: list[Any]) -> bool:
    return bool(items) and isinstance(items[0], Value) and items[0].dtype == "bool"


def _store_masked(lowering: Lowering, base: Value, mask: Value, meaning: Meaning, op: ast.operator | None) -> None:
    """Write to the elements where a mask is true."""
    if op is not None:
        meaning = binary(
            lowering, op, lowering.put_in(library.masked, base, mask, called="an index by a mask"), meaning
        )
    picked = (base.ndim or 0) - (mask.ndim or 0) + 1  # axes of what the mask picks
    several = isinstance(meaning, Value | Elements) and meaning.ndim == picked
    function = library.put_several if several else library.put_one
    lowering.put_in(function, base, mask, meaning, called="an assignment by a mask")


def pick(lowering: Lowering, base: Value, items: list[Any]) -> Meaning:
    """Give an element, a view, or elements at places that an array holds."""
    items = items + [(None, None, None)] * ((base.ndim or 0) - sum(item is not None for item in items))
    if all(isinstance(item, Scalar) for item in items):
        return element(lowering, base, [_place(lowering, item) for item in items])
    gathered = [item for item in items if isinstance(item, Value)]
    if gathered:
        if len(gathered) > 1 or None in items:
            raise lowering.refuse("an index of several arrays", "write the loop")
        return _gather(lowering, base, items)
    return view(lowering, base, items)


def _gather(lowering: Lowering, base: Value, items: list[Any]) -> Elements:
    sizes: list[ast.expr] = []
    own = sizes_of(lowering, base)
    for item, size in zip(items, own, strict=True):
        if isinstance(item, Value):
            sizes.append(sizes_of(lowering, item)[0])
        elif isinstance(item, tuple):
            if item != (None, None, None):
                raise lowering.refuse("an index of an array and a slice", "take the slice first")
            sizes.append(size)

    def at(index: list[ast.expr]) -> Scalar:
        rest, places = iter(index), []
        for item in items:
            if isinstance(item, Scalar):
                places.append(_place(lowering, item))
            elif isinstance(item, Value):
                places.append(lowering.assign("place", element(lowering, item, [next(rest)])).node)
            else:
                places.append(next(rest))
        return element(lowering, base, places)

    reads = [base, *(item for item in items if isinstance(item, Value))]
    return Elements(sizes, element(lowering, base, [number(0)] * len(own)).dtype, at, reads, True)


def view(lowering: Lowering, base: Value, items: list[Any]) -> Value:
    """Write a view of an array."""
    parts: list[ast.expr] = []
    sizes: list[ast.expr | None] = []
    own = iter(sizes_of(lowering, base))
    for item in items:
        if item is None:
            parts.append(ast.Constant(None))
            sizes.append(number(1))
        elif isinstance(item, Scalar):
            next(own)
            parts.append(_place(lowering, item))
        else:
            size = next(own)
            parts.append(ast.Slice(*item))
            sizes.append(size if item == (None, None, None) else None)
    index = parts[0] if len(parts) == 1 else ast.Tuple(parts, ast.Load())
    return viewed(lowering, base, ast.Subscript(name(base), index, ast.Load()), sizes)


def places(lowering: Lowering, base: Meaning, node: ast.expr) -> list[Any]:
    """Lower the index of what is written to."""
    if not isinstance(base, Value):
        raise lowering.refuse("an assignment to an item of this", "assign to elements of arrays")
    if base.name in lowering.constants:
        raise lowering.refuse("writing to an array from outside of the function", "pass it as an argument")
    items = _index(lowering, base, node)
    return [Scalar(_place(lowering, item), item.dtype) if isinstance(item, Scalar) else item for item in items]


def store(lowering: Lowering, base: Meaning, node: ast.expr, meaning: Meaning) -> None:
    """Lower ``base[node] = meaning``."""
    put(lowering, base, places(lowering, base, node), meaning)


def put(lowering: Lowering, base: Meaning, items: list[Any], meaning: Meaning, op: ast.operator | None = None) -> None:
    """Lower an assignment to what is at an index, or ``op=``."""
    assert isinstance(base, Value)
    if _is_mask(items):
        _store_masked(lowering, base, items[0], meaning, op)
        return
    if all(isinstance(item, Scalar) for item in items):
        index = [_place(lowering, item) for item in items]
        value = number_of(lowering, meaning)
        adds = False
        if isinstance(op, ast.Add | ast.Sub) and base.dtype in FLOATING:
            adds = True
            if isinstance(op, ast.Sub):
                value = Scalar(ast.UnaryOp(ast.USub(), value.node), value.dtype)
        elif op is not None:
            found = binary(lowering, op, element(lowering, base, index), value)
            value = number_of(lowering, found)
        lowering.put(Store(base, index, lowering.atom(value).node, adds))
        return
    if items and isinstance(items[0], Value) and all(item == (None, None, None) for item in items[1:]):
        if op is not None:
            meaning = binary(lowering, op, pick(lowering, base, items), meaning)
        each = isinstance(meaning, Value | Elements) and meaning.ndim == base.ndim
        function = library.put_at_each if each else library.put_at
        lowering.put_in(function, base, items[0], meaning, called="an assignment to places")
        return
    if any(isinstance(item, Value) for item in items):
        raise lowering.refuse("an assignment to elements at places that an array holds", "write the loop")
    full = all(item == (None, None, None) for item in items)
    target = base if full else view(lowering, base, items)
    if op is not None:
        meaning = binary(lowering, op, target, meaning)
    fill(lowering, target, meaning, None)
