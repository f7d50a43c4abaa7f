"""Nests: lists, tuples, dicts and dataclasses of arrays, as parameters of models are, and what users register."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from .arrays import is_array


class Kind:
    """The kind of a nest that is none of Python's own: its class, and what belongs to the structure besides."""

    __slots__ = ("kind", "rest")

    def __init__(self, kind: type, rest: Any) -> None:
        self.kind, self.rest = kind, rest

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Kind) and self.kind is other.kind and bool(self.rest == other.rest)

    def __hash__(self) -> int:
        return hash((self.kind, self.rest))

    def __repr__(self) -> str:
        return f"{self.kind.__name__}({self.rest!r})"

    def __call__(self, parts: Any) -> Any:
        """Put a nest together from its parts."""
        return _registered[self.kind][1](self.rest, tuple(parts))

    def apart(self, value: Any) -> Any:
        """Give the parts of a nest; None if it is not of this kind."""
        if type(value) is not self.kind or (self.kind in _dataclasses and not _has_arrays(value)):
            return None
        parts, rest = _registered[self.kind][0](value)
        return tuple(parts) if rest == self.rest else None


#: What takes a nest of a class apart, into its parts and what else there is, and what puts one together.
_registered: dict[type, tuple[Callable[[Any], tuple[Any, Any]], Callable[[Any, Any], Any]]] = {}


def register_nest(kind: type, apart: Callable[[Any], tuple[Any, Any]], together: Callable[[Any, Any], Any]) -> type:
    """Have instances of a class count as nests, as lists and dicts do, for `nbgrad.grad`, `jit`, `vmap` and their like.

    `apart` gives (parts, rest) of an instance: the parts are arrays, or nests of them, and the rest, which can be
    hashed and compared, is part of the structure; ``together(rest, parts)`` makes an instance again. Dataclasses that
    hold arrays count without being registered, all fields but those whose metadata have a true "static". Raises
    TypeError for what is no class.

    >>> import nbgrad
    >>> class Pair:
    ...     def __init__(self, first, second):
    ...         self.first, self.second = first, second
    >>> _ = nbgrad.func.register_nest(Pair, lambda p: ((p.first, p.second), None), lambda _, parts: Pair(*parts))
    >>> nbgrad.grad(lambda p: p.first * p.second)(Pair(2.0, 3.0)).first
    array(3.)
    """
    if not isinstance(kind, type):
        raise TypeError(f"register_nest: {kind!r} is no class")
    _registered[kind] = (apart, together)
    return kind


def _of_dataclass(kind: type) -> None:
    """Register a dataclass: its fields are the parts, but for those whose metadata say that they are static."""
    fields: dict[str, Any] = kind.__dataclass_fields__  # type: ignore[attr-defined]
    static = tuple([name for name, field in fields.items() if field.metadata.get("static")])
    names = tuple([name for name in fields if name not in static])

    def apart(value: Any) -> Any:
        return [getattr(value, name) for name in names], tuple([getattr(value, name) for name in static])

    def together(rest: Any, parts: Any) -> Any:
        made: Any = object.__new__(kind)  # it is as valid as the one that it was made of
        for name, part in zip((*names, *static), (*parts, *rest), strict=True):
            object.__setattr__(made, name, part)
        return made

    _registered[kind] = apart, together
    _dataclasses.add(kind)


_dataclasses: set[type] = set()


def _has_arrays(value: Any) -> bool:
    """Tell whether a dataclass holds arrays or Variables, in whatever nests; one that does not is a value like any."""
    parts: list[Any] = [getattr(value, name, None) for name in type(value).__dataclass_fields__]
    while parts:
        part = parts.pop()
        if isinstance(part, list | tuple):
            parts.extend(part)
        elif type(part) is dict:
            parts.extend(part.values())
        elif hasattr(type(part), "__dataclass_fields__"):
            parts.extend(getattr(part, name, None) for name in type(part).__dataclass_fields__)
        elif hasattr(type(part), "_generation") or is_array(part) or type(part) in _registered:
            return True
    return False


def flatten(value: Any, leaves: list[Any]) -> Any:
    """Take a nest apart; gives its structure, which is hashable. None is a leaf."""
    kind = type(value)
    if kind is dict:
        return (dict, tuple((key, flatten(value[key], leaves)) for key in value))
    if isinstance(value, list | tuple):
        return (kind, tuple(flatten(item, leaves) for item in value))
    if kind in _registered or hasattr(kind, "__dataclass_fields__"):
        if kind not in _registered:
            _of_dataclass(kind)
        if kind not in _dataclasses or _has_arrays(value):
            parts, rest = _registered[kind][0](value)
            return (Kind(kind, rest), tuple(flatten(item, leaves) for item in parts))
    leaves.append(value)
    return None


def like_structure(structure: Any, value: Any, leaves: list[Any]) -> bool:
    """Take a nest apart as another one was, whatever order its dicts have; tell whether it is like that one.

    What stands in the place of a leaf is one, and lists and tuples may take each other's place.
    """
    if structure is None:
        leaves.append(value)
        return True
    kind, items = structure
    if kind is dict:
        if not isinstance(value, dict) or len(value) != len(items) or any([key not in value for key, _ in items]):
            return False
        return all([like_structure(item, value[key], leaves) for key, item in items])
    if isinstance(kind, Kind):
        parts = parts_of(kind, value)
    else:
        parts = tuple(value) if isinstance(value, list | tuple) else None
    if parts is None or len(parts) != len(items):
        return False
    return all([like_structure(item, part, leaves) for item, part in zip(items, parts, strict=True)])


def parts_of(kind: Kind, value: Any) -> tuple[Any, ...] | None:
    """Give the parts of what is of a kind of nests, whatever these are; None of anything else."""
    return tuple(_registered[kind.kind][0](value)[0]) if type(value) is kind.kind else None


def unflatten(structure: Any, leaves: Iterator[Any]) -> Any:
    """Put a nest together again, of other leaves."""
    if structure is None:
        return next(leaves)
    kind, items = structure
    if kind is dict:
        return {key: unflatten(item, leaves) for key, item in items}
    values = [unflatten(item, leaves) for item in items]
    return kind(*values) if hasattr(kind, "_fields") else kind(values)


def count(structure: Any) -> int:
    """Count the leaves of a structure."""
    if structure is None:
        return 1
    kind, items = structure
    return sum(count(item[1] if kind is dict else item) for item in items)
