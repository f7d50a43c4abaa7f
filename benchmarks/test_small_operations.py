"""The benchmark of small operations knows every operation, finds wrong results, and its document says what it found."""

import importlib
import json
import os
from pathlib import Path

import numpy as np
import pytest


@pytest.fixture(autouse=True)
def peers() -> None:
    for package in ("autograd", "jax", "matplotlib", "torch"):
        if os.environ.get("NBGRAD_REQUIRE_PEERS"):
            importlib.import_module(package)
        else:
            pytest.importorskip(package)


def test_every_operation_is_called_or_it_is_said_why_not() -> None:
    import nbgrad
    from benchmarks.small_calls import LEFT_OUT
    from benchmarks.small_cases import listed, small
    from nbgrad import registry

    for name in registry.LATER:
        registry.load(name)
    every = {entry.names for entry in registry.ENTRIES.values() if entry.public or entry.method}
    every |= {(name,) for name in nbgrad.nn.functional.__all__}
    for module in ("fft", "linalg", "masked", "special", "signal.windows"):
        there = importlib.import_module(f"nbgrad.{module}")
        names = there.HOMES if module == "linalg" else there.__all__
        every |= {(f"{module}.{name}",) for name in names}
    rows = listed()
    without = {names for names in every if not rows.intersection(names) and not names[0].endswith("_")}
    assert without == {names for names in every if set(names) & LEFT_OUT.keys()}
    assert len(without) == len(LEFT_OUT), "a reason for what has a row, or does not exist"
    titles = [row.title for row in small()]
    assert len(titles) == len(set(titles))


def test_every_miss_has_its_reason() -> None:
    from benchmarks.small_cases import small
    from benchmarks.small_misses import REASONS, reason_of

    rows = small()
    assert [row.title for row in rows if not reason_of(row.name, row.title, row.family)] == []
    assert REASONS.keys() <= {text for row in rows for text in (row.name, row.title, row.family)}


def test_frames_and_calls_are_counted() -> None:
    from benchmarks.small_misses import costs, counted

    def inner() -> int:
        return len("ab")

    assert counted(lambda: inner() + inner()) == (2, 2)
    known = costs()
    assert 0 < known["call"] and 0 < known["frame"] < 1e-4


def test_measurement_and_document(tmp_path: Path) -> None:
    from benchmarks.small_operations import main

    where = ["--directory", str(tmp_path)]
    main(["--only", "sub,sum,product,lt", "--rounds", "2", *where])
    main(["--only", "split", "--rounds", "2", "--without", "jax", *where])  # the others stay
    main(["--only", "diff", "--rounds", "2", "--large", *where])
    results = json.loads((tmp_path / "small_operations.json").read_text())
    rows = {row["title"]: row for row in results["small"]}
    assert {"sub(10)", "sum(m, 1)", "split(x, 5)", "lt(scalar)", "(x * y).sum()"} <= rows.keys()
    assert rows["sub(10)"]["seconds"].keys() == {"forward", "no_grad", "backward"}
    assert rows["sub(10)"]["seconds"]["backward"].keys() == {"nbgrad", "torch", "jax", "autograd"}
    assert rows["sub(10)"]["seconds"]["no_grad"].keys() == {"nbgrad", "torch", "jax", "autograd", "numpy"}
    assert "backward" not in rows["lt(scalar)"]["seconds"]
    assert {row["title"] for row in results["large 64"]} == {"diff(m, dim=0)"}
    document = (tmp_path / "small_operations.md").read_text()
    assert document.count("| `diff(m, dim=0)`") == 2 and "| `split(x, 5)`" in document
    assert (tmp_path / "small_operations.png").stat().st_size > 10_000
    before = document
    main(["--redraw", *where])
    assert (tmp_path / "small_operations.md").read_text() == before


def test_a_wrong_result_is_found() -> None:
    from benchmarks.small_cases import small
    from benchmarks.small_operations import steps_of

    row = next(row for row in small() if row.title == "sub(10)")
    lying = row._replace(find=lambda library: (lambda x, y: y - x) if library == "autograd" else row.find(library))
    steps, left_out = steps_of(lying, ("nbgrad", "torch", "autograd"))
    assert {library for library, _ in steps} == {"nbgrad", "torch"}
    assert "sub(10), autograd" in left_out["autograd"]
    lying = row._replace(find=lambda library: (lambda x, y: x - y * 2) if library == "torch" else row.find(library))
    with pytest.raises(AssertionError, match="torch"):
        steps_of(lying, ("nbgrad", "torch"))


def test_means_count_each_operation_once() -> None:
    from benchmarks.small_tables import mean_of

    def row(name: str, ours: float) -> dict[str, object]:
        return {"name": name, "family": "", "seconds": {"forward": {"nbgrad": ours, "torch": 1.0}}}

    mean = mean_of([row("a", 1.0), row("a", 4.0), row("b", 8.0)], "forward")
    np.testing.assert_allclose(mean, 4.0)


def test_an_unknown_name_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    from benchmarks.small_operations import main

    with pytest.raises(SystemExit):
        main(["--only", "multiply"])
    assert "no such operation: multiply" in capsys.readouterr().err
