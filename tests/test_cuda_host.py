"""The CUDA target without a GPU: its tests on stand-ins, in a process of their own, and what is refused without it."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers import usually

import nbgrad

HERE = Path(__file__).parent


@pytest.mark.skipif(importlib.util.find_spec("numba_cuda") is None, reason="numba-cuda is not installed")
@pytest.mark.parametrize("chosen", usually(["not slow", "slow"], "not slow"))
def test_the_cuda_target_on_host_memory(chosen):
    environment = {**os.environ, "NBGRAD_TEST_CUDA": "host", "LLVMLITE_ENABLE_IR_LAYER_TYPED_POINTERS": "0"}
    for name in [name for name in environment if name.startswith("PYTEST_")]:
        del environment[name]
    command = [
        sys.executable,
        "-m",
        "pytest",
        str(HERE / "cuda"),
        "-q",
        "-n",
        "2",
        "-m",
        chosen,
        "-p",
        "no:cacheprovider",
    ]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=HERE.parent)
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr[-5_000:]


# ---- where there is no GPU ------------------------------------------------------------------------------------------


def test_everything_is_on_the_cpu():
    x = nbgrad.ones(2)
    assert (x.device, x.is_cuda) == ("cpu", False)
    assert x.cpu() is x and x.to("cpu") is x and x.to(nbgrad.zeros(1)) is x
    assert x.to(np.float32).dtype == np.float32
    assert nbgrad.zeros(2, device="cpu").device == nbgrad.ones_like(x, device="cpu:0").device == "cpu"
    assert not hasattr(x, "__cuda_array_interface__")


def test_arrays_are_shared_where_nothing_is_to_be_converted():
    array = np.arange(3.0)
    for x in (nbgrad.as_tensor(array), nbgrad.from_dlpack(array), nbgrad.from_dlpack(nbgrad.as_tensor(array))):
        assert np.shares_memory(x.data, array) and not x.requires_grad
    assert np.shares_memory(np.from_dlpack(nbgrad.as_tensor(array)), array)
    assert not np.shares_memory(nbgrad.as_tensor(array, np.float32).data, array)
    x = nbgrad.tensor([1.0], requires_grad=True)
    assert nbgrad.as_tensor(x) is x
    with pytest.raises(RuntimeError, match=r"__dlpack__ of a Variable that requires a gradient: use x\.detach\(\)"):
        np.from_dlpack(x)


@pytest.mark.parametrize(
    "function",
    [
        lambda: nbgrad.ones(2).cuda(),
        lambda: nbgrad.ones(2).to("cuda:0"),
        lambda: nbgrad.randn(2, device="cuda"),
        lambda: nbgrad.tensor([1.0], device="cuda"),
        nbgrad.cuda.synchronize,
        nbgrad.cuda.memory_stats,
    ],
)
def test_without_cupy_the_remedy_is_named(monkeypatch, function):
    monkeypatch.setitem(sys.modules, "cupy", None)
    with pytest.raises(ImportError, match=r"CUDA needs CuPy, .*pip install 'nbgrad\[cuda13\]'"):
        function()


def test_without_cupy_there_is_no_device(monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", None)
    assert nbgrad.cuda.is_available() is False
    assert nbgrad.cuda.device_count() == 0


def test_unknown_devices_are_refused():
    for device in ("tpu", "cuda:", "cuda:-1", "cpu:1", 1.5, True):
        with pytest.raises(ValueError, match=f"device {device!r} is not known: give 'cpu', 'cuda' or 'cuda:0'"):
            nbgrad.zeros(2, device=device)
