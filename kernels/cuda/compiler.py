"""What compiles the programs of nbgrad.jit for a GPU: how their loops are compiled, launched and captured."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from ..loop_nest import Nest
from . import blas, fused, graphs
from .devices import cupy, several
from .workspace import Workspace

if TYPE_CHECKING:
    from .. import target as protocol
    from .target import Cuda


class Compiler:
    """Compiles loops that are launched on CuPy's current stream, on its arrays."""

    streams = True
    most_sources = 200
    most_steps = 400
    workspace = Workspace
    stream = staticmethod(graphs.stream)
    fold_of = staticmethod(fused.fold_of)
    source = staticmethod(fused.source)
    blocks = staticmethod(fused.blocks)
    kept = staticmethod(fused.kept)

    def __init__(self, target: Cuda) -> None:
        self.target = target
        self._cupy = cupy()
        self.empty, self.broadcast_to = self._cupy.empty, self._cupy.broadcast_to
        self.wait, self.ready = target.wait, target.here

    def copy(self, x: Any) -> Any:
        """Return an array with the same elements and memory of its own."""
        return x.copy()

    def contiguous_array(self, x: Any) -> Any:
        """Return an array whose elements follow one another: itself, if they do."""
        return x if x.flags.c_contiguous else x.copy()

    settled = contiguous_array

    def constant(self, x: Any) -> Any:
        """Return an array from outside, brought to the GPU."""
        there = self.target.bring(x)
        self.wait()  # calls may be on other streams
        return there

    def product(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return what multiplies by calls that a graph can hold."""
        return blas.product

    def product_loop(self, dtype: str, sizes: Sequence[int], steps: Sequence[int], offsets: Sequence[int]) -> None:
        """Return nothing: cuBLAS multiplies."""

    def lines_together(self, dtype: str, first: protocol.Multiplied, second: protocol.Multiplied) -> None:
        """Return nothing: a GPU's caches have no blocks of lines to themselves."""

    def chained(self, dtype: str, multiplied: Any, loop: Any, lines: int) -> Any:
        """Raise: there are no lines that go together."""
        raise NotImplementedError("loops over lines are the CPU's")

    def rows(self, what: str, dtype: str, sizes: Sequence[int], steps: Sequence[int], offsets: Sequence[int]) -> None:
        """Return nothing: calls pick and add up."""

    def fits(self, arrays: Sequence[Any]) -> Callable[..., bool] | None:
        """Return the test whether arrays are like these."""
        kind, expected = type(arrays[0]) if arrays else None, [(x.shape, x.dtype) for x in arrays]
        current, here = self._cupy.cuda.runtime.getDevice, self.target.number

        def fits(*others: Any) -> bool:
            if len(others) != len(expected) or current() != here:
                return False
            if several() and any(x.device.id != here for x in others if type(x) is kind):
                return False
            for x, (shape, dtype) in zip(others, expected, strict=True):
                if type(x) is not kind or x.shape != shape or x.dtype != dtype or not x.flags.c_contiguous:
                    return False
            return True

        return fits

    def shares_memory(self, x: Any, y: Any) -> bool:
        """Tell whether two arrays may have memory in common."""
        return bool(x.data.ptr < y.data.ptr + y.nbytes and y.data.ptr < x.data.ptr + x.nbytes)

    def begin(self, label: str, nest: Nest, blocks: int, elements: int) -> None:
        """Do nothing: nests are compiled when they are asked for."""

    def loops(
        self, label: str, nest: Nest, sizes: Sequence[int], blocks: int, offsets: Sequence[int], elements: int
    ) -> protocol.Loops:
        """Compile a nest; returns the launches it takes, in order."""
        return [(loop, None) for loop in fused.loops(label, nest, sizes, blocks, offsets)]

    def replayer(self, arguments: Any, results: Any, launches: Any) -> None:
        """Return nothing: graphs replay what streams have run."""


if TYPE_CHECKING:

    def _fulfilled(compiler: Compiler) -> protocol.Compiler:
        return compiler
