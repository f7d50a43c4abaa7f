"""Functions that kernels call in other objects."""

from __future__ import annotations

from typing import Any

from .kinds import Kind
from .writer import Function


class External:
    """A function that is in another object: its symbol, and the kind of what it gives."""

    attributes = "noinline"

    def __init__(self, symbol: str, result: Kind | None) -> None:
        self.symbol, self.result = symbol, result

    def declared(self, kinds: tuple[Any, ...]) -> Function:
        """Declare it for arguments of some kinds."""
        function = Function(self.symbol)
        function.result = self.result
        gives = "void" if self.result is None else self.result.llvm
        given = ", ".join(kind.llvm for kind in kinds)
        function.declares[self.symbol] = f"declare {gives} @{self.symbol}({given}) nounwind"
        return function
