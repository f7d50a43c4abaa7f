"""What a trace refuses, and where in the user's program it stands."""

from __future__ import annotations

import sys
from typing import Any


def users_line() -> str:
    """Tell where, outside of this library and NumPy, the program stands."""
    frame: Any = sys._getframe(1)
    while frame is not None:
        module = frame.f_globals.get("__name__", "")
        if not module.startswith(("nbgrad.", "numpy")) and module != "nbgrad" and frame.f_code.co_filename[:1] != "<":
            return f"{frame.f_code.co_filename}:{frame.f_lineno}"
        frame = frame.f_back
    return "an unknown line"


def changed_in_place(what: str, remedy: str) -> TypeError:
    """Give the exception for a change of an array."""
    return TypeError(
        f"jit: an array was changed in place at {users_line()}, by {what}: traced functions leave arrays as they are: "
        f"{remedy}"
    )
