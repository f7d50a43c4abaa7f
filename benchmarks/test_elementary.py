"""The measurements of the elementary functions run, and their document says what they found."""

import importlib
import json
import os
from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def peers() -> None:
    for package in ("matplotlib", "scipy", "torch"):
        if os.environ.get("NBGRAD_REQUIRE_PEERS"):
            importlib.import_module(package)
        else:
            pytest.importorskip(package)


def test_measurement_and_document(tmp_path: Path) -> None:
    from benchmarks.elementary import main

    main(["exp", "--functions", "hypot,sin", "--quick", "--directory", str(tmp_path)])
    main(["exp", "sin", "--all-float32", "--quick", "--directory", str(tmp_path)])
    results = json.loads((tmp_path / "elementary.json").read_text())
    names = {f"{name}/{dtype}" for name in ("exp", "sin", "hypot") for dtype in ("float32", "float64")}
    assert results["functions"].keys() == names
    assert results["all_float32"].keys() == {"exp", "sin"}
    assert results["all_float32"]["sin"]["worst"].keys() == {"", "far"}
    document = (tmp_path / "elementary.md").read_text()
    assert document.count("| `exp` |") == document.count("| `hypot` |") == 2
    assert (tmp_path / "elementary.png").stat().st_size > 10_000


def test_what_is_wrong_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import numpy as np

    from benchmarks import elementary
    from nbgrad.ops.elementwise import OPERATIONS

    class Wrong:
        def kernel(self, x: np.ndarray) -> np.ndarray:
            y = np.sinh(x)
            y[x > 3] *= 1 + 2**-20
            return np.where(x == 0, np.abs(y), y)

    monkeypatch.setitem(OPERATIONS, "sinh", Wrong())
    with elementary.one_thread():
        found = elementary.all_float32("sinh", 65536)
    assert 7 < found["worst"][""]["ulp"] < 20
    assert found["mismatches"] == 1 and found["mismatches_at"] == [0]


def test_an_unknown_function_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    from benchmarks.elementary import main

    with pytest.raises(SystemExit):
        main(["sine"])
    assert "no such function: sine" in capsys.readouterr().err
