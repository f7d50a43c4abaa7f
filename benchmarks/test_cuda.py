"""The comparison on a GPU, without one: libraries on the CPU, and the whole command on stand-ins for CuPy and GPU."""

import importlib
import importlib.util
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import cuda, cuda_workloads
from benchmarks.jit import why_not_compiled
from benchmarks.workloads import cross_entropy_by_hand, elementwise_chain_by_hand

CASES = {case.name: case for case in cuda_workloads.cases(quick=True)}


def by_hand(name: str, arrays: tuple[np.ndarray, ...]) -> list[np.ndarray]:
    """Give what a case computes, in float64 by NumPy."""
    x = arrays[0].astype("float64")
    if name == "chain":
        return list(elementwise_chain_by_hand(x, 0.7, 0.3)[:2])
    if name == "mul-100":
        return [np.sum(x**101), 101 * x**100]
    if name.startswith("softmax"):
        return [np.exp(x) / np.exp(x).sum(1, keepdims=True)]
    *parameters, images = (array.astype("float64") for array in arrays[:-1])
    for _ in range(cuda_workloads.STEPS):
        w1, b1, w2, b2, w3, b3 = parameters
        h1 = np.maximum(images @ w1 + b1, 0)
        h2 = np.maximum(h1 @ w2 + b2, 0)
        value, g = cross_entropy_by_hand(h2 @ w3 + b3, arrays[-1])
        g2 = (g @ w3.T) * (h2 > 0)
        g1 = (g2 @ w2.T) * (h1 > 0)
        gradients = images.T @ g1, g1.sum(0), h1.T @ g2, g2.sum(0), h2.T @ g, g.sum(0)
        parameters = [p - cuda_workloads.RATE * q for p, q in zip(parameters, gradients, strict=True)]
    return [value, *parameters]


@pytest.mark.parametrize("name", CASES)
def test_the_reference_is_what_numpy_finds(name: str) -> None:
    arrays = CASES[name].make()
    found = cuda_workloads.reference(CASES[name], arrays)
    for x, y in zip(found, by_hand(name, arrays), strict=True):
        assert x.dtype == "float64"
        np.testing.assert_allclose(x, y, 1e-10, 1e-13)


@pytest.mark.filterwarnings("ignore")  # torch.compile's
@pytest.mark.parametrize("name", CASES)
def test_all_libraries_agree_on_the_cpu(name: str, capfd: pytest.CaptureFixture[str]) -> None:
    for package in ("jax", "torch"):
        if os.environ.get("NBGRAD_REQUIRE_PEERS"):
            importlib.import_module(package)
        else:
            pytest.importorskip(package)
    reason = why_not_compiled()
    case, without = CASES[name], {"cupy"} if reason is None else {"cupy", "torch.compile"}
    arrays = case.make()
    steps, left_out = cuda.checked_steps(case, arrays, without, "cpu")
    assert not left_out
    assert steps.keys() == set(case.libraries) - without
    for library, step in steps.items():  # on their own, not against nbgrad's reference
        fresh = cuda_workloads.LIBRARIES[library](case, arrays, "cpu")
        cuda_workloads.compared(case, library, cuda_workloads.results_of(case, fresh), by_hand(name, arrays), arrays)
        assert len(step.state) == (6 if case.trains else 0)
    samples = cuda.samples_of(steps, 2, left_out, "cpu")
    assert samples.keys() == steps.keys() and not left_out
    assert all(0 < x < 1 for times in samples.values() for x in times)


@pytest.mark.parametrize(
    ("name", "position", "factor", "what"),
    [
        ("chain", 1, 1.01, "gradient 1"),
        ("softmax", 0, 1.01, "value"),
        ("mlp", 0, 1.0001, "value"),
        ("mlp", 2, 1.02, "parameter 1"),
        ("mlp", 5, 1.001, "parameter 4"),  # as far off as by TF32
    ],
)
def test_wrong_results_are_found(name: str, position: int, factor: float, what: str) -> None:
    case = CASES[name]
    arrays = case.make()
    expected = by_hand(name, arrays)
    right = [np.asarray(x, "float32") for x in expected]
    cuda_workloads.compared(case, "torch", right, expected, arrays)
    wrong = [*right]
    origin = arrays[position - 1] if case.trains and position else np.float32(0)
    wrong[position] = origin + np.float32(factor) * (wrong[position] - origin)
    with pytest.raises(AssertionError, match=f"torch, {name}: {what}"):
        cuda_workloads.compared(case, "torch", wrong, expected, arrays)


def test_a_library_that_fails_costs_its_column(monkeypatch: pytest.MonkeyPatch) -> None:
    case = CASES["mul-100"]
    calls = 0

    def tired(case: cuda_workloads.Case, arrays: Any, device: str) -> cuda_workloads.Step:
        step = cuda_workloads.of_nbgrad(case, arrays, device, compiled=False)

        def call() -> Any:
            nonlocal calls
            calls += 1
            if calls > 40:
                raise RuntimeError("no more")
            return step.call()

        return step._replace(call=call)

    def wrong(case: cuda_workloads.Case, arrays: Any, device: str) -> cuda_workloads.Step:
        return cuda_workloads.of_nbgrad(case, (np.float32(1.01) * arrays[0],), device)

    monkeypatch.setitem(cuda_workloads.LIBRARIES, "torch", tired)
    monkeypatch.setitem(cuda_workloads.LIBRARIES, "jax", wrong)
    case = replace(case, libraries=("nbgrad-eager", "torch", "jax"))
    steps, left_out = cuda.checked_steps(case, case.make(), set(), "cpu")
    assert steps.keys() == {"nbgrad-eager", "torch"} and "jax, mul-100: value" in left_out.pop("jax")
    samples = cuda.samples_of(steps, 2, left_out, "cpu")
    assert samples.keys() == {"nbgrad-eager"} and left_out == {"torch": "RuntimeError: no more"}


def test_without_a_gpu_nothing_is_written(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import nbgrad

    monkeypatch.setattr(nbgrad.cuda, "is_available", lambda: False)
    assert cuda.main(["--quick", "--directory", str(tmp_path / "results")]) == 1
    assert "nothing is written" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_bad_arguments_are_refused_before_anything_is_measured(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    readme = tmp_path / "README.md"
    readme.write_text(f"{cuda.BEGIN}\n")
    monkeypatch.setattr(cuda, "README", readme)
    for arguments, message in (
        (["--readme"], f"give it a line {cuda.BEGIN} and below it a line {cuda.END}"),
        (["--readme", "--quick"], "--quick measures nothing"),
        (["--redraw", "--directory", str(tmp_path)], f"there is no {tmp_path / 'cuda.json'} to draw"),
        (["--only", "chian"], "no such case: chian; there are chain, "),
        (["--without", "tensorflow"], "no such library: tensorflow; there are nbgrad, "),
    ):
        with pytest.raises(SystemExit):
            cuda.main(arguments)
        assert message in capsys.readouterr().err


# ---- the whole command ----------------------------------------------------------------------------------------------

STAND_INS = """
import sys
sys.path[:0] = {here!r}
import conftest
"""


def run(room: Path, arguments: list[str]) -> subprocess.CompletedProcess[str]:
    """Run the command, and the processes that it starts, with stand-ins for CuPy and a GPU."""
    if importlib.util.find_spec("numba_cuda") is None:
        pytest.skip("numba-cuda is not installed")
    room.mkdir(exist_ok=True)
    tests = cuda.ROOT / "tests"
    (room / "sitecustomize.py").write_text(STAND_INS.format(here=[str(tests / "cuda"), str(tests)]))
    environment = os.environ | {
        "NBGRAD_TEST_CUDA": "host",
        "LLVMLITE_ENABLE_IR_LAYER_TYPED_POINTERS": "0",
        "PYTHONPATH": os.pathsep.join([str(room), str(cuda.ROOT)]),
    }
    command = [sys.executable, "-m", "benchmarks.cuda", "--quick", *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=environment, cwd=cuda.ROOT)


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a directory with the results of everything but torch and JAX."""
    room = tmp_path_factory.mktemp("cuda")
    done = run(room / "path", ["--directory", str(room / "results"), "--without", "torch,torch.compile,jax"])
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-5000:]
    assert (room / "results" / "cuda.md").read_text() in done.stdout
    return room / "results"


def test_the_whole_command_measures_and_writes(directory: Path) -> None:
    results = json.loads((directory / "cuda.json").read_text())
    assert results["device"] == "stand-in" and results["versions"]["CUDA of the driver"] == "13.0"
    assert list(results["cases"]) == list(CASES)
    for name, found in results["cases"].items():
        case = CASES[name]
        mine = {library for library in case.libraries if library.startswith("nbgrad") or library == "cupy"}
        assert found["seconds"].keys() == mine | ({"copy"} if case.moved else set())
        assert found["left_out"] == dict.fromkeys(set(case.libraries) - mine, "left out")
        assert found["over"].keys() == found["seconds"].keys() - {case.subject}
        assert found["floor"]["seconds"] > 0
    graphs = [(found["graphs"], found["calls"]) for found in results["host"].values()]
    assert graphs == [(0, 20), (20, 20), (0, 20)]
    assert all(0 < found["call"] < found["process"] < 120 for found in results["first"].values())
    assert len(results["first"]) == 4

    document = (directory / "cuda.md").read_text()
    chain = results["cases"]["chain"]
    title = chain["title"]
    over = chain["over"]["copy"]["median"]
    assert f"| {title} | nbgrad.jit / copy | {cuda.duration(chain['seconds']['nbgrad']['median'])} | " in document
    assert f" | {over:.2f} (" in document and " | 1.18 | **missed** |" in document  # kernels run on the CPU here
    assert document.count(" | not measured |") == 4
    floor = chain["floor"]
    assert f"{cuda.duration(floor['seconds'])}: 0.024 MB at " in document
    assert "| 20 in 20 calls |" in document and "MLP training step, warm cache | " in document
    assert f"- JAX jit, in {title}; " in document and "## Failures" not in document
    if importlib.util.find_spec("matplotlib"):
        assert (directory / "cuda.png").stat().st_size > 10_000


def test_documents_are_written_again_from_the_data(
    directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = json.loads((directory / "cuda.json").read_text())
    results["cases"]["chain"]["over"]["copy"]["median"] = 1.0
    results["cases"]["mlp"]["left_out"]["nbgrad"] = "AssertionError: wrong"
    results["cases"]["softmax"] = {"failed": "the process ended with status 1"}
    results["host"] = {"failed": "no memory"}
    (tmp_path / "cuda.json").write_text(json.dumps(results))
    readme = tmp_path / "README.md"
    readme.write_text(f"before\n{cuda.BEGIN}\nold\n{cuda.END}\nafter\n")
    monkeypatch.setattr(cuda, "README", readme)
    assert cuda.main(["--redraw", "--readme", "--directory", str(tmp_path)]) == 1
    document, text = (tmp_path / "cuda.md").read_text(), readme.read_text()
    assert " | 1.18 | met |" in document and " | 1.18 | met |" in text
    for failure in (
        f"- {CASES['mlp'].title}, nbgrad.jit: AssertionError: wrong\n",
        "- softmax: the process ended with status 1\n",
        "- host: no memory\n",
    ):
        assert failure in document
    assert text.startswith(f"before\n{cuda.BEGIN}\n\n| float32 ") and text.endswith(f"\n\n{cuda.END}\nafter\n")
    assert "(benchmarks/cuda.png)" in text and "old" not in text


def test_a_library_that_ends_the_process_costs_its_column(tmp_path: Path) -> None:
    room = tmp_path / "path"
    room.mkdir()
    (room / "torch.py").write_text("import os\nos.abort()\n")
    done = run(room, ["--only", "mul-100", "--directory", str(tmp_path)])
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-5000:]
    found = json.loads((tmp_path / "cuda.json").read_text())["cases"]["mul-100"]
    assert found["seconds"].keys() == {"nbgrad-eager"}
    assert found["left_out"] == {"torch": "the process ended with status -6"}
