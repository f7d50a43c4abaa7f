"""How a program of the corpus is declared: one formula in NumPy's names, its inputs, its sizes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray
Sizes = tuple[int, ...]

SMALL, LARGE = "small", "large"


@dataclass(frozen=True)
class Program:
    """A function to a number, of arrays of which the first `parameters` are what it is differentiated by.

    The formula gets the library's functions first, by NumPy's names. `limit` is a promised ratio to JAX at small sizes.
    """

    name: str
    title: str
    family: str
    formula: Callable[..., Any]
    inputs: Callable[..., tuple[Array, ...]]
    parameters: int
    dtype: str
    sizes: dict[str, Sizes]
    limit: float | None = None

    def make(self, size: str) -> tuple[Array, ...]:
        """Give the arguments: floats in the program's dtype, whole numbers as they are."""
        made = self.inputs(np.random.default_rng(0), *self.sizes[size])
        return tuple(x.astype(self.dtype) if x.dtype.kind == "f" else x for x in map(np.asarray, made))

    def titled(self, size: str) -> str:
        """Give the title with its sizes."""
        return f"{self.title.format(*self.sizes[size])}, {self.dtype}"


#: All programs, by name, in the order of the files.
PROGRAMS: dict[str, Program] = {}


def program(
    title: str,
    inputs: Callable[..., tuple[Array, ...]],
    parameters: int,
    small: Sizes,
    large: Sizes,
    dtype: str = "float64",
    limit: float | None = None,
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Declare the decorated formula as a program."""

    def declare(formula: Callable[..., Any]) -> Callable[..., Any]:
        name = formula.__name__.replace("_", "-")
        family = formula.__module__.rpartition(".")[2]
        sizes = {SMALL: small, LARGE: large}
        PROGRAMS[name] = Program(name, title, family, formula, inputs, parameters, dtype, sizes, limit)
        return formula

    return declare
