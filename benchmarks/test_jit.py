"""The benchmark of `nbgrad.jit` runs, its libraries agree, and its document says what it found."""

import dataclasses
import importlib
import json
import os
from functools import partial
from pathlib import Path

import numpy as np
import pytest


@pytest.fixture(autouse=True)
def peers() -> None:
    for package in ("jax", "matplotlib", "torch"):
        if os.environ.get("NBGRAD_REQUIRE_PEERS"):
            importlib.import_module(package)
        else:
            pytest.importorskip(package)


def test_measurement_and_document(tmp_path: Path) -> None:
    from benchmarks.jit import main

    quick = ["--quick", "--without", "torch.compile", "--directory", str(tmp_path)]
    main(["--only", "goldstein-price,chain-1000,first-mlp-warm", *quick])
    main(["--only", "logistic", *quick])  # the others stay
    results = json.loads((tmp_path / "jit.json").read_text())
    assert results["cases"].keys() == {"goldstein-price", "chain-1000", "logistic"}
    chain = results["cases"]["chain-1000"]
    assert chain["seconds"].keys() == {"nbgrad", "jax", "torch", "by-hand"}
    assert chain["skipped"] == {"torch.compile": "left out"}
    assert 0 < chain["profile"]["steps"] < 1
    assert 0 < results["first_calls"]["first-mlp-warm"]["call"]["median"] < 60
    main(["--redraw", "--directory", str(tmp_path)])
    document = (tmp_path / "jit.md").read_text()
    assert document.count("| logistic regression") == 2 and "torch.compile, in" in document
    assert (tmp_path / "jit.png").stat().st_size > 10_000


def test_loops_by_hand_agree_where_blocks_and_pieces_end() -> None:
    from benchmarks import jit_by_hand
    from benchmarks.jit_workloads import cases, compared, reference

    for case in cases():
        if case.by_hand is None or "0000000" in case.name:
            continue
        step, full = case.by_hand(), case.make()
        for size in (1, 1024, 2500, jit_by_hand.SHARED + 7):
            arrays = tuple(x[:size] if x.ndim else x for x in full)
            compared(case, "by-hand", partial(step, *arrays), arrays, reference(case, arrays))


def test_a_wrong_gradient_is_found() -> None:
    from benchmarks.jit_workloads import cases, compared, reference

    case = dataclasses.replace(next(case for case in cases() if case.name == "chain-1000"))
    arrays = case.make()
    expected = reference(case, arrays)
    wrong = [np.asarray(x, "float32") for x in expected]
    wrong[2] = np.float32(1.01) * wrong[2]
    with pytest.raises(AssertionError, match="gradient 2"):
        compared(case, "jax", lambda: tuple(wrong), arrays, expected)


def test_an_unknown_name_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    from benchmarks.jit import main

    with pytest.raises(SystemExit):
        main(["--only", "gelo"])
    assert "no such workload: gelo" in capsys.readouterr().err
