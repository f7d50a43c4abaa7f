"""Loops whose turns do not depend on each other on the way back, so that they may run in any order."""

from __future__ import annotations

import ast

from .analysis import Analysis
from .language import Assign, Block, Branch, Loop, Product, Statement, Store, Value, View, names_in


def independent(known: Analysis, loop: Loop) -> bool:
    """Tell whether the way back through a loop only adds to what other turns add to as well.

    Numbers that the loop carries are sums then, each turn adding a part, and what is written to has its own place in
    each turn.
    """
    if not loop.simple or loop.counter is None:
        return False
    for carried in loop.carried:
        if not known.active(carried.target.name):
            continue
        if carried.target.ndim is not None or not is_sum(loop, carried.target.name, carried.after):
            return False
    stores: dict[object, set[str]] = {}
    for statement in loop.body.walk():
        if isinstance(statement, Store) and not statement.adds and known.active(statement.array.name):
            family = known.family(statement.array)
            homes = known.homes.get(family, [])
            if homes and not family.carried and all(home.block.inside(loop.body) for home in homes):
                continue  # each turn has one of its own
            here = any(isinstance(item, ast.Name) and item.id == loop.counter.name for item in statement.index)
            if not here:
                return False
            stores.setdefault(family, set()).add(f"{statement.array} {[ast.unparse(item) for item in statement.index]}")
    if any(len(places) > 1 for places in stores.values()):
        return False
    added = {known.family(s.array) for s in loop.body.walk() if isinstance(s, Store) and s.adds}
    return not added & set(stores) and not any(
        known.family(array) in stores or known.family(array) in added for array in _read(known, loop.body)
    )


def _read(known: Analysis, block: Block) -> list[Value]:
    found: list[Value] = []
    for statement in block.walk():
        for node in statement.expressions():
            found += known.loads(node)
        if isinstance(statement, View):
            found.append(statement.base)
        if isinstance(statement, Product):
            found += [statement.left, statement.right]
    return found


def is_sum(loop: Loop, key: str, after: ast.expr) -> bool:
    """Tell whether a number that a loop carries is added to, and otherwise not used."""
    return sum_of(loop, key, after) is not None


def sum_of(loop: Loop, key: str, after: ast.expr) -> set[str] | None:
    """Give all names of a number that a loop carries, adds to, and does not use otherwise; None for others."""
    names: set[str] = {key}
    links: set[Statement] = set()
    if not isinstance(after, ast.Name) or not _leads(loop.body, after.id, key, names, links):
        return None
    for statement in loop.body.walk():
        used = names_in(*statement.expressions())
        if isinstance(statement, Branch):
            used = names_in(statement.condition)
        if isinstance(statement, Branch | Loop) and statement not in links:
            used = _handed_over(statement) | used
        elif isinstance(statement, Loop):
            used = names_in(*statement.bounds)
        elif statement in links:
            continue
        if used & names:
            return None
    others = [c for c in loop.carried if c.target.name != key]
    return None if any(names_in(c.after) & names for c in others) else names


def _handed_over(statement: Branch | Loop) -> set[str]:
    if isinstance(statement, Branch):
        return names_in(*(node for m in statement.merged for node in (m.first, m.second)))
    return names_in(*(node for c in statement.carried for node in (c.before, c.after)))


def _leads(block: Block, last: str, first: str, names: set[str], links: set[Statement]) -> bool:
    """Tell whether `last` is `first` and what a block adds to it; collects the names and statements on the way."""
    while last != first:
        names.add(last)
        statement = next((s for s in block.statements if last in {v.name for v in s.gives()}), None)
        if statement is None:
            return False
        links.add(statement)
        if isinstance(statement, Assign):
            value = statement.value
            terms: list[ast.expr] = []
            while isinstance(value, ast.BinOp) and isinstance(value.op, ast.Add | ast.Sub):
                terms.append(value.right)
                value = value.left
            if not isinstance(value, ast.Name) or value.id in names_in(*terms):
                return False
            last = value.id
        elif isinstance(statement, Branch):
            merged = next(m for m in statement.merged if m.target.name == last)
            if any(names_in(m.first, m.second) & names_in(merged.first, merged.second) for m in statement.merged
                   if m is not merged):  # fmt: skip
                return False
            ways = [(statement.first, merged.first), (statement.second, merged.second)]
            return all(
                isinstance(value, ast.Name) and _leads(way, value.id, first, names, links) for way, value in ways
            ) or (_from_before(block, statement, ways, first, names, links))
        elif isinstance(statement, Loop):
            carried = next((c for c in statement.carried if c.target.name == last), None)
            if (
                carried is None
                or not isinstance(carried.before, ast.Name)
                or not is_sum(statement, last, carried.after)
            ):
                return False
            if names_in(*(c.before for c in statement.carried if c is not carried)) & {carried.before.id}:
                return False
            names |= _names_inside(statement, last, carried.after, links)
            last = carried.before.id
        else:
            return False
    return True


def _names_inside(loop: Loop, key: str, after: ast.expr, links: set[Statement]) -> set[str]:
    names: set[str] = {key}
    assert isinstance(after, ast.Name)
    _leads(loop.body, after.id, key, names, links)
    return names


def _from_before(
    block: Block,
    statement: Branch,
    ways: list[tuple[Block, ast.expr]],
    first: str,
    names: set[str],
    links: set[Statement],
) -> bool:
    """Tell whether both ways of a branch begin with one number of the block, which `first` leads to."""
    inner = {v.name for s in (*statement.first.walk(), *statement.second.walk()) for v in s.gives()}
    starts = set()
    for way, value in ways:
        if not isinstance(value, ast.Name):
            return False
        key = value.id
        while key in inner:
            given = next((s for s in way.statements if key in {v.name for v in s.gives()}), None)
            if not isinstance(given, Assign):
                return False
            node = given.value
            while isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add | ast.Sub):
                node = node.left
            if not isinstance(node, ast.Name):
                return False
            key = node.id
        starts.add(key)
    if len(starts) != 1:
        return False
    (start,) = starts
    return all(
        _leads(way, value.id, start, names, links) for way, value in ways if isinstance(value, ast.Name)
    ) and _leads(block, start, first, names, links)
