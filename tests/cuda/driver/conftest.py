"""cuda.core on a driver that runs nothing and keeps what is launched; CuPy's place takes the stand-in.

The driver takes the place of a GPU's for the whole process, so tests/kernels/cuda/test_driver.py runs these tests in
one of its own, with NBGRAD_STUB_DRIVER set.
"""

import os
import sys
from pathlib import Path

import pytest

collect_ignore_glob = [] if os.environ.get("NBGRAD_STUB_DRIVER") else ["test_*.py"]

if os.environ.get("NBGRAD_STUB_DRIVER"):
    sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1])]
    import stand_in
    from stub_driver import Driver

    sys.modules["cupy"] = stand_in
    stub = Driver()


@pytest.fixture
def driver(monkeypatch):
    """Give the driver, which has forgotten what was before, and nbgrad nothing loaded."""
    from nbgrad.kernels.cuda import launch

    def set_device(number):
        stub.set_device(number)
        stand_in.state.current = number

    monkeypatch.setattr(stand_in.runtime, "setDevice", set_device)
    monkeypatch.setattr(stand_in.state, "count", 2)
    monkeypatch.setattr(launch, "backend", launch._Driver())
    monkeypatch.setattr(launch, "_kernels", {})
    set_device(0)
    stub.forget()
    return stub
