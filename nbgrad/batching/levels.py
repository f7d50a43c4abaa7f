"""Levels: runs of a function for many examples at once. Where they nest, the inner one has the higher number."""

from __future__ import annotations

import itertools
from typing import Any

from .. import arrays

_numbers = itertools.count()


class Level:
    """A run of a function for many examples at once."""

    __slots__ = ("active", "given", "loops", "number", "size", "transform")

    def __init__(self, size: int, transform: str = "vmap") -> None:
        self.number, self.size, self.transform = next(_numbers), size, transform
        #: Whether the function is still running: a cotangent that comes by later is added up over the examples.
        self.active = False
        #: What was computed example by example, by name, and how often.
        self.loops: dict[str, int] = {}
        #: The arrays that were given, which nobody writes to.
        self.given: list[Any] = []
        arrays.levels.add(self.number)

    def __del__(self) -> None:
        arrays.levels.discard(self.number)

    def __enter__(self) -> Level:
        self.active = True
        return self

    def __exit__(self, *_: object) -> None:
        self.active = False

    def looped(self, name: str) -> None:
        """Take note of what has to be computed example by example."""
        self.loops[name] = self.loops.get(name, 0) + 1

    def __repr__(self) -> str:
        return f"<level {self.number} of {self.size} examples>"
