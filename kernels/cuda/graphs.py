"""Launches captured into CUDA graphs, which one call starts again: on the same memory, whatever it holds by then."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from . import blas

#: The memory that cuBLAS has in graphs, by device and the stream on which they run one after the other.
_workspaces: dict[tuple[int, int], Any] = {}


class Graph:
    """A captured function: `launch` runs it on the current stream, and gives its results anew."""

    def __init__(self, graph: Any, results: Sequence[Any], memory: Any) -> None:
        self._graph, self._results, self._memory = graph, results, memory

    def launch(self) -> tuple[Any, ...]:
        """Run what was captured; the results are copies, since the next run writes over them."""
        self._graph.launch()
        return tuple([result.copy() for result in self._results])


def capture(function: Callable[..., Sequence[Any]], arrays: Sequence[Any]) -> Graph | None:
    """Capture what a function of arrays launches, which is to run on the current stream; None where that is impossible.

    The function must have run on such arrays before, so that all there is to compile and to load has been. It cannot be
    captured if it waits for the GPU, or calls what NVIDIA's libraries or CuPy refuse to have captured.
    """
    import cupy

    pool = cupy.cuda.MemoryPool()  # what the function allocates for itself is the graph's for good
    place = cupy.cuda.runtime.getDevice(), cupy.cuda.get_current_stream().ptr
    stream = cupy.cuda.Stream(non_blocking=True)  # the default stream cannot be captured

    def workspace() -> Any:
        if place not in _workspaces:
            _workspaces[place] = cupy.empty(blas.WORKSPACE, "uint8")
        return _workspaces[place]

    results: Sequence[Any] | None = None
    with stream, cupy.cuda.using_allocator(pool.malloc), blas.workspace(workspace):
        stream.begin_capture()
        try:
            results = function(*arrays)
        except Exception:  # whoever refuses does so in his own way; the launches that follow tell what was at fault
            results = None
        try:
            graph = stream.end_capture()
        except Exception:  # the refusal has invalidated what was captured so far
            results = None
    return None if results is None else Graph(graph, results, pool)
