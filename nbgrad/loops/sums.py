"""Sums that a loop adds to one element of an array: kept in a number, and added when the loop is done.

Of `mu_bar[c, i] += ...` in a loop over j LLVM cannot know that no other array of the loop shares the memory, so that
each turn would wait for what the turn before stored.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from typing import Any

from ..kernels.text import parsed
from .language import names_in, text


def summed(
    body: list[str], counter: str, arrays: Mapping[str, tuple[str, Any]], fresh: Callable[[str], str]
) -> tuple[list[str], list[str], list[str]]:
    """Give what stands before a loop, its body, and what stands behind, for elements that it only adds to.

    `arrays` tells the dtype of each array, and what those have in common that may share memory.
    """
    tree = parsed("\n".join(body))
    bound = {counter}
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            bound.add(node.id)
    mentions: dict[str, int] = {}
    added: dict[str, int] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and node.id in arrays:
            mentions[node.id] = mentions.get(node.id, 0) + 1
        if isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Subscript):
            if isinstance(node.op, ast.Add | ast.Sub) and isinstance(node.target.value, ast.Name):
                added[node.target.value.id] = added.get(node.target.value.id, 0) + 1
    # a memory of which anything else is done in the loop stays as it is
    spoiled = {arrays[key][1] for key in mentions if mentions[key] != added.get(key, 0) or key in bound}
    before: list[str] = []
    behind: list[str] = []
    names: dict[str, str] = {}
    lines = list(body)
    for statement in tree.body:
        match statement:
            case ast.AugAssign(target=ast.Subscript(value=ast.Name(id=key), slice=index) as target):
                if key not in arrays or arrays[key][1] in spoiled or names_in(index) & bound or _slices(index):
                    continue
                place = statement.lineno - 1
                element = text(target)
                if statement.end_lineno != statement.lineno or not lines[place].startswith(element):
                    continue
                if element not in names:
                    names[element] = fresh(f"{key}_sum")
                    dtype = arrays[key][0]
                    before.append(f"{names[element]} = {'0.0' if dtype == 'float64' else f'{dtype}(0)'}")
                    behind.append(f"{element} += {names[element]}")
                lines[place] = names[element] + lines[place][len(element) :]
    return before, lines, behind


def _slices(index: ast.expr) -> bool:
    items = index.elts if isinstance(index, ast.Tuple) else [index]
    return any(isinstance(item, ast.Slice | ast.Constant) and not _whole(item) for item in items)


def _whole(item: ast.expr) -> bool:
    return isinstance(item, ast.Constant) and isinstance(item.value, int)
