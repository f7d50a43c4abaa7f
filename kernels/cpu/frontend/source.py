"""Functions that kernels are made of, as they are written."""

from __future__ import annotations

import ast
from collections.abc import Callable
from functools import cache as once
from types import FunctionType
from typing import Any

from ...lazy import lazy
from ...text import parsed
from .writer import Function


class Source:
    """A function of the language: its syntax tree, and what the names in it stand for."""

    def __init__(
        self,
        name: str,
        tree: Callable[[], ast.FunctionDef],
        names: dict[str, Any],
        flags: str = "",
        inline: bool = True,
    ) -> None:
        self._tree, self.names, self.name, self.flags = tree, names, name, flags
        self.attributes = "alwaysinline" if inline else "noinline"
        #: What it was translated to, by the kinds of its arguments.
        self.translated: dict[tuple[Any, ...], Function] = {}

    @classmethod
    def of(cls, function: FunctionType) -> Source:
        """Give the source of a Python function, with its globals."""
        code = function.__code__
        return cls(function.__name__, lambda: _trees(code.co_filename)[code.co_firstlineno], function.__globals__)

    @lazy
    def tree(self) -> ast.FunctionDef:
        """The syntax tree, which is looked for when it is needed."""
        return self._tree()


@once
def _trees(filename: str) -> dict[int, ast.FunctionDef]:
    with open(filename, encoding="utf-8") as file:
        tree = parsed(file.read())
    return {node.lineno: node for node in tree.body if isinstance(node, ast.FunctionDef)}
