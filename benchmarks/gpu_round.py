"""Everything that wants a GPU, in one go: a look at the machine, tests, benchmarks, NVIDIA's checkers.

python -m benchmarks.gpu_round --download wheels                    where there is a network: what a machine may lack
python -m benchmarks.gpu_round --output found --wheels wheels       all of it, in less than nine minutes
python -m benchmarks.gpu_round --output again --only-failed found   what failed there, was cut short, or did not begin

Each step is a process with a limit of its own, at which it ends with all its children; none keeps the next from
running. After each, what was found is written to the folder: summary.md and summary.json, what steps printed in
log.txt, the benchmark's files, and the kernels that were compiled, which another round takes by --kernels. Ends with
status 0 only if all ran and passed.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import datetime
import importlib.metadata
import importlib.util
import json
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]

#: What a machine with CuPy, Numba and a toolkit of CUDA may lack, or have in another version than is tested.
PACKAGES = ("nvmath-python", "numba-cuda", "cuda-core", "cuda-bindings", "cuda-pathfinder")
#: Seconds that the whole round takes at most.
WHOLE = 525.0
#: Seconds from a step's limit, when it is interrupted, until it is ended with all its children.
GRACE = 6.0
#: Seconds without which a step does not begin.
LEAST = 5.0
#: Bytes that are kept of what a step prints: its beginning and its end.
HEAD, TAIL = 1 << 18, 1 << 20
#: Steps whose output belongs into the summary in any case.
TELLING = ("look", "ncu")
#: The largest file that is written.
LARGEST = 15 << 20

PASSED, FAILED, ENDED, MISSING, LATE = "passed", "failed", "ended at its limit", "not there", "no time left"


@dataclass(frozen=True)
class Step:
    """One command, and the seconds that it may take; `needs` is a program without which it cannot run."""

    name: str
    command: Sequence[str]
    limit: float
    environment: Mapping[str, str] = field(default_factory=dict)
    needs: str = ""
    tests: bool = False  # whether it runs pytest with the reports of gpu_tests.py
    sample: bool = False  # whether as many of the tests as there is time for will do


@dataclass
class Result:
    """What became of a step."""

    status: str
    seconds: float = 0.0
    limit: float = 0.0
    says: str = ""
    log: str = ""
    tests: dict[str, Any] = field(default_factory=dict)


# ---- processes ------------------------------------------------------------------------------------------------------


class _Kept:
    """What a process prints, read until it ends: the beginning and the end of it, however much there is."""

    def __init__(self, pipe: Any) -> None:
        self._head, self._tail, self._size = b"", collections.deque[bytes](), 0
        self._dropped = 0
        self._thread = threading.Thread(target=self._read, args=(pipe,), daemon=True)
        self._thread.start()

    def _read(self, pipe: Any) -> None:
        with pipe:
            while chunk := pipe.read1(1 << 16):
                room = HEAD - len(self._head)
                self._head += chunk[:room]
                self._tail.append(chunk[room:])
                self._size += len(chunk[room:])
                while self._size - len(self._tail[0]) > TAIL:
                    self._size -= len(self._tail[0])
                    self._dropped += len(self._tail.popleft())

    def text(self) -> str:
        """Give it as text; what somebody who left the process group may still print is not waited for."""
        self._thread.join(2)
        missing = f"\n[... {self._dropped:,} bytes ...]\n" if self._dropped else ""
        parts = [self._head.decode(errors="replace"), missing, b"".join(self._tail).decode(errors="replace")]
        return "".join(parts)


#: What runs, to be ended when the round is.
_running: set[subprocess.Popen[bytes]] = set()


def _end(process: subprocess.Popen[bytes], number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)


def run(step: Step, limit: float, environment: Mapping[str, str]) -> Result:
    """Run a step for `limit` seconds at most; then it is interrupted, as by Ctrl-C, to tell what it found."""
    start = time.monotonic()
    try:
        process = subprocess.Popen(
            step.command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=ROOT,
            env={**environment, **step.environment},
            start_new_session=True,
        )
    except OSError as error:
        return Result(FAILED, limit=limit, says=f"{step.command[0]} could not be started: {error}")
    _running.add(process)
    kept = _Kept(process.stdout)
    status, says = PASSED, ""
    try:
        code = process.wait(limit)
    except subprocess.TimeoutExpired:
        status, says = ENDED, f"{limit:.0f} s"
        process.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(GRACE)
    else:
        if code:
            status, says = FAILED, f"exit status {code}"
    finally:
        _end(process, signal.SIGKILL)  # and whoever it has left behind
        process.wait()
        _running.discard(process)
    return Result(status, time.monotonic() - start, limit, says, kept.text())


# ---- what is run ----------------------------------------------------------------------------------------------------

_METRICS = (
    "gpu__time_duration.sum",
    "dram__bytes_read.sum",
    "dram__bytes_write.sum",
    "dram__throughput.avg.pct_of_peak_sustained_elapsed",
    "sm__throughput.avg.pct_of_peak_sustained_elapsed",
    "sm__warps_active.avg.pct_of_peak_sustained_active",
    "launch__registers_per_thread",
)
#: Tests of kernels that share memory between threads, the ones that a checker's slowness still leaves time for.
_KERNEL_TESTS = [
    f"tests/cuda/test_{name}.py" for name in ("reduction_kernels", "fused_kernels", "indexing_kernels", "blas")
]


def steps(output: Path, work: Path) -> list[list[Step]]:
    """Give the steps in order; those of one list run at the same time."""
    python = sys.executable
    slow = ["--timeout=90", "--timeout-method=thread"] if importlib.util.find_spec("pytest_timeout") else []
    pytest = [python, "-m", "pytest", "-p", "benchmarks.gpu_tests", "-p", "no:cacheprovider"]
    # what libraries warn of in this combination of versions is told at the end and fails nothing; what is marked slow
    # are sweeps, for which there is no time
    pytest += ["-W", "default", "-m", "cuda and not slow", "--durations=15", "-q", "-rfE", "--tb=short", *slow]

    def tests(name: str, limit: float, *arguments: str, before: Sequence[str] = (), **more: str) -> Step:
        environment = {"NBGRAD_TEST_CUDA": "1", "NBGRAD_ROUND_REPORTS": str(work / f"{name}.jsonl"), **more}
        needs = before[0] if before else ""
        return Step(name, [*before, *pytest, *arguments], limit, environment, needs, tests=True)

    def checked(tool: str) -> Step:
        # that the driver refuses a launch is no fault: threads without a context launch again
        sanitizer = ["compute-sanitizer", "--tool", tool, "--error-exitcode", "99", "--print-limit", "20"]
        sanitizer += ["--report-api-errors", "no"]
        step = tests(tool, 60, "-n", "0", *_KERNEL_TESTS, before=sanitizer, NBGRAD_ROUND_POOL="none")
        return replace(step, sample=True)

    profiler = ["ncu", "--profile-from-start", "off", "--clock-control", "none", "--csv", "--page", "raw"]
    profiler += ["--metrics", ",".join(_METRICS)]
    benchmark = [python, "-m", "benchmarks.cuda"]
    alone = "tests/cuda/test_gpu.py"  # which takes all of the GPU's memory
    return [
        [Step("look", [python, "-m", "benchmarks.gpu_smoke"], 75)],
        [
            tests("tests", 240, "tests/cuda", f"--ignore={alone}", "-n", str(os.cpu_count() or 1), "--dist=worksteal"),
            Step("quick benchmark", [*benchmark, "--quick"], 150),
        ],
        [tests("tests of memory", 45, alone, "-n", "0")],
        [Step("benchmark", [*benchmark, "--directory", str(output)], 240)],
        [checked("memcheck"), checked("racecheck")],
        [Step("ncu", [*profiler, python, "-m", "benchmarks.gpu_smoke", "--kernels"], 45, needs="ncu")],
    ]


def settings(site: Path, kernels: Path) -> dict[str, str]:
    """Give the environment of all steps."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    paths = [str(site), str(ROOT), environment.get("PYTHONPATH", "")]
    environment |= {
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),
        "PYTHONUNBUFFERED": "1",
        "NBGRAD_CACHE_DIR": str(kernels),
    }
    compiler = shutil.which("nvcc")
    toolkits = [Path(compiler).resolve().parents[1]] if compiler else []
    toolkits += [*sorted(Path("/usr/local").glob("cuda*")), *sorted(Path("/opt").glob("cuda*"))]
    for toolkit in toolkits:
        if (toolkit / "nvvm").is_dir():
            # numba-cuda finds NVVM there, if no package brings it
            if not {"CUDA_HOME", "CUDA_PATH"} & environment.keys():
                environment["CUDA_HOME"] = str(toolkit)
            tools = [
                str(toolkit / "bin"),
                *map(str, sorted(Path("/opt/nvidia/nsight-compute").glob("*"), reverse=True)),
            ]
            environment["PATH"] = os.pathsep.join([environment.get("PATH", os.defpath), *tools])
            break
    return environment


# ---- packages and kernels -------------------------------------------------------------------------------------------

_SITE = """\
# what Python does with a folder of packages: files that end in .pth, and prefixes that others look for libraries in
import site

site.PREFIXES.insert(0, {prefix!r})
site.addsitedir({folder!r})
"""


def site_in(prefix: Path) -> Path:
    """Give the folder for packages below a prefix."""
    return prefix / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}" / "site-packages"


def install(wheels: Path, prefix: Path, limit: float) -> Result:
    """Install wheels, and nothing else, below a prefix of their own; the environment of Python stays as it is."""
    folder, found = site_in(prefix), sorted(map(str, wheels.glob("*.whl")))
    if not found:
        return Result(FAILED, limit=limit, says=f"there are no wheels in {wheels}")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--no-compile"]
    step = Step(
        "wheels", [*pip, "--disable-pip-version-check", "--no-cache-dir", "--target", str(folder), *found], limit
    )
    result = run(step, limit, os.environ)
    if result.status == PASSED:
        (folder / "sitecustomize.py").write_text(_SITE.format(prefix=str(prefix), folder=str(folder)))
    return result


def download(folder: Path, python: str) -> int:
    """Fetch the wheels of PACKAGES, in the versions that are installed here, for Linux on x86-64."""
    versions = {name: importlib.metadata.version(name) for name in PACKAGES}
    # pip takes only the very tags that it is given
    platforms = [f"manylinux_2_{minor}_x86_64" for minor in range(39, 4, -1)]
    platforms += ["manylinux2014_x86_64", "manylinux2010_x86_64", "manylinux1_x86_64"]
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--python-version", python]
    command += ["--implementation", "cp", "--dest", str(folder)]
    for platform_tag in platforms:
        command += ["--platform", platform_tag]
    code = subprocess.run([*command, *(f"{name}=={version}" for name, version in versions.items())]).returncode
    for wheel in sorted(folder.glob("*.whl")):
        print(f"{wheel.stat().st_size / 1e6:6.1f} MB  {wheel.name}")
    return code


def pack(kernels: Path, file: Path) -> None:
    """Keep compiled kernels for another round, if they are not too many."""
    if not any(kernels.glob("*.kernel")):
        return
    with tarfile.open(file, "w:gz", compresslevel=6) as archive:
        for path in sorted(kernels.glob("*.kernel")):
            archive.add(path, path.name)
    if file.stat().st_size > LARGEST:
        file.unlink()


def unpack(file: Path, kernels: Path) -> None:
    """Bring kernels of another round, which count only if they are of the same sources and versions."""
    with tarfile.open(file) as archive:
        archive.extractall(kernels, filter="data")


# ---- what is written ------------------------------------------------------------------------------------------------


def reports(path: Path) -> dict[str, Any]:
    """Give what became of tests: counts by outcome, failures with their reasons, and what there was no time for."""
    if not path.exists():
        return {}
    outcomes: dict[str, str] = {}
    reasons: dict[str, str] = {}
    expected: set[str] = set()
    for line in path.read_text(errors="replace").splitlines():
        with contextlib.suppress(ValueError):  # half a line, of who was ended
            found = json.loads(line)
            if "expected" in found:
                expected.update(found["expected"])
                continue
            test, outcome = found["test"], found["outcome"]
            if outcome == "failed" or outcomes.get(test) != "failed":
                outcomes[test] = outcome
            if outcome == "failed":
                reasons.setdefault(test, found["reason"])
    unrun = sorted(expected - outcomes.keys() | {test for test, outcome in outcomes.items() if outcome == "unrun"})
    counts = collections.Counter(outcome for outcome in outcomes.values() if outcome != "unrun")
    return {"counts": dict(counts), "failed": reasons, "unrun": unrun}


def summary_of_tests(tests: Mapping[str, Any]) -> str:
    """Say in a line what became of tests."""
    parts = [f"{count} {outcome}" for outcome, count in sorted(tests["counts"].items())]
    parts += [f"{len(tests['unrun'])} not run"] if tests["unrun"] else []
    return ", ".join(parts) or "no tests"


def _grouped(reasons: Mapping[str, str]) -> list[tuple[str, list[str]]]:
    """Give failed tests by what they have in common: a reason without its numbers."""
    groups: dict[str, list[str]] = {}
    for test, reason in reasons.items():
        groups.setdefault(re.sub(r"0x[0-9a-f]+|\d+(\.\d+)?(e[+-]?\d+)?", "#", reason)[:300], []).append(test)
    return sorted(groups.items(), key=lambda group: -len(group[1]))


def document(found: Mapping[str, Any]) -> str:
    """Give summary.md."""
    lines = [
        f"# A round on a GPU, {found['date']}",
        "",
        *(f"- {key}: {value}" for key, value in found["about"].items()),
    ]
    lines += ["", "| step | result | seconds | limit | |", "| --- | --- | ---: | ---: | --- |"]
    for name, step in found["steps"].items():
        lines.append(f"| {name} | {step['status']} | {step['seconds']:.1f} | {step['limit']:.0f} | {step['says']} |")
    for name, step in found["steps"].items():
        failed = step["tests"].get("failed", {})
        if failed:
            lines += ["", f"## {name}: failures", ""]
            for reason, tests in _grouped(failed):
                lines += [f"- {len(tests)} times: `{reason}`", *(f"  - {test}" for test in tests[:5])]
        if (step["status"] != PASSED or name in TELLING) and step["end"]:
            lines += ["", f"## {name}: the end of what it printed", "", "```", step["end"], "```"]
    return "\n".join(lines) + "\n"


class Round:
    """A round: what was found so far, and the time that is left."""

    def __init__(self, output: Path, seconds: float, about: dict[str, str]) -> None:
        self.output, self.results, self.about = output, dict[str, Result](), about
        self.start = time.monotonic()
        self.end = self.start + seconds
        self._lock = threading.Lock()

    def say(self, text: str) -> None:
        """Tell how far it is."""
        print(f"[{time.monotonic() - self.start:4.0f} s] {text}", file=sys.stderr, flush=True)

    def limit(self, step: Step) -> float:
        """Give the seconds that there are for a step."""
        return min(step.limit, self.end - time.monotonic() - GRACE)

    def take(self, step: Step, result: Result) -> None:
        """Take note of what became of a step, and write it down at once."""
        if step.tests and "NBGRAD_ROUND_REPORTS" in step.environment:
            result.tests = reports(Path(step.environment["NBGRAD_ROUND_REPORTS"]))
            if result.tests:
                told = summary_of_tests(result.tests)
                result.says = f"{result.says}: {told}" if result.says else told
                short = bool(result.tests["unrun"]) and not step.sample
                if result.status == PASSED and (short or not result.tests["counts"].get("passed")):
                    result.status = FAILED
        if result.status == ENDED and result.limit < step.limit - 1:
            result.says += f"; {step.limit:.0f} s were meant for it"
        with self._lock:
            self.results[step.name] = result
            self.say(f"{step.name}: {result.status}, {result.seconds:.1f} s {result.says}".rstrip())
            self.write()

    def found(self) -> dict[str, Any]:
        """Give all there is, for summary.json."""
        return {
            "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "about": self.about,
            "steps": {
                name: {
                    "status": result.status,
                    "seconds": round(result.seconds, 2),
                    "limit": round(result.limit, 1),
                    "says": result.says,
                    "end": "\n".join(result.log.rstrip().splitlines()[-80:])[-8000:],
                    "tests": result.tests,
                }
                for name, result in self.results.items()
            },
        }

    def write(self) -> None:
        """Write all files anew."""
        found = self.found()
        _write(self.output / "summary.json", json.dumps(found, indent=1))
        _write(self.output / "summary.md", document(found))
        logs = (f"\n======== {name}: {result.status}\n{result.log}" for name, result in self.results.items())
        _write(self.output / "log.txt", "".join(logs))

    def run(self, groups: Sequence[Sequence[Step]], environment: Mapping[str, str]) -> None:
        """Run steps, those of a group at once."""
        for group in groups:
            threads = []
            for step in group:
                limit = self.limit(step)
                if step.needs and not shutil.which(step.needs, path=environment.get("PATH")):
                    self.take(step, Result(MISSING, says=f"there is no {step.needs} on the PATH"))
                elif limit < min(LEAST, step.limit):
                    self.take(step, Result(LATE, says=f"{step.limit:.0f} s were meant for it"))
                else:
                    less = f", not {step.limit:.0f} s, for want of time" if limit < step.limit else ""
                    self.say(f"{step.name}: at most {limit:.0f} s{less}")
                    threads.append(threading.Thread(target=self._one, args=(step, limit, environment)))
            for thread in threads:
                thread.start()
            try:
                for thread in threads:
                    thread.join()
            except BaseException:
                for process in list(_running):
                    _end(process, signal.SIGKILL)
                for thread in threads:
                    thread.join()
                raise

    def _one(self, step: Step, limit: float, environment: Mapping[str, str]) -> None:
        # tests that have not begun by then are skipped, so that there is a report of the others
        until = {"NBGRAD_ROUND_UNTIL": str(time.time() + limit * 0.9 - 2)} if step.tests else {}
        try:
            result = run(step, limit, {**environment, **until})
        except Exception as error:  # which must not end the round
            result = Result(FAILED, limit=limit, says=f"{type(error).__name__}: {error}")
        self.take(step, result)


def _write(path: Path, text: str) -> None:
    """Put a whole file in place at once."""
    part = path.with_name(f".{path.name}.part")
    part.write_bytes(text.encode(errors="replace")[-LARGEST:])
    part.replace(path)


def what_failed(folder: Path) -> dict[str, Any]:
    """Give the steps of a round that did not pass, from its summary.json."""
    steps: dict[str, Any] = json.loads((folder / "summary.json").read_text())["steps"]
    return {name: step for name, step in steps.items() if step["status"] != PASSED}


def _chosen(
    groups: Sequence[Sequence[Step]], before: Mapping[str, Any], work: Path, only: bool
) -> Iterator[list[Step]]:
    """Give the steps to run: all, or those that failed; their tests begin with, or are, those that failed."""
    for group in groups:
        chosen = []
        for step in group:
            tests = before.get(step.name, {}).get("tests", {})
            again = [*tests.get("failed", {}), *tests.get("unrun", [])]
            if again and step.tests:
                file = work / f"{step.name} again.json"
                file.write_text(json.dumps(again))
                which = {"NBGRAD_ROUND_ONLY" if only else "NBGRAD_ROUND_FIRST": str(file)}
                step = replace(step, environment={**step.environment, **which})
            if not only or step.name in before:
                chosen.append(step)
        if chosen:
            yield chosen


def about() -> dict[str, str]:
    """Say where this is."""
    found = {"Python": f"{platform.python_version()} in {sys.prefix}", "cores": str(os.cpu_count())}
    if shutil.which("nvidia-smi"):
        query = ["nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"]
        with contextlib.suppress(OSError, subprocess.TimeoutExpired):
            done = subprocess.run(query, capture_output=True, text=True, timeout=20)
            found["GPU"] = (done.stdout.strip() or done.stderr.strip()).replace("\n", "; ")
    else:
        found["GPU"] = "no nvidia-smi"
    return found


def main(arguments: Sequence[str] | None = None, make: Callable[[Path, Path], list[list[Step]]] = steps) -> int:
    """Run the command; see the top of this file."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu_round", description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, metavar="FOLDER", help="where results go")
    parser.add_argument("--wheels", type=Path, metavar="FOLDER", help="wheels to install first, without what they need")
    parser.add_argument("--kernels", type=Path, metavar="FILE", help="kernels.tar.gz of a round before")
    parser.add_argument("--only", default="", metavar="STEPS", help="only these steps, by commas")
    parser.add_argument("--only-failed", type=Path, metavar="FOLDER", help="only what failed in a round before")
    parser.add_argument("--failed-first", type=Path, metavar="FOLDER", help="begin tests with what failed before")
    parser.add_argument("--seconds", type=float, default=WHOLE, help=f"for all of it (default: {WHOLE:.0f})")
    parser.add_argument("--download", type=Path, metavar="FOLDER", help="fetch wheels to here, and do nothing else")
    parser.add_argument("--python", default="3.12", help="the Python that wheels are fetched for (default: 3.12)")
    options = parser.parse_args(arguments)
    if options.download:
        return download(options.download, options.python)
    if not options.output:
        parser.error("give --output, a folder for what is found")
    before: dict[str, Any] = {}
    earlier = options.only_failed or options.failed_first
    if earlier:
        try:
            before = what_failed(earlier)
        except (OSError, ValueError, KeyError) as error:
            parser.error(f"{earlier} has no summary.json of a round: {error}")
    for path in filter(None, (options.wheels, options.kernels)):
        if not path.exists():
            parser.error(f"there is no {path}")

    output = options.output.absolute()
    output.mkdir(parents=True, exist_ok=True)
    # a process that is told to end does so as if by Ctrl-C: whatever runs is ended, and the files are there
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with tempfile.TemporaryDirectory(prefix="nbgrad-round-", ignore_cleanup_errors=True) as folder:
        work = Path(folder)
        kernels, prefix = work / "kernels", work / "packages"
        kernels.mkdir(mode=0o700)
        this = Round(output, options.seconds, about())
        groups = make(output, work)
        names = [step.name for group in groups for step in group]
        wanted = set(filter(None, options.only.split(",")))
        if wanted - set(names):
            parser.error(f"no such step: {', '.join(sorted(wanted - set(names)))}; there are {', '.join(names)}")
        groups = list(_chosen(groups, before, work, bool(options.only_failed)))
        groups = [[step for step in group if not wanted or step.name in wanted] for group in groups]
        this.say(f"steps: {', '.join(step.name for group in groups for step in group) or 'none'}")
        if options.kernels:
            try:
                unpack(options.kernels, kernels)
            except (OSError, tarfile.TarError) as error:  # they would only have saved time
                this.say(f"no kernels from {options.kernels}: {error}")
        if options.wheels:
            this.take(Step("wheels", [], 60), install(options.wheels.absolute(), prefix, 60))
        environment = settings(site_in(prefix), kernels)
        try:
            this.run(groups, environment)
        except KeyboardInterrupt:
            this.say("ended from outside")
            return 1
        try:
            pack(kernels, output / "kernels.tar.gz")
        except OSError as error:
            this.say(f"kernels are not kept: {error}")
    bad = [name for name, result in this.results.items() if result.status != PASSED]
    this.say(f"did not pass: {', '.join(bad)}" if bad else "all passed")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
