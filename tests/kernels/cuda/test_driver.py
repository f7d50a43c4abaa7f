"""Launches by cuda.core reach a driver: tests/cuda/driver, in a process that has a stub of one."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("numba.cuda.compiler", reason="needs numba-cuda")
pytest.importorskip("cuda.core", reason="needs cuda-core")

sys.path.insert(0, str(Path(__file__).parents[2] / "cuda" / "driver"))

import stub_driver

TESTS = Path(stub_driver.__file__).parent


@pytest.mark.skipif(sys.platform != "linux", reason="the driver is libcuda.so.1, of Linux")
@pytest.mark.skipif(stub_driver.compiler() is None, reason="there is no C compiler for the driver")
def test_launches_reach_the_driver(tmp_path):
    stub_driver.build(tmp_path)
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "NBGRAD_TEST"))}
    libraries = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("LD_LIBRARY_PATH")])])
    environment |= {"NBGRAD_STUB_DRIVER": "1", "LD_LIBRARY_PATH": libraries}
    command = [sys.executable, "-m", "pytest", str(TESTS), "-q", "-n", "0", "-p", "no:cacheprovider"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=TESTS.parents[2])
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr[-5_000:]
