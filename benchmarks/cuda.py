"""Compare nbgrad on a GPU with torch eager, torch.compile, JAX jit and CuPy: ``python -m benchmarks.cuda``.

Every step is run in the same process, the libraries taking turns; a sample is as many calls as take about 50 ms and one
wait for the device at its end. Writes cuda.json and cuda.md; writes nothing where there is no GPU.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

import nbgrad
from nbgrad.nn import functional as F

from .measure import progress, quartiles
from .tables import duration

Step = Callable[[], Any]
#: Seconds that a sample takes.
SAMPLE = 0.05
RATE = 0.05


class Case:
    """One computation: a step for each library, the bytes it must move, and the limits promised."""

    def __init__(
        self, title: str, steps: dict[str, Callable[[], Step]], limits: dict[str, float], moved: int = 0
    ) -> None:
        self.title, self.steps, self.limits, self.moved = title, steps, limits, moved


# ---- what is computed -----------------------------------------------------------------------------------------------


def _jax() -> tuple[Any, Any]:
    """Import JAX, on the GPU, which it must not take for itself, and with float32 products that are float32."""
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    import jax
    import jax.numpy as jnp

    if jax.default_backend() != "gpu":
        raise RuntimeError("JAX finds no GPU")
    jax.config.update("jax_default_matmul_precision", "highest")
    return jax, jnp


def chain(m: Any, x: Any) -> Any:
    """Compute a sum of tanh(x * 0.5 + 1)**2 * exp(-x**2)."""
    return (m.tanh(x * 0.5 + 1) ** 2 * m.exp(-(x * x))).sum()


def _chain_case(size: int) -> Case:
    array = np.random.default_rng(0).normal(size=size).astype(np.float32)

    def of_nbgrad(transform: Callable[..., Any]) -> Step:
        import cupy

        function, x = transform(nbgrad.value_and_grad(lambda x: chain(nbgrad, x))), cupy.asarray(array)
        return lambda: function(x)

    def of_torch(compiled: bool) -> Step:
        import torch

        x = torch.tensor(array, device="cuda", requires_grad=True)
        function = torch.compile(chain, fullgraph=True) if compiled else chain

        def step() -> Any:
            x.grad = None
            value = function(torch, x)
            value.backward()
            return value, x.grad

        return step

    def of_jax() -> Step:
        jax, jnp = _jax()
        x = jnp.asarray(array)
        function = jax.jit(jax.value_and_grad(lambda x: chain(jnp, x)))
        return lambda: function(x)

    def of_cupy() -> Step:
        import cupy

        x = cupy.asarray(array)

        @cupy.fuse()
        def value_and_slope(x: Any) -> tuple[Any, Any]:
            t, e = cupy.tanh(x * 0.5 + 1), cupy.exp(-x * x)
            return t * t * e, (t * (1 - t * t) - x * 2 * t * t) * e

        def step() -> Any:
            value, slope = value_and_slope(x)
            return value.sum(), slope

        return step

    return Case(
        f"sum(tanh(x/2 + 1)**2 * exp(-x**2)) and its gradient, {size:,} float32",
        {
            "nbgrad": lambda: of_nbgrad(nbgrad.jit),
            "nbgrad eager": lambda: of_nbgrad(lambda f: f),
            "torch eager": lambda: of_torch(False),
            "torch.compile": lambda: of_torch(True),
            "JAX jit": of_jax,
            "CuPy, fused by hand": of_cupy,
        },
        {"torch eager": 1 / 3, "copy": 1 / 0.85},
        2 * array.nbytes,
    )


def _softmax_case(rows: int, width: int) -> Case:
    array = np.random.default_rng(1).normal(size=(rows, width)).astype(np.float32)

    def of_nbgrad() -> Step:
        x = nbgrad.tensor(array, device="cuda")
        return lambda: nbgrad.softmax(x, -1)

    def of_torch(compiled: bool) -> Step:
        import torch

        x = torch.tensor(array, device="cuda")
        function = torch.compile(torch.softmax, fullgraph=True) if compiled else torch.softmax
        return lambda: function(x, -1)

    def of_jax() -> Step:
        jax, jnp = _jax()
        x, function = jnp.asarray(array), jax.jit(jax.nn.softmax)
        return lambda: function(x)

    return Case(
        f"softmax of {rows:,} rows of {width:,} float32",
        {
            "nbgrad": of_nbgrad,
            "torch eager": lambda: of_torch(False),
            "torch.compile": lambda: of_torch(True),
            "JAX jit": of_jax,
        },
        {"copy": 1 / 0.8},
        2 * array.nbytes,
    )


def _small_case(operations: int, size: int) -> Case:
    array = np.linspace(0.9, 1.1, size).astype(np.float32)

    def repeated(x: Any) -> Any:
        y = x
        for _ in range(operations):
            y = y * x
        return y.sum()

    def of_nbgrad() -> Step:
        x = nbgrad.tensor(array, device="cuda", requires_grad=True)

        def step() -> Any:
            x.grad = None
            repeated(x).backward()
            return x.grad

        return step

    def of_torch() -> Step:
        import torch

        x = torch.tensor(array, device="cuda", requires_grad=True)

        def step() -> Any:
            x.grad = None
            repeated(x).backward()
            return x.grad

        return step

    return Case(
        f"{operations} multiplications of {size:,} float32, recorded, forward and backward",
        {"nbgrad": of_nbgrad, "torch eager": of_torch},
        {"torch eager": 1.0},
    )


def _network_case(sizes: tuple[int, ...], batch: int) -> Case:
    random = np.random.default_rng(2)
    weights = [
        array
        for inputs, outputs in itertools.pairwise(sizes)
        for array in (random.normal(0, (2 / inputs) ** 0.5, (inputs, outputs)), np.zeros(outputs))
    ]
    weights = [weight.astype(np.float32) for weight in weights]
    images = random.normal(size=(batch, sizes[0])).astype(np.float32)
    labels = random.integers(0, sizes[-1], batch)

    def network(relu: Any, x: Any, parameters: Any) -> Any:
        for position in range(0, len(parameters) - 2, 2):
            x = relu(x @ parameters[position] + parameters[position + 1])
        return x @ parameters[-2] + parameters[-1]

    def of_nbgrad() -> Step:
        import cupy

        state = [[cupy.asarray(weight) for weight in weights]]
        x, y = cupy.asarray(images), cupy.asarray(labels)

        def loss(parameters: Any, x: Any, y: Any) -> Any:
            return F.cross_entropy(network(nbgrad.relu, x, parameters), y)

        @nbgrad.jit
        def update(parameters: Any, x: Any, y: Any) -> Any:
            value, slopes = nbgrad.value_and_grad(loss)(parameters, x, y)
            return value, [p - RATE * slope for p, slope in zip(parameters, slopes, strict=True)]

        def step() -> Any:
            value, state[0] = update(state[0], x, y)
            return value

        return step

    def of_torch(compiled: bool) -> Step:
        import torch

        parameters = [torch.tensor(weight, device="cuda", requires_grad=True) for weight in weights]
        x, y = torch.tensor(images, device="cuda"), torch.tensor(labels, device="cuda")

        def loss(x: Any, y: Any, *parameters: Any) -> Any:
            return torch.nn.functional.cross_entropy(network(torch.relu, x, parameters), y)

        function = torch.compile(loss, fullgraph=True) if compiled else loss

        def step() -> Any:
            value = function(x, y, *parameters)
            slopes = torch.autograd.grad(value, parameters)
            with torch.no_grad():
                torch._foreach_add_(parameters, slopes, alpha=-RATE)
            return value

        return step

    def of_jax() -> Step:
        jax, jnp = _jax()
        state = [[jnp.asarray(weight) for weight in weights]]
        x, y = jnp.asarray(images), jnp.asarray(labels)

        def loss(parameters: Any, x: Any, y: Any) -> Any:
            return -jax.nn.log_softmax(network(jax.nn.relu, x, parameters))[jnp.arange(y.size), y].mean()

        @jax.jit
        def update(parameters: Any, x: Any, y: Any) -> Any:
            value, slopes = jax.value_and_grad(loss)(parameters, x, y)
            return value, [p - RATE * slope for p, slope in zip(parameters, slopes, strict=True)]

        def step() -> Any:
            value, state[0] = update(state[0], x, y)
            return value

        return step

    return Case(
        f"training step of a {'-'.join(map(str, sizes))} network, batch {batch}, float32",
        {
            "nbgrad": of_nbgrad,
            "torch eager": lambda: of_torch(False),
            "torch.compile": lambda: of_torch(True),
            "JAX jit": of_jax,
        },
        {"torch eager": 0.5, "JAX jit": 0.9},
    )


def cases(quick: bool) -> list[Case]:
    """List what is measured."""
    if quick:
        return [_chain_case(3000), _softmax_case(4, 40), _small_case(3, 100), _network_case((12, 8, 3), 4)]
    return [
        _chain_case(100_000_000),
        _softmax_case(32_768, 1024),
        _small_case(100, 1000),
        _network_case((784, 1024, 1024, 10), 128),
    ]


# ---- measuring ------------------------------------------------------------------------------------------------------


def _wait_for(result: Any) -> None:
    """Wait for the device, and for JAX, which has streams of its own."""
    wait = getattr(sys.modules.get("jax"), "block_until_ready", None)
    if wait is not None:
        wait(
            [
                leaf
                for leaf in (result if isinstance(result, tuple) else (result,))
                if hasattr(leaf, "addressable_shards")
            ]
        )
    nbgrad.cuda.synchronize()


def _time_of(step: Step, calls: int) -> float:
    _wait_for(None)
    begin = time.perf_counter()
    for _ in range(calls):
        result = step()
    _wait_for(result)
    return (time.perf_counter() - begin) / calls


def measured(case: Case, rounds: int) -> dict[str, Any]:
    """Give the seconds of each library that is installed, and the ratios of nbgrad's to theirs."""
    steps: dict[str, Step] = {}
    missing: dict[str, str] = {}
    for name, make in case.steps.items():
        try:
            steps[name] = make()
            _wait_for(steps[name]())
        except Exception as error:  # a library that is not installed, or that cannot do this
            if name.startswith("nbgrad"):
                raise
            missing[name] = f"{type(error).__name__}: {error}".splitlines()[0]
            steps.pop(name, None)
    if case.moved:
        import cupy

        source = cupy.empty(case.moved // 2, np.uint8)
        target = cupy.empty(case.moved // 2, np.uint8)
        steps["copy"] = lambda: target.__setitem__(..., source)
    calls = {name: max(1, round(SAMPLE / _time_of(step, 3))) for name, step in steps.items()}
    samples: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(rounds):
        for name, step in steps.items():
            samples[name].append(_time_of(step, calls[name]))
    ratios = {
        name: quartiles(x / y for x, y in zip(samples["nbgrad"], times, strict=True))
        for name, times in samples.items()
        if name != "nbgrad" and "nbgrad" in samples
    }
    return {
        "title": case.title,
        "seconds": {name: statistics.median(times) for name, times in samples.items()},
        "nbgrad_over": ratios,
        "limits": case.limits,
        "missing": missing,
    }


def report(results: dict[str, Any]) -> str:
    """Write the tables."""
    lines = ["# nbgrad on a GPU, and its peers", "", f"Made by `python -m benchmarks.cuda`, {results['date']}:"]
    lines += [f"{results['device']}; " + ", ".join(f"{k} {v}" for k, v in results["versions"].items()) + ".", ""]
    for result in results["cases"]:
        lines += [
            f"## {result['title']}",
            "",
            "| | time | nbgrad's time over it | limit | |",
            "| --- | ---: | ---: | ---: | --- |",
        ]
        for name, seconds in result["seconds"].items():
            ratio, limit = result["nbgrad_over"].get(name), result["limits"].get(name)
            kept = "" if ratio is None or limit is None else "met" if ratio["median"] <= limit else "**missed**"
            cells = [
                name,
                duration(seconds),
                f"{ratio['median']:.2f}" if ratio else "",
                f"{limit:.2f}" if limit else "",
                kept,
            ]
            lines.append(f"| {' | '.join(cells)} |")
        lines += [f"| {name} | {why} | | | |" for name, why in result["missing"].items()]
        lines.append("")
    lines.append('"copy" is a copy on the device of as many bytes as must at least be read and written.')
    return "\n".join(lines) + "\n"


def _versions() -> dict[str, str]:
    from importlib.metadata import PackageNotFoundError, version

    found = {"Python": platform.python_version()}
    for package in ("nbgrad", "numpy", "numba-cuda", "cupy-cuda13x", "cuda-core", "torch", "jax"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def main(arguments: list[str] | None = None) -> int:
    """Run the comparison."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cuda", description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9, help="turns of each library (default: 9)")
    parser.add_argument("--quick", action="store_true", help="small sizes and two rounds, to see that it works")
    parser.add_argument("--directory", type=Path, default=Path(__file__).parent, help="where results go")
    options = parser.parse_args(arguments)
    if not nbgrad.cuda.is_available():
        print("no GPU that nbgrad can use: nothing was measured, and nothing is written", file=sys.stderr)
        return 1
    results: dict[str, Any] = {
        "date": str(date.today()),
        "device": nbgrad.cuda.get_device_name(),
        "versions": _versions(),
        "cases": [],
    }
    for case in progress(cases(options.quick), "cases"):
        results["cases"].append(measured(case, 2 if options.quick else options.rounds))
        if not options.quick:  # after each case: a failure of the driver ends whatever comes after it
            (options.directory / "cuda.json").write_text(json.dumps(results, indent=1) + "\n")
            (options.directory / "cuda.md").write_text(report(results))
    print(report(results))
    return 0


if __name__ == "__main__":
    sys.exit(main())
