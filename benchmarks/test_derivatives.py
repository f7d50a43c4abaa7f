"""The measurements of derivatives run, and their document says what they found."""

import importlib
import json
import os
from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def peers() -> None:
    for package in ("scipy", "torch"):
        if os.environ.get("NBGRAD_REQUIRE_PEERS"):
            importlib.import_module(package)
        else:
            pytest.importorskip(package)


def test_measurement_and_document(tmp_path: Path) -> None:
    from benchmarks.derivatives import main

    main(["exp", "--count", "5", "--directory", str(tmp_path)])
    main(["tanh", "mul", "--count", "5", "--directory", str(tmp_path)])
    found = json.loads((tmp_path / "derivatives.json").read_text())["derivatives"]
    assert {key.split("/")[0] for key in found} == {"exp", "tanh", "mul"}
    assert found["mul/float64/01"]["nbgrad"]["ulp"]["ulp"] == 0
    assert found["tanh/float32/0"]["nbgrad"].keys() == {"ulp", "away"}
    document = (tmp_path / "derivatives.md").read_text()
    assert document.count("| `exp` |") == 3 and document.count("| `mul` |") == 5


def test_what_is_wrong_is_found_and_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import numpy as np

    from benchmarks import derivatives

    def wrong(name: str, index: tuple[int, ...], inputs: list[np.ndarray]) -> np.ndarray:
        return np.exp(inputs[0]) * (1 + 2.0**-20)

    monkeypatch.setattr(derivatives, "computed", wrong)
    found = derivatives.worst("exp", "float64", (0,), 5)
    assert 2**31 < found["nbgrad"]["ulp"]["ulp"] < 2**33 + 10
    entries = {f"exp/{dtype}/{index}": found for dtype in ("float32", "float64") for index in ("0", "00", "000")}
    assert "`exp`: " in derivatives.misses({"derivatives": entries})
    assert "**" in derivatives.table({"derivatives": entries})


def test_an_unknown_function_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    from benchmarks.derivatives import main

    with pytest.raises(SystemExit):
        main(["sine"])
    assert "no such function: sine" in capsys.readouterr().err
