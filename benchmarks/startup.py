"""Start-up: the wall time of a process that imports a library and takes a first gradient of sum(tanh(x @ w)).

python -m benchmarks.startup
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from .measure import fresh_environment, progress, quartiles, summary

_HEAD = """
import numpy as np
x = np.linspace(-1, 1, 100).reshape(10, 10)
w = np.linspace(-0.3, 0.5, 100).reshape(10, 10)
"""
_EAGER = """
x, w = {library}.tensor(x, requires_grad=True), {library}.tensor(w, requires_grad=True)
{library}.tanh(x @ w).sum().backward()
print(float(x.grad.sum()), float(w.grad.sum()))
"""
_FUNCTIONAL = """
gx, gw = {grad}(lambda x, w: {numpy}.tanh(x @ w).sum(), (0, 1)){close}(x, w)
print(float(gx.sum()), float(gw.sum()))
"""
#: The programs, by library; "numpy" has no gradient and is the floor: the import that all of them need.
PROGRAMS = {
    "nbgrad": _HEAD + "import nbgrad" + _EAGER.format(library="nbgrad"),
    "torch": _HEAD + "import torch" + _EAGER.format(library="torch"),
    "jax": _HEAD
    + "import jax, jax.numpy as jnp\njax.config.update('jax_enable_x64', True)"
    + _FUNCTIONAL.format(grad="jax.jit(jax.grad", numpy="jnp", close=")"),
    "autograd": _HEAD
    + "import autograd, autograd.numpy as anp"
    + _FUNCTIONAL.format(grad="autograd.grad", numpy="anp", close=""),
    "numpy": _HEAD + "g = 1 - np.tanh(x @ w) ** 2\nprint(float((g @ w.T).sum()), float((x.T @ g).sum()))",
}
#: What the example prints once it has taken its first step, and the packages it needs besides nbgrad.
DIGITS = Path(__file__).parent.parent / "examples" / "digits.py"
DIGITS_LINE = "first step"
DIGITS_NEEDS = ("matplotlib", "sklearn", "tqdm")


def run(program: str, cache: str | None = None) -> tuple[float, list[float]]:
    """Run a program in a fresh interpreter: the wall time, and the two numbers it printed.

    Raises RuntimeError with what the program wrote if it fails.
    """
    environment = fresh_environment(**({"NBGRAD_CACHE_DIR": cache} if cache else {}))
    start = time.perf_counter()
    process = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment)
    seconds = time.perf_counter() - start
    if process.returncode:
        raise RuntimeError(process.stderr)
    return seconds, [float(number) for number in process.stdout.split()]


def run_with_empty_cache() -> float:
    """Run nbgrad's program with a cache directory of its own, and give the wall time."""
    with tempfile.TemporaryDirectory() as directory:
        return run(PROGRAMS["nbgrad"], directory)[0]


def digits_first_step() -> float | None:
    """Start the digits example with an empty cache: the wall time to its first step, None without its packages.

    Raises RuntimeError if it ends without having said that it took a step.
    """
    if not all(importlib.util.find_spec(package) for package in DIGITS_NEEDS):
        return None
    with tempfile.TemporaryDirectory() as directory:
        command = [sys.executable, "-u", str(DIGITS), "--epochs", "1", "--plot", os.path.join(directory, "digits.png")]
        environment = fresh_environment(NBGRAD_CACHE_DIR=directory)
        start = time.perf_counter()
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
        ) as process:
            assert process.stdout is not None
            said = []
            for line in process.stdout:
                said.append(line)
                if DIGITS_LINE in line:
                    seconds = time.perf_counter() - start
                    process.kill()
                    return seconds
    raise RuntimeError("".join(said))


def check() -> None:
    """Run every program once, which also warms the caches of nbgrad and of the disk, and compare what they print.

    Raises AssertionError where a library's gradients differ from NumPy's.
    """
    expected = run(PROGRAMS["numpy"])[1]
    for name in progress(PROGRAMS, "start-up, warming"):
        found = run(PROGRAMS[name])[1]
        close = [abs(x - y) < 1e-9 * abs(y) for x, y in zip(found, expected, strict=True)]
        assert all(close), f"{name} printed {found}, NumPy {expected}"


def measure(rounds: int) -> dict[str, Any]:
    """Give times and ratios of the programs, nbgrad's also with an empty cache."""
    check()
    samples: dict[str, list[float]] = {name: [] for name in (*PROGRAMS, "nbgrad-empty")}
    first_steps = []
    for number in progress(range(rounds), "start-up"):
        for name, program in PROGRAMS.items():
            samples[name].append(run(program)[0])
        samples["nbgrad-empty"].append(run_with_empty_cache())
        if number < 3:  # it takes seconds, and its limit is far away
            first_steps.append(digits_first_step())
    measured = [seconds for seconds in first_steps if seconds is not None]
    return {**summary(samples), "digits_first_step": quartiles(measured) if measured else None}


if __name__ == "__main__":
    results = measure(rounds=3)
    for name, times in results["seconds"].items():
        print(f"{name:13} {times['median']:.2f} s")
    print("digits' first step with an empty cache:", results["digits_first_step"])
