"""The memory that a compiled function works in on a GPU, and the CUDA graphs that were captured there."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

from ..kernels.cuda.graphs import Graph, capture

#: Graphs that one workspace keeps; those used longest ago go first.
_MOST = 32
#: Calls in a row on addresses without a graph after which small arrays get stand-ins that stay where they are, and
#: after which nothing is captured any more.
_FEW, _MANY = 8, 256
#: The largest array that has a stand-in, in bytes: to copy it takes a microsecond on the GPU.
_SMALL = 1 << 20


class Workspace:
    """Arrays for what is between the steps, and the steps as graphs, by the addresses of what they read and write.

    A graph reads and writes the memory that it was captured with. In a training loop the same addresses come again and
    again, since CuPy's pool hands out first what was freed last: what is called on addresses for the second time is
    captured. Small arguments and results that are elsewhere at each call are copied to, and from, memory that stays.
    """

    def __init__(
        self, steps: Callable[..., Sequence[Any]], arrays: Sequence[Any], inputs: int, donated: Sequence[int]
    ) -> None:
        self.arrays, self._steps, self._inputs, self._donated = arrays, steps, inputs, donated
        self._graphs: OrderedDict[tuple[int, ...], Graph | None] | None = OrderedDict()
        self._stand_ins: dict[int, Any] = {}
        self._before: tuple[int, ...] = ()
        self._misses = 0

    def run(self, given: tuple[Any, ...]) -> Sequence[Any]:
        """Run the steps on arguments and the arrays of results; gives what other results the steps have."""
        if self._graphs is None:
            return self._steps(*given, *self.arrays)
        if not self._stand_ins:
            return self._run(self._graphs, given)
        arrays = list(given)
        for position, array in self._stand_ins.items():
            arrays[position] = array
            if position < self._inputs:
                _copy(given[position], array)
        found = self._run(self._graphs, tuple(arrays))
        for position in self._stand_ins:
            if position >= self._inputs:
                _copy(arrays[position], given[position])
        return found

    def _run(self, graphs: OrderedDict[tuple[int, ...], Graph | None], given: tuple[Any, ...]) -> Sequence[Any]:
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
            self._have_stand_ins(before, key, given)
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

    def _have_stand_ins(self, before: tuple[int, ...], key: tuple[int, ...], given: tuple[Any, ...]) -> None:
        """Give small arrays that are not where they were stand-ins, from the next call on."""
        for position, array in enumerate(given):
            moved = position not in self._stand_ins and before[position] != key[position]
            if moved and 0 < array.nbytes <= _SMALL and position not in self._donated:
                self._stand_ins[position] = array.copy()
                self._graphs = OrderedDict()


def _copy(source: Any, target: Any) -> None:
    """Copy the elements of a contiguous array to another one."""
    import cupy

    runtime, stream = cupy.cuda.runtime, cupy.cuda.get_current_stream().ptr
    runtime.memcpyAsync(target.data.ptr, source.data.ptr, target.nbytes, runtime.memcpyDeviceToDevice, stream)
