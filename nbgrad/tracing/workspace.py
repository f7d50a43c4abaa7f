"""The memory that a compiled function works in on a GPU, and the CUDA graphs that were captured there."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

from ..kernels.cuda.graphs import Graph, capture

#: Graphs that one workspace keeps; those used longest ago go first.
_MOST = 32
#: Calls in a row on addresses without a graph after which arguments are copied to where they stay, and after which
#: nothing is captured any more.
_FEW, _MANY = 8, 256
#: The largest argument that is copied, in bytes: a copy of this size takes a microsecond on the GPU.
_SMALL = 1 << 20


class Workspace:
    """Arrays for what is between the steps, and the steps as graphs, by the addresses of what they read and write.

    A graph reads and writes the memory that it was captured with. In a training loop the same addresses come again and
    again, since CuPy's pool hands out first what was freed last: what is called on addresses for the second time is
    captured. Small arguments that are elsewhere at each call are copied to memory that stays.
    """

    def __init__(
        self, steps: Callable[..., Sequence[Any]], arrays: Sequence[Any], inputs: int, donated: Sequence[int]
    ) -> None:
        self.arrays, self._steps = arrays, steps
        self._graphs: OrderedDict[tuple[int, ...], Graph | None] | None = OrderedDict()
        self._candidates = [position for position in range(inputs) if position not in donated]
        self._copied: dict[int, Any] = {}
        self._before: tuple[int, ...] = ()
        self._misses = 0

    def run(self, given: tuple[Any, ...]) -> Sequence[Any]:
        """Run the steps on arguments and the arrays of results; gives what other results the steps have."""
        graphs = self._graphs
        if graphs is None:
            return self._steps(*given, *self.arrays)
        if self._copied:
            given = self._with_copies(given)
        key = tuple([array.data.ptr for array in given])
        graph = graphs.get(key)
        if graph is None:
            return self._without_graph(graphs, key, given)
        graphs.move_to_end(key)
        self._misses = 0
        return graph.launch()

    def _without_graph(
        self, graphs: OrderedDict[tuple[int, ...], Graph | None], key: tuple[int, ...], given: tuple[Any, ...]
    ) -> Sequence[Any]:
        """Run the steps, and capture them if they ran on this memory before."""
        before, self._before = self._before, key
        self._misses += 1
        if self._misses == _FEW:
            self._copy_what_moves(before, key, given)
        elif self._misses > _MANY:
            self._graphs = None
        elif key not in graphs:
            graphs[key] = None
            if len(graphs) > _MOST:
                graphs.popitem(last=False)
        else:
            graph = graphs[key] = capture(self._steps, [*given, *self.arrays])
            if graph is not None:
                return graph.launch()
            self._graphs = None  # it is impossible, and stays so
        return self._steps(*given, *self.arrays)

    def _copy_what_moves(self, before: tuple[int, ...], key: tuple[int, ...], given: tuple[Any, ...]) -> None:
        for position in self._candidates:
            array = given[position]
            if position not in self._copied and before[position] != key[position] and 0 < array.nbytes <= _SMALL:
                self._copied[position] = array.copy()
                self._graphs = OrderedDict()

    def _with_copies(self, given: tuple[Any, ...]) -> tuple[Any, ...]:
        """Give the arguments with copies in place of those that move."""
        import cupy

        runtime, stream = cupy.cuda.runtime, cupy.cuda.get_current_stream().ptr
        arrays = list(given)
        for position, copy in self._copied.items():
            source = arrays[position].data.ptr
            runtime.memcpyAsync(copy.data.ptr, source, copy.nbytes, runtime.memcpyDeviceToDevice, stream)
            arrays[position] = copy
        return tuple(arrays)
