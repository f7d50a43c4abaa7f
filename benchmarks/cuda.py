"""Compare nbgrad on a GPU with torch eager, torch.compile, JAX jit and CuPy by hand: values and gradients.

python -m benchmarks.cuda                     measure; writes cuda.md, cuda.json and cuda.png in benchmarks/
python -m benchmarks.cuda --only chain,host   only these, the others stay as they were measured
python -m benchmarks.cuda --redraw            measure nothing: write everything again from cuda.json
python -m benchmarks.cuda --quick             tiny sizes, to see that it works; written only where --directory says

Every case runs in a process of its own: a library that crashes, or spoils the device for all others, costs its column.
Where there is no GPU nothing is measured and nothing is written.
"""

from __future__ import annotations

import argparse
import datetime
import importlib.metadata
import itertools
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from . import measure, startup
from .cuda_workloads import (
    LABELS,
    LIBRARIES,
    STEPS,
    Case,
    Step,
    cases,
    compared,
    of_nbgrad,
    reference,
    results_of,
    wait_for,
)
from .report import README, processor
from .tables import _table, duration, ratio, replace_section, verdict

Array = np.ndarray
Results = dict[str, Any]

DIRECTORY = Path(__file__).parent
ROOT = DIRECTORY.parent
BEGIN, END = "<!-- cuda:begin -->", "<!-- cuda:end -->"
#: What libraries read when they are imported: JAX is to leave memory to the others, and cuBLAS to compute products of
#: float32 in float32.
ENVIRONMENT = {"XLA_PYTHON_CLIENT_PREALLOCATE": "false", "NVIDIA_TF32_OVERRIDE": "0"}
#: Seconds of one sample: far more than the wait for the device at its end.
SAMPLE = 0.05
#: Calls of a step before it is timed: by then the memory that results get comes round, and graphs were captured.
WARM_CALLS = 30
#: Seconds after which a process that measures a case is given up.
PATIENCE = 180


# ---- who takes part -------------------------------------------------------------------------------------------------


def _reason(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:200]}"


def _say(kind: str, what: Any) -> None:
    """Tell the process that waits for this one."""
    print(f"@{kind} {json.dumps(what)}", flush=True)


def checked_steps(
    case: Case, arrays: tuple[Array, ...], without: set[str], device: str = "cuda"
) -> tuple[dict[str, Step], dict[str, str]]:
    """Give the steps of all libraries that agree with the reference, and why the others do not take part."""
    expected = reference(case, arrays)
    steps: dict[str, Step] = {}
    left_out: dict[str, str] = {}
    for library in case.libraries:
        if library in without:
            continue
        _say("running", library)
        try:
            step = LIBRARIES[library](case, arrays, device)
            compared(case, library, results_of(case, step), expected, arrays)
        except Exception as error:
            if not isinstance(error, ImportError):
                traceback.print_exc(limit=-6)
            left_out[library] = _reason(error)
            wait_for(device)  # raises if the device is spoilt for all others, which ends this process
        else:
            steps[library] = step
    return steps, left_out


# ---- measuring ------------------------------------------------------------------------------------------------------


class _Failure(Exception):
    """A library failed while it was timed."""


def _repeated(library: str, step: Step, calls: int) -> Callable[[], None]:
    """Give a function that calls a step many times and waits once."""

    def run() -> None:
        _say("running", library)
        try:
            for _ in itertools.repeat(None, calls):
                result = step.call()
            step.wait(result)
        except Exception as error:
            raise _Failure(library) from error

    return run


def samples_of(
    steps: dict[str, Step], rounds: int, left_out: dict[str, str], device: str = "cuda"
) -> dict[str, list[float]]:
    """Give the seconds a call, once a round; who fails is left out, and the others begin anew."""
    while True:
        try:
            repeated, calls = {}, {}
            for library, step in steps.items():
                few = _repeated(library, step, WARM_CALLS)
                few()
                calls[library] = max(1, round(SAMPLE / (measure.time_of(few, 1) / WARM_CALLS)))
                repeated[library] = _repeated(library, step, calls[library])
            samples = measure.interleaved(repeated, rounds)
        except _Failure as failure:
            traceback.print_exc(limit=-6)
            library = str(failure)
            left_out[library] = _reason(failure.__cause__ or failure)
            del steps[library]
            wait_for(device)
        else:
            return {library: [x / calls[library] for x in times] for library, times in samples.items()}


def copying(moved: int) -> Step:
    """Give a copy on the device that reads and writes so many bytes together."""
    import cupy

    source, target = (cupy.zeros(moved // 2, "uint8") for _ in range(2))
    runtime = cupy.cuda.runtime

    def copy() -> tuple[Any, ...]:
        stream = cupy.cuda.get_current_stream().ptr
        kind = runtime.memcpyDeviceToDevice
        runtime.memcpyAsync(target.data.ptr, source.data.ptr, target.nbytes, kind, stream)
        return ()

    return Step(copy, partial(wait_for, "cuda"), [])


_NEXT = """
def kernel(x, n):
    i = int64(cuda.blockIdx.x) * int64(cuda.blockDim.x) + int64(cuda.threadIdx.x)
    if i < n:
        x[i] = x[i] + float32(1)
"""


def launching() -> Step:
    """Give a launch of a kernel on a thousand elements, nothing around it."""
    import cupy

    from nbgrad.kernels.cuda import launch

    x = cupy.zeros(1000, "float32")
    run, address = launch.kernel("next", _NEXT, ("float32*", "int64")), x.data.ptr

    def step() -> tuple[Any, ...]:
        run(4, 256, address, x.size)
        return ()

    return Step(step, partial(wait_for, "cuda"), [])


def host_seconds(step: Step, calls: int = 100) -> float:
    """Give the seconds until a call returns, nothing else being under way on the device."""
    times = []
    for _ in range(calls):
        step.wait(())
        start = time.perf_counter()
        result = step.call()
        times.append(time.perf_counter() - start)
    step.wait(result)
    return statistics.median(times)


def product_flops(size: int = 8192) -> float:
    """Give the measured peak of float32 products, in flops a second."""
    import nbgrad

    x, w = (nbgrad.full((size, size), 0.5, dtype=np.float32, device="cuda") for _ in range(2))
    few = _repeated("nbgrad", Step(lambda: (nbgrad.matmul(x, w),), partial(wait_for, "cuda"), []), 3)
    few()
    return 3 * 2 * size**3 / min(measure.time_of(few, 1) for _ in range(5))


def floor_of(case: Case, seconds: dict[str, float], quick: bool) -> Results:
    """Give the seconds that the device or the driver needs at least, and for what."""
    if case.moved:
        speed = case.moved / seconds["copy"]
        return {"seconds": seconds["copy"], "of": f"{case.moved / 1e6:.4g} MB at {speed / 1e9:,.0f} GB/s"}
    if case.launches:
        launch = host_seconds(launching())
        return {"seconds": launch * case.launches, "of": f"launches: {case.launches} of {duration(launch)}"}
    peak = product_flops(64 if quick else 8192)
    return {"seconds": case.flops / peak, "of": f"{case.flops / 1e9:.3g} GFLOP at {peak / 1e12:.3g} TFLOP/s"}


def speed(case: Case, rounds: int, without: set[str], quick: bool) -> Results:
    """Give times, ratios and the floor."""
    steps, left_out = checked_steps(case, case.make(), without)
    if case.moved:
        steps["copy"] = copying(case.moved)
    samples = samples_of(steps, rounds, left_out)
    seconds = {library: measure.quartiles(times) for library, times in samples.items()}
    others = [library for library in samples if library != case.subject and case.subject in samples]
    return {
        "title": case.title,
        "subject": case.subject,
        "limits": case.limits,
        "seconds": seconds,
        "floor": floor_of(case, {library: found["median"] for library, found in seconds.items()}, quick),
        "over": {library: measure.ratios(samples, case.subject, library) for library in others},
        "left_out": left_out,
    }


def host(quick: bool) -> Results:
    """Give the times of single calls: of a launch, and of a compiled training step with and without its graphs."""
    from nbgrad.kernels.cuda import workspace
    from nbgrad.kernels.cuda.graphs import Graph

    case = next(case for case in cases(quick) if case.trains)
    arrays = case.make()

    def alone(step: Step) -> Results:
        for _ in range(WARM_CALLS):
            step.call()
        whole = step._replace(call=lambda: (step.wait(step.call()),))
        found: Results = {"host": host_seconds(step), "done": host_seconds(whole)}
        with mock.patch.object(Graph, "launch", autospec=True, side_effect=Graph.launch) as launch:
            for _ in range(20):
                step.call()
        step.wait(())
        return found | {"calls": 20, "graphs": launch.call_count}

    with mock.patch.object(workspace, "capture", return_value=None):  # as where nothing can be captured
        without = alone(of_nbgrad(case, arrays, "cuda"))
    return {
        "launch of a kernel on 1,000 elements": alone(launching()),
        f"nbgrad.jit, {case.title}": alone(of_nbgrad(case, arrays, "cuda")),
        "the same without CUDA graphs": without,
    }


_FIRST = """
import time
from benchmarks.cuda import LIBRARIES, cases
case = next(case for case in cases({quick}) if case.name == "{name}")
step = LIBRARIES[case.subject](case, case.make(), "cuda")
start = time.perf_counter()
result = step.call()
step.wait(result)
print(time.perf_counter() - start, 0)
"""


def first(quick: bool) -> Results:
    """Give the seconds of first calls, in processes that find an empty cache, and what these have left there."""
    found: Results = {}
    for name, title in (("mlp", "nbgrad.jit, MLP training step"), ("mul-100", "eager, 100 multiplications")):
        with tempfile.TemporaryDirectory() as directory:
            for cache in ("empty", "warm"):
                try:
                    whole, (call, _) = startup.run(_FIRST.format(quick=quick, name=name), directory)
                except RuntimeError as error:  # with all that the process wrote
                    raise RuntimeError((str(error).strip().splitlines() or ["it crashed"])[-1]) from error
                found[f"{title}, {cache} cache"] = {"call": call, "process": whole}
    return found


#: What is measured of nbgrad alone.
PARTS: dict[str, Callable[[bool], Results]] = {"host": host, "first": first}

# ---- processes ------------------------------------------------------------------------------------------------------


def child(name: str, rounds: int, without: set[str], quick: bool) -> None:
    """Measure one case and say what was found, or why nothing was; runs in a process of its own."""
    try:
        if name in PARTS:
            found = PARTS[name](quick)
        else:
            case = next(case for case in cases(quick) if case.name == name)
            found = speed(case, rounds, without, quick)
    except Exception as error:
        _say("ended", _reason(error))
        raise
    _say("result", found)


def _run_child(name: str, rounds: int, without: set[str], quick: bool) -> tuple[dict[str, Any], str]:
    """Give the last of each kind of thing that a child said, and how it ended."""
    program = f"from benchmarks.cuda import child; child({name!r}, {rounds}, set({sorted(without)!r}), {quick})"
    try:
        done = subprocess.run([sys.executable, "-c", program], stdout=subprocess.PIPE, cwd=ROOT, timeout=PATIENCE)
        said, end = done.stdout, f"the process ended with status {done.returncode}"
    except subprocess.TimeoutExpired as error:
        said, end = error.stdout or b"", f"nothing came of it in {PATIENCE} s"
    found = {}
    for line in said.decode(errors="replace").splitlines():
        kind, _, what = line.partition(" ")
        if kind in ("@running", "@ended", "@result"):
            found[kind[1:]] = json.loads(what)
    return found, found.get("ended", end)


def measured(name: str, rounds: int, without: set[str], quick: bool) -> Results:
    """Measure a case in a process of its own, in another one without the library that a process died of."""
    taking_part = next((case.libraries for case in cases() if case.name == name), ())
    left_out = dict.fromkeys([library for library in taking_part if library in without], "left out")
    while True:
        said, end = _run_child(name, rounds, set(left_out), quick)
        if "result" in said:
            result: Results = said["result"]
            if "left_out" in result:
                result["left_out"] |= left_out
            return result
        culprit = said.get("running")
        if culprit not in LIBRARIES or culprit in left_out:
            return {"failed": end}
        left_out[culprit] = end


# ---- the document ---------------------------------------------------------------------------------------------------

INTRODUCTION = """\
# nbgrad on a GPU, and its peers

Everything is float32, without TF32. Made by `python -m benchmarks.cuda`; do not edit."""

METHOD = """\
All libraries have their arrays on the GPU already and give new ones; all are compiled before they are timed, and their
values and gradients, or the parameters after {steps} steps of training, compared with what nbgrad's functions on the
CPU give in float64. The libraries take turns in one process, {rounds} rounds of about {sample:.0f} ms each, which end
with a wait for the GPU; times are medians. Ratios are medians of the ratios within a round, with quartiles. The floor
is what the computation needs at least: its inputs and gradients moved once, as fast as a copy on the GPU, which takes
its turns as well; its matrix products at the speed of those of 8192 x 8192; or kernels launched by the driver, with
nothing around them. Behind each time stands how many times the floor it is."""


def _medians(found: Results) -> dict[str, float]:
    return {library: times["median"] for library, times in found["seconds"].items()}


def _measured_cases(results: Results) -> list[Results]:
    names = [case.name for case in cases() if case.name in results["cases"]]
    return [found for found in map(results["cases"].get, names) if "failed" not in found]


def _times(value: float) -> str:
    return f"{value:.3g}×" if value < 999.5 else f"{value:,.0f}×"


def table(results: Results) -> str:
    """Give the table of all times."""
    shown = [library for library in LABELS if library != "copy"]
    rows = []
    for found in _measured_cases(results):
        seconds, floor = _medians(found), found["floor"]
        best = min((x for library, x in seconds.items() if library != "copy"), default=0)
        cells = []
        for library in shown:
            text = duration(seconds[library]) if library in seconds else ""
            text = f"**{text}**" if seconds.get(library) == best else text
            cells.append(f"{text}, {_times(seconds[library] / floor['seconds'])}" if text else "")
        rows.append([found["title"], *cells, f"{duration(floor['seconds'])}: {floor['of']}"])
    return _table(["float32", *(LABELS[library] for library in shown), "floor"], rows)


def promises(results: Results) -> str:
    """Give the table of the promises."""
    rows = []
    for found in _measured_cases(results):
        seconds, subject = _medians(found), found["subject"]
        for library, limit in found["limits"].items():
            over = found["over"].get(library)
            rows.append(
                [
                    found["title"],
                    f"{LABELS[subject]} / {LABELS[library]}",
                    duration(seconds[subject]) if subject in seconds else "",
                    duration(seconds[library]) if library in seconds else "",
                    ratio(over) if over else "",
                    f"{limit:.3g}",
                    verdict(over["median"] if over else None, limit),
                ]
            )
    return _table(["float32", "ratio", "nbgrad", "the other", "measured", "limit", "verdict"], rows)


def failures(results: Results) -> list[str]:
    """Say what failed that must not: nbgrad, or a whole case."""
    parts = results["cases"] | {name: results[name] for name in PARTS if name in results}
    found = [f"{name}: {part['failed']}" for name, part in parts.items() if "failed" in part]
    return found + [
        f"{result['title']}, {LABELS[library]}: {reason}"
        for result in _measured_cases(results)
        for library, reason in result["left_out"].items()
        if library.startswith("nbgrad") and reason != "left out"
    ]


def left_out(results: Results) -> list[str]:
    """Say which peer did not take part in what, and why."""
    reasons: dict[tuple[str, str], list[str]] = {}
    for result in _measured_cases(results):
        for library, reason in result["left_out"].items():
            if not library.startswith("nbgrad") or reason == "left out":
                reasons.setdefault((library, reason), []).append(result["title"])
    return [f"{LABELS[library]}, in {'; '.join(titles)}: {why}" for (library, why), titles in reasons.items()]


def single_calls(results: Results) -> str:
    """Give the table of single calls."""
    return _table(
        ["a call on an idle GPU", "until it returns", "until it is done", "graph launches"],
        [
            [title, duration(found["host"]), duration(found["done"]), f"{found['graphs']} in {found['calls']} calls"]
            for title, found in results["host"].items()
        ],
    )


def first_calls(results: Results) -> str:
    """Give the table of first calls."""
    return _table(
        ["first call of nbgrad", "call", "whole process"],
        [[title, duration(found["call"]), duration(found["process"])] for title, found in results["first"].items()],
    )


def circumstances_of(results: Results) -> str:
    """Say in a sentence where and with what was measured."""
    versions = ", ".join(f"{name} {version}" for name, version in results["versions"].items())
    return f"Measured on {results['date']}: {results['device']}, {results['machine']}; {versions}."


def _listed(lines: list[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def document(results: Results) -> str:
    """Give the whole document."""
    found = bool(_measured_cases(results))
    sections = {
        "Failures": _listed(failures(results)),
        "Promises": promises(results) if found else "",
        "Times": f"{table(results)}\n\n![time of each library over the floor](cuda.png)" if found else "",
        "Single calls": single_calls(results) if "failed" not in results.get("host", {"failed": ""}) else "",
        "First calls": first_calls(results) if "failed" not in results.get("first", {"failed": ""}) else "",
        "Left out": _listed(left_out(results)),
    }
    method = METHOD.format(steps=STEPS, rounds=results["rounds"], sample=SAMPLE * 1e3)
    parts = [INTRODUCTION, method, circumstances_of(results)]
    parts += [f"## {title}\n\n{text}" for title, text in sections.items() if text]
    return "\n\n".join(parts) + "\n"


def draw(results: Results, path: Path) -> None:
    """Draw each library's time over the floor, a row a case, with the limits."""
    from .jit import MARKERS
    from .plot import Row, chart

    styles = {
        "nbgrad": MARKERS["nbgrad"],
        "nbgrad-eager": {**MARKERS["nbgrad"], "color": "white", "edgecolor": MARKERS["nbgrad"]["color"]},
        **{name: MARKERS[name] for name in ("torch", "torch.compile", "jax")},
        "cupy": MARKERS["by-hand"],
    }
    rows = []
    for found in _measured_cases(results):
        seconds, floor = _medians(found), found["floor"]["seconds"]
        limits = [limit * seconds[library] / floor for library, limit in found["limits"].items() if library in seconds]
        rows.append(
            Row(
                found["title"],
                duration(seconds[found["subject"]]) if found["subject"] in seconds else "",
                {library: x / floor for library, x in seconds.items() if library in styles},
                limits,
            )
        )
    heading = "nbgrad and its peers on a GPU"
    chart(path, rows, styles, LABELS, "#9aa0a6", heading, f"{results['device']}, {results['date']}", "the floor")


# ---- the command ----------------------------------------------------------------------------------------------------


def circumstances(rounds: int) -> Results:
    """Give when, where and with what is measured."""
    import cupy

    import nbgrad

    runtime = cupy.cuda.runtime.driverGetVersion()
    versions = {"CUDA of the driver": f"{runtime // 1000}.{runtime % 1000 // 10}"}
    if shutil.which("nvidia-smi"):
        query = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
        said = subprocess.run(query, capture_output=True, text=True).stdout.split()
        versions |= {"driver": said[0]} if said else {}
    versions |= {"Python": platform.python_version(), "nbgrad": nbgrad.__version__}
    for package in ("numpy", "numba", "numba-cuda", "cuda-core", "cupy-cuda13x", "nvmath-python", "torch", "jax"):
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "rounds": rounds,
        "device": nbgrad.cuda.get_device_name(),
        "machine": f"{processor()}, {os.cpu_count()} cores",
        "versions": versions,
    }


def write(results: Results, directory: Path) -> None:
    """Write data, document and picture."""
    (directory / "cuda.json").write_text(json.dumps(results, indent=1) + "\n")
    (directory / "cuda.md").write_text(document(results))
    if not _measured_cases(results):
        return
    try:
        draw(results, directory / "cuda.png")
    except ImportError as error:
        print(f"cuda.png is not drawn ({error}); --redraw draws it where matplotlib is installed", file=sys.stderr)


def main(arguments: list[str] | None = None) -> int:
    """Run the command; see the top of this file."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cuda", description=__doc__.splitlines()[0])
    names = [*(case.name for case in cases()), *PARTS]
    parser.add_argument("--only", default="", metavar="NAMES", help=f"which of {', '.join(names)}, by commas")
    parser.add_argument("--without", default="", metavar="LIBRARIES", help="libraries to leave out, by commas")
    parser.add_argument("--rounds", type=int, default=15, help="turns of each library (default: 15)")
    parser.add_argument("--quick", action="store_true", help="tiny sizes and two rounds, to see that it works")
    parser.add_argument("--redraw", action="store_true", help="measure nothing, read cuda.json")
    parser.add_argument("--readme", action="store_true", help="also replace the section about GPUs in README.md")
    parser.add_argument("--directory", type=Path, help="where results go (default: benchmarks/; with --quick nowhere)")
    options = parser.parse_args(arguments)

    only, without = (set(filter(None, text.split(","))) for text in (options.only, options.without))
    for what, given, known in (("case", only, names), ("library", without, [*LIBRARIES])):
        if given - set(known):
            parser.error(f"no such {what}: {', '.join(sorted(given - set(known)))}; there are {', '.join(known)}")
    if options.readme and options.quick:
        parser.error("--quick measures nothing that README.md could show")
    if options.readme:  # before minutes of measuring
        try:
            replace_section(README.read_text(), "", BEGIN, END)
        except ValueError:
            parser.error(f"{README} has no place for the table: give it a line {BEGIN} and below it a line {END}")

    directory = options.directory or (None if options.quick else DIRECTORY)
    data = (directory or DIRECTORY) / "cuda.json"
    if options.redraw and not data.exists():
        parser.error(f"there is no {data} to draw: measure first, on a machine with a GPU")
    results: Results = {"cases": {}}
    if data.exists() and (only or options.redraw):
        results = json.loads(data.read_text())
    if not options.redraw:
        import nbgrad

        if not nbgrad.cuda.is_available():
            print("no GPU that nbgrad can use: nothing was measured, and nothing is written", file=sys.stderr)
            return 1
        os.environ.update(ENVIRONMENT)
        os.environ.pop("CUPY_TF32", None)
        rounds = 2 if options.quick else options.rounds
        results |= circumstances(rounds)
        for name in measure.progress([name for name in names if not only or name in only], "cases"):
            found = measured(name, rounds, without, options.quick)
            results |= {name: found} if name in PARTS else {"cases": results["cases"] | {name: found}}
            if directory:  # at once: whatever comes next may be the end of it
                directory.mkdir(parents=True, exist_ok=True)
                write(results, directory)
    elif directory:
        write(results, directory)
    if options.readme:
        image = "![time of each library over the floor](benchmarks/cuda.png)"
        section = "\n\n".join([promises(results), table(results), image, circumstances_of(results)])
        README.write_text(replace_section(README.read_text(), section, BEGIN, END))
    print(document(results))
    return 1 if failures(results) else 0


if __name__ == "__main__":
    sys.exit(main())
