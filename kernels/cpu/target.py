"""The CPU as a target, on NumPy's arrays."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

import numpy as np

from ..lazy import lazy
from . import indexing
from .failures import checked
from .reduction import reduce_array, spread_array
from .scan import recur, scan_array
from .threads import SHARE_ABOVE

if TYPE_CHECKING:
    from ..target import Compiler, Target
    from ..windows import Frame

Array = np.ndarray[Any, Any]


class Cpu:
    """The CPU."""

    name = "cpu"

    # ---- memory -----------------------------------------------------------------------------------------------------

    empty: Callable[..., Any] = staticmethod(np.empty)
    zeros: Callable[..., Any] = staticmethod(np.zeros)
    concatenate: Callable[..., Any] = staticmethod(np.concatenate)
    broadcast_to: Callable[..., Any] = staticmethod(np.broadcast_to)

    def full(self, shape: tuple[int, ...], value: Any, dtype: np.dtype[Any]) -> Array:
        """Return an array of one value, or of what broadcasts to its shape."""
        if type(value) is float or type(value) is int:  # as `np.full` does, of which Python is most
            made: Array = np.empty(shape, dtype)
            made.fill(value)
            return made
        return np.full(shape, value, dtype)

    def arange(self, count: int, step: int) -> Array:
        """Return the numbers 0, step, 2 * step, ..."""
        return np.arange(0, count * step, step, dtype=np.int64) if step else np.zeros(count, np.int64)

    def bring(self, array: Any) -> Any:
        """Return an array as it is."""
        return array

    def to_numpy(self, x: Any) -> Any:
        """Return an array as it is."""
        return x

    def is_writeable(self, x: Array) -> bool:
        """Tell whether an array may be written to."""
        return x.flags.writeable

    def drawn(self, kind: str, dtype: str, shape: tuple[int, ...], state: Array) -> Any:
        """Return an array of random numbers of a stream."""
        return self._drawn(self.compiler, kind, dtype, shape, state)

    @lazy
    def _drawn(self) -> Callable[..., Any]:
        from ..drawing import drawn

        return drawn

    def wait(self) -> None:
        """Wait for nothing: methods return when all is done."""

    def current(self) -> AbstractContextManager[None]:
        """Return a context that does nothing: there is one CPU."""
        return nullcontext()

    # ---- kernels ----------------------------------------------------------------------------------------------------

    reduce = staticmethod(reduce_array)
    spread = staticmethod(spread_array)
    scan = staticmethod(scan_array)
    recur = staticmethod(recur)

    def elementwise(self, ufunc: np.ufunc, arguments: Sequence[Any], out: Any = None) -> Any:
        """Evaluate a ufunc."""
        return checked(ufunc, *arguments, out=... if out is None else out)

    def extreme_places(self, which: str, x: Array, axis: int | None) -> Array:
        """Return where an extremum is first met."""
        return np.asarray((np.argmax if which == "max" else np.argmin)(x, axis, keepdims=True))

    def power(self, x: Any, y: Any) -> Any:
        """Return powers: NumPy knows which ones of whole numbers exist."""
        return np.power(x, y)

    def matmul(self, x: Array, w: Array) -> Array:
        """Multiply matrices, by the BLAS that NumPy brings; np.dot has less overhead, but other rules for stacks.

        Where one of two is a vector, and the other one so large that it pays to share it, threads of ours do.
        """
        if x.ndim > 2 or w.ndim > 2:
            return np.asarray(np.matmul(x, w))
        if max(x.size, w.size) > SHARE_ABOVE and 1 in (x.ndim, w.ndim, x.shape[0], w.shape[-1]):
            y = self._multiply(x, w)
            if y is not None:
                return y
        return np.asarray(np.dot(x, w))

    @lazy
    def _multiply(self) -> Callable[[Array, Array], Array | None]:
        from .matrix_vector import multiply

        return multiply

    def gather(self, table: Array, rows: Array) -> Array:
        """Return rows of a table; IndexError for positions outside."""
        if table.dtype.char not in "fd":
            return table[_counted_from_the_first(rows)]
        picked: Array = checked(indexing.gather(), table, rows)
        return picked

    def scatter(self, rows: Array, g: Array, shape: tuple[int, ...], unique: bool) -> Array:
        """Return zeros with rows added at positions; IndexError for positions outside."""
        # of other bytes NumPy would give the loop a buffer of its own, with anything in it to add to
        y = np.zeros(shape, g.dtype.newbyteorder("="))
        if g.dtype.char not in "fd":
            np.add.at(y.reshape(-1, g.shape[1]), _counted_from_the_first(rows), g)
        elif g.size:
            checked(indexing.scatter_add(), rows, g, y.reshape(-1, g.shape[1]))
        return y

    def columns(self, x: Array, frame: Frame) -> Array:
        """Return what windows see."""
        from .windows import columns

        return columns(x, frame)

    def overlapped(self, g: Array, frame: Frame) -> Array:
        """Return what windows see, added up where it was seen."""
        from .windows import overlapped

        return overlapped(g, frame)

    def highest(self, x: Array, frame: Frame) -> tuple[Array, Array]:
        """Return the largest element in each window, and its place."""
        from .windows import highest

        return highest(x, frame)

    def nonzero(self, mask: Array) -> Array:
        """Return the positions of true elements."""
        return np.flatnonzero(mask)

    def look(self, index: Array, lowest: int, highest: int) -> Callable[[], tuple[bool, bool]]:
        """Look at whole numbers, at once."""
        outside = negative = False
        if index.size and lowest == 0:
            # seen as unsigned, a negative number is too large as well
            outside = bool(index.astype(np.uint64).max() > highest)
            negative = outside and bool(index.min() < 0)
        elif index.size:
            least = index.min()
            outside, negative = not (lowest <= least and index.max() <= highest), bool(least < 0)
        return lambda: (outside, negative)

    # ---- programs ---------------------------------------------------------------------------------------------------

    @lazy
    def compiler(self) -> Compiler:
        """What compiles for `nbgrad.jit`."""
        from .compiler import compiler

        return compiler(self)


def _counted_from_the_first(rows: Array) -> Array:
    """Give positions; IndexError for negative ones, which NumPy would count from the last."""
    if rows.min(initial=0) < 0:
        raise IndexError(f"index {rows.min()} is out of bounds")
    return rows


CPU: Target = Cpu()
