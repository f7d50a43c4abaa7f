"""Measure every elementary function: speed beside NumPy, SciPy and torch, and the largest errors.

python -m benchmarks.elementary                       measure; writes docs/elementary.{md,png} and elementary.json
python -m benchmarks.elementary --all-float32         instead, errors at all 2^32 inputs of float32, one argument
python -m benchmarks.elementary --functions exp,log   only these, the others stay as they were measured
python -m benchmarks.elementary --redraw              measure nothing: write everything again from elementary.json
"""

from __future__ import annotations

import argparse
import datetime
import importlib.metadata
import json
import math
import os
import platform
import statistics
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from . import exact, measure
from .exact import DTYPES, FUNCTIONS, Array
from .report import processor
from .tables import verdict

Results = dict[str, Any]

DIRECTORY = Path(__file__).parent
DOCUMENTS = DIRECTORY.parent / "docs"
#: Elements that a timed call computes.
SIZE = 100_000
LABELS = {"nbgrad": "nbgrad", "numpy": "NumPy", "scipy": "SciPy", "torch": "torch"}
#: What time over the faster peer's is promised, also where that one goes a number at a time.
LIMIT, SCALAR_LIMIT = 1.5, 0.5
SCALAR = ("lgamma", "digamma")
#: NumPy computes these a number at a time in float64, torch does not: promised is SCALAR_LIMIT over NumPy, too.
SCALAR_IN_NUMPY = ("logaddexp", "hypot")


def implementations(name: str) -> dict[str, Callable[[list[Array], Array], Callable[[], Any]]]:
    """Give, for each library with the function, what binds it to inputs and to the array for its results."""
    import torch
    from scipy import special

    from nbgrad.ops.elementwise import OPERATIONS

    function = FUNCTIONS[name]
    found = {"nbgrad": OPERATIONS[name].kernel}
    for library, module, other in (("numpy", np, function.numpy), ("scipy", special, function.scipy)):
        if other is not None and hasattr(module, other or name):
            found[library] = getattr(module, other or name)
    bound: dict[str, Callable[[list[Array], Array], Callable[[], Any]]] = {
        library: partial(_bind, ufunc) for library, ufunc in found.items()
    }
    try:
        operator: Any = torch
        for part in (function.torch or name).split("."):
            operator = getattr(operator, part)
    except AttributeError:
        return bound
    return bound | {
        "torch": lambda inputs, out: partial(operator, *map(torch.from_numpy, inputs), out=torch.from_numpy(out))
    }


def _bind(ufunc: Callable[..., Any], inputs: list[Array], out: Array) -> Callable[[], Any]:
    return partial(ufunc, *inputs, out=out)


@contextmanager
def one_thread() -> Iterator[None]:
    """Have nbgrad and torch compute with one thread, and nobody warn of NaN."""
    import torch

    import nbgrad

    threads = nbgrad.get_num_threads(), torch.get_num_threads()
    nbgrad.set_num_threads(1)
    torch.set_num_threads(1)
    try:
        with np.errstate(all="ignore"):
            yield
    finally:
        nbgrad.set_num_threads(threads[0])
        torch.set_num_threads(threads[1])


# ---- speed ----------------------------------------------------------------------------------------------------------


def speed(name: str, dtype: str, rounds: int) -> Results:
    """Give the nanoseconds an element, and the ratios to the faster peer and to NumPy."""
    random = np.random.default_rng(0)
    function = FUNCTIONS[name]
    inputs = [random.uniform(*function.typical, SIZE).astype(dtype) for _ in range(function.arity)]
    steps = {library: bind(inputs, np.empty(SIZE, dtype)) for library, bind in implementations(name).items()}
    samples = measure.interleaved(steps, rounds)
    nanoseconds = {
        library: measure.quartiles(1e9 * seconds / SIZE for seconds in times) for library, times in samples.items()
    }
    faster = min((times["median"], library) for library, times in nanoseconds.items() if library != "nbgrad")[1]
    return {
        "nanoseconds": nanoseconds,
        "faster": faster,
        "over": {library: measure.ratios(samples, "nbgrad", library) for library in samples if library != "nbgrad"},
    }


# ---- accuracy -------------------------------------------------------------------------------------------------------


def accuracy(name: str, dtype: str, count: int) -> Results:
    """Give the largest error of each library in each region, confirmed by exact values, and the inputs it is at.

    Where a wider dtype has the function, it chooses the points that are worth an exact value, among more samples.
    """
    close = exact.reference(name, dtype)
    inputs = exact.samples(name, dtype, count if close is None else 4 * count)
    floor = exact.floors(name, inputs)
    values: dict[int, Any] = {}
    found: Results = {"samples": inputs[0].size, "worst": {}}
    expected = None if close is None else close(*inputs)
    for library, bind in implementations(name).items():
        results = np.empty(inputs[0].shape, dtype)
        bind(inputs, results)()
        found["worst"][library] = {}
        for region, (inside, _) in FUNCTIONS[name].regions(inputs).items():
            points = np.flatnonzero(inside)
            if expected is not None:
                error = exact.errors(results[points], expected[points], None if floor is None else floor[points])
                # with some that the wider dtype has no say in
                points = np.unique(
                    np.concatenate([points[np.argsort(error)[-100:]], points[:: max(len(points) // 500, 1)]])
                )
            new = [i for i in points.tolist() if i not in values]
            values.update(zip(new, exact.exact_values(name, [x[new] for x in inputs]), strict=True))
            error = exact.exact_errors(
                results[points], [values[i] for i in points.tolist()], None if floor is None else floor[points]
            )
            largest = int(np.argmax(error))
            found["worst"][library][region] = {
                "ulp": float(error[largest]),
                "at": [float(x[points[largest]]) for x in inputs],
            }
    return found


def _sweep(name: str, start: int, count: int, step: int) -> tuple[dict[str, Array], Array]:
    """Look at `count` float32 numbers from the bits `start`: those with the largest errors, and those wrong in kind."""
    from nbgrad.ops.elementwise import OPERATIONS

    bits = (start + step * np.arange(count)).astype(np.uint32)
    x = bits.view(np.float32)
    close = exact.reference(name, "float32")
    assert close is not None
    with np.errstate(all="ignore"):
        results, expected = OPERATIONS[name].kernel(x), close(x)
        error = exact.errors(results, expected, exact.floors(name, [x]))
        wrong = np.isinf(error) | ((results == 0) & (np.signbit(results) != np.signbit(expected)))
        error[wrong | np.isnan(expected)] = -1
        suspects = {}
        for region, (inside, _) in FUNCTIONS[name].regions([x]).items():
            here = np.where(inside, error, -1)
            # as good as the worst: the reference is not exact
            suspects[region] = bits[np.flatnonzero(here >= max(float(here.max()) - 0.01, 0))[:8]]
    return suspects, bits[wrong]


def all_float32(name: str, step: int = 1) -> Results:
    """Give the largest error over all 2^32 inputs, and how many results are not the right NaN, infinity or zero."""
    from nbgrad.ops.elementwise import OPERATIONS

    count = 2**18
    starts = range(0, 2**32, count * step)
    suspects: dict[str, list[Array]] = {}
    wrong = []
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for group in measure.progress(range(0, len(starts), 256), name):
            chunks = [(start, min(count, -(-(2**32 - start) // step))) for start in starts[group : group + 256]]
            for largest, others in pool.map(lambda chunk: _sweep(name, chunk[0], chunk[1], step), chunks):
                wrong.append(others)
                for region, bits in largest.items():
                    suspects.setdefault(region, []).append(bits)
    mismatches = np.concatenate(wrong)
    found: Results = {
        "inputs": -(-(2**32) // step),
        "mismatches": int(mismatches.size),
        "mismatches_at": [float(x) for x in mismatches[:: max(mismatches.size // 8, 1)][:8].view(np.float32)],
        "worst": {},
    }
    for region, parts in suspects.items():
        x = np.concatenate(parts).view(np.float32)
        close = exact.reference(name, "float32")
        assert close is not None
        results, floor = OPERATIONS[name].kernel(x), exact.floors(name, [x])
        order = np.argsort(exact.errors(results, close(x), floor))[-200:]
        error = exact.exact_errors(
            results[order], exact.exact_values(name, [x[order]]), None if floor is None else floor[order]
        )
        found["worst"][region] = {"ulp": float(error.max()), "at": [float(x[order][int(np.argmax(error))])]}
    return found


# ---- the document ---------------------------------------------------------------------------------------------------

INTRODUCTION = """\
# Elementary functions

nbgrad computes these functions itself, in loops that LLVM vectorises, and says how exactly. The table has the speed and
the largest error found of each, beside its peers; made by `python -m benchmarks.elementary`, do not edit. Their
derivatives are in [derivatives.md](derivatives.md)."""

METHOD = """\
**Speed**: nanoseconds an element, one thread, {size:,} elements, results into an array that exists. The libraries take
turns in one process, {rounds} rounds of about {sample:.0f} ms each; times are medians, and ratios are medians of the
ratios within a round, to the faster peer. Promised is at most {limit} times the faster peer's time, {scalar} times
where that computes a number at a time (lgamma and digamma; in float64 also hypot and logaddexp over NumPy), and at most
1 as the geometric mean.

**Errors**: in units in the last place (ulp) of the exact value, by mpmath with 160 bits. Half a unit is what rounding
alone costs. Samples are drawn over all exponents, closely where the results matter, at all distances from zeros and
poles, around the places where arguments are reduced, and, for sin, cos and tan, at the numbers nearest to multiples of
pi/2. The column "all 2^32" is the largest error over every float32 input, by `--all-float32`, where also every NaN,
infinity and signed zero was compared; "wrong kind" counts those that differ. Where terms cancel around their zeros,
results of lgamma, digamma and logaddexp count absolutely (`benchmarks/exact.py` says where). Peers have the same
samples; ∞ stands for a NaN or an infinity where there is a number."""


def _count(value: float) -> str:
    if math.isinf(value):
        return "∞"
    return f"{value:.2f}" if value < 99.5 else f"{value:.1e}".replace("e+0", "e").replace("e+", "e")


def _errors(worst: dict[str, Any] | None, function: exact.Function, judged: bool = False) -> str:
    """Write the largest errors, bold where they are more than promised."""
    if worst is None:
        return ""
    promises = {"": function.promise, "far": function.far[1] if function.far else 0}
    parts = []
    for region, found in worst.items():
        text = _count(found["ulp"])
        parts.append(f"**{text}**" if judged and found["ulp"] > promises[region] else text)
    return "; ".join(parts)


def limits(name: str, dtype: str, faster: str) -> list[tuple[str, float]]:
    """Give the promised ratios: to which library, and at most how much."""
    found = [(faster, SCALAR_LIMIT if name in SCALAR else LIMIT)]
    if name in SCALAR_IN_NUMPY and dtype == "float64":
        found.append(("numpy", SCALAR_LIMIT))
    return found


def geometric_means(results: Results) -> dict[str, float]:
    """Give the geometric means of the ratios to the faster peers, by dtype and of all."""
    ratios: dict[str, list[float]] = {}
    for key, found in results["functions"].items():
        for group in ("all", key.split("/")[1]):
            ratios.setdefault(group, []).append(found["over"][found["faster"]]["median"])
    return {group: statistics.geometric_mean(values) for group, values in ratios.items()}


def table(results: Results) -> str:
    """Give the table of all functions and dtypes."""
    head = ["function", "dtype", *LABELS.values(), "ratio", "limit", "speed", "ulp", "promised", "all 2^32"]
    head += [f"{LABELS[library]} ulp" for library in LABELS if library != "nbgrad"]
    lines = [head, ["---", "---", *["---:"] * (len(head) - 2)]]
    for name, dtype in product(FUNCTIONS, DTYPES):
        found = results["functions"].get(f"{name}/{dtype}")
        if found is None:
            continue
        function, worst = FUNCTIONS[name], found["worst"]
        promised = limits(name, dtype, found["faster"])
        ratios = [found["over"][library]["median"] for library, _ in promised]
        kept = all(ratio <= limit for ratio, (_, limit) in zip(ratios, promised, strict=True))
        sweep = results["all_float32"].get(name) if dtype == "float32" else None
        everywhere = _errors(sweep["worst"], function, judged=True) if sweep else ""
        if sweep and sweep["mismatches"]:
            everywhere += f"; **{sweep['mismatches']} of wrong kind**"
        times = found["nanoseconds"]
        lines.append(
            [
                f"`{name}`",
                dtype,
                *(f"{times[library]['median']:.2f}" if library in times else "" for library in LABELS),
                "; ".join(f"{ratio:.2f}" for ratio in ratios),
                "; ".join(f"{limit} of {LABELS[library]}" for library, limit in promised),
                verdict(0 if kept else 1, 0),
                _errors(worst["nbgrad"], function, judged=True),
                f"{function.promise:g}" + (f"; {function.far[1]:g} from 2^20 on" if function.far else ""),
                everywhere,
                *(_errors(worst.get(library), function) for library in LABELS if library != "nbgrad"),
            ]
        )
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def misses(results: Results) -> str:
    """Name every promise that was not kept."""
    found = []
    for key, entry in results["functions"].items():
        name, dtype = key.split("/")
        for library, limit in limits(name, dtype, entry["faster"]):
            ratio = entry["over"][library]["median"]
            if ratio > limit:
                found.append(f"- `{name}`, {dtype}: {ratio:.2f} times the time of {LABELS[library]}, promised {limit}")
    sources = [
        *((key, entry["worst"]["nbgrad"]) for key, entry in results["functions"].items()),
        *((f"{name}/float32", entry["worst"]) for name, entry in results["all_float32"].items()),
    ]
    for key, worst in sources:
        name, dtype = key.split("/")
        function = FUNCTIONS[name]
        for region, largest in worst.items():
            promise = function.far[1] if region and function.far else function.promise
            if largest["ulp"] > promise:
                place = ", ".join(map(repr, largest["at"]))
                found.append(f"- `{name}`, {dtype}: {_count(largest['ulp'])} ulp at {place}, promised {promise:g}")
    for name, entry in results["all_float32"].items():
        if entry["mismatches"]:
            places = ", ".join(map(repr, entry["mismatches_at"]))
            found.append(f"- `{name}`, float32: {entry['mismatches']} results of the wrong kind, as at {places}")
    mean = geometric_means(results)["all"]
    if mean > 1:
        found.append(f"- the geometric mean of the ratios is {mean:.2f}, promised 1")
    return "\n".join(dict.fromkeys(found)) or "None: every promise was kept."


def document(results: Results) -> str:
    """Give the whole document."""
    means = geometric_means(results)
    where = results["machine"]
    packages = ", ".join(f"{name} {version}" for name, version in results["versions"].items())
    return "\n\n".join(
        [
            INTRODUCTION,
            METHOD.format(
                size=SIZE, rounds=results["rounds"], sample=measure.SAMPLE * 1e3, limit=LIMIT, scalar=SCALAR_LIMIT
            ),
            f"Measured on {results['date']}: {where['cpu']}, {where['system']}, load {where['load']:.2f} before the "
            f"run; {packages}.",
            f"Geometric mean of nbgrad's time over the faster peer's: **{means['all']:.2f}** ("
            + ", ".join(f"{dtype} {means[dtype]:.2f}" for dtype in DTYPES if dtype in means)
            + f"), promised 1: {verdict(means['all'], 1)}.",
            "![nbgrad's time relative to the faster peer's](elementary.png)",
            "## Promises not kept",
            misses(results),
            "## Every function",
            table(results),
            "",
        ]
    )


COLORS = {"float32": "#d1495b", "float64": "#3d405b"}


def draw(results: Results, path: Path) -> None:
    """Draw the ratios to the faster peer, a row a function."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    from matplotlib.lines import Line2D
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    names = [name for name in FUNCTIONS if any(f"{name}/{dtype}" in results["functions"] for dtype in DTYPES)]
    plt.rcParams.update({"font.family": "DejaVu Sans", "font.size": 10})
    figure, axes = plt.subplots(figsize=(9, 1.9 + 0.27 * len(names)), layout="constrained")
    axes.axvline(1, color="#9aa0a6", linewidth=1, zorder=1)
    found = [1.0]
    for row, name in enumerate(names):
        if row % 2 == 0:
            axes.axhspan(row - 0.5, row + 0.5, color="#f4f5f7", zorder=0)
        limit = SCALAR_LIMIT if name in SCALAR else LIMIT
        axes.plot([limit] * 2, [row - 0.4, row + 0.4], color="#e09f3e", linewidth=2, zorder=2)
        for dtype, marker, shift in (("float32", "o", -0.17), ("float64", "s", 0.17)):
            entry = results["functions"].get(f"{name}/{dtype}")
            if entry is None:
                continue
            over = entry["over"][entry["faster"]]
            found.append(over["median"])
            axes.plot([over["low"], over["high"]], [row + shift] * 2, color=COLORS[dtype], linewidth=1, zorder=3)
            axes.scatter(over["median"], row + shift, color=COLORS[dtype], marker=marker, s=34, zorder=4)
            axes.annotate(
                f"{over['median']:.2f} {LABELS[entry['faster']]}",
                (1.01, row + shift),
                xycoords=("axes fraction", "data"),
                va="center",
                fontsize=6.5,
                color=COLORS[dtype],
            )
    axes.set_xscale("log")
    axes.set_xlim(min(found) / 1.2, max(2.0, max(found) * 1.2))
    axes.xaxis.set_major_locator(FixedLocator([0.05, 0.1, 0.2, 0.5, 1, 1.5, 2, 3, 5, 10, 20, 50]))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.grid(axis="x", color="#d9dce1", linewidth=0.7, zorder=0.5)
    axes.set_axisbelow(True)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_yticks(range(len(names)), names)
    axes.tick_params(axis="both", length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.set_xlabel("time of nbgrad over the faster peer's (log scale; further left is faster)")
    handles = [
        axes.scatter([], [], color=COLORS["float32"], marker="o", s=34),
        axes.scatter([], [], color=COLORS["float64"], marker="s", s=34),
        Line2D([], [], color="#e09f3e", linewidth=0, marker="|", markersize=12, markeredgewidth=2),
    ]
    figure.legend(handles, ["float32", "float64", "promised limit"], loc="outside lower center", ncols=3, frameon=False)
    means = geometric_means(results)
    figure.suptitle(
        f"Elementary functions, one thread: geometric mean {means['all']:.2f}", fontsize=13, fontweight="bold"
    )
    axes.set_title(f"{results['machine']['cpu']}, {results['date']}", fontsize=9, color="#6b7280")
    figure.savefig(path, dpi=150)
    plt.close(figure)


# ---- the command ----------------------------------------------------------------------------------------------------


def circumstances(rounds: int) -> Results:
    """Give when, where and with what is measured."""
    packages = ("nbgrad", "numpy", "scipy", "torch", "numba", "mpmath")
    import nbgrad

    versions = {name: importlib.metadata.version(name) for name in packages if name != "nbgrad"}
    return {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "rounds": rounds,
        "machine": {
            "cpu": processor(),
            "system": f"{platform.system()} {platform.machine()}",
            "load": os.getloadavg()[0],
        },
        "versions": {"Python": platform.python_version(), "nbgrad": nbgrad.__version__, **versions},
    }


def main(arguments: list[str] | None = None) -> None:
    """Run the command; see the top of this file."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.elementary", description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="FUNCTION", help="which functions (default: all)")
    parser.add_argument("--functions", default="", help="the same, separated by commas")
    parser.add_argument("--all-float32", action="store_true", help="errors at all 2^32 float32 inputs: hours for all")
    parser.add_argument("--redraw", action="store_true", help="measure nothing, read elementary.json")
    parser.add_argument("--quick", action="store_true", help="a few samples, to see that it works")
    parser.add_argument("--rounds", type=int, default=11, help="turns of each library (default: 11)")
    parser.add_argument("--directory", type=Path, help="where all results go (default: docs/ and benchmarks/)")
    options = parser.parse_args(arguments)

    names = [*options.names, *filter(None, options.functions.split(","))]
    unknown = set(names) - set(FUNCTIONS)
    if unknown:
        parser.error(f"no such function: {', '.join(sorted(unknown))}; there are {', '.join(FUNCTIONS)}")
    if options.directory:
        options.directory.mkdir(parents=True, exist_ok=True)
    documents, data = (options.directory or DOCUMENTS), (options.directory or DIRECTORY) / "elementary.json"
    rounds = 2 if options.quick else options.rounds
    results: Results = json.loads(data.read_text()) if data.exists() else {"functions": {}, "all_float32": {}}
    with one_thread():
        if options.redraw:
            pass
        elif options.all_float32:
            for name in names or FUNCTIONS:
                if FUNCTIONS[name].arity == 1:
                    results["all_float32"][name] = found = all_float32(name, 65536 if options.quick else 1)
                    print(name, json.dumps(found), flush=True)
                    data.write_text(json.dumps(results, indent=1) + "\n")
        else:
            if not names:
                results["functions"] = {}
            results |= circumstances(rounds)
            for name, dtype in measure.progress(list(product(names or FUNCTIONS, DTYPES)), "functions"):
                results["functions"][f"{name}/{dtype}"] = {
                    **speed(name, dtype, rounds),
                    **accuracy(name, dtype, 50 if options.quick else 12_000),
                }
            data.write_text(json.dumps(results, indent=1) + "\n")
    if results["functions"]:
        (documents / "elementary.md").write_text(document(results))
        draw(results, documents / "elementary.png")
        print(misses(results))


if __name__ == "__main__":
    main()
