"""What networks are made of is compared with torch before it is timed, and its floor is what its case states."""

import importlib
import os
import time

import pytest

from benchmarks.network_cases import CASES, Case


@pytest.fixture(autouse=True)
def peer() -> None:
    if os.environ.get("NBGRAD_REQUIRE_PEERS"):
        importlib.import_module("torch")
    else:
        pytest.importorskip("torch")


SMALL = [case for case in CASES if not case.large]


@pytest.mark.parametrize("case", SMALL, ids=[case.title for case in SMALL])
def test_small_cases_agree_with_torch(case: Case) -> None:
    from benchmarks.networks import steps

    for step in steps(case):
        step()


@pytest.mark.parametrize("wrong", ["value", "gradient"])
def test_what_differs_is_not_timed(wrong: str) -> None:
    from benchmarks.networks import steps

    def call(functional, library, x, _):  # type: ignore[no-untyped-def]
        factor = 2.0 if library.__name__ == "torch" else 2.001
        return x * factor if wrong == "value" else x.detach() + (x - x.detach()) * factor

    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        steps(Case("differs", call, ((8, 8),), False))


def test_line_and_floor() -> None:
    from benchmarks.networks import floor, row

    by_title = {case.title: case for case in CASES}
    peaks = {"float32": 2e9, "float64": 1e9}
    assert floor(by_title["sum over axis 0, 64 x 64"], peaks, 4096.0) == 4
    assert floor(by_title["softmax, 64 x 64"], peaks, 4096.0) == 18
    assert floor(by_title["solve, 1024 x 1024, float64"], peaks, 1.0) == pytest.approx(10 / 3 * 1024**3 / 1e9)
    assert floor(by_title["einsum bhid,bhjd->bhij, 4 x 8 x 256 x 64"], peaks, 1.0) == 3 * 32 * 256 * 256 * 64 / 2e9
    line = row(by_title["sum over axis 0, 64 x 64"], 0.0, peaks, 1e9, time.perf_counter)
    assert line.startswith("| sum over axis 0, 64 x 64 | ") and line.count("|") == 8 and " | 0.5 | 16 µs | " in line
