"""Compare Jacobians, Hessians, gradients for each example and tangents with torch.func and JAX, all in one thread.

python -m benchmarks.transforms            measure, and print the tables; writes benchmarks/transforms.json, and the
                                           tables of docs/transforms.md
python -m benchmarks.transforms --quick    a few rounds, and nothing is written
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import sys
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import nbgrad
from nbgrad.func import grad, hessian, hvp, jacobian, jacrev, jvp, vmap
from nbgrad.nn import functional as F

from . import measure
from .report import processor

DIRECTORY = Path(__file__).parent
DOCS = DIRECTORY.parent / "docs" / "transforms.md"
JSON = DIRECTORY / "transforms.json"

#: What keeps the libraries to one thread, and has to be set before they are loaded.
ONE_THREAD = {
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1",
}

Steps = dict[str, Callable[[], Any]]


class Row(NamedTuple):
    """A piece of work in several libraries, and what was promised of the ratio to each."""

    what: str
    steps: Steps
    limits: dict[str, float]


def ready(jax: Any, function: Callable[..., Any], *arguments: Any) -> Callable[[], Any]:
    """Give a call of a function of JAX's that waits for its result."""
    return lambda: jax.block_until_ready(function(*arguments))


def agree(steps: Steps, names: tuple[str, ...], rtol: float) -> None:
    """Make sure that libraries compute the same."""

    def flat(value: Any) -> list[Any]:
        if isinstance(value, list | tuple):
            return [leaf for part in value for leaf in flat(part)]
        if hasattr(value, "toarray"):
            value = value.toarray()
        return [np.asarray(value.detach() if hasattr(value, "detach") else value)]

    first = flat(steps[names[0]]())
    for name in names[1:]:
        for mine, theirs in zip(first, flat(steps[name]()), strict=True):
            np.testing.assert_allclose(mine, theirs, rtol=rtol, atol=rtol * max(1.0, float(np.abs(theirs).max())))


# ---- the work -------------------------------------------------------------------------------------------------------


def row_sums(torch: Any, jax: Any) -> list[Row]:
    x = np.random.default_rng(0).normal(size=(64, 64))
    tx, jx = torch.tensor(x), jax.numpy.asarray(x)
    eager, compiled = jacrev(lambda x: nbgrad.exp(x).sum(1)), nbgrad.jit(jacrev(lambda x: nbgrad.exp(x).sum(1)))
    theirs = jax.jit(jax.jacrev(lambda x: jax.numpy.exp(x).sum(1)))
    vectorized = torch.autograd.functional.jacobian
    against: Steps = {
        "torch": lambda: vectorized(lambda x: torch.exp(x).sum(1), tx, vectorize=True),
        "JAX": ready(jax, theirs, jx),
    }
    what = "Jacobian of exp(x).sum(1), 64 x 64"
    return [
        Row(f"{what}, eager", {"nbgrad": lambda: eager(x), **against}, {"torch": 0.3}),
        Row(f"{what}, compiled", {"nbgrad": lambda: compiled(x), **against}, {"torch": 0.3, "JAX": 1.0}),
    ]


def layer(torch: Any, jax: Any) -> list[Row]:
    random = np.random.default_rng(0)
    given = random.normal(size=128), random.normal(size=(128, 128)) / 11, random.normal(size=128)
    ours = nbgrad.jit(jacobian(lambda v, w, b: nbgrad.tanh(v @ w + b)))
    theirs = jax.jit(jax.jacrev(lambda v, w, b: jax.numpy.tanh(v @ w + b)))
    there = [jax.numpy.asarray(a) for a in given]
    steps: Steps = {"nbgrad": lambda: ours(*given), "JAX": ready(jax, theirs, *there)}
    return [Row("Jacobian of a 128 -> 128 tanh layer, compiled", steps, {"JAX": 0.7})]


def rosenbrock(x: Any) -> Any:
    return (100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2).sum()


def hessians(torch: Any, jax: Any) -> list[Row]:
    x = np.linspace(-1, 1, 100)
    tx, jx = torch.tensor(x), jax.numpy.asarray(x)
    eager, compiled = hessian(rosenbrock), nbgrad.jit(hessian(rosenbrock))
    sparse = hessian(nbgrad.jit(rosenbrock), sparsity="detect")
    theirs, torchs = jax.jit(jax.hessian(rosenbrock)), torch.func.hessian(rosenbrock)
    of_jax = ready(jax, theirs, jx)
    what = "Hessian of the 100-dimensional Rosenbrock function"
    return [
        Row(f"{what}, eager", {"nbgrad": lambda: eager(x), "torch": lambda: torchs(tx)}, {"torch": 0.3}),
        Row(f"{what}, compiled", {"nbgrad": lambda: compiled(x), "JAX": of_jax}, {"JAX": 0.7}),
        Row(f"{what}, sparse and compiled", {"nbgrad": lambda: sparse(x), "JAX": of_jax}, {"JAX": 0.1}),
    ]


def mlp(torch: Any, jax: Any) -> list[Row]:
    random = np.random.default_rng(0)
    shapes = [(784, 64), (64,), (64, 10), (10,)]
    p = tuple(random.normal(size=s).astype(np.float32) / np.float32(np.sqrt(s[0])) for s in shapes)
    v = tuple(np.ones_like(w) for w in p)
    x, y = random.normal(size=(64, 784)).astype(np.float32), random.integers(10, size=64)
    tp, tv, jp, jv = (tuple(map(make, group)) for make in (torch.tensor, jax.numpy.asarray) for group in (p, v))
    tx, ty, jx, jy = torch.tensor(x), torch.tensor(y), jax.numpy.asarray(x), jax.numpy.asarray(y)

    def ours(p: Any, x: Any, y: Any) -> Any:
        return F.cross_entropy(nbgrad.relu(x @ p[0] + p[1]) @ p[2] + p[3], y)

    def torchs(p: Any, x: Any, y: Any) -> Any:
        return torch.nn.functional.cross_entropy(torch.relu(x @ p[0] + p[1]) @ p[2] + p[3], y)

    def jaxs(p: Any, x: Any, y: Any) -> Any:
        logits = jax.nn.log_softmax(jax.nn.relu(x @ p[0] + p[1]) @ p[2] + p[3])
        return -jax.numpy.take_along_axis(logits, y[..., None], -1).mean()

    each = nbgrad.jit(vmap(grad(ours), (None, 0, 0)))
    torch_each = torch.func.vmap(torch.func.grad(torchs), (None, 0, 0))
    jax_each = jax.jit(jax.vmap(jax.grad(jaxs), (None, 0, 0)))
    value = nbgrad.jit(lambda p: ours(p, x, y))
    tangent = nbgrad.jit(lambda p, v: jvp(lambda p: ours(p, x, y), (p,), (v,)))
    product = nbgrad.jit(lambda p, v: hvp(lambda p: ours(p, x, y), (p,), (v,))[0])
    jax_product = jax.jit(lambda p, v: jax.jvp(jax.grad(lambda p: jaxs(p, jx, jy)), (p,), (v,))[1])

    def torch_product() -> Any:
        return torch.func.jvp(torch.func.grad(lambda p: torchs(p, tx, ty)), (tp,), (tv,))[1]

    name = "MLP 784-64-10, batch 64"
    return [
        Row(
            f"gradients for each example, {name}, compiled",
            {
                "nbgrad": lambda: each(p, x, y),
                "torch": lambda: torch_each(tp, tx, ty),
                "JAX": ready(jax, jax_each, jp, jx, jy),
            },
            {"torch": 0.5, "JAX": 0.9},
        ),
        Row(
            f"tangent and value of the {name}, over the value, compiled",
            {"nbgrad": lambda: tangent(p, v), "its value": lambda: value(p)},
            {"its value": 2.2},
        ),
        Row(
            f"tangent and value of the {name}, over the value, eager",
            {"nbgrad": lambda: jvp(lambda p: ours(p, x, y), (p,), (v,)), "its value": lambda: ours(p, x, y)},
            {"its value": 2.2},
        ),
        Row(
            f"Hessian times vector of the {name}, compiled",
            {"nbgrad": lambda: product(p, v), "torch": torch_product, "JAX": ready(jax, jax_product, jp, jv)},
            {"torch": 0.4, "JAX": 0.9},
        ),
    ]


def pinn(torch: Any, jax: Any) -> list[Row]:
    """A step of training on the residual of the heat equation: gradients of second derivatives."""
    random = np.random.default_rng(0)
    sizes = [2, 64, 64, 64, 64, 1]
    p = [
        (random.normal(size=(n, m)).astype(np.float32) / np.float32(np.sqrt(n)), np.zeros(m, np.float32))
        for n, m in pairwise(sizes)
    ]
    z = random.random((1024, 2)).astype(np.float32)

    def network(library: Any, p: Any, z: Any) -> Any:
        for w, b in p[:-1]:
            z = library.tanh(z @ w + b)
        return z @ p[-1][0] + p[-1][1]

    def residual(library: Any, gradient: Any, p: Any, z: Any) -> Any:
        """By two gradients of sums over the points, of which each has its own."""

        def slope(z: Any) -> Any:
            first = gradient(lambda z: network(library, p, z).sum())(z)
            return first[:, 0].sum(), first

        second, first = gradient(slope, has_aux=True)(z)
        return ((first[:, 1] - 0.1 * second[:, 0]) ** 2).mean()

    ours = nbgrad.jit(nbgrad.value_and_grad(lambda p, z: residual(nbgrad, grad, p, z)))
    theirs = jax.jit(jax.value_and_grad(lambda p, z: residual(jax.numpy, jax.grad, p, z)))
    jp, jz = jax.tree.map(jax.numpy.asarray, p), jax.numpy.asarray(z)
    tp = [tuple(torch.tensor(a, requires_grad=True) for a in pair) for pair in p]
    tz = torch.tensor(z, requires_grad=True)

    def torchs() -> Any:
        (first,) = torch.autograd.grad(network(torch, tp, tz).sum(), tz, create_graph=True)
        (second,) = torch.autograd.grad(first[:, 0].sum(), tz, create_graph=True)
        loss = ((first[:, 1] - 0.1 * second[:, 0]) ** 2).mean()
        return loss, torch.autograd.grad(loss, [a for pair in tp for a in pair], materialize_grads=True)

    steps: Steps = {"nbgrad": lambda: ours(p, z), "torch": torchs, "JAX": ready(jax, theirs, jp, jz)}
    what = "PINN step, 2 inputs, 4 x 64 tanh, 1024 points, compiled"
    return [Row(what, steps, {"torch": 0.3, "JAX": 0.9})]


WORK = [row_sums, layer, hessians, mlp, pinn]

# ---- sparse ---------------------------------------------------------------------------------------------------------


def brusselator(u: Any) -> Any:
    """The reaction and diffusion of two species on a line, one after the other in a vector."""
    n = u.shape[0] // 2
    a, b = u[:n], u[n:]

    def diffused(v: Any) -> Any:
        return 0.02 * (n + 1) ** 2 * (nbgrad.cat([v[1:], v[-1:]]) - 2.0 * v + nbgrad.cat([v[:1], v[:-1]]))

    square = a * a * b
    return nbgrad.cat([1.0 + square - 4.0 * a + diffused(a), 3.0 * a - square + diffused(b)])


#: Seconds of a sample: short, so that some are taken while nobody else runs.
SAMPLE = 0.002


def least(steps: Steps, rounds: int) -> dict[str, float]:
    """Give the least tenth of what samples of each step take, in turns: what others do to the machine only adds."""
    measure.SAMPLE, measure.PAUSE = SAMPLE, 0.0
    return {name: float(np.quantile(times, 0.1)) for name, times in measure.interleaved(steps, rounds).items()}


def sparse_rows(sizes: tuple[int, ...]) -> list[dict[str, Any]]:
    """Give how long structure and colours take, and each matrix, eagerly and compiled; and columns one by one."""
    rows = []
    for points in sizes:
        u = np.random.default_rng(0).random(2 * points)
        eager, compiled = (jacobian(f, sparsity="detect") for f in (brusselator, nbgrad.jit(brusselator)))
        begin = time.perf_counter()
        plan = eager.plan(u)
        structure = time.perf_counter() - begin
        compiled(u)
        seed = np.zeros(2 * points)
        seed[0] = 1
        steps: Steps = {
            "eager": lambda: eager(u),  # noqa: B023
            "compiled": lambda: compiled(u),  # noqa: B023
            "column": lambda: jvp(brusselator, (u,), (seed,)),  # noqa: B023
        }
        found = least(steps, 10)
        rows.append(
            {
                "points": points,
                "colors": plan.count,
                "structure": structure,
                "dense": found.pop("column") * 2 * points,
                **found,
            }
        )
    return rows


# ---- the tables -----------------------------------------------------------------------------------------------------


def main() -> None:
    if any(os.environ.get(name) != value for name, value in ONE_THREAD.items()):
        command = [sys.executable, "-m", "benchmarks.transforms", *sys.argv[1:]]
        os.execve(sys.executable, command, os.environ | ONE_THREAD)
    import warnings

    import jax
    import torch

    arguments = argparse.ArgumentParser(prog="python -m benchmarks.transforms", description=__doc__)
    arguments.add_argument("--quick", action="store_true", help="a few rounds, and nothing is written")
    options = arguments.parse_args()
    warnings.filterwarnings("ignore", category=DeprecationWarning)  # torch's, of itself
    rounds = 10 if options.quick else 60
    torch.set_num_threads(1)
    nbgrad.set_num_threads(1)
    jax.config.update("jax_enable_x64", True)
    load = os.getloadavg()[0]
    rows = []
    for row in measure.progress([row for make in WORK for row in make(torch, jax)], "transforms"):
        same = tuple(name for name in row.steps if name in ("nbgrad", "torch", "JAX"))
        agree(row.steps, same, 1e-3 if "MLP" in row.what or "PINN" in row.what else 1e-9)
        seconds = least(row.steps, rounds)
        over = {name: seconds["nbgrad"] / seconds[name] for name in row.limits}
        rows.append({"what": row.what, "seconds": seconds, "over": over, "limits": row.limits})
    sparse = sparse_rows((1000, 10_000) if options.quick else (1000, 10_000, 100_000))
    found = {
        "date": datetime.date.today().isoformat(),
        "processor": processor(),
        "load": load,
        "rounds": rounds,
        "rows": rows,
        "sparse": sparse,
    }
    print(table(found), sparse_table(found), sep="\n\n")
    if not options.quick:
        JSON.write_text(json.dumps(found, indent=1) + "\n")
        write(found)


def write(found: dict[str, Any]) -> None:
    """Put the tables where the page has them."""
    text = DOCS.read_text()
    for name, made in (("table", head(found) + table(found)), ("sparse", sparse_table(found))):
        before, rest = text.split(f"<!-- {name}:begin -->")
        _, after = rest.split(f"<!-- {name}:end -->")
        text = f"{before}<!-- {name}:begin -->\n\n{made}\n\n<!-- {name}:end -->{after}"
    DOCS.write_text(text)


def head(found: dict[str, Any]) -> str:
    return (
        f"All libraries in one thread, in one process, in turns: the least tenth of {found['rounds']} samples of "
        f"{SAMPLE * 1e3:.0f} ms each, and ratios of these. `python -m benchmarks.transforms` on {found['processor']}, "
        f"{found['date']}; other programs put a load of {found['load']:.1f} on the machine.\n\n"
    )


def table(found: dict[str, Any]) -> str:
    lines = [
        "| work | nbgrad | torch | JAX jit | nbgrad over | limit | verdict |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for row in found["rows"]:
        seconds = row["seconds"]
        first = [row["what"], *[written(seconds.get(name)) for name in ("nbgrad", "torch", "JAX")]]
        for name, limit in row["limits"].items():
            verdict = "met" if row["over"][name] <= limit else "**missed**"
            ratio = f"{name}: {row['over'][name]:.2g}"
            lines.append(f"| {' | '.join(first)} | {ratio} | {limit} | {verdict} |")
            first = [""] * 4
    return "\n".join(lines)


def sparse_table(found: dict[str, Any]) -> str:
    lines = [
        "| points | unknowns | colours | structure and colours, once | a matrix, eager | compiled | column by column |",
        "| ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for row in found["sparse"]:
        cells = [f"{row['points']:,}", f"{2 * row['points']:,}", str(row["colors"])]
        cells += [written(row[name]) for name in ("structure", "eager", "compiled", "dense")]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def written(seconds: float | None) -> str:
    """Write a time with three digits."""
    if seconds is None:
        return ""
    for unit, name in ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs")):
        if seconds >= unit:
            return f"{seconds / unit:.3g} {name}" if seconds < 1000 * unit else f"{seconds / unit:,.0f} {name}"
    return f"{seconds * 1e9:.3g} ns"


if __name__ == "__main__":
    main()
