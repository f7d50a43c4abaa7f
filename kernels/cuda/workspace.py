"""The memory that a compiled function works in on a GPU, and the CUDA graphs that were captured there."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

from .graphs import Graph, Memory, capture, copy

#: Graphs that one workspace keeps; those used longest ago go first.
_MOST = 32
#: Calls in a row on addresses without a graph after which small arrays get stand-ins that stay where they are, and
#: after which nothing is captured any more.
_FEW, _MANY = 8, 256
#: Refusals after which nothing is captured any more: some pass, such as a lack of memory.
_REFUSALS = 3
#: The largest array that has a stand-in, in bytes: to copy it takes a microsecond on the GPU.
_SMALL = 1 << 20


class Workspace:
    """Arrays for what is between the steps, and the steps as graphs, by the addresses of what they read and write.

    A graph reads and writes the memory that it was captured with. In a training loop the same addresses come again and
    again, since CuPy's pool has only so many pieces of a size: what is called on addresses for the second time is
    captured. Small arguments and results that are elsewhere at each call are copied to, and from, memory that stays.
    """

    def __init__(
        self, steps: Callable[..., Sequence[Any]], arrays: Sequence[Any], inputs: int, donated: Sequence[int]
    ) -> None:
        self.arrays, self._steps, self._inputs, self._donated = arrays, steps, inputs, donated
        self._graphs: OrderedDict[tuple[int, ...], Graph | None] | None = OrderedDict()
        self._stand_ins: dict[int, Any] = {}
        self._before: tuple[int, ...] = ()
        self._misses = self._refusals = 0
        self._memory: Memory | None = None

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
                copy(given[position], array)
        stand_ins = list(self._stand_ins)
        found = self._run(self._graphs, tuple(arrays))
        for position in stand_ins:
            if position >= self._inputs:
                copy(arrays[position], given[position])
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
            self._give_up()
        elif key not in graphs:
            graphs[key] = None
            if len(graphs) > _MOST:
                graphs.popitem(last=False)
        else:
            self._memory = self._memory or Memory()
            graph = graphs[key] = capture(self._steps, [*given, *self.arrays], self._memory)
            if graph is not None:
                return graph.launch()
            self._refusals += 1
            if self._refusals == _REFUSALS:
                self._give_up()
        return self._steps(*given, *self.arrays)

    def _give_up(self) -> None:
        self._graphs = self._memory = None
        self._stand_ins.clear()

    def _have_stand_ins(self, before: tuple[int, ...], key: tuple[int, ...], given: tuple[Any, ...]) -> None:
        """Give small arrays that are not where they were stand-ins, from the next call on."""
        for position, array in enumerate(given):
            moved = position not in self._stand_ins and before[position] != key[position]
            if moved and 0 < array.nbytes <= _SMALL and position not in self._donated:
                self._stand_ins[position] = array.copy()
                self._graphs = OrderedDict()
