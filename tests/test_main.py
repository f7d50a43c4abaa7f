"""``python -m nbgrad``: what it prints, what it fills and what it deletes."""

import os
import re
import runpy
import subprocess
import sys

import numpy as np
import pytest

import nbgrad
from nbgrad.__main__ import main
from nbgrad.kernels import cache
from nbgrad.kernels.cache import CompiledKernel
from nbgrad.kernels.cpu import processor


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.setenv("NBGRAD_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


def info(capsys):
    """Run the command and give its lines by their names."""
    main(["info"])
    return dict(line.split(maxsplit=1) if line.split()[0] not in ("cpu", "vector") else (line[:13].strip(), line[14:])
                for line in capsys.readouterr().out.splitlines())  # fmt: skip


def test_info_tells_versions_target_threads_cache_and_cuda(place, capsys):
    import importlib.metadata

    found = info(capsys)
    assert found["nbgrad"] == nbgrad.__version__
    for package in ("numpy", "numba", "llvmlite"):
        assert found[package] == importlib.metadata.version(package)
    assert found["python"].startswith(sys.version.split()[0])
    assert found["cpu target"] == processor.target()[0]
    assert found["threads"] == f"{nbgrad.get_num_threads()} of {os.cpu_count()}"
    assert found["cache"] == f"{place} (0 kernels, 0.0 MB)"
    assert "cupy" in found["cuda"]
    assert "numba-cuda" in found["cuda"]


def test_info_counts_the_cache(place, capsys):
    cache.write(cache.key_of("a", "source"), CompiledKernel("f", (), b"\0" * 1_234_000), "source")
    assert f"{place} (1 kernels, 1.2 MB)" in info(capsys)["cache"]


def test_info_says_where_the_cache_cannot_be_used(place, capsys):
    place.write_text("a file in the way")
    assert info(capsys)["cache"].endswith("not usable: it must belong to you and be writable by nobody else")


def test_clear_cache_says_what_it_did(place, capsys):
    cache.write(cache.key_of("k", "a"), CompiledKernel("f", (), b"code"), "source")
    main(["clear-cache"])
    assert capsys.readouterr().out == f"2 files deleted from {place}\n"
    assert cache.size() == (0, 0)


@pytest.mark.parametrize("arguments", [[], ["no-such-command"], ["info", "more"]])
def test_other_commands_are_refused(arguments, capsys):
    with pytest.raises(SystemExit) as exit_:
        main(arguments)
    assert exit_.value.code == 2
    assert "usage: python -m nbgrad" in capsys.readouterr().err


@pytest.mark.filterwarnings("ignore:.*found in sys.modules.*:RuntimeWarning")
def test_the_module_runs(monkeypatch, capsys, place):
    monkeypatch.setattr(sys, "argv", ["nbgrad", "info"])
    runpy.run_module("nbgrad", run_name="__main__")
    assert nbgrad.__version__ in capsys.readouterr().out


CATALOGUE = """
import sys
import numpy as np
from nbgrad.kernels.cpu import codegen
from nbgrad.ops import kernel_catalogue

def refuse(source, *rest):
    raise AssertionError("compiled again: " + source)

codegen._compile = refuse
jobs = kernel_catalogue()
for label, call in jobs:
    with np.errstate(all="ignore"):
        call()
print(len(jobs), "numba" in sys.modules, flush=True)
"""


@pytest.mark.slow
def test_warmup_fills_the_cache_for_processes_that_then_need_no_compiler():
    """In the cache that all tests share, so that the time is not spent twice."""
    done = subprocess.run([sys.executable, "-m", "nbgrad", "warmup"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(rf"\d+ kernels, \d+\.\d MB in {re.escape(str(cache.directory()))}, .* s\n", done.stdout)
    jobs = int(re.findall(r"(\d+)/(\d+) ", done.stderr)[-1][1])
    assert f"{jobs}/{jobs} " in done.stderr
    again = subprocess.run([sys.executable, "-c", CATALOGUE], capture_output=True, text=True)
    assert again.returncode == 0, again.stderr
    assert again.stdout == f"{jobs} False\n"
    assert jobs > 200


def test_the_catalogue_has_every_operation_in_both_dtypes():
    from nbgrad.ops import kernel_catalogue
    from nbgrad.ops.elementwise import OPERATIONS

    labels = [label for label, _ in kernel_catalogue()]
    for dtype in ("float32", "float64"):
        for name in (*OPERATIONS, "mul_vjp0", "sum", "softmax_vjp", "gather", "scatter_add"):
            assert f"{name} {dtype}" in labels
    assert np.array(labels).size == len(labels)
