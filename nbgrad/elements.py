"""What has no elements that anybody could look at, and where in the user's program somebody tried."""

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


class WithoutElements:
    """An array of a shape and a dtype that refuses what only elements could tell, and to have them changed.

    Whoever is one says why: by `_no_value` for elements, by `_unchanged` for changes.
    """

    shape: Any
    dtype: Any

    def _no_value(self, what: str, remedy: str = "use nbgrad.where instead of `if`") -> Any:
        raise NotImplementedError

    def _unchanged(self, what: str, remedy: str) -> Exception:
        raise NotImplementedError

    def __array__(self, *arguments: Any, **options: Any) -> Any:
        return self._no_value(
            "a conversion to an array (np.asarray, np.array of a list, writing into an array)",
            "leave np.asarray out, join arrays by np.stack, use nbgrad.where instead of writing, index "
            "nbgrad.tensor(array) instead of an array from outside",
        )

    def __hash__(self) -> int:
        return int(self._no_value("hashing (a set, a key of a dict)", "use a list, or a number as the key"))

    def __bool__(self) -> bool:
        return bool(self._no_value("a branch (if, while, and, or, not, in, max, min, sorted)"))

    def __contains__(self, value: Any) -> bool:
        return bool(self._no_value("`in`", "use (x == value).any() and nbgrad.where"))

    def __float__(self) -> float:
        return float(self._number("float(), a function of math or writing an element of an array"))

    def __int__(self) -> int:
        return int(self._number("int()"))

    def __complex__(self) -> complex:
        return complex(self._number("complex()"))

    def __round__(self, digits: int = 0) -> Any:
        return self._number("round()")

    def __trunc__(self) -> Any:
        return self._number("math.trunc()")

    def __floor__(self) -> Any:
        return self._number("math.floor()")

    def __ceil__(self) -> Any:
        return self._number("math.ceil()")

    def __index__(self) -> int:
        remedy = "use nbgrad.where, or index a traced array or nbgrad.tensor(array) instead of a list or an array"
        return int(self._no_value("its use as an index or a size", remedy))

    def _number(self, what: str) -> Any:
        return self._no_value(
            what, "use x.astype and np.sin for float and math.sin, np.stack or nbgrad.where for writing"
        )

    def item(self, *arguments: Any) -> Any:
        """Refuse to give an element."""
        return self._no_value("a branch, float(), int() or item()")

    def tolist(self) -> Any:
        """Refuse to give the elements."""
        return self._no_value("tolist()")

    def tobytes(self, *arguments: Any) -> Any:
        """Refuse to give the elements."""
        return self._no_value("tobytes()")

    def __setitem__(self, key: Any, value: Any) -> None:
        raise self._unchanged("x[...] = y", "compute a new one (nbgrad.where, nbgrad.cat) and return it")

    def __delitem__(self, key: Any) -> None:
        raise self._unchanged("del x[...]", "use np.delete")

    def _changed(self, other: Any) -> Any:
        raise self._unchanged("an operator like +=", "write x = x + y instead of x += y")

    __iadd__ = __isub__ = __imul__ = __itruediv__ = __ifloordiv__ = __imod__ = __ipow__ = __imatmul__ = _changed
    __iand__ = __ior__ = __ixor__ = __ilshift__ = __irshift__ = _changed

    def __format__(self, specification: str) -> str:
        return repr(self)


def fixed(name: str, read: Any, remedy: str | None = None) -> property:
    """Make an attribute of arrays that can be read; to write it, where arrays let one, is to change them in place."""

    def write(self: Any, value: Any) -> None:
        raise self._unchanged(f"x.{name} = ...", f"write {remedy} instead")

    return property(read, None if remedy is None else write)
