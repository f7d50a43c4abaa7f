"""Python's collector of garbage, while what is made is going to stay."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def nothing_collected() -> Iterator[None]:
    """Keep Python from looking for garbage: most of what imports and traces make stays, to be looked through again.

    That takes a sixth of the time that tracing does.
    """
    enabled = gc.isenabled()
    try:
        gc.disable()
        yield
    finally:
        if enabled:
            gc.enable()
