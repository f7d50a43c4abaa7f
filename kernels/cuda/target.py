"""A GPU as a target, on CuPy's arrays."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from functools import cache as once
from typing import TYPE_CHECKING, Any

import numpy as np

from ..lazy import lazy
from .devices import cupy, number_of, several

if TYPE_CHECKING:
    from .. import target as protocol
    from ..windows import Frame
    from .compiler import Compiler


class Cuda:
    """One GPU: memory is made on it, and kernels run where it is CuPy's current device."""

    def __init__(self, number: int) -> None:
        self.number, self.name = number, f"cuda:{number}"

    def _made(self, function: str, *arguments: Any) -> Any:
        """Call a function of CuPy's on this GPU."""
        with self.current():
            return getattr(cupy(), function)(*arguments)

    def current(self) -> AbstractContextManager[Any]:
        """Return a context in which it is this GPU that computes."""
        context: AbstractContextManager[Any] = cupy().cuda.Device(self.number)
        return context

    def here(self, what: str) -> None:
        """Raise RuntimeError where another GPU is CuPy's current device, which would compute."""
        if several():
            current = sys.modules["cupy"].cuda.runtime.getDevice()
            if current != self.number:
                raise RuntimeError(
                    f"{what}: operands on {self.name} where cuda:{current} computes: move them with x.cuda(), or "
                    f"compute inside `with nbgrad.cuda.device({self.number}):`"
                )

    # ---- memory -----------------------------------------------------------------------------------------------------

    def empty(self, shape: protocol.Shape, dtype: protocol.Dtype) -> Any:
        """Return an array whose elements are whatever the memory held."""
        return self._made("empty", shape, dtype)

    def zeros(self, shape: protocol.Shape, dtype: protocol.Dtype) -> Any:
        """Return an array of zeros."""
        return self._made("zeros", shape, dtype)

    def full(self, shape: protocol.Shape, value: Any, dtype: protocol.Dtype) -> Any:
        """Return an array all of whose elements are a number."""
        return self._made("full", shape, value, dtype)

    def arange(self, count: int, step: int) -> Any:
        """Return the numbers 0, step, 2 * step, ..."""
        return self._made("arange", 0, count * step, step) if step else self.zeros((count,), np.dtype(int))

    def bring(self, array: Any) -> Any:
        """Return an array on this GPU with the elements of one of NumPy's, or on another GPU."""
        return self._made("asarray", array)

    def to_numpy(self, x: Any) -> Any:
        """Return an array of NumPy's with the same elements."""
        return sys.modules["cupy"].asnumpy(x)

    def concatenate(self, arrays: Sequence[Any], axis: int) -> Any:
        """Return arrays one after the other along an axis."""
        self.here("cat")
        return sys.modules["cupy"].concatenate(arrays, axis)

    def broadcast_to(self, x: Any, shape: protocol.Shape) -> Any:
        """Return a view that repeats the elements."""
        return sys.modules["cupy"].broadcast_to(x, shape)

    def is_writeable(self, x: Any) -> bool:
        """Tell whether an array may be written to: no views that repeat elements, which CuPy does not protect."""
        return bool(x.flags.c_contiguous)

    def drawn(self, kind: str, dtype: str, shape: protocol.Shape, state: Any) -> Any:
        """Return an array of random numbers of a stream, the same as on a CPU but for the rounding of normal ones."""
        from ..drawing import drawn

        with self.current():
            return drawn(self.compiler, kind, dtype, shape, self.bring(state))

    def wait(self) -> None:
        """Wait for the current stream."""
        sys.modules["cupy"].cuda.get_current_stream().synchronize()

    # ---- kernels ----------------------------------------------------------------------------------------------------

    @lazy
    def _evaluate(self) -> Callable[..., Any]:
        from .elementwise import call

        return call

    def elementwise(self, ufunc: np.ufunc, arguments: Sequence[Any], out: Any = None) -> Any:
        """Evaluate a ufunc of ours; numbers and arrays without dimensions are passed by value."""
        self.here(ufunc.__name__)
        return self._evaluate(ufunc, arguments, out)

    def reduce(self, name: str, x: Any, axes: tuple[int, ...], numbers: tuple[float, ...] = ()) -> Any:
        """Apply a reduction over axes, given its numbers."""
        from .reduction import reduce_array

        self.here(name)
        return reduce_array(name, x, axes, numbers)

    def spread(self, name: str, axis: int, *arrays: Any) -> Any:
        """Apply a reduction that gives a value for each element."""
        from .reduction import spread_array

        self.here(name)
        return spread_array(name, axis, *arrays)

    def scan(self, name: str, x: Any, axis: int, reverse: bool) -> Any:
        """Apply a scan along an axis."""
        from .scan import scan_array

        self.here(name)
        return scan_array(name, x, axis, reverse)

    def recur(self, a: Any, b: Any, axis: int, reverse: bool) -> Any:
        """Compute the linear recurrence along an axis."""
        from .scan import recur

        self.here("recurrence")
        return recur(a, b, axis, reverse)

    def extreme_places(self, which: str, x: Any, axis: int | None) -> Any:
        """Return where an extremum is first met."""
        module = sys.modules["cupy"]
        return (module.argmax if which == "max" else module.argmin)(x, axis=axis, keepdims=True)

    def power(self, x: Any, y: Any) -> Any:
        """Return powers; negative ones of whole numbers are a ValueError here as well, where CuPy makes them 0."""
        self.here("pow")
        x, y = (v.item() if isinstance(v, np.ndarray) else v for v in (x, y))
        if all([np.dtype(getattr(v, "dtype", type(v))).kind in "iub" for v in (x, y)]):
            by_number = isinstance(y, int | np.generic)
            if y < 0 if by_number else y.dtype.kind == "i" and self.look(y, 0, np.iinfo(np.int64).max)()[1]:
                raise ValueError("Integers to negative integer powers are not allowed.")
        return np.power(x, y)

    def matmul(self, x: Any, w: Any) -> Any:
        """Multiply matrices, by cuBLAS."""
        from .blas import product

        self.here("matmul")
        return product(x, w)

    def gather(self, table: Any, rows: Any) -> Any:
        """Return rows of a table."""
        if table.dtype.kind not in "fiub":
            return table[rows]
        from .indexing import gather

        self.here("indexing")
        return gather(table, rows)

    def scatter(self, rows: Any, g: Any, shape: protocol.Shape, unique: bool) -> Any:
        """Return zeros with rows added at positions, which are sorted unless they come once."""
        from .indexing import scatter_add

        self.here("indexing")
        y = self.zeros(shape, g.dtype)
        if g.size:
            table = y.reshape(-1, g.shape[1])
            if unique:
                table[rows] = g
            else:
                scatter_add(rows, g, table)
        return y

    def columns(self, x: Any, frame: Frame) -> Any:
        """Return what windows see."""
        from .windows import columns

        self.here("columns")
        return columns(x, frame)

    def overlapped(self, g: Any, frame: Frame) -> Any:
        """Return what windows see, added up where it was seen."""
        from .windows import overlapped

        self.here("overlapped")
        return overlapped(g, frame)

    def highest(self, x: Any, frame: Frame) -> tuple[Any, Any]:
        """Return the largest element in each window, and its place."""
        from .windows import highest

        self.here("highest")
        return highest(x, frame)

    def nonzero(self, mask: Any) -> Any:
        """Return the positions of true elements, for whose number the host waits."""
        return sys.modules["cupy"].flatnonzero(mask)

    def look(self, index: Any, lowest: int, highest: int) -> Callable[[], tuple[bool, bool]]:
        """Begin to look at whole numbers, by a kernel that tells the host."""
        from .indexing import look

        return look(index, lowest, highest)

    # ---- programs ---------------------------------------------------------------------------------------------------

    @lazy
    def compiler(self) -> Compiler:
        """What compiles for `nbgrad.jit`."""
        from .compiler import Compiler

        return Compiler(self)


_gpu = once(Cuda)


def target(where: Any) -> Cuda:
    """Return the GPU that an array of CuPy's is on, or that "cuda" or "cuda:1" names."""
    return _gpu(number_of(where) if isinstance(where, str) else int(where.device.id))


if TYPE_CHECKING:

    def _fulfilled(target: Cuda) -> protocol.Target:
        return target
