"""Compare nbgrad with its peers, and write the comparison as markdown, JSON and a picture.

python -m benchmarks.report            measure, and write results.md, results.json and results.png in benchmarks/
python -m benchmarks.report --readme   also replace the section between the markers of README.md
python -m benchmarks.report --redraw   measure nothing: write everything again from results.json
"""

from __future__ import annotations

import argparse
import datetime
import importlib.metadata
import json
import os
import platform
import sys
from pathlib import Path
from typing import Any

from . import measure, memory, startup, tables
from .libraries import LIBRARIES, checked_step, missing_packages, takes_part
from .workloads import workloads

DIRECTORY = Path(__file__).parent
#: The load above which something else is running.
BUSY = 0.5
README = DIRECTORY.parent / "README.md"


def processor() -> str:
    """Give the processor's name, which Linux has in /proc/cpuinfo."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    found = dict(line.split(":", 1) for line in lines if ":" in line)
    fields = {name.strip(): value.strip() for name, value in found.items()}
    name = fields.get("model name", platform.machine())
    return f"{name} (family {fields['cpu family']}, model {fields['model']})" if "cpu family" in fields else name


def describe_machine(load: float) -> dict[str, Any]:
    """Give what shapes the numbers besides the code."""
    import torch

    import nbgrad

    return {
        "cpu": processor(),
        "cores": os.cpu_count(),
        "memory_gb": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9,
        "system": f"{platform.system()} {platform.machine()}",
        "load": load,
        "threads": {"nbgrad": nbgrad.get_num_threads(), "torch": torch.get_num_threads()},
        "peak_gflops": peaks(),
    }


def peaks() -> dict[str, float]:
    """Give the measured peak of matrix products by dtype, in GFLOP/s."""
    return {dtype: measure.matmul_peak(dtype) / 1e9 for dtype in ("float32", "float64")}


def versions() -> dict[str, str]:
    """Give the versions of Python and the packages compared."""
    import nbgrad

    packages = ("numpy", "numba", "torch", "jax", "autograd")
    found = {package: importlib.metadata.version(package) for package in packages}
    return {"Python": platform.python_version(), "nbgrad": nbgrad.__version__, **found}


def run(rounds: int, startup_rounds: int) -> dict[str, Any]:
    """Measure everything; the processes first, while this one is small and idle."""
    load = os.getloadavg()[0]
    if load > BUSY:
        print(f"the load is {load:.2f}: what uses several threads will look many times too slow", file=sys.stderr)
    results: dict[str, Any] = {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "rounds": rounds,
        "startup": startup.measure(startup_rounds),
        "memory": memory.measure(),
        "machine": describe_machine(load),
        "versions": versions(),
        "workloads": [],
    }
    for workload in measure.progress(workloads(), "workloads"):
        steps = {name: checked_step(name, workload) for name in LIBRARIES if takes_part(name, workload)}
        results["workloads"].append(
            {
                "name": workload.name,
                "title": workload.title,
                "dtype": workload.dtype,
                "limit": workload.limit,
                **measure.work_of(workload),
                **measure.summary(measure.interleaved(steps, rounds)),
            }
        )
    # a busy machine hides its peak, and too low a peak makes too high a floor: the better of two measurements counts
    peak = results["machine"]["peak_gflops"]
    peak.update({dtype: max(value, peak[dtype]) for dtype, value in peaks().items()})
    for workload in results["workloads"]:
        workload["floor"] = measure.floor_of(workload, peak[workload["dtype"]] * 1e9)
    return results


def main(arguments: list[str] | None = None) -> None:
    """Run the command; see the top of this file."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.report", description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=21, help="turns of each library in each workload (default: 21)")
    parser.add_argument("--startup-rounds", type=int, default=5, help="processes of each library (default: 5)")
    parser.add_argument("--directory", type=Path, default=DIRECTORY, help="where the results go (default: benchmarks/)")
    parser.add_argument("--readme", action="store_true", help="replace the section between the markers of README.md")
    parser.add_argument("--redraw", action="store_true", help="measure nothing, read results.json")
    options = parser.parse_args(arguments)

    data = options.directory / "results.json"
    if options.redraw:
        results = json.loads(data.read_text())
    else:
        missing = missing_packages()
        if missing:
            sys.exit(f"not installed: {', '.join(missing)}; python -m pip install -e '.[bench]' installs the peers")
        results = run(options.rounds, options.startup_rounds)
        data.write_text(json.dumps(results, indent=1) + "\n")

    from .plot import draw

    report = tables.report(results, results["rounds"], measure.SAMPLE, measure.KERNEL_CALL)
    (options.directory / "results.md").write_text(report)
    draw(results, options.directory / "results.png")
    print(tables.promises(results))
    if options.readme:
        try:
            README.write_text(tables.replace_section(README.read_text(), tables.readme_section(results)))
        except ValueError as error:
            sys.exit(f"README.md is unchanged: {error}")


if __name__ == "__main__":
    main()
