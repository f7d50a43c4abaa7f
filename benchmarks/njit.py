"""Derivatives of loops: against the loops themselves, against JAX where these are scans, and to the first gradient.

python -m benchmarks.njit            measure, print the tables; writes njit.json here, docs/njit_speed.md, README.md
python -m benchmarks.njit --quick    a few rounds, and nothing is written
"""

from __future__ import annotations

import argparse
import datetime
import importlib.util
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
import numpy as np

import nbgrad

from . import measure
from .report import processor

DIRECTORY = Path(__file__).parent
DOCS = DIRECTORY.parent / "docs" / "njit_speed.md"
JSON = DIRECTORY / "njit.json"
README = DIRECTORY.parent / "README.md"
EXAMPLE = DIRECTORY.parent / "examples" / "loops.py"

HEAD = """# Derivatives of loops: how long they take

`python -m benchmarks.njit` on {processor}, {date}, in one thread. Each time is the least of {rounds}
rounds, in which what is compared takes turns; the load was {load:.1f} before the run. How it is
done: [njit.md](njit.md).

"""


def least(steps: dict[str, Callable[[], Any]], rounds: int) -> dict[str, float]:
    """Give the least time of a call of each step, which take turns: others' load only adds to it."""
    found = dict.fromkeys(steps, math.inf)
    for step in steps.values():
        step()
    for _ in range(rounds):
        for name, step in steps.items():
            calls = max(1, min(1000, round(2e-4 / found[name])))
            found[name] = min(found[name], measure.time_of(step, calls))
    return found


def programs() -> dict[str, tuple[Any, tuple[Any, ...]]]:
    """Give the programs of the example, at the sizes of real work."""
    spec = importlib.util.spec_from_file_location("loops_example", EXAMPLE)
    assert spec is not None and spec.loader is not None
    found: Any = importlib.util.module_from_spec(spec)
    sys.modules["loops_example"] = found
    spec.loader.exec_module(found)
    rng = np.random.default_rng(0)

    def draw(*shape: int) -> Any:
        return rng.normal(size=shape)

    found.log_density, found.slope_of = numba.njit(found.log_density), numba.njit(found.slope_of)
    square = draw(120, 120)
    sizes = {
        "N-body energy, 300 bodies": (found.energy, (draw(300, 3), draw(300), 3.0)),
        "Lotka-Volterra, RK4, 2000 steps": (
            found.lotka_volterra, (np.array([1.0, 0.5]), np.array([1.1, 0.4, 0.1, 0.4]), 2000),
        ),
        "stiff equation, implicit Euler, 2000 steps": (found.stiff, (0.5, 40.0, 2000)),
        "hidden Markov model, 200 steps, 16 states": (found.hidden_markov, (draw(16), draw(16, 16), draw(200, 16))),
        "Kalman filter, 2000 steps": (found.kalman, (draw(2000), 0.1, 0.5)),
        "soft-DTW, 200 x 200": (found.soft_dtw, (draw(200), draw(200), 0.7)),
        "Black-Scholes by Monte Carlo, 100,000": (found.monte_carlo, (100.0, 105.0, 0.03, 0.2, 1.5, draw(100000))),
        "leapfrog, 200 numbers, 50 steps": (found.leapfrog, (draw(200), draw(200), np.ones(200), 0.01, 50)),
        "smoothing, 100 x 100, 20 rounds": (found.smoothing, (draw(100, 100), 0.2, 20)),
        "maxima as by Smith and Waterman, 300 x 300": (found.smith_waterman, (draw(300, 300), 0.3)),
        "Cholesky, 120 x 120": (found.cholesky, (square @ square.T + 120 * np.eye(120),)),
    }  # fmt: skip
    return sizes


def derivatives(rounds: int) -> list[dict[str, Any]]:
    rows = []
    for name, (function, given) in measure.progress(programs().items(), "derivative / value"):
        compiled = nbgrad.njit(function)
        results = compiled(*given)
        results = results if isinstance(results, tuple) else (results,)
        cotangents = [np.ones_like(y) if np.ndim(y) else 1.0 for y in results]
        back = compiled.entry("vjp", len(cotangents))
        steps: dict[str, Callable[[], Any]] = {
            "value": lambda f=compiled.dispatcher, a=given: f(*a),
            "derivative": lambda f=back, a=given, g=cotangents: f(*a, *g),
        }
        samples = least(steps, rounds)
        rows.append({
            "name": name,
            "value": samples["value"],
            "derivative": samples["derivative"],
            "ratio": samples["derivative"] / samples["value"],
        })  # fmt: skip
    return rows


# ---- scans against JAX -----------------------------------------------------------------------------------------------


def logistic_map(x: float, n: int) -> float:
    """A scan with a small body."""
    for _ in range(n):
        x = 3.7 * x * (1.0 - x)
    return x


def recurrence(a: Any, b: Any) -> float:
    """A linear recurrence, and a sum of squares of its values."""
    y, total = 0.0, 0.0
    for i in range(a.size):
        y = a[i] * y + b[i]
        total += y * y
    return total


def pendulum(angle: float, speed: float, n: int) -> float:
    """Symplectic Euler."""
    for _ in range(n):
        speed -= 0.01 * math.sin(angle)
        angle += 0.01 * speed
    return angle * speed


def scans(rounds: int) -> list[dict[str, Any]]:
    import jax
    import jax.numpy as jnp

    jax.config.update("jax_enable_x64", True)
    n = 10000
    rng = np.random.default_rng(0)
    a, b = rng.uniform(0.1, 0.9, n), rng.normal(size=n)

    def jax_map(x: Any) -> Any:
        return jax.lax.scan(lambda x, _: (3.7 * x * (1.0 - x), None), x, None, length=n)[0]

    def jax_recurrence(a: Any, b: Any) -> Any:
        def step(carried: Any, now: Any) -> Any:
            y = now[0] * carried[0] + now[1]
            return (y, carried[1] + y * y), None

        return jax.lax.scan(step, (0.0, 0.0), (a, b))[0][1]

    def jax_pendulum(angle: Any, speed: Any) -> Any:
        def step(carried: Any, _: Any) -> Any:
            speed = carried[1] - 0.01 * jnp.sin(carried[0])
            return (carried[0] + 0.01 * speed, speed), None

        angle, speed = jax.lax.scan(step, (angle, speed), None, length=n)[0]
        return angle * speed

    cases: dict[str, tuple[Any, tuple[Any, ...], Any, tuple[Any, ...]]] = {
        "logistic map": (logistic_map, (0.3, n), jax_map, (0.3,)),
        "recurrence of two arrays": (recurrence, (a, b), jax_recurrence, (jnp.asarray(a), jnp.asarray(b))),
        "pendulum": (pendulum, (0.5, 0.1, n), jax_pendulum, (0.5, 0.1)),
    }
    rows = []
    for name, (function, given, other, others) in measure.progress(cases.items(), "scans"):
        compiled = nbgrad.njit(function)
        places = tuple(range(len(others)))
        mine = nbgrad.value_and_grad(compiled, places)
        theirs = jax.jit(jax.value_and_grad(other, places))
        found, known = mine(*given), theirs(*others)
        if name != "logistic map":  # which is chaotic
            np.testing.assert_allclose(found[0], known[0], rtol=1e-8)
        steps: dict[str, Callable[[], Any]] = {
            "nbgrad": lambda f=mine, a=given: f(*a),
            "jax": lambda f=theirs, a=others: jax.block_until_ready(f(*a)),
        }
        samples = least(steps, rounds)
        rows.append({
            "name": f"{name}, {n:,} steps",
            "nbgrad": samples["nbgrad"],
            "jax": samples["jax"],
            "ratio": samples["nbgrad"] / samples["jax"],
        })  # fmt: skip
    return rows


# ---- calls, elementary functions and the first gradient --------------------------------------------------------------


def others(rounds: int) -> list[dict[str, Any]]:
    @nbgrad.njit
    def squares(x: Any) -> Any:
        s = 0.0
        for i in range(x.size):
            s += x[i] * x[i]
        return s

    @numba.njit
    def by_math(x: Any, y: Any) -> None:
        for i in range(x.size):
            y[i] = math.exp(x[i])

    ours = nbgrad.math

    @numba.njit
    def by_ours(x: Any, y: Any) -> None:
        for i in range(x.size):
            y[i] = ours.exp(x[i])

    ten, many, out = np.linspace(0, 1, 10), np.linspace(-1, 1, 10000), np.empty(10000)
    gradient = nbgrad.grad(squares)
    pairs: dict[str, tuple[Callable[[], Any], Callable[[], Any], float]] = {
        "call of a gradient of 10 elements / np.sin of them": (lambda: gradient(ten), lambda: np.sin(ten), 3.0),
        "nbgrad.math.exp in a loop / math.exp": (lambda: by_ours(many, out), lambda: by_math(many, out), 0.5),
    }
    rows = []
    for name, (one, other, limit) in pairs.items():
        samples = least({"one": one, "other": other}, rounds)
        rows.append({
            "name": name,
            "one": samples["one"],
            "other": samples["other"],
            "limit": limit,
            "ratio": samples["one"] / samples["other"],
        })  # fmt: skip
    return rows


FIRST = """
import importlib.util, time, numpy as np, nbgrad
spec = importlib.util.spec_from_file_location("loops_example", {example!r})
loops = importlib.util.module_from_spec(spec)
spec.loader.exec_module(loops)
x, q = np.random.default_rng(0).normal(size=(30, 3)), np.ones(30)
begin = time.perf_counter()
nbgrad.value_and_grad(nbgrad.njit(loops.energy), argnums=(0, 1))(x, q, 3.0)
print(time.perf_counter() - begin)
"""


def first() -> dict[str, float]:
    """Give the seconds to the first gradient, Numba's import with it: with an empty cache, and in the next process."""
    with tempfile.TemporaryDirectory() as directory:
        environment = measure.fresh_environment(NBGRAD_CACHE_DIR=directory, NBGRAD_QUIET="1")
        command = [sys.executable, "-c", FIRST.format(example=str(EXAMPLE))]
        times = [
            float(subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout)
            for _ in range(4)
        ]
    return {"empty": times[0], "second": min(times[1:])}


# ---- tables ----------------------------------------------------------------------------------------------------------


def geometric(rows: list[dict[str, Any]]) -> float:
    return math.exp(statistics.fmean(math.log(row["ratio"]) for row in rows))


def verdict(found: float, limit: float) -> str:
    return "met" if found <= limit else "**missed**"


def micro(seconds: float) -> str:
    return f"{1e6 * seconds:.3g} µs" if seconds < 1e-3 else f"{1e3 * seconds:.3g} ms"


def tables(results: dict[str, Any]) -> str:
    lines = [
        "| program | value | value and derivative | ratio | at most | |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for row in results["derivatives"]:
        lines.append(
            f"| {row['name']} | {micro(row['value'])} | {micro(row['derivative'])} | {row['ratio']:.2f} | 4 | "
            f"{verdict(row['ratio'], 4)} |"
        )
    mean = geometric(results["derivatives"])
    lines.append(f"| geometric mean | | | {mean:.2f} | 2.5 | {verdict(mean, 2.5)} |")
    lines += ["", "| value and gradient of a scan | nbgrad | JAX jit | ratio | at most | |",
              "| --- | ---: | ---: | ---: | ---: | ---: |"]  # fmt: skip
    for row in results["scans"]:
        lines.append(
            f"| {row['name']} | {micro(row['nbgrad'])} | {micro(row['jax'])} | {row['ratio']:.3f} | 0.05 | "
            f"{verdict(row['ratio'], 0.05)} |"
        )
    lines += ["", "| | | | ratio | at most | |", "| --- | ---: | ---: | ---: | ---: | ---: |"]
    for row in results["others"]:
        lines.append(
            f"| {row['name']} | {micro(row['one'])} | {micro(row['other'])} | {row['ratio']:.2f} | {row['limit']:g} | "
            f"{verdict(row['ratio'], row['limit'])} |"
        )
    for key, limit, what in (("empty", 5.0, "with an empty cache"), ("second", 0.3, "in the next process")):
        seconds = results["first"][key]
        lines.append(f"| first N-body gradient {what}, Numba's import in it | {seconds:.2f} s | | | {limit:g} s | "
                     f"{verdict(seconds, limit)} |")  # fmt: skip
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    quick = parser.parse_args().quick
    rounds = 50 if quick else 300
    load = os.getloadavg()[0]
    nbgrad.set_num_threads(1)
    results = {"derivatives": derivatives(rounds), "scans": scans(rounds), "others": others(rounds), "first": first()}
    text = tables(results)
    print(text)
    if not quick:
        head = HEAD.format(processor=processor(), date=datetime.date.today().isoformat(), load=load, rounds=rounds)
        DOCS.write_text(head + text)
        before, _, rest = README.read_text().partition("<!-- njit:begin -->")
        README.write_text(
            f"{before}<!-- njit:begin -->\n\n{text}\n<!-- njit:end -->{rest.partition('<!-- njit:end -->')[2]}"
        )
        JSON.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
