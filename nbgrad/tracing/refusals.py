"""What a trace refuses, and where in the user's program it stands."""

from __future__ import annotations

from typing import Any

from .. import elements
from ..elements import fixed as fixed
from ..elements import users_line as users_line


def changed_in_place(what: str, remedy: str) -> TypeError:
    """Give the exception for a change of an array."""
    return TypeError(
        f"jit: an array was changed in place at {users_line()}, by {what}: traced functions leave arrays as they are: "
        f"{remedy}"
    )


class WithoutElements(elements.WithoutElements):
    """A traced array, which refuses what only elements could tell."""

    def _no_value(self, what: str, remedy: str = "use nbgrad.where instead of `if`") -> Any:
        raise TypeError(
            f"jit: {what} asks for the elements of a traced array of shape {self.shape} and dtype {self.dtype}, at "
            f"{users_line()}: {remedy}, keep to nbgrad's and NumPy's functions, or make the argument static "
            "(static_argnums)"
        )

    def _unchanged(self, what: str, remedy: str) -> TypeError:
        return changed_in_place(what, remedy)

    def __repr__(self) -> str:
        return f"<traced array of shape {self.shape} and dtype {self.dtype}>"
