"""Steps of training beside torch eager, torch.compile and JAX jit: value, gradients and the optimiser's step, float32.

python -m benchmarks.training                    measure, and write the tables of docs/training.md and README.md
python -m benchmarks.training --only lstm,Adam   some of them; nothing is written

All begin with the same weights, and the losses of three steps are compared before anything is timed. Libraries take
turns, at as many threads each (--threads); times are medians, ratios the medians of the ratios within a round. The
floor is the products of matrices at the measured peak, or of the optimisers alone what they read and write at the speed
of a copy.
"""

from __future__ import annotations

import argparse
import datetime
import os
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from . import measure
from .report import BUSY, README, processor
from .tables import replace_section
from .training_cases import CASES, Case, jax_step

DOCS = Path(__file__).parent.parent / "docs" / "training.md"
MARKERS = "<!-- training:begin -->", "<!-- training:end -->"
Steps = dict[str, Callable[[], Any]]
#: Those beside which a step stands, by the columns' names.
PEERS = ("torch", "torch.compile", "JAX")


def trained(library: Any, case: Case, start: dict[str, np.ndarray], arrays: Any, compiled: bool = False) -> Any:
    """Give a step of nbgrad's or torch's, from given weights; compiled as each does it."""
    model = case.model(library)
    model.load_state_dict({name: library.tensor(value) for name, value in start.items()})
    optimizer = case.optimizer(library, model.parameters())
    x, y = [library.tensor(a) for a in arrays]

    def loss_of(x: Any, y: Any) -> Any:
        return case.loss(library, model(x), y)

    if compiled and library.__name__ == "torch":
        loss_of = library.compile(loss_of, dynamic=False)
        optimizer.step = library.compile(optimizer.step)

    def step(x: Any, y: Any) -> Any:
        optimizer.zero_grad()
        loss = loss_of(x, y)
        loss.backward()
        optimizer.step()
        return loss

    if compiled and library.__name__ == "nbgrad":
        step = library.jit(step)
    return lambda: float(step(x, y).detach().numpy())


def trained_by_jax(jax: Any, case: Case, start: dict[str, np.ndarray], arrays: Any) -> Callable[[], float]:
    """Give a step of JAX's, from given weights."""
    step, (x, y) = jax_step(jax, case), [jax.numpy.asarray(a) for a in arrays]
    p = {name: jax.numpy.array(value) for name, value in start.items()}
    state: list[Any] = [p, *({name: jax.numpy.zeros_like(v) for name, v in p.items()} for _ in range(2))]
    count = [0]

    def once() -> float:
        count[0] += 1
        loss, *state[:] = step(*state, float(count[0]), x, y)
        jax.block_until_ready(state)
        return float(loss)

    return once


def steps(case: Case, compiled: bool = True) -> Steps:
    """Give the steps of all libraries, the losses of whose first three were compared."""
    import jax
    import torch

    import nbgrad

    nbgrad.set_default_dtype("float32")
    torch.manual_seed(0)
    start = {name: value.numpy() for name, value in case.model(torch).state_dict().items()}
    start = {name: value.copy() for name, value in start.items()}
    arrays = case.data(np.random.default_rng(0))
    made: Steps = {
        "eager": trained(nbgrad, case, start, arrays),
        "jit": trained(nbgrad, case, start, arrays, True),
        "torch": trained(torch, case, start, arrays),
        "JAX": trained_by_jax(jax, case, start, arrays),
    }
    if compiled:
        made["torch.compile"] = trained(torch, case, start, arrays, True)
    losses = {name: [step() for _ in range(3)] for name, step in made.items()}
    for name, found in losses.items():
        np.testing.assert_allclose(found, losses["torch"], rtol=1e-4, err_msg=f"{case.title}: losses of {name}")
    return made


def alone(count: int, size: int) -> Steps:
    """Give steps of Adam without a model, on so many parameters, after one that was compared."""
    import torch

    import nbgrad

    random = np.random.default_rng(0)
    values, slopes = ([random.normal(size=size).astype(np.float32) for _ in range(count)] for _ in range(2))
    made: Steps = {}
    ends = []
    for name, library in (("eager", nbgrad), ("torch", torch)):
        parameters = [library.tensor(v.copy(), requires_grad=True) for v in values]
        for p, g in zip(parameters, slopes, strict=True):
            p.grad = library.tensor(g)
        made[name] = library.optim.Adam(parameters).step
        made[name]()
        ends.append(parameters[-1].detach().numpy())
    np.testing.assert_allclose(*ends, rtol=1e-5, atol=1e-6)
    return made


def line(title: str, made: Steps, limits: dict[tuple[str, str], float], floor: float, rounds: int) -> list[str]:
    """Measure, and give the lines of a table: one for the eager step, one for the compiled one."""
    samples = measure.interleaved(made, rounds)
    times = {name: float(np.median(found)) for name, found in samples.items()}
    lines = []
    for way in ("eager", "jit"):
        if way not in made:
            continue
        cells = [title, way, written(times[way]), written(floor)]
        for peer in PEERS:
            if peer not in made:
                cells += ["", ""]
                continue
            ratio, limit = measure.ratios(samples, way, peer)["median"], limits.get((way, peer))
            mark = "**" if limit is not None and ratio > limit else ""
            promised = "" if limit is None else f" ({limit})"
            cells += [written(times[peer]), f"{mark}{ratio:.2g}{mark}{promised}"]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def written(seconds: float) -> str:
    return f"{seconds * 1e3:.3g} ms" if seconds >= 1e-3 else f"{seconds * 1e6:.3g} µs"


HEAD = [
    "| value + gradients + step | nbgrad | time | floor | torch | ratio | torch.compile | ratio | JAX jit | ratio |",
    "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.training", description=__doc__)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--only", default="", help="parts of titles, with commas between; nothing is written")
    parser.add_argument("--without-compile", action="store_true", help="leave out torch.compile, which takes a minute")
    options = parser.parse_args()
    wanted = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "NBGRAD_NUM_THREADS"), str(options.threads))
    if options.threads == 1:
        wanted["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
    if any(os.environ.get(name) != value for name, value in wanted.items()):  # read when the libraries are loaded
        command = [sys.executable, "-m", "benchmarks.training", *sys.argv[1:]]
        os.execve(sys.executable, command, os.environ | wanted)
    import torch

    load = os.getloadavg()[0]
    torch.set_num_threads(options.threads)
    peak = measure.matmul_peak("float32") / 2
    lines = [
        f"In {options.threads} thread{'s' * (options.threads > 1)}, in turns: medians of {options.rounds} rounds, and "
        f"of the ratios within these; limits in brackets, bold where missed. `python -m benchmarks.training` on "
        f"{processor()}, {datetime.date.today().isoformat()}; the load was {load:.1f} before the run"
        f"{', others being at work' if load > BUSY else ''}. Peak of matrix products: {2 * peak / 1e9:.0f} GFLOP/s.",
        "",
        *HEAD,
    ]
    print(*lines, sep="\n", flush=True)

    def add(title: str, make: Callable[[], Steps], limits: dict[tuple[str, str], float], floor: float) -> None:
        if any(part in title for part in options.only.split(",")):
            lines.extend(line(title, make(), limits, floor, options.rounds))
            print(*lines[-2:] if "jit" in lines[-1] else lines[-1:], sep="\n", flush=True)

    for case in CASES:
        add(case.title, partial(steps, case, not options.without_compile), case.limits, case.products / peak)
    for count, size, limit in ((50, 10_000, 0.2), (2, 10_000_000, 0.8)):
        floor = 7 * 4 * count * size / measure.copy_rate(7 * 4 * count * size)
        title = f"Adam alone, {count} tensors of {size:.0e}".replace("e+0", "e")
        add(title, partial(alone, count, size), {("eager", "torch"): limit}, floor)
    if not options.only and not options.without_compile:
        for page in (DOCS, README):
            text = replace_section(page.read_text(), "\n".join(lines), *MARKERS)
            page.write_text(text)


if __name__ == "__main__":
    main()
