"""Steps of training have the same losses in all libraries before they are timed."""

import importlib
import os
from collections.abc import Iterator
from typing import Any

import pytest

from benchmarks.training_cases import CASES, Case

SLOW = [pytest.param(case, id=case.title, marks=pytest.mark.slow) for case in CASES[1:]]


@pytest.fixture(autouse=True)
def peers() -> None:
    for name in ("torch", "jax"):
        if os.environ.get("NBGRAD_REQUIRE_PEERS"):
            importlib.import_module(name)
        else:
            pytest.importorskip(name)


@pytest.fixture(autouse=True)
def _default_dtype() -> Iterator[None]:
    import nbgrad

    before = nbgrad.get_default_dtype()
    yield
    nbgrad.set_default_dtype(before)


@pytest.mark.parametrize("case", [pytest.param(CASES[0], id=CASES[0].title), *SLOW])
def test_losses_agree(case: Case) -> None:
    from benchmarks.training import steps

    assert set(steps(case, compiled=False)) == {"eager", "jit", "torch", "JAX"}


def test_what_differs_is_not_timed() -> None:
    from benchmarks.training import steps

    def loss(library: Any, y: Any, labels: Any) -> Any:
        return CASES[0].loss(library, y, labels) * (1.001 if library.__name__ == "nbgrad" else 1.0)

    with pytest.raises(AssertionError, match=r"MLP.*: losses of (eager|jit)"):
        steps(CASES[0]._replace(loss=loss), compiled=False)


def test_adam_alone_and_lines() -> None:
    from benchmarks.training import alone, line

    (row,) = line("Adam", alone(2, 10), {("eager", "torch"): 1e-9}, 1e-6, 1)
    assert row.startswith("| Adam | eager | ") and "| 1 µs |" in row and "** (1e-09)" in row
