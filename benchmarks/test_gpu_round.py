"""The round without a GPU: steps that pass, fail, hang and write much, what is kept of them, and what runs again."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tarfile
import time
import zipfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from . import gpu_round, gpu_smoke
from .gpu_round import ENDED, FAILED, LATE, MISSING, PASSED, Step


def python(name: str, code: str, limit: float = 30, **more: Any) -> Step:
    return Step(name, [sys.executable, "-c", code], limit, **more)


def a_round(output: Path, groups: list[list[Step]], *arguments: str) -> tuple[int, dict[str, Any]]:
    """Run steps in place of the real ones; gives the exit status and what summary.json has of each."""
    code = gpu_round.main(["--output", str(output), *arguments], lambda *folders: groups)
    files = [path.name for path in output.iterdir()]
    assert len(files) <= 8 and not any(name.startswith(".") for name in files)
    return code, json.loads((output / "summary.json").read_text())["steps"]


def ends(pid: int) -> bool:
    """Tell whether a process ends, if it has not: one that is killed may take its time."""
    for _ in range(600):
        try:
            if (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except OSError:
            return True
        time.sleep(0.05)
    return False


# ---- steps ----------------------------------------------------------------------------------------------------------


def test_no_step_keeps_the_next_from_running(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    groups = [
        [python("look", "print('well')")],
        [python("bad", "import sys; print('ill'); sys.exit(3)"), python("worse", "import os; os.abort()")],
        [Step("strange", ["/no/such/program"], 5), python("tool", "", needs="no-such-tool")],
        [python("last", "print('still')")],
    ]
    code, steps = a_round(tmp_path / "found", groups)
    assert code == 1
    assert {name: step["status"] for name, step in steps.items()} == {
        **{"look": PASSED, "bad": FAILED, "worse": FAILED, "strange": FAILED, "tool": MISSING, "last": PASSED}
    }
    assert steps["bad"]["says"] == "exit status 3" and steps["bad"]["end"] == "ill"
    assert steps["worse"]["says"] == "exit status -6"
    assert "there is no no-such-tool on the PATH" in steps["tool"]["says"]
    log = (tmp_path / "found" / "log.txt").read_text()
    assert "======== look: passed\nwell" in log and "======== last: passed\nstill" in log
    document = (tmp_path / "found" / "summary.md").read_text()
    assert (
        "| look | passed |" in document
        and "```\nwell\n```" in document
        and "## bad: the end of what it printed\n\n```\nill\n```" in document
    )
    said = capsys.readouterr().err
    assert "bad: failed" in said
    assert sorted(said.rpartition("did not pass: ")[2].strip().split(", ")) == ["bad", "strange", "tool", "worse"]


def test_only_if_all_passed_the_status_is_0(tmp_path: Path) -> None:
    code, steps = a_round(tmp_path / "found", [[python("one", "")], [python("two", ""), python("three", "")]])
    assert code == 0 and {step["status"] for step in steps.values()} == {PASSED}


def test_steps_of_a_group_run_at_once(tmp_path: Path) -> None:
    """Each waits for the other."""
    met = "import pathlib, time; pathlib.Path({here!r}).touch()\n"
    met += "while not pathlib.Path({there!r}).exists(): time.sleep(0.01)"
    one, two = str(tmp_path / "one"), str(tmp_path / "two")
    group = [python("one", met.format(here=one, there=two)), python("two", met.format(here=two, there=one))]
    assert a_round(tmp_path / "found", [group])[0] == 0


STUBBORN = """
import pathlib, signal, subprocess, sys, time
signal.signal(signal.SIGINT, lambda *_: print("interrupted", flush=True))
deaf = "import signal, time; signal.signal(signal.SIGINT, signal.SIG_IGN); time.sleep(600)"
child = subprocess.Popen([sys.executable, "-c", deaf])
pathlib.Path({file!r}).write_text(str(child.pid))
print("begun", flush=True)
while True:
    time.sleep(1)
"""


def test_at_its_limit_a_step_ends_with_its_children(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu_round, "GRACE", 1.0)
    file = tmp_path / "pid"
    long = python("long", STUBBORN.format(file=str(file)), 2)
    code, steps = a_round(tmp_path / "found", [[long], [python("next", "")]])
    assert code == 1 and steps["long"]["status"] == ENDED and steps["next"]["status"] == PASSED
    assert steps["long"]["end"] == "begun\ninterrupted" and steps["long"]["says"] == "2 s"
    assert ends(int(file.read_text()))


def test_a_round_that_is_ended_ends_its_steps_and_keeps_what_was_found(tmp_path: Path) -> None:
    file, found = tmp_path / "pid", tmp_path / "found"
    endless = f"import os, pathlib, time; pathlib.Path({str(file)!r}).write_text(str(os.getpid())); time.sleep(600)"
    steps = f"[[Step('one', [sys.executable, '-c', '']  , 9)], [Step('two', [sys.executable, '-c', {endless!r}], 99)]]"
    code = "import sys\nfrom benchmarks.gpu_round import Step, main\n"
    code += f"sys.exit(main(['--output', {str(found)!r}], lambda *folders: {steps}))"
    process = subprocess.Popen([sys.executable, "-c", code], cwd=gpu_round.ROOT, stderr=subprocess.PIPE)
    while not file.exists() or not file.read_text():
        assert process.poll() is None
    process.terminate()
    _, said = process.communicate(timeout=30)
    assert process.returncode == 1 and b"ended from outside" in said
    assert ends(int(file.read_text()))
    assert json.loads((found / "summary.json").read_text())["steps"]["one"]["status"] == PASSED


def test_children_that_a_step_leaves_behind_end_with_it(tmp_path: Path) -> None:
    code = "import subprocess; print(subprocess.Popen(['sleep', '600']).pid)"
    _, steps = a_round(tmp_path / "found", [[python("careless", code)]])
    assert steps["careless"]["status"] == PASSED
    log = (tmp_path / "found" / "log.txt").read_text()
    assert ends(int(log.split()[-1]))


def test_of_much_output_beginning_and_end_are_kept(tmp_path: Path) -> None:
    code = "print('first')\nfor i in range(60_000): print('x' * 99)\nprint('last')"
    _, steps = a_round(tmp_path / "found", [[python("talkative", code)]])
    log = (tmp_path / "found" / "log.txt").read_text()
    assert "first\nxxx" in log and log.endswith("last\n") and " bytes ...]" in log
    assert gpu_round.TAIL < len(log) < gpu_round.HEAD + gpu_round.TAIL + 100_000
    assert len(steps["talkative"]["end"]) <= 8000


def test_when_time_runs_short_steps_get_less_or_do_not_begin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(gpu_round, "GRACE", 1.0)
    monkeypatch.setattr(gpu_round, "LEAST", 1.0)
    groups = [[python("long", "import time; time.sleep(60)", 100)], [python("late", "", 50)]]
    code, steps = a_round(tmp_path / "found", groups, "--seconds", "4")
    assert code == 1 and steps["long"]["status"] == ENDED and steps["late"]["status"] == LATE
    assert "100 s were meant for it" in steps["long"]["says"] and steps["late"]["says"] == "50 s were meant for it"
    assert "long: at most 3 s, not 100 s, for want of time" in capsys.readouterr().err


def test_what_failed_runs_again(tmp_path: Path) -> None:
    flag = tmp_path / "flag"
    unlucky = f"import os, sys; sys.exit(not os.path.exists({str(flag)!r}))"
    groups = [[python("good", "")], [python("unlucky", unlucky)]]
    code, _ = a_round(tmp_path / "found", groups)
    assert code == 1
    flag.touch()
    code, steps = a_round(tmp_path / "again", groups, "--only-failed", str(tmp_path / "found"))
    assert code == 0 and list(steps) == ["unlucky"]
    code, steps = a_round(tmp_path / "none", groups, "--only", "good")
    assert code == 0 and list(steps) == ["good"]


def test_bad_arguments_are_refused_before_anything_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = str(tmp_path / "found")
    for arguments, message in (
        ([], "give --output"),
        (["--output", found, "--only-failed", str(tmp_path)], "has no summary.json of a round"),
        (["--output", found, "--wheels", str(tmp_path / "wheels")], "there is no"),
        (["--output", found, "--only", "tets"], "no such step: tets; there are look, tests, "),
    ):
        with pytest.raises(SystemExit):
            gpu_round.main(arguments)
        assert message in capsys.readouterr().err


def test_the_real_steps_say_that_there_is_no_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hidden, where there is one."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.delenv("NBGRAD_TEST_CUDA", raising=False)
    code = gpu_round.main(["--output", str(tmp_path), "--only", "look,tests,benchmark"])
    steps = json.loads((tmp_path / "summary.json").read_text())["steps"]
    assert code == 1 and [step["status"] for step in steps.values()] == [FAILED] * 3
    assert "there is no GPU that nbgrad can use" in steps["look"]["end"]
    assert "there is no GPU to test on" in steps["tests"]["end"]
    assert "no GPU that nbgrad can use" in steps["benchmark"]["end"]


# ---- tests ----------------------------------------------------------------------------------------------------------

TESTS = """
import time, pytest

def test_good():
    pass

def test_bad():
    raise ValueError("the element at 17 is 0x7f12 off")

@pytest.mark.parametrize("i", range(2))
def test_alike(i):
    assert False, f"off by {i}"

def test_skipped():
    pytest.skip("no need")

def test_slow():
    time.sleep(float(0))

def test_last():
    pass
"""


def step_of_tests(folder: Path, text: str = TESTS, limit: float = 60, *arguments: str) -> Step:
    """Give a step that runs tests with the plugin of the round."""
    folder.mkdir(exist_ok=True)
    (folder / "test_some.py").write_text(text)
    (folder / "pytest.ini").write_text("[pytest]\n")
    environment = {"NBGRAD_ROUND_REPORTS": str(folder / "reports.jsonl")}
    (folder / "reports.jsonl").unlink(missing_ok=True)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "benchmarks.gpu_tests", "-p", "no:cacheprovider"]
    command += [str(folder), "--rootdir", str(folder), *arguments]
    return Step("tests", command, limit, environment, tests=True)


@pytest.mark.parametrize("processes", ["0", "2"])
def test_what_became_of_each_test_is_known(tmp_path: Path, processes: str) -> None:
    if processes != "0":
        pytest.importorskip("xdist")
    folder = tmp_path / "tests"
    code, steps = a_round(tmp_path / "found", [[step_of_tests(folder, TESTS, 60, "-n", processes)]])
    tests = steps["tests"]["tests"]
    assert code == 1 and tests["counts"] == {"passed": 3, "failed": 3, "skipped": 1} and tests["unrun"] == []
    assert tests["failed"]["test_some.py::test_bad"] == "ValueError: the element at 17 is 0x7f12 off"
    assert steps["tests"]["says"] == "exit status 1: 3 failed, 3 passed, 1 skipped"
    document = (tmp_path / "found" / "summary.md").read_text()
    assert "- 2 times: `AssertionError: off by #" in document  # alike but for a number

    right = TESTS.replace("raise", "lambda: ").replace("assert False, ", "")
    step = step_of_tests(folder, right, 60, "-n", processes)
    code, steps = a_round(tmp_path / "again", [[step]], "--only-failed", str(tmp_path / "found"))
    assert code == 0 and steps["tests"]["tests"]["counts"] == {"passed": 3}


def test_what_failed_comes_first(tmp_path: Path) -> None:
    step = step_of_tests(tmp_path / "tests", TESTS, 60, "-n", "0")
    a_round(tmp_path / "found", [[step]])
    (tmp_path / "tests" / "reports.jsonl").unlink()
    a_round(tmp_path / "again", [[step]], "--failed-first", str(tmp_path / "found"))
    lines = (tmp_path / "tests" / "reports.jsonl").read_text().splitlines()
    order = [name.partition("::")[2] for name in json.loads(lines[0])["expected"]]
    assert order == [
        "test_bad",
        "test_alike[0]",
        "test_alike[1]",
        "test_good",
        "test_skipped",
        "test_slow",
        "test_last",
    ]


def test_what_there_was_no_time_for_is_not_passed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The time is up before the last tests, once in a test that goes on, and once in one that never ends."""
    monkeypatch.setattr(gpu_round, "GRACE", 2.0)
    for last, limit, status in (
        ("os.environ.update(NBGRAD_ROUND_UNTIL='0')", 60, FAILED),
        ("time.sleep(600)", 5, ENDED),
    ):
        text = f"import os, time\ndef test_a(): pass\ndef test_b(): {last}\ndef test_c(): pass\n"
        step = step_of_tests(tmp_path / "tests", text, limit, "-n", "0")
        _, steps = a_round(tmp_path / "found", [[step]])
        tests = steps["tests"]["tests"]
        assert steps["tests"]["status"] == status
        assert "test_some.py::test_c" in tests["unrun"] and tests["counts"]["passed"] in (1, 2)
        if status == FAILED:  # where some of them will do
            (tmp_path / "tests" / "reports.jsonl").unlink()
            code, steps = a_round(tmp_path / "some", [[replace(step, sample=True)]])
            assert code == 0 and steps["tests"]["says"] == "2 passed, 1 not run"


CUPY = """
import os, pathlib, types
spoilt = False
def wait():
    if spoilt:
        raise RuntimeError("cudaErrorIllegalAddress")
runtime = types.SimpleNamespace(getDeviceCount=lambda: 1, deviceSynchronize=wait)
cuda = types.SimpleNamespace(runtime=runtime)
"""
FAULTS = """
import cupy, pytest
@pytest.mark.parametrize("i", range(12))
def test_each(i):
    if i == 3:
        cupy.spoilt = True
        assert False, "a fault"
    cupy.cuda.runtime.deviceSynchronize()
"""


@pytest.mark.parametrize("processes", ["0", "1"])
def test_a_fault_of_the_gpu_costs_one_test(tmp_path: Path, processes: str) -> None:
    """What comes after it in the same process would fail whatever it does."""
    if processes != "0":
        pytest.importorskip("xdist")
    folder = tmp_path / "tests"
    step = step_of_tests(folder, FAULTS, 60, "-n", processes)
    shutil.copy(gpu_round.ROOT / "tests" / "cuda" / "conftest.py", folder)
    (folder / "pytest.ini").write_text("[pytest]\nmarkers =\n cuda\n")
    (folder / "cupy.py").write_text(CUPY)
    path = os.pathsep.join([str(folder), str(gpu_round.ROOT)])
    more = {"NBGRAD_TEST_CUDA": "1", "PYTHONPATH": path, **step.environment}
    _, steps = a_round(tmp_path / "found", [[Step("tests", step.command, 60, more, tests=True)]])
    tests = steps["tests"]["tests"]
    assert list(tests["failed"]) == ["test_some.py::test_each[3]"] and "fault" in tests["failed"].popitem()[1]
    if processes == "0":
        assert tests["counts"] == {"passed": 3, "failed": 1} and len(tests["unrun"]) == 8
        assert "the GPU can be used no more in this process: cudaErrorIllegalAddress" in steps["tests"]["end"]
    else:
        assert tests["counts"] == {"passed": 11, "failed": 1}


# ---- wheels and kernels ---------------------------------------------------------------------------------------------


def wheel(folder: Path, name: str, files: dict[str, str]) -> None:
    """Make a wheel of some files."""
    info = f"{name}-1.0.dist-info"
    files |= {f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\nRequires-Dist: missing-too\n"}
    files |= {f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: by hand\nRoot-Is-Purelib: true\nTag: py3-none-any\n"}
    digests = {path: base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
               for path, text in files.items()}  # fmt: skip
    record = "".join(f"{path},sha256={digest},{len(files[path])}\n" for path, digest in digests.items())
    folder.mkdir(exist_ok=True)
    with zipfile.ZipFile(folder / f"{name}-1.0-py3-none-any.whl", "w") as archive:
        for path, text in {**files, f"{info}/RECORD": record + f"{info}/RECORD,,\n"}.items():
            archive.writestr(path, text)


def test_wheels_are_installed_for_the_steps_alone(tmp_path: Path) -> None:
    """With the code that they have Python run when it starts, as numba-cuda's do."""
    wheels = tmp_path / "wheels"
    wheel(wheels, "found_first", {"found_first.py": "", "found_first.pth": "import sys; sys.found_first = True\n"})
    code = "import found_first, importlib.metadata, site, sys; assert sys.found_first\n"
    code += "assert found_first.__file__.startswith(site.getsitepackages()[0])\n"
    code += "print(importlib.metadata.version('found_first'))"
    code_, steps = a_round(tmp_path / "found", [[python("use", code)]], "--wheels", str(wheels))
    assert code_ == 0 and list(steps) == ["wheels", "use"] and steps["use"]["end"] == "1.0"
    assert subprocess.run([sys.executable, "-c", "import found_first"], capture_output=True).returncode

    (tmp_path / "none").mkdir()
    code_, steps = a_round(tmp_path / "again", [[python("next", "")]], "--wheels", str(tmp_path / "none"))
    assert code_ == 1 and steps["wheels"]["status"] == FAILED and steps["next"]["status"] == PASSED


def test_kernels_are_kept_for_another_round(tmp_path: Path) -> None:
    make = "import os; open(os.environ['NBGRAD_CACHE_DIR'] + '/some.kernel', 'w').write('code')"
    assert a_round(tmp_path / "found", [[python("compile", make)]])[0] == 0
    kept = tmp_path / "found" / "kernels.tar.gz"
    with tarfile.open(kept) as archive:
        assert archive.getnames() == ["some.kernel"]
    look = "import os; assert open(os.environ['NBGRAD_CACHE_DIR'] + '/some.kernel').read() == 'code'"
    assert a_round(tmp_path / "again", [[python("look", look)]], "--kernels", str(kept))[0] == 0


def test_what_is_packed_nbgrad_trusts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from nbgrad.kernels import cache

    kernel = cache.CompiledKernel("kernel", (), b"code")
    monkeypatch.setenv("NBGRAD_CACHE_DIR", str(tmp_path / "one"))
    key = cache.key_of("some", "text")
    cache.write(key, kernel, "text")
    gpu_round.pack(tmp_path / "one", tmp_path / "kernels.tar.gz")
    (tmp_path / "two").mkdir(mode=0o700)
    gpu_round.unpack(tmp_path / "kernels.tar.gz", tmp_path / "two")
    monkeypatch.setenv("NBGRAD_CACHE_DIR", str(tmp_path / "two"))
    assert cache.read(key) == kernel


def test_what_is_fetched_is_what_is_tested_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commands: list[Sequence[str]] = []

    def noted(command: Sequence[str], **options: Any) -> subprocess.CompletedProcess[str]:
        commands.append(command)
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(gpu_round.importlib.metadata, "version", lambda name: f"1.{len(name)}")
    monkeypatch.setattr(gpu_round.subprocess, "run", noted)
    assert gpu_round.main(["--download", str(tmp_path), "--python", "3.13"]) == 0
    ((*command,),) = commands
    assert command[-5:] == [f"{name}==1.{len(name)}" for name in gpu_round.PACKAGES]
    assert command[command.index("--python-version") + 1] == "3.13" and "manylinux_2_28_x86_64" in command


def test_compiler_and_tools_are_found_in_the_toolkit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for folder in ("bin", "nvvm"):
        (tmp_path / folder).mkdir()
    (tmp_path / "bin" / "nvcc").write_text("#!/bin/sh\n")
    (tmp_path / "bin" / "nvcc").chmod(0o700)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("PYTEST_ADDOPTS", "--collect-only")
    for name in ("CUDA_HOME", "CUDA_PATH"):
        monkeypatch.delenv(name, raising=False)
    environment = gpu_round.settings(tmp_path / "site", tmp_path / "kernels")
    assert environment["CUDA_HOME"] == str(tmp_path.resolve()) and "PYTEST_ADDOPTS" not in environment
    assert environment["PATH"].startswith(str(tmp_path / "bin"))
    assert environment["PYTHONPATH"].split(os.pathsep)[:2] == [str(tmp_path / "site"), str(gpu_round.ROOT)]
    monkeypatch.setenv("CUDA_HOME", "/elsewhere")
    assert gpu_round.settings(tmp_path, tmp_path)["CUDA_HOME"] == "/elsewhere"


# ---- the look -------------------------------------------------------------------------------------------------------


def test_operations_are_right_and_wrong_ones_are_found(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert len(gpu_smoke._operations()) == 20
    assert gpu_smoke.operations("cpu") == 0
    real = gpu_smoke._value_and_gradients

    def wrong(function: Any, arrays: Any, place: str) -> Any:
        found = real(function, arrays, "cpu")
        if place == "elsewhere":
            found[-1] = found[-1] + np.asarray(1e-4 * np.abs(found[-1]).max(), found[-1].dtype)
        return found

    monkeypatch.setattr(gpu_smoke, "_value_and_gradients", wrong)
    assert gpu_smoke.operations("elsewhere") == 20
    assert "FAILED  x + y: AssertionError" in capsys.readouterr().out
