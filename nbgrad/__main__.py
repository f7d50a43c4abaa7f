"""``python -m nbgrad info``, ``warmup`` and ``clear-cache``."""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import platform
import sys
import time

import numpy as np

from . import get_num_threads
from .kernels import cache
from .kernels.cpu import processor
from .version import __version__


def _version_of(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def info() -> None:
    """Print versions, CPU target, threads, the cache's place and size, and the state of CUDA."""
    cpu, features = processor.target()
    count, size = cache.size()
    lines = {
        "nbgrad": __version__,
        "python": f"{platform.python_version()} on {platform.system()} {platform.machine()}",
        **{package: _version_of(package) for package in ("numpy", "numba", "llvmlite")},
        "cpu target": cpu,
        "vector units": ", ".join(name for name in ("avx512f", "avx2", "fma", "neon", "sve") if f"+{name}" in features),
        "threads": f"{get_num_threads()} of {os.cpu_count()}",
        "cache": f"{cache.directory()} ({count} kernels, {size / 1e6:.1f} MB)"
        + ("" if cache.is_usable() else ", not usable: it must belong to you and be writable by nobody else"),
        "cuda": f"cupy {_version_of('cupy-cuda13x')}, numba-cuda {_version_of('numba-cuda')}",
    }
    for name, value in lines.items():
        print(f"{name:13} {value}")


def warmup() -> None:
    """Compile the float32 and float64 kernels of values and first derivatives into the cache."""
    from .ops import kernel_catalogue

    os.environ["NBGRAD_QUIET"] = "1"  # the line below says more
    jobs = kernel_catalogue()
    start, last = time.perf_counter(), ""
    for number, (label, compile_kernel) in enumerate(jobs, 1):
        compile_kernel()
        line = f"\r{number}/{len(jobs)} {label}"
        print(line.ljust(len(last)), end="", file=sys.stderr, flush=True)
        last = line
    print(file=sys.stderr)
    count, size = cache.size()
    print(f"{count} kernels, {size / 1e6:.1f} MB in {cache.directory()}, {time.perf_counter() - start:.1f} s")


def main(arguments: list[str] | None = None) -> None:
    """Run a command."""
    parser = argparse.ArgumentParser(prog="python -m nbgrad", description="Look at nbgrad's installation and cache.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("info", help=info.__doc__)
    commands.add_parser("warmup", help=warmup.__doc__)
    commands.add_parser("clear-cache", help="Delete the compiled kernels.")
    command = parser.parse_args(arguments).command
    with np.errstate(all="ignore"):
        if command == "info":
            info()
        elif command == "warmup":
            warmup()
        else:
            print(f"{cache.clear()} files deleted from {cache.directory()}")


if __name__ == "__main__":
    main()
