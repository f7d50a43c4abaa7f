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

from . import gradbench, measure
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


def many_leaves(x: Any, inputs: Any) -> float:
    """What jax#40150 is about: a scan that carries very many numbers."""
    x = x.copy()
    for t in range(inputs.size):
        for i in range(x.size):
            x[i] = 0.9 * x[i] + 0.1 * inputs[t] * x[i - 1] / (1.0 + x[i] * x[i])
    return x.sum()


def quasiseparable(p: Any, q: Any, a: Any, d: Any) -> Any:
    """What jax#36799 is about: the Cholesky factorisation by celerite's recurrence, which carries a 3 x 3 matrix."""
    n, m = p.shape
    f = np.zeros((m, m))
    moved, w = np.empty((m, m)), np.empty(m)
    total = 0.0
    for t in range(n):
        inner = d[t]
        for i in range(m):
            for j in range(m):
                inner -= p[t, i] * f[i, j] * p[t, j]
        c = math.sqrt(inner)
        total += math.log(c)
        for i in range(m):
            for j in range(m):
                s = 0.0
                for k in range(m):
                    s += f[i, k] * a[t, j, k]
                moved[i, j] = s
        for j in range(m):
            s = q[t, j]
            for i in range(m):
                s -= p[t, i] * moved[i, j]
            w[j] = s / c
        for i in range(m):
            for j in range(m):
                s = w[i] * w[j]
                for k in range(m):
                    s += a[t, i, k] * moved[k, j]
                f[i, j] = s
    return total


def differences(x: Any) -> Any:
    """What jax#37465 is about: squares of differences of neighbours, along each axis."""
    n, m, o = x.shape
    total = 0.0
    for i in range(1, n):
        for j in range(m):
            for k in range(o):
                total += (x[i, j, k] - x[i - 1, j, k]) ** 2
    for i in range(n):
        for j in range(1, m):
            for k in range(o):
                total += (x[i, j, k] - x[i, j - 1, k]) ** 2
    for i in range(n):
        for j in range(m):
            for k in range(1, o):
                total += (x[i, j, k] - x[i, j, k - 1]) ** 2
    return total


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

    def jax_leaves(x: Any, inputs: Any) -> Any:
        def step(carried: Any, now: Any) -> Any:
            values = list(carried)
            for i in range(len(values)):
                values[i] = 0.9 * values[i] + 0.1 * now * values[i - 1] / (1.0 + values[i] * values[i])
            return tuple(values), None

        return sum(jax.lax.scan(step, tuple(x), inputs)[0])

    def jax_quasiseparable(p: Any, q: Any, a: Any, d: Any) -> Any:
        def step(f: Any, now: Any) -> Any:
            p, q, a, d = now
            c = jnp.sqrt(d - p @ f @ p)
            moved = f @ a.T
            w = (q - p @ moved) / c
            return a @ moved + jnp.outer(w, w), jnp.log(c)

        return jax.lax.scan(step, jnp.zeros((3, 3)), (p, q, a, d))[1].sum()

    def jax_differences(x: Any) -> Any:
        return sum(jnp.sum(jnp.square(jnp.diff(x, axis=axis))) for axis in range(3))

    leaves, inputs = rng.uniform(0.5, 1.0, 60), rng.normal(size=614)
    matrices = (0.3 * rng.normal(size=(2000, 3)), 0.3 * rng.normal(size=(2000, 3)),
                0.5 * np.eye(3) + 0.1 * rng.normal(size=(2000, 3, 3)), rng.uniform(2.0, 3.0, 2000))  # fmt: skip
    image = rng.normal(size=(128, 128, 128)).astype(np.float32)
    cases: dict[str, tuple[Any, tuple[Any, ...], Any, tuple[Any, ...]]] = {
        "60 numbers carried on, 614 steps (jax#40150)": (
            many_leaves, (leaves, inputs), jax_leaves, (jnp.asarray(leaves), jnp.asarray(inputs)),
        ),
        "quasiseparable Cholesky, 2000 steps (jax#36799)": (
            quasiseparable, matrices, jax_quasiseparable, tuple(map(jnp.asarray, matrices)),
        ),
        "squared differences, 128 x 128 x 128, float32 (jax#37465)": (
            differences, (image,), jax_differences, (jnp.asarray(image),),
        ),
        "logistic map, 10,000 steps": (logistic_map, (0.3, n), jax_map, (0.3,)),
        "recurrence of two arrays, 10,000 steps": (
            recurrence, (a, b), jax_recurrence, (jnp.asarray(a), jnp.asarray(b)),
        ),
        "pendulum, 10,000 steps": (pendulum, (0.5, 0.1, n), jax_pendulum, (0.5, 0.1)),
    }  # fmt: skip
    rows = []
    for name, (function, given, other, others) in measure.progress(cases.items(), "scans"):
        compiled = nbgrad.njit(function)
        places = tuple(range(len(others)))
        mine = nbgrad.value_and_grad(compiled, places)
        theirs = jax.jit(jax.value_and_grad(other, places))
        found, known = mine(*given), theirs(*others)
        if "logistic" not in name:  # which is chaotic
            np.testing.assert_allclose(found[0], known[0], rtol=1e-8 if "float32" not in name else 1e-4)
            for mine_too, other in zip(found[1], known[1], strict=True):
                np.testing.assert_allclose(mine_too, other, rtol=1e-6, atol=1e-5)
        steps: dict[str, Callable[[], Any]] = {
            "nbgrad": lambda f=mine, a=given: f(*a),
            "jax": lambda f=theirs, a=others: jax.block_until_ready(f(*a)),
        }
        samples = least(steps, rounds)
        rows.append({
            "name": name,
            "nbgrad": samples["nbgrad"],
            "jax": samples["jax"],
            "ratio": samples["nbgrad"] / samples["jax"],
        })  # fmt: skip
    return rows


# ---- threads and memory ----------------------------------------------------------------------------------------------


def shared_monte_carlo(spot: float, strike: float, sigma: float, normals: Any) -> float:
    """A call by Monte Carlo, whose paths threads share."""
    total = 0.0
    for i in numba.prange(normals.size):
        end = spot * math.exp(sigma * normals[i])
        if end > strike:
            total += end - strike
    return total / normals.size


def with_threads(rounds: int) -> dict[str, float]:
    """Time a gradient with one thread and with two."""
    compiled = nbgrad.njit(parallel=True)(shared_monte_carlo)
    given = (100.0, 105.0, 0.2, np.random.default_rng(0).normal(size=200_000))
    gradient = compiled.entry("gradient", 0)
    before = numba.get_num_threads()

    def run(count: int) -> None:
        numba.set_num_threads(count)
        gradient(*given)

    try:
        if before < 2:
            return {}
        found = least({"one": lambda: run(1), "two": lambda: run(2)}, rounds)
    finally:
        numba.set_num_threads(before)
    return {"one": found["one"], "two": found["two"], "ratio": found["two"] / found["one"]}


PEAK = """
import math, numpy as np, nbgrad

def walk(y0, p, n):
    y = y0.copy()
    for _ in range(n):
        for k in range(y.size):
            y[k] += 0.01 * math.sin(y[k - 1]) * p - 0.02 * y[k]
    return y.sum()

def status(key):
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith(key))

gradient = nbgrad.njit(walk, checkpoint={checkpoint}).entry("gradient", 0)
y0 = np.linspace(0.1, 1.0, 10)
gradient(y0, 0.3, 1000)
before = status("VmRSS")
open("/proc/self/clear_refs", "w").write("5")
gradient(y0, 0.3, 1000000)
print(status("VmHWM") - before)
"""


#: Kilobytes that the kernel counts to, where several threads take pages in batches.
RESOLUTION = 512.0


def memory() -> dict[str, float]:
    """Give the kilobytes that a gradient through 1,000,000 steps of 10 numbers takes, from checkpoints and without."""
    found = {}
    for key, checkpoint in (("segments", True), ("all", None)):
        with tempfile.NamedTemporaryFile("w", suffix=".py") as file:  # which the source is read from
            file.write(PEAK.format(checkpoint=checkpoint))
            file.flush()
            command = [sys.executable, file.name]
            # each array gets pages of its own, so that none is found among those that were freed before
            pages = os.environ | {"MALLOC_MMAP_THRESHOLD_": "16384"}
            done = subprocess.run(command, capture_output=True, text=True, check=True, env=pages)
            found[key] = float(done.stdout)
    found["segments"] = max(found["segments"], RESOLUTION)
    return found | {"ratio": found["segments"] / found["all"]}


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


def of_gradbench(rows: list[dict[str, Any]]) -> list[str]:
    """Give the lines of the table of GradBench's problems, with CppAD's times where it was there."""
    lines = [
        "",
        "| GradBench: value and gradients | nbgrad | C++ by hand | ratio | at most | | CppAD | ratio | at most | |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    recorded = []
    for row in rows:
        line = (f"| {row['name']} | {micro(row['nbgrad'])} | {micro(row['other'])} | {row['ratio']:.2f} | 2 | "
                f"{verdict(row['ratio'], 2)} |")  # fmt: skip
        if row["recorded"] is None:
            lines.append(f"{line} | | | |")
            continue
        ratio = row["nbgrad"] / row["recorded"]
        recorded.append({"ratio": ratio})
        lines.append(f"{line} {micro(row['recorded'])} | {ratio:.3f} | 0.5 | {verdict(ratio, 0.5)} |")
    mean = geometric(rows)
    line = f"| geometric mean | | | {mean:.2f} | 1 | {verdict(mean, 1)} |"
    if not recorded:
        return [*lines, f"{line} | | | |"]
    mean = geometric(recorded)
    return [*lines, f"{line} | {mean:.3f} | 0.5 | {verdict(mean, 0.5)} |"]


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
        promised = f"0.05 | {verdict(row['ratio'], 0.05)}" if "jax#" in row["name"] else "|"
        lines.append(
            f"| {row['name']} | {micro(row['nbgrad'])} | {micro(row['jax'])} | {row['ratio']:.3f} | {promised} |"
        )
    lines += of_gradbench(results["gradbench"]) if results["gradbench"] else []
    lines += ["", "| | | | ratio | at most | |", "| --- | ---: | ---: | ---: | ---: | ---: |"]
    if results["threads"]:
        row = results["threads"]
        lines.append(
            f"| Monte Carlo of 200,000 paths by prange, 2 threads / 1 | {micro(row['two'])} | {micro(row['one'])} | "
            f"{row['ratio']:.2f} | 0.55 | {verdict(row['ratio'], 0.55)} |"
        )
    row = results["memory"]
    lines.append(
        f"| memory of 1,000,000 steps of 10 numbers, with checkpoints / without | "
        f"{'at most ' if row['segments'] == RESOLUTION else ''}{row['segments']:.0f} kB | "
        f"{row['all']:.0f} kB | {row['ratio']:.4f} | 0.02 | {verdict(row['ratio'], 0.02)} |"
    )
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
    results: dict[str, Any] = {
        "derivatives": derivatives(rounds),
        "scans": scans(rounds),
        "gradbench": gradbench.measured(least, rounds),
        "threads": with_threads(rounds),
        "memory": memory(),
        "others": others(rounds),
        "first": first(),
    }
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
