"""Interleaved timing, and the floors to hold the results against."""

from __future__ import annotations

import itertools
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

import numpy as np

from .workloads import Workload

T = TypeVar("T")

#: Seconds that a sample takes: enough calls to be far above the clock's resolution.
SAMPLE = 0.02
#: Seconds between samples: worker threads of the library before spin this long before they sleep.
PAUSE = 0.025
#: Microseconds to call a compiled kernel on a few elements, without a graph or anything else around it.
KERNEL_CALL = 0.1


def progress(items: Iterable[T], title: str) -> Iterator[T]:
    """Show how far a loop is: with tqdm where it is installed, else a line an item."""
    items = list(items)
    try:
        from tqdm import tqdm
    except ImportError:
        for number, item in enumerate(items, 1):
            print(f"{title}: {number}/{len(items)}", file=sys.stderr, flush=True)
            yield item
    else:
        yield from tqdm(items, desc=title)


def fresh_environment(**further: str) -> dict[str, str]:
    """Give the environment of a process to be timed: this one's, and variables besides.

    The interpreter keeps the bytecode of modules, as it does where nobody turned that off: packages come with theirs.
    """
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return kept | further


def time_of(step: Callable[[], Any], calls: int, clock: Callable[[], float] = time.perf_counter) -> float:
    """Give the seconds that one call takes, as the mean of `calls` in a row."""
    repeat = itertools.repeat(None, calls)
    start = clock()
    for _ in repeat:
        step()
    return (clock() - start) / calls


def interleaved(
    steps: dict[str, Callable[[], Any]],
    rounds: int,
    sample: float = SAMPLE,
    pause: float = PAUSE,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, list[float]]:
    """Give the seconds a call of each step, once a round; the steps take turns, and the order turns too.

    Whatever else the machine does thus meets all of them, and the ratios of one round can be compared. A step's turn is
    one call that warms up, and then as many as take `sample` seconds, at least one.
    """
    calls = {}
    for name, step in steps.items():
        step()
        few = max(1, round(sample / 4 / time_of(step, 1, clock)))
        calls[name] = max(1, round(sample / time_of(step, few, clock)))
    samples: dict[str, list[float]] = {name: [] for name in steps}
    names = list(steps)
    for number in range(rounds):
        first = number % len(names)
        for name in names[first:] + names[:first]:
            if pause:
                time.sleep(pause)
            steps[name]()
            samples[name].append(time_of(steps[name], calls[name], clock))
    return samples


def quartiles(values: Iterable[float]) -> dict[str, float]:
    """Give the median and the quartiles around it."""
    values = list(values)
    low, median, high = statistics.quantiles(values, n=4, method="inclusive") if len(values) > 1 else values * 3
    return {"median": median, "low": low, "high": high}


def ratios(samples: dict[str, list[float]], above: str, below: str) -> dict[str, float]:
    """Give the quartiles of the ratios of two libraries' times, each ratio taken within a round."""
    return quartiles(x / y for x, y in zip(samples[above], samples[below], strict=True))


def summary(samples: dict[str, list[float]]) -> dict[str, Any]:
    """Give times by library, their ratios to torch's, and the ratios of nbgrad's times to theirs."""
    return {
        "seconds": {name: quartiles(times) for name, times in samples.items()},
        "over_torch": {name: ratios(samples, name, "torch") for name in samples},
        "nbgrad_over": {name: ratios(samples, "nbgrad", name) for name in samples if name != "nbgrad"},
    }


# ---- floors ---------------------------------------------------------------------------------------------------------


class _Counted(np.ndarray):
    """An array that counts the ufunc calls, and the operations of matrix products, that it takes part in."""

    calls = 0
    operations = 0

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
        plain = [x.view(np.ndarray) if isinstance(x, _Counted) else x for x in inputs]
        if "out" in options:
            options["out"] = tuple(x.view(np.ndarray) if isinstance(x, _Counted) else x for x in options["out"])
        result = getattr(ufunc, method)(*plain, **options)
        _Counted.calls += 1
        if ufunc is np.matmul:
            _Counted.operations += 2 * np.size(result) * plain[0].shape[-1]
        return np.asarray(result).view(_Counted)


def work_of(workload: Workload) -> dict[str, int]:
    """Count what the hand-written NumPy program does: ufunc calls, flops of its matrix products, bytes in and out."""
    _Counted.calls = _Counted.operations = 0
    arrays = [np.array(x).view(_Counted) for x in (*workload.parameters, *workload.constants)]
    workload.by_hand(*arrays)
    gradients = workload.parameters
    moved = sum(x.nbytes for x in (*workload.parameters, *workload.constants, *gradients))
    return {"kernel_calls": _Counted.calls, "flops": _Counted.operations, "bytes": moved}


def matmul_peak(dtype: str) -> float:
    """Give the flops a second of a large matrix product, at best."""
    x = np.ones((1024, 1024), dtype)
    y = np.empty_like(x)
    return 2 * 1024**3 / min(time_of(lambda: np.matmul(x, x, out=y), 1) for _ in range(50))


def copy_rate(size: int) -> float:
    """Give the bytes a second that all cores read and write when they copy, at best, where `size` bytes take part."""
    source = np.ones(max(1, size // 2), np.uint8)
    target = np.empty_like(source)
    calls = max(1, 1_000_000 // size)
    seconds = min(time_of(lambda: np.copyto(target, source), calls) for _ in range(20))
    return 2 * source.size / seconds * (os.cpu_count() or 1)


def floor_of(work: dict[str, int], peak: float) -> float:
    """Give the seconds below which eager execution cannot go: calls, plus flops or memory, whichever takes longer."""
    busy = max(work["flops"] / peak, work["bytes"] / copy_rate(work["bytes"]))
    return work["kernel_calls"] * KERNEL_CALL * 1e-6 + busy
