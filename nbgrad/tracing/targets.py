"""Where a program runs: what memory its values get there, and how its loops are cut, compiled and launched."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache as once
from typing import Any

import numpy as np

from ..kernels import devices
from ..kernels.cpu import codegen, fused
from ..kernels.cpu.launch import Launch, launcher, signature
from ..kernels.cpu.threads import SHARE_ABOVE
from ..kernels.nest import Nest, size_names
from .program import Call

#: A loop as a function of its operands' arrays, and what `replayer` needs to know of it, if it can replay it.
Loops = list[tuple[Callable[..., None], Launch | None]]


class Host:
    """The CPU, on NumPy's arrays."""

    device = "cpu"
    #: Whether calls return before their loops have run.
    streams = False
    workspace = None
    empty: Callable[..., Any] = staticmethod(np.empty)
    broadcast_to: Callable[..., Any] = staticmethod(np.broadcast_to)
    copy: Callable[..., Any] = staticmethod(np.array)
    #: Arrays that one loop reads, at most; what it writes and folds is bounded by its operations.
    most_sources = 500
    fold_of = staticmethod(fused.fold_of)
    #: What a block costs at least, in elements times operations; partial results are one a block.
    _block = 100_000
    _most_blocks = 64

    def contiguous_array(self, x: Any) -> Any:
        """Give an array whose elements follow one another: itself, if they do."""
        return np.ascontiguousarray(x)

    def constant(self, x: Any) -> Any:
        """Give an array from outside as loops read it.

        Raises TypeError for one on a GPU.
        """
        if devices.is_cuda(x):
            raise TypeError(
                f"jit: an array from outside is on {devices.name_of(x)} and the arguments are on the CPU: move one to "
                "the other, with x.cpu() or x.cuda()"
            )
        return x

    def settled(self, y: Any) -> Any:
        """Give what a called function gave as an array that loops can read."""
        return np.asarray(y, order="C")

    def called(self, operation: Call) -> Callable[..., Any]:
        """Give the function to call for an operation that is no loop."""
        return operation.function

    def fits(self, arrays: Sequence[Any]) -> Callable[..., bool] | None:
        """Give the quick test whether arrays are like these, None if they cannot be looked at quickly."""
        return signature(arrays)

    def wait(self) -> None:
        """Wait until all loops have run: they have."""

    def stream(self) -> None:
        """Give the current stream: there are none."""

    def shares_memory(self, x: Any, y: Any) -> bool:
        """Tell whether two arrays may have memory in common."""
        return np.may_share_memory(x, y)

    def blocks(self, nest: Nest, rows: int, elements: int) -> int:
        """Give the number of blocks that a loop is cut into."""
        return max(1, min(self._most_blocks, elements * fused.cost(nest) // self._block, rows))

    def kept(self, nest: Nest, sizes: Sequence[int], blocks: int) -> int:
        """Give the elements of memory that a value takes which a loop keeps for its later stages."""
        return blocks * sizes[size_names(nest).index("width")]

    def loops(
        self, label: str, nest: Nest, sizes: Sequence[int], blocks: int, offsets: Sequence[int], elements: int
    ) -> Loops:
        """Compile a nest; gives the launches it takes, in order."""
        address = codegen.address(f"fused_{label}", self.source(nest))
        shared = blocks > 1 and elements * fused.cost(nest) > SHARE_ABOVE
        launches = [Launch(address, sizes, blocks, offsets, shared)]
        if nest.partials and blocks > 1:
            launches.append(Launch(address, sizes, 0, offsets, False))
        return [(launcher(launch), launch) for launch in launches]

    def source(self, nest: Nest) -> str:
        """Write a nest's loop."""
        if not nest.text:
            nest.text = fused.source(nest)
        return nest.text


class Cuda:
    """A GPU, on CuPy's arrays."""

    streams = True
    most_sources = 200

    def __init__(self, device: str) -> None:
        from ..kernels.cuda import fused as cuda
        from ..kernels.cuda.blas import product
        from ..kernels.cuda.graphs import stream
        from .workspace import Workspace

        self.product, self.workspace, self.stream = product, Workspace, stream
        self.device, self.cuda, self.cupy = device, cuda, devices.cupy()
        self.empty, self.broadcast_to = self.cupy.empty, self.cupy.broadcast_to
        self.fold_of, self.source = cuda.fold_of, cuda.source

    def copy(self, x: Any) -> Any:
        """Give an array with the same elements and memory of its own."""
        return x.copy()

    def contiguous_array(self, x: Any) -> Any:
        """Give an array whose elements follow one another: itself, if they do."""
        return x if x.flags.c_contiguous else x.copy()

    def constant(self, x: Any) -> Any:
        """Give an array from outside as loops read it: on the GPU."""
        there = devices.moved(x, self.device)
        self.wait()  # calls may be on other streams
        return there

    settled = contiguous_array

    def called(self, operation: Call) -> Callable[..., Any]:
        """Give the function to call for an operation that is no loop: products by calls that a graph can hold."""
        return self.product if operation.into else operation.function

    def fits(self, arrays: Sequence[Any]) -> Callable[..., bool] | None:
        """Give the test whether arrays are like these."""
        kind, expected = type(arrays[0]) if arrays else None, [(x.shape, x.dtype) for x in arrays]
        current, here = self.cupy.cuda.runtime.getDevice, devices.number_of(self.device)

        def fits(*others: Any) -> bool:
            if len(others) != len(expected) or current() != here:
                return False
            if devices.several() and any(x.device.id != here for x in others if type(x) is kind):
                return False
            for x, (shape, dtype) in zip(others, expected, strict=True):
                if type(x) is not kind or x.shape != shape or x.dtype != dtype or not x.flags.c_contiguous:
                    return False
            return True

        return fits

    def wait(self) -> None:
        """Wait until all loops have run."""
        self.cupy.cuda.get_current_stream().synchronize()

    def shares_memory(self, x: Any, y: Any) -> bool:
        """Tell whether two arrays may have memory in common."""
        return bool(x.data.ptr < y.data.ptr + y.nbytes and y.data.ptr < x.data.ptr + x.nbytes)

    def blocks(self, nest: Nest, rows: int, elements: int) -> int:
        """Give the number of blocks that a loop is cut into."""
        return self.cuda.blocks(nest, rows, elements)

    def kept(self, nest: Nest, sizes: Sequence[int], blocks: int) -> int:
        """Give the elements of memory that a value takes which a loop keeps for its later stages."""
        return self.cuda.kept(nest, sizes, blocks)

    def loops(
        self, label: str, nest: Nest, sizes: Sequence[int], blocks: int, offsets: Sequence[int], elements: int
    ) -> Loops:
        """Compile a nest; gives the launches it takes, in order."""
        return [(loop, None) for loop in self.cuda.loops(label, nest, sizes, blocks, offsets)]


Target = Host | Cuda


@once
def target(device: str) -> Target:
    """Give the target for a device: "cpu" or "cuda:0"."""
    return Host() if device == "cpu" else Cuda(device)
