"""The tests of the CUDA target: on a GPU by ``pytest -m cuda``, on host memory with NBGRAD_TEST_CUDA=host.

They are collected only where NBGRAD_TEST_CUDA is set, since the stand-ins take the place of CuPy and of the GPU for
the whole process; tests/test_cuda_host.py runs them in one of its own.
"""

import os
import sys
import types
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest

collect_ignore_glob = [] if os.environ.get("NBGRAD_TEST_CUDA") else ["*.py"]


def has_gpu() -> bool:
    """Tell whether there is a GPU with all that is needed to use it."""
    try:
        import cupy

        return cupy.cuda.runtime.getDeviceCount() > 0
    except Exception:  # whatever a broken installation raises
        return False


HOST = os.environ.get("NBGRAD_TEST_CUDA") == "host"
REAL = not HOST and "NBGRAD_TEST_CUDA" in os.environ
#: Whether other processes run the tests of this one.
DISTRIBUTED = False

if os.environ.get("NBGRAD_TEST_CUDA"):
    sys.path.insert(0, str(Path(__file__).parent))
    if REAL and not has_gpu():
        raise RuntimeError("there is no GPU to test on; NBGRAD_TEST_CUDA=host tests on host memory")
    if not REAL:
        for name in [name for name in sys.modules if name.split(".")[0] == "cupy"]:
            del sys.modules[name]
        import stand_in
        import stand_in_cublas

        sys.modules["cupy"] = stand_in
        for name in ("nvmath", "nvmath.bindings"):
            sys.modules[name] = types.ModuleType(name)
            sys.modules[name].__spec__ = ModuleSpec(name, None)
        sys.modules["nvmath.bindings"].cublas = sys.modules["nvmath.bindings.cublas"] = stand_in_cublas
        from emulation import Compiled, Emulation
        from lockstep import Lockstep

        from nbgrad.kernels.cuda import launch

        Lockstep.find = staticmethod(stand_in.room_of)
        MAKERS = {"lockstep": Lockstep, "compiled": Compiled}
        launch.backend = Emulation(enqueue=stand_in.enqueue)


def pytest_configure(config):
    global DISTRIBUTED
    DISTRIBUTED = bool(getattr(config.option, "tx", None))


def pytest_generate_tests(metafunc):
    """Have kernels interpreted, and in long runs compiled as well; some tests' are always compiled."""
    if HOST:
        compiled = metafunc.definition.get_closest_marker("compiled")
        slow = pytest.param("compiled", marks=pytest.mark.slow)
        metafunc.parametrize("kernels", ["compiled"] if compiled else ["lockstep", slow], indirect=True)


@pytest.fixture(autouse=True)
def kernels(request, monkeypatch):
    """Choose what runs kernels where there is no GPU, and give its name; where there is one, wait for its errors."""
    if not HOST:
        import cupy

        yield None
        cupy.cuda.runtime.deviceSynchronize()
        return
    from nbgrad.kernels.cuda import launch

    monkeypatch.setattr(launch.backend, "make", MAKERS[request.param])
    yield request.param


failures = []


def pytest_runtest_logreport(report):
    if report.failed:
        failures.append(report.nodeid)


@pytest.hookimpl(trylast=True)
def pytest_runtest_logfinish(nodeid):
    """End the process after a fault of the GPU, after which nothing works in it; pytest-xdist starts another one."""
    if not REAL or nodeid not in failures:
        return
    worker = "PYTEST_XDIST_WORKER" in os.environ
    if not worker and DISTRIBUTED:
        return
    import cupy

    try:
        cupy.cuda.runtime.deviceSynchronize()
    except Exception as error:
        if worker:
            os._exit(1)
        pytest.exit(f"the GPU can be used no more in this process: {error}", 1)


@pytest.fixture
def driver(monkeypatch):
    """Give the state of the stand-in's device; skips where the GPU is real."""
    from nbgrad.kernels.cuda import devices

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


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """On a GPU all tests here are such as need one."""
    for item in items:
        if REAL and item.path.is_relative_to(Path(__file__).parent):
            item.add_marker("cuda")


def pytest_runtest_setup(item):
    if item.get_closest_marker("cuda") and not REAL:
        pytest.skip("needs a GPU")
