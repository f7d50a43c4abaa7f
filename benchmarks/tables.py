"""The results as markdown: the promises with their verdicts, every workload, and where nbgrad loses."""

from __future__ import annotations

from typing import Any

from .libraries import LIBRARIES

Results = dict[str, Any]

BEGIN, END = "<!-- benchmarks:begin -->", "<!-- benchmarks:end -->"
#: Promises that are no ratio of a workload: start-up (ratio to torch), the example's first step, memory.
STARTUP_LIMIT, FIRST_STEP_LIMIT, MEMORY_LIMIT = 0.5, 10, 1000


def duration(seconds: float) -> str:
    """Write a time with three digits and a unit that suits it."""
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if seconds >= 0.9995 * size:
            return f"{seconds / size:.3g} {unit}" if seconds < 999.5 * size else f"{seconds / size:.0f} {unit}"
    return f"{seconds / 1e-9:.0f} ns"


def ratio(value: dict[str, float]) -> str:
    """Write a ratio with its quartiles."""
    median, low, high = (f"{x:.2f}" if x >= 0.1 else f"{x:.2g}" for x in (value["median"], value["low"], value["high"]))
    return f"{median} ({low} to {high})"


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def verdict(measured: float | None, limit: float) -> str:
    """Say whether a promise was kept: the limit itself is kept."""
    if measured is None:
        return "not measured"
    return "met" if measured <= limit else "**missed**"


def promises(results: Results) -> str:
    """Give the table of the promised limits."""
    rows = []
    for workload in results["workloads"]:
        if workload["limit"] is None:
            continue
        seconds, over = workload["seconds"], workload["nbgrad_over"]["torch"]
        rows.append(
            [
                f"{workload['title']}, {workload['dtype']}",
                duration(seconds["nbgrad"]["median"]),
                duration(seconds["torch"]["median"]),
                duration(workload["floor"]),
                ratio(over),
                f"{workload['limit']:.2f}",
                verdict(over["median"], workload["limit"]),
            ]
        )
    startup, over = results["startup"]["seconds"], results["startup"]["nbgrad_over"]["torch"]
    rows.append(
        [
            "process with import and first gradient, warm cache",
            duration(startup["nbgrad"]["median"]),
            duration(startup["torch"]["median"]),
            f"{duration(startup['numpy']['median'])} (NumPy)",
            ratio(over),
            f"{STARTUP_LIMIT:.2f}",
            verdict(over["median"], STARTUP_LIMIT),
        ]
    )
    first = results["startup"]["digits_first_step"]
    median = first["median"] if first else None
    rows.append(
        [
            "examples/digits.py to its first step, empty cache",
            duration(median) if median else "",
            "",
            "",
            "",
            f"{FIRST_STEP_LIMIT} s",
            verdict(median, FIRST_STEP_LIMIT),
        ]
    )
    ours, theirs = results["memory"]["nbgrad"], results["memory"]["torch"]
    rows.append(
        [
            "peak memory of a chain of 1,000,000 scalar operations, an operation",
            f"{ours:.0f} B",
            f"{theirs:.0f} B",
            "",
            f"{ours / theirs:.2f}",
            f"{MEMORY_LIMIT} B",
            verdict(ours, MEMORY_LIMIT),
        ]
    )
    return _table(["value + gradients", "nbgrad", "torch", "floor", "nbgrad / torch", "limit", "verdict"], rows)


def all_times(results: Results) -> str:
    """Give the table of all workloads and libraries, the fastest in bold."""
    rows = []
    for workload in results["workloads"]:
        medians = {name: times["median"] for name, times in workload["seconds"].items()}
        best = min(medians.values())
        cells = []
        for name in LIBRARIES:
            text = duration(medians[name]) if name in medians else ""
            cells.append(f"**{text}**" if medians.get(name) == best else text)
        rows.append(
            [
                f"{workload['title']}, {workload['dtype']}",
                *cells,
                duration(workload["floor"]),
                ratio(workload["nbgrad_over"]["torch"]),
            ]
        )
    labels = [library.label for library in LIBRARIES.values()]
    return _table(["value + gradients", *labels, "floor", "nbgrad / torch"], rows)


def startup_times(results: Results) -> str:
    """Give the table of start-up times."""
    labels = {
        **{name: LIBRARIES[name].label for name in LIBRARIES},
        "nbgrad-empty": "nbgrad, empty cache",
        "numpy": "NumPy, no gradient",
    }
    return _table(
        ["import and first gradient", "median", "quartiles"],
        [
            [labels[name], duration(times["median"]), f"{duration(times['low'])} to {duration(times['high'])}"]
            for name, times in results["startup"]["seconds"].items()
        ],
    )


def losses(results: Results) -> str:
    """Name every comparison that nbgrad loses, the worst first."""
    found = []
    cases = [
        (f"{workload['title']}, {workload['dtype']}", workload["nbgrad_over"]) for workload in results["workloads"]
    ]
    startup = {
        name: over for name, over in results["startup"]["nbgrad_over"].items() if name in ("torch", "jax", "autograd")
    }
    for title, over in [*cases, ("import and first gradient, warm cache", startup)]:
        found += [
            (value["median"], LIBRARIES[name].label, title) for name, value in over.items() if value["median"] > 1.005
        ]
    if not found:
        return "nbgrad was the fastest everywhere."
    return "\n".join(
        f"- {title}: {times:.2f} times as long as {name}" for times, name, title in sorted(found, reverse=True)
    )


def machine(results: Results) -> str:
    """Describe where and with what the numbers were measured, in a sentence or two."""
    where, versions = results["machine"], results["versions"]
    packages = ", ".join(f"{name} {version}" for name, version in versions.items())
    return (
        f"Measured on {results['date']}: {where['cpu']}, {where['cores']} cores, {where['memory_gb']:.0f} GB, "
        f"{where['system']}, load {where['load']:.2f} before the run; {packages}. "
        f"Threads: nbgrad {where['threads']['nbgrad']}, torch {where['threads']['torch']}. "
        f"Peak of matrix products: {where['peak_gflops']['float32']:.0f} GFLOP/s in float32, "
        f"{where['peak_gflops']['float64']:.0f} in float64."
    )


METHOD = """\
Times are medians. The libraries take turns in one process, {rounds} rounds of about {sample:.0f} ms each, and a ratio
is the median of the ratios within a round, with quartiles. Results of all libraries are compared before they are timed.
The floor is what the bare kernel calls cost: {call} µs for each ufunc call of the hand-written NumPy program, plus its
matrix products at the measured peak, or its inputs and gradients at the speed of a copy, whichever takes longer."""

VARIANTS = """\
JAX is compiled by `jax.jit` before it is timed: it replays a program, where the define-by-run libraries build their
graph anew in each call. JAX without jit is its define-by-run mode, shown where the work is small. NumPy by hand has no
graph at all: a person wrote out the derivative."""


def report(results: Results, rounds: int, sample: float, call: float) -> str:
    """Give the whole report."""
    return (
        "\n\n".join(
            [
                "# nbgrad and its peers",
                "Made by `python -m benchmarks.report`; do not edit.",
                machine(results),
                METHOD.format(rounds=rounds, sample=sample * 1e3, call=call),
                "## Promises",
                promises(results),
                "## Every workload",
                all_times(results),
                VARIANTS,
                "![time of each library relative to torch](results.png)",
                "## Where nbgrad loses",
                losses(results),
                "## Start-up",
                startup_times(results),
                "",
            ]
        ).rstrip()
        + "\n"
    )


def readme_section(results: Results) -> str:
    """Give what README.md shows."""
    return "\n\n".join(
        [
            promises(results),
            "![time of each library relative to torch](benchmarks/results.png)",
            f"{machine(results)} All workloads, the method, and every loss are in "
            "[benchmarks/results.md](benchmarks/results.md).",
        ]
    )


def replace_section(text: str, section: str, begin: str = BEGIN, end: str = END) -> str:
    """Put the section between the markers of a text.

    Raises ValueError if the markers are absent or in the wrong order.
    """
    start, stop = text.find(begin), text.find(end)
    if not 0 <= start < stop:
        raise ValueError(f"the markers {begin} and {end} are missing")
    return f"{text[: start + len(begin)]}\n\n{section}\n\n{text[stop:]}"
