"""Compare `nbgrad.jit` with JAX, torch, torch.compile and loops written by hand, with two threads each.

python -m benchmarks.jit                       measure; writes jit.md, jit.json and jit.png in benchmarks/
python -m benchmarks.jit --only gelu,mlp-1     only these, the others stay as they were measured
python -m benchmarks.jit --redraw              measure nothing: write everything again from jit.json
"""

from __future__ import annotations

import argparse
import datetime
import importlib.metadata
import json
import os
import platform
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from . import jit_by_hand, measure, startup
from .jit_workloads import (
    BY_HAND_LIMIT,
    LABELS,
    LARGE,
    LIBRARIES,
    Case,
    cases,
    compared,
    jitted_by_nbgrad,
    reference,
    taking_part,
)
from .plot import STYLES, Row, chart
from .report import BUSY, README, processor
from .tables import _table, duration, ratio, replace_section, verdict

Results = dict[str, Any]
Array = np.ndarray

DIRECTORY = Path(__file__).parent
THREADS = 2
#: What all libraries read before they make their threads.
ENVIRONMENT = {f"{name}_NUM_THREADS": str(THREADS) for name in ("OMP", "OPENBLAS", "MKL", "NBGRAD")}
_PAGE = 4096


@contextmanager
def two_threads() -> Iterator[None]:
    """Have nbgrad and torch compute with two threads."""
    import torch

    import nbgrad

    threads = nbgrad.get_num_threads(), torch.get_num_threads()
    nbgrad.set_num_threads(THREADS)
    torch.set_num_threads(THREADS)
    try:
        yield
    finally:
        nbgrad.set_num_threads(threads[0])
        torch.set_num_threads(threads[1])


# ---- speed ----------------------------------------------------------------------------------------------------------


def why_not_compiled() -> str | None:
    """Say what `torch.compile` lacks here; None if nothing is known to be missing."""
    compilers = [os.environ.get("CXX", "g++"), "g++", "clang++"]
    return None if any(map(shutil.which, compilers)) else "torch.compile needs a C++ compiler, and there is none"


def checked_steps(
    case: Case, arrays: tuple[Array, ...], without: set[str]
) -> tuple[dict[str, Callable[[], Any]], dict[str, str]]:
    """Give the steps of all libraries, their results compared, and why one has none.

    Raises AssertionError where a library's results differ.
    """
    expected = reference(case, arrays)
    steps: dict[str, Callable[[], Any]] = {}
    skipped: dict[str, str] = {}
    for library in taking_part(case):
        if library in without:
            skipped[library] = "left out"
            continue
        if library != "torch.compile":
            steps[library] = LIBRARIES[library](case, arrays)
        else:
            reason = why_not_compiled()
            if reason is None:
                try:
                    steps[library] = LIBRARIES[library](case, arrays)
                except Exception as error:  # whatever its compilers have to say
                    reason = f"{type(error).__name__}: {str(error).strip().splitlines()[0]}"
            if reason is not None:
                skipped[library] = reason
                continue
        compared(case, library, steps[library], arrays, expected)
    return steps, skipped


def speed(case: Case, rounds: int, without: set[str]) -> Results:
    """Give times, ratios, the share of the memory's speed, and where nbgrad's time goes."""
    arrays = case.make()
    steps, skipped = checked_steps(case, arrays, without)
    moved = sum(x.nbytes for x in (*arrays, *arrays[: case.parameters])) + arrays[0].itemsize
    large = case.size >= LARGE
    samples = measure.interleaved(steps | ({"copy": jit_by_hand.copy(moved)} if large else {}), rounds)
    peers = [library for library in steps if library != "nbgrad"]
    return {
        "title": case.title,
        "limit": case.limit,
        "seconds": {name: measure.quartiles(times) for name, times in samples.items()},
        "nbgrad_over": {library: measure.ratios(samples, "nbgrad", library) for library in peers},
        "over_jax": {library: measure.ratios(samples, library, "jax") for library in steps if "jax" in steps},
        "skipped": skipped,
        "bytes": moved,
        "bandwidth_share": measure.ratios(samples, "copy", "nbgrad") if large else None,
        "profile": profile(case, arrays, steps["nbgrad"]),
    }


def best_of(step: Callable[[], Any], most: int = 50) -> float:
    """Give the seconds of the fastest of several calls, of few where they are long."""
    step()
    first = measure.time_of(step, 1)
    calls = max(1, round(1e-3 / first))
    return min(measure.time_of(step, calls) for _ in range(max(5, min(most, round(0.5 / first)))))


def profile(case: Case, arrays: tuple[Array, ...], step: Callable[[], Any]) -> Results:
    """Give the seconds, at best, of a call, of its loops and products, of new memory, and of a call with one thread."""
    import nbgrad

    text = jitted_by_nbgrad(case).explain(*arrays)
    whole = best_of(step)
    nbgrad.set_num_threads(1)
    try:
        alone = best_of(step)
    finally:
        nbgrad.set_num_threads(THREADS)

    def allocate() -> None:
        """Take memory for the gradients and touch each page once."""
        made = [np.empty_like(x) for x in arrays[: case.parameters]]
        for x in made:
            x.reshape(-1).view(np.uint8)[::_PAGE] = 0

    return {
        "call": whole,
        "steps": sum(1e-6 * float(found) for found in re.findall(r" bytes in ([\d.]+) us", text)),
        "one_thread": alone,
        "new_memory": best_of(allocate),
        "explain": text,
    }


# ---- first calls ----------------------------------------------------------------------------------------------------

_CLOCK = """
import time
start = time.perf_counter()
result = function({arguments})
print(time.perf_counter() - start, float(result{value}))
"""
_MLP = """
import numpy as np, nbgrad
from nbgrad.nn.functional import cross_entropy
random = np.random.default_rng(0)
shapes = (784, 256), (256,), (256, 10), (10,), (128, 784)
arrays = [(random.standard_normal(shape) * shape[0] ** -0.5).astype("float32") for shape in shapes]
labels = random.integers(0, 10, 128)
def mlp(w1, b1, w2, b2, x, labels):
    return cross_entropy(nbgrad.relu(x @ w1 + b1) @ w2 + b2, labels)
function = nbgrad.jit(nbgrad.value_and_grad(mlp, (0, 1, 2, 3)))
""" + _CLOCK.format(arguments="*arrays, labels", value="[0]")
_SCALARS = """
import numpy as np, nbgrad
def long(x):
    y = x
    for i in range(5000):
        y = y * x + i % 7 * 0.1
    return y
"""
_SCALAR_VALUE = _SCALARS + "function = nbgrad.jit(long)\n" + _CLOCK.format(arguments="np.array(0.3)", value="")
_SCALAR_GRADIENT = (
    _SCALARS
    + "function = nbgrad.jit(nbgrad.value_and_grad(long))\n"
    + _CLOCK.format(arguments="np.array(0.3)", value="[1]")
)
#: First calls by name: what it is, the program, whether a process before has filled the cache, the limit in seconds.
FIRST_CALLS: dict[str, tuple[str, str, bool, float | None]] = {
    "first-mlp-empty": ("MLP step, batch 128, empty cache", _MLP, False, 5),
    "first-mlp-warm": ("MLP step, batch 128, warm cache", _MLP, True, 1),
    "first-10000": ("10,000 scalar operations in a row, empty cache", _SCALAR_VALUE, False, 20),
    "first-10000-gradient": ("the same with its gradient, empty cache", _SCALAR_GRADIENT, False, None),
}


def first_call(name: str, rounds: int) -> Results:
    """Give the seconds of a first call in processes of their own, and those of the processes; or what went wrong."""
    title, program, warm, limit = FIRST_CALLS[name]
    calls, processes = [], []
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as directory:
            try:
                if warm:
                    startup.run(program, directory)
                whole, (call, _) = startup.run(program, directory)
            except RuntimeError as error:
                said = str(error).strip().splitlines()
                return {"title": title, "limit": limit, "failed": said[-1] if said else "the process crashed"}
        calls.append(call)
        processes.append(whole)
    return {"title": title, "limit": limit, "call": measure.quartiles(calls), "process": measure.quartiles(processes)}


# ---- the document ---------------------------------------------------------------------------------------------------

INTRODUCTION = """\
# nbgrad.jit and its peers

The same functions compiled by `nbgrad.jit`, by `jax.jit` and by `torch.compile`, run by torch eagerly, and, where they
are elementwise, written out by hand: values and gradients. Made by `python -m benchmarks.jit`; do not edit."""

METHOD = """\
Every library has {threads} threads. nbgrad gets NumPy arrays and gives new ones; JAX and torch have their arrays
already. All are compiled before they are timed, and their results compared with what torch computes in float64. The
libraries take turns in one process, {rounds} rounds of about {sample:.0f} ms each; times are medians, and ratios are
medians of the ratios within a round, with quartiles. "Numba by hand" is one pass over the data with the derivative
worked out on paper, in two threads from {shared:,} elements on, calling nbgrad's elementary functions; promised is at
most {by_hand} times its time. "Memory" is the time of copying as many bytes as the function must read and write (inputs
once, gradients once), in two threads into memory that exists, over nbgrad's time."""

PROFILE = """\
Where the time goes, at best of many calls: loops and products are the steps that `explain` lists; the rest is Python
between them, and taking memory for results, the cost of which alone is what gradients of this size take to be had from
NumPy and touched once a page."""


def table(results: Results) -> str:
    """Give the table of all workloads."""
    head = ["value + gradients", *LABELS.values(), "nbgrad / JAX", "limit", "verdict"]
    head += ["nbgrad / by hand", f"verdict ({BY_HAND_LIMIT:g})", "memory"]
    rows = []
    for name in _order(results["cases"], [case.name for case in cases()]):
        found = results["cases"][name]
        medians = {library: found["seconds"][library]["median"] for library in LABELS if library in found["seconds"]}
        best = min(medians.values())
        texts = {library: duration(seconds) for library, seconds in medians.items()}
        over = found["nbgrad_over"]
        jax, by_hand, share = over.get("jax"), over.get("by-hand"), found["bandwidth_share"]
        rows.append(
            [
                found["title"],
                *(f"**{text}**" if medians.get(x) == best else text for x in LABELS for text in [texts.get(x, "")]),
                ratio(jax) if jax else "",
                f"{found['limit']:g}",
                verdict(jax["median"] if jax else None, found["limit"]),
                ratio(by_hand) if by_hand else "",
                verdict(by_hand["median"], BY_HAND_LIMIT) if by_hand else "",
                f"{share['median']:.0%}" if share else "",
            ]
        )
    return _table(head, rows)


def _order(found: dict[str, Any], names: list[str]) -> list[str]:
    return [name for name in names if name in found]


def first_calls(results: Results) -> str:
    """Give the table of first calls."""
    rows = []
    for name in _order(results["first_calls"], list(FIRST_CALLS)):
        found = results["first_calls"][name]
        if "failed" in found:
            rows.append([found["title"], f"**{found['failed']}**", "", "", ""])
            continue
        call, limit = found["call"]["median"], found["limit"]
        limited = [f"{limit:g} s", verdict(call, limit)] if limit else ["", ""]
        rows.append([found["title"], duration(call), *limited, duration(found["process"]["median"])])
    return _table(["first call of nbgrad.jit", "call", "limit", "verdict", "whole process"], rows)


def profiles(results: Results) -> str:
    """Give the table of where nbgrad's time goes."""
    rows = []
    for name in _order(results["cases"], [case.name for case in cases()]):
        found = results["cases"][name]["profile"]
        rest = max(found["call"] - found["steps"], 0)
        times = [found["call"], found["steps"], rest, found["new_memory"], found["one_thread"]]
        rows.append([results["cases"][name]["title"], *map(duration, times)])
    return _table(["nbgrad", "call", "loops and products", "the rest", "new memory alone", "call, one thread"], rows)


def missed(results: Results) -> dict[str, list[str]]:
    """Say which promises were not kept, by workload."""
    found: dict[str, list[str]] = {}
    for name, case in results["cases"].items():
        for library, limit in (("jax", case["limit"]), ("by-hand", BY_HAND_LIMIT)):
            over = case["nbgrad_over"].get(library)
            if over and over["median"] > limit:
                text = f"{case['title']}: {over['median']:.2f} times the time of {LABELS[library]}, promised {limit:g}"
                found.setdefault(name, []).append(text)
    for name, call in results["first_calls"].items():
        if "failed" in call:
            found.setdefault(name, []).append(f"first call, {call['title']}: {call['failed']}")
        elif call["limit"] and call["call"]["median"] > call["limit"]:
            text = f"first call, {call['title']}: {duration(call['call']['median'])}, promised {call['limit']:g} s"
            found.setdefault(name, []).append(text)
    return found


def misses(results: Results) -> str:
    """Name every promise that was not kept, with the steps of the workload."""
    parts = []
    for name, texts in missed(results).items():
        parts += [f"- {text}" for text in texts]
        if name in results["cases"]:
            parts += ["", "  ```text", *_indented(results["cases"][name]["profile"]["explain"]), "  ```", ""]
    return "\n".join(parts).strip() or "None: every promise was kept."


def _indented(text: str) -> list[str]:
    return [f"  {line}" for line in text.splitlines()]


def left_out(results: Results) -> str:
    """Say which library did not take part in what, and why."""
    reasons: dict[tuple[str, str], list[str]] = {}
    for name in _order(results["cases"], [case.name for case in cases()]):
        for library, reason in results["cases"][name]["skipped"].items():
            reasons.setdefault((library, reason), []).append(name)
    lines = [f"- {LABELS[library]}, in {', '.join(names)}: {reason}" for (library, reason), names in reasons.items()]
    return "\n".join(lines)


def document(results: Results) -> str:
    """Give the whole document."""
    where = results["machine"]
    packages = ", ".join(f"{name} {version}" for name, version in results["versions"].items())
    absent = left_out(results)
    parts = [
        INTRODUCTION,
        METHOD.format(
            threads=THREADS,
            rounds=results["rounds"],
            sample=measure.SAMPLE * 1e3,
            shared=jit_by_hand.SHARED,
            by_hand=BY_HAND_LIMIT,
        ),
        f"Measured on {results['date']}: {where['cpu']}, {where['cores']} cores, {where['memory_gb']:.0f} GB, "
        f"{where['system']}, load {where['load']:.2f} before the run; {packages}.",
        table(results) if results["cases"] else "",
        "![time of each library relative to JAX](jit.png)" if results["cases"] else "",
        "## First calls" if results["first_calls"] else "",
        first_calls(results) if results["first_calls"] else "",
        '"Call" is from calling the jitted function for the first time to its return: tracing, planning, compiling or '
        "loading, running. The process also starts Python and imports." * bool(results["first_calls"]),
        "## Promises not kept",
        misses(results),
        "## Where the time goes" if results["cases"] else "",
        PROFILE if results["cases"] else "",
        profiles(results) if results["cases"] else "",
        *(["## Left out", absent] if absent else []),
    ]
    return "\n\n".join(filter(None, parts)) + "\n"


MARKERS: dict[str, dict[str, Any]] = {
    **{library: STYLES[library] for library in ("nbgrad", "jax", "torch")},
    "torch.compile": {"color": "white", "edgecolor": "#3d405b", "linewidth": 1.6, "marker": "s", "s": 50, "zorder": 3},
    "by-hand": {"color": "#e09f3e", "marker": "^", "s": 60, "zorder": 4, "edgecolor": "white"},
}


def draw(results: Results, path: Path) -> None:
    """Draw each library's time relative to JAX's, a row a workload, with the limits."""
    rows = []
    for name in _order(results["cases"], [case.name for case in cases() if "jax" in LIBRARIES]):
        case = results["cases"][name]
        ratios = {library: over["median"] for library, over in case["over_jax"].items()}
        by_hand = BY_HAND_LIMIT * ratios["by-hand"] if "by-hand" in ratios else None
        rows.append(Row(case["title"], duration(case["seconds"]["nbgrad"]["median"]), ratios, [case["limit"]], by_hand))
    chart(
        path,
        rows,
        MARKERS,
        LABELS,
        MARKERS["jax"]["color"],
        "nbgrad.jit and its peers: value and gradients, two threads",
        f"{results['machine']['cpu']}, {results['date']}",
        "JAX jit",
        (f"{BY_HAND_LIMIT:g} times Numba by hand", MARKERS["by-hand"]["color"]),
    )


# ---- the command ----------------------------------------------------------------------------------------------------


def circumstances(rounds: int) -> Results:
    """Give when, where and with what is measured."""
    import nbgrad

    load = os.getloadavg()[0]
    if load > BUSY:
        print(f"the load is {load:.2f}: what uses several threads will look many times too slow", file=sys.stderr)
    packages = ("numpy", "numba", "torch", "jax")
    return {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "rounds": rounds,
        "threads": THREADS,
        "machine": {
            "cpu": processor(),
            "cores": os.cpu_count(),
            "memory_gb": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9,
            "system": f"{platform.system()} {platform.machine()}",
            "load": load,
        },
        "versions": {
            "Python": platform.python_version(),
            "nbgrad": nbgrad.__version__,
            **{name: importlib.metadata.version(name) for name in packages},
        },
    }


def main(arguments: list[str] | None = None) -> None:
    """Run the command; see the top of this file."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.jit", description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", metavar="NAMES", help="which workloads and first calls, by commas")
    parser.add_argument("--without", default="", metavar="LIBRARIES", help="libraries to leave out, by commas")
    parser.add_argument("--rounds", type=int, default=15, help="turns of each library (default: 15)")
    parser.add_argument("--quick", action="store_true", help="two rounds, to see that it works")
    parser.add_argument("--redraw", action="store_true", help="measure nothing, read jit.json")
    parser.add_argument("--readme", action="store_true", help="also replace the section about jit in README.md")
    parser.add_argument("--directory", type=Path, default=DIRECTORY, help="where results go (default: benchmarks/)")
    options = parser.parse_args(arguments)

    names, without = (set(filter(None, text.split(","))) for text in (options.only, options.without))
    known = [case.name for case in cases()] + list(FIRST_CALLS)
    for what, given, those in (("workload", names, known), ("library", without, [*LIBRARIES][1:])):
        if given - set(those):
            parser.error(f"no such {what}: {', '.join(sorted(given - set(those)))}; there are {', '.join(those)}")
    options.directory.mkdir(parents=True, exist_ok=True)
    data = options.directory / "jit.json"
    rounds = 2 if options.quick else options.rounds
    results: Results = {"cases": {}, "first_calls": {}}
    if data.exists() and (names or options.redraw):
        results = json.loads(data.read_text())
    if not options.redraw:
        results |= circumstances(rounds)
        # processes first, while this one is small and idle
        for name in measure.progress([name for name in FIRST_CALLS if not names or name in names], "first calls"):
            results["first_calls"][name] = first_call(name, 1 if options.quick else 3)
        with two_threads():
            chosen = [case for case in cases() if not names or case.name in names]
            for case in measure.progress(chosen, "workloads"):
                results["cases"][case.name] = speed(case, rounds, without)
                time.sleep(measure.PAUSE)
        data.write_text(json.dumps(results, indent=1) + "\n")
    (options.directory / "jit.md").write_text(document(results))
    if results["cases"]:
        draw(results, options.directory / "jit.png")
    if options.readme:
        section = f"{table(results)}\n\n![time of each relative to JAX](benchmarks/jit.png)"
        text = replace_section(README.read_text(), section, "<!-- jit:begin -->", "<!-- jit:end -->")
        README.write_text(text)
    print(misses(results))


if __name__ == "__main__":
    if any(os.environ.get(name) != value for name, value in ENVIRONMENT.items()):
        # libraries look at these when they are imported, and XLA only at the processors it may use
        if hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:THREADS])
        os.execve(sys.executable, [sys.executable, "-m", "benchmarks.jit", *sys.argv[1:]], os.environ | ENVIRONMENT)
    main()
