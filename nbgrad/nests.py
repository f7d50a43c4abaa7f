"""Nests: lists, tuples and dicts of arrays, as parameters of a model often are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


def flatten(value: Any, leaves: list[Any]) -> Any:
    """Take a nest of lists, tuples and dicts apart; gives its structure, which is hashable."""
    kind = type(value)
    if kind is dict:
        return (dict, tuple((key, flatten(value[key], leaves)) for key in value))
    if isinstance(value, list | tuple):
        return (kind, tuple(flatten(item, leaves) for item in value))
    leaves.append(value)
    return None


def unflatten(structure: Any, leaves: Iterator[Any]) -> Any:
    """Put a nest together again, of other leaves."""
    if structure is None:
        return next(leaves)
    kind, items = structure
    if kind is dict:
        return {key: unflatten(item, leaves) for key, item in items}
    values = [unflatten(item, leaves) for item in items]
    return kind(*values) if hasattr(kind, "_fields") else kind(values)
