"""What networks are made of, forward and backward, beside torch eager at as many threads.

python -m benchmarks.networks                            measure, and write docs/networks.md
python -m benchmarks.networks --only conv2d,attention    some of them; nothing is written

Libraries take turns (`measure.interleaved`), each for a millisecond or two of calls in a row, or for one call that
takes longer; times are medians, and ratios the medians of the ratios within a turn. In one thread they are that
thread's time on the processor, which others at work do not lengthen as much. The floor of what multiplies matrices are
its products at the measured peak, forward once and backward twice; of decompositions the textbook's; of anything else
its arrays at the speed of a copy: the input read and the result written, and backward as much again with the cotangent,
or the passes that a case states.
"""

from __future__ import annotations

import argparse
import datetime
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from . import measure
from .network_cases import CASES, Case
from .report import BUSY, processor

#: Seconds of calls in a row: enough for a library to find caches and predictions of branches that are its own.
SAMPLE = 0.0015


def _whole_numbers(random: np.random.Generator, shape: tuple[int, ...], bound: int, distinct: bool) -> np.ndarray:
    return random.choice(bound, shape, replace=False) if distinct else random.integers(0, bound, shape)


def steps(case: Case) -> tuple[Callable[[], Any], Callable[[], Any]]:
    """Give a step of ours and one of torch's, whose values and gradients were compared."""
    import torch

    import nbgrad
    from nbgrad.nn import functional

    random = np.random.default_rng(0)
    arrays = [random.normal(size=shape).astype(case.dtype) for shape in case.shapes]
    if case.prepare is not None:
        arrays[0] = case.prepare(arrays[0]).astype(case.dtype)
    whole = None if case.whole is None else _whole_numbers(random, *case.whole, case.distinct)
    ours = [nbgrad.tensor(a, requires_grad=True) for a in arrays]
    theirs = [torch.tensor(a, requires_grad=True) for a in arrays]
    mine, others = (None, None) if whole is None else (nbgrad.tensor(whole), torch.tensor(whole))

    def here() -> Any:
        y = case.call(functional, nbgrad, *ours, mine)
        return y, nbgrad.autograd.grad(y, ours, cotangent[0])

    def there() -> Any:
        y = case.call(torch.nn.functional, torch, *theirs, others)
        return y, torch.autograd.grad(y, theirs, cotangent[1])

    with torch.no_grad():
        shape = tuple(case.call(torch.nn.functional, torch, *theirs, others).shape)
    g = random.normal(size=shape).astype(case.dtype)
    cotangent = nbgrad.tensor(g), torch.tensor(g)
    (y, found), (z, expected) = here(), there()
    for one, other in zip((y, *found), (z, *expected), strict=True):
        scale = float(other.detach().abs().max()) + 1e-6
        np.testing.assert_allclose(one.data / scale, other.detach().numpy() / scale, atol=2e-5)
    return here, there


def measured(case: Case, seconds: float, clock: Callable[[], float]) -> tuple[float, float, float]:
    """Give the medians of both times, and of the ratios."""
    here, there = steps(case)
    turn = sum(measure.time_of(step, 1) for step in (here, there))
    rounds = max(7, round(seconds / max(2 * SAMPLE, turn)))
    samples = measure.interleaved({"nbgrad": here, "torch": there}, rounds, SAMPLE, 0, clock)
    middle = [measure.quartiles(samples[name])["median"] for name in ("nbgrad", "torch")]
    return middle[0], middle[1], measure.ratios(samples, "nbgrad", "torch")["median"]


def speeds(clock: Callable[[], float]) -> tuple[dict[str, float], float]:
    """Give the peak of either dtype's products in multiplications a second, and a copy's speed in bytes a second."""
    memory, there = np.ones(1 << 24, "float32"), np.ones(1 << 24, "float32")

    def best(work: Callable[[], Any]) -> float:
        found = []
        for _ in range(7):
            begin = clock()
            work()
            found.append(clock() - begin)
        return min(found)

    def peak(dtype: str) -> float:
        a = np.ones((1024, 1024), dtype)
        return 1024**3 / best(lambda: a @ a)

    peaks = {dtype: peak(dtype) for dtype in ("float32", "float64")}
    return peaks, 2 * memory.nbytes / best(lambda: np.copyto(there, memory))


def floor(case: Case, peaks: dict[str, float], speed: float) -> float:
    """Give the least time for a case, in seconds."""
    if case.products:
        back = 2 * case.products if case.products_back is None else case.products_back
        return (case.products + back) / peaks[case.dtype]
    return case.passes * np.dtype(case.dtype).itemsize * float(np.prod(case.shapes[0])) / speed


DOCS = Path(__file__).parent.parent / "docs" / "networks.md"

HEAD = """# What networks are made of: how long it takes

Forward and backward of float32, or of what the line says, nbgrad and PyTorch {torch} eagerly in {threads} thread{s}
each. They take turns, each for {sample:g} ms of calls in a row, or for one call that takes longer, after one that warms
up; medians{clock}, and of the ratios within a turn. The floor of what
multiplies matrices are its products at the measured peak, {peak:.0f} GFLOP/s ({double:.0f} in float64), forward once
and backward twice, of decompositions the textbook's; of anything else what it reads and writes at the measured speed of
a copy, {speed:.1f} GB/s. At most 1.0 of PyTorch is promised of large arrays, 0.5 of small ones; what misses is in bold.

`python -m benchmarks.networks` on {processor}, {date}; the load was {load:.1f} before the run{busy}.

"""

TAIL = """
## Where time goes that is above what is promised

- **Small arrays.** A call of layer_norm or gather spends half of its time in kernels, which alone take as long as is
  promised of the whole call, and a third on the walk of `autograd.grad`, Python's; attention, einsum, solve and eigh
  are Python around a few calls of BLAS and LAPACK, which PyTorch strings together in C++.
- **conv2d of 6 to 16 channels.** Rows of 10 places end soon: two fifths of the direct loop's time go to their ends.
  By BLAS the output is slower. That of 64 channels runs at four fifths of the peak of products, PyTorch's near it.
- **gather of 1024 x 1024.** Positions are copied, since whoever gave them may write to them before the walk back.
- **layer_norm of 1024 x 1024.** Its kernels alone take 1.1 of the 1.5 ms; they add up in float64.
- **Sums over an axis.** PyTorch hands out the cotangent itself as a view that repeats it, and writes 4096 numbers;
  here a gradient is an array of its own, which may be written to.
- **solve of 1024 x 1024.** The walk back factorises the matrix again: NumPy keeps no factors.
"""


def row(case: Case, seconds: float, peaks: dict[str, float], speed: float, clock: Callable[[], float]) -> str:
    """Measure a case, and give its line of the table."""
    ours, theirs, ratio = measured(case, seconds, clock)
    least, limit = floor(case, peaks, speed), 1.0 if case.large else 0.5
    mark = "" if ratio <= limit else "**"
    micro = [f"{1e6 * t:,.0f} µs" for t in (ours, theirs, least)]
    cells = [case.title, *micro[:2], f"{mark}{ratio:.2f}{mark}", str(limit), micro[2], f"{least / ours:.0%}"]
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Measure, and print and write a table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.networks", description=__doc__)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=2.0, help="how long to measure each")
    parser.add_argument("--only", default="", help="parts of titles, with commas between")
    options = parser.parse_args()
    for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "NBGRAD_NUM_THREADS"):
        if os.environ.get(name) != str(options.threads):
            os.environ[name] = str(options.threads)
            if "numpy" in sys.modules:  # whose BLAS has its threads already
                os.execv(sys.executable, [sys.executable, "-m", "benchmarks.networks", *sys.argv[1:]])
    import torch

    load = os.getloadavg()[0]
    torch.set_num_threads(options.threads)
    clock = time.thread_time if options.threads == 1 else time.perf_counter
    peaks, speed = speeds(clock)
    about = HEAD.format(
        torch=torch.__version__.split("+")[0],
        threads=options.threads,
        sample=1e3 * SAMPLE,
        s="s" * (options.threads > 1),
        clock=" of the thread's time on the processor" if options.threads == 1 else "",
        peak=2 * peaks["float32"] / 1e9,
        double=2 * peaks["float64"] / 1e9,
        speed=speed / 1e9,
        processor=processor(),
        date=datetime.date.today().isoformat(),
        load=load,
        busy=", others being at work" if load > BUSY else "",
    )
    lines = [
        "| forward and backward | nbgrad | torch | ratio | promised | floor | share of the floor |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    print(about, *lines, sep="\n")
    for case in CASES:
        if any(part in case.title for part in options.only.split(",")):
            lines.append(row(case, options.seconds, peaks, speed, clock))
            print(lines[-1], flush=True)
    if not options.only:
        DOCS.write_text(about + "\n".join(lines) + "\n" + TAIL)


if __name__ == "__main__":
    main()
