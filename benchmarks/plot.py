"""The results as a picture: each library's time relative to torch's, a row a workload."""

from __future__ import annotations

from pathlib import Path
from typing import Any

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


def draw(results: dict[str, Any], path: Path) -> None:
    """Draw the picture and save it."""
    workloads = results["workloads"]
    plt.rcParams.update({"font.family": "DejaVu Sans", "font.size": 10})
    figure, axes = plt.subplots(figsize=(11, 1.9 + 0.46 * len(workloads)), layout="constrained")
    axes.axvline(1, color=STYLES["torch"]["color"], linewidth=1, zorder=1)
    lowest, highest = 1.0, 1.0
    for row, workload in enumerate(workloads):
        if row % 2 == 0:
            axes.axhspan(row - 0.5, row + 0.5, color="#f4f5f7", zorder=0)
        ratios = {name: over["median"] for name, over in workload["over_torch"].items()}
        for name, value in ratios.items():
            axes.scatter(value, row, **STYLES[name])
        if workload["limit"]:
            axes.plot([workload["limit"]] * 2, [row - 0.36, row + 0.36], color="#d1495b", linewidth=2.5, zorder=2)
        lowest, highest = min(lowest, *ratios.values()), max(highest, *ratios.values())

    axes.set_xscale("log")
    axes.set_xlim(lowest / 1.5, highest * 1.5)
    ticks = [1 / 1000, 1 / 300, 1 / 100, 1 / 30, 1 / 10, 1 / 3, 1, 3, 10, 30, 100, 300, 1000]
    ticks = [tick for tick in ticks if lowest / 1.5 < tick < highest * 1.5]
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(_times))
    axes.grid(axis="x", color="#d9dce1", linewidth=0.7, zorder=0.5)
    axes.set_axisbelow(True)
    axes.set_ylim(len(workloads) - 0.5, -0.5)
    axes.set_yticks(range(len(workloads)), [f"{w['title']}\n{w['dtype']}" for w in workloads])
    right = axes.secondary_yaxis("right")
    right.set_yticks(range(len(workloads)), [duration(w["seconds"]["nbgrad"]["median"]) for w in workloads])
    right.set_ylabel("time of nbgrad", color="#d1495b")
    for side in (axes, right):
        side.tick_params(axis="both", length=0)
        for spine in side.spines.values():
            spine.set_visible(False)
    right.tick_params(axis="y", colors="#d1495b")
    axes.set_xlabel("time relative to torch eager (log scale; further left is faster)")

    handles = [axes.scatter([], [], **style) for style in STYLES.values()]
    handles.append(
        plt.Line2D(
            [], [], color="#d1495b", linewidth=2.5, linestyle="none", marker="|", markersize=13, markeredgewidth=2.5
        )
    )
    names = [LABELS.get(name, LIBRARIES[name].label) for name in STYLES]
    figure.legend(handles, [*names, "promised limit for nbgrad"], loc="outside lower center", ncols=4, frameon=False)
    figure.suptitle("Value and gradients: nbgrad and its peers on the same work", fontsize=14, fontweight="bold")
    axes.set_title(
        f"{results['machine']['cpu']}, {results['machine']['cores']} cores, {results['date']}",
        fontsize=9,
        color="#6b7280",
    )
    figure.savefig(path, dpi=150)
    plt.close(figure)
