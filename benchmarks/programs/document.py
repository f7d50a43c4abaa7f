"""What `benchmarks.programs` found, as markdown and as a picture."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .. import measure
from ..jit import MARKERS, THREADS
from ..report import BUSY
from ..small_tables import geometric_mean
from ..tables import _table, duration, ratio
from .declaration import LARGE, SMALL
from .explanations import EXPLANATIONS
from .libraries import LABELS

Results = dict[str, Any]

#: Promised geometric means over JAX by size, and the ratio of any single program.
LIMITS = {SMALL: 0.35, LARGE: 0.6}
#: Promised ratios of first calls: geometric means, and worst ones.
FIRST_LIMITS = {"cold": (1.0, 2.0), "warm": (0.3, math.inf)}
#: Programs whose first call, with an empty cache, has a promise of its own.
FIRST_LIMIT = {"euler": 1.0, "long-euler": 1.0}
SINGLE_LIMIT, MEMORY_LIMIT = 0.9, 0.8
#: A library is ahead of nbgrad where its time is shorter by more than this.
AHEAD = 1.02


def rows_of(results: Results, size: str) -> dict[str, Results]:
    """Give what was measured of a size, by program."""
    return {name: sizes[size] for name, sizes in results["rows"].items() if size in sizes}


def means(results: Results, size: str) -> dict[str, float]:
    """Give the geometric mean of nbgrad's time over each library's, where it took part."""
    found: dict[str, list[float]] = {}
    for row in rows_of(results, size).values():
        for library, over in row["nbgrad_over"].items():
            found.setdefault(library, []).append(over["median"])
    return {library: geometric_mean(values) for library, values in found.items()}


def _memory(results: Results, size: str) -> float:
    held = [row["memory"] for row in rows_of(results, size).values() if "jax" in row["memory"]]
    return geometric_mean(memory["nbgrad"] / memory["jax"] for memory in held)


def _firsts(results: Results, size: str, which: str) -> dict[str, float]:
    """Give, by program, nbgrad's time to its first call over JAX's, of one of `FIRSTS`, where both were measured."""
    found = {name: row.get(which, {}) for name, row in rows_of(results, size).items()}
    return {name: first["nbgrad"] / first["jax"] for name, first in found.items() if {"nbgrad", "jax"} <= first.keys()}


#: What is told of first calls, by the measurement.
FIRSTS = {
    "cold": "with an empty cache",
    "warm": "in a second process",
    "cold_process": "with an empty cache, imports included",
    "warm_process": "in a second process, imports included",
}


def first_calls(results: Results) -> str:
    """Give the table of times to the first call; empty where none was measured."""
    lines = []
    for size in LIMITS:
        for which, what in FIRSTS.items():
            over = _firsts(results, size, which)
            if over:
                mean, worst = FIRST_LIMITS.get(which, (math.inf, math.inf))
                slowest = max(over, key=lambda name: over[name])
                lines.append(
                    [
                        f"{size} sizes, {what}",
                        _judged(geometric_mean(over.values()), mean),
                        f"{mean:g}" if mean < math.inf else "",
                        f"{_judged(over[slowest], worst)}, {slowest}",
                    ]
                )
    alone = _firsts(results, SMALL, "cold")
    for name, limit in FIRST_LIMIT.items():
        if name in alone:
            title = results["rows"][name][SMALL]["title"]
            lines.append([f"{title}, {FIRSTS['cold']}", _judged(alone[name], limit), f"{limit:g}", ""])
    head = ["nbgrad's first call over JAX's", "geometric mean", "promised", "worst (2 with an empty cache)"]
    return _table(head, lines) if lines else ""


def _judged(value: float, limit: float) -> str:
    return f"{value:.2f}" if value <= limit else f"**{value:.2f}**"


def summary(results: Results) -> str:
    """Give the table that the README shows: means over all programs, and the programs with promises of their own."""
    lines = []
    for size, limit in LIMITS.items():
        rows = rows_of(results, size)
        if not rows:
            continue
        over = means(results, size)
        against = {
            name: row["nbgrad_over"]["jax"]["median"] for name, row in rows.items() if "jax" in row["nbgrad_over"]
        }
        worst = max(against, key=lambda name: against[name])
        value = against[worst]
        others = [f"{over[name]:.2f}" if name in over else "" for name in ("torch.compile", "torch", "autograd")]
        lines.append(
            [
                f"{len(rows)} programs, {size} sizes",
                _judged(over["jax"], limit),
                f"{limit:g}",
                *others,
                f"{_judged(value, SINGLE_LIMIT)}, {worst}",
                _judged(_memory(results, size), MEMORY_LIMIT),
            ]
        )
    head = ["geometric means of nbgrad.jit's time over", "JAX jit", "promised", "torch.compile", "torch eager"]
    parts = [_table([*head, "autograd", f"worst over JAX ({SINGLE_LIMIT:g})", "memory over JAX's"], lines)]
    special = [row for row in rows_of(results, SMALL).values() if row["limit"] is not None]
    if special:
        lines = [
            [
                row["title"],
                *(duration(row["seconds"][name]["median"]) for name in ("nbgrad", "jax")),
                _judged(row["nbgrad_over"]["jax"]["median"], row["limit"]),
                f"{row['limit']:g}",
            ]
            for row in special
        ]
        parts.append(_table(["value + gradients", "nbgrad.jit", "JAX jit", "ratio", "promised"], lines))
    return "\n\n".join(parts)


def table(results: Results, size: str) -> str:
    """Give the table of all programs of a size."""
    lines = []
    for row in rows_of(results, size).values():
        medians = {name: times["median"] for name, times in row["seconds"].items()}
        best = min(medians.values())
        texts = {name: duration(seconds) for name, seconds in medians.items()}
        times = [f"**{texts[x]}**" if medians.get(x) == best else texts.get(x, "") for x in LABELS]
        firsts = [
            duration(row[which][name]) if name in row.get(which, {}) else ""
            for which in ("cold", "warm")
            for name in ("nbgrad", "jax")
        ]
        memory, over = row["memory"], row["nbgrad_over"].get("jax")
        held = f"{memory['nbgrad'] / memory['jax']:.2f}" if "jax" in memory else ""
        lines.append([row["title"], *times, "" if over is None else ratio(over), duration(row["floor"]), held, *firsts])
    head = ["value + gradients", *LABELS.values(), "nbgrad / JAX", "floor", "memory"]
    return _table([*head, "first call", "JAX's", "in a second process", "JAX's"], lines)


def ahead(results: Results) -> Iterator[tuple[str, str, Results, dict[str, float]]]:
    """Give the programs in which a compiler is ahead of nbgrad: name, size, what was measured, the ratios."""
    for size in LIMITS:
        for name, row in rows_of(results, size).items():
            over = {x: row["nbgrad_over"][x]["median"] for x in ("jax", "torch.compile") if x in row["nbgrad_over"]}
            found = {x: value for x, value in over.items() if value > AHEAD}
            if found:
                yield name, size, row, found


def behind(results: Results) -> str:
    """Name the programs in which a compiler is ahead, with the reason and the steps."""
    parts = []
    for name, size, row, found in ahead(results):
        ratios = ", ".join(f"{value:.2f} times the time of {LABELS[library]}" for library, value in found.items())
        reason = EXPLANATIONS.get((name, size), "not looked into yet")
        parts.append(f"- **{row['title']}** ({size}): {ratios}. {reason[0].upper()}{reason[1:]}.")
    return "\n".join(parts) or "None."


def left_out(results: Results) -> str:
    """Say which library took no part in what, and why."""
    reasons: dict[tuple[str, str], list[str]] = {}
    for size in LIMITS:
        for name, row in rows_of(results, size).items():
            for library, reason in row["skipped"].items():
                reasons.setdefault((library, reason), []).append(f"{name} ({size})")
    return "\n".join(f"- {LABELS[library]}, in {', '.join(names)}: {why}" for (library, why), names in reasons.items())


LOADED = """\
**Other processes ran at the same time**: what is shared among threads waits for them, JAX's and torch's most of all,
and ratios are better or worse for it. Measure again on a machine that does nothing else."""

INTRODUCTION = """\
# Programs as people write them

Value and gradients of a corpus of programs by `nbgrad.jit`, `jax.jit`, torch eagerly, `torch.compile` and HIPS
autograd, each program in one spelling that all of them run (`benchmarks/programs/`). Made by
`python -m benchmarks.programs`; do not edit."""

METHOD = """\
Every library has {threads} threads. Results of all are compared with torch's in float64 before anything is timed. The
libraries take turns in one process, {rounds} rounds of about {sample:.0f} ms each; times are medians, ratios medians of
the ratios within a round, with quartiles. nbgrad gets NumPy arrays and gives new ones; JAX and torch have theirs
already. The floor is what reading the arguments and writing the gradients takes at the speed of a copy, or the
operations of JAX's program, as XLA counts them, at the measured peak of matrix products, whichever is longer. Memory is
the bytes of results and of everything between the steps, as the two compilers plan it, nbgrad's over JAX's. First calls
are those of new processes, all sources being bytecode as after an installation: one with an empty cache, and a second
one that finds what the first has left (JAX with its persistent cache). They leave out what is imported before the call,
which is all of JAX, but not `nbgrad.jit`, which is imported when it is first used; with imports included, they are the
time from the start of the process. What a compiler has not compiled after {patience:g} s is left out."""


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
            patience=results.get("patience", 120),
        ),
        f"Measured on {results['date']}: {where['cpu']}, {where['cores']} cores, {where['memory_gb']:.0f} GB, "
        f"{where['system']}, load {where['load']:.2f} before the run; {packages}.",
        *([LOADED] if where["load"] > BUSY else []),
        summary(results),
        *filter(None, [first_calls(results)]),
        "![time of each library relative to JAX](programs.png)",
    ]
    for size in LIMITS:
        if rows_of(results, size):
            parts += [f"## {size.capitalize()} sizes", table(results, size)]
    parts += ["## Where a compiler is ahead", behind(results)]
    if absent:
        parts += ["## Left out", absent]
    return "\n\n".join(parts) + "\n"


def draw(results: Results, path: Path) -> None:
    """Draw each library's time relative to JAX's, a row a program and size."""
    from ..plot import Row, chart

    styles = {**{name: MARKERS[name] for name in LABELS if name in MARKERS}, "autograd": MARKERS["by-hand"]}
    rows = []
    for sizes in results["rows"].values():
        for size in (SMALL, LARGE):
            if size in sizes and sizes[size]["over_jax"]:
                row = sizes[size]
                ratios = {name: over["median"] for name, over in row["over_jax"].items()}
                limits = [row["limit"]] if row["limit"] is not None else []
                rows.append(Row(row["title"], duration(row["seconds"]["nbgrad"]["median"]), ratios, limits))
    where = results["machine"]
    chart(
        path,
        rows,
        styles,
        LABELS,
        MARKERS["jax"]["color"],
        "Programs as people write them: value and gradients, two threads",
        f"{where['cpu']}, {results['date']}",
        "JAX jit",
    )
