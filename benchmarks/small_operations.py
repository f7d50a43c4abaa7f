"""Compare every operation on small arrays with torch eager, JAX without jit, autograd and bare NumPy, in one thread.

python -m benchmarks.small_operations                   measure; writes docs/small_operations.md, .png
python -m benchmarks.small_operations --everything --readme    that and large arrays, and the README's section
python -m benchmarks.small_operations --only mul,sum    only these operations, the others stay as they were measured
python -m benchmarks.small_operations --large           arrays of 64 x 64 and 1000 x 1000, against torch, all threads
python -m benchmarks.small_operations --quick           three short rounds: good enough to look at while working
python -m benchmarks.small_operations --redraw          measure nothing: write everything again from its .json
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import gc
import importlib.metadata
import itertools
import json
import math
import os
import platform
import sys
import time
import warnings
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from . import measure
from .report import BUSY, README, processor
from .small_calls import UNDETERMINED
from .small_cases import LIBRARIES, Row, large, namespace, small
from .small_misses import costs, counted
from .small_tables import (
    BACKWARD,
    BARE,
    FORWARD,
    LARGE_SIZES,
    document,
    draw,
    large_table,
    summary,
    table,
)
from .tables import replace_section

Results = dict[str, Any]
Step = Callable[[], Any]
Clock = Callable[[], float]

DIRECTORY = Path(__file__).parent
DOCS = DIRECTORY.parent / "docs"
#: Seconds that a sample takes on small arrays: a thousand calls or so.
SAMPLE = 0.0015

# ---- steps ----------------------------------------------------------------------------------------------------------


def _differentiable(y: Any) -> list[Any]:
    """Give the outputs that may have gradients: all of split, the values of (values, indices)."""
    return [x for x in (y if isinstance(y, tuple | list) else (y,)) if "float" in str(getattr(x, "dtype", ""))]


def _loss(function: Callable[..., Any], y: Any) -> Callable[..., Any]:
    """Give a function of the inputs that ends in one number, for one that gave y: sums where there are several."""
    if isinstance(y, tuple | list):

        def total(*xs: Any) -> Any:
            first, *rest = [part.sum() for part in _differentiable(function(*xs))]
            for part in rest:
                first = first + part
            return first

        return total
    return (lambda *xs: function(*xs).sum()) if np.ndim(y) else function


def _eager(library: str, row: Row, function: Callable[..., Any], modes: Collection[str]) -> dict[str, Step]:
    """Give the steps of nbgrad and torch, which are the same program, as far as they are among the modes."""
    import torch

    import nbgrad

    make = nbgrad.tensor if library == "nbgrad" else torch.tensor
    inputs = [make(x, requires_grad=True) if x.dtype.kind == "f" else make(x) for x in row.arrays]

    names = [f"x{i}" for i in range(len(inputs))]
    known = dict(zip(names, inputs, strict=True)) | {"function": function}
    call = f"function({', '.join(names)})"
    forward = _written(f"    return {call}", known)
    y = forward()
    steps = {FORWARD: forward, BARE: forward}
    if BACKWARD in modes and any(x.requires_grad for x in _differentiable(y)):
        forget = [f"    x{i}.grad = None" for i, array in enumerate(row.arrays) if array.dtype.kind == "f"]
        if isinstance(y, tuple | list):
            known["function"] = _loss(function, y)
        elif y.ndim:
            call += ".sum()"
        gradients = ", ".join(line.strip().split(" ")[0] for line in forget)
        lines = [*forget, f"    y = {call}", "    y.backward()", f"    return y, {gradients}"]
        steps[BACKWARD] = _written("\n".join(lines), known)
    return steps


def _written(body: str, known: dict[str, Any]) -> Step:
    """Write a function without arguments whose calls cost nothing but what they do."""
    known = dict(known)
    exec(f"def step():\n{body}\n", known)
    return known["step"]


def _functional(library: str, row: Row, function: Callable[..., Any], modes: Collection[str]) -> dict[str, Step]:
    """Give the steps of libraries that turn functions into their gradients, and of NumPy, which has none."""
    arrays = row.arrays
    if library == "jax":
        import jax

        arrays = [jax.numpy.asarray(x) for x in arrays]
        wait = jax.block_until_ready
        value_and_grad = jax.value_and_grad
        steps = {BARE: lambda: wait(function(*arrays))}
    else:
        steps = {BARE: lambda: function(*arrays)}
        if library == "numpy":
            return steps
        import autograd

        value_and_grad = autograd.value_and_grad
    y = steps[BARE]()
    if BACKWARD not in modes or not _differentiable(y):
        return steps
    leaves = tuple(i for i, x in enumerate(row.arrays) if x.dtype.kind == "f")
    both = value_and_grad(_loss(function, y), leaves)

    def backward() -> Any:
        value, gradients = both(*arrays)
        return value, *gradients

    steps[BACKWARD] = (lambda: wait(backward())) if library == "jax" else backward
    return steps


def _arrays(y: Any) -> list[Any]:
    ys = y if isinstance(y, tuple | list) else [y]
    return [None if x is None else np.asarray(x.detach().numpy() if hasattr(x, "detach") else x) for x in ys]


def _compare(found: list[Any], expected: list[Any], what: str) -> None:
    assert len(found) == len(expected), f"{what}: {len(found)} results, not {len(expected)}"
    for number, (x, y) in enumerate(zip(found, expected, strict=True)):
        x, y = (np.zeros(()) if z is None else z for z in (x, y))  # flat everywhere: no gradient, or zeros
        x, y = np.broadcast_arrays(x, y) if not x.ndim or not y.ndim else (x, y)
        tolerance = 1e-7 if y.dtype.itemsize == 8 else 2e-3
        scale = np.abs(y).max(initial=1) if y.dtype.kind == "f" else 1
        if not number and not y.ndim and len(found) > 1:  # a sum, whose terms may cancel each other
            scale = max(scale, math.sqrt(max((z.size for z in expected[1:] if z is not None), default=1)))
        np.testing.assert_allclose(x, y, tolerance, tolerance * scale, err_msg=f"{what}, result {number}")


def _compare_forms(found: list[Any], expected: list[Any], what: str) -> None:
    forms = [[(x.shape, x.dtype.kind) for x in arrays] for arrays in (found, expected)]
    assert forms[0] == forms[1], f"{what}: {forms[0]}, not {forms[1]}"


def steps_of(row: Row, libraries: Iterable[str]) -> tuple[dict[tuple[str, str], Step], dict[str, str]]:
    """Give the steps by library and mode, their results compared with nbgrad's, and why a library has none.

    Raises AssertionError where nbgrad and torch differ.
    """
    steps: dict[tuple[str, str], Step] = {}
    left_out: dict[str, str] = {}
    expected: dict[str, list[Any]] = {}
    modes: Collection[str] = (FORWARD, BARE, BACKWARD)
    for library in libraries:
        try:
            function = row.find(library)
            make = _eager if library in ("nbgrad", "torch") else _functional
            made = make(library, row, function, modes)
            results = {mode: _arrays(step()) for mode, step in made.items()}
            for mode in set(results) & set(expected):
                what = f"{row.title}, {library}, {mode}"
                if {row.name, row.family} & UNDETERMINED:
                    _compare_forms(results[mode], expected[mode], what)
                else:
                    _compare(results[mode], expected[mode], what)
        except Exception as error:
            said = str(error).strip().splitlines() or [""]
            if library == "nbgrad" or (library == "torch" and isinstance(error, AssertionError)):
                raise
            left_out[library] = f"{type(error).__name__}: {' '.join(said)}"[:200]
            continue
        if library == "nbgrad":  # whose modes are everybody's: torch has graphs that cannot be walked
            expected, modes = results, made.keys()
        steps |= {(library, mode): step for mode, step in made.items()}
    return steps, left_out


# ---- measuring ------------------------------------------------------------------------------------------------------


def _canary() -> int:
    """Do some work that is always the same."""
    total = 0
    for i in range(2000):
        total += i & 7
    return total


def _without_graph(library: str) -> Any:
    if library in ("nbgrad", "torch"):
        import torch

        import nbgrad

        return nbgrad.no_grad() if library == "nbgrad" else torch.no_grad()
    return contextlib.nullcontext()


def time_of(step: Step, calls: int, clock: Clock) -> float:
    """Give the seconds that one call takes, as the mean of `calls` in a row."""
    repeat = itertools.repeat(None, calls)
    start = clock()
    for _ in repeat:
        step()
    return (clock() - start) / calls


def interleaved(
    steps: dict[tuple[str, str], Step], rounds: int, sample: float, pause: float, clock: Clock
) -> dict[Any, list[float]]:
    """Give the seconds a call of each step, once a round, and those of the canary; the steps take turns."""
    calls = {}
    for key, step in steps.items():
        step()
        step()
        once = max(time_of(step, 1, clock), 1e-7)
        calls[key] = max(1, round(sample / time_of(step, max(1, round(sample / 4 / once)), clock)))
    samples: dict[Any, list[float]] = {key: [] for key in (*steps, "canary")}
    keys = list(steps)
    for number in range(rounds if keys else 1):
        first = number % max(1, len(keys))
        samples["canary"].append(time_of(_canary, 1, clock))
        for key in keys[first:] + keys[:first]:
            if pause:
                time.sleep(pause)
            with _without_graph(key[0]) if key[1] == BARE else contextlib.nullcontext():
                steps[key]()
                samples[key].append(time_of(steps[key], calls[key], clock))
    return samples


def lower_quartile(values: list[float]) -> float:
    """Give the lower quartile: what a call takes where the machine does little else."""
    return measure.quartiles(values)["low"]


def measured(
    row: Row, rounds: int, sample: float, pause: float, clock: Clock, libraries: Iterable[str], modes: set[str]
) -> Results:
    """Give what is known of a row: lower quartiles of seconds by mode and library."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # autograd's, of NumPy's names
        steps, left_out = steps_of(row, libraries)
        python = counted(steps["nbgrad", FORWARD])
        samples = interleaved({key: s for key, s in steps.items() if key[1] in modes}, rounds, sample, pause, clock)
    seconds: dict[str, dict[str, float]] = {}
    for key, times in samples.items():
        if key != "canary":
            seconds.setdefault(key[1], {})[key[0]] = float(f"{lower_quartile(times):.4g}")
    return {
        "name": row.name,
        "title": row.title,
        "family": row.family,
        "bytes": sum(x.nbytes * (2 if x.dtype.kind == "f" else 1) for x in row.arrays),
        "seconds": seconds,
        "python": python,
        "canary": [float(f"{t:.4g}") for t in samples["canary"]],
        "left_out": left_out,
    }


@contextlib.contextmanager
def threads(count: int) -> Any:
    """Have nbgrad and torch compute with so many threads."""
    import torch

    import nbgrad

    before = nbgrad.get_num_threads(), torch.get_num_threads()
    nbgrad.set_num_threads(count)
    torch.set_num_threads(count)
    try:
        yield
    finally:
        nbgrad.set_num_threads(before[0])
        torch.set_num_threads(before[1])


def circumstances() -> Results:
    """Give when, where and with what is measured."""
    import nbgrad

    load = os.getloadavg()[0]
    if load > BUSY:
        print(f"the load is {load:.2f}: times will be too long", file=sys.stderr)
    packages = ("numpy", "numba", "torch", "jax", "autograd")
    return {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "cpu": processor(),
        "cores": os.cpu_count(),
        "load": load,
        "versions": {
            "Python": platform.python_version(),
            "nbgrad": nbgrad.__version__,
            **{package: importlib.metadata.version(package) for package in packages},
        },
    }


def run(results: Results, names: set[str], rounds: int, sizes: Iterable[int], without: set[str]) -> list[str]:
    """Measure what is asked for, in place of what `results` had of the same rows; give where libraries disagree."""
    failures: list[str] = []
    for library in LIBRARIES:
        namespace(library)  # imports it
    gc.collect()
    gc.freeze()  # what libraries made when they were imported is looked through by no collection
    plan: list[tuple[str, list[Row], int]] = []
    if not sizes:
        plan.append(("small", small(), 1))
    for size in sizes:
        plan.append((f"large {size}", large(size), os.cpu_count() or 1))
    for part, rows, count in plan:
        chosen = [row for row in rows if not names or names & {row.name, row.title}]
        found = [row for row in results.get(part, []) if names and row["title"] not in {r.title for r in chosen}]
        small_ones = part == "small"
        libraries = [library for library in (LIBRARIES if small_ones else LIBRARIES[:2]) if library not in without]
        modes = {FORWARD, BARE, BACKWARD} if small_ones else {BACKWARD}
        sample, pause, clock = (SAMPLE, 0, time.process_time) if small_ones else (0.005, 0.01, time.perf_counter)
        with threads(count):
            for row in measure.progress(chosen, part):
                try:
                    found.append(measured(row, rounds, sample, pause, clock, libraries, modes))
                except AssertionError as error:  # the others are worth their time
                    failures.append(f"{part}: {error}")
        results[part] = [row for row in found if row["seconds"]]
    return failures


# ---- the command ----------------------------------------------------------------------------------------------------


def dumped(results: Results) -> str:
    """Write results as JSON, a row a line."""
    lines = []
    for key, value in results.items():
        if isinstance(value, list):
            rows = ",\n  ".join(json.dumps(row) for row in value)
            lines.append(f" {json.dumps(key)}: [\n  {rows}\n ]")
        else:
            lines.append(f" {json.dumps(key)}: {json.dumps(value)}")
    return "{\n" + ",\n".join(lines) + "\n}\n"


def main(arguments: list[str] | None = None) -> None:
    """Run the command; see the top of this file."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.small_operations", description=__doc__.splitlines()[0])
    parser.add_argument(
        "--only", default="", metavar="NAMES", help="which operations, or titles of rows, by semicolons"
    )
    parser.add_argument("--without", default="", metavar="LIBRARIES", help="libraries to leave out, by commas")
    parser.add_argument("--large", action="store_true", help="large arrays, against torch")
    parser.add_argument("--everything", action="store_true", help="small arrays, then large ones")
    parser.add_argument("--rounds", type=int, help="turns of each step (default: 9, of large arrays 11)")
    parser.add_argument("--quick", action="store_true", help="few rounds, and what was found is printed, not written")
    parser.add_argument("--redraw", action="store_true", help="measure nothing, read small_operations.json")
    parser.add_argument("--readme", action="store_true", help="also replace the section in README.md")
    parser.add_argument("--directory", type=Path, help="where all results go (default: docs/, data in benchmarks/)")
    options = parser.parse_args(arguments)
    names = {name.strip() for name in options.only.split(";" if ";" in options.only else ",") if name.strip()}
    without = set(filter(None, options.without.split(",")))
    if without - set(LIBRARIES[2:]):
        parser.error(f"only {', '.join(LIBRARIES[2:])} can be left out")
    parts: list[Iterable[int]] = [()] if not options.large or options.everything else []
    if options.large or options.everything:
        parts.append(LARGE_SIZES)
    known = {text for row in [*small(), *large(LARGE_SIZES[0])] for text in (row.name, row.title)}
    if names - known:
        parser.error(f"no such operation: {', '.join(sorted(names - known))}")

    data = (options.directory or DIRECTORY) / "small_operations.json"
    results: Results = json.loads(data.read_text()) if data.exists() else {}
    if options.quick:
        results = {}
    failures: list[str] = []
    if not options.redraw:
        results["circumstances"] = circumstances() | {"python": costs()}
        for sizes in parts:
            rounds = options.rounds or (3 if options.quick else 11 if sizes else 9)
            failures += run(results, names, rounds, sizes, without)
            if sizes:
                results["copy_rate"] = {str(size): measure.copy_rate(8 * size * size) for size in sizes}
    if options.quick or names:
        for part in (part for part in results if part == "small" or part.startswith("large")):
            chosen = [row for row in results[part] if not names or names & {row["name"], row["title"]}]
            large_ones = part != "small"
            print(part, large_table(chosen, results["copy_rate"][part.split()[1]]) if large_ones else table(chosen), "")
    if options.quick:
        print(summary(results) if results.get("small") and not names else "")
        return
    where = options.directory or DOCS
    where.mkdir(parents=True, exist_ok=True)
    data.write_text(dumped(results))
    (where / "small_operations.md").write_text(document(results))
    if results.get("small"):
        draw(results, where / "small_operations.png")
        print(summary(results))
    if options.readme:
        section = f"{summary(results)}\n\n![time relative to torch](docs/small_operations.png)"
        README.write_text(replace_section(README.read_text(), section, "<!-- small:begin -->", "<!-- small:end -->"))
    if failures:
        sys.exit("\n".join(["torch disagrees, and these rows are missing:", *failures]))


if __name__ == "__main__":
    main()
