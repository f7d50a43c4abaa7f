"""Every workload in every library: the results are compared first, then timed; one table a workload.

pytest benchmarks --benchmark-only -n 0
"""

import importlib
import os
from typing import Any

import pytest

from benchmarks.libraries import LIBRARIES, checked_step, takes_part
from benchmarks.workloads import Workload, workloads

CASES = [
    pytest.param(workload, library, id=f"{workload.name}-{library}")
    for workload in workloads()
    for library in LIBRARIES
    if takes_part(library, workload)
]


@pytest.mark.filterwarnings("ignore:Benchmark fixture was not used")  # where results differ, or a library is missing
@pytest.mark.parametrize(("workload", "library"), CASES)
def test_workload(benchmark: Any, workload: Workload, library: str) -> None:
    package = LIBRARIES[library].package
    if os.environ.get("NBGRAD_REQUIRE_PEERS"):
        importlib.import_module(package)
    else:
        pytest.importorskip(package)
    benchmark.group = f"{workload.title}, {workload.dtype}"
    benchmark(checked_step(library, workload))
