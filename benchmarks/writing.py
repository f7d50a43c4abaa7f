"""Compare writing in place with torch eager in one thread, and compiled with the same done by functions.

python -m benchmarks.writing            measure, and print the table; writes benchmarks/writing.json and docs/writing.md
python -m benchmarks.writing --quick    a few rounds, and nothing is written
"""

from __future__ import annotations

import argparse
import datetime
import gc
import json
import os
import statistics
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

import nbgrad

from . import measure
from .report import processor

DIRECTORY = Path(__file__).parent
DOCS = DIRECTORY.parent / "docs" / "writing.md"
JSON = DIRECTORY / "writing.json"

HEAD = """# Writing in place: how long it takes

Forward, a sum and backward, float64, PyTorch and nbgrad in one thread, interleaved; medians of {rounds} rounds, the
ratio that of the medians. `python -m benchmarks.writing` on {processor}, {date}, with a load of {load:.1f} before.

"""


def leaf(library: Any, *shape: int) -> Any:
    x = library.tensor(np.linspace(0.5, 1.5, int(np.prod(shape))).reshape(shape))
    return x.requires_grad_(True)


def filled(library: Any, rows: int, columns: int) -> Callable[[], Any]:
    """Fill a matrix row by row."""
    w = leaf(library, columns)
    zeros = library.zeros(rows, columns, dtype=w.dtype)

    def step() -> None:
        x = zeros.clone()
        for i in range(rows):
            x[i] = w
        x.sum().backward()

    return step


def stencil(library: Any, size: int, steps: int) -> Callable[[], Any]:
    """Smooth a rod, in place."""
    w = leaf(library, size)

    def step() -> None:
        x = w * 1.0
        for _ in range(steps):
            x[1:-1] = x[1:-1] * 0.5 + (x[:-2] + x[2:]) * 0.25
        x.sum().backward()

    return step


def accumulated(library: Any, size: int, steps: int) -> Callable[[], Any]:
    """Add to an array a thousand times."""
    w = leaf(library, size)

    def step() -> None:
        x = w * 1.0
        for _ in range(steps):
            x += w
        x.sum().backward()

    return step


def trained(library: Any, size: int, steps: int) -> Callable[[], Any]:
    """Take steps of gradient descent with parameters in a list."""
    parameters = [leaf(library, size) for _ in range(4)]
    gradients = [x.detach() * 1e-9 for x in parameters]

    def step() -> None:
        for _ in range(steps):
            with library.no_grad():
                for x, g in zip(parameters, gradients, strict=True):
                    x -= g

    return step


CASES: dict[str, tuple[Callable[..., Callable[[], Any]], tuple[int, ...]]] = {
    "100 rows of 10, one by one": (filled, (100, 10)),
    "1000 rows of 1000, one by one": (filled, (1000, 1000)),
    "stencil on 10 elements, 50 steps": (stencil, (10, 50)),
    "stencil on 20,000 elements, 50 steps": (stencil, (20_000, 50)),
    "`x += w` on 10 elements, 1000 times": (accumulated, (10, 1000)),
    "`x += w` on 10,000 elements, 1000 times": (accumulated, (10_000, 1000)),
    "gradient descent, 4 parameters of 10 elements, 100 steps": (trained, (10, 100)),
}


def written_stencil(w: Any) -> Any:
    x = w * 1.0
    for _ in range(5):
        x[1:-1] = x[1:-1] * 0.5 + (x[:-2] + x[2:]) * 0.25
    return (x * x).sum()


def functional_stencil(w: Any) -> Any:
    x = w * 1.0
    for _ in range(5):
        x = nbgrad.cat([x[:1], x[1:-1] * 0.5 + (x[:-2] + x[2:]) * 0.25, x[-1:]])
    return (x * x).sum()


def written_rows(w: Any) -> Any:
    x = nbgrad.zeros(30, len(w), dtype=w.dtype)
    for i in range(30):
        x[i] = nbgrad.sin(w * (i + 1.0))
    return (x * x).sum()


def functional_rows(w: Any) -> Any:
    return (nbgrad.stack([nbgrad.sin(w * (i + 1.0)) for i in range(30)]) ** 2).sum()


COMPILED = {
    "stencil on 20,000 elements, 5 steps": (written_stencil, functional_stencil, 20_000),
    "30 rows of 1000, one by one": (written_rows, functional_rows, 1000),
}


def main() -> None:
    import torch

    arguments = argparse.ArgumentParser(prog="python -m benchmarks.writing", description=__doc__)
    arguments.add_argument("--quick", action="store_true", help="a few rounds, and nothing is written")
    options = arguments.parse_args()
    rounds = 5 if options.quick else 25
    load = os.getloadavg()[0]
    torch.set_num_threads(1)
    rows: list[dict[str, Any]] = []
    for name, (make, sizes) in measure.progress(CASES.items(), "writing in place"):
        gc.collect()
        with one_thread():
            found = measure.interleaved({"nbgrad": make(nbgrad, *sizes), "torch": make(torch, *sizes)}, rounds)
        rows.append({"what": name, "against": "torch", **medians(found)})
    for name, (written, functional, size) in measure.progress(COMPILED.items(), "compiled"):
        x = np.linspace(0.5, 1.5, size)
        one, other = (nbgrad.jit(nbgrad.value_and_grad(f)) for f in (written, functional))
        for ours, theirs in zip(one(x), other(x), strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-10)
        found = measure.interleaved({"nbgrad": lambda: one(x), "functions": lambda: other(x)}, rounds)  # noqa: B023
        rows.append({"what": f"compiled: {name}", "against": "functions", **medians(found)})
    text = table(rows)
    print(text)
    if not options.quick:
        date = datetime.date.today().isoformat()
        kept = {"date": date, "processor": processor(), "load": load, "rows": rows}
        JSON.write_text(json.dumps(kept, indent=1) + "\n")
        DOCS.write_text(HEAD.format(rounds=rounds, processor=processor(), date=date, load=load) + text + "\n")


@contextmanager
def one_thread() -> Iterator[None]:
    count = nbgrad.get_num_threads()
    nbgrad.set_num_threads(1)
    try:
        yield
    finally:
        nbgrad.set_num_threads(count)


def medians(found: dict[str, list[float]]) -> dict[str, float]:
    ours, theirs = map(statistics.median, found.values())
    return {"ours": ours, "theirs": theirs, "ratio": ours / theirs}


def table(rows: list[dict[str, Any]]) -> str:
    lines = ["| what | nbgrad | against | ratio |", "|---|---|---|---|"]
    for row in rows:
        lines.append(
            f"| {row['what']} | {row['ours'] * 1e6:,.0f} µs | {row['against']} {row['theirs'] * 1e6:,.0f} µs "
            f"| {row['ratio']:.2f} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
