"""The results as a picture: each library's time relative to another, a row a workload."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from .libraries import LIBRARIES
from .tables import duration

# nbgrad is large and beneath, so that it hides nobody
STYLES: dict[str, dict[str, Any]] = {
    "nbgrad": {"color": "#d1495b", "marker": "o", "s": 190, "zorder": 2.5},
    "torch": {"color": "#3d405b", "marker": "s", "s": 55, "zorder": 3, "edgecolor": "white"},
    "jax": {"color": "#2a9d8f", "marker": "D", "s": 50, "zorder": 4, "edgecolor": "white"},
    "jax-eager": {"color": "white", "edgecolor": "#2a9d8f", "linewidth": 1.6, "marker": "D", "s": 45, "zorder": 3},
    "autograd": {"color": "#e09f3e", "marker": "^", "s": 65, "zorder": 3, "edgecolor": "white"},
    "numpy": {"color": "#9aa0a6", "marker": "X", "s": 65, "zorder": 3, "edgecolor": "white"},
}
LABELS = {"jax": "JAX, jit-compiled", "numpy": "NumPy, derivative by hand"}


def _times(value: float, _: Any = None) -> str:
    return f"{value:g}×" if value >= 1 else f"1/{1 / value:g}"


_RED = STYLES["nbgrad"]["color"]
_TICKS = [1 / 1000, 1 / 300, 1 / 100, 1 / 30, 1 / 10, 1 / 3, 1, 3, 10, 30, 100, 300, 1000]


class Row(NamedTuple):
    """A row of a chart: what it is, nbgrad's time, the libraries' times relative to the line at 1, and the limits."""

    title: str
    time: str
    ratios: dict[str, float]
    limits: list[float]
    #: A limit of another kind.
    other: float | None = None


def chart(
    path: Path,
    rows: list[Row],
    styles: dict[str, dict[str, Any]],
    labels: dict[str, str],
    line: str,
    heading: str,
    subheading: str,
    relative_to: str,
    other: tuple[str, str] | None = None,
) -> None:
    """Draw rows of marks on a logarithmic axis, a line of the color `line` at 1, and save the picture.

    `other` is what the rows' other limits are called, and their color.
    """
    height = 0.46 if any("\n" in row.title for row in rows) else 0.32
    plt.rcParams.update({"font.family": "DejaVu Sans", "font.size": 10})
    figure, axes = plt.subplots(figsize=(11, 1.9 + height * len(rows)), layout="constrained")
    axes.axvline(1, color=line, linewidth=1, zorder=1)
    for number, row in enumerate(rows):
        if number % 2 == 0:
            axes.axhspan(number - 0.5, number + 0.5, color="#f4f5f7", zorder=0)
        for name, value in row.ratios.items():
            axes.scatter(value, number, **styles[name])
        limits = [(limit, _RED) for limit in row.limits]
        if other is not None and row.other is not None:
            limits.append((row.other, other[1]))
        for limit, color in limits:
            axes.plot([limit] * 2, [number - 0.36, number + 0.36], color=color, linewidth=2.5, zorder=2)
    values = [1.0, *(value for row in rows for value in (*row.ratios.values(), *row.limits))]
    lowest, highest = min(values) / 1.5, max(values) * 1.5

    axes.set_xscale("log")
    axes.set_xlim(lowest, highest)
    axes.xaxis.set_major_locator(FixedLocator([tick for tick in _TICKS if lowest < tick < highest]))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(_times))
    axes.grid(axis="x", color="#d9dce1", linewidth=0.7, zorder=0.5)
    axes.set_axisbelow(True)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_yticks(range(len(rows)), [row.title for row in rows])
    right = axes.secondary_yaxis("right")
    right.set_yticks(range(len(rows)), [row.time for row in rows])
    right.set_ylabel("time of nbgrad", color=_RED)
    for side in (axes, right):
        side.tick_params(axis="both", length=0)
        for spine in side.spines.values():
            spine.set_visible(False)
    right.tick_params(axis="y", colors=_RED)
    axes.set_xlabel(f"time relative to {relative_to} (log scale; further left is faster)")
    axes.tick_params(axis="x", labeltop=len(rows) > 20)  # where the axis is far below

    handles = [axes.scatter([], [], **style) for style in styles.values()]
    names = [labels[name] for name in styles]
    for name, color in [("promised limit for nbgrad", _RED), *([other] if other is not None else [])]:
        mark = {"linestyle": "none", "marker": "|", "markersize": 13, "markeredgewidth": 2.5}
        handles.append(plt.Line2D([], [], color=color, **mark))
        names.append(name)
    figure.legend(handles, names, loc="outside lower center", ncols=4, frameon=False)
    figure.suptitle(heading, fontsize=14, fontweight="bold")
    axes.set_title(subheading, fontsize=9, color="#6b7280")
    figure.savefig(path, dpi=150)
    plt.close(figure)


def draw(results: dict[str, Any], path: Path) -> None:
    """Draw the workloads' times relative to torch's."""
    rows = [
        Row(
            f"{workload['title']}\n{workload['dtype']}",
            duration(workload["seconds"]["nbgrad"]["median"]),
            {name: over["median"] for name, over in workload["over_torch"].items()},
            [workload["limit"]] if workload["limit"] else [],
        )
        for workload in results["workloads"]
    ]
    machine = results["machine"]
    chart(
        path,
        rows,
        STYLES,
        {name: LABELS.get(name, LIBRARIES[name].label) for name in STYLES},
        STYLES["torch"]["color"],
        "Value and gradients: nbgrad and its peers on the same work",
        f"{machine['cpu']}, {machine['cores']} cores, {results['date']}",
        "torch eager",
    )
