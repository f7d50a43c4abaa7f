"""Small arrays without NumPy: compiled builtins that recognise the usual calls, answer them, and hand on the rest.

A call of NumPy looks at dtypes, shapes, strides, overlaps and options each time; for ten elements that is all it costs.
The functions here read arrays by their layout in memory (`cpu.ndarray`), and make new ones, views and results, by the
two functions of NumPy's C API that fill in a header. What they do not know, they hand on as it was given.
"""

from __future__ import annotations

import importlib
from typing import Any

_FILES = frozenset(
    {"calls", "conversion", "copies", "places", "products", "recorder", "reductions", "scans", "views", "writer"}
)


def __getattr__(name: str) -> Any:
    """Give a file of this room, which is imported when it is first asked for: with the first call, not with nbgrad."""
    if name not in _FILES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return importlib.import_module(f".{name}", __name__)
