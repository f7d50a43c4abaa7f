"""What networks are made of, forward and backward, beside torch eager at as many threads.

python -m benchmarks.networks                            measure, and write docs/networks.md
python -m benchmarks.networks --only conv2d,attention    some of them; nothing is written

Libraries take turns, call by call; times are medians, and ratios the medians of the ratios within a turn. In one thread
they are that thread's time on the processor, which others at work do not lengthen as much. The floor of what multiplies
matrices are its products at the measured peak, forward once and backward twice; of anything else its arrays at the
speed of a copy: the input read and the result written, and backward as much again with the cotangent.
"""

from __future__ import annotations

import argparse
import datetime
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from .report import BUSY, processor


class Case(NamedTuple):
    """A call of `nn.functional`, or of an operation, on arrays that gradients go to."""

    title: str
    #: Of the library's functional module, its main module, arrays, and whole numbers.
    call: Callable[..., Any]
    shapes: tuple[tuple[int, ...], ...]
    large: bool
    #: Shape and upper bound of whole numbers, if any.
    whole: tuple[tuple[int, ...], int] | None = None
    #: Multiplications of its products.
    products: int = 0


def _conv(n: int, c: int, size: int, o: int, k: int, padding: int, large: bool) -> Case:
    places = size + 2 * padding - k + 1
    title = f"conv2d, {c} to {o} channels, {k} x {k} of {size} x {size}, batch {n}"
    shapes = ((n, c, size, size), (o, c, k, k), (o,))
    call = lambda F, m, x, w, b, _: F.conv2d(x, w, b, padding=padding)  # noqa: E731
    return Case(title, call, shapes, large, products=n * places * places * o * c * k * k)


def _attention(b: int, h: int, n: int, d: int, large: bool) -> Case:
    call = lambda F, m, q, k, v, _: F.scaled_dot_product_attention(q, k, v)  # noqa: E731
    return Case(
        f"attention, {b} x {h} heads, {n} x {d}", call, ((b, h, n, d),) * 3, large, products=2 * b * h * n * n * d
    )


def _of_rows(rows: int, columns: int, large: bool) -> list[Case]:
    label = f"{rows} x {columns}"
    x = (rows, columns)
    return [
        Case(
            f"layer_norm, {label}", lambda F, m, x, w, b, _: F.layer_norm(x, (columns,), w, b), (x, x[1:], x[1:]), large
        ),
        Case(f"softmax, {label}", lambda F, m, x, _: F.softmax(x, -1), (x,), large),
        Case(f"cross_entropy, {label}", lambda F, m, x, y: F.cross_entropy(x, y), (x,), large, ((rows,), columns)),
        Case(f"gather, {label}", lambda F, m, x, i: m.gather(x, 1, i), (x,), large, (x, columns)),
        Case(f"scatter_add, {label}", lambda F, m, x, y, i: m.scatter_add(x, 0, i, y), (x, x), large, (x, rows)),
    ]


CASES = [
    _conv(64, 1, 28, 6, 5, 2, True),
    _conv(64, 6, 14, 16, 5, 0, True),
    _conv(16, 64, 28, 64, 3, 1, True),
    _conv(4, 3, 8, 4, 3, 1, False),
    *(case for size in (64, 1024) for case in _of_rows(size, size, size > 64)),
    Case(
        "batch_norm, 64 x 32 x 28 x 28",
        lambda F, m, x, w, b, _: F.batch_norm(x, None, None, w, b, True),
        ((64, 32, 28, 28), (32,), (32,)),
        True,
    ),
    Case(
        "batch_norm, 64 x 64",
        lambda F, m, x, w, b, _: F.batch_norm(x, None, None, w, b, True),
        ((64, 64), (64,), (64,)),
        False,
    ),
    Case("max_pool2d, 64 x 6 x 28 x 28", lambda F, m, x, _: F.max_pool2d(x, 2), ((64, 6, 28, 28),), True),
    Case("gelu, 1024 x 1024", lambda F, m, x, _: F.gelu(x), ((1024, 1024),), True),
    Case(
        "embedding, 4096 rows of 10000 x 128",
        lambda F, m, w, i: F.embedding(i, w),
        ((10000, 128),),
        True,
        ((4096,), 10000),
    ),
    _attention(1, 2, 16, 16, False),
    _attention(4, 8, 256, 64, True),
]  # fmt: skip


def steps(case: Case) -> tuple[Callable[[], Any], Callable[[], Any]]:
    """Give a step of ours and one of torch's, whose values and gradients were compared."""
    import torch

    import nbgrad
    from nbgrad.nn import functional

    random = np.random.default_rng(0)
    arrays = [random.normal(size=shape).astype("float32") for shape in case.shapes]
    whole = None if case.whole is None else random.integers(0, case.whole[1], case.whole[0])
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
    g = random.normal(size=shape).astype("float32")
    cotangent = nbgrad.tensor(g), torch.tensor(g)
    (y, found), (z, expected) = here(), there()
    for one, other in zip((y, *found), (z, *expected), strict=True):
        scale = float(other.detach().abs().max()) + 1e-6
        np.testing.assert_allclose(one.data / scale, other.detach().numpy() / scale, atol=2e-5)
    return here, there


def measured(case: Case, seconds: float, clock: Callable[[], float]) -> tuple[float, float, float]:
    """Give the medians of both times, and of the ratios."""
    here, there = steps(case)
    times: list[tuple[float, float]] = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(times) < 7:
        begin = clock()
        here()
        middle = clock()
        there()
        times.append((middle - begin, clock() - middle))
    table = np.array(times[2:])
    return float(np.median(table[:, 0])), float(np.median(table[:, 1])), float(np.median(table[:, 0] / table[:, 1]))


def speeds(clock: Callable[[], float]) -> tuple[float, float]:
    """Give the peak of float32 products in multiplications a second, and the speed of a copy in bytes a second."""
    a = np.ones((1024, 1024), "float32")
    memory, there = np.ones(1 << 24, "float32"), np.ones(1 << 24, "float32")

    def best(work: Callable[[], Any]) -> float:
        found = []
        for _ in range(7):
            begin = clock()
            work()
            found.append(clock() - begin)
        return min(found)

    return 1024**3 / best(lambda: a @ a), 2 * memory.nbytes / best(lambda: np.copyto(there, memory))


def floor(case: Case, peak: float, speed: float) -> float:
    """Give the least time for a case, in seconds."""
    if case.products:
        return 3 * case.products / peak
    return 4.5 * 4 * float(np.prod(case.shapes[0])) / speed


DOCS = Path(__file__).parent.parent / "docs" / "networks.md"

HEAD = """# What networks are made of: how long it takes

Forward and backward of float32, nbgrad and PyTorch {torch} eagerly in {threads} thread{s} each, call by call in turns:
medians{clock}. The floor of what multiplies matrices are its products at the measured peak,
{peak:.0f} GFLOP/s, forward once and backward twice; of anything else what it reads and writes at the measured speed of
a copy, {speed:.1f} GB/s. At most 1.0 of PyTorch is promised of large arrays, 0.5 of small ones; what misses is in bold.

`python -m benchmarks.networks` on {processor}, {date}; the load was {load:.1f} before the run{busy}.

"""


def row(case: Case, seconds: float, peak: float, speed: float, clock: Callable[[], float]) -> str:
    """Measure a case, and give its line of the table."""
    ours, theirs, ratio = measured(case, seconds, clock)
    least, limit = floor(case, peak, speed), 1.0 if case.large else 0.5
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
    peak, speed = speeds(clock)
    about = HEAD.format(
        torch=torch.__version__.split("+")[0],
        threads=options.threads,
        s="s" * (options.threads > 1),
        clock=" of the thread's time on the processor" if options.threads == 1 else "",
        peak=2 * peak / 1e9,
        speed=speed / 1e9,
        processor=processor(),
        date=datetime.date.today().isoformat(),
        load=load,
        busy=", others being at work" if load > BUSY else "",
    )
    lines = [
        "| forward and backward, float32 | nbgrad | torch | ratio | promised | floor | share of the floor |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    print(about, *lines, sep="\n")
    for case in CASES:
        if any(part in case.title for part in options.only.split(",")):
            lines.append(row(case, options.seconds, peak, speed, clock))
            print(lines[-1], flush=True)
    if not options.only:
        DOCS.write_text(about + "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
