"""Launches captured into CUDA graphs, which one call starts again: on the same memory, whatever it holds by then."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np

from ..forks import hold_over_fork
from . import blas

#: Held while anything is captured: CUDA refuses to have the device waited for meanwhile, and ends the capture.
capturing = threading.RLock()
hold_over_fork(capturing, outermost=True)

#: The number that CUDA has for "the default stream of this thread".
_STREAM_OF_THREAD = 2
#: The memory that cuBLAS has for itself in graphs, by device and stream.
_scratch: dict[Any, Any] = {}


def stream() -> Any:
    """Name the current stream, on which whatever is launched next comes later."""
    import cupy

    address = cupy.cuda.get_current_stream().ptr
    return (address, threading.get_ident()) if address == _STREAM_OF_THREAD else address


class Memory:
    """What graphs that run one after the other have for themselves: one pool, and their results.

    The pool counts as free what a graph's steps have given back, and the graph still uses; so nothing of it goes back
    to the GPU before all of them are gone.
    """

    def __init__(self) -> None:
        import cupy

        self._cupy, self._device = cupy, cupy.cuda.runtime.getDevice()
        self.pool = cupy.cuda.MemoryPool()
        self.results: dict[int, Sequence[Any]] = {}

    def __del__(self) -> None:
        self.results.clear()
        # at the process's end the driver may be gone
        with suppress(Exception), self._cupy.cuda.Device(self._device):
            self.pool.free_all_blocks()  # which CuPy leaves to whoever made a pool


class Graph:
    """A captured function: `launch` runs it on the current stream, and gives its results anew."""

    def __init__(self, graph: Any, results: Sequence[Any], memory: Memory) -> None:
        self._graph, self._memory = graph, memory
        memory.results[id(self)] = results

    def __del__(self) -> None:
        self._memory.results.pop(id(self), None)

    def launch(self) -> tuple[Any, ...]:
        """Run what was captured; the results are copies, since the next run writes over them."""
        self._graph.launch()
        return tuple([result.copy() for result in self._memory.results[id(self)]])


@contextmanager
def _without_collections() -> Iterator[None]:
    """Put garbage collections off: what they find may be events and graphs, whose end has no place in a capture."""
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()


def capture(function: Callable[..., Sequence[Any]], arrays: Sequence[Any], memory: Memory) -> Graph | None:
    """Capture what a function of arrays launches, which is to run on the current stream; None if that is refused.

    The function must have run on such arrays before, so that all there is to compile and to load has been. It cannot be
    captured if it waits for the GPU, or calls what NVIDIA's libraries or CuPy refuse to have captured; and it may be
    refused when somebody else waits for the device just then, or there is no memory.
    """
    import cupy

    place = cupy.cuda.runtime.getDevice(), stream()
    try:
        if blas.prepare() and place not in _scratch:
            _scratch.setdefault(place, cupy.empty(blas.WORKSPACE, np.uint8))
    except Exception:  # there is no memory, now
        return None
    apart = cupy.cuda.Stream(non_blocking=True)  # the default stream cannot be captured
    results: Sequence[Any] | None = None
    graph: Any = None
    memory_of = cupy.cuda.using_allocator(memory.pool.malloc)
    with capturing, _without_collections(), apart, memory_of, blas.workspace(_scratch.get(place)):
        apart.begin_capture()
        try:
            results = function(*arrays)
        except Exception:  # whoever refuses does so in his own way; the launches that follow tell what was at fault
            results = None
        finally:
            try:
                graph = apart.end_capture()
            except Exception:  # the refusal has invalidated what was captured so far
                graph = None
    return None if results is None or graph is None else Graph(graph, results, memory)


def copy(source: Any, target: Any) -> None:
    """Copy the elements of a contiguous array to another one, on the current stream."""
    import cupy

    runtime, address = cupy.cuda.runtime, cupy.cuda.get_current_stream().ptr
    runtime.memcpyAsync(target.data.ptr, source.data.ptr, target.nbytes, runtime.memcpyDeviceToDevice, address)
