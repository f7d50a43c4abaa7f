"""What `benchmarks.cuda` measures: inputs, a formula that all libraries run, how each takes its gradients, and whether
they agree."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np

from . import jit_workloads, libraries
from .jit_workloads import multiplications
from .workloads import labels, mlp, mlp_parameters, normal

Array = np.ndarray

RATE = 0.05
#: Steps of training after which parameters are compared.
STEPS = 3
#: How far the change of parameters may be off, by its norm, in the last layer and in those below. An element at 0 that
#: relu keeps in one library and not in another makes 0.005 below it, products in TF32 make 0.0005 in the last layer.
LAST_TOLERANCE, TOLERANCE = 2e-4, 1e-2


@dataclass(frozen=True)
class Case:
    """One computation, as a formula that gets a library's functions first, and what is promised of it.

    Differentiated are the first `parameters` arguments; with `trains`, a step also updates them. `subject` is the
    library that the promises are about, and `limits` are promised ratios of its time to others. The floor is what must
    be moved, multiplied or launched at least: `moved` bytes, `flops`, or `launches`.
    """

    name: str
    title: str
    formula: Callable[..., Any]
    make: Callable[[], tuple[Array, ...]]
    parameters: int
    libraries: tuple[str, ...]
    limits: dict[str, float]
    subject: str = "nbgrad"
    trains: bool = False
    moved: int = 0
    flops: int = 0
    launches: int = 0
    by_hand: Callable[..., Any] | None = None


class Step(NamedTuple):
    """What is timed, how to wait for what it gave, and the parameters that it trains."""

    call: Callable[[], tuple[Any, ...]]
    wait: Callable[[Any], Any]
    state: list[Any]


# ---- what is computed -----------------------------------------------------------------------------------------------

_FACTOR, _SUMMAND = 0.7, 0.3


def chain(m: Any, x: Any) -> Any:
    return jit_workloads.chain(m, x, _FACTOR, _SUMMAND)


def chain_by_hand(m: Any, x: Any) -> tuple[Any, Any]:
    """Give the terms and the gradient of their sum."""
    t, e = m.tanh(x * _FACTOR + _SUMMAND), m.exp(-(x * x))
    tt = t * t
    return tt * e, (t * (1 - tt) * _FACTOR - x * tt) * e * 2


def softmax(m: Any, x: Any) -> Any:
    return m.softmax(x)


def network(m: Any, w1: Any, b1: Any, w2: Any, b2: Any, w3: Any, b3: Any, x: Any, targets: Any) -> Any:
    return mlp(m, w2, b2, w3, b3, m.relu(x @ w1 + b1), targets)


def _network_inputs(sizes: tuple[int, ...], batch: int) -> tuple[Array, ...]:
    inputs, first, second, classes = sizes
    parameters = *mlp_parameters(inputs, first, second)[:2], *mlp_parameters(first, second, classes)
    return *parameters, normal(batch, inputs, dtype="float32", seed=6), labels(batch, classes)


def cases(quick: bool = False) -> list[Case]:
    """Give all cases."""
    size, rows, width, small = (3000, 4, 40, 100) if quick else (100_000_000, 32_768, 1024, 1000)
    sizes, batch = ((12, 8, 8, 3), 4) if quick else ((784, 1024, 1024, 10), 128)
    weights = [inputs * outputs for inputs, outputs in itertools.pairwise(sizes)]
    return [
        Case(
            "chain",
            f"sum(tanh(x*{_FACTOR} + {_SUMMAND})**2 * exp(-x**2)) and its gradient, {size:,}",
            chain,
            lambda: (normal(size, dtype="float32"),),
            1,
            ("nbgrad", "nbgrad-eager", "torch", "torch.compile", "jax", "cupy"),
            {"copy": 1 / 0.85, "torch": 1 / 3},
            moved=2 * 4 * size,
            by_hand=chain_by_hand,
        ),
        Case(
            "softmax",
            f"softmax of {rows:,} rows of {width:,}",
            softmax,
            lambda: (normal(rows, width, dtype="float32"),),
            0,
            ("nbgrad-eager", "nbgrad", "torch", "torch.compile", "jax"),
            {"copy": 1 / 0.8},
            "nbgrad-eager",
            moved=2 * 4 * rows * width,
        ),
        Case(
            "softmax-small",
            "softmax of 128 rows of 10",
            softmax,
            lambda: (normal(128, 10, dtype="float32"),),
            0,
            ("nbgrad-eager", "torch"),
            {},
            "nbgrad-eager",
            launches=1,
        ),
        Case(
            "mul-100",
            f"100 multiplications of {small:,} and their gradient",
            multiplications,
            lambda: (1 + normal(small, dtype="float32", scale=0.01),),
            1,
            ("nbgrad-eager", "torch"),
            {"torch": 1.0},
            "nbgrad-eager",
            launches=400,  # for each a product, the products with both factors' cotangents, and a sum of these
        ),
        Case(
            "mlp",
            f"training step of an MLP {'-'.join(map(str, sizes))}, batch {batch}",
            network,
            partial(_network_inputs, sizes, batch),
            6,
            ("nbgrad", "torch", "torch.compile", "jax"),
            {"torch": 0.5, "jax": 0.9},
            trains=True,
            # backwards twice as many, without the gradient by the images
            flops=2 * batch * (3 * sum(weights) - weights[0]),
        ),
    ]


# ---- libraries ------------------------------------------------------------------------------------------------------


def _compiled(case: Case, library: Any, functions: Any, arguments: list[Any], wait: Callable[[Any], Any]) -> Step:
    """Give the step of a library that compiles functions: nbgrad's program and JAX's are the same."""
    formula, count = partial(case.formula, functions), case.parameters
    if not count:
        value_of = library.jit(formula)
        return Step(lambda: (value_of(*arguments),), wait, [])
    differentiated = library.value_and_grad(formula, tuple(range(count)))
    if not case.trains:
        both = library.jit(differentiated)

        def step() -> tuple[Any, ...]:
            value, gradients = both(*arguments)
            return value, *gradients

        return Step(step, wait, [])

    @library.jit
    def update(*arguments: Any) -> Any:
        value, gradients = differentiated(*arguments)
        return value, [x - RATE * g for x, g in zip(arguments[:count], gradients, strict=True)]

    state, constants = arguments[:count], arguments[count:]

    def train() -> tuple[Any, ...]:
        value, state[:] = update(*state, *constants)
        return (value,)

    return Step(train, wait, state)


def _functions_of_nbgrad() -> Any:
    import nbgrad
    from nbgrad.nn import functional

    return SimpleNamespace(
        **{name: getattr(nbgrad, name) for name in ("exp", "relu", "sum", "tanh")},
        softmax=lambda x: nbgrad.softmax(x, -1),
        cross_entropy=functional.cross_entropy,
    )


def of_nbgrad(case: Case, arrays: tuple[Array, ...], device: str, compiled: bool = True) -> Step:
    import nbgrad

    functions, place, wait = _functions_of_nbgrad(), partial(nbgrad.tensor, device=device), partial(wait_for, device)
    if not compiled:
        return Step(_recorded(partial(case.formula, functions), case.parameters, place, arrays), wait, [])
    return _compiled(case, nbgrad, functions, [place(array).data for array in arrays], wait)


def wait_for(device: str, result: Any = None) -> None:
    if device != "cpu":
        import nbgrad

        nbgrad.cuda.synchronize()


def _recorded(
    formula: Callable[..., Any], count: int, place: Callable[..., Any], arrays: tuple[Array, ...]
) -> Callable[[], tuple[Any, ...]]:
    """Give the step of a define-by-run library, with gradients by the first `count` arrays."""
    if not count:
        arguments = [place(array) for array in arrays]
        return lambda: (formula(*arguments),)
    workload: Any = SimpleNamespace(
        formula=lambda _, *arguments: formula(*arguments),
        parameters=arrays[:count],
        constants=arrays[count:],
        cotangent=None,
    )
    return libraries._eager(None, partial(place, requires_grad=True), place, workload)


def _torch(case: Case, arrays: tuple[Array, ...], device: str, compiled: bool = False) -> Step:
    import torch

    torch.set_float32_matmul_precision("highest")  # no TF32
    functions = SimpleNamespace(
        **{name: getattr(torch, name) for name in ("exp", "relu", "sum", "tanh")},
        softmax=lambda x: torch.softmax(x, -1),
        cross_entropy=torch.nn.functional.cross_entropy,
    )

    def formula(*arguments: Any) -> Any:
        return case.formula(functions, *arguments)

    if compiled:
        torch._dynamo.reset()
        formula = torch.compile(formula, fullgraph=True, dynamic=False)
    place = partial(torch.tensor, device=device)

    def wait(result: Any) -> None:
        if device != "cpu":
            torch.cuda.synchronize()

    if not case.trains:
        return Step(_recorded(formula, case.parameters, place, arrays), wait, [])
    parameters = [place(array, requires_grad=True) for array in arrays[: case.parameters]]
    constants = [place(array) for array in arrays[case.parameters :]]

    def train() -> tuple[Any, ...]:
        value = formula(*parameters, *constants)
        gradients = torch.autograd.grad(value, parameters)
        with torch.no_grad():
            torch._foreach_add_(parameters, gradients, alpha=-RATE)
        return (value,)

    return Step(train, wait, parameters)


def _jax(case: Case, arrays: tuple[Array, ...], device: str) -> Step:
    import jax
    import jax.numpy as jnp

    config: Any = jax.config
    config.update("jax_default_matmul_precision", "highest")  # no TF32
    place = jax.devices(device)[0]  # a RuntimeError where JAX has no such device

    def cross_entropy(logits: Any, targets: Any) -> Any:
        return -jnp.mean(jax.nn.log_softmax(logits)[jnp.arange(targets.size), targets])

    functions = SimpleNamespace(
        **{name: getattr(jnp, name) for name in ("exp", "sum", "tanh")},
        relu=jax.nn.relu,
        softmax=jax.nn.softmax,
        cross_entropy=cross_entropy,
    )
    return _compiled(case, jax, functions, [jax.device_put(array, place) for array in arrays], jax.block_until_ready)


def _cupy(case: Case, arrays: tuple[Array, ...], device: str) -> Step:
    import cupy

    assert case.by_hand is not None

    @cupy.fuse()
    def fused(x: Any) -> Any:
        return case.by_hand(cupy, x)

    x = cupy.asarray(arrays[0])

    def step() -> tuple[Any, ...]:
        terms, gradient = fused(x)
        return terms.sum(), gradient

    return Step(step, partial(wait_for, device), [])


#: How each library makes a step of a case, its arrays and the name of a device, which all of them call the same.
LIBRARIES: dict[str, Callable[[Case, tuple[Array, ...], str], Step]] = {
    "nbgrad": of_nbgrad,
    "nbgrad-eager": partial(of_nbgrad, compiled=False),
    "torch": _torch,
    "torch.compile": partial(_torch, compiled=True),
    "jax": _jax,
    "cupy": _cupy,
}
LABELS = {
    "nbgrad": "nbgrad.jit",
    "nbgrad-eager": "nbgrad eager",
    "torch": "torch eager",
    "torch.compile": "torch.compile",
    "jax": "JAX jit",
    "cupy": "CuPy by hand, fused",
    "copy": "copy",
}


# ---- comparing ------------------------------------------------------------------------------------------------------


def as_array(x: Any) -> Array:
    """Give a library's array as NumPy's."""
    if hasattr(x, "detach"):
        x = x.detach().cpu().numpy()
    return np.asarray(x.get() if hasattr(x, "get") else x)


def results_of(case: Case, step: Step) -> list[Array]:
    """Give what a step computes; where it trains, the loss and the parameters after some steps."""
    for _ in range(STEPS if case.trains else 1):
        result = step.call()
    return [as_array(x) for x in (*result, *step.state)]


def reference(case: Case, arrays: tuple[Array, ...]) -> list[Array]:
    """Give what all libraries must find: in float64, by nbgrad's eager functions on the CPU."""
    import nbgrad

    wide = tuple(array.astype("float64") if array.dtype.kind == "f" else array for array in arrays)
    uncompiled = SimpleNamespace(value_and_grad=nbgrad.value_and_grad, jit=lambda function: function)
    return results_of(case, _compiled(case, uncompiled, _functions_of_nbgrad(), [*wide], partial(wait_for, "cpu")))


def compared(case: Case, library: str, found: list[Array], expected: list[Array], arrays: tuple[Array, ...]) -> None:
    """Compare results with the reference: elements, or by their norms the changes of what was trained.

    Raises AssertionError where a shape, a dtype or a number differs.
    """
    if not case.trains:
        jit_workloads.compared(case, library, lambda: tuple(found), arrays, expected)
        return
    np.testing.assert_allclose(found[0], expected[0], 1e-5, err_msg=f"{library}, {case.name}: value")
    for number, (x, y, before) in enumerate(zip(found[1:], expected[1:], arrays[: case.parameters], strict=True)):
        what = f"{library}, {case.name}: parameter {number}"
        assert (x.dtype, x.shape) == (before.dtype, before.shape), f"{what} is {x.dtype} of shape {x.shape}"
        error = np.linalg.norm(x - y) / np.linalg.norm(y - before)
        tolerance = LAST_TOLERANCE if number >= case.parameters - 2 else TOLERANCE
        assert error <= tolerance, f"{what} after {STEPS} steps is off by {error:.1e} of its change, not {tolerance:g}"
