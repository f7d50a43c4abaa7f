"""What `benchmarks.small_operations` found, as markdown and as a picture."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from .small_cases import LIBRARIES
from .small_misses import reason_of
from .tables import _table, duration

Results = dict[str, Any]

#: What is timed: with a graph, without one, and with the walk back from the sum.
FORWARD, BARE, BACKWARD = "forward", "no_grad", "backward"
#: Promised ratios to torch: of each operation, and of the geometric mean; of the same call by NumPy.
LIMITS = {FORWARD: (0.6, 0.35), BACKWARD: (0.5, 0.4)}
NUMPY_LIMIT = 2.5
LARGE_LIMITS = (1.0, 0.6)
LARGE_SIZES = (64, 1000)
#: Rows with promises of their own, forward and backward.
SPECIAL = {
    "(x * y).sum()": 0.25,
    "F.cross_entropy(m, l)": 0.4,
    "LSTM cell of 8 units": 0.4,
    "MLP 2-16-16-1, batch 4, squared error": 0.35,
}


def over(row: Results, mode: str, library: str = "torch") -> float | None:
    """Give nbgrad's time over another library's; over NumPy's and JAX's bare call, nbgrad's without a graph."""
    times = row["seconds"].get(mode, {})
    return times["nbgrad"] / times[library] if library in times else None


def geometric_mean(values: Iterable[float]) -> float:
    """Give the geometric mean."""
    return math.exp(statistics.fmean(map(math.log, values)))


def _ratios(rows: list[Results], mode: str, library: str = "torch") -> dict[str, float]:
    """Give the ratios of all calls of operations, by title."""
    found = {row["title"]: over(row, mode, library) for row in rows if row["family"] != "programs"}
    return {title: value for title, value in found.items() if value is not None}


def mean_of(rows: list[Results], mode: str, library: str = "torch") -> float | None:
    """Give the geometric mean over operations, each of which counts once, with the mean of its calls."""
    found: dict[str, list[float]] = {}
    for row in rows:
        value = over(row, mode, library)
        if value is not None and row["family"] != "programs":
            found.setdefault(row["name"], []).append(value)
    return geometric_mean(map(geometric_mean, found.values())) if found else None


def noise(rows: list[Results]) -> str:
    """Say how much the machine was disturbed."""
    times = sorted(t for row in rows for t in row["canary"])
    best, usual, late = times[0], times[len(times) // 2], times[len(times) * 9 // 10]
    return (
        f"a loop that is always the same took {usual / best:.2f} times its best time in the median, "
        f"{late / best:.2f} times in the slowest tenth"
    )


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def _verdict(value: float, limit: float) -> str:
    return f"{value:.2f}" if value <= limit else f"**{value:.2f}**"


def summary(results: Results) -> str:
    """Give the table that the README shows: means, worst, and the rows with promises of their own."""
    rows = results["small"]
    lines = []
    for mode, title in (
        (FORWARD, "forward, with graph"),
        (BARE, "forward, no_grad"),
        (BACKWARD, "forward, sum, backward"),
    ):
        found = _ratios(rows, mode)
        worst = max(found, key=found.__getitem__)
        each, together = LIMITS.get(mode, (math.inf, math.inf))
        promised, above = "", ""
        if mode in LIMITS:
            promised, above = f"{together:g}", f"{sum(value > each for value in found.values())} of {len(found)}"
        means = [_number(mean_of(rows, mode, library)) for library in ("jax", "autograd", "numpy")]
        mean = _verdict(mean_of(rows, mode) or math.inf, together)
        lines.append([title, mean, promised, above, f"{found[worst]:.2f}, `{worst}`", *means])
    head = ["geometric means of nbgrad's time over", "torch eager", "promised", "calls above their limit"]
    head += ["worst over torch", "JAX without jit", "autograd", "NumPy"]
    parts = [_table(head, lines)]
    special = [(row, SPECIAL[row["title"]]) for row in rows if row["title"] in SPECIAL]
    if special:
        lines = [
            [f"`{row['title']}`" if "(" in row["title"] else row["title"]]
            + [duration(row["seconds"][BACKWARD][library]) for library in ("nbgrad", "torch")]
            + [_verdict(over(row, BACKWARD) or math.inf, limit), f"{limit:g}"]
            for row, limit in special
        ]
        parts.append(_table(["forward and backward", "nbgrad", "torch eager", "ratio", "promised"], lines))
    for size in LARGE_SIZES:
        found = _ratios(results.get(f"large {size}", []), BACKWARD)
        if found:
            worst = max(found, key=found.__getitem__)
            above = sum(value > LARGE_LIMITS[0] for value in found.values())
            parts.append(
                f"On {size} x {size} float32, forward, sum and backward with all threads, the geometric mean over all "
                f"operations is {mean_of(results[f'large {size}'], BACKWARD):.2f} of torch's time (promised: "
                f"{LARGE_LIMITS[1]:g}); {above} of {len(found)} calls take longer than torch, the worst `{worst}`: "
                f"{found[worst]:.2f}."
            )
    return "\n\n".join(parts)


def table(rows: list[Results]) -> str:
    """Give the table of all rows, the worst first."""
    head = [
        "operation",
        "nbgrad, forward",
        "/ torch",
        "no_grad",
        "/ torch",
        "/ NumPy",
        "/ JAX",
        "forward, sum, backward",
    ]
    head += ["/ torch", "/ JAX", "/ autograd"]

    def worst(row: Results) -> float:
        return max(over(row, BACKWARD) or 0, over(row, FORWARD) or 0)

    lines = []
    for row in sorted(rows, key=worst, reverse=True):
        times = row["seconds"]
        limited = [over(row, mode) for mode in (FORWARD, BACKWARD)]
        texts = [
            "" if x is None else _verdict(x, LIMITS[m][0]) for m, x in zip((FORWARD, BACKWARD), limited, strict=True)
        ]
        numpys = over(row, BARE, "numpy")
        lines.append(
            [f"`{row['title']}`", duration(times[FORWARD]["nbgrad"]), texts[0], duration(times[BARE]["nbgrad"])]
            + [_number(over(row, BARE)), "" if numpys is None else _verdict(numpys, NUMPY_LIMIT)]
            + [_number(over(row, BARE, "jax"))]
            + [duration(times[BACKWARD]["nbgrad"]) if BACKWARD in times else "", texts[1]]
            + [_number(over(row, BACKWARD, library)) for library in ("jax", "autograd")]
        )
    return _table(head, lines)


def misses(rows: list[Results], costs: dict[str, float]) -> str:
    """Give the table of calls above their limits: what Python alone costs them, and why."""
    lines = []
    for row in sorted(rows, key=lambda row: max(over(row, FORWARD) or 0, over(row, BACKWARD) or 0), reverse=True):
        values = [over(row, mode) for mode in (FORWARD, BACKWARD)]
        if all(value is None or value <= LIMITS[mode][0] for value, mode in zip(values, LIMITS, strict=True)):
            continue
        frames, calls = row.get("python", (0, 0))
        least = duration(frames * costs["frame"] + calls * costs["call"]) if frames and costs else ""
        texts = ["" if x is None else _verdict(x, LIMITS[m][0]) for x, m in zip(values, LIMITS, strict=True)]
        counts = [f"{frames} + {calls}", least] if frames else ["", ""]
        why = reason_of(row["name"], row["title"], row["family"])
        lines.append([f"`{row['title']}`", *texts, duration(row["seconds"][FORWARD]["nbgrad"]), *counts, why])
    head = ["operation", "forward / torch", "backward / torch", "forward", "frames + calls", "these alone"]
    return _table([*head, "why, and what was tried"], lines)


def families(rows: list[Results]) -> str:
    """Give the geometric means of families of operations."""
    lines = []
    for family in dict.fromkeys(row["family"] for row in rows):
        members = [row for row in rows if row["family"] == family]
        cells = []
        for mode, library in ((FORWARD, "torch"), (BACKWARD, "torch"), (BARE, "numpy"), (BACKWARD, "jax")):
            values = [value for row in members for value in [over(row, mode, library)] if value is not None]
            cells.append(_number(geometric_mean(values) if values else None))
        lines.append([family, str(len(members)), *cells])
    head = ["family", "rows", "forward / torch", "backward / torch", "no_grad / NumPy", "backward / JAX"]
    return _table(head, lines)


def large_table(rows: list[Results], rate: float) -> str:
    """Give the table of large arrays, the worst first, with what reading inputs and writing gradients would take."""
    lines = []
    for row in sorted(rows, key=lambda row: over(row, BACKWARD) or 0, reverse=True):
        times, value = row["seconds"].get(BACKWARD, {}), over(row, BACKWARD)
        if "nbgrad" in times:
            ours, theirs, floor = (
                duration(times["nbgrad"]),
                duration(times.get("torch", 0)),
                duration(row["bytes"] / rate),
            )
            compared = [theirs, floor, _verdict(value, LARGE_LIMITS[0])] if value else ["", floor, ""]
            lines.append([f"`{row['title']}`", ours, *compared])
    return _table(["forward, sum, backward", "nbgrad", "torch", "floor", "nbgrad / torch"], lines)


INTRODUCTION = """\
# Every operation on small arrays

How long a call takes where Python and the graph are all there is to it: scalars, 10 elements, 4 x 5 and 2 x 3 x 4, in
float64. Made by `python -m benchmarks.small_operations --everything --readme`; do not edit."""

METHOD = """\
Each public operation, forward with a graph, forward under `no_grad`, and forward, sum and backward, in nbgrad and torch
eager with one thread each; JAX without jit forward and by `value_and_grad`; HIPS autograd by `value_and_grad`; NumPy
forward. Results and gradients are compared before anything is timed. The steps take turns, in an order
that turns as well; times are the processor's, which other processes disturb little, and lower quartiles; ratios are
those of lower quartiles. Letters are arrays: `x`, `y` of 10
elements, `m`, `k` of 4 x 5, `r` of 5, `b` and `c` of 2 x 3 x 4 and its like; whole numbers are `i` and `l`, truth
values `z`. Where nbgrad's ratio is above its limit (to torch {forward:g} forward and {backward:g} backward, to NumPy
{numpy:g}) it is bold."""


MISSES = """\
Calls above their limits, the worst first. Before its loop a call goes through Python frames and calls of compiled
functions, which were counted, with the one of the row itself. If they did nothing, a frame took {frame:.0f} ns
and a call {call:.0f} ns here: what they come to is a floor of what is written in Python. torch's binding is C++."""


def left_out(rows: list[Results]) -> str:
    """Say how many rows each library has no part in."""
    counts = {library: sum(library in row["left_out"] for row in rows) for library in LIBRARIES[1:]}
    return "Rows without a counterpart: " + ", ".join(f"{name} {count}" for name, count in counts.items()) + "."


def document(results: Results) -> str:
    """Give the whole document."""
    where = results["circumstances"]
    packages = ", ".join(f"{name} {version}" for name, version in where["versions"].items())
    parts = [
        INTRODUCTION,
        METHOD.format(forward=LIMITS[FORWARD][0], backward=LIMITS[BACKWARD][0], numpy=NUMPY_LIMIT),
    ]
    rows, known = results.get("small", []), where.get("python", {})
    if rows:
        parts += [
            f"Measured on {where['date']}: {where['cpu']}, {where['cores']} cores, load {where['load']:.2f} before the "
            f"run; {packages}. Beside it {noise(rows)}.",
            summary(results),
            "![time of nbgrad relative to torch, by operation](small_operations.png)",
            "## Families",
            families(rows),
            "## Misses",
            MISSES.format(**{name: 1e9 * seconds for name, seconds in known.items()}) if known else "",
            misses(rows, known),
            "## Every row",
            table(rows),
            left_out(rows),
        ]
    for size in LARGE_SIZES:
        rows = results.get(f"large {size}", [])
        if rows:
            parts += [
                f"## {size} x {size}, float32",
                "nbgrad and torch with all threads. The floor is what reading the inputs and writing the gradients "
                f"takes at the speed of a copy by all cores. Beside it {noise(rows)}.",
                large_table(rows, results["copy_rate"][str(size)]),
            ]
    return "\n\n".join(parts) + "\n"


def draw(results: Results, path: Path) -> None:
    """Draw the ratio to torch of each operation, by families: a dot a row, a bar the geometric mean."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    from matplotlib.ticker import FixedLocator, NullLocator

    from .plot import STYLES, _times

    rows = results["small"]
    names = list(dict.fromkeys(row["family"] for row in rows))
    plt.rcParams.update({"font.family": "DejaVu Sans", "font.size": 10})
    figure, both = plt.subplots(1, 2, figsize=(13, 1.8 + 0.42 * len(names)), layout="constrained", sharey=True)
    red, dark = STYLES["nbgrad"]["color"], STYLES["torch"]["color"]
    random = np.random.default_rng(0)
    for axes, mode, title in zip(both, (FORWARD, BACKWARD), ("forward", "forward, sum, backward"), strict=True):
        every = [1.0]
        axes.axvline(1, color=dark, linewidth=1.2, zorder=1)
        axes.axvline(LIMITS[mode][0], color=red, linewidth=1.2, linestyle=":", zorder=1)
        for number, family in enumerate(names):
            if number % 2 == 0:
                axes.axhspan(number - 0.5, number + 0.5, color="#f4f5f7", zorder=0)
            values = [v for row in rows if row["family"] == family for v in [over(row, mode)] if v is not None]
            if not values:
                continue
            every += values
            places = number + random.uniform(-0.3, 0.3, len(values)) * (len(values) > 1)
            axes.scatter(values, places, s=16, color=red, alpha=0.5, linewidth=0, zorder=2)
            mean = geometric_mean(values)
            axes.plot([mean, mean], [number - 0.38, number + 0.38], color="black", linewidth=2.2, zorder=3)
        axes.set_xscale("log")
        axes.set_xlim(min(every) / 1.2, max(every) * 1.2)
        ticks = [1 / 10, 1 / 5, 1 / 3, 1 / 2, 1, 2, 3, 5, 10]
        axes.xaxis.set_major_locator(FixedLocator([t for t in ticks if min(every) / 1.2 < t < max(every) * 1.2]))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(_times)
        axes.grid(axis="x", color="#d9dce1", linewidth=0.7, zorder=0.5)
        axes.set_axisbelow(True)
        axes.set_ylim(len(names) - 0.5, -0.5)
        axes.set_yticks(range(len(names)), names)
        axes.tick_params(axis="both", length=0)
        axes.set_title(title)
        axes.set_xlabel("time relative to torch eager (log scale; further left is faster)")
        for spine in axes.spines.values():
            spine.set_visible(False)
    where = results["circumstances"]
    figure.suptitle(
        f"nbgrad on small arrays: a dot an operation, bars geometric means, dotted the promised limit\n"
        f"{where['cpu']}, {where['date']}",
        fontsize=12,
    )
    figure.savefig(path, dpi=130)
    plt.close(figure)
