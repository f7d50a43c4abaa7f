"""The corpus' command runs, its libraries agree, and its document says what it found."""

import importlib
import importlib.util
import json
import os
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest


def _names() -> list[str]:
    from benchmarks.programs import PROGRAMS

    return [*PROGRAMS]


@pytest.fixture(autouse=True)
def peers() -> None:
    for package in ("autograd", "jax", "matplotlib", "torch"):
        if os.environ.get("NBGRAD_REQUIRE_PEERS"):
            importlib.import_module(package)
        else:
            pytest.importorskip(package)


def test_measurement_and_document(tmp_path: Path) -> None:
    from benchmarks.programs.__main__ import main

    quick = ["--quick", "--sizes", "small", "--without", "torch.compile", "--directory", str(tmp_path)]
    main(["--only", "ridge", *quick])
    main(["--only", "smoothing", *quick])  # the other stays
    before = json.loads((tmp_path / "programs.json").read_text())["rows"]["ridge"]["small"]["seconds"]
    main(["--only", "ridge", "--add", "autograd", *quick])  # all else of the row stays
    results = json.loads((tmp_path / "programs.json").read_text())
    assert results["rows"].keys() == {"ridge", "smoothing"}
    row = results["rows"]["ridge"]["small"]
    assert row["seconds"].keys() == {"nbgrad", "jax", "torch", "autograd"}
    assert row["skipped"] == {"torch.compile": "left out"}
    assert [library for library in before if row["seconds"][library] != before[library]] == ["autograd"]
    assert row["memory"]["nbgrad"] > 8 * 50 and 0 < row["floor"] < 1
    document = (tmp_path / "programs.md").read_text()
    assert document.count("| ridge regression") == 2 and "torch.compile, in" in document
    assert (tmp_path / "programs.png").stat().st_size > 10_000


def test_patience_ends() -> None:
    import signal

    from benchmarks.programs.__main__ import patient

    before = signal.getsignal(signal.SIGALRM)
    with pytest.raises(TimeoutError, match=r"not compiled within 0\.05 s"), patient(0.05):
        while True:
            pass
    assert signal.getsignal(signal.SIGALRM) is before


def test_first_calls() -> None:
    import nbgrad.kernels.loop_nest
    import nbgrad.tracing
    from benchmarks.programs.first import first_calls

    found = first_calls("smoothing", "small", "nbgrad", 60)
    for module in (nbgrad.tracing, nbgrad.kernels.loop_nest):  # read as bytecode, as after an installation
        assert Path(importlib.util.cache_from_source(str(module.__file__))).exists()
    assert found is not None and found.cold > 0 < found.warm
    assert found.cold_process > found.cold and found.warm_process > found.warm
    assert first_calls("smoothing", "small", "nbgrad", 0.01) is None
    with pytest.raises(RuntimeError, match="KeyError"):
        first_calls("smoothing", "tiny", "nbgrad", 60)


def test_what_jax_has_not_compiled_has_no_ratio() -> None:
    from benchmarks.programs.document import first_calls, summary, table

    quartiles = {"median": 0.5, "low": 0.4, "high": 0.6}
    both = {"nbgrad": quartiles, "jax": quartiles}
    row = {
        "title": "one", "limit": None, "seconds": both, "nbgrad_over": {"jax": quartiles}, "floor": 0.1,
        "memory": {"nbgrad": 1, "jax": 2}, "cold": {"nbgrad": 3.0, "jax": 1.0}, "warm": {"nbgrad": 0.1, "jax": 1.0},
        "cold_process": {"nbgrad": 4.0, "jax": 8.0},
    }  # fmt: skip
    other = {
        "title": "other", "limit": None, "seconds": {"nbgrad": quartiles}, "nbgrad_over": {}, "floor": 0.1,
        "memory": {"nbgrad": 1}, "cold": {"nbgrad": 3.0}, "warm": {"nbgrad": 0.1},
    }  # fmt: skip
    results = {"rows": {"one": {"small": row}, "other": {"small": other}}}
    assert "| its own, with an empty cache | **3.00** | 1 |" in first_calls(
        {"rows": {"euler": {"small": row | {"title": "its own"}}}}
    )
    assert "| 2 programs, small sizes |" in summary(results)
    assert "**3.00**, one" in first_calls(results) and "0.10, one" in first_calls(results)
    assert "imports included | 0.50 |  | 0.50, one" in first_calls(results)
    assert "| other |" in table(results, "small")


def test_what_is_ahead_is_named() -> None:
    from benchmarks.programs.document import behind

    row = {"title": "one", "nbgrad_over": {"jax": {"median": 1.5}, "torch.compile": {"median": 0.5}}}
    other = {"title": "other", "nbgrad_over": {"jax": {"median": 0.5}}}
    text = behind({"rows": {"one": {"small": row}, "other": {"large": other}}})
    assert text.count("\n") == 0 and "**one**" in text and "1.50 times the time of JAX jit" in text


def test_every_program_has_two_sizes_and_its_dtype() -> None:
    from benchmarks.programs import LARGE, PROGRAMS, SMALL

    assert len(PROGRAMS) >= 33
    for program in PROGRAMS.values():
        small = program.make(SMALL)
        assert program.sizes[SMALL] != program.sizes[LARGE] and program.titled(LARGE)
        assert all(x.dtype == program.dtype or x.dtype.kind == "i" for x in small)
        assert all(np.isfinite(x).all() for x in small)


def test_a_wrong_gradient_is_found() -> None:
    from benchmarks.programs import PROGRAMS
    from benchmarks.programs.libraries import LIBRARIES, compared, reference

    program = PROGRAMS["ridge"]
    arrays = program.make("small")
    expected = reference(program, arrays)
    step = LIBRARIES["torch"](program, arrays)
    compared(program, "torch", step, arrays, expected)
    with pytest.raises(AssertionError, match="gradient 1"):
        compared(program, "torch", step, arrays, [expected[0], expected[1] * 1.01])


@pytest.mark.parametrize("name", _names())
def test_compiled_programs_give_what_eager_ones_give(name: str) -> None:
    """Values, first and second gradients: within some ulp of an array's largest element."""
    import nbgrad
    from benchmarks.programs import PROGRAMS
    from benchmarks.programs.libraries import nbgrad_names
    from nbgrad.nests import flatten

    program = PROGRAMS[name]
    arrays = program.make("small")
    formula, chosen = partial(program.formula, nbgrad_names()), tuple(range(program.parameters))
    random = np.random.default_rng(1)
    directions = [random.standard_normal(x.shape).astype(x.dtype) for x in arrays[: program.parameters]]

    def along(*arguments: Any) -> Any:
        gradients = nbgrad.grad(formula, chosen)(*arguments)
        return sum((g * v).sum() for g, v in zip(gradients, directions, strict=True))

    for function in (nbgrad.value_and_grad(formula, chosen), nbgrad.grad(along, chosen)):
        eager: list[Any] = []
        compiled: list[Any] = []
        flatten(function(*arrays), eager)
        flatten(nbgrad.jit(function)(*arrays), compiled)
        for x, y in zip(map(np.asarray, eager), map(np.asarray, compiled), strict=True):
            assert x.dtype == y.dtype and x.shape == y.shape
            ulp = np.spacing(np.abs(x).max().astype(program.dtype))
            assert np.abs(x - y).max() <= 32 * ulp, f"{name}: {np.abs(x - y).max() / ulp:.0f} ulp"
