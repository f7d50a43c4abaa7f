"""Compare `nbgrad.jit` with JAX, torch and autograd on the corpus of programs, with two threads each.

python -m benchmarks.programs                      measure; writes docs/programs.md and .png, results.json beside this
python -m benchmarks.programs --only lstm,heat     only these, the others stay as they were measured
python -m benchmarks.programs --sizes large        only these sizes; --without torch.compile saves most of the time
python -m benchmarks.programs --add torch.compile  beside nbgrad and JAX, without first calls: the rest of a row stays
python -m benchmarks.programs --redraw             measure nothing: write everything again from results.json
python -m benchmarks.programs --readme             also replace the section about programs in README.md
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .. import measure
from ..jit import ENVIRONMENT, THREADS, circumstances, two_threads, why_not_compiled
from ..report import README
from ..tables import replace_section
from . import LARGE, PROGRAMS, SMALL, Program
from .document import document, draw, summary
from .first import COMPILERS, First, first_calls
from .libraries import LIBRARIES, compared, jitted_by_jax, jitted_by_nbgrad, reference

Results = dict[str, Any]

DATA = Path(__file__).with_name("results.json")
DOCS = README.parent / "docs"


@contextmanager
def patient(seconds: float) -> Iterator[None]:
    """Raise TimeoutError in what takes longer than these seconds; 0 waits for ever."""

    def end(*_: Any) -> None:
        raise TimeoutError(f"not compiled within {seconds:g} s")

    before = signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def checked_steps(
    program: Program, size: str, arrays: tuple[Any, ...], without: set[str], patience: float, firsts: bool
) -> tuple[dict[str, Callable[[], Any]], dict[str, First], dict[str, str]]:
    """Give the steps of all libraries, their results compared, the seconds of first calls, and why one has no step.

    What takes longer to compile than there is patience for is left out. Raises AssertionError where nbgrad's results,
    or JAX's, differ.
    """
    expected = reference(program, arrays)
    steps: dict[str, Callable[[], Any]] = {}
    first: dict[str, First] = {}
    skipped: dict[str, str] = {}
    for library, make in LIBRARIES.items():
        reason = "left out" if library in without else why_not_compiled() if library == "torch.compile" else None
        if reason is None:
            try:
                if library in COMPILERS and firsts:
                    found = first_calls(program.name, size, library, patience)
                    if found is None:
                        skipped[library] = f"not compiled within {patience:g} s"
                        continue
                    first[library] = found
                with patient(patience):
                    step = make(program, arrays)
                    compared(program, library, step, arrays, expected)
                steps[library] = step
            except Exception as error:  # whatever a peer has to say
                if library in ("nbgrad", "jax"):
                    raise
                said = str(error).strip().splitlines() or [""]
                reason = f"{type(error).__name__}: {said[0][:120]}"
        if reason is not None:
            skipped[library] = reason
    return steps, first, skipped


def memory(program: Program, arrays: tuple[Any, ...], explained: str, with_jax: bool) -> dict[str, int]:
    """Give the bytes of results and of what lies between the steps, as the two compilers plan them."""
    results = arrays[0].itemsize + sum(x.nbytes for x in arrays[: program.parameters])
    found = re.search(r"(\d+) bytes of workspace", explained)
    assert found is not None
    if not with_jax:
        return {"nbgrad": int(found[1]) + results}
    import jax

    planned = jitted_by_jax(program).lower(*map(jax.numpy.asarray, arrays)).compile().memory_analysis()
    return {"nbgrad": int(found[1]) + results, "jax": int(planned.temp_size_in_bytes) + results}


def work(program: Program, arrays: tuple[Any, ...]) -> dict[str, float]:
    """Count what must be read and written, and the operations of JAX's program, as XLA counts them."""
    import jax

    counted = jitted_by_jax(program).lower(*map(jax.numpy.asarray, arrays)).cost_analysis()
    moved = sum(x.nbytes for x in (*arrays, *arrays[: program.parameters]))
    return {"bytes": moved, "flops": max(float(counted.get("flops", 0.0)), 0.0)}


def speed(
    program: Program,
    size: str,
    rounds: int,
    without: set[str],
    peaks: dict[str, float],
    patience: float,
    firsts: bool = True,
) -> Results:
    """Give times, ratios, first calls, memory, and the floor."""
    arrays = program.make(size)
    steps, first, skipped = checked_steps(program, size, arrays, without, patience, firsts)
    samples = measure.interleaved(steps, rounds)
    explained = jitted_by_nbgrad(program).explain(*arrays)
    counted = work(program, arrays)
    busy = counted["flops"] / peaks[program.dtype], counted["bytes"] / measure.copy_rate(int(counted["bytes"]))
    return {
        "title": program.titled(size),
        "family": program.family,
        "limit": program.limit if size == SMALL else None,
        "seconds": {name: measure.quartiles(times) for name, times in samples.items()},
        "nbgrad_over": {name: measure.ratios(samples, "nbgrad", name) for name in steps if name != "nbgrad"},
        "over_jax": {name: measure.ratios(samples, name, "jax") for name in steps if "jax" in steps},
        **{which: {name: getattr(found, which) for name, found in first.items()} for which in First._fields},
        "skipped": skipped,
        "memory": memory(program, arrays, explained, "jax" in steps),
        "floor": max(busy),
        "explain": explained,
    }


def add(row: Results, found: Results, libraries: list[str]) -> None:
    """Write what was found of some libraries into a row that stands."""
    for library in libraries:
        for what in ("seconds", "nbgrad_over", "over_jax", "skipped"):
            row[what].pop(library, None)
            if library in found[what]:
                row[what][library] = found[what][library]


def main(arguments: list[str] | None = None) -> None:
    """Run the command; see the top of this file."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.programs", description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", metavar="NAMES", help="which programs, by commas")
    parser.add_argument("--sizes", default=f"{SMALL},{LARGE}", help="which sizes (default: small,large)")
    parser.add_argument("--without", default="", metavar="LIBRARIES", help="libraries to leave out, by commas")
    parser.add_argument("--add", default="", metavar="LIBRARIES", help="libraries to add to rows that stand, by commas")
    parser.add_argument("--rounds", type=int, default=11, help="turns of each library (default: 11)")
    parser.add_argument(
        "--patience", type=float, default=120, metavar="SECONDS", help="for a compiler's first call (default: 120)"
    )
    parser.add_argument("--quick", action="store_true", help="two rounds and no first calls, to see that it works")
    parser.add_argument("--redraw", action="store_true", help="measure nothing, read results.json")
    parser.add_argument("--readme", action="store_true", help="also replace the section about programs in README.md")
    parser.add_argument("--directory", type=Path, help="where all results go, instead of docs/ and beside this file")
    options = parser.parse_args(arguments)

    names, without, sizes, added = (
        list(filter(None, text.split(","))) for text in (options.only, options.without, options.sizes, options.add)
    )
    known = {"program": PROGRAMS, "library": [*LIBRARIES][1:], "size": [SMALL, LARGE]}
    for what, given in (("program", names), ("library", [*without, *added]), ("size", sizes)):
        absent = set(given) - set(known[what])
        if absent:
            parser.error(f"no such {what}: {', '.join(sorted(absent))}; there are {', '.join(known[what])}")
    data = options.directory / "programs.json" if options.directory else DATA
    docs = options.directory or DOCS
    rounds, patience = 2 if options.quick else options.rounds, options.patience
    results: Results = {"rows": {}}
    if data.exists() and (names or added or options.redraw or len(sizes) == 1):
        results = json.loads(data.read_text())
    if added:
        without = [library for library in LIBRARIES if library not in ("nbgrad", "jax", *added)]
    if not options.redraw:
        results |= circumstances(rounds) | {"patience": patience}
        with two_threads():
            peaks = {dtype: measure.matmul_peak(dtype) for dtype in ("float32", "float64")}
            results["peaks"] = peaks
            failed: list[str] = []
            chosen = [(p, size) for p in PROGRAMS.values() for size in sizes if not names or p.name in names]
            for program, size in measure.progress(chosen, "programs"):
                try:
                    firsts = not (options.quick or added)
                    if not added:
                        found = speed(program, size, rounds, set(without), peaks, patience, firsts)
                    else:  # whoever did not compile it before is not asked again
                        stands = results["rows"][program.name][size]
                        left_out = {*without, *stands["skipped"]} - {*added}
                        add(stands, speed(program, size, rounds, left_out, peaks, patience, firsts), added)
                        found = stands
                except Exception as error:  # the others are measured all the same
                    failed.append(f"{program.name} ({size}): {type(error).__name__}: {error}")
                    continue
                results["rows"].setdefault(program.name, {})[size] = found
                data.write_text(json.dumps(results, indent=1) + "\n")  # what has been measured stays
                time.sleep(measure.PAUSE)
            if failed:
                sys.exit("\n".join(failed))
    (docs / "programs.md").write_text(document(results))
    draw(results, docs / "programs.png")
    if options.readme:
        begin = "Programs as people write them, all of them in [docs/programs.md](docs/programs.md):"
        section = f"{begin}\n\n{summary(results)}\n\n![time of each library relative to JAX](docs/programs.png)"
        text = replace_section(README.read_text(), section, "<!-- programs:begin -->", "<!-- programs:end -->")
        README.write_text(text)
    print(summary(results))


if __name__ == "__main__":
    if any(os.environ.get(name) != value for name, value in ENVIRONMENT.items()):
        # libraries look at these when they are imported, and XLA only at the processors it may use
        if hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:THREADS])
        os.execve(
            sys.executable, [sys.executable, "-m", "benchmarks.programs", *sys.argv[1:]], os.environ | ENVIRONMENT
        )
    main()
