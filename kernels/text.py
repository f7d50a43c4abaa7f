"""Source as it is written: lines from the top down, indented by the blocks that they are in."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ast


class Text:
    """A text that is being written.

    >>> text = Text()
    >>> with text.block("for i in range(n):", "if i % 2:"):
    ...     text.put("total += i", "count += 1")
    >>> print(text, end="")
    for i in range(n):
        if i % 2:
            total += i
            count += 1
    """

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._depth = 0

    def put(self, *lines: str) -> None:
        """Write lines; those of a block may be given with it, indented among each other."""
        self.lines += indented(lines, self._depth)

    @contextmanager
    def block(self, *heads: str) -> Iterator[None]:
        """Write the heads of blocks, each inside the one before; what is written meanwhile is inside the last."""
        for head in heads:
            self.put(head)
            self._depth += 1
        yield
        self._depth -= len(heads)

    def __str__(self) -> str:
        return "\n".join(self.lines) + "\n"


def indented(lines: Iterable[str], depth: int = 1) -> list[str]:
    """Return lines as they stand inside so many blocks."""
    return ["    " * depth + line for line in lines]


def parsed(text: str) -> ast.Module:
    """Parse Python, beside other threads that do.

    CPython 3.11 counts how deep a tree is for all threads together, and raises SystemError where two are being made.
    """
    import ast

    while True:
        try:
            return ast.parse(text)
        except SystemError:
            continue
