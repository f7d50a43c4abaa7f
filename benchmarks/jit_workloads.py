"""What `benchmarks.jit` measures: inputs, a formula that all libraries run, and how each library takes its gradients.

A formula gets the library's functions first, then the arguments; the first `parameters` of these are what it is
differentiated by.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np

from . import jit_by_hand
from .workloads import goldstein_price, labels, mlp, mlp_parameters, normal

Array = np.ndarray
Step = Callable[[], tuple[Any, ...]]

RATE = 0.03
#: The elements from which a workload is held against the speed of memory.
LARGE = 1_000_000
#: What time over the hand-written loop's is promised.
BY_HAND_LIMIT = 1.25


@dataclass(frozen=True)
class Case:
    """One computation of a value and its gradients; `limit` is the promised ratio to JAX."""

    name: str
    title: str
    formula: Callable[..., Any]
    make: Callable[[], tuple[Array, ...]]
    parameters: int
    limit: float
    size: int = 0
    by_hand: Callable[[], Callable[..., tuple[Any, ...]]] | None = None


# ---- formulas -------------------------------------------------------------------------------------------------------


def multiplications(m: Any, x: Any) -> Any:
    y = x
    for _ in range(100):
        y = y * x
    return m.sum(y)


def chain(m: Any, x: Any, w: Any, b: Any) -> Any:
    return m.sum(m.tanh(x * w + b) ** 2 * m.exp(-(x**2)))


def gelu(m: Any, x: Any) -> Any:
    return m.sum(m.gelu(x))


def written_gelu(m: Any, x: Any) -> Any:
    return 0.5 * x * (1 + m.erf(x * math.sqrt(0.5)))


def black_scholes(m: Any, spot: Any, strike: Any, time: Any, volatility: Any) -> Any:
    def below(x: Any) -> Any:
        return 0.5 * (1 + m.erf(x * math.sqrt(0.5)))

    deviation = volatility * m.sqrt(time)
    d1 = (m.log(spot / strike) + (RATE + 0.5 * volatility**2) * time) / deviation
    return m.sum(spot * below(d1) - strike * m.exp(-RATE * time) * below(d1 - deviation))


def logistic_regression(m: Any, w: Any, b: Any, x: Any, targets: Any) -> Any:
    return m.bce_with_logits(x @ w + b, targets)


def normalised(m: Any, x: Any, weights: Any) -> Any:
    return m.sum(m.layer_norm(m.softmax(x)) ** 2 * weights)


def written_layer_norm(m: Any, x: Any) -> Any:
    centred = x - m.row_mean(x)
    return centred / m.sqrt(m.row_mean(centred**2) + 1e-5)


# ---- inputs ---------------------------------------------------------------------------------------------------------


def _chain_inputs(size: int, dtype: str) -> tuple[Array, ...]:
    return normal(size, dtype=dtype), np.array(0.7, dtype), np.array(0.3, dtype)


def _options(size: int) -> tuple[Array, ...]:
    random = np.random.default_rng(0)
    ranges = ((80, 120), (80, 120), (0.1, 2), (0.1, 0.5))
    return tuple(random.uniform(low, high, size) for low, high in ranges)


def _samples() -> tuple[Array, ...]:
    targets = labels(1000, 2).astype("float64")
    return normal(100, scale=0.1, seed=3), np.array(0.2), normal(1000, 100), targets


def _images(batch: int) -> tuple[Array, ...]:
    return *mlp_parameters(784, 256, 10), normal(batch, 784, dtype="float32"), labels(batch, 10)


def _matrix(size: int) -> tuple[Array, ...]:
    weights = np.random.default_rng(1).uniform(0.5, 1.5, (size, size)).astype("float32")
    return normal(size, size, dtype="float32"), weights


def cases() -> list[Case]:
    """Give all workloads."""
    found = [
        Case(
            "goldstein-price",
            "Goldstein-Price of 2 scalars, float64",
            goldstein_price,
            lambda: (np.array(0.7), np.array(-0.4)),
            2,
            0.15,
        ),
        Case(
            "mul-100",
            "100 multiplications of 10 elements, float64",
            multiplications,
            lambda: (1 + normal(10, scale=0.01),),
            1,
            0.06,
        ),
    ]
    sizes = (
        (1_000, "float32", 0.08),
        (100_000, "float32", 0.25),
        (1_000_000, "float32", 0.25),
        (10_000_000, "float32", 0.25),
        (1_000_000, "float64", 0.35),
    )
    found += [
        Case(
            f"chain-{size}" + ("" if dtype == "float32" else f"-{dtype}"),
            f"sum(tanh(x*w + b)**2 * exp(-x**2)), {size:,}, {dtype}",
            chain,
            partial(_chain_inputs, size, dtype),
            3,
            limit,
            size,
            partial(jit_by_hand.chain, dtype),
        )
        for size, dtype, limit in sizes
    ]
    million = 1_000_000
    return [
        *found,
        Case(
            "gelu",
            f"sum of exact GELU, {million:,}, float32",
            gelu,
            lambda: (normal(million, dtype="float32"),),
            1,
            0.5,
            million,
            partial(jit_by_hand.gelu, "float32"),
        ),
        Case(
            "black-scholes",
            f"Black-Scholes with 4 gradients, {million:,}, float64",
            black_scholes,
            partial(_options, million),
            4,
            0.2,
            million,
            partial(jit_by_hand.black_scholes, RATE),
        ),
        Case("logistic", "logistic regression, 1000 x 100, float64", logistic_regression, _samples, 2, 0.4),
        *(
            Case(
                f"mlp-{batch}",
                f"MLP 784-256-10, relu, cross-entropy, batch {batch}, float32",
                mlp,
                partial(_images, batch),
                4,
                limit,
            )
            for batch, limit in ((128, 0.9), (1, 0.5))
        ),
        Case(
            "layer-norm",
            "layer norm of softmax, 1024 x 1024, float32",
            normalised,
            partial(_matrix, 1024),
            1,
            0.6,
            1024 * 1024,
        ),
    ]


# ---- libraries ------------------------------------------------------------------------------------------------------


def _nbgrad(case: Case, arrays: tuple[Array, ...]) -> Step:
    jitted = jitted_by_nbgrad(case)

    def step() -> tuple[Any, ...]:
        value, gradients = jitted(*arrays)
        return value, *gradients

    return step


def jitted_by_nbgrad(case: Case) -> Any:
    """Give the jitted function of a case's arguments."""
    import nbgrad
    from nbgrad.nn import functional

    functions: Any = SimpleNamespace(
        **{name: getattr(nbgrad, name) for name in ("erf", "exp", "log", "relu", "sqrt", "sum", "tanh")},
        gelu=lambda x: written_gelu(functions, x),
        softmax=lambda x: nbgrad.softmax(x, -1),
        row_mean=lambda x: nbgrad.mean(x, -1, True),
        layer_norm=lambda x: written_layer_norm(functions, x),
        cross_entropy=functional.cross_entropy,
        bce_with_logits=functional.binary_cross_entropy_with_logits,
    )
    return nbgrad.jit(nbgrad.value_and_grad(partial(case.formula, functions), tuple(range(case.parameters))))


def _jax(case: Case, arrays: tuple[Array, ...]) -> Step:
    import jax
    import jax.numpy as jnp

    config: Any = jax.config
    wait: Any = jax.block_until_ready
    config.update("jax_enable_x64", True)  # float32 arrays stay float32: `compared` looks at every dtype

    def cross_entropy(logits: Any, labels: Any) -> Any:
        return -jnp.mean(jax.nn.log_softmax(logits)[jnp.arange(labels.size), labels])

    def bce_with_logits(logits: Any, targets: Any) -> Any:
        return jnp.mean(jax.nn.softplus(logits) - targets * logits)

    functions: Any = SimpleNamespace(
        **{name: getattr(jnp, name) for name in ("exp", "log", "sqrt", "sum", "tanh")},
        erf=jax.scipy.special.erf,
        relu=jax.nn.relu,
        gelu=lambda x: written_gelu(functions, x),
        softmax=lambda x: jax.nn.softmax(x, axis=-1),
        row_mean=lambda x: jnp.mean(x, axis=-1, keepdims=True),
        layer_norm=lambda x: written_layer_norm(functions, x),
        cross_entropy=cross_entropy,
        bce_with_logits=bce_with_logits,
    )
    jitted = jax.jit(jax.value_and_grad(partial(case.formula, functions), tuple(range(case.parameters))))
    on_device = [jnp.asarray(array) for array in arrays]

    def step() -> tuple[Any, ...]:
        value, gradients = wait(jitted(*on_device))
        return value, *gradients

    return step


def _torch(case: Case, arrays: tuple[Array, ...], compiled: bool = False) -> Step:
    import torch

    functional = torch.nn.functional
    functions: Any = SimpleNamespace(
        **{name: getattr(torch, name) for name in ("erf", "exp", "log", "relu", "sqrt", "sum", "tanh")},
        gelu=functional.gelu,
        softmax=lambda x: torch.softmax(x, -1),
        layer_norm=lambda x: functional.layer_norm(x, x.shape[-1:]),
        cross_entropy=functional.cross_entropy,
        bce_with_logits=functional.binary_cross_entropy_with_logits,
    )
    leaves = [torch.tensor(array, requires_grad=True) for array in arrays[: case.parameters]]
    arguments = [*leaves, *map(torch.tensor, arrays[case.parameters :])]

    def formula(*arguments: Any) -> Any:
        return case.formula(functions, *arguments)

    function: Any = formula
    if compiled:
        torch._dynamo.reset()
        function = torch.compile(formula, fullgraph=True, dynamic=False)

    def step() -> tuple[Any, ...]:
        for x in leaves:
            x.grad = None
        value = function(*arguments)
        value.backward()
        return value, *[x.grad for x in leaves]

    if compiled:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            step()
    return step


def _by_hand(case: Case, arrays: tuple[Array, ...]) -> Step:
    assert case.by_hand is not None
    return partial(case.by_hand(), *arrays)


#: How each library makes a step of a case and its arrays, by the names that the results have.
LIBRARIES: dict[str, Callable[[Case, tuple[Array, ...]], Step]] = {
    "nbgrad": _nbgrad,
    "jax": _jax,
    "torch": _torch,
    "torch.compile": partial(_torch, compiled=True),
    "by-hand": _by_hand,
}
LABELS = {
    "nbgrad": "nbgrad",
    "jax": "JAX jit",
    "torch": "torch eager",
    "torch.compile": "torch.compile",
    "by-hand": "Numba by hand",
}


def taking_part(case: Case) -> Iterator[str]:
    """Name the libraries that run a case."""
    return (name for name in LIBRARIES if name != "by-hand" or case.by_hand is not None)


def _as_array(x: Any) -> Array:
    return np.asarray(x.detach().numpy() if hasattr(x, "detach") else x)


def compared(case: Case, library: str, step: Step, arrays: tuple[Array, ...], expected: list[Array]) -> None:
    """Compare a step's results with those that torch computed in float64.

    Raises AssertionError where a shape, a dtype or a number differs.
    """
    found = [_as_array(x) for x in step()]
    dtype = arrays[0].dtype
    assert len(found) == len(expected) == 1 + case.parameters, f"{library}, {case.name}: {len(found)} results"
    relative = 1e-9 if dtype == np.float64 else 3e-4
    for number, (x, y) in enumerate(zip(found, expected, strict=True)):
        what = f"{library}, {case.name}: " + (f"gradient {number}" if number else "value")
        assert x.dtype == dtype, f"{what} has dtype {x.dtype}, not {dtype}"
        assert x.shape == y.shape, f"{what} has shape {x.shape}, not {y.shape}"
        np.testing.assert_allclose(x, y, relative, relative * np.abs(y).max() / 10, err_msg=what)


def reference(case: Case, arrays: tuple[Array, ...]) -> list[Array]:
    """Give the value and the gradients in float64, by torch."""
    wide = tuple(x.astype(np.float64) if x.dtype.kind == "f" else x for x in arrays)
    return [_as_array(x) for x in _torch(case, wide)()]
