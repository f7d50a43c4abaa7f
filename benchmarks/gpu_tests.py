"""A plugin of pytest for `benchmarks.gpu_round`: writes down what became of each test at once.

By the environment: NBGRAD_ROUND_REPORTS is the file, NBGRAD_ROUND_ONLY and NBGRAD_ROUND_FIRST are files with lists of
tests in JSON, NBGRAD_ROUND_UNTIL is the time after which no test begins, and with NBGRAD_ROUND_POOL=none CuPy takes
each array's memory from the driver, so that what is beside it is nobody's.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

_LATE = "the round's time is up"


def _tell(what: Any) -> None:
    """Add a line to the file; of several processes the one that leads the others does so."""
    path = os.environ.get("NBGRAD_ROUND_REPORTS")
    if path and "PYTEST_XDIST_WORKER" not in os.environ:
        with open(path, "a") as file:
            file.write(json.dumps(what) + "\n")


def _listed(variable: str) -> list[str]:
    path = os.environ.get(variable)
    return json.loads(Path(path).read_text()) if path else []


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave or begin with the tests that are listed."""
    only, first = set(_listed("NBGRAD_ROUND_ONLY")), set(_listed("NBGRAD_ROUND_FIRST"))
    if only:
        config.hook.pytest_deselected(items=[item for item in items if item.nodeid not in only])
        items[:] = [item for item in items if item.nodeid in only]
    items.sort(key=lambda item: item.nodeid not in first)


@pytest.hookimpl(trylast=True)
def pytest_collection_finish(session: pytest.Session) -> None:
    """Tell which tests there are, so that those which never ran are known."""
    _tell({"expected": [item.nodeid for item in session.items]})


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_node_collection_finished(node: Any, ids: Sequence[str]) -> None:
    """Tell which tests there are where they are collected by other processes."""
    _tell({"expected": list(ids)})


def pytest_sessionstart() -> None:
    """Give each array memory of its own, if that is asked for."""
    if os.environ.get("NBGRAD_ROUND_POOL") == "none":
        import cupy

        cupy.cuda.set_allocator(None)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Begin no test when the time is up: what is left of it is for telling what was found."""
    if time.time() > float(os.environ.get("NBGRAD_ROUND_UNTIL", "inf")):
        pytest.skip(_LATE)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Tell what became of a test."""
    late = report.skipped and _LATE in str(report.longrepr)
    outcome = "unrun" if late else report.outcome
    if report.when == "call" or report.outcome != "passed":
        _tell({"test": report.nodeid, "outcome": outcome, "reason": _reason(report) if report.failed else ""})


def _reason(report: pytest.TestReport) -> str:
    """Give the lines that say what was wrong, as one."""
    crash = getattr(report.longrepr, "reprcrash", None)
    text = crash.message if crash is not None else str(report.longrepr)
    lines = [" ".join(line.split()) for line in text.splitlines() if line.strip()]
    return " ".join(lines[:4])[:500] or "no reason is given"
