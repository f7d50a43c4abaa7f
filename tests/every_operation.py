"""A call of every public operation, from the table that benchmarks measure, for tests that hold of all of them.

`benchmarks/test_small_operations.py` demands a call there of every name in nbgrad, on Variable, and in the modules with
PyTorch's names; what has none, with the reason, is called in `OTHERS`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from functools import cache as once
from pathlib import Path
from typing import Any, NamedTuple

import cases
import numpy as np

import nbgrad
from nbgrad import Variable
from nbgrad.arrays import is_array

sys.path.append(str(Path(__file__).parent.parent))

#: So many calls of each operation are tried, on arrays of several shapes.
MOST = 2

_EDGES = [np.array([0.0, 0.5, 1.1]), np.array([0.2, 0.9, 2.5])]
_LENGTHS = np.array([2, 0, 2])

#: Operations whose calls are no row of the table: a function, and the shapes of its arrays.
OTHERS: dict[str, tuple[Callable[..., Any], tuple[tuple[int, ...], ...]]] = {
    "histogramdd": (lambda w: nbgrad.histogramdd(nbgrad.stack([w, w], 1).detach(), _EDGES, weight=w).hist, ((3,),)),
    "segment_reduce": (lambda x: nbgrad.segment_reduce(x, "sum", lengths=_LENGTHS), ((4, 5),)),
    **{f"special.{name}": (getattr(nbgrad.special, name), ((3, 4),)) for name in ("j0", "j1", "y0", "y1")},
    **{f"special.{name}": (getattr(nbgrad.special, name), ((3, 4), (4,))) for name in ("beta", "betaln")},
    "special.betainc": (lambda a, b, x: nbgrad.special.betainc(a, b, x / (1 + x)), ((3, 4), (4,), (3, 1))),
    "svd_lowrank": (lambda x: nbgrad.svd_lowrank(x, 3)[1], ((4, 3),)),
    "pca_lowrank": (lambda x: nbgrad.pca_lowrank(x, 3)[1], ((4, 3),)),
}

#: Which memory holds is whatever was there.
EMPTY = ("empty", "empty_like", "new_empty")


class Call(NamedTuple):
    """An operation applied to arrays."""

    name: str
    title: str
    function: Callable[..., Any]
    arrays: list[Any]

    def __repr__(self) -> str:
        return self.title

    def results(self, *xs: Any) -> list[Any]:
        """Give all arrays that the operation gives of Variables."""
        own = [x.copy() if isinstance(x, np.ndarray) else x for x in xs]  # that some write to
        return list(_leaves(self.function(*map(nbgrad.as_tensor, own))))

    def total(self, *xs: Any) -> Any:
        """Give a weighted sum of all floating numbers that the operation gives."""
        found: Any = 0.0
        for number, y in enumerate(y for y in self.results(*xs) if y.dtype.kind == "f"):
            weights = np.random.default_rng(number).uniform(0.5, 2, tuple(y.shape)).astype(y.dtype)
            found = found + (y * nbgrad.tensor(weights, device=y.device)).sum()
        return found

    @property
    def floating(self) -> tuple[int, ...]:
        """The places of arrays that have gradients."""
        return tuple(i for i, a in enumerate(self.arrays) if a.dtype.kind == "f")

    def of_floats(self, *xs: Any) -> Any:
        """Give the weighted sum of the floating arrays, the others being as they are."""
        given = iter(xs)
        return self.total(*(next(given) if a.dtype.kind == "f" else a for a in self.arrays))


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, list | tuple | dict):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _leaves(part)
    elif isinstance(value, Variable) or is_array(value):
        yield value


@once
def calls() -> list[Call]:
    """Give the calls, all that floats in float64."""
    from benchmarks.small_cases import small

    found: list[Call] = []
    count: dict[str, int] = {}
    for row in small():
        count[row.name] = count.get(row.name, 0) + 1
        if count[row.name] <= MOST and row.name not in EMPTY:
            found.append(Call(row.name, f"{row.name}: {row.title}", row.find("nbgrad"), row.arrays))
    for name, (function, shapes) in OTHERS.items():
        found.append(Call(name, name, function, [cases.draw(cases.POSITIVE, shape) for shape in shapes]))
    return found


def nature(call: Call) -> tuple[bool, bool]:
    """Tell whether a call draws random numbers, and whether its results have gradients."""
    twice = []
    for seed in (0, 1):
        nbgrad.manual_seed(seed)
        twice.append(call.results(*(Variable(a.copy()) if a.dtype.kind == "f" else a for a in call.arrays)))
    draws = any(not np.array_equal(a.data, b.data, equal_nan=True) for a, b in zip(*twice, strict=True))
    return draws, any(isinstance(y, Variable) and y.requires_grad for y in twice[0])
