"""The tests of the CUDA target: on a GPU with NBGRAD_TEST_CUDA=1, on host memory with NBGRAD_TEST_CUDA=host.

They are collected only where NBGRAD_TEST_CUDA is set, since the stand-ins take the place of CuPy and of the GPU for
the whole process; tests/test_cuda_host.py runs them in one of its own.
"""

import os
import sys
from pathlib import Path

import pytest

collect_ignore_glob = [] if os.environ.get("NBGRAD_TEST_CUDA") else ["test_*.py"]


def has_gpu() -> bool:
    """Tell whether there is a GPU with all that is needed to use it."""
    try:
        import cupy

        return cupy.cuda.runtime.getDeviceCount() > 0
    except Exception:  # whatever a broken installation raises
        return False


if os.environ.get("NBGRAD_TEST_CUDA"):
    sys.path.insert(0, str(Path(__file__).parent))
    REAL = os.environ["NBGRAD_TEST_CUDA"] != "host"
    if REAL and not has_gpu():
        raise RuntimeError("there is no GPU to test on; NBGRAD_TEST_CUDA=host tests on host memory")
    if not REAL:
        for name in [name for name in sys.modules if name.split(".")[0] == "cupy"]:
            del sys.modules[name]
        import stand_in

        sys.modules["cupy"] = stand_in
        from emulation import Emulation

        from nbgrad.kernels.cuda import launch

        launch.backend = Emulation()


@pytest.fixture
def driver(monkeypatch):
    """Give the state of the stand-in's device; skips where the GPU is real."""
    from nbgrad.kernels import devices

    if REAL:
        pytest.skip("the GPU is real, and stays")
    import stand_in

    saved = dict(vars(stand_in.state))
    devices._check_driver.cache_clear()
    devices.several.cache_clear()
    yield stand_in.state
    used = stand_in.state.used
    vars(stand_in.state).update(saved, used=used)
    devices._check_driver.cache_clear()
    devices.several.cache_clear()


def pytest_runtest_setup(item):
    if item.get_closest_marker("cuda") and not REAL:
        pytest.skip("needs a GPU")
